// What is compared, as a table: matrix products, a dense layer forward and backward, softmax cross-entropy, activations, Adam, whole training
// steps. Operands, networks and data are those of the workloads of `hpcnet bench` where it has them. To add an operation: a record below and
// rows in Operation.All; every contestant that has it takes part.

using HpcNet.Benchmarks.Managed;
using HpcNet.Cli.Bench;
using HpcNet.Interop;

namespace HpcNet.Benchmarks;

/// <summary>A row of the table.</summary>
/// <param name="Name">As <c>--check</c> takes it and tables show it.</param>
internal abstract record Operation(string Name)
{
    protected const hpc_value_kind Data = hpc_value_kind.HPC_VALUE_PERSISTENT;

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Operation> All { get; } =
    [
        new Product("gemm-1024x1024x1024-nn"),
        new Product("gemm-256x1024x1024-nn"),
        new Product("gemm-128x512x784-nn"),
        new Product("gemm-128x512x256-nt"),
        new Product("gemm-512x256x128-tn"),
        new Product("gemm-32x64x64-nn"),
        new DenseForward("dense-128x512x784-relu"),
        new DenseBackward(128, 512, 784),
        new SoftmaxCrossEntropy(256, 1000),
        .. new[] { Activation.ReLU, Activation.Tanh, Activation.Sigmoid, Activation.GELU }.SelectMany(
            activation => new Operation[] { new Activate(activation, 256 * 1024), new ActivateBackward(activation, 256 * 1024) }),
        new AdamUpdate("adam-524288"),
        new AdamUpdate("adam-4194304"),
        new TrainingStep("xor"),
        new TrainingStep("tabular"),
        new TrainingStep("mnist"),
    ];

    /// <summary>The one of a name.</summary>
    public static Operation Find(string name) => All.Single(o => o.Name == name);

    /// <summary>How far contestants may be apart, as a part of the largest number. What they add up they add up in different orders.</summary>
    public virtual float Tolerance => 1e-5f;

    /// <summary>Whether managed kernels have it.</summary>
    public virtual bool IsIn(ManagedKernels kernels) => true;

    /// <summary>Made ready on a device, which the entry then owns.</summary>
    public abstract Entry Enter(Device device);

    /// <summary>Made ready with managed kernels.</summary>
    public abstract Entry Enter(ManagedKernels kernels);

    /// <summary>A workload of <c>hpcnet bench</c>.</summary>
    protected static T Workload<T>(string name) where T : Workload => (T)Cli.Bench.Workload.Find(name)!;

    /// <summary>An entry that is an instruction, or a few, of the core.</summary>
    protected static Entry Enter(InstructionRun run, Device device)
    {
        void Step() => run.Step();
        return new Entry(Step, () => AfterStep(Step, run.ReadResults), run, device);
    }

    /// <summary>An entry whose results stand in arrays.</summary>
    protected static Entry Enter(Action step, params float[][] results) => new(step, () => AfterStep(step, () => [.. results.SelectMany(r => r)]));

    /// <summary>Numbers that are about standard normal.</summary>
    protected static float[] Normal(int count, ulong stream, float scale = 1f) => [.. WorkloadData.Normal(count, stream).Select(v => v * scale)];

    private static float[] AfterStep(Action step, Func<float[]> read)
    {
        step();
        return read();
    }
}

/// <summary>C = A B, one of them perhaps transposed.</summary>
/// <param name="Name">Of the workload.</param>
internal sealed record Product(string Name) : Operation(Name)
{
    public override Entry Enter(Device device) => Enter(Workload<ProductWorkload>(Name).Start(device, repeats: 1), device);

    public override Entry Enter(ManagedKernels kernels)
    {
        ProductWorkload workload = Workload<ProductWorkload>(Name);
        (int m, int n, int k) = (workload.M, workload.N, workload.K);
        (float[] dataA, float[] dataB) = workload.CreateOperands();
        var c = new float[m * n];
        MatrixView a = workload.Form == ProductForm.TN ? MatrixView.Transposed(dataA, m) : MatrixView.Of(dataA, k);
        MatrixView b = workload.Form == ProductForm.NT ? MatrixView.Transposed(dataB, k) : MatrixView.Of(dataB, n);
        return Enter(() => kernels.Multiply(a, b, c, m, n, k), c);
    }
}

/// <summary>A dense layer forward: product, bias, activation.</summary>
/// <param name="Name">Of the workload.</param>
internal sealed record DenseForward(string Name) : Operation(Name)
{
    public override Entry Enter(Device device) => Enter(Workload<DenseWorkload>(Name).Start(device, repeats: 1), device);

    public override Entry Enter(ManagedKernels kernels)
    {
        DenseWorkload workload = Workload<DenseWorkload>(Name);
        (int m, int n, int k) = (workload.M, workload.N, workload.K);
        var x = MatrixView.Of(Normal(m * k, 1), k);
        var w = MatrixView.Of(Normal(k * n, 2, 1f / MathF.Sqrt(k)), n);
        float[] bias = Normal(n, 3), y = new float[m * n];
        var activation = (hpc_activation)workload.Activation.NativeId;
        return Enter(
            () =>
            {
                kernels.Multiply(x, w, y, m, n, k);
                kernels.BiasActivate(activation, y, bias);
            },
            y);
    }
}

