// The OpenCL kernels as the host sees them: sources, specialisations, arguments, launch shapes, scratch.
//
// A program is built from texts put one after the other (Source::texts; "formulas/..." and "opencl/kernels/..." are
// the places of the texts in this tree; no text includes another) and from options: common_options for the device,
// and what the kernel's own function below returns. Programs are specialised by tile, activation, rule and epilogue,
// never by shape but for small networks (small_network.h).
//
// Calling conventions, the same for every kernel:
//   - One dimension. Launch::groups work-groups of Launch::local work-items; groups == 0 means that there is nothing
//     to do. What lies beyond the extents is predicated inside.
//   - Arguments 0 and 1: the program's device_metrics (cl_mem alone), and `guard` (cl_uint): with 1 the kernel does
//     nothing while a flag is set (what writes parameters or optimizer state).
//   - Then the operands, two arguments each: cl_mem and the offset of the first element (cl_ulong, in elements of 4
//     bytes). An operand that the specialisation does not have gets any buffer and 0.
//   - Scratch operands are alike, with the offset in elements of 4 bytes, a multiple of 16 (64 bytes).
//   - Then the scalars: extents are cl_ulong, numbers cl_float, anything else as noted.
//   - Matrices are row-major and contiguous. Sums have an order that depends on shapes and Limits alone.
//
// To add a kernel: its text in kernels/, its function and its arguments here, a case in tests/opencl_kernels_test.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

#include "hpcnet.h"
#include "opencl/kernels/layout.h"
#include "tables.h"

namespace hpc::opencl {

// ---- Tunables (data) ------------------------------------------------------------------------------------------------

// Work-items of a work-group; every kernel but the tiled product works with any power of two up to this.
inline constexpr uint64_t kGroup = 256;  // HPC_GROUP
// Elements that a work-item of a flat pass takes: one float4.
inline constexpr uint64_t kFlatElements = 4;
// float4s that a work-item of a flat reduction (elementwise loss, norm) takes, at a distance of the group.
inline constexpr uint64_t kReductionVectors = 8;  // HPC_REDUCTION_VECTORS
// Rows that a work-item of a column sum adds up one after the other.
inline constexpr uint64_t kColumnSumRows = 32;
// Most columns of a column sum that a work-group has side by side: a multiple of what one memory transaction brings.
inline constexpr uint64_t kColumnLanes = 64;
// Row passes (softmax, cross-entropy, gather): the work-items that share a row, by the row's length.
struct RowLanes {
    uint64_t columns;  // up to this many
    uint64_t lanes;
};
inline constexpr RowLanes kRowLanes[] = {{32, 8}, {512, 32}, {~uint64_t{0}, kGroup}};
// Cross-entropy: how many rows each share of a work-group takes one after the other.
inline constexpr uint64_t kRowPasses = 4;

// The product's tiles: C is cut into tile_m x tile_n, a work-item has work_m x work_n of it in registers, two blocks of tile_k of
// the depth of each operand are in local memory. All powers of two, work_* 4 to 16, tile_k a multiple of 4. `resident`: groups
// that a unit with 65,536 registers is to hold at a time, from what a work-item needs (gemm.cl says how much that is). `unroll`:
// steps of the depth that follow one another without a loop: more would be fetched ahead of its use than there are registers.
// To add one: a row here; the tests and `hpcnet tune` find it.
struct GemmTile {
    const char* name;
    uint64_t tile_m, tile_n, tile_k, work_m, work_n;  // HPC_TILE_M, HPC_TILE_N, HPC_TILE_K, HPC_WORK_M, HPC_WORK_N
    uint64_t resident, unroll;                        // HPC_UNROLL
    constexpr uint64_t group() const { return tile_m / work_m * (tile_n / work_n); }
    constexpr uint64_t local_bytes() const { return 2 * tile_k * (tile_m + tile_n) * 4; }
    constexpr uint64_t area() const { return tile_m * tile_n; }
};
inline constexpr GemmTile kGemmTiles[] = {
    {"128x256x16-8x16", 128, 256, 16, 8, 16, 1, 8},
    {"128x256x8-8x16", 128, 256, 8, 8, 16, 1, 8},
    {"256x128x8-16x8", 256, 128, 8, 16, 8, 1, 8},
    {"128x128x16-8x16", 128, 128, 16, 8, 16, 2, 8},
    {"128x128x8-8x16", 128, 128, 8, 8, 16, 2, 8},
    {"128x128x16-8x8", 128, 128, 16, 8, 8, 1, 16},
    {"128x128x8-8x8", 128, 128, 8, 8, 8, 2, 8},
    {"64x128x8-8x8", 64, 128, 8, 8, 8, 4, 8},
    {"128x64x8-8x8", 128, 64, 8, 8, 8, 4, 8},
    {"64x64x16-4x4", 64, 64, 16, 4, 4, 4, 16},
    {"64x64x8-8x8", 64, 64, 8, 8, 8, 8, 8},
    {"128x32x16-8x4", 128, 32, 16, 8, 4, 4, 16},
    {"32x128x16-4x8", 32, 128, 16, 4, 8, 4, 16},
    {"128x16x16-8x4", 128, 16, 16, 8, 4, 8, 16},
    {"32x32x32-4x4", 32, 32, 32, 4, 4, 8, 16},
    {"32x32x16-4x4", 32, 32, 16, 4, 4, 8, 16},  // the last one fits every device
};
inline constexpr uint64_t kGemmTileCount = std::size(kGemmTiles);
inline constexpr uint64_t kRegisters = 65536;
// Most registers of a work-item.
inline constexpr uint64_t kMostRegisters = 255;
// Steps without a loop where the "device" is a processor: its compiler takes long, and wins nothing.
inline constexpr uint64_t kProcessorUnroll = 1;

// C's shapes, which choose the tile. Beside the narrow ones they are told apart by how many units with a tile of 128 x 128
// each would be busy.
enum class SizeClass : uint64_t { Small, Tall, Wide, Medium, Large, Huge };
inline constexpr const char* kSizeClassNames[] = {"small", "tall", "wide", "medium", "large", "huge"};
inline constexpr uint64_t kSizeClasses = 6;
inline constexpr uint64_t kNarrow = 32;          // up to so many columns C is tall, up to so many rows wide
inline constexpr uint64_t kUnitArea = 128 * 128;
inline constexpr uint64_t kHugeUnits = 4, kLargeUnits = 1, kMediumUnits = 8;  // 4 tiles for each unit, 1, and 1/8
inline constexpr uint64_t kThin = 64;            // with so few rows or columns it is not more than medium

// What kind of device it is: by its vendor's name and its type.
enum class DeviceClass : uint64_t { Other, Nvidia, Amd, Intel, Processor };
inline constexpr const char* kDeviceClassNames[] = {"other", "NVIDIA", "AMD", "Intel", "processor"};
// Which tile a class of devices takes for which sizes, for all three forms.
struct GemmDefaults {
    DeviceClass device;
    const char* tiles[kSizeClasses];  // small, tall, wide, medium, large, huge
};
inline constexpr GemmDefaults kGemmDefaults[] = {
    // What fits a unit's memory and registers whatever they are.
    {DeviceClass::Other,
     {"32x32x16-4x4", "128x32x16-8x4", "32x128x16-4x8", "64x64x16-4x4", "128x128x8-8x8", "128x128x8-8x8"}},
    // 255 registers, 65,536 of them for a unit: the widest work-items where there are tiles enough to fill it with them.
    {DeviceClass::Nvidia,
     {"32x32x32-4x4", "128x32x16-8x4", "32x128x16-4x8", "64x64x16-4x4", "128x128x8-8x8", "128x256x8-8x16"}},
    // 64 work-items in step and a local memory that is slower beside the arithmetic: deeper blocks.
    {DeviceClass::Amd,
     {"32x32x32-4x4", "128x32x16-8x4", "32x128x16-4x8", "64x64x16-4x4", "128x128x8-8x8", "128x128x16-8x8"}},
    // 4 KiB of registers for 8 or 16 work-items: 8 x 8 sums would not stay in them.
    {DeviceClass::Intel,
     {"32x32x16-4x4", "128x32x16-8x4", "32x128x16-4x8", "64x64x16-4x4", "64x64x16-4x4", "64x64x16-4x4"}},
    // Local memory is memory there: few barriers, blocks that the caches hold.
    {DeviceClass::Processor,
     {"32x32x16-4x4", "32x32x16-4x4", "32x32x16-4x4", "64x64x16-4x4", "128x128x16-8x8", "128x128x16-8x8"}},
};
// Up to this many rows a product is as many matrix-vector products (gemv.cl).
inline constexpr uint64_t kVectorRows = 4;
// Columns (NN) or lanes along the depth (NT) that a work-group of a matrix-vector product has side by side.
inline constexpr uint64_t kVectorLanes = 32;  // HPC_VECTOR_LANES
// Rows of tiles that neighbouring work-groups share, so that both operands stay in the second-level cache.
inline constexpr uint64_t kGemmBand = 8;  // HPC_GEMM_BAND
// Where the last turn of tiles would leave units without work, the depth of its tiles is cut into parts. A part has at least
// kSplitDepth of it; there are at most kMaxSplits, and in all at most kSplitTurns turns of parts.
inline constexpr uint64_t kSplitDepth = 128;
inline constexpr uint64_t kMaxSplits = 64;
inline constexpr uint64_t kSplitTurns = 2;
// What that costs, in multiply-adds that a unit could do meanwhile: to begin and end a tile, as much as so many steps of its depth;
// one more launch; each byte of the parts, which is written and read.
inline constexpr uint64_t kTileSteps = 32;
inline constexpr uint64_t kFinishWork = 1 << 21;
inline constexpr uint64_t kByteWork = 8;

// ---- What a device allows -------------------------------------------------------------------------------------------

struct Limits {
    uint64_t group = kGroup;  // largest work-group that is used: a power of two
    uint64_t local_bytes = 32768;
    uint64_t compute_units = 16;
    bool fp64 = false;            // cl_khr_fp64
    bool rounded_divide = false;  // CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT
    DeviceClass device = DeviceClass::Other;
    // The number of the tile in kGemmTiles, by form and size class: the defaults of the device's class, or what was measured
    // (tuning.h).
    uint8_t tiles[3][kSizeClasses] = {};
    bool processor = false;            // small networks are for a processor (tests say otherwise)
    uint64_t all_local_bytes = 32768;  // CL_DEVICE_LOCAL_MEM_SIZE as it is (small_network.h)

