// C[m x n] = op(A) op(B) on tensor cores, and what is done to C before it is written. Forms, epilogues, operands and parts of the
// depth are those of gemm.cl; HPC_PRECISION says what the numbers of A and B are rounded to on the way (mma.cl).
//
// A work-group computes HPC_TILE_M x HPC_TILE_N of C, each of its warps of 32 work-items HPC_WARP_M x HPC_WARP_N of that, both
// multiples of 32. Blocks of HPC_MMA_DEPTH of the depth go through local memory as they lie in memory (mma_layout.h). HPC_STAGES of
// them are there at a time:
//   HPC_MMA_ASYNC 1   HPC_STAGES - 1 are under way by copies that go past the registers, while one is multiplied; numbers are rounded
//                     when a warp takes them
//                 0   of two, one is under way through registers, where TF32 is rounded once for all warps
// A warp takes its part of a block into registers as mma_layout.h says. The words of its rows stand ready for all its columns,
// those of its columns come 32 at a time.

#define HPC_WARPS_M (HPC_TILE_M / HPC_WARP_M)
#define HPC_WARPS_N (HPC_TILE_N / HPC_WARP_N)
#define HPC_ITEMS (HPC_WARPS_M * HPC_WARPS_N * HPC_MMA_LANES)
// Pieces of 32 places of a warp's part of the tile.
#define HPC_PARTS_M (HPC_WARP_M / 32)
#define HPC_PARTS_N (HPC_WARP_N / 32)
// Quads of a block that each work-item fetches.
#define HPC_FETCH_A (HPC_TILE_M * HPC_MMA_DEPTH / 4 / HPC_ITEMS)
#define HPC_FETCH_B (HPC_TILE_N * HPC_MMA_DEPTH / 4 / HPC_ITEMS)
#if HPC_FETCH_A * HPC_ITEMS * 4 != HPC_TILE_M * HPC_MMA_DEPTH || HPC_FETCH_B * HPC_ITEMS * 4 != HPC_TILE_N * HPC_MMA_DEPTH
#error "a block of an operand is not a whole number of quads for each work-item"
#endif
#define HPC_BLOCK_A (HPC_TILE_M * HPC_MMA_DEPTH)
#define HPC_BLOCK_B (HPC_TILE_N * HPC_MMA_DEPTH)
#define HPC_STAGE (HPC_BLOCK_A + HPC_BLOCK_B)
#define HPC_INNER_A (HPC_FORM != 2)
#define HPC_INNER_B (HPC_FORM == 1)

// Quad number q of a block: its first element's place in the tile and depth.
#define HPC_QUAD_PLACE(q, inner, tile) ((inner) ? (q) / (HPC_MMA_DEPTH / 4) : (q) % ((tile) / 4) * 4)
#define HPC_QUAD_DEPTH(q, inner, tile) ((inner) ? (q) % (HPC_MMA_DEPTH / 4) * 4 : (q) / ((tile) / 4))
#define HPC_AT(place, depth, inner, tile) ((inner) ? mma_inner_at(place, depth) : mma_outer_at(tile, place, depth))

// How many of a quad's elements there are, with `places` and `depths` left in the block.
static inline uint quad_count(int inner, uint place, uint depth, uint places, uint depths) {
    const uint at = inner ? depth : place, end = inner ? depths : places;
    if ((inner ? place >= places : depth >= depths) || at >= end) return 0;
    return min(end - at, 4u);
}

#if HPC_MMA_ASYNC

HPC_INLINE void copy_later(local float* to, global const float* from, uint count, int aligned) {
    if (aligned) {
        copy_later_16(to, from, count);
        return;
    }
HPC_UNROLL for (uint i = 0; i < 4; ++i) copy_later_4(to + i, from + (i < count ? i : 0), i < count);
}

// `first`: somewhere that may be read; what has no element is not read, but its address is given.
#define HPC_COPY(fetches, block, first, from, inner, tile, places, stride, aligned)                                                     \
    HPC_UNROLL for (uint i = 0; i < fetches; ++i) {                                                                              \
        const uint q = id + i * HPC_ITEMS, place = HPC_QUAD_PLACE(q, inner, tile), depth = HPC_QUAD_DEPTH(q, inner, tile);              \
        const uint count = quad_count(inner, place, depth, places, depths);                                                             \
        copy_later((block) + HPC_AT(place, depth, inner, tile),                                                                         \
                   count ? (from) + ((inner) ? place * (stride) + depth : depth * (stride) + place) : (first), count, aligned);         \
    }

