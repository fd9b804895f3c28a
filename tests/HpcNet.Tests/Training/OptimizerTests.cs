// OptimizerTests.cs: steps of the native programs against the float64 reference, for every rule, link and setting of layers;
// and what optimizers promise as values.

namespace HpcNet.Tests;

public sealed class OptimizerTests
{
    private static readonly Dictionary<string, Optimizer> Optimizers = new()
    {
        ["sgd"] = new Sgd(0.1f),
        ["momentum"] = new Sgd(0.1f, 0.9f),
        ["dampening"] = new Sgd(0.1f, 0.8f, 0.3f),
        ["nesterov"] = new Sgd(0.1f, 0.9f, nesterov: true),
        ["adam"] = new Adam(0.02f),
        ["adam betas"] = new Adam(0.02f, 0.8f, 0.95f, 1e-4f),
        ["clip"] = new Sgd(0.1f).ClipByNorm(0.05f),
        ["clip that does nothing"] = new Sgd(0.1f).ClipByNorm(1000f),
        ["decay"] = new Sgd(0.1f).WeightDecay(0.1f),
        ["adamw"] = new Adam(0.02f).DecoupledWeightDecay(0.3f),
        ["clip, then decay"] = new Sgd(0.1f, 0.9f).ClipByNorm(0.05f).WeightDecay(0.1f),
        ["decay, then clip"] = new Sgd(0.1f, 0.9f).WeightDecay(0.1f).ClipByNorm(0.05f),
        ["all"] = new Adam(0.02f).WeightDecay(0.01f).ClipByNorm(0.1f).DecoupledWeightDecay(0.1f),
    };

    public static TheoryData<string, string, string, bool> Cases()
    {
        var cases = new TheoryData<string, string, string, bool>();
        foreach (string target in Targets.All)
        {
            foreach (string optimizer in Optimizers.Keys)
            {
                foreach (string layers in (string[])["plain", "frozen", "scaled"])
                {
                    cases.Add(target, optimizer, layers, false);
                    cases.Add(target, optimizer, layers, true);
                }
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void Steps_follow_the_reference(string target, string name, string layers, bool crossEntropy)
    {
        Optimizer optimizer = Optimizers[name];
        using var network = new Network(
            Targets.Open(target), 6, seed: 9,
            new Dense(8, Activation.Tanh),
            new Dense(5, Activation.Sigmoid) { Frozen = layers == "frozen", LearningRateScale = layers == "scaled" ? 0.25f : 1f },
            new Dense(7, Activation.ReLU, bias: false),
            new Dense(3));
        var reference = new ReferenceNetwork(network);
        Loss loss = crossEntropy ? Loss.SoftmaxCrossEntropy : Loss.MeanSquaredError;
        using var trainer = new Trainer(network, loss, optimizer);
        for (int step = 0; step < 6; step++)
        {
            // A ragged batch now and then.
            int rows = step == 3 ? 5 : 9;
            float[] x = Samples.Uniform(rows * 6, (ulong)step);
            float[] targets = crossEntropy ? Samples.Probabilities(rows, 3, 50 + (ulong)step) : Samples.Uniform(rows * 3, 50 + (ulong)step);
            double expected = reference.Gradients(x, targets, crossEntropy);
            reference.Update(optimizer, optimizer.LearningRate);
            Assert.Equal(expected, trainer.Step(x, targets), 1e-4);
            Samples.Close(reference.Parameters(), Samples.Parameters(network), 2e-3, $"parameters after step {step + 1} of {name}");
        }
    }

    [SkippableTheory, Targets]
    public void Frozen_layers_stay_to_the_bit_and_thaw(string target)
    {
        using var network = new Network(Targets.Open(target), 4, new Dense(6, Activation.ReLU), new Dense(2));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.05f).ClipByNorm(1f).WeightDecay(0.1f));
        float[] x = Samples.Uniform(8 * 4, 1);
        int[] labels = Samples.Labels(8, 2, 1);
        trainer.Step(x, labels);
        network.Freeze("dense1");
        int[] before = Samples.Bits(Samples.Parameter(network, "dense1.weight"));
        int[] other = Samples.Bits(Samples.Parameter(network, "dense2.weight"));
        for (int i = 0; i < 3; i++)
            trainer.Step(x, labels);
        Assert.Equal(before, Samples.Bits(Samples.Parameter(network, "dense1.weight")));
        Assert.NotEqual(other, Samples.Bits(Samples.Parameter(network, "dense2.weight")));
        network.Unfreeze("dense1");
        trainer.Step(x, labels);
        Assert.NotEqual(before, Samples.Bits(Samples.Parameter(network, "dense1.weight")));
    }

    [SkippableTheory, Targets]
    public void A_frozen_layers_weight_gradient_is_not_computed(string target)
    {
        using var network = new Network(Targets.Open(target), 4, new Dense(6, Activation.ReLU) { Frozen = true }, new Dense(2));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f));
        Assert.DoesNotContain("dense1.weight.gradient", trainer.Describe());
        Assert.Contains("dense2.weight.gradient", trainer.Describe());
    }

    [SkippableTheory, Targets]
    public void A_schedule_moves_the_rate_without_recording_anew(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        var reference = new ReferenceNetwork(network);
        var optimizer = new Sgd(0.5f);
        Schedule schedule = Schedule.CosineDecay(6, floor: 0.1f, warmup: 2);
        using var trainer = new Trainer(network, Loss.MeanSquaredError, optimizer) { Schedule = schedule };
        for (int step = 0; step < 8; step++)
        {
            float[] x = Samples.Uniform(4 * 3, (ulong)step);
            float[] targets = Samples.Uniform(4 * 2, 90 + (ulong)step);
            reference.Gradients(x, targets, crossEntropy: false);
            reference.Update(optimizer, optimizer.LearningRate * schedule.FactorAt(step));
            trainer.Step(x, targets);
        }
        Samples.Close(reference.Parameters(), Samples.Parameters(network), 1e-4);
    }

    [Fact]
    public void Schedules_have_the_shape_they_say()
    {
        Assert.Equal(1f, Schedule.Constant.FactorAt(1_000_000));
        Schedule steps = Schedule.StepDecay(10, 0.5f);
        Assert.Equal([1f, 1f, 0.5f, 0.25f], new[] { 0, 9, 10, 29 }.Select(s => steps.FactorAt(s)));
        Schedule cosine = Schedule.CosineDecay(100, floor: 0.2f);
        Assert.Equal(1f, cosine.FactorAt(0), 1e-6f);
        Assert.Equal(0.6f, cosine.FactorAt(50), 1e-6f);
        Assert.Equal(0.2f, cosine.FactorAt(100), 1e-6f);
        Assert.Equal(0.2f, cosine.FactorAt(5_000_000_000), 1e-6f);
        Assert.Equal(7f, Schedule.Custom(step => step).FactorAt(7));
    }

    [Fact]
    public void Optimizers_compare_and_print_by_value()
    {
        Assert.Equal(new Adam(0.1f).ClipByNorm(1f), new Adam(0.1f).ClipByNorm(1f));
        Assert.NotEqual(new Adam(0.1f).ClipByNorm(1f), new Adam(0.1f).ClipByNorm(2f));
        Assert.NotEqual(new Sgd(0.1f).ClipByNorm(1f).WeightDecay(2f), new Sgd(0.1f).WeightDecay(2f).ClipByNorm(1f));
        Assert.Equal("Sgd(0.1, 0.9).ClipByNorm(1).WeightDecay(0.5)", new Sgd(0.1f, 0.9f).ClipByNorm(1f).WeightDecay(0.5f).ToString());
    }
}
