// Errors of the core: one exception type inside, one guard at the boundary that turns every exception into a status and
// a thread-local message. Nothing but a status crosses the ABI.
#pragma once

#include <new>
#include <stdexcept>
#include <string>

#include "hpcnet.h"

namespace hpc {

class Error : public std::runtime_error {
public:
    Error(hpc_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
    hpc_status status() const noexcept { return status_; }

private:
    hpc_status status_;
};

// printf-style construction, checked by the compiler where it can be.
#if defined(__MINGW32__)
[[noreturn]] __attribute__((format(gnu_printf, 2, 3)))
#elif defined(__GNUC__)
[[noreturn]] __attribute__((format(printf, 2, 3)))
#else
[[noreturn]]
#endif
void fail(hpc_status status, const char* format, ...);

void set_last_error(const char* message) noexcept;
const char* last_error() noexcept;

// Runs `body`, which throws on failure; translates what it throws.
hpc_status current_exception_to_status() noexcept;

template <class Body>
hpc_status guarded(Body&& body) noexcept {
    try {
        body();
        return HPC_OK;
    } catch (...) {
        return current_exception_to_status();
    }
}

}  // namespace hpc
