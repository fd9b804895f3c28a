// What the tests of programs share: RAII over the C ABI, and random dense networks recorded through it.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "hpcnet.h"

namespace hpc::test {

#define HPC_CHECK(call) ASSERT_EQ(HPC_OK, (call)) << hpc_last_error()
#define HPC_EXPECT(call) EXPECT_EQ(HPC_OK, (call)) << hpc_last_error()

// Where a test's rows run.
struct Target {
    const char* name;
    int kind = HPC_DEVICE_CPU;
    const char* isa = nullptr;
    int precision = HPC_PRECISION_FLOAT32;
};
inline constexpr Target kCpu{"cpu"};
inline constexpr Target kOpenCl{"opencl", HPC_DEVICE_OPENCL};
inline std::ostream& operator<<(std::ostream& out, const Target& target) { return out << target.name; }

// Built kernels are kept from one test program to the next, by the library's own cache.
inline std::string kernel_cache() {
    const std::u8string folder = (std::filesystem::temp_directory_path() / "hpcnet-tests-kernels").u8string();
    return std::string(folder.begin(), folder.end());
}

// HPCNET_REQUIRE_...=1: a machine without it is a failure, not a skip.
inline bool is_required(const char* variable) {
    const char* required = std::getenv(variable);
    return required && std::strcmp(required, "1") == 0;
}
inline bool opencl_is_required() { return is_required("HPCNET_REQUIRE_OPENCL"); }

// Why the target cannot serve here; "" if it can, or must.
inline std::string missing(const Target& target) {
    if (target.kind == HPC_DEVICE_OPENCL) {
        int32_t count = 0;
        if (opencl_is_required() || (hpc_opencl_device_count(&count) == HPC_OK && count > 0)) return "";
        return "no OpenCL device is here";
    }
    hpc_device_options options{};
    options.isa = target.isa;
    hpc_device* device = nullptr;
    if (hpc_device_create(&options, &device) != HPC_OK) return hpc_last_error();
    hpc_device_destroy(device);
    return "";
}

#define HPC_NEED(target)                                                        \
    do {                                                                        \
        const std::string why = ::hpc::test::missing(target);                   \
        if (!why.empty()) GTEST_SKIP() << why;                                  \
    } while (false)

struct Device {
    hpc_device* handle = nullptr;
    explicit Device(const Target& target, int threads = 2) {
        const std::string cache = kernel_cache();
        hpc_device_options options{};
        options.kind = target.kind;
        options.threads = threads;
        options.isa = target.isa;
        options.blas = "builtin";
        options.precision = target.precision;
        options.index = -1;
        options.cache_directory = cache.c_str();
        HPC_EXPECT(hpc_device_create(&options, &handle));
    }
    explicit Device(int threads = 1, const char* isa = nullptr, const char* blas = "builtin") {
        hpc_device_options options{};
        options.threads = threads;
        options.isa = isa;
        options.blas = blas;
        HPC_EXPECT(hpc_device_create(&options, &handle));
    }
    ~Device() {
        if (handle) hpc_device_destroy(handle);
    }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
};

struct Buffer {
    hpc_buffer* handle = nullptr;
    size_t count;
    Buffer(Device& device, size_t elements) : count(elements) { HPC_EXPECT(hpc_buffer_create(device.handle, elements * 4, &handle)); }
    ~Buffer() {
        if (handle) hpc_buffer_destroy(handle);
    }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    template <class T>
    void write(const std::vector<T>& data) {
        HPC_EXPECT(hpc_buffer_write(handle, 0, data.data(), data.size() * 4));
    }
    std::vector<float> read() const {
        std::vector<float> data(count);
        HPC_EXPECT(hpc_buffer_read(handle, 0, data.data(), count * 4));
        return data;
    }
};

struct Program {
    hpc_program* handle = nullptr;
    Program(Device& device, uint64_t rows, uint32_t flags = 0) {
        hpc_program_options options{};
        options.rows = rows;
        options.steps = 1;
        options.flags = flags;
        HPC_EXPECT(hpc_program_create(device.handle, &options, &handle));
    }
    ~Program() {
        if (handle) hpc_program_destroy(handle);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    uint32_t value(int kind, int dtype, int lead, uint64_t count, uint64_t columns, hpc_buffer* buffer = nullptr, uint64_t offset = 0,
                   const char* name = nullptr) {
        hpc_value_desc desc{};
        desc.kind = kind;
        desc.dtype = dtype;
        desc.lead = lead;
        desc.count = count;
        desc.columns = columns;
        desc.buffer = buffer;
        desc.offset = offset;
        desc.name = name;
        uint32_t id = 0;
        HPC_EXPECT(hpc_program_value(handle, &desc, &id));
        return id;
    }
    uint32_t rows(int kind, uint64_t columns, const char* name = nullptr) {
        return value(kind, HPC_FLOAT32, HPC_LEAD_ROWS, 0, columns, nullptr, 0, name);
    }
    uint32_t slot(int type, const char* name) {
        uint32_t id = 0;
        HPC_EXPECT(hpc_program_slot(handle, type, name, &id));
        return id;
    }
    std::string describe() const {
        size_t needed = 0;
        HPC_EXPECT(hpc_program_describe(handle, nullptr, 0, &needed));
        std::string text(needed, 0);
        HPC_EXPECT(hpc_program_describe(handle, text.data(), needed, &needed));
        text.resize(needed - 1);
        return text;
    }
};

inline uint64_t cell(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline std::vector<float> random_floats(size_t count, uint32_t seed, float scale = 1) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, scale);
    std::vector<float> data(count);
    for (float& x : data) x = normal(generator);
    return data;
}

// A dense network with its training step: data set in buffers, a gather, forward, loss, backward, clip, update.
struct NetworkShape {
    std::vector<uint64_t> widths;  // inputs, hidden ..., outputs
    std::vector<int> activations;  // one for each layer
    bool classes = true;           // softmax cross-entropy over labels, else squared error
    float dropout = 0;
    bool clip = false;
    int rule = HPC_RULE_ADAM;
};

class TrainingStep {
public:
    static constexpr uint64_t kSamples = 600;

