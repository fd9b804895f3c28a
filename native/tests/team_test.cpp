// The thread team: every tile once and in its phase, joining and leaving, sleeping and waking, one owner at a time,
// floating-point state, ends of teams and processes; and the measurement that runs on it. Much of this is a race by
// nature: the build with -fsanitize=thread is where it counts most, and shared data below is plain on purpose.
#include "cpu/team.h"

#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <new>
#include <numeric>
#include <thread>
#include <vector>

#include "cpu/dispatch.h"
#include "cpu/measure.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

std::atomic<int64_t> g_allocations{0};

}  // namespace

// Counts what is allocated, for the test that a steady sequence of runs allocates nothing. Kept out of line: a compiler
// that sees through one of the pair complains about the other.
#if defined(__GNUC__)
#define TEST_NOINLINE __attribute__((noinline))
#else
#define TEST_NOINLINE
#endif
TEST_NOINLINE void* operator new(std::size_t bytes) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
    throw std::bad_alloc();
}
TEST_NOINLINE void operator delete(void* memory) noexcept { std::free(memory); }
TEST_NOINLINE void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using hpc::cpu::Member;
using hpc::cpu::Team;
using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

template <class Condition>
bool eventually(Condition&& condition, Clock::duration patience = 20s) {
    const auto end = Clock::now() + patience;
    while (!condition()) {
        if (Clock::now() > end) return false;
        std::this_thread::yield();
    }
    return true;
}

// True if all members of the team were inside one run at the same time: each holds a tile until all tiles are held.
bool all_meet(Team& team, Clock::duration patience = 20s) {
    std::atomic<int> arrived{0}, met{0};
    team.run([&](Member& member) {
        member.tiles(team.threads(), [&](int64_t) {
            arrived.fetch_add(1);
            if (eventually([&] { return arrived.load() == team.threads(); }, patience)) met.fetch_add(1);
        });
    });
    return met.load() == team.threads();
}

class TeamOf : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Threads, TeamOf, testing::Values(1, 2, 3, 4, 8));

// Plain arrays throughout: a tile that ran twice, or a phase that began before the one in front of it was over, is
// a wrong number here and a data race under the thread sanitizer.
TEST_P(TeamOf, RunsEveryTileOnceAndInItsPhase) {
    Team team(GetParam());
    const int64_t counts[] = {5, 1, 64, 0, 2, 2, 1, 1, 300, 3, 0, 17};
    constexpr int kPhases = static_cast<int>(std::size(counts)), kRounds = 20;
    std::vector<std::vector<int>> hits(kPhases);
    for (int p = 0; p < kPhases; ++p) hits[p].assign(static_cast<std::size_t>(counts[p]), 0);
    struct alignas(hpc::cpu::kFalseSharing) Tally {
        int64_t wrong = 0, tiles = 0;
    };
    std::vector<Tally> tallies(static_cast<std::size_t>(GetParam()));
    int once = 0;

    for (int run = 0; run < 400; ++run) {
        std::atomic<int> arrived{0};
        const bool served = team.run([&](Member& member) {
            Tally& tally = tallies[static_cast<std::size_t>(member.index())];
            // Workers come when they come; now and then all are there from the first phase on.
            if (run % 4 == 0) {
                member.tiles(GetParam(), [&](int64_t) {
                    ++arrived;
                    eventually([&] { return arrived.load() == GetParam(); });
                });
            }
            for (int round = 1; round <= kRounds; ++round) {
                const int expected = run * kRounds + round;
                for (int p = 0; p < kPhases; ++p) {
                    member.tiles(counts[p], [&](int64_t tile) {
                        ++hits[p][static_cast<std::size_t>(tile)];
                        ++tally.tiles;
                        // Where processors are scarce members change places only when one gives way.
                        if (run % 4 == 0 && (tile + p) % 5 == 0) std::this_thread::yield();
                        int before = p - 1;
                        while (before > 0 && counts[before] == 0) --before;
                        if (before < 0) return;
                        for (int h : hits[before]) {
                            if (h != expected) ++tally.wrong;
                        }
                    });
                    if (p % 3 == 0) {
                        member.once([&] {
                            ++once;
                            for (int h : hits[p]) {
                                if (h != expected) ++tally.wrong;
                            }
                        });
                    }
                }
            }
        });
        ASSERT_TRUE(served);
        for (const std::vector<int>& phase : hits) {
            for (int h : phase) ASSERT_EQ(h, (run + 1) * kRounds);
        }
        ASSERT_EQ(once, (run + 1) * kRounds * 4);
    }
    // One worker may never be in time; some worker always is.
    int64_t by_workers = 0;
    for (std::size_t i = 0; i < tallies.size(); ++i) {
        EXPECT_EQ(tallies[i].wrong, 0);
        if (i > 0) by_workers += tallies[i].tiles;
    }
    if (GetParam() > 1) {
        EXPECT_GT(by_workers, 0);
    }
}

