// The built-in matrix product against other libraries, all on the same matrices and with the same number of threads, in one
// process and in turn: OpenBLAS, oneDNN (its sgemm, and its matmul with the weights packed beforehand, which is not timed) and
// BLIS; in NN the built-in one over packed weights, too, as a predictor has them. Then dense forward with bias and activation against the bare product.
//
//   gemm_peers_bench [--threads N] [--only TEXT] [--forward] [--rounds N] [--milliseconds N] [--isa NAME] [--json FILE]
//
//   --only          products whose name or network contains TEXT, e.g. gemm-128x512x784-nn, 4096, tabular, -tn
//   --forward       the second part instead of the first
//   --milliseconds  that a contestant gets in each round
//
// Each round gives every contestant one turn, in an order that changes from round to round. The ratio of a peer is the median over
// the rounds of (built-in time / peer's time in the same round), with the interval of order statistics that holds the true median in
// 95 % of all cases. "BEHIND" is said where even the lower end of the interval against the best peer is above 1: in NN of the product
// over packed weights, "as is" of the other against the best peer that packs nothing beforehand. The share is of the fused multiply-add peak measured in the same run for this number of threads: the best one until then, taken again before each row.
// The last line says how much of the processors other processes had; with much of it, measure again.
//
// The product of the built-in kernels is measured as programs use it: as instructions of a program, several of them in one run, so
// that entering a run (which a training step does once for all of its instructions) does not count as part of a small product.
//
// To add a product: a row in kShapes. To add a library: a row in open_libraries.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "hpcnet.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#include <unistd.h>
#endif
#if defined(HPC_BENCH_ONEDNN)
#include <dnnl.hpp>
#endif

namespace {

using Clock = std::chrono::steady_clock;

enum class Form { NN, NT, TN };
const char* name_of(Form form) { return form == Form::NN ? "nn" : form == Form::NT ? "nt" : "tn"; }

struct Shape {
    const char* network;
    Form form;
    int64_t m, n, k;

    std::string name() const {
        std::string text = "gemm-";
        text.append(std::to_string(m)).append("x").append(std::to_string(n)).append("x").append(std::to_string(k));
        return text.append("-").append(name_of(form));
    }
    double flops() const { return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k); }
    // A is [m x k], in TN kept as [k x m]; B is [k x n], in NT kept as [n x k].
    int64_t lda() const { return form == Form::TN ? m : k; }
    int64_t ldb() const { return form == Form::NT ? k : n; }
};

// Every product of a training step of these networks: NN forward, NT gradient of a layer's input, TN gradient of its weights.
constexpr Shape kShapes[] = {
    {"tabular", Form::NN, 32, 64, 64},         {"tabular", Form::NN, 32, 32, 64},         {"tabular", Form::NN, 32, 3, 32},
    {"tabular", Form::NT, 32, 32, 3},          {"tabular", Form::NT, 32, 64, 32},         {"tabular", Form::TN, 32, 3, 32},
    {"tabular", Form::TN, 64, 32, 32},         {"tabular", Form::TN, 64, 64, 32},

    {"mnist", Form::NN, 128, 512, 784},        {"mnist", Form::NN, 128, 256, 512},        {"mnist", Form::NN, 128, 10, 256},
    {"mnist", Form::NT, 128, 256, 10},         {"mnist", Form::NT, 128, 512, 256},        {"mnist", Form::TN, 256, 10, 128},
    {"mnist", Form::TN, 512, 256, 128},        {"mnist", Form::TN, 784, 512, 128},

    {"infer1", Form::NN, 1, 512, 784},         {"infer1", Form::NN, 1, 256, 512},         {"infer1", Form::NN, 1, 10, 256},
    {"infer64", Form::NN, 64, 512, 784},       {"infer64", Form::NN, 64, 256, 512},       {"infer64", Form::NN, 64, 10, 256},

    {"wide1024", Form::NN, 256, 1024, 1024},   {"wide1024", Form::NN, 256, 10, 1024},     {"wide1024", Form::NT, 256, 1024, 10},
    {"wide1024", Form::NT, 256, 1024, 1024},   {"wide1024", Form::TN, 1024, 10, 256},     {"wide1024", Form::TN, 1024, 1024, 256},

    {"wide4096", Form::NN, 256, 4096, 4096},   {"wide4096", Form::NN, 256, 1000, 4096},   {"wide4096", Form::NT, 256, 4096, 1000},
    {"wide4096", Form::NT, 256, 4096, 4096},   {"wide4096", Form::TN, 4096, 1000, 256},   {"wide4096", Form::TN, 4096, 4096, 256},

    {"square", Form::NN, 1024, 1024, 1024},    {"square", Form::NT, 1024, 1024, 1024},    {"square", Form::TN, 1024, 1024, 1024},
    {"square", Form::NN, 2048, 2048, 2048},    {"square", Form::NT, 2048, 2048, 2048},    {"square", Form::TN, 2048, 2048, 2048},
};

