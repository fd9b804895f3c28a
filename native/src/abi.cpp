// Every export of hpcnet.h: check, call, translate. No mathematics here.
#include <cstring>
#include <memory>
#include <string>

#include "backend.h"
#include "cpu/device.h"
#include "error.h"
#include "hpcnet.h"
#include "opencl/opencl.h"
#include "program/program.h"
#include "tables.h"

// A handle is a small object that holds the shared owner: destroying it drops one reference, whatever still needs the
// thing keeps it alive. The marker turns most wrong pointers into a status.
template <class T, uint64_t marker_value>
struct Handle {
    static constexpr uint64_t kMarker = marker_value;
    uint64_t marker = kMarker;
    std::shared_ptr<T> object;
};

struct hpc_device : Handle<hpc::Device, 0x4850434465766963> {};
struct hpc_buffer : Handle<hpc::Buffer, 0x4850434275666665> {};
struct hpc_program : Handle<hpc::Program, 0x48504350726f6772> {};

namespace {

using hpc::fail;
using hpc::guarded;

template <class H>
auto& open(H* handle, const char* name) {
    if (!handle) fail(HPC_INVALID_ARGUMENT, "%s is null", name);
    if (handle->marker != H::kMarker) fail(HPC_INVALID_ARGUMENT, "%s is not a handle of that kind, or was destroyed", name);
    return handle->object;
}

void need(const void* pointer, const char* name) {
    if (!pointer) fail(HPC_INVALID_ARGUMENT, "%s is null", name);
}

template <class T>
    requires(!std::is_void_v<T>)
T& need(T* pointer, const char* name) {
    need(static_cast<const void*>(pointer), name);
    return *pointer;
}

void check_milliseconds(int32_t milliseconds) {
    if (milliseconds < 1 || milliseconds > 10000)
        fail(HPC_INVALID_ARGUMENT, "milliseconds is %d: expected 1 to 10000", milliseconds);
}

template <class H, class T>
void give(H** out, std::shared_ptr<T> object) {
    auto handle = std::make_unique<H>();
    handle->object = std::move(object);
    *out = handle.release();
}

template <class H>
hpc_status destroy(H* handle) noexcept {
    return guarded([&] {
        open(handle, "the handle");
        handle->marker = 0;
        delete handle;
    });
}

void give_text(const std::string& text, char* destination, size_t capacity, size_t* needed) {
    need(needed, "needed") = text.size() + 1;
    if (capacity == 0) return;
    need(destination, "text");
    const size_t count = std::min(text.size(), capacity - 1);
    std::memcpy(destination, text.data(), count);
    destination[count] = 0;
}

template <class Info>
hpc_status give_info(const Info* found, int32_t index, Info* info, const char* family) noexcept {
    return guarded([&] {
        need(info, "info");
        if (!found) fail(HPC_INVALID_ARGUMENT, "%s is %d: there is none of that number", family, index);
        *info = *found;
    });
}

template <class Arguments>
hpc_status record(hpc_program* program, const Arguments* arguments) noexcept {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        need(arguments, "arguments");
        hpc::Program::Entry entry(target);
        target.record(*arguments);
    });
}

void check_range(const hpc::Buffer& buffer, uint64_t offset, uint64_t bytes, const char* what) {
    if (offset > buffer.bytes() || bytes > buffer.bytes() - offset)
        fail(HPC_INVALID_ARGUMENT, "%s: %llu bytes at offset %llu do not fit a buffer of %llu bytes", what,
             static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(offset),
             static_cast<unsigned long long>(buffer.bytes()));
}

void check_writable(const hpc::Buffer& buffer, const char* role) {
    if (buffer.sealed()) fail(HPC_INVALID_STATE, "%s holds constants of a finished program: it is read-only", role);
}

