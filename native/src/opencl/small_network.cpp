// Finding small networks in a plan, and what their kernels are specialised by (see small_network.h).
//
// The nodes of a network stand one behind the other in the plan, so that what comes before and behind keeps its order:
//
//   [gather_rows of the input] [gather_rows of the target]
//   dense_forward ...                    each on the output of the one before
//   [softmax | log_softmax]              or
//   [an elementwise loss | softmax cross-entropy of labels or probabilities]
//   [activation_backward]                of the last layer
//   {dense_backward_weight, column_sums, dense_backward_input} ...   from the last layer down, as far as they are asked for
//   {clip_by_value, add_penalty, add_scaled, scale, update} ...      of these parameters and gradients
//
// Values that lie between these nodes and that nobody else reads never exist outside of local memory.
#include "opencl/small_network.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <set>

#include "opencl/api.h"
#include "opencl/buffer.h"
#include "tables.h"

namespace hpc::opencl {

namespace {

cl_mem memory_of(const Value& value) { return static_cast<const OpenClBuffer&>(*value.buffer).memory(); }

class Finder {
public:
    Finder(const Plan& plan, size_t first, const Limits& limits) : plan_(plan), first_(first), limits_(limits) {}

    // All of it, or else forward alone.
    std::optional<SmallNetwork> find() {
        for (const bool all : {true, false}) {
            net_ = {};
            net_.first = first_;
            inner_.clear();
            if (parse(all) && net_.end - first_ >= 2 && settle()) return net_;
        }
        return std::nullopt;
    }

private:
    const Value& value(ValueId id) const { return plan_.value(id); }
    template <class T>
    const T* at(size_t node) const {
        return node < plan_.nodes.size() ? std::get_if<T>(&plan_.nodes[node].payload) : nullptr;
    }

    static bool same(const hpc_counter& a, const hpc_counter& b) {
        return a.slot == b.slot && (a.slot != 0 || a.constant == b.constant);
    }
    static bool same(const FusedActivation& a, int32_t activation, float alpha, float beta) {
        return a.activation == activation && a.alpha == alpha && a.beta == beta;
    }
    // As many rows in every run.
    static bool same_rows(const Value& a, const Value& b) { return a.lead == b.lead && (a.lead != HPC_LEAD_FIXED || a.count == b.count); }

    // What backward reads of a layer's activation.
    ValueId kept_of(const SmallNetwork::Layer& layer) const {
        switch (activation_info(layer.activation.activation)->keeps) {
            case HPC_KEEPS_OUTPUT:
                return layer.y;
            case HPC_KEEPS_DERIVATIVE:
                return layer.activation.kept;
            default:
                return 0;
        }
    }

    bool parse(bool all) {
        size_t i = first_;
        const hpc_gather_rows* gathers[2] = {};
        size_t gather_count = 0;
        while (gather_count < 2 && at<hpc_gather_rows>(i)) gathers[gather_count++] = at<hpc_gather_rows>(i++);

        for (const DenseForwardNode* n; net_.layers.size() < kNetworkLayers && (n = at<DenseForwardNode>(i)); i++) {
            const Value &x = value(n->x), &w = value(n->w), &y = value(n->y);
            if (net_.layers.empty() ? n->x == n->y : n->x != net_.layers.back().y) break;
            if (w.lead != HPC_LEAD_FIXED || x.columns != w.count || y.columns != w.columns || !same_rows(x, y)) break;
            if (w.count > kNetworkWidth || w.columns > kNetworkWidth) break;
            SmallNetwork::Layer layer;
            layer.w = n->w, layer.b = n->b, layer.y = n->y, layer.activation = n->activation;
            layer.in = w.count, layer.out = w.columns;
            if (net_.layers.empty()) net_.x = n->x;
            net_.layers.push_back(layer);
        }
        if (net_.layers.empty()) return false;
        const ValueId y = net_.layers.back().y;
        net_.end = i;

        if (const auto* n = at<hpc_softmax>(i); n && n->x == y) {
            head(SmallNetwork::Head::Softmax, n->y);
        } else if (const auto* m = at<hpc_log_softmax>(i); m && m->x == y) {
            head(SmallNetwork::Head::LogSoftmax, m->y);
        } else if (all) {
            loss(i, y);
        }
        return gathered(gathers, gather_count);
    }

