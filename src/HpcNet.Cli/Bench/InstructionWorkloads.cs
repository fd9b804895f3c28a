// Workloads that are one instruction of the core, or a few: matrix products, a dense layer, an update, a recurrent layer there and back.
// They are recorded directly, since no public member of the library is as small.

using System.Diagnostics;
using HpcNet.Interop;

namespace HpcNet.Cli.Bench;

/// <summary>One matrix product, by the provider of the device.</summary>
/// <param name="M">Rows of C.</param>
/// <param name="N">Columns of C.</param>
/// <param name="K">The depth.</param>
/// <param name="Form">How the operands are stored.</param>
internal sealed record ProductWorkload(int M, int N, int K, ProductForm Form)
    : Workload(
        $"gemm-{M}x{N}x{K}-{Form.ToString().ToLowerInvariant()}",
        $"C[{M} x {N}] = {(Form == ProductForm.TN ? "Aᵀ" : "A")} {(Form == ProductForm.NT ? "Bᵀ" : "B")}, depth {K}")
{
    public override int Rows => M;

    public override double Flops => 2.0 * M * N * K;

    public override double CompulsoryBytes => 4.0 * ((double)M * K + (double)K * N + (double)M * N);

    public override double WorkingSet => CompulsoryBytes;

    /// <summary>The operands A and B, row-major as they are stored.</summary>
    public (float[] A, float[] B) CreateOperands() => (WorkloadData.Normal(M * K, 1), WorkloadData.Normal(K * N, 2));

    /// <summary>The product of a name; null: the name is none.</summary>
    public static Workload? Parse(string name)
    {
        string[] parts = name.Split('-');
        return parts is ["gemm", var extents, var form] && Extents(extents, 3) is [var m, var n, var k]
            && Enum.GetNames<ProductForm>().Contains(form, StringComparer.OrdinalIgnoreCase) && Fit(m, n, k)
            ? new ProductWorkload(m, n, k, Enum.Parse<ProductForm>(form, ignoreCase: true))
            : null;
    }

    /// <summary>Whether all three matrices can be addressed.</summary>
    internal static bool Fit(long m, long n, long k) => m * n <= int.MaxValue / 4 && m * k <= int.MaxValue / 4 && n * k <= int.MaxValue / 4;

    public override WorkloadRun Start(Device device) => Start(device, InstructionRun.RepeatsFor(Flops));

    /// <summary>Makes a run that does the step so many times in one call.</summary>
    public InstructionRun Start(Device device, int repeats)
    {
        (float[] a, float[] b) = CreateOperands();
        var run = new InstructionRun(device, Form == ProductForm.TN ? K : M, repeats);
        const hpc_value_kind data = hpc_value_kind.HPC_VALUE_PERSISTENT;
        Value left = run.Rows(data, Form == ProductForm.TN ? M : K, a);
        Value right = Form switch
        {
            ProductForm.NN => run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, K, N, b),
            ProductForm.NT => run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, N, K, b),
            _ => run.Rows(data, N, b),
        };
        Value result = Form == ProductForm.TN ? run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, M, N) : run.Rows(data, N);
        return run.Finish(recorder =>
        {
            if (Form == ProductForm.NN)
                recorder.DenseForward(left, right, Value.None, result);
            else if (Form == ProductForm.NT)
                recorder.DenseBackwardInput(left, right, result);
            else
                recorder.DenseBackwardWeight(left, right, result);
        });
    }
}

