// Recurrent instructions against a recurrence in double precision, for every cell of the table, both directions, all
// operands; its gradients are central differences of sum(y dy) + sum(hn dhn) + sum(cn dcn), which know nothing of the
// formulas. And that what is left out changes nothing else, that threads do not change bits, that no rows do nothing.
#include <cmath>
#include <memory>

#include "harness.h"

namespace hpc::test {
namespace {

using Numbers = std::vector<double>;

struct Shape {
    uint64_t rows, steps, units;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 4, 5}, {2, 3, 16}, {19, 3, 17}, {70, 2, 7}, {5, 2, 40}};

int cells() {
    int count = 0;
    for (hpc_cell_info info; hpc_get_cell_info(count, &info) == HPC_OK;) count++;
    return count;
}

hpc_cell_info cell_of(int number) {
    hpc_cell_info info{};
    HPC_EXPECT(hpc_get_cell_info(number, &info));
    return info;
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One unit's step, written from the definitions. u: what h gives, bias included.
void step_of(const std::string& cell, const double* a, const double* u, double h, double& c, double& y) {
    if (cell == "rnn_tanh") {
        y = std::tanh(a[0] + u[0]);
    } else if (cell == "rnn_relu") {
        y = std::max(0.0, a[0] + u[0]);
    } else if (cell == "lstm") {
        c = sigmoid(a[1] + u[1]) * c + sigmoid(a[0] + u[0]) * std::tanh(a[2] + u[2]);
        y = sigmoid(a[3] + u[3]) * std::tanh(c);
    } else if (cell == "gru") {
        const double r = sigmoid(a[0] + u[0]), z = sigmoid(a[1] + u[1]), n = std::tanh(a[2] + r * u[2]);
        y = (1 - z) * n + z * h;
    } else {
        FAIL() << "this test does not know the cell " << cell;
    }
}

struct Data {
    Numbers gates, w, b, h0, c0, dy, dhn, dcn;
    uint64_t offset = 2, stride = 0;  // of a step's outputs among others
};

struct Result {
    Numbers y, hn, cn;  // y: [rows x steps x units]
    double loss = 0;
};

// Rows [first, end).
Result truth(const std::string& cell, const hpc_cell_info& info, const Shape& shape, const Data& data, bool reverse, bool last, uint64_t first,
             uint64_t end) {
    const uint64_t units = shape.units, width = units * static_cast<uint64_t>(info.gates);
    Result result;
    result.y.assign(shape.rows * shape.steps * units, 0);
    result.hn.assign(shape.rows * units, 0);
    result.cn = result.hn;
    for (uint64_t row = first; row < end; row++) {
        Numbers h(data.h0.begin() + static_cast<long>(row * units), data.h0.begin() + static_cast<long>((row + 1) * units));
        Numbers c(data.c0.begin() + static_cast<long>(row * units), data.c0.begin() + static_cast<long>((row + 1) * units));
        for (uint64_t i = 0; i < shape.steps; i++) {
            const uint64_t t = reverse ? shape.steps - 1 - i : i;
            Numbers next(units);
            for (uint64_t j = 0; j < units; j++) {
                double a[4] = {}, u[4] = {};
                for (uint64_t g = 0; g < static_cast<uint64_t>(info.gates); g++) {
                    a[g] = data.gates[(row * shape.steps + t) * width + g * units + j];
                    u[g] = data.b[g * units + j];
                    for (uint64_t k = 0; k < units; k++) u[g] += h[k] * data.w[k * width + g * units + j];
                }
                step_of(cell, a, u, h[j], c[j], next[j]);
            }
            h = next;
            for (uint64_t j = 0; j < units; j++) {
                result.y[(row * shape.steps + t) * units + j] = h[j];
                const uint64_t at = last ? row * data.stride : (row * shape.steps + t) * data.stride;
                if (!last || i == shape.steps - 1) result.loss += h[j] * data.dy[at + data.offset + j];
            }
        }
        for (uint64_t j = 0; j < units; j++) {
            result.hn[row * units + j] = h[j];
            result.cn[row * units + j] = c[j];
            result.loss += h[j] * data.dhn[row * units + j] + (info.state ? c[j] * data.dcn[row * units + j] : 0);
        }
    }
    return result;
}

// float32 against double precision: a few roundings a step, relative to the largest.
void expect_close(const Numbers& expected, const std::vector<float>& actual, const char* what) {
    ASSERT_EQ(expected.size(), actual.size()) << what;
    double largest = 1;
    for (double v : expected) largest = std::max(largest, std::fabs(v));
    for (size_t i = 0; i < expected.size(); i++)
        ASSERT_NEAR(expected[i], actual[i], 3e-6 * largest) << what << '[' << i << ']';
}

class Recurrent : public testing::TestWithParam<std::tuple<int, Target>> {
protected:
    void SetUp() override { HPC_NEED(target()); }
    int cell() const { return std::get<0>(GetParam()); }
    Target target() const { return std::get<1>(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Cells, Recurrent,
                         testing::Combine(testing::Range(0, cells()),
                                          testing::Values(Target{"avx512", HPC_DEVICE_CPU, "avx512"}, Target{"avx2", HPC_DEVICE_CPU, "avx2"},
                                                          Target{"scalar", HPC_DEVICE_CPU, "scalar"}, kOpenCl)),
                         [](const testing::TestParamInfo<std::tuple<int, Target>>& row) {
                             return std::string(cell_of(std::get<0>(row.param)).name) + "_" + std::get<1>(row.param).name;
                         });

Data random_data(const Shape& shape, const hpc_cell_info& info, bool last) {
    std::mt19937 generator(static_cast<unsigned>(shape.rows * 100 + shape.units));
    auto make = [&](uint64_t count) {
        Numbers values(count);
        // As float32 has them, so that both sides begin with the same.
        for (double& v : values) v = std::uniform_real_distribution<float>(-0.8f, 0.8f)(generator);
        return values;
    };
    const uint64_t width = shape.units * static_cast<uint64_t>(info.gates);
    Data data;
    data.stride = shape.units + 5;
    data.gates = make(shape.rows * shape.steps * width);
    data.w = make(shape.units * width);
    for (double& v : data.w) v = static_cast<float>(v / std::sqrt(static_cast<double>(shape.units)));
    data.b = make(width);
    data.h0 = make(shape.rows * shape.units);
    data.c0 = make(shape.rows * shape.units);
    data.dy = make(shape.rows * (last ? 1 : shape.steps) * data.stride);
    data.dhn = make(shape.rows * shape.units);
    data.dcn = make(shape.rows * shape.units);
    return data;
}

// A program of both instructions with everything that they can have.
struct Layer {
    Layer(Device& device, const Shape& shape, int number, bool reverse, bool last, const Data& data, uint64_t capacity)
        : program(device, capacity), info(cell_of(number)), width(shape.units * static_cast<uint64_t>(info.gates)) {
        const uint64_t sequence = shape.steps * shape.units;
        input = rows(device, shape.steps * width, data.gates, capacity);
        forward.cell = number;
        forward.reverse = reverse;
        forward.last = last;
        // Instructions change the gates: they work on a copy of the input.
        forward.gates = rows(device, shape.steps * width, {}, capacity);
        forward.w = fixed(device, shape.units, width, data.w);
        forward.b = fixed(device, 1, width, data.b);
        forward.h0 = rows(device, shape.units, data.h0, capacity);
        forward.y = rows(device, (last ? 1 : shape.steps) * data.stride, {}, capacity);
        forward.y_offset = static_cast<uint32_t>(data.offset);
        forward.hn = rows(device, shape.units, {}, capacity);
        forward.previous = rows(device, sequence, {}, capacity);
        if (info.state) {
            forward.c0 = rows(device, shape.units, data.c0, capacity);
            forward.cn = rows(device, shape.units, {}, capacity);
        }
        if (info.kept) forward.kept = rows(device, sequence, {}, capacity);
        backward.cell = number;
        backward.reverse = reverse;
        backward.last = last;
        backward.gates = forward.gates;
        backward.w = forward.w;
        backward.c0 = forward.c0;
        backward.kept = forward.kept;
        backward.previous = forward.previous;
        backward.dy = rows(device, (last ? 1 : shape.steps) * data.stride, data.dy, capacity);
        backward.dy_offset = forward.y_offset;
        backward.dhn = rows(device, shape.units, data.dhn, capacity);
        backward.dh0 = rows(device, shape.units, {}, capacity);
        if (info.state) {
            backward.dcn = rows(device, shape.units, data.dcn, capacity);
            backward.dc0 = rows(device, shape.units, {}, capacity);
        }
        if (info.direct) backward.hidden = rows(device, shape.steps * width, {}, capacity);
        dw = fixed(device, shape.units, width, {});
        db = fixed(device, 1, width, {});
    }

    void run(uint64_t count) {
        hpc_fill zero{forward.gates, 0, {0, 0}};
        hpc_add_scaled copy{input, forward.gates, {1, 0}};
        HPC_EXPECT(hpc_record_fill(program.handle, &zero));
        HPC_EXPECT(hpc_record_add_scaled(program.handle, &copy));
        HPC_EXPECT(hpc_record_recurrent_forward(program.handle, &forward));
        HPC_EXPECT(hpc_record_recurrent_backward(program.handle, &backward));
        const uint32_t side = backward.hidden ? backward.hidden : backward.gates;
        const hpc_dense_backward_weight weights{forward.previous, side, dw, 0};
        const hpc_column_sums sums{side, db};
        HPC_EXPECT(hpc_record_dense_backward_weight(program.handle, &weights));
        HPC_EXPECT(hpc_record_column_sums(program.handle, &sums));
        HPC_EXPECT(hpc_program_finish(program.handle));
        again(count);
    }
    void again(uint64_t count) { HPC_EXPECT(hpc_program_run(program.handle, count, 1, nullptr, 0, nullptr)); }

    std::vector<float> read(uint32_t id) const {
        for (size_t i = 0; i < ids.size(); i++)
            if (ids[i] == id) return buffers[i]->read();
        return {};
    }

    Program program;
    hpc_cell_info info;
    uint64_t width;
    hpc_recurrent_forward forward{};
    hpc_recurrent_backward backward{};
    uint32_t input = 0, dw = 0, db = 0;

private:
    uint32_t keep(uint32_t id, std::unique_ptr<Buffer> buffer, const Numbers& data) {
        if (!data.empty()) buffer->write(std::vector<float>(data.begin(), data.end()));
        ids.push_back(id);
        buffers.push_back(std::move(buffer));
        return id;
    }
    uint32_t rows(Device& device, uint64_t columns, const Numbers& data, uint64_t capacity) {
        auto buffer = std::make_unique<Buffer>(device, capacity * columns);
        const uint32_t id = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, columns, buffer->handle);
        return keep(id, std::move(buffer), data);
    }
    uint32_t fixed(Device& device, uint64_t count, uint64_t columns, const Numbers& data) {
        auto buffer = std::make_unique<Buffer>(device, count * columns);
        const uint32_t id = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, count, columns, buffer->handle);
        return keep(id, std::move(buffer), data);
    }
    std::vector<uint32_t> ids;
    std::vector<std::unique_ptr<Buffer>> buffers;
};

TEST_P(Recurrent, AgreesWithDoublePrecision) {
    Device device(target());
    const hpc_cell_info info = cell_of(cell());
    const std::string name = info.name;
    for (const Shape& shape : kShapes) {
        for (int variant = 0; variant < 4; variant++) {
            const bool reverse = variant & 1, last = variant & 2;
            SCOPED_TRACE(name + " rows " + std::to_string(shape.rows) + " steps " + std::to_string(shape.steps) + " units " +
                         std::to_string(shape.units) + (reverse ? " reverse" : "") + (last ? " last" : ""));
            const uint64_t units = shape.units;
            Data data = random_data(shape, info, last);
            Layer layer(device, shape, cell(), reverse, last, data, shape.rows + 3);
            layer.run(shape.rows);
            const Result expected = truth(name, info, shape, data, reverse, last, 0, shape.rows);

            auto part = [&](uint32_t id, uint64_t columns) {
                std::vector<float> all = layer.read(id);
                all.resize(shape.rows * columns);
                return all;
            };
            // The outputs stand among columns that are not the instruction's: those stay 0.
            const std::vector<float> y = part(layer.forward.y, (last ? 1 : shape.steps) * data.stride);
            Numbers placed(y.size(), 0.0);
            for (uint64_t row = 0; row < shape.rows; row++)
                for (uint64_t t = 0; t < shape.steps; t++)
                    for (uint64_t j = 0; j < units; j++) {
                        if (last && t != (reverse ? 0 : shape.steps - 1)) continue;
                        placed[(last ? row : row * shape.steps + t) * data.stride + data.offset + j] =
                            expected.y[(row * shape.steps + t) * units + j];
                    }
            expect_close(placed, y, "y");
            expect_close(expected.hn, part(layer.forward.hn, units), "hn");
            if (info.state) expect_close(expected.cn, part(layer.forward.cn, units), "cn");

            // A change of a row changes that row's loss alone.
            auto slope = [&](double& number, uint64_t first, uint64_t end) {
                const double middle = number, h = 1e-5;
                number = middle + h;
                const double above = truth(name, info, shape, data, reverse, last, first, end).loss;
                number = middle - h;
                const double below = truth(name, info, shape, data, reverse, last, first, end).loss;
                number = middle;
                return (above - below) / (2 * h);
            };
            auto by_rows = [&](Numbers& values, uint64_t columns) {
                Numbers gradients(values.size());
                for (size_t i = 0; i < values.size(); i++) gradients[i] = slope(values[i], i / columns, i / columns + 1);
                return gradients;
            };
            auto by_all = [&](Numbers& values) {
                Numbers gradients(values.size());
                for (size_t i = 0; i < values.size(); i++) gradients[i] = slope(values[i], 0, shape.rows);
                return gradients;
            };
            expect_close(by_rows(data.h0, units), part(layer.backward.dh0, units), "dh0");
            if (info.state) expect_close(by_rows(data.c0, units), part(layer.backward.dc0, units), "dc0");
            if (units > 20) continue;  // differences over all of the rest would take long
            expect_close(by_rows(data.gates, shape.steps * layer.width), part(layer.backward.gates, shape.steps * layer.width), "gates");
            expect_close(by_all(data.b), layer.read(layer.db), "db");
            if (shape.rows * units < 100) expect_close(by_all(data.w), layer.read(layer.dw), "dw");
        }
    }
}

// Without initial states, kept values and gradients of the last state: as with zeros.
TEST_P(Recurrent, WhatIsLeftOutIsZero) {
    Device device(target());
    const hpc_cell_info info = cell_of(cell());
    const Shape shape{21, 4, 18};
    Data data = random_data(shape, info, false);
    for (Numbers* zero : {&data.h0, &data.c0, &data.dhn, &data.dcn}) zero->assign(zero->size(), 0.0);
    Layer full(device, shape, cell(), false, false, data, 21), bare(device, shape, cell(), false, false, data, 21),
        inference(device, shape, cell(), false, false, data, 21);
    bare.forward.h0 = bare.forward.c0 = bare.forward.hn = bare.forward.cn = 0;
    bare.backward.c0 = bare.backward.dhn = bare.backward.dcn = bare.backward.dh0 = bare.backward.dc0 = 0;
    full.run(21);
    bare.run(21);
    EXPECT_EQ(full.read(full.forward.y), bare.read(bare.forward.y));
    EXPECT_EQ(full.read(full.backward.gates), bare.read(bare.backward.gates));
    EXPECT_EQ(full.read(full.dw), bare.read(bare.dw));

    inference.forward.h0 = inference.forward.c0 = inference.forward.kept = inference.forward.previous = 0;
    HPC_EXPECT(hpc_record_recurrent_forward(inference.program.handle, &inference.forward));
    HPC_EXPECT(hpc_program_finish(inference.program.handle));
    // Nothing has filled its gates: the others with zeros for the input's part.
    Data silent = data;
    silent.gates.assign(silent.gates.size(), 0.0);
    Layer quiet(device, shape, cell(), false, false, silent, 21);
    quiet.run(21);
    inference.again(21);
    EXPECT_EQ(quiet.read(quiet.forward.y), inference.read(inference.forward.y));
}

TEST_P(Recurrent, NoRowsDoNothingAndFewerRowsAreAsGood) {
    Device device(target());
    const hpc_cell_info info = cell_of(cell());
    const Shape shape{40, 3, 9};
    const Data data = random_data(shape, info, false);
    Layer layer(device, shape, cell(), true, false, data, 40);
    layer.run(0);
    for (const float v : layer.read(layer.forward.y)) ASSERT_EQ(0.0f, v);
    layer.again(40);
    const std::vector<float> all = layer.read(layer.backward.dh0);
    Layer few(device, shape, cell(), true, false, data, 40);
    few.run(7);
    std::vector<float> some = few.read(few.backward.dh0);
    for (size_t i = 0; i < 7 * 9; i++) ASSERT_EQ(all[i], some[i]) << i;
    for (size_t i = 7 * 9; i < some.size(); i++) ASSERT_EQ(0.0f, some[i]) << i;
}

TEST(RecurrentBits, DoNotDependOnTheThreads) {
    const Shape shape{150, 5, 66};
    for (int number = 0; number < cells(); number++) {
        const Data data = random_data(shape, cell_of(number), false);
        std::vector<std::vector<float>> first;
        for (const int threads : {1, 2, 4}) {
            Device device(threads);
            Layer layer(device, shape, number, false, false, data, 150);
            layer.run(150);
            std::vector<std::vector<float>> results{layer.read(layer.forward.y), layer.read(layer.backward.gates), layer.read(layer.dw),
                                                    layer.read(layer.db), layer.read(layer.backward.dh0)};
            if (first.empty()) first = results;
            EXPECT_EQ(first, results) << cell_of(number).name << " with " << threads << " threads";
        }
    }
}

// Every operand that does not fit is refused when it is recorded.
TEST(RecurrentChecks, RefuseWhatDoesNotFit) {
    Device device(1);
    const Shape shape{4, 3, 5};
    const Data data = random_data(shape, cell_of(HPC_CELL_LSTM), false), gru = random_data(shape, cell_of(HPC_CELL_GRU), false);
    Layer layer(device, shape, HPC_CELL_LSTM, false, false, data, 4), other(device, shape, HPC_CELL_GRU, false, false, gru, 4);
    auto refused = [&](auto change) {
        hpc_recurrent_forward arguments = layer.forward;
        change(arguments);
        return hpc_record_recurrent_forward(layer.program.handle, &arguments) == HPC_INVALID_ARGUMENT;
    };
    EXPECT_TRUE(refused([](auto& a) { a.cell = 99; }));
    EXPECT_TRUE(refused([](auto& a) { a.reverse = 2; }));
    EXPECT_TRUE(refused([](auto& a) { a.last = -1; }));
    EXPECT_TRUE(refused([](auto& a) { a.gates = a.previous; }));
    EXPECT_TRUE(refused([](auto& a) { a.w = a.b; }));
    EXPECT_TRUE(refused([](auto& a) { a.h0 = a.y; }));
    EXPECT_TRUE(refused([](auto& a) { a.hn = a.h0; }));
    EXPECT_TRUE(refused([](auto& a) { a.y_offset = 6; }));
    EXPECT_TRUE(refused([](auto& a) { a.y_offset = 0xffffffffu; }));
    EXPECT_TRUE(refused([](auto& a) { a.kept = 0; }));
    EXPECT_TRUE(refused([](auto& a) { a.previous = 0; }));
    EXPECT_TRUE(refused([](auto& a) { a.kept = a.previous; }));
    EXPECT_TRUE(refused([](auto& a) { a.y = 0; }));
    auto refused_back = [&](Layer& of, auto change) {
        hpc_recurrent_backward arguments = of.backward;
        change(arguments);
        return hpc_record_recurrent_backward(of.program.handle, &arguments) == HPC_INVALID_ARGUMENT;
    };
    EXPECT_TRUE(refused_back(layer, [](auto& a) { a.reserved = 1; }));
    EXPECT_TRUE(refused_back(layer, [](auto& a) { a.dy = a.dhn = 0; }));
    EXPECT_TRUE(refused_back(layer, [](auto& a) { a.previous = 0; }));
    EXPECT_TRUE(refused_back(layer, [](auto& a) { a.hidden = a.gates; }));
    EXPECT_TRUE(refused_back(layer, [](auto& a) { a.dh0 = a.dhn; }));
    EXPECT_TRUE(refused_back(other, [](auto& a) { a.hidden = 0; }));
    EXPECT_TRUE(refused_back(other, [](auto& a) { a.dcn = a.dhn; }));
    EXPECT_TRUE(refused_back(other, [](auto& a) { a.w = 0; }));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_cell_info(-1, nullptr));
}

// The dense instructions read a row of several vectors as several rows: the same bits as over as many rows.
class DenseSequences : public testing::TestWithParam<Target> {
protected:
    void SetUp() override { HPC_NEED(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Devices, DenseSequences, testing::Values(kCpu, kOpenCl),
                         [](const testing::TestParamInfo<Target>& info) { return std::string(info.param.name); });

TEST_P(DenseSequences, AreRowsSideBySide) {
    Device device(GetParam());
    constexpr uint64_t kRows = 13, kSteps = 6, kInputs = 9, kUnits = 21;
    std::vector<std::vector<float>> results[2];
    for (const uint64_t steps : {kSteps, uint64_t{1}}) {
        const uint64_t rows = kRows * kSteps / steps;
        for (const uint32_t flags : {HPC_PROGRAM_DEFAULT, HPC_PROGRAM_PLAIN}) {
            Program program(device, rows, flags);
            Buffer x(device, kRows * kSteps * kInputs), w(device, kInputs * kUnits), b(device, kUnits), y(device, kRows * kSteps * kUnits),
                dx(device, kRows * kSteps * kInputs), dw(device, kInputs * kUnits), db(device, kUnits), sums(device, kInputs);
            auto fill = [](Buffer& buffer) {
                std::vector<float> data(buffer.count);
                for (size_t i = 0; i < data.size(); i++) data[i] = std::sin(static_cast<float>(i) * 0.7f);
                buffer.write(data);
            };
            fill(x), fill(w), fill(b);
            auto value = [&](Buffer& buffer, uint64_t columns) {
                return program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, columns, buffer.handle);
            };
            auto fixed = [&](Buffer& buffer, uint64_t count, uint64_t columns) {
                return program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, count, columns, buffer.handle);
            };
            const uint32_t vx = value(x, steps * kInputs), vy = value(y, steps * kUnits), vw = fixed(w, kInputs, kUnits),
                           z = program.rows(HPC_VALUE_TEMPORARY, steps * kUnits), dz = program.rows(HPC_VALUE_TEMPORARY, steps * kUnits),
                           vdx = value(dx, steps * kInputs);
            const hpc_dense_forward forward{vx, vw, fixed(b, 1, kUnits), z};
            const hpc_activation_forward activate{HPC_ACTIVATION_TANH, z, vy, 0, 0, 0};
            const hpc_activation_backward back{HPC_ACTIVATION_TANH, vy, vy, dz, 0, 0};
            const hpc_column_sums bias{dz, fixed(db, 1, kUnits)}, input_sums{vdx, fixed(sums, 1, kInputs)};
            const hpc_dense_backward_weight weights{vx, dz, fixed(dw, kInputs, kUnits), 0};
            const hpc_dense_backward_input input{dz, vw, vdx, 0};
            HPC_EXPECT(hpc_record_dense_forward(program.handle, &forward));
            HPC_EXPECT(hpc_record_activation_forward(program.handle, &activate));
            HPC_EXPECT(hpc_record_activation_backward(program.handle, &back));
            HPC_EXPECT(hpc_record_column_sums(program.handle, &bias));
            HPC_EXPECT(hpc_record_dense_backward_weight(program.handle, &weights));
            HPC_EXPECT(hpc_record_dense_backward_input(program.handle, &input));
            HPC_EXPECT(hpc_record_column_sums(program.handle, &input_sums));
            HPC_EXPECT(hpc_program_finish(program.handle));
            HPC_EXPECT(hpc_program_run(program.handle, rows, 1, nullptr, 0, nullptr));
            results[flags == HPC_PROGRAM_PLAIN].push_back({});
            for (const Buffer* buffer : {&y, &dx, &dw, &db, &sums}) {
                const std::vector<float> data = buffer->read();
                std::vector<float>& all = results[flags == HPC_PROGRAM_PLAIN].back();
                all.insert(all.end(), data.begin(), data.end());
            }
        }
    }
    EXPECT_EQ(results[0][0], results[0][1]);
    EXPECT_EQ(results[1][0], results[1][1]);

