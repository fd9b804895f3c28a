// Building kernels and keeping what was built (see program_cache.h).
#include "opencl/program_cache.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>

namespace hpc::opencl {

struct EmbeddedText {
    const char* name;
    const char* const* pieces;  // ends with null
};
extern const EmbeddedText kEmbeddedTexts[];  // made by embed.cmake; ends with a null name

std::string embedded_text(const char* name) {
    for (const EmbeddedText* entry = kEmbeddedTexts; entry->name; entry++) {
        if (std::strcmp(entry->name, name) != 0) continue;
        std::string text;
        for (const char* const* piece = entry->pieces; *piece; piece++) text += *piece;
        return text;
    }
    fail(HPC_INTERNAL, "no text '%s' is embedded", name);
}

namespace {

constexpr char kMagic[8] = {'H', 'P', 'C', 'N', 'E', 'T', 'C', 'L'};
constexpr uint64_t kFormat = 1;
constexpr uint64_t kLargestBinary = 256ull << 20;
constexpr size_t kLogShown = 1500;  // characters of a build log in an error message

struct Header {
    char magic[8];
    uint64_t format, key_bytes, binary_bytes, checksum;
};

// FNV-1a; the cache guards against damage and mistaken identity, not against whoever may write the user's folders.
uint64_t hash(const std::string& text, uint64_t seed = 0xcbf29ce484222325) {
    uint64_t value = seed;
    for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return value;
}

// C's files: iostreams would bring a megabyte of locales into the library.
struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

File open(const std::filesystem::path& path, bool writing) {
#if defined(_WIN32)
    return File(_wfopen(path.c_str(), writing ? L"wb" : L"rb"));
#else
    return File(std::fopen(path.c_str(), writing ? "wb" : "rb"));
#endif
}

bool read(const File& file, void* bytes, size_t count) { return std::fread(bytes, 1, count, file.get()) == count; }
bool write(const File& file, const void* bytes, size_t count) { return std::fwrite(bytes, 1, count, file.get()) == count; }

std::string hex(uint64_t value) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

// A name beside a file that nobody else takes.
std::filesystem::path name_beside(const std::filesystem::path& file, const void* owner) {
    static std::atomic<uint64_t> number{0};
    const uint64_t moment = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
    std::filesystem::path beside = file;
    beside += std::string(".").append(hex(moment ^ reinterpret_cast<uintptr_t>(owner))) + "." + std::to_string(number++) + ".tmp";
    return beside;
}

}  // namespace

// From different seeds.
std::string digest(const std::string& text) { return hex(hash(text)) + hex(hash(text, 0x9e3779b97f4a7c15)); }

bool read_text(const std::filesystem::path& file, uint64_t largest, std::string& text) {
    std::error_code ignored;
    const uint64_t bytes = std::filesystem::file_size(file, ignored);
    if (ignored || bytes > largest) return false;
    const File stream = open(file, false);
    text.assign(bytes, '\0');
    return stream && read(stream, text.data(), text.size());
}

void write_text(const std::filesystem::path& file, const std::string& text) {
    std::error_code code;
    if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path(), code);
    const std::filesystem::path beside = name_beside(file, &text);
    bool written = false;
    {
        const File stream = open(beside, true);
        written = stream && write(stream, text.data(), text.size()) && std::fflush(stream.get()) == 0;
    }
    if (written) std::filesystem::rename(beside, file, code);
    if (written && !code) return;
    std::error_code ignored;
    std::filesystem::remove(beside, ignored);
    const std::u8string name = file.u8string();
    throw Error(HPC_INVALID_ARGUMENT, "cannot write '" + std::string(name.begin(), name.end()) + "'");
}

ProgramCache::ProgramCache(const Api& api, cl_context context, const DeviceInfo& device, std::string common_options,
                           const std::string& folder)
    : api_(api),
      context_(context),
      device_(device.id),
      identity_(device.platform_name + "\n" + device.name + "\n" + device.vendor + "\n" + device.version + "\n" + device.driver + "\n"),
      common_options_(std::move(common_options)),
      folder_(std::filesystem::path(std::u8string(folder.begin(), folder.end()))) {}

cl_program ProgramCache::get(const Source& source, const std::string& options) {
    const std::string all_options = common_options_ + options;
    const std::string id = std::string(source.name) + "\n" + all_options;
    std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = programs_.find(id); found != programs_.end()) return found->second.get();

    std::string text;
    for (const char* const* name = source.texts; *name; name++) text.append("#line 1 \"").append(*name).append("\"\n").append(embedded_text(*name));

    Ref<cl_program> program;
    const std::string key = identity_ + id + "\n" + digest(text) + "\n";
    const std::filesystem::path file = folder_.empty() ? folder_ : folder_ / (digest(key) + ".clbin");
    if (!file.empty()) program = load(file, key, all_options);
    if (program) {
        read_++;
    } else {
        program = build(source.name, text, all_options);
        built_++;
        if (!file.empty()) store(file, key, program.get());
    }
    return programs_.emplace(id, std::move(program)).first->second.get();
}

