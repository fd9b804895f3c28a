// Matrix.cs: row-major helpers of the cases.

namespace HpcNet.Tests.Cases;

internal static class Matrix
{
    /// <summary>[rows × columns] as [columns × rows]: PyTorch's weights are [out × in], the library's [in × out].</summary>
    public static float[] Transposed(float[] matrix, int rows, int columns)
    {
        var result = new float[matrix.Length];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
                result[column * rows + row] = matrix[row * columns + column];
        }
        return result;
    }
}
