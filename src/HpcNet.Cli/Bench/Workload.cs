// Workload.cs: what `hpcnet bench` measures, as a table. A workload says what its step is, how many operations and bytes no machine can
// do without, and makes a run of it on a device. Comparisons with other libraries take weights and data from the same rows, so that
// everybody does the same work. To add one: a row of Workload.Fixed, or of Workload.Families where its name has numbers in it.

using System.Diagnostics;
using System.Globalization;

namespace HpcNet.Cli.Bench;

/// <summary>Which kind of memory traffic a workload's bytes are compared with.</summary>
internal enum Traffic
{
    /// <summary>The fastest of reading, copying and updating several streams.</summary>
    Best,

    /// <summary>The fastest that bytes come in, by any of the three: for work that writes next to nothing.</summary>
    Read,

    /// <summary>Several streams read and most of them written back, as an optimizer does.</summary>
    Update,

    /// <summary>One stream read, one written.</summary>
    Copy,
}

/// <summary>A row of the table.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Meaning">What it is, for people.</param>
internal abstract record Workload(string Name, string Meaning)
{
    private static readonly Activation Relu = Activation.ReLU, Linear = Activation.Linear;

    /// <summary>The workloads with a name of their own.</summary>
    public static IReadOnlyList<Workload> Fixed { get; } =
    [
        new TrainingWorkload("xor", [2, 8, 1], Activation.Tanh, Activation.Sigmoid, 4, new Sgd(0.1f), Loss.MeanSquaredError, 1)
        {
            Source = WorkloadData.Xor,
        },
        new TrainingWorkload("tabular", [64, 64, 32, 3], Relu, Linear, 32, new Adam(1e-3f), Loss.SoftmaxCrossEntropy, 64),
        new TrainingWorkload("mnist", [784, 512, 256, 10], Relu, Linear, 128, new Adam(1e-3f), Loss.SoftmaxCrossEntropy, 64),
        new TrainingWorkload(
            "mnist-clip", [784, 512, 256, 10], Relu, Linear, 128, new Adam(1e-3f).ClipByNorm(1f), Loss.SoftmaxCrossEntropy, 64),
        new TrainingWorkload("wide1024", [1024, 1024, 1024, 1024, 10], Relu, Linear, 256, new Adam(1e-3f), Loss.SoftmaxCrossEntropy, 16),
        new TrainingWorkload("wide4096", [4096, 4096, 4096, 1000], Relu, Linear, 256, new Adam(1e-4f), Loss.SoftmaxCrossEntropy, 8),
        new InferenceWorkload("infer1", [784, 512, 256, 10], Relu, 1),
        new InferenceWorkload("infer64", [784, 512, 256, 10], Relu, 64),
        new EpochWorkload("small-epoch-64", [4, 32, 16, 4], Relu, 10_000, 64, new Adam(1e-3f)),
        new EpochWorkload("small-epoch-full", [4, 32, 16, 4], Relu, 10_000, 10_000, new Adam(1e-3f)),
        new RecurrentWorkload("lstm", Inputs: 128, Units: 256, Steps: 64, SequencesPerBatch: 32),
        new CallersWorkload("predict-callers-1", [784, 512, 256, 10], Relu, 1),
        new CallersWorkload("predict-callers-2", [784, 512, 256, 10], Relu, 2),
        new CallersWorkload("predict-callers-4", [784, 512, 256, 10], Relu, 4),
        new CallersWorkload("predict-callers-32", [784, 512, 256, 10], Relu, 32),
    ];

    /// <summary>The workloads whose names say how large they are.</summary>
    public static IReadOnlyList<WorkloadFamily> Families { get; } =
    [
        new("gemm-MxNxK-nn|nt|tn", "one matrix product, C[M x N] of depth K; the second or the first operand is stored transposed", ProductWorkload.Parse),
        new("dense-MxNxK-ACTIVATION", "a dense layer forward: the product, bias and activation, with what backward needs", DenseWorkload.Parse),
        new("fit-WIDTHSx...-ROWSxBATCH", "an epoch over data on the device: a chain of layers, Adam", EpochWorkload.Parse),
        new("adam-N", "one update of N parameters by Adam", UpdateWorkload.Parse),
        new("activation-NAME[-backward][-N]", "an activation, or its backward, of N numbers (default 16 Mi)", ElementwiseWorkload.Parse),
        new("loss-NAME[-backward][-N]", "an elementwise loss, or its gradient, of N numbers (default 16 Mi)", ElementwiseWorkload.Parse),
        new("rule-NAME[-N]", "an update of N parameters by a rule (default 16 Mi)", ElementwiseWorkload.Parse),
    ];

