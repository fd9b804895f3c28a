// Normalization of one element, and its derivative. A mean is two numbers, what float holds of it and what rounding took from it,
// so that data far from 0 lose nothing: the first difference is exact for neighbours.
//
//   normalized_value(x, mean, rest, scale)   n = (x - mean - rest) * scale, scale = 1 / sqrt(variance + epsilon)
//   affine_value(n, weight, bias)            y = n weight + bias
//   normalized_gradient(g, n, mean_g, mean_gn, scale)
//                                            dx = (g - mean_g - n mean_gn) * scale; g is the gradient of n, or of y where scale has the
//                                            weight in it
#if defined(HPC_FORMULA_OPS)

HPC_FORMULA F normalized_value(F x, F mean, F rest, F scale) { return ((x - mean) - rest) * scale; }

HPC_FORMULA F affine_value(F n, F weight, F bias) { return FMA(n, weight, bias); }

HPC_FORMULA F normalized_gradient(F g, F n, F mean_g, F mean_gn, F scale) { return FMA(-n, mean_gn, g - mean_g) * scale; }

#endif
