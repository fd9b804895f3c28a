// Sweep.cs: `hpcnet bench --sweep`: time per sample as width, batch or depth of a network grows, beside the roofline made of peak and
// bandwidths measured in the same run. Cost is to grow as the work grows: a point that costs more than its neighbours lead one to
// expect, without the roofline doing the same, is measured again and then reported.

using HpcNet.Cli.Output;
using HpcNet.Cli.Output.Plotting;
using static System.FormattableString;

namespace HpcNet.Cli.Bench;

internal static class Sweep
{
    private const int UsualMilliseconds = 60;
    private const int Classes = 10;
    private const int WidthOfBatches = 256, WidthOfDepths = 128, Batch = 64, Depth = 2;

    // What a point may cost beyond the middle of its neighbours.
    private const double Slack = 1.15;

    // Of the machine's memory, for parameters, gradient and both moments.
    private const double MemoryShare = 0.4;

    private const long LeastCurve = 8 << 10, MostCurve = 256 << 20;

    /// <summary>The least and the usual end of widths and batches.</summary>
    public const int Least = 16, Most = 8192;

    private const int MostDepth = 32;

    private enum Kind
    {
        Training,
        Prediction,
    }

    private sealed record Axis(string Name, string Meaning, int[] Values, Func<int, Place> At);

    private sealed record Place(int Width, int Rows, int Layers)
    {
        // As many batches as are a million numbers at most; the first ones serve again.
        public TrainingWorkload Training => new(
            "sweep", [Width, .. Enumerable.Repeat(Width, Layers), Classes], Activation.ReLU, Activation.Linear, Rows, new Adam(1e-3f),
            Loss.SoftmaxCrossEntropy, Math.Clamp((1 << 20) / (Rows * Width), 1, 64));

        public InferenceWorkload Prediction => new("sweep", Training.Widths, Activation.ReLU, Rows);
    }

    /// <summary>One curve: the times of one axis, kind and number of threads.</summary>
    private sealed record Curve(Axis Axis, Kind Kind, int Threads)
    {
        /// <summary>Nanoseconds of a step; NaN: not measured.</summary>
        public double[] Times { get; } = [.. Axis.Values.Select(_ => double.NaN)];

        /// <summary>Nanoseconds of its floor.</summary>
        public double[] Floors { get; } = [.. Axis.Values.Select(_ => double.NaN)];

        public double PerSample(int i) => Times[i] / Axis.At(Axis.Values[i]).Rows;

        public double FloorPerSample(int i) => Floors[i] / Axis.At(Axis.Values[i]).Rows;

        public string Name => Invariant($"{(Kind == Kind.Training ? "training" : "prediction")}, {Threads} thread{(Threads == 1 ? "" : "s")}");
    }

    /// <summary>The peak and the bandwidth over the size of what is gone over.</summary>
    private sealed class Roofline
    {
        private readonly Device _device;
        private readonly List<(double Bytes, MemoryBandwidth Bandwidth)> _curve = [];
        private double _peak;

        public Roofline(Device device, CancellationToken interrupted)
        {
            _device = device;
            Peak();
            for (long bytes = LeastCurve * device.Threads; bytes <= MostCurve; bytes *= 2)
            {
                interrupted.ThrowIfCancellationRequested();
                MemoryBandwidth measured = device.MeasureMemory(bytes, 40);
                _curve.Add((measured.Bytes, measured));
            }
        }

        /// <summary>Measures the peak again; the best counts.</summary>
        public void Peak() => _peak = Math.Max(_peak, _device.MeasurePeak(3));

        /// <summary>Nanoseconds that a step needs at the least.</summary>
        public double Floor(Workload workload) =>
            Math.Max(workload.Flops / _peak, workload.CompulsoryBytes / Bandwidth(workload.WorkingSet, workload.Traffic));

        private double Bandwidth(double bytes, Traffic traffic)
        {
            int above = _curve.FindIndex(c => c.Bytes >= bytes);
            if (above <= 0)
                return Yardstick.Of(_curve[above < 0 ? ^1 : 0].Bandwidth, traffic);
            double share = Math.Log(bytes / _curve[above - 1].Bytes) / Math.Log(_curve[above].Bytes / _curve[above - 1].Bytes);
            double low = Yardstick.Of(_curve[above - 1].Bandwidth, traffic), high = Yardstick.Of(_curve[above].Bandwidth, traffic);
            return low * Math.Pow(high / low, share);
        }
    }

