// The tensor-core product (gemm_mma.cl) as the host sees it: tiles, plans, launches, scratch. Arguments, epilogues and forms are
// those of "gemm" (kernels.h); so is what becomes of sums and of parts of the depth.
//
// It serves the products of a device that multiplies in another precision than float32 (TensorCores), but for those of so few rows
// that they are matrix-vector products: those wait for memory and stay in float32.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>

#include "hpcnet.h"
#include "opencl/kernels.h"

namespace hpc::opencl {

// ---- What a device multiplies in ------------------------------------------------------------------------------------

struct TensorCores {
    int32_t asked = HPC_PRECISION_FLOAT32;      // hpc_precision
    int32_t precision = HPC_PRECISION_FLOAT32;  // what runs
    bool copies = false;                        // cp.async is to be had
    bool emulated = false;                      // test builds only: OpenCL C stands in for the instructions
    uint64_t local_bytes = 0;                   // for one work-group; not held back to what every device has
    std::string why;                            // where `asked` does not run
    std::string why_no_copies;                  // where it runs without

    bool serve() const { return precision != HPC_PRECISION_FLOAT32; }
};

// ---- Tunables (data) ------------------------------------------------------------------------------------------------

// C is cut into tile_m x tile_n, a warp of 32 work-items has warp_m x warp_n of it, `stages` blocks of kMmaDepth of the depth are in
// local memory. Preferred first; the last one serves what is small. Warps are multiples of 32.
struct MmaTile {
    uint64_t tile_m, tile_n, warp_m, warp_n;  // HPC_TILE_M, HPC_TILE_N, HPC_WARP_M, HPC_WARP_N
    uint64_t stages;                          // HPC_STAGES where copies go past the registers; else there are 2
    constexpr uint64_t group() const { return tile_m / warp_m * (tile_n / warp_n) * 32; }
    constexpr uint64_t local_bytes(bool copies) const { return (copies ? stages : 2) * (tile_m + tile_n) * 16 * 4; }
};
inline constexpr uint64_t kMmaDepth = 16;  // HPC_MMA_DEPTH of mma_layout.h
inline constexpr MmaTile kMmaTiles[] = {{256, 128, 64, 64, 2}, {128, 128, 64, 64, 3}, {64, 64, 32, 32, 4}, {32, 32, 32, 32, 4}};
// Rows of tiles that neighbouring work-groups share, as kGemmBand.
inline constexpr uint64_t kMmaBand = 8;  // HPC_GEMM_BAND
// A tile is taken if its work-groups number at least this many for each compute unit, else a smaller one.
inline constexpr uint64_t kMmaGroupsPerUnit = 1;
// TN: parts of the depth, as kSplitRows and kMaxSplits.
inline constexpr uint64_t kMmaSplitRows = 256, kMmaMaxSplits = 64;

// ---- Plans ----------------------------------------------------------------------------------------------------------

inline constexpr Source kGemmMmaSource{"gemm_mma",
                                       {"opencl/kernels/layout.h", "opencl/kernels/common.cl", "formulas/ops_opencl.h", "formulas/elementary.h",
                                        "formulas/activations.h", "opencl/kernels/epilogue.cl", "opencl/kernels/tiles.cl",
                                        "opencl/kernels/mma_layout.h", "opencl/kernels/mma.cl", "opencl/kernels/gemm_mma.cl"}};
inline constexpr Source kMmaProbeSource{"mma_probe",
                                        {"opencl/kernels/layout.h", "opencl/kernels/common.cl", "opencl/kernels/mma_layout.h",
                                         "opencl/kernels/mma.cl", "opencl/kernels/mma_probe.cl"}};

struct MmaPlan {
    const MmaTile* tile = nullptr;
    uint64_t row_tiles = 0, column_tiles = 0;
    uint64_t splits = 1, split_k = 0;  // parts of the depth, rows of each (the last may have fewer)
    uint64_t stages = 2;
};

// What a device needs at least.
inline constexpr uint64_t mma_smallest_local_bytes() { return kMmaTiles[std::size(kMmaTiles) - 1].local_bytes(true); }

inline bool mma_tile_fits(const MmaTile& tile, const Limits& limits, const TensorCores& cores) {
    return tile.group() <= limits.group && tile.local_bytes(cores.copies) <= cores.local_bytes;
}

inline const MmaTile& mma_tile(uint64_t m, uint64_t n, const Limits& limits, const TensorCores& cores) {
    for (const MmaTile& tile : kMmaTiles) {
        if (!mma_tile_fits(tile, limits, cores)) continue;
        // Half empty tiles are left to smaller ones.
        if (m * 2 <= tile.tile_m || n * 2 <= tile.tile_n) continue;
        if (blocks_of(m, tile.tile_m) * blocks_of(n, tile.tile_n) >= kMmaGroupsPerUnit * limits.compute_units) return tile;
    }
    return kMmaTiles[std::size(kMmaTiles) - 1];
}

// How many parts of the depth (TN) are wanted.
inline uint64_t mma_splits(const MmaPlan& plan, uint64_t k, const Limits& limits) {
    const uint64_t wanted = blocks_of(kMmaGroupsPerUnit * limits.compute_units, plan.row_tiles * plan.column_tiles);
    return std::min({wanted, blocks_of(k, kMmaSplitRows), kMmaMaxSplits});
}

inline MmaPlan plan_mma(Form form, uint64_t m, uint64_t n, uint64_t k, const Limits& limits, const TensorCores& cores) {
    MmaPlan plan;
    plan.tile = &mma_tile(m, n, limits, cores);
    plan.stages = cores.copies ? plan.tile->stages : 2;
    plan.row_tiles = blocks_of(m, plan.tile->tile_m);
    plan.column_tiles = blocks_of(n, plan.tile->tile_n);
    plan.split_k = std::max<uint64_t>(k, 1);
    if (form != Form::TN) return plan;
    if (const uint64_t splits = mma_splits(plan, k, limits); splits > 1) {
        plan.split_k = blocks_of(blocks_of(k, splits), kMmaDepth) * kMmaDepth;
        plan.splits = blocks_of(k, plan.split_k);
    }
    return plan;
}

// Whether a product goes to the tensor cores, by its extents at the program's capacity.
inline bool mma_serves(Form form, uint64_t m, const TensorCores& cores) {
    return cores.serve() && (form == Form::TN || m > kVectorRows);
}

inline std::string mma_options(const TensorCores& cores) {
    std::string options = define("HPC_PRECISION", static_cast<uint64_t>(cores.precision)) + define("HPC_MMA_ASYNC", cores.copies);
    options += define("HPC_MMA_EMULATED", cores.emulated);
    // Nobody waits for an emulation's answers, but tests wait for their compiler.
    if (cores.emulated) options += " -cl-opt-disable";
    return options;
}

inline Kernel mma_kernel(Form form, const MmaPlan& plan, const Epilogue& epilogue, const TensorCores& cores) {
    std::string options = mma_options(cores) + define("HPC_FORM", static_cast<uint64_t>(form)) + define("HPC_EPILOGUE", epilogue.kind);
    if (epilogue.kind != Epilogue::None)
        options += activation_options(epilogue.activation) + define("HPC_BIAS", epilogue.bias) + define("HPC_KEPT", epilogue.kept) +
                   define("HPC_SUMS", epilogue.sums);
    options += define("HPC_TILE_M", plan.tile->tile_m) + define("HPC_TILE_N", plan.tile->tile_n) + define("HPC_WARP_M", plan.tile->warp_m) +
               define("HPC_WARP_N", plan.tile->warp_n) + define("HPC_STAGES", plan.stages) +
               define("HPC_COPIES_PENDING", plan.stages - 2) + define("HPC_GEMM_BAND", kMmaBand);
    return {&kGemmMmaSource, options, "gemm_mma"};
}

inline Launch mma_launch(const MmaPlan& plan) { return {plan.row_tiles * plan.column_tiles * plan.splits, plan.tile->group()}; }

// Bytes of scratch that serve every smaller m (NN, NT: the rows of the run) or k (TN), too.
inline uint64_t mma_scratch(Form form, uint64_t m, uint64_t n, uint64_t k, bool sums, const Limits& limits, const TensorCores& cores) {
    if (form == Form::TN) {
        // As in gemm_scratch: room for all parts that are wanted.
        const uint64_t splits = mma_splits(plan_mma(form, m, n, k, limits, cores), k, limits);
        return splits > 1 ? splits * m * n * 4 : 0;
    }
    return sums ? blocks_of(m, kMmaTiles[std::size(kMmaTiles) - 1].tile_m) * n * 4 : 0;
}

}  // namespace hpc::opencl
