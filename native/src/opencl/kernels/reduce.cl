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
    uint id = (uint)get_local_id(0);
    global const loss_partial* partial = (global const loss_partial*)(partials + partials_at);
    sum_t loss = sum_of(0.0f);
    sum_t weights = sum_of(0.0f);
    ulong correct = 0, counted = 0;
    uint flags = 0;
    for (ulong i = id; i < parts; i += HPC_GROUP) {
        loss = sum_add(loss, from_cell(partial[i].loss));
        correct += partial[i].correct;
        weights = sum_add(weights, from_cell(partial[i].weight));
        counted += partial[i].rows;
        flags |= partial[i].flags;
    }
    loss = group_sum(totals, loss, HPC_GROUP);
    correct = group_count(counts, correct, HPC_GROUP);
    weights = group_sum(totals, weights, HPC_GROUP);
    counted = group_count(counts, counted, HPC_GROUP);
    flags = group_or(words, flags, HPC_GROUP);
    if (id == 0) {
        if (!sum_finite(loss)) flags |= HPC_FLAG_NONFINITE;
        loss = sum_over(sum_times(loss, weight), divisor);
        metrics->loss = to_cell(sum_add(from_cell(metrics->loss), loss));
        // Rows of a run are far below 2^32, and two floats hold their number exactly.
        const sum_t all = sum_add(sum_times(sum_of((float)(rows >> 16)), 65536.0f), sum_of((float)(rows & 65535)));
        metrics->weight = to_cell(sum_add(from_cell(metrics->weight), weighs ? weights : all));
        metrics->rows += counts_rows ? counted : rows;
        metrics->correct += correct;
        metrics->flags |= flags;
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

// norm[0] = the root of the sum of all parts; the metrics get it too.
HPC_KERNEL(HPC_GROUP)
norm(HPC_HEAD, global const uint* partials, ulong partials_at, global float* result, ulong result_at, ulong parts) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const norm_partial* partial = (global const norm_partial*)(partials + partials_at);
    squares sums = {sum_of(0.0f), sum_of(0.0f), sum_of(0.0f)};
    for (ulong i = id; i < parts; i += HPC_GROUP) {
        sums.large = sum_add(sums.large, from_cell(partial[i].large));
        sums.middle = sum_add(sums.middle, from_cell(partial[i].middle));
        sums.small_ = sum_add(sums.small_, from_cell(partial[i].small_));
    }
    sums = group_squares(totals, sums);
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

// ---- Runs ------------------------------------------------------------------------------------------------------------

HPC_KERNEL(1)
end_run(HPC_HEAD) {
    HPC_GUARD();
    metrics->runs += 1;
    if (metrics->first_flagged_run == 0 && metrics->flags != 0) metrics->first_flagged_run = metrics->runs;
}
