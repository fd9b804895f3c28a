// Small networks on OpenCL (src/opencl/small_network.h): that they are taken for what they are, in as many launches as is said;
// that gradients, metrics and outputs are those of the layers one by one and of double precision; that an update is the rule,
// applied to those gradients; that flags hold it back.
//
// A row of kRows is a network with its step. On oclgrind, which is slow, run one of them (tests/CMakeLists.txt does).
#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "harness.h"
#include "opencl/api.h"

namespace hpc::test {
namespace {

using Numbers = std::vector<double>;

// Losses beside those of hpc_loss.
constexpr int kLabels = -1, kProbabilities = -2, kNoLoss = -3;
// In place of a rule: gradients alone; forward and loss alone.
constexpr int kNoUpdate = -1, kNoGradients = -2;

enum class Source { Given, Gathered };
enum class Top { None, Softmax, LogSoftmax };

struct Row {
    const char* name;
    std::vector<uint64_t> widths;
    std::vector<int> activations;
    int loss = kLabels;
    int rule = HPC_RULE_ADAM;
    std::vector<uint64_t> rows;  // the first one is the capacity
    Source source = Source::Gathered;
    Top top = Top::None;
    bool bias = true;
    bool weights = false;        // of the loss's columns
    bool input_gradient = false;
    bool readable = false;       // every output
    bool linked = false;         // all that can stand around a rule
};

constexpr int kRelu = HPC_ACTIVATION_RELU, kTanh = HPC_ACTIVATION_TANH, kSigmoid = HPC_ACTIVATION_SIGMOID, kLinear = HPC_ACTIVATION_LINEAR,
              kGelu = HPC_ACTIVATION_GELU, kLeaky = HPC_ACTIVATION_LEAKY_RELU, kElu = HPC_ACTIVATION_ELU, kSilu = HPC_ACTIVATION_SILU,
              kMish = HPC_ACTIVATION_MISH, kStep = HPC_ACTIVATION_STEP;
constexpr int kSquares = HPC_LOSS_SQUARED_ERROR, kLogistic = HPC_LOSS_SIGMOID_CROSS_ENTROPY, kBinary = HPC_LOSS_BINARY_CROSS_ENTROPY,
              kHuber = HPC_LOSS_HUBER;

const std::vector<Row>& rows() {
    static const std::vector<Row> list{
        {"Xor", {2, 8, 1}, {kTanh, kSigmoid}, kSquares, HPC_RULE_SGD, {4, 3, 1}},
        {"XorGiven", {2, 8, 1}, {kTanh, kLinear}, kLogistic, HPC_RULE_MOMENTUM, {4, 1}, Source::Given},
        {"Classes", {7, 12, 9, 3}, {kRelu, kTanh, kLinear}, kLabels, HPC_RULE_ADAM, {100, 37, 9, 1}},
        {"Probabilities", {5, 17, 4}, {kGelu, kLinear}, kProbabilities, HPC_RULE_RMSPROP, {70, 64, 5}},
        {"OneLayer", {6, 3}, {kLinear}, kLabels, HPC_RULE_SGD, {33, 8}},
        {"KeptDerivatives", {9, 11, 8, 2}, {kSilu, kMish, kGelu}, kHuber, HPC_RULE_AMSGRAD, {41, 16}},
        {"ActiveScores", {4, 6, 5}, {kLeaky, kRelu}, kLabels, HPC_RULE_ADAGRAD, {19, 2}},
        {"NoBias", {8, 16, 4}, {kElu, kSigmoid}, kBinary, HPC_RULE_ADAMAX, {50, 49}, Source::Gathered, Top::None, false},
        {"Weighted", {3, 10, 3}, {kSigmoid, kTanh}, kSquares, HPC_RULE_NADAM, {20, 11}, Source::Given, Top::None, true, true},
        {"InputGradient", {5, 9, 2}, {kTanh, kLinear}, kSquares, kNoUpdate, {24, 7}, Source::Given, Top::None, true, false, true},
        {"ReadableOutputs", {5, 9, 6, 2}, {kTanh, kStep, kLinear}, kLabels, kNoUpdate, {12, 5}, Source::Given, Top::None, true, false, false, true},
        {"ManyRows", {4, 8, 3}, {kRelu, kLinear}, kLabels, HPC_RULE_RMSPROP_CENTERED_MOMENTUM, {600, 599, 130}},
        {"Deep", {6, 5, 4, 6, 5, 4, 6, 5, 3}, {kTanh, kTanh, kTanh, kTanh, kTanh, kTanh, kTanh, kLinear}, kLabels, HPC_RULE_ADADELTA, {10, 3}},
        {"Evaluation", {7, 12, 3}, {kRelu, kLinear}, kLabels, kNoGradients, {45, 44}, Source::Given, Top::None, true, false, false, true},
        {"Inference", {7, 12, 9, 5}, {kRelu, kGelu, kLinear}, kNoLoss, kNoGradients, {1}, Source::Given, Top::Softmax},
        {"InferenceOfMany", {7, 12, 9}, {kSigmoid, kTanh}, kNoLoss, kNoGradients, {90, 33}, Source::Given},
        {"LogProbabilities", {6, 4}, {kLinear}, kNoLoss, kNoGradients, {17, 16}, Source::Given, Top::LogSoftmax, true, false, false, true},
        {"Linked", {5, 9, 6, 3}, {kTanh, kRelu, kLinear}, kLabels, HPC_RULE_ADAM, {100, 99, 4}, Source::Gathered, Top::None, true, false, false, false, true},
        {"LinkedInOneLaunch", {4, 6, 2}, {kTanh, kLinear}, kSquares, HPC_RULE_MOMENTUM, {6, 3}, Source::Given, Top::None, true, false, false, false, true},
        {"Wide", {64, 64, 32, 3}, {kRelu, kRelu, kLinear}, kLabels, HPC_RULE_ADAM, {32, 31}},
    };
    return list;
}

constexpr float kLearningRate = 0.05f;
constexpr uint64_t kSamples = 640;
constexpr float kAlpha = 0.25f, kBeta = 0.5f;

constexpr int kParameters = -1, kGradients = -2;  // else a state's number

float weight_of(size_t column) { return 0.5f + static_cast<float>(column); }

// What changes parameters by gradients, recorded as pieces of the two of them and of the states: a rule with settings as they are
// usual, by their names in the table, and where it is linked, what stands in front of it, and a second rate for the rest.
template <class Piece>
void record_update(Program& program, int rule, bool linked, uint64_t count, const Piece& piece, uint32_t rate, uint32_t number) {
    static const std::map<std::string, float> usual{
        {"momentum", 0.9f}, {"beta1", 0.9f}, {"beta2", 0.999f}, {"epsilon", 1e-8f}, {"alpha", 0.9f}, {"rho", 0.9f}, {"momentum_decay", 0.004f},
        {"initial_accumulator", 0.1f}, {"eta_minus", 0.5f}, {"eta_plus", 1.2f}, {"smallest_step", 1e-6f}, {"largest_step", 50.0f}, {"lambda", 1e-4f}};
    hpc_program* p = program.handle;
    const uint64_t half = count / 2;
    if (linked) {
        hpc_clip_by_value clip{piece(kGradients, 0, count), 0, {0.02f, 0}};
        HPC_EXPECT(hpc_record_clip_by_value(p, &clip));
        hpc_add_penalty penalty{piece(kParameters, 3, count - 4), piece(kGradients, 3, count - 4), {0.01f, 0}, {0.02f, 0}};
        HPC_EXPECT(hpc_record_add_penalty(p, &penalty));
        hpc_add_scaled added{piece(kParameters, 0, half), piece(kGradients, 0, half), {0.1f, 0}};
        HPC_EXPECT(hpc_record_add_scaled(p, &added));
        hpc_scale decay{piece(kParameters, half, count - half), 0, {0, rate}};
        HPC_EXPECT(hpc_record_scale(p, &decay));
    }
    hpc_rule_info info{};
    HPC_EXPECT(hpc_get_rule_info(rule, &info));
    for (int part = 0; part < (linked ? 2 : 1); part++) {
        const uint64_t first = part == 0 ? 0 : half, length = !linked ? count : part == 0 ? half : count - half;
        hpc_update update{};
        update.rule = rule;
        update.parameters = piece(kParameters, first, length);
        update.gradients = piece(kGradients, first, length);
        for (int i = 0; i < info.state_count; i++) update.states[i] = piece(i, first, length);
        std::string names = info.hyperparameters;
        for (int i = 0; i < info.hyperparameter_count; i++) {
            const size_t comma = names.find(',');
            const auto found = usual.find(names.substr(0, comma));
            update.hyperparameters[i] = {found == usual.end() ? 0.0f : found->second, 0};
            names = comma == std::string::npos ? "" : names.substr(comma + 1);
        }
        update.hyperparameters[0] = part == 0 ? hpc_scalar{0, rate} : hpc_scalar{0.3f, 0};
        update.step = {0, number, 0};
        HPC_EXPECT(hpc_record_update(p, &update));
    }
}

// One element after the other of parameters, gradients or a state.
uint32_t flat_piece(Program& program, Buffer& parameters, Buffer& gradients, Buffer (&states)[4], int what, uint64_t first, uint64_t length) {
    const int kind = what == kParameters ? HPC_VALUE_PARAMETER : what == kGradients ? HPC_VALUE_GRADIENT : HPC_VALUE_OPTIMIZER_STATE;
    Buffer& buffer = what == kParameters ? parameters : what == kGradients ? gradients : states[what];
    return program.value(kind, HPC_FLOAT32, HPC_LEAD_FIXED, 1, length, buffer.handle, first * 4);
}

class UpdateAlone {
public:
    UpdateAlone(Device& device, const Row& row, const std::vector<float>& from, const std::vector<float>& gradient,
                const std::vector<std::vector<float>>& state_data)
        : parameters(device, from.size()), gradients(device, from.size()),
          states{Buffer(device, from.size()), Buffer(device, from.size()), Buffer(device, from.size()), Buffer(device, from.size())},
          program(device, 1) {
        parameters.write(from);
        gradients.write(gradient);
        for (size_t i = 0; i < 4; i++) states[i].write(state_data[i]);
        const uint32_t rate = program.slot(HPC_SLOT_FLOAT, "learning rate"), number = program.slot(HPC_SLOT_UINT64, "step");
        record_update(program, row.rule, row.linked, from.size(),
                      [&](int what, uint64_t first, uint64_t length) { return flat_piece(program, parameters, gradients, states, what, first, length); },
                      rate, number);
        HPC_EXPECT(hpc_program_finish(program.handle));
    }
    void run(uint64_t number) {
        const uint64_t slots[] = {cell(kLearningRate), number};
        HPC_EXPECT(hpc_program_run(program.handle, 1, 1, slots, 2, nullptr));
    }
    Buffer parameters, gradients;
    Buffer states[4];
    Program program;
};

// A step of a row's network, recorded for a device.
class Step {
public:
    Step(Device& on, const Row& given, uint32_t flags)
        : row(given), device(&on), parameters(on, count()), gradients(on, count()),
          states{Buffer(on, count()), Buffer(on, count()), Buffer(on, count()), Buffer(on, count())},
          features(on, kSamples * inputs()), targets(on, kSamples * outputs()), labels(on, kSamples), order(on, kSamples),
          program(on, given.rows[0], flags) {
        parameters.write(random_floats(count(), 1, 0.4f));
        feature_data = random_floats(kSamples * inputs(), 2);
        features.write(feature_data);
        target_data = random_floats(kSamples * outputs(), 3, 0.4f);
        for (float& t : target_data)
            if (row.loss != kSquares && row.loss != kHuber) t = std::fabs(std::sin(t));
        if (row.loss == kProbabilities)
            for (size_t i = 0; i < kSamples; i++) {
                float sum = 0;
                for (size_t j = 0; j < outputs(); j++) sum += target_data[i * outputs() + j];
                for (size_t j = 0; j < outputs(); j++) target_data[i * outputs() + j] /= sum;
            }
        targets.write(target_data);
        label_data.resize(kSamples);
        order_data.resize(kSamples);
        for (size_t i = 0; i < kSamples; i++) {
            label_data[i] = static_cast<int32_t>(i * 7 % outputs());
            order_data[i] = static_cast<int32_t>(i * 271 % kSamples);
        }
        labels.write(label_data);
        order.write(order_data);
        record();
    }

