// The optimizer rules: one table, and for each what it makes of its hyperparameters once per step, and the elementwise
// update, once. Enum order is table order (checked in src/tables.h).
//
// To add one: its enumerator at the end of hpc_rule in hpcnet.h, its row and its two functions here, its C# class.
//
// A row is X(ENUMERATOR, name, "hyperparameters", hyperparameter count, state count); `name` opens two names:
//   void name_prepare(const float* hyperparameters, uint64_t step, float* h)   on the host, in double precision;
//                                                                               step counts from 1
//   void name_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h)           p and the states are read and replaced
//
// States begin at 0. A rule whose state begins elsewhere says so in its formula (adagrad adds the initial value when it reads,
// rprop takes 0 for "not begun"), so that a parameter which joins later begins rightly, too.
// The learning rate comes first. A negative one climbs: every rule answers to it as to a gradient of the other sign.
#ifndef HPC_RULES
#define HPC_RULES(X)                                                                                              \
    X(SGD, sgd, "learning_rate", 1, 0)                                                                            \
    X(MOMENTUM, momentum, "learning_rate,momentum,dampening,nesterov", 4, 1)                                      \
    X(ADAM, adam, "learning_rate,beta1,beta2,epsilon", 4, 2)                                                      \
    X(ADAGRAD, adagrad, "learning_rate,learning_rate_decay,initial_accumulator,epsilon", 4, 1)                    \
    X(RMSPROP, rmsprop, "learning_rate,alpha,epsilon", 3, 1)                                                      \
    X(RMSPROP_MOMENTUM, rmsprop_momentum, "learning_rate,alpha,epsilon,momentum", 4, 2)                           \
    X(RMSPROP_CENTERED, rmsprop_centered, "learning_rate,alpha,epsilon", 3, 2)                                    \
    X(RMSPROP_CENTERED_MOMENTUM, rmsprop_centered_momentum, "learning_rate,alpha,epsilon,momentum", 4, 3)         \
    X(ADADELTA, adadelta, "learning_rate,rho,epsilon", 3, 2)                                                      \
    X(AMSGRAD, amsgrad, "learning_rate,beta1,beta2,epsilon", 4, 3)                                                \
    X(ADAMAX, adamax, "learning_rate,beta1,beta2,epsilon", 4, 2)                                                  \
    X(NADAM, nadam, "learning_rate,beta1,beta2,epsilon,momentum_decay", 5, 2)                                     \
    X(RADAM, radam, "learning_rate,beta1,beta2,epsilon", 4, 2)                                                    \
    X(RPROP, rprop, "learning_rate,eta_minus,eta_plus,smallest_step,largest_step", 5, 2)                          \
    X(ASGD, asgd, "learning_rate,lambda,alpha,start", 4, 1)
#endif

#if defined(HPC_RULE_PREPARE)

// The number that a float was written as: the shortest decimal that is this float. 1 - 0.999f is off by 1e-5 of itself, which
// would be seen in every second moment; 1 - 0.999 is not.
inline double as_written(float x) {
    for (double digits = 10.0; digits < 1e9; digits *= 10.0) {
        const double decimal = std::nearbyint((double)x * digits) / digits;
        if ((float)decimal == x) return decimal;
    }
    return x;
}

inline void sgd_prepare(const float* hyperparameters, uint64_t step, float* h) {
    (void)step;
    h[0] = hyperparameters[0];
}

// h: learning rate, decay of the velocity, share of the gradient in it; the direction is h[3] velocity + h[4] gradient.
// The first velocity is the gradient itself, whatever the dampening.
inline void momentum_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double momentum = hyperparameters[1], dampening = as_written(hyperparameters[2]);
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
    const double beta1 = as_written(hyperparameters[1]), beta2 = as_written(hyperparameters[2]);
    const uint64_t count = step == 0 ? 1 : step;
    h[0] = (float)(as_written(hyperparameters[0]) / (1.0 - whole_power(beta1, count)));
    h[1] = (float)beta1;
    h[2] = (float)(1.0 - beta1);
    h[3] = (float)beta2;
    h[4] = (float)(1.0 - beta2);
    h[5] = (float)(1.0 / std::sqrt(1.0 - whole_power(beta2, count)));
    h[6] = hyperparameters[3];
}

