// Bytes per second of every elementwise instruction over big arrays, beside the two rates that bound it: a plain pass over the same
// number of streams (read, written, read and written in place; with stores past the caches or without, the faster counts) with the same
// team and the same pieces, and the kernel's own rate over operands that stay in the first-level cache, times the threads. All rows of the tables of activations, losses and rules,
// and what draws random numbers. The worst first; what is below 90 % of the lower bound is counted in the last line, which is
// meant for programs. Then Adam by number of parameters, since it lives in another level of memory each time.
//
// Usage: bandwidth_bench [threads] [elements] [isa] [part of a name]
//
// The default of 16 Mi elements (64 MiB a stream) does not fit into caches. The instruction and the plain pass take turns, so that a
// machine which is slower for a while is so for both; each counts with its fastest run.
//
// Tried and left out, as measured with this on a Zen 4: prefetching by hand before plain stores (256 or 1024 elements ahead: 3 to 10 %
// slower, the hardware follows these streams; before stores past the caches it is 15 % faster on one core, and done); four vectors side by side instead of two (up to 10 % for a lone value, but half the speed where a derivative is
// kept, for want of registers); e^r - 1 over e^r + 1 for tanh without a branch near 0 (2.3 ulp, 1.5 are allowed); GELU's tail without
// what its roundings lose (6.0 ulp of 6).
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "../tests/harness.h"
#include "cpu/device.h"
#include "cpu/dispatch.h"

