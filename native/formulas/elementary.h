// Elementary functions over float32, without branches. Largest errors over all 2^32 inputs, as measured by
// tests/exhaustive/ulp_all.cpp in units of the last place: exp 0.89, log 0.80, log1p 1.38, tanh 1.31, expm1 1.44, sigmoid
// 2.48; the tests hold 2.5 for the sigmoid and 1.5 for the others, and what formula_isas.h says for the rest. Zeros, infinities
// and NaN give what the C library gives; denormal results may be flushed.
//
// log1p and expm1 are for all arguments; formulas that know more of theirs take log1p_unit, log_of_rest, expm1_falling.
//
// The polynomials are minimax fits (Lawson iteration, coefficients rounded one after the other and the rest fitted
// again). To add a function: its formula here, a row of HPC_ELEMENTARY and two cases in tests/formula_isas.h.

// 1.5 * 2^23: adding it leaves no bits behind the point, and the whole number in the sum's low bits.
#define HPC_WHOLE 12582912.0f

// What is left of x after its nearest multiple n of ln 2, |r| <= ln(2) / 2. ln 2 is the difference of a float and a
// small float, and both products are exact inside the FMA.
HPC_FORMULA F reduce_ln2(F x, F n) { return FMA(n, K(1.904654299957681e-9f), FMA(n, K(-0.693147182464599609f), x)); }

// e^r = 1 + r + r^2 q(r) for |r| <= ln(2) / 2, to 2^-28
HPC_FORMULA F exp_square_part(F r) {
    F q = K(0.0013820136f);
    q = FMA(q, r, K(0.008368686f));
    q = FMA(q, r, K(0.041668274f));
    q = FMA(q, r, K(0.16666521f));
    return FMA(q, r, K(0.49999994f));
}
HPC_FORMULA F exp_reduced(F r) { return FMA(FMA(exp_square_part(r), r, K(1.0f)), r, K(1.0f)); }

// e^r - 1 for |r| <= ln(2) / 2: r + r^2 q(r), with its own relative accuracy.
HPC_FORMULA F expm1_reduced(F r) {
    F q = K(0.00019760783f);
    q = FMA(q, r, K(0.001393232f));
    q = FMA(q, r, K(0.008333547f));
    q = FMA(q, r, K(0.041666493f));
    q = FMA(q, r, K(0.16666666f));
    q = FMA(q, r, K(0.5f));
    return FMA(r * r, q, r);
}

// 2^n from n + HPC_WHOLE, -126 <= n <= 127
HPC_FORMULA F power_of_two(F whole) { return FROM_BITS(SHL(BITS(whole) + KI(127), 23)); }

// e^x for |x| <= 170
HPC_FORMULA F exp_bounded(F x) {
    F n = FMA(x, K(1.44269504f), K(HPC_WHOLE)) - K(HPC_WHOLE);
    return LDEXP(exp_reduced(reduce_ln2(x, n)), n);
}

// The bounds keep n small; e^-104 rounds to zero and e^89 to infinity.
HPC_FORMULA F hpc_exp(F x) { return exp_bounded(MINK(MAXK(x, K(-104.0f)), K(89.0f))); }

// e^x where x is not above 0
HPC_FORMULA F exp_falling(F x) { return exp_bounded(MAXK(x, K(-104.0f))); }

// log(1 + f) + e ln 2 for sqrt(1/2) - 1 <= f <= sqrt(2) - 1 and integral e: f - f^2 / 2 + f^3 p(f).
HPC_FORMULA F log_reduced(F f, F e) {
    F z = f * f;
    F p = K(0.06749235f);
    p = FMA(p, f, K(-0.116700865f));
    p = FMA(p, f, K(0.11883553f));
    p = FMA(p, f, K(-0.12406235f));
    p = FMA(p, f, K(0.14220358f));
    p = FMA(p, f, K(-0.16667989f));
    p = FMA(p, f, K(0.20002072f));
    p = FMA(p, f, K(-0.2500001f));
    p = FMA(p, f, K(0.33333313f));
    p = FMA(e, K(-1.904654299957681e-9f), (p * f) * z);
    p = FMA(K(-0.5f), z, p);
    return FMA(e, K(0.693147182464599609f), f + p);
}

// -infinity at 0, NaN below; infinity and NaN stay.
HPC_FORMULA F log_special(F x, F y) {
    F above = SEL(LT(x, K(HUGE_VALF)), y, x);
    return SEL(LE(x, K(0.0f)), SEL(EQ(x, K(0.0f)), K(-HUGE_VALF), K(NAN)), above);
}

HPC_FORMULA F hpc_log(F x) {
    // Denormals are brought up by 2^23 first.
    F tiny = SEL(LT(x, K(1.17549435e-38f)), K(23.0f), K(0.0f));
    F u = SEL(LT(x, K(1.17549435e-38f)), x * K(8388608.0f), x);
    // 0x3f3504f3 is the float nearest to sqrt(1/2): the mantissa is taken between it and twice it.
    INTS exponent = SAR(BITS(u) - KI(0x3f3504f3), 23);
    F m = FROM_BITS(BITS(u) - SHL(exponent, 23));
    return log_special(x, log_reduced(m - K(1.0f), TO_FLOAT(exponent) - tiny));
}

