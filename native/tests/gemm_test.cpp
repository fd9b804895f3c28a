// The tile product of every instruction set that this processor has: right against double precision, the same bits
// however a product is cut into tiles, every element through the epilogue once and in row order, no memory touched
// outside.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/gemm_plan.h"

namespace {

using namespace hpc::cpu;

constexpr float kGap = 1234.5f;  // what stands between the rows of C
const float kNaN = std::numeric_limits<float>::quiet_NaN();

const char* name_of(Form form) { return form == Form::NN ? "NN" : form == Form::NT ? "NT" : "TN"; }
constexpr Form kForms[] = {Form::NN, Form::NT, Form::TN};

std::vector<const Kernels*> supported_kernels() {
    std::vector<const Kernels*> list;
    for (const IsaEntry& isa : known_isas()) {
        if (isa.supported) list.push_back(isa.kernels);
    }
    return list;
}

// Packing memory, aligned, filled with NaN, with a guard on both sides.
class Scratch {
public:
    explicit Scratch(const Kernels& kernels) : bytes_(kernels.gemm_scratch_bytes), memory_(bytes_ + 3 * kGuard) {
        const auto address = reinterpret_cast<uintptr_t>(memory_.data()) + kGuard;
        start_ = memory_.data() + kGuard + (64 - address % 64) % 64;
        std::memset(memory_.data(), 0xff, memory_.size());
    }
    void* data() { return start_; }
    bool intact() const {
        const auto filled = [](const unsigned char* begin, const unsigned char* end) {
            return std::all_of(begin, end, [](unsigned char byte) { return byte == 0xff; });
        };
        return filled(memory_.data(), start_) && filled(start_ + bytes_, memory_.data() + memory_.size());
    }

private:
    static constexpr size_t kGuard = 128;
    size_t bytes_;
    std::vector<unsigned char> memory_;
    unsigned char* start_;
};

// A matrix of its own allocation, exactly as long as its last element: an address sanitizer sees every step beyond.
struct Matrix {
    int64_t rows, columns, ld;
    std::vector<float> data;

    Matrix(int64_t r, int64_t c, int64_t gap, float filler)
        : rows(r), columns(c), ld(c + gap), data(r > 0 ? static_cast<size_t>((r - 1) * ld + c) : 0, filler) {
        data.shrink_to_fit();
    }
    float& at(int64_t i, int64_t j) { return data[static_cast<size_t>(i * ld + j)]; }
    float at(int64_t i, int64_t j) const { return data[static_cast<size_t>(i * ld + j)]; }
    void randomize(std::mt19937& random) {
        std::uniform_real_distribution<float> uniform(-1, 1);
        for (int64_t i = 0; i < rows; i++) {
            for (int64_t j = 0; j < columns; j++) at(i, j) = uniform(random);
        }
    }
};

// A product with its operands; what lies between their rows is NaN.
struct Problem {
    Form form;
    int64_t m, n, k;
    Matrix a, b;

    Problem(Form f, int64_t rows, int64_t columns, int64_t depth, int64_t gap, unsigned seed)
        : form(f),
          m(rows),
          n(columns),
          k(depth),
          a(f == Form::TN ? depth : rows, f == Form::TN ? rows : depth, gap, kNaN),
          b(f == Form::NT ? columns : depth, f == Form::NT ? depth : columns, gap, kNaN) {
        std::mt19937 random(seed);
        a.randomize(random);
        b.randomize(random);
    }
    float a_at(int64_t i, int64_t p) const { return form == Form::TN ? a.at(p, i) : a.at(i, p); }
    float b_at(int64_t p, int64_t j) const { return form == Form::NT ? b.at(j, p) : b.at(p, j); }