/// <summary>A dense layer forward, and what its activation's backward needs; compared with the product alone.</summary>
/// <param name="M">Rows.</param>
/// <param name="N">Units.</param>
/// <param name="K">Columns of the input.</param>
/// <param name="Activation">Of each output; linear: bias alone.</param>
internal sealed record DenseWorkload(int M, int N, int K, Activation Activation)
    : Workload($"dense-{M}x{N}x{K}-{Activation.Name.ToLowerInvariant()}", $"dense layer {K} to {N} with bias and {Activation.Name}, batch {M}")
{
    public override int Rows => M;

    public override double Flops => 2.0 * M * N * K + (double)M * N * (Activation.IsLinear ? 1 : 2);

    public override double CompulsoryBytes =>
        4.0 * ((double)M * K + (double)K * N + N + (double)M * N * (Activation.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE ? 2 : 1));

    public override double WorkingSet => CompulsoryBytes;

    public override Workload Baseline => new ProductWorkload(M, N, K, ProductForm.NN);

    public override Workload? Formula => Activation.IsLinear ? null : ElementwiseWorkload.Small(ElementwiseKind.Activation, Activation.Name.ToLowerInvariant());

    public override double Elements => (double)M * N;

    /// <summary>The layer of a name; null: the name is none.</summary>
    public static Workload? Parse(string name)
    {
        string[] parts = name.Split('-', 3);
        return parts is ["dense", var extents, var activation] && Extents(extents, 3) is [var m, var n, var k]
            && Activation.All.FirstOrDefault(a => string.Equals(a.Name, activation, StringComparison.OrdinalIgnoreCase)) is { IsRowWise: false } found
            && ProductWorkload.Fit(m, n, k)
            ? new DenseWorkload(m, n, k, found)
            : null;
    }

    public override WorkloadRun Start(Device device) => Start(device, InstructionRun.RepeatsFor(Flops));

    /// <summary>Makes a run that does the step so many times in one call.</summary>
    public InstructionRun Start(Device device, int repeats)
    {
        var run = new InstructionRun(device, M, repeats, fuse: true);
        const hpc_value_kind data = hpc_value_kind.HPC_VALUE_PERSISTENT;
        Value x = run.Rows(data, K, WorkloadData.Normal(M * K, 1));
        Value w = run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, K, N, Scaled(WorkloadData.Normal(K * N, 2), 1f / MathF.Sqrt(K)));
        Value b = run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, 1, N, WorkloadData.Normal(N, 3));
        Value y = run.Rows(data, N);
        Value derivative = Activation.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE ? run.Rows(data, N) : Value.None;
        return run.Finish(recorder =>
        {
            recorder.DenseForward(x, w, b, y);
            if (!Activation.IsLinear)
                recorder.ActivationForward(Activation.NativeId, y, y, derivative, Activation.Alpha, Activation.Beta);
        });
    }

    private static float[] Scaled(float[] values, float factor)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] *= factor;
        return values;
    }
}

/// <summary>One update by Adam.</summary>
/// <param name="Parameters">How many.</param>
internal sealed record UpdateWorkload(int Parameters) : Workload($"adam-{Parameters}", $"Adam over {Parameters} parameters")
{
    public override int Rows => 1;

    public override double Flops => 12.0 * Parameters;

    public override double CompulsoryBytes => 28.0 * Parameters;

    public override double WorkingSet => 16.0 * Parameters;

    public override Traffic Traffic => Traffic.Update;

    /// <summary>The rate of the update.</summary>
    public const float LearningRate = 1e-3f;

    /// <summary>Which of many updates it is, for the correction of the moments' bias.</summary>
    public const ulong StepNumber = 1000;

    /// <summary>The update of a name; null: the name is none.</summary>
    public static Workload? Parse(string name) =>
        name.Split('-') is ["adam", var count] && Extents(count, 1) is [var parameters] && parameters <= int.MaxValue / 8
            ? new UpdateWorkload(parameters)
            : null;

    public override WorkloadRun Start(Device device) => Start(device, InstructionRun.RepeatsFor(Flops));

    /// <summary>Makes a run that does the step so many times in one call.</summary>
    public InstructionRun Start(Device device, int repeats)
    {
        var run = new InstructionRun(device, 1, repeats);
        var adam = new Adam(LearningRate);
        Scalar[] hyperparameters = [adam.LearningRate, adam.Beta1, adam.Beta2, adam.Epsilon];
        Value parameters = run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, 1, Parameters);
        Value gradients = run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, 1, Parameters, WorkloadData.Normal(Parameters, 1));
        Value[] moments =
        [
            run.Fixed(hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, Parameters), run.Fixed(hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, Parameters),
        ];
        return run.Finish(recorder => recorder.Update((int)hpc_rule.HPC_RULE_ADAM, parameters, gradients, moments, hyperparameters, step: StepNumber));
    }
}

/// <summary>What an elementwise workload is a row of.</summary>
internal enum ElementwiseKind
{
    /// <summary>Activations.</summary>
    Activation,

