// The formulas: elementary functions, activations, their derivatives, random words; against double precision and
// against each other, in every instruction set that this processor has. Activations are found in the table: a new row
// is tested unasked for its derivative, its NaN, its equal bits; a line in `known` below adds the truth of its values.
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "formula_isas.h"
#include "tables.h"

namespace {

using namespace formula_test;

float float_of(uint32_t word) {
    float x;
    std::memcpy(&x, &word, sizeof x);
    return x;
}

uint32_t word_of(float x) {
    uint32_t word;
    std::memcpy(&word, &x, sizeof word);
    return word;
}

bool same_bits(float a, float b) { return word_of(a) == word_of(b) || (std::isnan(a) && std::isnan(b)); }

// Zeros, denormals, both sides of every limit, infinities, NaN.
std::vector<float> special_values() {
    std::vector<float> positive = {0.0f,
                                   1.4e-45f,
                                   1e-40f,
                                   1.17549435e-38f,
                                   1e-30f,
                                   1e-9f,
                                   1e-6f,
                                   1e-3f,
                                   0.25f,
                                   0.34657359f,
                                   0.5f,
                                   0.69314718f,
                                   0.99999994f,
                                   1.0f,
                                   1.0000001f,
                                   1.5f,
                                   2.0f,
                                   3.0f,
                                   8.9f,
                                   9.01f,
                                   9.02f,
                                   10.0f,
                                   16.6f,
                                   17.4f,
                                   20.0f,
                                   87.3f,
                                   87.33654f,
                                   88.0f,
                                   88.72283f,
                                   88.72284f,
                                   89.0f,
                                   103.9f,
                                   104.0f,
                                   200.0f,
                                   1e4f,
                                   16777216.0f,
                                   1e10f,
                                   1e20f,
                                   1e30f,
                                   3.0e38f,
                                   std::numeric_limits<float>::max(),
                                   std::numeric_limits<float>::infinity(),
                                   std::numeric_limits<float>::quiet_NaN()};
    std::vector<float> all = positive;
    for (float x : positive) all.push_back(-x);
    return all;
}

// About 2^20 inputs over all bit patterns, and the special values.
std::vector<float> sample() {
    std::vector<float> x = special_values();
    for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 4093)
        x.push_back(float_of(static_cast<uint32_t>(word)));
    return x;
}

// Every instruction set is a parameter of its own, so that a failure names it.
class EveryIsa : public testing::TestWithParam<size_t> {
protected:
    Isa isa() const { return isas()[GetParam()]; }
};
INSTANTIATE_TEST_SUITE_P(Isa, EveryIsa, testing::Range(size_t{0}, isas().size()),
                         [](const auto& isa) { return std::string(isas()[isa.param].kernels->isa); });

TEST_P(EveryIsa, ElementaryFunctionsAreAccurate) {
    const std::vector<float> x = sample();
    std::vector<float> y(x.size());
    for (int f = 0; f < kFunctionCount; ++f) {
        isa().run(static_cast<Function>(f), x.data(), y.data(), static_cast<int64_t>(x.size()));
        double worst = 0;
        size_t at = 0;
        for (size_t i = 0; i < x.size(); ++i) {
            const double error = ulp_error(y[i], truth(static_cast<Function>(f), x[i]));
            if (error > worst) worst = error, at = i;
        }
        EXPECT_LE(worst, kFunctions[f].bound) << kFunctions[f].name << " at " << x[at] << " gives " << y[at];
    }
}

TEST_P(EveryIsa, ElementaryFunctionsHaveTheScalarBits) {
    const std::vector<float> x = sample();
    std::vector<float> y(x.size()), oracle(x.size());
    for (int f = 0; f < kFunctionCount; ++f) {
        isa().run(static_cast<Function>(f), x.data(), y.data(), static_cast<int64_t>(x.size()));
        isas()[0].run(static_cast<Function>(f), x.data(), oracle.data(), static_cast<int64_t>(x.size()));
        for (size_t i = 0; i < x.size(); ++i) {
            ASSERT_TRUE(same_bits(y[i], oracle[i]))
                << kFunctions[f].name << " of " << x[i] << ": " << y[i] << ", scalar " << oracle[i];
        }
    }
}