namespace {

using namespace hpc::test;
using hpc::cpu::Kernels;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kColumns = 1024;
constexpr int64_t kPiece = 16384;         // elements; as the executor's elementwise passes have it
constexpr int64_t kSmallBytes = 16384;    // operands of a kernel in the first-level cache, all together
constexpr int kMaxArrays = 8;
constexpr double kEnough = 0.9;

double nanoseconds_since(Clock::time_point start) { return std::chrono::duration<double, std::nano>(Clock::now() - start).count(); }

// How many arrays are read, written, and read and written in place.
struct Streams {
    int reads, writes, updates;
    int bytes() const { return 4 * (reads + writes + 2 * updates); }  // of one element
    int arrays() const { return reads + writes + updates; }
    bool operator<(const Streams& o) const { return std::tie(reads, writes, updates) < std::tie(o.reads, o.writes, o.updates); }
};

// ---- The plain pass -------------------------------------------------------------------------------------------------

typedef float Wide __attribute__((vector_size(64), aligned(4)));
typedef float Half __attribute__((vector_size(32)));

// How a pass writes what it does not read: into the caches, or past them, in stores of 64 or 32 bytes.
enum class Store { Near, Past64, Past32 };

template <int reads, int writes, int updates, Store store>
inline __attribute__((always_inline)) void plain_loop(float* const* arrays, int64_t first, int64_t count) {
    for (int64_t i = first; i < first + count; i += 16) {
        Wide sum = Wide{} + 0.5f;  // not zeros: a compiler makes a call of memset of those
        for (int a = 0; a < reads; a++) sum += *reinterpret_cast<const Wide*>(arrays[a] + i);
        for (int a = 0; a < updates; a++) {
            Wide* p = reinterpret_cast<Wide*>(arrays[reads + writes + a] + i);
            *p = (*p + sum) * 0.125f;
        }
        for (int a = 0; a < writes; a++) {
            float* p = arrays[reads + a] + i;
            if constexpr (store == Store::Past64) {
                asm volatile("vmovntps %1, %0" : "=m"(*reinterpret_cast<Wide*>(p)) : "v"(sum));
            } else if constexpr (store == Store::Past32) {
                Half halves[2];
                std::memcpy(halves, &sum, sizeof sum);
                asm volatile("vmovntps %1, %0" : "=m"(*reinterpret_cast<Half*>(p)) : "x"(halves[0]));
                asm volatile("vmovntps %1, %0" : "=m"(*reinterpret_cast<Half*>(p + 8)) : "x"(halves[1]));
            } else {
                *reinterpret_cast<Wide*>(p) = sum;
            }
        }
        // What only reads must not be left out.
        if (writes + updates == 0) asm volatile("" ::"m"(sum));
    }
    if constexpr (store != Store::Near) _mm_sfence();
}
template <int reads, int writes, int updates, bool past>
__attribute__((target("avx512f"))) void plain_avx512(float* const* arrays, int64_t first, int64_t count) {
    plain_loop<reads, writes, updates, past ? Store::Past64 : Store::Near>(arrays, first, count);
}
template <int reads, int writes, int updates, bool past>
__attribute__((target("avx2"))) void plain_avx2(float* const* arrays, int64_t first, int64_t count) {
    plain_loop<reads, writes, updates, past ? Store::Past32 : Store::Near>(arrays, first, count);
}

using Plain = void (*)(float* const* arrays, int64_t first, int64_t count);

// With plain stores, and with stores past the caches: the faster one counts.
using BothPlain = std::array<Plain, 2>;

BothPlain plain_of(const Streams& s, bool wide) {
    static const std::map<Streams, std::array<BothPlain, 2>> all = {
#define ROW(r, w, u) \
    {{r, w, u}, {BothPlain{plain_avx512<r, w, u, false>, plain_avx512<r, w, u, true>}, \
                 BothPlain{plain_avx2<r, w, u, false>, plain_avx2<r, w, u, true>}}}
        ROW(0, 1, 0), ROW(1, 0, 0), ROW(2, 0, 0), ROW(0, 0, 1), ROW(1, 1, 0), ROW(1, 2, 0), ROW(2, 1, 0),
        ROW(1, 0, 1), ROW(1, 0, 2), ROW(1, 0, 3), ROW(1, 0, 4), ROW(1, 0, 5),
#undef ROW
    };
    const auto found = all.find(s);
    if (found == all.end()) std::abort();
    return found->second[wide ? 0 : 1];
}

// ---- What is measured -------------------------------------------------------------------------------------------------

struct Case {
    std::string name;
    Streams streams;
    // Declares values v[0], v[1], ... in the program, arrays() of them in the order of Streams, and records one instruction.
    std::function<void(Program&, const uint32_t* v)> record;
    // The same over arrays in the first-level cache.
    std::function<void(const Kernels&, float* const* a, int64_t count)> kernel;
};

struct Result {
    const Case* row;
    double microseconds, rate, plain, own, ratio;
};

class Bandwidth {
public:
    Bandwidth(int threads, const char* isa, uint64_t elements)
        : device_(threads, isa), team_(threads), threads_(threads), kernels_(hpc::cpu::choose_kernels(isa)),
          rows_(elements / kColumns), labels_(device_, static_cast<size_t>(rows_)) {
        std::vector<float> values(rows_ * kColumns);
        uint32_t state = 1;
        for (float& x : values) {
            state = state * 1664525u + 1013904223u;
            x = 0.05f + 0.9f * (static_cast<float>(state >> 8) * 0x1p-24f);  // valid for every instruction here
        }
        for (int i = 0; i < kMaxArrays; i++) {
            buffers_.push_back(std::make_unique<Buffer>(device_, rows_ * kColumns));
            buffers_.back()->write(values);
            memory_.push_back(std::make_unique<hpc::cpu::Memory>(rows_ * kColumns * 4));
            std::memcpy(memory_.back()->data(), values.data(), rows_ * kColumns * 4);
            arrays_[i] = reinterpret_cast<float*>(memory_.back()->data());
            small_[i].assign(values.begin(), values.begin() + kSmallBytes / 4);
        }
        std::vector<int32_t> labels(rows_);
        for (size_t i = 0; i < labels.size(); i++) labels[i] = static_cast<int32_t>(i * 271 % kColumns);
        labels_.write(labels);
        small_labels_.assign(labels.begin(), labels.begin() + std::min<size_t>(labels.size(), 16));
    }

    uint32_t labels(Program& program) {
        return program.value(HPC_VALUE_PERSISTENT, HPC_INT32, HPC_LEAD_ROWS, 0, 1, labels_.handle);
    }
    const int32_t* small_labels() const { return small_labels_.data(); }

