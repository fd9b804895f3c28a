// Products on tensor cores, where there are none: where the operands lie in local memory, the kernels with OpenCL C in the place of the
// instructions (HPC_MMA_EMULATED), what is done when a probe fails, training in TF32 and BFloat16, and the PTX that a compiler makes of
// them. On a device with tensor cores the kernel rows run on these as well.
//
// To add a tile or an option: it is found in kMmaTiles, or is one more loop in Products.
#include <algorithm>
#include <cfenv>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <sstream>

#include "cpu/kernels.h"
#include "folder.h"
#include "harness.h"
#include "opencl/device.h"
#include "opencl/kernels/mma_layout.h"
#include "opencl/tensor_cores.h"

namespace hpc::test {
namespace {

using namespace hpc::opencl;
using opencl::injection::Stand;

constexpr float kAlpha = 0.75f, kBeta = 1.25f;
constexpr int32_t kPrecisions[] = {HPC_PRECISION_TF32, HPC_PRECISION_BFLOAT16};
constexpr Form kForms[] = {Form::NN, Form::NT, Form::TN};
const char* const kFormNames[] = {"NN", "NT", "TN"};

// ---- Where things lie --------------------------------------------------------------------------------------------------

// Eight work-items in succession get 16 bytes each at once: the eight pieces must lie in different banks. `at`: in floats.
void expect_no_conflict(const std::vector<unsigned>& at, const std::string& what) {
    ASSERT_EQ(32u, at.size());
    for (size_t eight = 0; eight < 32; eight += 8) {
        std::set<unsigned> pieces;
        for (size_t i = eight; i < eight + 8; i++) {
            ASSERT_EQ(0u, at[i] % 4) << what;
            pieces.insert(at[i] / 4 % 8);
        }
        ASSERT_EQ(8u, pieces.size()) << what << ", lanes from " << eight << " on";
    }
}

TEST(MmaLayout, EveryElementHasAPlaceOfItsOwn) {
    for (const MmaTile& tile : kMmaTiles) {
        for (const uint64_t extent : {tile.tile_m, tile.tile_n}) {
            const unsigned places = static_cast<unsigned>(extent);
            std::set<unsigned> inner, outer;
            for (unsigned place = 0; place < places; place++) {
                for (unsigned depth = 0; depth < HPC_MMA_DEPTH; depth++) {
                    inner.insert(mma_inner_at(place, depth));
                    outer.insert(mma_outer_at(places, place, depth));
                    // Four neighbours stay neighbours.
                    EXPECT_EQ(mma_inner_at(place, depth), mma_inner_at(place, depth / 4 * 4) + depth % 4);
                    EXPECT_EQ(mma_outer_at(places, place, depth), mma_outer_at(places, place / 4 * 4, depth) + place % 4);
                }
            }
            for (const std::set<unsigned>& all : {inner, outer}) {
                EXPECT_EQ(size_t{places} * HPC_MMA_DEPTH, all.size());
                EXPECT_EQ(places * HPC_MMA_DEPTH - 1, *all.rbegin());
            }
        }
    }
    std::set<unsigned> places;
    for (unsigned q = 0; q < 8; q++)
        for (unsigned h = 0; h < 4; h++) places.insert(mma_place(q) + h);
    EXPECT_EQ(32u, places.size());
    EXPECT_EQ(31u, *places.rbegin());
}

TEST(MmaLayout, NoTwoWorkItemsWantTheSameBank) {
    for (const MmaTile& tile : kMmaTiles) {
        EXPECT_EQ(uint64_t{HPC_MMA_DEPTH}, kMmaDepth);
        EXPECT_EQ(tile.local_bytes(true), tile.stages * (tile.tile_m + tile.tile_n) * HPC_MMA_DEPTH * 4);
        for (const uint64_t extent : {tile.tile_m, tile.tile_n}) {
            const unsigned places = static_cast<unsigned>(extent);
            const std::string what = "extent " + std::to_string(places);
            // What a warp takes: HPC_TAKE_INNER, HPC_TAKE_OUTER.
            for (unsigned first = 0; first < places; first += 32) {
                for (unsigned step = 0; step < 4; step++) {
                    std::vector<unsigned> inner(32), outer(32);
                    for (unsigned lane = 0; lane < 32; lane++) {
                        inner[lane] = mma_inner_at(first + mma_place(lane / 4) + step, lane % 4 * 4);
                        outer[lane] = mma_outer_at(places, first + mma_place(lane / 4), lane % 4 * 4 + step);
                    }
                    expect_no_conflict(inner, what + " inner");
                    expect_no_conflict(outer, what + " outer");
                }
            }
            // What a warp fetches: quads in succession.
            for (unsigned quad = 0; quad < places * HPC_MMA_DEPTH / 4; quad += 32) {
                std::vector<unsigned> inner(32), outer(32);
                for (unsigned lane = 0; lane < 32; lane++) {
                    const unsigned q = quad + lane;
                    inner[lane] = mma_inner_at(q / 4, q % 4 * 4);
                    outer[lane] = mma_outer_at(places, q % (places / 4) * 4, q / (places / 4));
                }
                expect_no_conflict(inner, what + " fetched inner");
                expect_no_conflict(outer, what + " fetched outer");
            }
        }
    }
}

// ---- Rounding ----------------------------------------------------------------------------------------------------------

// By the definition, in double precision: the nearest number of so many fraction bits.
double nearest(int32_t precision, float x) {
    if (!std::isfinite(x) || x == 0) return static_cast<double>(x);
    int exponent = 0;
    std::frexp(static_cast<double>(x), &exponent);
    const int bits = precision == HPC_PRECISION_TF32 ? 10 : 7;
    const int last = std::max(exponent - 1, -126) - bits;  // exponent of the last place; below the normal numbers it stays
    const double scaled = std::ldexp(static_cast<double>(x), -last);
    const double whole = precision == HPC_PRECISION_TF32 ? std::round(scaled) : std::nearbyint(scaled);
    const double value = std::ldexp(whole, last);
    return std::fabs(value) >= 0x1p128 ? std::copysign(std::numeric_limits<double>::infinity(), value) : value;
}

std::vector<float> telling_numbers() {
    std::vector<float> numbers = {0.0f, -0.0f, 1.0f, -1.0f, std::numeric_limits<float>::max(), std::numeric_limits<float>::min(), 1e-42f, -3e-45f};
    for (const int bit : {7, 8, 10, 11}) {
        for (int i = 0; i < 8; i++) {  // ties and their neighbours, with even and odd last places
            const float tie = 1 + static_cast<float>(i) * std::ldexp(1.0f, -bit - 1);
            for (const float x : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 9.0f), -tie, tie * 3e30f, tie * 3e-38f}) numbers.push_back(x);
        }
    }
    for (const float x : random_floats(200, 3, 100)) numbers.push_back(x);
    return numbers;
}

