/*
 * hpcnet.h: the C ABI of the HpcNet core, the only door into it.
 *
 * The model
 *   A device owns memory (buffers) and executes programs. A program is a list of instructions over named values,
 *   recorded once (hpc_program_value, hpc_program_slot, hpc_record_*), finished once (hpc_program_finish checks, fuses
 *   and plans it) and run many times (hpc_program_run). A whole training step is one run.
 *
 * Conventions
 *   - Every function returns hpc_status. Nothing else crosses this boundary: no exception, no signal, no output. After a
 *     status other than HPC_OK the calling thread's message is at hpc_last_error(). A failed call changed nothing.
 *   - Matrices are row-major. A value is [lead x columns]; lead is a fixed count, the run's rows, or the run's
 *     steps * rows (layout [steps, rows, columns]).
 *   - Value ids are opaque and belong to one program, slots are numbered from 1; 0 means none in both.
 *   - Strings are UTF-8 and zero-terminated. The core copies what it keeps and stores no caller's pointer past a call.
 *   - A child (buffer, program) keeps its device alive, a program keeps its buffers alive: destroy in any order.
 *   - Handles may be used from any thread. A program is not re-entrant: a second entry gets HPC_BUSY.
 *   - The core reads no environment variable: choices come through hpc_device_options.
 *
 * To add an instruction: a struct and a hpc_record_ function here, a row in program/ir.h, a kernel in every backend.
 */
#ifndef HPCNET_H
#define HPCNET_H

#include <stddef.h>
#include <stdint.h>

#ifndef HPC_API
#if defined(_WIN32)
#if defined(HPC_BUILDING)
#define HPC_API __declspec(dllexport)
#else
#define HPC_API __declspec(dllimport)
#endif
#else
#define HPC_API __attribute__((visibility("default")))
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Changes whenever a struct, an enum value or a signature changes. */
#define HPC_ABI_VERSION 3

/* ---- Status ------------------------------------------------------------------------------------------------------ */

typedef enum hpc_status {
    HPC_OK = 0,
    HPC_INVALID_ARGUMENT = 1, /* an argument, extent, id or enum value has no meaning here */
    HPC_INVALID_STATE = 2,    /* the call is out of order: recording after finish, running before it */
    HPC_OUT_OF_MEMORY = 3,
    HPC_BUSY = 4,          /* the program is running on another thread */
    HPC_NOT_AVAILABLE = 5, /* a forced choice (instruction set, BLAS, device) is not to be had on this machine */
    HPC_NOT_SUPPORTED = 6, /* this backend does not execute what was recorded */
    HPC_DEVICE_ERROR = 7,  /* a driver failed */
    HPC_INTERNAL = 8       /* a defect of the core */
} hpc_status;

/* The message of the calling thread's last failed call ("" if there was none); valid until its next call. */
HPC_API const char* hpc_last_error(void);

/* ---- Version and tables ------------------------------------------------------------------------------------------ */

/* "major.minor.patch". */
HPC_API const char* hpc_version(void);

/* HPC_ABI_VERSION as the core was compiled. */
HPC_API uint32_t hpc_abi_version(void);

/*
 * Text results (layouts, descriptions): at most `capacity` bytes including the terminating zero are written to `text`
 * (which may be null when capacity is 0); `*needed` gets the full size including the zero.
 */

/* One line for each struct of this header: "name size field:offset field:offset ...". */
HPC_API hpc_status hpc_struct_layouts(char* text, size_t capacity, size_t* needed);

/* Elementwise activations; formulas and derivatives in native/formulas/activations.h. */
typedef enum hpc_activation {
    HPC_ACTIVATION_LINEAR = 0,
    HPC_ACTIVATION_RELU = 1,
    HPC_ACTIVATION_SIGMOID = 2,
    HPC_ACTIVATION_TANH = 3
} hpc_activation;

