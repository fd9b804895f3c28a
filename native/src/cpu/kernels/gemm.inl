// The product of one tile, C[m x n] = op(A) op(B), all matrices row-major. Included by each isa_*.cpp in its own
// namespace, after cpu/simd.h; defines gemm_blocks, gemm_scratch_bytes and gemm (contract: GemmTile in cpu/kernels.h).
//
// A micro-kernel keeps MR rows x NV vectors of C in registers and walks over one block of k. It reads B row by row of
// k, and A where it lies: by rows in NN and NT, by columns (the rows' elements of one k side by side) in TN. B is packed
// where many rows will read it, in NN and TN by the kernels of the first rows, which store what they load: a pass of its
// own waits for memory, a kernel computes meanwhile. In NT, where it has to be transposed, a pass does it. A B that never
// changes (GemmTile.panels) was packed before: few rows stream through its panels at the speed of the memory. Around the
// kernels, for each block of k: for each panel of rows run over all column panels. So the rows of A stay in the
// first-level cache, the block of B in the second, and a finished piece of C meets its epilogue in the first. A narrow C may be
// computed as its transpose instead (gemm_narrow), in NN from a copy of A's rows as columns.
//
// What did not pay, measured on a Zen 4: copying rows of A (8 % slower with tiles of 64 columns, 3 % with 512, fetched
// ahead or not); leaving A by columns while the first column panel is computed (its 14 rows compete for 8 ways); blocks
// of k of 128 or 160 (3 to 8 % slower: C is added to more often); asking for C, or for what the epilogue reads, ahead.
//
// Bits: on the sequential path an element is a chain of multiply-adds over a block of k that starts from zero, and the
// blocks' results are added in order. Which micro-kernel does it, and from packed or original data, makes no
// difference, so those choices are free to depend on the tile. The blocks of k depend on k alone. On the dot path an
// element has one sum for each lane, joined in a fixed order.
//
// To tune for a new instruction set: the constants below, nothing else.

