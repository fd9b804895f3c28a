// A program: recorded, finished, run many times.
//
// record.cpp checks and appends instructions; finish.cpp turns the list into a Plan (fuse.cpp merges, then lifetimes and
// workspace) and lowers it on the device; describe.cpp prints it; program.cpp runs it.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend.h"
#include "program/ir.h"

namespace hpc {

// Merges plain nodes; the patterns stand at the head of fuse.cpp.
std::vector<Node> fuse(std::vector<Node> nodes, const std::vector<Value>& values, const Extents& capacity);

class Program {
public:
    // A program is not re-entrant: whoever changes or runs it holds the one entry, a second one gets HPC_BUSY.
    class Entry {
    public:
        explicit Entry(Program& program);
        ~Entry();
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

    private:
        Program& program_;
    };

    Program(std::shared_ptr<Device> device, const hpc_program_options& options);

    // Recording
    uint32_t add_value(const hpc_value_desc& desc, std::shared_ptr<Buffer> buffer);
    uint32_t add_slot(int32_t type, const char* name);
    void record(const hpc_gather_rows& arguments);
    void record(const hpc_dense_forward& arguments);
    void record(const hpc_dense_backward_input& arguments);
    void record(const hpc_dense_backward_weight& arguments);
    void record(const hpc_column_sums& arguments);
    void record(const hpc_activation_forward& arguments);
    void record(const hpc_activation_backward& arguments);
    void record(const hpc_loss_forward& arguments);
    void record(const hpc_loss_backward& arguments);
    void record(const hpc_class_loss_forward& arguments);
    void record(const hpc_class_loss_backward& arguments);
    void record(const hpc_softmax& arguments);
    void record(const hpc_softmax_backward& arguments);
    void record(const hpc_log_softmax& arguments);
    void record(const hpc_log_softmax_backward& arguments);
    void record(const hpc_prelu_forward& arguments);
    void record(const hpc_prelu_backward& arguments);
    void record(const hpc_update& arguments);
    void record(const hpc_norm& arguments);
    void record(const hpc_clip_by_norm& arguments);
    void record(const hpc_clip_by_value& arguments);
    void record(const hpc_add_penalty& arguments);
    void record(const hpc_limit_column_norms& arguments);
    void record(const hpc_scale& arguments);
    void record(const hpc_add_scaled& arguments);
    void record(const hpc_fill& arguments);
    void record(const hpc_philox_uniform& arguments);
    void record(const hpc_dropout& arguments);
    void record(const hpc_fast_gradient_sign& arguments);
    void record(const hpc_multiply& arguments);
    void record(const hpc_copy_columns& arguments);
    void record(const hpc_affine_dropout& arguments);
    void record(const hpc_gaussian_noise& arguments);
    void record(const hpc_recurrent_forward& arguments);
    void record(const hpc_recurrent_backward& arguments);
    void record(const hpc_batch_norm_forward& arguments);
    void record(const hpc_batch_norm_backward& arguments);
    void record(const hpc_batch_norm_update& arguments);
    void record(const hpc_layer_norm_forward& arguments);
    void record(const hpc_layer_norm_backward& arguments);
    void record(const hpc_embedding_forward& arguments);
    void record(const hpc_embedding_backward& arguments);
    void record(const hpc_call& arguments);
    void finish();

    // Running
    void run(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, const hpc_transfer* transfers,
             uint32_t transfer_count, hpc_metrics* metrics);
    uint32_t profile(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, uint32_t repetitions,
                     hpc_profile_entry* entries, uint32_t capacity);
    hpc_run_costs measure(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count, uint32_t repetitions);

    void info(hpc_program_info& info) const;
    std::string describe() const;

    const std::shared_ptr<Device>& device() const { return device_; }

private:
    // Resolves a caller's id; throws when it is not a value of this program.
    const Value& resolve(uint32_t& id, const char* role) const;
    const Value& resolve_optional(uint32_t& id, const char* role) const;
    const Value& floats(uint32_t& id, const char* role) const;
    void check_scalar(const hpc_scalar& scalar, const char* role) const;
    void check_counter(const hpc_counter& counter, const char* role) const;
    void check_writable(uint32_t id, const char* role) const;
    void check_loss(LossNode& node, const char* instruction);
    void check_class_loss(ClassLossNode& node, const char* instruction);
    template <class Arguments>
    void check_normalization_gradients(const char* name, Arguments& node, const Value& x, uint64_t width) const;
    void check_recording() const;
    void check_run(uint64_t rows, uint64_t steps, const uint64_t* slots, uint32_t slot_count) const;
    void append(Payload payload);
    void check_order() const;
    void check_constants(const std::vector<bool>& written) const;

    std::shared_ptr<Device> device_;
    uint32_t tag_;  // upper bits of the value ids, so that another program's ids are recognized
    uint32_t flags_;
    bool finished_ = false;
    std::vector<Node> recorded_;
    Plan plan_;
    std::shared_ptr<Buffer> owned_;
    std::unique_ptr<Executor> executor_;
    std::atomic_flag busy_ = ATOMIC_FLAG_INIT;
    std::atomic<uint64_t> runs_{0};
};

}  // namespace hpc
