// The kernels of every instruction set that this processor has (all but the matrix product): every count from 0 on with
// memory behind the last element that may not be touched, bits that do not depend on place or split, extreme values,
// references in double precision. Activations, losses and rules are found in the tables.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "formula_isas.h"
#include "tables.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace {

using namespace hpc::cpu;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kAlpha = 0.75f, kBeta = 1.25f;

uint32_t word_of(float x) {
    uint32_t word;
    std::memcpy(&word, &x, sizeof word);
    return word;
}

// `count` elements that end where a page ends that may not be touched (where the system has such), after a strip whose
// pattern is looked at in the end.
template <class T = float>
class Guarded {
public:
    explicit Guarded(int64_t count) : count_(count) {
        const size_t bytes = static_cast<size_t>(count) * sizeof(T);
#if defined(__linux__)
        page_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        size_ = (bytes + kStrip + page_ - 1) / page_ * page_;
        base_ = static_cast<char*>(
            mmap(nullptr, size_ + page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED || mprotect(base_ + size_, page_, PROT_NONE) != 0) std::abort();
#else
        size_ = bytes + kStrip;
        base_ = new char[size_];
#endif
        data_ = reinterpret_cast<T*>(base_ + size_ - bytes);
        std::memset(base_, 0x5a, size_);
    }
    explicit Guarded(const std::vector<T>& values) : Guarded(static_cast<int64_t>(values.size())) {
        std::copy(values.begin(), values.end(), data_);
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    ~Guarded() {
        for (const char* p = base_; p < reinterpret_cast<char*>(data_); ++p) {
            if (*p != 0x5a) {
                ADD_FAILURE() << "written before the first element";
                break;
            }
        }
#if defined(__linux__)
        munmap(base_, size_ + page_);
#else
        delete[] base_;
#endif
    }
    T* data() { return data_; }
    T& operator[](int64_t i) { return data_[i]; }
    int64_t size() const { return count_; }
    std::vector<T> values() const { return std::vector<T>(data_, data_ + count_); }

private:
    static constexpr size_t kStrip = 256;
    int64_t count_;
    char* base_ = nullptr;
    size_t size_ = 0, page_ = 0;
    T* data_ = nullptr;
};

class Random {
public:
    explicit Random(uint64_t seed) : state_(seed * 2 + 1) {}
    float uniform(float low, float high) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return low + (high - low) * (static_cast<float>(state_ >> 40) * 5.9604645e-8f);
    }
    std::vector<float> values(int64_t count, float low = -3, float high = 3) {
        std::vector<float> x(static_cast<size_t>(count));
        for (float& v : x) v = uniform(low, high);
        return x;
    }

private:
    uint64_t state_;
};

testing::AssertionResult same(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return testing::AssertionFailure() << "sizes differ";
    for (size_t i = 0; i < a.size(); ++i) {
        if (word_of(a[i]) != word_of(b[i]) && !(std::isnan(a[i]) && std::isnan(b[i]))) {
            return testing::AssertionFailure() << "element " << i << ": " << a[i] << " and " << b[i];
        }
    }
    return testing::AssertionSuccess();
}

class Kernel : public testing::TestWithParam<size_t> {
protected:
    const Kernels& k() const { return *formula_test::isas()[GetParam()].kernels; }
    const Kernels& scalar() const { return kScalarKernels; }
};
INSTANTIATE_TEST_SUITE_P(Isa, Kernel, testing::Range(size_t{0}, formula_test::isas().size()),
                         [](const auto& isa) { return std::string(formula_test::isas()[isa.param].kernels->isa); });

TEST_P(Kernel, TableIsFilled) {
    EXPECT_EQ(k().lanes, std::string(k().isa) == "avx512" ? 16 : std::string(k().isa) == "avx2" ? 8 : 1);
    EXPECT_NE(k().gemm, nullptr);
    for (int a = 0; a < kActivationCount; ++a) {
        EXPECT_NE(k().epilogue_forward[a], nullptr);
        EXPECT_NE(k().epilogue_backward[a], nullptr);
        EXPECT_NE(k().activation_forward[a], nullptr);
        EXPECT_NE(k().activation_backward[a], nullptr);
    }
    for (int l = 0; l < kLossCount; ++l) EXPECT_NE(k().loss[l], nullptr);
    for (int r = 0; r < kRuleCount; ++r) EXPECT_NE(k().update[r], nullptr);
}

// ---- Every count, guarded -------------------------------------------------------------------------------------------

constexpr int64_t kMostRagged = 67;

TEST_P(Kernel, RaggedActivations) {
    for (int a = 0; a < kActivationCount; ++a) {
        const bool reads = hpc::activation_info(a)->keeps != HPC_KEEPS_NOTHING;
        for (int64_t n = 0; n <= kMostRagged; ++n) {
            const std::vector<float> values = Random(static_cast<uint64_t>(n)).values(n, -8, 8);
            Guarded x(values), y(n), d(n), dx(n), in_place(values);
            k().activation_forward[a](x.data(), y.data(), d.data(), n, kAlpha, kBeta, false);
            k().activation_forward[a](in_place.data(), in_place.data(), nullptr, n, kAlpha, kBeta, false);
            ASSERT_TRUE(same(y.values(), in_place.values()));
            k().activation_backward[a](reads ? y.data() : nullptr, x.data(), dx.data(), n, kAlpha, kBeta, false);
            // The scalar kernel has no place to depend on.
            Guarded y0(n), d0(n), dx0(n);
            for (int64_t i = 0; i < n; ++i) {
                scalar().activation_forward[a](&x[i], &y0[i], &d0[i], 1, kAlpha, kBeta, false);
                scalar().activation_backward[a](reads ? &y0[i] : nullptr, &x[i], &dx0[i], 1, kAlpha, kBeta, false);
            }
            ASSERT_TRUE(same(y.values(), y0.values())) << hpc::activation_info(a)->name << " " << n;
            ASSERT_TRUE(same(d.values(), d0.values())) << hpc::activation_info(a)->name << " " << n;
            ASSERT_TRUE(same(dx.values(), dx0.values())) << hpc::activation_info(a)->name << " " << n;
        }
    }
}

TEST_P(Kernel, RaggedFlatVectors) {
    for (int64_t n = 0; n <= kMostRagged; ++n) {
        Random random(static_cast<uint64_t>(n));
        Guarded x(random.values(n)), y(random.values(n)), bias(random.values(n));
        const std::vector<float> x0 = x.values(), y0 = y.values();
        k().scale(x.data(), n, 1.7f);
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(x[i], x0[static_cast<size_t>(i)] * 1.7f);
        k().add_scaled(x.data(), y.data(), n, -0.3f);
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], std::fma(-0.3f, x[i], y0[static_cast<size_t>(i)]));

        Guarded moved(n);
        std::vector<float> uphill = y.values();
        if (n > 2) uphill[0] = std::numeric_limits<float>::quiet_NaN(), uphill[1] = 0, uphill[2] = -0.0f;
        Guarded gradient(uphill);
        k().fast_gradient_sign(x.data(), gradient.data(), moved.data(), n, 0.25f, -0.5f, 0.75f, false);
        for (int64_t i = 0; i < n; ++i) {
            const float g = gradient[i], step = g > 0 ? 0.25f : g < 0 ? -0.25f : 0.0f;
            ASSERT_EQ(moved[i], std::min(std::max(x[i] + step, -0.5f), 0.75f));
        }

        Guarded product(n), left(x.values()), right(y.values());
        k().multiply(x.data(), y.data(), product.data(), n, false);
        k().multiply(left.data(), y.data(), left.data(), n, false);
        k().multiply(x.data(), right.data(), right.data(), n, false);
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(product[i], x[i] * y[i]);
        ASSERT_TRUE(same(left.values(), product.values()));
        ASSERT_TRUE(same(right.values(), product.values()));

        Guarded rows(random.values(3 * n)), sum(3 * n);
        k().add_rows(rows.data(), bias.data(), sum.data(), 3, n);
        for (int64_t i = 0; i < 3 * n; ++i) ASSERT_EQ(sum[i], rows[i] + bias[i % n]);

        double exact = 0;
        for (int64_t i = 0; i < n; ++i) exact += static_cast<double>(x[i]) * x[i];
        ASSERT_NEAR(k().sum_of_squares(x.data(), n), exact, 1e-14 * exact);

        k().fill(x.data(), n, -2.5f);
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(x[i], -2.5f);
    }
}

