// Measuring the peak and the bandwidth (see measure.h). Both take the best of many short rounds: what disturbs a round
// on a shared machine only makes it slower.
#include "cpu/measure.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "error.h"

namespace hpc::cpu {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr double kRoundSeconds = 0.002;
// In all, source and destination: several times the last-level caches of most processors.
constexpr int64_t kCopyBytes = int64_t{256} << 20;
// A piece is long enough to stream and short enough that members end together.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

struct alignas(kFalseSharing) Slot {
    float sink[16] = {};  // as wide as the widest register
    double flops = 0;
};

double measure_peak(Team::Lease& lease, int threads, const Kernels& kernels, Clock::time_point start, double seconds) {
    std::vector<Slot> slots(static_cast<std::size_t>(threads));

    // How many iterations make a round: doubled until one thread is busy for half of it.
    int64_t iterations = 1000;
    for (;;) {
        const Clock::time_point begin = Clock::now();
        kernels.fma_loop(iterations, slots[0].sink);
        const double taken = seconds_since(begin);
        if (taken >= kRoundSeconds / 2 || iterations > (int64_t{1} << 40)) break;
        iterations *= 2;
    }

    double best = 0;
    do {
        for (Slot& slot : slots) slot.flops = 0;
        const Clock::time_point begin = Clock::now();
        // A loop for each member. In a round for which one comes too late another runs two, and the round does not win.
        // The fastest that a team can be is all at once.
        lease.run([&](Member& member) {
            member.tiles(threads, [&](int64_t tile) {
                Slot& slot = slots[static_cast<std::size_t>(tile)];
                slot.flops = kernels.fma_loop(iterations, slot.sink);
            });
        });
        const double taken = seconds_since(begin);
        double flops = 0;
        for (const Slot& slot : slots) flops += slot.flops;
        if (taken > 0) best = std::max(best, flops / taken);
    } while (seconds_since(start) < seconds);
    return best * 1e-9;
}

double measure_copy(Team::Lease& lease, Clock::time_point start, double seconds) {
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };
    const int64_t bytes = kCopyBytes / 2, pieces = bytes / kPieceBytes;
    const std::unique_ptr<void, Free> source_memory(std::malloc(static_cast<std::size_t>(bytes)));
    const std::unique_ptr<void, Free> destination_memory(std::malloc(static_cast<std::size_t>(bytes)));
    if (!source_memory || !destination_memory) throw std::bad_alloc();
    char* const source = static_cast<char*>(source_memory.get());
    char* const destination = static_cast<char*>(destination_memory.get());

    // Touched first by the members that will use it, and not all zero pages of one physical page.
    lease.run([&](Member& member) {
        member.tiles(pieces, [&](int64_t piece) {
            std::memset(source + piece * kPieceBytes, static_cast<int>(piece % 251) + 1, kPieceBytes);
            std::memset(destination + piece * kPieceBytes, 0, kPieceBytes);
        });
    });
    double best = 0;
    do {
        const Clock::time_point begin = Clock::now();
        lease.run([&](Member& member) {
            member.tiles(pieces, [&](int64_t piece) {
                std::memcpy(destination + piece * kPieceBytes, source + piece * kPieceBytes, kPieceBytes);
            });
        });
        const double taken = seconds_since(begin);
        if (taken > 0) best = std::max(best, 2.0 * static_cast<double>(bytes) / taken);
    } while (seconds_since(start) < seconds);
    return best * 1e-9;
}

}  // namespace

hpc_measurement measure(Team& team, const Kernels& kernels, int milliseconds) {
    const double seconds = milliseconds * 1e-3;
    const Clock::time_point start = Clock::now();
    for (;;) {
        Team::Lease lease(team);
        if (lease) {
            const Clock::time_point first = Clock::now();
            hpc_measurement result{};
            result.peak_gflops = measure_peak(lease, team.threads(), kernels, first, seconds / 2);
            result.copy_gigabytes_per_second = measure_copy(lease, first, seconds);
            return result;
        }
        if (seconds_since(start) > seconds) {
            fail(HPC_BUSY, "the device was running programs for all of %d milliseconds; nothing was measured",
                 milliseconds);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace hpc::cpu
