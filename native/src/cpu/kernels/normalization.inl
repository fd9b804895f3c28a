// Batch and layer normalization. Matrices are row-major. Sums are in double precision of numbers that stand close to 0: what is summed
// is the difference from one value of the data, so that neither an offset nor a long batch costs digits.
//
// A batch's row is [channels, length]. With length 1 a vector holds neighbouring channels and sums run down the rows; else a channel's
// run of `length` neighbours is summed across.

static HPC_INLINE V normalized(V x, const float* mean, const float* rest, const float* scale, int64_t width) {
    return normalized_value(x, V::load_partial(mean, width), V::load_partial(rest, width), V::load_partial(scale, width));
}

// ---- Sums by channel ------------------------------------------------------------------------------------------------

// The two terms that a sum by channel adds up, from an element's place.
struct moment_terms {
    const float* x;
    V shift;
    HPC_INLINE void add(DoubleSum& first, DoubleSum& second, int64_t at, int64_t width, bool whole) const {
        V d = V::load_partial(x + at, width) - shift;
        if (!whole) d = first_lanes(d, width, V::zero());
        first.add(d);
        second.add_square(d);
    }
};

struct gradient_terms {
    const float* x;
    const float* dy;
    V mean, rest, scale;
    HPC_INLINE void add(DoubleSum& first, DoubleSum& second, int64_t at, int64_t width, bool whole) const {
        const V g = V::load_partial(dy + at, width);
        V gn = g * normalized_value(V::load_partial(x + at, width), mean, rest, scale);
        if (!whole) gn = first_lanes(gn, width, V::zero());
        first.add(g);
        second.add(gn);
    }
};

template <class Terms>
static HPC_INLINE void add_run(const Terms& terms, int64_t at, int64_t length, double* first, double* second) {
    DoubleSum a, b;
    int64_t j = 0;
    for (; j + V::lanes <= length; j += V::lanes) terms.add(a, b, at + j, V::lanes, true);
    if (j < length) terms.add(a, b, at + j, length - j, false);
    *first += a.total();
    *second += b.total();
}

// Few rows at a time: as many streams as prefetchers follow, and the sums stay in the first-level cache.
constexpr int64_t rows_at_once = 4;

template <class MakeTerms>
static HPC_INLINE void sums_by_channel(const ChannelSums& c, const MakeTerms& terms_of) {
    // With runs, what lies behind these channels belongs to somebody else.
    const int64_t whole = c.length > 1 ? c.channels : (c.channels + V::lanes - 1) / V::lanes * V::lanes;
    for (int64_t j = 0; j < whole; ++j) c.first[j] = c.second[j] = 0;
    if (c.length > 1) {
        for (int64_t r = 0; r < c.rows; ++r) {
            for (int64_t j = 0; j < c.channels; ++j) {
                add_run(terms_of(j, int64_t{-1}), r * c.ld + j * c.length, c.length, c.first + j, c.second + j);
            }
        }
        return;
    }
    const auto columns = [&](int64_t r, int64_t count, int64_t j, int64_t width) HPC_INLINE_LAMBDA {
        const auto terms = terms_of(j, width);
        DoubleSum a, b;
        a.load(c.first + j);
        b.load(c.second + j);
        for (int64_t i = r; i < r + count; ++i) terms.add(a, b, i * c.ld + j, width, true);
        a.store(c.first + j);
        b.store(c.second + j);
    };
    for (int64_t r = 0; r < c.rows; r += rows_at_once) {
        const int64_t count = c.rows - r < rows_at_once ? c.rows - r : rows_at_once;
        int64_t j = 0;
        if (count == rows_at_once) {
            for (; j + V::lanes <= c.channels; j += V::lanes) columns(r, rows_at_once, j, V::lanes);
        }
        for (; j < c.channels; j += V::lanes) columns(r, count, j, c.channels - j < V::lanes ? c.channels - j : V::lanes);
    }
}

