// The table of an instruction set, filled from the kernels of its namespace and from the lists in formulas/.

static constexpr Kernels make_kernels(const char* isa) {
    return Kernels{
        isa,
        V::lanes,
        gemm_blocks,
        gemm_scratch_bytes,
        gemm,
#define HPC_ROW(enumerator, name, ...) epilogue_forward<name##_activation>,
        {HPC_ACTIVATIONS(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) epilogue_backward<name##_activation>,
        {HPC_ACTIVATIONS(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) activation_forward<name##_activation>,
        {HPC_ACTIVATIONS(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) activation_backward<name##_activation>,
        {HPC_ACTIVATIONS(HPC_ROW)},
#undef HPC_ROW
        add_rows,
        column_sums,
        softmax_cross_entropy,
        softmax,
#define HPC_ROW(enumerator, name, ...) loss<name##_loss>,
        {HPC_LOSSES(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) update<name##_rule>,
        {HPC_RULES(HPC_ROW)},
#undef HPC_ROW
        sum_of_squares,
        scale,
        add_scaled,
        fill,
        sum_parts,
        philox_uniform,
        dropout,
        multiply,
        affine_dropout,
        gaussian_noise,
        fma_loop,
    };
}
