// ReferenceNetwork.cs: a dense network in plain float64 C#, written from the formulas in the books and sharing nothing with the
// library: the truth that steps of the native programs are held against.

namespace HpcNet.Tests;

/// <summary>One dense layer: w [in × out], b [out], an activation by name.</summary>
internal sealed class ReferenceLayer(string name, int inputs, int outputs, string activation)
{
    public string Name { get; } = name;

    public int Inputs { get; } = inputs;

    public int Outputs { get; } = outputs;

    public double[] Weight { get; init; } = new double[inputs * outputs];

    public double[] Bias { get; init; } = new double[outputs];

    public bool Frozen { get; init; }

    public double Scale { get; init; } = 1;

    public double Activate(double z) => activation switch
    {
        "Linear" => z,
        "ReLU" => Math.Max(0, z),
        "Sigmoid" => 1 / (1 + Math.Exp(-z)),
        "Tanh" => Math.Tanh(z),
        _ => throw new NotSupportedException(activation),
    };

    public double Derivative(double z) => activation switch
    {
        "Linear" => 1,
        "ReLU" => z > 0 ? 1 : 0,
        "Sigmoid" => Activate(z) * (1 - Activate(z)),
        "Tanh" => 1 - Math.Tanh(z) * Math.Tanh(z),
        _ => throw new NotSupportedException(activation),
    };
}

/// <summary>What one parameter block of the reference has.</summary>
internal sealed class ReferenceBlock(double[] values, ReferenceLayer layer, bool decays)
{
    public double[] Values { get; } = values;

    public ReferenceLayer Layer { get; } = layer;

    public bool Decays { get; } = decays;

    public double[] Gradient { get; } = new double[values.Length];

    public double[] First { get; } = new double[values.Length];

    public double[] Second { get; } = new double[values.Length];

    public double[] Third { get; } = new double[values.Length];
}

/// <summary>Forward, backward and the optimizers' rules in double precision.</summary>
internal sealed class ReferenceNetwork
{
    private readonly List<ReferenceLayer> _layers = [];
    private int _step;

    public ReferenceNetwork(Network network)
    {
        int inputs = network.Inputs;
        for (int i = 0; i < network.Layers.Count; i++)
        {
            var dense = (Dense)network.Layers[i];
            string name = network.LayerNames[i];
            var layer = new ReferenceLayer(name, inputs, dense.Units, dense.Activation.Name)
            {
                Weight = Array.ConvertAll(Samples.Parameter(network, name + ".weight"), v => (double)v),
                Bias = dense.Bias ? Array.ConvertAll(Samples.Parameter(network, name + ".bias"), v => (double)v) : new double[dense.Units],
                Frozen = network.IsFrozen(name),
                Scale = network.GetLearningRateScale(name),
            };
            _layers.Add(layer);
            Blocks.Add(new ReferenceBlock(layer.Weight, layer, decays: true));
            if (dense.Bias)
                Blocks.Add(new ReferenceBlock(layer.Bias, layer, decays: false));
            inputs = dense.Units;
        }
    }

    /// <summary>All parameters, in the library's order.</summary>
    public List<ReferenceBlock> Blocks { get; } = [];

    public float[] Parameters() => [.. Blocks.SelectMany(b => b.Values).Select(v => (float)v)];

    /// <summary>Fills the gradients and returns the mean loss; targets are probabilities or values.</summary>
    public double Gradients(float[] x, float[] targets, bool crossEntropy)
    {
        int rows = x.Length / _layers[0].Inputs;
        int outputs = _layers[^1].Outputs;
        foreach (ReferenceBlock block in Blocks)
            Array.Clear(block.Gradient);
        double loss = 0;
        for (int row = 0; row < rows; row++)
        {
            var inputs = new List<double[]>();
            var sums = new List<double[]>();
            double[] a = [.. x.Skip(row * _layers[0].Inputs).Take(_layers[0].Inputs).Select(v => (double)v)];
            foreach (ReferenceLayer layer in _layers)
            {
                inputs.Add(a);
                var z = new double[layer.Outputs];
                for (int j = 0; j < layer.Outputs; j++)
                {
                    z[j] = layer.Bias[j];
                    for (int i = 0; i < layer.Inputs; i++)
                        z[j] += a[i] * layer.Weight[i * layer.Outputs + j];
                }
                sums.Add(z);
                a = Array.ConvertAll(z, layer.Activate);
            }

            double[] t = [.. targets.Skip(row * outputs).Take(outputs).Select(v => (double)v)];
            var d = new double[outputs];
            if (crossEntropy)
            {
                double top = a.Max();
                double total = a.Sum(v => Math.Exp(v - top));
                for (int j = 0; j < outputs; j++)
                {
                    double log = a[j] - top - Math.Log(total);
                    loss -= t[j] * log / rows;
                    d[j] = (Math.Exp(log) * t.Sum() - t[j]) / rows;
                }
            }
            else
            {
                for (int j = 0; j < outputs; j++)
                {
                    loss += (a[j] - t[j]) * (a[j] - t[j]) / (rows * outputs);
                    d[j] = 2 * (a[j] - t[j]) / (rows * outputs);
                }
            }

            for (int l = _layers.Count - 1; l >= 0; l--)
            {
                ReferenceLayer layer = _layers[l];
                for (int j = 0; j < layer.Outputs; j++)
                    d[j] *= layer.Derivative(sums[l][j]);
                var below = new double[layer.Inputs];
                double[] weightGradient = Blocks.Single(b => b.Values == layer.Weight).Gradient;
                double[]? biasGradient = Blocks.SingleOrDefault(b => b.Values == layer.Bias)?.Gradient;
                for (int j = 0; j < layer.Outputs; j++)
                {
                    if (biasGradient is not null)
                        biasGradient[j] += d[j];
                    for (int i = 0; i < layer.Inputs; i++)
                    {
                        weightGradient[i * layer.Outputs + j] += inputs[l][i] * d[j];
                        below[i] += layer.Weight[i * layer.Outputs + j] * d[j];
                    }
                }
                d = below;
            }
        }
        foreach (ReferenceBlock block in Blocks.Where(b => b.Layer.Frozen))
            Array.Clear(block.Gradient);
        return loss;
    }

