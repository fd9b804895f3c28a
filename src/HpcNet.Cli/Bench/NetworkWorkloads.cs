// Workloads that are a chain of dense layers: training steps, epochs, predictions.

using System.Diagnostics;

namespace HpcNet.Cli.Bench;

/// <summary>A workload over a chain of dense layers.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Meaning">What it is.</param>
/// <param name="Widths">Columns of the input and of each layer.</param>
/// <param name="Hidden">The activation of all layers but the last.</param>
/// <param name="Output">The activation of the last one.</param>
internal abstract record NetworkWorkload(string Name, string Meaning, int[] Widths, Activation Hidden, Activation Output)
    : Workload(Name, Meaning)
{
    /// <summary>Columns of the input.</summary>
    public int Inputs => Widths[0];

    /// <summary>Columns of the output.</summary>
    public int Outputs => Widths[^1];

    /// <summary>Weights and biases.</summary>
    public long ParameterCount => Enumerable.Range(1, Widths.Length - 1).Sum(i => (long)(Widths[i - 1] + 1) * Widths[i]);

    /// <summary>The network with its first weights, the same on every machine; others read them by <see cref="Network.GetParameter"/>.</summary>
    public Network CreateNetwork(Device device) => new(
        device, Inputs, seed: 1, [.. Enumerable.Range(1, Widths.Length - 1).Select(i => new Dense(Widths[i], i == Widths.Length - 1 ? Output : Hidden))]);

    /// <summary>Operations of the forward pass: two for each weight and row, one for each bias, one for each activation.</summary>
    protected double ForwardFlops(double rows) => rows * Layers().Sum(
        l => 2.0 * l.In * l.Out + l.Out + (l.Activation.IsLinear ? 0 : l.Out));

    /// <summary>
    /// Operations of loss and backward pass: the gradient of each weight and, but for the first layer, of its input; column sums for
    /// the biases; derivatives; five for each output of softmax cross-entropy, three of an elementwise loss.
    /// </summary>
    protected double BackwardFlops(double rows, bool classes) => rows * (
        Layers().Sum(l => 2.0 * l.In * l.Out * (l.First ? 1 : 2) + l.Out + (l.Activation.IsLinear ? 0 : l.Out))
        + (classes ? 5.0 : 3.0) * Outputs);

    private IEnumerable<(int In, int Out, bool First, Activation Activation)> Layers() => Enumerable.Range(1, Widths.Length - 1)
        .Select(i => (Widths[i - 1], Widths[i], i == 1, i == Widths.Length - 1 ? Output : Hidden));

    private protected static string Chain(int[] widths) => string.Join('-', widths);
}

/// <summary>A training step: <see cref="Trainer.Step(ReadOnlySpan{float}, ReadOnlySpan{int})"/> on one mini-batch after the other.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Widths">Columns of the input and of each layer.</param>
/// <param name="Hidden">The activation of all layers but the last.</param>
/// <param name="Output">The activation of the last one.</param>
/// <param name="BatchRows">Rows of a mini-batch.</param>
/// <param name="Optimizer">The optimizer.</param>
/// <param name="Loss">The loss.</param>
/// <param name="Batches">How many mini-batches there are; after the last comes the first. Enough that none is learnt by heart.</param>
internal sealed record TrainingWorkload(
    string Name, int[] Widths, Activation Hidden, Activation Output, int BatchRows, Optimizer Optimizer, Loss Loss, int Batches)
    : NetworkWorkload(Name, $"training step of {Chain(Widths)}, batch {BatchRows}, {Optimizer}", Widths, Hidden, Output)
{
    /// <summary>Where the examples come from.</summary>
    public Func<WorkloadData>? Source { get; init; }

    public override int Rows => BatchRows;

    public override double Flops =>
        ForwardFlops(Rows) + BackwardFlops(Rows, Loss.TakesLabels) + ParameterCount * OptimizerCost.Flops(Optimizer);

    public override double CompulsoryBytes => 4.0 * (2 * ParameterCount * (1 + OptimizerCost.Moments(Optimizer)) + Rows * (Inputs + TargetColumns));

    public override double WorkingSet => 4.0 * (ParameterCount * (1 + OptimizerCost.Moments(Optimizer)) + Rows * (Inputs + TargetColumns));

    private int TargetColumns => Loss.TakesLabels ? 1 : Outputs;

    /// <summary>All batches, one after the other.</summary>
    public WorkloadData CreateData() => Source?.Invoke() ?? WorkloadData.Prototypes(Rows * Batches, Inputs, Outputs);

    public override TrainingRun Start(Device device) => new(this, device, CreateData());
}

