// InitializerTests.cs: bounds, moments and distributions of initial values against tests/cases/reference/initializers.json (each row
// says how far a sample of its size may be off), orthogonality, and that a seed gives the same values again.

using System.Globalization;
using System.Text.Json;
using HpcNet.Tests.Data;

namespace HpcNet.Tests;

[Trait("Category", "Cases")]
public sealed class InitializerTests
{
    private static readonly string File = Path.Combine(CaseFolder.Root, "reference", "initializers.json");

    public static TheoryData<string, int> Rows()
    {
        var rows = new TheoryData<string, int>();
        if (System.IO.File.Exists(File))
        {
            using JsonDocument json = JsonDocument.Parse(System.IO.File.ReadAllBytes(File));
            int number = 0;
            foreach (JsonElement row in json.RootElement.GetProperty("rows").EnumerateArray())
                rows.Add(row.GetProperty("name").GetString()!, number++);
        }
        // A folder without the file is a row that says so.
        if (rows.Count == 0)
            rows.Add("", -1);
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Rows))]
    public void Values_have_the_distribution(string name, int number)
    {
        Skip.If(number < 0, "there is no initializers.json among the cases");
        using JsonDocument json = JsonDocument.Parse(System.IO.File.ReadAllBytes(File));
        JsonElement row = json.RootElement.GetProperty("rows")[number], accept = row.GetProperty("accept_at_n");
        int fanIn = row.GetProperty("fan_in").GetInt32(), fanOut = row.GetProperty("fan_out").GetInt32();
        double mean = row.GetProperty("mean").GetDouble(), deviation = row.GetProperty("std").GetDouble();
        var values = new float[fanIn * fanOut];
        Named(name, row).Fill(values, fanIn, fanOut, new Philox(7, RandomStreams.Initialization(number)));

        Assert.Equal(accept.GetProperty("n").GetInt32(), values.Length);
        double average = values.Average(v => (double)v);
        Assert.InRange(Math.Abs(average - mean), 0, accept.GetProperty("abs_mean_below").GetDouble());
        double spread = Math.Sqrt(values.Average(v => (v - average) * (v - average)));
        Assert.InRange(Math.Abs(spread / deviation - 1), 0, accept.GetProperty("rel_std_error_below").GetDouble());
        if (row.TryGetProperty("bound", out JsonElement bound) && bound.ValueKind == JsonValueKind.Number)
            Assert.All(values, v => Assert.InRange(Math.Abs((double)v), 0, bound.GetDouble() * (1 + 1e-7)));
        Assert.InRange(KolmogorovSmirnov(values, Distribution(row)), 0, accept.GetProperty("ks_statistic_below").GetDouble());
    }

    public static TheoryData<int, int> Shapes() => new() { { 1, 1 }, { 6, 9 }, { 9, 6 }, { 1, 17 }, { 40, 40 }, { 129, 64 } };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Orthogonal_rows_or_columns_are_orthonormal(int fanIn, int fanOut)
    {
        var values = new float[fanIn * fanOut];
        Initializer.Orthogonal(2f).Fill(values, fanIn, fanOut, new Philox(1, 2));
        int count = Math.Min(fanIn, fanOut), length = Math.Max(fanIn, fanOut);
        double At(int vector, int element) => fanIn <= fanOut ? values[vector * fanOut + element] : values[element * fanOut + vector];
        for (int i = 0; i < count; i++)
        {
            for (int j = 0; j <= i; j++)
                Assert.Equal(i == j ? 4.0 : 0.0, Enumerable.Range(0, length).Sum(k => At(i, k) * At(j, k)), 1e-6);
        }
    }

    private static readonly Dictionary<string, Initializer> Members = new()
    {
        ["zeros"] = Initializer.Zeros,
        ["constant"] = Initializer.Constant(0.5f),
        ["uniform"] = Initializer.Uniform(-1f, 3f),
        ["normal"] = Initializer.Normal(1f, 2f),
        ["truncated"] = Initializer.TruncatedNormal(0f, 1f),
        ["truncated, far out"] = Initializer.TruncatedNormal(0f, 1f, 3f, 100f),
        ["truncated, one side"] = Initializer.TruncatedNormal(1f, 2f, 0f, 1000f),
        ["Glorot uniform"] = Initializer.GlorotUniform,
        ["Glorot truncated"] = Initializer.Glorot(InitializerDistribution.TruncatedNormal),
        ["He normal"] = Initializer.HeNormal,
        ["He of a leaky ReLU"] = Initializer.He(InitializerDistribution.Uniform, FanMode.FanOut, 0.1),
        ["LeCun normal"] = Initializer.LeCunNormal,
        ["orthogonal"] = Initializer.Orthogonal(),
    };

    public static TheoryData<string> Names() => [.. Members.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_seed_gives_the_same_values_again(string name)
    {
        float[] Values(ulong seed)
        {
            var values = new float[24 * 31];
            Members[name].Fill(values, 24, 31, new Philox(seed, 5));
            return values;
        }
        float[] first = Values(3);
        Assert.All(first, v => Assert.True(float.IsFinite(v)));
        Assert.Equal(Samples.Bits(first), Samples.Bits(Values(3)));
        if (!name.StartsWith("zeros", StringComparison.Ordinal) && !name.StartsWith("constant", StringComparison.Ordinal))
            Assert.NotEqual(Samples.Bits(first), Samples.Bits(Values(4)));
    }

    [Fact]
    public void Truncation_keeps_its_bounds_and_its_tail()
    {
        var values = new float[4000];
        Initializer.TruncatedNormal(0f, 1f, 3f, 100f).Fill(values, 40, 100, new Philox(1, 1));
        Assert.All(values, v => Assert.InRange(v, 3f, 100f));
        // The mean of the tail: density over probability (Robert 1995).
        Assert.Equal(3.2831, values.Average(v => (double)v), 0.03);
    }

    [Fact]
    public void Gains_are_those_of_the_activations()
    {
        Assert.Equal(Math.Sqrt(2), Initializer.Gain(Activation.ReLU));
        Assert.Equal(5.0 / 3.0, Initializer.Gain(Activation.Tanh));
        Assert.Equal(1.0, Initializer.Gain(Activation.Sigmoid));
        Assert.Equal("HeNormal", Initializer.HeNormal.ToString());
    }

    private static Initializer Named(string name, JsonElement row)
    {
        double Gain() => row.GetProperty("gain").GetDouble();
        string[] parts = name.Split('_');
        InitializerDistribution Shape() => parts[1] switch
        {
            "uniform" => InitializerDistribution.Uniform,
            "normal" => InitializerDistribution.Normal,
            _ => throw new NotSupportedException($"nothing here knows the initializer '{name}'"),
        };
        switch (parts[0])
        {
            case "xavier":
                return Initializer.Glorot(Shape(), Gain());
            case "kaiming":
                FanMode fan = row.GetProperty("mode").GetString() switch
                {
                    "fan_in" => FanMode.FanIn,
                    "fan_out" => FanMode.FanOut,
                    string other => throw new NotSupportedException($"nothing here knows the mode '{other}'"),
                    null => throw new NotSupportedException("no mode"),
                };
                // gain² = 2 / (1 + slope²); the names round the slope.
                return Initializer.He(Shape(), fan, Math.Sqrt(Math.Max(0, 2 / (Gain() * Gain()) - 1)));
            case "lecun":
                return Initializer.LeCun(Shape());
            case "torch":
                return Initializer.He(InitializerDistribution.Uniform, negativeSlope: Math.Sqrt(5));
            case "trunc":
                return Initializer.TruncatedNormal(0f, (float)row.GetProperty("sigma_before_truncation").GetDouble());
            case "uniform":
                return Initializer.Uniform(float.Parse(parts[1], CultureInfo.InvariantCulture), float.Parse(parts[2], CultureInfo.InvariantCulture));
            default:
                throw new NotSupportedException($"nothing here knows the initializer '{name}'");
        }
    }

    private static Func<double, double> Distribution(JsonElement row)
    {
        double mean = row.GetProperty("mean").GetDouble(), deviation = row.GetProperty("std").GetDouble();
        string kind = row.GetProperty("distribution").GetString()!;
        if (kind == "uniform")
        {
            double half = Math.Sqrt(3) * deviation;
            return x => Math.Clamp((x - mean + half) / (2 * half), 0, 1);
        }
        if (kind == "normal")
            return x => Normal((x - mean) / deviation);
        double sigma = row.GetProperty("sigma_before_truncation").GetDouble(), tail = Normal(-2);
        return x => Math.Clamp((Normal((x - mean) / sigma) - tail) / (1 - 2 * tail), 0, 1);
    }

    // By Simpson's rule from 0: far better than any sample can tell.
    private static double Normal(double x)
    {
        const int pieces = 200;
        double step = x / pieces, sum = 1 + Math.Exp(-0.5 * x * x);
        for (int i = 1; i < pieces; i++)
            sum += (i % 2 == 0 ? 2 : 4) * Math.Exp(-0.5 * i * i * step * step);
        return 0.5 + sum * step / 3 / Math.Sqrt(2 * Math.PI);
    }

    private static double KolmogorovSmirnov(float[] values, Func<double, double> distribution)
    {
        float[] sorted = [.. values.Order()];
        double statistic = 0;
        for (int i = 0; i < sorted.Length; i++)
        {
            double expected = distribution(sorted[i]);
            statistic = Math.Max(statistic, Math.Max(expected - (double)i / sorted.Length, (i + 1.0) / sorted.Length - expected));
        }
        return statistic;
    }
}
