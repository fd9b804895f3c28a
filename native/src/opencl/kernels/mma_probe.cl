// Whether the instructions of mma.cl are to be had and do what they should: kernels so small that the host knows every bit of
// the results. found: gets 1 where the compiler is one that takes PTX.
//
// Each is one work-group of HPC_PROBE_ITEMS, two warps, and a program of its own (HPC_MMA_ASYNC), so that a device may have the one
// and not the other.

#define HPC_PROBE_ITEMS 64
#if HPC_PRECISION == 1
#define HPC_PROBE_K 8
#else
#define HPC_PROBE_K 16
#endif

#if HPC_MMA_POSSIBLE
#if HPC_PRECISION == 1
#define HPC_PROBE_WORD(at, word, stride) tf32_word((at)[(word) * (stride)])
#else
#define HPC_PROBE_WORD(at, word, stride) bfloat16_word((at)[(word) * 2 * (stride)], (at)[((word) * 2 + 1) * (stride)])
#endif
#endif

#if !HPC_MMA_ASYNC

// For each warp: D[16 x 8] = A B + (A B + C) for A[16 x K], B[K x 8].
HPC_KERNEL(HPC_PROBE_ITEMS)
mma_probe(global const float* a, global const float* b, global const float* c, global float* d, global uint* found) {
#if HPC_MMA_POSSIBLE
    const uint id = (uint)get_local_id(0), warp = id / HPC_MMA_LANES, lane = id % HPC_MMA_LANES, q = lane / 4, t = lane % 4;
    a += warp * 16 * HPC_PROBE_K + q * HPC_PROBE_K;
    b += warp * HPC_PROBE_K * 8 + q;
    d += warp * 128 + q * 8 + 2 * t;
    const uint a0 = HPC_PROBE_WORD(a, t, 1), a1 = HPC_PROBE_WORD(a + 8 * HPC_PROBE_K, t, 1);
    const uint a2 = HPC_PROBE_WORD(a, t + 4, 1), a3 = HPC_PROBE_WORD(a + 8 * HPC_PROBE_K, t + 4, 1);
    const uint b0 = HPC_PROBE_WORD(b, t, 8), b1 = HPC_PROBE_WORD(b, t + 4, 8);
    // C comes by way of local memory, put there by a work-item of the other warp.
    local float memory[HPC_PROBE_ITEMS * 4] __attribute__((aligned(16)));
    const uint other = (id + 32) % HPC_PROBE_ITEMS;
    c += (warp ^ 1) * 128 + q * 8 + 2 * t;
    memory[other * 4] = c[0], memory[other * 4 + 1] = c[1], memory[other * 4 + 2] = c[64], memory[other * 4 + 3] = c[65];
    barrier(CLK_LOCAL_MEM_FENCE);
    float4 sum = take4(memory + id * 4);
#if HPC_MMA_EMULATED
    local uint given_a[HPC_PROBE_ITEMS * 4], given_b[HPC_PROBE_ITEMS * 2];
    given_a[id * 4] = a0, given_a[id * 4 + 1] = a1, given_a[id * 4 + 2] = a2, given_a[id * 4 + 3] = a3;
    given_b[id * 2] = b0, given_b[id * 2 + 1] = b1;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < 2; ++i) sum = mma_of(given_a + warp * 128, given_b + warp * 64, lane, sum);
#else
    for (uint i = 0; i < 2; ++i) sum = mma(a0, a1, a2, a3, b0, b1, sum);
#endif
    d[0] = sum.s0;
    d[1] = sum.s1;
    d[64] = sum.s2;
    d[65] = sum.s3;
    if (id == 0) *found = 1;
#else
    if (get_local_id(0) == 0) *found = 0;
#endif
}

#else

// Work-item i copies i % 5 of four floats at once, and every other one of four floats by itself; its neighbour writes out what came.
HPC_KERNEL(HPC_PROBE_ITEMS)
copies_probe(global const float* from, global float* to, global uint* found) {
#if HPC_MMA_POSSIBLE
    local float memory[HPC_PROBE_ITEMS * 8] __attribute__((aligned(16)));
    const uint id = (uint)get_local_id(0), other = (id + 33) % HPC_PROBE_ITEMS;
    local float* const quads = memory + HPC_PROBE_ITEMS * 4;
    for (uint i = 0; i < 8; ++i) memory[i * HPC_PROBE_ITEMS + id] = -1.0f;
    barrier(CLK_LOCAL_MEM_FENCE);
    copy_later_16(memory + id * 4, from + id * 4, id % 5);
    HPC_COPIES_END();
    for (uint i = 0; i < 4; ++i) copy_later_4(quads + id * 4 + i, from + id * 4 + i, (id + i) % 2);
    HPC_COPIES_END();
    HPC_COPIES_WAIT(1);
    HPC_COPIES_WAIT(0);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = 0; i < 4; ++i) {
        to[other * 8 + i] = memory[other * 4 + i];
        to[other * 8 + 4 + i] = quads[other * 4 + i];
    }
    if (id == 0) *found = 1;
#else
    if (get_local_id(0) == 0) *found = 0;
#endif
}

#endif
