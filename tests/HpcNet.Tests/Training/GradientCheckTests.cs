// GradientCheckTests.cs: every activation with every loss, found in the tables, so that a new row is tested unasked; layers in
// combination; and that a wrong gradient is found.

namespace HpcNet.Tests;

public sealed class GradientCheckTests
{
    public static TheoryData<string, string, string, bool> Cases()
    {
        var cases = new TheoryData<string, string, string, bool>();
        foreach (string target in Targets.All)
        {
            foreach (Activation activation in Activation.All)
            {
                foreach (Loss loss in Loss.All)
                {
                    cases.Add(target, activation.Name, loss.Name, false);
                    cases.Add(target, activation.Name, loss.Name, true);
                }
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void Gradients_agree_with_differences(string target, string activation, string loss, bool plain)
    {
        Activation f = Activation.Parse(activation);
        using var network = new Network(
            Targets.Open(target), 5, seed: 3, new Dense(7, f), new Dropout(0.3f), new Dense(4, f, bias: false), new ActivationLayer(f), new Dense(3));
        GradientCheckReport report = GradientCheck.Run(
            network, Loss.Parse(loss), Samples.Uniform(6 * 5, 11), Truth(loss, 6, 3), seed: 5, plain, mutate: null);
        Assert.True(report.Passes(), report.ToString());
    }

    [SkippableTheory]
    [InlineData(Targets.Cpu, Reduction.Mean)]
    [InlineData(Targets.Cpu, Reduction.Sum)]
    [InlineData(Targets.OpenCl, Reduction.Mean)]
    [InlineData(Targets.OpenCl, Reduction.Sum)]
    public void Gradients_agree_with_differences_for_labels_and_reductions(string target, Reduction reduction)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 1, new Dense(6, Activation.Tanh), new Dense(3));
        Loss loss = Loss.SoftmaxCrossEntropy with { Reduction = reduction };
        GradientCheckReport report = GradientCheck.Run(network, loss, Samples.Uniform(5 * 4, 2), Samples.Labels(5, 3, 3));
        Assert.True(report.Passes(), report.ToString());

        loss = Loss.MeanSquaredError with { Reduction = reduction };
        report = GradientCheck.Run(network, loss, Samples.Uniform(5 * 4, 2), Samples.Uniform(5 * 3, 4));
        Assert.True(report.Passes(), report.ToString());
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

    [SkippableTheory, Targets]
    public void A_wrong_gradient_is_found(string target)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 1, new Dense(6, Activation.Tanh), new Dense(3));
        float[] x = Samples.Uniform(5 * 4, 2);
        float[] targets = Samples.Uniform(5 * 3, 4);
        (string, Action<float[]>)[] mutations =
        [
            ("a factor of 1.05", g => Scale(g, 1.05f)),
            ("a sign", g => Scale(g, -1f)),
            ("zeros", Array.Clear),
            ("a NaN", g => g[3] = float.NaN),
            ("one element", g => g[2] += 0.1f * g.Max(Math.Abs)),
            ("two swapped", g => (g[0], g[1]) = (g[1], g[0])),
        ];
        foreach (var (what, mutate) in mutations)
        {
            GradientCheckReport report = GradientCheck.Run(network, Loss.MeanSquaredError, x, targets, 0, plain: false, mutate);
            Assert.False(report.Passes(), what);
        }
    }

    [SkippableTheory, Targets]
    public void The_network_is_not_changed(string target)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 1, new Dense(6, Activation.ReLU), new Dense(3));
        int[] before = Samples.Bits(Samples.Parameters(network));
        GradientCheck.Run(network, Loss.SoftmaxCrossEntropy, Samples.Uniform(8, 2), Samples.Labels(2, 3, 3));
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
    }

    private static float[] Truth(string loss, int rows, int outputs) =>
        Loss.Parse(loss).Task == NetworkTask.Classification ? Samples.Probabilities(rows, outputs, 21) : Samples.Uniform(rows * outputs, 21);

    private static void Scale(float[] values, float factor)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] *= factor;
    }
}