TEST(MmaRounding, IsToTheNearestNumberOfTheFormat) {
    ASSERT_EQ(FE_TONEAREST, std::fegetround());
    for (const int32_t precision : kPrecisions)
        for (const float x : telling_numbers())
            EXPECT_EQ(nearest(precision, x), static_cast<double>(rounded_to(precision, x))) << precision_name(precision) << " of " << x;
    EXPECT_EQ(1.0f + 0x1p-10f, rounded_to(HPC_PRECISION_TF32, 1.0f + 0x1p-11f));    // a tie goes away from zero
    EXPECT_EQ(1.0f, rounded_to(HPC_PRECISION_BFLOAT16, 1.0f + 0x1p-8f));            // a tie goes to even
    EXPECT_EQ(1.0f + 0x1p-6f, rounded_to(HPC_PRECISION_BFLOAT16, 1.0f + 3 * 0x1p-8f));
    EXPECT_EQ(1.2345678f, rounded_to(HPC_PRECISION_FLOAT32, 1.2345678f));
}

// ---- Devices -----------------------------------------------------------------------------------------------------------

hpc_device_options options_of(int32_t precision, const std::string& cache) {
    hpc_device_options options{};
    options.kind = HPC_DEVICE_OPENCL;
    options.index = -1;
    options.precision = precision;
    options.cache_directory = cache.c_str();
    return options;
}

// A device that stands for one with tensor cores.
std::shared_ptr<OpenClDevice> open(int32_t precision, Stand stand) {
    const std::string cache = kernel_cache();
    opencl::injection::tensor_cores = stand;
    std::shared_ptr<hpc::Device> device = create_device(options_of(precision, cache));
    opencl::injection::tensor_cores = Stand::Hardware;
    return std::static_pointer_cast<OpenClDevice>(device);
}

class Mma : public testing::Test {
protected:
    void SetUp() override { HPC_NEED(kOpenCl); }
};

struct ProbeCase {
    const char* name;
    Stand stand;
    bool serves, copies;
    const char* words;  // of the description
};
const ProbeCase kProbeCases[] = {
    {"both", Stand::Emulated, true, true, "past the registers"},
    {"no copies", Stand::EmulatedNoCopies, true, false, "through registers: a test does without"},
    {"wrong copies", Stand::WrongCopies, true, false, "through registers: a copy to local memory came out wrong"},
    {"wrong products", Stand::WrongProducts, false, false, "was asked for, but a product came out wrong"},
    {"does not build", Stand::DoesNotBuild, false, false, "was asked for, but its compiler refuses the instructions"},
};

TEST_F(Mma, WhatAProbeFindsIsWhatRuns) {
    for (const int32_t precision : kPrecisions) {
        for (const ProbeCase& row : kProbeCases) {
            SCOPED_TRACE(std::string(precision_name(precision)) + ", " + row.name);
            const std::shared_ptr<OpenClDevice> device = open(precision, row.stand);
            const TensorCores& cores = device->tensor_cores();
            EXPECT_EQ(row.serves, cores.serve()) << cores.why;
            EXPECT_EQ(row.copies, cores.copies) << cores.why_no_copies;
            const std::string text = device->describe();
            EXPECT_NE(std::string::npos, text.find(std::string("products: ") + (row.serves ? precision_name(precision) : "float32"))) << text;
            EXPECT_NE(std::string::npos, text.find(row.words)) << text;
            EXPECT_EQ(!row.serves, text.find(std::string(precision_name(precision)) + " was asked for") != std::string::npos) << text;
            hpc_device_info info{};
            device->info(info);
            EXPECT_EQ(precision, info.asked_precision);
            EXPECT_EQ(row.serves ? precision : HPC_PRECISION_FLOAT32, info.precision);
            EXPECT_EQ(row.serves, info.precision_note[0] == 0) << info.precision_note;
        }
    }
}

