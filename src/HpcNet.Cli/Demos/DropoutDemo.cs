// Dropout: a network with far more parameters than the 100 digits that it learns from. Without dropout it learns them by heart; with
// dropout no unit can rely on another one, and unseen digits fare better.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class DropoutDemo
{
    private const int Seeds = 3, Epochs = 100;

    public static DemoResult Run(Device device)
    {
        var (slice, test) = Digits.Slice(100);
        var result = new DemoResult("dropout", "training loss", "unseen digits: loss", "unseen digits: accuracy");
        var chart = new Chart { Title = "Loss on unseen digits, 100 to learn from", XLabel = "epoch", YLabel = "loss" };
        foreach (float rate in new[] { 0f, 0.3f, 0.6f })
        {
            double training = 0, loss = 0, accuracy = 0;
            var curve = new double[Epochs];
            for (ulong seed = 1; seed <= Seeds; seed++)
            {
                using var network = new Network(
                    device, inputs: 64, seed, new Dense(256, Activation.ReLU), new Dropout(rate), new Dense(256, Activation.ReLU), new Dropout(rate),
                    new Dense(10));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f)) { Seed = seed };
                History history = trainer.Fit(slice, Epochs, batchSize: 20, validation: test);
                for (int i = 0; i < Epochs; i++)
                    curve[i] += history.Epochs[i].ValidationLoss / Seeds;
                training += network.Evaluate(slice).Loss / Seeds;
                loss += history.Epochs[^1].ValidationLoss / Seeds;
                accuracy += history.Epochs[^1].ValidationAccuracy / Seeds;
            }
            result.Row(FormattableString.Invariant($"{rate:F1}"), training, loss, accuracy);
            result[FormattableString.Invariant($"loss {rate:F1}")] = loss;
            result[FormattableString.Invariant($"accuracy {rate:F1}")] = accuracy;
            chart.Curve(rate == 0 ? "without dropout" : FormattableString.Invariant($"dropout {rate:F1}"), curve);
        }
        result.Picture = chart;
        result.Conclusion = "All of them know the 100 digits by heart in the end; with dropout they know unseen ones better.";
        return result;
    }
}
