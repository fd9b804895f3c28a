// Each OpenCL kernel by itself, against the CPU's scalar kernels or a reference in double precision, over ragged
// shapes, every launch shape and every specialisation: with and without double precision, with the largest and the
// smallest work-group, at aligned and unaligned places. Operands lie between guard elements that must stay as they
// were. Activations, losses and rules are found in the tables.
//
// Without an OpenCL device the tests are skipped; with HPCNET_REQUIRE_OPENCL in the environment that is a failure. On
// oclgrind, which is slow and looks for races and wrong addresses, only the smallest shapes run
// (check_opencl_races.sh).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/kernels.h"
#include "harness.h"
#include "opencl/api.h"
#include "opencl/device.h"
#include "opencl/kernels.h"
#include "opencl/program_cache.h"
#include "tables.h"

namespace {

using namespace hpc;
using namespace hpc::opencl;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kAlpha = 0.75f, kBeta = 1.25f;
constexpr uint32_t kPattern = 0x5a5a5a5au;
constexpr size_t kStrip = 64;  // guard elements on either side

const cpu::Kernels& oracle() { return cpu::kScalarKernels; }

uint32_t word_of(float x) {
    uint32_t word;
    std::memcpy(&word, &x, sizeof word);
    return word;
}

// The same bits; any two NaN and any two numbers below the normal ones (which a device may flush) are the same.
bool same(float a, float b) {
    if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
    constexpr float normal = std::numeric_limits<float>::min();
    if (std::fabs(a) < normal && std::fabs(b) < normal) return true;
    return word_of(a) == word_of(b);
}

std::vector<float> random_floats(uint64_t count, uint32_t seed, float scale = 1) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> data(count);
    for (float& x : data) x = normal(generator);
    return data;
}

// A context and a queue on the first device that will do, and its built programs, once for all tests.
class Machine {
public:
    static Machine* get() { return machine_.get(); }

    // Gone before the process ends: drivers take their own globals down in no certain order.
    class Environment : public testing::Environment {
        void SetUp() override { machine_ = open(); }
        void TearDown() override { machine_.reset(); }
    };

    cl_kernel kernel(const Kernel& kernel, const Limits& limits) {
        const std::string options = common_options(limits) + kernel.options;
        Ref<cl_kernel>& made = kernels_[std::string(kernel.name) + options];
        if (!made)
            made =
                Ref<cl_kernel>(api, HPC_CL_CREATE(api, clCreateKernel, program(*kernel.source, options), kernel.name));
        return made.get();
    }

    Limits limits(bool fp64 = true, uint64_t group = kGroup) const {
        return Limits::of(std::min<uint64_t>(group, device.work_group), device.local_memory, 4, fp64 && device.fp64,
                          device.rounded_divide, device_class(device));
    }

    // What may be tried beside the device's own: no double precision, small groups.
    std::vector<Limits> all_limits() const {
        std::vector<Limits> all;
        if (device.fp64) all.push_back(limits());
        all.push_back(limits(false));
        all.push_back(limits(true, Limits::kLeastGroup));
        return all;
    }

    const DeviceInfo device;
    const Api& api;
    const bool slow;  // oclgrind
    Ref<cl_context> context;
    Ref<cl_command_queue> queue;

private:
    explicit Machine(const DeviceInfo& found)
        : device(found), api(*found.api), slow(found.platform_name.find("Oclgrind") != std::string::npos) {
        const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                    reinterpret_cast<cl_context_properties>(device.platform), 0};
        context = Ref<cl_context>(
            api, HPC_CL_CREATE(api, clCreateContext, static_cast<const cl_context_properties*>(properties), cl_uint{1},
                               &device.id, nullptr, static_cast<void*>(nullptr)));
        queue = Ref<cl_command_queue>(
            api, HPC_CL_CREATE(api, clCreateCommandQueue, context.get(), device.id, cl_bitfield{0}));
    }

    static std::unique_ptr<Machine> open() {
        for (const DeviceInfo& device : discover().devices)
            if (device.lacks.empty()) return std::unique_ptr<Machine>(new Machine(device));
        return nullptr;
    }

    cl_program program(const Source& source, const std::string& options) {
        Ref<cl_program>& made = programs_[source.name + options];
        if (made) return made.get();
        std::string text;
        for (const char* const* name = source.texts; *name; name++) text += embedded_text(*name);
        const char* pointer = text.c_str();
        const size_t size = text.size();
        Ref<cl_program> built(
            api, HPC_CL_CREATE(api, clCreateProgramWithSource, context.get(), cl_uint{1}, &pointer, &size));
        // Warnings are errors here.
        const cl_int code = attempt(api.clBuildProgram, built.get(), cl_uint{1}, &device.id,
                                    (options + " -Werror").c_str(), nullptr, static_cast<void*>(nullptr));
        if (code != CL_SUCCESS) {
            size_t length = 0;
            api.clGetProgramBuildInfo(built.get(), device.id, CL_PROGRAM_BUILD_LOG, 0, nullptr, &length);
            std::string log(length, 0);
            api.clGetProgramBuildInfo(built.get(), device.id, CL_PROGRAM_BUILD_LOG, length, log.data(), nullptr);
            ADD_FAILURE() << source.name << options << "\n" << log;
            fail_call("clBuildProgram", code);
        }
        made = std::move(built);
        return made.get();
    }

    static inline std::unique_ptr<Machine> machine_;
    std::map<std::string, Ref<cl_program>> programs_;
    std::map<std::string, Ref<cl_kernel>> kernels_;
};

const testing::Environment* const kEnvironment = testing::AddGlobalTestEnvironment(new Machine::Environment);

// `count` elements of 4 bytes at an offset, between guards.
template <class T>
class Operand {
public:
    Operand(const std::vector<T>& values, uint64_t shift = 0) : values_(values), offset_(kStrip + shift) {
        static_assert(sizeof(T) == 4);
        all_.assign(offset_ + values.size() + kStrip, kPattern);
        if (!values.empty()) std::memcpy(&all_[offset_], values.data(), values.size() * 4);
        Machine& m = *Machine::get();
        memory_ = Ref<cl_mem>(m.api, HPC_CL_CREATE(m.api, clCreateBuffer, m.context.get(), CL_MEM_READ_WRITE,
                                                   all_.size() * 4, static_cast<void*>(nullptr)));
        HPC_CL(m.api, clEnqueueWriteBuffer, m.queue.get(), memory_.get(), CL_TRUE, size_t{0}, all_.size() * 4,
               static_cast<const void*>(all_.data()), cl_uint{0}, nullptr, nullptr);
    }
    static Operand empty(uint64_t count, uint64_t shift = 0) {
        std::vector<T> values(count);
        if (count) std::memset(values.data(), 0x5a, count * 4);
        return Operand(values, shift);
    }

    // What is there now; what lies around it is looked at.
    std::vector<T> read() const {
        std::vector<uint32_t> now(all_.size());
        Machine& m = *Machine::get();
        HPC_CL(m.api, clEnqueueReadBuffer, m.queue.get(), memory_.get(), CL_TRUE, size_t{0}, now.size() * 4,
               static_cast<void*>(now.data()), cl_uint{0}, nullptr, nullptr);
        for (size_t i = 0; i < now.size(); i++) {
            if (i >= offset_ && i < offset_ + values_.size()) continue;
            if (now[i] != kPattern) {
                ADD_FAILURE() << "element " << static_cast<int64_t>(i) - static_cast<int64_t>(offset_) << " of "
                              << values_.size() << " was written";
                break;
            }
        }
        std::vector<T> result(values_.size());
        if (!result.empty()) std::memcpy(result.data(), &now[offset_], result.size() * 4);
        return result;
    }

    const std::vector<T>& values() const { return values_; }
    cl_mem memory() const { return memory_.get(); }
    cl_ulong offset() const { return offset_; }

private:
    std::vector<T> values_;
    uint64_t offset_;
    std::vector<uint32_t> all_;
    Ref<cl_mem> memory_;
};

using Floats = Operand<float>;
using Words = Operand<uint32_t>;

struct Float8 {
    float at[8];
};
struct Float4 {
    float at[4];
};

// The metrics of a program, and the calling convention of kernels.h.
class Bench {
public:
    explicit Bench(const Limits& device) : limits(device) {}

    template <class... A>
    void run(const Kernel& kernel, const Launch& launch, const A&... arguments) {
        run_guarded(0, kernel, launch, arguments...);
    }

    template <class... A>
    void run_guarded(cl_uint guard, const Kernel& kernel, const Launch& launch, const A&... arguments) {
        if (launch.groups == 0) return;
        Machine& m = *Machine::get();
        cl_kernel object = m.kernel(kernel, limits);
        EXPECT_LE(launch.local, kGroup);
        EXPECT_EQ(launch.local & (launch.local - 1), 0u);
        cl_ulong local_bytes = 0;
        HPC_CL(m.api, clGetKernelWorkGroupInfo, object, m.device.id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local_bytes,
               static_cast<void*>(&local_bytes), static_cast<size_t*>(nullptr));
        EXPECT_LE(local_bytes, limits.local_bytes) << kernel.name << kernel.options;
        index_ = 0;
        set(object, own_metrics());
        set(object, guard);
        (pass(object, arguments), ...);
        const size_t global = launch.global(), local = launch.local;
        HPC_CL(m.api, clEnqueueNDRangeKernel, m.queue.get(), object, cl_uint{1}, static_cast<const size_t*>(nullptr),
               &global, &local, cl_uint{0}, nullptr, nullptr);
        HPC_CL(m.api, clFinish, m.queue.get());
    }

    device_metrics metrics() {
        Machine& m = *Machine::get();
        device_metrics result;
        HPC_CL(m.api, clEnqueueReadBuffer, m.queue.get(), own_metrics(), CL_TRUE, size_t{0}, sizeof result,
               static_cast<void*>(&result), cl_uint{0}, nullptr, nullptr);
        return result;
    }
    void set_metrics(const device_metrics& value) {
        Machine& m = *Machine::get();
        HPC_CL(m.api, clEnqueueWriteBuffer, m.queue.get(), own_metrics(), CL_TRUE, size_t{0}, sizeof value,
               static_cast<const void*>(&value), cl_uint{0}, nullptr, nullptr);
    }
    double sum(uint64_t cell) const { return read_sum(cell, limits.fp64); }

    const Limits limits;

private:
    cl_mem own_metrics() {
        if (!memory_) {
            Machine& m = *Machine::get();
            memory_ = Ref<cl_mem>(m.api, HPC_CL_CREATE(m.api, clCreateBuffer, m.context.get(), CL_MEM_READ_WRITE,
                                                       sizeof(device_metrics), static_cast<void*>(nullptr)));
            set_metrics({});
        }
        return memory_.get();
    }