/* What an activation's backward instruction needs from the forward one. */
typedef enum hpc_keeps {
    HPC_KEEPS_NOTHING = 0,   /* the derivative is constant */
    HPC_KEEPS_OUTPUT = 1,    /* the derivative is a function of the output */
    HPC_KEEPS_DERIVATIVE = 2 /* the forward instruction writes the derivative beside the output */
} hpc_keeps;

typedef struct hpc_activation_info {
    const char* name;
    int32_t keeps;      /* hpc_keeps */
    int32_t parameters; /* how many of alpha, beta it reads: 0 to 2 */
} hpc_activation_info;

HPC_API hpc_status hpc_get_activation_info(int32_t activation, hpc_activation_info* info);

/* Elementwise losses of a prediction and a target of the same shape; formulas in native/formulas/losses.h. */
typedef enum hpc_loss {
    HPC_LOSS_SQUARED_ERROR = 0 /* (p - t)^2; with HPC_REDUCTION_MEAN the mean squared error */
} hpc_loss;

typedef struct hpc_loss_info {
    const char* name;
    int32_t parameters; /* how many of alpha, beta it reads: 0 to 2 */
    int32_t reserved;
} hpc_loss_info;

HPC_API hpc_status hpc_get_loss_info(int32_t loss, hpc_loss_info* info);

typedef enum hpc_reduction {
    HPC_REDUCTION_MEAN = 0, /* elementwise losses: over all elements; cross-entropy: over rows */
    HPC_REDUCTION_SUM = 1
} hpc_reduction;

/* Optimizer rules; formulas in native/formulas/rules.h. */
typedef enum hpc_rule {
    HPC_RULE_SGD = 0,      /* p -= lr g */
    HPC_RULE_MOMENTUM = 1, /* v = momentum v + (1 - dampening) g (first step: v = g); p -= lr v, Nesterov: p -= lr (g + momentum v) */
    HPC_RULE_ADAM = 2      /* Kingma and Ba 2015, with bias correction */
} hpc_rule;

#define HPC_MAX_HYPERPARAMETERS 8
#define HPC_MAX_STATES 4

typedef struct hpc_rule_info {
    const char* name;
    const char* hyperparameters; /* comma-separated, in the order of hpc_update.hyperparameters */
    int32_t hyperparameter_count;
    int32_t state_count; /* optimizer-state values that the rule needs, each as large as the parameters */
} hpc_rule_info;

HPC_API hpc_status hpc_get_rule_info(int32_t rule, hpc_rule_info* info);

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

typedef struct hpc_device hpc_device;

typedef enum hpc_device_kind { HPC_DEVICE_CPU = 0, HPC_DEVICE_OPENCL = 1 } hpc_device_kind;

typedef struct hpc_device_options {
    int32_t kind; /* hpc_device_kind */

    /* HPC_DEVICE_CPU; ignored elsewhere. */
    int32_t threads; /* team size, 1 to 1024; 0: min(physical cores, affinity, cgroup quota) */
    const char* isa; /* "avx512", "avx2", "scalar"; null: the best this processor has */
    const char* blas; /* "builtin", "mkl", "openblas", "onednn", "blis" or the path of a CBLAS library; null: MKL where it
                         is found, else built-in */
    const char* library_directories; /* folders searched for BLAS libraries before the system's, separated by '\n'; may be null */

    /* HPC_DEVICE_OPENCL; ignored elsewhere. */
    int32_t index; /* the device's number in hpc_opencl_describe; -1: by name, else the best: a GPU before others */
    uint32_t reserved;
    const char* name; /* a fragment of the device's or its platform's name, in any case of letters; null: none */
    void* context;    /* a caller's cl_context and in-order cl_command_queue, retained until the device is gone, instead */
    void* queue;      /* of a device chosen here: both or neither */
    const char* cache_directory; /* folder where built kernels are kept; it is made if need be. null or "": none */
} hpc_device_options;

HPC_API hpc_status hpc_device_create(const hpc_device_options* options, hpc_device** device);
HPC_API hpc_status hpc_device_destroy(hpc_device* device);

#define HPC_NAME_LENGTH 128