#if defined(HPC_ISA_SCALAR)
// Four floats that compilers turn into one SSE2 register.
struct GemmV {
    static constexpr int lanes = 4;
    float r[4];
    static HPC_INLINE GemmV load(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
    static HPC_INLINE GemmV load_partial(const float* p, int64_t n) {
        return {{n > 0 ? p[0] : 0.0f, n > 1 ? p[1] : 0.0f, n > 2 ? p[2] : 0.0f, n > 3 ? p[3] : 0.0f}};
    }
    static HPC_INLINE GemmV broadcast(float x) { return {{x, x, x, x}}; }
    static HPC_INLINE GemmV zero() { return {{0, 0, 0, 0}}; }
    HPC_INLINE void store(float* p) const {
        for (int i = 0; i < 4; i++) p[i] = r[i];
    }
    HPC_INLINE void store_past(float* p) const { store(p); }
    HPC_INLINE void store_partial(float* p, int64_t n) const {
        for (int i = 0; i < 4; i++)
            if (i < n) p[i] = r[i];
    }
};
HPC_INLINE GemmV operator+(GemmV a, GemmV b) {
    return {{a.r[0] + b.r[0], a.r[1] + b.r[1], a.r[2] + b.r[2], a.r[3] + b.r[3]}};
}
// Rounded twice: baseline x86-64 has no fused instruction.
HPC_INLINE GemmV multiply_add(GemmV a, GemmV b, GemmV c) {
    return {{a.r[0] * b.r[0] + c.r[0], a.r[1] * b.r[1] + c.r[1], a.r[2] * b.r[2] + c.r[2], a.r[3] * b.r[3] + c.r[3]}};
}
#else
using GemmV = V;
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define HPC_UNROLL
#define HPC_UNROLL_K
#define HPC_GEMM_PREFETCH(p) _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_NTA)
#define HPC_GEMM_PREFETCH_FAR(p) _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1)
#else
#define HPC_UNROLL _Pragma("GCC unroll 16")
#if defined(__clang__)
// It gathers the loads of both steps first, for which there are no registers left.
#define HPC_UNROLL_K _Pragma("GCC unroll 1")
#else
#define HPC_UNROLL_K _Pragma("GCC unroll 2")
#endif
#define HPC_GEMM_PREFETCH(p) __builtin_prefetch(p, 0, 0)
#define HPC_GEMM_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
#endif

// ---- Sizes (data) ------------------------------------------------------------------------------------------------

constexpr int kGemmLanes = GemmV::lanes;
#if defined(HPC_ISA_AVX512)
constexpr int kGemmRows = 14;  // 14 x 2 accumulators, 2 of B, 2 of A: all 32 registers
constexpr int kGemmRows4 = 6;  // at most this many rows for the kernel of 4 vectors,
constexpr int kGemmRows8 = 3;  // and for that of 8
// B is read where it lies if at most so many rows would use its packed copy. (The shorter a vector, the less time there
// is to wait for memory in.)
constexpr int64_t kGemmDirectRows = 96;
constexpr GemmBlocks gemm_blocks = {kGemmRows, 2 * kGemmLanes, 256, 1024, 512};
#elif defined(HPC_ISA_AVX2)
constexpr int kGemmRows = 6;
constexpr int kGemmRows4 = 3;
constexpr int kGemmRows8 = 1;
constexpr int64_t kGemmDirectRows = 48;
constexpr GemmBlocks gemm_blocks = {kGemmRows, 2 * kGemmLanes, 256, 1024, 512};
#else
constexpr int kGemmRows = 4;
constexpr int kGemmRows4 = 2;
constexpr int kGemmRows8 = 1;
constexpr int64_t kGemmDirectRows = 32;
constexpr GemmBlocks gemm_blocks = {kGemmRows, 2 * kGemmLanes, 256, 1024, 512};
#endif

constexpr int64_t kGemmPanel = 2 * kGemmLanes;
// Packed B, and behind it a piece of C that waits for its epilogue.
constexpr int64_t kGemmPackedFloats = gemm_blocks.kc * gemm_blocks.tile_n;
constexpr size_t gemm_scratch_bytes = static_cast<size_t>(kGemmPackedFloats + kGemmRows * kGemmPanel) * sizeof(float);

// B is read where it lies, too, if all of it is this small and stays in the first-level cache anyway.
constexpr int64_t kGemmDirectBytes = 16384;
// Rows that lie apart by nearly a multiple of a page compete for the same few lines of a cache. With at most so many
// rows of A at once they stay in the eight ways of the first level; such rows of B are packed for more rows than this.
constexpr int64_t kGemmPageFloats = 1024;
constexpr int64_t kGemmCrowdedPanel = kGemmRows < 7 ? kGemmRows : 7;
constexpr int64_t kGemmCrowdedRows = 4 * kGemmRows;
// How far ahead B is asked for, in rows of B: by the kernels of up to 2 vectors, and by the wider ones.
constexpr int64_t kGemmAhead = 8, kGemmAheadWide = 4;
// The same by kernels that pack, into the first and the second level.
constexpr int64_t kGemmAheadPacking = 6, kGemmAheadFar = 24;
// The same for a few rows that stream through a B which no cache holds. (Through a smaller one it made them slower.)
constexpr int64_t kGemmAheadStreaming = 48;
constexpr double kGemmStreamingBytes = 16e6;
// Rows of a piece that meets its epilogue at once where pieces have no natural size.
constexpr int64_t kGemmEpilogueRows = 32;

#if defined(HPC_ISA_AVX512)
// What turning a vector of A's rows into columns costs, in multiply-adds of a vector (128 x 8 x 256 takes 19 % less time so, 32 x 5 x 64
// 33 %, 64 x 17 x 256 30 %; 10 columns gain nothing, nor does anything with vectors of 8).
constexpr int64_t kGemmTurned = 6;
#endif

// Depths between this one and its double are halved (gemm_depth).
constexpr int64_t kGemmChain = 32;

constexpr int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
constexpr int64_t gemm_blocks_of(int64_t count, int64_t block) { return (count + block - 1) / block; }

constexpr bool gemm_crowded(int64_t ld) { return ld > kGemmPageFloats / 2 && (ld + 16) % kGemmPageFloats <= 32; }

// Depth of the blocks that k is cut into: equal ones, so that no short one is left over. Between the two bounds k is
// halved for the digits' sake, since the rounding errors of a chain grow with its length: an ill-conditioned network of
// such widths keeps twice as many. (Halving 64, too, made the step of a 64-64-32-3 network 5 % slower; beyond, sums are
// long anyway.)
constexpr int64_t gemm_depth(int64_t k) {
    if (k > kGemmChain && k < 2 * kGemmChain) return gemm_blocks_of(k, 2);
    if (k <= gemm_blocks.kc) return k;
    const int64_t even = gemm_blocks_of(k, gemm_blocks_of(k, gemm_blocks.kc));
    return gemm_blocks_of(even, 16) * 16;
}

// ---- Micro-kernels -----------------------------------------------------------------------------------------------

struct GemmPiece {
    int64_t k;
    const float* a;
    int64_t a_stride;  // by rows: element (i, k) is a[i a_stride + k]; by columns: a[k a_stride + i]
    const float* b;
    int64_t b_stride;  // element (k, j) is b[k b_stride + j]
    float* c;
    int64_t ldc;
    int64_t panel_stride;  // of kernels over several packed panels: from one of B's to the next
    float* packed;  // where a kernel that packs leaves B, rows kGemmPanel apart
    int64_t last;  // columns of the last vector, if it is a partial one
    bool streams;  // B comes from memory
    bool add;      // to what C holds: all blocks of k but the first
};
using GemmMicro = void (*)(const GemmPiece&);

// Where a kernel finds B, and what it does with it.
enum class GemmB {
    Rows,    // a panel, or where it lies
    Packs,   // where it lies; leaves a panel
    Panels,  // several panels side by side. The processor itself sees that each is read on and on: asking ahead, too, cost
             // a third more time from the second and third level
};

template <int MR, int NV, bool ByRows, bool Partial, GemmB From>
static void gemm_micro(const GemmPiece& piece) {
    constexpr bool Packs = From == GemmB::Packs, Panels = From == GemmB::Panels;
    GemmV sum[MR][NV];
    HPC_UNROLL
    for (int i = 0; i < MR; i++) {
        HPC_UNROLL
        for (int v = 0; v < NV; v++) sum[i][v] = GemmV::zero();
    }
    const int64_t last = piece.last;
    const int64_t a_stride = piece.a_stride, b_stride = piece.b_stride;
    const int64_t ahead = (Packs ? kGemmAheadPacking : NV > 2 ? kGemmAheadWide : kGemmAhead) * b_stride;
    const int64_t far = (Packs ? kGemmAheadFar : kGemmAheadStreaming) * b_stride;
    const bool streams = Packs || (NV == 8 && piece.streams);
    const int64_t panel = Panels ? piece.panel_stride : kGemmPanel;
    float* packed = piece.packed;
    const float* b = piece.b;
    // One pointer for four rows, and multiples of the stride that x86 addressing has: few registers.
    const float* a[(MR + 3) / 4];
    HPC_UNROLL
    for (int g = 0; g < (MR + 3) / 4; g++) a[g] = ByRows ? piece.a + 4 * g * a_stride : piece.a + 4 * g;
    HPC_UNROLL_K
    for (int64_t k = piece.k; k > 0; k--) {
        if constexpr ((NV > 1 || Packs) && !Panels) {
            // Not by the processor itself: it sees rows of B too far apart. A line for each vector of 64 bytes.
            HPC_UNROLL
            for (int v = 0; v < NV; v += 16 / kGemmLanes) {
                HPC_GEMM_PREFETCH(b + ahead + v * kGemmLanes);
                if (streams) HPC_GEMM_PREFETCH_FAR(b + far + v * kGemmLanes);
            }
        }
        // The longer side in the outer loop: fewer registers hold what the inner one uses again.
        if constexpr (NV > MR && !Packs) {
            GemmV x[MR];
            HPC_UNROLL
            for (int i = 0; i < MR; i++) x[i] = GemmV::broadcast(a[i / 4][ByRows ? i % 4 * a_stride : i % 4]);
            HPC_UNROLL
            for (int v = 0; v < NV; v++) {
                const float* p = b + v / 2 * panel + v % 2 * kGemmLanes;
                const GemmV row = Partial && v == NV - 1 ? GemmV::load_partial(p, last) : GemmV::load(p);
                HPC_UNROLL
                for (int i = 0; i < MR; i++) sum[i][v] = multiply_add(x[i], row, sum[i][v]);
            }
        } else {
            GemmV row[NV];
            HPC_UNROLL
            for (int v = 0; v < NV; v++) {
                const float* p = b + v / 2 * panel + v % 2 * kGemmLanes;
                row[v] = Partial && v == NV - 1 ? GemmV::load_partial(p, last) : GemmV::load(p);
                if constexpr (Packs) row[v].store(packed + v * kGemmLanes);
            }
            HPC_UNROLL
            for (int i = 0; i < MR; i++) {
                const GemmV x = GemmV::broadcast(a[i / 4][ByRows ? i % 4 * a_stride : i % 4]);
                HPC_UNROLL
                for (int v = 0; v < NV; v++) sum[i][v] = multiply_add(x, row[v], sum[i][v]);
            }
        }
        HPC_UNROLL
        for (int g = 0; g < (MR + 3) / 4; g++) a[g] += ByRows ? 1 : a_stride;
        b += b_stride;
        if constexpr (Packs) packed += kGemmPanel;
    }
    float* c = piece.c;
    const bool add = piece.add;
    HPC_UNROLL
    for (int i = 0; i < MR; i++) {
        HPC_UNROLL
        for (int v = 0; v < NV; v++) {
            float* p = c + v * kGemmLanes;
            if (Partial && v == NV - 1) {
                if (add) sum[i][v] = GemmV::load_partial(p, last) + sum[i][v];
                sum[i][v].store_partial(p, last);
            } else {
                if (add) sum[i][v] = GemmV::load(p) + sum[i][v];
                sum[i][v].store(p);
            }
        }
        c += piece.ldc;
    }
}

template <int Rows>
struct GemmRow {
    GemmMicro of[Rows];
};
template <int MR, int NV, bool ByRows, bool Partial, GemmB From, int Rows>
constexpr void gemm_fill(GemmRow<Rows>& row) {
    row.of[MR - 1] = gemm_micro<MR, NV, ByRows, Partial, From>;
    if constexpr (MR > 1) gemm_fill<MR - 1, NV, ByRows, Partial, From>(row);
}
template <int NV, bool ByRows, bool Partial, int Rows, GemmB From = GemmB::Rows>
constexpr GemmRow<Rows> gemm_row() {
    GemmRow<Rows> row{};
    gemm_fill<Rows, NV, ByRows, Partial, From>(row);
    return row;
}
// [by rows][...][rows - 1]
constexpr GemmRow<kGemmRows> kGemmMicro1[2][2] = {
    {gemm_row<1, false, false, kGemmRows>(), gemm_row<1, false, true, kGemmRows>()},
    {gemm_row<1, true, false, kGemmRows>(), gemm_row<1, true, true, kGemmRows>()}};
constexpr GemmRow<kGemmRows> kGemmMicro2[2][2] = {
    {gemm_row<2, false, false, kGemmRows>(), gemm_row<2, false, true, kGemmRows>()},
    {gemm_row<2, true, false, kGemmRows>(), gemm_row<2, true, true, kGemmRows>()}};
constexpr GemmRow<kGemmRows4> kGemmMicro4[2] = {gemm_row<4, false, false, kGemmRows4>(),
                                                gemm_row<4, true, false, kGemmRows4>()};
constexpr GemmRow<kGemmRows8> kGemmMicro8[2] = {gemm_row<8, false, false, kGemmRows8>(),
                                                gemm_row<8, true, false, kGemmRows8>()};
// Over packed panels; of A by rows.
constexpr GemmRow<kGemmRows4> kGemmPanels4 = gemm_row<4, true, false, kGemmRows4, GemmB::Panels>();
constexpr GemmRow<kGemmRows8> kGemmPanels8 = gemm_row<8, true, false, kGemmRows8, GemmB::Panels>();
// Those that pack; the narrower ones always load a partial vector.
constexpr GemmRow<kGemmRows> kGemmPacking1[2] = {gemm_row<1, false, true, kGemmRows, GemmB::Packs>(),
                                                 gemm_row<1, true, true, kGemmRows, GemmB::Packs>()};
constexpr GemmRow<kGemmRows> kGemmPacking2[2][2] = {
    {gemm_row<2, false, false, kGemmRows, GemmB::Packs>(), gemm_row<2, false, true, kGemmRows, GemmB::Packs>()},
    {gemm_row<2, true, false, kGemmRows, GemmB::Packs>(), gemm_row<2, true, true, kGemmRows, GemmB::Packs>()}};

// ---- Packing -----------------------------------------------------------------------------------------------------

#if !defined(HPC_ISA_SCALAR)
// Elements [0, 4) of the rows 0, 4, 8, ... of `rows`, side by side.
HPC_INLINE I gemm_quads(const float* const* rows, int64_t at) {
#if defined(HPC_ISA_AVX512)
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps(rows[0] + at));
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[4] + at), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[8] + at), 2);
    v = _mm512_insertf32x4(v, _mm_loadu_ps(rows[12] + at), 3);
    return bits(V{v});
