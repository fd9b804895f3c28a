// Speed of the tile product on one thread: for the shapes of a few networks, GFLOP/s of the built-in kernels, driven
// over their planned tiles, of the same with one tile for the whole product, and of each BLAS provider that is found.
//
//   gemm_bench [isa [network]]    isa: avx512, avx2, scalar or best; network: only those whose name begins so
//
// Minimum processor times of many short rounds, all contestants in turn: other tenants of the machine only make a round
// slower. (On Windows clock() is the time of day.) The share is of the fused multiply-add peak measured in the same
// run.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cpu/blas.h"
#include "cpu/dispatch.h"
#include "cpu/gemm_plan.h"

namespace {

using namespace hpc::cpu;

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double seconds(const std::function<void()>& body, int repetitions) {
    const double start = processor_seconds();
    for (int i = 0; i < repetitions; i++) body();
    return (processor_seconds() - start) / repetitions;
}

struct Aligned {
    explicit Aligned(size_t count) : memory(count + 16) {
        const auto address = reinterpret_cast<uintptr_t>(memory.data());
        data = memory.data() + (64 - address % 64) % 64 / 4;
    }
    std::vector<float> memory;
    float* data;
};

struct Shape {
    const char* of;
    Form form;
    int64_t m, n, k;
};

constexpr Shape kShapes[] = {
    {"784-512-256-10, batch 128", Form::NN, 128, 512, 784},
    {"", Form::NN, 128, 256, 512},
    {"", Form::NN, 128, 10, 256},
    {"", Form::NT, 128, 256, 10},
    {"", Form::NT, 128, 512, 256},
    {"", Form::TN, 256, 10, 128},
    {"", Form::TN, 512, 256, 128},
    {"", Form::TN, 784, 512, 128},
    {"784-512-256-10, batch 64", Form::NN, 64, 512, 784},
    {"", Form::NN, 64, 256, 512},
    {"", Form::NT, 64, 512, 256},
    {"", Form::TN, 784, 512, 64},
    {"784-512-256-10, batch 1", Form::NN, 1, 512, 784},
    {"", Form::NN, 1, 256, 512},
    {"", Form::NN, 1, 10, 256},
    {"", Form::NT, 1, 512, 256},
    {"", Form::TN, 784, 512, 1},
    {"64-64-32-3, batch 32", Form::NN, 32, 64, 64},
    {"", Form::NN, 32, 32, 64},
    {"", Form::NN, 32, 3, 32},
    {"", Form::NT, 32, 32, 3},
    {"", Form::NT, 32, 64, 32},
    {"", Form::TN, 32, 3, 32},
    {"", Form::TN, 64, 32, 32},
    {"", Form::TN, 64, 64, 32},
    {"1024-1024, batch 256", Form::NN, 256, 1024, 1024},
    {"", Form::NT, 256, 1024, 1024},
    {"", Form::TN, 1024, 1024, 256},
    {"square 1024", Form::NN, 1024, 1024, 1024},
    {"", Form::NT, 1024, 1024, 1024},
    {"", Form::TN, 1024, 1024, 1024},
    {"2-8-1, batch 4", Form::NN, 4, 8, 2},
    {"", Form::NN, 4, 1, 8},
    {"", Form::NT, 4, 8, 1},
    {"", Form::TN, 8, 1, 4},
    {"", Form::TN, 2, 8, 4},
    {"others", Form::NN, 128, 1, 256},
    {"", Form::NN, 128, 3, 256},
    {"", Form::NT, 8, 512, 512},
    {"", Form::NT, 16, 512, 512},
    {"", Form::NN, 8, 512, 512},
    {"", Form::NN, 16, 512, 512},
    {"", Form::TN, 4, 32, 10000},
};

const char* name_of(Form form) { return form == Form::NN ? "NN" : form == Form::NT ? "NT" : "TN"; }

}  // namespace