// log x where x is a normal number above 0, anything elsewhere
HPC_FORMULA F log_of_normal(F x) {
    INTS exponent = SAR(BITS(x) - KI(0x3f3504f3), 23);
    F m = FROM_BITS(BITS(x) - SHL(exponent, 23));
    return log_reduced(m - K(1.0f), TO_FLOAT(exponent));
}

// log(1 - x) for 0 <= x < 1, anything elsewhere, with u = 1 - x: as hpc_log1p, but 2^-e needs no second factor.
HPC_FORMULA F log_of_rest(F x, F u) {
    INTS exponent = SAR(BITS(u) - KI(0x3f3504f3), 23);
    F s = FROM_BITS(SHL(KI(127) - exponent, 23));
    return log_reduced(FMA(K(0.0f) - x, s, s - K(1.0f)), TO_FLOAT(exponent));
}

// 1 + x = 2^e (1 + f), so f = x 2^-e + (2^-e - 1), which is exact enough without knowing what 1 + x lost.
HPC_FORMULA F hpc_log1p(F x) {
    F u = K(1.0f) + x;
    INTS exponent = SAR(BITS(u) - KI(0x3f3504f3), 23);
    // 2^-e in two factors: e reaches 128.
    INTS half_exponent = SAR(exponent, 1);
    F s = FROM_BITS(SHL(KI(127) - half_exponent, 23));
    F t = FROM_BITS(SHL(KI(127) - (exponent - half_exponent), 23));
    F f = FMA(x * s, t, s * t - K(1.0f));
    F y = log_special(u, log_reduced(f, TO_FLOAT(exponent)));
    // Keeps the sign of zero, and what is too small to matter.
    return SEL(LT(ABS(x), K(1e-9f)), x, y);
}

// 1 - 2 / (e^(2 |x|) + 1), of which the rounding errors come into the result halved at most; below 0.56, where it would cancel,
// |x| plus its cube times a polynomial in the square. From 10 on the result is 1.
HPC_FORMULA F hpc_tanh(F x) {
    F a = MINK(ABS(x), K(10.0f));
    F c = a + a;
    F whole = FMA(c, K(1.44269504f), K(HPC_WHOLE));
    F scale = power_of_two(whole);
    F r = reduce_ln2(c, whole - K(HPC_WHOLE));
    F large = K(1.0f) - K(2.0f) / FMA(scale, FMA(r * r, exp_square_part(r), r), scale + K(1.0f));
    F z = a * a;
    F q = K(-0.00654254202f);
    q = FMA(q, z, K(0.0212727487f));
    q = FMA(q, z, K(-0.0539033487f));
    q = FMA(q, z, K(0.133330822f));
    q = FMA(q, z, K(-0.333333313f));
    return COPYSIGN(SEL(LT(a, K(0.56f)), FMA(q * z, a, a), large), x);
}
HPC_FORMULA F hpc_sigmoid(F x) { return K(1.0f) / (K(1.0f) + hpc_exp(K(0.0f) - x)); }

// The standard normal quantile of the middle of a 24-bit uniform number's interval, u + 2^-25: sqrt(2) erfinv(x) with
// x = 2 u - 1 + 2^-24, by the two polynomials in w = -log(1 - x^2) of Giles (Approximating the erfinv function, GPU
// Computing Gems 2, 2011). x is exact and never 0 or 1, so that the result stays within +-5.5. Relative error below 1e-6.
HPC_FORMULA F hpc_normal_of_uniform(F u) {
    F x = FMA(K(2.0f), u, K(-1.0f)) + K(5.9604644775390625e-8f);
    F w = K(0.0f) - log_of_normal((K(1.0f) - x) * (K(1.0f) + x));
    F a = w - K(2.5f);
    F p = K(2.81022636e-08f);
    p = FMA(p, a, K(3.43273939e-07f));
    p = FMA(p, a, K(-3.5233877e-06f));
    p = FMA(p, a, K(-4.39150654e-06f));
    p = FMA(p, a, K(0.00021858087f));
    p = FMA(p, a, K(-0.00125372503f));
    p = FMA(p, a, K(-0.00417768164f));
    p = FMA(p, a, K(0.246640727f));
    p = FMA(p, a, K(1.50140941f));
    F b = SQRT(w) - K(3.0f);
    F q = K(-0.000200214257f);
    q = FMA(q, b, K(0.000100950558f));
    q = FMA(q, b, K(0.00134934322f));
    q = FMA(q, b, K(-0.00367342844f));
    q = FMA(q, b, K(0.00573950773f));
    q = FMA(q, b, K(-0.0076224613f));
    q = FMA(q, b, K(0.00943887047f));
    q = FMA(q, b, K(1.00167406f));
    q = FMA(q, b, K(2.83297682f));
    return SEL(LT(w, K(5.0f)), p, q) * x * K(1.41421356f);
}