// What is stored past the caches, and nothing behind it: the bits that a plain store leaves.
TEST_P(Kernel, StoresPastTheCachesLeaveTheSameBits) {
    struct alignas(64) Piece {
        float at[kMostRagged + 16];
        Piece() { std::memset(at, 0x5a, sizeof at); }
    };
    for (int64_t n = 0; n <= kMostRagged; ++n) {
        Random random(static_cast<uint64_t>(n));
        const std::vector<float> x = random.values(n, 0.05f, 0.95f), t = random.values(n, 0.05f, 0.95f);
        const auto both = [&](const std::string& name, const auto& pass) {
            Piece near, past, second_near, second_past;
            pass(near.at, second_near.at, false);
            pass(past.at, second_past.at, true);
            EXPECT_EQ(std::memcmp(near.at, past.at, sizeof near.at), 0) << name << " " << n;
            EXPECT_EQ(std::memcmp(second_near.at, second_past.at, sizeof near.at), 0) << name << " " << n;
            EXPECT_TRUE(n == 0 || word_of(near.at[0]) != 0x5a5a5a5a) << name << " " << n;
            EXPECT_EQ(word_of(past.at[n]), 0x5a5a5a5au) << name << " " << n;
        };
        for (int a = 0; a < kActivationCount; ++a) {
            const hpc_activation_info& info = *hpc::activation_info(a);
            both(info.name, [&](float* y, float* d, bool past) {
                k().activation_forward[a](x.data(), y, d, n, kAlpha, kBeta, past);
            });
            both(info.name, [&](float* y, float*, bool past) {
                k().activation_forward[a](x.data(), y, nullptr, n, kAlpha, kBeta, past);
            });
            both(info.name, [&](float* dx, float*, bool past) {
                k().activation_backward[a](info.keeps == HPC_KEEPS_NOTHING ? nullptr : t.data(), x.data(), dx, n, kAlpha, kBeta, past);
            });
        }
        for (int l = 0; l < kLossCount; ++l) {
            double sums[2];
            both(hpc::loss_info(l)->name, [&](float* gradient, float*, bool past) {
                LossElements e{x.data(), t.data(), gradient, n, 0.5f, kAlpha, kBeta, 0};
                e.past = past;
                k().loss[l](e);
                sums[past] = e.loss;
            });
            EXPECT_EQ(sums[0], sums[1]) << hpc::loss_info(l)->name << " " << n;
        }
        for (int64_t rows : {1, 3}) {
            const int64_t classes = n / rows;
            if (classes == 0) continue;
            const int32_t labels[3] = {static_cast<int32_t>(classes / 2), 0, static_cast<int32_t>(classes - 1)};
            for (int l = 0; l < kClassLossCount; ++l) {
                for (const bool sums : {false, true}) {
                    ClassLossRows results[2];
                    both("class loss " + std::to_string(l), [&](float* gradient, float* column_sums, bool past) {
                        if (sums) std::memset(column_sums, 0, static_cast<size_t>(classes) * sizeof(float));
                        ClassLossRows c{x.data(), labels, nullptr, gradient, sums ? column_sums : nullptr, rows, classes, 0.5f, 0, 0, 0};
                        c.alpha = c.beta = l == HPC_CLASS_LOSS_MULTI_MARGIN ? 1.0f : 0.0f;
                        c.past = past;
                        k().class_loss[l](c);
                        results[past] = c;
                    });
                    EXPECT_EQ(results[0].loss, results[1].loss) << l << " " << classes;
                    EXPECT_EQ(results[0].correct, results[1].correct) << l << " " << classes;
                }
            }
            both("cross-entropy of probabilities", [&](float* gradient, float*, bool past) {
                ClassLossRows c{x.data(), nullptr, t.data(), gradient, nullptr, rows, classes, 0.5f, 0, 0, 0};
                c.past = past;
                k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](c);
            });
            both("softmax", [&](float* y, float*, bool past) { k().softmax(x.data(), y, rows, classes, past); });
            both("softmax_backward", [&](float* dx, float*, bool past) { k().softmax_backward(x.data(), t.data(), dx, rows, classes, past); });
            both("log_softmax", [&](float* y, float*, bool past) { k().log_softmax(x.data(), y, rows, classes, past); });
            both("log_softmax_backward", [&](float* dx, float*, bool past) {
                k().log_softmax_backward(x.data(), t.data(), dx, rows, classes, past);
            });
            for (const bool shared : {false, true})
                both("prelu", [&](float* y, float*, bool past) { k().prelu_forward(x.data(), t.data(), y, rows, classes, shared, past); });
        }
        both("multiply", [&](float* z, float*, bool past) { k().multiply(x.data(), t.data(), z, n, past); });
        both("fast_gradient_sign", [&](float* y, float*, bool past) {
            k().fast_gradient_sign(x.data(), t.data(), y, n, 0.25f, 0, 1, past);
        });
    }
}

// More classes than what is kept of a row before it is stored past the caches, and a scale that is not finite.
TEST_P(Kernel, ClassesBeyondWhatIsKept) {
    constexpr int64_t kRows = 2;
    for (const int64_t classes : {4096, 4097, 5003}) {
        const std::vector<float> x = Random(3).values(kRows * classes);
        const int32_t labels[kRows] = {7, static_cast<int32_t>(classes - 1)};
        for (int l = 0; l < kClassLossCount; ++l) {
            for (const float scale : {0.5f, kInfinity}) {
                Guarded<float> gradients[2] = {Guarded<float>(kRows * classes), Guarded<float>(kRows * classes)};
                for (const bool past : {false, true}) {
                    ClassLossRows c{x.data(), labels, nullptr, gradients[past].data(), nullptr, kRows, classes, scale, 0, 0, 0};
                    c.alpha = c.beta = l == HPC_CLASS_LOSS_MULTI_MARGIN ? 1.0f : 0.0f;
                    c.past = past;
                    k().class_loss[l](c);
                }
                EXPECT_TRUE(same(gradients[0].values(), gradients[1].values())) << l << " " << classes;
                if (l != HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD) continue;
                for (int64_t i = 0; i < kRows * classes; ++i)
                    ASSERT_EQ(gradients[1][i], i % classes == labels[i / classes] ? -scale : 0.0f) << i << " of " << classes;
            }
        }
        Guarded y(kRows * classes), y_past(kRows * classes);
        k().softmax(x.data(), y.data(), kRows, classes, false);
        k().softmax(x.data(), y_past.data(), kRows, classes, true);
        EXPECT_TRUE(same(y.values(), y_past.values())) << classes;
    }
}

TEST_P(Kernel, ColumnSumsAndParts) {
    for (int64_t n : {0, 1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 33, 63, 64, 65, 67, 130}) {
        for (int64_t rows : {0, 1, 2, 5, 33}) {
            const int64_t ld = n + 3;
            Random random(static_cast<uint64_t>(n * 100 + rows));
            Guarded x(random.values(rows > 0 ? (rows - 1) * ld + n : 0));
            const std::vector<float> start = random.values(n);
            std::vector<float> expected = start, parts(static_cast<size_t>(n), 0.0f);
            for (int64_t r = 0; r < rows; ++r) {
                for (int64_t j = 0; j < n; ++j) {
                    expected[static_cast<size_t>(j)] += x[r * ld + j];
                    parts[static_cast<size_t>(j)] += x[r * ld + j];
                }
            }
            Guarded sums(start), split(start), y(n);
            k().column_sums(x.data(), ld, rows, n, sums.data());
            ASSERT_TRUE(same(sums.values(), expected)) << n << " x " << rows;
            const int64_t half = rows / 2;
            k().column_sums(x.data(), ld, half, n, split.data());
            k().column_sums(x.data() + half * ld, ld, rows - half, n, split.data());
            ASSERT_TRUE(same(split.values(), expected)) << n << " x " << rows;
            k().sum_parts(x.data(), rows, ld, y.data(), n);
            ASSERT_TRUE(same(y.values(), parts)) << n << " x " << rows;
        }
    }
}

TEST_P(Kernel, SumOfSquaresSurvivesOverflowAndLength) {
    std::vector<float> x(100000, 0.1f);
    x[777] = 3e38f;
    EXPECT_NEAR(k().sum_of_squares(x.data(), static_cast<int64_t>(x.size())) / 9e76, 1.0, 1e-6);
    x[777] = 0.1f;
    const double exact = 100000 * static_cast<double>(0.1f) * static_cast<double>(0.1f);
    EXPECT_NEAR(k().sum_of_squares(x.data(), static_cast<int64_t>(x.size())), exact, 1e-10 * exact);
    x[50] = kNan;
    EXPECT_TRUE(std::isnan(k().sum_of_squares(x.data(), static_cast<int64_t>(x.size()))));
}

// ---- Epilogues ------------------------------------------------------------------------------------------------------

struct Shape {
    int64_t rows, cols;
};
const Shape kShapes[] = {{1, 1}, {1, 10}, {3, 7}, {5, 16}, {4, 17}, {7, 33}, {2, 64}, {6, 67}, {0, 5}, {3, 0}};

// A piece in the middle of a larger matrix, so that a wrong stride or offset shows.
TEST_P(Kernel, EpilogueForwardIsBiasAndActivation) {
    for (int a = 0; a < kActivationCount; ++a) {
        for (const Shape& shape : kShapes) {
            for (int variant = 0; variant < 8; ++variant) {
                const bool has_bias = variant & 1, has_kept = variant & 2, apart = variant & 4;
                const int64_t row = 2, col = 3, ldc = shape.cols + 5, ldkept = shape.cols + 9, n = col + shape.cols;
                Random random(static_cast<uint64_t>(a * 1000 + shape.rows * 100 + shape.cols));
                const int64_t ldproduct = apart ? shape.cols + 2 : ldc;
                Guarded c(random.values(shape.rows > 0 ? (shape.rows - 1) * ldc + shape.cols : 0));
                Guarded own(random.values(shape.rows > 0 ? (shape.rows - 1) * ldproduct + shape.cols : 0));
                auto& product = apart ? own : c;
                Guarded bias(random.values(n)), kept((row + shape.rows) * ldkept);
                const std::vector<float> before = product.values(), own_before = own.values();
                std::vector<float> expected = c.values(), expected_kept = kept.values();
                for (int64_t r = 0; r < shape.rows; ++r) {
                    for (int64_t j = 0; j < shape.cols; ++j) {
                        const size_t at = static_cast<size_t>(r * ldc + j);
                        float x = before[static_cast<size_t>(r * ldproduct + j)], derivative;
                        if (has_bias) x += bias[col + j];
                        k().activation_forward[a](&x, &expected[at], &derivative, 1, kAlpha, kBeta, false);
                        if (has_kept) expected_kept[static_cast<size_t>((row + r) * ldkept + col + j)] = derivative;
                    }
                }
                Epilogue epilogue{k().epilogue_forward[a],
                                  has_bias ? bias.data() : nullptr,
                                  has_kept ? kept.data() : nullptr,
                                  ldkept,
                                  nullptr,
                                  kAlpha,
                                  kBeta,
                                  apart ? own.data() : nullptr,
                                  ldproduct};
                epilogue.apply(epilogue, c.data(), ldc, row, col, shape.rows, shape.cols);
                ASSERT_TRUE(same(own.values(), own_before)) << hpc::activation_info(a)->name << " " << variant;
                ASSERT_TRUE(same(c.values(), expected)) << hpc::activation_info(a)->name << " " << variant;
                ASSERT_TRUE(same(kept.values(), expected_kept)) << hpc::activation_info(a)->name << " " << variant;
            }
        }
    }
}