// Dense forward [rows x in] -> [rows x out], by the depth `in` that an epilogue hides behind.
struct ForwardShape {
    int64_t rows, in, out;
};
constexpr ForwardShape kForwardShapes[] = {{128, 256, 512},   {128, 512, 256},   {128, 784, 512},
                                           {256, 1024, 1024}, {256, 2048, 2048}, {256, 4096, 4096}};

struct Options {
    int threads = 1, rounds = 15;
    double milliseconds = 4;
    std::string only, isa, json;
    bool forward = false;
};

// ---- Statistics -------------------------------------------------------------------------------------------------------

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t half = values.size() / 2;
    return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Interval {
    double low, high;
};

// The ordered values between which the median of the distribution lies with at least 95 %: the widest binomial tails of p = 1/2 that
// hold at most 2.5 % each. With fewer than six values: from the least to the largest.
Interval interval_of_median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const size_t count = values.size();
    double probability = std::pow(0.5, static_cast<double>(count)), tail = probability;
    size_t skipped = 0;
    while (skipped + 1 < count / 2 && tail <= 0.025) {
        skipped++;
        probability *= static_cast<double>(count - skipped + 1) / static_cast<double>(skipped);
        tail += probability;
    }
    if (tail > 0.025 && skipped > 0) skipped--;
    return {values[skipped], values[count - 1 - skipped]};
}

// Processor time in seconds: of the whole machine (0 where it is not told) and of this process.
double machine_seconds() {
#if defined(__linux__)
    if (std::FILE* file = std::fopen("/proc/stat", "r")) {
        unsigned long long user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0, stolen = 0;
        const int read = std::fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &waiting,
                                     &interrupts, &soft, &stolen);
        std::fclose(file);
        if (read == 8) return static_cast<double>(user + nice + system + interrupts + soft + stolen) / 100;
    }
#endif
    return 0;
}
double own_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// ---- The built-in product -----------------------------------------------------------------------------------------------

void check(hpc_status status) {
    if (status != HPC_OK) throw std::runtime_error(hpc_last_error());
}

struct Device {
    hpc_device* handle = nullptr;
    explicit Device(const Options& options) {
        hpc_device_options wanted{};
        wanted.kind = HPC_DEVICE_CPU;
        wanted.threads = options.threads;
        wanted.isa = options.isa.empty() ? nullptr : options.isa.c_str();
        wanted.blas = "builtin";
        check(hpc_device_create(&wanted, &handle));
    }
    ~Device() { hpc_device_destroy(handle); }
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    // The best of all measurements until now.
    double peak_gflops() {
        double now = 0;
        check(hpc_device_measure_peak(handle, 60, &now));
        peak = std::max(peak, now);
        return peak;
    }

    double peak = 0;
};