// s where x > 0, else t; NaN is not above 0. By the bits: a processor that takes denormals for zeros compares the smallest
// positive numbers as equal to 0, and they belong to the right side of a kink all the same.
HPC_FORMULA F hpc_where_positive(F x, F s, F t) {
    F word = TO_FLOAT(BITS(x));
    // 2139095040 is the word of infinity; what lies above is NaN.
    return SEL(LT(K(0.0f), word), SEL(LE(word, K(2139095040.0f)), s, t), t);
}

// e^x - 1 without cancellation. Half of it is what is computed: 2^n itself would overflow before the result does.
HPC_FORMULA F hpc_expm1(F x) {
    F c = MINK(MAXK(x, K(-104.0f)), K(89.0f));
    F n = FMA(c, K(1.44269504f), K(HPC_WHOLE)) - K(HPC_WHOLE);
    F s = LDEXP(K(0.5f), n);
    F y = FMA(s, expm1_reduced(reduce_ln2(c, n)), s - K(0.5f));
    // Keeps the sign of zero.
    return SEL(LT(ABS(x), K(1e-8f)), x, y + y);
}

// e^x - 1 where x is below 0, anything above. From -20 down the result is -1.
HPC_FORMULA F expm1_falling(F x) {
    F c = MAXK(x, K(-20.0f));
    F whole = FMA(c, K(1.44269504f), K(HPC_WHOLE));
    F s = power_of_two(whole);
    return FMA(s, expm1_reduced(reduce_ln2(c, whole - K(HPC_WHOLE))), s - K(1.0f));
}

// log(1 + e) for 0 <= e <= 1: e + e^2 q(e).
HPC_FORMULA F log1p_unit(F e) {
    F q = K(-0.0033065376f);
    q = FMA(q, e, K(0.020150332f));
    q = FMA(q, e, K(-0.057561528f));
    q = FMA(q, e, K(0.10670013f));
    q = FMA(q, e, K(-0.15349098f));
    q = FMA(q, e, K(0.19693193f));
    q = FMA(q, e, K(-0.24958156f));
    q = FMA(q, e, K(0.3333047f));
    q = FMA(q, e, K(-0.4999993f));
    return FMA(e * e, q, e);
}

// log(1 + e^x)
HPC_FORMULA F hpc_softplus(F x) { return MAXK(x, K(0.0f)) + log1p_unit(exp_falling(K(0.0f) - ABS(x))); }

// 1 / (1 + e^-x) from e = e^-|x| and d = 1 / (1 + e): neither side cancels or overflows.
HPC_FORMULA F sigmoid_of(F x, F e, F d) { return SEL(LT(x, K(0.0f)), e * d, d); }

// e^(-x^2 / 2), |x| <= 15, with what the square loses: the exponent would make 50 times as much of it.
HPC_FORMULA F hpc_gauss(F x) {
    F s = x * x;
    F e = exp_bounded(K(-0.5f) * s);
    return FMA(e * K(-0.5f), FMA(x, x, K(0.0f) - s), e);
}

// The normal distribution's probability above a, divided by e^(-a^2 / 2), for 0 <= a <= 15: that is erfcx(a / sqrt 2) / 2, a
// smooth function without cancellation. A polynomial in (3.5 - a) / (3.5 + a), times 1 / (3.5 + a): t is that reciprocal, and
// t rest what its roundings lose.
HPC_FORMULA F hpc_normal_tail(F a) {
    F s = a + K(3.5f);
    F t = K(1.0f) / s;
    F rest = FMA(K(0.0f) - s, t, K(1.0f)) - (a - (s - K(3.5f))) * t;
    F u = FMA(K(7.0f) * t, rest, FMA(K(7.0f), t, K(-1.0f)));
    F q = K(-0.000100462748f);
    q = FMA(q, u, K(0.00041245023f));
    q = FMA(q, u, K(0.000480794988f));
    q = FMA(q, u, K(-0.00316354074f));
    q = FMA(q, u, K(-0.00648610946f));
    q = FMA(q, u, K(0.0174017232f));
    q = FMA(q, u, K(0.116051622f));
    q = FMA(q, u, K(0.315425664f));
    q = FMA(q, u, K(0.565561831f));
    q = FMA(q, u, K(0.744416058f));
    F p = q * t;
    return FMA(p, rest, p);
}

// x - tanh x, which cancels below 1: there x^3 times a polynomial in x^2.
HPC_FORMULA F hpc_tanhshrink(F x) {
    F z = x * x;
    F q = K(2.46699019e-05f);
    q = FMA(q, z, K(-0.000230428908f));
    q = FMA(q, z, K(0.00104754965f));
    q = FMA(q, z, K(-0.00329926494f));
    q = FMA(q, z, K(0.00874057226f));
    q = FMA(q, z, K(-0.02184394f));
    q = FMA(q, z, K(0.0539668649f));
    q = FMA(q, z, K(-0.133333519f));
    q = FMA(q, z, K(0.333333343f));
    return SEL(LT(ABS(x), K(1.25f)), (x * z) * q, x - hpc_tanh(x));
}
