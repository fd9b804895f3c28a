// C[m x n] = op(A) op(B) by tiles, and what is done to C before it is written.
//
//   HPC_FORM 0 (NN)   A[m x k]  B[k x n]
//            1 (NT)   A[m x k]  B[n x k], transposed
//            2 (TN)   A[k x m], transposed  B[k x n]
//
// A work-group computes HPC_TILE_M x HPC_TILE_N of C. Blocks of HPC_TILE_K of the depth go through local memory, the
// depth outermost whatever the form, each operand's block in rows of a tile's extent plus 4; while one is multiplied the
// next is already on its way into registers. A work-item has HPC_WORK_M x HPC_WORK_N of C in registers, as quads of four
// neighbouring columns: its rows and columns are quads at a distance, so that neighbours read neighbouring quads of local
// memory and write neighbouring quads of C. Elements beyond the operands are zeros, those beyond C are not written.
//
// The depth may be cut into parts of split_k, each written to a C of its own.

#define HPC_LANES_M (HPC_TILE_M / HPC_WORK_M)
#define HPC_LANES_N (HPC_TILE_N / HPC_WORK_N)
#define HPC_ITEMS (HPC_LANES_M * HPC_LANES_N)
#define HPC_QUADS_M (HPC_WORK_M / 4)
#define HPC_QUADS_N (HPC_WORK_N / 4)
// From one of a work-item's quads to the next.
#define HPC_STRIDE_M (HPC_TILE_M / HPC_QUADS_M)
#define HPC_STRIDE_N (HPC_TILE_N / HPC_QUADS_N)
#define HPC_ROW_A (HPC_TILE_M + 4)
#define HPC_ROW_B (HPC_TILE_N + 4)
// Quads of a block that each work-item fetches.
#define HPC_FETCH_A (HPC_TILE_M * HPC_TILE_K / 4 / HPC_ITEMS)
#define HPC_FETCH_B (HPC_TILE_N * HPC_TILE_K / 4 / HPC_ITEMS)
#if HPC_FETCH_A * HPC_ITEMS * 4 != HPC_TILE_M * HPC_TILE_K || HPC_FETCH_B * HPC_ITEMS * 4 != HPC_TILE_N * HPC_TILE_K
#error "a block of an operand is not a whole number of quads for each work-item"
#endif
// Which of an operand's directions lies in memory element by element: its extent in C, or the depth.
#define HPC_DEPTH_INNER_A (HPC_FORM != 2)
#define HPC_DEPTH_INNER_B (HPC_FORM == 1)

// As fast as the device can: without hardware for it fma is many times slower than a product and a sum.
#if defined(FP_FAST_FMAF)
#define HPC_MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define HPC_MULTIPLY_ADD(a, b, c) mad(a, b, c)
#endif

// Four elements of a row, from `column` (a multiple of 4) on; beyond the extents they are 0.
static inline float4 fetch(global const float* p, ulong row, ulong rows, ulong column, ulong columns, ulong stride, int aligned) {
    if (row >= rows) return (float4)(0.0f);
    return load4(p + row * stride, column, columns, aligned);
}

// The place of quad number q of a block: (place in the tile, depth).
#define HPC_INNER_PLACE(q) ((q) / (HPC_TILE_K / 4))
#define HPC_INNER_DEPTH(q) ((q) % (HPC_TILE_K / 4) * 4)
#define HPC_OUTER_PLACE(q, tile) ((q) % ((tile) / 4) * 4)
#define HPC_OUTER_DEPTH(q, tile) ((q) / ((tile) / 4))

// A quad along the depth goes into four rows of the block.
HPC_INLINE void put_across(local float* block, uint row_length, uint depth, uint place, float4 v) {
    local float* to = block + depth * row_length + place;
    to[0] = v.s0;
    to[row_length] = v.s1;
    to[2 * row_length] = v.s2;
    to[3 * row_length] = v.s3;
}

HPC_INLINE void put_along(local float* block, uint row_length, uint depth, uint place, float4 v) {
    *(local float4*)(block + depth * row_length + place) = v;
}

