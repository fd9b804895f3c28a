// PredictorTests.cs: a predictor is a snapshot that answers any number of threads, in rows and batches alike.

namespace HpcNet.Tests;

public sealed class PredictorTests
{
    [SkippableTheory, Targets]
    public void Answers_are_those_of_the_reference(string target)
    {
        using var network = new Network(Targets.Open(target), 5, seed: 3, new Dense(9, Activation.Sigmoid), new Dropout(0.5f), new Dense(4));
        network.Task = NetworkTask.Classification;
        float[] w1 = Samples.Parameter(network, "dense1.weight");
        float[] w2 = Samples.Parameter(network, "dense2.weight");
        float[] x = Samples.Uniform(7 * 5, 1);
        using Predictor predictor = network.CreatePredictor(batchSize: 3);
        var logits = new float[7 * 4];
        var probabilities = new float[7 * 4];
        predictor.PredictLogits(x, logits);
        predictor.Predict(x, probabilities);
        var classes = new int[7];
        predictor.Classify(x, classes);
        for (int row = 0; row < 7; row++)
        {
            var hidden = new double[9];
            for (int j = 0; j < 9; j++)
                hidden[j] = 1 / (1 + Math.Exp(-Enumerable.Range(0, 5).Sum(i => (double)x[row * 5 + i] * w1[i * 9 + j])));
            var z = new double[4];
            for (int j = 0; j < 4; j++)
                z[j] = Enumerable.Range(0, 9).Sum(i => hidden[i] * w2[i * 4 + j]);
            double total = z.Sum(Math.Exp);
            for (int j = 0; j < 4; j++)
            {
                Assert.Equal(z[j], logits[row * 4 + j], 1e-5);
                Assert.Equal(Math.Exp(z[j]) / total, probabilities[row * 4 + j], 1e-5);
            }
            Assert.Equal(Array.IndexOf(z, z.Max()), classes[row]);
            Assert.Equal(classes[row], predictor.Classify(x.AsSpan(row * 5, 5)));
        }
    }

    [SkippableTheory, Targets]
    public void A_regression_predicts_the_outputs_themselves(string target)
    {
        using var network = new Network(Targets.Open(target), 5, new Dense(4));
        using Predictor predictor = network.CreatePredictor();
        var plain = new float[8];
        var logits = new float[8];
        predictor.Predict(Samples.Uniform(10, 1), plain);
        predictor.PredictLogits(Samples.Uniform(10, 1), logits);
        Assert.Equal(logits, plain);
    }

    [SkippableTheory, Targets]
    public void A_snapshot_outlives_training_and_the_network(string target)
    {
        var network = new Network(Targets.Open(target), 6, new Dense(12, Activation.ReLU), new Dense(3));
        using Predictor predictor = network.CreatePredictor();
        float[] x = Samples.Uniform(60, 1);
        var before = new float[30];
        var after = new float[30];
        predictor.PredictLogits(x, before);
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.1f)))
            trainer.Fit(Samples.Blobs(60, 6, 3, 1), 3, 20);
        network.Dispose();
        predictor.PredictLogits(x, after);
        Assert.Equal(Samples.Bits(before), Samples.Bits(after));
    }

    [SkippableTheory, Targets]
    public async Task Eight_threads_get_the_same_answers_while_the_network_trains(string target)
    {
        using var network = new Network(Targets.Open(target), 16, new Dense(64, Activation.ReLU), new Dense(32, Activation.Tanh), new Dense(5));
        network.Task = NetworkTask.Classification;
        using Predictor predictor = network.CreatePredictor(batchSize: 32);
        float[] x = Samples.Uniform(100 * 16, 1);
        var expected = new float[100 * 5];
        predictor.Predict(x, expected);
        var single = new float[5];
        predictor.Predict(x.AsSpan(0, 16), single);
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        using var stop = new CancellationTokenSource();
        var training = Task.Run(() =>
        {
            Dataset data = Samples.Blobs(200, 16, 5, 1);
            while (!stop.IsCancellationRequested)
                trainer.Fit(data, 1, 32);
        });
        try
        {
            var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
            var threads = new Thread[8];
            for (int t = 0; t < threads.Length; t++)
            {
                threads[t] = new Thread(() =>
                {
                    var y = new float[100 * 5];
                    for (int i = 0; i < 100; i++)
                    {
                        predictor.Predict(x, y);
                        if (!y.AsSpan().SequenceEqual(expected))
                            failures.Enqueue("batch");
                        predictor.Predict(x.AsSpan(0, 16), y.AsSpan(0, 5));
                        if (!y.AsSpan(0, 5).SequenceEqual(single))
                            failures.Enqueue("row");
                    }
                });
                threads[t].Start();
            }
            foreach (Thread thread in threads)
                thread.Join();
            Assert.Empty(failures);
        }
        finally
        {
            stop.Cancel();
            await training;
        }
    }

    [SkippableTheory, Targets]
    public async Task Predictors_can_be_made_while_the_network_trains(string target)
    {
        using var network = new Network(Targets.Open(target), 6, new Dense(12, Activation.ReLU), new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        using var stop = new CancellationTokenSource();
        var training = Task.Run(() =>
        {
            Dataset data = Samples.Blobs(200, 6, 3, 1);
            while (!stop.IsCancellationRequested)
                trainer.Fit(data, 1, 8);
        });
        var y = new float[3];
        for (int i = 0; i < 50; i++)
        {
            using Predictor predictor = network.CreatePredictor();
            predictor.Predict(Samples.Uniform(6, 1), y);
            Assert.Equal(1f, y.Sum(), 1e-5f);
        }
        stop.Cancel();
        await training;
    }
}
