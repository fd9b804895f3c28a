// The kernels for AVX-512 (F, DQ, BW, VL). Compiled with its own flags; all code is in a namespace of its own, and
// nothing but plain constants is taken from headers that other files share, so that no function compiled here can ever
// serve an older processor.
#define HPC_ISA_AVX512 1

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header's undefined vectors.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "cpu/kernels.h"

namespace hpc::cpu {
namespace avx512 {
#include "cpu/kernels/all.inl"
}

extern const Kernels kAvx512Kernels;
constinit const Kernels kAvx512Kernels = avx512::make_kernels("avx512");

}  // namespace hpc::cpu
