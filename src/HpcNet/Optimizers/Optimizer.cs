// Optimizer.cs: an optimizer is a rule over flat buffers (native/formulas/rules.h) and a chain of links in front of it and
// behind it. Links are not parameters that every rule repeats: clipping and decay know nothing of Adam, Adam nothing of them.
// To add a rule: a record like Adam with its native id and its hyperparameters in the native order. To add a link: a record
// derived from OptimizerLink and a method below that appends it.

using System.Globalization;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// An optimizer: an immutable description of how gradients change parameters. Chain links are added by methods that return a
/// new optimizer: <c>new Adam(1e-3f).ClipByNorm(1f)</c>. Links that change the gradient act in the order in which they were
/// added, before the rule.
/// </summary>
public abstract record Optimizer
{
    private protected Optimizer(float learningRate) => LearningRate = Ensure.FinitePositive(learningRate, nameof(learningRate));

    /// <summary>The learning rate, finite and above 0; a <see cref="Schedule"/> multiplies it.</summary>
    /// <exception cref="ArgumentOutOfRangeException">0, negative, infinite or NaN.</exception>
    public float LearningRate { get; init => field = Ensure.FinitePositive(value, nameof(LearningRate)); }

    /// <summary>The last link added; each knows the one before it.</summary>
    internal OptimizerLink? Chain { get; init; }

    /// <summary>The native rule.</summary>
    internal abstract hpc_rule Rule { get; }

    /// <summary>The rule's hyperparameters after the learning rate, in the native order.</summary>
    internal abstract float[] Hyperparameters();

    /// <summary>The rule with its settings, without links.</summary>
    internal abstract string RuleText();

    /// <summary>
    /// Scales all gradients together so that their Euclidean norm is at most <paramref name="maxNorm"/>:
    /// g ← g · min(1, maxNorm / (‖g‖ + 10⁻⁶)) (Pascanu et al. 2013).
    /// </summary>
    /// <param name="maxNorm">The largest norm, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxNorm"/> is 0, negative, infinite or NaN.</exception>
    public Optimizer ClipByNorm(float maxNorm) =>
        this with { Chain = new ClipByNormLink(Ensure.FinitePositive(maxNorm, nameof(maxNorm))) { Before = Chain } };

    /// <summary>L2 regularization: g ← g + l2 · p, for weights; biases do not decay.</summary>
    /// <param name="l2">The factor, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="l2"/> is negative, infinite or NaN.</exception>
    public Optimizer WeightDecay(float l2) =>
        this with { Chain = new WeightDecayLink(Ensure.FiniteNotNegative(l2, nameof(l2))) { Before = Chain } };

    /// <summary>
    /// Decoupled weight decay: p ← p · (1 − learning rate · rate) before the rule, for weights; biases do not decay
    /// (Loshchilov and Hutter 2019; with <see cref="Adam"/> this is AdamW).
    /// </summary>
    /// <param name="rate">The factor, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rate"/> is negative, infinite or NaN.</exception>
    public Optimizer DecoupledWeightDecay(float rate) =>
        this with { Chain = new DecoupledWeightDecayLink(Ensure.FiniteNotNegative(rate, nameof(rate))) { Before = Chain } };

    /// <summary>The optimizer as it would be written, for example <c>Adam(0.001).ClipByNorm(1)</c>.</summary>
    public sealed override string ToString() => RuleText() + string.Concat(Links().Select(link => "." + link.Text()));

    /// <summary>The links in the order in which they were added.</summary>
    internal OptimizerLink[] Links()
    {
        var links = new List<OptimizerLink>();
        for (OptimizerLink? link = Chain; link is not null; link = link.Before)
            links.Add(link);
        links.Reverse();
        return [.. links];
    }

    private protected static string Text(float value) => value.ToString(CultureInfo.InvariantCulture);
}

