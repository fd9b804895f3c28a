// A chain of small dense layers in one launch (small_network.h says when): weights in local memory, blocks of rows one after the
// other in the work-groups.
//
// HPC_ITEMS work-items take blocks of HPC_ROWS rows. A value of a block lies in local memory column by column, HPC_STRIDE from one
// to the next, so that four rows are one float4; a weight's rows lie at an odd distance. Forward, a work-item makes four rows of a
// column at a time; backward, the gradient of a layer's output lies where the output lay, and what the rows add to the gradients of
// weights and biases stays with the work-item that makes them, from block to block. Rows beyond the batch are zeros everywhere.
//
// Options give every layer's extents, formulas and places, numbered from 0, as small_network.cpp writes them. HPC_ALONE: there is one
// work-group, which does what small_network_end does for several.

#define HPC_STRIDE (HPC_ROWS + 4)
#define HPC_QUADS (HPC_ROWS / 4)

#if HPC_LAYERS == 1
#define HPC_EACH_LAYER(X) X(0)
#define HPC_EACH_LAYER_BACK(X) X(0)
#elif HPC_LAYERS == 2
#define HPC_EACH_LAYER(X) X(0) X(1)
#define HPC_EACH_LAYER_BACK(X) X(1) X(0)
#elif HPC_LAYERS == 3
#define HPC_EACH_LAYER(X) X(0) X(1) X(2)
#define HPC_EACH_LAYER_BACK(X) X(2) X(1) X(0)
#elif HPC_LAYERS == 4
#define HPC_EACH_LAYER(X) X(0) X(1) X(2) X(3)
#define HPC_EACH_LAYER_BACK(X) X(3) X(2) X(1) X(0)
#elif HPC_LAYERS == 5
#define HPC_EACH_LAYER(X) X(0) X(1) X(2) X(3) X(4)
#define HPC_EACH_LAYER_BACK(X) X(4) X(3) X(2) X(1) X(0)
#elif HPC_LAYERS == 6
#define HPC_EACH_LAYER(X) X(0) X(1) X(2) X(3) X(4) X(5)
#define HPC_EACH_LAYER_BACK(X) X(5) X(4) X(3) X(2) X(1) X(0)
#elif HPC_LAYERS == 7
#define HPC_EACH_LAYER(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6)
#define HPC_EACH_LAYER_BACK(X) X(6) X(5) X(4) X(3) X(2) X(1) X(0)
#else
#define HPC_EACH_LAYER(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define HPC_EACH_LAYER_BACK(X) X(7) X(6) X(5) X(4) X(3) X(2) X(1) X(0)
#endif

#if defined(FP_FAST_FMAF)
#define HPC_MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define HPC_MULTIPLY_ADD(a, b, c) mad(a, b, c)
#endif

// Where arrays of sums are to be registers, every index has to be a constant.
#if HPC_UNROLLS
#define HPC_UNROLLED _Pragma("unroll")
#define HPC_UNROLLED_BY_4 _Pragma("unroll 4")
#else
#define HPC_UNROLLED
#define HPC_UNROLLED_BY_4
#endif

// ---- Formulas of a layer: `layer` is a constant wherever these are called ---------------------------------------------------

HPC_INLINE float layer_value(uint layer, float x) {
    switch (layer) {
#define HPC_CASE(i) \
    case i:         \
        return HPC_VALUE_##i(x, as_float(HPC_ALPHA_##i), as_float(HPC_BETA_##i));
        HPC_EACH_LAYER(HPC_CASE)
#undef HPC_CASE
    }
    return x;
}

// Of the output or the input, as the formula has it.
HPC_INLINE float layer_derivative(uint layer, float k) {
    switch (layer) {
#define HPC_CASE(i) \
    case i:         \
        return HPC_DERIVATIVE_##i(k, as_float(HPC_ALPHA_##i), as_float(HPC_BETA_##i));
        HPC_EACH_LAYER(HPC_CASE)
#undef HPC_CASE
    }
    return k;
}

// The factor of the gradient of an output; kept: see hpc_keeps.
HPC_INLINE float layer_factor(uint layer, int keeps_derivative, float output, float derivative) {
    return keeps_derivative ? derivative : layer_derivative(layer, output);
}

#define HPC_KEEPS_OUTPUT 1

// ---- Forward -------------------------------------------------------------------------------------------------------------

