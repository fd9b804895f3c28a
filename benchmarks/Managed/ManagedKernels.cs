// What a managed contestant computes with: matrix products, and everything else that a training step needs, over arrays. Matrices are
// row-major, batches in rows. Elementwise work is cut into pieces for the threads here; a contestant says what is done with a piece.

using HpcNet.Interop;

namespace HpcNet.Benchmarks.Managed;

/// <summary>The operations of a training step in managed code. One thread at a time uses it.</summary>
/// <param name="product">How matrices are multiplied.</param>
/// <param name="threads">1: no thread but the caller's.</param>
internal abstract class ManagedKernels(IMatrixProduct product, int threads)
{
    public const float Beta1 = 0.9f;
    public const float Beta2 = 0.999f;
    public const float Epsilon = 1e-8f;

    // Below these a second thread costs more than it brings.
    private const int ParallelElements = 32 * 1024;
    private const long ParallelMultiplications = 256 * 1024;

    private double[] _losses = [];

    /// <summary>Threads that it may use.</summary>
    public int Threads => threads;

    /// <summary>Whether the contestant has this activation.</summary>
    public virtual bool Has(hpc_activation activation) => true;

    /// <summary>Whether the contestant has a way of its own to the loss of whole rows of scores.</summary>
    public virtual bool HasClassLoss => true;

    /// <summary>C [m x n] = A [m x k] B [k x n].</summary>
    public virtual void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k) =>
        product.Multiply(a, b, c, m, n, k, (long)m * n * k < ParallelMultiplications ? 1 : threads);

    /// <summary>y = f(x); where backward needs more than y, the derivative too.</summary>
    public virtual void Activate(hpc_activation activation, float[] x, float[] y, float[]? derivative) => Cut(
        x.Length, 1, (Kernels: this, activation, x, y, derivative),
        static (s, start, count) => s.Kernels.Activate(
            s.activation, s.x.AsSpan(start, count), s.y.AsSpan(start, count),
            s.derivative is null ? default : s.derivative.AsSpan(start, count)));

    /// <summary>dx = dy f'; kept is y, or the derivative itself where forward wrote it. dx may be dy.</summary>
    public virtual void ActivateBackward(hpc_activation activation, float[] kept, float[] dy, float[] dx) => Cut(
        dx.Length, 1, (Kernels: this, activation, kept, dy, dx),
        static (s, start, count) => s.Kernels.ActivateBackward(
            s.activation, s.kept.AsSpan(start, count), s.dy.AsSpan(start, count), s.dx.AsSpan(start, count)));

    /// <summary>y = f(y + bias), row by row.</summary>
    public virtual void BiasActivate(hpc_activation activation, float[] y, float[] bias) => Cut(
        y.Length, bias.Length, (Kernels: this, activation, y, bias),
        static (s, start, count) =>
        {
            for (int row = start; row < start + count; row += s.bias.Length)
                s.Kernels.BiasActivate(s.activation, s.y.AsSpan(row, s.bias.Length), s.bias);
        });

    /// <summary>sums [columns] = the sums of the columns of x.</summary>
    public void ColumnSums(float[] x, float[] sums)
    {
        sums.AsSpan().Clear();
        for (int row = 0; row < x.Length; row += sums.Length)
            Add(x.AsSpan(row, sums.Length), sums);
    }

    /// <summary>Softmax cross-entropy of logits, mean over the rows, and its gradient.</summary>
    public float SoftmaxCrossEntropy(float[] scores, int[] labels, float[] gradient)
    {
        int columns = scores.Length / labels.Length;
        if (_losses.Length < labels.Length)
            _losses = new double[labels.Length];
        Cut(
            scores.Length, columns, (Kernels: this, scores, labels, gradient, columns, _losses),
            static (s, start, count) =>
            {
                for (int row = start / s.columns; row < (start + count) / s.columns; row++)
                {
                    int first = row * s.columns;
                    s._losses[row] = s.Kernels.SoftmaxCrossEntropy(
                        s.scores.AsSpan(first, s.columns), s.labels[row], s.gradient.AsSpan(first, s.columns), 1f / s.labels.Length);
                }
            });
        double sum = 0;
        for (int row = 0; row < labels.Length; row++)
            sum += _losses[row];
        return (float)(sum / labels.Length);
    }

    /// <summary>One update by Adam (Kingma and Ba 2015) with bias correction.</summary>
    /// <param name="p">Parameters.</param>
    /// <param name="g">Their gradient.</param>
    /// <param name="m">The first moment.</param>
    /// <param name="v">The second.</param>
    /// <param name="learningRate">The rate.</param>
    /// <param name="step">From 1.</param>
    public void Adam(float[] p, float[] g, float[] m, float[] v, float learningRate, long step) => Adam(
        p, g, m, v, (float)(learningRate / (1 - Math.Pow(Beta1, step))), (float)(1 / Math.Sqrt(1 - Math.Pow(Beta2, step))));

    /// <summary>p -= rate m / (sqrt(v) correction + epsilon), behind the two moments.</summary>
    protected virtual void Adam(float[] p, float[] g, float[] m, float[] v, float rate, float correction) => Cut(
        p.Length, 1, (Kernels: this, p, g, m, v, rate, correction),
        static (s, start, count) => s.Kernels.Adam(
            s.p.AsSpan(start, count), s.g.AsSpan(start, count), s.m.AsSpan(start, count), s.v.AsSpan(start, count), s.rate, s.correction));

    /// <summary>A piece of <see cref="Activate(hpc_activation, float[], float[], float[])"/>.</summary>
    protected abstract void Activate(hpc_activation activation, ReadOnlySpan<float> x, Span<float> y, Span<float> derivative);

    /// <summary>A piece of <see cref="ActivateBackward(hpc_activation, float[], float[], float[])"/>.</summary>
    protected abstract void ActivateBackward(hpc_activation activation, ReadOnlySpan<float> kept, ReadOnlySpan<float> dy, Span<float> dx);

    /// <summary>A row of <see cref="BiasActivate(hpc_activation, float[], float[])"/>.</summary>
    protected abstract void BiasActivate(hpc_activation activation, Span<float> y, ReadOnlySpan<float> bias);

    /// <summary>A row of <see cref="SoftmaxCrossEntropy(float[], int[], float[])"/>; the gradient is multiplied by the weight.</summary>
    protected abstract double SoftmaxCrossEntropy(ReadOnlySpan<float> scores, int label, Span<float> gradient, float weight);

    /// <summary>sums += row.</summary>
    protected abstract void Add(ReadOnlySpan<float> row, Span<float> sums);

    /// <summary>A piece of <see cref="Adam(float[], float[], float[], float[], float, float)"/>.</summary>
    protected abstract void Adam(Span<float> p, ReadOnlySpan<float> g, Span<float> m, Span<float> v, float rate, float correction);

    // Pieces are whole rows of the given width. State travels by value, and lambdas are static: with one thread nothing is allocated.
    private void Cut<TState>(int elements, int width, TState state, Action<TState, int, int> piece)
    {
        if (threads == 1 || elements < ParallelElements)
            piece(state, 0, elements);
        else
            CutForThreads(elements / width, width, state, piece);
    }

    // Apart from Cut, so that the closure costs nothing where there is one thread.
    private void CutForThreads<TState>(int rows, int width, TState state, Action<TState, int, int> piece) => Parallel.For(
        0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads },
        part =>
        {
            int start = (int)((long)rows * part / threads), end = (int)((long)rows * (part + 1) / threads);
            piece(state, start * width, (end - start) * width);
        });
}