    void head(SmallNetwork::Head kind, ValueId y) {
        if (net_.layers.back().out > kNetworkClasses) return;
        net_.head = kind;
        net_.head_y = y;
        net_.end++;
    }

    void loss(size_t i, ValueId y) {
        SmallNetwork::Layer& last = net_.layers.back();
        ValueId gradient = 0;
        if (const auto* n = at<LossNode>(i); n && n->prediction == y && value(n->target).columns == last.out) {
            net_.loss = *n;
            net_.target = n->target;
            gradient = n->gradient;
        } else if (const auto* c = at<ClassLossNode>(i); c && c->scores == y && last.out <= kNetworkClasses &&
                                                        c->loss == HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY && !c->mixes()) {
            net_.class_loss = *c;
            net_.target = c->target;
            gradient = c->gradient;
            last.db = c->sums;
        } else {
            return;
        }
        if (!same_rows(value(net_.target), value(y))) {
            net_.loss.reset();
            net_.class_loss.reset();
            net_.target = 0;
            last.db = 0;
            return;
        }
        net_.end = ++i;
        if (!gradient) return;
        net_.backward = true;
        inner_.push_back(gradient);
        if (const auto* n = at<ActivationBackwardNode>(i);
            n && n->dy == gradient && !last.db && same(last.activation, n->activation, n->alpha, n->beta) && n->kept == kept_of(last)) {
            net_.head_derivative = true;
            last.db = n->sums;
            gradient = n->dx;
            inner_.push_back(gradient);
            i++;
        }
        for (size_t layer = net_.layers.size(); layer-- > 0;) {
            SmallNetwork::Layer& own = net_.layers[layer];
            const ValueId x = layer > 0 ? net_.layers[layer - 1].y : net_.x;
            for (;; i++) {
                if (const auto* n = at<hpc_dense_backward_weight>(i);
                    n && n->x == x && n->dy == gradient && !own.dw && value(n->dw).count == own.in && value(n->dw).columns == own.out) {
                    own.dw = n->dw;
                } else if (const auto* s = at<hpc_column_sums>(i); s && s->x == gradient && !own.db && value(s->y).columns == own.out) {
                    own.db = s->y;
                } else {
                    break;
                }
            }
            const auto* n = at<DenseBackwardInputNode>(i);
            if (!n || n->dy != gradient || n->w != own.w) break;
            if (layer == 0) {
                if (n->activation.present() || n->sums) break;
                net_.dx = n->dx;
            } else {
                SmallNetwork::Layer& before = net_.layers[layer - 1];
                if (n->activation.present() != before.activation.present()) break;
                if (n->activation.present() && (!same(before.activation, n->activation.activation, n->activation.alpha, n->activation.beta) ||
                                                n->activation.kept != kept_of(before)))
                    break;
                before.db = n->sums;
                inner_.push_back(n->dx);
            }
            own.hands_on = true;
            gradient = n->dx;
            i++;
        }
        net_.end = i;
    }

    bool gathered(const hpc_gather_rows* const* gathers, size_t count) {
        for (size_t i = 0; i < count; i++) {
            const hpc_gather_rows& n = *gathers[i];
            if (i > 0 && (n.indices != gathers[0]->indices || !same(n.offset, gathers[0]->offset) ||
                          !same_rows(value(n.source), value(gathers[0]->source))))
                return false;
            if (n.destination == net_.x && !net_.gather_x) {
                net_.gather_x = n;
            } else if (n.destination == net_.target && !net_.gather_target) {
                net_.gather_target = n;
            } else {
                return false;
            }
            // An index that is out of range is told with the loss.
            if (!net_.adds_loss()) return false;
            inner_.push_back(n.destination);
        }
        return true;
    }

    // ---- What was found, checked and completed ----

    bool is_outside(ValueId id) const {
        if (value(id).kind != HPC_VALUE_TEMPORARY) return true;
        for (size_t i = 0; i < plan_.nodes.size(); i++) {
            if (i >= net_.first && i < net_.end) continue;
            for (const Operand& operand : operands(plan_.nodes[i].payload))
                if (operand.value == id) return true;
        }
        return false;
    }

