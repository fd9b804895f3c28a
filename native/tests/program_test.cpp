// Programs: fused against plain, the same bits for any number of threads, flags, and what describe says.
#include <cmath>
#include <random>
#include <thread>

#include "harness.h"

namespace hpc::test {
namespace {

std::vector<NetworkShape> shapes() {
    const int relu = HPC_ACTIVATION_RELU, tanh = HPC_ACTIVATION_TANH, sigmoid = HPC_ACTIVATION_SIGMOID, linear = HPC_ACTIVATION_LINEAR;
    std::vector<NetworkShape> list{
        {{2, 8, 1}, {tanh, sigmoid}, false, 0, false, HPC_RULE_SGD},
        {{64, 64, 32, 3}, {relu, relu, linear}, true, 0, false, HPC_RULE_ADAM},
        {{33, 257, 70, 10}, {tanh, relu, linear}, true, 0.2f, true, HPC_RULE_ADAM},
        {{7, 5}, {linear}, true, 0, false, HPC_RULE_MOMENTUM},
        {{300, 512, 256, 10}, {relu, sigmoid, linear}, true, 0.5f, true, HPC_RULE_MOMENTUM},
    };
    // Random ones, over all activations that the table has.
    std::mt19937 generator(5);
    auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator); };
    int activations = 0;
    for (hpc_activation_info info; hpc_get_activation_info(activations, &info) == HPC_OK;) activations++;
    for (int i = 0; i < 20; i++) {
        NetworkShape shape;
        const int depth = pick(1, 4);
        for (int d = 0; d <= depth; d++) shape.widths.push_back(static_cast<uint64_t>(pick(1, 90)));
        for (int d = 0; d < depth; d++) shape.activations.push_back(pick(0, activations - 1));
        shape.classes = pick(0, 1) == 1;
        shape.dropout = pick(0, 2) == 0 ? 0.3f : 0.0f;
        shape.clip = pick(0, 1) == 1;
        shape.rule = pick(0, 2);
        list.push_back(shape);
    }
    return list;
}

class Shapes : public testing::TestWithParam<int> {
protected:
    NetworkShape shape() const { return shapes()[static_cast<size_t>(GetParam())]; }
};
INSTANTIATE_TEST_SUITE_P(Networks, Shapes, testing::Range(0, static_cast<int>(shapes().size())));

// The same rows over every executor.
std::string row_name(const testing::TestParamInfo<std::tuple<int, Target>>& info) {
    return std::to_string(std::get<0>(info.param)) + "_" + std::get<1>(info.param).name;
}
class Everywhere : public testing::TestWithParam<std::tuple<int, Target>> {
protected:
    void SetUp() override { HPC_NEED(target()); }
    NetworkShape shape() const { return shapes()[static_cast<size_t>(std::get<0>(GetParam()))]; }
    Target target() const { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Networks, Everywhere,
                         testing::Combine(testing::Range(0, static_cast<int>(shapes().size())),
                                          testing::Values(Target{"avx512", HPC_DEVICE_CPU, "avx512"}, Target{"avx2", HPC_DEVICE_CPU, "avx2"},
                                                          Target{"scalar", HPC_DEVICE_CPU, "scalar"}, kOpenCl)),
                         row_name);

// One instruction in a program of its own, over every executor.
class Instruction : public testing::TestWithParam<Target> {
protected:
    void SetUp() override { HPC_NEED(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Targets, Instruction,
                         testing::Values(Target{"avx512", HPC_DEVICE_CPU, "avx512"}, Target{"avx2", HPC_DEVICE_CPU, "avx2"},
                                         Target{"scalar", HPC_DEVICE_CPU, "scalar"}, kOpenCl),
                         [](const testing::TestParamInfo<Target>& info) { return std::string(info.param.name); });

class OnDevice : public testing::TestWithParam<Target> {
protected:
    void SetUp() override { HPC_NEED(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Devices, OnDevice, testing::Values(kCpu, kOpenCl),
                         [](const testing::TestParamInfo<Target>& info) { return std::string(info.param.name); });

void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * 4)) << what << " differ in their bits";
}

// Fused and plain differ in the order of a few sums (rounding) and in nothing else. One step from the same state:
// the gradients agree to a small multiple of float32's precision, relative to the largest of them.
TEST_P(Everywhere, FusedAgreesWithPlain) {
    Device device(target());
    TrainingStep fused(device, shape(), 61, HPC_PROGRAM_DEFAULT), plain(device, shape(), 61, HPC_PROGRAM_PLAIN);
    for (uint64_t rows : {61, 17, 1}) {
        plain.parameters.write(fused.parameters.read());
        plain.first.write(fused.first.read());
        plain.second.write(fused.second.read());
        const hpc_metrics a = fused.step(rows, 3, 62 - rows), b = plain.step(rows, 3, 62 - rows);
        EXPECT_EQ(a.rows, rows);
        EXPECT_EQ(a.runs, 1u);
        EXPECT_EQ(a.correct, b.correct);
        EXPECT_NEAR(a.loss, b.loss, 1e-5 * (1 + std::fabs(a.loss)));
        const std::vector<float> x = fused.gradients.read(), y = plain.gradients.read();
        float largest = 0;
        for (float g : y) largest = std::max(largest, std::fabs(g));
        for (size_t i = 0; i < x.size(); i++) ASSERT_NEAR(x[i], y[i], 4e-6f * largest) << "gradient " << i;
    }
    hpc_program_info info{}, plain_info{};
    HPC_CHECK(hpc_program_get_info(fused.program.handle, &info));
    HPC_CHECK(hpc_program_get_info(plain.program.handle, &plain_info));
    EXPECT_LT(info.fused_instructions, info.recorded_instructions);
    EXPECT_EQ(plain_info.fused_instructions, plain_info.recorded_instructions);
}

// One training step from the same state: everything agrees to 1e-5 of the largest.
TEST_P(Shapes, OneStepOnOpenClAgreesWithTheCpu) {
    HPC_NEED(kOpenCl);
    Device device(kOpenCl), oracle_device(1, "scalar");
    TrainingStep step(device, shape(), 61, HPC_PROGRAM_DEFAULT), oracle(oracle_device, shape(), 61, HPC_PROGRAM_DEFAULT);
    for (uint64_t rows : {61, 17, 1}) {
        step.parameters.write(oracle.parameters.read());
        step.first.write(oracle.first.read());
        step.second.write(oracle.second.read());
        const hpc_metrics a = step.step(rows, 3, 62 - rows), b = oracle.step(rows, 3, 62 - rows);
        EXPECT_EQ(a.rows, b.rows);
        EXPECT_EQ(a.correct, b.correct);
        EXPECT_EQ(a.flags, b.flags);
        EXPECT_NEAR(a.loss, b.loss, 1e-5 * (1 + std::fabs(b.loss)));
        EXPECT_NEAR(a.gradient_norm, b.gradient_norm, 1e-5 * b.gradient_norm);
        auto largest_of = [](const std::vector<float>& values) {
            float largest = 0;
            for (float v : values) largest = std::max(largest, std::fabs(v));
            return largest;
        };
        const std::vector<float> gradients = oracle.gradients.read();
        const float largest_gradient = largest_of(gradients);
        auto compare = [&](const Buffer& here, const Buffer& there, const char* what, bool adam = false) {
            const std::vector<float> x = here.read(), y = there.read();
            const float tolerance = 1e-5f * largest_of(y);
            for (size_t i = 0; i < x.size(); i++) {
                // Adam divides a gradient by its own size: where that is small, the step is what rounding made of it, but
                // never much longer than the learning rate.
                const bool loose = adam && std::fabs(gradients[i]) < 1e-3f * largest_gradient;
                ASSERT_NEAR(x[i], y[i], loose ? 0.02f : tolerance) << what << ' ' << i << " at " << rows << " rows";
            }
        };
        compare(step.gradients, oracle.gradients, "gradient");
        compare(step.first, oracle.first, "first state");
        compare(step.second, oracle.second, "second state");
        compare(step.parameters, oracle.parameters, "parameter", shape().rule == HPC_RULE_ADAM);
    }
}

TEST_P(Shapes, SameBitsForAnyNumberOfThreads) {
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 4}) {
        Device device(threads);
        TrainingStep step(device, shape(), 200, HPC_PROGRAM_DEFAULT);
        for (uint64_t i = 0; i < 6; i++) step.step(i == 5 ? 77 : 200, i * 60, i + 1);
        results.push_back(step.parameters.read());
    }
    expect_same(results[0], results[1], "1 and 2 threads");
    expect_same(results[0], results[2], "1 and 4 threads");
}