struct Buffer {
    hpc_buffer* handle = nullptr;
    Buffer(Device& device, size_t floats) { check(hpc_buffer_create(device.handle, floats * sizeof(float), &handle)); }
    Buffer(Device& device, const std::vector<float>& data) : Buffer(device, data.size()) {
        check(hpc_buffer_write(handle, 0, data.data(), data.size() * sizeof(float)));
    }
    ~Buffer() { hpc_buffer_destroy(handle); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
};

// A program that does one thing several times.
struct Program {
    hpc_program* handle = nullptr;
    uint64_t rows;
    Program(Device& device, uint64_t row_count) : rows(row_count) {
        hpc_program_options options{};
        options.rows = rows;
        options.steps = 1;
        check(hpc_program_create(device.handle, &options, &handle));
    }
    ~Program() { hpc_program_destroy(handle); }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    uint32_t value(int kind, int64_t columns, Buffer& buffer, int64_t fixed_rows = 0) {
        hpc_value_desc desc{};
        desc.kind = kind;
        desc.dtype = HPC_FLOAT32;
        desc.lead = fixed_rows ? HPC_LEAD_FIXED : HPC_LEAD_ROWS;
        desc.count = static_cast<uint64_t>(fixed_rows);
        desc.columns = static_cast<uint64_t>(columns);
        desc.buffer = buffer.handle;
        uint32_t id = 0;
        check(hpc_program_value(handle, &desc, &id));
        return id;
    }
    void finish() { check(hpc_program_finish(handle)); }
    void run() {
        if (hpc_program_run(handle, rows, 1, nullptr, 0, nullptr) != HPC_OK) std::abort();
    }
};

// Several products in one run count as one contestant's call; it takes `repeats` times as long.
std::unique_ptr<Program> record_product(Device& device, const Shape& shape, Buffer& a, Buffer& b, Buffer& c, int repeats,
                                        int weight_kind = HPC_VALUE_PARAMETER) {
    const bool weights = shape.form == Form::TN;
    auto program = std::make_unique<Program>(device, static_cast<uint64_t>(weights ? shape.k : shape.m));
    const uint32_t left = program->value(HPC_VALUE_PERSISTENT, weights ? shape.m : shape.k, a);
    const uint32_t right = shape.form == Form::NN   ? program->value(weight_kind, shape.n, b, shape.k)
                           : shape.form == Form::NT ? program->value(HPC_VALUE_PARAMETER, shape.k, b, shape.n)
                                                    : program->value(HPC_VALUE_PERSISTENT, shape.n, b);
    for (int i = 0; i < repeats; i++) {
        const uint32_t out = program->value(weights ? HPC_VALUE_GRADIENT : HPC_VALUE_PERSISTENT, shape.n, c, weights ? shape.m : 0);
        if (shape.form == Form::NN) {
            const hpc_dense_forward forward{left, right, 0, out};
            check(hpc_record_dense_forward(program->handle, &forward));
        } else if (shape.form == Form::NT) {
            const hpc_dense_backward_input backward{left, right, out, 0};
            check(hpc_record_dense_backward_input(program->handle, &backward));
        } else {
            const hpc_dense_backward_weight backward{left, right, out, 0};
            check(hpc_record_dense_backward_weight(program->handle, &backward));
        }
    }
    program->finish();
    return program;
}

// ---- Other libraries ----------------------------------------------------------------------------------------------------

#if defined(_WIN32)
void* open_library(const char*) { return nullptr; }
template <class Function>
Function symbol(void*, const char*) {
    return nullptr;
}
#else
void* open_library(const char* file) { return dlopen(file, RTLD_NOW | RTLD_LOCAL); }
template <class Function>
Function symbol(void* library, const char* name) {
    void* address = dlsym(library, name);
    Function function = nullptr;
    std::memcpy(&function, &address, sizeof function);
    return function;
}
#endif

// A CBLAS library with threads of its own.
struct Library {
    using Sgemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
                           const float* b, int ldb, float beta, float* c, int ldc);
    std::string name, file;
    Sgemm sgemm;

    void multiply(const Shape& s, const float* a, const float* b, float* c) const {
        constexpr int row_major = 101, as_is = 111, transposed = 112;
        sgemm(row_major, s.form == Form::TN ? transposed : as_is, s.form == Form::NT ? transposed : as_is, static_cast<int>(s.m),
              static_cast<int>(s.n), static_cast<int>(s.k), 1, a, static_cast<int>(s.lda()), b, static_cast<int>(s.ldb()), 0, c,
              static_cast<int>(s.n));
    }
};

// The builds with OpenMP first: their threads are oneDNN's too, so that no library's idle threads spin beside another's.
std::vector<Library> open_libraries(int threads) {
    struct Known {
        const char* name;
        std::vector<const char*> files;
    };
    const Known known[] = {
        {"OpenBLAS", {"/usr/lib/x86_64-linux-gnu/openblas-openmp/libopenblas.so.0", "libopenblas.so.0", "libopenblas.so"}},
        {"BLIS", {"/usr/lib/x86_64-linux-gnu/blis-openmp/libblis.so.4", "libblis.so.4", "libblis.so"}},
    };
    std::vector<Library> libraries;
    for (const Known& one : known) {
        for (const char* file : one.files) {
            void* handle = open_library(file);
            if (!handle) continue;
            const auto sgemm = symbol<Library::Sgemm>(handle, "cblas_sgemm");
            if (!sgemm) continue;
            std::string words = file;
            if (const auto set = symbol<void (*)(int)>(handle, "openblas_set_num_threads")) set(threads);
            if (const auto core = symbol<const char* (*)()>(handle, "openblas_get_corename"))
                words.append(", kernels for ").append(core());
            if (const auto set = symbol<void (*)(int64_t)>(handle, "bli_thread_set_num_threads")) set(threads);
            const auto id = symbol<int (*)()>(handle, "bli_arch_query_id");
            const auto text = symbol<const char* (*)(int)>(handle, "bli_arch_string");
            if (id && text) words.append(", kernels for ").append(text(id()));
            libraries.push_back({one.name, words, sgemm});
            break;
        }
    }
    return libraries;
}

