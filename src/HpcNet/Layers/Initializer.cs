// Initializer.cs: how parameters begin. Values are made on the host from the counter-based generator, keyed by the network's
// seed and the parameter's index, so that the same seed gives the same bits on every machine and device.
// To add one: a static member and an internal record that fills a span; a row in InitializerTests.

using System.Numerics;
using System.Runtime.InteropServices;

namespace HpcNet;

/// <summary>The shape of the distribution that <see cref="Initializer"/> draws from.</summary>
public enum InitializerDistribution
{
    /// <summary>All values in an interval around 0 are equally likely.</summary>
    Uniform,

    /// <summary>Normal around 0.</summary>
    Normal,

    /// <summary>Normal around 0, redrawn beyond two deviations, and widened so that the variance is the wanted one.</summary>
    TruncatedNormal,
}

/// <summary>Which number of connections sets the variance.</summary>
public enum FanMode
{
    /// <summary>Inputs of each unit: activations keep their variance on the way forward.</summary>
    FanIn,

    /// <summary>Units: gradients keep their variance on the way back.</summary>
    FanOut,

    /// <summary>The mean of both.</summary>
    FanAverage,
}

/// <summary>How a parameter begins. The values depend only on the network's seed, the parameter's index and its shape.</summary>
public abstract record Initializer
{
    private protected Initializer()
    {
    }

    /// <summary>Uniform in ±√(6 / (fan in + fan out)) (Glorot and Bengio 2010).</summary>
    public static Initializer GlorotUniform { get; } = Glorot(InitializerDistribution.Uniform);

    /// <summary>Normal with variance 2 / (fan in + fan out) (Glorot and Bengio 2010).</summary>
    public static Initializer GlorotNormal { get; } = Glorot(InitializerDistribution.Normal);

    /// <summary>Uniform in ±√(6 / fan in) (He et al. 2015).</summary>
    public static Initializer HeUniform { get; } = He(InitializerDistribution.Uniform);

    /// <summary>Normal with variance 2 / fan in (He et al. 2015).</summary>
    public static Initializer HeNormal { get; } = He(InitializerDistribution.Normal);

    /// <summary>Uniform in ±√(3 / fan in) (LeCun et al. 1998).</summary>
    public static Initializer LeCunUniform { get; } = LeCun(InitializerDistribution.Uniform);

    /// <summary>Normal with variance 1 / fan in (LeCun et al. 1998); SELU wants it (Klambauer et al. 2017).</summary>
    public static Initializer LeCunNormal { get; } = LeCun(InitializerDistribution.Normal);

    /// <summary>All zero.</summary>
    public static Initializer Zeros { get; } = new ConstantInitializer(0f);

    /// <summary>All one value.</summary>
    /// <param name="value">The value, finite.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="value"/> is infinite or NaN.</exception>
    public static Initializer Constant(float value) => new ConstantInitializer(Ensure.Finite(value, nameof(value)));

    /// <summary>Uniform in [low, high).</summary>
    /// <param name="low">The lower end, finite.</param>
    /// <param name="high">The upper end, finite, at least <paramref name="low"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is infinite or NaN, or the ends are the wrong way round.</exception>
    public static Initializer Uniform(float low, float high)
    {
        Ensure.Finite(low, nameof(low));
        Ensure.Finite(high, nameof(high));
        return high >= low
            ? new UniformInitializer(low, high)
            : throw new ArgumentOutOfRangeException(nameof(high), high, $"high is {high}; expected at least low, {low}.");
    }

    /// <summary>Normal.</summary>
    /// <param name="mean">The mean, finite.</param>
    /// <param name="deviation">The standard deviation, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Initializer Normal(float mean, float deviation) =>
        new NormalInitializer(Ensure.Finite(mean, nameof(mean)), Ensure.FiniteNotNegative(deviation, nameof(deviation)));

