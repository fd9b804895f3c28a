// How a product is cut into tiles: C[m x n] into a grid of tile_m x tile_n, and k of a weight gradient into parts.
//
// A plan depends on the shape, the instruction set's blocks and whether a BLAS provider serves, never on the number of
// threads: so the bits do not either. Boundaries between rows of tiles are multiples of kGemmRowStep, since column sums
// are taken by row of tiles. Every number here is data found by measurement; changing one may change bits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/kernels.h"

namespace hpc::cpu {

// Rows of tiles are at least this high, unless there is only one.
constexpr int64_t kMinGemmRows = 32;
constexpr int64_t kGemmRowStep = 16;

struct GemmPlan {
    int64_t tile_m = 1, tile_n = 1;   // the last tiles of a row or column may be smaller
    int64_t splits = 1, split_k = 0;  // parts of k and their depth; the last may be smaller. More than one only in TN
    GemmPath path = GemmPath::Sequential;

    struct Tile {
        int64_t row, column, m, n;
    };

    int64_t row_tiles(int64_t m) const { return (m + tile_m - 1) / tile_m; }
    int64_t column_tiles(int64_t n) const { return (n + tile_n - 1) / tile_n; }
    // Of one part of k.
    int64_t tiles(int64_t m, int64_t n) const { return row_tiles(m) * column_tiles(n); }
    // Row after row of tiles.
    Tile tile(int64_t index, int64_t m, int64_t n) const {
        const int64_t columns = column_tiles(n);
        const int64_t row = index / columns * tile_m, column = index % columns * tile_n;
        return {row, column, std::min(tile_m, m - row), std::min(tile_n, n - column)};
    }
};

namespace gemm_plan_detail {

// A product below the first is one tile; each tile has about the second; more tiles than kTiles are made only where a
// tile would exceed what the kernels take. Bytes count where few rows read a large matrix.
constexpr double kOneTileFlops = 0.2e6, kTileFlops = 0.25e6, kTileBytes = 128e3;
constexpr double kBlasOneTileFlops = 0.5e6, kBlasTileFlops = 1e6;
constexpr int64_t kTiles = 16;
// The least depth of a part of k, the largest C that is made in parts.
constexpr int64_t kMinSplitDepth = 512, kMaxSplitElements = 4096;
// What it costs to bring an element to the kernels, in multiply-adds of one vector: copied, transposed, read in place, or
// fetched from far.
constexpr double kCopied = 0.15, kTransposed = 0.5, kInPlace = 0.05, kFar = 1;
// As in kernels/gemm.inl: B is not read in place by tall tiles, nor if its rows' length is near a multiple of a page.
constexpr int64_t kPageFloats = 1024, kInPlaceRows = 96;  // with vectors of 16; shorter ones want it packed
// A larger B comes from far: each row of tiles reads it again.
constexpr double kFarBytes = 4e6;
// Columns of a tile that a few rows stream through, in micro-tiles.
constexpr int64_t kStreamedPanels = 4;
// Depth from which lanes side by side over k pay for joining them, in vectors.
constexpr int64_t kDotVectors = 2;

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t step) { return divide_up(a, step) * step; }

inline int64_t wanted_tiles(int64_t m, int64_t n, int64_t k, bool blas) {
    const double dm = static_cast<double>(m), dn = static_cast<double>(n), dk = static_cast<double>(k);
    const double flops = 2 * dm * dn * dk, bytes = 4 * (dm * dk + dk * dn + dm * dn);
    if (blas ? flops < kBlasOneTileFlops : flops < kOneTileFlops) return 1;
    const double tiles = std::max(flops / (blas ? kBlasTileFlops : kTileFlops), blas ? 0.0 : bytes / kTileBytes);
    return std::max<int64_t>(1, static_cast<int64_t>(std::min(tiles, static_cast<double>(kTiles))));
}

inline int64_t wanted_splits(int64_t m, int64_t n, int64_t k, bool blas) {
    if (m * n > kMaxSplitElements || k < 2 * kMinSplitDepth) return 1;
    return std::min(wanted_tiles(m, n, k, blas), k / kMinSplitDepth);
}

}  // namespace gemm_plan_detail

// The most parts that plan_gemm cuts any k up to this one into (TN).
inline int64_t max_gemm_splits(int64_t m, int64_t n, int64_t k, const GemmBlocks&, bool blas) {
    return gemm_plan_detail::wanted_splits(m, n, k, blas);
}

inline GemmPlan plan_gemm(Form form, int64_t m, int64_t n, int64_t k, const GemmBlocks& blocks, bool blas) {
    using namespace gemm_plan_detail;
    const int64_t lanes = blocks.nr / 2;
    GemmPlan plan;
    plan.split_k = k;
    if (!blas && k >= kDotVectors * lanes &&
        ((form == Form::NT && m <= kDotRows) || (form == Form::NN && n <= kDotColumns))) {
        plan.path = GemmPath::Dot;
    }
    plan.tile_m = std::max<int64_t>(m, 1);
    plan.tile_n = std::max<int64_t>(n, 1);
    const int64_t wanted = wanted_tiles(m, n, k, blas);
    if (wanted == 1 && n <= blocks.tile_n && m <= blocks.tile_m) return plan;

    if (form == Form::TN) {
        const int64_t parts = wanted_splits(m, n, k, blas);
        if (parts > 1) {
            plan.split_k = round_up(divide_up(k, parts), kGemmRowStep);
            plan.splits = divide_up(k, plan.split_k);
            return plan;
        }
    }

    // For few rows the columns alone are cut: every element of B is read once, whatever the grid.
    if (m <= kMinGemmRows) {
        const int64_t step = kStreamedPanels * blocks.nr;
        plan.tile_n = std::min(n, std::min(round_up(divide_up(n, wanted), step), round_up(blocks.tile_n, step)));
        return plan;
    }

    // The grid of at least so many tiles for which packing costs least, among a few widths.
    const bool crowded = n > kPageFloats / 2 && (n + 16) % kPageFloats <= 32;
    const bool far = 4.0 * static_cast<double>(n) * static_cast<double>(k) >= kFarBytes;
    // Columns of A, as TN has them, lie as far apart as its rows are long.
    const double a = blas || form == Form::TN ? kTransposed : kInPlace;
    double best = 0;
    int64_t previous = 0;
    for (const int64_t columns : {1, 2, 3, 4, 6, 8, 12, 16}) {
        const int64_t tile_n = std::min(round_up(divide_up(n, columns), blocks.nr), blocks.tile_n);
        if (tile_n == previous) continue;
        previous = tile_n;
        const int64_t rows = divide_up(wanted, divide_up(n, tile_n));
        int64_t tile_m = std::max(round_up(divide_up(m, rows), kGemmRowStep), kMinGemmRows);
        tile_m = std::min(tile_m, blocks.tile_m);
        const bool enough = divide_up(m, tile_m) * divide_up(n, tile_n) >= wanted;
        const bool in_place = lanes >= 16 && tile_m <= kInPlaceRows && !crowded;
        const double b = far ? kFar : blas || form != Form::NN ? kTransposed : in_place ? kInPlace : kCopied;
        double cost = a / static_cast<double>(std::min(tile_n, n)) + b / static_cast<double>(std::min(tile_m, m));
        if (!enough) cost += 1;  // only where the shape has no better grid
        if (best == 0 || cost < best) {
            best = cost;
            plan.tile_m = std::min(tile_m, m);
            plan.tile_n = std::min(tile_n, n);
        }
    }
    return plan;
}

}  // namespace hpc::cpu