TEST_P(EveryIsa, FusedMultiplyAddRoundsOnce) {
    std::vector<float> a, b, c;
    const std::vector<float> special = special_values();
    for (float p : special) {
        for (float q : special) {
            for (float r : special) a.push_back(p), b.push_back(q), c.push_back(r);
        }
    }
    uint64_t state = 1;
    const auto next = [&] {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return static_cast<uint32_t>(state >> 32);
    };
    for (int i = 0; i < 1 << 18; ++i) {
        a.push_back(float_of(next()));
        b.push_back(float_of(next()));
        // Half of the time close to minus the product, where rounding twice would show.
        const float product = a.back() * b.back();
        c.push_back(i % 2 ? float_of(next()) : float_of(word_of(-product) + next() % 64 - 32));
    }
    std::vector<float> y(a.size());
    isa().fused(a.data(), b.data(), c.data(), y.data(), static_cast<int64_t>(a.size()));
    for (size_t i = 0; i < a.size(); ++i) {
        ASSERT_TRUE(same_bits(y[i], std::fma(a[i], b[i], c[i]))) << a[i] << " * " << b[i] << " + " << c[i];
    }
}

// Both tails one by one, the middle and where the polynomials meet by samples. The formula states 1e-6.
TEST_P(EveryIsa, NormalQuantilesAreAccurate) {
    std::vector<float> u;
    for (uint32_t k = 0; k < (1u << 24); k += k < 2000 || k >= (1u << 24) - 2000 || (k >> 10) == 8191 || (k >> 10) == 8192 ? 1 : 997)
        u.push_back(static_cast<float>(k) * 0x1p-24f);
    u.push_back(static_cast<float>((1u << 24) - 1) * 0x1p-24f);
    std::vector<float> y(u.size()), oracle(u.size());
    isa().normals(u.data(), y.data(), static_cast<int64_t>(u.size()));
    isas()[0].normals(u.data(), oracle.data(), static_cast<int64_t>(u.size()));
    double worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < u.size(); ++i) {
        ASSERT_TRUE(same_bits(y[i], oracle[i])) << u[i] << ": " << y[i] << ", scalar " << oracle[i];
        const double exact = normal_truth(u[i]);
        const double error = std::fabs(y[i] - exact) / std::fabs(exact);
        if (!(error <= worst)) worst = error, at = i;
    }
    EXPECT_LE(worst, 1e-6) << u[at] << " gives " << y[at];
}

// ---- Activations ----------------------------------------------------------------------------------------------------

struct Known {
    const char* name;
    long double (*value)(long double x, long double alpha, long double beta);
    long double (*derivative)(long double x, long double alpha, long double beta);
    double bound;  // ulp of the value, of numbers from kSmall on
};

// Below it a factor e^-|x| is denormal, and flushed.
constexpr double kSmall = 1.1e-36;

long double normal_below(long double x) { return std::erfc(-x * std::sqrt(0.5L)) / 2; }
long double logistic(long double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
long double soft(long double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); }
long double gelu_tanh_argument(long double x) { return 2 * std::sqrt(2 / std::acos(-1.0L)) * (x + 0.044715L * x * x * x); }
constexpr long double kSelu = 1.0507009873554804934193349852946L, kSeluAlpha = 1.6732632423543772848170429916717L;

