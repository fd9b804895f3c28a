// The OpenCL backend's host side: discovery, the kernel cache, a caller's own handles, several programs at once, and what
// becomes of a network when a call of the driver fails. What the programs compute is tested in program_test.cpp over all
// executors, each kernel by itself in opencl_kernels_test.cpp.
#include <cstdio>
#include <fstream>
#include <thread>

#include "folder.h"
#include "harness.h"
#include "opencl/api.h"
#include "opencl/device.h"

namespace hpc::test {
namespace {

using namespace hpc::opencl;
namespace fs = std::filesystem;

#define HPC_NEED_OPENCL() HPC_NEED(kOpenCl)

void expect_same(const std::vector<float>& a, const std::vector<float>& b, const char* what) {
    ASSERT_EQ(a.size(), b.size());
    EXPECT_EQ(0, std::memcmp(a.data(), b.data(), a.size() * 4)) << what << " differ in their bits";
}

std::string text_of(hpc_device* device) {
    size_t needed = 0;
    HPC_EXPECT(hpc_device_describe(device, nullptr, 0, &needed));
    std::string text(needed, 0);
    HPC_EXPECT(hpc_device_describe(device, text.data(), needed, &needed));
    text.resize(needed - 1);
    return text;
}

NetworkShape small_shape() {
    return {{5, 7, 3}, {HPC_ACTIVATION_RELU, HPC_ACTIVATION_LINEAR}, true, 0.25f, true, HPC_RULE_ADAM};
}

hpc_device_options opencl_options() {
    hpc_device_options options{};
    options.kind = HPC_DEVICE_OPENCL;
    options.index = -1;
    return options;
}

// ---- Discovery -------------------------------------------------------------------------------------------------------

TEST(OpenClDiscovery, SaysWhatWasLookedFor) {
    const Places nowhere{{"libhpc-no-such-loader.so"}, {"libhpc-no-such-vendor.so"}};
    const Discovery found = discover(nowhere);
    EXPECT_TRUE(found.platforms.empty());
    EXPECT_TRUE(found.devices.empty());
    try {
        create_device(opencl_options(), nowhere);
        ADD_FAILURE() << "a device out of nothing";
    } catch (const Error& error) {
        EXPECT_EQ(HPC_NOT_AVAILABLE, error.status());
        for (const char* part : {"libhpc-no-such-loader.so", "libhpc-no-such-vendor.so", "no OpenCL platform"})
            EXPECT_NE(std::string::npos, std::string(error.what()).find(part)) << error.what();
    }
}

TEST(OpenClDiscovery, DescribesEveryDevice) {
    size_t needed = 0;
    HPC_CHECK(hpc_opencl_describe(nullptr, 0, &needed));
    std::string text(needed, 0);
    HPC_CHECK(hpc_opencl_describe(text.data(), needed, &needed));
    int32_t count = -1;
    HPC_CHECK(hpc_opencl_device_count(&count));
    for (int32_t i = 0; i < count; i++) EXPECT_NE(std::string::npos, text.find("device " + std::to_string(i) + ": ")) << text;
    for (const char* part : {"platform: ", "driver: ", "memory: ", "limits: "})
        EXPECT_EQ(count > 0, text.find(part) != std::string::npos) << text;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_opencl_device_count(nullptr));
}

TEST(OpenClDiscovery, ChoosesByNumberAndByName) {
    HPC_NEED_OPENCL();
    const Discovery found = discover();
    ASSERT_FALSE(found.devices.empty());
    auto create = [](int32_t index, const char* name, std::string& got) {
        hpc_device_options options = opencl_options();
        options.index = index;
        options.name = name;
        hpc_device* device = nullptr;
        const hpc_status status = hpc_device_create(&options, &device);
        if (status == HPC_OK) {
            hpc_device_info info{};
            HPC_EXPECT(hpc_device_get_info(device, &info));
            EXPECT_EQ(static_cast<int32_t>(HPC_DEVICE_OPENCL), info.kind);
            EXPECT_STREQ("", info.isa);
            EXPECT_STREQ("", info.blas);
            EXPECT_GT(info.memory_bytes, 0u);
            got = info.name;
            hpc_device_destroy(device);
        } else {
            got = hpc_last_error();
        }
        return status;
    };
    std::string got;
    EXPECT_EQ(HPC_OK, create(-1, nullptr, got)) << got;
    EXPECT_EQ(HPC_OK, create(0, nullptr, got)) << got;
    EXPECT_EQ(found.devices[0].name, got);
    std::string shouted = found.devices[0].platform_name;
    for (char& c : shouted) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(HPC_OK, create(-1, shouted.c_str(), got)) << got;
    EXPECT_EQ(HPC_NOT_AVAILABLE, create(999, nullptr, got));
    EXPECT_NE(std::string::npos, got.find("no OpenCL device 999")) << got;
    EXPECT_EQ(HPC_NOT_AVAILABLE, create(-1, "no such card", got));
    EXPECT_NE(std::string::npos, got.find("'no such card'")) << got;
    EXPECT_NE(std::string::npos, got.find(found.devices[0].name)) << got;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, create(0, "a name, too", got));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, create(-2, nullptr, got));
}

// Run in a process of its own, by the test below.
TEST(OpenClDiscovery, DISABLED_TrainsOverAVendorsLibrary) {
    size_t needed = 0;
    HPC_CHECK(hpc_opencl_describe(nullptr, 0, &needed));
    std::string text(needed, 0);
    HPC_CHECK(hpc_opencl_describe(text.data(), needed, &needed));
    EXPECT_NE(std::string::npos, text.find("no platform is registered")) << text;
    int32_t count = 0;
    HPC_CHECK(hpc_opencl_device_count(&count));
    // Only where a vendor's library can be found without the registry: PoCL's can, wherever OpenCL is required.
    EXPECT_FALSE(count == 0 && hpc::test::opencl_is_required()) << text;
    if (count == 0) GTEST_SKIP() << "no vendor's library is found without the registry";
    Device device(kOpenCl), oracle_device(1, "scalar");
    TrainingStep step(device, small_shape(), 9, HPC_PROGRAM_DEFAULT), oracle(oracle_device, small_shape(), 9, HPC_PROGRAM_DEFAULT);
    EXPECT_NEAR(oracle.step(9, 0, 1).loss, step.step(9, 0, 1).loss, 1e-4);
}