#else
    const __m256 v = _mm256_castps128_ps256(_mm_loadu_ps(rows[0] + at));
    return bits(V{_mm256_insertf128_ps(v, _mm_loadu_ps(rows[4] + at), 1)});
#endif
}
#endif

// to[k stride + i] = from[i ld + k] for one vector of i, 0 <= k < depth. Rows from `rows` on are copies of the last
// one.
static void gemm_pack_transposed(const float* from, int64_t ld, int64_t rows, int64_t depth, float* to,
                                 int64_t stride) {
    const float* row[kGemmLanes];
    for (int i = 0; i < kGemmLanes; i++) row[i] = from + gemm_min(i, rows - 1) * ld;
    int64_t k = 0;
#if !defined(HPC_ISA_SCALAR)
    for (; k + 8 <= depth; k += 8) {
        I a0 = gemm_quads(row + 0, k), a1 = gemm_quads(row + 0, k + 4);
        I b0 = gemm_quads(row + 1, k), b1 = gemm_quads(row + 1, k + 4);
        I c0 = gemm_quads(row + 2, k), c1 = gemm_quads(row + 2, k + 4);
        I d0 = gemm_quads(row + 3, k), d1 = gemm_quads(row + 3, k + 4);
        transpose_quads(a0, b0, c0, d0);
        transpose_quads(a1, b1, c1, d1);
        from_bits(a0).store(to + (k + 0) * stride);
        from_bits(b0).store(to + (k + 1) * stride);
        from_bits(c0).store(to + (k + 2) * stride);
        from_bits(d0).store(to + (k + 3) * stride);
        from_bits(a1).store(to + (k + 4) * stride);
        from_bits(b1).store(to + (k + 5) * stride);
        from_bits(c1).store(to + (k + 6) * stride);
        from_bits(d1).store(to + (k + 7) * stride);
    }
    for (; k + 4 <= depth; k += 4) {
        I a = gemm_quads(row + 0, k), b = gemm_quads(row + 1, k), c = gemm_quads(row + 2, k),
          d = gemm_quads(row + 3, k);
        transpose_quads(a, b, c, d);
        from_bits(a).store(to + (k + 0) * stride);
        from_bits(b).store(to + (k + 1) * stride);
        from_bits(c).store(to + (k + 2) * stride);
        from_bits(d).store(to + (k + 3) * stride);
    }
#endif
    for (; k < depth; k++) {
        for (int i = 0; i < kGemmLanes; i++) to[k * stride + i] = row[i][k];
    }
}

