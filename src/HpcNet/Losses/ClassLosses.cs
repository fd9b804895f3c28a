// ClassLosses.cs: the losses of rows of scores, one for each class, against the row's class (hpc_class_loss_forward and its backward).
// To add one: its kind in hpcnet.h, its kernels on every backend, a record here, a line in Loss.cs.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A loss of one score for each class against the row's class.</summary>
public abstract record ClassLoss : Loss
{
    private readonly float[]? _classWeights;

    private protected ClassLoss(string name) : base(name)
    {
    }

    /// <summary>
    /// What the classes weigh, one number of 0 or more per output; null: 1. Except for <see cref="MultiMarginLoss"/>,
    /// <see cref="Reduction.Mean"/> divides by the sum of the weights of the rows' labels; with rows of probabilities it divides by the
    /// number of rows.
    /// </summary>
    /// <exception cref="ArgumentException">The list is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is negative, infinite or NaN.</exception>
    public IReadOnlyList<float>? ClassWeights
    {
        get => _classWeights;
        init => _classWeights = Ensure.Weights(value, nameof(ClassWeights));
    }

    /// <inheritdoc/>
    public override NetworkTask Task => NetworkTask.Classification;

    internal abstract hpc_class_loss_kind Kind { get; }

    internal virtual float NativeAlpha => 0f;

    internal virtual float NativeBeta => 0f;

    internal override bool TakesLabels => true;

    internal override bool TakesTargets => false;

    internal override IEnumerable<(string Name, float[]? Values)> OutputSettings => [(nameof(ClassWeights), _classWeights)];

    internal override void RecordForward(Recorder recorder, Value prediction, Value target) =>
        recorder.ClassLossForward(Terms(recorder), Reduction, prediction, target, Weight);

    internal override void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient) =>
        recorder.ClassLossBackward(Terms(recorder), Reduction, prediction, target, gradient, Weight);

    private ClassLossTerms Terms(Recorder recorder) =>
        new(Kind, NativeAlpha, NativeBeta, recorder.Constant(_classWeights, "loss.class_weights"), Ignored);
}

/// <summary>
/// Softmax and cross-entropy in one, on logits z: −Σ w ((1 − ε) t + ε / classes) log softmax(z), with the classes' weights w and the
/// smoothing ε; made by <see cref="Loss.SoftmaxCrossEntropy"/>.
/// </summary>
public sealed record SoftmaxCrossEntropyLoss : ClassLoss
{
    internal SoftmaxCrossEntropyLoss() : base("SoftmaxCrossEntropy")
    {
    }

    /// <summary>
    /// The share ε of the target that all classes get alike: 0 or more and less than 1; 0 by default. Szegedy and others, Rethinking the
    /// Inception architecture, 2016.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is outside its range.</exception>
    public float LabelSmoothing
    {
        get;
        init => field = Ensure.BelowOne(value, nameof(LabelSmoothing));
    }

    /// <summary>
    /// The label whose rows do not count, any number; null: none. They have neither loss nor gradient nor a part in the mean or the
    /// accuracy; where all rows of a batch have it, the loss is 0. Rows of probabilities all count.
    /// </summary>
    public int? IgnoredLabel { get; init; }

    internal override hpc_class_loss_kind Kind => hpc_class_loss_kind.HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY;

    internal override float NativeAlpha => LabelSmoothing;

    internal override bool TakesTargets => true;

    internal override int? Ignored => IgnoredLabel;
}

/// <summary>
/// −w[label] p[label], on log-probabilities p: softmax cross-entropy where the network ends in log-softmax; made by
/// <see cref="Loss.NegativeLogLikelihood"/>.
/// </summary>
public sealed record NegativeLogLikelihoodLoss : ClassLoss
{
    internal NegativeLogLikelihoodLoss() : base("NegativeLogLikelihood")
    {
    }

    /// <summary>
    /// The label whose rows do not count, any number; null: none. They have neither loss nor gradient nor a part in the mean or the
    /// accuracy; where all rows of a batch have it, the loss is 0.
    /// </summary>
    public int? IgnoredLabel { get; init; }

    internal override hpc_class_loss_kind Kind => hpc_class_loss_kind.HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD;

    internal override int? Ignored => IgnoredLabel;
}

/// <summary>
/// w[label] / classes · Σ max(0, margin − p[label] + p[i])^power over the other classes i, the multi-class hinge loss; made by
/// <see cref="Loss.MultiMargin"/>. A mean is over the number of rows.
/// </summary>
public sealed record MultiMarginLoss : ClassLoss
{
    internal MultiMarginLoss() : base("MultiMargin")
    {
    }

    /// <summary>How far the right class must be above the others to cost nothing: finite; 1 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is infinite or NaN.</exception>
    public float Margin
    {
        get;
        init => field = Ensure.Finite(value, nameof(Margin));
    } = 1f;

    /// <summary>The power of each term, 1 or 2; 1 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is neither.</exception>
    public int Power
    {
        get;
        init => field = value is 1 or 2
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Power), value, $"Power is {value}; expected 1 or 2.");
    } = 1;

    internal override hpc_class_loss_kind Kind => hpc_class_loss_kind.HPC_CLASS_LOSS_MULTI_MARGIN;

    internal override float NativeAlpha => Margin;

    internal override float NativeBeta => Power;
}
