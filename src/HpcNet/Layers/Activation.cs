// Activation.cs: the managed side of the one table of activations (formulas: native/formulas/activations.h), and the row-wise
// ones, which are instructions of their own.
// To add one: a line in the table below, named like the native row; a test holds the two tables against each other, and
// gradient checks, files and the command line find it there.

using System.Globalization;
using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// An activation function y = f(x), elementwise but for <see cref="Softmax"/> and <see cref="LogSoftmax"/>, which work on rows.
/// Formulas and derivatives are the native table's (<c>native/formulas/activations.h</c>); this value names one of its rows
/// with its parameters. Derivatives at kinks follow PyTorch: relu′(0) = 0.
/// </summary>
public sealed record Activation
{
    private const int NoRow = -1;

    private static readonly List<Activation> Table = [];

    private readonly Func<float, float, Activation>? _with;

    /// <summary>f(x) = x.</summary>
    public static Activation Linear { get; } = Define("Linear", hpc_activation.HPC_ACTIVATION_LINEAR);

    /// <summary>f(x) = max(0, x).</summary>
    public static Activation ReLU { get; } = Define("ReLU", hpc_activation.HPC_ACTIVATION_RELU);

    /// <summary>f(x) = 1 / (1 + e^-x).</summary>
    public static Activation Sigmoid { get; } = Define("Sigmoid", hpc_activation.HPC_ACTIVATION_SIGMOID);

    /// <summary>f(x) = tanh x.</summary>
    public static Activation Tanh { get; } = Define("Tanh", hpc_activation.HPC_ACTIVATION_TANH);

    /// <summary>f(x) = 1 for x &gt; 0, else 0: the threshold unit (Rosenblatt 1958). Its derivative is 0 everywhere.</summary>
    public static Activation Step { get; } = Define("Step", hpc_activation.HPC_ACTIVATION_STEP);

    /// <summary>f(x) = min(max(0, x), 6).</summary>
    public static Activation ReLU6 { get; } = Define("ReLU6", hpc_activation.HPC_ACTIVATION_RELU6);

    /// <summary>f(x) = x for x &gt; 0, else 0.01 x. <see cref="CreateLeakyReLU"/> makes others.</summary>
    public static Activation LeakyReLU { get; } = Define(
        "LeakyReLU", hpc_activation.HPC_ACTIVATION_LEAKY_RELU, static (slope, _) => CreateLeakyReLU(slope), 0.01f);

    /// <summary>f(x) = x for x &gt; 0, else e^x − 1 (Clevert et al. 2016). <see cref="CreateELU"/> makes others.</summary>
    public static Activation ELU { get; } = Define("ELU", hpc_activation.HPC_ACTIVATION_ELU, static (alpha, _) => CreateELU(alpha), 1f);

    /// <summary>f(x) = max(0, x) + min(0, e^x − 1) (Barron 2017). <see cref="CreateCELU"/> makes others.</summary>
    public static Activation CELU { get; } = Define("CELU", hpc_activation.HPC_ACTIVATION_CELU, static (alpha, _) => CreateCELU(alpha), 1f);

    /// <summary>f(x) = 1.0507 (max(0, x) + min(0, 1.6733 (e^x − 1))) (Klambauer et al. 2017).</summary>
    public static Activation SELU { get; } = Define("SELU", hpc_activation.HPC_ACTIVATION_SELU);

    /// <summary>f(x) = log(1 + e^x), and x itself above 20. <see cref="CreateSoftplus"/> makes others.</summary>
    public static Activation Softplus { get; } = Define(
        "Softplus", hpc_activation.HPC_ACTIVATION_SOFTPLUS, static (beta, threshold) => CreateSoftplus(beta, threshold), 1f, 20f);

    /// <summary>f(x) = x / (1 + |x|).</summary>
    public static Activation Softsign { get; } = Define("Softsign", hpc_activation.HPC_ACTIVATION_SOFTSIGN);

    /// <summary>f(x) = x Φ(x), Φ being the normal distribution's function (Hendrycks and Gimpel 2016); PyTorch's default form.</summary>
    public static Activation GELU { get; } = Define("GELU", hpc_activation.HPC_ACTIVATION_GELU);

    /// <summary>f(x) = x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, PyTorch's <c>approximate="tanh"</c>.</summary>
    public static Activation GELUTanh { get; } = Define("GELUTanh", hpc_activation.HPC_ACTIVATION_GELU_TANH);

