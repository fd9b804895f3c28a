// Executes a plan on the CPU: each node is lowered once to phases, each phase is a number of independent tiles.
//
// A run walks the stages: a stage holds the same phase of consecutive nodes that do not depend on one another, and its
// tiles are claimed by the team. Tiles depend on shapes and the instruction set only, partial results go to scratch by
// tile and are combined in index order in a later phase: so the bits are the same for any number of threads, and on the
// calling thread alone.
//
// To add an instruction: an overload of Lowering::operator() here, and its scratch in scratch_for.
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>

#include "cpu/device.h"
#include "cpu/gemm_plan.h"
#include "tables.h"

namespace hpc::cpu {

namespace {

// ---- Block sizes (data; all in elements unless named otherwise) -------------------------------------------------------

constexpr int64_t kFlatBlock = 16384;     // elementwise passes: 64 KB a stream, several streams fit the second level
constexpr int64_t kNormBlock = 32768;     // one partial sum of squares each
constexpr int64_t kRowBlockBytes = 65536; // passes over whole rows: rows for about this many bytes, at least 8
constexpr int64_t kMinRowBlock = 8;
constexpr int64_t kAlign = 16;

// What a stage is estimated to cost on one core decides whether the team is worth its synchronisation. Constants, not
// measurements: they decide who computes a tile, never what is computed.
constexpr double kFlopsPerSecond = 50e9;
constexpr double kBytesPerSecond = 20e9;
constexpr double kTeamStageSeconds = 3e-6;  // a stage below this stays on the calling thread
constexpr double kTeamRunSeconds = 15e-6;   // a run below this does not wake the team

int64_t blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

int64_t row_block(int64_t columns) {
    return std::max(kMinRowBlock, kRowBlockBytes / 4 / columns / kMinRowBlock * kMinRowBlock);
}

int64_t padded(int64_t count) { return blocks_of(count, kAlign) * kAlign; }

// Sums of one tile of a loss.
struct LossPartial {
    double loss;
    uint64_t correct;
    uint32_t flags;
    uint32_t padding[11];  // a cache line of its own
};
static_assert(sizeof(LossPartial) == 64);

// ---- Phases ------------------------------------------------------------------------------------------------------

struct Worker {
    const Run& run;
    void* scratch;
};

struct Phase {
    std::function<int64_t(const Extents&)> plan;            // fixes block sizes for these extents; returns the tiles
    std::function<void(int64_t tile, const Worker&)> work;  // noexcept by construction: kernels do not throw
};

struct Lowered {
    std::vector<Phase> phases;
    std::string picked;
};

struct MetricState {
    double loss = 0, gradient_norm = 0;
    uint64_t rows = 0, correct = 0, runs = 0, first_flagged_run = 0;
    std::atomic<uint32_t> flags{0};
};

bool flagged(const MetricState& state) { return state.flags.load(std::memory_order_relaxed) != 0; }

void raise(MetricState& state, uint32_t flags) {
    if (flags) state.flags.fetch_or(flags, std::memory_order_relaxed);
}

// Rows of a whole-row node with its loss partials and column sums.
struct RowPass {
    int64_t rows = 0, block = 1, blocks = 0;
    void plan(int64_t count, int64_t columns) {
        rows = count;
        block = row_block(columns);
        blocks = blocks_of(rows, block);
    }
    int64_t first(int64_t tile) const { return tile * block; }
    int64_t count(int64_t tile) const { return std::min(block, rows - tile * block); }
};

// Scratch of one node, in bytes at capacity. The layouts stand where they are used, in Lowering.
uint64_t scratch_for(const Payload& payload, const std::vector<Value>& values, const Extents& capacity, const Kernels& kernels,
                     bool blas) {
    auto value = [&](ValueId id) -> const Value& { return values[id - 1]; };
    auto rows = [&](ValueId id) { return static_cast<int64_t>(value(id).rows(capacity)); };
    auto columns = [&](ValueId id) { return static_cast<int64_t>(value(id).columns); };
    auto sums_bytes = [](int64_t parts, int64_t n) { return static_cast<uint64_t>(parts * padded(n)) * 4; };
    if (const auto* n = std::get_if<DenseBackwardInputNode>(&payload)) {
        if (!n->sums) return 0;
        const GemmPlan plan = plan_gemm(Form::NT, rows(n->dx), columns(n->dx), columns(n->dy), kernels.blocks, blas);
        // Fewer rows may be cut into smaller tiles: one part for every smallest row block is always enough.
        return sums_bytes(blocks_of(rows(n->dx), std::min(plan.tile_m, kMinGemmRows)), columns(n->dx));
    }
    if (const auto* n = std::get_if<hpc_dense_backward_weight>(&payload)) {
        const int64_t m = columns(n->x), k = rows(n->x), width = columns(n->dy);
        const int64_t splits = max_gemm_splits(m, width, k, kernels.blocks, blas);
        return splits > 1 ? static_cast<uint64_t>(splits * m * width) * 4 : 0;
    }
    if (const auto* n = std::get_if<hpc_column_sums>(&payload))
        return sums_bytes(blocks_of(rows(n->x), row_block(columns(n->x))), columns(n->x));
    if (const auto* n = std::get_if<ActivationBackwardNode>(&payload))
        return n->sums ? sums_bytes(blocks_of(rows(n->dx), row_block(columns(n->dx))), columns(n->dx)) : 0;
    if (const auto* n = std::get_if<LossNode>(&payload))
        return sizeof(LossPartial) * static_cast<uint64_t>(blocks_of(rows(n->prediction), row_block(columns(n->prediction))));
    if (const auto* n = std::get_if<SoftmaxCrossEntropyNode>(&payload)) {
        const int64_t parts = blocks_of(rows(n->logits), row_block(columns(n->logits)));
        return sizeof(LossPartial) * static_cast<uint64_t>(parts) + (n->sums ? sums_bytes(parts, columns(n->logits)) : 0);
    }
    if (const auto* n = std::get_if<hpc_norm>(&payload))
        return static_cast<uint64_t>(blocks_of(static_cast<int64_t>(value(n->x).elements(capacity)), kNormBlock)) * 8;
    return 0;
}

// ---- Lowering ----------------------------------------------------------------------------------------------------

class Lowering {
public:
    Lowering(CpuDevice& device, const Plan& plan, MetricState& metrics)
        : kernels_(device.kernels()), blas_(device.blas()), plan_(plan), metrics_(metrics) {}

