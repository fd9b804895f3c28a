// Benchmarks of HpcNet.
//
//   dotnet run -c Release --project benchmarks -- --filter '*'     BenchmarkDotNet's measurements (minutes)
//   dotnet run -c Release --project benchmarks -- --check          compares the losses and times each contestant briefly (seconds)

using System.Diagnostics;
using System.Globalization;
using BenchmarkDotNet.Running;
using HpcNet.Benchmarks;

// HpcNet's side of peers/compare.py.
if (PeersHost.TryRun(args) is { } exitCode)
    return exitCode;

if (args is ["--check"])
{
    foreach (int threads in TrainingStepBenchmark.ThreadCounts)
        Check(threads);
    return 0;
}

BenchmarkSwitcher.FromAssembly(typeof(TrainingStepBenchmark).Assembly).Run(args);
return 0;

static void Check(int threads)
{
    using var contest = new TrainingStepCase(threads);
    float[] losses = contest.CheckLosses(steps: 10);
    double peak = contest.Device.Measure().PeakGflops;
    Print($"784-512-256-10, batch {TrainingStepCase.Rows}, Adam: {contest.Device}, measured peak {peak:F0} GFLOP/s");
    Print($"  the losses agree over {losses.Length} steps: {losses[0]:F4} to {losses[^1]:F4}");
    Time("HpcNet", contest.StepNative, peak);
    Time("managed, blocked", contest.StepBlocked, peak);
    Time("managed, plain", contest.StepPlain, peak);
}

// The median: this is for a quick look, also on a machine with neighbours.
static void Time(string name, Func<float> step, double peak)
{
    var times = new List<double>(capacity: 500);
    long allocated = GC.GetAllocatedBytesForCurrentThread();
    var total = Stopwatch.StartNew();
    while (times.Count < 5 || (total.Elapsed.TotalSeconds < 1 && times.Count < 500))
    {
        long start = Stopwatch.GetTimestamp();
        step();
        times.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
    }
    allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
    times.Sort();
    double median = times[times.Count / 2];
    double gflops = TrainingStepCase.Flops / (median * 1e6);
    Print($"  {name,-18}{median,9:F3} ms{gflops,9:F1} GFLOP/s{100 * gflops / peak,7:F1} %{allocated / times.Count,8} B allocated per step");
}

static void Print(FormattableString text) => Console.WriteLine(text.ToString(CultureInfo.InvariantCulture));
