// ReferenceCase.cs: one case of tests/cases/reference: parameters, inputs, PyTorch's float32 results and the float64 truth, and the
// one rule by which a result counts as right.

using System.Text.Json;
using HpcNet.Tests.Data;

namespace HpcNet.Tests.Cases;

/// <summary>A family's files: NAME.json lists cases, NAME.safetensors holds CASE/in/X, CASE/f32/X and CASE/f64/X.</summary>
internal sealed class ReferenceCase
{
    // The rule of tests/cases/README.md: what float32 must reach whatever PyTorch's own float32 does.
    private const double Least = 1e-6;

    private static readonly Lazy<SortedDictionary<string, List<ReferenceCase>>> All = new(ReadAll);

    private readonly SafetensorsFile _tensors;

    private ReferenceCase(string family, string name, JsonElement parameters, SafetensorsFile tensors)
    {
        Family = family;
        Name = name;
        Parameters = parameters;
        _tensors = tensors;
    }

    /// <summary>Cases by family.</summary>
    public static SortedDictionary<string, List<ReferenceCase>> Families => All.Value;

    public string Family { get; }

    public string Name { get; }

    public JsonElement Parameters { get; }

    public bool Has(string input) => _tensors.TryGetTensor($"{Name}/in/{input}", out _);

    public bool HasTruth(string result) => _tensors.TryGetTensor($"{Name}/f64/{result}", out _);

    public float[] In(string input) => _tensors[$"{Name}/in/{input}"].ReadSingles();

    public double[] InDoubles(string input)
    {
        SafetensorsTensor tensor = _tensors[$"{Name}/in/{input}"];
        var values = new double[tensor.Count];
        tensor.ReadDoubles(values);
        return values;
    }

    public int[] InIntegers(string input)
    {
        SafetensorsTensor tensor = _tensors[$"{Name}/in/{input}"];
        var values = new long[tensor.Count];
        tensor.ReadIntegers(values);
        return Array.ConvertAll(values, v => checked((int)v));
    }

    public int[] Shape(string input) => Array.ConvertAll(_tensors[$"{Name}/in/{input}"].Shape.ToArray(), d => checked((int)d));

    public int[] TruthShape(string result) => Array.ConvertAll(_tensors[$"{Name}/f64/{result}"].Shape.ToArray(), d => checked((int)d));

    public double[] Truth(string result)
    {
        SafetensorsTensor tensor = _tensors[$"{Name}/f64/{result}"];
        var values = new double[tensor.Count];
        tensor.ReadDoubles(values);
        return values;
    }

    /// <summary>A parameter of the case; the default where it is absent or null.</summary>
    public T Get<T>(string name, T absent) => Get(Parameters, name, absent);

    public static T Get<T>(JsonElement parameters, string name, T absent) =>
        parameters.ValueKind == JsonValueKind.Object && parameters.TryGetProperty(name, out JsonElement value) && value.ValueKind != JsonValueKind.Null
            ? value.Deserialize<T>()!
            : absent;

    /// <summary>
    /// Holds a result against the truth, rounded to float32: the largest difference over max(1, largest truth) is at most 1e-6 or twice
    /// what PyTorch's own float32 differs. NaN and infinities must be where the truth has them.
    /// </summary>
    public void Check(string result, ReadOnlySpan<float> actual, double least = Least)
    {
        float[] truth = Array.ConvertAll(Truth(result), v => (float)v);
        Assert.True(truth.Length == actual.Length, $"{Name}/{result} has {truth.Length} numbers; got {actual.Length}");
        double allowed = least;
        if (_tensors.TryGetTensor($"{Name}/f32/{result}", out SafetensorsTensor? torch))
            allowed = Math.Max(allowed, 2 * Figure(truth, torch.ReadSingles(), out _));
        double figure = Figure(truth, actual, out int worst);
        Assert.True(
            figure <= allowed, $"{Family}/{Name}/{result}[{worst}]: expected {truth.ElementAtOrDefault(worst):R}, got {(worst < actual.Length ? actual[worst] : 0):R}; off by {figure:E2}, allowed {allowed:E2}");
        for (int i = 0; i < truth.Length; i++)
        {
            Assert.True(
                float.IsFinite(truth[i]) ? float.IsFinite(actual[i]) : truth[i].Equals(actual[i]),
                $"{Family}/{Name}/{result}[{i}]: expected {truth[i]:R}, got {actual[i]:R}");
        }
    }

    /// <summary>The same for one number.</summary>
    public void Check(string result, double actual) => Check(result, [(float)actual]);

    // Over the finite elements of both.
    private static double Figure(float[] truth, ReadOnlySpan<float> actual, out int worst)
    {
        double largest = 1, difference = 0;
        worst = 0;
        for (int i = 0; i < truth.Length; i++)
        {
            if (!float.IsFinite(truth[i]) || !float.IsFinite(actual[i]))
                continue;
            largest = Math.Max(largest, Math.Abs((double)truth[i]));
            double here = Math.Abs((double)truth[i] - actual[i]);
            if (here > difference)
                (difference, worst) = (here, i);
        }
        return difference / largest;
    }

    private static SortedDictionary<string, List<ReferenceCase>> ReadAll()
    {
        var families = new SortedDictionary<string, List<ReferenceCase>>(StringComparer.Ordinal);
        string folder = Path.Combine(CaseFolder.Root, "reference");
        if (!Directory.Exists(folder))
            return families;
        foreach (string file in Directory.EnumerateFiles(folder, "*.json"))
        {
            using JsonDocument json = JsonDocument.Parse(File.ReadAllBytes(file));
            // initializers.json describes distributions and holds no cases: InitializerTests reads it.
            if (!json.RootElement.TryGetProperty("cases", out JsonElement cases))
                continue;
            string family = json.RootElement.GetProperty("family").GetString()!;
            SafetensorsFile tensors = SafetensorsFile.Open(Path.ChangeExtension(file, ".safetensors"));
            families.Add(family, [.. cases.EnumerateArray().Select(
                c => new ReferenceCase(family, c.GetProperty("name").GetString()!, c.GetProperty("params").Clone(), tensors))]);
        }
        return families;
    }
}
