// The CPU device: memory, thread team, kernels for one instruction set, and a BLAS provider if one serves.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend.h"
#include "cpu/blas.h"
#include "cpu/kernels.h"
#include "cpu/team.h"

namespace hpc::cpu {

// 64-byte aligned zero-filled memory; large blocks ask for huge pages where the system has them.
class Memory {
public:
    explicit Memory(uint64_t bytes);
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;
    char* data() const { return data_; }

private:
    char* data_;
    char* mapped_ = nullptr;
    uint64_t mapped_bytes_ = 0;
};

class CpuBuffer final : public Buffer {
public:
    CpuBuffer(std::shared_ptr<Device> device, uint64_t bytes);
    void read(uint64_t offset, void* destination, uint64_t bytes) override;
    void write(uint64_t offset, const void* source, uint64_t bytes) override;
    void copy_to(uint64_t offset, Buffer& destination, uint64_t destination_offset, uint64_t bytes) override;
    void fill(uint64_t offset, uint32_t pattern, uint64_t bytes) override;
    char* data() const { return memory_.data(); }

    // The matrix of floats at `offset`, packed by Kernels::pack_panels when it is first asked for; lives as long as this.
    // What is there must not change any more (Buffer::seal).
    const float* panels(const Kernels& kernels, uint64_t offset, int64_t rows, int64_t columns);

private:
    struct Panels {
        uint64_t offset;
        int64_t rows, columns;
        std::unique_ptr<CpuBuffer> buffer;
    };
    Memory memory_;
    std::mutex mutex_;
    std::vector<Panels> panels_;
};

// Packing memory for threads that run programs. A caller borrows a block for the length of a run; blocks are kept.
class ScratchPool {
public:
    explicit ScratchPool(size_t bytes) : bytes_(bytes) {}
    ~ScratchPool();
    Memory* borrow();
    void give_back(Memory* block) noexcept;

private:
    size_t bytes_;
    std::atomic<Memory*> last_{nullptr};  // the common case, one caller at a time, takes no lock
    std::mutex mutex_;
    std::vector<std::unique_ptr<Memory>> idle_;
};

class CpuDevice final : public Device {
public:
    explicit CpuDevice(const hpc_device_options& options);

    void info(hpc_device_info& info) const override;
    std::string describe() const override;
    hpc_measurement measure(int milliseconds) override;
    double measure_peak(int milliseconds) override;
    hpc_memory_bandwidth measure_memory(uint64_t bytes, int milliseconds) override;
    hpc_cache_info caches() const override;
    std::shared_ptr<Buffer> create_buffer(uint64_t bytes) override;
    uint64_t scratch_bytes(const Node& node, const std::vector<Value>& values, const Extents& capacity) const override;
    std::unique_ptr<Executor> lower(const Plan& plan) override;

    const Kernels& kernels() const { return kernels_; }
    const BlasProvider* blas() const { return blas_.get(); }
    Team& team() { return team_; }
    ScratchPool& scratch() { return scratch_; }
    // Packing memory of a team member other than the caller.
    void* worker_scratch(int index) const { return worker_scratch_[index - 1]->data(); }

private:
    const Kernels& kernels_;
    std::string blas_report_;
    std::unique_ptr<BlasProvider> blas_;
    Team team_;
    ScratchPool scratch_;
    std::vector<std::unique_ptr<Memory>> worker_scratch_;
};

std::shared_ptr<Device> create_device(const hpc_device_options& options);

}  // namespace hpc::cpu
