// One activation (HPC_ACTIVATION_VALUE, HPC_ACTIVATION_DERIVATIVE, HPC_KEEPS, as formulas/activations.h has them) for
// four elements at a time: what the products' epilogues and the plain instructions share.
#if defined(HPC_ACTIVATION_VALUE)

#define HPC_KEEPS_NOTHING 0
#define HPC_KEEPS_OUTPUT 1
#define HPC_KEEPS_DERIVATIVE 2

static inline float4 activation_value4(float4 x, float alpha, float beta) {
    float4 y;
#define HPC_STEP(s) y.s = HPC_ACTIVATION_VALUE(x.s, alpha, beta);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    return y;
}

// f' at the inputs x with the outputs y.
static inline float4 activation_kept4(float4 x, float4 y, float alpha, float beta) {
    float4 from = HPC_KEEPS == HPC_KEEPS_OUTPUT ? y : x;
    float4 d;
#define HPC_STEP(s) d.s = HPC_ACTIVATION_DERIVATIVE(from.s, alpha, beta);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    return d;
}

// The factor of the incoming gradient. What was kept is the derivative itself, or the output to compute it from, or
// nothing where it is constant.
static inline float activation_factor(float kept, float alpha, float beta) {
    return HPC_KEEPS == HPC_KEEPS_DERIVATIVE ? kept : HPC_ACTIVATION_DERIVATIVE(kept, alpha, beta);
}

static inline float4 activation_factor4(float4 kept, float alpha, float beta) {
    float4 d;
#define HPC_STEP(s) d.s = activation_factor(kept.s, alpha, beta);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    return d;
}

#endif
