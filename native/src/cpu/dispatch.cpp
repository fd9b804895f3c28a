// Processor features, the list of kernel tables, and the counting of cores (see dispatch.h).
#include "cpu/dispatch.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>

#include "error.h"

#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
#else
#include <sched.h>
#include <unistd.h>
#endif

namespace hpc::cpu {

namespace {

// ---- Processor ----------------------------------------------------------------------------------------------------

struct Registers {
    uint32_t a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) noexcept {
    Registers r;
#if defined(_MSC_VER)
    int values[4];
    __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
    r = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]),
         static_cast<uint32_t>(values[3])};
#else
    __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
#endif
    return r;
}

// The register files that the operating system saves when it switches threads.
uint64_t saved_states() noexcept {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<uint64_t>(high) << 32) | low;
#endif
}

struct Processor {
    bool avx = false;  // at all
    bool avx2 = false;
    bool avx512 = false;
    char name[49] = "";
};

Processor read_processor() noexcept {
    Processor p;
    const auto bit = [](uint32_t word, int index) { return ((word >> index) & 1u) != 0; };

    const uint32_t last = cpuid(0, 0).a;
    const Registers one = cpuid(1, 0);
    const bool osxsave = bit(one.c, 27), avx = bit(one.c, 28), fma = bit(one.c, 12);
    constexpr uint64_t kYmm = 0x6;          // SSE and the upper halves of YMM
    constexpr uint64_t kZmm = kYmm | 0xE0;  // mask registers, upper halves of ZMM, ZMM16 to 31
    const uint64_t states = osxsave ? saved_states() : 0;
    p.avx = avx && (states & kYmm) == kYmm;
    if (p.avx && last >= 7) {
        const Registers seven = cpuid(7, 0);
        p.avx2 = fma && bit(seven.b, 5);
        // F, DQ, BW, VL; the kernels' flags also imply AVX2 and FMA.
        p.avx512 = p.avx2 && (states & kZmm) == kZmm && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) &&
                   bit(seven.b, 31);
    }

    if (cpuid(0x80000000u, 0).a >= 0x80000004u) {
        char text[49] = "";
        for (uint32_t i = 0; i < 3; ++i) {
            const Registers r = cpuid(0x80000002u + i, 0);
            std::memcpy(text + 16 * i, &r, 16);
        }
        // Padded with blanks on either side, depending on the maker.
        const char* first = text + std::strspn(text, " ");
        std::size_t length = std::strlen(first);
        while (length > 0 && first[length - 1] == ' ') --length;
        std::memcpy(p.name, first, length);
    }
    return p;
}

const Processor& processor() noexcept {
    static const Processor p = read_processor();
    return p;
}

#if defined(HPC_HAVE_AVX512)
const Kernels* const kAvx512 = &kAvx512Kernels;
#else
const Kernels* const kAvx512 = nullptr;
#endif
#if defined(HPC_HAVE_AVX2)
const Kernels* const kAvx2 = &kAvx2Kernels;
#else
const Kernels* const kAvx2 = nullptr;
#endif

// ---- Small files --------------------------------------------------------------------------------------------------

// The whole of a small file; "" if it cannot be read.
std::string read_text(const std::string& path) {
    std::string text;
    std::FILE* file = std::fopen(path.c_str(), "r");
    if (file == nullptr) return text;
    char piece[4096];
    for (std::size_t n; (n = std::fread(piece, 1, sizeof piece, file)) > 0;) text.append(piece, n);
    std::fclose(file);
    return text;
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::size_t start = 0;
    for (;;) {
        const std::size_t end = text.find(separator, start);
        parts.push_back(text.substr(start, end - start));
        if (end == std::string::npos) return parts;
        start = end + 1;
    }
}

// ---- Control groups -----------------------------------------------------------------------------------------------