    /// <summary>Measures, prints the table and what it shows, and draws it if asked to.</summary>
    /// <param name="yardstick">The devices.</param>
    /// <param name="threads">Numbers of threads.</param>
    /// <param name="milliseconds">How long to measure a point; null: the usual time.</param>
    /// <param name="most">Where widths and batches end.</param>
    /// <param name="picture">Where to draw; null: nowhere.</param>
    /// <param name="interrupted">Looked at between points.</param>
    public static void Run(Yardstick yardstick, int[] threads, int? milliseconds, int most, string? picture, CancellationToken interrupted)
    {
        int each = milliseconds ?? UsualMilliseconds;
        Axis[] axes =
        [
            new("width", $"width of {Depth} hidden layers, batch {Batch}", Steps(8, most), width => new Place(width, Batch, Depth)),
            new("batch", $"batch, {Depth} hidden layers of {WidthOfBatches}", Steps(1, most), batch => new Place(WidthOfBatches, batch, Depth)),
            new(
                "depth", $"number of hidden layers of {WidthOfDepths}, batch {Batch}", Steps(1, Math.Min(most, MostDepth)),
                depth => new Place(WidthOfDepths, Batch, depth)),
        ];
        Console.Out.WriteLine($"{yardstick.Device(threads[^1])}\n");
        var curves = new List<Curve>();
        var rooflines = new Dictionary<int, Roofline>();
        foreach (int count in threads)
        {
            Device device = yardstick.Device(count);
            Roofline roofline = rooflines[device.Threads] = new Roofline(device, interrupted);
            foreach (Axis axis in axes)
            {
                Curve training = new(axis, Kind.Training, device.Threads), prediction = new(axis, Kind.Prediction, device.Threads);
                for (int i = 0; i < axis.Values.Length; i++)
                    Measure(device, roofline, training, prediction, i, each, interrupted);
                curves.AddRange([training, prediction]);
            }
        }
        // The peak may have been found late.
        foreach (Curve curve in curves)
            SetFloors(curve, rooflines[curve.Threads]);

        // What looks like a step may have been a neighbour of this process: measured again, and longer, before anything is said.
        foreach (int count in threads)
        {
            Device device = yardstick.Device(count);
            for (int c = 0; c < curves.Count; c += 2)
            {
                if (curves[c].Threads != device.Threads)
                    continue;
                int[] doubtful = [.. Unexplained(curves[c]).Concat(Unexplained(curves[c + 1])).Distinct()];
                foreach (int i in doubtful.SelectMany(i => (int[])[i - 1, i, i + 1]).Distinct())
                    Measure(device, rooflines[device.Threads], curves[c], curves[c + 1], i, 3 * each, interrupted);
            }
        }
        foreach (Curve curve in curves)
            SetFloors(curve, rooflines[curve.Threads]);

        Print(axes, curves);
        if (picture is not null)
        {
            Draw(axes, curves).Save(picture);
            Console.Out.WriteLine($"\nPicture: {picture}");
        }
    }

    // 1, 2, 3, 4, 6, 8, 12, 16, ...: powers of two and what lies between them.
    private static int[] Steps(int first, int last)
    {
        var steps = new List<int>();
        for (int power = first; power <= last; power *= 2)
        {
            steps.Add(power);
            if (power >= 2 && power < last)
                steps.Add(power + power / 2);
        }
        return [.. steps];
    }

    // Training and prediction of one network. A point that would take too much memory stays NaN.
    private static void Measure(
        Device device, Roofline roofline, Curve training, Curve prediction, int i, int milliseconds, CancellationToken interrupted)
    {
        interrupted.ThrowIfCancellationRequested();
        Place place = training.Axis.At(training.Axis.Values[i]);
        TrainingWorkload workload = place.Training;
        if (16.0 * workload.ParameterCount > MemoryShare * device.MemoryBytes)
            return;
        using var run = new SweepRun(workload, device);
        roofline.Peak();
        Sample(run.Trains, training);
        roofline.Peak();
        Sample(run.Predicts, prediction);

        void Sample(WorkloadRun measured, Curve curve)
        {
            var contestant = new Contestant(measured, milliseconds);
            contestant.Warm(milliseconds / 2.0, interrupted);
            contestant.Sample(milliseconds, interrupted);
            curve.Times[i] = double.IsNaN(curve.Times[i]) ? contestant.Best : Math.Min(curve.Times[i], contestant.Best);
        }
    }

    private static void SetFloors(Curve curve, Roofline roofline)
    {
        for (int i = 0; i < curve.Floors.Length; i++)
        {
            Place place = curve.Axis.At(curve.Axis.Values[i]);
            curve.Floors[i] = roofline.Floor(curve.Kind == Kind.Training ? place.Training : place.Prediction);
        }
    }

