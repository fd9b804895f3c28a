// The function of the first demos, f(x) = 5x³ + 2x² − 3x, and its samples on [−1, 1] in steps of 0.01.

namespace HpcNet.Cli.Demos;

internal static class Cubic
{
    /// <summary>The places of the 201 samples.</summary>
    public static readonly double[] X = [.. Enumerable.Range(-100, 201).Select(i => i / 100.0)];

    /// <summary>The values there.</summary>
    public static readonly double[] Y = [.. X.Select(Value)];

    /// <summary>f, to be differentiated.</summary>
    public static Real Of(Real x) => 5 * Real.Pow(x, 3) + 2 * Real.Pow(x, 2) - 3 * x;

    /// <summary>f.</summary>
    public static double Value(double x) => Of(x).Value;

    /// <summary>The samples as a data set of one feature and one target.</summary>
    public static Dataset Samples() =>
        Dataset.FromArrays(Array.ConvertAll(X, x => (float)x), 1, Array.ConvertAll(Y, y => (float)y), targetNames: ["f"], featureNames: ["x"]);
}