    Lowered lower(size_t index) {
        node_ = index;
        guarded_ = false;
        for (const Operand& operand : operands(plan_.nodes[index].payload)) {
            const int32_t kind = plan_.value(operand.value).kind;
            if (operand.writes() && (kind == HPC_VALUE_PARAMETER || kind == HPC_VALUE_OPTIMIZER_STATE)) guarded_ = true;
        }
        Lowered lowered = std::visit(*this, plan_.nodes[index].payload);
        if (guarded_) {
            // What a network has learned does not change while a flag is set.
            for (Phase& phase : lowered.phases)
                phase.work = [state = &metrics_, work = std::move(phase.work)](int64_t tile, const Worker& worker) {
                    if (!flagged(*state)) work(tile, worker);
                };
        }
        return lowered;
    }

    Lowered operator()(const hpc_gather_rows& n) {
        const Value& destination = value(n.destination);
        const int64_t source_rows = static_cast<int64_t>(value(n.source).rows(plan_.capacity));
        const Value& indices = value(n.indices);
        const int64_t columns = static_cast<int64_t>(destination.columns);
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &destination](const Extents& at) {
                      pass->plan(static_cast<int64_t>(destination.rows(at)), columns);
                      return pass->blocks;
                  },
                  [=, this_metrics = &metrics_, n = n, from = floats(n.source), index = ints(n.indices), to = floats(n.destination),
                   &indices](int64_t tile, const Worker& w) {
                      const int64_t available = static_cast<int64_t>(indices.rows(w.run.extents));
                      const uint64_t offset = w.run.counter(n.offset);
                      for (int64_t i = pass->first(tile), end = i + pass->count(tile); i < end; i++) {
                          int64_t row = -1;
                          if (offset < static_cast<uint64_t>(available) && i < available - static_cast<int64_t>(offset))
                              row = index[static_cast<int64_t>(offset) + i];
                          if (row < 0 || row >= source_rows) {
                              raise(*this_metrics, HPC_FLAG_INDEX);
                              row = 0;
                          }
                          std::memcpy(to + i * columns, from + row * columns, static_cast<size_t>(columns) * 4);
                      }
                  }}},
                ""};
    }

    Lowered operator()(const DenseForwardNode& n) {
        Epilogue epilogue;
        epilogue.bias = n.b ? floats(n.b) : nullptr;
        epilogue.kept = n.activation.kept ? floats(n.activation.kept) : nullptr;
        epilogue.ldkept = columns(n.y);
        epilogue.alpha = n.activation.alpha;
        epilogue.beta = n.activation.beta;
        const bool needed = n.b || n.activation.present();
        epilogue.apply = needed ? kernels_.epilogue_forward[n.activation.present() ? n.activation.activation : HPC_ACTIVATION_LINEAR]
                                : nullptr;
        return product(Form::NN, value(n.y), columns(n.x), floats(n.x), columns(n.x), floats(n.w), columns(n.w), floats(n.y),
                       epilogue, nullptr);
    }

    Lowered operator()(const DenseBackwardInputNode& n) {
        Epilogue epilogue;
        epilogue.kept = n.activation.kept ? floats(n.activation.kept) : nullptr;
        epilogue.ldkept = columns(n.dx);
        epilogue.alpha = n.activation.alpha;
        epilogue.beta = n.activation.beta;
        const bool needed = n.sums || n.activation.present();
        epilogue.apply = needed ? kernels_.epilogue_backward[n.activation.present() ? n.activation.activation : HPC_ACTIVATION_LINEAR]
                                : nullptr;
        return product(Form::NT, value(n.dx), columns(n.dy), floats(n.dy), columns(n.dy), floats(n.w), columns(n.w), floats(n.dx),
                       epilogue, n.sums ? floats(n.sums) : nullptr);
    }

    Lowered operator()(const hpc_dense_backward_weight& n) {
        // dW[in x out] = X[r x in]^T dY[r x out]: the rows are the depth k, which may be split into parts with partial
        // results [splits][in x out] in scratch, combined in order.
        struct State {
            GemmPlan plan;
            int64_t k;
        };
        auto state = std::make_shared<State>();
        const Value& x = value(n.x);
        const int64_t m = columns(n.x), width = columns(n.dy);
        const float* a = floats(n.x);
        const float* b = floats(n.dy);
        float* c = floats(n.dw);
        float* parts = scratch<float>();
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        Lowered lowered;
        lowered.phases.push_back(
            {[=, &x](const Extents& at) {
                 state->k = static_cast<int64_t>(x.rows(at));
                 state->plan = plan_gemm(Form::TN, m, width, state->k, kernels->blocks, blas != nullptr);
                 return state->plan.tiles(m, width) * state->plan.splits;
             },
             [=](int64_t index, const Worker& w) {
                 const GemmPlan& plan = state->plan;
                 const int64_t per_split = plan.tiles(m, width);
                 const int64_t split = index / per_split;
                 const GemmPlan::Tile at = plan.tile(index % per_split, m, width);
                 const int64_t k0 = split * plan.split_k;
                 float* target = plan.splits > 1 ? parts + split * m * width : c;
                 const GemmTile tile{Form::TN, at.m, at.n, std::min(plan.split_k, state->k - k0), a + k0 * m + at.row, m,
                                     b + k0 * width + at.column, width, target + at.row * width + at.column, width, nullptr,
                                     at.row, at.column, plan.path};
                 multiply(*kernels, blas, tile, w.scratch);
             }});
        lowered.phases.push_back({[=](const Extents&) -> int64_t {
                                      return state->plan.splits > 1 ? blocks_of(m * width, kFlatBlock) : 0;
                                  },
                                  [=](int64_t tile, const Worker&) {
                                      const int64_t first = tile * kFlatBlock;
                                      kernels->sum_parts(parts + first, state->plan.splits, m * width, c + first,
                                                         std::min(kFlatBlock, m * width - first));
                                  }});
        const GemmPlan plan = plan_gemm(Form::TN, m, width, static_cast<int64_t>(x.rows(plan_.capacity)), kernels_.blocks, blas != nullptr);
        lowered.picked = describe_product(plan, m, width);
        return lowered;
    }

    Lowered operator()(const hpc_column_sums& n) {
        const int64_t width = columns(n.x);
        const float* x = floats(n.x);
        const Kernels* kernels = &kernels_;
        return row_pass_with_sums(value(n.x), width, scratch<float>(), floats(n.y), [=](int64_t first, int64_t count, float* sums) {
            kernels->column_sums(x + first * width, width, count, width, sums);
        });
    }

    Lowered operator()(const hpc_activation_forward& n) {
        auto kernel = kernels_.activation_forward[n.activation];
        float* derivative = n.derivative ? floats(n.derivative) : nullptr;
        return flat(value(n.x), [=, x = floats(n.x), y = floats(n.y), n = n](int64_t first, int64_t count, const Worker&) {
            kernel(x + first, y + first, derivative ? derivative + first : nullptr, count, n.alpha, n.beta);
        });
    }

    Lowered operator()(const ActivationBackwardNode& n) {
        auto kernel = kernels_.activation_backward[n.activation];
        const float* kept = n.kept ? floats(n.kept) : nullptr;
        const float* dy = floats(n.dy);
        float* dx = floats(n.dx);
        const float alpha = n.alpha, beta = n.beta;
        if (!n.sums) {
            return flat(value(n.dx), [=](int64_t first, int64_t count, const Worker&) {
                kernel(kept ? kept + first : nullptr, dy + first, dx + first, count, alpha, beta);
            });
        }
        const int64_t width = columns(n.dx);
        const Kernels* kernels = &kernels_;
        return row_pass_with_sums(value(n.dx), width, scratch<float>(), floats(n.sums), [=](int64_t first, int64_t count, float* sums) {
            const int64_t at = first * width;
            kernel(kept ? kept + at : nullptr, dy + at, dx + at, count * width, alpha, beta);
            kernels->column_sums(dx + at, width, count, width, sums);
        });
    }

    Lowered operator()(const LossNode& n) {
        const Value& prediction = value(n.prediction);
        const int64_t width = columns(n.prediction);
        auto kernel = kernels_.loss[n.loss];
        const float* p = floats(n.prediction);
        const float* t = floats(n.target);
        float* gradient = n.gradient ? floats(n.gradient) : nullptr;
        auto pass = std::make_shared<RowPass>();
        LossPartial* partials = scratch<LossPartial>();
        const LossNode node = n;
        Lowered lowered;
        lowered.phases.push_back({[=, &prediction](const Extents& at) {
                                      pass->plan(static_cast<int64_t>(prediction.rows(at)), width);
                                      return pass->blocks;
                                  },
                                  [=](int64_t tile, const Worker& w) {
                                      const int64_t at = pass->first(tile) * width;
                                      const float scale = loss_scale(node.reduction, w.run.scalar(node.weight), pass->rows * width);
                                      LossElements elements{p + at, t + at, gradient ? gradient + at : nullptr,
                                                            pass->count(tile) * width, scale, node.alpha, node.beta, 0};
                                      kernel(elements);
                                      partials[tile] = {elements.loss, 0, 0, {}};
                                  }});
        if (n.adds_loss) lowered.phases.push_back(combine_losses(pass, partials, node.reduction, node.weight, width));
        return lowered;
    }

    Lowered operator()(const SoftmaxCrossEntropyNode& n) {
        const Value& logits = value(n.logits);
        const int64_t width = columns(n.logits);
        const bool labelled = value(n.target).dtype == HPC_INT32;
        const float* x = floats(n.logits);
        const int32_t* labels = labelled ? ints(n.target) : nullptr;
        const float* probabilities = labelled ? nullptr : floats(n.target);
        float* gradient = n.gradient ? floats(n.gradient) : nullptr;
        float* sums = n.sums ? floats(n.sums) : nullptr;
        auto pass = std::make_shared<RowPass>();
        // Scratch: the partial losses of every block, then the partial column sums of every block.
        LossPartial* partials = scratch<LossPartial>();
        float* parts = reinterpret_cast<float*>(partials + blocks_of(static_cast<int64_t>(logits.rows(plan_.capacity)), row_block(width)));
        const Kernels* kernels = &kernels_;
        const SoftmaxCrossEntropyNode node = n;
        Lowered lowered;
        lowered.phases.push_back(
            {[=, &logits](const Extents& at) {
                 pass->plan(static_cast<int64_t>(logits.rows(at)), width);
                 return pass->blocks;
             },
             [=](int64_t tile, const Worker& w) {
                 const int64_t first = pass->first(tile), at = first * width;
                 float* part = !sums ? nullptr : pass->blocks == 1 ? sums : parts + tile * padded(width);
                 if (part) std::memset(part, 0, static_cast<size_t>(width) * 4);
                 SoftmaxCrossEntropyRows rows{x + at, labels ? labels + first : nullptr, probabilities ? probabilities + at : nullptr,
                                              gradient ? gradient + at : nullptr, part, pass->count(tile), width,
                                              loss_scale(node.reduction, w.run.scalar(node.weight), pass->rows), 0, 0, 0};
                 kernels->softmax_cross_entropy(rows);
                 partials[tile] = {rows.loss, rows.correct, rows.flags, {}};
             }});
        if (sums || n.adds_loss) {
            // One tile sums the columns, another the losses.
            Phase losses = n.adds_loss ? combine_losses(pass, partials, node.reduction, node.weight, 1) : Phase{};
            const bool adds_loss = n.adds_loss;
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return pass->blocks ? 2 : 0; },
                                      [=](int64_t tile, const Worker& w) {
                                          if (tile == 0 && sums && pass->blocks > 1)
                                              kernels->sum_parts(parts, pass->blocks, padded(width), sums, width);
                                          if (tile == 1 && adds_loss) losses.work(0, w);
                                      }});
        }
        return lowered;
    }

    Lowered operator()(const hpc_softmax& n) {
        const Value& x = value(n.x);
        const int64_t width = columns(n.x);
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &x](const Extents& at) {
                      pass->plan(static_cast<int64_t>(x.rows(at)), width);
                      return pass->blocks;
                  },
                  [=, from = floats(n.x), to = floats(n.y), kernel = kernels_.softmax](int64_t tile, const Worker&) {
                      const int64_t at = pass->first(tile) * width;
                      kernel(from + at, to + at, pass->count(tile), width);
                  }}},
                ""};
    }

    Lowered operator()(const hpc_update& n) {
        const hpc_rule_info* info = rule_info(n.rule);
        auto prepare = prepare_rule(n.rule);
        auto kernel = kernels_.update[n.rule];
        float* states[HPC_MAX_STATES];
        for (int i = 0; i < HPC_MAX_STATES; i++) states[i] = n.states[i] ? floats(n.states[i]) : nullptr;
        struct States {
            float* at[HPC_MAX_STATES];
        } kept;
        std::memcpy(kept.at, states, sizeof states);
        return flat(value(n.parameters), [=, p = floats(n.parameters), g = floats(n.gradients), n = n,
                                          hypers = info->hyperparameter_count](int64_t first, int64_t count, const Worker& w) {
            float h[HPC_MAX_HYPERPARAMETERS] = {};
            for (int i = 0; i < hypers; i++) h[i] = w.run.scalar(n.hyperparameters[i]);
            UpdateElements elements{};
            elements.parameters = p + first;
            elements.gradients = g + first;
            for (int i = 0; i < HPC_MAX_STATES; i++) elements.states[i] = kept.at[i] ? kept.at[i] + first : nullptr;
            elements.count = count;
            prepare(h, w.run.counter(n.step), elements.h);
            kernel(elements);
        });
    }

    Lowered operator()(const hpc_norm& n) {
        const Value& x = value(n.x);
        double* partials = scratch<double>();
        auto count = std::make_shared<int64_t>(0);
        Lowered lowered;
        lowered.phases.push_back({[=, &x](const Extents& at) {
                                      *count = static_cast<int64_t>(x.elements(at));
                                      return blocks_of(*count, kNormBlock);
                                  },
                                  [=, from = floats(n.x), kernel = kernels_.sum_of_squares](int64_t tile, const Worker&) {
                                      const int64_t first = tile * kNormBlock;
                                      partials[tile] = kernel(from + first, std::min(kNormBlock, *count - first));
                                  }});
        lowered.phases.push_back({[](const Extents&) -> int64_t { return 1; },
                                  [=, norm = floats(n.norm), state = &metrics_](int64_t, const Worker&) {
                                      double sum = 0;
                                      for (int64_t i = 0; i < blocks_of(*count, kNormBlock); i++) sum += partials[i];
                                      state->gradient_norm = std::sqrt(sum);
                                      *norm = static_cast<float>(state->gradient_norm);
                                  }});
        return lowered;
    }

    Lowered operator()(const hpc_clip_by_norm& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), norm = floats(n.norm), kernel = kernels_.scale](
                                    int64_t first, int64_t count, const Worker& w) {
            // In double: a norm beyond float32's range (infinity here) would otherwise make 0 of everything.
            const double factor = static_cast<double>(w.run.scalar(n.max_norm)) / (static_cast<double>(*norm) + 1e-6);
            if (factor < 1) kernel(x + first, count, static_cast<float>(factor));
        });
    }

    Lowered operator()(const hpc_scale& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), kernel = kernels_.scale](int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, count, w.run.scalar(n.factor));
        });
    }

    Lowered operator()(const hpc_add_scaled& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), y = floats(n.y), kernel = kernels_.add_scaled](
                                    int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, y + first, count, w.run.scalar(n.factor));
        });
    }

    Lowered operator()(const hpc_fill& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), kernel = kernels_.fill](int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, count, w.run.scalar(n.value));
        });
    }

    Lowered operator()(const hpc_philox_uniform& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), kernel = kernels_.philox_uniform](int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, static_cast<uint64_t>(first), count, w.run.counter(n.seed), w.run.counter(n.stream), n.low, n.high);
        });
    }

    Lowered operator()(const hpc_dropout& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), y = floats(n.y), kernel = kernels_.dropout](int64_t first, int64_t count,
                                                                                                 const Worker& w) {
            kernel(x + first, y + first, static_cast<uint64_t>(first), count, w.run.counter(n.seed), w.run.counter(n.stream),
                   w.run.scalar(n.rate));
        });
    }

    Lowered operator()(const hpc_multiply& n) {
        return flat(value(n.x), [x = floats(n.x), y = floats(n.y), z = floats(n.z), kernel = kernels_.multiply](
                                    int64_t first, int64_t count, const Worker&) { kernel(x + first, y + first, z + first, count); });
    }

    Lowered operator()(const hpc_copy_columns& n) {
        const Value& x = value(n.x);
        const int64_t pieces = static_cast<int64_t>(n.pieces), count = static_cast<int64_t>(n.columns);
        const int64_t ldx = columns(n.x) / pieces, ldy = columns(n.y) / pieces;
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &x](const Extents& at) {
                      pass->plan(static_cast<int64_t>(x.rows(at)) * pieces, count);
                      return pass->blocks;
                  },
                  [=, from = floats(n.x) + n.x_column, to = floats(n.y) + n.y_column](int64_t tile, const Worker&) {
                      for (int64_t i = pass->first(tile), end = i + pass->count(tile); i < end; i++)
                          std::memcpy(to + i * ldy, from + i * ldx, static_cast<size_t>(count) * 4);
                  }}},
                ""};
    }

    Lowered operator()(const hpc_affine_dropout& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), y = floats(n.y), kernel = kernels_.affine_dropout](
                                    int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, y + first, static_cast<uint64_t>(first), count, w.run.counter(n.seed), w.run.counter(n.stream), n.rate,
                   n.scale, n.shift, n.dropped);
        });
    }

    Lowered operator()(const hpc_gaussian_noise& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), y = floats(n.y), kernel = kernels_.gaussian_noise](
                                    int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, y + first, static_cast<uint64_t>(first), count, w.run.counter(n.seed), w.run.counter(n.stream),
                   w.run.scalar(n.deviation));
        });
    }