#if defined(HPC_BENCH_ONEDNN)

const dnnl::engine& engine() {
    static const dnnl::engine one(dnnl::engine::kind::cpu, 0);
    return one;
}

// oneDNN takes its threads from OpenMP, whose functions its library brings along.
void set_onednn_threads(int threads) {
#if !defined(_WIN32)
    if (const auto set = symbol<void (*)(int)>(RTLD_DEFAULT, "omp_set_num_threads")) set(threads);
#endif
}

// C = A B by a primitive that chose the layout of B, with bias and activation where they are wanted.
class PackedProduct {
public:
    PackedProduct(const Shape& s, const float* a, const float* b, const float* bias, float* c, bool relu) : stream_(engine()) {
        using memory = dnnl::memory;
        const auto floats = memory::data_type::f32;
        const memory::desc source({s.m, s.k}, floats, s.form == Form::TN ? memory::dims{1, s.m} : memory::dims{s.k, 1});
        const memory::desc plain({s.k, s.n}, floats, s.form == Form::NT ? memory::dims{1, s.k} : memory::dims{s.n, 1});
        const memory::desc any({s.k, s.n}, floats, memory::format_tag::any);
        const memory::desc out({s.m, s.n}, floats, memory::dims{s.n, 1});
        dnnl::primitive_attr attributes;
        if (relu) {
            dnnl::post_ops operations;
            operations.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
            attributes.set_post_ops(operations);
        }
        const memory::desc row({1, s.n}, floats, memory::dims{s.n, 1});
        const dnnl::matmul::desc description = bias ? dnnl::matmul::desc(source, any, row, out) : dnnl::matmul::desc(source, any, out);
        const dnnl::matmul::primitive_desc primitive(description, attributes, engine());
        memory packed(primitive.weights_desc(), engine());
        memory unpacked(plain, engine(), const_cast<float*>(b));
        dnnl::reorder(unpacked, packed).execute(stream_, unpacked, packed);
        stream_.wait();
        product_ = dnnl::matmul(primitive);
        arguments_ = {{DNNL_ARG_SRC, memory(source, engine(), const_cast<float*>(a))},
                      {DNNL_ARG_WEIGHTS, packed},
                      {DNNL_ARG_DST, memory(out, engine(), c)}};
        if (bias) arguments_.insert({DNNL_ARG_BIAS, memory(row, engine(), const_cast<float*>(bias))});
    }
    void run() {
        product_.execute(stream_, arguments_);
        stream_.wait();
    }

private:
    dnnl::stream stream_;
    dnnl::primitive product_;
    std::unordered_map<int, dnnl::memory> arguments_;
};

#endif

// ---- Contests -----------------------------------------------------------------------------------------------------------

struct Contestant {
    std::string name;
    std::function<void()> call;
    int products;  // that one call makes
    std::vector<double> seconds = {};  // of one product, by round
};

