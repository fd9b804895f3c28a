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
 *   - Strings are UTF-8 and zero-terminated. The core copies what it keeps and stores no caller's pointer past a call
 *     (but those of hpc_call).
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
#define HPC_ABI_VERSION 6

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
    HPC_ACTIVATION_TANH = 3,
    HPC_ACTIVATION_STEP = 4,
    HPC_ACTIVATION_RELU6 = 5,
    HPC_ACTIVATION_LEAKY_RELU = 6, /* alpha: slope below 0, at least 0 */
    HPC_ACTIVATION_ELU = 7,        /* alpha >= 0 */
    HPC_ACTIVATION_CELU = 8,       /* alpha > 0 */
    HPC_ACTIVATION_SELU = 9,
    HPC_ACTIVATION_SOFTPLUS = 10, /* alpha: PyTorch's beta, above 0; beta: the threshold of alpha x */
    HPC_ACTIVATION_SOFTSIGN = 11,
    HPC_ACTIVATION_GELU = 12,
    HPC_ACTIVATION_GELU_TANH = 13,
    HPC_ACTIVATION_SILU = 14,
    HPC_ACTIVATION_MISH = 15,
    HPC_ACTIVATION_HARD_SIGMOID = 16,
    HPC_ACTIVATION_HARD_SWISH = 17,
    HPC_ACTIVATION_HARD_TANH = 18, /* alpha: minimum, beta: maximum */
    HPC_ACTIVATION_LOG_SIGMOID = 19,
    HPC_ACTIVATION_TANHSHRINK = 20
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
    HPC_LOSS_SQUARED_ERROR = 0, /* (p - t)^2; with HPC_REDUCTION_MEAN the mean squared error */
    HPC_LOSS_ABSOLUTE_ERROR = 1,       /* |p - t| */
    HPC_LOSS_HUBER = 2,                /* alpha: delta */
    HPC_LOSS_SMOOTH_L1 = 3,            /* alpha: beta of the literature */
    HPC_LOSS_SIGMOID_CROSS_ENTROPY = 4,/* p is a logit; alpha multiplies what positive targets add */
    HPC_LOSS_BINARY_CROSS_ENTROPY = 5, /* p is a probability */
    HPC_LOSS_KL_DIVERGENCE = 6,        /* p is a log-probability, t a probability */
    HPC_LOSS_KL_DIVERGENCE_LOG = 7,    /* both are log-probabilities */
    HPC_LOSS_POISSON_LOG = 8,          /* p is the logarithm of a rate; alpha = 1 adds Stirling's term */
    HPC_LOSS_POISSON = 9,              /* p is a rate; alpha as above, beta: epsilon */
    HPC_LOSS_HINGE = 10,               /* t is 1 or -1; alpha: margin */
    HPC_LOSS_SOFT_MARGIN = 11          /* t is 1 or -1 */
} hpc_loss;

/* Losses of whole rows of scores, one for each class, against the row's class. */
typedef enum hpc_class_loss_kind {
    HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY = 0, /* of logits; labels or probabilities; alpha: label smoothing */
    HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD = 1, /* of log-probabilities; labels */
    HPC_CLASS_LOSS_MULTI_MARGIN = 2 /* of scores; labels; alpha: margin, beta: power, 1 or 2 */
} hpc_class_loss_kind;

typedef struct hpc_loss_info {
    const char* name;
    int32_t parameters; /* how many of alpha, beta it reads: 0 to 2 */
    int32_t reserved;
} hpc_loss_info;

HPC_API hpc_status hpc_get_loss_info(int32_t loss, hpc_loss_info* info);

typedef enum hpc_reduction {
    HPC_REDUCTION_MEAN = 0, /* elementwise losses: over all elements; class losses: over rows, see hpc_class_loss_forward */
    HPC_REDUCTION_SUM = 1,
    HPC_REDUCTION_BATCH_MEAN = 2 /* the sum over the number of rows */
} hpc_reduction;