TEST_P(Kernel, EpilogueBackwardIsDerivativeAndColumnSums) {
    for (int a = 0; a < kActivationCount; ++a) {
        for (const Shape& shape : kShapes) {
            for (int variant = 0; variant < 8; ++variant) {
                const bool has_kept = variant & 1, has_sums = variant & 2, apart = variant & 4;
                const int64_t row = 2, col = 3, ldc = shape.cols + 5, ldkept = shape.cols + 9, n = col + shape.cols;
                Random random(static_cast<uint64_t>(a * 1000 + shape.rows * 100 + shape.cols));
                const int64_t size = shape.rows > 0 ? (shape.rows - 1) * ldc + shape.cols : 0;
                const int64_t ldproduct = apart ? shape.cols + 2 : ldc;
                Guarded c(random.values(size)), own(random.values(shape.rows > 0 ? (shape.rows - 1) * ldproduct + shape.cols : 0));
                auto& product = apart ? own : c;
                Guarded kept(random.values((row + shape.rows) * ldkept, -0.9f, 0.9f)), sums(random.values(n));
                const std::vector<float> before = product.values(), own_before = own.values();
                std::vector<float> expected = c.values(), expected_sums = sums.values();
                const bool derives = has_kept || hpc::activation_info(a)->keeps == HPC_KEEPS_NOTHING;
                for (int64_t r = 0; r < shape.rows; ++r) {
                    for (int64_t j = 0; j < shape.cols; ++j) {
                        const size_t at = static_cast<size_t>(r * ldc + j);
                        expected[at] = before[static_cast<size_t>(r * ldproduct + j)];
                        if (derives) {
                            const float dy = expected[at];
                            k().activation_backward[a](&kept[(row + r) * ldkept + col + j], &dy, &expected[at], 1, kAlpha, kBeta, false);
                        }
                        if (has_sums) expected_sums[static_cast<size_t>(col + j)] += expected[at];
                    }
                }
                Epilogue epilogue{k().epilogue_backward[a],
                                  nullptr,
                                  has_kept ? kept.data() : nullptr,
                                  ldkept,
                                  has_sums ? sums.data() : nullptr,
                                  kAlpha,
                                  kBeta,
                                  apart ? own.data() : nullptr,
                                  ldproduct};
                // In two pieces, one below the other.
                const int64_t half = shape.rows / 2;
                epilogue.apply(epilogue, c.data(), ldc, row, col, half, shape.cols);
                if (apart) epilogue.product += half * ldproduct;
                epilogue.apply(epilogue, c.data() + half * ldc, ldc, row + half, col, shape.rows - half, shape.cols);
                ASSERT_TRUE(same(own.values(), own_before)) << hpc::activation_info(a)->name << " " << variant;
                ASSERT_TRUE(same(c.values(), expected)) << hpc::activation_info(a)->name << " " << variant;
                ASSERT_TRUE(same(sums.values(), expected_sums)) << hpc::activation_info(a)->name << " " << variant;
            }
        }
    }
}

// ---- Softmax and cross-entropy --------------------------------------------------------------------------------------

const int64_t kClasses[] = {1, 2, 3, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 67, 100, 1000};

std::vector<long double> exact_softmax(const float* x, int64_t classes, long double* log_sum) {
    long double m = x[0], sum = 0;
    for (int64_t j = 1; j < classes; ++j) m = std::max(m, static_cast<long double>(x[j]));
    std::vector<long double> p(static_cast<size_t>(classes));
    for (int64_t j = 0; j < classes; ++j) {
        p[static_cast<size_t>(j)] = std::exp(x[j] - m);
        sum += p[static_cast<size_t>(j)];
    }
    for (long double& v : p) v /= sum;
    *log_sum = m + std::log(sum);
    return p;
}

TEST_P(Kernel, SoftmaxAgreesWithTheTruth) {
    for (int64_t classes : kClasses) {
        const int64_t rows = 5;
        Guarded x(Random(static_cast<uint64_t>(classes)).values(rows * classes, -20, 20)), y(rows * classes);
        k().softmax(x.data(), y.data(), rows, classes, false);
        for (int64_t r = 0; r < rows; ++r) {
            long double log_sum;
            const auto exact = exact_softmax(x.data() + r * classes, classes, &log_sum);
            for (int64_t j = 0; j < classes; ++j) {
                const double e = static_cast<double>(exact[static_cast<size_t>(j)]);
                // Rounding x - max costs up to 40 * 2^-24 relative.
                ASSERT_NEAR(y[r * classes + j], e, 4e-6 * e) << classes;
            }
        }
        std::vector<float> expected = y.values();
        k().softmax(x.data(), x.data(), rows, classes, false);
        ASSERT_TRUE(same(x.values(), expected)) << "in place";
    }
}

TEST_P(Kernel, SoftmaxOfExtremes) {
    for (int64_t classes : {3, 10, 40}) {
        std::vector<float> x(static_cast<size_t>(classes), -1e30f), y(x.size());
        x[1] = 1e30f;
        k().softmax(x.data(), y.data(), 1, classes, false);
        EXPECT_EQ(y[1], 1.0f);
        EXPECT_EQ(y[0], 0.0f);
        std::fill(x.begin(), x.end(), -kInfinity);
        x[2] = -5, x[0] = -5;
        k().softmax(x.data(), y.data(), 1, classes, false);
        EXPECT_EQ(y[2], 0.5f);
        EXPECT_EQ(y[1], 0.0f);
        x[1] = kNan;
        k().softmax(x.data(), y.data(), 1, classes, false);
        for (float v : y) EXPECT_TRUE(std::isnan(v));
    }
}

TEST_P(Kernel, SoftmaxGradientsAndLogarithmsAgreeWithTheTruth) {
    for (int64_t classes : kClasses) {
        const int64_t rows = 5, n = rows * classes;
        Random random(static_cast<uint64_t>(classes));
        Guarded x(random.values(n, -20, 20)), dy(random.values(n)), y(n), l(n), dx(n), dl(n);
        k().softmax(x.data(), y.data(), rows, classes, false);
        k().softmax_backward(y.data(), dy.data(), dx.data(), rows, classes, false);
        k().log_softmax(x.data(), l.data(), rows, classes, false);
        k().log_softmax_backward(l.data(), dy.data(), dl.data(), rows, classes, false);
        for (int64_t r = 0; r < rows; ++r) {
            const float *row = x.data() + r * classes, *g = dy.data() + r * classes;
            long double log_sum, dot = 0, total = 0;
            const auto p = exact_softmax(row, classes, &log_sum);
            for (int64_t j = 0; j < classes; ++j) dot += p[static_cast<size_t>(j)] * g[j], total += g[j];
            for (int64_t j = 0; j < classes; ++j) {
                const int64_t at = r * classes + j;
                const long double here = p[static_cast<size_t>(j)];
                // Taking off the maximum and the logarithm rounds twice, each time up to 40 by 2^-25 of 64.
                ASSERT_NEAR(l[at], static_cast<double>(row[j] - log_sum), 4.2e-6) << classes;
                ASSERT_NEAR(dx[at], static_cast<double>(here * (g[j] - dot)), 2e-5 * static_cast<double>(here) + 1e-30) << classes;
                ASSERT_NEAR(dl[at], static_cast<double>(g[j] - here * total), 1e-5 * static_cast<double>(here * std::fabs(total)) + 1e-6)
                    << classes;
            }
        }
        const std::vector<float> logarithms = l.values(), gradient = dx.values(), gradient_of_logarithm = dl.values();
        k().log_softmax(x.data(), x.data(), rows, classes, false);
        ASSERT_TRUE(same(x.values(), logarithms)) << "in place";
        Guarded other(dy.values());
        k().softmax_backward(y.data(), dy.data(), dy.data(), rows, classes, false);
        ASSERT_TRUE(same(dy.values(), gradient)) << "in place";
        k().log_softmax_backward(l.data(), other.data(), other.data(), rows, classes, false);
        ASSERT_TRUE(same(other.values(), gradient_of_logarithm)) << "in place";
    }
}

TEST_P(Kernel, LogSoftmaxOfExtremes) {
    for (int64_t classes : {3, 10, 40}) {
        std::vector<float> x(static_cast<size_t>(classes), -1e30f), y(x.size());
        x[1] = 1e30f;
        k().log_softmax(x.data(), y.data(), 1, classes, false);
        EXPECT_EQ(y[1], 0.0f);
        EXPECT_EQ(y[0], -2e30f);
        std::fill(x.begin(), x.end(), -kInfinity);
        x[2] = 3e38f;
        k().log_softmax(x.data(), y.data(), 1, classes, false);
        EXPECT_EQ(y[2], 0.0f);
        EXPECT_EQ(y[1], -kInfinity);
        std::vector<float> dy(x.size(), 1.0f), dx(x.size());
        k().log_softmax_backward(y.data(), dy.data(), dx.data(), 1, classes, false);
        EXPECT_EQ(dx[1], 1.0f);
        EXPECT_EQ(dx[2], 1.0f - static_cast<float>(classes));
        x[1] = kNan;
        k().log_softmax(x.data(), y.data(), 1, classes, false);
        for (float v : y) EXPECT_TRUE(std::isnan(v));
    }
}

TEST_P(Kernel, PReluIsItsFormulasAndColumnSums) {
    for (int64_t columns : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 67}) {
        for (int64_t rows : {0, 1, 5, 18}) {
            for (int variant = 0; variant < 16; ++variant) {
                const bool shared = variant & 1, has_dx = variant & 2, has_slope = variant & 4, has_sums = (variant & 8) && has_dx;
                if (!has_dx && !has_slope) continue;
                Random random(static_cast<uint64_t>(columns * 100 + rows));
                Guarded x(random.values(rows * columns)), dy(random.values(rows * columns)), y(rows * columns), dx(rows * columns);
                if (rows > 1) x[0] = 0, x[columns] = kNan;
                Guarded slope(random.values(shared ? 1 : columns, -1, 1)), slope_sums(random.values(columns)), sums(random.values(columns));
                std::vector<float> of_y(x.values().size()), of_dx(of_y.size()), of_slope = slope_sums.values(), of_sums = sums.values();
                for (int64_t i = 0; i < rows * columns; ++i) {
                    const size_t at = static_cast<size_t>(i), column = static_cast<size_t>(i % columns);
                    const float a = slope[shared ? 0 : i % columns];
                    of_y[at] = x[i] > 0 ? x[i] : a * x[i];
                    of_dx[at] = (x[i] > 0 ? 1 : a) * dy[i];
                    of_slope[column] += (x[i] > 0 ? 0 : x[i]) * dy[i];
                    of_sums[column] += of_dx[at];
                }
                k().prelu_forward(x.data(), slope.data(), y.data(), rows, columns, shared, false);
                ASSERT_TRUE(same(y.values(), of_y)) << rows << " x " << columns;
                const PReluRows all{x.data(), slope.data(), dy.data(), has_dx ? dx.data() : nullptr,
                                    has_slope ? slope_sums.data() : nullptr, has_sums ? sums.data() : nullptr, rows, columns, shared};
                k().prelu_backward(all);
                if (has_dx) {
                    ASSERT_TRUE(same(dx.values(), of_dx)) << rows << " x " << columns;
                }
                if (has_slope) {
                    ASSERT_TRUE(same(slope_sums.values(), of_slope)) << rows << " x " << columns;
                }
                if (has_sums) {
                    ASSERT_TRUE(same(sums.values(), of_sums)) << rows << " x " << columns;
                }
            }
        }
    }
}

ClassLossRows labelled(const float* x, const int32_t* labels, float* gradient, float* sums, int64_t rows,
                                 int64_t classes, float scale = 1) {
    return {x, labels, nullptr, gradient, sums, rows, classes, scale, 0, 0, 0};
}