    static constexpr uint64_t kLeastGroup = 64, kLeastLocalBytes = 16384;  // a device with less is refused
    static constexpr uint64_t kMostLocalBytes = 49152;                     // what a kernel has without asking for more

    bool runs(const GemmTile& tile) const { return tile.group() <= group && tile.local_bytes() <= local_bytes; }

    // From CL_DEVICE_MAX_WORK_GROUP_SIZE, CL_DEVICE_LOCAL_MEM_SIZE, CL_DEVICE_MAX_COMPUTE_UNITS.
    static Limits of(uint64_t max_group, uint64_t local, uint64_t units, bool has_fp64, bool has_rounded_divide,
                     DeviceClass device = DeviceClass::Other) {
        Limits limits;
        while (limits.group > max_group) limits.group /= 2;
        limits.local_bytes = std::min(local, kMostLocalBytes);
        limits.compute_units = std::max<uint64_t>(units, 1);
        limits.fp64 = has_fp64;
        limits.rounded_divide = has_rounded_divide;
        limits.device = device;
        for (const GemmDefaults& defaults : kGemmDefaults) {
            if (defaults.device != device) continue;
            for (auto& form : limits.tiles)
                for (uint64_t size = 0; size < kSizeClasses; size++) form[size] = limits.nearest(defaults.tiles[size]);
        }
        return limits;
    }

private:
    // The number of a tile, or of the largest one that is not larger and runs here.
    uint8_t nearest(const char* name) const {
        uint64_t at = 0;
        while (std::strcmp(kGemmTiles[at].name, name) != 0) at++;
        const GemmTile& wanted = kGemmTiles[at];
        while (!runs(kGemmTiles[at]) || kGemmTiles[at].tile_m > wanted.tile_m || kGemmTiles[at].tile_n > wanted.tile_n) at++;
        return static_cast<uint8_t>(at);
    }
};

// ---- Programs -------------------------------------------------------------------------------------------------------

// The texts of a program, in order; the list ends with null.
struct Source {
    const char* name;
    const char* texts[12];
};

#define HPC_BASE "opencl/kernels/layout.h", "opencl/kernels/common.cl"
#define HPC_FORMULAS HPC_BASE, "formulas/ops_opencl.h", "formulas/elementary.h"
inline constexpr Source kGemmSource{
    "gemm", {HPC_FORMULAS, "formulas/activations.h", "opencl/kernels/epilogue.cl", "opencl/kernels/tiles.cl", "opencl/kernels/gemm.cl"}};
inline constexpr Source kGemmFinishSource{"gemm_finish",
                                          {HPC_FORMULAS, "formulas/activations.h", "opencl/kernels/epilogue.cl",
                                           "opencl/kernels/tiles.cl", "opencl/kernels/gemm_finish.cl"}};
inline constexpr Source kGemvSource{
    "gemv", {HPC_FORMULAS, "formulas/activations.h", "opencl/kernels/epilogue.cl", "opencl/kernels/gemv.cl"}};
inline constexpr Source kProductCheckSource{"product_check", {HPC_BASE, "opencl/kernels/product_check.cl"}};
inline constexpr Source kActivationSource{
    "activation",
    {HPC_FORMULAS, "formulas/activations.h", "opencl/kernels/epilogue.cl", "opencl/kernels/activation.cl"}};
inline constexpr Source kPReluSource{"prelu", {HPC_FORMULAS, "formulas/activations.h", "opencl/kernels/prelu.cl"}};
inline constexpr Source kElementwiseSource{"elementwise", {HPC_BASE, "opencl/kernels/links.cl", "opencl/kernels/elementwise.cl"}};
inline constexpr Source kAdversarialSource{
    "adversarial", {HPC_FORMULAS, "formulas/adversarial.h", "opencl/kernels/adversarial.cl"}};
inline constexpr Source kRandomSource{"random", {HPC_FORMULAS, "opencl/kernels/philox.cl", "opencl/kernels/random.cl"}};
inline constexpr Source kGatherSource{"gather", {HPC_BASE, "opencl/kernels/gather.cl"}};
inline constexpr Source kSoftmaxSource{"softmax", {HPC_FORMULAS, "opencl/kernels/softmax.cl"}};
inline constexpr Source kCrossEntropySource{"cross_entropy", {HPC_FORMULAS, "opencl/kernels/cross_entropy.cl"}};
inline constexpr Source kLossSource{"loss", {HPC_FORMULAS, "formulas/losses.h", "opencl/kernels/loss.cl"}};
inline constexpr Source kReduceSource{"reduce", {HPC_BASE, "opencl/kernels/losses.cl", "opencl/kernels/reduce.cl"}};
inline constexpr Source kUpdateSource{
    "update", {HPC_FORMULAS, "formulas/rules.h", "opencl/kernels/philox.cl", "opencl/kernels/update.cl"}};
inline constexpr Source kRecurrentSource{"recurrent", {HPC_FORMULAS, "formulas/cells.h", "opencl/kernels/recurrent.cl"}};
inline constexpr Source kNormalizationSource{
    "normalization", {HPC_FORMULAS, "formulas/normalization.h", "opencl/kernels/normalization.cl"}};
inline constexpr Source kEmbeddingSource{"embedding", {HPC_FORMULAS, "opencl/kernels/embedding.cl"}};
#undef HPC_FORMULAS
#undef HPC_BASE

// A kernel of a specialised program. Kernels with the same source and options share one program.
struct Kernel {
    const Source* source;
    std::string options;  // behind common_options
    const char* name;
};

struct Launch {
    uint64_t groups = 0;
    uint64_t local = 0;
    uint64_t global() const { return groups * local; }
};

inline std::string define(const char* name, uint64_t value) {
    return std::string(" -D") + name + "=" + std::to_string(value);
}

// The two formulas of a row. Whole names: a driver's own macros may rename a bare `tanh`.
inline std::string formula(const char* family, const char* row) {
    return std::string(" -D") + family + "_VALUE=" + row + "_value -D" + family + "_DERIVATIVE=" + row + "_derivative";
}

// For every program of a device.
inline std::string common_options(const Limits& limits) {
    std::string options = "-cl-std=CL1.2";
    if (limits.rounded_divide) options += " -cl-fp32-correctly-rounded-divide-sqrt";
    options += define("HPC_GROUP", limits.group) + define("HPC_REDUCTION_VECTORS", kReductionVectors) +
               define("HPC_VECTOR_LANES", kVectorLanes) + define("HPC_FLAG_NONFINITE", HPC_FLAG_NONFINITE) +
               define("HPC_FLAG_INDEX", HPC_FLAG_INDEX) + define("HPC_FLAG_LABEL", HPC_FLAG_LABEL);
    if (limits.fp64) options += define("HPC_FP64", 1);
    return options;
}

inline constexpr uint64_t blocks_of(uint64_t count, uint64_t block) { return (count + block - 1) / block; }
inline constexpr uint64_t padded(uint64_t count) { return blocks_of(count, 16) * 16; }
inline constexpr uint64_t power_of_two_from(uint64_t count) {
    uint64_t power = 1;
    while (power < count) power *= 2;
    return power;
}

// A sum of layout.h, as a number.
inline double read_sum(uint64_t cell, bool fp64) {
    if (fp64) {
        double value;
        std::memcpy(&value, &cell, sizeof value);
        return value;
    }
    float pair[2];
    std::memcpy(pair, &cell, sizeof pair);
    return static_cast<double>(pair[0]) + static_cast<double>(pair[1]);
}

// ---- Products (gemm.cl, gemv.cl) ------------------------------------------------------------------------------------

// C is [m x n], the depth k. Numbers are HPC_FORM.
enum class Form : uint64_t {
    NN = 0,  // C = A[m x k] B[k x n]
    NT = 1,  // C = A[m x k] B[n x k]^T
    TN = 2,  // C = A[k x m]^T B[k x n]
};

// What is done to C before it is written.
struct Epilogue {
    enum Kind : uint64_t {
        None = 0,
        Forward = 1,   // c = f(c + bias), kept = f'; bias and kept as given
        Backward = 2,  // c = f'(kept) c, and column sums; sums as given
    };
    Kind kind = None;  // HPC_EPILOGUE
    int32_t activation = HPC_ACTIVATION_LINEAR;
    bool bias = false;  // HPC_BIAS
    bool kept = false;  // HPC_KEPT (forward: written; backward: read)
    bool sums = false;  // HPC_SUMS
};

inline std::string activation_options(int32_t activation) {
    const hpc_activation_info* info = activation_info(activation);
    return formula("HPC_ACTIVATION", info->name) + define("HPC_KEEPS", static_cast<uint64_t>(info->keeps));
}

struct GemmPlan {
    const GemmTile* tile = nullptr;  // null: matrix-vector
    uint64_t row_tiles = 0, column_tiles = 0;
    uint64_t whole = 0;                // tiles with a smaller number are computed whole, the others in parts
    uint64_t splits = 1, split_k = 0;  // parts of the depth, rows of each (the last may have fewer)
    uint64_t strips = 1;               // rows of column sums for each row of tiles

