// What the OpenCL kernels leave in device memory for one another and for the host. Read by C++ (kernels.h) and, as the
// first text of every program, by OpenCL C.
//
// A `sum` is 8 bytes: a double where the device has double precision (HPC_FP64), else two floats whose exact sum it is,
// the larger one first. The host reads one with read_sum (kernels.h).
#ifndef HPC_DEVICE_LAYOUT
#define HPC_DEVICE_LAYOUT

#if defined(__OPENCL_VERSION__)
#define HPC_U32 uint
#define HPC_U64 ulong
#else
#define HPC_U32 uint32_t
#define HPC_U64 uint64_t
#endif

// One for each program, zero at first; the device's side of hpc_metrics.
typedef struct device_metrics {
    HPC_U64 loss;           // a sum
    HPC_U64 weight;         // a sum
    HPC_U64 gradient_norm;  // a sum
    HPC_U64 rows;
    HPC_U64 correct;
    HPC_U64 runs;
    HPC_U64 first_flagged_run;
    HPC_U32 flags;
    HPC_U32 reserved;
} device_metrics;

// What a work-group found in its rows of a loss.
typedef struct loss_partial {
    HPC_U64 loss;  // a sum, unscaled
    HPC_U32 correct;
    HPC_U32 flags;
    HPC_U64 weight;  // a sum: what the rows weigh, where that is not their number
    HPC_U64 rows;    // those that count, where that is not their number
} loss_partial;

// The sum of squares of a block, as three sums. In double precision all of it is in `middle`; else the squares of large
// and of small numbers are kept apart, scaled by 2^-192 and 2^160, so that none overflows or vanishes.
typedef struct norm_partial {
    HPC_U64 large, middle, small_;
} norm_partial;

#endif