    /// <summary>Their backward.</summary>
    ActivationBackward,

    /// <summary>Losses.</summary>
    Loss,

    /// <summary>Their gradients.</summary>
    LossBackward,

    /// <summary>Optimizer rules.</summary>
    Rule,
}

/// <summary>
/// An elementwise instruction: at the speed of a copy of the same bytes (of reading them, where nothing is written), or of its own
/// formula where that is slower.
/// </summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Kind">The table.</param>
/// <param name="Id">The row's number in the core.</param>
/// <param name="Numbers">How many it is applied to.</param>
/// <param name="Streams">Arrays that it reads, and arrays that it writes, counting one that it changes twice.</param>
/// <param name="Arrays">How many arrays those are.</param>
internal sealed record ElementwiseWorkload(string Name, ElementwiseKind Kind, int Id, int Numbers, int Streams, int Arrays)
    : Workload(Name, $"{Name[..Name.LastIndexOf('-')]} of {Numbers} numbers")
{
    private const int UsualNumbers = 16 << 20;

    // Three arrays of so many floats fit into any first-level cache.
    private const int Few = 2048;

    // Work is shared out by rows.
    private const int Columns = 1024;

    /// <summary>All of the tables, in the usual size.</summary>
    public static IEnumerable<ElementwiseWorkload> All =>
    [
        .. Activation.All.Where(a => !a.IsRowWise).SelectMany(a => new[]
        {
            Of(ElementwiseKind.Activation, a.Name.ToLowerInvariant(), UsualNumbers)!,
            Of(ElementwiseKind.ActivationBackward, a.Name.ToLowerInvariant(), UsualNumbers)!,
        }),
        .. NativeTables.Losses.SelectMany(l => new[]
        {
            Of(ElementwiseKind.Loss, Word(l), UsualNumbers)!, Of(ElementwiseKind.LossBackward, Word(l), UsualNumbers)!,
        }),
        .. NativeTables.Rules.Select(r => Of(ElementwiseKind.Rule, Word(r), UsualNumbers)!),
    ];

    public override int Rows => 1;

    public override double Flops => Numbers;

    public override double CompulsoryBytes => 4.0 * Streams * Numbers;

    public override double WorkingSet => 4.0 * Arrays * Numbers;

    // A loss alone only reads, and no copy brings bytes in as fast as it brings them in and out.
    public override Traffic Traffic => Kind == ElementwiseKind.Loss ? Traffic.Read : Traffic.Copy;

    public override Workload? Formula => Numbers <= Few ? null : Small(Kind, Word());

    public override double Elements => Numbers;

    /// <summary>The same in the first-level cache.</summary>
    public static ElementwiseWorkload? Small(ElementwiseKind kind, string word) => Of(kind, word, Few);

    /// <summary>The workload of a name; null: the name is none.</summary>
    public static Workload? Parse(string name)
    {
        string[] parts = name.Split('-');
        if (parts.Length < 2)
            return null;
        int numbers = UsualNumbers;
        string[] words = parts[1..];
        if (words.Length > 1 && Extents(words[^1], 1) is [var count])
        {
            (numbers, words) = (count, words[..^1]);
            if (count > int.MaxValue / 8)
                return null;
        }
        bool backward = words.Length > 1 && words[^1] == "backward";
        string word = string.Concat(backward ? words[..^1] : words);
        return parts[0] switch
        {
            "activation" => Of(backward ? ElementwiseKind.ActivationBackward : ElementwiseKind.Activation, word, numbers),
            "loss" => Of(backward ? ElementwiseKind.LossBackward : ElementwiseKind.Loss, word, numbers),
            "rule" when !backward => Of(ElementwiseKind.Rule, word, numbers),
            _ => null,
        };
    }

    public override WorkloadRun Start(Device device)
    {
        int columns = Numbers % Columns == 0 ? Columns : Numbers;
        var run = new InstructionRun(device, Numbers / columns, InstructionRun.RepeatsFor(16.0 * Numbers));
        const hpc_value_kind data = hpc_value_kind.HPC_VALUE_PERSISTENT;
        Value Full(ulong stream) => run.Rows(data, columns, WorkloadData.Normal(Numbers, stream));
        Value Empty() => run.Rows(data, columns);
        switch (Kind)
        {
            case ElementwiseKind.Activation:
                {
                    Activation activation = ActivationOf(Id);
                    Value x = Full(1), y = Empty();
                    Value derivative = activation.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE ? Empty() : Value.None;
                    return run.Finish(recorder => recorder.ActivationForward(Id, x, y, derivative, activation.Alpha, activation.Beta));
                }
            case ElementwiseKind.ActivationBackward:
                {
                    Activation activation = ActivationOf(Id);
                    Value kept = activation.Keeps() == hpc_keeps.HPC_KEEPS_NOTHING ? Value.None : Full(1);
                    Value dy = Full(2), dx = Empty();
                    return run.Finish(recorder => recorder.ActivationBackward(Id, kept, dy, dx, activation.Alpha, activation.Beta));
                }
            case ElementwiseKind.Loss:
                {
                    Value prediction = Full(1), target = Full(2);
                    return run.Finish(recorder => recorder.LossForward(new LossTerms(Id, 1f, 1f), Reduction.Mean, prediction, target, 1f));
                }
            case ElementwiseKind.LossBackward:
                {
                    Value prediction = Full(1), target = Full(2), gradient = Empty();
                    return run.Finish(recorder => recorder.LossBackward(new LossTerms(Id, 1f, 1f), Reduction.Mean, prediction, target, gradient, 1f));
                }
            default:
                {
                    NativeRow rule = NativeTables.Rules[Id];
                    Value parameters = run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, 1, Numbers, WorkloadData.Normal(Numbers, 1));
                    Value gradients = run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, 1, Numbers, WorkloadData.Normal(Numbers, 2));
                    Value[] moments = [.. Enumerable.Range(0, rule.States).Select(_ => run.Fixed(hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, Numbers))];
                    Scalar[] hyperparameters = [.. Enumerable.Repeat<Scalar>(0.5f, rule.Parameters)];
                    return run.Finish(recorder => recorder.Update(Id, parameters, gradients, moments, hyperparameters, step: 1000));
                }
        }
    }

    private string Word() => Kind switch
    {
        ElementwiseKind.Activation or ElementwiseKind.ActivationBackward => ActivationOf(Id).Name.ToLowerInvariant(),
        ElementwiseKind.Rule => Word(NativeTables.Rules[Id]),
        _ => Word(NativeTables.Losses[Id]),
    };

    private static string Word(NativeRow row) => row.Name.Replace("_", "", StringComparison.Ordinal);

    private static Activation ActivationOf(int id) => Activation.All.First(a => a.NativeId == id && !a.IsRowWise);

    private static ElementwiseWorkload? Of(ElementwiseKind kind, string word, int numbers)
    {
        switch (kind)
        {
            case ElementwiseKind.Activation or ElementwiseKind.ActivationBackward:
                if (Activation.All.FirstOrDefault(a => !a.IsRowWise && a.Name.Equals(word, StringComparison.OrdinalIgnoreCase)) is not { } activation)
                    return null;
                bool backward = kind == ElementwiseKind.ActivationBackward;
                bool third = backward ? activation.Keeps() != hpc_keeps.HPC_KEEPS_NOTHING : activation.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE;
                int streams = third ? 3 : 2;
                return new ElementwiseWorkload(
                    $"activation-{word}{(backward ? "-backward" : "")}-{numbers}", kind, activation.NativeId, numbers, streams, streams);
            case ElementwiseKind.Loss or ElementwiseKind.LossBackward:
                int loss = Array.FindIndex(NativeTables.Losses, l => Word(l) == word);
                bool gradient = kind == ElementwiseKind.LossBackward;
                return loss < 0 ? null : new ElementwiseWorkload(
                    $"loss-{word}{(gradient ? "-backward" : "")}-{numbers}", kind, loss, numbers, gradient ? 3 : 2, gradient ? 3 : 2);
            default:
                int rule = Array.FindIndex(NativeTables.Rules, r => Word(r) == word);
                return rule < 0 ? null : new ElementwiseWorkload(
                    $"rule-{word}-{numbers}", kind, rule, numbers, 3 + 2 * NativeTables.Rules[rule].States, 2 + NativeTables.Rules[rule].States);
        }
    }
}