    Result measure(const Case& row) {
        Program program(device_, rows_, HPC_PROGRAM_PLAIN);
        uint32_t v[kMaxArrays] = {};
        for (int i = 0; i < row.streams.arrays(); i++)
            v[i] = program.value(HPC_VALUE_PERSISTENT, HPC_FLOAT32, HPC_LEAD_ROWS, 0, kColumns, buffers_[static_cast<size_t>(i)]->handle);
        row.record(program, v);
        HPC_EXPECT(hpc_program_finish(program.handle));
        const int64_t elements = static_cast<int64_t>(rows_ * kColumns);
        const BothPlain plain = plain_of(row.streams, std::string(kernels_.isa) == "avx512");
        // Small arrays need many runs in a turn for the caches to be warm, big ones few.
        const uint32_t runs = static_cast<uint32_t>(1 + (int64_t{1} << 24) / elements);
        double best = std::numeric_limits<double>::infinity(), best_plain = best;
        const Clock::time_point start = Clock::now();
        for (size_t turn = 0; turn < 6 || (turn < 100 && nanoseconds_since(start) < 0.15e9); turn++) {
            // A program may consist of several instructions; the first is meant.
            hpc_profile_entry entry[4]{};
            uint32_t count = 0;
            HPC_EXPECT(hpc_program_profile(program.handle, rows_, 1, nullptr, 0, runs, entry, 4, &count));
            best = std::min(best, entry[0].nanoseconds);
            // One of the two in a turn, so that arrays which partly fit a cache are as far from it as the program's were.
            for (uint32_t run = 0; run < runs; run++) {
                const Clock::time_point begin = Clock::now();
                const auto pass = [&](hpc::cpu::Member& member) {
                    member.tiles(elements / kPiece + (elements % kPiece != 0), [&](int64_t tile) {
                        plain[turn % 2](arrays_, tile * kPiece, std::min(kPiece, elements - tile * kPiece));
                    });
                };
                if (threads_ > 1) {
                    team_.run(pass);
                } else {
                    hpc::cpu::Team::run_alone(pass);
                }
                best_plain = std::min(best_plain, nanoseconds_since(begin));
            }
        }
        const double bytes = static_cast<double>(row.streams.bytes()) * static_cast<double>(elements);
        Result result{&row, best * 1e-3, bytes / best, bytes / best_plain, own_rate(row) * threads_, 0};
        result.ratio = result.rate / std::min(result.plain, result.own);
        return result;
    }

    const char* isa() const { return kernels_.isa; }
    uint64_t elements() const { return rows_ * kColumns; }
    bool ready() const { return device_.handle != nullptr; }

private:
    // Of one thread, with operands in the first-level cache
    double own_rate(const Case& row) {
        const int64_t count = std::max<int64_t>(kSmallBytes / 4 / row.streams.arrays() / static_cast<int64_t>(kColumns), 0) * static_cast<int64_t>(kColumns);
        const int64_t elements = count > 0 ? count : kSmallBytes / 4 / row.streams.arrays() / 64 * 64;
        float* arrays[kMaxArrays];
        for (int i = 0; i < kMaxArrays; i++) arrays[i] = small_[i].data();
        double best = std::numeric_limits<double>::infinity();
        hpc::cpu::Team::run_alone([&](hpc::cpu::Member&) {  // in the floating-point state of a run
            constexpr int kCalls = 50;
            for (int round = 0; round < 60; round++) {
                const Clock::time_point begin = Clock::now();
                for (int i = 0; i < kCalls; i++) row.kernel(kernels_, arrays, elements);
                best = std::min(best, nanoseconds_since(begin) / kCalls);
            }
        });
        return static_cast<double>(row.streams.bytes()) * static_cast<double>(elements) / best;
    }