typedef struct hpc_device_info {
    int32_t kind;
    int32_t threads;                 /* of the team; OpenCL: compute units */
    uint64_t memory_bytes;           /* of the machine or the card */
    uint64_t allocated_bytes;        /* by this device's buffers and programs now */
    char name[HPC_NAME_LENGTH];      /* processor or card */
    char isa[HPC_NAME_LENGTH];       /* instruction set of the kernels that run; "" where that has no meaning */
    char blas[HPC_NAME_LENGTH];      /* provider of the tile product: builtin, mkl, openblas, onednn, blis, custom; "" for OpenCL */
    char blas_path[HPC_NAME_LENGTH]; /* file it was loaded from; "" for builtin */
} hpc_device_info;

HPC_API hpc_status hpc_device_get_info(const hpc_device* device, hpc_device_info* info);

/* What was tried, found and chosen when the device was made, a line each. */
HPC_API hpc_status hpc_device_describe(const hpc_device* device, char* text, size_t capacity, size_t* needed);

typedef struct hpc_measurement {
    double peak_gflops;        /* fused multiply-adds in registers, all threads of the team, for the ISA in use */
    double copy_gigabytes_per_second; /* memory copy, read + written bytes, all threads */
} hpc_measurement;

/* OpenCL as this process finds it: the libraries that were looked for, platforms, devices (numbered from 0), drivers,
   memory, limits. That nothing was found is an answer, too. */
HPC_API hpc_status hpc_opencl_describe(char* text, size_t capacity, size_t* needed);

/* How many devices hpc_opencl_describe numbers. */
HPC_API hpc_status hpc_opencl_device_count(int32_t* count);

/* Measures for about `milliseconds` (1 to 10,000) in all. */
HPC_API hpc_status hpc_device_measure(hpc_device* device, int32_t milliseconds, hpc_measurement* measurement);

/* ---- Buffers ----------------------------------------------------------------------------------------------------- */

typedef struct hpc_buffer hpc_buffer;

/* Zero-filled memory of the device, 64-byte aligned; bytes > 0. */
HPC_API hpc_status hpc_buffer_create(hpc_device* device, uint64_t bytes, hpc_buffer** buffer);
/* A caller's cl_mem as a buffer of an OpenCL device of the same context: retained here, released when the buffer is gone.
   1 <= bytes <= the object's size. What the caller does with it must be ordered with the device's queue by the caller. */
HPC_API hpc_status hpc_buffer_adopt(hpc_device* device, void* memory, uint64_t bytes, hpc_buffer** buffer);
HPC_API hpc_status hpc_buffer_destroy(hpc_buffer* buffer);
HPC_API hpc_status hpc_buffer_read(hpc_buffer* buffer, uint64_t offset, void* destination, uint64_t bytes);
HPC_API hpc_status hpc_buffer_write(hpc_buffer* buffer, uint64_t offset, const void* source, uint64_t bytes);
/* Copies between two buffers of one device; overlapping ranges of one buffer are refused. */
HPC_API hpc_status hpc_buffer_copy(hpc_buffer* source, uint64_t source_offset, hpc_buffer* destination,
                                   uint64_t destination_offset, uint64_t bytes);
/* Fills with a repeated 4-byte pattern; offset and bytes are multiples of 4. */
HPC_API hpc_status hpc_buffer_fill(hpc_buffer* buffer, uint64_t offset, uint32_t pattern, uint64_t bytes);

/* ---- Programs: recording ----------------------------------------------------------------------------------------- */

typedef struct hpc_program hpc_program;

typedef enum hpc_program_flags {
    HPC_PROGRAM_DEFAULT = 0,
    HPC_PROGRAM_PLAIN = 1 /* no fusion: each recorded instruction runs by itself */
} hpc_program_flags;

typedef struct hpc_program_options {
    uint64_t rows;  /* capacity: a run has 0 to this many rows; at least 1 */
    uint64_t steps; /* capacity of the sequence length; at least 1 */
    uint32_t flags; /* hpc_program_flags */
    uint32_t reserved;
} hpc_program_options;