    uint64_t inputs() const { return row.widths.front(); }
    uint64_t outputs() const { return row.widths.back(); }
    size_t layers() const { return row.activations.size(); }
    size_t count() const {
        size_t total = 0;
        for (size_t i = 0; i < layers(); i++) total += (row.widths[i] + (row.bias ? 1 : 0)) * row.widths[i + 1];
        return total;
    }
    // The data's row that is the batch's row i.
    size_t sample(uint64_t start, size_t i) const {
        return row.source == Source::Gathered ? static_cast<size_t>(order_data[start + i]) : static_cast<size_t>(start + i);
    }

    hpc_status try_run(uint64_t rows, uint64_t start, uint64_t number, hpc_metrics* metrics) {
        const uint64_t slots[] = {start, cell(kLearningRate), number};
        std::vector<hpc_transfer> transfers;
        auto transfer = [&](uint32_t value, const void* host, uint64_t bytes) {
            transfers.push_back({value, 0, const_cast<void*>(host), bytes});
        };
        if (row.source == Source::Given) {
            transfer(x, feature_data.data() + start * inputs(), rows * inputs() * 4);
            if (row.loss == kLabels) transfer(target, label_data.data() + start, rows * 4);
            else if (row.loss != kNoLoss) transfer(target, target_data.data() + start * outputs(), rows * outputs() * 4);
        }
        for (size_t i = 0; i < read.size(); i++) {
            found[i].assign(rows * widths_read[i], 0);
            transfer(read[i], found[i].data(), found[i].size() * 4);
        }
        return hpc_program_run_with(program.handle, rows, 1, slots, 3, transfers.data(), static_cast<uint32_t>(transfers.size()), metrics);
    }
    hpc_metrics run(uint64_t rows, uint64_t start, uint64_t number) {
        hpc_metrics metrics{};
        HPC_EXPECT(try_run(rows, start, number, &metrics));
        return metrics;
    }

