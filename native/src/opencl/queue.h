// An in-order queue of a device: transfers, fills and launches, executed in the order in which they were enqueued. What one
// queue does after another one has done something waits for an event of that other queue, which must be flushed by then.
//
// Every function may be called from any thread. A run holds `order` while it enqueues its list, so that no other run's
// instructions come between. A queue on which a step was interrupted half way through what it changes is lost: what it
// would give is neither the state before the step nor the one after it, so it gives nothing any more.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "opencl/api.h"

namespace hpc::opencl {

struct Geometry {
    cl_uint dimensions = 0;  // 0: nothing to do
    size_t global[3] = {1, 1, 1};
    size_t local[3] = {1, 1, 1};
};

class Queue {
public:
    Queue(const Api& api, Ref<cl_command_queue> queue) : api_(api), queue_(std::move(queue)) {}

    void read(cl_mem source, uint64_t offset, void* destination, uint64_t bytes);
    void write(cl_mem destination, uint64_t offset, const void* source, uint64_t bytes);
    // `source` must stay as it is until the event is complete. Begins after `after`, an event of another queue; null: at once.
    Ref<cl_event> write_later(cl_mem destination, uint64_t offset, const void* source, uint64_t bytes, cl_event after = nullptr);
    void copy(cl_mem source, uint64_t source_offset, cl_mem destination, uint64_t destination_offset, uint64_t bytes);
    void fill(cl_mem destination, uint64_t offset, uint32_t pattern, uint64_t bytes);
    // Begins after `after`, an event of another queue; null: at once. `done` gets an event; null: none is made.
    void launch(cl_kernel kernel, const Geometry& geometry, cl_event after = nullptr, Ref<cl_event>* done = nullptr);
    // With an event that tells the time, on a queue that was made for that.
    Ref<cl_event> launch_timed(cl_kernel kernel, const Geometry& geometry);
    Ref<cl_event> copy_timed(cl_mem source, cl_mem destination, uint64_t bytes);
    void flush();
    void finish();

    // Marks the device as lost; from here on every call fails with this reason.
    void lose(const std::string& reason);
    void check_usable() const;

    std::mutex order;

    const Api& api() const { return api_; }
    cl_command_queue get() const { return queue_.get(); }

private:
    const Api& api_;
    Ref<cl_command_queue> queue_;
    std::atomic<bool> lost_{false};
    std::string reason_;
};

}  // namespace hpc::opencl
