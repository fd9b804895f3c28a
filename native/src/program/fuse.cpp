// Fusion: merges an instruction into the one that produced its operand, where the answer stays the same.
//
// A node j is merged into an earlier node i only if (1) i alone writes the value that joins them and, where that value
// disappears, j alone reads it and it is a temporary; (2) what j additionally reads was complete before i and is not
// written between i and j; (3) nothing between i and j touches what j writes. The patterns, tried in recorded order:
//
//   dense_forward         + activation_forward   -> y = f(x w + b), with the kept derivative
//   dense_backward_input  + activation_backward  -> dx = f' * (dy w^T)
//   loss forward          + loss backward        -> one pass
//   {dense_backward_input, activation_backward, prelu_backward, class loss} + column_sums of what it writes
//
// Whatever does not match stays as it was recorded.
#include <algorithm>
#include <optional>

#include "program/program.h"

namespace hpc {

namespace {

class Fuser {
public:
    Fuser(std::vector<Node> nodes, const std::vector<Value>& values, const Extents& capacity)
        : nodes_(std::move(nodes)), values_(values), capacity_(capacity) {}

    std::vector<Node> run() {
        for (size_t j = 0; j < nodes_.size(); j++) {
            for (size_t i = j; i-- > 0;) {
                if (!alive(i)) continue;
                if (std::optional<Payload> merged = merge(i, j)) {
                    nodes_[i].payload = std::move(*merged);
                    nodes_[i].recorded.insert(nodes_[i].recorded.end(), nodes_[j].recorded.begin(), nodes_[j].recorded.end());
                    nodes_[j].recorded.clear();
                    break;
                }
            }
        }
        nodes_.erase(std::remove_if(nodes_.begin(), nodes_.end(), [](const Node& n) { return n.recorded.empty(); }),
                     nodes_.end());
        return std::move(nodes_);
    }

private:
    // A merged node stays in place, emptied, until the end.
    bool alive(size_t i) const { return !nodes_[i].recorded.empty(); }

    template <class T>
    const T* as(size_t i) const {
        return std::get_if<T>(&nodes_[i].payload);
    }

    bool touches(size_t node, ValueId value, bool only_writes) const {
        for (const Operand& operand : operands(nodes_[node].payload))
            if ((operand.writes() || !only_writes) && overlap(values_, operand.value, value, capacity_)) return true;
        return false;
    }

    // (2) and (3) of the head comment, and that nothing between i and j writes `joined`.
    bool can_move(size_t i, size_t j, ValueId joined) const {
        for (size_t k = i; k < j; k++) {
            if (k > i && (!alive(k))) continue;
            for (const Operand& operand : operands(nodes_[j].payload)) {
                if (operand.value == joined) {
                    if (k > i && touches(k, joined, true)) return false;
                } else if (operand.writes()) {
                    if (touches(k, operand.value, false)) return false;
                } else if (touches(k, operand.value, true)) {
                    return false;
                }
            }
        }
        return true;
    }

    // `value` exists only between i and j.
    bool only_between(size_t i, size_t j, ValueId value) const {
        if (values_[value - 1].kind != HPC_VALUE_TEMPORARY) return false;
        for (size_t k = 0; k < nodes_.size(); k++)
            if (k != i && k != j && alive(k) && touches(k, value, false)) return false;
        return true;
    }

