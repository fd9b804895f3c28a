// Batch and layer normalization. What is summed is the difference from one value of the data, in sums that are more precise than
// float, so that neither an offset nor a long batch costs digits. Partial sums are [part][2][channels], 8 bytes each.

// Across the rows of a work-group that has `lanes` channels side by side: work-item id < lanes gets the sum of id, id + lanes, ...
HPC_INLINE sum_t fold_sums(local sum_t* cells, sum_t value, uint lanes) {
    uint id = (uint)get_local_id(0);
    cells[id] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = HPC_GROUP / 2; step >= lanes; step /= 2) {
        if (id < step) {
            sum_t a = cells[id], b = cells[id + step];
            cells[id] = sum_add(a, b);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    sum_t result = cells[id];
    barrier(CLK_LOCAL_MEM_FENCE);
    return result;
}

// Sums over [first, end) of a channel's rows * length values.
//   batch_moments     of x - x[0, channel] and of its square
//   channel_sums      of dy and of dy n, n by the channel's statistics [4][channels]; or, by_row, by the row's [row][3]: the weights'
//                     gradients of a layer normalization, whose columns are the channels here
HPC_KERNEL(HPC_GROUP)
batch_moments(HPC_HEAD, global const float* x, ulong x_at, global uint* parts, ulong parts_at, ulong rows, ulong channels, ulong length,
              ulong block, uint lanes) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column_groups = (channels + lanes - 1) / lanes;
    ulong part = get_group_id(0) / column_groups;
    ulong channel = get_group_id(0) % column_groups * lanes + (id & (lanes - 1));
    ulong first = part * block, end = min(rows * length, first + block);
    sum_t a = sum_of(0.0f), b = sum_of(0.0f);
    if (channel < channels) {
        global const float* from = x + x_at + channel * length;
        float shift = from[0];
        for (ulong e = first + id / lanes; e < end; e += HPC_GROUP / lanes) {
            ulong row = length == 1 ? e : e / length;
            float d = from[row * channels * length + (e - row * length)] - shift;
            a = sum_add(a, sum_of(d));
            b = sum_add(b, sum_of_product(d, d));
        }
    }
    a = fold_sums(cells, a, lanes);
    b = fold_sums(cells, b, lanes);
    if (id < lanes && channel < channels) {
        global ulong* to = (global ulong*)(parts + parts_at) + part * 2 * channels + channel;
        to[0] = to_cell(a);
        to[channels] = to_cell(b);
    }
}

HPC_KERNEL(HPC_GROUP)
channel_sums(HPC_HEAD, global const float* x, ulong x_at, global const float* dy, ulong dy_at, global const float* statistics,
             ulong statistics_at, global uint* parts, ulong parts_at, ulong rows, ulong channels, ulong length, ulong block, uint lanes,
             uint by_row) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column_groups = (channels + lanes - 1) / lanes;
    ulong part = get_group_id(0) / column_groups;
    ulong channel = get_group_id(0) % column_groups * lanes + (id & (lanes - 1));
    ulong first = part * block, end = min(rows * length, first + block);
    sum_t a = sum_of(0.0f), b = sum_of(0.0f);
    if (channel < channels) {
        global const float* s = statistics + statistics_at;
        float mean = 0.0f, rest = 0.0f, scale = 0.0f;
        if (!by_row) mean = s[channel], rest = s[channels + channel], scale = s[2 * channels + channel];
        for (ulong e = first + id / lanes; e < end; e += HPC_GROUP / lanes) {
            ulong row = length == 1 ? e : e / length;
            ulong at = (row * channels + channel) * length + (e - row * length);
            if (by_row) mean = s[row * 3], rest = s[row * 3 + 1], scale = s[row * 3 + 2];
            float g = dy[dy_at + at];
            a = sum_add(a, sum_of(g));
            b = sum_add(b, sum_of_product(g, normalized_value(x[x_at + at], mean, rest, scale)));
        }
    }
    a = fold_sums(cells, a, lanes);
    b = fold_sums(cells, b, lanes);
    if (id < lanes && channel < channels) {
        global ulong* to = (global ulong*)(parts + parts_at) + part * 2 * channels + channel;
        to[0] = to_cell(a);
        to[channels] = to_cell(b);
    }
}

