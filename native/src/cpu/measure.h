// What a device can do at most: floating-point peak and memory bandwidth, measured. Roofline floors are made of them.
#pragma once

#include "cpu/kernels.h"
#include "cpu/team.h"
#include "hpcnet.h"

namespace hpc::cpu {

// Takes about `milliseconds` in all, half for each number, and the team for that time. Throws hpc::Error: HPC_BUSY if
// the team stays taken for as long, HPC_OUT_OF_MEMORY.
hpc_measurement measure(Team& team, const Kernels& kernels, int milliseconds);

// The peak alone. As above.
double measure_peak(Team& team, const Kernels& kernels, int milliseconds);

// Memory of `bytes` in all, shared out to the members. As above, and as hpc_device_measure_memory says.
hpc_memory_bandwidth measure_memory(Team& team, const Kernels& kernels, uint64_t bytes, int milliseconds);

}  // namespace hpc::cpu