HPC_API hpc_status hpc_program_create(hpc_device* device, const hpc_program_options* options, hpc_program** program);
HPC_API hpc_status hpc_program_destroy(hpc_program* program);

typedef enum hpc_value_kind {
    HPC_VALUE_PARAMETER = 0,
    HPC_VALUE_GRADIENT = 1,
    HPC_VALUE_OPTIMIZER_STATE = 2,
    HPC_VALUE_PERSISTENT = 3, /* survives from run to run: running statistics, data sets */
    HPC_VALUE_INPUT = 4,
    HPC_VALUE_TARGET = 5,
    HPC_VALUE_INDEX = 6,
    HPC_VALUE_OUTPUT = 7, /* readable after a run */
    HPC_VALUE_TEMPORARY = 8
} hpc_value_kind;

typedef enum hpc_dtype { HPC_FLOAT32 = 0, HPC_INT32 = 1 } hpc_dtype;

typedef enum hpc_lead {
    HPC_LEAD_FIXED = 0,     /* hpc_value_desc.count rows */
    HPC_LEAD_ROWS = 1,      /* the run's rows */
    HPC_LEAD_STEPS_ROWS = 2 /* the run's steps * rows */
} hpc_lead;

typedef struct hpc_value_desc {
    int32_t kind;       /* hpc_value_kind */
    int32_t dtype;      /* hpc_dtype */
    int32_t lead;       /* hpc_lead */
    uint32_t reserved;
    uint64_t count;     /* of HPC_LEAD_FIXED */
    uint64_t columns;   /* at least 1 */
    hpc_buffer* buffer; /* where it lives; null: the program owns the memory (temporaries must be null) */
    uint64_t offset;    /* in bytes into the buffer, a multiple of 4 */
    const char* name;   /* for descriptions and messages; may be null */
} hpc_value_desc;

HPC_API hpc_status hpc_program_value(hpc_program* program, const hpc_value_desc* desc, uint32_t* value);

/* A cell of 8 bytes that each run passes: a float (in the low 4 bytes) or an unsigned 64-bit integer. */
typedef enum hpc_slot_type { HPC_SLOT_FLOAT = 0, HPC_SLOT_UINT64 = 1 } hpc_slot_type;

/* Slots are numbered 1, 2, ... in the order of declaration; run takes them in that order. */
HPC_API hpc_status hpc_program_slot(hpc_program* program, int32_t type, const char* name, uint32_t* slot);

/* A hyperparameter: the slot's value if slot is not 0, else the constant. */
typedef struct hpc_scalar {
    float constant;
    uint32_t slot;
} hpc_scalar;

typedef struct hpc_counter {
    uint64_t constant;
    uint32_t slot;
    uint32_t reserved;
} hpc_counter;

/* destination[i] = source[indices[offset + i]] for the destination's rows; an index out of range reads as row 0 and sets
   HPC_FLAG_INDEX. source and destination have one dtype. indices is [n x 1] int32. */
typedef struct hpc_gather_rows {
    uint32_t source, indices, destination, reserved;
    hpc_counter offset;
} hpc_gather_rows;
HPC_API hpc_status hpc_record_gather_rows(hpc_program* program, const hpc_gather_rows* arguments);

/* y[r x out] = x[r x in] w[in x out] + b[1 x out]; b may be 0. */
typedef struct hpc_dense_forward {
    uint32_t x, w, b, y;
} hpc_dense_forward;
HPC_API hpc_status hpc_record_dense_forward(hpc_program* program, const hpc_dense_forward* arguments);

/* dx[r x in] = dy[r x out] w[in x out]^T */
typedef struct hpc_dense_backward_input {
    uint32_t dy, w, dx, reserved;
} hpc_dense_backward_input;
HPC_API hpc_status hpc_record_dense_backward_input(hpc_program* program, const hpc_dense_backward_input* arguments);

/* dw[in x out] = x[r x in]^T dy[r x out] */
typedef struct hpc_dense_backward_weight {
    uint32_t x, dy, dw, reserved;
} hpc_dense_backward_weight;
HPC_API hpc_status hpc_record_dense_backward_weight(hpc_program* program, const hpc_dense_backward_weight* arguments);

