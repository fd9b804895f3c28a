// Linear regression, a network of one Dense(1): the best line through the cubic's samples. Its residuals are as large as the samples'
// spread and have a shape: the model is too small, not the training too short.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class LinearDemo
{
    public static DemoResult Run(Device device)
    {
        Dataset data = Cubic.Samples();
        using var network = new Network(device, inputs: 1, seed: 1, new Dense(1));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.3f, momentum: 0.9f));
        trainer.Fit(data, epochs: 300, batchSize: data.Count);

        Span<float> slope = stackalloc float[1], intercept = stackalloc float[1];
        network.GetParameter("dense1.weight", slope);
        network.GetParameter("dense1.bias", intercept);
        double error = network.Evaluate(data).Loss, mean = Cubic.Y.Average();
        double variance = Cubic.Y.Average(y => (y - mean) * (y - mean));
        double a = slope[0], b = intercept[0];

        var result = new DemoResult("x", "f(x)", "line", "residual")
        {
            ["error"] = error,
            ["r2"] = 1 - error / variance,
            ["slope"] = a,
            ["intercept"] = b,
            Picture = new Chart { Title = "A line through a cubic", XLabel = "x", YLabel = "f(x)" }
                .Function("f(x) = 5x³ + 2x² − 3x", Cubic.Value, -1, 1)
                .Function("best line", x => a * x + b, -1, 1)
                .Function("residual", x => Cubic.Value(x) - (a * x + b), -1, 1, dashed: true),
        };
        foreach (double x in new[] { -1, -0.6, -0.3, 0, 1.0 / 3, 0.7, 1 })
            result.Row(x, Cubic.Value(x), a * x + b, Cubic.Value(x) - (a * x + b));
        result.Conclusion = FormattableString.Invariant(
            $"Mean squared error {error:F3} of a variance of {variance:F3}: R2 = {1 - error / variance:F3}. The line explains nothing of this cubic.");
        return result;
    }
}
