// Evaluation.cs: how well a network does on a data set.

using System.Globalization;
using System.Text;

namespace HpcNet;

/// <summary>The result of evaluating a network on a data set.</summary>
/// <param name="Loss">Mean loss per row (the sum for <see cref="Reduction.Sum"/>).</param>
/// <param name="Accuracy">Share of rows classified correctly, 0 to 1; NaN where the loss knows no classes.</param>
/// <param name="Rows">Rows evaluated.</param>
/// <param name="Confusion">Counts of actual against predicted classes; null where the loss knows no classes.</param>
public sealed record Evaluation(double Loss, double Accuracy, int Rows, ConfusionMatrix? Confusion);

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
        long sum = 0;
        for (int i = 0; i < Classes; i++)
            sum += _counts[actual * Classes + i];
        return sum == 0 ? double.NaN : (double)_counts[actual * Classes + actual] / sum;
    }

    /// <summary>Share of the rows given a class that have it, 0 to 1; NaN without such rows.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The index is no class.</exception>
    public double Precision(int predicted)
    {
        Check(predicted, nameof(predicted));
        long sum = 0;
        for (int i = 0; i < Classes; i++)
            sum += _counts[i * Classes + predicted];
        return sum == 0 ? double.NaN : (double)_counts[predicted * Classes + predicted] / sum;
    }

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

    private void Check(int index, string name)
    {
        if ((uint)index >= (uint)Classes)
            throw new ArgumentOutOfRangeException(name, index, $"{name} is {index}; expected a class from 0 to {Classes - 1}.");
    }
}