    TrainingStep(Device& device, const NetworkShape& shape, uint64_t capacity, uint32_t flags)
        : parameters(device, count(shape)), gradients(device, count(shape)), first(device, count(shape)), second(device, count(shape)),
          features(device, kSamples * shape.widths.front()), targets(device, kSamples * shape.widths.back()), labels(device, kSamples),
          order(device, kSamples), program(device, capacity, flags) {
        parameters.write(random_floats(count(shape), 1, 0.3f));
        features.write(random_floats(kSamples * shape.widths.front(), 2));
        targets.write(random_floats(kSamples * shape.widths.back(), 3));
        std::vector<int32_t> label_data(kSamples), order_data(kSamples);
        for (size_t i = 0; i < kSamples; i++) {
            label_data[i] = static_cast<int32_t>(i * 7 % shape.widths.back());
            order_data[i] = static_cast<int32_t>(i * 271 % kSamples);
        }
        labels.write(label_data);
        order.write(order_data);
        record(shape);
    }

    hpc_metrics step(uint64_t rows, uint64_t start, uint64_t number, float learning_rate = 0.01f) {
        const uint64_t slots[] = {start, cell(learning_rate), number};
        hpc_metrics metrics{};
        HPC_EXPECT(hpc_program_run(program.handle, rows, 1, slots, 3, &metrics));
        return metrics;
    }

    Buffer parameters, gradients, first, second, features, targets, labels, order;
    Program program;

private:
    static size_t count(const NetworkShape& shape) {
        size_t total = 0;
        for (size_t i = 1; i < shape.widths.size(); i++) total += (shape.widths[i - 1] + 1) * shape.widths[i];
        return total;
    }

