// The initializers of the command line. To add one: a row. Left out: a constant, which like zeros makes all units of a layer alike.

namespace HpcNet.Cli.Choices;

/// <summary>How weights begin.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Initializer">The initializer.</param>
internal sealed record InitializerChoice(string Name, Initializer Initializer) : Choice(Name)
{
    // The deviation of plain distributions where no fan sets it; the customary one.
    private const float Small = 0.05f;

    /// <summary>The initializers.</summary>
    public static IReadOnlyList<InitializerChoice> All { get; } =
    [
        new("glorot-uniform", Initializer.GlorotUniform),
        new("glorot-normal", Initializer.GlorotNormal),
        new("he-uniform", Initializer.HeUniform),
        new("he-normal", Initializer.HeNormal),
        new("lecun-uniform", Initializer.LeCunUniform),
        new("lecun-normal", Initializer.LeCunNormal),
        new("orthogonal", Initializer.Orthogonal()),
        new("uniform", Initializer.Uniform(-Small, Small)),
        new("normal", Initializer.Normal(0f, Small)),
        new("truncated-normal", Initializer.TruncatedNormal(0f, Small)),
        new("zeros", Initializer.Zeros) { OnlyWithoutHidden = true },
    ];

    /// <summary>Whether hidden layers could not learn with it, all their units being and staying alike.</summary>
    public bool OnlyWithoutHidden { get; init; }
}
