// BenchReport.cs: measured workloads as tables for people and as JSON for everybody else.

using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using HpcNet.Cli.Output;
using static System.FormattableString;

namespace HpcNet.Cli.Bench;

internal static class BenchReport
{
    private const double Mega = 1e6;

    /// <summary>What the machine can do at most: a line for each number of threads.</summary>
    public static string LimitsTable(IReadOnlyList<Limits> limits)
    {
        string[] levels = [.. limits[0].Levels.Select(l => l.Name)];
        var table = new TextTable(["threads", "peak GFLOP/s", .. levels.SelectMany(l => new[] { $"{l} read", "copy", "update" })]);
        foreach (Limits each in limits)
        {
            table.Add(
            [
                Invariant($"{each.Threads}"), Invariant($"{each.PeakGflops:F1}"),
                .. each.Levels.SelectMany(l => new[]
                {
                    Invariant($"{l.Bandwidth.Read:F1}"), Invariant($"{l.Bandwidth.Copy:F1}"), Invariant($"{l.Bandwidth.Update:F1}"),
                }),
            ]);
        }
        string sizes = string.Join(", ", limits[^1].Levels.Select(l => $"{l.Name} {Bytes(l.Bandwidth.Bytes)}"));
        return $"{table.Format()}GB/s of read and written bytes over {sizes} with {limits[^1].Threads} thread{(limits[^1].Threads == 1 ? "" : "s")}\n";
    }

    /// <summary>What was measured: a line for each workload and number of threads.</summary>
    public static string ResultsTable(IReadOnlyList<BenchResult> results)
    {
        var table = new TextTable(
            "workload", "threads", "min", "median", "GFLOP/s", "of peak", "floor", "bound by", "x floor", "x bare", "x bare+formula", "bytes/step");
        foreach (BenchResult r in results)
        {
            table.Add(
                r.Workload.Name, Invariant($"{r.Threads}"), Time(r.NsMin), Time(r.NsMedian), Invariant($"{r.Gflops:F1}"),
                Invariant($"{100 * r.Gflops / r.PeakGflops:F1} %"), Time(r.FloorNs), r.Floor, Invariant($"{r.FloorRatio:F2}"), Ratio(r.OverBaseline),
                Ratio(r.FormulaNs is null ? null : r.OverBaselineAndFormula), Invariant($"{r.ManagedBytes}"));
        }
        return table.Format();
    }

    /// <summary>What steps cost a device with a queue, by its own clock; empty where none was measured on one.</summary>
    public static string DeviceTable(IReadOnlyList<BenchResult> results)
    {
        BenchResult[] queued = [.. results.Where(r => r.Costs is not null)];
        if (queued.Length == 0)
            return "";
        var table = new TextTable("on the device", "launches/step", "kernels", "first to last", "host", "of peak", "of bandwidth");
        foreach (BenchResult r in queued)
        {
            RunCosts costs = r.Costs!.Value;
            table.Add(
                r.Workload.Name, Invariant($"{costs.Launches:0.##}"), Time(costs.BusyNs), Time(costs.SpanNs), r.HostNs is { } host ? Time(host) : "",
                Invariant($"{100 * r.PeakShare:F1} %"), Invariant($"{100 * r.BandwidthShare:F1} %"));
        }
        return table.Format();
    }

    /// <summary>What training runs hold; empty where none was measured.</summary>
    public static string MemoryTable(IReadOnlyList<BenchResult> results)
    {
        BenchResult[] training = [.. results.Where(r => r.Memory is not null)];
        if (training.Length == 0)
            return "";
        var table = new TextTable(
            "MB of memory", "threads", "parameters", "gradient", "moments", "packs", "workspace", "data", "in all", "bound", "process grew");
        foreach (BenchResult r in training)
        {
            RunMemory memory = r.Memory!.Value;
            table.Add(
            [
                r.Workload.Name, Invariant($"{r.Threads}"),
                .. new[]
                {
                    memory.Parameters, memory.Gradient, memory.Moments, memory.Packs, memory.Workspace, memory.Data, memory.Total, memory.Bound, memory.Growth,
                }.Select(b => (b / Mega).ToString("F2", CultureInfo.InvariantCulture)),
            ]);
        }
        return table.Format();
    }