TEST_P(Kernel, CrossEntropyOfLabels) {
    for (int64_t classes : kClasses) {
        const int64_t rows = 37;
        const float scale = 0.25f;
        Random random(static_cast<uint64_t>(classes));
        Guarded x(random.values(rows * classes, -10, 10));
        Guarded<int32_t> labels(rows);
        for (int64_t r = 0; r < rows; ++r) {
            labels[r] = static_cast<int32_t>(random.uniform(0, static_cast<float>(classes) - 0.5f));
        }
        Guarded gradient(rows * classes), sums(std::vector<float>(static_cast<size_t>(classes), 1.0f));
        auto all = labelled(x.data(), labels.data(), gradient.data(), sums.data(), rows, classes, scale);
        all.loss = 100, all.correct = 7;
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](all);

        double loss = 100;
        uint64_t correct = 7;
        std::vector<float> expected_sums(static_cast<size_t>(classes), 1.0f);
        for (int64_t r = 0; r < rows; ++r) {
            const float* row = x.data() + r * classes;
            long double log_sum;
            const auto exact = exact_softmax(row, classes, &log_sum);
            loss += static_cast<double>(log_sum - row[labels[r]]);
            correct += std::max_element(row, row + classes) - row == labels[r];
            for (int64_t j = 0; j < classes; ++j) {
                const double e = (static_cast<double>(exact[static_cast<size_t>(j)]) - (j == labels[r])) * scale;
                ASSERT_NEAR(gradient[r * classes + j], e, 1e-6 * scale) << classes;
                expected_sums[static_cast<size_t>(j)] += gradient[r * classes + j];
            }
        }
        EXPECT_NEAR(all.loss, loss, 1e-6 * loss) << classes;
        EXPECT_EQ(all.correct, correct) << classes;
        EXPECT_EQ(all.flags, 0u);
        EXPECT_TRUE(same(sums.values(), expected_sums)) << classes;

        // In two pieces; then without sums, without a gradient, and over the logits themselves.
        Guarded split(rows * classes), split_sums(std::vector<float>(static_cast<size_t>(classes), 1.0f));
        auto upper = labelled(x.data(), labels.data(), split.data(), split_sums.data(), 11, classes, scale);
        upper.loss = 100, upper.correct = 7;
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](upper);
        auto lower = labelled(x.data() + 11 * classes, labels.data() + 11, split.data() + 11 * classes,
                              split_sums.data(), rows - 11, classes, scale);
        lower.loss = upper.loss, lower.correct = upper.correct;
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](lower);
        EXPECT_TRUE(same(split.values(), gradient.values()));
        EXPECT_TRUE(same(split_sums.values(), sums.values()));
        EXPECT_EQ(lower.loss, all.loss);
        EXPECT_EQ(lower.correct, all.correct);
        auto forward = labelled(x.data(), labels.data(), nullptr, nullptr, rows, classes, scale);
        forward.loss = 100, forward.correct = 7;
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](forward);
        EXPECT_EQ(forward.loss, all.loss);
        EXPECT_EQ(forward.correct, all.correct);
        auto over = labelled(x.data(), labels.data(), x.data(), nullptr, rows, classes, scale);
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](over);
        EXPECT_TRUE(same(x.values(), gradient.values()));
        EXPECT_EQ(over.correct + 7, all.correct);
    }
}

TEST_P(Kernel, CrossEntropyOfProbabilities) {
    for (int64_t classes : kClasses) {
        const int64_t rows = 19;
        Random random(static_cast<uint64_t>(classes));
        Guarded x(random.values(rows * classes, -10, 10)), t(random.values(rows * classes, 0, 1));
        Guarded gradient(rows * classes), sums(std::vector<float>(static_cast<size_t>(classes)));
        ClassLossRows all{x.data(), nullptr, t.data(), gradient.data(), sums.data(), rows, classes, 2,
                                    0,        0,       0};
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](all);
        double loss = 0;
        uint64_t correct = 0;
        std::vector<float> expected_sums(static_cast<size_t>(classes));
        for (int64_t r = 0; r < rows; ++r) {
            const float *row = x.data() + r * classes, *target = t.data() + r * classes;
            long double log_sum, mass = 0;
            const auto exact = exact_softmax(row, classes, &log_sum);
            for (int64_t j = 0; j < classes; ++j) mass += target[j];
            for (int64_t j = 0; j < classes; ++j) {
                loss += static_cast<double>(target[j] * (log_sum - row[j]));
                const double e = static_cast<double>(exact[static_cast<size_t>(j)] * mass - target[j]) * 2;
                ASSERT_NEAR(gradient[r * classes + j], e, 3e-6 * (1 + static_cast<double>(mass))) << classes;
                expected_sums[static_cast<size_t>(j)] += gradient[r * classes + j];
            }
            correct +=
                std::max_element(row, row + classes) - row == std::max_element(target, target + classes) - target;
        }
        EXPECT_NEAR(all.loss, loss, 2e-6 * loss) << classes;
        EXPECT_EQ(all.correct, correct) << classes;
        EXPECT_EQ(all.flags, 0u);
        EXPECT_TRUE(same(sums.values(), expected_sums)) << classes;
        ClassLossRows forward{x.data(), nullptr, t.data(), nullptr, nullptr, rows, classes, 2, 0, 0, 0};
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](forward);
        EXPECT_EQ(forward.loss, all.loss);
    }
}

TEST_P(Kernel, CrossEntropyOfExtremes) {
    for (int64_t classes : {2, 10, 16, 17, 70}) {
        const size_t n = static_cast<size_t>(classes);
        std::vector<float> x(n, 0.0f), gradient(n), t(n, 0.0f);
        int32_t label = 1;
        t[1] = 1;
        struct Case {
            float other, first, second;
            double loss;
            uint64_t correct;
            uint32_t flags;
        };
        const Case cases[] = {
            {-1e30f, -1e30f, 1e30f, 0, 1, 0},
            {-1e30f, 1e30f, -1e30f, 2e30, 0, 0},
            {-3e38f, 3e38f, -3e38f, 6e38, 0, 0},
            {-kInfinity, 5, 5, std::log(2.0), 0, 0},
            {-kInfinity, -kInfinity, 5, 0, 1, 0},
            {-kInfinity, 5, -kInfinity, HUGE_VAL, 0, HPC_FLAG_NONFINITE},
            {0, 0, kNan, kNan, 0, HPC_FLAG_NONFINITE},
            {0, kNan, 0, kNan, 0, HPC_FLAG_NONFINITE},
            {0, 0, kInfinity, kNan, 1, HPC_FLAG_NONFINITE},
        };
        for (const Case& c : cases) {
            std::fill(x.begin(), x.end(), c.other);
            x[0] = c.first, x[1] = c.second;
            for (bool labels : {true, false}) {
                ClassLossRows rows{x.data(),
                                             labels ? &label : nullptr,
                                             labels ? nullptr : t.data(),
                                             gradient.data(),
                                             nullptr,
                                             1,
                                             classes,
                                             1,
                                             0,
                                             0,
                                             0};
                k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](rows);
                EXPECT_EQ(rows.flags, c.flags) << classes << ": " << c.first << ", " << c.second;
                if (std::isfinite(c.loss)) {
                    EXPECT_NEAR(rows.loss, c.loss, 1e-6 * c.loss) << classes;
                    EXPECT_EQ(rows.correct, c.correct) << classes << ": " << c.first << ", " << c.second;
                    for (float g : gradient) EXPECT_TRUE(std::isfinite(g));
                } else {
                    EXPECT_FALSE(std::isfinite(rows.loss));
                }
            }
        }
    }
}

TEST_P(Kernel, CrossEntropyLabelsOutOfRangeCountAsClass0) {
    for (int64_t classes : {1, 10, 40}) {
        const std::vector<float> x = Random(3).values(classes);
        std::vector<float> good(static_cast<size_t>(classes)), bad(static_cast<size_t>(classes));
        const int32_t zero = 0;
        auto right = labelled(x.data(), &zero, good.data(), nullptr, 1, classes);
        k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](right);
        for (int32_t label : {-1, static_cast<int32_t>(classes), std::numeric_limits<int32_t>::min(),
                              std::numeric_limits<int32_t>::max()}) {
            auto wrong = labelled(x.data(), &label, bad.data(), nullptr, 1, classes);
            k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](wrong);
            EXPECT_EQ(wrong.flags, static_cast<uint32_t>(HPC_FLAG_LABEL));
            EXPECT_EQ(wrong.loss, right.loss);
            EXPECT_EQ(wrong.correct, right.correct);
            EXPECT_TRUE(same(bad, good));
        }
    }
}

TEST_P(Kernel, CrossEntropyTiesGoToTheFirst) {
    for (int64_t classes : {4, 10, 16, 40, 70}) {
        std::vector<float> x(static_cast<size_t>(classes), 1.0f);
        x[static_cast<size_t>(classes) - 1] = 2, x[1] = 2;
        for (int32_t label = 0; label < classes; ++label) {
            auto rows = labelled(x.data(), &label, nullptr, nullptr, 1, classes);
            k().class_loss[HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY](rows);
            EXPECT_EQ(rows.correct, label == 1 ? 1u : 0u) << classes << ", label " << label;
        }
    }
}

// ---- Losses ---------------------------------------------------------------------------------------------------------

// Predictions and targets that every loss takes: probabilities; and such that only some do.
bool takes_probabilities_only(int loss) {
    return loss == HPC_LOSS_BINARY_CROSS_ENTROPY || loss == HPC_LOSS_KL_DIVERGENCE || loss == HPC_LOSS_POISSON;
}

TEST_P(Kernel, LossesAreSumsOfTheirElements) {
    for (int l = 0; l < kLossCount; ++l) {
        for (int64_t n = 0; n <= kMostRagged; ++n) {
            Random random(static_cast<uint64_t>(n));
            const float low = takes_probabilities_only(l) ? 0.02f : -3, high = takes_probabilities_only(l) ? 0.98f : 3;
            Guarded p(random.values(n, low, high)), t(random.values(n, low, high)), gradient(n), single(n);
            LossElements all{p.data(), t.data(), gradient.data(), n, 0.5f, kAlpha, kBeta, 10};
            k().loss[l](all);
            LossElements forward{p.data(), t.data(), nullptr, n, 0.5f, kAlpha, kBeta, 10};
            k().loss[l](forward);
            EXPECT_EQ(all.loss, forward.loss);
            double loss = 10, size = 10;
            for (int64_t i = 0; i < n; ++i) {
                LossElements one{&p[i], &t[i], &single[i], 1, 0.5f, kAlpha, kBeta, 0};
                scalar().loss[l](one);
                loss += one.loss;
                size += std::fabs(one.loss);
            }
            ASSERT_NEAR(all.loss, loss, 1e-14 * size) << hpc::loss_info(l)->name << " " << n;
            ASSERT_TRUE(same(gradient.values(), single.values())) << hpc::loss_info(l)->name << " " << n;
        }
    }
}

