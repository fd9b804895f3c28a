// In-order queues (see queue.h).
#include "opencl/queue.h"

namespace hpc::opencl {

void Queue::lose(const std::string& reason) {
    if (lost_.load(std::memory_order_acquire)) return;
    reason_ = reason;
    lost_.store(true, std::memory_order_release);
}

void Queue::check_usable() const {
    if (lost_.load(std::memory_order_acquire)) fail(HPC_DEVICE_ERROR, "the OpenCL device is lost: %s", reason_.c_str());
}

void Queue::read(cl_mem source, uint64_t offset, void* destination, uint64_t bytes) {
    check_usable();
    HPC_CL(api_, clEnqueueReadBuffer, queue_.get(), source, CL_TRUE, offset, bytes, destination, 0u, nullptr, nullptr);
}

void Queue::write(cl_mem destination, uint64_t offset, const void* source, uint64_t bytes) {
    check_usable();
    HPC_CL(api_, clEnqueueWriteBuffer, queue_.get(), destination, CL_TRUE, offset, bytes, source, 0u, nullptr, nullptr);
}

Ref<cl_event> Queue::write_later(cl_mem destination, uint64_t offset, const void* source, uint64_t bytes, cl_event after) {
    check_usable();
    cl_event event = nullptr;
    HPC_CL(api_, clEnqueueWriteBuffer, queue_.get(), destination, CL_FALSE, offset, bytes, source, after ? 1u : 0u,
           after ? &after : nullptr, &event);
    return Ref<cl_event>(api_, event);
}

void Queue::copy(cl_mem source, uint64_t source_offset, cl_mem destination, uint64_t destination_offset, uint64_t bytes) {
    check_usable();
    HPC_CL(api_, clEnqueueCopyBuffer, queue_.get(), source, destination, source_offset, destination_offset, bytes, 0u, nullptr, nullptr);
}

void Queue::fill(cl_mem destination, uint64_t offset, uint32_t pattern, uint64_t bytes) {
    check_usable();
    HPC_CL(api_, clEnqueueFillBuffer, queue_.get(), destination, static_cast<const void*>(&pattern), sizeof pattern, offset, bytes, 0u,
           nullptr, nullptr);
}

void Queue::launch(cl_kernel kernel, const Geometry& geometry, cl_event after, Ref<cl_event>* done) {
    check_usable();
    cl_event event = nullptr;
    HPC_CL(api_, clEnqueueNDRangeKernel, queue_.get(), kernel, geometry.dimensions, nullptr, geometry.global, geometry.local,
           after ? 1u : 0u, after ? &after : nullptr, done ? &event : nullptr);
    if (done) *done = Ref<cl_event>(api_, event);
}

Ref<cl_event> Queue::launch_timed(cl_kernel kernel, const Geometry& geometry) {
    check_usable();
    cl_event event = nullptr;
    HPC_CL(api_, clEnqueueNDRangeKernel, queue_.get(), kernel, geometry.dimensions, nullptr, geometry.global, geometry.local, 0u, nullptr,
           &event);
    return Ref<cl_event>(api_, event);
}

Ref<cl_event> Queue::copy_timed(cl_mem source, cl_mem destination, uint64_t bytes) {
    check_usable();
    cl_event event = nullptr;
    HPC_CL(api_, clEnqueueCopyBuffer, queue_.get(), source, destination, size_t{0}, size_t{0}, bytes, 0u, nullptr, &event);
    return Ref<cl_event>(api_, event);
}

void Queue::flush() {
    check_usable();
    HPC_CL(api_, clFlush, queue_.get());
}

void Queue::finish() {
    check_usable();
    HPC_CL(api_, clFinish, queue_.get());
}

}  // namespace hpc::opencl
