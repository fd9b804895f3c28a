// The activations: one table, and for each the value and the derivative, once. Enum order is table order (checked in
// src/tables.h); kernels, tests and hpc_get_activation_info come from the table.
//
// To add one: its enumerator at the end of hpc_activation in hpcnet.h, its row and its two formulas here, its C# name.
//
// A row is X(ENUMERATOR, name, keeps, parameters); `name` opens the names of two formulas:
//   F name_value(F x, F alpha, F beta)
//   F name_derivative(F k, F alpha, F beta)   k is the output if keeps is OUTPUT, else the input x
// NaN stays NaN in every value, and in the derivatives except where the formula is constant on either side (relu).
// Infinities give the limits: nothing but NaN becomes NaN. Derivatives at kinks follow PyTorch.
#ifndef HPC_ACTIVATIONS
#define HPC_ACTIVATIONS(X)                    \
    X(LINEAR, linear, NOTHING, 0)             \
    X(RELU, relu, OUTPUT, 0)                  \
    X(SIGMOID, sigmoid, OUTPUT, 0)            \
    X(TANH, tanh, OUTPUT, 0)                  \
    X(STEP, step, NOTHING, 0)                 \
    X(RELU6, relu6, OUTPUT, 0)                \
    X(LEAKY_RELU, leaky_relu, OUTPUT, 1)      \
    X(ELU, elu, OUTPUT, 1)                    \
    X(CELU, celu, OUTPUT, 1)                  \
    X(SELU, selu, OUTPUT, 0)                  \
    X(SOFTPLUS, softplus, DERIVATIVE, 2)      \
    X(SOFTSIGN, softsign, OUTPUT, 0)          \
    X(GELU, gelu, DERIVATIVE, 0)              \
    X(GELU_TANH, gelu_tanh, DERIVATIVE, 0)    \
    X(SILU, silu, DERIVATIVE, 0)              \
    X(MISH, mish, DERIVATIVE, 0)              \
    X(HARD_SIGMOID, hard_sigmoid, OUTPUT, 0)  \
    X(HARD_SWISH, hard_swish, DERIVATIVE, 0)  \
    X(HARD_TANH, hard_tanh, OUTPUT, 2)        \
    X(LOG_SIGMOID, log_sigmoid, OUTPUT, 0)    \
    X(TANHSHRINK, tanhshrink, DERIVATIVE, 0)
#endif

#if defined(HPC_FORMULA_OPS)

HPC_FORMULA F linear_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return x;
}
HPC_FORMULA F linear_derivative(F x, F alpha, F beta) {
    (void)x, (void)alpha, (void)beta;
    return K(1.0f);
}

// max(0, x), by a choice: a maximum would flush the denormals that the derivative is to tell from 0. The derivative at 0 is
// 0, and 1 at NaN, so that a NaN from above still shows.
HPC_FORMULA F relu_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(LT(x, K(0.0f)), K(0.0f), x);
}
HPC_FORMULA F relu_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(LE(y, K(0.0f)), hpc_where_positive(y, K(1.0f), K(0.0f)), K(1.0f));
}

// 1 / (1 + e^-x)
HPC_FORMULA F sigmoid_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_sigmoid(x);
}
HPC_FORMULA F sigmoid_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return y * (K(1.0f) - y);
}

HPC_FORMULA F tanh_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_tanh(x);
}
HPC_FORMULA F tanh_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return FMA(K(0.0f) - y, y, K(1.0f));
}

// 1 above 0, else 0: the threshold unit of the perceptron (Rosenblatt 1958).
HPC_FORMULA F step_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(EQ(x, x), hpc_where_positive(x, K(1.0f), K(0.0f)), x);
}
HPC_FORMULA F step_derivative(F x, F alpha, F beta) {
    (void)x, (void)alpha, (void)beta;
    return K(0.0f);
}

// min(max(0, x), 6)
HPC_FORMULA F relu6_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(LT(x, K(0.0f)), K(0.0f), SEL(LT(K(6.0f), x), K(6.0f), x));
}
HPC_FORMULA F relu6_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_where_positive(y, SEL(LT(y, K(6.0f)), K(1.0f), K(0.0f)), K(0.0f));
}

// x above 0, alpha x below; alpha >= 0, so that the output's sign tells the side.
HPC_FORMULA F leaky_relu_value(F x, F alpha, F beta) {
    (void)beta;
    return SEL(LT(x, K(0.0f)), alpha * x, x);
}
HPC_FORMULA F leaky_relu_derivative(F y, F alpha, F beta) {
    (void)beta;
    return hpc_where_positive(y, K(1.0f), alpha);
}

// x above 0, alpha (e^x - 1) below, alpha >= 0 (Clevert et al. 2016).
HPC_FORMULA F elu_value(F x, F alpha, F beta) {
    (void)beta;
    return SEL(LT(x, K(0.0f)), alpha * expm1_falling(x), x);
}
HPC_FORMULA F elu_derivative(F y, F alpha, F beta) {
    (void)beta;
    return hpc_where_positive(y, K(1.0f), y + alpha);
}

