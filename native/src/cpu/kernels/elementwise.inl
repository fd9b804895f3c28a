// Elementwise kernels: activations alone and as GEMM epilogues, biases, column sums, losses, flat vector arithmetic.
//
// Matrices are row-major. Every loop takes whole vectors and one partial vector at the end, through the same formula,
// so that the bits of an element do not depend on its place. Reductions over rows go column by column, row after row.
//
// An activation or a loss needs nothing here: its row in formulas/ becomes one of the types below.

#define HPC_ROW(enumerator, name, keeps_, parameters_)                                                     \
    struct name##_activation {                                                                             \
        static constexpr int keeps = HPC_KEEPS_##keeps_;                                                   \
        template <class F>                                                                                \
        static HPC_INLINE F value(F x, F alpha, F beta) {                                                 \
            return name##_value(x, alpha, beta);                                                           \
        }                                                                                                  \
        template <class F>                                                                                \
        static HPC_INLINE F derivative(F k, F alpha, F beta) {                                            \
            return name##_derivative(k, alpha, beta);                                                      \
        }                                                                                                  \
    };
HPC_ACTIVATIONS(HPC_ROW)
#undef HPC_ROW

#define HPC_ROW(enumerator, name, parameters_)                                                                     \
    struct name##_loss {                                                                                           \
        template <class F>                                                                                         \
        static HPC_INLINE F value(F p, F t, F alpha, F beta) {                                                     \
            return name##_value(p, t, alpha, beta);                                                                \
        }                                                                                                          \
        template <class F>                                                                                         \
        static HPC_INLINE F derivative(F p, F t, F alpha, F beta) {                                                \
            return name##_derivative(p, t, alpha, beta);                                                           \
        }                                                                                                          \
    };
HPC_LOSSES(HPC_ROW)
#undef HPC_ROW

// ---- Activations ----------------------------------------------------------------------------------------------------

// Where a pass writes what it has not read: into the caches, or past them, for arrays that none will hold. There a plain store would
// first read the line that it overwrites. A single core then reads at its limit only where lines are asked for by hand; measured
// from 512 to 16384 bytes ahead, the same from 1 to 8 KB. (Pieces that are made in the first-level cache and copied past the others
// are as fast for light formulas, but a formula that takes its time waits for each copy.)
struct Near {
    template <class F>
    static HPC_INLINE void store(F v, float* p) {
        v.store(p);
    }
    template <class F>
    static HPC_INLINE F load(const float* p) {
        return F::load(p);
    }
};
struct Past {
    static constexpr int64_t kAhead = 512;
    template <class F>
    static HPC_INLINE void store(F v, float* p) {
        v.store_past(p);
    }
    template <class F>
    static HPC_INLINE F load(const float* p) {
        ask_for(p + kAhead, F::lanes);
        return F::load(p);
    }
};

// pass(Past or Near)
template <class Pass>
static HPC_INLINE void stored([[maybe_unused]] bool past, const Pass& pass) {
#if !defined(HPC_ISA_SCALAR)
    if (past) {
        pass(Past{});
        fence_past();
        return;
    }
#endif
    pass(Near{});
}

// A row's last pass: value(vector, j) for whole vectors, rest(j, width) for others. Past the caches go whole lines only.
template <class Value, class Rest>
static HPC_INLINE void put_row(float* y, int64_t count, [[maybe_unused]] bool past, const Value& value, const Rest& rest) {
    int64_t j = 0;
#if !defined(HPC_ISA_SCALAR)
    if (past) {
        int64_t head = static_cast<int64_t>((64 - reinterpret_cast<uintptr_t>(y) % 64) % 64 / sizeof(float));
        if (head > count) head = count;
        for (int64_t width; j < head; j += width) {
            width = head - j < V::lanes ? head - j : V::lanes;
            rest(j, width).store_exact(y + j, width);
        }
        for (; j + Pair<V>::lanes <= count; j += Pair<V>::lanes) value(Pair<V>{}, j).store_past(y + j);
        if constexpr (V::lanes == 16) {
            for (; j + V::lanes <= count; j += V::lanes) value(V{}, j).store_past(y + j);
        }
    }
#endif
    for (; j + Pair<V>::lanes <= count; j += Pair<V>::lanes) value(Pair<V>{}, j).store(y + j);
    for (; j + V::lanes <= count; j += V::lanes) value(V{}, j).store(y + j);
    if (j < count) rest(j, count - j).store_exact(y + j, count - j);
}

