// The memory bandwidth that everything is measured against: memory read, copied and updated, and nothing else. A pass goes over
// `count` floats of each stream, a multiple of kStreamStep and 64-byte aligned; four streams at once, since one alone shows half of what
// the prefetchers of current processors can do.

// Past the caches, where the instruction set has that.
static HPC_INLINE void store_past(GemmV value, float* p) {
#if defined(HPC_ISA_AVX512)
    _mm512_stream_ps(p, value.r);
#elif defined(HPC_ISA_AVX2)
    _mm256_stream_ps(p, value.r);
#else
    value.store(p);
#endif
}

// A vector of each stream, twice: eight independent additions hide their latency.
static void stream_read(const StreamPass& pass) {
    const float *a = pass.streams[0], *b = pass.streams[1], *c = pass.streams[2], *d = pass.streams[3];
    constexpr int64_t n = GemmV::lanes;
    GemmV s = GemmV::zero(), t = s, u = s, v = s, w = s, x = s, y = s, z = s;
    for (int64_t repetition = 0; repetition < pass.repetitions; ++repetition) {
        for (int64_t i = 0; i < pass.count; i += 2 * n) {
            s = s + GemmV::load(a + i), t = t + GemmV::load(a + i + n);
            u = u + GemmV::load(b + i), v = v + GemmV::load(b + i + n);
            w = w + GemmV::load(c + i), x = x + GemmV::load(c + i + n);
            y = y + GemmV::load(d + i), z = z + GemmV::load(d + i + n);
        }
    }
    (((s + t) + (u + v)) + ((w + x) + (y + z))).store(pass.sink);
}

// Two streams to two others.
template <bool past>
static void stream_copy(const StreamPass& pass) {
    const float *a = pass.streams[0], *b = pass.streams[1];
    float *c = pass.streams[2], *d = pass.streams[3];
    constexpr int64_t n = GemmV::lanes;
    for (int64_t repetition = 0; repetition < pass.repetitions; ++repetition) {
        for (int64_t i = 0; i < pass.count; i += 2 * n) {
            const GemmV s = GemmV::load(a + i), t = GemmV::load(a + i + n), u = GemmV::load(b + i), v = GemmV::load(b + i + n);
            if constexpr (past) {
                store_past(s, c + i), store_past(t, c + i + n);
                store_past(u, d + i), store_past(v, d + i + n);
            } else {
                s.store(c + i), t.store(c + i + n);
                u.store(d + i), v.store(d + i + n);
            }
        }
    }
#if !defined(HPC_ISA_SCALAR)
    if constexpr (past) _mm_sfence();
#endif
}

// Four streams read and three of them written, as Adam's update does with parameters, gradient and two moments.
static void stream_update(const StreamPass& pass) {
    float *p = pass.streams[0], *m = pass.streams[1], *v = pass.streams[2];
    const float* g = pass.streams[3];
    constexpr int64_t n = GemmV::lanes;
    const GemmV decay = GemmV::broadcast(0.5f), rate = GemmV::broadcast(0.25f);
    for (int64_t repetition = 0; repetition < pass.repetitions; ++repetition) {
        for (int64_t i = 0; i < pass.count; i += n) {
            const GemmV gradient = GemmV::load(g + i);
            const GemmV first = multiply_add(GemmV::load(m + i), decay, gradient);
            const GemmV second = multiply_add(GemmV::load(v + i), decay, gradient);
            first.store(m + i);
            second.store(v + i);
            multiply_add(first, rate, GemmV::load(p + i)).store(p + i);
        }
    }
}
