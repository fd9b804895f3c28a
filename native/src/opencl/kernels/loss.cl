// The elementwise losses (HPC_LOSS_VALUE, HPC_LOSS_DERIVATIVE, as formulas/losses.h has them). HPC_ADDS_LOSS: the sum of
// a work-group's elements is left in its loss_partial; HPC_GRADIENT: the derivative times `scale` is written.

HPC_KERNEL(HPC_GROUP)
elementwise_loss(HPC_HEAD, global const float* prediction, ulong prediction_at, global const float* target, ulong target_at,
                 global float* gradient, ulong gradient_at, global uint* partials, ulong partials_at, ulong count, float scale, float alpha,
                 float beta) {
    local sum_t totals[HPC_GROUP];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0);
    sum_t loss = sum_of(0.0f);
    ulong i = (get_group_id(0) * HPC_GROUP * HPC_REDUCTION_VECTORS + id) * 4;
    for (uint step = 0; step < HPC_REDUCTION_VECTORS && i < count; ++step, i += HPC_GROUP * 4) {
        const float4 p = load4(prediction + prediction_at, i, count, is_aligned(prediction_at));
        const float4 t = load4(target + target_at, i, count, is_aligned(target_at));
#if HPC_GRADIENT
        float4 g;
#define HPC_STEP(s) g.s = HPC_LOSS_DERIVATIVE(p.s, t.s, alpha, beta) * scale;
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
        store4(gradient + gradient_at, i, count, is_aligned(gradient_at), g);
#endif
#if HPC_ADDS_LOSS
        // What lies behind the end does not count, whatever the loss of two zeros is.
        uint place = 0;
#define HPC_STEP(s) \
    if (i + place++ < count) loss = sum_add(loss, sum_of(HPC_LOSS_VALUE(p.s, t.s, alpha, beta)));
        HPC_EACH(HPC_STEP)
#undef HPC_STEP
#endif
    }
#if HPC_ADDS_LOSS
    loss = group_sum(totals, loss, HPC_GROUP);
    if (id == 0) {
        loss_partial partial = {to_cell(loss), 0, 0};
        ((global loss_partial*)(partials + partials_at))[get_group_id(0)] = partial;
    }
#endif
}