int main(int argc, char** argv) {
    const Kernels& kernels = choose_kernels(argc > 1 && std::string(argv[1]) != "best" ? argv[1] : nullptr);

    float sink[16];
    double peak = 0;
    const auto measure_peak = [&] {
        for (int round = 0; round < 20; round++) {
            const double start = processor_seconds();
            const double flops = kernels.fma_loop(500000, sink);
            peak = std::max(peak, flops / (processor_seconds() - start) / 1e9);
        }
    };
    measure_peak();

    std::vector<std::unique_ptr<BlasProvider>> providers;
    for (const char* name : {"mkl", "openblas", "onednn", "blis"}) {
        try {
            std::string report;
            providers.push_back(load_blas(name, nullptr, report));
        } catch (const std::exception&) {
            // Not installed: not compared.
        }
    }

    std::printf("%s, peak of one thread %.1f GFLOP/s\n\n%-26s %-4s %5s %5s %5s %10s %9s %6s %9s %9s %-13s", kernels.isa,
                peak, "network", "form", "m", "n", "k", "ns", "GFLOP/s", "share", "packed", "one tile", "tiles");
    for (const auto& provider : providers) std::printf(" %9s", provider->name());
    std::printf("\n");

    Aligned scratch(kernels.gemm_scratch_bytes / 4);
    std::minstd_rand random(1);
    std::string network;
    for (const Shape& shape : kShapes) {
        if (*shape.of) network = shape.of;
        if (argc > 2 && network.rfind(argv[2], 0) != 0) continue;
        const auto [of, form, m, n, k] = shape;
        const int64_t lda = form == Form::TN ? m : k, ldb = form == Form::NT ? k : n;
        Aligned a(static_cast<size_t>(m * k)), b(static_cast<size_t>(n * k)), c(static_cast<size_t>(m * n) * 17);
        for (int64_t i = 0; i < m * k; i++) a.data[i] = static_cast<float>(random() % 1000) / 1000 - 0.5f;
        for (int64_t i = 0; i < n * k; i++) b.data[i] = static_cast<float>(random() % 1000) / 1000 - 0.5f;
        const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);

        const GemmPlan plan = plan_gemm(form, m, n, k, kernels.blocks, false);
        std::vector<std::function<void()>> contestants;
        const auto run_plan = [&, form = form, m = m, n = n, k = k](const float* panels) {
            for (int64_t part = 0; part < plan.splits; part++) {
                const int64_t k0 = part * plan.split_k;
                for (int64_t i = 0, count = plan.tiles(m, n); i < count; i++) {
                    const GemmPlan::Tile at = plan.tile(i, m, n);
                    const float* a_at = form == Form::TN ? a.data + k0 * lda + at.row : a.data + at.row * lda;
                    const float* b_at = form == Form::NT ? b.data + at.column * ldb : b.data + k0 * ldb + at.column;
                    const GemmTile tile{
                        form,
                        at.m,
                        at.n,
                        std::min(plan.split_k, k - k0),
                        a_at,
                        lda,
                        b_at,
                        ldb,
                        (plan.splits > 1 ? c.data + (part + 1) * m * n : c.data) + at.row * n + at.column,
                        n,
                        nullptr,
                        at.row,
                        at.column,
                        plan.path,
                        panels ? panels + at.column * k : nullptr};
                    kernels.gemm(tile, scratch.data);
                }
            }
            if (plan.splits > 1) kernels.sum_parts(c.data + m * n, plan.splits, m * n, c.data, m * n);
        };
        const int64_t panel_columns = (n + kernels.blocks.nr - 1) / kernels.blocks.nr * kernels.blocks.nr;
        Aligned panels(form == Form::NN ? static_cast<size_t>(k * panel_columns) : 1);
        if (form == Form::NN) kernels.pack_panels(b.data, ldb, k, n, panels.data);
        contestants.push_back([&] { run_plan(nullptr); });
        contestants.push_back([&, form = form] { run_plan(form == Form::NN ? panels.data : nullptr); });
        contestants.push_back([&, form = form, m = m, n = n, k = k] {
            const GemmTile tile{form, m, n, k, a.data, lda, b.data, ldb, c.data, n, nullptr, 0, 0, plan.path};
            kernels.gemm(tile, scratch.data);
        });
        for (const auto& provider : providers) {
            contestants.push_back([&, form = form, m = m, n = n, k = k] {
                provider->sgemm(form, m, n, k, a.data, lda, b.data, ldb, c.data, n);
            });
        }

        const int repetitions = static_cast<int>(std::clamp(1e8 / flops / 2, 1.0, 20000.0));
        std::vector<double> best(contestants.size(), 1e9);
        for (int round = 0; round < 25; round++) {
            for (size_t i = 0; i < contestants.size(); i++)
                best[i] = std::min(best[i], seconds(contestants[i], repetitions));
        }
        const auto gflops = [&](double time) { return flops / time / 1e9; };
        std::printf("%-26s %-4s %5d %5d %5d %10.0f %9.1f %5.0f%% %9.1f %9.1f %3dx%-3d %4dx%-4d", of, name_of(form),
                    static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), best[0] * 1e9, gflops(best[0]),
                    100 * gflops(best[0]) / peak, gflops(best[1]), gflops(best[2]), static_cast<int>(plan.row_tiles(m) * plan.splits),
                    static_cast<int>(plan.column_tiles(n)), static_cast<int>(plan.tile_m),
                    static_cast<int>(plan.tile_n));
        for (size_t i = 3; i < best.size(); i++) std::printf(" %9.1f", gflops(best[i]));
        std::printf("\n");
    }
    measure_peak();
    std::printf("\npeak at the end %.1f GFLOP/s\n", peak);
    return 0;
}
