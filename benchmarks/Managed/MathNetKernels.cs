// MathNet.Numerics with its managed provider: matrix products, and vectors with pointwise functions. It has no losses and nothing that
// adds a vector to each row of a matrix in place: there the plain loops serve.

using HpcNet.Interop;
using MathNet.Numerics;
using MathNet.Numerics.LinearAlgebra;
using MathNet.Numerics.Providers.LinearAlgebra;

namespace HpcNet.Benchmarks.Managed;

/// <summary>MathNet's managed provider; the number of its threads belongs to the process.</summary>
internal sealed class MathNetKernels(int threads) : PlainKernels(new MathNetProduct(), threads)
{
    // By length: what a chain of operations needs between them.
    private readonly Dictionary<int, Vector<float>> _scratch = [];

    public override bool HasClassLoss => false;

    public override void Activate(hpc_activation activation, float[] x, float[] y, float[]? derivative)
    {
        MathNetProduct.Use(Threads);
        Vector<float> from = Wrap(x), to = Wrap(y);
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_RELU:
                from.PointwiseMaximum(0f, to);
                break;
            case hpc_activation.HPC_ACTIVATION_TANH:
                from.PointwiseTanh(to);
                break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID:
                from.Map(static v => (float)SpecialFunctions.Logistic(v), to);
                break;
            case hpc_activation.HPC_ACTIVATION_GELU:
                from.Map(static v => v * Below(v), to);
                from.Map(static v => Below(v) + v * MathF.Exp(-0.5f * v * v) * 0.3989422804f, Wrap(derivative!));
                break;
            default:
                base.Activate(activation, x, y, derivative);
                break;
        }
    }

    public override void ActivateBackward(hpc_activation activation, float[] kept, float[] dy, float[] dx)
    {
        MathNetProduct.Use(Threads);
        Func<float, float, float>? derivative = activation switch
        {
            hpc_activation.HPC_ACTIVATION_RELU => static (y, d) => y > 0f ? d : 0f,
            hpc_activation.HPC_ACTIVATION_TANH => static (y, d) => d * (1f - y * y),
            hpc_activation.HPC_ACTIVATION_SIGMOID => static (y, d) => d * y * (1f - y),
            hpc_activation.HPC_ACTIVATION_GELU => static (kept, d) => d * kept,
            _ => null,
        };
        if (derivative is null)
            base.ActivateBackward(activation, kept, dy, dx);
        else
            Wrap(kept).Map2(derivative, Wrap(dy), Wrap(dx), Zeros.Include);
    }

    protected override void Adam(float[] p, float[] g, float[] m, float[] v, float rate, float correction)
    {
        MathNetProduct.Use(Threads);
        if (!_scratch.TryGetValue(p.Length, out Vector<float>? t))
            _scratch.Add(p.Length, t = Vector<float>.Build.Dense(p.Length));
        Vector<float> parameters = Wrap(p), gradient = Wrap(g), first = Wrap(m), second = Wrap(v);
        first.Multiply(Beta1, first);
        gradient.Multiply(1 - Beta1, t);
        first.Add(t, first);
        second.Multiply(Beta2, second);
        gradient.PointwiseMultiply(gradient, t);
        t.Multiply(1 - Beta2, t);
        second.Add(t, second);
        second.PointwiseSqrt(t);
        t.Multiply(correction, t);
        t.Add(Epsilon, t);
        first.PointwiseDivide(t, t);
        t.Multiply(rate, t);
        parameters.Subtract(t, parameters);
    }

    // A vector over the array itself.
    private static Vector<float> Wrap(float[] data) => Vector<float>.Build.Dense(data);

    private static float Below(float x) => (float)(0.5 * (1 + SpecialFunctions.Erf(x * 0.70710678118654752)));
}

/// <summary>MathNet's matrices are column-major: the product of the transposes, in the other order.</summary>
internal sealed class MathNetProduct : IMatrixProduct
{
    private static readonly ManagedLinearAlgebraProvider Provider = new();

    /// <summary>How many threads the next operations may use.</summary>
    public static void Use(int threads)
    {
        if (Control.MaxDegreeOfParallelism != threads)
            Control.MaxDegreeOfParallelism = threads;
    }

    public void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k, int threads)
    {
        Use(threads);
        bool transposedA = a.ColumnStride != 1, transposedB = b.ColumnStride != 1;
        Provider.MatrixMultiplyWithUpdate(
            transposedB ? Transpose.Transpose : Transpose.DontTranspose, transposedA ? Transpose.Transpose : Transpose.DontTranspose, 1f,
            b.Data, transposedB ? k : n, transposedB ? n : k, a.Data, transposedA ? m : k, transposedA ? k : m, 0f, c);
    }
}
