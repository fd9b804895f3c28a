// Executes a plan on an OpenCL device: each node is lowered once to steps, each step is one kernel launch.
//
// A run has two halves. First every step chooses its kernel for these extents and sets its arguments, slots by value;
// nothing has reached the queue by then, so that whatever fails here leaves everything as it was. Then the whole list is
// enqueued, under the queue's lock, and flushed; nothing waits. The kernels are described in kernels.h.
//
// Large inputs come in on a queue of their own while the run before is under way: each has two places that take turns (Inlet).
// A run begins after the last upload, an upload after the last run that read its place; the host waits for neither.
//
// To add an instruction: an overload of Lowering::operator() here, and its scratch in scratch_for.
#include <cstring>
#include <deque>
#include <functional>
#include <unordered_map>
#include <utility>

#include "opencl/device.h"
#include "opencl/small_network.h"
#include "tables.h"

namespace hpc::opencl {

namespace {

// ---- Tunables (data) -------------------------------------------------------------------------------------------------

// Inputs of a program that have fewer bytes together are written in order with the runs: they take less time on a bus than two
// queues take to meet.
constexpr uint64_t kUploadsLeast = 64u << 10;

// ---- Steps -----------------------------------------------------------------------------------------------------------

// An input that is written beside the runs: two places that take turns.
struct Inlet {
    const Value* value;
    OpenClBuffer second;
    bool turned = false;                            // the second is the one that runs read now
    bool used = false;                              // by a run since it was written last
    std::shared_ptr<const Ref<cl_event>> read[2] = {};  // the end of the last run that read each place; null: nobody does

    Inlet(const std::shared_ptr<OpenClDevice>& device, const Value& at, uint64_t bytes) : value(&at), second(device, bytes) {}

    OpenClBuffer& buffer(bool at) { return at ? second : static_cast<OpenClBuffer&>(*value->buffer); }
    uint64_t offset(bool at) const { return at ? 0 : value->offset; }
};

// Memory of a device from one element (4 bytes) on. Where it is an input's, it is the first of the inlet's places: `now` finds
// the one of this run.
struct Place {
    cl_mem memory = nullptr;
    cl_ulong element = 0;
    Inlet* inlet = nullptr;

    Place now() const {
        if (!inlet || !inlet->turned) return *this;
        return {inlet->second.memory(), element - inlet->value->offset / 4};
    }
};

// One launch. It has a kernel object for every specialisation that it has met, and remembers their arguments: an
// argument that is what it was is not set again.
class Step {
public:
    Step(OpenClDevice& device, cl_mem metrics, bool guarded) : device_(device), metrics_(metrics), guarded_(guarded) {}

    // Whether the extents changed since the step was last prepared to the end.
    bool replan = true;

    // Opens the arguments of the step. `choose` makes the Kernel; it is asked only when the extents have changed.
    template <class Choose>
    void use(const Launch& launch, const Choose& choose) {
        geometry_ = {};
        if (launch.groups == 0) return;
        geometry_.dimensions = 1;
        geometry_.global[0] = launch.global();
        geometry_.local[0] = launch.local;
        if (replan || !chosen_) {
            const Kernel kernel = choose();
            const std::string id = std::string(kernel.source->name) + kernel.name + kernel.options;
            auto found = variants_.find(id);
            if (found == variants_.end())
                found = variants_.emplace(id, Variant{device_.kernel(kernel, launch.local), {}}).first;
            chosen_ = &found->second;
        }
        next_ = 0;
        value(metrics_);
        value(cl_uint{guarded_});
    }
    void operand(const Place& place) {
        const Place now = place.now();
        value(now.memory ? now.memory : metrics_);
        value(now.element);
    }
    template <class T>
    void value(const T& argument) {
        static_assert(sizeof(T) <= sizeof Argument::bytes && std::is_trivially_copyable_v<T>);
        if (!launches()) return;
        if (chosen_->arguments.size() <= next_) chosen_->arguments.resize(next_ + 1);
        Argument& last = chosen_->arguments[next_];
        if (last.size != sizeof(T) || std::memcmp(last.bytes, &argument, sizeof(T)) != 0) {
            HPC_CL(device_.api(), clSetKernelArg, chosen_->kernel.get(), static_cast<cl_uint>(next_), sizeof(T),
                   static_cast<const void*>(&argument));
            last.size = sizeof(T);
            std::memcpy(last.bytes, &argument, sizeof(T));
        }
        next_++;
    }
    void skip() { geometry_ = {}; }
    // Instead of a launch: the caller's own code. False: it failed.
    std::function<bool(const Extents&)> call;

    // Whether what the network has learned is changed by this launch; asked for before `use`.
    void guard(bool guarded) { guarded_ = guarded; }

    bool launches() const { return geometry_.dimensions != 0; }
    bool guarded() const { return guarded_; }
    cl_kernel kernel() const { return chosen_->kernel.get(); }
    const Geometry& geometry() const { return geometry_; }

    std::function<void(const Run&, Step&)> prepare;

private:
    struct Argument {
        size_t size = 0;
        unsigned char bytes[32];
    };
    struct Variant {
        Ref<cl_kernel> kernel;
        std::vector<Argument> arguments;
    };

    OpenClDevice& device_;
    cl_mem metrics_;
    bool guarded_;
    std::unordered_map<std::string, Variant> variants_;
    Variant* chosen_ = nullptr;
    Geometry geometry_;
    size_t next_ = 0;
};

// Vector arguments as OpenCL C takes them.
struct Float8 {
    cl_float at[8];
};
struct Float4 {
    cl_float at[4];
};

// ---- Scratch -----------------------------------------------------------------------------------------------------

// Scratch of one node, in bytes at capacity. What lies in it is told in kernels.h, by each kernel.
uint64_t scratch_for(const Payload& payload, const std::vector<Value>& values, const Extents& capacity, const Limits& limits,
                     const TensorCores& cores) {
    auto value = [&](ValueId id) -> const Value& { return values[id - 1]; };
    auto rows = [&](ValueId id) { return value(id).rows(capacity); };
    auto columns = [&](ValueId id) { return value(id).columns; };
    // Rows of a matrix of so many columns in the memory of a value: a row may hold several (dense_forward in hpcnet.h).
    auto lines = [&](ValueId id, uint64_t width) { return value(id).elements(capacity) / width; };
    const auto mma = [&](Form form, uint64_t m, uint64_t n, uint64_t k, bool sums) { return mma_scratch(form, m, n, k, sums, limits, cores); };
    if (const auto* n = std::get_if<DenseForwardNode>(&payload); n && mma_serves(Form::NN, lines(n->y, columns(n->w)), cores))
        return mma(Form::NN, lines(n->y, columns(n->w)), columns(n->w), rows(n->w), false);
    if (const auto* n = std::get_if<DenseBackwardInputNode>(&payload); n && mma_serves(Form::NT, lines(n->dx, rows(n->w)), cores))
        return mma(Form::NT, lines(n->dx, rows(n->w)), rows(n->w), columns(n->w), n->sums != 0);
    if (const auto* n = std::get_if<hpc_dense_backward_weight>(&payload); n && mma_serves(Form::TN, rows(n->dw), cores))
        return mma(Form::TN, rows(n->dw), columns(n->dw), lines(n->x, rows(n->dw)), false);
    if (const auto* n = std::get_if<DenseForwardNode>(&payload))
        return gemm_scratch(Form::NN, lines(n->y, columns(n->w)), columns(n->w), rows(n->w), false, limits).bytes;
    if (const auto* n = std::get_if<DenseBackwardInputNode>(&payload))
        return gemm_scratch(Form::NT, lines(n->dx, rows(n->w)), rows(n->w), columns(n->w), n->sums != 0, limits).bytes;
    if (const auto* n = std::get_if<hpc_dense_backward_weight>(&payload))
        return gemm_scratch(Form::TN, rows(n->dw), columns(n->dw), lines(n->x, rows(n->dw)), false, limits).bytes;
    if (const auto* n = std::get_if<hpc_column_sums>(&payload)) return columns_scratch(lines(n->x, columns(n->y)), columns(n->y), limits);
    if (const auto* n = std::get_if<ActivationBackwardNode>(&payload))
        return n->sums ? columns_scratch(lines(n->dx, columns(n->sums)), columns(n->sums), limits) : 0;
    if (const auto* n = std::get_if<PReluBackwardNode>(&payload))
        return prelu_scratch(rows(n->x), columns(n->x), n->dslope != 0, n->sums != 0, limits);
    if (const auto* n = std::get_if<LossNode>(&payload)) return loss_scratch(value(n->prediction).elements(capacity), limits);
    if (const auto* n = std::get_if<ClassLossNode>(&payload))
        return kShareBytes + cross_entropy_scratch(rows(n->scores), columns(n->scores), n->sums != 0, limits);
    if (const auto* n = std::get_if<hpc_norm>(&payload)) return norm_scratch(value(n->x).elements(capacity), limits);
    if (const auto* n = std::get_if<hpc_recurrent_forward>(&payload)) return recurrent_scratch(rows(n->gates), rows(n->w));
    if (const auto* n = std::get_if<hpc_recurrent_backward>(&payload)) return recurrent_scratch(rows(n->gates), rows(n->w));
    if (const auto* n = std::get_if<hpc_batch_norm_forward>(&payload)) {
        const uint64_t channels = columns(n->statistics);
        return n->running_mean ? 0 : channels_scratch(rows(n->x), channels, columns(n->x) / channels, limits);
    }
    if (const auto* n = std::get_if<hpc_batch_norm_backward>(&payload)) {
        // The partial sums, then the two means of every channel.
        const uint64_t channels = columns(n->statistics);
        return channels_scratch(rows(n->x), channels, columns(n->x) / channels, limits) + 2 * channels * 4;
    }
    if (const auto* n = std::get_if<hpc_layer_norm_backward>(&payload))
        return n->dweight || n->dbias ? channels_scratch(rows(n->x) * (columns(n->x) / n->size), n->size, 1, limits) : 0;
    return 0;
}

// ---- Lowering ----------------------------------------------------------------------------------------------------

using Prepare = std::function<void(const Run&, Step&)>;

class Lowering {
public:
    Lowering(const OpenClDevice& device, const Plan& plan, std::deque<Inlet>& inlets)
        : limits_(device.limits()), cores_(device.tensor_cores()), plan_(plan), inlets_(inlets) {}