// The blocks from depth `from` on, into registers.
#if HPC_DEPTH_INNER_A
#define HPC_FETCH_QUAD_A(q, from) fetch(a, row0 + HPC_INNER_PLACE(q), m, (from) + HPC_INNER_DEPTH(q), k_end, k, aligned_a)
#define HPC_PUT_QUAD_A(q, v) put_across(block_a, HPC_ROW_A, HPC_INNER_DEPTH(q), HPC_INNER_PLACE(q), v)
#else
#define HPC_FETCH_QUAD_A(q, from) fetch(a, (from) + HPC_OUTER_DEPTH(q, HPC_TILE_M), k_end, row0 + HPC_OUTER_PLACE(q, HPC_TILE_M), m, m, aligned_a)
#define HPC_PUT_QUAD_A(q, v) put_along(block_a, HPC_ROW_A, HPC_OUTER_DEPTH(q, HPC_TILE_M), HPC_OUTER_PLACE(q, HPC_TILE_M), v)
#endif
#if HPC_DEPTH_INNER_B
#define HPC_FETCH_QUAD_B(q, from) fetch(b, column0 + HPC_INNER_PLACE(q), n, (from) + HPC_INNER_DEPTH(q), k_end, k, aligned_b)
#define HPC_PUT_QUAD_B(q, v) put_across(block_b, HPC_ROW_B, HPC_INNER_DEPTH(q), HPC_INNER_PLACE(q), v)
#else
#define HPC_FETCH_QUAD_B(q, from) fetch(b, (from) + HPC_OUTER_DEPTH(q, HPC_TILE_N), k_end, column0 + HPC_OUTER_PLACE(q, HPC_TILE_N), n, n, aligned_b)
#define HPC_PUT_QUAD_B(q, v) put_along(block_b, HPC_ROW_B, HPC_OUTER_DEPTH(q, HPC_TILE_N), HPC_OUTER_PLACE(q, HPC_TILE_N), v)
#endif
#define HPC_FETCH_BLOCKS(from)                                                                                           \
    _Pragma("unroll") for (uint i = 0; i < HPC_FETCH_A; ++i) next_a[i] = HPC_FETCH_QUAD_A(id + i * HPC_ITEMS, from);     \
    _Pragma("unroll") for (uint i = 0; i < HPC_FETCH_B; ++i) next_b[i] = HPC_FETCH_QUAD_B(id + i * HPC_ITEMS, from);
#define HPC_PUT_BLOCKS()                                                                                                 \
    _Pragma("unroll") for (uint i = 0; i < HPC_FETCH_A; ++i) HPC_PUT_QUAD_A(id + i * HPC_ITEMS, next_a[i]);              \
    _Pragma("unroll") for (uint i = 0; i < HPC_FETCH_B; ++i) HPC_PUT_QUAD_B(id + i * HPC_ITEMS, next_b[i]);

