// C[m x n] = op(A) op(B) by tiles, and what is done to C before it is written.
//
//   HPC_FORM 0 (NN)   A[m x k]  B[k x n]
//            1 (NT)   A[m x k]  B[n x k], transposed
//            2 (TN)   A[k x m], transposed  B[k x n]
//
// A work-group computes HPC_TILE_M x HPC_TILE_N of C. Blocks of HPC_TILE_K of the depth go through local memory, the
// depth outermost whatever the form. There are two of each operand: while one is multiplied, the next is on its way into
// registers and from there into the other, so that a block costs one barrier. A work-item has HPC_WORK_M x HPC_WORK_N of
// C in registers, as quads of four neighbouring columns: its rows and columns are quads at a distance, so that neighbours
// read neighbouring quads of local memory and write neighbouring quads of C.
//
// What decides the speed:
//   - Registers. HPC_WORK_M * HPC_WORK_N sums, and two thirds as much beside them for 8 x 8 (a column and a row of the
//     block, the quads on their way, places). 8 x 8 leaves room for two groups of 256 on a unit with 65,536 registers, so that
//     one computes while the other waits at its barrier; 8 x 16 for one, which reads a quarter less local memory for each
//     product.
//   - Local memory. A step of the depth reads HPC_WORK_M + HPC_WORK_N floats for HPC_WORK_M * HPC_WORK_N products. 32
//     work-items in succession are 4 x 8 (or 8 x 4) in an order in which, for either operand, every pair of neighbours or
//     of next neighbours reads the same quad: hardware that serves reads of 16 bytes in pairs of eights then needs
//     two turns for 32 work-items, not four.
//   - Banks. A quad along the depth (operands that have the depth inside) goes into four rows. Its place is moved by a
//     number that depends on its depth (exclusive or), so that the 32 work-items that share a turn write to 32 banks;
//     whoever reads moves alike, which is a constant there.
//   - Everything else in the loop. The first block takes what the depth leaves over, all others are whole. Places beyond
//     the operands are those of their last rows and columns: what they give lies beyond C and is not written. So the loop
//     has no bounds.
//
// Tiles with numbers from `whole` on have their depth cut into `splits` parts of split_k, each written to `parts`;
// gemm_finish.cl adds them up. `strips`: rows of column sums for each row of tiles (1 unless tiles are cut).

#define HPC_LANES_M (HPC_TILE_M / HPC_WORK_M)
#define HPC_LANES_N (HPC_TILE_N / HPC_WORK_N)
#define HPC_ITEMS (HPC_LANES_M * HPC_LANES_N)
#define HPC_QUADS_M (HPC_WORK_M / 4)
#define HPC_QUADS_N (HPC_WORK_N / 4)
// From one of a work-item's quads to the next.
#define HPC_STRIDE_M (HPC_TILE_M / HPC_QUADS_M)
#define HPC_STRIDE_N (HPC_TILE_N / HPC_QUADS_N)
// Quads of a block, and how many of them a work-item fetches at most.
#define HPC_BLOCK_A (HPC_TILE_M * HPC_TILE_K / 4)
#define HPC_BLOCK_B (HPC_TILE_N * HPC_TILE_K / 4)
#define HPC_FETCH_A ((HPC_BLOCK_A + HPC_ITEMS - 1) / HPC_ITEMS)
#define HPC_FETCH_B ((HPC_BLOCK_B + HPC_ITEMS - 1) / HPC_ITEMS)
// Which of an operand's directions lies in memory element by element: its extent in C, or the depth.
#define HPC_DEPTH_INNER_A (HPC_FORM != 2)
#define HPC_DEPTH_INNER_B (HPC_FORM == 1)

// As fast as the device can: without hardware for it fma is many times slower than a product and a sum.
#if defined(FP_FAST_FMAF)
#define HPC_MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define HPC_MULTIPLY_ADD(a, b, c) mad(a, b, c)
#endif

// Registers have no index: loops over sums are written out. A processor's compiler would take long for nothing.
#if HPC_PROCESSOR
#define HPC_WRITTEN_OUT _Pragma("unroll 1")
#else
#define HPC_WRITTEN_OUT _Pragma("unroll")
#endif

