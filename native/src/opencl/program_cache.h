// Built kernels of one device: in memory by source and options, and in a folder from process to process.
//
// A file of the folder holds one program's binary behind a header: a key (device, driver, options and a hash of the
// source) and a checksum. Whatever does not fit, is cut short or is refused by the driver is built again and replaced.
// Files are written beside and renamed, so that a reader never sees half of one; a folder that cannot be written costs
// time and nothing else.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>

#include "opencl/api.h"
#include "opencl/kernels.h"

namespace hpc::opencl {

// The text of a file that is embedded in the library ("opencl/kernels/gemm.cl"); throws if there is none of that name.
std::string embedded_text(const char* name);

// Two hashes of a text, as a name for a file.
std::string digest(const std::string& text);

// A small text file: false where there is none that can be read, or a larger one. Written beside and renamed; throws where that
// fails.
bool read_text(const std::filesystem::path& file, uint64_t largest, std::string& text);
void write_text(const std::filesystem::path& file, const std::string& text);

class ProgramCache {
public:
    // `folder`: "" for none.
    ProgramCache(const Api& api, cl_context context, const DeviceInfo& device, std::string common_options, const std::string& folder);

    // The program of this source and these options behind the common ones; builds it where it must.
    cl_program get(const Source& source, const std::string& options);

    // "cache: FOLDER, 12 kernel programs read, 1 built".
    std::string describe() const;

private:
    Ref<cl_program> build(const std::string& name, const std::string& text, const std::string& options) const;
    void compile(cl_program program, const std::string& name, const std::string& options) const;
    Ref<cl_program> load(const std::filesystem::path& file, const std::string& key, const std::string& options) const;
    void store(const std::filesystem::path& file, const std::string& key, cl_program program);
    std::string binary_of(cl_program program) const;

    const Api& api_;
    cl_context context_;
    cl_device_id device_;
    std::string identity_, common_options_;
    std::filesystem::path folder_;
    mutable std::mutex mutex_;
    std::map<std::string, Ref<cl_program>> programs_;
    int read_ = 0, built_ = 0;
    std::string trouble_;
};

}  // namespace hpc::opencl
