// oneDNN: onednn_peer WORKLOAD.safetensors THREADS, for the inference workloads. compare.py compiles it:
//   c++ -std=c++17 -O2 onednn_peer.cpp -o onednn_peer -ldnnl
//
// Each layer is one primitive with bias and ReLU in its epilogue, its weights packed beforehand in the layout that the primitive chose,
// which is not timed. Two ways are there, matmul and inner product; each is tried for a moment and the faster one runs.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <dnnl.hpp>

extern "C" void omp_set_num_threads(int);

namespace {

using dnnl::memory;
using Clock = std::chrono::steady_clock;

// As much of the format as HpcNet's writer uses.
class Workload {
public:
    explicit Workload(const char* path) {
        std::ifstream file(path, std::ios::binary);
        if (!file) throw std::runtime_error(std::string("cannot read ") + path);
        uint64_t length = 0;
        file.read(reinterpret_cast<char*>(&length), 8);
        header_.resize(length);
        file.read(header_.data(), static_cast<std::streamsize>(length));
        body_.assign(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    std::string text(const std::string& key) const {
        const size_t at = after("\"" + key + "\":\"");
        return header_.substr(at, header_.find('"', at) - at);
    }
    template <class T>
    std::vector<T> array(const std::string& name) const {
        const size_t at = header_.find("\"data_offsets\":[", after("\"" + name + "\":{")) + 16;
        size_t begin = 0, end = 0;
        if (std::sscanf(header_.c_str() + at, "%zu,%zu", &begin, &end) != 2 || end > body_.size())
            throw std::runtime_error("bad offsets of " + name);
        std::vector<T> values((end - begin) / sizeof(T));
        std::memcpy(values.data(), body_.data() + begin, end - begin);
        return values;
    }
    // Names that end so, in the order of the file.
    std::vector<std::string> names(const std::string& ending) const {
        std::vector<std::string> found;
        for (size_t at = 0; (at = header_.find(ending + "\":{", at)) != std::string::npos; at++) {
            const size_t begin = header_.rfind('"', at) + 1;
            found.push_back(header_.substr(begin, at + ending.size() - begin));
        }
        return found;
    }

private:
    size_t after(const std::string& text) const {
        const size_t at = header_.find(text);
        if (at == std::string::npos) throw std::runtime_error("the file has no " + text);
        return at + text.size();
    }
    std::string header_;
    std::vector<char> body_;
};

struct Layer {
    int64_t in, out;
    std::vector<float> weight, bias;
    bool relu;
};

class Network {
public:
    Network(const std::vector<Layer>& layers, std::vector<float>& x, int64_t rows, bool inner_product)
        : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
        const auto floats = memory::data_type::f32;
        memory source({{rows, layers.front().in}, floats, memory::format_tag::ab}, engine_, x.data());
        for (const Layer& layer : layers) {
            memory result({{rows, layer.out}, floats, memory::format_tag::ab}, engine_);
            dnnl::primitive_attr attributes;
            if (layer.relu) {
                dnnl::post_ops operations;
                operations.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0);
                attributes.set_post_ops(operations);
            }
            float* weight = const_cast<float*>(layer.weight.data());
            float* bias = const_cast<float*>(layer.bias.data());
            if (inner_product) {
                // Its weights are [out, in]; ours lie as [in, out].
                const memory::desc any({layer.out, layer.in}, floats, memory::format_tag::any);
                const memory::desc row({layer.out}, floats, memory::format_tag::a);
                const dnnl::inner_product_forward::primitive_desc primitive(
                    {dnnl::prop_kind::forward_inference, source.get_desc(), any, row, result.get_desc()}, attributes, engine_);
                const memory plain({{layer.out, layer.in}, floats, memory::format_tag::ba}, engine_, weight);
                add(dnnl::inner_product_forward(primitive), source, packed(plain, primitive.weights_desc()), {row, engine_, bias}, result);
            } else {
                const memory::desc any({layer.in, layer.out}, floats, memory::format_tag::any);
                const memory::desc row({1, layer.out}, floats, memory::format_tag::ab);
                const dnnl::matmul::primitive_desc primitive({source.get_desc(), any, row, result.get_desc()}, attributes, engine_);
                const memory plain({{layer.in, layer.out}, floats, memory::format_tag::ab}, engine_, weight);
                add(dnnl::matmul(primitive), source, packed(plain, primitive.weights_desc()), {row, engine_, bias}, result);
            }
            source = result;
        }
        result_ = source;
    }

