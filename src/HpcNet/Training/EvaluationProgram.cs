// EvaluationProgram.cs: forward and loss without backward, on rows copied in from host memory; the outputs come back where
// somebody wants to know more than the core counts. Trainers keep one for validation.

using HpcNet.Interop;

namespace HpcNet;

internal sealed unsafe class EvaluationProgram : IDisposable
{
    /// <summary>Rows of a run at most.</summary>
    public const int MostRows = 256;


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
            new RecordingPurpose { Trains = static _ => false, State = network.State, RandomStream = static _ => 0UL },
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
        loss.CheckOutputs(network.Outputs, nameof(loss));
        DataChecks.Fits(network, loss, data, argument);
        DataChecks.EnoughRows(network, data.Count, MostRows, training: false, argument);
        return new EvaluationProgram(network, loss, Math.Min(MostRows, data.Count), data.IsClassification);
    }

    /// <summary>Evaluates.</summary>
    /// <param name="data">The data.</param>
    /// <param name="details">True: whatever the outputs tell, too, not only loss and accuracy.</param>
    public Evaluation Evaluate(Dataset data, bool details)
    {
        NetworkTask task = _loss.Task;
        int inputs = _network.Inputs;
        int outputs = _network.Outputs;
        var matrix = details && task == NetworkTask.Classification
            ? new ConfusionMatrix(outputs, data.ClassNames ?? _network.ClassNames)
            : null;
        // The core counts the rows of a classification that are right, nothing else.
        bool reads = details || task == NetworkTask.MultiLabel;
        var answers = new float[reads ? (details && matrix is null ? data.Count : Capacity) * outputs : 0];
        long right = 0;
        var totals = new MetricTotals();
        for (int start = 0; start < data.Count; start += Capacity)
        {
            int rows = Math.Min(Capacity, data.Count - start);
            ReadOnlySpan<float> x = data.Features.Slice(start * inputs, rows * inputs);
            if (_network.Preprocessing is { } preprocessing)
                x = DataChecks.Prepare(preprocessing, x, ref _prepared);
            Span<float> answer = reads ? answers.AsSpan(details && matrix is null ? start * outputs : 0, rows * outputs) : [];

            hpc_metrics metrics;
            fixed (float* features = x)
            fixed (int* labels = data.LabelArray)
            fixed (float* targets = data.TargetArray)
            fixed (float* output = answer)
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
                    _program.RunWith(rows, [], reads ? transfers : transfers[..2], &metrics);
                }
            }
            totals.Add(metrics);
            for (int i = 0; matrix is not null && i < rows; i++)
            {
                int actual = Labels ? data.Labels[start + i] : Numbers.ArgMax(data.Targets.Slice((start + i) * outputs, outputs));
                if (!Labels || actual != _loss.Ignored)
                    matrix.Count(actual, Numbers.ArgMax(answer.Slice(i * outputs, outputs)));
            }
            if (task == NetworkTask.MultiLabel)
            {
                ReadOnlySpan<float> targets = data.Targets.Slice(start * outputs, rows * outputs);
                for (int i = 0; i < answer.Length; i++)
                    right += answer[i] > 0f == targets[i] > 0.5f ? 1 : 0;
            }
        }
        var evaluation = new Evaluation(
            totals.Loss(_loss), task == NetworkTask.MultiLabel ? (double)right / data.Targets.Length : totals.Accuracy(_loss), data.Count, matrix);
        return details && task == NetworkTask.Regression && !Labels
            ? evaluation with
            {
                MeanAbsoluteError = Metrics.MeanAbsoluteError(answers, data.Targets),
                RootMeanSquaredError = Metrics.RootMeanSquaredError(answers, data.Targets),
                RSquared = Metrics.RSquared(answers, data.Targets, outputs),
            }
            : evaluation;
    }

    public void Dispose() => _program.Dispose();
}

/// <summary>Sums of fetched metrics.</summary>
internal struct MetricTotals
{
    private double _loss;
    private double _weight;
    private ulong _rows;
    private ulong _correct;

    public void Add(in hpc_metrics metrics)
    {
        _loss += metrics.loss;
        _weight += metrics.weight;
        _rows += metrics.rows;
        _correct += metrics.correct;
    }

    /// <summary>The mean over all that was added, weighted as the loss weighs its rows, or the sum where the loss is one.</summary>
    public readonly double Loss(Loss loss) => _weight == 0 ? double.NaN : loss.Reduced(_loss, _weight);

    public readonly double Accuracy(Loss loss) =>
        loss.Task != NetworkTask.Classification || _rows == 0 ? double.NaN : (double)_correct / _rows;
}

