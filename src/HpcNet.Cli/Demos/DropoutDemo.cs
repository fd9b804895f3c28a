// Dropout: 300 digits to learn from, of which every fifth has a wrong label, as labels made by people in a hurry do. Without dropout the
// network learns them by heart, mistakes and all; with dropout no unit can rely on another one, and single rows count for less.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class DropoutDemo
{
    private const int Seeds = 3, Epochs = 60;

    public static DemoResult Run(Device device)
    {
        var (slice, test) = Digits.Mislabelled(300);
        var result = new DemoResult("training", "loss on the 300", "unseen digits: loss", "unseen digits: accuracy");
        var chart = new Chart { Title = "Loss on unseen digits, 300 to learn from, a fifth of them mislabelled", XLabel = "epoch", YLabel = "loss" };
        foreach (var (name, rate) in new[] { ("without", 0f), ("with", 0.5f), ("with much", 0.7f) })
        {
            double training = 0, loss = 0, accuracy = 0;
            var curve = new double[Epochs];
            for (ulong seed = 1; seed <= Seeds; seed++)
            {
                using var network = new Network(device, inputs: 64, seed, new Dense(128, Activation.ReLU), new Dropout(rate), new Dense(10));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(3e-3f)) { Seed = seed };
                History history = trainer.Fit(slice, Epochs, batchSize: 20, validation: test);
                for (int i = 0; i < Epochs; i++)
                    curve[i] += history.Epochs[i].ValidationLoss / Seeds;
                training += network.Evaluate(slice).Loss / Seeds;
                loss += history.Epochs[^1].ValidationLoss / Seeds;
                accuracy += history.Epochs[^1].ValidationAccuracy / Seeds;
            }
            result.Row(rate == 0 ? "without dropout" : FormattableString.Invariant($"dropout {rate:F1}"), training, loss, accuracy);
            result[$"loss {name}"] = loss;
            result[$"accuracy {name}"] = accuracy;
            chart.Curve(rate == 0 ? "without dropout" : FormattableString.Invariant($"dropout {rate:F1}"), curve);
        }
        result.Picture = chart;
        result.Conclusion = "Without dropout the wrong labels are learned by heart, and unseen digits pay for it; with dropout they are mostly ignored.";
        return result;
    }
}