// Many short phases in a row with everybody there: members overtake each other, the caller included, and claim tiles of
// phases they have not come to.
TEST_P(TeamOf, KeepsStepThroughManyShortPhases) {
    Team team(GetParam());
    constexpr int kPhases = 100000;
    std::vector<int> hits(3, 0);
    bool in_step = true;
    std::atomic<int> arrived{0};
    team.run([&](Member& member) {
        member.tiles(GetParam(), [&](int64_t) {
            ++arrived;
            eventually([&] { return arrived.load() == GetParam(); });
        });
        for (int p = 0; p < kPhases; ++p) {
            member.tiles(3, [&](int64_t tile) {
                if (hits[static_cast<std::size_t>(tile)]++ != p) in_step = false;
                if ((3 * p + tile) % 101 == 0) std::this_thread::yield();
            });
        }
    });
    for (int h : hits) EXPECT_EQ(h, kPhases);
    EXPECT_TRUE(in_step);
}

TEST_P(TeamOf, CallsEachMemberAtMostOnceAndTheCallerAlways) {
    Team team(GetParam());
    const auto caller = std::this_thread::get_id();
    std::vector<int> entered(static_cast<std::size_t>(GetParam()));
    bool caller_is_first = true;
    for (int run = 0; run < 500; ++run) {
        entered.assign(entered.size(), 0);
        team.run([&](Member& member) {
            ASSERT_LT(member.index(), GetParam());
            ASSERT_EQ(member.count(), GetParam());
            ++entered[static_cast<std::size_t>(member.index())];
            if (member.index() == 0) caller_is_first &= std::this_thread::get_id() == caller;
            member.tiles(8, [](int64_t) { std::this_thread::yield(); });
            // Workers have left by now, and must not come again while the run is still open.
            member.once([] {
                for (int i = 0; i < 20; ++i) std::this_thread::yield();
            });
        });
        ASSERT_EQ(entered[0], 1);
        for (int e : entered) ASSERT_LE(e, 1);
    }
    EXPECT_TRUE(caller_is_first);
}

TEST_P(TeamOf, WorksAllAtOnce) {
    Team team(GetParam());
    EXPECT_EQ(team.threads(), GetParam());
    EXPECT_EQ(team.workers(), 0);  // none before there is work
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(all_meet(team));
    EXPECT_EQ(team.workers(), GetParam() - 1);
}

TEST_P(TeamOf, WakesFromSleep) {
    Team team(GetParam());
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(all_meet(team));
        std::this_thread::sleep_for(i % 2 == 0 ? 10ms : 0ms);
    }
}

