// The digits as the demos about generalization use them: a small slice to learn from, the rest of the training half unused, and
// the other half to judge by.

namespace HpcNet.Cli.Demos;

internal static class Digits
{
    /// <summary>A slice of so many rows, and 899 rows that nothing was learned from.</summary>
    public static (Dataset Slice, Dataset Test) Slice(int rows, ulong seed = 1)
    {
        var (train, test) = Dataset.Digits().Split(0.5, seed);
        int[] first = [.. Enumerable.Range(0, rows)];
        return (train.Subset(first), test);
    }

    /// <summary>The same, every fifth row of the slice with a wrong label, as labels made by people in a hurry are.</summary>
    public static (Dataset Slice, Dataset Test) Mislabelled(int rows, ulong seed = 1)
    {
        var (slice, test) = Slice(rows, seed);
        int[] labels = slice.Labels.ToArray();
        for (int i = 0; i < labels.Length; i += 5)
            labels[i] = (labels[i] + 1 + i / 5 % 9) % 10;
        return (Dataset.FromArrays(slice.Features, 64, labels, 10), test);
    }

    /// <summary>The mean of a result over seeds: one run of a small experiment says little.</summary>
    public static double Mean(int seeds, Func<ulong, double> experiment) =>
        Enumerable.Range(1, seeds).Average(seed => experiment((ulong)seed));
}
