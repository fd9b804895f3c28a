// The table of an instruction set, filled from the kernels of its namespace and from the lists in formulas/.

static constexpr Kernels make_kernels(const char* isa) {
    return Kernels{
        isa,
        V::lanes,
        gemm_blocks,
        gemm_scratch_bytes,
        gemm,
        gemm_pack_panels,
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
        {softmax_cross_entropy, negative_log_likelihood, multi_margin},
        softmax,
        softmax_backward,
        log_softmax,
        log_softmax_backward,
        prelu_forward,
        prelu_backward,
#define HPC_ROW(enumerator, name, ...) loss<name##_loss>,
        {HPC_LOSSES(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) update<name##_rule>,
        {HPC_RULES(HPC_ROW)},
#undef HPC_ROW
        sum_of_squares,
        sum_of_magnitudes,
        largest_magnitude,
        clip,
        add_penalty,
        limit_column_norms,
        scale,
        add_scaled,
        fill,
        sum_parts,
        philox_uniform,
        dropout,
        restore_dropped,
        multiply,
        affine_dropout,
        gaussian_noise,
#define HPC_ROW(enumerator, name, ...) recurrent_forward<name##_cell>,
        {HPC_CELLS(HPC_ROW)},
#undef HPC_ROW
#define HPC_ROW(enumerator, name, ...) recurrent_backward<name##_cell>,
        {HPC_CELLS(HPC_ROW)},
#undef HPC_ROW
        fast_gradient_sign,
        fma_loop,
        {stream_read, stream_copy<false>, stream_copy<true>, stream_update},
        batch_moments,
        batch_norm_sums,
        batch_statistics,
        running_statistics,
        combine_channel_sums,
        batch_normalize,
        batch_norm_gradient,
        layer_norm_forward,
        layer_norm_backward,
    };
}
