// What check_instructions.sh counts the instructions of: steps on the calling thread, with the built-in kernels of the instruction set
// that HPCNET_ISA names. Without an argument it lists its workloads, a name and a number of steps on each line; with a name it runs
// that many steps of it inside the function counted_steps, which is all that is counted: what was made and planned before is not.
//
// To add a workload: a row below, then `cmake --build --preset tests --target keep_instruction_counts`.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>

#include "harness.h"

namespace {

using namespace hpc::test;

constexpr int kRelu = HPC_ACTIVATION_RELU, kTanh = HPC_ACTIVATION_TANH, kSigmoid = HPC_ACTIVATION_SIGMOID, kLinear = HPC_ACTIVATION_LINEAR;

using Step = std::function<hpc_status(uint64_t number)>;

// A whole training step, gather to update.
Step training(Device& device, const NetworkShape& shape, uint64_t rows) {
    auto step = std::make_shared<TrainingStep>(device, shape, rows, HPC_PROGRAM_DEFAULT);
    return [step, rows](uint64_t number) {
        const uint64_t slots[] = {number * rows % (TrainingStep::kSamples - rows), cell(1e-4f), number + 1};
        return hpc_program_run(step->program.handle, rows, 1, slots, 3, nullptr);
    };
}

// One dense layer with ReLU, forward only.
Step layer(Device& device, uint64_t inputs, uint64_t outputs, uint64_t rows) {
    auto x = std::make_shared<Buffer>(device, rows * inputs);
    auto w = std::make_shared<Buffer>(device, inputs * outputs);
    auto b = std::make_shared<Buffer>(device, outputs);
    x->write(random_floats(x->count, 1));
    w->write(random_floats(w->count, 2, 0.05f));
    auto program = std::make_shared<Program>(device, rows);
    const uint32_t z = program->rows(HPC_VALUE_TEMPORARY, outputs);
    const uint32_t y = program->rows(HPC_VALUE_OUTPUT, outputs);
    const hpc_dense_forward dense{program->value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, inputs, x->handle),
                                  program->value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, inputs, outputs, w->handle),
                                  program->value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, 1, outputs, b->handle), z};
    HPC_EXPECT(hpc_record_dense_forward(program->handle, &dense));
    const hpc_activation_forward relu{kRelu, z, y, 0, 0, 0};
    HPC_EXPECT(hpc_record_activation_forward(program->handle, &relu));
    HPC_EXPECT(hpc_program_finish(program->handle));
    return [=](uint64_t) { return hpc_program_run(program->handle, rows, 1, nullptr, 0, nullptr); };
}

struct Workload {
    const char* name;
    uint64_t steps;
    Step (*make)(Device&);
};

const Workload kWorkloads[] = {
    {"xor", 1000, [](Device& d) { return training(d, {{2, 8, 1}, {kTanh, kSigmoid}, false, 0, false, HPC_RULE_SGD}, 4); }},
    {"tabular", 100, [](Device& d) { return training(d, {{64, 64, 32, 3}, {kRelu, kRelu, kLinear}, true, 0, false, HPC_RULE_ADAM}, 32); }},
    {"mnist-layer", 1, [](Device& d) { return layer(d, 784, 512, 128); }},
// What is above the inputs: the three products of 512 x 256 and their epilogues. All of it takes valgrind a minute.
    {"mnist-upper", 1, [](Device& d) { return training(d, {{64, 512, 256, 10}, {kRelu, kRelu, kLinear}, true, 0, false, HPC_RULE_ADAM}, 128); }},
};

}  // namespace

// A name that callgrind finds.
extern "C" __attribute__((noinline)) hpc_status counted_steps(const Step& step, uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        const hpc_status status = step(first + i);
        if (status != HPC_OK) return status;
    }
    return HPC_OK;
}

int main(int argc, char** argv) {
    if (argc == 1) {
        for (const Workload& workload : kWorkloads) std::printf("%s %llu\n", workload.name, static_cast<unsigned long long>(workload.steps));
        return 0;
    }
    for (const Workload& workload : kWorkloads) {
        if (argc != 2 || std::strcmp(argv[1], workload.name) != 0) continue;
        Device device(1, std::getenv("HPCNET_ISA"));
        if (!device.handle) break;
        const Step step = workload.make(device);
        HPC_EXPECT(step(0));  // plans its tiles
        HPC_EXPECT(counted_steps(step, 1, workload.steps));
        return testing::Test::HasFailure() ? 1 : 0;
    }
    std::fprintf(stderr, "usage: counted_steps [WORKLOAD], with HPCNET_ISA naming an instruction set of this machine: %s\n", hpc_last_error());
    return 2;
}
