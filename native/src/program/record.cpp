// Recording: every argument of every instruction is checked here, once, before anything is appended.
//
// Ids that callers see carry the program's tag in their upper 12 bits, so that a value of one program is recognized when
// it is used in another; inside, a ValueId is the index from 1.
#include <cmath>

#include "program/program.h"
#include "tables.h"

namespace hpc {

namespace {

constexpr uint32_t kIndexBits = 20;
constexpr uint32_t kIndexMask = (1u << kIndexBits) - 1;
// No extent, offset or product of extents in a program comes near this; it keeps all arithmetic far from overflow.
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;

std::atomic<uint32_t> s_next_tag{1};

uint32_t next_tag() { return (s_next_tag.fetch_add(1, std::memory_order_relaxed) & 0xFFFu) << kIndexBits; }

std::string shape_of(const Value& value) {
    const char* lead = value.lead == HPC_LEAD_ROWS ? "rows" : value.lead == HPC_LEAD_STEPS_ROWS ? "steps*rows" : nullptr;
    std::string text(1, '[');
    text += lead ? lead : std::to_string(value.count);
    text += " x ";
    text += std::to_string(value.columns);
    text += ']';
    return text;
}

void check_reserved(uint32_t reserved) {
    if (reserved != 0) fail(HPC_INVALID_ARGUMENT, "a reserved field is %u: it must be 0", reserved);
}

void check_range(int32_t value, int32_t count, const char* what) {
    if (value < 0 || value >= count)
        fail(HPC_INVALID_ARGUMENT, "%s is %d: expected 0 to %d", what, value, count - 1);
}

bool same_lead(const Value& a, const Value& b) {
    return a.lead == b.lead && (a.lead != HPC_LEAD_FIXED || a.count == b.count);
}

[[noreturn]] void shapes_differ(const char* instruction, const char* a_role, const Value& a, const char* b_role,
                                const Value& b) {
    fail(HPC_INVALID_ARGUMENT, "%s: %s '%s' is %s, which does not fit %s '%s' of %s", instruction, a_role,
         a.name.c_str(), shape_of(a).c_str(), b_role, b.name.c_str(), shape_of(b).c_str());
}

void same_shape(const char* instruction, const char* a_role, const Value& a, const char* b_role, const Value& b) {
    if (!same_lead(a, b) || a.columns != b.columns) shapes_differ(instruction, a_role, a, b_role, b);
}

void is_row(const char* instruction, const char* role, const Value& value, uint64_t columns) {
    if (value.lead != HPC_LEAD_FIXED || value.count != 1 || value.columns != columns)
        fail(HPC_INVALID_ARGUMENT, "%s: %s '%s' is %s: expected [1 x %llu]", instruction, role, value.name.c_str(),
             shape_of(value).c_str(), static_cast<unsigned long long>(columns));
}

void different(const char* instruction, uint32_t a, uint32_t b) {
    if (a != 0 && a == b) fail(HPC_INVALID_ARGUMENT, "%s: an output is the same value as another operand", instruction);
}

void finite(float value, const char* role) {
    if (!std::isfinite(value)) fail(HPC_INVALID_ARGUMENT, "%s is not finite", role);
}

}  // namespace

Program::Program(std::shared_ptr<Device> device, const hpc_program_options& options)
    : device_(std::move(device)), tag_(next_tag()), flags_(options.flags) {
    check_reserved(options.reserved);
    if (options.flags & ~uint32_t{HPC_PROGRAM_PLAIN})
        fail(HPC_INVALID_ARGUMENT, "options.flags is %u: it has unknown bits", options.flags);
    if (options.rows < 1 || options.steps < 1 || options.rows > kMaxBytes || options.steps > kMaxBytes / options.rows)
        fail(HPC_INVALID_ARGUMENT, "options.rows is %llu and options.steps %llu: expected at least 1, and a product that can be addressed",
             static_cast<unsigned long long>(options.rows), static_cast<unsigned long long>(options.steps));
    plan_.capacity = {options.rows, options.steps};
}

void Program::check_recording() const {
    if (finished_) fail(HPC_INVALID_STATE, "the program is finished: nothing more can be recorded");
}

uint32_t Program::add_value(const hpc_value_desc& desc, std::shared_ptr<Buffer> buffer) {
    check_recording();
    check_reserved(desc.reserved);
    check_range(desc.kind, HPC_VALUE_TEMPORARY + 1, "desc.kind");
    check_range(desc.dtype, HPC_INT32 + 1, "desc.dtype");
    check_range(desc.lead, HPC_LEAD_STEPS_ROWS + 1, "desc.lead");
    if (plan_.values.size() >= kIndexMask) fail(HPC_INVALID_ARGUMENT, "a program holds at most %u values", kIndexMask);

    Value value{desc.kind, desc.dtype, desc.lead, desc.count, desc.columns, desc.name ? desc.name : "", nullptr, 0};
    if (value.name.empty()) value.name = std::to_string(plan_.values.size() + 1).insert(0, 1, 'v');
    if (value.lead != HPC_LEAD_FIXED) {
        if (value.count != 0) fail(HPC_INVALID_ARGUMENT, "value '%s': count is for HPC_LEAD_FIXED only", value.name.c_str());
    } else if (value.count < 1 || value.count > kMaxBytes) {
        fail(HPC_INVALID_ARGUMENT, "value '%s': count is %llu: expected at least 1", value.name.c_str(),
             static_cast<unsigned long long>(value.count));
    }
    const uint64_t rows = value.rows(plan_.capacity);
    if (value.columns < 1 || value.columns > kMaxBytes / 4 / rows)
        fail(HPC_INVALID_ARGUMENT, "value '%s': columns is %llu with %llu rows: expected at least 1, and a size that can be addressed",
             value.name.c_str(), static_cast<unsigned long long>(value.columns), static_cast<unsigned long long>(rows));
    const uint64_t bytes = value.bytes(plan_.capacity);

    if (buffer) {
        if (desc.kind == HPC_VALUE_TEMPORARY)
            fail(HPC_INVALID_ARGUMENT, "value '%s': a temporary is placed by the program and takes no buffer", value.name.c_str());
        if (buffer->device() != device_)
            fail(HPC_INVALID_ARGUMENT, "value '%s': the buffer belongs to another device", value.name.c_str());
        if (desc.offset % 4 != 0 || desc.offset > buffer->bytes() || bytes > buffer->bytes() - desc.offset)
            fail(HPC_INVALID_ARGUMENT, "value '%s': %llu bytes at offset %llu do not fit a buffer of %llu bytes (offsets are multiples of 4)",
                 value.name.c_str(), static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(desc.offset),
                 static_cast<unsigned long long>(buffer->bytes()));
        value.buffer = std::move(buffer);
        value.offset = desc.offset;
    } else if (desc.offset != 0) {
        fail(HPC_INVALID_ARGUMENT, "value '%s': an offset without a buffer", value.name.c_str());
    }
    plan_.values.push_back(std::move(value));
    return tag_ | static_cast<uint32_t>(plan_.values.size());
}

uint32_t Program::add_slot(int32_t type, const char* name) {
    check_recording();
    check_range(type, HPC_SLOT_UINT64 + 1, "type");
    if (plan_.slots.size() >= 4096) fail(HPC_INVALID_ARGUMENT, "a program holds at most 4096 slots");
    plan_.slots.push_back({type, name ? name : ""});
    return static_cast<uint32_t>(plan_.slots.size());
}

const Value& Program::resolve(uint32_t& id, const char* role) const {
    const uint32_t index = id & kIndexMask;
    if (id == 0) fail(HPC_INVALID_ARGUMENT, "%s is 0: a value is needed", role);
    if ((id & ~kIndexMask) != tag_ || index == 0 || index > plan_.values.size())
        fail(HPC_INVALID_ARGUMENT, "%s is %u: not a value of this program", role, id);
    id = index;
    return plan_.values[index - 1];
}

const Value& Program::resolve_optional(uint32_t& id, const char* role) const {
    static const Value none{};
    return id == 0 ? none : resolve(id, role);
}

const Value& Program::floats(uint32_t& id, const char* role) const {
    const Value& value = resolve(id, role);
    if (value.dtype != HPC_FLOAT32) fail(HPC_INVALID_ARGUMENT, "%s '%s' holds int32: expected float32", role, value.name.c_str());
    return value;
}

void Program::check_scalar(const hpc_scalar& scalar, const char* role) const {
    if (scalar.slot == 0) return finite(scalar.constant, role);
    if (scalar.slot > plan_.slots.size() || plan_.slots[scalar.slot - 1].type != HPC_SLOT_FLOAT)
        fail(HPC_INVALID_ARGUMENT, "%s: slot %u is not a float slot of this program", role, scalar.slot);
}

void Program::check_counter(const hpc_counter& counter, const char* role) const {
    check_reserved(counter.reserved);
    if (counter.slot == 0) return;
    if (counter.slot > plan_.slots.size() || plan_.slots[counter.slot - 1].type != HPC_SLOT_UINT64)
        fail(HPC_INVALID_ARGUMENT, "%s: slot %u is not a uint64 slot of this program", role, counter.slot);
}

void Program::check_writable(uint32_t id, const char* role) const {
    const Value& value = plan_.values[id - 1];
    if (value.kind == HPC_VALUE_INPUT || value.kind == HPC_VALUE_TARGET || value.kind == HPC_VALUE_INDEX)
        fail(HPC_INVALID_ARGUMENT, "%s '%s' is an input of the program: instructions cannot write it", role, value.name.c_str());
}

void Program::append(Payload payload) {
    recorded_.push_back({std::move(payload), {static_cast<uint32_t>(recorded_.size())}});
}

void Program::record(const hpc_gather_rows& arguments) {
    check_recording();
    hpc_gather_rows node = arguments;
    check_reserved(node.reserved);
    const Value& source = resolve(node.source, "source");
    const Value& indices = resolve(node.indices, "indices");
    const Value& destination = resolve(node.destination, "destination");
    check_counter(node.offset, "offset");
    check_writable(node.destination, "destination");
    if (source.dtype != destination.dtype || source.columns != destination.columns)
        shapes_differ("gather_rows", "source", source, "destination", destination);
    if (indices.dtype != HPC_INT32 || indices.columns != 1)
        fail(HPC_INVALID_ARGUMENT, "gather_rows: indices '%s' are %s: expected int32 [n x 1]", indices.name.c_str(),
             shape_of(indices).c_str());
    different("gather_rows", node.destination, node.source);
    different("gather_rows", node.destination, node.indices);
    append(node);
}

void Program::record(const hpc_dense_forward& arguments) {
    check_recording();
    DenseForwardNode node{arguments.x, arguments.w, arguments.b, arguments.y};
    const Value& x = floats(node.x, "x");
    const Value& w = floats(node.w, "w");
    if (node.b) is_row("dense_forward", "b", floats(node.b, "b"), w.columns);
    const Value& y = floats(node.y, "y");
    check_writable(node.y, "y");
    if (w.lead != HPC_LEAD_FIXED || w.count != x.columns) shapes_differ("dense_forward", "x", x, "w", w);
    if (!same_lead(x, y)) shapes_differ("dense_forward", "x", x, "y", y);
    if (y.columns != w.columns) shapes_differ("dense_forward", "w", w, "y", y);
    different("dense_forward", node.y, node.x);
    different("dense_forward", node.y, node.w);
    different("dense_forward", node.y, node.b);
    append(node);
}

void Program::record(const hpc_dense_backward_input& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    DenseBackwardInputNode node{arguments.dy, arguments.w, arguments.dx};
    const Value& dy = floats(node.dy, "dy");
    const Value& w = floats(node.w, "w");
    const Value& dx = floats(node.dx, "dx");
    check_writable(node.dx, "dx");
    if (w.lead != HPC_LEAD_FIXED || w.columns != dy.columns) shapes_differ("dense_backward_input", "dy", dy, "w", w);
    if (!same_lead(dy, dx)) shapes_differ("dense_backward_input", "dy", dy, "dx", dx);
    if (dx.columns != w.count) shapes_differ("dense_backward_input", "w", w, "dx", dx);
    different("dense_backward_input", node.dx, node.dy);
    different("dense_backward_input", node.dx, node.w);
    append(node);
}

void Program::record(const hpc_dense_backward_weight& arguments) {
    check_recording();
    hpc_dense_backward_weight node = arguments;
    check_reserved(node.reserved);
    const Value& x = floats(node.x, "x");
    const Value& dy = floats(node.dy, "dy");
    const Value& dw = floats(node.dw, "dw");
    check_writable(node.dw, "dw");
    if (!same_lead(x, dy)) shapes_differ("dense_backward_weight", "x", x, "dy", dy);
    if (dw.lead != HPC_LEAD_FIXED || dw.count != x.columns) shapes_differ("dense_backward_weight", "x", x, "dw", dw);
    if (dw.columns != dy.columns) shapes_differ("dense_backward_weight", "dy", dy, "dw", dw);
    different("dense_backward_weight", node.dw, node.x);
    different("dense_backward_weight", node.dw, node.dy);
    append(node);
}

void Program::record(const hpc_column_sums& arguments) {
    check_recording();
    hpc_column_sums node = arguments;
    const Value& x = floats(node.x, "x");
    is_row("column_sums", "y", floats(node.y, "y"), x.columns);
    check_writable(node.y, "y");
    different("column_sums", node.y, node.x);
    append(node);
}

void Program::record(const hpc_activation_forward& arguments) {
    check_recording();
    hpc_activation_forward node = arguments;
    const hpc_activation_info* info = activation_info(node.activation);
    if (!info) fail(HPC_INVALID_ARGUMENT, "activation is %d: there is none of that number", node.activation);
    const Value& x = floats(node.x, "x");
    same_shape("activation_forward", "x", x, "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    if (node.derivative) {
        if (info->keeps != HPC_KEEPS_DERIVATIVE)
            fail(HPC_INVALID_ARGUMENT, "activation_forward: %s keeps no derivative: pass 0", info->name);
        same_shape("activation_forward", "x", x, "derivative", floats(node.derivative, "derivative"));
        check_writable(node.derivative, "derivative");
        different("activation_forward", node.derivative, node.x);
        different("activation_forward", node.derivative, node.y);
    }
    finite(node.alpha, "alpha");
    finite(node.beta, "beta");
    append(node);
}

void Program::record(const hpc_activation_backward& arguments) {
    check_recording();
    ActivationBackwardNode node{arguments.activation, arguments.kept,  arguments.dy,
                                arguments.dx,         arguments.alpha, arguments.beta};
    const hpc_activation_info* info = activation_info(node.activation);
    if (!info) fail(HPC_INVALID_ARGUMENT, "activation is %d: there is none of that number", node.activation);
    const Value& dy = floats(node.dy, "dy");
    if ((node.kept == 0) != (info->keeps == HPC_KEEPS_NOTHING))
        fail(HPC_INVALID_ARGUMENT, "activation_backward: kept of %s is %u: expected %s", info->name, node.kept,
             info->keeps == HPC_KEEPS_NOTHING  ? "0"
             : info->keeps == HPC_KEEPS_OUTPUT ? "the forward instruction's y"
                                               : "the forward instruction's derivative");
    if (node.kept) same_shape("activation_backward", "kept", floats(node.kept, "kept"), "dy", dy);
    same_shape("activation_backward", "dy", dy, "dx", floats(node.dx, "dx"));
    check_writable(node.dx, "dx");
    different("activation_backward", node.dx, node.kept);
    finite(node.alpha, "alpha");
    finite(node.beta, "beta");
    append(node);
}

void Program::record(const hpc_loss_forward& arguments) {
    check_recording();
    LossNode node{arguments.loss, arguments.reduction, arguments.prediction, arguments.target, 0, true,
                  arguments.alpha, arguments.beta, arguments.weight};
    if (!loss_info(node.loss)) fail(HPC_INVALID_ARGUMENT, "loss is %d: there is none of that number", node.loss);
    check_range(node.reduction, HPC_REDUCTION_SUM + 1, "reduction");
    same_shape("loss_forward", "prediction", floats(node.prediction, "prediction"), "target", floats(node.target, "target"));
    check_scalar(node.weight, "weight");
    finite(node.alpha, "alpha");
    finite(node.beta, "beta");
    append(node);
}

void Program::record(const hpc_loss_backward& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    LossNode node{arguments.loss, arguments.reduction, arguments.prediction, arguments.target, arguments.gradient, false,
                  arguments.alpha, arguments.beta, arguments.weight};
    if (!loss_info(node.loss)) fail(HPC_INVALID_ARGUMENT, "loss is %d: there is none of that number", node.loss);
    check_range(node.reduction, HPC_REDUCTION_SUM + 1, "reduction");
    const Value& prediction = floats(node.prediction, "prediction");
    same_shape("loss_backward", "prediction", prediction, "target", floats(node.target, "target"));
    same_shape("loss_backward", "prediction", prediction, "gradient", floats(node.gradient, "gradient"));
    check_writable(node.gradient, "gradient");
    different("loss_backward", node.gradient, node.prediction);
    different("loss_backward", node.gradient, node.target);
    check_scalar(node.weight, "weight");
    finite(node.alpha, "alpha");
    finite(node.beta, "beta");
    append(node);
}

namespace {

void check_class_target(const Value& logits, const Value& target) {
    if (target.dtype == HPC_INT32) {
        if (!same_lead(logits, target) || target.columns != 1)
            shapes_differ("softmax_cross_entropy", "labels", target, "logits", logits);
        if (logits.columns > INT32_MAX) fail(HPC_INVALID_ARGUMENT, "softmax_cross_entropy: too many classes");
    } else {
        same_shape("softmax_cross_entropy", "target", target, "logits", logits);
    }
}

}  // namespace

void Program::record(const hpc_softmax_cross_entropy_forward& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    SoftmaxCrossEntropyNode node{arguments.reduction, arguments.logits, arguments.target, 0, true, arguments.weight};
    check_range(node.reduction, HPC_REDUCTION_SUM + 1, "reduction");
    const Value& logits = floats(node.logits, "logits");
    check_class_target(logits, resolve(node.target, "target"));
    check_scalar(node.weight, "weight");
    append(node);
}

void Program::record(const hpc_softmax_cross_entropy_backward& arguments) {
    check_recording();
    SoftmaxCrossEntropyNode node{arguments.reduction, arguments.logits, arguments.target, arguments.gradient, false,
                                 arguments.weight};
    check_range(node.reduction, HPC_REDUCTION_SUM + 1, "reduction");
    const Value& logits = floats(node.logits, "logits");
    check_class_target(logits, resolve(node.target, "target"));
    same_shape("softmax_cross_entropy_backward", "logits", logits, "gradient", floats(node.gradient, "gradient"));
    check_writable(node.gradient, "gradient");
    different("softmax_cross_entropy_backward", node.gradient, node.logits);
    different("softmax_cross_entropy_backward", node.gradient, node.target);
    check_scalar(node.weight, "weight");
    append(node);
}

void Program::record(const hpc_softmax& arguments) {
    check_recording();
    hpc_softmax node = arguments;
    same_shape("softmax", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    append(node);
}

void Program::record(const hpc_update& arguments) {
    check_recording();
    hpc_update node = arguments;
    check_reserved(node.reserved);
    const hpc_rule_info* info = rule_info(node.rule);
    if (!info) fail(HPC_INVALID_ARGUMENT, "rule is %d: there is none of that number", node.rule);
    const Value& parameters = floats(node.parameters, "parameters");
    same_shape("update", "parameters", parameters, "gradients", floats(node.gradients, "gradients"));
    check_writable(node.parameters, "parameters");
    different("update", node.parameters, node.gradients);
    for (int i = 0; i < HPC_MAX_STATES; i++) {
        if (i < info->state_count) {
            same_shape("update", "parameters", parameters, "state", floats(node.states[i], "state"));
            check_writable(node.states[i], "state");
            different("update", node.states[i], node.parameters);
            different("update", node.states[i], node.gradients);
            for (int j = 0; j < i; j++) different("update", node.states[i], node.states[j]);
        } else if (node.states[i] != 0) {
            fail(HPC_INVALID_ARGUMENT, "update: %s has %d states, but states[%d] is set", info->name, info->state_count, i);
        }
    }
    for (int i = 0; i < info->hyperparameter_count; i++) check_scalar(node.hyperparameters[i], "a hyperparameter");
    check_counter(node.step, "step");
    append(node);
}

void Program::record(const hpc_norm& arguments) {
    check_recording();
    hpc_norm node = arguments;
    floats(node.x, "x");
    is_row("norm", "norm", floats(node.norm, "norm"), 1);
    check_writable(node.norm, "norm");
    different("norm", node.norm, node.x);
    append(node);
}

void Program::record(const hpc_clip_by_norm& arguments) {
    check_recording();
    hpc_clip_by_norm node = arguments;
    floats(node.x, "x");
    is_row("clip_by_norm", "norm", floats(node.norm, "norm"), 1);
    check_writable(node.x, "x");
    different("clip_by_norm", node.x, node.norm);
    check_scalar(node.max_norm, "max_norm");
    append(node);
}

void Program::record(const hpc_scale& arguments) {
    check_recording();
    hpc_scale node = arguments;
    check_reserved(node.reserved);
    floats(node.x, "x");
    check_writable(node.x, "x");
    check_scalar(node.factor, "factor");
    append(node);
}

void Program::record(const hpc_add_scaled& arguments) {
    check_recording();
    hpc_add_scaled node = arguments;
    same_shape("add_scaled", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    different("add_scaled", node.y, node.x);
    check_scalar(node.factor, "factor");
    append(node);
}

void Program::record(const hpc_fill& arguments) {
    check_recording();
    hpc_fill node = arguments;
    check_reserved(node.reserved);
    floats(node.x, "x");
    check_writable(node.x, "x");
    check_scalar(node.value, "value");
    append(node);
}

void Program::record(const hpc_philox_uniform& arguments) {
    check_recording();
    hpc_philox_uniform node = arguments;
    check_reserved(node.reserved);
    floats(node.x, "x");
    check_writable(node.x, "x");
    check_counter(node.seed, "seed");
    check_counter(node.stream, "stream");
    finite(node.low, "low");
    finite(node.high, "high");
    append(node);
}

void Program::record(const hpc_dropout& arguments) {
    check_recording();
    hpc_dropout node = arguments;
    same_shape("dropout", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    check_counter(node.seed, "seed");
    check_counter(node.stream, "stream");
    check_scalar(node.rate, "rate");
    if (node.rate.slot == 0 && !(node.rate.constant >= 0 && node.rate.constant < 1))
        fail(HPC_INVALID_ARGUMENT, "dropout: rate is %g: expected 0 <= rate < 1", static_cast<double>(node.rate.constant));
    append(node);
}

void Program::record(const hpc_multiply& arguments) {
    check_recording();
    hpc_multiply node = arguments;
    const Value& x = floats(node.x, "x");
    same_shape("multiply", "x", x, "y", floats(node.y, "y"));
    same_shape("multiply", "x", x, "z", floats(node.z, "z"));
    check_writable(node.z, "z");
    append(node);
}

void Program::record(const hpc_copy_columns& arguments) {
    check_recording();
    hpc_copy_columns node = arguments;
    const Value& x = floats(node.x, "x");
    const Value& y = floats(node.y, "y");
    check_writable(node.y, "y");
    different("copy_columns", node.y, node.x);
    if (!same_lead(x, y)) shapes_differ("copy_columns", "x", x, "y", y);
    if (node.pieces < 1 || x.columns % node.pieces != 0 || y.columns % node.pieces != 0)
        fail(HPC_INVALID_ARGUMENT, "copy_columns: pieces is %llu: expected a divisor of %llu and %llu columns",
             static_cast<unsigned long long>(node.pieces), static_cast<unsigned long long>(x.columns),
             static_cast<unsigned long long>(y.columns));
    auto inside = [&](uint64_t column, uint64_t width) { return column <= width && node.columns <= width - column; };
    if (node.columns < 1 || !inside(node.x_column, x.columns / node.pieces) || !inside(node.y_column, y.columns / node.pieces))
        fail(HPC_INVALID_ARGUMENT, "copy_columns: %llu columns from %llu to %llu do not fit pieces of %llu and %llu columns",
             static_cast<unsigned long long>(node.columns), static_cast<unsigned long long>(node.x_column),
             static_cast<unsigned long long>(node.y_column), static_cast<unsigned long long>(x.columns / node.pieces),
             static_cast<unsigned long long>(y.columns / node.pieces));
    append(node);
}

void Program::record(const hpc_affine_dropout& arguments) {
    check_recording();
    hpc_affine_dropout node = arguments;
    same_shape("affine_dropout", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    check_counter(node.seed, "seed");
    check_counter(node.stream, "stream");
    finite(node.scale, "scale");
    finite(node.shift, "shift");
    finite(node.dropped, "dropped");
    if (!(node.rate >= 0 && node.rate < 1))
        fail(HPC_INVALID_ARGUMENT, "affine_dropout: rate is %g: expected 0 <= rate < 1", static_cast<double>(node.rate));
    append(node);
}

void Program::record(const hpc_gaussian_noise& arguments) {
    check_recording();
    hpc_gaussian_noise node = arguments;
    same_shape("gaussian_noise", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    check_counter(node.seed, "seed");
    check_counter(node.stream, "stream");
    check_scalar(node.deviation, "deviation");
    append(node);
}

}  // namespace hpc
