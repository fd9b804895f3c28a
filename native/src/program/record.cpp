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
    if (options.flags & ~uint32_t{HPC_PROGRAM_PLAIN | HPC_PROGRAM_SMALL_NETWORKS | HPC_PROGRAM_NO_SMALL_NETWORKS})
        fail(HPC_INVALID_ARGUMENT, "options.flags is %u: it has unknown bits", options.flags);
    if ((options.flags & HPC_PROGRAM_SMALL_NETWORKS) && (options.flags & HPC_PROGRAM_NO_SMALL_NETWORKS))
        fail(HPC_INVALID_ARGUMENT, "options.flags is %u: it asks for small networks and for none", options.flags);
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
    check_range(desc.kind, HPC_VALUE_CONSTANT + 1, "desc.kind");
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
    } else if (desc.kind == HPC_VALUE_CONSTANT) {
        fail(HPC_INVALID_ARGUMENT, "value '%s': a constant without a buffer", value.name.c_str());
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
    if (value.comes_from_host())
        fail(HPC_INVALID_ARGUMENT, "%s '%s' is an input of the program: instructions cannot write it", role, value.name.c_str());
    if (value.kind == HPC_VALUE_CONSTANT)
        fail(HPC_INVALID_ARGUMENT, "%s '%s' is a constant: instructions cannot write it", role, value.name.c_str());
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
    if (w.lead != HPC_LEAD_FIXED || x.columns % w.count != 0) shapes_differ("dense_forward", "x", x, "w", w);
    if (!same_lead(x, y)) shapes_differ("dense_forward", "x", x, "y", y);
    if (y.columns != x.columns / w.count * w.columns) shapes_differ("dense_forward", "w", w, "y", y);
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
    if (w.lead != HPC_LEAD_FIXED || dy.columns % w.columns != 0) shapes_differ("dense_backward_input", "dy", dy, "w", w);
    if (!same_lead(dy, dx)) shapes_differ("dense_backward_input", "dy", dy, "dx", dx);
    if (dx.columns != dy.columns / w.columns * w.count) shapes_differ("dense_backward_input", "w", w, "dx", dx);
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
    if (dw.lead != HPC_LEAD_FIXED || x.columns % dw.count != 0) shapes_differ("dense_backward_weight", "x", x, "dw", dw);
    if (dy.columns != x.columns / dw.count * dw.columns) shapes_differ("dense_backward_weight", "dy", dy, "dw", dw);
    different("dense_backward_weight", node.dw, node.x);
    different("dense_backward_weight", node.dw, node.dy);
    append(node);
}

