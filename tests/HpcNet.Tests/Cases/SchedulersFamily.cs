// SchedulersFamily.cs: learning rate and momentum step by step, for every schedule. PyTorch's schedulers give rates; the library's give
// factors on the optimizer's rate, which is the base rate (one cycle: the peak).

using System.Globalization;
using System.Text.RegularExpressions;

namespace HpcNet.Tests.Cases;

internal sealed partial class SchedulersFamily : IFamily
{
    public string Name => "schedulers";

    public void Run(ReferenceCase reference, Device device)
    {
        var (schedule, rate) = Of(reference);
        double[] truth = reference.Truth("lr");
        var rates = new float[truth.Length];
        var momenta = new float[truth.Length];
        double[]? metric = reference.Has("metric") ? reference.InDoubles("metric") : null;
        // Through a trainer: it is what remembers a plateau.
        using var network = new Network(device, 2, new Dense(1));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd((float)rate, 0.5f)) { Schedule = schedule };
        for (int step = 0; step < rates.Length; step++)
        {
            rates[step] = trainer.LearningRate;
            momenta[step] = trainer.Momentum!.Value;
            trainer.Step([0f, 0f], [0f]);
            if (metric is not null)
                trainer.ReportMetric(metric[step]);
        }
        reference.Check("lr", rates);
        if (reference.HasTruth("momentum"))
            reference.Check("momentum", momenta);
    }

    private static (Schedule Schedule, double Rate) Of(ReferenceCase reference)
    {
        double rate = reference.Get("base_lr", double.NaN);
        float floor = (float)(reference.Get("eta_min", 0.0) / rate);
        string name = reference.Get("scheduler", "");
        switch (name)
        {
            case "StepLR":
                return (Schedule.StepDecay(reference.Get("step_size", 0), Number("gamma", 0.1)), rate);
            case "MultiStepLR":
                return (Schedule.MultiStepDecay(Number("gamma", 0.1), reference.Get("milestones", Array.Empty<int>())), rate);
            case "ExponentialLR":
                return (Schedule.ExponentialDecay(Number("gamma", 0.1)), rate);
            case "ConstantLR":
                return (Schedule.ConstantFor(Number("factor", 1.0 / 3.0), reference.Get("total_iters", 5)), rate);
            case "LinearLR":
                return (Schedule.Linear(reference.Get("total_iters", 5), Number("start_factor", 1.0 / 3.0), Number("end_factor", 1.0)), rate);
            case "PolynomialLR":
                return (Schedule.PolynomialDecay(reference.Get("total_iters", 5), Number("power", 1.0)), rate);
            case "CosineAnnealingLR":
                return (Schedule.CosineAnnealing(reference.Get("T_max", 0), floor), rate);
            case "CosineAnnealingWarmRestarts":
                return (Schedule.CosineRestarts(reference.Get("T_0", 0), reference.Get("T_mult", 1), floor), rate);
            case "OneCycleLR":
                return (Schedule.OneCycle(
                    reference.Get<int?>("total_steps", null) ?? reference.Get("epochs", 0) * reference.Get("steps_per_epoch", 0),
                    Number("pct_start", 0.3), Strategy(reference), Number("div_factor", 25), Number("final_div_factor", 1e4),
                    reference.Get("three_phase", false), Momentum(0.85, 0.95)), reference.Get("max_lr", double.NaN));
            case "CyclicLR":
                return (Schedule.Cyclic(
                    reference.Get("step_size_up", 2000), (float)(reference.Get("max_lr", double.NaN) / rate), reference.Get<int?>("step_size_down", null),
                    Mode(reference), Number("gamma", 1.0), Momentum(0.8, 0.9)), rate);
            case "ReduceLROnPlateau":
                return (Schedule.ReduceOnPlateau(
                    Number("factor", 0.1), reference.Get("patience", 10), Number("threshold", 1e-4),
                    Choice(reference, "threshold_mode", "rel", "abs"), reference.Get("cooldown", 0), (float)(reference.Get("min_lr", 0.0) / rate),
                    Choice(reference, "mode", "min", "max")), rate);
        }
        if (WarmupThenCosine().Match(name) is { Success: true } sequence)
        {
            int warmup = Whole(sequence, "milestone");
            return (Schedule.Linear(Whole(sequence, "steps"), Part(sequence, "start"), Part(sequence, "end"))
                .Then(warmup, Schedule.CosineAnnealing(Whole(sequence, "half"))), rate);
        }
        if (InverseRoot().Match(name) is { Success: true } root)
        {
            double rise = Part(root, "rise"), fall = Part(root, "fall"), power = Part(root, "power");
            return (Schedule.Custom(t => (float)Math.Min((t + 1) / rise, Math.Pow(fall / (t + 1), power))), rate);
        }
        throw new NotSupportedException($"nothing here knows the scheduler '{name}'");

        float Number(string parameter, double absent) => (float)reference.Get(parameter, absent);

        (float Low, float High)? Momentum(double low, double high) => reference.Get("cycle_momentum", true)
            ? (Number("base_momentum", low), Number("max_momentum", high))
            : null;
    }

    private static bool Strategy(ReferenceCase reference) => Choice(reference, "anneal_strategy", "cos", "linear");

    private static CyclicMode Mode(ReferenceCase reference) => reference.Get("mode", "triangular") switch
    {
        "triangular" => CyclicMode.Triangular,
        "triangular2" => CyclicMode.Triangular2,
        "exp_range" => CyclicMode.ExponentialRange,
        string other => throw new NotSupportedException($"nothing here knows the mode '{other}'"),
    };

    /// <summary>Whether a setting is the second of two; the first is the default.</summary>
    private static bool Choice(ReferenceCase reference, string name, string first, string second)
    {
        string value = reference.Get(name, first);
        return value == second || (value == first ? false : throw new NotSupportedException($"nothing here knows the {name} '{value}'"));
    }

    private static int Whole(Match match, string group) => int.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    private static float Part(Match match, string group) => float.Parse(match.Groups[group].Value, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^SequentialLR\(LinearLR\((?<start>[\d.]+)->(?<end>[\d.]+), (?<steps>\d+)\), CosineAnnealingLR\((?<half>\d+)\)\), milestone (?<milestone>\d+)$")]
    private static partial Regex WarmupThenCosine();

    [GeneratedRegex(@"^LambdaLR: min\(\(t\+1\)/(?<rise>[\d.]+), \((?<fall>[\d.]+)/\(t\+1\)\)\^(?<power>[\d.]+)\)$")]
    private static partial Regex InverseRoot();
}
