// Metrics.cs: how good answers are, beside the loss: plain functions over spans, in double precision. What comes from counts of
// classes (precision, recall, F1) is in ConfusionMatrix. To add one: a function here; where an Evaluation has what it needs, a property there.

namespace HpcNet;

/// <summary>Figures that tell how good predictions are. All sums are in double precision.</summary>
public static class Metrics
{
    /// <summary>Share of rows whose predicted class is the actual one, 0 to 1.</summary>
    /// <param name="predicted">[rows], at least one.</param>
    /// <param name="actual">[rows].</param>
    /// <exception cref="ArgumentException">There are no rows, or the lengths differ.</exception>
    public static double Accuracy(ReadOnlySpan<int> predicted, ReadOnlySpan<int> actual)
    {
        Pairs(predicted.Length, actual.Length, nameof(predicted), nameof(actual));
        long right = 0;
        for (int i = 0; i < actual.Length; i++)
            right += predicted[i] == actual[i] ? 1 : 0;
        return (double)right / actual.Length;
    }

    /// <summary>
    /// Share of rows whose class is among the <paramref name="k"/> with the largest scores, 0 to 1. Of equal scores the first counts as
    /// larger, so that with k = 1 this is the accuracy.
    /// </summary>
    /// <param name="scores">[rows × classes], row-major: logits or probabilities.</param>
    /// <param name="labels">[rows], at least one; each from 0 to classes − 1.</param>
    /// <param name="k">1 to classes.</param>
    /// <exception cref="ArgumentException">There are no rows, or the scores are no whole rows.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class, or k is outside its range.</exception>
    public static double TopKAccuracy(ReadOnlySpan<float> scores, ReadOnlySpan<int> labels, int k)
    {
        int classes = Classes(scores.Length, labels);
        if (k < 1 || k > classes)
            throw new ArgumentOutOfRangeException(nameof(k), k, $"k is {k}; expected 1 to {classes}, the number of classes.");
        long right = 0;
        for (int row = 0; row < labels.Length; row++)
        {
            ReadOnlySpan<float> of = scores.Slice(row * classes, classes);
            float own = of[labels[row]];
            int above = float.IsNaN(own) ? classes : 0;
            for (int i = 0; i < classes; i++)
                above += of[i] > own || (of[i] == own && i < labels[row]) ? 1 : 0;
            right += above < k ? 1 : 0;
        }
        return (double)right / labels.Length;
    }

    /// <summary>How often rows of each class were given each class; it has precision, recall and F1.</summary>
    /// <param name="predicted">[rows], each from 0 to <paramref name="classes"/> − 1.</param>
    /// <param name="actual">[rows], likewise; at least one.</param>
    /// <param name="classes">Number of classes, at least 1.</param>
    /// <exception cref="ArgumentException">There are no rows, or the lengths differ.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is no class, or there are no classes.</exception>
    public static ConfusionMatrix Confusion(ReadOnlySpan<int> predicted, ReadOnlySpan<int> actual, int classes)
    {
        Ensure.Positive(classes, nameof(classes));
        Pairs(predicted.Length, actual.Length, nameof(predicted), nameof(actual));
        Ensure.Labels(predicted, classes, nameof(predicted));
        Ensure.Labels(actual, classes, nameof(actual));
        var matrix = new ConfusionMatrix(classes, null);
        for (int i = 0; i < actual.Length; i++)
            matrix.Count(actual[i], predicted[i]);
        return matrix;
    }

    /// <summary>
    /// The area under the receiver operating characteristic: the probability that a positive row has a larger score than a negative one,
    /// equal scores counting half (Mann and Whitney 1947; Hanley and McNeil 1982). 0.5 is chance, 1 perfect.
    /// </summary>
    /// <param name="scores">[rows]: the larger, the more likely positive; no NaN.</param>
    /// <param name="labels">[rows]: 1 for positive rows, 0 for negative ones.</param>
    /// <returns>0 to 1; NaN where there are no positive or no negative rows.</returns>
    /// <exception cref="ArgumentException">There are no rows, the lengths differ, or a score is NaN.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is neither 0 nor 1.</exception>
    public static double RocAuc(ReadOnlySpan<float> scores, ReadOnlySpan<int> labels)
    {
        Pairs(scores.Length, labels.Length, nameof(scores), nameof(labels));
        Ensure.Labels(labels, 2, nameof(labels));
        float[] sorted = scores.ToArray();
        int[] of = labels.ToArray();
        int bad = Array.FindIndex(sorted, float.IsNaN);
        if (bad >= 0)
            throw new ArgumentException($"scores[{bad}] is NaN; it has no rank.", nameof(scores));
        Array.Sort(sorted, of);
        // Each negative below a positive counts 1, each of the same score a half.
        double below = 0, pairs = 0, positives = 0;
        for (int start = 0; start < sorted.Length;)
        {
            int end = start;
            double here = 0;
            for (; end < sorted.Length && sorted[end] == sorted[start]; end++)
                here += of[end];
            double negatives = end - start - here;
            pairs += here * (below + negatives / 2);
            below += negatives;
            positives += here;
            start = end;
        }
        return positives == 0 || below == 0 ? double.NaN : pairs / (positives * below);
    }