    /// <summary>Normal, drawn again where a value is outside of an interval.</summary>
    /// <param name="mean">The mean before truncation, finite.</param>
    /// <param name="deviation">The standard deviation before truncation, finite and above 0.</param>
    /// <param name="low">The lower end; null: two deviations below the mean.</param>
    /// <param name="high">The upper end, above <paramref name="low"/>; null: two deviations above the mean.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN, or the interval is empty or more than eight deviations
    /// away from the mean.</exception>
    public static Initializer TruncatedNormal(float mean, float deviation, float? low = null, float? high = null)
    {
        Ensure.Finite(mean, nameof(mean));
        Ensure.FinitePositive(deviation, nameof(deviation));
        double from = low is { } least ? Ensure.Finite(least, nameof(low)) : mean - 2.0 * deviation;
        double to = high is { } most ? Ensure.Finite(most, nameof(high)) : mean + 2.0 * deviation;
        if (!(from < to))
            throw new ArgumentOutOfRangeException(nameof(high), high, $"high is {to}; expected more than low, {from}.");
        if (from > mean + 8.0 * deviation || to < mean - 8.0 * deviation)
        {
            throw new ArgumentOutOfRangeException(
                nameof(low), low, $"The interval from {from} to {to} is more than eight deviations of {deviation} away from the mean, {mean}.");
        }
        return new TruncatedNormalInitializer(mean, deviation, from, to);
    }

    /// <summary>Glorot and Bengio 2010 ("Xavier"): variance gain² · 2 / (fan in + fan out).</summary>
    /// <param name="distribution">The shape.</param>
    /// <param name="gain">A factor on the deviation, finite and above 0; see <see cref="Gain"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Initializer Glorot(InitializerDistribution distribution, double gain = 1.0) =>
        VarianceScaling(Squared(gain, nameof(gain)), FanMode.FanAverage, distribution, nameof(Glorot));

    /// <summary>He et al. 2015 ("Kaiming"): variance 2 / ((1 + negativeSlope²) · fan), for ReLU and LeakyReLU.</summary>
    /// <param name="distribution">The shape.</param>
    /// <param name="fan">Which fan.</param>
    /// <param name="negativeSlope">The slope of LeakyReLU below 0, finite; 0 for ReLU.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Initializer He(InitializerDistribution distribution, FanMode fan = FanMode.FanIn, double negativeSlope = 0.0) =>
        double.IsFinite(negativeSlope)
            ? VarianceScaling(2.0 / (1.0 + negativeSlope * negativeSlope), fan, distribution, nameof(He))
            : throw new ArgumentOutOfRangeException(
                nameof(negativeSlope), negativeSlope, $"negativeSlope is {negativeSlope}; expected a finite number.");

    /// <summary>LeCun et al. 1998: variance 1 / fan in.</summary>
    /// <param name="distribution">The shape.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such distribution.</exception>
    public static Initializer LeCun(InitializerDistribution distribution) => VarianceScaling(1.0, FanMode.FanIn, distribution, nameof(LeCun));

    /// <summary>Variance scale / fan: what Glorot, He and LeCun are cases of.</summary>
    /// <param name="scale">Finite and above 0.</param>
    /// <param name="fan">Which fan.</param>
    /// <param name="distribution">The shape.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scale"/> is 0, negative, infinite or NaN, or there is no such fan or
    /// distribution.</exception>
    public static Initializer VarianceScaling(double scale, FanMode fan, InitializerDistribution distribution) =>
        VarianceScaling(scale, fan, distribution, nameof(VarianceScaling));

    /// <summary>
    /// gain · Q, where the rows of Q (or the columns, where there are more rows) are orthonormal and Q is uniformly distributed (Saxe,
    /// McClelland and Ganguli 2014).
    /// </summary>
    /// <param name="gain">Finite.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="gain"/> is infinite or NaN.</exception>
    public static Initializer Orthogonal(float gain = 1f) => new OrthogonalInitializer(Ensure.Finite(gain, nameof(gain)));

    /// <summary>
    /// The gain that keeps the variance through an activation, as PyTorch recommends it: ReLU √2, LeakyReLU √(2 / (1 + slope²)), Tanh 5/3,
    /// SELU 3/4, all others 1.
    /// </summary>
    /// <param name="activation">The activation.</param>
    /// <exception cref="ArgumentNullException"><paramref name="activation"/> is null.</exception>
    public static double Gain(Activation activation) => Ensure.NotNull(activation).Name switch
    {
        "ReLU" => Math.Sqrt(2.0),
        "LeakyReLU" => Math.Sqrt(2.0 / (1.0 + (double)activation.Alpha * activation.Alpha)),
        "Tanh" => 5.0 / 3.0,
        "SELU" => 0.75,
        _ => 1.0,
    };