    const Row& row;
    Device* device;
    Buffer parameters, gradients;
    Buffer states[4];
    std::unique_ptr<Buffer> loss_weights;
    Buffer features, targets, labels, order;
    std::vector<float> feature_data, target_data;
    std::vector<int32_t> label_data, order_data;
    Program program;
    uint32_t x = 0, target = 0;
    std::vector<uint32_t> read;  // outputs, in order; then the input's gradient
    std::vector<uint64_t> widths_read;
    std::vector<std::vector<float>> found{16};

private:
    uint32_t output(uint64_t columns, bool asked) {
        const uint32_t id = program.rows(asked ? HPC_VALUE_OUTPUT : HPC_VALUE_TEMPORARY, columns);
        if (asked) {
            read.push_back(id);
            widths_read.push_back(columns);
        }
        return id;
    }

    void record();
};

void Step::record() {
    hpc_program* p = program.handle;
    const uint32_t start = program.slot(HPC_SLOT_UINT64, "start"), rate = program.slot(HPC_SLOT_FLOAT, "learning rate"),
                   number = program.slot(HPC_SLOT_UINT64, "step");
    const bool gathers = row.source == Source::Gathered;
    const int target_type = row.loss == kLabels ? HPC_INT32 : HPC_FLOAT32;
    const uint64_t target_columns = row.loss == kLabels ? 1 : outputs();
    x = program.rows(gathers ? HPC_VALUE_TEMPORARY : HPC_VALUE_INPUT, inputs(), "x");
    if (row.loss != kNoLoss)
        target = program.value(gathers ? HPC_VALUE_TEMPORARY : HPC_VALUE_TARGET, target_type, HPC_LEAD_ROWS, 0, target_columns, nullptr, 0, "t");
    if (gathers) {
        const uint32_t indices = program.value(HPC_VALUE_PERSISTENT, HPC_INT32, HPC_LEAD_FIXED, kSamples, 1, order.handle),
                       data = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, kSamples, inputs(), features.handle),
                       all = program.value(HPC_VALUE_PERSISTENT, target_type, HPC_LEAD_FIXED, kSamples, target_columns,
                                           row.loss == kLabels ? labels.handle : targets.handle);
        hpc_gather_rows gather{data, indices, x, 0, {0, start, 0}};
        HPC_EXPECT(hpc_record_gather_rows(p, &gather));
        gather = {all, indices, target, 0, {0, start, 0}};
        HPC_EXPECT(hpc_record_gather_rows(p, &gather));
    }

