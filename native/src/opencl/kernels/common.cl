// What every OpenCL program of the core begins with (behind layout.h): the guard, pieces of four elements, sums that are
// more precise than float, reductions over a work-group. OpenCL C 1.2.
//
// A work-group is one-dimensional, of HPC_GROUP work-items. Reductions go through local memory in a fixed order with
// barriers that all work-items reach; nothing relies on work-items running in step.
#if defined(HPC_FP64)
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
// Where a product and a sum are to be rounded once, fma says so.
#pragma OPENCL FP_CONTRACT OFF

#define HPC_KERNEL(group) __attribute__((reqd_work_group_size(group, 1, 1))) kernel void

// The arguments that every kernel begins with.
#define HPC_HEAD global device_metrics *metrics, uint guard

// What a network has learned does not change while a flag is set. No kernel that is guarded this way sets one, so all
// work-items agree.
#define HPC_GUARD() \
    if (guard != 0 && metrics->flags != 0) return

// Opens every function that is given local memory. Where such a function stays a function, PoCL 3.1 finds that all
// callers pass the same array, and lets all of its threads share that one.
#define HPC_INLINE static inline __attribute__((always_inline))

// ---- Four elements ---------------------------------------------------------------------------------------------------

// Applies a macro to each component.
#define HPC_EACH(X) X(s0) X(s1) X(s2) X(s3)

// Elements from i on, i a multiple of 4; those from `count` on are 0 and not touched. aligned: p is a multiple of 16 bytes.
static inline float4 load4(global const float* p, ulong i, ulong count, int aligned) {
    if (aligned && i + 4 <= count) return *(global const float4*)(p + i);
    float4 v = (float4)(0.0f);
    if (i < count) v.s0 = p[i];
    if (i + 1 < count) v.s1 = p[i + 1];
    if (i + 2 < count) v.s2 = p[i + 2];
    if (i + 3 < count) v.s3 = p[i + 3];
    return v;
}

static inline void store4(global float* p, ulong i, ulong count, int aligned, float4 v) {
    if (aligned && i + 4 <= count) {
        *(global float4*)(p + i) = v;
        return;
    }
    if (i < count) p[i] = v.s0;
    if (i + 1 < count) p[i + 1] = v.s1;
    if (i + 2 < count) p[i + 2] = v.s2;
    if (i + 3 < count) p[i + 3] = v.s3;
}

// Whether a place given by its offset in elements is a multiple of 16 bytes; buffers themselves always are.
static inline int is_aligned(ulong offset) { return (offset & 3) == 0; }

// ---- Sums ------------------------------------------------------------------------------------------------------------

// s + e is exactly a + b.
static inline float two_sum(float a, float b, float* e) {
    float s = a + b;
    float part = s - a;
    *e = (a - (s - part)) + (b - part);
    return s;
}

#if defined(HPC_FP64)

typedef double sum_t;
static inline sum_t sum_of(float x) { return (double)x; }
static inline sum_t sum_of_product(float a, float b) { return (double)a * (double)b; }
static inline sum_t sum_of_difference(float a, float b) { return (double)a - (double)b; }
static inline sum_t sum_add(sum_t a, sum_t b) { return a + b; }
static inline sum_t sum_times(sum_t a, float b) { return a * (double)b; }
static inline sum_t sum_over(sum_t a, ulong b) { return a / (double)b; }
static inline int sum_finite(sum_t a) { return isfinite(a); }
static inline float sum_rounded(sum_t a) { return (float)a; }
static inline ulong to_cell(sum_t a) { return as_ulong(a); }
static inline sum_t from_cell(ulong cell) { return as_double(cell); }

#else

