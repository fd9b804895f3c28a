// The kernel table: everything that is compiled once per instruction set, behind plain function pointers.
//
// Each src/cpu/isa_<name>.cpp includes the kernel texts (kernels/*.inl) in a namespace of its own and exports one
// Kernels table; dispatch.cpp picks one per device. Matrices are row-major with a leading dimension in elements.
// Kernels never allocate, never throw, never look at the number of threads: what they compute depends on their
// arguments alone. A kernel called for rows [a, b) and then [b, c) gives the same bits as called for [a, c), unless its
// comment says otherwise.
//
// To add a kernel: a pointer here, its text in kernels/*.inl, its entry in make_kernels (kernels/table.inl).
#pragma once

#include <cstddef>
#include <cstdint>

#include "activations.h"
#include "cells.h"
#include "hpcnet.h"
#include "losses.h"
#include "rules.h"

namespace hpc::cpu {

#define HPC_COUNT(...) +1
constexpr int kActivationCount = 0 HPC_ACTIVATIONS(HPC_COUNT);
constexpr int kLossCount = 0 HPC_LOSSES(HPC_COUNT);
constexpr int kRuleCount = 0 HPC_RULES(HPC_COUNT);
constexpr int kCellCount = 0 HPC_CELLS(HPC_COUNT);
#undef HPC_COUNT
constexpr int kClassLossCount = HPC_CLASS_LOSS_MULTI_MARGIN + 1;

// The transposition forms of a dense layer. C is always [m x n] row-major.
enum class Form {
    NN,  // C = A[m x k] B[k x n]       forward:         Y = X W
    NT,  // C = A[m x k] B[n x k]^T     backward input:  dX = dY W^T
    TN,  // C = A[k x m]^T B[k x n]     backward weight: dW = X^T dY
};

// What happens to a piece of C as soon as its product is complete, while it is in the first-level cache.
struct Epilogue {
    // c[rows x cols] (leading dimension ldc) is the piece whose first element is element (row, col) of the whole C.
    void (*apply)(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols);
    const float* bias = nullptr;  // forward: [n of the whole C], or null
    float* kept = nullptr;        // forward: derivative out, laid out like the whole C; null: not kept.
                                  // backward: what the derivative is computed from (read only)
    int64_t ldkept = 0;
    float* sums = nullptr;  // backward: column sums of this row block, [n of the whole C], zeroed before; pieces arrive in
                            // row order and are added row by row; or null
    float alpha = 0, beta = 0;
    // Null, until the kernel that multiplies says that a piece's product stands elsewhere than in c, which is then written only.
    const float* product = nullptr;
    int64_t ldproduct = 0;
};

// In which order an element of C is summed. Chosen by plan_gemm for a whole product (cpu/gemm_plan.h), so that all tiles
// of one product agree; it decides the bits.
enum class GemmPath : int32_t {
    Sequential,  // over k in order, in blocks of k
    Dot,         // lanes side by side over k, then across the lanes: few rows in NT (at most kDotRows), a narrow C in NN
                 // (at most kDotColumns). TN never.
};
constexpr int64_t kDotRows = 16, kDotColumns = 4;

// One independent piece of a product: C[m x n] = op(A) op(B), then the epilogue. a, b and c point at the piece's own
// first elements; (row, col) is the place of c[0] in the whole C, for the epilogue. k may be 0 (C = 0, then the epilogue).
struct GemmTile {
    Form form;
    int64_t m, n, k;
    const float* a;
    int64_t lda;
    const float* b;
    int64_t ldb;
    float* c;
    int64_t ldc;
    Epilogue* epilogue;  // of this call alone, for the kernel sets its product; or null
    int64_t row, col;
    GemmPath path = GemmPath::Sequential;
    const float* panels = nullptr;  // B as Kernels::pack_panels left it, from the tile's first column on; or null. NN only
};

// Block sizes, as data. All depend on the instruction set alone.
struct GemmBlocks {
    int64_t mr, nr;          // micro-tile
    int64_t kc;              // depth of a packed block; an element's sum runs over k in steps of kc, in order
    int64_t tile_m, tile_n;  // the largest tile that `gemm` takes
};

// A class loss of whole rows
struct ClassLossRows {
    const float* logits;         // [rows x classes], leading dimension classes; scores of any kind
    const int32_t* labels;       // [rows], or null
    const float* probabilities;  // [rows x classes], or null; exactly one of the two. For cross-entropy only
    float* gradient;             // [rows x classes] or null
    float* sums;                 // column sums of the gradient, [classes], added to in row order; or null
    int64_t rows, classes;
    float scale;  // multiplies the gradient
    // results, added to
    double loss;  // unscaled sum over the rows
    uint64_t correct;
    uint32_t flags;
    // settings, as hpc_class_loss_forward has them
    const float* class_weights = nullptr;  // [classes], or null: all 1
    float alpha = 0, beta = 0;
    int32_t ignored = 0;
    bool ignores = false;
    bool past = false;  // see Kernels
    // results, added to: rows that are not ignored, and the sum of their labels' class weights (without labels: the rows)
    uint64_t counted = 0;
    double weight = 0;
};

// One pass over rows of PReLU's gradients.
struct PReluRows {
    const float* x;      // [rows x columns], contiguous, as all matrices here
    const float* slope;  // [columns], or one number if `shared`
    const float* dy;
    float* dx;          // or null; may equal dy
    float* slope_sums;  // [columns]: column sums of the slope's gradient, added to in row order; or null
    float* sums;        // [columns]: column sums of dx, added to in row order; or null
    int64_t rows, columns;
    bool shared;
};

struct LossElements {
    const float* prediction;
    const float* target;
    float* gradient;  // or null
    int64_t count;
    float scale;  // multiplies the gradient
    float alpha, beta;
    double loss;  // unscaled sum, added to
    // Of the columns, where there are any; then count is a multiple of columns.
    const float* weights = nullptr;  // [columns], multiply value and gradient; or null
    const float* alphas = nullptr;   // [columns], instead of alpha; or null
    int64_t columns = 0;
    bool past = false;  // see Kernels
};

// One rule over a flat piece. `h` are the hyperparameters in the rule's order, already prepared by the rule's
// `prepare` function (bias corrections, ...).
struct UpdateElements {
    float* parameters;
    const float* gradients;
    float* states[HPC_MAX_STATES];
    int64_t count;
    float h[HPC_MAX_HYPERPARAMETERS + 4];
};

// One step of a recurrent cell for some rows: what is done around its product. G is the cell's number of gates, H are the
// units. Matrices of all steps come with a leading dimension and point at the step's place in the first row; those without
// one are scratch of a tile, contiguous: [rows x H], products [rows x (G H)].
struct RecurrentStep {
    int64_t rows, units;
    float* gates;  // [rows x (G H)]: see hpcnet.h
    int64_t ldgates;
    float* product;     // forward: h w, read. backward: gradients of h w + b, written
    const float* bias;  // forward: [G H], or null
    float* h;           // forward: the output before the step, then after it. backward: its gradient from later steps
    float* state;       // cells with a state: forward the state, backward its gradient; else null
    float* direct;      // backward, cells that are direct: what reaches h past the product; 0 where nothing follows
    float* y;           // forward: outputs, or null. backward: their gradients (read), or null
    int64_t ldy;
    float* kept;          // null: nothing is kept, and gates are not written
    const float* before;  // backward, cells with a state: the state before the step, or null for zeros
    int64_t ldbefore;
    float* previous;  // forward: written. backward: read. Null with kept
    int64_t ldkept;   // of kept and previous
    float* hidden;    // backward, cells that are direct: gradients of h w + b, laid out like gates
};

// Sums by channel over rows [channels, length]; x and dy point at the first of these channels, rows lie `ld` apart.
struct ChannelSums {
    const float* x;
    const float* dy;     // of batch_norm_sums
    const float* shift;  // of batch_moments: a value of each channel, `length` apart
    const float *mean, *rest, *scale;  // of batch_norm_sums, by channel
    int64_t rows, ld, channels, length;
    double *first, *second;  // results, [channels]; with length 1 there is room for whole vectors
};

// Partial sums of channels [from, end): first [part][0][ld], second [part][1][ld].
struct ChannelParts {
    const double* parts;
    int64_t count, ld;
    int64_t from, end;
    int64_t values;  // that a channel has
};

// An elementwise pass over whole rows [channels, length]. out may be x or dy.
struct ChannelRows {
    const float* x;
    const float* dy;  // of the gradient
    float* out;
    const float *mean, *rest, *scale;  // by channel
    const float *weight, *bias;        // by channel, or null
    const float *mean_g, *mean_gn;     // of the gradient, by channel; null: statistics that do not depend on x
    int64_t rows, channels, length;
};

// Layer normalization of `groups` runs of `size` neighbours.
struct GroupRows {
    const float* x;
    const float* dy;    // backward
    float* out;         // y, or dx, which may be null
    float* statistics;  // [groups][3]: mean, its rounding, scale; written forward, read backward
    const float *weight, *bias;  // [size] or null
    int64_t groups, size;
};

// Four streams of `count` floats, gone over `repetitions` times; see kernels/stream.inl.
enum class Stream { Read, Copy, CopyPast, Update };  // CopyPast: with stores that go past the caches
constexpr int kStreamKinds = 4;
constexpr int64_t kStreamStep = 32;  // two of the widest vectors
struct StreamPass {
    float* streams[4];
    int64_t count;
    int64_t repetitions;
    float* sink;  // as wide as the widest vector
};

// `past`: what is written only (never an input) is stored past the caches, which would not hold it; of elementwise kernels it is aligned
// to 64 bytes then. The bits do not depend on it.
struct Kernels {
    const char* isa;  // "avx512", "avx2", "scalar"
    int lanes;