    /// <summary>f(x) = x / (1 + e^-x), also called swish (Ramachandran et al. 2017).</summary>
    public static Activation SiLU { get; } = Define("SiLU", hpc_activation.HPC_ACTIVATION_SILU);

    /// <summary>f(x) = x tanh(log(1 + e^x)) (Misra 2019).</summary>
    public static Activation Mish { get; } = Define("Mish", hpc_activation.HPC_ACTIVATION_MISH);

    /// <summary>f(x) = min(max(0, x + 3), 6) / 6.</summary>
    public static Activation HardSigmoid { get; } = Define("HardSigmoid", hpc_activation.HPC_ACTIVATION_HARD_SIGMOID);

    /// <summary>f(x) = x min(max(0, x + 3), 6) / 6 (Howard et al. 2019).</summary>
    public static Activation HardSwish { get; } = Define("HardSwish", hpc_activation.HPC_ACTIVATION_HARD_SWISH);

    /// <summary>f(x) = min(max(−1, x), 1). <see cref="CreateHardTanh"/> makes others.</summary>
    public static Activation HardTanh { get; } = Define(
        "HardTanh", hpc_activation.HPC_ACTIVATION_HARD_TANH, static (minimum, maximum) => CreateHardTanh(minimum, maximum), -1f, 1f);

    /// <summary>f(x) = log(1 / (1 + e^-x)).</summary>
    public static Activation LogSigmoid { get; } = Define("LogSigmoid", hpc_activation.HPC_ACTIVATION_LOG_SIGMOID);

    /// <summary>f(x) = x − tanh x.</summary>
    public static Activation Tanhshrink { get; } = Define("Tanhshrink", hpc_activation.HPC_ACTIVATION_TANHSHRINK);

    /// <summary>f(x)ⱼ = e^xⱼ / Σ e^xₖ over each row.</summary>
    public static Activation Softmax { get; } = DefineRowWise("Softmax");

    /// <summary>f(x)ⱼ = xⱼ − log Σ e^xₖ over each row.</summary>
    public static Activation LogSoftmax { get; } = DefineRowWise("LogSoftmax");

    private Activation(string name, int nativeId, float alpha, float beta, Func<float, float, Activation>? with)
    {
        Name = name;
        NativeId = nativeId;
        Alpha = alpha;
        Beta = beta;
        _with = with;
    }

    /// <summary>
    /// Every activation with its default parameters: those of the native table in its order, then the row-wise ones. The
    /// parametric ReLU, whose slope is learned, is the layer <see cref="PRelu"/>.
    /// </summary>
    public static IReadOnlyList<Activation> All => Table;

    /// <summary>The name, as files and the command line spell it; compared without regard to case.</summary>
    public string Name { get; }

    /// <summary>The first parameter of the formula; 0 where the formula has none.</summary>
    public float Alpha { get; }

    /// <summary>The second parameter of the formula; 0 where the formula has none.</summary>
    public float Beta { get; }

    /// <summary>Whether a whole row takes part in each output (softmax and its logarithm).</summary>
    internal bool IsRowWise => NativeId == NoRow;

    internal int NativeId { get; }

    internal bool IsLinear => NativeId == (int)hpc_activation.HPC_ACTIVATION_LINEAR;

    /// <summary>f(x) = x for x &gt; 0, else slope · x.</summary>
    /// <param name="negativeSlope">The slope below 0, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="negativeSlope"/> is negative, infinite or NaN.</exception>
    public static Activation CreateLeakyReLU(float negativeSlope) =>
        LeakyReLU.Copy(Ensure.FiniteNotNegative(negativeSlope, nameof(negativeSlope)));

    /// <summary>f(x) = x for x &gt; 0, else alpha (e^x − 1) (Clevert et al. 2016).</summary>
    /// <param name="alpha">Finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="alpha"/> is negative, infinite or NaN.</exception>
    public static Activation CreateELU(float alpha) => ELU.Copy(Ensure.FiniteNotNegative(alpha, nameof(alpha)));

    /// <summary>f(x) = max(0, x) + min(0, alpha (e^(x / alpha) − 1)) (Barron 2017).</summary>
    /// <param name="alpha">Finite, above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="alpha"/> is 0, negative, infinite or NaN.</exception>
    public static Activation CreateCELU(float alpha) => CELU.Copy(Ensure.FinitePositive(alpha, nameof(alpha)));

