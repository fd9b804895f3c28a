// What the device can do at most: chains of fused multiply-adds in registers, one float4 to each of four chains.
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
