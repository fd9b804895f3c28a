// Data augmentation: 100 digits, but in each epoch turned, shifted and stretched a little differently. What such changes do not change
// for people, the network learns to overlook.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class AugmentDemo
{
    private const int Seeds = 3;

    public static DemoResult Run(Device device)
    {
        var (slice, test) = Digits.Slice(100);
        Augmentation change = Augmentation.Rotate(12).Then(Augmentation.Crop(0.85f)).Then(Augmentation.Shift(1))
            .Then(Augmentation.Contrast(0.2f)).Then(Augmentation.Noise(0.05f)).Then(Augmentation.Clamp(0, 1));
        Dataset moved = Augmentation.Shift(1).Apply(test, seed: 9);

        var result = new DemoResult("training", "accuracy on unseen digits", "on unseen digits, shifted");
        foreach (var (name, augmentation) in new[] { ("as they are", null), ("augmented", change) })
        {
            double accuracy = 0, shifted = 0;
            for (ulong seed = 1; seed <= Seeds; seed++)
            {
                using var network = new Network(device, inputs: 64, seed, new Dense(128, Activation.ReLU), new Dense(10));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(2e-3f)) { Seed = seed, Augmentation = augmentation };
                trainer.Fit(slice, epochs: 300, batchSize: 20);
                accuracy += network.Evaluate(test).Accuracy / Seeds;
                shifted += network.Evaluate(moved).Accuracy / Seeds;
            }
            result.Row(name, accuracy, shifted);
            result[name] = accuracy;
            result[$"{name}, shifted"] = shifted;
        }

        var images = new ImageGrid(8, 8) { Title = "Three digits, and how five epochs see them" };
        for (int row = 0; row < 3; row++)
        {
            images.Row($"a {slice.Labels[row]}").Image(slice.Row(row), "as it is");
            for (ulong epoch = 1; epoch <= 5; epoch++)
                images.Image(change.Apply(slice, epoch).Row(row), $"epoch {epoch}");
        }
        result.Picture = images;
        result.Conclusion = "100 digits in many versions teach more than 100 digits; above all, that a digit may stand elsewhere.";
        return result;
    }
}
