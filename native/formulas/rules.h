// The optimizer rules: one table, and for each what it makes of its hyperparameters once per step, and the elementwise
// update, once. Enum order is table order (checked in src/tables.h).
//
// To add one: its enumerator at the end of hpc_rule in hpcnet.h, its row and its two functions here, its C# class.
//
// A row is X(ENUMERATOR, name, "hyperparameters", hyperparameter count, state count); `name` opens two names:
//   void name_prepare(const float* hyperparameters, uint64_t step, float* h)   on the host, in double precision;
//                                                                               step counts from 1
//   void name_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h)           p and the states are read and replaced
#ifndef HPC_RULES
#define HPC_RULES(X)                                                         \
    X(SGD, sgd, "learning_rate", 1, 0)                                       \
    X(MOMENTUM, momentum, "learning_rate,momentum,dampening,nesterov", 4, 1) \
    X(ADAM, adam, "learning_rate,beta1,beta2,epsilon", 4, 2)
#endif

#if defined(HPC_RULE_PREPARE)

inline void sgd_prepare(const float* hyperparameters, uint64_t step, float* h) {
    (void)step;
    h[0] = hyperparameters[0];
}

// h: learning rate, decay of the velocity, share of the gradient in it; the direction is h[3] velocity + h[4] gradient.
// The first velocity is the gradient itself, whatever the dampening.
inline void momentum_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double momentum = hyperparameters[1], dampening = hyperparameters[2];
    const bool first = step <= 1, nesterov = hyperparameters[3] != 0.0f;
    h[0] = hyperparameters[0];
    h[1] = first ? 0.0f : hyperparameters[1];
    h[2] = first ? 1.0f : (float)(1.0 - dampening);
    h[3] = nesterov ? (float)momentum : 1.0f;
    h[4] = nesterov ? 1.0f : 0.0f;
}

// base^exponent by squaring: the same bits with every C library.
inline double whole_power(double base, uint64_t exponent) {
    double power = 1.0;
    for (; exponent != 0; exponent >>= 1) {
        if (exponent & 1) power *= base;
        base *= base;
    }
    return power;
}

// h: learning rate / (1 - beta1^step), beta1, 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^step), epsilon.
inline void adam_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double beta1 = hyperparameters[1], beta2 = hyperparameters[2];
    const uint64_t count = step == 0 ? 1 : step;
    h[0] = (float)(hyperparameters[0] / (1.0 - whole_power(beta1, count)));
    h[1] = (float)beta1;
    h[2] = (float)(1.0 - beta1);
    h[3] = (float)beta2;
    h[4] = (float)(1.0 - beta2);
    h[5] = (float)(1.0 / std::sqrt(1.0 - whole_power(beta2, count)));
    h[6] = hyperparameters[3];
}

#endif

#if defined(HPC_FORMULA_OPS)

HPC_FORMULA void sgd_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s0, (void)s1, (void)s2, (void)s3;
    *p = FMA(K(0.0f) - H(0), g, *p);
}

// Sutskever et al. 2013, as PyTorch has it: the learning rate stays outside of the velocity.
HPC_FORMULA void momentum_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s1, (void)s2, (void)s3;
    F v = FMA(H(1), *s0, H(2) * g);
    *s0 = v;
    *p = FMA(K(0.0f) - H(0), FMA(H(3), v, H(4) * g), *p);
}

// Kingma and Ba 2015; epsilon is added to the corrected root, as PyTorch has it.
HPC_FORMULA void adam_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F m = FMA(H(1), *s0, H(2) * g);
    F v = FMA(H(3), *s1, (H(4) * g) * g);
    *s0 = m;
    *s1 = v;
    *p = *p - (H(0) * m) / FMA(SQRT(v), H(5), H(6));
}

#endif
