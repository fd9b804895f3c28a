# Configures and builds the native core for the .NET build (BuildNative.proj runs it as `cmake -P`). It is a script of CMake's
# own because that gives one lock and one way to run programs on every operating system.
#
#   HPC_SOURCE  the repository's root
#   HPC_BINARY  the build folder; the library comes out in its lib/ subfolder
#
# Standard output is the build's. A failure ends with a line "HPCNET-FAILED <why>" there and exit status 0, because CMake can
# end a script with another status only by printing an error text of its own; BuildNative.proj makes the one error of it.
function(fail why)
    execute_process(COMMAND "${CMAKE_COMMAND}" -E echo "HPCNET-FAILED ${why}")
endfunction()

if(CMAKE_VERSION VERSION_LESS 3.20)
    fail("CMake 3.20 or later was not found on PATH, only ${CMAKE_VERSION}: install a newer one to build the native core \
(Debian: apt-get install cmake; Windows: winget install Kitware.CMake), or pass -p:HpcNetBuildNative=false to build without it")
    return()
endif()

# Two .NET builds of one checkout (an editor's and a terminal's, say) must not run CMake in one folder at once. The lock ends
# with this process, however that ends.
file(MAKE_DIRECTORY "${HPC_BINARY}")
file(LOCK "${HPC_BINARY}/dotnet.lock" GUARD PROCESS TIMEOUT 3600 RESULT_VARIABLE locked)
if(NOT locked EQUAL 0)
    fail("The build folder could not be locked (${HPC_BINARY}/dotnet.lock): ${locked}")
    return()
endif()

# Configured once; later changes of a CMakeLists.txt are noticed by the build itself. A checkout that was moved, or a
# configuration that failed half-way, starts again.
set(stamp "${HPC_BINARY}/configured-for")
set(configured_for "")
if(EXISTS "${stamp}")
    file(READ "${stamp}" configured_for)
endif()
if(NOT configured_for STREQUAL HPC_SOURCE)
    file(REMOVE_RECURSE "${HPC_BINARY}/CMakeCache.txt" "${HPC_BINARY}/CMakeFiles")

    set(generator "")
    find_program(ninja NAMES ninja ninja-build)
    if(ninja AND NOT CMAKE_HOST_WIN32 AND NOT DEFINED ENV{CMAKE_GENERATOR})
        # Not on Windows, where Ninja finds the compiler only in a developer prompt and Visual Studio's generator by itself.
        set(generator -G Ninja "-DCMAKE_MAKE_PROGRAM=${ninja}")
    endif()
    set(prefix "")
    if(CMAKE_HOST_WIN32)
        set(prefix "-DCMAKE_SHARED_LIBRARY_PREFIX_CXX=") # hpcnet.dll under MinGW too
    endif()

    # The per-configuration variables put the library in one place under generators with one and with many configurations.
    execute_process(
        COMMAND "${CMAKE_COMMAND}" -S "${HPC_SOURCE}" -B "${HPC_BINARY}" ${generator} ${prefix}
            -DCMAKE_BUILD_TYPE=Release
            "-DCMAKE_LIBRARY_OUTPUT_DIRECTORY_RELEASE=${HPC_BINARY}/lib"
            "-DCMAKE_RUNTIME_OUTPUT_DIRECTORY_RELEASE=${HPC_BINARY}/lib"
        OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        if(output MATCHES "No CMAKE_CXX_COMPILER could be found|not able to compile a simple test program|could not find any instance of Visual Studio|does not support compiler|is not a full path to an existing compiler|unable to find a build program|CMAKE_MAKE_PROGRAM is not set|could not be found in the PATH|was not found in the PATH|running.*nmake")
            file(WRITE "${HPC_BINARY}/configure.log" "${output}")
            fail("No working C++20 compiler (with make or Ninja) was found to build the native core: install one (Debian: \
apt-get install g++ ninja-build; Windows: Visual Studio 2022 or its Build Tools with Desktop development with C++), or pass \
-p:HpcNetBuildNative=false to build without it. CMake's own words are in ${HPC_BINARY}/configure.log")
        else()
            message(NOTICE "${output}")
            fail("CMake could not configure the native core")
        endif()
        return()
    endif()
    file(WRITE "${stamp}" "${HPC_SOURCE}")
endif()

execute_process(COMMAND "${CMAKE_COMMAND}" --build "${HPC_BINARY}" --config Release --target hpcnet --parallel RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    fail("The native core does not build; the compiler's messages are above")
endif()
