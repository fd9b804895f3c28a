// Initializer.cs: how parameters begin. Values are made on the host from the counter-based generator, keyed by the network's
// seed and the parameter's index, so that the same seed gives the same bits on every machine and device.
// To add one: a static member and a private record that fills a span.

namespace HpcNet;

/// <summary>How a parameter begins. The values depend only on the network's seed, the parameter's index and its shape.</summary>
public abstract record Initializer
{
    private protected Initializer()
    {
    }

    /// <summary>Uniform in ±√(6 / (fan in + fan out)) (Glorot and Bengio 2010).</summary>
    public static Initializer GlorotUniform { get; } = new UniformInitializer(nameof(GlorotUniform), 6.0, WithFanOut: true);

    /// <summary>Normal with variance 2 / (fan in + fan out) (Glorot and Bengio 2010).</summary>
    public static Initializer GlorotNormal { get; } = new NormalInitializer(nameof(GlorotNormal), 2.0, WithFanOut: true);

    /// <summary>Uniform in ±√(6 / fan in) (He et al. 2015).</summary>
    public static Initializer HeUniform { get; } = new UniformInitializer(nameof(HeUniform), 6.0, WithFanOut: false);

    /// <summary>Normal with variance 2 / fan in (He et al. 2015).</summary>
    public static Initializer HeNormal { get; } = new NormalInitializer(nameof(HeNormal), 2.0, WithFanOut: false);

    /// <summary>All zero.</summary>
    public static Initializer Zeros { get; } = new ConstantInitializer(0f);

    /// <summary>All one value.</summary>
    /// <param name="value">The value, finite.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="value"/> is infinite or NaN.</exception>
    public static Initializer Constant(float value) => new ConstantInitializer(Ensure.Finite(value, nameof(value)));

    /// <summary>Fills a parameter.</summary>
    /// <param name="values">[fanIn × fanOut], row-major.</param>
    /// <param name="fanIn">Inputs of each unit.</param>
    /// <param name="fanOut">Units.</param>
    /// <param name="random">The parameter's own random numbers.</param>
    internal abstract void Fill(Span<float> values, int fanIn, int fanOut, Philox random);
}

/// <summary>Uniform in ±√(numerator / fan).</summary>
internal sealed record UniformInitializer(string Name, double Numerator, bool WithFanOut) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        double limit = Math.Sqrt(Numerator / (WithFanOut ? (double)fanIn + fanOut : fanIn));
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(limit * (2.0 * random.NextUniform() - 1.0));
    }

    public override string ToString() => Name;
}

/// <summary>Normal with variance numerator / fan, by the Box-Muller transform in double.</summary>
internal sealed record NormalInitializer(string Name, double Numerator, bool WithFanOut) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        double deviation = Math.Sqrt(Numerator / (WithFanOut ? (double)fanIn + fanOut : fanIn));
        for (int i = 0; i < values.Length; i += 2)
        {
            // 1 - u lies in (0, 1], so that the logarithm is finite.
            double radius = deviation * Math.Sqrt(-2.0 * Math.Log(1.0 - random.NextUniform()));
            double angle = 2.0 * Math.PI * random.NextUniform();
            values[i] = (float)(radius * Math.Cos(angle));
            if (i + 1 < values.Length)
                values[i + 1] = (float)(radius * Math.Sin(angle));
        }
    }

    public override string ToString() => Name;
}

/// <summary>All one value.</summary>
internal sealed record ConstantInitializer(float Value) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random) => values.Fill(Value);

    public override string ToString() => Value == 0f ? nameof(Zeros) : FormattableString.Invariant($"Constant({Value})");
}