    // Sums over whole rows of a sequence are another thing than those over its steps, and are not fused as if they were.
    Program program(device, kRows);
    Buffer x(device, kRows * kSteps * kUnits), w(device, kInputs * kUnits), dx(device, kRows * kSteps * kInputs), sums(device, kSteps * kInputs);
    x.write(std::vector<float>(x.count, 0.5f));
    w.write(std::vector<float>(w.count, 0.25f));
    const uint32_t vx = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kSteps * kUnits, x.handle),
                   vdx = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kSteps * kInputs, dx.handle),
                   vw = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, kInputs, kUnits, w.handle),
                   vs = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, kSteps * kInputs, sums.handle);
    const hpc_dense_backward_input input{vx, vw, vdx, 0};
    const hpc_column_sums whole{vdx, vs};
    HPC_EXPECT(hpc_record_dense_backward_input(program.handle, &input));
    HPC_EXPECT(hpc_record_column_sums(program.handle, &whole));
    HPC_EXPECT(hpc_program_finish(program.handle));
    HPC_EXPECT(hpc_program_run(program.handle, kRows, 1, nullptr, 0, nullptr));
    for (const float v : sums.read()) ASSERT_EQ(0.125f * kUnits * kRows, v);
}

}  // namespace
}  // namespace hpc::test