#else

#if HPC_PRECISION == 1
#define HPC_ROUNDED(x) as_float(tf32_word(x))
#else
#define HPC_ROUNDED(x) (x)
#endif

#define HPC_FETCH(fetches, next, first, from, inner, tile, places, stride, aligned)                                                     \
    HPC_UNROLL for (uint i = 0; i < fetches; ++i) {                                                                              \
        const uint q = id + i * HPC_ITEMS, place = HPC_QUAD_PLACE(q, inner, tile), depth = HPC_QUAD_DEPTH(q, inner, tile);              \
        const uint count = quad_count(inner, place, depth, places, depths);                                                             \
        next[i] = load4(count ? (from) + ((inner) ? place * (stride) + depth : depth * (stride) + place) : (first), 0, count, aligned); \
    }
#define HPC_PUT(fetches, next, block, inner, tile)                                                                                      \
    HPC_UNROLL for (uint i = 0; i < fetches; ++i) {                                                                              \
        const uint q = id + i * HPC_ITEMS, place = HPC_QUAD_PLACE(q, inner, tile), depth = HPC_QUAD_DEPTH(q, inner, tile);              \
        *(local float4*)((block) + HPC_AT(place, depth, inner, tile)) =                                                                 \
            (float4)(HPC_ROUNDED(next[i].s0), HPC_ROUNDED(next[i].s1), HPC_ROUNDED(next[i].s2), HPC_ROUNDED(next[i].s3));               \
    }

#endif

// The words of four depths of a place.
#if HPC_PRECISION == 1 && HPC_MMA_ASYNC
#define HPC_WORD(w, v0, v1, v2, v3) w[0] = tf32_word(v0), w[1] = tf32_word(v1), w[2] = tf32_word(v2), w[3] = tf32_word(v3)
#elif HPC_PRECISION == 1
#define HPC_WORD(w, v0, v1, v2, v3) w[0] = as_uint(v0), w[1] = as_uint(v1), w[2] = as_uint(v2), w[3] = as_uint(v3)
#else
#define HPC_WORD(w, v0, v1, v2, v3) w[0] = bfloat16_word(v0, v1), w[1] = bfloat16_word(v2, v3)
#endif

// Four places from `place` on, by four depths from `depth` on: words[4][2 * HPC_MMA_STEPS].
#define HPC_TAKE_INNER(words, block, place, depth)                                                                                      \
    HPC_UNROLL for (uint h = 0; h < 4; ++h) {                                                                                    \
        const float4 v = take4((block) + mma_inner_at((place) + h, depth));                                                              \
        HPC_WORD(words[h], v.s0, v.s1, v.s2, v.s3);                                                                                     \
    }
#define HPC_TAKE_OUTER(words, block, place, depth, tile)                                                                                \
    {                                                                                                                                   \
        const float4 v0 = take4((block) + mma_outer_at(tile, place, depth));                                           \
        const float4 v1 = take4((block) + mma_outer_at(tile, place, (depth) + 1));                                     \
        const float4 v2 = take4((block) + mma_outer_at(tile, place, (depth) + 2));                                     \
        const float4 v3 = take4((block) + mma_outer_at(tile, place, (depth) + 3));                                     \
        HPC_WORD(words[0], v0.s0, v1.s0, v2.s0, v3.s0);                                                                                 \
        HPC_WORD(words[1], v0.s1, v1.s1, v2.s1, v3.s1);                                                                                 \
        HPC_WORD(words[2], v0.s2, v1.s2, v2.s2, v3.s2);                                                                                 \
        HPC_WORD(words[3], v0.s3, v1.s3, v2.s3, v3.s3);                                                                                 \
    }
