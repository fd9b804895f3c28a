// The named operations that the formulas are written with, for C++ over a vector class V (src/cpu/simd.h) or anything
// with the same members. The formulas (elementary.h, activations.h, losses.h, rules.h) use nothing else but + - * / and
// each other, so that another header with these names (OpenCL C: F a typedef, the rest built-ins) reads the same text.
//
//   HPC_FORMULA              opens a formula; F is the number type, INTS its 32-bit integers
//   K(c), KI(i)              constants
//   FMA(a, b, c)             a b + c, rounded once
//   SEL(m, a, b)             m ? a : b, lane by lane
//   LT LE EQ (a, b)          comparisons; false where an operand is NaN
//   MINK(a, k), MAXK(a, k)   min and max that return a where a is NaN
//   ABS, COPYSIGN(a, s), SQRT
//   LDEXP(a, n)              a 2^n, n integral, |n| < 250, as two powers of two
//   BITS, FROM_BITS, TO_FLOAT, SHL(i, n), SAR(i, n)   float <-> integer bits, integer -> float, shifts
//   HYPER, H(i)              a rule's prepared hyperparameters: the parameter's type, the i-th one
//
// Included inside the namespace of an instruction set, like simd.h, and for that reason without a guard.

#define HPC_FORMULA_OPS 1
#define HPC_FORMULA    \
    template <class F> \
    HPC_INLINE
#define INTS typename F::Int
#define K(c) F::broadcast(c)
#define KI(i) F::Int::broadcast(i)
#define FMA(a, b, c) fma(a, b, c)
#define SEL(m, a, b) select(m, a, b)
#define LT(a, b) less(a, b)
#define LE(a, b) less_equal(a, b)
#define EQ(a, b) equal(a, b)
#define MINK(a, k) min_keep(a, k)
#define MAXK(a, k) max_keep(a, k)
#define ABS(a) abs(a)
#define COPYSIGN(a, s) copysign(a, s)
#define SQRT(a) sqrt(a)
#define LDEXP(a, n) ldexp(a, n)
#define BITS(a) bits(a)
#define FROM_BITS(i) from_bits(i)
#define TO_FLOAT(i) to_float(i)
#define SHL(i, n) shift_left<n>(i)
#define SAR(i, n) shift_right_signed<n>(i)
#define HYPER const float*
#define H(i) F::broadcast(h[i])