#if !defined(_WIN32)
TEST(OpenClDiscovery, VendorsLibrariesServeWhereNoneIsRegistered) {
    HPC_NEED_OPENCL();
    const hpc::test::Folder empty;
    const std::string program = fs::read_symlink("/proc/self/exe").string();
    const std::string command = "OCL_ICD_VENDORS='" + empty.path().string() + "' '" + program +
                                "' --gtest_filter='*DISABLED_TrainsOverAVendorsLibrary' --gtest_also_run_disabled_tests 2>&1";
    std::FILE* const child = popen(command.c_str(), "r");
    ASSERT_NE(nullptr, child) << command;
    std::string said;
    for (char line[256]; std::fgets(line, sizeof line, child);) said += line;
    ASSERT_EQ(0, pclose(child)) << command << "\n" << said;
    if (said.find("SKIPPED") != std::string::npos) GTEST_SKIP() << said;
    EXPECT_NE(std::string::npos, said.find("1 test from 1 test suite ran")) << said;
}
#endif

// ---- Memory ----------------------------------------------------------------------------------------------------------

TEST(OpenClMemory, IsZeroAtFirstAlsoWhenUsedAgain) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    for (int round = 0; round < 3; round++) {
        Buffer buffer(device, 1001);
        for (float x : buffer.read()) ASSERT_EQ(0.0f, x);
        buffer.write(std::vector<float>(1001, 3.0f));
    }
}

TEST(OpenClMemory, ReadsWritesCopiesFills) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    Buffer a(device, 100), b(device, 100);
    const std::vector<float> data = random_floats(100, 1);
    a.write(data);
    HPC_EXPECT(hpc_buffer_copy(a.handle, 4, b.handle, 8, 396 - 8));
    HPC_EXPECT(hpc_buffer_fill(b.handle, 0, 0x3f800000u, 8));
    const std::vector<float> result = b.read();
    EXPECT_EQ(1.0f, result[0]);
    EXPECT_EQ(1.0f, result[1]);
    for (size_t i = 2; i < 99; i++) ASSERT_EQ(data[i - 1], result[i]);
    EXPECT_EQ(0.0f, result[99]);
}

TEST(OpenClMemory, TellsWhatItHasWhenItIsNotEnough) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    hpc_device_info info{};
    HPC_CHECK(hpc_device_get_info(device.handle, &info));
    hpc_buffer* buffer = nullptr;
    EXPECT_EQ(HPC_OUT_OF_MEMORY, hpc_buffer_create(device.handle, info.memory_bytes + 1, &buffer));
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find(std::to_string(info.memory_bytes))) << hpc_last_error();
    EXPECT_EQ(HPC_OUT_OF_MEMORY, hpc_buffer_create(device.handle, UINT64_MAX, &buffer));
    HPC_CHECK(hpc_device_get_info(device.handle, &info));
    EXPECT_EQ(0u, info.allocated_bytes);
}

// ---- The kernel cache ------------------------------------------------------------------------------------------------

class KernelCache : public testing::Test {
protected:
    void SetUp() override { HPC_NEED_OPENCL(); }

    // Runs a program of one instruction; returns what the device says of its cache.
    std::string run() {
        const std::string name = folder.string();
        hpc_device_options options = opencl_options();
        options.cache_directory = name.c_str();
        hpc_device* device = nullptr;
        HPC_EXPECT(hpc_device_create(&options, &device));
        if (!device) return "";
        std::string text;
        {
            hpc_program_options program_options{};
            program_options.rows = program_options.steps = 1;
            hpc_program* program = nullptr;
            HPC_EXPECT(hpc_program_create(device, &program_options, &program));
            hpc_value_desc desc{};
            desc.kind = HPC_VALUE_OUTPUT;
            desc.lead = HPC_LEAD_ROWS;
            desc.columns = 5;
            hpc_fill fill{};
            fill.value.constant = 2.5f;
            HPC_EXPECT(hpc_program_value(program, &desc, &fill.x));
            HPC_EXPECT(hpc_record_fill(program, &fill));
            HPC_EXPECT(hpc_program_finish(program));
            float out[5] = {};
            hpc_transfer transfer{fill.x, 0, out, sizeof out};
            HPC_EXPECT(hpc_program_run_with(program, 1, 1, nullptr, 0, &transfer, 1, nullptr));
            for (float x : out) EXPECT_EQ(2.5f, x);
            text = text_of(device);
            HPC_EXPECT(hpc_program_destroy(program));
        }
        HPC_EXPECT(hpc_device_destroy(device));
        return text.substr(text.find("cache: "));
    }

    std::vector<fs::path> files() const {
        std::vector<fs::path> list;
        for (const fs::directory_entry& entry : fs::directory_iterator(folder)) list.push_back(entry.path());
        std::sort(list.begin(), list.end());
        return list;
    }
    static std::string content(const fs::path& file) {
        std::ifstream stream(file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(stream), {});
    }
    static void put(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary | std::ios::trunc) << text; }

    const hpc::test::Folder own;
    const fs::path folder = own.path() / "made by the device";
};

TEST_F(KernelCache, IsReadByTheNextDevice) {
    EXPECT_NE(std::string::npos, run().find("0 kernel programs read, 2 built"));
    EXPECT_EQ(2u, files().size());
    EXPECT_NE(std::string::npos, run().find("2 kernel programs read, 0 built"));
    EXPECT_EQ(2u, files().size());
}