    // The steps of one node.
    std::vector<Prepare> lower(size_t index, std::string& picked) {
        node_ = index;
        picked_.clear();
        std::vector<Prepare> steps = std::visit(*this, plan_.nodes[index].payload);
        picked = picked_;
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_gather_rows& n) {
        const Value& source = value(n.source);
        const Value& indices = value(n.indices);
        const Value& destination = value(n.destination);
        return {[=, &indices, &destination, limits = limits_, n = n, from = place(n.source), index = place(n.indices),
                 to = place(n.destination), source_rows = cl_ulong{source.rows(plan_.capacity)}](const Run& run, Step& step) {
            const cl_ulong rows = destination.rows(run.extents), columns = destination.columns;
            step.use(gather_launch(rows, columns, limits), [] { return gather_kernel(); });
            step.operand(from);
            step.operand(index);
            step.operand(to);
            step.value(source_rows);
            step.value(cl_ulong{indices.rows(run.extents)});
            step.value(cl_ulong{run.counter(n.offset)});
            step.value(rows);
            step.value(columns);
            step.value(static_cast<cl_uint>(row_lanes(columns, limits)));
        }};
    }

    std::vector<Prepare> operator()(const DenseForwardNode& n) {
        Epilogue epilogue;
        epilogue.kind = n.b || n.activation.present() ? Epilogue::Forward : Epilogue::None;
        if (n.activation.present()) epilogue.activation = n.activation.activation;
        epilogue.bias = n.b != 0;
        epilogue.kept = n.activation.kept != 0;
        Product p = with_rows(Form::NN, value(n.y), value(n.w).columns, value(n.w).count, n.activation, epilogue);
        p.a = place(n.x);
        p.b = place(n.w);
        p.c = place(n.y);
        p.bias = place(n.b);
        return product(p);
    }

    std::vector<Prepare> operator()(const DenseBackwardInputNode& n) {
        Epilogue epilogue;
        epilogue.kind = n.sums || n.activation.present() ? Epilogue::Backward : Epilogue::None;
        if (n.activation.present()) epilogue.activation = n.activation.activation;
        epilogue.kept = n.activation.kept != 0;
        epilogue.sums = n.sums != 0;
        Product p = with_rows(Form::NT, value(n.dx), value(n.w).count, value(n.w).columns, n.activation, epilogue);
        p.a = place(n.dy);
        p.b = place(n.w);
        p.c = place(n.dx);
        p.sums = place(n.sums);
        return product(p);
    }

    std::vector<Prepare> operator()(const hpc_dense_backward_weight& n) {
        // dW[in x out] = X[r x in]^T dY[r x out]: the rows are the depth.
        const Value& x = value(n.x);
        const cl_ulong m = value(n.dw).count;
        Product p;
        p.form = Form::TN;
        p.n = value(n.dw).columns;
        p.extents = [&x, m](const Extents& extents) { return std::pair<cl_ulong, cl_ulong>(m, x.elements(extents) / m); };
        p.a = place(n.x);
        p.b = place(n.dy);
        p.c = place(n.dw);
        return product(p);
    }

    std::vector<Prepare> operator()(const hpc_column_sums& n) {
        const Value& x = value(n.x);
        const Place from = place(n.x), to = place(n.y), parts = scratch();
        const cl_ulong width = value(n.y).columns;
        return {[=, &x, limits = limits_](const Run& run, Step& step) {
                    const cl_ulong rows = x.elements(run.extents) / width;
                    const ColumnPlan plan = plan_columns(rows, width, limits);
                    step.use(columns_launch(plan, limits), [] { return column_sums_kernel(); });
                    step.operand(from);
                    step.operand(plan.parts > 1 ? parts : to);
                    columns(step, rows, width, plan);
                },
                [=, &x, limits = limits_](const Run& run, Step& step) {
                    combine(step, plan_columns(x.elements(run.extents) / width, width, limits).parts, width, parts, to, limits);
                }};
    }