// The block of B in NT, where a row of B is a column of the panel.
static void gemm_pack_b_transposed(const float* from, int64_t ld, int64_t columns, int64_t depth, float* to) {
    for (int64_t j = 0; j < columns; j += kGemmPanel) {
        float* panel = to + j * depth;
        const int64_t here = gemm_min(columns - j, kGemmPanel);
        gemm_pack_transposed(from + j * ld, ld, gemm_min(here, kGemmLanes), depth, panel, kGemmPanel);
        if (here > kGemmLanes) {
            gemm_pack_transposed(from + (j + kGemmLanes) * ld, ld, here - kGemmLanes, depth, panel + kGemmLanes,
                                 kGemmPanel);
        }
    }
}

// All of B[k x n] as panels: [panel][k][kGemmPanel], columns beyond n are zeros.
static void gemm_pack_panels(const float* b, int64_t ldb, int64_t k, int64_t n, float* panels) {
    for (int64_t j = 0; j < n; j += kGemmPanel) {
        const int64_t here = gemm_min(kGemmPanel, n - j);
        for (int64_t kk = 0; kk < k; kk++, panels += kGemmPanel) {
            for (int64_t i = 0; i < kGemmPanel; i++) panels[i] = i < here ? b[kk * ldb + j + i] : 0.0f;
        }
    }
}

