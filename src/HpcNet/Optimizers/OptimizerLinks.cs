// OptimizerLinks.cs: the links of an optimizer's chain, as values. What each records is in TrainingProgram.cs.

using System.Globalization;

namespace HpcNet;

/// <summary>A link of an optimizer's chain; the links form a list, so that records compare by value.</summary>
internal abstract record OptimizerLink
{
    /// <summary>The link added before this one.</summary>
    public OptimizerLink? Before { get; init; }

    internal abstract string Text();

    private protected static string Text(string name, float value, bool biases = false) =>
        string.Create(CultureInfo.InvariantCulture, $"{name}({value}{(biases ? ", biases" : "")})");
}

internal sealed record ClipByNormLink(float MaxNorm, float Order) : OptimizerLink
{
    internal override string Text() => Order == 2f
        ? Text("ClipByNorm", MaxNorm)
        : string.Create(CultureInfo.InvariantCulture, $"ClipByNorm({MaxNorm}, order {Order})");
}

internal sealed record ClipByValueLink(float Limit) : OptimizerLink
{
    internal override string Text() => Text("ClipByValue", Limit);
}

/// <summary>By which method a penalty was asked for.</summary>
internal enum Written
{
    WeightDecay,
    L1,
    L2,
    ElasticNet,
}

/// <summary>g ← g + L1 · sign(p) + L2 · p.</summary>
internal sealed record PenaltyLink(float L1, float L2, bool Biases, Written Written) : OptimizerLink
{
    internal override string Text() => Written switch
    {
        Written.WeightDecay => Text("WeightDecay", L2, Biases),
        Written.L1 => Text("L1", L1, Biases),
        Written.L2 => Text("L2", L2 / 2f, Biases),
        _ => string.Create(CultureInfo.InvariantCulture, $"ElasticNet({L1}, {L2 / 2f}{(Biases ? ", biases" : "")})"),
    };
}

internal sealed record DecoupledWeightDecayLink(float Rate, bool Biases) : OptimizerLink
{
    internal override string Text() => Text("DecoupledWeightDecay", Rate, Biases);
}

internal sealed record MaxNormLink(float MaxNorm) : OptimizerLink
{
    internal override string Text() => Text("MaxNorm", MaxNorm);
}

internal sealed record LearningRateDropoutLink(float Rate) : OptimizerLink
{
    internal override string Text() => Text("LearningRateDropout", Rate);
}