// Where a work-item's place among the others is.
#if HPC_LANES_N % 8 == 0 && HPC_LANES_M % 4 == 0
#define HPC_LANE_M(id) (((id) & 1 | (id) >> 3 & 2) + (id) / (4 * HPC_LANES_N) * 4)
#define HPC_LANE_N(id) (((id) >> 1 & 7) + (id) / 32 % (HPC_LANES_N / 8) * 8)
#elif HPC_LANES_N % 4 == 0 && HPC_LANES_M % 8 == 0
#define HPC_LANE_M(id) (((id) >> 1 & 7) + (id) / (8 * HPC_LANES_N) * 8)
#define HPC_LANE_N(id) (((id) & 1 | (id) >> 3 & 2) + (id) / 32 % (HPC_LANES_N / 4) * 4)
#else
#define HPC_LANE_M(id) ((id) / HPC_LANES_N)
#define HPC_LANE_N(id) ((id) % HPC_LANES_N)
#endif

// The place of quad number q of a block: (place in the tile, depth).
#define HPC_INNER_PLACE(q) ((q) / (HPC_TILE_K / 4))
#define HPC_INNER_DEPTH(q) ((q) % (HPC_TILE_K / 4) * 4)
#define HPC_OUTER_PLACE(q, tile) ((q) % ((tile) / 4) * 4)
#define HPC_OUTER_DEPTH(q, tile) ((q) / ((tile) / 4))
// By how much a place is moved: 32 work-items hold TILE_K / 4 neighbouring depths of 128 / TILE_K places, whose quads shall
// fill a row of 32 banks.
#define HPC_MOVED(depth, tile) ((depth) / 4 * (128 / HPC_TILE_K) & ((tile) - 1) & 28)
#if HPC_DEPTH_INNER_A
#define HPC_AT_A(place, depth) ((depth) * HPC_TILE_M + ((place) ^ HPC_MOVED(depth, HPC_TILE_M)))
#else
#define HPC_AT_A(place, depth) ((depth) * HPC_TILE_M + (place))
#endif
#if HPC_DEPTH_INNER_B
#define HPC_AT_B(place, depth) ((depth) * HPC_TILE_N + ((place) ^ HPC_MOVED(depth, HPC_TILE_N)))
#else
#define HPC_AT_B(place, depth) ((depth) * HPC_TILE_N + (place))
#endif

// The four elements at p. HPC_ALIGNED: every row of both operands begins at a multiple of 16 bytes; else they are no further
// than `last`.
#if HPC_ALIGNED
#define HPC_FETCH(p, last) (*(global const float4*)(p))
#else
#define HPC_FETCH(p, last) ((float4)((p)[0], (p)[min(1u, last)], (p)[min(2u, last)], (p)[min(3u, last)]))
#endif

// A quad along the depth goes into four rows of the block.
HPC_INLINE void put_across(local float* to, uint row_length, float4 v) {
    to[0] = v.s0;
    to[row_length] = v.s1;
    to[2 * row_length] = v.s2;
    to[3 * row_length] = v.s3;
}

// Each operand's own way. FROM: where quad number q lies at depth `from`. FIRST: a quad of the first block, of which `first` depths
// are there and the others zeros. PUT: into a block.
#define HPC_FROM_INNER(p, q, first_place, extent) \
    ((p) + min((first_place) + HPC_INNER_PLACE(q), (extent) - 1) * k + k_first + HPC_INNER_DEPTH(q))
#define HPC_FROM_OUTER(p, q, first_place, extent, tile) \
    ((p) + (k_first + HPC_OUTER_DEPTH(q, tile)) * (extent) + min((first_place) + HPC_OUTER_PLACE(q, tile), (extent) - (HPC_ALIGNED ? 4 : 1)))
#define HPC_FIRST_INNER(p, q) \
    (HPC_INNER_DEPTH(q) < first ? load4(p, 0, first - HPC_INNER_DEPTH(q), HPC_ALIGNED) : (float4)(0.0f))
#define HPC_FIRST_OUTER(p, q, last, tile) (HPC_OUTER_DEPTH(q, tile) < first ? HPC_FETCH(p, last) : (float4)(0.0f))
#define HPC_LAST_OUTER(q, first_place, extent, tile) \
    ((uint)min((ulong)3, (extent) - 1 - min((first_place) + HPC_OUTER_PLACE(q, tile), (extent) - 1)))