    void record(const NetworkShape& shape) {
        hpc_program* p = program.handle;
        const uint32_t start = program.slot(HPC_SLOT_UINT64, "start");
        const uint32_t rate = program.slot(HPC_SLOT_FLOAT, "learning rate");
        const uint32_t number = program.slot(HPC_SLOT_UINT64, "step");
        const uint32_t indices = program.value(HPC_VALUE_PERSISTENT, HPC_INT32, HPC_LEAD_FIXED, kSamples, 1, order.handle, 0, "order");
        const uint32_t data =
            program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, kSamples, shape.widths.front(), features.handle, 0, "data");
        uint32_t x = program.rows(HPC_VALUE_TEMPORARY, shape.widths.front(), "x");
        hpc_gather_rows gather{data, indices, x, 0, {0, start, 0}};
        HPC_EXPECT(hpc_record_gather_rows(p, &gather));
        uint32_t target;
        if (shape.classes) {
            const uint32_t all = program.value(HPC_VALUE_PERSISTENT, HPC_INT32, HPC_LEAD_FIXED, kSamples, 1, labels.handle, 0, "labels");
            target = program.value(HPC_VALUE_TEMPORARY, HPC_INT32, HPC_LEAD_ROWS, 0, 1, nullptr, 0, "t");
            gather = {all, indices, target, 0, {0, start, 0}};
        } else {
            const uint32_t all = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, kSamples, shape.widths.back(),
                                               targets.handle, 0, "targets");
            target = program.rows(HPC_VALUE_TEMPORARY, shape.widths.back(), "t");
            gather = {all, indices, target, 0, {0, start, 0}};
        }
        HPC_EXPECT(hpc_record_gather_rows(p, &gather));