// Lanes behind the width hold 0 - 0.
static HPC_INLINE V channel_value(const float* values, int64_t channel, int64_t width) {
    return width < 0 ? V::broadcast(values[channel]) : V::load_partial(values + channel, width);
}

static void batch_moments(const ChannelSums& c) {
    sums_by_channel(c, [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
        return moment_terms{c.x, width < 0 ? V::broadcast(c.shift[j * c.length]) : V::load_partial(c.shift + j, width)};
    });
}

static void batch_norm_sums(const ChannelSums& c) {
    sums_by_channel(c, [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
        return gradient_terms{c.x, c.dy, channel_value(c.mean, j, width), channel_value(c.rest, j, width), channel_value(c.scale, j, width)};
    });
}

// Parts added in index order, in pieces that the first-level cache holds.
static constexpr int64_t channel_piece = 64;

static HPC_INLINE void combine_parts(const ChannelParts& p, int64_t from, int64_t count, double* first, double* second) {
    for (int64_t j = 0; j < count; ++j) first[j] = second[j] = 0;
    for (int64_t part = 0; part < p.count; ++part) {
        const double* at = p.parts + part * 2 * p.ld + from;
        for (int64_t j = 0; j < count; ++j) first[j] += at[j];
        for (int64_t j = 0; j < count; ++j) second[j] += at[p.ld + j];
    }
}

static void batch_statistics(const ChannelParts& p, const float* shift, int64_t length, double epsilon, float* statistics, int64_t channels) {
    double sum[channel_piece], squares[channel_piece], offset[channel_piece];
    const double n = static_cast<double>(p.values), unbias = p.values > 1 ? n / (n - 1) : 1;
    for (int64_t from = p.from; from < p.end; from += channel_piece) {
        const int64_t count = p.end - from < channel_piece ? p.end - from : channel_piece;
        combine_parts(p, from, count, sum, squares);
        for (int64_t j = 0; j < count; ++j) offset[j] = static_cast<double>(shift[(from + j) * length]);
        float* const mean = statistics + from;
        float* const rest = mean + channels;
        float* const scale = rest + channels;
        float* const variance = scale + channels;
        for (int64_t j = 0; j < count; ++j) {
            const double m = sum[j] / n;
            const double exact = offset[j] + m;
            const double v = squares[j] / n - m * m;
            // What is below 0 is rounding; a NaN stays.
            const double positive = v < 0 ? 0 : v;
            const float high = static_cast<float>(exact);
            mean[j] = high;
            rest[j] = static_cast<float>(exact - static_cast<double>(high));
            scale[j] = static_cast<float>(1 / __builtin_sqrt(positive + epsilon));
            variance[j] = static_cast<float>(positive * unbias);
        }
    }
}

static void running_statistics(const float* mean, const float* variance, double epsilon, float* statistics, int64_t channels) {
    for (int64_t j = 0; j < channels; ++j) {
        statistics[j] = mean[j];
        statistics[channels + j] = 0;
        statistics[2 * channels + j] = static_cast<float>(1 / __builtin_sqrt(static_cast<double>(variance[j]) + epsilon));
        statistics[3 * channels + j] = variance[j];
    }
}

static void combine_channel_sums(const ChannelParts& p, float* first, float* second, float* means, int64_t channels) {
    double a[channel_piece], b[channel_piece];
    const double n = static_cast<double>(p.values);
    for (int64_t from = p.from; from < p.end; from += channel_piece) {
        const int64_t count = p.end - from < channel_piece ? p.end - from : channel_piece;
        combine_parts(p, from, count, a, b);
        for (int64_t j = 0; first != nullptr && j < count; ++j) first[from + j] = static_cast<float>(a[j]);
        for (int64_t j = 0; second != nullptr && j < count; ++j) second[from + j] = static_cast<float>(b[j]);
        if (means == nullptr) continue;
        for (int64_t j = 0; j < count; ++j) means[from + j] = static_cast<float>(a[j] / n);
        for (int64_t j = 0; j < count; ++j) means[channels + from + j] = static_cast<float>(b[j] / n);
    }
}

