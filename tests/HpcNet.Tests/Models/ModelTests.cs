// ModelTests.cs: the models of a first course, each in a few lines, each against what is known of its solution.

namespace HpcNet.Tests;

public sealed class ModelTests
{
    [Fact]
    public void A_perceptron_learns_what_a_line_separates()
    {
        Dataset and = Dataset.FromArrays([0, 0, 0, 1, 1, 0, 1, 1], 2, new[] { 0, 0, 0, 1 }, 2);
        var unit = new Perceptron(2);
        IReadOnlyList<int> mistakes = unit.Fit(and, epochs: 100);
        Assert.Equal(0, mistakes[^1]);
        for (int row = 0; row < 4; row++)
            Assert.Equal(and.Labels[row], unit.Classify(and.Row(row)));
        // By hand, with rate 1 from zero: the rule ends at w = (2, 1), b = -2 after five epochs with mistakes.
        Assert.Equal([2.0, 1.0], unit.Weights.ToArray());
        Assert.Equal(-2, unit.Bias);
        Assert.Equal([1, 3, 3, 2, 1, 0], mistakes);
    }

    [Fact]
    public void A_perceptron_never_rests_on_xor()
    {
        IReadOnlyList<int> mistakes = new Perceptron(2).Fit(Samples.Xor(), epochs: 50);
        Assert.Equal(50, mistakes.Count);
        Assert.All(mistakes, m => Assert.True(m > 0));
    }

    [Fact]
    public void Polynomial_features_are_all_products_in_order()
    {
        var polynomial = new PolynomialFeatures(2, 3);
        Assert.Equal(["a", "b", "a^2", "a b", "b^2", "a^3", "a^2 b", "a b^2", "b^3"], polynomial.Names(["a", "b"]));
        var terms = new float[9];
        polynomial.Apply([2, 3], terms);
        Assert.Equal([2, 3, 4, 6, 9, 8, 12, 18, 27], terms);
        // The number of products of n features up to degree d is (n + d)! / (n! d!) - 1.
        foreach (var (inputs, degree, count) in new[] { (1, 1, 1), (1, 9, 9), (3, 2, 9), (5, 3, 55), (10, 4, 1000) })
        {
            var many = new PolynomialFeatures(inputs, degree);
            Assert.Equal(count, many.Outputs);
            Assert.Equal(count, many.Names().Distinct().Count());
        }
    }

    [SkippableTheory, Targets]
    public void Linear_regression(string target)
    {
        Dataset data = Line();
        using var network = new Network(Targets.Open(target), inputs: 1, new Dense(1));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.3f, 0.9f));
        trainer.Fit(data, epochs: 200, batchSize: data.Count);
        // The normal equations' solution.
        Assert.Equal(2, Samples.Parameter(network, "dense1.weight")[0], 1e-4);
        Assert.Equal(-1, Samples.Parameter(network, "dense1.bias")[0], 1e-4);
    }

    [SkippableTheory, Targets]
    public void Polynomial_regression(string target)
    {
        float[] x = [.. Enumerable.Range(-20, 41).Select(i => i / 20f)];
        Dataset data = new PolynomialFeatures(1, 3).Apply(Dataset.FromArrays(x, 1, x.Select(v => 5 * v * v * v + 2 * v * v - 3 * v).ToArray()));
        using var network = new Network(Targets.Open(target), inputs: 3, new Dense(1));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.3f, 0.95f));
        trainer.Fit(data, epochs: 600, batchSize: data.Count);
        Samples.Close([-3, 2, 5], Samples.Parameter(network, "dense1.weight"), 1e-3);
    }

    [SkippableTheory, Targets]
    public void Multiple_regression(string target)
    {
        // Two targets of three features.
        float[] x = Samples.Uniform(100 * 3, 1);
        float[] y = [.. Enumerable.Range(0, 100).SelectMany(i => (float[])
            [x[3 * i] - 2 * x[3 * i + 1] + 3 * x[3 * i + 2] + 1, 0.5f * x[3 * i + 1] - 4])];
        Dataset data = Dataset.FromArrays(x, 3, y, 2);
        using var network = new Network(Targets.Open(target), inputs: 3, new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.5f, 0.9f));
        trainer.Fit(data, epochs: 300, batchSize: 100);
        Samples.Close([1, 0, -2, 0.5f, 3, 0], Samples.Parameter(network, "dense1.weight"), 1e-3);
        Samples.Close([1, -4], Samples.Parameter(network, "dense1.bias"), 1e-3);
    }

    [SkippableTheory, Targets]
    public void Logistic_regression(string target)
    {
        // P(1) = sigmoid(2x - 1): two logits whose difference is that. Targets are the probabilities themselves.
        float[] x = [.. Enumerable.Range(-30, 61).Select(i => i / 15f)];
        float[] p = [.. x.SelectMany(v => (float[])[1 - 1 / (1 + MathF.Exp(1 - 2 * v)), 1 / (1 + MathF.Exp(1 - 2 * v))])];
        using var network = new Network(Targets.Open(target), inputs: 1, new Dense(2));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.5f, 0.9f));
        trainer.Fit(Dataset.FromArrays(x, 1, p, 2), epochs: 500, batchSize: x.Length);
        float[] w = Samples.Parameter(network, "dense1.weight"), b = Samples.Parameter(network, "dense1.bias");
        Assert.Equal(2, w[1] - w[0], 1e-2);
        Assert.Equal(-1, b[1] - b[0], 1e-2);
    }

    [SkippableTheory, Targets]
    public void Softmax_regression(string target)
    {
        var (train, test) = Dataset.Digits().Split(0.8, seed: 1);
        using var network = new Network(Targets.Open(target), inputs: 64, new Dense(10));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        trainer.Fit(train, epochs: 30, batchSize: 32);
        Assert.True(network.Evaluate(test).Accuracy > 0.94, $"{network.Evaluate(test).Accuracy}");
    }

    [SkippableTheory, Targets]
    public void Multi_label_classification(string target)
    {
        // Three labels, each a question of its own, several of which may be true: a sigmoid for each.
        float[] x = Samples.Uniform(400 * 2, 3);
        float[] y = [.. Enumerable.Range(0, 400).SelectMany(i => (float[])
            [x[2 * i] > 0 ? 1 : 0, x[2 * i + 1] > 0 ? 1 : 0, x[2 * i] + x[2 * i + 1] > 0.5f ? 1 : 0])];
        using var network = new Network(Targets.Open(target), inputs: 2, new Dense(3, Activation.Sigmoid));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(0.05f));
        trainer.Fit(Dataset.FromArrays(x, 2, y, 3), epochs: 60, batchSize: 20);
        using Predictor predictor = network.CreatePredictor();
        var answers = new float[y.Length];
        predictor.Predict(x, answers);
        double right = answers.Zip(y).Count(p => p.First > 0.5f == p.Second > 0.5f) / (double)y.Length;
        Assert.True(right > 0.97, $"{right}");
    }

    private static Dataset Line()
    {
        float[] x = Samples.Uniform(50, 1);
        return Dataset.FromArrays(x, 1, x.Select(v => 2 * v - 1).ToArray());
    }
}
