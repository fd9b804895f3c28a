// Workloads that are one instruction of the core, or a few: matrix products, a dense layer, an update, a recurrent layer there and back.
// They are recorded directly, since no public member of the library is as small.

using HpcNet.Interop;

namespace HpcNet.Cli.Bench;

/// <summary>Which operand of a product is stored transposed: neither, the second, the first.</summary>
internal enum ProductForm
{
    /// <summary>C = A B: a dense layer forward.</summary>
    NN,

    /// <summary>C = A Bᵀ: the gradient of its input.</summary>
    NT,

    /// <summary>C = Aᵀ B: the gradient of its weights.</summary>
    TN,
}

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

    public override WorkloadRun Start(Device device)
    {
        (float[] a, float[] b) = CreateOperands();
        var run = new InstructionRun(device, Form == ProductForm.TN ? K : M);
        const hpc_value_kind data = hpc_value_kind.HPC_VALUE_PERSISTENT;
        switch (Form)
        {
            case ProductForm.NN:
                run.Recorder.DenseForward(
                    run.Rows(data, K, a), run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, K, N, b), Value.None, run.Rows(data, N));
                break;
            case ProductForm.NT:
                run.Recorder.DenseBackwardInput(run.Rows(data, K, a), run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, N, K, b), run.Rows(data, N));
                break;
            default:
                run.Recorder.DenseBackwardWeight(run.Rows(data, M, a), run.Rows(data, N, b), run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, M, N));
                break;
        }
        return run.Finish();
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

    public override WorkloadRun Start(Device device)
    {
        var run = new InstructionRun(device, M);
        const hpc_value_kind data = hpc_value_kind.HPC_VALUE_PERSISTENT;
        Value z = run.Rows(data, N), y = z;
        run.Recorder.DenseForward(
            run.Rows(data, K, WorkloadData.Normal(M * K, 1)),
            run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, K, N, Scaled(WorkloadData.Normal(K * N, 2), 1f / MathF.Sqrt(K))),
            run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, 1, N, WorkloadData.Normal(N, 3)), z);
        if (!Activation.IsLinear)
        {
            Value derivative = Activation.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE ? run.Rows(data, N) : Value.None;
            run.Recorder.ActivationForward(Activation.NativeId, z, y, derivative, Activation.Alpha, Activation.Beta);
        }
        return run.Finish();
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

    /// <summary>The update of a name; null: the name is none.</summary>
    public static Workload? Parse(string name) =>
        name.Split('-') is ["adam", var count] && Extents(count, 1) is [var parameters] && parameters <= int.MaxValue / 8
            ? new UpdateWorkload(parameters)
            : null;

    public override WorkloadRun Start(Device device)
    {
        var run = new InstructionRun(device, 1);
        var adam = new Adam(1e-3f);
        Scalar[] hyperparameters = [adam.LearningRate, adam.Beta1, adam.Beta2, adam.Epsilon];
        run.Recorder.Update(
            (int)hpc_rule.HPC_RULE_ADAM, run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, 1, Parameters),
            run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, 1, Parameters, WorkloadData.Normal(Parameters, 1)),
            [run.Fixed(hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, Parameters), run.Fixed(hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, Parameters)],
            hyperparameters, step: 1000);
        return run.Finish();
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
internal sealed class InstructionRun(Device device, int rows) : WorkloadRun
{
    private NativeProgram? _program;

    /// <summary>Where instructions are recorded.</summary>
    public Recorder Recorder { get; } = new(device, rows);

    /// <summary>A value with as many rows as a run; without numbers it is zeros.</summary>
    public Value Rows(hpc_value_kind kind, int columns, float[]? numbers = null)
    {
        using DeviceBuffer buffer = Filled((long)rows * columns, numbers);
        return Recorder.RowsValue(kind, columns, "matrix", buffer: buffer);
    }

    /// <summary>A value with rows of its own; without numbers it is zeros.</summary>
    public Value Fixed(hpc_value_kind kind, int count, int columns, float[]? numbers = null)
    {
        using DeviceBuffer buffer = Filled((long)count * columns, numbers);
        return Recorder.FixedValue(kind, count, columns, buffer, 0, "matrix");
    }

    /// <summary>Ends the recording.</summary>
    public InstructionRun Finish()
    {
        _program = Recorder.Finish();
        return this;
    }

    public override float Step()
    {
        _program!.Run(rows);
        return 0f;
    }

    public override void Dispose()
    {
        _program?.Dispose();
        Recorder.Dispose();
    }

    // The program keeps the memory that its values are bound to.
    private DeviceBuffer Filled(long elements, float[]? numbers)
    {
        var buffer = new DeviceBuffer(device, elements);
        if (numbers is not null)
            buffer.Write<float>(numbers);
        return buffer;
    }
}