private:
    const Value& value(ValueId id) const { return plan_.value(id); }
    int64_t columns(ValueId id) const { return static_cast<int64_t>(value(id).columns); }
    char* place(const Value& v) const { return static_cast<const CpuBuffer&>(*v.buffer).data() + v.offset; }
    float* floats(ValueId id) const { return reinterpret_cast<float*>(place(value(id))); }
    int32_t* ints(ValueId id) const { return reinterpret_cast<int32_t*>(place(value(id))); }
    template <class T>
    T* scratch() const {
        if (!plan_.workspace) return nullptr;
        return reinterpret_cast<T*>(static_cast<const CpuBuffer&>(*plan_.workspace).data() + plan_.scratch[node_]);
    }

    static float loss_scale(int32_t reduction, float weight, int64_t count) {
        return reduction == HPC_REDUCTION_MEAN ? weight / static_cast<float>(count) : weight;
    }

    // One tile of a product, by the provider or the built-in kernels, and its epilogue.
    static void multiply(const Kernels& kernels, const BlasProvider* blas, const GemmTile& tile, void* scratch) noexcept {
        if (!blas || tile.k == 0) {
            kernels.gemm(tile, scratch);
            return;
        }
        blas->sgemm(tile.form, tile.m, tile.n, tile.k, tile.a, tile.lda, tile.b, tile.ldb, tile.c, tile.ldc);
        if (tile.epilogue) tile.epilogue->apply(*tile.epilogue, tile.c, tile.ldc, tile.row, tile.col, tile.m, tile.n);
    }

    // C[rows x width] = A B or A B^T over a grid of tiles, with the epilogue, and with column sums by row of tiles.
    Lowered product(Form form, const Value& c_value, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                    const Epilogue& epilogue, float* sums) {
        struct State {
            GemmPlan plan;
            int64_t m;
        };
        auto state = std::make_shared<State>();
        const int64_t width = static_cast<int64_t>(c_value.columns);
        float* parts = sums ? scratch<float>() : nullptr;  // [row of tiles][padded width]
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        Lowered lowered;
        lowered.phases.push_back({[=, &c_value](const Extents& at) {
                                      state->m = static_cast<int64_t>(c_value.rows(at));
                                      state->plan = plan_gemm(form, state->m, width, k, kernels->blocks, blas != nullptr);
                                      return state->plan.tiles(state->m, width);
                                  },
                                  [=](int64_t index, const Worker& w) {
                                      const GemmPlan& plan = state->plan;
                                      const GemmPlan::Tile at = plan.tile(index, state->m, width);
                                      Epilogue own = epilogue;
                                      if (sums) {
                                          own.sums = plan.row_tiles(state->m) == 1 ? sums : parts + at.row / plan.tile_m * padded(width);
                                          std::memset(own.sums + at.column, 0, static_cast<size_t>(at.n) * 4);
                                      }
                                      const float* b_at = form == Form::NT ? b + at.column * ldb : b + at.column;
                                      const GemmTile tile{form, at.m, at.n, k, a + at.row * lda, lda, b_at, ldb,
                                                          c + at.row * width + at.column, width, own.apply ? &own : nullptr,
                                                          at.row, at.column, plan.path};
                                      multiply(*kernels, blas, tile, w.scratch);
                                  }});
        if (sums) {
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return state->plan.row_tiles(state->m) > 1 ? 1 : 0; },
                                      [=](int64_t, const Worker&) {
                                          kernels->sum_parts(parts, state->plan.row_tiles(state->m), padded(width), sums, width);
                                      }});
        }
        const int64_t m = static_cast<int64_t>(c_value.rows(plan_.capacity));
        lowered.picked = describe_product(plan_gemm(form, m, width, k, kernels_.blocks, blas != nullptr), m, width);
        return lowered;
    }

    std::string describe_product(const GemmPlan& plan, int64_t m, int64_t n) const {
        std::string text = std::to_string(plan.tiles(m, n)) + (plan.tiles(m, n) == 1 ? " tile of " : " tiles of ") +
                           std::to_string(std::min(plan.tile_m, m)) + " x " + std::to_string(std::min(plan.tile_n, n));
        if (plan.splits > 1) text += ", rows in " + std::to_string(plan.splits) + " parts";
        return text + ", " + (blas_ ? blas_->name() : kernels_.isa);
    }

    // An elementwise pass over all elements of a value, in flat blocks.
    template <class Body>
    Lowered flat(const Value& v, Body body) {
        auto total = std::make_shared<int64_t>(0);
        return {{{[=, &v](const Extents& at) {
                      *total = static_cast<int64_t>(v.elements(at));
                      return blocks_of(*total, kFlatBlock);
                  },
                  [=](int64_t tile, const Worker& w) {
                      const int64_t first = tile * kFlatBlock;
                      body(first, std::min(kFlatBlock, *total - first), w);
                  }}},
                ""};
    }

    // A pass over blocks of rows that adds column sums: body(first row, rows, sums of this block).
    template <class Body>
    Lowered row_pass_with_sums(const Value& v, int64_t width, float* parts, float* sums, Body body) {
        auto pass = std::make_shared<RowPass>();
        const Kernels* kernels = &kernels_;
        Lowered lowered;
        lowered.phases.push_back({[=, &v](const Extents& at) {
                                      pass->plan(static_cast<int64_t>(v.rows(at)), width);
                                      return pass->blocks;
                                  },
                                  [=](int64_t tile, const Worker&) {
                                      float* part = pass->blocks == 1 ? sums : parts + tile * padded(width);
                                      std::memset(part, 0, static_cast<size_t>(width) * 4);
                                      body(pass->first(tile), pass->count(tile), part);
                                  }});
        lowered.phases.push_back({[=](const Extents&) -> int64_t { return pass->blocks > 1 ? 1 : 0; },
                                  [=](int64_t, const Worker&) { kernels->sum_parts(parts, pass->blocks, padded(width), sums, width); }});
        return lowered;
    }

    // Adds the partial losses, in order, to the metrics. `width`: elements of a row that a mean is taken over.
    Phase combine_losses(std::shared_ptr<RowPass> pass, const LossPartial* partials, int32_t reduction, hpc_scalar weight,
                         int64_t width) {
        return {[=](const Extents&) -> int64_t { return pass->blocks ? 1 : 0; },
                [=, state = &metrics_](int64_t, const Worker& w) {
                    double loss = 0;
                    uint64_t correct = 0;
                    uint32_t flags = 0;
                    for (int64_t i = 0; i < pass->blocks; i++) {
                        loss += partials[i].loss;
                        correct += partials[i].correct;
                        flags |= partials[i].flags;
                    }
                    if (!std::isfinite(loss)) flags |= HPC_FLAG_NONFINITE;
                    loss *= static_cast<double>(w.run.scalar(weight));
                    state->loss += reduction == HPC_REDUCTION_MEAN ? loss / static_cast<double>(width) : loss;
                    state->rows += static_cast<uint64_t>(pass->rows);
                    state->correct += correct;
                    raise(*state, flags);
                }};
    }

    const Kernels& kernels_;
    const BlasProvider* blas_;
    const Plan& plan_;
    MetricState& metrics_;
    size_t node_ = 0;
    bool guarded_ = false;
};

