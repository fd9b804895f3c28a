// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3; 2011): random numbers
// without a state. The key is the seed; the counter's low 64 bits are element / 4, its high 64 bits the stream; element
// i takes word i % 4, of which the upper 24 bits make a number in [0, 1). Same bits in every instruction set.

// The counter c becomes its four random words.
static HPC_INLINE void philox(I& c0, I& c1, I& c2, I& c3, uint32_t key0, uint32_t key1) {
    for (int round = 0; round < 10; ++round) {
        I high0, low0, high1, low1;
        multiply_wide(c0, 0xd2511f53u, high0, low0);
        multiply_wide(c2, 0xcd9e8d57u, high1, low1);
        c0 = high1 ^ c1 ^ I::broadcast(static_cast<int32_t>(key0));
        c1 = low1;
        c2 = high0 ^ c3 ^ I::broadcast(static_cast<int32_t>(key1));
        c3 = low0;
        key0 += 0x9e3779b9u;
        key1 += 0xbb67ae85u;
    }
}

// The words of 4 * lanes elements from counter `block` on, in order: a, b, c, d.
static HPC_INLINE void philox_block(uint64_t block, uint64_t seed, uint64_t stream, I& a, I& b, I& c, I& d) {
    const I addend = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(block)));
    const I low = addend + quad_order();
    a = low;
    b = add_carry(I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(block >> 32))), low, addend);
    c = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(stream)));
    d = I::broadcast(static_cast<int32_t>(static_cast<uint32_t>(stream >> 32)));
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
    for (int64_t i = 0; i < count; i += 4 * n, block += static_cast<uint64_t>(n)) {
        I a, b, c, d;
        philox_block(block, seed, stream, a, b, c, d);
        if (i + 4 * n <= count) {
            piece(unit_interval(a), i, n);
            piece(unit_interval(b), i + n, n);
            piece(unit_interval(c), i + 2 * n, n);
            piece(unit_interval(d), i + 3 * n, n);
            continue;
        }
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