TEST_F(KernelCache, BuildsAnewWhatIsDamagedOrForeign) {
    run();
    const std::vector<fs::path> list = files();
    ASSERT_EQ(2u, list.size());
    const std::string good = content(list[0]), other = content(list[1]);
    constexpr size_t kHeader = 40, kKeyBytesAt = 16, kChecksumAt = 32;
    uint64_t key_bytes = 0;
    std::memcpy(&key_bytes, good.data() + kKeyBytesAt, 8);
    const size_t binary_at = kHeader + key_bytes;
    std::vector<std::pair<const char*, std::string>> damages{
        {"empty", ""},
        {"cut in the header", good.substr(0, 20)},
        {"cut in the binary", good.substr(0, good.size() - 7)},
        {"longer than it says", good + "x"},
        {"another program's", other},
        {"noise", std::string(good.size(), 'z')},
    };
    for (const auto& [name, at] : {std::pair<const char*, size_t>{"magic", 0}, {"format", 8}, {"key length", 16}, {"binary length", 31},
                                   {"checksum", 32}, {"key", kHeader + 3}, {"binary", binary_at + 100}, {"last byte", good.size() - 1}}) {
        std::string damaged = good;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
        damages.emplace_back(name, damaged);
    }
    // In order but for the binary, which no driver can take.
    std::string garbage = good;
    std::fill(garbage.begin() + static_cast<ptrdiff_t>(binary_at), garbage.end(), 'g');
    uint64_t checksum = 0xcbf29ce484222325;
    for (size_t i = binary_at; i < garbage.size(); i++) checksum = (checksum ^ static_cast<unsigned char>(garbage[i])) * 0x100000001b3;
    std::memcpy(garbage.data() + kChecksumAt, &checksum, 8);
    damages.emplace_back("a binary that the driver refuses", garbage);

    for (const auto& [name, damaged] : damages) {
        put(list[0], damaged);
        EXPECT_NE(std::string::npos, run().find("1 kernel programs read, 1 built")) << name;
        EXPECT_EQ(good.substr(0, 16), content(list[0]).substr(0, 16)) << name << ": was not replaced";
        EXPECT_EQ(2u, files().size()) << name << ": something was left";
        EXPECT_NE(std::string::npos, run().find("2 kernel programs read, 0 built")) << name;
    }
}

TEST_F(KernelCache, AFolderThatCannotBeWrittenCostsTimeOnly) {
    put(folder, "a file where the folder should be");
    EXPECT_NE(std::string::npos, run().find("0 kernel programs read, 2 built ("));
    fs::remove(folder);
}

// ---- A caller's own handles ------------------------------------------------------------------------------------------

class Adoption : public testing::Test {
protected:
    void SetUp() override {
        HPC_NEED_OPENCL();
        const Discovery found = discover();
        for (const DeviceInfo& candidate : found.devices)
            if (candidate.lacks.empty()) info = candidate;
        ASSERT_NE(nullptr, info.api);
        context = make_context();
        queue = Ref<cl_command_queue>(api(), HPC_CL_CREATE(api(), clCreateCommandQueue, context.get(), info.id, cl_bitfield{0}));
    }

    const Api& api() const { return *info.api; }
    Ref<cl_context> make_context() const {
        return Ref<cl_context>(api(), HPC_CL_CREATE(api(), clCreateContext, nullptr, 1u, &info.id, nullptr, nullptr));
    }
    Ref<cl_mem> make_memory(cl_context owner, size_t bytes) const {
        return Ref<cl_mem>(api(), HPC_CL_CREATE(api(), clCreateBuffer, owner, CL_MEM_READ_WRITE, bytes, nullptr));
    }
    cl_uint references(cl_context object) const { return HPC_CL_QUERY(cl_uint, api(), clGetContextInfo, object, CL_CONTEXT_REFERENCE_COUNT); }
    cl_uint references(cl_command_queue object) const {
        return HPC_CL_QUERY(cl_uint, api(), clGetCommandQueueInfo, object, CL_QUEUE_REFERENCE_COUNT);
    }
    cl_uint references(cl_mem object) const { return HPC_CL_QUERY(cl_uint, api(), clGetMemObjectInfo, object, CL_MEM_REFERENCE_COUNT); }

    hpc_status adopt(cl_context given_context, cl_command_queue given_queue, hpc_device** device) const {
        const std::string cache = kernel_cache();
        hpc_device_options options = opencl_options();
        options.context = given_context;
        options.queue = given_queue;
        options.cache_directory = cache.c_str();
        return hpc_device_create(&options, device);
    }

    DeviceInfo info;
    Ref<cl_context> context;
    Ref<cl_command_queue> queue;
};