TEST_F(Mma, ADeviceWithoutTensorCoresRunsFloat32AndSaysWhy) {
    const std::shared_ptr<OpenClDevice> device = open(HPC_PRECISION_TF32, Stand::Hardware);
    if (device->tensor_cores().serve()) GTEST_SKIP() << "this one has them: " << device->describe();
    EXPECT_NE(std::string::npos, device->tensor_cores().why.find("not NVIDIA's")) << device->tensor_cores().why;
    EXPECT_FALSE(device->tensor_cores().emulated);
    const std::shared_ptr<OpenClDevice> plain = open(HPC_PRECISION_FLOAT32, Stand::Emulated);
    EXPECT_NE(std::string::npos, plain->describe().find("products: float32\n")) << plain->describe();
    EXPECT_FALSE(plain->tensor_cores().serve());
}

// Every call of the probe that fails ends in float32, never in an error or a wrong answer; nothing is left behind.
TEST_F(Mma, EveryCallOfTheProbeMayFail) {
    const DeviceInfo info = discover().devices.front();
    opencl::injection::tensor_cores = Stand::Emulated;
    const int64_t references = injection::references.load();
    int64_t before = injection::calls.load();
    ASSERT_TRUE(probe_tensor_cores(info, HPC_PRECISION_TF32).copies);
    const int64_t calls = injection::calls.load() - before;
    int fallen = 0;
    for (int64_t call = 1; call <= calls; call += call < 30 || call > calls - 10 ? 1 : 3) {
        injection::failures = 1;
        injection::calls_until_failure = call;
        const TensorCores cores = probe_tensor_cores(info, HPC_PRECISION_TF32);
        injection::failures = 0;
        injection::calls_until_failure = 0;
        if (!cores.serve()) fallen++;
        EXPECT_EQ(cores.serve(), cores.why.empty()) << call << ": " << cores.why;
        EXPECT_EQ(cores.serve() && !cores.copies, !cores.why_no_copies.empty()) << call << ": " << cores.why_no_copies;
    }
    opencl::injection::tensor_cores = Stand::Hardware;
    EXPECT_GT(fallen, 3);
    EXPECT_EQ(references, injection::references.load());
}

// ---- The kernel --------------------------------------------------------------------------------------------------------

constexpr uint32_t kPattern = 0x5a5a5a5au;
constexpr uint64_t kStrip = 64;  // guard elements on either side

// Elements of the device between guards.
class Operand {
public:
    Operand(OpenClDevice& device, const std::vector<float>& values, uint64_t shift = 0) : count_(values.size()), offset_(kStrip + shift) {
        all_.assign(offset_ + count_ + kStrip, kPattern);
        if (count_) std::memcpy(&all_[offset_], values.data(), count_ * 4);
        buffer_ = device.create_buffer(all_.size() * 4);
        buffer_->write(0, all_.data(), all_.size() * 4);
    }
    Operand(OpenClDevice& device, uint64_t count, uint64_t shift = 0) : Operand(device, std::vector<float>(count, -777.0f), shift) {}

    std::vector<float> read(const std::string& what) const {
        std::vector<uint32_t> now(all_.size());
        buffer_->read(0, now.data(), now.size() * 4);
        for (size_t i = 0; i < now.size(); i++) {
            if ((i >= offset_ && i < offset_ + count_) || now[i] == kPattern) continue;
            ADD_FAILURE() << what << ": element " << static_cast<int64_t>(i) - static_cast<int64_t>(offset_) << " of " << count_ << " was written";
            break;
        }
        std::vector<float> values(count_);
        if (count_) std::memcpy(values.data(), &now[offset_], count_ * 4);
        return values;
    }
    cl_mem memory() const { return static_cast<const OpenClBuffer&>(*buffer_).memory(); }
    cl_ulong offset() const { return offset_; }

private:
    uint64_t count_, offset_;
    std::vector<uint32_t> all_;
    std::shared_ptr<hpc::Buffer> buffer_;
};

void launch(OpenClDevice& device, const Kernel& kernel, const Launch& launch, const std::vector<const Operand*>& operands,
            const std::vector<cl_ulong>& extents, const std::vector<float>& numbers, const std::vector<cl_uint>& words = {}) {
    const Ref<cl_kernel> object = device.kernel(kernel, launch.local);
    const std::shared_ptr<hpc::Buffer> metrics = device.create_buffer(sizeof(device_metrics));
    cl_uint index = 0;
    const auto set = [&](const auto& value) {
        HPC_CL(device.api(), clSetKernelArg, object.get(), index++, sizeof value, static_cast<const void*>(&value));
    };
    set(static_cast<const OpenClBuffer&>(*metrics).memory());
    set(cl_uint{0});
    for (const Operand* operand : operands) {
        set(operand ? operand->memory() : static_cast<const OpenClBuffer&>(*metrics).memory());
        set(operand ? operand->offset() : cl_ulong{0});
    }
    for (const cl_ulong extent : extents) set(extent);
    for (const cl_uint word : words) set(word);
    for (const float number : numbers) set(number);
    Geometry geometry;
    geometry.dimensions = 1;
    geometry.global[0] = launch.global();
    geometry.local[0] = launch.local;
    device.queue().launch(object.get(), geometry);
    device.queue().finish();
}

