// Loss.cs: what training makes small. A loss is configuration plus the two instructions that it records; formulas and
// gradients are in native/formulas/losses.h (elementwise losses) and in the kernels of the class losses. To add an elementwise
// one: a line in the table below, named by its native row, and a record in ElementwiseLosses.cs if it has settings.

namespace HpcNet;

/// <summary>How the terms of a loss become one number.</summary>
public enum Reduction
{
    /// <summary>
    /// The mean: over all elements for elementwise losses; over rows for class losses, weighted by the class weights of the labels
    /// where there are any (<see cref="ClassLoss.ClassWeights"/>).
    /// </summary>
    Mean = 0,

    /// <summary>The sum.</summary>
    Sum = 1,

    /// <summary>The sum divided by the number of rows.</summary>
    BatchMean = 2,
}

/// <summary>What the columns of a network's output mean.</summary>
public enum NetworkTask
{
    /// <summary>The output is the answer.</summary>
    Regression = 0,

    /// <summary>The output holds logits, one column per class; predictors turn them into probabilities by softmax.</summary>
    Classification = 1,

    /// <summary>
    /// The output holds logits of independent yes-or-no questions, one a column; predictors turn each into a probability by the
    /// sigmoid.
    /// </summary>
    MultiLabel = 2,
}

/// <summary>A loss function: what training makes small.</summary>
public abstract record Loss
{
    private static readonly List<Loss> Table = [];

    /// <summary>
    /// −Σ t log softmax(z), on logits z [rows × classes]; the target is a class index per row or a row of probabilities.
    /// The gradient is softmax(z) Σt − t. Class weights, label smoothing and an ignored label are settings.
    /// </summary>
    public static SoftmaxCrossEntropyLoss SoftmaxCrossEntropy { get; } = Define(new SoftmaxCrossEntropyLoss());

    /// <summary>(p − t)², averaged over all elements; the gradient is 2 (p − t) / count.</summary>
    public static ElementwiseLoss MeanSquaredError { get; } = Define(new SquaredErrorLoss("MeanSquaredError", 1f));

    /// <summary>½ Σ (p − t)², the sum of squares of the textbooks; the gradient is p − t.</summary>
    public static ElementwiseLoss SumOfSquares { get; } = Define(new SquaredErrorLoss("SumOfSquares", 0.5f) { Reduction = Reduction.Sum });

    /// <summary>|p − t|, averaged over all elements; the gradient is the sign of p − t, 0 where they are equal.</summary>
    public static ElementwiseLoss MeanAbsoluteError { get; } = Define(new AbsoluteErrorLoss());

    /// <summary>½ (p − t)² up to |p − t| = δ = 1, else δ (|p − t| − ½ δ): Huber, Robust estimation of a location parameter, 1964.</summary>
    public static HuberLoss Huber { get; } = Define(new HuberLoss());

    /// <summary>½ (p − t)² / β below |p − t| = β = 1, else |p − t| − ½ β: Girshick, Fast R-CNN, 2015.</summary>
    public static SmoothL1Loss SmoothL1 { get; } = Define(new SmoothL1Loss());

    /// <summary>
    /// −t log σ(z) − (1 − t) log(1 − σ(z)), on logits z, the targets 0 to 1: one or several yes-or-no questions. The gradient is σ(z) − t.
    /// </summary>
    public static SigmoidCrossEntropyLoss SigmoidCrossEntropy { get; } = Define(new SigmoidCrossEntropyLoss());

    /// <summary>
    /// −t log p − (1 − t) log(1 − p), on probabilities p: for networks that end in a sigmoid. Logarithms end at −100.
    /// <see cref="SigmoidCrossEntropy"/> is the more precise choice.
    /// </summary>
    public static ElementwiseLoss BinaryCrossEntropy { get; } = Define(new BinaryCrossEntropyLoss());

    /// <summary>−p[label], on log-probabilities p [rows × classes] and a class index per row.</summary>
    public static NegativeLogLikelihoodLoss NegativeLogLikelihood { get; } = Define(new NegativeLogLikelihoodLoss());

