// Elementwise kernels: activations alone and as GEMM epilogues, biases, column sums, losses, flat vector arithmetic.
//
// Matrices are row-major. Every loop takes whole vectors and one partial vector at the end, through the same formula,
// so that the bits of an element do not depend on its place. Reductions over rows go column by column, row after row.
//
// An activation or a loss needs nothing here: its row in formulas/ becomes one of the types below.

#define HPC_ROW(enumerator, name, keeps_, parameters_)                                                     \
    struct name##_activation {                                                                             \
        static constexpr int keeps = HPC_KEEPS_##keeps_;                                                   \
        static HPC_INLINE V value(V x, V alpha, V beta) { return name##_value(x, alpha, beta); }           \
        static HPC_INLINE V derivative(V k, V alpha, V beta) { return name##_derivative(k, alpha, beta); } \
    };
HPC_ACTIVATIONS(HPC_ROW)
#undef HPC_ROW

#define HPC_ROW(enumerator, name, parameters_)                                                                     \
    struct name##_loss {                                                                                           \
        static HPC_INLINE V value(V p, V t, V alpha, V beta) { return name##_value(p, t, alpha, beta); }           \
        static HPC_INLINE V derivative(V p, V t, V alpha, V beta) { return name##_derivative(p, t, alpha, beta); } \
    };
HPC_LOSSES(HPC_ROW)
#undef HPC_ROW

// ---- Activations ----------------------------------------------------------------------------------------------------

// y = f(x + bias), d = f'(x + bias), over one row
template <class A, bool has_bias, bool has_derivative>
static HPC_INLINE void forward_row(const float* x, const float* bias, float* y, float* d, int64_t count, V alpha,
                                   V beta) {
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) {
        V v = V::load(x + i);
        if constexpr (has_bias) v = v + V::load(bias + i);
        const V value = A::value(v, alpha, beta);
        value.store(y + i);
        if constexpr (has_derivative) {
            A::derivative(A::keeps == HPC_KEEPS_OUTPUT ? value : v, alpha, beta).store(d + i);
        }
    }
    if (i < count) {
        const int64_t rest = count - i;
        V v = V::load_partial(x + i, rest);
        if constexpr (has_bias) v = v + V::load_partial(bias + i, rest);
        const V value = A::value(v, alpha, beta);
        value.store_exact(y + i, rest);
        if constexpr (has_derivative) {
            A::derivative(A::keeps == HPC_KEEPS_OUTPUT ? value : v, alpha, beta).store_exact(d + i, rest);
        }
    }
}

template <class A, bool has_bias, bool has_derivative>
static void forward_rows(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                         int64_t cols) {
    const V alpha = V::broadcast(self.alpha), beta = V::broadcast(self.beta);
    const float* bias = has_bias ? self.bias + col : nullptr;
    for (int64_t r = 0; r < rows; ++r) {
        float* y = c + r * ldc;
        float* d = has_derivative ? self.kept + (row + r) * self.ldkept + col : nullptr;
        forward_row<A, has_bias, has_derivative>(y, bias, y, d, cols, alpha, beta);
    }
}

template <class A>
static void epilogue_forward(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                             int64_t cols) {
    if (self.bias != nullptr && self.kept != nullptr) {
        forward_rows<A, true, true>(self, c, ldc, row, col, rows, cols);
    } else if (self.bias != nullptr) {
        forward_rows<A, true, false>(self, c, ldc, row, col, rows, cols);
    } else if (self.kept != nullptr) {
        forward_rows<A, false, true>(self, c, ldc, row, col, rows, cols);
    } else {
        forward_rows<A, false, false>(self, c, ldc, row, col, rows, cols);
    }
}

template <class A>
static void activation_forward(const float* x, float* y, float* derivative, int64_t count, float alpha, float beta) {
    const V a = V::broadcast(alpha), b = V::broadcast(beta);
    if (derivative != nullptr) {
        forward_row<A, false, true>(x, nullptr, y, derivative, count, a, b);
    } else {
        forward_row<A, false, false>(x, nullptr, y, nullptr, count, a, b);
    }
}

// The factor of the incoming gradient. What was kept is the derivative itself, or the output to compute it from, or
// nothing where it is constant.
template <class A>
static HPC_INLINE V backward_factor(V kept, V alpha, V beta) {
    if constexpr (A::keeps == HPC_KEEPS_DERIVATIVE) return kept;
    return A::derivative(kept, alpha, beta);
}

template <class A, bool has_kept>
static HPC_INLINE void backward_row(const float* kept, const float* dy, float* dx, int64_t count, V alpha, V beta) {
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) {
        const V k = has_kept ? V::load(kept + i) : V::zero();
        (V::load(dy + i) * backward_factor<A>(k, alpha, beta)).store(dx + i);
    }
    if (i < count) {
        const int64_t rest = count - i;
        const V k = has_kept ? V::load_partial(kept + i, rest) : V::zero();
        (V::load_partial(dy + i, rest) * backward_factor<A>(k, alpha, beta)).store_exact(dx + i, rest);
    }
}

