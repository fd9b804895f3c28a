// BLAS providers, found at run time and never linked: MKL, OpenBLAS, oneDNN, BLIS, or any CBLAS library by its path.
// Each serves single-threaded, called by many threads at once: the core's own team divides the work.
//
// To add a provider: a row in blas.cpp's list of names, and, if it has one, its way to be single-threaded.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cpu/kernels.h"

namespace hpc::cpu {

class BlasProvider {
public:
    // mkl, openblas, onednn, blis or custom
    const char* name() const noexcept { return name_.c_str(); }
    // The file it was loaded from.
    const char* path() const noexcept { return path_.c_str(); }

    // C[m x n] = op(A) op(B), row-major; what C held does not matter, not even NaN. From any number of threads at once.
    void sgemm(Form form, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
               float* c, int64_t ldc) const noexcept;

private:
    friend class BlasLoader;
    BlasProvider() = default;

    using Cblas = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                           const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
    using Dnnl = int (*)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                         const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c, int64_t ldc);
    using SetThreads = void (*)(int);
    using GetThreads = int (*)();
    using SwapThreads = int (*)(int);  // sets, and returns what was

    std::string name_, path_;
    Cblas cblas_ = nullptr;  // one of the two is there
    Dnnl dnnl_ = nullptr;
    // Where the number of threads belongs to the calling thread: set around each call, and put back.
    GetThreads omp_threads_ = nullptr;
    SetThreads set_omp_threads_ = nullptr;
    SwapThreads mkl_threads_ = nullptr;
};

// The provider that `choice` names: "mkl", "openblas", "onednn", "blis", the path of a CBLAS library, or "builtin" for
// none (null). Without a choice (null or ""): MKL where it is found, else none. Looks into the directories (separated
// by
// '\n', may be null), into runtimes/<rid>/native below each, then where the system's loader looks. Appends to `report`
// a line for each thing that was tried. Throws hpc::Error(HPC_NOT_AVAILABLE), with the same lines, if the chosen
// provider is not to be had. Loaded libraries stay loaded.
std::unique_ptr<BlasProvider> load_blas(const char* choice, const char* directories, std::string& report);

}  // namespace hpc::cpu
