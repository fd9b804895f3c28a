// The README says what is true: its example compiles and runs, the files and folders of its map exist.
using System.Globalization;
using System.Text.RegularExpressions;
using HpcNet.Tests.Interop;
using Xunit;

namespace HpcNet.Tests;

[CollectionDefinition(nameof(ReadmeTests), DisableParallelization = true)]
[Collection(nameof(ReadmeTests))] // it changes the process's current folder and console
public sealed partial class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Repository.File("README.md"));

    [Fact]
    public void The_example_is_the_one_that_was_compiled()
    {
        string shown = Example().Match(Readme).Groups[1].Value;
        string compiled = File.ReadAllText(Repository.File("tests/HpcNet.Tests/House/ReadmeExample.cs"));
        string body = compiled[(compiled.IndexOf("Run()", StringComparison.Ordinal) + "Run()".Length)..].Trim().Trim('{', '}');
        Assert.Equal(Lines(shown.Replace("using HpcNet;", "")), Lines(body));
        Assert.InRange(Lines(shown).Length, 10, 40);

        static string[] Lines(string text) =>
            text.Split('\n').Select(line => line.Trim()).Where(line => line.Length > 0 && line != "}" && line != "{").ToArray();
    }

    [Fact]
    public void The_example_runs()
    {
        string before = Directory.GetCurrentDirectory();
        TextWriter console = Console.Out;
        string folder = Directory.CreateTempSubdirectory("hpcnet readme ").FullName;
        using var output = new StringWriter();
        try
        {
            // It writes beside itself, as a reader's first program would.
            Directory.SetCurrentDirectory(folder);
            Console.SetOut(output);
            ReadmeExample.Run();
        }
        finally
        {
            Console.SetOut(console);
            Directory.SetCurrentDirectory(before);
            Directory.Delete(folder, recursive: true);
        }

        Match accuracy = Accuracy().Match(output.ToString());
        Assert.True(accuracy.Success && double.Parse(accuracy.Groups[1].Value, CultureInfo.InvariantCulture) >= 96, output.ToString());
        Assert.Contains("predicted", output.ToString());
    }

    [Fact]
    public void The_map_names_what_is_there()
    {
        string map = Map().Match(Readme).Groups[1].Value;
        string[] paths = map.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => line.Split(' ', ',')[0]).ToArray();
        Assert.True(paths.Length > 5, map);
        Assert.All(paths, path => Assert.True(Path.Exists(Repository.File(path)), $"README's map names {path}, which is not there"));
    }

    [GeneratedRegex(@"accuracy ([\d.]+)")]
    private static partial Regex Accuracy();

    [GeneratedRegex("```csharp\\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex("## The map\\s+```\\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Map();
}