/// <summary>
/// Stochastic gradient descent, with momentum where that is not 0: v ← momentum · v + (1 − dampening) · g (the first step:
/// v = g), p ← p − lr · v; Nesterov's form: p ← p − lr · (g + momentum · v) (Sutskever et al. 2013).
/// </summary>
public sealed record Sgd : Optimizer
{
    /// <summary>Describes stochastic gradient descent.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="momentum">0 ≤ momentum &lt; 1; 0: plain descent without a state.</param>
    /// <param name="dampening">0 ≤ dampening ≤ 1.</param>
    /// <param name="nesterov">Nesterov's form; needs a momentum and no dampening.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    /// <exception cref="ArgumentException"><paramref name="nesterov"/> without momentum or with dampening.</exception>
    public Sgd(float learningRate, float momentum = 0f, float dampening = 0f, bool nesterov = false)
        : base(learningRate)
    {
        Momentum = Ensure.BelowOne(momentum, nameof(momentum));
        Dampening = Ensure.UnitInterval(dampening, nameof(dampening));
        if (nesterov && (momentum == 0f || dampening != 0f))
            throw new ArgumentException("nesterov needs a momentum above 0 and a dampening of 0.", nameof(nesterov));
        if (dampening != 0f && momentum == 0f)
            throw new ArgumentException("dampening has no meaning without a momentum.", nameof(dampening));
        Nesterov = nesterov;
    }

    /// <summary>The share of the last velocity that is kept.</summary>
    public float Momentum { get; }

    /// <summary>The share of the gradient that is held back.</summary>
    public float Dampening { get; }

    /// <summary>Whether the step looks ahead.</summary>
    public bool Nesterov { get; }

    internal override hpc_rule Rule => Momentum == 0f ? hpc_rule.HPC_RULE_SGD : hpc_rule.HPC_RULE_MOMENTUM;

    internal override float[] Hyperparameters() => Momentum == 0f ? [] : [Momentum, Dampening, Nesterov ? 1f : 0f];

    internal override string RuleText() =>
        Momentum == 0f ? $"Sgd({Text(LearningRate)})"
        : $"Sgd({Text(LearningRate)}, {Text(Momentum)}{(Dampening != 0f ? $", dampening {Text(Dampening)}" : "")}{(Nesterov ? ", Nesterov" : "")})";
}

/// <summary>
/// Adam (Kingma and Ba 2015): m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − lr · m̂ / (√v̂ + ε), with the bias-corrected
/// m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ).
/// </summary>
public sealed record Adam : Optimizer
{
    /// <summary>Describes Adam.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the first moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the root of the second moment; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Adam(float learningRate = 1e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f)
        : base(learningRate)
    {
        Beta1 = Ensure.BelowOne(beta1, nameof(beta1));
        Beta2 = Ensure.BelowOne(beta2, nameof(beta2));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
    }

    /// <summary>Decay of the first moment.</summary>
    public float Beta1 { get; }

    /// <summary>Decay of the second moment.</summary>
    public float Beta2 { get; }

    /// <summary>Added to the root of the second moment.</summary>
    public float Epsilon { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_ADAM;

    internal override float[] Hyperparameters() => [Beta1, Beta2, Epsilon];

    internal override string RuleText() => $"Adam({Text(LearningRate)})";
}

/// <summary>A link of an optimizer's chain; the links form a list, so that records compare by value.</summary>
internal abstract record OptimizerLink
{
    /// <summary>The link added before this one.</summary>
    public OptimizerLink? Before { get; init; }

    internal abstract string Text();
}

internal sealed record ClipByNormLink(float MaxNorm) : OptimizerLink
{
    internal override string Text() => string.Create(CultureInfo.InvariantCulture, $"ClipByNorm({MaxNorm})");
}

internal sealed record WeightDecayLink(float L2) : OptimizerLink
{
    internal override string Text() => string.Create(CultureInfo.InvariantCulture, $"WeightDecay({L2})");
}

internal sealed record DecoupledWeightDecayLink(float Rate) : OptimizerLink
{
    internal override string Text() => string.Create(CultureInfo.InvariantCulture, $"DecoupledWeightDecay({Rate})");
}
