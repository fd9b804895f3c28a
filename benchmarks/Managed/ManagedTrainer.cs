// A training step without native code: a chain of dense layers with ReLU between them, softmax cross-entropy (mean over the
// rows) and Adam. Layout as in the library: X [rows x in], W [in x out], row-major. Everything is allocated once.

using System.Runtime.Intrinsics;

namespace HpcNet.Benchmarks.Managed;

/// <summary>Trains widths[0] - widths[1] - ... - widths[^1] in managed code, with one of the matrix products.</summary>
internal sealed class ManagedTrainer
{
    private const float Beta1 = 0.9f;
    private const float Beta2 = 0.999f;
    private const float Epsilon = 1e-8f;

    private readonly IMatrixProduct _product;
    private readonly int _rows;
    private readonly int _threads;
    private readonly float _learningRate;
    private readonly DenseLayer[] _layers;
    private long _step;

    /// <summary>Starts from given parameters, which are copied.</summary>
    /// <param name="product">How matrices are multiplied.</param>
    /// <param name="widths">Columns of the input and of each layer.</param>
    /// <param name="weights">For each layer [in x out].</param>
    /// <param name="biases">For each layer [out].</param>
    /// <param name="rows">Rows of a batch.</param>
    /// <param name="learningRate">Adam's.</param>
    /// <param name="threads">1: no thread but the caller's.</param>
    public ManagedTrainer(
        IMatrixProduct product, int[] widths, float[][] weights, float[][] biases, int rows, float learningRate, int threads)
    {
        _product = product;
        _rows = rows;
        _learningRate = learningRate;
        _threads = threads;
        _layers = new DenseLayer[widths.Length - 1];
        for (int i = 0; i < _layers.Length; i++)
            _layers[i] = new DenseLayer(widths[i], widths[i + 1], (float[])weights[i].Clone(), (float[])biases[i].Clone(), rows);
    }

    /// <summary>One step; returns the mean loss before it.</summary>
    public float Step(float[] x, int[] labels)
    {
        float[] input = x;
        for (int i = 0; i < _layers.Length; i++)
        {
            DenseLayer layer = _layers[i];
            Multiply(MatrixView.Of(input, layer.In), MatrixView.Of(layer.Weight.Value, layer.Out), layer.Y, _rows, layer.Out, layer.In);
            AddBias(layer, relu: i < _layers.Length - 1);
            input = layer.Y;
        }

        float loss = SoftmaxCrossEntropy(_layers[^1], labels);

        _step++;
        for (int i = _layers.Length - 1; i >= 0; i--)
        {
            DenseLayer layer = _layers[i];
            float[] below = i == 0 ? x : _layers[i - 1].Y;
            var dz = MatrixView.Of(layer.Dz, layer.Out);
            Multiply(MatrixView.Transposed(below, layer.In), dz, layer.Weight.Gradient, layer.In, layer.Out, _rows);
            ColumnSums(layer);
            if (i > 0)
            {
                DenseLayer previous = _layers[i - 1];
                Multiply(dz, MatrixView.Transposed(layer.Weight.Value, layer.Out), previous.Dz, _rows, layer.In, layer.Out);
                for (int e = 0; e < previous.Dz.Length; e++)
                    previous.Dz[e] = previous.Y[e] > 0f ? previous.Dz[e] : 0f;
            }
            Adam(layer.Weight);
            Adam(layer.Bias);
        }
        return loss;
    }

    private void Multiply(MatrixView a, MatrixView b, float[] c, int m, int n, int k) => _product.Multiply(a, b, c, m, n, k, _threads);

    private void AddBias(DenseLayer layer, bool relu)
    {
        ReadOnlySpan<float> bias = layer.Bias.Value;
        for (int row = 0; row < _rows; row++)
        {
            Span<float> y = layer.Y.AsSpan(row * layer.Out, layer.Out);
            for (int j = 0; j < y.Length; j++)
            {
                float z = y[j] + bias[j];
                y[j] = relu && z < 0f ? 0f : z;
            }
        }
    }

    private float SoftmaxCrossEntropy(DenseLayer last, int[] labels)
    {
        double loss = 0;
        for (int row = 0; row < _rows; row++)
        {
            ReadOnlySpan<float> z = last.Y.AsSpan(row * last.Out, last.Out);
            Span<float> dz = last.Dz.AsSpan(row * last.Out, last.Out);
            float largest = z[0];
            foreach (float value in z)
                largest = MathF.Max(largest, value);
            float sum = 0f;
            for (int j = 0; j < z.Length; j++)
            {
                dz[j] = MathF.Exp(z[j] - largest);
                sum += dz[j];
            }
            loss += MathF.Log(sum) + largest - z[labels[row]];
            float factor = 1f / (sum * _rows);
            for (int j = 0; j < dz.Length; j++)
                dz[j] *= factor;
            dz[labels[row]] -= 1f / _rows;
        }
        return (float)(loss / _rows);
    }

    private void ColumnSums(DenseLayer layer)
    {
        Span<float> sums = layer.Bias.Gradient;
        sums.Clear();
        for (int row = 0; row < _rows; row++)
        {
            ReadOnlySpan<float> dz = layer.Dz.AsSpan(row * layer.Out, layer.Out);
            for (int j = 0; j < sums.Length; j++)
                sums[j] += dz[j];
        }
    }

    private void Adam(Parameter parameter)
    {
        float rate = (float)(_learningRate / (1 - Math.Pow(Beta1, _step)));
        float correction = (float)(1 / Math.Sqrt(1 - Math.Pow(Beta2, _step)));
        float[] value = parameter.Value, gradient = parameter.Gradient, first = parameter.First, second = parameter.Second;
        int i = 0;
        for (; i <= value.Length - Vector256<float>.Count; i += Vector256<float>.Count)
        {
            var g = Vector256.LoadUnsafe(ref gradient[i]);
            var m = Vector256.LoadUnsafe(ref first[i]) * Beta1 + g * (1 - Beta1);
            var v = Vector256.LoadUnsafe(ref second[i]) * Beta2 + g * g * (1 - Beta2);
            m.StoreUnsafe(ref first[i]);
            v.StoreUnsafe(ref second[i]);
            var p = Vector256.LoadUnsafe(ref value[i]) - m * rate / (Vector256.Sqrt(v) * correction + Vector256.Create(Epsilon));
            p.StoreUnsafe(ref value[i]);
        }
        for (; i < value.Length; i++)
        {
            first[i] = first[i] * Beta1 + gradient[i] * (1 - Beta1);
            second[i] = second[i] * Beta2 + gradient[i] * gradient[i] * (1 - Beta2);
            value[i] -= first[i] * rate / (MathF.Sqrt(second[i]) * correction + Epsilon);
        }
    }

    /// <summary>A parameter with its gradient and Adam's two moments.</summary>
    private sealed class Parameter(float[] value)
    {
        public float[] Value { get; } = value;

        public float[] Gradient { get; } = new float[value.Length];

        public float[] First { get; } = new float[value.Length];

        public float[] Second { get; } = new float[value.Length];
    }

    private sealed class DenseLayer(int inputs, int outputs, float[] weight, float[] bias, int rows)
    {
        public int In { get; } = inputs;

        public int Out { get; } = outputs;

        public Parameter Weight { get; } = new(weight);

        public Parameter Bias { get; } = new(bias);

        /// <summary>The output [rows x out], after the activation.</summary>
        public float[] Y { get; } = new float[rows * outputs];

        /// <summary>The gradient of Z [rows x out].</summary>
        public float[] Dz { get; } = new float[rows * outputs];
    }
}
