// Measuring the peak and the bandwidth (see measure.h). All take the best of many short rounds: what disturbs a round
// on a shared machine only makes it slower.
#include "cpu/measure.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "cpu/device.h"
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

double peak_of(Team::Lease& lease, int threads, const Kernels& kernels, Clock::time_point start, double seconds) {
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

double copy_of(Team::Lease& lease, Clock::time_point start, double seconds) {
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

// ---- Memory ----------------------------------------------------------------------------------------------------------

// Streams do not begin at the same place of a page: loads would wait for stores of other streams that look like theirs.
constexpr int64_t kStagger = 80;

struct alignas(kFalseSharing) Share {
    std::unique_ptr<Memory> memory;
    float sink[16] = {};  // as wide as the widest register
    bool touched = false;

    StreamPass pass(int64_t count, int64_t repetitions) {
        StreamPass result{};
        for (int i = 0; i < 4; ++i) result.streams[i] = reinterpret_cast<float*>(memory->data()) + i * (count + kStagger);
        result.count = count;
        result.repetitions = repetitions;
        result.sink = sink;
        return result;
    }

    void touch(int64_t count) {
        const StreamPass all = pass(count, 1);
        for (float* stream : all.streams) std::fill(stream, stream + count, 1.0f);
        touched = true;
    }
};

// What one repetition moves, in floats for each float of a stream.
constexpr double kMoved[kStreamKinds] = {4, 4, 4, 7};

double stream_of(Team::Lease& lease, std::vector<Share>& shares, const Kernels& kernels, int kind, int64_t count, double seconds) {
    const auto stream = kernels.stream[kind];
    int64_t repetitions = 1;
    for (;;) {
        const Clock::time_point begin = Clock::now();
        stream(shares[0].pass(count, repetitions));
        if (seconds_since(begin) >= kRoundSeconds / 2 || repetitions > (int64_t{1} << 40)) break;
        repetitions *= 2;
    }
    const double bytes = kMoved[kind] * 4.0 * static_cast<double>(count) * static_cast<double>(repetitions) *
                         static_cast<double>(shares.size());
    double best = 0;
    const Clock::time_point start = Clock::now();
    do {
        const Clock::time_point begin = Clock::now();
        // A member goes over its own memory, which is in its own caches. One that comes too late leaves its turn to
        // another, who takes two, and the round does not win.
        lease.run([&](Member& member) {
            member.tiles(static_cast<int64_t>(shares.size()),
                         [&](int64_t) { stream(shares[static_cast<size_t>(member.index())].pass(count, repetitions)); });
        });
        const double taken = seconds_since(begin);
        if (taken > 0) best = std::max(best, bytes / taken);
    } while (seconds_since(start) < seconds);
    return best * 1e-9;
}

// Waits for the team, for as long as the measurement was to take, and calls measure(lease).
template <class Measure>
auto with_team(Team& team, int milliseconds, const Measure& measure) {
    const double seconds = milliseconds * 1e-3;
    const Clock::time_point start = Clock::now();
    for (;;) {
        Team::Lease lease(team);
        if (lease) return measure(lease, seconds);
        if (seconds_since(start) > seconds) {
            fail(HPC_BUSY, "the device was running programs for all of %d milliseconds; nothing was measured", milliseconds);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace

hpc_measurement measure(Team& team, const Kernels& kernels, int milliseconds) {
    return with_team(team, milliseconds, [&](Team::Lease& lease, double seconds) {
        const Clock::time_point first = Clock::now();
        hpc_measurement result{};
        result.peak_gflops = peak_of(lease, team.threads(), kernels, first, seconds / 2);
        result.copy_gigabytes_per_second = copy_of(lease, first, seconds);
        return result;
    });
}

double measure_peak(Team& team, const Kernels& kernels, int milliseconds) {
    return with_team(team, milliseconds, [&](Team::Lease& lease, double seconds) {
        return peak_of(lease, team.threads(), kernels, Clock::now(), seconds);
    });
}

hpc_memory_bandwidth measure_memory(Team& team, const Kernels& kernels, uint64_t bytes, int milliseconds) {
    return with_team(team, milliseconds, [&](Team::Lease& lease, double seconds) {
        const FlushDenormals flush;
        const uint64_t threads = static_cast<uint64_t>(team.threads()), step = 4 * sizeof(float) * kStreamStep;
        const uint64_t each = (bytes + threads * step - 1) / (threads * step) * step;
        const int64_t count = static_cast<int64_t>(each / (4 * sizeof(float)));
        std::vector<Share> shares(threads);
        for (Share& share : shares)
            share.memory = std::make_unique<Memory>(each + 4 * sizeof(float) * static_cast<uint64_t>(kStagger));
        // Touched first by who will use it; a member that does not come in time is helped.
        for (int round = 0; round < 3; ++round) {
            lease.run([&](Member& member) {
                member.tiles(static_cast<int64_t>(threads), [&](int64_t) {
                    Share& share = shares[static_cast<size_t>(member.index())];
                    if (!share.touched) share.touch(count);
                });
            });
        }
        for (Share& share : shares)
            if (!share.touched) share.touch(count);
        double rates[kStreamKinds];
        for (int kind = 0; kind < kStreamKinds; ++kind)
            rates[kind] = stream_of(lease, shares, kernels, kind, count, seconds / kStreamKinds);
        return hpc_memory_bandwidth{rates[static_cast<int>(Stream::Read)],
                                    std::max(rates[static_cast<int>(Stream::Copy)], rates[static_cast<int>(Stream::CopyPast)]),
                                    rates[static_cast<int>(Stream::Update)], each * threads};
    });
}

}  // namespace hpc::cpu