struct Product {
    Form form;
    uint64_t m, n, k;
};

// C = A B with whole numbers, which every format holds: each bit is known. With others: double precision of the rounded numbers,
// within what the additions lose. An mma adds up 8 products (BFloat16: 16) and cuts or rounds the sum about once, at a float's last
// place, which is 2^-23 of it; so (2 + k / 8) 2^-23 of the sum of magnitudes.
void check_product(OpenClDevice& device, const Product& p, const Epilogue& epilogue, const MmaTile* tile, uint64_t shift, bool whole,
                   uint64_t units = 1) {
    const TensorCores& cores = device.tensor_cores();
    Limits limits = device.limits();
    limits.compute_units = units;
    MmaPlan plan = plan_mma(p.form, p.m, p.n, p.k, limits, cores);
    if (tile) {
        plan = {tile, blocks_of(p.m, tile->tile_m), blocks_of(p.n, tile->tile_n), 1, std::max<uint64_t>(p.k, 1), cores.copies ? tile->stages : 2};
        if (!mma_tile_fits(*tile, limits, cores)) return;
    }
    std::ostringstream name;
    name << precision_name(cores.precision) << (cores.copies ? " copies " : " registers ") << kFormNames[static_cast<int>(p.form)] << " " << p.m
         << " x " << p.n << " x " << p.k << " tile " << plan.tile->tile_m << " x " << plan.tile->tile_n << " epilogue " << epilogue.kind
         << " activation " << epilogue.activation << " at " << shift;
    const std::string what = name.str();

    std::vector<float> a_values = random_floats(p.m * p.k, 18), b_values = random_floats(p.k * p.n, 19);
    if (whole)
        for (std::vector<float>* values : {&a_values, &b_values})
            for (float& v : *values) v = std::round(std::fmin(std::fmax(2 * v, -5.0f), 5.0f));
    std::vector<float> kept_values = random_floats(p.m * p.n, 20), bias_values = random_floats(p.n, 21);
    for (float& v : kept_values) v = std::tanh(v);
    const bool backward = epilogue.kind == Epilogue::Backward;
    const Operand a(device, a_values, shift), b(device, b_values, shift), bias(device, bias_values, shift), c(device, p.m * p.n, shift),
        kept = backward ? Operand(device, kept_values, shift) : Operand(device, p.m * p.n, shift), sums(device, p.n, 1),
        parts(device, plan.splits > 1 ? plan.splits * p.m * p.n : 1), sum_parts(device, plan.row_tiles * p.n);
    launch(device, mma_kernel(p.form, plan, epilogue, cores), mma_launch(plan),
           {&a, &b, plan.splits > 1 ? &parts : &c, &bias, &kept, plan.row_tiles == 1 ? &sums : &sum_parts}, {p.m, p.n, p.k, plan.split_k}, {kAlpha, kBeta});
    const auto add_up = [&](uint64_t count, uint64_t width, const Operand& from, const Operand& to) {
        const ColumnPlan columns = plan_combine(count, width, limits);
        launch(device, column_sums_kernel(), columns_launch(columns, limits), {&from, &to}, {count, width, columns.block}, {},
               {static_cast<cl_uint>(columns.lanes)});
    };
    if (plan.splits > 1) add_up(plan.splits, p.m * p.n, parts, c);
    if (epilogue.sums && plan.row_tiles > 1) add_up(plan.row_tiles, p.n, sum_parts, sums);
    EXPECT_EQ(units > 1 && !tile, plan.splits > 1) << what;
    parts.read(what + " parts");
    sum_parts.read(what + " parts of sums");

    std::vector<double> truth(p.m * p.n), bound(p.m * p.n);
    for (uint64_t i = 0; i < p.m; i++) {
        for (uint64_t l = 0; l < p.k; l++) {
            const double x = nearest(cores.precision, a_values[p.form == Form::TN ? l * p.m + i : i * p.k + l]);
            for (uint64_t j = 0; j < p.n; j++) {
                const double product = x * nearest(cores.precision, b_values[p.form == Form::NT ? j * p.k + l : l * p.n + j]);
                truth[i * p.n + j] += product;
                bound[i * p.n + j] += std::fabs(product);
            }
        }
    }
    for (double& v : bound) v = whole ? 0 : v * 0x1p-23 * (2 + static_cast<double>(p.k) / 8) + 1e-30;

    // The epilogue by the scalar kernels on the true product.
    const std::vector<float> actual = c.read(what), written = kept.read(what + " kept");
    const cpu::Kernels& oracle = cpu::kScalarKernels;
    for (size_t i = 0; i < truth.size(); i++) {
        const float z = static_cast<float>(truth[i] + (epilogue.bias ? static_cast<double>(bias_values[i % p.n]) : 0.0));
        float value = z, derivative = 0, one = 1, factor = 1;
        double near = bound[i];
        if (epilogue.kind == Epilogue::Forward) {
            oracle.activation_forward[epilogue.activation](&z, &value, &derivative, 1, kAlpha, kBeta, false);
            near = 2 * near + 1e-6 * (1 + std::fabs(static_cast<double>(z)));
            if (epilogue.kept && std::fabs(static_cast<double>(z)) > near) {  // else on the edge of relu
                ASSERT_NEAR(static_cast<double>(derivative), static_cast<double>(written[i]), 4 * near) << what << " derivative " << i;
            }
        } else if (backward) {
            oracle.activation_backward[epilogue.activation](&kept_values[i], &one, &factor, 1, kAlpha, kBeta, false);
            value = static_cast<float>(truth[i] * static_cast<double>(factor));
            near = near * std::fabs(static_cast<double>(factor)) + 2e-7 * std::fabs(static_cast<double>(value)) + 1e-30;
        }
        ASSERT_LE(std::fabs(static_cast<double>(value) - static_cast<double>(actual[i])), near) << what << " [" << i / p.n << ", " << i % p.n << "]";
        const bool writes = epilogue.kind == Epilogue::Forward && epilogue.kept;
        ASSERT_TRUE(writes || written[i] == (backward ? kept_values[i] : -777.0f)) << what << " kept " << i;
    }
    if (!epilogue.sums) return;
    const std::vector<float> added = sums.read(what + " sums");
    for (uint64_t j = 0; j < p.n; j++) {
        double sum = 0, near = 1e-30;
        for (uint64_t i = 0; i < p.m; i++) {
            sum += static_cast<double>(actual[i * p.n + j]);
            near += 2e-6 * std::fabs(static_cast<double>(actual[i * p.n + j]));
        }
        ASSERT_NEAR(sum, static_cast<double>(added[j]), near) << what << " sum " << j;
    }
}