TEST_F(Adoption, RunsOnACallersQueueOverACallersMemory) {
    const Ref<cl_mem> in = make_memory(context.get(), 6 * 4), out = make_memory(context.get(), 6 * 4);
    const cl_uint context_before = references(context.get()), queue_before = references(queue.get()), in_before = references(in.get());
    const int64_t held_before = injection::references;
    {
        hpc_device* handle = nullptr;
        HPC_CHECK(adopt(context.get(), queue.get(), &handle));
        EXPECT_GT(references(context.get()), context_before);
        EXPECT_GT(references(queue.get()), queue_before);
        EXPECT_NE(std::string::npos, text_of(handle).find("the caller's"));
        hpc_buffer *x_buffer = nullptr, *y_buffer = nullptr, *w_buffer = nullptr;
        HPC_CHECK(hpc_buffer_adopt(handle, in.get(), 6 * 4, &x_buffer));
        HPC_CHECK(hpc_buffer_adopt(handle, out.get(), 6 * 4, &y_buffer));
        EXPECT_GT(references(in.get()), in_before);
        HPC_CHECK(hpc_buffer_create(handle, 9 * 4, &w_buffer));
        const float w[] = {0, 1, 0, 0, 0, 2, 3, 0, 0}, x[] = {1, 2, 3, 4, 5, 6};
        HPC_CHECK(hpc_buffer_write(w_buffer, 0, w, sizeof w));

        hpc_program_options options{};
        options.rows = 2;
        options.steps = 1;
        hpc_program* program = nullptr;
        HPC_CHECK(hpc_program_create(handle, &options, &program));
        auto value = [&](int kind, int lead, uint64_t count, hpc_buffer* buffer) {
            hpc_value_desc desc{};
            desc.kind = kind;
            desc.lead = lead;
            desc.count = count;
            desc.columns = 3;
            desc.buffer = buffer;
            uint32_t id = 0;
            HPC_EXPECT(hpc_program_value(program, &desc, &id));
            return id;
        };
        hpc_dense_forward dense{value(HPC_VALUE_INPUT, HPC_LEAD_ROWS, 0, x_buffer), value(HPC_VALUE_PARAMETER, HPC_LEAD_FIXED, 3, w_buffer), 0,
                                value(HPC_VALUE_OUTPUT, HPC_LEAD_ROWS, 0, y_buffer)};
        HPC_CHECK(hpc_record_dense_forward(program, &dense));
        HPC_CHECK(hpc_program_finish(program));
        // The caller's own write, run and read on the caller's queue.
        float y[6] = {};
        HPC_CL(api(), clEnqueueWriteBuffer, queue.get(), in.get(), CL_FALSE, size_t{0}, sizeof x, static_cast<const void*>(x), 0u, nullptr, nullptr);
        HPC_CHECK(hpc_program_run(program, 2, 1, nullptr, 0, nullptr));
        HPC_CL(api(), clEnqueueReadBuffer, queue.get(), out.get(), CL_TRUE, size_t{0}, sizeof y, static_cast<void*>(y), 0u, nullptr, nullptr);
        const float expected[] = {9, 1, 4, 18, 4, 10};
        for (int i = 0; i < 6; i++) EXPECT_EQ(expected[i], y[i]);
        HPC_EXPECT(hpc_program_destroy(program));
        for (hpc_buffer* buffer : {x_buffer, y_buffer, w_buffer}) HPC_EXPECT(hpc_buffer_destroy(buffer));
        HPC_EXPECT(hpc_device_destroy(handle));
    }
    HPC_CL(api(), clFinish, queue.get());
    EXPECT_EQ(in_before, references(in.get()));
    EXPECT_EQ(context_before, references(context.get()));
    // PoCL's own last commands hold the queue: what the core holds is counted by the core.
    EXPECT_EQ(held_before, injection::references.load());
}

TEST_F(Adoption, RefusesWhatDoesNotBelongTogether) {
    const Ref<cl_context> other = make_context();
    const Ref<cl_mem> foreign = make_memory(other.get(), 64), own = make_memory(context.get(), 64);
    hpc_device* device = nullptr;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, adopt(context.get(), nullptr, &device));
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("queue is null")) << hpc_last_error();
    EXPECT_EQ(HPC_INVALID_ARGUMENT, adopt(nullptr, queue.get(), &device));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, adopt(other.get(), queue.get(), &device));
    cl_int code = 0;
    cl_command_queue loose = api().clCreateCommandQueue(context.get(), info.id, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE, &code);
    if (code == CL_SUCCESS) {
        const Ref<cl_command_queue> out_of_order(api(), loose);
        EXPECT_EQ(HPC_INVALID_ARGUMENT, adopt(context.get(), loose, &device));
        EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("out of order")) << hpc_last_error();
    }
    HPC_CHECK(adopt(context.get(), queue.get(), &device));
    const cl_uint before = references(own.get());
    hpc_buffer* buffer = nullptr;
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_buffer_adopt(device, foreign.get(), 64, &buffer));
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("another context")) << hpc_last_error();
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_buffer_adopt(device, own.get(), 65, &buffer));
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("65")) << hpc_last_error();
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_buffer_adopt(device, own.get(), 0, &buffer));
    EXPECT_EQ(HPC_INVALID_ARGUMENT, hpc_buffer_adopt(device, nullptr, 64, &buffer));
    EXPECT_EQ(before, references(own.get()));
    HPC_EXPECT(hpc_device_destroy(device));
}

// ---- Running ---------------------------------------------------------------------------------------------------------

TEST(OpenClRun, RandomNumbersHaveTheBitsOfTheCpu) {
    HPC_NEED_OPENCL();
    constexpr uint64_t kCount = 4099;
    auto draw = [&](const Target& target, uint64_t seed, uint64_t stream) {
        Device device(target);
        Buffer uniform(device, kCount), dropped(device, kCount), affine(device, kCount), noisy(device, kCount);
        Program program(device, 1);
        const uint32_t x = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_FIXED, kCount, 1, uniform.handle);
        const uint32_t y = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_FIXED, kCount, 1, dropped.handle);
        hpc_philox_uniform fill{x, 0, {seed, 0, 0}, {stream, 0, 0}, -1.5f, 2.25f};
        HPC_EXPECT(hpc_record_philox_uniform(program.handle, &fill));
        hpc_dropout dropout{x, y, {seed, 0, 0}, {stream + 1, 0, 0}, {0.3f, 0}};
        HPC_EXPECT(hpc_record_dropout(program.handle, &dropout));
        const uint32_t z = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_FIXED, kCount, 1, affine.handle);
        hpc_affine_dropout affine_dropout{x, z, {seed, 0, 0}, {stream + 2, 0, 0}, 0.3f, 1.25f, -0.5f, 2.75f};
        HPC_EXPECT(hpc_record_affine_dropout(program.handle, &affine_dropout));
        const uint32_t n = program.value(HPC_VALUE_OUTPUT, HPC_FLOAT32, HPC_LEAD_FIXED, kCount, 1, noisy.handle);
        hpc_gaussian_noise noise{x, n, {seed, 0, 0}, {stream + 3, 0, 0}, {0.75f, 0}};
        HPC_EXPECT(hpc_record_gaussian_noise(program.handle, &noise));
        HPC_EXPECT(hpc_program_finish(program.handle));
        HPC_EXPECT(hpc_program_run(program.handle, 1, 1, nullptr, 0, nullptr));
        std::vector<float> result = uniform.read();
        for (const Buffer* buffer : {&dropped, &affine, &noisy}) {
            const std::vector<float> more = buffer->read();
            result.insert(result.end(), more.begin(), more.end());
        }
        return result;
    };
    for (uint64_t seed : {uint64_t{0}, uint64_t{0x123456789abcdef0}, UINT64_MAX - 5})
        for (uint64_t stream : {uint64_t{0}, uint64_t{1} << 40}) expect_same(draw(kCpu, seed, stream), draw(kOpenCl, seed, stream), "random numbers");
}

