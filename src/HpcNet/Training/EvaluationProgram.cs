// EvaluationProgram.cs: forward and loss without backward, on rows copied in from host memory; the outputs come back where
// somebody wants a confusion matrix. Trainers keep one for validation.

using HpcNet.Interop;

namespace HpcNet;

internal sealed unsafe class EvaluationProgram : IDisposable
{
    private const int MostRows = 256;

    private readonly Network _network;
    private readonly Loss _loss;
    private readonly NativeProgram _program;
    private readonly Value _x;
    private readonly Value _target;
    private readonly Value _output;
    private float[] _prepared = [];

    private EvaluationProgram(Network network, Loss loss, int capacity, bool labels)
    {
        _network = network;
        _loss = loss;
        Labels = labels;
        using var recorder = new Recorder(network.Device, capacity);
        var graph = new GraphRecorder(
            network.Graph, recorder, network.Parameters, null,
            new RecordingPurpose { Trains = static _ => false, RandomStream = static _ => 0UL },
            hpc_value_kind.HPC_VALUE_OUTPUT);
        _x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
        _target = labels
            ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32)
            : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets");
        _output = graph.Forward(_x);
        loss.RecordForward(recorder, _output, _target);
        _program = recorder.Finish();
    }

    /// <summary>Whether the targets are class indices.</summary>
    public bool Labels { get; }

    public int Capacity => _program.Capacity;

    /// <summary>A program for a data set, after checking that network, loss and data fit.</summary>
    public static EvaluationProgram For(Network network, Loss loss, Dataset data, string argument)
    {
        DataChecks.Fits(network, loss, data, argument);
        return new EvaluationProgram(network, loss, Math.Min(MostRows, data.Count), data.IsClassification);
    }

    public Evaluation Evaluate(Dataset data, bool confusion)
    {
        confusion &= _loss.Task == NetworkTask.Classification;
        int inputs = _network.Inputs;
        int outputs = _network.Outputs;
        var matrix = confusion ? new ConfusionMatrix(outputs, data.ClassNames ?? _network.ClassNames) : null;
        var answers = new float[confusion ? Capacity * outputs : 0];
        var totals = new MetricTotals();
        for (int start = 0; start < data.Count; start += Capacity)
        {
            int rows = Math.Min(Capacity, data.Count - start);
            ReadOnlySpan<float> x = data.Features.Slice(start * inputs, rows * inputs);
            if (_network.Preprocessing is { } preprocessing)
                x = DataChecks.Prepare(preprocessing, x, ref _prepared);

            hpc_metrics metrics;
            fixed (float* features = x)
            fixed (int* labels = data.LabelArray)
            fixed (float* targets = data.TargetArray)
            fixed (float* output = answers)
            {
                Span<hpc_transfer> transfers =
                [
                    NativeProgram.Transfer(_x, features, x.Length),
                    Labels
                        ? NativeProgram.Transfer(_target, labels + start, rows)
                        : NativeProgram.Transfer(_target, targets + (long)start * outputs, (long)rows * outputs),
                    NativeProgram.Transfer(_output, output, (long)rows * outputs),
                ];
                lock (_network.Gate)
                {
                    _network.ThrowIfDisposed();
                    _program.RunWith(rows, [], confusion ? transfers : transfers[..2], &metrics);
                }
            }
            totals.Add(metrics);
            for (int i = 0; confusion && i < rows; i++)
            {
                int actual = Labels ? data.Labels[start + i] : Numbers.ArgMax(data.Targets.Slice((start + i) * outputs, outputs));
                matrix!.Count(actual, Numbers.ArgMax(answers.AsSpan(i * outputs, outputs)));
            }
        }
        return new Evaluation(totals.Loss(_loss), totals.Accuracy(_loss), data.Count, matrix);
    }

    public void Dispose() => _program.Dispose();
}

/// <summary>Sums of fetched metrics.</summary>
internal struct MetricTotals
{
    private double _loss;
    private ulong _rows;
    private ulong _correct;

    public void Add(in hpc_metrics metrics)
    {
        _loss += metrics.loss;
        _rows += metrics.rows;
        _correct += metrics.correct;
    }

    /// <summary>The mean per row, or the sum where the loss is one.</summary>
    public readonly double Loss(Loss loss) => loss.Reduction == Reduction.Sum ? _loss : _rows == 0 ? double.NaN : _loss / _rows * loss.Terms;

    public readonly double Accuracy(Loss loss) =>
        loss.Task != NetworkTask.Classification || _rows == 0 ? double.NaN : (double)_correct / _rows;
}

/// <summary>Whether data fit a network, and what is done to them on the way in.</summary>
internal static class DataChecks
{
    public static void Fits(Network network, Loss loss, Dataset data, string argument)
    {
        Inputs(network, data.FeatureCount, argument);
        FitsLoss(network, loss);
        if (data.IsClassification)
        {
            TakesLabels(loss, argument);
            if (data.ClassCount > network.Outputs)
            {
                throw new ArgumentException(
                    $"{argument} has {data.ClassCount} classes; the network has {network.Outputs} outputs.", argument);
            }
        }
        else if (data.TargetCount != network.Outputs)
        {
            throw new ArgumentException(
                $"{argument} has {data.TargetCount} targets per row; the network has {network.Outputs} outputs.", argument);
        }
    }

    /// <summary>A loss for several outputs says how many columns they have.</summary>
    public static void FitsLoss(Network network, Loss loss)
    {
        if (loss.Columns != 0 && loss.Columns != network.Outputs)
            throw new ArgumentException($"{loss.Name} is for {loss.Columns} columns; the network has {network.Outputs} outputs.", nameof(loss));
    }

    public static void TakesLabels(Loss loss, string argument)
    {
        if (!loss.TakesLabels)
            throw new ArgumentException($"{argument} holds class labels; {loss.Name} expects a row of float targets for each output.", argument);
    }

    /// <summary>How the first layer is called in messages.</summary>
    public static string Reader(Network network)
    {
        Node first = network.Graph.Nodes[0];
        if (first.Layer is InputColumns)
            return "The network";
        return $"{char.ToUpperInvariant(first.Layer.Kind[0])}{first.Layer.Kind[1..]} '{first.Name}'";
    }

    /// <summary>Standardizes rows into scratch memory that grows when it must.</summary>
    public static ReadOnlySpan<float> Prepare(Standardizer preprocessing, ReadOnlySpan<float> x, ref float[] scratch)
    {
        if (scratch.Length < x.Length)
            scratch = GC.AllocateUninitializedArray<float>(x.Length);
        preprocessing.Apply(x, scratch.AsSpan(0, x.Length));
        return scratch.AsSpan(0, x.Length);
    }

    private static void Inputs(Network network, int columns, string argument)
    {
        if (columns != network.Inputs)
            throw new ArgumentException($"{Reader(network)} expects {network.Inputs} inputs, got {columns}.", argument);
    }
}