    template <class T>
    void set(cl_kernel kernel, const T& value) {
        HPC_CL(Machine::get()->api, clSetKernelArg, kernel, index_++, sizeof value, static_cast<const void*>(&value));
    }
    template <class T>
    void pass(cl_kernel kernel, const Operand<T>& operand) {
        set(kernel, operand.memory());
        set(kernel, operand.offset());
    }
    // An operand that the specialisation does not have.
    void pass(cl_kernel kernel, std::nullptr_t) {
        set(kernel, own_metrics());
        set(kernel, cl_ulong{0});
    }
    void pass(cl_kernel kernel, uint64_t value) { set(kernel, value); }
    void pass(cl_kernel kernel, uint32_t value) { set(kernel, value); }
    void pass(cl_kernel kernel, float value) { set(kernel, value); }
    void pass(cl_kernel kernel, const Float8& value) { set(kernel, value); }
    void pass(cl_kernel kernel, const Float4& value) { set(kernel, value); }

    Ref<cl_mem> memory_;
    cl_uint index_ = 0;
};

class OpenClKernels : public testing::Test {
protected:
    void SetUp() override {
        if (Machine::get()) return;
        if (test::opencl_is_required()) FAIL() << "an OpenCL device is required:\n" << discover().report;
        GTEST_SKIP() << "no OpenCL device";
    }
    static bool slow() { return Machine::get()->slow; }
    static std::vector<uint64_t> flat_counts() {
        if (slow()) return {1, 5, 66};
        return {1, 2, 3, 4, 5, 63, 64, 1023, 1024, 1025, 8191, 8193, 40001};
    }
    static std::vector<Limits> all_limits() { return Machine::get()->all_limits(); }
    static Limits limits() { return Machine::get()->limits(); }
};

// Every kind of number, then random ones.
std::vector<float> telling_floats(uint64_t count, uint32_t seed, float scale = 4) {
    std::vector<float> data = random_floats(count, seed, scale);
    const float special[] = {0.0f,   -0.0f,  1.0f,    -1.0f,  kInfinity, -kInfinity, kNan, 88.7f,
                             -88.7f, 104.5f, -104.5f, 1e-30f, 3e38f,     -3e38f,     9.5f, -20.0f};
    for (uint64_t i = 0; i < std::size(special) && i * 7 < count && count > 4; i++) data[i * 7] = special[i];
    return data;
}

void expect_same(const std::vector<float>& actual, const std::vector<float>& expected, const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); i++)
        ASSERT_TRUE(same(actual[i], expected[i])) << what << " [" << i << "] " << actual[i] << " " << expected[i];
}

// |actual - expected| <= bound[i], both finite.
void expect_near(const std::vector<float>& actual, const std::vector<double>& expected,
                 const std::vector<double>& bound, const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); i++)
        ASSERT_LE(std::fabs(static_cast<double>(actual[i]) - expected[i]), bound[i])
            << what << " [" << i << "] " << actual[i] << " " << expected[i];
}

// ---- Elementwise ----------------------------------------------------------------------------------------------------

TEST_F(OpenClKernels, ActivationsHaveTheBitsOfTheCpu) {
    Bench bench(limits());
    for (int activation = 0; activation < cpu::kActivationCount; activation++) {
        for (uint64_t count : flat_counts()) {
            for (uint64_t shift : {0, 3}) {
                const std::string what = std::string(activation_info(activation)->name) + " " + std::to_string(count);
                const int64_t n = static_cast<int64_t>(count);
                const Floats x(telling_floats(count, 1), shift);
                std::vector<float> value(count), derivative(count);
                oracle().activation_forward[activation](x.values().data(), value.data(), derivative.data(), n, kAlpha,
                                                        kBeta, false);
                Floats y = Floats::empty(count), d = Floats::empty(count, 1);
                bench.run(activation_forward_kernel(activation, true), flat_launch(count, bench.limits), x, y, d, count,
                          kAlpha, kBeta);
                expect_same(y.read(), value, what);
                expect_same(d.read(), derivative, what + " derivative");
                Floats alone = Floats::empty(count, shift);
                bench.run(activation_forward_kernel(activation, false), flat_launch(count, bench.limits), x, alone,
                          nullptr, count, kAlpha, kBeta);
                expect_same(alone.read(), value, what + " alone");

                const bool kept = activation_info(activation)->keeps != HPC_KEEPS_NOTHING;
                const Floats& from = activation_info(activation)->keeps == HPC_KEEPS_OUTPUT ? y : d;
                const std::vector<float> from_values = from.read();
                Floats dy(random_floats(count, 2), shift), dx = Floats::empty(count, shift);
                std::vector<float> expected(count);
                oracle().activation_backward[activation](from_values.data(), dy.values().data(), expected.data(), n,
                                                         kAlpha, kBeta, false);
                const Kernel backward = activation_backward_kernel(activation, kept);
                if (kept) {
                    bench.run(backward, flat_launch(count, bench.limits), from, dy, dx, count, kAlpha, kBeta);
                    bench.run(backward, flat_launch(count, bench.limits), from, dy, dy, count, kAlpha, kBeta);
                } else {
                    bench.run(backward, flat_launch(count, bench.limits), nullptr, dy, dx, count, kAlpha, kBeta);
                    bench.run(backward, flat_launch(count, bench.limits), nullptr, dy, dy, count, kAlpha, kBeta);
                }
                expect_same(dx.read(), expected, what + " backward");
                expect_same(dy.read(), expected, what + " backward in place");
            }
        }
    }
}

TEST_F(OpenClKernels, FlatArithmeticHasTheBitsOfTheCpu) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t count : flat_counts()) {
            for (uint64_t shift : {0, 1}) {
                const int64_t n = static_cast<int64_t>(count);
                const std::string what = std::to_string(count) + " at " + std::to_string(shift);
                const std::vector<float> x = random_floats(count, 3), y = random_floats(count, 4);
                const Launch launch = flat_launch(count, limits);

                Floats scaled(x, shift);
                bench.run(scale_kernel(), launch, scaled, count, 0.37f);
                std::vector<float> expected = x;
                oracle().scale(expected.data(), n, 0.37f);
                expect_same(scaled.read(), expected, "scale " + what);

                Floats source(x, shift), target(y);
                bench.run(add_scaled_kernel(), launch, source, target, count, -0.37f);
                expected = y;
                oracle().add_scaled(x.data(), expected.data(), n, -0.37f);
                expect_same(target.read(), expected, "add_scaled " + what);

                Floats adversarial = Floats::empty(count);
                const uint64_t moved = count / 3;
                bench.run(fast_gradient_sign_kernel(), launch, source, Floats(y), adversarial, count, moved, 0.25f, -0.5f, 0.75f);
                expected = x;
                oracle().fast_gradient_sign(x.data(), y.data(), expected.data(), static_cast<int64_t>(moved), 0.25f, -0.5f, 0.75f, false);
                expect_same(adversarial.read(), expected, "fast_gradient_sign " + what);

                Floats product = Floats::empty(count, shift), left(x, shift), right(y);
                const Floats a(x, shift), b(y);
                bench.run(multiply_kernel(), launch, a, b, product, count);
                bench.run(multiply_kernel(), launch, left, b, left, count);
                bench.run(multiply_kernel(), launch, a, right, right, count);
                oracle().multiply(x.data(), y.data(), expected.data(), n, false);
                expect_same(product.read(), expected, "multiply " + what);
                expect_same(left.read(), expected, "multiply over x " + what);
                expect_same(right.read(), expected, "multiply over y " + what);

                Floats filled = Floats::empty(count, shift);
                bench.run(fill_kernel(), launch, filled, count, 2.5f);
                expect_same(filled.read(), std::vector<float>(count, 2.5f), "fill " + what);

                for (float norm : {3.0f, 0.05f, kInfinity, kNan}) {
                    Floats clipped(x, shift), at({norm}, 5);
                    // A norm beyond float32 is taken from the metrics: there it is infinite, too.
                    device_metrics found{};
                    const double metric = static_cast<double>(norm);
                    std::memcpy(&found.gradient_norm, &metric, sizeof metric);
                    bench.set_metrics(found);
                    bench.run(clip_by_norm_kernel(), launch, clipped, at, count, 0.5f);
                    expected = x;
                    const double factor = static_cast<double>(0.5f) / (static_cast<double>(norm) + 1e-6);
                    if (factor < 1) oracle().scale(expected.data(), n, static_cast<float>(factor));
                    if (limits.fp64) {
                        expect_same(clipped.read(), expected, "clip " + what);
                    } else if (std::isinf(norm)) {
                        // Without double precision the largest float stands for what is beyond it.
                        for (const float v : clipped.read()) EXPECT_LE(std::fabs(v), 1e-37f);
                    } else {
                        const std::vector<float> actual = clipped.read();
                        for (size_t i = 0; i < actual.size(); i++) EXPECT_FLOAT_EQ(actual[i], expected[i]);
                    }
                }
            }
        }
    }
}

TEST_F(OpenClKernels, RandomNumbersHaveTheBitsOfTheCpu) {
    Bench bench(limits());
    for (uint64_t count : flat_counts()) {
        for (uint64_t shift : {0, 2}) {
            for (uint64_t seed : {uint64_t{0}, uint64_t{0x123456789abcdef0}}) {
                const uint64_t stream = seed ^ 0xfedcba9876543210u;
                const int64_t n = static_cast<int64_t>(count);
                const Launch launch = flat_launch(count, bench.limits);
                Floats x = Floats::empty(count, shift);
                bench.run(philox_uniform_kernel(), launch, x, count, seed, stream, -0.3f, 1.7f);
                std::vector<float> expected(count);
                oracle().philox_uniform(expected.data(), 0, n, seed, stream, -0.3f, 1.7f);
                expect_same(x.read(), expected, "uniform");

                Floats in(random_floats(count, 5), shift), out = Floats::empty(count);
                bench.run(dropout_kernel(), launch, in, out, count, seed, stream, 0.3f);
                bench.run(dropout_kernel(), launch, in, in, count, seed, stream, 0.3f);
                oracle().dropout(in.values().data(), expected.data(), 0, n, seed, stream, 0.3f);
                expect_same(out.read(), expected, "dropout");
                expect_same(in.read(), expected, "dropout in place");

                Floats affine(random_floats(count, 5), shift);
                bench.run(affine_dropout_kernel(), launch, affine, out, count, seed, stream, 0.3f, 1.25f, -0.5f, 2.75f);
                oracle().affine_dropout(affine.values().data(), expected.data(), 0, n, seed, stream, 0.3f, 1.25f, -0.5f, 2.75f);
                expect_same(out.read(), expected, "affine dropout");
                bench.run(affine_dropout_kernel(), launch, affine, affine, count, seed, stream, 0.3f, 1.25f, -0.5f, 2.75f);
                expect_same(affine.read(), expected, "affine dropout in place");

                Floats noisy(random_floats(count, 5), shift);
                bench.run(gaussian_noise_kernel(), launch, noisy, out, count, seed, stream, 0.75f);
                oracle().gaussian_noise(noisy.values().data(), expected.data(), 0, n, seed, stream, 0.75f);
                expect_same(out.read(), expected, "noise");
                bench.run(gaussian_noise_kernel(), launch, noisy, noisy, count, seed, stream, 0.75f);
                expect_same(noisy.read(), expected, "noise in place");
            }
        }
    }
}

