// Executes a plan on the CPU: each node is lowered once to phases, each phase is a number of independent tiles.
//
// A run walks the stages: a stage holds the same phase of consecutive nodes that do not depend on one another, and its
// tiles are claimed by the team. Tiles depend on shapes and the instruction set only, partial results go to scratch by
// tile and are combined in index order in a later phase: so the bits are the same for any number of threads, and on the
// calling thread alone.
//
// What did not pay, measured on two cores of a Zen 4:
//   Taking a small network block of rows by block of rows through all its instructions, so that the team meets a few times in a
//   step. Blocks of 16 rows cost one thread 4 % (64-64-32-3, batch 32), of 64 rows 9 % (4-32-16-4, full batch). Two threads took
//   13 to 16 us for the first one's step, where one takes 12.3, while a word went from core to core and back in 60 ns, and 50 us
//   while it took 360, which a virtual machine changes without a word.
//   Members that claim tiles from both ends, so that each finds in its caches what it read in the run before: predictions for 64
//   rows 4 % faster, training 3 % and products of 2048 5 % slower, because neighbours no longer share what they read.
//   The update on a tile of a weight's gradient while it is in cache. Tried as far as the reading: with gradients from 64 KB that
//   stay in the second level, steps of 784-512-256-10 and 1024 x 4 took no less time. (What else it would save, a gradient's way
//   to memory, was not tried.)
//
// To add an instruction: an overload of Lowering::operator() here, and its scratch in scratch_for.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <initializer_list>

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
constexpr int64_t kShortRow = 8;         // a row to gather that is shorter is not worth a call
constexpr int64_t kTransposeBlock = 16;  // a square of this side at a time: a line of the target, few lines of the source
// Rows of a batch that a tile of a recurrent layer takes through all steps: the more, the fewer times the recurrent weights
// come from the second-level cache; the fewer, the more tiles for the team.
constexpr int64_t kRecurrentRows = 32;
constexpr int64_t kFewRecurrentRows = 16, kFewRows = 64;  // for batches up to this
constexpr int64_t kChannelColumns = 512;    // sums by channel: columns of a tile, whole channels
constexpr int64_t kChannelBytes = 131072;   // and rows for about this many bytes
constexpr int64_t kChannelFinish = 256;     // channels of a tile that combines them
constexpr int64_t kEmbeddingParts = 16;     // most tiles of a table's gradient; each looks at all indices
// From so many bytes on, all arrays of an elementwise pass together, what it only writes goes past the caches. Measured: with arrays of
// 16 MB and more it is faster by a quarter to a half, with 8 MB as fast, with less slower for whoever reads them next, who would find
// them in the last level.
constexpr int64_t kPastBytes = int64_t{32} << 20;

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

// Whether an elementwise pass stores past the caches. What it also reads is in the cache when it is written: it then never does.
class Past {
public:
    Past() = default;
    // Null: there is no such array.
    Past(std::initializer_list<const float*> inputs, std::initializer_list<const float*> outputs) {
        for (const float* input : inputs) arrays_ += input != nullptr;
        for (const float* output : outputs) {
            if (!output) continue;
            arrays_++;
            if (std::find(inputs.begin(), inputs.end(), output) != inputs.end() || reinterpret_cast<uintptr_t>(output) % 64 != 0) never_ = true;
        }
    }
    bool at(int64_t elements) const { return !never_ && elements * arrays_ * 4 >= kPastBytes; }

private:
    int64_t arrays_ = 0;
    bool never_ = false;
};

char* place(const Value& v) { return static_cast<const CpuBuffer&>(*v.buffer).data() + v.offset; }

// Sums of one tile of a loss.
struct LossPartial {
    double loss, weight;
    uint64_t rows, correct;
    uint32_t flags;
    uint32_t padding[7];  // a cache line of its own
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
    bool whole = false;  // a later phase that is as much work as the first one
};

struct Lowered {
    std::vector<Phase> phases;
    std::string picked;
    size_t main = 0;  // the phase that does most of the work
    // Instead of phases: the caller's own code, between two parts of the run. False: it failed.
    std::function<bool(const Extents&)> call{};
};

struct MetricState {
    double loss = 0, weight = 0, gradient_norm = 0;
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

int64_t recurrent_block(int64_t rows) { return rows <= kFewRows ? kFewRecurrentRows : kRecurrentRows; }

// Tiles of sums by channel, of values whose rows are [channels, length].
struct ChannelTiles {
    int64_t channels, length, channel_block, channel_blocks, row_block, row_blocks = 0, rows = 0;
    ChannelTiles(int64_t columns, int64_t of)
        : channels(of), length(columns / of), channel_block(length == 1 ? kChannelColumns : std::max<int64_t>(1, kChannelColumns / length)),
          channel_blocks(blocks_of(channels, channel_block)),
          row_block(std::max(kMinRowBlock, kChannelBytes / 4 / (std::min(channels, channel_block) * length) / kMinRowBlock * kMinRowBlock)) {}
    int64_t plan(int64_t count) {
        rows = count;
        row_blocks = blocks_of(rows, row_block);
        return row_blocks * channel_blocks;
    }
    // Whole vectors fit: with length 1 a block is a multiple of kAlign.
    int64_t ld() const { return padded(channels); }
    uint64_t bytes() const { return static_cast<uint64_t>(row_blocks * 2 * ld()) * 8; }
};

// Scratch of one node, in bytes at capacity. The layouts stand where they are used, in Lowering.
uint64_t scratch_for(const Payload& payload, const std::vector<Value>& values, const Extents& capacity, const Kernels& kernels,
                     bool blas) {
    auto value = [&](ValueId id) -> const Value& { return values[id - 1]; };
    auto rows = [&](ValueId id) { return static_cast<int64_t>(value(id).rows(capacity)); };
    auto columns = [&](ValueId id) { return static_cast<int64_t>(value(id).columns); };
    // Rows of a matrix of so many columns in the memory of a value: a row may hold several (dense_forward in hpcnet.h).
    auto lines = [&](ValueId id, int64_t width) { return static_cast<int64_t>(value(id).elements(capacity)) / width; };
    auto sums_bytes = [](int64_t parts, int64_t n) { return static_cast<uint64_t>(parts * padded(n)) * 4; };
    if (const auto* n = std::get_if<DenseBackwardInputNode>(&payload)) {
        if (!n->sums) return 0;
        const int64_t width = columns(n->sums), m = lines(n->dx, width);
        const GemmPlan plan = plan_gemm(Form::NT, m, width, columns(n->w), kernels.blocks, blas);
        // Fewer rows may be cut into smaller tiles: one part for every smallest row block is always enough.
        return sums_bytes(blocks_of(m, std::min(plan.tile_m, kMinGemmRows)), width);
    }
    if (const auto* n = std::get_if<hpc_dense_backward_weight>(&payload)) {
        const int64_t m = rows(n->dw), k = lines(n->x, m), width = columns(n->dw);
        const int64_t splits = max_gemm_splits(m, width, k, kernels.blocks, blas);
        return splits > 1 ? static_cast<uint64_t>(splits * m * width) * 4 : 0;
    }
    if (const auto* n = std::get_if<hpc_column_sums>(&payload))
        return sums_bytes(blocks_of(lines(n->x, columns(n->y)), row_block(columns(n->y))), columns(n->y));
    if (const auto* n = std::get_if<ActivationBackwardNode>(&payload))
        return n->sums ? sums_bytes(blocks_of(lines(n->dx, columns(n->sums)), row_block(columns(n->sums))), columns(n->sums)) : 0;
    if (const auto* n = std::get_if<PReluBackwardNode>(&payload)) {
        const int64_t parts = blocks_of(rows(n->x), row_block(columns(n->x)));
        return sums_bytes(parts, columns(n->x)) * ((n->dslope ? 1u : 0u) + (n->sums ? 1u : 0u));
    }
    if (const auto* n = std::get_if<LossNode>(&payload))
        return sizeof(LossPartial) * static_cast<uint64_t>(blocks_of(rows(n->prediction), row_block(columns(n->prediction))));
    if (const auto* n = std::get_if<ClassLossNode>(&payload)) {
        // The sum of the labels' weights has the first place.
        const int64_t parts = blocks_of(rows(n->scores), row_block(columns(n->scores)));
        return sizeof(LossPartial) * static_cast<uint64_t>(1 + parts) + (n->sums ? sums_bytes(parts, columns(n->scores)) : 0);
    }
    if (const auto* n = std::get_if<hpc_batch_norm_forward>(&payload)) {
        if (n->running_mean) return 0;
        ChannelTiles tiles(columns(n->x), columns(n->statistics));
        tiles.plan(rows(n->x));
        return tiles.bytes();
    }
    if (const auto* n = std::get_if<hpc_batch_norm_backward>(&payload)) {
        ChannelTiles tiles(columns(n->x), columns(n->statistics));
        tiles.plan(rows(n->x));
        return tiles.bytes() + static_cast<uint64_t>(2 * tiles.channels) * 4;
    }
    if (const auto* n = std::get_if<hpc_layer_norm_backward>(&payload)) {
        if (!n->dweight && !n->dbias) return 0;
        return static_cast<uint64_t>(blocks_of(rows(n->x), row_block(columns(n->x))) * 2 * padded(n->size)) * 8;
    }
    if (const auto* n = std::get_if<hpc_norm>(&payload))
        return static_cast<uint64_t>(blocks_of(static_cast<int64_t>(value(n->x).elements(capacity)), kNormBlock)) * 8;
    if (const auto* n = std::get_if<hpc_recurrent_forward>(&payload))
        return static_cast<uint64_t>(rows(n->gates) * (columns(n->w) + 2 * rows(n->w))) * 4;
    if (const auto* n = std::get_if<hpc_recurrent_backward>(&payload))
        return static_cast<uint64_t>(rows(n->gates) * (columns(n->w) + 3 * rows(n->w)) + rows(n->w) * columns(n->w)) * 4;
    return 0;
}

// ---- Lowering ----------------------------------------------------------------------------------------------------

class Lowering {
public:
    // `rows` has the place of every value and stays where it is; products ask it for that of their left operand in every run.
    Lowering(CpuDevice& device, const Plan& plan, MetricState& metrics, const std::vector<const float*>& rows)
        : kernels_(device.kernels()), blas_(device.blas()), plan_(plan), metrics_(metrics), rows_(rows) {}