    struct Layer {
        uint32_t x, w, dw, db, y, derivative;
    };
    std::vector<Layer> made;
    uint64_t offset = 0;
    uint32_t value = x;
    auto piece = [&](int kind, Buffer& buffer, uint64_t lines, uint64_t columns) {
        return program.value(kind, HPC_FLOAT32, HPC_LEAD_FIXED, lines, columns, buffer.handle, offset * 4);
    };
    for (size_t i = 0; i < layers(); i++) {
        const uint64_t in = row.widths[i], out = row.widths[i + 1];
        Layer layer{};
        layer.x = value;
        layer.w = piece(HPC_VALUE_PARAMETER, parameters, in, out);
        layer.dw = piece(HPC_VALUE_GRADIENT, gradients, in, out);
        offset += in * out;
        uint32_t b = 0;
        if (row.bias) {
            b = piece(HPC_VALUE_PARAMETER, parameters, 1, out);
            layer.db = piece(HPC_VALUE_GRADIENT, gradients, 1, out);
            offset += out;
        }
        const bool asked = row.readable || (i + 1 == layers() && row.loss == kNoLoss);
        const bool linear = row.activations[i] == kLinear;
        layer.y = linear ? output(out, asked) : program.rows(HPC_VALUE_TEMPORARY, out);
        hpc_dense_forward dense{value, layer.w, b, layer.y};
        HPC_EXPECT(hpc_record_dense_forward(p, &dense));
        if (!linear) {
            hpc_activation_info info{};
            HPC_EXPECT(hpc_get_activation_info(row.activations[i], &info));
            const uint32_t z = layer.y;
            layer.y = output(out, asked);
            if (info.keeps == HPC_KEEPS_DERIVATIVE && row.rule != kNoGradients) layer.derivative = program.rows(HPC_VALUE_TEMPORARY, out);
            hpc_activation_forward activation{row.activations[i], z, layer.y, layer.derivative, kAlpha, kBeta};
            HPC_EXPECT(hpc_record_activation_forward(p, &activation));
        }
        value = layer.y;
        made.push_back(layer);
    }
    if (row.top != Top::None) {
        const uint32_t y = output(outputs(), true);
        hpc_softmax softmax{value, y};
        hpc_log_softmax log_softmax{value, y};
        HPC_EXPECT(row.top == Top::Softmax ? hpc_record_softmax(p, &softmax) : hpc_record_log_softmax(p, &log_softmax));
    }
    if (row.loss != kNoLoss) {
        uint32_t d = row.rule == kNoGradients ? 0 : program.rows(HPC_VALUE_TEMPORARY, outputs());
        if (row.loss < 0) {
            hpc_class_loss_forward forward{};
            forward.scores = value, forward.target = target, forward.weight = {1.5f, 0};
            HPC_EXPECT(hpc_record_class_loss_forward(p, &forward));
            hpc_class_loss_backward backward{};
            backward.scores = value, backward.target = target, backward.gradient = d, backward.weight = {1.5f, 0};
            if (d) { HPC_EXPECT(hpc_record_class_loss_backward(p, &backward)); }
        } else {
            uint32_t weights = 0;
            if (row.weights) {
                std::vector<float> data(outputs());
                for (size_t i = 0; i < data.size(); i++) data[i] = weight_of(i);
                loss_weights = std::make_unique<Buffer>(*device, data.size());
                loss_weights->write(data);
                weights = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, outputs(), loss_weights->handle);
            }
            hpc_loss_forward forward{row.loss, HPC_REDUCTION_MEAN, value, target, kAlpha, kBeta, {1.5f, 0}, weights, 0};
            HPC_EXPECT(hpc_record_loss_forward(p, &forward));
            hpc_loss_backward backward{row.loss, HPC_REDUCTION_MEAN, value, target, d, 0, kAlpha, kBeta, {1.5f, 0}, weights, 0};
            if (d) { HPC_EXPECT(hpc_record_loss_backward(p, &backward)); }
        }
        for (size_t i = d ? layers() : 0; i-- > 0;) {
            const Layer& layer = made[i];
            if (row.activations[i] != kLinear) {
                hpc_activation_info info{};
                HPC_EXPECT(hpc_get_activation_info(row.activations[i], &info));
                const uint32_t kept = info.keeps == HPC_KEEPS_NOTHING ? 0 : info.keeps == HPC_KEEPS_OUTPUT ? layer.y : layer.derivative;
                const uint32_t dz = program.rows(HPC_VALUE_TEMPORARY, row.widths[i + 1]);
                hpc_activation_backward activation{row.activations[i], kept, d, dz, kAlpha, kBeta};
                HPC_EXPECT(hpc_record_activation_backward(p, &activation));
                d = dz;
            }
            hpc_dense_backward_weight weight{layer.x, d, layer.dw, 0};
            HPC_EXPECT(hpc_record_dense_backward_weight(p, &weight));
            if (row.bias) {
                hpc_column_sums sums{d, layer.db};
                HPC_EXPECT(hpc_record_column_sums(p, &sums));
            }
            if (i > 0 || row.input_gradient) {
                const uint32_t dx = output(row.widths[i], i == 0);
                hpc_dense_backward_input input{d, layer.w, dx, 0};
                HPC_EXPECT(hpc_record_dense_backward_input(p, &input));
                d = dx;
            }
        }
    }
    if (row.rule >= 0)
        record_update(program, row.rule, row.linked, count(),
                      [&](int what, uint64_t first, uint64_t length) { return flat_piece(program, parameters, gradients, states, what, first, length); },
                      rate, number);
    HPC_EXPECT(hpc_program_finish(p));
}