    /// <summary>Writes everything to a file.</summary>
    public static void Write(string path, Device device, IReadOnlyList<Limits> limits, IReadOnlyList<BenchResult> results) => OutputFile.Write(path, stream =>
    {
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        json.WriteStartObject("machine");
        json.WriteString("name", device.Name);
        json.WriteString("device", device.Kind);
        json.WriteString("precision", device.Precision.ToString().ToLowerInvariant());
        json.WriteNumber("processors", Environment.ProcessorCount);
        json.WriteNumber("memoryBytes", device.MemoryBytes);
        json.WriteString("system", RuntimeInformation.OSDescription.Trim());
        json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
        CacheSizes caches = device.Caches;
        json.WriteStartObject("caches");
        json.WriteNumber("level1", caches.Level1);
        json.WriteNumber("level2", caches.Level2);
        json.WriteNumber("level3", caches.Level3);
        json.WriteBoolean("guessed", caches.Guessed);
        json.WriteEndObject();
        json.WriteStartArray("limits");
        foreach (Limits each in limits)
        {
            json.WriteStartObject();
            json.WriteNumber("threads", each.Threads);
            Number(json, "peakGflops", each.PeakGflops);
            json.WriteStartArray("memory");
            foreach (MemoryLevel level in each.Levels)
            {
                json.WriteStartObject();
                json.WriteString("level", level.Name);
                json.WriteNumber("bytes", level.Bandwidth.Bytes);
                Number(json, "readGBs", level.Bandwidth.Read);
                Number(json, "copyGBs", level.Bandwidth.Copy);
                Number(json, "updateGBs", level.Bandwidth.Update);
                json.WriteEndObject();
            }
            json.WriteEndArray();
            json.WriteEndObject();
        }
        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteStartArray("results");
        foreach (BenchResult r in results)
            Write(json, r);
        json.WriteEndArray();
        json.WriteEndObject();
    });

    /// <summary>A time with four digits and its unit.</summary>
    public static string Time(double nanoseconds) => nanoseconds switch
    {
        < 1e3 => Digits(nanoseconds, "ns"),
        < 1e6 => Digits(nanoseconds * 1e-3, "us"),
        < 1e9 => Digits(nanoseconds * 1e-6, "ms"),
        _ => Digits(nanoseconds * 1e-9, "s"),
    };

    private static void Write(Utf8JsonWriter json, BenchResult r)
    {
        json.WriteStartObject();
        json.WriteString("workload", r.Workload.Name);
        json.WriteString("meaning", r.Workload.Meaning);
        json.WriteNumber("threads", r.Threads);
        json.WriteString("blas", r.Blas);
        json.WriteString("isa", r.Isa);
        Number(json, "nsMin", r.NsMin);
        Number(json, "nsMedian", r.NsMedian);
        Number(json, "gflops", r.Gflops);
        Number(json, "floorRatio", r.FloorRatio);
        json.WriteNumber("managedBytes", r.ManagedBytes);
        json.WriteString("floor", r.Floor);
        Number(json, "nsFloor", r.FloorNs);
        Number(json, "flops", r.Workload.Flops);
        Number(json, "compulsoryBytes", r.Workload.CompulsoryBytes);
        Number(json, "workingSet", r.Workload.WorkingSet);
        Number(json, "peakGflops", r.PeakGflops);
        Number(json, "bandwidthGBs", r.Bandwidth);
        if (r.BaselineNs is { } baseline)
        {
            json.WriteString("baseline", r.Workload.Baseline!.Name);
            Number(json, "baselineNs", baseline);
            Number(json, "overBaseline", r.NsMin / baseline);
        }
        if (r.FormulaNs is { } formula)
            Number(json, "formulaNs", formula);
        if (r.Costs is { } costs)
        {
            Number(json, "launches", costs.Launches);
            Number(json, "nsKernels", costs.BusyNs);
            Number(json, "nsFirstToLast", costs.SpanNs);
            Number(json, "peakShare", r.PeakShare!.Value);
            Number(json, "bandwidthShare", r.BandwidthShare!.Value);
        }
        if (r.HostNs is { } host)
            Number(json, "nsHost", host);
        if (r.Memory is { } memory)
        {
            json.WriteStartObject("memory");
            json.WriteNumber("parameters", memory.Parameters);
            json.WriteNumber("gradient", memory.Gradient);
            json.WriteNumber("moments", memory.Moments);
            json.WriteNumber("packs", memory.Packs);
            json.WriteNumber("workspace", memory.Workspace);
            json.WriteNumber("data", memory.Data);
            json.WriteNumber("total", memory.Total);
            json.WriteNumber("bound", memory.Bound);
            json.WriteNumber("processGrowth", memory.Growth);
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    // More digits than were measured say nothing.
    private static void Number(Utf8JsonWriter json, string name, double value)
    {
        string text = double.IsFinite(value) ? value.ToString("G6", CultureInfo.InvariantCulture) : "0";
        json.WriteNumber(name, double.Parse(text, CultureInfo.InvariantCulture));
    }

    private static string Digits(double value, string unit) => value switch
    {
        < 10 => Invariant($"{value:F3} {unit}"),
        < 100 => Invariant($"{value:F2} {unit}"),
        _ => Invariant($"{value:F1} {unit}"),
    };

    private static string Ratio(double? ratio) => ratio is { } value ? Invariant($"{value:F3}") : "";

    private static string Bytes(long bytes) => bytes switch
    {
        < 1 << 20 => Invariant($"{bytes / 1024.0:F0} KiB"),
        _ => Invariant($"{bytes / 1048576.0:0.#} MiB"),
    };
}
