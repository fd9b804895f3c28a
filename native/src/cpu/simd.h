// One vector of floats, in the width of the instruction set that is being compiled.
//
// Included once by each isa_*.cpp inside its own namespace, after HPC_ISA_AVX512, HPC_ISA_AVX2 or HPC_ISA_SCALAR was
// defined and the system headers (<immintrin.h>, <cstdint>, <cstring>, <cmath>) were included outside of it. There is
// no include guard for that reason.
//
//   V  floats        I  32-bit integers (two's complement, wrapping)        M  one truth value per lane
//
// Everything is force-inlined: no vector is ever passed through a call or kept in an array in memory (some Windows
// compilers spill vectors to a stack that is aligned to 16 bytes only). All operations round to nearest even and give
// the same bits in every instruction set; fma rounds once, also where the processor has no such instruction.

#ifndef HPC_INLINE
#if defined(_MSC_VER) && !defined(__clang__)
#define HPC_INLINE __forceinline
#define HPC_INLINE_LAMBDA
#else
#define HPC_INLINE inline __attribute__((always_inline))
#define HPC_INLINE_LAMBDA __attribute__((always_inline))
#endif
#endif

#if !defined(HPC_ISA_SCALAR)
// Position of the lowest set bit of a number that is not 0.
HPC_INLINE int lowest_bit(unsigned word) {
#if defined(__GNUC__)
    return __builtin_ctz(word);
#else
    return static_cast<int>(_tzcnt_u32(word));
#endif
}
#endif

// --------------------------------------------------------------------------------------------------------------------
#if defined(HPC_ISA_AVX512)

struct I {
    __m512i r;
    static HPC_INLINE I broadcast(int32_t x) { return {_mm512_set1_epi32(x)}; }
    static HPC_INLINE I load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
};

struct M {
    __mmask16 r;
};

struct V {
    using Int = I;
    static constexpr int lanes = 16;
    __m512 r;

    static HPC_INLINE __mmask16 first(int64_t n) { return static_cast<__mmask16>((1u << n) - 1u); }
    static HPC_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
    // The first n lanes, 0 <= n <= lanes, the rest zero; memory beyond is not touched.
    static HPC_INLINE V load_partial(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first(n), p)}; }
    static HPC_INLINE V broadcast(float x) { return {_mm512_set1_ps(x)}; }
    static HPC_INLINE V zero() { return {_mm512_setzero_ps()}; }
    HPC_INLINE void store(float* p) const { _mm512_storeu_ps(p, r); }
    // Past the caches, to where a whole vector is aligned. Others see it in order after fence_past().
    HPC_INLINE void store_past(float* p) const { _mm512_stream_ps(p, r); }
    HPC_INLINE void store_partial(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, first(n), r); }
    // The same in pieces of 8, 4, 2 and 1, for the short rows of narrow matrices: a masked store holds up the load of
    // the row behind it, which lies within its 64 bytes.
    HPC_INLINE void store_exact(float* p, int64_t n) const {
        if (n >= 16) {
            _mm512_storeu_ps(p, r);
            return;
        }
        __m256 half = _mm512_castps512_ps256(r);
        if (n & 8) {
            _mm256_storeu_ps(p, half);
            half = _mm512_extractf32x8_ps(r, 1);
            p += 8;
        }
        __m128 piece = _mm256_castps256_ps128(half);
        if (n & 4) {
            _mm_storeu_ps(p, piece);
            piece = _mm256_extractf128_ps(half, 1);
            p += 4;
        }
        if (n & 2) {
            _mm_storel_pi(reinterpret_cast<__m64*>(p), piece);
            piece = _mm_movehl_ps(piece, piece);
            p += 2;
        }
        if (n & 1) _mm_store_ss(p, piece);
    }
    HPC_INLINE float lane0() const { return _mm512_cvtss_f32(r); }
};