TEST(Program, SameBitsWhileTheTeamIsBusy) {
    const NetworkShape shape = shapes()[4];
    Device device(2);
    auto train = [&](std::vector<float>& result) {
        TrainingStep step(device, shape, 200, HPC_PROGRAM_DEFAULT);
        for (uint64_t i = 0; i < 20; i++) step.step(200, i * 20, i + 1);
        result = step.parameters.read();
    };
    std::vector<float> alone, first, second;
    train(alone);
    std::thread other([&] { train(first); });
    train(second);
    other.join();
    expect_same(alone, first, "alone and beside another");
    expect_same(alone, second, "alone and beside another");
}

TEST(Program, BigRunsUseTheTeamAndSmallOnesDoNot) {
    Device device(2);
    TrainingStep big(device, shapes()[4], 200, HPC_PROGRAM_DEFAULT), small(device, shapes()[0], 4, HPC_PROGRAM_DEFAULT);
    for (uint64_t i = 0; i < 10; i++) big.step(200, 0, i + 1), small.step(4, 0, i + 1);
    hpc_program_info info{};
    HPC_CHECK(hpc_program_get_info(big.program.handle, &info));
    EXPECT_EQ(10u, info.team_runs);
    HPC_CHECK(hpc_program_get_info(small.program.handle, &info));
    EXPECT_EQ(0u, info.team_runs);
}

TEST_P(OnDevice, DescribesWhatWasFused) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[1], 32, HPC_PROGRAM_DEFAULT);
    const std::string text = step.program.describe();
    for (const char* part : {"dense_forward + relu", "dense_backward_input + relu' + column_sums",
                             "softmax_cross_entropy_forward + backward + column_sums", "update adam", "workspace", "FLOP"})
        EXPECT_NE(std::string::npos, text.find(part)) << part << " is missing in:\n" << text;
}

TEST_P(OnDevice, ZeroRowsChangeNothing) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[1], 32, HPC_PROGRAM_DEFAULT);
    const std::vector<float> before = step.parameters.read();
    const hpc_metrics metrics = step.step(0, 0, 1);
    EXPECT_EQ(0u, metrics.runs);
    expect_same(before, step.parameters.read(), "parameters before and after");
}

TEST_P(OnDevice, FlagStopsUpdatesUntilFetched) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[1], 32, HPC_PROGRAM_DEFAULT);
    const std::vector<float> before = step.parameters.read(), moments = step.first.read();
    const uint64_t out_of_range[] = {TrainingStep::kSamples - 3, cell(0.01f), 1}, in_range[] = {0, cell(0.01f), 2};
    HPC_CHECK(hpc_program_run(step.program.handle, 32, 1, out_of_range, 3, nullptr));
    hpc_metrics metrics{};
    HPC_CHECK(hpc_program_run(step.program.handle, 32, 1, in_range, 3, &metrics));
    EXPECT_EQ(static_cast<uint32_t>(HPC_FLAG_INDEX), metrics.flags);
    EXPECT_EQ(1u, metrics.first_flagged_run);
    EXPECT_EQ(2u, metrics.runs);
    expect_same(before, step.parameters.read(), "parameters before and after");
    expect_same(moments, step.first.read(), "moments before and after");
    EXPECT_EQ(0u, step.step(32, 0, 1).flags);
    EXPECT_NE(before, step.parameters.read());
}