// Layouts: every struct of the header with its fields. A test holds this list against the generated bindings, so that a
// struct or field which is missing here is noticed.
#define HPC_FIELD(S, field) text += " " #field ":" + std::to_string(offsetof(S, field));
#define HPC_STRUCT(S) text += std::string(text.empty() ? "" : "\n") + #S " " + std::to_string(sizeof(S));
#define HPC_1(S, a) HPC_FIELD(S, a)
#define HPC_2(S, a, ...) HPC_FIELD(S, a) HPC_1(S, __VA_ARGS__)
#define HPC_3(S, a, ...) HPC_FIELD(S, a) HPC_2(S, __VA_ARGS__)
#define HPC_4(S, a, ...) HPC_FIELD(S, a) HPC_3(S, __VA_ARGS__)
#define HPC_5(S, a, ...) HPC_FIELD(S, a) HPC_4(S, __VA_ARGS__)
#define HPC_6(S, a, ...) HPC_FIELD(S, a) HPC_5(S, __VA_ARGS__)
#define HPC_7(S, a, ...) HPC_FIELD(S, a) HPC_6(S, __VA_ARGS__)
#define HPC_8(S, a, ...) HPC_FIELD(S, a) HPC_7(S, __VA_ARGS__)
#define HPC_9(S, a, ...) HPC_FIELD(S, a) HPC_8(S, __VA_ARGS__)
#define HPC_10(S, a, ...) HPC_FIELD(S, a) HPC_9(S, __VA_ARGS__)
#define HPC_11(S, a, ...) HPC_FIELD(S, a) HPC_10(S, __VA_ARGS__)
#define HPC_12(S, a, ...) HPC_FIELD(S, a) HPC_11(S, __VA_ARGS__)
#define HPC_13(S, a, ...) HPC_FIELD(S, a) HPC_12(S, __VA_ARGS__)
#define HPC_14(S, a, ...) HPC_FIELD(S, a) HPC_13(S, __VA_ARGS__)
#define HPC_15(S, a, ...) HPC_FIELD(S, a) HPC_14(S, __VA_ARGS__)
#define HPC_16(S, a, ...) HPC_FIELD(S, a) HPC_15(S, __VA_ARGS__)

