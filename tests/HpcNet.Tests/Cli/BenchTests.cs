// `hpcnet bench`: the table of workloads (names, operations as the core counts them, steps that learn and leave no garbage), and the
// command from its options to its JSON. Times are nobody's business here.

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using HpcNet.Cli.Bench;

namespace HpcNet.Tests.Cli;

public sealed class BenchTests : IClassFixture<TemporaryFolder>
{
    private readonly TemporaryFolder _folder;

    public BenchTests(TemporaryFolder folder) => _folder = folder;

    /// <summary>Workloads that take neither much memory nor much time.</summary>
    public static TheoryData<string> Small =>
    [
        .. Workload.Fixed.Select(w => w.Name).Where(n => !n.StartsWith("wide", StringComparison.Ordinal)),
        "fit-5x7x3-20x8", "gemm-5x7x11-nn", "gemm-5x7x11-nt", "gemm-5x7x11-tn", "gemm-64x64x64-nn", "dense-5x7x11-linear", "dense-5x7x11-relu", "dense-5x7x11-gelu", "adam-1000",
        .. ElementwiseWorkload.All.Select(w => w.Name.Replace("16777216", "3000", StringComparison.Ordinal)),
    ];

    [Fact]
    public void EveryWorkloadIsFoundByItsName()
    {
        Workload[] all = [.. Workload.Usual, .. ElementwiseWorkload.All];
        Assert.Equal(all.Length, all.Select(w => w.Name).Distinct().Count());
        foreach (Workload workload in all)
        {
            Assert.Equal(workload.Name, Workload.Find(workload.Name.ToUpperInvariant())?.Name);
            Assert.NotEmpty(workload.Meaning);
            Assert.True(workload.Flops > 0 && workload.CompulsoryBytes > 0 && workload.WorkingSet > 0, workload.Name);
        }
        Assert.Equal(4, Workload.Matching("predict-callers").Count);
        Assert.True(Workload.Matching("gemm").Count > 20);
        Assert.Empty(Workload.Matching("gem"));
        Assert.Empty(Workload.Matching(""));
    }

    [Theory]
    [MemberData(nameof(Small))]
    public void AStepRunsAndLeavesNoGarbage(string name)
    {
        Workload workload = Workload.Find(name)!;
        using Device device = Device.Cpu(new CpuOptions { Threads = 2 });
        using WorkloadRun run = workload.Start(device);
        Assert.True(float.IsFinite(run.Step()));
        run.Measure(20, out _);
        Assert.True(run.Measure(3, out long allocated) > 0);
        // A fit hands out a history: its records are made for each epoch, not for each step.
        if (workload is EpochWorkload)
            Assert.InRange(allocated, 0, 5000);
        else
            Assert.Equal(0, allocated);
    }

    // What is elementwise may be fused into less than is counted; the core also updates the gaps between aligned parameters, which are a
    // good part of the tiniest network.
    [Theory]
    [InlineData("xor")]
    [InlineData("tabular")]
    [InlineData("mnist")]
    [InlineData("mnist-clip")]
    [InlineData("small-epoch-64")]
    [InlineData("small-epoch-full")]
    public void OperationsAreThoseThatTheCoreCounts(string name)
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        Workload workload = Workload.Find(name)!;
        (Network network, Trainer trainer, Dataset data, int batch) = workload switch
        {
            TrainingWorkload training => Made(training.Start(device), training.CreateData(), training.Rows),
            EpochWorkload epoch => Made(epoch.Start(device), epoch.CreateData(), epoch.BatchRows),
            _ => throw new InvalidOperationException(name),
        };
        double counted = trainer.Fit(data, 1, batch).FlopsPerSample * data.Count;
        double steps = workload is TrainingWorkload ? data.Count / batch : 1;
        Assert.InRange(workload.Flops * steps / counted, name == "xor" ? 0.9 : 0.95, 1.05);
        trainer.Dispose();
        network.Dispose();

