// System.Numerics.Tensors: vectorized primitives over spans. It has no matrix product, so that one is made of its dot products and
// multiply-adds of rows; it has no error function, so there is no GELU. What takes several primitives goes over pieces that stay in the
// first-level cache.

using System.Numerics.Tensors;
using HpcNet.Interop;

namespace HpcNet.Benchmarks.Managed;

/// <summary>TensorPrimitives, one after the other.</summary>
internal sealed class TensorKernels(int threads) : ManagedKernels(new TensorProduct(), threads)
{
    private const int Piece = 1024;

    public override bool Has(hpc_activation activation) => activation != hpc_activation.HPC_ACTIVATION_GELU;

    protected override void Activate(hpc_activation activation, ReadOnlySpan<float> x, Span<float> y, Span<float> derivative)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR: x.CopyTo(y); break;
            case hpc_activation.HPC_ACTIVATION_RELU: TensorPrimitives.Max(x, 0f, y); break;
            case hpc_activation.HPC_ACTIVATION_TANH: TensorPrimitives.Tanh(x, y); break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID: TensorPrimitives.Sigmoid(x, y); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override void ActivateBackward(hpc_activation activation, ReadOnlySpan<float> kept, ReadOnlySpan<float> dy, Span<float> dx)
    {
        Span<float> scratch = stackalloc float[Piece];
        for (int start = 0; start < dx.Length; start += Piece)
        {
            int count = Math.Min(Piece, dx.Length - start);
            Span<float> slope = scratch[..count];
            ReadOnlySpan<float> y = kept.Slice(start, count);
            switch (activation)
            {
                case hpc_activation.HPC_ACTIVATION_LINEAR:
                    slope.Fill(1f);
                    break;
                case hpc_activation.HPC_ACTIVATION_RELU:
                    TensorPrimitives.Ceiling(y, slope);
                    TensorPrimitives.Min(slope, 1f, slope);
                    break;
                case hpc_activation.HPC_ACTIVATION_TANH:
                    TensorPrimitives.Multiply(y, y, slope);
                    TensorPrimitives.Subtract(1f, slope, slope);
                    break;
                case hpc_activation.HPC_ACTIVATION_SIGMOID:
                    TensorPrimitives.Subtract(1f, y, slope);
                    TensorPrimitives.Multiply(slope, y, slope);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
            }
            TensorPrimitives.Multiply(dy.Slice(start, count), slope, dx.Slice(start, count));
        }
    }

    protected override void BiasActivate(hpc_activation activation, Span<float> y, ReadOnlySpan<float> bias)
    {
        TensorPrimitives.Add(y, bias, y);
        if (activation != hpc_activation.HPC_ACTIVATION_LINEAR)
            Activate(activation, y, y, default);
    }

    protected override double SoftmaxCrossEntropy(ReadOnlySpan<float> scores, int label, Span<float> gradient, float weight)
    {
        float largest = TensorPrimitives.Max(scores);
        TensorPrimitives.Subtract(scores, largest, gradient);
        TensorPrimitives.Exp(gradient, gradient);
        float sum = TensorPrimitives.Sum(gradient);
        TensorPrimitives.Multiply(gradient, weight / sum, gradient);
        gradient[label] -= weight;
        return MathF.Log(sum) + largest - scores[label];
    }

    protected override void Add(ReadOnlySpan<float> row, Span<float> sums) => TensorPrimitives.Add(sums, row, sums);

    protected override void Adam(Span<float> p, ReadOnlySpan<float> g, Span<float> m, Span<float> v, float rate, float correction)
    {
        Span<float> scratch = stackalloc float[Piece];
        for (int start = 0; start < p.Length; start += Piece)
        {
            int count = Math.Min(Piece, p.Length - start);
            Span<float> t = scratch[..count], first = m.Slice(start, count), second = v.Slice(start, count), parameters = p.Slice(start, count);
            ReadOnlySpan<float> gradient = g.Slice(start, count);
            TensorPrimitives.Lerp(gradient, first, Beta1, first);
            TensorPrimitives.Multiply(gradient, gradient, t);
            TensorPrimitives.Lerp(t, second, Beta2, second);
            TensorPrimitives.Sqrt(second, t);
            TensorPrimitives.Multiply(t, correction, t);
            TensorPrimitives.Add(t, Epsilon, t);
            TensorPrimitives.Divide(first, t, t);
            TensorPrimitives.MultiplyAdd(t, -rate, parameters, parameters);
        }
    }
}

/// <summary>Rows of C as sums of rows of B, or dot products where B is stored transposed.</summary>
internal sealed class TensorProduct : RowProduct
{
    protected override void Row(MatrixView a, MatrixView b, float[] c, int n, int k, int i)
    {
        Span<float> row = c.AsSpan(i * n, n);
        if (b.ColumnStride == 1)
        {
            row.Clear();
            for (int p = 0; p < k; p++)
                TensorPrimitives.MultiplyAdd(b.Data.AsSpan(p * b.RowStride, n), a.Data[i * a.RowStride + p * a.ColumnStride], row, row);
            return;
        }
        ReadOnlySpan<float> left = a.Data.AsSpan(i * a.RowStride, k);
        for (int j = 0; j < n; j++)
            row[j] = TensorPrimitives.Dot(left, b.Data.AsSpan(j * b.ColumnStride, k));
    }
}
