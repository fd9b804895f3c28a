// MetricsTests.cs: the figures against values worked out by hand.

namespace HpcNet.Tests;

public sealed class MetricsTests
{
    private static readonly int[] Actual = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2];
    private static readonly int[] Predicted = [0, 0, 0, 1, 1, 1, 2, 2, 0, 2];

    [Fact]
    public void Counts_of_classes()
    {
        // Rows of (3, 1, 0), (0, 2, 1), (1, 0, 2).
        ConfusionMatrix matrix = Metrics.Confusion(Predicted, Actual, 3);
        Assert.Equal(0.7, Metrics.Accuracy(Predicted, Actual), 12);
        Assert.Equal([0.75, 2 / 3.0, 2 / 3.0], Enumerable.Range(0, 3).Select(c => Math.Round(matrix.Precision(c), 12)), Near);
        Assert.Equal([0.75, 2 / 3.0, 2 / 3.0], Enumerable.Range(0, 3).Select(matrix.Recall), Near);
        Assert.Equal([0.75, 2 / 3.0, 2 / 3.0], Enumerable.Range(0, 3).Select(matrix.F1), Near);
        Assert.Equal(25 / 36.0, matrix.F1(Averaging.Macro), 12);
        Assert.Equal(0.7, matrix.F1(Averaging.Micro), 12);
        Assert.Equal(0.7, matrix.Recall(Averaging.Weighted), 12);
        Assert.Equal((4 * 0.75 + 6 * 2 / 3.0) / 10, matrix.Precision(Averaging.Weighted), 12);
    }

    [Fact]
    public void Precision_and_recall_differ_where_they_should()
    {
        // Rows of (1, 2), (0, 1), and a third class that nobody has or gets.
        ConfusionMatrix matrix = Metrics.Confusion([0, 1, 1, 1], [0, 0, 0, 1], 3);
        Assert.Equal(1.0, matrix.Precision(0));
        Assert.Equal(1 / 3.0, matrix.Recall(0), 12);
        Assert.Equal(0.5, matrix.F1(0), 12);
        Assert.Equal(1 / 3.0, matrix.Precision(1), 12);
        Assert.Equal(1.0, matrix.Recall(1));
        Assert.True(double.IsNaN(matrix.F1(2)) && double.IsNaN(matrix.Precision(2)) && double.IsNaN(matrix.Recall(2)));
        Assert.Equal((1 + 1 / 3.0) / 3, matrix.Precision(Averaging.Macro), 12);
        Assert.Equal((3 * 0.5 + 0.5) / 4, matrix.F1(Averaging.Weighted), 12);
        Assert.Equal(0.5, matrix.Precision(Averaging.Micro), 12);
    }

    [Fact]
    public void Top_k_counts_the_first_of_equal_scores_as_larger()
    {
        float[] scores = [0.1f, 0.5f, 0.4f, 0.3f, 0.3f, 0.3f, 0.9f, 0.1f, 0.0f, float.NaN, 1f, 2f];
        int[] labels = [2, 1, 2, 0];
        Assert.Equal(0.0, Metrics.TopKAccuracy(scores, labels, 1));
        Assert.Equal(0.5, Metrics.TopKAccuracy(scores, labels, 2));
        Assert.Equal(0.75, Metrics.TopKAccuracy(scores, labels, 3));
        Assert.Equal(1.0, Metrics.TopKAccuracy([0.3f, 0.3f], [0], 1));
    }

    [Theory]
    [InlineData(new[] { 0.1f, 0.4f, 0.35f, 0.8f }, new[] { 0, 0, 1, 1 }, 0.75)]
    [InlineData(new[] { 1f, 2f, 3f, 4f }, new[] { 0, 0, 1, 1 }, 1.0)]
    [InlineData(new[] { 4f, 3f, 2f, 1f }, new[] { 0, 0, 1, 1 }, 0.0)]
    [InlineData(new[] { 1f, 1f, 1f, 1f, 1f }, new[] { 0, 1, 1, 0, 1 }, 0.5)]
    // Pairs: 2 above 1 and the tie of 2; 3 above all three.
    [InlineData(new[] { 1f, 2f, 2f, 3f, 0f }, new[] { 0, 0, 1, 1, 0 }, 5.5 / 6)]
    [InlineData(new[] { 1f, 2f }, new[] { 1, 1 }, double.NaN)]
    [InlineData(new[] { float.NegativeInfinity, float.PositiveInfinity }, new[] { 0, 1 }, 1.0)]
    public void Area_under_the_curve(float[] scores, int[] labels, double expected) =>
        Assert.Equal(expected, Metrics.RocAuc(scores, labels), 12);

    [Fact]
    public void Regressions()
    {
        float[] targets = [3f, -0.5f, 2f, 7f], predictions = [2.5f, 0f, 2f, 8f];
        Assert.Equal(0.5, Metrics.MeanAbsoluteError(predictions, targets), 12);
        Assert.Equal(Math.Sqrt(0.375), Metrics.RootMeanSquaredError(predictions, targets), 12);
        // 1 - 1.5 / 29.1875
        Assert.Equal(0.948608137044968, Metrics.RSquared(predictions, targets), 12);
        // Columns (1, 2, 3) against their mean, and perfect ones: 0 and 1.
        Assert.Equal(0.5, Metrics.RSquared([2f, 5f, 2f, 6f, 2f, 7f], [1f, 5f, 2f, 6f, 3f, 7f], 2), 12);
        Assert.Equal(1.0, Metrics.RSquared([4f, 4f], [4f, 4f]));
        Assert.Equal(0.0, Metrics.RSquared([4f, 5f], [4f, 4f]));
        // Sums that single precision would lose.
        Assert.Equal(1.0, Metrics.MeanAbsoluteError([1e8f, 1f], [1e8f + 8f - 8f, 3f]), 12);
    }

    [Fact]
    public void Perplexities()
    {
        Assert.Equal(10.0, Metrics.Perplexity(Math.Log(10)), 12);
        Assert.Equal(4.0, Metrics.Perplexity([0.25f, 0.25f, 0.25f, 0.25f], [2]), 12);
        Assert.Equal(Math.Sqrt(8), Metrics.Perplexity([0.5f, 0.5f, 0.25f, 0.75f], [0, 0]), 12);
        Assert.Equal(double.PositiveInfinity, Metrics.Perplexity([0f, 1f], [0]));
    }

    [SkippableTheory, Targets]
    public void An_evaluation_tells_what_its_task_has(string target)
    {
        using var network = new Network(Targets.Open(target), 2, new Dense(2));
        network.SetParameter("dense1.weight", [1f, 0f, 0f, 1f]);
        network.SetParameter("dense1.bias", [0f, 0f]);
        float[] x = [1f, 2f, -1f, 0.5f, 3f, -2f], t = [1f, 1f, 0f, 0f, 2f, 1f];

        Evaluation regression = network.Evaluate(Dataset.FromArrays(x, 2, t, 2), Loss.MeanSquaredError);
        Assert.Equal(Metrics.MeanAbsoluteError(x, t), regression.MeanAbsoluteError, 12);
        Assert.Equal(Metrics.RootMeanSquaredError(x, t), regression.RootMeanSquaredError, 12);
        Assert.Equal(Metrics.RSquared(x, t, 2), regression.RSquared, 12);
        Assert.Equal(regression.RootMeanSquaredError * regression.RootMeanSquaredError, regression.Loss, 6);
        Assert.True(double.IsNaN(regression.Accuracy));
        Assert.Null(regression.Confusion);

        // Signs of the outputs against targets of 0 and 1: right, right, right, wrong, right, wrong.
        Evaluation multi = network.Evaluate(Dataset.FromArrays(x, 2, new[] { 1f, 1f, 0f, 0f, 1f, 1f }, 2), Loss.SigmoidCrossEntropy);
        Assert.Equal(4 / 6.0, multi.Accuracy, 12);
        Assert.True(double.IsNaN(multi.RSquared));

        Evaluation classes = network.Evaluate(Dataset.FromArrays(x, 2, new[] { 1, 1, 1 }, 2), Loss.SoftmaxCrossEntropy);
        Assert.Equal(2 / 3.0, classes.Accuracy, 12);
        Assert.Equal(Math.Exp(classes.Loss), classes.Perplexity, 12);
        Assert.Equal(1, classes.Confusion![1, 0]);
    }

    private static bool Near(double a, double b) => Math.Abs(a - b) < 1e-11;
}
