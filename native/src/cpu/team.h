// The thread team of a device: one calling thread and threads - 1 workers that walk a program's phases together.
//
//   bool served = team.run([&](Member& member) {
//       for (const Instruction& i : program) {
//           if (i.small) member.once([&] { i.run_all(scratch[0]); });
//           else member.tiles(i.tile_count, [&](int64_t tile) { i.run(tile, scratch[member.index()]); });
//       }
//   });
//
// Workers join. The caller starts at once and never waits for a worker to wake up: a worker enters the body whenever it
// arrives, skips the phases that are over and claims tiles of the current one. A phase is over when its tiles are done,
// not when every member has come by, so a worker that is late, preempted by another process or missing (its thread
// could not be created) costs its help and nothing else. The same holds when every worker is lost, as in the child of a
// fork().
//
// Rules for a body
//   - It runs on each member at most once, on the caller (member 0) always. All members must make the same sequence of
//     tiles() and once() calls with the same counts; counts may not depend on what the run computes.
//   - Shared data is read and written inside the work of tiles() and once() only. There, everything that earlier phases
//     wrote is visible.
//   - Nothing may be thrown. Denormals are flushed and rounding is to nearest, on every member.
//
// A steady sequence of runs makes no allocation, takes no lock and makes no system call: workers spin for about 50
// microseconds after a run before they sleep, and members that wait inside a run spin for as long before they yield.
//
// Life: workers are made at the first run that could use them, joined by the destructor. A team that is never destroyed
// does not disturb the end of the process: its workers sleep on memory that stays, and use no static object. A team
// must not be destroyed in DllMain. After fork() the child's copy of a team has no workers and its callers do all the
// work.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace hpc::cpu {

// Two lines: processors fetch neighbours in pairs.
constexpr std::size_t kFalseSharing = 128;

class Member;
class Team;

// Round to nearest, denormals read and written as zero, no exception trapped: the floating-point state of every member.
// Restores the thread's whole previous state, its exception flags included.
class FlushDenormals {
public:
    FlushDenormals() noexcept;
    ~FlushDenormals();
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    uint32_t saved_;
};

// A reference to something callable with a Member&; lives as long as the call it is passed to.
class Body {
public:
    template <class Callable>
    requires(!std::is_same_v<std::remove_cvref_t<Callable>, Body>) Body(Callable&& callable)
    noexcept
        : object_(const_cast<void*>(static_cast<const void*>(std::addressof(callable)))),
          call_([](void* object, Member& member) noexcept {
              (*static_cast<std::remove_reference_t<Callable>*>(object))(member);
          }) {}

    void operator()(Member& member) const noexcept { call_(object_, member); }

private:
    void* object_;
    void (*call_)(void*, Member&) noexcept;
};

// One thread's view of a run.
class Member {
public:
    int index() const noexcept { return index_; }  // 0 is the caller; below count()
    int count() const noexcept { return count_; }  // of the team; 1 when the caller runs alone

    // Calls work(tile) for each tile in [0, count) exactly once, on whichever members are there, and returns when all
    // tiles are done. One tile is run by the caller.
    template <class Work>
    void tiles(int64_t count, Work&& work) noexcept;

    // Calls work() on the caller. Others go on at once and wait where tiles() next needs it; a sequence of once() costs
    // nothing beyond its work.
    template <class Work>
    void once(Work&& work) noexcept {
        if (index_ == 0) work();
        ++phase_;
    }

    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

private:
    friend class Team;
    Member(Team* team, int index, int count) noexcept : team_(team), index_(index), count_(count) {}

    Team* team_;  // null: alone
    int index_, count_;
    int64_t phase_ = 0;
    // A claim that came too late for its phase and took a tile of a later one.
    int64_t pending_phase_ = -1, pending_tile_ = 0;
};

class Team {
public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int threads() const noexcept { return threads_; }
    // Worker threads that exist now: 0 before the first run, then threads() - 1 unless the system refused some.
    int workers() const noexcept { return started_.load(std::memory_order_relaxed); }

    // Runs the body with the team, or on the calling thread alone if another run has the team (or this is called from
    // inside a body). Returns whether the team served.
    bool run(Body body) noexcept;

    // Runs the body on the calling thread alone: tiles in order, no team touched.
    static void run_alone(Body body) noexcept;

    // Keeps the team for several runs. Never waits: false if the team is taken.
    class Lease {
    public:
        explicit Lease(Team& team) noexcept : team_(team.try_acquire() ? &team : nullptr) {}
        ~Lease() {
            if (team_) team_->release();
        }
        Lease(const Lease&) = delete;
        Lease& operator=(const Lease&) = delete;
        explicit operator bool() const noexcept { return team_ != nullptr; }
        // With the team if the lease holds it, else alone.
        void run(Body body) noexcept {
            if (team_) {
                team_->run_acquired(body);
            } else {
                run_alone(body);
            }
        }

