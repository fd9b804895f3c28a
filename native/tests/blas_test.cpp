// BLAS providers: those that are installed compute what they should, from several threads at once; MKL's names are
// tried in their order and it is put into its sequential layer (shown on a stand-in library); a forced provider that is
// missing is an error that lists what was tried.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <vector>

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "cpu/blas.h"
#include "error.h"
#include "folder.h"

namespace {

using namespace hpc::cpu;
using hpc::test::Folder;
namespace fs = std::filesystem;

#if defined(_WIN32)
const char* const kMklName = "mkl_rt.2.dll";
const char* const kNative = "runtimes/win-x64/native";
#else
const char* const kMklName = "libmkl_rt.so.2";
const char* const kNative = "runtimes/linux-x64/native";
#endif

constexpr Form kForms[] = {Form::NN, Form::NT, Form::TN};

// Whether the provider's C is the product, for one shape; leading dimensions exceed the widths.
bool right(const BlasProvider& provider, Form form, int64_t m, int64_t n, int64_t k, unsigned seed) {
    const int64_t rows_a = form == Form::TN ? k : m, lda = (form == Form::TN ? m : k) + 3;
    const int64_t rows_b = form == Form::NT ? n : k, ldb = (form == Form::NT ? k : n) + 1, ldc = n + 2;
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::vector<float> a(static_cast<size_t>(rows_a * lda)), b(static_cast<size_t>(rows_b * ldb));
    for (float& x : a) x = uniform(random);
    for (float& x : b) x = uniform(random);
    std::vector<float> c(static_cast<size_t>(m * ldc), std::nanf(""));  // must not be read
    provider.sgemm(form, m, n, k, a.data(), lda, b.data(), ldb, c.data(), ldc);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < ldc; j++) {
            const float element = c[static_cast<size_t>(i * ldc + j)];
            if (j >= n) {
                if (!std::isnan(element)) return false;
                continue;
            }
            double sum = 0, magnitude = 0;
            for (int64_t p = 0; p < k; p++) {
                const double x =
                    static_cast<double>(a[static_cast<size_t>(form == Form::TN ? p * lda + i : i * lda + p)]);
                const double y =
                    static_cast<double>(b[static_cast<size_t>(form == Form::NT ? j * ldb + p : p * ldb + j)]);
                sum += x * y;
                magnitude += std::fabs(x * y);
            }
            if (!(std::fabs(static_cast<double>(element) - sum) <=
                  static_cast<double>(k + 1) * 0x1p-24 * magnitude + 1e-37))
                return false;
        }
    }
    return true;
}

std::unique_ptr<BlasProvider> load(const char* choice, const std::string& directories = "") {
    std::string report;
    return load_blas(choice, directories.c_str(), report);
}

int ask(const char* library, const char* function) {
#if defined(_WIN32)
    const HMODULE module = GetModuleHandleA(library);
    return module ? reinterpret_cast<int (*)()>(reinterpret_cast<void*>(GetProcAddress(module, function)))() : -2;
#else
    void* handle = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
    if (!handle) return -2;
    const int answer = reinterpret_cast<int (*)()>(dlsym(handle, function))();
    dlclose(handle);
    return answer;
#endif
}

// A library that is not on this machine is a reported skip, but a failure where HPCNET_REQUIRE_BLAS names it.
class Provider : public testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        try {
            provider = load(GetParam());
        } catch (const hpc::Error& error) {
            const char* required = std::getenv("HPCNET_REQUIRE_BLAS");
            std::string words = " ";
            words.append(required ? required : "").append(" ");
            std::string word = " ";
            word.append(GetParam()).append(" ");
            ASSERT_EQ(words.find(word), std::string::npos) << error.what();
            GTEST_SKIP() << error.what();
        }
    }

    std::unique_ptr<BlasProvider> provider;
};

TEST_P(Provider, ComputesEveryForm) {
    ASSERT_TRUE(provider);
    EXPECT_STREQ(provider->name(), GetParam());
    EXPECT_NE(std::string(provider->path()), "");
    for (const Form form : kForms) {
        EXPECT_TRUE(right(*provider, form, 1, 1, 1, 1));
        EXPECT_TRUE(right(*provider, form, 37, 41, 53, 2));
        EXPECT_TRUE(right(*provider, form, 128, 10, 256, 3));
        EXPECT_TRUE(right(*provider, form, 1, 300, 200, 4));
    }
}

