// Samples.cs: small random data and networks for tests, from the library's own generator, so that every run has the same ones.

using System.Globalization;
using System.Text;

namespace HpcNet.Tests;

internal static class Samples
{
    /// <summary>Numbers from -1 to 1.</summary>
    public static float[] Uniform(int count, ulong seed)
    {
        var random = new Philox(seed, 77);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = 2f * random.NextUniform() - 1f;
        return values;
    }

    public static int[] Labels(int count, int classes, ulong seed)
    {
        var random = new Philox(seed, 78);
        var labels = new int[count];
        for (int i = 0; i < count; i++)
            labels[i] = (int)random.NextBelow((uint)classes);
        return labels;
    }

    /// <summary>Rows of positive numbers with the sum 1.</summary>
    public static float[] Probabilities(int rows, int classes, ulong seed)
    {
        float[] values = Uniform(rows * classes, seed);
        for (int row = 0; row < rows; row++)
        {
            Span<float> part = values.AsSpan(row * classes, classes);
            float sum = 0;
            foreach (ref float value in part)
            {
                value = 0.1f + Math.Abs(value);
                sum += value;
            }
            foreach (ref float value in part)
                value /= sum;
        }
        return values;
    }

    /// <summary>Blobs: the class decides the middle of the features.</summary>
    public static Dataset Blobs(int rows, int features, int classes, ulong seed)
    {
        int[] labels = Labels(rows, classes, seed);
        float[] middles = Uniform(features * classes, 1234);
        float[] x = Uniform(rows * features, seed + 1);
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < features; column++)
                x[row * features + column] = 0.3f * x[row * features + column] + middles[labels[row] * features + column];
        }
        return Dataset.FromArrays(x, features, labels, classes);
    }

    /// <summary>Targets that a small network can learn: sines of sums of the features.</summary>
    public static Dataset Waves(int rows, int features, int targets, ulong seed)
    {
        float[] x = Uniform(rows * features, seed);
        var y = new float[rows * targets];
        for (int row = 0; row < rows; row++)
        {
            float sum = 0;
            for (int column = 0; column < features; column++)
                sum += x[row * features + column];
            for (int target = 0; target < targets; target++)
                y[row * targets + target] = MathF.Sin(sum + target);
        }
        return Dataset.FromArrays(x, features, y, targets);
    }

    public static Dataset Xor() => Dataset.FromArrays([0, 0, 0, 1, 1, 0, 1, 1], 2, new[] { 0, 1, 1, 0 }, 2);

    /// <summary>All parameters of a network, one after the other.</summary>
    public static float[] Parameters(Network network)
    {
        var all = new List<float>();
        foreach (ParameterInfo info in network.ParameterInfos)
        {
            var values = new float[info.Count];
            network.GetParameter(info.Name, values);
            all.AddRange(values);
        }
        return [.. all];
    }

    public static float[] State(Network network) => [.. network.StateInfos.SelectMany(info =>
    {
        var values = new float[info.Count];
        network.GetState(info.Name, values);
        return values;
    })];

    public static float[] Parameter(Network network, string name)
    {
        var values = new float[network.ParameterInfos.Single(p => p.Name == name).Count];
        network.GetParameter(name, values);
        return values;
    }

    /// <summary>Bits, so that NaN and signed zeros count.</summary>
    public static int[] Bits(float[] values) => Array.ConvertAll(values, BitConverter.SingleToInt32Bits);

    /// <summary>
    /// A table with columns x and y and, made from them, a class (kind), a count, two labels of 0 and 1 (high, far) and a number of either
    /// sign (size).
    /// </summary>
    public static string MixedCsv()
    {
        float[] points = Uniform(800, 3);
        var text = new StringBuilder("x,y,kind,count,high,far,size\n");
        for (int i = 0; i < points.Length; i += 2)
        {
            float x = points[i], y = points[i + 1];
            int kind = x + y > 0.3f ? 3 : x > y ? 1 : 2, high = y > 0f ? 1 : 0, far = x > 0f ? 1 : 0;
            text.Append(CultureInfo.InvariantCulture, $"{x},{y},{kind},{Math.Round(200 * Math.Exp(x + y))},{high},{far},{x - y}\n");
        }
        return text.ToString();
    }

    public static void Close(ReadOnlySpan<float> expected, ReadOnlySpan<float> actual, double tolerance, string what = "")
    {
        Assert.Equal(expected.Length, actual.Length);
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs((double)expected[i] - actual[i]) / Math.Max(1e-2, Math.Abs((double)expected[i]));
            Assert.True(error <= tolerance, $"{what}[{i}]: expected {expected[i]}, got {actual[i]} (relative error {error:E2})");
        }
    }
}