        static (Network Network, Trainer Trainer, Dataset Data, int Batch) Made(WorkloadRun run, WorkloadData data, int batch) => (
            run is TrainingRun t ? t.Network : ((EpochRun)run).Network, run is TrainingRun s ? s.Trainer : ((EpochRun)run).Trainer,
            data.Labels.Length > 0
                ? Dataset.FromArrays(data.Features, data.Inputs, data.Labels, data.Outputs)
                : Dataset.FromArrays(data.Features, data.Inputs, data.Targets, data.Outputs),
            batch);
    }

    // The same weights and data each time, so that others can be compared; they learn, and what they hold is told.
    [Theory]
    [InlineData("tabular", 200)]
    [InlineData("mnist", 60)]
    [InlineData("mnist-clip", 60)]
    [InlineData("small-epoch-64", 3)]
    public void TrainingLearnsTheSameEachTime(string name, int steps)
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 2 });
        Workload workload = Workload.Find(name)!;
        float[][] losses = [.. Enumerable.Range(0, 2).Select(_ =>
        {
            using WorkloadRun run = workload.Start(device);
            float[] own = [.. Enumerable.Range(0, steps).Select(_ => run.Step())];
            RunMemory memory = run.Memory!.Value;
            Assert.True(memory.Parameters > 0 && memory.Moments == 2 * memory.Parameters && memory.Workspace > 0, memory.ToString());
            Assert.InRange(memory.Total, memory.Parameters + memory.Moments, memory.Bound);
            return own;
        })];
        Assert.Equal(losses[0], losses[1]);
        Assert.True(losses[0][^1] < 0.8 * losses[0][0], $"{losses[0][0]} to {losses[0][^1]}");
    }

    // Operations take 10 ns and bytes 20, or the other way round.
    [Theory]
    [InlineData(10, 20, "L2")]
    [InlineData(20, 10, "FLOPs")]
    public void TheFloorIsTheLargerTime(double flopsNs, double bytesNs, string by)
    {
        Workload workload = Workload.Find("mnist")!;
        var result = new BenchResult
        {
            Workload = workload,
            Threads = 1,
            Blas = "builtin",
            Isa = "avx2",
            NsMin = 50,
            NsMedian = 60,
            PeakGflops = workload.Flops / flopsNs,
            Bandwidth = workload.CompulsoryBytes / bytesNs,
            Level = "L2",
            ManagedBytes = 0,
        };
        Assert.Equal(20, result.FloorNs, 1e-9);
        Assert.Equal(2.5, result.FloorRatio, 1e-9);
        Assert.Equal(by, result.Floor);
    }

    // Times and floors at the extents 8, 12 and 16, which lie on one line where they grow with the square.
    [Theory]
    [InlineData(64, 144, 256, 64, 144, 256, 1)]
    [InlineData(64, 1.5 * 144, 256, 64, 144, 256, 1.5)]
    [InlineData(64, 1.5 * 144, 256, 64, 1.2 * 144, 256, 1.25)]
    [InlineData(64, 144, 256, 64, 0.5 * 144, 256, 1)]
    public void AStepIsWhatTheRooflineDoesNotSay(
        double before, double time, double behind, double floorBefore, double floor, double floorBehind, double expected) =>
        Assert.Equal(expected, Sweep.Excess([8, 12, 16], [before, time, behind], [floorBefore, floor, floorBehind], 1), 1e-9);

    [Fact]
    public void MeasuresAndWritesItsResults()
    {
        string[] names =
        [
            "xor", "tabular", "infer1", "small-epoch-full", "gemm-8x8x8-nn", "dense-8x16x8-tanh", "adam-1000", "predict-callers-2", "loss-huber-2000",
        ];
        CliProcess.Outcome outcome = CliProcess.Run(
            _folder.Path, ["bench", "--workload", .. names, "--threads", "1", "2", "--milliseconds", "10", "--blas", "builtin", "--json", "bench.json"]);
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.ExitCode);
        foreach (string word in (string[])["peak GFLOP/s", "DRAM read", "x floor", "bytes/step", "workspace", "process grew", .. names])
            Assert.Contains(word, outcome.Output, StringComparison.Ordinal);

        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(_folder["bench.json"]));
        JsonElement machine = json.RootElement.GetProperty("machine");
        Assert.NotEmpty(machine.GetProperty("name").GetString()!);
        Assert.Equal("float32", machine.GetProperty("precision").GetString());
        JsonElement[] limits = [.. machine.GetProperty("limits").EnumerateArray()];
        Assert.Equal([1, 2], limits.Select(l => l.GetProperty("threads").GetInt32()));
        Assert.All(limits, l => Assert.True(l.GetProperty("peakGflops").GetDouble() > 0 && l.GetProperty("memory").GetArrayLength() >= 3));
        JsonElement[] results = [.. json.RootElement.GetProperty("results").EnumerateArray()];
        Assert.Equal(
            names.SelectMany(n => new[] { (n, 1), (n, 2) }),
            results.Select(r => (r.GetProperty("workload").GetString()!, r.GetProperty("threads").GetInt32())));
        foreach (JsonElement result in results)
        {
            double least = result.GetProperty("nsMin").GetDouble();
            Assert.InRange(least, 1, 1e10);
            Assert.True(result.GetProperty("nsMedian").GetDouble() >= least);
            Assert.Equal("builtin", result.GetProperty("blas").GetString());
            Assert.Contains(result.GetProperty("isa").GetString(), (string[])["avx512", "avx2", "scalar"]);
            Assert.True(result.GetProperty("gflops").GetDouble() > 0);
            Assert.True(result.GetProperty("floorRatio").GetDouble() > 0, result.ToString());
            if (!result.GetProperty("workload").GetString()!.StartsWith("small-epoch", StringComparison.Ordinal))
                Assert.Equal(0, result.GetProperty("managedBytes").GetInt64());
        }
        Assert.True(results[10].TryGetProperty("overBaseline", out _));
        Assert.Equal("gemm-8x16x8-nn", results[10].GetProperty("baseline").GetString());
        Assert.True(results[0].GetProperty("memory").GetProperty("total").GetInt64() > 0);
    }

    [SkippableFact]
    public void MeasuresOpenCl()
    {
        Targets.NeedOpenCl();
        string[] names = ["tabular", "infer64", "gemm-8x16x8-nn", "fit-4x8x3-64x16"];
        CliProcess.Outcome outcome = CliProcess.Run(
            _folder.Path, ["bench", "--device", "opencl", "--workload", .. names, "--milliseconds", "10", "--json", "opencl.json"]);
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.ExitCode);
        foreach (string word in (string[])[.. names, "launches/step", "first to last", "host", "of bandwidth"])
            Assert.Contains(word, outcome.Output, StringComparison.Ordinal);
        using JsonDocument json = JsonDocument.Parse(File.ReadAllText(_folder["opencl.json"]));
        JsonElement[] results = [.. json.RootElement.GetProperty("results").EnumerateArray()];
        foreach (JsonElement result in results)
        {
            double kernels = result.GetProperty("nsKernels").GetDouble();
            Assert.True(kernels > 0 && result.GetProperty("nsFirstToLast").GetDouble() >= 0.99 * kernels, result.ToString());
            Assert.True(result.GetProperty("peakShare").GetDouble() > 0 && result.GetProperty("bandwidthShare").GetDouble() > 0, result.ToString());
            double launches = result.GetProperty("launches").GetDouble();
            Assert.True(launches > 0, result.ToString());
            // Somebody who waits in each call has no time of the host alone.
            string name = result.GetProperty("workload").GetString()!;
            Assert.Equal(name is "tabular" or "gemm-8x16x8-nn", result.TryGetProperty("nsHost", out JsonElement host) && host.GetDouble() > 0);
        }
        // Four updates of an epoch; the products of a program are repeated, and its last launch counts the run.
        Assert.Equal(0, results[3].GetProperty("launches").GetDouble() % 4);
        Assert.InRange(results[2].GetProperty("launches").GetDouble(), 1, 2);
    }

    [Fact]
    public void SweepsAndDraws()
    {
        CliProcess.Outcome outcome = CliProcess.Run(
            _folder.Path, "bench", "--sweep", "--largest", "16", "--threads", "1", "--milliseconds", "2", "--plot", "sweep.svg");
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.ExitCode);
        foreach (string word in (string[])["width", "batch", "depth", "x floor", "roofline"])
            Assert.Contains(word, outcome.Output, StringComparison.Ordinal);
        string picture = File.ReadAllText(_folder["sweep.svg"]);
        Assert.StartsWith("<svg", picture, StringComparison.Ordinal);
        Assert.Contains("floor, 1 thread", picture, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnInterruptedBenchEnds()
    {
        if (OperatingSystem.IsWindows())
            return;
        using Process process = CliProcess.Start(_folder.Path, "bench", "--workload", "adam-1000", "xor", "--threads", "1", "--milliseconds", "60000");
        string? first = await process.StandardOutput.ReadLineAsync();
        Assert.NotNull(first);
        await Task.Delay(2000);
        using (Process kill = Process.Start("kill", ["-TERM", process.Id.ToString(CultureInfo.InvariantCulture)]))
            await kill.WaitForExitAsync();
        CliProcess.Outcome outcome = CliProcess.Wait(process);
        Assert.Equal(130, outcome.ExitCode);
        Assert.Contains("Interrupted", outcome.Error, StringComparison.Ordinal);
    }
}
