// Choosing and opening an OpenCL device (see device.h).
#include "opencl/device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <tuple>

namespace hpc::opencl {

namespace {

template <size_t N>
void copy_text(char (&destination)[N], const std::string& text) {
    std::memset(destination, 0, N);
    std::memcpy(destination, text.data(), std::min(text.size(), N - 1));
}

// ASCII only: names of devices are.
std::string lower_case(std::string text) {
    for (char& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return text;
}

// Better ones compare greater: a GPU before anything else, then by what it might compute, then by memory.
auto rank(const DeviceInfo& device) {
    const int type = device.type & CL_DEVICE_TYPE_GPU ? 2 : device.type & CL_DEVICE_TYPE_ACCELERATOR ? 1 : 0;
    return std::make_tuple(type, cl_ulong{device.compute_units} * device.clock_megahertz, device.memory);
}

const DeviceInfo& choose(const Discovery& found, int32_t index, const char* name) {
    if (found.devices.empty()) throw Error(HPC_NOT_AVAILABLE, "no OpenCL device is to be had on this machine\n" + found.report);
    const DeviceInfo* chosen = nullptr;
    if (index >= 0) {
        if (static_cast<size_t>(index) >= found.devices.size())
            throw Error(HPC_NOT_AVAILABLE, "there is no OpenCL device " + std::to_string(index) + ": found " +
                                               std::to_string(found.devices.size()) + "\n" + found.report);
        chosen = &found.devices[static_cast<size_t>(index)];
    } else {
        const std::string fragment = name ? lower_case(name) : "";
        const DeviceInfo* unusable = nullptr;
        for (const DeviceInfo& device : found.devices) {
            if (!fragment.empty() && lower_case(device.name).find(fragment) == std::string::npos &&
                lower_case(device.platform_name).find(fragment) == std::string::npos)
                continue;
            if (!device.lacks.empty()) {
                if (!unusable) unusable = &device;
            } else if (!chosen || rank(device) > rank(*chosen)) {
                chosen = &device;
            }
        }
        if (!chosen) chosen = unusable;
        if (!chosen)
            throw Error(HPC_NOT_AVAILABLE, "no OpenCL device or platform has '" + std::string(name) + "' in its name\n" + found.report);
    }
    if (!chosen->lacks.empty())
        throw Error(HPC_NOT_AVAILABLE, "the OpenCL device '" + chosen->name + "' lacks " + chosen->lacks + "\n" + found.report);
    return *chosen;
}

Ref<cl_context> make_context(const DeviceInfo& device) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, reinterpret_cast<cl_context_properties>(device.platform), 0};
    return Ref<cl_context>(*device.api, HPC_CL_CREATE(*device.api, clCreateContext, properties, 1u, &device.id, nullptr, nullptr));
}

Ref<cl_command_queue> make_queue(const Api& api, cl_context context, cl_device_id device, cl_bitfield properties) {
    return Ref<cl_command_queue>(api, HPC_CL_CREATE(api, clCreateCommandQueue, context, device, properties));
}

Limits limits_of(const DeviceInfo& device) {
    Limits limits =
        Limits::of(device.work_group, device.local_memory, device.compute_units, device.fp64, device.rounded_divide, device_class(device));
    limits.processor = limits.device == DeviceClass::Processor;
#if defined(HPC_TESTING)
    if (injection::no_processors) limits.processor = false;
#endif
    limits.all_local_bytes = device.local_memory;
    return limits;
}

// Nothing is probed where nothing is asked for.
TensorCores tensor_cores_of(const DeviceInfo& device, int32_t precision) {
    return precision == HPC_PRECISION_FLOAT32 ? TensorCores{} : probe_tensor_cores(device, precision);
}

}  // namespace