// The hardware where there is some, else its emulation, with copies past the registers and without.
std::vector<std::shared_ptr<OpenClDevice>> devices(int32_t precision) {
    std::vector<std::shared_ptr<OpenClDevice>> all = {open(precision, Stand::Emulated), open(precision, Stand::EmulatedNoCopies)};
    if (const std::shared_ptr<OpenClDevice> own = open(precision, Stand::Hardware); own->tensor_cores().serve()) all.push_back(own);
    return all;
}

class Products : public Mma, public testing::WithParamInterface<int32_t> {};

TEST_P(Products, OfEveryFormTileAndWayToLocalMemory) {
    for (const std::shared_ptr<OpenClDevice>& device : devices(GetParam())) {
        for (const Form form : kForms) {
            for (const MmaTile& tile : kMmaTiles) {
                if (HasFatalFailure()) return;
                // Building takes longest: through registers, each tile with one of the forms.
                if (!device->tensor_cores().copies && static_cast<size_t>(&tile - kMmaTiles) % 3 != static_cast<size_t>(form)) continue;
                check_product(*device, {form, 1, 1, 1}, {}, &tile, 0, true);
                check_product(*device, {form, 37, 70, 33}, {}, &tile, 1, true);
                check_product(*device, {form, tile.tile_m + 4, tile.tile_n + 8, 52}, {}, &tile, 0, true);
                check_product(*device, {form, tile.tile_m - 1, tile.tile_n - 3, 16 * tile.stages + 3}, {}, &tile, 0, false);
            }
        }
    }
}

TEST_P(Products, WithEveryEpilogue) {
    const std::vector<std::pair<Form, Epilogue>> rows = {
        {Form::NN, {Epilogue::Forward, HPC_ACTIVATION_RELU, true, true, false}},   {Form::NN, {Epilogue::Forward, HPC_ACTIVATION_TANH, true, true, false}},
        {Form::NN, {Epilogue::Forward, HPC_ACTIVATION_LINEAR, true, false, false}}, {Form::NN, {Epilogue::Forward, HPC_ACTIVATION_SIGMOID, false, false, false}},
        {Form::NT, {Epilogue::Backward, HPC_ACTIVATION_TANH, false, true, true}},   {Form::NT, {Epilogue::Backward, HPC_ACTIVATION_LINEAR, false, false, true}},
        {Form::NT, {Epilogue::Backward, HPC_ACTIVATION_SIGMOID, false, true, false}}};
    const std::shared_ptr<OpenClDevice> device = open(GetParam(), Stand::Emulated);
    for (const auto& [form, epilogue] : rows) {
        if (HasFatalFailure()) return;
        check_product(*device, {form, 37, 70, 33}, epilogue, &kMmaTiles[std::size(kMmaTiles) - 1], 1, false);
        // What is done to C does not depend on what it was multiplied in.
        if (GetParam() == HPC_PRECISION_BFLOAT16) continue;
        check_product(*device, {form, 132, 140, 36}, epilogue, &kMmaTiles[std::size(kMmaTiles) - 2], 0, false);
    }
    // Where the column sums take most of local memory.
    check_product(*device, {Form::NT, 300, 140, 20}, rows[4].second, &kMmaTiles[0], 0, false);
}