    std::vector<Prepare> operator()(const hpc_activation_forward& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), to = place(n.y), derivative = place(n.derivative)](const Run& run,
                                                                                                                       Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [&] { return activation_forward_kernel(n.activation, n.derivative != 0); });
            step.operand(from);
            step.operand(to);
            step.operand(derivative);
            step.value(count);
            step.value(n.alpha);
            step.value(n.beta);
        }};
    }

    std::vector<Prepare> operator()(const ActivationBackwardNode& n) {
        const Value& dx = value(n.dx);
        const Place kept = place(n.kept), from = place(n.dy), to = place(n.dx);
        if (!n.sums) {
            return {[=, &dx, limits = limits_, n = n](const Run& run, Step& step) {
                const cl_ulong count = dx.elements(run.extents);
                step.use(flat_launch(count, limits), [&] { return activation_backward_kernel(n.activation, n.kept != 0); });
                step.operand(kept);
                step.operand(from);
                step.operand(to);
                step.value(count);
                step.value(n.alpha);
                step.value(n.beta);
            }};
        }
        const Place sums = place(n.sums), parts = scratch();
        const cl_ulong width = value(n.sums).columns;
        return {[=, &dx, limits = limits_, n = n](const Run& run, Step& step) {
                    const cl_ulong rows = dx.elements(run.extents) / width;
                    const ColumnPlan plan = plan_columns(rows, width, limits);
                    step.use(columns_launch(plan, limits), [&] { return activation_backward_sums_kernel(n.activation, n.kept != 0); });
                    step.operand(kept);
                    step.operand(from);
                    step.operand(to);
                    step.operand(plan.parts > 1 ? parts : sums);
                    columns(step, rows, width, plan);
                    step.value(n.alpha);
                    step.value(n.beta);
                },
                [=, &dx, limits = limits_](const Run& run, Step& step) {
                    combine(step, plan_columns(dx.elements(run.extents) / width, width, limits).parts, width, parts, sums, limits);
                }};
    }

    std::vector<Prepare> operator()(const LossNode& n) {
        const Value& prediction = value(n.prediction);
        const Place p = place(n.prediction), t = place(n.target), gradient = place(n.gradient), partials = scratch(),
                    weights = place(n.weights), alphas = place(n.alphas);
        const uint64_t averaged = n.reduction == HPC_REDUCTION_MEAN ? prediction.columns : 1;
        std::vector<Prepare> steps;
        steps.push_back([=, &prediction, limits = limits_, n = n](const Run& run, Step& step) {
            const cl_ulong count = prediction.elements(run.extents);
            step.use(loss_launch(count, limits), [&] {
                return loss_kernel(n.loss, n.adds_loss, n.gradient != 0, n.weights != 0, n.alphas != 0);
            });
            step.operand(p);
            step.operand(t);
            step.operand(gradient);
            step.operand(partials);
            step.value(count);
            step.value(cl_float{loss_scale(n.reduction, run.scalar(n.weight), prediction.rows(run.extents) * averaged)});
            step.value(n.alpha);
            step.value(n.beta);
            if (!n.weights && !n.alphas) return;
            step.operand(weights);
            step.operand(alphas);
            step.value(cl_ulong{prediction.columns});
        });
        if (n.adds_loss)
            steps.push_back([=, &prediction, limits = limits_, n = n](const Run& run, Step& step) {
                const uint64_t parts = loss_launch(prediction.elements(run.extents), limits).groups;
                combine_losses(step, partials, parts, prediction.rows(run.extents), averaged, run.scalar(n.weight), false, false, limits);
            });
        return steps;
    }

    std::vector<Prepare> operator()(const ClassLossNode& n) {
        const Value& scores = value(n.scores);
        const bool labels = value(n.target).dtype == HPC_INT32;
        const cl_ulong classes = scores.columns;
        const Place x = place(n.scores), target = place(n.target), gradient = place(n.gradient), sums = place(n.sums),
                    class_weights = place(n.class_weights), share = scratch();
        Place partials = share;
        partials.element += kShareBytes / 4;
        Place parts = partials;
        parts.element += cross_entropy_sums_offset(scores.rows(plan_.capacity), classes, limits_) / 4;
        CrossEntropy what{labels, n.adds_loss, n.gradient != 0, n.sums != 0};
        what.loss = n.loss;
        what.mixed = n.mixes() || n.loss == HPC_CLASS_LOSS_MULTI_MARGIN;
        what.class_weights = n.class_weights != 0;
        what.ignores = n.ignores && labels;
        what.weighs = n.weighs(labels);
        std::vector<Prepare> steps;
        if (what.weighs)
            steps.push_back([=, &scores, limits = limits_, n = n](const Run& run, Step& step) {
                step.use(one_group(limits), [&] { return label_weights_kernel(classes, what, limits); });
                step.operand(target);
                step.operand(class_weights);
                step.operand(share);
                step.value(cl_ulong{scores.rows(run.extents)});
                step.value(classes);
                step.value(cl_int{n.ignored});
            });
        steps.push_back([=, &scores, limits = limits_, n = n](const Run& run, Step& step) {
            const cl_ulong rows = scores.rows(run.extents);
            step.use(cross_entropy_launch(rows, classes, limits), [&] { return cross_entropy_kernel(classes, what, limits); });
            step.operand(x);
            step.operand(target);
            step.operand(gradient);
            step.operand(cross_entropy_parts(rows, classes, limits) > 1 ? parts : sums);
            step.operand(partials);
            step.value(rows);
            step.value(classes);
            step.value(cl_ulong{cross_entropy_block(classes, limits)});
            step.value(cl_float{what.weighs ? run.scalar(n.weight) : loss_scale(n.reduction, run.scalar(n.weight), rows)});
            if (!what.mixed) return;
            step.operand(class_weights);
            step.operand(share);
            step.value(cl_int{n.ignored});
            step.value(n.alpha);
            step.value(n.beta);
        });
        if (n.sums)
            steps.push_back([=, &scores, limits = limits_](const Run& run, Step& step) {
                combine(step, cross_entropy_parts(scores.rows(run.extents), classes, limits), classes, parts, sums, limits);
            });
        if (n.adds_loss)
            steps.push_back([=, &scores, limits = limits_, n = n](const Run& run, Step& step) {
                const cl_ulong rows = scores.rows(run.extents);
                combine_losses(step, partials, cross_entropy_parts(rows, classes, limits), rows, 1, run.scalar(n.weight), what.ignores,
                               what.weighs, limits);
            });
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_softmax& n) {
        return row_pass(n.x, {place(n.x), place(n.y)}, softmax_kernel(value(n.x).columns, limits_));
    }
    std::vector<Prepare> operator()(const hpc_softmax_backward& n) {
        return row_pass(n.y, {place(n.y), place(n.dy), place(n.dx)}, softmax_backward_kernel(value(n.y).columns, limits_));
    }
    std::vector<Prepare> operator()(const hpc_log_softmax& n) {
        return row_pass(n.x, {place(n.x), place(n.y)}, log_softmax_kernel(value(n.x).columns, limits_));
    }
    std::vector<Prepare> operator()(const hpc_log_softmax_backward& n) {
        return row_pass(n.y, {place(n.y), place(n.dy), place(n.dx)}, log_softmax_backward_kernel(value(n.y).columns, limits_));
    }

    std::vector<Prepare> operator()(const hpc_prelu_forward& n) {
        const Value& x = value(n.x);
        const bool shared = value(n.slope).columns == 1;
        return {[=, &x, limits = limits_, from = place(n.x), slope = place(n.slope), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong rows = x.rows(run.extents);
            const ColumnPlan plan = plan_columns(rows, x.columns, limits);
            step.use(columns_launch(plan, limits), [&] { return prelu_forward_kernel(shared); });
            step.operand(from);
            step.operand(slope);
            step.operand(to);
            columns(step, rows, x.columns, plan);
        }};
    }

    std::vector<Prepare> operator()(const PReluBackwardNode& n) {
        const Value& x = value(n.x);
        const bool shared = value(n.slope).columns == 1;
        const Place from = place(n.x), slope = place(n.slope), dy = place(n.dy), dx = place(n.dx), dslope = place(n.dslope),
                    sums = place(n.sums), slope_parts = scratch();
        Place sum_parts = slope_parts;
        sum_parts.element += prelu_sums_offset(x.rows(plan_.capacity), x.columns, n.dslope != 0, limits_) / 4;
        std::vector<Prepare> steps;
        steps.push_back([=, &x, limits = limits_, n = n](const Run& run, Step& step) {
            const cl_ulong rows = x.rows(run.extents);
            const ColumnPlan plan = plan_columns(rows, x.columns, limits);
            step.use(columns_launch(plan, limits),
                     [&] { return prelu_backward_kernel(shared, n.dx != 0, n.dslope != 0, n.sums != 0); });
            step.operand(from);
            step.operand(slope);
            step.operand(dy);
            step.operand(dx);
            step.operand(!n.dslope ? Place{} : shared || plan.parts > 1 ? slope_parts : dslope);
            step.operand(!n.sums ? Place{} : plan.parts > 1 ? sum_parts : sums);
            columns(step, rows, x.columns, plan);
        });
        if (n.dslope)
            steps.push_back([=, &x, limits = limits_](const Run& run, Step& step) {
                const uint64_t parts = plan_columns(x.rows(run.extents), x.columns, limits).parts;
                if (!shared || parts == 0) {
                    combine(step, parts, x.columns, slope_parts, dslope, limits);
                    return;
                }
                const ColumnPlan plan = plan_combine(parts * x.columns, 1, limits);
                step.use(columns_launch(plan, limits), [] { return column_sums_kernel(); });
                step.operand(slope_parts);
                step.operand(dslope);
                columns(step, parts * x.columns, 1, plan);
            });
        if (n.sums)
            steps.push_back([=, &x, limits = limits_](const Run& run, Step& step) {
                combine(step, plan_columns(x.rows(run.extents), x.columns, limits).parts, x.columns, sum_parts, sums, limits);
            });
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_update& n) {
        const hpc_rule_info* info = rule_info(n.rule);
        const Value& parameters = value(n.parameters);
        std::vector<Place> operands_of_rule{place(n.parameters), place(n.gradients)};
        for (const ValueId state : n.states) operands_of_rule.push_back(place(state));
        return {[=, &parameters, limits = limits_, n = n, make = prepare_rule(n.rule)](const Run& run, Step& step) {
            const cl_ulong count = parameters.elements(run.extents);
            float hypers[HPC_MAX_HYPERPARAMETERS] = {}, h[12] = {};
            static_assert(sizeof h >= sizeof cpu::UpdateElements::h);
            for (int i = 0; i < info->hyperparameter_count; i++) hypers[i] = run.scalar(n.hyperparameters[i]);
            make(hypers, run.counter(n.step), h);
            Float8 h0;
            Float4 h1;
            std::memcpy(h0.at, h, sizeof h0.at);
            std::memcpy(h1.at, h + 8, sizeof h1.at);
            const bool drops = n.drop_rate.slot != 0 || n.drop_rate.constant != 0;
            step.use(flat_launch(count, limits), [&] { return update_kernel(n.rule, drops); });
            for (const Place& operand : operands_of_rule) step.operand(operand);
            step.value(count);
            step.value(h0);
            step.value(h1);
            if (!drops) return;
            step.value(cl_ulong{run.counter(n.seed)});
            step.value(cl_ulong{run.counter(n.stream)});
            step.value(run.scalar(n.drop_rate));
        }};
    }

    std::vector<Prepare> operator()(const hpc_norm& n) {
        if (n.order == 1.0f) return other_norm(n, "sum_of_magnitudes", "norm_of_magnitudes");
        if (n.order != 2.0f) {
            std::vector<Prepare> steps = other_norm(n, "largest_magnitude", "norm_of_largest");
            if (std::isinf(n.order)) return steps;
            for (Prepare& step : other_norm(n, "sum_of_powers", "norm_of_powers")) steps.push_back(std::move(step));
            return steps;
        }
        const Value& x = value(n.x);
        const Place from = place(n.x), norm = place(n.norm), partials = scratch();
        return {[=, &x, limits = limits_](const Run& run, Step& step) {
                    const cl_ulong count = x.elements(run.extents);
                    step.use(sum_of_squares_launch(count, limits), [] { return sum_of_squares_kernel(); });
                    step.operand(from);
                    step.operand(partials);
                    step.value(count);
                },
                [=, &x, limits = limits_](const Run& run, Step& step) {
                    step.use(one_group(limits), [] { return norm_kernel(); });
                    step.operand(partials);
                    step.operand(norm);
                    step.value(cl_ulong{sum_of_squares_launch(x.elements(run.extents), limits).groups});
                }};
    }

    std::vector<Prepare> operator()(const hpc_clip_by_norm& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, at = place(n.x), norm = place(n.norm)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return clip_by_norm_kernel(); });
            step.operand(at);
            step.operand(norm);
            step.value(count);
            step.value(run.scalar(n.max_norm));
        }};
    }

    std::vector<Prepare> operator()(const hpc_clip_by_value& n) { return flat(n.x, 0, n.limit, clip_by_value_kernel()); }

    std::vector<Prepare> operator()(const hpc_add_penalty& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return add_penalty_kernel(); });
            step.operand(from);
            step.operand(to);
            step.value(count);
            step.value(run.scalar(n.l1));
            step.value(run.scalar(n.l2));
        }};
    }

    std::vector<Prepare> operator()(const hpc_limit_column_norms& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, at = place(n.x)](const Run& run, Step& step) {
            step.use(limit_column_norms_launch(x.columns, limits), [] { return limit_column_norms_kernel(); });
            step.operand(at);
            step.value(cl_ulong{x.rows(run.extents)});
            step.value(cl_ulong{x.columns});
            step.value(run.scalar(n.max_norm));
        }};
    }

    std::vector<Prepare> operator()(const hpc_scale& n) { return flat(n.x, 0, n.factor, scale_kernel()); }
    std::vector<Prepare> operator()(const hpc_add_scaled& n) { return flat(n.x, n.y, n.factor, add_scaled_kernel()); }
    std::vector<Prepare> operator()(const hpc_fill& n) { return flat(n.x, 0, n.value, fill_kernel()); }

    std::vector<Prepare> operator()(const hpc_philox_uniform& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, at = place(n.x)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return philox_uniform_kernel(); });
            step.operand(at);
            step.value(count);
            step.value(cl_ulong{run.counter(n.seed)});
            step.value(cl_ulong{run.counter(n.stream)});
            step.value(n.low);
            step.value(n.high);
        }};
    }

    std::vector<Prepare> operator()(const hpc_dropout& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return dropout_kernel(); });
            step.operand(from);
            step.operand(to);
            step.value(count);
            step.value(cl_ulong{run.counter(n.seed)});
            step.value(cl_ulong{run.counter(n.stream)});
            step.value(run.scalar(n.rate));
        }};
    }

    std::vector<Prepare> operator()(const hpc_fast_gradient_sign& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), gradient = place(n.gradient), to = place(n.y)](const Run& run,
                                                                                                                 Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return fast_gradient_sign_kernel(); });
            step.operand(from);
            step.operand(gradient);
            step.operand(to);
            step.value(count);
            step.value(cl_ulong{moved_elements(n, x, run.extents)});
            step.value(run.scalar(n.epsilon));
            step.value(n.low);
            step.value(n.high);
        }};
    }

    std::vector<Prepare> operator()(const hpc_multiply& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, a = place(n.x), b = place(n.y), c = place(n.z)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return multiply_kernel(); });
            step.operand(a);
            step.operand(b);
            step.operand(c);
            step.value(count);
        }};
    }

    std::vector<Prepare> operator()(const hpc_copy_columns& n) {
        const Value& x = value(n.x);
        Place from = place(n.x), to = place(n.y);
        from.element += n.x_column;
        to.element += n.y_column;
        const cl_ulong ldx = x.columns / n.pieces, ldy = value(n.y).columns / n.pieces;
        return {[=, &x, limits = limits_, n = n](const Run& run, Step& step) {
            const cl_ulong rows = x.rows(run.extents) * n.pieces, width = n.columns;
            step.use(gather_launch(rows, width, limits), [] { return copy_columns_kernel(); });
            step.operand(from);
            step.operand(to);
            step.value(rows);
            step.value(width);
            step.value(ldx);
            step.value(ldy);
            step.value(static_cast<cl_uint>(row_lanes(width, limits)));
        }};
    }

    std::vector<Prepare> operator()(const hpc_affine_dropout& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return affine_dropout_kernel(); });
            step.operand(from);
            step.operand(to);
            step.value(count);
            step.value(cl_ulong{run.counter(n.seed)});
            step.value(cl_ulong{run.counter(n.stream)});
            step.value(n.rate);
            step.value(n.scale);
            step.value(n.shift);
            step.value(n.dropped);
        }};
    }

    std::vector<Prepare> operator()(const hpc_gaussian_noise& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [] { return gaussian_noise_kernel(); });
            step.operand(from);
            step.operand(to);
            step.value(count);
            step.value(cl_ulong{run.counter(n.seed)});
            step.value(cl_ulong{run.counter(n.stream)});
            step.value(run.scalar(n.deviation));
        }};
    }

    // A launch a step: product and gates of a step together (recurrent.cl), and for dh0 one more.
    std::vector<Prepare> operator()(const hpc_recurrent_forward& n) {
        const Value& gates = value(n.gates);
        const cl_ulong units = value(n.w).count, width = value(n.w).columns, steps = gates.columns / width;
        const cl_ulong block = padded(gates.rows(plan_.capacity) * units);
        const bool state = cell_info(n.cell)->state != 0;
        Place outputs[2] = {scratch(), scratch()}, states = scratch();
        outputs[1].element += block;
        states.element += 2 * block;
        picked_ = describe_recurrent(steps);
        std::vector<Prepare> list;
        for (cl_ulong i = 0; i < steps; i++) {
            const bool first = i == 0, final = i == steps - 1;
            const cl_ulong t = n.reverse ? steps - 1 - i : i;
            RecurrentStep what;
            what.product = !first || n.h0;
            what.bias = n.b != 0;
            what.state = state && (!first || n.c0);
            what.output = !n.last || final;
            what.keep = n.previous != 0;
            Place y = place(n.y), kept = place(n.kept), previous = place(n.previous), at = place(n.gates);
            y.element += (n.last ? 0 : t * (value(n.y).columns / steps)) + n.y_offset;
            kept.element += t * units;
            previous.element += t * units;
            at.element += t * width;
            const Place from = first ? place(n.h0) : outputs[i % 2];
            const Place to = final && n.hn ? place(n.hn) : outputs[(i + 1) % 2];
            const Place state_from = first ? place(n.c0) : states, state_to = final && n.cn ? place(n.cn) : states;
            list.push_back([=, &gates, limits = limits_, cell = n.cell, w = place(n.w), b = place(n.b), ldy = cl_ulong{value(n.y).columns}](
                               const Run& run, Step& step) {
                const cl_ulong rows = gates.rows(run.extents);
                step.use(recurrent_launch(rows, units, limits), [&] { return recurrent_kernel(cell, true); });
                for (const Place& operand : {at, w, b, from, to, state_from, state_to, y, kept, previous}) step.operand(operand);
                for (const cl_ulong extent : {rows, units, steps, ldy}) step.value(extent);
                step.value(what.bits());
            });
        }
        return list;
    }

    std::vector<Prepare> operator()(const hpc_recurrent_backward& n) {
        const Value& gates = value(n.gates);
        const hpc_cell_info& cell = *cell_info(n.cell);
        const cl_ulong units = value(n.w).count, width = value(n.w).columns, steps = gates.columns / width;
        const cl_ulong block = padded(gates.rows(plan_.capacity) * units);
        Place direct = scratch(), states = scratch();
        states.element += block;
        const ValueId side = n.hidden ? n.hidden : n.gates;  // whose gradients go on through the recurrent weights
        picked_ = describe_recurrent(steps);
        std::vector<Prepare> list;
        // One turn more than there are steps: the last one finds dh0.
        for (cl_ulong i = steps + 1; i-- > 0;) {
            const bool end = i == 0, last = i == steps;
            if (end && !n.dh0) break;
            // Places of the step (number i - 1 in walking order), of the one after it, and of the state before.
            auto at = [&](cl_ulong number) { return n.reverse ? steps - 1 - number : number; };
            const cl_ulong t = end ? 0 : at(i - 1), next = last ? 0 : at(i);
            RecurrentStep what;
            what.product = !last;
            what.output = !end && n.dy && (!n.last || last);
            what.gradient = last && n.dhn;
            what.state = last ? n.dcn != 0 : cell.state != 0;
            what.before = cell.state && (i > 1 || n.c0);
            what.end = end;
            Place dy = place(n.dy), kept = place(n.kept), previous = place(n.previous), own = place(n.gates), hidden = place(n.hidden),
                  after = place(side), before = i > 1 ? place(n.kept) : place(n.c0);
            dy.element += (n.last || !n.dy ? 0 : t * (value(n.dy).columns / steps)) + n.dy_offset;
            kept.element += t * units;
            previous.element += t * units;
            own.element += t * width;
            hidden.element += t * width;
            after.element += next * width;
            if (i > 1) before.element += at(i - 2) * units;
            const cl_ulong ldbefore = i > 1 ? steps * units : units;
            const Place state_from = last ? place(n.dcn) : states, state_to = i == 1 && n.dc0 ? place(n.dc0) : states;
            list.push_back([=, &gates, limits = limits_, kind = n.cell, w = place(n.w), dhn = place(n.dhn), dh0 = place(n.dh0),
                            ldy = cl_ulong{n.dy ? value(n.dy).columns : 0}](const Run& run, Step& step) {
                const cl_ulong rows = gates.rows(run.extents);
                step.use(recurrent_launch(rows, units, limits), [&] { return recurrent_kernel(kind, false); });
                for (const Place& operand : {own, w, after, dhn, direct, state_from, state_to, dy, kept, before, previous, hidden, dh0})
                    step.operand(operand);
                for (const cl_ulong extent : {rows, units, steps, ldy, ldbefore}) step.value(extent);
                step.value(what.bits());
            });
        }
        return list;
    }

    std::vector<Prepare> operator()(const hpc_batch_norm_forward& n) {
        const Value& x = value(n.x);
        const cl_ulong channels = value(n.statistics).columns, length = x.columns / channels;
        const Place from = place(n.x), statistics = place(n.statistics), parts = scratch();
        std::vector<Prepare> steps;
        if (n.running_mean) {
            steps.push_back([=, limits = limits_, n = n, mean = place(n.running_mean), variance = place(n.running_variance)](const Run&, Step& step) {
                step.use(item_launch(channels, limits), [] { return running_statistics_kernel(); });
                step.operand(mean);
                step.operand(variance);
                step.operand(statistics);
                step.value(channels);
                step.value(n.epsilon);
            });
        } else {
            steps.push_back([=, &x, limits = limits_](const Run& run, Step& step) {
                const cl_ulong rows = x.rows(run.extents);
                const ColumnPlan plan = plan_channels(rows, channels, length, limits);
                step.use(columns_launch(plan, limits), [] { return batch_moments_kernel(); });
                step.operand(from);
                step.operand(parts);
                step.value(rows);
                step.value(channels);
                step.value(length);
                step.value(cl_ulong{plan.block});
                step.value(static_cast<cl_uint>(plan.lanes));
            });
            steps.push_back([=, &x, limits = limits_, n = n](const Run& run, Step& step) {
                const cl_ulong rows = x.rows(run.extents), values = rows * length;
                const double count = static_cast<double>(values);
                step.use(item_launch(rows ? channels : 0, limits), [] { return batch_statistics_kernel(); });
                step.operand(from);
                step.operand(parts);
                step.operand(statistics);
                step.value(cl_ulong{plan_channels(rows, channels, length, limits).parts});
                step.value(channels);
                step.value(length);
                step.value(values);
                step.value(n.epsilon);
                step.value(values > 1 ? static_cast<cl_float>(count / (count - 1)) : cl_float{1});
            });
        }
        steps.push_back([=, &x, limits = limits_, weight = place(n.weight), bias = place(n.bias), y = place(n.y),
                         what = static_cast<cl_uint>((n.weight ? 1 : 0) + (n.bias ? 2 : 0))](const Run& run, Step& step) {
            const cl_ulong rows = x.rows(run.extents);
            step.use(gather_launch(rows, x.columns, limits), [] { return batch_normalize_kernel(); });
            step.operand(from);
            step.operand(statistics);
            step.operand(weight);
            step.operand(bias);
            step.operand(y);
            step.value(rows);
            step.value(channels);
            step.value(length);
            step.value(static_cast<cl_uint>(row_lanes(x.columns, limits)));
            step.value(what);
        });
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_batch_norm_backward& n) {
        const Value& x = value(n.x);
        const cl_ulong channels = value(n.statistics).columns, length = x.columns / channels;
        const Place from = place(n.x), dy = place(n.dy), statistics = place(n.statistics), parts = scratch();
        Place means = parts;
        means.element += channels_scratch(x.rows(plan_.capacity), channels, length, limits_) / 4;
        const bool has_means = n.dx && !n.constant_statistics;
        std::vector<Prepare> steps;
        if (n.dweight || n.dbias || has_means) {
            steps.push_back([=, &x, limits = limits_](const Run& run, Step& step) {
                channel_sums(step, from, dy, statistics, parts, x.rows(run.extents), channels, length, false, limits);
            });
            const cl_uint what = static_cast<cl_uint>((n.dbias ? 1 : 0) + (n.dweight ? 2 : 0) + (has_means ? 4 : 0));
            steps.push_back([=, &x, limits = limits_, dbias = place(n.dbias), dweight = place(n.dweight)](const Run& run, Step& step) {
                combine_channel_sums(step, parts, dbias, dweight, means, x.rows(run.extents), channels, length, what, limits);
            });
        }
        if (n.dx)
            steps.push_back([=, &x, limits = limits_, weight = place(n.weight), dx = place(n.dx),
                             what = static_cast<cl_uint>((n.weight ? 1 : 0) + (has_means ? 2 : 0))](const Run& run, Step& step) {
                const cl_ulong rows = x.rows(run.extents);
                step.use(gather_launch(rows, x.columns, limits), [] { return batch_norm_gradient_kernel(); });
                step.operand(from);
                step.operand(dy);
                step.operand(statistics);
                step.operand(weight);
                step.operand(means);
                step.operand(dx);
                step.value(rows);
                step.value(channels);
                step.value(length);
                step.value(static_cast<cl_uint>(row_lanes(x.columns, limits)));
                step.value(what);
            });
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_batch_norm_update& n) {
        const cl_ulong channels = value(n.statistics).columns;
        return {[=, limits = limits_, n = n, statistics = place(n.statistics), mean = place(n.running_mean),
                 variance = place(n.running_variance), batches = place(n.batches)](const Run& run, Step& step) {
            step.use(one_group(limits), [] { return batch_norm_update_kernel(); });
            step.operand(statistics);
            step.operand(mean);
            step.operand(variance);
            step.operand(batches);
            step.value(channels);
            step.value(static_cast<cl_uint>(n.cumulative));
            step.value(run.scalar(n.momentum));
        }};
    }

    std::vector<Prepare> operator()(const hpc_layer_norm_forward& n) {
        const Value& x = value(n.x);
        return {[=, &x, limits = limits_, n = n, from = place(n.x), weight = place(n.weight), bias = place(n.bias), y = place(n.y),
                 statistics = place(n.statistics)](const Run& run, Step& step) {
            const cl_ulong size = n.size, groups = x.elements(run.extents) / size;
            step.use(layer_norm_launch(groups, size, limits), [&] { return layer_norm_forward_kernel(size, limits); });
            step.operand(from);
            step.operand(weight);
            step.operand(bias);
            step.operand(y);
            step.operand(statistics);
            step.value(groups);
            step.value(size);
            step.value(n.epsilon);
            step.value(static_cast<cl_uint>((n.weight ? 1 : 0) + (n.bias ? 2 : 0)));
        }};
    }

    std::vector<Prepare> operator()(const hpc_layer_norm_backward& n) {
        const Value& x = value(n.x);
        const cl_ulong size = n.size;
        const Place from = place(n.x), dy = place(n.dy), statistics = place(n.statistics), parts = scratch();
        std::vector<Prepare> steps;
        if (n.dx)
            steps.push_back([=, &x, limits = limits_, n = n, weight = place(n.weight), dx = place(n.dx)](const Run& run, Step& step) {
                const cl_ulong groups = x.elements(run.extents) / size;
                step.use(layer_norm_launch(groups, size, limits), [&] { return layer_norm_gradient_kernel(size, limits); });
                step.operand(from);
                step.operand(dy);
                step.operand(weight);
                step.operand(statistics);
                step.operand(dx);
                step.value(groups);
                step.value(size);
                step.value(static_cast<cl_uint>(n.weight ? 1 : 0));
            });
        if (n.dweight || n.dbias) {
            steps.push_back([=, &x, limits = limits_](const Run& run, Step& step) {
                channel_sums(step, from, dy, statistics, parts, x.elements(run.extents) / size, size, 1, true, limits);
            });
            const cl_uint what = static_cast<cl_uint>((n.dbias ? 1 : 0) + (n.dweight ? 2 : 0));
            steps.push_back([=, &x, limits = limits_, dbias = place(n.dbias), dweight = place(n.dweight)](const Run& run, Step& step) {
                combine_channel_sums(step, parts, dbias, dweight, {}, x.elements(run.extents) / size, size, 1, what, limits);
            });
        }
        return steps;
    }

    std::vector<Prepare> operator()(const hpc_embedding_forward& n) {
        const Value& indices = value(n.indices);
        const Value& table = value(n.table);
        return {[=, &indices, &table, limits = limits_, from = place(n.table), at = place(n.indices), to = place(n.y)](const Run& run, Step& step) {
            const cl_ulong places = indices.elements(run.extents), dimension = table.columns;
            step.use(gather_launch(places, dimension, limits), [] { return embedding_forward_kernel(); });
            step.operand(from);
            step.operand(at);
            step.operand(to);
            step.value(cl_ulong{table.count});
            step.value(places);
            step.value(dimension);
            step.value(static_cast<cl_uint>(row_lanes(dimension, limits)));
            step.value(static_cast<cl_uint>(indices.dtype == HPC_INT32));
        }};
    }

    std::vector<Prepare> operator()(const hpc_embedding_backward& n) {
        const Value& indices = value(n.indices);
        const Value& dtable = value(n.dtable);
        const Place at = place(n.indices), dy = place(n.dy), to = place(n.dtable);
        return {[=, &indices, &dtable, limits = limits_](const Run& run, Step& step) {
                    const cl_ulong count = dtable.elements(run.extents);
                    step.use(flat_launch(indices.elements(run.extents) ? count : 0, limits), [] { return fill_kernel(); });
                    step.operand(to);
                    step.value(count);
                    step.value(cl_float{0});
                },
                [=, &indices, &dtable, limits = limits_, n = n](const Run& run, Step& step) {
                    const cl_ulong places = indices.elements(run.extents);
                    step.use({places, limits.group}, [] { return embedding_backward_kernel(); });
                    step.operand(at);
                    step.operand(dy);
                    step.operand(to);
                    step.value(cl_ulong{dtable.count});
                    step.value(places);
                    step.value(cl_ulong{dtable.columns});
                    step.value(cl_int{n.padding});
                    step.value(static_cast<cl_uint>(indices.dtype == HPC_INT32));
                }};
    }

    // The values go to host memory and back: what was enqueued before is then done, and what comes behind waits for it.
    std::vector<Prepare> operator()(const CallNode& n) {
        struct Operand {
            const Value* value;
            Inlet* inlet;
            std::vector<float> host;
        };
        auto operands = std::make_shared<std::vector<Operand>>();
        auto pointers = std::make_shared<std::vector<float*>>();
        for (const auto* list : {&n.reads, &n.writes})
            for (const ValueId id : *list) {
                operands->push_back({id ? &value(id) : nullptr, id ? inlet(value(id)) : nullptr, {}});
                if (id) operands->back().host.resize(value(id).elements(plan_.capacity));
            }
        for (Operand& operand : *operands) pointers->push_back(operand.value ? operand.host.data() : nullptr);
        call_ = [operands, pointers, reads = n.reads.size(), function = n.function, context = n.context](const Extents& at) {
            for (size_t i = 0; i < reads; i++) {
                Operand& operand = (*operands)[i];
                if (!operand.value) continue;
                hpc::Buffer& buffer = operand.inlet ? operand.inlet->buffer(operand.inlet->turned) : *operand.value->buffer;
                buffer.read(operand.inlet ? operand.inlet->offset(operand.inlet->turned) : operand.value->offset, operand.host.data(),
                            operand.value->bytes(at));
            }
            if (function(context, at.rows, at.steps, pointers->data()) != 0) return false;
            for (size_t i = reads; i < operands->size(); i++) {
                Operand& operand = (*operands)[i];
                if (operand.value) operand.value->buffer->write(operand.value->offset, operand.host.data(), operand.value->bytes(at));
            }
            return true;
        };
        return {[](const Run&, Step& step) { step.skip(); }};
    }

    // The launches of a small network (small_network.h). What lies between them is in `scratch`.
    std::vector<Prepare> lower(const SmallNetwork& found, const Place& scratch, const Place& links) {
        auto shared = std::make_shared<const SmallNetwork>(found);
        const SmallNetwork& net = *shared;
        const Value& output = value(net.layers[0].y);
        const Place x = place(net.gather_x ? net.gather_x->source : net.x),
                    target = place(net.gather_target ? net.gather_target->source : net.target), dx = place(net.dx), top = place(net.head_y);
        Place parameters = place(net.layers[0].w), gradients;
        parameters.element = net.parameters_at;
        for (const SmallNetwork::Layer& layer : net.layers)
            for (const ValueId id : {layer.dw, layer.db})
                if (id) gradients = place(id);
        gradients.element = net.gradients_at;
        Place indices, weights, alphas;
        const Value *indexed = nullptr, *source = nullptr;
        hpc_counter offset{};
        for (const auto* gather : {&net.gather_x, &net.gather_target})
            if (*gather) {
                indices = place((*gather)->indices);
                indexed = &value((*gather)->indices);
                source = &value((*gather)->source);
                offset = (*gather)->offset;
            }
        if (net.loss) weights = place(net.loss->weights), alphas = place(net.loss->alphas);
        std::vector<Place> outputs;
        if (net.writes())
            for (const SmallNetwork::Layer& layer : net.layers) {
                outputs.push_back(layer.writes_y ? place(layer.y) : Place{});
                outputs.push_back(layer.writes_kept ? place(layer.activation.kept) : Place{});
            }
        // Parameters and states where the first gradient's are, and the links.
        std::vector<Place> learned(6);
        learned[5] = links;
        cpu::PrepareRule make = nullptr;
        int hyper_count = 0;
        if (!net.links.empty()) {
            learned[0] = place(net.layers[0].w);
            learned[0].element = net.learned_at;
        }
        if (!net.rules.empty()) {
            const hpc_update& rule = net.rules[0];
            for (size_t i = 0; i < std::size(rule.states); i++) {
                learned[1 + i] = place(rule.states[i]);
                if (rule.states[i]) learned[1 + i].element += net.learned_at - value(rule.parameters).offset / 4;
            }
            make = prepare_rule(rule.rule);
            hyper_count = rule_info(rule.rule)->hyperparameter_count;
        }
        const int32_t reduction = net.loss ? net.loss->reduction : net.class_loss ? net.class_loss->reduction : 0;
        const hpc_scalar weight = net.loss ? net.loss->weight : net.class_loss ? net.class_loss->weight : hpc_scalar{};
        const uint64_t averaged = net.loss && reduction == HPC_REDUCTION_MEAN ? net.layers.back().out : 1;

        const Extents capacity = plan_.capacity;
        const std::vector<std::string> options{network_options(net, plan_, false), network_options(net, plan_, true)};
        // What both launches can end with.
        auto end = [=, &output](const Run& run, Step& step) {
            float numbers[kNetworkNumbers] = {}, h[kNetworkRules][12] = {};
            for (size_t i = 0; i < shared->numbers.size(); i++) numbers[i] = run.scalar(shared->numbers[i]);
            for (size_t k = 0; k < shared->rules.size(); k++) {
                float hypers[HPC_MAX_HYPERPARAMETERS] = {};
                for (int i = 0; i < hyper_count; i++) hypers[i] = run.scalar(shared->rules[k].hyperparameters[i]);
                make(hypers, run.counter(shared->rules[k].step), h[k]);
            }
            step.operand(gradients);
            for (const Place& operand : learned) step.operand(operand);
            step.value(cl_ulong{output.rows(run.extents)});
            step.value(cl_ulong{averaged});
            step.value(run.scalar(weight));
            auto vector = [&](auto type, const float* from) {
                std::memcpy(type.at, from, sizeof type.at);
                step.value(type);
            };
            vector(Float8{}, numbers);
            vector(Float8{}, numbers + 8);
            for (const auto& rule : h) {
                vector(Float8{}, rule);
                vector(Float4{}, rule + 8);
            }
        };
        std::vector<Prepare> steps;
        steps.push_back([=, &output](const Run& run, Step& step) {
            const cl_ulong rows = output.rows(run.extents);
            const bool whole = shared->one_group(rows) && shared->combines();
            step.guard(whole && shared->learns());
            step.use({shared->groups(rows), shared->items}, [&] { return Kernel{&kSmallNetworkSource, options[whole], "small_network"}; });
            Place parts = scratch;
            parts.element += shared->parts_at(rows);
            for (const Place& operand : {x, indices, parameters, target, weights, alphas, scratch, whole ? gradients : parts, dx, top})
                step.operand(operand);
            step.value(rows);
            step.value(cl_ulong{source ? source->rows(capacity) : 0});
            step.value(cl_ulong{indexed ? indexed->rows(run.extents) : 0});
            step.value(cl_ulong{run.counter(offset)});
            step.value(cl_float{loss_scale(reduction, run.scalar(weight), rows * averaged)});
            for (const Place& operand : outputs) step.operand(operand);
            if (whole) end(run, step);
        });
        if (net.combines())
            steps.push_back([=, &output](const Run& run, Step& step) {
                const cl_ulong rows = output.rows(run.extents);
                if (shared->one_group(rows)) {
                    step.skip();
                    return;
                }
                step.guard(shared->learns());
                step.use({std::max<uint64_t>(blocks_of(shared->gradients_span, shared->items), 1), shared->items},
                         [&] { return Kernel{&kSmallNetworkSource, options[0], "small_network_end"}; });
                Place parts = scratch;
                parts.element += shared->parts_at(rows);
                step.operand(scratch);
                step.operand(parts);
                step.value(cl_ulong{shared->groups(rows)});
                end(run, step);
            });
        return steps;
    }

    // What the node that was lowered last calls, if it does.
    std::function<bool(const Extents&)> take_call() { return std::exchange(call_, nullptr); }