TEST_P(OnDevice, NonFiniteLossAndBadLabelAreFlagged) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[1], 32, HPC_PROGRAM_DEFAULT);
    const std::vector<float> before = step.parameters.read();
    const std::vector<float> features = step.features.read();
    std::vector<float> poisoned = features;
    std::fill(poisoned.begin(), poisoned.end(), NAN);
    step.features.write(poisoned);
    EXPECT_EQ(static_cast<uint32_t>(HPC_FLAG_NONFINITE), step.step(32, 0, 1).flags);
    expect_same(before, step.parameters.read(), "parameters before and after");
    step.features.write(features);
    step.labels.write(std::vector<int32_t>(TrainingStep::kSamples, 3));
    EXPECT_EQ(static_cast<uint32_t>(HPC_FLAG_LABEL), step.step(32, 0, 1).flags);
    expect_same(before, step.parameters.read(), "parameters before and after");
}

TEST_P(OnDevice, SecondEntryIsBusy) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[4], 200, HPC_PROGRAM_DEFAULT);
    std::atomic<int> busy{0}, other{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; t++)
        threads.emplace_back([&] {
            const uint64_t slots[] = {0, cell(0.01f), 1};
            // With a queue, where runs are slow: until one was refused, and a while beyond.
            for (int i = 0; i < 200 && (GetParam().kind == HPC_DEVICE_CPU || i < 20 || busy == 0); i++) {
                const hpc_status status = hpc_program_run(step.program.handle, 200, 1, slots, 3, nullptr);
                if (status == HPC_BUSY) busy++;
                else if (status != HPC_OK) other++;
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_GT(busy.load(), 0);
    EXPECT_EQ(0, other.load());
}

TEST_P(OnDevice, TransfersBringInputsAndOutputs) {
    Device device(GetParam());
    Buffer w(device, 6);
    w.write(std::vector<float>{1, 2, 3, 4, 5, 6});
    Program program(device, 4);
    const uint32_t x = program.rows(HPC_VALUE_INPUT, 2), y = program.rows(HPC_VALUE_OUTPUT, 3);
    hpc_dense_forward dense{x, program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, 2, 3, w.handle), 0, y};
    HPC_CHECK(hpc_record_dense_forward(program.handle, &dense));
    HPC_CHECK(hpc_program_finish(program.handle));
    float in[] = {1, 0, 0, 1}, out[6] = {};
    hpc_transfer transfers[] = {{x, 0, in, sizeof in}, {y, 0, out, sizeof out}};
    HPC_CHECK(hpc_program_run_with(program.handle, 2, 1, nullptr, 0, transfers, 2, nullptr));
    for (int i = 0; i < 6; i++) EXPECT_EQ(static_cast<float>(i + 1), out[i]);
    transfers[0].flags = 2;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_run_with(program.handle, 2, 1, nullptr, 0, transfers, 2, nullptr));
    transfers[0].flags = HPC_TRANSFER_DEFAULT;
    transfers[1].bytes = 4;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_run_with(program.handle, 2, 1, nullptr, 0, transfers, 2, nullptr));
}

// Of an input that products alone read; of one that something else reads, too; of one that is both sides of a product; of one in the
// caller's buffer. The caller's memory starts where a vector would not, and changes after the run.
TEST_P(OnDevice, TransfersForOneRunGiveTheBitsOfCopies) {
    enum Readers { Products, Others, BothSides, Bound };
    constexpr uint64_t kInputs = 70, kOutputs = 50, kCapacity = 90;
    Device device(GetParam());
    Buffer weights(device, kInputs * kOutputs), gradients(device, kInputs * kOutputs), squares(device, kInputs * kInputs);
    Buffer callers(device, kCapacity * kInputs);
    weights.write(random_floats(kInputs * kOutputs, 1));
    for (const Readers readers : {Products, Others, BothSides, Bound}) {
        Program program(device, kCapacity);
        const uint32_t x = program.value(HPC_VALUE_INPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kInputs, readers == Bound ? callers.handle : nullptr);
        const uint32_t y = program.rows(HPC_VALUE_OUTPUT, kOutputs);
        const uint32_t more = program.rows(HPC_VALUE_OUTPUT, kInputs);
        const uint32_t w = program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, kInputs, kOutputs, weights.handle);
        const uint32_t dw = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, kInputs, kOutputs, gradients.handle);
        hpc_dense_forward dense{x, w, 0, y};
        HPC_CHECK(hpc_record_dense_forward(program.handle, &dense));
        hpc_dense_backward_weight weight{x, y, dw, 0};
        HPC_CHECK(hpc_record_dense_backward_weight(program.handle, &weight));
        if (readers == BothSides) {
            const uint32_t xx = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, kInputs, kInputs, squares.handle);
            weight = {x, x, xx, 0};
            HPC_CHECK(hpc_record_dense_backward_weight(program.handle, &weight));
        }
        if (readers == Others) {
            hpc_activation_forward activation{HPC_ACTIVATION_TANH, x, more, 0, 0, 0};
            HPC_CHECK(hpc_record_activation_forward(program.handle, &activation));
        }
        HPC_CHECK(hpc_program_finish(program.handle));

        struct Results {
            std::vector<float> y, more, gradients, squares;
        };
        const auto run = [&](uint64_t rows, const float* from, uint32_t flags) {
            Results results{std::vector<float>(rows * kOutputs), std::vector<float>(rows * kInputs), {}, {}};
            hpc_transfer transfers[] = {{y, 0, results.y.data(), rows * kOutputs * 4}, {more, 0, results.more.data(), rows * kInputs * 4},
                                        {x, flags, const_cast<float*>(from), rows * kInputs * 4}};
            HPC_EXPECT(hpc_program_run_with(program.handle, rows, 1, nullptr, 0, transfers, from ? 3 : 2, nullptr));
            results.gradients = gradients.read();
            results.squares = squares.read();
            return results;
        };
        for (const uint64_t rows : {uint64_t{1}, uint64_t{5}, kCapacity}) {
            const std::vector<float> first = random_floats(rows * kInputs + 1, 10 + rows), second = random_floats(rows * kInputs + 1, 20 + rows);
            const Results expected = run(rows, second.data() + 1, HPC_TRANSFER_DEFAULT), before = run(rows, first.data() + 1, HPC_TRANSFER_DEFAULT);
            std::vector<float> brief = second;
            const Results results = run(rows, brief.data() + 1, HPC_TRANSFER_ONCE);
            expect_same(expected.y, results.y, "y");
            expect_same(expected.more, results.more, "tanh of x");
            expect_same(expected.gradients, results.gradients, "dw");
            expect_same(expected.squares, results.squares, "x^T x");
            std::fill(brief.begin(), brief.end(), 3.0f);
            // Only the CPU reads where the data are, and only what products alone read and nobody else can see.
            const bool stays = GetParam().kind == HPC_DEVICE_CPU && readers == Products;
            expect_same(stays ? before.y : expected.y, run(rows, nullptr, 0).y, "y of a run that brings nothing");
        }
    }
}