HPC_FORMULA void combine_two(global const ulong* from, ulong parts, ulong channels, sum_t* a, sum_t* b) {
    *a = sum_of(0.0f);
    *b = sum_of(0.0f);
    for (ulong part = 0; part < parts; ++part) {
        *a = sum_add(*a, from_cell(from[part * 2 * channels]));
        *b = sum_add(*b, from_cell(from[(part * 2 + 1) * channels]));
    }
}

// The mean, what rounding took from it, the scale and the variance, made of a shift and of the means of d = x - shift and d^2.
HPC_FORMULA float4 moments_of(float shift, sum_t m, sum_t squares, float epsilon) {
    float4 result;
#if defined(HPC_FP64)
    double exact = (double)shift + m, v = squares - m * m;
    // What is below 0 is rounding; a NaN stays.
    v = v < 0.0 ? 0.0 : v;
    result.s0 = (float)exact;
    result.s1 = (float)(exact - (double)result.s0);
    result.s2 = (float)(1.0 / sqrt(v + (double)epsilon));
    result.s3 = (float)v;
#else
    sum_t exact = sum_add(sum_of(shift), m);
    float p = m.x * m.x;
    sum_t v = sum_add(squares, (float2)(-p, -(fma(m.x, m.x, -p) + 2.0f * (m.x * m.y))));
    if (v.x < 0.0f) v = sum_of(0.0f);
    result.s0 = exact.x;
    result.s1 = exact.y;
    result.s2 = 1.0f / sqrt(sum_add(v, sum_of(epsilon)).x);
    result.s3 = v.x;
#endif
    return result;
}

// statistics[4][channels] from the combined moments; one work-item per channel.
HPC_KERNEL(HPC_GROUP)
batch_statistics(HPC_HEAD, global const float* x, ulong x_at, global const uint* parts, ulong parts_at, global float* statistics,
                 ulong statistics_at, ulong count, ulong channels, ulong length, ulong values, float epsilon, float unbias) {
    HPC_GUARD();
    ulong channel = get_global_id(0);
    if (channel >= channels) return;
    sum_t a, b;
    combine_two((global const ulong*)(parts + parts_at) + channel, count, channels, &a, &b);
    float4 m = moments_of(x[x_at + channel * length], sum_over(a, values), sum_over(b, values), epsilon);
    global float* s = statistics + statistics_at + channel;
    s[0] = m.s0;
    s[channels] = m.s1;
    s[2 * channels] = m.s2;
    s[3 * channels] = m.s3 * unbias;
}

// The same from running statistics.
HPC_KERNEL(HPC_GROUP)
running_statistics(HPC_HEAD, global const float* mean, ulong mean_at, global const float* variance, ulong variance_at,
                   global float* statistics, ulong statistics_at, ulong channels, float epsilon) {
    HPC_GUARD();
    ulong channel = get_global_id(0);
    if (channel >= channels) return;
    global float* s = statistics + statistics_at + channel;
    float v = variance[variance_at + channel];
    s[0] = mean[mean_at + channel];
    s[channels] = 0.0f;
#if defined(HPC_FP64)
    s[2 * channels] = (float)(1.0 / sqrt((double)v + (double)epsilon));
#else
    s[2 * channels] = 1.0f / sqrt(v + epsilon);
#endif
    s[3 * channels] = v;
}

HPC_FORMULA float sum_to_float(sum_t a) {
#if defined(HPC_FP64)
    return (float)a;
#else
    return a.x;
#endif
}

// The combined sums, and both divided by the number of values; `what`: bit 0 first, bit 1 second, bit 2 means[2][channels].
HPC_KERNEL(HPC_GROUP)
combine_channel_sums(HPC_HEAD, global const uint* parts, ulong parts_at, global float* first, ulong first_at, global float* second,
                     ulong second_at, global float* means, ulong means_at, ulong count, ulong channels, ulong values, uint what) {
    HPC_GUARD();
    ulong channel = get_global_id(0);
    if (channel >= channels) return;
    sum_t a, b;
    combine_two((global const ulong*)(parts + parts_at) + channel, count, channels, &a, &b);
    if (what & 1) first[first_at + channel] = sum_to_float(a);
    if (what & 2) second[second_at + channel] = sum_to_float(b);
    if (what & 4) {
        means[means_at + channel] = sum_to_float(sum_over(a, values));
        means[means_at + channels + channel] = sum_to_float(sum_over(b, values));
    }
}

