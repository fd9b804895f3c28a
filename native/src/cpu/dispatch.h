// Which processor this is, which kernels it runs, how many threads it should get.
//
// One list in order of preference: avx512, avx2, scalar. The scalar kernels run everywhere and are last.
// To add an instruction set: its table in kernels.h, its entry and its test of the processor in dispatch.cpp.
#pragma once

#include <string>
#include <vector>

#include "cpu/kernels.h"

namespace hpc::cpu {

struct IsaEntry {
    const char* name;
    const Kernels* kernels;  // null: this build does not contain them
    bool supported;          // by this processor and its operating system, and contained
    const char* needs;       // what the processor must have, for messages
};

// All of them, the preferred first.
std::vector<IsaEntry> known_isas();

// The named kernels, or the best that are supported when name is null. Throws hpc::Error: HPC_INVALID_ARGUMENT for an
// unknown name, HPC_NOT_AVAILABLE for one that this processor or this build does not have.
const Kernels& choose_kernels(const char* name);
const Kernels& choose_kernels(const char* name, const std::vector<IsaEntry>& isas);

// Whether its registers have upper halves that code may have left something in.
bool processor_has_avx() noexcept;

// The processor's own name, e.g. "AMD EPYC 9354 32-Core Processor".
std::string processor_name();

// The data caches that the processor speaks of, or usual sizes.
hpc_cache_info processor_caches() noexcept;

// What limits the number of useful threads, as it is now.
struct Cores {
    int logical = 1;          // processors that are on line
    int usable = 1;           // of them, those that this process may run on (affinity)
    int physical = 1;         // cores that are on line
    int usable_physical = 1;  // cores with at least one usable processor
    double quota = 0;         // processors' worth of time that the cgroup grants; 0: no limit
};
Cores count_cores();

// The cgroup's limit (version 1 or 2, the lowest of all levels); 0: none. `root` is put before every path read.
double cgroup_quota(const std::string& root = "");

// max(1, min(usable_physical, ceil(quota)))
int default_threads(const Cores& cores);
int default_threads();

// A line for each fact: processor, instruction sets, cores, affinity, quota, threads.
std::string describe_processor();

}  // namespace hpc::cpu