inline void amsgrad_prepare(const float* hyperparameters, uint64_t step, float* h) { adam_prepare(hyperparameters, step, h); }

// h: learning rate / (1 + (step - 1) decay), initial accumulator, epsilon.
inline void adagrad_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double before = step == 0 ? 0.0 : (double)(step - 1);
    h[0] = (float)(as_written(hyperparameters[0]) / (1.0 + before * as_written(hyperparameters[1])));
    h[1] = hyperparameters[2];
    h[2] = hyperparameters[3];
}

// h: learning rate, alpha, 1 - alpha, epsilon, momentum.
inline void rmsprop_momentum_prepare(const float* hyperparameters, uint64_t step, float* h) {
    (void)step;
    const double alpha = as_written(hyperparameters[1]);
    h[0] = hyperparameters[0];
    h[1] = (float)alpha;
    h[2] = (float)(1.0 - alpha);
    h[3] = hyperparameters[2];
    h[4] = hyperparameters[3];
}

inline void rmsprop_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const float all[4] = {hyperparameters[0], hyperparameters[1], hyperparameters[2], 0.0f};
    rmsprop_momentum_prepare(all, step, h);
}

// h as for rmsprop, and alpha (1 - alpha).
inline void rmsprop_centered_momentum_prepare(const float* hyperparameters, uint64_t step, float* h) {
    rmsprop_momentum_prepare(hyperparameters, step, h);
    const double alpha = as_written(hyperparameters[1]);
    h[5] = (float)(alpha * (1.0 - alpha));
}

inline void rmsprop_centered_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const float all[4] = {hyperparameters[0], hyperparameters[1], hyperparameters[2], 0.0f};
    rmsprop_centered_momentum_prepare(all, step, h);
}

// h: learning rate, rho, 1 - rho, epsilon.
inline void adadelta_prepare(const float* hyperparameters, uint64_t step, float* h) {
    (void)step;
    const double rho = as_written(hyperparameters[1]);
    h[0] = hyperparameters[0];
    h[1] = (float)rho;
    h[2] = (float)(1.0 - rho);
    h[3] = hyperparameters[2];
}

// h: learning rate / (1 - beta1^step), beta1, 1 - beta1, beta2, epsilon.
inline void adamax_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double beta1 = as_written(hyperparameters[1]);
    h[0] = (float)(as_written(hyperparameters[0]) / (1.0 - whole_power(beta1, step == 0 ? 1 : step)));
    h[1] = (float)beta1;
    h[2] = (float)(1.0 - beta1);
    h[3] = hyperparameters[2];
    h[4] = hyperparameters[3];
}

// mu_t = beta1 (1 - 0.96^(t decay) / 2). h: the gradient's share lr (1 - mu_t) / (1 - mu_1 ... mu_t), beta1, 1 - beta1, beta2,
// 1 - beta2, 1 / sqrt(1 - beta2^t), epsilon, the moment's share lr mu_(t+1) / (1 - mu_1 ... mu_(t+1)).
inline void nadam_prepare(const float* hyperparameters, uint64_t step, float* h) {
    adam_prepare(hyperparameters, step, h);
    const uint64_t count = step == 0 ? 1 : step;
    const double rate = as_written(hyperparameters[0]), beta1 = as_written(hyperparameters[1]);
    const double base = std::exp(std::log(0.96) * as_written(hyperparameters[4]));
    // The product ends where 1 less it is 1: after a few hundred steps at the usual beta1.
    double power = 1.0, product = 1.0;
    for (uint64_t t = 1; t <= count && product > 1e-17; ++t) {
        power *= base;
        product *= beta1 * (1.0 - 0.5 * power);
    }
    power = whole_power(base, count);
    const double mu = beta1 * (1.0 - 0.5 * power), next = beta1 * (1.0 - 0.5 * power * base);
    h[0] = (float)(rate * (1.0 - mu) / (1.0 - product));
    h[7] = (float)(rate * next / (1.0 - product * next));
}

