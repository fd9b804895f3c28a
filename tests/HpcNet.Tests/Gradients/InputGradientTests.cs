// InputGradientTests.cs: gradients with respect to the input against differences of the network's own answers, and the fast gradient
// sign method from the outside and inside a training step.

namespace HpcNet.Tests;

public sealed class InputGradientTests
{
    [SkippableTheory, Targets]
    public void A_loss_has_the_gradient_that_differences_have(string target)
    {
        using Network network = Net(target);
        network.Preprocessing = new Standardizer([0.1, -0.2, 0, 0.5, 1], [2, 0.5, 1, 3, 0.25]);
        float[] x = Samples.Uniform(4 * 5, 3);
        int[] labels = Samples.Labels(4, 3, 5);
        using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
        var found = new float[x.Length];
        float loss = gradient.OfLoss(x, labels, found);
        Assert.Equal(network.Evaluate(Dataset.FromArrays(x, 5, labels, 3), Loss.SoftmaxCrossEntropy).Loss, loss, 1e-5);
        for (int i = 0; i < x.Length; i++)
            Assert.Equal(Difference(x, i, () => network.Evaluate(Dataset.FromArrays(x, 5, labels, 3), Loss.SoftmaxCrossEntropy).Loss), found[i], 3e-3);

        float[] targets = Samples.Uniform(4 * 3, 6);
        using InputGradient ofError = network.CreateInputGradient(Loss.MeanSquaredError with { Reduction = Reduction.Sum });
        loss = ofError.OfLoss(x, targets, found);
        Loss sum = Loss.MeanSquaredError with { Reduction = Reduction.Sum };
        Assert.Equal(network.Evaluate(Dataset.FromArrays(x, 5, targets, 3), sum).Loss, loss, 1e-4);
        for (int i = 0; i < x.Length; i++)
            Assert.Equal(Difference(x, i, () => network.Evaluate(Dataset.FromArrays(x, 5, targets, 3), sum).Loss), found[i], 1e-2);
    }

    [SkippableTheory, Targets]
    public void An_output_has_its_gradient_and_parameters_are_those_of_the_moment(string target)
    {
        using Network network = Net(target);
        using InputGradient gradient = network.CreateInputGradient();
        var found = new float[3 * 5];
        for (int round = 0; round < 2; round++)
        {
            // More rows than before: room grows.
            float[] x = Samples.Uniform((1 + 2 * round) * 5, 3);
            gradient.OfOutput(x, 1, found.AsSpan(0, x.Length));
            using Predictor predictor = network.CreatePredictor();
            var y = new float[x.Length / 5 * 3];
            for (int i = 0; i < x.Length; i++)
            {
                double difference = Difference(x, i, () =>
                {
                    predictor.PredictLogits(x, y);
                    return y[i / 5 * 3 + 1];
                });
                Assert.Equal(difference, found[i], 3e-3);
            }
            network.SetParameter("dense1.bias", Samples.Uniform(7, 99));
        }
    }

