// What a user sees when the native core is not there, is something else, or is of another version: one exception that lists
// what was tried, the same from whatever call comes first.
using System.Diagnostics;
using HpcNet.Interop;

namespace HpcNet.Tests.Interop;

public sealed class LibraryResolverTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("hpcnet-tests-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void CoreIsLoadedAndSaysFromWhere()
    {
        NativeLibraryResolver.EnsureLoaded();
        LibrarySearch search = NativeLibraryResolver.Search;

        Assert.Null(search.Failure);
        Assert.NotNull(search.Path);
        Assert.Equal(search.Path, search.Probes[^1].Path);
        Assert.Null(search.Probes[^1].Failure);
        Assert.All(search.Probes.SkipLast(1), probe => Assert.NotNull(probe.Failure));
        Assert.Equal((uint)Native.HPC_ABI_VERSION, Native.hpc_abi_version());
    }

    [Fact]
    public void ForcedPathThatIsMissingIsAnError()
    {
        string path = Path.Combine(_folder, "absent", NativeLibraryResolver.FileName);

        string message = FirstUseFails(path);

        Assert.Contains(path, message);
        Assert.Contains("no other was tried", message);
    }

    [Fact]
    public void ForcedPathIsMadeAbsolute()
    {
        string message = FirstUseFails(Path.Combine(".", "absent", NativeLibraryResolver.FileName));

        Assert.Contains(Path.GetFullPath(Path.Combine("absent", NativeLibraryResolver.FileName)), message);
    }

    [Fact]
    public void FileThatIsNoLibraryIsAnError()
    {
        string path = Path.Combine(_folder, NativeLibraryResolver.FileName);
        File.WriteAllText(path, new string('x', 4096));

        Assert.Contains(path, FirstUseFails(path));
    }

    [Fact]
    public void OtherLibraryIsAnError()
    {
        // Some library that is always there.
        string message = FirstUseFails(OperatingSystem.IsWindows() ? "kernel32.dll" : "libm.so.6");

        Assert.Contains("hpc_abi_version", message);
    }

    [CompilerFact]
    public void OtherVersionIsAnError()
    {
        string source = Path.Combine(_folder, "stub.c");
        string path = Path.Combine(_folder, NativeLibraryResolver.FileName);
        File.WriteAllText(source, "unsigned hpc_abi_version(void) { return 4711; }\n");
        using (Process compiler = Process.Start(CompilerFactAttribute.Compiler!, ["-shared", "-fPIC", "-o", path, source]))
        {
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }

        string message = FirstUseFails(path);

        Assert.Contains("version 4711 of the ABI", message);
        Assert.Contains($"version {Native.HPC_ABI_VERSION}", message);
    }

    [Fact]
    public void EmptyVariableForcesNothing()
    {
        ChildProcess.Outcome outcome = ChildProcess.Run("first-use", (NativeLibraryResolver.Variable, ""));

        Assert.Equal($"version {Native.HPC_ABI_VERSION}\n---\nversion {Native.HPC_ABI_VERSION}\n---\ndevice\n---\n", outcome.Output);
    }

    [Fact]
    public void EveryPathIsListedWithItsReason()
    {
        string absent = Path.Combine(_folder, "absent.so");
        string text = Path.Combine(_folder, "text.so");
        File.WriteAllText(text, new string('x', 4096));

        LibrarySearch search = NativeLibraryResolver.Find([(absent, "first place"), (text, "second place")], "Some advice.");

        Assert.NotNull(search.Failure);
        Assert.Null(search.Path);
        string[] lines = search.Failure.Split('\n');
        Assert.Equal(4, lines.Length);
        Assert.Equal($"  {absent} (first place): no such file", lines[1]);
        Assert.StartsWith($"  {text} (second place): ", lines[2]);
        Assert.Equal("Some advice.", lines[3]);
    }

    [Fact]
    public void SearchGoesOnPastAFileThatDoesNotServe()
    {
        string text = Path.Combine(_folder, "text.so");
        File.WriteAllText(text, new string('x', 4096));

        LibrarySearch search = NativeLibraryResolver.Find(
            [(text, "first place"), (NativeLibraryResolver.Search.Path!, "second place")], "Some advice.");

        Assert.Null(search.Failure);
        Assert.Equal(NativeLibraryResolver.Search.Path, search.Path);
        Assert.Equal(2, search.Probes.Count);
    }

    /// <summary>Runs the first use with a forced path, and returns the one message all the attempts gave.</summary>
    private static string FirstUseFails(string path)
    {
        ChildProcess.Outcome outcome = ChildProcess.Run("first-use", (NativeLibraryResolver.Variable, path));

        Assert.True(outcome.ExitCode == 0, outcome.Error);
        string[] attempts = outcome.Output.Split("---\n", StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(3, attempts.Length);
        Assert.All(attempts, attempt => Assert.Equal(attempts[0], attempt));
        // The exception itself, not wrapped in one about a type's initializer.
        Assert.StartsWith("HpcNet.HpcNetLibraryException: ", attempts[0]);
        return attempts[0];
    }
}

/// <summary>A fact that needs a C compiler of the common kind on PATH.</summary>
internal sealed class CompilerFactAttribute : FactAttribute
{
    public CompilerFactAttribute()
    {
        if (Compiler is null)
            Skip = "no gcc or clang on PATH";
    }

    /// <summary>The compiler's path; null if there is none.</summary>
    public static string? Compiler { get; } =
        (from name in new[] { "gcc", "clang", "cc" }
         from folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator)
         let path = Path.Combine(folder, OperatingSystem.IsWindows() ? name + ".exe" : name)
         where File.Exists(path)
         select path).FirstOrDefault();
}
