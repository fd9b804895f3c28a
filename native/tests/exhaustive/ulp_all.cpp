// Runs every elementary function over all 2^32 floats, in the best instruction set that this processor has, and prints
// the largest error in units of the last place and where it is. Takes minutes; not part of CTest. Exits with 1 if an
// error is above its bound.
#include <algorithm>
#include <cstdio>
#include <mutex>
#include <thread>

#include "../formula_isas.h"

using namespace formula_test;

int main() {
    const Isa isa = isas().back();
    bool good = true;
    for (int f = 0; f < kFunctionCount; ++f) {
        const Function function = static_cast<Function>(f);
        std::mutex mutex;
        double worst = 0;
        float at = 0;
        const unsigned threads = std::max(1u, std::thread::hardware_concurrency());
        std::vector<std::thread> team;
        for (unsigned t = 0; t < threads; ++t) {
            team.emplace_back([&, t] {
                constexpr int64_t kBlock = 4096;
                std::vector<float> x(kBlock), y(kBlock);
                double largest = 0;
                float place = 0;
                for (uint64_t start = t * kBlock; start < (uint64_t{1} << 32); start += threads * kBlock) {
                    for (int64_t i = 0; i < kBlock; ++i) {
                        const uint32_t word = static_cast<uint32_t>(start + static_cast<uint64_t>(i));
                        std::memcpy(&x[i], &word, sizeof word);
                    }
                    isa.run(function, x.data(), y.data(), kBlock);
                    for (int64_t i = 0; i < kBlock; ++i) {
                        const double error = ulp_error(y[i], truth(function, x[i]));
                        if (error > largest) largest = error, place = x[i];
                    }
                }
                const std::lock_guard<std::mutex> lock(mutex);
                if (largest > worst) worst = largest, at = place;
            });
        }
        for (std::thread& thread : team) thread.join();
        const bool within = worst <= kFunctions[f].bound;
        good = good && within;
        std::printf("%-8s %s  largest error %.4f ulp at %a (%.9g), bound %.1f%s\n", kFunctions[f].name,
                    isa.kernels->isa, worst, static_cast<double>(at), static_cast<double>(at), kFunctions[f].bound,
                    within ? "" : "  EXCEEDED");
        std::fflush(stdout);
    }
    return good ? 0 : 1;
}
