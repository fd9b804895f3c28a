// `hpcnet demo`: the worked examples. Without a name it lists them; with one it prints a small table and writes a picture if asked to.

using System.CommandLine;
using HpcNet.Cli.Demos;
using HpcNet.Cli.Output;

namespace HpcNet.Cli.Commands;

internal static class DemoCommand
{
    public static Command Create(CancellationToken interrupted)
    {
        var name = new Argument<string?>("name")
        {
            Description = "Which one; none: they are listed.",
            HelpName = "NAME",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Option<string?> plot = Options.Text("--plot", "FILE.svg", "Write a picture of the result there.");
        var devices = new DeviceOptions();
        var command = new CommandWithExamples(
            "demo",
            "Runs a worked example: " + string.Join(", ", Demo.All.Select(d => d.Name)) + ". Each is a short file in src/HpcNet.Cli/Demos.",
            "hpcnet demo",
            "hpcnet demo surface --plot surface.svg",
            "hpcnet demo adversarial --device opencl");
        command.Add(name);
        command.Add(plot);
        devices.AddTo(command);
        command.SetAction(line =>
        {
            string? file = line.GetValue(plot);
            if (line.GetValue(name) is not { } wanted)
            {
                if (file is not null)
                    throw CliException.Usage("--plot needs the name of a demo; `hpcnet demo` lists them.");
                int width = Demo.All.Max(d => d.Name.Length);
                foreach (Demo each in Demo.All)
                    Console.Out.WriteLine($"{each.Name.PadRight(width)}  {each.Summary}");
                return ExitCode.Done;
            }
            Demo demo = Array.Find(Demo.All, d => string.Equals(d.Name, wanted, StringComparison.OrdinalIgnoreCase))
                ?? throw CliException.Usage($"There is no demo '{wanted}'; there are {string.Join(", ", Demo.All.Select(d => d.Name))}.");
            if (file is not null)
                OutputFile.Check("--plot", file);
            using Device device = devices.Open(line);
            interrupted.ThrowIfCancellationRequested();

            DemoResult result = demo.Run(device);
            Console.Out.WriteLine($"{demo.Name}: {demo.Summary}\n\n{result.Table()}\n\n{result.Conclusion}");
            if (file is not null)
            {
                result.Picture!.Save(file);
                Console.Out.WriteLine($"\nPicture: {file}");
            }
            return ExitCode.Done;
        });
        return command;
    }
}
