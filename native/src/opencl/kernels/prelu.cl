// PReLU: an activation whose slope below 0 is a parameter, one for each column or (HPC_SHARED) one for all. A work-group has
// `lanes` columns side by side over a block of rows, as column_sums has.

// y = x > 0 ? x : slope x; y may be x.
HPC_KERNEL(HPC_GROUP)
prelu_forward(HPC_HEAD, global const float* x, ulong x_at, global const float* slope, ulong slope_at, global float* y, ulong y_at,
              ulong rows, ulong columns, ulong block, uint lanes) {
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column_groups = (columns + lanes - 1) / lanes;
    ulong column = get_group_id(0) % column_groups * lanes + (id & (lanes - 1));
    ulong first = get_group_id(0) / column_groups * block, end = min(rows, first + block);
    if (column >= columns) return;
    float s = slope[slope_at + (HPC_SHARED ? 0 : column)];
    for (ulong row = first + id / lanes; row < end; row += HPC_GROUP / lanes) {
        ulong at = row * columns + column;
        y[y_at + at] = prelu_value(x[x_at + at], s);
    }
}

// HPC_DX: dx = f'(x) dy; dx may be dy. HPC_DSLOPE: the column sums of the slope's gradient. HPC_SUMS: the column sums of dx.
// Both for each block of rows.
HPC_KERNEL(HPC_GROUP)
prelu_backward(HPC_HEAD, global const float* x, ulong x_at, global const float* slope, ulong slope_at, global const float* dy, ulong dy_at,
               global float* dx, ulong dx_at, global float* dslope, ulong dslope_at, global float* sums, ulong sums_at, ulong rows,
               ulong columns, ulong block, uint lanes) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong column_groups = (columns + lanes - 1) / lanes;
    ulong part = get_group_id(0) / column_groups;
    ulong column = get_group_id(0) % column_groups * lanes + (id & (lanes - 1));
    ulong first = part * block, end = min(rows, first + block);
    long_sum of_slope = {0.0f, 0.0f}, of_dx = {0.0f, 0.0f};
    if (column < columns) {
        float s = slope[slope_at + (HPC_SHARED ? 0 : column)];
        for (ulong row = first + id / lanes; row < end; row += HPC_GROUP / lanes) {
            ulong at = row * columns + column;
            float v = x[x_at + at], d = dy[dy_at + at];
#if HPC_DX
            float g = prelu_derivative(v, s) * d;
            dx[dx_at + at] = g;
#if HPC_SUMS
            long_add(&of_dx, g);
#endif
#endif
#if HPC_DSLOPE
            long_add(&of_slope, prelu_slope_derivative(v) * d);
#endif
        }
    }
#if HPC_DSLOPE
    float slope_total = fold_rows(cells, long_total(of_slope), lanes);
    if (id < lanes && column < columns) dslope[dslope_at + part * columns + column] = slope_total;
#endif
#if HPC_SUMS
    float total = fold_rows(cells, long_total(of_dx), lanes);
    if (id < lanes && column < columns) sums[sums_at + part * columns + column] = total;
#endif
}