    bool settle() {
        for (const ValueId id : inner_)
            if (is_outside(id)) return false;
        std::set<ValueId> made(inner_.begin(), inner_.end());
        if (made.size() != inner_.size()) return false;
        std::vector<ValueId> writes;
        for (size_t i = 0; i < net_.layers.size(); i++) {
            SmallNetwork::Layer& layer = net_.layers[i];
            const bool last = i + 1 == net_.layers.size();
            if (!made.insert(layer.y).second) return false;
            layer.writes_y = is_outside(layer.y) && !(last && net_.head_y == layer.y);
            if (layer.writes_y) writes.push_back(layer.y);
            if (layer.activation.kept) {
                if (!made.insert(layer.activation.kept).second) return false;
                layer.writes_kept = is_outside(layer.activation.kept);
                if (layer.writes_kept) writes.push_back(layer.activation.kept);
            }
        }
        if (net_.head_y) {
            if (net_.head_y != net_.layers.back().y && !made.insert(net_.head_y).second) return false;
            writes.push_back(net_.head_y);
        }
        if (net_.dx) {
            if (!made.insert(net_.dx).second) return false;
            writes.push_back(net_.dx);
        }
        if (!places() || !alone(writes) || !fits()) return false;
        net_.ends_run = net_.end == plan_.nodes.size();
        return true;
    }

    // Places of parameters and of gradients within one buffer each.
    bool places() {
        const Value& parameter = value(net_.layers[0].w);
        uint64_t first = ~uint64_t{0}, end = 0;
        auto take = [&](ValueId id) {
            const Value& v = value(id);
            first = std::min(first, v.offset / 4);
            end = std::max(end, (v.offset + v.bytes(plan_.capacity)) / 4);
            return v.lead == HPC_LEAD_FIXED;
        };
        for (const SmallNetwork::Layer& layer : net_.layers) {
            for (const ValueId id : {layer.w, layer.b})
                if (id && (memory_of(value(id)) != memory_of(parameter) || !take(id))) return false;
        }
        net_.parameters_at = first;
        if (!net_.backward) return true;

        first = ~uint64_t{0}, end = 0;
        uint64_t elements = 0;
        cl_mem memory = nullptr;
        std::vector<std::pair<uint64_t, uint64_t>> pieces;
        for (const SmallNetwork::Layer& layer : net_.layers)
            for (const ValueId id : {layer.dw, layer.db}) {
                if (!id) continue;
                const Value& v = value(id);
                if (!memory) memory = memory_of(v);
                if (memory_of(v) != memory || !take(id)) return false;
                elements += v.elements(plan_.capacity);
                pieces.emplace_back(v.offset / 4, v.elements(plan_.capacity));
            }
        if (elements == 0) return true;
        std::sort(pieces.begin(), pieces.end());
        for (size_t i = 1; i < pieces.size(); i++)
            if (pieces[i].first < pieces[i - 1].first + pieces[i - 1].second) return false;
        // Gaps belong to somebody else.
        if (end - first != elements) return false;
        net_.gradients_at = first;
        net_.gradients_span = elements;
        links(memory);
        return true;
    }