#if HPC_INNER_A
#define HPC_TAKE_A(words, part) HPC_TAKE_INNER(words, stage, first_m + (part) * 32 + mma_place(lane_q), lane_t * 4)
#else
#define HPC_TAKE_A(words, part) HPC_TAKE_OUTER(words, stage, first_m + (part) * 32 + mma_place(lane_q), lane_t * 4, HPC_TILE_M)
#endif
#if HPC_INNER_B
#define HPC_TAKE_B(words, part) HPC_TAKE_INNER(words, stage + HPC_BLOCK_A, first_n + (part) * 32 + mma_place(lane_q), lane_t * 4)
#else
#define HPC_TAKE_B(words, part) HPC_TAKE_OUTER(words, stage + HPC_BLOCK_A, first_n + (part) * 32 + mma_place(lane_q), lane_t * 4, HPC_TILE_N)
#endif

// Row q of an mma's A is one of the lane's four places, row q + 8 the next one; column q of its B is one.
#if !HPC_MMA_EMULATED
#define HPC_MULTIPLY(step)                                                                                                              \
    HPC_UNROLL for (uint i = 0; i < HPC_PARTS_M * 2; ++i) {                                                                      \
        HPC_UNROLL for (uint j = 0; j < 4; ++j) sum[i][part * 4 + j] =                                                           \
            mma(x[i / 2][i % 2 * 2][2 * (step)], x[i / 2][i % 2 * 2 + 1][2 * (step)], x[i / 2][i % 2 * 2][2 * (step) + 1],              \
                x[i / 2][i % 2 * 2 + 1][2 * (step) + 1], y[j][2 * (step)], y[j][2 * (step) + 1], sum[i][part * 4 + j]);                 \
    }
#else
#define HPC_MULTIPLY(step)                                                                                                              \
    for (uint i = 0; i < HPC_PARTS_M * 2; ++i) {                                                                                        \
        for (uint e = 0; e < 4; ++e) given_x[((warp * HPC_PARTS_M * 2 + i) * 32 + lane) * 4 + e] = x[i / 2][i % 2 * 2 + e % 2][2 * (step) + e / 2]; \
    }                                                                                                                                   \
    for (uint j = 0; j < 4; ++j) {                                                                                                      \
        for (uint e = 0; e < 2; ++e) given_y[((warp * 4 + j) * 32 + lane) * 2 + e] = y[j][2 * (step) + e];                              \
    }                                                                                                                                   \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                                       \
    for (uint i = 0; i < HPC_PARTS_M * 2; ++i) {                                                                                        \
        for (uint j = 0; j < 4; ++j) sum[i][part * 4 + j] =                                                                             \
            mma_of(given_x + (warp * HPC_PARTS_M * 2 + i) * 128, given_y + (warp * 4 + j) * 64, lane, sum[i][part * 4 + j]);            \
    }                                                                                                                                   \
    barrier(CLK_LOCAL_MEM_FENCE);
#endif

