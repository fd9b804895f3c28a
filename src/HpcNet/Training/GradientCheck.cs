// GradientCheck.cs: the program's gradients against central differences of the program's loss. It records what training
// records (dropout with a fixed mask), on a copy of the parameters, and checks every parameter and every input.
//
// Method. Differences over ±h and ±h/2 with h = 0.01 max(1, |value|) are extrapolated (Richardson), n = (4 D(h/2) - D(h)) / 3,
// which leaves an error of order h^4. What the loss's own rounding adds is measured, not guessed: of a smooth function the
// fourth difference of those five points is nothing but rounding, and has sqrt(70) times its deviation (Moré and Wild,
// Estimating Computational Noise, 2011). Where the function has a kink within ±h (ReLU), differences mean nothing; a kink
// shows as D(h) and D(h/2), or the second differences at h and h/2, disagreeing by far more than a smooth function's would.
// Such elements are counted as skipped. The error of an element is |a - n| / max(|a|, |n|, floor): relative, with a floor of a
// tenth of the largest difference of the same parameter, or where the noise is a hundredth of: below, it would speak louder
// than the gradient.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>How well the gradient of one parameter, or of the input, agrees with differences of the loss.</summary>
/// <param name="Name">The parameter's name; <c>input</c> for the network's input.</param>
/// <param name="WorstError">The largest error |a − n| / max(|a|, |n|, floor) of an element.</param>
/// <param name="WorstIndex">The element that has it, in the row-major order of the values in memory.</param>
/// <param name="Gradient">The program's gradient a there.</param>
/// <param name="Numeric">The difference quotient n there.</param>
/// <param name="Checked">Elements compared.</param>
/// <param name="Skipped">Elements beside a kink of the function, where differences mean nothing.</param>
public sealed record GradientCheckEntry(
    string Name, double WorstError, int WorstIndex, double Gradient, double Numeric, int Checked, int Skipped);

/// <summary>The result of a <see cref="GradientCheck"/>.</summary>
/// <param name="Entries">One entry per parameter, and one for the input.</param>
public sealed record GradientCheckReport(IReadOnlyList<GradientCheckEntry> Entries)
{
    /// <summary>The largest error of all.</summary>
    public double WorstError => Entries.Max(e => e.WorstError);

    /// <summary>Whether all errors are below the tolerance and no more than half of any entry was skipped.</summary>
    /// <param name="tolerance">The largest error allowed.</param>
    public bool Passes(double tolerance = 1e-2) => Entries.All(e => e.WorstError < tolerance && e.Checked >= e.Skipped);

    /// <summary>A line per entry.</summary>
    public override string ToString() => string.Join('\n', Entries.Select(e => FormattableString.Invariant(
        $"{e.Name}: worst error {e.WorstError:E2} at {e.WorstIndex} (gradient {e.Gradient:G6}, differences {e.Numeric:G6}), {e.Checked} checked, {e.Skipped} skipped")));
}

/// <summary>
/// Compares the gradients that training uses with central differences of the loss, for every parameter and every input. Meant
/// for tests and small networks: each element costs five runs. The network is not changed; frozen layers are checked as well.
/// </summary>
public static unsafe class GradientCheck
{
    private const float RelativeStep = 0.01f;
    private const double FloorShare = 0.1;
    private const double SmallestFloor = 1e-3;

    private const double KinkShare = 2e-3;
    private const double KinkNoise = 5e-5;

    // Of the lowest quarter of fourth differences, so that even many kinks do not pass for noise: a quarter of a normal
    // variable's values is below 0.3186 deviations. Never less than the deviation of one rounding to a float32 loss, 1 / sqrt(12)
    // units in the last place, though the differences may be zero where no change reaches it; and never more than a hundred.
    private const double FourthDifference = 8.366600265340756;
    private const double LowestQuarter = 0.3186;
    private const double LeastNoise = 1.1920928955078125e-7 * 0.2887;
    private const double MostNoise = 100 * 1.1920928955078125e-7;

