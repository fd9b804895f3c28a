// BenchRunner.cs: measures one workload after the other. The time is the best and the middle of many short samples; the peak and the
// bandwidth that it is compared with are measured again between them, since a machine with neighbours is faster at one moment than at
// another. What disturbs a measurement makes it slower, so the best of the one is divided by the best of the other.

using System.Diagnostics;

namespace HpcNet.Cli.Bench;

/// <summary>What was measured of a workload.</summary>
internal sealed record BenchResult
{
    /// <summary>What was measured.</summary>
    public required Workload Workload { get; init; }

    /// <summary>Threads of the team.</summary>
    public required int Threads { get; init; }

    /// <summary>Who multiplied; empty for OpenCL.</summary>
    public required string Blas { get; init; }

    /// <summary>Instruction set; empty for OpenCL.</summary>
    public required string Isa { get; init; }

    /// <summary>Nanoseconds of a step in the best sample.</summary>
    public required double NsMin { get; init; }

    /// <summary>Nanoseconds of a step in the middle one.</summary>
    public required double NsMedian { get; init; }

    /// <summary>The best peak while it was measured.</summary>
    public required double PeakGflops { get; init; }

    /// <summary>Gigabytes per second of memory as large as the working set, for this kind of traffic.</summary>
    public required double Bandwidth { get; init; }

    /// <summary>The level of memory that holds the working set.</summary>
    public required string Level { get; init; }

    /// <summary>Managed bytes for each step.</summary>
    public required long ManagedBytes { get; init; }

    /// <summary>The best time of the baseline; null: there is none.</summary>
    public double? BaselineNs { get; init; }

    /// <summary>What the formula of the elementwise part takes by itself, shared out to the threads; null: it is not counted.</summary>
    public double? FormulaNs { get; init; }

    /// <summary>What the run holds; null: it is no training.</summary>
    public RunMemory? Memory { get; init; }

    /// <summary>What a step costs a device that has a queue, by its own clock; null: there is none.</summary>
    public RunCosts? Costs { get; init; }

    /// <summary>Nanoseconds of the host for a step that it does not wait for; null: it waits.</summary>
    public double? HostNs { get; init; }

    /// <summary>The share of the device's peak while its kernels run.</summary>
    public double? PeakShare => Workload.Flops / Costs?.BusyNs / PeakGflops;

    /// <summary>The share of the device's bandwidth while its kernels run, if everything moved once.</summary>
    public double? BandwidthShare => Workload.CompulsoryBytes / Costs?.BusyNs / Bandwidth;

    /// <summary>Operations per nanosecond in the best sample.</summary>
    public double Gflops => Workload.Flops / NsMin;

    /// <summary>The time that operations take at the peak.</summary>
    public double FlopsNs => Workload.Flops / PeakGflops;

    /// <summary>The time that compulsory bytes take.</summary>
    public double BytesNs => Workload.CompulsoryBytes / Bandwidth;

    /// <summary>No machine like this one is faster.</summary>
    public double FloorNs => Math.Max(Math.Max(FlopsNs, BytesNs), Workload.Baseline is null ? FormulaNs ?? 0 : 0);

    /// <summary>What the floor is made of.</summary>
    public string Floor => FloorNs == FlopsNs ? "FLOPs" : FloorNs == BytesNs ? Level : "formula";

    /// <summary>The best time over the floor.</summary>
    public double FloorRatio => NsMin / FloorNs;

    /// <summary>The best time over that of the baseline.</summary>
    public double? OverBaseline => NsMin / BaselineNs;

    /// <summary>The best time over that of the baseline and of the formula.</summary>
    public double? OverBaselineAndFormula => NsMin / (BaselineNs + (FormulaNs ?? 0));
}

