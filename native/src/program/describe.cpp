// The text of hpc_program_describe: what was recorded, what it was fused into, shapes, work and workspace.
#include <cstdarg>
#include <cstdio>

#include "program/program.h"

namespace hpc {

namespace {

void add(std::string& text, const char* format, ...) {
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    text += line;
}

std::string amount(double value, const char* unit) {
    const char* prefixes[] = {"", "k", "M", "G", "T"};
    int i = 0;
    while (value >= 1000 && i < 4) value /= 1000, i++;
    char text[64];
    std::snprintf(text, sizeof text, i == 0 ? "%.0f %s%s" : "%.2f %s%s", value, prefixes[i], unit);
    return text;
}

std::string list_operands(const Node& node, const std::vector<Value>& values, const Extents& at) {
    std::string text;
    for (const Operand& operand : operands(node.payload)) {
        const Value& value = values[operand.value - 1];
        if (!text.empty()) text += ", ";
        add(text, "%s%s=%s[%llu x %llu]", operand.access == Access::Read ? "" : operand.access == Access::Write ? ">" : "<>",
            operand.role, value.name.c_str(), static_cast<unsigned long long>(value.rows(at)),
            static_cast<unsigned long long>(value.columns));
    }
    return text;
}

}  // namespace

std::string Program::describe() const {
    std::string text;
    const Extents& at = plan_.capacity;
    add(text, "program for up to %llu rows, %llu steps: %zu values, %zu slots, %s\n",
        static_cast<unsigned long long>(at.rows), static_cast<unsigned long long>(at.steps), plan_.values.size(),
        plan_.slots.size(), finished_ ? "finished" : "recording");
    add(text, "slots:");
    for (size_t i = 0; i < plan_.slots.size(); i++) add(text, " %zu=%s", i + 1, plan_.slots[i].name.c_str());
    add(text, "\nrecorded: %zu instructions\n", recorded_.size());
    for (size_t i = 0; i < recorded_.size(); i++) {
        add(text, "  %3zu %s: ", i + 1, name_of(recorded_[i].payload).c_str());
        text += list_operands(recorded_[i], plan_.values, at) + "\n";
    }
    if (!finished_) return text;

    Work total{0, 0};
    add(text, "executed: %zu instructions (> writes, <> changes)\n", plan_.nodes.size());
    for (size_t i = 0; i < plan_.nodes.size(); i++) {
        const Node& node = plan_.nodes[i];
        const Work work = work_of(node.payload, plan_.values, at);
        total.flops += work.flops;
        total.bytes += work.bytes;
        std::string origins;
        for (uint32_t index : node.recorded) add(origins, "%s%u", origins.empty() ? "" : "+", index + 1);
        add(text, "  %3zu %s  (from %s)  %s, %s", i + 1, name_of(node.payload).c_str(), origins.c_str(),
            amount(static_cast<double>(work.flops), "FLOP").c_str(), amount(static_cast<double>(work.bytes), "B").c_str());
        const std::string picked = executor_->describe(i);
        if (!picked.empty()) text += "  " + picked;
        text += "\n      " + list_operands(node, plan_.values, at) + "\n";
    }
    add(text, "total: %s, %s a run at capacity; workspace %s, owned %s\n", amount(static_cast<double>(total.flops), "FLOP").c_str(),
        amount(static_cast<double>(total.bytes), "B").c_str(),
        amount(plan_.workspace ? static_cast<double>(plan_.workspace->bytes()) : 0.0, "B").c_str(),
        amount(owned_ ? static_cast<double>(owned_->bytes()) : 0.0, "B").c_str());
    return text;
}

}  // namespace hpc