    // Deviations of n and of what shows a kink, per noise / h; and how many of them are still chance.
    private const double SlopeNoise = 1.9;
    private const double BendNoise = 4.9;
    private const double Chance = 4;

    /// <summary>Checks a network and a loss on class labels.</summary>
    /// <param name="network">The network; <see cref="Network.Preprocessing"/> is not applied.</param>
    /// <param name="loss">The loss.</param>
    /// <param name="x">[rows × inputs], row-major; values of about 1.</param>
    /// <param name="labels">[rows], each from 0 to outputs − 1, or the one that the loss ignores.</param>
    /// <param name="seed">The seed of the dropout masks.</param>
    /// <exception cref="ArgumentException">A span has another length, or the loss does not take labels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public static GradientCheckReport Run(Network network, Loss loss, ReadOnlySpan<float> x, ReadOnlySpan<int> labels, ulong seed = 0)
    {
        int rows = Ensure.WholeRows(x.Length, Ensure.NotNull(network).Inputs, nameof(x), DataChecks.Reader(network));
        DataChecks.TakesLabels(Ensure.NotNull(loss), nameof(labels));
        Ensure.Length(labels.Length, rows, nameof(labels), "one for each row");
        Ensure.Labels(labels, network.Outputs, nameof(labels), loss.Ignored);
        fixed (int* target = labels)
            return Run(network, loss, x, rows, target, rows, labels: true, seed, plain: false, mutate: null);
    }

    /// <summary>Checks a network and a loss on targets.</summary>
    /// <param name="network">The network; <see cref="Network.Preprocessing"/> is not applied.</param>
    /// <param name="loss">The loss.</param>
    /// <param name="x">[rows × inputs], row-major; values of about 1.</param>
    /// <param name="targets">[rows × outputs], row-major.</param>
    /// <param name="seed">The seed of the dropout masks.</param>
    /// <exception cref="ArgumentException">A span has another length, or the loss takes labels only.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public static GradientCheckReport Run(Network network, Loss loss, ReadOnlySpan<float> x, ReadOnlySpan<float> targets, ulong seed = 0) =>
        Run(network, loss, x, targets, seed, plain: false, mutate: null);

    /// <summary>The same, on plain programs or with a hand on the gradients: tests see that a wrong one is found.</summary>
    internal static GradientCheckReport Run(
        Network network, Loss loss, ReadOnlySpan<float> x, ReadOnlySpan<float> targets, ulong seed, bool plain, Action<float[]>? mutate)
    {
        int rows = Ensure.WholeRows(x.Length, Ensure.NotNull(network).Inputs, nameof(x), DataChecks.Reader(network));
        DataChecks.TakesTargets(Ensure.NotNull(loss), nameof(targets));
        Ensure.Matrix(targets.Length, rows, network.Outputs, nameof(targets));
        fixed (float* target = targets)
            return Run(network, loss, x, rows, target, targets.Length, labels: false, seed, plain, mutate);
    }