    GemmTile tile(const GemmPlan::Tile& at, Matrix& c, Epilogue* epilogue, GemmPath path) const {
        const float* a0 = a.data.data() + (form == Form::TN ? at.row : at.row * a.ld);
        const float* b0 = b.data.data() + (form == Form::NT ? at.column * b.ld : at.column);
        return {form, at.m,     at.n,   k,         a0,  a.ld, b0, b.ld, c.data.data() + at.row * c.ld + at.column,
                c.ld, epilogue, at.row, at.column, path};
    }
    GemmTile whole(Matrix& c, Epilogue* epilogue, GemmPath path) const {
        return tile({0, 0, m, n}, c, epilogue, path);
    }
};

// The paths that a product of this shape may take.
std::vector<GemmPath> paths(const Problem& p) {
    std::vector<GemmPath> list = {GemmPath::Sequential};
    if ((p.form == Form::NT && p.m <= kDotRows) || (p.form == Form::NN && p.n <= kDotColumns))
        list.push_back(GemmPath::Dot);
    return list;
}

void expect_right(const Problem& p, const Matrix& c, const std::string& what) {
    for (int64_t i = 0; i < p.m; i++) {
        for (int64_t j = 0; j < p.n; j++) {
            double sum = 0, magnitude = 0;
            for (int64_t q = 0; q < p.k; q++) {
                const double product = static_cast<double>(p.a_at(i, q)) * static_cast<double>(p.b_at(q, j));
                sum += product;
                magnitude += std::fabs(product);
            }
            const double unit = static_cast<double>(p.k + 1) * 0x1p-24;
            const double bound = unit / (1 - unit) * magnitude + 1e-37;
            ASSERT_LE(std::fabs(static_cast<double>(c.at(i, j)) - sum), bound) << what << " at " << i << ", " << j;
        }
    }
}

void expect_gaps(const Matrix& c, const std::string& what) {
    for (int64_t i = 0; i + 1 < c.rows; i++) {
        for (int64_t j = c.columns; j < c.ld; j++) ASSERT_EQ(c.data[static_cast<size_t>(i * c.ld + j)], kGap) << what;
    }
}

bool same_bits(const Matrix& x, const Matrix& y) {
    return x.data.size() == y.data.size() && std::memcmp(x.data.data(), y.data.data(), x.data.size() * 4) == 0;
}

class Gemm : public testing::TestWithParam<const Kernels*> {
protected:
    const Kernels& kernels = *GetParam();
    Scratch scratch{*GetParam()};

    std::string describe(const Problem& p, GemmPath path) const {
        return std::string(kernels.isa) + " " + name_of(p.form) + " " + std::to_string(p.m) + " x " +
               std::to_string(p.n) + " x " + std::to_string(p.k) + (path == GemmPath::Dot ? " dot" : "");
    }
    Matrix run_whole(const Problem& p, GemmPath path, int64_t gap) {
        Matrix c(p.m, p.n, gap, kGap);
        kernels.gemm(p.whole(c, nullptr, path), scratch.data());
        return c;
    }
    void check(const Problem& p, int64_t gap) {
        for (const GemmPath path : paths(p)) {
            const std::string what = describe(p, path);
            const Matrix c = run_whole(p, path, gap);
            expect_right(p, c, what);
            expect_gaps(c, what);
            if (p.form == Form::NN && path == GemmPath::Sequential) {
                const std::vector<float> panels = packed(p);
                Matrix from_panels(p.m, p.n, gap, kGap);
                kernels.gemm(with_panels(p.whole(from_panels, nullptr, path), panels), scratch.data());
                ASSERT_TRUE(same_bits(c, from_panels)) << what << " packed";
            }
            ASSERT_TRUE(scratch.intact()) << what;
        }
    }
    std::vector<float> packed(const Problem& p) const {
        const int64_t width = (p.n + kernels.blocks.nr - 1) / kernels.blocks.nr * kernels.blocks.nr;
        std::vector<float> panels(static_cast<size_t>(p.k * width), kNaN);
        kernels.pack_panels(p.b.data.data(), p.b.ld, p.k, p.n, panels.data());
        return panels;
    }
    // The tile with its B from the panels alone.
    static GemmTile with_panels(GemmTile tile, const std::vector<float>& panels) {
        tile.panels = panels.data() + tile.col * tile.k;
        tile.b = nullptr;
        return tile;
    }
};

TEST_P(Gemm, SmallShapes) {
    const int64_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16, 17, 28, 29, 31, 32, 33, 40};
    const int64_t depths[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 23, 40};
    unsigned seed = 0;
    for (const Form form : kForms) {
        for (const int64_t m : sizes) {
            for (const int64_t n : sizes) {
                const int64_t k = depths[seed % std::size(depths)];
                const int64_t gap = seed % 4 ? 0 : 3;
                check(Problem(form, m, n, k, gap, seed), gap);
                seed++;
                if (HasFatalFailure()) return;
            }
        }
    }
}