HPC_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.r, b.r)}; }
HPC_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.r, b.r)}; }
HPC_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.r, b.r)}; }
HPC_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.r, b.r)}; }
HPC_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.r, b.r, c.r)}; }
HPC_INLINE V sqrt(V a) { return {_mm512_sqrt_ps(a.r)}; }
HPC_INLINE V operator-(V a) { return {_mm512_xor_ps(a.r, _mm512_set1_ps(-0.0f))}; }
HPC_INLINE V abs(V a) { return {_mm512_andnot_ps(_mm512_set1_ps(-0.0f), a.r)}; }
HPC_INLINE V copysign(V a, V sign) {
    const __m512i high = _mm512_set1_epi32(static_cast<int32_t>(0x80000000u));
    // 0xca: the first operand chooses, bit by bit, the second or the third.
    return {_mm512_castsi512_ps(
        _mm512_ternarylogic_epi32(high, _mm512_castps_si512(sign.r), _mm512_castps_si512(a.r), 0xca))};
}

HPC_INLINE M less(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LT_OQ)}; }
HPC_INLINE M less_equal(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_LE_OQ)}; }
HPC_INLINE M equal(V a, V b) { return {_mm512_cmp_ps_mask(a.r, b.r, _CMP_EQ_OQ)}; }
HPC_INLINE V select(M m, V a, V b) { return {_mm512_mask_blend_ps(m.r, b.r, a.r)}; }
// b < a ? b : a and b > a ? b : a, so that a NaN in a stays.
HPC_INLINE V min_keep(V a, V b) { return {_mm512_min_ps(b.r, a.r)}; }
HPC_INLINE V max_keep(V a, V b) { return {_mm512_max_ps(b.r, a.r)}; }
HPC_INLINE V first_lanes(V a, int64_t n, V other) { return {_mm512_mask_blend_ps(V::first(n), other.r, a.r)}; }
// Index of the first true lane among the first n; lanes if there is none.
HPC_INLINE int first_true(M m, int64_t n) {
    return lowest_bit((static_cast<unsigned>(m.r) & ((1u << n) - 1u)) | (1u << 16));
}

HPC_INLINE I operator+(I a, I b) { return {_mm512_add_epi32(a.r, b.r)}; }
HPC_INLINE I operator-(I a, I b) { return {_mm512_sub_epi32(a.r, b.r)}; }
HPC_INLINE I operator&(I a, I b) { return {_mm512_and_si512(a.r, b.r)}; }
HPC_INLINE I operator^(I a, I b) { return {_mm512_xor_si512(a.r, b.r)}; }
template <int N>
HPC_INLINE I shift_left(I a) {
    return {_mm512_slli_epi32(a.r, N)};
}
template <int N>
HPC_INLINE I shift_right_signed(I a) {
    return {_mm512_srai_epi32(a.r, N)};
}
template <int N>
HPC_INLINE I shift_right_unsigned(I a) {
    return {_mm512_srli_epi32(a.r, N)};
}
HPC_INLINE I bits(V a) { return {_mm512_castps_si512(a.r)}; }
HPC_INLINE V from_bits(I a) { return {_mm512_castsi512_ps(a.r)}; }
HPC_INLINE V to_float(I a) { return {_mm512_cvtepi32_ps(a.r)}; }

// x 2^n for an integral n, |n| < 2^22, rounded once.
HPC_INLINE V ldexp(V x, V n) { return {_mm512_scalef_ps(x.r, n.r)}; }

HPC_INLINE float reduce_add(V a) {
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.r), _mm512_extractf32x8_ps(a.r, 1));
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
HPC_INLINE float reduce_max(V a) {
    const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.r), _mm512_extractf32x8_ps(a.r, 1));
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

// Sums of floats in double precision: each lane by itself, combined at the end in a fixed order.
struct DoubleSum {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    HPC_INLINE void add(V a) {
        low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(a.r)));
        high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.r, 1)));
    }
    HPC_INLINE void add_square(V a) {
        const __m512d l = _mm512_cvtps_pd(_mm512_castps512_ps256(a.r));
        const __m512d h = _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.r, 1));
        low = _mm512_fmadd_pd(l, l, low);
        high = _mm512_fmadd_pd(h, h, high);
    }
    HPC_INLINE void load(const double* p) { low = _mm512_loadu_pd(p), high = _mm512_loadu_pd(p + 8); }
    HPC_INLINE void store(double* p) const { _mm512_storeu_pd(p, low), _mm512_storeu_pd(p + 8, high); }
    HPC_INLINE double total() const {
        const __m512d s = _mm512_add_pd(low, high);
        const __m256d h = _mm256_add_pd(_mm512_castpd512_pd256(s), _mm512_extractf64x4_pd(s, 1));
        const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(h), _mm256_extractf128_pd(h, 1));
        return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
    }
};

