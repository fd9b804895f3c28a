// The thread team (see team.h): starting, waking, joining and leaving.
//
// The gate is one 32-bit word (the size that the system can sleep on): how many workers are inside the run, whether
// a run is open, whether the team ends, and the run's number. A worker enters an open run it has not seen by adding
// one, the caller closes the run and waits until nobody is inside. The number keeps a worker from entering a run twice,
// and makes every opening a change of value, which is what sleepers wait for; that it wraps around is harmless, because
// a worker that misses a run is merely late.
//
// Two places put a thread to sleep, and both follow one pattern: the sleeper counts itself, then looks at the word
// again; the waker changes the word, then looks at the count. All four are sequentially consistent, so one of them sees
// the other.
#include "cpu/team.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "cpu/dispatch.h"

#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#endif

namespace hpc::cpu {

namespace {

constexpr uint32_t kInside = 0xFFFu, kOpen = 0x1000u, kStop = 0x2000u, kRun = 0x4000u, kRunMask = ~(kRun - 1);
constexpr int kMaxThreads = 2048;  // below kInside and the spare room of the claim word

constexpr int64_t kSpinNanoseconds = 50'000;
// With more members than processors a spinning member keeps another from its work.
constexpr int64_t kCrowdedSpinNanoseconds = 2'000;
constexpr int kYields = 64;

// Everything masked, round to nearest, flush to zero, denormals are zero.
constexpr uint32_t kMemberState = 0x1F80u | 0x8000u | 0x0040u;

// Looks at `reached` until it is true or the time is over; returns whether it is true.
template <class Reached>
bool spin(int64_t nanoseconds, Reached&& reached) noexcept {
    using Clock = std::chrono::steady_clock;
    // The clock is asked rarely: it costs as much as a look does.
    const auto look = [&] {
        for (int i = 0; i < 32; ++i) {
            if (reached()) return true;
            _mm_pause();
        }
        return false;
    };
    if (look()) return true;
    const auto end = Clock::now() + std::chrono::nanoseconds(nanoseconds);
    do {
        if (look()) return true;
    } while (Clock::now() < end);
    return false;
}

// Signals are the program's business: none is delivered to a thread started within this scope.
class BlockSignals {
public:
#if defined(_WIN32)
    BlockSignals() noexcept {}
    ~BlockSignals() {}
#else
    BlockSignals() noexcept {
        sigset_t all;
        sigfillset(&all);
        blocked_ = pthread_sigmask(SIG_SETMASK, &all, &previous_) == 0;
    }
    ~BlockSignals() {
        if (blocked_) pthread_sigmask(SIG_SETMASK, &previous_, nullptr);
    }
#endif
    BlockSignals(const BlockSignals&) = delete;
    BlockSignals& operator=(const BlockSignals&) = delete;

#if !defined(_WIN32)
private:
    sigset_t previous_;
    bool blocked_;
#endif
};

// Code with wide vectors may have left something in the upper halves of the registers. Each SSE instruction, of which the kernels
// without AVX are made, then merges with what was there and waits for it: they took three times as long.
#if defined(__GNUC__)
__attribute__((target("avx"))) void zero_upper_halves() noexcept { _mm256_zeroupper(); }
#else
void zero_upper_halves() noexcept { _mm256_zeroupper(); }
#endif

void clear_upper_halves() noexcept {
    static const bool wide = processor_has_avx();
    if (wide) zero_upper_halves();
}

long process_number() noexcept {
#if defined(_WIN32)
    return 0;
#else
    return static_cast<long>(getpid());
#endif
}

}  // namespace

FlushDenormals::FlushDenormals() noexcept : saved_(_mm_getcsr()) {
    _mm_setcsr(kMemberState);
    clear_upper_halves();
}

FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }

Team::Team(int threads) : threads_(std::clamp(threads, 1, kMaxThreads)), spin_nanoseconds_(kSpinNanoseconds) {
    if (threads_ == 1) return;
    const Cores cores = count_cores();
    const double processors = cores.quota > 0 ? std::min<double>(cores.usable, std::ceil(cores.quota)) : cores.usable;
    if (threads_ > processors) spin_nanoseconds_ = kCrowdedSpinNanoseconds;
    workers_.reserve(static_cast<std::size_t>(threads_ - 1));
}

