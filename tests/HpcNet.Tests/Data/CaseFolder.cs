// Where the case files are: tests/cases of this repository, or the folder that HPCNET_CASES names (laid out in the same way; parts of it
// may be missing). And the manifest of the hostile files.

using System.Reflection;
using System.Text.Json;

namespace HpcNet.Tests.Data;

internal static class CaseFolder
{
    private static readonly Lazy<IReadOnlyDictionary<string, JsonElement>> Manifest = new(ReadManifest);

    public static string Root { get; } = Environment.GetEnvironmentVariable("HPCNET_CASES") is { Length: > 0 } named
        ? named
        : Path.Combine(RepositoryRoot(), "tests", "cases");

    public static string Malformed { get; } = Path.Combine(Root, "malformed");

    public static bool HasMalformed => File.Exists(Path.Combine(Malformed, "manifest.json"));

    /// <summary>The formats that the library has a loader for in these tests.</summary>
    public static IReadOnlySet<string> KnownFormats { get; } = new HashSet<string> { "safetensors", "idx", "csv" };

    /// <summary>All cases by file; empty where there is no manifest.</summary>
    public static IReadOnlyDictionary<string, JsonElement> Cases => Manifest.Value;

    public static string Format(JsonElement testCase) => testCase.GetProperty("format").GetString()!;

    private static Dictionary<string, JsonElement> ReadManifest()
    {
        if (!HasMalformed) return [];
        using var json = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Malformed, "manifest.json")));
        return json.RootElement.GetProperty("cases").EnumerateArray().ToDictionary(c => c.GetProperty("file").GetString()!, c => c.Clone());
    }

    private static string RepositoryRoot() => typeof(CaseFolder).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(attribute => attribute.Key == "RepositoryRoot").Value!;
}

/// <summary>A theory over the manifest's cases; skipped, and saying so, where the folder has none.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class MalformedTheoryAttribute : TheoryAttribute
{
    /// <summary>Decides when the test is discovered.</summary>
    public MalformedTheoryAttribute()
    {
        if (!CaseFolder.HasMalformed) Skip = $"no malformed/manifest.json in {CaseFolder.Root}";
    }
}

/// <summary>A test that is shown as skipped, with the count, where the manifest has cases of formats without a loader.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class EveryFormatFactAttribute : FactAttribute
{
    /// <summary>Decides when the test is discovered.</summary>
    public EveryFormatFactAttribute()
    {
        var unknown = CaseFolder.Cases.Values.Select(CaseFolder.Format).Where(format => !CaseFolder.KnownFormats.Contains(format))
            .GroupBy(format => format).Select(group => $"no loader for format {group.Key}: {group.Count()} cases not run").ToArray();
        if (unknown.Length != 0) Skip = string.Join("; ", unknown);
    }
}
