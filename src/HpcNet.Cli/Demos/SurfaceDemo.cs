// Descent on a surface: (a − 8)² + (b − 2)² from (28, 27). The gradient points straight away from the minimum, so the way is a line;
// with momentum it overshoots and comes back.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class SurfaceDemo
{
    public static DemoResult Run(Device device)
    {
        static Real Bowl(RealVector p) => Real.Pow(p[0] - 8, 2) + Real.Pow(p[1] - 2, 2);
        DescentResult plain = new GradientDescent(learningRate: 0.1).Minimize(Bowl, [28, 27]);
        DescentResult momentum = new GradientDescent(learningRate: 0.02, momentum: 0.9).Minimize(Bowl, [28, 27]);

        var result = new DemoResult("step", "a", "b", "height", "height with momentum")
        {
            ["a"] = plain.Point[0],
            ["b"] = plain.Point[1],
            ["momentum a"] = momentum.Point[0],
            ["momentum b"] = momentum.Point[1],
            Picture = new Chart { Title = "Gradient descent on (a − 8)² + (b − 2)²", XLabel = "a", YLabel = "b" }
                .Heights((a, b) => Bowl(new RealVector(a, b)).Value, (-30, 46), (-17, 31))
                .Curve("with momentum", momentum.Path.Select(p => p[0]), momentum.Path.Select(p => p[1]))
                .Points("steps of plain descent", plain.Path.Select(p => p[0]), plain.Path.Select(p => p[1])),
        };
        foreach (int step in new[] { 0, 1, 2, 3, 5, 10, 20, 40, 80 })
        {
            double[] p = [.. plain.Path[step]];
            result.Row(step, p[0], p[1], Bowl(p).Value, Bowl(new RealVector(momentum.Path[step][0], momentum.Path[step][1])).Value);
        }
        result.Conclusion = FormattableString.Invariant(
            $"Both end at ({plain.Point[0]:F4}, {plain.Point[1]:F4}): plain descent after {plain.Steps} steps, with momentum after {momentum.Steps}.");
        return result;
    }
}