std::vector<float> trained(Device& device, const NetworkShape& shape, int steps) {
    TrainingStep step(device, shape, 64, HPC_PROGRAM_DEFAULT);
    for (int i = 0; i < steps; i++) {
        const uint64_t slots[] = {static_cast<uint64_t>(i * 60 % 500), cell(0.01f), static_cast<uint64_t>(i + 1)};
        HPC_EXPECT(hpc_program_run(step.program.handle, i == 5 ? 17 : 64, 1, slots, 3, nullptr));
    }
    return step.parameters.read();
}

TEST(OpenClRun, GivesTheSameBitsEveryTimeAndFromTwoThreadsAtOnce) {
    HPC_NEED_OPENCL();
    const NetworkShape first{{33, 70, 10}, {HPC_ACTIVATION_TANH, HPC_ACTIVATION_LINEAR}, true, 0.2f, true, HPC_RULE_ADAM};
    const NetworkShape second{{20, 40, 6}, {HPC_ACTIVATION_SIGMOID, HPC_ACTIVATION_LINEAR}, false, 0, false, HPC_RULE_MOMENTUM};
    Device device(kOpenCl);
    const std::vector<float> a = trained(device, first, 20), b = trained(device, second, 20);
    expect_same(a, trained(device, first, 20), "one run and another");
    for (bool shared : {true, false}) {
        Device own(kOpenCl);
        std::vector<float> x, y;
        std::thread one([&] { x = trained(device, first, 20); });
        std::thread two([&] { y = trained(shared ? device : own, second, 20); });
        one.join();
        two.join();
        expect_same(a, x, shared ? "alone and beside another program" : "alone and beside another device");
        expect_same(b, y, shared ? "alone and beside another program" : "alone and beside another device");
    }
}

// Inputs of a few bytes, which are written in order with the runs, of many, which are uploaded beside them, and of more than is
// copied aside in one piece.
TEST(OpenClRun, InputsMayChangeAsSoonAsTheCallIsBack) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    for (const uint64_t columns : {uint64_t{3}, uint64_t{40'001}, uint64_t{3'000'001}}) {
        const int runs = columns > 1'000'000 ? 8 : 50;
        Buffer total(device, columns);
        Program program(device, 1);
        const uint32_t x = program.rows(HPC_VALUE_INPUT, columns);
        const uint32_t y = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, columns, total.handle);
        const uint32_t copy = program.value(HPC_VALUE_TEMPORARY, HPC_FLOAT32, HPC_LEAD_FIXED, 1, columns);
        hpc_column_sums sums{x, copy};
        HPC_CHECK(hpc_record_column_sums(program.handle, &sums));
        hpc_add_scaled add{copy, y, {1, 0}};
        HPC_CHECK(hpc_record_add_scaled(program.handle, &add));
        HPC_CHECK(hpc_program_finish(program.handle));
        std::vector<float> data(columns);
        for (int i = 1; i <= runs; i++) {
            std::fill(data.begin(), data.end(), static_cast<float>(i));
            hpc_transfer transfer{x, 0, data.data(), columns * 4};
            HPC_CHECK(hpc_program_run_with(program.handle, 1, 1, nullptr, 0, &transfer, 1, nullptr));
            std::fill(data.begin(), data.end(), -1000.0f);
        }
        const std::vector<float> sum = total.read();
        for (float value : sum) ASSERT_EQ(static_cast<float>(runs * (runs + 1) / 2), value) << columns;
    }
}

// A chain of large products over what comes in: busy long enough that the next upload catches up with it.
struct FedChain {
    static constexpr uint64_t kRows = 128, kWidth = 192, kProducts = 6;
    Buffer w, total;
    Program program;
    uint32_t x = 0, t = 0;