    Lowered lower(size_t index) {
        node_ = index;
        guarded_ = false;
        for (const Operand& operand : operands(plan_.nodes[index].payload)) {
            const int32_t kind = plan_.value(operand.value).kind;
            if (operand.writes() && (kind == HPC_VALUE_PARAMETER || kind == HPC_VALUE_OPTIMIZER_STATE || kind == HPC_VALUE_PERSISTENT))
                guarded_ = true;
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
                      const int64_t given = offset < static_cast<uint64_t>(available) ? available - static_cast<int64_t>(offset) : 0;
                      const int32_t* rows = given ? index + offset : nullptr;
                      for (int64_t i = pass->first(tile), end = i + pass->count(tile); i < end; i++) {
                          int64_t row = i < given ? rows[i] : -1;
                          if (row < 0 || row >= source_rows) {
                              raise(*this_metrics, HPC_FLAG_INDEX);
                              row = 0;
                          }
                          const float* source = from + row * columns;
                          float* target = to + i * columns;
                          if (columns <= kShortRow) {
                              for (int64_t j = 0; j < columns; j++) target[j] = source[j];
                          } else {
                              std::memcpy(target, source, static_cast<size_t>(columns) * 4);
                          }
                      }
                  }}},
                ""};
    }

    Lowered operator()(const DenseForwardNode& n) {
        Epilogue epilogue;
        epilogue.bias = n.b ? floats(n.b) : nullptr;
        epilogue.kept = n.activation.kept ? floats(n.activation.kept) : nullptr;
        epilogue.ldkept = columns(n.w);
        epilogue.alpha = n.activation.alpha;
        epilogue.beta = n.activation.beta;
        const bool needed = n.b || n.activation.present();
        epilogue.apply = needed ? kernels_.epilogue_forward[n.activation.present() ? n.activation.activation : HPC_ACTIVATION_LINEAR]
                                : nullptr;
        return product(Form::NN, value(n.y), height(n.w), rows_of(n.x), floats(n.w), columns(n.w), columns(n.w), floats(n.y), epilogue,
                       nullptr, panels(n.w));
    }

    Lowered operator()(const DenseBackwardInputNode& n) {
        Epilogue epilogue;
        epilogue.kept = n.activation.kept ? floats(n.activation.kept) : nullptr;
        epilogue.ldkept = height(n.w);
        epilogue.alpha = n.activation.alpha;
        epilogue.beta = n.activation.beta;
        const bool needed = n.sums || n.activation.present();
        epilogue.apply = needed ? kernels_.epilogue_backward[n.activation.present() ? n.activation.activation : HPC_ACTIVATION_LINEAR]
                                : nullptr;
        return product(Form::NT, value(n.dx), columns(n.w), rows_of(n.dy), floats(n.w), columns(n.w), height(n.w), floats(n.dx),
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
        const int64_t m = height(n.dw), width = columns(n.dw);
        const float* const* a = rows_of(n.x);
        const float* b = floats(n.dy);
        float* c = floats(n.dw);
        float* parts = scratch<float>();
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        Lowered lowered;
        lowered.phases.push_back(
            {[=, &x](const Extents& at) {
                 state->k = lines(x, m, at);
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
                 const GemmTile tile{Form::TN, at.m, at.n, std::min(plan.split_k, state->k - k0), *a + k0 * m + at.row, m,
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
        const GemmPlan plan = plan_gemm(Form::TN, m, width, lines(x, m, plan_.capacity), kernels_.blocks, blas != nullptr);
        lowered.picked = describe_product(plan, m, width);
        return lowered;
    }

    Lowered operator()(const hpc_column_sums& n) {
        const int64_t width = columns(n.y);
        const float* x = floats(n.x);
        const Kernels* kernels = &kernels_;
        return row_pass_with_sums(value(n.x), width, scratch<float>(), floats(n.y), [=](int64_t first, int64_t count, float* sums) {
            kernels->column_sums(x + first * width, width, count, width, sums);
        });
    }

    Lowered operator()(const hpc_activation_forward& n) {
        auto kernel = kernels_.activation_forward[n.activation];
        float* derivative = n.derivative ? floats(n.derivative) : nullptr;
        return flat(value(n.x), Past({floats(n.x)}, {floats(n.y), derivative}),
                    [=, x = floats(n.x), y = floats(n.y), n = n](int64_t first, int64_t count, bool past, const Worker&) {
                        kernel(x + first, y + first, derivative ? derivative + first : nullptr, count, n.alpha, n.beta, past);
                    });
    }

    Lowered operator()(const ActivationBackwardNode& n) {
        auto kernel = kernels_.activation_backward[n.activation];
        const float* kept = n.kept ? floats(n.kept) : nullptr;
        const float* dy = floats(n.dy);
        float* dx = floats(n.dx);
        const float alpha = n.alpha, beta = n.beta;
        if (!n.sums) {
            return flat(value(n.dx), Past({kept, dy}, {dx}), [=](int64_t first, int64_t count, bool past, const Worker&) {
                kernel(kept ? kept + first : nullptr, dy + first, dx + first, count, alpha, beta, past);
            });
        }
        const int64_t width = columns(n.sums);
        const Kernels* kernels = &kernels_;
        return row_pass_with_sums(value(n.dx), width, scratch<float>(), floats(n.sums), [=](int64_t first, int64_t count, float* sums) {
            const int64_t at = first * width;
            kernel(kept ? kept + at : nullptr, dy + at, dx + at, count * width, alpha, beta, false);
            kernels->column_sums(dx + at, width, count, width, sums);
        });
    }

    Lowered operator()(const LossNode& n) {
        const Value& prediction = value(n.prediction);
        const int64_t width = columns(n.prediction);
        auto kernel = kernels_.loss[n.loss];
        const float* p = floats(n.prediction);
        const float* t = floats(n.target);
        const float* weights = n.weights ? floats(n.weights) : nullptr;
        const float* alphas = n.alphas ? floats(n.alphas) : nullptr;
        float* gradient = n.gradient ? floats(n.gradient) : nullptr;
        auto pass = std::make_shared<RowPass>();
        LossPartial* partials = scratch<LossPartial>();
        const Past past({p, t}, {gradient});
        const LossNode node = n;
        const int64_t averaged = n.reduction == HPC_REDUCTION_MEAN ? width : 1;
        Lowered lowered;
        lowered.phases.push_back({[=, &prediction](const Extents& at) {
                                      pass->plan(static_cast<int64_t>(prediction.rows(at)), width);
                                      return pass->blocks;
                                  },
                                  [=](int64_t tile, const Worker& w) {
                                      const int64_t at = pass->first(tile) * width;
                                      const float scale = loss_scale(node.reduction, w.run.scalar(node.weight), static_cast<double>(pass->rows * averaged));
                                      LossElements elements{p + at, t + at, gradient ? gradient + at : nullptr,
                                                            pass->count(tile) * width, scale, node.alpha, node.beta, 0,
                                                            weights, alphas, width, at % kAlign == 0 && past.at(pass->rows * width)};
                                      kernel(elements);
                                      partials[tile] = {elements.loss, static_cast<double>(pass->count(tile)),
                                                        static_cast<uint64_t>(pass->count(tile)), 0, 0, {}};
                                  }});
        if (n.adds_loss) lowered.phases.push_back(combine_losses(pass, partials, node.weight, averaged));
        return lowered;
    }

    Lowered operator()(const ClassLossNode& n) {
        const Value& scores = value(n.scores);
        const int64_t width = columns(n.scores);
        const bool labelled = value(n.target).dtype == HPC_INT32, weighs = n.weighs(labelled);
        const float* x = floats(n.scores);
        const int32_t* labels = labelled ? ints(n.target) : nullptr;
        const float* probabilities = labelled ? nullptr : floats(n.target);
        const float* class_weights = n.class_weights ? floats(n.class_weights) : nullptr;
        float* gradient = n.gradient ? floats(n.gradient) : nullptr;
        float* sums = n.sums ? floats(n.sums) : nullptr;
        auto pass = std::make_shared<RowPass>();
        // Scratch: the sum of the labels' weights, the partial losses of every block, their partial column sums.
        double* total = scratch<double>();
        LossPartial* partials = scratch<LossPartial>() + 1;
        float* parts = reinterpret_cast<float*>(partials + blocks_of(static_cast<int64_t>(scores.rows(plan_.capacity)), row_block(width)));
        const Kernels* kernels = &kernels_;
        auto kernel = kernels_.class_loss[n.loss];
        const Past past({x, probabilities}, {gradient});
        const ClassLossNode node = n;
        Lowered lowered;
        if (weighs) {
            lowered.main = 1;
            // The gradient of a mean needs the sum of the weights before its first row: one short pass over the labels.
            lowered.phases.push_back({[=, &scores](const Extents& at) -> int64_t { return scores.rows(at) > 0 ? 1 : 0; },
                                      [=, &scores](int64_t, const Worker& w) {
                                          double sum = 0;
                                          const int64_t count = static_cast<int64_t>(scores.rows(w.run.extents));
                                          for (int64_t i = 0; i < count; i++) {
                                              if (node.ignores && labels[i] == node.ignored) continue;
                                              const int32_t label = labels[i] < 0 || labels[i] >= width ? 0 : labels[i];
                                              sum += class_weights ? static_cast<double>(class_weights[label]) : 1;
                                          }
                                          *total = sum;
                                      }});
        }
        lowered.phases.push_back(
            {[=, &scores](const Extents& at) {
                 pass->plan(static_cast<int64_t>(scores.rows(at)), width);
                 return pass->blocks;
             },
             [=](int64_t tile, const Worker& w) {
                 const int64_t first = pass->first(tile), at = first * width;
                 float* part = !sums ? nullptr : pass->blocks == 1 ? sums : parts + tile * padded(width);
                 if (part) std::memset(part, 0, static_cast<size_t>(width) * 4);
                 const double count = weighs ? *total : static_cast<double>(pass->rows);
                 ClassLossRows rows{x + at, labels ? labels + first : nullptr, probabilities ? probabilities + at : nullptr,
                                    gradient ? gradient + at : nullptr, part, pass->count(tile), width,
                                    loss_scale(node.reduction, w.run.scalar(node.weight), count), 0, 0, 0,
                                    class_weights, node.alpha, node.beta, node.ignored, node.ignores, past.at(pass->rows * width)};
                 kernel(rows);
                 partials[tile] = {rows.loss, weighs ? rows.weight : static_cast<double>(pass->count(tile)), rows.counted,
                                   rows.correct, rows.flags, {}};
             }});
        if (sums || n.adds_loss) {
            // One tile sums the columns, another the losses.
            Phase losses = n.adds_loss ? combine_losses(pass, partials, node.weight, 1) : Phase{};
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
        return row_pass(value(n.x), Past({floats(n.x)}, {floats(n.y)}),
                        [from = floats(n.x), to = floats(n.y), width = columns(n.x), kernel = kernels_.softmax](
                            int64_t first, int64_t count, bool past) { kernel(from + first * width, to + first * width, count, width, past); });
    }

    Lowered operator()(const hpc_softmax_backward& n) {
        return row_pass(value(n.y), Past({floats(n.y), floats(n.dy)}, {floats(n.dx)}),
                        [y = floats(n.y), dy = floats(n.dy), dx = floats(n.dx), width = columns(n.y), kernel = kernels_.softmax_backward](
                            int64_t first, int64_t count, bool past) {
                            const int64_t at = first * width;
                            kernel(y + at, dy + at, dx + at, count, width, past);
                        });
    }

    Lowered operator()(const hpc_log_softmax& n) {
        return row_pass(value(n.x), Past({floats(n.x)}, {floats(n.y)}),
                        [from = floats(n.x), to = floats(n.y), width = columns(n.x), kernel = kernels_.log_softmax](
                            int64_t first, int64_t count, bool past) { kernel(from + first * width, to + first * width, count, width, past); });
    }

    Lowered operator()(const hpc_log_softmax_backward& n) {
        return row_pass(value(n.y), Past({floats(n.y), floats(n.dy)}, {floats(n.dx)}),
                        [y = floats(n.y), dy = floats(n.dy), dx = floats(n.dx), width = columns(n.y), kernel = kernels_.log_softmax_backward](
                            int64_t first, int64_t count, bool past) {
                            const int64_t at = first * width;
                            kernel(y + at, dy + at, dx + at, count, width, past);
                        });
    }

    Lowered operator()(const hpc_prelu_forward& n) {
        return row_pass(value(n.x), Past({floats(n.x)}, {floats(n.y)}),
                        [x = floats(n.x), slope = floats(n.slope), y = floats(n.y), width = columns(n.x), shared = columns(n.slope) == 1,
                         kernel = kernels_.prelu_forward](int64_t first, int64_t count, bool past) {
                            kernel(x + first * width, slope, y + first * width, count, width, shared, past);
                        });
    }

    Lowered operator()(const PReluBackwardNode& n) {
        // Scratch: the column sums of every block for the slope's gradient, then those of dx.
        const Value& x_value = value(n.x);
        const int64_t width = columns(n.x), stride = padded(width);
        float* slope_parts = n.dslope ? scratch<float>() : nullptr;
        float* sum_parts = n.sums ? scratch<float>() : nullptr;
        if (n.sums && n.dslope) sum_parts += blocks_of(static_cast<int64_t>(x_value.rows(plan_.capacity)), row_block(width)) * stride;
        float* dslope = n.dslope ? floats(n.dslope) : nullptr;
        float* sums = n.sums ? floats(n.sums) : nullptr;
        PReluRows all{floats(n.x), floats(n.slope), floats(n.dy), n.dx ? floats(n.dx) : nullptr, nullptr, nullptr, 0, width,
                      columns(n.slope) == 1};
        auto pass = std::make_shared<RowPass>();
        const Kernels* kernels = &kernels_;
        Lowered lowered;
        lowered.phases.push_back({[=, &x_value](const Extents& at) {
                                      pass->plan(static_cast<int64_t>(x_value.rows(at)), width);
                                      return pass->blocks;
                                  },
                                  [=](int64_t tile, const Worker&) {
                                      const int64_t at = pass->first(tile) * width;
                                      PReluRows rows = all;
                                      rows.x += at, rows.dy += at, rows.rows = pass->count(tile);
                                      if (rows.dx) rows.dx += at;
                                      if (slope_parts) rows.slope_sums = slope_parts + tile * stride;
                                      if (sum_parts) rows.sums = sum_parts + tile * stride;
                                      for (float* part : {rows.slope_sums, rows.sums})
                                          if (part) std::memset(part, 0, static_cast<size_t>(width) * 4);
                                      kernels->prelu_backward(rows);
                                  }});
        if (dslope || sums)
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return pass->blocks ? 1 : 0; },
                                      [=](int64_t, const Worker&) {
                                          if (sums) kernels->sum_parts(sum_parts, pass->blocks, stride, sums, width);
                                          if (dslope && !all.shared) kernels->sum_parts(slope_parts, pass->blocks, stride, dslope, width);
                                          if (!dslope || !all.shared) return;
                                          double total = 0;
                                          for (int64_t i = 0; i < pass->blocks; i++)
                                              for (int64_t j = 0; j < width; j++) total += static_cast<double>(slope_parts[i * stride + j]);
                                          *dslope = static_cast<float>(total);
                                      }});
        return lowered;
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
        // Learning-rate dropout goes over pieces that stay in the first-level cache between the rule and what it restores.
        const bool drops = n.drop_rate.slot != 0 || n.drop_rate.constant != 0;
        return flat(value(n.parameters), [=, p = floats(n.parameters), g = floats(n.gradients), n = n,
                                          restore = kernels_.restore_dropped,
                                          hypers = info->hyperparameter_count](int64_t first, int64_t count, const Worker& w) {
            float h[HPC_MAX_HYPERPARAMETERS] = {};
            for (int i = 0; i < hypers; i++) h[i] = w.run.scalar(n.hyperparameters[i]);
            UpdateElements elements{};
            elements.parameters = p + first;
            elements.gradients = g + first;
            for (int i = 0; i < HPC_MAX_STATES; i++) elements.states[i] = kept.at[i] ? kept.at[i] + first : nullptr;
            elements.count = count;
            prepare(h, w.run.counter(n.step), elements.h);
            if (!drops) {
                kernel(elements);
                return;
            }
            constexpr int64_t kPiece = 1024;
            float before[kPiece];
            const int64_t end = first + count;
            for (int64_t at = first; at < end; at += kPiece) {
                elements.count = std::min(kPiece, end - at);
                elements.parameters = p + at;
                elements.gradients = g + at;
                for (int i = 0; i < HPC_MAX_STATES; i++) elements.states[i] = kept.at[i] ? kept.at[i] + at : nullptr;
                std::memcpy(before, elements.parameters, static_cast<size_t>(elements.count) * sizeof(float));
                kernel(elements);
                restore(before, elements.parameters, static_cast<uint64_t>(at), elements.count, w.run.counter(n.seed),
                        w.run.counter(n.stream), w.run.scalar(n.drop_rate));
            }
        });
    }

    Lowered operator()(const hpc_norm& n) {
        const float order = n.order;
        const float* norm = floats(n.norm);
        const auto add = [](double a, double b) { return a + b; };
        // A NaN is the largest of all.
        const auto larger = [](double a, double b) { return b > a || b != b ? b : a; };
        const Kernels& k = kernels_;
        if (order == 2.0f) return reduction(n, k.sum_of_squares, add, [](double sum) { return std::sqrt(sum); });
        if (order == 1.0f) return reduction(n, k.sum_of_magnitudes, add, [](double sum) { return sum; });
        if (std::isinf(order)) return reduction(n, k.largest_magnitude, larger, [](double largest) { return largest; });
        // Any other order, in units of the largest magnitude, which `norm` holds in between.
        Lowered lowered = reduction(n, k.largest_magnitude, larger, [](double largest) { return largest; });
        Lowered powers = reduction(
            n,
            [=](const float* x, int64_t count) {
                const double unit = *norm;
                double sum = 0;
                if (unit == 0) return sum;
                for (int64_t i = 0; i < count; i++) sum += std::pow(std::fabs(static_cast<double>(x[i])) / unit, static_cast<double>(order));
                return sum;
            },
            add, [=](double sum) { return *norm * std::pow(sum, 1.0 / order); });
        for (Phase& phase : powers.phases) lowered.phases.push_back(std::move(phase));
        return lowered;
    }

    Lowered operator()(const hpc_clip_by_norm& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), norm = floats(n.norm), kernel = kernels_.scale, state = &metrics_](
                                    int64_t first, int64_t count, const Worker& w) {
            // In double: a norm beyond float32's range would otherwise make 0 of everything.
            const double length = std::isinf(*norm) ? state->gradient_norm : static_cast<double>(*norm);
            const double factor = static_cast<double>(w.run.scalar(n.max_norm)) / (length + 1e-6);
            if (!(factor < 1)) return;
            // A factor that float would flush goes in two steps.
            const double before = factor < 1e-30 ? 0x1p-60 : 1.0;
            if (before != 1.0) kernel(x + first, count, static_cast<float>(before));
            kernel(x + first, count, static_cast<float>(factor / before));
        });
    }

    Lowered operator()(const hpc_clip_by_value& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), kernel = kernels_.clip](int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, count, w.run.scalar(n.limit));
        });
    }

    Lowered operator()(const hpc_add_penalty& n) {
        return flat(value(n.x), [n = n, x = floats(n.x), y = floats(n.y), kernel = kernels_.add_penalty](
                                    int64_t first, int64_t count, const Worker& w) {
            kernel(x + first, y + first, count, w.run.scalar(n.l1), w.run.scalar(n.l2));
        });
    }

    Lowered operator()(const hpc_limit_column_norms& n) {
        // Wide enough for whole cache lines, narrow enough that a few thousand rows of it stay in the second-level cache.
        constexpr int64_t kColumns = 64;
        const Value& x = value(n.x);
        const int64_t width = static_cast<int64_t>(x.columns);
        auto rows = std::make_shared<int64_t>(0);
        return {{{[=, &x](const Extents& at) {
                      *rows = static_cast<int64_t>(x.rows(at));
                      return *rows == 0 ? 0 : blocks_of(width, kColumns);
                  },
                  [=, n = n, at = floats(n.x), kernel = kernels_.limit_column_norms](int64_t tile, const Worker& w) {
                      const int64_t first = tile * kColumns;
                      kernel(at + first, width, *rows, std::min(kColumns, width - first), w.run.scalar(n.max_norm));
                  }}},
                ""};
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

    Lowered operator()(const hpc_fast_gradient_sign& n) {
        return flat(value(n.x), Past({floats(n.x), floats(n.gradient)}, {floats(n.y)}),
                    [n = n, &v = value(n.x), x = floats(n.x), gradient = floats(n.gradient), y = floats(n.y),
                     kernel = kernels_.fast_gradient_sign](int64_t first, int64_t count, bool past, const Worker& w) {
                        const int64_t moved = std::clamp(static_cast<int64_t>(moved_elements(n, v, w.run.extents)) - first, int64_t{0}, count);
                        kernel(x + first, gradient + first, y + first, moved, w.run.scalar(n.epsilon), n.low, n.high, past);
                        if (x != y) std::memcpy(y + first + moved, x + first + moved, static_cast<size_t>(count - moved) * 4);
                    });
    }

    Lowered operator()(const hpc_multiply& n) {
        return flat(value(n.x), Past({floats(n.x), floats(n.y)}, {floats(n.z)}),
                    [x = floats(n.x), y = floats(n.y), z = floats(n.z), kernel = kernels_.multiply](
                        int64_t first, int64_t count, bool past, const Worker&) { kernel(x + first, y + first, z + first, count, past); });
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

    // The rows of a batch do not depend on one another: a tile takes a block of rows through all steps, and the team meets
    // once. Values stay as networks have them, a whole sequence to a row, so that neither end of a layer needs a reordering;
    // rows of one step then lie a sequence apart. The products do not see that: what they read and write is scratch of the
    // tile, small and contiguous, that stays in its caches, while the pass over the gates reads and writes long pieces of
    // rows, which is as good at any distance.
    Lowered operator()(const hpc_recurrent_forward& n) {
        struct Operands {
            float *gates, *y, *hn, *cn, *kept, *previous;
            const float *w, *b, *h0, *c0;
        };
        const Operands at{floats(n.gates),        optional(n.y),  optional(n.hn), optional(n.cn), optional(n.kept),
                          optional(n.previous), floats(n.w), optional(n.b),  optional(n.h0), optional(n.c0)};
        const hpc_cell_info& cell = *cell_info(n.cell);
        const int64_t units = height(n.w), width = columns(n.w), steps = columns(n.gates) / width;
        const int64_t ldy = columns(n.y), step_y = n.last ? 0 : ldy / steps;
        const Value& gates = value(n.gates);
        auto pass = std::make_shared<RowPass>();
        float* memory = scratch<float>();  // of each tile: product, output, state
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        return {{{[=, &gates](const Extents& extents) { return plan_recurrent(*pass, gates, extents); },
                  [=, n = n](int64_t tile, const Worker& worker) {
                      const int64_t first = pass->first(tile), rows = pass->count(tile);
                      float* product = memory + first * (width + 2 * units);
                      float* h = product + rows * width;
                      float* state = h + rows * units;
                      begin(h, at.h0, first, rows, units);
                      begin(state, at.c0, first, rows, units);
                      for (int64_t i = 0; i < steps; i++) {
                          const int64_t t = n.reverse ? steps - 1 - i : i;
                          if (i > 0 || at.h0) {
                              multiply_rows(*kernels, blas, rows, width, units, h, at.w, product, worker.scratch);
                          } else {
                              std::memset(product, 0, static_cast<size_t>(rows * width) * 4);
                          }
                          RecurrentStep step{};
                          step.rows = rows;
                          step.units = units;
                          step.ldgates = steps * width;
                          step.gates = at.gates + first * step.ldgates + t * width;
                          step.product = product;
                          step.bias = at.b;
                          step.h = h;
                          step.state = cell.state ? state : nullptr;
                          step.ldy = ldy;
                          if (!n.last || i == steps - 1) step.y = at.y + first * ldy + t * step_y + n.y_offset;
                          step.ldkept = steps * units;
                          const int64_t kept = first * step.ldkept + t * units;
                          step.kept = at.kept ? at.kept + kept : nullptr;
                          step.previous = at.previous ? at.previous + kept : nullptr;
                          kernels->recurrent_forward[n.cell](step);
                      }
                      if (at.hn) std::memcpy(at.hn + first * units, h, static_cast<size_t>(rows * units) * 4);
                      if (at.cn) std::memcpy(at.cn + first * units, state, static_cast<size_t>(rows * units) * 4);
                  }}},
                describe_recurrent(gates)};
    }

    // As forward, from the last step that was walked to the first. The recurrent weights are turned around once, so that no
    // step has to.
    Lowered operator()(const hpc_recurrent_backward& n) {
        struct Operands {
            float *gates, *dh0, *dc0, *hidden, *kept, *previous, *dy;
            const float *w, *c0, *dhn, *dcn;
        };
        const Operands at{floats(n.gates),    optional(n.dh0), optional(n.dc0), optional(n.hidden), optional(n.kept), optional(n.previous),
                          optional(n.dy), floats(n.w),     optional(n.c0),  optional(n.dhn),    optional(n.dcn)};
        const hpc_cell_info& cell = *cell_info(n.cell);
        const int64_t units = height(n.w), width = columns(n.w), steps = columns(n.gates) / width;
        const int64_t ldy = n.dy ? columns(n.dy) : 0, step_y = n.last ? 0 : ldy / steps;
        const Value& gates = value(n.gates);
        auto pass = std::make_shared<RowPass>();
        float* turned = scratch<float>();            // w^T
        float* memory = turned + width * units;      // of each tile: product, h, state, direct
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        const bool multiplies = steps > 1 || at.dh0;
        Lowered lowered;
        lowered.phases.push_back({[=](const Extents&) -> int64_t { return multiplies ? blocks_of(width, kTransposeBlock) : 0; },
                                  [=](int64_t tile, const Worker&) {
                                      const int64_t j0 = tile * kTransposeBlock, j1 = std::min(j0 + kTransposeBlock, width);
                                      for (int64_t i0 = 0; i0 < units; i0 += kTransposeBlock)
                                          for (int64_t j = j0; j < j1; j++)
                                              for (int64_t i = i0; i < std::min(i0 + kTransposeBlock, units); i++)
                                                  turned[j * units + i] = at.w[i * width + j];
                                  }});
        lowered.phases.push_back(
            {[=, &gates](const Extents& extents) { return plan_recurrent(*pass, gates, extents); },
             [=, n = n](int64_t tile, const Worker& worker) {
                 const int64_t first = pass->first(tile), rows = pass->count(tile);
                 float* product = memory + first * (width + 3 * units);
                 float* h = product + rows * width;
                 float* state = h + rows * units;
                 float* direct = state + rows * units;
                 begin(h, at.dhn, first, rows, units);
                 begin(state, at.dcn, first, rows, units);
                 begin(direct, nullptr, first, rows, units);
                 for (int64_t i = steps - 1; i >= 0; i--) {
                     const int64_t t = n.reverse ? steps - 1 - i : i;
                     RecurrentStep step{};
                     step.rows = rows;
                     step.units = units;
                     step.ldgates = steps * width;
                     step.gates = at.gates + first * step.ldgates + t * width;
                     step.product = product;
                     step.h = h;
                     step.state = cell.state ? state : nullptr;
                     step.direct = cell.direct ? direct : nullptr;
                     step.ldy = ldy;
                     if (at.dy && (!n.last || i == steps - 1)) step.y = at.dy + first * ldy + t * step_y + n.dy_offset;
                     step.ldkept = steps * units;
                     const int64_t kept = first * step.ldkept + t * units;
                     step.kept = at.kept ? at.kept + kept : nullptr;
                     step.previous = at.previous + kept;
                     if (i > 0) {
                         step.before = at.kept ? step.kept + (n.reverse ? units : -units) : nullptr;
                         step.ldbefore = step.ldkept;
                     } else {
                         step.before = at.c0 ? at.c0 + first * units : nullptr;
                         step.ldbefore = units;
                     }
                     step.hidden = at.hidden ? at.hidden + first * step.ldgates + t * width : nullptr;
                     kernels->recurrent_backward[n.cell](step);
                     if (i > 0 || at.dh0) multiply_rows(*kernels, blas, rows, units, width, product, turned, h, worker.scratch);
                 }
                 if (at.dh0) {
                     float* dh0 = at.dh0 + first * units;
                     std::memcpy(dh0, h, static_cast<size_t>(rows * units) * 4);
                     if (cell.direct) kernels->add_scaled(direct, dh0, rows * units, 1.0f);
                 }
                 if (at.dc0) std::memcpy(at.dc0 + first * units, state, static_cast<size_t>(rows * units) * 4);
             }});
        lowered.picked = describe_recurrent(gates);
        return lowered;
    }

    Lowered operator()(const hpc_batch_norm_forward& n) {
        const Value& x = value(n.x);
        const int64_t channels = columns(n.statistics);
        const Kernels* kernels = &kernels_;
        const float* from = floats(n.x);
        float* statistics = floats(n.statistics);
        auto tiles = std::make_shared<ChannelTiles>(columns(n.x), channels);
        const double epsilon = static_cast<double>(n.epsilon);
        Lowered lowered;
        if (n.running_mean) {
            lowered.phases.push_back({[](const Extents&) -> int64_t { return 1; },
                                      [=, mean = floats(n.running_mean), variance = floats(n.running_variance)](int64_t, const Worker&) {
                                          kernels->running_statistics(mean, variance, epsilon, statistics, channels);
                                      }});
        } else {
            double* parts = scratch<double>();
            lowered.phases.push_back(channel_sums(x, tiles, parts, [=](ChannelSums& sums, int64_t at, int64_t channel, int64_t) {
                sums.x = from + at;
                sums.shift = from + channel * tiles->length;
                kernels->batch_moments(sums);
            }));
            lowered.phases.push_back(
                {[=](const Extents&) -> int64_t { return tiles->row_blocks ? blocks_of(channels, kChannelFinish) : 0; },
                 [=](int64_t tile, const Worker&) {
                     kernels->batch_statistics(parts_of(*tiles, parts, tile), from, tiles->length, epsilon, statistics, channels);
                 }});
        }
        lowered.phases.push_back(channel_pass(
            x, channels, floats(n.statistics),
            [=, weight = n.weight ? floats(n.weight) : nullptr, bias = n.bias ? floats(n.bias) : nullptr, y = floats(n.y)](
                ChannelRows& rows, int64_t at) {
                rows.x = from + at;
                rows.out = y + at;
                rows.weight = weight;
                rows.bias = bias;
                kernels->batch_normalize(rows);
            }));
        return lowered;
    }

    Lowered operator()(const hpc_batch_norm_backward& n) {
        const Value& x = value(n.x);
        const int64_t channels = columns(n.statistics);
        const Kernels* kernels = &kernels_;
        const float* from = floats(n.x);
        const float* dy = floats(n.dy);
        float* statistics = floats(n.statistics);
        auto tiles = std::make_shared<ChannelTiles>(columns(n.x), channels);
        const bool sums_needed = n.dweight || n.dbias || !n.constant_statistics;
        // Scratch: the partial sums of every tile, then the two means of every channel.
        tiles->plan(static_cast<int64_t>(x.rows(plan_.capacity)));
        double* parts = scratch<double>();
        float* means = n.dx && !n.constant_statistics ? reinterpret_cast<float*>(reinterpret_cast<char*>(parts) + tiles->bytes()) : nullptr;
        Lowered lowered;
        if (sums_needed) {
            lowered.phases.push_back(channel_sums(x, tiles, parts, [=](ChannelSums& sums, int64_t at, int64_t channel, int64_t) {
                sums.x = from + at;
                sums.dy = dy + at;
                sums.mean = statistics + channel;
                sums.rest = sums.mean + channels;
                sums.scale = sums.rest + channels;
                kernels->batch_norm_sums(sums);
            }));
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return tiles->row_blocks ? blocks_of(channels, kChannelFinish) : 0; },
                                      [=, dbias = n.dbias ? floats(n.dbias) : nullptr, dweight = n.dweight ? floats(n.dweight) : nullptr](
                                          int64_t tile, const Worker&) {
                                          kernels->combine_channel_sums(parts_of(*tiles, parts, tile), dbias, dweight, means, channels);
                                      }});
        }
        if (n.dx)
            lowered.phases.push_back(
                channel_pass(x, channels, statistics,
                             [=, weight = n.weight ? floats(n.weight) : nullptr, dx = floats(n.dx)](ChannelRows& rows, int64_t at) {
                                 rows.x = from + at;
                                 rows.dy = dy + at;
                                 rows.out = dx + at;
                                 rows.weight = weight;
                                 rows.mean_g = means;
                                 rows.mean_gn = means ? means + channels : nullptr;
                                 kernels->batch_norm_gradient(rows);
                             }));
        return lowered;
    }

    Lowered operator()(const hpc_batch_norm_update& n) {
        const int64_t channels = columns(n.statistics);
        return {{{[](const Extents& at) -> int64_t { return at.rows ? 1 : 0; },
                  [=, n = n, statistics = floats(n.statistics), mean = floats(n.running_mean), variance = floats(n.running_variance),
                   batches = ints(n.batches)](int64_t, const Worker& w) {
                      // In double precision, rounded once.
                      const double f = n.cumulative ? 1 / (static_cast<double>(*batches) + 1) : static_cast<double>(w.run.scalar(n.momentum));
                      for (int64_t j = 0; j < channels; j++) {
                          const double batch = static_cast<double>(statistics[j]) + static_cast<double>(statistics[channels + j]);
                          mean[j] = static_cast<float>((1 - f) * static_cast<double>(mean[j]) + f * batch);
                          variance[j] = static_cast<float>((1 - f) * static_cast<double>(variance[j]) +
                                                           f * static_cast<double>(statistics[3 * channels + j]));
                      }
                      ++*batches;
                  }}},
                ""};
    }

    Lowered operator()(const hpc_layer_norm_forward& n) {
        const Value& x = value(n.x);
        const int64_t width = columns(n.x), size = static_cast<int64_t>(n.size), groups = width / size;
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &x](const Extents& at) {
                      pass->plan(static_cast<int64_t>(x.rows(at)), width);
                      return pass->blocks;
                  },
                  [=, from = floats(n.x), y = floats(n.y), statistics = floats(n.statistics), weight = n.weight ? floats(n.weight) : nullptr,
                   bias = n.bias ? floats(n.bias) : nullptr, epsilon = static_cast<double>(n.epsilon),
                   kernel = kernels_.layer_norm_forward](int64_t tile, const Worker&) {
                      const int64_t at = pass->first(tile);
                      kernel({from + at * width, nullptr, y + at * width, statistics + at * groups * 3, weight, bias,
                              pass->count(tile) * groups, size},
                             epsilon);
                  }}},
                ""};
    }

    Lowered operator()(const hpc_layer_norm_backward& n) {
        const Value& x = value(n.x);
        const int64_t width = columns(n.x), size = static_cast<int64_t>(n.size), groups = width / size;
        const int64_t ld = padded(size);
        auto pass = std::make_shared<RowPass>();
        const Kernels* kernels = &kernels_;
        double* parts = n.dweight || n.dbias ? scratch<double>() : nullptr;
        Lowered lowered;
        lowered.phases.push_back({[=, &x](const Extents& at) {
                                      pass->plan(static_cast<int64_t>(x.rows(at)), width);
                                      return pass->blocks;
                                  },
                                  [=, from = floats(n.x), dy = floats(n.dy), dx = n.dx ? floats(n.dx) : nullptr,
                                   statistics = floats(n.statistics), weight = n.weight ? floats(n.weight) : nullptr](int64_t tile, const Worker&) {
                                      const int64_t at = pass->first(tile);
                                      double* part = parts ? parts + tile * 2 * ld : nullptr;
                                      kernels->layer_norm_backward({from + at * width, dy + at * width, dx ? dx + at * width : nullptr,
                                                                    statistics + at * groups * 3, weight, nullptr, pass->count(tile) * groups,
                                                                    size},
                                                                   part, part ? part + ld : nullptr);
                                  }});
        if (parts)
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return pass->blocks ? blocks_of(size, kChannelFinish) : 0; },
                                      [=, dbias = n.dbias ? floats(n.dbias) : nullptr, dweight = n.dweight ? floats(n.dweight) : nullptr](
                                          int64_t tile, const Worker&) {
                                          const int64_t first = tile * kChannelFinish;
                                          kernels->combine_channel_sums({parts, pass->blocks, ld, first, std::min(first + kChannelFinish, size), 1},
                                                                        dbias, dweight, nullptr, size);
                                      }});
        return lowered;
    }

    Lowered operator()(const hpc_embedding_forward& n) {
        const Value& y = value(n.y);
        const int64_t width = columns(n.y), dimension = columns(n.table), places = width / dimension;
        const int64_t count = static_cast<int64_t>(value(n.table).count);
        const bool whole_numbers = value(n.indices).dtype == HPC_INT32;
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &y](const Extents& at) {
                      pass->plan(static_cast<int64_t>(y.rows(at)), width);
                      return pass->blocks;
                  },
                  [=, this_metrics = &metrics_, table = floats(n.table), indices = floats(n.indices), to = floats(n.y)](int64_t tile,
                                                                                                                     const Worker&) {
                      const int64_t first = pass->first(tile) * places, end = first + pass->count(tile) * places;
                      for (int64_t i = first; i < end; i++) {
                          int64_t row = index_at(indices, i, whole_numbers, count);
                          if (row < 0) {
                              raise(*this_metrics, HPC_FLAG_INDEX);
                              row = 0;
                          }
                          std::memcpy(to + i * dimension, table + row * dimension, static_cast<size_t>(dimension) * 4);
                      }
                  }}},
                ""};
    }

    Lowered operator()(const hpc_embedding_backward& n) {
        // Every tile has rows of the table for itself and walks all places in order.
        const Value& indices = value(n.indices);
        const int64_t dimension = columns(n.dtable), count = static_cast<int64_t>(value(n.dtable).count), padding = n.padding;
        const int64_t block = std::max(row_block(dimension), blocks_of(count, kEmbeddingParts));
        const bool whole_numbers = indices.dtype == HPC_INT32;
        auto places = std::make_shared<int64_t>(0);
        return {{{[=, &indices](const Extents& at) {
                      *places = static_cast<int64_t>(indices.elements(at));
                      return *places ? blocks_of(count, block) : 0;
                  },
                  [=, at = floats(n.indices), dy = floats(n.dy), to = floats(n.dtable), add = kernels_.add_scaled](int64_t tile,
                                                                                                                    const Worker&) {
                      const int64_t first = tile * block, end = std::min(count, first + block);
                      std::memset(to + first * dimension, 0, static_cast<size_t>((end - first) * dimension) * 4);
                      for (int64_t i = 0; i < *places; i++) {
                          const int64_t row = index_at(at, i, whole_numbers, count);
                          if (row >= first && row < end && row != padding) add(dy + i * dimension, to + row * dimension, dimension, 1);
                      }
                  }}},
                ""};
    }

    Lowered operator()(const CallNode& n) {
        std::vector<float*> places;
        for (const auto* list : {&n.reads, &n.writes})
            for (const ValueId id : *list) places.push_back(id ? floats(id) : nullptr);
        Lowered lowered;
        lowered.call = [places, function = n.function, context = n.context](const Extents& at) {
            return function(context, at.rows, at.steps, places.data()) == 0;
        };
        return lowered;
    }