/// <summary>
/// An LSTM over whole sequences, forward, mean squared error of all its outputs, and backward to the gradients of its weights and
/// biases; without an update.
/// </summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Inputs">Features of a step.</param>
/// <param name="Units">Units of the layer.</param>
/// <param name="Steps">Steps of a sequence.</param>
/// <param name="SequencesPerBatch">Sequences of a batch.</param>
internal sealed record RecurrentWorkload(string Name, int Inputs, int Units, int Steps, int SequencesPerBatch)
    : Workload(Name, $"LSTM {Inputs} to {Units}, {Steps} steps, batch {SequencesPerBatch}: forward and backward")
{
    public override int Rows => SequencesPerBatch;

    // Four gates: the input's product and its weight gradient, the recurrent one, its weight gradient and the way back; eight operations
    // for each gate there and back, bias sums and the loss.
    public override double Flops =>
        (double)Rows * Steps * (2.0 * 4 * Units * (2.0 * Inputs + 3.0 * Units) + 4 * Units * (1 + 8 + 8 + 2) + 3 * Units);

    public override double CompulsoryBytes => 4.0 * (2 * ParameterCount + (double)Rows * Steps * (Inputs + Units));

    public override double WorkingSet => CompulsoryBytes;

    /// <summary>Weights and both biases.</summary>
    public long ParameterCount => 4L * Units * (Inputs + Units + 2);

    /// <summary>The network with its first weights.</summary>
    public Network CreateNetwork(Device device) => new(device, new Shape(Steps, Inputs), seed: 1, new Lstm(Units, wholeSequence: true));

    /// <summary>One batch; its targets are small enough for an LSTM's outputs.</summary>
    public WorkloadData CreateData() => WorkloadData.Noise(Rows, Steps * Inputs, Steps * Units);

    public override WorkloadRun Start(Device device) => new RecurrentRun(this, device);
}

