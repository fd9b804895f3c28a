// FusionTests.cs: the fused program gives what the plain list gives, over random networks; and is really a shorter one.

namespace HpcNet.Tests;

public sealed class FusionTests
{
    public static TheoryData<string, int> Seeds()
    {
        var cases = new TheoryData<string, int>();
        foreach (string target in Targets.All)
        {
            for (int seed = 1; seed <= 40; seed++)
                cases.Add(target, seed);
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Seeds))]
    public void Fused_and_plain_programs_agree(string target, int seed)
    {
        var random = new Philox((ulong)seed, 5);
        int Below(int bound) => (int)random.NextBelow((uint)bound);
        int inputs = 1 + Below(40);
        var layers = new List<Layer>();
        for (int i = Below(4); i >= 0; i--)
        {
            Activation f = Activation.All[Below(Activation.All.Count)];
            layers.Add(new Dense(1 + Below(70), f, bias: Below(4) > 0) { Frozen = Below(5) == 0, LearningRateScale = Below(4) == 0 ? 0.5f : 1f });
            if (Below(3) == 0)
                layers.Add(new Dropout(0.25f));
            if (Below(4) == 0)
                layers.Add(new ActivationLayer(Activation.All[Below(Activation.All.Count)]));
        }
        int outputs = 1 + Below(12);
        Loss loss = Loss.All[Below(Loss.All.Count)];
        layers.Add(new Dense(outputs, LossSamples.Last(loss)));
        Optimizer optimizer = Below(3) switch { 0 => new Sgd(0.05f), 1 => new Sgd(0.05f, 0.9f), _ => new Adam(0.01f, epsilon: 1e-3f) };
        optimizer = Below(3) switch { 0 => optimizer.ClipByNorm(0.5f), 1 => optimizer.WeightDecay(0.01f), _ => optimizer };

        float[] fused = Train(plain: false, out string fusedText);
        float[] plain = Train(plain: true, out string plainText);
        Samples.Close(plain, fused, 1e-3, $"{fusedText}\n{plainText}\n");

        float[] Train(bool plain, out string text)
        {
            using var network = new Network(Targets.Open(target), inputs, seed: (ulong)seed, [.. layers]);
            using var trainer = new Trainer(network, loss, optimizer) { Plain = plain, Seed = (ulong)seed };
            for (int step = 0; step < 4; step++)
            {
                int rows = 1 + (seed * 7 + step * 13) % 37;
                LossSamples.Step(trainer, rows, (ulong)(seed * 100 + 2 * step));
            }
            text = trainer.Describe();
            return Samples.Parameters(network);
        }
    }

    [SkippableTheory, Targets]
    public void A_fused_program_is_shorter(string target)
    {
        using var network = new Network(Targets.Open(target), 20, new Dense(30, Activation.ReLU), new Dense(20, Activation.Tanh), new Dense(5));
        using var fused = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        using var plain = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam()) { Plain = true };
        Assert.True(fused.Profile(1).Count < plain.Profile(1).Count, fused.Describe());
    }
}
