// ElementwiseLosses.cs: the losses of one prediction and one target each, rows of the table in native/formulas/losses.h, with their
// settings. To add one: its native row, a record here, a line in Loss.cs.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A loss that is summed or averaged over all elements [rows × outputs].</summary>
public abstract record ElementwiseLoss : Loss
{
    private readonly float[]? _weights;

    private protected ElementwiseLoss(string name) : base(name)
    {
    }

    /// <summary>
    /// What each output's terms are multiplied by, one number of 0 or more per output; null: 1. A mean is over the number of elements
    /// all the same.
    /// </summary>
    /// <exception cref="ArgumentException">The list is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, infinite or NaN.</exception>
    public IReadOnlyList<float>? Weights
    {
        get => _weights;
        init => _weights = Ensure.Weights(value, nameof(Weights));
    }

    /// <inheritdoc/>
    public override NetworkTask Task => NetworkTask.Regression;

    internal abstract hpc_loss NativeId { get; }

    internal virtual float NativeAlpha => 0f;

    internal virtual float NativeBeta => 0f;

    /// <summary>Alpha for each output; null: the same for all.</summary>
    internal virtual float[]? Alphas => null;

    /// <summary>What multiplies the whole loss.</summary>
    internal virtual float Factor => 1f;

    internal override IEnumerable<(string Name, float[]? Values)> OutputSettings => [(nameof(Weights), _weights)];

    internal override void RecordForward(Recorder recorder, Value prediction, Value target) =>
        recorder.LossForward(Terms(recorder), Reduction, prediction, target, Factor * Weight);

    internal override void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient) =>
        recorder.LossBackward(Terms(recorder), Reduction, prediction, target, gradient, Factor * Weight);

    private LossTerms Terms(Recorder recorder) => new(
        (int)NativeId, NativeAlpha, NativeBeta, recorder.Constant(_weights, "loss.weights"), recorder.Constant(Alphas, "loss.alphas"));
}

/// <summary>(p − t)², times a factor.</summary>
internal sealed record SquaredErrorLoss(string LossName, float Share) : ElementwiseLoss(LossName)
{
    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_SQUARED_ERROR;

    internal override float Factor => Share;
}

/// <summary>|p − t|.</summary>
internal sealed record AbsoluteErrorLoss() : ElementwiseLoss("MeanAbsoluteError")
{
    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_ABSOLUTE_ERROR;
}

/// <summary>½ (p − t)² up to |p − t| = δ, else δ (|p − t| − ½ δ); made by <see cref="Loss.Huber"/>.</summary>
public sealed record HuberLoss : ElementwiseLoss
{
    internal HuberLoss() : base("Huber")
    {
    }

    /// <summary>Where the square ends, δ: finite, above 0; 1 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is 0, negative, infinite or NaN.</exception>
    public float Delta
    {
        get;
        init => field = Ensure.FinitePositive(value, nameof(Delta));
    } = 1f;

    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_HUBER;

    internal override float NativeAlpha => Delta;
}

/// <summary>½ (p − t)² / β below |p − t| = β, else |p − t| − ½ β; made by <see cref="Loss.SmoothL1"/>.</summary>
public sealed record SmoothL1Loss : ElementwiseLoss
{
    internal SmoothL1Loss() : base("SmoothL1")
    {
    }

    /// <summary>Where the square ends, β: finite, 0 or more; 1 by default. With 0 the loss is |p − t|.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative, infinite or NaN.</exception>
    public float Beta
    {
        get;
        init => field = Ensure.FiniteNotNegative(value, nameof(Beta));
    } = 1f;

    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_SMOOTH_L1;

    internal override float NativeAlpha => Beta;
}

/// <summary>
/// −w t log σ(z) − (1 − t) log(1 − σ(z)), on logits z, with a weight w of the positive targets; made by
/// <see cref="Loss.SigmoidCrossEntropy"/>.
/// </summary>
public sealed record SigmoidCrossEntropyLoss : ElementwiseLoss
{
    private readonly float[]? _positiveWeights;

    internal SigmoidCrossEntropyLoss() : base("SigmoidCrossEntropy")
    {
    }

