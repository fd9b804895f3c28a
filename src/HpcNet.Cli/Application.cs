// The frame around the commands: parses, shows help with examples, turns exceptions into one line on standard error and an exit
// code, and makes Ctrl-C a request to stop instead of the end of the process.

using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using System.Runtime.InteropServices;
using HpcNet.Cli.Commands;
using HpcNet.Cli.Text;

namespace HpcNet.Cli;

internal static class Application
{
    private static readonly Option<bool> Verbose = new("--verbose")
    {
        Description = "Say more, and show the whole of an error.",
        Recursive = true,
    };

    public static int Run(string[] arguments)
    {
        using var interrupted = new CancellationTokenSource();
        using PosixSignalRegistration interrupt = OnSignal(PosixSignal.SIGINT, interrupted);
        using PosixSignalRegistration terminate = OnSignal(PosixSignal.SIGTERM, interrupted);

        Command root = Root(interrupted.Token);
        ParseResult parsed = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.Action is ParseErrorAction || (parsed.Action is null && parsed.Errors.Count > 0))
        {
            Command command = parsed.CommandResult.Command;
            string name = command == root ? root.Name : $"{root.Name} {command.Name}";
            string wrong = command == root && parsed.UnmatchedTokens is [var first, ..]
                ? $"There is no command or option '{first}'."
                : $"{parsed.Errors[0].Message.TrimEnd().TrimEnd('.')}.";
            return Fail(ExitCode.Usage, $"{wrong} (See `{name} --help`.)");
        }

        bool verbose = parsed.GetValue(Verbose);
        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (OperationCanceledException)
        {
            return Fail(ExitCode.Interrupted, "Interrupted.");
        }
        catch (CliException e)
        {
            return Fail(e.ExitCode, verbose && e.InnerException is { } inner ? $"{e.Message}\n{inner}" : e.Message, verbose);
        }
        catch (HpcNetLibraryException e) when (!verbose)
        {
            return Fail(ExitCode.Failed, $"{FirstLine(e.Message)} `hpcnet doctor` lists every path that was tried.");
        }
        catch (Exception e)
        {
            return Fail(ExitCode.Failed, verbose ? e.ToString() : Message(e), verbose);
        }
    }

    // A plain command: RootCommand would be called like the assembly.
    private static Command Root(CancellationToken interrupted)
    {
        var help = new HelpOption();
        help.Action = new HelpWithExamples((HelpAction)help.Action!);
        return new Command(
            "hpcnet",
            "Trains and runs neural networks on a native core.\n\n"
            + "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (a training then saves what it has).")
        {
            TrainCommand.Create(Verbose, interrupted),
            EvaluateCommand.Create(interrupted),
            PredictCommand.Create(interrupted),
            DemoCommand.Create(interrupted),
            DoctorCommand.Create(),
            BenchCommand.Create(interrupted),
            TuneCommand.Create(interrupted),
            Verbose,
            help,
            new VersionOption(),
        };
    }

    // The second signal is not taken: somebody who presses Ctrl-C twice wants the process to end now.
    private static PosixSignalRegistration OnSignal(PosixSignal signal, CancellationTokenSource source) =>
        PosixSignalRegistration.Create(signal, context =>
        {
            context.Cancel = !source.IsCancellationRequested;
            source.Cancel();
        });

    private static int Fail(int exitCode, string message, bool wholeText = false)
    {
        Console.Error.WriteLine($"hpcnet: {(wholeText ? message : Printable.OneLine(message))}");
        return exitCode;
    }

    private static string Message(Exception exception)
    {
        string message = exception.Message;

        // The name of a method's parameter says nothing to somebody at a command line.
        if (exception is ArgumentException { ParamName: { } parameter })
            message = message.Replace($" (Parameter '{parameter}')", "", StringComparison.Ordinal);
        if (exception is ArgumentOutOfRangeException)
            message = message.Split("Actual value was ")[0];
        return message.Trim();
    }

    private static string FirstLine(string text) => text.Split('\n')[0].Replace(" Tried:", "", StringComparison.Ordinal);

    /// <summary>The usual help, with options in groups where the command has groups, and below it the examples of the command.</summary>
    private sealed class HelpWithExamples(HelpAction help) : SynchronousCommandLineAction
    {
        public override bool ClearsParseErrors => true;

        public override int Invoke(ParseResult parseResult)
        {
            TextWriter output = parseResult.InvocationConfiguration.Output;
            if (parseResult.CommandResult.Command is not CommandWithExamples command)
                return help.Invoke(parseResult);
            if (command.Groups.Length == 0)
            {
                help.Invoke(parseResult);
            }
            else
            {
                Command root = parseResult.RootCommandResult.Command;
                output.Write(HelpText.Format(
                    $"{root.Name} {command.Name}", command,
                    [.. command.Groups, new OptionGroup("General", [.. root.Options.Where(o => o.Recursive)])],
                    Console.IsOutputRedirected ? HelpText.Width : Console.WindowWidth));
            }
            output.WriteLine("Examples:");
            foreach (string example in command.Examples)
                output.WriteLine($"  {example}");
            output.WriteLine();
            return ExitCode.Done;
        }
    }
}

/// <summary>Options that belong together.</summary>
internal sealed record OptionGroup(string Title, Option[] Options);

/// <summary>A command whose help ends with examples.</summary>
internal sealed class CommandWithExamples(string name, string description, params string[] examples) : Command(name, description)
{
    public string[] Examples { get; } = examples;

    /// <summary>The options in groups; none: in one list.</summary>
    public OptionGroup[] Groups { get; init; } = [];
}
