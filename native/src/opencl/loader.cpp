// Finding OpenCL at run time (see api.h): the ICD loader by its public names; where there is none, or no platform is
// registered with it (containers often carry a vendor's library without its .icd file), the vendors' libraries
// themselves, asked for what the loader would have asked: their platforms, whose first word leads to the dispatch table.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>

#include "opencl/api.h"
#include "opencl/kernels.h"

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace hpc::opencl {

#if defined(HPC_TESTING)
namespace injection {
std::atomic<int64_t> calls_until_failure{0};
std::atomic<int64_t> failures{0};
std::atomic<int64_t> calls{0};
std::atomic<int64_t> references{0};
std::atomic<int64_t> launches{0};
std::atomic<bool> no_processors{false};
}  // namespace injection
#endif

namespace {

// ---- The system's loader -----------------------------------------------------------------------------------------

using Library = void*;

#if defined(_WIN32)

Library open_library(const char* file, std::string& words) {
    DWORD previous = 0;
    SetThreadErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX, &previous);
    const HMODULE module = LoadLibraryA(file);
    const DWORD error = module ? 0 : GetLastError();
    SetThreadErrorMode(previous, nullptr);
    if (!module) words = "error " + std::to_string(error);
    return reinterpret_cast<Library>(module);
}

void* find_symbol(Library library, const char* name) {
    const FARPROC symbol = GetProcAddress(reinterpret_cast<HMODULE>(library), name);
    void* address = nullptr;
    static_assert(sizeof address == sizeof symbol);
    std::memcpy(&address, &symbol, sizeof address);
    return address;
}

#else

Library open_library(const char* file, std::string& words) {
    const Library library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* error = dlerror();
        words = error ? error : "the loader gave no reason";
        // The loader often begins with the name, which stands before its words in the report already.
        const size_t length = std::strlen(file);
        if (words.compare(0, length, file) == 0 && words.compare(length, 2, ": ") == 0) words.erase(0, length + 2);
    }
    return library;
}

void* find_symbol(Library library, const char* name) { return dlsym(library, name); }

#endif

template <class Function>
void put(Function& function, const void* address) {
    static_assert(sizeof function == sizeof address);
    std::memcpy(&function, &address, sizeof function);
}