    void run() {
        for (Call& call : calls_) call.primitive.execute(stream_, call.arguments);
        stream_.wait();
    }
    const float* answer() const { return static_cast<const float*>(result_.get_data_handle()); }

private:
    struct Call {
        dnnl::primitive primitive;
        std::unordered_map<int, memory> arguments;
    };
    memory packed(memory plain, const memory::desc& layout) {
        memory result(layout, engine_);
        dnnl::reorder(plain, result).execute(stream_, plain, result);
        stream_.wait();
        return result;
    }
    void add(const dnnl::primitive& primitive, const memory& x, const memory& weight, const memory& bias, const memory& y) {
        calls_.push_back({primitive, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weight}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, y}}});
    }
    dnnl::engine engine_;
    dnnl::stream stream_;
    std::vector<Call> calls_;
    memory result_;
};

double nanoseconds(Network& network, int steps) {
    const auto start = Clock::now();
    for (int i = 0; i < steps; i++) network.run();
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count() / steps;
}

double best_of(Network& network) {
    for (int i = 0; i < 100; i++) network.run();
    double best = 1e18;
    for (int i = 0; i < 50; i++) best = std::min(best, nanoseconds(network, 10));
    return best;
}

void serve(const char* path, int threads) {
    const Workload workload(path);
    omp_set_num_threads(threads);
    std::vector<float> x = workload.array<float>("data.features");
    const std::vector<int32_t> labels = workload.array<int32_t>("data.labels");
    std::vector<int64_t> widths;
    std::istringstream numbers(workload.text("widths"));
    for (int64_t width; numbers >> width;) widths.push_back(width);
    const std::vector<std::string> weights = workload.names(".weight"), biases = workload.names(".bias");
    if (weights.size() + 1 != widths.size() || biases.size() != weights.size())
        throw std::runtime_error("the layers do not fit the widths");
    std::vector<Layer> layers;
    for (size_t i = 0; i < weights.size(); i++) {
        layers.push_back({widths[i], widths[i + 1], workload.array<float>(weights[i]), workload.array<float>(biases[i]),
                          i + 1 < weights.size()});
    }

    const int64_t rows = static_cast<int64_t>(labels.size()), classes = widths.back();
    Network matmul(layers, x, rows, false), inner(layers, x, rows, true);
    const bool inner_is_faster = best_of(inner) < best_of(matmul);
    Network& network = inner_is_faster ? inner : matmul;
    const dnnl_version_t* version = dnnl_version();
    std::printf("ready oneDNN %d.%d.%d, %s with packed weights\n", version->major, version->minor, version->patch,
                inner_is_faster ? "inner product" : "matmul");
    std::fflush(stdout);

    for (std::string line; std::getline(std::cin, line);) {
        int a = 0, b = 0, c = 0;
        if (std::sscanf(line.c_str(), "losses %d", &a) == 1) {
            network.run();
            double sum = 0;
            for (int64_t row = 0; row < rows; row++) {
                const float* scores = network.answer() + row * classes;
                double total = 0;
                for (int64_t i = 0; i < classes; i++) total += std::exp(static_cast<double>(scores[i]));
                sum += std::log(total) - scores[labels[static_cast<size_t>(row)]];
            }
            std::printf("losses");
            for (int i = 0; i < a; i++) std::printf(" %.9g", sum / static_cast<double>(rows));
        } else if (std::sscanf(line.c_str(), "run %d %d %d", &a, &b, &c) == 3) {
            for (int i = 0; i < a; i++) network.run();
            std::printf("run");
            for (int i = 0; i < b; i++) std::printf(" %.1f", nanoseconds(network, c));
        } else if (line == "begin") {
            std::printf("begin");
        } else if (line == "quit") {
            return;
        } else {
            throw std::runtime_error(line + " is no command");
        }
        std::printf("\n");
        std::fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    try {
        if (argc != 3) throw std::runtime_error("usage: onednn_peer WORKLOAD.safetensors THREADS");
        serve(argv[1], std::atoi(argv[2]));
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