    GemmBlocks blocks;
    size_t gemm_scratch_bytes;  // 64-byte aligned scratch that one gemm call needs
    // m <= tile_m, n <= tile_n, any k. Bits of an element do not depend on m, n or its place in the tile.
    void (*gemm)(const GemmTile& tile, void* scratch);
    // B[k x n] in the order in which its kernels read it: panels of blocks.nr columns, [panel][k][blocks.nr], filled up
    // with zeros.
    void (*pack_panels)(const float* b, int64_t ldb, int64_t k, int64_t n, float* panels);

    // Epilogue.apply: bias, activation, kept derivative / derivative, column sums.
    decltype(Epilogue::apply) epilogue_forward[kActivationCount];
    decltype(Epilogue::apply) epilogue_backward[kActivationCount];

    // y = f(x + bias?) and f'; x may equal y
    void (*activation_forward[kActivationCount])(const float* x, float* y, float* derivative, int64_t count,
                                                 float alpha, float beta, bool past);
    // dx = f'(kept) dy; dy may equal dx
    void (*activation_backward[kActivationCount])(const float* kept, const float* dy, float* dx, int64_t count,
                                                  float alpha, float beta, bool past);
    // y[r, :] = x[r, :] + bias, in place allowed (for the plain, unfused bias)
    void (*add_rows)(const float* x, const float* bias, float* y, int64_t rows, int64_t columns);
    // sums[j] += sum over the rows, row after row
    void (*column_sums)(const float* x, int64_t ldx, int64_t rows, int64_t columns, float* sums);

