// Operands, names and work of each instruction (see ir.h).
#include "program/ir.h"

#include "tables.h"

namespace hpc {

namespace {

template <class... Cases>
struct Overload : Cases... {
    using Cases::operator()...;
};
template <class... Cases>
Overload(Cases...) -> Overload<Cases...>;

const char* activation_name(int32_t activation) {
    const hpc_activation_info* info = activation_info(activation);
    return info ? info->name : "?";
}

uint64_t at_least_zero(const std::vector<Value>& values, ValueId id, const Extents& at) {
    return id ? values[id - 1].elements(at) : 0;
}

}  // namespace

std::vector<Operand> operands(const Payload& payload) {
    std::vector<Operand> list;
    auto add = [&](ValueId value, Access access, const char* role) {
        if (value) list.push_back({value, access, role});
    };
    auto read = [&](ValueId value, const char* role) { add(value, Access::Read, role); };
    auto write = [&](ValueId value, const char* role) { add(value, Access::Write, role); };
    auto change = [&](ValueId value, const char* role) { add(value, Access::ReadWrite, role); };
    std::visit(Overload{
                   [&](const hpc_gather_rows& n) {
                       read(n.source, "source");
                       read(n.indices, "indices");
                       write(n.destination, "destination");
                   },
                   [&](const DenseForwardNode& n) {
                       read(n.x, "x");
                       read(n.w, "w");
                       read(n.b, "b");
                       write(n.y, "y");
                       write(n.activation.kept, "derivative");
                   },
                   [&](const DenseBackwardInputNode& n) {
                       read(n.dy, "dy");
                       read(n.w, "w");
                       read(n.activation.kept, "kept");
                       write(n.dx, "dx");
                       write(n.sums, "sums");
                   },
                   [&](const hpc_dense_backward_weight& n) {
                       read(n.x, "x");
                       read(n.dy, "dy");
                       write(n.dw, "dw");
                   },
                   [&](const hpc_column_sums& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_activation_forward& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                       write(n.derivative, "derivative");
                   },
                   [&](const ActivationBackwardNode& n) {
                       read(n.kept, "kept");
                       read(n.dy, "dy");
                       write(n.dx, "dx");
                       write(n.sums, "sums");
                   },
                   [&](const LossNode& n) {
                       read(n.prediction, "prediction");
                       read(n.target, "target");
                       write(n.gradient, "gradient");
                   },
                   [&](const SoftmaxCrossEntropyNode& n) {
                       read(n.logits, "logits");
                       read(n.target, "target");
                       write(n.gradient, "gradient");
                       write(n.sums, "sums");
                   },
                   [&](const hpc_softmax& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_update& n) {
                       change(n.parameters, "parameters");
                       read(n.gradients, "gradients");
                       for (uint32_t state : n.states) change(state, "state");
                   },
                   [&](const hpc_norm& n) {
                       read(n.x, "x");
                       write(n.norm, "norm");
                   },
                   [&](const hpc_clip_by_norm& n) {
                       change(n.x, "x");
                       read(n.norm, "norm");
                   },
                   [&](const hpc_scale& n) { change(n.x, "x"); },
                   [&](const hpc_add_scaled& n) {
                       read(n.x, "x");
                       change(n.y, "y");
                   },
                   [&](const hpc_fill& n) { write(n.x, "x"); },
                   [&](const hpc_philox_uniform& n) { write(n.x, "x"); },
                   [&](const hpc_dropout& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_multiply& n) {
                       read(n.x, "x");
                       read(n.y, "y");
                       write(n.z, "z");
                   },
                   [&](const hpc_copy_columns& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_affine_dropout& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_gaussian_noise& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
               },
               payload);
    return list;
}

std::string name_of(const Payload& payload) {
    return std::visit(
        Overload{
            [](const hpc_gather_rows&) -> std::string { return "gather_rows"; },
            [](const DenseForwardNode& n) {
                std::string name = "dense_forward";
                if (n.activation.present()) name += std::string(" + ") + activation_name(n.activation.activation);
                if (n.activation.kept) name += " + derivative";
                return name;
            },
            [](const DenseBackwardInputNode& n) {
                std::string name = "dense_backward_input";
                if (n.activation.present()) name += std::string(" + ") + activation_name(n.activation.activation) + "'";
                if (n.sums) name += " + column_sums";
                return name;
            },
            [](const hpc_dense_backward_weight&) -> std::string { return "dense_backward_weight"; },
            [](const hpc_column_sums&) -> std::string { return "column_sums"; },
            [](const hpc_activation_forward& n) { return std::string("activation_forward ") + activation_name(n.activation); },
            [](const ActivationBackwardNode& n) {
                return std::string("activation_backward ") + activation_name(n.activation) +
                       (n.sums ? " + column_sums" : "");
            },
            [](const LossNode& n) {
                const hpc_loss_info* info = loss_info(n.loss);
                return std::string(n.adds_loss && n.gradient ? "loss_forward + backward "
                                   : n.adds_loss             ? "loss_forward "
                                                             : "loss_backward ") +
                       (info ? info->name : "?");
            },
            [](const SoftmaxCrossEntropyNode& n) {
                std::string name = n.adds_loss && n.gradient ? "softmax_cross_entropy_forward + backward"
                                   : n.adds_loss             ? "softmax_cross_entropy_forward"
                                                             : "softmax_cross_entropy_backward";
                return n.sums ? name + " + column_sums" : name;
            },
            [](const hpc_softmax&) -> std::string { return "softmax"; },
            [](const hpc_update& n) {
                const hpc_rule_info* info = rule_info(n.rule);
                return std::string("update ") + (info ? info->name : "?");
            },
            [](const hpc_norm&) -> std::string { return "norm"; },
            [](const hpc_clip_by_norm&) -> std::string { return "clip_by_norm"; },
            [](const hpc_scale&) -> std::string { return "scale"; },
            [](const hpc_add_scaled&) -> std::string { return "add_scaled"; },
            [](const hpc_fill&) -> std::string { return "fill"; },
            [](const hpc_philox_uniform&) -> std::string { return "philox_uniform"; },
            [](const hpc_dropout&) -> std::string { return "dropout"; },
            [](const hpc_multiply&) -> std::string { return "multiply"; },
            [](const hpc_copy_columns&) -> std::string { return "copy_columns"; },
            [](const hpc_affine_dropout&) -> std::string { return "affine_dropout"; },
            [](const hpc_gaussian_noise&) -> std::string { return "gaussian_noise"; },
        },
        payload);
}

bool overlap(const std::vector<Value>& values, ValueId a, ValueId b, const Extents& at) {
    if (a == b) return true;
    const Value& x = values[a - 1];
    const Value& y = values[b - 1];
    return x.buffer && x.buffer == y.buffer && x.offset < y.offset + y.bytes(at) && y.offset < x.offset + x.bytes(at);
}

bool touches_metrics(const Payload& payload) {
    return std::holds_alternative<LossNode>(payload) || std::holds_alternative<SoftmaxCrossEntropyNode>(payload) ||
           std::holds_alternative<hpc_norm>(payload) || std::holds_alternative<hpc_gather_rows>(payload);
}

Work work_of(const Payload& payload, const std::vector<Value>& values, const Extents& at) {
    Work work{0, 0};
    // A gather reads only as many rows of its source as it writes, plus one index each.
    if (const auto* gather = std::get_if<hpc_gather_rows>(&payload)) {
        const Value& destination = values[gather->destination - 1];
        work.bytes = 2 * destination.bytes(at) + 4 * destination.rows(at);
        return work;
    }
    if (const auto* copy = std::get_if<hpc_copy_columns>(&payload)) {
        work.bytes = 8 * values[copy->x - 1].rows(at) * copy->pieces * copy->columns;
        return work;
    }
    for (const Operand& operand : operands(payload)) {
        const uint64_t bytes = values[operand.value - 1].bytes(at);
        work.bytes += operand.access == Access::ReadWrite ? 2 * bytes : bytes;
    }
    auto elements = [&](ValueId id) { return at_least_zero(values, id, at); };
    auto columns = [&](ValueId id) { return values[id - 1].columns; };
    // Elementwise work is counted by the handful of operations it takes; products by the usual 2 m n k.
    work.flops = std::visit(Overload{
                                [&](const hpc_gather_rows&) -> uint64_t { return 0; },
                                [&](const DenseForwardNode& n) {
                                    return 2 * elements(n.x) * columns(n.y) + (n.b ? elements(n.y) : 0) +
                                           (n.activation.present() ? elements(n.y) : 0);
                                },
                                [&](const DenseBackwardInputNode& n) {
                                    return 2 * elements(n.dy) * columns(n.dx) +
                                           (n.activation.present() ? elements(n.dx) : 0) + (n.sums ? elements(n.dx) : 0);
                                },
                                [&](const hpc_dense_backward_weight& n) { return 2 * elements(n.x) * columns(n.dy); },
                                [&](const hpc_column_sums& n) { return elements(n.x); },
                                [&](const hpc_activation_forward& n) { return elements(n.x); },
                                [&](const ActivationBackwardNode& n) { return elements(n.dx) * (n.sums ? 2 : 1); },
                                [&](const LossNode& n) { return elements(n.prediction) * 3; },
                                [&](const SoftmaxCrossEntropyNode& n) { return elements(n.logits) * (n.sums ? 6 : 5); },
                                [&](const hpc_softmax& n) { return elements(n.x) * 4; },
                                [&](const hpc_update& n) {
                                    return elements(n.parameters) * (n.rule == HPC_RULE_ADAM ? 12 : 4);
                                },
                                [&](const hpc_norm& n) { return 2 * elements(n.x); },
                                [&](const hpc_clip_by_norm& n) { return elements(n.x); },
                                [&](const hpc_scale& n) { return elements(n.x); },
                                [&](const hpc_add_scaled& n) { return 2 * elements(n.x); },
                                [&](const hpc_fill&) -> uint64_t { return 0; },
                                [&](const hpc_philox_uniform&) -> uint64_t { return 0; },
                                [&](const hpc_dropout& n) { return elements(n.x); },
                                [&](const hpc_multiply& n) { return elements(n.x); },
                                [&](const hpc_copy_columns&) -> uint64_t { return 0; },
                                [&](const hpc_affine_dropout& n) { return 2 * elements(n.x); },
                                [&](const hpc_gaussian_noise& n) { return 2 * elements(n.x); },
                            },
                            payload);
    return work;
}

}  // namespace hpc
