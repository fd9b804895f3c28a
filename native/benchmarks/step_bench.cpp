// Times whole training steps against the time that their floating-point operations take at the measured peak of fused
// multiply-adds. Usage: step_bench [threads] [isa] [blas]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "../tests/harness.h"

namespace {

struct Workload {
    const char* name;
    hpc::test::NetworkShape shape;
    uint64_t rows;
    int steps;
};

}  // namespace

int main(int argc, char** argv) {
    using namespace hpc::test;
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    Device device(threads, argc > 2 && argv[2][0] ? argv[2] : nullptr, argc > 3 ? argv[3] : "builtin");
    if (!device.handle) {
        std::fprintf(stderr, "%s\n", hpc_last_error());
        return 1;
    }
    const int relu = HPC_ACTIVATION_RELU, tanh = HPC_ACTIVATION_TANH, sigmoid = HPC_ACTIVATION_SIGMOID, linear = HPC_ACTIVATION_LINEAR;
    const std::vector<Workload> workloads{
        {"xor 2-8-1, batch 4, SGD", {{2, 8, 1}, {tanh, sigmoid}, false, 0, false, HPC_RULE_SGD}, 4, 100000},
        {"64-64-32-3, batch 32, Adam", {{64, 64, 32, 3}, {relu, relu, linear}, true, 0, false, HPC_RULE_ADAM}, 32, 20000},
        {"784-512-256-10, batch 128, Adam", {{784, 512, 256, 10}, {relu, relu, linear}, true, 0, false, HPC_RULE_ADAM}, 128, 300},
        {"1024x4-10, batch 256, Adam", {{1024, 1024, 1024, 1024, 10}, {relu, relu, relu, linear}, true, 0, false, HPC_RULE_ADAM}, 256, 40},
        {"4096x3-1000, batch 256, Adam", {{4096, 4096, 4096, 1000}, {relu, relu, linear}, true, 0, false, HPC_RULE_ADAM}, 256, 3},
    };
    for (const Workload& workload : workloads) {
        TrainingStep step(device, workload.shape, workload.rows, HPC_PROGRAM_DEFAULT);
        hpc_measurement peak{};
        hpc_device_measure(device.handle, 200, &peak);
        hpc_program_info info{};
        hpc_program_get_info(step.program.handle, &info);
        const int group = std::max(1, workload.steps / 100);
        std::vector<double> times;
        uint64_t number = 0;
        const uint64_t span = TrainingStep::kSamples - workload.rows;
        for (int i = 0; i < workload.steps; i += group) {
            const auto start = std::chrono::steady_clock::now();
            for (int j = 0; j < group; j++) {
                const uint64_t slots[] = {number % span, cell(1e-4f), number + 1};
                hpc_program_run(step.program.handle, workload.rows, 1, slots, 3, nullptr);
                number++;
            }
            times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / group);
        }
        std::sort(times.begin(), times.end());
        const double least = times.front(), median = times[times.size() / 2], floor = static_cast<double>(info.flops) / peak.peak_gflops / 1e9;
        std::printf("%-34s min %10.2f us  median %10.2f us  %7.1f GFLOP/s  peak %6.1f  %.2f x its floor\n", workload.name, least * 1e6,
                    median * 1e6, static_cast<double>(info.flops) / least / 1e9, peak.peak_gflops, least / floor);
        if (workload.rows >= 128) {
            std::vector<hpc_profile_entry> entries(info.fused_instructions);
            const uint64_t slots[] = {0, cell(1e-4f), number + 1};
            uint32_t count = 0;
            hpc_program_profile(step.program.handle, workload.rows, 1, slots, 3, 20, entries.data(), static_cast<uint32_t>(entries.size()), &count);
            for (const hpc_profile_entry& entry : entries)
                std::printf("    %-60s %10.2f us  %7.1f GFLOP/s  %6.1f GB/s\n", entry.name, entry.nanoseconds * 1e-3,
                            static_cast<double>(entry.flops) / entry.nanoseconds, static_cast<double>(entry.bytes) / entry.nanoseconds);
        }
    }
    return 0;
}
