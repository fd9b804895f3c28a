// InputGradient.cs: the gradient with respect to a network's input, as a native program: forward, backward, nothing updated. It
// serves input optimization (what does this unit like to see?), saliency, and adversarial examples.

using System.Numerics;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Gradients of a network's loss, or of one of its outputs, with respect to its input, made by
/// <see cref="Network.CreateInputGradient"/>. It follows the network's parameters: it always uses those of the moment. Layers behave
/// as in prediction (no dropout). Several inputs are columns side by side; those that are indices which a layer looks up have the gradient 0.
/// One thread at a time may use it.
/// </summary>
public sealed unsafe class InputGradient : IDisposable
{
    private readonly Network _network;
    private readonly Loss? _loss;
    private GradientProgram? _ofLoss;
    private GradientProgram? _ofOutput;
    private float[] _prepared = [];
    private float[] _seeds = [];
    private int _busy;
    private bool _disposed;

    internal InputGradient(Network network, Loss? loss)
    {
        _network = network;
        _loss = loss;
    }

    /// <summary>The gradient of the loss on class labels.</summary>
    /// <param name="x">[rows × inputs], row-major, as the data come (<see cref="Network.Preprocessing"/> is applied); at least one row.</param>
    /// <param name="labels">[rows], each from 0 to outputs − 1, or the one that the loss ignores.</param>
    /// <param name="gradient">Receives [rows × inputs]: the derivative by each number of <paramref name="x"/>.</param>
    /// <returns>The loss, reduced as <see cref="Loss.Reduction"/> says. It is NaN or infinite where it is.</returns>
    /// <exception cref="ArgumentException">A span has another length, or the loss does not take labels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class, or an index is not in its layer's table.</exception>
    /// <exception cref="InvalidOperationException">This was made without a loss, or another thread is in it.</exception>
    /// <exception cref="ObjectDisposedException">This or the network was disposed.</exception>
    public float OfLoss(ReadOnlySpan<float> x, ReadOnlySpan<int> labels, Span<float> gradient)
    {
        int rows = Rows(x, gradient);
        DataChecks.TakesLabels(Loss(), nameof(labels));
        Ensure.Length(labels.Length, rows, nameof(labels), "one for each row");
        Ensure.Labels(labels, _network.Outputs, nameof(labels), _loss!.Ignored);
        fixed (int* target = labels)
            return Run(x, rows, target, rows, labels: true, gradient);
    }

    /// <summary>The gradient of the loss on targets.</summary>
    /// <param name="x">[rows × inputs], row-major, as the data come (<see cref="Network.Preprocessing"/> is applied); at least one row.</param>
    /// <param name="targets">[rows × outputs], row-major.</param>
    /// <param name="gradient">Receives [rows × inputs]: the derivative by each number of <paramref name="x"/>.</param>
    /// <returns>The loss, reduced as <see cref="Loss.Reduction"/> says. It is NaN or infinite where it is.</returns>
    /// <exception cref="ArgumentException">A span has another length, or the loss takes labels only.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An index is not in its layer's table.</exception>
    /// <exception cref="InvalidOperationException">This was made without a loss, or another thread is in it.</exception>
    /// <exception cref="ObjectDisposedException">This or the network was disposed.</exception>
    public float OfLoss(ReadOnlySpan<float> x, ReadOnlySpan<float> targets, Span<float> gradient)
    {
        int rows = Rows(x, gradient);
        DataChecks.TakesTargets(Loss(), nameof(targets));
        Ensure.Matrix(targets.Length, rows, _network.Outputs, nameof(targets));
        fixed (float* target = targets)
            return Run(x, rows, target, targets.Length, labels: false, gradient);
    }