// What a pass over big arrays writes, and over small ones: the CPU stores the former past its caches where it can.
TEST(Program, BigArraysHaveTheBitsOfSmallOnes) {
    constexpr uint64_t kRows = 4201, kParts = 3;
    constexpr uint64_t kColumns = 1025;  // some blocks of rows begin in the middle of a line
    constexpr uint64_t kCount = kRows * kColumns;  // 17 MB an array
    static_assert(kCount * 4 * 2 > uint64_t{32} << 20 && kCount * 4 * 4 / kParts < uint64_t{32} << 20);
    Device device(2);
    const std::vector<float> values = random_floats(kCount + 1, 7), others = random_floats(kCount, 8);
    Buffer a(device, kCount + 1), b(device, kCount);
    a.write(values);
    b.write(others);
    using Record = std::function<void(Program&, uint32_t a, uint32_t b, uint32_t y, uint32_t z)>;
    const auto activation = [](int32_t id, bool kept, bool in_place) -> Record {
        return [=](Program& program, uint32_t x, uint32_t, uint32_t y, uint32_t z) {
            if (in_place) {
                const hpc_add_scaled copy{x, y, {1, 0}};
                HPC_EXPECT(hpc_record_add_scaled(program.handle, &copy));
            }
            const hpc_activation_forward forward{id, in_place ? y : x, y, kept ? z : 0, 1, 1};
            HPC_EXPECT(hpc_record_activation_forward(program.handle, &forward));
        };
    };
    const std::pair<const char*, Record> passes[] = {
        {"relu", activation(HPC_ACTIVATION_RELU, false, false)},
        {"gelu with its derivative", activation(HPC_ACTIVATION_GELU, true, false)},
        {"gelu in place", activation(HPC_ACTIVATION_GELU, true, true)},
        {"backward",
         [](Program& program, uint32_t x, uint32_t t, uint32_t y, uint32_t) {
             const hpc_activation_backward backward{HPC_ACTIVATION_TANH, x, t, y, 1, 1};
             HPC_EXPECT(hpc_record_activation_backward(program.handle, &backward));
         }},
        {"loss",
         [](Program& program, uint32_t x, uint32_t t, uint32_t y, uint32_t) {
             hpc_loss_backward backward{};
             backward.loss = HPC_LOSS_HUBER, backward.reduction = HPC_REDUCTION_SUM;
             backward.prediction = x, backward.target = t, backward.gradient = y;
             backward.alpha = backward.beta = backward.weight.constant = 1;
             HPC_EXPECT(hpc_record_loss_backward(program.handle, &backward));
         }},
        {"multiply",
         [](Program& program, uint32_t x, uint32_t t, uint32_t y, uint32_t) {
             const hpc_multiply multiply{x, t, y};
             HPC_EXPECT(hpc_record_multiply(program.handle, &multiply));
         }},
        {"fast gradient sign",
         [](Program& program, uint32_t x, uint32_t t, uint32_t y, uint32_t) {
             const hpc_fast_gradient_sign move{x, t, y, 1, -0.5f, 0.75f, {0.25f, 0}};
             HPC_EXPECT(hpc_record_fast_gradient_sign(program.handle, &move));
         }},
    };
    for (const auto& pass : passes) {
        const char* name = pass.first;
        const Record& record = pass.second;
        for (const uint64_t shift : {0, 4}) {  // bytes: from an odd place nothing can be stored past the caches
            const auto run = [&](Buffer& y, Buffer& z, uint64_t parts) {
                for (Buffer* buffer : {&y, &z}) buffer->write(std::vector<float>(kCount + 1, -9.0f));
                for (uint64_t part = 0; part < parts; part++) {
                    const uint64_t first = kRows * part / parts, rows = kRows * (part + 1) / parts - first;
                    Program program(device, rows, HPC_PROGRAM_PLAIN);
                    const auto value = [&](Buffer& buffer, uint64_t offset) {
                        hpc_value_desc desc{};
                        desc.kind = HPC_VALUE_PERSISTENT, desc.lead = HPC_LEAD_ROWS, desc.columns = kColumns;
                        desc.buffer = buffer.handle, desc.offset = first * kColumns * 4 + offset;
                        uint32_t id = 0;
                        HPC_EXPECT(hpc_program_value(program.handle, &desc, &id));
                        return id;
                    };
                    record(program, value(a, 4 - shift), value(b, 0), value(y, shift), value(z, shift));
                    HPC_EXPECT(hpc_program_finish(program.handle));
                    HPC_EXPECT(hpc_program_run(program.handle, rows, 1, nullptr, 0, nullptr));
                }
            };
            Buffer y(device, kCount + 1), z(device, kCount + 1), y_parts(device, kCount + 1), z_parts(device, kCount + 1);
            run(y, z, 1);
            run(y_parts, z_parts, kParts);
            expect_same(y.read(), y_parts.read(), name);
            expect_same(z.read(), z_parts.read(), name);
        }
    }
}