    private static GradientCheckReport Run(
        Network network, Loss loss, ReadOnlySpan<float> x, int rows, void* target, long targetElements, bool labels, ulong seed, bool plain,
        Action<float[]>? mutate)
    {
        network.ThrowIfDisposed();
        DataChecks.EnoughRows(network, rows, rows, training: true, nameof(x));
        DataChecks.Indices(network, x, nameof(x));
        loss.CheckOutputs(network.Outputs, nameof(loss));
        NetworkGraph graph = network.Graph;
        using var program = new CheckedProgram(network, loss, rows, labels, seed, plain, target, targetElements);
        float[] inputs = x.ToArray();
        float[] parameters = program.ReadParameters();
        var inputGradient = new float[inputs.Length];
        program.Loss(inputs, inputGradient);
        float[] gradients = program.ReadGradients();
        mutate?.Invoke(gradients);

        // Rows of about 1 each, which may cancel in the sum; their rounding does not.
        double size = loss.Reduction == Reduction.Sum ? rows : 1;
        var entries = new List<GradientCheckEntry>();
        foreach (ParameterSegment segment in graph.Segments)
        {
            int from = segment.Offset;
            entries.Add(Compare(segment.Name, size, parameters.AsSpan(from, segment.Length), gradients.AsSpan(from, segment.Length), (i, value) =>
            {
                program.WriteParameter(from + i, value);
                double result = program.Loss(inputs, null);
                program.WriteParameter(from + i, parameters[from + i]);
                return result;
            }));
        }
        // What is looked up has no derivative.
        int[] smooth =
        [
            .. Enumerable.Range(0, inputs.Length).Where(
                i => !Array.Exists(network.IndexColumns, c => i % network.Inputs >= c.First && i % network.Inputs < c.First + c.Columns)),
        ];
        if (smooth.Length == 0)
            return new GradientCheckReport(entries);
        float[] places = Array.ConvertAll(smooth, i => inputs[i]);
        entries.Add(Compare("input", size, places, Array.ConvertAll(smooth, i => inputGradient[i]), (i, value) =>
        {
            inputs[smooth[i]] = value;
            double result = program.Loss(inputs, null);
            inputs[smooth[i]] = places[i];
            return result;
        }));
        return new GradientCheckReport(entries);
    }

    private static GradientCheckEntry Compare(
        string name, double size, ReadOnlySpan<float> values, ReadOnlySpan<float> gradient, Func<int, float, double> lossWith)
    {
        var numeric = new double[values.Length];
        var kinks = new double[values.Length];
        var roundings = new double[values.Length];
        double kinkNoise = KinkNoise, largestLoss = size;
        for (int i = 0; i < values.Length; i++)
        {
            double h = RelativeStep * Math.Max(1f, Math.Abs(values[i]));
            double middle = lossWith(i, values[i]);
            var (slope, bend, sum) = Differences(i, values[i], h, middle, lossWith);
            var (halfSlope, halfBend, halfSum) = Differences(i, values[i], h / 2, middle, lossWith);
            numeric[i] = (4 * halfSlope - slope) / 3;
            kinks[i] = Math.Max(Math.Abs(slope - halfSlope), Math.Abs(2 * halfBend - bend) / 2);
            roundings[i] = Math.Abs(sum - 4 * halfSum + 6 * middle) / (FourthDifference * h);
            kinkNoise = Math.Max(kinkNoise, KinkNoise * Math.Abs(middle));
            largestLoss = Math.Max(largestLoss, Math.Abs(middle));
        }

        Array.Sort(roundings);
        double noise = Math.Clamp(
            roundings[roundings.Length / 4] / LowestQuarter, LeastNoise * largestLoss / RelativeStep, MostNoise * largestLoss / RelativeStep);
        kinkNoise = Math.Max(kinkNoise, Chance * BendNoise * noise);
        double floor = Math.Max(Math.Max(SmallestFloor, 100 * Chance * SlopeNoise * noise), FloorShare * numeric.Max(Math.Abs));
        int worst = -1;
        double worstError = 0;
        int skipped = 0;
        for (int i = 0; i < values.Length; i++)
        {
            if (kinks[i] > Math.Max(kinkNoise, KinkShare * Math.Max(floor, Math.Abs(numeric[i]))))
            {
                skipped++;
                continue;
            }
            double error = Math.Abs(gradient[i] - numeric[i]) / Math.Max(floor, Math.Max(Math.Abs(gradient[i]), Math.Abs(numeric[i])));
            // A NaN is the worst of all.
            if (worst < 0 || !(error <= worstError))
                (worst, worstError) = (i, double.IsNaN(error) ? double.PositiveInfinity : error);
        }
        return new GradientCheckEntry(
            name, worstError, Math.Max(worst, 0), worst < 0 ? 0 : gradient[worst], worst < 0 ? 0 : numeric[worst], values.Length - skipped, skipped);
    }

