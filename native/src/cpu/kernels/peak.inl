// The peak that the tile product is measured against: multiply-adds in registers and nothing else, with the vectors
// that the product uses in this instruction set.

// Twelve independent chains hide the latency of the fused multiply-add on two ports of current processors. The values
// tend to 1; no two chains are the same, and where they start is not known to the compiler.
static double fma_loop(int64_t iterations, float* sink) {
    volatile float unknown = 1.0f;
    const float start = unknown;
    const GemmV m = GemmV::broadcast(0.99f), k = GemmV::broadcast(0.01f);
    GemmV a = GemmV::broadcast(start), b = GemmV::broadcast(start + 0.01f), c = GemmV::broadcast(start + 0.02f);
    GemmV d = GemmV::broadcast(start + 0.03f), e = GemmV::broadcast(start + 0.04f), f = GemmV::broadcast(start + 0.05f);
    GemmV g = GemmV::broadcast(start + 0.06f), h = GemmV::broadcast(start + 0.07f), p = GemmV::broadcast(start + 0.08f);
    GemmV q = GemmV::broadcast(start + 0.09f), r = GemmV::broadcast(start + 0.10f), s = GemmV::broadcast(start + 0.11f);
    for (int64_t i = 0; i < iterations; ++i) {
        a = multiply_add(a, m, k), b = multiply_add(b, m, k), c = multiply_add(c, m, k);
        d = multiply_add(d, m, k), e = multiply_add(e, m, k), f = multiply_add(f, m, k);
        g = multiply_add(g, m, k), h = multiply_add(h, m, k), p = multiply_add(p, m, k);
        q = multiply_add(q, m, k), r = multiply_add(r, m, k), s = multiply_add(s, m, k);
    }
    float lanes[GemmV::lanes];
    ((((a + b) + (c + d)) + ((e + f) + (g + h))) + ((p + q) + (r + s))).store(lanes);
    *sink = lanes[0];
    return 2.0 * 12.0 * GemmV::lanes * static_cast<double>(iterations);
}
