// Dispatch: the list of instruction sets, forcing one, what a forced one that is not there says; and the number of
// threads that cores, affinity and control groups leave.
#include "cpu/dispatch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "error.h"
#include "folder.h"

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

namespace {

using namespace hpc::cpu;

// The status and message of what choosing `name` throws.
std::pair<hpc_status, std::string> failure(const char* name, const std::vector<IsaEntry>& isas) {
    try {
        choose_kernels(name, isas);
    } catch (const hpc::Error& error) {
        return {error.status(), error.what()};
    }
    return {HPC_OK, ""};
}

TEST(Dispatch, ListsTheBestFirstAndScalarLast) {
    const std::vector<IsaEntry> isas = known_isas();
    ASSERT_EQ(isas.size(), 3u);
    EXPECT_STREQ(isas[0].name, "avx512");
    EXPECT_STREQ(isas[1].name, "avx2");
    EXPECT_STREQ(isas[2].name, "scalar");
    EXPECT_TRUE(isas[2].supported);
    for (const IsaEntry& isa : isas) {
        if (isa.kernels != nullptr) {
            EXPECT_STREQ(isa.kernels->isa, isa.name);
        }
        if (isa.supported) {
            EXPECT_NE(isa.kernels, nullptr);
        }
    }
}

#if defined(__GNUC__)
TEST(Dispatch, SeesWhatTheCompilerSees) {
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    const std::vector<IsaEntry> isas = known_isas();
    EXPECT_EQ(isas[0].supported, avx512 && isas[0].kernels != nullptr);
    EXPECT_EQ(isas[1].supported, avx2 && isas[1].kernels != nullptr);
}
#endif

TEST(Dispatch, TakesTheFirstThatIsSupported) {
    for (const IsaEntry& isa : known_isas()) {
        if (!isa.supported) continue;
        EXPECT_EQ(&choose_kernels(nullptr), isa.kernels);
        break;
    }
    std::vector<IsaEntry> isas = known_isas();
    isas[0].supported = isas[1].supported = false;
    EXPECT_EQ(&choose_kernels(nullptr, isas), &kScalarKernels);
}

TEST(Dispatch, ForcedOneIsTheOneThatRuns) {
    for (const IsaEntry& isa : known_isas()) {
        if (!isa.supported) continue;
        const Kernels& kernels = choose_kernels(isa.name);
        EXPECT_EQ(&kernels, isa.kernels);
        EXPECT_STREQ(kernels.isa, isa.name);
    }
}

TEST(Dispatch, ForcedUnknownNameListsTheKnownOnes) {
    for (const char* name : {"sse2", "", "AVX2", "avx512 ", "avx"}) {
        const auto [status, message] = failure(name, known_isas());
        EXPECT_EQ(status, HPC_INVALID_ARGUMENT) << name;
        EXPECT_NE(message.find("'" + std::string(name) + "'"), std::string::npos) << message;
        EXPECT_NE(message.find("avx512, avx2, scalar"), std::string::npos) << message;
    }
    const auto [status, message] = failure(std::string(100000, 'x').c_str(), known_isas());
    EXPECT_EQ(status, HPC_INVALID_ARGUMENT);
    EXPECT_NE(message.find("scalar"), std::string::npos);
}

TEST(Dispatch, ForcedUnsupportedOneIsAnErrorNotAFallback) {
    std::vector<IsaEntry> isas = known_isas();
    const Kernels some = kScalarKernels;
    isas[0].kernels = &some;
    isas[0].supported = false;
    const auto [status, message] = failure("avx512", isas);
    EXPECT_EQ(status, HPC_NOT_AVAILABLE);
    EXPECT_NE(message.find("'avx512'"), std::string::npos) << message;
    EXPECT_NE(message.find("AVX-512 F, DQ, BW and VL"), std::string::npos) << message;
    EXPECT_NE(message.find(processor_name()), std::string::npos) << message;

    isas[0].kernels = nullptr;
    const auto [status2, message2] = failure("avx512", isas);
    EXPECT_EQ(status2, HPC_NOT_AVAILABLE);
    EXPECT_NE(message2.find("not in this build"), std::string::npos) << message2;
}

TEST(Dispatch, NamesTheProcessor) {
    const std::string name = processor_name();
    ASSERT_FALSE(name.empty());
    EXPECT_NE(name.front(), ' ');
    EXPECT_NE(name.back(), ' ');
#if defined(__linux__)
    std::ifstream info("/proc/cpuinfo");
    std::string text((std::istreambuf_iterator<char>(info)), {});
    if (text.find("model name") != std::string::npos) {
        EXPECT_NE(text.find(name), std::string::npos) << name;
    }
#endif
}

TEST(Dispatch, DescribesALineForEachFact) {
    const std::string text = describe_processor();
    for (const char* fact :
         {"processor: ", "instruction set avx512: ", "instruction set avx2: ", "instruction set scalar: available\n",
          "cores: ", "affinity: ", "cgroup quota: ", "default threads: "}) {
        EXPECT_NE(text.find(fact), std::string::npos) << fact << " in\n" << text;
    }
    EXPECT_EQ(text.back(), '\n');
}

// ---- Threads --------------------------------------------------------------------------------------------------------

TEST(Cores, AreConsistent) {
    const Cores cores = count_cores();
    EXPECT_GE(cores.usable_physical, 1);
    EXPECT_GE(cores.usable, cores.usable_physical);
    EXPECT_GE(cores.physical, cores.usable_physical);
    EXPECT_GE(cores.logical, cores.usable);
    EXPECT_GE(cores.logical, cores.physical);
    EXPECT_GE(cores.quota, 0.0);
}

TEST(Cores, ThreadsAreTheLeastOfAllLimits) {
    const auto threads = [](int usable_physical, double quota) {
        Cores cores;
        cores.usable_physical = usable_physical;
        cores.quota = quota;
        return default_threads(cores);
    };
    EXPECT_EQ(threads(8, 0), 8);
    EXPECT_EQ(threads(8, 16), 8);
    EXPECT_EQ(threads(8, 2), 2);
    EXPECT_EQ(threads(8, 2.1), 3);
    EXPECT_EQ(threads(8, 0.25), 1);
    EXPECT_EQ(threads(0, 0), 1);
}

#if defined(__linux__)

TEST(Cores, FollowTheAffinityMask) {
    cpu_set_t before, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
    int first = 0;
    while (!CPU_ISSET(first, &before)) ++first;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    const Cores cores = count_cores();
    sched_setaffinity(0, sizeof before, &before);
    EXPECT_EQ(cores.usable, 1);
    EXPECT_EQ(cores.usable_physical, 1);
    EXPECT_EQ(default_threads(cores), 1);
    EXPECT_EQ(count_cores().usable, CPU_COUNT(&before));
}

// A made-up /proc and cgroup file system in a folder of its own.
class Cgroup : public testing::Test {
protected:
    void write(const std::string& path, const std::string& text) {
        std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
        std::ofstream(root_ + path) << text;
    }
    double quota() const { return cgroup_quota(root_); }