// x above 0, alpha (e^(x / alpha) - 1) below, alpha > 0 (Barron 2017).
HPC_FORMULA F celu_value(F x, F alpha, F beta) {
    (void)beta;
    return SEL(LT(x, K(0.0f)), alpha * expm1_falling(x * (K(1.0f) / alpha)), x);
}
HPC_FORMULA F celu_derivative(F y, F alpha, F beta) {
    (void)beta;
    return hpc_where_positive(y, K(1.0f), FMA(y, K(1.0f) / alpha, K(1.0f)));
}

// ELU times 1.0507 with alpha = 1.6733, which keep mean 0 and variance 1 (Klambauer et al. 2017). A positive number whose
// product is flushed stays as it is: its sign tells the side.
HPC_FORMULA F selu_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F y = K(1.05070102f) * x;
    return SEL(LT(x, K(0.0f)), K(1.75809932f) * expm1_falling(x), SEL(LT(K(0.0f), y), y, x));
}
HPC_FORMULA F selu_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_where_positive(y, K(1.05070102f), y + K(1.75809932f));
}

// log(1 + e^(alpha x)) / alpha, and x itself where alpha x is above the threshold beta; alpha is PyTorch's beta, alpha > 0.
// What the product loses counts |alpha x| times below 0: it comes back with the derivative.
HPC_FORMULA F softplus_value(F x, F alpha, F beta) {
    F z = alpha * x;
    F e = exp_falling(K(0.0f) - ABS(z));
    F low = FMA(alpha, x, K(0.0f) - z);
    F y = FMA(SEL(LT(ABS(low), K(1.0f)), low, K(0.0f)), sigmoid_of(z, e, K(1.0f) / (K(1.0f) + e)), hpc_softplus(z));
    return SEL(LT(beta, z), x, y * (K(1.0f) / alpha));
}
HPC_FORMULA F softplus_derivative(F x, F alpha, F beta) {
    F z = alpha * x;
    F e = exp_falling(K(0.0f) - ABS(z));
    return SEL(LT(beta, z), K(1.0f), sigmoid_of(z, e, K(1.0f) / (K(1.0f) + e)));
}

// x / (1 + |x|); from 2^25 on the result is 1.
HPC_FORMULA F softsign_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F a = MINK(ABS(x), K(1e10f));
    return COPYSIGN(a / (K(1.0f) + a), x);
}
HPC_FORMULA F softsign_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    F d = K(1.0f) - ABS(y);
    return d * d;
}

// x times the normal distribution's probability below x (Hendrycks and Gimpel 2016). Beyond 15 the tail is 0 in float32; the
// bound keeps infinity away from that 0.
HPC_FORMULA F gelu_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F c = MINK(MAXK(x, K(-15.0f)), K(15.0f));
    F tail = hpc_gauss(c) * hpc_normal_tail(ABS(c));
    return SEL(LT(x, K(0.0f)), c * tail, x * (K(1.0f) - tail));
}
HPC_FORMULA F gelu_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F c = MINK(MAXK(x, K(-15.0f)), K(15.0f));
    F e = hpc_gauss(c);
    F tail = e * hpc_normal_tail(ABS(c));
    F below = SEL(LT(x, K(0.0f)), tail, K(1.0f) - tail);
    // 1 / sqrt(2 pi)
    return FMA(c * K(0.398942292f), e, below);
}

// e^-v for v = |c| (p + q c^2), p = 2 sqrt(2 / pi), q = 0.044715 p, |c| <= 12: the exponent is a sum of two floats, and so
// are p and q, since what it loses counts up to 100 times.
HPC_FORMULA F gelu_tanh_exponential(F c) {
    F a = ABS(c);
    F s = a * a;
    F s_low = FMA(a, a, K(0.0f) - s);
    F t = K(0.0713548139f) * s;
    F t_low = FMA(K(0.0713548139f), s, K(0.0f) - t);
    F w = K(1.59576917f) + t;
    F part = w - t;
    F w_low = (t - (w - part)) + (K(1.59576917f) - part);
    w_low = w_low + (t_low + FMA(K(0.0713548139f), s_low, FMA(K(2.3988324e-09f), s, K(-4.53406803e-08f))));
    F v = a * w;
    F v_low = FMA(a, w_low, FMA(a, w, K(0.0f) - v));
    F e = exp_bounded(K(0.0f) - v);
    return FMA(K(0.0f) - e, v_low, e);
}

// GELU with tanh for the distribution: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 = x sigmoid(v).
HPC_FORMULA F gelu_tanh_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F c = MINK(MAXK(x, K(-12.0f)), K(12.0f));
    F e = gelu_tanh_exponential(c);
    F d = K(1.0f) / (K(1.0f) + e);
    return SEL(LT(x, K(0.0f)), c * (e * d), x * d);
}
HPC_FORMULA F gelu_tanh_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F c = MINK(MAXK(x, K(-12.0f)), K(12.0f));
    F e = gelu_tanh_exponential(c);
    F d = K(1.0f) / (K(1.0f) + e);
    // sigmoid'(v) = e d^2, and v' = p + 3 q c^2
    F slope = FMA(K(0.214064449f), c * c, K(1.59576917f));
    return FMA(c * slope, (e * d) * d, sigmoid_of(x, e, d));
}