    /// <summary>What a run without <c>--workload</c> measures: the fixed ones and the sizes that the comparisons speak of.</summary>
    public static IReadOnlyList<Workload> Usual { get; } =
    [
        .. Fixed,
        .. new[]
        {
            "gemm-1024x1024x1024-nn", "gemm-2048x2048x2048-nn", "gemm-256x4096x4096-nn", "gemm-256x4096x4096-nt", "gemm-4096x4096x256-tn",
            "gemm-256x1000x4096-nn", "gemm-256x4096x1000-nt", "gemm-4096x1000x256-tn",
            "gemm-256x1024x1024-nn", "gemm-256x1024x1024-nt", "gemm-1024x1024x256-tn", "gemm-256x10x1024-nn", "gemm-256x1024x10-nt", "gemm-1024x10x256-tn",
            "gemm-128x512x784-nn", "gemm-128x256x512-nn", "gemm-128x10x256-nn", "gemm-128x512x256-nt", "gemm-128x256x10-nt",
            "gemm-784x512x128-tn", "gemm-512x256x128-tn", "gemm-256x10x128-tn",
            "gemm-32x64x64-nn", "gemm-32x32x64-nn", "gemm-32x3x32-nn", "gemm-32x64x32-nt", "gemm-64x64x32-tn", "gemm-64x32x32-tn",
            "dense-256x1024x256-relu", "dense-256x1024x1024-relu", "dense-256x4096x4096-relu",
            "dense-256x1024x1024-tanh", "dense-256x2048x2048-tanh", "dense-256x1024x1024-gelu", "dense-256x4096x4096-gelu",
            "adam-524288", "adam-4194304", "adam-39845888",
        }.Select(Required),
    ];

    /// <summary>Rows of a step: examples, or rows of the result of a product; 1 where there are none.</summary>
    public abstract int Rows { get; }

    /// <summary>Floating-point operations of a step that no implementation can do without: products, and elementwise work as the core counts it.</summary>
    public abstract double Flops { get; }

    /// <summary>
    /// Bytes that a step must move if everything moves once: inputs read, parameters and each moment read and, where they change,
    /// written.
    /// </summary>
    public abstract double CompulsoryBytes { get; }

    /// <summary>Bytes that those are of: memory that every step comes back to. Which cache holds it decides on the bandwidth.</summary>
    public abstract double WorkingSet { get; }

    /// <summary>What the bytes are compared with.</summary>
    public virtual Traffic Traffic => Traffic.Best;

    /// <summary>What the time of a step is also divided by, measured in turn with it; null: nothing.</summary>
    public virtual Workload? Baseline => null;

    /// <summary>
    /// The formula of an elementwise part by itself, where memory costs nothing: on one thread, in the first-level cache. Its
    /// <see cref="Elements"/> say how much of it that is. Null: the part is none, or too cheap to count.
    /// </summary>
    public virtual Workload? Formula => null;

    /// <summary>How many numbers the formula is applied to in a step.</summary>
    public virtual double Elements => 0;

    /// <summary>Threads whose peak and bandwidth a step could have, on a device with so many.</summary>
    public virtual int FloorThreads(int threads) => threads;

    /// <summary>Makes a run: a network with its first weights, data, programs.</summary>
    public abstract WorkloadRun Start(Device device);

    /// <summary>The workload of a name; null: there is none.</summary>
    public static Workload? Find(string name) =>
        Fixed.FirstOrDefault(w => string.Equals(w.Name, name, StringComparison.OrdinalIgnoreCase))
        ?? Families.Select(f => f.Parse(name.ToLowerInvariant())).FirstOrDefault(w => w is not null);

    /// <summary>The workloads that a name on the command line stands for: one, or all whose names begin with it and a hyphen.</summary>
    public static IReadOnlyList<Workload> Matching(string name) =>
        Find(name) is { } one
            ? [one]
            : [.. Usual.Concat(ElementwiseWorkload.All).Where(w => w.Name.StartsWith($"{name}-", StringComparison.OrdinalIgnoreCase))];

