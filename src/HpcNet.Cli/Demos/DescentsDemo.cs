// Batch, mini-batch and online descent: the same network, the same rate, the same digits; only how many of them make a step differs.
// Small steps are many: they go further in an epoch, but use the machine less well.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class DescentsDemo
{
    private const int Epochs = 10;

    public static DemoResult Run(Device device)
    {
        Dataset digits = Dataset.Digits();
        (string Name, int Batch)[] kinds = [("batch", digits.Count), ("mini-batch", 32), ("online", 1)];
        var result = new DemoResult("descent", "rows a step", "steps", "loss, epoch 1", "loss, epoch 10", "seconds an epoch", "seconds to loss 0.5");
        var byEpoch = new Chart { Title = "by epoch", XLabel = "epoch", YLabel = "training loss", LogarithmicY = true };
        var byTime = new Chart { Title = "by time", XLabel = "seconds", YLabel = "training loss", LogarithmicY = true, LogarithmicX = true };
        foreach (var (name, batch) in kinds)
        {
            // Once for the clock: what happens only the first time is no part of the comparison.
            Descend(batch, out _);
            History history = Descend(batch, out long steps);
            double[] losses = [.. history.Epochs.Select(e => e.Loss)];
            int reached = Array.FindIndex(losses, l => l < 0.5);
            double seconds = history.Epochs.Take(reached + 1).Sum(e => e.Seconds);
            result.Row(
                name, batch, steps, losses[0], losses[^1], history.Seconds / Epochs,
                reached < 0 ? "not reached" : seconds.ToString("0.0000", System.Globalization.CultureInfo.InvariantCulture));
            result[$"{name} loss"] = losses[^1];
            result[$"{name} seconds"] = history.Seconds;
            byEpoch.Curve($"{name} ({batch} a step)", losses);
            double elapsed = 0;
            byTime.Curve($"{name} ({batch} a step)", history.Epochs.Select(e => elapsed += e.Seconds), losses);
        }
        result.Picture = new Panels(byEpoch, byTime) { Title = "The same ten epochs on 1,797 digits" };
        result.Conclusion = "One step an epoch gets nowhere in ten epochs; a step for each row learns most from an epoch and takes the longest for it.";
        return result;

        History Descend(int batch, out long steps)
        {
            using var network = new Network(device, inputs: 64, seed: 1, new Dense(32, Activation.ReLU), new Dense(10));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.05f));
            History history = trainer.Fit(digits, Epochs, batch);
            steps = trainer.Steps;
            return history;
        }
    }
}