void Program::record(const hpc_column_sums& arguments) {
    check_recording();
    hpc_column_sums node = arguments;
    const Value& x = floats(node.x, "x");
    const Value& y = floats(node.y, "y");
    if (x.columns % y.columns != 0) shapes_differ("column_sums", "x", x, "y", y);
    is_row("column_sums", "y", y, y.columns);
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

void Program::check_loss(LossNode& node, const char* instruction) {
    const hpc_loss_info* info = loss_info(node.loss);
    if (!info) fail(HPC_INVALID_ARGUMENT, "loss is %d: there is none of that number", node.loss);
    check_range(node.reduction, HPC_REDUCTION_BATCH_MEAN + 1, "reduction");
    const Value& prediction = floats(node.prediction, "prediction");
    same_shape(instruction, "prediction", prediction, "target", floats(node.target, "target"));
    if (node.weights) is_row(instruction, "weights", floats(node.weights, "weights"), prediction.columns);
    if (node.alphas) {
        is_row(instruction, "alphas", floats(node.alphas, "alphas"), prediction.columns);
        if (info->parameters < 1) fail(HPC_INVALID_ARGUMENT, "%s: %s reads no alpha: pass 0 for alphas", instruction, info->name);
    }
    if (node.gradient) {
        same_shape(instruction, "prediction", prediction, "gradient", floats(node.gradient, "gradient"));
        check_writable(node.gradient, "gradient");
        for (ValueId other : {node.prediction, node.target, node.weights, node.alphas}) different(instruction, node.gradient, other);
    }
    check_scalar(node.weight, "weight");
    finite(node.alpha, "alpha");
    finite(node.beta, "beta");
}

void Program::record(const hpc_loss_forward& arguments) {
    check_recording();
    LossNode node{arguments.loss,  arguments.reduction, arguments.prediction, arguments.target,  0, true,
                  arguments.alpha, arguments.beta,      arguments.weight,     arguments.weights, arguments.alphas};
    check_loss(node, "loss_forward");
    append(node);
}

void Program::record(const hpc_loss_backward& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    LossNode node{arguments.loss,  arguments.reduction, arguments.prediction, arguments.target,  arguments.gradient, false,
                  arguments.alpha, arguments.beta,      arguments.weight,     arguments.weights, arguments.alphas};
    if (!node.gradient) resolve(node.gradient, "gradient");
    check_loss(node, "loss_backward");
    append(node);
}

void Program::check_class_loss(ClassLossNode& node, const char* instruction) {
    check_range(node.loss, HPC_CLASS_LOSS_MULTI_MARGIN + 1, "loss");
    check_range(node.reduction, HPC_REDUCTION_BATCH_MEAN + 1, "reduction");
    const Value& scores = floats(node.scores, "scores");
    const Value& target = resolve(node.target, "target");
    if (target.dtype == HPC_INT32) {
        if (!same_lead(scores, target) || target.columns != 1) shapes_differ(instruction, "labels", target, "scores", scores);
        if (scores.columns > INT32_MAX) fail(HPC_INVALID_ARGUMENT, "%s: too many classes", instruction);
    } else {
        same_shape(instruction, "target", target, "scores", scores);
        if (node.loss != HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY)
            fail(HPC_INVALID_ARGUMENT, "%s: target '%s' holds float32: expected int32 labels", instruction, target.name.c_str());
    }
    if (node.class_weights) is_row(instruction, "class_weights", floats(node.class_weights, "class_weights"), scores.columns);
    if (node.gradient) {
        same_shape(instruction, "scores", scores, "gradient", floats(node.gradient, "gradient"));
        check_writable(node.gradient, "gradient");
        for (ValueId other : {node.scores, node.target, node.class_weights}) different(instruction, node.gradient, other);
    }
    check_scalar(node.weight, "weight");
    finite(node.alpha, "alpha");
    if (node.loss == HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY && !(node.alpha >= 0 && node.alpha < 1))
        fail(HPC_INVALID_ARGUMENT, "%s: alpha is %g: expected a smoothing from 0 to below 1", instruction, static_cast<double>(node.alpha));
    if (node.loss == HPC_CLASS_LOSS_MULTI_MARGIN && node.beta != 1 && node.beta != 2)
        fail(HPC_INVALID_ARGUMENT, "%s: beta is %g: expected a power of 1 or 2", instruction, static_cast<double>(node.beta));
}

void Program::record(const hpc_class_loss_forward& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    check_range(static_cast<int32_t>(arguments.ignores), 2, "ignores");
    ClassLossNode node{arguments.loss,    arguments.reduction,      arguments.scores,       arguments.target,  0,
                       true,              arguments.weight,         arguments.class_weights, arguments.ignores != 0,
                       arguments.ignored, arguments.alpha,          arguments.beta};
    check_class_loss(node, "class_loss_forward");
    append(node);
}

void Program::record(const hpc_class_loss_backward& arguments) {
    check_recording();
    check_range(static_cast<int32_t>(arguments.ignores), 2, "ignores");
    ClassLossNode node{arguments.loss,    arguments.reduction,      arguments.scores,       arguments.target,  arguments.gradient,
                       false,             arguments.weight,         arguments.class_weights, arguments.ignores != 0,
                       arguments.ignored, arguments.alpha,          arguments.beta};
    if (!node.gradient) resolve(node.gradient, "gradient");
    check_class_loss(node, "class_loss_backward");
    append(node);
}

void Program::record(const hpc_softmax& arguments) {
    check_recording();
    hpc_softmax node = arguments;
    same_shape("softmax", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    append(node);
}

void Program::record(const hpc_softmax_backward& arguments) {
    check_recording();
    hpc_softmax_backward node = arguments;
    check_reserved(node.reserved);
    const Value& y = floats(node.y, "y");
    same_shape("softmax_backward", "y", y, "dy", floats(node.dy, "dy"));
    same_shape("softmax_backward", "y", y, "dx", floats(node.dx, "dx"));
    check_writable(node.dx, "dx");
    different("softmax_backward", node.dx, node.y);
    append(node);
}

void Program::record(const hpc_log_softmax& arguments) {
    check_recording();
    hpc_log_softmax node = arguments;
    same_shape("log_softmax", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    append(node);
}

void Program::record(const hpc_log_softmax_backward& arguments) {
    check_recording();
    hpc_log_softmax_backward node = arguments;
    check_reserved(node.reserved);
    const Value& y = floats(node.y, "y");
    same_shape("log_softmax_backward", "y", y, "dy", floats(node.dy, "dy"));
    same_shape("log_softmax_backward", "y", y, "dx", floats(node.dx, "dx"));
    check_writable(node.dx, "dx");
    different("log_softmax_backward", node.dx, node.y);
    append(node);
}

void Program::record(const hpc_prelu_forward& arguments) {
    check_recording();
    hpc_prelu_forward node = arguments;
    check_reserved(node.reserved);
    const Value& x = floats(node.x, "x");
    const Value& slope = floats(node.slope, "slope");
    is_row("prelu_forward", "slope", slope, slope.columns == 1 ? 1 : x.columns);
    same_shape("prelu_forward", "x", x, "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    different("prelu_forward", node.y, node.slope);
    append(node);
}

void Program::record(const hpc_prelu_backward& arguments) {
    check_recording();
    check_reserved(arguments.reserved);
    PReluBackwardNode node{arguments.x, arguments.slope, arguments.dy, arguments.dx, arguments.dslope};
    const Value& x = floats(node.x, "x");
    const Value& slope = floats(node.slope, "slope");
    is_row("prelu_backward", "slope", slope, slope.columns == 1 ? 1 : x.columns);
    same_shape("prelu_backward", "x", x, "dy", floats(node.dy, "dy"));
    if (node.dx == 0 && node.dslope == 0) fail(HPC_INVALID_ARGUMENT, "prelu_backward: neither dx nor dslope is wanted");
    if (node.dx) {
        same_shape("prelu_backward", "x", x, "dx", floats(node.dx, "dx"));
        check_writable(node.dx, "dx");
        different("prelu_backward", node.dx, node.x);
        different("prelu_backward", node.dx, node.slope);
    }
    if (node.dslope) {
        same_shape("prelu_backward", "slope", slope, "dslope", floats(node.dslope, "dslope"));
        check_writable(node.dslope, "dslope");
        different("prelu_backward", node.dslope, node.x);
        different("prelu_backward", node.dslope, node.slope);
        different("prelu_backward", node.dslope, node.dy);
        different("prelu_backward", node.dslope, node.dx);
    }
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
    check_counter(node.seed, "seed");
    check_counter(node.stream, "stream");
    check_scalar(node.drop_rate, "drop_rate");
    if (node.drop_rate.slot == 0 && !(node.drop_rate.constant >= 0 && node.drop_rate.constant < 1))
        fail(HPC_INVALID_ARGUMENT, "update: drop_rate is %g: expected 0 <= drop_rate < 1", static_cast<double>(node.drop_rate.constant));
    append(node);
}

void Program::record(const hpc_norm& arguments) {
    check_recording();
    hpc_norm node = arguments;
    check_reserved(node.reserved);
    if (node.order == 0) node.order = 2;
    if (!(node.order > 0)) fail(HPC_INVALID_ARGUMENT, "norm: order is %g: expected a number above 0", static_cast<double>(node.order));
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

void Program::record(const hpc_clip_by_value& arguments) {
    check_recording();
    hpc_clip_by_value node = arguments;
    check_reserved(node.reserved);
    floats(node.x, "x");
    check_writable(node.x, "x");
    check_scalar(node.limit, "limit");
    append(node);
}

void Program::record(const hpc_add_penalty& arguments) {
    check_recording();
    hpc_add_penalty node = arguments;
    same_shape("add_penalty", "x", floats(node.x, "x"), "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    different("add_penalty", node.y, node.x);
    check_scalar(node.l1, "l1");
    check_scalar(node.l2, "l2");
    append(node);
}

void Program::record(const hpc_limit_column_norms& arguments) {
    check_recording();
    hpc_limit_column_norms node = arguments;
    check_reserved(node.reserved);
    floats(node.x, "x");
    check_writable(node.x, "x");
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

void Program::record(const hpc_fast_gradient_sign& arguments) {
    check_recording();
    hpc_fast_gradient_sign node = arguments;
    const Value& x = floats(node.x, "x");
    same_shape("fast_gradient_sign", "x", x, "gradient", floats(node.gradient, "gradient"));
    same_shape("fast_gradient_sign", "x", x, "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    different("fast_gradient_sign", node.y, node.gradient);
    check_scalar(node.epsilon, "epsilon");
    if (!(node.share > 0 && node.share <= 1))
        fail(HPC_INVALID_ARGUMENT, "fast_gradient_sign: share is %g: expected 0 < share <= 1", static_cast<double>(node.share));
    if (!(node.low < node.high))
        fail(HPC_INVALID_ARGUMENT, "fast_gradient_sign: low is %g and high %g: expected low < high", static_cast<double>(node.low),
             static_cast<double>(node.high));
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

namespace {

const hpc_cell_info& checked_cell(const char* instruction, int32_t cell, int32_t reverse, int32_t last) {
    const hpc_cell_info* info = cell_info(cell);
    if (!info) fail(HPC_INVALID_ARGUMENT, "%s: cell is %d: there is none of that number", instruction, cell);
    check_range(reverse, 2, "reverse");
    check_range(last, 2, "last");
    return *info;
}

// An operand of recurrent instructions: one lead, so many columns.
void is_sequence(const char* instruction, const char* role, const Value& value, const Value& gates, uint64_t columns) {
    if (!same_lead(value, gates) || value.columns != columns) shapes_differ(instruction, role, value, "gates", gates);
}

// Outputs of each step or of the last one, `units` of them from `offset` on.
void is_output(const char* instruction, const char* role, const Value& value, const Value& gates, uint64_t steps, uint64_t units,
               uint32_t offset) {
    if (!same_lead(value, gates) || value.columns % steps != 0) shapes_differ(instruction, role, value, "gates", gates);
    if (offset > value.columns / steps || units > value.columns / steps - offset)
        fail(HPC_INVALID_ARGUMENT, "%s: %llu units from %u on do not fit the %llu columns of a step of %s '%s'", instruction,
             static_cast<unsigned long long>(units), offset, static_cast<unsigned long long>(value.columns / steps), role,
             value.name.c_str());
}

void only_where(const char* instruction, const char* role, uint32_t id, bool expected, const char* cell) {
    if ((id != 0) != expected)
        fail(HPC_INVALID_ARGUMENT, "%s: %s is %s: with %s it %s", instruction, role, id ? "given" : "0", cell,
             expected ? "is needed" : "must be 0");
}

}  // namespace

void Program::record(const hpc_recurrent_forward& arguments) {
    constexpr const char* kName = "recurrent_forward";
    check_recording();
    hpc_recurrent_forward node = arguments;
    const hpc_cell_info& cell = checked_cell(kName, node.cell, node.reverse, node.last);
    const Value& gates = floats(node.gates, "gates");
    const Value& w = floats(node.w, "w");
    const uint64_t units = w.count, width = units * static_cast<uint64_t>(cell.gates);
    if (w.lead != HPC_LEAD_FIXED || w.columns != width || gates.columns % width != 0) shapes_differ(kName, "w", w, "gates", gates);
    const uint64_t steps = gates.columns / width;
    if (node.b) is_row(kName, "b", floats(node.b, "b"), width);
    if (!cell.state && (node.c0 || node.cn)) fail(HPC_INVALID_ARGUMENT, "%s: c0 and cn must be 0 with %s, which has no state", kName, cell.name);
    only_where(kName, "kept", node.kept, node.previous && cell.kept, node.previous ? cell.name : "no previous");
    auto optional = [&](uint32_t& id, const char* role, uint64_t columns) {
        if (id) is_sequence(kName, role, floats(id, role), gates, columns);
    };
    optional(node.h0, "h0", units);
    optional(node.c0, "c0", units);
    optional(node.hn, "hn", units);
    optional(node.cn, "cn", units);
    optional(node.kept, "kept", steps * units);
    optional(node.previous, "previous", steps * units);
    is_output(kName, "y", floats(node.y, "y"), gates, node.last ? 1 : steps, units, node.y_offset);
    const uint32_t written[] = {node.gates, node.y, node.hn, node.cn, node.kept, node.previous};
    const uint32_t read[] = {node.w, node.b, node.h0, node.c0};
    for (const uint32_t& id : written) {
        if (!id) continue;
        check_writable(id, "an output");
        for (const uint32_t other : read) different(kName, id, other);
        for (const uint32_t& other : written)
            if (&other != &id) different(kName, id, other);
    }
    append(node);
}

void Program::record(const hpc_recurrent_backward& arguments) {
    constexpr const char* kName = "recurrent_backward";
    check_recording();
    hpc_recurrent_backward node = arguments;
    check_reserved(node.reserved);
    const hpc_cell_info& cell = checked_cell(kName, node.cell, node.reverse, node.last);
    const Value& gates = floats(node.gates, "gates");
    const Value& w = floats(node.w, "w");
    const uint64_t units = w.count, width = units * static_cast<uint64_t>(cell.gates);
    if (w.lead != HPC_LEAD_FIXED || w.columns != width || gates.columns % width != 0) shapes_differ(kName, "w", w, "gates", gates);
    const uint64_t steps = gates.columns / width;
    if (!cell.state && (node.c0 || node.dcn || node.dc0))
        fail(HPC_INVALID_ARGUMENT, "%s: c0, dcn and dc0 must be 0 with %s, which has no state", kName, cell.name);
    only_where(kName, "kept", node.kept, cell.kept != 0, cell.name);
    only_where(kName, "hidden", node.hidden, cell.direct != 0, cell.name);
    if (!node.dy && !node.dhn) fail(HPC_INVALID_ARGUMENT, "%s: dy and dhn are both 0: there is no gradient", kName);
    is_sequence(kName, "previous", floats(node.previous, "previous"), gates, steps * units);
    auto optional = [&](uint32_t& id, const char* role, uint64_t columns) {
        if (id) is_sequence(kName, role, floats(id, role), gates, columns);
    };
    optional(node.c0, "c0", units);
    optional(node.kept, "kept", steps * units);
    optional(node.dhn, "dhn", units);
    optional(node.dcn, "dcn", units);
    optional(node.dh0, "dh0", units);
    optional(node.dc0, "dc0", units);
    optional(node.hidden, "hidden", steps * width);
    if (node.dy) is_output(kName, "dy", floats(node.dy, "dy"), gates, node.last ? 1 : steps, units, node.dy_offset);
    const uint32_t written[] = {node.gates, node.dh0, node.dc0, node.hidden};
    const uint32_t read[] = {node.w, node.c0, node.kept, node.previous, node.dy, node.dhn, node.dcn};
    for (const uint32_t& id : written) {
        if (!id) continue;
        check_writable(id, "an output");
        for (const uint32_t other : read) different(kName, id, other);
        for (const uint32_t& other : written)
            if (&other != &id) different(kName, id, other);
    }
    append(node);
}

namespace {

void positive(float value, const char* instruction) {
    if (!(value > 0) || !std::isfinite(value))
        fail(HPC_INVALID_ARGUMENT, "%s: epsilon is %g: expected a finite number above 0", instruction, static_cast<double>(value));
}

void by_channel(const char* instruction, const Value& statistics) {
    if (statistics.lead != HPC_LEAD_FIXED || statistics.count != 4)
        fail(HPC_INVALID_ARGUMENT, "%s: statistics '%s' is %s: expected [4 x channels]", instruction, statistics.name.c_str(),
             shape_of(statistics).c_str());
}

// How many channels, or the size of a group, a row is divided into.
void divides(const char* instruction, const Value& x, uint64_t part, const char* what) {
    if (part < 1 || x.columns % part != 0)
        fail(HPC_INVALID_ARGUMENT, "%s: x '%s' is %s, which %llu %s do not divide evenly", instruction, x.name.c_str(), shape_of(x).c_str(),
             static_cast<unsigned long long>(part), what);
}

}  // namespace

// What batch and layer normalization write backward, at least one of them; `width` is that of weight and bias.
template <class Arguments>
void Program::check_normalization_gradients(const char* name, Arguments& node, const Value& x, uint64_t width) const {
    if (!node.dx && !node.dweight && !node.dbias) fail(HPC_INVALID_ARGUMENT, "%s: dx, dweight and dbias are all 0", name);
    if (node.dx) {
        same_shape(name, "x", x, "dx", floats(node.dx, "dx"));
        check_writable(node.dx, "dx");
        different(name, node.dx, node.x);
        different(name, node.dx, node.dy);
    }
    if (node.dweight) {
        is_row(name, "dweight", floats(node.dweight, "dweight"), width);
        check_writable(node.dweight, "dweight");
        different(name, node.dweight, node.weight);
    }
    if (node.dbias) {
        is_row(name, "dbias", floats(node.dbias, "dbias"), width);
        check_writable(node.dbias, "dbias");
        different(name, node.dbias, node.dweight);
        different(name, node.dbias, node.weight);
    }
}

void Program::record(const hpc_batch_norm_forward& arguments) {
    check_recording();
    hpc_batch_norm_forward node = arguments;
    const char* name = "batch_norm_forward";
    const Value& x = floats(node.x, "x");
    const Value& statistics = floats(node.statistics, "statistics");
    by_channel(name, statistics);
    divides(name, x, statistics.columns, "channels");
    if (node.weight) is_row(name, "weight", floats(node.weight, "weight"), statistics.columns);
    if (node.bias) is_row(name, "bias", floats(node.bias, "bias"), statistics.columns);
    if ((node.running_mean == 0) != (node.running_variance == 0))
        fail(HPC_INVALID_ARGUMENT, "%s: running_mean is %u and running_variance %u: expected both or none", name, node.running_mean,
             node.running_variance);
    if (node.running_mean) {
        is_row(name, "running_mean", floats(node.running_mean, "running_mean"), statistics.columns);
        is_row(name, "running_variance", floats(node.running_variance, "running_variance"), statistics.columns);
    }
    same_shape(name, "x", x, "y", floats(node.y, "y"));
    check_writable(node.y, "y");
    check_writable(node.statistics, "statistics");
    different(name, node.y, node.x);
    different(name, node.statistics, node.x);
    different(name, node.statistics, node.y);
    positive(node.epsilon, name);
    append(node);
}

void Program::record(const hpc_batch_norm_backward& arguments) {
    check_recording();
    hpc_batch_norm_backward node = arguments;
    const char* name = "batch_norm_backward";
    const Value& x = floats(node.x, "x");
    const Value& statistics = floats(node.statistics, "statistics");
    by_channel(name, statistics);
    divides(name, x, statistics.columns, "channels");
    same_shape(name, "x", x, "dy", floats(node.dy, "dy"));
    if (node.weight) is_row(name, "weight", floats(node.weight, "weight"), statistics.columns);
    check_range(node.constant_statistics, 2, "constant_statistics");
    check_normalization_gradients(name, node, x, statistics.columns);
    append(node);
}

void Program::record(const hpc_batch_norm_update& arguments) {
    check_recording();
    hpc_batch_norm_update node = arguments;
    const char* name = "batch_norm_update";
    check_reserved(node.reserved);
    const Value& statistics = floats(node.statistics, "statistics");
    by_channel(name, statistics);
    is_row(name, "running_mean", floats(node.running_mean, "running_mean"), statistics.columns);
    is_row(name, "running_variance", floats(node.running_variance, "running_variance"), statistics.columns);
    const Value& batches = resolve(node.batches, "batches");
    if (batches.dtype != HPC_INT32) fail(HPC_INVALID_ARGUMENT, "%s: batches '%s' holds floats: expected int32", name, batches.name.c_str());
    is_row(name, "batches", batches, 1);
    check_writable(node.running_mean, "running_mean");
    check_writable(node.running_variance, "running_variance");
    check_writable(node.batches, "batches");
    different(name, node.running_mean, node.running_variance);
    different(name, node.running_mean, node.statistics);
    different(name, node.running_variance, node.statistics);
    check_range(node.cumulative, 2, "cumulative");
    check_scalar(node.momentum, "momentum");
    if (node.momentum.slot == 0 && !(node.momentum.constant >= 0 && node.momentum.constant <= 1))
        fail(HPC_INVALID_ARGUMENT, "%s: momentum is %g: expected 0 to 1", name, static_cast<double>(node.momentum.constant));
    append(node);
}

void Program::record(const hpc_layer_norm_forward& arguments) {
    check_recording();
    hpc_layer_norm_forward node = arguments;
    const char* name = "layer_norm_forward";
    check_reserved(node.reserved);
    const Value& x = floats(node.x, "x");
    divides(name, x, node.size, "neighbours");
    if (node.weight) is_row(name, "weight", floats(node.weight, "weight"), node.size);
    if (node.bias) is_row(name, "bias", floats(node.bias, "bias"), node.size);
    same_shape(name, "x", x, "y", floats(node.y, "y"));
    const Value& statistics = floats(node.statistics, "statistics");
    if (!same_lead(x, statistics) || statistics.columns != x.columns / node.size * 3) shapes_differ(name, "x", x, "statistics", statistics);
    check_writable(node.y, "y");
    check_writable(node.statistics, "statistics");
    different(name, node.y, node.x);
    different(name, node.statistics, node.x);
    different(name, node.statistics, node.y);
    positive(node.epsilon, name);
    append(node);
}

void Program::record(const hpc_layer_norm_backward& arguments) {
    check_recording();
    hpc_layer_norm_backward node = arguments;
    const char* name = "layer_norm_backward";
    const Value& x = floats(node.x, "x");
    divides(name, x, node.size, "neighbours");
    same_shape(name, "x", x, "dy", floats(node.dy, "dy"));
    if (node.weight) is_row(name, "weight", floats(node.weight, "weight"), node.size);
    const Value& statistics = floats(node.statistics, "statistics");
    if (!same_lead(x, statistics) || statistics.columns != x.columns / node.size * 3) shapes_differ(name, "x", x, "statistics", statistics);
    check_normalization_gradients(name, node, x, node.size);
    append(node);
}

void Program::record(const hpc_embedding_forward& arguments) {
    check_recording();
    hpc_embedding_forward node = arguments;
    const char* name = "embedding_forward";
    check_reserved(node.reserved);
    const Value& table = floats(node.table, "table");
    const Value& indices = resolve(node.indices, "indices");
    const Value& y = floats(node.y, "y");
    if (table.lead != HPC_LEAD_FIXED || table.count > INT32_MAX)
        fail(HPC_INVALID_ARGUMENT, "%s: table '%s' is %s: expected a fixed number of rows that an int32 counts", name, table.name.c_str(),
             shape_of(table).c_str());
    if (!same_lead(indices, y) || y.columns != indices.columns * table.columns) shapes_differ(name, "indices", indices, "y", y);
    check_writable(node.y, "y");
    different(name, node.y, node.table);
    different(name, node.y, node.indices);
    append(node);
}

void Program::record(const hpc_embedding_backward& arguments) {
    check_recording();
    hpc_embedding_backward node = arguments;
    const char* name = "embedding_backward";
    const Value& indices = resolve(node.indices, "indices");
    const Value& dy = floats(node.dy, "dy");
    const Value& dtable = floats(node.dtable, "dtable");
    if (dtable.lead != HPC_LEAD_FIXED || dtable.count > INT32_MAX)
        fail(HPC_INVALID_ARGUMENT, "%s: dtable '%s' is %s: expected a fixed number of rows that an int32 counts", name, dtable.name.c_str(),
             shape_of(dtable).c_str());
    if (!same_lead(indices, dy) || dy.columns != indices.columns * dtable.columns) shapes_differ(name, "indices", indices, "dy", dy);
    if (node.padding < -1 || node.padding >= static_cast<int64_t>(dtable.count))
        fail(HPC_INVALID_ARGUMENT, "%s: padding is %d: expected a row of dtable, or -1", name, node.padding);
    check_writable(node.dtable, "dtable");
    different(name, node.dtable, node.dy);
    different(name, node.dtable, node.indices);
    append(node);
}

void Program::record(const hpc_call& arguments) {
    check_recording();
    if (!arguments.function) fail(HPC_INVALID_ARGUMENT, "call: function is null");
    if (!arguments.name) fail(HPC_INVALID_ARGUMENT, "call: name is null");
    if (arguments.read_count > HPC_CALL_OPERANDS || arguments.write_count > HPC_CALL_OPERANDS ||
        arguments.read_count + arguments.write_count > HPC_CALL_OPERANDS)
        fail(HPC_INVALID_ARGUMENT, "call: %u values read and %u written: expected at most %d in all", arguments.read_count, arguments.write_count,
             HPC_CALL_OPERANDS);
    if (arguments.read_count && !arguments.reads) fail(HPC_INVALID_ARGUMENT, "call: reads is null");
    if (arguments.write_count && !arguments.writes) fail(HPC_INVALID_ARGUMENT, "call: writes is null");
    CallNode node{arguments.function, arguments.context, {arguments.reads, arguments.reads + arguments.read_count},
                  {arguments.writes, arguments.writes + arguments.write_count}, arguments.name};
    bool writes = false;
    for (ValueId& value : node.reads)
        if (value) floats(value, "read");
    for (size_t i = 0; i < node.writes.size(); i++) {
        if (node.writes[i] == 0) continue;
        floats(node.writes[i], "write");
        check_writable(node.writes[i], "write");
        for (const ValueId read : node.reads) different("call", node.writes[i], read);
        for (size_t j = 0; j < i; j++) different("call", node.writes[i], node.writes[j]);
        writes = true;
    }
    if (!writes) fail(HPC_INVALID_ARGUMENT, "call: it writes nothing");
    append(std::move(node));
}

}  // namespace hpc
