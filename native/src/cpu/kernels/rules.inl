// Optimizer rules over flat pieces of parameters, gradients and states. A rule needs nothing here: its row in
// formulas/rules.h becomes one of the types below.

#define HPC_ROW(enumerator, name, hyperparameters, count, states_)                             \
    struct name##_rule {                                                                       \
        static constexpr int states = states_;                                                 \
        static HPC_INLINE void update(V& p, V g, V& s0, V& s1, V& s2, V& s3, const float* h) { \
            name##_update(&p, g, &s0, &s1, &s2, &s3, h);                                       \
        }                                                                                      \
    };
HPC_RULES(HPC_ROW)
#undef HPC_ROW

template <class R>
static void update(const UpdateElements& e) {
    constexpr int hyperparameters = HPC_MAX_HYPERPARAMETERS + 4;
    // A copy that no store can change, so that the loop keeps it in registers.
    float h[hyperparameters];
    for (int i = 0; i < hyperparameters; ++i) h[i] = e.h[i];
    float* const parameters = e.parameters;
    const float* const gradients = e.gradients;
    float *const q0 = e.states[0], *const q1 = e.states[1], *const q2 = e.states[2], *const q3 = e.states[3];
    V s0 = V::zero(), s1 = V::zero(), s2 = V::zero(), s3 = V::zero();
    int64_t i = 0;
    for (; i + V::lanes <= e.count; i += V::lanes) {
        V p = V::load(parameters + i);
        if constexpr (R::states > 0) s0 = V::load(q0 + i);
        if constexpr (R::states > 1) s1 = V::load(q1 + i);
        if constexpr (R::states > 2) s2 = V::load(q2 + i);
        if constexpr (R::states > 3) s3 = V::load(q3 + i);
        R::update(p, V::load(gradients + i), s0, s1, s2, s3, h);
        p.store(parameters + i);
        if constexpr (R::states > 0) s0.store(q0 + i);
        if constexpr (R::states > 1) s1.store(q1 + i);
        if constexpr (R::states > 2) s2.store(q2 + i);
        if constexpr (R::states > 3) s3.store(q3 + i);
    }
    if (i < e.count) {
        const int64_t rest = e.count - i;
        V p = V::load_partial(parameters + i, rest);
        if constexpr (R::states > 0) s0 = V::load_partial(q0 + i, rest);
        if constexpr (R::states > 1) s1 = V::load_partial(q1 + i, rest);
        if constexpr (R::states > 2) s2 = V::load_partial(q2 + i, rest);
        if constexpr (R::states > 3) s3 = V::load_partial(q3 + i, rest);
        R::update(p, V::load_partial(gradients + i, rest), s0, s1, s2, s3, h);
        p.store_partial(parameters + i, rest);
        if constexpr (R::states > 0) s0.store_partial(q0 + i, rest);
        if constexpr (R::states > 1) s1.store_partial(q1 + i, rest);
        if constexpr (R::states > 2) s2.store_partial(q2 + i, rest);
        if constexpr (R::states > 3) s3.store_partial(q3 + i, rest);
    }
}