// What a layer of the network needs to know of itself; constants, all of them.
typedef struct layer_facts {
    uint number, in, out, values_at, output_at, kept_at, weight_at, bias_at;
    int bias, keeps, keeps_derivative, writes_y, writes_kept;
} layer_facts;
#define HPC_FACTS(i)                                                                                                              \
    {i, HPC_IN_##i, HPC_OUT_##i, HPC_VALUES_AT_##i, HPC_OUTPUT_AT_##i, HPC_KEPT_AT_##i, HPC_WEIGHT_AT_##i, HPC_BIAS_AT_##i,         \
     HPC_BIAS_##i, HPC_KEEPS_##i, HPC_KEEPS_DERIVATIVE_##i, HPC_WRITES_Y_##i, HPC_WRITES_KEPT_##i}

HPC_INLINE void load_layer(local float* memory, const layer_facts f, global const float* w, global const float* b) {
    for (uint i = (uint)get_local_id(0); i < f.in * f.out; i += HPC_ITEMS) memory[f.weight_at + i / f.out * (f.out | 1) + i % f.out] = w[i];
    if (f.bias)
        for (uint i = (uint)get_local_id(0); i < f.out; i += HPC_ITEMS) memory[f.bias_at + i] = b[i];
}

// v where the row is one of the batch, else 0.
HPC_INLINE float4 of_batch(float4 v, uint row, uint valid) {
    if (row + 1 > valid) v.s0 = 0.0f;
    if (row + 2 > valid) v.s1 = 0.0f;
    if (row + 3 > valid) v.s2 = 0.0f;
    if (row + 4 > valid) v.s3 = 0.0f;
    return v;
}

// Four rows of a column into device memory.
HPC_INLINE void store_rows(global float* to, uint columns, uint row, uint valid, uint column, float4 v) {
    if (row < valid) to[(ulong)row * columns + column] = v.s0;
    if (row + 1 < valid) to[(ulong)(row + 1) * columns + column] = v.s1;
    if (row + 2 < valid) to[(ulong)(row + 2) * columns + column] = v.s2;
    if (row + 3 < valid) to[(ulong)(row + 3) * columns + column] = v.s3;
}

// y and kept are given from the block's first row on.
HPC_INLINE void forward_layer(local float* memory, const layer_facts f, uint valid, global float* y, global float* kept) {
    for (uint task = (uint)get_local_id(0); task < HPC_QUADS * f.out; task += HPC_ITEMS) {
        const uint column = task % f.out, row = task / f.out * 4;
        float4 v = (float4)(0.0f), value = (float4)(0.0f), derivative = (float4)(0.0f);
        if (row < valid) {
            local const float* w = memory + f.weight_at + column;
            local const float* x = memory + f.values_at + row;
            HPC_UNROLLED_BY_4
            for (uint k = 0; k < f.in; ++k)
                v = HPC_MULTIPLY_ADD((float4)(w[k * (f.out | 1)]), *(local const float4*)(x + k * HPC_STRIDE), v);
            if (f.bias) v += memory[f.bias_at + column];
#define HPC_STEP(s) value.s = layer_value(f.number, v.s);
            HPC_EACH(HPC_STEP)
#undef HPC_STEP
            if (f.keeps_derivative || f.writes_kept) {
                const float4 from = f.keeps == HPC_KEEPS_OUTPUT ? value : v;
#define HPC_STEP(s) derivative.s = layer_derivative(f.number, from.s);
                HPC_EACH(HPC_STEP)
#undef HPC_STEP
            }
        }
        *(local float4*)(memory + f.output_at + column * HPC_STRIDE + row) = of_batch(value, row, valid);
        if (f.keeps_derivative) *(local float4*)(memory + f.kept_at + column * HPC_STRIDE + row) = derivative;
        if (f.writes_y) store_rows(y, f.out, row, valid, column, value);
        if (f.writes_kept) store_rows(kept, f.out, row, valid, column, derivative);
    }
}

// ---- The loss of several ------------------------------------------------------------------------------------------------------

// What somebody found in some rows.
typedef struct loss_share {
    sum_t loss;
    ulong correct;
    uint flags;
} loss_share;

// Work-items that add up in parallel.
#define HPC_ADDERS 16

static inline void add_share(loss_share* to, loss_share from) {
    to->loss = sum_add(to->loss, from.loss);
    to->correct += from.correct;
    to->flags |= from.flags;
}

// The sum over the adders, for all work-items.
HPC_INLINE loss_share share_of_all(local loss_share* shares, loss_share own) {
    const uint id = (uint)get_local_id(0);
    if (id < HPC_ADDERS) shares[id] = own;
    barrier(CLK_LOCAL_MEM_FENCE);
    loss_share total = shares[0];
    for (uint i = 1; i < HPC_ADDERS; ++i) add_share(&total, shares[i]);
    barrier(CLK_LOCAL_MEM_FENCE);
    return total;
}

// ---- Over the last output ----------------------------------------------------------------------------------------------------

#define HPC_LAST_OF(row, column) memory[HPC_LAST_AT + (column) * HPC_STRIDE + (row)]

#if HPC_TOP
// Rows of softmax (1) or its logarithm (2); a work-item has a row.
HPC_INLINE void row_softmax(local float* memory, uint valid, global float* y) {
    for (uint row = (uint)get_local_id(0); row < valid; row += HPC_ITEMS) {
        float largest = -HUGE_VALF, sum = 0.0f;
        for (uint j = 0; j < HPC_OUTPUTS; ++j) {
            const float v = HPC_LAST_OF(row, j);
            largest = v > largest ? v : largest;
        }
        for (uint j = 0; j < HPC_OUTPUTS; ++j) {
            const float e = hpc_exp(HPC_LAST_OF(row, j) - largest);
            sum += e;
#if HPC_TOP == 1
            HPC_LAST_OF(row, j) = e;
#endif
        }
#if HPC_TOP == 1
        const float factor = 1.0f / sum;
        for (uint j = 0; j < HPC_OUTPUTS; ++j) HPC_LAST_OF(row, j) *= factor;
#else
        const float log_sum = hpc_log(sum);
        for (uint j = 0; j < HPC_OUTPUTS; ++j) HPC_LAST_OF(row, j) = HPC_LAST_OF(row, j) - largest - log_sum;
#endif
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = (uint)get_local_id(0); i < valid * HPC_OUTPUTS; i += HPC_ITEMS) y[i] = HPC_LAST_OF(i / HPC_OUTPUTS, i % HPC_OUTPUTS);
}
#endif

#if HPC_LABELS
#define HPC_TARGET_TYPE int
#else
#define HPC_TARGET_TYPE float
#endif

// The gradient of an output, through the last activation.
HPC_INLINE void put_gradient(local float* memory, uint row, uint column, float gradient) {
#if HPC_BACKWARD
#if HPC_HEAD_DERIVATIVE
    const float derivative = HPC_LAST_KEEPS_DERIVATIVE ? memory[HPC_LAST_KEPT_AT + column * HPC_STRIDE + row] : 0.0f;
    gradient *= layer_factor(HPC_LAST, HPC_LAST_KEEPS_DERIVATIVE, HPC_LAST_OF(row, column), derivative);
#endif
    HPC_LAST_OF(row, column) = gradient;
#endif
}

// The target's row of a row of the block.
#if HPC_GATHERS_TARGET
#define HPC_TARGET_ROW(row) (ulong)((local const uint*)memory)[HPC_ROWS_AT + (row)]
#else
#define HPC_TARGET_ROW(row) (first + (row))
#endif

#if HPC_LOSS == 1
HPC_INLINE void block_loss(local float* memory, ulong first, uint valid, global const HPC_TARGET_TYPE* target, global const float* weights,
                           global const float* alphas, float scale, loss_share* share) {
    for (uint i = (uint)get_local_id(0); i < valid * HPC_OUTPUTS; i += HPC_ITEMS) {
        const uint row = i / HPC_OUTPUTS, column = i % HPC_OUTPUTS;
        const float p = HPC_LAST_OF(row, column), t = target[HPC_TARGET_ROW(row) * HPC_OUTPUTS + column];
        float alpha = as_float(HPC_LOSS_ALPHA), weight = 1.0f;
        const float beta = as_float(HPC_LOSS_BETA);
#if HPC_WEIGHTS
        weight = weights[column];
#endif
#if HPC_ALPHAS
        alpha = alphas[column];
#endif
#if HPC_ADDS_LOSS
        share->loss = sum_add(share->loss, sum_of(HPC_LOSS_VALUE(p, t, alpha, beta) * weight));
#endif
        put_gradient(memory, row, column, HPC_LOSS_DERIVATIVE(p, t, alpha, beta) * scale * weight);
    }
}
#elif HPC_LOSS == 2
// A work-item has a row, as in cross_entropy.cl.
HPC_INLINE void block_loss(local float* memory, ulong first, uint valid, global const HPC_TARGET_TYPE* target, global const float* weights,
                           global const float* alphas, float scale, loss_share* share) {
    for (uint row = (uint)get_local_id(0); row < valid; row += HPC_ITEMS) {
        float largest = -HUGE_VALF, sum = 0.0f, mass = 1.0f;
        uint place = UINT_MAX;
        for (uint j = 0; j < HPC_OUTPUTS; ++j) {
            const float v = HPC_LAST_OF(row, j);
            if (v > largest || (v == largest && place == UINT_MAX)) {
                largest = v;
                place = j;
            }
        }
        for (uint j = 0; j < HPC_OUTPUTS; ++j) sum += hpc_exp(HPC_LAST_OF(row, j) - largest);
        sum_t rest;
#if HPC_LABELS
        const int given = target[HPC_TARGET_ROW(row)];
        uint label = (uint)given;
        if (given < 0 || label >= HPC_OUTPUTS) {
            label = 0;
            share->flags |= HPC_FLAG_LABEL;
        }
        rest = sum_of_difference(largest, HPC_LAST_OF(row, label));
        const int hit = place == label;
#define HPC_TARGET(j) ((j) == label ? 1.0f : 0.0f)
#else
        global const float* t = target + HPC_TARGET_ROW(row) * HPC_OUTPUTS;
        float most = -HUGE_VALF, rest_part = 0.0f;
        uint wanted_place = UINT_MAX;
        mass = 0.0f;
        for (uint j = 0; j < HPC_OUTPUTS; ++j) {
            const float wanted = t[j];
            if (wanted > most || (wanted == most && wanted_place == UINT_MAX)) {
                most = wanted;
                wanted_place = j;
            }
            mass += wanted;
            rest_part += wanted == 0.0f ? 0.0f : wanted * (largest * 0.5f - 0.5f * HPC_LAST_OF(row, j));
        }
        rest = sum_times(sum_of(rest_part), 2.0f);
        const int hit = place == wanted_place;
#define HPC_TARGET(j) t[j]
#endif
#if HPC_ADDS_LOSS
        const sum_t row_loss = sum_add(sum_of_product(mass, hpc_log(sum)), rest);
        if (!sum_finite(row_loss)) share->flags |= HPC_FLAG_NONFINITE;
        share->loss = sum_add(share->loss, row_loss);
        share->correct += hit;
#endif
        const float factor = 1.0f / sum;
        for (uint j = 0; j < HPC_OUTPUTS; ++j) {
            const float e = hpc_exp(HPC_LAST_OF(row, j) - largest);
            put_gradient(memory, row, j, fma(e * factor, mass, -HPC_TARGET(j)) * scale);
        }
    }
}
#endif

// ---- Backward ----------------------------------------------------------------------------------------------------------------

static inline float sum_of_quad(float4 v) { return (v.s0 + v.s1) + (v.s2 + v.s3); }

// dw += x^T d of the block: a work-item has four neighbouring rows of dw in some columns.
HPC_INLINE void weight_gradients(local const float* memory, const layer_facts f, uint valid, float4* sums, uint tasks) {
    HPC_UNROLLED
    for (uint i = 0; i < tasks; ++i) {
        const uint task = (uint)get_local_id(0) + i * HPC_ITEMS;
        if (task < (f.in + 3) / 4 * f.out) {
            const uint column = task % f.out, k = task / f.out * 4;
            local const float* d = memory + f.output_at + column * HPC_STRIDE;
            // Rows that are not there are another's once more, and not stored.
            local const float* x0 = memory + f.values_at + k * HPC_STRIDE;
            local const float* x1 = memory + f.values_at + min(k + 1, f.in - 1) * HPC_STRIDE;
            local const float* x2 = memory + f.values_at + min(k + 2, f.in - 1) * HPC_STRIDE;
            local const float* x3 = memory + f.values_at + min(k + 3, f.in - 1) * HPC_STRIDE;
            float4 s0 = (float4)(0.0f), s1 = s0, s2 = s0, s3 = s0;
            for (uint row = 0; row < valid; row += 4) {
                const float4 g = *(local const float4*)(d + row);
                s0 = HPC_MULTIPLY_ADD(*(local const float4*)(x0 + row), g, s0);
                s1 = HPC_MULTIPLY_ADD(*(local const float4*)(x1 + row), g, s1);
                s2 = HPC_MULTIPLY_ADD(*(local const float4*)(x2 + row), g, s2);
                s3 = HPC_MULTIPLY_ADD(*(local const float4*)(x3 + row), g, s3);
            }
            sums[i] += (float4)(sum_of_quad(s0), sum_of_quad(s1), sum_of_quad(s2), sum_of_quad(s3));
        }
    }
}

HPC_INLINE void bias_gradients(local const float* memory, const layer_facts f, uint valid, long_sum* sums, uint tasks) {
    HPC_UNROLLED
    for (uint i = 0; i < tasks; ++i) {
        const uint column = (uint)get_local_id(0) + i * HPC_ITEMS;
        if (column < f.out) {
            local const float* d = memory + f.output_at + column * HPC_STRIDE;
            for (uint row = 0; row < valid; row += 4) long_add(&sums[i], sum_of_quad(*(local const float4*)(d + row)));
        }
    }
}

// d w^T in the place of the layer's input, through the activation of the layer before; of the first layer into device memory, from the
// block's first row on.
HPC_INLINE void hand_on(local float* memory, const layer_facts f, const layer_facts before, uint valid, global float* dx) {
    for (uint task = (uint)get_local_id(0); task < HPC_QUADS * f.in; task += HPC_ITEMS) {
        const uint k = task % f.in, row = task / f.in * 4;
        if (row < valid) {
            local const float* w = memory + f.weight_at + k * (f.out | 1);
            local const float* d = memory + f.output_at + row;
            float4 v = (float4)(0.0f);
            HPC_UNROLLED_BY_4
            for (uint j = 0; j < f.out; ++j) v = HPC_MULTIPLY_ADD((float4)(w[j]), *(local const float4*)(d + j * HPC_STRIDE), v);
            if (f.number == 0) {
                store_rows(dx, f.in, row, valid, k, v);
            } else {
                local float4* at = (local float4*)(memory + f.values_at + k * HPC_STRIDE + row);
                const float4 output = *at;
                float4 derivative = output;
                if (before.keeps_derivative) derivative = *(local const float4*)(memory + before.kept_at + k * HPC_STRIDE + row);
#define HPC_STEP(s) v.s *= layer_factor(before.number, before.keeps_derivative, output.s, derivative.s);
                HPC_EACH(HPC_STEP)
#undef HPC_STEP
                *at = of_batch(v, row, valid);
            }
        }
    }
}

// ---- The end -----------------------------------------------------------------------------------------------------------------

#define HPC_END_ARGUMENTS                                                                                                        \
    global float *gradients, ulong gradients_at, global float *updated, ulong updated_at, global float *state0, ulong state0_at, \
        global float *state1, ulong state1_at, global float *state2, ulong state2_at, global float *state3, ulong state3_at,     \
        global const uint *links, ulong links_at, ulong batch, ulong divisor, float loss_weight, float8 numbers0, float8 numbers1, \
        float8 rule00, float4 rule01, float8 rule10, float4 rule11, float8 rule20, float4 rule21
#define HPC_END_VALUES                                                                                                               \
    gradients, gradients_at, updated, updated_at, state0, state0_at, state1, state1_at, state2, state2_at, state3, state3_at, links, links_at, \
        batch, divisor, loss_weight, numbers0, numbers1, rule00, rule01, rule10, rule11, rule20, rule21

// SmallNetwork::Link::Kind
#define HPC_LINK_CLIP_BY_VALUE 0
#define HPC_LINK_ADD_PENALTY 1
#define HPC_LINK_ADD_SCALED 2
#define HPC_LINK_SCALE 3
#define HPC_LINK_UPDATE 4

// Adds up what `parts` work-groups left, into metrics and gradients, and updates. Several work-groups may do this: each finds by itself
// whether a flag holds the update back, one of them writes the metrics.
HPC_INLINE void end_of_network(global device_metrics* metrics, uint guard, local float* memory, global const uint* partials,
                               global const float* parts_of, ulong parts, HPC_END_ARGUMENTS) {
    const uint id = (uint)get_local_id(0);
    volatile global uint* all_flags = &metrics->flags;
    int held = 0;
#if HPC_ADDS_LOSS
    global const loss_partial* partial = (global const loss_partial*)partials;
    loss_share share = {sum_of(0.0f), 0, 0};
    for (ulong i = id; id < HPC_ADDERS && i < parts; i += HPC_ADDERS) {
        const loss_share one = {from_cell(partial[i].loss), partial[i].correct, partial[i].flags};
        add_share(&share, one);
    }
    share = share_of_all((local loss_share*)memory, share);
    const uint found = share.flags | (sum_finite(share.loss) ? 0 : HPC_FLAG_NONFINITE);
#else
    const uint found = 0;
#endif
    if (id == 0) {
        const uint flags = found | (get_group_id(0) == 0 ? atomic_or(all_flags, found) : atomic_or(all_flags, 0u));
        ((local uint*)memory)[0] = flags;
        if (get_group_id(0) == 0) {
#if HPC_ADDS_LOSS
            const loss_total total = {share.loss, sum_of(0.0f), share.correct, 0, found};
            add_to_metrics(metrics, total, batch, divisor, loss_weight, 0, 0);
#endif
#if HPC_ENDS_RUN
            metrics->runs += 1;
            if (metrics->first_flagged_run == 0 && flags != 0) metrics->first_flagged_run = metrics->runs;
#endif
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    held = guard != 0 && ((local const uint*)memory)[0] != 0;
#if HPC_LINKS > 0
    const float numbers[16] = {numbers0.s0, numbers0.s1, numbers0.s2, numbers0.s3, numbers0.s4, numbers0.s5, numbers0.s6, numbers0.s7,
                               numbers1.s0, numbers1.s1, numbers1.s2, numbers1.s3, numbers1.s4, numbers1.s5, numbers1.s6, numbers1.s7};
#define HPC_RULE(h0, h1) h0.s0, h0.s1, h0.s2, h0.s3, h0.s4, h0.s5, h0.s6, h0.s7, h1.s0, h1.s1, h1.s2, h1.s3
    const float rules[36] = {HPC_RULE(rule00, rule01), HPC_RULE(rule10, rule11), HPC_RULE(rule20, rule21)};
#endif
#if HPC_SPAN > 0
    const uint all = (uint)get_global_size(0);
    // Some elements at a time, so that their loads are on their way together.
    for (uint first = (uint)get_global_id(0); first < HPC_SPAN; first += all * HPC_AT_ONCE) {
        float g[HPC_AT_ONCE];
        HPC_UNROLLED
        for (uint n = 0; n < HPC_AT_ONCE; ++n) {
            const uint i = first + n * all;
            long_sum sum = {0.0f, 0.0f};
            for (ulong part = 0; i < HPC_SPAN && part < parts; ++part) long_add(&sum, parts_of[part * HPC_PART + i]);
            g[n] = long_total(sum);
        }
#if HPC_LINKS > 0
        float p[HPC_AT_ONCE];
#if HPC_UPDATES
        float q0[HPC_AT_ONCE], q1[HPC_AT_ONCE], q2[HPC_AT_ONCE], q3[HPC_AT_ONCE];
#endif
        HPC_UNROLLED
        for (uint n = 0; n < HPC_AT_ONCE; ++n) {
            const uint i = first + n * all;
            p[n] = i < HPC_SPAN ? updated[updated_at + i] : 0.0f;
#if HPC_UPDATES
            const int known = i >= HPC_STATES_FIRST && i < HPC_STATES_END;
            q0[n] = HPC_STATES > 0 && known ? state0[state0_at + i] : 0.0f;
            q1[n] = HPC_STATES > 1 && known ? state1[state1_at + i] : 0.0f;
            q2[n] = HPC_STATES > 2 && known ? state2[state2_at + i] : 0.0f;
            q3[n] = HPC_STATES > 3 && known ? state3[state3_at + i] : 0.0f;
#endif
        }
        // Each element by itself goes through all that follows, in order.
        for (uint link = 0; link < HPC_LINKS; ++link) {
            global const uint* of = links + links_at + link * 4;
            const uint kind = of[0], from = of[1], end = of[2], index = of[3];
            if (held && kind >= HPC_LINK_SCALE) continue;
            HPC_UNROLLED
            for (uint n = 0; n < HPC_AT_ONCE; ++n) {
                const uint i = first + n * all;
                if (i < from || i >= end) continue;
                if (kind == HPC_LINK_CLIP_BY_VALUE) {
                    g[n] = clipped(g[n], numbers[index]);
                } else if (kind == HPC_LINK_ADD_PENALTY) {
                    g[n] += penalty_of(p[n], numbers[index], numbers[index + 1]);
                } else if (kind == HPC_LINK_ADD_SCALED) {
                    g[n] = fma(numbers[index], p[n], g[n]);
                } else if (kind == HPC_LINK_SCALE) {
                    p[n] *= numbers[index];
                } else {
#if HPC_UPDATES
                    HPC_RULE_UPDATE(&p[n], g[n], &q0[n], &q1[n], &q2[n], &q3[n], rules + index * 12);
                    if (HPC_STATES > 0) state0[state0_at + i] = q0[n];
                    if (HPC_STATES > 1) state1[state1_at + i] = q1[n];
                    if (HPC_STATES > 2) state2[state2_at + i] = q2[n];
                    if (HPC_STATES > 3) state3[state3_at + i] = q3[n];
#endif
                }
            }
        }
#endif
        HPC_UNROLLED
        for (uint n = 0; n < HPC_AT_ONCE; ++n) {
            const uint i = first + n * all;
            if (i < HPC_SPAN) {
                gradients[gradients_at + i] = g[n];
#if HPC_LINKS > 0
                if (!held) updated[updated_at + i] = p[n];
#endif
            }
        }
    }
#endif
}

// ---- Kernels -----------------------------------------------------------------------------------------------------------------

HPC_KERNEL(HPC_ITEMS)
small_network(HPC_HEAD, global const float* x, ulong x_at, global const int* indices, ulong indices_at, global const float* parameters,
              ulong parameters_at, global const HPC_TARGET_TYPE* target, ulong target_at, global const float* weights, ulong weights_at,
              global const float* alphas, ulong alphas_at, global uint* partials, ulong partials_at, global float* parts, ulong parts_at,
              global float* dx, ulong dx_at, global float* head, ulong head_at, ulong rows, ulong source_rows, ulong indices_count, ulong offset,
              float scale
#if HPC_WRITES
#define HPC_OUTPUT(i) , global float *y_##i, ulong y_at_##i, global float *kept_##i, ulong kept_at_##i
              HPC_EACH_LAYER(HPC_OUTPUT)
#undef HPC_OUTPUT
#endif
#if HPC_ALONE
              , HPC_END_ARGUMENTS
#endif
) {
    local float memory[HPC_LOCAL_FLOATS] __attribute__((aligned(16)));
    const uint id = (uint)get_local_id(0);
#define HPC_LOAD(i)                    \
    const layer_facts facts_##i = HPC_FACTS(i); \
    load_layer(memory, facts_##i, parameters + parameters_at + HPC_W_AT_##i, parameters + parameters_at + HPC_B_AT_##i);
    HPC_EACH_LAYER(HPC_LOAD)
#define HPC_ARRAY(count) ((count) > 0 ? (count) : 1)
#if HPC_BACKWARD
#define HPC_SUMS(i)                                                                               \
    float4 dw_##i[HPC_ARRAY(HPC_DW_TASKS_##i)];                                                    \
    long_sum db_##i[HPC_ARRAY(HPC_DB_TASKS_##i)];                                                  \
    HPC_UNROLLED for (uint t = 0; t < HPC_ARRAY(HPC_DW_TASKS_##i); ++t) dw_##i[t] = (float4)(0.0f); \
    HPC_UNROLLED for (uint t = 0; t < HPC_ARRAY(HPC_DB_TASKS_##i); ++t) db_##i[t].sum = db_##i[t].lost = 0.0f;
    HPC_EACH_LAYER(HPC_SUMS)
#endif
    loss_share share = {sum_of(0.0f), 0, 0};

    for (ulong first = get_group_id(0) * HPC_ROWS; first < rows; first += get_num_groups(0) * HPC_ROWS) {
        const uint valid = (uint)min(rows - first, (ulong)HPC_ROWS);
        // The block before is done with.
        barrier(CLK_LOCAL_MEM_FENCE);
#if HPC_GATHERS_X || HPC_GATHERS_TARGET
        for (uint row = id; row < valid; row += HPC_ITEMS) {
            const ulong place = offset + first + row;
            int index = offset < indices_count && place < indices_count ? indices[indices_at + place] : -1;
            if (index < 0 || (ulong)index >= source_rows) {
                share.flags |= HPC_FLAG_INDEX;
                index = 0;
            }
            ((local uint*)memory)[HPC_ROWS_AT + row] = (uint)index;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
        for (uint i = id; i < HPC_ROWS * HPC_IN_0; i += HPC_ITEMS) {
            const uint row = i / HPC_IN_0, column = i % HPC_IN_0;
            float v = 0.0f;
            if (row < valid) {
#if HPC_GATHERS_X
                v = x[x_at + (ulong)((local const uint*)memory)[HPC_ROWS_AT + row] * HPC_IN_0 + column];
#else
                v = x[x_at + (first + row) * HPC_IN_0 + column];
#endif
            }
            memory[HPC_VALUES_AT_0 + column * HPC_STRIDE + row] = v;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#if HPC_WRITES
#define HPC_Y(i) y_##i + y_at_##i + first * HPC_OUT_##i
#define HPC_KEPT(i) kept_##i + kept_at_##i + first * HPC_OUT_##i
#else
#define HPC_Y(i) 0
#define HPC_KEPT(i) 0
#endif
#define HPC_FORWARD(i)                                                   \
    forward_layer(memory, facts_##i, valid, HPC_Y(i), HPC_KEPT(i)); \
    barrier(CLK_LOCAL_MEM_FENCE);
        HPC_EACH_LAYER(HPC_FORWARD)
#if HPC_TOP
        row_softmax(memory, valid, head + head_at + first * HPC_OUTPUTS);
#endif
#if HPC_LOSS
        block_loss(memory, first, valid, target + target_at, weights + weights_at, alphas + alphas_at, scale, &share);
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
#if HPC_BACKWARD
#define HPC_BEFORE_0 facts_0
#define HPC_BEFORE_1 facts_0
#define HPC_BEFORE_2 facts_1
#define HPC_BEFORE_3 facts_2
#define HPC_BEFORE_4 facts_3
#define HPC_BEFORE_5 facts_4
#define HPC_BEFORE_6 facts_5
#define HPC_BEFORE_7 facts_6
#define HPC_BACKWARD_LAYER(i)                                                                                            \
    if (HPC_DW_##i) weight_gradients(memory, facts_##i, valid, dw_##i, HPC_DW_TASKS_##i);                                 \
    if (HPC_DB_##i) bias_gradients(memory, facts_##i, valid, db_##i, HPC_DB_TASKS_##i);                                   \
    barrier(CLK_LOCAL_MEM_FENCE);                                                                                        \
    if (HPC_HANDS_ON_##i) hand_on(memory, facts_##i, HPC_BEFORE_##i, valid, dx + dx_at + first * HPC_IN_0);              \
    barrier(CLK_LOCAL_MEM_FENCE);
        HPC_EACH_LAYER_BACK(HPC_BACKWARD_LAYER)
#endif
    }

#if HPC_SPAN > 0
    global float* part = parts + parts_at + get_group_id(0) * HPC_PART;
#define HPC_STORE(i)                                                                         \
    HPC_UNROLLED for (uint t = 0; t < HPC_DW_TASKS_##i; ++t) {                                \
        const uint task = id + t * HPC_ITEMS;                                                \
        if (task < (HPC_IN_##i + 3) / 4 * HPC_OUT_##i) {                                     \
            const uint k = task / HPC_OUT_##i * 4;                                           \
            global float* to = part + HPC_DW_AT_##i + k * HPC_OUT_##i + task % HPC_OUT_##i;  \
            to[0] = dw_##i[t].s0;                                                            \
            if (k + 1 < HPC_IN_##i) to[HPC_OUT_##i] = dw_##i[t].s1;                          \
            if (k + 2 < HPC_IN_##i) to[2 * HPC_OUT_##i] = dw_##i[t].s2;                      \
            if (k + 3 < HPC_IN_##i) to[3 * HPC_OUT_##i] = dw_##i[t].s3;                      \
        }                                                                                    \
    }                                                                                        \
    HPC_UNROLLED for (uint t = 0; t < HPC_DB_TASKS_##i; ++t) {                                \
        const uint column = id + t * HPC_ITEMS;                                              \
        if (column < HPC_OUT_##i) part[HPC_DB_AT_##i + column] = long_total(db_##i[t]);      \
    }
    HPC_EACH_LAYER(HPC_STORE)
#endif
#if HPC_ADDS_LOSS
    // The values' memory is free.
    barrier(CLK_LOCAL_MEM_FENCE);
    local loss_share* const shares = (local loss_share*)memory;
    shares[id] = share;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = id + HPC_ADDERS; id < HPC_ADDERS && i < HPC_ITEMS; i += HPC_ADDERS) add_share(&share, shares[i]);
    barrier(CLK_LOCAL_MEM_FENCE);
    share = share_of_all(shares, share);
    if (id == 0) {
        loss_partial partial = {to_cell(share.loss), (uint)share.correct, share.flags, to_cell(sum_of(0.0f)), 0};
        ((global loss_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
#endif
#if HPC_ALONE
    barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
    end_of_network(metrics, guard, memory, partials + partials_at, parts + parts_at, 1, HPC_END_VALUES);
#elif HPC_ENDS_RUN && !HPC_ADDS_LOSS && HPC_SPAN == 0
    if (get_global_id(0) == 0) {
        metrics->runs += 1;
        if (metrics->first_flagged_run == 0 && metrics->flags != 0) metrics->first_flagged_run = metrics->runs;
    }
#endif
}

#if HPC_ADDS_LOSS || HPC_SPAN > 0
HPC_KERNEL(HPC_ITEMS)
small_network_end(HPC_HEAD, global const uint* partials, ulong partials_at, global const float* parts, ulong parts_at, ulong groups,
                  HPC_END_ARGUMENTS) {
    local float memory[HPC_ADDERS * 6] __attribute__((aligned(16)));
    end_of_network(metrics, guard, memory, partials + partials_at, parts + parts_at, groups, HPC_END_VALUES);
}
#endif
