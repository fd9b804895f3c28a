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
