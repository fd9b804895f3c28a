// Adversarial examples: each pixel of a digit moved by ε in the direction that raises the loss (FGSM). People hardly see it; the
// network is fooled. A network that was trained on such examples holds out much better.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class AdversarialDemo
{
    private const float Trained = 0.15f;

    public static DemoResult Run(Device device)
    {
        var (train, test) = Dataset.Digits().Split(0.8, seed: 1);
        using Network ordinary = Train(device, train, null);
        using Network hardened = Train(device, train, new AdversarialTraining(Trained, share: 0.5f, low: 0, high: 1));

        var result = new DemoResult("epsilon", "ordinary training", "adversarial training");
        float[] epsilons = [0f, 0.05f, 0.1f, 0.15f, 0.2f, 0.25f];
        double[] first = Array.ConvertAll(epsilons, e => Attacked(ordinary, test, e));
        double[] second = Array.ConvertAll(epsilons, e => Attacked(hardened, test, e));
        for (int i = 0; i < epsilons.Length; i++)
            result.Row(FormattableString.Invariant($"{epsilons[i]:F2}"), first[i], second[i]);
        int at = Array.IndexOf(epsilons, Trained);
        result["ordinary clean"] = first[0];
        result["ordinary attacked"] = first[at];
        result["hardened clean"] = second[0];
        result["hardened attacked"] = second[at];
        result.Picture = new Chart { Title = "Accuracy under attack by the fast gradient sign", XLabel = "ε", YLabel = "accuracy", YRange = (0, 1.02) }
            .Curve("ordinary training", epsilons.Select(e => (double)e), first)
            .Curve("adversarial training, ε = 0.15", epsilons.Select(e => (double)e), second);
        result.Conclusion = FormattableString.Invariant(
            $"At epsilon {Trained} the accuracy falls from {first[0]:P1} to {first[at]:P1}; after adversarial training from {second[0]:P1} to {second[at]:P1}.");
        return result;
    }

    private static Network Train(Device device, Dataset train, AdversarialTraining? adversarial)
    {
        var network = new Network(device, inputs: 64, seed: 1, new Dense(128, Activation.ReLU), new Dense(64, Activation.ReLU), new Dense(10));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(2e-3f)) { AdversarialTraining = adversarial };
        trainer.Fit(train, epochs: 40, batchSize: 64);
        return network;
    }

    private static double Attacked(Network network, Dataset test, float epsilon)
    {
        using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
        return network.Evaluate(gradient.FastGradientSign(test, epsilon, low: 0, high: 1)).Accuracy;
    }
}
