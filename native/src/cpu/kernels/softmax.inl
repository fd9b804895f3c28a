// Softmax and softmax cross-entropy, row by row. Rows are [classes], contiguous.
//
// A row's largest logit is subtracted first, so that no exponential overflows. Rows that fit into one vector stay in
// registers; longer ones take three passes over the first-level cache (maximum; exponentials and their sum; scaling).
// The order of a row's sums depends on the number of classes alone.

alignas(64) static constexpr float lane_numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

// Two vectors of the next row, or of what a later pass will write. The processor asks ahead only while a pass goes over new memory; the
// passes over the first-level cache would leave it idle.
static HPC_INLINE void ask_for(const float* p) { ask_for(p, Pair<V>::lanes); }

// A pass that keeps something of a row until it is written may write up to so many classes past the caches: that much fits the first
// level.
constexpr int64_t kPastClasses = 4096;

static HPC_INLINE V minus_infinity() { return V::broadcast(-HUGE_VALF); }

// NaN may be lost here; it comes back with the exponentials.
static HPC_INLINE float row_maximum(const float* x, int64_t count) {
    V m = minus_infinity();
    int64_t j = 0;
    if (count >= 4 * V::lanes) {
        // Each comparison waits for the one before: four at a time do not.
        using Four = Pair<Pair<V>>;
        Four four = Four::broadcast(-HUGE_VALF);
        for (; j + Four::lanes <= count; j += Four::lanes) four = max_keep(Four::load(x + j), four);
        m = max_keep(max_keep(four.a.a, four.a.b), max_keep(four.b.a, four.b.b));
    }
    for (; j + V::lanes <= count; j += V::lanes) m = max_keep(V::load(x + j), m);
    if (j < count) m = max_keep(first_lanes(V::load_partial(x + j, count - j), count - j, minus_infinity()), m);
    return reduce_max(m);
}

// The first index of `value`, or count.
static HPC_INLINE int64_t first_index(const float* x, int64_t count, float value) {
    const V v = V::broadcast(value);
    for (int64_t j = 0; j < count; j += V::lanes) {
        const int64_t width = count - j < V::lanes ? count - j : V::lanes;
        const int lane = first_true(equal(V::load_partial(x + j, width), v), width);
        if (lane < V::lanes) return j + lane;
    }
    return count;
}

// e^(x - maximum) in the row's lanes, 0 behind them. Those are taken out before as well: e^-infinity underflows, which
// stops the pipeline for a hundred cycles on processors that do not flush.
static HPC_INLINE V narrow_exponentials(V x, V maximum, int64_t classes) {
    return first_lanes(exp_falling(first_lanes(x - maximum, classes, V::zero())), classes, V::zero());
}

