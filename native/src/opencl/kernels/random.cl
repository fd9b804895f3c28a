// Random numbers and dropout; the generator is in philox.cl. A work-item makes the four numbers of a counter.

// x = low + (high - low) u
HPC_KERNEL(HPC_GROUP)
philox_uniform(HPC_HEAD, global float* x, ulong x_at, ulong count, ulong seed, ulong stream, float low, float high) {
    HPC_GUARD();
    ulong block = get_global_id(0);
    if (block * 4 >= count) return;
    float4 u = uniforms(block, stream, seed);
    store4(x + x_at, block * 4, count, is_aligned(x_at), fma((float4)(high - low), u, (float4)(low)));
}

// y = u < rate ? 0 : x / (1 - rate); y may be x.
HPC_KERNEL(HPC_GROUP)
dropout(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong count, ulong seed, ulong stream, float rate) {
    HPC_GUARD();
    ulong block = get_global_id(0);
    if (block * 4 >= count) return;
    float4 u = uniforms(block, stream, seed);
    float4 v = load4(x + x_at, block * 4, count, is_aligned(x_at)) / (1.0f - rate);
#define HPC_STEP(s) v.s = u.s < rate ? 0.0f : v.s;
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(y + y_at, block * 4, count, is_aligned(y_at), v);
}

// y = u < rate ? dropped : scale x + shift; y may be x.
HPC_KERNEL(HPC_GROUP)
affine_dropout(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong count, ulong seed, ulong stream, float rate,
               float scale, float shift, float dropped) {
    HPC_GUARD();
    ulong block = get_global_id(0);
    if (block * 4 >= count) return;
    float4 u = uniforms(block, stream, seed);
    float4 v = fma((float4)(scale), load4(x + x_at, block * 4, count, is_aligned(x_at)), (float4)(shift));
#define HPC_STEP(s) v.s = u.s < rate ? dropped : v.s;
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(y + y_at, block * 4, count, is_aligned(y_at), v);
}

// y = x + deviation n, n from the normal quantile of u; y may be x.
HPC_KERNEL(HPC_GROUP)
gaussian_noise(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong count, ulong seed, ulong stream,
               float deviation) {
    HPC_GUARD();
    ulong block = get_global_id(0);
    if (block * 4 >= count) return;
    float4 u = uniforms(block, stream, seed);
    float4 v = load4(x + x_at, block * 4, count, is_aligned(x_at));
#define HPC_STEP(s) v.s = fma(deviation, hpc_normal_of_uniform(u.s), v.s);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(y + y_at, block * 4, count, is_aligned(y_at), v);
}
