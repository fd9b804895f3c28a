// What tensor cores do, in NVIDIA's PTX instructions: numbers rounded to the format that they multiply (HPC_PRECISION 1: TF32, 2:
// BFloat16, as hpc_precision has them), products of small matrices, copies from global to local memory that go past the registers.
//
//   TF32      1 sign, 8 exponent, 10 fraction bits in a 32-bit word; to the nearest, ties away from zero
//   BFloat16  1 sign, 8 exponent, 7 fraction bits, two neighbours in the depth in a word, the first one low; to the nearest, ties to
//             even
//
// mma: D[16 x 8] = A[16 x K] B[K x 8] + C[16 x 8] in float32, by 32 work-items in step (a warp), K = 8 (TF32) or 16 (BFloat16). Lane
// 4 q + t holds in words, each of one (TF32) or two (BFloat16) steps of the depth, numbered from 0 to 7:
//   A  (row q, word t), (q + 8, t), (q, t + 4), (q + 8, t + 4)
//   B  (word t, column q), (t + 4, q)
//   C  (row q, column 2 t), (q, 2 t + 1), (q + 8, 2 t), (q + 8, 2 t + 1)
// as the PTX ISA says in "Matrix fragments for mma.m16n8k8" and "... m16n8k16".
//
// With HPC_MMA_EMULATED, for tests on devices that have none of this, OpenCL C does the same: words are rounded by integer
// arithmetic, lanes give each other their words through local memory by the table above.

#if defined(__NV_CL_C_VERSION) || HPC_MMA_EMULATED
#define HPC_MMA_POSSIBLE 1

// Everything that is indexed by a loop's counter is to be in registers: those loops are unrolled. The emulation has no need of it.
#if HPC_MMA_EMULATED
#define HPC_UNROLL _Pragma("nounroll")
#else
#define HPC_UNROLL _Pragma("unroll")
#endif

#if HPC_PRECISION == 1
#define HPC_MMA_STEPS 2  // mma for a block of HPC_MMA_DEPTH
#else
#define HPC_MMA_STEPS 1
#endif

#if !HPC_MMA_EMULATED

// The instructions want an address within local ("shared") memory in 32 bits. A local pointer is such an address: OpenCL C 1.2 has
// no generic address space, so it was never made generic, and `cvta.to.shared`, which undoes that, would spoil it. Whether the compiler
// keeps local pointers in 32 or in 64 bits, through size_t they become the same number, which is far below 2^32. The probes
// (mma_probe.cl) load and copy through such addresses before anything relies on it.
#define HPC_SHARED(p) ((uint)(size_t)(p))

static inline uint tf32_word(float x) {
    uint word;
    __asm__("cvt.rna.tf32.f32 %0, %1;" : "=r"(word) : "f"(x));
    return word;
}

static inline uint bfloat16_word(float low, float high) {
    uint word;
    __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
    return word;
}

#if HPC_PRECISION == 1
#define HPC_MMA_INSTRUCTION "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
#else
#define HPC_MMA_INSTRUCTION "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#endif

static inline float4 mma(uint a0, uint a1, uint a2, uint a3, uint b0, uint b1, float4 c) {
    float d0, d1, d2, d3;
    __asm__ volatile(HPC_MMA_INSTRUCTION " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
                 : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "f"(c.s0), "f"(c.s1), "f"(c.s2), "f"(c.s3));
    return (float4)(d0, d1, d2, d3);
}

// Four floats of local memory, at a multiple of 16 bytes. Compilers take the plain expression apart into four loads.
HPC_INLINE float4 take4(local const float* from) {
    float v0, v1, v2, v3;
    __asm__ volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(v0), "=f"(v1), "=f"(v2), "=f"(v3) : "r"(HPC_SHARED(from)) : "memory");
    return (float4)(v0, v1, v2, v3);
}

#if HPC_MMA_ASYNC
// The first `count` of four floats; the others become 0. Both places are multiples of 16 bytes.
HPC_INLINE void copy_later_16(local float* to, global const float* from, uint count) {
    __asm__ volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(HPC_SHARED(to)), "l"((size_t)from), "r"(count * 4) : "memory");
}

// One float, or 0 where count is 0.
HPC_INLINE void copy_later_4(local float* to, global const float* from, uint count) {
    __asm__ volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" : : "r"(HPC_SHARED(to)), "l"((size_t)from), "r"(count * 4) : "memory");
}

// Ends a group of copies. HPC_COPIES_WAIT: for all groups of this work-item but the last `pending` (a number as text).
#define HPC_COPIES_END() __asm__ volatile("cp.async.commit_group;" : : : "memory")
#define HPC_COPIES_TEXT(pending) #pending
#define HPC_COPIES_WAIT_TEXT(pending) __asm__ volatile("cp.async.wait_group " HPC_COPIES_TEXT(pending) ";" : : : "memory")
#define HPC_COPIES_WAIT(pending) HPC_COPIES_WAIT_TEXT(pending)
#endif

#else

static inline uint tf32_word(float x) {
    // To the nearest, ties away from zero; infinities and NaN stay what they are.
    return isfinite(x) ? (as_uint(x) + 0x1000u) & 0xffffe000u : as_uint(x);
}

static inline uint bfloat16_half(float x) {
    const uint bits = as_uint(x);
    if (isnan(x)) return 0x7fffu;
    return (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
}

static inline uint bfloat16_word(float low, float high) { return bfloat16_half(low) | bfloat16_half(high) << 16; }

// The product of two words: of one pair of numbers, or of two.
static inline float multiply_words(uint a, uint b, float sum) {
#if HPC_PRECISION == 1
    return fma(as_float(a & 0xffffe000u), as_float(b & 0xffffe000u), sum);
#else
    sum = fma(as_float(a << 16), as_float(b << 16), sum);
    return fma(as_float(a & 0xffff0000u), as_float(b & 0xffff0000u), sum);
#endif
}

// One mma. a: 4 words of each of the warp's lanes, b: 2 words, both by lane.
HPC_INLINE float4 mma_of(local const uint* a, local const uint* b, uint lane, float4 c) {
    float d[4] = {c.s0, c.s1, c.s2, c.s3};
    for (uint e = 0; e < 4; ++e) {
        const uint row = lane / 4 + 8 * (e / 2), column = lane % 4 * 2 + e % 2;
        for (uint word = 0; word < 8; ++word)
            d[e] = multiply_words(a[(row % 8 * 4 + word % 4) * 4 + row / 8 + word / 4 * 2], b[(column * 4 + word % 4) * 2 + word / 4], d[e]);
    }
    return (float4)(d[0], d[1], d[2], d[3]);
}

HPC_INLINE float4 take4(local const float* from) { return *(local const float4*)from; }

HPC_INLINE void copy_later_4(local float* to, global const float* from, uint count) { *to = count ? *from : 0.0f; }

HPC_INLINE void copy_later_16(local float* to, global const float* from, uint count) {
    for (uint i = 0; i < 4; ++i) to[i] = i < count ? from[i] : 0.0f;
}

#define HPC_COPIES_END()
#define HPC_COPIES_WAIT(pending)

#endif

#endif
