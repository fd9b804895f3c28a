// The memory bandwidth that everything is measured against: memory read, copied and updated, and nothing else. A pass goes over
// `count` floats of each stream, a multiple of kStreamStep and 64-byte aligned; four streams at once, since one alone shows half of what
// the prefetchers of current processors can do.

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
                s.store_past(c + i), t.store_past(c + i + n);
                u.store_past(d + i), v.store_past(d + i + n);
            } else {
                s.store(c + i), t.store(c + i + n);
                u.store(d + i), v.store(d + i + n);
            }
        }
    }
    if constexpr (past) fence_past();
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