TEST_P(OnDevice, AdversarialExamplesAreTheFirstShareOfTheRows) {
    constexpr uint32_t kColumns = 7, kCapacity = 3000;  // more than one tile
    constexpr float kShare = 0.3f, kLow = -0.75f, kHigh = 0.5f, kEpsilon = 0.25f;
    Device device(GetParam());
    Program program(device, kCapacity);
    const uint32_t slot = program.slot(HPC_SLOT_FLOAT, "epsilon");
    const uint32_t x = program.rows(HPC_VALUE_INPUT, kColumns), gradient = program.rows(HPC_VALUE_INPUT, kColumns);
    const uint32_t apart = program.rows(HPC_VALUE_OUTPUT, kColumns), in_place = program.rows(HPC_VALUE_OUTPUT, kColumns);
    hpc_fast_gradient_sign move{x, gradient, apart, kShare, kLow, kHigh, {0, slot}};
    HPC_CHECK(hpc_record_fast_gradient_sign(program.handle, &move));
    hpc_fill fill{in_place, 0, {0, 0}};
    HPC_CHECK(hpc_record_fill(program.handle, &fill));
    hpc_add_scaled copy{x, in_place, {1, 0}};
    HPC_CHECK(hpc_record_add_scaled(program.handle, &copy));
    move.x = move.y = in_place;
    HPC_CHECK(hpc_record_fast_gradient_sign(program.handle, &move));
    HPC_CHECK(hpc_program_finish(program.handle));

    std::mt19937 generator(5);
    std::uniform_real_distribution<float> values(-1, 1);
    for (const uint32_t rows : {1u, 2u, 5u, 1000u, kCapacity}) {
        std::vector<float> from(rows * kColumns), uphill(from.size()), first(from.size()), second(from.size());
        for (float& value : from) value = values(generator);
        for (float& value : uphill) value = values(generator);
        uphill[0] = 0;
        const size_t bytes = from.size() * 4;
        hpc_transfer transfers[] = {{x, 0, from.data(), bytes}, {gradient, 0, uphill.data(), bytes},
                                    {apart, 0, first.data(), bytes}, {in_place, 0, second.data(), bytes}};
        const uint64_t slots[] = {cell(kEpsilon)};
        HPC_CHECK(hpc_program_run_with(program.handle, rows, 1, slots, 1, transfers, 4, nullptr));
        const size_t moved = static_cast<size_t>(std::lround(static_cast<double>(kShare) * rows)) * kColumns;
        std::vector<float> expected = from;
        for (size_t i = 0; i < moved; i++) {
            const float step = uphill[i] > 0 ? kEpsilon : uphill[i] < 0 ? -kEpsilon : 0.0f;
            expected[i] = std::min(std::max(from[i] + step, kLow), kHigh);
        }
        expect_same(expected, first, "examples apart");
        expect_same(expected, second, "examples in place");
    }
}

// The last shape is large enough for several tiles. What runs with fewer rows than it could leaves the rest as it was.
// Packed or not, for one row and for many, of programs that share the constants.
TEST_P(Instruction, ConstantsGiveTheBitsOfParameters) {
    Device device(GetParam());
    const uint64_t capacity = 70;
    for (const auto& shape : {std::pair<uint64_t, uint64_t>{1, 1}, {5, 3}, {100, 333}, {300, 10}, {784, 512}}) {
        const uint64_t inputs = shape.first, outputs = shape.second;
        const std::vector<float> data = random_floats(inputs * outputs + 1, 3);
        Buffer x(device, capacity * inputs), y(device, capacity * outputs), w(device, data.size()), constant(device, data.size());
        x.write(random_floats(capacity * inputs, 4));
        w.write(data);
        constant.write(data);
        const auto record = [&](Program& program, int32_t kind, Buffer& weights) {
            const uint32_t in = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, inputs, x.handle);
            const uint32_t out = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, outputs, y.handle);
            hpc_value_desc desc{};
            desc.kind = kind, desc.count = inputs, desc.columns = outputs, desc.buffer = weights.handle, desc.offset = 4;
            uint32_t weight = 0;
            HPC_EXPECT(hpc_program_value(program.handle, &desc, &weight));
            const hpc_dense_forward dense{in, weight, 0, out};
            HPC_EXPECT(hpc_record_dense_forward(program.handle, &dense));
            HPC_EXPECT(hpc_program_finish(program.handle));
        };
        Program plain(device, capacity), first(device, capacity), second(device, capacity);
        record(plain, HPC_VALUE_PARAMETER, w);
        record(first, HPC_VALUE_CONSTANT, constant);
        record(second, HPC_VALUE_CONSTANT, constant);
        for (const uint64_t rows : {1, 2, 3, 5, 6, 7, 33, 70}) {
            std::vector<float> results[3];
            Program* const programs[] = {&plain, &first, &second};
            for (int i = 0; i < 3; i++) {
                y.write(std::vector<float>(capacity * outputs, -9.0f));
                HPC_CHECK(hpc_program_run(programs[i]->handle, rows, 1, nullptr, 0, nullptr));
                results[i] = y.read();
            }
            expect_same(results[0], results[1], "constants");
            expect_same(results[0], results[2], "constants of a second program");
        }
    }
}