// Weights and alphas of the columns give what each column gives by itself.
TEST_P(Kernel, LossesTakeWeightsAndAlphasOfColumns) {
    for (int l = 0; l < kLossCount; ++l) {
        for (int64_t columns : {1, 2, 3, 4, 7, 16, 17, 33, 511, 512, 513, 1100}) {
            const int64_t rows = columns > 100 ? 3 : 200 / columns + 1, n = rows * columns;
            Random random(static_cast<uint64_t>(columns));
            Guarded p(random.values(n, 0.02f, 0.98f)), t(random.values(n, 0.02f, 0.98f)), gradient(n);
            Guarded weights(random.values(columns, 0.5f, 2)), alphas(random.values(columns, 0.5f, 2));
            for (int what = 1; what < 4; ++what) {
                LossElements all{p.data(), t.data(), gradient.data(), n, 0.5f, kAlpha, kBeta, 10, what & 1 ? weights.data() : nullptr,
                                 what & 2 ? alphas.data() : nullptr, columns};
                k().loss[l](all);
                LossElements forward = all;
                forward.gradient = nullptr, forward.loss = 10;
                k().loss[l](forward);
                EXPECT_EQ(all.loss, forward.loss);
                double loss = 10, size = 10;
                for (int64_t i = 0; i < n; ++i) {
                    float single;
                    LossElements one{&p[i], &t[i], &single, 1, 0.5f, what & 2 ? alphas[i % columns] : kAlpha, kBeta, 0};
                    scalar().loss[l](one);
                    const float weight = what & 1 ? weights[i % columns] : 1;
                    loss += one.loss * static_cast<double>(weight);
                    size += std::fabs(one.loss) * 2;
                    ASSERT_EQ(gradient[i], single * weight) << hpc::loss_info(l)->name << " " << columns;
                }
                ASSERT_NEAR(all.loss, loss, 1e-7 * size) << hpc::loss_info(l)->name << " " << columns;
            }
        }
    }
}

TEST_P(Kernel, LossDerivativesAgreeWithDifferences) {
    for (int l = 0; l < kLossCount; ++l) {
        for (int i = -40; i <= 40; ++i) {
            if (takes_probabilities_only(l) && (i < 1 || i > 6)) continue;
            const float p = (static_cast<float>(i) + 0.5f) / 8.0f, t = 0.3f, h = 1.0f / 128;
            const auto value = [&](float at, float* gradient) {
                LossElements e{&at, &t, gradient, 1, 1, kAlpha, kBeta, 0};
                k().loss[l](e);
                return e.loss;
            };
            float gradient;
            value(p, &gradient);
            const double numeric = (value(p + h, nullptr) - value(p - h, nullptr)) / (2.0 * h);
            ASSERT_NEAR(gradient, numeric, 2e-3 * (1 + std::fabs(numeric))) << hpc::loss_info(l)->name << " at " << p;
        }
    }
}

// The losses once more, as their papers have them, in extended precision.
struct KnownLoss {
    const char* name;
    long double (*value)(long double p, long double t);
};
long double known_softplus(long double x) { return std::max(x, 0.0L) + std::log1p(std::exp(-std::fabs(x))); }
long double known_stirling(long double t) {
    return t <= 1 ? 0 : t * std::log(t) - t + std::log(2 * 3.14159265358979323846264L * t) / 2;
}
constexpr long double kA = 0.75L, kB = 1.25L;
const KnownLoss known_losses[] = {
    {"squared_error", [](long double p, long double t) { return (p - t) * (p - t); }},
    {"absolute_error", [](long double p, long double t) { return std::fabs(p - t); }},
    {"huber", [](long double p, long double t) {
         const long double d = std::fabs(p - t);
         return d <= kA ? d * d / 2 : kA * (d - kA / 2);
     }},
    {"smooth_l1", [](long double p, long double t) {
         const long double d = std::fabs(p - t);
         return d < kA ? d * d / (2 * kA) : d - kA / 2;
     }},
    {"sigmoid_cross_entropy",
     [](long double p, long double t) { return kA * t * known_softplus(-p) + (1 - t) * known_softplus(p); }},
    {"binary_cross_entropy", [](long double p, long double t) { return -t * std::log(p) - (1 - t) * std::log1p(-p); }},
    {"kl_divergence", [](long double p, long double t) { return t * (std::log(t) - p); }},
    {"kl_divergence_log", [](long double p, long double t) { return std::exp(t) * (t - p); }},
    {"poisson_log", [](long double p, long double t) { return std::exp(p) - t * p + kA * known_stirling(t); }},
    {"poisson", [](long double p, long double t) { return p - t * std::log(p + kB) + kA * known_stirling(t); }},
    {"hinge", [](long double p, long double t) { return std::max(0.0L, kA - t * p); }},
    {"soft_margin", [](long double p, long double t) { return known_softplus(-t * p); }},
};

TEST_P(Kernel, LossesAgreeWithTheTruth) {
    ASSERT_EQ(static_cast<size_t>(kLossCount), std::size(known_losses)) << "a loss without its truth";
    for (int l = 0; l < kLossCount; ++l) {
        ASSERT_STREQ(hpc::loss_info(l)->name, known_losses[l].name);
        Random random(7);
        for (int i = 0; i < 2000; ++i) {
            const bool unit = takes_probabilities_only(l);
            const float p = random.uniform(unit ? 0.001f : -8, unit ? 0.999f : 8), t = random.uniform(unit ? 0 : -8, unit ? 1 : 8);
            LossElements e{&p, &t, nullptr, 1, 1, kAlpha, kBeta, 0};
            k().loss[l](e);
            const double exact = static_cast<double>(known_losses[l].value(p, t));
            // What is subtracted has sizes up to |t p|.
            const double size = 1 + std::fabs(exact) + std::fabs(static_cast<double>(t * p));
            ASSERT_NEAR(e.loss, exact, 5e-7 * size) << known_losses[l].name << " of " << p << ", " << t;
        }
    }
}

TEST_P(Kernel, LossesOfExtremesAreFinite) {
    const auto loss = [&](int l, float p, float t, float alpha, float* gradient) {
        LossElements e{&p, &t, gradient, 1, 1, alpha, 0, 0};
        k().loss[l](e);
        return e.loss;
    };
    float g;
    for (float x : {1e3f, 1e30f, 3e38f}) {
        EXPECT_EQ(loss(HPC_LOSS_SIGMOID_CROSS_ENTROPY, x, 1, 2, &g), 0);
        EXPECT_EQ(g, 0);
        EXPECT_FLOAT_EQ(static_cast<float>(loss(HPC_LOSS_SIGMOID_CROSS_ENTROPY, x, 0, 2, &g)), x);
        EXPECT_EQ(g, 1);
        EXPECT_EQ(loss(HPC_LOSS_SIGMOID_CROSS_ENTROPY, -x, 0, 1, &g), 0);
        EXPECT_FLOAT_EQ(static_cast<float>(loss(HPC_LOSS_SIGMOID_CROSS_ENTROPY, -x, 1, 1, &g)), x);
        EXPECT_EQ(g, -1);
        EXPECT_FLOAT_EQ(static_cast<float>(loss(HPC_LOSS_HUBER, x, 0, 1, &g)), x == 1e3f ? 999.5f : x);
        EXPECT_EQ(g, 1);
        EXPECT_FLOAT_EQ(static_cast<float>(loss(HPC_LOSS_SMOOTH_L1, -x, 0, 0, &g)), x);
        EXPECT_EQ(g, -1);
        EXPECT_FLOAT_EQ(static_cast<float>(loss(HPC_LOSS_SOFT_MARGIN, -x, 1, 0, &g)), x);
        EXPECT_EQ(g, -1);
        EXPECT_EQ(loss(HPC_LOSS_SOFT_MARGIN, x, 1, 0, &g), 0);
        EXPECT_EQ(g, 0);
    }
    // Kinks and edges, as PyTorch has them.
    EXPECT_EQ(loss(HPC_LOSS_ABSOLUTE_ERROR, 1, 1, 0, &g), 0);
    EXPECT_EQ(g, 0);
    EXPECT_EQ(loss(HPC_LOSS_SMOOTH_L1, 1, 1, 0, &g), 0);
    EXPECT_EQ(g, 0);
    EXPECT_EQ(loss(HPC_LOSS_HUBER, 2, 1, 1, &g), 0.5);
    EXPECT_EQ(g, 1);
    EXPECT_EQ(loss(HPC_LOSS_HINGE, 1, 1, 1, &g), 0);
    EXPECT_EQ(g, 0);
    EXPECT_EQ(loss(HPC_LOSS_BINARY_CROSS_ENTROPY, 0, 0, 0, &g), 0);
    EXPECT_EQ(loss(HPC_LOSS_BINARY_CROSS_ENTROPY, 0, 1, 0, &g), 100);
    EXPECT_EQ(loss(HPC_LOSS_BINARY_CROSS_ENTROPY, 1, 0, 0, &g), 100);
    EXPECT_EQ(loss(HPC_LOSS_KL_DIVERGENCE, -kInfinity, 0, 0, &g), 0);
    EXPECT_EQ(loss(HPC_LOSS_KL_DIVERGENCE_LOG, -5, -kInfinity, 0, &g), 0);
    for (int l = 0; l < kLossCount; ++l) EXPECT_TRUE(std::isnan(loss(l, kNan, 0.5f, 1, &g))) << hpc::loss_info(l)->name;
}

// ---- Class losses with all of their settings ------------------------------------------------------------------------

struct ClassTruth {
    long double loss = 0, weight = 0;
    uint64_t counted = 0, correct = 0;
    std::vector<long double> gradient;
};