// y = softmax(x); x may equal y. The exponentials stay in e, which may be y, until their sum is known.
static HPC_INLINE void softmax_row(const float* x, float* e, float* y, int64_t classes, bool past) {
    if (classes <= V::lanes) {
        const V v = first_lanes(V::load_partial(x, classes), classes, minus_infinity());
        const V exponentials = narrow_exponentials(v, V::broadcast(reduce_max(v)), classes);
        const V sum = V::broadcast(reduce_add(exponentials));
        (exponentials * (V::broadcast(1.0f) / sum)).store_exact(y, classes);
        return;
    }
    const V m = V::broadcast(row_maximum(x, classes));
    V sum = V::zero();
    int64_t j = 0;
    for (; j + Pair<V>::lanes <= classes; j += Pair<V>::lanes) {
        ask_for(x + classes + j);
        const Pair<V> v = exp_falling(Pair<V>::load(x + j) - Pair<V>{m, m});
        sum = sum + v.a;
        sum = sum + v.b;
        v.store(e + j);
    }
    for (; j + V::lanes <= classes; j += V::lanes) {
        const V v = exp_falling(V::load(x + j) - m);
        sum = sum + v;
        v.store(e + j);
    }
    if (j < classes) {
        const int64_t rest = classes - j;
        const V v = exp_falling(V::load_partial(x + j, rest) - m);
        sum = sum + first_lanes(v, rest, V::zero());
        v.store_partial(e + j, rest);
    }
    const V factor = V::broadcast(1.0f) / V::broadcast(reduce_add(sum));
    put_row(
        y, classes, past,
        [&](auto vector, int64_t i) HPC_INLINE_LAMBDA {
            using F = decltype(vector);
            return F::load(e + i) * wide<F>(factor);
        },
        [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA { return V::load_partial(e + i, width) * factor; });
}

static void softmax(const float* x, float* y, int64_t rows, int64_t classes, bool past) {
    alignas(64) float row[kPastClasses];
    past = past && classes <= kPastClasses;
    for (int64_t r = 0; r < rows; ++r, x += classes, y += classes) softmax_row(x, past ? row : y, y, classes, past);
    if (past) fence_past();
}

// dx = y (dy - sum of y dy). The products are rounded, their sum is not: it is what is left of terms that cancel.
static void softmax_backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t classes, bool past) {
    for (int64_t r = 0; r < rows; ++r, y += classes, dy += classes, dx += classes) {
        DoubleSum sum;
        int64_t j = 0;
        for (; j + V::lanes <= classes; j += V::lanes) sum.add(V::load(y + j) * V::load(dy + j));
        if (j < classes) sum.add(V::load_partial(y + j, classes - j) * V::load_partial(dy + j, classes - j));
        const V s = V::broadcast(static_cast<float>(sum.total()));
        put_row(
            dx, classes, past,
            [&](auto vector, int64_t i) HPC_INLINE_LAMBDA {
                using F = decltype(vector);
                return F::load(y + i) * (F::load(dy + i) - wide<F>(s));
            },
            [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA { return V::load_partial(y + i, width) * (V::load_partial(dy + i, width) - s); });
    }
    if (past) fence_past();
}

// y = x - maximum - log(sum of e^(x - maximum)); x may equal y
static void log_softmax(const float* x, float* y, int64_t rows, int64_t classes, bool past) {
    for (int64_t r = 0; r < rows; ++r, x += classes, y += classes) {
        const V m = V::broadcast(row_maximum(x, classes));
        V sum = V::zero();
        int64_t j = 0;
        for (; j + Pair<V>::lanes <= classes; j += Pair<V>::lanes) {
            ask_for(x + classes + j);
            if (!past) ask_for(y + j);
            const Pair<V> e = exp_falling(Pair<V>::load(x + j) - Pair<V>{m, m});
            sum = sum + e.a;
            sum = sum + e.b;
        }
        for (; j + V::lanes <= classes; j += V::lanes) sum = sum + exp_falling(V::load(x + j) - m);
        if (j < classes) sum = sum + narrow_exponentials(V::load_partial(x + j, classes - j), m, classes - j);
        const V l = hpc_log(V::broadcast(reduce_add(sum)));
        put_row(
            y, classes, past,
            [&](auto vector, int64_t i) HPC_INLINE_LAMBDA {
                using F = decltype(vector);
                return F::load(x + i) - wide<F>(m) - wide<F>(l);
            },
            [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA { return V::load_partial(x + i, width) - m - l; });
    }
    if (past) fence_past();
}

// dx = dy - e^y sum of dy
static void log_softmax_backward(const float* y, const float* dy, float* dx, int64_t rows, int64_t classes, bool past) {
    for (int64_t r = 0; r < rows; ++r, y += classes, dy += classes, dx += classes) {
        DoubleSum sum;
        int64_t j = 0;
        for (; j + V::lanes <= classes; j += V::lanes) sum.add(V::load(dy + j));
        if (j < classes) sum.add(V::load_partial(dy + j, classes - j));
        const V s = V::broadcast(-static_cast<float>(sum.total()));
        put_row(
            dx, classes, past,
            [&](auto vector, int64_t i) HPC_INLINE_LAMBDA {
                using F = decltype(vector);
                return fma(hpc_exp(F::load(y + i)), wide<F>(s), F::load(dy + i));
            },
            [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA { return fma(hpc_exp(V::load_partial(y + i, width)), s, V::load_partial(dy + i, width)); });
    }
    if (past) fence_past();
}

// What a row leaves behind for its loss, which is mass * log(sum) + rest. The logarithms are taken for many rows at
// once.
struct RowLoss {
    float sum;    // of the exponentials
    double mass;  // of the target
    double rest;  // sum of target * (maximum - logit)
    bool correct;
};

// Half of the distance to the maximum, times the target: halves do not overflow for any finite logits. A class without
// probability does not count, even at -infinity.
static HPC_INLINE V weighted_distance(V x, V half_maximum, V target) {
    const V half = V::broadcast(0.5f);
    return select(equal(target, V::zero()), V::zero(), target * (half_maximum - half * x));
}

static HPC_INLINE V gradient_of(V exponentials, V target, V factor, V mass, V scale) {
    return fma(exponentials * factor, mass, -target) * scale;
}

// 1 at the label, where the first lane has number `start`. Far labels round to floats far from any lane number.
static HPC_INLINE V one_at(int64_t label, int64_t start) {
    const V place = V::broadcast(static_cast<float>(label - start));
    return select(equal(V::load(lane_numbers), place), V::broadcast(1.0f), V::zero());
}

// What makes a cross-entropy's target of a label or of probabilities: class_weights * (keep * given + share).
struct TargetMix {
    const float* class_weights;  // or null
    float keep, share;

    // The target of `width` classes from the one on whose number is `start`.
    HPC_INLINE V of(V given, int64_t start, int64_t width) const {
        V t = fma(given, V::broadcast(keep), V::broadcast(share));
        if (class_weights != nullptr) t = t * V::load_partial(class_weights + start, width);
        return first_lanes(t, width, V::zero());
    }
};

// A row that fits into one vector. The column sums stay in a register from row to row.
template <bool has_gradient, bool has_labels, bool mixed>
static HPC_INLINE RowLoss narrow_row(const float* x, int64_t label, const float* probabilities, float* gradient,
                                     V& column_sums, int64_t classes, V scale, const TargetMix& mix) {
    const V one = V::broadcast(1.0f);
    const V v = first_lanes(V::load_partial(x, classes), classes, minus_infinity());
    const float largest = reduce_max(v);
    const V m = V::broadcast(largest);
    const V e = narrow_exponentials(v, m, classes);
    RowLoss row{reduce_add(e), 1, 0, false};
    V target, mass = one;
    int64_t wanted = label;
    if constexpr (has_labels) {
        target = one_at(label, 0);
    } else {
        target = V::load_partial(probabilities, classes);
        const V t = first_lanes(target, classes, minus_infinity());
        wanted = first_true(equal(t, V::broadcast(reduce_max(t))), classes);
    }
    if constexpr (mixed) target = mix.of(target, 0, classes);
    if constexpr (has_labels && !mixed) {
        row.rest = static_cast<double>(largest) - static_cast<double>(x[label]);
    } else {
        mass = V::broadcast(reduce_add(target));
        row.mass = static_cast<double>(mass.lane0());
        row.rest = 2 * static_cast<double>(reduce_add(weighted_distance(v, m * V::broadcast(0.5f), target)));
    }
    row.correct = first_true(equal(v, m), classes) == wanted;
    if constexpr (has_gradient) {
        const V g = gradient_of(e, target, one / V::broadcast(row.sum), mass, scale);
        column_sums = column_sums + g;
        g.store_exact(gradient, classes);
    }
    return row;
}

// The exponentials stay in `kept`, which may be the gradient, until their sum is known.
template <bool has_gradient, bool has_sums, bool has_labels, bool mixed>
static HPC_INLINE RowLoss wide_row(const float* x, int64_t label, const float* probabilities, float* kept, float* gradient,
                                   float* column_sums, int64_t classes, V scale, const TargetMix& mix, bool past) {
    constexpr int64_t n = V::lanes;
    const V one = V::broadcast(1.0f);
    const float largest = row_maximum(x, classes);
    const V m = V::broadcast(largest), half_maximum = m * V::broadcast(0.5f);
    RowLoss row{0, 1, 0, false};
    // All that is read of the logits is read before the gradient, which may lie over them.
    if constexpr (has_labels) {
        row.rest = static_cast<double>(largest) - static_cast<double>(x[label]);
        // Right where no earlier class is as large.
        row.correct = x[label] == largest && first_index(x, label, largest) == label;
    } else {
        row.correct = first_index(x, classes, largest) ==
                      first_index(probabilities, classes, row_maximum(probabilities, classes));
    }

    const auto target_of = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
        V target;
        if constexpr (has_labels) {
            target = one_at(label, j);
        } else {
            target = V::load_partial(probabilities + j, width);
        }
        if constexpr (mixed) target = mix.of(target, j, width);
        return target;
    };
    V sum = V::zero(), mass_sum = V::zero(), rest_sum = V::zero();
    const auto take = [&](int64_t j, int64_t width, V v, V e) HPC_INLINE_LAMBDA {
        sum = sum + e;
        if constexpr (!has_labels || mixed) {
            const V target = target_of(j, width);
            mass_sum = mass_sum + target;
            rest_sum = rest_sum + weighted_distance(v, half_maximum, target);
        }
        if constexpr (has_gradient) e.store_partial(kept + j, width);
    };
    int64_t j = 0;
    for (; j + 2 * n <= classes; j += 2 * n) {
        ask_for(x + classes + j);
        const Pair<V> v = Pair<V>::load(x + j);
        const Pair<V> e = exp_falling(v - Pair<V>{m, m});
        take(j, n, v.a, e.a);
        take(j + n, n, v.b, e.b);
    }
    for (; j < classes; j += n) {
        const int64_t width = classes - j < n ? classes - j : n;
        const V v = V::load_partial(x + j, width);
        take(j, width, v, first_lanes(exp_falling(v - m), width, V::zero()));
    }
    row.sum = reduce_add(sum);
    V mass = one;
    if constexpr (!has_labels || mixed) {
        mass = V::broadcast(reduce_add(mass_sum));
        row.mass = static_cast<double>(mass.lane0());
        row.rest = 2 * static_cast<double>(reduce_add(rest_sum));
    }
    if constexpr (has_gradient) {
        const V factor = one / V::broadcast(row.sum);
        const auto gradients = [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA {
            // Away from the label's vector the target is 0, and one factor and its subtraction change nothing.
            const V e = V::load_partial(kept + i, width);
            V g = e * factor * scale;
            if (!has_labels || mixed || (label >= i && label < i + n)) g = gradient_of(e, target_of(i, width), factor, mass, scale);
            if constexpr (has_sums) (V::load_partial(column_sums + i, width) + g).store_partial(column_sums + i, width);
            return g;
        };
        put_row(
            gradient, classes, past,
            [&](auto vector, int64_t i) HPC_INLINE_LAMBDA {
                if constexpr (decltype(vector)::lanes == n) {
                    return gradients(i, n);
                } else {
                    const V first = gradients(i, n);
                    return Pair<V>{first, gradients(i + n, n)};
                }
            },
            gradients);
    }
    return row;
}

// What the label of a row says, for all class losses.
struct RowLabel {
    int64_t label;
    float weight;
    bool ignored;
};

// A label out of range counts as class 0 and raises the flag.
static HPC_INLINE int64_t class_of(ClassLossRows& rows, int64_t label) {
    if (static_cast<uint64_t>(label) < static_cast<uint64_t>(rows.classes)) return label;
    rows.flags |= HPC_FLAG_LABEL;
    return 0;
}

// Counts all rows, where none is ignored and each has the weight 1: one by one, each addition waits for the one before, through memory.
static void count_rows(ClassLossRows& rows) {
    rows.counted += static_cast<uint64_t>(rows.rows);
    rows.weight += static_cast<double>(rows.rows);
}

// Counts the row.
static HPC_INLINE RowLabel row_label(ClassLossRows& rows, int64_t row) {
    if (rows.ignores && rows.labels[row] == rows.ignored) return {0, 0, true};
    const int64_t label = class_of(rows, rows.labels[row]);
    const float weight = rows.class_weights ? rows.class_weights[label] : 1;
    rows.weight += static_cast<double>(weight);
    ++rows.counted;
    return {label, weight, false};
}

// With AVX-512, of 2 to 16 classes measured: half the time at 2, a tenth less at 10, more than before from 12 on.
constexpr int64_t kShortClasses = 10;

template <bool has_gradient, bool has_sums, bool has_labels, bool mixed>
static void cross_entropy_rows(ClassLossRows& rows) {
    constexpr int64_t group = 16;
    float sums[group];
    double masses[group], rests[group];
    const int64_t classes = rows.classes, count = rows.rows;
    const bool narrow = classes <= V::lanes;
    const V scale = V::broadcast(rows.scale);
    const TargetMix mix{rows.class_weights, 1 - rows.alpha, rows.alpha / static_cast<float>(classes)};
    V column_sums = has_sums && narrow ? V::load_partial(rows.sums, classes) : V::zero();
    alignas(64) float kept[has_gradient ? kPastClasses : 1];
    const bool past = has_gradient && rows.past && classes <= kPastClasses;
    uint64_t correct = 0;
    double loss = rows.loss;
    for (int64_t start = 0; start < count; start += group) {
        const int64_t here = count - start < group ? count - start : group;
        for (int64_t i = 0; i < here; ++i) {
            const int64_t at = (start + i) * classes;
            const float* x = rows.logits + at;
            const float* probabilities = has_labels ? nullptr : rows.probabilities + at;
            float* gradient = has_gradient ? rows.gradient + at : nullptr;
            RowLabel label{0, 1, false};
            if constexpr (has_labels) label = row_label(rows, start + i);
            RowLoss row{1, 0, 0, false};
            if (mixed && label.ignored) {
                if constexpr (has_gradient) {
                    for (int64_t j = 0; j < classes; ++j) gradient[j] = 0;
                }
            } else if (narrow) {
                row = narrow_row<has_gradient, has_labels, mixed>(x, label.label, probabilities, gradient, column_sums, classes,
                                                                  scale, mix);
            } else {
                row = wide_row<has_gradient, has_sums, has_labels, mixed>(x, label.label, probabilities, past ? kept : gradient, gradient,
                                                                          rows.sums, classes, scale, mix, past);
            }
            sums[i] = row.sum, masses[i] = row.mass, rests[i] = row.rest;
            correct += row.correct;
        }
        for (int64_t i = 0; i < here; i += V::lanes) {
            const int64_t width = here - i < V::lanes ? here - i : V::lanes;
            hpc_log(V::load_partial(sums + i, width)).store_partial(sums + i, width);
        }
        for (int64_t i = 0; i < here; ++i) {
            const double row_loss = masses[i] * static_cast<double>(sums[i]) + rests[i];
            // Infinity and NaN: their difference from themselves is NaN.
            if (!(row_loss - row_loss == 0)) rows.flags |= HPC_FLAG_NONFINITE;
            loss += row_loss;
        }
    }
    if (has_sums && narrow) column_sums.store_partial(rows.sums, classes);
    if (past) fence_past();
    rows.loss = loss;
    rows.correct += correct;
    if constexpr (!has_labels) count_rows(rows);
}

// Rows of a few classes, as many side by side as a vector has lanes: each lane is a row, and nothing goes across lanes.
// (One row in a vector spends most of its time on its maximum and its sum.) Only with labels that are taken as they are.
template <bool has_gradient, bool has_sums>
static void short_rows(ClassLossRows& rows) {
    constexpr int64_t lanes = V::lanes;
    alignas(64) float of_class[kShortClasses][lanes] = {};
    alignas(64) float labels[lanes] = {}, largest[lanes], logarithms[lanes], first[lanes];
    float at_label[lanes], sums[kShortClasses] = {};
    const int64_t classes = rows.classes, count = rows.rows;
    const V one = V::broadcast(1.0f), scale = V::broadcast(rows.scale);
    uint64_t correct = 0;
    double loss = rows.loss;
    for (int64_t j = 0; has_sums && j < classes; ++j) sums[j] = rows.sums[j];
    for (int64_t start = 0; start < count; start += lanes) {
        const int64_t here = count - start < lanes ? count - start : lanes;
        const float* x = rows.logits + start * classes;
        for (int64_t r = 0; r < here; ++r, x += classes) {
            const int64_t label = class_of(rows, rows.labels[start + r]);
            labels[r] = static_cast<float>(label);
            at_label[r] = x[label];
            for (int64_t j = 0; j < classes; ++j) of_class[j][r] = x[j];
        }
        V m = V::load(of_class[0]), place = V::zero();
        for (int64_t j = 1; j < classes; ++j) {
            const V v = V::load(of_class[j]);
            place = select(less(m, v), V::broadcast(static_cast<float>(j)), place);
            m = max_keep(v, m);
        }
        V sum = V::zero();
        for (int64_t j = 0; j < classes; ++j) {
            const V e = exp_falling(V::load(of_class[j]) - m);
            sum = sum + e;
            if constexpr (has_gradient) e.store(of_class[j]);
        }
        m.store(largest);
        place.store(first);
        hpc_log(sum).store(logarithms);
        for (int64_t r = 0; r < here; ++r) {
            const double row_loss = static_cast<double>(logarithms[r]) + (static_cast<double>(largest[r]) - static_cast<double>(at_label[r]));
            if (!(row_loss - row_loss == 0)) rows.flags |= HPC_FLAG_NONFINITE;
            loss += row_loss;
            correct += first[r] == labels[r];
        }
        if constexpr (has_gradient) {
            const V factor = one / sum, label = V::load(labels);
            for (int64_t j = 0; j < classes; ++j) {
                const V target = select(equal(label, V::broadcast(static_cast<float>(j))), one, V::zero());
                gradient_of(V::load(of_class[j]), target, factor, one, scale).store(of_class[j]);
            }
            float* gradient = rows.gradient + start * classes;
            for (int64_t j = 0; j < classes; ++j) {
                float sum_of_class = sums[j];
                for (int64_t r = 0; r < here; ++r) {
                    const float g = of_class[j][r];
                    gradient[r * classes + j] = g;
                    if constexpr (has_sums) sum_of_class += g;
                }
                sums[j] = sum_of_class;
            }
        }
    }
    for (int64_t j = 0; has_sums && j < classes; ++j) rows.sums[j] = sums[j];
    rows.loss = loss;
    rows.correct += correct;
    count_rows(rows);
}

template <bool has_labels, bool mixed>
static HPC_INLINE void cross_entropy(ClassLossRows& rows) {
    if (has_labels && !mixed && rows.classes <= kShortClasses) {
        if (rows.gradient == nullptr) {
            short_rows<false, false>(rows);
        } else if (rows.sums == nullptr) {
            short_rows<true, false>(rows);
        } else {
            short_rows<true, true>(rows);
        }
        return;
    }
    if (rows.gradient == nullptr) {
        cross_entropy_rows<false, false, has_labels, mixed>(rows);
    } else if (rows.sums == nullptr) {
        cross_entropy_rows<true, false, has_labels, mixed>(rows);
    } else {
        cross_entropy_rows<true, true, has_labels, mixed>(rows);
    }
}

static void softmax_cross_entropy(ClassLossRows& rows) {
    const bool mixed = rows.class_weights != nullptr || rows.ignores || rows.alpha != 0;
    if (rows.labels != nullptr) {
        if (mixed) {
            cross_entropy<true, true>(rows);
        } else {
            cross_entropy<true, false>(rows);
        }
    } else if (mixed) {
        cross_entropy<false, true>(rows);
    } else {
        cross_entropy<false, false>(rows);
    }
}

// ---- The other class losses -----------------------------------------------------------------------------------------

// Walks the rows: row_loss(x, label, gradient or null) is the loss of a row and writes its gradient, both times 1 (not past the caches
// where it is read again for its column sums).
template <class RowLoss>
static HPC_INLINE void class_loss_rows(ClassLossRows& rows, const RowLoss& row_loss) {
    const int64_t classes = rows.classes;
    for (int64_t r = 0; r < rows.rows; ++r) {
        const float* x = rows.logits + r * classes;
        float* gradient = rows.gradient ? rows.gradient + r * classes : nullptr;
        const RowLabel label = row_label(rows, r);
        if (label.ignored) {
            if (gradient) {
                for (int64_t j = 0; j < classes; ++j) gradient[j] = 0;
            }
            continue;
        }
        const float largest = row_maximum(x, classes);
        rows.correct += x[label.label] == largest && first_index(x, label.label, largest) == label.label;
        const double value = row_loss(x, label.label, gradient, label.weight * rows.scale) * static_cast<double>(label.weight);
        if (!(value - value == 0)) rows.flags |= HPC_FLAG_NONFINITE;
        rows.loss += value;
        for (int64_t j = 0; rows.sums && j < classes; ++j) rows.sums[j] += gradient[j];
    }
    if (rows.past) fence_past();
}

static void negative_log_likelihood(ClassLossRows& rows) {
    class_loss_rows(rows, [&](const float* x, int64_t label, float* gradient, float scale) HPC_INLINE_LAMBDA {
        const double value = -static_cast<double>(x[label]);
        if (gradient) {
            // At once, so that no line is written twice.
            const auto one = [&](int64_t j, int64_t) HPC_INLINE_LAMBDA {
                ask_for(x + rows.classes + j, V::lanes);
                return select(equal(one_at(label, j), V::broadcast(1.0f)), V::broadcast(-scale), V::zero());
            };
            put_row(
                gradient, rows.classes, rows.past && !rows.sums,
                [&](auto vector, int64_t j) HPC_INLINE_LAMBDA {
                    if constexpr (decltype(vector)::lanes == V::lanes) {
                        return one(j, V::lanes);
                    } else {
                        return Pair<V>{one(j, V::lanes), one(j + V::lanes, V::lanes)};
                    }
                },
                one);
        }
        return value;
    });
}

// z = max(0, margin - x[label] + x[j]) for the other classes: the sum of z^power over the classes, and its derivative.
static void multi_margin(ClassLossRows& rows) {
    const float share = 1 / static_cast<float>(rows.classes);
    const bool squared = rows.beta == 2, past = rows.past && !rows.sums && rows.classes <= kPastClasses;
    alignas(64) float kept[kPastClasses];
    class_loss_rows(rows, [&](const float* x, int64_t label, float* gradient, float scale) HPC_INLINE_LAMBDA {
        const V bound = V::broadcast(rows.alpha - x[label]), one = V::broadcast(1.0f), factor = V::broadcast(scale * share);
        float* to = past ? kept : gradient;
        DoubleSum values;
        V slopes = V::zero();
        const auto take = [&](V z, int64_t j, int64_t width) HPC_INLINE_LAMBDA {
            if (label >= j && label < j + V::lanes) z = select(equal(one_at(label, j), one), V::zero(), z);
            values.add(squared ? z * z : z);
            const V slope = squared ? z + z : select(less_equal(z, V::zero()), V::zero(), one);
            slopes = slopes + slope;
            if (gradient) (slope * factor).store_partial(to + j, width);
        };
        int64_t j = 0;
        for (; j + V::lanes <= rows.classes; j += V::lanes) {
            ask_for(x + rows.classes + j, V::lanes);
            take(max_keep(bound + V::load(x + j), V::zero()), j, V::lanes);
        }
        if (j < rows.classes) {
            const int64_t width = rows.classes - j;
            take(first_lanes(max_keep(bound + V::load_partial(x + j, width), V::zero()), width, V::zero()), j, width);
        }
        if (gradient) to[label] = -reduce_add(slopes) * scale * share;
        if (gradient && past) {
            put_row(
                gradient, rows.classes, true, [&](auto vector, int64_t i) HPC_INLINE_LAMBDA { return decltype(vector)::load(kept + i); },
                [&](int64_t i, int64_t width) HPC_INLINE_LAMBDA { return V::load_partial(kept + i, width); });
        }
        return values.total() * static_cast<double>(share);
    });
}
