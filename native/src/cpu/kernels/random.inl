// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; 2011): random numbers
// without a state. The key is the seed; the counter's low 64 bits are element / 4, its high 64 bits the stream; element
// i takes word i % 4, of which the upper 24 bits make a number in [0, 1). Same bits in every instruction set.

// The counter c becomes its four random words. T is one vector of counters, or two side by side.
template <class T>
static HPC_INLINE void philox(T& c0, T& c1, T& c2, T& c3, uint32_t key0, uint32_t key1) {
#if defined(HPC_ISA_SCALAR)
    for (int round = 0; round < 10; ++round) {
        T high0, low0, high1, low1;
        multiply_wide(c0, 0xd2511f53u, high0, low0);
        multiply_wide(c2, 0xcd9e8d57u, high1, low1);
        c0 = high1 ^ c1 ^ T::broadcast(static_cast<int32_t>(key0));
        c1 = low1;
        c2 = high0 ^ c3 ^ T::broadcast(static_cast<int32_t>(key1));
        c3 = low0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
#else
    // The lanes with even and with odd numbers go by themselves, each in the lower half of 64 bits: there a product's lower half is
    // in its place, its upper half one shift away, and nobody reads what is above.
    using Halves = Pair<T>;
    Halves a{c0, upper_halves(c0)}, b{c1, upper_halves(c1)}, c{c2, upper_halves(c2)}, d{c3, upper_halves(c3)};
    for (int round = 0; round < 10; ++round) {
        const Halves first = multiply_halves(a, 0xd2511f53u), second = multiply_halves(c, 0xcd9e8d57u);
        a = upper_halves(second) ^ b ^ Halves::broadcast(static_cast<int32_t>(key0));
        b = second;
        c = upper_halves(first) ^ d ^ Halves::broadcast(static_cast<int32_t>(key1));
        d = first;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
    c0 = join_halves(a.a, a.b), c1 = join_halves(b.a, b.b), c2 = join_halves(c.a, c.b), c3 = join_halves(d.a, d.b);
#endif
}

// The counters from `block` on, one in each lane, in the order that transpose_quads undoes.
static HPC_INLINE void philox_counters(uint64_t block, uint64_t stream, I& a, I& b, I& c, I& d) {
    const I addend = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(block)));
    a = addend + quad_order();
    b = add_carry(I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(block >> 32))), a, addend);
    c = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(stream)));
    d = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(stream >> 32)));
}

// The words of 4 * lanes elements from counter `block` on, in order: a, b, c, d.
static HPC_INLINE void philox_block(uint64_t block, uint64_t seed, uint64_t stream, I& a, I& b, I& c, I& d) {
    philox_counters(block, stream, a, b, c, d);
    philox(a, b, c, d, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
    transpose_quads(a, b, c, d);
}

static HPC_INLINE V unit_interval(I word) {
    return to_float(shift_right_unsigned<8>(word)) * V::broadcast(5.9604644775390625e-8f);
}

// Gives `piece(uniforms, offset, width)` the elements [first, first + count), vector by vector.
template <class Piece>
static HPC_INLINE void for_uniforms(uint64_t first, int64_t count, uint64_t seed, uint64_t stream, Piece piece) {
    constexpr int64_t n = V::lanes;
    uint64_t block = first / 4;
    int64_t i = 0;
    // Two blocks side by side: the ten rounds of one are a single chain.
    for (; i + 8 * n <= count; i += 8 * n, block += static_cast<uint64_t>(2 * n)) {
        Pair<I> a, b, c, d;
        philox_counters(block, stream, a.a, b.a, c.a, d.a);
        philox_counters(block + static_cast<uint64_t>(n), stream, a.b, b.b, c.b, d.b);
        philox(a, b, c, d, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
        transpose_quads(a.a, b.a, c.a, d.a);
        transpose_quads(a.b, b.b, c.b, d.b);
        piece(unit_interval(a.a), i, n);
        piece(unit_interval(b.a), i + n, n);
        piece(unit_interval(c.a), i + 2 * n, n);
        piece(unit_interval(d.a), i + 3 * n, n);
        piece(unit_interval(a.b), i + 4 * n, n);
        piece(unit_interval(b.b), i + 5 * n, n);
        piece(unit_interval(c.b), i + 6 * n, n);
        piece(unit_interval(d.b), i + 7 * n, n);
    }
    for (; i < count; i += 4 * n, block += static_cast<uint64_t>(n)) {
        I a, b, c, d;
        philox_block(block, seed, stream, a, b, c, d);
        const auto width = [&](int64_t start) {
            const int64_t rest = count - start;
            return rest <= 0 ? int64_t{0} : rest < n ? rest : n;
        };
        piece(unit_interval(a), i, width(i));
        if (i + n < count) piece(unit_interval(b), i + n, width(i + n));
        if (i + 2 * n < count) piece(unit_interval(c), i + 2 * n, width(i + 2 * n));
        if (i + 3 * n < count) piece(unit_interval(d), i + 3 * n, width(i + 3 * n));
    }
}

static void philox_uniform(float* x, uint64_t first, int64_t count, uint64_t seed, uint64_t stream, float low,
                           float high) {
    const V from = V::broadcast(low), range = V::broadcast(high - low);
    for_uniforms(first, count, seed, stream, [&](V u, int64_t offset, int64_t width) HPC_INLINE_LAMBDA {
        fma(range, u, from).store_partial(x + offset, width);
    });
}

static void restore_dropped(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                            float rate) {
    const V threshold = V::broadcast(rate);
    for_uniforms(first, count, seed, stream, [&](V u, int64_t offset, int64_t width) HPC_INLINE_LAMBDA {
        const V before = V::load_partial(x + offset, width), after = V::load_partial(y + offset, width);
        select(less(u, threshold), before, after).store_partial(y + offset, width);
    });
}

static void dropout(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                    float rate) {
    const V threshold = V::broadcast(rate), kept = V::broadcast(1.0f - rate);
    for_uniforms(first, count, seed, stream, [&](V u, int64_t offset, int64_t width) HPC_INLINE_LAMBDA {
        const V v = V::load_partial(x + offset, width);
        select(less(u, threshold), V::zero(), v / kept).store_partial(y + offset, width);
    });
}

static void affine_dropout(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                           float rate, float scale, float shift, float dropped) {
    const V threshold = V::broadcast(rate), factor = V::broadcast(scale), addend = V::broadcast(shift),
            lost = V::broadcast(dropped);
    for_uniforms(first, count, seed, stream, [&](V u, int64_t offset, int64_t width) HPC_INLINE_LAMBDA {
        const V v = V::load_partial(x + offset, width);
        select(less(u, threshold), lost, fma(factor, v, addend)).store_partial(y + offset, width);
    });
}

static void gaussian_noise(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                           float deviation) {
    const V factor = V::broadcast(deviation);
    for_uniforms(first, count, seed, stream, [&](V u, int64_t offset, int64_t width) HPC_INLINE_LAMBDA {
        fma(factor, hpc_normal_of_uniform(u), V::load_partial(x + offset, width)).store_partial(y + offset, width);
    });
}
