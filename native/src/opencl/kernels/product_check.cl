// What a product is held against before its tiles may win (tuning.cpp): each element by itself, without tiles and without
// local memory, in sums that are more precise than float, and what rounding may do to it. HPC_FORM as in gemm.cl.

HPC_KERNEL(HPC_GROUP)
product_truth(HPC_HEAD, global const float* a, ulong a_at, global const float* b, ulong b_at, global float* truth, ulong truth_at,
              global float* bound, ulong bound_at, ulong m, ulong n, ulong k) {
    HPC_GUARD();
    const ulong at = get_global_id(0);
    if (at >= m * n) return;
    const ulong row = at / n, column = at % n;
    // The first element of each operand, and from one of the depth to the next.
    global const float* x = a + a_at + (HPC_FORM == 2 ? row : row * k);
    global const float* y = b + b_at + (HPC_FORM == 1 ? column * k : column);
    const ulong next_x = HPC_FORM == 2 ? m : 1, next_y = HPC_FORM == 1 ? 1 : n;
    sum_t sum = sum_of(0.0f);
    float magnitude = 0.0f;
    for (ulong i = 0; i < k; ++i) {
        sum = sum_add(sum, sum_of_product(*x, *y));
        magnitude += fabs(*x * *y);
        x += next_x;
        y += next_y;
    }
    truth[truth_at + at] = sum_rounded(sum);
    bound[bound_at + at] = magnitude * 1e-7f * (2.0f + sqrt((float)k)) + 1e-30f;
}

#define HPC_LARGER(a, b) ((a) > (b) ? (a) : (b))
HPC_REDUCTION(group_largest, float, HPC_LARGER)

// worst[group]: the largest error as a share of its bound; infinity where something is not a number.
HPC_KERNEL(HPC_GROUP)
product_error(HPC_HEAD, global const float* c, ulong c_at, global const float* truth, ulong truth_at, global const float* bound,
              ulong bound_at, global float* worst, ulong worst_at, ulong count) {
    local float cells[HPC_GROUP];
    HPC_GUARD();
    float largest = 0.0f;
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0)) {
        const float error = fabs(c[c_at + i] - truth[truth_at + i]) / bound[bound_at + i];
        largest = error <= largest ? largest : error < INFINITY ? error : INFINITY;
    }
    largest = group_largest(cells, largest, HPC_GROUP);
    if (get_local_id(0) == 0) worst[worst_at + get_group_id(0)] = largest;
}
