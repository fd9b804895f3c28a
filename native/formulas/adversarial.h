// The fast gradient sign method's step (Goodfellow et al. 2015): x goes epsilon uphill along the sign of its derivative, and stays in
// [low, high]. A derivative of 0, or one that is NaN, moves nothing.
#if defined(HPC_FORMULA_OPS)

HPC_FORMULA F fast_gradient_sign_step(F x, F gradient, F epsilon, F low, F high) {
    F step = SEL(LT(K(0.0f), gradient), epsilon, SEL(LT(gradient, K(0.0f)), K(0.0f) - epsilon, K(0.0f)));
    return MINK(MAXK(x + step, low), high);
}

#endif