// h: the step's length, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, whether the variance counts. While the variance of the
// adaptive rate is intractable (rho_t <= 5) the step is lr m / (1 - beta1^t).
inline void radam_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double beta1 = as_written(hyperparameters[1]), beta2 = as_written(hyperparameters[2]);
    const uint64_t count = step == 0 ? 1 : step;
    const double power = whole_power(beta2, count), correction = 1.0 - power;
    const double most = 2.0 / (1.0 - beta2) - 1.0, rho = most - 2.0 * (double)count * power / correction;
    double length = as_written(hyperparameters[0]) / (1.0 - whole_power(beta1, count));
    const bool tractable = rho > 5.0;
    if (tractable) {
        length *= std::sqrt((rho - 4.0) * (rho - 2.0) * most / ((most - 4.0) * (most - 2.0) * rho)) * std::sqrt(correction);
    }
    h[0] = (float)length;
    h[1] = (float)beta1;
    h[2] = (float)(1.0 - beta1);
    h[3] = (float)beta2;
    h[4] = (float)(1.0 - beta2);
    h[5] = hyperparameters[3];
    h[6] = tractable ? 1.0f : 0.0f;
}

// h: the first step's length, eta-, eta+, smallest and largest step, direction.
inline void rprop_prepare(const float* hyperparameters, uint64_t step, float* h) {
    (void)step;
    h[0] = std::fabs(hyperparameters[0]);
    for (int i = 1; i < 5; ++i) h[i] = hyperparameters[i];
    h[5] = hyperparameters[0] < 0.0f ? -1.0f : 1.0f;
}

// eta = lr / (1 + lambda lr (t - 1))^alpha. h: eta (negative: climbing), 1 - lambda eta, the step's share of the average.
inline void asgd_prepare(const float* hyperparameters, uint64_t step, float* h) {
    const double rate = std::fabs(as_written(hyperparameters[0])), lambda = as_written(hyperparameters[1]);
    const double before = step == 0 ? 0.0 : (double)(step - 1);
    const double eta = rate / std::pow(1.0 + lambda * rate * before, as_written(hyperparameters[2]));
    const double averaged = before - (double)hyperparameters[3];
    h[0] = (float)(hyperparameters[0] < 0.0f ? -eta : eta);
    h[1] = (float)(1.0 - lambda * eta);
    h[2] = (float)(averaged > 1.0 ? 1.0 / averaged : 1.0);
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

// Reddi, Kale and Kumar 2018; the largest second moment is the uncorrected one, as PyTorch has it.
HPC_FORMULA void amsgrad_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s3;
    F m = FMA(H(1), *s0, H(2) * g);
    F v = FMA(H(3), *s1, (H(4) * g) * g);
    F largest = MAXK(v, *s2);
    *s0 = m;
    *s1 = v;
    *s2 = largest;
    *p = *p - (H(0) * m) / FMA(SQRT(largest), H(5), H(6));
}

// Duchi, Hazan and Singer 2011.
HPC_FORMULA void adagrad_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s1, (void)s2, (void)s3;
    F sum = FMA(g, g, *s0);
    *s0 = sum;
    *p = *p - (H(0) * g) / (SQRT(sum + H(1)) + H(2));
}

// Tieleman and Hinton 2012; epsilon is added to the root.
HPC_FORMULA void rmsprop_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s1, (void)s2, (void)s3;
    F v = FMA(H(1), *s0, (H(2) * g) * g);
    *s0 = v;
    *p = *p - (H(0) * g) / (SQRT(v) + H(3));
}

HPC_FORMULA void rmsprop_momentum_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F v = FMA(H(1), *s0, (H(2) * g) * g);
    F velocity = FMA(H(4), *s1, g / (SQRT(v) + H(3)));
    *s0 = v;
    *s1 = velocity;
    *p = FMA(K(0.0f) - H(0), velocity, *p);
}