TEST_P(Products, OfEveryExtentAroundTheBlocks) {
    for (const std::shared_ptr<OpenClDevice>& device : devices(GetParam())) {
        for (const Form form : kForms)
            for (const uint64_t m : {1, 4, 5, 31, 33, 65})
                for (const uint64_t n : {1, 3, 4, 32, 36})
                    for (const uint64_t k : {1, 4, 15, 16, 17, 64, 131}) {
                        if (HasFatalFailure()) return;
                        check_product(*device, {form, m, n, k}, {}, &kMmaTiles[std::size(kMmaTiles) - 1], (m + n + k) % 2 * 3, true);
                    }
    }
}

TEST_P(Products, InPartsOfTheDepth) {
    const std::shared_ptr<OpenClDevice> device = open(GetParam(), Stand::Emulated);
    Limits many = device->limits();
    many.compute_units = 100;
    EXPECT_GT(plan_mma(Form::TN, 40, 10, 3000, many, device->tensor_cores()).splits, 1u);
    for (const uint64_t k : {257, 3001}) check_product(*device, {Form::TN, 20, 10, k}, {}, nullptr, k % 2, true, 4);
}

// More blocks than there are places for, so that each place is filled again: run under oclgrind (OpenClRacesOfTensorCores in CMakeLists.txt),
// which takes no two work-items to be in step and sees when one is still reading. One warp, and several.
TEST_P(Products, FillPlacesOfLocalMemoryAgain) {
    for (const std::shared_ptr<OpenClDevice>& device : devices(GetParam())) {
        check_product(*device, {Form::NT, 3, 5, 6 * kMmaDepth + 1}, {Epilogue::Backward, HPC_ACTIVATION_TANH, false, true, true},
                      &kMmaTiles[std::size(kMmaTiles) - 1], 0, false);
        // What four blocks of this tile and the emulation's own need is more than oclgrind's device has.
        if (!device->tensor_cores().copies)
            check_product(*device, {Form::NN, 3, 5, 6 * kMmaDepth + 1}, {}, &kMmaTiles[std::size(kMmaTiles) - 2], 0, true);
    }
}

