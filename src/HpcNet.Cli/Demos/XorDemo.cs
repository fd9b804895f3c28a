// Exclusive or: 0 1 1 0. The best linear model says 0.5 to everything; a network with two ReLU units, whose parameters can be written
// down, says it exactly; and one whose parameters are learned finds a way of its own.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class XorDemo
{
    private static readonly float[] X = [0, 0, 0, 1, 1, 0, 1, 1];
    private static readonly float[] Y = [0, 1, 1, 0];

    public static DemoResult Run(Device device)
    {
        Dataset data = Dataset.FromArrays(X, 2, Y);

        using var linear = new Network(device, inputs: 2, seed: 1, new Dense(1));
        using (var trainer = new Trainer(linear, Loss.MeanSquaredError, new Sgd(0.1f, momentum: 0.9f)))
            trainer.Fit(data, epochs: 500, batchSize: 4);

        // max(0, a + b) - 2 max(0, a + b - 1)
        using var given = new Network(device, inputs: 2, new Dense(2, Activation.ReLU) { Name = "hidden" }, new Dense(1) { Name = "out" });
        given.SetParameter("hidden.weight", [1, 1, 1, 1]);
        given.SetParameter("hidden.bias", [0, -1]);
        given.SetParameter("out.weight", [1, -2]);
        given.SetParameter("out.bias", [0]);

        using var learned = new Network(device, inputs: 2, seed: 3, new Dense(8, Activation.ReLU), new Dense(1));
        using (var trainer = new Trainer(learned, Loss.MeanSquaredError, new Adam(0.02f)))
            trainer.Fit(data, epochs: 600, batchSize: 4);

        float[] byLine = Answers(linear, X), byHand = Answers(given, X), byTraining = Answers(learned, X);
        var result = new DemoResult("a", "b", "a xor b", "linear model", "given network", "trained network");
        for (int i = 0; i < 4; i++)
        {
            result.Row((int)X[2 * i], (int)X[2 * i + 1], (int)Y[i], byLine[i], byHand[i], byTraining[i]);
            result[$"linear{i}"] = byLine[i];
            result[$"given{i}"] = byHand[i];
            result[$"trained{i}"] = byTraining[i];
        }
        result.Conclusion = "No line separates 0 1 1 0: the linear model's best answer is 0.5. Two ReLU units bend the line.";
        using Predictor surface = learned.CreatePredictor();
        var height = new float[1];
        result.Picture = new Chart { Title = "The trained network's answer to (a, b)", XLabel = "a", YLabel = "b" }
            .Heights(
                (a, b) =>
                {
                    surface.Predict([(float)a, (float)b], height);
                    return Math.Clamp(height[0], 0f, 1f);
                },
                (-0.5, 1.5), (-0.5, 1.5))
            .Boundary("answer 0.5", 0.5)
            .Points("a xor b = 0", [0, 1], [0, 1])
            .Points("a xor b = 1", [0, 1], [1, 0]);
        return result;
    }

    private static float[] Answers(Network network, float[] x)
    {
        var y = new float[x.Length / network.Inputs];
        using Predictor predictor = network.CreatePredictor();
        predictor.Predict(x, y);
        return y;
    }
}
