// GradientCheckTests.cs: every activation with every loss, found in the tables, so that a new row is tested unasked; layers in
// combination; and that a wrong gradient is found.

namespace HpcNet.Tests;

public sealed class GradientCheckTests
{
    // Losses with their settings away from the default; found by their place here.
    private static readonly Loss[] WithSettings =
    [
        Loss.MeanSquaredError with { Weights = [0.5f, 2f, 1f] },
        Loss.Huber with { Delta = 0.3f },
        Loss.Huber with { Delta = 2f, Weights = [0f, 2f, 1f] },
        Loss.SmoothL1 with { Beta = 0.3f },
        Loss.SigmoidCrossEntropy with { PositiveWeights = [0.5f, 3f, 1f] },
        Loss.SigmoidCrossEntropy with { PositiveWeights = [0.5f, 3f, 1f], Weights = [1f, 0.25f, 2f] },
        Loss.KlDivergence with { LogTarget = true },
        Loss.Poisson with { Full = true },
        Loss.Hinge with { Margin = 0.5f },
        Loss.SoftmaxCrossEntropy with { LabelSmoothing = 0.2f },
        Loss.SoftmaxCrossEntropy with { ClassWeights = [0.5f, 2f, 1f] },
        Loss.SoftmaxCrossEntropy with { IgnoredLabel = 1 },
        Loss.SoftmaxCrossEntropy with { ClassWeights = [0.5f, 2f, 1f], LabelSmoothing = 0.2f, IgnoredLabel = 1 },
        Loss.NegativeLogLikelihood with { ClassWeights = [0.5f, 2f, 1f], IgnoredLabel = 2 },
        Loss.MultiMargin with { Margin = 0.7f, Power = 2, ClassWeights = [0.5f, 2f, 1f] },
    ];

    private static readonly Reduction[] Reductions = Enum.GetValues<Reduction>();

