// The losses of the command line, each for the targets that it fits. To add one: a row. Left out of the library's losses: those that
// want another form of output for what is here already (negative log-likelihood, binary cross-entropy), half the sum of squares, which
// is the mean squared error in another unit, and the divergence of Kullback and Leibler, whose targets are probabilities.

namespace HpcNet.Cli.Choices;

/// <summary>What a loss is made from; null: not given.</summary>
internal sealed record LossSettings(float LabelSmoothing, float[]? ClassWeights, float Delta);

/// <summary>In which form real-valued targets are trained on.</summary>
internal enum TargetForm
{
    /// <summary>As they are.</summary>
    Plain,

    /// <summary>Less their mean, over their deviation.</summary>
    Standardized,

    /// <summary>Over their mean: they are counts, and 0 stays 0.</summary>
    Scaled,

    /// <summary>-1 and 1 for 0 and 1.</summary>
    Signed,
}

/// <summary>A loss.</summary>
/// <param name="Name">Its name, one per task.</param>
/// <param name="Task">What the targets are.</param>
/// <param name="Targets">The form in which they are trained on.</param>
/// <param name="Create">Makes it.</param>
internal sealed record LossChoice(string Name, NetworkTask Task, TargetForm Targets, Func<LossSettings, Loss> Create) : Choice(Name)
{
    /// <summary>The losses; the first of each task is taken where none is named.</summary>
    public static IReadOnlyList<LossChoice> All { get; } =
    [
        new("cross-entropy", NetworkTask.Classification, TargetForm.Plain, s => Loss.SoftmaxCrossEntropy with
        {
            LabelSmoothing = s.LabelSmoothing, ClassWeights = s.ClassWeights,
        })
        {
            TakesClassWeights = true, TakesLabelSmoothing = true,
        },
        new("hinge", NetworkTask.Classification, TargetForm.Plain, s => Loss.MultiMargin with { ClassWeights = s.ClassWeights })
        {
            TakesClassWeights = true,
        },
        new("mse", NetworkTask.Regression, TargetForm.Standardized, _ => Loss.MeanSquaredError),
        new("mae", NetworkTask.Regression, TargetForm.Standardized, _ => Loss.MeanAbsoluteError),
        new("huber", NetworkTask.Regression, TargetForm.Standardized, s => Loss.Huber with { Delta = s.Delta }) { TakesDelta = true },
        new("smooth-l1", NetworkTask.Regression, TargetForm.Standardized, s => Loss.SmoothL1 with { Beta = s.Delta }) { TakesDelta = true },
        // The outputs are rates: softplus keeps them above 0.
        new("poisson", NetworkTask.Regression, TargetForm.Scaled, _ => Loss.Poisson with { LogInput = false })
        {
            Output = Activation.Softplus,
        },
        new("cross-entropy", NetworkTask.MultiLabel, TargetForm.Plain, _ => Loss.SigmoidCrossEntropy),
        new("hinge", NetworkTask.MultiLabel, TargetForm.Signed, _ => Loss.Hinge),
        new("soft-margin", NetworkTask.MultiLabel, TargetForm.Signed, _ => Loss.SoftMargin),
    ];

    /// <summary>The names, each once.</summary>
    public static IEnumerable<string> Names => All.Select(l => l.Name).Distinct();

    /// <summary>What the last layer does to its outputs.</summary>
    public Activation Output { get; init; } = Activation.Linear;

    /// <summary>Whether --class-weights goes with it.</summary>
    public bool TakesClassWeights { get; init; }

    /// <summary>Whether --label-smoothing goes with it.</summary>
    public bool TakesLabelSmoothing { get; init; }

    /// <summary>Whether --delta goes with it.</summary>
    public bool TakesDelta { get; init; }

    /// <summary>The loss of a name for a task, the task's own where no name is given; null: it does not fit.</summary>
    public static LossChoice? Find(string? name, NetworkTask task) =>
        All.FirstOrDefault(l => l.Task == task && (name is null || l.Name == name));
}