TEST_P(Gemm, EveryDepth) {
    for (const Form form : kForms) {
        for (int64_t k = 1; k <= 70; k++) {
            check(Problem(form, 5, 37, k, 1, static_cast<unsigned>(k)), 2);
            check(Problem(form, 31, 3, k, 0, static_cast<unsigned>(k)), 0);
            if (HasFatalFailure()) return;
        }
    }
}

TEST_P(Gemm, LargeAndNarrowShapes) {
    struct Shape {
        int64_t m, n, k;
    };
    const Shape shapes[] = {{97, 101, 103}, {127, 131, 397}, {61, 67, 769},  {128, 10, 256}, {200, 1, 900},
                            {211, 2, 401},  {300, 4, 1000},  {1, 300, 500},  {2, 257, 385},  {3, 200, 384},
                            {6, 129, 383},  {16, 150, 800},  {17, 150, 800}, {40, 1100, 33}, {33, 64, 1024},
                            {1, 1, 3000},   {1030, 5, 3},    {29, 530, 7},   {784, 3, 40},   {90, 33, 1025},
                            {128, 20, 600},  {50, 7, 300},   {77, 25, 1000}};
    unsigned seed = 1;
    for (const Form form : kForms) {
        for (const Shape& shape : shapes) {
            check(Problem(form, shape.m, shape.n, shape.k, seed % 3, seed), seed % 2 ? 0 : 5);
            seed++;
            if (HasFatalFailure()) return;
        }
    }
}

// Rows a page apart take other routes inside (what competes for the same cache lines is packed).
TEST_P(Gemm, RowsAPageApart) {
    for (const Form form : kForms) {
        for (const int64_t gap : {1024, 1000, 2048}) {
            check(Problem(form, 15, 37, 24, gap - 24, 7), 0);
            check(Problem(form, 30, 70, 24, gap - 24, 8), 1);
            if (HasFatalFailure()) return;
        }
    }
}

TEST_P(Gemm, BitsDoNotDependOnTheTiles) {
    struct Shape {
        int64_t m, n, k;
    };
    const Shape shapes[] = {{1, 200, 50},   {4, 70, 1000}, {7, 45, 33},   {16, 100, 130}, {40, 40, 40},  {64, 96, 385},
                            {128, 10, 256}, {130, 3, 500}, {130, 1, 770}, {100, 530, 20}, {75, 61, 900}, {260, 2, 30}};
    std::mt19937 random(5);
    const auto up_to = [&](int64_t limit) { return 1 + static_cast<int64_t>(random() % static_cast<unsigned>(limit)); };
    for (const Form form : kForms) {
        for (const Shape& shape : shapes) {
            const Problem p(form, shape.m, shape.n, shape.k, shape.m % 2, 11);
            for (const GemmPath path : paths(p)) {
                const Matrix expected = run_whole(p, path, 1);
                for (int round = 0; round < 6; round++) {
                    // Ragged rows of tiles, each cut into ragged columns; the last rounds are cut finely.
                    Matrix c(p.m, p.n, 1, kGap);
                    const int64_t height = round < 3 ? p.m : 5, width = round < 3 ? p.n : 20;
                    int64_t rows = 0, columns = 0;
                    for (int64_t i = 0; i < p.m; i += rows) {
                        rows = std::min(up_to(height), p.m - i);
                        for (int64_t j = 0; j < p.n; j += columns) {
                            columns = std::min(up_to(width), p.n - j);
                            kernels.gemm(p.tile({i, j, rows, columns}, c, nullptr, path), scratch.data());
                        }
                    }
                    ASSERT_TRUE(same_bits(expected, c)) << describe(p, path);
                }
            }
        }
    }
}