TEST_P(OnDevice, BuffersOfConstantsAreReadOnly) {
    Device device(GetParam());
    Buffer w(device, 6), other(device, 6);
    w.write(std::vector<float>{1, 2, 3, 4, 5, 6});
    {
        // Not yet: this program writes into the buffer of its constant, and is refused.
        Program program(device, 4);
        const uint32_t x = program.rows(HPC_VALUE_INPUT, 2);
        const uint32_t weight = program.value(HPC_VALUE_CONSTANT, HPC_FLOAT32, HPC_LEAD_FIXED, 2, 2, w.handle);
        hpc_value_desc desc{};
        desc.kind = HPC_VALUE_OUTPUT, desc.count = 1, desc.columns = 2, desc.buffer = w.handle, desc.offset = 16;
        uint32_t y = 0;
        HPC_CHECK(hpc_program_value(program.handle, &desc, &y));
        const hpc_column_sums sums{x, y};
        HPC_CHECK(hpc_record_column_sums(program.handle, &sums));
        const hpc_column_sums into_constant{x, weight};
        EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_record_column_sums(program.handle, &into_constant));
        EXPECT_EQ(HPC_INVALID_STATE, hpc_program_finish(program.handle));
        w.write(std::vector<float>{1, 2, 3, 4, 5, 6});
    }
    Program program(device, 4);
    const uint32_t x = program.rows(HPC_VALUE_INPUT, 2), y = program.rows(HPC_VALUE_OUTPUT, 3);
    const hpc_dense_forward dense{x, program.value(HPC_VALUE_CONSTANT, HPC_FLOAT32, HPC_LEAD_FIXED, 2, 3, w.handle), 0, y};
    HPC_CHECK(hpc_record_dense_forward(program.handle, &dense));
    HPC_CHECK(hpc_program_finish(program.handle));
    const float one = 1;
    EXPECT_EQ(HPC_INVALID_STATE, hpc_buffer_write(w.handle, 0, &one, 4));
    EXPECT_EQ(HPC_INVALID_STATE, hpc_buffer_fill(w.handle, 0, 0, 4));
    EXPECT_EQ(HPC_INVALID_STATE, hpc_buffer_copy(other.handle, 0, w.handle, 0, 4));
    HPC_CHECK(hpc_buffer_copy(w.handle, 0, other.handle, 0, 24));
    Program writes(device, 4);
    const uint32_t in = writes.rows(HPC_VALUE_INPUT, 3);
    const hpc_column_sums sums{in, writes.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, 3, w.handle)};
    HPC_CHECK(hpc_record_column_sums(writes.handle, &sums));
    EXPECT_EQ(HPC_INVALID_STATE, hpc_program_finish(writes.handle));
    EXPECT_EQ((std::vector<float>{1, 2, 3, 4, 5, 6}), w.read());
}

TEST_P(Instruction, MultiplyIsTheProductOfTheRowsThereAre) {
    Device device(GetParam());
    for (const auto& [capacity, columns] : {std::pair<uint64_t, uint64_t>{1, 1}, {61, 7}, {17, 33}, {300, 1001}}) {
        const size_t count = capacity * columns;
        const std::vector<float> a = random_floats(count, 1), b = random_floats(count, 2);
        for (uint64_t rows : {capacity, capacity / 2}) {
            for (int place = 0; place < 3; place++) {
                Buffer x(device, count), y(device, count), z(device, count);
                x.write(a);
                y.write(b);
                z.write(std::vector<float>(count, -9.0f));
                Program program(device, capacity);
                uint32_t ids[3];
                Buffer* const buffers[] = {&x, &y, &z};
                for (int i = 0; i < 3; i++)
                    ids[i] = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, columns, buffers[i]->handle);
                const hpc_multiply multiply{ids[0], ids[1], ids[place]};
                HPC_CHECK(hpc_record_multiply(program.handle, &multiply));
                HPC_CHECK(hpc_program_finish(program.handle));
                HPC_CHECK(hpc_program_run(program.handle, rows, 1, nullptr, 0, nullptr));
                const std::vector<float> product = buffers[place]->read();
                const std::vector<float> before = place == 0 ? a : place == 1 ? b : std::vector<float>(count, -9.0f);
                for (size_t i = 0; i < count; i++)
                    ASSERT_EQ(product[i], i < rows * columns ? static_cast<float>(static_cast<double>(a[i]) * b[i]) : before[i])
                        << i << " of " << rows << " x " << columns << " into operand " << place;
            }
        }
    }
}

// y = 2 x + bias in two instructions of the core with the caller's code between, that also writes a second value.
struct Called {
    int calls = 0, fails_at = -1;
    uint64_t rows = 0;
    std::thread::id thread;
    bool none_is_null = false;
    static int32_t add(void* context, uint64_t rows, uint64_t steps, float* const* operands) {
        Called& called = *static_cast<Called*>(context);
        called.rows = rows * steps;
        called.thread = std::this_thread::get_id();
        called.none_is_null = operands[2] == nullptr && operands[3] == nullptr;
        if (called.calls++ == called.fails_at) return 7;
        for (uint64_t i = 0; i < rows * 5; i++) {
            operands[4][i] = operands[0][i] + operands[1][i % 5];
            operands[5][i] = -operands[0][i];
        }
        return 0;
    }
};

