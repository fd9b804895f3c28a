// Data augmentation: 200 digits, but in each epoch turned, stretched and sprinkled a little differently. What such changes do not
// change for people, the network learns to overlook.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class AugmentDemo
{
    private const int Seeds = 3;

    public static DemoResult Run(Device device)
    {
        var (slice, test) = Digits.Slice(200);
        Augmentation change = Augmentation.Rotate(10).Then(Augmentation.Crop(0.9f)).Then(Augmentation.Noise(0.1f));
        Dataset turned = Augmentation.Rotate(30).Apply(test, seed: 9);

        var result = new DemoResult("training", "accuracy on unseen digits", "on unseen digits turned up to 30 degrees");
        foreach (var (name, augmentation) in new[] { ("plain", null), ("augmented", change) })
        {
            double asTheyAre = 0, asTurned = 0;
            for (ulong seed = 1; seed <= Seeds; seed++)
            {
                using var network = new Network(device, inputs: 64, seed, new Dense(128, Activation.ReLU), new Dense(10));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(2e-3f)) { Seed = seed, Augmentation = augmentation };
                trainer.Fit(slice, epochs: 200, batchSize: 20);
                asTheyAre += network.Evaluate(test).Accuracy / Seeds;
                asTurned += network.Evaluate(turned).Accuracy / Seeds;
            }
            result.Row(name, asTheyAre, asTurned);
            result[name] = asTheyAre;
            result[$"{name}, turned"] = asTurned;
        }

        var images = new ImageGrid(8, 8) { Title = "Three digits, and how five epochs see them" };
        for (int row = 0; row < 3; row++)
        {
            images.Row($"a {slice.Labels[row]}").Image(slice.Row(row), "as it is");
            for (ulong epoch = 1; epoch <= 5; epoch++)
                images.Image(change.Apply(slice, epoch).Row(row), $"epoch {epoch}");
        }
        result.Picture = images;
        result.Conclusion = "The same 200 digits in many versions teach more than the digits as they are, above all about turned ones.";
        return result;
    }
}
