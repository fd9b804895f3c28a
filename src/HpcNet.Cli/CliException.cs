// How a command ends: the exit codes, and the exception that carries one of them with the one line for the user.

namespace HpcNet.Cli;

/// <summary>What the process tells its caller.</summary>
internal static class ExitCode
{
    public const int Done = 0;
    public const int Failed = 1;
    public const int Usage = 2;
    public const int Interrupted = 130;
}

/// <summary>An end with a message for the user: one line, without a stack.</summary>
internal sealed class CliException(int exitCode, string message, Exception? inner = null) : Exception(message, inner)
{
    public int ExitCode { get; } = exitCode;

    /// <summary>The command line makes no sense.</summary>
    public static CliException Usage(string message) => new(Cli.ExitCode.Usage, message);

    /// <summary>The command line makes sense, but cannot be done.</summary>
    public static CliException Failed(string message, Exception? inner = null) => new(Cli.ExitCode.Failed, message, inner);
}