/// <summary>What runs that train share: a network, its trainer, and the memory that they came to hold.</summary>
internal abstract class TrainerRun : WorkloadRun
{
    private readonly long _before;
    private readonly long _processBefore;

    protected TrainerRun(NetworkWorkload workload, Device device, Loss loss, Optimizer optimizer)
    {
        Device = device;
        _before = (long)device.AllocatedBytes;
        _processBefore = Environment.WorkingSet;
        Network = workload.CreateNetwork(device);
        Trainer = new Trainer(Network, loss, optimizer);
    }

    protected Device Device { get; }

    /// <summary>What is trained.</summary>
    public Network Network { get; }

    /// <summary>What trains it.</summary>
    public Trainer Trainer { get; }

    public override RunMemory? Memory => RunMemory.Of(Trainer, (long)Device.AllocatedBytes - _before, _processBefore);

    public override void Dispose()
    {
        Trainer.Dispose();
        Network.Dispose();
    }
}

/// <summary>Training step by step. Data are made before anything on the device.</summary>
internal sealed class TrainingRun : TrainerRun
{
    private readonly WorkloadData _data;
    private readonly int _rows;
    private readonly int _batches;
    private int _next;

    public TrainingRun(TrainingWorkload workload, Device device, WorkloadData data)
        : base(workload, device, workload.Loss, workload.Optimizer)
    {
        _data = data;
        _rows = workload.Rows;
        _batches = data.Rows / _rows;
    }

    public override float Step()
    {
        int batch = Next();
        return _data.Labels.Length > 0 ? Trainer.Step(X(batch), Labels(batch)) : Trainer.Step(X(batch), Targets(batch));
    }

    // What is trained on a device with a queue is not waited for in each step, by nobody's library.
    public override double LeastSample => Device.IsOpenCl ? 20 : base.LeastSample;

    public override long Measure(int steps, out long allocated)
    {
        if (!Device.IsOpenCl)
            return base.Measure(steps, out allocated);
        long before = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        Enqueue(steps);
        Trainer.FetchLoss();
        long ticks = Stopwatch.GetTimestamp() - start;
        allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return ticks;
    }

    public override RunCosts? Costs => Device.IsOpenCl ? Trainer.MeasureRun(Repetitions) : null;

    public override long? MeasureHost(int calls)
    {
        if (!Device.IsOpenCl)
            return null;
        Trainer.FetchLoss();
        long start = Stopwatch.GetTimestamp();
        Enqueue(calls);
        long ticks = Stopwatch.GetTimestamp() - start;
        Trainer.FetchLoss();
        return ticks;
    }

    private void Enqueue(int steps)
    {
        for (int i = 0; i < steps; i++)
        {
            int batch = Next();
            if (_data.Labels.Length > 0)
                Trainer.Enqueue(X(batch), Labels(batch));
            else
                Trainer.Enqueue(X(batch), Targets(batch));
        }
    }

    private int Next()
    {
        int batch = _next;
        _next = batch + 1 == _batches ? 0 : batch + 1;
        return batch;
    }

    private ReadOnlySpan<float> X(int batch) => _data.Features.AsSpan(batch * _rows * _data.Inputs, _rows * _data.Inputs);

    private ReadOnlySpan<int> Labels(int batch) => _data.Labels.AsSpan(batch * _rows, _rows);

    private ReadOnlySpan<float> Targets(int batch) => _data.Targets.AsSpan(batch * _rows * _data.Outputs, _rows * _data.Outputs);
}

/// <summary>An epoch of <see cref="Trainer.Fit"/> over a small data set: shuffled, gathered in that order.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Widths">Columns of the input and of each layer.</param>
/// <param name="Hidden">The activation of all layers but the last, which has none.</param>
/// <param name="Examples">Rows of the data set.</param>
/// <param name="BatchRows">Rows of a mini-batch.</param>
/// <param name="Optimizer">The optimizer.</param>
internal sealed record EpochWorkload(string Name, int[] Widths, Activation Hidden, int Examples, int BatchRows, Optimizer Optimizer)
    : NetworkWorkload(
        Name, $"epoch of {Chain(Widths)} over {Examples} rows, {(BatchRows == Examples ? "one batch" : $"batch {BatchRows}")}, {Optimizer}", Widths, Hidden,
        Activation.Linear)
{
    public override int Rows => Examples;

    /// <summary>Updates of an epoch.</summary>
    public int Updates => (Examples + BatchRows - 1) / BatchRows;

    public override double Flops =>
        ForwardFlops(Rows) + BackwardFlops(Rows, classes: true) + (double)Updates * ParameterCount * OptimizerCost.Flops(Optimizer);

    // Parameters stay in the first-level cache: what comes and goes is the data.
    public override double CompulsoryBytes => 4.0 * Examples * (Inputs + 2);

    public override double WorkingSet => CompulsoryBytes;

    // Wider networks learn with smaller steps.
    private const int Wide = 2048;

    /// <summary>The epoch of a name; null: the name is none.</summary>
    public static Workload? Parse(string name)
    {
        string[] parts = name.Split('-');
        return parts is ["fit", var chain, var data] && Extents(chain, chain.Count(c => c == 'x') + 1) is [_, _, ..] widths
            && Extents(data, 2) is [var examples, var batch] && batch <= examples && (long)examples * widths[0] <= int.MaxValue / 4
            && Enumerable.Range(1, widths.Length - 1).Sum(i => (long)widths[i - 1] * widths[i]) <= int.MaxValue / 4
            ? new EpochWorkload(name, widths, Activation.ReLU, examples, batch, new Adam(widths.Max() < Wide ? 1e-3f : 1e-4f))
            : null;
    }

    /// <summary>The data set.</summary>
    public WorkloadData CreateData() => WorkloadData.Prototypes(Examples, Inputs, Outputs);

    public override EpochRun Start(Device device) => new(this, device, CreateData());
}