/// <summary>A dense layer with ReLU backward: its own derivative, then the gradients of weights, bias and input.</summary>
/// <param name="Rows">Of the batch.</param>
/// <param name="Units">Columns of the output.</param>
/// <param name="Inputs">Columns of the input.</param>
internal sealed record DenseBackward(int Rows, int Units, int Inputs) : Operation($"dense-backward-{Rows}x{Units}x{Inputs}-relu")
{
    public override Entry Enter(Device device)
    {
        (float[] x, float[] w, float[] y, float[] dy) = Operands();
        var run = new InstructionRun(device, Rows, repeats: 1, fuse: true);
        Value input = run.Rows(Data, Inputs, x), weight = run.Fixed(hpc_value_kind.HPC_VALUE_PARAMETER, Inputs, Units, w);
        Value output = run.Rows(Data, Units, y), outputGradient = run.Rows(Data, Units, dy), dz = run.Rows(Data, Units);
        Value dw = run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, Inputs, Units), db = run.Fixed(hpc_value_kind.HPC_VALUE_GRADIENT, 1, Units);
        Value dx = run.Rows(Data, Inputs);
        run.Finish(recorder =>
        {
            recorder.ActivationBackward((int)hpc_activation.HPC_ACTIVATION_RELU, output, outputGradient, dz, 0f, 0f);
            recorder.DenseBackwardWeight(input, dz, dw);
            recorder.ColumnSums(dz, db);
            recorder.DenseBackwardInput(dz, weight, dx);
        });
        return Enter(run, device);
    }

    public override Entry Enter(ManagedKernels kernels)
    {
        (float[] x, float[] w, float[] y, float[] dy) = Operands();
        float[] dz = new float[Rows * Units], dw = new float[Inputs * Units], db = new float[Units], dx = new float[Rows * Inputs];
        return Enter(
            () =>
            {
                kernels.ActivateBackward(hpc_activation.HPC_ACTIVATION_RELU, y, dy, dz);
                kernels.Multiply(MatrixView.Transposed(x, Inputs), MatrixView.Of(dz, Units), dw, Inputs, Units, Rows);
                kernels.ColumnSums(dz, db);
                kernels.Multiply(MatrixView.Of(dz, Units), MatrixView.Transposed(w, Units), dx, Rows, Inputs, Units);
            },
            dz, dw, db, dx);
    }

    private (float[] X, float[] W, float[] Y, float[] Dy) Operands() => (
        Normal(Rows * Inputs, 1), Normal(Inputs * Units, 2, 1f / MathF.Sqrt(Inputs)),
        [.. Normal(Rows * Units, 3).Select(v => MathF.Max(v, 0f))], Normal(Rows * Units, 4));
}

/// <summary>Softmax cross-entropy of logits and labels, and its gradient.</summary>
/// <param name="Rows">Of the batch.</param>
/// <param name="Classes">Columns.</param>
internal sealed record SoftmaxCrossEntropy(int Rows, int Classes) : Operation($"softmax-cross-entropy-{Rows}x{Classes}")
{
    private int[] Labels => [.. Enumerable.Range(0, Rows).Select(row => row * 7 % Classes)];

    public override bool IsIn(ManagedKernels kernels) => kernels.HasClassLoss;

    public override Entry Enter(Device device)
    {
        var run = new InstructionRun(device, Rows, repeats: 1, fuse: true);
        Value scores = run.Rows(Data, Classes, Normal(Rows * Classes, 1)), labels = run.Labels(Labels), gradient = run.Rows(Data, Classes);
        var terms = new ClassLossTerms(hpc_class_loss_kind.HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY);
        run.Finish(recorder =>
        {
            recorder.ClassLossForward(terms, Reduction.Mean, scores, labels, 1f);
            recorder.ClassLossBackward(terms, Reduction.Mean, scores, labels, gradient, 1f);
        });
        return Enter(run, device);
    }

    public override Entry Enter(ManagedKernels kernels)
    {
        float[] scores = Normal(Rows * Classes, 1), gradient = new float[Rows * Classes];
        int[] labels = Labels;
        return Enter(() => kernels.SoftmaxCrossEntropy(scores, labels, gradient), gradient);
    }
}

/// <summary>y = f(x), and the derivative where backward needs it.</summary>
/// <param name="Function">f.</param>
/// <param name="Count">Elements.</param>
internal sealed record Activate(Activation Function, int Count) : Operation($"{Function.Name.ToLowerInvariant()}-{Count}")
{
    private hpc_activation Native => (hpc_activation)Function.NativeId;

    private bool KeepsDerivative => Function.Keeps() == hpc_keeps.HPC_KEEPS_DERIVATIVE;

    public override bool IsIn(ManagedKernels kernels) => kernels.Has(Native);