TEST_F(OpenClKernels, DroppedRatesHaveTheBitsOfTheCpu) {
    Bench bench(limits());
    for (uint64_t count : flat_counts()) {
        Floats p(random_floats(count, 6), 1), g(random_floats(count, 7)), none = Floats::empty(count, 0);
        const std::vector<float> before = p.values();
        std::vector<float> expected = before;
        cpu::UpdateElements e{};
        const float rate[HPC_MAX_HYPERPARAMETERS] = {0.5f};
        e.parameters = expected.data();
        e.gradients = g.values().data();
        e.count = static_cast<int64_t>(count);
        prepare_rule(HPC_RULE_SGD)(rate, 1, e.h);
        oracle().update[HPC_RULE_SGD](e);
        oracle().restore_dropped(before.data(), expected.data(), 0, e.count, 11, 12, 0.5f);
        Float8 h0;
        Float4 h1;
        std::memcpy(h0.at, e.h, sizeof h0.at);
        std::memcpy(h1.at, e.h + 8, sizeof h1.at);
        bench.run(update_kernel(HPC_RULE_SGD, true), flat_launch(count, bench.limits), p, g, none, none, none, none, count, h0, h1,
                  uint64_t{11}, uint64_t{12}, 0.5f);
        expect_same(p.read(), expected, "dropped rates");
    }
}

TEST_F(OpenClKernels, RulesHaveTheBitsOfTheCpu) {
    Bench bench(limits());
    for (int rule = 0; rule < cpu::kRuleCount; rule++) {
        const hpc_rule_info& info = *rule_info(rule);
        for (uint64_t count : flat_counts()) {
            for (uint64_t shift : {0, 1}) {
                float hyperparameters[HPC_MAX_HYPERPARAMETERS] = {0.01f, 0.9f, 0.99f,
                                                                  rule == HPC_RULE_ADAM ? 1e-8f : 1.0f};
                Floats p(random_floats(count, 6), shift), g(random_floats(count, 7));
                std::vector<Floats> states;
                for (int i = 0; i < HPC_MAX_STATES; i++) {
                    std::vector<float> state = random_floats(count, 8 + static_cast<uint32_t>(i));
                    for (float& s : state) s = std::fabs(s);
                    states.emplace_back(state, shift);
                }
                std::vector<float> expected = p.values();
                std::vector<std::vector<float>> kept;
                for (const Floats& state : states) kept.push_back(state.values());
                const device_metrics flagged{0, 0, 0, 0, 0, 0, 0, HPC_FLAG_NONFINITE, 0};
                for (uint64_t step = 1; step <= 3; step++) {
                    cpu::UpdateElements e{};
                    e.parameters = expected.data();
                    e.gradients = g.values().data();
                    for (int i = 0; i < info.state_count; i++) e.states[i] = kept[static_cast<size_t>(i)].data();
                    e.count = static_cast<int64_t>(count);
                    prepare_rule(rule)(hyperparameters, step, e.h);
                    // The second step finds a flag set, and nothing happens.
                    if (step != 2) oracle().update[rule](e);
                    bench.set_metrics(step == 2 ? flagged : device_metrics{});
                    Float8 h0;
                    Float4 h1;
                    std::memcpy(h0.at, e.h, sizeof h0.at);
                    std::memcpy(h1.at, e.h + 8, sizeof h1.at);
                    bench.run_guarded(1, update_kernel(rule), flat_launch(count, bench.limits), p, g, states[0],
                                      states[1], states[2], states[3], count, h0, h1);
                    expect_same(p.read(), expected,
                                std::string(info.name) + " " + std::to_string(count) + " step " + std::to_string(step));
                    for (size_t i = 0; i < states.size(); i++)
                        expect_same(states[i].read(),
                                    static_cast<int>(i) < info.state_count ? kept[i] : states[i].values(),
                                    std::string(info.name) + " state");
                }
            }
        }
    }
}

// ---- Gather ---------------------------------------------------------------------------------------------------------

TEST_F(OpenClKernels, GatherCopiesRowsAndFlagsWhatIsNotThere) {
    for (const Limits& limits : {all_limits().front(), all_limits().back()}) {
        for (uint64_t columns :
             slow() ? std::vector<uint64_t>{1, 4} : std::vector<uint64_t>{1, 3, 4, 31, 33, 64, 513, 1030}) {
            for (uint64_t rows : slow() ? std::vector<uint64_t>{3} : std::vector<uint64_t>{1, 7, 100}) {
                for (uint64_t shift : {0, 2}) {
                    const uint64_t source_rows = 11, offset = 5;
                    std::vector<uint32_t> data(source_rows * columns);
                    for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<uint32_t>(i * 2654435761u);
                    std::vector<uint32_t> order(offset + rows);
                    for (size_t i = 0; i < order.size(); i++) order[i] = static_cast<uint32_t>(i * 7 % source_rows);
                    for (int bad = 0; bad < 4; bad++) {
                        // An index that is too large, one below zero, and indices that end one row early.
                        std::vector<uint32_t> given = order;
                        if (bad == 1) given.back() = static_cast<uint32_t>(source_rows);
                        if (bad == 2) given.back() = 0xffffffffu;
                        const uint64_t available = given.size() - (bad == 3 ? 1 : 0);
                        Bench bench(limits);
                        const Words source(data, shift), indices(given, 1);
                        Words destination = Words::empty(rows * columns);
                        bench.run(gather_kernel(), gather_launch(rows, columns, limits), source, indices, destination,
                                  source_rows, available, offset, rows, columns,
                                  static_cast<uint32_t>(row_lanes(columns, limits)));
                        const std::vector<uint32_t> actual = destination.read();
                        for (uint64_t i = 0; i < rows; i++) {
                            const uint64_t row = bad && i + 1 == rows ? 0 : order[offset + i];
                            for (uint64_t j = 0; j < columns; j++)
                                ASSERT_EQ(actual[i * columns + j], data[row * columns + j]) << i << " " << j;
                        }
                        EXPECT_EQ(bench.metrics().flags, bad ? static_cast<uint32_t>(HPC_FLAG_INDEX) : 0u);
                    }
                }
            }
        }
    }
}

// What lies beside the columns stays, on either side of each row.
TEST_F(OpenClKernels, CopyColumnsTouchesNothingElse) {
    for (const Limits& limits : {all_limits().front(), all_limits().back()}) {
        for (uint64_t columns : slow() ? std::vector<uint64_t>{1, 4} : std::vector<uint64_t>{1, 2, 3, 4, 31, 32, 33, 512, 1030}) {
            for (uint64_t rows : slow() ? std::vector<uint64_t>{3} : std::vector<uint64_t>{1, 7, 100}) {
                for (uint64_t beside : {0, 2, 3, 4}) {
                    for (uint64_t shift : {0, 2}) {
                        const uint64_t ldx = columns + beside, ldy = columns + 8 - beside;
                        std::vector<uint32_t> data(rows * ldx), expected(rows * ldy);
                        for (size_t i = 0; i < data.size(); i++) data[i] = static_cast<uint32_t>(i * 2654435761u);
                        for (size_t i = 0; i < expected.size(); i++) expected[i] = static_cast<uint32_t>(i * 40503u);
                        const Words x(data, shift), y(expected);
                        for (uint64_t i = 0; i < rows; i++)
                            for (uint64_t j = 0; j < columns; j++) expected[i * ldy + j] = data[i * ldx + j];
                        Bench bench(limits);
                        bench.run(copy_columns_kernel(), gather_launch(rows, columns, limits), x, y, rows, columns, ldx, ldy,
                                  static_cast<uint32_t>(row_lanes(columns, limits)));
                        ASSERT_EQ(y.read(), expected) << rows << " x " << columns << " of " << ldx << " to " << ldy;
                    }
                }
            }
        }
    }
}

// ---- Column sums, norms, metrics ------------------------------------------------------------------------------------

std::vector<float> sums_of(Bench& bench, const Floats& x, uint64_t rows, uint64_t columns) {
    Floats y = Floats::empty(columns, 3);
    const ColumnPlan plan = plan_columns(rows, columns, bench.limits);
    if (plan.parts <= 1) {
        bench.run(column_sums_kernel(), columns_launch(plan, bench.limits), x, y, rows, columns, plan.block,
                  static_cast<uint32_t>(plan.lanes));
        return y.read();
    }
    EXPECT_EQ(columns_scratch(rows, columns, bench.limits), plan.parts * columns * 4);
    Floats parts = Floats::empty(plan.parts * columns);
    bench.run(column_sums_kernel(), columns_launch(plan, bench.limits), x, parts, rows, columns, plan.block,
              static_cast<uint32_t>(plan.lanes));
    parts.read();
    const ColumnPlan combine = plan_combine(plan.parts, columns, bench.limits);
    bench.run(column_sums_kernel(), columns_launch(combine, bench.limits), parts, y, plan.parts, columns, combine.block,
              static_cast<uint32_t>(combine.lanes));
    return y.read();
}

std::vector<std::pair<uint64_t, uint64_t>> matrix_shapes(bool slow) {
    if (slow) return {{1, 1}, {5, 3}, {70, 10}};
    return {{1, 1}, {1, 1000}, {7, 1}, {100, 3}, {129, 10}, {600, 10}, {257, 65}, {33, 300}, {4100, 2}, {20000, 1}};
}

TEST_F(OpenClKernels, ColumnSumsAreExactToAnUlp) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (auto [rows, columns] : matrix_shapes(slow())) {
            const Floats x(random_floats(rows * columns, 9), rows % 4);
            std::vector<double> sums(columns), magnitude(columns);
            for (uint64_t i = 0; i < rows * columns; i++) {
                sums[i % columns] += static_cast<double>(x.values()[i]);
                magnitude[i % columns] += std::fabs(static_cast<double>(x.values()[i]));
            }
            // Compensated in the work-items; the few additions between them round.
            for (double& bound : magnitude) bound = bound * 1e-6 + 1e-30;
            expect_near(sums_of(bench, x, rows, columns), sums, magnitude,
                        std::to_string(rows) + " x " + std::to_string(columns));
        }
        // Large numbers that cancel, with many small ones between them.
        const uint64_t rows = slow() ? 40 : 4000;
        std::vector<float> hard(rows, 0.25f);
        hard[0] = 1e8f;
        hard[rows - 1] = -1e8f;
        EXPECT_NEAR(static_cast<double>(sums_of(bench, Floats(hard), rows, 1)[0]), 0.25 * static_cast<double>(rows - 2),
                    16);
        EXPECT_EQ(sums_of(bench, Floats({kInfinity, 1.0f, 2.0f}), 3, 1)[0], kInfinity);
        EXPECT_TRUE(std::isnan(sums_of(bench, Floats({kInfinity, 1.0f, -kInfinity}), 3, 1)[0]));
    }
}