// A number times 1 is what the number is rounded to; what is no number goes through.
TEST_P(Products, RoundAsTheFormatSays) {
    std::vector<float> numbers = telling_numbers();
    const float infinity = std::numeric_limits<float>::infinity();
    for (const float x : {infinity, -infinity, std::numeric_limits<float>::quiet_NaN()}) numbers.push_back(x);
    uint32_t bits = 0x7fffffffu;  // the NaN that NVIDIA's arithmetic makes
    float nan;
    std::memcpy(&nan, &bits, 4);
    numbers.push_back(nan);
    for (const std::shared_ptr<OpenClDevice>& device : devices(GetParam())) {
        const uint64_t m = numbers.size();
        const Operand a(*device, numbers), b(*device, std::vector<float>{1.0f}), c(*device, m);
        const MmaPlan plan = plan_mma(Form::NN, m, 1, 1, device->limits(), device->tensor_cores());
        launch(*device, mma_kernel(Form::NN, plan, {}, device->tensor_cores()), mma_launch(plan), {&a, &b, &c, nullptr, nullptr, nullptr},
               {m, 1, 1, plan.split_k}, {0, 0});
        const std::vector<float> actual = c.read("rounded");
        for (size_t i = 0; i < m; i++) {
            if (std::isnan(numbers[i])) {
                EXPECT_TRUE(std::isnan(actual[i])) << actual[i];
                continue;
            }
            const double expected = nearest(GetParam(), numbers[i]);
            if (std::fabs(expected) < 0x1p-126 && actual[i] == 0) continue;  // a device may flush what is below the normal numbers
            EXPECT_EQ(expected, static_cast<double>(actual[i])) << numbers[i];
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Mma, Products, testing::ValuesIn(kPrecisions),
                         [](const testing::TestParamInfo<int32_t>& info) { return std::string(precision_name(info.param)); });

TEST_F(Mma, ScratchServesEverySmallerRun) {
    const std::shared_ptr<OpenClDevice> device = open(HPC_PRECISION_TF32, Stand::Emulated);
    const TensorCores& cores = device->tensor_cores();
    for (const uint64_t units : {1, 4, 80, 500}) {
        Limits limits = device->limits();
        limits.compute_units = units;
        for (const uint64_t n : {1, 10, 64, 129, 1000}) {
            for (const uint64_t width : {1, 33, 784}) {
                const uint64_t capacity = 5000;
                const uint64_t split = mma_scratch(Form::TN, width, n, capacity, false, limits, cores);
                const uint64_t sums = mma_scratch(Form::NT, capacity, n, width, true, limits, cores);
                for (uint64_t rows = 1; rows <= capacity; rows += 1 + rows / 7) {
                    const MmaPlan weight = plan_mma(Form::TN, width, n, rows, limits, cores);
                    EXPECT_LE(weight.splits > 1 ? weight.splits * width * n * 4 : 0, split);
                    EXPECT_LE((weight.splits - 1) * weight.split_k, rows);
                    const MmaPlan input = plan_mma(Form::NT, rows, n, width, limits, cores);
                    EXPECT_LE(input.row_tiles > 1 ? input.row_tiles * n * 4 : 0, sums);
                }
            }
        }
    }
}

// ---- Whole steps -------------------------------------------------------------------------------------------------------

// A small network learns in the coarse formats as in float32: after 40 steps its loss is within 2 units in the format's last place
// of 1 (2^-10, 2^-7), and its parameters are not the same bits, so that something was rounded.
TEST_F(Mma, TrainingGetsWhereFloat32Gets) {
    const NetworkShape shape{{20, 40, 3}, {HPC_ACTIVATION_TANH, HPC_ACTIVATION_LINEAR}, true, 0, false, HPC_RULE_MOMENTUM};
    double first = 0;
    const auto train = [&](int32_t precision, std::vector<float>& parameters) {
        opencl::injection::tensor_cores = Stand::Emulated;
        Device device({"opencl", HPC_DEVICE_OPENCL, nullptr, precision});
        opencl::injection::tensor_cores = Stand::Hardware;
        TrainingStep step(device, shape, 64, HPC_PROGRAM_DEFAULT);
        const std::string text = step.program.describe();
        EXPECT_EQ(precision != HPC_PRECISION_FLOAT32, text.find(precision_name(precision == 0 ? HPC_PRECISION_TF32 : precision)) != std::string::npos) << text;
        double loss = 0;
        first = step.step(64, 0, 1, 0.0f).loss / 64;
        // Fewer rows than the program was made for, too.
        for (uint64_t i = 0; i < 40; i++) {
            const uint64_t rows = i % 5 == 4 ? 3 : 64;
            const double batch = step.step(rows, i * 13 % 500, i + 2, 0.05f).loss / static_cast<double>(rows);
            if (i >= 30) loss += batch / 10;
        }
        parameters = step.parameters.read();
        return loss;
    };
    std::vector<float> plain, coarse;
    const double expected = train(HPC_PRECISION_FLOAT32, plain);
    EXPECT_LT(expected, 0.9 * first);
    for (const int32_t precision : kPrecisions) {
        const double loss = train(precision, coarse);
        EXPECT_NEAR(expected, loss, precision == HPC_PRECISION_TF32 ? 0x1p-9 : 0x1p-6) << precision_name(precision);
        EXPECT_NE(plain, coarse) << precision_name(precision);
    }
}

// ---- What a compiler makes of it ---------------------------------------------------------------------------------------

#if !defined(_WIN32)

int run(const std::string& command) { return std::system(command.c_str()); }

std::string text_of(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

uint64_t count_of(const std::string& text, const std::string& part) {
    uint64_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) count++;
    return count;
}

// A clang that writes PTX; "" where there is none.
std::string ptx_compiler() {
    std::vector<std::string> names = {"clang"};
    for (int version = 22; version >= 14; version--) names.push_back("clang-" + std::to_string(version));
    if (const char* chosen = std::getenv("HPCNET_CLANG")) names = {chosen};
    for (const std::string& name : names)
        if (run("'" + name + "' --print-targets 2> /dev/null | grep -q nvptx64") == 0) return name;
    return "";
}

// The program as PTX, as near as clang comes to NVIDIA's compiler: for compute capability 8.0, which has all of the instructions, and
// with its macros. `before` stands before the text.
std::string ptx_of(const std::string& compiler, const std::filesystem::path& folder, const Source& source, const std::string& options,
                   const std::string& before) {
    {
        std::ofstream text(folder / "program.cl");
        text << before;
        for (const char* const* name = source.texts; *name; name++) text << embedded_text(*name);
    }
    const std::string where = "'" + folder.string() + "/program";
    const std::string command = "'" + compiler + "' -x cl -target nvptx64-nvidia-nvcl -Xclang -finclude-default-header -Xclang -target-cpu -Xclang sm_80" +
                                " -Xclang -target-feature -Xclang +ptx72 -D__OPENCL_VERSION__=120 -D__NV_CL_C_VERSION=120 -O3 -Wall -Wno-unused-function -Werror " +
                                common_options(Limits{}) + options + " -S -o " + where + ".ptx' " + where + ".cl' > " + where + ".log' 2>&1";
    EXPECT_EQ(0, run(command)) << command << "\n" << text_of(folder / "program.log");
    return text_of(folder / "program.ptx");
}

struct PtxCase {
    TensorCores cores;
    Form form;
    const MmaTile* tile;
    MmaPlan plan() const { return {tile, 1, 1, 1, 1, cores.copies ? tile->stages : 2}; }
};

std::vector<PtxCase> ptx_cases() {
    std::vector<PtxCase> cases;
    for (const int32_t precision : kPrecisions) {
        for (const bool copies : {true, false}) {
            TensorCores cores;
            cores.precision = precision;
            cores.copies = copies;
            for (const Form form : kForms) cases.push_back({cores, form, &kMmaTiles[std::size(kMmaTiles) - 2]});
            cases.push_back({cores, Form::NN, &kMmaTiles[0]});
        }
    }
    return cases;
}

TEST(MmaPtx, HasTheInstructionsAndKeepsNumbersInRegisters) {
    const std::string compiler = ptx_compiler();
    ASSERT_FALSE(compiler.empty() && hpc::test::is_required("HPCNET_REQUIRE_PTX")) << "no clang that writes PTX (nvptx64) was found";
    if (compiler.empty()) GTEST_SKIP() << "no clang that writes PTX (nvptx64) was found";
    const Folder folder;
    for (const PtxCase& row : ptx_cases()) {
        const Kernel kernel = mma_kernel(row.form, row.plan(), {}, row.cores);
        SCOPED_TRACE(kernel.options);
        const std::string ptx = ptx_of(compiler, folder.path(), *kernel.source, kernel.options, "");
        const bool tf32 = row.cores.precision == HPC_PRECISION_TF32;
        const uint64_t products = row.tile->warp_m / 16 * (row.tile->warp_n / 8), steps = tf32 ? 2 : 1;
        EXPECT_EQ(tf32 ? products * steps : 0, count_of(ptx, "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"));
        EXPECT_EQ(tf32 ? 0 : products * steps, count_of(ptx, "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"));
        EXPECT_EQ(tf32, count_of(ptx, "cvt.rna.tf32.f32") > 0);
        EXPECT_EQ(!tf32, count_of(ptx, "cvt.rn.bf16x2.f32") > 0);
        for (const char* instruction : {"cp.async.cg.shared.global", "cp.async.ca.shared.global", "cp.async.commit_group", "cp.async.wait_group"})
            EXPECT_EQ(row.cores.copies, count_of(ptx, instruction) > 0) << instruction;
        EXPECT_EQ(row.cores.copies, count_of(ptx, "cp.async.wait_group " + std::to_string(row.tile->stages - 2) + ";") > 0);
        // A block's numbers come 16 bytes at a time: four from each place of the warp's rows and columns.
        EXPECT_EQ((row.tile->warp_m + row.tile->warp_n) / 8, count_of(ptx, "ld.shared.v4"));
        EXPECT_EQ(0u, count_of(ptx, "__local_depot")) << "an array lies in memory";
    }
    for (const int32_t precision : kPrecisions) {
        TensorCores cores;
        cores.precision = precision;
        EXPECT_GT(count_of(ptx_of(compiler, folder.path(), kMmaProbeSource, mma_options(cores), ""), "mma.sync"), 0u);
        cores.copies = true;
        EXPECT_GT(count_of(ptx_of(compiler, folder.path(), kMmaProbeSource, mma_options(cores), ""), "cp.async"), 0u);
    }
}

// Where NVIDIA's assembler is installed (Debian: nvidia-cuda-toolkit in non-free; HPCNET_PTXAS names another one): it takes the PTX for
// each of the cards, and says how many registers a kernel has.
TEST(MmaPtx, IsAssembledWhereThereIsAnAssembler) {
    const char* chosen = std::getenv("HPCNET_PTXAS");
    const std::string assembler = chosen ? chosen : "ptxas";
    if (run("'" + assembler + "' --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no ptxas is here";
    const std::string compiler = ptx_compiler();
    if (compiler.empty()) GTEST_SKIP() << "no clang that writes PTX (nvptx64) was found";
    // What OpenCL's own functions are there.
    const char* const before = "#define get_local_id(i) ((size_t)__nvvm_read_ptx_sreg_tid_x())\n"
                               "#define get_group_id(i) ((size_t)__nvvm_read_ptx_sreg_ctaid_x())\n"
                               "#define barrier(f) __asm__ volatile(\"bar.sync 0;\" : : : \"memory\")\n"
                               "#define fma(a, b, c) __builtin_fmaf(a, b, c)\n"
                               "#define min(a, b) ((a) < (b) ? (a) : (b))\n";
    const Folder folder;
    for (const PtxCase& row : ptx_cases()) {
        const Kernel kernel = mma_kernel(row.form, row.plan(), {}, row.cores);
        SCOPED_TRACE(kernel.options);
        const std::string where = "'" + folder.path().string() + "/program";
        ptx_of(compiler, folder.path(), *kernel.source, kernel.options, before);
        for (const char* card : {"sm_80", "sm_90"}) {
            EXPECT_EQ(0, run("'" + assembler + "' -v -arch " + card + " " + where + ".ptx' -o " + where + ".cubin' > " + where + ".log' 2>&1"))
                << text_of(folder.path() / "program.log");
            const std::string words = text_of(folder.path() / "program.log");
            const size_t at = words.find("Used ");
            std::cout << kernel.options << ", " << card << ": " << (at == std::string::npos ? words : words.substr(at, words.find(" reg", at) - at)) << " registers"
                      << (words.find(" 0 bytes spill stores") == std::string::npos ? ", some spilled" : "") << "\n";
        }
    }
}

#endif

}  // namespace
}  // namespace hpc::test