private:
    static std::string describe_recurrent(cl_ulong steps) {
        std::string text = std::to_string(steps);
        text += " launches, one a step";
        return text;
    }

    static void channel_sums(Step& step, const Place& x, const Place& dy, const Place& statistics, const Place& parts, cl_ulong rows,
                             cl_ulong channels, cl_ulong length, bool by_row, const Limits& limits) {
        const ColumnPlan plan = plan_channels(rows, channels, length, limits);
        step.use(columns_launch(plan, limits), [] { return channel_sums_kernel(); });
        step.operand(x);
        step.operand(dy);
        step.operand(statistics);
        step.operand(parts);
        step.value(rows);
        step.value(channels);
        step.value(length);
        step.value(cl_ulong{plan.block});
        step.value(static_cast<cl_uint>(plan.lanes));
        step.value(static_cast<cl_uint>(by_row));
    }

    static void combine_channel_sums(Step& step, const Place& parts, const Place& first, const Place& second, const Place& means,
                                     cl_ulong rows, cl_ulong channels, cl_ulong length, cl_uint what, const Limits& limits) {
        step.use(item_launch(rows ? channels : 0, limits), [] { return combine_channel_sums_kernel(); });
        step.operand(parts);
        step.operand(first);
        step.operand(second);
        step.operand(means);
        step.value(cl_ulong{plan_channels(rows, channels, length, limits).parts});
        step.value(channels);
        step.value(cl_ulong{rows * length});
        step.value(what);
    }

    const Value& value(ValueId id) const { return plan_.value(id); }
    // No place for id 0: an operand that the kernel does not have.
    Place place(ValueId id) const {
        if (id == 0) return {};
        const Value& v = value(id);
        return {static_cast<const OpenClBuffer&>(*v.buffer).memory(), v.offset / 4, inlet(v)};
    }
    Inlet* inlet(const Value& value) const {
        for (Inlet& each : inlets_)
            if (each.value == &value) return &each;
        return nullptr;
    }
    Place scratch() const {
        if (!plan_.workspace) return {};
        return {static_cast<const OpenClBuffer&>(*plan_.workspace).memory(), plan_.scratch[node_] / 4};
    }

    // A norm that is not the Euclidean one: a pass over the elements, and one over its partial results.
    std::vector<Prepare> other_norm(const hpc_norm& n, const char* pass, const char* end) {
        const Value& x = value(n.x);
        const Place from = place(n.x), norm = place(n.norm), partials = scratch();
        return {[=, &x, limits = limits_, order = n.order](const Run& run, Step& step) {
                    const cl_ulong count = x.elements(run.extents);
                    step.use(sum_of_squares_launch(count, limits), [&] { return other_norm_kernel(pass); });
                    step.operand(from);
                    step.operand(partials);
                    step.operand(norm);
                    step.value(count);
                    step.value(order);
                },
                [=, &x, limits = limits_, order = n.order](const Run& run, Step& step) {
                    step.use(one_group(limits), [&] { return other_norm_kernel(end); });
                    step.operand(partials);
                    step.operand(norm);
                    step.value(cl_ulong{sum_of_squares_launch(x.elements(run.extents), limits).groups});
                    step.value(order);
                }};
    }

    static void columns(Step& step, cl_ulong rows, cl_ulong width, const ColumnPlan& plan) {
        step.value(rows);
        step.value(width);
        step.value(cl_ulong{plan.block});
        step.value(static_cast<cl_uint>(plan.lanes));
    }

    // y = the sum of `parts` partial results in scratch; nothing where there was only one, which stands in its place.
    static void combine(Step& step, uint64_t parts, uint64_t width, const Place& from, const Place& to, const Limits& limits) {
        if (parts <= 1) {
            step.skip();
            return;
        }
        const ColumnPlan plan = plan_combine(parts, width, limits);
        step.use(columns_launch(plan, limits), [] { return column_sums_kernel(); });
        step.operand(from);
        step.operand(to);
        columns(step, parts, width, plan);
    }

    static void combine_losses(Step& step, const Place& partials, cl_ulong parts, cl_ulong rows, cl_ulong divisor, cl_float weight,
                               bool counts_rows, bool weighs, const Limits& limits) {
        step.use(one_group(limits), [] { return combine_losses_kernel(); });
        step.operand(partials);
        step.value(parts);
        step.value(rows);
        step.value(divisor);
        step.value(weight);
        step.value(cl_uint{counts_rows});
        step.value(cl_uint{weighs});
    }

    // C[m x n] = op(A) op(B) with its epilogue.
    struct Product {
        Form form = Form::NN;
        cl_ulong n = 0;
        std::function<std::pair<cl_ulong, cl_ulong>(const Extents&)> extents;  // m and k
        Place a, b, c, bias, kept, sums;
        Epilogue epilogue;
        float alpha = 0, beta = 0;
    };

    // As many rows of `width` as C's value holds.
    Product with_rows(Form form, const Value& c, cl_ulong width, cl_ulong k, const FusedActivation& activation, const Epilogue& epilogue) {
        Product p;
        p.form = form;
        p.n = width;
        p.extents = [&c, width, k](const Extents& extents) { return std::pair<cl_ulong, cl_ulong>(c.elements(extents) / width, k); };
        p.kept = place(activation.kept);
        p.epilogue = epilogue;
        p.alpha = activation.alpha;
        p.beta = activation.beta;
        return p;
    }

    // The product; what is left of tiles that were cut; what is left of column sums.
    std::vector<Prepare> product(const Product& p) {
        const auto [most_m, most_k] = p.extents(plan_.capacity);
        if (mma_serves(p.form, most_m, cores_)) return mma_product(p);
        const Place sum_rows = scratch();
        Place parts = sum_rows;
        parts.element += gemm_scratch(p.form, most_m, p.n, most_k, p.epilogue.sums, limits_).parts / 4;
        picked_ = describe_product(plan_gemm(p.form, most_m, p.n, most_k, limits_));
        // Made anew only for other extents: the steps of a run share it.
        struct Planned {
            cl_ulong m = ~cl_ulong{0}, k = ~cl_ulong{0};
            GemmPlan plan;
        };
        auto plan_of = [p, limits = limits_, last = std::make_shared<Planned>()](const Run& run) -> const GemmPlan& {
            const auto [m, k] = p.extents(run.extents);
            if (m != last->m || k != last->k) *last = {m, k, plan_gemm(p.form, m, p.n, k, limits)};
            return last->plan;
        };
        auto sums_of = [p, sum_rows](const GemmPlan& plan) { return !p.epilogue.sums ? Place{} : plan.sum_rows() > 1 ? sum_rows : p.sums; };
        std::vector<Prepare> steps;
        steps.push_back([=, limits = limits_](const Run& run, Step& step) {
            const auto [m, k] = p.extents(run.extents);
            const GemmPlan& plan = plan_of(run);
            const bool aligned = gemm_aligned(p.form, m, p.n, k, p.a.element, p.b.element);
            step.use(gemm_launch(plan, limits), [&] { return gemm_kernel(p.form, plan, p.epilogue, aligned, limits); });
            for (const Place& operand : {p.a, p.b, p.c, p.bias, p.kept, sums_of(plan), plan.splits > 1 ? parts : Place{}}) step.operand(operand);
            for (const cl_ulong extent : {m, p.n, k, cl_ulong{plan.split_k}}) step.value(extent);
            for (const uint64_t number : {plan.whole, plan.splits, plan.strips}) step.value(static_cast<cl_uint>(number));
            step.value(p.alpha);
            step.value(p.beta);
        });
        steps.push_back([=, limits = limits_](const Run& run, Step& step) {
            const GemmPlan& plan = plan_of(run);
            step.use(gemm_finish_launch(plan, limits), [&] { return gemm_finish_kernel(plan, p.epilogue); });
            for (const Place& operand : {parts, p.c, p.bias, p.kept, sums_of(plan)}) step.operand(operand);
            for (const cl_ulong extent : {p.extents(run.extents).first, p.n}) step.value(extent);
            for (const uint64_t number : {plan.whole, plan.splits}) step.value(static_cast<cl_uint>(number));
            step.value(p.alpha);
            step.value(p.beta);
        });
        if (p.epilogue.sums)
            steps.push_back([=, limits = limits_](const Run& run, Step& step) {
                combine(step, plan_of(run).sum_rows(), p.n, sum_rows, p.sums, limits);
            });
        return steps;
    }

    // The same on tensor cores: gemm_mma takes the operands and extents of gemm; then what is left of parts of the depth, or of column sums.
    std::vector<Prepare> mma_product(const Product& p) {
        const Place parts = scratch();
        const auto [most_m, most_k] = p.extents(plan_.capacity);
        picked_ = describe_mma(plan_mma(p.form, most_m, p.n, most_k, limits_, cores_));
        auto plan_of = [p, limits = limits_, cores = cores_](const Run& run) {
            const auto [m, k] = p.extents(run.extents);
            return plan_mma(p.form, m, p.n, k, limits, cores);
        };
        return {[=, cores = cores_](const Run& run, Step& step) {
                    const auto [m, k] = p.extents(run.extents);
                    const MmaPlan plan = plan_of(run);
                    step.use(mma_launch(plan), [&] { return mma_kernel(p.form, plan, p.epilogue, cores); });
                    const Place sums = !p.epilogue.sums ? Place{} : plan.row_tiles > 1 ? parts : p.sums;
                    for (const Place& operand : {p.a, p.b, plan.splits > 1 ? parts : p.c, p.bias, p.kept, sums}) step.operand(operand);
                    for (const cl_ulong extent : {m, p.n, k, cl_ulong{plan.split_k}}) step.value(extent);
                    step.value(p.alpha);
                    step.value(p.beta);
                },
                [=, limits = limits_](const Run& run, Step& step) {
                    const MmaPlan plan = plan_of(run);
                    if (p.epilogue.sums) {
                        combine(step, plan.row_tiles, p.n, parts, p.sums, limits);
                    } else {
                        combine(step, plan.splits, p.extents(run.extents).first * p.n, parts, p.c, limits);
                    }
                }};
    }

    std::string describe_mma(const MmaPlan& plan) const {
        std::string text = std::to_string(plan.row_tiles) + " x " + std::to_string(plan.column_tiles) + " tiles of " +
                           std::to_string(plan.tile->tile_m) + " x " + std::to_string(plan.tile->tile_n);
        if (plan.splits > 1) text += ", rows in " + std::to_string(plan.splits) + " parts";
        return text.append(", ").append(precision_name(cores_.precision));
    }

    static std::string describe_product(const GemmPlan& plan) {
        if (!plan.tile) return "matrix-vector, " + std::to_string(plan.row_tiles * plan.column_tiles) + " groups";
        std::string text = std::to_string(plan.row_tiles) + " x " + std::to_string(plan.column_tiles) + " tiles of " +
                           std::to_string(plan.tile->tile_m) + " x " + std::to_string(plan.tile->tile_n);
        if (plan.splits > 1) {
            text += plan.whole ? ", the last " + std::to_string(plan.cut()) : ", all";
            text += " in " + std::to_string(plan.splits) + " parts";
        }
        return text;
    }

    // A pass over whole rows of a value: operands, rows, columns.
    std::vector<Prepare> row_pass(ValueId id, std::vector<Place> places, const Kernel& kernel) {
        const Value& v = value(id);
        return {[=, &v, limits = limits_](const Run& run, Step& step) {
            const cl_ulong rows = v.rows(run.extents), width = v.columns;
            step.use(softmax_launch(rows, width, limits), [&] { return kernel; });
            for (const Place& operand : places) step.operand(operand);
            step.value(rows);
            step.value(width);
        }};
    }

    // An elementwise pass with one number; y_id 0: over x alone.
    std::vector<Prepare> flat(ValueId x_id, ValueId y_id, const hpc_scalar& number, const Kernel& kernel) {
        const Value& x = value(x_id);
        const bool two = y_id != 0;
        return {[=, &x, limits = limits_, from = place(x_id), to = place(y_id)](const Run& run, Step& step) {
            const cl_ulong count = x.elements(run.extents);
            step.use(flat_launch(count, limits), [&] { return kernel; });
            step.operand(from);
            if (two) step.operand(to);
            step.value(count);
            step.value(run.scalar(number));
        }};
    }

    Limits limits_;
    TensorCores cores_;
    const Plan& plan_;
    std::deque<Inlet>& inlets_;
    size_t node_ = 0;
    std::string picked_;
    std::function<bool(const Extents&)> call_;
};