// ---- Stages ------------------------------------------------------------------------------------------------------

// A piece of memory that a node touches.
struct Range {
    const Buffer* buffer;
    uint64_t first, last;
    bool writes;
};

std::vector<Range> ranges_of(const Plan& plan, size_t index, uint64_t scratch_bytes) {
    std::vector<Range> ranges;
    for (const Operand& operand : operands(plan.nodes[index].payload)) {
        const Value& value = plan.value(operand.value);
        ranges.push_back({value.buffer.get(), value.offset, value.offset + value.bytes(plan.capacity), operand.writes()});
    }
    if (scratch_bytes) ranges.push_back({plan.workspace.get(), plan.scratch[index], plan.scratch[index] + scratch_bytes, true});
    return ranges;
}

class CpuExecutor final : public Executor {
public:
    CpuExecutor(std::shared_ptr<CpuDevice> device, const Plan& plan) : device_(std::move(device)), plan_(plan) {
        Lowering lowering(*device_, plan, metrics_);
        for (size_t i = 0; i < plan.nodes.size(); i++) nodes_.push_back(lowering.lower(i));
        group();
    }

    void run(const Run& run) override {
        prepare(run.extents);
        Scratch scratch(device_->scratch());
        auto body = [&](Member& member) {
            const Worker worker{run, member.index() == 0 ? scratch.data() : device_->worker_scratch(member.index())};
            for (const Stage& stage : stages_) execute(stage, member, worker);
        };
        if (device_->team().threads() > 1 && seconds_ >= kTeamRunSeconds) {
            if (device_->team().run(body)) team_runs_.fetch_add(1, std::memory_order_relaxed);
        } else {
            Team::run_alone(body);
        }
        count_run();
    }