std::string struct_layouts() {
    std::string text;
#define LAYOUT(S, n, ...) HPC_STRUCT(S) HPC_##n(S, __VA_ARGS__)
    LAYOUT(hpc_activation_info, 3, name, keeps, parameters)
    LAYOUT(hpc_loss_info, 3, name, parameters, reserved)
    LAYOUT(hpc_rule_info, 4, name, hyperparameters, hyperparameter_count, state_count)
    LAYOUT(hpc_device_options, 11, kind, threads, isa, blas, library_directories, index, precision, name, context, queue,
           cache_directory)
    LAYOUT(hpc_device_info, 11, kind, threads, memory_bytes, allocated_bytes, name, isa, blas, blas_path, asked_precision, precision,
           precision_note)
    LAYOUT(hpc_measurement, 2, peak_gflops, copy_gigabytes_per_second)
    LAYOUT(hpc_memory_bandwidth, 4, read, copy, update, bytes)
    LAYOUT(hpc_cache_info, 5, level1_bytes, level2_bytes, level3_bytes, level3_threads, guessed)
    LAYOUT(hpc_tile_info, 6, name, count, runs, items, reserved, local_bytes)
    LAYOUT(hpc_product_case, 5, form, tile, m, n, k)
    LAYOUT(hpc_product_measurement, 6, nanoseconds, error, size_class, tile, parts, reserved)
    LAYOUT(hpc_product_choice, 4, form, size_class, tile, reserved)
    LAYOUT(hpc_program_options, 4, rows, steps, flags, reserved)
    LAYOUT(hpc_value_desc, 9, kind, dtype, lead, reserved, count, columns, buffer, offset, name)
    LAYOUT(hpc_scalar, 2, constant, slot)
    LAYOUT(hpc_counter, 3, constant, slot, reserved)
    LAYOUT(hpc_gather_rows, 5, source, indices, destination, reserved, offset)
    LAYOUT(hpc_dense_forward, 4, x, w, b, y)
    LAYOUT(hpc_dense_backward_input, 4, dy, w, dx, reserved)
    LAYOUT(hpc_dense_backward_weight, 4, x, dy, dw, reserved)
    LAYOUT(hpc_column_sums, 2, x, y)
    LAYOUT(hpc_activation_forward, 6, activation, x, y, derivative, alpha, beta)
    LAYOUT(hpc_activation_backward, 6, activation, kept, dy, dx, alpha, beta)
    LAYOUT(hpc_loss_forward, 9, loss, reduction, prediction, target, alpha, beta, weight, weights, alphas)
    LAYOUT(hpc_loss_backward, 11, loss, reduction, prediction, target, gradient, reserved, alpha, beta, weight, weights, alphas)
    LAYOUT(hpc_class_loss_forward, 11, loss, reduction, scores, target, weight, class_weights, ignores, ignored, alpha, beta,
           reserved)
    LAYOUT(hpc_class_loss_backward, 11, loss, reduction, scores, target, gradient, class_weights, weight, ignores, ignored,
           alpha, beta)
    LAYOUT(hpc_softmax, 2, x, y)
    LAYOUT(hpc_softmax_backward, 4, y, dy, dx, reserved)
    LAYOUT(hpc_log_softmax, 2, x, y)
    LAYOUT(hpc_log_softmax_backward, 4, y, dy, dx, reserved)
    LAYOUT(hpc_prelu_forward, 4, x, slope, y, reserved)
    LAYOUT(hpc_prelu_backward, 6, x, slope, dy, dx, dslope, reserved)
    LAYOUT(hpc_update, 10, rule, parameters, gradients, states, reserved, hyperparameters, step, seed, stream, drop_rate)
    LAYOUT(hpc_norm, 4, x, norm, order, reserved)
    LAYOUT(hpc_clip_by_norm, 3, x, norm, max_norm)
    LAYOUT(hpc_clip_by_value, 3, x, reserved, limit)
    LAYOUT(hpc_add_penalty, 4, x, y, l1, l2)
    LAYOUT(hpc_limit_column_norms, 3, x, reserved, max_norm)
    LAYOUT(hpc_scale, 3, x, reserved, factor)
    LAYOUT(hpc_add_scaled, 3, x, y, factor)
    LAYOUT(hpc_fill, 3, x, reserved, value)
    LAYOUT(hpc_philox_uniform, 6, x, reserved, seed, stream, low, high)
    LAYOUT(hpc_dropout, 5, x, y, seed, stream, rate)
    LAYOUT(hpc_fast_gradient_sign, 7, x, gradient, y, share, low, high, epsilon)
    LAYOUT(hpc_multiply, 3, x, y, z)
    LAYOUT(hpc_copy_columns, 6, x, y, pieces, x_column, y_column, columns)
    LAYOUT(hpc_affine_dropout, 8, x, y, seed, stream, rate, scale, shift, dropped)
    LAYOUT(hpc_gaussian_noise, 5, x, y, seed, stream, deviation)
    LAYOUT(hpc_cell_info, 5, name, gates, state, kept, direct)
    LAYOUT(hpc_recurrent_forward, 14, cell, reverse, last, gates, w, b, h0, c0, y, y_offset, hn, cn, kept, previous)
    LAYOUT(hpc_recurrent_backward, 16, cell, reverse, last, gates, w, c0, kept, previous, dy, dy_offset, dhn, dcn, dh0, dc0, hidden,
           reserved)
    LAYOUT(hpc_batch_norm_forward, 8, x, weight, bias, running_mean, running_variance, y, statistics, epsilon)
    LAYOUT(hpc_batch_norm_backward, 8, x, dy, weight, statistics, dx, dweight, dbias, constant_statistics)
    LAYOUT(hpc_batch_norm_update, 7, statistics, running_mean, running_variance, batches, cumulative, reserved, momentum)
    LAYOUT(hpc_layer_norm_forward, 8, x, weight, bias, y, statistics, size, epsilon, reserved)
    LAYOUT(hpc_layer_norm_backward, 8, x, dy, weight, statistics, dx, dweight, dbias, size)
    LAYOUT(hpc_embedding_forward, 4, table, indices, y, reserved)
    LAYOUT(hpc_embedding_backward, 4, indices, dy, dtable, padding)
    LAYOUT(hpc_call, 7, function, context, name, reads, writes, read_count, write_count)
    LAYOUT(hpc_metrics, 9, loss, weight, gradient_norm, rows, correct, runs, first_flagged_run, flags, reserved)
    LAYOUT(hpc_transfer, 4, value, flags, host, bytes)
    LAYOUT(hpc_program_info, 10, recorded_instructions, fused_instructions, values, slots, workspace_bytes, owned_bytes, flops,
           compulsory_bytes, runs, team_runs)
    LAYOUT(hpc_profile_entry, 4, nanoseconds, flops, bytes, name)
    LAYOUT(hpc_run_costs, 3, launches, busy_nanoseconds, span_nanoseconds)
#undef LAYOUT
    return text;
}

}  // namespace

