// The README's example, so that a compiler sees it. ReadmeTests holds this text against the README's and runs it.
using HpcNet;

namespace HpcNet.Tests;

internal static class ReadmeExample
{
    public static void Run()
    {
        var (train, test) = Dataset.Digits().Split(0.8, seed: 1);

        using var network = new Network(Device.Default, inputs: 64,
            new Dense(128, Activation.ReLU, Initializer.HeNormal) { Name = "hidden" },
            new Dropout(0.2f),
            new Dense(10) { Name = "scores" });

        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(4e-3f).ClipByNorm(1f))
        {
            Schedule = Schedule.CosineDecay(steps: 360),
            EarlyStopping = new(patience: 8),
        };

        History history = trainer.Fit(train, epochs: 30, batchSize: 128, validation: test);
        Console.WriteLine($"{history.Epochs.Count} epochs, {history.SamplesPerSecond:N0} samples/s, {history.Gflops:F1} GFLOP/s");

        Evaluation result = network.Evaluate(test);
        Console.WriteLine($"accuracy {result.Accuracy:P2}");

        network.Save("digits.safetensors");

        using var loaded = Network.Load("digits.safetensors");
        using var predictor = loaded.CreatePredictor();    // a snapshot; thread-safe
        int digit = predictor.Classify(test.Row(0));        // spans in, no allocation
        Console.WriteLine($"predicted {digit}, labelled {test.Labels[0]}");
    }
}