TEST_F(OpenClKernels, ActivationBackwardWithColumnSums) {
    Bench bench(limits());
    for (int activation = 0; activation < cpu::kActivationCount; activation++) {
        const bool kept = activation_info(activation)->keeps != HPC_KEEPS_NOTHING;
        for (auto [rows, columns] : matrix_shapes(slow())) {
            const uint64_t count = rows * columns;
            std::vector<float> values = random_floats(count, 10);
            for (float& v : values) v = std::tanh(v);
            const Floats k(values, 1), dy(random_floats(count, 11));
            Floats dx = Floats::empty(count, 2);
            std::vector<float> expected(count);
            oracle().activation_backward[activation](k.values().data(), dy.values().data(), expected.data(),
                                                     static_cast<int64_t>(count), kAlpha, kBeta, false);
            const ColumnPlan plan = plan_columns(rows, columns, bench.limits);
            Floats parts = Floats::empty(plan.parts * columns, 1), sums = Floats::empty(columns);
            const Kernel kernel = activation_backward_sums_kernel(activation, kept);
            const uint32_t lanes = static_cast<uint32_t>(plan.lanes);
            if (kept) {
                bench.run(kernel, columns_launch(plan, bench.limits), k, dy, dx, parts, rows, columns, plan.block,
                          lanes, kAlpha, kBeta);
            } else {
                bench.run(kernel, columns_launch(plan, bench.limits), nullptr, dy, dx, parts, rows, columns, plan.block,
                          lanes, kAlpha, kBeta);
            }
            expect_same(dx.read(), expected, activation_info(activation)->name);
            parts.read();
            const ColumnPlan combine = plan_combine(plan.parts, columns, bench.limits);
            bench.run(column_sums_kernel(), columns_launch(combine, bench.limits), parts, sums, plan.parts, columns,
                      combine.block, static_cast<uint32_t>(combine.lanes));
            std::vector<double> truth(columns), bound(columns, 1e-30);
            for (uint64_t i = 0; i < count; i++) {
                truth[i % columns] += static_cast<double>(expected[i]);
                bound[i % columns] += 1e-6 * std::fabs(static_cast<double>(expected[i]));
            }
            expect_near(sums.read(), truth, bound, "sums");
        }
    }
}

// The norm by the kernels; the metrics get it as well.
float norm_of(Bench& bench, const Floats& x, double* metric) {
    const uint64_t count = x.values().size();
    const Launch launch = sum_of_squares_launch(count, bench.limits);
    Words partials = Words::empty(norm_scratch(count, bench.limits) / 4);
    Floats norm = Floats::empty(1, 1);
    bench.run(sum_of_squares_kernel(), launch, x, partials, count);
    partials.read();
    bench.run(norm_kernel(), one_group(bench.limits), partials, norm, launch.groups);
    *metric = bench.sum(bench.metrics().gradient_norm);
    return norm.read()[0];
}

TEST_F(OpenClKernels, OtherNorms) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t count : flat_counts()) {
            for (float scale : {1.0f, 1e30f, 1e-30f}) {
                const Floats x(random_floats(count, 12, scale), count % 3);
                double sum = 0, largest = 0, powers = 0;
                for (float v : x.values()) {
                    sum += std::fabs(static_cast<double>(v));
                    largest = std::max(largest, std::fabs(static_cast<double>(v)));
                }
                for (float v : x.values()) powers += std::pow(std::fabs(static_cast<double>(v)) / largest, 3.0);
                const Launch launch = sum_of_squares_launch(count, bench.limits);
                Words partials = Words::empty(norm_scratch(count, bench.limits) / 4);
                Floats norm = Floats::empty(1, 1);
                const auto measure = [&](const char* pass, const char* end, float order) {
                    bench.run(other_norm_kernel(pass), launch, x, partials, norm, count, order);
                    partials.read();
                    bench.run(other_norm_kernel(end), one_group(bench.limits), partials, norm, launch.groups, order);
                    EXPECT_NEAR(bench.sum(bench.metrics().gradient_norm) / static_cast<double>(norm.read()[0]), 1, 1e-7);
                    return static_cast<double>(norm.read()[0]);
                };
                EXPECT_NEAR(measure("sum_of_magnitudes", "norm_of_magnitudes", 1) / sum, 1, 1.2e-7) << count << " " << scale;
                EXPECT_EQ(measure("largest_magnitude", "norm_of_largest", kInfinity), largest) << count << " " << scale;
                EXPECT_NEAR(measure("sum_of_powers", "norm_of_powers", 3) / (largest * std::cbrt(powers)), 1, limits.fp64 ? 1.2e-7 : 3e-6)
                    << count << " " << scale;
            }
        }
    }
}

TEST_F(OpenClKernels, ColumnsAreLimitedToTheirNorm) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t rows : {1, 5, 70}) {
            for (uint64_t columns : {1, 6, 16, 37}) {
                Floats x(random_floats(rows * columns, 14), 3);
                const std::vector<float> before = x.values();
                bench.run(limit_column_norms_kernel(), limit_column_norms_launch(columns, bench.limits), x, rows, columns, 0.75f);
                const std::vector<float> after = x.read();
                for (uint64_t c = 0; c < columns; c++) {
                    double square = 0;
                    for (uint64_t r = 0; r < rows; r++) square += std::pow(static_cast<double>(before[r * columns + c]), 2);
                    const double norm = std::sqrt(square), factor = norm > 0.75 ? 0.75 / (norm + 1e-7) : 1;
                    for (uint64_t r = 0; r < rows; r++) {
                        const double expected = before[r * columns + c] * factor;
                        ASSERT_NEAR(after[r * columns + c], expected, 2e-7 * std::fabs(expected))
                            << rows << " x " << columns << ", column " << c << ", groups of " << limits.group << ", fp64 " << limits.fp64;
                    }
                }
            }
        }
    }
}

TEST_F(OpenClKernels, ClippingAndPenaltiesHaveTheBitsOfTheCpu) {
    Bench bench(limits());
    for (uint64_t count : flat_counts()) {
        const int64_t n = static_cast<int64_t>(count);
        std::vector<float> values = random_floats(count, 15), gradient = random_floats(count, 16);
        values[0] = 0;
        Floats x(values, 1), y(gradient, 2), clipped(gradient, 1);
        std::vector<float> expected = gradient, limited = gradient;
        for (float l1 : {0.25f, -0.25f}) {
            bench.run(add_penalty_kernel(), flat_launch(count, bench.limits), x, y, count, l1, 0.125f);
            oracle().add_penalty(values.data(), expected.data(), n, l1, 0.125f);
            expect_same(y.read(), expected, "penalty");
        }
        bench.run(clip_by_value_kernel(), flat_launch(count, bench.limits), clipped, count, 0.25f);
        oracle().clip(limited.data(), n, 0.25f);
        expect_same(clipped.read(), limited, "clip by value");
    }
}

TEST_F(OpenClKernels, NormsAlsoWhereSquaresOverflow) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t count : flat_counts()) {
            for (float scale : {1.0f, 1e30f, 1e-30f, 1e18f, 1e-13f, 1e12f}) {
                const Floats x(random_floats(count, 12, scale), count % 3);
                double squares = 0, metric = 0;
                for (float v : x.values()) squares += static_cast<double>(v) * static_cast<double>(v);
                const double truth = std::sqrt(squares);
                const float norm = norm_of(bench, x, &metric);
                EXPECT_NEAR(static_cast<double>(norm) / truth, 1, 1.2e-7) << count << " " << scale;
                EXPECT_NEAR(metric / truth, 1, 1e-11) << count << " " << scale;
            }
        }
        double metric = 0;
        EXPECT_EQ(norm_of(bench, Floats(std::vector<float>(5, 0.0f)), &metric), 0.0f);
        EXPECT_EQ(norm_of(bench, Floats({1.0f, -kInfinity, 1e30f}), &metric), kInfinity);
        EXPECT_TRUE(std::isnan(norm_of(bench, Floats({1.0f, kNan, 1e-30f}), &metric)));
        EXPECT_TRUE(std::isnan(norm_of(bench, Floats({1.0f, kNan, 1e30f}), &metric)));
        // Numbers of very different size.
        EXPECT_FLOAT_EQ(norm_of(bench, Floats({3e30f, 4e30f, 1.0f, 1e-30f}), &metric), 5e30f);
        EXPECT_FLOAT_EQ(norm_of(bench, Floats({3e-30f, 4e-30f}), &metric), 5e-30f);
        EXPECT_FLOAT_EQ(norm_of(bench, Floats({2.0f, 1e-30f}), &metric), 2.0f);
    }
}

TEST_F(OpenClKernels, MetricsCountRowsRunsAndFlags) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        const Launch single{1, 1};
        bench.run(end_run_kernel(), single);
        for (uint64_t parts : {1, 300}) {
            // Whole numbers: 0.5, 1.5, ... add up exactly.
            std::vector<uint32_t> words(parts * sizeof(loss_partial) / 4);
            double total = 0;
            uint64_t correct = 0;
            for (uint64_t i = 0; i < parts; i++) {
                loss_partial partial{0, static_cast<uint32_t>(i % 5), 0, 0, 0};
                const double loss = static_cast<double>(i) + 0.5;
                if (limits.fp64) {
                    std::memcpy(&partial.loss, &loss, 8);
                } else {
                    const float pair[2] = {static_cast<float>(loss), 0};
                    std::memcpy(&partial.loss, pair, 8);
                }
                std::memcpy(&words[i * sizeof(loss_partial) / 4], &partial, sizeof partial);
                total += loss;
                correct += i % 5;
            }
            const Words partials(words);
            const device_metrics before = bench.metrics();
            bench.run(combine_losses_kernel(), one_group(limits), partials, parts, uint64_t{77}, uint64_t{4}, 0.5f,
                      uint32_t{0}, uint32_t{0});
            const device_metrics after = bench.metrics();
            EXPECT_DOUBLE_EQ(bench.sum(after.loss) - bench.sum(before.loss), total * 0.5 / 4);
            EXPECT_EQ(after.rows - before.rows, 77u);
            EXPECT_EQ(bench.sum(after.weight) - bench.sum(before.weight), 77);
            EXPECT_EQ(after.correct - before.correct, correct);
            EXPECT_EQ(after.flags, 0u);
            if (parts == 300) {
                loss_partial partial{0, 1, HPC_FLAG_LABEL, 0, 0};
                const double infinite = HUGE_VAL;
                const float pair[2] = {kInfinity, 0};
                std::memcpy(&partial.loss,
                            limits.fp64 ? static_cast<const void*>(&infinite) : static_cast<const void*>(pair), 8);
                std::memcpy(&words[257 * sizeof(loss_partial) / 4], &partial, sizeof partial);
                bench.run(combine_losses_kernel(), one_group(limits), Words(words), parts, uint64_t{1}, uint64_t{1},
                          1.0f, uint32_t{0}, uint32_t{0});
                EXPECT_EQ(bench.metrics().flags, static_cast<uint32_t>(HPC_FLAG_LABEL | HPC_FLAG_NONFINITE));
                EXPECT_EQ(bench.sum(bench.metrics().loss), HUGE_VAL);
            }
            bench.run(end_run_kernel(), single);
        }
        bench.run(end_run_kernel(), single);
        EXPECT_EQ(bench.metrics().runs, 4u);
        EXPECT_EQ(bench.metrics().first_flagged_run, 3u);
    }
}