    FedChain(hpc::test::Device& device) : w(device, kWidth * kWidth), total(device, kWidth), program(device, kRows) {
        w.write(random_floats(kWidth * kWidth, 1, 1 / std::sqrt(static_cast<float>(kWidth))));
        x = program.rows(HPC_VALUE_INPUT, kWidth);
        t = program.rows(HPC_VALUE_TARGET, kWidth);
        const uint32_t weights = program.value(HPC_VALUE_PARAMETER, HPC_FLOAT32, HPC_LEAD_FIXED, kWidth, kWidth, w.handle);
        uint32_t at = x;
        for (uint64_t i = 0; i < kProducts; i++) {
            const uint32_t y = program.rows(HPC_VALUE_TEMPORARY, kWidth);
            hpc_dense_forward dense{at, weights, 0, y};
            HPC_EXPECT(hpc_record_dense_forward(program.handle, &dense));
            at = y;
        }
        // Both inputs are read at the end of the run once more: nothing may have come over them by then.
        const uint32_t sum = program.rows(HPC_VALUE_TEMPORARY, kWidth);
        const uint32_t columns = program.value(HPC_VALUE_TEMPORARY, HPC_FLOAT32, HPC_LEAD_FIXED, 1, kWidth);
        hpc_multiply multiply{at, x, sum};
        HPC_EXPECT(hpc_record_multiply(program.handle, &multiply));
        hpc_add_scaled add{t, sum, {1, 0}};
        HPC_EXPECT(hpc_record_add_scaled(program.handle, &add));
        hpc_column_sums sums{sum, columns};
        HPC_EXPECT(hpc_record_column_sums(program.handle, &sums));
        const uint32_t y = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_FIXED, 1, kWidth, total.handle);
        hpc_add_scaled keep{columns, y, {1, 0}};
        HPC_EXPECT(hpc_record_add_scaled(program.handle, &keep));
        HPC_EXPECT(hpc_program_finish(program.handle));
    }

    // What every run added up. Between runs that bring everything are runs that bring one input, or none, or fewer rows.
    std::vector<float> feed(int runs) {
        for (int i = 0; i < runs; i++) {
            const uint64_t rows = i % 7 == 6 ? 17 : kRows;
            std::vector<float> a = random_floats(rows * kWidth, static_cast<uint32_t>(2 * i)), b = random_floats(rows * kWidth, static_cast<uint32_t>(2 * i + 1));
            const hpc_transfer transfers[] = {{x, 0, a.data(), rows * kWidth * 4}, {t, 0, b.data(), rows * kWidth * 4}};
            HPC_EXPECT(hpc_program_run_with(program.handle, rows, 1, nullptr, 0, transfers, i % 7 == 3 ? 1 : 2, nullptr));
            std::fill(a.begin(), a.end(), NAN);
            std::fill(b.begin(), b.end(), NAN);
            if (i % 5 == 4) {
                HPC_EXPECT(hpc_program_run(program.handle, rows, 1, nullptr, 0, nullptr));
            }
        }
        return total.read();
    }
};

TEST_F(Adoption, UploadsBesideTheRunsGiveTheBitsOfOneQueue) {
    constexpr int kRuns = 60;
    hpc::test::Device one_queue(kOpenCl);
    HPC_EXPECT(hpc_device_destroy(one_queue.handle));
    one_queue.handle = nullptr;
    HPC_CHECK(adopt(context.get(), queue.get(), &one_queue.handle));
    const std::vector<float> expected = FedChain(one_queue).feed(kRuns);
    for (const float sum : expected) ASSERT_TRUE(std::isfinite(sum));

    hpc::test::Device two_queues(kOpenCl);
    EXPECT_NE(std::string::npos, text_of(two_queues.handle).find("on one beside it"));
    EXPECT_EQ(std::string::npos, text_of(one_queue.handle).find("on one beside it"));
    for (int i = 0; i < 3; i++) expect_same(expected, FedChain(two_queues).feed(kRuns), "one queue and two");
    // Two programs share the uploads' queue.
    std::vector<float> first, second;
    std::thread one([&] { first = FedChain(two_queues).feed(kRuns); });
    std::thread two([&] { second = FedChain(two_queues).feed(kRuns); });
    one.join();
    two.join();
    expect_same(expected, first, "one queue and two, beside another program");
    expect_same(expected, second, "one queue and two, beside another program");
}

// The host gives its memory back and goes on: nothing of a step waits, but for what the ring of pinned memory holds.
TEST(OpenClRun, AStepThatUploadsEnqueuesTheSameEveryTime) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    FedChain chain(device);
    std::vector<float> a = random_floats(FedChain::kRows * FedChain::kWidth, 1);
    const uint64_t bytes = a.size() * 4;
    const hpc_transfer transfers[] = {{chain.x, 0, a.data(), bytes}, {chain.t, 0, a.data(), bytes}};
    auto calls_of_a_step = [&] {
        const int64_t before = injection::calls;
        HPC_EXPECT(hpc_program_run_with(chain.program.handle, FedChain::kRows, 1, nullptr, 0, transfers, 2, nullptr));
        return injection::calls - before;
    };
    int64_t without = injection::calls;
    HPC_CHECK(hpc_program_run(chain.program.handle, FedChain::kRows, 1, nullptr, 0, nullptr));
    without = injection::calls - without;
    // The first maps the ring and waits for the zeros of new memory; afterwards two writes, two references to their events and one
    // flush are added, and the places of two inputs, which are set where they are read: three times, a buffer and an offset each.
    for (int i = 0; i < 3; i++) calls_of_a_step();
    for (int i = 0; i < 6; i++) EXPECT_LE(calls_of_a_step(), without + 2 + 2 + 1 + 3 * 2) << i;
}

TEST(OpenClRun, TheCallersCodeReadsWhatWasUploaded) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    constexpr uint64_t kColumns = 3'000'000;  // long enough on its way to be missed
    std::vector<float> seen;
    Program program(device, 1);
    const uint32_t x = program.rows(HPC_VALUE_INPUT, kColumns), y = program.rows(HPC_VALUE_OUTPUT, kColumns);
    const hpc_call call{[](void* context, uint64_t, uint64_t, float* const* operands) {
                            static_cast<std::vector<float>*>(context)->assign(operands[0], operands[0] + kColumns);
                            std::copy(operands[0], operands[0] + kColumns, operands[1]);
                            return 0;
                        },
                        &seen, "reads first", &x, &y, 1, 1};
    HPC_CHECK(hpc_record_call(program.handle, &call));
    HPC_CHECK(hpc_program_finish(program.handle));
    for (uint32_t i = 0; i < 6; i++) {
        std::vector<float> data = random_floats(kColumns, i), out(kColumns);
        const hpc_transfer transfers[] = {{x, 0, data.data(), kColumns * 4}, {y, 0, out.data(), kColumns * 4}};
        HPC_CHECK(hpc_program_run_with(program.handle, 1, 1, nullptr, 0, transfers, 2, nullptr));
        expect_same(data, seen, "what came in and what the call read");
        expect_same(data, out, "what came in and what went out");
    }
}

