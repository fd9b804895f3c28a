// The ring of pinned memory (see staging.h).
#include "opencl/staging.h"

#include <algorithm>
#include <cstring>

namespace hpc::opencl {

namespace {

// ---- Sizes (data) ----------------------------------------------------------------------------------------------------

constexpr uint64_t kRingBytes = 16u << 20;
constexpr uint64_t kPieceMost = kRingBytes / 4;
constexpr uint64_t kAlignment = 64;  // of a piece: no two share a line of the cache
constexpr size_t kPiecesMost = 64;   // under way at once: a host that is so far ahead gains nothing by more

}  // namespace

Staging::~Staging() {
    while (!pieces_.empty()) wait_for_oldest();
    // Both may fail in a process whose device is gone; nothing is left to be done about it then.
    if (mapped_ &&
        attempt(own_.api().clEnqueueUnmapMemObject, own_.get(), memory_.get(), static_cast<void*>(mapped_), 0u, nullptr, nullptr) == CL_SUCCESS)
        attempt(own_.api().clFinish, own_.get());
}

void Staging::map() {
    const Api& api = own_.api();
    Ref<cl_mem> memory(
        api, HPC_CL_CREATE(api, clCreateBuffer, context_, CL_MEM_READ_ONLY | CL_MEM_ALLOC_HOST_PTR, size_t{kRingBytes}, nullptr));
    mapped_ = static_cast<unsigned char*>(HPC_CL_CREATE(api, clEnqueueMapBuffer, own_.get(), memory.get(), CL_TRUE, CL_MAP_WRITE, size_t{0},
                                                        size_t{kRingBytes}, 0u, nullptr, nullptr));
    memory_ = std::move(memory);
}

void Staging::wait_for_oldest() noexcept {
    const cl_event event = pieces_.front().written.get();
    // A write that failed is over, too; the run that needed it tells of it.
    own_.api().clWaitForEvents(1, &event);
    pieces_.pop_front();
}

uint64_t Staging::take(uint64_t bytes) {
    // Those that are over by now hold nothing, not even their events.
    while (!pieces_.empty()) {
        cl_int status = CL_COMPLETE;
        const cl_int code = own_.api().clGetEventInfo(pieces_.front().written.get(), CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, nullptr);
        if (code == CL_SUCCESS && status > CL_COMPLETE) break;
        if (code == CL_SUCCESS)
            pieces_.pop_front();
        else
            wait_for_oldest();
    }
    if (next_ + bytes > kRingBytes) next_ = 0;
    const uint64_t begin = next_, end = begin + bytes;
    auto in_the_way = [&](const Piece& piece) { return piece.begin < end && begin < piece.end; };
    while (pieces_.size() >= kPiecesMost || std::any_of(pieces_.begin(), pieces_.end(), in_the_way)) wait_for_oldest();
    next_ = (end + kAlignment - 1) / kAlignment * kAlignment;
    return begin;
}

void Staging::write(Queue& queue, cl_mem destination, uint64_t offset, const void* host, uint64_t bytes, cl_event after,
                    Ref<cl_event>* done) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!mapped_) map();
    const unsigned char* source = static_cast<const unsigned char*>(host);
    for (uint64_t at = 0; at < bytes;) {
        const uint64_t piece = std::min(bytes - at, kPieceMost), begin = take(piece);
        std::memcpy(mapped_ + begin, source + at, piece);
        // The queue is in order: what the first piece waits for, the others do, too.
        pieces_.push_back({begin, begin + piece, queue.write_later(destination, offset + at, mapped_ + begin, piece, at == 0 ? after : nullptr)});
        at += piece;
        // On its way while the next piece is copied.
        if (at < bytes) queue.flush();
    }
    if (done && bytes) *done = Ref<cl_event>::retained(queue.api(), pieces_.back().written.get());
}

}  // namespace hpc::opencl
