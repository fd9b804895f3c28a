// The kernels for any x86-64 processor: the oracle of the others. Compiled with its own flags; all code is in a
// namespace of its own, and nothing but plain constants is taken from headers that other files share, so that no
// function compiled here can ever serve an older processor.
#define HPC_ISA_SCALAR 1

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"

namespace hpc::cpu {
namespace scalar {
#include "cpu/kernels/all.inl"
}

extern const Kernels kScalarKernels;
constinit const Kernels kScalarKernels = scalar::make_kernels("scalar");

}  // namespace hpc::cpu
