// `hpcnet bench`: how fast this machine could be, and how near the library comes to it. Peak, bandwidths and workloads are measured in
// one process, in turn; what counts are the ratios. With --sweep: time per sample over width, batch and depth beside the roofline.

using System.CommandLine;
using HpcNet.Cli.Bench;
using HpcNet.Cli.Output;

namespace HpcNet.Cli.Commands;

internal static class BenchCommand
{
    private const int UsualMilliseconds = 1000;

    public static Command Create(CancellationToken interrupted)
    {
        Option<Workload[]?> workloads = Options.Several(
            "--workload", "NAME", "What to measure, one or more of the list below (default: all of it). The beginning of several names up to a "
            + "hyphen stands for all of them: gemm, adam, predict-callers, activation, loss, rule.",
            name => Workload.Matching(name) is { Count: > 0 } found ? found : throw new FormatException(Expected()));
        Option<int?> milliseconds = Options.Whole(
            "--milliseconds", $"How long to measure each workload (default {UsualMilliseconds}).", 1, 60_000);
        Option<string?> json = Options.Text("--json", "FILE", "Write machine and results there as JSON.");
        Option<bool> sweep = Options.Switch(
            "--sweep", "Instead of workloads: time per sample over width, batch and depth of a network, and what the roofline does not explain.");
        Option<int?> largest = Options.Whole("--largest", $"With --sweep: the largest width and batch (default {Sweep.Most}).", Sweep.Least, 1 << 16);
        Option<string?> plot = Options.Text("--plot", "FILE.svg", "With --sweep: write a picture there.");
        var devices = new DeviceOptions(severalThreads: true);
        var command = new CommandWithExamples(
            "bench",
            "Measures how fast this machine could be (multiply-adds, memory at every level) and how near to that the library comes. "
            + $"Workloads: {string.Join(", ", Workload.Fixed.Select(w => w.Name))}; {string.Join(", ", Workload.Families.Select(f => f.Name))}.",
            "hpcnet bench",
            "hpcnet bench --workload mnist gemm-128x512x784-nn --threads 1 2 --json results.json",
            "hpcnet bench --workload gemm --blas openblas --isa avx2",
            "hpcnet bench --sweep --plot sweep.svg");
        Option[] own = [workloads, milliseconds, json, sweep, largest, plot];
        foreach (Option option in own)
            command.Add(option);
        devices.AddTo(command);
        command.SetAction(line =>
        {
            bool sweeps = line.GetValue(sweep);
            if (sweeps && ((Option[])[workloads, json]).FirstOrDefault(line.Has) is { } other)
                throw CliException.Usage($"{other.Name} is about workloads; --sweep measures networks of its own.");
            if (!sweeps && ((Option[])[largest, plot]).FirstOrDefault(line.Has) is { } alone)
                throw CliException.Usage($"{alone.Name} needs --sweep.");
            string? file = line.GetValue(json), picture = line.GetValue(plot);
            if (file is not null)
                OutputFile.Check("--json", file);
            if (picture is not null)
                OutputFile.Check("--plot", picture);
            using var yardstick = new Yardstick(threads => devices.Open(line, threads));
            int[] threads = devices.Threads(line, yardstick.Device);
            if (sweeps)
                Sweep.Run(yardstick, threads, line.GetValue(milliseconds), line.GetValue(largest) ?? Sweep.Most, picture, interrupted);
            else
                Measure(
                    yardstick, threads, line.GetValue(workloads) is { Length: > 0 } chosen ? chosen : Workload.Usual,
                    line.GetValue(milliseconds) ?? UsualMilliseconds, file, interrupted);
            return ExitCode.Done;
        });
        return command;
    }

    private static void Measure(
        Yardstick yardstick, int[] threads, IReadOnlyList<Workload> workloads, int milliseconds, string? file, CancellationToken interrupted)
    {
        Device device = yardstick.Device(threads[^1]);
        Console.Out.WriteLine(device);
        if (device.Caches.Guessed)
            Console.Out.WriteLine("The processor does not say how large its caches are; usual sizes are assumed.");
        var limits = new List<Limits>();
        foreach (int count in threads)
        {
            interrupted.ThrowIfCancellationRequested();
            limits.Add(yardstick.Limits(count));
        }
        Console.Out.WriteLine($"\n{BenchReport.LimitsTable(limits)}");
        if (device.Precision != Precision.Float32)
            Console.Out.WriteLine("Peak and floors are those of float32 multiply-adds; products on tensor cores may be beyond them.\n");

        var runner = new BenchRunner(yardstick, milliseconds, interrupted);
        var results = new List<BenchResult>();
        try
        {
            foreach (Workload workload in workloads)
            {
                foreach (int count in threads)
                {
                    Progress($"{workload.Name}, {count} thread{(count == 1 ? "" : "s")}");
                    results.Add(runner.Measure(workload, count));
                }
            }
        }
        finally
        {
            // Interrupted, or failed: what was measured is good.
            Progress("");
            if (results.Count > 0)
            {
                Console.Out.Write(BenchReport.ResultsTable(results));
                if (BenchReport.DeviceTable(results) is { Length: > 0 } onDevice)
                    Console.Out.Write($"\n{onDevice}");
                if (BenchReport.MemoryTable(results) is { Length: > 0 } memory)
                    Console.Out.Write($"\n{memory}");
                if (file is not null)
                {
                    BenchReport.Write(file, device, limits, results);
                    Console.Out.WriteLine($"\nResults: {file}");
                }
            }
        }
    }

    // What is being done, on a terminal only.
    private static void Progress(string text)
    {
        if (!Console.IsErrorRedirected && !Console.IsOutputRedirected)
            Console.Error.Write($"\r{text,-60}\r");
    }

    private static string Expected() =>
        $"{string.Join(", ", Workload.Fixed.Select(w => w.Name))}, or {string.Join(", ", Workload.Families.Select(f => f.Name))}";
}
