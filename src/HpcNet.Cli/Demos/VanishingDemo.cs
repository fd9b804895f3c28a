// Vanishing gradients: ten layers of 64 units, and how large the gradient of each layer's weights is before any training. A sigmoid
// passes on at most a quarter of what comes back; ReLU with He's initialization keeps it, and so does SELU with LeCun's, which keeps
// mean and variance of what goes forward as well.
//
// The gradients are read off a step of plain descent, which subtracts rate · gradient. The rate is huge only so that small
// gradients are not lost in single precision; the networks are thrown away.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class VanishingDemo
{
    private const int Depth = 10, Units = 64;
    private const float Rate = 1e4f;

    public static DemoResult Run(Device device)
    {
        (string Name, Activation Activation, Initializer Initializer)[] kinds =
        [
            ("sigmoid, Glorot", Activation.Sigmoid, Initializer.GlorotUniform),
            ("tanh, Glorot", Activation.Tanh, Initializer.GlorotUniform),
            ("ReLU, He", Activation.ReLU, Initializer.HeNormal),
            ("SELU, LeCun", Activation.SELU, Initializer.LeCunNormal),
        ];
        Dataset digits = Dataset.Digits();
        double[][] norms = [.. kinds.Select(kind => GradientNorms(device, digits, kind.Activation, kind.Initializer))];

        var result = new DemoResult(["layer", .. kinds.Select(k => k.Name)]);
        string[] layers = [.. Enumerable.Range(1, Depth).Select(i => $"{i}")];
        var chart = new Chart { Title = "Norm of the gradient in each layer, before training", XLabel = "layer", YLabel = "norm", LogarithmicY = true };
        for (int layer = 0; layer < Depth; layer++)
            result.Row([layers[layer], .. norms.Select(n => (object)n[layer])]);
        for (int i = 0; i < kinds.Length; i++)
        {
            chart.Bars(kinds[i].Name, layers, norms[i]);
            result[kinds[i].Activation.Name] = norms[i][0] / norms[i][^1];
        }
        result.Picture = chart;
        result.Conclusion = "First layer's gradient as a share of the last one's: " + string.Join("; ", kinds.Select(
            k => FormattableString.Invariant($"{k.Name} {result[k.Activation.Name]:G2}"))) + ".";
        return result;
    }

    private static double[] GradientNorms(Device device, Dataset digits, Activation activation, Initializer initializer)
    {
        Layer[] hidden = [.. Enumerable.Range(0, Depth).Select(_ => new Dense(Units, activation, initializer))];
        using var network = new Network(device, inputs: 64, seed: 1, [.. hidden, new Dense(10)]);
        string[] names = [.. network.ParameterInfos.Select(p => p.Name).Where(n => n.EndsWith(".weight", StringComparison.Ordinal)).Take(Depth)];
        float[][] before = Array.ConvertAll(names, name => Parameter(network, name));
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(Rate)))
            trainer.Step(digits.Features, digits.Labels);
        return [.. names.Select((name, i) => Math.Sqrt(
            Parameter(network, name).Zip(before[i], (after, was) => Math.Pow((was - after) / Rate, 2)).Sum()))];
    }

    private static float[] Parameter(Network network, string name)
    {
        var values = new float[network.ParameterInfos.Single(p => p.Name == name).Count];
        network.GetParameter(name, values);
        return values;
    }
}
