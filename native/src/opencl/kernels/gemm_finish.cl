// The second half of a tiled product whose depth was cut into parts: adds up the parts of each tile that was cut, in the
// order of their numbers, and does to C what gemm.cl does to the tiles that were computed whole.
//
//   parts   [tiles that were cut][splits][HPC_TILE_M][HPC_TILE_N], zeros beyond C
//
// A work-group takes a strip of a tile: HPC_STRIP whole rows, a quad of columns to each work-item. Column sums are left
// for each strip.

#define HPC_QUADS (HPC_TILE_N / 4)
#define HPC_STRIP (HPC_GROUP / HPC_QUADS < HPC_TILE_M ? HPC_GROUP / HPC_QUADS : HPC_TILE_M)
#define HPC_STRIPS (HPC_TILE_M / HPC_STRIP)

// The sum of four elements, with what its roundings lost.
typedef struct long_sum4 {
    float4 sum, lost;
} long_sum4;
static inline void long_add4(long_sum4* to, float4 x) {
    const float4 s = to->sum + x, part = s - to->sum;
    to->lost += (to->sum - (s - part)) + (x - part);
    to->sum = s;
}
static inline float4 long_total4(long_sum4 from) {
    float4 total;
#define HPC_STEP(s) total.s = isfinite(from.lost.s) ? from.sum.s + from.lost.s : from.sum.s;
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    return total;
}

HPC_KERNEL(HPC_GROUP)
gemm_finish(HPC_HEAD, global const float* parts, ulong parts_at, global float* c, ulong c_at, global const float* bias, ulong bias_at,
            global float* kept, ulong kept_at, global float* sums, ulong sums_at, ulong m, ulong n, uint whole, uint splits, float alpha,
            float beta) {
#if HPC_EPILOGUE == 2 && HPC_SUMS
    local float4 cells[HPC_STRIP * HPC_QUADS];
#endif
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), quad = id % HPC_QUADS, row_in_strip = id / HPC_QUADS;
    const uint cut = (uint)get_group_id(0) / HPC_STRIPS, strip = (uint)get_group_id(0) % HPC_STRIPS;
    tile_place place;
    place_of_tile(whole + cut, m, n, &place);
    // Work-items that a low tile leaves over repeat its last row, and write nothing. One bound for all (see gemm.cl).
    const uint row_in_tile = strip * HPC_STRIP + min(row_in_strip, (uint)HPC_STRIP - 1);
    const ulong row = place.row + row_in_tile, column = place.column + quad * 4;
    const ulong columns = row_in_strip < HPC_STRIP && row < m ? n : 0;

    global const float4* from =
        (global const float4*)(parts + parts_at) + ((ulong)cut * splits * HPC_TILE_M + row_in_tile) * HPC_QUADS + quad;
    const ulong next = HPC_TILE_M * HPC_QUADS;
    long_sum4 sum = {(float4)(0.0f), (float4)(0.0f)};
    // Four loads are on their way at a time.
    uint i = 0;
    for (; i + 4 <= splits; i += 4) {
        const float4 p0 = from[0], p1 = from[next], p2 = from[2 * next], p3 = from[3 * next];
        from += 4 * next;
        long_add4(&sum, p0);
        long_add4(&sum, p1);
        long_add4(&sum, p2);
        long_add4(&sum, p3);
    }
    for (; i < splits; ++i) {
        long_add4(&sum, from[0]);
        from += next;
    }
    const int aligned = is_aligned(n);
    float4 v = long_total4(sum);
#if HPC_EPILOGUE != 0
    v = finish_quad(v, HPC_BIAS_QUAD(column), kept + kept_at + row * n, column, columns, aligned && is_aligned(kept_at), alpha, beta);
#endif
    store4(c + c_at + row * n, column, columns, aligned && is_aligned(c_at), v);
#if HPC_EPILOGUE == 2 && HPC_SUMS
    if (row_in_strip < HPC_STRIP) cells[id] = columns ? v : (float4)(0.0f);
    barrier(CLK_LOCAL_MEM_FENCE);
    // One bound for the tile and for C (see gemm.cl).
    const uint width = (uint)min((ulong)HPC_TILE_N, n - place.column);
    for (uint j = id; j < width; j += HPC_GROUP) {
        float total = 0.0f;
        for (uint i = 0; i < HPC_STRIP; ++i) total += ((local const float*)cells)[i * HPC_TILE_N + j];
        sums[sums_at + ((ulong)place.row_tile * HPC_STRIPS + strip) * n + place.column + j] = total;
    }
#endif
}