const Known known[] = {
#define HPC_OF(expression) []([[maybe_unused]] long double x, [[maybe_unused]] long double alpha, [[maybe_unused]] long double beta) -> long double { return expression; }
    {"linear", HPC_OF(x), HPC_OF(1), 0},
    {"relu", HPC_OF(x < 0 ? 0 : x), HPC_OF(x <= 0 ? 0 : 1), 0},
    {"sigmoid", HPC_OF(logistic(x)), HPC_OF(logistic(x) * logistic(-x)), 2.5},
    {"tanh", HPC_OF(std::tanh(x)), HPC_OF(4 * logistic(2 * x) * logistic(-2 * x)), 2.5},
    {"step", HPC_OF(x > 0 ? 1 : x != x ? x : 0), HPC_OF(0 * alpha * (x == x)), 0},
    {"relu6", HPC_OF(x < 0 ? 0 : x > 6 ? 6 : x), HPC_OF(x > 0 && x < 6 ? 1 : 0), 0},
    {"leaky_relu", HPC_OF(x < 0 ? alpha * x : x), HPC_OF(x > 0 ? 1 : alpha), 0.5},
    {"elu", HPC_OF(x > 0 ? x : alpha * std::expm1(x)), HPC_OF(x > 0 ? 1 : alpha * std::exp(x)), 2.5},
    {"celu", HPC_OF(x > 0 ? x : alpha * std::expm1(x / alpha)), HPC_OF(x > 0 ? 1 : std::exp(x / alpha)), 3},
    {"selu", HPC_OF(x > 0 ? kSelu * x : kSelu * kSeluAlpha * std::expm1(x)),
     HPC_OF(x > 0 ? kSelu : kSelu * kSeluAlpha * std::exp(x)), 2.5},
    {"softplus", HPC_OF(alpha * x > beta ? x : soft(alpha * x) / alpha), HPC_OF(alpha * x > beta ? 1 : logistic(alpha * x)), 4},
    {"softsign", HPC_OF(std::isinf(x) ? std::copysign(1.0L, x) : x / (1 + std::fabs(x))),
     HPC_OF(1 / ((1 + std::fabs(x)) * (1 + std::fabs(x)))), 1.5},
    {"gelu", HPC_OF(x < -50 ? -0.0L : x * normal_below(x)),
     HPC_OF(std::fabs(x) > 50 ? (x > 0 ? 1 : 0) : normal_below(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::acos(-1.0L))), 6},
    {"gelu_tanh", HPC_OF(x < -50 ? -0.0L : x > 50 ? x : x * logistic(gelu_tanh_argument(x))),
     HPC_OF(std::fabs(x) > 50 ? (x > 0 ? 1 : 0)
                              : logistic(gelu_tanh_argument(x)) +
                                    x * logistic(gelu_tanh_argument(x)) * logistic(-gelu_tanh_argument(x)) *
                                        (2 * std::sqrt(2 / std::acos(-1.0L)) * (1 + 3 * 0.044715L * x * x))),
     6},
    {"silu", HPC_OF(x < -1000 ? -0.0L : x * logistic(x)),
     HPC_OF(std::fabs(x) > 1000 ? (x > 0 ? 1 : 0) : logistic(x) * (1 + x * logistic(-x))), 6},
    {"mish", HPC_OF(x < -1000 ? -0.0L : x * std::tanh(soft(x))),
     HPC_OF(std::fabs(x) > 1000 ? (x > 0 ? 1 : 0)
                                : std::tanh(soft(x)) + x * logistic(x) / (std::cosh(soft(x)) * std::cosh(soft(x)))),
     6},
    {"hard_sigmoid", HPC_OF(x <= -3 ? 0 : x >= 3 ? 1 : (x + 3) / 6), HPC_OF(x > -3 && x < 3 ? 1 / 6.0L : 0), 2},
    {"hard_swish", HPC_OF(x <= -3 ? -0.0L : x >= 3 ? x : x * (x + 3) / 6), HPC_OF(x < -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5L), 2.5},
    {"hard_tanh", HPC_OF(x < alpha ? alpha : x > beta ? beta : x), HPC_OF(x > alpha && x < beta ? 1 : 0), 0},
    {"log_sigmoid", HPC_OF(-soft(-x)), HPC_OF(logistic(-x)), 3},
    {"tanhshrink", HPC_OF(static_cast<long double>(truth(k_tanhshrink, static_cast<double>(x)))),
     HPC_OF(std::tanh(x) * std::tanh(x)), 6},
#undef HPC_OF
};

// Parameters for the activations that read some. The second is far from 0: softplus jumps at its threshold, and differences
// are not taken across it.
constexpr float kAlpha = 0.75f, kBeta = 20.0f;

TEST(Tables, EveryRowIsThereAndNoOther) {
    for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
        const hpc_activation_info* info = hpc::activation_info(a);
        ASSERT_NE(info, nullptr);
        EXPECT_NE(std::string(info->name), "");
        EXPECT_GE(info->parameters, 0);
        EXPECT_LE(info->parameters, 2);
    }
    EXPECT_EQ(hpc::activation_info(-1), nullptr);
    EXPECT_EQ(hpc::activation_info(hpc::cpu::kActivationCount), nullptr);
    EXPECT_EQ(hpc::loss_info(-1), nullptr);
    EXPECT_EQ(hpc::loss_info(hpc::cpu::kLossCount), nullptr);
    EXPECT_EQ(hpc::rule_info(-1), nullptr);
    EXPECT_EQ(hpc::rule_info(hpc::cpu::kRuleCount), nullptr);
    EXPECT_EQ(hpc::prepare_rule(-1), nullptr);
    EXPECT_EQ(hpc::prepare_rule(hpc::cpu::kRuleCount), nullptr);
    EXPECT_STREQ(hpc::activation_info(HPC_ACTIVATION_TANH)->name, "tanh");
    EXPECT_STREQ(hpc::loss_info(HPC_LOSS_SQUARED_ERROR)->name, "squared_error");
    EXPECT_STREQ(hpc::rule_info(HPC_RULE_ADAM)->hyperparameters, "learning_rate,beta1,beta2,epsilon");
    EXPECT_EQ(hpc::rule_info(HPC_RULE_ADAM)->state_count, 2);
    EXPECT_NE(hpc::prepare_rule(HPC_RULE_ADAM), nullptr);
}

