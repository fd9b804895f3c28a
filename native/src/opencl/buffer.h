// Memory of an OpenCL device: buffers made here, which return to the device's pool, and buffers of a caller.
//
// A place is (cl_mem, byte offset): kernels take the buffer and an offset in elements, since sub-buffers would have to
// begin where the device's alignment allows.
#pragma once

#include <mutex>
#include <vector>

#include "backend.h"
#include "opencl/api.h"
#include "opencl/queue.h"

namespace hpc::opencl {

class OpenClDevice;

// Idle memory of a device. What is taken from it holds whatever was in it: the taker fills it, in order with the queue,
// so that work which still uses the last owner's data is done by then.
class BufferPool {
public:
    BufferPool(const Api& api, cl_context context, const DeviceInfo& device);
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;

    struct Block {
        Ref<cl_mem> memory;
        uint64_t capacity = 0;
    };
    // At least `bytes`; throws HPC_OUT_OF_MEMORY with the sizes.
    Block take(uint64_t bytes);
    void give_back(Block block) noexcept;

private:
    [[noreturn]] void out_of_memory(uint64_t bytes, const std::string& words) const;

    const Api& api_;
    cl_context context_;
    std::string name_;
    uint64_t memory_, largest_idle_;
    std::mutex mutex_;
    std::vector<Block> idle_;
    uint64_t in_use_ = 0, idle_bytes_ = 0;
};

class OpenClBuffer final : public Buffer {
public:
    // Zero-filled memory of the device's pool.
    OpenClBuffer(std::shared_ptr<OpenClDevice> device, uint64_t bytes);
    // A caller's cl_mem, retained.
    OpenClBuffer(std::shared_ptr<OpenClDevice> device, cl_mem memory, uint64_t bytes);
    ~OpenClBuffer() override;

    void read(uint64_t offset, void* destination, uint64_t bytes) override;
    void write(uint64_t offset, const void* source, uint64_t bytes) override;
    void copy_to(uint64_t offset, Buffer& destination, uint64_t destination_offset, uint64_t bytes) override;
    void fill(uint64_t offset, uint32_t pattern, uint64_t bytes) override;

    cl_mem memory() const { return block_.memory.get(); }

private:
    OpenClDevice& owner_;
    bool pooled_;
    BufferPool::Block block_;
};

}  // namespace hpc::opencl