// In each 64 bits: the product of their lower half with a factor; their upper half; two vectors' lower halves, the second above.
HPC_INLINE I multiply_halves(I a, uint32_t factor) { return {_mm512_mul_epu32(a.r, _mm512_set1_epi32(static_cast<int32_t>(factor)))}; }
HPC_INLINE I upper_halves(I a) { return {_mm512_srli_epi64(a.r, 32)}; }
HPC_INLINE I join_halves(I even, I odd) { return {_mm512_mask_shuffle_epi32(even.r, 0xaaaa, odd.r, _MM_PERM_CCAA)}; }
// carry + 1 in the lanes where the unsigned sum wrapped around, that is, where sum < addend.
HPC_INLINE I add_carry(I carry, I sum, I addend) {
    return {_mm512_mask_add_epi32(carry.r, _mm512_cmplt_epu32_mask(sum.r, addend.r), carry.r, _mm512_set1_epi32(1))};
}
// Lane (4 q + w) holds the number (w * lanes / 4 + q): with it, transpose_quads brings its results in order.
HPC_INLINE I quad_order() { return {_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)}; }
// In each group of four lanes: a 4 x 4 transposition.
HPC_INLINE void transpose_quads(I& a, I& b, I& c, I& d) {
    const __m512i ab0 = _mm512_unpacklo_epi32(a.r, b.r), ab1 = _mm512_unpackhi_epi32(a.r, b.r);
    const __m512i cd0 = _mm512_unpacklo_epi32(c.r, d.r), cd1 = _mm512_unpackhi_epi32(c.r, d.r);
    a.r = _mm512_unpacklo_epi64(ab0, cd0);
    b.r = _mm512_unpackhi_epi64(ab0, cd0);
    c.r = _mm512_unpacklo_epi64(ab1, cd1);
    d.r = _mm512_unpackhi_epi64(ab1, cd1);
}

// --------------------------------------------------------------------------------------------------------------------
#elif defined(HPC_ISA_AVX2)

struct I {
    __m256i r;
    static HPC_INLINE I broadcast(int32_t x) { return {_mm256_set1_epi32(x)}; }
    static HPC_INLINE I load(const int32_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
};

struct M {
    __m256 r;
};

// Eight lanes set, eight clear: a window into it is the mask of the first n lanes.
alignas(64) static constexpr int32_t mask_window[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

struct V {
    using Int = I;
    static constexpr int lanes = 8;
    __m256 r;

    static HPC_INLINE __m256i first(int64_t n) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(mask_window + 8 - n));
    }
    static HPC_INLINE V load(const float* p) { return {_mm256_loadu_ps(p)}; }
    // The first n lanes, 0 <= n <= lanes, the rest zero; memory beyond is not touched.
    static HPC_INLINE V load_partial(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first(n))}; }
    static HPC_INLINE V broadcast(float x) { return {_mm256_set1_ps(x)}; }
    static HPC_INLINE V zero() { return {_mm256_setzero_ps()}; }
    HPC_INLINE void store(float* p) const { _mm256_storeu_ps(p, r); }
    // Past the caches, to where a whole vector is aligned. Others see it in order after fence_past().
    HPC_INLINE void store_past(float* p) const { _mm256_stream_ps(p, r); }
    // In pieces of 4, 2 and 1: a masked store takes dozens of cycles on several AMD processors.
    HPC_INLINE void store_partial(float* p, int64_t n) const {
        if (n >= 8) {
            _mm256_storeu_ps(p, r);
            return;
        }
        __m128 piece = _mm256_castps256_ps128(r);
        if (n & 4) {
            _mm_storeu_ps(p, piece);
            piece = _mm256_extractf128_ps(r, 1);
            p += 4;
        }
        if (n & 2) {
            _mm_storel_pi(reinterpret_cast<__m64*>(p), piece);
            piece = _mm_movehl_ps(piece, piece);
            p += 2;
        }
        if (n & 1) _mm_store_ss(p, piece);
    }
    HPC_INLINE void store_exact(float* p, int64_t n) const { store_partial(p, n); }
    HPC_INLINE float lane0() const { return _mm256_cvtss_f32(r); }
};

