// A good managed matrix product: blocked for the caches, both operands packed, register tiles of Vector512 (8 x 32) where the
// processor has AVX-512, else of Vector256 (6 x 16). Goto and van de Geijn: Anatomy of high-performance matrix multiplication, 2008.

using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace HpcNet.Benchmarks.Managed;

internal sealed class BlockedProduct : IMatrixProduct
{
    // Vector512.IsHardwareAccelerated is false on processors that the runtime thinks slow down for it; the instructions are
    // there all the same, and pay here.
    private static readonly bool Wide = Avx512F.IsSupported;
    private static readonly int TileRows = Wide ? 8 : 6;
    private static readonly int TileColumns = Wide ? 32 : 16;

    // A block of A (48 x 256, 48 KiB) stays in L2, a panel of B (256 x 32, 32 KiB) passes through L1. 48 is a multiple of both
    // tile heights.
    private const int BlockRows = 48;
    private const int BlockDepth = 256;

    [ThreadStatic]
    private static float[]? s_packedA;

    private float[] _packedB = [];

    public void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k, int threads)
    {
        int panels = (n + TileColumns - 1) / TileColumns;
        int blocks = (m + BlockRows - 1) / BlockRows;
        if (_packedB.Length < panels * TileColumns * BlockDepth)
            _packedB = GC.AllocateUninitializedArray<float>(panels * TileColumns * BlockDepth, pinned: true);
        for (int depth = 0; depth < k; depth += BlockDepth)
        {
            int size = Math.Min(BlockDepth, k - depth);
            if (threads == 1)
            {
                for (int panel = 0; panel < panels; panel++)
                    PackB(b, depth, size, panel, n);
                for (int block = 0; block < blocks; block++)
                    Block(a, c, m, n, depth, size, block);
            }
            else
            {
                InParallel(a, b, c, m, n, depth, size, panels, blocks, threads);
            }
        }
    }

    // Apart from Multiply, so that the closures cost nothing where there is one thread.
    private void InParallel(MatrixView a, MatrixView b, float[] c, int m, int n, int depth, int size, int panels, int blocks, int threads)
    {
        var options = new ParallelOptions { MaxDegreeOfParallelism = threads };
        Parallel.For(0, panels, options, panel => PackB(b, depth, size, panel, n));
        Parallel.For(0, blocks, options, block => Block(a, c, m, n, depth, size, block));
    }

    // Panel after panel of TileColumns columns; in a panel row after row, with zeros beyond the edge.
    private void PackB(MatrixView b, int depth, int size, int panel, int n)
    {
        int first = panel * TileColumns;
        int count = Math.Min(TileColumns, n - first);
        Span<float> target = _packedB.AsSpan(panel * TileColumns * BlockDepth, TileColumns * size);
        if (count < TileColumns)
            target.Clear();
        if (b.ColumnStride == 1)
        {
            for (int p = 0; p < size; p++)
                b.Data.AsSpan((depth + p) * b.RowStride + first, count).CopyTo(target[(p * TileColumns)..]);
            return;
        }
        for (int j = 0; j < count; j++)
        {
            int source = depth * b.RowStride + (first + j) * b.ColumnStride;
            for (int p = 0; p < size; p++)
                target[p * TileColumns + j] = b.Data[source + p * b.RowStride];
        }
    }

    // Strip after strip of TileRows rows; in a strip column after column, with zeros beyond the edge.
    private static void PackA(MatrixView a, float[] packed, int firstRow, int rows, int depth, int size)
    {
        for (int strip = 0; strip < rows; strip += TileRows)
        {
            int count = Math.Min(TileRows, rows - strip);
            Span<float> target = packed.AsSpan(strip * size, TileRows * size);
            if (count < TileRows)
                target.Clear();
            for (int i = 0; i < count; i++)
            {
                int source = (firstRow + strip + i) * a.RowStride + depth * a.ColumnStride;
                for (int p = 0; p < size; p++)
                    target[p * TileRows + i] = a.Data[source + p * a.ColumnStride];
            }
        }
    }

    private void Block(MatrixView a, float[] c, int m, int n, int depth, int size, int block)
    {
        float[] packedA = s_packedA ??= GC.AllocateUninitializedArray<float>(BlockRows * BlockDepth, pinned: true);
        int firstRow = block * BlockRows;
        int rows = Math.Min(BlockRows, m - firstRow);
        PackA(a, packedA, firstRow, rows, depth, size);
        bool add = depth > 0;
        Span<float> edge = stackalloc float[8 * 32];
        for (int column = 0, panel = 0; column < n; column += TileColumns, panel++)
        {
            int columns = Math.Min(TileColumns, n - column);
            ref float b = ref _packedB[panel * TileColumns * BlockDepth];
            for (int strip = 0; strip < rows; strip += TileRows)
            {
                ref float strips = ref packedA[strip * size];
                int stripRows = Math.Min(TileRows, rows - strip);
                int target = (firstRow + strip) * n + column;
                if (stripRows == TileRows && columns == TileColumns)
                {
                    Tile(ref strips, ref b, size, ref c[target], n, add);
                    continue;
                }
                Tile(ref strips, ref b, size, ref MemoryMarshal.GetReference(edge), TileColumns, add: false);
                for (int i = 0; i < stripRows; i++)
                {
                    for (int j = 0; j < columns; j++)
                    {
                        float value = edge[i * TileColumns + j];
                        c[target + i * n + j] = add ? c[target + i * n + j] + value : value;
                    }
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Tile(ref float a, ref float b, int size, ref float c, int stride, bool add)
    {
        if (Wide)
            Tile512(ref a, ref b, size, ref c, stride, add);
        else
            Tile256(ref a, ref b, size, ref c, stride, add);
    }

    private static void Tile512(ref float a, ref float b, int size, ref float c, int stride, bool add)
    {
        Vector512<float> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector512<float> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        Vector512<float> c60 = default, c61 = default, c70 = default, c71 = default;
        for (int p = 0; p < size; p++)
        {
            var b0 = Vector512.LoadUnsafe(ref b);
            var b1 = Vector512.LoadUnsafe(ref b, 16);
            var a0 = Vector512.Create(a);
            c00 = Vector512.FusedMultiplyAdd(a0, b0, c00);
            c01 = Vector512.FusedMultiplyAdd(a0, b1, c01);
            var a1 = Vector512.Create(Unsafe.Add(ref a, 1));
            c10 = Vector512.FusedMultiplyAdd(a1, b0, c10);
            c11 = Vector512.FusedMultiplyAdd(a1, b1, c11);
            var a2 = Vector512.Create(Unsafe.Add(ref a, 2));
            c20 = Vector512.FusedMultiplyAdd(a2, b0, c20);
            c21 = Vector512.FusedMultiplyAdd(a2, b1, c21);
            var a3 = Vector512.Create(Unsafe.Add(ref a, 3));
            c30 = Vector512.FusedMultiplyAdd(a3, b0, c30);
            c31 = Vector512.FusedMultiplyAdd(a3, b1, c31);
            var a4 = Vector512.Create(Unsafe.Add(ref a, 4));
            c40 = Vector512.FusedMultiplyAdd(a4, b0, c40);
            c41 = Vector512.FusedMultiplyAdd(a4, b1, c41);
            var a5 = Vector512.Create(Unsafe.Add(ref a, 5));
            c50 = Vector512.FusedMultiplyAdd(a5, b0, c50);
            c51 = Vector512.FusedMultiplyAdd(a5, b1, c51);
            var a6 = Vector512.Create(Unsafe.Add(ref a, 6));
            c60 = Vector512.FusedMultiplyAdd(a6, b0, c60);
            c61 = Vector512.FusedMultiplyAdd(a6, b1, c61);
            var a7 = Vector512.Create(Unsafe.Add(ref a, 7));
            c70 = Vector512.FusedMultiplyAdd(a7, b0, c70);
            c71 = Vector512.FusedMultiplyAdd(a7, b1, c71);
            a = ref Unsafe.Add(ref a, 8);
            b = ref Unsafe.Add(ref b, 32);
        }
        Store512(ref c, c00, c01, add);
        Store512(ref Unsafe.Add(ref c, stride), c10, c11, add);
        Store512(ref Unsafe.Add(ref c, 2 * stride), c20, c21, add);
        Store512(ref Unsafe.Add(ref c, 3 * stride), c30, c31, add);
        Store512(ref Unsafe.Add(ref c, 4 * stride), c40, c41, add);
        Store512(ref Unsafe.Add(ref c, 5 * stride), c50, c51, add);
        Store512(ref Unsafe.Add(ref c, 6 * stride), c60, c61, add);
        Store512(ref Unsafe.Add(ref c, 7 * stride), c70, c71, add);
    }

    private static void Tile256(ref float a, ref float b, int size, ref float c, int stride, bool add)
    {
        Vector256<float> c00 = default, c01 = default, c10 = default, c11 = default, c20 = default, c21 = default;
        Vector256<float> c30 = default, c31 = default, c40 = default, c41 = default, c50 = default, c51 = default;
        for (int p = 0; p < size; p++)
        {
            var b0 = Vector256.LoadUnsafe(ref b);
            var b1 = Vector256.LoadUnsafe(ref b, 8);
            var a0 = Vector256.Create(a);
            c00 = Vector256.FusedMultiplyAdd(a0, b0, c00);
            c01 = Vector256.FusedMultiplyAdd(a0, b1, c01);
            var a1 = Vector256.Create(Unsafe.Add(ref a, 1));
            c10 = Vector256.FusedMultiplyAdd(a1, b0, c10);
            c11 = Vector256.FusedMultiplyAdd(a1, b1, c11);
            var a2 = Vector256.Create(Unsafe.Add(ref a, 2));
            c20 = Vector256.FusedMultiplyAdd(a2, b0, c20);
            c21 = Vector256.FusedMultiplyAdd(a2, b1, c21);
            var a3 = Vector256.Create(Unsafe.Add(ref a, 3));
            c30 = Vector256.FusedMultiplyAdd(a3, b0, c30);
            c31 = Vector256.FusedMultiplyAdd(a3, b1, c31);
            var a4 = Vector256.Create(Unsafe.Add(ref a, 4));
            c40 = Vector256.FusedMultiplyAdd(a4, b0, c40);
            c41 = Vector256.FusedMultiplyAdd(a4, b1, c41);
            var a5 = Vector256.Create(Unsafe.Add(ref a, 5));
            c50 = Vector256.FusedMultiplyAdd(a5, b0, c50);
            c51 = Vector256.FusedMultiplyAdd(a5, b1, c51);
            a = ref Unsafe.Add(ref a, 6);
            b = ref Unsafe.Add(ref b, 16);
        }
        Store256(ref c, c00, c01, add);
        Store256(ref Unsafe.Add(ref c, stride), c10, c11, add);
        Store256(ref Unsafe.Add(ref c, 2 * stride), c20, c21, add);
        Store256(ref Unsafe.Add(ref c, 3 * stride), c30, c31, add);
        Store256(ref Unsafe.Add(ref c, 4 * stride), c40, c41, add);
        Store256(ref Unsafe.Add(ref c, 5 * stride), c50, c51, add);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store512(ref float c, Vector512<float> low, Vector512<float> high, bool add)
    {
        if (add)
        {
            low += Vector512.LoadUnsafe(ref c);
            high += Vector512.LoadUnsafe(ref c, 16);
        }
        low.StoreUnsafe(ref c);
        high.StoreUnsafe(ref c, 16);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store256(ref float c, Vector256<float> low, Vector256<float> high, bool add)
    {
        if (add)
        {
            low += Vector256.LoadUnsafe(ref c);
            high += Vector256.LoadUnsafe(ref c, 8);
        }
        low.StoreUnsafe(ref c);
        high.StoreUnsafe(ref c, 8);
    }
}