Team::~Team() {
    if (workers_.empty()) return;
    if (process_ != process_number()) {
        // The child of a fork: these threads run in the parent only and cannot be waited for.
        for (std::thread& worker : workers_) worker.detach();
        return;
    }
    gate_.fetch_or(kStop, std::memory_order_seq_cst);
    gate_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

bool Team::try_acquire() noexcept {
    if (threads_ == 1) return true;  // there is nothing to share
    return !taken_.load(std::memory_order_relaxed) && !taken_.exchange(true, std::memory_order_acquire);
}

void Team::release() noexcept {
    if (threads_ > 1) taken_.store(false, std::memory_order_release);
}

bool Team::run(Body body) noexcept {
    Lease lease(*this);
    lease.run(body);
    return static_cast<bool>(lease);
}

void Team::run_alone(Body body) noexcept {
    const FlushDenormals state;
    Member caller(nullptr, 0, 1);
    body(caller);
}

void Team::start_workers() noexcept {
    start_tried_ = true;
    process_ = process_number();
    const BlockSignals block;
    try {
        for (int index = 1; index < threads_; ++index) {
            workers_.emplace_back([this, index] { work(index); });
            started_.store(index, std::memory_order_relaxed);
        }
    } catch (...) {
        // The system gives no more threads: those that exist do the work.
    }
}

void Team::run_acquired(Body body) noexcept {
    if (threads_ > 1 && !start_tried_) start_workers();
    if (workers_.empty()) {
        run_alone(body);
        return;
    }
    // Nobody is inside: these need no order of their own, the opening carries them.
    claims_.store(0, std::memory_order_relaxed);
    stage_.store(0, std::memory_order_relaxed);
    body_ = &body;
    const uint32_t gate = gate_.load(std::memory_order_relaxed);
    gate_.store(((gate + kRun) & kRunMask) | kOpen, std::memory_order_seq_cst);
    call_workers();
    {
        const FlushDenormals state;
        Member caller(this, 0, threads_);
        body(caller);
    }
    // Every phase is over. Who is still inside has nothing to do but leave; the body must live until then.
    if ((gate_.fetch_and(~kOpen, std::memory_order_acq_rel) & kInside) == 0) return;
    const auto empty = [this] { return (gate_.load(std::memory_order_acquire) & kInside) == 0; };
    if (spin(spin_nanoseconds_, empty)) return;
    // It was preempted: leave it the processor.
    while (!empty()) std::this_thread::yield();
}

// Wakes two sleeping workers; each of them wakes two more. So the caller of a large team is not held up by waking, and
// a run that is over sooner than its workers are awake does not wake the rest.
void Team::wake() noexcept {
    const int parked = std::min(parked_.load(std::memory_order_seq_cst), 2);
    for (int i = 0; i < parked; ++i) gate_.notify_one();
}

// Wakes sleeping workers for a run, unless those that were woken for an earlier one are still on their way: on a
// crowded machine that takes a time slice, and a system call in each of many short runs would not hurry them.
void Team::call_workers() noexcept {
    if (parked_.load(std::memory_order_seq_cst) == 0) return;
    // The mark is only good advice: now and then it is not followed.
    if (called_.load(std::memory_order_relaxed) && ++runs_uncalled_ < 64) return;
    runs_uncalled_ = 0;
    called_.store(true, std::memory_order_relaxed);
    wake();
}

void Team::work(int index) noexcept {
#if defined(__linux__)
    char name[16];
    std::snprintf(name, sizeof name, "hpcnet-%d", index);
    pthread_setname_np(pthread_self(), name);
#endif
    _mm_setcsr(kMemberState);
    uint32_t seen = 0;  // the run entered last
    const auto called = [&](uint32_t gate) {
        return (gate & kStop) != 0 || ((gate & kOpen) != 0 && (gate & kRunMask) != seen);
    };
    for (;;) {
        uint32_t gate = 0;
        const auto look = [&] {
            gate = gate_.load(std::memory_order_acquire);
            return called(gate);
        };
        if (!spin(spin_nanoseconds_, look)) {
            called_.store(false, std::memory_order_relaxed);
            parked_.fetch_add(1, std::memory_order_seq_cst);
            gate = gate_.load(std::memory_order_seq_cst);
            const bool asleep = !called(gate);
            if (asleep) gate_.wait(gate, std::memory_order_seq_cst);
            parked_.fetch_sub(1, std::memory_order_seq_cst);
            called_.store(false, std::memory_order_relaxed);
            if (asleep && (gate_.load(std::memory_order_relaxed) & kOpen) != 0) wake();
            continue;
        }
        if ((gate & kStop) != 0) return;
        if (!gate_.compare_exchange_strong(gate, gate + 1, std::memory_order_acquire, std::memory_order_relaxed))
            continue;
        seen = gate & kRunMask;
        {
            Member member(this, index, threads_);
            (*body_)(member);
        }
        gate_.fetch_sub(1, std::memory_order_release);
    }
}

// Begins a phase: nothing claimed, nothing done. The claim word first: who sees the stage sees it.
void Team::publish(int64_t phase) noexcept {
    claims_.store(phase << kPhaseShift, std::memory_order_release);
    stage_.store(static_cast<uint32_t>(phase), std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) stage_.notify_all();
}

// Spins, then offers the processor to others, then sleeps.
void Team::wait_slowly(int64_t phase) noexcept {
    const auto reached = [&] { return stage_.load(std::memory_order_acquire) >= static_cast<uint32_t>(phase); };
    if (spin(spin_nanoseconds_, reached)) return;
    for (int i = 0; i < kYields; ++i) {
        std::this_thread::yield();
        if (reached()) return;
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
        const uint32_t stage = stage_.load(std::memory_order_seq_cst);
        if (stage >= static_cast<uint32_t>(phase)) break;
        stage_.wait(stage, std::memory_order_seq_cst);
    }
    sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

}  // namespace hpc::cpu