    uint64_t tiles() const { return row_tiles * column_tiles; }
    uint64_t cut() const { return tiles() - whole; }
    uint64_t sum_rows() const { return row_tiles * strips; }
};

// By C's size alone; the rows are rounded up, so that few numbers of rows make a difference.
inline SizeClass size_class(uint64_t m, uint64_t n, const Limits& limits) {
    const uint64_t rows = padded(m);
    if (n <= kNarrow) return rows <= kNarrow ? SizeClass::Small : SizeClass::Tall;
    if (rows <= kNarrow) return SizeClass::Wide;
    const uint64_t area = rows * n, unit = kUnitArea * limits.compute_units;
    const bool thin = rows <= kThin || n <= kThin;
    if (!thin && area >= kHugeUnits * unit) return SizeClass::Huge;
    if (!thin && area >= kLargeUnits * unit) return SizeClass::Large;
    return area * kMediumUnits >= unit ? SizeClass::Medium : SizeClass::Small;
}

// Groups that are at work at a time, on a unit (a processor's does one after the other) and on the device.
inline uint64_t gemm_resident(const GemmTile& tile, const Limits& limits) {
    return limits.device == DeviceClass::Processor ? 1 : tile.resident;
}
inline uint64_t gemm_slots(const GemmTile& tile, const Limits& limits) { return limits.compute_units * gemm_resident(tile, limits); }

// The most parts that the tiles of the last turn may be cut into: for larger k never fewer.
inline uint64_t most_splits(const GemmTile& tile, uint64_t tiles, uint64_t k, const Limits& limits) {
    const uint64_t slots = gemm_slots(tile, limits), last = tiles % slots;
    if (last == 0) return 1;
    return std::max<uint64_t>(std::min({kSplitTurns * slots / last, k / kSplitDepth, kMaxSplits}), 1);
}

// Whole turns of tiles stay whole. What is left over is cut into parts of equal depth where that ends sooner: as many as
// cost least.
inline void plan_splits(GemmPlan& plan, uint64_t k, const Limits& limits) {
    const GemmTile& tile = *plan.tile;
    const uint64_t slots = gemm_slots(tile, limits), last = plan.tiles() % slots, blocks = blocks_of(k, tile.tile_k);
    plan.whole = plan.tiles();
    const uint64_t most = most_splits(tile, plan.tiles(), k, limits);
    uint64_t best = ~uint64_t{0};
    for (uint64_t splits = 1; splits <= most; splits++) {
        const uint64_t part = blocks_of(blocks, splits), parts = blocks_of(blocks, std::max<uint64_t>(part, 1));
        if (parts != splits && splits > 1) continue;  // the same as fewer
        uint64_t cost = blocks_of(last * splits, slots) * (part * tile.tile_k + kTileSteps) * tile.area() * gemm_resident(tile, limits);
        if (splits > 1) cost += kFinishWork + last * splits * tile.area() * 4 * kByteWork / limits.compute_units;
        if (cost >= best) continue;
        best = cost;
        plan.splits = splits;
        plan.split_k = splits > 1 ? part * tile.tile_k : plan.split_k;
    }
    if (plan.splits > 1) plan.whole -= last;
}

// Rows of a tile that a work-group of gemm_finish takes.
inline uint64_t gemm_strip(const GemmTile& tile, const Limits& limits) {
    return std::min(limits.group * 4 / tile.tile_n, tile.tile_m);
}

inline GemmPlan plan_gemm(Form form, uint64_t m, uint64_t n, uint64_t k, const Limits& limits, const GemmTile* tile = nullptr) {
    GemmPlan plan;
    plan.split_k = std::max<uint64_t>(k, 1);
    if (!tile && form != Form::TN && m <= kVectorRows) {
        plan.row_tiles = m;
        const uint64_t outputs = form == Form::NN ? kVectorLanes : limits.group / kVectorLanes;
        plan.column_tiles = blocks_of(n, outputs);
        plan.whole = plan.tiles();
        return plan;
    }
    plan.tile = tile ? tile : &kGemmTiles[limits.tiles[static_cast<uint64_t>(form)][static_cast<uint64_t>(size_class(m, n, limits))]];
    plan.row_tiles = blocks_of(m, plan.tile->tile_m);
    plan.column_tiles = blocks_of(n, plan.tile->tile_n);
    plan_splits(plan, k, limits);
    if (plan.splits > 1) plan.strips = plan.tile->tile_m / gemm_strip(*plan.tile, limits);
    return plan;
}

// Whether every row of both operands begins at a multiple of 16 bytes, given the places of the operands in elements.
inline bool gemm_aligned(Form form, uint64_t m, uint64_t n, uint64_t k, uint64_t a_at, uint64_t b_at) {
    return ((a_at | b_at | (form == Form::TN ? m : k) | (form == Form::NT ? k : n)) & 3) == 0;
}

inline std::string epilogue_options(const Epilogue& epilogue) {
    std::string options = define("HPC_EPILOGUE", epilogue.kind);
    if (epilogue.kind != Epilogue::None) {
        options += activation_options(epilogue.activation) + define("HPC_BIAS", epilogue.bias) +
                   define("HPC_KEPT", epilogue.kept) + define("HPC_SUMS", epilogue.sums);
    }
    return options;
}
inline std::string tile_options(const GemmTile& tile) {
    return define("HPC_TILE_M", tile.tile_m) + define("HPC_TILE_N", tile.tile_n) + define("HPC_GEMM_BAND", kGemmBand);
}

// Arguments of "gemm" and "gemv": metrics, guard, a, b, c, bias, kept, sums, parts; m, n, k, split_k (ulong); whole, splits, strips
// (uint); alpha, beta.
//   parts  scratch, [plan.cut()][splits][tile_m][tile_n]; gemm_finish makes C of it
//   sums   [plan.sum_rows()][n]: scratch if there is more than one row, then column_sums over them makes the sums of it; else the
//          sums themselves
inline Kernel gemm_kernel(Form form, const GemmPlan& plan, const Epilogue& epilogue, bool aligned, const Limits& limits) {
    std::string options = define("HPC_FORM", static_cast<uint64_t>(form)) + epilogue_options(epilogue);
    if (!plan.tile) return {&kGemvSource, options, "gemv"};
    const GemmTile& tile = *plan.tile;
    const bool processor = limits.device == DeviceClass::Processor;
    options += tile_options(tile) + define("HPC_TILE_K", tile.tile_k) + define("HPC_WORK_M", tile.work_m) +
               define("HPC_WORK_N", tile.work_n) + define("HPC_UNROLL", processor ? kProcessorUnroll : tile.unroll) +
               define("HPC_PROCESSOR", processor) + define("HPC_ALIGNED", aligned) + define("HPC_SPLIT", plan.splits > 1);
    // What the compiler would take more of, another group could not have.
    if (limits.device == DeviceClass::Nvidia)
        options += " -cl-nv-maxrregcount=" + std::to_string(std::min(kRegisters / (tile.group() * tile.resident), kMostRegisters));
    return {&kGemmSource, options, "gemm"};
}
inline Launch gemm_launch(const GemmPlan& plan, const Limits& limits) {
    return {plan.tile ? plan.whole + plan.cut() * plan.splits : plan.tiles(), plan.tile ? plan.tile->group() : limits.group};
}

// Follows "gemm" if plan.splits > 1.
// Arguments: metrics, guard, parts, c, bias, kept, sums; m, n (ulong); whole, splits (uint); alpha, beta.
inline Kernel gemm_finish_kernel(const GemmPlan& plan, const Epilogue& epilogue) {
    return {&kGemmFinishSource, epilogue_options(epilogue) + tile_options(*plan.tile), "gemm_finish"};
}
inline Launch gemm_finish_launch(const GemmPlan& plan, const Limits& limits) {
    if (plan.splits <= 1) return {};
    return {plan.cut() * plan.strips, limits.group};
}

// Scratch that serves every smaller m (NN, NT: the rows of the run) or k (TN), too: the column sums, then from `parts` on the parts
// of tiles. In bytes.
struct GemmScratch {
    uint64_t parts = 0, bytes = 0;
};
inline GemmScratch gemm_scratch(Form form, uint64_t m, uint64_t n, uint64_t k, bool sums, const Limits& limits) {
    uint64_t sum_rows = sums ? std::min(m, kVectorRows) : 0, elements = 0;
    const auto& choices = limits.tiles[static_cast<uint64_t>(form)];
    // A tile that a run may choose; `parts`: how many parts of tiles there are then at most, 0 where nothing is cut.
    auto meet = [&](const GemmTile& tile, uint64_t rows, uint64_t parts) {
        if (sums) sum_rows = std::max(sum_rows, blocks_of(rows, tile.tile_m) * (parts ? tile.tile_m / gemm_strip(tile, limits) : 1));
        elements = std::max(elements, parts * tile.area());
    };
    auto at = [&](uint64_t rows) {
        const GemmTile& tile = kGemmTiles[choices[static_cast<uint64_t>(size_class(rows, n, limits))]];
        const uint64_t tiles = blocks_of(rows, tile.tile_m) * blocks_of(n, tile.tile_n);
        const uint64_t splits = most_splits(tile, tiles, k, limits);
        meet(tile, rows, splits > 1 ? tiles % gemm_slots(tile, limits) * splits : 0);
    };
    if (form == Form::TN) {
        at(m);
    } else {
        // A plan depends on no more of the rows than how many sixteens there are; behind a few thousand, the last turn may be any.
        constexpr uint64_t kStep = 16, kSteps = 4096;
        for (uint64_t rows = kStep; rows < m + kStep && rows <= kStep * kSteps; rows += kStep) at(std::min(rows, m));
        if (m > kStep * kSteps) {
            for (const uint8_t choice : choices) {
                const GemmTile& tile = kGemmTiles[choice];
                meet(tile, m, k >= 2 * kSplitDepth ? kSplitTurns * gemm_slots(tile, limits) : 0);
            }
        }
    }
    GemmScratch scratch;
    scratch.parts = sum_rows > 1 ? padded(sum_rows * n) * 4 : 0;
    scratch.bytes = scratch.parts + elements * 4;
    return scratch;
}

// ---- Column sums (reduce.cl) ----------------------------------------------------------------------------------------

// y[part, :] = the sums of rows [part * block, (part + 1) * block) of x, for every part. With block = rows: the sums
// themselves, and what combines partial results ([parts][count] -> [count]) in a fixed order, with compensation.
struct ColumnPlan {
    uint64_t lanes = 1;  // columns side by side in a work-group; a power of two
    uint64_t column_groups = 0;
    uint64_t block = 1, parts = 0;
};
inline ColumnPlan plan_columns(uint64_t rows, uint64_t columns, const Limits& limits) {
    ColumnPlan plan;
    plan.lanes = std::min({power_of_two_from(columns), kColumnLanes, limits.group});
    plan.column_groups = blocks_of(columns, plan.lanes);
    plan.block = limits.group / plan.lanes * kColumnSumRows;
    plan.parts = blocks_of(rows, plan.block);
    return plan;
}
inline ColumnPlan plan_combine(uint64_t parts, uint64_t columns, const Limits& limits) {
    ColumnPlan plan = plan_columns(parts, columns, limits);
    plan.block = parts;
    plan.parts = 1;
    return plan;
}
// Arguments: metrics, guard, x, y; rows, columns, block (ulong); lanes (uint).
// plan.parts > 1: y is scratch [parts][columns], and a second launch with plan_combine(parts, columns) follows.
inline Kernel column_sums_kernel() { return {&kReduceSource, "", "column_sums"}; }
inline Launch columns_launch(const ColumnPlan& plan, const Limits& limits) {
    return {plan.column_groups * plan.parts, limits.group};
}
// For rows and anything below.
inline uint64_t columns_scratch(uint64_t rows, uint64_t columns, const Limits& limits) {
    const ColumnPlan plan = plan_columns(rows, columns, limits);
    return plan.parts > 1 ? plan.parts * columns * 4 : 0;
}

// ---- Activations (activation.cl) ------------------------------------------------------------------------------------

inline Launch flat_launch(uint64_t count, const Limits& limits) {
    return {blocks_of(count, limits.group * kFlatElements), limits.group};
}

// Arguments: metrics, guard, x, y, derivative; count (ulong); alpha, beta. Launch: flat_launch(count).
inline Kernel activation_forward_kernel(int32_t activation, bool derivative) {
    return {&kActivationSource, activation_options(activation) + define("HPC_KEPT", derivative), "activation_forward"};
}
// Arguments: metrics, guard, kept, dy, dx; count (ulong); alpha, beta. Launch: flat_launch(count). `kept`: whether
// there is such an operand.
inline Kernel activation_backward_kernel(int32_t activation, bool kept) {
    return {&kActivationSource, activation_options(activation) + define("HPC_KEPT", kept), "activation_backward"};
}
// Arguments: metrics, guard, kept, dy, dx, sums; rows, columns, block (ulong); lanes (uint); alpha, beta. Plan, launch,
// scratch and what follows as for column_sums.
inline Kernel activation_backward_sums_kernel(int32_t activation, bool kept) {
    return {&kActivationSource, activation_options(activation) + define("HPC_KEPT", kept), "activation_backward_sums"};
}

// ---- PReLU (prelu.cl): columns_launch(plan_columns(rows, columns)) ----------------------------------------------------

// Arguments: metrics, guard, x, slope, y; rows, columns, block (ulong); lanes (uint). `shared`: one slope for all columns.
inline Kernel prelu_forward_kernel(bool shared) { return {&kPReluSource, define("HPC_SHARED", shared), "prelu_forward"}; }
// Arguments: metrics, guard, x, slope, dy, dx, dslope, sums; rows, columns, block (ulong); lanes (uint).
//   dslope  [parts][columns]: scratch if shared or parts > 1, then column_sums makes the slope's gradient of it: with
//           plan_combine(parts, columns), or, shared, with plan_combine(parts * columns, 1)
//   sums    as for column_sums
inline Kernel prelu_backward_kernel(bool shared, bool dx, bool dslope, bool sums) {
    return {&kPReluSource,
            define("HPC_SHARED", shared) + define("HPC_DX", dx) + define("HPC_DSLOPE", dslope) + define("HPC_SUMS", sums),
            "prelu_backward"};
}
// Scratch: the slope's parts, then (at prelu_sums_offset) those of the sums; for rows and anything below.
inline uint64_t prelu_sums_offset(uint64_t rows, uint64_t columns, bool dslope, const Limits& limits) {
    return dslope ? padded(plan_columns(rows, columns, limits).parts * columns) * 4 : 0;
}
inline uint64_t prelu_scratch(uint64_t rows, uint64_t columns, bool dslope, bool sums, const Limits& limits) {
    return prelu_sums_offset(rows, columns, dslope, limits) + (sums ? columns_scratch(rows, columns, limits) : 0);
}

// ---- Elementwise (elementwise.cl), random numbers (random.cl): flat_launch(count) -----------------------------------

// x *= factor.                 Arguments: metrics, guard, x; count; factor (float).
inline Kernel scale_kernel() { return {&kElementwiseSource, "", "scale"}; }
// y += factor x.               Arguments: metrics, guard, x, y; count; factor (float).
inline Kernel add_scaled_kernel() { return {&kElementwiseSource, "", "add_scaled"}; }
// x = value.                   Arguments: metrics, guard, x; count; value (float).
inline Kernel fill_kernel() { return {&kElementwiseSource, "", "fill"}; }
// x *= min(1, max_norm / (norm + 1e-6)).  Arguments: metrics, guard, x, norm; count; max_norm (float).
inline Kernel clip_by_norm_kernel() { return {&kElementwiseSource, "", "clip_by_norm"}; }
// x = min(max(x, -limit), limit).  Arguments: metrics, guard, x; count; limit (float).
inline Kernel clip_by_value_kernel() { return {&kElementwiseSource, "", "clip_by_value"}; }
// y += l1 sign(x) + l2 x.  Arguments: metrics, guard, x, y; count; l1, l2 (float).
inline Kernel add_penalty_kernel() { return {&kElementwiseSource, "", "add_penalty"}; }
// Arguments: metrics, guard, x; count, seed, stream (ulong); low, high (float).
inline Kernel philox_uniform_kernel() { return {&kRandomSource, "", "philox_uniform"}; }
// Arguments: metrics, guard, x, y; count, seed, stream (ulong); rate (float).
inline Kernel dropout_kernel() { return {&kRandomSource, "", "dropout"}; }
// The first `moved` elements of y = x are moved along the sign of the gradient.
// Arguments: metrics, guard, x, gradient, y; count, moved; epsilon, low, high (float).
inline Kernel fast_gradient_sign_kernel() { return {&kAdversarialSource, "", "fast_gradient_sign"}; }
// z = x y.                     Arguments: metrics, guard, x, y, z; count.
inline Kernel multiply_kernel() { return {&kElementwiseSource, "", "multiply"}; }
// Arguments: metrics, guard, x, y; count, seed, stream (ulong); rate, scale, shift, dropped (float).
inline Kernel affine_dropout_kernel() { return {&kRandomSource, "", "affine_dropout"}; }
// Arguments: metrics, guard, x, y; count, seed, stream (ulong); deviation (float).
inline Kernel gaussian_noise_kernel() { return {&kRandomSource, "", "gaussian_noise"}; }

// ---- Gather (gather.cl) ---------------------------------------------------------------------------------------------

inline uint64_t row_lanes(uint64_t columns, const Limits& limits) {
    for (const RowLanes& entry : kRowLanes)
        if (columns <= entry.columns) return std::min(entry.lanes, limits.group);
    return limits.group;
}

// Any elements of 4 bytes. Arguments: metrics, guard, source, indices, destination; source_rows, indices_count, offset,
// rows, columns (ulong); lanes (uint, = row_lanes(columns)).
inline Kernel gather_kernel() { return {&kGatherSource, "", "gather_rows"}; }
// Rows of `columns` elements from x to y, at distances ldx and ldy. Launch: gather_launch(rows, columns).
// Arguments: metrics, guard, x, y; rows, columns, ldx, ldy (ulong); lanes (uint, = row_lanes(columns)).
inline Kernel copy_columns_kernel() { return {&kGatherSource, "", "copy_columns"}; }
inline Launch gather_launch(uint64_t rows, uint64_t columns, const Limits& limits) {
    return {blocks_of(rows, limits.group / row_lanes(columns, limits)), limits.group};
}

// ---- Softmax (softmax.cl), cross-entropy (cross_entropy.cl) ---------------------------------------------------------

// Arguments: metrics, guard, x, y; rows, columns (ulong).
inline Kernel softmax_kernel(uint64_t columns, const Limits& limits) {
    return {&kSoftmaxSource, define("HPC_ROW_LANES", row_lanes(columns, limits)), "softmax"};
}
inline Launch softmax_launch(uint64_t rows, uint64_t columns, const Limits& limits) {
    return gather_launch(rows, columns, limits);
}
// Arguments: metrics, guard, x, y; rows, columns (ulong). Launch: softmax_launch.
inline Kernel log_softmax_kernel(uint64_t columns, const Limits& limits) {
    return {&kSoftmaxSource, define("HPC_ROW_LANES", row_lanes(columns, limits)), "log_softmax"};
}
// Arguments: metrics, guard, y, dy, dx; rows, columns (ulong). Launch: softmax_launch.
inline Kernel softmax_backward_kernel(uint64_t columns, const Limits& limits) {
    return {&kSoftmaxSource, define("HPC_ROW_LANES", row_lanes(columns, limits)), "softmax_backward"};
}
inline Kernel log_softmax_backward_kernel(uint64_t columns, const Limits& limits) {
    return {&kSoftmaxSource, define("HPC_ROW_LANES", row_lanes(columns, limits)), "log_softmax_backward"};
}

struct CrossEntropy {
    bool labels;     // HPC_LABELS: int32 [rows], else float [rows x classes]
    bool adds_loss;  // HPC_ADDS_LOSS
    bool gradient;   // HPC_GRADIENT
    bool sums;       // HPC_SUMS: column sums of the gradient
    int32_t loss = HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY;  // HPC_CLASS_LOSS
    // HPC_MIXED, with more arguments: class weights (HPC_CLASS_WEIGHTS), a label that does not count (HPC_IGNORES), alpha
    // and beta; HPC_WEIGHS: the mean is over the weights of the labels, which label_weights added up before.
    bool mixed = false, class_weights = false, ignores = false, weighs = false;
};
// Rows of a work-group.
inline uint64_t cross_entropy_block(uint64_t classes, const Limits& limits) {
    return limits.group / row_lanes(classes, limits) * kRowPasses;
}
inline uint64_t cross_entropy_parts(uint64_t rows, uint64_t classes, const Limits& limits) {
    return blocks_of(rows, cross_entropy_block(classes, limits));
}
// Arguments: metrics, guard, logits, target, gradient, sums, partials; rows, classes, block (ulong); scale (float, see
// loss_scale: multiplies the gradient); if mixed also class_weights, share (operands), ignored (int), alpha, beta.
//   sums      [parts][classes]: scratch if parts > 1, then column_sums with plan_combine; else the sums themselves
//   partials  scratch, loss_partial[parts]; read by combine_losses, which follows if adds_loss
//   share     scratch, one float: what label_weights wrote, if it was launched
inline std::string cross_entropy_options(uint64_t classes, const CrossEntropy& what, const Limits& limits) {
    return define("HPC_ROW_LANES", row_lanes(classes, limits)) + define("HPC_LABELS", what.labels) +
           define("HPC_ADDS_LOSS", what.adds_loss) + define("HPC_GRADIENT", what.gradient) + define("HPC_SUMS", what.sums) +
           define("HPC_CLASS_LOSS", static_cast<uint64_t>(what.loss)) + define("HPC_MIXED", what.mixed) +
           define("HPC_CLASS_WEIGHTS", what.class_weights) + define("HPC_IGNORES", what.ignores) + define("HPC_WEIGHS", what.weighs);
}
inline Kernel cross_entropy_kernel(uint64_t classes, const CrossEntropy& what, const Limits& limits) {
    return {&kCrossEntropySource, cross_entropy_options(classes, what, limits), "cross_entropy"};
}
// Goes before it if what.weighs. Launch: one_group.
// Arguments: metrics, guard, labels, class_weights, share; rows, classes (ulong); ignored (int).
inline Kernel label_weights_kernel(uint64_t classes, const CrossEntropy& what, const Limits& limits) {
    return {&kCrossEntropySource, cross_entropy_options(classes, what, limits), "label_weights"};
}
inline Launch cross_entropy_launch(uint64_t rows, uint64_t classes, const Limits& limits) {
    return {cross_entropy_parts(rows, classes, limits), limits.group};
}
// Scratch: the loss partials, then (at cross_entropy_sums_offset) the column sums' parts; for rows and anything below.
inline uint64_t cross_entropy_sums_offset(uint64_t rows, uint64_t classes, const Limits& limits) {
    return padded(cross_entropy_parts(rows, classes, limits) * sizeof(loss_partial) / 4) * 4;
}
inline uint64_t cross_entropy_scratch(uint64_t rows, uint64_t classes, bool sums, const Limits& limits) {
    return cross_entropy_sums_offset(rows, classes, limits) +
           (sums ? cross_entropy_parts(rows, classes, limits) * classes * 4 : 0);
}
// With what.weighs the scratch begins with the share; all the rest lies this many bytes behind it.
inline constexpr uint64_t kShareBytes = 64;

// ---- Elementwise losses (loss.cl) -----------------------------------------------------------------------------------

// What multiplies the gradient: `count` is the number of rows (cross-entropy) or elements that a mean is taken over.
inline float loss_scale(int32_t reduction, float weight, uint64_t count) {
    return reduction == HPC_REDUCTION_SUM ? weight : weight / static_cast<float>(static_cast<int64_t>(count));
}
inline uint64_t reduction_block(const Limits& limits) { return limits.group * kReductionVectors * 4; }

// Arguments: metrics, guard, prediction, target, gradient, partials; count (ulong); scale, alpha, beta; with weights or
// alphas also weights, alphas (operands), columns (ulong).
//   partials  scratch, loss_partial[groups of the launch]; read by combine_losses, which follows if adds_loss
inline Kernel loss_kernel(int32_t loss, bool adds_loss, bool gradient, bool weights = false, bool alphas = false) {
    return {&kLossSource,
            formula("HPC_LOSS", loss_info(loss)->name) + define("HPC_ADDS_LOSS", adds_loss) +
                define("HPC_GRADIENT", gradient) + define("HPC_WEIGHTS", weights) + define("HPC_ALPHAS", alphas),
            "elementwise_loss"};
}
inline Launch loss_launch(uint64_t count, const Limits& limits) {
    return {blocks_of(count, reduction_block(limits)), limits.group};
}
inline uint64_t loss_scratch(uint64_t count, const Limits& limits) {
    return loss_launch(count, limits).groups * sizeof(loss_partial);
}

// ---- Metrics and norm (reduce.cl) -----------------------------------------------------------------------------------

inline Launch one_group(const Limits& limits) { return {1, limits.group}; }

// Adds the partial losses to the metrics, and sets flags. Launch: one_group.
// Arguments: metrics, guard, partials; parts, rows, divisor (ulong); weight (float); counts_rows, weighs (uint, 0 or 1:
// rows and weight of the metrics are the sums of the parts', else `rows`).
//   divisor   the columns for an elementwise loss with HPC_REDUCTION_MEAN, else 1
inline Kernel combine_losses_kernel() { return {&kReduceSource, "", "combine_losses"}; }

// Arguments: metrics, guard, x, partials; count (ulong). Partials: scratch, norm_partial[groups of the launch].
inline Kernel sum_of_squares_kernel() { return {&kReduceSource, "", "sum_of_squares"}; }
inline Launch sum_of_squares_launch(uint64_t count, const Limits& limits) {
    return {blocks_of(count, reduction_block(limits)), limits.group};
}
inline uint64_t norm_scratch(uint64_t count, const Limits& limits) {
    return sum_of_squares_launch(count, limits).groups * sizeof(norm_partial);
}
// The same of other norms. Arguments: metrics, guard, x, partials, norm (the unit of sum_of_powers); count (ulong); order (float).
inline Kernel other_norm_kernel(const char* entry) { return {&kReduceSource, "", entry}; }
// They are followed by norm_of_magnitudes, norm_of_largest or norm_of_powers. Launch: one_group.
// Arguments: metrics, guard, partials, norm; parts (ulong); order (float).

// Columns of x[rows x columns] limited to a norm: a work-group has kNormColumns columns side by side.
// Arguments: metrics, guard, x; rows, columns (ulong); max_norm (float).
inline constexpr uint64_t kNormColumns = 16;
inline Kernel limit_column_norms_kernel() {
    return {&kReduceSource, define("HPC_NORM_COLUMNS", kNormColumns), "limit_column_norms"};
}
inline Launch limit_column_norms_launch(uint64_t columns, const Limits& limits) {
    return {blocks_of(columns, kNormColumns), limits.group};
}

// Follows sum_of_squares: norm[0] and metrics.gradient_norm. Launch: one_group.
// Arguments: metrics, guard, partials, norm; parts (ulong).
inline Kernel norm_kernel() { return {&kReduceSource, "", "norm"}; }

// Ends every run: counts it, and notes the first one that ended with a flag. Launch: {1, 1}.
// Arguments: metrics, guard (0).
inline Kernel end_run_kernel() { return {&kReduceSource, "", "end_run"}; }

// ---- Updates (update.cl): flat_launch(count) ------------------------------------------------------------------------

// Arguments: metrics, guard (1), parameters, gradients, state 0, state 1, state 2, state 3; count (ulong); h0
// (cl_float8), h1 (cl_float4): the 12 floats that prepare_rule(rule) makes, as they lie in UpdateElements::h; where it drops
// learning rates: seed, stream (ulong), drop_rate (float).
inline Kernel update_kernel(int32_t rule, bool drops = false) {
    const hpc_rule_info* info = rule_info(rule);
    return {&kUpdateSource,
            std::string(" -DHPC_RULE_UPDATE=") + info->name + "_update" +
                define("HPC_STATES", static_cast<uint64_t>(info->state_count)) + define("HPC_DROPS", static_cast<uint64_t>(drops)),
            "update"};
}

// ---- Recurrent layers (recurrent.cl) ---------------------------------------------------------------------------------

// One step of all rows and units, with the product before it. Matrices of all steps are [rows x (steps ...)] and given from
// the step's own columns on; ld.. are their rows' lengths. Operands that the bits leave out get any place.
struct RecurrentStep {
    bool product = false;   // 1: there is a step before (backward: after) this one, or h0
    bool bias = false;      // 2
    bool state = false;     // 4: state_from is there; else zeros
    bool output = false;    // 8: y is written (backward: dy is read)
    bool keep = false;      // 16: gates, kept and previous are written
    bool gradient = false;  // 32: dhn is there
    bool before = false;    // 64: the state before the step is there; else zeros
    bool end = false;       // 128: no step any more: dh0
    cl_uint bits() const {
        return static_cast<cl_uint>(product | bias << 1 | state << 2 | output << 3 | keep << 4 | gradient << 5 | before << 6 | end << 7);
    }
};

// Columns (units) of a work-group, and the depth of a block in local memory; its rows are as many as there are work-items for.
inline constexpr uint64_t kRecurrentTile = 16;  // HPC_RECURRENT_TILE

// Arguments of "recurrent_forward": metrics, guard, gates, w, bias, from, to, state_from, state_to, y, kept, previous; rows,
// units, steps, ldy (ulong); bits (uint). `from` and `to` are the outputs before and after the step, [rows x units].
// Of "recurrent_backward": metrics, guard, gates, w, after, dhn, direct, state_from, state_to, dy, kept, before, previous,
// hidden, dh0; rows, units, steps, ldy, ldbefore (ulong); bits (uint). `after` has the gradients of h w + b in the step after.
inline Kernel recurrent_kernel(int32_t cell, bool forward) {
    const hpc_cell_info* info = cell_info(cell);
    std::string options = " -DHPC_CELL_FORWARD=";
    options += info->name;
    options += "_forward -DHPC_CELL_BACKWARD=";
    options += info->name;
    options += "_backward";
    options += define("HPC_GATES", static_cast<uint64_t>(info->gates)) + define("HPC_STATE", static_cast<uint64_t>(info->state)) +
               define("HPC_CELL_KEEPS", static_cast<uint64_t>(info->kept)) + define("HPC_DIRECT", static_cast<uint64_t>(info->direct)) +
               define("HPC_RECURRENT_TILE", kRecurrentTile);
    return {&kRecurrentSource, options, forward ? "recurrent_forward" : "recurrent_backward"};
}
inline Launch recurrent_launch(uint64_t rows, uint64_t units, const Limits& limits) {
    return {blocks_of(rows, limits.group / kRecurrentTile) * blocks_of(units, kRecurrentTile), limits.group};
}
// Two outputs and the states; or what reaches h directly, and the states.
inline uint64_t recurrent_scratch(uint64_t rows, uint64_t units) { return 3 * padded(rows * units) * 4; }

// ---- Normalization (normalization.cl) -------------------------------------------------------------------------------

// Sums by channel of rows [channels, length]: as column sums are planned where length is 1, else a channel has a work-group.
inline ColumnPlan plan_channels(uint64_t rows, uint64_t channels, uint64_t length, const Limits& limits) {
    ColumnPlan plan;
    plan.lanes = length > 1 ? 1 : std::min({power_of_two_from(channels), kColumnLanes, limits.group});
    plan.column_groups = blocks_of(channels, plan.lanes);
    plan.block = limits.group / plan.lanes * kColumnSumRows;
    plan.parts = blocks_of(rows * length, plan.block);
    return plan;
}
// Partial sums, [parts][2][channels] of 8 bytes; for rows and anything below.
inline uint64_t channels_scratch(uint64_t rows, uint64_t channels, uint64_t length, const Limits& limits) {
    return plan_channels(rows, channels, length, limits).parts * 2 * channels * 8;
}
// Arguments: metrics, guard, x, parts; rows, channels, length, block (ulong); lanes (uint). Launch: columns_launch.
inline Kernel batch_moments_kernel() { return {&kNormalizationSource, "", "batch_moments"}; }
// Arguments: metrics, guard, x, dy, statistics, parts; rows, channels, length, block (ulong); lanes, by_row (uint). Launch:
// columns_launch.
inline Kernel channel_sums_kernel() { return {&kNormalizationSource, "", "channel_sums"}; }

// A work-item per element of `count`.
inline Launch item_launch(uint64_t count, const Limits& limits) { return {blocks_of(count, limits.group), limits.group}; }
// Arguments: metrics, guard, x, parts, statistics; parts' count, channels, length, values (ulong); epsilon, unbias (float).
// Launch: item_launch(channels).
inline Kernel batch_statistics_kernel() { return {&kNormalizationSource, "", "batch_statistics"}; }
// Arguments: metrics, guard, mean, variance, statistics; channels (ulong); epsilon. Launch: item_launch(channels).
inline Kernel running_statistics_kernel() { return {&kNormalizationSource, "", "running_statistics"}; }
// Arguments: metrics, guard, parts, first, second, means; parts' count, channels, values (ulong); what (uint). Launch:
// item_launch(channels).
inline Kernel combine_channel_sums_kernel() { return {&kNormalizationSource, "", "combine_channel_sums"}; }
// Arguments: metrics, guard, x, statistics, weight, bias, y; rows, channels, length (ulong); lanes, what (uint). Launch:
// gather_launch(rows, channels * length).
inline Kernel batch_normalize_kernel() { return {&kNormalizationSource, "", "batch_normalize"}; }
// Arguments: metrics, guard, x, dy, statistics, weight, means, dx; rows, channels, length (ulong); lanes, what (uint). Launch:
// gather_launch(rows, channels * length).
inline Kernel batch_norm_gradient_kernel() { return {&kNormalizationSource, "", "batch_norm_gradient"}; }
// Arguments: metrics, guard, statistics, mean, variance, batches; channels (ulong); cumulative (uint); momentum. Launch: one_group.
inline Kernel batch_norm_update_kernel() { return {&kNormalizationSource, "", "batch_norm_update"}; }
// Work-items that share a group.
inline uint64_t layer_norm_lanes(uint64_t size, const Limits& limits) { return std::min<uint64_t>(row_lanes(size, limits), 32); }
inline Launch layer_norm_launch(uint64_t groups, uint64_t size, const Limits& limits) {
    return {blocks_of(groups, limits.group / layer_norm_lanes(size, limits)), limits.group};
}
// Arguments: metrics, guard, x, weight, bias, y, statistics; groups, size (ulong); epsilon; what (uint). Launch: layer_norm_launch.
inline Kernel layer_norm_forward_kernel(uint64_t size, const Limits& limits) {
    return {&kNormalizationSource, define("HPC_ROW_LANES", layer_norm_lanes(size, limits)), "layer_norm_forward"};
}
// Arguments: metrics, guard, x, dy, weight, statistics, dx; groups, size (ulong); what (uint). Launch: layer_norm_launch.
inline Kernel layer_norm_gradient_kernel(uint64_t size, const Limits& limits) {
    return {&kNormalizationSource, define("HPC_ROW_LANES", layer_norm_lanes(size, limits)), "layer_norm_gradient"};
}

// ---- Embedding (embedding.cl) ---------------------------------------------------------------------------------------

// Arguments: metrics, guard, table, indices, y; table_rows, places, dimension (ulong); lanes, whole (uint). Launch:
// gather_launch(places, dimension).
inline Kernel embedding_forward_kernel() { return {&kEmbeddingSource, "", "embedding_forward"}; }
// Arguments: metrics, guard, indices, dy, dtable; table_rows, places, dimension (ulong); padding (int); whole (uint). Launch: a work-group
// for each place.
inline Kernel embedding_backward_kernel() { return {&kEmbeddingSource, "", "embedding_backward"}; }

}  // namespace hpc::opencl