    void profile(const Run& run, double* nanoseconds) override {
        using Clock = std::chrono::steady_clock;
        prepare(run.extents);
        Scratch scratch(device_->scratch());
        for (size_t i = 0; i < nodes_.size(); i++) {
            const double seconds = estimate(i, run.extents);
            auto body = [&](Member& member) {
                const Worker worker{run, member.index() == 0 ? scratch.data() : device_->worker_scratch(member.index())};
                for (size_t p = 0; p < nodes_[i].phases.size(); p++)
                    execute({{{i, p, tiles_[i][p]}}, tiles_[i][p], seconds < kTeamStageSeconds}, member, worker);
            };
            const auto start = Clock::now();
            if (device_->team().threads() > 1 && seconds >= kTeamStageSeconds) {
                device_->team().run(body);
            } else {
                Team::run_alone(body);
            }
            const double elapsed = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
            nanoseconds[i] = std::min(nanoseconds[i], elapsed);
        }
        count_run();
    }

    void fetch(hpc_metrics& out) override {
        out = {};
        out.loss = metrics_.loss;
        out.gradient_norm = metrics_.gradient_norm;
        out.rows = metrics_.rows;
        out.correct = metrics_.correct;
        out.runs = metrics_.runs;
        out.first_flagged_run = metrics_.first_flagged_run;
        out.flags = metrics_.flags.exchange(0, std::memory_order_relaxed);
        metrics_.loss = metrics_.gradient_norm = 0;
        metrics_.rows = metrics_.correct = metrics_.runs = metrics_.first_flagged_run = 0;
    }