    [SkippableTheory, Targets]
    public void Settings_of_the_loss_and_state_of_the_layers_count(string target)
    {
        // Normalization uses its running statistics here, and a sequence is walked back to its first step.
        using var network = new Network(
            Targets.Open(target), new Shape(4, 2), seed: 2, new Lstm(5, wholeSequence: true), new Flatten(), new BatchNorm(), new Dense(3));
        float[] x = Samples.Uniform(6 * 8, 3);
        int[] labels = [0, -7, 2, 1, 0, 2];
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f)))
        {
            for (int step = 0; step < 5; step++)
                trainer.Step(Samples.Uniform(6 * 8, (ulong)(10 + step)), Samples.Labels(6, 3, 5));
        }
        float[] state = Samples.State(network);
        foreach (Reduction reduction in Enum.GetValues<Reduction>())
        {
            Loss loss = Loss.SoftmaxCrossEntropy with { ClassWeights = [1, 0.5f, 3], LabelSmoothing = 0.1f, IgnoredLabel = -7, Reduction = reduction };
            using InputGradient gradient = network.CreateInputGradient(loss);
            var found = new float[x.Length];
            float value = gradient.OfLoss(x, labels, found);
            var scratch = new float[x.Length];
            for (int i = 0; i < x.Length; i++)
                Assert.Equal(Difference(x, i, () => gradient.OfLoss(x, labels, scratch)), found[i], 4e-3);
            Assert.All(found[8..16], v => Assert.Equal(0f, v));
            int[] counted = [0, 2, 3, 4, 5];
            Dataset others = Dataset.FromArrays([.. counted.SelectMany(row => x[(8 * row)..(8 * row + 8)])], 8, [.. counted.Select(row => labels[row])], 3);
            // A mean per row of the batch counts the ignored row, too.
            double share = reduction == Reduction.BatchMean ? 5 / 6.0 : 1;
            Assert.Equal(network.Evaluate(others, loss).Loss * share, value, 1e-4);
        }
        Assert.Equal(state, Samples.State(network));
    }

    [SkippableTheory, Targets]
    public void The_fast_gradient_sign_raises_the_loss_within_epsilon(string target)
    {
        Dataset data = Samples.Blobs(50, 5, 3, 4);
        using Network network = Net(target);
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.02f)))
            trainer.Fit(data, 20, 10);
        using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
        Dataset adversarial = gradient.FastGradientSign(data, 0.2f, low: -1f, high: 1f);
        Assert.True(network.Evaluate(adversarial).Loss > 1.5 * network.Evaluate(data).Loss);
        for (int i = 0; i < data.Features.Length; i++)
        {
            float expected = Math.Clamp(data.Features[i], -1.2f, 1.2f);
            Assert.True(adversarial.Features[i] is >= -1f and <= 1f);
            Assert.True(Math.Abs(adversarial.Features[i] - expected) <= 0.2001f || Math.Abs(data.Features[i]) > 1f);
        }
        var rows = new float[data.Features.Length];
        gradient.FastGradientSign(data.Features, data.Labels, 0.2f, rows, -1f, 1f);
        Assert.Equal(rows, adversarial.Features.ToArray());
        Assert.Equal(data.Labels.ToArray(), adversarial.Labels.ToArray());
    }

    [SkippableTheory, Targets]
    public void A_training_step_on_adversarial_examples_is_a_step_on_them(string target)
    {
        float[] x = Samples.Uniform(10 * 5, 3);
        int[] labels = Samples.Labels(10, 3, 5);
        foreach (float share in new[] { 1f, 0.3f })
        {
            using Network inside = Normalizing(target), outside = Normalizing(target);
            using var hardened = new Trainer(inside, Loss.SoftmaxCrossEntropy, new Sgd(0.5f))
            {
                AdversarialTraining = new AdversarialTraining(0.1f, share, low: -0.9f, high: 0.9f),
            };
            using var ordinary = new Trainer(outside, Loss.SoftmaxCrossEntropy, new Sgd(0.5f));
            using InputGradient gradient = outside.CreateInputGradient(Loss.SoftmaxCrossEntropy);
            for (int step = 0; step < 3; step++)
            {
                var moved = new float[x.Length];
                gradient.FastGradientSign(x, labels, 0.1f, moved, -0.9f, 0.9f);
                int rows = (int)Math.Round(share * 10);
                x.AsSpan(rows * 5).CopyTo(moved.AsSpan(rows * 5));
                Assert.Equal(ordinary.Step(moved, labels), hardened.Step(x, labels), 1e-5);
            }
            Samples.Close(Samples.Parameters(outside), Samples.Parameters(inside), 1e-3);
            // The attack looks at running statistics and leaves them alone: they moved once a step.
            Samples.Close(Samples.State(outside), Samples.State(inside), 1e-5);
        }
    }

    [SkippableTheory, Targets]
    public void A_loss_that_breaks_under_attack_is_told_as_ever(string target)
    {
        Dataset data = Samples.Blobs(60, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(5, Activation.ReLU) { Name = "first" }, new Dense(3) { Name = "second" });
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f))
        {
            AdversarialTraining = new AdversarialTraining(0.1f),
            Schedule = Schedule.Custom(step => step < 14 ? 1f : 1e30f),
        };
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(data, 10, 10); });
        Assert.InRange(exception.Step, 15, 20);
        Assert.NotNull(exception.Layer);
        Assert.Equal(exception.Step - 1, trainer.Steps);
        Assert.All(Samples.Parameters(network), p => Assert.True(float.IsFinite(p)));
    }

    [SkippableTheory, Targets]
    public void Adversarial_training_hardens(string target)
    {
        Dataset data = Samples.Blobs(300, 8, 3, 4);
        double[] accuracy = new double[2];
        for (int i = 0; i < 2; i++)
        {
            using var network = new Network(Targets.Open(target), 8, seed: 1, new Dense(32, Activation.ReLU), new Dropout(0.1f), new Dense(3));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f))
            {
                AdversarialTraining = i == 0 ? null : new AdversarialTraining(0.3f),
            };
            trainer.Fit(data, 15, 30);
            using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
            accuracy[i] = network.Evaluate(gradient.FastGradientSign(data, 0.3f)).Accuracy;
        }
        Assert.True(accuracy[1] >= accuracy[0], $"ordinary {accuracy[0]}, hardened {accuracy[1]}");
    }

    [SkippableTheory]
    [MemberData(nameof(GraphTests.Names), MemberType = typeof(GraphTests))]
    public void Graphs_have_the_gradients_that_differences_have(string target, string name)
    {
        using Network network = GraphTests.Make(target, name);
        Loss loss = Loss.PerOutput((Loss.MeanSquaredError, 2, 0.5f), (Loss.Huber, 1, 3f));
        float[] x = Samples.Uniform(4 * 6, 21);
        Dataset Data() => Dataset.FromArrays(x, 6, Samples.Uniform(4 * 3, 22), 3);
        using InputGradient gradient = network.CreateInputGradient(loss);
        var found = new float[x.Length];
        Assert.Equal(network.Evaluate(Data(), loss).Loss, gradient.OfLoss(x, Data().Targets, found), 1e-5);
        for (int i = 0; i < x.Length; i++)
            Assert.Equal(Difference(x, i, () => network.Evaluate(Data(), loss).Loss), found[i], 3e-3);

        using Predictor predictor = network.CreatePredictor();
        var y = new float[4 * 3];
        for (int output = 0; output < 3; output++)
        {
            gradient.OfOutput(x, output, found);
            for (int i = 0; i < x.Length; i++)
            {
                double difference = Difference(x, i, () =>
                {
                    predictor.PredictLogits(x, y);
                    return y[i / 6 * 3 + output];
                });
                Assert.Equal(difference, found[i], 3e-3);
            }
        }
    }

    [SkippableTheory]
    [MemberData(nameof(GraphTests.Names), MemberType = typeof(GraphTests))]
    public void Adversarial_steps_of_graphs_are_steps_on_adversarial_examples(string target, string name)
    {
        using Network inside = GraphTests.Make(target, name), outside = GraphTests.Make(target, name);
        Loss loss = Loss.PerOutput((Loss.SoftmaxCrossEntropy, 2, 1f), (Loss.MeanSquaredError, 1, 2f));
        float[] x = Samples.Uniform(10 * 6, 3), targets = Samples.Uniform(10 * 3, 4);
        using var hardened = new Trainer(inside, loss, new Sgd(0.1f)) { AdversarialTraining = new AdversarialTraining(0.1f, 0.5f, -0.9f, 0.9f) };
        using var ordinary = new Trainer(outside, loss, new Sgd(0.1f));
        using InputGradient gradient = outside.CreateInputGradient(loss);
        for (int step = 0; step < 3; step++)
        {
            var moved = new float[x.Length];
            gradient.OfLoss(x, targets, moved);
            for (int i = 0; i < x.Length; i++)
                moved[i] = i < 5 * 6 ? Math.Clamp(x[i] + 0.1f * Math.Sign(moved[i]), -0.9f, 0.9f) : x[i];
            Assert.Equal(ordinary.Step(moved, targets), hardened.Step(x, targets), 1e-5);
        }
        Samples.Close(Samples.Parameters(outside), Samples.Parameters(inside), 1e-3);
    }

    [SkippableTheory, Targets]
    public void Indices_beside_numbers_have_no_gradient_and_stay(string target)
    {
        using Network network = GraphTests.WordsBesideNumbers(target);
        float[] x = [0.5f, 4, 0, -0.25f, 1, 1, 0.75f, 0, 3, -1f, 2, 2];
        int[] labels = [0, 1, 1, 0];
        using InputGradient gradient = network.CreateInputGradient(Loss.SoftmaxCrossEntropy);
        var found = new float[x.Length];
        gradient.OfLoss(x, labels, found);
        for (int i = 0; i < x.Length; i++)
        {
            double expected = i % 3 != 0 ? 0
                : Difference(x, i, () => network.Evaluate(Dataset.FromArrays(x, 3, labels, 2), Loss.SoftmaxCrossEntropy).Loss);
            Assert.NotEqual(i % 3 == 0, found[i] == 0f);
            Assert.Equal(expected, found[i], 3e-3);
        }

        // The range is one of ages; words are outside of it.
        float[] moved = new float[x.Length], expectedRows = new float[x.Length];
        gradient.FastGradientSign(x, labels, 0.25f, moved, 0f, 0.7f);
        for (int i = 0; i < x.Length; i++)
            expectedRows[i] = i % 3 != 0 ? x[i] : Math.Clamp(x[i] + 0.25f * Math.Sign(found[i]), 0f, 0.7f);
        Assert.Equal(expectedRows, moved);
        Dataset data = gradient.FastGradientSign(Dataset.FromArrays(x, 3, labels, 2), 0.25f, 0f, 0.7f);
        Assert.Equal(expectedRows, data.Features.ToArray());

        using Network twin = GraphTests.WordsBesideNumbers(target);
        using var hardened = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.5f)) { AdversarialTraining = new AdversarialTraining(0.25f, 1f, 0f, 0.7f) };
        using var ordinary = new Trainer(twin, Loss.SoftmaxCrossEntropy, new Sgd(0.5f));
        Assert.Equal(ordinary.Step(moved, labels), hardened.Step(x, labels), 1e-5);
        Samples.Close(Samples.Parameters(twin), Samples.Parameters(network), 1e-3);

        x[7] = 5;
        string message = Assert.Throws<ArgumentOutOfRangeException>(() => { gradient.OfLoss(x, labels, found); }).Message;
        Assert.Contains("x[7] is 5; Embedding 'embedding1' expects whole numbers from 0 to 4", message);
    }

    private static Network Net(string target) =>
        new(Targets.Open(target), 5, seed: 2, new Dense(7, Activation.Tanh), new Dropout(0.5f), new Dense(6, Activation.Sigmoid), new Dense(3));

    private static Network Normalizing(string target) => new(
        Targets.Open(target), 5, seed: 2, new Dense(7, Activation.Tanh), new BatchNorm(), new Dense(6, Activation.Sigmoid), new Dense(3));

    private static double Difference(float[] x, int i, Func<double> f)
    {
        float middle = x[i];
        x[i] = middle + 0.01f;
        double above = f();
        x[i] = middle - 0.01f;
        double below = f();
        x[i] = middle;
        return (above - below) / 0.02;
    }
}