// x sigmoid(x), called swish as well (Ramachandran et al. 2017). e^-105 is 0 in float32.
HPC_FORMULA F silu_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F a = MINK(ABS(x), K(105.0f));
    F e = exp_bounded(K(0.0f) - a);
    F d = K(1.0f) / (K(1.0f) + e);
    return SEL(LT(x, K(0.0f)), (K(0.0f) - a) * (e * d), x * d);
}
HPC_FORMULA F silu_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F a = MINK(ABS(x), K(105.0f));
    F e = exp_bounded(K(0.0f) - a);
    F d = K(1.0f) / (K(1.0f) + e);
    return FMA(COPYSIGN(a, x), (e * d) * d, sigmoid_of(x, e, d));
}

// x tanh(log(1 + e^x)) (Misra 2019). With e = e^-|x| the tanh is m / n, m = e (e + 2), n = m + 2 below 0, and m = 1 + 2 e,
// n = m + 2 e^2 above; its derivative is 4 e (1 + e) / n^2 below 0, and e times that above.
HPC_FORMULA F mish_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F a = MINK(ABS(x), K(105.0f));
    F e = exp_bounded(K(0.0f) - a);
    F m = SEL(LT(x, K(0.0f)), e * (e + K(2.0f)), FMA(K(2.0f), e, K(1.0f)));
    F n = SEL(LT(x, K(0.0f)), m + K(2.0f), FMA(e + e, e, m));
    F r = K(1.0f) / n;
    return SEL(LT(x, K(0.0f)), K(0.0f) - a, x) * (m * r);
}
HPC_FORMULA F mish_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F a = MINK(ABS(x), K(105.0f));
    F e = exp_bounded(K(0.0f) - a);
    F m = SEL(LT(x, K(0.0f)), e * (e + K(2.0f)), FMA(K(2.0f), e, K(1.0f)));
    F n = SEL(LT(x, K(0.0f)), m + K(2.0f), FMA(e + e, e, m));
    F r = K(1.0f) / n;
    F q = (K(4.0f) * e) * (K(1.0f) + e);
    F slope = (SEL(LT(x, K(0.0f)), q, q * e) * r) * r;
    return FMA(COPYSIGN(a, x), slope, m * r);
}

// max(0, 3 - |x|) / 6: what hard sigmoid has below 0, and lacks to 1 above. Nothing is lost near the kinks at 3 and -3.
HPC_FORMULA F hard_tail(F x) { return MAXK(K(3.0f) - ABS(x), K(0.0f)) * K(0.166666672f); }

// min(max(0, x + 3), 6) / 6
HPC_FORMULA F hard_sigmoid_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F u = hard_tail(x);
    return SEL(LT(x, K(0.0f)), u, K(1.0f) - u);
}
HPC_FORMULA F hard_sigmoid_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(LT(K(0.0f), y), SEL(LT(y, K(1.0f)), K(0.166666672f), K(0.0f)), K(0.0f));
}

// x hard_sigmoid(x) (Howard et al. 2019)
HPC_FORMULA F hard_swish_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F u = hard_tail(x);
    return SEL(LT(x, K(0.0f)), MAXK(x, K(-3.0f)) * u, x * (K(1.0f) - u));
}
HPC_FORMULA F hard_swish_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F slope = FMA(x, K(0.333333343f), K(0.5f));
    return SEL(LT(x, K(-3.0f)), K(0.0f), SEL(LE(K(3.0f), x), K(1.0f), slope));
}

// min(max(alpha, x), beta)
HPC_FORMULA F hard_tanh_value(F x, F alpha, F beta) {
    return SEL(LT(x, alpha), alpha, SEL(LT(beta, x), beta, x));
}
HPC_FORMULA F hard_tanh_derivative(F y, F alpha, F beta) {
    return SEL(LT(alpha, y), SEL(LT(y, beta), K(1.0f), K(0.0f)), K(0.0f));
}

// log(1 / (1 + e^-x)); the derivative is 1 - e^y.
HPC_FORMULA F log_sigmoid_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return K(0.0f) - hpc_softplus(K(0.0f) - x);
}
HPC_FORMULA F log_sigmoid_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return K(0.0f) - expm1_falling(y);
}

// x - tanh x; the derivative is the square of tanh x.
HPC_FORMULA F tanhshrink_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return hpc_tanhshrink(x);
}
HPC_FORMULA F tanhshrink_derivative(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    F t = hpc_tanh(x);
    return t * t;
}

// ---- PReLU: an activation with a parameter, and so an instruction of its own (He et al. 2015) --------------------------

// x above 0, slope x below, at NaN too.
HPC_FORMULA F prelu_value(F x, F slope) { return hpc_where_positive(x, x, slope * x); }
// d/dx
HPC_FORMULA F prelu_derivative(F x, F slope) { return hpc_where_positive(x, K(1.0f), slope); }
// d/dslope
HPC_FORMULA F prelu_slope_derivative(F x) { return hpc_where_positive(x, K(0.0f), x); }

#endif
