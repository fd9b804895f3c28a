// A stand-in for Intel's MKL, for tests of how it is found and called where it cannot be installed: a few of its names,
// a plain triple loop, counters. Built as libmkl_rt.so.2 (mkl_rt.2.dll) in a folder that only blas_test looks into. It
// says nothing about MKL's own results or speed.
#include <atomic>

#if defined(_WIN32)
#define STAND_IN extern "C" __declspec(dllexport)
#else
#define STAND_IN extern "C" __attribute__((visibility("default")))
#endif

static std::atomic<int> calls{0};
static std::atomic<int> threading_layer{-1};

// What a test asks: how often cblas_sgemm was called, which threading layer was set last (-1: none).
STAND_IN int stand_in_calls() { return calls.load(); }
STAND_IN int stand_in_threading_layer() { return threading_layer.load(); }

STAND_IN int MKL_Set_Threading_Layer(int layer) {
    threading_layer.store(layer);
    return layer;
}

STAND_IN void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a,
                          int lda, const float* b, int ldb, float beta, float* c, int ldc) {
    calls.fetch_add(1);
    constexpr int row_major = 101, transposed = 112;
    if (order != row_major) return;
    for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int p = 0; p < k; p++) {
                sum += (transpose_a == transposed ? a[p * lda + i] : a[i * lda + p]) *
                       (transpose_b == transposed ? b[j * ldb + p] : b[p * ldb + j]);
            }
            c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
    }
}