HPC_INLINE V operator+(V a, V b) { return {_mm256_add_ps(a.r, b.r)}; }
HPC_INLINE V operator-(V a, V b) { return {_mm256_sub_ps(a.r, b.r)}; }
HPC_INLINE V operator*(V a, V b) { return {_mm256_mul_ps(a.r, b.r)}; }
HPC_INLINE V operator/(V a, V b) { return {_mm256_div_ps(a.r, b.r)}; }
HPC_INLINE V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.r, b.r, c.r)}; }
HPC_INLINE V sqrt(V a) { return {_mm256_sqrt_ps(a.r)}; }
HPC_INLINE V operator-(V a) { return {_mm256_xor_ps(a.r, _mm256_set1_ps(-0.0f))}; }
HPC_INLINE V abs(V a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.r)}; }
HPC_INLINE V copysign(V a, V sign) {
    const __m256 high = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(_mm256_and_ps(high, sign.r), _mm256_andnot_ps(high, a.r))};
}

HPC_INLINE M less(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LT_OQ)}; }
HPC_INLINE M less_equal(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_LE_OQ)}; }
HPC_INLINE M equal(V a, V b) { return {_mm256_cmp_ps(a.r, b.r, _CMP_EQ_OQ)}; }
HPC_INLINE V select(M m, V a, V b) { return {_mm256_blendv_ps(b.r, a.r, m.r)}; }
// b < a ? b : a and b > a ? b : a, so that a NaN in a stays.
HPC_INLINE V min_keep(V a, V b) { return {_mm256_min_ps(b.r, a.r)}; }
HPC_INLINE V max_keep(V a, V b) { return {_mm256_max_ps(b.r, a.r)}; }
HPC_INLINE V first_lanes(V a, int64_t n, V other) {
    return {_mm256_blendv_ps(other.r, a.r, _mm256_castsi256_ps(V::first(n)))};
}
// Index of the first true lane among the first n; lanes if there is none.
HPC_INLINE int first_true(M m, int64_t n) {
    return lowest_bit((static_cast<unsigned>(_mm256_movemask_ps(m.r)) & ((1u << n) - 1u)) | (1u << 8));
}

HPC_INLINE I operator+(I a, I b) { return {_mm256_add_epi32(a.r, b.r)}; }
HPC_INLINE I operator-(I a, I b) { return {_mm256_sub_epi32(a.r, b.r)}; }
HPC_INLINE I operator&(I a, I b) { return {_mm256_and_si256(a.r, b.r)}; }
HPC_INLINE I operator^(I a, I b) { return {_mm256_xor_si256(a.r, b.r)}; }
template <int N>
HPC_INLINE I shift_left(I a) {
    return {_mm256_slli_epi32(a.r, N)};
}
template <int N>
HPC_INLINE I shift_right_signed(I a) {
    return {_mm256_srai_epi32(a.r, N)};
}
template <int N>
HPC_INLINE I shift_right_unsigned(I a) {
    return {_mm256_srli_epi32(a.r, N)};
}
HPC_INLINE I bits(V a) { return {_mm256_castps_si256(a.r)}; }
HPC_INLINE V from_bits(I a) { return {_mm256_castsi256_ps(a.r)}; }
HPC_INLINE V to_float(I a) { return {_mm256_cvtepi32_ps(a.r)}; }

// x 2^n for an integral n, |n| < 250: two factors, each a normal number, of which only the second can round.
HPC_INLINE V ldexp(V x, V n) {
    const I whole = {_mm256_cvtps_epi32(n.r)};
    const I half = shift_right_signed<1>(whole);
    const I one = I::broadcast(127);
    return (x * from_bits(shift_left<23>(half + one))) * from_bits(shift_left<23>(whole - half + one));
}