DeviceClass device_class(const DeviceInfo& device) {
    if (device.type & CL_DEVICE_TYPE_CPU) return DeviceClass::Processor;
    const std::string vendor = lower_case(device.vendor);
    const auto made_by = [&](const char* name) { return vendor.find(name) != std::string::npos; };
    if (made_by("nvidia")) return DeviceClass::Nvidia;
    if (made_by("advanced micro devices") || made_by("amd")) return DeviceClass::Amd;
    if (made_by("intel")) return DeviceClass::Intel;
    return DeviceClass::Other;
}

OpenClDevice::OpenClDevice(const DeviceInfo& device, std::string report, Ref<cl_context> context, Ref<cl_command_queue> queue, bool adopted,
                           const std::string& cache_folder, TensorCores tensor_cores)
    : device_(device),
      report_(std::move(report)),
      adopted_(adopted),
      cache_folder_(std::u8string(cache_folder.begin(), cache_folder.end())),
      limits_(limits_of(device)),
      tensor_cores_(std::move(tensor_cores)),
      context_(std::move(context)),
      queue_(*device.api, std::move(queue)),
      uploads_(*device.api, make_queue(*device.api, context_.get(), device.id, 0)),
      programs_(*device.api, context_.get(), device, common_options(limits_), cache_folder),
      pool_(*device.api, context_.get(), device),
      staging_(context_.get(), uploads_) {
    tuned_ = read_tuning(device_, tuning_file(device_, cache_folder_), limits_);
}

OpenClDevice::~OpenClDevice() {
    // A process may end right after this, and drivers crash in one that ends with commands under way. A caller's own queue is
    // the caller's to finish.
    if (!adopted_) attempt(api().clFinish, queue_.get());
    attempt(api().clFinish, uploads_.get());
}

std::shared_ptr<Device> create_device(const hpc_device_options& options) { return create_device(options, default_places()); }

