// A run of dense layers so small that their weights and a block of rows fit into a work-group's local memory, as one launch:
// forward, loss, backward and what the work-group's rows add to the gradients; where there are several work-groups, one more
// launch adds their parts up in order of their numbers. What the whole step needs behind that (the update, the run's end) goes
// along in the last one of them.
//
// find_small_network recognises such a run among a plan's nodes; what follows here says how it is launched (the kernels are in
// kernels/small_network.cl). Programs are specialised by network: extents, formulas and places in local memory are options.
//
// To let another instruction take part: its case in small_network.cpp, its options here, its text in the kernel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend.h"
#include "opencl/api.h"
#include "opencl/kernels.h"

namespace hpc::opencl {

// ---- Tunables (data) ------------------------------------------------------------------------------------------------

struct NetworkTunables {
    uint64_t items;            // HPC_ITEMS: work-items of a work-group, at most the device's
    uint64_t local_bytes;      // of local memory that a network may take, at most the device's
    uint64_t block_rows;       // HPC_ROWS at most: 4, 8, 16 or 32
    uint64_t least_rows;       // blocks are made this small to have one for each compute unit
    uint64_t serial_blocks;    // up to this many blocks are one work-group's, which then does the whole step
    uint64_t groups_per_unit;  // work-groups at most, for each compute unit
    uint64_t unrolls;          // HPC_UNROLLS: sums of gradients stand in registers
    uint64_t at_once;          // HPC_AT_ONCE: parameters that a work-item updates at a time
};
inline constexpr NetworkTunables kGpuNetwork{256, 65536, 32, 8, 2, 2, 1, 4};
inline constexpr NetworkTunables kProcessorNetwork{64, 32768, 32, 8, 2, 2, 0, 1};
inline const NetworkTunables& network_tunables(const Limits& limits) { return limits.processor ? kProcessorNetwork : kGpuNetwork; }

inline constexpr size_t kNetworkLayers = 8;       // the kernel's text has lists for so many
inline constexpr uint64_t kNetworkClasses = 32;   // classes of a row, which one work-item goes through
inline constexpr uint64_t kNetworkWidth = 1024;   // columns of a layer
inline constexpr size_t kNetworkLinks = 32;       // and of what they need, as many as are handed over:
inline constexpr size_t kNetworkNumbers = 16;
inline constexpr size_t kNetworkRules = 3;

// ---- A network ------------------------------------------------------------------------------------------------------

struct SmallNetwork {
    struct Layer {
        ValueId w = 0, b = 0, y = 0;
        FusedActivation activation{};
        uint64_t in = 0, out = 0;
        ValueId dw = 0, db = 0;      // 0: nobody asks
        bool hands_on = false;       // the gradient of its input is asked for
        bool writes_y = false;       // somebody outside reads it
        bool writes_kept = false;
    };
    enum class Head { None, Softmax, LogSoftmax };

    size_t first = 0, end = 0;  // nodes of the plan
    std::vector<Layer> layers;
    ValueId x = 0;                                  // of the first layer, or what it is gathered from
    std::optional<hpc_gather_rows> gather_x, gather_target;
    Head head = Head::None;                         // over the last output
    ValueId head_y = 0;
    std::optional<LossNode> loss;                   // at most one of the two
    std::optional<ClassLossNode> class_loss;
    ValueId target = 0;                             // or what it is gathered from
    bool backward = false;
    bool head_derivative = false;                   // the loss's gradient goes through the last activation
    ValueId dx = 0;                                 // of the input; 0: nobody asks
    // What follows elementwise on parameters and gradients, in order: penalties, clipping, decay, the rule.
    struct Link {
        enum Kind : uint32_t { ClipByValue, AddPenalty, AddScaled, Scale, Update };  // HPC_LINK_...
        Kind kind;
        uint64_t first, end;  // of the network's gradients
        uint32_t index;       // of `numbers`, or of `rules`
        bool learns() const { return kind == Scale || kind == Update; }
    };
    std::vector<Link> links;
    std::vector<hpc_scalar> numbers;
    std::vector<hpc_update> rules;                  // one and the same rule, with its settings
    bool ends_run = false;                          // nothing follows

    // Parameters and gradients lie in one buffer each: here from their first element on.
    uint64_t parameters_at = 0, gradients_at = 0;   // elements
    uint64_t learned_at = 0;                        // the parameter of the first gradient
    uint64_t gradients_span = 0;

    uint64_t block_rows = 0, items = 0;             // of a work-group
    uint64_t groups_most = 0, serial_blocks = 0, unrolls = 0, at_once = 1;

    bool has_loss() const { return loss || class_loss; }
    bool adds_loss() const { return loss ? loss->adds_loss : class_loss && class_loss->adds_loss; }
    bool writes() const;
    bool learns() const { return std::any_of(links.begin(), links.end(), [](const Link& link) { return link.learns(); }); }
    // Whether a second launch combines what several work-groups left.
    bool combines() const { return gradients_span > 0 || adds_loss(); }

    uint64_t blocks(uint64_t rows) const { return blocks_of(rows, block_rows); }
    bool one_group(uint64_t rows) const { return blocks(rows) <= serial_blocks; }
    uint64_t groups(uint64_t rows) const { return one_group(rows) ? 1 : std::min(blocks(rows), groups_most); }
    uint64_t part() const { return padded(gradients_span); }  // elements of a work-group's part of the gradients
    // Bytes of memory between the launches for so many rows and anything below: the parts of the loss, then (at parts_at elements)
    // those of the gradients.
    uint64_t parts_at(uint64_t rows) const { return adds_loss() ? padded(groups(rows) * sizeof(loss_partial) / 4) : 0; }
    uint64_t scratch_bytes(uint64_t rows) const {
        return (parts_at(rows) + (groups(rows) > 1 ? groups(rows) * part() : 0)) * 4;
    }
};

// The network that begins at this node and saves launches; none if there is none. Depends on the plan and the limits alone.
std::optional<SmallNetwork> find_small_network(const Plan& plan, size_t first, const Limits& limits);

// What the kernels of a network are specialised by; `whole`: one work-group does all of it.
std::string network_options(const SmallNetwork& network, const Plan& plan, bool whole);

// Arguments of "small_network": metrics, guard, x, indices, parameters, target, weights, alphas (of the loss's columns), partials,
// parts, dx, head; rows, source_rows, indices_count, offset (ulong), scale (float, see loss_scale); where it writes outputs, y and
// kept of each layer; if it is whole, the arguments of small_network_end from `gradients` on. parts is [groups][part()] scratch, or
// the gradients themselves if it is whole.
// Arguments of "small_network_end": metrics, guard, partials, parts; groups (ulong); gradients, parameters, state 0 to 3, links (network_links,
// uint); rows, divisor (ulong), weight (float, see combine_losses); 16 numbers as 2 cl_float8; for each of 3 rules h0 (cl_float8) and h1
// (cl_float4, see update_kernel).
inline constexpr Source kSmallNetworkSource{
    "small_network",
    {"opencl/kernels/layout.h", "opencl/kernels/common.cl", "opencl/kernels/losses.cl", "formulas/ops_opencl.h", "formulas/elementary.h",
     "formulas/activations.h", "formulas/losses.h", "formulas/rules.h", "opencl/kernels/links.cl", "opencl/kernels/small_network.cl"}};

// The links as the kernels read them: kind, first, end, index of each.
std::vector<uint32_t> network_links(const SmallNetwork& network);

// What describe says of it.
std::string describe_network(const SmallNetwork& network, uint64_t rows);

}  // namespace hpc::opencl
