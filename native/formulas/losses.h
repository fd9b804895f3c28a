// The elementwise losses of a prediction p and a target t: one table, and for each the value and its derivative by p,
// once. Enum order is table order (checked in src/tables.h).
//
// To add one: its enumerator at the end of hpc_loss in hpcnet.h, its row and its two formulas here, its C# name.
//
// A row is X(ENUMERATOR, name, parameters); `name` opens the names of two formulas:
//   F name_value(F p, F t, F alpha, F beta)
//   F name_derivative(F p, F t, F alpha, F beta)
#ifndef HPC_LOSSES
#define HPC_LOSSES(X)                                  \
    X(SQUARED_ERROR, squared_error, 0)                 \
    X(ABSOLUTE_ERROR, absolute_error, 0)               \
    X(HUBER, huber, 1)                                 \
    X(SMOOTH_L1, smooth_l1, 1)                         \
    X(SIGMOID_CROSS_ENTROPY, sigmoid_cross_entropy, 1) \
    X(BINARY_CROSS_ENTROPY, binary_cross_entropy, 0)   \
    X(KL_DIVERGENCE, kl_divergence, 0)                 \
    X(KL_DIVERGENCE_LOG, kl_divergence_log, 0)         \
    X(POISSON_LOG, poisson_log, 1)                     \
    X(POISSON, poisson, 2)                             \
    X(HINGE, hinge, 1)                                 \
    X(SOFT_MARGIN, soft_margin, 0)
#endif

#if defined(HPC_FORMULA_OPS)

// (p - t)^2
HPC_FORMULA F squared_error_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F d = p - t;
    return d * d;
}
HPC_FORMULA F squared_error_derivative(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F d = p - t;
    return d + d;
}

// |p - t|; the derivative is 0 where they are equal, and NaN stays.
HPC_FORMULA F absolute_error_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    return ABS(p - t);
}
HPC_FORMULA F sign_of(F d) { return SEL(EQ(d, K(0.0f)), K(0.0f), COPYSIGN(SEL(EQ(d, d), K(1.0f), d), d)); }
HPC_FORMULA F absolute_error_derivative(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    return sign_of(p - t);
}

// d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2): Huber 1964. alpha: delta
HPC_FORMULA F huber_value(F p, F t, F alpha, F beta) {
    (void)beta;
    F d = ABS(p - t);
    return SEL(LE(d, alpha), K(0.5f) * d * d, alpha * FMA(K(-0.5f), alpha, d));
}
HPC_FORMULA F huber_derivative(F p, F t, F alpha, F beta) {
    (void)beta;
    F d = p - t;
    return SEL(LE(ABS(d), alpha), d, alpha * sign_of(d));
}

// d^2 / (2 alpha) where |d| < alpha, else |d| - alpha / 2: Girshick 2015. With alpha = 0 the absolute error.
HPC_FORMULA F smooth_l1_value(F p, F t, F alpha, F beta) {
    (void)beta;
    F d = ABS(p - t);
    return SEL(LT(d, alpha), K(0.5f) * d * d / alpha, FMA(K(-0.5f), alpha, d));
}
HPC_FORMULA F smooth_l1_derivative(F p, F t, F alpha, F beta) {
    (void)beta;
    F d = p - t;
    return SEL(LT(ABS(d), alpha), d / alpha, sign_of(d));
}

// -alpha t log s(p) - (1 - t) log(1 - s(p)) with the sigmoid s. The derivative is (1 - t) s(p) - alpha t s(-p).
HPC_FORMULA F sigmoid_cross_entropy_value(F p, F t, F alpha, F beta) {
    (void)beta;
    F rest = log1p_unit(exp_falling(K(0.0f) - ABS(p)));
    F positive = MAXK(K(0.0f) - p, K(0.0f)) + rest;
    F negative = MAXK(p, K(0.0f)) + rest;
    return FMA(alpha * t, positive, (K(1.0f) - t) * negative);
}
HPC_FORMULA F sigmoid_cross_entropy_derivative(F p, F t, F alpha, F beta) {
    (void)beta;
    F e = exp_falling(K(0.0f) - ABS(p));
    F near_one = K(1.0f) / (K(1.0f) + e);
    F near_zero = e * near_one;
    F positive = SEL(LT(p, K(0.0f)), near_zero, near_one);
    F negative = SEL(LT(p, K(0.0f)), near_one, near_zero);
    return FMA(K(0.0f) - alpha * t, negative, (K(1.0f) - t) * positive);
}

