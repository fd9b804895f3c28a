// A training step without native code: a chain of dense layers, softmax cross-entropy of labels or the mean squared error of targets, SGD
// or Adam. Layout as in the library: X [rows x in], W [in x out], row-major. Everything is allocated once.

using HpcNet.Interop;

namespace HpcNet.Benchmarks.Managed;

/// <summary>Trains widths[0] - widths[1] - ... - widths[^1] in managed code.</summary>
internal sealed class ManagedTrainer
{
    private readonly ManagedKernels _kernels;
    private readonly hpc_activation _hidden;
    private readonly hpc_activation _output;
    private readonly bool _adam;
    private readonly float _learningRate;
    private readonly int _rows;
    private readonly DenseLayer[] _layers;
    private readonly float[] _outputGradient;
    private long _step;

    /// <summary>Starts from given parameters, which are copied.</summary>
    /// <param name="kernels">What computes.</param>
    /// <param name="weights">For each layer [in x out].</param>
    /// <param name="biases">For each layer [out].</param>
    /// <param name="hidden">The activation of all layers but the last.</param>
    /// <param name="output">The activation of the last one.</param>
    /// <param name="optimizer">An <see cref="HpcNet.Sgd"/> without momentum or an <see cref="HpcNet.Adam"/>, with the usual constants.</param>
    /// <param name="learningRate">Its rate.</param>
    /// <param name="rows">Rows of a batch.</param>
    public ManagedTrainer(
        ManagedKernels kernels, float[][] weights, float[][] biases, Activation hidden, Activation output, Optimizer optimizer,
        float learningRate, int rows)
    {
        _kernels = kernels;
        _hidden = (hpc_activation)hidden.NativeId;
        _output = (hpc_activation)output.NativeId;
        _adam = optimizer is Adam;
        _learningRate = learningRate;
        _rows = rows;
        _layers = [.. weights.Zip(biases, (w, b) => new DenseLayer((float[])w.Clone(), (float[])b.Clone(), rows))];
        _outputGradient = new float[rows * _layers[^1].Out];
    }

    /// <summary>One step; returns the mean loss before it.</summary>
    /// <param name="x">[rows x inputs].</param>
    /// <param name="labels">[rows], or empty.</param>
    /// <param name="targets">[rows x outputs] where there are no labels.</param>
    public float Step(float[] x, int[] labels, float[] targets)
    {
        float[] input = x;
        for (int i = 0; i < _layers.Length; i++)
        {
            DenseLayer layer = _layers[i];
            _kernels.Multiply(MatrixView.Of(input, layer.In), MatrixView.Of(layer.Weight.Value, layer.Out), layer.Y, _rows, layer.Out, layer.In);
            _kernels.BiasActivate(i < _layers.Length - 1 ? _hidden : _output, layer.Y, layer.Bias.Value);
            input = layer.Y;
        }

        DenseLayer last = _layers[^1];
        float loss = labels.Length > 0
            ? _kernels.SoftmaxCrossEntropy(last.Y, labels, _outputGradient)
            : MeanSquaredError(last.Y, targets, _outputGradient);
        _kernels.ActivateBackward(_output, last.Y, _outputGradient, last.Dz);

        _step++;
        for (int i = _layers.Length - 1; i >= 0; i--)
        {
            DenseLayer layer = _layers[i];
            float[] below = i == 0 ? x : _layers[i - 1].Y;
            var dz = MatrixView.Of(layer.Dz, layer.Out);
            _kernels.Multiply(MatrixView.Transposed(below, layer.In), dz, layer.Weight.Gradient, layer.In, layer.Out, _rows);
            _kernels.ColumnSums(layer.Dz, layer.Bias.Gradient);
            if (i > 0)
            {
                DenseLayer previous = _layers[i - 1];
                _kernels.Multiply(dz, MatrixView.Transposed(layer.Weight.Value, layer.Out), previous.Dz, _rows, layer.In, layer.Out);
                _kernels.ActivateBackward(_hidden, previous.Y, previous.Dz, previous.Dz);
            }
            Update(layer.Weight);
            Update(layer.Bias);
        }
        return loss;
    }

    private void Update(Parameter parameter)
    {
        if (_adam)
        {
            _kernels.Adam(parameter.Value, parameter.Gradient, parameter.First, parameter.Second, _learningRate, _step);
            return;
        }
        for (int i = 0; i < parameter.Value.Length; i++)
            parameter.Value[i] -= _learningRate * parameter.Gradient[i];
    }

    private static float MeanSquaredError(float[] y, float[] targets, float[] gradient)
    {
        double sum = 0;
        for (int i = 0; i < y.Length; i++)
        {
            float difference = y[i] - targets[i];
            sum += difference * difference;
            gradient[i] = 2f * difference / y.Length;
        }
        return (float)(sum / y.Length);
    }

    /// <summary>A parameter with its gradient and Adam's two moments.</summary>
    private sealed class Parameter(float[] value)
    {
        public float[] Value { get; } = value;

        public float[] Gradient { get; } = new float[value.Length];

        public float[] First { get; } = new float[value.Length];

        public float[] Second { get; } = new float[value.Length];
    }

    private sealed class DenseLayer(float[] weight, float[] bias, int rows)
    {
        public int In { get; } = weight.Length / bias.Length;

        public int Out { get; } = bias.Length;

        public Parameter Weight { get; } = new(weight);

        public Parameter Bias { get; } = new(bias);

        /// <summary>The output [rows x out], after the activation.</summary>
        public float[] Y { get; } = new float[rows * bias.Length];

        /// <summary>The gradient of Z [rows x out].</summary>
        public float[] Dz { get; } = new float[rows * bias.Length];
    }
}