// Paths in mountinfo write blanks, tabs, newlines and backslashes as three octal digits.
std::string unescape(const std::string& text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            plain += static_cast<char>(std::strtol(text.substr(i + 1, 3).c_str(), nullptr, 8));
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

bool contains(const std::string& list, const char* item) {
    const std::vector<std::string> parts = split(list, ',');
    return std::find(parts.begin(), parts.end(), item) != parts.end();
}

// The limit that one folder of the hierarchy sets; 0: none.
double quota_of_folder(const std::string& folder, bool version2) {
    double quota, period = 0;
    if (version2) {
        // "max 100000" or "150000 100000"
        if (std::sscanf(read_text(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period) != 2) return 0;
    } else {
        // -1: no limit
        if (std::sscanf(read_text(folder + "/cpu.cfs_quota_us").c_str(), "%lf", &quota) != 1) return 0;
        if (std::sscanf(read_text(folder + "/cpu.cfs_period_us").c_str(), "%lf", &period) != 1) return 0;
    }
    return quota > 0 && period > 0 ? quota / period : 0;
}

// ---- Cores --------------------------------------------------------------------------------------------------------

#if defined(_WIN32)

Cores read_cores() {
    Cores cores;
    DWORD bytes = 0;
    GetLogicalProcessorInformationEx(RelationProcessorCore, nullptr, &bytes);
    std::vector<unsigned char> memory(bytes);
    const auto begin = reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(memory.data());
    if (bytes == 0 || !GetLogicalProcessorInformationEx(RelationProcessorCore, begin, &bytes)) {
        cores.logical = cores.usable = cores.physical = cores.usable_physical =
            std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        return cores;
    }
    // The affinity mask speaks of the process's own processor group; a process spread over several groups gets zeros
    // and may use everything.
    DWORD_PTR mask = 0, system = 0;
    if (!GetProcessAffinityMask(GetCurrentProcess(), &mask, &system)) mask = 0;
    USHORT groups[64], group_count = 64;
    if (!GetProcessGroupAffinity(GetCurrentProcess(), &group_count, groups) || group_count != 1) mask = 0;

    const auto count_bits = [](KAFFINITY bits) {
        int count = 0;
        for (; bits != 0; bits &= bits - 1) ++count;
        return count;
    };
    cores = {0, 0, 0, 0, 0};
    for (DWORD at = 0; at < bytes;) {
        const auto entry = reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(memory.data() + at);
        int usable = 0;
        for (WORD g = 0; g < entry->Processor.GroupCount; ++g) {
            const GROUP_AFFINITY& affinity = entry->Processor.GroupMask[g];
            cores.logical += count_bits(affinity.Mask);
            if (mask == 0) {
                usable += count_bits(affinity.Mask);
            } else if (affinity.Group == groups[0]) {
                usable += count_bits(affinity.Mask & mask);
            }
        }
        cores.usable += usable;
        cores.physical += 1;
        cores.usable_physical += usable > 0 ? 1 : 0;
        at += entry->Size;
    }
    return cores;
}

#else

// "0-3,8,10-11"
std::vector<int> parse_list(const std::string& text) {
    std::vector<int> numbers;
    for (const std::string& part : split(text, ',')) {
        int first, last;
        const int read = std::sscanf(part.c_str(), "%d-%d", &first, &last);
        if (read < 1) continue;
        if (read == 1) last = first;
        for (int i = first; i <= last && i - first < 65536; ++i) numbers.push_back(i);
    }
    return numbers;
}

std::vector<int> usable_processors() {
    std::vector<int> usable;
#if defined(__linux__)
    // The mask must be as large as the kernel's, whose size is not told: grow until it fits.
    for (int capacity = 1024; capacity <= 65536; capacity *= 2) {
        cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(capacity));
        if (set == nullptr) break;
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
        CPU_ZERO_S(bytes, set);
        const bool read = sched_getaffinity(0, bytes, set) == 0;
        if (read) {
            for (int i = 0; i < capacity; ++i) {
                if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set)) usable.push_back(i);
            }
        }
        CPU_FREE(set);
        if (read) break;
    }
#endif
    if (usable.empty()) {
        const int count = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
        for (int i = 0; i < count; ++i) usable.push_back(i);
    }
    return usable;
}

