// The confusion matrix for people: a row per actual class, a column per predicted one, at most 80 characters wide. Where the
// classes are too many for that, the most frequent mistakes are listed instead.

using System.Globalization;
using System.Text;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Output;

internal static class ConfusionTable
{
    private const int MostColumns = 80;
    private const int MostMistakes = 10;
    private const int LongestName = 16;
    private const string LastColumn = "  found";

    public static string Format(ConfusionMatrix matrix)
    {
        string[] names = [.. Enumerable.Range(0, matrix.Classes).Select(i => Name(matrix, i))];
        long largest = 0;
        for (int actual = 0; actual < matrix.Classes; actual++)
        {
            for (int predicted = 0; predicted < matrix.Classes; predicted++)
                largest = Math.Max(largest, matrix[actual, predicted]);
        }

        int digits = largest.ToString(CultureInfo.InvariantCulture).Length;
        int first = Math.Max("actual".Length, names.Max(n => n.Length));
        int room = (MostColumns - first - LastColumn.Length - 1) / matrix.Classes;
        int width = Math.Max(digits, Math.Min(names.Max(n => n.Length), room - 2)) + 2;
        return first + LastColumn.Length + 1 + width * matrix.Classes <= MostColumns
            ? Table(matrix, names, first, width)
            : Mistakes(matrix, names);
    }

    private static string Table(ConfusionMatrix matrix, string[] names, int first, int width)
    {
        var text = new StringBuilder();
        text.Append(' ', first).Append("  predicted\n");
        text.Append("actual".PadRight(first));
        foreach (string name in names)
            text.Append(Printable.Cut(name, width - 2 < 2 ? 2 : width - 2).PadLeft(width));
        text.Append(LastColumn);
        for (int actual = 0; actual < matrix.Classes; actual++)
        {
            text.Append('\n').Append(names[actual].PadRight(first));
            for (int predicted = 0; predicted < matrix.Classes; predicted++)
            {
                long count = matrix[actual, predicted];
                text.Append((count == 0 ? "." : count.ToString(CultureInfo.InvariantCulture)).PadLeft(width));
            }
            double recall = matrix.Recall(actual);
            text.Append(double.IsNaN(recall) ? "      -" : (100 * recall).ToString("F0", CultureInfo.InvariantCulture).PadLeft(5) + " %");
        }
        return text.ToString();
    }

    private static string Mistakes(ConfusionMatrix matrix, string[] names)
    {
        var mistakes = new List<(long Count, int Actual, int Predicted)>();
        for (int actual = 0; actual < matrix.Classes; actual++)
        {
            for (int predicted = 0; predicted < matrix.Classes; predicted++)
            {
                if (actual != predicted && matrix[actual, predicted] > 0)
                    mistakes.Add((matrix[actual, predicted], actual, predicted));
            }
        }
        if (mistakes.Count == 0)
            return "No mistakes.";
        var text = new StringBuilder("The most frequent mistakes:");
        foreach (var (count, actual, predicted) in mistakes.OrderByDescending(m => m.Count).Take(MostMistakes))
            text.Append(CultureInfo.InvariantCulture, $"\n  {count,6}  {names[actual]} taken for {names[predicted]}");
        return text.ToString();
    }

    private static string Name(ConfusionMatrix matrix, int index) =>
        Printable.Cut(matrix.ClassNames?[index] ?? index.ToString(CultureInfo.InvariantCulture), LongestName);
}
