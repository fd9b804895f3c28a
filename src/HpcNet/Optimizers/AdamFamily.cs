// AdamFamily.cs: rules with a mean of gradients and a mean of their squares (or their largest size): Adam, AdamW, Adamax,
// NAdam, RAdam. The formulas are in native/formulas/rules.h.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>What <see cref="Adam"/>, <see cref="AdamW"/>, <see cref="Adamax"/>, <see cref="NAdam"/> and <see cref="RAdam"/> share.</summary>
public abstract record AdamFamily : Optimizer
{
    private protected AdamFamily(float learningRate, float beta1, float beta2, float epsilon)
        : base(learningRate)
    {
        Beta1 = Ensure.BelowOne(beta1, nameof(beta1));
        Beta2 = Ensure.BelowOne(beta2, nameof(beta2));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
    }

    /// <summary>Decay of the first moment.</summary>
    public float Beta1 { get; }

    /// <summary>Decay of the second moment, or of the largest size.</summary>
    public float Beta2 { get; }

    /// <summary>Keeps the divisor above 0; each rule's formula tells where it is added.</summary>
    public float Epsilon { get; }

    internal override float[] Hyperparameters() => [Beta1, Beta2, Epsilon];

    internal sealed override int MomentumIndex => 0;
}

/// <summary>
/// Adam (Kingma and Ba 2015): m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², p ← p − lr · m̂ / (√v̂ + ε), with the bias-corrected
/// m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ). AMSGrad (Reddi, Kale and Kumar 2018) takes the largest v so far.
/// </summary>
public record Adam : AdamFamily
{
    /// <summary>Describes Adam.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the first moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the root of the second moment; finite and above 0.</param>
    /// <param name="amsGrad">Whether the largest second moment so far counts instead of the last one.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Adam(float learningRate = 1e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f, bool amsGrad = false)
        : base(learningRate, beta1, beta2, epsilon)
    {
        AmsGrad = amsGrad;
    }

    /// <summary>Whether the largest second moment so far counts.</summary>
    public bool AmsGrad { get; }

    internal sealed override hpc_rule Rule => AmsGrad ? hpc_rule.HPC_RULE_AMSGRAD : hpc_rule.HPC_RULE_ADAM;

    internal override string RuleText() => $"Adam({Text(LearningRate)}{(AmsGrad ? ", AMSGrad" : "")})";
}

/// <summary>
/// AdamW (Loshchilov and Hutter 2019): <see cref="Adam"/> with <see cref="Optimizer.DecoupledWeightDecay"/> as its first link.
/// </summary>
public sealed record AdamW : Adam
{
    /// <summary>Describes AdamW.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the first moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the root of the second moment; finite and above 0.</param>
    /// <param name="weightDecay">Factor of the decoupled decay, finite, 0 or more.</param>
    /// <param name="amsGrad">Whether the largest second moment so far counts instead of the last one.</param>
    /// <param name="biases">Whether biases decay, too, as in PyTorch.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public AdamW(
        float learningRate = 1e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f, float weightDecay = 0.01f,
        bool amsGrad = false, bool biases = false)
        : base(learningRate, beta1, beta2, epsilon, amsGrad) =>
        Chain = new DecoupledWeightDecayLink(Ensure.FiniteNotNegative(weightDecay, nameof(weightDecay)), biases);

    internal override string RuleText() => $"AdamW({Text(LearningRate)}{(AmsGrad ? ", AMSGrad" : "")})";
}

/// <summary>
/// Adamax (Kingma and Ba 2015, section 7.1): m ← β₁m + (1 − β₁)g, u ← max(β₂u, |g| + ε), p ← p − lr / (1 − β₁ᵗ) · m / u.
/// </summary>
public sealed record Adamax : AdamFamily
{
    /// <summary>Describes Adamax.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the largest size, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the gradient's size; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Adamax(float learningRate = 2e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f)
        : base(learningRate, beta1, beta2, epsilon)
    {
    }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_ADAMAX;

    internal override string RuleText() => $"Adamax({Text(LearningRate)})";
}

/// <summary>
/// NAdam (Dozat 2016), Adam with Nesterov's look ahead, as PyTorch has it: μₜ = β₁(1 − ½ · 0.96^(tψ)), p ← p − lr · ((1 − μₜ)g / (1 − Πμ) +
/// μₜ₊₁m / (1 − Πμ μₜ₊₁)) / (√v̂ + ε). Where a schedule moves β₁, Πμ is that of the β₁ of the step.
/// </summary>
public sealed record NAdam : AdamFamily
{
    /// <summary>Describes NAdam.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the first moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the root of the second moment; finite and above 0.</param>
    /// <param name="momentumDecay">How fast the look ahead grows, ψ; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public NAdam(float learningRate = 2e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f, float momentumDecay = 4e-3f)
        : base(learningRate, beta1, beta2, epsilon)
    {
        MomentumDecay = Ensure.FiniteNotNegative(momentumDecay, nameof(momentumDecay));
    }

    /// <summary>How fast the look ahead grows.</summary>
    public float MomentumDecay { get; }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_NADAM;

    internal override float[] Hyperparameters() => [Beta1, Beta2, Epsilon, MomentumDecay];

    internal override string RuleText() => $"NAdam({Text(LearningRate)})";
}

/// <summary>
/// RAdam (Liu et al. 2020): Adam whose adaptive rate is rectified, and left out as long as its variance has no bound (ρₜ ≤ 5); ε is added
/// to the uncorrected root, as in PyTorch.
/// </summary>
public sealed record RAdam : AdamFamily
{
    /// <summary>Describes RAdam.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="beta1">Decay of the first moment, 0 ≤ β₁ &lt; 1.</param>
    /// <param name="beta2">Decay of the second moment, 0 ≤ β₂ &lt; 1.</param>
    /// <param name="epsilon">Added to the root of the second moment; finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public RAdam(float learningRate = 1e-3f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f)
        : base(learningRate, beta1, beta2, epsilon)
    {
    }

    internal override hpc_rule Rule => hpc_rule.HPC_RULE_RADAM;

    internal override string RuleText() => $"RAdam({Text(LearningRate)})";
}
