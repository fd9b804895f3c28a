// The one place where exceptions become statuses (see error.h).
#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace hpc {

namespace {
// A fixed array: storing a message must not itself run out of memory.
thread_local char t_message[2048] = "";
}  // namespace

void set_last_error(const char* message) noexcept { std::snprintf(t_message, sizeof t_message, "%s", message); }

const char* last_error() noexcept { return t_message; }

void fail(hpc_status status, const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(status, text);
}

hpc_status current_exception_to_status() noexcept {
    try {
        throw;
    } catch (const Error& error) {
        set_last_error(error.what());
        return error.status();
    } catch (const std::bad_alloc&) {
        set_last_error("out of memory");
        return HPC_OUT_OF_MEMORY;
    } catch (const std::length_error&) {
        set_last_error("out of memory: a size is beyond what this machine can address");
        return HPC_OUT_OF_MEMORY;
    } catch (const std::exception& error) {
        set_last_error(error.what());
        return HPC_INTERNAL;
    } catch (...) {
        set_last_error("an unknown exception");
        return HPC_INTERNAL;
    }
}

}  // namespace hpc