// ---- The sequential path -----------------------------------------------------------------------------------------

static void gemm_epilogue(const GemmTile& tile, int64_t row, int64_t column, int64_t rows, int64_t columns) {
    const Epilogue* e = tile.epilogue;
    if (e) e->apply(*e, tile.c + row * tile.ldc + column, tile.ldc, tile.row + row, tile.col + column, rows, columns);
}

static void gemm_sequential(const GemmTile& tile, float* packed) {
    const int64_t m = tile.m, n = tile.n, k = tile.k;
    const bool by_rows = tile.form != Form::TN, transposed_b = tile.form == Form::NT;
    const int64_t direct = gemm_crowded(tile.ldb) ? kGemmCrowdedRows : kGemmDirectRows;
    const float* panels_of_b = tile.panels;
    const bool pack_b = !panels_of_b && (transposed_b || (m > direct && k * n > kGemmDirectBytes / 4));

    const int64_t depth = gemm_depth(k);
    const int64_t width = pack_b || panels_of_b ? gemm_blocks.tile_n : n;
    const int64_t most = by_rows && gemm_crowded(tile.lda) ? kGemmCrowdedPanel : kGemmRows;
    int64_t panels = 1, base = m, larger = 0;
    if (m > most) panels = gemm_blocks_of(m, most), base = m / panels, larger = m % panels;  // no division for small products

    // So many rows of C that compete for the same lines push one another out of the first-level cache before the epilogue comes. A
    // product of one block of k waits for it elsewhere (256 x 1024 x 256: bias and ReLU cost 6 % on one thread and 11 % on two in
    // C, 2 and 4 % so).
    static_assert(kGemmCrowdedPanel >= kGemmRows4, "the kernels for more rows are of two vectors");
    const bool apart = gemm_crowded(tile.ldc) && tile.epilogue && k <= depth && base + (larger > 0) > kGemmCrowdedPanel;
    if (apart) {
        tile.epilogue->product = packed + kGemmPackedFloats;
        tile.epilogue->ldproduct = kGemmPanel;
    }

    GemmPiece piece;
    piece.ldc = apart ? kGemmPanel : tile.ldc;
    piece.a_stride = tile.lda;
    piece.panel_stride = k * kGemmPanel;
    piece.streams = 4.0 * static_cast<double>(tile.ldb) * static_cast<double>(k) >= kGemmStreamingBytes;
    for (int64_t n0 = 0; n0 < n; n0 += width) {
        const int64_t columns = gemm_min(width, n - n0);
        for (int64_t k0 = 0; k0 < k; k0 += depth) {
            piece.k = gemm_min(depth, k - k0);
            piece.add = k0 > 0;
            const bool done = k0 + depth >= k;
            const float* b = tile.b + k0 * tile.ldb + n0;
            if (transposed_b) {
                gemm_pack_b_transposed(tile.b + n0 * tile.ldb + k0, tile.ldb, columns, piece.k, packed);
            }
            int64_t rows = 0;
            for (int64_t i = 0, p = 0; p < panels; i += rows, p++) {
                rows = base + (p < larger);
                const bool packs = p == 0 && pack_b && !transposed_b;
                // Column j of this kernel's B is at b0 + j * b_step.
                const bool from_packed = pack_b && !packs;
                const float* b0 = panels_of_b ? panels_of_b + n0 * k + k0 * kGemmPanel : from_packed ? packed : b;
                const int64_t b_step = panels_of_b ? k : from_packed ? piece.k : 1;
                piece.b_stride = panels_of_b || from_packed ? kGemmPanel : tile.ldb;
                piece.a = by_rows ? tile.a + i * tile.lda + k0 : tile.a + k0 * tile.lda + i;
                int64_t taken = 0;
                for (int64_t j = 0; j < columns; j += taken) {
                    const int64_t left = columns - j;
                    piece.b = b0 + j * b_step;
                    if (packs) piece.packed = packed + j * piece.k;
                    piece.c = apart ? packed + kGemmPackedFloats : tile.c + i * tile.ldc + n0 + j;
                    if (!pack_b && left >= 8 * kGemmLanes && rows <= kGemmRows8) {
                        taken = 8 * kGemmLanes;
                        (panels_of_b ? kGemmPanels8 : kGemmMicro8[by_rows]).of[rows - 1](piece);
                    } else if (!pack_b && left >= 4 * kGemmLanes && rows <= kGemmRows4) {
                        taken = 4 * kGemmLanes;
                        (panels_of_b ? kGemmPanels4 : kGemmMicro4[by_rows]).of[rows - 1](piece);
                    } else if (left > kGemmLanes) {
                        taken = gemm_min(left, 2 * kGemmLanes);
                        piece.last = taken - kGemmLanes;
                        (packs ? kGemmPacking2 : kGemmMicro2)[by_rows][piece.last < kGemmLanes].of[rows - 1](piece);
                    } else {
                        taken = piece.last = left;
                        (packs ? kGemmPacking1[by_rows] : kGemmMicro1[by_rows][left < kGemmLanes]).of[rows - 1](piece);
                    }
                    if (done) gemm_epilogue(tile, i, n0 + j, rows, taken);
                }
            }
        }
    }
}

