// One optimizer rule (HPC_RULE_UPDATE with HPC_STATES states, as formulas/rules.h has it) over flat parameters, gradients
// and states. h0 and h1 are the hyperparameters as the rule's prepare function made them on the host. With HPC_DROPS, parameters
// whose random number is below drop_rate stay, while their states go on.

HPC_KERNEL(HPC_GROUP)
update(HPC_HEAD, global float* parameters, ulong parameters_at, global const float* gradients, ulong gradients_at, global float* state0,
       ulong state0_at, global float* state1, ulong state1_at, global float* state2, ulong state2_at, global float* state3, ulong state3_at,
       ulong count, float8 h0, float4 h1
#if HPC_DROPS
       , ulong seed, ulong stream, float drop_rate
#endif
) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    const float h[12] = {h0.s0, h0.s1, h0.s2, h0.s3, h0.s4, h0.s5, h0.s6, h0.s7, h1.s0, h1.s1, h1.s2, h1.s3};
    float4 p = load4(parameters + parameters_at, i, count, is_aligned(parameters_at));
    float4 g = load4(gradients + gradients_at, i, count, is_aligned(gradients_at));
    float4 q0 = (float4)(0.0f), q1 = q0, q2 = q0, q3 = q0;
#if HPC_STATES > 0
    q0 = load4(state0 + state0_at, i, count, is_aligned(state0_at));
#endif
#if HPC_STATES > 1
    q1 = load4(state1 + state1_at, i, count, is_aligned(state1_at));
#endif
#if HPC_STATES > 2
    q2 = load4(state2 + state2_at, i, count, is_aligned(state2_at));
#endif
#if HPC_STATES > 3
    q3 = load4(state3 + state3_at, i, count, is_aligned(state3_at));
#endif
#define HPC_STEP(s)                                             \
    {                                                           \
        F a = p.s, b0 = q0.s, b1 = q1.s, b2 = q2.s, b3 = q3.s;  \
        HPC_RULE_UPDATE(&a, g.s, &b0, &b1, &b2, &b3, h);        \
        p.s = a, q0.s = b0, q1.s = b1, q2.s = b2, q3.s = b3;    \
    }
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
#if HPC_DROPS
    float4 u = uniforms(i / 4, stream, seed), before = load4(parameters + parameters_at, i, count, is_aligned(parameters_at));
#define HPC_STEP(s) p.s = u.s < drop_rate ? before.s : p.s;
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
#endif
    store4(parameters + parameters_at, i, count, is_aligned(parameters_at), p);
#if HPC_STATES > 0
    store4(state0 + state0_at, i, count, is_aligned(state0_at), q0);
#endif
#if HPC_STATES > 1
    store4(state1 + state1_at, i, count, is_aligned(state1_at), q1);
#endif
#if HPC_STATES > 2
    store4(state2 + state2_at, i, count, is_aligned(state2_at), q2);
#endif
#if HPC_STATES > 3
    store4(state3 + state3_at, i, count, is_aligned(state3_at), q3);
#endif
}
