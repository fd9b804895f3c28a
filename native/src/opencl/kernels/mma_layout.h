// Where the tensor-core product (gemm_mma.cl) keeps its operands in local memory, and which elements a work-item takes. Read
// by OpenCL C and by the test that counts bank conflicts.
//
// A block is HPC_MMA_DEPTH of the depth for a tile's extent of one operand, in float32. It lies as in the operand's own memory, so
// that it can be copied in pieces of four floats (16 bytes):
//   inner   the depth runs from element to element: a row of HPC_MMA_DEPTH floats for each place in the tile
//   outer   the places do: a row of a tile's extent for each step of the depth
// In both some address bits are exchanged so that no two of the eight work-items that local memory serves at once with 16 bytes
// each want the same bank: it has 32 banks of 4 bytes, eight pieces of 16.
//
// Lane 4 q + t of 32 (q of 8, t of 4) takes for every 32 places of a tile the depths 4 t to 4 t + 3 of four places from
// mma_place(q) on, 16 numbers. The hardware adds over the depth and does not care which step of it is which, and a place may be any
// row or column of C as long as what comes out is written there: so depths and places are numbered as they are loaded best.
#ifndef HPC_MMA_LAYOUT
#define HPC_MMA_LAYOUT

#define HPC_MMA_DEPTH 16
#define HPC_MMA_LANES 32

#if defined(__OPENCL_VERSION__)
#define HPC_MMA_UINT uint
#else
#define HPC_MMA_UINT unsigned
#endif

// The first of the four places of lane 4 q + t among 32. Even q count up from 0, odd ones from 16: of a row of C the lanes
// with the results of columns 2 t then write 64 bytes without a gap.
static inline HPC_MMA_UINT mma_place(HPC_MMA_UINT q) { return ((q >> 1) + (q & 1) * 4) * 4; }

// A place's row changes sides with its neighbour's where bit 4 of the place is set, as it is for every second q.
static inline HPC_MMA_UINT mma_inner_at(HPC_MMA_UINT place, HPC_MMA_UINT depth) {
    return (place ^ ((place >> 4) & 1)) * HPC_MMA_DEPTH + depth;
}

// Pieces change places among four by their depth's t.
static inline HPC_MMA_UINT mma_outer_at(HPC_MMA_UINT tile, HPC_MMA_UINT place, HPC_MMA_UINT depth) {
    return depth * tile + (place ^ ((depth >> 2 & 3) << 2));
}

#endif
