// The settings of a training and their defaults. The defaults for the digits were chosen by the accuracy on the held-back fifth
// over many seeds and instruction sets: 97 % with room to spare in a few seconds. The others are a sensible start.

using HpcNet.Cli.Choices;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

/// <summary>How to train.</summary>
internal sealed record TrainingSettings
{
    /// <summary>The name of the layer that <see cref="LossChoice.Output"/> puts behind a last layer that is not linear.</summary>
    public const string Units = "units";

    public required int Epochs { get; init; }

    /// <summary>Examples of a step; null: all of them.</summary>
    public required int? Batch { get; init; }

    public required float LearningRate { get; init; }

    public required int[] Hidden { get; init; }

    public required float Dropout { get; init; }

    public ActivationChoice Activation { get; init; } = ActivationChoice.Default;

    public InitializerChoice? Initializer { get; init; }

    public bool BatchNorm { get; init; }

    public ulong Seed { get; init; }

    public OptimizerChoice Optimizer { get; init; } = OptimizerChoice.Default;

    public float Momentum { get; init; }

    public float WeightDecay { get; init; }

    public ScheduleChoice Schedule { get; init; } = ScheduleChoice.Default;

    /// <summary>Epochs of rising.</summary>
    public float Warmup { get; init; }

    public LossChoice Loss { get; init; } = LossChoice.All[0];

    public float LabelSmoothing { get; init; }

    /// <summary>One weight per class; none: those that make all classes count alike; null: all are 1.</summary>
    public float[]? ClassWeights { get; init; }

    public float Delta { get; init; } = 1f;

    public float L1 { get; init; }

    public float L2 { get; init; }

    public float? MaxNorm { get; init; }

    public float? ClipNorm { get; init; }

    public float? ClipValue { get; init; }

    public float LearningRateDropout { get; init; }

    public int? EarlyStopping { get; init; }

    /// <summary>Whether more was asked for than size and length of the training, so that there is something to say about it.</summary>
    public bool IsChosen { get; init; }

    /// <summary>Whether a part of the examples for training is watched instead: what decides when to stop must not be what judges.</summary>
    public bool Watches => EarlyStopping is not null || Schedule.WatchesLoss;

    public static TrainingSettings ForDigits { get; } =
        new() { Epochs = 40, Batch = 32, LearningRate = 2e-3f, Hidden = [256, 128], Dropout = 0.3f };

    public static TrainingSettings ForMnist { get; } =
        new() { Epochs = 10, Batch = 128, LearningRate = 1e-3f, Hidden = [256, 128], Dropout = 0.2f };

    public static TrainingSettings ForClasses { get; } =
        new() { Epochs = 100, Batch = 32, LearningRate = 2e-3f, Hidden = [64, 32], Dropout = 0.1f };

    public static TrainingSettings ForNumbers { get; } =
        new() { Epochs = 100, Batch = 32, LearningRate = 2e-3f, Hidden = [64, 32], Dropout = 0f };

    /// <summary>The layers in front of <paramref name="outputs"/> outputs: each hidden one with what belongs to it.</summary>
    public Layer[] Layers(int outputs)
    {
        var layers = new List<Layer>();
        Initializer? initializer = Initializer?.Initializer;
        foreach (int width in Hidden)
        {
            // Behind a batch normalization the activation is a layer, and a bias would be subtracted again.
            bool fused = Activation.Function is not null && !BatchNorm;
            bool rectifies = Activation.Function is null || Activation.Function == HpcNet.Activation.ReLU;
            layers.Add(fused
                ? new Dense(width, Activation.Function, initializer)
                : new Dense(width, null, initializer ?? (rectifies ? HpcNet.Initializer.HeNormal : null), bias: !BatchNorm));
            if (BatchNorm)
                layers.Add(new BatchNorm());
            if (!fused)
                layers.Add(Activation.Function is { } function ? new ActivationLayer(function) : Activation.Layer!());
            if (Dropout > 0f)
                layers.Add(new Dropout(Dropout));
        }
        layers.Add(new Dense(outputs, Loss.Output, initializer));
        if (Loss.Output != HpcNet.Activation.Linear)
            layers.Add(new Dense(outputs, null, HpcNet.Initializer.Zeros, bias: false) { Name = Units, Frozen = true });
        return [.. layers];
    }

