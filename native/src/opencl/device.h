// The OpenCL device: a context, an in-order queue and one beside it for uploads, pooled memory, built kernels.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "backend.h"
#include "opencl/api.h"
#include "opencl/buffer.h"
#include "opencl/kernels.h"
#include "opencl/opencl.h"
#include "opencl/program_cache.h"
#include "opencl/queue.h"
#include "opencl/staging.h"
#include "opencl/tensor_cores.h"
#include "opencl/tuning.h"

namespace hpc::opencl {

// By its type and its vendor's name.
DeviceClass device_class(const DeviceInfo& device);

class OpenClDevice final : public Device {
public:
    // The chosen device, with a context and a queue: its own, or a caller's, of which each holds a reference.
    OpenClDevice(const DeviceInfo& device, std::string report, Ref<cl_context> context, Ref<cl_command_queue> queue, bool adopted,
                 const std::string& cache_folder, TensorCores tensor_cores = {});

    ~OpenClDevice() override;

    void info(hpc_device_info& info) const override;
    std::string describe() const override;
    hpc_measurement measure(int milliseconds) override;
    double measure_peak(int milliseconds) override;
    hpc_memory_bandwidth measure_memory(uint64_t bytes, int milliseconds) override;
    hpc_cache_info caches() const override;
    std::shared_ptr<Buffer> create_buffer(uint64_t bytes) override;
    uint64_t scratch_bytes(const Node& node, const std::vector<Value>& values, const Extents& capacity) const override;
    std::unique_ptr<Executor> lower(const Plan& plan) override;

    // A buffer over a caller's cl_mem of the same context.
    std::shared_ptr<Buffer> adopt_buffer(void* memory, uint64_t bytes);

    const Api& api() const { return *device_.api; }
    const DeviceInfo& found() const { return device_; }
    cl_context context() const { return context_.get(); }
    const std::filesystem::path& cache_folder() const { return cache_folder_; }
    Tuning& tuning() { return tuning_; }
    const Limits& limits() const { return limits_; }
    // What matrix products are multiplied in.
    const TensorCores& tensor_cores() const { return tensor_cores_; }
    Queue& queue() { return queue_; }
    // Where uploads may run beside the queue; null over a caller's queue, where everything stays in the caller's order.
    Queue* uploads() { return adopted_ ? nullptr : &uploads_; }
    Staging& staging() { return staging_; }
    BufferPool& pool() { return pool_; }
    // A kernel object of its own for whoever asks: arguments belong to the object. Checked to run in groups of `local`.
    Ref<cl_kernel> kernel(const Kernel& kernel, uint64_t local);
    // A second in-order queue, which tells times; made when first asked for.
    Queue& timed_queue();

private:
    DeviceInfo device_;
    std::string report_;
    bool adopted_;
    std::filesystem::path cache_folder_;
    std::string tuned_;  // a line for describe
    Limits limits_;
    TensorCores tensor_cores_;
    // Released from the bottom up: memory and kernels, the queues, the context.
    Ref<cl_context> context_;
    Queue queue_, uploads_;
    std::mutex timed_mutex_;
    std::unique_ptr<Queue> timed_queue_;
    ProgramCache programs_;
    BufferPool pool_;
    Tuning tuning_;
    Staging staging_;
};

// create_device over these libraries.
std::shared_ptr<Device> create_device(const hpc_device_options& options, const Places& places);

}  // namespace hpc::opencl
