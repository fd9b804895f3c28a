// Polynomial regression: x, x² and x³ as features, and the same Dense(1) as in the linear demo now fits the cubic. Its weights are the
// coefficients.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class PolynomialDemo
{
    public static DemoResult Run(Device device)
    {
        var result = new DemoResult("degree", "weights (x, x^2, ...)", "bias", "mean squared error");
        var chart = new Chart { Title = "Polynomials through a cubic", XLabel = "x", YLabel = "f(x)" }
            .Function("f(x)", Cubic.Value, -1, 1);
        for (int degree = 1; degree <= 3; degree++)
        {
            var powers = new PolynomialFeatures(inputs: 1, degree);
            Dataset data = powers.Apply(Cubic.Samples());
            using var network = new Network(device, inputs: degree, seed: 1, new Dense(1));
            using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.3f, momentum: 0.95f));
            trainer.Fit(data, epochs: 600, batchSize: data.Count);

            var weights = new float[degree];
            var bias = new float[1];
            network.GetParameter("dense1.weight", weights);
            network.GetParameter("dense1.bias", bias);
            double error = network.Evaluate(data).Loss;
            result.Row(degree, string.Join("  ", weights.Select(w => FormattableString.Invariant($"{w:F3}"))), (double)bias[0], error);
            result[$"error{degree}"] = error;
            chart.Function(
                $"degree {degree}", x => bias[0] + weights.Select((w, i) => w * Math.Pow(x, i + 1)).Sum(), -1, 1, dashed: true);
            for (int i = 0; degree == 3 && i < degree; i++)
                result[$"x{i + 1}"] = weights[i];
        }
        result.Picture = chart;
        result.Conclusion = "With degree 3 the error vanishes, and the weights are the coefficients -3, 2 and 5.";
        return result;
    }
}