TEST_P(Gemm, PlannedTilesGiveTheBitsOfTheWhole) {
    struct Shape {
        int64_t m, n, k;
    };
    const Shape shapes[] = {{128, 512, 784}, {256, 10, 128}, {16, 512, 512},
                            {1, 512, 784},   {500, 3, 300},  {333, 77, 210}};
    for (const Form form : kForms) {
        for (const Shape& shape : shapes) {
            const Problem p(form, shape.m, shape.n, shape.k, 0, 3);
            const GemmPlan plan = plan_gemm(form, p.m, p.n, p.k, kernels.blocks, false);
            if (plan.splits > 1) continue;
            const Matrix expected = run_whole(p, plan.path, 0);
            Matrix c(p.m, p.n, 0, kGap);
            for (int64_t i = 0; i < plan.tiles(p.m, p.n); i++) {
                kernels.gemm(p.tile(plan.tile(i, p.m, p.n), c, nullptr, plan.path), scratch.data());
            }
            ASSERT_TRUE(same_bits(expected, c)) << describe(p, plan.path);
        }
    }
}

// Sees every piece: counts its elements, checks that they are the finished product, remembers the order of the rows.
struct Witness : Epilogue {
    const Matrix* whole = nullptr;
    Matrix* result = nullptr;
    int64_t row0 = 0, column0 = 0;
    std::vector<int> seen;
    std::vector<int64_t> next;  // for each column the row that has to come now
    bool right = true;

    static void look(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                     int64_t cols) {
        Witness& witness = const_cast<Witness&>(static_cast<const Witness&>(self));
        const int64_t i0 = row - witness.row0, j0 = col - witness.column0;
        witness.right = witness.right && i0 >= 0 && j0 >= 0 && rows > 0 && cols > 0 &&
                        i0 + rows <= witness.whole->rows && j0 + cols <= witness.whole->columns &&
                        ldc == witness.result->ld && c == witness.result->data.data() + i0 * ldc + j0;
        if (!witness.right) return;
        for (int64_t j = 0; j < cols; j++) {
            const size_t column = static_cast<size_t>(j0 + j);
            if (witness.next[column] != i0) witness.right = false;
            witness.next[column] = i0 + rows;
            for (int64_t i = 0; i < rows; i++) {
                const float element = self.product ? self.product[i * self.ldproduct + j] : c[i * ldc + j];
                const float expected = witness.whole->at(i0 + i, j0 + j);
                if (std::memcmp(&element, &expected, 4) != 0) witness.right = false;
                c[i * ldc + j] = 2 * element + 1;
                witness.seen[column]++;
            }
        }
    }
};

TEST_P(Gemm, EpilogueSeesEveryElementOnceInRowOrder) {
    struct Shape {
        int64_t m, n, k;
    };
    const Shape shapes[] = {{1, 1, 1},     {4, 8, 2},     {8, 1, 4},    {33, 70, 9}, {128, 10, 256},
                            {5, 300, 40},  {16, 90, 400}, {70, 3, 900}, {1, 600, 2}, {150, 45, 12},
                            {65, 1030, 3}, {64, 64, 0},   {100, 2, 64}, {20, 1024, 31}, {90, 2040, 5}, {9, 1024, 600},
                            {128, 20, 600}, {50, 7, 300}};
    for (const Form form : kForms) {
        for (const Shape& shape : shapes) {
            const Problem p(form, shape.m, shape.n, shape.k, 0, 17);
            for (const GemmPath path : paths(p)) {
                const Matrix product = run_whole(p, path, 2);
                Matrix c(p.m, p.n, 2, kGap);
                Witness witness;
                witness.apply = Witness::look;
                witness.whole = &product;
                witness.result = &c;
                witness.row0 = 1000;
                witness.column0 = 50;
                witness.seen.assign(static_cast<size_t>(p.n), 0);
                witness.next.assign(static_cast<size_t>(p.n), 0);
                GemmTile tile = p.whole(c, &witness, path);
                tile.row = witness.row0;
                tile.col = witness.column0;
                kernels.gemm(tile, scratch.data());
                EXPECT_TRUE(witness.right) << describe(p, path);
                // More rows of C a page apart than stay in a first-level cache are not written before their epilogue.
                const bool apart = witness.product != nullptr;
                EXPECT_EQ(apart, std::strcmp(kernels.isa, "avx512") == 0 && path == GemmPath::Sequential && shape.m > 7 && shape.n >= 1024 &&
                                     shape.k < 32)
                    << describe(p, path);
                for (const int count : witness.seen) EXPECT_EQ(count, p.m) << describe(p, path);
                for (int64_t i = 0; i < p.m; i++) {
                    for (int64_t j = 0; j < p.n; j++)
                        ASSERT_EQ(c.at(i, j), 2 * product.at(i, j) + 1) << describe(p, path);
                }
                expect_gaps(c, describe(p, path));
            }
        }
    }
}

