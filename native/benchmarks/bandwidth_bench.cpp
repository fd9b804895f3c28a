// Bytes per second of every elementwise instruction beside a plain copy: all rows of the tables of activations, losses and rules,
// forward and backward. Usage: bandwidth_bench [threads] [elements] [isa]
//
// The default of 16 Mi elements does not fit into caches: what reaches the copy's rate is bound by memory. With 32768 elements the
// operands stay in the second-level cache, which shows what the formulas themselves cost.
#include <cstdio>
#include <cstdlib>

#include "../tests/harness.h"

namespace {

using namespace hpc::test;

class Bandwidth {
public:
    Bandwidth(Device& device, uint64_t elements) : device_(device), rows_(elements / kColumns) {
        hpc_measurement measured{};
        hpc_device_measure(device.handle, 400, &measured);
        copy_ = measured.copy_gigabytes_per_second;
        std::printf("%-48s %10s %10s %8s\n%-48s %10s %10.1f %7.0f%%\n", "instruction", "us", "GB/s", "of copy", "copy, out of cache", "", copy_, 100.0);
    }

    // `record` declares its values in the program and records one instruction.
    template <class Record>
    void time(const Record& record) {
        Program program(device_, rows_, HPC_PROGRAM_PLAIN);
        record(program);
        HPC_EXPECT(hpc_program_finish(program.handle));
        hpc_profile_entry entry{};
        uint32_t count = 0;
        const uint32_t repetitions = static_cast<uint32_t>(1 + (uint64_t{1} << 28) / (rows_ * kColumns));
        HPC_EXPECT(hpc_program_profile(program.handle, rows_, 1, nullptr, 0, repetitions, &entry, 1, &count));
        const double rate = static_cast<double>(entry.bytes) / entry.nanoseconds;
        std::printf("%-48s %10.2f %10.1f %7.0f%%\n", entry.name, entry.nanoseconds * 1e-3, rate, 100 * rate / copy_);
    }

    uint64_t rows() const { return rows_; }
    static constexpr uint64_t kColumns = 1024;

private:
    Device& device_;
    uint64_t rows_;
    double copy_ = 0;
};

uint32_t value(Program& program, int kind = HPC_VALUE_PERSISTENT) { return program.rows(kind, Bandwidth::kColumns); }

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    const uint64_t elements = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : uint64_t{16} << 20;
    Device device(threads, argc > 3 ? argv[3] : nullptr);
    if (!device.handle || elements < Bandwidth::kColumns) {
        std::fprintf(stderr, "%s\nusage: bandwidth_bench [threads] [elements, 1024 or more] [isa]\n", hpc_last_error());
        return 1;
    }
    Bandwidth bench(device, elements);

    hpc_activation_info activation{};
    for (int id = 0; hpc_get_activation_info(id, &activation) == HPC_OK; id++) {
        bench.time([&](Program& program) {
            const uint32_t derivative = activation.keeps == HPC_KEEPS_DERIVATIVE ? value(program) : 0;
            hpc_activation_forward forward{id, value(program), value(program), derivative, 1, 1};
            HPC_EXPECT(hpc_record_activation_forward(program.handle, &forward));
        });
        bench.time([&](Program& program) {
            const uint32_t kept = activation.keeps == HPC_KEEPS_NOTHING ? 0 : value(program);
            hpc_activation_backward backward{id, kept, value(program), value(program), 1, 1};
            HPC_EXPECT(hpc_record_activation_backward(program.handle, &backward));
        });
    }
    hpc_loss_info loss{};
    for (int id = 0; hpc_get_loss_info(id, &loss) == HPC_OK; id++) {
        bench.time([&](Program& program) {
            hpc_loss_forward forward{};
            forward.loss = id;
            forward.prediction = value(program);
            forward.target = value(program);
            forward.alpha = forward.beta = 1;
            forward.weight.constant = 1;
            HPC_EXPECT(hpc_record_loss_forward(program.handle, &forward));
        });
        bench.time([&](Program& program) {
            hpc_loss_backward backward{};
            backward.loss = id;
            backward.prediction = value(program);
            backward.target = value(program);
            backward.gradient = value(program);
            backward.alpha = backward.beta = 1;
            backward.weight.constant = 1;
            HPC_EXPECT(hpc_record_loss_backward(program.handle, &backward));
        });
    }
    hpc_rule_info rule{};
    for (int id = 0; hpc_get_rule_info(id, &rule) == HPC_OK; id++) {
        bench.time([&](Program& program) {
            hpc_update update{};
            update.rule = id;
            update.parameters = value(program);
            update.gradients = value(program);
            for (int i = 0; i < rule.state_count; i++) update.states[i] = value(program);
            for (int i = 0; i < rule.hyperparameter_count; i++) update.hyperparameters[i].constant = 0.5f;
            update.step.constant = 1;
            HPC_EXPECT(hpc_record_update(program.handle, &update));
        });
    }
    bench.time([&](Program& program) {
        hpc_softmax softmax{value(program), value(program)};
        HPC_EXPECT(hpc_record_softmax(program.handle, &softmax));
    });
    bench.time([&](Program& program) {
        hpc_dropout dropout{};
        dropout.x = value(program);
        dropout.y = value(program);
        dropout.rate.constant = 0.5f;
        HPC_EXPECT(hpc_record_dropout(program.handle, &dropout));
    });
    return 0;
}
