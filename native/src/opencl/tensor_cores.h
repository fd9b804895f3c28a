// Whether a device multiplies on tensor cores: tiny kernels are built and run, and every bit of their results is looked at.
#pragma once

#include "opencl/api.h"
#include "opencl/kernels_mma.h"

namespace hpc::opencl {

// What runs where `asked` (hpc_precision, not HPC_PRECISION_FLOAT32) was asked for. Whatever goes wrong ends in float32 and in words
// that say why; nothing is thrown. It happens in a context of its own: where a kernel breaks a context, it is not the device's.
TensorCores probe_tensor_cores(const DeviceInfo& device, int32_t asked);

// "float32", "tf32", "bfloat16".
const char* precision_name(int32_t precision);

// x as the hardware takes it: hpc_precision says what becomes of it.
float rounded_to(int32_t precision, float x);

#if defined(HPC_TESTING)
namespace injection {
// What a probe finds, for tests on devices that have no tensor cores.
enum class Stand {
    Hardware,           // the device itself
    Emulated,           // OpenCL C stands in for the instructions
    EmulatedNoCopies,   // ... and there are no copies that go past the registers
    WrongProducts,      // ... and what the probe multiplies is wrong
    WrongCopies,        // ... and what the probe copies is
    DoesNotBuild,       // the compiler refuses
};
extern Stand tensor_cores;
}  // namespace injection
#endif

}  // namespace hpc::opencl
