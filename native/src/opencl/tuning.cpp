// Reading, writing and measuring which tiles a device takes (see tuning.h).
#include "opencl/tuning.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <vector>

#include "opencl/device.h"

namespace hpc::opencl {

namespace {

constexpr const char* kFirstLine = "hpcnet tuning 1";
constexpr const char* kLastLine = "end";
constexpr const char* kFormNames[] = {"NN", "NT", "TN"};
constexpr uint64_t kLargestFile = 1 << 16;
constexpr uint64_t kLargestExtent = 1 << 20;
constexpr uint64_t kErrorGroups = 256;  // work-groups that look for the largest error

static_assert(HPC_SIZE_COUNT == kSizeClasses && std::size(kSizeClassNames) == kSizeClasses);
static_assert(static_cast<uint64_t>(SizeClass::Huge) == HPC_SIZE_HUGE && static_cast<uint64_t>(SizeClass::Tall) == HPC_SIZE_TALL);

std::string device_line(const DeviceInfo& device) {
    std::string line = "device " + device.platform_name + ", " + device.name + ", " + device.vendor + ", " + device.version + ", " + device.driver;
    for (char& c : line)
        if (c == '\n' || c == '\r') c = ' ';
    return line;
}

template <class Names>
int number_of(const Names& names, const std::string& name) {
    int i = 0;
    for (const auto& each : names) {
        if (name == each) return i;
        i++;
    }
    return -1;
}

int tile_of(const std::string& name) {
    for (uint64_t i = 0; i < kGemmTileCount; i++)
        if (name == kGemmTiles[i].name) return static_cast<int>(i);
    return -1;
}

}  // namespace

std::filesystem::path tuning_file(const DeviceInfo& device, const std::filesystem::path& folder) {
    return folder.empty() ? folder : folder / (digest(device_line(device)) + ".tuning");
}

std::string format_tuning(const DeviceInfo& device, const Limits& limits) {
    std::string text = std::string(kFirstLine) + "\n" + device_line(device) + "\n";
    for (uint64_t form = 0; form < 3; form++) {
        for (uint64_t size = 0; size < kSizeClasses; size++)
            text += std::string(kFormNames[form]) + " " + kSizeClassNames[size] + " " + kGemmTiles[limits.tiles[form][size]].name + "\n";
    }
    return text + kLastLine + "\n";
}

bool apply_tuning(const std::string& text, const DeviceInfo& device, Limits& limits, std::string& trouble) {
    Limits found = limits;
    std::string line;
    size_t at = 0;
    // A line that does not end is none: the file was cut short.
    const auto next = [&] {
        const size_t end = text.find('\n', at);
        if (end == std::string::npos) return false;
        line = text.substr(at, end - at);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        at = end + 1;
        return true;
    };
    trouble = "is not a tuning file of this version";
    if (!next() || line != kFirstLine) return false;
    trouble = "belongs to another device or driver";
    if (!next() || line != device_line(device)) return false;
    trouble = "ends too early";
    while (next()) {
        if (line == kLastLine) {
            limits = found;
            return true;
        }
        const size_t first = line.find(' '), second = line.find(' ', first == std::string::npos ? first : first + 1);
        int form = -1, size = -1, tile = -1;
        if (second != std::string::npos) {
            form = number_of(kFormNames, line.substr(0, first));
            size = number_of(kSizeClassNames, line.substr(first + 1, second - first - 1));
            tile = tile_of(line.substr(second + 1));
        }
        if (form < 0 || size < 0 || tile < 0 || !limits.runs(kGemmTiles[tile])) {
            trouble = "has a line that says nothing here: '" + line.substr(0, 80) + "'";
            return false;
        }
        found.tiles[form][size] = static_cast<uint8_t>(tile);
    }
    return false;
}

std::string read_tuning(const DeviceInfo& device, const std::filesystem::path& file, Limits& limits) {
    const std::string defaults = std::string("tuning: none, tiles for ") + kDeviceClassNames[static_cast<uint64_t>(limits.device)] + " devices";
    std::string text;
    if (file.empty() || !read_text(file, kLargestFile, text)) return defaults + "\n";
    const std::u8string name = file.u8string();
    const std::string path(name.begin(), name.end());
    std::string trouble;
    if (apply_tuning(text, device, limits, trouble)) return "tuning: " + path + "\n";
    return defaults + " (" + path + " " + trouble + ")\n";
}

// ---- Measuring -------------------------------------------------------------------------------------------------------

// The matrices of one form and shape, and what the product should be. Has no reference to the device: the device has it.
class ProductBench {
public:
    ProductBench(OpenClDevice& device, Form form, uint64_t m, uint64_t n, uint64_t k)
        : form_(form), m_(m), n_(n), k_(k), a_(memory(device, m * k)), b_(memory(device, k * n)), c_(memory(device, m * n)),
          truth_(memory(device, m * n)), bound_(memory(device, m * n)), worst_(memory(device, kErrorGroups)),
          metrics_(memory(device, sizeof(device_metrics) / 4)) {
        Queue& queue = device.timed_queue();
        queue.fill(metrics_.get(), 0, 0, sizeof(device_metrics));
        fill(device, a_.get(), m * k, 1);
        fill(device, b_.get(), k * n, 2);
        const uint64_t group = device.limits().group;
        Call call(device, {&kProductCheckSource, define("HPC_FORM", static_cast<uint64_t>(form)), "product_truth"},
                  {blocks_of(m * n, group), group}, metrics_.get());
        for (const cl_mem operand : {a_.get(), b_.get(), truth_.get(), bound_.get()}) call.operand(operand);
        for (const cl_ulong extent : {m, n, k}) call.value(extent);
        call.launch(queue);
        queue.finish();
    }