/* y[1 x n] = sum over the rows of x[r x n] */
typedef struct hpc_column_sums {
    uint32_t x, y;
} hpc_column_sums;
HPC_API hpc_status hpc_record_column_sums(hpc_program* program, const hpc_column_sums* arguments);

/* y = f(x); derivative = f'(x) for an activation that keeps its derivative (else 0; also 0 when no backward follows). */
typedef struct hpc_activation_forward {
    int32_t activation; /* hpc_activation */
    uint32_t x, y, derivative;
    float alpha, beta;
} hpc_activation_forward;
HPC_API hpc_status hpc_record_activation_forward(hpc_program* program, const hpc_activation_forward* arguments);

/* dx = f' * dy, with kept = the forward instruction's y or derivative, as hpc_activation_info.keeps says (0: nothing). */
typedef struct hpc_activation_backward {
    int32_t activation;
    uint32_t kept, dy, dx;
    float alpha, beta;
} hpc_activation_backward;
HPC_API hpc_status hpc_record_activation_backward(hpc_program* program, const hpc_activation_backward* arguments);

/* Adds the loss of prediction[r x n] against target[r x n] to the metrics. `weight` multiplies loss and gradient. */
typedef struct hpc_loss_forward {
    int32_t loss;      /* hpc_loss */
    int32_t reduction; /* hpc_reduction */
    uint32_t prediction, target;
    float alpha, beta;
    hpc_scalar weight;
} hpc_loss_forward;
HPC_API hpc_status hpc_record_loss_forward(hpc_program* program, const hpc_loss_forward* arguments);

/* gradient = d(weight * reduced loss)/d(prediction) */
typedef struct hpc_loss_backward {
    int32_t loss;
    int32_t reduction;
    uint32_t prediction, target, gradient, reserved;
    float alpha, beta;
    hpc_scalar weight;
} hpc_loss_backward;
HPC_API hpc_status hpc_record_loss_backward(hpc_program* program, const hpc_loss_backward* arguments);

/* Softmax cross-entropy of logits[r x classes] against target: int32 [r x 1] class indices or float32 [r x classes]
   probabilities. Adds loss and correct count (arg max of the logits against the label or the target's arg max) to the
   metrics. A label out of range counts as class 0 and sets HPC_FLAG_LABEL. */
typedef struct hpc_softmax_cross_entropy_forward {
    int32_t reduction;
    uint32_t logits, target, reserved;
    hpc_scalar weight;
} hpc_softmax_cross_entropy_forward;
HPC_API hpc_status hpc_record_softmax_cross_entropy_forward(hpc_program* program,
                                                            const hpc_softmax_cross_entropy_forward* arguments);

/* gradient = weight * (softmax(logits) * sum(target) - target), divided by the rows for HPC_REDUCTION_MEAN */
typedef struct hpc_softmax_cross_entropy_backward {
    int32_t reduction;
    uint32_t logits, target, gradient;
    hpc_scalar weight;
} hpc_softmax_cross_entropy_backward;
HPC_API hpc_status hpc_record_softmax_cross_entropy_backward(hpc_program* program,
                                                             const hpc_softmax_cross_entropy_backward* arguments);

/* y = softmax over the columns of x; x and y may be the same value. */
typedef struct hpc_softmax {
    uint32_t x, y;
} hpc_softmax;
HPC_API hpc_status hpc_record_softmax(hpc_program* program, const hpc_softmax* arguments);

/* Applies an optimizer rule to `parameters` with `gradients` and the rule's states, all of one shape. step counts from 1.
   Does nothing while a HPC_FLAG_ is set. */
typedef struct hpc_update {
    int32_t rule; /* hpc_rule */
    uint32_t parameters, gradients;
    uint32_t states[HPC_MAX_STATES];
    uint32_t reserved;
    hpc_scalar hyperparameters[HPC_MAX_HYPERPARAMETERS];
    hpc_counter step;
} hpc_update;
HPC_API hpc_status hpc_record_update(hpc_program* program, const hpc_update* arguments);