    /// <summary>Points that cost more than the line between their neighbours says, and more than the roofline does.</summary>
    private static IEnumerable<int> Unexplained(Curve curve)
    {
        for (int i = 1; i + 1 < curve.Times.Length; i++)
        {
            if (Excess(curve.Axis.Values, curve.Times, curve.Floors, i) > Slack)
                yield return i;
        }
    }

    /// <summary>
    /// How much more a time is than on the line between both neighbours (where equal distances are equal factors), over the same of the floor.
    /// </summary>
    internal static double Excess(int[] extents, double[] times, double[] floors, int i)
    {
        double share = Math.Log((double)extents[i] / extents[i - 1]) / Math.Log((double)extents[i + 1] / extents[i - 1]);
        return Over(times) / Math.Max(1, Over(floors));

        double Over(double[] values) => values[i] / (values[i - 1] * Math.Pow(values[i + 1] / values[i - 1], share));
    }

    private static void Print(Axis[] axes, List<Curve> curves)
    {
        foreach (Axis axis in axes)
        {
            Curve[] own = [.. curves.Where(c => c.Axis == axis)];
            var table = new TextTable(
                [axis.Name, .. own.SelectMany(c => new[] { $"{(c.Kind == Kind.Training ? "train" : "predict")} {c.Threads}", "x floor" })]);
            for (int i = 0; i < axis.Values.Length; i++)
            {
                table.Add(
                [
                    Invariant($"{axis.Values[i]}"),
                    .. own.SelectMany(c => double.IsNaN(c.Times[i])
                        ? (string[])["-", "-"]
                        : [BenchReport.Time(c.PerSample(i)), Invariant($"{c.Times[i] / c.Floors[i]:F2}")]),
                ]);
            }
            Console.Out.WriteLine($"Time per sample over the {axis.Meaning}, by threads:\n{table.Format()}");
        }
        string[] steps =
        [
            .. curves.SelectMany(c => Unexplained(c).Select(i =>
                Invariant($"{c.Name}: at {c.Axis.Name} {c.Axis.Values[i]} {BenchReport.Time(c.PerSample(i))} per sample, ")
                + Invariant($"{Excess(c.Axis.Values, c.Times, c.Floors, i):F2} times what {c.Axis.Values[i - 1]} and {c.Axis.Values[i + 1]} lead to"))),
        ];
        Console.Out.WriteLine(steps.Length == 0
            ? "The roofline explains every step."
            : $"Steps that the roofline does not explain:\n{string.Join('\n', steps)}");
    }

    private static Panels Draw(Axis[] axes, List<Curve> curves) => new([.. Enum.GetValues<Kind>().SelectMany(kind => axes.Select(axis =>
    {
        var chart = new Chart
        {
            Title = $"{kind}: {axis.Name}",
            XLabel = axis.Meaning,
            YLabel = "microseconds per sample",
            LogarithmicX = true,
            LogarithmicY = true,
        };
        foreach (Curve curve in curves.Where(c => c.Axis == axis && c.Kind == kind))
        {
            IEnumerable<double> x = axis.Values.Select(v => (double)v);
            IEnumerable<int> all = Enumerable.Range(0, axis.Values.Length);
            chart.Curve(curve.Name, x, all.Select(i => 1e-3 * curve.PerSample(i)));
            chart.Curve($"floor, {curve.Threads} thread{(curve.Threads == 1 ? "" : "s")}", x, all.Select(i => 1e-3 * curve.FloorPerSample(i)), dashed: true);
        }
        return chart;
    }))])
    {
        Title = "Time per sample and the roofline",
        Columns = axes.Length,
    };
}

/// <summary>A network that is trained and asked, since making a large one takes longer than either.</summary>
internal sealed class SweepRun : IDisposable
{
    private readonly TrainingRun _training;
    private readonly Predictor _predictor;

    public SweepRun(TrainingWorkload workload, Device device)
    {
        WorkloadData data = workload.CreateData();
        _training = new TrainingRun(workload, device, data);
        _predictor = _training.Network.CreatePredictor(workload.Rows);
        Predicts = new Asking(_predictor, data.Features[..(workload.Rows * workload.Inputs)], new float[workload.Rows * workload.Outputs]);
    }

    public WorkloadRun Trains => _training;

    public WorkloadRun Predicts { get; }

    public void Dispose()
    {
        _predictor.Dispose();
        _training.Dispose();
    }

    private sealed class Asking(Predictor predictor, float[] x, float[] y) : WorkloadRun
    {
        public override float Step()
        {
            predictor.PredictLogits(x, y);
            return 0f;
        }

        public override void Dispose()
        {
        }
    }
}