// ---- In double precision -------------------------------------------------------------------------------------------------

double value_of(int activation, double x) {
    switch (activation) {
        case kRelu: return x > 0 ? x : 0;
        case kTanh: return std::tanh(x);
        case kSigmoid: return 1 / (1 + std::exp(-x));
        case kGelu: return x * std::erfc(-x / std::sqrt(2.0)) / 2;
        case kLeaky: return x > 0 ? x : static_cast<double>(kAlpha) * x;
        case kElu: return x > 0 ? x : static_cast<double>(kAlpha) * std::expm1(x);
        case kSilu: return x / (1 + std::exp(-x));
        case kMish: return x * std::tanh(std::log1p(std::exp(x)));
        case kStep: return x > 0 ? 1 : 0;
        default: return x;
    }
}

double loss_of(int loss, double p, double t) {
    const double alpha = static_cast<double>(kAlpha), d = p - t;
    switch (loss) {
        case kSquares: return d * d;
        case kHuber: return std::fabs(d) <= alpha ? d * d / 2 : alpha * (std::fabs(d) - alpha / 2);
        case kLogistic: return alpha * t * std::log1p(std::exp(-p)) + (1 - t) * std::log1p(std::exp(p));
        default: return -t * std::log(p) - (1 - t) * std::log1p(-p);
    }
}

template <class F>
double slope(const F& f, double x) {
    const double h = 1e-6;
    return (f(x + h) - f(x - h)) / (2 * h);
}

struct Truth {
    double loss = 0;
    uint64_t correct = 0;
    Numbers gradients;
    std::vector<Numbers> read;  // as Step::read
};

Truth truth_of(const Step& step, const std::vector<float>& parameters, uint64_t start, size_t rows) {
    const Row& row = step.row;
    Truth truth;
    truth.gradients.assign(parameters.size(), 0);
    std::vector<size_t> places;
    for (size_t i = 0, at = 0; i < step.layers(); i++) {
        places.push_back(at);
        at += (row.widths[i] + (row.bias ? 1 : 0)) * row.widths[i + 1];
    }
    const size_t outputs = step.outputs();
    std::vector<Numbers> outs(step.layers()), tops(1), dxs(1);
    for (size_t r = 0; r < rows; r++) {
        const size_t sample = step.sample(start, r);
        std::vector<Numbers> a(1), z;
        for (size_t k = 0; k < step.inputs(); k++) a[0].push_back(static_cast<double>(step.feature_data[sample * step.inputs() + k]));
        for (size_t i = 0; i < step.layers(); i++) {
            const size_t in = row.widths[i], out = row.widths[i + 1];
            Numbers sums(out, 0), values(out);
            for (size_t c = 0; c < out; c++) {
                for (size_t k = 0; k < in; k++) sums[c] += a[i][k] * static_cast<double>(parameters[places[i] + k * out + c]);
                if (row.bias) sums[c] += static_cast<double>(parameters[places[i] + in * out + c]);
                values[c] = value_of(row.activations[i], sums[c]);
                outs[i].push_back(values[c]);
            }
            z.push_back(sums);
            a.push_back(values);
        }
        const Numbers& last = a.back();
        double sum = 0;
        for (const double v : last) sum += std::exp(v);
        if (row.top != Top::None)
            for (const double v : last) tops[0].push_back(row.top == Top::Softmax ? std::exp(v) / sum : v - std::log(sum));
        if (row.loss == kNoLoss) continue;
        Numbers d(outputs);
        if (row.loss < 0) {
            size_t best = 0, wanted = 0;
            for (size_t j = 0; j < outputs; j++) {
                const double t = row.loss == kLabels ? static_cast<double>(static_cast<size_t>(step.label_data[sample]) == j)
                                                     : static_cast<double>(step.target_data[sample * outputs + j]);
                truth.loss += 1.5 * t * (std::log(sum) - last[j]);
                d[j] = 1.5 * (std::exp(last[j]) / sum - t) / static_cast<double>(rows);
                if (last[j] > last[best]) best = j;
                const double most = row.loss == kLabels ? static_cast<double>(static_cast<size_t>(step.label_data[sample]) == wanted)
                                                        : static_cast<double>(step.target_data[sample * outputs + wanted]);
                if (t > most) wanted = j;
            }
            truth.correct += best == wanted;
        } else {
            for (size_t j = 0; j < outputs; j++) {
                const double t = static_cast<double>(step.target_data[sample * outputs + j]);
                const double weight = 1.5 * (row.weights ? static_cast<double>(weight_of(j)) : 1.0) / static_cast<double>(outputs);
                truth.loss += weight * loss_of(row.loss, last[j], t);
                d[j] = weight * slope([&](double p) { return loss_of(row.loss, p, t); }, last[j]) / static_cast<double>(rows);
            }
        }
        if (row.rule == kNoGradients) continue;
        for (size_t i = step.layers(); i-- > 0;) {
            const size_t in = row.widths[i], out = row.widths[i + 1];
            Numbers before(in, 0);
            for (size_t c = 0; c < out; c++) {
                const double dz = d[c] * slope([&](double v) { return value_of(row.activations[i], v); }, z[i][c]);
                for (size_t k = 0; k < in; k++) {
                    truth.gradients[places[i] + k * out + c] += a[i][k] * dz;
                    before[k] += dz * static_cast<double>(parameters[places[i] + k * out + c]);
                }
                if (row.bias) truth.gradients[places[i] + in * out + c] += dz;
            }
            d = before;
        }
        dxs[0].insert(dxs[0].end(), d.begin(), d.end());
    }
    if (row.readable) truth.read = outs;
    else if (row.loss == kNoLoss) truth.read = {outs.back()};
    if (row.top != Top::None) truth.read.push_back(tops[0]);
    if (row.input_gradient) truth.read.push_back(dxs[0]);
    return truth;
}