// A narrow C in TN and NN: computed as its transpose, so that the vectors lie along m. In NN the rows of A are turned into columns
// before, a panel of them at a time.
template <bool ByRows>
static void gemm_narrow(const GemmTile& tile, [[maybe_unused]] float* packed) {
    float sums[kGemmRows * kGemmPanel];
    const int64_t depth = gemm_depth(tile.k);
    // So few columns are all in B's first panel.
    const float* b = ByRows && tile.panels ? tile.panels : tile.b;
    GemmPiece piece{};
    piece.a_stride = ByRows && tile.panels ? kGemmPanel : tile.ldb;
    piece.b_stride = ByRows ? kGemmPanel : tile.lda;
    piece.c = sums;
    piece.ldc = kGemmPanel;
    for (int64_t i = 0; i < tile.m; i += kGemmPanel) {
        const int64_t here = gemm_min(kGemmPanel, tile.m - i);
        for (int64_t k0 = 0; k0 < tile.k; k0 += depth) {
            piece.k = gemm_min(depth, tile.k - k0);
            if constexpr (ByRows) {
                const float* rows = tile.a + i * tile.lda + k0;
                gemm_pack_transposed(rows, tile.lda, gemm_min(here, kGemmLanes), piece.k, packed, kGemmPanel);
                if (here > kGemmLanes) {
                    gemm_pack_transposed(rows + kGemmLanes * tile.lda, tile.lda, here - kGemmLanes, piece.k, packed + kGemmLanes, kGemmPanel);
                }
                piece.b = packed;
            } else {
                piece.b = tile.a + k0 * tile.lda + i;
            }
            for (int64_t j0 = 0, columns = 0; j0 < tile.n; j0 += columns) {
                columns = tile.n - j0;
                if (ByRows && columns > kGemmRows) columns = gemm_min(kGemmRows, (columns + 1) / 2);
                piece.a = b + k0 * piece.a_stride + j0;
                if (here > kGemmLanes) {
                    piece.last = here - kGemmLanes;
                    kGemmMicro2[0][here < kGemmPanel].of[columns - 1](piece);
                } else {
                    piece.last = here;
                    kGemmMicro1[0][here < kGemmLanes].of[columns - 1](piece);
                }
                float* c = tile.c + i * tile.ldc + j0;
                for (int64_t r = 0; r < here; r++) {
                    for (int64_t j = 0; j < columns; j++) {
                        const float sum = sums[j * kGemmPanel + r];
                        c[r * tile.ldc + j] = k0 ? c[r * tile.ldc + j] + sum : sum;
                    }
                }
            }
        }
        gemm_epilogue(tile, i, 0, here, tile.n);
    }
}

