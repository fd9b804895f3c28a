// Why one hidden layer is enough for any function: the difference of two steep sigmoids is a box, here on (−5, 5), and steps side by
// side follow whatever curve they are given. No training: the parameters are written down.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class BoxcarDemo
{
    private const float Steepness = 10f;

    public static DemoResult Run(Device device)
    {
        // sigmoid(10 (x + 5)) - sigmoid(10 (x - 5))
        using Network box = Steps(device, [-5, 5], [1, -1], offset: 0);
        var result = new DemoResult("hidden units", "function", "largest error", "root mean square error")
        {
            ["inside"] = Answers(box, [0])[0],
            ["left"] = Answers(box, [-8])[0],
            ["right"] = Answers(box, [8])[0],
            ["edge"] = Answers(box, [-5])[0],
        };

        static double Wanted(double x) => Math.Sin(x) + x / 5;
        float[] x = [.. Enumerable.Range(-1000, 2001).Select(i => i / 100f)];
        double[] places = Array.ConvertAll(x, v => (double)v);
        var chart = new Chart { Title = "Sums of sigmoid steps", XLabel = "x", YLabel = "y" }
            .Curve("two units: a box", places, Answers(box, x).Select(v => (double)v))
            .Curve("sin x + x / 5", places, places.Select(Wanted));
        float[] boxErrors = [.. Answers(box, x).Select((y, i) => y - (Math.Abs(x[i]) < 5 ? 1f : 0f)).Where((_, i) => Math.Abs(Math.Abs(x[i]) - 5) > 0.6)];
        result.Row(2, "box on (-5, 5), away from its edges", (double)boxErrors.Max(Math.Abs), Rms(boxErrors));
        foreach (int units in new[] { 10, 20, 40, 80 })
        {
            // A step in the middle of each part of the range, as high as the function rises there.
            double width = 20.0 / units;
            double[] ends = [.. Enumerable.Range(0, units + 1).Select(i => -10 + i * width)];
            using Network network = Steps(
                device, [.. ends.SkipLast(1).Select(e => (float)(e + width / 2))],
                [.. ends.Skip(1).Zip(ends, (to, from) => (float)(Wanted(to) - Wanted(from)))], (float)Wanted(-10),
                steepness: (float)(4 / width));
            float[] y = Answers(network, x);
            float[] errors = [.. y.Select((value, i) => value - (float)Wanted(x[i]))];
            result.Row(units, "sin x + x / 5", (double)errors.Max(Math.Abs), Rms(errors));
            result[$"error{units}"] = errors.Max(Math.Abs);
            if (units is 10 or 40)
                chart.Curve($"{units} units", places, y.Select(v => (double)v), dashed: true);
        }
        result.Picture = chart;
        result.Conclusion = "Two sigmoid units make a box; twice the units halve the step, and the error falls with it.";
        return result;
    }

    // offset + sum of heights[i] sigmoid(steepness (x - places[i]))
    private static Network Steps(Device device, float[] places, float[] heights, float offset, float steepness = Steepness)
    {
        var network = new Network(
            device, inputs: 1, new Dense(places.Length, Activation.Sigmoid) { Name = "steps" }, new Dense(1) { Name = "sum" });
        network.SetParameter("steps.weight", Array.ConvertAll(places, _ => steepness));
        network.SetParameter("steps.bias", Array.ConvertAll(places, p => -steepness * p));
        network.SetParameter("sum.weight", heights);
        network.SetParameter("sum.bias", [offset]);
        return network;
    }

    private static float[] Answers(Network network, float[] x)
    {
        var y = new float[x.Length];
        using Predictor predictor = network.CreatePredictor();
        predictor.Predict(x, y);
        return y;
    }

    private static double Rms(float[] errors) => Math.Sqrt(errors.Average(e => (double)e * e));
}