// y = f(x + bias), d = f'(x + bias), over one row
template <class A, bool has_bias, bool has_derivative, class To = Near>
static HPC_INLINE void forward_row(const float* x, const float* bias, float* y, float* d, int64_t count, float alpha, float beta) {
    int64_t i = 0;
    // One vector, or two side by side
    const auto whole = [&](auto vector) HPC_INLINE_LAMBDA {
        using F = decltype(vector);
        const F a = F::broadcast(alpha), b = F::broadcast(beta);
        F v = To::template load<F>(x + i);
        if constexpr (has_bias) v = v + F::load(bias + i);
        const F value = A::value(v, a, b);
        To::store(value, y + i);
        if constexpr (has_derivative) To::store(A::derivative(A::keeps == HPC_KEEPS_OUTPUT ? value : v, a, b), d + i);
    };
    for (; i + Pair<V>::lanes <= count; i += Pair<V>::lanes) whole(Pair<V>{});
    for (; i + V::lanes <= count; i += V::lanes) whole(V{});
    if (i < count) {
        const int64_t rest = count - i;
        const V a = V::broadcast(alpha), b = V::broadcast(beta);
        V v = V::load_partial(x + i, rest);
        if constexpr (has_bias) v = v + V::load_partial(bias + i, rest);
        const V value = A::value(v, a, b);
        value.store_exact(y + i, rest);
        if constexpr (has_derivative) A::derivative(A::keeps == HPC_KEEPS_OUTPUT ? value : v, a, b).store_exact(d + i, rest);
    }
}

