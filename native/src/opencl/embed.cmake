# Turns texts into one C++ file: cmake -DOUTPUT=file.cpp -DROOTS=folder;... -DFILES=name;... -P embed.cmake
# A text is looked for below each of the roots and keeps its name relative to it. Literals stay short: compilers limit them.
set(PIECE 8000)

set(body "")
set(table "")
set(number 0)
foreach(name IN LISTS FILES)
    set(path "")
    foreach(root IN LISTS ROOTS)
        if(EXISTS "${root}/${name}")
            set(path "${root}/${name}")
        endif()
    endforeach()
    if(NOT path)
        message(FATAL_ERROR "no text ${name} below ${ROOTS}")
    endif()
    file(READ "${path}" text)
    string(APPEND text "\n")
    string(LENGTH "${text}" length)
    string(APPEND body "static const char* const kText${number}[] = {\n")
    set(at 0)
    while(at LESS length)
        string(SUBSTRING "${text}" ${at} ${PIECE} piece)
        string(APPEND body "R\"hpc_text(${piece})hpc_text\",\n")
        math(EXPR at "${at} + ${PIECE}")
    endwhile()
    string(APPEND body "nullptr};\n")
    string(APPEND table "    {\"${name}\", kText${number}},\n")
    math(EXPR number "${number} + 1")
endforeach()

file(WRITE "${OUTPUT}"
"// Made by embed.cmake from native/src/opencl/kernels and native/formulas.
namespace hpc::opencl {

struct EmbeddedText {
    const char* name;
    const char* const* pieces;
};
extern const EmbeddedText kEmbeddedTexts[];

${body}
const EmbeddedText kEmbeddedTexts[] = {
${table}    {nullptr, nullptr},
};

}  // namespace hpc::opencl
")
