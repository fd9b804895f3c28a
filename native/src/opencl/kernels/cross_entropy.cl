// Softmax cross-entropy of rows of logits: loss, correct count, gradient and the gradient's column sums in one kernel.
//
// HPC_ROW_LANES neighbours share a row, so that a work-group has several rows at a time and takes a block of them in
// turn. HPC_LABELS: the target is an int32 class for each row, else a float probability for each class. HPC_ADDS_LOSS,
// HPC_GRADIENT, HPC_SUMS: what is asked for. The gradient may lie over the logits: a work-item writes only elements
// that it alone still reads.

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
              ulong rows, ulong classes, ulong block, float scale) {
    local float cells[HPC_GROUP];
    local uint words[HPC_GROUP];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1), count = (uint)classes;
    const ulong first = get_group_id(0) * block, end = min(rows, first + block);
    sum_t loss = sum_of(0.0f);
    uint correct = 0, flags = 0;
    for (ulong start = first; start < end; start += HPC_GROUP / HPC_ROW_LANES) {
        const ulong row = start + id / HPC_ROW_LANES;
        // Work-items without a row go along to the barriers.
        const int present = row < end;
        const uint width = present ? count : 0;
        global const float* x = logits + logits_at + row * classes;
        float largest;
        const uint place = peak_of(x, lane, width, cells, words, &largest);
        float mass = 1.0f;
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
        }
        // Read by the work-item that will write over it, for all of the row.
        if (present && lane == (label & (HPC_ROW_LANES - 1))) cells[id - lane] = x[label];
        barrier(CLK_LOCAL_MEM_FENCE);
        rest = sum_of_difference(largest, present ? cells[id - lane] : 0.0f);
        barrier(CLK_LOCAL_MEM_FENCE);
        const int hit = place == label;
#else
        global const float* t = target + target_at + row * classes;
        float unused;
        const int hit = place == peak_of(t, lane, width, cells, words, &unused);
        float mass_part = 0.0f, rest_part = 0.0f;
#endif
        float sum = 0.0f;
        for (uint j = lane; j < width; j += HPC_ROW_LANES) {
            const float v = x[j];
            sum += hpc_exp(v - largest);
#if !HPC_LABELS
            // Half of the distance to the maximum: halves do not overflow for any finite logits. A class without
            // probability does not count, even at -infinity.
            mass_part += t[j];
            rest_part += t[j] == 0.0f ? 0.0f : t[j] * (largest * 0.5f - 0.5f * v);
#endif
        }
        sum = group_add(cells, sum, HPC_ROW_LANES);
#if !HPC_LABELS
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
#if HPC_LABELS
            const float wanted = j == label ? 1.0f : 0.0f;
#else
            const float wanted = t[j];
#endif
            g[j] = fma(e * factor, mass, -wanted) * scale;
        }
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
    loss = group_sum(totals, loss, HPC_GROUP);
    flags = group_or(words, flags, HPC_GROUP);
    // Counts of a work-group are small: exact as floats.
    correct = (uint)group_add(cells, (float)correct, HPC_GROUP);
    if (id == 0) {
        loss_partial partial = {to_cell(loss), correct, flags};
        ((global loss_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
#endif
}
