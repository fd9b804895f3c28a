// The activations of hidden layers: those of the library's table, and the parametric ReLU, which has a learned slope and so is a layer.

namespace HpcNet.Cli.Choices;

/// <summary>What a hidden layer does to its outputs.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Function">The function; null: a layer of its own.</param>
/// <param name="Layer">That layer.</param>
internal sealed record ActivationChoice(string Name, Activation? Function, Func<Layer>? Layer = null) : Choice(Name)
{
    /// <summary>The activations.</summary>
    public static IReadOnlyList<ActivationChoice> All { get; } =
    [
        .. Activation.All.Select(a => new ActivationChoice(a.Name.ToLowerInvariant(), a)),
        new("prelu", null, static () => new PRelu()),
    ];

    /// <summary>The one that is taken where none is named.</summary>
    public static ActivationChoice Default { get; } = All.Single(a => a.Function == Activation.ReLU);
}
