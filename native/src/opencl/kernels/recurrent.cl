// One step of a recurrent layer: product with the recurrent weights and everything around it, in one launch. The cell is
// HPC_CELL_FORWARD, HPC_CELL_BACKWARD with HPC_GATES gates, as formulas/cells.h has it; arguments are told in kernels.h.
//
// A work-group has HPC_RECURRENT_TILE units side by side and as many rows as that leaves; a work-item has one unit of one
// row, all of its gates: so it can go on with the gates where the product ends. Blocks of HPC_RECURRENT_TILE of the depth
// go through local memory. What a step reads of its neighbour lies elsewhere than what it writes.

#define HPC_TILE HPC_RECURRENT_TILE
#define HPC_ROWS (HPC_GROUP / HPC_TILE)
// A column more against bank conflicts.
#define HPC_PITCH (HPC_TILE + 1)

// As fast as the device can, as in gemm.cl.
#if defined(FP_FAST_FMAF)
#define HPC_MULTIPLY_ADD(a, b, c) fma(a, b, c)
#else
#define HPC_MULTIPLY_ADD(a, b, c) mad(a, b, c)
#endif

// RecurrentStep::bits
#define HPC_HAS_PRODUCT 1u
#define HPC_HAS_BIAS 2u
#define HPC_HAS_STATE 4u
#define HPC_HAS_OUTPUT 8u
#define HPC_KEEPS_ALL 16u
#define HPC_HAS_GRADIENT 32u
#define HPC_HAS_BEFORE 64u
#define HPC_AT_END 128u