    /// <summary>
    /// The coefficient of determination 1 − Σ (t − p)² / Σ (t − mean t)², averaged over the columns: 1 is perfect, 0 as good as the mean.
    /// A column whose targets are all equal has 1 if its predictions are perfect, else 0.
    /// </summary>
    /// <param name="predictions">[rows × columns], row-major; at least one row.</param>
    /// <param name="targets">[rows × columns].</param>
    /// <param name="columns">Numbers per row, at least 1.</param>
    /// <exception cref="ArgumentException">There are no rows, the lengths differ, or there are no whole rows.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="columns"/> is less than 1.</exception>
    public static double RSquared(ReadOnlySpan<float> predictions, ReadOnlySpan<float> targets, int columns = 1)
    {
        Ensure.Positive(columns, nameof(columns));
        Pairs(predictions.Length, targets.Length, nameof(predictions), nameof(targets));
        if (targets.Length % columns != 0)
            throw new ArgumentException($"targets holds {targets.Length} elements; expected whole rows of {columns}.", nameof(targets));
        double total = 0;
        for (int column = 0; column < columns; column++)
        {
            double mean = 0, residual = 0, spread = 0;
            for (int i = column; i < targets.Length; i += columns)
                mean += targets[i];
            mean /= targets.Length / columns;
            for (int i = column; i < targets.Length; i += columns)
            {
                double error = (double)targets[i] - predictions[i], distance = targets[i] - mean;
                residual += error * error;
                spread += distance * distance;
            }
            total += spread > 0 ? 1 - residual / spread : residual == 0 ? 1 : 0;
        }
        return total / columns;
    }

    /// <summary>The mean of |prediction − target|.</summary>
    /// <param name="predictions">At least one number.</param>
    /// <param name="targets">As many.</param>
    /// <exception cref="ArgumentException">There are no numbers, or the lengths differ.</exception>
    public static double MeanAbsoluteError(ReadOnlySpan<float> predictions, ReadOnlySpan<float> targets)
    {
        Pairs(predictions.Length, targets.Length, nameof(predictions), nameof(targets));
        double sum = 0;
        for (int i = 0; i < targets.Length; i++)
            sum += Math.Abs((double)predictions[i] - targets[i]);
        return sum / targets.Length;
    }

    /// <summary>The root of the mean of (prediction − target)².</summary>
    /// <param name="predictions">At least one number.</param>
    /// <param name="targets">As many.</param>
    /// <exception cref="ArgumentException">There are no numbers, or the lengths differ.</exception>
    public static double RootMeanSquaredError(ReadOnlySpan<float> predictions, ReadOnlySpan<float> targets)
    {
        Pairs(predictions.Length, targets.Length, nameof(predictions), nameof(targets));
        double sum = 0;
        for (int i = 0; i < targets.Length; i++)
            sum += ((double)predictions[i] - targets[i]) * ((double)predictions[i] - targets[i]);
        return Math.Sqrt(sum / targets.Length);
    }

    /// <summary>e^loss, for a mean cross-entropy in nats: how many equally likely classes would leave as much doubt.</summary>
    /// <param name="crossEntropy">The mean cross-entropy per row.</param>
    public static double Perplexity(double crossEntropy) => Math.Exp(crossEntropy);

    /// <summary>The perplexity of the classes under predicted probabilities: e^(−mean log p[label]).</summary>
    /// <param name="probabilities">[rows × classes], row-major.</param>
    /// <param name="labels">[rows], at least one; each from 0 to classes − 1.</param>
    /// <returns>1 or more; ∞ where a class came that had no probability.</returns>
    /// <exception cref="ArgumentException">There are no rows, or the probabilities are no whole rows.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class.</exception>
    public static double Perplexity(ReadOnlySpan<float> probabilities, ReadOnlySpan<int> labels)
    {
        int classes = Classes(probabilities.Length, labels);
        double sum = 0;
        for (int row = 0; row < labels.Length; row++)
            sum -= Math.Log(probabilities[row * classes + labels[row]]);
        return Math.Exp(sum / labels.Length);
    }

    private static void Pairs(int first, int second, string name, string other)
    {
        if (first == 0)
            throw new ArgumentException($"{name} is empty; expected at least one element.", name);
        if (second != first)
            throw new ArgumentException($"{other} holds {second} elements; expected {first}, as many as {name}.", other);
    }

    // How many scores each row has, after checking the labels.
    private static int Classes(int scores, ReadOnlySpan<int> labels)
    {
        if (labels.IsEmpty)
            throw new ArgumentException("labels is empty; expected at least one row.", nameof(labels));
        if (scores == 0 || scores % labels.Length != 0)
            throw new ArgumentException($"There are {scores} scores for {labels.Length} labels; expected as many for each row.", nameof(scores));
        Ensure.Labels(labels, scores / labels.Length, nameof(labels));
        return scores / labels.Length;
    }
}
