// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; 2011), with the bits of the
// CPU's kernels: the key is the seed; the counter's low 64 bits are element / 4, its high 64 bits the stream; element i
// takes word i % 4, of which the upper 24 bits make a number in [0, 1). A work-item makes the four numbers of a counter.

static inline uint4 philox(ulong block, ulong stream, ulong seed) {
    uint4 c = (uint4)((uint)block, (uint)(block >> 32), (uint)stream, (uint)(stream >> 32));
    uint key0 = (uint)seed, key1 = (uint)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        uint high0 = mul_hi(c.s0, 0xd2511f53u), low0 = c.s0 * 0xd2511f53u;
        uint high1 = mul_hi(c.s2, 0xcd9e8d57u), low1 = c.s2 * 0xcd9e8d57u;
        c = (uint4)(high1 ^ c.s1 ^ key0, low1, high0 ^ c.s3 ^ key1, low0);
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    return c;
}

static inline float4 uniforms(ulong block, ulong stream, ulong seed) {
    return convert_float4(philox(block, stream, seed) >> 8) * 5.9604644775390625e-8f;
}

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