// The variance of the gradient (Graves 2013) is kept as such: var = alpha var + alpha (1 - alpha) (g - mean)^2 is the same number
// as the mean of squares less the square of the mean, but is never the small difference of large ones, nor negative.
HPC_FORMULA void rmsprop_centered_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F away = g - *s1;
    F variance = FMA(H(1), *s0, (H(5) * away) * away);
    *s0 = variance;
    *s1 = FMA(H(2), away, *s1);
    *p = *p - (H(0) * g) / (SQRT(variance) + H(3));
}

HPC_FORMULA void rmsprop_centered_momentum_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s3;
    F away = g - *s1;
    F variance = FMA(H(1), *s0, (H(5) * away) * away);
    F velocity = FMA(H(4), *s2, g / (SQRT(variance) + H(3)));
    *s0 = variance;
    *s1 = FMA(H(2), away, *s1);
    *s2 = velocity;
    *p = FMA(K(0.0f) - H(0), velocity, *p);
}

// Zeiler 2012.
HPC_FORMULA void adadelta_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F v = FMA(H(1), *s0, (H(2) * g) * g);
    F delta = (SQRT(*s1 + H(3)) / SQRT(v + H(3))) * g;
    *s0 = v;
    *s1 = FMA(H(1), *s1, (H(2) * delta) * delta);
    *p = FMA(K(0.0f) - H(0), delta, *p);
}

// Kingma and Ba 2015, section 7.1; epsilon is added to the gradient's size, as PyTorch has it.
HPC_FORMULA void adamax_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F m = FMA(H(1), *s0, H(2) * g);
    F norm = MAXK(ABS(g) + H(4), H(3) * *s1);
    *s0 = m;
    *s1 = norm;
    *p = *p - (H(0) * m) / norm;
}

// Dozat 2016, as PyTorch has it.
HPC_FORMULA void nadam_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F m = FMA(H(1), *s0, H(2) * g);
    F v = FMA(H(3), *s1, (H(4) * g) * g);
    *s0 = m;
    *s1 = v;
    *p = *p - FMA(H(7), m, H(0) * g) / FMA(SQRT(v), H(5), H(6));
}

// Liu et al. 2020; epsilon is added to the uncorrected root, as PyTorch has it.
HPC_FORMULA void radam_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F m = FMA(H(1), *s0, H(2) * g);
    F v = FMA(H(3), *s1, (H(4) * g) * g);
    *s0 = m;
    *s1 = v;
    *p = *p - (H(0) * m) / SEL(LT(K(0.0f), H(6)), SQRT(v) + H(5), K(1.0f));
}

// Riedmiller and Braun 1993, without going back over a step, as PyTorch has it: s0 is the last gradient, s1 the step, 0 before
// the first. Signs are compared, not multiplied gradients, whose product may underflow.
HPC_FORMULA void rprop_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s2, (void)s3;
    F zero = K(0.0f), one = K(1.0f);
    F sign = SEL(LT(zero, g), one, SEL(LT(g, zero), K(-1.0f), zero));
    F before = SEL(LT(zero, *s0), one, SEL(LT(*s0, zero), K(-1.0f), zero));
    F agreement = sign * before;
    F length = SEL(EQ(*s1, zero), H(0), *s1);
    length = length * SEL(LT(zero, agreement), H(2), SEL(LT(agreement, zero), H(1), one));
    length = MINK(MAXK(length, H(3)), H(4));
    *s1 = length;
    *s0 = SEL(LT(agreement, zero), zero, g);
    *p = FMA(K(0.0f) - SEL(LT(agreement, zero), zero, sign), H(5) * length, *p);
}

// Polyak and Juditsky 1992, with the decaying rate of Bottou 2010, as PyTorch has it: s0 is the average.
HPC_FORMULA void asgd_update(F* p, F g, F* s0, F* s1, F* s2, F* s3, HYPER h) {
    (void)s1, (void)s2, (void)s3;
    F next = FMA(K(0.0f) - H(0), g, *p * H(1));
    *p = next;
    *s0 = SEL(LT(H(2), K(1.0f)), FMA(H(2), next - *s0, *s0), next);
}

#endif