HPC_INLINE float reduce_add(V a) {
    const __m128 q = _mm_add_ps(_mm256_castps256_ps128(a.r), _mm256_extractf128_ps(a.r, 1));
    const __m128 d = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(d, _mm_movehdup_ps(d)));
}
HPC_INLINE float reduce_max(V a) {
    const __m128 q = _mm_max_ps(_mm256_castps256_ps128(a.r), _mm256_extractf128_ps(a.r, 1));
    const __m128 d = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(d, _mm_movehdup_ps(d)));
}

// Sums of floats in double precision: each lane by itself, combined at the end in a fixed order.
struct DoubleSum {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    HPC_INLINE void add(V a) {
        low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.r)));
        high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.r, 1)));
    }
    HPC_INLINE void add_square(V a) {
        const __m256d l = _mm256_cvtps_pd(_mm256_castps256_ps128(a.r));
        const __m256d h = _mm256_cvtps_pd(_mm256_extractf128_ps(a.r, 1));
        low = _mm256_fmadd_pd(l, l, low);
        high = _mm256_fmadd_pd(h, h, high);
    }
    HPC_INLINE void load(const double* p) { low = _mm256_loadu_pd(p), high = _mm256_loadu_pd(p + 4); }
    HPC_INLINE void store(double* p) const { _mm256_storeu_pd(p, low), _mm256_storeu_pd(p + 4, high); }
    HPC_INLINE double total() const {
        const __m256d s = _mm256_add_pd(low, high);
        const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(s), _mm256_extractf128_pd(s, 1));
        return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
    }
};

// In each 64 bits: the product of their lower half with a factor; their upper half; two vectors' lower halves, the second above.
HPC_INLINE I multiply_halves(I a, uint32_t factor) { return {_mm256_mul_epu32(a.r, _mm256_set1_epi32(static_cast<int32_t>(factor)))}; }
HPC_INLINE I upper_halves(I a) { return {_mm256_srli_epi64(a.r, 32)}; }
HPC_INLINE I join_halves(I even, I odd) { return {_mm256_blend_epi32(even.r, _mm256_slli_epi64(odd.r, 32), 0xaa)}; }
// carry + 1 in the lanes where the unsigned sum wrapped around, that is, where sum < addend.
HPC_INLINE I add_carry(I carry, I sum, I addend) {
    const __m256i flip = _mm256_set1_epi32(static_cast<int32_t>(0x80000000u));
    const __m256i wrapped = _mm256_cmpgt_epi32(_mm256_xor_si256(addend.r, flip), _mm256_xor_si256(sum.r, flip));
    return {_mm256_sub_epi32(carry.r, wrapped)};
}
// Lane (4 q + w) holds the number (w * lanes / 4 + q): with it, transpose_quads brings its results in order.
HPC_INLINE I quad_order() { return {_mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7)}; }
// In each group of four lanes: a 4 x 4 transposition.
HPC_INLINE void transpose_quads(I& a, I& b, I& c, I& d) {
    const __m256i ab0 = _mm256_unpacklo_epi32(a.r, b.r), ab1 = _mm256_unpackhi_epi32(a.r, b.r);
    const __m256i cd0 = _mm256_unpacklo_epi32(c.r, d.r), cd1 = _mm256_unpackhi_epi32(c.r, d.r);
    a.r = _mm256_unpacklo_epi64(ab0, cd0);
    b.r = _mm256_unpackhi_epi64(ab0, cd0);
    c.r = _mm256_unpacklo_epi64(ab1, cd1);
    d.r = _mm256_unpackhi_epi64(ab1, cd1);
}

// --------------------------------------------------------------------------------------------------------------------
#elif defined(HPC_ISA_SCALAR)

struct I {
    uint32_t r;
    static HPC_INLINE I broadcast(int32_t x) { return {static_cast<uint32_t>(x)}; }
    static HPC_INLINE I load(const int32_t* p) { return {static_cast<uint32_t>(*p)}; }
};

struct M {
    bool r;
};

struct V {
    using Int = I;
    static constexpr int lanes = 1;
    float r;