    public override Entry Enter(Device device)
    {
        var run = new InstructionRun(device, 1, repeats: 1);
        Value x = run.Rows(Data, Count, Normal(Count, 1)), y = run.Rows(Data, Count), derivative = KeepsDerivative ? run.Rows(Data, Count) : Value.None;
        run.Finish(recorder => recorder.ActivationForward((int)Native, x, y, derivative, 0f, 0f));
        return Enter(run, device);
    }

    public override Entry Enter(ManagedKernels kernels)
    {
        float[] x = Normal(Count, 1), y = new float[Count];
        float[]? derivative = KeepsDerivative ? new float[Count] : null;
        return Enter(() => kernels.Activate(Native, x, y, derivative), derivative is null ? [y] : [y, derivative]);
    }
}

/// <summary>dx = dy f'.</summary>
/// <param name="Function">f.</param>
/// <param name="Count">Elements.</param>
internal sealed record ActivateBackward(Activation Function, int Count) : Operation($"{Function.Name.ToLowerInvariant()}-backward-{Count}")
{
    private hpc_activation Native => (hpc_activation)Function.NativeId;

    // Between 0 and 1, which every output and derivative can be.
    private float[] Kept => [.. Normal(Count, 1).Select(v => Math.Clamp(v, 0f, 1f))];

    public override bool IsIn(ManagedKernels kernels) => kernels.Has(Native);

    public override Entry Enter(Device device)
    {
        var run = new InstructionRun(device, 1, repeats: 1);
        Value kept = run.Rows(Data, Count, Kept), dy = run.Rows(Data, Count, Normal(Count, 2)), dx = run.Rows(Data, Count);
        run.Finish(recorder => recorder.ActivationBackward((int)Native, kept, dy, dx, 0f, 0f));
        return Enter(run, device);
    }

    public override Entry Enter(ManagedKernels kernels)
    {
        float[] kept = Kept, dy = Normal(Count, 2), dx = new float[Count];
        return Enter(() => kernels.ActivateBackward(Native, kept, dy, dx), dx);
    }
}

/// <summary>One update.</summary>
/// <param name="Name">Of the workload.</param>
internal sealed record AdamUpdate(string Name) : Operation(Name)
{
    public override Entry Enter(Device device) => Enter(Workload<UpdateWorkload>(Name).Start(device, repeats: 1), device);

    public override Entry Enter(ManagedKernels kernels)
    {
        int count = Workload<UpdateWorkload>(Name).Parameters;
        float[] p = new float[count], g = Normal(count, 1), m = new float[count], v = new float[count];
        return Enter(() => kernels.Adam(p, g, m, v, UpdateWorkload.LearningRate, (long)UpdateWorkload.StepNumber), p, m, v);
    }
}

/// <summary>A whole training step on one mini-batch after the other. What must agree are the losses of the first ones.</summary>
/// <param name="Name">Of the workload.</param>
internal sealed record TrainingStep(string Name) : Operation(Name)
{
    private const int ComparedSteps = 10;

    private readonly Lazy<WorkloadData> _data = new(() => Workload<TrainingWorkload>(Name).CreateData());

    public override float Tolerance => 1e-4f;

    public override Entry Enter(Device device)
    {
        TrainingRun run = Workload<TrainingWorkload>(Name).Start(device);
        return Enter(run.Step, run, device);
    }

    public override Entry Enter(ManagedKernels kernels)
    {
        TrainingWorkload workload = Workload<TrainingWorkload>(Name);
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        using Network network = workload.CreateNetwork(device);
        var trainer = new ManagedTrainer(
            kernels, [.. network.LayerNames.Select(layer => Parameter(network, $"{layer}.weight"))],
            [.. network.LayerNames.Select(layer => Parameter(network, $"{layer}.bias"))], workload.Hidden, workload.Output, workload.Optimizer,
            workload.Optimizer.LearningRate, workload.Rows);
        return Enter(Batches(trainer, workload.Rows));
    }

    private static Entry Enter(Func<float> step, params IDisposable[] owned) =>
        new(() => step(), () => [.. Enumerable.Range(0, ComparedSteps).Select(_ => step())], owned);

    // Copies one batch after the other, as the library does.
    private Func<float> Batches(ManagedTrainer trainer, int rows)
    {
        WorkloadData data = _data.Value;
        float[] x = new float[rows * data.Inputs], targets = data.Targets.Length > 0 ? new float[rows * data.Outputs] : [];
        int[] labels = data.Labels.Length > 0 ? new int[rows] : [];
        int next = 0;
        return () =>
        {
            data.Features.AsSpan(next * x.Length, x.Length).CopyTo(x);
            data.Labels.AsSpan(next * labels.Length, labels.Length).CopyTo(labels);
            data.Targets.AsSpan(next * targets.Length, targets.Length).CopyTo(targets);
            next = (next + 1) % (data.Rows / rows);
            return trainer.Step(x, labels, targets);
        };
    }

    private static float[] Parameter(Network network, string name)
    {
        var values = new float[network.ParameterInfos.Single(p => p.Name == name).Count];
        network.GetParameter(name, values);
        return values;
    }
}