    void (*class_loss[kClassLossCount])(ClassLossRows& rows);
    void (*softmax)(const float* x, float* y, int64_t rows, int64_t classes, bool past);
    // dx = y (dy - sum of y dy); dy may equal dx
    void (*softmax_backward)(const float* y, const float* dy, float* dx, int64_t rows, int64_t classes, bool past);
    void (*log_softmax)(const float* x, float* y, int64_t rows, int64_t classes, bool past);
    // dx = dy - e^y sum of dy; dy may equal dx
    void (*log_softmax_backward)(const float* y, const float* dy, float* dx, int64_t rows, int64_t classes, bool past);
    // slope is [columns], or one number if `shared`; x may equal y
    void (*prelu_forward)(const float* x, const float* slope, float* y, int64_t rows, int64_t columns, bool shared, bool past);
    void (*prelu_backward)(const PReluRows& rows);
    void (*loss[kLossCount])(LossElements& elements);

    void (*update[kRuleCount])(const UpdateElements& elements);

    double (*sum_of_squares)(const float* x, int64_t count);
    double (*sum_of_magnitudes)(const float* x, int64_t count);
    float (*largest_magnitude)(const float* x, int64_t count);
    // x = min(max(x, -limit), limit)
    void (*clip)(float* x, int64_t count, float limit);
    // y += l1 sign(x) + l2 x
    void (*add_penalty)(const float* x, float* y, int64_t count, float l1, float l2);
    // columns whose norm is above max_norm times max_norm / (norm + 1e-7)
    void (*limit_column_norms)(float* x, int64_t ldx, int64_t rows, int64_t columns, float max_norm);
    void (*scale)(float* x, int64_t count, float factor);
    void (*add_scaled)(const float* x, float* y, int64_t count, float factor);
    void (*fill)(float* x, int64_t count, float value);
    // partials[parts x columns] (leading dimension ldp) summed over the parts in order into y
    void (*sum_parts)(const float* partials, int64_t parts, int64_t ldp, float* y, int64_t count);

