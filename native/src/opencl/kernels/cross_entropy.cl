// The class losses of rows of scores: loss, correct count, gradient and the gradient's column sums in one kernel.
//
// HPC_ROW_LANES neighbours share a row, so that a work-group has several rows at a time and takes a block of them in
// turn. HPC_LABELS: the target is an int32 class for each row, else a float probability for each class. HPC_ADDS_LOSS,
// HPC_GRADIENT, HPC_SUMS: what is asked for. The gradient may lie over the logits: a work-item writes only elements
// that it alone still reads.
//
// HPC_CLASS_LOSS: which one, an hpc_class_loss_kind. HPC_MIXED: there may be class weights (HPC_CLASS_WEIGHTS), a label
// that does not count (HPC_IGNORES), a smoothing; HPC_WEIGHS: `scale` is still to be multiplied by what
// label_weights left.

// The first place of the largest of `count` elements, shared by the row's work-items; *largest gets the element.
HPC_INLINE uint peak_of(global const float* x, uint lane, uint count, local float* values, local uint* places, float* largest) {
    const uint id = (uint)get_local_id(0), first = id - lane;
    float best = -HUGE_VALF;
    uint place = UINT_MAX;
    for (uint j = lane; j < count; j += HPC_ROW_LANES) {
        const float v = x[j];
        if (v > best || (v == best && j < place)) {
            best = v;
            place = j;
        }
    }
    values[id] = best;
    places[id] = place;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = HPC_ROW_LANES / 2; step > 0; step /= 2) {
        if (lane < step) {
            const float v = values[id + step];
            const uint at = places[id + step];
            if (v > values[id] || (v == values[id] && at < places[id])) {
                values[id] = v;
                places[id] = at;
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    *largest = values[first];
    place = places[first];
    barrier(CLK_LOCAL_MEM_FENCE);
    return place;
}

HPC_KERNEL(HPC_GROUP)
cross_entropy(HPC_HEAD, global const float* logits, ulong logits_at,
#if HPC_LABELS
              global const int* target, ulong target_at,
#else
              global const float* target, ulong target_at,
#endif
              global float* gradient, ulong gradient_at, global float* sums, ulong sums_at, global uint* partials, ulong partials_at,
              ulong rows, ulong classes, ulong block, float scale
#if HPC_MIXED
              , global const float* class_weights, ulong class_weights_at, global const float* share, ulong share_at, int ignored, float alpha,
              float beta
#endif
) {
    local float cells[HPC_GROUP];
    local uint words[HPC_GROUP];
#if HPC_CLASS_LOSS == 2
    local sum_t margins[HPC_GROUP];
#endif
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1), count = (uint)classes;
    const ulong first = get_group_id(0) * block, end = min(rows, first + block);
    sum_t loss = sum_of(0.0f);
    uint correct = 0, flags = 0;
    sum_t weights = sum_of(0.0f);
    ulong counted = 0;
#if HPC_WEIGHS
    scale *= share[share_at];
#endif
    for (ulong start = first; start < end; start += HPC_GROUP / HPC_ROW_LANES) {
        const ulong row = start + id / HPC_ROW_LANES;
        // Work-items without a row go along to the barriers.
        int present = row < end;
        int ignoring = 0;
#if HPC_IGNORES
        ignoring = present && target[target_at + row] == ignored;
        present = present && !ignoring;
#endif
        const uint width = present ? count : 0;
        global const float* x = logits + logits_at + row * classes;
        float largest;
        const uint place = peak_of(x, lane, width, cells, words, &largest);
        float mass = 1.0f, class_weight = 1.0f;
        sum_t rest;
#if HPC_LABELS
        uint label = 0;
        if (present) {
            const int given = target[target_at + row];
            label = (uint)given;
            if (given < 0 || label >= count) {
                label = 0;
                flags |= HPC_FLAG_LABEL;
            }
#if HPC_CLASS_WEIGHTS
            class_weight = class_weights[class_weights_at + label];
#endif
            if (lane == 0) {
                weights = sum_add(weights, sum_of(class_weight));
                counted++;
            }
        }
        // Read by the work-item that will write over it, for all of the row.
        if (present && lane == (label & (HPC_ROW_LANES - 1))) cells[id - lane] = x[label];
        barrier(CLK_LOCAL_MEM_FENCE);
        const float own = present ? cells[id - lane] : 0.0f;
        rest = sum_of_difference(largest, own);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int hit = place == label;
#if HPC_CLASS_LOSS == 0
#define HPC_GIVEN(j) (j == label ? 1.0f : 0.0f)
#endif
#else
        global const float* t = target + target_at + row * classes;
        float unused;
        const int hit = place == peak_of(t, lane, width, cells, words, &unused);
#define HPC_GIVEN(j) t[j]
#endif
#if HPC_CLASS_LOSS == 0
#if !HPC_MIXED
#define HPC_TARGET(j) HPC_GIVEN(j)
#elif HPC_CLASS_WEIGHTS
#define HPC_TARGET(j) (fma(HPC_GIVEN(j), 1.0f - alpha, alpha / (float)count) * class_weights[class_weights_at + (j)])
#else
#define HPC_TARGET(j) fma(HPC_GIVEN(j), 1.0f - alpha, alpha / (float)count)
#endif
        float mass_part = 0.0f, rest_part = 0.0f;
        float sum = 0.0f;
        for (uint j = lane; j < width; j += HPC_ROW_LANES) {
            const float v = x[j];
            sum += hpc_exp(v - largest);
#if !HPC_LABELS || HPC_MIXED
            // Half of the distance to the maximum: halves do not overflow for any finite logits. A class without
            // probability does not count, even at -infinity.
            const float wanted = HPC_TARGET(j);
            mass_part += wanted;
            rest_part += wanted == 0.0f ? 0.0f : wanted * (largest * 0.5f - 0.5f * v);
#endif
        }
        sum = group_add(cells, sum, HPC_ROW_LANES);
#if !HPC_LABELS || HPC_MIXED
        mass = group_add(cells, mass_part, HPC_ROW_LANES);
        rest = sum_times(sum_of(group_add(cells, rest_part, HPC_ROW_LANES)), 2.0f);
#endif
        if (present && lane == 0) {
            const sum_t row_loss = sum_add(sum_of_product(mass, hpc_log(sum)), rest);
            if (!sum_finite(row_loss)) flags |= HPC_FLAG_NONFINITE;
            loss = sum_add(loss, row_loss);
            correct += hit;
        }
#if HPC_GRADIENT
        const float factor = 1.0f / sum;
        global float* g = gradient + gradient_at + row * classes;
        for (uint j = lane; j < width; j += HPC_ROW_LANES) {
            const float e = hpc_exp(x[j] - largest);
            g[j] = fma(e * factor, mass, -HPC_TARGET(j)) * scale;
        }
#endif
#elif HPC_CLASS_LOSS == 1
        // -class_weight * own
        if (present && lane == 0) {
            const sum_t row_loss = sum_times(sum_of(-own), class_weight);
            if (!sum_finite(row_loss)) flags |= HPC_FLAG_NONFINITE;
            loss = sum_add(loss, row_loss);
            correct += hit;
        }
#if HPC_GRADIENT
        global float* g = gradient + gradient_at + row * classes;
        for (uint j = lane; j < width; j += HPC_ROW_LANES) g[j] = j == label ? -class_weight * scale : 0.0f;
#endif
#else
        // z = max(0, alpha - own + x[j]) for the other classes: the sum of z^beta over the classes.
        const float bound = alpha - own, weight_share = scale * class_weight * (1.0f / (float)count);
        sum_t terms = sum_of(0.0f);
        float slopes = 0.0f;
#if HPC_GRADIENT
        global float* g = gradient + gradient_at + row * classes;
#endif
        for (uint j = lane; j < width; j += HPC_ROW_LANES) {
            const float given = bound + x[j];
            const float z = j == label ? 0.0f : given <= 0.0f ? 0.0f : given;
            terms = sum_add(terms, beta == 2.0f ? sum_of_product(z, z) : sum_of(z));
            const float slope = beta == 2.0f ? z + z : z <= 0.0f ? 0.0f : 1.0f;
            slopes += slope;
#if HPC_GRADIENT
            g[j] = slope * weight_share;
#endif
        }
        terms = group_sum(margins, terms, HPC_ROW_LANES);
        slopes = group_add(cells, slopes, HPC_ROW_LANES);
#if HPC_GRADIENT
        // By the work-item that wrote 0 there.
        if (present && lane == (label & (HPC_ROW_LANES - 1))) g[label] = -slopes * weight_share;
#endif
        if (present && lane == 0) {
            const sum_t row_loss = sum_over(sum_times(terms, class_weight), classes);
            if (!sum_finite(row_loss)) flags |= HPC_FLAG_NONFINITE;
            loss = sum_add(loss, row_loss);
            correct += hit;
        }
#endif
#if HPC_GRADIENT && HPC_IGNORES
        if (ignoring)
            for (uint j = lane; j < count; j += HPC_ROW_LANES) gradient[gradient_at + row * classes + j] = 0.0f;
#endif
    }
#if HPC_SUMS
    // The work-group reads back what all of it wrote.
    barrier(CLK_GLOBAL_MEM_FENCE);
    uint lanes = 1;
    while (lanes < count && lanes < HPC_GROUP) lanes *= 2;
    for (ulong column = 0; column < classes; column += lanes)
        sum_rows(cells, gradient + gradient_at, first, end, classes, column, lanes, sums + sums_at + get_group_id(0) * classes);
#endif
#if HPC_ADDS_LOSS
    local sum_t totals[HPC_GROUP];
    local ulong counts[HPC_GROUP];
    loss = group_sum(totals, loss, HPC_GROUP);
    flags = group_or(words, flags, HPC_GROUP);
    // Counts of a work-group are small: exact as floats.
    correct = (uint)group_add(cells, (float)correct, HPC_GROUP);
    weights = group_sum(totals, weights, HPC_GROUP);
    counted = group_count(counts, counted, HPC_GROUP);
    if (id == 0) {
        loss_partial partial = {to_cell(loss), correct, flags, to_cell(weights), counted};
        ((global loss_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
#endif
}

// share[0] = 1 / the sum of the class weights of the labels that count, 0 where that is 0. One work-group.
#if HPC_WEIGHS
HPC_KERNEL(HPC_GROUP)
label_weights(HPC_HEAD, global const int* labels, ulong labels_at, global const float* class_weights, ulong class_weights_at,
              global float* share, ulong share_at, ulong rows, ulong classes, int ignored) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0);
    sum_t sum = sum_of(0.0f);
    for (ulong i = id; i < rows; i += HPC_GROUP) {
        const int given = labels[labels_at + i];
#if HPC_IGNORES
        if (given == ignored) continue;
#endif
#if HPC_CLASS_WEIGHTS
        const ulong label = given < 0 || (ulong)given >= classes ? 0 : (ulong)given;
        sum = sum_add(sum, sum_of(class_weights[class_weights_at + label]));
#else
        sum = sum_add(sum, sum_of(1.0f));
#endif
    }
    sum = group_sum(totals, sum, HPC_GROUP);
    if (id == 0) {
#if defined(HPC_FP64)
        const float total = (float)sum;
#else
        const float total = sum.x;
#endif
        share[share_at] = total > 0.0f ? 1.0f / total : 0.0f;
    }
}
#endif
