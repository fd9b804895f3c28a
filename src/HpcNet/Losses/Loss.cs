// Loss.cs: what training makes small. A loss is configuration plus the two instructions that it records; formulas and
// gradients are in native/formulas/losses.h. To add an elementwise one: a line in the table below, named by its native row.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>How the terms of a loss become one number.</summary>
public enum Reduction
{
    /// <summary>The mean: over all elements for elementwise losses, over rows for cross-entropy.</summary>
    Mean = 0,

    /// <summary>The sum.</summary>
    Sum = 1,
}

/// <summary>What the columns of a network's output mean.</summary>
public enum NetworkTask
{
    /// <summary>The output is the answer.</summary>
    Regression = 0,

    /// <summary>The output holds logits, one column per class; predictors turn them into probabilities by softmax.</summary>
    Classification = 1,
}

/// <summary>A loss function: what training makes small.</summary>
public abstract record Loss
{
    private static readonly List<Loss> Table = [];

    /// <summary>
    /// −Σ t log softmax(z), on logits z [rows × classes]; the target is a class index per row or a row of probabilities.
    /// The gradient is softmax(z) Σt − t.
    /// </summary>
    public static Loss SoftmaxCrossEntropy { get; } = Define(new SoftmaxCrossEntropyLoss());

    /// <summary>(p − t)², averaged over all elements; the gradient is 2 (p − t) / count.</summary>
    public static Loss MeanSquaredError { get; } = Define(new ElementwiseLoss("MeanSquaredError", hpc_loss.HPC_LOSS_SQUARED_ERROR));

    private protected Loss(string name) => Name = name;

    /// <summary>Every loss with its default settings.</summary>
    public static IReadOnlyList<Loss> All => Table;

    /// <summary>The name, as the command line spells it; compared without regard to case.</summary>
    public string Name { get; }

    /// <summary>How the terms become one number; <see cref="Reduction.Mean"/> by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public Reduction Reduction
    {
        get;
        init => field = value is Reduction.Mean or Reduction.Sum
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Reduction), value, $"There is no reduction {(int)value}; expected Mean or Sum.");
    }

    /// <summary>What the network's output means under this loss.</summary>
    public abstract NetworkTask Task { get; }

    /// <summary>Finds a loss by name, without regard to case.</summary>
    /// <param name="name">The name, for example <c>meansquarederror</c>.</param>
    /// <exception cref="ArgumentException">No loss has that name; the message lists those there are.</exception>
    public static Loss Parse(string name) =>
        Table.Find(l => string.Equals(l.Name, Ensure.NotNull(name), StringComparison.OrdinalIgnoreCase)) ?? throw new ArgumentException(
            $"There is no loss '{name}'; there are {string.Join(", ", Table.Select(l => l.Name))}.", nameof(name));

    /// <summary>Whether int32 class indices can be the target.</summary>
    internal abstract bool TakesLabels { get; }

    /// <summary>What loss and gradient are multiplied by.</summary>
    internal float Weight { get; init; } = 1f;

    /// <summary>How many terms one run adds to the metrics, each of which counts its rows.</summary>
    internal virtual int Terms => 1;

    /// <summary>Columns that the network must have; 0: any number.</summary>
    internal virtual int Columns => 0;

    /// <summary>A loss for each of several outputs: the sum of weight × loss over the outputs, on float targets side by side.</summary>
    /// <param name="parts">In the order of the network's outputs: the loss, the columns of the output, and its weight.</param>
    /// <exception cref="ArgumentException">There are no parts, or reductions differ.</exception>
    /// <exception cref="ArgumentNullException">A loss is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">Columns are less than 1, or a weight is not finite and above 0.</exception>
    public static Loss PerOutput(params (Loss Loss, int Columns, float Weight)[] parts) => new PerOutputLoss(Ensure.NotNull(parts));

    internal abstract void RecordForward(Recorder recorder, Value prediction, Value target);

    internal abstract void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient);

    private static Loss Define(Loss loss)
    {
        Table.Add(loss);
        return loss;
    }
}

/// <summary>Softmax and cross-entropy in one, on logits.</summary>
internal sealed record SoftmaxCrossEntropyLoss() : Loss("SoftmaxCrossEntropy")
{
    public override NetworkTask Task => NetworkTask.Classification;

    internal override bool TakesLabels => true;

    internal override void RecordForward(Recorder recorder, Value prediction, Value target) =>
        recorder.SoftmaxCrossEntropyForward(Reduction, prediction, target, Weight);

    internal override void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient) =>
        recorder.SoftmaxCrossEntropyBackward(Reduction, prediction, target, gradient, Weight);
}

/// <summary>A loss of the native table of elementwise losses.</summary>
internal sealed record ElementwiseLoss(string LossName, hpc_loss NativeId, float Alpha = 0f, float Beta = 0f) : Loss(LossName)
{
    public override NetworkTask Task => NetworkTask.Regression;

    internal override bool TakesLabels => false;

    internal override void RecordForward(Recorder recorder, Value prediction, Value target) =>
        recorder.LossForward((int)NativeId, Reduction, prediction, target, Alpha, Beta, Weight);

    internal override void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient) =>
        recorder.LossBackward((int)NativeId, Reduction, prediction, target, gradient, Alpha, Beta, Weight);
}