    // elements [first, first + count) of the stream; first is a multiple of 4
    void (*philox_uniform)(float* x, uint64_t first, int64_t count, uint64_t seed, uint64_t stream, float low,
                           float high);
    void (*dropout)(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                    float rate);
    // y = u < rate ? x : y
    void (*restore_dropped)(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                            float rate);
    void (*multiply)(const float* x, const float* y, float* z, int64_t count, bool past);
    void (*affine_dropout)(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                           float rate, float scale, float shift, float dropped);
    void (*gaussian_noise)(const float* x, float* y, uint64_t first, int64_t count, uint64_t seed, uint64_t stream,
                           float deviation);

    // By cell; forward keeps what backward needs where `previous` is given.
    void (*recurrent_forward[kCellCount])(const RecurrentStep& step);
    void (*recurrent_backward[kCellCount])(const RecurrentStep& step);
    void (*fast_gradient_sign)(const float* x, const float* gradient, float* y, int64_t count, float epsilon, float low, float high,
                               bool past);

    // Runs fused multiply-adds in registers: returns the floating-point operations done (2 per FMA and lane).
    double (*fma_loop)(int64_t iterations, float* sink);
    // Goes over memory; what is read ends in the sink.
    void (*stream[kStreamKinds])(const StreamPass& pass);

    // first = sum of x - shift, second = of its square
    void (*batch_moments)(const ChannelSums& sums);
    // first = sum of dy, second = of dy times the normalized x
    void (*batch_norm_sums)(const ChannelSums& sums);
    // statistics[4 x channels] of hpc_batch_norm_forward from the moments; shift as in ChannelSums
    void (*batch_statistics)(const ChannelParts& parts, const float* shift, int64_t length, double epsilon, float* statistics,
                             int64_t channels);
    void (*running_statistics)(const float* mean, const float* variance, double epsilon, float* statistics, int64_t channels);
    // first, second: the combined sums, each may be null; means: [2 x channels], both divided by the number of values, or null
    void (*combine_channel_sums)(const ChannelParts& parts, float* first, float* second, float* means, int64_t channels);
    void (*batch_normalize)(const ChannelRows& rows);
    void (*batch_norm_gradient)(const ChannelRows& rows);
    void (*layer_norm_forward)(const GroupRows& groups, double epsilon);
    // first, second: sums of dy and dy n by column, [size] with room for whole vectors; both or none
    void (*layer_norm_backward)(const GroupRows& groups, double* first, double* second);
};

// What each rule makes of its hyperparameters before the elementwise kernel runs (step counts from 1).
// Shared by all backends; in double precision.
using PrepareRule = void (*)(const float* hyperparameters, uint64_t step, float* prepared);

extern const Kernels kScalarKernels;
#if defined(HPC_HAVE_AVX2)
extern const Kernels kAvx2Kernels;
#endif
#if defined(HPC_HAVE_AVX512)
extern const Kernels kAvx512Kernels;
#endif

}  // namespace hpc::cpu