/* norm[1 x 1] = the Euclidean norm of x, also where the squares overflow float32. metrics.gradient_norm gets it too. */
typedef struct hpc_norm {
    uint32_t x, norm;
} hpc_norm;
HPC_API hpc_status hpc_record_norm(hpc_program* program, const hpc_norm* arguments);

/* x *= min(1, max_norm / (norm + 1e-6)) */
typedef struct hpc_clip_by_norm {
    uint32_t x, norm;
    hpc_scalar max_norm;
} hpc_clip_by_norm;
HPC_API hpc_status hpc_record_clip_by_norm(hpc_program* program, const hpc_clip_by_norm* arguments);

/* x *= factor. On a parameter: does nothing while a HPC_FLAG_ is set. */
typedef struct hpc_scale {
    uint32_t x, reserved;
    hpc_scalar factor;
} hpc_scale;
HPC_API hpc_status hpc_record_scale(hpc_program* program, const hpc_scale* arguments);

/* y += factor * x */
typedef struct hpc_add_scaled {
    uint32_t x, y;
    hpc_scalar factor;
} hpc_add_scaled;
HPC_API hpc_status hpc_record_add_scaled(hpc_program* program, const hpc_add_scaled* arguments);

/* x = value */
typedef struct hpc_fill {
    uint32_t x, reserved;
    hpc_scalar value;
} hpc_fill;
HPC_API hpc_status hpc_record_fill(hpc_program* program, const hpc_fill* arguments);

/* x[i] = low + (high - low) u_i, u_i in [0, 1) from Philox 4x32-10 with key `seed` and the counter's words
   (i / 4, stream) of 64 bits each; word i % 4, upper 24 bits. */
typedef struct hpc_philox_uniform {
    uint32_t x, reserved;
    hpc_counter seed, stream;
    float low, high;
} hpc_philox_uniform;
HPC_API hpc_status hpc_record_philox_uniform(hpc_program* program, const hpc_philox_uniform* arguments);

/* y[i] = u_i < rate ? 0 : x[i] / (1 - rate), u_i as in hpc_philox_uniform: forward and, with the same seed and stream,
   backward. x and y may be the same value. 0 <= rate < 1. */
typedef struct hpc_dropout {
    uint32_t x, y;
    hpc_counter seed, stream;
    hpc_scalar rate;
} hpc_dropout;
HPC_API hpc_status hpc_record_dropout(hpc_program* program, const hpc_dropout* arguments);

/* z = x * y, elementwise; z may be x or y. */
typedef struct hpc_multiply {
    uint32_t x, y, z;
} hpc_multiply;
HPC_API hpc_status hpc_record_multiply(hpc_program* program, const hpc_multiply* arguments);

/* Copies a block of columns. A row of x is seen as `pieces` equal pieces, one of y as well; of each piece of x, `columns`
   columns from x_column on go to the same piece of y from y_column on. What lies beside them in y stays. x and y have the
   same rows, are different values, and their columns are multiples of pieces. */
typedef struct hpc_copy_columns {
    uint32_t x, y;
    uint64_t pieces, x_column, y_column, columns;
} hpc_copy_columns;
HPC_API hpc_status hpc_record_copy_columns(hpc_program* program, const hpc_copy_columns* arguments);

/* y[i] = u_i < rate ? dropped : scale * x[i] + shift, u_i as in hpc_philox_uniform: dropout that keeps mean and variance
   (alpha dropout), and with shift = dropped = 0 its backward. x and y may be the same value. 0 <= rate < 1. */
typedef struct hpc_affine_dropout {
    uint32_t x, y;
    hpc_counter seed, stream;
    float rate, scale, shift, dropped;
} hpc_affine_dropout;
HPC_API hpc_status hpc_record_affine_dropout(hpc_program* program, const hpc_affine_dropout* arguments);

