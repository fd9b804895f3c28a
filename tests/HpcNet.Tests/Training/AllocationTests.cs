// AllocationTests.cs: after the first calls, a training step and a prediction allocate nothing on the managed heap.

namespace HpcNet.Tests;

public sealed class AllocationTests
{
    [SkippableTheory, Targets]
    public void A_step_allocates_nothing(string target)
    {
        using var network = new Network(Targets.Open(target), 8, new Dense(16, Activation.ReLU), new Dropout(0.1f), new Dense(3));
        network.Preprocessing = Standardizer.Fit(Samples.Blobs(20, 8, 3, 1));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f).ClipByNorm(1f))
        {
            Schedule = Schedule.CosineDecay(1000),
        };
        float[] x = Samples.Uniform(32 * 8, 1);
        int[] labels = Samples.Labels(32, 3, 1);
        Assert.Equal(0, AllocatedBy(100, () => trainer.Step(x, labels)));
        Assert.Equal(0, AllocatedBy(100, () => trainer.Enqueue(x, labels)));
        Assert.Equal(0, AllocatedBy(100, () => trainer.FetchLoss()));
        using var everything = new Trainer(
            network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f).ElasticNet(1e-4f, 1e-4f).ClipByValue(1f).MaxNorm(3f).LearningRateDropout(0.2f))
        {
            Schedule = Schedule.LinearWarmup(20).Then(20, Schedule.OneCycle(1000, momentum: (0.85f, 0.95f))),
        };
        Assert.Equal(0, AllocatedBy(100, () => everything.Step(x, labels)));
        using var regression = new Trainer(network, Loss.MeanSquaredError, new Sgd(1e-3f));
        float[] targets = Samples.Uniform(32 * 3, 1);
        Assert.Equal(0, AllocatedBy(100, () => regression.Step(x, targets)));
        using var hardened = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f)) { AdversarialTraining = new AdversarialTraining(0.1f) };
        Assert.Equal(0, AllocatedBy(100, () => hardened.Step(x, labels)));
        using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
        var adversarial = new float[x.Length];
        Assert.Equal(0, AllocatedBy(100, () => gradient.FastGradientSign(x, labels, 0.1f, adversarial)));
        Assert.Equal(0, AllocatedBy(100, () => gradient.OfOutput(x, 1, adversarial)));
    }

    [SkippableTheory, Targets]
    public void Steps_of_a_fit_allocate_nothing(string target)
    {
        Dataset data = Samples.Blobs(512, 8, 3, 1);
        var progress = new Counting();
        using var network = new Network(Targets.Open(target), 8, new Dense(16, Activation.ReLU), new Dense(3));
        using var many = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f));
        using var few = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-3f));
        long ofMany = AllocatedBy(1, () => many.Fit(data, 3, batchSize: 2, data, progress));
        long ofFew = AllocatedBy(1, () => few.Fit(data, 3, batchSize: 512, data, progress));
        Assert.Equal(ofFew, ofMany);
        Assert.True(progress.Reports > 0);
    }

    [SkippableTheory, Targets]
    public void Predictions_allocate_nothing(string target)
    {
        using var network = new Network(Targets.Open(target), 8, new Dense(16, Activation.ReLU), new Dense(3));
        network.Task = NetworkTask.Classification;
        using Predictor predictor = network.CreatePredictor(batchSize: 16);
        float[] x = Samples.Uniform(40 * 8, 1);
        var y = new float[40 * 3];
        var classes = new int[40];
        Assert.Equal(0, AllocatedBy(100, () => predictor.Predict(x, y)));
        Assert.Equal(0, AllocatedBy(100, () => predictor.Predict(x.AsSpan(0, 8), y.AsSpan(0, 3))));
        Assert.Equal(0, AllocatedBy(100, () => predictor.Classify(x.AsSpan(0, 8))));
        Assert.Equal(0, AllocatedBy(100, () => predictor.Classify(x, classes)));
    }

    private static long AllocatedBy(int times, Action action)
    {
        for (int i = 0; i < 3; i++)
            action();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < times; i++)
            action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private sealed class Counting : IProgress<TrainingProgress>
    {
        public int Reports { get; private set; }

        public void Report(TrainingProgress value) => Reports++;
    }
}