    /// <summary>The optimizer with its links, for a number of steps; not for L-BFGS.</summary>
    public Optimizer CreateOptimizer(int steps)
    {
        Optimizer optimizer = Optimizer.Create!(new OptimizerSettings(LearningRate, Momentum, WeightDecay, steps));

        // Penalties belong to the loss, whose gradient is clipped; weight decay to the optimizer, behind that.
        optimizer = (L1 > 0f, L2 > 0f) switch
        {
            (true, true) => optimizer.ElasticNet(L1, L2),
            (true, false) => optimizer.L1(L1),
            (false, true) => optimizer.L2(L2),
            _ => optimizer,
        };
        if (ClipValue is { } limit)
            optimizer = optimizer.ClipByValue(limit);
        if (ClipNorm is { } norm)
            optimizer = optimizer.ClipByNorm(norm);
        if (WeightDecay > 0f && !Optimizer.DecaysItself)
            optimizer = optimizer.WeightDecay(WeightDecay);
        if (MaxNorm is { } largest)
            optimizer = optimizer.MaxNorm(largest);
        return LearningRateDropout > 0f ? optimizer.LearningRateDropout(LearningRateDropout) : optimizer;
    }

    /// <summary>The schedule of so many steps.</summary>
    public Schedule CreateSchedule(int stepsPerEpoch)
    {
        int steps = (int)Math.Min(int.MaxValue, (long)stepsPerEpoch * Epochs);
        int warmup = Warmup > 0f ? Math.Max(1, (int)Math.Round((double)Warmup * stepsPerEpoch)) : 0;
        if (!Optimizer.IsScheduled)
            return HpcNet.Schedule.Constant;
        return warmup < steps
            ? Schedule.For(steps, warmup, Epochs, Optimizer.SwingsMomentum && (Optimizer.Momentum is null || Momentum > 0f))
            : throw CliException.Usage(Invariant($"--warmup is {Warmup}; expected fewer than the {Epochs} epochs of the training."));
    }

    /// <summary>The loss for data.</summary>
    public Loss CreateLoss(Dataset train)
    {
        float[]? weights = ClassWeights is { Length: 0 } ? Balanced(train) : ClassWeights;
        return weights is not null && weights.Length != train.ClassCount
            ? throw CliException.Usage($"--class-weights has {weights.Length} weights; the data have {train.ClassCount} classes.")
            : Loss.Create(new LossSettings(LabelSmoothing, weights, Delta));
    }

    /// <summary>The loss as it is called here.</summary>
    public string LossText()
    {
        var settings = new List<string>();
        if (Loss.TakesDelta)
            settings.Add(Invariant($"delta {Delta}"));
        if (LabelSmoothing > 0f)
            settings.Add(Invariant($"label smoothing {LabelSmoothing}"));
        if (ClassWeights is { Length: 0 })
            settings.Add("balanced classes");
        else if (ClassWeights is { } weights)
            settings.Add($"class weights {string.Join(' ', weights.Select(w => Invariant($"{w}")))}");
        return settings.Count == 0 ? Loss.Name : $"{Loss.Name} ({string.Join(", ", settings)})";
    }

    // Each class as if it had its equal share of the rows; one without rows has no say.
    private static float[] Balanced(Dataset train)
    {
        var rows = new int[train.ClassCount];
        foreach (int label in train.Labels)
            rows[label]++;
        return Array.ConvertAll(rows, n => n == 0 ? 0f : (float)((double)train.Count / rows.Length / n));
    }
}
