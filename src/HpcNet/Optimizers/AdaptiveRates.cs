// AdaptiveRates.cs: rules that give each parameter a rate of its own from the sizes or signs of its gradients: Adagrad, RmsProp,
// Adadelta, Rprop. The formulas are in native/formulas/rules.h.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Adagrad (Duchi, Hazan and Singer 2011): s ← s + g², p ← p − lr / (1 + (t − 1) · decay) · g / (√s + ε).
/// </summary>
public sealed record Adagrad : Optimizer
{
    /// <summary>Describes Adagrad.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="learningRateDecay">Finite, 0 or more.</param>
    /// <param name="initialAccumulator">What the sum of squares begins with; finite, 0 or more.</param>
    /// <param name="epsilon">Added to the root of the sum; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Adagrad(float learningRate = 1e-2f, float learningRateDecay = 0f, float initialAccumulator = 0f, float epsilon = 1e-10f)
        : base(learningRate)
    {
        LearningRateDecay = Ensure.FiniteNotNegative(learningRateDecay, nameof(learningRateDecay));
        InitialAccumulator = Ensure.FiniteNotNegative(initialAccumulator, nameof(initialAccumulator));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
    }

    /// <summary>How fast the learning rate falls with the steps.</summary>
    public float LearningRateDecay { get; }

    /// <summary>What the sum of squares begins with.</summary>
    public float InitialAccumulator { get; }

    /// <summary>Added to the root of the sum.</summary>
    public float Epsilon { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_ADAGRAD;

    internal override float[] Hyperparameters() => [LearningRateDecay, InitialAccumulator, Epsilon];

    internal override string RuleText() => $"Adagrad({Text(LearningRate)})";
}

/// <summary>
/// RMSprop (Tieleman and Hinton 2012): v ← αv + (1 − α)g², p ← p − lr · g / (√v + ε). Centered (Graves 2013): v less the square of the
/// gradient's mean, that is, its variance. With momentum: b ← momentum · b + g / (√v + ε), p ← p − lr · b.
/// </summary>
public sealed record RmsProp : Optimizer
{
    /// <summary>Describes RMSprop.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="alpha">Decay of the mean of squares, 0 ≤ α &lt; 1.</param>
    /// <param name="epsilon">Added to the root; finite and above 0.</param>
    /// <param name="momentum">0 ≤ momentum &lt; 1.</param>
    /// <param name="centered">Whether the gradient's variance counts instead of its mean square.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public RmsProp(float learningRate = 1e-2f, float alpha = 0.99f, float epsilon = 1e-8f, float momentum = 0f, bool centered = false)
        : base(learningRate)
    {
        Alpha = Ensure.BelowOne(alpha, nameof(alpha));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
        Momentum = Ensure.BelowOne(momentum, nameof(momentum));
        Centered = centered;
    }

    /// <summary>Decay of the mean of squares.</summary>
    public float Alpha { get; }

    /// <summary>Added to the root.</summary>
    public float Epsilon { get; }

    /// <summary>The share of the last velocity that is kept.</summary>
    public float Momentum { get; }

    /// <summary>Whether the gradient's variance counts.</summary>
    public bool Centered { get; }

    internal override hpc_rule Rule => (Centered, Momentum) switch
    {
        (false, 0f) => hpc_rule.HPC_RULE_RMSPROP,
        (false, _) => hpc_rule.HPC_RULE_RMSPROP_MOMENTUM,
        (true, 0f) => hpc_rule.HPC_RULE_RMSPROP_CENTERED,
        _ => hpc_rule.HPC_RULE_RMSPROP_CENTERED_MOMENTUM,
    };

    internal override float[] Hyperparameters() => Momentum == 0f ? [Alpha, Epsilon] : [Alpha, Epsilon, Momentum];

    internal override int MomentumIndex => Momentum == 0f ? -1 : 2;

    internal override string RuleText() =>
        $"RmsProp({Text(LearningRate)}{(Momentum != 0f ? $", momentum {Text(Momentum)}" : "")}{(Centered ? ", centered" : "")})";
}

/// <summary>
/// Adadelta (Zeiler 2012): v ← ρv + (1 − ρ)g², Δ = √(u + ε) / √(v + ε) · g, u ← ρu + (1 − ρ)Δ², p ← p − lr · Δ.
/// </summary>
public sealed record Adadelta : Optimizer
{
    /// <summary>Describes Adadelta.</summary>
    /// <param name="learningRate">Finite and above 0; 1 is the paper's rule.</param>
    /// <param name="rho">Decay of both means of squares, 0 ≤ ρ &lt; 1.</param>
    /// <param name="epsilon">Added below both roots; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Adadelta(float learningRate = 1f, float rho = 0.9f, float epsilon = 1e-6f)
        : base(learningRate)
    {
        Rho = Ensure.BelowOne(rho, nameof(rho));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
    }

    /// <summary>Decay of both means of squares.</summary>
    public float Rho { get; }

    /// <summary>Added below both roots.</summary>
    public float Epsilon { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_ADADELTA;

    internal override float[] Hyperparameters() => [Rho, Epsilon];

    internal override string RuleText() => $"Adadelta({Text(LearningRate)})";
}

/// <summary>
/// Resilient propagation (Riedmiller and Braun 1993), for full batches: each parameter has a step of its own, which begins with the
/// learning rate, grows by η⁺ while the gradient keeps its sign and shrinks by η⁻ when it changes (then the parameter waits once). A
/// schedule moves the beginning only.
/// </summary>
public sealed record Rprop : Optimizer
{
    /// <summary>Describes Rprop.</summary>
    /// <param name="learningRate">The first step, finite and above 0.</param>
    /// <param name="etaMinus">How a step shrinks, 0 &lt; η⁻ &lt; 1.</param>
    /// <param name="etaPlus">How a step grows, finite and above 1.</param>
    /// <param name="smallestStep">Finite and above 0.</param>
    /// <param name="largestStep">Finite and at least <paramref name="smallestStep"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Rprop(float learningRate = 1e-2f, float etaMinus = 0.5f, float etaPlus = 1.2f, float smallestStep = 1e-6f, float largestStep = 50f)
        : base(learningRate)
    {
        if (!(etaMinus > 0f && etaMinus < 1f))
            throw new ArgumentOutOfRangeException(nameof(etaMinus), etaMinus, $"etaMinus is {etaMinus}; expected more than 0 and less than 1.");
        if (!(etaPlus > 1f && float.IsFinite(etaPlus)))
            throw new ArgumentOutOfRangeException(nameof(etaPlus), etaPlus, $"etaPlus is {etaPlus}; expected a finite number above 1.");
        EtaMinus = etaMinus;
        EtaPlus = etaPlus;
        SmallestStep = Ensure.FinitePositive(smallestStep, nameof(smallestStep));
        LargestStep = Ensure.FinitePositive(largestStep, nameof(largestStep));
        if (largestStep < smallestStep)
        {
            throw new ArgumentOutOfRangeException(
                nameof(largestStep), largestStep, $"largestStep is {largestStep}; expected at least the smallest step, {smallestStep}.");
        }
    }

    /// <summary>How a step shrinks.</summary>
    public float EtaMinus { get; }

    /// <summary>How a step grows.</summary>
    public float EtaPlus { get; }

    /// <summary>The smallest step.</summary>
    public float SmallestStep { get; }

    /// <summary>The largest step.</summary>
    public float LargestStep { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_RPROP;

    internal override float[] Hyperparameters() => [EtaMinus, EtaPlus, SmallestStep, LargestStep];

    internal override string RuleText() => $"Rprop({Text(LearningRate)})";
}
