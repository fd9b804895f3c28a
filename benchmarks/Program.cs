// HpcNet against managed code.
//
//   dotnet run -c Release --project benchmarks -- --filter '*'                    BenchmarkDotNet's measurements (an hour)
//   dotnet run -c Release --project benchmarks -- --filter '*TrainingSteps*'      those of one kind of operation (Benchmarks.cs)
//   dotnet run -c Release --project benchmarks -- --check [NAME] [--threads N]    compares results and times everybody briefly (a minute);
//                                                                                 only operations whose name contains NAME
//
// PeersHost.cs has the verbs of the comparison with other libraries.

using System.Globalization;
using BenchmarkDotNet.Running;
using HpcNet.Benchmarks;

// HpcNet's side of peers/compare.py.
if (PeersHost.TryRun(args) is { } exitCode)
    return exitCode;

if (args is not ["--check", .. var rest])
{
    BenchmarkSwitcher.FromAssembly(typeof(OperationBenchmark).Assembly).Run(args);
    return 0;
}

IEnumerable<int> threads = OperationBenchmark.ThreadCounts;
if (rest is [.. var before, "--threads", var count] && int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number > 0)
    (rest, threads) = (before, [number]);
if (rest.Length > 1)
{
    Console.Error.WriteLine("usage: --check [NAME] [--threads N]");
    return 2;
}
Console.OutputEncoding = System.Text.Encoding.UTF8;
try
{
    Check.Run(rest.FirstOrDefault(), threads, Console.Out);
    return 0;
}
catch (Exception e) when (e is ArgumentException or InvalidOperationException)
{
    Console.Error.WriteLine(e.Message);
    return 1;
}