template <class A, bool has_bias, bool has_derivative>
static void forward_rows(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                         int64_t cols) {
    const float* product = self.product ? self.product : c;
    const int64_t ldproduct = self.product ? self.ldproduct : ldc;
    const float* bias = has_bias ? self.bias + col : nullptr;
    for (int64_t r = 0; r < rows; ++r) {
        float* d = has_derivative ? self.kept + (row + r) * self.ldkept + col : nullptr;
        forward_row<A, has_bias, has_derivative>(product + r * ldproduct, bias, c + r * ldc, d, cols, self.alpha, self.beta);
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
static void activation_forward(const float* x, float* y, float* derivative, int64_t count, float alpha, float beta, bool past) {
    stored(past, [&](auto to) HPC_INLINE_LAMBDA {
        if (derivative != nullptr) {
            forward_row<A, false, true, decltype(to)>(x, nullptr, y, derivative, count, alpha, beta);
        } else {
            forward_row<A, false, false, decltype(to)>(x, nullptr, y, nullptr, count, alpha, beta);
        }
    });
}

// The factor of the incoming gradient. What was kept is the derivative itself, or the output to compute it from, or
// nothing where it is constant.
template <class A>
static HPC_INLINE V backward_factor(V kept, V alpha, V beta) {
    if constexpr (A::keeps == HPC_KEEPS_DERIVATIVE) return kept;
    return A::derivative(kept, alpha, beta);
}

template <class A, bool has_kept, class To = Near>
static HPC_INLINE void backward_row(const float* kept, const float* dy, float* dx, int64_t count, V alpha, V beta) {
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) {
        const V k = has_kept ? To::template load<V>(kept + i) : V::zero();
        To::store(To::template load<V>(dy + i) * backward_factor<A>(k, alpha, beta), dx + i);
    }
    if (i < count) {
        const int64_t rest = count - i;
        const V k = has_kept ? V::load_partial(kept + i, rest) : V::zero();
        (V::load_partial(dy + i, rest) * backward_factor<A>(k, alpha, beta)).store_exact(dx + i, rest);
    }
}

template <class A>
static void activation_backward(const float* kept, const float* dy, float* dx, int64_t count, float alpha, float beta, bool past) {
    const V a = V::broadcast(alpha), b = V::broadcast(beta);
    stored(past, [&](auto to) HPC_INLINE_LAMBDA {
        if constexpr (A::keeps == HPC_KEEPS_NOTHING) {
            backward_row<A, false, decltype(to)>(nullptr, dy, dx, count, a, b);
        } else {
            backward_row<A, true, decltype(to)>(kept, dy, dx, count, a, b);
        }
    });
}

// One vector's width of columns, down the rows: c = product f'(kept), and the column sums of the result.
template <class A, bool has_kept>
static HPC_INLINE void backward_columns(const float* product, int64_t ldproduct, float* c, int64_t ldc, const float* kept, int64_t ldkept,
                                        float* sums, int64_t rows, int64_t width, V alpha, V beta) {
    V sum = V::load_partial(sums, width);
    for (int64_t r = 0; r < rows; ++r) {
        V v = V::load_partial(product, width);
        if constexpr (has_kept) {
            v = v * backward_factor<A>(V::load_partial(kept, width), alpha, beta);
            kept += ldkept;
        }
        if (has_kept || product != c) v.store_exact(c, width);
        sum = sum + v;
        product += ldproduct;
        c += ldc;
    }
    sum.store_partial(sums, width);
}

template <class A>
static void epilogue_backward(const Epilogue& self, float* c, int64_t ldc, int64_t row, int64_t col, int64_t rows,
                              int64_t cols) {
    const float* product = self.product ? self.product : c;
    int64_t ldproduct = self.product ? self.ldproduct : ldc;
    const V alpha = V::broadcast(self.alpha), beta = V::broadcast(self.beta);
    constexpr bool constant = A::keeps == HPC_KEEPS_NOTHING;
    const float* kept = constant || self.kept == nullptr ? nullptr : self.kept + row * self.ldkept + col;
    if (self.sums == nullptr) {
        for (int64_t r = 0; r < rows; ++r) {
            const float* dy = product + r * ldproduct;
            float* dx = c + r * ldc;
            if constexpr (constant) {
                backward_row<A, false>(nullptr, dy, dx, cols, alpha, beta);
            } else if (kept != nullptr) {
                backward_row<A, true>(kept + r * self.ldkept, dy, dx, cols, alpha, beta);
            } else if (dy != dx) {
                std::memcpy(dx, dy, static_cast<size_t>(cols) * sizeof(float));
            }
        }
        return;
    }
    if constexpr (constant) {
        for (int64_t r = 0; r < rows; ++r) backward_row<A, false>(nullptr, product + r * ldproduct, c + r * ldc, cols, alpha, beta);
        product = c;
        ldproduct = ldc;
    }
    float* sums = self.sums + col;
    for (int64_t j = 0; j < cols; j += V::lanes) {
        const int64_t width = cols - j < V::lanes ? cols - j : V::lanes;
        // A literal width lets the compiler drop the masks.
        if (kept == nullptr) {
            if (width == V::lanes) {
                backward_columns<A, false>(product + j, ldproduct, c + j, ldc, nullptr, 0, sums + j, rows, V::lanes, alpha, beta);
            } else {
                backward_columns<A, false>(product + j, ldproduct, c + j, ldc, nullptr, 0, sums + j, rows, width, alpha, beta);
            }
        } else {
            if (width == V::lanes) {
                backward_columns<A, true>(product + j, ldproduct, c + j, ldc, kept + j, self.ldkept, sums + j, rows, V::lanes, alpha, beta);
            } else {
                backward_columns<A, true>(product + j, ldproduct, c + j, ldc, kept + j, self.ldkept, sums + j, rows, width, alpha, beta);
            }
        }
    }
}

// ---- PReLU ----------------------------------------------------------------------------------------------------------

static HPC_INLINE V slope_at(const float* slope, int64_t j, int64_t width, bool shared) {
    return shared ? V::broadcast(*slope) : V::load_partial(slope + j, width);
}

static void prelu_forward(const float* x, const float* slope, float* y, int64_t rows, int64_t columns, bool shared, bool past) {
    // One slope for all: the rows are one long row.
    if (shared) columns *= rows, rows = columns > 0 ? 1 : 0;
    for (int64_t r = 0; r < rows; ++r, x += columns, y += columns) {
        put_row(
            y, columns, past,
            [&](auto vector, int64_t j) HPC_INLINE_LAMBDA {
                using F = decltype(vector);
                return prelu_value(F::load(x + j), shared ? F::broadcast(*slope) : F::load(slope + j));
            },
            [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
                return prelu_value(V::load_partial(x + j, width), slope_at(slope, j, width, shared));
            });
    }
    if (past) fence_past();
}

template <bool has_dx, bool has_slope_sums, bool has_sums>
static HPC_INLINE void prelu_backward_rows(const PReluRows& p) {
    const float *x = p.x, *dy = p.dy;
    float* dx = p.dx;
    for (int64_t r = 0; r < p.rows; ++r, x += p.columns, dy += p.columns) {
        const auto step = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
            const V v = V::load_partial(x + j, width), d = V::load_partial(dy + j, width);
            if constexpr (has_slope_sums) {
                (V::load_partial(p.slope_sums + j, width) + prelu_slope_derivative(v) * d).store_partial(p.slope_sums + j, width);
            }
            if constexpr (has_dx) {
                const V g = prelu_derivative(v, slope_at(p.slope, j, width, p.shared)) * d;
                g.store_exact(dx + j, width);
                if constexpr (has_sums) (V::load_partial(p.sums + j, width) + g).store_partial(p.sums + j, width);
            }
        };
        int64_t j = 0;
        for (; j + V::lanes <= p.columns; j += V::lanes) step(j, V::lanes);
        if (j < p.columns) step(j, p.columns - j);
        if constexpr (has_dx) dx += p.columns;
    }
}