    void transfer_in(const Value& value, const void* host, uint64_t bytes) override { value.buffer->write(value.offset, host, bytes); }
    void transfer_out(const Value& value, void* host, uint64_t bytes) override { value.buffer->read(value.offset, host, bytes); }
    std::string describe(size_t node) const override { return nodes_[node].picked; }
    uint64_t team_runs() const override { return team_runs_.load(std::memory_order_relaxed); }

private:
    struct Entry {
        size_t node, phase;
        int64_t tiles;
    };

    // Phases that do not depend on one another: their tiles are claimed together.
    struct Stage {
        std::vector<Entry> entries;
        int64_t tiles = 0;
        bool small = false;
    };

    class Scratch {
    public:
        explicit Scratch(ScratchPool& pool) : pool_(pool), block_(pool.borrow()) {}
        ~Scratch() { pool_.give_back(block_); }
        Scratch(const Scratch&) = delete;
        Scratch& operator=(const Scratch&) = delete;
        void* data() const { return block_->data(); }

    private:
        ScratchPool& pool_;
        Memory* block_;
    };

    void execute(const Stage& stage, Member& member, const Worker& worker) noexcept {
        if (stage.tiles == 0) return;
        auto all = [&] {
            for (const Entry& entry : stage.entries)
                for (int64_t tile = 0; tile < entry.tiles; tile++) nodes_[entry.node].phases[entry.phase].work(tile, worker);
        };
        if (stage.small) {
            member.once(all);
            return;
        }
        member.tiles(stage.tiles, [&](int64_t tile) {
            const Entry* entry = stage.entries.data();
            while (tile >= entry->tiles) tile -= (entry++)->tiles;
            nodes_[entry->node].phases[entry->phase].work(tile, worker);
        });
    }