// ---- Elementwise passes: `lanes` neighbours share a row [channels, length] ----------------------------------------------
// `what`: bit 0 there is a weight, bit 1 a bias (forward) or means (backward).

HPC_KERNEL(HPC_GROUP)
batch_normalize(HPC_HEAD, global const float* x, ulong x_at, global const float* statistics, ulong statistics_at,
                global const float* weight, ulong weight_at, global const float* bias, ulong bias_at, global float* y, ulong y_at,
                ulong rows, ulong channels, ulong length, uint lanes, uint what) {
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong row = get_group_id(0) * (HPC_GROUP / lanes) + id / lanes;
    if (row >= rows) return;
    ulong columns = channels * length;
    global const float* s = statistics + statistics_at;
    global const float* from = x + x_at + row * columns;
    global float* to = y + y_at + row * columns;
    for (ulong j = id & (lanes - 1); j < columns; j += lanes) {
        ulong c = length == 1 ? j : j / length;
        float n = normalized_value(from[j], s[c], s[channels + c], s[2 * channels + c]);
        to[j] = affine_value(n, what & 1 ? weight[weight_at + c] : 1.0f, what & 2 ? bias[bias_at + c] : 0.0f);
    }
}

HPC_KERNEL(HPC_GROUP)
batch_norm_gradient(HPC_HEAD, global const float* x, ulong x_at, global const float* dy, ulong dy_at, global const float* statistics,
                    ulong statistics_at, global const float* weight, ulong weight_at, global const float* means, ulong means_at,
                    global float* dx, ulong dx_at, ulong rows, ulong channels, ulong length, uint lanes, uint what) {
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong row = get_group_id(0) * (HPC_GROUP / lanes) + id / lanes;
    if (row >= rows) return;
    ulong columns = channels * length;
    global const float* s = statistics + statistics_at;
    for (ulong j = id & (lanes - 1); j < columns; j += lanes) {
        ulong c = length == 1 ? j : j / length;
        ulong at = row * columns + j;
        float g = dy[dy_at + at], scale = s[2 * channels + c];
        float factor = what & 1 ? scale * weight[weight_at + c] : scale;
        float result = g * factor;
        if (what & 2) {
            float n = normalized_value(x[x_at + at], s[c], s[channels + c], scale);
            result = normalized_gradient(g, n, means[means_at + c], means[means_at + channels + c], factor);
        }
        dx[dx_at + at] = result;
    }
}

// One work-group. f is momentum, or 1 / (batches + 1).
HPC_KERNEL(HPC_GROUP)
batch_norm_update(HPC_HEAD, global const float* statistics, ulong statistics_at, global float* mean, ulong mean_at, global float* variance,
                  ulong variance_at, global int* batches, ulong batches_at, ulong channels, uint cumulative, float momentum) {
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    global const float* s = statistics + statistics_at;
    int count = batches[batches_at];
    for (ulong c = id; c < channels; c += HPC_GROUP) {
        float old_mean = mean[mean_at + c], old_variance = variance[variance_at + c];
#if defined(HPC_FP64)
        double f = cumulative ? 1.0 / ((double)count + 1.0) : (double)momentum;
        double batch = (double)s[c] + (double)s[channels + c];
        mean[mean_at + c] = (float)((1.0 - f) * (double)old_mean + f * batch);
        variance[variance_at + c] = (float)((1.0 - f) * (double)old_variance + f * (double)s[3 * channels + c]);
#else
        float f = cumulative ? 1.0f / ((float)count + 1.0f) : momentum;
        float step = (s[c] - old_mean) + s[channels + c];
        // With f = 1 exactly the batch's.
        mean[mean_at + c] = f == 1.0f ? s[c] : fma(f, step, old_mean);
        variance[variance_at + c] = f == 1.0f ? s[3 * channels + c] : fma(f, s[3 * channels + c] - old_variance, old_variance);
#endif
    }
    barrier(CLK_GLOBAL_MEM_FENCE);
    if (id == 0) batches[batches_at] = count + 1;
}