/// <summary>Whether data fit a network, and what is done to them on the way in.</summary>
internal static class DataChecks
{
    public static void Fits(Network network, Loss loss, Dataset data, string argument)
    {
        Inputs(network, data.FeatureCount, argument);
        if (network.Preprocessing is null)
            Indices(network, data.Features, argument);
        if (data.IsClassification)
        {
            TakesLabels(loss, argument);
            if (data.ClassCount > network.Outputs)
            {
                throw new ArgumentException(
                    $"{argument} has {data.ClassCount} classes; the network has {network.Outputs} outputs.", argument);
            }
        }
        else
        {
            TakesTargets(loss, argument);
            if (data.TargetCount != network.Outputs)
            {
                throw new ArgumentException(
                    $"{argument} has {data.TargetCount} targets per row; the network has {network.Outputs} outputs.", argument);
            }
        }
    }

    public static void TakesLabels(Loss loss, string argument)
    {
        if (!loss.TakesLabels)
            throw new ArgumentException($"{argument} holds class labels; {loss.Name} expects a row of float targets for each output.", argument);
    }

    public static void TakesTargets(Loss loss, string argument)
    {
        if (!loss.TakesTargets)
            throw new ArgumentException($"{argument} holds float targets; {loss.Name} expects a class label for each row.", argument);
    }

    /// <summary>How what takes the input is called in messages: the first layer, or the network where there are several inputs.</summary>
    public static string Reader(Network network)
    {
        Node first = network.Graph.Nodes[0];
        return first.Layer is InputColumns ? "The network" : Named(first);
    }

    /// <summary>Standardizes rows into scratch memory that grows when it must.</summary>
    public static ReadOnlySpan<float> Prepare(Standardizer preprocessing, ReadOnlySpan<float> x, ref float[] scratch)
    {
        if (scratch.Length < x.Length)
            scratch = GC.AllocateUninitializedArray<float>(x.Length);
        preprocessing.Apply(x, scratch.AsSpan(0, x.Length));
        return scratch.AsSpan(0, x.Length);
    }

    /// <summary>Whether every run of at most <paramref name="batch"/> rows has as many as the layers need: more than one where
    /// statistics are the batch's.</summary>
    public static void EnoughRows(Network network, int rows, int batch, bool training, string argument)
    {
        int least = training ? network.LeastTrainingRows : network.LeastEvaluationRows;
        if (least <= 1)
            return;
        int last = rows % batch == 0 ? Math.Min(batch, rows) : rows % batch;
        if (last >= least)
            return;
        network.Graph.LeastRows(training, out Node layer);
        throw new ArgumentException(
            $"{layer.Layer.Summary()} '{layer.Name}' takes mean and variance of the batch and needs more than 1 value per channel; "
            + $"{argument} {(rows <= batch ? $"has {rows} row" : $"has {rows} rows, in batches of {batch} the last one has {last}")}.", argument);
    }

    /// <summary>Whether what layers look up are indices that they have.</summary>
    public static void Indices(Network network, ReadOnlySpan<float> x, string argument)
    {
        foreach (var (layer, first, columns) in network.IndexColumns)
        {
            int count = layer.Layer.IndexCount;
            int rows = x.Length / network.Inputs;
            for (int row = 0; row < rows; row++)
            {
                int from = row * network.Inputs + first;
                for (int i = from; i < from + columns; i++)
                {
                    if (!(x[i] >= 0 && x[i] < count) || x[i] != MathF.Floor(x[i]))
                    {
                        throw new ArgumentOutOfRangeException(
                            argument, x[i], $"{argument}[{i}] is {x[i]}; {Named(layer)} expects whole numbers from 0 to {count - 1}.");
                    }
                }
            }
        }
    }

    /// <summary>Where all columns of the input are indices, which have no gradient: a layer that looks them up, as it is called in
    /// messages; else null.</summary>
    public static string? OnlyIndices(Network network)
    {
        var indices = new bool[network.Inputs];
        foreach (var (_, first, columns) in network.IndexColumns)
            indices.AsSpan(first, columns).Fill(true);
        return indices.Contains(false) ? null : Named(network.IndexColumns[0].Layer);
    }

    /// <summary>Whether all numbers of the input may change a little: none is an index, wherever it is looked up.</summary>
    public static void Continuous(Network network, string what, string argument)
    {
        foreach (Node node in network.Graph.Nodes)
        {
            if (node.Layer.IndexCount > 0)
                throw new ArgumentException($"{what} changes the numbers of the input; {Named(node)} looks up indices.", argument);
        }
    }

    private static string Named(Node node) => $"{char.ToUpperInvariant(node.Layer.Kind[0])}{node.Layer.Kind[1..]} '{node.Name}'";

    private static void Inputs(Network network, int columns, string argument)
    {
        if (columns != network.Inputs)
            throw new ArgumentException($"{Reader(network)} expects {network.Inputs} inputs, got {columns}.", argument);
    }
}
