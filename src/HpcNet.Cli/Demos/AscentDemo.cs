// Gradient ascent: from x = 0, follow the derivative of f(x) = 5x³ + 2x² − 3x uphill. The derivative comes from the expression itself.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class AscentDemo
{
    public static DemoResult Run(Device device)
    {
        DescentResult way = new GradientDescent(learningRate: 0.05).Maximize(Cubic.Of, start: 0);
        DemoResult result = Show(way, "maximum");
        result.Picture = Draw(way, "Gradient ascent on 5x³ + 2x² − 3x");
        return result;
    }

    /// <summary>The way as a table; the descent shows the same.</summary>
    public static DemoResult Show(DescentResult way, string what)
    {
        var result = new DemoResult("step", "x", "f(x)", "f'(x)") { ["x"] = way.Point[0], ["f"] = way.Value };
        foreach (int step in new[] { 0, 1, 2, 3, 5, 10, 20, way.Steps }.Where(s => s <= way.Steps).Distinct())
        {
            (double value, double slope) = Gradient.At(Cubic.Of, way.Path[step][0]);
            result.Row(step, way.Path[step][0], value, slope);
        }
        result.Conclusion = FormattableString.Invariant(
            $"The {what} is f({way.Point[0]:F4}) = {way.Value:F4}, reached after {way.Steps} steps: the slope there is 0.");
        return result;
    }

    public static Chart Draw(DescentResult way, string title)
    {
        double[] x = [.. way.Path.Select(p => p[0])];
        return new Chart { Title = title, XLabel = "x", YLabel = "f(x)" }
            .Function("f(x)", Cubic.Value, -1, 0.85)
            .Points("steps", x, x.Select(Cubic.Value));
    }
}