ClassTruth class_truth(int kind, const ClassLossRows& rows, const float* x) {
    ClassTruth truth;
    const int64_t n = rows.classes;
    truth.gradient.resize(static_cast<size_t>(rows.rows * n));
    for (int64_t r = 0; r < rows.rows; ++r) {
        const float* row = x + r * n;
        long double* g = truth.gradient.data() + r * n;
        const auto weight = [&](int64_t j) { return rows.class_weights ? static_cast<long double>(rows.class_weights[j]) : 1; };
        if (rows.labels && rows.ignores && rows.labels[r] == rows.ignored) continue;
        const int64_t label = rows.labels ? rows.labels[r] : 0;
        truth.counted++;
        truth.weight += rows.labels ? weight(label) : 1;
        const float* target = rows.labels ? nullptr : rows.probabilities + r * n;
        const int64_t wanted = target ? std::max_element(target, target + n) - target : label;
        truth.correct += std::max_element(row, row + n) - row == wanted;
        if (kind == HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY) {
            long double log_sum, mass = 0;
            const auto exact = exact_softmax(row, n, &log_sum);
            std::vector<long double> t(static_cast<size_t>(n));
            for (int64_t j = 0; j < n; ++j) {
                const long double given = target ? target[j] : j == label;
                const size_t at = static_cast<size_t>(j);
                t[at] = weight(j) * ((1 - static_cast<long double>(rows.alpha)) * given + static_cast<long double>(rows.alpha) / n);
                mass += t[at];
                truth.loss += t[at] * (log_sum - row[j]);
            }
            for (int64_t j = 0; j < n; ++j) {
                const size_t at = static_cast<size_t>(j);
                g[j] = (exact[at] * mass - t[at]) * rows.scale;
            }
        } else if (kind == HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD) {
            truth.loss -= weight(label) * row[label];
            g[label] = -weight(label) * rows.scale;
        } else {
            for (int64_t j = 0; j < n; ++j) {
                const long double z = static_cast<long double>(rows.alpha) - row[label] + row[j];
                if (j == label || z <= 0) continue;
                truth.loss += weight(label) * (rows.beta == 2 ? z * z : z) / n;
                g[j] = weight(label) * (rows.beta == 2 ? 2 * z : 1) / n * rows.scale;
                g[label] -= g[j];
            }
        }
    }
    return truth;
}

TEST_P(Kernel, ClassLossesAgreeWithTheTruth) {
    for (int64_t classes : kClasses) {
        for (int variant = 0; variant < 48; ++variant) {
            const int kind = variant % 3;
            const bool labelled = kind != 0 || variant % 2 == 0;
            const int64_t rows = 21;
            Random random(static_cast<uint64_t>(classes * 100 + variant));
            Guarded x(random.values(rows * classes, -4, 4)), t(random.values(rows * classes, 0, 1)), weights(random.values(classes, 0.25f, 2));
            Guarded<int32_t> labels(rows);
            for (int64_t r = 0; r < rows; ++r) labels[r] = static_cast<int32_t>(random.uniform(0, static_cast<float>(classes) - 0.5f));
            const bool ignores = labelled && variant / 6 % 2;
            if (ignores) labels[3] = labels[20] = -100;
            Guarded gradient(rows * classes), sums(std::vector<float>(static_cast<size_t>(classes), 1.0f));
            ClassLossRows all{x.data(), labelled ? labels.data() : nullptr, labelled ? nullptr : t.data(), gradient.data(), sums.data(),
                              rows, classes, 0.25f, 100, 7, 0};
            if (variant / 12 % 2) all.class_weights = weights.data();
            all.alpha = kind == 2 ? 1.0f : kind == 0 && variant / 24 ? 0.1f : 0.0f;
            all.beta = kind == 2 ? static_cast<float>(1 + variant / 24) : 0.0f;
            all.ignores = ignores, all.ignored = -100;
            ClassLossRows forward = all, over = all;
            k().class_loss[kind](all);

            const ClassTruth truth = class_truth(kind, all, x.data());
            const std::string name = std::to_string(classes) + " classes, variant " + std::to_string(variant);
            const double loss = 100 + static_cast<double>(truth.loss);
            // Up to 16 is the largest loss of a row; each rounds by some units of 2^-24.
            ASSERT_NEAR(all.loss, loss, 3e-6 * (1 + std::fabs(loss))) << name;
            ASSERT_NEAR(all.weight, static_cast<double>(truth.weight), 1e-6 * rows) << name;
            ASSERT_EQ(all.counted, truth.counted) << name;
            ASSERT_EQ(all.correct, 7 + truth.correct) << name;
            ASSERT_EQ(all.flags, 0u) << name;
            std::vector<float> expected_sums(static_cast<size_t>(classes), 1.0f);
            double mass = 4;
            for (int64_t j = 0; !labelled && j < classes; ++j) mass += static_cast<double>(t[j]) * 2;
            for (int64_t i = 0; i < rows * classes; ++i) {
                const double exact = static_cast<double>(truth.gradient[static_cast<size_t>(i)]);
                ASSERT_NEAR(gradient[i], exact, 1e-6 * mass) << name << " at " << i;
                expected_sums[static_cast<size_t>(i % classes)] += gradient[i];
            }
            for (int64_t j = 0; j < classes; ++j) {
                const float sum = expected_sums[static_cast<size_t>(j)];
                ASSERT_NEAR(sums[j], sum, 1e-6 * rows) << name;
            }

            forward.gradient = nullptr, forward.sums = nullptr;
            k().class_loss[kind](forward);
            EXPECT_EQ(forward.loss, all.loss) << name;
            EXPECT_EQ(forward.correct, all.correct) << name;
            over.gradient = x.data(), over.sums = nullptr;
            k().class_loss[kind](over);
            EXPECT_TRUE(same(x.values(), gradient.values())) << name << " in place";
        }
    }
}

TEST_P(Kernel, SquaredErrorAgreesWithTheTruth) {
    const std::vector<float> p = {1, 2, -3, 0.5f}, t = {0, 2, 1, 1};
    std::vector<float> gradient(4);
    LossElements e{p.data(), t.data(), gradient.data(), 4, 0.25f, 0, 0, 0};
    k().loss[HPC_LOSS_SQUARED_ERROR](e);
    EXPECT_EQ(e.loss, 1 + 0 + 16 + 0.25);
    EXPECT_EQ(gradient, (std::vector<float>{0.5f, 0, -2, -0.25f}));
}

// ---- Optimizer rules ------------------------------------------------------------------------------------------------

// The rules once more, written as their papers have them, in double precision.
struct ReferenceState {
    double p, s0 = 0, s1 = 0, s2 = 0;
    double square = 0, product = 1;  // what a reference keeps and the rule does not
};
using Reference = std::function<void(const std::vector<float>& h, int step, double g, ReferenceState& s)>;
const std::vector<std::pair<std::string, Reference>> kReferences = {
    {"sgd", [](const std::vector<float>& h, int, double g, ReferenceState& s) { s.p -= h[0] * g; }},
    {"momentum",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         s.s0 = step == 1 ? g : h[1] * s.s0 + (1.0 - h[2]) * g;
         s.p -= h[0] * (h[3] != 0 ? g + h[1] * s.s0 : s.s0);
     }},
    {"adam",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         const double b1 = h[1], b2 = h[2];
         s.s0 = b1 * s.s0 + (1 - b1) * g;
         s.s1 = b2 * s.s1 + (1 - b2) * g * g;
         s.p -= h[0] * (s.s0 / (1 - std::pow(b1, step))) / (std::sqrt(s.s1 / (1 - std::pow(b2, step))) + h[3]);
     }},
    {"adagrad",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         s.s0 += g * g;
         s.p -= h[0] / (1 + (step - 1) * static_cast<double>(h[1])) * g / (std::sqrt(s.s0 + h[2]) + h[3]);
     }},
    {"rmsprop",
     [](const std::vector<float>& h, int, double g, ReferenceState& s) {
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g * g;
         s.p -= h[0] * g / (std::sqrt(s.s0) + h[2]);
     }},
    {"rmsprop_momentum",
     [](const std::vector<float>& h, int, double g, ReferenceState& s) {
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g * g;
         s.s1 = h[3] * s.s1 + g / (std::sqrt(s.s0) + h[2]);
         s.p -= h[0] * s.s1;
     }},
    {"rmsprop_centered",
     [](const std::vector<float>& h, int, double g, ReferenceState& s) {
         s.square = h[1] * s.square + (1.0 - h[1]) * g * g;
         s.s1 = h[1] * s.s1 + (1.0 - h[1]) * g;
         s.s0 = s.square - s.s1 * s.s1;
         s.p -= h[0] * g / (std::sqrt(s.s0) + h[2]);
     }},
    {"rmsprop_centered_momentum",
     [](const std::vector<float>& h, int, double g, ReferenceState& s) {
         s.square = h[1] * s.square + (1.0 - h[1]) * g * g;
         s.s1 = h[1] * s.s1 + (1.0 - h[1]) * g;
         s.s0 = s.square - s.s1 * s.s1;
         s.s2 = h[3] * s.s2 + g / (std::sqrt(s.s0) + h[2]);
         s.p -= h[0] * s.s2;
     }},
    {"adadelta",
     [](const std::vector<float>& h, int, double g, ReferenceState& s) {
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g * g;
         const double delta = std::sqrt(s.s1 + h[2]) / std::sqrt(s.s0 + h[2]) * g;
         s.s1 = h[1] * s.s1 + (1.0 - h[1]) * delta * delta;
         s.p -= h[0] * delta;
     }},
    {"amsgrad",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g;
         s.s1 = h[2] * s.s1 + (1.0 - h[2]) * g * g;
         s.s2 = std::max(s.s2, s.s1);
         s.p -= h[0] * s.s0 / (1 - std::pow(static_cast<double>(h[1]), step)) /
                (std::sqrt(s.s2 / (1 - std::pow(static_cast<double>(h[2]), step))) + h[3]);
     }},
    {"adamax",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g;
         s.s1 = std::max(h[2] * s.s1, std::fabs(g) + h[3]);
         s.p -= h[0] / (1 - std::pow(static_cast<double>(h[1]), step)) * s.s0 / s.s1;
     }},
    {"nadam",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         const auto mu = [&](int t) { return h[1] * (1 - 0.5 * std::pow(0.96, t * static_cast<double>(h[4]))); };
         s.product *= mu(step);
         s.s0 = h[1] * s.s0 + (1.0 - h[1]) * g;
         s.s1 = h[2] * s.s1 + (1.0 - h[2]) * g * g;
         const double root = std::sqrt(s.s1 / (1 - std::pow(static_cast<double>(h[2]), step))) + h[3];
         s.p -= h[0] * (1 - mu(step)) / (1 - s.product) * g / root;
         s.p -= h[0] * mu(step + 1) / (1 - s.product * mu(step + 1)) * s.s0 / root;
     }},
    {"radam",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         const double b1 = h[1], b2 = h[2], correction = 1 - std::pow(b2, step);
         s.s0 = b1 * s.s0 + (1 - b1) * g;
         s.s1 = b2 * s.s1 + (1 - b2) * g * g;
         const double most = 2 / (1 - b2) - 1, rho = most - 2 * step * std::pow(b2, step) / correction;
         double length = h[0] * s.s0 / (1 - std::pow(b1, step));
         if (rho > 5) {
             length *= std::sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho));
             length *= std::sqrt(correction) / (std::sqrt(s.s1) + h[3]);
         }
         s.p -= length;
     }},
    {"rprop",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         if (step == 1) s.s1 = h[0];
         const double agreement = g * s.s0;
         s.s1 = std::min(std::max(s.s1 * (agreement > 0 ? h[2] : agreement < 0 ? h[1] : 1), static_cast<double>(h[3])),
                         static_cast<double>(h[4]));
         s.s0 = agreement < 0 ? 0 : g;
         s.p -= s.s0 > 0 ? s.s1 : s.s0 < 0 ? -s.s1 : 0;
     }},
    {"asgd",
     [](const std::vector<float>& h, int step, double g, ReferenceState& s) {
         const double rate = h[0], lambda = h[1];
         const double eta = rate / std::pow(1 + lambda * rate * (step - 1), static_cast<double>(h[2]));
         s.p = s.p * (1 - lambda * eta) - eta * g;
         s.s0 += (s.p - s.s0) / std::max(1.0, step - 1.0 - h[3]);
     }},
};
const std::vector<std::pair<std::string, std::vector<float>>> kHyperparameters = {
    {"sgd", {0.1f}},
    {"momentum", {0.1f, 0.9f, 0, 0}},
    {"momentum", {0.1f, 0.9f, 0.3f, 0}},
    {"momentum", {0.1f, 0.9f, 0, 1}},
    {"adam", {0.01f, 0.9f, 0.999f, 1e-8f}},
    {"adam", {0.01f, 0.5f, 0.9f, 1e-2f}},
    {"adam", {0.01f, 0, 0.999f, 1e-8f}},
    {"adagrad", {0.1f, 0, 0, 1e-10f}},
    {"adagrad", {0.1f, 0.25f, 2, 1e-3f}},
    {"rmsprop", {0.01f, 0.9f, 1e-8f}},
    {"rmsprop_momentum", {0.01f, 0.9f, 1e-8f, 0.8f}},
    {"rmsprop_centered", {0.01f, 0.9f, 1e-2f}},
    {"rmsprop_centered_momentum", {0.01f, 0.9f, 1e-2f, 0.8f}},
    {"adadelta", {1, 0.9f, 1e-6f}},
    {"adadelta", {0.5f, 0.75f, 1e-3f}},
    {"amsgrad", {0.01f, 0.9f, 0.75f, 1e-8f}},
    {"adamax", {0.01f, 0.9f, 0.999f, 1e-8f}},
    {"nadam", {0.01f, 0.9f, 0.999f, 1e-8f, 0.004f}},
    {"nadam", {0.01f, 0.5f, 0.9f, 1e-3f, 0.5f}},
    {"radam", {0.01f, 0.9f, 0.999f, 1e-8f}},
    {"radam", {0.01f, 0.9f, 0.5f, 1e-8f}},
    {"rprop", {0.01f, 0.5f, 1.25f, 0.005f, 0.03f}},
    {"asgd", {0.1f, 0.25f, 0.75f, 3}},
    {"asgd", {0.1f, 0.25f, 0.75f, 1e6f}},
};