// ---- Losses ---------------------------------------------------------------------------------------------------------

TEST_F(OpenClKernels, ElementwiseLosses) {
    for (const Limits& limits : all_limits()) {
        for (int loss = 0; loss < cpu::kLossCount; loss++) {
            for (uint64_t count : flat_counts()) {
                for (int what = 1; what < 4; what++) {
                    const bool adds = what & 1, gradient = what & 2;
                    Bench bench(limits);
                    // Probabilities: every loss takes them.
                    const auto probabilities = [&](uint64_t seed) {
                        std::vector<float> x = random_floats(count, seed);
                        for (float& v : x) v = 0.02f + std::fabs(v) / (1.1f + std::fabs(v));
                        return x;
                    };
                    const Floats p(probabilities(13), count % 2), t(probabilities(14));
                    Floats g = Floats::empty(count, 1);
                    std::vector<float> expected(count);
                    cpu::LossElements e{p.values().data(),
                                        t.values().data(),
                                        expected.data(),
                                        static_cast<int64_t>(count),
                                        0.3f,
                                        kAlpha,
                                        kBeta,
                                        0};
                    oracle().loss[loss](e);
                    const Launch launch = loss_launch(count, limits);
                    Words partials = Words::empty(loss_scratch(count, limits) / 4);
                    if (gradient) {
                        bench.run(loss_kernel(loss, adds, true), launch, p, t, g, partials, count, 0.3f, kAlpha, kBeta);
                        expect_same(g.read(), expected, loss_info(loss)->name);
                    } else {
                        bench.run(loss_kernel(loss, adds, false), launch, p, t, nullptr, partials, count, 0.3f, kAlpha,
                                  kBeta);
                    }
                    partials.read();
                    if (!adds) continue;
                    bench.run(combine_losses_kernel(), one_group(limits), partials, launch.groups, uint64_t{3},
                              uint64_t{1}, 1.0f, uint32_t{0}, uint32_t{0});
                    EXPECT_NEAR(bench.sum(bench.metrics().loss), e.loss, 1e-12 * std::fabs(e.loss));
                    EXPECT_EQ(bench.metrics().flags, 0u);
                }
            }
        }
    }
}

TEST_F(OpenClKernels, Softmax) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t columns :
             slow() ? std::vector<uint64_t>{1, 10, 40} : std::vector<uint64_t>{1, 2, 10, 32, 33, 257, 512, 513, 1500}) {
            for (uint64_t rows : slow() ? std::vector<uint64_t>{3} : std::vector<uint64_t>{1, 9, 40}) {
                std::vector<float> x = random_floats(rows * columns, 15, 5);
                if (columns > 2) x[1] = -kInfinity, x[0] = 3e38f;
                Floats in(x, columns % 2), out = Floats::empty(rows * columns, 1);
                const Kernel kernel = softmax_kernel(columns, limits);
                const Launch launch = softmax_launch(rows, columns, limits);
                bench.run(kernel, launch, in, out, rows, columns);
                bench.run(kernel, launch, in, in, rows, columns);
                std::vector<float> expected(x.size());
                oracle().softmax(x.data(), expected.data(), static_cast<int64_t>(rows), static_cast<int64_t>(columns), false);
                const std::vector<float> actual = out.read();
                for (size_t i = 0; i < x.size(); i++)
                    ASSERT_NEAR(actual[i], expected[i],
                                (2e-6f + 2e-9f * static_cast<float>(columns)) * expected[i] + 1e-37f)
                        << rows << " x " << columns;
                expect_same(in.read(), actual, "in place");
            }
        }
        const Floats bad({0.0f, kNan, 1.0f, 0.0f, 1.0f, 2.0f});
        Floats y = Floats::empty(6);
        bench.run(softmax_kernel(3, limits), softmax_launch(2, 3, limits), bad, y, uint64_t{2}, uint64_t{3});
        const std::vector<float> actual = y.read();
        for (int i = 0; i < 6; i++) EXPECT_EQ(std::isnan(actual[static_cast<size_t>(i)]), i < 3);
    }
}

TEST_F(OpenClKernels, SoftmaxGradientsAndLogarithms) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t columns : slow() ? std::vector<uint64_t>{1, 10, 40} : std::vector<uint64_t>{1, 2, 10, 33, 257, 513, 1500}) {
            const uint64_t rows = slow() ? 3 : 9, n = rows * columns;
            const auto signed_rows = static_cast<int64_t>(rows), classes = static_cast<int64_t>(columns);
            std::vector<float> x = random_floats(n, 15, 5), dy = random_floats(n, 16), y(n), l(n), dx(n), dl(n);
            oracle().softmax(x.data(), y.data(), signed_rows, classes, false);
            oracle().log_softmax(x.data(), l.data(), signed_rows, classes, false);
            oracle().softmax_backward(y.data(), dy.data(), dx.data(), signed_rows, classes, false);
            oracle().log_softmax_backward(l.data(), dy.data(), dl.data(), signed_rows, classes, false);
            const Launch launch = softmax_launch(rows, columns, limits);
            Floats in(x, columns % 2), logarithms = Floats::empty(n, 1);
            bench.run(log_softmax_kernel(columns, limits), launch, in, logarithms, rows, columns);
            bench.run(log_softmax_kernel(columns, limits), launch, in, in, rows, columns);
            expect_same(in.read(), logarithms.read(), "in place");
            const std::vector<float> found = logarithms.read();
            const Floats from_y(y, 1), from_l(l);
            Floats d(dy), d_y = Floats::empty(n, 2), d_l = Floats::empty(n);
            bench.run(softmax_backward_kernel(columns, limits), launch, from_y, d, d_y, rows, columns);
            bench.run(log_softmax_backward_kernel(columns, limits), launch, from_l, d, d_l, rows, columns);
            bench.run(log_softmax_backward_kernel(columns, limits), launch, from_l, d, d, rows, columns);
            expect_same(d.read(), d_l.read(), "in place");
            const std::vector<float> found_y = d_y.read(), found_l = d_l.read();
            for (size_t i = 0; i < n; i++) {
                ASSERT_NEAR(found[i], l[i], 1e-6f * (4 + std::fabs(l[i]))) << columns;
                ASSERT_NEAR(found_y[i], dx[i], 1e-6f * y[i] * 8 + 1e-37f) << columns;
                ASSERT_NEAR(found_l[i], dl[i], 1e-6f * (4 + std::fabs(dl[i]))) << columns;
            }
        }
    }
}

TEST_F(OpenClKernels, PRelu) {
    for (const Limits& limits : all_limits()) {
        Bench bench(limits);
        for (uint64_t columns : slow() ? std::vector<uint64_t>{1, 10} : std::vector<uint64_t>{1, 3, 64, 65, 300}) {
            for (uint64_t rows : slow() ? std::vector<uint64_t>{3} : std::vector<uint64_t>{1, 9, 700}) {
                for (int variant = 0; variant < 8; variant++) {
                    const bool shared = variant & 1, dslope = variant & 2, sums = variant & 4;
                    const uint64_t n = rows * columns;
                    const ColumnPlan plan = plan_columns(rows, columns, limits);
                    const Launch launch = columns_launch(plan, limits);
                    const auto lanes = static_cast<uint32_t>(plan.lanes);
                    const std::vector<float> x = random_floats(n, 1), dy = random_floats(n, 2), a = random_floats(shared ? 1 : columns, 3);
                    std::vector<float> of_y(n), of_dx(n);
                    std::vector<double> of_slope(columns, 0.0), of_sums(columns, 0.0), bound(columns, 1e-6);
                    for (size_t i = 0; i < n; i++) {
                        const size_t column = i % columns;
                        const float s = a[shared ? 0 : column];
                        of_y[i] = x[i] > 0 ? x[i] : s * x[i];
                        of_dx[i] = (x[i] > 0 ? 1 : s) * dy[i];
                        of_slope[column] += static_cast<double>((x[i] > 0 ? 0 : x[i]) * dy[i]);
                        of_sums[column] += static_cast<double>(of_dx[i]);
                        bound[column] += 2e-7 * (1 + std::fabs(static_cast<double>(of_dx[i])) + std::fabs(static_cast<double>(x[i] * dy[i])));
                    }
                    const Floats in(x, 1), slope(a), gradient(dy);
                    Floats y = Floats::empty(n), dx = Floats::empty(n, 1), slopes = Floats::empty(plan.parts * columns),
                           totals = Floats::empty(plan.parts * columns);
                    bench.run(prelu_forward_kernel(shared), launch, in, slope, y, rows, columns, plan.block, lanes);
                    expect_same(y.read(), of_y, "forward");
                    bench.run(prelu_backward_kernel(shared, true, dslope, sums), launch, in, slope, gradient, dx, slopes, totals, rows,
                              columns, plan.block, lanes);
                    expect_same(dx.read(), of_dx, "backward");
                    const auto summed = [&](const Floats& parts) {
                        std::vector<float> total(columns, 0.0f);
                        const std::vector<float> all = parts.read();
                        for (size_t i = 0; i < all.size(); i++) total[i % columns] += all[i];
                        return total;
                    };
                    if (dslope) expect_near(summed(slopes), of_slope, bound, "slope");
                    if (sums) expect_near(summed(totals), of_sums, bound, "sums");
                }
            }
        }
    }
}

struct CrossEntropyCase {
    uint64_t rows, classes;
    std::vector<float> logits, probabilities;
    std::vector<int32_t> labels;
};