    const std::string v2_mount_ = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
    const std::string v1_mount_ =
        "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
        "34 25 0:30 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n";
    const hpc::test::Folder folder_;
    const std::string root_ = folder_.path().string();
};

TEST_F(Cgroup, NothingThereIsNoLimit) { EXPECT_EQ(quota(), 0); }

TEST_F(Cgroup, Version2) {
    write("/proc/self/cgroup", "0::/user.slice/app.scope\n");
    write("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + v2_mount_);
    EXPECT_EQ(quota(), 0);
    write("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n");
    EXPECT_EQ(quota(), 0);
    write("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "250000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 2.5);
    // A level above may be tighter, or looser.
    write("/sys/fs/cgroup/user.slice/cpu.max", "50000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 0.5);
    write("/sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 2.5);
    write("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "rubbish\n");
    EXPECT_DOUBLE_EQ(quota(), 4);
}

TEST_F(Cgroup, Version2InAContainerOfItsOwnNamespace) {
    write("/proc/self/cgroup", "0::/\n");
    write("/proc/self/mountinfo", v2_mount_);
    write("/sys/fs/cgroup/cpu.max", "150000 100000\n");
    EXPECT_DOUBLE_EQ(quota(), 1.5);
    write("/proc/self/cgroup", "0::/../../elsewhere\n");
    EXPECT_DOUBLE_EQ(quota(), 1.5);
}

TEST_F(Cgroup, Version1) {
    write("/proc/self/cgroup", "11:memory:/docker/abc\n4:cpuset:/other\n3:cpu,cpuacct:/docker/abc\n0::/\n");
    write("/proc/self/mountinfo", v1_mount_);
    write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "-1\n");
    write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(quota(), 0);
    write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "300000\n");
    EXPECT_DOUBLE_EQ(quota(), 3);
    // The memory and cpuset hierarchies have no say.
    write("/sys/fs/cgroup/memory/docker/abc/cpu.cfs_quota_us", "1000\n");
    write("/sys/fs/cgroup/memory/docker/abc/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(quota(), 3);
}

TEST_F(Cgroup, Version1MountedAtTheContainersGroup) {
    write("/proc/self/cgroup", "3:cpu,cpuacct:/docker/abc/inner\n");
    write("/proc/self/mountinfo",
          "33 25 0:29 /docker/abc /sys/fs/cgroup/with\\040blank ro - cgroup cgroup rw,cpu,cpuacct\n");
    write("/sys/fs/cgroup/with blank/cpu.cfs_quota_us", "200000\n");
    write("/sys/fs/cgroup/with blank/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(quota(), 2);
    write("/sys/fs/cgroup/with blank/inner/cpu.cfs_quota_us", "50000\n");
    write("/sys/fs/cgroup/with blank/inner/cpu.cfs_period_us", "50000\n");
    EXPECT_DOUBLE_EQ(quota(), 1);
    // A group of which only the beginning of the name agrees is another group.
    write("/proc/self/cgroup", "3:cpu,cpuacct:/docker/abcdef\n");
    write("/sys/fs/cgroup/with blankdef/cpu.cfs_quota_us", "1000\n");
    write("/sys/fs/cgroup/with blankdef/cpu.cfs_period_us", "100000\n");
    EXPECT_DOUBLE_EQ(quota(), 2);
}

#endif

}  // namespace
