// What the kernels of tiled products (gemm.cl, gemm_finish.cl, gemm_mma.cl) share: where a tile lies in C, and what is done to
// four elements of C before they are written.
//
//   HPC_TILE_M, HPC_TILE_N      a tile's extents, multiples of 4
//   HPC_GEMM_BAND               rows of tiles that neighbouring work-groups share
//   HPC_EPILOGUE 0 none, 1 forward, 2 backward, with HPC_BIAS, HPC_KEPT and HPC_SUMS as kernels.h has them

typedef struct tile_place {
    uint row_tile;
    ulong row, column;  // the first ones
} tile_place;

// Work-groups in succession take the tiles of a band of rows column by column, so that both operands' pieces stay in the
// second-level cache. (No result by value: oclgrind does not know what unoptimized code says of one.)
HPC_INLINE void place_of_tile(uint tile, ulong m, ulong n, tile_place* place) {
    const uint row_tiles = (uint)((m + HPC_TILE_M - 1) / HPC_TILE_M), column_tiles = (uint)((n + HPC_TILE_N - 1) / HPC_TILE_N);
    const uint in_bands = HPC_GEMM_BAND * column_tiles, band = tile / in_bands, in_band = tile % in_bands;
    const uint band_rows = min(row_tiles - band * HPC_GEMM_BAND, (uint)HPC_GEMM_BAND);
    place->row_tile = band * HPC_GEMM_BAND + in_band % band_rows;
    place->row = (ulong)place->row_tile * HPC_TILE_M;
    place->column = (ulong)(in_band / band_rows) * HPC_TILE_N;
}

#if HPC_EPILOGUE != 0
// The bias of the columns from `column` on; zeros where there is none.
#if HPC_EPILOGUE == 1 && HPC_BIAS
#define HPC_BIAS_QUAD(column) load4(bias + bias_at, column, n, is_aligned(bias_at))
#else
#define HPC_BIAS_QUAD(column) ((float4)(0.0f))
#endif
// kept: the row's first element.
HPC_INLINE float4 finish_quad(float4 v, float4 added, global float* kept, ulong column, ulong n, int aligned, float alpha, float beta) {
#if HPC_EPILOGUE == 1
#if HPC_BIAS
    v += added;
#endif
    const float4 value = activation_value4(v, alpha, beta);
#if HPC_KEPT
    store4(kept, column, n, aligned, activation_kept4(v, value, alpha, beta));
#endif
    return value;
#else
#if HPC_KEPT
    const float4 from = load4(kept, column, n, aligned);
#else
    const float4 from = (float4)(0.0f);
#endif
    return v * activation_factor4(from, alpha, beta);
#endif
}
#endif
