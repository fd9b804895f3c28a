// What the thread team costs: an empty run, the step from phase to phase, waking from sleep. Prints the median and the
// minimum of many repetitions; on a shared machine the minimum says what the team costs and the median what one gets.
//
//   team_bench [threads ...]       default: 1, 2 and the number that a device takes by itself
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <thread>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/team.h"

namespace {

using hpc::cpu::Member;
using hpc::cpu::Team;
using Clock = std::chrono::steady_clock;

constexpr int kRepetitions = 200;

double nanoseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

// Nanoseconds of one `work`, which is repeated `inner` times between two looks at the clock.
template <class Before, class Work>
void report(const char* name, int inner, Before&& before, Work&& work) {
    std::vector<double> times;
    for (int i = 0; i < kRepetitions; ++i) {
        before();
        const Clock::time_point start = Clock::now();
        for (int j = 0; j < inner; ++j) work();
        times.push_back(nanoseconds_since(start) / inner);
    }
    std::sort(times.begin(), times.end());
    std::printf("  %-46s %10.0f ns median %10.0f ns minimum\n", name, times[times.size() / 2], times[0]);
}

// Work of a known length that touches no memory.
void busy(double nanoseconds) {
    const Clock::time_point start = Clock::now();
    while (nanoseconds_since(start) < nanoseconds) {
    }
}

void bench(int threads) {
    Team team(threads);
    const auto nothing = [] {};
    // Everybody inside before the clock starts.
    const auto gather = [&](Member& member) { member.tiles(threads, [](int64_t) { busy(20'000); }); };
    team.run(gather);
    std::printf("%d threads\n", threads);

    report("empty run, back to back", 1000, nothing, [&] { team.run([](Member&) {}); });
    report("run of one phase, a tile for each", 1000, nothing,
           [&] { team.run([&](Member& member) { member.tiles(threads, [](int64_t) {}); }); });
    report("the same, 1 us tiles (0 overhead: 1000 ns)", 200, nothing,
           [&] { team.run([&](Member& member) { member.tiles(threads, [](int64_t) { busy(1000); }); }); });

    // The cost of a phase inside a run, timed by the caller after all have come.
    const auto phases = [&](const char* name, int64_t tiles, double work) {
        constexpr int kPhases = 200;
        std::vector<double> times;
        for (int i = 0; i < kRepetitions; ++i) {
            double taken = 0;
            team.run([&](Member& member) {
                gather(member);
                Clock::time_point start;
                member.once([&] { start = Clock::now(); });
                for (int p = 0; p < kPhases; ++p) {
                    member.tiles(tiles, [&](int64_t) {
                        if (work > 0) busy(work);
                    });
                }
                member.once([&] { taken = nanoseconds_since(start) / kPhases; });
            });
            times.push_back(taken);
        }
        std::sort(times.begin(), times.end());
        std::printf("  %-46s %10.0f ns median %10.0f ns minimum\n", name, times[times.size() / 2], times[0]);
    };
    phases("phase of empty tiles, one for each", threads == 1 ? 1 : threads, 0);
    phases("phase of 1 us tiles, one for each", threads, 1000);
    phases("phase of 1 us tiles, eight for each", 8 * threads, 1000);
    phases("phase on the caller alone", 1, 0);

    const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); };
    report("empty run, workers asleep", 1, sleep, [&] { team.run([](Member&) {}); });
    report("100 us tiles, one for each, workers asleep", 1, sleep,
           [&] { team.run([&](Member& member) { member.tiles(threads, [](int64_t) { busy(100'000); }); }); });
}

}  // namespace

int main(int argc, char** argv) {
    std::set<int> sizes = {1, 2, hpc::cpu::default_threads()};
    if (argc > 1) sizes.clear();
    for (int i = 1; i < argc; ++i) sizes.insert(std::max(1, std::atoi(argv[i])));
    std::fputs(hpc::cpu::describe_processor().c_str(), stdout);
    for (int threads : sizes) bench(threads);
    return 0;
}