// Runs what was asked for, over the logits themselves if `in_place`, and compares all of it with the CPU's.
void check_cross_entropy(const Limits& limits, const CrossEntropyCase& c, const CrossEntropy& what, bool in_place,
                         uint64_t shift) {
    Bench bench(limits);
    const uint64_t count = c.rows * c.classes;
    const std::string name =
        std::to_string(c.rows) + " x " + std::to_string(c.classes) + (what.labels ? " labels" : " probabilities");
    const Floats x(c.logits, shift), t(c.probabilities, 1);
    std::vector<uint32_t> label_words(c.labels.size());
    if (!c.labels.empty()) std::memcpy(label_words.data(), c.labels.data(), c.labels.size() * 4);
    const Words labels(label_words, 3);
    Floats gradient = Floats::empty(count, 1), sums = Floats::empty(c.classes, 2);
    const uint64_t parts = cross_entropy_parts(c.rows, c.classes, limits),
                   block = cross_entropy_block(c.classes, limits);
    EXPECT_LE(parts * sizeof(loss_partial), cross_entropy_sums_offset(c.rows, c.classes, limits));
    Words partials = Words::empty(parts * sizeof(loss_partial) / 4);
    Floats sum_parts = Floats::empty(parts * c.classes, 1);
    const Floats& first_sums = parts == 1 ? sums : sum_parts;
    const Kernel kernel = cross_entropy_kernel(c.classes, what, limits);
    const Launch launch = cross_entropy_launch(c.rows, c.classes, limits);
    const float scale = 0.25f;
    if (what.labels) {
        bench.run(kernel, launch, x, labels, in_place ? x : gradient, first_sums, partials, c.rows, c.classes, block,
                  scale);
    } else {
        bench.run(kernel, launch, x, t, in_place ? x : gradient, first_sums, partials, c.rows, c.classes, block, scale);
    }
    if (what.sums && parts > 1) {
        const ColumnPlan combine = plan_combine(parts, c.classes, limits);
        bench.run(column_sums_kernel(), columns_launch(combine, limits), sum_parts, sums, parts, c.classes,
                  combine.block, static_cast<uint32_t>(combine.lanes));
    }

    std::vector<float> expected(count);
    cpu::ClassLossRows rows{c.logits.data(),
                                      what.labels ? c.labels.data() : nullptr,
                                      what.labels ? nullptr : c.probabilities.data(),
                                      expected.data(),
                                      nullptr,
                                      static_cast<int64_t>(c.rows),
                                      static_cast<int64_t>(c.classes),
                                      scale,
                                      0,
                                      0,
                                      0};
    oracle().class_loss[what.loss](rows);
    if (what.gradient) {
        const std::vector<float> actual = in_place ? x.read() : gradient.read();
        std::vector<double> truth(c.classes), bound(c.classes, 1e-30);
        for (uint64_t i = 0; i < count; i++) {
            if (std::isnan(expected[i])) {
                ASSERT_TRUE(std::isnan(actual[i])) << name << " " << i;
            } else {
                ASSERT_NEAR(actual[i], expected[i],
                            1e-6f * scale + (2e-6f + 2e-9f * static_cast<float>(c.classes)) * std::fabs(expected[i]))
                    << name << " " << i;
            }
            truth[i % c.classes] += static_cast<double>(actual[i]);
            bound[i % c.classes] += 1e-6 * std::fabs(static_cast<double>(actual[i]));
        }
        if (what.sums && !std::isnan(truth[0])) expect_near(sums.read(), truth, bound, name + " sums");
    } else {
        expect_same(gradient.read(), Floats::empty(count).values(), name + " untouched");
    }
    partials.read();
    sum_parts.read();
    sums.read();
    if (!what.adds_loss) return;
    bench.run(combine_losses_kernel(), one_group(limits), partials, parts, c.rows, uint64_t{1}, 1.0f, uint32_t{what.ignores},
              uint32_t{what.weighs});
    const device_metrics metrics = bench.metrics();
    EXPECT_EQ(metrics.flags, rows.flags) << name;
    EXPECT_EQ(metrics.rows, c.rows);
    if (rows.flags & HPC_FLAG_NONFINITE) {
        EXPECT_FALSE(std::isfinite(bench.sum(metrics.loss))) << name;
    } else {
        EXPECT_NEAR(bench.sum(metrics.loss), rows.loss,
                    2e-6 * std::fabs(rows.loss) + 2e-6 * static_cast<double>(c.rows))
            << name;
        EXPECT_EQ(metrics.correct, rows.correct) << name;
    }
}

CrossEntropyCase cross_entropy_case(uint64_t rows, uint64_t classes) {
    CrossEntropyCase c{rows, classes, random_floats(rows * classes, 16, 3), random_floats(rows * classes, 17), {}};
    // Whole, half and a third of a probability.
    for (uint64_t i = 0; i < rows; i++) {
        float* row = &c.probabilities[i * classes];
        float mass = 1e-3f;
        for (uint64_t j = 0; j < classes; j++) mass += row[j] = row[j] < 0 ? 0 : row[j];
        for (uint64_t j = 0; j < classes; j++) row[j] /= mass * static_cast<float>(1 + i % 3);
    }
    for (uint64_t i = 0; i < rows; i++) c.labels.push_back(static_cast<int32_t>(i * 7 % classes));
    // Several largest logits: the first counts.
    for (uint64_t i = 0; i < rows; i += 3)
        c.logits[i * classes + classes / 2] = c.logits[i * classes + classes - 1] = 20.0f;
    return c;
}

TEST_F(OpenClKernels, CrossEntropyOfEveryShapeAndSpecialisation) {
    const std::vector<std::pair<uint64_t, uint64_t>> shapes =
        slow() ? std::vector<std::pair<uint64_t, uint64_t>>{{1, 1}, {3, 10}, {40, 3}}
               : std::vector<std::pair<uint64_t, uint64_t>>{{1, 1},  {1, 10},   {33, 10}, {129, 10}, {500, 3},
                                                            {7, 33}, {40, 100}, {3, 513}, {13, 1300}};
    for (const Limits& limits : all_limits()) {
        for (auto [rows, classes] : shapes) {
            const CrossEntropyCase c = cross_entropy_case(rows, classes);
            for (bool labels : {true, false}) {
                check_cross_entropy(limits, c, {labels, true, true, true}, false, rows % 2);
                check_cross_entropy(limits, c, {labels, true, true, true}, true, 1);
                if (limits.group != kGroup || classes != 10) continue;
                check_cross_entropy(limits, c, {labels, true, false, false}, false, 0);
                check_cross_entropy(limits, c, {labels, false, true, false}, false, 0);
                check_cross_entropy(limits, c, {labels, false, true, true}, false, 0);
                check_cross_entropy(limits, c, {labels, true, true, false}, false, 0);
            }
        }
    }
}

TEST_F(OpenClKernels, CrossEntropyOfExtremeRows) {
    for (const Limits& limits : all_limits()) {
        for (uint64_t classes : {3, 40}) {
            for (int kind = 0; kind < 6; kind++) {
                CrossEntropyCase c = cross_entropy_case(5, classes);
                float* row = &c.logits[2 * classes];
                if (kind == 0) c.labels[2] = static_cast<int32_t>(classes);
                if (kind == 1) c.labels[2] = -1;
                if (kind == 2) row[1] = kNan;
                if (kind == 3) row[0] = kInfinity;
                if (kind == 4) {  // a class that cannot be, and is not asked for
                    row[0] = -kInfinity;
                    c.labels[2] = 1;
                    c.probabilities[2 * classes] = 0;
                }
                if (kind == 5) {  // the largest float, and finite losses
                    for (uint64_t i = 0; i < classes; i++) row[i] = 1.5e38f;
                    row[1] = 1.6e38f;
                    c.labels[2] = 1;
                    for (uint64_t i = 0; i < classes; i++) c.probabilities[2 * classes + i] = i == 1;
                }
                check_cross_entropy(limits, c, {true, true, true, true}, false, 0);
                if (kind > 1) check_cross_entropy(limits, c, {false, true, true, true}, false, 0);
            }
        }
    }
}

// ---- Products -------------------------------------------------------------------------------------------------------

struct Product {
    Form form;
    uint64_t m, n, k;
};

// How a product is tiled: as plan_gemm chooses, by vectors, or by one tile; tiles with numbers from `whole` on in parts.
constexpr int kChosen = -2, kVector = -1;
struct Tiling {
    int tile = kChosen;
    uint64_t splits = 0;  // 0: as planned
    uint64_t whole = 0;
};

GemmPlan plan_of(const Product& p, const Tiling& tiling, const Limits& limits) {
    if (tiling.tile == kVector) {
        GemmPlan plan;
        plan.split_k = std::max<uint64_t>(p.k, 1);
        plan.row_tiles = p.m;
        plan.column_tiles = blocks_of(p.n, p.form == Form::NN ? kVectorLanes : limits.group / kVectorLanes);
        plan.whole = plan.tiles();
        return plan;
    }
    GemmPlan plan = plan_gemm(p.form, p.m, p.n, p.k, limits, tiling.tile == kChosen ? nullptr : &kGemmTiles[tiling.tile]);
    if (tiling.splits == 0) return plan;
    const uint64_t blocks = blocks_of(p.k, plan.tile->tile_k);
    plan.split_k = blocks_of(blocks, tiling.splits) * plan.tile->tile_k;
    plan.splits = blocks_of(p.k, plan.split_k);
    plan.whole = plan.splits > 1 ? std::min(tiling.whole, plan.tiles() - 1) : plan.tiles();
    plan.strips = plan.splits > 1 ? plan.tile->tile_m / gemm_strip(*plan.tile, limits) : 1;
    return plan;
}