Cores read_cores() {
    const std::string folder = "/sys/devices/system/cpu/";
    const std::vector<int> usable = usable_processors();
    std::vector<int> online = parse_list(read_text(folder + "online"));
    if (online.empty()) online = usable;

    // A core is known by the list of its processors. Without that, each processor counts as a core.
    const auto count = [&](const std::vector<int>& processors) {
        std::set<std::string> distinct;
        for (int p : processors) {
            const std::string topology = folder + "cpu" + std::to_string(p) + "/topology/";
            std::string core = read_text(topology + "core_cpus_list");
            if (core.empty()) core = read_text(topology + "thread_siblings_list");
            distinct.insert(core.empty() ? "processor " + std::to_string(p) : core);
        }
        return static_cast<int>(distinct.size());
    };
    Cores cores;
    cores.usable = static_cast<int>(usable.size());
    cores.logical = std::max(cores.usable, static_cast<int>(online.size()));
    cores.usable_physical = count(usable);
    cores.physical = std::max(cores.usable_physical, online == usable ? cores.usable_physical : count(online));
    return cores;
}

#endif

}  // namespace

std::vector<IsaEntry> known_isas() {
    const auto entry = [](const char* name, const Kernels* kernels, bool on_processor, const char* needs) {
        return IsaEntry{name, kernels, kernels != nullptr && on_processor, needs};
    };
    return {
        entry("avx512", kAvx512, processor().avx512, "AVX-512 F, DQ, BW and VL"),
        entry("avx2", kAvx2, processor().avx2, "AVX2 and FMA"),
        entry("scalar", &kScalarKernels, true, "nothing"),
    };
}

const Kernels& choose_kernels(const char* name) { return choose_kernels(name, known_isas()); }

const Kernels& choose_kernels(const char* name, const std::vector<IsaEntry>& isas) {
    std::string names;
    for (const IsaEntry& isa : isas) {
        if (name == nullptr) {
            if (isa.supported) return *isa.kernels;
            continue;
        }
        if (std::strcmp(name, isa.name) == 0) {
            if (isa.supported) return *isa.kernels;
            if (isa.kernels == nullptr) {
                fail(HPC_NOT_AVAILABLE, "instruction set '%s' is not in this build of the core", name);
            }
            fail(HPC_NOT_AVAILABLE,
                 "instruction set '%s' needs %s, which this processor (%s) or its operating system does not have", name,
                 isa.needs, processor_name().c_str());
        }
        names += names.empty() ? "" : ", ";
        names += isa.name;
    }
    fail(HPC_INVALID_ARGUMENT, "unknown instruction set '%.100s'; known are: %s", name == nullptr ? "" : name,
         names.c_str());
}

bool processor_has_avx() noexcept { return processor().avx; }

std::string processor_name() { return processor().name[0] != '\0' ? processor().name : "unknown x86-64 processor"; }

hpc_cache_info processor_caches() noexcept {
    hpc_cache_info caches{};
    // Intel describes its caches at leaf 4, AMD in the same words at 0x8000001d where it has topology extensions.
    const bool amd = cpuid(0x80000000u, 0).a >= 0x8000001du && ((cpuid(0x80000001u, 0).c >> 22) & 1u) != 0;
    const uint32_t leaf = amd ? 0x8000001du : 4u;
    if (amd || cpuid(0, 0).a >= 4) {
        for (uint32_t i = 0; i < 16; ++i) {
            const Registers r = cpuid(leaf, i);
            const uint32_t type = r.a & 31u, level = (r.a >> 5) & 7u;
            if (type == 0) break;
            if (type == 2) continue;  // of instructions
            const uint64_t ways = (r.b >> 22) + 1u, partitions = ((r.b >> 12) & 1023u) + 1u, line = (r.b & 4095u) + 1u;
            const uint64_t bytes = ways * partitions * line * (uint64_t{r.c} + 1u);
            if (level == 1) caches.level1_bytes = bytes;
            if (level == 2) caches.level2_bytes = bytes;
            if (level == 3) {
                caches.level3_bytes = bytes;
                caches.level3_threads = static_cast<int32_t>(((r.a >> 14) & 4095u) + 1u);
            }
        }
    }
    if (caches.level1_bytes == 0 || caches.level2_bytes == 0) {
        caches = {};
        caches.level1_bytes = 32u << 10;
        caches.level2_bytes = 512u << 10;
        caches.level3_bytes = 16u << 20;
        caches.level3_threads = 8;
        caches.guessed = 1;
    }
    return caches;
}