    /// <summary>Fills a parameter.</summary>
    /// <param name="values">[fanIn × fanOut], row-major.</param>
    /// <param name="fanIn">Inputs of each unit.</param>
    /// <param name="fanOut">Units.</param>
    /// <param name="random">The parameter's own random numbers.</param>
    internal abstract void Fill(Span<float> values, int fanIn, int fanOut, Philox random);

    /// <summary>Two independent standard normals, by the Box-Muller transform.</summary>
    private protected static (double, double) Normals(ref Philox random)
    {
        // 1 - u lies in (0, 1], so that the logarithm is finite.
        double radius = Math.Sqrt(-2.0 * Math.Log(1.0 - random.NextUniform()));
        double angle = 2.0 * Math.PI * random.NextUniform();
        return (radius * Math.Cos(angle), radius * Math.Sin(angle));
    }

    private static VarianceScalingInitializer VarianceScaling(double scale, FanMode fan, InitializerDistribution distribution, string name)
    {
        if (!(scale > 0.0 && double.IsFinite(scale)))
            throw new ArgumentOutOfRangeException(nameof(scale), scale, $"scale is {scale}; expected a finite number above 0.");
        if (!Enum.IsDefined(fan))
            throw new ArgumentOutOfRangeException(nameof(fan), fan, $"fan is {(int)fan}; there is no such mode.");
        if (!Enum.IsDefined(distribution))
            throw new ArgumentOutOfRangeException(nameof(distribution), distribution, $"distribution is {(int)distribution}; there is no such one.");
        return new VarianceScalingInitializer(name, scale, fan, distribution);
    }

    private static double Squared(double gain, string name) => gain > 0.0 && double.IsFinite(gain)
        ? gain * gain
        : throw new ArgumentOutOfRangeException(name, gain, $"{name} is {gain}; expected a finite number above 0.");
}

/// <summary>Variance scale / fan.</summary>
internal sealed record VarianceScalingInitializer(string Name, double Scale, FanMode Fan, InitializerDistribution Distribution) : Initializer
{
    // The deviation of a standard normal that is cut at two deviations.
    private const double TruncatedDeviation = 0.87962566103423978;

    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        double fan = Fan switch
        {
            FanMode.FanIn => fanIn,
            FanMode.FanOut => fanOut,
            _ => ((double)fanIn + fanOut) / 2.0,
        };
        double deviation = Math.Sqrt(Scale / fan), limit = Math.Sqrt(3.0) * deviation, wide = deviation / TruncatedDeviation;
        Initializer plain = Distribution switch
        {
            InitializerDistribution.Uniform => new UniformInitializer(-limit, limit),
            InitializerDistribution.Normal => new NormalInitializer(0.0, deviation),
            _ => new TruncatedNormalInitializer(0.0, wide, -2.0 * wide, 2.0 * wide),
        };
        plain.Fill(values, fanIn, fanOut, random);
    }

    public override string ToString() => $"{Name}{Distribution}";
}

/// <summary>Uniform in [low, high).</summary>
internal sealed record UniformInitializer(double Low, double High) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        double middle = 0.5 * (Low + High), half = 0.5 * (High - Low);
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(middle + half * (2.0 * random.NextUniform() - 1.0));
    }

    public override string ToString() => FormattableString.Invariant($"Uniform({Low}, {High})");
}

/// <summary>Normal, by the Box-Muller transform in double.</summary>
internal sealed record NormalInitializer(double Mean, double Deviation) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        for (int i = 0; i < values.Length; i += 2)
        {
            var (first, second) = Normals(ref random);
            values[i] = (float)(Mean + Deviation * first);
            if (i + 1 < values.Length)
                values[i + 1] = (float)(Mean + Deviation * second);
        }
    }

    public override string ToString() => FormattableString.Invariant($"Normal({Mean}, {Deviation})");
}