/// <summary>A recurrent network there and back.</summary>
internal sealed class RecurrentRun : WorkloadRun
{
    private readonly Network _network;
    private readonly DeviceBuffer _gradients;
    private readonly NativeProgram _program;
    private readonly int _rows;

    public RecurrentRun(RecurrentWorkload workload, Device device)
    {
        WorkloadData data = workload.CreateData();
        _rows = workload.Rows;
        _network = workload.CreateNetwork(device);
        _gradients = new DeviceBuffer(device, _network.Graph.Elements);
        using var recorder = new Recorder(device, _rows);
        var graph = new GraphRecorder(
            _network.Graph, recorder, _network.Parameters, _gradients,
            new RecordingPurpose { Training = true, Backward = true, Trains = static _ => true, State = null, RandomStream = static _ => 0UL },
            hpc_value_kind.HPC_VALUE_TEMPORARY);
        using var features = new DeviceBuffer(device, data.Features.Length);
        using var targets = new DeviceBuffer(device, data.Targets.Length);
        features.Write<float>(data.Features);
        targets.Write<float>(data.Targets);
        Value x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_PERSISTENT, data.Inputs, "x", buffer: features);
        Value target = recorder.RowsValue(hpc_value_kind.HPC_VALUE_PERSISTENT, data.Outputs, "targets", buffer: targets);
        Value output = graph.Forward(x);
        Value gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, data.Outputs, "loss.gradient");
        Loss.MeanSquaredError.RecordForward(recorder, output, target);
        Loss.MeanSquaredError.RecordBackward(recorder, output, target, gradient);
        graph.Backward(gradient);
        _program = recorder.Finish();
    }

    public override float Step() => (float)_program.RunForLoss(_rows);

    public override RunCosts? Costs => _network.Device.IsOpenCl ? _program.Measure(_rows, [], Repetitions) : null;

    public override void Dispose()
    {
        _program.Dispose();
        _gradients.Dispose();
        _network.Dispose();
    }
}