double cgroup_quota(const std::string& root) {
    double lowest = 0;
    // "hierarchy:controllers:path" for each hierarchy this process is in; version 2 is the one numbered 0.
    std::string path1, path2;
    bool in1 = false, in2 = false;
    for (const std::string& line : split(read_text(root + "/proc/self/cgroup"), '\n')) {
        const std::size_t a = line.find(':');
        if (a == std::string::npos) continue;
        const std::size_t b = line.find(':', a + 1);
        if (b == std::string::npos) continue;
        const std::string controllers = line.substr(a + 1, b - a - 1);
        if (line.compare(0, a, "0") == 0 && controllers.empty()) {
            path2 = line.substr(b + 1);
            in2 = true;
        } else if (contains(controllers, "cpu")) {
            path1 = line.substr(b + 1);
            in1 = true;
        }
    }
    // "id parent device root mount-point options ... - type source options"
    for (const std::string& line : split(read_text(root + "/proc/self/mountinfo"), '\n')) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        const std::vector<std::string> left = split(line.substr(0, dash), ' ');
        const std::vector<std::string> right = split(line.substr(dash + 3), ' ');
        if (left.size() < 5 || right.size() < 3) continue;
        const bool version2 = in2 && right[0] == "cgroup2";
        const bool version1 = in1 && right[0] == "cgroup" && contains(right[2], "cpu");
        if (!version1 && !version2) continue;

        // The mount shows the hierarchy from its root downwards. Inside a container that is often the container's own
        // group; a path that does not begin with it cannot be followed, and the mount itself is what can be seen.
        std::string mount_root = unescape(left[3]);
        const std::string mount = root + unescape(left[4]);
        std::string path = version2 ? path2 : path1;
        if (mount_root == "/") mount_root.clear();
        if (path.compare(0, mount_root.size(), mount_root) == 0 &&
            (path.size() == mount_root.size() || path[mount_root.size()] == '/') &&
            path.find("/..") == std::string::npos) {
            path.erase(0, mount_root.size());
        } else {
            path.clear();
        }
        // Every level may set a limit of its own.
        for (;;) {
            while (!path.empty() && path.back() == '/') path.pop_back();
            const double quota = quota_of_folder(mount + path, version2);
            if (quota > 0 && (lowest == 0 || quota < lowest)) lowest = quota;
            if (path.empty()) break;
            path.erase(path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
        }
    }
    return lowest;
}

Cores count_cores() {
    Cores cores = read_cores();
#if defined(__linux__)
    cores.quota = cgroup_quota();
#endif
    return cores;
}

int default_threads(const Cores& cores) {
    double threads = cores.usable_physical;
    if (cores.quota > 0) threads = std::min(threads, std::ceil(cores.quota));
    return std::max(1, static_cast<int>(threads));
}

int default_threads() { return default_threads(count_cores()); }

std::string describe_processor() {
    const Cores cores = count_cores();
    std::string text = "processor: " + processor_name() + "\n";
    for (const IsaEntry& isa : known_isas()) {
        text += std::string("instruction set ") + isa.name + ": " +
                (isa.supported ? "available"
                 : isa.kernels == nullptr
                     ? "not in this build"
                     : std::string("not available (needs ") + isa.needs + " and an operating system that saves them)") +
                "\n";
    }
    char line[200];
    std::snprintf(line, sizeof line, "cores: %d (%d logical processors)\n", cores.physical, cores.logical);
    text += line;
    std::snprintf(line, sizeof line, "affinity: %d logical processors on %d cores\n", cores.usable,
                  cores.usable_physical);
    text += line;
    if (cores.quota > 0) {
        std::snprintf(line, sizeof line, "cgroup quota: %.2f processors\n", cores.quota);
    } else {
        std::snprintf(line, sizeof line, "cgroup quota: none\n");
    }
    text += line;
    std::snprintf(line, sizeof line, "default threads: %d\n", default_threads(cores));
    return text + line;
}

}  // namespace hpc::cpu