// Turns by round; all contestants have the same number of values afterwards.
void contest(std::vector<Contestant>& contestants, const Options& options) {
    std::vector<int> calls(contestants.size());
    const double turn = options.milliseconds * 1e-3;
    const auto pause = [&] {
        // Until idle threads of the last contestant sleep (short_spins). Much longer, and a virtual machine gives the second processor
        // away, which the next contestant then has to wait for.
        if (options.threads > 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    };
    for (size_t i = 0; i < contestants.size(); i++) {
        pause();
        double least = 1e9;
        for (int trial = 0; trial < 3; trial++) {
            const auto start = Clock::now();
            contestants[i].call();
            least = std::min(least, std::chrono::duration<double>(Clock::now() - start).count());
        }
        calls[i] = std::max(1, static_cast<int>(turn / std::max(least, 1e-7)));
    }
    for (int round = 0; round < options.rounds; round++) {
        for (size_t turned = 0; turned < contestants.size(); turned++) {
            const size_t i = (turned + static_cast<size_t>(round)) % contestants.size();
            Contestant& contestant = contestants[i];
            pause();
            // A call that fills a turn warms itself.
            const int warm = calls[i] == 1 ? 0 : std::max(1, calls[i] / (options.threads > 1 ? 2 : 10));
            for (int j = 0; j < warm; j++) contestant.call();
            const auto start = Clock::now();
            for (int j = 0; j < calls[i]; j++) contestant.call();
            const double spent = std::chrono::duration<double>(Clock::now() - start).count();
            contestant.seconds.push_back(spent / calls[i] / contestant.products);
        }
    }
}

struct Ratio {
    double value;
    Interval interval;
};
Ratio ratio(const Contestant& one, const Contestant& other) {
    std::vector<double> ratios;
    for (size_t i = 0; i < one.seconds.size(); i++) ratios.push_back(one.seconds[i] / other.seconds[i]);
    return {median(ratios), interval_of_median(ratios)};
}

double least(const Contestant& contestant) { return *std::min_element(contestant.seconds.begin(), contestant.seconds.end()); }

std::vector<float> random_floats(size_t count, uint32_t seed) {
    std::minstd_rand random(seed);
    std::vector<float> data(count);
    for (float& x : data) x = static_cast<float>(random() % 1000) / 1000 - 0.5f;
    return data;
}

class Json {
public:
    void add(const std::string& workload, int threads, const std::string& provider, const char* isa, double flops, double peak,
             const Contestant& contestant, const Ratio* against) {
        char line[512];
        const double fastest = least(contestant);
        std::snprintf(line, sizeof line,
                      "%s\n    {\"workload\": \"%s\", \"threads\": %d, \"blas\": \"%s\", \"isa\": \"%s\", \"nsMin\": %.1f, "
                      "\"nsMedian\": %.1f, \"gflops\": %.2f, \"peakShare\": %.4f",
                      text_.empty() ? "" : ",", workload.c_str(), threads, provider.c_str(), isa, fastest * 1e9,
                      median(contestant.seconds) * 1e9, flops / fastest / 1e9, flops / fastest / 1e9 / peak);
        text_ += line;
        if (against) {
            std::snprintf(line, sizeof line, ", \"ratio\": %.4f, \"ratioLow\": %.4f, \"ratioHigh\": %.4f", against->value,
                          against->interval.low, against->interval.high);
            text_ += line;
        }
        text_ += "}";
    }
    void write(const std::string& file, const std::string& machine) const {
        if (file.empty()) return;
        std::FILE* out = std::fopen(file.c_str(), "w");
        if (!out) throw std::runtime_error("cannot write " + file);
        std::fprintf(out, "{\n  \"machine\": {%s},\n  \"results\": [%s\n  ]\n}\n", machine.c_str(), text_.c_str());
        std::fclose(out);
    }

private:
    std::string text_;
};

// The largest difference of the products, in units of what rounding may do: fails if two contestants do not compute the same.
void compare_products(const Shape& shape, const std::string& name, const std::vector<float>& expected, const std::vector<float>& found) {
    const double allowed = 1e-6 * std::sqrt(static_cast<double>(shape.k)) + 1e-6;
    for (size_t i = 0; i < expected.size(); i++) {
        if (!(std::abs(static_cast<double>(expected[i]) - static_cast<double>(found[i])) <= allowed))
            throw std::runtime_error(shape.name() + ": " + name + " gives another product than the built-in kernels");
    }
}

void products(Device& device, const hpc_device_info& info, const Options& options, Json& json) {
    const std::vector<Library> libraries = open_libraries(options.threads);
    for (const Library& library : libraries) std::printf("%s: %s\n", library.name.c_str(), library.file.c_str());
    for (const char* name : {"OpenBLAS", "BLIS"}) {
        if (std::none_of(libraries.begin(), libraries.end(), [&](const Library& library) { return library.name == name; }))
            std::printf("%s: not found, not compared (Debian: libopenblas0-openmp, libblis4-openmp)\n", name);
    }
#if defined(HPC_BENCH_ONEDNN)
    set_onednn_threads(options.threads);
    const dnnl_version_t* version = dnnl_version();
    std::printf("oneDNN: %d.%d.%d\n", version->major, version->minor, version->patch);
#else
    std::printf("oneDNN: not found when this was built, not compared (Debian: libdnnl-dev)\n");
#endif
    std::printf("\n%-26s %-9s %10s %8s %6s | built-in time over the peer's: median [95 %% interval], the peer's GFLOP/s\n",
                "product", "network", "ns", "GFLOP/s", "share");

    for (const Shape& shape : kShapes) {
        const auto says = [&](const std::string& name) { return name.find(options.only) != std::string::npos; };
        if (!says(shape.name()) && !says(shape.network)) continue;
        const std::vector<float> a = random_floats(static_cast<size_t>(shape.m * shape.k), 1);
        const std::vector<float> b = random_floats(static_cast<size_t>(shape.k * shape.n), 2);
        Buffer left(device, a), right(device, b), out(device, static_cast<size_t>(shape.m * shape.n));
        // The peers' matrices lie as the built-in kernels' do: aligned, in large pages where the system has them.
        const auto aligned = [](size_t count) {
            const size_t bytes = (count * sizeof(float) + 4095) / 4096 * 4096;
            return std::unique_ptr<float, void (*)(void*)>(static_cast<float*>(std::aligned_alloc(4096, bytes)), std::free);
        };
        const auto peer_a = aligned(a.size()), peer_b = aligned(b.size()), peer_c = aligned(static_cast<size_t>(shape.m * shape.n));
        std::copy(a.begin(), a.end(), peer_a.get());
        std::copy(b.begin(), b.end(), peer_b.get());
        const float *pa = peer_a.get(), *pb = peer_b.get();
        float* pc = peer_c.get();

        std::vector<float> expected(static_cast<size_t>(shape.m * shape.n)), found(expected.size());
        const int repeats = static_cast<int>(std::clamp(4e6 / shape.flops(), 1.0, 32.0));
        const std::unique_ptr<Program> program = record_product(device, shape, left, right, out, repeats);
        std::vector<Contestant> contestants;
        contestants.push_back({"built-in", [&] { program->run(); }, repeats});
        program->run();
        check(hpc_buffer_read(out.handle, 0, expected.data(), expected.size() * sizeof(float)));
        // The same over packed weights: the same bits, in other time.
        Buffer constants(device, b);
        std::unique_ptr<Program> over_panels;
        if (shape.form == Form::NN) {
            over_panels = record_product(device, shape, left, constants, out, repeats, HPC_VALUE_CONSTANT);
            contestants.push_back({"packed", [&] { over_panels->run(); }, repeats});
        }
        const size_t first_peer = contestants.size();
        for (const Library& library : libraries)
            contestants.push_back({library.name, [&shape, &library, pa, pb, pc] { library.multiply(shape, pa, pb, pc); }, 1});
#if defined(HPC_BENCH_ONEDNN)
        const auto sgemm = [&shape, pa, pb, pc] {
            dnnl_sgemm(shape.form == Form::TN ? 'T' : 'N', shape.form == Form::NT ? 'T' : 'N', shape.m, shape.n, shape.k, 1, pa,
                       shape.lda(), pb, shape.ldb(), 0, pc, shape.n);
        };
        contestants.push_back({"oneDNN sgemm", sgemm, 1});
        PackedProduct packed(shape, pa, pb, nullptr, pc, false);
        contestants.push_back({"oneDNN packed", [&packed] { packed.run(); }, 1});
        const size_t packing_peer = contestants.size() - 1;
#else
        const size_t packing_peer = contestants.size();
#endif
        for (size_t i = first_peer; i < contestants.size(); i++) {
            std::fill_n(pc, expected.size(), -1e9f);
            contestants[i].call();
            std::copy_n(pc, expected.size(), found.begin());
            compare_products(shape, contestants[i].name, expected, found);
        }

        contest(contestants, options);
        const double peak = device.peak_gflops();
        const Contestant& own = contestants.front();
        const double gflops = shape.flops() / least(own) / 1e9;
        std::printf("%-26s %-9s %10.0f %8.1f %5.1f%% |", shape.name().c_str(), shape.network, least(own) * 1e9, gflops,
                    100 * gflops / peak);
        json.add(shape.name(), options.threads, "builtin", info.isa, shape.flops(), peak, own, nullptr);
        const Contestant *best = nullptr, *best_unpacked = nullptr;
        for (size_t i = 1; i < contestants.size(); i++) {
            const Contestant& peer = contestants[i];
            const Ratio against = ratio(own, peer);
            std::printf("  %s %.3f [%.3f, %.3f] %.0f", peer.name.c_str(), against.value, against.interval.low, against.interval.high,
                        shape.flops() / least(peer) / 1e9);
            json.add(shape.name(), options.threads, peer.name, info.isa, shape.flops(), peak, peer, &against);
            if (i < first_peer) continue;
            if (!best || median(peer.seconds) < median(best->seconds)) best = &peer;
            if (i != packing_peer && (!best_unpacked || median(peer.seconds) < median(best_unpacked->seconds))) best_unpacked = &peer;
        }
        const auto verdict = [](const Ratio& against) {
            return against.interval.low > 1 ? "BEHIND" : against.interval.high < 1 ? "ahead" : "even";
        };
        if (best) std::printf("  %s", verdict(ratio(contestants[first_peer - 1], *best)));
        if (best_unpacked && over_panels) std::printf(", as is %s", verdict(ratio(own, *best_unpacked)));
        std::printf("\n");
        std::fflush(stdout);
    }
}

// Dense forward with bias and activation over the bare product of the built-in kernels, and the same of oneDNN.
void forwards(Device& device, const hpc_device_info& info, const Options& options, Json& json) {
    struct Epilogue {
        const char* name;
        int activation;
    };
    constexpr Epilogue epilogues[] = {
        {"bias + ReLU", HPC_ACTIVATION_RELU}, {"bias + tanh", HPC_ACTIVATION_TANH}, {"bias + GELU", HPC_ACTIVATION_GELU}};
#if defined(HPC_BENCH_ONEDNN)
    set_onednn_threads(options.threads);
#endif
    std::printf("\n%-26s %10s %8s %6s | time over the bare product: median [95 %% interval]\n", "dense forward", "ns bare", "GFLOP/s",
                "share");
    for (const ForwardShape& forward : kForwardShapes) {
        const Shape shape{"forward", Form::NN, forward.rows, forward.out, forward.in};
        std::string name = "forward-";
        name.append(shape.name().substr(5, shape.name().size() - 8));
        if (name.find(options.only) == std::string::npos) continue;
        const std::vector<float> a = random_floats(static_cast<size_t>(shape.m * shape.k), 1);
        const std::vector<float> b = random_floats(static_cast<size_t>(shape.k * shape.n), 2);
        const std::vector<float> bias = random_floats(static_cast<size_t>(shape.n), 3);
        Buffer left(device, a), right(device, b), row(device, bias);
        Buffer out(device, static_cast<size_t>(shape.m * shape.n)), kept(device, static_cast<size_t>(shape.m * shape.n));

        std::vector<std::unique_ptr<Program>> programs;
        std::vector<Contestant> contestants;
        programs.push_back(record_product(device, shape, left, right, out, 1));
        contestants.push_back({"bare", [one = programs.back().get()] { one->run(); }, 1});
        for (const Epilogue& epilogue : epilogues) {
            hpc_activation_info activation{};
            check(hpc_get_activation_info(epilogue.activation, &activation));
            auto program = std::make_unique<Program>(device, static_cast<uint64_t>(shape.m));
            const uint32_t x = program->value(HPC_VALUE_PERSISTENT, shape.k, left);
            const uint32_t w = program->value(HPC_VALUE_PARAMETER, shape.n, right, shape.k);
            const uint32_t bias_row = program->value(HPC_VALUE_PARAMETER, shape.n, row, 1);
            hpc_value_desc temporary{};
            temporary.kind = HPC_VALUE_TEMPORARY;
            temporary.lead = HPC_LEAD_ROWS;
            temporary.columns = static_cast<uint64_t>(shape.n);
            uint32_t z = 0;
            check(hpc_program_value(program->handle, &temporary, &z));
            const hpc_dense_forward dense{x, w, bias_row, z};
            check(hpc_record_dense_forward(program->handle, &dense));
            const uint32_t y = program->value(HPC_VALUE_PERSISTENT, shape.n, out);
            const uint32_t derivative =
                activation.keeps == HPC_KEEPS_DERIVATIVE ? program->value(HPC_VALUE_PERSISTENT, shape.n, kept) : 0;
            const hpc_activation_forward apply{epilogue.activation, z, y, derivative, 0, 0};
            check(hpc_record_activation_forward(program->handle, &apply));
            program->finish();
            programs.push_back(std::move(program));
            contestants.push_back({epilogue.name, [one = programs.back().get()] { one->run(); }, 1});
        }
#if defined(HPC_BENCH_ONEDNN)
        std::vector<float> c(static_cast<size_t>(shape.m * shape.n));
        PackedProduct bare(shape, a.data(), b.data(), nullptr, c.data(), false);
        PackedProduct fused(shape, a.data(), b.data(), bias.data(), c.data(), true);
        contestants.push_back({"oneDNN packed bare", [&bare] { bare.run(); }, 1});
        contestants.push_back({"oneDNN packed bias + ReLU", [&fused] { fused.run(); }, 1});
#endif
        contest(contestants, options);
        const double peak = device.peak_gflops();
        const double gflops = shape.flops() / least(contestants[0]) / 1e9;
        std::printf("%-26s %10.0f %8.1f %5.1f%% |", name.c_str(), least(contestants[0]) * 1e9, gflops, 100 * gflops / peak);
        json.add(name, options.threads, "builtin", info.isa, shape.flops(), peak, contestants[0], nullptr);
        for (size_t i = 1; i < contestants.size(); i++) {
            const Ratio over = ratio(contestants[i], contestants[0]);
            std::printf("  %s %.3f [%.3f, %.3f]", contestants[i].name.c_str(), over.value, over.interval.low, over.interval.high);
            json.add(name, options.threads, contestants[i].name, info.isa, shape.flops(), peak, contestants[i], &over);
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}

// Idle threads of GCC's OpenMP spin for about ten milliseconds before they sleep, where the next contestant wants to work. Its run time
// reads how long it may be when it is loaded, which is before main.
void short_spins(char** argv) {
#if defined(__linux__)
    if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
    setenv("GOMP_SPINCOUNT", "20000", 1);
    execv("/proc/self/exe", argv);
#else
    (void)argv;
#endif
}

Options read_options(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; i++) {
        const std::string name = argv[i];
        if (name == "--forward") {
            options.forward = true;
            continue;
        }
        if (i + 1 == argc) throw std::invalid_argument(name + ": unknown, or without its value");
        const char* value = argv[++i];
        if (name == "--threads") {
            options.threads = std::atoi(value);
        } else if (name == "--rounds") {
            options.rounds = std::atoi(value);
        } else if (name == "--milliseconds") {
            options.milliseconds = std::atof(value);
        } else if (name == "--only") {
            options.only = value;
        } else if (name == "--isa") {
            options.isa = value;
        } else if (name == "--json") {
            options.json = value;
        } else {
            throw std::invalid_argument(name + ": unknown; see the head of gemm_peers_bench.cpp");
        }
    }
    if (options.threads < 1 || options.rounds < 1 || !(options.milliseconds > 0))
        throw std::invalid_argument("--threads, --rounds and --milliseconds are numbers above 0");
    return options;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        short_spins(argv);
        const Options options = read_options(argc, argv);
        Device device(options);
        hpc_device_info info{};
        check(hpc_device_get_info(device.handle, &info));
        std::printf("%s, %s, %d thread%s: peak %.1f GFLOP/s\n", info.name, info.isa, options.threads, options.threads == 1 ? "" : "s",
                    device.peak_gflops());
        const auto start = Clock::now();
        const double machine_start = machine_seconds(), own_start = own_seconds();
        Json json;
        if (options.forward) {
            forwards(device, info, options, json);
        } else {
            products(device, info, options, json);
        }
        const double processors = std::max(1u, std::thread::hardware_concurrency());
        const double spent = std::chrono::duration<double>(Clock::now() - start).count() * processors;
        const double others = std::max(0.0, machine_seconds() - machine_start - (own_seconds() - own_start)) / spent;
        std::printf("\npeak at the end %.1f GFLOP/s; others had %.1f %% of the processors%s\n", device.peak_gflops(), 100 * others,
                    others > 0.05 ? ": DISTURBED, measure again" : "");
        char machine[512];
        std::snprintf(machine, sizeof machine,
                      "\"name\": \"%s\", \"isa\": \"%s\", \"threads\": %d, \"peakGflops\": %.1f, \"othersShare\": %.4f", info.name, info.isa, options.threads, device.peak, others);
        json.write(options.json, machine);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