    /// <summary>
    /// t (log t − p), on log-probabilities p and probabilities t: Kullback and Leibler 1951. With <see cref="Reduction.BatchMean"/> it is
    /// the divergence per row; <see cref="Reduction.Mean"/> divides by all elements.
    /// </summary>
    public static KlDivergenceLoss KlDivergence { get; } = Define(new KlDivergenceLoss());

    /// <summary>e^p − t p, on logarithms p of rates and counts t: the negative log-likelihood of a Poisson distribution.</summary>
    public static PoissonLoss Poisson { get; } = Define(new PoissonLoss());

    /// <summary>max(0, 1 − t p), the targets 1 or −1.</summary>
    public static HingeLoss Hinge { get; } = Define(new HingeLoss());

    /// <summary>Σ max(0, 1 − p[label] + p[i]) / classes over the other classes i, on scores p [rows × classes] and a class index per row.</summary>
    public static MultiMarginLoss MultiMargin { get; } = Define(new MultiMarginLoss());

    /// <summary>log(1 + e^(−t p)), the targets 1 or −1.</summary>
    public static ElementwiseLoss SoftMargin { get; } = Define(new SoftMarginLoss());

    private protected Loss(string name) => Name = name;

    /// <summary>Every loss with its default settings.</summary>
    public static IReadOnlyList<Loss> All => Table;

    /// <summary>The name, as the command line spells it; compared without regard to case.</summary>
    public string Name { get; }

    /// <summary>
    /// How the terms become one number; <see cref="Reduction.Mean"/> by default, <see cref="Reduction.Sum"/> for
    /// <see cref="SumOfSquares"/>.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public Reduction Reduction
    {
        get;
        init => field = value is Reduction.Mean or Reduction.Sum or Reduction.BatchMean
            ? value
            : throw new ArgumentOutOfRangeException(
                nameof(Reduction), value, $"There is no reduction {(int)value}; expected Mean, Sum or BatchMean.");
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
    internal virtual bool TakesLabels => false;

    /// <summary>Whether rows of float targets can be the target.</summary>
    internal virtual bool TakesTargets => true;

    /// <summary>The label whose rows do not count; null: none.</summary>
    internal virtual int? Ignored => null;

    /// <summary>Settings that have a number for each output, with their names.</summary>
    internal abstract IEnumerable<(string Name, float[]? Values)> OutputSettings { get; }

    /// <summary>What loss and gradient are multiplied by.</summary>
    internal float Weight { get; init; } = 1f;

    /// <summary>How many losses one run adds to the metrics, each of which counts its rows.</summary>
    internal virtual int Parts => 1;

    /// <summary>Columns that the network must have; 0: any number.</summary>
    internal virtual int Columns => 0;

    /// <summary>A loss for each of several outputs: the sum of weight × loss over the outputs, on float targets side by side.</summary>
    /// <param name="parts">In the order of the network's outputs: the loss, the columns of the output, and its weight.</param>
    /// <exception cref="ArgumentException">There are no parts, reductions differ, a loss takes class labels only, or has settings for
    /// another number of columns.</exception>
    /// <exception cref="ArgumentNullException">A loss is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">Columns are less than 1, or a weight is not finite and above 0.</exception>
    public static Loss PerOutput(params (Loss Loss, int Columns, float Weight)[] parts) => new PerOutputLoss(Ensure.NotNull(parts));

    internal abstract void RecordForward(Recorder recorder, Value prediction, Value target);

    internal abstract void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient);

    /// <summary>Checks that the settings fit a network.</summary>
    internal void CheckOutputs(int outputs, string argument)
    {
        if (Columns != 0 && Columns != outputs)
            throw new ArgumentException($"{Name} is for {Columns} columns; the network has {outputs} outputs.", argument);
        foreach ((string name, float[]? values) in OutputSettings)
        {
            if (values is not null && values.Length != outputs)
                throw new ArgumentException($"{Name} has {values.Length} {name}; the network has {outputs} outputs.", argument);
        }
    }

    /// <summary>The mean that metrics stand for, or their sum.</summary>
    internal double Reduced(double loss, double weight) => Reduction == Reduction.Sum ? loss : weight > 0 ? loss / weight * Parts : 0;

    private static T Define<T>(T loss) where T : Loss
    {
        Table.Add(loss);
        return loss;
    }
}
