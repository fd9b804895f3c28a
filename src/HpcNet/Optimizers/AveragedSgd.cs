// AveragedSgd.cs: stochastic gradient descent that keeps the average of its parameters. The formula is in native/formulas/rules.h.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Averaged stochastic gradient descent (Polyak and Juditsky 1992), as PyTorch's ASGD has it: η = lr / (1 + λ · lr · (t − 1))^α,
/// p ← p · (1 − λη) − η · g; the average ā ← ā + (p − ā) / max(1, t − 1 − start). Training goes on with p;
/// <see cref="Trainer.ReadAverage"/> and <see cref="Trainer.AdoptAverages"/> give the averages.
/// </summary>
public sealed record AveragedSgd : Optimizer
{
    /// <summary>Describes averaged stochastic gradient descent.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="lambda">The decay, λ; finite, 0 or more.</param>
    /// <param name="alpha">The power by which the rate falls; finite, 0 or more.</param>
    /// <param name="start">The step at which averaging begins; before, the average is the parameter itself. Finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public AveragedSgd(float learningRate = 1e-2f, float lambda = 1e-4f, float alpha = 0.75f, float start = 1e6f)
        : base(learningRate)
    {
        Lambda = Ensure.FiniteNotNegative(lambda, nameof(lambda));
        Alpha = Ensure.FiniteNotNegative(alpha, nameof(alpha));
        Start = Ensure.FiniteNotNegative(start, nameof(start));
    }

    /// <summary>The decay.</summary>
    public float Lambda { get; }

    /// <summary>The power by which the rate falls.</summary>
    public float Alpha { get; }

    /// <summary>The step at which averaging begins.</summary>
    public float Start { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_ASGD;

    internal override float[] Hyperparameters() => [Lambda, Alpha, Start];

    internal override string RuleText() => $"AveragedSgd({Text(LearningRate)})";
}