private:
    // The row that element i of an index value means; -1: none.
    static int64_t index_at(const float* indices, int64_t i, bool whole_numbers, int64_t count) {
        if (whole_numbers) {
            int32_t index;
            std::memcpy(&index, indices + i, sizeof index);
            return index >= 0 && index < count ? index : -1;
        }
        const float index = indices[i];
        if (!(index >= 0 && index < static_cast<float>(count) && index < 2147483648.0f)) return -1;
        const int64_t row = static_cast<int64_t>(index);
        return static_cast<float>(row) == index && row < count ? row : -1;
    }

    static ChannelParts parts_of(const ChannelTiles& tiles, const double* parts, int64_t tile) {
        const int64_t first = tile * kChannelFinish;
        return {parts, tiles.row_blocks, tiles.ld(), first, std::min(first + kChannelFinish, tiles.channels), tiles.rows * tiles.length};
    }

    // Partial sums by channel: body(sums with their places, first element, first channel, first row). Scratch: [row block][2][ld].
    template <class Body>
    Phase channel_sums(const Value& x, std::shared_ptr<ChannelTiles> tiles, double* parts, Body body) {
        return {[=, &x](const Extents& at) { return tiles->plan(static_cast<int64_t>(x.rows(at))); },
                [=](int64_t tile, const Worker&) {
                    const int64_t row = tile / tiles->channel_blocks * tiles->row_block;
                    const int64_t channel = tile % tiles->channel_blocks * tiles->channel_block;
                    const int64_t ld = tiles->channels * tiles->length;
                    ChannelSums sums{};
                    sums.rows = std::min(tiles->row_block, tiles->rows - row);
                    sums.ld = ld;
                    sums.channels = std::min(tiles->channel_block, tiles->channels - channel);
                    sums.length = tiles->length;
                    sums.first = parts + tile / tiles->channel_blocks * 2 * tiles->ld() + channel;
                    sums.second = sums.first + tiles->ld();
                    body(sums, row * ld + channel * tiles->length, channel, row);
                }};
    }

    // An elementwise pass by channel: body(rows with their statistics, first element).
    template <class Body>
    Phase channel_pass(const Value& x, int64_t channels, const float* statistics, Body body) {
        auto pass = std::make_shared<RowPass>();
        const int64_t width = static_cast<int64_t>(x.columns);
        return {[=, &x](const Extents& at) {
                    pass->plan(static_cast<int64_t>(x.rows(at)), width);
                    return pass->blocks;
                },
                [=](int64_t tile, const Worker&) {
                    ChannelRows rows{};
                    rows.mean = statistics;
                    rows.rest = statistics + channels;
                    rows.scale = statistics + 2 * channels;
                    rows.rows = pass->count(tile);
                    rows.channels = channels;
                    rows.length = width / channels;
                    body(rows, pass->first(tile) * width);
                },
                true};
    }

    const Value& value(ValueId id) const { return plan_.value(id); }
    float* optional(ValueId id) const { return id ? floats(id) : nullptr; }

    static int64_t plan_recurrent(RowPass& pass, const Value& gates, const Extents& at) {
        pass.rows = static_cast<int64_t>(gates.rows(at));
        pass.block = recurrent_block(pass.rows);
        pass.blocks = blocks_of(pass.rows, pass.block);
        return pass.blocks;
    }

    std::string describe_recurrent(const Value& gates) const {
        const int64_t rows = static_cast<int64_t>(gates.rows(plan_.capacity)), block = recurrent_block(rows);
        std::string text = std::to_string(blocks_of(rows, block));
        text += " tiles of ";
        text += std::to_string(std::min(block, rows));
        text += " rows, ";
        return text + (blas_ ? blas_->name() : kernels_.isa);
    }

    // What a tile's rows begin with: those of a value, or zeros.
    static void begin(float* to, const float* from, int64_t first, int64_t rows, int64_t columns) {
        const size_t bytes = static_cast<size_t>(rows * columns) * 4;
        if (from) {
            std::memcpy(to, from + first * columns, bytes);
        } else {
            std::memset(to, 0, bytes);
        }
    }

    // C[m x n] = A[m x k] B[k x n], contiguous, by one thread: n in pieces that the kernels take.
    static void multiply_rows(const Kernels& kernels, const BlasProvider* blas, int64_t m, int64_t n, int64_t k, const float* a,
                              const float* b, float* c, void* scratch) noexcept {
        for (int64_t j = 0; j < n; j += kernels.blocks.tile_n) {
            const GemmTile tile{Form::NN, m, std::min(kernels.blocks.tile_n, n - j), k, a, k, b + j, n, c + j, n, nullptr, 0, j,
                                GemmPath::Sequential};
            multiply(kernels, blas, tile, scratch);
        }
    }

    int64_t columns(ValueId id) const { return static_cast<int64_t>(value(id).columns); }
    // Rows of a value of fixed size.
    int64_t height(ValueId id) const { return static_cast<int64_t>(value(id).count); }
    // Rows of `width` columns in the memory of a value: one of its own rows may hold several (dense_forward in hpcnet.h).
    static int64_t lines(const Value& v, int64_t width, const Extents& at) { return static_cast<int64_t>(v.elements(at)) / width; }
    const float* const* rows_of(ValueId id) const { return &rows_[id - 1]; }
    float* floats(ValueId id) const { return reinterpret_cast<float*>(place(value(id))); }
    int32_t* ints(ValueId id) const { return reinterpret_cast<int32_t*>(place(value(id))); }
    template <class T>
    T* scratch() const {
        if (!plan_.workspace) return nullptr;
        return reinterpret_cast<T*>(static_cast<const CpuBuffer&>(*plan_.workspace).data() + plan_.scratch[node_]);
    }

    // What multiplies the gradient of a sum. A mean over nothing has none.
    static float loss_scale(int32_t reduction, float weight, double count) {
        if (reduction == HPC_REDUCTION_SUM) return weight;
        return count > 0 ? weight / static_cast<float>(count) : 0;
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

    // C[m x width] = A B or A B^T over a grid of tiles, with the epilogue, and with column sums by row of tiles. m is as many
    // rows of `width` as C's value holds; A is [m x k].
    Lowered product(Form form, const Value& c_value, int64_t k, const float* const* a, const float* b, int64_t ldb, int64_t width, float* c,
                    const Epilogue& epilogue, float* sums, const float* panels = nullptr) {
        struct State {
            GemmPlan plan;
            int64_t m;
        };
        auto state = std::make_shared<State>();
        float* parts = sums ? scratch<float>() : nullptr;  // [row of tiles][padded width]
        const Kernels* kernels = &kernels_;
        const BlasProvider* blas = blas_;
        Lowered lowered;
        lowered.phases.push_back({[=, &c_value](const Extents& at) {
                                      state->m = lines(c_value, width, at);
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
                                      const GemmTile tile{form, at.m, at.n, k, *a + at.row * k, k, b_at, ldb,
                                                          c + at.row * width + at.column, width, own.apply ? &own : nullptr,
                                                          at.row, at.column, plan.path, panels ? panels + at.column * k : nullptr};
                                      multiply(*kernels, blas, tile, w.scratch);
                                  }});
        if (sums) {
            lowered.phases.push_back({[=](const Extents&) -> int64_t { return state->plan.row_tiles(state->m) > 1 ? 1 : 0; },
                                      [=](int64_t, const Worker&) {
                                          kernels->sum_parts(parts, state->plan.row_tiles(state->m), padded(width), sums, width);
                                      }});
        }
        const int64_t m = lines(c_value, width, plan_.capacity);
        lowered.picked = describe_product(plan_gemm(form, m, width, k, kernels_.blocks, blas != nullptr), m, width);
        if (panels) lowered.picked += ", packed";
        return lowered;
    }

    // A weight that does not change, as the built-in kernels like to read it; null for all others.
    const float* panels(ValueId w) const {
        const Value& weight = value(w);
        if (weight.kind != HPC_VALUE_CONSTANT || blas_) return nullptr;
        return static_cast<CpuBuffer&>(*weight.buffer).panels(kernels_, weight.offset, height(w), columns(w));
    }

    std::string describe_product(const GemmPlan& plan, int64_t m, int64_t n) const {
        std::string text = std::to_string(plan.tiles(m, n)) + (plan.tiles(m, n) == 1 ? " tile of " : " tiles of ") +
                           std::to_string(std::min(plan.tile_m, m)) + " x " + std::to_string(std::min(plan.tile_n, n));
        if (plan.splits > 1) text += ", rows in " + std::to_string(plan.splits) + " parts";
        return text + ", " + (blas_ ? blas_->name() : kernels_.isa);
    }

    // An elementwise pass over all elements of a value, in flat blocks: body(first, count, worker).
    template <class Body>
    Lowered flat(const Value& v, Body body) {
        return flat(v, Past(), [=](int64_t first, int64_t count, bool, const Worker& w) { body(first, count, w); });
    }

    // The same: body(first, count, whether to store past the caches, worker).
    template <class Body>
    Lowered flat(const Value& v, Past past, Body body) {
        auto total = std::make_shared<int64_t>(0);
        return {{{[=, &v](const Extents& at) {
                      *total = static_cast<int64_t>(v.elements(at));
                      return blocks_of(*total, kFlatBlock);
                  },
                  [=](int64_t tile, const Worker& w) {
                      const int64_t first = tile * kFlatBlock;
                      body(first, std::min(kFlatBlock, *total - first), past.at(*total), w);
                  }}},
                ""};
    }

    // A pass over blocks of whole rows: body(first row, rows, whether to store past the caches).
    template <class Body>
    Lowered row_pass(const Value& v, Past past, Body body) {
        auto pass = std::make_shared<RowPass>();
        return {{{[=, &v](const Extents& at) {
                      pass->plan(static_cast<int64_t>(v.rows(at)), static_cast<int64_t>(v.columns));
                      return pass->blocks;
                  },
                  [=, width = static_cast<int64_t>(v.columns)](int64_t tile, const Worker&) {
                      body(pass->first(tile), pass->count(tile), past.at(pass->rows * width));
                  }}},
                ""};
    }

    // One number of a flat value, to `norm` and the metrics: kernel(piece, count) of each block, combined in order, finished.
    template <class Kernel, class Combine, class Finish>
    Lowered reduction(const hpc_norm& n, Kernel kernel, Combine combine, Finish finish) {
        const Value& x = value(n.x);
        double* partials = scratch<double>();
        auto count = std::make_shared<int64_t>(0);
        Lowered lowered;
        lowered.phases.push_back({[=, &x](const Extents& at) {
                                      *count = static_cast<int64_t>(x.elements(at));
                                      return blocks_of(*count, kNormBlock);
                                  },
                                  [=, from = floats(n.x)](int64_t tile, const Worker&) {
                                      const int64_t first = tile * kNormBlock;
                                      partials[tile] = kernel(from + first, std::min(kNormBlock, *count - first));
                                  }});
        lowered.phases.push_back({[](const Extents&) -> int64_t { return 1; },
                                  [=, norm = floats(n.norm), state = &metrics_](int64_t, const Worker&) {
                                      double total = 0;
                                      for (int64_t i = 0; i < blocks_of(*count, kNormBlock); i++) total = combine(total, partials[i]);
                                      state->gradient_norm = finish(total);
                                      *norm = static_cast<float>(state->gradient_norm);
                                  }});
        return lowered;
    }

    // A pass over blocks of rows that adds column sums: body(first row, rows, sums of this block).
    template <class Body>
    Lowered row_pass_with_sums(const Value& v, int64_t width, float* parts, float* sums, Body body) {
        auto pass = std::make_shared<RowPass>();
        const Kernels* kernels = &kernels_;
        Lowered lowered;
        lowered.phases.push_back({[=, &v](const Extents& at) {
                                      pass->plan(lines(v, width, at), width);
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

    // Adds the partial losses, in order, to the metrics. `averaged`: elements of a row that a mean is taken over.
    Phase combine_losses(std::shared_ptr<RowPass> pass, const LossPartial* partials, hpc_scalar weight, int64_t averaged) {
        return {[=](const Extents&) -> int64_t { return pass->blocks ? 1 : 0; },
                [=, state = &metrics_](int64_t, const Worker& w) {
                    double loss = 0;
                    uint32_t flags = 0;
                    for (int64_t i = 0; i < pass->blocks; i++) {
                        loss += partials[i].loss;
                        state->weight += partials[i].weight;
                        state->rows += partials[i].rows;
                        state->correct += partials[i].correct;
                        flags |= partials[i].flags;
                    }
                    if (!std::isfinite(loss)) flags |= HPC_FLAG_NONFINITE;
                    state->loss += loss * static_cast<double>(w.run.scalar(weight)) / static_cast<double>(averaged);
                    raise(*state, flags);
                }};
    }

    const Kernels& kernels_;
    const BlasProvider* blas_;
    const Plan& plan_;
    MetricState& metrics_;
    const std::vector<const float*>& rows_;
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
        for (const Value& v : plan.values) rows_.push_back(v.buffer ? reinterpret_cast<const float*>(place(v)) : nullptr);
        Lowering lowering(*device_, plan, metrics_, rows_);
        for (size_t i = 0; i < plan.nodes.size(); i++) nodes_.push_back(lowering.lower(i));
        group();
        find_borrowers();
    }

    void run(const Run& run) override {
        const Return at_the_end(*this);
        prepare(run.extents);
        bool served = false, failed = false;
        for (const Part& part : parts_) {
            if (part.end > part.first) served |= run_stages(run, part.first, part.end);
            if (part.calls) call(*part.calls, run.extents, failed);
        }
        if (served) team_runs_.fetch_add(1, std::memory_order_relaxed);
        count_run();
    }

    void profile(const Run& run, double* nanoseconds) override {
        using Clock = std::chrono::steady_clock;
        prepare(run.extents);
        Scratch scratch(device_->scratch());
        bool failed = false;
        for (size_t i = 0; i < nodes_.size(); i++) {
            const double seconds = estimate(i, run.extents);
            auto body = [&](Member& member) {
                const Worker worker{run, member.index() == 0 ? scratch.data() : device_->worker_scratch(member.index())};
                for (size_t p = 0; p < nodes_[i].phases.size(); p++)
                    execute({{{i, p, tiles_[i][p]}}, tiles_[i][p], seconds < kTeamStageSeconds}, member, worker);
            };
            const auto start = Clock::now();
            if (nodes_[i].call) {
                call(nodes_[i], run.extents, failed);
            } else if (device_->team().threads() > 1 && seconds >= kTeamStageSeconds) {
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
        out.weight = metrics_.weight;
        out.gradient_norm = metrics_.gradient_norm;
        out.rows = metrics_.rows;
        out.correct = metrics_.correct;
        out.runs = metrics_.runs;
        out.first_flagged_run = metrics_.first_flagged_run;
        out.flags = metrics_.flags.exchange(0, std::memory_order_relaxed);
        metrics_.loss = metrics_.weight = metrics_.gradient_norm = 0;
        metrics_.rows = metrics_.correct = metrics_.runs = metrics_.first_flagged_run = 0;
    }

    void transfer_in(const Value& value, const void* host, uint64_t bytes, bool once) override {
        const size_t index = static_cast<size_t>(&value - plan_.values.data());
        if (once && borrows_[index] && reinterpret_cast<uintptr_t>(host) % alignof(float) == 0) {
            rows_[index] = static_cast<const float*>(host);
            borrowed_.push_back(index);
        } else {
            value.buffer->write(value.offset, host, bytes);
            if (borrows_[index]) stay(index);
        }
    }
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

    // Stages [first, end), then the caller's code. There are several only where there is such code.
    struct Part {
        size_t first, end;
        const Lowered* calls;  // null: none
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

    // On the calling thread, outside the team and its floating-point state.
    void call(const Lowered& node, const Extents& at, bool& failed) {
        if (failed) return;
        failed = !node.call(at);
        if (failed) raise(metrics_, HPC_FLAG_CALL);
    }

    // Returns whether the team served.
    bool run_stages(const Run& run, size_t first, size_t end) {
        Scratch scratch(device_->scratch());
        auto body = [&](Member& member) {
            const Worker worker{run, member.index() == 0 ? scratch.data() : device_->worker_scratch(member.index())};
            for (size_t i = first; i < end; i++) execute(stages_[i], member, worker);
        };
        if (device_->team().threads() > 1 && seconds_ >= kTeamRunSeconds) return device_->team().run(body);
        Team::run_alone(body);
        return false;
    }

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

    // Inputs that nothing but products read, as their left operand, for whose place they ask in every run: the caller's memory does
    // as well as a copy. Not in a buffer of the caller's: somebody may look for them there.
    void find_borrowers() {
        for (const Value& value : plan_.values)
            borrows_.push_back(value.kind == HPC_VALUE_INPUT && value.dtype == HPC_FLOAT32 && value.buffer && value.buffer == plan_.owned);
        for (const Node& node : plan_.nodes) {
            const bool product = std::holds_alternative<DenseForwardNode>(node.payload) ||
                                 std::holds_alternative<hpc_dense_backward_weight>(node.payload);
            for (const Operand& operand : operands(node.payload))
                if (!product || std::strcmp(operand.role, "x") != 0) borrows_[operand.value - 1] = false;
        }
        borrowed_.reserve(borrows_.size());
    }

    // At the end of a run, however it ends: the caller's memory is the caller's again.
    class Return {
    public:
        explicit Return(CpuExecutor& executor) : executor_(executor) {}
        ~Return() {
            for (const size_t value : executor_.borrowed_) executor_.stay(value);
            executor_.borrowed_.clear();
        }
        Return(const Return&) = delete;
        Return& operator=(const Return&) = delete;

    private:
        CpuExecutor& executor_;
    };

    void stay(size_t value) { rows_[value] = reinterpret_cast<const float*>(place(plan_.values[value])); }

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
            // In a group of its own, for it touches the metrics.
            if (nodes_[first].call) parts_.push_back({parts_.empty() ? 0 : parts_.back().end, stages_.size(), &nodes_[first]});
            for (size_t p = 0; p < phases; p++) {
                Stage stage;
                for (size_t i = first; i < end; i++)
                    if (p < nodes_[i].phases.size()) stage.entries.push_back({i, p, 0});
                stages_.push_back(std::move(stage));
            }
            first = end;
        }
        parts_.push_back({parts_.empty() ? 0 : parts_.back().end, stages_.size(), nullptr});
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
                // The others prepare little, or combine what it left.
                if (entry.phase == nodes_[entry.node].main || nodes_[entry.node].phases[entry.phase].whole) seconds += estimate(entry.node, at);
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
    std::vector<Part> parts_;
    std::vector<std::vector<int64_t>> tiles_;
    std::vector<const float*> rows_;  // of every value: where products read its rows
    std::vector<bool> borrows_;       // values whose rows may be read where the caller has them,
    std::vector<size_t> borrowed_;    // and those of which they are in this run
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