extern "C" {

HPC_API const char* hpc_last_error(void) { return hpc::last_error(); }
HPC_API const char* hpc_version(void) { return HPC_VERSION; }
HPC_API uint32_t hpc_abi_version(void) { return HPC_ABI_VERSION; }

HPC_API hpc_status hpc_struct_layouts(char* text, size_t capacity, size_t* needed) {
    return guarded([&] { give_text(struct_layouts(), text, capacity, needed); });
}

HPC_API hpc_status hpc_get_activation_info(int32_t activation, hpc_activation_info* info) {
    return give_info(hpc::activation_info(activation), activation, info, "activation");
}

HPC_API hpc_status hpc_get_loss_info(int32_t loss, hpc_loss_info* info) {
    return give_info(hpc::loss_info(loss), loss, info, "loss");
}

HPC_API hpc_status hpc_get_rule_info(int32_t rule, hpc_rule_info* info) {
    return give_info(hpc::rule_info(rule), rule, info, "rule");
}

HPC_API hpc_status hpc_get_cell_info(int32_t cell, hpc_cell_info* info) {
    return give_info(hpc::cell_info(cell), cell, info, "cell");
}

HPC_API hpc_status hpc_device_create(const hpc_device_options* options, hpc_device** device) {
    return guarded([&] {
        need(device, "device");
        need(options, "options");
        if (options->precision < HPC_PRECISION_FLOAT32 || options->precision > HPC_PRECISION_BFLOAT16)
            fail(HPC_INVALID_ARGUMENT, "options.precision is %d: expected 0 (float32), 1 (tf32) or 2 (bfloat16)", options->precision);
        if (options->kind == HPC_DEVICE_CPU && options->precision != HPC_PRECISION_FLOAT32)
            fail(HPC_INVALID_ARGUMENT, "options.precision is %d: the CPU multiplies in float32 (0) only", options->precision);
        switch (options->kind) {
            case HPC_DEVICE_CPU:
                give(device, hpc::cpu::create_device(*options));
                break;
            case HPC_DEVICE_OPENCL:
                give(device, hpc::opencl::create_device(*options));
                break;
            default:
                fail(HPC_INVALID_ARGUMENT, "options.kind is %d: there is no such kind of device", options->kind);
        }
    });
}

HPC_API hpc_status hpc_device_destroy(hpc_device* device) { return destroy(device); }

HPC_API hpc_status hpc_device_get_info(const hpc_device* device, hpc_device_info* info) {
    return guarded([&] {
        const auto& object = open(device, "device");
        object->info(need(info, "info"));
    });
}

HPC_API hpc_status hpc_device_describe(const hpc_device* device, char* text, size_t capacity, size_t* needed) {
    return guarded([&] { give_text(open(device, "device")->describe(), text, capacity, needed); });
}

HPC_API hpc_status hpc_opencl_describe(char* text, size_t capacity, size_t* needed) {
    return guarded([&] { give_text(hpc::opencl::describe_discovery(), text, capacity, needed); });
}

HPC_API hpc_status hpc_opencl_device_count(int32_t* count) {
    return guarded([&] { need(count, "count") = hpc::opencl::device_count(); });
}

HPC_API hpc_status hpc_device_measure(hpc_device* device, int32_t milliseconds, hpc_measurement* measurement) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(measurement, "measurement");
        check_milliseconds(milliseconds);
        *measurement = object->measure(milliseconds);
    });
}

HPC_API hpc_status hpc_device_measure_peak(hpc_device* device, int32_t milliseconds, double* peak_gflops) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(peak_gflops, "peak_gflops");
        check_milliseconds(milliseconds);
        *peak_gflops = object->measure_peak(milliseconds);
    });
}

HPC_API hpc_status hpc_device_measure_memory(hpc_device* device, uint64_t bytes, int32_t milliseconds,
                                             hpc_memory_bandwidth* bandwidth) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(bandwidth, "bandwidth");
        check_milliseconds(milliseconds);
        if (bytes < 4096 || bytes > uint64_t{1} << 36)
            fail(HPC_INVALID_ARGUMENT, "bytes is %llu: expected 4096 to 2^36", static_cast<unsigned long long>(bytes));
        *bandwidth = object->measure_memory(bytes, milliseconds);
    });
}

HPC_API hpc_status hpc_device_get_caches(const hpc_device* device, hpc_cache_info* info) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(info, "info") = object->caches();
    });
}

HPC_API hpc_status hpc_device_get_tile(const hpc_device* device, int32_t tile, hpc_tile_info* info) {
    return guarded([&] { hpc::opencl::tile_info(*open(device, "device"), tile, need(info, "info")); });
}