TEST_P(Provider, ServesSeveralThreadsAtOnce) {
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 4; t++) {
        threads.emplace_back([&, t] {
            for (unsigned round = 0; round < 20; round++) {
                if (!right(*provider, kForms[(t + round) % 3], 40 + t, 50, 60 + round, 100 * t + round)) wrong++;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(Name, Provider, testing::Values("mkl", "openblas", "onednn", "blis"),
                         [](const testing::TestParamInfo<const char*>& name) { return name.param; });

TEST(Blas, BuiltinMeansNone) {
    std::string report;
    EXPECT_FALSE(load_blas("builtin", nullptr, report));
    EXPECT_NE(report.find("built-in"), std::string::npos);
}

TEST(Blas, WithoutAChoiceMklOrNone) {
    std::string report;
    const std::unique_ptr<BlasProvider> provider = load_blas(nullptr, nullptr, report);
    if (provider) {
        EXPECT_STREQ(provider->name(), "mkl");
    }
    EXPECT_NE(report.find(kMklName), std::string::npos);
    std::string same;
    EXPECT_EQ(load_blas("", "", same) == nullptr, provider == nullptr);
}

TEST(Blas, AForcedProviderThatIsMissingListsWhatWasTried) {
    const Folder empty;
    try {
        load("/nowhere/libsome_blas.so");
        FAIL() << "loaded from nowhere";
    } catch (const hpc::Error& error) {
        EXPECT_EQ(error.status(), HPC_NOT_AVAILABLE);
        EXPECT_NE(std::string(error.what()).find("/nowhere/libsome_blas.so: "), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("expected builtin, mkl"), std::string::npos) << error.what();
    }
    try {
        const std::unique_ptr<BlasProvider> mkl = load("mkl", empty.path().string());
        ASSERT_TRUE(mkl);  // where MKL is installed
    } catch (const hpc::Error& error) {
        EXPECT_EQ(error.status(), HPC_NOT_AVAILABLE);
        const std::string words = error.what();
        EXPECT_NE(words.find((empty.path() / kMklName).string()), std::string::npos) << words;
        EXPECT_NE(words.find(std::string("\n  ") + kMklName + ": "), std::string::npos) << words;
#if !defined(_WIN32)
        EXPECT_NE(words.find("libmkl_rt.so: "), std::string::npos) << words;
        EXPECT_NE(words.find("No such file"), std::string::npos) << words;
#endif
    }
}

TEST(Blas, ALibraryThatIsNoneIsRefused) {
    const Folder folder;
    std::ofstream(folder.path() / kMklName) << "this is text";
    std::string report;
    try {
        load_blas("mkl", folder.path().string().c_str(), report);
    } catch (const hpc::Error& error) {
        EXPECT_EQ(error.status(), HPC_NOT_AVAILABLE);
    }
    EXPECT_NE(report.find((folder.path() / kMklName).string() + ": "), std::string::npos) << report;
#if !defined(_WIN32)
    // A library, but of something else.
    try {
        load("libm.so.6");
        FAIL() << "took the mathematics library for a BLAS";
    } catch (const hpc::Error& error) {
        EXPECT_NE(std::string(error.what()).find("cblas_sgemm"), std::string::npos) << error.what();
    }
#endif
}

TEST(Blas, MklIsFoundFirstAndMadeSequential) {
    std::string report;
    const std::unique_ptr<BlasProvider> provider = load_blas(nullptr, HPC_MKL_STAND_IN, report);
    ASSERT_TRUE(provider) << report;
    EXPECT_STREQ(provider->name(), "mkl");
    const std::string file = (fs::path(HPC_MKL_STAND_IN) / kMklName).make_preferred().string();
    EXPECT_EQ(fs::path(provider->path()), fs::path(file));
    EXPECT_NE(report.find(file), std::string::npos) << report;
    EXPECT_NE(report.find("sequential layer"), std::string::npos) << report;
    EXPECT_EQ(ask(file.c_str(), "stand_in_threading_layer"), 1);

    const int before = ask(file.c_str(), "stand_in_calls");
    for (const Form form : kForms) EXPECT_TRUE(right(*provider, form, 7, 9, 11, 5));
    EXPECT_EQ(ask(file.c_str(), "stand_in_calls"), before + 3);

    // By its path it is any CBLAS library.
    EXPECT_STREQ(load(file.c_str())->name(), "custom");
}

TEST(Blas, ThePackageFolderBelowADirectoryIsSearched) {
    const Folder folder;
    fs::create_directories(folder.path() / kNative);
    fs::copy_file(fs::path(HPC_MKL_STAND_IN) / kMklName, folder.path() / kNative / kMklName);
    // An earlier folder without it does not matter.
    const std::unique_ptr<BlasProvider> provider = load("mkl", "/nowhere\n\n" + folder.path().string());
    ASSERT_TRUE(provider);
    EXPECT_EQ(fs::path(provider->path()), (folder.path() / kNative / kMklName).make_preferred());
}

}  // namespace
