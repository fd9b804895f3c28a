// Adversarial examples: the first `moved` elements of y are those of x moved by formulas/adversarial.h, the others those of x.
HPC_KERNEL(HPC_GROUP)
fast_gradient_sign(HPC_HEAD, global const float* x, ulong x_at, global const float* gradient, ulong gradient_at, global float* y,
                   ulong y_at, ulong count, ulong moved, float epsilon, float low, float high) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    float4 v = load4(x + x_at, i, count, is_aligned(x_at));
    float4 g = load4(gradient + gradient_at, i, count, is_aligned(gradient_at));
    uint place = 0;
#define HPC_STEP(s)                                                                       \
    if (i + place++ < moved) v.s = fast_gradient_sign_step(v.s, g.s, epsilon, low, high);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(y + y_at, i, count, is_aligned(y_at), v);
}