// -t log p - (1 - t) log(1 - p). As PyTorch has it, logarithms end at -100, and the derivative's divisor at 1e-12. A denormal
// probability counts as 0.
HPC_FORMULA F binary_cross_entropy_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F u = K(1.0f) - p;
    F log_p = SEL(LT(p, K(1.17549435e-38f)), K(-100.0f), log_of_normal(p));
    F log_rest = SEL(LE(u, K(0.0f)), K(-100.0f), log_of_rest(p, u));
    // u p is below 0 where p is no probability.
    return SEL(LE(K(0.0f), u * p), FMA(t - K(1.0f), log_rest, (K(0.0f) - t) * log_p), K(NAN));
}
HPC_FORMULA F binary_cross_entropy_derivative(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    return (p - t) / MAXK((K(1.0f) - p) * p, K(1e-12f));
}

// t (log t - p), 0 where t is 0 or denormal.
HPC_FORMULA F kl_divergence_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F log_t = SEL(LT(t, K(HUGE_VALF)), log_of_normal(t), t);
    return SEL(LT(t, K(1.17549435e-38f)), SEL(LE(K(0.0f), t), K(0.0f), K(NAN)), t * (log_t - p));
}
HPC_FORMULA F kl_divergence_derivative(F p, F t, F alpha, F beta) {
    (void)p, (void)alpha, (void)beta;
    return K(0.0f) - t;
}

// e^t (t - p), 0 where e^t is 0.
HPC_FORMULA F kl_divergence_log_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F e = hpc_exp(t);
    return SEL(EQ(e, K(0.0f)), K(0.0f), e * (t - p));
}
HPC_FORMULA F kl_divergence_log_derivative(F p, F t, F alpha, F beta) {
    (void)p, (void)alpha, (void)beta;
    return K(0.0f) - hpc_exp(t);
}

// Stirling's approximation of log t!, t log t - t + log(2 pi t) / 2, from above 1 on; else 0.
HPC_FORMULA F stirling(F t) {
    F log_t = SEL(LT(t, K(HUGE_VALF)), log_of_normal(t), t);
    F root = FMA(K(0.5f), log_t, K(0.918938533204672742f));
    return SEL(LE(t, K(1.0f)), K(0.0f), FMA(t, log_t - K(1.0f), root));
}

// e^p - t p, and alpha times Stirling's term.
HPC_FORMULA F poisson_log_value(F p, F t, F alpha, F beta) {
    (void)beta;
    return FMA(alpha, stirling(t), FMA(K(0.0f) - t, p, hpc_exp(p)));
}
HPC_FORMULA F poisson_log_derivative(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_exp(p) - t;
}

// p - t log(p + beta), and alpha times Stirling's term.
HPC_FORMULA F poisson_value(F p, F t, F alpha, F beta) {
    return FMA(alpha, stirling(t), FMA(K(0.0f) - t, hpc_log(p + beta), p));
}
HPC_FORMULA F poisson_derivative(F p, F t, F alpha, F beta) {
    (void)alpha;
    return K(1.0f) - t / (p + beta);
}

// max(0, alpha - t p); the derivative is 0 at the kink.
HPC_FORMULA F hinge_value(F p, F t, F alpha, F beta) {
    (void)beta;
    return MAXK(FMA(K(0.0f) - t, p, alpha), K(0.0f));
}
HPC_FORMULA F hinge_derivative(F p, F t, F alpha, F beta) {
    (void)beta;
    return SEL(LE(FMA(K(0.0f) - t, p, alpha), K(0.0f)), K(0.0f), K(0.0f) - t);
}

// log(1 + e^(-t p))
HPC_FORMULA F soft_margin_value(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_softplus(K(0.0f) - t * p);
}
HPC_FORMULA F soft_margin_derivative(F p, F t, F alpha, F beta) {
    (void)alpha, (void)beta;
    F z = t * p;
    F e = exp_falling(K(0.0f) - ABS(z));
    return K(0.0f) - t * (SEL(LT(z, K(0.0f)), K(1.0f), e) / (K(1.0f) + e));
}

#endif