        struct Layer {
            uint32_t x, w, dw, db, y, derivative, dropped;
            int activation, keeps;
        };
        std::vector<Layer> layers;
        uint64_t offset = 0;
        for (size_t i = 1; i < shape.widths.size(); i++) {
            const uint64_t in = shape.widths[i - 1], out = shape.widths[i];
            Layer layer{};
            layer.x = x;
            layer.activation = shape.activations[i - 1];
            hpc_activation_info info{};
            HPC_EXPECT(hpc_get_activation_info(layer.activation, &info));
            layer.keeps = info.keeps;
            layer.w = program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, in, out, parameters.handle, offset * 4);
            layer.dw = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, in, out, gradients.handle, offset * 4);
            offset += in * out;
            const uint32_t b = program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, 1, out, parameters.handle, offset * 4);
            layer.db = program.value(HPC_VALUE_GRADIENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, out, gradients.handle, offset * 4);
            offset += out;
            const uint32_t z = program.rows(HPC_VALUE_TEMPORARY, out);
            hpc_dense_forward dense{x, layer.w, b, z};
            HPC_EXPECT(hpc_record_dense_forward(p, &dense));
            layer.y = z;
            if (layer.activation != HPC_ACTIVATION_LINEAR) {
                layer.y = program.rows(HPC_VALUE_TEMPORARY, out);
                if (layer.keeps == HPC_KEEPS_DERIVATIVE) layer.derivative = program.rows(HPC_VALUE_TEMPORARY, out);
                hpc_activation_forward activation{layer.activation, z, layer.y, layer.derivative, 0.01f, 0};
                HPC_EXPECT(hpc_record_activation_forward(p, &activation));
            }
            x = layer.y;
            if (shape.dropout > 0 && i + 1 < shape.widths.size()) {
                layer.dropped = program.rows(HPC_VALUE_TEMPORARY, out);
                hpc_dropout dropout{x, layer.dropped, {42 + i, 0, 0}, {0, number, 0}, {shape.dropout, 0}};
                HPC_EXPECT(hpc_record_dropout(p, &dropout));
                x = layer.dropped;
            }
            layers.push_back(layer);
        }

        uint32_t d = program.rows(HPC_VALUE_TEMPORARY, shape.widths.back());
        if (shape.classes) {
            hpc_class_loss_forward forward{};
            forward.scores = x, forward.target = target, forward.weight = {1, 0};
            HPC_EXPECT(hpc_record_class_loss_forward(p, &forward));
            hpc_class_loss_backward backward{};
            backward.scores = x, backward.target = target, backward.gradient = d, backward.weight = {1, 0};
            HPC_EXPECT(hpc_record_class_loss_backward(p, &backward));
        } else {
            hpc_loss_forward forward{HPC_LOSS_SQUARED_ERROR, HPC_REDUCTION_MEAN, x, target, 0, 0, {1, 0}, 0, 0};
            HPC_EXPECT(hpc_record_loss_forward(p, &forward));
            hpc_loss_backward backward{HPC_LOSS_SQUARED_ERROR, HPC_REDUCTION_MEAN, x, target, d, 0, 0, 0, {1, 0}, 0, 0};
            HPC_EXPECT(hpc_record_loss_backward(p, &backward));
        }
        for (size_t i = layers.size(); i-- > 0;) {
            const Layer& layer = layers[i];
            const uint64_t out = shape.widths[i + 1];
            if (layer.dropped) {
                const uint32_t before = program.rows(HPC_VALUE_TEMPORARY, out);
                hpc_dropout dropout{d, before, {42 + i + 1, 0, 0}, {0, number, 0}, {shape.dropout, 0}};
                HPC_EXPECT(hpc_record_dropout(p, &dropout));
                d = before;
            }
            if (layer.activation != HPC_ACTIVATION_LINEAR) {
                const uint32_t dz = program.rows(HPC_VALUE_TEMPORARY, out);
                const uint32_t kept = layer.keeps == HPC_KEEPS_NOTHING ? 0 : layer.keeps == HPC_KEEPS_OUTPUT ? layer.y : layer.derivative;
                hpc_activation_backward activation{layer.activation, kept, d, dz, 0.01f, 0};
                HPC_EXPECT(hpc_record_activation_backward(p, &activation));
                d = dz;
            }
            hpc_dense_backward_weight weight{layer.x, d, layer.dw, 0};
            HPC_EXPECT(hpc_record_dense_backward_weight(p, &weight));
            hpc_column_sums sums{d, layer.db};
            HPC_EXPECT(hpc_record_column_sums(p, &sums));
            if (i > 0) {
                const uint32_t dx = program.rows(HPC_VALUE_TEMPORARY, shape.widths[i]);
                hpc_dense_backward_input input{d, layer.w, dx, 0};
                HPC_EXPECT(hpc_record_dense_backward_input(p, &input));
                d = dx;
            }
        }
        auto flat = [&](int kind, Buffer& buffer) {
            return program.value(kind, HPC_FLOAT32, HPC_LEAD_FIXED, 1, buffer.count, buffer.handle, 0);
        };
        const uint32_t all_gradients = flat(HPC_VALUE_GRADIENT, gradients);
        if (shape.clip) {
            const uint32_t norm = program.value(HPC_VALUE_TEMPORARY, HPC_FLOAT32, HPC_LEAD_FIXED, 1, 1);
            hpc_norm measure{all_gradients, norm, 2, 0};
            HPC_EXPECT(hpc_record_norm(p, &measure));
            hpc_clip_by_norm clip{all_gradients, norm, {0.1f, 0}};
            HPC_EXPECT(hpc_record_clip_by_norm(p, &clip));
        }
        hpc_update update{};
        update.rule = shape.rule;
        update.parameters = flat(HPC_VALUE_PARAMETER, parameters);
        update.gradients = all_gradients;
        update.hyperparameters[0] = {0, rate};
        update.step = {0, number, 0};
        if (shape.rule == HPC_RULE_ADAM) {
            update.states[0] = flat(HPC_VALUE_OPTIMIZER_STATE, first);
            update.states[1] = flat(HPC_VALUE_OPTIMIZER_STATE, second);
            update.hyperparameters[1] = {0.9f, 0};
            update.hyperparameters[2] = {0.999f, 0};
            update.hyperparameters[3] = {1e-8f, 0};
        } else if (shape.rule == HPC_RULE_MOMENTUM) {
            update.states[0] = flat(HPC_VALUE_OPTIMIZER_STATE, first);
            update.hyperparameters[1] = {0.9f, 0};
        }
        HPC_EXPECT(hpc_record_update(p, &update));
        HPC_EXPECT(hpc_program_finish(p));
    }
};

}  // namespace hpc::test