static void prelu_backward(const PReluRows& p) {
    if (p.dx == nullptr) {
        prelu_backward_rows<false, true, false>(p);
    } else if (p.slope_sums == nullptr) {
        if (p.sums == nullptr) {
            prelu_backward_rows<true, false, false>(p);
        } else {
            prelu_backward_rows<true, false, true>(p);
        }
    } else if (p.sums == nullptr) {
        prelu_backward_rows<true, true, false>(p);
    } else {
        prelu_backward_rows<true, true, true>(p);
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

// Elements [first, end) of one run of columns, or of all where there are none: weights and alphas lie side by side with
// the elements from `first` on.
template <class L, bool has_gradient, bool has_columns, class To = Near>
static HPC_INLINE void loss_run(LossElements& elements, int64_t first, int64_t end, const float* weights, const float* alphas) {
    // A copy that no store can change, so that the loop keeps it in registers.
    const LossElements e = elements;
    // Two chains of additions, by turns.
    DoubleSum even, odd;
    int64_t i = first;
    // The values of one vector, or of two side by side; their gradient is written.
    const auto values = [&](auto vector, auto load, auto store) HPC_INLINE_LAMBDA {
        using F = decltype(vector);
        const F p = load(e.prediction + i), t = load(e.target + i), beta = F::broadcast(e.beta);
        F alpha = F::broadcast(e.alpha);
        if constexpr (has_columns) alpha = load(alphas + (i - first));
        if constexpr (has_gradient) {
            F g = L::derivative(p, t, alpha, beta) * F::broadcast(e.scale);
            if constexpr (has_columns) g = g * load(weights + (i - first));
            store(g, e.gradient + i);
        }
        F v = L::value(p, t, alpha, beta);
        if constexpr (has_columns) v = v * load(weights + (i - first));
        return v;
    };
    const auto whole = [&](auto vector) HPC_INLINE_LAMBDA {
        using F = decltype(vector);
        return values(
            vector, [](const float* x) HPC_INLINE_LAMBDA { return To::template load<F>(x); },
            [](F g, float* x) HPC_INLINE_LAMBDA { To::store(g, x); });
    };
    for (; i + Pair<V>::lanes <= end; i += Pair<V>::lanes) {
        const Pair<V> v = whole(Pair<V>{});
        even.add(v.a), odd.add(v.b);
    }
    if (i + V::lanes <= end) {
        even.add(whole(V{}));
        i += V::lanes;
    }
    if (i < end) {
        const int64_t rest = end - i;
        const V v = values(
            V{}, [=](const float* x) HPC_INLINE_LAMBDA { return V::load_partial(x, rest); },
            [=](V g, float* x) HPC_INLINE_LAMBDA { g.store_partial(x, rest); });
        odd.add(first_lanes(v, rest, V::zero()));
    }
    elements.loss += even.total() + odd.total();
}

// Narrow rows go together: their weights and alphas are written side by side, once, for up to kRun elements.
template <class L, bool has_gradient>
static void loss_columns(LossElements& e) {
    constexpr int64_t kRun = 512;
    if (e.columns > kRun) {
        float ones[kRun], alphas[kRun];
        for (int64_t i = 0; i < kRun; ++i) ones[i] = 1, alphas[i] = e.alpha;
        for (int64_t row = 0; row < e.count; row += e.columns) {
            for (int64_t j = 0; j < e.columns; j += kRun) {
                const int64_t end = j + kRun < e.columns ? j + kRun : e.columns;
                loss_run<L, has_gradient, true>(e, row + j, row + end, e.weights ? e.weights + j : ones, e.alphas ? e.alphas + j : alphas);
            }
        }
        return;
    }
    float weights[kRun], alphas[kRun];
    const int64_t run = kRun / e.columns * e.columns;
    for (int64_t i = 0; i < run; ++i) {
        weights[i] = e.weights ? e.weights[i % e.columns] : 1;
        alphas[i] = e.alphas ? e.alphas[i % e.columns] : e.alpha;
    }
    for (int64_t i = 0; i < e.count; i += run)
        loss_run<L, has_gradient, true>(e, i, i + run < e.count ? i + run : e.count, weights, alphas);
}

template <class L>
static void loss(LossElements& e) {
    const bool columns = e.weights != nullptr || e.alphas != nullptr;
    if (e.gradient != nullptr) {
        if (columns) {
            loss_columns<L, true>(e);
        } else {
            stored(e.past, [&](auto to) HPC_INLINE_LAMBDA { loss_run<L, true, false, decltype(to)>(e, 0, e.count, nullptr, nullptr); });
        }
    } else if (columns) {
        loss_columns<L, false>(e);
    } else {
        loss_run<L, false, false>(e, 0, e.count, nullptr, nullptr);
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

static double sum_of_magnitudes(const float* x, int64_t count) {
    DoubleSum a, b;
    constexpr int64_t n = V::lanes;
    int64_t i = 0;
    for (; i + 2 * n <= count; i += 2 * n) {
        a.add(abs(V::load(x + i)));
        b.add(abs(V::load(x + i + n)));
    }
    for (; i < count; i += n) a.add(abs(V::load_partial(x + i, count - i < n ? count - i : n)));
    return a.total() + b.total();
}

// A NaN is the largest of all.
static float largest_magnitude(const float* x, int64_t count) {
    constexpr int64_t n = V::lanes;
    V largest = V::zero(), not_numbers = V::zero();
    for (int64_t i = 0; i < count; i += n) {
        const V v = abs(V::load_partial(x + i, count - i < n ? count - i : n));
        largest = max_keep(largest, v);
        not_numbers = not_numbers + (v - v);
    }
    // Infinity less infinity is no number either: what is not finite is looked at once more.
    const float missing = reduce_add(not_numbers);
    if (missing == 0.0f) return reduce_max(largest);
    for (int64_t i = 0; i < count; i++)
        if (x[i] != x[i]) return x[i];
    return reduce_max(largest);
}

static HPC_INLINE V clipped(V x, V low, V high) { return min_keep(max_keep(x, low), high); }

static void clip(float* x, int64_t count, float limit) {
    const V high = V::broadcast(limit), low = V::zero() - high;
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) clipped(V::load(x + i), low, high).store(x + i);
    if (i < count) clipped(V::load_partial(x + i, count - i), low, high).store_partial(x + i, count - i);
}

static HPC_INLINE V penalized(V x, V y, V l1, V l2) {
    const V sign = select(equal(x, V::zero()), V::zero(), copysign(l1, x));
    return y + fma(l2, x, sign);
}

static void add_penalty(const float* x, float* y, int64_t count, float l1, float l2) {
    // The sign of l1 is not copysign's to lose.
    const V a = V::broadcast(l1 < 0.0f ? -l1 : l1), b = V::broadcast(l1 < 0.0f ? -l2 : l2);
    const V direction = V::broadcast(l1 < 0.0f ? -1.0f : 1.0f);
    const auto step = [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA {
        const V v = V::load_partial(x + i, width), w = V::load_partial(y + i, width);
        (direction * penalized(v, direction * w, a, b)).store_partial(y + i, width);
    };
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) step(i, V::lanes);
    if (i < count) step(i, count - i);
}

// One vector's width of columns. The column is measured in units of its largest number, so that no square overflows or
// vanishes, and in blocks of rows, so that the sum's error does not grow with them.
static HPC_INLINE void limit_columns(float* x, int64_t ldx, int64_t rows, int64_t width, float max_norm) {
    V largest = V::zero();
    for (int64_t r = 0; r < rows; ++r) largest = max_keep(largest, abs(V::load_partial(x + r * ldx, width)));
    const V nothing = V::broadcast(1.0f), unit = select(less(V::zero(), largest), largest, nothing);
    V total = V::zero();
    for (int64_t first = 0; first < rows; first += 64) {
        const int64_t end = first + 64 < rows ? first + 64 : rows;
        V sum = V::zero();
        for (int64_t r = first; r < end; ++r) {
            const V part = V::load_partial(x + r * ldx, width) / unit;
            sum = fma(part, part, sum);
        }
        total = total + sum;
    }
    const V bound = V::broadcast(max_norm) / unit, norm = sqrt(total);
    const V factor = select(less(bound, norm), bound / (norm + V::broadcast(1e-7f) / unit), nothing);
    if (reduce_max(abs(factor - nothing)) == 0.0f) return;
    for (int64_t r = 0; r < rows; ++r) {
        float* row = x + r * ldx;
        (V::load_partial(row, width) * factor).store_partial(row, width);
    }
}

static void limit_column_norms(float* x, int64_t ldx, int64_t rows, int64_t columns, float max_norm) {
    for (int64_t j = 0; j < columns; j += V::lanes)
        limit_columns(x + j, ldx, rows, columns - j < V::lanes ? columns - j : V::lanes, max_norm);
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

// Nothing is read here, and stores past the caches were no faster (27 GB/s, these 31).
static void fill(float* x, int64_t count, float value) {
    const V v = V::broadcast(value);
    int64_t i = 0;
    for (; i + V::lanes <= count; i += V::lanes) v.store(x + i);
    if (i < count) v.store_partial(x + i, count - i);
}

static void fast_gradient_sign(const float* x, const float* gradient, float* y, int64_t count, float epsilon, float low, float high,
                               bool past) {
    const V e = V::broadcast(epsilon), l = V::broadcast(low), h = V::broadcast(high);
    int64_t i = 0;
    stored(past, [&](auto to) HPC_INLINE_LAMBDA {
        using To = decltype(to);
        for (; i + V::lanes <= count; i += V::lanes)
            To::store(fast_gradient_sign_step(To::template load<V>(x + i), To::template load<V>(gradient + i), e, l, h), y + i);
    });
    if (i < count) {
        const int64_t rest = count - i;
        fast_gradient_sign_step(V::load_partial(x + i, rest), V::load_partial(gradient + i, rest), e, l, h).store_exact(y + i, rest);
    }
}

static void multiply(const float* x, const float* y, float* z, int64_t count, bool past) {
    int64_t i = 0;
    stored(past, [&](auto to) HPC_INLINE_LAMBDA {
        using To = decltype(to);
        for (; i + V::lanes <= count; i += V::lanes) To::store(To::template load<V>(x + i) * To::template load<V>(y + i), z + i);
    });
    if (i < count) {
        const int64_t rest = count - i;
        (V::load_partial(x + i, rest) * V::load_partial(y + i, rest)).store_partial(z + i, rest);
    }
}