#if HPC_DEPTH_INNER_A
#define HPC_FROM_A(q) HPC_FROM_INNER(a, q, place.row, m)
#define HPC_LAST_A(q) 3u
#define HPC_FIRST_A(i, q) HPC_FIRST_INNER(from_a[i], q)
#define HPC_DEPTH_STEP_A 1
#define HPC_PUT_A(block, q, v) put_across((block) + HPC_AT_A(HPC_INNER_PLACE(q), HPC_INNER_DEPTH(q)), HPC_TILE_M, v)
#else
#define HPC_FROM_A(q) HPC_FROM_OUTER(a, q, place.row, m, HPC_TILE_M)
#define HPC_LAST_A(q) HPC_LAST_OUTER(q, place.row, m, HPC_TILE_M)
#define HPC_FIRST_A(i, q) HPC_FIRST_OUTER(from_a[i], q, HPC_LAST_A(q), HPC_TILE_M)
#define HPC_DEPTH_STEP_A m
#define HPC_PUT_A(block, q, v) \
    *(local float4*)((block) + HPC_AT_A(HPC_OUTER_PLACE(q, HPC_TILE_M), HPC_OUTER_DEPTH(q, HPC_TILE_M))) = v
#endif
#if HPC_DEPTH_INNER_B
#define HPC_FROM_B(q) HPC_FROM_INNER(b, q, place.column, n)
#define HPC_LAST_B(q) 3u
#define HPC_FIRST_B(i, q) HPC_FIRST_INNER(from_b[i], q)
#define HPC_DEPTH_STEP_B 1
#define HPC_PUT_B(block, q, v) put_across((block) + HPC_AT_B(HPC_INNER_PLACE(q), HPC_INNER_DEPTH(q)), HPC_TILE_N, v)
#else
#define HPC_FROM_B(q) HPC_FROM_OUTER(b, q, place.column, n, HPC_TILE_N)
#define HPC_LAST_B(q) HPC_LAST_OUTER(q, place.column, n, HPC_TILE_N)
#define HPC_FIRST_B(i, q) HPC_FIRST_OUTER(from_b[i], q, HPC_LAST_B(q), HPC_TILE_N)
#define HPC_DEPTH_STEP_B n
#define HPC_PUT_B(block, q, v) \
    *(local float4*)((block) + HPC_AT_B(HPC_OUTER_PLACE(q, HPC_TILE_N), HPC_OUTER_DEPTH(q, HPC_TILE_N))) = v
#endif

// Every quad that the work-item fetches: i is its number there, q its number in the block.
#define HPC_EACH_QUAD(fetches, block, statement)           \
    _Pragma("unroll") for (uint i = 0; i < fetches; ++i) { \
        const uint q = id + i * HPC_ITEMS;                 \
        if (block % HPC_ITEMS == 0 || q < block) {         \
            statement;                                     \
        }                                                  \
    }
#define HPC_EACH_QUAD_A(statement) HPC_EACH_QUAD(HPC_FETCH_A, HPC_BLOCK_A, statement)
#define HPC_EACH_QUAD_B(statement) HPC_EACH_QUAD(HPC_FETCH_B, HPC_BLOCK_B, statement)

// The products of the blocks number `now` (0 or 1).
#define HPC_MULTIPLY_BLOCK(now)                                                                                              \
    {                                                                                                                        \
        local const float* const block_a = memory + (now) * (HPC_TILE_K * HPC_TILE_M);                                       \
        local const float* const block_b = memory + 2 * HPC_TILE_K * HPC_TILE_M + (now) * (HPC_TILE_K * HPC_TILE_N);         \
        _Pragma("unroll 1") for (uint depth0 = 0; depth0 < HPC_TILE_K; depth0 += HPC_UNROLL) {                               \
            _Pragma("unroll") for (uint step = 0; step < HPC_UNROLL; ++step) HPC_MULTIPLY_STEP(depth0 + step) \
        }                                                                                                                    \
    }