/* Optimizer rules; formulas in native/formulas/rules.h. */
typedef enum hpc_rule {
    HPC_RULE_SGD = 0,      /* p -= lr g */
    HPC_RULE_MOMENTUM = 1, /* v = momentum v + (1 - dampening) g (first step: v = g); p -= lr v, Nesterov: p -= lr (g + momentum v) */
    HPC_RULE_ADAM = 2,     /* Kingma and Ba 2015, with bias correction */
    HPC_RULE_ADAGRAD = 3,
    HPC_RULE_RMSPROP = 4,
    HPC_RULE_RMSPROP_MOMENTUM = 5,
    HPC_RULE_RMSPROP_CENTERED = 6,
    HPC_RULE_RMSPROP_CENTERED_MOMENTUM = 7,
    HPC_RULE_ADADELTA = 8,
    HPC_RULE_AMSGRAD = 9,
    HPC_RULE_ADAMAX = 10,
    HPC_RULE_NADAM = 11,
    HPC_RULE_RADAM = 12,
    HPC_RULE_RPROP = 13,
    HPC_RULE_ASGD = 14 /* the state is the average of the parameters */
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

/*
 * What the numbers are rounded to that a device multiplies in matrix products. Products and sums are float32 in each of them, and
 * so are numbers in memory and everything that is no matrix product. All have the 8 exponent bits of float32, so its range; what differs
 * is the fraction's explicit bits. Float32 is what runs unless something else is asked for.
 */
typedef enum hpc_precision {
    HPC_PRECISION_FLOAT32 = 0, /* 23 bits: the numbers themselves */
    HPC_PRECISION_TF32 = 1,    /* 10 bits, to the nearest, ties away from zero */
    HPC_PRECISION_BFLOAT16 = 2 /* 7 bits, to the nearest, ties to even */
} hpc_precision;

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
    int32_t precision; /* hpc_precision of matrix products; on a device that proves to multiply so, else float32 runs and
                          hpc_device_info says why. Not for HPC_DEVICE_CPU: 0 there */
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
    int32_t asked_precision;         /* hpc_precision: what the options asked for, */
    int32_t precision;               /* what runs, */
    char precision_note[HPC_NAME_LENGTH]; /* and the beginning of why, where it is not the same; "" where it is */
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

/* The peak of hpc_measurement alone, for ratios that are to be taken close to what they are of. */
HPC_API hpc_status hpc_device_measure_peak(hpc_device* device, int32_t milliseconds, double* peak_gflops);

/* How fast memory comes and goes when the device goes over so many bytes again and again, in 10^9 bytes a second, reads and writes
   counted alike. Which of them is the fastest depends on the processor and on which cache the bytes fit into. */
typedef struct hpc_memory_bandwidth {
    double read;    /* four streams */
    double copy;    /* two streams to two others, with or without going past the caches */
    double update;  /* four streams read, three of them written: what an optimizer with two moments does */
    uint64_t bytes; /* that were gone over, in all */
} hpc_memory_bandwidth;

/* The bytes are shared out evenly: every thread of the team has its own and touches them first. bytes: 4,096 to 2^36, rounded up to
   whole vectors and streams of each thread. Measures for about `milliseconds` (1 to 10,000) in all. */
HPC_API hpc_status hpc_device_measure_memory(hpc_device* device, uint64_t bytes, int32_t milliseconds,
                                             hpc_memory_bandwidth* bandwidth);

/* Data caches. Levels 1 and 2 belong to one core, level 3 to several. 0: there is none, or it is not known. */
typedef struct hpc_cache_info {
    uint64_t level1_bytes;
    uint64_t level2_bytes;
    uint64_t level3_bytes;
    int32_t level3_threads; /* hardware threads that share one of level 3 */
    int32_t guessed;        /* 1: the processor did not say; these are usual sizes */
} hpc_cache_info;

/* OpenCL tells one cache, that of the global memory: it is level 2. */
HPC_API hpc_status hpc_device_get_caches(const hpc_device* device, hpc_cache_info* info);

/* ---- Tuning: which tiles an OpenCL device multiplies matrices by ----------------------------------------------------------

   C[m x n] is computed by tiles out of a table. Which tile it is depends on the form and on the size class of C; without more, on
   the maker of the device. A device that was made with a cache_directory looks there for what was kept for it (a text, named by
   device and driver), and takes that; what is damaged or belongs to another device is left alone. hpc_device_describe says so. */

typedef enum hpc_product_form {
    HPC_FORM_NN = 0, /* C = A[m x k] B[k x n] */
    HPC_FORM_NT = 1, /* C = A[m x k] B[n x k]^T */
    HPC_FORM_TN = 2  /* C = A[k x m]^T B[k x n] */
} hpc_product_form;

typedef enum hpc_size_class {
    HPC_SIZE_SMALL = 0, /* too small to occupy the device, or hardly more */
    HPC_SIZE_TALL = 1,  /* few columns */
    HPC_SIZE_WIDE = 2,  /* few rows */
    HPC_SIZE_MEDIUM = 3,
    HPC_SIZE_LARGE = 4,
    HPC_SIZE_HUGE = 5,  /* occupies the device several times over */
    HPC_SIZE_COUNT = 6
} hpc_size_class;

typedef struct hpc_tile_info {
    char name[32];
    int32_t count;    /* of tiles: their numbers are 0 to count - 1 */
    int32_t runs;     /* 1: within the limits of the device */
    uint32_t items;   /* work-items of a work-group */
    uint32_t reserved;
    uint64_t local_bytes;
} hpc_tile_info;

/* HPC_NOT_AVAILABLE for a device that is not an OpenCL device; so for all of this section. */
HPC_API hpc_status hpc_device_get_tile(const hpc_device* device, int32_t tile, hpc_tile_info* info);

typedef struct hpc_product_case {
    int32_t form; /* hpc_product_form */
    int32_t tile; /* -1: as the device would choose */
    uint64_t m, n, k; /* 1 to 2^20 each */
} hpc_product_case;

typedef struct hpc_product_measurement {
    double nanoseconds; /* on the device, the shortest of several times */
    double error;       /* the largest error of an element as a share of what rounding may do: right up to 1 */
    int32_t size_class; /* hpc_size_class */
    int32_t tile;       /* that was taken; -1: none, few rows are multiplied as vectors */
    int32_t parts;      /* that the depth of tiles was cut into */
    int32_t reserved;
} hpc_product_measurement;

/* Multiplies random matrices with a tile, compares all of C, and of a small product with ragged edges, with the sums in higher precision
   that the device finds without tiles, and measures for about `milliseconds` (1 to 10,000) beyond that. The matrices stay until
   another shape is measured or the tuning is kept. */
HPC_API hpc_status hpc_device_measure_product(hpc_device* device, const hpc_product_case* product, int32_t milliseconds,
                                              hpc_product_measurement* measurement);

typedef struct hpc_product_choice {
    int32_t form;
    int32_t size_class;
    int32_t tile;
    int32_t reserved;
} hpc_product_choice;

/* Writes the choices, on top of what the device has, into the file that a device like this one looks for, or to `path` (UTF-8) if that is
   not null. Devices made afterwards take them; this one stays as it is. HPC_INVALID_ARGUMENT: a tile that does not run
   here, or neither a path nor a cache_directory. */
HPC_API hpc_status hpc_device_keep_tuning(hpc_device* device, const hpc_product_choice* choices, int32_t count, const char* path);

/* Where a device like this one looks; "" without a cache_directory. */
HPC_API hpc_status hpc_device_tuning_path(const hpc_device* device, char* text, size_t capacity, size_t* needed);

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
    HPC_PROGRAM_PLAIN = 1, /* no fusion: each recorded instruction runs by itself */
    /* OpenCL: whether a chain of dense layers whose weights fit into a work-group's local memory runs as one launch, with its loss,
       gradients and update. Without either flag it does on everything but a processor. At most one of the two. */
    HPC_PROGRAM_SMALL_NETWORKS = 2,
    HPC_PROGRAM_NO_SMALL_NETWORKS = 4
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
    HPC_VALUE_TEMPORARY = 8,
    /* Parameters that nobody writes any more, in a buffer of the caller's: a backend may keep them in an order that its
       kernels like better. When such a program is finished, the whole buffer becomes read-only: writing into it, and
       programs that would, are refused with HPC_INVALID_STATE from then on. */
    HPC_VALUE_CONSTANT = 9
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

/* The dense instructions and column_sums take rows that hold several vectors side by side, as those of a sequence do: an
   x of [r x (s in)] is read as [(r s) x in], which is the same memory, and y is [r x (s out)]. w and y say what s is. */

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

/* Adds the loss of prediction[r x n] against target[r x n] to the metrics. `weight` multiplies loss and gradient; so do
   `weights`[1 x n], each in its column (a mean is over the elements all the same), and `alphas`[1 x n] stand for alpha in
   theirs; both may be 0. */
typedef struct hpc_loss_forward {
    int32_t loss;      /* hpc_loss */
    int32_t reduction; /* hpc_reduction */
    uint32_t prediction, target;
    float alpha, beta;
    hpc_scalar weight;
    uint32_t weights, alphas;
} hpc_loss_forward;
HPC_API hpc_status hpc_record_loss_forward(hpc_program* program, const hpc_loss_forward* arguments);

/* gradient = d(weight * reduced loss)/d(prediction) */
typedef struct hpc_loss_backward {
    int32_t loss;
    int32_t reduction;
    uint32_t prediction, target, gradient, reserved;
    float alpha, beta;
    hpc_scalar weight;
    uint32_t weights, alphas;
} hpc_loss_backward;
HPC_API hpc_status hpc_record_loss_backward(hpc_program* program, const hpc_loss_backward* arguments);

/* A class loss of scores[r x classes] against target: int32 [r x 1] class indices or, for cross-entropy, float32
   [r x classes] probabilities. Adds loss and correct count (arg max of the scores against the label or the target's arg
   max) to the metrics. A label out of range counts as class 0 and sets HPC_FLAG_LABEL.

   Cross-entropy is -sum t log softmax(scores) with t = class_weights * ((1 - alpha) target + alpha / classes), the negative
   log-likelihood -class_weights[label] scores[label], multi-margin class_weights[label] / classes * the sum over the other
   classes of max(0, alpha - scores[label] + scores[i])^beta. class_weights is [1 x classes] or 0: all 1. With `ignores` = 1
   rows whose label is `ignored` do not count; without labels that says nothing.

   HPC_REDUCTION_MEAN divides by the sum of the class weights of the labels of the rows that count, if there are labels,
   else by the number of rows; multi-margin always by the number of rows. A mean over nothing is 0, as is its gradient. */
typedef struct hpc_class_loss_forward {
    int32_t loss; /* hpc_class_loss_kind */
    int32_t reduction;
    uint32_t scores, target;
    hpc_scalar weight;
    uint32_t class_weights;
    uint32_t ignores; /* 0 or 1 */
    int32_t ignored;
    float alpha, beta;
    uint32_t reserved;
} hpc_class_loss_forward;
HPC_API hpc_status hpc_record_class_loss_forward(hpc_program* program, const hpc_class_loss_forward* arguments);

/* gradient = d(weight * reduced loss)/d(scores) */
typedef struct hpc_class_loss_backward {
    int32_t loss;
    int32_t reduction;
    uint32_t scores, target, gradient;
    uint32_t class_weights;
    hpc_scalar weight;
    uint32_t ignores;
    int32_t ignored;
    float alpha, beta;
} hpc_class_loss_backward;
HPC_API hpc_status hpc_record_class_loss_backward(hpc_program* program, const hpc_class_loss_backward* arguments);

/* y = softmax over the columns of x; x and y may be the same value. */
typedef struct hpc_softmax {
    uint32_t x, y;
} hpc_softmax;
HPC_API hpc_status hpc_record_softmax(hpc_program* program, const hpc_softmax* arguments);

/* dx = y * (dy - sum over the columns of y * dy) with y of hpc_softmax; dy and dx may be the same value. */
typedef struct hpc_softmax_backward {
    uint32_t y, dy, dx, reserved;
} hpc_softmax_backward;
HPC_API hpc_status hpc_record_softmax_backward(hpc_program* program, const hpc_softmax_backward* arguments);

/* y = log(softmax over the columns of x), without taking the logarithm of what underflows; x and y may be the same value. */
typedef struct hpc_log_softmax {
    uint32_t x, y;
} hpc_log_softmax;
HPC_API hpc_status hpc_record_log_softmax(hpc_program* program, const hpc_log_softmax* arguments);

/* dx = dy - e^y * sum over the columns of dy with y of hpc_log_softmax; dy and dx may be the same value. */
typedef struct hpc_log_softmax_backward {
    uint32_t y, dy, dx, reserved;
} hpc_log_softmax_backward;
HPC_API hpc_status hpc_record_log_softmax_backward(hpc_program* program, const hpc_log_softmax_backward* arguments);

/* y = x > 0 ? x : slope * x with a learned slope[1 x n], one for each column, or [1 x 1], one for all. x and y may be the same
   value where no backward follows. */
typedef struct hpc_prelu_forward {
    uint32_t x, slope, y, reserved;
} hpc_prelu_forward;
HPC_API hpc_status hpc_record_prelu_forward(hpc_program* program, const hpc_prelu_forward* arguments);

/* dx = x > 0 ? dy : slope * dy, and dslope = sum over the rows (over all elements for one slope) of x > 0 ? 0 : x * dy. dx or
   dslope may be 0: not wanted. dy and dx may be the same value. */
typedef struct hpc_prelu_backward {
    uint32_t x, slope, dy, dx, dslope, reserved;
} hpc_prelu_backward;
HPC_API hpc_status hpc_record_prelu_backward(hpc_program* program, const hpc_prelu_backward* arguments);

/* Applies an optimizer rule to `parameters` with `gradients` and the rule's states, all of one shape. step counts from 1.
   Does nothing while a HPC_FLAG_ is set. A negative learning rate climbs. States begin at 0.
   With a drop_rate, 0 <= drop_rate < 1, parameter i stays where u_i < drop_rate, u_i as in hpc_philox_uniform, while the
   states go on as ever: learning-rate dropout. */
typedef struct hpc_update {
    int32_t rule; /* hpc_rule */
    uint32_t parameters, gradients;
    uint32_t states[HPC_MAX_STATES];
    uint32_t reserved;
    hpc_scalar hyperparameters[HPC_MAX_HYPERPARAMETERS];
    hpc_counter step;
    hpc_counter seed, stream;
    hpc_scalar drop_rate;
} hpc_update;
HPC_API hpc_status hpc_record_update(hpc_program* program, const hpc_update* arguments);

/* norm[1 x 1] = the norm of x, also where the squares overflow float32. metrics.gradient_norm gets it too. order: 2 or 0 for
   the Euclidean norm, 1 for the sum of magnitudes, INFINITY for the largest magnitude, or any other number above 0:
   (sum |x|^order)^(1 / order). */
typedef struct hpc_norm {
    uint32_t x, norm;
    float order;
    uint32_t reserved;
} hpc_norm;
HPC_API hpc_status hpc_record_norm(hpc_program* program, const hpc_norm* arguments);

/* x *= min(1, max_norm / (norm + 1e-6)). Where norm is beyond float32 (infinity), the metrics' last gradient norm counts. */
typedef struct hpc_clip_by_norm {
    uint32_t x, norm;
    hpc_scalar max_norm;
} hpc_clip_by_norm;
HPC_API hpc_status hpc_record_clip_by_norm(hpc_program* program, const hpc_clip_by_norm* arguments);

/* x = min(max(x, -limit), limit); NaN stays. */
typedef struct hpc_clip_by_value {
    uint32_t x, reserved;
    hpc_scalar limit;
} hpc_clip_by_value;
HPC_API hpc_status hpc_record_clip_by_value(hpc_program* program, const hpc_clip_by_value* arguments);

/* y += l1 sign(x) + l2 x, with sign(0) = 0: the gradient of l1 sum |x| + l2 / 2 sum x^2. */
typedef struct hpc_add_penalty {
    uint32_t x, y;
    hpc_scalar l1, l2;
} hpc_add_penalty;
HPC_API hpc_status hpc_record_add_penalty(hpc_program* program, const hpc_add_penalty* arguments);

/* Each column of x[n x columns] whose Euclidean norm is above max_norm is multiplied by max_norm / (norm + 1e-7). On a
   parameter: does nothing while a HPC_FLAG_ is set. */
typedef struct hpc_limit_column_norms {
    uint32_t x, reserved;
    hpc_scalar max_norm;
} hpc_limit_column_norms;
HPC_API hpc_status hpc_record_limit_column_norms(hpc_program* program, const hpc_limit_column_norms* arguments);

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

/* Adversarial examples: the first round(share * rows) rows become y = min(max(x + epsilon sign(gradient), low), high), the others
   y = x. y and x may be the same value. 0 < share <= 1, low < high; both may be infinite. */
typedef struct hpc_fast_gradient_sign {
    uint32_t x, gradient, y;
    float share, low, high;
    hpc_scalar epsilon;
} hpc_fast_gradient_sign;
HPC_API hpc_status hpc_record_fast_gradient_sign(hpc_program* program, const hpc_fast_gradient_sign* arguments);

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

/* Recurrent cells; formulas in native/formulas/cells.h. Order of the gates and the two biases as PyTorch has them. */
typedef enum hpc_cell {
    HPC_CELL_RNN_TANH = 0,
    HPC_CELL_RNN_RELU = 1,
    HPC_CELL_LSTM = 2, /* i, f, g, o */
    HPC_CELL_GRU = 3   /* r, z, n; n = tanh(input's part + r (h w + b)) */
} hpc_cell;

typedef struct hpc_cell_info {
    const char* name;
    int32_t gates;  /* G below */
    int32_t state;  /* 1: a state goes from step to step beside the output (c0, cn) */
    int32_t kept;   /* 1: backward needs `kept` */
    int32_t direct; /* 1: backward writes `hidden` */
} hpc_cell_info;
HPC_API hpc_status hpc_get_cell_info(int32_t cell, hpc_cell_info* info);

/* All steps of one direction of one recurrent layer of H units. A row is a whole sequence, step after step: s of them,
   which is what gates.columns / (G H) gives. The input's part of all gates was made before, by one dense_forward over all
   steps, bias included.
     gates[r x (s G H)]  in: the input's part; out: the gates, where previous is given, else nothing of use
     w[H x (G H)], b[1 x (G H)] or 0: recurrent weights and their bias
     h0, c0[r x H]       what the first step begins with; 0: zeros. c0 is for cells with a state
     y[r x (s n)]        outputs, H columns from y_offset on in each step's n; with last, y[r x n] gets the last step's
     hn, cn[r x H]       output and state of the last step; may be 0
     kept[r x (s H)]     for cells that keep something, with previous; else 0
     previous[r x (s H)] the output before each step, for backward; 0: no backward follows
   With reverse the steps are walked from the last to the first, and the last step is the first of the sequence. */
typedef struct hpc_recurrent_forward {
    int32_t cell; /* hpc_cell */
    int32_t reverse, last;
    uint32_t gates, w, b, h0, c0, y, y_offset, hn, cn, kept, previous;
} hpc_recurrent_forward;
HPC_API hpc_status hpc_record_recurrent_forward(hpc_program* program, const hpc_recurrent_forward* arguments);

/* The way back, from dy (laid out like y), dhn and dcn, each of which may be 0, but not dy and dhn both.
     gates                  in: as forward left them; out: gradients of the input's part, for weights, bias and dx
     hidden[r x (s G H)]    gradients of h w + b, for the recurrent weights (with previous) and their bias: for cells that
                            are direct; for others they are those in gates, and hidden is 0
     dh0, dc0[r x H]        may be 0 */
typedef struct hpc_recurrent_backward {
    int32_t cell;
    int32_t reverse, last;
    uint32_t gates, w, c0, kept, previous, dy, dy_offset, dhn, dcn, dh0, dc0, hidden, reserved;
} hpc_recurrent_backward;
HPC_API hpc_status hpc_record_recurrent_backward(hpc_program* program, const hpc_recurrent_backward* arguments);
/* Batch normalization (Ioffe and Szegedy 2015) of x[r x channels * length], a row being [channels, length]:
   y = (x - mean) / sqrt(variance + epsilon) * weight + bias, by channel. mean and variance (biased) are those of the run's rows, or
   running_mean and running_variance where they are given (both or none). weight, bias, running_* are [1 x channels]; weight and bias
   may be 0 (1 and 0). statistics[4 x channels] gets, row by row: the mean; what rounding to float took from it; 1 / sqrt(variance +
   epsilon); the unbiased variance (of a single value: 0), of running statistics their variance. epsilon > 0. */
typedef struct hpc_batch_norm_forward {
    uint32_t x, weight, bias, running_mean, running_variance, y, statistics;
    float epsilon;
} hpc_batch_norm_forward;
HPC_API hpc_status hpc_record_batch_norm_forward(hpc_program* program, const hpc_batch_norm_forward* arguments);

/* The gradients of hpc_batch_norm_forward, with n = (x - mean) / sqrt(variance + epsilon) and m values a channel:
     dweight = sum dy n, dbias = sum dy
     dx = weight / sqrt(variance + epsilon) * (dy - dbias / m - n dweight / m), or without what is subtracted where the statistics
     do not depend on x (constant_statistics 1: forward had running statistics)
   dx, dweight, dbias may be 0, not all of them. */
typedef struct hpc_batch_norm_backward {
    uint32_t x, dy, weight, statistics, dx, dweight, dbias;
    int32_t constant_statistics;
} hpc_batch_norm_backward;
HPC_API hpc_status hpc_record_batch_norm_backward(hpc_program* program, const hpc_batch_norm_backward* arguments);

/* running = (1 - f) running + f batch for mean and unbiased variance of hpc_batch_norm_forward's statistics; batches (int32 [1 x 1])
   += 1. f is momentum (0 to 1), or 1 / (batches + 1) where cumulative is 1: the plain average over all batches. Does nothing while
   a HPC_FLAG_ is set: record it behind the loss. */
typedef struct hpc_batch_norm_update {
    uint32_t statistics, running_mean, running_variance, batches;
    int32_t cumulative;
    uint32_t reserved;
    hpc_scalar momentum;
} hpc_batch_norm_update;
HPC_API hpc_status hpc_record_batch_norm_update(hpc_program* program, const hpc_batch_norm_update* arguments);

/* Layer normalization (Ba, Kiros and Hinton 2016) of x[r x groups * size]: every group of `size` neighbours by itself,
   y = (x - mean) / sqrt(variance + epsilon) * weight + bias with biased variance; weight and bias [1 x size] may be 0 (1 and 0).
   statistics[r x 3 * groups] gets for each group the mean, what rounding took from it, and 1 / sqrt(variance + epsilon). */
typedef struct hpc_layer_norm_forward {
    uint32_t x, weight, bias, y, statistics, size;
    float epsilon;
    uint32_t reserved;
} hpc_layer_norm_forward;
HPC_API hpc_status hpc_record_layer_norm_forward(hpc_program* program, const hpc_layer_norm_forward* arguments);

/* The gradients of hpc_layer_norm_forward, n being the normalized x and g = dy weight: dx = (g - mean(g) - n mean(g n)) / sqrt(variance +
   epsilon), means over the group; dweight = sum dy n, dbias = sum dy, over all groups of all rows. dx, dweight, dbias may be 0, not
   all of them. */
typedef struct hpc_layer_norm_backward {
    uint32_t x, dy, weight, statistics, dx, dweight, dbias, size;
} hpc_layer_norm_backward;
HPC_API hpc_status hpc_record_layer_norm_backward(hpc_program* program, const hpc_layer_norm_backward* arguments);

/* y[r x columns * dimension] = for each of indices[r x columns] that row of table[n x dimension]. Indices are int32, or whole numbers
   in float32. One that is out of range or not whole reads as row 0 and sets HPC_FLAG_INDEX. */
typedef struct hpc_embedding_forward {
    uint32_t table, indices, y, reserved;
} hpc_embedding_forward;
HPC_API hpc_status hpc_record_embedding_forward(hpc_program* program, const hpc_embedding_forward* arguments);

/* dtable[n x dimension] = for each row of the table the sum of dy at all places whose index it is, in the order of the places. The row
   `padding` gets 0 (-1: there is none), indices out of range go nowhere. */
typedef struct hpc_embedding_backward {
    uint32_t indices, dy, dtable;
    int32_t padding;
} hpc_embedding_backward;
HPC_API hpc_status hpc_record_embedding_backward(hpc_program* program, const hpc_embedding_backward* arguments);

/* The caller's own code, between the instructions before it and those behind: function(context, rows, steps, operands) runs on the thread
   that runs the program, in its own floating-point state, with no lock held and nothing else of this program under way. operands are
   the values of `reads`, then those of `writes`, in host memory; what a list names as 0 is null. It must write all of `writes` and
   nothing else. Both pointers are kept: they must be good for as long as the program is. Anything but 0 is a failure: it sets
   HPC_FLAG_CALL, and no later call of that run is made. A value is read or written once; at most HPC_CALL_OPERANDS in all. */
typedef int32_t (*hpc_call_function)(void* context, uint64_t rows, uint64_t steps, float* const* operands);
#define HPC_CALL_OPERANDS 64
typedef struct hpc_call {
    hpc_call_function function;
    void* context;
    const char* name; /* for descriptions */
    const uint32_t* reads;
    const uint32_t* writes;
    uint32_t read_count;
    uint32_t write_count;
} hpc_call;
HPC_API hpc_status hpc_record_call(hpc_program* program, const hpc_call* arguments);

/* ---- Programs: finishing and running ------------------------------------------------------------------------------ */

/* Checks, fuses, plans. On success the program can be run and no longer be recorded. */
HPC_API hpc_status hpc_program_finish(hpc_program* program);

typedef enum hpc_flag {
    HPC_FLAG_NONFINITE = 1, /* a loss was NaN or infinite */
    HPC_FLAG_INDEX = 2,     /* a gathered index was out of range */
    HPC_FLAG_LABEL = 4,     /* a label was out of range */
    HPC_FLAG_CALL = 8       /* a function of the caller's failed */
} hpc_flag;

/* Accumulated on the device since they were last fetched. A set flag turns all following updates of the program into
   no-ops until the metrics are fetched. */
typedef struct hpc_metrics {
    double loss;          /* sum over runs of (reduced loss * weight), or of the loss for HPC_REDUCTION_SUM */
    double weight;        /* what loss is to be divided by for the mean: the rows, or what HPC_REDUCTION_MEAN divides by */
    double gradient_norm; /* of the last run that had a norm instruction */
    uint64_t rows;        /* run through a loss; those that it ignores do not count */
    uint64_t correct;     /* of them, rows classified correctly */
    uint64_t runs;
    uint64_t first_flagged_run; /* 1-based among `runs`; 0: none */
    uint32_t flags;             /* hpc_flag bits */
    uint32_t reserved;
} hpc_metrics;

typedef enum hpc_transfer_flags {
    HPC_TRANSFER_DEFAULT = 0,
    /* What is brought in is for this run alone: a device may read the caller's memory instead of a copy. A later run that does not
       bring the value finds what some earlier transfer left, or zeros. Means nothing for an output. */
    HPC_TRANSFER_ONCE = 1
} hpc_transfer_flags;

/* Data that a run takes from or brings to the caller: inputs, targets and indices are copied in before the first
   instruction (or read where they are, see HPC_TRANSFER_ONCE), outputs are copied out after the last. bytes must be the
   value's size for the run's rows and steps. The caller's memory may change when the call is back. What a run does not
   bring is as the last transfer left it, in as many rows as that one had, unless that one was HPC_TRANSFER_ONCE. */
typedef struct hpc_transfer {
    uint32_t value;
    uint32_t flags; /* hpc_transfer_flags */
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

/* What one run costs a device that has a queue, by the device's own clock. All zero on the CPU. */
typedef struct hpc_run_costs {
    uint64_t launches;        /* kernels of one run */
    double busy_nanoseconds;  /* their times added up, without what lies between them */
    double span_nanoseconds;  /* from the beginning of the first to the end of the last */
} hpc_run_costs;

/* Runs the program `repetitions` times on a queue that tells times; the run with the shortest span counts. Parameters are updated
   as by any run. */
HPC_API hpc_status hpc_program_measure(hpc_program* program, uint64_t rows, uint64_t steps, const uint64_t* slots,
                                       uint32_t slot_count, uint32_t repetitions, hpc_run_costs* costs);

#ifdef __cplusplus
}
#endif

#endif /* HPCNET_H */