// ---- Executor ----------------------------------------------------------------------------------------------------

class OpenClExecutor final : public Executor {
public:
    OpenClExecutor(std::shared_ptr<OpenClDevice> device, const Plan& plan)
        : device_(std::move(device)), metrics_(device_, sizeof(device_metrics)) {
        make_inlets(plan);
        Lowering lowering(*device_, plan, inlets_);
        bool ends = false;  // the run, with the last network
        for (size_t i = 0; i < plan.nodes.size(); i++) {
            if (const auto network = find_small_network(plan, i, device_->limits())) {
                Place between, links;
                const uint64_t rows = plan.value(network->layers[0].y).rows(plan.capacity);
                if (const uint64_t bytes = network->scratch_bytes(rows); bytes > 0) {
                    between_.emplace_back(device_, bytes);
                    between.memory = between_.back().memory();
                }
                if (const std::vector<uint32_t> words = network_links(*network); !words.empty()) {
                    between_.emplace_back(device_, words.size() * 4);
                    between_.back().write(0, words.data(), words.size() * 4);
                    links.memory = between_.back().memory();
                }
                for (Prepare& prepare : lowering.lower(*network, between, links)) add(i, false, std::move(prepare));
                picked_.push_back(describe_network(*network, rows));
                for (i++; i < network->end; i++) picked_.push_back("in the network of instruction " + std::to_string(network->first + 1));
                i--;
                ends = network->ends_run;
                continue;
            }
            bool guarded = false;
            for (const Operand& operand : operands(plan.nodes[i].payload)) {
                const int32_t kind = plan.value(operand.value).kind;
                if (operand.writes() && (kind == HPC_VALUE_PARAMETER || kind == HPC_VALUE_OPTIMIZER_STATE || kind == HPC_VALUE_PERSISTENT))
                    guarded = true;
            }
            std::string picked;
            for (Prepare& prepare : lowering.lower(i, picked)) add(i, guarded, std::move(prepare));
            if (auto call = lowering.take_call()) steps_.back().call = std::move(call);
            picked_.push_back(std::move(picked));
        }
        if (!ends) add(plan.nodes.size(), false, [](const Run&, Step& step) { step.use({1, 1}, [] { return end_run_kernel(); }); });
        // What a full run needs is built now; a run of other extents may meet a tile that is new to it.
        const std::vector<uint64_t> zeros(plan.slots.size() + 1, 0);
        prepare({plan.capacity, zeros.data()});
    }

