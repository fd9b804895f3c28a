// What a backend implements: memory, and the execution of a finished program.
//
// The core above this line (program/) owns meaning: checking, fusion, lifetimes, workspace. A backend owns kernels: it
// lowers a Plan once to an Executor, and the Executor runs it. A backend never knows what a layer is.
//
// To add a backend: derive Device, Buffer and Executor, and make the device in create_device (abi.cpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "error.h"
#include "hpcnet.h"
#include "program/ir.h"

namespace hpc {

class Device;

// Memory of a device. Offsets and sizes are checked by the caller (abi.cpp).
class Buffer {
public:
    Buffer(std::shared_ptr<Device> device, uint64_t bytes);
    virtual ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    virtual void read(uint64_t offset, void* destination, uint64_t bytes) = 0;
    virtual void write(uint64_t offset, const void* source, uint64_t bytes) = 0;
    virtual void copy_to(uint64_t offset, Buffer& destination, uint64_t destination_offset, uint64_t bytes) = 0;
    virtual void fill(uint64_t offset, uint32_t pattern, uint64_t bytes) = 0;

    uint64_t bytes() const { return bytes_; }
    const std::shared_ptr<Device>& device() const { return device_; }

    // From now on nobody writes: programs hold constants that are here.
    void seal() { sealed_.store(true, std::memory_order_release); }
    bool sealed() const { return sealed_.load(std::memory_order_acquire); }

private:
    std::shared_ptr<Device> device_;
    uint64_t bytes_;
    std::atomic<bool> sealed_{false};
};

// A finished program as a backend sees it: fused nodes in order, and values that all have a place in a buffer.
struct Plan {
    std::vector<Value> values;
    std::vector<Slot> slots;
    std::vector<Node> nodes;
    std::vector<uint64_t> scratch;  // per node: offset of its scratch in the workspace, as asked for by scratch_bytes
    std::shared_ptr<Buffer> workspace;
    std::shared_ptr<Buffer> owned;  // where values that callers reach, and gave no buffer, live
    Extents capacity;
    uint32_t flags = 0;  // hpc_program_flags

    const Value& value(ValueId id) const { return values[id - 1]; }
};

// One run's arguments. Scalars and counters resolve themselves against the slots.
struct Run {
    Extents extents;
    const uint64_t* slots;

    float scalar(const hpc_scalar& s) const;
    uint64_t counter(const hpc_counter& c) const { return c.slot ? slots[c.slot - 1] : c.constant; }
};

class Executor {
public:
    virtual ~Executor() = default;
    // Executes the whole list; may return before the work is done.
    virtual void run(const Run& run) = 0;
    // Runs node by node; nanoseconds[i] gets the time of nodes[i] if it is smaller than what is there.
    virtual void profile(const Run& run, double* nanoseconds) = 0;
    // Runs, and tells what the run cost a device with a queue; zeros where there is none.
    virtual hpc_run_costs measure(const Run& run) {
        this->run(run);
        return {};
    }
    // Waits for what was enqueued; fetches and resets the metrics.
    virtual void fetch(hpc_metrics& metrics) = 0;
    // Host memory into and out of a value's place, in order with the runs. `once`: for the next run alone, which begins while the
    // memory is there; it may be read instead of being copied.
    virtual void transfer_in(const Value& value, const void* host, uint64_t bytes, bool once) = 0;
    virtual void transfer_out(const Value& value, void* host, uint64_t bytes) = 0;
    // What was picked for nodes[i] at the plan's capacity ("tiles 4 x 2 of 32 x 256, builtin").
    virtual std::string describe(size_t node) const = 0;
    // How many runs the device's whole team served.
    virtual uint64_t team_runs() const = 0;
};

class Device : public std::enable_shared_from_this<Device> {
public:
    virtual ~Device() = default;

    virtual void info(hpc_device_info& info) const = 0;
    virtual std::string describe() const = 0;
    virtual hpc_measurement measure(int milliseconds) = 0;
    virtual double measure_peak(int milliseconds) = 0;
    virtual hpc_memory_bandwidth measure_memory(uint64_t bytes, int milliseconds) = 0;
    virtual hpc_cache_info caches() const = 0;
    virtual std::shared_ptr<Buffer> create_buffer(uint64_t bytes) = 0;

    // Scratch memory that a node needs at capacity, beside its values.
    virtual uint64_t scratch_bytes(const Node& node, const std::vector<Value>& values, const Extents& capacity) const = 0;
    // The plan outlives the executor.
    virtual std::unique_ptr<Executor> lower(const Plan& plan) = 0;

    std::atomic<uint64_t> allocated{0};
};

}  // namespace hpc