HPC_KERNEL(HPC_ITEMS)
gemm(HPC_HEAD, global const float* a, ulong a_at, global const float* b, ulong b_at, global float* c, ulong c_at, global const float* bias,
     ulong bias_at, global float* kept, ulong kept_at, global float* sums, ulong sums_at, ulong m, ulong n, ulong k, ulong split_k, float alpha,
     float beta) {
    local float memory[HPC_TILE_K * (HPC_ROW_A + HPC_ROW_B)] __attribute__((aligned(16)));
    HPC_GUARD();
    local float* const block_a = memory;
    local float* const block_b = memory + HPC_TILE_K * HPC_ROW_A;
    const uint id = (uint)get_local_id(0), lane_m = id / HPC_LANES_N, lane_n = id % HPC_LANES_N;

    // Work-groups in succession take the tiles of a band of rows column by column.
    const ulong row_tiles = (m + HPC_TILE_M - 1) / HPC_TILE_M, column_tiles = (n + HPC_TILE_N - 1) / HPC_TILE_N;
    const ulong split = get_group_id(0) / (row_tiles * column_tiles);
    const ulong tile = get_group_id(0) % (row_tiles * column_tiles);
    const ulong band = tile / (HPC_GEMM_BAND * column_tiles), in_band = tile % (HPC_GEMM_BAND * column_tiles);
    const ulong band_rows = min(row_tiles - band * HPC_GEMM_BAND, (ulong)HPC_GEMM_BAND);
    const ulong row_tile = band * HPC_GEMM_BAND + in_band % band_rows;
    const ulong row0 = row_tile * HPC_TILE_M, column0 = in_band / band_rows * HPC_TILE_N;
    const ulong k_first = split * split_k, k_end = min(k, k_first + split_k);

    a += a_at;
    b += b_at;
    const int aligned_a = is_aligned(a_at | (HPC_DEPTH_INNER_A ? k : m));
    const int aligned_b = is_aligned(b_at | (HPC_DEPTH_INNER_B ? k : n));

    float4 next_a[HPC_FETCH_A], next_b[HPC_FETCH_B];
    float4 sum[HPC_WORK_M][HPC_QUADS_N];
#pragma unroll
    for (uint i = 0; i < HPC_WORK_M; ++i) {
#pragma unroll
        for (uint j = 0; j < HPC_QUADS_N; ++j) sum[i][j] = (float4)(0.0f);
    }

    HPC_FETCH_BLOCKS(k_first)
    for (ulong k0 = k_first; k0 < k_end; k0 += HPC_TILE_K) {
        HPC_PUT_BLOCKS()
        barrier(CLK_LOCAL_MEM_FENCE);
        // Behind the last block there are only zeros.
        HPC_FETCH_BLOCKS(k0 + HPC_TILE_K)
#pragma unroll
        for (uint depth = 0; depth < HPC_TILE_K; ++depth) {
            float4 x[HPC_QUADS_M], y[HPC_QUADS_N];
#pragma unroll
            for (uint i = 0; i < HPC_QUADS_M; ++i) x[i] = *(local const float4*)(block_a + depth * HPC_ROW_A + i * HPC_STRIDE_M + lane_m * 4);
#pragma unroll
            for (uint j = 0; j < HPC_QUADS_N; ++j) y[j] = *(local const float4*)(block_b + depth * HPC_ROW_B + j * HPC_STRIDE_N + lane_n * 4);
#pragma unroll
            for (uint i = 0; i < HPC_QUADS_M; ++i) {
#pragma unroll
                for (uint j = 0; j < HPC_QUADS_N; ++j) {
                    sum[i * 4 + 0][j] = HPC_MULTIPLY_ADD((float4)(x[i].s0), y[j], sum[i * 4 + 0][j]);
                    sum[i * 4 + 1][j] = HPC_MULTIPLY_ADD((float4)(x[i].s1), y[j], sum[i * 4 + 1][j]);
                    sum[i * 4 + 2][j] = HPC_MULTIPLY_ADD((float4)(x[i].s2), y[j], sum[i * 4 + 2][j]);
                    sum[i * 4 + 3][j] = HPC_MULTIPLY_ADD((float4)(x[i].s3), y[j], sum[i * 4 + 3][j]);
                }
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    c += c_at + split * m * n;
    const int aligned_n = is_aligned(n), aligned_c = aligned_n && is_aligned(c_at);
#if HPC_EPILOGUE == 2 && HPC_SUMS
    float4 column_sum[HPC_QUADS_N];
#endif
#pragma unroll
    for (uint j = 0; j < HPC_QUADS_N; ++j) {
        const ulong column = column0 + j * HPC_STRIDE_N + lane_n * 4;
#if HPC_EPILOGUE == 1 && HPC_BIAS
        const float4 added = load4(bias + bias_at, column, n, is_aligned(bias_at));
#endif
#if HPC_EPILOGUE == 2 && HPC_SUMS
        column_sum[j] = (float4)(0.0f);
#endif
#pragma unroll
        for (uint i = 0; i < HPC_WORK_M; ++i) {
            const ulong row = row0 + i / 4 * HPC_STRIDE_M + lane_m * 4 + i % 4;
            if (row < m) {
                float4 v = sum[i][j];
#if HPC_EPILOGUE == 1
#if HPC_BIAS
                v += added;
#endif
                const float4 value = activation_value4(v, alpha, beta);
#if HPC_KEPT
                store4(kept + kept_at + row * n, column, n, aligned_n && is_aligned(kept_at), activation_kept4(v, value, alpha, beta));
#endif
                v = value;
#elif HPC_EPILOGUE == 2
#if HPC_KEPT
                const float4 from = load4(kept + kept_at + row * n, column, n, aligned_n && is_aligned(kept_at));
#else
                const float4 from = (float4)(0.0f);
#endif
                v *= activation_factor4(from, alpha, beta);
#if HPC_SUMS
                column_sum[j] += v;
#endif
#endif
                store4(c + row * n, column, n, aligned_c, v);
            }
        }
    }
#if HPC_EPILOGUE == 2 && HPC_SUMS
    // The blocks are done with: their memory takes a row of sums from each row of work-items.
    barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
    for (uint j = 0; j < HPC_QUADS_N; ++j)
        *(local float4*)(memory + lane_m * HPC_TILE_N + j * HPC_STRIDE_N + lane_n * 4) = column_sum[j];
    barrier(CLK_LOCAL_MEM_FENCE);
    // One bound for the tile and for C: of two conditions PoCL 3.1 loses one here.
    const uint width = (uint)min((ulong)HPC_TILE_N, n - column0);
    for (uint j = id; j < width; j += HPC_ITEMS) {
        float total = 0.0f;
        for (uint i = 0; i < HPC_LANES_M; ++i) total += memory[i * HPC_TILE_N + j];
        sums[sums_at + row_tile * n + column0 + j] = total;
    }
#endif
}