// ---- Elementwise passes by channel ----------------------------------------------------------------------------------

template <bool has_weight, bool has_bias>
static HPC_INLINE void normalize_rows(const ChannelRows& c) {
    const auto element = [&](V x, V mean, V rest, V scale, V weight, V bias) HPC_INLINE_LAMBDA {
        V n = normalized_value(x, mean, rest, scale);
        if constexpr (has_weight && has_bias) return affine_value(n, weight, bias);
        if constexpr (has_weight) return n * weight;
        if constexpr (has_bias) return n + bias;
        return n;
    };
    for (int64_t r = 0; r < c.rows; ++r) {
        const float* x = c.x + r * c.channels * c.length;
        float* y = c.out + r * c.channels * c.length;
        if (c.length == 1) {
            const auto columns = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
                const V weight = has_weight ? V::load_partial(c.weight + j, width) : V::zero();
                const V bias = has_bias ? V::load_partial(c.bias + j, width) : V::zero();
                element(V::load_partial(x + j, width), V::load_partial(c.mean + j, width), V::load_partial(c.rest + j, width),
                        V::load_partial(c.scale + j, width), weight, bias)
                    .store_partial(y + j, width);
            };
            int64_t j = 0;
            for (; j + V::lanes <= c.channels; j += V::lanes) columns(j, V::lanes);
            if (j < c.channels) columns(j, c.channels - j);
            continue;
        }
        for (int64_t k = 0; k < c.channels; ++k, x += c.length, y += c.length) {
            const V mean = V::broadcast(c.mean[k]), rest = V::broadcast(c.rest[k]), scale = V::broadcast(c.scale[k]);
            const V weight = has_weight ? V::broadcast(c.weight[k]) : V::zero(), bias = has_bias ? V::broadcast(c.bias[k]) : V::zero();
            int64_t j = 0;
            for (; j + V::lanes <= c.length; j += V::lanes) element(V::load(x + j), mean, rest, scale, weight, bias).store(y + j);
            if (j < c.length) {
                const int64_t width = c.length - j;
                element(V::load_partial(x + j, width), mean, rest, scale, weight, bias).store_partial(y + j, width);
            }
        }
    }
}

static void batch_normalize(const ChannelRows& c) {
    if (c.weight != nullptr && c.bias != nullptr) {
        normalize_rows<true, true>(c);
    } else if (c.weight != nullptr) {
        normalize_rows<true, false>(c);
    } else if (c.bias != nullptr) {
        normalize_rows<false, true>(c);
    } else {
        normalize_rows<false, false>(c);
    }
}