TEST_P(Instruction, CallRunsTheCallersCodeInItsPlace) {
    Device device(GetParam(), 2);
    constexpr uint64_t kRows = 300;
    const std::vector<float> from = random_floats(kRows * 5, 1), bias = random_floats(5, 2), start = random_floats(5, 3);
    Buffer b(device, 5), parameter(device, 5);
    b.write(bias);
    Called called, second;
    Program program(device, kRows);
    const uint32_t x = program.value(HPC_VALUE_INPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, 5), y = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, 5),
                   negative = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, 5),
                   twice = program.value(HPC_VALUE_TEMPORARY, HPC_FLOAT32, HPC_LEAD_ROWS, 0, 5),
                   sum = program.value(HPC_VALUE_TEMPORARY, HPC_FLOAT32, HPC_LEAD_ROWS, 0, 5),
                   added = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, 5, b.handle),
                   weights = program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, 1, 5, parameter.handle);
    const hpc_fill zero{twice, 0, {0, 0}};
    HPC_CHECK(hpc_record_fill(program.handle, &zero));
    const hpc_add_scaled doubled{x, twice, {2, 0}};
    HPC_CHECK(hpc_record_add_scaled(program.handle, &doubled));
    const uint32_t reads[] = {twice, added, 0, 0}, writes[] = {sum, negative}, again[] = {sum, added, 0, 0}, last[] = {y, twice};
    const hpc_call calls[] = {{Called::add, &called, "first", reads, writes, 4, 2}, {Called::add, &second, "second", again, last, 4, 2}};
    for (const hpc_call& call : calls) HPC_CHECK(hpc_record_call(program.handle, &call));
    // On a parameter: nothing while a flag is set.
    const hpc_scale shrink{weights, 0, {0.5f, 0}};
    HPC_CHECK(hpc_record_scale(program.handle, &shrink));
    HPC_CHECK(hpc_program_finish(program.handle));
    std::vector<float> out(kRows * 5), minus(kRows * 5);
    for (const uint64_t rows : {kRows, uint64_t{7}, uint64_t{0}, kRows}) {
        for (const int fails : {-1, 0, 1}) {
            parameter.write(start);
            called = second = {};
            (fails == 1 ? second : called).fails_at = fails < 0 ? -1 : 0;
            const uint64_t bytes = rows * 20;
            const hpc_transfer transfers[] = {{x, 0, const_cast<float*>(from.data()), bytes}, {y, 0, out.data(), bytes}, {negative, 0, minus.data(), bytes}};
            hpc_metrics metrics{};
            HPC_CHECK(hpc_program_run_with(program.handle, rows, 1, nullptr, 0, transfers, 3, &metrics));
            const bool failed = fails >= 0 && rows > 0;
            EXPECT_EQ(failed ? uint32_t{HPC_FLAG_CALL} : 0u, metrics.flags);
            EXPECT_EQ(rows > 0, called.calls == 1);
            EXPECT_EQ(rows > 0 && fails != 0, second.calls == 1) << "no call follows one that failed";
            std::vector<float> expected = start;
            for (float& v : expected)
                if (rows > 0 && !failed) v *= 0.5f;
            expect_same(expected, parameter.read(), "the guarded parameter");
            if (rows == 0) continue;
            EXPECT_EQ(rows, called.rows);
            EXPECT_EQ(std::this_thread::get_id(), called.thread);
            EXPECT_TRUE(called.none_is_null);
            for (uint64_t i = 0; i < rows * 5 && !failed; i++) {
                ASSERT_EQ((2 * from[i] + bias[i % 5]) + bias[i % 5], out[i]) << i;
                ASSERT_EQ(-(2 * from[i]), minus[i]) << i;
            }
        }
    }
    called = second = {};
    hpc_profile_entry entries[8];
    uint32_t count = 0;
    HPC_CHECK(hpc_program_profile(program.handle, kRows, 1, nullptr, 0, 3, entries, 8, &count));
    EXPECT_EQ(3, called.calls);
    bool named = false;
    for (uint32_t i = 0; i < count; i++) named |= std::string(entries[i].name) == "call second";
    EXPECT_TRUE(named);
}

TEST_P(Instruction, CopyColumnsMovesABlockOfEachPiece) {
    struct Shape {
        uint64_t capacity, x, y, pieces, x_column, y_column, columns;
    };
    const Shape shapes[] = {{1, 1, 1, 1, 0, 0, 1},      {61, 7, 12, 1, 0, 5, 7},      {61, 12, 7, 1, 5, 0, 7}, {17, 40, 24, 1, 8, 4, 16},
                            {17, 40, 24, 4, 3, 2, 4},   {5, 6, 9, 3, 1, 0, 1},        {9, 10, 5, 5, 1, 0, 1},  {300, 1001, 700, 7, 43, 0, 100},
                            {33, 64, 128, 1, 0, 64, 64}, {400, 1024, 2048, 2, 512 - 256, 768, 256}};
    Device device(GetParam());
    for (const Shape& s : shapes) {
        const std::vector<float> from = random_floats(s.capacity * s.x, 3), before = random_floats(s.capacity * s.y, 4);
        for (uint64_t rows : {s.capacity, s.capacity / 2}) {
            Buffer x(device, from.size()), y(device, before.size());
            x.write(from);
            y.write(before);
            Program program(device, s.capacity);
            const hpc_copy_columns copy{program.value(HPC_VALUE_INPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, s.x, x.handle),
                                        program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, s.y, y.handle),
                                        s.pieces, s.x_column, s.y_column, s.columns};
            HPC_CHECK(hpc_record_copy_columns(program.handle, &copy));
            HPC_CHECK(hpc_program_finish(program.handle));
            HPC_CHECK(hpc_program_run(program.handle, rows, 1, nullptr, 0, nullptr));
            std::vector<float> expected = before;
            for (uint64_t i = 0; i < rows * s.pieces; i++)
                for (uint64_t j = 0; j < s.columns; j++)
                    expected[i * (s.y / s.pieces) + s.y_column + j] = from[i * (s.x / s.pieces) + s.x_column + j];
            expect_same(expected, y.read(), "copied columns");
        }
    }
}