/// <summary>Training epoch by epoch; several epochs that are measured in a row are one fit.</summary>
internal sealed class EpochRun : TrainerRun
{
    private readonly Dataset _data;
    private readonly int _batchRows;

    public EpochRun(EpochWorkload workload, Device device, WorkloadData data)
        : base(workload, device, Loss.SoftmaxCrossEntropy, workload.Optimizer)
    {
        _data = Dataset.FromArrays(data.Features, data.Inputs, data.Labels, data.Outputs);
        _batchRows = workload.BatchRows;
        UpdatesPerCall = workload.Updates;
    }

    public override int UpdatesPerCall { get; }

    // A fit does more at its beginning and end than an epoch needs.
    public override double LeastSample => Device.IsOpenCl ? 20 : 5;

    public override RunCosts? Costs => Device.IsOpenCl ? Trainer.MeasureRun(Repetitions).Times(UpdatesPerCall) : null;

    /// <summary>One epoch.</summary>
    /// <returns>Its mean loss.</returns>
    public override float Step() => (float)Trainer.Fit(_data, 1, _batchRows).Epochs[0].Loss;

    public override long Measure(int steps, out long allocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        long start = Stopwatch.GetTimestamp();
        Trainer.Fit(_data, steps, _batchRows);
        long ticks = Stopwatch.GetTimestamp() - start;
        allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return ticks;
    }
}

/// <summary>A prediction: <see cref="Predictor.PredictLogits"/>.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Widths">Columns of the input and of each layer.</param>
/// <param name="Hidden">The activation of all layers but the last, which has none.</param>
/// <param name="BatchRows">Rows of a prediction.</param>
internal sealed record InferenceWorkload(string Name, int[] Widths, Activation Hidden, int BatchRows)
    : NetworkWorkload(Name, $"prediction of {Chain(Widths)}, batch {BatchRows}", Widths, Hidden, Activation.Linear)
{
    public override int Rows => BatchRows;

    public override double Flops => ForwardFlops(Rows);

    public override double CompulsoryBytes => 4.0 * (ParameterCount + Rows * (Inputs + Outputs));

    public override double WorkingSet => CompulsoryBytes;

    public override Traffic Traffic => Traffic.Read;

    /// <summary>The rows that are asked about.</summary>
    public WorkloadData CreateData() => WorkloadData.Prototypes(Rows, Inputs, Outputs);

    public override InferenceRun Start(Device device) => new(this, device);
}

/// <summary>One caller of a predictor.</summary>
internal sealed class InferenceRun : WorkloadRun
{
    private readonly Network _network;
    private readonly Predictor _predictor;
    private readonly float[] _x;
    private readonly float[] _y;

    public InferenceRun(InferenceWorkload workload, Device device)
    {
        _x = workload.CreateData().Features;
        _y = new float[workload.Rows * workload.Outputs];
        _network = workload.CreateNetwork(device);
        _predictor = _network.CreatePredictor(workload.Rows);
    }

    /// <summary>The last answer [rows × outputs].</summary>
    public ReadOnlySpan<float> Answer => _y;

    public override float Step()
    {
        _predictor.PredictLogits(_x, _y);
        return 0f;
    }

    public override RunCosts? Costs => _network.Device.IsOpenCl ? _predictor.MeasureRun(_x.Length / _network.Inputs, Repetitions) : null;

    public override void Dispose()
    {
        _predictor.Dispose();
        _network.Dispose();
    }
}