    /// <summary>The gradient of one column of the output (of a classification: one logit), for each row by itself.</summary>
    /// <param name="x">[rows × inputs], row-major, as the data come (<see cref="Network.Preprocessing"/> is applied); at least one row.</param>
    /// <param name="output">The column, 0 to outputs − 1; several outputs are columns side by side.</param>
    /// <param name="gradient">Receives [rows × inputs]: the derivative by each number of <paramref name="x"/>.</param>
    /// <exception cref="ArgumentException">A span has another length.</exception>
    /// <exception cref="ArgumentOutOfRangeException">There is no such output, or an index is not in its layer's table.</exception>
    /// <exception cref="InvalidOperationException">Another thread is in it.</exception>
    /// <exception cref="ObjectDisposedException">This or the network was disposed.</exception>
    public void OfOutput(ReadOnlySpan<float> x, int output, Span<float> gradient)
    {
        int rows = Rows(x, gradient);
        int outputs = _network.Outputs;
        if ((uint)output >= (uint)outputs)
            throw new ArgumentOutOfRangeException(nameof(output), output, $"output is {output}; expected 0 to {outputs - 1}.");
        Enter();
        try
        {
            GradientProgram program = Program(ref _ofOutput, rows, null, labels: false);
            int elements = rows * outputs;
            if (_seeds.Length < elements)
                _seeds = new float[elements];
            Array.Clear(_seeds, 0, elements);
            for (int row = 0; row < rows; row++)
                _seeds[row * outputs + output] = 1f;
            fixed (float* seeds = _seeds)
                Run(program, x, rows, seeds, elements, gradient);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }

    /// <summary>
    /// Adversarial examples by the fast gradient sign method, x + ε · sign(∂loss/∂x) (Goodfellow et al. 2015): rows that look
    /// alike to people and raise the loss.
    /// </summary>
    /// <param name="x">[rows × inputs], row-major, as the data come; at least one row.</param>
    /// <param name="labels">[rows], the true classes.</param>
    /// <param name="epsilon">How far each number may move, in the units of <paramref name="x"/>; finite, 0 or more.</param>
    /// <param name="adversarial">Receives [rows × inputs].</param>
    /// <param name="low">Numbers below this become it; −∞ by default, 0 for pixels.</param>
    /// <param name="high">Numbers above this become it; ∞ by default, 1 for pixels.</param>
    /// <exception cref="ArgumentException">A span has another length, or the loss does not take labels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range, a label is no class, or an index is not in its
    /// layer's table.</exception>
    /// <exception cref="InvalidOperationException">This was made without a loss, or another thread is in it.</exception>
    /// <exception cref="ObjectDisposedException">This or the network was disposed.</exception>
    public void FastGradientSign(
        ReadOnlySpan<float> x, ReadOnlySpan<int> labels, float epsilon, Span<float> adversarial, float low = float.NegativeInfinity,
        float high = float.PositiveInfinity)
    {
        Ensure.FiniteNotNegative(epsilon, nameof(epsilon));
        AdversarialTraining.Range(low, high);
        Ensure.Length(adversarial.Length, x.Length, nameof(adversarial), "as many as x");
        OfLoss(x, labels, adversarial);
        Move(x, adversarial, epsilon, low, high);
    }

    /// <summary>A data set of adversarial examples, as <see cref="FastGradientSign(ReadOnlySpan{float}, ReadOnlySpan{int}, float, Span{float}, float, float)"/>.</summary>
    /// <param name="data">The examples, with classes or targets.</param>
    /// <param name="epsilon">How far each feature may move; finite, 0 or more.</param>
    /// <param name="low">Features below this become it.</param>
    /// <param name="high">Features above this become it.</param>
    /// <exception cref="ArgumentException">The data do not fit the network or the loss.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range, or an index is not in its layer's table.</exception>
    /// <exception cref="InvalidOperationException">This was made without a loss, or another thread is in it.</exception>
    /// <exception cref="ObjectDisposedException">This or the network was disposed.</exception>
    public Dataset FastGradientSign(
        Dataset data, float epsilon, float low = float.NegativeInfinity, float high = float.PositiveInfinity)
    {
        DataChecks.Fits(_network, Loss(), Ensure.NotNull(data), nameof(data));
        Ensure.FiniteNotNegative(epsilon, nameof(epsilon));
        AdversarialTraining.Range(low, high);
        const int Batch = 1024;
        DataChecks.EnoughRows(_network, data.Count, Batch, training: false, nameof(data));
        int inputs = data.FeatureCount;
        var features = new float[data.Features.Length];
        for (int start = 0; start < data.Count; start += Batch)
        {
            int rows = Math.Min(Batch, data.Count - start);
            ReadOnlySpan<float> x = data.Features.Slice(start * inputs, rows * inputs);
            Span<float> part = features.AsSpan(start * inputs, rows * inputs);
            if (data.IsClassification)
                OfLoss(x, data.Labels.Slice(start, rows), part);
            else
                OfLoss(x, data.Targets.Slice(start * data.TargetCount, rows * data.TargetCount), part);
            Move(x, part, epsilon, low, high);
        }
        return data.WithFeatures(features);
    }

    /// <summary>Frees the programs. The network stays.</summary>
    public void Dispose()
    {
        _disposed = true;
        _ofLoss?.Dispose();
        _ofOutput?.Dispose();
    }

    // In place: the gradient becomes the example. A derivative of 0 (or one that is NaN) moves nothing; indices stay, out of range or not.
    private void Move(ReadOnlySpan<float> x, Span<float> gradient, float epsilon, float low, float high)
    {
        for (int i = 0; i < x.Length; i++)
        {
            float step = gradient[i] > 0 ? epsilon : gradient[i] < 0 ? -epsilon : 0f;
            gradient[i] = Math.Min(Math.Max(x[i] + step, low), high);
        }
        foreach (var (_, first, columns) in _network.IndexColumns)
        {
            for (int at = first; at < x.Length; at += _network.Inputs)
                x.Slice(at, columns).CopyTo(gradient[at..]);
        }
    }

    private Loss Loss() => _loss ?? throw new InvalidOperationException(
        "This InputGradient was made without a loss; give one to CreateInputGradient, or ask for the gradient of an output.");

    private int Rows(ReadOnlySpan<float> x, Span<float> gradient)
    {
        // The reader's name is text that is made only when it is needed.
        int inputs = _network.Inputs;
        int rows = x.Length > 0 && x.Length % inputs == 0
            ? x.Length / inputs
            : Ensure.WholeRows(x.Length, inputs, nameof(x), DataChecks.Reader(_network));
        Ensure.Length(gradient.Length, x.Length, nameof(gradient), "as many as x");
        DataChecks.EnoughRows(_network, rows, rows, training: false, nameof(x));
        if (_network.Preprocessing is null)
            DataChecks.Indices(_network, x, nameof(x));
        return rows;
    }

    private float Run(ReadOnlySpan<float> x, int rows, void* target, long targetElements, bool labels, Span<float> gradient)
    {
        Enter();
        try
        {
            GradientProgram program = Program(ref _ofLoss, rows, _loss, labels);
            hpc_metrics metrics = Run(program, x, rows, target, targetElements, gradient);
            return (float)_loss!.Reduced(metrics.loss, metrics.weight);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }

    private hpc_metrics Run(
        GradientProgram program, ReadOnlySpan<float> x, int rows, void* target, long targetElements, Span<float> gradient)
    {
        Standardizer? preprocessing = _network.Preprocessing;
        if (preprocessing is not null)
            x = DataChecks.Prepare(preprocessing, x, ref _prepared);
        hpc_metrics metrics;
        fixed (float* input = x)
        fixed (float* output = gradient)
        {
            Span<hpc_transfer> transfers =
            [
                NativeProgram.Transfer(program.X, input, x.Length),
                NativeProgram.Transfer(program.Target, target, targetElements),
                NativeProgram.Transfer(program.Gradient, output, gradient.Length),
            ];
            lock (_network.Gate)
            {
                _network.ThrowIfDisposed();
                program.Native.RunWith(rows, [], transfers, &metrics);
            }
        }
        // The chain rule through (x - mean) / scale.
        for (int i = 0; preprocessing is not null && i < gradient.Length; i++)
            gradient[i] = (float)(gradient[i] / preprocessing.Scales[i % preprocessing.FeatureCount]);
        return metrics;
    }

    private GradientProgram Program(ref GradientProgram? cached, int rows, Loss? loss, bool labels)
    {
        if (cached is { } program && program.Labels == labels && rows <= program.Native.Capacity)
            return program;
        int capacity = NativeProgram.CapacityFor(cached?.Native, rows);
        cached?.Dispose();
        cached = null;
        return cached = new GradientProgram(_network, loss, capacity, labels);
    }

    private void Enter()
    {
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new InvalidOperationException(
                "This InputGradient is working in another call; one thread at a time may use one. Make a second one, or wait.");
        }
        if (!_disposed && !_network.IsDisposed)
            return;
        Volatile.Write(ref _busy, 0);
        ObjectDisposedException.ThrowIf(_disposed, this);
        _network.ThrowIfDisposed();
    }

    /// <summary>Forward and backward to the input: from a loss, or from a gradient of the output that the caller brings.</summary>
    private sealed class GradientProgram : IDisposable
    {
        public GradientProgram(Network network, Loss? loss, int capacity, bool labels)
        {
            Labels = labels;
            using var recorder = new Recorder(network.Device, capacity);
            var graph = new GraphRecorder(
                network.Graph, recorder, network.Parameters, null,
                RecordingPurpose.ToInput(network.State), hpc_value_kind.HPC_VALUE_TEMPORARY);
            X = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
            Value output = graph.Forward(X);
            Value seed;
            if (loss is null)
            {
                Target = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Outputs, "output.gradient");
                // Where branches meet, gradients are added up in place, which what a caller brings is not for.
                seed = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "output.gradient.copy");
                recorder.CopyColumns(Target, 0, seed, 0, network.Outputs);
            }
            else
            {
                Target = labels
                    ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32)
                    : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets");
                seed = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "loss.gradient");
                loss.RecordForward(recorder, output, Target);
                loss.RecordBackward(recorder, output, Target, seed);
            }
            Value gradient = graph.Backward(seed);
            Gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, network.Inputs, "input.gradient");
            recorder.Fill(Gradient, 0f);
            recorder.AddScaled(gradient, Gradient, 1f);
            Native = recorder.Finish();
        }

        public NativeProgram Native { get; }

        public Value X { get; }

        /// <summary>The target of the loss, or the gradient of the output.</summary>
        public Value Target { get; }

        public Value Gradient { get; }

        public bool Labels { get; }

        public void Dispose() => Native.Dispose();
    }
}