    static HPC_INLINE V load(const float* p) { return {*p}; }
    // The first n lanes, 0 <= n <= lanes, the rest zero; memory beyond is not touched.
    static HPC_INLINE V load_partial(const float* p, int64_t n) { return {n > 0 ? *p : 0.0f}; }
    static HPC_INLINE V broadcast(float x) { return {x}; }
    static HPC_INLINE V zero() { return {0.0f}; }
    HPC_INLINE void store(float* p) const { *p = r; }
    HPC_INLINE void store_past(float* p) const { store(p); }
    HPC_INLINE void store_partial(float* p, int64_t n) const {
        if (n > 0) *p = r;
    }
    HPC_INLINE void store_exact(float* p, int64_t n) const { store_partial(p, n); }
    HPC_INLINE float lane0() const { return r; }
};

HPC_INLINE I bits(V a) {
    I i;
    std::memcpy(&i.r, &a.r, sizeof i.r);
    return i;
}
HPC_INLINE V from_bits(I a) {
    V v;
    std::memcpy(&v.r, &a.r, sizeof v.r);
    return v;
}

HPC_INLINE V operator+(V a, V b) { return {a.r + b.r}; }
HPC_INLINE V operator-(V a, V b) { return {a.r - b.r}; }
HPC_INLINE V operator*(V a, V b) { return {a.r * b.r}; }
HPC_INLINE V operator/(V a, V b) { return {a.r / b.r}; }
// Baseline x86-64 has no fused multiply-add, and the C library's is slow without one. The product of two floats is
// exact in double precision, and so nearly always is the last rounding: only a sum that seems to lie halfway between
// two floats (29 bits are dropped) or is denormal as a float can suffer from being rounded twice. Such a sum is first
// rounded to odd, so that its last bit tells that something was lost.
HPC_INLINE V fma(V a, V b, V c) {
    const double product = static_cast<double>(a.r) * static_cast<double>(b.r);
    const double addend = static_cast<double>(c.r);
    const double sum = product + addend;
    uint64_t word;
    std::memcpy(&word, &sum, sizeof word);
    constexpr uint64_t smallest_normal = uint64_t{1023 - 126} << 53;  // without its sign
    if ((word & 0x1fffffffu) != 0x10000000u && word << 1 >= smallest_normal) [[likely]] {
        return {static_cast<float>(sum)};
    }
    const double part = sum - product;
    const double lost = (product - (sum - part)) + (addend - part);
    if (lost != 0 && (word & 1u) == 0) {
        // Away from zero where the lost part has the sum's sign.
        if ((lost < 0) == ((word >> 63) != 0)) {
            word += 1;
        } else {
            word -= 1;
        }
    }
    double odd;
    std::memcpy(&odd, &word, sizeof odd);
    return {static_cast<float>(odd)};
}
HPC_INLINE V sqrt(V a) { return {std::sqrt(a.r)}; }
HPC_INLINE V operator-(V a) { return {-a.r}; }
HPC_INLINE V abs(V a) { return from_bits({bits(a).r & 0x7fffffffu}); }
HPC_INLINE V copysign(V a, V sign) { return from_bits({(bits(a).r & 0x7fffffffu) | (bits(sign).r & 0x80000000u)}); }

HPC_INLINE M less(V a, V b) { return {a.r < b.r}; }
HPC_INLINE M less_equal(V a, V b) { return {a.r <= b.r}; }
HPC_INLINE M equal(V a, V b) { return {a.r == b.r}; }
HPC_INLINE V select(M m, V a, V b) { return {m.r ? a.r : b.r}; }
// b < a ? b : a and b > a ? b : a, so that a NaN in a stays.
HPC_INLINE V min_keep(V a, V b) { return {b.r < a.r ? b.r : a.r}; }
HPC_INLINE V max_keep(V a, V b) { return {b.r > a.r ? b.r : a.r}; }
HPC_INLINE V first_lanes(V a, int64_t n, V other) { return {n > 0 ? a.r : other.r}; }
// Index of the first true lane among the first n; lanes if there is none.
HPC_INLINE int first_true(M m, int64_t n) { return m.r && n > 0 ? 0 : 1; }

