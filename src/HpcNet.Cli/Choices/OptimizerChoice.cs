// The optimizers of the command line: one table, from which help, parsing and training take what they need.
// To add one: a row. A test holds that every optimizer of the library has one.

namespace HpcNet.Cli.Choices;

/// <summary>What an optimizer is made from.</summary>
/// <param name="LearningRate">The learning rate.</param>
/// <param name="Momentum">The momentum; 0 where the optimizer takes none.</param>
/// <param name="WeightDecay">The weight decay.</param>
/// <param name="Steps">Steps of the whole training.</param>
internal sealed record OptimizerSettings(float LearningRate, float Momentum, float WeightDecay, int Steps);

/// <summary>An optimizer.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Create">Makes it; null for L-BFGS, which is no rule for steps but a minimization of its own.</param>
internal sealed record OptimizerChoice(string Name, Func<OptimizerSettings, Optimizer>? Create) : Choice(Name)
{
    /// <summary>The optimizers.</summary>
    public static IReadOnlyList<OptimizerChoice> All { get; } =
    [
        new("adam", s => new Adam(s.LearningRate)) { LearningRate = null, SwingsMomentum = true },
        new("amsgrad", s => new Adam(s.LearningRate, amsGrad: true)) { LearningRate = 1e-3f, SwingsMomentum = true },
        new("adamw", s => new AdamW(s.LearningRate, weightDecay: s.WeightDecay))
        {
            LearningRate = 1e-3f, WeightDecay = 1e-2f, DecaysItself = true, SwingsMomentum = true,
        },
        new("adamax", s => new Adamax(s.LearningRate)) { LearningRate = 2e-3f, SwingsMomentum = true },
        new("nadam", s => new NAdam(s.LearningRate)) { LearningRate = 2e-3f, SwingsMomentum = true },
        new("radam", s => new RAdam(s.LearningRate)) { LearningRate = 1e-3f, SwingsMomentum = true },
        new("sgd", s => new Sgd(s.LearningRate)) { LearningRate = 1e-1f },
        new("momentum", s => new Sgd(s.LearningRate, s.Momentum)) { LearningRate = 1e-2f, Momentum = 0.9f, SwingsMomentum = true },
        new("nesterov", s => new Sgd(s.LearningRate, s.Momentum, nesterov: true))
        {
            LearningRate = 1e-2f, Momentum = 0.9f, NeedsMomentum = true, SwingsMomentum = true,
        },
        // The average of the second half of the steps is what is kept: the first half only finds the region.
        new("asgd", s => new AveragedSgd(s.LearningRate, start: s.Steps / 2)) { LearningRate = 1e-1f, Averages = true },
        new("adagrad", s => new Adagrad(s.LearningRate)) { LearningRate = 1e-2f },
        new("rmsprop", s => new RmsProp(s.LearningRate, momentum: s.Momentum)) { LearningRate = 1e-3f, Momentum = 0f },
        new("adadelta", s => new Adadelta(s.LearningRate)) { LearningRate = 1f },
        new("rprop", s => new Rprop(s.LearningRate))
        {
            LearningRate = 1e-2f, WeightDecay = null, FullBatch = true, IsScheduled = false,
        },
        new("lbfgs", null) { LearningRate = null, WeightDecay = null, FullBatch = true, IsScheduled = false },
    ];

    /// <summary>The one that is taken where none is named.</summary>
    public static OptimizerChoice Default => All[0];

    /// <summary>The customary learning rate; null: that of the data's defaults (of L-BFGS: it has none).</summary>
    public required float? LearningRate { get; init; }

    /// <summary>The customary momentum; null: it takes none.</summary>
    public float? Momentum { get; init; }

    /// <summary>The customary weight decay; null: it takes none.</summary>
    public float? WeightDecay { get; init; } = 0f;

    /// <summary>Whether it has no meaning without a momentum.</summary>
    public bool NeedsMomentum { get; init; }

    /// <summary>Whether the weight decay is part of the rule (decoupled), not of the gradient.</summary>
    public bool DecaysItself { get; init; }

    /// <summary>Whether a one-cycle schedule can move its momentum, or what stands for it.</summary>
    public bool SwingsMomentum { get; init; }

    /// <summary>Whether it wants all examples in one step.</summary>
    public bool FullBatch { get; init; }

    /// <summary>Whether a schedule has a meaning.</summary>
    public bool IsScheduled { get; init; } = true;

    /// <summary>Whether the averages of the parameters are the result.</summary>
    public bool Averages { get; init; }

    /// <summary>Whether it is L-BFGS.</summary>
    public bool IsLbfgs => Create is null;
}
