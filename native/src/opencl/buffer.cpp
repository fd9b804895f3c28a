// Buffers and their pool (see buffer.h).
#include "opencl/buffer.h"

#include <algorithm>

#include "opencl/device.h"

namespace hpc::opencl {

namespace {

// ---- Sizes (data) ----------------------------------------------------------------------------------------------------

constexpr uint64_t kGranule = 256;              // capacities are multiples of this, and of an eighth of their size
constexpr uint64_t kIdleShare = 16;             // idle memory is at most this part of the device's
constexpr uint64_t kIdleMost = 512ull << 20;    // and at most this

// Rounded up so that buffers of about one size serve each other; wastes at most an eighth.
uint64_t capacity_for(uint64_t bytes) {
    uint64_t step = kGranule;
    while (step * 16 <= bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

unsigned long long printable(uint64_t value) { return value; }

}  // namespace

BufferPool::BufferPool(const Api& api, cl_context context, const DeviceInfo& device)
    : api_(api),
      context_(context),
      name_(device.name),
      memory_(device.memory),
      largest_idle_(std::min(device.memory / kIdleShare, kIdleMost)) {}

void BufferPool::out_of_memory(uint64_t bytes, const std::string& words) const {
    fail(HPC_OUT_OF_MEMORY, "out of memory: %llu bytes asked for on '%s', which has %llu (%llu in use)%s%s", printable(bytes), name_.c_str(),
         printable(memory_), printable(in_use_), words.empty() ? "" : ": ", words.c_str());
}

BufferPool::Block BufferPool::take(uint64_t bytes) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > memory_) out_of_memory(bytes, "");
    const uint64_t capacity = capacity_for(bytes);
    for (size_t i = idle_.size(); i-- > 0;) {
        if (idle_[i].capacity != capacity) continue;
        Block block = std::move(idle_[i]);
        idle_.erase(idle_.begin() + static_cast<ptrdiff_t>(i));
        idle_bytes_ -= capacity;
        in_use_ += capacity;
        return block;
    }
    if (in_use_ + idle_bytes_ + capacity > memory_) {
        idle_.clear();
        idle_bytes_ = 0;
        if (in_use_ + capacity > memory_) out_of_memory(bytes, "");
    }
    // A place for it when it comes back, so that giving back never allocates.
    idle_.reserve(idle_.size() + 1 + idle_.capacity() / 2);
    for (;;) {
        cl_int code = CL_OUT_OF_RESOURCES;
        cl_mem memory = injected_failure() ? nullptr : api_.clCreateBuffer(context_, CL_MEM_READ_WRITE, capacity, nullptr, &code);
        if (code == CL_SUCCESS) {
            in_use_ += capacity;
            return {Ref<cl_mem>(api_, memory), capacity};
        }
        if (idle_.empty()) {
            if (code == CL_INVALID_BUFFER_SIZE || code == CL_MEM_OBJECT_ALLOCATION_FAILURE)
                out_of_memory(bytes, "clCreateBuffer failed: " + error_name(code));
            fail_call("clCreateBuffer", code);
        }
        idle_.clear();
        idle_bytes_ = 0;
    }
}

void BufferPool::give_back(Block block) noexcept {
    std::lock_guard<std::mutex> lock(mutex_);
    in_use_ -= block.capacity;
    if (idle_bytes_ + block.capacity > largest_idle_ || idle_.size() == idle_.capacity()) return;
    idle_bytes_ += block.capacity;
    idle_.push_back(std::move(block));
}

OpenClBuffer::OpenClBuffer(std::shared_ptr<OpenClDevice> device, uint64_t bytes)
    : Buffer(device, bytes), owner_(*device), pooled_(true), block_(owner_.pool().take(bytes)) {
    try {
        owner_.queue().fill(memory(), 0, 0, (bytes + 3) / 4 * 4);
    } catch (...) {
        owner_.pool().give_back(std::move(block_));
        throw;
    }
}

OpenClBuffer::OpenClBuffer(std::shared_ptr<OpenClDevice> device, cl_mem memory, uint64_t bytes)
    : Buffer(device, bytes), owner_(*device), pooled_(false) {
    block_.memory = Ref<cl_mem>::retained(owner_.api(), memory);
    block_.capacity = bytes;
}

OpenClBuffer::~OpenClBuffer() {
    if (pooled_) owner_.pool().give_back(std::move(block_));
}

void OpenClBuffer::read(uint64_t offset, void* destination, uint64_t bytes) { owner_.queue().read(memory(), offset, destination, bytes); }

void OpenClBuffer::write(uint64_t offset, const void* source, uint64_t bytes) { owner_.queue().write(memory(), offset, source, bytes); }

void OpenClBuffer::copy_to(uint64_t offset, Buffer& destination, uint64_t destination_offset, uint64_t bytes) {
    owner_.queue().copy(memory(), offset, static_cast<OpenClBuffer&>(destination).memory(), destination_offset, bytes);
}

void OpenClBuffer::fill(uint64_t offset, uint32_t pattern, uint64_t bytes) { owner_.queue().fill(memory(), offset, pattern, bytes); }

}  // namespace hpc::opencl