#if defined(HPC_ISA_AVX512)
// Whether that pays in NN: by multiply-adds of vectors, which is what all else is counted in. An element of C is stored by itself, a
// vector of A's rows turned into columns; rows that lie a page apart push one another out of the cache meanwhile.
static bool gemm_turns(const GemmTile& tile) {
    const int64_t m = tile.m, n = tile.n, k = tile.k;
    return !gemm_crowded(tile.lda) &&
           (n * (k + kGemmLanes) + kGemmTurned * k) * gemm_blocks_of(m, kGemmLanes) < m * gemm_blocks_of(n, kGemmLanes) * k;
}
#endif

// ---- The dot path ------------------------------------------------------------------------------------------------

// Four vectors to their four sums over the lanes, each in the same order.
struct GemmSums {
    float of[4];
};
HPC_INLINE GemmSums gemm_sum_lanes(GemmV a, GemmV b, GemmV c, GemmV d) {
    GemmSums sums;
#if defined(HPC_ISA_AVX512)
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a.r, b.r), _mm512_unpackhi_ps(a.r, b.r));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c.r, d.r), _mm512_unpackhi_ps(c.r, d.r));
    const __m512 w = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
    const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(w), _mm512_extractf32x8_ps(w, 1));
    _mm_storeu_ps(sums.of, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
#elif defined(HPC_ISA_AVX2)
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a.r, b.r), _mm256_unpackhi_ps(a.r, b.r));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c.r, d.r), _mm256_unpackhi_ps(c.r, d.r));
    const __m256 h = _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
    _mm_storeu_ps(sums.of, _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1)));
#else
    sums.of[0] = (a.r[0] + a.r[2]) + (a.r[1] + a.r[3]);
    sums.of[1] = (b.r[0] + b.r[2]) + (b.r[1] + b.r[3]);
    sums.of[2] = (c.r[0] + c.r[2]) + (c.r[1] + c.r[3]);
    sums.of[3] = (d.r[0] + d.r[2]) + (d.r[1] + d.r[3]);
#endif
    return sums;
}

// The products of MR rows x with `count` <= 4 Q rows y, all contiguous over k: result (i, j) goes to
// c[i row_stride + j column_stride].
struct GemmDot {
    int64_t k;
    const float* x;
    int64_t ldx;
    const float* y;
    int64_t ldy;
    int64_t count;
    float* c;
    int64_t row_stride, column_stride;
    bool add;
};
using GemmDotKernel = void (*)(const GemmDot&);

template <int MR, int Q>
static void gemm_dot(const GemmDot& dot) {
    GemmV sum[MR][4 * Q];
    const float* y[4 * Q];
    HPC_UNROLL
    for (int j = 0; j < 4 * Q; j++) {
        y[j] = dot.y + gemm_min(j, dot.count - 1) * dot.ldy;
        HPC_UNROLL
        for (int i = 0; i < MR; i++) sum[i][j] = GemmV::zero();
    }
    const float* x = dot.x;
    const int64_t ldx = dot.ldx;
    int64_t k = 0;
    for (; k + kGemmLanes <= dot.k; k += kGemmLanes) {
        GemmV xs[MR];
        HPC_UNROLL
        for (int i = 0; i < MR; i++) xs[i] = GemmV::load(x + i * ldx + k);
        HPC_UNROLL
        for (int j = 0; j < 4 * Q; j++) {
            const GemmV w = GemmV::load(y[j] + k);
            HPC_UNROLL
            for (int i = 0; i < MR; i++) sum[i][j] = multiply_add(xs[i], w, sum[i][j]);
        }
    }
    if (const int64_t rest = dot.k - k; rest > 0) {
        GemmV xs[MR];
        HPC_UNROLL
        for (int i = 0; i < MR; i++) xs[i] = GemmV::load_partial(x + i * ldx + k, rest);
        HPC_UNROLL
        for (int j = 0; j < 4 * Q; j++) {
            const GemmV w = GemmV::load_partial(y[j] + k, rest);
            HPC_UNROLL
            for (int i = 0; i < MR; i++) sum[i][j] = multiply_add(xs[i], w, sum[i][j]);
        }
    }
    HPC_UNROLL
    for (int i = 0; i < MR; i++) {
        HPC_UNROLL
        for (int q = 0; q < Q; q++) {
            const GemmSums sums =
                gemm_sum_lanes(sum[i][4 * q], sum[i][4 * q + 1], sum[i][4 * q + 2], sum[i][4 * q + 3]);
            float* c = dot.c + i * dot.row_stride + 4 * q * dot.column_stride;
            const int64_t count = dot.count - 4 * q;
            for (int j = 0; j < 4 && j < count; j++) {
                float& element = c[j * dot.column_stride];
                element = dot.add ? element + sums.of[j] : sums.of[j];
            }
        }
    }
}
#if defined(HPC_ISA_AVX512)
constexpr int kGemmDotRows = 4;
constexpr GemmDotKernel kGemmDot[kGemmDotRows] = {gemm_dot<1, 2>, gemm_dot<2, 2>, gemm_dot<3, 1>, gemm_dot<4, 1>};
constexpr int64_t kGemmDotColumns[kGemmDotRows] = {8, 8, 4, 4};
#else
// 16 registers: fewer rows at once
constexpr int kGemmDotRows = 2;
constexpr GemmDotKernel kGemmDot[kGemmDotRows] = {gemm_dot<1, 2>, gemm_dot<2, 1>};
constexpr int64_t kGemmDotColumns[kGemmDotRows] = {8, 4};
#endif