    /// <summary>Whole numbers of at least 1 between the letters <c>x</c>; null: something else.</summary>
    internal static int[]? Extents(string text, int count)
    {
        string[] parts = text.Split('x');
        var extents = new int[parts.Length];
        for (int i = 0; i < parts.Length; i++)
        {
            if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out extents[i]) || extents[i] < 1)
                return null;
        }
        return extents.Length == count ? extents : null;
    }

    private static Workload Required(string name) => Find(name) ?? throw new InvalidOperationException($"There is no workload '{name}'.");
}

/// <summary>Workloads that differ in their sizes.</summary>
/// <param name="Name">The form of their names.</param>
/// <param name="Meaning">What they are.</param>
/// <param name="Parse">The one of a name in small letters; null: the name is not of this form.</param>
internal sealed record WorkloadFamily(string Name, string Meaning, Func<string, Workload?> Parse);

/// <summary>What a run holds on the device, in bytes.</summary>
/// <param name="Parameters">The network's parameters.</param>
/// <param name="Gradient">Gradients of all of them.</param>
/// <param name="Moments">What the optimizer keeps.</param>
/// <param name="Workspace">Temporaries and scratch of the program, as planned.</param>
/// <param name="Data">Inputs and targets that the program or the trainer holds.</param>
/// <param name="Packs">Everything else: weights in the order in which the kernels read them.</param>
/// <param name="Growth">How much the whole process has grown since the run's data were there.</param>
internal readonly record struct RunMemory(long Parameters, long Gradient, long Moments, long Workspace, long Data, long Packs, long Growth)
{
    // Beside what is counted.
    private const long Room = 10_000_000;

    /// <summary>
    /// What a training run may hold: parameters, one gradient and the moments of them, packs, workspace, 10 MB; and the data that it
    /// was given.
    /// </summary>
    public long Bound => Parameters * (2 + Moments / Parameters) + Packs + Workspace + Data + Room;

    /// <summary>All of it.</summary>
    public long Total => Parameters + Gradient + Moments + Workspace + Data + Packs;

    /// <summary>That of a trainer.</summary>
    /// <param name="trainer">After its first step.</param>
    /// <param name="allocated">What the device holds for it and its network.</param>
    /// <param name="processBefore">Bytes of the process when neither was there.</param>
    public static RunMemory Of(Trainer trainer, long allocated, long processBefore)
    {
        // What initial values were made in is garbage by now.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        TrainingMemory memory = trainer.Memory();
        var run = new RunMemory(
            memory.Parameters, memory.Gradient, memory.Moments, memory.Workspace, memory.Data, 0, Environment.WorkingSet - processBefore);
        return run with { Packs = Math.Max(0, allocated - run.Total) };
    }
}

/// <summary>A workload made ready on a device. One thread at a time uses it.</summary>
internal abstract class WorkloadRun : IDisposable
{
    /// <summary>How many runs <see cref="Costs"/> is the best of.</summary>
    protected const int Repetitions = 10;

    /// <summary>One step.</summary>
    /// <returns>Its loss, where it has one, else 0.</returns>
    public abstract float Step();

    /// <summary>Of how many steps a call of <see cref="Step"/> consists: tiny ones are done several at a time.</summary>
    public virtual int StepsPerCall => 1;

    /// <summary>What a call's managed bytes are divided by.</summary>
    public virtual int UpdatesPerCall => StepsPerCall;

    /// <summary>The shortest time that says something, in milliseconds.</summary>
    public virtual double LeastSample => 0.05;

    /// <summary>Some calls in a row.</summary>
    /// <param name="steps">How many calls of <see cref="Step"/>, at least 1.</param>
    /// <param name="allocated">Managed bytes that they allocated.</param>
    /// <returns>Ticks of <see cref="Stopwatch"/>.</returns>
    public virtual long Measure(int steps, out long allocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < steps; i++)
            Step();
        long ticks = Stopwatch.GetTimestamp() - start;
        allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return ticks;
    }

    /// <summary>What a step costs the device, by the device's own clock; null: the device has no queue, or nobody can tell.</summary>
    public virtual RunCosts? Costs => null;

    /// <summary>
    /// Some calls in a row that nobody waits for: how long the host itself is at work. Few, since a device lets the host run ahead only so far.
    /// </summary>
    /// <param name="calls">How many calls of <see cref="Step"/>.</param>
    /// <returns>Ticks of <see cref="Stopwatch"/>; null: this waits in each call.</returns>
    public virtual long? MeasureHost(int calls) => null;

    /// <summary>What it holds on the device; null: nothing that is of interest. Asked for after the first step.</summary>
    public virtual RunMemory? Memory => null;

    /// <summary>Frees it.</summary>
    public abstract void Dispose();
}