/* y[i] = x[i] + deviation * n_i, with n_i the standard normal quantile of the middle of u_i's interval, u_i as in
   hpc_philox_uniform. x and y may be the same value. */
typedef struct hpc_gaussian_noise {
    uint32_t x, y;
    hpc_counter seed, stream;
    hpc_scalar deviation;
} hpc_gaussian_noise;
HPC_API hpc_status hpc_record_gaussian_noise(hpc_program* program, const hpc_gaussian_noise* arguments);

/* ---- Programs: finishing and running ------------------------------------------------------------------------------ */

/* Checks, fuses, plans. On success the program can be run and no longer be recorded. */
HPC_API hpc_status hpc_program_finish(hpc_program* program);

typedef enum hpc_flag {
    HPC_FLAG_NONFINITE = 1, /* a loss was NaN or infinite */
    HPC_FLAG_INDEX = 2,     /* a gathered index was out of range */
    HPC_FLAG_LABEL = 4      /* a label was out of range */
} hpc_flag;

/* Accumulated on the device since they were last fetched. A set flag turns all following updates of the program into
   no-ops until the metrics are fetched. */
typedef struct hpc_metrics {
    double loss;          /* sum over runs of (reduced loss * rows), or of the loss for HPC_REDUCTION_SUM */
    double gradient_norm; /* of the last run that had a norm instruction */
    uint64_t rows;        /* run through a loss */
    uint64_t correct;     /* of them, rows classified correctly */
    uint64_t runs;
    uint64_t first_flagged_run; /* 1-based among `runs`; 0: none */
    uint32_t flags;             /* hpc_flag bits */
    uint32_t reserved;
} hpc_metrics;

/* Data that a run takes from or brings to the caller: inputs, targets and indices are copied in before the first
   instruction, outputs are copied out after the last. bytes must be the value's size for the run's rows and steps. */
typedef struct hpc_transfer {
    uint32_t value;
    uint32_t reserved;
    void* host;
    uint64_t bytes;
} hpc_transfer;

/* One execution of the whole list. `slots` holds slot_count 8-byte cells, as many as were declared. If metrics is not
   null they are fetched and reset; else nothing waits. rows = 0 executes nothing. */
HPC_API hpc_status hpc_program_run(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                   uint32_t slot_count, hpc_metrics* metrics);

/* hpc_program_run with data copied in and out. */
HPC_API hpc_status hpc_program_run_with(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                        uint32_t slot_count, const hpc_transfer* transfers, uint32_t transfer_count,
                                        hpc_metrics* metrics);

typedef struct hpc_program_info {
    uint64_t recorded_instructions;
    uint64_t fused_instructions;
    uint64_t values;
    uint64_t slots;
    uint64_t workspace_bytes;  /* temporaries and scratch, planned */
    uint64_t owned_bytes;      /* inputs, targets, outputs that the program owns */
    uint64_t flops;            /* of one run at capacity */
    uint64_t compulsory_bytes; /* read and written by one run at capacity if every value moved once */
    uint64_t runs;
    uint64_t team_runs; /* of them, those that the device's whole team served */
} hpc_program_info;

HPC_API hpc_status hpc_program_get_info(const hpc_program* program, hpc_program_info* info);

/* What was recorded, what it was fused into, with shapes, FLOPs, bytes and workspace. */
HPC_API hpc_status hpc_program_describe(const hpc_program* program, char* text, size_t capacity, size_t* needed);

typedef struct hpc_profile_entry {
    double nanoseconds; /* the fastest of the repetitions */
    uint64_t flops;
    uint64_t bytes;
    char name[HPC_NAME_LENGTH];
} hpc_profile_entry;

/* Runs the program `repetitions` times piece by piece, timing each fused instruction. Parameters are updated as by any
   run. Writes at most `capacity` entries; *count gets how many there are. */
HPC_API hpc_status hpc_program_profile(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                       uint32_t slot_count, uint32_t repetitions, hpc_profile_entry* entries,
                                       uint32_t capacity, uint32_t* count);

#ifdef __cplusplus
}
#endif

#endif /* HPCNET_H */