HPC_INLINE I operator+(I a, I b) { return {a.r + b.r}; }
HPC_INLINE I operator-(I a, I b) { return {a.r - b.r}; }
HPC_INLINE I operator&(I a, I b) { return {a.r & b.r}; }
HPC_INLINE I operator^(I a, I b) { return {a.r ^ b.r}; }
template <int N>
HPC_INLINE I shift_left(I a) {
    return {a.r << N};
}
template <int N>
HPC_INLINE I shift_right_signed(I a) {
    return {static_cast<uint32_t>(static_cast<int32_t>(a.r) >> N)};
}
template <int N>
HPC_INLINE I shift_right_unsigned(I a) {
    return {a.r >> N};
}
HPC_INLINE V to_float(I a) { return {static_cast<float>(static_cast<int32_t>(a.r))}; }

// x 2^n for an integral n, |n| < 250: two factors, each a normal number, of which only the second can round.
HPC_INLINE V ldexp(V x, V n) {
    // 1.5 * 2^23: the sum's low bits are the integer, also defined (if meaningless) for NaN.
    const V shifter = V::broadcast(12582912.0f);
    const I whole = bits(n + shifter) - bits(shifter);
    const I half = shift_right_signed<1>(whole);
    const I one = I::broadcast(127);
    return (x * from_bits(shift_left<23>(half + one))) * from_bits(shift_left<23>(whole - half + one));
}

HPC_INLINE float reduce_add(V a) { return a.r; }
HPC_INLINE float reduce_max(V a) { return a.r; }

// Sums of floats in double precision.
struct DoubleSum {
    double sum = 0;
    HPC_INLINE void add(V a) { sum += static_cast<double>(a.r); }
    HPC_INLINE void add_square(V a) { sum += static_cast<double>(a.r) * static_cast<double>(a.r); }
    HPC_INLINE void load(const double* p) { sum = *p; }
    HPC_INLINE void store(double* p) const { *p = sum; }
    HPC_INLINE double total() const { return sum; }
};

// The 64-bit products of unsigned lanes with one factor, in two halves.
HPC_INLINE void multiply_wide(I a, uint32_t factor, I& high, I& low) {
    const uint64_t product = static_cast<uint64_t>(a.r) * factor;
    high.r = static_cast<uint32_t>(product >> 32);
    low.r = static_cast<uint32_t>(product);
}
// carry + 1 where the unsigned sum wrapped around, that is, where sum < addend.
HPC_INLINE I add_carry(I carry, I sum, I addend) { return {carry.r + (sum.r < addend.r ? 1u : 0u)}; }
HPC_INLINE I quad_order() { return {0}; }
HPC_INLINE void transpose_quads(I&, I&, I&, I&) {}

#else
#error "define HPC_ISA_AVX512, HPC_ISA_AVX2 or HPC_ISA_SCALAR"
#endif

// a b + c as fast as the instruction set can: fused where there is an instruction for it, else rounded twice. For long
// sums of products; formulas use fma, whose bits are the same everywhere.
HPC_INLINE V multiply_add(V a, V b, V c) {
#if defined(HPC_ISA_SCALAR)
    return a * b + c;
#else
    return fma(a, b, c);
#endif
}

HPC_INLINE void fence_past() {
#if !defined(HPC_ISA_SCALAR)
    _mm_sfence();
#endif
}

// Asks for the lines of `count` floats from the beginning of one. It does not matter whether there is memory.
HPC_INLINE void ask_for(const float* p, int64_t count) {
    for (int64_t line = 0; line < count; line += 16) {
#if defined(_MSC_VER) && !defined(__clang__)
        _mm_prefetch(reinterpret_cast<const char*>(p + line), _MM_HINT_T0);
#else
        __builtin_prefetch(p + line);
#endif
    }
}

// Two vectors (or two pairs of them) side by side, for the formulas: every operation is done to both, one right behind the
// other. A formula is a chain of dozens of operations that wait for one another, and a processor looks only so far ahead: a
// second chain woven into the first gives it something to do. The bits are those of each vector by itself.
template <class T>
struct Pair;
template <class T>
struct IntegersOf {
    using Type = T;
};
template <>
struct IntegersOf<V> {
    using Type = I;
};
template <class T>
struct IntegersOf<Pair<T>> {
    using Type = Pair<typename IntegersOf<T>::Type>;
};
template <class T>
struct LanesOf {
    static constexpr int value = V::lanes;
};
template <class T>
struct LanesOf<Pair<T>> {
    static constexpr int value = 2 * LanesOf<T>::value;
};