template <class A>
static void activation_backward(const float* kept, const float* dy, float* dx, int64_t count, float alpha, float beta) {
    const V a = V::broadcast(alpha), b = V::broadcast(beta);
    if constexpr (A::keeps == HPC_KEEPS_NOTHING) {
        (void)kept;
        backward_row<A, false>(nullptr, dy, dx, count, a, b);
    } else {
        backward_row<A, true>(kept, dy, dx, count, a, b);
    }
}

// One vector's width of columns, down the rows: c = c f'(kept), and the column sums of the result.
template <class A, bool has_kept>
static HPC_INLINE void backward_columns(float* c, int64_t ldc, const float* kept, int64_t ldkept, float* sums,
                                        int64_t rows, int64_t width, V alpha, V beta) {
    V sum = V::load_partial(sums, width);
    for (int64_t r = 0; r < rows; ++r) {
        V v = V::load_partial(c, width);
        if constexpr (has_kept) {
            v = v * backward_factor<A>(V::load_partial(kept, width), alpha, beta);
            v.store_exact(c, width);
            kept += ldkept;
        }
        sum = sum + v;
        c += ldc;
    }
    sum.store_partial(sums, width);
}

template <class A>
static void epilogue_backward(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                              int64_t cols) {
    const V alpha = V::broadcast(self.alpha), beta = V::broadcast(self.beta);
    constexpr bool constant = A::keeps == HPC_KEEPS_NOTHING;
    const float* kept = constant || self.kept == nullptr ? nullptr : self.kept + row * self.ldkept + col;
    if (self.sums == nullptr) {
        if (kept == nullptr && !constant) return;
        for (int64_t r = 0; r < rows; ++r) {
            float* dx = c + r * ldc;
            if constexpr (constant) {
                backward_row<A, false>(nullptr, dx, dx, cols, alpha, beta);
            } else {
                backward_row<A, true>(kept + r * self.ldkept, dx, dx, cols, alpha, beta);
            }
        }
        return;
    }
    if constexpr (constant) {
        for (int64_t r = 0; r < rows; ++r) backward_row<A, false>(nullptr, c + r * ldc, c + r * ldc, cols, alpha, beta);
    }
    float* sums = self.sums + col;
    for (int64_t j = 0; j < cols; j += V::lanes) {
        const int64_t width = cols - j < V::lanes ? cols - j : V::lanes;
        // A literal width lets the compiler drop the masks.
        if (kept == nullptr) {
            if (width == V::lanes) {
                backward_columns<A, false>(c + j, ldc, nullptr, 0, sums + j, rows, V::lanes, alpha, beta);
            } else {
                backward_columns<A, false>(c + j, ldc, nullptr, 0, sums + j, rows, width, alpha, beta);
            }
        } else {
            if (width == V::lanes) {
                backward_columns<A, true>(c + j, ldc, kept + j, self.ldkept, sums + j, rows, V::lanes, alpha, beta);
            } else {
                backward_columns<A, true>(c + j, ldc, kept + j, self.ldkept, sums + j, rows, width, alpha, beta);
            }
        }
    }
}

// ---- Rows and columns -----------------------------------------------------------------------------------------------

static void add_rows(const float* x, const float* bias, float* y, int64_t rows, int64_t columns) {
    for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
        int64_t j = 0;
        for (; j + V::lanes <= columns; j += V::lanes) (V::load(x + j) + V::load(bias + j)).store(y + j);
        if (j < columns) {
            const int64_t rest = columns - j;
            (V::load_partial(x + j, rest) + V::load_partial(bias + j, rest)).store_exact(y + j, rest);
        }
    }
}

