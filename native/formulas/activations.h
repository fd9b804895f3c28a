// The activations: one table, and for each the value and the derivative, once. Enum order is table order (checked in
// src/tables.h); kernels, tests and hpc_get_activation_info come from the table.
//
// To add one: its enumerator at the end of hpc_activation in hpcnet.h, its row and its two formulas here, its C# name.
//
// A row is X(ENUMERATOR, name, keeps, parameters); `name` opens the names of two formulas:
//   F name_value(F x, F alpha, F beta)
//   F name_derivative(F k, F alpha, F beta)   k is the output if keeps is OUTPUT, else the input x
// NaN stays NaN in every value, and in the derivatives except where the formula is constant on either side (relu).
#ifndef HPC_ACTIVATIONS
#define HPC_ACTIVATIONS(X)         \
    X(LINEAR, linear, NOTHING, 0)  \
    X(RELU, relu, OUTPUT, 0)       \
    X(SIGMOID, sigmoid, OUTPUT, 0) \
    X(TANH, tanh, OUTPUT, 0)
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

// max(0, x); the derivative at 0 is 0, and 1 at NaN, so that a NaN from above still shows.
HPC_FORMULA F relu_value(F x, F alpha, F beta) {
    (void)alpha, (void)beta;
    return MAXK(x, K(0.0f));
}
HPC_FORMULA F relu_derivative(F y, F alpha, F beta) {
    (void)alpha, (void)beta;
    return SEL(LE(y, K(0.0f)), K(0.0f), K(1.0f));
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

#endif
