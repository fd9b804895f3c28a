// Optimizer.cs: an optimizer is a rule over flat buffers (native/formulas/rules.h) and a chain of links in front of it and
// behind it. Links are not parameters that every rule repeats: clipping and decay know nothing of Adam, Adam nothing of them.
// To add a rule: a record like Adam with its native id and its hyperparameters in the native order. To add a link: a record
// in OptimizerLinks.cs, a method below that appends it, and what it records in TrainingProgram.cs.

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

    /// <summary>
    /// Whether steps climb instead of descend: the rule gets −g for g. What links add to the gradient (decay, penalties) still draws
    /// parameters towards 0, as PyTorch's <c>maximize</c> has it.
    /// </summary>
    public bool Maximize { get; init; }

    /// <summary>The last link added; each knows the one before it.</summary>
    internal OptimizerLink? Chain { get; init; }

    /// <summary>The native rule.</summary>
    internal abstract hpc_rule Rule { get; }

    /// <summary>The rule's hyperparameters after the learning rate, in the native order.</summary>
    internal abstract float[] Hyperparameters();

    /// <summary>Which of <see cref="Hyperparameters"/> a schedule may move as momentum; −1: none.</summary>
    internal virtual int MomentumIndex => -1;

    /// <summary>The rule with its settings, without links.</summary>
    internal abstract string RuleText();

    /// <summary>
    /// Scales all gradients together so that their norm is at most <paramref name="maxNorm"/>:
    /// g ← g · min(1, maxNorm / (‖g‖ + 10⁻⁶)) (Pascanu et al. 2013).
    /// </summary>
    /// <param name="maxNorm">The largest norm, finite and above 0.</param>
    /// <param name="order">Which norm: 2 the Euclidean one, 1 the sum of magnitudes, <see cref="float.PositiveInfinity"/> the largest
    /// magnitude, any other number above 0 (Σ|g|^order)^(1/order).</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxNorm"/> is 0, negative, infinite or NaN, or
    /// <paramref name="order"/> is 0, negative or NaN.</exception>
    public Optimizer ClipByNorm(float maxNorm, float order = 2f)
    {
        Ensure.FinitePositive(maxNorm, nameof(maxNorm));
        if (!(order > 0f))
            throw new ArgumentOutOfRangeException(nameof(order), order, $"order is {order}; expected a number above 0, or infinity.");
        return With(new ClipByNormLink(maxNorm, order));
    }

    /// <summary>Clips each gradient by itself: g ← min(max(g, −limit), limit).</summary>
    /// <param name="limit">The largest magnitude, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="limit"/> is 0, negative, infinite or NaN.</exception>
    public Optimizer ClipByValue(float limit) => With(new ClipByValueLink(Ensure.FinitePositive(limit, nameof(limit))));

    /// <summary>L2 regularization as weight decay: g ← g + l2 · p, the gradient of ½ l2 Σp².</summary>
    /// <param name="l2">The factor, finite, 0 or more.</param>
    /// <param name="biases">Whether biases (and all else that is no weight) decay, too, as in PyTorch.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="l2"/> is negative, infinite or NaN.</exception>
    public Optimizer WeightDecay(float l2, bool biases = false) =>
        With(new PenaltyLink(0f, Ensure.FiniteNotNegative(l2, nameof(l2)), biases, Written.WeightDecay));

    /// <summary>L1 regularization, the lasso (Tibshirani 1996): g ← g + l1 · sign(p), the gradient of l1 Σ|p|, with sign(0) = 0.</summary>
    /// <param name="l1">The factor, finite, 0 or more.</param>
    /// <param name="biases">Whether biases are drawn to 0, too.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="l1"/> is negative, infinite or NaN.</exception>
    public Optimizer L1(float l1, bool biases = false) =>
        With(new PenaltyLink(Ensure.FiniteNotNegative(l1, nameof(l1)), 0f, biases, Written.L1));

    /// <summary>L2 regularization, ridge: g ← g + 2 · l2 · p, the gradient of l2 Σp².</summary>
    /// <param name="l2">The factor, finite, 0 or more; <see cref="WeightDecay"/> takes twice as much.</param>
    /// <param name="biases">Whether biases are drawn to 0, too.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="l2"/> is negative, infinite or NaN.</exception>
    public Optimizer L2(float l2, bool biases = false) =>
        With(new PenaltyLink(0f, 2f * Ensure.FiniteNotNegative(l2, nameof(l2)), biases, Written.L2));

    /// <summary>
    /// The elastic net (Zou and Hastie 2005): g ← g + l1 · sign(p) + 2 · l2 · p, the gradient of l1 Σ|p| + l2 Σp², with sign(0) = 0.
    /// </summary>
    /// <param name="l1">The factor of Σ|p|, finite, 0 or more.</param>
    /// <param name="l2">The factor of Σp², finite, 0 or more.</param>
    /// <param name="biases">Whether biases are drawn to 0, too.</param>
    /// <exception cref="ArgumentOutOfRangeException">A factor is negative, infinite or NaN.</exception>
    public Optimizer ElasticNet(float l1, float l2, bool biases = false) => With(new PenaltyLink(
        Ensure.FiniteNotNegative(l1, nameof(l1)), 2f * Ensure.FiniteNotNegative(l2, nameof(l2)), biases, Written.ElasticNet));

    /// <summary>
    /// Decoupled weight decay: p ← p · (1 − learning rate · rate) before the rule (Loshchilov and Hutter 2019; with
    /// <see cref="Adam"/> this is <see cref="AdamW"/>).
    /// </summary>
    /// <param name="rate">The factor, finite, 0 or more.</param>
    /// <param name="biases">Whether biases (and all else that is no weight) decay, too, as in PyTorch.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rate"/> is negative, infinite or NaN.</exception>
    public Optimizer DecoupledWeightDecay(float rate, bool biases = false) =>
        With(new DecoupledWeightDecayLink(Ensure.FiniteNotNegative(rate, nameof(rate)), biases));

    /// <summary>
    /// Max-norm regularization (Srebro and Shraibman 2005): after the rule, the incoming weights w of a unit whose norm is above
    /// <paramref name="maxNorm"/> become w · maxNorm / (‖w‖ + 10⁻⁷). Biases are left alone.
    /// </summary>
    /// <param name="maxNorm">The largest norm, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxNorm"/> is 0, negative, infinite or NaN.</exception>
    public Optimizer MaxNorm(float maxNorm) => With(new MaxNormLink(Ensure.FinitePositive(maxNorm, nameof(maxNorm))));

    /// <summary>
    /// Learning-rate dropout (Lin et al. 2019): at each step a parameter's learning rate is 0 with probability
    /// <paramref name="rate"/>, while the rule's state goes on as ever. The masks depend on the trainer's seed.
    /// </summary>
    /// <param name="rate">The probability that a parameter stays, 0 ≤ rate &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rate"/> is negative, 1 or more, or NaN.</exception>
    /// <exception cref="InvalidOperationException">The chain has this link already.</exception>
    public Optimizer LearningRateDropout(float rate)
    {
        Ensure.BelowOne(rate, nameof(rate));
        return Links().Any(l => l is LearningRateDropoutLink)
            ? throw new InvalidOperationException("This optimizer drops learning rates already; one LearningRateDropout is all it can have.")
            : With(new LearningRateDropoutLink(rate));
    }

    /// <summary>The optimizer as it would be written, for example <c>Adam(0.001).ClipByNorm(1)</c>.</summary>
    public sealed override string ToString() =>
        (Maximize ? "maximize " : "") + RuleText() + string.Concat(Links().Select(link => "." + link.Text()));

    /// <summary>The links in the order in which they were added.</summary>
    internal OptimizerLink[] Links()
    {
        var links = new List<OptimizerLink>();
        for (OptimizerLink? link = Chain; link is not null; link = link.Before)
            links.Add(link);
        links.Reverse();
        return [.. links];
    }

    private Optimizer With(OptimizerLink link) => this with { Chain = link with { Before = Chain } };

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

    internal override int MomentumIndex => Momentum == 0f ? -1 : 0;

    internal override string RuleText() =>
        Momentum == 0f ? $"Sgd({Text(LearningRate)})"
        : $"Sgd({Text(LearningRate)}, {Text(Momentum)}{(Dampening != 0f ? $", dampening {Text(Dampening)}" : "")}{(Nesterov ? ", Nesterov" : "")})";
}