/// <summary>Several threads that ask one predictor about one row each, over and over, as those of a server do. A step is one answer.</summary>
/// <param name="Name">As <c>--workload</c> takes it.</param>
/// <param name="Widths">Columns of the input and of each layer.</param>
/// <param name="Hidden">The activation of all layers but the last, which has none.</param>
/// <param name="Callers">How many threads.</param>
internal sealed record CallersWorkload(string Name, int[] Widths, Activation Hidden, int Callers)
    : NetworkWorkload(
        Name, $"throughput of predictions of {Chain(Widths)}, batch 1, {Callers} caller{(Callers == 1 ? "" : "s")}", Widths, Hidden, Activation.Linear)
{
    public override int Rows => 1;

    public override double Flops => ForwardFlops(1);

    public override double CompulsoryBytes => 4.0 * (ParameterCount + Inputs + Outputs);

    public override double WorkingSet => CompulsoryBytes;

    public override Traffic Traffic => Traffic.Read;

    // Callers compute beside the team, or instead of it.
    public override int FloorThreads(int threads) => Math.Max(threads, Math.Min(Callers, Environment.ProcessorCount));

    public override CallersRun Start(Device device) => new(this, device);
}

/// <summary>The threads, which wait between measurements.</summary>
internal sealed class CallersRun : WorkloadRun
{
    private readonly Network _network;
    private readonly Predictor _predictor;
    private readonly float[] _x;
    private readonly Thread[] _threads;
    private readonly Barrier _barrier;
    private readonly long[] _allocated;
    private readonly long[] _began;
    private readonly long[] _endedAt;
    private readonly Exception?[] _failures;
    private int _left;
    private volatile bool _ended;

    public CallersRun(CallersWorkload workload, Device device)
    {
        _x = WorkloadData.Prototypes(1, workload.Inputs, workload.Outputs).Features;
        _network = workload.CreateNetwork(device);
        _predictor = _network.CreatePredictor(1);
        _predictor.Prepare(workload.Callers);
        _barrier = new Barrier(workload.Callers + 1);
        _allocated = new long[workload.Callers];
        _began = new long[workload.Callers];
        _endedAt = new long[workload.Callers];
        _failures = new Exception?[workload.Callers];
        _threads = [.. Enumerable.Range(0, workload.Callers).Select(i => new Thread(() => Work(i, workload.Outputs)) { IsBackground = true })];
        foreach (Thread thread in _threads)
            thread.Start();
    }

    // They wait for one another before and after.
    public override double LeastSample => 5;

    public override float Step()
    {
        Measure(_threads.Length, out _);
        return 0f;
    }

    public override long Measure(int steps, out long allocated)
    {
        Volatile.Write(ref _left, steps);
        _barrier.SignalAndWait();
        _barrier.SignalAndWait();
        if (Array.Find(_failures, f => f is not null) is { } failure)
            throw new InvalidOperationException($"A caller failed: {failure.Message}", failure);
        allocated = 0;
        foreach (long each in _allocated)
            allocated += each;
        // By the callers' own clocks: this thread may come late to see them begin.
        return _endedAt.Max() - _began.Min();
    }

    public override void Dispose()
    {
        _ended = true;
        _barrier.SignalAndWait();
        foreach (Thread thread in _threads)
            thread.Join();
        _barrier.Dispose();
        _predictor.Dispose();
        _network.Dispose();
    }

    // Whoever is free takes the next answer, so that all end together.
    private void Work(int index, int outputs)
    {
        var y = new float[outputs];
        while (true)
        {
            _barrier.SignalAndWait();
            if (_ended)
                return;
            long before = GC.GetAllocatedBytesForCurrentThread();
            _began[index] = Stopwatch.GetTimestamp();
            try
            {
                while (Interlocked.Decrement(ref _left) >= 0)
                    _predictor.PredictLogits(_x, y);
            }
            catch (Exception e)
            {
                _failures[index] = e;
            }
            _endedAt[index] = Stopwatch.GetTimestamp();
            _allocated[index] = GC.GetAllocatedBytesForCurrentThread() - before;
            _barrier.SignalAndWait();
        }
    }
}

/// <summary>What an optimizer costs.</summary>
internal static class OptimizerCost
{
    /// <summary>Moments that it keeps for each parameter.</summary>
    public static int Moments(Optimizer optimizer) => OptimizerState.MomentsOf(optimizer);

    /// <summary>Operations for each parameter, as the core counts them: four, four more for each moment, three for clipping by norm.</summary>
    public static int Flops(Optimizer optimizer) => 4 + 4 * Moments(optimizer) + 3 * optimizer.Links().Count(l => l is ClipByNormLink);
}