// Several tiles of elements, whose random numbers go by their places: what a program draws by itself says which are dropped.
TEST_P(Instruction, NoiseAndAffineDropoutGoByTheUniforms) {
    constexpr uint64_t kRows = 37, kColumns = 5003;
    constexpr size_t kCount = kRows * kColumns;
    const std::vector<float> x = random_floats(kCount, 5);
    Device device(GetParam());
    Buffer source(device, kCount), uniforms(device, kCount), dropped(device, kCount), noisy(device, kCount);
    source.write(x);
    Program program(device, kRows);
    auto output = [&](const Buffer& buffer) {
        return program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kColumns, buffer.handle);
    };
    const uint32_t from = program.value(HPC_VALUE_INPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kColumns, source.handle);
    const uint32_t seed = program.slot(HPC_SLOT_UINT64, "seed"), deviation = program.slot(HPC_SLOT_FLOAT, "deviation");
    const hpc_counter key{0, seed, 0}, stream{77, 0, 0};
    const hpc_philox_uniform uniform{output(uniforms), 0, key, stream, 0, 1};
    const hpc_affine_dropout dropout{from, output(dropped), key, stream, 0.3f, 1.25f, -0.5f, 2.75f};
    const hpc_gaussian_noise noise{from, output(noisy), key, stream, {0, deviation}};
    HPC_CHECK(hpc_record_philox_uniform(program.handle, &uniform));
    HPC_CHECK(hpc_record_affine_dropout(program.handle, &dropout));
    HPC_CHECK(hpc_record_gaussian_noise(program.handle, &noise));
    HPC_CHECK(hpc_program_finish(program.handle));
    const uint64_t slots[] = {123456789, cell(0.75f)};
    HPC_CHECK(hpc_program_run(program.handle, kRows, 1, slots, 2, nullptr));
    const std::vector<float> u = uniforms.read(), d = dropped.read(), n = noisy.read();
    for (size_t i = 0; i < kCount; i++) {
        ASSERT_EQ(d[i], u[i] < 0.3f ? 2.75f : std::fma(1.25f, x[i], -0.5f)) << i;
        // u is the probability below the noise, but for half an interval and the rounding of the difference.
        const double z = (static_cast<double>(n[i]) - x[i]) / 0.75;
        ASSERT_NEAR(std::erfc(-z * std::sqrt(0.5)) / 2, u[i] + 0x1p-25, 1e-6) << i;
    }
}

TEST_P(OnDevice, WorkspaceIsShared) {
    // A deep network's temporaries do not all live at once: the plan must be well below their sum.
    Device device(GetParam());
    Program program(device, 64);
    uint32_t x = program.rows(HPC_VALUE_INPUT, 256);
    for (int i = 0; i < 20; i++) {
        const uint32_t y = program.rows(i == 19 ? HPC_VALUE_OUTPUT : HPC_VALUE_TEMPORARY, 256);
        hpc_activation_forward activation{HPC_ACTIVATION_TANH, x, y, 0, 0, 0};
        HPC_CHECK(hpc_record_activation_forward(program.handle, &activation));
        x = y;
    }
    HPC_CHECK(hpc_program_finish(program.handle));
    hpc_program_info info{};
    HPC_CHECK(hpc_program_get_info(program.handle, &info));
    EXPECT_LE(info.workspace_bytes, 2u * 64 * 256 * 4);
}

TEST_P(OnDevice, ProfileCoversEveryInstruction) {
    Device device(GetParam());
    TrainingStep step(device, shapes()[1], 32, HPC_PROGRAM_DEFAULT);
    hpc_program_info info{};
    HPC_CHECK(hpc_program_get_info(step.program.handle, &info));
    std::vector<hpc_profile_entry> entries(info.fused_instructions);
    const uint64_t slots[] = {0, cell(0.01f), 1};
    uint32_t count = 0;
    HPC_CHECK(hpc_program_profile(step.program.handle, 32, 1, slots, 3, 3, entries.data(), static_cast<uint32_t>(entries.size()), &count));
    hpc_run_costs costs{1, 1, 1};
    HPC_CHECK(hpc_program_measure(step.program.handle, 32, 1, slots, 3, 3, &costs));
    if (GetParam().kind == HPC_DEVICE_OPENCL) {
        EXPECT_GE(costs.launches, 1u);
        EXPECT_GT(costs.busy_nanoseconds, 0.0);
        EXPECT_GE(costs.span_nanoseconds, costs.busy_nanoseconds * 0.99);
    } else {
        EXPECT_EQ(0u, costs.launches);
        EXPECT_EQ(0.0, costs.span_nanoseconds);
    }
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_measure(step.program.handle, 32, 1, slots, 3, 0, &costs));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_measure(step.program.handle, 32, 1, slots, 3, 1, nullptr));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_measure(step.program.handle, 33, 1, slots, 3, 1, &costs));
    EXPECT_EQ(info.fused_instructions, count);
    for (const hpc_profile_entry& entry : entries) {
        EXPECT_GT(entry.nanoseconds, 0) << entry.name;
        EXPECT_LT(entry.nanoseconds, 1e9) << entry.name;
        EXPECT_GT(entry.bytes, 0u) << entry.name;
        EXPECT_NE('\0', entry.name[0]);
    }
}

}  // namespace
}  // namespace hpc::test
