// Runs the built tool as a user does: a process with arguments, seen by its output, exit code and files.
using System.Diagnostics;

namespace HpcNet.Tests.Cli;

/// <summary>Starts `hpcnet`; the project reference puts it beside the tests.</summary>
internal static class CliProcess
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    /// <summary>What the tool printed and how it ended.</summary>
    public sealed record Outcome(int ExitCode, string Output, string Error);

    /// <summary>Runs it to its end.</summary>
    /// <param name="folder">The working folder; null: that of the tests.</param>
    /// <param name="arguments">The arguments, not yet joined.</param>
    public static Outcome Run(string? folder, params string[] arguments)
    {
        using Process process = Start(folder, arguments);
        return Wait(process);
    }

    /// <summary>Starts it with both outputs redirected and no choices in the environment.</summary>
    public static Process Start(string? folder, params string[] arguments)
    {
        var start = new ProcessStartInfo(DotnetHost())
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = folder ?? AppContext.BaseDirectory,
        };
        string tool = Path.Combine(AppContext.BaseDirectory, "HpcNet.Cli.dll");
        Assert.True(File.Exists(tool), $"the tool was not built: there is no {tool}");
        start.ArgumentList.Add(tool);
        // Built kernels stay out of the user's own cache.
        start.Environment["XDG_CACHE_HOME"] = Targets.Kernels;
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        return Process.Start(start)!;
    }

    /// <summary>Reads both outputs to their end.</summary>
    public static Outcome Wait(Process process)
    {
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> error = process.StandardError.ReadToEndAsync();
        if (!process.WaitForExit(Patience))
        {
            process.Kill();
            throw new TimeoutException("hpcnet did not end");
        }
        return new Outcome(process.ExitCode, output.Result.ReplaceLineEndings("\n"), error.Result.ReplaceLineEndings("\n"));
    }

    private static string DotnetHost()
    {
        if (Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host)
            return host;
        string? self = Environment.ProcessPath;
        return Path.GetFileNameWithoutExtension(self) == "dotnet" ? self! : "dotnet";
    }
}
