// What is done to one gradient by itself before the rule: the formulas of elementwise.cl and of small networks.

// min(max(g, -limit), limit); NaN stays.
static inline float clipped(float g, float limit) {
    const float above = g < -limit ? -limit : g;
    return limit < above ? limit : above;
}

// l1 sign(p) + l2 p
static inline float penalty_of(float p, float l1, float l2) { return fma(l2, p, p > 0.0f ? l1 : p < 0.0f ? -l1 : 0.0f); }