// ---- Layer normalization: HPC_ROW_LANES neighbours share a group of `size` -----------------------------------------------
#if defined(HPC_ROW_LANES)

// The sum over the neighbours that share a group, in their order; all of them get it. Few neighbours: each adds for itself.
HPC_INLINE sum_t shared_sum(local sum_t* cells, sum_t value) {
    uint id = (uint)get_local_id(0), first = id & ~(uint)(HPC_ROW_LANES - 1);
    cells[id] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    sum_t sum = cells[first];
    for (uint k = 1; k < HPC_ROW_LANES; ++k) sum = sum_add(sum, cells[first + k]);
    barrier(CLK_LOCAL_MEM_FENCE);
    return sum;
}

HPC_KERNEL(HPC_GROUP)
layer_norm_forward(HPC_HEAD, global const float* x, ulong x_at, global const float* weight, ulong weight_at, global const float* bias,
                   ulong bias_at, global float* y, ulong y_at, global float* statistics, ulong statistics_at, ulong groups, ulong size,
                   float epsilon, uint what) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong group = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    // Work-items without a group go along to the barriers, and all take every turn of a loop.
    ulong width = group < groups ? size : 0;
    global const float* from = x + x_at + (group < groups ? group * size : 0);
    global float* to = y + y_at + (group < groups ? group * size : 0);
    float shift = from[0];
    sum_t a = sum_of(0.0f), b = sum_of(0.0f);
    for (ulong start = 0; start < size; start += HPC_ROW_LANES) {
        ulong j = start + lane;
        if (j >= width) continue;
        float d = from[j] - shift;
        a = sum_add(a, sum_of(d));
        b = sum_add(b, sum_of_product(d, d));
    }
    a = shared_sum(cells, a);
    b = shared_sum(cells, b);
    float4 m = moments_of(shift, sum_over(a, size), sum_over(b, size), epsilon);
    float mean = m.s0, rest = m.s1, scale = m.s2;
    if (width > 0 && lane == 0) {
        global float* s = statistics + statistics_at + group * 3;
        s[0] = mean;
        s[1] = rest;
        s[2] = scale;
    }
    for (ulong start = 0; start < size; start += HPC_ROW_LANES) {
        ulong j = start + lane;
        if (j >= width) continue;
        float n = normalized_value(from[j], mean, rest, scale);
        to[j] = affine_value(n, what & 1 ? weight[weight_at + j] : 1.0f, what & 2 ? bias[bias_at + j] : 0.0f);
    }
}

HPC_KERNEL(HPC_GROUP)
layer_norm_gradient(HPC_HEAD, global const float* x, ulong x_at, global const float* dy, ulong dy_at, global const float* weight,
                    ulong weight_at, global const float* statistics, ulong statistics_at, global float* dx, ulong dx_at, ulong groups,
                    ulong size, uint what) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong group = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    ulong width = group < groups ? size : 0, known = group < groups ? group : 0;
    global const float* from = x + x_at + known * size;
    global const float* incoming = dy + dy_at + known * size;
    global float* to = dx + dx_at + known * size;
    global const float* s = statistics + statistics_at + known * 3;
    float mean = s[0], rest = s[1], scale = s[2];
    sum_t a = sum_of(0.0f), b = sum_of(0.0f);
    for (ulong start = 0; start < size; start += HPC_ROW_LANES) {
        ulong j = start + lane;
        if (j >= width) continue;
        float g = what & 1 ? incoming[j] * weight[weight_at + j] : incoming[j];
        a = sum_add(a, sum_of(g));
        b = sum_add(b, sum_of_product(g, normalized_value(from[j], mean, rest, scale)));
    }
    a = shared_sum(cells, a);
    b = shared_sum(cells, b);
    float mean_g = sum_to_float(sum_over(a, size)), mean_gn = sum_to_float(sum_over(b, size));
    for (ulong start = 0; start < size; start += HPC_ROW_LANES) {
        ulong j = start + lane;
        if (j >= width) continue;
        float g = what & 1 ? incoming[j] * weight[weight_at + j] : incoming[j];
        to[j] = normalized_gradient(g, normalized_value(from[j], mean, rest, scale), mean_g, mean_gn, scale);
    }
}

#endif