void ProgramCache::compile(cl_program program, const std::string& name, const std::string& options) const {
    const cl_int code = attempt(api_.clBuildProgram, program, 1u, &device_, options.c_str(), nullptr, nullptr);
    if (code == CL_SUCCESS) return;
    std::string log;
    try {
        size_t size = 0;
        HPC_CL(api_, clGetProgramBuildInfo, program, device_, CL_PROGRAM_BUILD_LOG, size_t{0}, nullptr, &size);
        log.resize(size);
        HPC_CL(api_, clGetProgramBuildInfo, program, device_, CL_PROGRAM_BUILD_LOG, size, static_cast<void*>(log.data()), nullptr);
        while (!log.empty() && (log.back() == '\0' || log.back() == '\n')) log.pop_back();
    } catch (const Error& error) {
        log = error.what();
    }
    if (log.size() > kLogShown) log.resize(kLogShown);
    std::string message = "OpenCL: building the kernels '" + name + "' (" + options + ") failed: " + error_name(code);
    if (!log.empty()) message.append("\n").append(log);
    throw Error(HPC_DEVICE_ERROR, message);
}

Ref<cl_program> ProgramCache::build(const std::string& name, const std::string& text, const std::string& options) const {
    const char* pointer = text.data();
    const size_t length = text.size();
    Ref<cl_program> program(api_, HPC_CL_CREATE(api_, clCreateProgramWithSource, context_, 1u, &pointer, &length));
    compile(program.get(), name, options);
    return program;
}

Ref<cl_program> ProgramCache::load(const std::filesystem::path& file, const std::string& key, const std::string& options) const {
    const File stream = open(file, false);
    if (!stream) return {};
    Header header{};
    if (!read(stream, &header, sizeof header)) return {};
    if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.format != kFormat || header.key_bytes != key.size() ||
        header.binary_bytes == 0 || header.binary_bytes > kLargestBinary)
        return {};
    std::error_code ignored;
    if (std::filesystem::file_size(file, ignored) != sizeof header + header.key_bytes + header.binary_bytes || ignored) return {};
    std::string found_key(header.key_bytes, '\0'), binary(header.binary_bytes, '\0');
    if (!read(stream, found_key.data(), found_key.size()) || found_key != key) return {};
    if (!read(stream, binary.data(), binary.size()) || hash(binary) != header.checksum) return {};

    try {
        const unsigned char* pointer = reinterpret_cast<const unsigned char*>(binary.data());
        const size_t length = binary.size();
        cl_int status = CL_SUCCESS;
        Ref<cl_program> program(api_, HPC_CL_CREATE(api_, clCreateProgramWithBinary, context_, 1u, &device_, &length, &pointer, &status));
        if (status != CL_SUCCESS) return {};
        compile(program.get(), file.filename().string(), options);
        return program;
    } catch (const Error&) {
        return {};  // the driver does not take it: built anew
    }
}

std::string ProgramCache::binary_of(cl_program program) const {
    // A caller's context may have other devices: their programs were not built.
    const cl_uint count = HPC_CL_QUERY(cl_uint, api_, clGetProgramInfo, program, CL_PROGRAM_NUM_DEVICES);
    std::vector<cl_device_id> devices(count);
    std::vector<size_t> sizes(count);
    HPC_CL(api_, clGetProgramInfo, program, CL_PROGRAM_DEVICES, count * sizeof(cl_device_id), static_cast<void*>(devices.data()), nullptr);
    HPC_CL(api_, clGetProgramInfo, program, CL_PROGRAM_BINARY_SIZES, count * sizeof(size_t), static_cast<void*>(sizes.data()), nullptr);
    std::string binary;
    std::vector<unsigned char*> places(count, nullptr);
    for (cl_uint i = 0; i < count; i++) {
        if (devices[i] != device_ || sizes[i] == 0 || sizes[i] > kLargestBinary) continue;
        binary.resize(sizes[i]);
        places[i] = reinterpret_cast<unsigned char*>(binary.data());
    }
    if (!binary.empty())
        HPC_CL(api_, clGetProgramInfo, program, CL_PROGRAM_BINARIES, count * sizeof(unsigned char*), static_cast<void*>(places.data()), nullptr);
    return binary;
}

void ProgramCache::store(const std::filesystem::path& file, const std::string& key, cl_program program) {
    // Whatever goes wrong here, the program is there.
    std::error_code code;
    std::filesystem::path beside;
    try {
        const std::string binary = binary_of(program);
        if (binary.empty()) return;
        std::filesystem::create_directories(folder_, code);
        if (code) throw std::filesystem::filesystem_error("cannot create the folder", folder_, code);
        beside = name_beside(file, this);
        {
            const File stream = open(beside, true);
            Header header{};
            std::memcpy(header.magic, kMagic, sizeof kMagic);
            header.format = kFormat;
            header.key_bytes = key.size();
            header.binary_bytes = binary.size();
            header.checksum = hash(binary);
            if (!stream || !write(stream, &header, sizeof header) || !write(stream, key.data(), key.size()) ||
                !write(stream, binary.data(), binary.size()) || std::fflush(stream.get()) != 0)
                throw std::runtime_error("cannot write " + beside.string());
        }
        std::filesystem::rename(beside, file, code);
        if (code) throw std::filesystem::filesystem_error("cannot rename", beside, file, code);
        return;
    } catch (const std::exception& error) {
        trouble_ = error.what();
    }
    if (!beside.empty()) std::filesystem::remove(beside, code);
}

std::string ProgramCache::describe() const {
    std::lock_guard<std::mutex> lock(mutex_);
    if (folder_.empty()) return "cache: none, " + std::to_string(built_) + " kernel programs built\n";
    const std::u8string folder = folder_.u8string();
    return "cache: " + std::string(folder.begin(), folder.end()) + ", " + std::to_string(read_) + " kernel programs read, " +
           std::to_string(built_) + " built" + (trouble_.empty() ? "" : " (" + trouble_ + ")") + "\n";
}

}  // namespace hpc::opencl