    // What follows elementwise on the network's own parameters and gradients, each gradient beside its parameter.
    void links(cl_mem gradients) {
        const cl_mem parameters = memory_of(value(net_.layers[0].w));
        const SmallNetwork::Layer* any = nullptr;
        for (const SmallNetwork::Layer& layer : net_.layers)
            if (layer.dw) any = &layer;
        if (!any) return;
        // Modulo 2^64, as long as both are bound to stay within their buffers.
        const uint64_t apart = value(any->w).offset / 4 - value(any->dw).offset / 4;
        for (const SmallNetwork::Layer& layer : net_.layers) {
            const ValueId pairs[][2] = {{layer.dw, layer.w}, {layer.db, layer.b}};
            for (const auto& pair : pairs)
                if (pair[0] && (!pair[1] || value(pair[1]).offset / 4 - value(pair[0]).offset / 4 != apart)) return;
        }
        net_.learned_at = net_.gradients_at + apart;

        // The piece of a value among the gradients; false where it is not a piece of them.
        auto piece = [&](ValueId id, cl_mem memory, uint64_t base, SmallNetwork::Link& link) {
            const Value& v = value(id);
            if (v.lead != HPC_LEAD_FIXED || memory_of(v) != memory || v.offset / 4 < base) return false;
            link.first = v.offset / 4 - base;
            link.end = link.first + v.elements(plan_.capacity);
            return link.end <= net_.gradients_span;
        };
        auto both = [&](ValueId parameter, ValueId gradient, SmallNetwork::Link& link) {
            SmallNetwork::Link other{};
            return piece(parameter, parameters, net_.learned_at, link) && piece(gradient, gradients, net_.gradients_at, other) &&
                   link.first == other.first && link.end == other.end;
        };
        using Link = SmallNetwork::Link;
        for (; net_.links.size() < kNetworkLinks; net_.end++) {
            Link link{};
            const size_t i = net_.end;
            if (const auto* n = at<hpc_clip_by_value>(i); n && piece(n->x, gradients, net_.gradients_at, link)) {
                link.kind = Link::ClipByValue;
                if (!take({n->limit}, link)) return;
            } else if (const auto* p = at<hpc_add_penalty>(i); p && both(p->x, p->y, link)) {
                link.kind = Link::AddPenalty;
                if (!take({p->l1, p->l2}, link)) return;
            } else if (const auto* a = at<hpc_add_scaled>(i); a && both(a->x, a->y, link)) {
                link.kind = Link::AddScaled;
                if (!take({a->factor}, link)) return;
            } else if (const auto* s = at<hpc_scale>(i); s && piece(s->x, parameters, net_.learned_at, link)) {
                link.kind = Link::Scale;
                if (!take({s->factor}, link)) return;
            } else if (const auto* u = at<hpc_update>(i); u && both(u->parameters, u->gradients, link) && take(*u, link)) {
                link.kind = Link::Update;
            } else {
                return;
            }
            net_.links.push_back(link);
        }
    }

    static bool same(const hpc_scalar& a, const hpc_scalar& b) {
        return a.slot == b.slot && (a.slot != 0 || a.constant == b.constant);
    }

    // Neighbouring numbers, or those that are there already.
    bool take(std::initializer_list<hpc_scalar> numbers, SmallNetwork::Link& link) {
        for (size_t i = 0; i + numbers.size() <= net_.numbers.size(); i++)
            if (std::equal(numbers.begin(), numbers.end(), net_.numbers.begin() + static_cast<ptrdiff_t>(i),
                           [](const hpc_scalar& a, const hpc_scalar& b) { return same(a, b); })) {
                link.index = static_cast<uint32_t>(i);
                return true;
            }
        link.index = static_cast<uint32_t>(net_.numbers.size());
        if (net_.numbers.size() + numbers.size() > kNetworkNumbers) return false;
        net_.numbers.insert(net_.numbers.end(), numbers.begin(), numbers.end());
        return true;
    }

    // The states of all updates lie in one buffer each, beside the parameters as those lie.
    bool take(const hpc_update& n, SmallNetwork::Link& link) {
        if (n.drop_rate.slot != 0 || n.drop_rate.constant != 0) return false;
        const hpc_rule_info* info = rule_info(n.rule);
        auto place = [&](const hpc_update& of, int state) { return value(of.states[state]).offset / 4 - value(of.parameters).offset / 4; };
        for (int i = 0; i < info->state_count; i++) {
            const Value& state = value(n.states[i]);
            if (state.lead != HPC_LEAD_FIXED || state.elements(plan_.capacity) != link.end - link.first) return false;
        }
        if (!net_.rules.empty()) {
            const hpc_update& first = net_.rules[0];
            if (first.rule != n.rule) return false;
            for (int i = 0; i < info->state_count; i++)
                if (memory_of(value(first.states[i])) != memory_of(value(n.states[i])) || place(first, i) != place(n, i)) return false;
        }
        for (size_t i = 0; i < net_.rules.size(); i++) {
            const hpc_update& other = net_.rules[i];
            bool equal = same(other.step, n.step);
            for (int k = 0; k < info->hyperparameter_count; k++) equal = equal && same(other.hyperparameters[k], n.hyperparameters[k]);
            link.index = static_cast<uint32_t>(i);
            if (equal) return true;
        }
        if (net_.rules.size() == kNetworkRules) return false;
        link.index = static_cast<uint32_t>(net_.rules.size());
        net_.rules.push_back(n);
        return true;
    }

