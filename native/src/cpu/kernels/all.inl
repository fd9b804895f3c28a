// Everything that is compiled once per instruction set, in its order. Included by each isa_*.cpp inside its namespace.
#include "cpu/simd.h"
//
#include "ops.h"
//
#include "elementary.h"
//
#include "activations.h"
#include "adversarial.h"
#include "cells.h"
#include "losses.h"
#include "normalization.h"
#include "rules.h"
//
#include "cpu/kernels/elementwise.inl"
#include "cpu/kernels/gemm.inl"
#include "cpu/kernels/normalization.inl"
#include "cpu/kernels/peak.inl"
#include "cpu/kernels/random.inl"
#include "cpu/kernels/recurrent.inl"
#include "cpu/kernels/rules.inl"
#include "cpu/kernels/softmax.inl"
#include "cpu/kernels/stream.inl"
//
#include "cpu/kernels/table.inl"