template <bool has_weight, bool has_means>
static HPC_INLINE void normalized_gradient_rows(const ChannelRows& c) {
    const auto element = [&](V x, V dy, V mean, V rest, V scale, V weight, V mean_g, V mean_gn) HPC_INLINE_LAMBDA {
        V factor = scale;
        if constexpr (has_weight) factor = scale * weight;
        if constexpr (!has_means) return dy * factor;
        return normalized_gradient(dy, normalized_value(x, mean, rest, scale), mean_g, mean_gn, factor);
    };
    for (int64_t r = 0; r < c.rows; ++r) {
        const float* x = c.x + r * c.channels * c.length;
        const float* dy = c.dy + r * c.channels * c.length;
        float* dx = c.out + r * c.channels * c.length;
        if (c.length == 1) {
            const auto columns = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
                const V weight = has_weight ? V::load_partial(c.weight + j, width) : V::zero();
                const V mean_g = has_means ? V::load_partial(c.mean_g + j, width) : V::zero();
                const V mean_gn = has_means ? V::load_partial(c.mean_gn + j, width) : V::zero();
                element(V::load_partial(x + j, width), V::load_partial(dy + j, width), V::load_partial(c.mean + j, width),
                        V::load_partial(c.rest + j, width), V::load_partial(c.scale + j, width), weight, mean_g, mean_gn)
                    .store_partial(dx + j, width);
            };
            int64_t j = 0;
            for (; j + V::lanes <= c.channels; j += V::lanes) columns(j, V::lanes);
            if (j < c.channels) columns(j, c.channels - j);
            continue;
        }
        for (int64_t k = 0; k < c.channels; ++k, x += c.length, dy += c.length, dx += c.length) {
            const V mean = V::broadcast(c.mean[k]), rest = V::broadcast(c.rest[k]), scale = V::broadcast(c.scale[k]);
            const V weight = has_weight ? V::broadcast(c.weight[k]) : V::zero();
            const V mean_g = has_means ? V::broadcast(c.mean_g[k]) : V::zero();
            const V mean_gn = has_means ? V::broadcast(c.mean_gn[k]) : V::zero();
            const auto run = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
                element(V::load_partial(x + j, width), V::load_partial(dy + j, width), mean, rest, scale, weight, mean_g, mean_gn)
                    .store_partial(dx + j, width);
            };
            int64_t j = 0;
            for (; j + V::lanes <= c.length; j += V::lanes) run(j, V::lanes);
            if (j < c.length) run(j, c.length - j);
        }
    }
}

static void batch_norm_gradient(const ChannelRows& c) {
    if (c.weight != nullptr && c.mean_g != nullptr) {
        normalized_gradient_rows<true, true>(c);
    } else if (c.weight != nullptr) {
        normalized_gradient_rows<true, false>(c);
    } else if (c.mean_g != nullptr) {
        normalized_gradient_rows<false, true>(c);
    } else {
        normalized_gradient_rows<false, false>(c);
    }
}

// ---- Layer normalization --------------------------------------------------------------------------------------------

template <bool has_weight, bool has_bias>
static HPC_INLINE void layer_norm_groups(const GroupRows& g, double epsilon) {
    const double n = static_cast<double>(g.size);
    for (int64_t i = 0; i < g.groups; ++i) {
        const float* x = g.x + i * g.size;
        float* y = g.out + i * g.size;
        double sum = 0, squares = 0;
        add_run(moment_terms{x, V::broadcast(x[0])}, 0, g.size, &sum, &squares);
        const double m = sum / n, exact = static_cast<double>(x[0]) + m, v = squares / n - m * m;
        const float high = static_cast<float>(exact), low = static_cast<float>(exact - static_cast<double>(high));
        const float scale = static_cast<float>(1 / __builtin_sqrt((v < 0 ? 0 : v) + epsilon));
        float* statistics = g.statistics + i * 3;
        statistics[0] = high, statistics[1] = low, statistics[2] = scale;
        const V mean = V::broadcast(high), rest = V::broadcast(low), factor = V::broadcast(scale);
        const auto piece = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
            V result = normalized_value(V::load_partial(x + j, width), mean, rest, factor);
            if constexpr (has_weight && has_bias) {
                result = affine_value(result, V::load_partial(g.weight + j, width), V::load_partial(g.bias + j, width));
            } else if constexpr (has_weight) {
                result = result * V::load_partial(g.weight + j, width);
            } else if constexpr (has_bias) {
                result = result + V::load_partial(g.bias + j, width);
            }
            result.store_partial(y + j, width);
        };
        int64_t j = 0;
        for (; j + V::lanes <= g.size; j += V::lanes) piece(j, V::lanes);
        if (j < g.size) piece(j, g.size - j);
    }
}

static void layer_norm_forward(const GroupRows& g, double epsilon) {
    if (g.weight != nullptr && g.bias != nullptr) {
        layer_norm_groups<true, true>(g, epsilon);
    } else if (g.weight != nullptr) {
        layer_norm_groups<true, false>(g, epsilon);
    } else if (g.bias != nullptr) {
        layer_norm_groups<false, true>(g, epsilon);
    } else {
        layer_norm_groups<false, false>(g, epsilon);
    }
}

