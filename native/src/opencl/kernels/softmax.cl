// Softmax over rows: HPC_ROW_LANES neighbours share a row. The largest element is subtracted first, so that no
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
