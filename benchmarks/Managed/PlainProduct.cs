// The triple loop that one writes without thinking of caches or vectors, except that the inner loop walks along rows.

namespace HpcNet.Benchmarks.Managed;

internal sealed class PlainProduct : RowProduct
{
    protected override void Row(MatrixView a, MatrixView b, float[] c, int n, int k, int i)
    {
        Span<float> row = c.AsSpan(i * n, n);
        if (b.ColumnStride == 1)
        {
            row.Clear();
            for (int p = 0; p < k; p++)
            {
                float factor = a.Data[i * a.RowStride + p * a.ColumnStride];
                ReadOnlySpan<float> other = b.Data.AsSpan(p * b.RowStride, n);
                for (int j = 0; j < row.Length; j++)
                    row[j] += factor * other[j];
            }
            return;
        }
        for (int j = 0; j < row.Length; j++)
        {
            float sum = 0f;
            for (int p = 0; p < k; p++)
                sum += a.Data[i * a.RowStride + p * a.ColumnStride] * b.Data[p * b.RowStride + j * b.ColumnStride];
            row[j] = sum;
        }
    }
}