// Few rows in NT.
static void gemm_dot_rows(const GemmTile& tile) {
    GemmDot dot;
    dot.k = tile.k;
    dot.ldx = tile.lda;
    dot.ldy = tile.ldb;
    dot.row_stride = tile.ldc;
    dot.column_stride = 1;
    dot.add = false;
    const int64_t panels = gemm_blocks_of(tile.m, kGemmDotRows), base = tile.m / panels, larger = tile.m % panels;
    const int64_t step = panels == 1 ? kGemmDotColumns[tile.m - 1] : 4;
    for (int64_t j = 0; j < tile.n; j += step) {
        dot.y = tile.b + j * tile.ldb;
        dot.count = gemm_min(step, tile.n - j);
        int64_t rows = 0;
        for (int64_t i = 0, p = 0; p < panels; i += rows, p++) {
            rows = base + (p < larger);
            dot.x = tile.a + i * tile.lda;
            dot.c = tile.c + i * tile.ldc + j;
            kGemmDot[rows - 1](dot);
        }
    }
    for (int64_t j = 0; j < tile.n; j += 8 * kGemmPanel) {
        gemm_epilogue(tile, 0, j, tile.m, gemm_min(8 * kGemmPanel, tile.n - j));
    }
}

// A narrow C in NN: the columns of B, turned into rows, with the rows of A.
static void gemm_dot_columns(const GemmTile& tile, float* scratch) {
    const int64_t depth = gemm_depth(tile.k);
    GemmDot dot;
    dot.ldy = tile.lda;
    dot.row_stride = 1;
    dot.column_stride = tile.ldc;
    for (int64_t k0 = 0; k0 < tile.k; k0 += depth) {
        dot.k = gemm_min(depth, tile.k - k0);
        dot.add = k0 > 0;
        dot.ldx = depth;
        if (tile.n == 1 && tile.ldb == 1) {
            dot.x = tile.b + k0;
        } else {
            for (int64_t kk = 0; kk < dot.k; kk++) {
                for (int64_t j = 0; j < tile.n; j++) scratch[j * depth + kk] = tile.b[(k0 + kk) * tile.ldb + j];
            }
            dot.x = scratch;
        }
        const float* columns = dot.x;
        for (int64_t j = 0; j < tile.n; j += kGemmDotRows) {
            const int64_t rows = gemm_min(kGemmDotRows, tile.n - j), step = kGemmDotColumns[rows - 1];
            dot.x = columns + j * depth;
            for (int64_t i = 0; i < tile.m; i += step) {
                dot.y = tile.a + i * tile.lda + k0;
                dot.count = gemm_min(step, tile.m - i);
                dot.c = tile.c + i * tile.ldc + j;
                kGemmDot[rows - 1](dot);
            }
        }
    }
    for (int64_t i = 0; i < tile.m; i += kGemmEpilogueRows) {
        gemm_epilogue(tile, i, 0, gemm_min(kGemmEpilogueRows, tile.m - i), tile.n);
    }
}

// ------------------------------------------------------------------------------------------------------------------

static void gemm(const GemmTile& tile, void* scratch) {
    const int64_t m = tile.m, n = tile.n, k = tile.k;
    if (m <= 0 || n <= 0) return;
    float* memory = static_cast<float*>(scratch);
    if (k <= 0) {
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) tile.c[i * tile.ldc + j] = 0;
        }
        gemm_epilogue(tile, 0, 0, m, n);
    } else if (tile.path == GemmPath::Dot && tile.form == Form::NT) {
        gemm_dot_rows(tile);
    } else if (tile.path == GemmPath::Dot && tile.form == Form::NN && n <= kDotColumns) {
        gemm_dot_columns(tile, memory);
    } else if (tile.form == Form::TN && n <= kGemmRows &&
               4 * n * gemm_blocks_of(m, kGemmLanes) < 3 * m * gemm_blocks_of(n, kGemmLanes)) {
        gemm_narrow<false>(tile, memory);
#if defined(HPC_ISA_AVX512)
    } else if (m >= kGemmLanes && n <= kGemmPanel && tile.form == Form::NN && gemm_turns(tile)) {
        gemm_narrow<true>(tile, memory);
#endif
    } else {
        gemm_sequential(tile, memory);
    }
}

#undef HPC_UNROLL
#undef HPC_UNROLL_K
#undef HPC_GEMM_PREFETCH
