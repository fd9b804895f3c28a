// The OpenCL backend as the rest of the core sees it. Nothing of OpenCL itself is declared here.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "backend.h"

namespace hpc::opencl {

// Over a caller's context and queue, or the device with this number, this name, or the best there is.
std::shared_ptr<Device> create_device(const hpc_device_options& options);

// A buffer over a caller's cl_mem.
std::shared_ptr<Buffer> adopt_buffer(const std::shared_ptr<Device>& device, void* memory, uint64_t bytes);

// Tuning (tuning.h); every one throws where the device is no OpenCL device.
void tile_info(const Device& device, int32_t tile, hpc_tile_info& info);
hpc_product_measurement measure_product(Device& device, const hpc_product_case& product, int milliseconds);
void keep_tuning(Device& device, const hpc_product_choice* choices, int32_t count, const char* path);
std::string tuning_path(const Device& device);

// What was looked for and found, and how many devices that makes.
std::string describe_discovery();
int32_t device_count();

}  // namespace hpc::opencl