    Device device_;
    hpc::cpu::Team team_;
    int threads_;
    const Kernels& kernels_;
    uint64_t rows_;
    Buffer labels_;
    std::vector<std::unique_ptr<Buffer>> buffers_;
    std::vector<std::unique_ptr<hpc::cpu::Memory>> memory_;
    float* arrays_[kMaxArrays];
    std::vector<float> small_[kMaxArrays];
    std::vector<int32_t> small_labels_;
};

Case update_case(int id, const hpc_rule_info& rule) {
    const int states = rule.state_count, hyperparameters = rule.hyperparameter_count;
    return {std::string("update ") + rule.name,
            {1, 0, 1 + states},
            [=](Program& program, const uint32_t* v) {
                hpc_update update{};
                update.rule = id;
                update.gradients = v[0];
                update.parameters = v[1];
                for (int i = 0; i < states; i++) update.states[i] = v[2 + i];
                for (int i = 0; i < hyperparameters; i++) update.hyperparameters[i].constant = 0.5f;
                update.step.constant = 1;
                HPC_EXPECT(hpc_record_update(program.handle, &update));
            },
            [=](const Kernels& k, float* const* a, int64_t count) {
                hpc::cpu::UpdateElements e{};
                e.gradients = a[0];
                e.parameters = a[1];
                for (int i = 0; i < states; i++) e.states[i] = a[2 + i];
                e.count = count;
                for (float& h : e.h) h = 0.5f;
                k.update[id](e);
            }};
}

std::vector<Case> all_cases(Bandwidth& bench) {
    std::vector<Case> cases;
    hpc_activation_info activation{};
    for (int id = 0; hpc_get_activation_info(id, &activation) == HPC_OK; id++) {
        const std::string name = activation.name;
        const bool derivative = activation.keeps == HPC_KEEPS_DERIVATIVE, kept = activation.keeps != HPC_KEEPS_NOTHING;
        for (int both = 0; both <= derivative; both++) {
            cases.push_back({"activation_forward " + name + (both ? " (training)" : ""),
                             {1, 1 + both, 0},
                             [=](Program& program, const uint32_t* v) {
                                 hpc_activation_forward forward{id, v[0], v[1], both ? v[2] : 0, 1, 1};
                                 HPC_EXPECT(hpc_record_activation_forward(program.handle, &forward));
                             },
                             [=](const Kernels& k, float* const* a, int64_t count) {
                                 k.activation_forward[id](a[0], a[1], both ? a[2] : nullptr, count, 1, 1, false);
                             }});
        }
        cases.push_back({"activation_backward " + name,
                         {1 + kept, 1, 0},
                         [=](Program& program, const uint32_t* v) {
                             hpc_activation_backward backward{id, kept ? v[1] : 0, v[0], v[1 + kept], 1, 1};
                             HPC_EXPECT(hpc_record_activation_backward(program.handle, &backward));
                         },
                         [=](const Kernels& k, float* const* a, int64_t count) {
                             k.activation_backward[id](kept ? a[1] : nullptr, a[0], a[1 + kept], count, 1, 1, false);
                         }});
    }
    hpc_loss_info loss{};
    for (int id = 0; hpc_get_loss_info(id, &loss) == HPC_OK; id++) {
        const auto kernel = [=](bool gradient) {
            return [=](const Kernels& k, float* const* a, int64_t count) {
                hpc::cpu::LossElements e{a[0], a[1], gradient ? a[2] : nullptr, count, 0.5f, 1, 1, 0};
                k.loss[id](e);
            };
        };
        cases.push_back({std::string("loss_forward ") + loss.name,
                         {2, 0, 0},
                         [=](Program& program, const uint32_t* v) {
                             hpc_loss_forward forward{};
                             forward.loss = id;
                             forward.prediction = v[0];
                             forward.target = v[1];
                             forward.alpha = forward.beta = 1;
                             forward.weight.constant = 1;
                             HPC_EXPECT(hpc_record_loss_forward(program.handle, &forward));
                         },
                         kernel(false)});
        cases.push_back({std::string("loss_backward ") + loss.name,
                         {2, 1, 0},
                         [=](Program& program, const uint32_t* v) {
                             hpc_loss_backward backward{};
                             backward.loss = id;
                             backward.prediction = v[0];
                             backward.target = v[1];
                             backward.gradient = v[2];
                             backward.alpha = backward.beta = 1;
                             backward.weight.constant = 1;
                             HPC_EXPECT(hpc_record_loss_backward(program.handle, &backward));
                         },
                         kernel(true)});
    }
    static const char* const class_losses[] = {"softmax_cross_entropy", "negative_log_likelihood", "multi_margin"};
    for (int id = 0; id < hpc::cpu::kClassLossCount; id++) {
        const auto kernel = [=, &bench](bool gradient) {
            return [=, &bench](const Kernels& k, float* const* a, int64_t count) {
                hpc::cpu::ClassLossRows rows{};
                rows.logits = a[0];
                rows.labels = bench.small_labels();
                rows.gradient = gradient ? a[1] : nullptr;
                rows.rows = count / static_cast<int64_t>(kColumns);
                rows.classes = kColumns;
                rows.scale = 0.5f;
                rows.alpha = id == HPC_CLASS_LOSS_MULTI_MARGIN ? 1.0f : 0.0f;
                rows.beta = 1;
                k.class_loss[id](rows);
            };
        };
        const float margin = id == HPC_CLASS_LOSS_MULTI_MARGIN ? 1.0f : 0.0f;
        cases.push_back({std::string("class_loss_forward ") + class_losses[id],
                         {1, 0, 0},
                         [=, &bench](Program& program, const uint32_t* v) {
                             hpc_class_loss_forward forward{};
                             forward.loss = id;
                             forward.scores = v[0];
                             forward.target = bench.labels(program);
                             forward.weight.constant = 1;
                             forward.alpha = margin;
                             forward.beta = 1;
                             HPC_EXPECT(hpc_record_class_loss_forward(program.handle, &forward));
                         },
                         kernel(false)});
        cases.push_back({std::string("class_loss_backward ") + class_losses[id],
                         {1, 1, 0},
                         [=, &bench](Program& program, const uint32_t* v) {
                             hpc_class_loss_backward backward{};
                             backward.loss = id;
                             backward.scores = v[0];
                             backward.target = bench.labels(program);
                             backward.gradient = v[1];
                             backward.weight.constant = 1;
                             backward.alpha = margin;
                             backward.beta = 1;
                             HPC_EXPECT(hpc_record_class_loss_backward(program.handle, &backward));
                         },
                         kernel(true)});
    }
    hpc_rule_info rule{};
    for (int id = 0; hpc_get_rule_info(id, &rule) == HPC_OK; id++) cases.push_back(update_case(id, rule));

    const auto add = [&](const char* name, Streams streams, std::function<void(Program&, const uint32_t*)> record,
                         std::function<void(const Kernels&, float* const*, int64_t)> kernel) {
        cases.push_back({name, streams, std::move(record), std::move(kernel)});
    };
    add("softmax", {1, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_softmax softmax{v[0], v[1]};
            HPC_EXPECT(hpc_record_softmax(program.handle, &softmax));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.softmax(a[0], a[1], count / static_cast<int64_t>(kColumns), kColumns, false); });
    add("softmax_backward", {2, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_softmax_backward backward{v[0], v[1], v[2], 0};
            HPC_EXPECT(hpc_record_softmax_backward(program.handle, &backward));
        },
        [](const Kernels& k, float* const* a, int64_t count) {
            k.softmax_backward(a[0], a[1], a[2], count / static_cast<int64_t>(kColumns), kColumns, false);
        });
    add("log_softmax", {1, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_log_softmax softmax{v[0], v[1]};
            HPC_EXPECT(hpc_record_log_softmax(program.handle, &softmax));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.log_softmax(a[0], a[1], count / static_cast<int64_t>(kColumns), kColumns, false); });
    add("log_softmax_backward", {2, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_log_softmax_backward backward{v[0], v[1], v[2], 0};
            HPC_EXPECT(hpc_record_log_softmax_backward(program.handle, &backward));
        },
        [](const Kernels& k, float* const* a, int64_t count) {
            k.log_softmax_backward(a[0], a[1], a[2], count / static_cast<int64_t>(kColumns), kColumns, false);
        });
    add("philox_uniform", {0, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_philox_uniform uniform{};
            uniform.x = v[0];
            uniform.high = 1;
            HPC_EXPECT(hpc_record_philox_uniform(program.handle, &uniform));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.philox_uniform(a[0], 0, count, 1, 2, 0, 1); });
    add("dropout", {1, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_dropout dropout{};
            dropout.x = v[0];
            dropout.y = v[1];
            dropout.rate.constant = 0.5f;
            HPC_EXPECT(hpc_record_dropout(program.handle, &dropout));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.dropout(a[0], a[1], 0, count, 1, 2, 0.5f); });
    add("affine_dropout", {1, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_affine_dropout dropout{};
            dropout.x = v[0];
            dropout.y = v[1];
            dropout.rate = 0.5f;
            dropout.scale = 1;
            HPC_EXPECT(hpc_record_affine_dropout(program.handle, &dropout));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.affine_dropout(a[0], a[1], 0, count, 1, 2, 0.5f, 1, 0, 0); });
    add("gaussian_noise", {1, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_gaussian_noise noise{};
            noise.x = v[0];
            noise.y = v[1];
            noise.deviation.constant = 0.5f;
            HPC_EXPECT(hpc_record_gaussian_noise(program.handle, &noise));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.gaussian_noise(a[0], a[1], 0, count, 1, 2, 0.5f); });
    add("multiply", {2, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_multiply multiply{v[0], v[1], v[2]};
            HPC_EXPECT(hpc_record_multiply(program.handle, &multiply));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.multiply(a[0], a[1], a[2], count, false); });
    add("fast_gradient_sign", {2, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_fast_gradient_sign sign{};
            sign.x = v[0];
            sign.gradient = v[1];
            sign.y = v[2];
            sign.share = 1;
            sign.high = 1;
            sign.epsilon.constant = 0.1f;
            HPC_EXPECT(hpc_record_fast_gradient_sign(program.handle, &sign));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.fast_gradient_sign(a[0], a[1], a[2], count, 0.1f, 0, 1, false); });
    add("add_scaled", {1, 0, 1},
        [](Program& program, const uint32_t* v) {
            hpc_add_scaled scaled{};
            scaled.x = v[0];
            scaled.y = v[1];
            scaled.factor.constant = 0x1p-20f;
            HPC_EXPECT(hpc_record_add_scaled(program.handle, &scaled));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.add_scaled(a[0], a[1], count, 0x1p-20f); });
    add("add_penalty", {1, 0, 1},
        [](Program& program, const uint32_t* v) {
            hpc_add_penalty penalty{};
            penalty.x = v[0];
            penalty.y = v[1];
            penalty.l1.constant = penalty.l2.constant = 0x1p-20f;
            HPC_EXPECT(hpc_record_add_penalty(program.handle, &penalty));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.add_penalty(a[0], a[1], count, 0x1p-20f, 0x1p-20f); });
    add("scale", {0, 0, 1},
        [](Program& program, const uint32_t* v) {
            hpc_scale scale{};
            scale.x = v[0];
            scale.factor.constant = 1;
            HPC_EXPECT(hpc_record_scale(program.handle, &scale));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.scale(a[0], count, 1); });
    add("clip_by_value", {0, 0, 1},
        [](Program& program, const uint32_t* v) {
            hpc_clip_by_value clip{};
            clip.x = v[0];
            clip.limit.constant = 1;
            HPC_EXPECT(hpc_record_clip_by_value(program.handle, &clip));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.clip(a[0], count, 1); });
    add("fill", {0, 1, 0},
        [](Program& program, const uint32_t* v) {
            hpc_fill fill{};
            fill.x = v[0];
            fill.value.constant = 0.5f;
            HPC_EXPECT(hpc_record_fill(program.handle, &fill));
        },
        [](const Kernels& k, float* const* a, int64_t count) { k.fill(a[0], count, 0.5f); });
    return cases;
}

void print(const Result& r) {
    std::printf("%-46s %d/%d/%d %11.2f %9.1f %9.1f %9.1f %7.0f%%%s\n", r.row->name.c_str(), r.row->streams.reads, r.row->streams.writes,
                r.row->streams.updates, r.microseconds, r.rate, r.plain, r.own, 100 * r.ratio, r.ratio < kEnough ? " *" : "");
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
    const uint64_t elements = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : uint64_t{16} << 20;
    const char* isa = argc > 3 && argv[3][0] ? argv[3] : nullptr;
    const std::string match = argc > 4 ? argv[4] : "";
    if (threads < 1 || elements < kColumns) {
        std::fprintf(stderr, "usage: bandwidth_bench [threads] [elements, 1024 or more] [isa] [part of a name]\n");
        return 1;
    }
    const char* const heading = "%-46s r/w/u %11s %9s %9s %9s %8s\n";
    std::printf(heading, "instruction", "us", "GB/s", "plain", "in L1", "of lower");
    {
        Bandwidth bench(threads, isa, elements);
        if (!bench.ready()) {
            std::fprintf(stderr, "%s\n", hpc_last_error());
            return 1;
        }
        const std::vector<Case> cases = all_cases(bench);
        std::vector<Result> results;
        for (const Case& row : cases)
            if (row.name.find(match) != std::string::npos) results.push_back(bench.measure(row));
        std::sort(results.begin(), results.end(), [](const Result& a, const Result& b) { return a.ratio < b.ratio; });
        for (const Result& result : results) print(result);
        const auto below = std::count_if(results.begin(), results.end(), [](const Result& r) { return r.ratio < kEnough; });
        if (!results.empty()) {
            std::printf("summary threads=%d isa=%s elements=%llu instructions=%zu below_90_percent=%lld worst=%.3f\n", threads, bench.isa(),
                        static_cast<unsigned long long>(bench.elements()), results.size(), static_cast<long long>(below),
                        results.front().ratio);
        }
    }
    if (!match.empty() && std::string("update adam by size").find(match) == std::string::npos) return 0;
    for (const uint64_t count : {uint64_t{512} << 10, uint64_t{4} << 20, uint64_t{38} << 20}) {
        Bandwidth bench(threads, isa, count);
        hpc_rule_info rule{};
        HPC_EXPECT(hpc_get_rule_info(HPC_RULE_ADAM, &rule));
        Case row = update_case(HPC_RULE_ADAM, rule);
        row.name += ", " + std::to_string(count) + " parameters";
        print(bench.measure(row));
    }
    return 0;
}
