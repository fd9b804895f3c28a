// The named operations that the formulas are written with (formulas/ops.h describes them), for OpenCL C 1.2: F is float,
// integers wrap. Built without -cl-fast-relaxed-math and behind `#pragma OPENCL FP_CONTRACT OFF`, the formulas give the
// bits of the CPU's kernels where the device divides and takes roots correctly rounded
// (-cl-fp32-correctly-rounded-divide-sqrt) and does not flush what they do not flush.
#ifndef HPC_FORMULA_OPS
#define HPC_FORMULA_OPS 1

typedef float F;
typedef uint INTS;  // shifts and comparisons that want a sign say so; unsigned because signed overflow has no meaning in C
#define HPC_FORMULA static inline
#define K(c) (c)
#define KI(i) ((uint)(i))
#define FMA(a, b, c) fma(a, b, c)
#define SEL(m, a, b) ((m) ? (a) : (b))
#define LT(a, b) ((a) < (b))
#define LE(a, b) ((a) <= (b))
#define EQ(a, b) ((a) == (b))
#define MINK(a, k) hpc_min_keep(a, k)
#define MAXK(a, k) hpc_max_keep(a, k)
#define ABS(a) fabs(a)
#define COPYSIGN(a, s) copysign(a, s)
#define SQRT(a) sqrt(a)
#define LDEXP(a, n) hpc_ldexp(a, n)
#define BITS(a) as_uint(a)
#define FROM_BITS(i) as_float(i)
#define TO_FLOAT(i) ((float)(int)(i))
#define SHL(i, n) ((i) << (n))
#define SAR(i, n) ((uint)((int)(i) >> (n)))
#define HYPER const float*
#define H(i) h[i]

// fmin and fmax would drop a NaN.
HPC_FORMULA F hpc_min_keep(F a, F k) { return k < a ? k : a; }
HPC_FORMULA F hpc_max_keep(F a, F k) { return k > a ? k : a; }

// Two factors, each a normal number, of which only the second can round. 1.5 * 2^23: adding it leaves no bits behind the point, and
// the whole number in the sum's low bits.
HPC_FORMULA F hpc_ldexp(F x, F n) {
    uint whole = as_uint(n + 12582912.0f) - as_uint(12582912.0f);
    uint half_of = (uint)((int)whole >> 1);
    return (x * as_float((half_of + 127u) << 23)) * as_float((whole - half_of + 127u) << 23);
}

#endif
