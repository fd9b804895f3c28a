// Rows of a table by index, and the gradient of the table. An index is an int32, or a whole number in a float (`whole` 0).

// The row that an index means, or -1.
HPC_FORMULA long row_of(uint bits, uint whole, ulong table_rows) {
    if (whole) {
        int index = as_int(bits);
        return index >= 0 && (ulong)index < table_rows ? index : -1;
    }
    float index = as_float(bits);
    if (!(index >= 0.0f && index < 2147483648.0f)) return -1;
    long row = (long)index;
    return (float)row == index && (ulong)row < table_rows ? row : -1;
}

// y[place] = table[indices[place]]; `lanes` neighbours copy a row. A bad index reads as row 0 and sets HPC_FLAG_INDEX.
HPC_KERNEL(HPC_GROUP)
embedding_forward(HPC_HEAD, global const float* table, ulong table_at, global const uint* indices, ulong indices_at, global float* y,
                  ulong y_at, ulong table_rows, ulong places, ulong dimension, uint lanes, uint whole) {
    volatile global uint* flags = &metrics->flags;
    // Other work-groups may be setting the flag just now.
    if (guard != 0 && atomic_or(flags, 0u) != 0) return;
    uint id = (uint)get_local_id(0), lane = id & (lanes - 1);
    ulong place = get_group_id(0) * (HPC_GROUP / lanes) + id / lanes;
    if (place >= places) return;
    long row = row_of(indices[indices_at + place], whole, table_rows);
    if (row < 0) {
        if (lane == 0) atomic_or(flags, (uint)HPC_FLAG_INDEX);
        row = 0;
    }
    for (ulong j = lane; j < dimension; j += lanes) y[y_at + place * dimension + j] = table[table_at + (ulong)row * dimension + j];
}

// dtable, zero before. A work-group has one place; where an earlier place has the same index it leaves, else it adds up dy over all places
// of that index, in their order and with compensation.
HPC_KERNEL(HPC_GROUP)
embedding_backward(HPC_HEAD, global const uint* indices, ulong indices_at, global const float* dy, ulong dy_at, global float* dtable,
                   ulong dtable_at, ulong table_rows, ulong places, ulong dimension, int padding, uint whole) {
    local uint found[HPC_GROUP];
    HPC_GUARD();
    uint id = (uint)get_local_id(0);
    ulong place = get_group_id(0);
    global const uint* index = indices + indices_at;
    long row = row_of(index[place], whole, table_rows);
    uint earlier = row < 0 || row == (long)padding;
    // All work-items take every turn, so that the loop ends for all of them at once.
    for (ulong start = 0; start < place; start += HPC_GROUP) {
        if (start + id < place && row_of(index[start + id], whole, table_rows) == row) earlier = 1;
    }
    if (group_or(found, earlier, HPC_GROUP)) return;
    for (ulong from = 0; from < dimension; from += HPC_GROUP) {
        ulong j = from + id;
        long_sum sum = {0.0f, 0.0f};
        for (ulong start = place; start < places; start += HPC_GROUP) {
            found[id] = start + id < places && row_of(index[start + id], whole, table_rows) == row;
            barrier(CLK_LOCAL_MEM_FENCE);
            for (uint k = 0; k < HPC_GROUP; ++k) {
                if (found[k] && j < dimension) long_add(&sum, dy[dy_at + (start + k) * dimension + j]);
            }
            barrier(CLK_LOCAL_MEM_FENCE);
        }
        if (j < dimension) dtable[dtable_at + (ulong)row * dimension + j] = long_total(sum);
    }
}
