// What a careful programmer gets from .NET's own vectors: blocked products (BlockedProduct.cs) and Vector512 loops. Where a processor
// has no such registers the runtime takes two of half the width.

using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using HpcNet.Interop;

namespace HpcNet.Benchmarks.Managed;

/// <summary>Hand-written vector code.</summary>
internal sealed class VectorKernels(int threads) : ManagedKernels(new BlockedProduct(), threads)
{
    private const int Width = 16;

    // Packing pays only above.
    private const long SmallProduct = 4096;

    private readonly PlainProduct _small = new();

    /// <summary>A function of one vector; the derivative is one of the output.</summary>
    private interface IFunction
    {
        static abstract Vector512<float> Value(Vector512<float> x);

        static abstract Vector512<float> Derivative(Vector512<float> kept);
    }

    public override void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k)
    {
        if ((long)m * n * k < SmallProduct)
            _small.Multiply(a, b, c, m, n, k, 1);
        else
            base.Multiply(a, b, c, m, n, k);
    }

    protected override void Activate(hpc_activation activation, ReadOnlySpan<float> x, Span<float> y, Span<float> derivative)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR: x.CopyTo(y); break;
            case hpc_activation.HPC_ACTIVATION_RELU: Map<Relu>(x, y); break;
            case hpc_activation.HPC_ACTIVATION_TANH: Map<Tanh>(x, y); break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID: Map<Sigmoid>(x, y); break;
            case hpc_activation.HPC_ACTIVATION_GELU: Gelu(x, y, derivative); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override void ActivateBackward(hpc_activation activation, ReadOnlySpan<float> kept, ReadOnlySpan<float> dy, Span<float> dx)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR: dy.CopyTo(dx); break;
            case hpc_activation.HPC_ACTIVATION_RELU: MapBackward<Relu>(kept, dy, dx); break;
            case hpc_activation.HPC_ACTIVATION_TANH: MapBackward<Tanh>(kept, dy, dx); break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID: MapBackward<Sigmoid>(kept, dy, dx); break;
            case hpc_activation.HPC_ACTIVATION_GELU: MapBackward<Kept>(kept, dy, dx); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override void BiasActivate(hpc_activation activation, Span<float> y, ReadOnlySpan<float> bias)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR: MapBias<Kept>(y, bias); break;
            case hpc_activation.HPC_ACTIVATION_RELU: MapBias<Relu>(y, bias); break;
            case hpc_activation.HPC_ACTIVATION_TANH: MapBias<Tanh>(y, bias); break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID: MapBias<Sigmoid>(y, bias); break;
            default: throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override double SoftmaxCrossEntropy(ReadOnlySpan<float> scores, int label, Span<float> gradient, float weight)
    {
        float largest = scores[0];
        int j = 0;
        if (scores.Length >= Width)
        {
            Vector512<float> all = Load(scores, 0);
            for (j = Width; j <= scores.Length - Width; j += Width)
                all = Vector512.Max(all, Load(scores, j));
            for (int lane = 0; lane < Width; lane++)
                largest = MathF.Max(largest, all[lane]);
        }
        for (; j < scores.Length; j++)
            largest = MathF.Max(largest, scores[j]);

        var sums = Vector512<float>.Zero;
        for (j = 0; j <= scores.Length - Width; j += Width)
        {
            Vector512<float> e = Vector512.Exp(Load(scores, j) - Vector512.Create(largest));
            sums += e;
            Store(e, gradient, j);
        }
        float sum = Vector512.Sum(sums);
        for (; j < scores.Length; j++)
        {
            gradient[j] = MathF.Exp(scores[j] - largest);
            sum += gradient[j];
        }

        float factor = weight / sum;
        for (j = 0; j <= gradient.Length - Width; j += Width)
            Store(Load(gradient, j) * factor, gradient, j);
        for (; j < gradient.Length; j++)
            gradient[j] *= factor;
        gradient[label] -= weight;
        return MathF.Log(sum) + largest - scores[label];
    }

    protected override void Add(ReadOnlySpan<float> row, Span<float> sums)
    {
        int j = 0;
        for (; j <= sums.Length - Width; j += Width)
            Store(Load(sums, j) + Load(row, j), sums, j);
        for (; j < sums.Length; j++)
            sums[j] += row[j];
    }

    protected override void Adam(Span<float> p, ReadOnlySpan<float> g, Span<float> m, Span<float> v, float rate, float correction)
    {
        int i = 0;
        for (; i <= p.Length - Width; i += Width)
        {
            Vector512<float> gradient = Load(g, i);
            Vector512<float> first = Load(m, i) * Beta1 + gradient * (1 - Beta1);
            Vector512<float> second = Load(v, i) * Beta2 + gradient * gradient * (1 - Beta2);
            Store(first, m, i);
            Store(second, v, i);
            Store(Load(p, i) - first * rate / (Vector512.Sqrt(second) * correction + Vector512.Create(Epsilon)), p, i);
        }
        for (; i < p.Length; i++)
        {
            m[i] = m[i] * Beta1 + g[i] * (1 - Beta1);
            v[i] = v[i] * Beta2 + g[i] * g[i] * (1 - Beta2);
            p[i] -= m[i] * rate / (MathF.Sqrt(v[i]) * correction + Epsilon);
        }
    }

    private static void Map<T>(ReadOnlySpan<float> x, Span<float> y) where T : IFunction
    {
        int i = 0;
        for (; i <= y.Length - Width; i += Width)
            Store(T.Value(Load(x, i)), y, i);
        if (i < y.Length)
            StoreSome(T.Value(LoadSome(x[i..])), y[i..]);
    }

    private static void MapBias<T>(Span<float> y, ReadOnlySpan<float> bias) where T : IFunction
    {
        int i = 0;
        for (; i <= y.Length - Width; i += Width)
            Store(T.Value(Load(y, i) + Load(bias, i)), y, i);
        if (i < y.Length)
            StoreSome(T.Value(LoadSome(y[i..]) + LoadSome(bias[i..])), y[i..]);
    }

    private static void MapBackward<T>(ReadOnlySpan<float> kept, ReadOnlySpan<float> dy, Span<float> dx) where T : IFunction
    {
        int i = 0;
        for (; i <= dx.Length - Width; i += Width)
            Store(Load(dy, i) * T.Derivative(Load(kept, i)), dx, i);
        if (i < dx.Length)
            StoreSome(LoadSome(dy[i..]) * T.Derivative(LoadSome(kept[i..])), dx[i..]);
    }

    private static void Gelu(ReadOnlySpan<float> x, Span<float> y, Span<float> derivative)
    {
        int i = 0;
        for (; i <= y.Length - Width; i += Width)
        {
            Vector512<float> value = Load(x, i);
            Vector512<float> below = NormalBelow(value, out Vector512<float> density);
            Store(value * below, y, i);
            Store(below + value * density, derivative, i);
        }
        if (i < y.Length)
        {
            Vector512<float> value = LoadSome(x[i..]);
            Vector512<float> below = NormalBelow(value, out Vector512<float> density);
            StoreSome(value * below, y[i..]);
            StoreSome(below + value * density, derivative[i..]);
        }
    }

    // The normal distribution's function and density: Abramowitz and Stegun, Handbook of mathematical functions, 7.1.26.
    private static Vector512<float> NormalBelow(Vector512<float> x, out Vector512<float> density)
    {
        Vector512<float> one = Vector512<float>.One;
        Vector512<float> exponential = Vector512.Exp(x * x * -0.5f);
        Vector512<float> t = one / (one + Vector512.Abs(x) * (0.3275911f * 0.7071067812f));
        Vector512<float> sum = Vector512.Create(-1.453152027f) + t * 1.061405429f;
        sum = Vector512.Create(1.421413741f) + t * sum;
        sum = Vector512.Create(-0.284496736f) + t * sum;
        sum = Vector512.Create(0.254829592f) + t * sum;
        Vector512<float> tail = exponential * t * sum * 0.5f;
        density = exponential * 0.3989422804f;
        return Vector512.ConditionalSelect(Vector512.LessThan(x, Vector512<float>.Zero), tail, one - tail);
    }

    private static Vector512<float> Load(ReadOnlySpan<float> data, int index) => Vector512.LoadUnsafe(ref MemoryMarshal.GetReference(data), (nuint)index);

    private static void Store(Vector512<float> value, Span<float> data, int index) =>
        value.StoreUnsafe(ref MemoryMarshal.GetReference(data), (nuint)index);

    // Fewer than a vector's worth of numbers; zeros behind them.
    private static Vector512<float> LoadSome(ReadOnlySpan<float> data)
    {
        Span<float> whole = stackalloc float[Width];
        whole.Clear();
        data.CopyTo(whole);
        return Load(whole, 0);
    }

    private static void StoreSome(Vector512<float> value, Span<float> data)
    {
        Span<float> whole = stackalloc float[Width];
        Store(value, whole, 0);
        whole[..data.Length].CopyTo(data);
    }

    private readonly struct Relu : IFunction
    {
        public static Vector512<float> Value(Vector512<float> x) => Vector512.Max(x, Vector512<float>.Zero);

        public static Vector512<float> Derivative(Vector512<float> kept) =>
            Vector512.ConditionalSelect(Vector512.GreaterThan(kept, Vector512<float>.Zero), Vector512<float>.One, Vector512<float>.Zero);
    }

    private readonly struct Tanh : IFunction
    {
        public static Vector512<float> Value(Vector512<float> x) =>
            Vector512<float>.One - Vector512.Create(2f) / (Vector512.Exp(x + x) + Vector512<float>.One);

        public static Vector512<float> Derivative(Vector512<float> kept) => Vector512<float>.One - kept * kept;
    }

    private readonly struct Sigmoid : IFunction
    {
        public static Vector512<float> Value(Vector512<float> x) => Vector512<float>.One / (Vector512<float>.One + Vector512.Exp(-x));

        public static Vector512<float> Derivative(Vector512<float> kept) => kept * (Vector512<float>.One - kept);
    }

    // f(x) = x; the derivative is what was kept.
    private readonly struct Kept : IFunction
    {
        public static Vector512<float> Value(Vector512<float> x) => x;

        public static Vector512<float> Derivative(Vector512<float> kept) => kept;
    }
}