// ---- Tests -----------------------------------------------------------------------------------------------------------------

class SmallNetworks : public testing::TestWithParam<int> {
protected:
    void SetUp() override { HPC_NEED(kOpenCl); }
    const Row& row() const { return rows()[static_cast<size_t>(GetParam())]; }
};
INSTANTIATE_TEST_SUITE_P(Rows, SmallNetworks, testing::Range(0, static_cast<int>(rows().size())),
                         [](const testing::TestParamInfo<int>& info) { return std::string(rows()[static_cast<size_t>(info.param)].name); });

// float32 against something better: a few roundings for each product of a sum, relative to the largest.
template <class A, class B>
void expect_near(const A& found, const B& expected, double tolerance, const std::string& what) {
    ASSERT_EQ(found.size(), expected.size()) << what;
    double largest = 1e-3;
    for (const auto v : expected) largest = std::max(largest, std::fabs(static_cast<double>(v)));
    for (size_t i = 0; i < found.size(); i++)
        ASSERT_NEAR(static_cast<double>(expected[i]), static_cast<double>(found[i]), tolerance * largest) << what << ' ' << i;
}

void expect_same(const std::vector<float>& a, const std::vector<float>& b, const std::string& what) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * 4)) << what << " differ in their bits";
}

TEST_P(SmallNetworks, AgreeWithTheLayersOneByOneAndWithDoublePrecision) {
    Device device(kOpenCl);
    Step step(device, row(), HPC_PROGRAM_SMALL_NETWORKS), apart(device, row(), HPC_PROGRAM_NO_SMALL_NETWORKS);
    // Links change the gradients: these are before them.
    Row bare_row = row();
    if (row().linked) bare_row.rule = kNoUpdate;
    Step bare(device, bare_row, HPC_PROGRAM_SMALL_NETWORKS);
    uint64_t number = 0;
    for (const uint64_t count : row().rows) {
        const std::string at = " at " + std::to_string(count) + " rows";
        const uint64_t start = ++number * 3;
        const std::vector<float> before = step.parameters.read();
        apart.parameters.write(before);
        bare.parameters.write(before);
        std::vector<std::vector<float>> states;
        for (const Buffer& state : step.states) states.push_back(state.read());
        const hpc_metrics a = step.run(count, start, number), b = apart.run(count, start, number);
        const Truth truth = truth_of(step, before, start, count);
        EXPECT_EQ(0u, a.flags) << at;
        EXPECT_EQ(1u, a.runs) << at;
        EXPECT_EQ(b.rows, a.rows) << at;
        EXPECT_EQ(b.correct, a.correct) << at;
        EXPECT_EQ(b.weight, a.weight) << at;
        EXPECT_NEAR(b.loss, a.loss, 1e-6 * (std::fabs(b.loss) + 1e-3)) << at;
        EXPECT_NEAR(truth.loss, a.loss, 1e-6 * static_cast<double>(count) * (1 + std::fabs(truth.loss))) << at;
        if (row().loss < 0 && row().loss != kNoLoss) { EXPECT_EQ(truth.correct, a.correct) << at; }
        ASSERT_EQ(truth.read.size(), step.read.size());
        for (size_t i = 0; i < step.read.size(); i++) {
            expect_near(step.found[i], apart.found[i], 2e-6, "output" + at);
            expect_near(step.found[i], truth.read[i], 1e-5, "output" + at);
        }
        if (row().rule == kNoGradients) continue;
        expect_near(step.gradients.read(), apart.gradients.read(), 4e-6, "gradient" + at);
        if (row().linked) bare.run(count, start, number);
        const std::vector<float> gradients = (row().linked ? bare : step).gradients.read();
        expect_near(gradients, truth.gradients, 1e-5, "gradient" + at);
        if (row().rule < 0) continue;
        // The rule itself, on the same gradients.
        UpdateAlone update(device, row(), before, gradients, states);
        update.run(number);
        expect_same(update.gradients.read(), step.gradients.read(), "gradients" + at);
        expect_same(update.parameters.read(), step.parameters.read(), "parameters" + at);
        for (size_t i = 0; i < states.size(); i++) expect_same(update.states[i].read(), step.states[i].read(), "states" + at);
        EXPECT_NE(before, step.parameters.read()) << at;
    }
}

TEST_P(SmallNetworks, TakeFewLaunches) {
    Device device(kOpenCl);
    Step step(device, row(), HPC_PROGRAM_SMALL_NETWORKS), apart(device, row(), HPC_PROGRAM_NO_SMALL_NETWORKS);
    const std::string text = step.program.describe();
    // A few rows are one work-group's on every device, and more than two of the largest blocks are not; between them it depends.
    const bool one = text.find("in 1 launch, ") != std::string::npos;
    EXPECT_NE(one, text.find("in 2 launches, ") != std::string::npos) << text;
    const uint64_t count = row().rows[0];
    if (count <= 8 || row().loss == kNoLoss) { EXPECT_TRUE(one) << text; }
    if (count > 64 && row().loss != kNoLoss) { EXPECT_FALSE(one) << text; }
    EXPECT_EQ(std::string::npos, apart.program.describe().find("small network"));
    auto launches = [&](Step& of) {
        const int64_t before = opencl::injection::launches;
        of.run(count, 0, 1);
        return opencl::injection::launches - before;
    };
    EXPECT_EQ(one ? 1 : 2, launches(step)) << text;
    EXPECT_GT(launches(apart), one ? 1 : 2);
}

