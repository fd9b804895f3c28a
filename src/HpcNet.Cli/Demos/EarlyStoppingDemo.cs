// Early stopping: the training loss falls for ever, the validation loss turns. The best parameters are kept and come back.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class EarlyStoppingDemo
{
    public static DemoResult Run(Device device)
    {
        var (slice, rest) = Digits.Slice(100);
        var (validation, test) = rest.Split(0.5, seed: 2);
        History free = Train(null, out Evaluation withoutStopping);
        History stopped = Train(new EarlyStopping(patience: 10), out Evaluation withStopping);

        var result = new DemoResult("training", "epochs", "best epoch", "training loss", "unseen digits: loss", "unseen digits: accuracy")
        {
            ["epochs"] = stopped.Epochs.Count,
            ["best epoch"] = stopped.BestEpoch,
            ["loss without"] = withoutStopping.Loss,
            ["loss with"] = withStopping.Loss,
            ["lowest"] = stopped.Epochs.Min(e => e.ValidationLoss),
            ["at best"] = stopped.Epochs[stopped.BestEpoch - 1].ValidationLoss,
            Picture = new Chart { Title = "Where to stop", XLabel = "epoch", YLabel = "loss", LogarithmicY = true }
                .Curve("training", free.Epochs.Select(e => (double)e.Epoch), free.Epochs.Select(e => e.Loss))
                .Curve("validation", free.Epochs.Select(e => (double)e.Epoch), free.Epochs.Select(e => e.ValidationLoss))
                .Points("best parameters", [stopped.BestEpoch], [stopped.Epochs[stopped.BestEpoch - 1].ValidationLoss]),
        };
        result.Row("to the end", free.Epochs.Count, "-", free.Epochs[^1].Loss, withoutStopping.Loss, withoutStopping.Accuracy);
        result.Row(
            "early stopping", stopped.Epochs.Count, stopped.BestEpoch, stopped.Epochs[stopped.BestEpoch - 1].Loss, withStopping.Loss,
            withStopping.Accuracy);
        result.Conclusion = FormattableString.Invariant(
            $"The validation loss is least after epoch {stopped.BestEpoch}; ten epochs later the fit stops and brings those parameters back.");
        return result;

        History Train(EarlyStopping? stopping, out Evaluation unseen)
        {
            using var network = new Network(device, inputs: 64, seed: 2, new Dense(256, Activation.ReLU), new Dense(10));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(3e-3f)) { EarlyStopping = stopping };
            History history = trainer.Fit(slice, epochs: 150, batchSize: 10, validation);
            unseen = network.Evaluate(test);
            return history;
        }
    }
}
