// What the device can do at most, in registers and in memory.
//
// multiply_add: chains of fused multiply-adds in registers, one float4 to each of four chains.
//
// HPC_ROUNDS: how often all chains take a step. A step is 16 multiply-adds, 32 operations. `out` is written by nobody
// unless the impossible happens: it keeps the compiler from leaving the work out.
__kernel void multiply_add(__global float* out, float start) {
    float4 a = start + (float4)(get_global_id(0)) * 1e-9f;
    float4 b = a + 0.25f, c = a + 0.5f, d = a + 0.75f;
    const float4 factor = 0.999f, addend = 1e-3f;
    for (uint i = 0; i < HPC_ROUNDS; i++) {
        a = fma(a, factor, addend);
        b = fma(b, factor, addend);
        c = fma(c, factor, addend);
        d = fma(d, factor, addend);
    }
    const float4 sum = a + b + c + d;
    if (sum.x + sum.y + sum.z + sum.w < -1.0f) out[0] = sum.x;
}

// Four streams of `count` float4 each, gone over `repetitions` times: read, two copied to the two others, or updated as by an optimizer.
// HPC_STREAM says which: 0, 1, 2. `out` as above.
__kernel void stream(__global float4* streams, uint count, uint repetitions, __global float* out) {
    __global float4* a = streams;
    __global float4* b = streams + count;
    __global float4* c = streams + 2 * count;
    __global float4* d = streams + 3 * count;
    float4 sum = 0.0f;
    for (uint repetition = 0; repetition < repetitions; repetition++) {
        for (uint i = get_global_id(0); i < count; i += get_global_size(0)) {
#if HPC_STREAM == 0
            sum += (a[i] + b[i]) + (c[i] + d[i]);
#elif HPC_STREAM == 1
            c[i] = a[i];
            d[i] = b[i];
#else
            const float4 gradient = d[i];
            const float4 first = fma(b[i], 0.5f, gradient), second = fma(c[i], 0.5f, gradient);
            b[i] = first;
            c[i] = second;
            a[i] = fma(first, 0.25f, a[i]);
#endif
        }
    }
    if (sum.x + sum.y + sum.z + sum.w < -1.0f) out[0] = sum.x;
}
