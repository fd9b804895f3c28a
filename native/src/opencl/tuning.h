// Which tile a device multiplies matrices by, where it was measured: the file that `hpcnet tune` leaves, and the measuring itself.
//
// The file is a text beside the built kernels, named by device and driver:
//
//   hpcnet tuning 1
//   device <platform>, <name>, <vendor>, <version>, <driver>
//   NN small 32x32x16-4x4
//   ...
//   end
//
// A line for each form and size class that was measured; the others stay as the device's class has them. What is cut short,
// names what there is not, or was written for another device is left alone, and hpc_device_describe says so.
#pragma once

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>

#include "opencl/api.h"
#include "opencl/kernels.h"

namespace hpc::opencl {

// The file for a device in a folder; "" without a folder.
std::filesystem::path tuning_file(const DeviceInfo& device, const std::filesystem::path& folder);

std::string format_tuning(const DeviceInfo& device, const Limits& limits);

// Takes what a text says into the limits, or nothing at all: then `trouble` says why.
bool apply_tuning(const std::string& text, const DeviceInfo& device, Limits& limits, std::string& trouble);

// What the device finds when it is made; a line for hpc_device_describe.
std::string read_tuning(const DeviceInfo& device, const std::filesystem::path& file, Limits& limits);

class ProductBench;

// A device's measuring: one at a time.
struct Tuning {
    Tuning();
    ~Tuning();
    std::mutex mutex;
    std::unique_ptr<ProductBench> bench;  // of the shape that was measured last
};

}  // namespace hpc::opencl
