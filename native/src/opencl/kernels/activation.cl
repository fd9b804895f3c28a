// Activations by themselves. HPC_KEPT: forward, the derivative is written; backward, there is something kept.

// y = f(x), derivative = f'(x); y may be x.
HPC_KERNEL(HPC_GROUP)
activation_forward(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, global float* derivative, ulong derivative_at,
                   ulong count, float alpha, float beta) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    float4 v = load4(x + x_at, i, count, is_aligned(x_at));
    float4 value = activation_value4(v, alpha, beta);
    store4(y + y_at, i, count, is_aligned(y_at), value);
#if HPC_KEPT
    store4(derivative + derivative_at, i, count, is_aligned(derivative_at), activation_kept4(v, value, alpha, beta));
#endif
}

// dx = f' dy; dx may be dy.
HPC_KERNEL(HPC_GROUP)
activation_backward(HPC_HEAD, global const float* kept, ulong kept_at, global const float* dy, ulong dy_at, global float* dx, ulong dx_at,
                    ulong count, float alpha, float beta) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
#if HPC_KEPT
    float4 k = load4(kept + kept_at, i, count, is_aligned(kept_at));
#else
    float4 k = (float4)(0.0f);
#endif
    float4 d = load4(dy + dy_at, i, count, is_aligned(dy_at)) * activation_factor4(k, alpha, beta);
    store4(dx + dx_at, i, count, is_aligned(dx_at), d);
}

// dx = f' dy, and the column sums of dx over blocks of rows: a work-group has `lanes` columns side by side.
HPC_KERNEL(HPC_GROUP)
activation_backward_sums(HPC_HEAD, global const float* kept, ulong kept_at, global const float* dy, ulong dy_at, global float* dx, ulong dx_at,
                         global float* sums, ulong sums_at, ulong rows, ulong columns, ulong block, uint lanes, float alpha, float beta) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column_groups = (columns + lanes - 1) / lanes;
    ulong part = get_group_id(0) / column_groups;
    ulong column = get_group_id(0) % column_groups * lanes + (id & (lanes - 1));
    ulong first = part * block, end = min(rows, first + block);
    long_sum sum = {0.0f, 0.0f};
    if (column < columns) {
        for (ulong row = first + id / lanes; row < end; row += HPC_GROUP / lanes) {
            ulong at = row * columns + column;
#if HPC_KEPT
            float k = kept[kept_at + at];
#else
            float k = 0.0f;
#endif
            float d = dy[dy_at + at] * activation_factor(k, alpha, beta);
            dx[dx_at + at] = d;
            long_add(&sum, d);
        }
    }
    float total = fold_rows(cells, long_total(sum), lanes);
    if (id < lanes && column < columns) sums[sums_at + part * columns + column] = total;
}
