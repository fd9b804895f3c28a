// OptimizerTests.cs: steps of the native programs against the float64 reference, for every rule, link and setting of layers;
// and what optimizers promise as values.

using HpcNet.Interop;

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
        ["adagrad"] = new Adagrad(0.05f, 0.1f, 0.01f),
        ["rmsprop"] = new RmsProp(0.01f, 0.9f),
        ["rmsprop momentum"] = new RmsProp(0.01f, 0.9f, momentum: 0.8f),
        // A centered root is as good as 0 after the first step, where one gradient has little variance: a larger epsilon.
        ["rmsprop centered"] = new RmsProp(0.01f, 0.9f, 1e-2f, centered: true),
        ["rmsprop centered momentum"] = new RmsProp(0.01f, 0.9f, 1e-2f, 0.8f, centered: true),
        ["adadelta"] = new Adadelta(0.5f),
        ["amsgrad"] = new Adam(0.02f, beta2: 0.5f, amsGrad: true),
        ["adamw record"] = new AdamW(0.02f, weightDecay: 0.3f),
        ["adamw with biases"] = new AdamW(0.02f, weightDecay: 0.3f, biases: true),
        ["adamax"] = new Adamax(0.02f),
        ["nadam"] = new NAdam(0.02f),
        ["radam"] = new RAdam(0.02f),
        // Gradients that cancel to rounding have no sign to agree on, so a step is kept small.
        ["rprop"] = new Rprop(0.0005f, largestStep: 0.001f),
        ["averaged"] = new AveragedSgd(0.1f, 0.1f, 0.5f, 2f),
        ["climb"] = new Sgd(0.02f, 0.5f).WeightDecay(0.1f) with { Maximize = true },
        ["climb adam"] = new Adam(0.02f) with { Maximize = true },
        ["climb averaged"] = new AveragedSgd(0.02f, 0.1f).L1(0.01f) with { Maximize = true },
        ["decay with biases"] = new Sgd(0.1f).WeightDecay(0.1f, biases: true),
        ["clip by value"] = new Sgd(0.1f).ClipByValue(0.01f),
        ["clip by sum"] = new Sgd(0.1f).ClipByNorm(0.5f, 1f),
        ["clip by largest"] = new Sgd(0.1f).ClipByNorm(0.01f, float.PositiveInfinity),
        ["clip by cubes"] = new Sgd(0.1f).ClipByNorm(0.05f, 3f),
        ["l1"] = new Sgd(0.1f).L1(0.01f),
        ["l2"] = new Sgd(0.1f).L2(0.05f),
        ["elastic net"] = new Sgd(0.1f).ElasticNet(0.01f, 0.05f, biases: true),
        ["max norm"] = new Sgd(0.1f).MaxNorm(0.5f),
    };

    /// <summary>Every public rule has a row.</summary>
    [Fact]
    public void Every_rule_is_tried()
    {
        IEnumerable<Type> rules = typeof(Optimizer).Assembly.GetExportedTypes().Where(t => t.IsAssignableTo(typeof(Optimizer)) && !t.IsAbstract);
        Assert.Empty(rules.Except(Optimizers.Values.Select(o => o.GetType())));
        Assert.Empty(Enum.GetValues<hpc_rule>().Except(Optimizers.Values.Select(o => o.Rule)));
    }

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

    [SkippableTheory, Targets]
    public void A_cyclic_schedule_moves_the_momentum(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        var reference = new ReferenceNetwork(network);
        Schedule schedule = Schedule.Cyclic(2, 3f, momentum: (0.5f, 0.9f));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.05f, 0.7f)) { Schedule = schedule };
        for (int step = 0; step < 7; step++)
        {
            float[] x = Samples.Uniform(4 * 3, (ulong)step);
            float[] targets = Samples.Uniform(4 * 2, 90 + (ulong)step);
            reference.Gradients(x, targets, crossEntropy: false);
            Assert.Equal(schedule.MomentumAt(step), trainer.Momentum);
            reference.Update(new Sgd(0.05f, schedule.MomentumAt(step)!.Value), 0.05 * schedule.FactorAt(step));
            trainer.Step(x, targets);
        }
        Samples.Close(reference.Parameters(), Samples.Parameters(network), 1e-4);
    }

    [Fact]
    public void A_schedule_of_momentum_needs_one()
    {
        using var network = new Network(Device.Default, 3, new Dense(2));
        Assert.Throws<ArgumentException>(() => new Trainer(network, Loss.MeanSquaredError, new Sgd(0.1f))
        {
            Schedule = Schedule.OneCycle(10, momentum: (0.85f, 0.95f)),
        });
    }

    [SkippableTheory, Targets]
    public void A_fit_tells_the_plateau(string target)
    {
        // A rate that moves nothing: the loss stays, and every third report takes half.
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-30f))
        {
            Schedule = Schedule.ReduceOnPlateau(0.5f, patience: 1),
        };
        Dataset data = Samples.Blobs(20, 6, 3, 2);
        History history = trainer.Fit(data, epochs: 6, batchSize: 20, data);
        Assert.Equal([1f, 1f, 1f, 0.5f, 0.5f, 0.25f], history.Epochs.Select(e => (float)(e.LearningRate / 1e-30f)));
    }

    [SkippableTheory, Targets]
    public void Averages_are_those_of_the_parameters(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new AveragedSgd(0.1f, start: 1f));
        Assert.Throws<InvalidOperationException>(trainer.AdoptAverages);
        var average = new double[6];
        for (int step = 1; step <= 8; step++)
        {
            trainer.Step(Samples.Uniform(4 * 3, (ulong)step), Samples.Uniform(4 * 2, 90 + (ulong)step));
            float[] weight = Samples.Parameter(network, "dense1.weight");
            for (int i = 0; i < 6; i++)
                average[i] += (weight[i] - average[i]) / Math.Max(1, step - 2);
        }
        var read = new float[6];
        trainer.ReadAverage("dense1.weight", read);
        Samples.Close([.. average.Select(v => (float)v)], read, 1e-5);
        float[] last = Samples.Parameter(network, "dense1.weight");
        trainer.AdoptAverages();
        Assert.Equal(read, Samples.Parameter(network, "dense1.weight"));
        trainer.AdoptAverages();
        Assert.Equal(last, Samples.Parameter(network, "dense1.weight"));
    }

    [SkippableTheory, Targets]
    public void Dropped_rates_leave_their_share_of_the_parameters(string target)
    {
        using var network = new Network(Targets.Open(target), 100, new Dense(100) { LearningRateScale = 2f }, new Dense(60));
        using var plain = new Network(Targets.Open(target), 100, new Dense(100) { LearningRateScale = 2f }, new Dense(60));
        using var dropping = new Trainer(network, Loss.MeanSquaredError, new Adam(0.01f).LearningRateDropout(0.3f)) { Seed = 4 };
        using var keeping = new Trainer(plain, Loss.MeanSquaredError, new Adam(0.01f));
        float[] before = Samples.Parameters(network), x = Samples.Uniform(8 * 100, 1), targets = Samples.Uniform(8 * 60, 2);
        dropping.Step(x, targets);
        keeping.Step(x, targets);
        float[] after = Samples.Parameters(network), full = Samples.Parameters(plain);
        int stayed = 0;
        for (int i = 0; i < before.Length; i++)
        {
            Assert.True(after[i] == before[i] || after[i] == full[i]);
            stayed += after[i] == before[i] ? 1 : 0;
        }
        Assert.Equal(0.3, (double)stayed / before.Length, 0.02);
        // Another step, another mask.
        dropping.Step(x, targets);
        float[] later = Samples.Parameters(network);
        int twice = Enumerable.Range(0, before.Length).Count(i => later[i] == before[i]);
        Assert.Equal(0.09, (double)twice / before.Length, 0.02);
    }

    [SkippableTheory, Targets]
    public void A_norm_beyond_float32_still_clips_to_the_bound(string target)
    {
        using var bench = new Cases.Bench(Targets.Open(target), 1);
        float[] huge = [.. Enumerable.Repeat(3e38f, 100)];
        Value gradients = bench.Fixed(1, 100, huge, hpc_value_kind.HPC_VALUE_GRADIENT), norm = bench.FixedOutput(1, 1);
        bench.Recorder.Norm(gradients, norm);
        bench.Recorder.ClipByNorm(gradients, norm, 2f);
        bench.Run();
        Assert.All(bench.Read(gradients, 100), g => Assert.Equal(0.2f, g, 1e-6f));
    }

    [Fact]
    public void Schedules_follow_one_another()
    {
        Schedule schedule = Schedule.LinearWarmup(4, 0f).Then(4, Schedule.ExponentialDecay(0.5f)).Then(6, Schedule.Constant);
        Assert.Equal([0f, 0.25f, 0.5f, 0.75f, 1f, 0.5f, 1f, 1f], Enumerable.Range(0, 8).Select(s => schedule.FactorAt(s)));
        Assert.Contains("ExponentialDecay(0.5)", schedule.ToString());
    }

    [Fact]
    public void Optimizers_compare_and_print_by_value()
    {
        Assert.Equal(
            "maximize AdamW(0.01).DecoupledWeightDecay(0.1).ElasticNet(0.5, 0.25).MaxNorm(2).LearningRateDropout(0.5)",
            (new AdamW(0.01f, weightDecay: 0.1f).ElasticNet(0.5f, 0.25f).MaxNorm(2f).LearningRateDropout(0.5f) with { Maximize = true }).ToString());
        Assert.Equal(new Adam(0.1f).ClipByNorm(1f), new Adam(0.1f).ClipByNorm(1f));
        Assert.NotEqual(new Adam(0.1f).ClipByNorm(1f), new Adam(0.1f).ClipByNorm(2f));
        Assert.NotEqual(new Sgd(0.1f).ClipByNorm(1f).WeightDecay(2f), new Sgd(0.1f).WeightDecay(2f).ClipByNorm(1f));
        Assert.Equal("Sgd(0.1, 0.9).ClipByNorm(1).WeightDecay(0.5)", new Sgd(0.1f, 0.9f).ClipByNorm(1f).WeightDecay(0.5f).ToString());
    }
}