// Fills an Api from a library's exports; returns the name of the first function that is missing, or null.
const char* fill_from_exports(Api& api, Library library) {
#define HPC_CL_EXPORT(name, place, result, parameters)          \
    {                                                           \
        const void* address = find_symbol(library, #name);      \
        if (!address) return #name;                             \
        put(api.name, address);                                 \
    }
    HPC_CL_FUNCTIONS(HPC_CL_EXPORT)
#undef HPC_CL_EXPORT
    return nullptr;
}

const void* const* dispatch_table(const void* object) {
    const void* const* table = nullptr;
    std::memcpy(&table, object, sizeof table);
    return table;
}

const char* fill_from_platform(Api& api, cl_platform_id platform) {
    const void* const* table = dispatch_table(platform);
    if (!table) return "a dispatch table";
#define HPC_CL_DISPATCH(name, place, result, parameters) \
    if (!table[place]) return #name;                     \
    put(api.name, table[place]);
    HPC_CL_FUNCTIONS(HPC_CL_DISPATCH)
#undef HPC_CL_DISPATCH
    return nullptr;
}

// ---- Libraries, once per process ---------------------------------------------------------------------------------

struct Opened {
    Library library = nullptr;
    std::unique_ptr<Api> api;  // of a loader
    std::string words;         // why it does not serve
};

// Never closed: a driver's threads outlive what the last device frees.
struct Libraries {
    std::mutex mutex;
    std::map<std::string, Opened> loaders, vendors;
    std::map<cl_platform_id, std::unique_ptr<Api>> platforms;  // of vendors' libraries that were opened directly
};

Libraries& libraries() {
    static Libraries* const all = new Libraries;
    return *all;
}

const Opened& open_loader(const std::string& file) {
    Opened& opened = libraries().loaders[file];
    if (opened.library || !opened.words.empty()) return opened;
    opened.library = open_library(file.c_str(), opened.words);
    if (!opened.library) return opened;
    auto api = std::make_unique<Api>();
    if (const char* missing = fill_from_exports(*api, opened.library)) {
        opened.words = std::string("has no ") + missing + " (OpenCL 1.2 is needed)";
    } else {
        opened.api = std::move(api);
    }
    return opened;
}

const Opened& open_vendor(const std::string& file) {
    Opened& opened = libraries().vendors[file];
    if (!opened.library && opened.words.empty()) opened.library = open_library(file.c_str(), opened.words);
    return opened;
}

// ---- Platforms and devices ---------------------------------------------------------------------------------------

using GetPlatforms = cl_int (*)(cl_uint, cl_platform_id*, cl_uint*);

// An empty list where the answer is that there are none.
std::vector<cl_platform_id> platforms_of(const char* name, GetPlatforms get) {
    cl_uint count = 0;
    const cl_int code = attempt(get, cl_uint{0}, nullptr, &count);
    if (code == CL_PLATFORM_NOT_FOUND_KHR || (code == CL_SUCCESS && count == 0)) return {};
    if (code != CL_SUCCESS) fail_call(name, code);
    std::vector<cl_platform_id> platforms(count);
    call(name, get, count, platforms.data(), nullptr);
    return platforms;
}

PlatformInfo platform_info(const Api& api, cl_platform_id id, const std::string& library) {
    return {id, &api, HPC_CL_TEXT(api, clGetPlatformInfo, id, CL_PLATFORM_NAME),
            HPC_CL_TEXT(api, clGetPlatformInfo, id, CL_PLATFORM_VERSION), library};
}

void add_devices(Discovery& found, const PlatformInfo& platform) {
    const Api& api = *platform.api;
    cl_uint count = 0;
    const cl_int code = attempt(api.clGetDeviceIDs, platform.id, CL_DEVICE_TYPE_ALL, cl_uint{0}, nullptr, &count);
    if (code != CL_SUCCESS && code != CL_DEVICE_NOT_FOUND) fail_call("clGetDeviceIDs", code);
    found.report += "platform: " + platform.name + ", " + platform.version + " (" + platform.library + ")\n";
    if (code == CL_DEVICE_NOT_FOUND || count == 0) {
        found.report += "  no device\n";
        return;
    }
    std::vector<cl_device_id> ids(count);
    HPC_CL(api, clGetDeviceIDs, platform.id, CL_DEVICE_TYPE_ALL, count, ids.data(), nullptr);
    for (const cl_device_id id : ids) {
        DeviceInfo device = device_info(api, platform.id, id);
        device.library = platform.library;
        found.report += "  device " + std::to_string(found.devices.size()) + ": " + describe(device);
        found.devices.push_back(std::move(device));
    }
}

// The number after "OpenCL " in a version text, times 100: 102 for 1.2.
int version_number(const std::string& text) {
    int major = 0, minor = 0;
    return std::sscanf(text.c_str(), "OpenCL %d.%d", &major, &minor) == 2 ? major * 100 + minor : 0;
}

std::string sized(cl_ulong bytes) {
    char text[32];
    if (bytes >= (cl_ulong{1} << 30)) {
        std::snprintf(text, sizeof text, "%.1f GiB", static_cast<double>(bytes) / (1 << 30));
    } else if (bytes >= (cl_ulong{1} << 20)) {
        std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
    } else {
        std::snprintf(text, sizeof text, "%llu KiB", static_cast<unsigned long long>(bytes >> 10));
    }
    return text;
}

}  // namespace

Places default_places() {
#if defined(_WIN32)
    return {{"OpenCL.dll"}, {}};
#else
    return {{"libOpenCL.so.1", "libOpenCL.so"}, {"libnvidia-opencl.so.1", "libamdocl64.so", "libigdrcl.so", "libpocl.so.2"}};
#endif
}

Discovery discover(const Places& places) {
    Discovery found;
    Libraries& all = libraries();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (const std::string& file : places.loaders) {
        const Opened& loader = open_loader(file);
        found.report += file + ": " + (loader.api ? "opened" : loader.words) + "\n";
        if (!loader.api) continue;
        for (const cl_platform_id id : platforms_of("clGetPlatformIDs", loader.api->clGetPlatformIDs))
            found.platforms.push_back(platform_info(*loader.api, id, file));
        if (found.platforms.empty()) found.report += file + ": no platform is registered with it\n";
        break;
    }
    if (found.platforms.empty()) {
        for (const std::string& file : places.vendors) {
            const Opened& vendor = open_vendor(file);
            found.report += file + ": " + (vendor.library ? "opened" : vendor.words) + "\n";
            if (!vendor.library) continue;
            void* (*extension)(const char*) = nullptr;
            GetPlatforms get = nullptr;
            put(extension, find_symbol(vendor.library, "clGetExtensionFunctionAddress"));
            if (extension) put(get, extension("clIcdGetPlatformIDsKHR"));
            if (!get) put(get, find_symbol(vendor.library, "clIcdGetPlatformIDsKHR"));
            if (!get) {
                found.report += file + ": has no clIcdGetPlatformIDsKHR\n";
                continue;
            }
            const std::vector<cl_platform_id> ids = platforms_of("clIcdGetPlatformIDsKHR", get);
            if (ids.empty()) found.report += file + ": no platform\n";
            for (const cl_platform_id id : ids) {
                std::unique_ptr<Api>& api = all.platforms[id];
                if (!api) {
                    auto filled = std::make_unique<Api>();
                    if (const char* missing = fill_from_platform(*filled, id)) {
                        found.report += file + ": has no " + missing + " (OpenCL 1.2 is needed)\n";
                        continue;
                    }
                    api = std::move(filled);
                }
                found.platforms.push_back(platform_info(*api, id, file));
            }
        }
    }
    for (const PlatformInfo& platform : found.platforms) add_devices(found, platform);
    if (found.platforms.empty()) {
        found.report += "no OpenCL platform was found\n";
    } else if (found.devices.empty()) {
        found.report += "no OpenCL device was found\n";
    }
    return found;
}