HPC_KERNEL(HPC_GROUP)
recurrent_forward(HPC_HEAD, global float* gates, ulong gates_at, global const float* w, ulong w_at, global const float* bias, ulong bias_at,
                  global const float* from, ulong from_at, global float* to, ulong to_at, global const float* state_from, ulong state_from_at,
                  global float* state_to, ulong state_to_at, global float* y, ulong y_at, global float* kept, ulong kept_at,
                  global float* previous, ulong previous_at, ulong rows, ulong units, ulong steps, ulong ldy, uint bits) {
    local float block_h[HPC_ROWS * HPC_PITCH];
    local float block_w[HPC_TILE * HPC_GATES * HPC_TILE];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id % HPC_TILE, line = id / HPC_TILE;
    const ulong across = (units + HPC_TILE - 1) / HPC_TILE;
    const ulong row = get_group_id(0) / across * HPC_ROWS + line, unit0 = get_group_id(0) % across * HPC_TILE, unit = unit0 + lane;
    const ulong width = units * HPC_GATES;

    F u[HPC_GATES], a[HPC_GATES];
    for (uint g = 0; g < HPC_GATES; ++g) u[g] = 0.0f;
    if (bits & HPC_HAS_PRODUCT) {
        for (ulong k0 = 0; k0 < units; k0 += HPC_TILE) {
            block_h[line * HPC_PITCH + lane] = row < rows && k0 + lane < units ? from[from_at + row * units + k0 + lane] : 0.0f;
            for (uint i = id; i < HPC_TILE * HPC_GATES * HPC_TILE; i += HPC_GROUP) {
                const ulong k = k0 + i / (HPC_GATES * HPC_TILE), column = unit0 + i % HPC_TILE;
                const uint g = i / HPC_TILE % HPC_GATES;
                block_w[i] = k < units && column < units ? w[w_at + k * width + g * units + column] : 0.0f;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint k = 0; k < HPC_TILE; ++k) {
                const float h = block_h[line * HPC_PITCH + k];
                for (uint g = 0; g < HPC_GATES; ++g) u[g] = HPC_MULTIPLY_ADD(h, block_w[(k * HPC_GATES + g) * HPC_TILE + lane], u[g]);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    if (row >= rows || unit >= units) return;

    global float* own = gates + gates_at + row * steps * width + unit;
    for (uint g = 0; g < HPC_GATES; ++g) {
        a[g] = own[g * units];
        if (bits & HPC_HAS_BIAS) u[g] += bias[bias_at + g * units + unit];
    }
    const ulong at = row * units + unit, kept_row = row * steps * units + unit;
    const F h = bits & HPC_HAS_PRODUCT ? from[from_at + at] : 0.0f;
    F s = 0.0f, output;
#if HPC_STATE
    if (bits & HPC_HAS_STATE) s = state_from[state_from_at + at];
#endif
    HPC_CELL_FORWARD(a, u, h, &s, &output);
#if HPC_STATE
    state_to[state_to_at + at] = s;
#endif
    to[to_at + at] = output;
    if (bits & HPC_HAS_OUTPUT) y[y_at + row * ldy + unit] = output;
    if (bits & HPC_KEEPS_ALL) {
        for (uint g = 0; g < HPC_GATES; ++g) own[g * units] = a[g];
        previous[previous_at + kept_row] = h;
#if HPC_CELL_KEEPS
        kept[kept_at + kept_row] = s;
#endif
    }
}

HPC_KERNEL(HPC_GROUP)
recurrent_backward(HPC_HEAD, global float* gates, ulong gates_at, global const float* w, ulong w_at, global const float* after, ulong after_at,
                   global const float* dhn, ulong dhn_at, global float* direct, ulong direct_at, global const float* state_from,
                   ulong state_from_at, global float* state_to, ulong state_to_at, global const float* dy, ulong dy_at,
                   global const float* kept, ulong kept_at, global const float* before, ulong before_at, global const float* previous,
                   ulong previous_at, global float* hidden, ulong hidden_at, global float* dh0, ulong dh0_at, ulong rows, ulong units,
                   ulong steps, ulong ldy, ulong ldbefore, uint bits) {
    local float block_d[HPC_ROWS * HPC_PITCH];
    local float block_w[HPC_TILE * HPC_PITCH];
    HPC_GUARD();
    const uint id = (uint)get_local_id(0), lane = id % HPC_TILE, line = id / HPC_TILE;
    const ulong across = (units + HPC_TILE - 1) / HPC_TILE;
    const ulong row = get_group_id(0) / across * HPC_ROWS + line, unit0 = get_group_id(0) % across * HPC_TILE, unit = unit0 + lane;
    const ulong width = units * HPC_GATES, at = row * units + unit;

    float d = 0.0f;
    if (bits & HPC_HAS_PRODUCT) {
        for (ulong k0 = 0; k0 < width; k0 += HPC_TILE) {
            block_d[line * HPC_PITCH + lane] = row < rows && k0 + lane < width ? after[after_at + row * steps * width + k0 + lane] : 0.0f;
            for (uint i = id; i < HPC_TILE * HPC_TILE; i += HPC_GROUP) {
                const ulong column = unit0 + i / HPC_TILE, k = k0 + i % HPC_TILE;
                block_w[i / HPC_TILE * HPC_PITCH + i % HPC_TILE] = k < width && column < units ? w[w_at + column * width + k] : 0.0f;
            }
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint k = 0; k < HPC_TILE; ++k) d = HPC_MULTIPLY_ADD(block_d[line * HPC_PITCH + k], block_w[lane * HPC_PITCH + k], d);
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    if (row >= rows || unit >= units) return;
    if (bits & HPC_HAS_GRADIENT) d += dhn[dhn_at + at];
#if HPC_DIRECT
    if (bits & HPC_HAS_PRODUCT) d += direct[direct_at + at];
#endif
    if (bits & HPC_AT_END) {
        dh0[dh0_at + at] = d;
        return;
    }
    if (bits & HPC_HAS_OUTPUT) d += dy[dy_at + row * ldy + unit];

    global float* own = gates + gates_at + row * steps * width + unit;
    const ulong kept_row = row * steps * units + unit;
    F a[HPC_GATES], u[HPC_GATES];
    for (uint g = 0; g < HPC_GATES; ++g) a[g] = own[g * units];
    const F h = previous[previous_at + kept_row];
    F s = 0.0f, s_before = 0.0f, ds = 0.0f, dh = 0.0f;
#if HPC_CELL_KEEPS
    s = kept[kept_at + kept_row];
#endif
#if HPC_STATE
    if (bits & HPC_HAS_BEFORE) s_before = before[before_at + row * ldbefore + unit];
    if (bits & HPC_HAS_STATE) ds = state_from[state_from_at + at];
#endif
    HPC_CELL_BACKWARD(a, u, h, s, s_before, d, &ds, &dh);
    for (uint g = 0; g < HPC_GATES; ++g) {
        own[g * units] = a[g];
#if HPC_DIRECT
        hidden[hidden_at + row * steps * width + g * units + unit] = u[g];
#endif
    }
#if HPC_STATE
    state_to[state_to_at + at] = ds;
#endif
#if HPC_DIRECT
    direct[direct_at + at] = dh;
#endif
}