TEST_P(Gemm, NoDepthGivesZeros) {
    for (const Form form : kForms) {
        const Problem p(form, 9, 21, 0, 0, 1);
        for (const GemmPath path : paths(p)) {
            const Matrix c = run_whole(p, path, 1);
            for (int64_t i = 0; i < p.m; i++) {
                for (int64_t j = 0; j < p.n; j++) ASSERT_EQ(c.at(i, j), 0);
            }
            expect_gaps(c, describe(p, path));
        }
    }
}

TEST_P(Gemm, NoRowsOrNoColumnsTouchNothing) {
    for (const Form form : kForms) {
        float c = kGap;
        const GemmTile tile{form, 0, 5, 3, nullptr, 3, nullptr, 5, &c, 5, nullptr, 0, 0};
        kernels.gemm(tile, scratch.data());
        const GemmTile other{form, 5, 0, 3, nullptr, 3, nullptr, 5, &c, 5, nullptr, 0, 0};
        kernels.gemm(other, scratch.data());
        EXPECT_EQ(c, kGap);
    }
}

// What is not finite stays in its row of A and its column of B, also where kernels work on padded panels.
TEST_P(Gemm, NotFiniteStaysInItsRowAndColumn) {
    for (const Form form : kForms) {
        for (const auto& [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{45, 41, 50}, {3, 41, 50}, {45, 3, 80}}) {
            Problem p(form, m, n, k, 0, 23);
            (form == Form::TN ? p.a.at(1, 2) : p.a.at(2, 1)) = kNaN;
            (form == Form::NT ? p.b.at(n - 1, 3) : p.b.at(3, n - 1)) = std::numeric_limits<float>::infinity();
            for (const GemmPath path : paths(p)) {
                const Matrix c = run_whole(p, path, 0);
                for (int64_t i = 0; i < m; i++) {
                    for (int64_t j = 0; j < n; j++) {
                        ASSERT_EQ(std::isfinite(c.at(i, j)), i != 2 && j != n - 1)
                            << describe(p, path) << " at " << i << ", " << j;
                    }
                }
            }
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Isa, Gemm, testing::ValuesIn(supported_kernels()),
                         [](const testing::TestParamInfo<const Kernels*>& isa) { return isa.param->isa; });

// ---- Plans -------------------------------------------------------------------------------------------------------

TEST(GemmPlan, CoversEveryElementOnce) {
    for (const Kernels* kernels : supported_kernels()) {
        for (const Form form : kForms) {
            for (const bool blas : {false, true}) {
                for (const auto& [m, n, k] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                              {128, 512, 784},
                                              {1, 5000, 700},
                                              {5000, 1, 700},
                                              {4, 32, 10000},
                                              {3000, 700, 1},
                                              {33, 2000, 64},
                                              {1500, 1500, 1500}}) {
                    const GemmPlan plan = plan_gemm(form, m, n, k, kernels->blocks, blas);
                    std::vector<char> seen(static_cast<size_t>(m * n), 0);
                    for (int64_t i = 0; i < plan.tiles(m, n); i++) {
                        const GemmPlan::Tile at = plan.tile(i, m, n);
                        ASSERT_TRUE(at.m > 0 && at.n > 0 && at.row + at.m <= m && at.column + at.n <= n);
                        ASSERT_LE(at.m, std::max(kernels->blocks.tile_m, kMinGemmRows));
                        for (int64_t r = 0; r < at.m; r++) {
                            for (int64_t c = 0; c < at.n; c++)
                                seen[static_cast<size_t>((at.row + r) * n + at.column + c)]++;
                        }
                    }
                    ASSERT_TRUE(std::all_of(seen.begin(), seen.end(), [](char count) { return count == 1; }));
                    ASSERT_GE(plan.splits * plan.split_k, k);
                    ASSERT_LT((plan.splits - 1) * plan.split_k, k);
                    if (form != Form::TN) {
                        ASSERT_EQ(plan.splits, 1);
                    }
                    if (plan.row_tiles(m) > 1) {
                        ASSERT_GE(plan.tile_m, kMinGemmRows);
                        ASSERT_EQ(plan.tile_m % kGemmRowStep, 0);
                    }
                }
            }
        }
    }
}

TEST(GemmPlan, SmallIsOneTileAndBigIsMany) {
    const GemmBlocks& blocks = supported_kernels().front()->blocks;
    const auto count = [&](Form form, int64_t m, int64_t n, int64_t k) {
        const GemmPlan plan = plan_gemm(form, m, n, k, blocks, false);
        return plan.tiles(m, n) * plan.splits;
    };
    EXPECT_EQ(count(Form::NN, 32, 32, 64), 1);
    EXPECT_EQ(count(Form::NN, 4, 8, 2), 1);
    for (const Form form : kForms) {
        EXPECT_GE(count(form, 128, 512, 784), 16);
        EXPECT_GE(count(form, 1024, 1024, 1024), 16);
    }
    EXPECT_GT(count(Form::TN, 4, 32, 10000), 4);
    EXPECT_EQ(count(Form::NN, 4, 32, 10000), plan_gemm(Form::NN, 4, 32, 10000, blocks, false).tiles(4, 32));
}

TEST(GemmPlan, SplitsStayBelowTheirBound) {
    const GemmBlocks& blocks = supported_kernels().front()->blocks;
    for (const bool blas : {false, true}) {
        for (const auto& [m, n] : {std::pair<int64_t, int64_t>{4, 32}, {1, 1}, {64, 64}, {2, 3}, {784, 512}}) {
            const int64_t bound = max_gemm_splits(m, n, 40000, blocks, blas);
            for (int64_t k = 1; k <= 40000; k += 37) {
                const GemmPlan plan = plan_gemm(Form::TN, m, n, k, blocks, blas);
                ASSERT_LE(plan.splits, bound);
                ASSERT_LE(plan.splits, max_gemm_splits(m, n, k, blocks, blas));
            }
        }
    }
}

// The parts of k, summed in order, are the product.
TEST_P(Gemm, PartsSumToTheWhole) {
    const Problem p(Form::TN, 4, 32, 10000, 0, 29);
    const GemmPlan plan = plan_gemm(p.form, p.m, p.n, p.k, kernels.blocks, false);
    ASSERT_GT(plan.splits, 1);
    std::vector<float> parts(static_cast<size_t>(plan.splits * p.m * p.n));
    for (int64_t part = 0; part < plan.splits; part++) {
        const int64_t k0 = part * plan.split_k;
        for (int64_t i = 0; i < plan.tiles(p.m, p.n); i++) {
            const GemmPlan::Tile at = plan.tile(i, p.m, p.n);
            const GemmTile tile{p.form,
                                at.m,
                                at.n,
                                std::min(plan.split_k, p.k - k0),
                                p.a.data.data() + k0 * p.a.ld + at.row,
                                p.a.ld,
                                p.b.data.data() + k0 * p.b.ld + at.column,
                                p.b.ld,
                                parts.data() + part * p.m * p.n + at.row * p.n + at.column,
                                p.n,
                                nullptr,
                                at.row,
                                at.column,
                                plan.path};
            kernels.gemm(tile, scratch.data());
        }
    }
    Matrix c(p.m, p.n, 0, kGap);
    kernels.sum_parts(parts.data(), plan.splits, p.m * p.n, c.data.data(), p.m * p.n);
    expect_right(p, c, describe(p, plan.path));
}

}  // namespace
