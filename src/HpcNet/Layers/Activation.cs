// Activation.cs: the managed side of the one table of activations (formulas: native/formulas/activations.h).
// To add one: a line in the table below, named like the native row; a test holds the two tables against each other, and
// gradient checks, files and the command line find it there.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// An elementwise activation function y = f(x). Formulas and derivatives are the native table's
/// (<c>native/formulas/activations.h</c>); this value names one of its rows with its parameters.
/// </summary>
public sealed record Activation
{
    private static readonly List<Activation> Table = [];

    /// <summary>f(x) = x.</summary>
    public static Activation Linear { get; } = Define("Linear", hpc_activation.HPC_ACTIVATION_LINEAR);

    /// <summary>f(x) = max(0, x).</summary>
    public static Activation ReLU { get; } = Define("ReLU", hpc_activation.HPC_ACTIVATION_RELU);

    /// <summary>f(x) = 1 / (1 + e^-x).</summary>
    public static Activation Sigmoid { get; } = Define("Sigmoid", hpc_activation.HPC_ACTIVATION_SIGMOID);

    /// <summary>f(x) = tanh x.</summary>
    public static Activation Tanh { get; } = Define("Tanh", hpc_activation.HPC_ACTIVATION_TANH);

    private Activation(string name, int nativeId, float alpha, float beta)
    {
        Name = name;
        NativeId = nativeId;
        Alpha = alpha;
        Beta = beta;
    }

    /// <summary>Every activation with its default parameters, in the order of the native table.</summary>
    public static IReadOnlyList<Activation> All => Table;

    /// <summary>The name, as files and the command line spell it; compared without regard to case.</summary>
    public string Name { get; }

    /// <summary>The first parameter of the formula; 0 where the formula has none.</summary>
    public float Alpha { get; internal init; }

    /// <summary>The second parameter of the formula; 0 where the formula has none.</summary>
    public float Beta { get; internal init; }

    internal int NativeId { get; }

    internal bool IsLinear => NativeId == (int)hpc_activation.HPC_ACTIVATION_LINEAR;

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

    /// <summary>The name.</summary>
    public override string ToString() => Name;

    private static Activation Define(string name, hpc_activation id, float alpha = 0f, float beta = 0f)
    {
        var activation = new Activation(name, (int)id, alpha, beta);
        Table.Add(activation);
        return activation;
    }
}
