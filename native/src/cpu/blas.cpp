// Finding and calling BLAS libraries (see blas.h). The few declarations that are used stand in blas.h: no BLAS header
// is needed to build, no BLAS library to run.
#include "cpu/blas.h"

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "cpu/dispatch.h"
#include "error.h"

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <dlfcn.h>
#include <link.h>
#endif

namespace hpc::cpu {

namespace {

constexpr int kRowMajor = 101, kAsIs = 111, kTransposed = 112;

struct Known {
    const char* name;
    std::vector<const char*> files;  // in order of preference
};

const std::vector<Known>& known_providers() {
#if defined(_WIN32)
    static const std::vector<Known> list = {{"mkl", {"mkl_rt.2.dll", "mkl_rt.dll"}},
                                            {"openblas", {"libopenblas.dll", "openblas.dll"}},
                                            {"onednn", {"dnnl.dll"}},
                                            {"blis", {"libblis.4.dll", "libblis.3.dll", "libblis.dll"}}};
#else
    static const std::vector<Known> list = {{"mkl", {"libmkl_rt.so.2", "libmkl_rt.so"}},
                                            {"openblas", {"libopenblas.so.0", "libopenblas.so"}},
                                            {"onednn", {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"}},
                                            {"blis", {"libblis.so.4", "libblis.so.3", "libblis.so"}}};
#endif
    return list;
}

// ---- The system's loader -----------------------------------------------------------------------------------------

using Library = void*;

#if defined(_WIN32)

constexpr char kSeparator = '\\';
constexpr const char* kNativeFolder = "runtimes\\win-x64\\native";

std::wstring wide(const std::string& text) {
    const int count = MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, nullptr, 0);
    if (count <= 0) return {};
    std::wstring result(static_cast<size_t>(count), L'\0');
    MultiByteToWideChar(CP_UTF8, 0, text.c_str(), -1, result.data(), count);
    result.resize(static_cast<size_t>(count) - 1);
    return result;
}

std::string narrow(const wchar_t* text) {
    const int count = WideCharToMultiByte(CP_UTF8, 0, text, -1, nullptr, 0, nullptr, nullptr);
    if (count <= 0) return {};
    std::string result(static_cast<size_t>(count), '\0');
    WideCharToMultiByte(CP_UTF8, 0, text, -1, result.data(), count, nullptr, nullptr);
    result.resize(static_cast<size_t>(count) - 1);
    return result;
}

Library open_library(const std::string& file, std::string& words) {
    const bool has_folder = file.find_first_of("\\/") != std::string::npos;
    DWORD previous = 0;
    SetThreadErrorMode(SEM_FAILCRITICALERRORS | SEM_NOOPENFILEERRORBOX, &previous);
    // A library in a folder of its own finds its companions beside it.
    const HMODULE module = LoadLibraryExW(wide(file).c_str(), nullptr, has_folder ? LOAD_WITH_ALTERED_SEARCH_PATH : 0);
    const DWORD error = module ? 0 : GetLastError();
    SetThreadErrorMode(previous, nullptr);
    if (module) return reinterpret_cast<Library>(module);
    wchar_t text[512] = L"";
    FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, error, 0, text, 512, nullptr);
    words = narrow(text);
    while (!words.empty() && (words.back() == '\n' || words.back() == '\r' || words.back() == ' ')) words.pop_back();
    words += " (error " + std::to_string(error) + ")";
    return nullptr;
}

template <class Function>
Function find_symbol(Library library, const char* name) {
    const FARPROC symbol = GetProcAddress(reinterpret_cast<HMODULE>(library), name);
    Function function = nullptr;
    static_assert(sizeof function == sizeof symbol);
    std::memcpy(&function, &symbol, sizeof function);
    return function;
}

// Symbols of the OpenMP run time that the library brought along.
template <class Function>
Function find_openmp_symbol(Library library, const char* name) {
    if (const auto own = find_symbol<Function>(library, name)) return own;
    for (const wchar_t* run_time : {L"vcomp140.dll", L"libiomp5md.dll", L"libomp140.x86_64.dll", L"libgomp-1.dll"}) {
        if (const HMODULE module = GetModuleHandleW(run_time))
            return find_symbol<Function>(reinterpret_cast<Library>(module), name);
    }
    return nullptr;
}

std::string file_of(Library library, const std::string& otherwise) {
    wchar_t path[32768];
    const DWORD length = GetModuleFileNameW(reinterpret_cast<HMODULE>(library), path, 32768);
    return length > 0 && length < 32768 ? narrow(path) : otherwise;
}

void set_environment(const char* name, const char* value) { _putenv_s(name, value ? value : ""); }

#else

constexpr char kSeparator = '/';
constexpr const char* kNativeFolder = "runtimes/linux-x64/native";

Library open_library(const std::string& file, std::string& words) {
    const Library library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char* error = dlerror();
        words = error ? error : "the loader gave no reason";
        // The loader often begins with the name, which stands before its words in the report already.
        if (words.compare(0, file.size() + 2, file + ": ") == 0) words.erase(0, file.size() + 2);
    }
    return library;
}

template <class Function>
Function find_symbol(Library library, const char* name) {
    void* symbol = dlsym(library, name);
    Function function = nullptr;
    static_assert(sizeof function == sizeof symbol);
    std::memcpy(&function, &symbol, sizeof function);
    return function;
}

// dlsym looks into what the library itself depends on, too.
template <class Function>
Function find_openmp_symbol(Library library, const char* name) {
    return find_symbol<Function>(library, name);
}

std::string file_of(Library library, const std::string& otherwise) {
    link_map* map = nullptr;
    if (dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && map->l_name[0]) return map->l_name;
    return otherwise;
}

void set_environment(const char* name, const char* value) {
    if (value) {
        setenv(name, value, 1);
    } else {
        unsetenv(name);
    }
}

#endif

std::string joined(const std::string& folder, const std::string& name) {
    return folder.empty() || folder.back() == kSeparator || folder.back() == '/' ? folder + name
                                                                                 : folder + kSeparator + name;
}

std::vector<std::string> folders_of(const char* directories) {
    std::vector<std::string> folders;
    const std::string all = directories ? directories : "";
    for (size_t begin = 0; begin < all.size();) {
        const size_t end = std::min(all.find('\n', begin), all.size());
        if (end > begin) {
            folders.push_back(all.substr(begin, end - begin));
            folders.push_back(joined(folders.back(), kNativeFolder));
        }
        begin = end + 1;
    }
    return folders;
}

// BLIS up to 0.9 takes its AVX2 kernels on several Intel processors that have AVX-512. Its variable says which to take,
// number 0 being those of Skylake-X; it is read once, when BLIS starts, and taken back after that.
class BlisKernels {
public:
    BlisKernels() {
        const std::vector<IsaEntry> isas = known_isas();
        const bool avx512 = !isas.empty() && isas[0].supported && std::string(isas[0].name) == "avx512";
        if (avx512 && processor_name().find("Intel") != std::string::npos && !std::getenv(kVariable)) {
            set_environment(kVariable, "0");
            set_ = true;
        }
    }
    ~BlisKernels() {
        if (set_) set_environment(kVariable, nullptr);
    }
    BlisKernels(const BlisKernels&) = delete;
    BlisKernels& operator=(const BlisKernels&) = delete;
    bool set() const { return set_; }

private:
    static constexpr const char* kVariable = "BLIS_ARCH_TYPE";
    bool set_ = false;
};

// The product of two small matrices in each form, by the library and by hand: a library built for 64-bit integers, or
// otherwise not what its name says, is not used.
bool computes(const BlasProvider& provider) {
    constexpr int64_t m = 3, n = 2, k = 4;
    for (const Form form : {Form::NN, Form::NT, Form::TN}) {
        const int64_t lda = form == Form::TN ? m : k, ldb = form == Form::NT ? k : n;
        float a[m * k], b[k * n], c[m * n];
        for (int i = 0; i < m * k; i++) a[i] = static_cast<float>(i + 1);
        for (int i = 0; i < k * n; i++) b[i] = static_cast<float>(5 - i);
        for (float& element : c) element = -1000;
        provider.sgemm(form, m, n, k, a, lda, b, ldb, c, n);
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                float sum = 0;
                for (int64_t p = 0; p < k; p++) {
                    sum += (form == Form::TN ? a[p * lda + i] : a[i * lda + p]) *
                           (form == Form::NT ? b[j * ldb + p] : b[p * ldb + j]);
                }
                if (c[i * n + j] != sum) return false;
            }
        }
    }
    return true;
}

}  // namespace

