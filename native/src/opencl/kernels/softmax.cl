// Softmax and its logarithm over rows, and their gradients: HPC_ROW_LANES neighbours share a row. The largest element is subtracted first, so that no
// exponential overflows.

HPC_FORMULA float larger(float a, float b) { return b > a ? b : a; }
HPC_REDUCTION(group_max, float, larger)

// y = softmax(x); y may be x.
HPC_KERNEL(HPC_GROUP)
softmax(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong rows, ulong columns) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong row = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    // Work-items without a row go along to the barriers.
    ulong width = row < rows ? columns : 0;
    global const float* from = x + x_at + row * columns;
    global float* to = y + y_at + row * columns;
    // A NaN may be lost here; it comes back with the exponentials.
    float largest = -HUGE_VALF;
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) largest = larger(largest, from[j]);
    largest = group_max(cells, largest, HPC_ROW_LANES);
    float sum = 0.0f;
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) {
        float e = hpc_exp(from[j] - largest);
        sum += e;
        to[j] = e;
    }
    float factor = 1.0f / group_add(cells, sum, HPC_ROW_LANES);
    // Each work-item reads what it wrote itself.
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) to[j] *= factor;
}

// y = log(softmax(x)); y may be x.
HPC_KERNEL(HPC_GROUP)
log_softmax(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong rows, ulong columns) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong row = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    ulong width = row < rows ? columns : 0;
    global const float* from = x + x_at + row * columns;
    global float* to = y + y_at + row * columns;
    float largest = -HUGE_VALF;
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) largest = larger(largest, from[j]);
    largest = group_max(cells, largest, HPC_ROW_LANES);
    float sum = 0.0f;
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) sum += hpc_exp(from[j] - largest);
    float log_sum = hpc_log(group_add(cells, sum, HPC_ROW_LANES));
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) to[j] = from[j] - largest - log_sum;
}

// dx = y (dy - sum of y dy); dx may be dy. The products are rounded, their sum is not: it is what is left of terms that cancel.
HPC_KERNEL(HPC_GROUP)
softmax_backward(HPC_HEAD, global const float* y, ulong y_at, global const float* dy, ulong dy_at, global float* dx, ulong dx_at,
                 ulong rows, ulong columns) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong row = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    ulong width = row < rows ? columns : 0, start = row * columns;
    sum_t sum = sum_of(0.0f);
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) sum = sum_add(sum, sum_of(y[y_at + start + j] * dy[dy_at + start + j]));
    float s = sum_rounded(group_sum(cells, sum, HPC_ROW_LANES));
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) dx[dx_at + start + j] = y[y_at + start + j] * (dy[dy_at + start + j] - s);
}

// dx = dy - e^y sum of dy; dx may be dy.
HPC_KERNEL(HPC_GROUP)
log_softmax_backward(HPC_HEAD, global const float* y, ulong y_at, global const float* dy, ulong dy_at, global float* dx, ulong dx_at,
                     ulong rows, ulong columns) {
    local sum_t cells[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (HPC_ROW_LANES - 1);
    ulong row = get_group_id(0) * (HPC_GROUP / HPC_ROW_LANES) + id / HPC_ROW_LANES;
    ulong width = row < rows ? columns : 0, start = row * columns;
    sum_t sum = sum_of(0.0f);
    for (ulong j = lane; j < width; j += HPC_ROW_LANES) sum = sum_add(sum, sum_of(dy[dy_at + start + j]));
    float s = sum_rounded(group_sum(cells, sum, HPC_ROW_LANES));
    for (ulong j = lane; j < width; j += HPC_ROW_LANES)
        dx[dx_at + start + j] = fma(hpc_exp(y[y_at + start + j]), -s, dy[dy_at + start + j]);
}