HPC_API hpc_status hpc_device_measure_product(hpc_device* device, const hpc_product_case* product, int32_t milliseconds,
                                              hpc_product_measurement* measurement) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(measurement, "measurement");
        check_milliseconds(milliseconds);
        *measurement = hpc::opencl::measure_product(*object, need(product, "product"), milliseconds);
    });
}

HPC_API hpc_status hpc_device_keep_tuning(hpc_device* device, const hpc_product_choice* choices, int32_t count, const char* path) {
    return guarded([&] {
        const auto& object = open(device, "device");
        if (count < 0) fail(HPC_INVALID_ARGUMENT, "count is %d: expected 0 or more", count);
        if (count > 0) need(choices, "choices");
        hpc::opencl::keep_tuning(*object, choices, count, path);
    });
}

HPC_API hpc_status hpc_device_tuning_path(const hpc_device* device, char* text, size_t capacity, size_t* needed) {
    return guarded([&] { give_text(hpc::opencl::tuning_path(*open(device, "device")), text, capacity, needed); });
}

HPC_API hpc_status hpc_buffer_create(hpc_device* device, uint64_t bytes, hpc_buffer** buffer) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(buffer, "buffer");
        if (bytes == 0) fail(HPC_INVALID_ARGUMENT, "bytes is 0: expected at least 1");
        give(buffer, object->create_buffer(bytes));
    });
}

HPC_API hpc_status hpc_buffer_adopt(hpc_device* device, void* memory, uint64_t bytes, hpc_buffer** buffer) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(buffer, "buffer");
        need(memory, "memory");
        if (bytes == 0) fail(HPC_INVALID_ARGUMENT, "bytes is 0: expected at least 1");
        give(buffer, hpc::opencl::adopt_buffer(object, memory, bytes));
    });
}

HPC_API hpc_status hpc_buffer_destroy(hpc_buffer* buffer) { return destroy(buffer); }

HPC_API hpc_status hpc_buffer_read(hpc_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes) {
    return guarded([&] {
        const auto& object = open(buffer, "buffer");
        check_range(*object, offset, bytes, "read");
        if (bytes == 0) return;
        need(destination, "destination");
        object->read(offset, destination, bytes);
    });
}

HPC_API hpc_status hpc_buffer_write(hpc_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes) {
    return guarded([&] {
        const auto& object = open(buffer, "buffer");
        check_range(*object, offset, bytes, "write");
        check_writable(*object, "the buffer");
        if (bytes == 0) return;
        need(source, "source");
        object->write(offset, source, bytes);
    });
}

HPC_API hpc_status hpc_buffer_copy(hpc_buffer* source, uint64_t source_offset, hpc_buffer* destination,
                                   uint64_t destination_offset, uint64_t bytes) {
    return guarded([&] {
        const auto& from = open(source, "source");
        const auto& to = open(destination, "destination");
        check_range(*from, source_offset, bytes, "source");
        check_range(*to, destination_offset, bytes, "destination");
        if (from->device() != to->device()) fail(HPC_INVALID_ARGUMENT, "source and destination belong to different devices");
        if (from == to && source_offset < destination_offset + bytes && destination_offset < source_offset + bytes)
            fail(HPC_INVALID_ARGUMENT, "source and destination overlap");
        check_writable(*to, "destination");
        if (bytes) from->copy_to(source_offset, *to, destination_offset, bytes);
    });
}

HPC_API hpc_status hpc_buffer_fill(hpc_buffer* buffer, uint64_t offset, uint32_t pattern, uint64_t bytes) {
    return guarded([&] {
        const auto& object = open(buffer, "buffer");
        check_range(*object, offset, bytes, "fill");
        if (offset % 4 != 0 || bytes % 4 != 0)
            fail(HPC_INVALID_ARGUMENT, "offset is %llu and bytes %llu: expected multiples of 4",
                 static_cast<unsigned long long>(offset), static_cast<unsigned long long>(bytes));
        check_writable(*object, "the buffer");
        if (bytes) object->fill(offset, pattern, bytes);
    });
}

HPC_API hpc_status hpc_program_create(hpc_device* device, const hpc_program_options* options, hpc_program** program) {
    return guarded([&] {
        const auto& object = open(device, "device");
        need(program, "program");
        give(program, std::make_shared<hpc::Program>(object, need(options, "options")));
    });
}

HPC_API hpc_status hpc_program_destroy(hpc_program* program) { return destroy(program); }

