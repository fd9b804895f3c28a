// What a step of a recurrent cell does around its product, row by row: all gates of a vector's width of units at once, so
// that nothing is read or written twice. Cells are in formulas/cells.h; contract: RecurrentStep in cpu/kernels.h.

#define HPC_ROW(enumerator, name, gates_, state_, kept_, direct_)                                                  \
    struct name##_cell {                                                                                          \
        static constexpr int gates = gates_;                                                                      \
        static constexpr bool state = state_, kept = kept_, direct = direct_;                                     \
        static HPC_INLINE void forward(V* a, const V* u, V h, V* s, V* y) { name##_forward(a, u, h, s, y); }      \
        static HPC_INLINE void backward(V* a, V* u, V h, V s, V before, V dy, V* ds, V* dh) {                     \
            name##_backward(a, u, h, s, before, dy, ds, dh);                                                      \
        }                                                                                                         \
    };
HPC_CELLS(HPC_ROW)
#undef HPC_ROW

template <bool whole>
static HPC_INLINE V cell_load(const float* p, int64_t width) {
    if constexpr (whole) return V::load(p);
    return V::load_partial(p, width);
}
template <bool whole>
static HPC_INLINE void cell_store(V v, float* p, int64_t width) {
    if constexpr (whole) {
        v.store(p);
    } else {
        v.store_exact(p, width);
    }
}

// The units from j on of row r; `width` of them, a whole vector or its first lanes.
template <class C, bool keeps, bool whole>
static HPC_INLINE void cell_forward(const RecurrentStep& step, int64_t r, int64_t j, int64_t width) {
    const int64_t units = step.units;
    float* gates = step.gates + r * step.ldgates + j;
    const float* product = step.product + r * C::gates * units + j;
    V a[C::gates], u[C::gates];
    for (int g = 0; g < C::gates; ++g) {
        a[g] = cell_load<whole>(gates + g * units, width);
        u[g] = cell_load<whole>(product + g * units, width);
        if (step.bias) u[g] = u[g] + cell_load<whole>(step.bias + g * units + j, width);
    }
    const V h = cell_load<whole>(step.h + r * units + j, width);
    V s = V::zero(), y;
    if constexpr (C::state) s = cell_load<whole>(step.state + r * units + j, width);
    C::forward(a, u, h, &s, &y);
    if constexpr (C::state) cell_store<whole>(s, step.state + r * units + j, width);
    if constexpr (keeps) {
        for (int g = 0; g < C::gates; ++g) cell_store<whole>(a[g], gates + g * units, width);
        cell_store<whole>(h, step.previous + r * step.ldkept + j, width);
        if constexpr (C::kept) cell_store<whole>(s, step.kept + r * step.ldkept + j, width);
    }
    cell_store<whole>(y, step.h + r * units + j, width);
    if (step.y) cell_store<whole>(y, step.y + r * step.ldy + j, width);
}

template <class C, bool whole>
static HPC_INLINE void cell_backward(const RecurrentStep& step, int64_t r, int64_t j, int64_t width) {
    const int64_t units = step.units;
    float* gates = step.gates + r * step.ldgates + j;
    V a[C::gates], u[C::gates];
    for (int g = 0; g < C::gates; ++g) a[g] = cell_load<whole>(gates + g * units, width);
    V dy = cell_load<whole>(step.h + r * units + j, width);
    if constexpr (C::direct) dy = dy + cell_load<whole>(step.direct + r * units + j, width);
    if (step.y) dy = dy + cell_load<whole>(step.y + r * step.ldy + j, width);
    const V h = cell_load<whole>(step.previous + r * step.ldkept + j, width);
    V s = V::zero(), before = V::zero(), ds = V::zero(), dh = V::zero();
    if constexpr (C::kept) s = cell_load<whole>(step.kept + r * step.ldkept + j, width);
    if constexpr (C::state) {
        if (step.before) before = cell_load<whole>(step.before + r * step.ldbefore + j, width);
        ds = cell_load<whole>(step.state + r * units + j, width);
    }
    C::backward(a, u, h, s, before, dy, &ds, &dh);
    float* product = step.product + r * C::gates * units + j;
    for (int g = 0; g < C::gates; ++g) {
        cell_store<whole>(a[g], gates + g * units, width);
        cell_store<whole>(u[g], product + g * units, width);
        if constexpr (C::direct) cell_store<whole>(u[g], step.hidden + r * step.ldgates + g * units + j, width);
    }
    if constexpr (C::state) cell_store<whole>(ds, step.state + r * units + j, width);
    if constexpr (C::direct) cell_store<whole>(dh, step.direct + r * units + j, width);
}

template <class C, bool keeps>
static void cell_forward_rows(const RecurrentStep& step) {
    for (int64_t r = 0; r < step.rows; ++r) {
        int64_t j = 0;
        for (; j + V::lanes <= step.units; j += V::lanes) cell_forward<C, keeps, true>(step, r, j, V::lanes);
        if (j < step.units) cell_forward<C, keeps, false>(step, r, j, step.units - j);
    }
}

template <class C>
static void recurrent_forward(const RecurrentStep& step) {
    if (step.previous) {
        cell_forward_rows<C, true>(step);
    } else {
        cell_forward_rows<C, false>(step);
    }
}

template <class C>
static void recurrent_backward(const RecurrentStep& step) {
    for (int64_t r = 0; r < step.rows; ++r) {
        int64_t j = 0;
        for (; j + V::lanes <= step.units; j += V::lanes) cell_backward<C, true>(step, r, j, V::lanes);
        if (j < step.units) cell_backward<C, false>(step, r, j, step.units - j);
    }
}