    // An upload into memory that goes back to the pool is not in order with what the pool's next taker does.
    ~OpenClExecutor() override {
        if (!inlets_.empty()) attempt(device_->api().clFinish, device_->uploads()->get());
    }

    void run(const Run& run) override {
        prepare(run);
        // An event that another queue waits for must be on its way.
        if (uploaded_) device_->uploads()->flush();
        const bool known = std::exchange(readers_known_, false);
        in_parts(run.extents, [this](size_t first, size_t end) {
            enqueue(device_->queue(), nullptr, first, end);
            device_->queue().flush();
        });
        readers_known_ = known;
    }

    void profile(const Run& run, double* nanoseconds) override {
        std::vector<double> total(picked_.size() + 1, 0.0);
        run_timed(run, [&](size_t step, cl_ulong start, cl_ulong end) { total[nodes_[step]] += static_cast<double>(end - start); });
        for (size_t i = 0; i < picked_.size(); i++) nanoseconds[i] = std::min(nanoseconds[i], std::max(total[i], 1.0));
    }

    hpc_run_costs measure(const Run& run) override {
        hpc_run_costs costs{};
        cl_ulong first = UINT64_MAX, last = 0;
        run_timed(run, [&](size_t, cl_ulong start, cl_ulong end) {
            costs.launches++;
            costs.busy_nanoseconds += static_cast<double>(end - start);
            first = std::min(first, start);
            last = std::max(last, end);
        });
        if (costs.launches) costs.span_nanoseconds = static_cast<double>(last - first);
        return costs;
    }