template <bool has_weight>
static HPC_INLINE void layer_norm_gradient_groups(const GroupRows& g) {
    const double n = static_cast<double>(g.size);
    for (int64_t i = 0; i < g.groups; ++i) {
        const float* x = g.x + i * g.size;
        const float* dy = g.dy + i * g.size;
        float* dx = g.out + i * g.size;
        const float* statistics = g.statistics + i * 3;
        const V mean = V::broadcast(statistics[0]), rest = V::broadcast(statistics[1]), scale = V::broadcast(statistics[2]);
        const auto gradient = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
            const V v = V::load_partial(dy + j, width);
            if constexpr (has_weight) return v * V::load_partial(g.weight + j, width);
            return v;
        };
        const auto normal = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
            return normalized_value(V::load_partial(x + j, width), mean, rest, scale);
        };
        DoubleSum a, b;
        int64_t j = 0;
        for (; j + V::lanes <= g.size; j += V::lanes) {
            const V v = gradient(j, V::lanes);
            a.add(v);
            b.add(v * normal(j, V::lanes));
        }
        if (j < g.size) {
            const V v = gradient(j, g.size - j);
            a.add(v);
            b.add(first_lanes(v * normal(j, g.size - j), g.size - j, V::zero()));
        }
        const V mean_g = V::broadcast(static_cast<float>(a.total() / n)), mean_gn = V::broadcast(static_cast<float>(b.total() / n));
        for (j = 0; j + V::lanes <= g.size; j += V::lanes) {
            normalized_gradient(gradient(j, V::lanes), normal(j, V::lanes), mean_g, mean_gn, scale).store(dx + j);
        }
        if (j < g.size) {
            const int64_t width = g.size - j;
            normalized_gradient(gradient(j, width), normal(j, width), mean_g, mean_gn, scale).store_partial(dx + j, width);
        }
    }
}

// sums by column of dy and dy n over groups, added to
static HPC_INLINE void layer_norm_columns(const GroupRows& g, int64_t from, int64_t count, double* first, double* second) {
    const auto columns = [&](int64_t j, int64_t width) HPC_INLINE_LAMBDA {
        DoubleSum a, b;
        a.load(first + j);
        b.load(second + j);
        for (int64_t i = from; i < from + count; ++i) {
            const float* s = g.statistics + i * 3;
            gradient_terms{g.x, g.dy, V::broadcast(s[0]), V::broadcast(s[1]), V::broadcast(s[2])}.add(a, b, i * g.size + j, width,
                                                                                                     width == V::lanes);
        }
        a.store(first + j);
        b.store(second + j);
    };
    int64_t j = 0;
    for (; j + V::lanes <= g.size; j += V::lanes) columns(j, V::lanes);
    if (j < g.size) columns(j, g.size - j);
}

static void layer_norm_backward(const GroupRows& g, double* first, double* second) {
    if (first != nullptr) {
        const int64_t whole = (g.size + V::lanes - 1) / V::lanes * V::lanes;
        for (int64_t j = 0; j < whole; ++j) first[j] = second[j] = 0;
    }
    // Few groups at a time, so that the second look at them finds them in the cache.
    for (int64_t i = 0; i < g.groups; i += rows_at_once) {
        const int64_t count = g.groups - i < rows_at_once ? g.groups - i : rows_at_once;
        if (g.out != nullptr) {
            GroupRows part = g;
            part.x += i * g.size, part.dy += i * g.size, part.out += i * g.size, part.statistics += i * 3;
            part.groups = count;
            if (g.weight != nullptr) {
                layer_norm_gradient_groups<true>(part);
            } else {
                layer_norm_gradient_groups<false>(part);
            }
        }
        if (first != nullptr) layer_norm_columns(g, i, count, first, second);
    }
}
