// GraphTests.cs: networks that are directed acyclic graphs: gradients of every merge and structural layer, shared branches,
// several inputs and outputs, the file, the fused against the plain program over random graphs, and no allocation.

namespace HpcNet.Tests;

public sealed class GraphTests
{
    /// <summary>Graphs by name, 6 columns in.</summary>
    private static readonly Dictionary<string, Func<(NetworkNode[] Inputs, NetworkNode[] Outputs)>> Graphs = new()
    {
        ["residual"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(5, Activation.Tanh));
            return ([x], [h.Then(new Dense(5, Activation.Sigmoid)).Add(h).Then(new Dense(3))]);
        },
        ["residual at the end"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(3, Activation.Tanh));
            return ([x], [h.Then(new Dense(4, Activation.Tanh), new Dense(3)).Add(h)]);
        },
        ["residual around the input"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6);
            return ([x], [x.Then(new Dense(6, Activation.Tanh)).Add(x, x).Then(new Dense(3))]);
        },
        ["node added to itself"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(4, Activation.Tanh));
            return ([x], [h.Add(h).Multiply(h, h).Then(new Dense(3))]);
        },
        ["sums of sums"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), a = x.Then(new Dense(4, Activation.Tanh)), b = x.Then(new Dense(4, Activation.Sigmoid));
            NetworkNode s = a.Add(b), t = s.Add(a), u = t.Add(s, b);
            return ([x], [u.Then(new Flatten()).Add(s).Then(new Dense(3))]);
        },
        ["gate"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(4, Activation.Tanh));
            return ([x], [x.Then(new Dense(4, Activation.Sigmoid)).Multiply(h, h.Then(new Dense(4))).Then(new Dense(3))]);
        },
        ["concatenated"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(5, Activation.Tanh));
            return ([x], [h.Concatenate(x, x.Then(new Dense(2)), h).Then(new Dense(3))]);
        },
        ["concatenated along the first axis"] = () =>
        {
            NetworkNode x = NetworkNode.Input(new Shape(2, 3)), h = x.Then(new Flatten(), new Dense(9, Activation.Tanh), new Reshape(new Shape(3, 3)));
            return ([x], [x.Concatenate(0, h).Then(new Flatten(), new Dense(3))]);
        },
        ["concatenated along the last of two axes"] = () =>
        {
            NetworkNode x = NetworkNode.Input(new Shape(2, 3)), h = x.Then(new Dense(4, Activation.Tanh));
            return ([x], [h.Concatenate(x).Then(new Flatten(), new Dense(3))]);
        },
        ["two inputs, two outputs"] = () =>
        {
            NetworkNode a = NetworkNode.Input(4, "a"), b = NetworkNode.Input(2, "b");
            NetworkNode h = a.Then(new Dense(5, Activation.Tanh)), g = h.Concatenate(b).Then(new Dense(4, Activation.Sigmoid));
            return ([a, b], [g.Then(new Dense(2)), h.Then(new Dense(1))]);
        },
        ["output that feeds another"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), y = x.Then(new Dense(2, Activation.Tanh));
            return ([x], [y, y.Then(new Dense(1))]);
        },
        ["outputs of two ranks"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(4, Activation.Tanh));
            return ([x], [h.Then(new Dense(2), new Reshape(new Shape(2, 1))), h.Then(new Dense(1))]);
        },
        ["normalized branches"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new Dense(5));
            return ([x], [h.Then(new BatchNorm(), new PRelu()).Add(h.Then(new LayerNorm(), new PRelu()), h).Then(new Dense(3))]);
        },
        ["sequence beside numbers"] = () =>
        {
            NetworkNode sequence = NetworkNode.Input(new Shape(2, 2), "sequence"), numbers = NetworkNode.Input(2, "numbers");
            NetworkNode states = sequence.Then(new Gru(3, wholeSequence: true));
            return (
                [sequence, numbers],
                [states.Then(new Lstm(4)).Concatenate(numbers, states.Then(new Flatten())).Then(new Dense(3))]);
        },
        ["noise"] = () =>
        {
            NetworkNode x = NetworkNode.Input(6), h = x.Then(new GaussianNoise(0.3f), new Dense(8, Activation.Tanh), new AlphaDropout(0.3f));
            return ([x], [h.Then(new Dense(8), new GaussianNoise(0.1f)).Add(h).Then(new Dense(3))]);
        },
    };

    /// <summary>Every target with every graph.</summary>
    public static TheoryData<string, string> Names()
    {
        var names = new TheoryData<string, string>();
        foreach (string target in Targets.All)
        {
            foreach (string name in Graphs.Keys)
                names.Add(target, name);
        }
        return names;
    }

    public static TheoryData<string, string, bool> Cases()
    {
        var cases = new TheoryData<string, string, bool>();
        foreach (string target in Targets.All)
        {
            foreach (string name in Graphs.Keys)
            {
                cases.Add(target, name, false);
                cases.Add(target, name, true);
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void Gradients_agree_with_differences(string target, string name, bool plain)
    {
        using Network network = Make(target, name);
        GradientCheckReport report = GradientCheck.Run(
            network, Loss.MeanSquaredError, Samples.Uniform(5 * 6, 11), Samples.Uniform(5 * 3, 12), seed: 5, plain, mutate: null);
        Assert.True(report.Passes(), report.ToString());
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void A_graph_learns_predicts_and_survives_the_file(string target, string name, bool plain)
    {
        using Network network = Make(target, name);
        Dataset data = Samples.Waves(96, 6, 3, 1);
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(0.02f)) { Plain = plain };
        double before = trainer.Evaluate(data).Loss;
        trainer.Fit(data, 40, 16);
        Evaluation after = trainer.Evaluate(data);
        Assert.True(after.Loss < 0.7 * before, $"{before} -> {after.Loss}");

        string path = Path.Combine(Path.GetTempPath(), $"hpcnet-graph-{Guid.NewGuid():N}.safetensors");
        try
        {
            network.Save(path);
            using Network loaded = Network.Load(path, Targets.Open(target));
            Assert.Equal(network.Summary(), loaded.Summary());
            Assert.Equal(network.InputShape, loaded.InputShape);
            Assert.Equal(network.OutputShape, loaded.OutputShape);
            Assert.Equal(Samples.Bits(Samples.Parameters(network)), Samples.Bits(Samples.Parameters(loaded)));
            Assert.Equal(Samples.Bits(Predict(network, data)), Samples.Bits(Predict(loaded, data)));
            Assert.Contains("executed", network.Describe());
        }
        finally
        {
            File.Delete(path);
        }

        static float[] Predict(Network network, Dataset data)
        {
            using Predictor predictor = network.CreatePredictor(batchSize: 40);
            var y = new float[data.Count * 3];
            predictor.Predict(data.Features, y);
            return y;
        }
    }

    [SkippableTheory, Targets]
    public void Several_outputs_have_a_loss_each(string target)
    {
        using Network network = Make(target, "two inputs, two outputs");
        Loss loss = Loss.PerOutput((Loss.SoftmaxCrossEntropy, 2, 0.5f), (Loss.MeanSquaredError, 1, 3f));
        float[] x = Samples.Uniform(5 * 6, 11);
        float[] probabilities = Samples.Probabilities(5, 2, 4), values = Samples.Uniform(5, 6);
        var targets = new float[15];
        for (int row = 0; row < 5; row++)
            (targets[row * 3], targets[row * 3 + 1], targets[row * 3 + 2]) = (probabilities[row * 2], probabilities[row * 2 + 1], values[row]);
        GradientCheckReport report = GradientCheck.Run(network, loss, x, targets);
        Assert.True(report.Passes(), report.ToString());

        var y = new float[15];
        using (Predictor predictor = network.CreatePredictor())
            predictor.PredictLogits(x, y);
        double expected = 0;
        for (int row = 0; row < 5; row++)
        {
            double log = Math.Log(Math.Exp(y[row * 3]) + Math.Exp(y[row * 3 + 1]));
            expected += 0.5 * (targets[row * 3] * (log - y[row * 3]) + targets[row * 3 + 1] * (log - y[row * 3 + 1])) / 5;
            expected += 3 * Math.Pow(y[row * 3 + 2] - targets[row * 3 + 2], 2) / 5;
        }
        using var trainer = new Trainer(network, loss, new Sgd(0.01f));
        Assert.Equal(expected, trainer.Evaluate(Dataset.FromArrays(x, 6, targets, 3)).Loss, 1e-5);
        Assert.Equal(expected, trainer.Step(x, targets), 1e-5);
    }

    [SkippableTheory, Targets]
    public void Outputs_of_several_ranks_are_columns_in_their_order(string target)
    {
        NetworkNode x = NetworkNode.Input(1), h = x.Then(new Dense(6) { Name = "six" });
        using var network = new Network(
            Targets.Open(target), [x], [h.Then(new Reshape(new Shape(2, 3))), h.Then(new Dense(1) { Name = "one" })]);
        network.SetParameter("six.weight", [1, 2, 3, 4, 5, 6]);
        network.SetParameter("one.weight", [1, 0, 0, 0, 0, 0]);
        Assert.Equal(new Shape(7), network.OutputShape);
        using Predictor predictor = network.CreatePredictor();
        var y = new float[14];
        predictor.Predict([10, 1], y);
        Assert.Equal([10, 20, 30, 40, 50, 60, 10, 1, 2, 3, 4, 5, 6, 1], y);
    }

    [SkippableTheory, Targets]
    public void Words_stand_beside_numbers(string target)
    {
        using Network network = WordsBesideNumbers(target);
        float[] x = [0.5f, 4, 0, -0.25f, 1, 1, 0.75f, 0, 3];
        GradientCheckReport report = GradientCheck.Run(network, Loss.MeanSquaredError, x, Samples.Uniform(6, 2));
        Assert.True(report.Passes(), report.ToString());
        // The ages have derivatives, the words' numbers none.
        Assert.Equal(3, report.Entries.Single(e => e.Name == "input").Checked);

        using Predictor predictor = network.CreatePredictor();
        x[7] = 5;
        var exception = Assert.Throws<ArgumentOutOfRangeException>(() => predictor.Predict(x, new float[6]));
        Assert.Contains("x[7] is 5; Embedding 'embedding1' expects whole numbers from 0 to 4", exception.Message);
    }

    [SkippableTheory, Targets]
    public void A_step_of_a_graph_allocates_nothing(string target)
    {
        using Network network = Make(target, "two inputs, two outputs");
        Loss loss = Loss.PerOutput((Loss.MeanSquaredError, 2, 1f), (Loss.MeanSquaredError, 1, 2f));
        float[] x = Samples.Uniform(8 * 6, 1), targets = Samples.Uniform(8 * 3, 2);
        foreach (AdversarialTraining? adversarial in new[] { null, new AdversarialTraining(0.1f) })
        {
            using var trainer = new Trainer(network, loss, new Adam()) { AdversarialTraining = adversarial };
            for (int i = 0; i < 3; i++)
                trainer.Step(x, targets);
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 50; i++)
                trainer.Step(x, targets);
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    public static TheoryData<string, int> Seeds()
    {
        var cases = new TheoryData<string, int>();
        foreach (string target in Targets.All)
        {
            for (int seed = 1; seed <= 25; seed++)
                cases.Add(target, seed);
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Seeds))]
    public void Fused_and_plain_programs_of_random_graphs_agree(string target, int seed)
    {
        Samples.Close(Train(plain: true), Train(plain: false), 1e-3);

        float[] Train(bool plain)
        {
            var random = new Philox((ulong)seed, 9);
            int Below(int bound) => (int)random.NextBelow((uint)bound);
            NetworkNode x = NetworkNode.Input(7);
            var nodes = new List<NetworkNode> { x.Then(new Dense(8, Activation.Tanh)) };
            for (int i = 0; i < 8; i++)
            {
                NetworkNode a = nodes[Below(nodes.Count)], b = nodes[Below(nodes.Count)];
                Activation f = Activation.All[Below(Activation.All.Count)];
                nodes.Add(Below(8) switch
                {
                    0 => a.Add(b),
                    1 => a.Multiply(b),
                    2 => a.Concatenate(b).Then(new Dense(8, f)),
                    3 => a.Then(new Dropout(0.2f)),
                    4 => a.Then(new ActivationLayer(f)),
                    5 => a.Then(new PRelu()),
                    6 => a.Then(new LayerNorm()),
                    _ => a.Then(new Dense(8, f) { Frozen = Below(4) == 0 }),
                });
            }
            using var network = new Network(Targets.Open(target), [x], [nodes[^1].Then(new Dense(2)), nodes[^2].Then(new Dense(1))], (ulong)seed);
            using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.02f).ClipByNorm(0.5f)) { Plain = plain };
            for (int step = 0; step < 4; step++)
                trainer.Step(Samples.Uniform((3 + step) * 7, (ulong)step), Samples.Uniform((3 + step) * 3, (ulong)step));
            return Samples.Parameters(network);
        }
    }

    [SkippableTheory, Targets]
    public void Alpha_dropout_and_noise_have_the_moments_they_should(string target)
    {
        const int Count = 100_000;
        using var bench = new Cases.Bench(Targets.Open(target), 1);
        Value zeros = bench.Input(Count, new float[Count]), noise = bench.Output(Count);
        bench.Recorder.GaussianNoise(zeros, noise, 3UL, 4UL, 1f);
        // A = 1/sqrt((1.7581^2 0.25 + 1) 0.75), shift = 1.7581 A 0.25, dropped = -1.7581 A 0.75: mean 0, variance 1 stay.
        double a = 1 / Math.Sqrt((1.7580993408473766 * 1.7580993408473766 * 0.25 + 1) * 0.75);
        Value dropped = bench.Output(Count);
        bench.Recorder.AffineDropout(
            noise, dropped, 5UL, 6UL, 0.25f, (float)a, (float)(1.7580993408473766 * a * 0.25), (float)(-1.7580993408473766 * a * 0.75));
        bench.Run();
        foreach (float[] values in new[] { bench.Read(noise, Count), bench.Read(dropped, Count) })
        {
            double mean = values.Average(v => (double)v);
            Assert.Equal(0, mean, 0.015);
            Assert.Equal(1, values.Average(v => (v - mean) * (v - mean)), 0.02);
        }
        float[] normal = bench.Read(noise, Count);
        Assert.Equal(0.6827, normal.Count(v => Math.Abs(v) < 1) / (double)Count, 0.006);
        Assert.Equal(0.9545, normal.Count(v => Math.Abs(v) < 2) / (double)Count, 0.003);
        Assert.Equal(3, normal.Average(v => Math.Pow(v, 4)), 0.15);
    }

    /// <summary>A graph of the table, 6 columns in and 3 out.</summary>
    internal static Network Make(string target, string name, ulong seed = 3)
    {
        var (inputs, outputs) = Graphs[name]();
        return new Network(Targets.Open(target), inputs, outputs, seed);
    }

    /// <summary>An age and two words of five in, 2 columns out.</summary>
    internal static Network WordsBesideNumbers(string target)
    {
        NetworkNode age = NetworkNode.Input(1, "age"), words = NetworkNode.Input(2, "words");
        NetworkNode looked = words.Then(new Embedding(5, 3), new Flatten());
        return new Network(
            Targets.Open(target), [age, words], [looked.Concatenate(age).Then(new Dense(4, Activation.Tanh), new Dense(2))], seed: 3);
    }
}
