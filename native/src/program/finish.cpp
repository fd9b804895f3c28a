// Finishing: checks the order of reads and writes, fuses, gives every value a place, and lowers the plan on the device.
//
// Values without a buffer that the caller must reach (inputs, targets, indices, outputs, ...) live in one buffer that
// the program owns. Temporaries and the scratch of each node live in the workspace, where those that are never alive at
// the same node share memory: largest first, each at the lowest offset that is free during its whole life.
#include <algorithm>

#include "program/program.h"

namespace hpc {

namespace {

constexpr uint64_t kAlignment = 64;

uint64_t aligned(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

struct Lifetime {
    size_t first, last;
    uint64_t bytes;
    uint64_t* offset;
};

// Assigns every lifetime its offset; returns the size of the whole.
uint64_t pack(std::vector<Lifetime>& lifetimes) {
    std::vector<Lifetime*> order;
    for (Lifetime& lifetime : lifetimes) order.push_back(&lifetime);
    std::stable_sort(order.begin(), order.end(), [](const Lifetime* a, const Lifetime* b) { return a->bytes > b->bytes; });
    std::vector<const Lifetime*> placed;
    uint64_t total = 0;
    for (Lifetime* current : order) {
        std::vector<const Lifetime*> rivals;
        for (const Lifetime* other : placed)
            if (other->first <= current->last && current->first <= other->last) rivals.push_back(other);
        std::sort(rivals.begin(), rivals.end(), [](const Lifetime* a, const Lifetime* b) { return *a->offset < *b->offset; });
        uint64_t offset = 0;
        for (const Lifetime* rival : rivals) {
            if (offset + current->bytes <= *rival->offset) break;
            offset = std::max(offset, *rival->offset + aligned(rival->bytes));
        }
        *current->offset = offset;
        placed.push_back(current);
        total = std::max(total, offset + aligned(current->bytes));
    }
    return total;
}

}  // namespace

void Program::check_order() const {
    std::vector<bool> written(plan_.values.size() + 1, false);
    for (const Node& node : recorded_) {
        const std::vector<Operand> list = operands(node.payload);
        for (const Operand& operand : list) {
            const Value& value = plan_.values[operand.value - 1];
            if (operand.reads() && value.kind == HPC_VALUE_TEMPORARY && !written[operand.value])
                fail(HPC_INVALID_ARGUMENT, "instruction %u (%s) reads '%s' before anything has written it",
                     node.recorded[0] + 1, name_of(node.payload).c_str(), value.name.c_str());
        }
        for (const Operand& operand : list)
            if (operand.writes()) written[operand.value] = true;
    }
    check_constants(written);
}

// What is written, by the program or into it, lies in no buffer that holds constants, of this program or another.
void Program::check_constants(const std::vector<bool>& written) const {
    std::vector<const Buffer*> constant;
    for (const Value& value : plan_.values)
        if (value.kind == HPC_VALUE_CONSTANT) constant.push_back(value.buffer.get());
    for (size_t i = 0; i < plan_.values.size(); i++) {
        const Value& value = plan_.values[i];
        if (!value.buffer || (!written[i + 1] && !value.comes_from_host())) continue;
        if (value.buffer->sealed() || std::find(constant.begin(), constant.end(), value.buffer.get()) != constant.end())
            fail(HPC_INVALID_STATE, "value '%s' would be written, but its buffer holds constants", value.name.c_str());
    }
}

void Program::finish() {
    check_recording();
    check_order();

    Plan plan = plan_;
    plan.flags = flags_;
    plan.nodes = flags_ & HPC_PROGRAM_PLAIN ? recorded_ : fuse(recorded_, plan.values, plan.capacity);

    uint64_t owned_bytes = 0;
    for (Value& value : plan.values) {
        if (value.buffer || value.kind == HPC_VALUE_TEMPORARY) continue;
        value.offset = owned_bytes;
        owned_bytes += aligned(value.bytes(plan.capacity));
    }
    std::shared_ptr<Buffer> owned = owned_bytes ? device_->create_buffer(owned_bytes) : nullptr;
    for (Value& value : plan.values)
        if (!value.buffer && value.kind != HPC_VALUE_TEMPORARY) value.buffer = owned;

    std::vector<Lifetime> lifetimes;
    std::vector<size_t> lifetime_of(plan.values.size() + 1, SIZE_MAX);
    plan.scratch.assign(plan.nodes.size(), 0);
    for (size_t i = 0; i < plan.nodes.size(); i++) {
        for (const Operand& operand : operands(plan.nodes[i].payload)) {
            Value& value = plan.values[operand.value - 1];
            if (value.kind != HPC_VALUE_TEMPORARY) continue;
            size_t& index = lifetime_of[operand.value];
            if (index == SIZE_MAX) {
                index = lifetimes.size();
                lifetimes.push_back({i, i, value.bytes(plan.capacity), &value.offset});
            }
            lifetimes[index].last = i;
        }
        if (const uint64_t bytes = device_->scratch_bytes(plan.nodes[i], plan.values, plan.capacity))
            lifetimes.push_back({i, i, bytes, &plan.scratch[i]});
    }
    if (const uint64_t bytes = pack(lifetimes)) plan.workspace = device_->create_buffer(bytes);
    for (size_t id = 1; id < lifetime_of.size(); id++)
        if (lifetime_of[id] != SIZE_MAX) plan.values[id - 1].buffer = plan.workspace;

    plan.owned = owned;

    // Nothing below this line can leave the program half finished: the plan is put in place, and taken back on failure.
    std::swap(plan_, plan);
    try {
        executor_ = device_->lower(plan_);
    } catch (...) {
        std::swap(plan_, plan);
        throw;
    }
    for (const Value& value : plan_.values)
        if (value.kind == HPC_VALUE_CONSTANT) value.buffer->seal();
    owned_ = std::move(owned);
    finished_ = true;
}

}  // namespace hpc