#define HPC_MULTIPLY_STEP(depth)                                                                      \
    {                                                                                                               \
        float4 x[HPC_QUADS_M], y[HPC_QUADS_N];                                                                      \
        _Pragma("unroll") for (uint i = 0; i < HPC_QUADS_M; ++i)                                                    \
            x[i] = *(local const float4*)(block_a + HPC_AT_A(i * HPC_STRIDE_M + lane_m * 4, depth));              \
        _Pragma("unroll") for (uint j = 0; j < HPC_QUADS_N; ++j)                                                    \
            y[j] = *(local const float4*)(block_b + HPC_AT_B(j * HPC_STRIDE_N + lane_n * 4, depth));              \
        _Pragma("unroll") for (uint i = 0; i < HPC_QUADS_M; ++i) {                                                  \
            _Pragma("unroll") for (uint j = 0; j < HPC_QUADS_N; ++j) {                                              \
                sum[i * 4 + 0][j] = HPC_MULTIPLY_ADD((float4)(x[i].s0), y[j], sum[i * 4 + 0][j]);                   \
                sum[i * 4 + 1][j] = HPC_MULTIPLY_ADD((float4)(x[i].s1), y[j], sum[i * 4 + 1][j]);                   \
                sum[i * 4 + 2][j] = HPC_MULTIPLY_ADD((float4)(x[i].s2), y[j], sum[i * 4 + 2][j]);                   \
                sum[i * 4 + 3][j] = HPC_MULTIPLY_ADD((float4)(x[i].s3), y[j], sum[i * 4 + 3][j]);                   \
            }                                                                                                       \
        }                                                                                                           \
    }