TEST(OpenClRun, MeasuresItself) {
    HPC_NEED_OPENCL();
    Device device(kOpenCl);
    hpc_measurement measurement{};
    HPC_CHECK(hpc_device_measure(device.handle, 20, &measurement));
    EXPECT_GT(measurement.peak_gflops, 0.1);
    EXPECT_GT(measurement.copy_gigabytes_per_second, 0.05);
    double peak = 0;
    HPC_CHECK(hpc_device_measure_peak(device.handle, 10, &peak));
    EXPECT_GT(peak, 0.1);
    for (uint64_t bytes : {uint64_t{4096}, uint64_t{1000001}, uint64_t{16} << 20}) {
        hpc_memory_bandwidth bandwidth{};
        HPC_CHECK(hpc_device_measure_memory(device.handle, bytes, 10, &bandwidth));
        EXPECT_GE(bandwidth.bytes, bytes);
        EXPECT_LT(bandwidth.bytes, bytes + 64);
        for (double rate : {bandwidth.read, bandwidth.copy, bandwidth.update}) EXPECT_GT(rate, 0.05) << bytes;
    }
    hpc_cache_info caches{};
    HPC_CHECK(hpc_device_get_caches(device.handle, &caches));
    EXPECT_EQ(caches.level1_bytes, 0u);
    EXPECT_EQ(caches.guessed, 0);
}

// ---- Failing calls ---------------------------------------------------------------------------------------------------

// The Nth call from here on fails, and `count` - 1 behind it; nothing fails any more when this is gone.
class Failure {
public:
    explicit Failure(int64_t n, int64_t count = 1) {
        injection::failures = count;
        injection::calls_until_failure = n;
    }
    ~Failure() {
        injection::failures = 0;
        injection::calls_until_failure = 0;
    }
    bool reached() const { return injection::calls_until_failure.load() <= 0; }
};

// Parameters that two instructions of a step change: first a decay, then an update with two states. Few rows come in order with the
// runs, many beside them.
constexpr uint64_t kFewRows = 4, kManyRows = 2048;

struct TwoChanges {
    uint64_t rows = kFewRows;
    hpc_device* device = nullptr;
    hpc_buffer* memory = nullptr;  // parameters, gradients, two states: 8 floats each
    hpc_program* program = nullptr;

    // The first status that is not HPC_OK; then there may be less than all of it.
    hpc_status build() {
        const std::string cache = kernel_cache();
        hpc_device_options options = opencl_options();
        options.cache_directory = cache.c_str();
        if (const hpc_status status = hpc_device_create(&options, &device)) return status;
        if (const hpc_status status = hpc_buffer_create(device, 4 * 32, &memory)) return status;
        float data[32] = {};
        for (int i = 0; i < 16; i++) data[i] = static_cast<float>(i + 1);
        if (const hpc_status status = hpc_buffer_write(memory, 0, data, sizeof data)) return status;
        hpc_program_options program_options{};
        program_options.rows = rows;
        program_options.steps = 1;
        if (const hpc_status status = hpc_program_create(device, &program_options, &program)) return status;
        auto value = [&](int kind, int lead, hpc_buffer* buffer, uint64_t offset) {
            hpc_value_desc desc{};
            desc.kind = kind;
            desc.lead = lead;
            desc.count = lead == HPC_LEAD_FIXED ? 1 : 0;
            desc.columns = 8;
            desc.buffer = buffer;
            desc.offset = offset;
            uint32_t id = 0;
            HPC_EXPECT(hpc_program_value(program, &desc, &id));
            return id;
        };
        const uint32_t x = value(HPC_VALUE_INPUT, HPC_LEAD_ROWS, nullptr, 0), target = value(HPC_VALUE_TARGET, HPC_LEAD_ROWS, nullptr, 0);
        const uint32_t d = value(HPC_VALUE_TEMPORARY, HPC_LEAD_ROWS, nullptr, 0);
        const uint32_t p = value(HPC_VALUE_PARAMETER, HPC_LEAD_FIXED, memory, 0), g = value(HPC_VALUE_GRADIENT, HPC_LEAD_FIXED, memory, 32);
        hpc_loss_forward forward{HPC_LOSS_SQUARED_ERROR, HPC_REDUCTION_MEAN, x, target, 0, 0, {1, 0}, 0, 0};
        HPC_EXPECT(hpc_record_loss_forward(program, &forward));
        hpc_loss_backward backward{HPC_LOSS_SQUARED_ERROR, HPC_REDUCTION_MEAN, x, target, d, 0, 0, 0, {1, 0}, 0, 0};
        HPC_EXPECT(hpc_record_loss_backward(program, &backward));
        hpc_column_sums sums{d, g};
        HPC_EXPECT(hpc_record_column_sums(program, &sums));
        hpc_scale decay{p, 0, {0.5f, 0}};
        HPC_EXPECT(hpc_record_scale(program, &decay));
        hpc_update update{};
        update.rule = HPC_RULE_ADAM;
        update.parameters = p;
        update.gradients = g;
        update.states[0] = value(HPC_VALUE_OPTIMIZER_STATE, HPC_LEAD_FIXED, memory, 64);
        update.states[1] = value(HPC_VALUE_OPTIMIZER_STATE, HPC_LEAD_FIXED, memory, 96);
        update.hyperparameters[0] = {0.1f, 0};
        update.hyperparameters[1] = {0.9f, 0};
        update.hyperparameters[2] = {0.999f, 0};
        update.hyperparameters[3] = {1e-8f, 0};
        update.step.constant = 1;
        HPC_EXPECT(hpc_record_update(program, &update));
        input = x;
        wanted = target;
        return hpc_program_finish(program);
    }
    hpc_status step(hpc_metrics* metrics) {
        std::vector<float> x = random_floats(rows * 8, 5), t = random_floats(rows * 8, 6);
        hpc_transfer transfers[] = {{input, 0, x.data(), rows * 32}, {wanted, 0, t.data(), rows * 32}};
        return hpc_program_run_with(program, rows, 1, nullptr, 0, transfers, 2, metrics);
    }
    // Parameters and states; gradients are nobody's network.
    hpc_status state(std::vector<float>& out) const {
        out.assign(32, 0);
        const hpc_status status = hpc_buffer_read(memory, 0, out.data(), 128);
        std::fill(out.begin() + 8, out.begin() + 16, 0.0f);
        return status;
    }
    void set(const std::vector<float>& values) { HPC_EXPECT(hpc_buffer_write(memory, 0, values.data(), 128)); }
    explicit TwoChanges(uint64_t rows_of_a_step = kFewRows) : rows(rows_of_a_step) {}
    TwoChanges(const TwoChanges&) = delete;
    TwoChanges& operator=(const TwoChanges&) = delete;
    ~TwoChanges() {
        if (program) hpc_program_destroy(program);
        if (memory) hpc_buffer_destroy(memory);
        if (device) hpc_device_destroy(device);
    }
    uint32_t input = 0, wanted = 0;
};