// Empty and nearly empty runs, where most workers come when the run is over.
TEST_P(TeamOf, SurvivesRunsShorterThanWaking) {
    Team team(GetParam());
    int64_t total = 0;
    for (int run = 0; run < 20000; ++run) {
        team.run([](Member&) {});
        team.run([&](Member& member) { member.once([&] { ++total; }); });
        int64_t tiles[2] = {0, 0};
        team.run([&](Member& member) { member.tiles(2, [&](int64_t tile) { tiles[tile] = 1; }); });
        total += tiles[0] + tiles[1];
        if (run % 500 == 0) std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(total, 60000);
}

TEST_P(TeamOf, TakesMoreTilesThanAWordCounts) {
    Team team(GetParam());
    for (int64_t count : {(int64_t{1} << 20) - 4097, (int64_t{1} << 20) - 4096, int64_t{1} << 20, int64_t{2500001}}) {
        std::vector<unsigned char> hits(static_cast<std::size_t>(count), 0);
        team.run([&](Member& member) {
            member.tiles(count, [&](int64_t tile) { ++hits[static_cast<std::size_t>(tile)]; });
        });
        for (unsigned char h : hits) ASSERT_EQ(h, 1);
    }
}

TEST_P(TeamOf, AllocatesNothingOnceItRuns) {
    Team team(GetParam());
    ASSERT_TRUE(all_meet(team));
    std::this_thread::sleep_for(5ms);
    const int64_t before = g_allocations.load();
    for (int run = 0; run < 1000; ++run) {
        team.run([&](Member& member) {
            member.tiles(16, [](int64_t) {});
            member.once([] {});
            member.tiles(4, [](int64_t) {});
        });
    }
    EXPECT_EQ(g_allocations.load(), before);
}

// The phase number of a run is finite; what lies beyond is served by the caller.
TEST(Team, TakesMorePhasesThanAWordCounts) {
    Team team(2);
    constexpr int64_t kPhases = (int64_t{1} << 23) + 1000;
    std::vector<int64_t> hits(2, 0);
    bool in_step = true;
    team.run([&](Member& member) {
        for (int64_t p = 0; p < kPhases; ++p) {
            // From once() to a shared phase now and then, so that both kinds cross the boundary.
            if (p % 16 != 0 && p < kPhases - 3000) {
                member.once([&] {
                    ++hits[0];
                    ++hits[1];
                });
            } else {
                member.tiles(2, [&](int64_t tile) {
                    if (hits[static_cast<std::size_t>(tile)]++ != p) in_step = false;
                });
            }
        }
    });
    EXPECT_EQ(hits[0], kPhases);
    EXPECT_EQ(hits[1], kPhases);
    EXPECT_TRUE(in_step);
}

TEST(Team, OfOneHasNoWorkers) {
    Team team(1);
    int order = 0;
    EXPECT_TRUE(team.run([&](Member& member) {
        EXPECT_EQ(member.count(), 1);
        member.tiles(4, [&](int64_t tile) { EXPECT_EQ(tile, order++); });
    }));
    EXPECT_EQ(order, 4);
    EXPECT_EQ(team.workers(), 0);
}

TEST(Team, OfNonsenseSizesIsClamped) {
    EXPECT_EQ(Team(0).threads(), 1);
    EXPECT_EQ(Team(-5).threads(), 1);
    EXPECT_EQ(Team(1 << 30).threads(), 2048);
}

// ---- One owner ------------------------------------------------------------------------------------------------------

TEST(Team, SecondCallerRunsAlone) {
    Team team(2);
    std::atomic<bool> inside{false}, leave{false};
    std::thread first([&] {
        EXPECT_TRUE(team.run([&](Member& member) {
            member.once([&] {
                inside = true;
                EXPECT_TRUE(eventually([&] { return leave.load(); }));
            });
        }));
    });
    ASSERT_TRUE(eventually([&] { return inside.load(); }));
    const auto self = std::this_thread::get_id();
    int64_t sum = 0;
    EXPECT_FALSE(team.run([&](Member& member) {
        EXPECT_EQ(member.index(), 0);
        EXPECT_EQ(member.count(), 1);
        member.tiles(100, [&](int64_t tile) {
            EXPECT_EQ(std::this_thread::get_id(), self);
            sum += tile;
        });
        member.once([&] { sum += 1000; });
    }));
    EXPECT_EQ(sum, 4950 + 1000);
    leave = true;
    first.join();
    EXPECT_TRUE(all_meet(team));  // given back
}

TEST(Team, RunInsideARunIsAlone) {
    Team team(2);
    int inner = 0;
    EXPECT_TRUE(team.run([&](Member& member) {
        member.once([&] { EXPECT_FALSE(team.run([&](Member& own) { own.tiles(3, [&](int64_t) { ++inner; }); })); });
    }));
    EXPECT_EQ(inner, 3);
}

TEST(Team, LeaseKeepsIt) {
    Team team(2);
    {
        Team::Lease lease(team);
        ASSERT_TRUE(static_cast<bool>(lease));
        for (int i = 0; i < 3; ++i) {
            int64_t sum = 0;
            std::atomic<int64_t> shared{0};
            lease.run([&](Member& member) {
                EXPECT_EQ(member.count(), 2);
                member.tiles(10, [&](int64_t tile) { shared += tile; });
            });
            sum = shared;
            EXPECT_EQ(sum, 45);
            std::thread([&] {
                Team::Lease other(team);
                EXPECT_FALSE(static_cast<bool>(other));
                other.run([&](Member& member) { EXPECT_EQ(member.count(), 1); });
                EXPECT_FALSE(team.run([](Member&) {}));
            }).join();
        }
    }
    EXPECT_TRUE(team.run([](Member&) {}));
}

TEST(Team, CompetingCallersGetTheirOwnResults) {
    Team team(3);
    std::atomic<int> served{0}, alone{0};
    std::vector<std::thread> callers;
    for (int c = 0; c < 3; ++c) {
        callers.emplace_back([&] {
            std::vector<int64_t> values(64);
            for (int run = 0; run < 2000; ++run) {
                int64_t sum = 0;
                const bool by_team = team.run([&](Member& member) {
                    member.tiles(64, [&](int64_t tile) { values[static_cast<std::size_t>(tile)] = tile * run; });
                    member.once([&] {
                        for (int64_t v : values) sum += v;
                    });
                });
                ++(by_team ? served : alone);
                ASSERT_EQ(sum, int64_t{2016} * run);
            }
        });
    }
    for (std::thread& t : callers) t.join();
    EXPECT_EQ(served + alone, 6000);
    EXPECT_GT(served, 0);
}

// ---- Floating point -------------------------------------------------------------------------------------------------

constexpr unsigned kRoundDown = 0x2000, kRoundMask = 0x6000, kFlush = 0x8040, kFlags = 0x3F;

float volatile g_denormal = 1e-40f, g_one = 1.0f, g_third = 1.0f / 3.0f, g_smallest = 1.17549435e-38f;

TEST_P(TeamOf, FlushesDenormalsInEveryMember) {
    Team team(GetParam());
    const unsigned before = _mm_getcsr();
    std::atomic<int> kept{0}, states{0};
    for (int run = 0; run < 3; ++run) {
        std::atomic<int> arrived{0};
        team.run([&](Member& member) {
            member.tiles(GetParam(), [&](int64_t) {
                ++arrived;
                eventually([&] { return arrived.load() == GetParam(); });
                const float read = g_denormal * 1e20f;    // a denormal read as zero
                const float made = g_smallest * g_third;  // a denormal result made zero
                if (read != 0 || made != 0) ++kept;
                if ((_mm_getcsr() & (kFlush | kRoundMask)) == kFlush) ++states;
            });
        });
    }
    EXPECT_EQ(kept, 0);
    EXPECT_EQ(states, 3 * GetParam());
    EXPECT_EQ(_mm_getcsr() & ~kFlags, before & ~kFlags);
    EXPECT_NE(g_denormal * g_one, 0.0f);
}

TEST(Team, CallersFloatingPointStateComesBackWhole) {
    Team team(2);
    const unsigned original = _mm_getcsr();
    const unsigned odd = (original & ~(kRoundMask | kFlags | kFlush)) | kRoundDown | 0x21;  // flags: inexact, invalid
    for (const bool alone : {false, true}) {
        _mm_setcsr(odd);
        unsigned inside[2] = {0, 0};
        const auto body = [&](Member& member) {
            member.tiles(2, [&](int64_t tile) {
                volatile float overflow = 1e38f;
                overflow = overflow * 1e38f;  // sets flags
                inside[tile] = _mm_getcsr();
            });
        };
        if (alone) {
            Team::run_alone(body);
        } else {
            team.run(body);
        }
        const unsigned after = _mm_getcsr();
        _mm_setcsr(original);
        EXPECT_EQ(after, odd);
        for (unsigned state : inside) EXPECT_EQ(state & (kFlush | kRoundMask), kFlush);
    }
}

TEST(FlushDenormals, RestoresTheWholeState) {
    const unsigned original = _mm_getcsr();
    const unsigned odd = (original & ~(kRoundMask | kFlags | kFlush)) | kRoundDown | 0x01;
    _mm_setcsr(odd);
    unsigned inside, after;
    {
        hpc::cpu::FlushDenormals flush;
        inside = _mm_getcsr();
    }
    after = _mm_getcsr();
    _mm_setcsr(original);
    EXPECT_EQ(inside & (kFlush | kRoundMask), kFlush);
    EXPECT_EQ(after, odd);
}

// ---- Beginnings and ends --------------------------------------------------------------------------------------------

TEST_P(TeamOf, EndsInEveryState) {
    { Team never_ran(GetParam()); }
    for (int i = 0; i < 200; ++i) {
        Team team(GetParam());
        int64_t tiles[4] = {0, 0, 0, 0};
        team.run([&](Member& member) { member.tiles(4, [&](int64_t tile) { tiles[tile] = 1; }); });
        ASSERT_EQ(tiles[0] + tiles[1] + tiles[2] + tiles[3], 4);
        // Just started, spinning, or asleep.
        if (i % 4 == 1) std::this_thread::sleep_for(30us);
        if (i % 4 == 3) std::this_thread::sleep_for(2ms);
    }
}

#if !defined(_WIN32)

double cpu_seconds() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

TEST_P(TeamOf, SleepsWhenThereIsNothingToDo) {
    Team team(GetParam());
    ASSERT_TRUE(all_meet(team));
    std::this_thread::sleep_for(20ms);
    const double before = cpu_seconds();
    std::this_thread::sleep_for(300ms);
    EXPECT_LT(cpu_seconds() - before, 0.1);
}

TEST_P(TeamOf, SleepsInsideALongPhase) {
    Team team(GetParam());
    ASSERT_TRUE(all_meet(team));
    const double before = cpu_seconds();
    std::atomic<int> after{0};
    team.run([&](Member& member) {
        member.tiles(GetParam(), [](int64_t tile) { std::this_thread::sleep_for(tile == 0 ? 300ms : 0ms); });
        member.once([] { std::this_thread::sleep_for(300ms); });
        member.tiles(50, [&](int64_t) { ++after; });
    });
    EXPECT_EQ(after, 50);
    EXPECT_LT(cpu_seconds() - before, 0.25);
}

TEST_P(TeamOf, WorkersTakeNoSignals) {
    Team team(GetParam());
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    std::atomic<int> open{0}, arrived{0};
    team.run([&](Member& member) {
        member.tiles(GetParam(), [&](int64_t) {
            ++arrived;
            eventually([&] { return arrived.load() == GetParam(); });
            if (member.index() == 0) return;
            sigset_t mine;
            pthread_sigmask(SIG_SETMASK, nullptr, &mine);
            for (int s : {SIGINT, SIGTERM, SIGQUIT, SIGCHLD, SIGUSR1, SIGWINCH, SIGALRM}) {
                if (!sigismember(&mine, s)) ++open;
            }
        });
    });
    EXPECT_EQ(arrived, GetParam());
    EXPECT_EQ(open, 0);
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (int s = 1; s < 32; ++s) EXPECT_EQ(sigismember(&before, s), sigismember(&after, s)) << s;
}

// Reachable at the end, so that a leak checker sees what it is: kept, not lost.
Team* g_kept = nullptr;

TEST_P(TeamOf, ProcessEndsWithATeamThatWasNeverDestroyed) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");  // the child is a process of its own, not a copy of this one
    for (const int wait_us : {0, 20, 5000}) {        // workers spin, are about to sleep, sleep
        EXPECT_EXIT(
            {
                alarm(30);
                g_kept = new Team(GetParam());
                const bool met = all_meet(*g_kept);
                if (wait_us > 0) std::this_thread::sleep_for(std::chrono::microseconds(wait_us));
                std::exit(met ? 0 : 1);
            },
            testing::ExitedWithCode(0), "");
    }
}

