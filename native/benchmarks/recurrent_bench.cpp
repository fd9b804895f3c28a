// Times forward and backward of one recurrent layer (all gradients, no update) against the time that its floating-point
// operations take at the measured peak of fused multiply-adds. Usage: recurrent_bench [threads] [isa] [blas | opencl]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "../tests/harness.h"

namespace {

struct Workload {
    int cell;
    uint64_t steps, rows, inputs, units;
};

}  // namespace

int main(int argc, char** argv) {
    using namespace hpc::test;
    const bool opencl = argc > 3 && !std::strcmp(argv[3], "opencl");
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    hpc_device_options options{};
    options.kind = opencl ? HPC_DEVICE_OPENCL : HPC_DEVICE_CPU;
    options.threads = threads;
    options.isa = argc > 2 && argv[2][0] ? argv[2] : nullptr;
    options.blas = argc > 3 && !opencl ? argv[3] : "builtin";
    options.index = -1;
    Device device;
    hpc_device_destroy(device.handle);
    device.handle = nullptr;
    if (hpc_device_create(&options, &device.handle) != HPC_OK) {
        std::fprintf(stderr, "%s\n", hpc_last_error());
        return 1;
    }
    const Workload workloads[] = {
        {HPC_CELL_LSTM, 32, 64, 64, 128},      {HPC_CELL_GRU, 32, 64, 64, 128}, {HPC_CELL_RNN_TANH, 32, 64, 64, 128},
        {HPC_CELL_LSTM, 20, 256, 256, 256},    {HPC_CELL_LSTM, 50, 1, 32, 64},  {HPC_CELL_GRU, 16, 16, 512, 512},
    };
    for (const Workload& load : workloads) {
        hpc_cell_info cell{};
        hpc_get_cell_info(load.cell, &cell);
        const uint64_t width = static_cast<uint64_t>(cell.gates) * load.units;
        Program program(device, load.rows);
        auto fixed = [&](int kind, uint64_t rows, uint64_t columns) { return program.value(kind, HPC_FLOAT32, HPC_LEAD_FIXED, rows, columns); };
        auto filled = [&](uint32_t id, float low, float high) {
            hpc_philox_uniform arguments{};
            arguments.x = id;
            arguments.low = low;
            arguments.high = high;
            HPC_EXPECT(hpc_record_philox_uniform(program.handle, &arguments));
            return id;
        };
        const int temporary = HPC_VALUE_TEMPORARY, gradient = HPC_VALUE_GRADIENT;
        const uint32_t x = filled(program.rows(temporary, load.steps * load.inputs), -1, 1), dy = filled(program.rows(temporary, load.steps * load.units), -1, 1);
        const uint32_t wi = filled(fixed(temporary, load.inputs, width), -0.1f, 0.1f), wh = filled(fixed(temporary, load.units, width), -0.1f, 0.1f);
        const uint32_t b = filled(fixed(temporary, 1, width), -0.1f, 0.1f);
        const uint32_t gates = program.rows(temporary, load.steps * width), y = program.rows(temporary, load.steps * load.units);
        const uint32_t previous = program.rows(temporary, load.steps * load.units);
        const uint32_t kept = cell.kept ? program.rows(temporary, load.steps * load.units) : 0;
        const uint32_t hidden = cell.direct ? program.rows(temporary, load.steps * width) : 0;
        const uint32_t dx = program.rows(temporary, load.steps * load.inputs);
        const hpc_dense_forward project{x, wi, b, gates};
        HPC_EXPECT(hpc_record_dense_forward(program.handle, &project));
        hpc_recurrent_forward forward{};
        forward.cell = load.cell;
        forward.gates = gates, forward.w = wh, forward.b = b, forward.y = y, forward.kept = kept, forward.previous = previous;
        HPC_EXPECT(hpc_record_recurrent_forward(program.handle, &forward));
        hpc_recurrent_backward backward{};
        backward.cell = load.cell;
        backward.gates = gates, backward.w = wh, backward.kept = kept, backward.previous = previous, backward.dy = dy, backward.hidden = hidden;
        HPC_EXPECT(hpc_record_recurrent_backward(program.handle, &backward));
        const hpc_dense_backward_weight dwi{x, gates, fixed(gradient, load.inputs, width), 0};
        const hpc_dense_backward_weight dwh{previous, hidden ? hidden : gates, fixed(gradient, load.units, width), 0};
        const hpc_column_sums sums{gates, fixed(gradient, 1, width)};
        const hpc_dense_backward_input back{gates, wi, dx, 0};
        HPC_EXPECT(hpc_record_dense_backward_weight(program.handle, &dwi));
        HPC_EXPECT(hpc_record_dense_backward_weight(program.handle, &dwh));
        HPC_EXPECT(hpc_record_column_sums(program.handle, &sums));
        HPC_EXPECT(hpc_record_dense_backward_input(program.handle, &back));
        HPC_EXPECT(hpc_program_finish(program.handle));

        hpc_measurement peak{};
        hpc_device_measure(device.handle, 200, &peak);
        hpc_program_info info{};
        hpc_program_get_info(program.handle, &info);
        std::vector<hpc_profile_entry> entries(info.fused_instructions);
        uint32_t count = 0;
        hpc_program_profile(program.handle, load.rows, 1, nullptr, 0, 30, entries.data(), static_cast<uint32_t>(entries.size()), &count);
        double least = 1e9;
        for (int i = 0; i < 30; i++) {
            const auto start = std::chrono::steady_clock::now();
            hpc_metrics metrics{};
            hpc_program_run(program.handle, load.rows, 1, nullptr, 0, &metrics);
            least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
        }
        // Filling the operands is not part of the step.
        double flops = 0, random = 0;
        for (const hpc_profile_entry& entry : entries) {
            if (!std::strcmp(entry.name, "philox_uniform")) random += entry.nanoseconds * 1e-9;
            else flops += static_cast<double>(entry.flops);
        }
        least -= random;
        std::printf("%s, %llu steps, batch %llu, %llu inputs, %llu units: %.1f us  %.1f GFLOP/s  peak %.1f  %.2f x its floor\n", cell.name,
                    static_cast<unsigned long long>(load.steps), static_cast<unsigned long long>(load.rows),
                    static_cast<unsigned long long>(load.inputs), static_cast<unsigned long long>(load.units), least * 1e6, flops / least / 1e9,
                    peak.peak_gflops, least * peak.peak_gflops * 1e9 / flops);
        for (const hpc_profile_entry& entry : entries)
            if (std::strcmp(entry.name, "philox_uniform"))
                std::printf("    %-40s %10.2f us  %7.1f GFLOP/s  %6.1f GB/s\n", entry.name, entry.nanoseconds * 1e-3,
                            static_cast<double>(entry.flops) / entry.nanoseconds, static_cast<double>(entry.bytes) / entry.nanoseconds);
    }
    return 0;
}
