// Operands, names and work of each instruction (see ir.h).
#include "program/ir.h"

#include <cmath>

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

std::string recurrent_name(const char* instruction, int32_t cell, int32_t reverse) {
    const hpc_cell_info* info = cell_info(cell);
    std::string name = instruction;
    name += info ? info->name : "?";
    if (reverse) name += " reverse";
    return name;
}

const char* class_loss_name(int32_t loss) {
    switch (loss) {
        case HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD:
            return "negative_log_likelihood";
        case HPC_CLASS_LOSS_MULTI_MARGIN:
            return "multi_margin";
        default:
            return "softmax_cross_entropy";
    }
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
                       read(n.weights, "weights");
                       read(n.alphas, "alphas");
                       write(n.gradient, "gradient");
                   },
                   [&](const ClassLossNode& n) {
                       read(n.scores, "scores");
                       read(n.target, "target");
                       read(n.class_weights, "class_weights");
                       write(n.gradient, "gradient");
                       write(n.sums, "sums");
                   },
                   [&](const hpc_softmax& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_softmax_backward& n) {
                       read(n.y, "y");
                       read(n.dy, "dy");
                       write(n.dx, "dx");
                   },
                   [&](const hpc_log_softmax& n) {
                       read(n.x, "x");
                       write(n.y, "y");
                   },
                   [&](const hpc_log_softmax_backward& n) {
                       read(n.y, "y");
                       read(n.dy, "dy");
                       write(n.dx, "dx");
                   },
                   [&](const hpc_prelu_forward& n) {
                       read(n.x, "x");
                       read(n.slope, "slope");
                       write(n.y, "y");
                   },
                   [&](const PReluBackwardNode& n) {
                       read(n.x, "x");
                       read(n.slope, "slope");
                       read(n.dy, "dy");
                       write(n.dx, "dx");
                       write(n.dslope, "dslope");
                       write(n.sums, "sums");
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
                   [&](const hpc_clip_by_value& n) { change(n.x, "x"); },
                   [&](const hpc_add_penalty& n) {
                       read(n.x, "x");
                       change(n.y, "y");
                   },
                   [&](const hpc_limit_column_norms& n) { change(n.x, "x"); },
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
                   [&](const hpc_fast_gradient_sign& n) {
                       read(n.x, "x");
                       read(n.gradient, "gradient");
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
                   [&](const hpc_recurrent_forward& n) {
                       change(n.gates, "gates");
                       read(n.w, "w");
                       read(n.b, "b");
                       read(n.h0, "h0");
                       read(n.c0, "c0");
                       write(n.y, "y");
                       write(n.hn, "hn");
                       write(n.cn, "cn");
                       write(n.kept, "kept");
                       write(n.previous, "previous");
                   },
                   [&](const hpc_recurrent_backward& n) {
                       change(n.gates, "gates");
                       read(n.w, "w");
                       read(n.c0, "c0");
                       read(n.kept, "kept");
                       read(n.previous, "previous");
                       read(n.dy, "dy");
                       read(n.dhn, "dhn");
                       read(n.dcn, "dcn");
                       write(n.dh0, "dh0");
                       write(n.dc0, "dc0");
                       write(n.hidden, "hidden");
                   },
                   [&](const hpc_batch_norm_forward& n) {
                       read(n.x, "x");
                       read(n.weight, "weight");
                       read(n.bias, "bias");
                       read(n.running_mean, "running_mean");
                       read(n.running_variance, "running_variance");
                       write(n.y, "y");
                       write(n.statistics, "statistics");
                   },
                   [&](const hpc_batch_norm_backward& n) {
                       read(n.x, "x");
                       read(n.dy, "dy");
                       read(n.weight, "weight");
                       read(n.statistics, "statistics");
                       write(n.dx, "dx");
                       write(n.dweight, "dweight");
                       write(n.dbias, "dbias");
                   },
                   [&](const hpc_batch_norm_update& n) {
                       read(n.statistics, "statistics");
                       change(n.running_mean, "running_mean");
                       change(n.running_variance, "running_variance");
                       change(n.batches, "batches");
                   },
                   [&](const hpc_layer_norm_forward& n) {
                       read(n.x, "x");
                       read(n.weight, "weight");
                       read(n.bias, "bias");
                       write(n.y, "y");
                       write(n.statistics, "statistics");
                   },
                   [&](const hpc_layer_norm_backward& n) {
                       read(n.x, "x");
                       read(n.dy, "dy");
                       read(n.weight, "weight");
                       read(n.statistics, "statistics");
                       write(n.dx, "dx");
                       write(n.dweight, "dweight");
                       write(n.dbias, "dbias");
                   },
                   [&](const hpc_embedding_forward& n) {
                       read(n.table, "table");
                       read(n.indices, "indices");
                       write(n.y, "y");
                   },
                   [&](const hpc_embedding_backward& n) {
                       read(n.indices, "indices");
                       read(n.dy, "dy");
                       write(n.dtable, "dtable");
                   },
                   [&](const CallNode& n) {
                       for (const ValueId value : n.reads) read(value, "read");
                       for (const ValueId value : n.writes) write(value, "write");
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
            [](const ClassLossNode& n) {
                std::string name = class_loss_name(n.loss);
                name += n.adds_loss && n.gradient ? "_forward + backward" : n.adds_loss ? "_forward" : "_backward";
                if (n.sums) name += " + column_sums";
                return name;
            },
            [](const hpc_softmax&) -> std::string { return "softmax"; },
            [](const hpc_softmax_backward&) -> std::string { return "softmax_backward"; },
            [](const hpc_log_softmax&) -> std::string { return "log_softmax"; },
            [](const hpc_log_softmax_backward&) -> std::string { return "log_softmax_backward"; },
            [](const hpc_prelu_forward&) -> std::string { return "prelu_forward"; },
            [](const PReluBackwardNode& n) -> std::string { return n.sums ? "prelu_backward + column_sums" : "prelu_backward"; },
            [](const hpc_update& n) {
                const hpc_rule_info* info = rule_info(n.rule);
                const bool drops = n.drop_rate.slot != 0 || n.drop_rate.constant != 0;
                return std::string("update ") + (info ? info->name : "?") + (drops ? " + dropout" : "");
            },
            [](const hpc_norm&) -> std::string { return "norm"; },
            [](const hpc_clip_by_norm&) -> std::string { return "clip_by_norm"; },
            [](const hpc_clip_by_value&) -> std::string { return "clip_by_value"; },
            [](const hpc_add_penalty&) -> std::string { return "add_penalty"; },
            [](const hpc_limit_column_norms&) -> std::string { return "limit_column_norms"; },
            [](const hpc_scale&) -> std::string { return "scale"; },
            [](const hpc_add_scaled&) -> std::string { return "add_scaled"; },
            [](const hpc_fill&) -> std::string { return "fill"; },
            [](const hpc_philox_uniform&) -> std::string { return "philox_uniform"; },
            [](const hpc_dropout&) -> std::string { return "dropout"; },
            [](const hpc_fast_gradient_sign&) -> std::string { return "fast_gradient_sign"; },
            [](const hpc_multiply&) -> std::string { return "multiply"; },
            [](const hpc_copy_columns&) -> std::string { return "copy_columns"; },
            [](const hpc_affine_dropout&) -> std::string { return "affine_dropout"; },
            [](const hpc_gaussian_noise&) -> std::string { return "gaussian_noise"; },
            [](const hpc_recurrent_forward& n) { return recurrent_name("recurrent_forward ", n.cell, n.reverse); },
            [](const hpc_recurrent_backward& n) { return recurrent_name("recurrent_backward ", n.cell, n.reverse); },
            [](const hpc_batch_norm_forward& n) -> std::string {
                return n.running_mean ? "batch_norm_forward (running statistics)" : "batch_norm_forward";
            },
            [](const hpc_batch_norm_backward&) -> std::string { return "batch_norm_backward"; },
            [](const hpc_batch_norm_update&) -> std::string { return "batch_norm_update"; },
            [](const hpc_layer_norm_forward&) -> std::string { return "layer_norm_forward"; },
            [](const hpc_layer_norm_backward&) -> std::string { return "layer_norm_backward"; },
            [](const hpc_embedding_forward&) -> std::string { return "embedding_forward"; },
            [](const hpc_embedding_backward&) -> std::string { return "embedding_backward"; },
            [](const CallNode& n) { return "call " + n.name; },
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
    return std::holds_alternative<LossNode>(payload) || std::holds_alternative<ClassLossNode>(payload) ||
           std::holds_alternative<hpc_norm>(payload) || std::holds_alternative<hpc_clip_by_norm>(payload) ||
           std::holds_alternative<hpc_gather_rows>(payload) || std::holds_alternative<hpc_embedding_forward>(payload) ||
           std::holds_alternative<CallNode>(payload);
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
    if (const auto* embedding = std::get_if<hpc_embedding_forward>(&payload)) {
        work.bytes = 2 * values[embedding->y - 1].bytes(at) + values[embedding->indices - 1].bytes(at);
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
                                    return 2 * elements(n.x) * columns(n.w) + (n.b ? elements(n.y) : 0) +
                                           (n.activation.present() ? elements(n.y) : 0);
                                },
                                [&](const DenseBackwardInputNode& n) {
                                    return 2 * elements(n.dy) * values[n.w - 1].count +
                                           (n.activation.present() ? elements(n.dx) : 0) + (n.sums ? elements(n.dx) : 0);
                                },
                                [&](const hpc_dense_backward_weight& n) { return 2 * elements(n.x) * columns(n.dw); },
                                [&](const hpc_column_sums& n) { return elements(n.x); },
                                [&](const hpc_activation_forward& n) { return elements(n.x); },
                                [&](const ActivationBackwardNode& n) { return elements(n.dx) * (n.sums ? 2 : 1); },
                                [&](const LossNode& n) { return elements(n.prediction) * 3; },
                                [&](const ClassLossNode& n) { return elements(n.scores) * (n.sums ? 6 : 5); },
                                [&](const hpc_softmax& n) { return elements(n.x) * 4; },
                                [&](const hpc_softmax_backward& n) { return elements(n.y) * 4; },
                                [&](const hpc_log_softmax& n) { return elements(n.x) * 4; },
                                [&](const hpc_log_softmax_backward& n) { return elements(n.y) * 4; },
                                [&](const hpc_prelu_forward& n) { return elements(n.x); },
                                [&](const PReluBackwardNode& n) {
                                    return elements(n.x) * ((n.dx ? 1 : 0) + (n.dslope ? 2 : 0) + (n.sums ? 1 : 0));
                                },
                                [&](const hpc_update& n) {
                                    // About what the rules take: four operations, and four more for each state.
                                    const hpc_rule_info* info = rule_info(n.rule);
                                    return elements(n.parameters) * static_cast<uint64_t>(4 + 4 * (info ? info->state_count : 0));
                                },
                                [&](const hpc_norm& n) { return 2 * elements(n.x); },
                                [&](const hpc_clip_by_norm& n) { return elements(n.x); },
                                [&](const hpc_clip_by_value& n) { return 2 * elements(n.x); },
                                [&](const hpc_add_penalty& n) { return 4 * elements(n.x); },
                                [&](const hpc_limit_column_norms& n) { return 3 * elements(n.x); },
                                [&](const hpc_scale& n) { return elements(n.x); },
                                [&](const hpc_add_scaled& n) { return 2 * elements(n.x); },
                                [&](const hpc_fill&) -> uint64_t { return 0; },
                                [&](const hpc_philox_uniform&) -> uint64_t { return 0; },
                                [&](const hpc_dropout& n) { return elements(n.x); },
                                [&](const hpc_fast_gradient_sign& n) { return elements(n.x); },
                                [&](const hpc_multiply& n) { return elements(n.x); },
                                [&](const hpc_copy_columns&) -> uint64_t { return 0; },
                                [&](const hpc_affine_dropout& n) { return 2 * elements(n.x); },
                                [&](const hpc_gaussian_noise& n) { return 2 * elements(n.x); },
                                [&](const hpc_recurrent_forward& n) { return (2 * values[n.w - 1].count + 8) * elements(n.gates); },
                                [&](const hpc_recurrent_backward& n) { return (2 * values[n.w - 1].count + 8) * elements(n.gates); },
                                [&](const hpc_batch_norm_forward& n) { return elements(n.x) * (n.running_mean ? 4 : 7); },
                                [&](const hpc_batch_norm_backward& n) { return elements(n.x) * (n.dx ? 12 : 6); },
                                [&](const hpc_batch_norm_update& n) { return elements(n.running_mean) * 6; },
                                [&](const hpc_layer_norm_forward& n) { return elements(n.x) * 7; },
                                [&](const hpc_layer_norm_backward& n) { return elements(n.x) * (n.dweight ? 16 : 12); },
                                [&](const hpc_embedding_forward&) -> uint64_t { return 0; },
                                [&](const hpc_embedding_backward& n) { return elements(n.dy); },
                                [&](const CallNode&) -> uint64_t { return 0; },
                            },
                            payload);
    return work;
}

uint64_t moved_elements(const hpc_fast_gradient_sign& arguments, const Value& x, const Extents& at) {
    const uint64_t rows = x.rows(at);
    return static_cast<uint64_t>(std::llround(static_cast<double>(arguments.share) * static_cast<double>(rows))) * x.columns;
}

}  // namespace hpc