    // Consecutive nodes of which none depends on another form a group; a group's stage p holds phase p of all of them.
    void group() {
        std::vector<std::vector<Range>> ranges;
        for (size_t i = 0; i < plan_.nodes.size(); i++)
            ranges.push_back(ranges_of(plan_, i, device_->scratch_bytes(plan_.nodes[i], plan_.values, plan_.capacity)));
        auto depends = [&](size_t a, size_t b) {
            // Metrics are added to in order; flags decide what other nodes do.
            if (touches_metrics(plan_.nodes[a].payload) || touches_metrics(plan_.nodes[b].payload)) return true;
            for (const Range& x : ranges[a])
                for (const Range& y : ranges[b])
                    if ((x.writes || y.writes) && x.buffer == y.buffer && x.first < y.last && y.first < x.last) return true;
            return false;
        };
        for (size_t first = 0; first < nodes_.size();) {
            size_t end = first + 1;
            for (bool joins = true; end < nodes_.size(); end++) {
                for (size_t i = first; i < end && joins; i++) joins = !depends(i, end);
                if (!joins) break;
            }
            size_t phases = 0;
            for (size_t i = first; i < end; i++) phases = std::max(phases, nodes_[i].phases.size());
            for (size_t p = 0; p < phases; p++) {
                Stage stage;
                for (size_t i = first; i < end; i++)
                    if (p < nodes_[i].phases.size()) stage.entries.push_back({i, p, 0});
                stages_.push_back(std::move(stage));
            }
            first = end;
        }
        tiles_.resize(nodes_.size());
        for (size_t i = 0; i < nodes_.size(); i++) tiles_[i].resize(nodes_[i].phases.size());
    }