DeviceInfo device_info(const Api& api, cl_platform_id platform, cl_device_id id) {
    DeviceInfo info;
    info.id = id;
    info.api = &api;
    info.platform = platform;
    info.name = HPC_CL_TEXT(api, clGetDeviceInfo, id, CL_DEVICE_NAME);
    info.vendor = HPC_CL_TEXT(api, clGetDeviceInfo, id, CL_DEVICE_VENDOR);
    info.driver = HPC_CL_TEXT(api, clGetDeviceInfo, id, CL_DRIVER_VERSION);
    info.version = HPC_CL_TEXT(api, clGetDeviceInfo, id, CL_DEVICE_VERSION);
    info.platform_name = HPC_CL_TEXT(api, clGetPlatformInfo, platform, CL_PLATFORM_NAME);
    info.type = HPC_CL_QUERY(cl_bitfield, api, clGetDeviceInfo, id, CL_DEVICE_TYPE);
    info.compute_units = HPC_CL_QUERY(cl_uint, api, clGetDeviceInfo, id, CL_DEVICE_MAX_COMPUTE_UNITS);
    info.clock_megahertz = HPC_CL_QUERY(cl_uint, api, clGetDeviceInfo, id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info.work_group = HPC_CL_QUERY(size_t, api, clGetDeviceInfo, id, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    // A device may tell of more than three dimensions.
    size_t items[16] = {};
    HPC_CL(api, clGetDeviceInfo, id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, static_cast<void*>(items), nullptr);
    std::memcpy(info.work_items, items, sizeof info.work_items);
    info.memory = HPC_CL_QUERY(cl_ulong, api, clGetDeviceInfo, id, CL_DEVICE_GLOBAL_MEM_SIZE);
    info.largest_buffer = HPC_CL_QUERY(cl_ulong, api, clGetDeviceInfo, id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info.local_memory = HPC_CL_QUERY(cl_ulong, api, clGetDeviceInfo, id, CL_DEVICE_LOCAL_MEM_SIZE);
    const std::string extensions = HPC_CL_TEXT(api, clGetDeviceInfo, id, CL_DEVICE_EXTENSIONS);
    info.fp64 = extensions.find("cl_khr_fp64") != std::string::npos;
    info.rounded_divide =
        (HPC_CL_QUERY(cl_bitfield, api, clGetDeviceInfo, id, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT) != 0;

    auto lack = [&](bool lacking, const std::string& what) {
        if (!lacking) return;
        if (!info.lacks.empty()) info.lacks += ", ";
        info.lacks += what;
    };
    lack(!HPC_CL_QUERY(cl_bool, api, clGetDeviceInfo, id, CL_DEVICE_AVAILABLE), "being available");
    lack(!HPC_CL_QUERY(cl_bool, api, clGetDeviceInfo, id, CL_DEVICE_COMPILER_AVAILABLE), "a compiler");
    lack(!HPC_CL_QUERY(cl_bool, api, clGetDeviceInfo, id, CL_DEVICE_ENDIAN_LITTLE), "little-endian memory");
    lack(version_number(info.version) < 102, "OpenCL 1.2");
    lack(info.work_group < Limits::kLeastGroup,
         "work-groups of " + std::to_string(Limits::kLeastGroup) + " (it has " + std::to_string(info.work_group) + ")");
    lack(info.work_items[0] < std::min<uint64_t>(info.work_group, kGroup),
         "as many work-items in the first dimension as in a work-group (it has " + std::to_string(info.work_items[0]) + ")");
    lack(info.local_memory < Limits::kLeastLocalBytes,
         sized(Limits::kLeastLocalBytes) + " of local memory (it has " + sized(info.local_memory) + ")");
    return info;
}

const Api& api_of(const Discovery& discovery, const void* object) {
    Libraries& all = libraries();
    std::lock_guard<std::mutex> lock(all.mutex);
    for (const PlatformInfo& platform : discovery.platforms) {
        // The loader's functions find their way from the object; with a library that was opened directly it must be its own.
        const auto direct = all.platforms.find(platform.id);
        const bool own = direct != all.platforms.end() && direct->second.get() == platform.api;
        if (!own || dispatch_table(platform.id) == dispatch_table(object)) return *platform.api;
    }
    throw Error(HPC_NOT_AVAILABLE, "the caller's OpenCL object belongs to no platform that was found\n" + discovery.report);
}

std::string describe(const DeviceInfo& device) {
    const char* type = device.type & CL_DEVICE_TYPE_GPU           ? "GPU"
                       : device.type & CL_DEVICE_TYPE_ACCELERATOR ? "accelerator"
                       : device.type & CL_DEVICE_TYPE_CPU         ? "CPU"
                                                                  : "custom";
    std::string text = device.name + " (" + type + ")\n";
    text += "    driver: " + device.driver + ", " + device.version + ", " + device.vendor + "\n";
    text += "    memory: " + sized(device.memory) + ", largest buffer " + sized(device.largest_buffer) + ", local " +
            sized(device.local_memory) + "\n";
    text += "    limits: " + std::to_string(device.compute_units) + " compute units at " + std::to_string(device.clock_megahertz) +
            " MHz, work-groups of " + std::to_string(device.work_group) + (device.fp64 ? ", double precision" : ", no double precision") + "\n";
    if (!device.lacks.empty()) text += "    not usable, it lacks: " + device.lacks + "\n";
    return text;
}

// ---- Errors ------------------------------------------------------------------------------------------------------

std::string error_name(cl_int code) {
    static const std::map<cl_int, const char*> names = {
        {-1, "CL_DEVICE_NOT_FOUND"},
        {-2, "CL_DEVICE_NOT_AVAILABLE"},
        {-3, "CL_COMPILER_NOT_AVAILABLE"},
        {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {-5, "CL_OUT_OF_RESOURCES"},
        {-6, "CL_OUT_OF_HOST_MEMORY"},
        {-7, "CL_PROFILING_INFO_NOT_AVAILABLE"},
        {-8, "CL_MEM_COPY_OVERLAP"},
        {-11, "CL_BUILD_PROGRAM_FAILURE"},
        {-12, "CL_MAP_FAILURE"},
        {-13, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
        {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
        {-30, "CL_INVALID_VALUE"},
        {-31, "CL_INVALID_DEVICE_TYPE"},
        {-32, "CL_INVALID_PLATFORM"},
        {-33, "CL_INVALID_DEVICE"},
        {-34, "CL_INVALID_CONTEXT"},
        {-35, "CL_INVALID_QUEUE_PROPERTIES"},
        {-36, "CL_INVALID_COMMAND_QUEUE"},
        {-38, "CL_INVALID_MEM_OBJECT"},
        {-42, "CL_INVALID_BINARY"},
        {-43, "CL_INVALID_BUILD_OPTIONS"},
        {-44, "CL_INVALID_PROGRAM"},
        {-45, "CL_INVALID_PROGRAM_EXECUTABLE"},
        {-46, "CL_INVALID_KERNEL_NAME"},
        {-47, "CL_INVALID_KERNEL_DEFINITION"},
        {-48, "CL_INVALID_KERNEL"},
        {-49, "CL_INVALID_ARG_INDEX"},
        {-50, "CL_INVALID_ARG_VALUE"},
        {-51, "CL_INVALID_ARG_SIZE"},
        {-52, "CL_INVALID_KERNEL_ARGS"},
        {-53, "CL_INVALID_WORK_DIMENSION"},
        {-54, "CL_INVALID_WORK_GROUP_SIZE"},
        {-55, "CL_INVALID_WORK_ITEM_SIZE"},
        {-56, "CL_INVALID_GLOBAL_OFFSET"},
        {-57, "CL_INVALID_EVENT_WAIT_LIST"},
        {-58, "CL_INVALID_EVENT"},
        {-59, "CL_INVALID_OPERATION"},
        {-61, "CL_INVALID_BUFFER_SIZE"},
        {-63, "CL_INVALID_GLOBAL_WORK_SIZE"},
        {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    };
    const auto found = names.find(code);
    return (found == names.end() ? std::string("an error of the driver's own") : std::string(found->second)) + " (" +
           std::to_string(code) + ")";
}

void fail_call(const char* name, cl_int code) {
    const bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY;
    fail(memory ? HPC_OUT_OF_MEMORY : HPC_DEVICE_ERROR, "OpenCL: %s failed: %s", name, error_name(code).c_str());
}

}  // namespace hpc::opencl