int rule_of(const std::string& name) {
    for (int r = 0; r < kRuleCount; ++r) {
        if (name == hpc::rule_info(r)->name) return r;
    }
    return -1;
}

TEST(Rules, EachHasAReference) {
    for (int r = 0; r < kRuleCount; ++r) {
        const std::string name = hpc::rule_info(r)->name;
        EXPECT_TRUE(std::any_of(kReferences.begin(), kReferences.end(), [&](const auto& row) { return row.first == name; })) << name;
        EXPECT_TRUE(std::any_of(kHyperparameters.begin(), kHyperparameters.end(), [&](const auto& row) { return row.first == name; })) << name;
    }
}

// A negative learning rate does with g what a positive one does with -g. The signs of odd states differ, parameters do not.
TEST_P(Kernel, RulesClimb) {
    for (const auto& [name, hyperparameters] : kHyperparameters) {
        const int rule = rule_of(name);
        const int64_t n = 37;
        Random random(9);
        Guarded down(random.values(n)), up(down.values()), g(n), minus(n);
        std::vector<std::unique_ptr<Guarded<float>>> states;
        for (int s = 0; s < 2 * HPC_MAX_STATES; ++s)
            states.push_back(std::make_unique<Guarded<float>>(std::vector<float>(static_cast<size_t>(n))));
        std::vector<float> climbing = hyperparameters;
        climbing[0] = -climbing[0];
        for (int step = 1; step <= 8; ++step) {
            const std::vector<float> gradients = random.values(n);
            for (int64_t i = 0; i < n; ++i) {
                g.data()[i] = gradients[static_cast<size_t>(i)];
                minus.data()[i] = -gradients[static_cast<size_t>(i)];
            }
            UpdateElements e{down.data(), minus.data(), {}, n, {}}, f{up.data(), g.data(), {}, n, {}};
            for (int s = 0; s < HPC_MAX_STATES; ++s) {
                e.states[s] = states[static_cast<size_t>(s)]->data();
                f.states[s] = states[static_cast<size_t>(s + HPC_MAX_STATES)]->data();
            }
            hpc::prepare_rule(rule)(hyperparameters.data(), static_cast<uint64_t>(step), e.h);
            hpc::prepare_rule(rule)(climbing.data(), static_cast<uint64_t>(step), f.h);
            k().update[rule](e);
            k().update[rule](f);
            ASSERT_TRUE(same(down.values(), up.values())) << name << " step " << step;
        }
    }
}

// What a float was written as, not what it is, decides what is left of 1.
TEST(Rules, DecaysAreTakenAsWritten) {
    const float hyperparameters[] = {0.01f, 0.999f, 1e-8f};
    float h[12] = {};
    hpc::prepare_rule(HPC_RULE_RMSPROP)(hyperparameters, 1, h);
    EXPECT_EQ(h[2], 0.001f);
}

TEST_P(Kernel, OtherNormsSurviveWhatSquaresDoNot) {
    Random random(3);
    for (int64_t n = 0; n <= kMostRagged; ++n) {
        Guarded x(random.values(n));
        double sum = 0, largest = 0;
        for (int64_t i = 0; i < n; ++i) {
            sum += std::fabs(static_cast<double>(x[i]));
            largest = std::max(largest, std::fabs(static_cast<double>(x[i])));
        }
        EXPECT_NEAR(k().sum_of_magnitudes(x.data(), n), sum, 1e-12 * (1 + sum));
        EXPECT_EQ(k().largest_magnitude(x.data(), n), static_cast<float>(largest));
    }
    const float huge[] = {3e38f, -3e38f, 3e38f};
    EXPECT_EQ(k().sum_of_magnitudes(huge, 3), 3 * static_cast<double>(3e38f));
    const float odd[] = {1, -INFINITY, 2}, none[] = {1, NAN, INFINITY, 2};
    EXPECT_EQ(k().largest_magnitude(odd, 3), INFINITY);
    EXPECT_TRUE(std::isnan(k().largest_magnitude(none, 4)));
}

TEST_P(Kernel, ClippingAndPenaltiesGoElementByElement) {
    Random random(4);
    for (int64_t n = 0; n <= kMostRagged; ++n) {
        Guarded x(random.values(n)), y(random.values(n)), clipped(x.values());
        if (n > 2) x.data()[1] = 0, x.data()[2] = -0.0f, clipped.data()[0] = NAN;
        const std::vector<float> before = y.values(), input = clipped.values();
        k().clip(clipped.data(), n, 0.5f);
        k().add_penalty(x.data(), y.data(), n, n % 2 ? 0.25f : -0.25f, 0.125f);
        for (int64_t i = 0; i < n; ++i) {
            const float v = input[static_cast<size_t>(i)];
            if (std::isnan(v)) {
                EXPECT_TRUE(std::isnan(clipped[i]));
            } else {
                EXPECT_EQ(clipped[i], std::min(std::max(v, -0.5f), 0.5f));
            }
            const double sign = x[i] > 0 ? 1 : x[i] < 0 ? -1 : 0;
            EXPECT_NEAR(y[i], before[static_cast<size_t>(i)] + (n % 2 ? 0.25 : -0.25) * sign + 0.125 * x[i], 1e-6);
        }
    }
}

TEST_P(Kernel, ColumnsAreLimitedToTheirNorm) {
    Random random(6);
    for (int64_t rows : {1, 5, 64, 65, 300}) {
        for (int64_t columns = 1; columns <= kMostRagged; columns += columns < 20 ? 1 : 13) {
            Guarded x(random.values(rows * columns));
            // One column whose squares overflow, one whose squares vanish, one of zeros.
            for (int64_t r = 0; r < rows; ++r) {
                if (columns > 3) {
                    x.data()[r * columns] *= 1e30f;
                    x.data()[r * columns + 1] *= 1e-30f;
                    x.data()[r * columns + 2] = 0;
                }
            }
            const std::vector<float> before = x.values();
            const double limit = 2.5;
            k().limit_column_norms(x.data(), columns, rows, columns, static_cast<float>(limit));
            for (int64_t c = 0; c < columns; ++c) {
                double square = 0;
                for (int64_t r = 0; r < rows; ++r) square += std::pow(static_cast<double>(before[static_cast<size_t>(r * columns + c)]), 2);
                const double norm = std::sqrt(square), factor = norm > limit ? limit / (norm + 1e-7) : 1;
                for (int64_t r = 0; r < rows; ++r) {
                    const double expected = before[static_cast<size_t>(r * columns + c)] * factor;
                    ASSERT_NEAR(x[r * columns + c], expected, 1e-6 * std::fabs(expected)) << rows << " x " << columns << ", column " << c;
                }
            }
        }
    }
}

TEST_P(Kernel, WhatIsDroppedIsRestored) {
    const int64_t n = 1000;
    Random random(8);
    Guarded x(random.values(n)), y(random.values(n)), u(n);
    const std::vector<float> after = y.values();
    k().philox_uniform(u.data(), 8, n, 5, 6, 0, 1);
    k().restore_dropped(x.data(), y.data(), 8, n, 5, 6, 0.25f);
    for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], u[i] < 0.25f ? x[i] : after[static_cast<size_t>(i)]) << i;
}