// One product by the kernels against double precision.
void check_product(const Limits& limits, const Product& p, const Epilogue& epilogue, const Tiling& tiling, uint64_t shift) {
    if (tiling.tile >= 0 && !limits.runs(kGemmTiles[tiling.tile])) return;
    Bench bench(limits);
    const GemmPlan plan = plan_of(p, tiling, limits);
    const char* const forms[] = {"NN", "NT", "TN"};
    const std::string what = std::string(forms[static_cast<int>(p.form)]) + " " + std::to_string(p.m) + " x " +
                             std::to_string(p.n) + " x " + std::to_string(p.k) + " tile " +
                             (plan.tile ? plan.tile->name : "vector") + " parts " + std::to_string(plan.splits) + " from " +
                             std::to_string(plan.whole) + " epilogue " + std::to_string(epilogue.kind) + " at " +
                             std::to_string(shift);

    const Floats a(random_floats(p.m * p.k, 18), shift), b(random_floats(p.k * p.n, 19), shift);
    const bool forward = epilogue.kind == Epilogue::Forward, backward = epilogue.kind == Epilogue::Backward;
    std::vector<float> kept_values = random_floats(p.m * p.n, 20);
    for (float& v : kept_values) v = std::tanh(v);
    Floats bias(random_floats(p.n, 21), shift),
        kept = backward ? Floats(kept_values, shift) : Floats::empty(p.m * p.n, shift);
    Floats c = Floats::empty(p.m * p.n, shift), sums = Floats::empty(p.n, 1);
    Floats parts = Floats::empty(plan.splits > 1 ? plan.cut() * plan.splits * plan.tile->area() : 1),
           sum_rows = Floats::empty(plan.sum_rows() * p.n);
    Floats& sums_of_tiles = plan.sum_rows() == 1 ? sums : sum_rows;
    const GemmScratch scratch = gemm_scratch(p.form, p.m, p.n, p.k, epilogue.sums, limits);
    if (tiling.tile == kChosen && tiling.splits == 0) {
        EXPECT_GE(scratch.bytes - scratch.parts, plan.splits > 1 ? parts.values().size() * 4 : 0) << what;
        EXPECT_GE(scratch.parts, epilogue.sums && plan.sum_rows() > 1 ? plan.sum_rows() * p.n * 4 : 0) << what;
    }
    const bool aligned = gemm_aligned(p.form, p.m, p.n, p.k, a.offset(), b.offset());
    const auto number = [](uint64_t value) { return static_cast<uint32_t>(value); };
    bench.run(gemm_kernel(p.form, plan, epilogue, aligned, limits), gemm_launch(plan, limits), a, b, c, bias, kept, sums_of_tiles, parts,
              p.m, p.n, p.k, plan.split_k, number(plan.whole), number(plan.splits), number(plan.strips), kAlpha, kBeta);
    if (plan.splits > 1)
        bench.run(gemm_finish_kernel(plan, epilogue), gemm_finish_launch(plan, limits), parts, c, bias, kept, sums_of_tiles, p.m, p.n,
                  number(plan.whole), number(plan.splits), kAlpha, kBeta);
    parts.read();
    if (epilogue.sums && plan.sum_rows() > 1) {
        const ColumnPlan combine = plan_combine(plan.sum_rows(), p.n, limits);
        bench.run(column_sums_kernel(), columns_launch(combine, limits), sum_rows, sums, plan.sum_rows(), p.n,
                  combine.block, number(combine.lanes));
    }
    sum_rows.read();

    const std::vector<float> actual = c.read();
    std::vector<double> truth(p.m * p.n), bound(p.m * p.n);
    for (uint64_t i = 0; i < p.m; i++) {
        for (uint64_t l = 0; l < p.k; l++) {
            const double x = static_cast<double>(a.values()[p.form == Form::TN ? l * p.m + i : i * p.k + l]);
            for (uint64_t j = 0; j < p.n; j++) {
                const double product =
                    x * static_cast<double>(b.values()[p.form == Form::NT ? j * p.k + l : l * p.n + j]);
                truth[i * p.n + j] += product;
                bound[i * p.n + j] += std::fabs(product);
            }
        }
    }
    for (double& v : bound) v = v * 1e-7 * (2 + std::sqrt(static_cast<double>(p.k))) + 1e-30;
    if (epilogue.kind == Epilogue::None) {
        expect_near(actual, truth, bound, what);
        return;
    }
    // The epilogue by the scalar kernels on the true product, in float: the formulas are smooth but for relu, which is
    // continuous.
    if (forward) {
        std::vector<float> z(truth.size()), value(truth.size()), derivative(truth.size());
        for (size_t i = 0; i < z.size(); i++)
            z[i] = static_cast<float>(truth[i] + (epilogue.bias ? static_cast<double>(bias.values()[i % p.n]) : 0.0));
        oracle().activation_forward[epilogue.activation](z.data(), value.data(), derivative.data(),
                                                         static_cast<int64_t>(z.size()), kAlpha, kBeta, false);
        for (size_t i = 0; i < z.size(); i++) {
            truth[i] = static_cast<double>(value[i]);
            bound[i] = 2 * bound[i] + 1e-6 * (1 + std::fabs(static_cast<double>(z[i])));
        }
        expect_near(actual, truth, bound, what);
        const std::vector<float> written = kept.read();
        if (!epilogue.kept) {
            expect_same(written, kept.values(), what + " untouched");
        } else {
            for (size_t i = 0; i < z.size(); i++) {
                if (std::fabs(static_cast<double>(z[i])) < bound[i]) continue;  // on the edge of relu
                ASSERT_NEAR(static_cast<double>(written[i]), static_cast<double>(derivative[i]), 4 * bound[i])
                    << what << " derivative " << i;
            }
        }
        return;
    }
    std::vector<double> sum_truth(p.n), sum_bound(p.n, 1e-30);
    for (size_t i = 0; i < truth.size(); i++) {
        float one = 1, factor = 0;
        oracle().activation_backward[epilogue.activation](&kept_values[i], &one, &factor, 1, kAlpha, kBeta, false);
        truth[i] *= static_cast<double>(factor);
        bound[i] = bound[i] * std::fabs(static_cast<double>(factor)) + 2e-7 * std::fabs(truth[i]) + 1e-30;
        sum_truth[i % p.n] += static_cast<double>(actual[i]);
        sum_bound[i % p.n] += 2e-6 * std::fabs(static_cast<double>(actual[i]));
    }
    expect_near(actual, truth, bound, what);
    expect_same(kept.read(), kept_values, what + " kept");
    if (epilogue.sums) expect_near(sums.read(), sum_truth, sum_bound, what + " sums");
}

std::vector<Epilogue> epilogues(Form form) {
    if (form == Form::TN) return {{}};
    std::vector<Epilogue> all = {{}};
    for (int activation = 0; activation < cpu::kActivationCount; activation++) {
        if (form == Form::NN) {
            all.push_back({Epilogue::Forward, activation, true, true, false});
        } else {
            all.push_back(
                {Epilogue::Backward, activation, false, activation_info(activation)->keeps != HPC_KEEPS_NOTHING, true});
        }
    }
    if (form == Form::NN) {
        all.push_back({Epilogue::Forward, HPC_ACTIVATION_LINEAR, true, false, false});
        all.push_back({Epilogue::Forward, HPC_ACTIVATION_RELU, false, true, false});
        all.push_back({Epilogue::Forward, HPC_ACTIVATION_TANH, false, false, false});
    } else {
        all.push_back({Epilogue::Backward, HPC_ACTIVATION_SIGMOID, false, true, false});
        all.push_back({Epilogue::Backward, HPC_ACTIVATION_LINEAR, false, false, true});
    }
    return all;
}

constexpr Form kForms[] = {Form::NN, Form::NT, Form::TN};

// Every activation, with the smallest tile and by vectors; the larger ones below, with what differs there.
TEST_F(OpenClKernels, ProductsOfEveryFormAndEpilogue) {
    const Limits limits = Machine::get()->limits();
    const int last = static_cast<int>(kGemmTileCount) - 1;
    for (Form form : kForms) {
        for (const Epilogue& epilogue : epilogues(form)) {
            for (int tile : {kVector, last}) {
                if (tile == kVector && form == Form::TN) continue;
                if (slow()) {
                    check_product(limits, {form, tile == kVector ? 2u : 5u, 7, 19}, epilogue, {tile}, 1);
                    continue;
                }
                check_product(limits, {form, 1, 1, 1}, epilogue, {tile}, 0);
                check_product(limits, {form, 37, 70, 33}, epilogue, {tile}, 1);
            }
        }
    }
    if (slow()) return;
    const Limits small = Machine::get()->limits(true, Limits::kLeastGroup);
    for (Form form : kForms) check_product(small, {form, 37, 70, 33}, epilogues(form).back(), {}, 1);
    for (Form form : {Form::NN, Form::NT}) check_product(small, {form, 3, 70, 33}, epilogues(form).back(), {}, 0);
}

// Every tile with every form: rows that are aligned and rows that are not, ragged and whole tiles, whole depths and depths in parts
// (all of them, or those of the last tiles), without and with all that an epilogue does.
TEST_F(OpenClKernels, ProductsOfEveryTile) {
    const Limits limits = Machine::get()->limits();
    for (int tile = 0; tile < static_cast<int>(kGemmTileCount); tile++) {
        const GemmTile& t = kGemmTiles[tile];
        for (Form form : kForms) {
            Epilogue full = {Epilogue::Forward, HPC_ACTIVATION_TANH, true, true, false};
            if (form == Form::NT) full = {Epilogue::Backward, HPC_ACTIVATION_TANH, false, true, true};
            if (form == Form::TN) full = {};
            if (slow()) {
                // A step of oclgrind's is long: one form of each tile, and one tile with parts.
                if (static_cast<uint64_t>(form) != static_cast<uint64_t>(tile) % 3) continue;
                check_product(limits, {form, 5, 7, t.tile_k + 1}, t.area() <= 4096 ? full : Epilogue{}, {tile, t.area() <= 1024 ? 2u : 0u}, 1);
                continue;
            }
            // Compiling is what takes the time: in parts and unaligned with every form, whole and aligned with one of them.
            const uint64_t m = t.tile_m + 5, n = t.tile_n + 7;
            check_product(limits, {form, m, n, 5 * t.tile_k + 3}, full, {tile, 3, 1}, 1);
            check_product(limits, {form, 3, n + 50, 4 * t.tile_k}, full, {tile, 4, 0}, 0);
            if (static_cast<uint64_t>(form) == static_cast<uint64_t>(tile) % 3)
                check_product(limits, {form, m + 3, n + 1, 2 * t.tile_k + 4}, full, {tile}, 4);
        }
    }
}

TEST_F(OpenClKernels, ProductsOfEveryExtentAroundTheBlocks) {
    const Limits limits = Machine::get()->limits();
    const int last = static_cast<int>(kGemmTileCount) - 1;
    for (Form form : kForms) {
        if (slow()) {
            check_product(limits, {form, 33, 4, 17}, {}, {last}, 0);
            continue;
        }
        for (uint64_t m : {1, 2, 4, 5, 31, 32, 33, 65}) {
            for (uint64_t n : {1, 3, 4, 32, 33, 64, 68}) {
                for (uint64_t k : {1, 4, 15, 16, 17, 130})
                    check_product(limits, {form, m, n, k}, {}, {}, (m + n + k) % 2 * 3);
            }
        }
    }
}

