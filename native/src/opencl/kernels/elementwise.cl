// Flat vector arithmetic: a work-item takes four neighbouring elements.

// x *= factor
HPC_KERNEL(HPC_GROUP)
scale(HPC_HEAD, global float* x, ulong x_at, ulong count, float factor) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    int aligned = is_aligned(x_at);
    store4(x + x_at, i, count, aligned, load4(x + x_at, i, count, aligned) * factor);
}

// y += factor x
HPC_KERNEL(HPC_GROUP)
add_scaled(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong count, float factor) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    float4 v = load4(x + x_at, i, count, is_aligned(x_at));
    float4 w = load4(y + y_at, i, count, is_aligned(y_at));
    store4(y + y_at, i, count, is_aligned(y_at), fma((float4)(factor), v, w));
}

// x = value
HPC_KERNEL(HPC_GROUP)
fill(HPC_HEAD, global float* x, ulong x_at, ulong count, float value) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    store4(x + x_at, i, count, is_aligned(x_at), (float4)(value));
}

// x *= min(1, max_norm / (norm + 1e-6)), with the norm as the device has just found it
HPC_KERNEL(HPC_GROUP)
clip_by_norm(HPC_HEAD, global float* x, ulong x_at, global const float* norm, ulong norm_at, ulong count, float max_norm) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
#if defined(HPC_FP64)
    double length = (double)norm[norm_at];
    // Beyond float's range, but not beyond that of the metrics.
    if (isinf(length)) length = as_double(metrics->gradient_norm);
    double exact = (double)max_norm / (length + 1e-6);
    // Not where rounding to float makes 1 of it.
    if (!(exact < 1.0)) return;
    // A factor that float would flush goes in two steps.
    float before = exact < 1e-30 ? 8.673617379884035e-19f : 1.0f;
    float factor = (float)(exact / (double)before);
#else
    float length = norm[norm_at];
    // Not by fmin, which would make a number of NaN.
    if (isinf(length)) length = FLT_MAX;
    float factor = max_norm / (length + 1e-6f);
    if (!(factor < 1.0f)) return;
    float before = 1.0f;
#endif
    int aligned = is_aligned(x_at);
    store4(x + x_at, i, count, aligned, load4(x + x_at, i, count, aligned) * before * factor);
}

// x = min(max(x, -limit), limit); NaN stays.
HPC_KERNEL(HPC_GROUP)
clip_by_value(HPC_HEAD, global float* x, ulong x_at, ulong count, float limit) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    int aligned = is_aligned(x_at);
    float4 v = load4(x + x_at, i, count, aligned);
#define HPC_STEP(s) v.s = clipped(v.s, limit);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(x + x_at, i, count, aligned, v);
}

// y += l1 sign(x) + l2 x
HPC_KERNEL(HPC_GROUP)
add_penalty(HPC_HEAD, global const float* x, ulong x_at, global float* y, ulong y_at, ulong count, float l1, float l2) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    float4 v = load4(x + x_at, i, count, is_aligned(x_at));
    float4 w = load4(y + y_at, i, count, is_aligned(y_at));
#define HPC_STEP(s) w.s += penalty_of(v.s, l1, l2);
    HPC_EACH(HPC_STEP)
#undef HPC_STEP
    store4(y + y_at, i, count, is_aligned(y_at), w);
}

// z = x y; z may be x or y.
HPC_KERNEL(HPC_GROUP)
multiply(HPC_HEAD, global const float* x, ulong x_at, global const float* y, ulong y_at, global float* z, ulong z_at, ulong count) {
    HPC_GUARD();
    ulong i = get_global_id(0) * 4;
    if (i >= count) return;
    float4 v = load4(x + x_at, i, count, is_aligned(x_at));
    float4 w = load4(y + y_at, i, count, is_aligned(y_at));
    store4(z + z_at, i, count, is_aligned(z_at), v * w);
}