TEST_P(EveryIsa, ActivationsAgreeWithTheTruth) {
    const std::vector<float> x = sample();
    std::vector<float> y(x.size());
    int truths = 0;
    for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
        const std::string name = hpc::activation_info(a)->name;
        isa().kernels->activation_forward[a](x.data(), y.data(), nullptr, static_cast<int64_t>(x.size()), kAlpha,
                                             kBeta, false);
        for (const Known& k : known) {
            if (k.name != name) continue;
            for (size_t i = 0; i < x.size(); ++i) {
                // The sign of a zero is left open where the input is one (relu).
                if (x[i] == 0 && y[i] == 0) continue;
                const double exact = static_cast<double>(k.value(x[i], kAlpha, kBeta));
                if (std::fabs(exact) < kSmall && std::fabs(y[i]) <= static_cast<float>(kSmall)) continue;
                ASSERT_LE(ulp_error(y[i], exact), k.bound) << name << " of " << x[i] << " gives " << y[i];
            }
            truths++;
        }
        for (size_t i = 0; i < x.size(); ++i) {
            if (std::isnan(x[i])) {
                ASSERT_TRUE(std::isnan(y[i])) << name;
            }
        }
    }
    EXPECT_EQ(truths, hpc::cpu::kActivationCount) << "a line is missing in `known`";
}

// By a float's last place, or 1e-6 where it is small: outputs near a bound (tanh, ELU) leave no more of the derivative.
TEST_P(EveryIsa, DerivativesAgreeWithTheTruth) {
    const std::vector<float> x = sample();
    const int64_t count = static_cast<int64_t>(x.size());
    std::vector<float> y(x.size()), d(x.size());
    for (const Known& k : known) {
        for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
            if (std::string(k.name) != hpc::activation_info(a)->name) continue;
            isa().kernels->activation_forward[a](x.data(), y.data(), d.data(), count, kAlpha, kBeta, false);
            for (size_t i = 0; i < x.size(); ++i) {
                if (std::isnan(x[i])) continue;
                const double exact = static_cast<double>(k.derivative(x[i], kAlpha, kBeta));
                ASSERT_LE(std::fabs(d[i] - exact), 4e-7 * std::max(1.0, std::fabs(exact))) << k.name << " at " << x[i] << " gives " << d[i];
            }
        }
    }
}

TEST_P(EveryIsa, DerivativesAgreeWithDifferences) {
    // Steps off the kinks at 0.
    std::vector<float> x;
    for (int i = -400; i <= 400; ++i) x.push_back((static_cast<float>(i) + 0.5f) / 32.0f);
    const float h = 1.0f / 128.0f;
    const size_t n = x.size();
    std::vector<float> below(n), above(n), y(n), derivative(n), dx(n), dy(n, 1.0f);
    for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
        const hpc_activation_info* info = hpc::activation_info(a);
        const auto forward = isa().kernels->activation_forward[a];
        const int64_t count = static_cast<int64_t>(n);
        std::vector<float> shifted(n);
        for (size_t i = 0; i < n; ++i) shifted[i] = x[i] - h;
        forward(shifted.data(), below.data(), nullptr, count, kAlpha, kBeta, false);
        for (size_t i = 0; i < n; ++i) shifted[i] = x[i] + h;
        forward(shifted.data(), above.data(), nullptr, count, kAlpha, kBeta, false);
        forward(x.data(), y.data(), derivative.data(), count, kAlpha, kBeta, false);
        const float* kept = info->keeps == HPC_KEEPS_OUTPUT       ? y.data()
                            : info->keeps == HPC_KEEPS_DERIVATIVE ? derivative.data()
                                                                  : nullptr;
        isa().kernels->activation_backward[a](kept, dy.data(), dx.data(), count, kAlpha, kBeta, false);
        for (size_t i = 0; i < n; ++i) {
            const double numeric = (static_cast<double>(above[i]) - below[i]) / (2.0 * h);
            ASSERT_NEAR(dx[i], numeric, 1e-4 * (1 + std::fabs(numeric))) << info->name << " at " << x[i];
            ASSERT_TRUE(same_bits(dx[i], derivative[i])) << info->name << " at " << x[i];
        }
    }
}

