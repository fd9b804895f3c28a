// LossTests.cs: what losses mean for training: means over weighted rows, rows that do not count, multi-label tasks.

namespace HpcNet.Tests;

public sealed class LossTests
{
    private static readonly float[] Weights = [0.5f, 2f, 1f];

    [SkippableTheory, Targets]
    public void A_weighted_mean_is_over_all_rows_whatever_the_batches(string target)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 2, new Dense(3));
        Dataset data = Samples.Blobs(700, 4, 3, 5);
        Loss loss = Loss.SoftmaxCrossEntropy with { ClassWeights = Weights, IgnoredLabel = 2 };
        using Predictor predictor = Classifier(network);
        var p = new float[700 * 3];
        predictor.Predict(data.Features, p);
        double sum = 0, weight = 0, correct = 0, rows = 0;
        for (int row = 0; row < 700; row++)
        {
            int label = data.Labels[row];
            if (label == 2)
                continue;
            sum -= Weights[label] * Math.Log(p[row * 3 + label]);
            weight += Weights[label];
            rows++;
            correct += Numbers.ArgMax(p.AsSpan(row * 3, 3)) == label ? 1 : 0;
        }
        // 700 rows are three runs of the evaluation.
        Evaluation result = network.Evaluate(data, loss);
        Assert.Equal(sum / weight, result.Loss, 1e-5);
        Assert.Equal(correct / rows, result.Accuracy, 12);
        Assert.Equal(rows, result.Confusion!.Total);
        Assert.Equal(sum, network.Evaluate(data, loss with { Reduction = Reduction.Sum }).Loss, 1e-3);
        Assert.Equal(sum / 700, network.Evaluate(data, loss with { Reduction = Reduction.BatchMean }).Loss, 1e-5);

        using var trainer = new Trainer(network, loss, new Sgd(1e-12f));
        History history = trainer.Fit(data, 1, 64);
        Assert.Equal(sum / weight, history.Epochs[0].Loss, 1e-5);
        Assert.Equal(correct / rows, history.Epochs[0].Accuracy, 12);
    }

    [SkippableTheory, Targets]
    public void Ignored_rows_change_nothing(string target)
    {
        Loss loss = Loss.SoftmaxCrossEntropy with { IgnoredLabel = -100 };
        float[] x = Samples.Uniform(3 * 4, 1);
        float[] With(float[] rows, int[] labels, out float value)
        {
            using var network = new Network(Targets.Open(target), 4, seed: 2, new Dense(3));
            using var trainer = new Trainer(network, loss, new Sgd(0.1f));
            value = trainer.Step(rows, labels);
            return Samples.Parameters(network);
        }
        float[] few = With(x, [0, 1, 2], out float a);
        float[] many = With([.. x, .. Samples.Uniform(2 * 4, 9)], [0, 1, 2, -100, -100], out float b);
        Assert.Equal(a, b, 1e-6);
        Samples.Close(few, many, 1e-6, "");
        float[] none = With(x, [-100, -100, -100], out float nothing);
        Assert.Equal(0f, nothing);
        using var untouched = new Network(Targets.Open(target), 4, seed: 2, new Dense(3));
        Assert.Equal(Samples.Bits(Samples.Parameters(untouched)), Samples.Bits(none));
    }

    [SkippableTheory, Targets]
    public void A_multi_label_network_answers_with_sigmoids(string target)
    {
        string file = Path.Combine(Path.GetTempPath(), $"hpcnet-{Guid.NewGuid():N}.safetensors");
        float[] x = Samples.Uniform(200 * 2, 3);
        var t = new float[200 * 3];
        for (int row = 0; row < 200; row++)
        {
            t[row * 3] = x[row * 2] > 0 ? 1 : 0;
            t[row * 3 + 1] = x[row * 2 + 1] > 0 ? 1 : 0;
            t[row * 3 + 2] = x[row * 2] + x[row * 2 + 1] > 0.5f ? 1 : 0;
        }
        Dataset data = Dataset.FromArrays(x, 2, t, 3);
        using var network = new Network(Targets.Open(target), 2, seed: 2, new Dense(3));
        using (var trainer = new Trainer(network, Loss.SigmoidCrossEntropy, new Adam(0.1f)))
        {
            History history = trainer.Fit(data, 40, 50, data);
            Assert.True(history.Epochs[^1].ValidationAccuracy > 0.95, $"{history.Epochs[^1].ValidationAccuracy}");
        }
        Assert.Equal(NetworkTask.MultiLabel, network.Task);
        Assert.True(network.Evaluate(data).Accuracy > 0.95);
        try
        {
            network.Save(file);
            using Network loaded = Network.Load(file, Targets.Open(target));
            Assert.Equal(NetworkTask.MultiLabel, loaded.Task);
            using Predictor predictor = loaded.CreatePredictor();
            var y = new float[200 * 3];
            var z = new float[200 * 3];
            predictor.Predict(x, y);
            predictor.PredictLogits(x, z);
            for (int i = 0; i < y.Length; i++)
                Assert.Equal(1 / (1 + Math.Exp(-z[i])), y[i], 1e-6);
        }
        finally
        {
            File.Delete(file);
        }
    }

    [SkippableTheory, Targets]
    public void The_sum_of_squares_is_half_the_sum(string target)
    {
        using var network = new Network(Targets.Open(target), 1, new Dense(1));
        network.SetParameter("dense1.weight", [1f]);
        using var trainer = new Trainer(network, Loss.SumOfSquares, new Sgd(0.1f));
        // Errors of 1 and -3: 5; the slope is 1 * 1 + 2 * -3 = -5.
        Assert.Equal(5f, trainer.Step([1f, 2f], [0f, 5f]), 1e-6);
        Assert.Equal(1.5f, Samples.Parameter(network, "dense1.weight")[0], 1e-6);
    }

    [Fact]
    public void Settings_are_copied_and_kept()
    {
        float[] weights = [1f, 2f, 3f];
        SoftmaxCrossEntropyLoss loss = Loss.SoftmaxCrossEntropy with { ClassWeights = weights, LabelSmoothing = 0.1f };
        weights[0] = 9;
        Assert.Equal([1f, 2f, 3f], loss.ClassWeights);
        Assert.Equal(0.1f, (loss with { IgnoredLabel = 3 }).LabelSmoothing);
        Assert.Null(Loss.SoftmaxCrossEntropy.ClassWeights);
        Assert.Equal(Reduction.Sum, Loss.SumOfSquares.Reduction);
    }

    [SkippableTheory, Targets]
    public void Every_loss_trains_without_allocating(string target)
    {
        foreach (Loss loss in Loss.All)
        {
            using var network = new Network(Targets.Open(target), 4, new Dense(3, LossSamples.Last(loss)));
            using var trainer = new Trainer(network, loss, new Sgd(1e-3f));
            float[] x = Samples.Uniform(5 * 4, 1), t = LossSamples.Targets(loss, 5, 3, 2);
            int[] labels = Samples.Labels(5, 3, 3);
            void Step()
            {
                if (loss.TakesTargets)
                    trainer.Step(x, t);
                else
                    trainer.Step(x, labels);
            }
            for (int i = 0; i < 3; i++)
                Step();
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 20; i++)
                Step();
            Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        }
    }

    private static Predictor Classifier(Network network)
    {
        network.Task = NetworkTask.Classification;
        return network.CreatePredictor();
    }
}
