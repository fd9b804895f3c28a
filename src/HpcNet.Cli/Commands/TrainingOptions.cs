// The options behind TrainingSettings. What is wrong with one of them alone is found while the line is parsed; what does not go
// together, in Check, before anything is read; what does not fit the data, in Settings.

using System.CommandLine;
using HpcNet.Cli.Choices;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

/// <summary>The options of a training; what is not given comes from the defaults for the data.</summary>
internal sealed class TrainingOptions
{
    private readonly Option<ulong?> _seed = Options.Seed("--seed", "Seed of initial weights, order of examples and dropout (default 1).");

    private readonly Option<int?> _epochs = Options.Whole(
        "--epochs", $"Passes over the data, of lbfgs iterations at most {Defaults(s => $"{s.Epochs}")}.", 1);

    private readonly Option<int?> _batch = Options.Whole(
        "--batch", $"Examples of a step {Defaults(s => $"{s.Batch}")}; rprop and lbfgs take all.", 1);

    private readonly Option<float?> _learningRate = Options.Positive(
        "--learning-rate",
        $"The learning rate that the schedule scales (default: adam {Defaults(s => Invariant($"{s.LearningRate}"), bare: true)}; "
        + $"{string.Join("; ", OptimizerChoice.All.Where(o => o.LearningRate is not null).GroupBy(o => o.LearningRate)
            .Select(g => Invariant($"{Choice.List(g.Select(o => o.Name), "and")} {g.Key}")))}).");

    private readonly Option<int[]?> _hidden = Options.Widths(
        "--hidden", $"Widths of the hidden layers {Defaults(s => string.Join(',', s.Hidden))}. None: linear, logistic or softmax regression.");

    private readonly Option<ActivationChoice?> _activation = Options.Row(
        "--activation", "Activation of the hidden layers (default relu):", ActivationChoice.All);

    private readonly Option<InitializerChoice?> _initializer = Options.Row(
        "--initializer", "How weights begin (default he-normal before relu, else glorot-uniform):", InitializerChoice.All);

    private readonly Option<bool> _batchNorm = Options.Switch("--batch-norm", "Normalize each hidden layer over the batch.");

    private readonly Option<float?> _dropout = Options.Share(
        "--dropout", $"Share of hidden outputs that are dropped while training {Defaults(s => Invariant($"{s.Dropout}"))}; rprop and lbfgs 0.");

    private readonly Option<OptimizerChoice?> _optimizer = Options.Row(
        "--optimizer", "How gradients change weights (default adam):", OptimizerChoice.All);

    private readonly Option<float?> _momentum = Options.Share(
        "--momentum", $"Share of the last step that is kept, for {Choice.List(Momentums.Select(o => Invariant($"{o.Name} ({o.Momentum})")), "and")}.");

    private readonly Option<float?> _weightDecay = Options.NotNegative(
        "--weight-decay", "Draws weights to 0 at each step; decoupled from the gradient with adamw (default 0; adamw 0.01).");

    private readonly Option<ScheduleChoice?> _schedule = Options.Row(
        "--schedule", "How the learning rate moves:", ScheduleChoice.All);

    private readonly Option<float?> _warmup = Options.Positive(
        "--warmup", "Epochs in which the learning rate rises first; 0.5 is half of one (default 0; with --schedule warmup a tenth).");

    private readonly Option<string?> _loss = Options.OneOf(
        "--loss", "What becomes small. For " + string.Join("; for ", LossChoice.All.GroupBy(l => l.Task).Select(g =>
            $"{TaskName(g.Key)} {Choice.List(g.Select((l, i) => i == 0 ? $"{l.Name} (default)" : l.Name))}")) + ".",
        [.. LossChoice.Names]);

    private readonly Option<float?> _labelSmoothing = Options.Share(
        "--label-smoothing", "Share of a class's target that all classes get alike, for cross-entropy (default 0).");

    private readonly Option<float[]?> _classWeights = Options.Weights(
        "--class-weights", "What each class weighs in the loss, in their order; balanced: all classes alike, however rare.");

    private readonly Option<float?> _delta = Options.Positive(
        "--delta", "Where huber and smooth-l1 turn from a square into a line, in standard deviations of the target (default 1).");

    private readonly Option<float?> _l1 = Options.NotNegative("--l1", "Adds X times the sum of the weights' magnitudes to the loss.");

    private readonly Option<float?> _l2 = Options.NotNegative("--l2", "Adds X times the sum of the weights' squares to the loss.");

    private readonly Option<float?> _maxNorm = Options.Positive("--max-norm", "The largest norm of the weights of one unit.");

    private readonly Option<float?> _clipNorm = Options.Positive("--clip-norm", "The largest norm of the gradient of a step.");

    private readonly Option<float?> _clipValue = Options.Positive("--clip-value", "The largest magnitude of each number in the gradient.");

    private readonly Option<float?> _learningRateDropout = Options.Share(
        "--lr-dropout", "Share of weights that stay as they are at each step (default 0).");

    private readonly Option<int?> _earlyStopping = Options.Whole(
        "--early-stopping", "Stop after N epochs that are no better on a tenth of the examples, which is not trained on; the best epoch "
        + "is kept.", 1);

    /// <summary>The options in groups, for help.</summary>
    public OptionGroup[] Groups =>
    [
        new("Network", [_hidden, _activation, _initializer, _batchNorm, _dropout]),
        new("Training", [_epochs, _batch, _seed, _loss, _labelSmoothing, _classWeights, _delta]),
        new("Optimizer", [_optimizer, _learningRate, _momentum, _weightDecay, _schedule, _warmup]),
        new("Regularization", [_earlyStopping, _l1, _l2, _maxNorm, _clipNorm, _clipValue, _learningRateDropout]),
    ];

    // Those that say nothing new when they are named in the output: sizes and lengths are there anyway.
    private Option[] Plain => [_hidden, _activation, _dropout, _epochs, _batch, _seed];

    private static IEnumerable<OptimizerChoice> Momentums => OptimizerChoice.All.Where(o => o.Momentum is not null);

    /// <summary>Whether the options go together.</summary>
    public void Check(ParseResult line)
    {
        OptimizerChoice optimizer = line.GetValue(_optimizer) ?? OptimizerChoice.Default;
        (Option Option, Func<OptimizerChoice, bool> Takes)[] rules =
        [
            (_momentum, o => o.Momentum is not null),
            (_weightDecay, o => o.WeightDecay is not null),
            (_schedule, o => o.IsScheduled),
            (_warmup, o => o.IsScheduled),
            (_earlyStopping, o => !o.IsLbfgs && !o.Averages),
            .. ((Option[])[_learningRate, _batch, _dropout, _batchNorm, _l1, _l2, _maxNorm, _clipNorm, _clipValue, _learningRateDropout])
                .Select(option => (option, (Func<OptimizerChoice, bool>)(o => !o.IsLbfgs))),
        ];
        foreach ((Option option, Func<OptimizerChoice, bool> takes) in rules)
        {
            if (!takes(optimizer) && line.Has(option))
                throw CliException.Usage($"{option.Name} does not go with --optimizer {optimizer.Name}; it goes with {Takers(takes)}.");
        }
        if (line.Has(_hidden) && line.GetValue(_hidden) is { Length: 0 })
        {
            foreach (Option option in (Option[])[_activation, _batchNorm, _dropout])
            {
                if (line.Has(option))
                    throw CliException.Usage($"{option.Name} does not go with --hidden none: it is about hidden layers.");
            }
        }
        if (optimizer.NeedsMomentum && line.GetValue(_momentum) == 0f)
            throw CliException.Usage($"--momentum is 0; expected more with --optimizer {optimizer.Name}.");
        if (line.GetValue(_schedule) is { TakesWarmup: false } schedule && line.Has(_warmup))
            throw CliException.Usage($"--warmup does not go with --schedule {schedule.Name}, which rises by itself.");
    }

    /// <summary>The settings for data.</summary>
    public TrainingSettings Settings(ParseResult line, TrainingSettings defaults, NetworkTask task)
    {
        OptimizerChoice optimizer = line.GetValue(_optimizer) ?? OptimizerChoice.Default;
        string? lossName = line.GetValue(_loss);
        LossChoice loss = LossChoice.Find(lossName, task) ?? throw CliException.Usage(
            $"--loss {lossName} does not go with {TaskName(task)}, which the target asks for; expected "
            + $"{Choice.List(LossChoice.All.Where(l => l.Task == task).Select(l => l.Name))}.");
        (Option Option, bool Taken)[] rules =
            [(_labelSmoothing, loss.TakesLabelSmoothing), (_classWeights, loss.TakesClassWeights), (_delta, loss.TakesDelta)];
        foreach ((Option option, bool taken) in rules)
        {
            if (!taken && line.Has(option))
                throw CliException.Usage($"{option.Name} does not go with --loss {loss.Name} of {TaskName(task)}.");
        }
        InitializerChoice? initializer = line.GetValue(_initializer);
        int[] hidden = line.Has(_hidden) ? line.GetValue(_hidden)! : defaults.Hidden;
        if (initializer is { OnlyWithoutHidden: true } && hidden.Length > 0)
            throw CliException.Usage($"--initializer {initializer.Name} leaves all units of a hidden layer alike; it goes with --hidden none.");
        return defaults with
        {
            Seed = line.GetValue(_seed) ?? 1,
            Epochs = line.GetValue(_epochs) ?? defaults.Epochs,
            Batch = line.GetValue(_batch) ?? (optimizer.FullBatch ? null : defaults.Batch),
            LearningRate = line.GetValue(_learningRate) ?? optimizer.LearningRate ?? defaults.LearningRate,
            Hidden = hidden,
            Activation = line.GetValue(_activation) ?? defaults.Activation,
            Initializer = initializer,
            BatchNorm = line.GetValue(_batchNorm),
            Dropout = line.GetValue(_dropout) ?? (optimizer.FullBatch ? 0f : defaults.Dropout),
            Optimizer = optimizer,
            Momentum = line.GetValue(_momentum) ?? optimizer.Momentum ?? 0f,
            WeightDecay = line.GetValue(_weightDecay) ?? optimizer.WeightDecay ?? 0f,
            Schedule = line.GetValue(_schedule) ?? defaults.Schedule,
            Warmup = line.GetValue(_warmup) ?? 0f,
            Loss = loss,
            LabelSmoothing = line.GetValue(_labelSmoothing) ?? 0f,
            ClassWeights = line.Has(_classWeights) ? line.GetValue(_classWeights) : null,
            Delta = line.GetValue(_delta) ?? defaults.Delta,
            L1 = line.GetValue(_l1) ?? 0f,
            L2 = line.GetValue(_l2) ?? 0f,
            MaxNorm = line.GetValue(_maxNorm),
            ClipNorm = line.GetValue(_clipNorm),
            ClipValue = line.GetValue(_clipValue),
            LearningRateDropout = line.GetValue(_learningRateDropout) ?? 0f,
            EarlyStopping = line.GetValue(_earlyStopping),
            IsChosen = task == NetworkTask.MultiLabel || Groups.SelectMany(g => g.Options).Except(Plain).Any(line.Has),
        };
    }

    private static string TaskName(NetworkTask task) => task.ToString().ToLowerInvariant();

    private static string Takers(Func<OptimizerChoice, bool> takes)
    {
        string[] names = [.. OptimizerChoice.All.Where(takes).Select(o => o.Name)];
        string[] others = [.. OptimizerChoice.All.Where(o => !takes(o)).Select(o => o.Name)];
        return names.Length <= others.Length ? Choice.List(names, "and") : $"all but {Choice.List(others, "and")}";
    }

    private static string Defaults(Func<TrainingSettings, string> setting, bool bare = false)
    {
        string classes = setting(TrainingSettings.ForClasses), numbers = setting(TrainingSettings.ForNumbers);
        string values = $"{setting(TrainingSettings.ForDigits)}; mnist {setting(TrainingSettings.ForMnist)}; CSV {classes}"
            + $"{(numbers == classes ? "" : $", regression {numbers}")}";
        return bare ? values : $"(default {values})";
    }
}