int wait_for_exit(pid_t child) {
    int status = 0;
    if (!eventually([&] { return waitpid(child, &status, WNOHANG) == child; })) {
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

TEST_P(TeamOf, ForkedChildWorksAlone) {
    auto team = std::make_unique<Team>(GetParam());
    ASSERT_TRUE(all_meet(*team));
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        int64_t tiles[100] = {};
        for (int run = 0; run < 50; ++run) {
            team->run([&](Member& member) { member.tiles(100, [&](int64_t tile) { ++tiles[tile]; }); });
        }
        team.reset();
        for (int64_t t : tiles) {
            if (t != 50) _exit(1);
        }
        _exit(0);
    }
    EXPECT_EQ(wait_for_exit(child), 0);
    EXPECT_TRUE(all_meet(*team));
}

#endif

// ---- Measurement ----------------------------------------------------------------------------------------------------

TEST(Measure, GivesPlausibleNumbersInTheTimeItWasGiven) {
    const hpc::cpu::Kernels& kernels = hpc::cpu::choose_kernels(nullptr);
    Team team(2);
    const auto start = Clock::now();
    const hpc_measurement result = hpc::cpu::measure(team, kernels, 300);
    EXPECT_LT(Clock::now() - start, 20s);
    EXPECT_TRUE(std::isfinite(result.peak_gflops));
    EXPECT_TRUE(std::isfinite(result.copy_gigabytes_per_second));
    EXPECT_GT(result.peak_gflops, 0.01);
    EXPECT_LT(result.peak_gflops, 2000.0);
    EXPECT_GT(result.copy_gigabytes_per_second, 0.01);
    EXPECT_LT(result.copy_gigabytes_per_second, 2000.0);
    std::printf("%s, 2 threads: %.1f GFLOP/s, copy %.1f GB/s\n", kernels.isa, result.peak_gflops,
                result.copy_gigabytes_per_second);
    const double peak = hpc::cpu::measure_peak(team, kernels, 50);
    EXPECT_GT(peak, 0.01);
    EXPECT_LT(peak, 2000.0);
}

TEST(Measure, MemoryOfEverySizeAndThreadCount) {
    for (const hpc::cpu::IsaEntry& isa : hpc::cpu::known_isas()) {
        if (!isa.supported) continue;
        for (int threads : {1, 2, 3}) {
            Team team(threads);
            for (uint64_t bytes : {uint64_t{4096}, uint64_t{100001}, uint64_t{9} << 20}) {
                const auto start = Clock::now();
                const hpc_memory_bandwidth result = hpc::cpu::measure_memory(team, *isa.kernels, bytes, 20);
                EXPECT_LT(Clock::now() - start, 20s);
                EXPECT_GE(result.bytes, bytes);
                EXPECT_LT(result.bytes, bytes + static_cast<uint64_t>(threads) * 512);
                for (double rate : {result.read, result.copy, result.update}) {
                    EXPECT_GT(rate, 0.01) << isa.name << ", " << threads << " threads, " << bytes << " bytes";
                    EXPECT_LT(rate, 20000.0) << isa.name << ", " << threads << " threads, " << bytes << " bytes";
                }
            }
        }
    }
}

// Every float of every stream comes into the sum, goes into its copy, is updated; nothing beyond is touched.
TEST(Measure, StreamsGoOverAllOfTheirMemory) {
    constexpr int64_t kCount = 3 * hpc::cpu::kStreamStep, kRoom = kCount + 16;
    for (const hpc::cpu::IsaEntry& isa : hpc::cpu::known_isas()) {
        if (!isa.supported) continue;
        struct alignas(64) Room {
            float values[kRoom];
        };
        std::vector<Room> rooms(4);
        float sink[16];
        hpc::cpu::StreamPass pass{{}, kCount, 2, sink};
        const auto begin = [&] {
            for (int s = 0; s < 4; s++) {
                pass.streams[s] = rooms[static_cast<size_t>(s)].values;
                for (int64_t i = 0; i < kRoom; i++) pass.streams[s][i] = i < kCount ? static_cast<float>(s + 1) : 100.0f;
            }
        };
        const auto stream = [&](hpc::cpu::Stream kind) {
            begin();
            isa.kernels->stream[static_cast<int>(kind)](pass);
            for (int s = 0; s < 4; s++)
                for (int64_t i = kCount; i < kRoom; i++) EXPECT_EQ(pass.streams[s][i], 100.0f);
        };
        std::fill(std::begin(sink), std::end(sink), 0.0f);
        stream(hpc::cpu::Stream::Read);
        // Two repetitions over 1, 2, 3 and 4.
        EXPECT_EQ(std::accumulate(std::begin(sink), std::end(sink), 0.0f), 2.0f * 10 * kCount) << isa.name;
        for (hpc::cpu::Stream kind : {hpc::cpu::Stream::Copy, hpc::cpu::Stream::CopyPast}) {
            stream(kind);
            for (int64_t i = 0; i < kCount; i++) {
                EXPECT_EQ(pass.streams[2][i], 1.0f) << isa.name;
                EXPECT_EQ(pass.streams[3][i], 2.0f) << isa.name;
            }
        }
        stream(hpc::cpu::Stream::Update);
        for (int64_t i = 0; i < kCount; i++) {
            // m: 2, 5, 6.5; v: 3, 5.5, 6.75; p: 1, 2.25, 3.875
            EXPECT_EQ(pass.streams[1][i], 6.5f) << isa.name;
            EXPECT_EQ(pass.streams[2][i], 6.75f) << isa.name;
            EXPECT_EQ(pass.streams[0][i], 3.875f) << isa.name;
            EXPECT_EQ(pass.streams[3][i], 4.0f) << isa.name;
        }
    }
}

TEST(Measure, CachesGrowWithTheirLevel) {
    const hpc_cache_info caches = hpc::cpu::processor_caches();
    EXPECT_GE(caches.level1_bytes, 4096u);
    EXPECT_GT(caches.level2_bytes, caches.level1_bytes);
    if (caches.level3_bytes != 0) {
        EXPECT_GT(caches.level3_bytes, caches.level2_bytes);
        EXPECT_GE(caches.level3_threads, 1);
    }
}

}  // namespace