// Two floats, the second smaller than half a unit in the last place of the first; infinities and NaN stand in the first.
typedef float2 sum_t;
static inline sum_t sum_normal(float s, float e) {
    float first = s + e;
    if (!isfinite(first)) return (float2)(isfinite(s) || isnan(s) ? first : s, 0.0f);
    return (float2)(first, e - (first - s));
}
static inline sum_t sum_of(float x) { return (float2)(x, 0.0f); }
static inline sum_t sum_of_product(float a, float b) {
    float p = a * b;
    return sum_normal(p, fma(a, b, -p));
}
static inline sum_t sum_of_difference(float a, float b) {
    float e;
    float s = two_sum(a, -b, &e);
    return sum_normal(s, e);
}
static inline sum_t sum_add(sum_t a, sum_t b) {
    float e;
    float s = two_sum(a.x, b.x, &e);
    return sum_normal(s, e + (a.y + b.y));
}
static inline sum_t sum_times(sum_t a, float b) {
    float p = a.x * b;
    return sum_normal(p, fma(a.x, b, -p) + a.y * b);
}
static inline sum_t sum_over(sum_t a, ulong b) {
    float divisor = (float)b;
    float q = a.x / divisor;
    return sum_normal(q, (fma(-q, divisor, a.x) + a.y) / divisor);
}
static inline int sum_finite(sum_t a) { return isfinite(a.x); }
static inline float sum_rounded(sum_t a) { return a.x; }
static inline ulong to_cell(sum_t a) { return as_ulong(a); }
static inline sum_t from_cell(ulong cell) { return as_float2(cell); }

#endif

// A long sum of floats, with what its roundings lost.
typedef struct long_sum {
    float sum, lost;
} long_sum;
static inline void long_add(long_sum* to, float x) {
    float e;
    to->sum = two_sum(to->sum, x, &e);
    to->lost += e;
}
static inline float long_total(long_sum from) { return isfinite(from.lost) ? from.sum + from.lost : from.sum; }

// ---- Reductions over the work-group --------------------------------------------------------------------------------------
// `lanes`, a power of two, neighbours share a result, which all of them get; `cells` holds one cell for each work-item and
// may be used again at once.

#define HPC_REDUCTION(name, type, combine)                                          \
    HPC_INLINE type name(local type* cells, type value, uint lanes) {               \
        uint id = (uint)get_local_id(0);                                            \
        cells[id] = value;                                                          \
        barrier(CLK_LOCAL_MEM_FENCE);                                               \
        for (uint step = lanes / 2; step > 0; step /= 2) {                          \
            if ((id & (lanes - 1)) < step) {                                        \
                type a = cells[id], b = cells[id + step];                           \
                cells[id] = combine(a, b);                                          \
            }                                                                       \
            barrier(CLK_LOCAL_MEM_FENCE);                                           \
        }                                                                           \
        type result = cells[id & ~(lanes - 1)];                                     \
        barrier(CLK_LOCAL_MEM_FENCE);                                               \
        return result;                                                              \
    }
#define HPC_PLUS(a, b) ((a) + (b))
#define HPC_OR(a, b) ((a) | (b))
HPC_REDUCTION(group_add, float, HPC_PLUS)
HPC_REDUCTION(group_sum, sum_t, sum_add)
HPC_REDUCTION(group_count, ulong, HPC_PLUS)
HPC_REDUCTION(group_or, uint, HPC_OR)

// Across the rows of a work-group that has `lanes` columns side by side: work-item id < lanes gets the sum of the values
// of id, id + lanes, ...
HPC_INLINE float fold_rows(local float* cells, float value, uint lanes) {
    uint id = (uint)get_local_id(0);
    cells[id] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = HPC_GROUP / 2; step >= lanes; step /= 2) {
        if (id < step) cells[id] += cells[id + step];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    float result = cells[id];
    barrier(CLK_LOCAL_MEM_FENCE);
    return result;
}

// y[column] = the sum of x[row, column] over rows [first, end), for `lanes` columns from `start` on.
HPC_INLINE void sum_rows(local float* cells, global const float* x, ulong first, ulong end, ulong columns, ulong start, uint lanes,
                            global float* y) {
    uint id = (uint)get_local_id(0);
    ulong column = start + (id & (lanes - 1));
    long_sum sum = {0.0f, 0.0f};
    if (column < columns) {
        for (ulong row = first + id / lanes; row < end; row += HPC_GROUP / lanes) long_add(&sum, x[row * columns + column]);
    }
    float total = fold_rows(cells, long_total(sum), lanes);
    if (id < lanes && column < columns) y[column] = total;
}
