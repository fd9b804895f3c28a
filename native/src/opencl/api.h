// The few OpenCL types, constants and functions that the backend uses, declared here and found at run time: nothing of
// OpenCL is needed to build or to load the core.
//
// An Api is one set of entry points: those of the ICD loader, or those of one vendor's platform where no loader (or no
// .icd file) leads to it. Every call goes through HPC_CL or HPC_CL_CREATE, which turn an error code into hpc::Error with
// the call's and the error's names; every object lives in a Ref, which releases it. Test builds (HPC_TESTING) can make
// the Nth call fail, and count the references that are held.
//
// To use another function: a row of HPC_CL_FUNCTIONS with its place in the ICD dispatch table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "error.h"

#if defined(HPC_TESTING)
#include <atomic>
#include <cstring>
#endif

namespace hpc::opencl {

using cl_int = int32_t;
using cl_uint = uint32_t;
using cl_ulong = uint64_t;
using cl_float = float;
using cl_bool = cl_uint;
using cl_bitfield = cl_ulong;
using cl_platform_id = struct PlatformTag*;
using cl_device_id = struct DeviceTag*;
using cl_context = struct ContextTag*;
using cl_command_queue = struct QueueTag*;
using cl_mem = struct MemTag*;
using cl_program = struct ProgramTag*;
using cl_kernel = struct KernelTag*;
using cl_event = struct EventTag*;
using cl_context_properties = intptr_t;

constexpr cl_int CL_SUCCESS = 0;
constexpr cl_int CL_DEVICE_NOT_FOUND = -1;
constexpr cl_int CL_MEM_OBJECT_ALLOCATION_FAILURE = -4;
constexpr cl_int CL_OUT_OF_RESOURCES = -5;
constexpr cl_int CL_OUT_OF_HOST_MEMORY = -6;
constexpr cl_int CL_BUILD_PROGRAM_FAILURE = -11;
constexpr cl_int CL_INVALID_BUFFER_SIZE = -61;
constexpr cl_int CL_PLATFORM_NOT_FOUND_KHR = -1001;

constexpr cl_bool CL_FALSE = 0, CL_TRUE = 1;

constexpr cl_uint CL_PLATFORM_VERSION = 0x0901, CL_PLATFORM_NAME = 0x0902, CL_PLATFORM_VENDOR = 0x0903;

constexpr cl_bitfield CL_DEVICE_TYPE_CPU = 1 << 1, CL_DEVICE_TYPE_GPU = 1 << 2, CL_DEVICE_TYPE_ACCELERATOR = 1 << 3,
                      CL_DEVICE_TYPE_ALL = 0xFFFFFFFF;
constexpr cl_uint CL_DEVICE_TYPE = 0x1000, CL_DEVICE_MAX_COMPUTE_UNITS = 0x1002, CL_DEVICE_MAX_WORK_GROUP_SIZE = 0x1004,
                  CL_DEVICE_MAX_WORK_ITEM_SIZES = 0x1005, CL_DEVICE_MAX_CLOCK_FREQUENCY = 0x100C,
                  CL_DEVICE_MAX_MEM_ALLOC_SIZE = 0x1010, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE = 0x101E,
                  CL_DEVICE_GLOBAL_MEM_SIZE = 0x101F, CL_DEVICE_LOCAL_MEM_SIZE = 0x1023,
                  CL_DEVICE_ENDIAN_LITTLE = 0x1026, CL_DEVICE_AVAILABLE = 0x1027, CL_DEVICE_COMPILER_AVAILABLE = 0x1028,
                  CL_DEVICE_NAME = 0x102B, CL_DEVICE_VENDOR = 0x102C, CL_DRIVER_VERSION = 0x102D, CL_DEVICE_VERSION = 0x102F,
                  CL_DEVICE_EXTENSIONS = 0x1030, CL_DEVICE_PLATFORM = 0x1031, CL_DEVICE_SINGLE_FP_CONFIG = 0x101B;
constexpr cl_bitfield CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT = 1 << 7;

constexpr cl_uint CL_CONTEXT_REFERENCE_COUNT = 0x1080, CL_CONTEXT_DEVICES = 0x1081;
constexpr cl_context_properties CL_CONTEXT_PLATFORM = 0x1084;
constexpr cl_uint CL_QUEUE_CONTEXT = 0x1090, CL_QUEUE_DEVICE = 0x1091, CL_QUEUE_REFERENCE_COUNT = 0x1092,
                  CL_QUEUE_PROPERTIES = 0x1093;
constexpr cl_bitfield CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE = 1 << 0, CL_QUEUE_PROFILING_ENABLE = 1 << 1;

constexpr cl_bitfield CL_MEM_READ_WRITE = 1 << 0, CL_MEM_READ_ONLY = 1 << 2, CL_MEM_ALLOC_HOST_PTR = 1 << 4;
constexpr cl_bitfield CL_MAP_WRITE = 1 << 1;
constexpr cl_uint CL_MEM_TYPE = 0x1100, CL_MEM_SIZE = 0x1102, CL_MEM_REFERENCE_COUNT = 0x1105, CL_MEM_CONTEXT = 0x1106;
constexpr cl_uint CL_MEM_OBJECT_BUFFER = 0x10F0;

constexpr cl_uint CL_PROGRAM_NUM_DEVICES = 0x1162, CL_PROGRAM_DEVICES = 0x1163, CL_PROGRAM_BINARY_SIZES = 0x1165, CL_PROGRAM_BINARIES = 0x1166, CL_PROGRAM_BUILD_LOG = 0x1183;
constexpr cl_uint CL_KERNEL_WORK_GROUP_SIZE = 0x11B0, CL_KERNEL_LOCAL_MEM_SIZE = 0x11B2;
constexpr cl_uint CL_PROFILING_COMMAND_START = 0x1282, CL_PROFILING_COMMAND_END = 0x1283;
constexpr cl_uint CL_EVENT_COMMAND_EXECUTION_STATUS = 0x11D3;
constexpr cl_int CL_COMPLETE = 0;

// X(name, place in the ICD dispatch table, result, parameters)
#define HPC_CL_FUNCTIONS(X)                                                                                              \
    X(clGetPlatformIDs, 0, cl_int, (cl_uint, cl_platform_id*, cl_uint*))                                                 \
    X(clGetPlatformInfo, 1, cl_int, (cl_platform_id, cl_uint, size_t, void*, size_t*))                                   \
    X(clGetDeviceIDs, 2, cl_int, (cl_platform_id, cl_bitfield, cl_uint, cl_device_id*, cl_uint*))                        \
    X(clGetDeviceInfo, 3, cl_int, (cl_device_id, cl_uint, size_t, void*, size_t*))                                       \
    X(clCreateContext, 4, cl_context,                                                                                    \
      (const cl_context_properties*, cl_uint, const cl_device_id*, void (*)(const char*, const void*, size_t, void*),    \
       void*, cl_int*))                                                                                                  \
    X(clRetainContext, 6, cl_int, (cl_context))                                                                          \
    X(clReleaseContext, 7, cl_int, (cl_context))                                                                         \
    X(clGetContextInfo, 8, cl_int, (cl_context, cl_uint, size_t, void*, size_t*))                                        \
    X(clCreateCommandQueue, 9, cl_command_queue, (cl_context, cl_device_id, cl_bitfield, cl_int*))                       \
    X(clRetainCommandQueue, 10, cl_int, (cl_command_queue))                                                              \
    X(clReleaseCommandQueue, 11, cl_int, (cl_command_queue))                                                             \
    X(clGetCommandQueueInfo, 12, cl_int, (cl_command_queue, cl_uint, size_t, void*, size_t*))                            \
    X(clCreateBuffer, 14, cl_mem, (cl_context, cl_bitfield, size_t, void*, cl_int*))                                     \
    X(clRetainMemObject, 17, cl_int, (cl_mem))                                                                           \
    X(clReleaseMemObject, 18, cl_int, (cl_mem))                                                                          \
    X(clGetMemObjectInfo, 20, cl_int, (cl_mem, cl_uint, size_t, void*, size_t*))                                         \
    X(clCreateProgramWithSource, 26, cl_program, (cl_context, cl_uint, const char**, const size_t*, cl_int*))            \
    X(clCreateProgramWithBinary, 27, cl_program,                                                                         \
      (cl_context, cl_uint, const cl_device_id*, const size_t*, const unsigned char**, cl_int*, cl_int*))                \
    X(clRetainProgram, 28, cl_int, (cl_program))                                                                         \
    X(clReleaseProgram, 29, cl_int, (cl_program))                                                                        \
    X(clBuildProgram, 30, cl_int,                                                                                        \
      (cl_program, cl_uint, const cl_device_id*, const char*, void (*)(cl_program, void*), void*))                       \
    X(clGetProgramInfo, 32, cl_int, (cl_program, cl_uint, size_t, void*, size_t*))                                       \
    X(clGetProgramBuildInfo, 33, cl_int, (cl_program, cl_device_id, cl_uint, size_t, void*, size_t*))                    \
    X(clCreateKernel, 34, cl_kernel, (cl_program, const char*, cl_int*))                                                 \
    X(clRetainKernel, 36, cl_int, (cl_kernel))                                                                           \
    X(clReleaseKernel, 37, cl_int, (cl_kernel))                                                                          \
    X(clSetKernelArg, 38, cl_int, (cl_kernel, cl_uint, size_t, const void*))                                             \
    X(clGetKernelWorkGroupInfo, 40, cl_int, (cl_kernel, cl_device_id, cl_uint, size_t, void*, size_t*))                  \
    X(clWaitForEvents, 41, cl_int, (cl_uint, const cl_event*))                                                           \
    X(clGetEventInfo, 42, cl_int, (cl_event, cl_uint, size_t, void*, size_t*))                                           \
    X(clRetainEvent, 43, cl_int, (cl_event))                                                                             \
    X(clReleaseEvent, 44, cl_int, (cl_event))                                                                            \
    X(clGetEventProfilingInfo, 45, cl_int, (cl_event, cl_uint, size_t, void*, size_t*))                                  \
    X(clFlush, 46, cl_int, (cl_command_queue))                                                                           \
    X(clFinish, 47, cl_int, (cl_command_queue))                                                                          \
    X(clEnqueueReadBuffer, 48, cl_int,                                                                                   \
      (cl_command_queue, cl_mem, cl_bool, size_t, size_t, void*, cl_uint, const cl_event*, cl_event*))                   \
    X(clEnqueueWriteBuffer, 49, cl_int,                                                                                  \
      (cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void*, cl_uint, const cl_event*, cl_event*))             \
    X(clEnqueueCopyBuffer, 50, cl_int,                                                                                   \
      (cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint, const cl_event*, cl_event*))                   \
    X(clEnqueueMapBuffer, 56, void*,                                                                                     \
      (cl_command_queue, cl_mem, cl_bool, cl_bitfield, size_t, size_t, cl_uint, const cl_event*, cl_event*, cl_int*))    \
    X(clEnqueueUnmapMemObject, 58, cl_int, (cl_command_queue, cl_mem, void*, cl_uint, const cl_event*, cl_event*))       \
    X(clEnqueueNDRangeKernel, 59, cl_int,                                                                                \
      (cl_command_queue, cl_kernel, cl_uint, const size_t*, const size_t*, const size_t*, cl_uint, const cl_event*,      \
       cl_event*))                                                                                                       \
    X(clEnqueueFillBuffer, 102, cl_int,                                                                                  \
      (cl_command_queue, cl_mem, const void*, size_t, size_t, size_t, cl_uint, const cl_event*, cl_event*))

struct Api {
#define HPC_CL_MEMBER(name, place, result, parameters) result(*name) parameters = nullptr;
    HPC_CL_FUNCTIONS(HPC_CL_MEMBER)
#undef HPC_CL_MEMBER
};

// "CL_OUT_OF_RESOURCES (-5)".
std::string error_name(cl_int code);

// Throws hpc::Error: HPC_OUT_OF_MEMORY where the device ran out of memory, else HPC_DEVICE_ERROR.
[[noreturn]] void fail_call(const char* call, cl_int code);

// ---- Fault injection and counting (test builds) -------------------------------------------------------------------

#if defined(HPC_TESTING)
namespace injection {
// The call that counts this down to 0 is not made and returns CL_OUT_OF_RESOURCES, like the `failures` - 1 calls behind it.
extern std::atomic<int64_t> calls_until_failure;
extern std::atomic<int64_t> failures;
extern std::atomic<int64_t> calls;       // made or failed since the program began
extern std::atomic<int64_t> references;  // created and retained, not released
extern std::atomic<int64_t> launches;    // of kernels, made or failed since the program began
extern std::atomic<bool> no_processors;  // devices opened from here on count as something else, with its tunables
}  // namespace injection
inline void count_launch(const char* call) {
    if (std::strcmp(call, "clEnqueueNDRangeKernel") == 0) injection::launches.fetch_add(1, std::memory_order_relaxed);
}
inline bool injected_failure() {
    injection::calls.fetch_add(1, std::memory_order_relaxed);
    const int64_t left = injection::calls_until_failure.fetch_sub(1, std::memory_order_relaxed);
    return left <= 1 && left > 1 - injection::failures.load(std::memory_order_relaxed);
}
inline void count_reference(int change) { injection::references.fetch_add(change, std::memory_order_relaxed); }
#else
inline void count_launch(const char*) {}
inline bool injected_failure() { return false; }
inline void count_reference(int) {}
#endif

// ---- Calls -------------------------------------------------------------------------------------------------------

// For calls whose failure has a meaning of its own.
template <class... P, class... A>
cl_int attempt(cl_int (*function)(P...), A... arguments) {
    return injected_failure() ? CL_OUT_OF_RESOURCES : function(arguments...);
}

template <class... P, class... A>
void call(const char* name, cl_int (*function)(P...), A... arguments) {
    count_launch(name);
    if (const cl_int code = attempt(function, arguments...); code != CL_SUCCESS) fail_call(name, code);
}

template <class R, class... P, class... A>
R create(const char* name, R (*function)(P...), A... arguments) {
    cl_int code = CL_OUT_OF_RESOURCES;
    R object = injected_failure() ? nullptr : function(arguments..., &code);
    if (code != CL_SUCCESS) fail_call(name, code);
    return object;
}

#define HPC_CL(api, function, ...) ::hpc::opencl::call(#function, (api).function, __VA_ARGS__)
#define HPC_CL_CREATE(api, function, ...) ::hpc::opencl::create(#function, (api).function, __VA_ARGS__)

// ---- Objects -----------------------------------------------------------------------------------------------------

template <class T>
struct RefTraits;
#define HPC_CL_REF(T, name)                                                     \
    template <>                                                                 \
    struct RefTraits<T> {                                                       \
        static constexpr const char* kRetain = "clRetain" #name;                \
        static auto retain(const Api& api) { return api.clRetain##name; }       \
        static auto release(const Api& api) { return api.clRelease##name; }     \
    };
HPC_CL_REF(cl_context, Context)
HPC_CL_REF(cl_command_queue, CommandQueue)
HPC_CL_REF(cl_mem, MemObject)
HPC_CL_REF(cl_program, Program)
HPC_CL_REF(cl_kernel, Kernel)
HPC_CL_REF(cl_event, Event)
#undef HPC_CL_REF

// One reference to an OpenCL object. A failing release leaves nothing that could be done about it: it is ignored.
template <class T>
class Ref {
public:
    Ref() = default;
    // Takes over the reference that its creation gave.
    Ref(const Api& api, T object) : api_(&api), object_(object) {
        if (object_) count_reference(1);
    }
    static Ref retained(const Api& api, T object) {
        call(RefTraits<T>::kRetain, RefTraits<T>::retain(api), object);
        return Ref(api, object);
    }
    Ref(Ref&& other) noexcept : api_(other.api_), object_(std::exchange(other.object_, nullptr)) {}
    Ref& operator=(Ref&& other) noexcept {
        std::swap(api_, other.api_);
        std::swap(object_, other.object_);
        return *this;
    }
    ~Ref() {
        if (!object_) return;
        RefTraits<T>::release(*api_)(object_);
        count_reference(-1);
    }
    T get() const { return object_; }
    explicit operator bool() const { return object_ != nullptr; }

private:
    const Api* api_ = nullptr;
    T object_ = nullptr;
};

// ---- Queries -----------------------------------------------------------------------------------------------------

template <class V, class T, class Function>
V query(const char* name, Function function, T object, cl_uint what) {
    V value{};
    call(name, function, object, what, sizeof value, static_cast<void*>(&value), static_cast<size_t*>(nullptr));
    return value;
}

template <class T, class Function>
std::string query_text(const char* name, Function function, T object, cl_uint what) {
    size_t size = 0;
    call(name, function, object, what, size_t{0}, static_cast<void*>(nullptr), &size);
    std::string text(size, '\0');
    if (size) call(name, function, object, what, size, static_cast<void*>(text.data()), static_cast<size_t*>(nullptr));
    while (!text.empty() && (text.back() == '\0' || text.back() == ' ')) text.pop_back();
    return text;
}

#define HPC_CL_QUERY(V, api, function, object, what) ::hpc::opencl::query<V>(#function, (api).function, object, what)
#define HPC_CL_TEXT(api, function, object, what) ::hpc::opencl::query_text(#function, (api).function, object, what)

// ---- Discovery (loader.cpp) --------------------------------------------------------------------------------------

struct PlatformInfo {
    cl_platform_id id;
    const Api* api;
    std::string name, version, library;
};

struct DeviceInfo {
    cl_device_id id = nullptr;
    const Api* api = nullptr;
    cl_platform_id platform = nullptr;
    std::string name, vendor, driver, version, platform_name, library;
    cl_bitfield type = 0;
    cl_uint compute_units = 0, clock_megahertz = 0;
    size_t work_group = 0;
    size_t work_items[3] = {0, 0, 0};
    cl_ulong memory = 0, largest_buffer = 0, local_memory = 0;
    bool fp64 = false, rounded_divide = false;
    std::string lacks;  // what a network needs and this device has not; "" if it will do
};

struct Discovery {
    std::vector<PlatformInfo> platforms;
    std::vector<DeviceInfo> devices;
    std::string report;  // what was looked for and found, a line each
};

// Names of libraries, in order of preference.
struct Places {
    std::vector<std::string> loaders, vendors;
};
Places default_places();

// Libraries are opened once per process, platforms and devices are listed anew by each call. Throws only when a driver
// fails on the way; an empty list is an answer.
Discovery discover(const Places& places = default_places());

DeviceInfo device_info(const Api& api, cl_platform_id platform, cl_device_id device);

// The entry points for an object that a caller made: the loader's, or those of the platform that the object names.
const Api& api_of(const Discovery& discovery, const void* object);

// One device, one paragraph.
std::string describe(const DeviceInfo& device);

}  // namespace hpc::opencl
