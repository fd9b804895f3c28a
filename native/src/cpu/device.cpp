// The CPU device (see device.h).
#include "cpu/device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "cpu/dispatch.h"
#include "cpu/measure.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace hpc::cpu {

namespace {

constexpr size_t kAlignment = 64;
constexpr uint64_t kHugePage = 2u << 20;

uint64_t physical_memory() {
#if defined(_WIN32)
    MEMORYSTATUSEX status;
    status.dwLength = sizeof status;
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : 0;
#else
    const long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(size) : 0;
#endif
}

template <size_t N>
void copy_text(char (&destination)[N], const std::string& text) {
    std::memset(destination, 0, N);
    std::memcpy(destination, text.data(), std::min(text.size(), N - 1));
}

}  // namespace

Memory::Memory(uint64_t bytes) {
    // Asking for more than the machine has would succeed where memory is overcommitted, and end the process later.
    const uint64_t physical = physical_memory();
    if (bytes > SIZE_MAX - kHugePage || (physical && bytes > physical))
        fail(HPC_OUT_OF_MEMORY, "out of memory: %llu bytes asked for, the machine has %llu",
             static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(physical));
#if defined(MADV_HUGEPAGE)
    if (bytes >= 2 * kHugePage) {
        mapped_bytes_ = bytes + kHugePage;
        void* mapped = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) throw std::bad_alloc();
        mapped_ = static_cast<char*>(mapped);
        data_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(mapped_) + kHugePage - 1) & ~uintptr_t{kHugePage - 1});
        madvise(data_, bytes, MADV_HUGEPAGE);
        return;
    }
#endif
    data_ = static_cast<char*>(::operator new(bytes, std::align_val_t{kAlignment}));
    std::memset(data_, 0, bytes);
}

Memory::~Memory() {
#if !defined(_WIN32)
    if (mapped_) {
        munmap(mapped_, mapped_bytes_);
        return;
    }
#endif
    ::operator delete(data_, std::align_val_t{kAlignment});
}

CpuBuffer::CpuBuffer(std::shared_ptr<Device> device, uint64_t bytes) : Buffer(std::move(device), bytes), memory_(bytes) {}

void CpuBuffer::read(uint64_t offset, void* destination, uint64_t bytes) { std::memcpy(destination, data() + offset, bytes); }

void CpuBuffer::write(uint64_t offset, const void* source, uint64_t bytes) { std::memcpy(data() + offset, source, bytes); }

void CpuBuffer::copy_to(uint64_t offset, Buffer& destination, uint64_t destination_offset, uint64_t bytes) {
    std::memcpy(static_cast<CpuBuffer&>(destination).data() + destination_offset, data() + offset, bytes);
}

void CpuBuffer::fill(uint64_t offset, uint32_t pattern, uint64_t bytes) {
    uint32_t* words = reinterpret_cast<uint32_t*>(data() + offset);
    std::fill(words, words + bytes / 4, pattern);
}

const float* CpuBuffer::panels(const Kernels& kernels, uint64_t offset, int64_t rows, int64_t columns) {
    std::lock_guard<std::mutex> lock(mutex_);
    for (const Panels& made : panels_)
        if (made.offset == offset && made.rows == rows && made.columns == columns)
            return reinterpret_cast<const float*>(made.buffer->data());
    const int64_t width = (columns + kernels.blocks.nr - 1) / kernels.blocks.nr * kernels.blocks.nr;
    auto buffer = std::make_unique<CpuBuffer>(device(), static_cast<uint64_t>(rows * width) * sizeof(float));
    float* packed = reinterpret_cast<float*>(buffer->data());
    kernels.pack_panels(reinterpret_cast<const float*>(data() + offset), columns, rows, columns, packed);
    panels_.push_back({offset, rows, columns, std::move(buffer)});
    return packed;
}

ScratchPool::~ScratchPool() { delete last_.load(); }

Memory* ScratchPool::borrow() {
    if (Memory* block = last_.exchange(nullptr, std::memory_order_acquire)) return block;
    {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!idle_.empty()) {
            Memory* block = idle_.back().release();
            idle_.pop_back();
            return block;
        }
        idle_.reserve(idle_.capacity() + 1);  // so that giving back never allocates
    }
    return new Memory(bytes_);
}

void ScratchPool::give_back(Memory* block) noexcept {
    Memory* expected = nullptr;
    if (last_.compare_exchange_strong(expected, block, std::memory_order_release, std::memory_order_relaxed)) return;
    std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.size() < idle_.capacity()) {
        idle_.emplace_back(block);
    } else {
        delete block;
    }
}

namespace {

int checked_threads(int threads) {
    if (threads < 0 || threads > 1024) fail(HPC_INVALID_ARGUMENT, "options.threads is %d: expected 0 (default) to 1024", threads);
    return threads ? threads : default_threads();
}

}  // namespace

CpuDevice::CpuDevice(const hpc_device_options& options)
    : kernels_(choose_kernels(options.isa)),
      blas_(load_blas(options.blas, options.library_directories, blas_report_)),
      team_(checked_threads(options.threads)),
      scratch_(kernels_.gemm_scratch_bytes) {
    for (int i = 1; i < team_.threads(); i++) worker_scratch_.push_back(std::make_unique<Memory>(kernels_.gemm_scratch_bytes));
}

void CpuDevice::info(hpc_device_info& info) const {
    info = {};
    info.kind = HPC_DEVICE_CPU;
    info.threads = team_.threads();
    info.memory_bytes = physical_memory();
    info.allocated_bytes = allocated.load(std::memory_order_relaxed);
    copy_text(info.name, processor_name());
    copy_text(info.isa, kernels_.isa);
    copy_text(info.blas, blas_ ? blas_->name() : "builtin");
    copy_text(info.blas_path, blas_ ? blas_->path() : "");
}

std::string CpuDevice::describe() const {
    std::string text = describe_processor();
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += std::string("kernels: ") + kernels_.isa + "\n";
    text += "team: " + std::to_string(team_.threads()) + " threads\n";
    text += blas_report_;
    if (!blas_report_.empty() && blas_report_.back() != '\n') text += '\n';
    text += std::string("blas: ") + (blas_ ? std::string(blas_->name()) + " (" + blas_->path() + ")" : "builtin") + "\n";
    return text;
}

hpc_measurement CpuDevice::measure(int milliseconds) { return cpu::measure(team_, kernels_, milliseconds); }

double CpuDevice::measure_peak(int milliseconds) { return cpu::measure_peak(team_, kernels_, milliseconds); }

hpc_memory_bandwidth CpuDevice::measure_memory(uint64_t bytes, int milliseconds) {
    return cpu::measure_memory(team_, kernels_, bytes, milliseconds);
}

hpc_cache_info CpuDevice::caches() const { return processor_caches(); }

std::shared_ptr<Buffer> CpuDevice::create_buffer(uint64_t bytes) { return std::make_shared<CpuBuffer>(shared_from_this(), bytes); }

std::shared_ptr<Device> create_device(const hpc_device_options& options) { return std::make_shared<CpuDevice>(options); }

}  // namespace hpc::cpu
