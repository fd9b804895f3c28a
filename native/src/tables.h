// The tables of activations, losses and optimizer rules as plain data, made from the lists in formulas/. What the ABI
// tells about them and what every backend prepares for a rule come from here.
//
// To add a row: see the file in formulas/. The enumerators' order is checked here, and the switches below make a
// compiler name an enumerator that has no row.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "activations.h"
#include "cells.h"
#include "cpu/kernels.h"
#include "hpcnet.h"
#include "losses.h"

namespace hpc {

#define HPC_RULE_PREPARE 1
#include "rules.h"
#undef HPC_RULE_PREPARE

namespace tables {

#define HPC_ROW(enumerator, name, keeps, parameters) {#name, HPC_KEEPS_##keeps, parameters},
inline constexpr hpc_activation_info kActivations[] = {HPC_ACTIVATIONS(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, name, parameters) {#name, parameters, 0},
inline constexpr hpc_loss_info kLosses[] = {HPC_LOSSES(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, name, hyperparameters, count, states) {#name, hyperparameters, count, states},
inline constexpr hpc_rule_info kRules[] = {HPC_RULES(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, name, hyperparameters, count, states) name##_prepare,
inline constexpr cpu::PrepareRule kPrepares[] = {HPC_RULES(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, name, gates, state, kept, direct) {#name, gates, state, kept, direct},
inline constexpr hpc_cell_info kCells[] = {HPC_CELLS(HPC_ROW)};
#undef HPC_ROW

// The row of an enumerator, counted through the table.
#define HPC_ROW(enumerator, ...) HPC_ACTIVATION_##enumerator,
inline constexpr int kActivationOrder[] = {HPC_ACTIVATIONS(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, ...) HPC_LOSS_##enumerator,
inline constexpr int kLossOrder[] = {HPC_LOSSES(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, ...) HPC_RULE_##enumerator,
inline constexpr int kRuleOrder[] = {HPC_RULES(HPC_ROW)};
#undef HPC_ROW
#define HPC_ROW(enumerator, ...) HPC_CELL_##enumerator,
inline constexpr int kCellOrder[] = {HPC_CELLS(HPC_ROW)};
#undef HPC_ROW

template <size_t N>
constexpr bool in_order(const int (&order)[N]) {
    for (size_t i = 0; i < N; ++i) {
        if (order[i] != static_cast<int>(i)) return false;
    }
    return true;
}
static_assert(in_order(kActivationOrder), "formulas/activations.h and hpc_activation differ in order");
static_assert(in_order(kLossOrder), "formulas/losses.h and hpc_loss differ in order");
static_assert(in_order(kRuleOrder), "formulas/rules.h and hpc_rule differ in order");
static_assert(in_order(kCellOrder), "formulas/cells.h and hpc_cell differ in order");

// Without a default, so that -Wswitch finds an enumerator that has no row.
constexpr bool has_row(hpc_activation activation) {
    switch (activation) {
#define HPC_ROW(enumerator, ...) case HPC_ACTIVATION_##enumerator:
        HPC_ACTIVATIONS(HPC_ROW)
#undef HPC_ROW
        return true;
    }
    return false;
}
constexpr bool has_row(hpc_loss loss) {
    switch (loss) {
#define HPC_ROW(enumerator, ...) case HPC_LOSS_##enumerator:
        HPC_LOSSES(HPC_ROW)
#undef HPC_ROW
        return true;
    }
    return false;
}
constexpr bool has_row(hpc_rule rule) {
    switch (rule) {
#define HPC_ROW(enumerator, ...) case HPC_RULE_##enumerator:
        HPC_RULES(HPC_ROW)
#undef HPC_ROW
        return true;
    }
    return false;
}
constexpr bool has_row(hpc_cell cell) {
    switch (cell) {
#define HPC_ROW(enumerator, ...) case HPC_CELL_##enumerator:
        HPC_CELLS(HPC_ROW)
#undef HPC_ROW
        return true;
    }
    return false;
}

constexpr bool rules_fit() {
    for (const hpc_rule_info& rule : kRules) {
        int names = 1;
        for (const char* c = rule.hyperparameters; *c != 0; ++c) names += *c == ',';
        if (names != rule.hyperparameter_count) return false;
        if (rule.hyperparameter_count > HPC_MAX_HYPERPARAMETERS || rule.state_count > HPC_MAX_STATES) return false;
    }
    return true;
}
static_assert(rules_fit(), "a row of formulas/rules.h counts other hyperparameters than it names, or too many");

}  // namespace tables

// Each of these returns null for a number that is not in the table.
inline const hpc_activation_info* activation_info(int32_t activation) {
    if (activation < 0 || activation >= cpu::kActivationCount) return nullptr;
    return &tables::kActivations[activation];
}
inline const hpc_loss_info* loss_info(int32_t loss) {
    if (loss < 0 || loss >= cpu::kLossCount) return nullptr;
    return &tables::kLosses[loss];
}
inline const hpc_rule_info* rule_info(int32_t rule) {
    if (rule < 0 || rule >= cpu::kRuleCount) return nullptr;
    return &tables::kRules[rule];
}
inline const hpc_cell_info* cell_info(int32_t cell) {
    if (cell < 0 || cell >= cpu::kCellCount) return nullptr;
    return &tables::kCells[cell];
}
inline cpu::PrepareRule prepare_rule(int32_t rule) {
    if (rule < 0 || rule >= cpu::kRuleCount) return nullptr;
    return tables::kPrepares[rule];
}

}  // namespace hpc
