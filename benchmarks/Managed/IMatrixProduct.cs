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
