// LbfgsTests.cs: the quasi-Newton method on functions with known minima, and on small networks.

namespace HpcNet.Tests;

public sealed class LbfgsTests
{
    [Fact]
    public void Rosenbrocks_valley_is_followed_to_its_end()
    {
        double[] x = [-1.2, 1.0, -1.2, 1.0];
        LbfgsResult result = new Lbfgs().Minimize(
            (x, gradient) =>
            {
                double value = 0;
                for (int i = 0; i < x.Length; i += 2)
                {
                    double a = 1 - x[i], b = x[i + 1] - x[i] * x[i];
                    value += a * a + 100 * b * b;
                    gradient[i] = -2 * a - 400 * b * x[i];
                    gradient[i + 1] = 200 * b;
                }
                return value;
            },
            x);
        Assert.All(x, v => Assert.Equal(1.0, v, 1e-6));
        Assert.InRange(result.Iterations, 5, 60);
        Assert.Equal(LbfgsEnd.Gradient, result.End);
    }

    [Fact]
    public void A_quadratic_takes_about_as_many_steps_as_it_has_curvatures()
    {
        var x = new double[50];
        Array.Fill(x, 3.0);
        LbfgsResult result = new Lbfgs(history: 20).Minimize(
            (x, gradient) =>
            {
                double value = 0;
                for (int i = 0; i < x.Length; i++)
                {
                    double curvature = 1 + i % 5, d = x[i] - i;
                    value += 0.5 * curvature * d * d;
                    gradient[i] = curvature * d;
                }
                return value;
            },
            x);
        Assert.All(Enumerable.Range(0, 50), i => Assert.Equal(i, x[i], 1e-6));
        Assert.InRange(result.Iterations, 3, 20);
    }

    [Fact]
    public void Where_there_is_no_value_the_step_is_shortened()
    {
        // x - ln x has no value below 0; its minimum is at 1.
        double[] x = [20.0];
        new Lbfgs().Minimize(
            (x, gradient) =>
            {
                gradient[0] = 1 - 1 / x[0];
                return x[0] - Math.Log(x[0]);
            },
            x);
        Assert.Equal(1.0, x[0], 1e-6);
        Assert.Throws<ArgumentException>(() => new Lbfgs().Minimize((_, _) => double.NaN, new double[1]));
    }

    [SkippableTheory, Targets]
    public void A_linear_regression_is_solved(string target)
    {
        float[] x = Samples.Uniform(60 * 3, 1);
        var y = new float[60];
        for (int i = 0; i < 60; i++)
            y[i] = 2 * x[3 * i] - 3 * x[3 * i + 1] + 0.5f * x[3 * i + 2] + 1;
        using var network = new Network(Targets.Open(target), 3, new Dense(1));
        LbfgsResult result = new Lbfgs().Fit(network, Loss.MeanSquaredError, Dataset.FromArrays(x, 3, y, 1));
        Samples.Close([2, -3, 0.5f], Samples.Parameter(network, "dense1.weight"), 1e-4);
        Samples.Close([1], Samples.Parameter(network, "dense1.bias"), 1e-4);
        Assert.InRange(result.Iterations, 2, 40);
    }

    [SkippableTheory, Targets]
    public void A_small_network_learns_xor_and_frozen_layers_stay(string target)
    {
        using var network = new Network(Targets.Open(target), 2, seed: 1, new Dense(8, Activation.Tanh), new Dense(2));
        LbfgsResult result = new Lbfgs().Fit(network, Loss.SoftmaxCrossEntropy, Samples.Xor());
        Assert.True(result.Value < 1e-3, $"loss {result.Value}");
        Assert.Equal(1.0, network.Evaluate(Samples.Xor(), Loss.SoftmaxCrossEntropy).Accuracy);
        using var other = new Network(Targets.Open(target), 2, seed: 2, new Dense(8, Activation.Tanh) { Frozen = true }, new Dense(2));
        int[] before = Samples.Bits(Samples.Parameter(other, "dense1.weight"));
        new Lbfgs(maxIterations: 5).Fit(other, Loss.SoftmaxCrossEntropy, Samples.Xor());
        Assert.Equal(before, Samples.Bits(Samples.Parameter(other, "dense1.weight")));
    }
}