    // Whether nothing that is written lies over anything else: work-groups read and write in no certain order. Temporaries that do not live
    // at the same time share memory.
    bool alone(const std::vector<ValueId>& writes) const {
        std::vector<ValueId> others;
        auto add = [&](ValueId id) {
            if (id) others.push_back(id);
        };
        add(net_.gather_x ? net_.gather_x->source : net_.x);
        add(net_.gather_target ? net_.gather_target->source : net_.target);
        if (net_.gather_x) add(net_.gather_x->indices);
        if (net_.gather_target) add(net_.gather_target->indices);
        if (net_.loss) add(net_.loss->weights), add(net_.loss->alphas);
        for (const SmallNetwork::Layer& layer : net_.layers) add(layer.w), add(layer.b);
        std::vector<ValueId> written = writes;
        for (const SmallNetwork::Layer& layer : net_.layers)
            for (const ValueId id : {layer.dw, layer.db})
                if (id) written.push_back(id);
        for (size_t i = 0; i < written.size(); i++) {
            for (size_t j = 0; j < i; j++)
                if (overlaps(written[i], written[j])) return false;
            for (const ValueId id : others)
                if (overlaps(written[i], id)) return false;
        }
        return true;
    }

    bool overlaps(ValueId a, ValueId b) const {
        const Value &x = value(a), &y = value(b);
        return memory_of(x) == memory_of(y) && x.offset < y.offset + y.bytes(plan_.capacity) && y.offset < x.offset + x.bytes(plan_.capacity);
    }

    bool fits();

