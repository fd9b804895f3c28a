// Column sums, norms, and what is added to the metrics. Partial results are combined in an order that depends on their
// number alone.

// y[part, column] = the sum of x over the part's `block` rows; a work-group has `lanes` columns side by side. With one
// part this also combines partial results: x is then [parts][count].
HPC_KERNEL(HPC_GROUP)
column_sums(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong rows, ulong columns, ulong block, uint lanes) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    ulong column_groups = (columns + lanes - 1) / lanes;
    ulong part = get_group_id(0) / column_groups;
    ulong first = part * block;
    sum_rows(cells, x + x_at, first, min(rows, first + block), columns, get_group_id(0) % column_groups * lanes, lanes,
             y + y_at + part * columns);
}

// Adds the losses of all parts to the metrics. counts_rows, weighs: the
// rows that count, and their weight, are the parts'; else both are `rows`.
HPC_KERNEL(HPC_GROUP)
combine_losses(HPC_HEAD, global const uint* partials, ulong partials_at, ulong parts, ulong rows, ulong divisor, float weight, uint counts_rows,
               uint weighs) {
    local sum_t totals[HPC_GROUP];
    local ulong counts[HPC_GROUP];
    local uint words[HPC_GROUP];
    HPC_GUARD();
    const loss_total total = total_of_losses((global const loss_partial*)(partials + partials_at), parts, totals, counts, words, HPC_GROUP);
    if (get_local_id(0) == 0) {
        add_to_metrics(metrics, total, rows, divisor, weight, counts_rows, weighs);
        metrics->flags |= total.flags;
    }
}

// ---- Norm ------------------------------------------------------------------------------------------------------------

#if !defined(HPC_FP64)
// Outside of these bounds a square is taken of a scaled number. 2^40, 2^-40; 2^-96, 2^80.
#define HPC_LARGE 1099511627776.0f
#define HPC_SMALL 9.094947017729282e-13f
#define HPC_LARGE_SCALE 1.262177448353619e-29f
#define HPC_SMALL_SCALE 1208925819614629174706176.0f
#endif

typedef struct squares {
    sum_t large, middle, small_;
} squares;

static inline void add_square(squares* to, float x) {
#if defined(HPC_FP64)
    to->middle += (double)x * (double)x;
#else
    float a = fabs(x);
    if (a > HPC_LARGE) {
        to->large = sum_add(to->large, sum_of_product(a * HPC_LARGE_SCALE, a * HPC_LARGE_SCALE));
    } else if (a < HPC_SMALL) {
        to->small_ = sum_add(to->small_, sum_of_product(a * HPC_SMALL_SCALE, a * HPC_SMALL_SCALE));
    } else {
        to->middle = sum_add(to->middle, sum_of_product(a, a));
    }
#endif
}

// The sum over the work-group.
HPC_INLINE squares group_squares(local sum_t* totals, squares of) {
    squares result = of;
    result.middle = group_sum(totals, of.middle, HPC_GROUP);
#if !defined(HPC_FP64)
    result.large = group_sum(totals, of.large, HPC_GROUP);
    result.small_ = group_sum(totals, of.small_, HPC_GROUP);
#endif
    return result;
}

// The root, as a sum.
static inline sum_t root_of(squares of) {
#if defined(HPC_FP64)
    return sqrt(of.middle);
#else
    // In the scale of the largest numbers; what is two scales below does not count. A NaN is in the middle.
    sum_t total = of.middle;
    float scale = 1.0f;
    if (of.large.x > 0.0f) {
        total = sum_add(of.large, sum_times(sum_times(of.middle, HPC_LARGE_SCALE), HPC_LARGE_SCALE));
        scale = 1.0f / HPC_LARGE_SCALE;
    } else if (of.middle.x == 0.0f) {
        total = of.small_;
        scale = 1.0f / HPC_SMALL_SCALE;
    } else {
        total = sum_add(of.middle, sum_times(sum_times(of.small_, 1.0f / HPC_SMALL_SCALE), 1.0f / HPC_SMALL_SCALE));
    }
    float root = sqrt(total.x);
    if (!isfinite(root) || root == 0.0f) return sum_of(root);
    // One step of Newton's gives the second float.
    float rest = (fma(-root, root, total.x) + total.y) / (2.0f * root);
    return sum_times(sum_normal(root, rest), scale);
#endif
}