    // First difference, second difference divided by h, and the sum of both, over the points that single precision really has.
    private static (double Slope, double Bend, double Sum) Differences(int i, float value, double h, double middle, Func<int, float, double> lossWith)
    {
        float up = (float)(value + h);
        float down = (float)(value - h);
        double above = lossWith(i, up);
        double below = lossWith(i, down);
        double right = (above - middle) / ((double)up - value);
        double left = (middle - below) / ((double)value - down);
        return ((above - below) / ((double)up - down), right - left, above + below);
    }

    /// <summary>Forward, loss and backward on a copy of the parameters.</summary>
    private sealed class CheckedProgram : IDisposable
    {
        private readonly DeviceBuffer _parameters;
        private readonly DeviceBuffer _gradients;
        private readonly DeviceBuffer? _state;
        private readonly NativeProgram _program;
        private readonly Value _x;
        private readonly Value _target;
        private readonly Value _inputGradient;
        private readonly Loss _loss;
        private readonly void* _targetData;
        private readonly long _targetElements;
        private readonly int _rows;

        public CheckedProgram(
            Network network, Loss loss, int rows, bool labels, ulong seed, bool plain, void* targetData, long targetElements)
        {
            _loss = loss;
            _rows = rows;
            _targetData = targetData;
            _targetElements = targetElements;
            _parameters = new DeviceBuffer(network.Device, network.Graph.Elements);
            _gradients = new DeviceBuffer(network.Device, network.Graph.Elements);
            _state = network.State is null ? null : new DeviceBuffer(network.Device, network.Graph.StateElements);
            lock (network.Gate)
            {
                network.ThrowIfDisposed();
                network.Parameters.CopyTo(_parameters);
                network.State?.CopyTo(_state!);
            }
            using var recorder = new Recorder(network.Device, rows, plain);
            var graph = new GraphRecorder(
                network.Graph, recorder, _parameters, _gradients,
                new RecordingPurpose
                {
                    Training = true,
                    Backward = true,
                    InputGradient = true,
                    Trains = static _ => true,
                    State = _state,
                    Seed = seed,
                    RandomStream = static node => RandomStreams.Dropout(node),
                },
                hpc_value_kind.HPC_VALUE_TEMPORARY);
            _x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
            _target = labels
                ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32)
                : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets");
            Value output = graph.Forward(_x);
            Value gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "loss.gradient");
            loss.RecordForward(recorder, output, _target);
            loss.RecordBackward(recorder, output, _target, gradient);
            Value inputGradient = graph.Backward(gradient);
            _inputGradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, network.Inputs, "input.gradient");
            recorder.Fill(_inputGradient, 0f);
            recorder.AddScaled(inputGradient, _inputGradient, 1f);
            _program = recorder.Finish();
        }

        public float[] ReadParameters() => Read(_parameters);

        public float[] ReadGradients() => Read(_gradients);

        public void WriteParameter(int index, float value) => _parameters.Write<float>([value], index);

        /// <summary>One run: the reduced loss.</summary>
        public double Loss(float[] x, float[]? inputGradient)
        {
            hpc_metrics metrics;
            fixed (float* input = x)
            fixed (float* output = inputGradient)
            {
                Span<hpc_transfer> transfers =
                [
                    NativeProgram.Transfer(_x, input, x.Length),
                    NativeProgram.Transfer(_target, _targetData, _targetElements),
                    NativeProgram.Transfer(_inputGradient, output, x.Length),
                ];
                _program.RunWith(_rows, [], inputGradient is null ? transfers[..2] : transfers, &metrics);
            }
            return _loss.Reduced(metrics.loss, metrics.weight);
        }

        public void Dispose()
        {
            _program.Dispose();
            _parameters.Dispose();
            _gradients.Dispose();
            _state?.Dispose();
        }

        private static float[] Read(DeviceBuffer buffer)
        {
            var values = new float[buffer.Elements];
            buffer.Read<float>(values);
            return values;
        }
    }
}