    void fetch(hpc_metrics& out) override {
        device_metrics found{};
        metrics_.read(0, &found, sizeof found);
        metrics_.fill(0, 0, sizeof found);
        const bool fp64 = device_->limits().fp64;
        out = {};
        out.loss = read_sum(found.loss, fp64);
        out.weight = read_sum(found.weight, fp64);
        out.gradient_norm = read_sum(found.gradient_norm, fp64);
        out.rows = found.rows;
        out.correct = found.correct;
        out.runs = found.runs;
        out.first_flagged_run = found.first_flagged_run;
        out.flags = found.flags;
    }

    // Copied aside, so that the caller has its memory back without waiting for a queue.
    void transfer_in(const Value& value, const void* host, uint64_t bytes, bool) override {
        const auto inlet = std::find_if(inlets_.begin(), inlets_.end(), [&](const Inlet& each) { return each.value == &value; });
        if (inlet == inlets_.end()) {
            device_->staging().write(device_->queue(), static_cast<const OpenClBuffer&>(*value.buffer).memory(), value.offset, host, bytes);
            return;
        }
        device_->queue().check_usable();
        if (!readers_known_) {
            // Memory that was only just made, or a run that was interrupted: nobody can tell when it has been read.
            device_->queue().finish();
            for (Inlet& each : inlets_) each.read[0] = each.read[1] = nullptr;
            readers_known_ = true;
        }
        const bool turned = inlet->used ? !inlet->turned : inlet->turned;
        const auto& read = inlet->read[turned];
        device_->staging().write(*device_->uploads(), inlet->buffer(turned).memory(), inlet->offset(turned), host, bytes,
                                 read ? read->get() : nullptr, &uploaded_);
        inlet->turned = turned;
        inlet->used = false;
    }