HPC_KERNEL(HPC_GROUP)
sum_of_squares(HPC_HEAD, global const float* x, ulong x_at, global uint* partials, ulong partials_at, ulong count) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    squares sums = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count; ++step, i += HPC_GROUP * 4) {
        float4 v = load4(x + x_at, i, count, is_aligned(x_at));
#define HPC_STEP(s) add_square(&sums, v.s);
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
    }
    sums = group_squares(totals, sums);
    if (id == 0) {
        norm_partial partial = {to_cell(sums.large), to_cell(sums.middle), to_cell(sums.small_)};
        ((global norm_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
}

// A work-item's share of the parts.
HPC_INLINE squares squares_of_parts(global const norm_partial* partial, ulong parts, uint id) {
    squares sums = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
    for (ulong i = id; i < parts; i += HPC_GROUP) {
        sums.large = sum_add(sums.large, from_cell(partial[i].large));
        sums.middle = sum_add(sums.middle, from_cell(partial[i].middle));
        sums.small_ = sum_add(sums.small_, from_cell(partial[i].small_));
    }
    return sums;
}

// norm[0] = the root of the sum of all parts; the metrics get it too.
HPC_KERNEL(HPC_GROUP)
norm(HPC_HEAD, global const uint* partials, ulong partials_at, global float* result, ulong result_at, ulong parts) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const norm_partial* partial = (global const norm_partial*)(partials + partials_at);
    squares sums = group_squares(totals, squares_of_parts(partial, parts, id));
    if (id == 0) {
        sum_t root = root_of(sums);
        metrics->gradient_norm = to_cell(root);
#if defined(HPC_FP64)
        result[result_at] = (float)root;
#else
        result[result_at] = root.x;
#endif
    }
}

// ---- Other norms ------------------------------------------------------------------------------------------------------
// Partials are norm_partials, too. Sums of magnitudes use two of the scales where there is no double precision.

HPC_INLINE squares magnitudes_of(float a) {
    squares result = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
#if !defined(HPC_FP64)
    if (a > HPC_LARGE) {
        result.large = sum_of(a * HPC_SMALL);
        return result;
    }
#endif
    result.middle = sum_of(a);
    return result;
}

HPC_KERNEL(HPC_GROUP)
sum_of_magnitudes(HPC_HEAD, global const float* x, ulong x_at, global uint* partials, ulong partials_at, global float* unit, ulong unit_at,
                  ulong count, float order) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    squares sums = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count; ++step, i += HPC_GROUP * 4) {
        float4 v = fabs(load4(x + x_at, i, count, is_aligned(x_at)));
#define HPC_STEP(s)                                    \
    {                                                  \
        squares one = magnitudes_of(v.s);              \
        sums.large = sum_add(sums.large, one.large);    \
        sums.middle = sum_add(sums.middle, one.middle); \
    }
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
    }
    sums = group_squares(totals, sums);
    if (id == 0) {
        norm_partial partial = {to_cell(sums.large), to_cell(sums.middle), to_cell(sums.small_)};
        ((global norm_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
}

// Writes a norm that is a sum; large: the part of it in units of 2^40.
static inline void write_norm(global device_metrics* metrics, global float* result, sum_t large, sum_t middle) {
#if defined(HPC_FP64)
    result[0] = (float)middle;
    metrics->gradient_norm = to_cell(middle);
#else
    sum_t total = sum_add(sum_times(large, HPC_LARGE), middle);
    result[0] = total.x;
    metrics->gradient_norm = to_cell(total);
#endif
}

HPC_KERNEL(HPC_GROUP)
norm_of_magnitudes(HPC_HEAD, global const uint* partials, ulong partials_at, global float* result, ulong result_at, ulong parts, float order) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const norm_partial* partial = (global const norm_partial*)(partials + partials_at);
    squares sums = group_squares(totals, squares_of_parts(partial, parts, id));
    if (id == 0) write_norm(metrics, result + result_at, sums.large, sums.middle);
}

// A NaN is the largest of all.
#define HPC_LARGER(a, b) ((b) > (a) || isnan(b) ? (b) : (a))
HPC_REDUCTION(group_largest, float, HPC_LARGER)

HPC_KERNEL(HPC_GROUP)
largest_magnitude(HPC_HEAD, global const float* x, ulong x_at, global uint* partials, ulong partials_at, global float* unit, ulong unit_at,
                  ulong count, float order) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    float largest = 0.0f;
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count; ++step, i += HPC_GROUP * 4) {
        float4 v = fabs(load4(x + x_at, i, count, is_aligned(x_at)));
#define HPC_STEP(s) largest = HPC_LARGER(largest, v.s);
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
    }
    largest = group_largest(cells, largest, HPC_GROUP);
    if (id == 0) ((global norm_partial*)(partials + partials_at))[get_group_id(0)].middle = to_cell(sum_of(largest));
}

HPC_KERNEL(HPC_GROUP)
norm_of_largest(HPC_HEAD, global const uint* partials, ulong partials_at, global float* result, ulong result_at, ulong parts, float order) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const norm_partial* partial = (global const norm_partial*)(partials + partials_at);
    float largest = 0.0f;
    for (ulong i = id; i < parts; i += HPC_GROUP) {
#if defined(HPC_FP64)
        float one = (float)from_cell(partial[i].middle);
#else
        float one = from_cell(partial[i].middle).x;
#endif
        largest = HPC_LARGER(largest, one);
    }
    largest = group_largest(cells, largest, HPC_GROUP);
    if (id == 0) write_norm(metrics, result + result_at, sum_of(0.0f), sum_of(largest));
}