TEST_P(EveryIsa, DerivativesAtSpecialValues) {
    const auto derivative = [&](int a, float at) {
        float y, d;
        isa().kernels->activation_forward[a](&at, &y, &d, 1, kAlpha, kBeta, false);
        return d;
    };
    const float infinity = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(derivative(HPC_ACTIVATION_RELU, 0.0f), 0.0f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_RELU, -0.0f), 0.0f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_RELU, 1e-30f), 1.0f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_RELU, infinity), 1.0f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_RELU, -infinity), 0.0f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_LINEAR, nan), 1.0f);
    for (int a : {HPC_ACTIVATION_SIGMOID, HPC_ACTIVATION_TANH}) {
        EXPECT_EQ(derivative(a, infinity), 0.0f);
        EXPECT_EQ(derivative(a, -infinity), 0.0f);
        EXPECT_TRUE(std::isnan(derivative(a, nan)));
    }
    EXPECT_EQ(derivative(HPC_ACTIVATION_SIGMOID, 0.0f), 0.25f);
    EXPECT_EQ(derivative(HPC_ACTIVATION_TANH, 0.0f), 1.0f);
    // A gradient that is NaN stays NaN.
    for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
        float kept = 0.5f, dx;
        isa().kernels->activation_backward[a](&kept, &nan, &dx, 1, kAlpha, kBeta, false);
        EXPECT_TRUE(std::isnan(dx)) << hpc::activation_info(a)->name;
    }
}

TEST_P(EveryIsa, ActivationsHaveTheScalarBits) {
    const std::vector<float> x = sample();
    const int64_t count = static_cast<int64_t>(x.size());
    std::vector<float> y(x.size()), d(x.size()), dx(x.size()), y0(x.size()), d0(x.size()), dx0(x.size());
    for (int a = 0; a < hpc::cpu::kActivationCount; ++a) {
        const hpc::cpu::Kernels *k = isa().kernels, *k0 = isas()[0].kernels;
        k->activation_forward[a](x.data(), y.data(), d.data(), count, kAlpha, kBeta, false);
        k0->activation_forward[a](x.data(), y0.data(), d0.data(), count, kAlpha, kBeta, false);
        k->activation_backward[a](y.data(), x.data(), dx.data(), count, kAlpha, kBeta, false);
        k0->activation_backward[a](y.data(), x.data(), dx0.data(), count, kAlpha, kBeta, false);
        for (size_t i = 0; i < x.size(); ++i) {
            ASSERT_TRUE(same_bits(y[i], y0[i]) && same_bits(d[i], d0[i]) && same_bits(dx[i], dx0[i]))
                << hpc::activation_info(a)->name << " of " << x[i];
        }
    }
}

// ---- Random numbers -------------------------------------------------------------------------------------------------

// The known answers that the authors of Philox publish with it.
TEST_P(EveryIsa, PhiloxKnownAnswers) {
    struct Answer {
        uint64_t block, stream, seed;
        uint32_t words[4];
    };
    const Answer answers[] = {
        {0, 0, 0, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}, {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {0x85a308d3243f6a88u,
         0x0370734413198a2eu,
         0x299f31d0a4093822u,
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };
    for (const Answer& answer : answers) {
        uint32_t words[64];
        isa().random_words(answer.block, answer.seed, answer.stream, words);
        for (int i = 0; i < 4; ++i) EXPECT_EQ(words[i], answer.words[i]) << i;
    }
}

TEST_P(EveryIsa, PhiloxCountsThrough32Bits) {
    const uint64_t block = 0xfffffffau;
    uint32_t words[64], expected[4];
    isa().random_words(block, 7, 9, words);
    for (int b = 0; b < isa().kernels->lanes; ++b) {
        isas()[0].random_words(block + static_cast<uint64_t>(b), 7, 9, expected);
        for (int i = 0; i < 4; ++i) EXPECT_EQ(words[4 * b + i], expected[i]) << b;
    }
}

}  // namespace