HPC_KERNEL(HPC_ITEMS)
gemm_mma(HPC_HEAD, global const float* a, ulong a_at, global const float* b, ulong b_at, global float* c, ulong c_at, global const float* bias,
         ulong bias_at, global float* kept, ulong kept_at, global float* sums, ulong sums_at, ulong m, ulong n, ulong k, ulong split_k,
         float alpha, float beta) {
    local float memory[HPC_STAGES * HPC_STAGE] __attribute__((aligned(128)));
#if HPC_MMA_EMULATED
    local uint given_x[HPC_WARPS_M * HPC_WARPS_N * HPC_PARTS_M * 2 * 128], given_y[HPC_WARPS_M * HPC_WARPS_N * 4 * 64];
#endif
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id % HPC_MMA_LANES, lane_q = lane / 4, lane_t = lane % 4;
    const uint warp = id / HPC_MMA_LANES, first_m = warp / HPC_WARPS_N * HPC_WARP_M, first_n = warp % HPC_WARPS_N * HPC_WARP_N;

    const ulong tiles = (m + HPC_TILE_M - 1) / HPC_TILE_M * ((n + HPC_TILE_N - 1) / HPC_TILE_N);
    const ulong split = get_group_id(0) / tiles;
    tile_place tile;
    place_of_tile((uint)(get_group_id(0) % tiles), m, n, &tile);
    const ulong row0 = tile.row, column0 = tile.column;
    const ulong k_first = split * split_k, k_end = min(k, k_first + split_k);

    const uint places_m = (uint)min(m - row0, (ulong)HPC_TILE_M), places_n = (uint)min(n - column0, (ulong)HPC_TILE_N);
    const ulong stride_a = HPC_INNER_A ? k : m, stride_b = HPC_INNER_B ? k : n;
    const int aligned_a = is_aligned(a_at | stride_a), aligned_b = is_aligned(b_at | stride_b);
    // The next block that is fetched, and how much of the depth is left from there.
    global const float* from_a = a + a_at + (HPC_INNER_A ? row0 * k + k_first : k_first * m + row0);
    global const float* from_b = b + b_at + (HPC_INNER_B ? column0 * k + k_first : k_first * n + column0);
    global const float* const first_a = a + a_at;
    global const float* const first_b = b + b_at;
    const ulong step_a = HPC_INNER_A ? HPC_MMA_DEPTH : HPC_MMA_DEPTH * m, step_b = HPC_INNER_B ? HPC_MMA_DEPTH : HPC_MMA_DEPTH * n;
    ulong left = k_end - k_first;
    const ulong blocks = (left + HPC_MMA_DEPTH - 1) / HPC_MMA_DEPTH;
#define HPC_NEXT()                                       \
    from_a += step_a;                                    \
    from_b += step_b;                                    \
    left -= min(left, (ulong)HPC_MMA_DEPTH);

    // sum[i][j]: one mma's C, of two of the lane's places of rows and one of columns.
    float4 sum[HPC_PARTS_M * 2][HPC_PARTS_N * 4];
HPC_UNROLL for (uint i = 0; i < HPC_PARTS_M * 2; ++i) {
HPC_UNROLL for (uint j = 0; j < HPC_PARTS_N * 4; ++j) sum[i][j] = (float4)(0.0f);
    }

#define HPC_MULTIPLY_BLOCK(stage_number)                                                                                                \
    {                                                                                                                                   \
        local const float* const stage = memory + (stage_number) * HPC_STAGE;                                                           \
        uint x[HPC_PARTS_M][4][2 * HPC_MMA_STEPS];                                                                                      \
        HPC_UNROLL for (uint part = 0; part < HPC_PARTS_M; ++part) HPC_TAKE_A(x[part], part)                                     \
        HPC_UNROLL for (uint part = 0; part < HPC_PARTS_N; ++part) {                                                             \
            uint y[4][2 * HPC_MMA_STEPS];                                                                                               \
            HPC_TAKE_B(y, part)                                                                                                         \
            HPC_UNROLL for (uint step = 0; step < HPC_MMA_STEPS; ++step) { HPC_MULTIPLY(step) }                                  \
        }                                                                                                                               \
    }

#if HPC_MMA_ASYNC
#define HPC_COPY_BLOCKS(stage_number)                                                                                                   \
    {                                                                                                                                   \
        local float* const stage = memory + (stage_number) * HPC_STAGE;                                                                 \
        const uint depths = (uint)min(left, (ulong)HPC_MMA_DEPTH);                                                                      \
        HPC_COPY(HPC_FETCH_A, stage, first_a, from_a, HPC_INNER_A, HPC_TILE_M, places_m, stride_a, aligned_a)                           \
        HPC_COPY(HPC_FETCH_B, stage + HPC_BLOCK_A, first_b, from_b, HPC_INNER_B, HPC_TILE_N, places_n, stride_b, aligned_b)             \
        HPC_NEXT()                                                                                                                      \
    }
    // Where no block is left an empty group is counted.
    for (uint ahead = 0; ahead < HPC_STAGES - 1; ++ahead) {
        if (ahead < blocks) HPC_COPY_BLOCKS(ahead)
        HPC_COPIES_END();
    }
    uint taken = 0, filled = HPC_STAGES - 1;
    for (ulong block = 0; block < blocks; ++block) {
        // This block is there for all, and all are done with the one before, whose place is filled again.
        HPC_COPIES_WAIT(HPC_COPIES_PENDING);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (block + HPC_STAGES - 1 < blocks) HPC_COPY_BLOCKS(filled)
        HPC_COPIES_END();
        HPC_MULTIPLY_BLOCK(taken)
        taken = taken + 1 == HPC_STAGES ? 0 : taken + 1;
        filled = filled + 1 == HPC_STAGES ? 0 : filled + 1;
    }
    HPC_COPIES_WAIT(0);
#else
    float4 next_a[HPC_FETCH_A], next_b[HPC_FETCH_B];
#define HPC_FETCH_BLOCKS()                                                                                                              \
    {                                                                                                                                   \
        const uint depths = (uint)min(left, (ulong)HPC_MMA_DEPTH);                                                                      \
        HPC_FETCH(HPC_FETCH_A, next_a, first_a, from_a, HPC_INNER_A, HPC_TILE_M, places_m, stride_a, aligned_a)                         \
        HPC_FETCH(HPC_FETCH_B, next_b, first_b, from_b, HPC_INNER_B, HPC_TILE_N, places_n, stride_b, aligned_b)                         \
        HPC_NEXT()                                                                                                                      \
    }
#define HPC_PUT_BLOCKS(stage_number)                                                                                                    \
    {                                                                                                                                   \
        local float* const stage = memory + (stage_number) * HPC_STAGE;                                                                 \
        HPC_PUT(HPC_FETCH_A, next_a, stage, HPC_INNER_A, HPC_TILE_M)                                                                    \
        HPC_PUT(HPC_FETCH_B, next_b, stage + HPC_BLOCK_A, HPC_INNER_B, HPC_TILE_N)                                                      \
    }
    HPC_FETCH_BLOCKS()
    HPC_PUT_BLOCKS(0)
    barrier(CLK_LOCAL_MEM_FENCE);
    for (ulong block = 0; block < blocks; ++block) {
        // Behind the last block there are only zeros.
        HPC_FETCH_BLOCKS()
        const uint taken = (uint)block & 1;
        HPC_MULTIPLY_BLOCK(taken)
        HPC_PUT_BLOCKS(1 - taken)
        barrier(CLK_LOCAL_MEM_FENCE);
    }
#endif

    c += c_at + split * m * n;
    const int aligned_n = is_aligned(n), aligned_c = aligned_n && is_aligned(c_at);
#if HPC_EPILOGUE == 2 && HPC_SUMS
    // The blocks are done with: their memory takes a row of sums from the work-items of each q of each row of warps.
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    // A lane has quads of neighbouring columns: of part p, half e, those from p * 32 + e * 16 + lane_t * 4 on.
HPC_UNROLL for (uint half_part = 0; half_part < HPC_PARTS_N * 2; ++half_part) {
        const uint in_tile = first_n + half_part * 16 + lane_t * 4;
        const ulong column = column0 + in_tile;
#if HPC_EPILOGUE != 0
        const float4 added = HPC_BIAS_QUAD(column);
#endif
#if HPC_EPILOGUE == 2 && HPC_SUMS
        float4 column_sum = (float4)(0.0f);
#endif
HPC_UNROLL for (uint i = 0; i < HPC_PARTS_M * 4; ++i) {
            const ulong row = row0 + first_m + i / 4 * 32 + mma_place(lane_q) + i % 4;
            if (row < m) {
                const uint at_m = i / 2, at_n = half_part / 2 * 4, e = half_part % 2 + i % 2 * 2;
#define HPC_RESULT(j) (e == 0 ? sum[at_m][at_n + j].s0 : e == 1 ? sum[at_m][at_n + j].s1 : e == 2 ? sum[at_m][at_n + j].s2 : sum[at_m][at_n + j].s3)
                float4 v = (float4)(HPC_RESULT(0), HPC_RESULT(1), HPC_RESULT(2), HPC_RESULT(3));
#if HPC_EPILOGUE != 0
                v = finish_quad(v, added, kept + kept_at + row * n, column, n, aligned_n && is_aligned(kept_at), alpha, beta);
#endif
#if HPC_EPILOGUE == 2 && HPC_SUMS
                column_sum += v;
#endif
                store4(c + row * n, column, n, aligned_c, v);
            }
        }
#if HPC_EPILOGUE == 2 && HPC_SUMS
        *(local float4*)(memory + (warp / HPC_WARPS_N * 8 + lane_q) * HPC_TILE_N + in_tile) = column_sum;
#endif
    }
#if HPC_EPILOGUE == 2 && HPC_SUMS
    barrier(CLK_LOCAL_MEM_FENCE);
    // One bound for the tile and for C: of two conditions PoCL 3.1 loses one here.
    for (uint j = id; j < places_n; j += HPC_ITEMS) {
        float total = 0.0f;
        for (uint i = 0; i < HPC_WARPS_M * 8; ++i) total += memory[i * HPC_TILE_N + j];
        sums[sums_at + tile.row_tile * n + column0 + j] = total;
    }
#endif
}