std::shared_ptr<Device> create_device(const hpc_device_options& options, const Places& places) {
    if ((options.context == nullptr) != (options.queue == nullptr))
        fail(HPC_INVALID_ARGUMENT, "options.%s is null: a caller's context and queue go together",
             options.context ? "queue" : "context");
    if (options.index < -1) fail(HPC_INVALID_ARGUMENT, "options.index is %d: expected -1 (by name, or the best) or a device's number", options.index);
    const std::string name = options.name ? options.name : "";
    const std::string cache_folder = options.cache_directory ? options.cache_directory : "";
    const Discovery found = discover(places);

    if (options.context) {
        if (found.platforms.empty()) throw Error(HPC_NOT_AVAILABLE, "no OpenCL library is to be had on this machine\n" + found.report);
        const cl_context context = static_cast<cl_context>(options.context);
        const cl_command_queue queue = static_cast<cl_command_queue>(options.queue);
        const Api& api = api_of(found, options.context);
        if (HPC_CL_QUERY(cl_context, api, clGetCommandQueueInfo, queue, CL_QUEUE_CONTEXT) != context)
            fail(HPC_INVALID_ARGUMENT, "options.queue is not a queue of options.context");
        if (HPC_CL_QUERY(cl_bitfield, api, clGetCommandQueueInfo, queue, CL_QUEUE_PROPERTIES) & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
            fail(HPC_INVALID_ARGUMENT, "options.queue executes out of order: an in-order queue is needed");
        const cl_device_id id = HPC_CL_QUERY(cl_device_id, api, clGetCommandQueueInfo, queue, CL_QUEUE_DEVICE);
        const cl_platform_id platform = HPC_CL_QUERY(cl_platform_id, api, clGetDeviceInfo, id, CL_DEVICE_PLATFORM);
        const DeviceInfo device = device_info(api, platform, id);
        if (!device.lacks.empty()) fail(HPC_NOT_AVAILABLE, "the OpenCL device '%s' lacks %s", device.name.c_str(), device.lacks.c_str());
        return std::make_shared<OpenClDevice>(device, found.report, Ref<cl_context>::retained(api, context),
                                              Ref<cl_command_queue>::retained(api, queue), true, cache_folder,
                                              tensor_cores_of(device, options.precision));
    }

    if (options.index >= 0 && !name.empty())
        fail(HPC_INVALID_ARGUMENT, "options.index is %d and options.name is '%s': pass -1 to choose by name", options.index, name.c_str());
    const DeviceInfo& device = choose(found, options.index, options.name);
    Ref<cl_context> context = make_context(device);
    Ref<cl_command_queue> queue = make_queue(*device.api, context.get(), device.id, 0);
    return std::make_shared<OpenClDevice>(device, found.report, std::move(context), std::move(queue), false, cache_folder,
                                          tensor_cores_of(device, options.precision));
}

std::shared_ptr<Buffer> adopt_buffer(const std::shared_ptr<Device>& device, void* memory, uint64_t bytes) {
    auto* own = dynamic_cast<OpenClDevice*>(device.get());
    if (!own) fail(HPC_INVALID_ARGUMENT, "device is not an OpenCL device: it has no use for a cl_mem");
    return own->adopt_buffer(memory, bytes);
}

std::string describe_discovery() { return discover().report; }

int32_t device_count() { return static_cast<int32_t>(discover().devices.size()); }

void OpenClDevice::info(hpc_device_info& info) const {
    info = {};
    info.kind = HPC_DEVICE_OPENCL;
    info.threads = static_cast<int32_t>(device_.compute_units);
    info.memory_bytes = device_.memory;
    info.allocated_bytes = allocated.load(std::memory_order_relaxed);
    copy_text(info.name, device_.name);
    info.asked_precision = tensor_cores_.asked;
    info.precision = tensor_cores_.precision;
    copy_text(info.precision_note, tensor_cores_.why.substr(0, tensor_cores_.why.find('\n')));
}

std::string OpenClDevice::describe() const {
    std::string text = report_;
    text += "device: " + device_.name + "\n";
    text += std::string("queue: ") + (adopted_ ? "the caller's\n" : "its own, in order; uploads of large inputs on one beside it\n");
    text += std::string("sums: ") + (limits_.fp64 ? "double precision\n" : "pairs of floats\n");
    text += tuned_;
    text += "products: " + std::string(precision_name(tensor_cores_.precision));
    if (tensor_cores_.serve()) {
        text += tensor_cores_.emulated ? " in an emulation of tensor cores" : " on tensor cores";
        text += tensor_cores_.copies ? ", operands past the registers (cp.async)\n" : ", operands through registers: " + tensor_cores_.why_no_copies + "\n";
    } else if (tensor_cores_.asked != tensor_cores_.precision) {
        text += std::string("; ") + precision_name(tensor_cores_.asked) + " was asked for, but " + tensor_cores_.why + "\n";
    } else {
        text += "\n";
    }
    text += programs_.describe();
    return text;
}

std::shared_ptr<Buffer> OpenClDevice::create_buffer(uint64_t bytes) {
    return std::make_shared<OpenClBuffer>(std::static_pointer_cast<OpenClDevice>(shared_from_this()), bytes);
}

std::shared_ptr<Buffer> OpenClDevice::adopt_buffer(void* handle, uint64_t bytes) {
    const cl_mem memory = static_cast<cl_mem>(handle);
    if (HPC_CL_QUERY(cl_uint, api(), clGetMemObjectInfo, memory, CL_MEM_TYPE) != CL_MEM_OBJECT_BUFFER)
        fail(HPC_INVALID_ARGUMENT, "memory is an image: a buffer is needed");
    if (HPC_CL_QUERY(cl_context, api(), clGetMemObjectInfo, memory, CL_MEM_CONTEXT) != context_.get())
        fail(HPC_INVALID_ARGUMENT, "memory belongs to another context than the device");
    const uint64_t size = HPC_CL_QUERY(size_t, api(), clGetMemObjectInfo, memory, CL_MEM_SIZE);
    if (bytes > size)
        fail(HPC_INVALID_ARGUMENT, "bytes is %llu: the buffer has %llu", static_cast<unsigned long long>(bytes),
             static_cast<unsigned long long>(size));
    return std::make_shared<OpenClBuffer>(std::static_pointer_cast<OpenClDevice>(shared_from_this()), memory, bytes);
}

Ref<cl_kernel> OpenClDevice::kernel(const Kernel& kernel, uint64_t local) {
    const cl_program program = programs_.get(*kernel.source, kernel.options);
    Ref<cl_kernel> object(api(), HPC_CL_CREATE(api(), clCreateKernel, program, kernel.name));
    size_t most = 0;
    HPC_CL(api(), clGetKernelWorkGroupInfo, object.get(), device_.id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, static_cast<void*>(&most), nullptr);
    if (most < local)
        fail(HPC_NOT_AVAILABLE, "the OpenCL device '%s' runs the kernel '%s' in work-groups of at most %llu: %llu are needed",
             device_.name.c_str(), kernel.name, static_cast<unsigned long long>(most), static_cast<unsigned long long>(local));
    return object;
}

Queue& OpenClDevice::timed_queue() {
    std::lock_guard<std::mutex> lock(timed_mutex_);
    if (!timed_queue_)
        timed_queue_ = std::make_unique<Queue>(api(), make_queue(api(), context_.get(), device_.id, CL_QUEUE_PROFILING_ENABLE));
    return *timed_queue_;
}

// ---- Measuring -------------------------------------------------------------------------------------------------------

namespace {

constexpr Source kMeasureSource{"measure", {"opencl/kernels/measure.cl"}};
constexpr uint64_t kMeasureRounds = 4096;        // HPC_ROUNDS: 16 independent fused multiply-adds each
constexpr uint64_t kMeasureFlopsPerRound = 32;
constexpr uint64_t kMeasureGroupsPerUnit = 32;
constexpr uint64_t kMeasureCopyBytes = 64u << 20;

double nanoseconds(const Api& api, const Ref<cl_event>& event) {
    cl_ulong start = 0, end = 0;
    HPC_CL(api, clGetEventProfilingInfo, event.get(), CL_PROFILING_COMMAND_START, sizeof start, static_cast<void*>(&start), nullptr);
    HPC_CL(api, clGetEventProfilingInfo, event.get(), CL_PROFILING_COMMAND_END, sizeof end, static_cast<void*>(&end), nullptr);
    return end > start ? static_cast<double>(end - start) : 1.0;
}

}  // namespace

double OpenClDevice::measure_peak(int milliseconds) {
    using Clock = std::chrono::steady_clock;
    Queue& timed = timed_queue();
    const uint64_t local = limits_.group;
    const Ref<cl_kernel> fma = kernel({&kMeasureSource, define("HPC_ROUNDS", kMeasureRounds) + define("HPC_STREAM", 0), "multiply_add"}, local);
    OpenClBuffer out(std::static_pointer_cast<OpenClDevice>(shared_from_this()), 4);
    const cl_mem out_memory = out.memory();
    const cl_float start_value = 1.0f;
    HPC_CL(api(), clSetKernelArg, fma.get(), 0u, sizeof out_memory, static_cast<const void*>(&out_memory));
    HPC_CL(api(), clSetKernelArg, fma.get(), 1u, sizeof start_value, static_cast<const void*>(&start_value));
    queue_.finish();

    Geometry geometry;
    geometry.dimensions = 1;
    geometry.local[0] = local;
    geometry.global[0] = local * kMeasureGroupsPerUnit * limits_.compute_units;
    const double flops = static_cast<double>(geometry.global[0] * kMeasureRounds * kMeasureFlopsPerRound);
    double best = 0;
    const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    do {
        const Ref<cl_event> event = timed.launch_timed(fma.get(), geometry);
        timed.finish();
        best = std::max(best, flops / nanoseconds(api(), event));
    } while (Clock::now() < end);
    return best;
}

hpc_memory_bandwidth OpenClDevice::measure_memory(uint64_t bytes, int milliseconds) {
    using Clock = std::chrono::steady_clock;
    const uint64_t local = limits_.group, step = 4 * 4 * sizeof(cl_float);
    const uint64_t count = (bytes + step - 1) / step;
    if (count > UINT32_MAX / 4)
        fail(HPC_OUT_OF_MEMORY, "out of memory: %llu bytes asked for at once", static_cast<unsigned long long>(bytes));
    OpenClBuffer out(std::static_pointer_cast<OpenClDevice>(shared_from_this()), 4),
        streams(std::static_pointer_cast<OpenClDevice>(shared_from_this()), count * step);
    const cl_mem memory = streams.memory(), out_memory = out.memory();
    queue_.finish();
    Queue& timed = timed_queue();

    Geometry geometry;
    geometry.dimensions = 1;
    geometry.local[0] = local;
    geometry.global[0] = std::min((count + local - 1) / local, kMeasureGroupsPerUnit * limits_.compute_units) * local;
    constexpr double kMoved[] = {4, 4, 7};  // float4 for each of a stream's
    double rates[3] = {};
    for (uint64_t kind = 0; kind < 3; kind++) {
        const Ref<cl_kernel> object = kernel({&kMeasureSource, define("HPC_ROUNDS", kMeasureRounds) + define("HPC_STREAM", kind), "stream"}, local);
        const auto pass = [&](uint64_t repetitions) {
            const cl_uint elements = static_cast<cl_uint>(count), times = static_cast<cl_uint>(repetitions);
            HPC_CL(api(), clSetKernelArg, object.get(), 0u, sizeof memory, static_cast<const void*>(&memory));
            HPC_CL(api(), clSetKernelArg, object.get(), 1u, sizeof elements, static_cast<const void*>(&elements));
            HPC_CL(api(), clSetKernelArg, object.get(), 2u, sizeof times, static_cast<const void*>(&times));
            HPC_CL(api(), clSetKernelArg, object.get(), 3u, sizeof out_memory, static_cast<const void*>(&out_memory));
            const Ref<cl_event> event = timed.launch_timed(object.get(), geometry);
            timed.finish();
            return nanoseconds(api(), event);
        };
        // As often as makes half a millisecond: a launch costs something, too.
        uint64_t repetitions = 1;
        while (pass(repetitions) < 5e5 && repetitions < (uint64_t{1} << 30)) repetitions *= 2;
        const double moved = kMoved[kind] * 16 * static_cast<double>(count * repetitions);
        const auto end = Clock::now() + std::chrono::microseconds(1000 * milliseconds / 3);
        do rates[kind] = std::max(rates[kind], moved / pass(repetitions));
        while (Clock::now() < end);
    }
    return {rates[0], rates[1], rates[2], count * step};
}

hpc_cache_info OpenClDevice::caches() const {
    hpc_cache_info info{};
    cl_ulong bytes = 0;
    HPC_CL(*device_.api, clGetDeviceInfo, device_.id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof bytes, static_cast<void*>(&bytes), nullptr);
    info.level2_bytes = bytes;
    return info;
}

hpc_measurement OpenClDevice::measure(int milliseconds) {
    using Clock = std::chrono::steady_clock;
    hpc_measurement result{};
    result.peak_gflops = measure_peak((milliseconds + 1) / 2);
    Queue& timed = timed_queue();
    const uint64_t bytes = std::min(kMeasureCopyBytes, device_.memory / 16);
    OpenClBuffer from(std::static_pointer_cast<OpenClDevice>(shared_from_this()), bytes),
        to(std::static_pointer_cast<OpenClDevice>(shared_from_this()), bytes);
    queue_.finish();
    const auto end = Clock::now() + std::chrono::microseconds(500 * milliseconds);
    do {
        const Ref<cl_event> event = timed.copy_timed(from.memory(), to.memory(), bytes);
        timed.finish();
        result.copy_gigabytes_per_second = std::max(result.copy_gigabytes_per_second, 2.0 * static_cast<double>(bytes) / nanoseconds(api(), event));
    } while (Clock::now() < end);
    return result;
}

}  // namespace hpc::opencl