    /// <summary>The chain and the rule of an optimizer, at a learning rate.</summary>
    public void Update(Optimizer optimizer, double learningRate)
    {
        _step++;
        List<ReferenceBlock> live = [.. Blocks.Where(b => !b.Layer.Frozen)];
        double direction = optimizer.Maximize ? -1 : 1;
        foreach (OptimizerLink link in optimizer.Links())
        {
            if (link is ClipByNormLink clip)
            {
                IEnumerable<double> all = Blocks.SelectMany(b => b.Gradient).Select(Math.Abs);
                double norm = double.IsInfinity(clip.Order) ? all.Max() : Math.Pow(all.Sum(g => Math.Pow(g, clip.Order)), 1.0 / clip.Order);
                double factor = Math.Min(1, clip.MaxNorm / (norm + 1e-6));
                Each(Blocks, (b, i) => b.Gradient[i] *= factor);
            }
            else if (link is ClipByValueLink value)
            {
                Each(Blocks, (b, i) => b.Gradient[i] = Math.Clamp(b.Gradient[i], -value.Limit, value.Limit));
            }
            else if (link is PenaltyLink penalty)
            {
                Each(live.Where(b => b.Decays || penalty.Biases), (b, i) =>
                    b.Gradient[i] += direction * (penalty.L1 * Math.Sign(b.Values[i]) + penalty.L2 * b.Values[i]));
            }
        }
        foreach (DecoupledWeightDecayLink decay in optimizer.Links().OfType<DecoupledWeightDecayLink>())
            Each(live.Where(b => b.Decays || decay.Biases), (b, i) => b.Values[i] *= 1 - learningRate * b.Layer.Scale * decay.Rate);

        Each(live, (b, i) =>
        {
            double rate = learningRate * b.Layer.Scale;
            double g = b.Gradient[i];
            switch (optimizer)
            {
                case Sgd { Momentum: 0 }:
                    b.Values[i] -= direction * rate * g;
                    break;
                case Sgd sgd:
                    b.First[i] = _step == 1 ? g : sgd.Momentum * b.First[i] + (1 - sgd.Dampening) * g;
                    b.Values[i] -= direction * rate * (sgd.Nesterov ? g + sgd.Momentum * b.First[i] : b.First[i]);
                    break;
                case Adam { AmsGrad: false, Maximize: false } adam:
                    b.First[i] = adam.Beta1 * b.First[i] + (1 - adam.Beta1) * g;
                    b.Second[i] = adam.Beta2 * b.Second[i] + (1 - adam.Beta2) * g * g;
                    double m = b.First[i] / (1 - Math.Pow(adam.Beta1, _step));
                    double v = b.Second[i] / (1 - Math.Pow(adam.Beta2, _step));
                    b.Values[i] -= rate * m / (Math.Sqrt(v) + adam.Epsilon);
                    break;
                default:
                    TextbookRules.Step(optimizer, b, i, rate, direction * g, _step);
                    break;
            }
        });
        foreach (MaxNormLink limit in optimizer.Links().OfType<MaxNormLink>())
        {
            foreach (ReferenceBlock block in live.Where(b => b.Decays))
                LimitNorms(block, limit.MaxNorm);
        }
    }

    // Of the weights that come in to each unit, a column.
    private static void LimitNorms(ReferenceBlock block, double most)
    {
        int columns = block.Layer.Outputs, rows = block.Values.Length / columns;
        for (int column = 0; column < columns; column++)
        {
            double norm = Math.Sqrt(Enumerable.Range(0, rows).Sum(r => Math.Pow(block.Values[r * columns + column], 2)));
            for (int row = 0; norm > most && row < rows; row++)
                block.Values[row * columns + column] *= most / (norm + 1e-7);
        }
    }

    private static void Each(IEnumerable<ReferenceBlock> blocks, Action<ReferenceBlock, int> action)
    {
        foreach (ReferenceBlock block in blocks)
        {
            for (int i = 0; i < block.Values.Length; i++)
                action(block, i);
        }
    }
}
