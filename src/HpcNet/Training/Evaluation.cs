// Evaluation.cs: how well a network does on a data set.

using System.Globalization;
using System.Text;

namespace HpcNet;

/// <summary>The result of evaluating a network on a data set.</summary>
/// <param name="Loss">The loss over all rows, reduced as the loss says.</param>
/// <param name="Accuracy">Share of rows classified correctly, or of answers for a multi-label task, 0 to 1; NaN for a regression.</param>
/// <param name="Rows">Rows evaluated.</param>
/// <param name="Confusion">Counts of actual against predicted classes; null where the loss knows no classes.</param>
public sealed record Evaluation(double Loss, double Accuracy, int Rows, ConfusionMatrix? Confusion)
{
    /// <summary>
    /// e^<see cref="Loss"/>: for the mean cross-entropy of a classification, how many equally likely classes would leave as much doubt.
    /// </summary>
    public double Perplexity => Metrics.Perplexity(Loss);

    /// <summary>Mean of |output − target| over all outputs of a regression; NaN elsewhere.</summary>
    public double MeanAbsoluteError { get; init; } = double.NaN;

    /// <summary>Root of the mean of (output − target)² over all outputs of a regression; NaN elsewhere.</summary>
    public double RootMeanSquaredError { get; init; } = double.NaN;

    /// <summary>
    /// The coefficient of determination of a regression, averaged over the outputs (<see cref="Metrics.RSquared"/>); NaN elsewhere.
    /// </summary>
    public double RSquared { get; init; } = double.NaN;
}

/// <summary>How a figure of each class becomes one.</summary>
public enum Averaging
{
    /// <summary>The mean over the classes, each counting alike.</summary>
    Macro = 0,

    /// <summary>From the counts of all classes together; where each row has one class this is the accuracy.</summary>
    Micro = 1,

    /// <summary>The mean over the classes, weighted by their rows.</summary>
    Weighted = 2,
}

/// <summary>How often rows of each actual class were given each predicted class.</summary>
public sealed record ConfusionMatrix
{
    private readonly long[] _counts;

    internal ConfusionMatrix(int classes, IReadOnlyList<string>? classNames)
    {
        Classes = classes;
        ClassNames = classNames;
        _counts = new long[(long)classes * classes];
    }

    /// <summary>Number of classes.</summary>
    public int Classes { get; }

    /// <summary>Names of the classes; null where none are known.</summary>
    public IReadOnlyList<string>? ClassNames { get; }

    /// <summary>Rows of class <paramref name="actual"/> that were classified as <paramref name="predicted"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException">An index is no class.</exception>
    public long this[int actual, int predicted]
    {
        get
        {
            Check(actual, nameof(actual));
            Check(predicted, nameof(predicted));
            return _counts[actual * Classes + predicted];
        }
    }

    /// <summary>All rows counted.</summary>
    public long Total => _counts.Sum();

    /// <summary>Rows on the diagonal.</summary>
    public long Correct
    {
        get
        {
            long correct = 0;
            for (int i = 0; i < Classes; i++)
                correct += _counts[i * Classes + i];
            return correct;
        }
    }

    /// <summary>Share of the rows of a class that were found, 0 to 1; NaN without such rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is no class.</exception>
    public double Recall(int actual)
    {
        Check(actual, nameof(actual));
        long sum = Actual(actual);
        return sum == 0 ? double.NaN : (double)_counts[actual * Classes + actual] / sum;
    }

    /// <summary>Share of the rows given a class that have it, 0 to 1; NaN without such rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is no class.</exception>
    public double Precision(int predicted)
    {
        Check(predicted, nameof(predicted));
        long sum = Predicted(predicted);
        return sum == 0 ? double.NaN : (double)_counts[predicted * Classes + predicted] / sum;
    }

    /// <summary>
    /// The harmonic mean of precision and recall of a class, 2 TP / (2 TP + FP + FN), 0 to 1; NaN where neither rows nor predictions have
    /// the class.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is no class.</exception>
    public double F1(int index)
    {
        Check(index, nameof(index));
        long sum = Actual(index) + Predicted(index);
        return sum == 0 ? double.NaN : 2.0 * _counts[index * Classes + index] / sum;
    }

    /// <summary>Precision over all classes; a class without a figure counts as 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public double Precision(Averaging averaging) => Average(Precision, averaging);

    /// <summary>Recall over all classes; a class without a figure counts as 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public double Recall(Averaging averaging) => Average(Recall, averaging);

    /// <summary>F1 over all classes; a class without a figure counts as 0.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public double F1(Averaging averaging) => Average(F1, averaging);

    /// <summary>The matrix as a table: a row per actual class, a column per predicted class.</summary>
    public override string ToString()
    {
        string[] names = [.. Enumerable.Range(0, Classes).Select(i => ClassNames?[i] ?? i.ToString(CultureInfo.InvariantCulture))];
        int width = Math.Max(names.Max(n => n.Length), _counts.Max().ToString(CultureInfo.InvariantCulture).Length) + 1;
        var text = new StringBuilder().Append(' ', width);
        foreach (string name in names)
            text.Append(name.PadLeft(width));
        for (int actual = 0; actual < Classes; actual++)
        {
            text.Append('\n').Append(names[actual].PadLeft(width));
            for (int predicted = 0; predicted < Classes; predicted++)
                text.Append(_counts[actual * Classes + predicted].ToString(CultureInfo.InvariantCulture).PadLeft(width));
        }
        return text.ToString();
    }

    internal void Count(int actual, int predicted) => _counts[actual * Classes + predicted]++;

    // Each row has one class and one prediction, so that all micro averages are the share on the diagonal.
    private double Average(Func<int, double> figure, Averaging averaging)
    {
        switch (averaging)
        {
            case Averaging.Macro:
                return Enumerable.Range(0, Classes).Average(i => Defined(figure(i)));
            case Averaging.Weighted:
                return Enumerable.Range(0, Classes).Sum(i => Defined(figure(i)) * Actual(i)) / Total;
            case Averaging.Micro:
                return (double)Correct / Total;
            default:
                throw new ArgumentOutOfRangeException(
                    nameof(averaging), averaging, $"There is no averaging {(int)averaging}; expected Macro, Micro or Weighted.");
        }

        static double Defined(double value) => double.IsNaN(value) ? 0 : value;
    }

    private long Actual(int index)
    {
        long sum = 0;
        for (int i = 0; i < Classes; i++)
            sum += _counts[index * Classes + i];
        return sum;
    }

    private long Predicted(int index)
    {
        long sum = 0;
        for (int i = 0; i < Classes; i++)
            sum += _counts[i * Classes + index];
        return sum;
    }

    private void Check(int index, string name)
    {
        if ((uint)index >= (uint)Classes)
            throw new ArgumentOutOfRangeException(name, index, $"{name} is {index}; expected a class from 0 to {Classes - 1}.");
    }
}