    /// <summary>f(x) = log(1 + e^(beta x)) / beta, and x itself where beta x is above the threshold, as PyTorch has it.</summary>
    /// <param name="beta">The steepness, finite, above 0.</param>
    /// <param name="threshold">Where the function becomes x, finite; 20 by default.</param>
    /// <exception cref="ArgumentOutOfRangeException">A parameter is out of its range.</exception>
    public static Activation CreateSoftplus(float beta, float threshold = 20f) =>
        Softplus.Copy(Ensure.FinitePositive(beta, nameof(beta)), Ensure.Finite(threshold, nameof(threshold)));

    /// <summary>f(x) = min(max(minimum, x), maximum).</summary>
    /// <param name="minimum">Finite.</param>
    /// <param name="maximum">Finite, above <paramref name="minimum"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A bound is infinite or NaN, or the maximum is not above the minimum.</exception>
    public static Activation CreateHardTanh(float minimum, float maximum)
    {
        Ensure.Finite(minimum, nameof(minimum));
        Ensure.Finite(maximum, nameof(maximum));
        return maximum > minimum
            ? HardTanh.Copy(minimum, maximum)
            : throw new ArgumentOutOfRangeException(nameof(maximum), maximum, $"maximum is {maximum}; expected more than the minimum, {minimum}.");
    }

    /// <summary>What backward needs from forward, as the native table says.</summary>
    internal unsafe hpc_keeps Keeps()
    {
        hpc_activation_info info;
        Status.Check(Native.hpc_get_activation_info(NativeId, &info));
        return (hpc_keeps)info.keeps;
    }

    /// <summary>Finds an activation by name, without regard to case.</summary>
    /// <param name="name">The name, for example <c>relu</c>.</param>
    /// <exception cref="ArgumentException">No activation has that name; the message lists those there are.</exception>
    public static Activation Parse(string name) =>
        Find(Ensure.NotNull(name)) ?? throw new ArgumentException(
            $"There is no activation '{name}'; there are {string.Join(", ", Table.Select(a => a.Name))}.", nameof(name));

    internal static Activation? Find(string name) =>
        Table.Find(a => string.Equals(a.Name, name, StringComparison.OrdinalIgnoreCase));

    /// <summary>Writes the name and, where the formula has parameters, <c>alpha</c> and <c>beta</c>, into the current object.</summary>
    internal void Write(Utf8JsonWriter json)
    {
        json.WriteString("activation", Name);
        if (_with is null)
            return;
        json.WriteNumber("alpha", Alpha);
        json.WriteNumber("beta", Beta);
    }

    /// <summary>Reads what <see cref="Write"/> wrote; parameters that are not there are the defaults.</summary>
    internal static Activation Read(JsonElement json)
    {
        Activation named = JsonFields.Activation(json, "activation");
        return named._with is null
            ? named
            : named._with(JsonFields.Float(json, "alpha", named.Alpha), JsonFields.Float(json, "beta", named.Beta));
    }

    /// <summary>Whether name and parameters are the same.</summary>
    /// <param name="other">What it is compared with.</param>
    public bool Equals(Activation? other) => other is not null && (Name, Alpha, Beta) == (other.Name, other.Alpha, other.Beta);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Name, Alpha, Beta);

    /// <summary>The name, with the parameters where they are not the default ones.</summary>
    public override string ToString()
    {
        if (Equals(Find(Name)))
            return Name;
        string beta = Beta == 0f ? "" : string.Create(CultureInfo.InvariantCulture, $", {Beta}");
        return string.Create(CultureInfo.InvariantCulture, $"{Name}({Alpha}{beta})");
    }

    private Activation Copy(float alpha, float beta = 0f) => new(Name, NativeId, alpha, beta, _with);

    private static Activation Define(
        string name, hpc_activation id, Func<float, float, Activation>? with = null, float alpha = 0f, float beta = 0f) =>
        Add(new Activation(name, (int)id, alpha, beta, with));

    private static Activation DefineRowWise(string name) => Add(new Activation(name, NoRow, 0f, 0f, null));

    private static Activation Add(Activation activation)
    {
        Table.Add(activation);
        return activation;
    }
}