/// <summary>Normal within an interval, by rejection: from the normal where the interval holds enough of it, else from the uniform.</summary>
internal sealed record TruncatedNormalInitializer(double Mean, double Deviation, double Low, double High) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        double low = (Low - Mean) / Deviation, high = (High - Mean) / Deviation;
        // The interval's point nearest to the mean, where the density is largest.
        double peak = low > 0.0 ? low : high < 0.0 ? high : 0.0;
        bool normal = low <= 0.0 && high >= 0.0 && high - low > 2.5;
        int filled = 0;
        while (filled < values.Length)
        {
            if (normal)
            {
                var (first, second) = Normals(ref random);
                Take(values, first);
                Take(values, second);
            }
            else
            {
                // Beyond the mean the density falls as exp(-peak t): an interval much longer than that is cut where nothing is left of it.
                double length = Math.Min(high - low, 40.0 / Math.Max(1.0, Math.Abs(peak)));
                double from = peak > 0.0 || peak == low ? low : peak < 0.0 ? high - length : low;
                double z = from + length * random.NextUniform();
                if (random.NextUniform() < Math.Exp(0.5 * (peak * peak - z * z)))
                    Take(values, z);
            }
        }

        void Take(Span<float> into, double z)
        {
            if (z < low || z > high || filled == into.Length)
                return;
            into[filled++] = (float)Math.Clamp(Mean + Deviation * z, Low, High);
        }
    }

    public override string ToString() => FormattableString.Invariant($"TruncatedNormal({Mean}, {Deviation}, {Low}, {High})");
}

/// <summary>Orthonormal rows or columns, from normals by Gram and Schmidt, twice, which is as good as Householder's reflections.</summary>
internal sealed record OrthogonalInitializer(float Factor) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        // Vectors of the longer extent, as many as the shorter one.
        int count = Math.Min(fanIn, fanOut), length = Math.Max(fanIn, fanOut);
        var vectors = new double[count][];
        for (int i = 0; i < count; i++)
        {
            double[] vector = vectors[i] = new double[length];
            double norm;
            do
            {
                for (int j = 0; j < length; j += 2)
                {
                    var (first, second) = Normals(ref random);
                    vector[j] = first;
                    if (j + 1 < length)
                        vector[j + 1] = second;
                }
                for (int pass = 0; pass < 2; pass++)
                {
                    for (int k = 0; k < i; k++)
                        AddScaled(vector, vectors[k], -Dot(vector, vectors[k]));
                }
                norm = Math.Sqrt(Dot(vector, vector));
                // What is left of a vector that lay among the others is noise: another one then.
            }
            while (norm < 1e-6);
            for (int j = 0; j < length; j++)
                vector[j] /= norm;
        }
        for (int row = 0; row < fanIn; row++)
        {
            for (int column = 0; column < fanOut; column++)
                values[row * fanOut + column] = (float)(Factor * (fanIn <= fanOut ? vectors[row][column] : vectors[column][row]));
        }
    }

    public override string ToString() => FormattableString.Invariant($"Orthogonal({Factor})");

    private static double Dot(double[] a, double[] b)
    {
        ReadOnlySpan<Vector<double>> x = MemoryMarshal.Cast<double, Vector<double>>(a), y = MemoryMarshal.Cast<double, Vector<double>>(b);
        Vector<double> sums = Vector<double>.Zero;
        for (int i = 0; i < x.Length; i++)
            sums += x[i] * y[i];
        double sum = Vector.Sum(sums);
        for (int i = x.Length * Vector<double>.Count; i < a.Length; i++)
            sum += a[i] * b[i];
        return sum;
    }

    private static void AddScaled(double[] a, double[] b, double factor)
    {
        Span<Vector<double>> x = MemoryMarshal.Cast<double, Vector<double>>(a.AsSpan());
        ReadOnlySpan<Vector<double>> y = MemoryMarshal.Cast<double, Vector<double>>(b);
        for (int i = 0; i < x.Length; i++)
            x[i] += factor * y[i];
        for (int i = x.Length * Vector<double>.Count; i < a.Length; i++)
            a[i] += factor * b[i];
    }
}

/// <summary>All one value.</summary>
internal sealed record ConstantInitializer(float Value) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random) => values.Fill(Value);

    public override string ToString() => Value == 0f ? nameof(Zeros) : FormattableString.Invariant($"Constant({Value})");
}