/// <summary>A program of one or two instructions over memory that it fills once.</summary>
/// <param name="device">Where it runs.</param>
/// <param name="rows">Rows of a run.</param>
/// <param name="repeats">How often a run does the same: what is over in a moment is not to be drowned in the cost of a call.</param>
/// <param name="fuse">Whether instructions may be fused; one by itself has nothing to be fused with but its repetition.</param>
internal sealed class InstructionRun(Device device, int rows, int repeats, bool fuse = false) : WorkloadRun
{
    // A call costs less than a microsecond; so many operations take 20 times as long at the least.
    private const double EnoughFlops = 4e6;
    private const int MostRepeats = 64;

    private readonly List<DeviceBuffer> _results = [];
    private readonly Recorder _recorder = new(device, rows, plain: !fuse);
    private NativeProgram? _program;

    public override int StepsPerCall => repeats;

    /// <summary>How often a program repeats a step of so many operations.</summary>
    public static int RepeatsFor(double flops) => (int)Math.Clamp(Math.Ceiling(EnoughFlops / flops), 1, MostRepeats);

    /// <summary>What stands after a step in all values that began as zeros, in the order in which they were made.</summary>
    public float[] ReadResults()
    {
        var results = new float[_results.Sum(b => b.Elements)];
        int offset = 0;
        foreach (DeviceBuffer buffer in _results)
        {
            buffer.Read(results.AsSpan(offset, (int)buffer.Elements));
            offset += (int)buffer.Elements;
        }
        return results;
    }

    /// <summary>The class of each row of a run.</summary>
    public Value Labels(int[] labels)
    {
        using var buffer = new DeviceBuffer(device, labels.Length);
        buffer.Write<int>(labels);
        return _recorder.RowsValue(hpc_value_kind.HPC_VALUE_PERSISTENT, 1, "labels", hpc_dtype.HPC_INT32, buffer);
    }

    /// <summary>A value with as many rows as a run; without numbers it is zeros.</summary>
    public Value Rows(hpc_value_kind kind, int columns, float[]? numbers = null)
    {
        DeviceBuffer buffer = Filled((long)rows * columns, numbers);
        Value value = _recorder.RowsValue(kind, columns, "matrix", buffer: buffer);
        Release(buffer, numbers);
        return value;
    }

    /// <summary>A value with rows of its own; without numbers it is zeros.</summary>
    public Value Fixed(hpc_value_kind kind, int count, int columns, float[]? numbers = null)
    {
        DeviceBuffer buffer = Filled((long)count * columns, numbers);
        Value value = _recorder.FixedValue(kind, count, columns, buffer, 0, "matrix");
        Release(buffer, numbers);
        return value;
    }

    /// <summary>Records one step as often as it is repeated, and ends the recording.</summary>
    public InstructionRun Finish(Action<Recorder> step)
    {
        for (int i = 0; i < repeats; i++)
            step(_recorder);
        _program = _recorder.Finish();
        return this;
    }

    public override float Step()
    {
        _program!.RunForLoss(rows);
        return 0f;
    }

    // On a device with a queue what counts is how long the queue takes: the last call alone is waited for.
    public override double LeastSample => device.IsOpenCl ? 10 : base.LeastSample;

    public override long Measure(int steps, out long allocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        for (int i = 1; i < steps; i++)
            _program!.Run(rows);
        Step();
        long ticks = Stopwatch.GetTimestamp() - start;
        allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return ticks;
    }

    public override RunCosts? Costs => device.IsOpenCl ? _program!.Measure(rows, [], Repetitions).Times(1.0 / repeats) : null;

    public override long? MeasureHost(int calls)
    {
        if (!device.IsOpenCl)
            return null;
        Step();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < calls; i++)
            _program!.Run(rows);
        long ticks = Stopwatch.GetTimestamp() - start;
        Step();
        return ticks;
    }

    public override void Dispose()
    {
        _program?.Dispose();
        _recorder.Dispose();
        foreach (DeviceBuffer buffer in _results)
            buffer.Dispose();
    }

    // The program keeps the memory that its values are bound to; results are also read from here.
    private void Release(DeviceBuffer buffer, float[]? numbers)
    {
        if (numbers is null)
            _results.Add(buffer);
        else
            buffer.Dispose();
    }

    private DeviceBuffer Filled(long elements, float[]? numbers)
    {
        var buffer = new DeviceBuffer(device, elements);
        if (numbers is not null)
            buffer.Write<float>(numbers);
        return buffer;
    }
}