// In units of the largest magnitude, which stands in `unit`.
HPC_KERNEL(HPC_GROUP)
sum_of_powers(HPC_HEAD, global const float* x, ulong x_at, global uint* partials, ulong partials_at, global float* unit, ulong unit_at,
              ulong count, float order) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    sum_t sum = sum_of(0.0f);
    float one = unit[unit_at];
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count && one != 0.0f; ++step, i += HPC_GROUP * 4) {
        float4 v = fabs(load4(x + x_at, i, count, is_aligned(x_at)));
#if defined(HPC_FP64)
#define HPC_STEP(s) sum += pow((double)v.s / (double)one, (double)order);
#else
#define HPC_STEP(s) sum = sum_add(sum, sum_of(pow(v.s / one, order)));
#endif
        // What load4 adds behind the end counts 0.
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
    }
    sum = group_sum(totals, sum, HPC_GROUP);
    if (id == 0) ((global norm_partial*)(partials + partials_at))[get_group_id(0)].middle = to_cell(sum);
}

HPC_KERNEL(HPC_GROUP)
norm_of_powers(HPC_HEAD, global const uint* partials, ulong partials_at, global float* result, ulong result_at, ulong parts, float order) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const norm_partial* partial = (global const norm_partial*)(partials + partials_at);
    sum_t sum = sum_of(0.0f);
    for (ulong i = id; i < parts; i += HPC_GROUP) sum = sum_add(sum, from_cell(partial[i].middle));
    sum = group_sum(totals, sum, HPC_GROUP);
    if (id == 0) {
#if defined(HPC_FP64)
        sum_t total = (double)result[result_at] * pow(sum, 1.0 / (double)order);
#else
        sum_t total = sum_of(result[result_at] * pow(sum.x, 1.0f / order));
#endif
        write_norm(metrics, result + result_at, sum_of(0.0f), total);
    }
}

// ---- Norms of columns --------------------------------------------------------------------------------------------------

#if defined(HPC_NORM_COLUMNS)
#define HPC_NORM_PARTS (HPC_GROUP / HPC_NORM_COLUMNS)
// The sum over the parts of a column, for all of them.
HPC_INLINE sum_t fold_parts(local sum_t* cells, sum_t value) {
    uint id = (uint)get_local_id(0);
    cells[id] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = HPC_GROUP / 2; step >= HPC_NORM_COLUMNS; step /= 2) {
        if (id < step) {
            sum_t a = cells[id], b = cells[id + step];
            cells[id] = sum_add(a, b);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    sum_t result = cells[id % HPC_NORM_COLUMNS];
    barrier(CLK_LOCAL_MEM_FENCE);
    return result;
}

// Work-item id has column id % HPC_NORM_COLUMNS and every HPC_NORM_PARTS-th row.
HPC_KERNEL(HPC_GROUP)
limit_column_norms(HPC_HEAD, global float* x, ulong x_at, ulong rows, ulong columns, float max_norm) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column = get_group_id(0) * HPC_NORM_COLUMNS + id % HPC_NORM_COLUMNS;
    squares sums = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
    if (column < columns) {
        for (ulong first = 0; first < rows; first += HPC_NORM_PARTS) {
            ulong row = first + id / HPC_NORM_COLUMNS;
            if (row < rows) add_square(&sums, x[x_at + row * columns + column]);
        }
    }
    sums.middle = fold_parts(cells, sums.middle);
#if !defined(HPC_FP64)
    sums.large = fold_parts(cells, sums.large);
    sums.small_ = fold_parts(cells, sums.small_);
#endif
    sum_t root = root_of(sums);
#if defined(HPC_FP64)
    float factor = root > (double)max_norm ? (float)((double)max_norm / (root + 1e-7)) : 1.0f;
#else
    float factor = root.x > max_norm ? max_norm / (fmin(root.x, FLT_MAX) + 1e-7f) : 1.0f;
#endif
    // Every work-item goes round equally often. With a bound of each one's own, wrong columns were scaled on PoCL 3.1; why is not known.
    for (ulong first = 0; first < rows; first += HPC_NORM_PARTS) {
        ulong row = first + id / HPC_NORM_COLUMNS;
        if (row < rows && column < columns && factor < 1.0f) x[x_at + row * columns + column] *= factor;
    }
}
#endif

// ---- Runs ------------------------------------------------------------------------------------------------------------

HPC_KERNEL(1)
end_run(HPC_HEAD) {
    HPC_GUARD();
    metrics->runs += 1;
    if (metrics->first_flagged_run == 0 && metrics->flags != 0) metrics->first_flagged_run = metrics->runs;
}