TEST_P(SmallNetworks, GiveTheSameBitsAgain) {
    Device device(kOpenCl);
    std::vector<float> found[2];
    for (std::vector<float>& result : found) {
        Step step(device, row(), HPC_PROGRAM_SMALL_NETWORKS);
        for (uint64_t i = 1; i <= 3; i++) step.run(row().rows[i % row().rows.size()], i, i);
        result = row().rule >= 0 ? step.parameters.read() : row().rule == kNoUpdate ? step.gradients.read() : step.found[0];
    }
    expect_same(found[0], found[1], "two runs");
}

class SmallNetworkFlags : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override { HPC_NEED(kOpenCl); }
    const Row& row() const {
        for (const Row& one : rows())
            if (std::string(one.name) == GetParam()) return one;
        ADD_FAILURE() << GetParam();
        return rows()[0];
    }
};
// One launch and two; a loss of labels, which may be wrong, and one of numbers.
INSTANTIATE_TEST_SUITE_P(Rows, SmallNetworkFlags, testing::Values("Xor", "Classes", "Deep"),
                         [](const testing::TestParamInfo<const char*>& info) { return std::string(info.param); });

TEST_P(SmallNetworkFlags, HoldUpdatesBackUntilTheyAreFetched) {
    Device device(kOpenCl);
    Step step(device, row(), HPC_PROGRAM_SMALL_NETWORKS);
    const uint64_t count = row().rows[0];
    EXPECT_EQ(0u, step.run(count, 0, 1).flags);
    const std::vector<float> before = step.parameters.read(), moments = step.states[0].read();
    auto held = [&](const char* what, uint64_t start, uint32_t flag) {
        HPC_EXPECT(step.try_run(count, 0, 2, nullptr));
        const std::vector<float> moved = step.parameters.read();
        EXPECT_NE(before, moved);
        HPC_EXPECT(step.try_run(count, start, 3, nullptr));
        HPC_EXPECT(step.try_run(count, 0, 4, nullptr));
        expect_same(moved, step.parameters.read(), what);
        hpc_metrics metrics{};
        HPC_EXPECT(step.try_run(count, 0, 5, &metrics));
        EXPECT_EQ(flag, metrics.flags) << what;
        EXPECT_EQ(2u, metrics.first_flagged_run) << what;
        EXPECT_EQ(4u, metrics.runs) << what;
        EXPECT_EQ(4 * count, metrics.rows) << what;
        expect_same(moved, step.parameters.read(), what);
        step.parameters.write(before);
        step.states[0].write(moments);
    };
    // Beyond the indices' end.
    held("index", kSamples - 1, HPC_FLAG_INDEX);
    std::vector<int32_t> order = step.order_data;
    order[300] = static_cast<int32_t>(kSamples);
    step.order.write(order);
    held("index", 300, HPC_FLAG_INDEX);
    order[300] = -1;
    step.order.write(order);
    held("index", 300, HPC_FLAG_INDEX);
    step.order.write(step.order_data);

    std::vector<float> features = step.feature_data;
    for (size_t i = 0; i < step.inputs(); i++) features[static_cast<size_t>(step.order_data[300]) * step.inputs() + i] = NAN;
    step.features.write(features);
    held("loss", 300, HPC_FLAG_NONFINITE);
    step.features.write(step.feature_data);
    if (row().loss == kLabels) {
        std::vector<int32_t> labels = step.label_data;
        labels[static_cast<size_t>(step.order_data[300])] = static_cast<int32_t>(step.outputs());
        step.labels.write(labels);
        held("label", 300, HPC_FLAG_LABEL);
    }
}

// Every activation, loss and rule of the tables, in as few networks as have room for all of them.
struct Formulas {
    std::string name;
    Row row;
};
std::vector<Formulas> formulas() {
    std::vector<std::string> activations, losses, rules;
    hpc_activation_info activation;
    for (int i = 0; hpc_get_activation_info(i, &activation) == HPC_OK; i++) activations.push_back(activation.name);
    hpc_loss_info loss;
    for (int i = 0; hpc_get_loss_info(i, &loss) == HPC_OK; i++) losses.push_back(loss.name);
    hpc_rule_info rule;
    for (int i = 0; hpc_get_rule_info(i, &rule) == HPC_OK; i++) rules.push_back(rule.name);
    std::vector<Formulas> list;
    for (size_t i = 0; i < std::max({(activations.size() + 1) / 2, losses.size(), rules.size()}); i++) {
        const size_t first = 2 * i % activations.size(), second = (2 * i + 1) % activations.size(), of = i % losses.size(), by = i % rules.size();
        list.push_back({activations[first] + "_" + activations[second] + "_" + losses[of] + "_" + rules[by],
                        {"",
                         {3, 5, 4, 2},
                         {static_cast<int>(first), static_cast<int>(second), kSigmoid},
                         static_cast<int>(of),
                         static_cast<int>(by),
                         {9},
                         Source::Given}});
    }
    return list;
}

class SmallNetworkFormulas : public testing::TestWithParam<int> {
protected:
    void SetUp() override { HPC_NEED(kOpenCl); }
};
INSTANTIATE_TEST_SUITE_P(Tables, SmallNetworkFormulas, testing::Range(0, static_cast<int>(formulas().size())),
                         [](const testing::TestParamInfo<int>& info) { return formulas()[static_cast<size_t>(info.param)].name; });