    double estimate(size_t node, const Extents& at) const {
        const Work work = work_of(plan_.nodes[node].payload, plan_.values, at);
        return std::max(static_cast<double>(work.flops) / kFlopsPerSecond, static_cast<double>(work.bytes) / kBytesPerSecond);
    }

    // Plans tiles for these extents; a run at the extents of the run before finds everything in place.
    void prepare(const Extents& at) {
        if (at.rows == prepared_.rows && at.steps == prepared_.steps) return;
        for (size_t i = 0; i < nodes_.size(); i++)
            for (size_t p = 0; p < nodes_[i].phases.size(); p++) tiles_[i][p] = nodes_[i].phases[p].plan(at);
        seconds_ = 0;
        for (Stage& stage : stages_) {
            double seconds = 0;
            stage.tiles = 0;
            for (Entry& entry : stage.entries) {
                entry.tiles = tiles_[entry.node][entry.phase];
                stage.tiles += entry.tiles;
                // Later phases combine the little that the first left.
                if (entry.phase == 0) seconds += estimate(entry.node, at);
            }
            stage.small = stage.tiles == 1 || seconds < kTeamStageSeconds;
            if (!stage.small) seconds_ += seconds;
        }
        prepared_ = at;
    }

    void count_run() {
        metrics_.runs++;
        if (metrics_.first_flagged_run == 0 && flagged(metrics_)) metrics_.first_flagged_run = metrics_.runs;
    }

    std::shared_ptr<CpuDevice> device_;
    const Plan& plan_;
    MetricState metrics_;
    std::vector<Lowered> nodes_;
    std::vector<Stage> stages_;
    std::vector<std::vector<int64_t>> tiles_;
    Extents prepared_{0, 0};
    double seconds_ = 0;
    std::atomic<uint64_t> team_runs_{0};
};

}  // namespace

uint64_t CpuDevice::scratch_bytes(const Node& node, const std::vector<Value>& values, const Extents& capacity) const {
    return scratch_for(node.payload, values, capacity, kernels_, blas_ != nullptr);
}

std::unique_ptr<Executor> CpuDevice::lower(const Plan& plan) {
    return std::make_unique<CpuExecutor>(std::static_pointer_cast<CpuDevice>(shared_from_this()), plan);
}

}  // namespace hpc::cpu
