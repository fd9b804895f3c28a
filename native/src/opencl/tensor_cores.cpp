// Probing for tensor cores (see tensor_cores.h, kernels/mma_probe.cl).
#include "opencl/tensor_cores.h"

#include <bit>
#include <cmath>
#include <vector>

#include "opencl/program_cache.h"

namespace hpc::opencl {

#if defined(HPC_TESTING)
namespace injection {
Stand tensor_cores = Stand::Hardware;
}
#endif

namespace {

constexpr uint64_t kItems = 64;  // HPC_PROBE_ITEMS
constexpr uint64_t kWarps = 2;

// One context, queue and program on the device, for as long as the probe takes.
class Probe {
public:
    Probe(const DeviceInfo& device, const std::string& options) : device_(device), api_(*device.api) {
        const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(device.platform), 0};
        context_ = Ref<cl_context>(api_, HPC_CL_CREATE(api_, clCreateContext, properties, 1u, &device.id, nullptr, nullptr));
        queue_ = Ref<cl_command_queue>(api_, HPC_CL_CREATE(api_, clCreateCommandQueue, context_.get(), device.id, cl_bitfield{0}));
        std::string text;
        for (const char* const* name = kMmaProbeSource.texts; *name; name++)
            text.append("#line 1 \"").append(*name).append("\"\n").append(embedded_text(*name));
        const char* pointer = text.data();
        const size_t length = text.size();
        program_ = Ref<cl_program>(api_, HPC_CL_CREATE(api_, clCreateProgramWithSource, context_.get(), 1u, &pointer, &length));
        const Limits limits = Limits::of(kItems, device.local_memory, 1, false, false);
        const std::string all = common_options(limits) + options;
        const cl_int code = attempt(api_.clBuildProgram, program_.get(), 1u, &device.id, all.c_str(), nullptr, nullptr);
        if (code != CL_SUCCESS) fail(HPC_DEVICE_ERROR, "its compiler refuses the instructions: %s%s", error_name(code).c_str(), log().c_str());
    }

    ~Probe() {
        if (queue_) attempt(api_.clFinish, queue_.get());
    }

    // Runs a kernel over `inputs`; `outputs` (floats) come back, and whether the compiler takes PTX.
    bool run(const char* name, const std::vector<std::vector<float>>& inputs, std::vector<float>& outputs) {
        const Ref<cl_kernel> kernel(api_, HPC_CL_CREATE(api_, clCreateKernel, program_.get(), name));
        std::vector<Ref<cl_mem>> memories;
        const auto add = [&](uint64_t bytes, const void* from) {
            memories.emplace_back(api_, HPC_CL_CREATE(api_, clCreateBuffer, context_.get(), CL_MEM_READ_WRITE, size_t{bytes}, nullptr));
            const cl_mem memory = memories.back().get();
            HPC_CL(api_, clEnqueueWriteBuffer, queue_.get(), memory, cl_bool{1}, size_t{0}, size_t{bytes}, from, 0u, nullptr, nullptr);
            HPC_CL(api_, clSetKernelArg, kernel.get(), static_cast<cl_uint>(memories.size() - 1), sizeof memory, static_cast<const void*>(&memory));
        };
        for (const std::vector<float>& input : inputs) add(input.size() * 4, input.data());
        add(outputs.size() * 4, outputs.data());
        cl_uint found = 0;
        add(sizeof found, &found);
        const size_t items = kItems;
        HPC_CL(api_, clEnqueueNDRangeKernel, queue_.get(), kernel.get(), 1u, nullptr, &items, &items, 0u, nullptr, nullptr);
        HPC_CL(api_, clEnqueueReadBuffer, queue_.get(), memories[inputs.size()].get(), cl_bool{1}, size_t{0}, outputs.size() * 4,
               static_cast<void*>(outputs.data()), 0u, nullptr, nullptr);
        HPC_CL(api_, clEnqueueReadBuffer, queue_.get(), memories.back().get(), cl_bool{1}, size_t{0}, sizeof found, static_cast<void*>(&found), 0u,
               nullptr, nullptr);
        return found == 1;
    }

private:
    // What the compiler says, behind a line's end; "" where it says nothing.
    std::string log() const {
        size_t size = 0;
        if (attempt(api_.clGetProgramBuildInfo, program_.get(), device_.id, CL_PROGRAM_BUILD_LOG, size_t{0}, nullptr, &size) != CL_SUCCESS) return "";
        std::string text(size, '\0');
        if (attempt(api_.clGetProgramBuildInfo, program_.get(), device_.id, CL_PROGRAM_BUILD_LOG, size, static_cast<void*>(text.data()), nullptr) != CL_SUCCESS)
            return "";
        while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.pop_back();
        if (text.size() > 400) text.resize(400);
        return text.empty() ? "" : "\n" + text;
    }