TEST_P(Kernel, RulesAgreeWithTheirPapers) {
    for (const auto& [name, hyperparameters] : kHyperparameters) {
        const int rule = rule_of(name);
        ASSERT_GE(rule, 0) << name;
        Reference reference;
        for (const auto& [other, function] : kReferences) {
            if (other == name) reference = function;
        }
        const int64_t n = 67;
        Random random(5);
        Guarded p(random.values(n)), g(n), s0(std::vector<float>(static_cast<size_t>(n))),
            s1(std::vector<float>(static_cast<size_t>(n))), s2(std::vector<float>(static_cast<size_t>(n)));
        std::vector<ReferenceState> states;
        for (int64_t i = 0; i < n; ++i) states.push_back({p[i]});
        for (int step = 1; step <= 20; ++step) {
            const std::vector<float> gradients = random.values(n);
            std::copy(gradients.begin(), gradients.end(), g.data());
            UpdateElements e{p.data(), g.data(), {s0.data(), s1.data(), s2.data(), nullptr}, n, {}};
            hpc::prepare_rule(rule)(hyperparameters.data(), static_cast<uint64_t>(step), e.h);
            k().update[rule](e);
            for (int64_t i = 0; i < n; ++i) {
                ReferenceState& s = states[static_cast<size_t>(i)];
                reference(hyperparameters, step, g[i], s);
                ASSERT_NEAR(p[i], s.p, 5e-6 * (1 + std::fabs(s.p))) << name << " step " << step;
                ASSERT_NEAR(s0[i], s.s0, 5e-6 * (1 + std::fabs(s.s0))) << name << " step " << step;
                ASSERT_NEAR(s1[i], s.s1, 5e-6 * (1 + std::fabs(s.s1))) << name << " step " << step;
            }
        }
    }
}

TEST_P(Kernel, RaggedRulesHaveTheScalarBits) {
    for (int rule = 0; rule < kRuleCount; ++rule) {
        const hpc_rule_info* info = hpc::rule_info(rule);
        for (int64_t n = 0; n <= kMostRagged; ++n) {
            Random random(static_cast<uint64_t>(n));
            Guarded p(random.values(n)), g(random.values(n)), p0(p.values());
            std::vector<std::unique_ptr<Guarded<float>>> states, states0;
            UpdateElements e{p.data(), g.data(), {}, n, {}}, e0{p0.data(), g.data(), {}, n, {}};
            for (int s = 0; s < info->state_count; ++s) {
                states.push_back(std::make_unique<Guarded<float>>(random.values(n, 0, 1)));
                states0.push_back(std::make_unique<Guarded<float>>(states.back()->values()));
                e.states[s] = states.back()->data();
                e0.states[s] = states0.back()->data();
            }
            std::vector<float> hyperparameters(HPC_MAX_HYPERPARAMETERS, 0.25f);
            hpc::prepare_rule(rule)(hyperparameters.data(), 3, e.h);
            std::copy(std::begin(e.h), std::end(e.h), e0.h);
            k().update[rule](e);
            scalar().update[rule](e0);
            ASSERT_TRUE(same(p.values(), p0.values())) << info->name << " " << n;
            for (int s = 0; s < info->state_count; ++s) {
                ASSERT_TRUE(same(states[static_cast<size_t>(s)]->values(), states0[static_cast<size_t>(s)]->values()));
            }
        }
    }
}

TEST(Rules, AdamCorrectsForLongRuns) {
    const float hyperparameters[] = {0.001f, 0.9f, 0.999f, 1e-8f};
    for (uint64_t step : {uint64_t{1}, uint64_t{10}, uint64_t{1000}, uint64_t{100000}, uint64_t{1} << 40}) {
        float h[12] = {};
        hpc::prepare_rule(HPC_RULE_ADAM)(hyperparameters, step, h);
        const double b1 = 1 - std::pow(0.9, static_cast<double>(step));
        const double b2 = 1 - std::pow(0.999, static_cast<double>(step));
        EXPECT_FLOAT_EQ(h[0], static_cast<float>(0.001 / b1));
        EXPECT_FLOAT_EQ(h[5], static_cast<float>(1 / std::sqrt(b2)));
    }
}

// ---- Random numbers -------------------------------------------------------------------------------------------------

TEST_P(Kernel, UniformsHaveTheScalarBitsAtEveryPlace) {
    const int64_t most = 300;
    for (uint64_t start : {uint64_t{0}, uint64_t{4}, (uint64_t{1} << 34) - 16, uint64_t{1} << 60}) {
        std::vector<float> expected(static_cast<size_t>(most));
        scalar().philox_uniform(expected.data(), start, most, 12345678901234u, 42, -0.5f, 0.25f);
        for (float u : expected) {
            ASSERT_GE(u, -0.5f);
            ASSERT_LE(u, 0.25f);
        }
        for (int64_t n = 0; n <= most; n = n < 70 ? n + 1 : n + 23) {
            Guarded x(n);
            k().philox_uniform(x.data(), start, n, 12345678901234u, 42, -0.5f, 0.25f);
            ASSERT_TRUE(same(x.values(), std::vector<float>(expected.begin(), expected.begin() + n))) << n;
        }
        for (int64_t first = 0; first < 100; first += 4) {
            Guarded x(most - first);
            k().philox_uniform(x.data(), start + static_cast<uint64_t>(first), most - first, 12345678901234u, 42, -0.5f,
                               0.25f);
            ASSERT_TRUE(same(x.values(), std::vector<float>(expected.begin() + first, expected.end()))) << first;
        }
    }
}

TEST_P(Kernel, UniformsAreTheUpperBitsOfTheWords) {
    Guarded x(4);
    k().philox_uniform(x.data(), 0, 4, 0, 0, 0, 1);
    const uint32_t words[] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
    for (int i = 0; i < 4; ++i) EXPECT_EQ(x[i], static_cast<float>(words[i] >> 8) / 16777216.0f);
}

TEST_P(Kernel, DropoutKeepsByTheUniforms) {
    for (int64_t n = 0; n <= 200; n = n < 70 ? n + 1 : n + 31) {
        Guarded x(Random(static_cast<uint64_t>(n)).values(n)), y(n), u(n);
        const float rate = 0.3f;
        k().dropout(x.data(), y.data(), 8, n, 5, 6, rate);
        k().philox_uniform(u.data(), 8, n, 5, 6, 0, 1);
        for (int64_t i = 0; i < n; ++i) {
            ASSERT_EQ(word_of(y[i]), word_of(u[i] < rate ? 0.0f : x[i] / (1 - rate)));
        }
        const std::vector<float> expected = y.values();
        k().dropout(x.data(), x.data(), 8, n, 5, 6, rate);
        ASSERT_TRUE(same(x.values(), expected));
    }
    std::vector<float> nan(64, kNan), y(64), same_as(64, 2.0f), z(64);
    k().dropout(nan.data(), y.data(), 0, 64, 1, 1, 0.5f);
    EXPECT_TRUE(std::any_of(y.begin(), y.end(), [](float v) { return v == 0; })) << "a dropped NaN is 0";
    k().dropout(same_as.data(), z.data(), 0, 64, 1, 1, 0.0f);
    EXPECT_EQ(z, same_as);
}

TEST_P(Kernel, AffineDropoutDropsByTheUniforms) {
    const float rate = 0.3f, scale = 1.25f, shift = -0.5f, dropped = 2.75f;
    for (int64_t n = 0; n <= 200; n = n < 70 ? n + 1 : n + 31) {
        Guarded x(Random(static_cast<uint64_t>(n)).values(n)), y(n), u(n);
        k().affine_dropout(x.data(), y.data(), 8, n, 5, 6, rate, scale, shift, dropped);
        k().philox_uniform(u.data(), 8, n, 5, 6, 0, 1);
        for (int64_t i = 0; i < n; ++i) ASSERT_EQ(y[i], u[i] < rate ? dropped : std::fma(scale, x[i], shift)) << i << " of " << n;
        const std::vector<float> expected = y.values();
        k().affine_dropout(x.data(), x.data(), 8, n, 5, 6, rate, scale, shift, dropped);
        ASSERT_TRUE(same(x.values(), expected));
    }
    std::vector<float> nan(64, kNan), y(64), two(64, 2.0f);
    k().affine_dropout(nan.data(), y.data(), 0, 64, 1, 1, 0.5f, 1, 0, 3);
    EXPECT_TRUE(std::any_of(y.begin(), y.end(), [](float v) { return v == 3; })) << "a dropped NaN is gone";
    EXPECT_TRUE(std::any_of(y.begin(), y.end(), [](float v) { return std::isnan(v); })) << "a kept NaN is not";
    k().affine_dropout(two.data(), y.data(), 0, 64, 1, 1, 0, 1, 0, kNan);
    EXPECT_EQ(y, two);
}

TEST_P(Kernel, GaussianNoiseIsTheQuantileOfTheUniforms) {
    const float deviation = 0.75f;
    for (int64_t n = 0; n <= 200; n = n < 70 ? n + 1 : n + 31) {
        Guarded x(Random(static_cast<uint64_t>(n)).values(n)), y(n), u(n), oracle(n);
        k().gaussian_noise(x.data(), y.data(), 8, n, 5, 6, deviation);
        k().philox_uniform(u.data(), 8, n, 5, 6, 0, 1);
        for (int64_t i = 0; i < n; ++i) {
            // The quantile is good to 1e-6 of itself (formulas_test), and the sum is rounded once.
            const double noise = deviation * formula_test::normal_truth(u[i]), exact = x[i] + noise;
            ASSERT_NEAR(y[i], exact, 1e-6 * std::fabs(noise) + 0x1p-24 * std::fabs(exact)) << i << " of " << n;
        }
        scalar().gaussian_noise(x.data(), oracle.data(), 8, n, 5, 6, deviation);
        ASSERT_TRUE(same(y.values(), oracle.values()));
        const std::vector<float> expected = y.values();
        k().gaussian_noise(x.data(), x.data(), 8, n, 5, 6, deviation);
        ASSERT_TRUE(same(x.values(), expected));
        k().gaussian_noise(x.data(), y.data(), 8, n, 5, 6, 0);
        ASSERT_TRUE(same(y.values(), expected)) << "no deviation";
    }
}

TEST_P(Kernel, FmaLoopCountsItsOperations) {
    float sink = 0;
    const double operations = k().fma_loop(1000, &sink);
    EXPECT_EQ(operations, 1000 * k().fma_loop(1, &sink));
    // Two for each multiply-add of at least twelve vectors.
    EXPECT_GE(operations, 1000.0 * 2 * 12 * k().lanes);
    EXPECT_TRUE(std::isfinite(sink));
    EXPECT_NEAR(sink, 12.0f, 2.0f);
}

}  // namespace
