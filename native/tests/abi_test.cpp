// The boundary: whatever is passed, a status comes back, the message names the argument, and nothing has changed.
#include <functional>

#include "harness.h"

namespace hpc::test {
namespace {

struct Row {
    const char* name;
    hpc_status expected;
    const char* words;  // in the message
    std::function<hpc_status(Device&, Program&)> call;
};

constexpr uint32_t kGarbage = 0xDEADBEEF;

template <class Arguments>
std::function<hpc_status(Device&, Program&)> recording(hpc_status (*record)(hpc_program*, const Arguments*),
                                                       std::function<Arguments(Program&)> make) {
    return [=](Device&, Program& program) {
        const Arguments arguments = make(program);
        return record(program.handle, &arguments);
    };
}

uint32_t x3(Program& p) { return p.rows(HPC_VALUE_INPUT, 3); }
uint32_t y5(Program& p) { return p.rows(HPC_VALUE_OUTPUT, 5); }

int32_t callee(void*, uint64_t, uint64_t, float* const*) { return 0; }

// A call whose operands are an input (0), an output (1), labels (2), none (-1) or no value at all.
std::function<hpc_status(Device&, Program&)> called(hpc_call_function function, std::vector<int> reads, std::vector<int> writes) {
    return [=](Device&, Program& p) {
        const uint32_t known[] = {x3(p), y5(p), p.value(HPC_VALUE_TARGET, HPC_INT32, HPC_LEAD_ROWS, 0, 1)};
        auto ids = [&](const std::vector<int>& places) {
            std::vector<uint32_t> list;
            for (const int place : places) list.push_back(place < 0 ? 0 : place < 3 ? known[place] : 123456);
            return list;
        };
        const std::vector<uint32_t> read = ids(reads), written = ids(writes);
        const hpc_call arguments{function, nullptr, "callee", read.data(), written.data(), static_cast<uint32_t>(read.size()),
                                 static_cast<uint32_t>(written.size())};
        return hpc_record_call(p.handle, &arguments);
    };
}
uint32_t w(Program& p, uint64_t in, uint64_t out) { return p.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, in, out); }

hpc_status add_value(Program& program, std::function<void(hpc_value_desc&)> change) {
    hpc_value_desc desc{};
    desc.kind = HPC_VALUE_TEMPORARY;
    desc.lead = HPC_LEAD_ROWS;
    desc.columns = 3;
    change(desc);
    uint32_t id = 0;
    return hpc_program_value(program.handle, &desc, &id);
}

std::vector<Row> rows() {
    return {
        {"null program", HPC_INVALID_ARGUMENT, "program is null", [](Device&, Program&) { return hpc_program_finish(nullptr); }},
        {"null device", HPC_INVALID_ARGUMENT, "device is null",
         [](Device&, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_create(nullptr, 4, &buffer);
         }},
        {"null out", HPC_INVALID_ARGUMENT, "buffer is null", [](Device& d, Program&) { return hpc_buffer_create(d.handle, 4, nullptr); }},
        {"empty buffer", HPC_INVALID_ARGUMENT, "bytes is 0",
         [](Device& d, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_create(d.handle, 0, &buffer);
         }},
        {"a buffer beyond all memory", HPC_OUT_OF_MEMORY, "memory",
         [](Device& d, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_create(d.handle, uint64_t{1} << 62, &buffer);
         }},
        {"the largest buffer", HPC_OUT_OF_MEMORY, "memory",
         [](Device& d, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_create(d.handle, UINT64_MAX, &buffer);
         }},
        {"read past the end", HPC_INVALID_ARGUMENT, "do not fit",
         [](Device& d, Program&) {
             Buffer buffer(d, 4);
             float out[4];
             return hpc_buffer_read(buffer.handle, UINT64_MAX - 3, out, 16);
         }},
        {"copy onto itself", HPC_INVALID_ARGUMENT, "overlap",
         [](Device& d, Program&) {
             Buffer buffer(d, 4);
             return hpc_buffer_copy(buffer.handle, 0, buffer.handle, 4, 8);
         }},
        {"fill of 3 bytes", HPC_INVALID_ARGUMENT, "multiples of 4",
         [](Device& d, Program&) {
             Buffer buffer(d, 4);
             return hpc_buffer_fill(buffer.handle, 0, 0, 3);
         }},
        {"a buffer for a program", HPC_INVALID_ARGUMENT, "not a handle of that kind",
         [](Device& d, Program&) {
             Buffer buffer(d, 64);
             return hpc_program_finish(reinterpret_cast<hpc_program*>(buffer.handle));
         }},
        {"garbage device kind", HPC_INVALID_ARGUMENT, "options.kind",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.kind = 77;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"negative threads", HPC_INVALID_ARGUMENT, "threads",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.threads = -1;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"unknown isa", HPC_INVALID_ARGUMENT, "avx2",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.isa = "avx1024";
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"missing blas", HPC_NOT_AVAILABLE, "nowhere",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.blas = "/nowhere/libblas.so";
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"program of no rows", HPC_INVALID_ARGUMENT, "rows",
         [](Device& d, Program&) {
             hpc_program_options options{};
             options.steps = 1;
             hpc_program* program;
             return hpc_program_create(d.handle, &options, &program);
         }},
        {"program of overflowing rows", HPC_INVALID_ARGUMENT, "rows",
         [](Device& d, Program&) {
             hpc_program_options options{};
             options.rows = uint64_t{1} << 40;
             options.steps = uint64_t{1} << 40;
             hpc_program* program;
             return hpc_program_create(d.handle, &options, &program);
         }},
        {"unknown program flags", HPC_INVALID_ARGUMENT, "flags",
         [](Device& d, Program&) {
             hpc_program_options options{};
             options.rows = options.steps = 1;
             options.flags = 0x80;
             hpc_program* program;
             return hpc_program_create(d.handle, &options, &program);
         }},
        {"garbage kind", HPC_INVALID_ARGUMENT, "kind", [](Device&, Program& p) { return add_value(p, [](auto& v) { v.kind = 99; }); }},
        {"negative dtype", HPC_INVALID_ARGUMENT, "dtype", [](Device&, Program& p) { return add_value(p, [](auto& v) { v.dtype = -1; }); }},
        {"no columns", HPC_INVALID_ARGUMENT, "columns", [](Device&, Program& p) { return add_value(p, [](auto& v) { v.columns = 0; }); }},
        {"overflowing columns", HPC_INVALID_ARGUMENT, "columns",
         [](Device&, Program& p) { return add_value(p, [](auto& v) { v.columns = UINT64_MAX / 2; }); }},
        {"fixed count 0", HPC_INVALID_ARGUMENT, "count",
         [](Device&, Program& p) { return add_value(p, [](auto& v) { v.lead = HPC_LEAD_FIXED; }); }},
        {"temporary with a buffer", HPC_INVALID_ARGUMENT, "temporary",
         [](Device& d, Program& p) {
             Buffer buffer(d, 100);
             return add_value(p, [&](auto& v) { v.buffer = buffer.handle; });
         }},
        {"value past its buffer", HPC_INVALID_ARGUMENT, "do not fit",
         [](Device& d, Program& p) {
             Buffer buffer(d, 5);
             return add_value(p, [&](auto& v) { v.kind = HPC_VALUE_INPUT, v.buffer = buffer.handle; });
         }},
        {"buffer of another device", HPC_INVALID_ARGUMENT, "another device",
         [](Device&, Program& p) {
             Device other;
             Buffer buffer(other, 100);
             return add_value(p, [&](auto& v) { v.kind = HPC_VALUE_INPUT, v.buffer = buffer.handle; });
         }},
        {"constant without a buffer", HPC_INVALID_ARGUMENT, "constant",
         [](Device&, Program& p) {
             return add_value(p, [](auto& v) { v.kind = HPC_VALUE_CONSTANT, v.lead = HPC_LEAD_FIXED, v.count = 1; });
         }},
        {"garbage slot type", HPC_INVALID_ARGUMENT, "type",
         [](Device&, Program& p) {
             uint32_t slot;
             return hpc_program_slot(p.handle, 9, "s", &slot);
         }},
        {"null arguments", HPC_INVALID_ARGUMENT, "arguments is null",
         [](Device&, Program& p) { return hpc_record_dense_forward(p.handle, nullptr); }},
        {"garbage value", HPC_INVALID_ARGUMENT, "not a value of this program",
         recording<hpc_dense_forward>(hpc_record_dense_forward,
                                      [](Program& p) { return hpc_dense_forward{kGarbage, w(p, 3, 5), 0, y5(p)}; })},
        {"missing value", HPC_INVALID_ARGUMENT, "a value is needed",
         recording<hpc_dense_forward>(hpc_record_dense_forward, [](Program& p) { return hpc_dense_forward{0, w(p, 3, 5), 0, y5(p)}; })},
        {"value of another program", HPC_INVALID_ARGUMENT, "not a value of this program",
         [](Device& d, Program& p) {
             Program other(d, 4);
             hpc_dense_forward arguments{x3(other), w(p, 3, 5), 0, y5(p)};
             return hpc_record_dense_forward(p.handle, &arguments);
         }},
        {"dense of wrong width", HPC_INVALID_ARGUMENT, "does not fit",
         recording<hpc_dense_forward>(hpc_record_dense_forward, [](Program& p) { return hpc_dense_forward{x3(p), w(p, 4, 5), 0, y5(p)}; })},
        {"bias of wrong width", HPC_INVALID_ARGUMENT, "expected [1 x 5]",
         recording<hpc_dense_forward>(hpc_record_dense_forward,
                                      [](Program& p) { return hpc_dense_forward{x3(p), w(p, 3, 5), w(p, 1, 4), y5(p)}; })},
        {"labels for floats", HPC_INVALID_ARGUMENT, "int32",
         recording<hpc_dense_forward>(hpc_record_dense_forward,
                                      [](Program& p) {
                                          return hpc_dense_forward{p.value(HPC_VALUE_INPUT, HPC_INT32, HPC_LEAD_ROWS, 0, 3), w(p, 3, 5), 0,
                                                                   y5(p)};
                                      })},
        {"writing an input", HPC_INVALID_ARGUMENT, "cannot write",
         recording<hpc_fill>(hpc_record_fill, [](Program& p) { return hpc_fill{x3(p), 0, {1, 0}}; })},
        {"garbage activation", HPC_INVALID_ARGUMENT, "activation is 1000",
         recording<hpc_activation_forward>(hpc_record_activation_forward,
                                           [](Program& p) { return hpc_activation_forward{1000, y5(p), y5(p), 0, 0, 0}; })},
        {"negative activation", HPC_INVALID_ARGUMENT, "activation is -1",
         recording<hpc_activation_backward>(hpc_record_activation_backward,
                                            [](Program& p) { return hpc_activation_backward{-1, y5(p), y5(p), y5(p), 0, 0}; })},
        {"derivative of nothing", HPC_INVALID_ARGUMENT, "keeps no derivative",
         recording<hpc_activation_forward>(hpc_record_activation_forward,
                                           [](Program& p) { return hpc_activation_forward{HPC_ACTIVATION_RELU, y5(p), y5(p), y5(p), 0, 0}; })},
        {"backward without its output", HPC_INVALID_ARGUMENT, "kept",
         recording<hpc_activation_backward>(
             hpc_record_activation_backward, [](Program& p) { return hpc_activation_backward{HPC_ACTIVATION_TANH, 0, y5(p), y5(p), 0, 0}; })},
        {"a slope of another width", HPC_INVALID_ARGUMENT, "slope",
         recording<hpc_prelu_forward>(hpc_record_prelu_forward, [](Program& p) { return hpc_prelu_forward{y5(p), w(p, 1, 4), y5(p), 0}; })},
        {"no gradient of PReLU wanted", HPC_INVALID_ARGUMENT, "neither dx nor dslope",
         recording<hpc_prelu_backward>(
             hpc_record_prelu_backward, [](Program& p) { return hpc_prelu_backward{y5(p), w(p, 1, 5), y5(p), 0, 0, 0}; })},
        {"softmax gradient over its output", HPC_INVALID_ARGUMENT, "same value",
         recording<hpc_softmax_backward>(hpc_record_softmax_backward,
                                         [](Program& p) {
                                             const uint32_t y = y5(p);
                                             return hpc_softmax_backward{y, y5(p), y, 0};
                                         })},
        {"garbage loss", HPC_INVALID_ARGUMENT, "loss is 50",
         recording<hpc_loss_forward>(hpc_record_loss_forward, [](Program& p) { return hpc_loss_forward{50, 0, y5(p), y5(p), 0, 0, {1, 0}, 0, 0}; })},
        {"garbage reduction", HPC_INVALID_ARGUMENT, "reduction",
         recording<hpc_loss_forward>(hpc_record_loss_forward, [](Program& p) { return hpc_loss_forward{0, 9, y5(p), y5(p), 0, 0, {1, 0}, 0, 0}; })},
        {"garbage rule", HPC_INVALID_ARGUMENT, "rule is 66",
         recording<hpc_update>(hpc_record_update,
                               [](Program&) {
                                   hpc_update update{};
                                   update.rule = 66;
                                   return update;
                               })},
        {"NaN learning rate", HPC_INVALID_ARGUMENT, "not finite",
         recording<hpc_update>(hpc_record_update,
                               [](Program& p) {
                                   hpc_update update{};
                                   update.parameters = w(p, 1, 4);
                                   update.gradients = w(p, 1, 4);
                                   update.hyperparameters[0].constant = NAN;
                                   return update;
                               })},
        {"scalar of an undeclared slot", HPC_INVALID_ARGUMENT, "slot 3",
         recording<hpc_scale>(hpc_record_scale, [](Program& p) { return hpc_scale{y5(p), 0, {0, 3}}; })},
        {"attack on no rows", HPC_INVALID_ARGUMENT, "share is 0",
         recording<hpc_fast_gradient_sign>(hpc_record_fast_gradient_sign,
                                           [](Program& p) {
                                               const uint32_t x = y5(p), g = y5(p), y = y5(p);
                                               return hpc_fast_gradient_sign{x, g, y, 0, 0, 1, {1, 0}};
                                           })},
        {"attack in no range", HPC_INVALID_ARGUMENT, "low is 1 and high 1",
         recording<hpc_fast_gradient_sign>(hpc_record_fast_gradient_sign,
                                           [](Program& p) {
                                               const uint32_t x = y5(p), g = y5(p), y = y5(p);
                                               return hpc_fast_gradient_sign{x, g, y, 1, 1, 1, {1, 0}};
                                           })},
        {"dropout of everything", HPC_INVALID_ARGUMENT, "rate is 1",
         recording<hpc_dropout>(hpc_record_dropout, [](Program& p) { return hpc_dropout{y5(p), y5(p), {}, {}, {1, 0}}; })},
        {"product of two shapes", HPC_INVALID_ARGUMENT, "which does not fit y",
         recording<hpc_multiply>(hpc_record_multiply, [](Program& p) { return hpc_multiply{y5(p), x3(p), y5(p)}; })},
        {"product into another shape", HPC_INVALID_ARGUMENT, "which does not fit z",
         recording<hpc_multiply>(hpc_record_multiply, [](Program& p) { return hpc_multiply{x3(p), x3(p), y5(p)}; })},
        {"product over an input", HPC_INVALID_ARGUMENT, "cannot write",
         recording<hpc_multiply>(hpc_record_multiply, [](Program& p) { return hpc_multiply{x3(p), x3(p), x3(p)}; })},
        {"columns copied over themselves", HPC_INVALID_ARGUMENT, "same value",
         recording<hpc_copy_columns>(hpc_record_copy_columns,
                                     [](Program& p) {
                                         const uint32_t y = y5(p);
                                         return hpc_copy_columns{y, y, 1, 0, 1, 2};
                                     })},
        {"columns of other rows", HPC_INVALID_ARGUMENT, "which does not fit y",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{w(p, 4, 5), y5(p), 1, 0, 0, 5}; })},
        {"no pieces", HPC_INVALID_ARGUMENT, "pieces is 0",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 0, 0, 0, 1}; })},
        {"pieces that do not divide", HPC_INVALID_ARGUMENT, "pieces is 3: expected a divisor of 3 and 5",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 3, 0, 0, 1}; })},
        {"no columns to copy", HPC_INVALID_ARGUMENT, "0 columns",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 1, 0, 0, 0}; })},
        {"columns past the source", HPC_INVALID_ARGUMENT, "3 columns from 1 to 0 do not fit pieces of 3 and 5",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 1, 1, 0, 3}; })},
        {"columns past the destination", HPC_INVALID_ARGUMENT, "do not fit",
         recording<hpc_copy_columns>(hpc_record_copy_columns, [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 1, 0, 3, 3}; })},
        {"columns from beyond all numbers", HPC_INVALID_ARGUMENT, "do not fit",
         recording<hpc_copy_columns>(hpc_record_copy_columns,
                                     [](Program& p) { return hpc_copy_columns{x3(p), y5(p), 1, UINT64_MAX, 0, 3}; })},
        {"affine dropout of everything", HPC_INVALID_ARGUMENT, "rate is 1",
         recording<hpc_affine_dropout>(hpc_record_affine_dropout,
                                       [](Program& p) { return hpc_affine_dropout{y5(p), y5(p), {}, {}, 1, 1, 0, 0}; })},
        {"affine dropout of a NaN rate", HPC_INVALID_ARGUMENT, "rate is",
         recording<hpc_affine_dropout>(hpc_record_affine_dropout,
                                       [](Program& p) { return hpc_affine_dropout{y5(p), y5(p), {}, {}, NAN, 1, 0, 0}; })},
        {"affine dropout to infinity", HPC_INVALID_ARGUMENT, "dropped",
         recording<hpc_affine_dropout>(hpc_record_affine_dropout,
                                       [](Program& p) { return hpc_affine_dropout{y5(p), y5(p), {}, {}, 0.5f, 1, 0, INFINITY}; })},
        {"affine dropout into another shape", HPC_INVALID_ARGUMENT, "which does not fit y",
         recording<hpc_affine_dropout>(hpc_record_affine_dropout,
                                       [](Program& p) { return hpc_affine_dropout{x3(p), y5(p), {}, {}, 0.5f, 1, 0, 0}; })},
        {"noise of an infinite deviation", HPC_INVALID_ARGUMENT, "deviation",
         recording<hpc_gaussian_noise>(hpc_record_gaussian_noise,
                                       [](Program& p) { return hpc_gaussian_noise{y5(p), y5(p), {}, {}, {INFINITY, 0}}; })},
        {"noise with an undeclared seed slot", HPC_INVALID_ARGUMENT, "slot 4",
         recording<hpc_gaussian_noise>(hpc_record_gaussian_noise,
                                       [](Program& p) { return hpc_gaussian_noise{y5(p), y5(p), {0, 4, 0}, {}, {1, 0}}; })},
        {"noise into another shape", HPC_INVALID_ARGUMENT, "which does not fit y",
         recording<hpc_gaussian_noise>(hpc_record_gaussian_noise,
                                       [](Program& p) { return hpc_gaussian_noise{x3(p), y5(p), {}, {}, {1, 0}}; })},
        {"call of nothing", HPC_INVALID_ARGUMENT, "function is null", called(nullptr, {}, {1})},
        {"call that writes nothing", HPC_INVALID_ARGUMENT, "writes nothing", called(callee, {0, 1}, {})},
        {"call that writes none", HPC_INVALID_ARGUMENT, "writes nothing", called(callee, {1}, {-1})},
        {"call that writes an input", HPC_INVALID_ARGUMENT, "cannot write", called(callee, {}, {0})},
        {"call that writes what it reads", HPC_INVALID_ARGUMENT, "same value", called(callee, {1}, {1})},
        {"call that writes twice", HPC_INVALID_ARGUMENT, "same value", called(callee, {}, {1, 1})},
        {"call of integers", HPC_INVALID_ARGUMENT, "float", called(callee, {2}, {1})},
        {"call of an unknown value", HPC_INVALID_ARGUMENT, "", called(callee, {99}, {1})},
        {"call with too much", HPC_INVALID_ARGUMENT, "at most 64", called(callee, std::vector<int>(64, 0), {1})},
        {"reserved field set", HPC_INVALID_ARGUMENT, "reserved",
         recording<hpc_fill>(hpc_record_fill, [](Program& p) { return hpc_fill{y5(p), 7, {1, 0}}; })},
        {"run before finish", HPC_INVALID_STATE, "not finished",
         [](Device&, Program& p) { return hpc_program_run(p.handle, 1, 1, nullptr, 0, nullptr); }},
        {"record after finish", HPC_INVALID_STATE, "finished",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             hpc_fill fill{};
             return hpc_record_fill(p.handle, &fill);
         }},
        {"finish twice", HPC_INVALID_STATE, "finished",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             return hpc_program_finish(p.handle);
         }},
        {"read of an unwritten temporary", HPC_INVALID_ARGUMENT, "before anything has written it",
         [](Device&, Program& p) {
             hpc_softmax softmax{p.rows(HPC_VALUE_TEMPORARY, 5), y5(p)};
             hpc_record_softmax(p.handle, &softmax);
             return hpc_program_finish(p.handle);
         }},
        {"rows over capacity", HPC_INVALID_ARGUMENT, "at most 4",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             return hpc_program_run(p.handle, 5, 1, nullptr, 0, nullptr);
         }},
        {"no steps", HPC_INVALID_ARGUMENT, "steps",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             return hpc_program_run(p.handle, 4, 0, nullptr, 0, nullptr);
         }},
        {"too many slots", HPC_INVALID_ARGUMENT, "slot_count",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             uint64_t slots[3] = {};
             return hpc_program_run(p.handle, 4, 1, slots, 3, nullptr);
         }},
        {"NaN in a slot", HPC_INVALID_ARGUMENT, "rate",
         [](Device&, Program& p) {
             p.slot(HPC_SLOT_FLOAT, "rate");
             hpc_program_finish(p.handle);
             uint64_t slots[] = {cell(NAN)};
             return hpc_program_run(p.handle, 4, 1, slots, 1, nullptr);
         }},
        {"transfer of a parameter", HPC_INVALID_ARGUMENT, "neither an input",
         [](Device&, Program& p) {
             const uint32_t value = w(p, 1, 4);
             hpc_program_finish(p.handle);
             float data[4] = {};
             hpc_transfer transfer{value, 0, data, sizeof data};
             return hpc_program_run_with(p.handle, 4, 1, nullptr, 0, &transfer, 1, nullptr);
         }},
        {"null transfers", HPC_INVALID_ARGUMENT, "transfers is null",
         [](Device&, Program& p) {
             hpc_program_finish(p.handle);
             return hpc_program_run_with(p.handle, 4, 1, nullptr, 0, nullptr, 2, nullptr);
         }},
        {"unknown kind of device", HPC_INVALID_ARGUMENT, "options.kind is 7",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.kind = 7;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"a precision for the CPU", HPC_INVALID_ARGUMENT, "options.precision is 1: the CPU",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.precision = HPC_PRECISION_TF32;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"unknown precision", HPC_INVALID_ARGUMENT, "options.precision is 3",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.kind = HPC_DEVICE_OPENCL;
             options.precision = 3;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"context without a queue", HPC_INVALID_ARGUMENT, "options.queue is null",
         [](Device& d, Program&) {
             hpc_device_options options{};
             options.kind = HPC_DEVICE_OPENCL;
             options.context = d.handle;  // never looked at
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"queue without a context", HPC_INVALID_ARGUMENT, "options.context is null",
         [](Device& d, Program&) {
             hpc_device_options options{};
             options.kind = HPC_DEVICE_OPENCL;
             options.queue = d.handle;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"negative OpenCL index", HPC_INVALID_ARGUMENT, "options.index is -7",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.kind = HPC_DEVICE_OPENCL;
             options.index = -7;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"OpenCL device of a far number", HPC_NOT_AVAILABLE, "OpenCL",
         [](Device&, Program&) {
             hpc_device_options options{};
             options.kind = HPC_DEVICE_OPENCL;
             options.index = 1 << 30;
             hpc_device* device;
             return hpc_device_create(&options, &device);
         }},
        {"cl_mem on the CPU", HPC_INVALID_ARGUMENT, "not an OpenCL device",
         [](Device& d, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_adopt(d.handle, d.handle, 4, &buffer);
         }},
        {"null cl_mem", HPC_INVALID_ARGUMENT, "memory is null",
         [](Device& d, Program&) {
             hpc_buffer* buffer;
             return hpc_buffer_adopt(d.handle, nullptr, 4, &buffer);
         }},
        {"OpenCL described to nowhere", HPC_INVALID_ARGUMENT, "needed is null",
         [](Device&, Program&) { return hpc_opencl_describe(nullptr, 0, nullptr); }},
        {"measure for ever", HPC_INVALID_ARGUMENT, "milliseconds",
         [](Device& d, Program&) {
             hpc_measurement measurement;
             return hpc_device_measure(d.handle, 1 << 30, &measurement);
         }},
        {"peak for no time", HPC_INVALID_ARGUMENT, "milliseconds",
         [](Device& d, Program&) {
             double peak;
             return hpc_device_measure_peak(d.handle, 0, &peak);
         }},
        {"peak to nowhere", HPC_INVALID_ARGUMENT, "peak_gflops is null",
         [](Device& d, Program&) { return hpc_device_measure_peak(d.handle, 1, nullptr); }},
        {"memory for no time", HPC_INVALID_ARGUMENT, "milliseconds",
         [](Device& d, Program&) {
             hpc_memory_bandwidth bandwidth;
             return hpc_device_measure_memory(d.handle, 1 << 20, 0, &bandwidth);
         }},
        {"hardly any memory", HPC_INVALID_ARGUMENT, "bytes is 4095",
         [](Device& d, Program&) {
             hpc_memory_bandwidth bandwidth;
             return hpc_device_measure_memory(d.handle, 4095, 1, &bandwidth);
         }},
        {"far too much memory", HPC_INVALID_ARGUMENT, "bytes is 68719476737",
         [](Device& d, Program&) {
             hpc_memory_bandwidth bandwidth;
             return hpc_device_measure_memory(d.handle, (uint64_t{1} << 36) + 1, 1, &bandwidth);
         }},
        {"memory to nowhere", HPC_INVALID_ARGUMENT, "bandwidth is null",
         [](Device& d, Program&) { return hpc_device_measure_memory(d.handle, 1 << 20, 1, nullptr); }},
        {"caches to nowhere", HPC_INVALID_ARGUMENT, "info is null",
         [](Device& d, Program&) { return hpc_device_get_caches(d.handle, nullptr); }},
    };
}