    std::optional<Payload> merge(size_t i, size_t j) const {
        if (const auto* activation = as<hpc_activation_forward>(j)) {
            const auto* dense = as<DenseForwardNode>(i);
            if (dense && dense->y == activation->x && !dense->activation.present() && activation->y != activation->x &&
                can_move(i, j, activation->x) && only_between(i, j, activation->x)) {
                DenseForwardNode merged = *dense;
                merged.y = activation->y;
                merged.activation = {activation->activation, activation->derivative, activation->alpha, activation->beta};
                return merged;
            }
        } else if (const auto* backward = as<ActivationBackwardNode>(j)) {
            const auto* dense = as<DenseBackwardInputNode>(i);
            if (dense && dense->dx == backward->dy && !dense->activation.present() && !dense->sums && !backward->sums &&
                backward->dx != backward->dy && can_move(i, j, backward->dy) && only_between(i, j, backward->dy)) {
                DenseBackwardInputNode merged = *dense;
                merged.dx = backward->dx;
                merged.activation = {backward->activation, backward->kept, backward->alpha, backward->beta};
                return merged;
            }
        } else if (const auto* column_sums = as<hpc_column_sums>(j)) {
            const ValueId x = column_sums->x;
            if (const auto* dense = as<DenseBackwardInputNode>(i); dense && dense->dx == x && !dense->sums &&
                                                                  values_[column_sums->y - 1].columns == values_[dense->w - 1].count &&
                                                                  can_move(i, j, x)) {
                DenseBackwardInputNode merged = *dense;
                merged.sums = column_sums->y;
                return merged;
            }
            if (const auto* active = as<ActivationBackwardNode>(i); active && active->dx == x && !active->sums && can_move(i, j, x)) {
                ActivationBackwardNode merged = *active;
                merged.sums = column_sums->y;
                return merged;
            }
            if (const auto* prelu = as<PReluBackwardNode>(i);
                prelu && prelu->dx == x && !prelu->sums && values_[column_sums->y - 1].columns == values_[x - 1].columns && can_move(i, j, x)) {
                PReluBackwardNode merged = *prelu;
                merged.sums = column_sums->y;
                return merged;
            }
            if (const auto* loss = as<ClassLossNode>(i);
                loss && loss->gradient == x && !loss->sums && values_[column_sums->y - 1].columns == values_[x - 1].columns && can_move(i, j, x)) {
                ClassLossNode merged = *loss;
                merged.sums = column_sums->y;
                return merged;
            }
        } else if (const auto* loss_backward = as<LossNode>(j); loss_backward && loss_backward->gradient) {
            const auto* forward = as<LossNode>(i);
            if (forward && !forward->gradient && forward->loss == loss_backward->loss && forward->reduction == loss_backward->reduction &&
                forward->prediction == loss_backward->prediction && forward->target == loss_backward->target &&
                forward->alpha == loss_backward->alpha && forward->beta == loss_backward->beta &&
                forward->weights == loss_backward->weights && forward->alphas == loss_backward->alphas &&
                same(forward->weight, loss_backward->weight) && can_move(i, j, 0)) {
                LossNode merged = *forward;
                merged.gradient = loss_backward->gradient;
                return merged;
            }
        } else if (const auto* class_backward = as<ClassLossNode>(j); class_backward && class_backward->gradient) {
            const auto* forward = as<ClassLossNode>(i);
            if (forward && !forward->gradient && same(*forward, *class_backward) && can_move(i, j, 0)) {
                ClassLossNode merged = *forward;
                merged.gradient = class_backward->gradient;
                merged.sums = class_backward->sums;
                return merged;
            }
        }
        return std::nullopt;
    }

    static bool same(const hpc_scalar& a, const hpc_scalar& b) {
        return a.slot == b.slot && (a.slot != 0 || a.constant == b.constant);
    }

    // The same loss of the same values.
    static bool same(const ClassLossNode& a, const ClassLossNode& b) {
        return a.loss == b.loss && a.reduction == b.reduction && a.scores == b.scores && a.target == b.target &&
               same(a.weight, b.weight) && a.class_weights == b.class_weights && a.ignores == b.ignores && a.ignored == b.ignored &&
               a.alpha == b.alpha && a.beta == b.beta;
    }

    std::vector<Node> nodes_;
    const std::vector<Value>& values_;
    Extents capacity_;
};

}  // namespace

std::vector<Node> fuse(std::vector<Node> nodes, const std::vector<Value>& values, const Extents& capacity) {
    return Fuser(std::move(nodes), values, capacity).run();
}

}  // namespace hpc