    const Plan& plan_;
    size_t first_;
    const Limits& limits_;
    SmallNetwork net_;
    std::vector<ValueId> inner_;  // exist between the network's nodes only
};

// ---- Local memory ----------------------------------------------------------------------------------------------------

// In floats. A column's rows lie one behind the other, 4 more than there are so that columns begin at different banks; a weight's
// rows are of odd length, for the same reason.
struct LocalPlaces {
    std::vector<uint64_t> values;   // HPC_VALUES_AT: the input of each layer, then the last output
    std::vector<uint64_t> kept;     // HPC_KEPT_AT: derivatives
    std::vector<uint64_t> weights;  // HPC_WEIGHT_AT
    std::vector<uint64_t> biases;   // HPC_BIAS_AT
    uint64_t rows_at = 0;           // HPC_ROWS_AT: numbers of gathered rows
    uint64_t floats = 0;
};

bool keeps_derivative(const SmallNetwork& net, const SmallNetwork::Layer& layer) {
    return net.backward && layer.activation.present() && activation_info(layer.activation.activation)->keeps == HPC_KEEPS_DERIVATIVE;
}

LocalPlaces local_places(const SmallNetwork& net) {
    LocalPlaces places;
    const uint64_t stride = net.block_rows + 4;
    uint64_t at = 0;
    auto take = [&](uint64_t floats) {
        const uint64_t place = at;
        at += floats;
        return place;
    };
    if (net.backward) {
        places.values.push_back(take(net.layers[0].in * stride));
        for (const SmallNetwork::Layer& layer : net.layers) places.values.push_back(take(layer.out * stride));
    } else {
        // Each layer reads one of two places and writes the other.
        uint64_t widest[2] = {net.layers[0].in, 0};
        for (size_t i = 0; i < net.layers.size(); i++) widest[(i + 1) % 2] = std::max(widest[(i + 1) % 2], net.layers[i].out);
        const uint64_t two[2] = {take(widest[0] * stride), take(widest[1] * stride)};
        for (size_t i = 0; i <= net.layers.size(); i++) places.values.push_back(two[i % 2]);
    }
    for (const SmallNetwork::Layer& layer : net.layers) places.kept.push_back(keeps_derivative(net, layer) ? take(layer.out * stride) : 0);
    for (const SmallNetwork::Layer& layer : net.layers) places.weights.push_back(take(layer.in * (layer.out | 1)));
    for (const SmallNetwork::Layer& layer : net.layers) places.biases.push_back(layer.b ? take(layer.out) : 0);
    places.rows_at = net.gather_x || net.gather_target ? take(net.block_rows) : 0;
    // The loss of each work-item uses the same memory afterwards.
    places.floats = std::max(at, net.items * 6);
    return places;
}

bool Finder::fits() {
    const NetworkTunables& data = network_tunables(limits_);
    const uint64_t local = std::min(data.local_bytes, limits_.all_local_bytes);
    const uint64_t rows = value(net_.layers[0].y).rows(plan_.capacity);
    net_.items = std::min(data.items, limits_.group);
    net_.serial_blocks = data.serial_blocks;
    net_.unrolls = data.unrolls;
    net_.at_once = data.at_once;
    net_.groups_most = data.groups_per_unit * limits_.compute_units;
    uint64_t block = data.block_rows;
    // A batch of one block is one launch; more of them are spread over the device.
    while (block > 4 && block / 2 >= rows) block /= 2;
    if (blocks_of(rows, block) > 1)
        while (block > data.least_rows && blocks_of(rows, block) < limits_.compute_units) block /= 2;
    for (; block >= 4; block /= 2) {
        net_.block_rows = block;
        if (local_places(net_).floats * 4 <= local) return true;
    }
    return false;
}

std::string numbered(const char* name, size_t i) {
    std::string text = name;
    text += '_';
    text += std::to_string(i);
    return text;
}

// A float by its bits.
std::string bits(float x) {
    uint32_t word;
    std::memcpy(&word, &x, sizeof word);
    return std::to_string(word) + "u";
}

}  // namespace

bool SmallNetwork::writes() const {
    return std::any_of(layers.begin(), layers.end(), [](const Layer& layer) { return layer.writes_y || layer.writes_kept; });
}

std::optional<SmallNetwork> find_small_network(const Plan& plan, size_t first, const Limits& limits) {
    if (plan.flags & (HPC_PROGRAM_PLAIN | HPC_PROGRAM_NO_SMALL_NETWORKS)) return std::nullopt;
    // Each network is a kernel of its own, which a processor's compiler takes seconds for and which spares it little.
    if (limits.processor && !(plan.flags & HPC_PROGRAM_SMALL_NETWORKS)) return std::nullopt;
    return Finder(plan, first, limits).find();
}

std::string network_options(const SmallNetwork& net, const Plan& plan, bool whole) {
    const LocalPlaces places = local_places(net);
    std::string options;
    auto number = [&](const std::string& name, uint64_t value) { options.append(define(name.c_str(), value)); };
    auto text = [&](const std::string& name, const std::string& value) { options.append(" -D").append(name).append("=").append(value); };
    auto at = [&](ValueId id, uint64_t base) { return id ? plan.value(id).offset / 4 - base : 0; };

    number("HPC_ITEMS", net.items);
    number("HPC_ROWS", net.block_rows);
    number("HPC_UNROLLS", net.unrolls);
    number("HPC_AT_ONCE", net.at_once);
    number("HPC_LAYERS", net.layers.size());
    number("HPC_LOCAL_FLOATS", places.floats);
    number("HPC_ROWS_AT", places.rows_at);
    number("HPC_GATHERS_X", net.gather_x.has_value());
    number("HPC_GATHERS_TARGET", net.gather_target.has_value());
    number("HPC_TOP", static_cast<uint64_t>(net.head));
    number("HPC_BACKWARD", net.backward);
    number("HPC_HEAD_DERIVATIVE", net.head_derivative);
    number("HPC_INPUT_GRADIENT", net.dx != 0);
    number("HPC_WRITES", net.writes());
    number("HPC_ALONE", whole && net.combines());
    number("HPC_ENDS_RUN", net.ends_run);
    number("HPC_SPAN", net.gradients_span);
    number("HPC_PART", net.part());
    number("HPC_ADDS_LOSS", net.adds_loss());
    for (size_t i = 0; i < net.layers.size(); i++) {
        const SmallNetwork::Layer& layer = net.layers[i];
        const int32_t activation = layer.activation.present() ? layer.activation.activation : static_cast<int32_t>(HPC_ACTIVATION_LINEAR);
        const hpc_activation_info* info = activation_info(activation);
        number(numbered("HPC_IN", i), layer.in);
        number(numbered("HPC_OUT", i), layer.out);
        number(numbered("HPC_VALUES_AT", i), places.values[i]);
        number(numbered("HPC_OUTPUT_AT", i), places.values[i + 1]);
        number(numbered("HPC_KEPT_AT", i), places.kept[i]);
        number(numbered("HPC_WEIGHT_AT", i), places.weights[i]);
        number(numbered("HPC_BIAS_AT", i), places.biases[i]);
        number(numbered("HPC_BIAS", i), layer.b != 0);
        number(numbered("HPC_W_AT", i), at(layer.w, net.parameters_at));
        number(numbered("HPC_B_AT", i), at(layer.b, net.parameters_at));
        number(numbered("HPC_DW", i), layer.dw != 0);
        number(numbered("HPC_DB", i), layer.db != 0);
        number(numbered("HPC_DW_AT", i), at(layer.dw, net.gradients_at));
        number(numbered("HPC_DB_AT", i), at(layer.db, net.gradients_at));
        number(numbered("HPC_DW_TASKS", i), layer.dw ? blocks_of(blocks_of(layer.in, 4) * layer.out, net.items) : 0);
        number(numbered("HPC_DB_TASKS", i), layer.db ? blocks_of(layer.out, net.items) : 0);
        number(numbered("HPC_HANDS_ON", i), layer.hands_on);
        number(numbered("HPC_WRITES_Y", i), layer.writes_y);
        number(numbered("HPC_WRITES_KEPT", i), layer.writes_kept);
        number(numbered("HPC_KEEPS", i), static_cast<uint64_t>(info->keeps));
        number(numbered("HPC_KEEPS_DERIVATIVE", i), keeps_derivative(net, layer));
        text(numbered("HPC_VALUE", i), std::string(info->name) + "_value");
        text(numbered("HPC_DERIVATIVE", i), std::string(info->name) + "_derivative");
        text(numbered("HPC_ALPHA", i), bits(layer.activation.alpha));
        text(numbered("HPC_BETA", i), bits(layer.activation.beta));
    }
    const uint64_t last = net.layers.size() - 1;
    number("HPC_OUTPUTS", net.layers[last].out);
    number("HPC_LAST", last);
    number("HPC_LAST_AT", places.values[last + 1]);
    number("HPC_LAST_KEPT_AT", places.kept[last]);
    number("HPC_LAST_KEEPS_DERIVATIVE", keeps_derivative(net, net.layers[last]));
    // 1: elementwise; 2: softmax cross-entropy
    number("HPC_LOSS", net.loss ? 1 : net.class_loss ? 2 : 0);
    number("HPC_LABELS", net.class_loss && plan.value(net.target).dtype == HPC_INT32);
    if (net.loss) {
        options += formula("HPC_LOSS", loss_info(net.loss->loss)->name);
        number("HPC_WEIGHTS", net.loss->weights != 0);
        number("HPC_ALPHAS", net.loss->alphas != 0);
        text("HPC_LOSS_ALPHA", bits(net.loss->alpha));
        text("HPC_LOSS_BETA", bits(net.loss->beta));
    }
    number("HPC_LINKS", net.links.size());
    number("HPC_UPDATES", !net.rules.empty());
    if (!net.rules.empty()) {
        // The states are there between the first and the last of what is updated.
        uint64_t first = ~uint64_t{0}, end = 0;
        for (const SmallNetwork::Link& link : net.links) {
            if (link.kind != SmallNetwork::Link::Update) continue;
            first = std::min(first, link.first);
            end = std::max(end, link.end);
        }
        number("HPC_STATES_FIRST", first);
        number("HPC_STATES_END", end);
        const hpc_rule_info* info = rule_info(net.rules[0].rule);
        text("HPC_RULE_UPDATE", std::string(info->name) + "_update");
        number("HPC_STATES", static_cast<uint64_t>(info->state_count));
    }
    return options;
}

std::vector<uint32_t> network_links(const SmallNetwork& net) {
    std::vector<uint32_t> words;
    for (const SmallNetwork::Link& link : net.links)
        for (const uint64_t word : {uint64_t{link.kind}, link.first, link.end, uint64_t{link.index}}) words.push_back(static_cast<uint32_t>(word));
    return words;
}

std::string describe_network(const SmallNetwork& net, uint64_t rows) {
    const uint64_t groups = net.groups(rows);
    std::string text = "small network of ";
    text.append(std::to_string(net.layers.size())).append(net.layers.size() == 1 ? " layer" : " layers").append(": instructions ");
    text.append(std::to_string(net.first + 1)).append(" to ").append(std::to_string(net.end));
    text.append(groups > 1 && net.combines() ? " in 2 launches, " : " in 1 launch, ");
    text.append(std::to_string(groups)).append(groups == 1 ? " group, " : " groups, ");
    text.append(std::to_string(net.blocks(rows))).append(net.blocks(rows) == 1 ? " block of " : " blocks of ");
    text.append(std::to_string(net.block_rows)).append(" rows");
    return text;
}

}  // namespace hpc::opencl