template <class T>
struct Pair {
    T a, b;
    using Int = Pair<typename IntegersOf<T>::Type>;
    static constexpr int lanes = 2 * LanesOf<T>::value;
    static HPC_INLINE Pair load(const float* p) { return {T::load(p), T::load(p + lanes / 2)}; }
    template <class Number>
    static HPC_INLINE Pair broadcast(Number x) {
        return {T::broadcast(x), T::broadcast(x)};
    }
    static HPC_INLINE Pair zero() { return {T::zero(), T::zero()}; }
    HPC_INLINE void store(float* p) const { a.store(p), b.store(p + lanes / 2); }
    HPC_INLINE void store_past(float* p) const { a.store_past(p), b.store_past(p + lanes / 2); }
};

// The same vector, or two of it
template <class F>
HPC_INLINE F wide(V x) {
    if constexpr (F::lanes == V::lanes) {
        return x;
    } else {
        return {x, x};
    }
}

#define HPC_PAIR_OF_ONE(name)                        \
    template <class T>                               \
    HPC_INLINE auto name(Pair<T> x) {                \
        return Pair<decltype(name(x.a))>{name(x.a), name(x.b)}; \
    }
#define HPC_PAIR_OF_TWO(name)                        \
    template <class T>                               \
    HPC_INLINE auto name(Pair<T> x, Pair<T> y) {     \
        return Pair<decltype(name(x.a, y.a))>{name(x.a, y.a), name(x.b, y.b)}; \
    }
HPC_PAIR_OF_TWO(operator+)
HPC_PAIR_OF_TWO(operator-)
HPC_PAIR_OF_TWO(operator*)
HPC_PAIR_OF_TWO(operator/)
HPC_PAIR_OF_TWO(operator&)
HPC_PAIR_OF_TWO(operator^)
HPC_PAIR_OF_TWO(copysign)
HPC_PAIR_OF_TWO(less)
HPC_PAIR_OF_TWO(less_equal)
HPC_PAIR_OF_TWO(equal)
HPC_PAIR_OF_TWO(min_keep)
HPC_PAIR_OF_TWO(max_keep)
HPC_PAIR_OF_TWO(ldexp)
HPC_PAIR_OF_ONE(operator-)
HPC_PAIR_OF_ONE(abs)
HPC_PAIR_OF_ONE(sqrt)
HPC_PAIR_OF_ONE(bits)
HPC_PAIR_OF_ONE(from_bits)
HPC_PAIR_OF_ONE(to_float)
#undef HPC_PAIR_OF_ONE
#undef HPC_PAIR_OF_TWO
#if !defined(HPC_ISA_SCALAR)
template <class T>
HPC_INLINE Pair<T> multiply_halves(Pair<T> x, uint32_t factor) {
    return {multiply_halves(x.a, factor), multiply_halves(x.b, factor)};
}
template <class T>
HPC_INLINE Pair<T> upper_halves(Pair<T> x) {
    return {upper_halves(x.a), upper_halves(x.b)};
}
template <class T>
HPC_INLINE Pair<T> join_halves(Pair<T> x, Pair<T> y) {
    return {join_halves(x.a, y.a), join_halves(x.b, y.b)};
}
#else
template <class T>
HPC_INLINE void multiply_wide(Pair<T> x, uint32_t factor, Pair<T>& high, Pair<T>& low) {
    multiply_wide(x.a, factor, high.a, low.a);
    multiply_wide(x.b, factor, high.b, low.b);
}
#endif
template <class T>
HPC_INLINE Pair<T> fma(Pair<T> x, Pair<T> y, Pair<T> z) {
    return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)};
}
template <class N, class T>
HPC_INLINE Pair<T> select(Pair<N> m, Pair<T> x, Pair<T> y) {
    return {select(m.a, x.a, y.a), select(m.b, x.b, y.b)};
}
template <int N, class T>
HPC_INLINE Pair<T> shift_left(Pair<T> x) {
    return {shift_left<N>(x.a), shift_left<N>(x.b)};
}
template <int N, class T>
HPC_INLINE Pair<T> shift_right_signed(Pair<T> x) {
    return {shift_right_signed<N>(x.a), shift_right_signed<N>(x.b)};
}