    bool is(Form form, uint64_t m, uint64_t n, uint64_t k) const { return form == form_ && m == m_ && n == n_ && k == k_; }

    // The product, and the largest error of it as a share of what it may be.
    double check(OpenClDevice& device, const GemmPlan& plan) {
        Queue& queue = device.timed_queue();
        queue.fill(c_.get(), 0, 0x7fc00000u, m_ * n_ * 4);  // what is not written is not a number
        multiply(device, plan);
        const uint64_t group = device.limits().group;
        Call call(device, {&kProductCheckSource, define("HPC_FORM", static_cast<uint64_t>(form_)), "product_error"}, {kErrorGroups, group},
                  metrics_.get());
        for (const cl_mem operand : {c_.get(), truth_.get(), bound_.get(), worst_.get()}) call.operand(operand);
        call.value(cl_ulong{m_ * n_});
        call.launch(queue);
        float worst[kErrorGroups];
        queue.read(worst_.get(), 0, worst, sizeof worst);
        return static_cast<double>(*std::max_element(worst, worst + kErrorGroups));
    }

    // How long the device takes, from the beginning of the first launch to the end of the last.
    double multiply(OpenClDevice& device, const GemmPlan& plan) {
        const Limits& limits = device.limits();
        Queue& queue = device.timed_queue();
        const bool cut = plan.splits > 1;
        const uint64_t elements = cut ? plan.cut() * plan.splits * plan.tile->area() : 1;
        if (!parts_ || elements > part_elements_) {
            parts_ = memory(device, elements);
            part_elements_ = elements;
        }
        Call call(device, gemm_kernel(form_, plan, {}, gemm_aligned(form_, m_, n_, k_, 0, 0), limits), gemm_launch(plan, limits), metrics_.get());
        for (const cl_mem operand : {a_.get(), b_.get(), c_.get(), c_.get(), c_.get(), c_.get(), parts_.get()}) call.operand(operand);
        for (const cl_ulong extent : {m_, n_, k_, plan.split_k}) call.value(extent);
        for (const uint64_t number : {plan.whole, plan.splits, plan.strips}) call.value(static_cast<cl_uint>(number));
        for (int i = 0; i < 2; i++) call.value(cl_float{0});
        const Ref<cl_event> first = call.launch(queue);
        Ref<cl_event> last;
        if (cut) {
            Call finish(device, gemm_finish_kernel(plan, {}), gemm_finish_launch(plan, limits), metrics_.get());
            for (const cl_mem operand : {parts_.get(), c_.get(), c_.get(), c_.get(), c_.get()}) finish.operand(operand);
            for (const cl_ulong extent : {m_, n_}) finish.value(extent);
            for (const uint64_t number : {plan.whole, plan.splits}) finish.value(static_cast<cl_uint>(number));
            for (int i = 0; i < 2; i++) finish.value(cl_float{0});
            last = finish.launch(queue);
        }
        queue.finish();
        const double taken = time(device, cut ? last : first, CL_PROFILING_COMMAND_END) - time(device, first, CL_PROFILING_COMMAND_START);
        return std::max(taken, 1.0);
    }

private:
    // One launch and its arguments, as kernels.h has them.
    class Call {
    public:
        Call(OpenClDevice& device, const Kernel& kernel, const Launch& launch, cl_mem metrics)
            : device_(device), kernel_(device.kernel(kernel, launch.local)) {
            geometry_.dimensions = 1;
            geometry_.global[0] = launch.global();
            geometry_.local[0] = launch.local;
            value(metrics);
            value(cl_uint{0});
        }
        template <class T>
        void value(const T& argument) {
            HPC_CL(device_.api(), clSetKernelArg, kernel_.get(), next_++, sizeof argument, static_cast<const void*>(&argument));
        }
        void operand(cl_mem memory) {
            value(memory);
            value(cl_ulong{0});
        }
        Ref<cl_event> launch(Queue& queue) { return queue.launch_timed(kernel_.get(), geometry_); }