// Makes a provider of a library.
class BlasLoader {
public:
    // Null if the file is not to be had or is no BLAS library; `words` says why, or what was done.
    static std::unique_ptr<BlasProvider> load(const std::string& name, const std::string& file, std::string& words) {
        const Library library = open_library(file, words);
        if (!library) return nullptr;
        std::unique_ptr<BlasProvider> provider(new BlasProvider);
        provider->name_ = name;
        provider->path_ = file_of(library, file);
        provider->cblas_ = find_symbol<BlasProvider::Cblas>(library, "cblas_sgemm");
        if (!provider->cblas_) provider->dnnl_ = find_symbol<BlasProvider::Dnnl>(library, "dnnl_sgemm");
        if (!provider->cblas_ && !provider->dnnl_) {
            words = "loaded, but exports neither cblas_sgemm nor dnnl_sgemm";
            return nullptr;
        }
        words = "loaded";
        make_single_threaded(library, *provider, words);
        const bool right = with_blis_kernels(library, words, [&] { return computes(*provider); });
        if (!right) {
            words = "loaded, but its sgemm gives wrong results (a build with 64-bit integers?)";
            return nullptr;
        }
        return provider;
    }

private:
    // Each library has its own way; a library that has none of them has no threads that are known of.
    static void make_single_threaded(Library library, BlasProvider& provider, std::string& words) {
        if (const auto interface_layer = find_symbol<int (*)(int)>(library, "MKL_Set_Interface_Layer")) {
            interface_layer(0);  // 32-bit integers
        }
        bool sequential = false;
        if (const auto layer = find_symbol<int (*)(int)>(library, "MKL_Set_Threading_Layer")) {
            sequential = layer(1) == 1;
            words += sequential ? ", sequential layer" : ", another threading layer is in use already";
        }
        // Where the layer was chosen before by somebody else in this process, their threads are asked to stay out.
        if (!sequential) {
            provider.mkl_threads_ = find_symbol<BlasProvider::SwapThreads>(library, "MKL_Set_Num_Threads_Local");
        }
        if (const auto openblas = find_symbol<BlasProvider::SetThreads>(library, "openblas_set_num_threads"))
            openblas(1);
        if (const auto blis = find_symbol<void (*)(int64_t)>(library, "bli_thread_set_num_threads")) blis(1);
        if (provider.dnnl_) {
            provider.set_omp_threads_ = find_openmp_symbol<BlasProvider::SetThreads>(library, "omp_set_num_threads");
            provider.omp_threads_ = find_openmp_symbol<BlasProvider::GetThreads>(library, "omp_get_max_threads");
            if (!provider.omp_threads_) provider.set_omp_threads_ = nullptr;
            words += provider.set_omp_threads_ ? ", one OpenMP thread a call" : ", no OpenMP run time found";
        }
    }