    /// <summary>On the CPU every activation with every loss; on OpenCL, which runs the same program, with two of them.</summary>
    public static TheoryData<string, string, string, Reduction, bool> Cases()
    {
        var cases = new TheoryData<string, string, string, Reduction, bool>();
        foreach (string target in Targets.All)
        {
            int row = 0;
            foreach (Activation activation in Activation.All)
            {
                foreach (Loss loss in target == Targets.Cpu ? Loss.All : [Loss.SoftmaxCrossEntropy, Loss.MeanSquaredError])
                {
                    Reduction reduction = Reductions[row++ % Reductions.Length];
                    cases.Add(target, activation.Name, loss.Name, reduction, false);
                    cases.Add(target, activation.Name, loss.Name, reduction, true);
                }
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void Gradients_agree_with_differences(string target, string activation, string loss, Reduction reduction, bool plain)
    {
        Activation f = Activation.Parse(activation);
        Loss l = Loss.Parse(loss) with { Reduction = reduction };
        // Next to a probability of 0 or 1 single precision has no digits of the other one: small weights before a sigmoid.
        Initializer? last = LossSamples.Last(l) == Activation.Linear ? null : Initializer.Uniform(-0.4f, 0.4f);
        using var network = new Network(
            Targets.Open(target), 5, seed: 3, new Dense(7, f), new Dropout(0.3f), new Dense(4, f, bias: false), new ActivationLayer(f),
            new Dense(3, LossSamples.Last(l), last));
        GradientCheckReport report = LossSamples.Check(network, l, 6, labels: !l.TakesTargets, seed: 5, plain);
        Assert.True(report.Passes(), report.ToString());
    }

    public static TheoryData<string, string, int, Reduction> Losses()
    {
        var cases = new TheoryData<string, string, int, Reduction>();
        foreach (string target in Targets.All)
        {
            foreach (Reduction reduction in Reductions)
            {
                foreach (Loss loss in Loss.All)
                    cases.Add(target, loss.Name, -1, reduction);
                for (int i = 0; i < WithSettings.Length; i++)
                    cases.Add(target, WithSettings[i].Name, i, reduction);
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Losses))]
    public void Gradients_of_every_loss_reduction_and_kind_of_target(string target, string name, int settings, Reduction reduction)
    {
        Loss loss = (settings < 0 ? Loss.Parse(name) : WithSettings[settings]) with { Reduction = reduction };
        using var network = new Network(
            Targets.Open(target), 4, seed: 1, new Dense(6, Activation.Tanh), new Dense(3, LossSamples.Last(loss)));
        foreach (bool labels in new[] { true, false })
        {
            if (labels ? !loss.TakesLabels : !loss.TakesTargets)
                continue;
            GradientCheckReport report = LossSamples.Check(network, loss, 5, labels);
            Assert.True(report.Passes(), $"labels: {labels}\n{report}");
        }
    }

    public static TheoryData<string, int, bool> LayersWithParameters()
    {
        var cases = new TheoryData<string, int, bool>();
        foreach (string target in Targets.All)
        {
            for (int i = 0; i < Parametrized.Length; i++)
            {
                cases.Add(target, i, false);
                cases.Add(target, i, true);
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(LayersWithParameters))]
    public void Gradients_agree_with_differences_for_parameters_of_activations(string target, int layer, bool plain)
    {
        Layer f = Parametrized[layer];
        using var network = new Network(Targets.Open(target), 5, seed: 3, new Dense(7), f, new Dense(4), f, f, new Dense(3));
        GradientCheckReport report = GradientCheck.Run(
            network, Loss.MeanSquaredError, Samples.Uniform(6 * 5, 11), Samples.Uniform(6 * 3, 21), seed: 5, plain, mutate: null);
        Assert.True(report.Passes(), $"{f}: {report}");
    }

    private static readonly Layer[] Parametrized =
    [
        new PRelu(), new PRelu(-0.5f), new PRelu(0.1f, shared: true), new ActivationLayer(Activation.CreateLeakyReLU(0.3f)),
        new ActivationLayer(Activation.CreateELU(0.5f)), new ActivationLayer(Activation.CreateCELU(2f)),
        new ActivationLayer(Activation.CreateSoftplus(3f, 40f)), new ActivationLayer(Activation.CreateHardTanh(-0.4f, 0.7f)),
    ];

    public static TheoryData<string, string, string, Reduction> Faulty()
    {
        var cases = new TheoryData<string, string, string, Reduction>();
        foreach (string target in Targets.All)
        {
            foreach (Activation activation in new[] { Activation.Tanh, Activation.ReLU, Activation.GELU, Activation.Softmax })
            {
                foreach (Loss loss in new Loss[] { Loss.MeanSquaredError, Loss.SigmoidCrossEntropy, Loss.SoftmaxCrossEntropy })
                {
                    foreach (Reduction reduction in Reductions)
                        cases.Add(target, activation.Name, loss.Name, reduction);
                }
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Faulty))]
    public void A_wrong_gradient_is_found(string target, string activation, string lossName, Reduction reduction)
    {
        Loss loss = Loss.Parse(lossName) with { Reduction = reduction };
        const int Units = 6, Rows = 5, Inputs = 4, Outputs = 3;
        using var network = new Network(
            Targets.Open(target), Inputs, seed: 1, new Dense(Units, Activation.Parse(activation)), new Dense(Outputs));
        float[] x = Samples.Uniform(Rows * Inputs, 2);
        float[] targets = LossSamples.Targets(loss, Rows, Outputs, 4);
        bool Passes(int rows, Action<float[]>? mutate) => GradientCheck.Run(
            network, loss, x.AsSpan(0, rows * Inputs), targets.AsSpan(0, rows * Outputs), 0, plain: false, mutate).Passes();

        // All samples but the last, with the weight that they have among all.
        float[] withoutLast = [];
        float share = reduction == Reduction.Sum ? 1 : (Rows - 1f) / Rows;
        Assert.True(Passes(Rows - 1, g => withoutLast = Array.ConvertAll(g, v => share * v)));
        (string, Action<float[]>)[] faults =
        [
            ("a factor of 1.05", g => Scale(g, 1.05f)),
            ("a sign", g => Scale(g, -1f)),
            ("zeros", Array.Clear),
            ("a NaN", g => g[3] = float.NaN),
            ("one element", g => g[2] += 0.1f * g.Max(Math.Abs)),
            ("two swapped", g => (g[0], g[1]) = (g[1], g[0])),
            ("a sample's term missing", g => withoutLast.CopyTo(g, 0)),
            ("weights off by one row", g => g.AsSpan(0, (Inputs - 1) * Units).ToArray().CopyTo(g, Units)),
        ];
        Assert.True(Passes(Rows, null));
        foreach (var (what, fault) in faults)
            Assert.False(Passes(Rows, fault), what);
    }

    [SkippableTheory, Targets]
    public void The_network_is_not_changed(string target)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 1, new Dense(6, Activation.ReLU), new Dense(3));
        int[] before = Samples.Bits(Samples.Parameters(network));
        GradientCheck.Run(network, Loss.SoftmaxCrossEntropy, Samples.Uniform(8, 2), Samples.Labels(2, 3, 3));
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
    }

    private static void Scale(float[] values, float factor)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] *= factor;
    }
}