TEST_P(SmallNetworkFormulas, AgreeWithTheLayersOneByOne) {
    const Row row = formulas()[static_cast<size_t>(GetParam())].row;
    Device device(kOpenCl);
    Step step(device, row, HPC_PROGRAM_SMALL_NETWORKS), apart(device, row, HPC_PROGRAM_NO_SMALL_NETWORKS);
    const std::vector<float> before = step.parameters.read();
    const hpc_metrics a = step.run(9, 5, 1), b = apart.run(9, 5, 1);
    EXPECT_NE(std::string::npos, step.program.describe().find("in 1 launch, "));
    EXPECT_EQ(0u, a.flags);
    EXPECT_NEAR(b.loss, a.loss, 1e-6 * (std::fabs(b.loss) + 1e-3));
    const std::vector<float> gradients = step.gradients.read();
    expect_near(gradients, apart.gradients.read(), 4e-6, "gradient");
    UpdateAlone update(device, row, before, gradients, std::vector<std::vector<float>>(4, std::vector<float>(before.size(), 0.0f)));
    update.run(1);
    expect_same(update.parameters.read(), step.parameters.read(), "parameters");
    for (size_t i = 0; i < 4; i++) expect_same(update.states[i].read(), step.states[i].read(), "states");
}

// With the tunables of a card, whatever the device is: networks are taken without being asked for.
TEST(SmallNetworkDefaults, OnACardTheyAreTakenAndAgree) {
    HPC_NEED(kOpenCl);
    opencl::injection::no_processors = true;
    Device device(kOpenCl);
    opencl::injection::no_processors = false;
    for (const char* name : {"Wide", "Classes", "Linked"}) {
        const Row& row = *std::find_if(rows().begin(), rows().end(), [&](const Row& one) { return std::string(one.name) == name; });
        Step step(device, row, HPC_PROGRAM_DEFAULT), apart(device, row, HPC_PROGRAM_NO_SMALL_NETWORKS);
        EXPECT_NE(std::string::npos, step.program.describe().find("small network of 3 layers: instructions 1 to "));
        EXPECT_EQ(std::string::npos, apart.program.describe().find("small network"));
        for (const uint64_t count : row.rows) {
            const std::vector<float> before = apart.parameters.read(), zeros(before.size(), 0.0f);
            step.parameters.write(before);
            for (Buffer& state : step.states) state.write(zeros);
            const hpc_metrics a = step.run(count, 7, 1), b = apart.run(count, 7, 1);
            EXPECT_NEAR(b.loss, a.loss, 1e-6 * b.loss);
            const std::vector<float> gradients = step.gradients.read();
            expect_near(gradients, apart.gradients.read(), 4e-6, name);
            if (row.linked) continue;
            UpdateAlone update(device, row, before, gradients, std::vector<std::vector<float>>(4, zeros));
            update.run(1);
            expect_same(update.parameters.read(), step.parameters.read(), name);
            expect_same(update.states[0].read(), step.states[0].read(), name);
        }
    }
}

// Whichever call of the driver fails, the network is as before the step or as after it.
TEST_P(SmallNetworkFlags, EveryCallMayFail) {
    Device device(kOpenCl);
    Step step(device, row(), HPC_PROGRAM_SMALL_NETWORKS);
    const uint64_t count = row().rows[0];
    const std::vector<float> before = step.parameters.read(), zeros(before.size(), 0.0f);
    auto restore = [&] {
        step.parameters.write(before);
        for (Buffer& state : step.states) state.write(zeros);
    };
    HPC_EXPECT(step.try_run(count, 0, 1, nullptr));
    const std::vector<float> after = step.parameters.read();
    ASSERT_NE(before, after);
    int failed = 0;
    for (int64_t n = 1;; n++) {
        ASSERT_LT(n, 1000);
        restore();
        hpc_metrics metrics{};
        opencl::injection::failures = 1;
        opencl::injection::calls_until_failure = n;
        const hpc_status status = step.try_run(count, 0, 1, nullptr);
        const bool reached = opencl::injection::calls_until_failure.load() <= 0;
        opencl::injection::failures = 0;
        opencl::injection::calls_until_failure = 0;
        const std::vector<float> now = step.parameters.read();
        if (status != HPC_OK) failed++;
        EXPECT_TRUE(now == after || (status != HPC_OK && now == before)) << "call " << n;
        HPC_EXPECT(step.try_run(0, 0, 1, &metrics));
        if (!reached) break;
    }
    EXPECT_GT(failed, 0);
}

// What is not theirs to take.
TEST(SmallNetworkLimits, LargeLayersAndPlainProgramsAreLeftAlone) {
    HPC_NEED(kOpenCl);
    Device device(kOpenCl);
    const Row wide{"", {200, 300, 3}, {kRelu, kLinear}, kLabels, HPC_RULE_SGD, {8}};
    Step step(device, wide, HPC_PROGRAM_SMALL_NETWORKS);
    EXPECT_EQ(std::string::npos, step.program.describe().find("in 2 launches"));
    Step plain(device, rows()[0], HPC_PROGRAM_SMALL_NETWORKS | HPC_PROGRAM_PLAIN);
    EXPECT_EQ(std::string::npos, plain.program.describe().find("small network"));
    hpc_program_options options{8, 1, HPC_PROGRAM_SMALL_NETWORKS | HPC_PROGRAM_NO_SMALL_NETWORKS, 0};
    hpc_program* program = nullptr;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_program_create(device.handle, &options, &program));
}

}  // namespace
}  // namespace hpc::test
