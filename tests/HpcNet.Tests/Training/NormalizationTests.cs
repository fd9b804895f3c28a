// NormalizationTests.cs: batch and layer normalization and embeddings inside networks: gradients, fusion, determinism, the life of running
// statistics, files, and what is refused.

using HpcNet.Tests.Data;

namespace HpcNet.Tests;

public sealed class NormalizationTests : IDisposable
{
    private static readonly int[] Widths = [1, 7, 33, 257];

    private readonly string _folder = Directory.CreateTempSubdirectory("hpcnet").FullName;

    // Behind the network's input, so that the input's gradient goes through what is tested.
    private static readonly Dictionary<string, Layer[]> Kinds = new()
    {
        ["batch"] = [new BatchNorm()],
        ["batch, average"] = [new BatchNorm(momentum: null, epsilon: 1e-3f)],
        ["batch, not affine"] = [new BatchNorm(affine: false)],
        ["batch, no running statistics"] = [new BatchNorm(trackRunningStatistics: false)],
        ["layer"] = [new LayerNorm()],
        ["layer, not affine"] = [new LayerNorm(epsilon: 1e-3f, affine: false)],
    };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, string, int, int> Gradients()
    {
        var cases = new TheoryData<string, string, int, int>();
        foreach (string target in Targets.All)
        {
            foreach (string kind in Kinds.Keys)
            {
                foreach (int width in Widths)
                {
                    foreach (int rows in (int[])[2, 5, 64])
                    {
                        // Each element costs five runs: the largest shape stands for the widest.
                        if (width * rows <= 2200)
                            cases.Add(target, kind, width, rows);
                    }
                }
            }
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Gradients))]
    public void Gradients_agree_with_differences(string target, string kind, int width, int rows)
    {
        // Two rows of a batch become about +-1, whatever they are, and differences see nothing but noise: not so with a large epsilon.
        Layer layer = rows == 2 && Kinds[kind][0] is BatchNorm batch
            ? new BatchNorm(batch.Momentum, 0.5f, batch.Affine, batch.TrackRunningStatistics)
            : Kinds[kind][0];
        using var network = new Network(Targets.Open(target), width, seed: 3, layer, new Dense(2));
        Perturb(network);
        // Rows of a column stand apart, so that none change places within a step.
        float[] x = Samples.Uniform(rows * width, 11);
        for (int i = 0; i < x.Length; i++)
            x[i] += i / width % 2 * 2.5f;
        GradientCheckReport report = GradientCheck.Run(network, Loss.MeanSquaredError, x, Samples.Uniform(rows * 2, 12));
        Assert.True(report.Passes(3e-2), report.ToString());
    }

    [SkippableTheory, Targets]
    public void Gradients_agree_with_differences_over_channels_and_indices(string target)
    {
        foreach (Layer layer in (Layer[])[new BatchNorm(features: 3), new BatchNorm(affine: false), new LayerNorm(), new LayerNorm(2)])
        {
            using var network = new Network(
                Targets.Open(target), 3, seed: 3, new Embedding(11, 7), layer, new Flatten(), new Dense(4, Activation.Tanh), new BatchNorm(), new Dense(2));
            Perturb(network);
            float[] x = Array.ConvertAll(Samples.Labels(5 * 3, 11, 4), i => (float)i);
            GradientCheckReport report = GradientCheck.Run(network, Loss.MeanSquaredError, x, Samples.Uniform(5 * 2, 12));
            Assert.True(report.Passes(2e-2), $"{layer}: {report}");
            Assert.Equal(network.ParameterInfos.Count, report.Entries.Count);
        }
    }

    [SkippableTheory, Targets]
    public void Fused_and_plain_programs_agree(string target)
    {
        float[] Train(bool plain)
        {
            using Network network = Deep(Targets.Open(target));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f, epsilon: 1e-3f)) { Plain = plain };
            for (int step = 0; step < 4; step++)
                trainer.Step(Samples.Uniform((20 + step) * 9, (ulong)step), Samples.Labels(20 + step, 3, (ulong)step));
            return [.. Samples.Parameters(network), .. States(network)];
        }
        Samples.Close(Train(plain: true), Train(plain: false), 1e-3);
    }

    [Fact]
    public void The_bits_do_not_depend_on_the_number_of_threads()
    {
        int[] Train(int threads)
        {
            using Device device = Device.Cpu(new CpuOptions { Threads = threads });
            using var network = new Network(
                device, 4, 1, new Embedding(50, 160), new BatchNorm(), new LayerNorm(2), new Dense(600), new BatchNorm(), new LayerNorm(), new Dense(3));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.01f));
            for (int step = 0; step < 3; step++)
                trainer.Step(Array.ConvertAll(Samples.Labels(300 * 4, 50, (ulong)step), i => (float)i), Samples.Labels(300, 3, (ulong)step));
            return Samples.Bits([.. Samples.Parameters(network), .. States(network)]);
        }
        int[] one = Train(1);
        Assert.Equal(one, Train(2));
        Assert.Equal(one, Train(4));
    }

    [SkippableTheory, Targets]
    public void A_step_allocates_nothing(string target)
    {
        using Network network = Deep(Targets.Open(target));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f));
        float[] x = Samples.Uniform(32 * 9, 1);
        int[] labels = Samples.Labels(32, 3, 1);
        for (int i = 0; i < 3; i++)
            trainer.Step(x, labels);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++)
            trainer.Step(x, labels);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [SkippableTheory, Targets]
    public void A_model_survives_the_file_to_the_bit(string target)
    {
        string path = Path.Combine(_folder, "model.safetensors"), again = Path.Combine(_folder, "again.safetensors");
        using var network = new Network(
            Targets.Open(target), 3, seed: 2, new Embedding(11, 4, paddingIndex: 0), new LayerNorm(2, 1e-3f), new BatchNorm(0.3f) { Name = "bn" },
            new Flatten(), new Dense(5), new BatchNorm(null, affine: false), new BatchNorm(trackRunningStatistics: false, features: 5), new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.01f));
        for (int step = 0; step < 3; step++)
            trainer.Step(Array.ConvertAll(Samples.Labels(8 * 3, 11, (ulong)step), i => (float)i), Samples.Uniform(8 * 2, 3));
        network.Save(path);
        using (Network loaded = Network.Load(path, Targets.Open(target)))
        {
            Assert.Equal(Samples.Bits(Samples.Parameters(network)), Samples.Bits(Samples.Parameters(loaded)));
            Assert.Equal(Samples.Bits(States(network)), Samples.Bits(States(loaded)));
            Assert.Equal(network.Summary(), loaded.Summary());
            loaded.Save(again);
        }
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(again));
        using var file = SafetensorsFile.Open(path);
        Assert.Equal([11, 4], file["embedding1.weight"].Shape.ToArray());
        Assert.Equal([3, 4], file["layernorm1.weight"].Shape.ToArray());
        Assert.Equal([3], file["bn.running_var"].Shape.ToArray());
        Assert.Equal(0, file["bn.num_batches_tracked"].Shape.Length);
        Span<long> count = [0];
        file["bn.num_batches_tracked"].ReadIntegers(count);
        Assert.Equal(3, count[0]);
        Assert.Equal(3f, State(network, "bn.num_batches_tracked")[0]);
        // The padding's vector neither begins nor learns.
        Assert.All(Samples.Parameter(network, "embedding1.weight")[..4], v => Assert.Equal(0f, v));
    }

    [SkippableTheory, Targets]
    public void Running_statistics_follow_training_alone(string target)
    {
        using Network network = Deep(Targets.Open(target));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.01f));
        float[] x = Samples.Uniform(16 * 9, 1);
        int[] labels = Samples.Labels(16, 3, 1);
        trainer.Step(x, labels);
        int[] before = Samples.Bits(States(network));
        using Predictor predictor = network.CreatePredictor();
        var y = new float[16 * 3];
        predictor.PredictLogits(x, y);
        int[] answer = Samples.Bits(y);

        GradientCheck.Run(network, Loss.SoftmaxCrossEntropy, x, labels);
        trainer.Evaluate(Samples.Blobs(30, 9, 3, 1));
        trainer.Profile(2);
        Assert.Equal(before, Samples.Bits(States(network)));
        Assert.Throws<NonFiniteLossException>(() => { trainer.Step([.. x[..^1], float.NaN], labels); });
        Assert.Equal(before, Samples.Bits(States(network)));
        trainer.Step(x, labels);
        Assert.NotEqual(before, Samples.Bits(States(network)));

        // The snapshot has the statistics of its time.
        predictor.PredictLogits(x, y);
        Assert.Equal(answer, Samples.Bits(y));

        // Frozen: the weight stays, the statistics go on.
        network.Freeze("batchnorm1");
        int[] weight = Samples.Bits(Samples.Parameter(network, "batchnorm1.weight"));
        before = Samples.Bits(State(network, "batchnorm1.running_mean"));
        trainer.Step(x, labels);
        Assert.Equal(weight, Samples.Bits(Samples.Parameter(network, "batchnorm1.weight")));
        Assert.NotEqual(before, Samples.Bits(State(network, "batchnorm1.running_mean")));
    }

    [SkippableTheory, Targets]
    public void The_best_statistics_come_back_with_the_best_parameters(string target)
    {
        // The learning rate drives the network away from where the first epoch has brought it.
        using Network network = Deep(Targets.Open(target));
        Dataset data = Samples.Blobs(64, 9, 3, 1);
        var seen = new Dictionary<int, int[]>();
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f)) { EarlyStopping = new EarlyStopping(2), Schedule = Schedule.Custom(step => 1f + 40f * step) };
        History history = trainer.Fit(data, 12, 32, progress: new Watching(p =>
        {
            if (p.EpochFinished)
                seen[p.Epoch] = Samples.Bits([.. Samples.Parameters(network), .. States(network)]);
        }));
        Assert.True(history.BestEpoch < history.Epochs.Count, $"best {history.BestEpoch}");
        Assert.Equal(seen[history.BestEpoch], Samples.Bits([.. Samples.Parameters(network), .. States(network)]));
    }

    [SkippableTheory, Targets]
    public void Batches_of_one_row_are_refused(string target)
    {
        using Network network = Deep(Targets.Open(target));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.01f));
        int[] before = Samples.Bits([.. Samples.Parameters(network), .. States(network)]);
        Assert.Contains("more than 1 value per channel", Assert.Throws<ArgumentException>(() => { trainer.Step(new float[9], new[] { 0 }); }).Message);
        Assert.Contains("the last one has 1", Assert.Throws<ArgumentException>(() => { trainer.Fit(Samples.Blobs(33, 9, 3, 1), 1, 16); }).Message);
        Assert.Equal(before, Samples.Bits([.. Samples.Parameters(network), .. States(network)]));
        using Predictor predictor = network.CreatePredictor();
        predictor.Classify(new float[9]);
        using var untracked = new Network(Targets.Open(target), 9, new BatchNorm(trackRunningStatistics: false), new Dense(3));
        using Predictor other = untracked.CreatePredictor();
        Assert.Throws<ArgumentException>(() => { other.Classify(new float[9]); });
    }

    [SkippableTheory, Targets]
    public void Bad_indices_are_refused(string target)
    {
        using var network = new Network(Targets.Open(target), 2, new Embedding(5, 3), new Flatten(), new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.01f));
        foreach (float bad in (float[])[-1f, 5f, 1.5f, float.NaN, 1e20f])
        {
            var exception = Assert.Throws<ArgumentOutOfRangeException>(() => { trainer.Step([1f, bad], new float[2]); });
            Assert.Contains("x[1] is", exception.Message);
            Assert.Contains("whole numbers from 0 to 4", exception.Message);
        }
        // What scaling makes of them is found by the core.
        network.Preprocessing = new Standardizer([0, 0], [0.3, 1]);
        int[] before = Samples.Bits(Samples.Parameters(network));
        Assert.Throws<HpcNetException>(() => { trainer.Step([1f, 2f], new float[2]); });
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
    }

    [SkippableTheory, Targets]
    public void A_network_with_batch_normalization_learns_digits(string target)
    {
        var (train, test) = Dataset.Digits().Split(0.8, seed: 1);
        using var network = new Network(
            Targets.Open(target), 64, seed: 1, new Dense(96, bias: false), new BatchNorm(), new ActivationLayer(Activation.ReLU),
            new Dense(64, bias: false), new BatchNorm(), new ActivationLayer(Activation.ReLU), new Dense(10));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(3e-3f)) { Seed = 1 };
        trainer.Fit(train, 15, batchSize: 64);
        double accuracy = trainer.Evaluate(test).Accuracy;
        Assert.True(accuracy >= 0.97, $"accuracy {accuracy}");
    }

    private static Network Deep(Device device) => new(
        device, 9, seed: 4, new Dense(17), new BatchNorm(), new ActivationLayer(Activation.Tanh), new LayerNorm(), new Dense(12),
        new BatchNorm(null, affine: false), new Dense(3));

    // Weights of 1 and biases of 0 would hide mistakes.
    private static void Perturb(Network network)
    {
        ulong seed = 50;
        foreach (ParameterInfo info in network.ParameterInfos.Where(p => p.Name.Contains("norm", StringComparison.Ordinal)))
            network.SetParameter(info.Name, Array.ConvertAll(Samples.Uniform(info.Count, seed++), v => 1f + 0.5f * v));
    }

    private static float[] State(Network network, string name)
    {
        var values = new float[network.StateInfos.Single(s => s.Name == name).Count];
        network.GetState(name, values);
        return values;
    }

    private static float[] States(Network network) => [.. network.StateInfos.SelectMany(s => State(network, s.Name))];

    private sealed class Watching(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }
}
