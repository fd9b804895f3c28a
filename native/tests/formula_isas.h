// The formulas and the random numbers, compiled in this very translation unit once per instruction set, and the list of
// the instruction sets and kernel tables that this processor can run. For tests that look below the kernel table.
//
// Each instruction set has a namespace with run(function, x, y, count) for every elementary function of
// formulas/elementary.h; isas() lists those that can run here, the scalar one (the oracle) first.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// GCC would fuse across the operations of a formula; the core is compiled with the same setting.
#pragma GCC optimize("fp-contract=off")
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#if defined(__GNUC__)
// Not every kernel of an included text is called here.
#pragma GCC diagnostic ignored "-Wunused-function"
#endif

#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"

// X(name, argument bound in ulp)
#define HPC_ELEMENTARY(X) \
    X(exp, 1.5) X(log, 1.5) X(log1p, 1.5) X(tanh, 1.5) X(sigmoid, 2.5) X(expm1, 1.5) X(softplus, 3) X(tanhshrink, 6)

namespace formula_test {

enum Function {
#define HPC_ROW(name, bound) k_##name,
    HPC_ELEMENTARY(HPC_ROW)
#undef HPC_ROW
        kFunctionCount
};

struct FunctionInfo {
    const char* name;
    double bound;
};
inline constexpr FunctionInfo kFunctions[] = {
#define HPC_ROW(name, bound) {#name, bound},
    HPC_ELEMENTARY(HPC_ROW)
#undef HPC_ROW
};

#define HPC_RUN_FORMULAS                                                                                    \
    static void run(Function function, const float* x, float* y, int64_t count) {                           \
        for (int64_t i = 0; i < count; i += V::lanes) {                                                     \
            const int64_t n = count - i < V::lanes ? count - i : V::lanes;                                  \
            const V v = V::load_partial(x + i, n);                                                          \
            switch (function) {                                                                             \
                case k_exp:                                                                                 \
                    hpc_exp(v).store_partial(y + i, n);                                                     \
                    break;                                                                                  \
                case k_log:                                                                                 \
                    hpc_log(v).store_partial(y + i, n);                                                     \
                    break;                                                                                  \
                case k_log1p:                                                                               \
                    hpc_log1p(v).store_partial(y + i, n);                                                   \
                    break;                                                                                  \
                case k_tanh:                                                                                \
                    hpc_tanh(v).store_partial(y + i, n);                                                    \
                    break;                                                                                  \
                case k_sigmoid:                                                                             \
                    hpc_sigmoid(v).store_partial(y + i, n);                                                 \
                    break;                                                                                  \
                case k_expm1:                                                                               \
                    hpc_expm1(v).store_partial(y + i, n);                                                   \
                    break;                                                                                  \
                case k_softplus:                                                                            \
                    hpc_softplus(v).store_partial(y + i, n);                                                \
                    break;                                                                                  \
                case k_tanhshrink:                                                                          \
                    hpc_tanhshrink(v).store_partial(y + i, n);                                              \
                    break;                                                                                  \
                default:                                                                                    \
                    break;                                                                                  \
            }                                                                                               \
        }                                                                                                   \
    }                                                                                                       \
    /* the words of 4 * lanes elements */                                                                   \
    static void random_words(uint64_t block, uint64_t seed, uint64_t stream, uint32_t* words) {             \
        I a, b, c, d;                                                                                       \
        philox_block(block, seed, stream, a, b, c, d);                                                      \
        const I parts[4] = {a, b, c, d};                                                                    \
        for (int part = 0; part < 4; ++part) std::memcpy(words + part * V::lanes, &parts[part], sizeof(I)); \
    }                                                                                                       \
    /* the normal quantiles of uniform numbers */                                                           \
    static void normals(const float* u, float* y, int64_t count) {                                          \
        for (int64_t i = 0; i < count; i += V::lanes) {                                                     \
            const int64_t n = count - i < V::lanes ? count - i : V::lanes;                                  \
            hpc_normal_of_uniform(V::load_partial(u + i, n)).store_partial(y + i, n);                       \
        }                                                                                                   \
    }                                                                                                       \
    /* one fused multiply-add */                                                                            \
    static void fused(const float* a, const float* b, const float* c, float* y, int64_t count) {            \
        for (int64_t i = 0; i < count; i += V::lanes) {                                                     \
            const int64_t n = count - i < V::lanes ? count - i : V::lanes;                                  \
            fma(V::load_partial(a + i, n), V::load_partial(b + i, n), V::load_partial(c + i, n))            \
                .store_partial(y + i, n);                                                                   \
        }                                                                                                   \
    }

#define HPC_ISA_SCALAR 1
namespace scalar {
#include "cpu/simd.h"
//
#include "ops.h"
//
#include "elementary.h"
//
#include "cpu/kernels/random.inl"
HPC_RUN_FORMULAS
}  // namespace scalar
#undef HPC_ISA_SCALAR

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define HPC_ISA_AVX2 1
namespace avx2 {
#include "cpu/simd.h"
//
#include "ops.h"
//
#include "elementary.h"
//
#include "cpu/kernels/random.inl"
HPC_RUN_FORMULAS
}  // namespace avx2
#undef HPC_ISA_AVX2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,avx512f,avx512dq,avx512bw,avx512vl")
#endif
#define HPC_ISA_AVX512 1
namespace avx512 {
#include "cpu/simd.h"
//
#include "ops.h"
//
#include "elementary.h"
//
#include "cpu/kernels/random.inl"
HPC_RUN_FORMULAS
}  // namespace avx512
#undef HPC_ISA_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

struct Isa {
    const hpc::cpu::Kernels* kernels;
    void (*run)(Function function, const float* x, float* y, int64_t count);
    void (*random_words)(uint64_t block, uint64_t seed, uint64_t stream, uint32_t* words);
    void (*normals)(const float* u, float* y, int64_t count);
    void (*fused)(const float* a, const float* b, const float* c, float* y, int64_t count);
};

inline bool processor_has_avx2() {
#if defined(__GNUC__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}
inline bool processor_has_avx512() {
#if defined(__GNUC__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

inline std::vector<Isa> isas() {
    std::vector<Isa> list = {{&hpc::cpu::kScalarKernels, scalar::run, scalar::random_words, scalar::normals, scalar::fused}};
#if defined(HPC_HAVE_AVX2)
    if (processor_has_avx2()) {
        list.push_back({&hpc::cpu::kAvx2Kernels, avx2::run, avx2::random_words, avx2::normals, avx2::fused});
    }
#endif
#if defined(HPC_HAVE_AVX512)
    if (processor_has_avx512()) {
        list.push_back({&hpc::cpu::kAvx512Kernels, avx512::run, avx512::random_words, avx512::normals, avx512::fused});
    }
#endif
    return list;
}

inline double truth(Function function, double x) {
    switch (function) {
        case k_exp:
            return std::exp(x);
        case k_log:
            return std::log(x);
        case k_log1p:
            return std::log1p(x);
        case k_tanh:
            return std::tanh(x);
        case k_sigmoid:
            return 1.0 / (1.0 + std::exp(-x));
        case k_expm1:
            return std::expm1(x);
        case k_softplus:
            return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
        case k_tanhshrink:
            // Double precision cancels, too, where x is small.
            if (std::fabs(x) < 0.02) return x * x * x * (1.0 / 3 - x * x * (2.0 / 15 - x * x * (17.0 / 315 - x * x * 62 / 2835)));
            return x - std::tanh(x);
        default:
            return 0;
    }
}

// The standard normal quantile of the middle of the interval of u = k / 2^24, by bisection of its lower tail, whose
// probability is exact; the upper one is its mirror image.
inline double normal_truth(double u) {
    const double p = u + 0x1p-25, tail = p < 0.5 ? p : 1 - p;
    double low = -6, high = 0;
    for (int i = 0; i < 60; ++i) {
        const double middle = (low + high) / 2;
        (std::erfc(-middle * std::sqrt(0.5)) / 2 < tail ? low : high) = middle;
    }
    return p < 0.5 ? low : -low;
}

// |y - exact| in units of the last place of the float nearest to `exact`, 0 where both are the same special value. A
// denormal truth may have been flushed to zero.
inline double ulp_error(float y, double exact) {
    const float nearest = static_cast<float>(exact);
    if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : HUGE_VAL;
    if (std::isinf(nearest) || std::isinf(y)) {
        if (nearest == y) return 0;
        // The last finite number and infinity are neighbours.
        if (!(std::fabs(y) > 3.4e38f && std::fabs(nearest) > 3.4e38f && std::signbit(y) == std::signbit(nearest))) {
            return HUGE_VAL;
        }
        return 1;
    }
    if (nearest == 0 && y == 0) return std::signbit(exact) == std::signbit(y) ? 0 : HUGE_VAL;
    if (std::fabs(exact) < 1.17549435e-38) return std::fabs(y) < 1.1754945e-38f ? 0 : HUGE_VAL;
    int exponent;
    std::frexp(exact, &exponent);
    return std::fabs(static_cast<double>(y) - exact) / std::ldexp(1.0, exponent - 24);
}

}  // namespace formula_test
