// The loops that one writes first: one element after the other, MathF where a function is needed.

using HpcNet.Interop;

namespace HpcNet.Benchmarks.Managed;

/// <summary>Plain loops.</summary>
internal class PlainKernels(IMatrixProduct product, int threads) : ManagedKernels(product, threads)
{
    protected override void Activate(hpc_activation activation, ReadOnlySpan<float> x, Span<float> y, Span<float> derivative)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR:
                x.CopyTo(y);
                break;
            case hpc_activation.HPC_ACTIVATION_RELU:
                for (int i = 0; i < y.Length; i++)
                    y[i] = MathF.Max(x[i], 0f);
                break;
            case hpc_activation.HPC_ACTIVATION_TANH:
                for (int i = 0; i < y.Length; i++)
                    y[i] = MathF.Tanh(x[i]);
                break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID:
                for (int i = 0; i < y.Length; i++)
                    y[i] = 1f / (1f + MathF.Exp(-x[i]));
                break;
            case hpc_activation.HPC_ACTIVATION_GELU:
                for (int i = 0; i < y.Length; i++)
                {
                    float exponential = MathF.Exp(-0.5f * x[i] * x[i]);
                    float below = NormalBelow(x[i], exponential);
                    y[i] = x[i] * below;
                    derivative[i] = below + x[i] * exponential * 0.3989422804f;
                }
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override void ActivateBackward(hpc_activation activation, ReadOnlySpan<float> kept, ReadOnlySpan<float> dy, Span<float> dx)
    {
        switch (activation)
        {
            case hpc_activation.HPC_ACTIVATION_LINEAR:
                dy.CopyTo(dx);
                break;
            case hpc_activation.HPC_ACTIVATION_RELU:
                for (int i = 0; i < dx.Length; i++)
                    dx[i] = kept[i] > 0f ? dy[i] : 0f;
                break;
            case hpc_activation.HPC_ACTIVATION_TANH:
                for (int i = 0; i < dx.Length; i++)
                    dx[i] = dy[i] * (1f - kept[i] * kept[i]);
                break;
            case hpc_activation.HPC_ACTIVATION_SIGMOID:
                for (int i = 0; i < dx.Length; i++)
                    dx[i] = dy[i] * kept[i] * (1f - kept[i]);
                break;
            case hpc_activation.HPC_ACTIVATION_GELU:
                for (int i = 0; i < dx.Length; i++)
                    dx[i] = dy[i] * kept[i];
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(activation), activation, null);
        }
    }

    protected override void BiasActivate(hpc_activation activation, Span<float> y, ReadOnlySpan<float> bias)
    {
        for (int i = 0; i < y.Length; i++)
            y[i] += bias[i];
        if (activation != hpc_activation.HPC_ACTIVATION_LINEAR)
            Activate(activation, y, y, default);
    }

    protected override double SoftmaxCrossEntropy(ReadOnlySpan<float> scores, int label, Span<float> gradient, float weight)
    {
        float largest = scores[0];
        foreach (float score in scores)
            largest = MathF.Max(largest, score);
        float sum = 0f;
        for (int j = 0; j < scores.Length; j++)
        {
            gradient[j] = MathF.Exp(scores[j] - largest);
            sum += gradient[j];
        }
        for (int j = 0; j < gradient.Length; j++)
            gradient[j] *= weight / sum;
        gradient[label] -= weight;
        return MathF.Log(sum) + largest - scores[label];
    }

    protected override void Add(ReadOnlySpan<float> row, Span<float> sums)
    {
        for (int j = 0; j < sums.Length; j++)
            sums[j] += row[j];
    }

    protected override void Adam(Span<float> p, ReadOnlySpan<float> g, Span<float> m, Span<float> v, float rate, float correction)
    {
        for (int i = 0; i < p.Length; i++)
        {
            m[i] = m[i] * Beta1 + g[i] * (1 - Beta1);
            v[i] = v[i] * Beta2 + g[i] * g[i] * (1 - Beta2);
            p[i] -= m[i] * rate / (MathF.Sqrt(v[i]) * correction + Epsilon);
        }
    }

    // The normal distribution's function, from exp(-x x / 2): Abramowitz and Stegun, Handbook of mathematical functions, 7.1.26.
    private static float NormalBelow(float x, float exponential)
    {
        float t = 1f / (1f + 0.3275911f * 0.7071067812f * MathF.Abs(x));
        float tail = 0.5f * exponential * t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
        return x < 0f ? tail : 1f - tail;
    }
}
