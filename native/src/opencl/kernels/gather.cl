// destination[i] = source[indices[offset + i]], rows of any 4-byte elements. `lanes` neighbours copy a row. An index out
// of range, or one that is not there, reads as row 0 and sets HPC_FLAG_INDEX.

HPC_KERNEL(HPC_GROUP)
gather_rows(HPC_HEAD, global const uint* source, ulong source_at, global const int* indices, ulong indices_at, global uint* destination,
            ulong destination_at, ulong source_rows, ulong indices_count, ulong offset, ulong rows, ulong columns, uint lanes) {
    volatile global uint* flags = &metrics->flags;
    // Other work-groups may be setting the flag just now.
    if (guard != 0 && atomic_or(flags, 0u) != 0) return;
    uint id = (uint)get_local_id(0), lane = id & (lanes - 1);
    ulong i = get_group_id(0) * (HPC_GROUP / lanes) + id / lanes;
    if (i >= rows) return;
    int known = offset < indices_count && i < indices_count - offset;
    int index = known ? indices[indices_at + offset + i] : -1;
    ulong row = (ulong)index;
    if (index < 0 || row >= source_rows) {
        if (lane == 0) atomic_or(flags, (uint)HPC_FLAG_INDEX);
        row = 0;
    }
    global const uint* from = source + source_at + row * columns;
    global uint* to = destination + destination_at + i * columns;
    if (((source_at | destination_at | columns) & 3) == 0) {
        for (ulong j = lane; j < columns / 4; j += lanes) ((global uint4*)to)[j] = ((global const uint4*)from)[j];
    } else {
        for (ulong j = lane; j < columns; j += lanes) to[j] = from[j];
    }
}

// Rows of a block of columns: y[i * ldy + j] = x[i * ldx + j]. `lanes` neighbours copy a row.
HPC_KERNEL(HPC_GROUP)
copy_columns(HPC_HEAD, global const uint* x, ulong x_at, global uint* y, ulong y_at, ulong rows, ulong columns, ulong ldx, ulong ldy,
             uint lanes) {
    HPC_GUARD();
    uint id = (uint)get_local_id(0), lane = id & (lanes - 1);
    ulong i = get_group_id(0) * (HPC_GROUP / lanes) + id / lanes;
    if (i >= rows) return;
    global const uint* from = x + x_at + i * ldx;
    global uint* to = y + y_at + i * ldy;
    if (((x_at | y_at | columns | ldx | ldy) & 3) == 0) {
        for (ulong j = lane; j < columns / 4; j += lanes) ((global uint4*)to)[j] = ((global const uint4*)from)[j];
    } else {
        for (ulong j = lane; j < columns; j += lanes) to[j] = from[j];
    }
}