HPC_KERNEL(HPC_ITEMS)
gemm(HPC_HEAD, global const float* a, ulong a_at, global const float* b, ulong b_at, global float* c, ulong c_at, global const float* bias,
     ulong bias_at, global float* kept, ulong kept_at, global float* sums, ulong sums_at, global float* parts, ulong parts_at, ulong m, ulong n,
     ulong k, ulong split_k, uint whole, uint splits, uint strips, float alpha, float beta) {
    // Block 0 of A, block 1 of A, block 0 of B, block 1 of B.
    local float memory[2 * HPC_TILE_K * (HPC_TILE_M + HPC_TILE_N)] __attribute__((aligned(16)));
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane_m = HPC_LANE_M(id), lane_n = HPC_LANE_N(id);

    const uint group = (uint)get_group_id(0);
#if HPC_SPLIT
    // Behind the whole tiles: part 0 of every tile that is cut, then part 1 of every one.
    const uint tiles = (uint)((m + HPC_TILE_M - 1) / HPC_TILE_M) * (uint)((n + HPC_TILE_N - 1) / HPC_TILE_N);
    const uint is_cut = group >= whole, cut_tiles = max(tiles - whole, 1u);
    const uint cut = is_cut ? (group - whole) % cut_tiles : 0, split = is_cut ? (group - whole) / cut_tiles : 0;
    tile_place place;
    place_of_tile(is_cut ? whole + cut : group, m, n, &place);
    const ulong k_first = split * split_k, k_end = is_cut ? min(k, k_first + split_k) : k;
#else
    tile_place place;
    place_of_tile(group, m, n, &place);
    const ulong k_first = 0, k_end = k;
#endif

    a += a_at;
    b += b_at;

    float4 sum[HPC_WORK_M][HPC_QUADS_N];
#pragma unroll
    for (uint i = 0; i < HPC_WORK_M; ++i) {
#pragma unroll
        for (uint j = 0; j < HPC_QUADS_N; ++j) sum[i][j] = (float4)(0.0f);
    }

    // Depths of the first block, and the number of blocks behind it.
    const ulong depths = k_end - k_first;
    const uint first = depths == 0 ? 0 : (uint)((depths - 1) % HPC_TILE_K) + 1;
    const uint blocks = (uint)((depths - first) / HPC_TILE_K);
    global const float* from_a[HPC_FETCH_A];
    global const float* from_b[HPC_FETCH_B];
    float4 next_a[HPC_FETCH_A], next_b[HPC_FETCH_B];
    HPC_EACH_QUAD_A(from_a[i] = HPC_FROM_A(q))
    HPC_EACH_QUAD_B(from_b[i] = HPC_FROM_B(q))
    HPC_EACH_QUAD_A(next_a[i] = HPC_FIRST_A(i, q))
    HPC_EACH_QUAD_B(next_b[i] = HPC_FIRST_B(i, q))
    HPC_EACH_QUAD_A(HPC_PUT_A(memory, q, next_a[i]))
    HPC_EACH_QUAD_B(HPC_PUT_B(memory + 2 * HPC_TILE_K * HPC_TILE_M, q, next_b[i]))
    HPC_EACH_QUAD_A(from_a[i] += first * HPC_DEPTH_STEP_A)
    HPC_EACH_QUAD_B(from_b[i] += first * HPC_DEPTH_STEP_B)
    barrier(CLK_LOCAL_MEM_FENCE);

    for (uint block = 0; block < blocks; ++block) {
        const uint now = block & 1;
        HPC_EACH_QUAD_A(next_a[i] = HPC_FETCH(from_a[i], HPC_LAST_A(q)); from_a[i] += HPC_TILE_K * HPC_DEPTH_STEP_A)
        HPC_EACH_QUAD_B(next_b[i] = HPC_FETCH(from_b[i], HPC_LAST_B(q)); from_b[i] += HPC_TILE_K * HPC_DEPTH_STEP_B)
        HPC_MULTIPLY_BLOCK(now)
        HPC_EACH_QUAD_A(HPC_PUT_A(memory + (now ^ 1) * (HPC_TILE_K * HPC_TILE_M), q, next_a[i]))
        HPC_EACH_QUAD_B(HPC_PUT_B(memory + 2 * HPC_TILE_K * HPC_TILE_M + (now ^ 1) * (HPC_TILE_K * HPC_TILE_N), q, next_b[i]))
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    HPC_MULTIPLY_BLOCK(blocks & 1)

#if HPC_SPLIT
    // What is cut has no rows to write; its part is written whole.
    const ulong rows = is_cut ? 0 : m, summed = is_cut ? place.column : n;
    if (is_cut) {
        global float* const part = parts + parts_at + ((ulong)cut * splits + split) * (HPC_TILE_M * HPC_TILE_N);
        HPC_WRITTEN_OUT for (uint i = 0; i < HPC_WORK_M; ++i) {
            HPC_WRITTEN_OUT for (uint j = 0; j < HPC_QUADS_N; ++j)
                *(global float4*)(part + (i / 4 * HPC_STRIDE_M + lane_m * 4 + i % 4) * HPC_TILE_N + j * HPC_STRIDE_N + lane_n * 4) =
                    sum[i][j];
        }
    }
#else
    const ulong rows = m, summed = n;
#endif
    c += c_at;
    const int aligned_n = is_aligned(n), aligned_c = aligned_n && is_aligned(c_at);
#if HPC_EPILOGUE == 2 && HPC_SUMS
    float4 column_sum[HPC_QUADS_N];
#endif
    HPC_WRITTEN_OUT for (uint j = 0; j < HPC_QUADS_N; ++j) {
        const ulong column = place.column + j * HPC_STRIDE_N + lane_n * 4;
#if HPC_EPILOGUE != 0
        const float4 added = HPC_BIAS_QUAD(column);
#endif
#if HPC_EPILOGUE == 2 && HPC_SUMS
        column_sum[j] = (float4)(0.0f);
#endif
        HPC_WRITTEN_OUT for (uint i = 0; i < HPC_WORK_M; ++i) {
            const ulong row = place.row + i / 4 * HPC_STRIDE_M + lane_m * 4 + i % 4;
            // One bound for the rows and the columns: of two conditions PoCL 3.1 loses one here.
            const ulong columns = row < rows ? n : 0;
            float4 v = sum[i][j];
#if HPC_EPILOGUE != 0
            v = finish_quad(v, added, kept + kept_at + row * n, column, columns, aligned_n && is_aligned(kept_at), alpha, beta);
#endif
#if HPC_EPILOGUE == 2 && HPC_SUMS
            column_sum[j] += row < rows ? v : (float4)(0.0f);
#endif
            store4(c + row * n, column, columns, aligned_c, v);
        }
    }
#if HPC_EPILOGUE == 2 && HPC_SUMS
    // The blocks are done with: their memory takes a row of sums from each row of work-items.
    barrier(CLK_LOCAL_MEM_FENCE);
    HPC_WRITTEN_OUT for (uint j = 0; j < HPC_QUADS_N; ++j)
        *(local float4*)(memory + lane_m * HPC_TILE_N + j * HPC_STRIDE_N + lane_n * 4) = column_sum[j];
    barrier(CLK_LOCAL_MEM_FENCE);
    // One bound for the tile and for C (see above).
    const uint width = (uint)min((ulong)HPC_TILE_N, summed - place.column);
    for (uint j = id; j < width; j += HPC_ITEMS) {
        float total = 0.0f;
        for (uint i = 0; i < HPC_LANES_M; ++i) total += memory[i * HPC_TILE_N + j];
        global float* const to = sums + sums_at + (ulong)place.row_tile * strips * n + place.column + j;
        to[0] = total;
        // Tiles that are cut have sums for each strip.
        for (uint i = 1; i < strips; ++i) to[i * n] = 0.0f;
    }
#endif
}