    private:
        Team* team_;
    };

    bool try_acquire() noexcept;
    void release() noexcept;

private:
    friend class Member;

    // The claim word: phase (24 bits), tiles done (20), tiles claimed (20). One addition reports the tile just done and
    // claims the next, so a phase costs an addition for each tile and one more for each member that took part.
    static constexpr int kPhaseShift = 40, kDoneShift = 20;
    static constexpr int64_t kFieldMask = (int64_t{1} << 20) - 1;
    static constexpr int64_t kMaxTiles = kFieldMask - 4096;        // leaves room for claims past the end
    static constexpr int64_t kMaxPhases = (int64_t{1} << 23) - 1;  // later phases run on the caller alone
    static constexpr int64_t kClaimed = 1, kDone = int64_t{1} << kDoneShift;

    void run_acquired(Body body) noexcept;
    void start_workers() noexcept;
    void work(int index) noexcept;
    void wake() noexcept;
    void call_workers() noexcept;
    void publish(int64_t phase) noexcept;
    void wait_for(int64_t phase) noexcept {
        if (stage_.load(std::memory_order_acquire) < static_cast<uint32_t>(phase)) wait_slowly(phase);
    }
    void wait_slowly(int64_t phase) noexcept;

    // What members spin on and what they add to lie apart.
    alignas(kFalseSharing) std::atomic<uint32_t> gate_{0};  // who may enter a run and how many are inside; see team.cpp
    alignas(kFalseSharing) std::atomic<uint32_t> stage_{0};  // the current phase
    alignas(kFalseSharing) std::atomic<int64_t> claims_{0};
    alignas(kFalseSharing) std::atomic<bool> taken_{false};
    alignas(kFalseSharing) std::atomic<int> parked_{0};  // workers asleep between runs
    std::atomic<int> sleepers_{0};                       // members asleep inside a run
    std::atomic<bool> called_{false};                    // woken, and none has come or gone to sleep since
    alignas(kFalseSharing) const int threads_;
    int64_t spin_nanoseconds_;
    const Body* body_ = nullptr;
    std::atomic<int> started_{0};
    int runs_uncalled_ = 0;
    bool start_tried_ = false;
    long process_ = 0;
    std::vector<std::thread> workers_;
};

template <class Work>
void Member::tiles(int64_t count, Work&& work) noexcept {
    if (count <= 0) return;
    if (team_ == nullptr) {
        for (int64_t tile = 0; tile < count; ++tile) work(tile);
        return;
    }
    if (count == 1 || phase_ >= Team::kMaxPhases) {
        once([&] {
            for (int64_t tile = 0; tile < count; ++tile) work(tile);
        });
        return;
    }
    Team& team = *team_;
    // More tiles than the claim word can count are claimed several at a time.
    const int64_t stride = (count + Team::kMaxTiles - 1) / Team::kMaxTiles;
    const int64_t units = stride == 1 ? count : (count + stride - 1) / stride;

    if (index_ == 0) {
        // Phases that the caller ran by itself were not announced. The stage may also be ahead of a late caller.
        if (team.stage_.load(std::memory_order_acquire) < static_cast<uint32_t>(phase_)) team.publish(phase_);
    } else {
        team.wait_for(phase_);
    }
    int64_t report = 0;  // the tile done since the last addition
    for (;;) {
        int64_t unit;
        if (pending_phase_ >= phase_) {
            if (pending_phase_ > phase_) break;  // this phase is over
            unit = pending_tile_;
            pending_phase_ = -1;
        } else {
            // A member that holds no unreported tile may find the phase over; one that does cannot.
            if (report == 0 && team.stage_.load(std::memory_order_acquire) != static_cast<uint32_t>(phase_)) break;
            const int64_t word = team.claims_.fetch_add(Team::kClaimed + report, std::memory_order_acq_rel);
            const int64_t word_phase = word >> Team::kPhaseShift;
            unit = word & Team::kFieldMask;
            if (word_phase != phase_) {
                pending_phase_ = word_phase;
                pending_tile_ = unit;
                break;
            }
            if (report != 0 && ((word >> Team::kDoneShift) & Team::kFieldMask) + 1 == units) {
                team.publish(phase_ + 1);
                break;
            }
            report = 0;
        }
        if (unit >= units) break;
        const int64_t first = unit * stride;
        const int64_t last = stride == 1 ? first + 1 : (first + stride < count ? first + stride : count);
        for (int64_t tile = first; tile < last; ++tile) work(tile);
        report = Team::kDone;
    }
    ++phase_;
    team.wait_for(phase_);
}

}  // namespace hpc::cpu
