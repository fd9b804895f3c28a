// A matrix product in managed code.

namespace HpcNet.Benchmarks.Managed;

/// <summary>A matrix in an array, by its strides: element (i, j) is <c>Data[i * RowStride + j * ColumnStride]</c>.</summary>
internal readonly record struct MatrixView(float[] Data, int RowStride, int ColumnStride)
{
    /// <summary>A row-major matrix as it lies.</summary>
    public static MatrixView Of(float[] data, int columns) => new(data, columns, 1);

    /// <summary>The transpose of a row-major matrix of <paramref name="columns"/> columns.</summary>
    public static MatrixView Transposed(float[] data, int columns) => new(data, 1, columns);
}

/// <summary>C [m x n] = A [m x k] B [k x n], C row-major and overwritten.</summary>
internal interface IMatrixProduct
{
    void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k, int threads);
}

/// <summary>A product that goes row of C after row of C, each on its own.</summary>
internal abstract class RowProduct : IMatrixProduct
{
    public void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k, int threads)
    {
        if (threads == 1)
        {
            for (int i = 0; i < m; i++)
                Row(a, b, c, n, k, i);
        }
        else
        {
            InParallel(a, b, c, m, n, k, threads);
        }
    }

    /// <summary>Row <paramref name="i"/> of C.</summary>
    protected abstract void Row(MatrixView a, MatrixView b, float[] c, int n, int k, int i);

    // Apart from Multiply, so that the closure costs nothing where there is one thread.
    private void InParallel(MatrixView a, MatrixView b, float[] c, int m, int n, int k, int threads) =>
        Parallel.For(0, m, new ParallelOptions { MaxDegreeOfParallelism = threads }, i => Row(a, b, c, n, k, i));
}
