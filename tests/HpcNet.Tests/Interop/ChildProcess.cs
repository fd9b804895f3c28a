// A process of its own for what can happen only once in a process: the first use of the native core. The test assembly is
// started as a program, with the name of a scene; its output and exit code are what the test looks at.
using System.Diagnostics;
using HpcNet.Interop;

namespace HpcNet.Tests.Interop;

/// <summary>Starts scenes in a child process, and is that child's entry point.</summary>
internal static unsafe class ChildProcess
{
    /// <summary>What a scene printed and how it ended.</summary>
    public sealed record Outcome(int ExitCode, string Output, string Error);

    /// <summary>Runs <paramref name="scene"/> with variables set (null removes one).</summary>
    public static Outcome Run(string scene, params (string Name, string? Value)[] environment)
    {
        var start = new ProcessStartInfo(Host()) { RedirectStandardOutput = true, RedirectStandardError = true };
        start.ArgumentList.Add(typeof(ChildProcess).Assembly.Location);
        start.ArgumentList.Add(scene);
        foreach ((string name, string? value) in environment)
            start.Environment[name] = value;

        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromMinutes(2)))
        {
            process.Kill();
            throw new TimeoutException($"the scene {scene} did not end");
        }

        return new Outcome(process.ExitCode, output.Result.ReplaceLineEndings("\n"), error.Result.ReplaceLineEndings("\n"));
    }

    /// <summary>The entry point of the test assembly; test runners do not use it.</summary>
    public static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["first-use"]:
                // Twice by a plain import, then by a handle: whichever comes first, the exception is the same.
                Attempt(() => $"version {Native.hpc_abi_version()}");
                Attempt(() => $"version {Native.hpc_abi_version()}");
                Attempt(() => { DeviceHandle.Create(default).Dispose(); return "device"; });
                return 0;
            default:
                Console.Error.WriteLine("This assembly holds tests: run it with `dotnet test`.");
                return 2;
        }
    }

    private static void Attempt(Func<string> action)
    {
        try
        {
            Console.WriteLine(action());
        }
        catch (Exception exception)
        {
            Console.WriteLine($"{exception.GetType().FullName}: {exception.Message}");
        }

        Console.WriteLine("---");
    }

    private static string Host()
    {
        if (Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host)
            return host;
        string? self = Environment.ProcessPath;
        return Path.GetFileNameWithoutExtension(self) == "dotnet" ? self! : "dotnet";
    }
}
