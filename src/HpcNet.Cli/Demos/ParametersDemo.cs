// The parameters of a function are learned as its argument was: the model a x³ + b x² + c x is fitted to 201 samples, one sample at a
// time (online), 174 times over, with the rate 0.01. It finds the 5, 2 and −3 that the samples were made with.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class ParametersDemo
{
    public static DemoResult Run(Device device)
    {
        ParameterFitResult fit = new ParameterFit(learningRate: 0.01, epochs: 174)
            .Fit((p, x) => p[0] * (x * x * x) + p[1] * (x * x) + p[2] * x, Cubic.X, Cubic.Y, start: [0, 0, 0]);

        var result = new DemoResult("epoch", "mean squared error")
        {
            ["a"] = fit.Parameters[0],
            ["b"] = fit.Parameters[1],
            ["c"] = fit.Parameters[2],
            ["epochs"] = fit.Losses.Count,
            Picture = new Chart { Title = "Learning the coefficients of a cubic online", XLabel = "epoch", YLabel = "mean squared error", LogarithmicY = true }
                .Curve("", fit.Losses),
        };
        foreach (int epoch in new[] { 1, 2, 5, 10, 20, 50, 100, 174 })
            result.Row(epoch, fit.Losses[epoch - 1]);
        result.Conclusion = FormattableString.Invariant(
            $"The samples were made with 5x^3 + 2x^2 - 3x; learned: {fit.Parameters[0]:F4} x^3 {fit.Parameters[1]:+ 0.0000;- 0.0000} x^2 {fit.Parameters[2]:+ 0.0000;- 0.0000} x.");
        return result;
    }
}
