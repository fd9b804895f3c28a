// The elementwise losses (HPC_LOSS_VALUE, HPC_LOSS_DERIVATIVE, as formulas/losses.h has them). HPC_ADDS_LOSS: the sum of
// a work-group's elements is left in its loss_partial; HPC_GRADIENT: the derivative times `scale` is written.
// HPC_WEIGHTS, HPC_ALPHAS: each column has a weight, an alpha.

HPC_KERNEL(HPC_GROUP)
elementwise_loss(HPC_HEAD, global const float* prediction, ulong prediction_at, global const float* target, ulong target_at,
                 global float* gradient, ulong gradient_at, global uint* partials, ulong partials_at, ulong count, float scale, float alpha,
                 float beta
#if HPC_WEIGHTS || HPC_ALPHAS
                 , global const float* weights, ulong weights_at, global const float* alphas, ulong alphas_at, ulong columns
#endif
) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0);
    sum_t loss = sum_of(0.0f);
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count; ++step, i += HPC_GROUP * 4) {
        const float4 p = load4(prediction + prediction_at, i, count, is_aligned(prediction_at));
        const float4 t = load4(target + target_at, i, count, is_aligned(target_at));
#if HPC_WEIGHTS || HPC_ALPHAS
        // What lies behind the end takes any column.
        ulong column = i % columns;
        float4 weight = (float4)(1.0f), a = (float4)(alpha);
#if HPC_WEIGHTS
#define HPC_COLUMN_WEIGHT(s) weight.s = weights[weights_at + column];
#else
#define HPC_COLUMN_WEIGHT(s)
#endif
#if HPC_ALPHAS
#define HPC_COLUMN_ALPHA(s) a.s = alphas[alphas_at + column];
#else
#define HPC_COLUMN_ALPHA(s)
#endif
#define HPC_STEP(s)      \
    HPC_COLUMN_WEIGHT(s) \
    HPC_COLUMN_ALPHA(s)  \
    column = column + 1 == columns ? 0 : column + 1;
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
#define HPC_TIMES_WEIGHT(s) *weight.s
#define HPC_ALPHA_OF(s) a.s
#else
#define HPC_TIMES_WEIGHT(s)
#define HPC_ALPHA_OF(s) alpha
#endif
#if HPC_GRADIENT
        float4 g;
#define HPC_STEP(s) g.s = HPC_LOSS_DERIVATIVE(p.s, t.s, HPC_ALPHA_OF(s), beta) * scale HPC_TIMES_WEIGHT(s);
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
        store4(gradient + gradient_at, i, count, is_aligned(gradient_at), g);
#endif
#if HPC_ADDS_LOSS
        // What lies behind the end does not count, whatever the loss of two zeros is.
        uint place = 0;
#define HPC_STEP(s) \
    if (i + place++ < count) loss = sum_add(loss, sum_of(HPC_LOSS_VALUE(p.s, t.s, HPC_ALPHA_OF(s), beta) HPC_TIMES_WEIGHT(s)));
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
#endif
    }
#if HPC_ADDS_LOSS
    loss = group_sum(totals, loss, HPC_GROUP);
    if (id == 0) {
        loss_partial partial = {to_cell(loss), 0, 0, 0, 0};
        ((global loss_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
#endif
}
