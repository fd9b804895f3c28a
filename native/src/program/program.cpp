// Running a finished program.
#include "program/program.h"

#include <cmath>
#include <cstring>

namespace hpc {

Buffer::Buffer(std::shared_ptr<Device> device, uint64_t bytes) : device_(std::move(device)), bytes_(bytes) {
    device_->allocated.fetch_add(bytes_, std::memory_order_relaxed);
}

Buffer::~Buffer() { device_->allocated.fetch_sub(bytes_, std::memory_order_relaxed); }

float Run::scalar(const hpc_scalar& s) const {
    if (s.slot == 0) return s.constant;
    const uint32_t low = static_cast<uint32_t>(slots[s.slot - 1]);
    float value;
    std::memcpy(&value, &low, sizeof value);
    return value;
}

Program::Entry::Entry(Program& program) : program_(program) {
    if (program_.busy_.test_and_set(std::memory_order_acquire))
        fail(HPC_BUSY, "the program is in use on another thread");
}

Program::Entry::~Entry() { program_.busy_.clear(std::memory_order_release); }

void Program::check_run(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count) const {
    if (!finished_) fail(HPC_INVALID_STATE, "the program is not finished: call hpc_program_finish first");
    if (rows > plan_.capacity.rows)
        fail(HPC_INVALID_ARGUMENT, "rows is %llu: the program was recorded for at most %llu",
             static_cast<unsigned long long>(rows), static_cast<unsigned long long>(plan_.capacity.rows));
    if (steps < 1 || steps > plan_.capacity.steps)
        fail(HPC_INVALID_ARGUMENT, "steps is %llu: the program was recorded for 1 to %llu",
             static_cast<unsigned long long>(steps), static_cast<unsigned long long>(plan_.capacity.steps));
    if (slot_count != plan_.slots.size())
        fail(HPC_INVALID_ARGUMENT, "slot_count is %u: the program declared %zu slots", slot_count, plan_.slots.size());
    if (slot_count && !slots) fail(HPC_INVALID_ARGUMENT, "slots is null");
    const Run run{{rows, steps}, slots};
    for (uint32_t i = 0; i < slot_count; i++)
        if (plan_.slots[i].type == HPC_SLOT_FLOAT && !std::isfinite(run.scalar({0, i + 1})))
            fail(HPC_INVALID_ARGUMENT, "slot %u (%s) is not finite", i + 1, plan_.slots[i].name.c_str());
}

void Program::run(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, const hpc_transfer* transfers,
                  uint32_t transfer_count, hpc_metrics* metrics) {
    check_run(rows, steps, slots, slot_count);
    const Run run{{rows, steps}, slots};

    if (transfer_count && !transfers) fail(HPC_INVALID_ARGUMENT, "transfers is null");
    for (uint32_t i = 0; i < transfer_count; i++) {
        uint32_t id = transfers[i].value;
        const Value& value = resolve(id, "transfer.value");
        if (!value.comes_from_host() && value.kind != HPC_VALUE_OUTPUT)
            fail(HPC_INVALID_ARGUMENT, "transfer %u: '%s' is neither an input, a target, an index nor an output", i, value.name.c_str());
        const uint64_t bytes = value.bytes(run.extents);
        if (transfers[i].flags & ~uint32_t{HPC_TRANSFER_ONCE})
            fail(HPC_INVALID_ARGUMENT, "transfer %u: flags is %u: it has unknown bits", i, transfers[i].flags);
        if (transfers[i].bytes != bytes)
            fail(HPC_INVALID_ARGUMENT, "transfer %u: '%s' takes %llu bytes at this size, got %llu", i, value.name.c_str(),
                 static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(transfers[i].bytes));
        if (bytes && !transfers[i].host) fail(HPC_INVALID_ARGUMENT, "transfer %u: host is null", i);
    }

    if (rows > 0) {
        for (uint32_t i = 0; i < transfer_count; i++) {
            uint32_t id = transfers[i].value;
            const Value& value = resolve(id, "transfer.value");
            if (value.comes_from_host()) executor_->transfer_in(value, transfers[i].host, transfers[i].bytes, transfers[i].flags & HPC_TRANSFER_ONCE);
        }
        executor_->run(run);
        runs_.fetch_add(1, std::memory_order_relaxed);
        for (uint32_t i = 0; i < transfer_count; i++) {
            uint32_t id = transfers[i].value;
            const Value& value = resolve(id, "transfer.value");
            if (!value.comes_from_host()) executor_->transfer_out(value, transfers[i].host, transfers[i].bytes);
        }
    }
    if (metrics) executor_->fetch(*metrics);
}

uint32_t Program::profile(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, uint32_t repetitions,
                          hpc_profile_entry* entries, uint32_t capacity) {
    check_run(rows, steps, slots, slot_count);
    if (repetitions < 1) fail(HPC_INVALID_ARGUMENT, "repetitions is 0: expected at least 1");
    if (capacity && !entries) fail(HPC_INVALID_ARGUMENT, "entries is null");
    const Run run{{rows, steps}, slots};
    const size_t count = plan_.nodes.size();
    std::vector<double> nanoseconds(count, INFINITY);
    if (capacity > 0)
        for (uint32_t i = 0; i < repetitions; i++) executor_->profile(run, nanoseconds.data());
    for (size_t i = 0; i < count && i < capacity; i++) {
        const Work work = work_of(plan_.nodes[i].payload, plan_.values, run.extents);
        entries[i].nanoseconds = nanoseconds[i];
        entries[i].flops = work.flops;
        entries[i].bytes = work.bytes;
        std::memset(entries[i].name, 0, sizeof entries[i].name);
        const std::string name = name_of(plan_.nodes[i].payload);
        std::memcpy(entries[i].name, name.data(), std::min(name.size(), sizeof entries[i].name - 1));
    }
    return static_cast<uint32_t>(count);
}

hpc_run_costs Program::measure(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, uint32_t repetitions) {
    check_run(rows, steps, slots, slot_count);
    if (repetitions < 1) fail(HPC_INVALID_ARGUMENT, "repetitions is 0: expected at least 1");
    hpc_run_costs best{};
    for (uint32_t i = 0; i < repetitions && rows > 0; i++) {
        const hpc_run_costs costs = executor_->measure({{rows, steps}, slots});
        if (i == 0 || costs.span_nanoseconds < best.span_nanoseconds) best = costs;
    }
    return best;
}

void Program::info(hpc_program_info& info) const {
    info = {};
    info.recorded_instructions = recorded_.size();
    info.fused_instructions = plan_.nodes.size();
    info.values = plan_.values.size();
    info.slots = plan_.slots.size();
    info.workspace_bytes = plan_.workspace ? plan_.workspace->bytes() : 0;
    info.owned_bytes = owned_ ? owned_->bytes() : 0;
    for (const Node& node : plan_.nodes) {
        const Work work = work_of(node.payload, plan_.values, plan_.capacity);
        info.flops += work.flops;
        info.compulsory_bytes += work.bytes;
    }
    info.runs = runs_.load(std::memory_order_relaxed);
    info.team_runs = executor_ ? executor_->team_runs() : 0;
}

}  // namespace hpc
