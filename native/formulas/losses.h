// The elementwise losses of a prediction p and a target t: one table, and for each the value and its derivative by p,
// once. Enum order is table order (checked in src/tables.h).
//
// To add one: its enumerator at the end of hpc_loss in hpcnet.h, its row and its two formulas here, its C# name.
//
// A row is X(ENUMERATOR, name, parameters); `name` opens the names of two formulas:
//   F name_value(F p, F t, F alpha, F beta)
//   F name_derivative(F p, F t, F alpha, F beta)
#ifndef HPC_LOSSES
#define HPC_LOSSES(X) X(SQUARED_ERROR, squared_error, 0)
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

#endif