    void transfer_out(const Value& value, void* host, uint64_t bytes) override { value.buffer->read(value.offset, host, bytes); }
    std::string describe(size_t node) const override { return picked_[node]; }
    uint64_t team_runs() const override { return 0; }

private:
    // Inputs that the program owns, where they are worth it and the queue is not a caller's.
    void make_inlets(const Plan& plan) {
        if (!device_->uploads()) return;
        std::vector<const Value*> values;
        uint64_t bytes = 0;
        for (const Value& value : plan.values) {
            if (!value.comes_from_host() || value.buffer != plan.owned) continue;
            values.push_back(&value);
            bytes += value.bytes(plan.capacity);
        }
        if (bytes < kUploadsLeast) return;
        for (const Value* value : values) inlets_.emplace_back(device_, *value, value->bytes(plan.capacity));
    }

    void add(size_t node, bool guarded, Prepare prepare) {
        steps_.emplace_back(*device_, metrics_.memory(), guarded);
        steps_.back().prepare = std::move(prepare);
        nodes_.push_back(node);
    }

    void wait_for_uploads() noexcept {
        if (!uploaded_) return;
        const cl_event event = uploaded_.get();
        device_->api().clWaitForEvents(1, &event);
        uploaded_ = {};
    }

    // Runs on the queue that tells times; `took` gets every launch with its beginning and end.
    template <class Took>
    void run_timed(const Run& run, const Took& took) {
        Queue& timed = device_->timed_queue();
        prepare(run);
        wait_for_uploads();
        in_parts(run.extents, [&](size_t first, size_t end) {
            device_->queue().finish();
            std::vector<Ref<cl_event>> events(steps_.size());
            enqueue(timed, events.data(), first, end);
            timed.finish();
            for (size_t i = first; i < end; i++) {
                if (!events[i]) continue;
                const cl_ulong start = profiled(events[i].get(), CL_PROFILING_COMMAND_START);
                took(i, start, std::max(start, profiled(events[i].get(), CL_PROFILING_COMMAND_END)));
            }
        });
    }

    cl_ulong profiled(cl_event event, cl_uint what) const {
        cl_ulong nanoseconds = 0;
        HPC_CL(device_->api(), clGetEventProfilingInfo, event, what, sizeof nanoseconds, static_cast<void*>(&nanoseconds), nullptr);
        return nanoseconds;
    }

    // Kernels and arguments for these extents and slots. Nothing is enqueued.
    void prepare(const Run& run) {
        const bool replan = run.extents.rows != prepared_.rows || run.extents.steps != prepared_.steps;
        if (replan) prepared_ = {0, 0};
        for (Step& step : steps_) {
            step.replan = replan;
            step.prepare(run, step);
        }
        prepared_ = run.extents;
    }

    // The parts between which the caller's code runs, each with the queue to itself; the code runs without, so that it may use
    // the device.
    template <class Part>
    void in_parts(const Extents& at, const Part& part) {
        bool failed = false;
        for (size_t first = 0; first < steps_.size();) {
            size_t end = first;
            while (end < steps_.size() && !steps_[end].call) end++;
            {
                std::lock_guard<std::mutex> lock(device_->queue().order);
                part(first, end);
            }
            // The caller's code may be the first to read what came in.
            if (end < steps_.size()) wait_for_uploads();
            if (end < steps_.size() && !failed && !steps_[end].call(at)) {
                failed = true;
                device_metrics found{};
                metrics_.read(0, &found, sizeof found);
                found.flags |= HPC_FLAG_CALL;
                metrics_.write(0, &found, sizeof found);
            }
            first = end + 1;
        }
    }

    // Steps [from, end). From the first launch that changes parameters or optimizer state to the last one, a launch that
    // fails is tried once more and the list carried to its end, so that the network is as after the step; where that
    // fails, too, its state is a mix, and the device gives it to nobody.
    void enqueue(Queue& queue, Ref<cl_event>* events, size_t from, size_t end) {
        size_t first = steps_.size(), last = 0, final = 0;
        for (size_t i = 0; i < steps_.size(); i++) {
            if (!steps_[i].launches()) continue;
            final = i;
            if (steps_[i].guarded()) first = std::min(first, i), last = i;
        }
        for (size_t i = from; i < end; i++) {
            if (!steps_[i].launches()) continue;
            auto launch = [&] {
                if (events) {
                    events[i] = queue.launch_timed(steps_[i].kernel(), steps_[i].geometry());
                    return;
                }
                Ref<cl_event> done;
                queue.launch(steps_[i].kernel(), steps_[i].geometry(), uploaded_.get(), i == final && !inlets_.empty() ? &done : nullptr);
                uploaded_ = {};
                if (!done) return;
                const auto end_of_run = std::make_shared<const Ref<cl_event>>(std::move(done));
                for (Inlet& inlet : inlets_) {
                    inlet.read[inlet.turned] = end_of_run;
                    inlet.used = true;
                }
            };
            if (i <= first || i > last) {
                launch();
                continue;
            }
            try {
                launch();
            } catch (const Error&) {
                try {
                    launch();
                } catch (const Error& error) {
                    device_->queue().lose(std::string("a step was interrupted between two changes of the network: ") + error.what());
                    throw;
                }
            }
        }
    }

    std::shared_ptr<OpenClDevice> device_;
    OpenClBuffer metrics_;
    std::deque<OpenClBuffer> between_;  // what lies between a small network's launches, and its links
    std::deque<Step> steps_;
    std::vector<size_t> nodes_;  // of each step
    std::vector<std::string> picked_;
    std::deque<Inlet> inlets_;
    Ref<cl_event> uploaded_;      // the end of the last upload, which the next run waits for
    bool readers_known_ = false;  // whether Inlet::read tells of every run that may still read its place
    Extents prepared_{0, 0};
};

}  // namespace

uint64_t OpenClDevice::scratch_bytes(const Node& node, const std::vector<Value>& values, const Extents& capacity) const {
    return scratch_for(node.payload, values, capacity, limits_, tensor_cores_);
}

std::unique_ptr<Executor> OpenClDevice::lower(const Plan& plan) {
    return std::make_unique<OpenClExecutor>(std::static_pointer_cast<OpenClDevice>(shared_from_this()), plan);
}

}  // namespace hpc::opencl
