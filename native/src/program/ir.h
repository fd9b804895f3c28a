// The intermediate representation: values, slots and instructions, as recorded and as fused.
//
// A Node is one instruction. Recording makes plain nodes; fuse.cpp merges some of them by filling the fields marked
// "fused". operands() is the one description of what a node reads and writes: checking, dependencies, lifetimes and
// descriptions all use it. Matrices are row-major [lead x columns].
//
// To add an instruction: a node struct here (or the ABI struct itself), its operands, shapes and work in ir.cpp, its
// recording check in record.cpp, and an executor in every backend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "hpcnet.h"

namespace hpc {

class Buffer;

using ValueId = uint32_t;  // index into the program's values, from 1; 0 is none

struct Extents {
    uint64_t rows, steps;
};

struct Value {
    int32_t kind, dtype, lead;
    uint64_t count, columns;
    std::string name;
    std::shared_ptr<Buffer> buffer;  // bound while recording, or given by finish
    uint64_t offset = 0;             // bytes into the buffer

    uint64_t rows(const Extents& at) const {
        return lead == HPC_LEAD_FIXED ? count : lead == HPC_LEAD_ROWS ? at.rows : at.rows * at.steps;
    }
    uint64_t elements(const Extents& at) const { return rows(at) * columns; }
    uint64_t bytes(const Extents& at) const { return elements(at) * 4; }
    bool comes_from_host() const { return kind == HPC_VALUE_INPUT || kind == HPC_VALUE_TARGET || kind == HPC_VALUE_INDEX; }
};

struct Slot {
    int32_t type;
    std::string name;
};

// The derivative or activation that a product's or a loss's epilogue applies.
struct FusedActivation {
    int32_t activation = -1;  // hpc_activation; -1: none
    ValueId kept = 0;         // forward: derivative out; backward: output or derivative in
    float alpha = 0, beta = 0;
    bool present() const { return activation >= 0; }
};

struct DenseForwardNode {
    ValueId x, w, b, y;
    FusedActivation activation{};  // fused: y = f(x w + b)
};

struct DenseBackwardInputNode {
    ValueId dy, w, dx;
    FusedActivation activation{};  // fused: dx = f' * (dy w^T)
    ValueId sums = 0;              // fused: column sums of dx
};

struct ActivationBackwardNode {
    int32_t activation;
    ValueId kept, dy, dx;
    float alpha, beta;
    ValueId sums = 0;  // fused: column sums of dx
};

struct LossNode {
    int32_t loss, reduction;
    ValueId prediction, target;
    ValueId gradient = 0;  // 0: none
    bool adds_loss = false;
    float alpha, beta;
    hpc_scalar weight;
    ValueId weights = 0, alphas = 0;  // of the columns; 0: none
};

struct ClassLossNode {
    int32_t loss, reduction;
    ValueId scores, target;
    ValueId gradient = 0;  // 0: none
    bool adds_loss = false;
    hpc_scalar weight;
    ValueId class_weights = 0;  // 0: none
    bool ignores = false;
    int32_t ignored = 0;
    float alpha = 0, beta = 0;
    ValueId sums = 0;  // fused: column sums of the gradient

    // Whether a target is more than one class, or its probabilities as they are.
    bool mixes() const { return class_weights || ignores || (loss == HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY && alpha != 0); }
    // Whether a mean is divided by what only the labels tell.
    bool weighs(bool labels) const {
        return labels && (class_weights || ignores) && reduction == HPC_REDUCTION_MEAN && loss != HPC_CLASS_LOSS_MULTI_MARGIN;
    }
};

struct PReluBackwardNode {
    ValueId x, slope, dy;
    ValueId dx, dslope;  // 0: not wanted
    ValueId sums = 0;    // fused: column sums of dx
};

struct CallNode {
    hpc_call_function function;
    void* context;
    std::vector<ValueId> reads, writes;  // 0: the caller gets null
    std::string name;
};

using Payload = std::variant<hpc_gather_rows, DenseForwardNode, DenseBackwardInputNode, hpc_dense_backward_weight,
                             hpc_column_sums, hpc_activation_forward, ActivationBackwardNode, LossNode,
                             ClassLossNode, hpc_softmax, hpc_softmax_backward, hpc_log_softmax, hpc_log_softmax_backward,
                             hpc_prelu_forward, PReluBackwardNode, hpc_update, hpc_norm, hpc_clip_by_norm, hpc_clip_by_value,
                             hpc_add_penalty, hpc_limit_column_norms, hpc_scale,
                             hpc_add_scaled, hpc_fill, hpc_philox_uniform, hpc_dropout, hpc_recurrent_forward,
                             hpc_recurrent_backward, hpc_batch_norm_forward, hpc_batch_norm_backward, hpc_batch_norm_update,
                             hpc_layer_norm_forward, hpc_layer_norm_backward, hpc_embedding_forward,
                             hpc_embedding_backward, hpc_fast_gradient_sign, hpc_multiply, hpc_copy_columns, hpc_affine_dropout,
                             hpc_gaussian_noise, CallNode>;

struct Node {
    Payload payload;
    std::vector<uint32_t> recorded;  // indices of the recorded instructions that this node executes
};

enum class Access { Read, Write, ReadWrite };

struct Operand {
    ValueId value;
    Access access;
    const char* role;
    bool reads() const { return access != Access::Write; }
    bool writes() const { return access != Access::Read; }
};

// The operands that are present (ids other than 0).
std::vector<Operand> operands(const Payload& payload);

// The instruction's name as it was recorded ("dense_forward") with what was fused into it ("+ relu + column_sums").
std::string name_of(const Payload& payload);

// Whether two values share memory at these extents: the same value, or overlapping pieces of one buffer.
bool overlap(const std::vector<Value>& values, ValueId a, ValueId b, const Extents& at);

// Whether the instruction adds to the metrics, or sets a flag.
bool touches_metrics(const Payload& payload);

struct Work {
    uint64_t flops;
    uint64_t bytes;  // read and written if every operand moved once
};
Work work_of(const Payload& payload, const std::vector<Value>& values, const Extents& at);

// How many elements, from the first one on, a fast gradient sign moves: those of a share of the rows.
uint64_t moved_elements(const hpc_fast_gradient_sign& arguments, const Value& x, const Extents& at);

}  // namespace hpc
