// What the work-groups of a loss found (loss_partial), added up and into the metrics: one work-group.

typedef struct loss_total {
    sum_t loss, weight;
    ulong correct, rows;
    uint flags;
} loss_total;

// All work-items get the total. `items` is the work-group's size, a power of two.
HPC_INLINE loss_total total_of_losses(global const loss_partial* partial, ulong parts, local sum_t* totals, local ulong* counts,
                                      local uint* words, uint items) {
    loss_total total = {sum_of(0.0f), sum_of(0.0f), 0, 0, 0};
    for (ulong i = get_local_id(0); i < parts; i += items) {
        total.loss = sum_add(total.loss, from_cell(partial[i].loss));
        total.correct += partial[i].correct;
        total.weight = sum_add(total.weight, from_cell(partial[i].weight));
        total.rows += partial[i].rows;
        total.flags |= partial[i].flags;
    }
    total.loss = group_sum(totals, total.loss, items);
    total.correct = group_count(counts, total.correct, items);
    total.weight = group_sum(totals, total.weight, items);
    total.rows = group_count(counts, total.rows, items);
    total.flags = group_or(words, total.flags, items);
    if (!sum_finite(total.loss)) total.flags |= HPC_FLAG_NONFINITE;
    return total;
}

// By one work-item, all but the flags. counts_rows, weighs: the rows that count, and their weight, are the parts'; else both are `rows`.
static inline void add_to_metrics(global device_metrics* metrics, loss_total total, ulong rows, ulong divisor, float weight, uint counts_rows,
                                  uint weighs) {
    const sum_t loss = sum_over(sum_times(total.loss, weight), divisor);
    metrics->loss = to_cell(sum_add(from_cell(metrics->loss), loss));
    // Rows of a run are far below 2^32, and two floats hold their number exactly.
    const sum_t all = sum_add(sum_times(sum_of((float)(rows >> 16)), 65536.0f), sum_of((float)(rows & 65535)));
    metrics->weight = to_cell(sum_add(from_cell(metrics->weight), weighs ? total.weight : all));
    metrics->rows += counts_rows ? total.rows : rows;
    metrics->correct += total.correct;
}
