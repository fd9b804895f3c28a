// The schedules of the command line, with what their shape needs taken from the length of the training. To add one: a row.

namespace HpcNet.Cli.Choices;

/// <summary>What a schedule spans.</summary>
/// <param name="Steps">Steps of the curve: of the whole training, less a warm-up in front of it.</param>
/// <param name="Warmup">Steps of rising that were asked for.</param>
/// <param name="Epochs">Passes over the data.</param>
/// <param name="SwingsMomentum">Whether the optimizer has a momentum to move.</param>
internal sealed record ScheduleSpan(int Steps, int Warmup, int Epochs, bool SwingsMomentum);

/// <summary>A schedule.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Meaning">What help says of it; null: the name says all.</param>
/// <param name="Create">Makes it.</param>
internal sealed record ScheduleChoice(string Name, string? Meaning, Func<ScheduleSpan, Schedule> Create) : Choice(Name, Meaning)
{
    /// <summary>The schedules.</summary>
    public static IReadOnlyList<ScheduleChoice> All { get; } =
    [
        new("cosine", "default; to 0", s => Schedule.CosineDecay(s.Steps + s.Warmup, warmup: s.Warmup)) { WarmsUpItself = true },
        new("constant", null, _ => Schedule.Constant),
        new("step", "a tenth after each third", s => Schedule.StepDecay(Share(s.Steps, 3), 0.1f)),
        new("multi-step", "a tenth after 1/2 and 3/4", s =>
            Schedule.MultiStepDecay(0.1f, Share(s.Steps, 2), Math.Max(1, (int)(0.75 * s.Steps)))),
        new("exponential", "to 1 %", s => Schedule.ExponentialDecay((float)Math.Pow(0.01, 1.0 / s.Steps))),
        new("linear", "to 0", s => Schedule.PolynomialDecay(s.Steps)),
        new("polynomial", "to 0, squared", s => Schedule.PolynomialDecay(s.Steps, power: 2f)),
        new("warmup", "rises, then stays", s => Schedule.LinearWarmup(s.Warmup > 0 ? s.Warmup : Share(s.Steps, 10))) { WarmsUpItself = true },
        // Falls of 1, 2 and 4 sevenths.
        new("restarts", "three cosines", s => Schedule.CosineRestarts(Share(s.Steps, 7), growth: 2)),
        new("one-cycle", "up to the rate, then down to 0", s =>
            Schedule.OneCycle(Math.Max(2, s.Steps), momentum: s.SwingsMomentum ? (0.85f, 0.95f) : null))
        {
            TakesWarmup = false,
        },
        new("cyclic", "swings from the rate to its triple, less each time", s =>
            Schedule.Cyclic(Share(s.Steps, 8), peak: 3f, mode: CyclicMode.Triangular2))
        {
            TakesWarmup = false,
        },
        new("plateau", "falls where the loss on a tenth of the examples, which is not trained on, stays", s =>
            Schedule.ReduceOnPlateau(0.3f, patience: Share(s.Epochs, 10)))
        {
            WatchesLoss = true,
        },
    ];

    /// <summary>The one that is taken where none is named.</summary>
    public static ScheduleChoice Default => All[0];

    /// <summary>Whether --warmup goes with it: a curve that begins low rises already.</summary>
    public bool TakesWarmup { get; init; } = true;

    /// <summary>Whether the curve has the warm-up in it; if not, it is put in front.</summary>
    public bool WarmsUpItself { get; init; }

    /// <summary>Whether it needs examples that are not trained on.</summary>
    public bool WatchesLoss { get; init; }

    /// <summary>Makes the schedule of a training.</summary>
    /// <param name="steps">Steps of the training.</param>
    /// <param name="warmup">Steps of rising, fewer than <paramref name="steps"/>.</param>
    /// <param name="epochs">Passes over the data.</param>
    /// <param name="swingsMomentum">Whether the optimizer has a momentum to move.</param>
    public Schedule For(int steps, int warmup, int epochs, bool swingsMomentum)
    {
        Schedule curve = Create(new ScheduleSpan(steps - warmup, warmup, epochs, swingsMomentum));
        return warmup == 0 || WarmsUpItself ? curve : Schedule.LinearWarmup(warmup).Then(warmup, curve);
    }

    private static int Share(int of, int parts) => Math.Max(1, (of + parts - 1) / parts);
}