    // Runs `body`, the first use of the library, in the environment that BLIS needs, if it is BLIS.
    template <class Body>
    static bool with_blis_kernels(Library library, std::string& words, Body body) {
        const auto identify = find_symbol<int (*)()>(library, "bli_arch_query_id");
        if (!identify) return body();
        const BlisKernels kernels;
        if (kernels.set()) words += ", BLIS_ARCH_TYPE=0 while it started";
        const int id = identify();
        if (const auto text = find_symbol<const char* (*)(int)>(library, "bli_arch_string")) {
            words += std::string(", kernels for ") + text(id);
        }
        return body();
    }
};

void BlasProvider::sgemm(Form form, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
                         int64_t ldb, float* c, int64_t ldc) const noexcept {
    if (m <= 0 || n <= 0) return;
    const bool transposed_a = form == Form::TN, transposed_b = form == Form::NT;
    if (dnnl_) {
        int threads = 1;
        if (omp_threads_) {
            threads = omp_threads_();
            if (threads != 1) set_omp_threads_(1);
        }
        dnnl_(transposed_a ? 'T' : 'N', transposed_b ? 'T' : 'N', m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
        if (threads != 1) set_omp_threads_(threads);
        return;
    }
    if (std::max({m, n, k, lda, ldb, ldc}) > INT_MAX) {
        // More than CBLAS can say. Rows of two thousand million elements are read slowly by anyone.
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t p = 0; p < k; p++) {
                    sum += static_cast<double>(transposed_a ? a[p * lda + i] : a[i * lda + p]) *
                           static_cast<double>(transposed_b ? b[j * ldb + p] : b[p * ldb + j]);
                }
                c[i * ldc + j] = static_cast<float>(sum);
            }
        }
        return;
    }
    const int threads = mkl_threads_ ? mkl_threads_(1) : 0;
    cblas_(kRowMajor, transposed_a ? kTransposed : kAsIs, transposed_b ? kTransposed : kAsIs, static_cast<int>(m),
           static_cast<int>(n), static_cast<int>(k), 1.0f, a, static_cast<int>(lda), b, static_cast<int>(ldb), 0.0f, c,
           static_cast<int>(ldc));
    if (mkl_threads_) mkl_threads_(threads);
}

std::unique_ptr<BlasProvider> load_blas(const char* choice, const char* directories, std::string& report) {
    const std::string wanted = choice ? choice : "";
    if (wanted == "builtin") {
        report += "blas: built-in kernels, as chosen\n";
        return nullptr;
    }
    const std::string searched = wanted.empty() ? "mkl" : wanted;
    std::vector<std::string> files;
    std::string name = "custom";
    for (const Known& known : known_providers()) {
        if (searched != known.name) continue;
        name = known.name;
        for (const std::string& folder : folders_of(directories)) {
            for (const char* file : known.files) files.push_back(joined(folder, file));
        }
        for (const char* file : known.files) files.push_back(file);
    }
    if (name == "custom") files.push_back(wanted);

    std::string tried;
    for (const std::string& file : files) {
        std::string words;
        std::unique_ptr<BlasProvider> provider = BlasLoader::load(name, file, words);
        const std::string line = file + ": " + words + "\n";
        tried += "  " + line;
        report += "blas: " + name + ": " + line;
        if (provider) return provider;
    }
    if (wanted.empty()) {
        report += "blas: MKL was not found: built-in kernels\n";
        return nullptr;
    }
    // Not through fail(), which cuts long texts: this one says all that was tried.
    throw Error(HPC_NOT_AVAILABLE, name == "custom" ? "the BLAS library '" + wanted +
                                                          "' is not to be had (expected builtin, mkl, openblas, "
                                                          "onednn, blis or the path of a CBLAS library):\n" +
                                                          tried
                                                    : "the BLAS provider '" + wanted +
                                                          "' is not to be had on this machine; tried:\n" + tried);
}

}  // namespace hpc::cpu
