// What a caller passes in, on its way to the device: copied to pinned host memory, so that the caller has its own back when
// the call returns, and written from there without waiting, at the speed of the bus.
//
// The pinned memory is a ring: mapped once, used from its beginning to its end and over again. A piece is free when its write
// is over. What does not fit into a quarter of it goes piece by piece, copied while the piece before is on its way.
#pragma once

#include <deque>
#include <mutex>

#include "opencl/api.h"
#include "opencl/queue.h"

namespace hpc::opencl {

class Staging {
public:
    // Maps and unmaps on `own`, a queue that is no caller's.
    Staging(cl_context context, Queue& own) : context_(context), own_(own) {}
    // Waits for what is on its way.
    ~Staging();
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;

    // Enqueues the write on `queue`, behind `after` (see Queue::write_later); `done` gets the event of its end; null: nobody asks.
    // The host's memory may change as soon as this returns.
    void write(Queue& queue, cl_mem destination, uint64_t offset, const void* host, uint64_t bytes, cl_event after = nullptr,
               Ref<cl_event>* done = nullptr);

private:
    struct Piece {
        uint64_t begin, end;
        Ref<cl_event> written;
    };

    void map();
    // The offset of so many free bytes, which may have to be waited for.
    uint64_t take(uint64_t bytes);
    void wait_for_oldest() noexcept;

    cl_context context_;
    Queue& own_;
    std::mutex mutex_;
    Ref<cl_mem> memory_;
    unsigned char* mapped_ = nullptr;
    uint64_t next_ = 0;
    std::deque<Piece> pieces_;  // under way, the oldest first
};

}  // namespace hpc::opencl
