// LossSamples.cs: for any loss, a layer that makes predictions it takes, and targets it takes: what tests over the whole table need.

namespace HpcNet.Tests;

internal static class LossSamples
{
    /// <summary>What stands before a loss so that its predictions mean something: probabilities need a sigmoid.</summary>
    public static Activation Last(Loss loss) => loss.Name == "BinaryCrossEntropy" ? Activation.Sigmoid : Activation.Linear;

    /// <summary>Float targets [rows × outputs] for a loss that takes them.</summary>
    public static float[] Targets(Loss loss, int rows, int outputs, ulong seed)
    {
        float[] values = Samples.Uniform(rows * outputs, seed);
        return loss switch
        {
            HingeLoss or { Name: "SoftMargin" } => Array.ConvertAll(values, v => v < 0 ? -1f : 1f),
            SigmoidCrossEntropyLoss or { Name: "BinaryCrossEntropy" } => Array.ConvertAll(values, v => v < -0.5f ? 0f : v < 0 ? 1f : v),
            PoissonLoss => Array.ConvertAll(values, v => MathF.Round(3 * (v + 1))),
            KlDivergenceLoss { LogTarget: true } => Array.ConvertAll(Samples.Probabilities(rows, outputs, seed), MathF.Log),
            KlDivergenceLoss or SoftmaxCrossEntropyLoss => Samples.Probabilities(rows, outputs, seed),
            _ => values,
        };
    }

    /// <summary>One step on random data of the kind that the loss takes.</summary>
    public static float Step(Trainer trainer, int rows, ulong seed)
    {
        int outputs = trainer.Network.Outputs;
        float[] x = Samples.Uniform(rows * trainer.Network.Inputs, seed);
        return trainer.Loss.TakesTargets
            ? trainer.Step(x, Targets(trainer.Loss, rows, outputs, seed + 1))
            : trainer.Step(x, Samples.Labels(rows, outputs, seed + 1));
    }

    /// <summary>Checks a network's gradients under a loss, on labels where it takes them and they are wanted.</summary>
    public static GradientCheckReport Check(Network network, Loss loss, int rows, bool labels, ulong seed = 0, bool plain = false)
    {
        float[] x = Samples.Uniform(rows * network.Inputs, 11);
        return labels
            ? GradientCheck.Run(network, loss, x, Samples.Labels(rows, network.Outputs, 3), seed)
            : GradientCheck.Run(network, loss, x, Targets(loss, rows, network.Outputs, 21), seed, plain, mutate: null);
    }
}