    private:
        OpenClDevice& device_;
        Ref<cl_kernel> kernel_;
        Geometry geometry_;
        cl_uint next_ = 0;
    };

    static Ref<cl_mem> memory(OpenClDevice& device, uint64_t elements) {
        return Ref<cl_mem>(device.api(), HPC_CL_CREATE(device.api(), clCreateBuffer, device.context(), CL_MEM_READ_WRITE,
                                                       static_cast<size_t>(elements * 4), static_cast<void*>(nullptr)));
    }

    void fill(OpenClDevice& device, cl_mem x, uint64_t count, uint64_t stream) {
        Call call(device, philox_uniform_kernel(), flat_launch(count, device.limits()), metrics_.get());
        call.operand(x);
        for (const cl_ulong number : {count, uint64_t{20}, stream}) call.value(number);
        call.value(cl_float{-1});
        call.value(cl_float{1});
        call.launch(device.timed_queue());
    }

    static double time(OpenClDevice& device, const Ref<cl_event>& event, cl_uint which) {
        cl_ulong moment = 0;
        HPC_CL(device.api(), clGetEventProfilingInfo, event.get(), which, sizeof moment, static_cast<void*>(&moment), nullptr);
        return static_cast<double>(moment);
    }

    Form form_;
    uint64_t m_, n_, k_, part_elements_ = 0;
    Ref<cl_mem> a_, b_, c_, truth_, bound_, worst_, metrics_, parts_;
};

Tuning::Tuning() = default;
Tuning::~Tuning() = default;

namespace {

OpenClDevice& opened(const Device& device) {
    auto* own = dynamic_cast<const OpenClDevice*>(&device);
    if (!own) fail(HPC_NOT_AVAILABLE, "device is not an OpenCL device: it has nothing to tune");
    return const_cast<OpenClDevice&>(*own);
}

Form form_of(int32_t form) {
    if (form < HPC_FORM_NN || form > HPC_FORM_TN) fail(HPC_INVALID_ARGUMENT, "form is %d: expected 0 to 2", form);
    return static_cast<Form>(form);
}

const GemmTile& tile_at(int32_t tile, const OpenClDevice& device) {
    if (tile < 0 || static_cast<uint64_t>(tile) >= kGemmTileCount)
        fail(HPC_INVALID_ARGUMENT, "tile is %d: expected 0 to %d", tile, static_cast<int>(kGemmTileCount) - 1);
    if (!device.limits().runs(kGemmTiles[tile]))
        fail(HPC_INVALID_ARGUMENT, "tile is %d: %s is beyond the device's limits", tile, kGemmTiles[tile].name);
    return kGemmTiles[tile];
}

}  // namespace

void tile_info(const Device& device, int32_t tile, hpc_tile_info& info) {
    const Limits& limits = opened(device).limits();
    if (tile < 0 || static_cast<uint64_t>(tile) >= kGemmTileCount)
        fail(HPC_INVALID_ARGUMENT, "tile is %d: expected 0 to %d", tile, static_cast<int>(kGemmTileCount) - 1);
    const GemmTile& found = kGemmTiles[tile];
    info = {};
    std::strncpy(info.name, found.name, sizeof info.name - 1);
    info.count = static_cast<int32_t>(kGemmTileCount);
    info.runs = limits.runs(found);
    info.items = static_cast<uint32_t>(found.group());
    info.local_bytes = found.local_bytes();
}

hpc_product_measurement measure_product(Device& device, const hpc_product_case& product, int milliseconds) {
    using Clock = std::chrono::steady_clock;
    OpenClDevice& own = opened(device);
    const Limits& limits = own.limits();
    const Form form = form_of(product.form);
    for (const auto& [name, extent] : {std::pair{"m", product.m}, {"n", product.n}, {"k", product.k}})
        if (extent < 1 || extent > kLargestExtent)
            fail(HPC_INVALID_ARGUMENT, "%s is %llu: expected 1 to 2^20", name, static_cast<unsigned long long>(extent));
    const GemmTile* tile = product.tile < 0 ? nullptr : &tile_at(product.tile, own);

    Tuning& tuning = own.tuning();
    std::lock_guard<std::mutex> lock(tuning.mutex);
    own.queue().finish();
    if (!tuning.bench || !tuning.bench->is(form, product.m, product.n, product.k)) {
        tuning.bench.reset();
        tuning.bench = std::make_unique<ProductBench>(own, form, product.m, product.n, product.k);
    }
    const GemmPlan plan = plan_gemm(form, product.m, product.n, product.k, limits, tile);
    hpc_product_measurement result{};
    result.size_class = static_cast<int32_t>(size_class(product.m, product.n, limits));
    result.tile = plan.tile ? static_cast<int32_t>(plan.tile - kGemmTiles) : -1;
    result.parts = static_cast<int32_t>(plan.splits);
    result.error = tuning.bench->check(own, plan);
    if (plan.tile) {
        // What the shape may not have: a tile that C covers a corner of, rows that are not aligned, a depth that is no multiple.
        const GemmTile& t = *plan.tile;
        ProductBench ragged(own, form, t.tile_m + 5, t.tile_n + 7, 3 * t.tile_k + 3);
        result.error = std::max(result.error, ragged.check(own, plan_gemm(form, t.tile_m + 5, t.tile_n + 7, 3 * t.tile_k + 3, limits, &t)));
    }
    result.nanoseconds = std::numeric_limits<double>::infinity();
    const auto end = Clock::now() + std::chrono::milliseconds(milliseconds);
    do result.nanoseconds = std::min(result.nanoseconds, tuning.bench->multiply(own, plan));
    while (Clock::now() < end);
    return result;
}

void keep_tuning(Device& device, const hpc_product_choice* choices, int32_t count, const char* path) {
    OpenClDevice& own = opened(device);
    Limits limits = own.limits();
    for (int32_t i = 0; i < count; i++) {
        const hpc_product_choice& choice = choices[i];
        if (choice.size_class < 0 || choice.size_class >= HPC_SIZE_COUNT)
            fail(HPC_INVALID_ARGUMENT, "size_class is %d: expected 0 to %d", choice.size_class, HPC_SIZE_COUNT - 1);
        limits.tiles[static_cast<uint64_t>(form_of(choice.form))][choice.size_class] = static_cast<uint8_t>(&tile_at(choice.tile, own) - kGemmTiles);
    }
    const std::string name = path ? path : "";
    const std::filesystem::path file =
        path ? std::filesystem::path(std::u8string(name.begin(), name.end())) : tuning_file(own.found(), own.cache_folder());
    if (file.empty()) fail(HPC_INVALID_ARGUMENT, "path is empty, and the device has no cache_directory");
    {
        std::lock_guard<std::mutex> lock(own.tuning().mutex);
        own.tuning().bench.reset();
    }
    write_text(file, format_tuning(own.found(), limits));
}

std::string tuning_path(const Device& device) {
    const OpenClDevice& own = opened(device);
    const std::u8string path = tuning_file(own.found(), own.cache_folder()).u8string();
    return std::string(path.begin(), path.end());
}

}  // namespace hpc::opencl