// start + x[0] + x[ldx] + ..., for one vector's width of columns. Four independent neighbours at a time keep the adders
// and the cache lines of a row busy.
static HPC_INLINE void sum_down(const float* x, int64_t ldx, int64_t rows, int64_t columns, const float* start,
                                float* y) {
    constexpr int64_t n = V::lanes;
    int64_t j = 0;
    for (; j + 4 * n <= columns; j += 4 * n) {
        V a = V::zero(), b = V::zero(), c = V::zero(), d = V::zero();
        if (start != nullptr) {
            a = V::load(start + j), b = V::load(start + j + n);
            c = V::load(start + j + 2 * n), d = V::load(start + j + 3 * n);
        }
        const float* p = x + j;
        for (int64_t r = 0; r < rows; ++r, p += ldx) {
            a = a + V::load(p);
            b = b + V::load(p + n);
            c = c + V::load(p + 2 * n);
            d = d + V::load(p + 3 * n);
        }
        a.store(y + j), b.store(y + j + n);
        c.store(y + j + 2 * n), d.store(y + j + 3 * n);
    }
    for (; j < columns; j += n) {
        const int64_t width = columns - j < n ? columns - j : n;
        V a = start != nullptr ? V::load_partial(start + j, width) : V::zero();
        const float* p = x + j;
        for (int64_t r = 0; r < rows; ++r, p += ldx) a = a + V::load_partial(p, width);
        a.store_partial(y + j, width);
    }
}

static void column_sums(const float* x, int64_t ldx, int64_t rows, int64_t columns, float* sums) {
    sum_down(x, ldx, rows, columns, sums, sums);
}

static void sum_parts(const float* partials, int64_t parts, int64_t ldp, float* y, int64_t count) {
    sum_down(partials, ldp, parts, count, nullptr, y);
}

// ---- Losses ---------------------------------------------------------------------------------------------------------

template <class L, bool has_gradient>
static HPC_INLINE void loss_elements(LossElements& e) {
    const V alpha = V::broadcast(e.alpha), beta = V::broadcast(e.beta), scale = V::broadcast(e.scale);
    // Two chains of additions, by turns.
    DoubleSum even, odd;
    int64_t i = 0;
    const auto step = [&](DoubleSum& sum) HPC_INLINE_LAMBDA {
        const V p = V::load(e.prediction + i), t = V::load(e.target + i);
        if constexpr (has_gradient) (L::derivative(p, t, alpha, beta) * scale).store(e.gradient + i);
        sum.add(L::value(p, t, alpha, beta));
        i += V::lanes;
    };
    while (i + 2 * V::lanes <= e.count) {
        step(even);
        step(odd);
    }
    if (i + V::lanes <= e.count) step(even);
    if (i < e.count) {
        const int64_t rest = e.count - i;
        const V p = V::load_partial(e.prediction + i, rest), t = V::load_partial(e.target + i, rest);
        if constexpr (has_gradient) (L::derivative(p, t, alpha, beta) * scale).store_partial(e.gradient + i, rest);
        odd.add(first_lanes(L::value(p, t, alpha, beta), rest, V::zero()));
    }
    e.loss += even.total() + odd.total();
}

template <class L>
static void loss(LossElements& e) {
    if (e.gradient != nullptr) {
        loss_elements<L, true>(e);
    } else {
        loss_elements<L, false>(e);
    }
}

// ---- Flat vectors ---------------------------------------------------------------------------------------------------

// In double precision: neither do the squares of floats overflow there, nor does the sum lose the small ones.
static double sum_of_squares(const float* x, int64_t count) {
    DoubleSum a, b, c, d;
    constexpr int64_t n = V::lanes;
    int64_t i = 0;
    for (; i + 4 * n <= count; i += 4 * n) {
        a.add_square(V::load(x + i));
        b.add_square(V::load(x + i + n));
        c.add_square(V::load(x + i + 2 * n));
        d.add_square(V::load(x + i + 3 * n));
    }
    for (; i + n <= count; i += n) a.add_square(V::load(x + i));
    if (i < count) b.add_square(V::load_partial(x + i, count - i));
    return (a.total() + b.total()) + (c.total() + d.total());
}

static void scale(float* x, int64_t count, float factor) {
    const V f = V::broadcast(factor);
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) (V::load(x + i) * f).store(x + i);
    if (i < count) (V::load_partial(x + i, count - i) * f).store_partial(x + i, count - i);
}

static void add_scaled(const float* x, float* y, int64_t count, float factor) {
    const V f = V::broadcast(factor);
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) fma(f, V::load(x + i), V::load(y + i)).store(y + i);
    if (i < count) {
        const int64_t rest = count - i;
        fma(f, V::load_partial(x + i, rest), V::load_partial(y + i, rest)).store_partial(y + i, rest);
    }
}

static void fill(float* x, int64_t count, float value) {
    const V v = V::broadcast(value);
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) v.store(x + i);
    if (i < count) v.store_partial(x + i, count - i);
}

static void multiply(const float* x, const float* y, float* z, int64_t count) {
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) (V::load(x + i) * V::load(y + i)).store(z + i);
    if (i < count) {
        const int64_t rest = count - i;
        (V::load_partial(x + i, rest) * V::load_partial(y + i, rest)).store_partial(z + i, rest);
    }
}