TEST_F(OpenClKernels, ProductsThatAreLargeOrInParts) {
    const Limits limits = Machine::get()->limits();
    if (slow()) {
        check_product(limits, {Form::TN, 3, 2, 520}, {}, {}, 0);
        return;
    }
    EXPECT_GT(plan_gemm(Form::TN, 64, 10, 30001, limits).splits, 1u);
    for (uint64_t k : {257, 512, 3000, 30001}) check_product(limits, {Form::TN, 64, 10, k}, {}, {}, k % 2);
    check_product(limits, {Form::TN, 1, 1, 20000}, {}, {}, 0);
    const Epilogue forward = {Epilogue::Forward, HPC_ACTIVATION_RELU, true, true, false};
    const Epilogue backward = {Epilogue::Backward, HPC_ACTIVATION_TANH, false, true, true};
    EXPECT_GT(plan_gemm(Form::NN, 40, 10, 20000, limits).splits, 1u);
    check_product(limits, {Form::NN, 40, 10, 20000}, forward, {}, 0);
    EXPECT_GT(plan_gemm(Form::NT, 10, 50, 20000, limits).splits, 1u);
    check_product(limits, {Form::NT, 10, 50, 20000}, backward, {}, 1);
    check_product(limits, {Form::NN, 600, 530, 300}, forward, {}, 0);
    check_product(limits, {Form::NT, 1030, 300, 70}, backward, {}, 0);
    check_product(limits, {Form::NT, 4, 1000, 513}, backward, {}, 0);
    check_product(limits, {Form::NN, 1, 1000, 2049}, {Epilogue::Forward, HPC_ACTIVATION_SIGMOID, true, false, false}, {}, 0);
}

// The same bits again, whatever else the device does: a product whose last tiles are in parts.
TEST_F(OpenClKernels, ProductsInPartsGiveTheSameBitsAgain) {
    if (slow()) return;
    Limits limits = Machine::get()->limits();
    limits.compute_units = 3;
    const uint64_t m = 300, n = 70, k = 700;
    const GemmPlan plan = plan_of({Form::NN, m, n, k}, {static_cast<int>(kGemmTileCount) - 1, 3, 7}, limits);
    ASSERT_EQ(plan.splits, 3u);
    ASSERT_EQ(plan.whole, 7u);
    const auto number = [](uint64_t value) { return static_cast<uint32_t>(value); };
    const Floats a(random_floats(m * k, 18)), b(random_floats(k * n, 19));
    std::vector<float> first;
    for (int i = 0; i < 3; i++) {
        Bench bench(limits);
        Floats c = Floats::empty(m * n), parts = Floats::empty(plan.cut() * plan.splits * plan.tile->area());
        bench.run(gemm_kernel(Form::NN, plan, {}, false, limits), gemm_launch(plan, limits), a, b, c, nullptr, nullptr, nullptr, parts, m, n, k,
                  plan.split_k, number(plan.whole), number(plan.splits), number(plan.strips), 0.0f, 0.0f);
        bench.run(gemm_finish_kernel(plan, {}), gemm_finish_launch(plan, limits), parts, c, nullptr, nullptr, nullptr, m, n,
                  number(plan.whole), number(plan.splits), 0.0f, 0.0f);
        if (i == 0) first = c.read();
        expect_same(c.read(), first, "again");
    }
}

// What the device's classes choose runs on the least device and on one with all that a tile may ask for.
TEST(OpenClTiles, WhatIsChosenRuns) {
    for (const GemmTile& tile : kGemmTiles) {
        EXPECT_LE(tile.group(), 1024u) << tile.name;
        EXPECT_LE(tile.local_bytes(), Limits::kMostLocalBytes) << tile.name;
        EXPECT_EQ(tile.group() & (tile.group() - 1), 0u) << tile.name;
        EXPECT_EQ(std::to_string(tile.tile_m) + "x" + std::to_string(tile.tile_n) + "x" + std::to_string(tile.tile_k) + "-" +
                      std::to_string(tile.work_m) + "x" + std::to_string(tile.work_n),
                  tile.name);
        EXPECT_EQ((tile.unroll % 4) + (tile.tile_k % tile.unroll), 0u) << tile.name;
    }
    for (uint64_t device = 0; device < std::size(kDeviceClassNames); device++) {
        for (uint64_t group : {Limits::kLeastGroup, kGroup}) {
            for (uint64_t local : {Limits::kLeastLocalBytes, uint64_t{32768}, uint64_t{65536}}) {
                const Limits limits = Limits::of(group, local, 132, true, true, static_cast<DeviceClass>(device));
                for (const auto& form : limits.tiles)
                    for (const uint8_t tile : form) EXPECT_TRUE(limits.runs(kGemmTiles[tile])) << kGemmTiles[tile].name;
            }
        }
    }
}

TEST(OpenClTiles, PartsFillTheDevice) {
    const Limits card = Limits::of(1024, 49152, 132, true, true, DeviceClass::Nvidia);
    const auto plan = [&](Form form, uint64_t m, uint64_t n, uint64_t k) { return plan_gemm(form, m, n, k, card); };
    // Whole turns stay whole, and so do shallow products; a few tiles are cut, and what a last turn leaves over.
    EXPECT_EQ(plan(Form::NN, 2048 * 3, 11 * 256, 4096).splits, 1u);
    EXPECT_EQ(plan(Form::NN, 512, 512, 64).splits, 1u);
    EXPECT_GT(plan(Form::TN, 128, 128, 60000).splits, 1u);
    const GemmPlan last = plan(Form::NN, 4096, 4352, 8192);
    EXPECT_EQ(last.whole, 528u);
    EXPECT_EQ(last.cut(), 16u);
    EXPECT_GT(last.splits, 4u);
    for (Form form : kForms) {
        for (uint64_t m : {1, 5, 40, 200, 700, 2000, 4100}) {
            for (uint64_t n : {1, 10, 33, 130, 1000, 5000}) {
                for (uint64_t k : {0, 1, 100, 256, 784, 5000, 100000}) {
                    const GemmPlan p = plan(form, m, n, k);
                    EXPECT_LE(p.whole, p.tiles());
                    EXPECT_LE(p.splits, kMaxSplits);
                    if (p.splits == 1) continue;
                    // Every part has something to do, and together they are the depth.
                    EXPECT_LT((p.splits - 1) * p.split_k, k);
                    EXPECT_GE(p.splits * p.split_k, k);
                    EXPECT_EQ(p.split_k % p.tile->tile_k, 0u);
                    EXPECT_LE(p.cut() * p.splits, kSplitTurns * gemm_slots(*p.tile, card));
                }
            }
        }
    }
}

TEST(OpenClTiles, ScratchServesEverySmallerRun) {
    for (uint64_t device = 0; device < std::size(kDeviceClassNames); device++) {
        for (uint64_t units : {1, 4, 80, 500}) {
            const Limits limits = Limits::of(256, 32768, units, true, true, static_cast<DeviceClass>(device));
            for (uint64_t n : {1, 10, 64, 129, 1000}) {
                for (uint64_t width : {1, 33, 784}) {
                    for (uint64_t capacity : {5000, 200000}) {
                        const GemmScratch weight = gemm_scratch(Form::TN, width, n, capacity, false, limits);
                        const GemmScratch input = gemm_scratch(Form::NT, capacity, n, width, true, limits);
                        const GemmScratch output = gemm_scratch(Form::NN, capacity, n, width, false, limits);
                        const auto holds = [&](const GemmScratch& scratch, const GemmPlan& plan, bool sums) {
                            const uint64_t parts = plan.splits > 1 ? plan.cut() * plan.splits * plan.tile->area() * 4 : 0;
                            EXPECT_LE(parts, scratch.bytes - scratch.parts) << n << " " << width << " " << units;
                            EXPECT_LE(sums && plan.sum_rows() > 1 ? plan.sum_rows() * n * 4 : 0, scratch.parts);
                        };
                        for (uint64_t rows = 1; rows <= capacity; rows += 1 + rows / 7) {
                            holds(weight, plan_gemm(Form::TN, width, n, rows, limits), false);
                            holds(input, plan_gemm(Form::NT, rows, n, width, limits), true);
                            holds(output, plan_gemm(Form::NN, rows, n, width, limits), false);
                            EXPECT_LE(columns_scratch(rows, n, limits), columns_scratch(capacity, n, limits));
                            EXPECT_LE(cross_entropy_scratch(rows, n, true, limits), cross_entropy_scratch(capacity, n, true, limits));
                        }
                    }
                }
            }
        }
    }
}

TEST_F(OpenClKernels, GuardedProductsAndSumsDoNothingWhileAFlagIsSet) {
    Bench bench(limits());
    bench.set_metrics({0, 0, 0, 0, 0, 0, 0, HPC_FLAG_LABEL, 0});
    const uint64_t count = 12;
    const Floats x(random_floats(count, 22));
    Floats y = Floats::empty(count);
    const std::vector<float> before = y.values();
    const Launch flat = flat_launch(count, bench.limits);
    bench.run_guarded(1, scale_kernel(), flat, y, count, 2.0f);
    bench.run_guarded(1, fill_kernel(), flat, y, count, 2.0f);
    bench.run_guarded(1, add_scaled_kernel(), flat, x, y, count, 2.0f);
    bench.run_guarded(1, philox_uniform_kernel(), flat, y, count, uint64_t{1}, uint64_t{2}, 0.0f, 1.0f);
    bench.run_guarded(1, dropout_kernel(), flat, x, y, count, uint64_t{1}, uint64_t{2}, 0.5f);
    bench.run_guarded(1, fast_gradient_sign_kernel(), flat, x, x, y, count, count, 0.5f, 0.0f, 1.0f);
    bench.run_guarded(1, multiply_kernel(), flat, x, x, y, count);
    bench.run_guarded(1, affine_dropout_kernel(), flat, x, y, count, uint64_t{1}, uint64_t{2}, 0.5f, 2.0f, 1.0f, 3.0f);
    bench.run_guarded(1, gaussian_noise_kernel(), flat, x, y, count, uint64_t{1}, uint64_t{2}, 0.5f);
    bench.run_guarded(1, copy_columns_kernel(), gather_launch(3, 4, bench.limits), x, y, uint64_t{3}, uint64_t{4}, uint64_t{4},
                      uint64_t{4}, static_cast<uint32_t>(row_lanes(4, bench.limits)));
    bench.run_guarded(1, clip_by_norm_kernel(), flat, y, Floats({1e9f}), count, 1e-3f);
    bench.run_guarded(1, softmax_kernel(4, bench.limits), softmax_launch(3, 4, bench.limits), x, y, uint64_t{3},
                      uint64_t{4});
    const ColumnPlan columns = plan_columns(3, 4, bench.limits);
    bench.run_guarded(1, column_sums_kernel(), columns_launch(columns, bench.limits), x, y, uint64_t{3}, uint64_t{4},
                      columns.block, static_cast<uint32_t>(columns.lanes));
    const GemmPlan plan = plan_gemm(Form::NN, 6, 2, 2, bench.limits);
    bench.run_guarded(1, gemm_kernel(Form::NN, plan, {}, false, bench.limits), gemm_launch(plan, bench.limits), x, x, y, nullptr, nullptr,
                      nullptr, nullptr, uint64_t{6}, uint64_t{2}, uint64_t{2}, plan.split_k, 1u, 1u, 1u, 0.0f, 0.0f);
    expect_same(y.read(), before, "guarded");
    bench.run(fill_kernel(), flat, y, count, 2.0f);
    expect_same(y.read(), std::vector<float>(count, 2.0f), "not guarded");
}

}  // namespace