/// <summary>Measures workloads.</summary>
/// <param name="yardstick">Devices and limits.</param>
/// <param name="milliseconds">How long to measure each.</param>
/// <param name="interrupted">Looked at between samples.</param>
internal sealed class BenchRunner(Yardstick yardstick, int milliseconds, CancellationToken interrupted)
{
    private const int Rounds = 8, LeastRounds = 3;
    private const int PeakMilliseconds = 3;

    // So few that no queue is full, so often that one of them was not disturbed.
    private const int HostCalls = 8, HostRounds = 10;

    // The runtime compiles what is called often a second time, after a tenth of a second of quiet.
    private const double WarmMilliseconds = 250;

    // Below this share of the time of the operations, the bandwidth of the level is good enough.
    private const double BytesMatter = 0.4;

    // Of larger working sets memory is measured less often, and in part: making it takes longer than measuring it.
    private const double Large = 32 << 20;

    /// <summary>Measures one workload.</summary>
    public BenchResult Measure(Workload workload, int threads)
    {
        Device device = yardstick.Device(threads);
        using Contestant main = new(workload.Start(device), milliseconds);
        using Contestant? baseline = workload.Baseline is { } other ? new Contestant(other.Start(device), milliseconds) : null;
        using Contestant? formula = workload.Formula is { } alone
            ? new Contestant(alone.Start(yardstick.Device(device.IsOpenCl ? threads : 1)), milliseconds)
            : null;
        Contestant?[] all = [main, baseline, formula];

        int floorThreads = device.IsOpenCl ? threads : workload.FloorThreads(device.Threads);
        Device floorDevice = yardstick.Device(floorThreads);
        foreach (Contestant? each in all)
            each?.Warm(Math.Min(WarmMilliseconds, milliseconds), interrupted);

        double peak = floorDevice.MeasurePeak(PeakMilliseconds);
        double bandwidth = Yardstick.Of(yardstick.BandwidthOf(floorThreads, workload.WorkingSet), workload.Traffic);
        bool bytesMatter = workload.CompulsoryBytes / bandwidth > BytesMatter * workload.Flops / peak;
        if (bytesMatter)
            bandwidth = 0;

        for (int round = 0; round < Rounds && (round < LeastRounds || main.Spent < milliseconds); round++)
        {
            interrupted.ThrowIfCancellationRequested();
            peak = Math.Max(peak, floorDevice.MeasurePeak(PeakMilliseconds));
            if (bytesMatter && (workload.WorkingSet < Large || round % LeastRounds == 0))
            {
                MemoryBandwidth measured = yardstick.MeasureMemory(floorThreads, workload.WorkingSet, workload.WorkingSet < Large ? 8 : 60);
                bandwidth = Math.Max(bandwidth, Yardstick.Of(measured, workload.Traffic));
            }
            foreach (Contestant? each in all)
                each?.Sample(milliseconds / (double)Rounds, interrupted);
        }
        return new BenchResult
        {
            Workload = workload,
            Threads = device.Threads,
            Blas = device.Blas,
            Isa = device.Isa,
            NsMin = main.Best,
            NsMedian = main.Median,
            PeakGflops = peak,
            Bandwidth = bandwidth,
            Level = yardstick.LevelOf(floorThreads, workload.WorkingSet),
            ManagedBytes = main.AllocatedPerUpdate,
            BaselineNs = baseline?.Best,
            FormulaNs = formula is null ? null : formula.Best / workload.Formula!.Elements * workload.Elements / (device.IsOpenCl ? 1 : device.Threads),
            Memory = main.Run.Memory,
            Costs = main.Run.Costs,
            HostNs = HostNs(main.Run),
        };
    }

    private static double? HostNs(WorkloadRun run)
    {
        long? best = null;
        for (int i = 0; i < HostRounds; i++)
            best = Math.Min(run.MeasureHost(HostCalls) ?? long.MaxValue, best ?? long.MaxValue);
        return best is null or long.MaxValue ? null : 1e9 * best / Stopwatch.Frequency / (HostCalls * run.StepsPerCall);
    }
}