    const DeviceInfo& device_;
    const Api& api_;
    Ref<cl_context> context_;
    Ref<cl_command_queue> queue_;
    Ref<cl_program> program_;
};

// Small whole numbers and, in one column of A, numbers that the format cannot hold, ties among them: every partial sum is a float,
// in whatever order and however bluntly the hardware adds.
void check_products(Probe& probe, int32_t precision, bool spoil) {
    const uint64_t k = precision == HPC_PRECISION_TF32 ? 8 : 16;
    const float unit = precision == HPC_PRECISION_TF32 ? 0x1p-11f : 0x1p-8f;  // half a unit in the last place of 1
    std::vector<float> a(kWarps * 16 * k), b(kWarps * k * 8), c(kWarps * 128), d(kWarps * 128);
    for (uint64_t i = 0; i < a.size(); i++) a[i] = i % k == 3 ? 1 + unit * static_cast<float>(i / k % 8) : static_cast<float>(i * 7 % 13) - 6;
    for (uint64_t i = 0; i < b.size(); i++) b[i] = static_cast<float>(i * 5 % 9) - 4;
    for (uint64_t i = 0; i < c.size(); i++) c[i] = static_cast<float>(i % 31);
    if (!probe.run("mma_probe", {a, b, c}, d)) fail(HPC_NOT_AVAILABLE, "its compiler is not NVIDIA's, which alone takes the instructions");
    if (spoil) d[77] = -d[77] + 1;
    for (uint64_t warp = 0; warp < kWarps; warp++) {
        for (uint64_t row = 0; row < 16; row++) {
            for (uint64_t column = 0; column < 8; column++) {
                double sum = 0;
                for (uint64_t i = 0; i < k; i++)
                    sum += static_cast<double>(rounded_to(precision, a[(warp * 16 + row) * k + i])) * static_cast<double>(b[(warp * k + i) * 8 + column]);
                const uint64_t at = warp * 128 + row * 8 + column;
                const double expected = 2 * sum + static_cast<double>(c[at]);
                if (static_cast<double>(d[at]) != expected)
                    fail(HPC_DEVICE_ERROR, "a product came out wrong: %g instead of %g (row %d, column %d of part %d)", static_cast<double>(d[at]), expected,
                         static_cast<int>(row), static_cast<int>(column), static_cast<int>(warp));
            }
        }
    }
}

void check_copies(Probe& probe, bool spoil) {
    std::vector<float> from(kItems * 4), to(kItems * 8);
    for (uint64_t i = 0; i < from.size(); i++) from[i] = static_cast<float>(i + 1);
    if (!probe.run("copies_probe", {from}, to)) fail(HPC_NOT_AVAILABLE, "its compiler is not NVIDIA's, which alone takes the instructions");
    if (spoil) to[5] += 1;
    for (uint64_t item = 0; item < kItems; item++) {
        for (uint64_t i = 0; i < 4; i++) {
            const float there = from[item * 4 + i];
            const float expected[] = {i < item % 5 ? there : 0.0f, (item + i) % 2 ? there : 0.0f};
            for (uint64_t kind = 0; kind < 2; kind++)
                if (to[item * 8 + kind * 4 + i] != expected[kind])
                    fail(HPC_DEVICE_ERROR, "a copy to local memory came out wrong: %g instead of %g (element %d of %d, kind %d)",
                         static_cast<double>(to[item * 8 + kind * 4 + i]), static_cast<double>(expected[kind]), static_cast<int>(i),
                         static_cast<int>(item), static_cast<int>(kind));
        }
    }
}

}  // namespace

const char* precision_name(int32_t precision) {
    switch (precision) {
        case HPC_PRECISION_TF32: return "tf32";
        case HPC_PRECISION_BFLOAT16: return "bfloat16";
        default: return "float32";
    }
}

float rounded_to(int32_t precision, float x) {
    if (precision == HPC_PRECISION_FLOAT32 || !std::isfinite(x)) return x;
    // The fraction's bits that go; half of the last one that stays, or, where ties go to even, a bit less or that.
    const uint32_t bits = std::bit_cast<uint32_t>(x), gone = precision == HPC_PRECISION_TF32 ? 13 : 16;
    const uint32_t half = precision == HPC_PRECISION_TF32 ? 1u << 12 : 0x7fffu + (bits >> 16 & 1);
    return std::bit_cast<float>((bits + half) & ~((1u << gone) - 1));
}

TensorCores probe_tensor_cores(const DeviceInfo& device, int32_t asked) {
    TensorCores cores;
    cores.asked = asked;
    cores.local_bytes = device.local_memory;
    bool wrong_products = false, wrong_copies = false, wants_copies = true;
    std::string further;
#if defined(HPC_TESTING)
    using injection::Stand;
    cores.emulated = injection::tensor_cores != Stand::Hardware && injection::tensor_cores != Stand::DoesNotBuild;
    if (cores.emulated) cores.local_bytes = 49152;  // NVIDIA's
    wrong_products = injection::tensor_cores == Stand::WrongProducts;
    wrong_copies = injection::tensor_cores == Stand::WrongCopies;
    wants_copies = injection::tensor_cores != Stand::EmulatedNoCopies;
    if (injection::tensor_cores == Stand::DoesNotBuild) further = " -D__NV_CL_C_VERSION=1";
#endif
    const auto options = [&](bool copies) {
        TensorCores tried = cores;
        tried.precision = asked;
        tried.copies = copies;
        return mma_options(tried) + further;
    };
    try {
        Probe probe(device, options(false));
        check_products(probe, asked, wrong_products);
        if (mma_smallest_local_bytes() > cores.local_bytes) fail(HPC_NOT_AVAILABLE, "its local memory is too small");
        cores.precision = asked;
    } catch (const std::exception& error) {
        cores.why = error.what();
        return cores;
    }
    try {
        if (!wants_copies) fail(HPC_NOT_AVAILABLE, "a test does without");
        Probe probe(device, options(true));
        check_copies(probe, wrong_copies);
        cores.copies = true;
    } catch (const std::exception& error) {
        cores.why_no_copies = error.what();
    }
    return cores;
}

}  // namespace hpc::opencl
