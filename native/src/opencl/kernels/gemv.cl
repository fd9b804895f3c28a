// C[m x n] = op(A) op(B) for few rows, each row by itself: HPC_FORM 0 (NN, B[k x n]) and 1 (NT, B[n x k] transposed).
// A work-group computes some columns of one row, its work-items in pieces of HPC_VECTOR_LANES, which read neighbouring
// elements of B.
//
//   NN  HPC_VECTOR_LANES columns; every piece has a share of the depth, the shares are added at the end
//   NT  a column for each piece; its work-items share the depth
//
// What is done to C, and the operands, as in gemm.cl, with a row of tiles for each row.

#define HPC_PIECES (HPC_GROUP / HPC_VECTOR_LANES)

#if defined(FP_FAST_FMAF)
#define HPC_MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define HPC_MULTIPLY_ADD(a, b, c) mad(a, b, c)
#endif

HPC_KERNEL(HPC_GROUP)
gemv(HPC_HEAD, global const float* a, ulong a_at, global const float* b, ulong b_at, global float* c, ulong c_at, global const float* bias,
     ulong bias_at, global float* kept, ulong kept_at, global float* sums, ulong sums_at, global float* parts, ulong parts_at, ulong m, ulong n,
     ulong k, ulong split_k, uint whole, uint splits, uint strips, float alpha, float beta) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id % HPC_VECTOR_LANES, piece = id / HPC_VECTOR_LANES;
    const ulong outputs = HPC_FORM == 0 ? HPC_VECTOR_LANES : HPC_PIECES;
    const ulong column_groups = (n + outputs - 1) / outputs;
    const ulong row = get_group_id(0) / column_groups;
    const ulong start = get_group_id(0) % column_groups * outputs;
    a += a_at + row * k;
    b += b_at;
    float sum = 0.0f;
#if HPC_FORM == 0
    const ulong column = start + lane;
    const int writes = piece == 0 && column < n;
    if (column < n) {
        // Four loads of each operand are on their way at a time.
        ulong i = piece;
        for (; i + 3 * HPC_PIECES < k; i += 4 * HPC_PIECES) {
            global const float* from = b + i * n + column;
            const float b0 = from[0], b1 = from[HPC_PIECES * n], b2 = from[2 * HPC_PIECES * n], b3 = from[3 * HPC_PIECES * n];
            sum = HPC_MULTIPLY_ADD(a[i], b0, sum);
            sum = HPC_MULTIPLY_ADD(a[i + HPC_PIECES], b1, sum);
            sum = HPC_MULTIPLY_ADD(a[i + 2 * HPC_PIECES], b2, sum);
            sum = HPC_MULTIPLY_ADD(a[i + 3 * HPC_PIECES], b3, sum);
        }
        for (; i < k; i += HPC_PIECES) sum = HPC_MULTIPLY_ADD(a[i], b[i * n + column], sum);
    }
    sum = fold_rows(cells, sum, HPC_VECTOR_LANES);
#else
    const ulong column = start + piece;
    const int writes = lane == 0 && column < n;
    if (column < n) {
        if (is_aligned(a_at | b_at | k)) {
            float4 part = (float4)(0.0f);
            for (ulong i = lane * 4; i < k; i += HPC_VECTOR_LANES * 4)
                part = HPC_MULTIPLY_ADD(*(global const float4*)(a + i), *(global const float4*)(b + column * k + i), part);
            sum = (part.s0 + part.s1) + (part.s2 + part.s3);
        } else {
            for (ulong i = lane; i < k; i += HPC_VECTOR_LANES) sum = HPC_MULTIPLY_ADD(a[i], b[column * k + i], sum);
        }
    }
    sum = group_add(cells, sum, HPC_VECTOR_LANES);
#endif
    if (!writes) return;
    const ulong at = row * n + column;
#if HPC_EPILOGUE == 1
#if HPC_BIAS
    sum += bias[bias_at + column];
#endif
    const float value = HPC_ACTIVATION_VALUE(sum, alpha, beta);
#if HPC_KEPT
    kept[kept_at + at] = HPC_ACTIVATION_DERIVATIVE(HPC_KEEPS == HPC_KEEPS_OUTPUT ? value : sum, alpha, beta);
#endif
    sum = value;
#elif HPC_EPILOGUE == 2
#if HPC_KEPT
    sum *= activation_factor(kept[kept_at + at], alpha, beta);
#else
    sum *= activation_factor(0.0f, alpha, beta);
#endif
#if HPC_SUMS
    sums[sums_at + at] = sum;
#endif
#endif
    c[c_at + at] = sum;
}