    /// <summary>
    /// What positive targets weigh, one number of 0 or more per output; null: 1. Above 1 it makes up for positives that are rare: the
    /// usual choice is the ratio of negatives to positives.
    /// </summary>
    /// <exception cref="ArgumentException">The list is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, infinite or NaN.</exception>
    public IReadOnlyList<float>? PositiveWeights
    {
        get => _positiveWeights;
        init => _positiveWeights = Ensure.Weights(value, nameof(PositiveWeights));
    }

    /// <inheritdoc/>
    public override NetworkTask Task => NetworkTask.MultiLabel;

    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_SIGMOID_CROSS_ENTROPY;

    internal override float NativeAlpha => 1f;

    internal override float[]? Alphas => _positiveWeights;

    internal override IEnumerable<(string Name, float[]? Values)> OutputSettings =>
        base.OutputSettings.Append((nameof(PositiveWeights), _positiveWeights));
}

/// <summary>−t log p − (1 − t) log(1 − p), on probabilities.</summary>
internal sealed record BinaryCrossEntropyLoss() : ElementwiseLoss("BinaryCrossEntropy")
{
    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_BINARY_CROSS_ENTROPY;
}

/// <summary>t (log t − p), on log-probabilities p; made by <see cref="Loss.KlDivergence"/>.</summary>
public sealed record KlDivergenceLoss : ElementwiseLoss
{
    internal KlDivergenceLoss() : base("KlDivergence")
    {
    }

    /// <summary>Whether the targets, too, are log-probabilities; false by default. Then the loss is e^t (t − p).</summary>
    public bool LogTarget { get; init; }

    internal override hpc_loss NativeId => LogTarget ? hpc_loss.HPC_LOSS_KL_DIVERGENCE_LOG : hpc_loss.HPC_LOSS_KL_DIVERGENCE;
}

/// <summary>The negative log-likelihood of counts under a Poisson distribution; made by <see cref="Loss.Poisson"/>.</summary>
public sealed record PoissonLoss : ElementwiseLoss
{
    internal PoissonLoss() : base("Poisson")
    {
    }

    /// <summary>
    /// Whether predictions are the logarithms of rates (then e^p − t p), true by default; else rates of 0 or more
    /// (p − t log(p + <see cref="Epsilon"/>)).
    /// </summary>
    public bool LogInput { get; init; } = true;

    /// <summary>
    /// Whether Stirling's approximation of log t!, t log t − t + ½ log(2 π t), is added for targets above 1; false by default. It changes
    /// the loss, not its gradient.
    /// </summary>
    public bool Full { get; init; }

    /// <summary>What keeps the logarithm of a rate of 0 finite, without <see cref="LogInput"/>: finite, above 0; 1e-8 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is 0, negative, infinite or NaN.</exception>
    public float Epsilon
    {
        get;
        init => field = Ensure.FinitePositive(value, nameof(Epsilon));
    } = 1e-8f;

    internal override hpc_loss NativeId => LogInput ? hpc_loss.HPC_LOSS_POISSON_LOG : hpc_loss.HPC_LOSS_POISSON;

    internal override float NativeAlpha => Full ? 1f : 0f;

    internal override float NativeBeta => LogInput ? 0f : Epsilon;
}

/// <summary>max(0, margin − t p), the targets 1 or −1; made by <see cref="Loss.Hinge"/>.</summary>
public sealed record HingeLoss : ElementwiseLoss
{
    internal HingeLoss() : base("Hinge")
    {
    }

    /// <summary>How far on the right side of 0 a prediction must be to cost nothing: finite; 1 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is infinite or NaN.</exception>
    public float Margin
    {
        get;
        init => field = Ensure.Finite(value, nameof(Margin));
    } = 1f;

    /// <inheritdoc/>
    public override NetworkTask Task => NetworkTask.MultiLabel;

    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_HINGE;

    internal override float NativeAlpha => Margin;
}

/// <summary>log(1 + e^(−t p)), the targets 1 or −1.</summary>
internal sealed record SoftMarginLoss() : ElementwiseLoss("SoftMargin")
{
    public override NetworkTask Task => NetworkTask.MultiLabel;

    internal override hpc_loss NativeId => hpc_loss.HPC_LOSS_SOFT_MARGIN;
}