class BadInput : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Rows, BadInput, testing::Range(0, static_cast<int>(rows().size())), [](const auto& info) {
    std::string name = rows()[static_cast<size_t>(info.param)].name;
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
    return name;
});

TEST_P(BadInput, GivesAStatusAndAMessage) {
    const Row row = rows()[static_cast<size_t>(GetParam())];
    Device device;
    Program program(device, 4);
    const hpc_status status = row.call(device, program);
    EXPECT_EQ(row.expected, status);
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find(row.words)) << hpc_last_error();
}

TEST(Abi, ChildrenKeepTheirParentAlive) {
    hpc_device_options options{};
    options.blas = "builtin";
    hpc_device* device = nullptr;
    HPC_CHECK(hpc_device_create(&options, &device));
    hpc_buffer* buffer = nullptr;
    HPC_CHECK(hpc_buffer_create(device, 64, &buffer));
    HPC_CHECK(hpc_device_destroy(device));
    float data[16] = {1};
    HPC_EXPECT(hpc_buffer_write(buffer, 0, data, 64));
    HPC_EXPECT(hpc_buffer_destroy(buffer));
}

TEST(Abi, TextIsCutToTheCapacity) {
    size_t needed = 0;
    HPC_CHECK(hpc_struct_layouts(nullptr, 0, &needed));
    ASSERT_GT(needed, 100u);
    char text[8];
    std::memset(text, 'z', sizeof text);
    HPC_CHECK(hpc_struct_layouts(text, 5, &needed));
    EXPECT_EQ(4u, std::strlen(text));
    EXPECT_EQ('z', text[5]);
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_struct_layouts(text, 5, nullptr));
}

TEST(Abi, TablesEndWithAStatus) {
    hpc_activation_info activation;
    hpc_loss_info loss;
    hpc_rule_info rule;
    EXPECT_EQ(HPC_OK, hpc_get_activation_info(0, &activation));
    EXPECT_STREQ("linear", activation.name);
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_activation_info(-1, &activation));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_activation_info(1 << 20, &activation));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_loss_info(99, &loss));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_rule_info(99, &rule));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_get_rule_info(0, nullptr));
}

}  // namespace
}  // namespace hpc::test