HPC_API hpc_status hpc_program_value(hpc_program* program, const hpc_value_desc* desc, uint32_t* value) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        need(desc, "desc");
        need(value, "value");
        std::shared_ptr<hpc::Buffer> buffer;
        if (desc->buffer) buffer = open(desc->buffer, "desc.buffer");
        hpc::Program::Entry entry(target);
        *value = target.add_value(*desc, std::move(buffer));
    });
}

HPC_API hpc_status hpc_program_slot(hpc_program* program, int32_t type, const char* name, uint32_t* slot) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        need(slot, "slot");
        hpc::Program::Entry entry(target);
        *slot = target.add_slot(type, name);
    });
}

#define HPC_RECORD(instruction)                                                                            \
    HPC_API hpc_status hpc_record_##instruction(hpc_program* program, const hpc_##instruction* arguments) { \
        return record(program, arguments);                                                                 \
    }
HPC_RECORD(gather_rows)
HPC_RECORD(dense_forward)
HPC_RECORD(dense_backward_input)
HPC_RECORD(dense_backward_weight)
HPC_RECORD(column_sums)
HPC_RECORD(activation_forward)
HPC_RECORD(activation_backward)
HPC_RECORD(loss_forward)
HPC_RECORD(loss_backward)
HPC_RECORD(class_loss_forward)
HPC_RECORD(class_loss_backward)
HPC_RECORD(softmax)
HPC_RECORD(softmax_backward)
HPC_RECORD(log_softmax)
HPC_RECORD(log_softmax_backward)
HPC_RECORD(prelu_forward)
HPC_RECORD(prelu_backward)
HPC_RECORD(update)
HPC_RECORD(norm)
HPC_RECORD(clip_by_norm)
HPC_RECORD(clip_by_value)
HPC_RECORD(add_penalty)
HPC_RECORD(limit_column_norms)
HPC_RECORD(scale)
HPC_RECORD(add_scaled)
HPC_RECORD(fill)
HPC_RECORD(philox_uniform)
HPC_RECORD(dropout)
HPC_RECORD(fast_gradient_sign)
HPC_RECORD(multiply)
HPC_RECORD(copy_columns)
HPC_RECORD(affine_dropout)
HPC_RECORD(gaussian_noise)
HPC_RECORD(recurrent_forward)
HPC_RECORD(recurrent_backward)
HPC_RECORD(batch_norm_forward)
HPC_RECORD(batch_norm_backward)
HPC_RECORD(batch_norm_update)
HPC_RECORD(layer_norm_forward)
HPC_RECORD(layer_norm_backward)
HPC_RECORD(embedding_forward)
HPC_RECORD(embedding_backward)
HPC_RECORD(call)
#undef HPC_RECORD

HPC_API hpc_status hpc_program_finish(hpc_program* program) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        hpc::Program::Entry entry(target);
        target.finish();
    });
}

HPC_API hpc_status hpc_program_run(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                   uint32_t slot_count, hpc_metrics* metrics) {
    return hpc_program_run_with(program, rows, steps, slots, slot_count, nullptr, 0, metrics);
}

HPC_API hpc_status hpc_program_run_with(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                        uint32_t slot_count, const hpc_transfer* transfers, uint32_t transfer_count,
                                        hpc_metrics* metrics) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        hpc::Program::Entry entry(target);
        target.run(rows, steps, slots, slot_count, transfers, transfer_count, metrics);
    });
}

HPC_API hpc_status hpc_program_get_info(const hpc_program* program, hpc_program_info* info) {
    return guarded([&] { open(program, "program")->info(need(info, "info")); });
}

HPC_API hpc_status hpc_program_describe(const hpc_program* program, char* text, size_t capacity, size_t* needed) {
    return guarded([&] { give_text(open(program, "program")->describe(), text, capacity, needed); });
}

HPC_API hpc_status hpc_program_profile(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                       uint32_t slot_count, uint32_t repetitions, hpc_profile_entry* entries,
                                       uint32_t capacity, uint32_t* count) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        need(count, "count");
        hpc::Program::Entry entry(target);
        *count = target.profile(rows, steps, slots, slot_count, repetitions, entries, capacity);
    });
}

HPC_API hpc_status hpc_program_measure(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                       uint32_t slot_count, uint32_t repetitions, hpc_run_costs* costs) {
    return guarded([&] {
        hpc::Program& target = *open(program, "program");
        need(costs, "costs");
        hpc::Program::Entry entry(target);
        *costs = target.measure(rows, steps, slots, slot_count, repetitions);
    });
}

}  // extern "C"