// A status and a message; never an abort, never HPC_INTERNAL.
void expect_clean(hpc_status status, int64_t n) {
    EXPECT_TRUE(status == HPC_DEVICE_ERROR || status == HPC_OUT_OF_MEMORY) << "call " << n << ": status " << status << ": " << hpc_last_error();
    EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("failed")) << "call " << n << ": " << hpc_last_error();
}

TEST(OpenClFailures, EveryCallOfBuildingMayFail) {
    HPC_NEED_OPENCL();
    const int64_t before = injection::references;
    {
        TwoChanges warm, warm_uploads(kManyRows);  // fill the cache
        ASSERT_EQ(HPC_OK, warm.build()) << hpc_last_error();
        ASSERT_EQ(HPC_OK, warm_uploads.build()) << hpc_last_error();
    }
    ASSERT_EQ(before, injection::references.load()) << "references are left without any failure";
    int64_t failed = 0;
    for (int64_t n = 1;; n++) {
        ASSERT_LT(n, 5000);
        bool reached = false;
        {
            TwoChanges network(kManyRows);
            Failure failure(n);
            const hpc_status status = network.build();
            reached = failure.reached();
            if (status != HPC_OK) {
                EXPECT_TRUE(reached);
                expect_clean(status, n);
                failed++;
            }
        }
        ASSERT_EQ(before, injection::references.load()) << "references are left when call " << n << " fails";
        if (!reached) break;
    }
    EXPECT_GT(failed, 20);
}

TEST(OpenClFailures, EveryCallOfAStepMayFailAndTheNetworkIsAsBeforeOrAfter) {
    HPC_NEED_OPENCL();
    const int64_t references = injection::references;
    for (const uint64_t rows : {kFewRows, kManyRows}) {
        TwoChanges network(rows);
        ASSERT_EQ(HPC_OK, network.build()) << hpc_last_error();
        std::vector<float> before, after, now;
        ASSERT_EQ(HPC_OK, network.state(before));
        hpc_metrics metrics{};
        ASSERT_EQ(HPC_OK, network.step(&metrics)) << hpc_last_error();
        ASSERT_EQ(HPC_OK, network.state(after));
        ASSERT_NE(before, after);
        const int64_t held = injection::references;
        int failed = 0, still_before = 0, already_after = 0;
        for (int64_t n = 1;; n++) {
            ASSERT_LT(n, 1000);
            network.set(before);
            hpc_status status = HPC_OK;
            bool reached = false;
            {
                Failure failure(n);
                status = network.step(&metrics);
                reached = failure.reached();
            }
            ASSERT_EQ(HPC_OK, network.state(now)) << "call " << n << ": " << hpc_last_error();
            if (status != HPC_OK) {
                expect_clean(status, n);
                failed++;
                EXPECT_TRUE(now == before || now == after) << "a mix when call " << n << " fails";
                now == before ? still_before++ : already_after++;
            } else {
                EXPECT_EQ(after, now) << "call " << n;
            }
            if (!reached) break;
        }
        EXPECT_GT(failed, 5);
        EXPECT_GT(still_before, 3);
        EXPECT_GT(already_after, 0);
        network.set(before);
        ASSERT_EQ(HPC_OK, network.step(&metrics)) << hpc_last_error();
        ASSERT_EQ(HPC_OK, network.state(now));
        EXPECT_EQ(after, now) << "the program does not work as before";
        EXPECT_LE(injection::references.load(), held + 2);  // pieces of inputs that were copied aside
    }
    EXPECT_EQ(references, injection::references.load());
}

TEST(OpenClFailures, AStepThatStaysHalfDoneLosesTheDevice) {
    HPC_NEED_OPENCL();
    const int64_t references = injection::references;
    for (const uint64_t rows : {kFewRows, kManyRows}) {
        TwoChanges network(rows);
        ASSERT_EQ(HPC_OK, network.build()) << hpc_last_error();
        std::vector<float> before, after, now;
        hpc_metrics metrics{};
        ASSERT_EQ(HPC_OK, network.state(before));
        ASSERT_EQ(HPC_OK, network.step(&metrics)) << hpc_last_error();
        ASSERT_EQ(HPC_OK, network.state(after));
        bool lost = false;
        for (int64_t n = 1; n < 200 && !lost; n++) {
            network.set(before);
            hpc_status status = HPC_OK;
            {
                Failure failure(n, 2);
                status = network.step(nullptr);
                if (!failure.reached()) break;
            }
            if (network.state(now) == HPC_OK) {
                EXPECT_TRUE(now == before || now == after) << "a mix when calls " << n << " and " << n + 1 << " fail: " << status;
            } else {
                EXPECT_EQ(HPC_DEVICE_ERROR, status);
                EXPECT_NE(std::string::npos, std::string(hpc_last_error()).find("lost")) << hpc_last_error();
                EXPECT_EQ(HPC_DEVICE_ERROR, network.step(nullptr));
                lost = true;
            }
        }
        EXPECT_TRUE(lost);
    }
    EXPECT_EQ(references, injection::references.load());
}

}  // namespace
}  // namespace hpc::test
