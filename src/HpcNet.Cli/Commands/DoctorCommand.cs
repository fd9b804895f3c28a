// `hpcnet doctor`: what runs here, where the native core was looked for, what was found and chosen, and how fast it is. It says
// what is wrong instead of failing, part by part; only its exit code tells a caller.

using System.CommandLine;
using System.Reflection;
using System.Runtime.InteropServices;
using HpcNet.Interop;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

internal static class DoctorCommand
{
    private static readonly string[] Variables = ["HPCNET_LIBRARY", "HPCNET_DEVICE", "HPCNET_ISA", "HPCNET_BLAS", "HPCNET_THREADS", "HPCNET_SMALL_NETWORKS"];

    public static Command Create()
    {
        var devices = new DeviceOptions();
        var command = new CommandWithExamples(
            "doctor",
            "Shows what hpcnet finds on this machine: the native core and where it was looked for, instruction sets, BLAS libraries, "
            + "OpenCL devices, threads, measured speed.",
            "hpcnet doctor",
            "hpcnet doctor --blas openblas --threads 1",
            "hpcnet doctor --device opencl",
            "hpcnet doctor --device opencl --precision tf32");
        devices.AddTo(command);
        command.SetAction(line =>
        {
            Host();
            if (!Core())
                return ExitCode.Failed;
            OpenCl();
            return Devices(devices, line) ? ExitCode.Done : ExitCode.Failed;
        });
        return command;
    }

    private static void Host()
    {
        var version = typeof(DoctorCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>();
        Line("hpcnet", version?.InformationalVersion ?? "unknown");
        Line("runtime", $"{RuntimeInformation.FrameworkDescription}, {RuntimeInformation.RuntimeIdentifier}");
        Line("system", $"{RuntimeInformation.OSDescription.Trim()}, {RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant()}");
        Line("processors", $"{Environment.ProcessorCount} that the runtime uses");
        foreach (string variable in Variables)
            Line(variable, Environment.GetEnvironmentVariable(variable) is { Length: > 0 } value ? value : "not set");
    }

    private static bool Core()
    {
        Title("Native core: places tried, in order");
        try
        {
            LibrarySearch search = NativeLibraryResolver.Search;
            foreach (LibraryProbe probe in search.Probes)
                Console.Out.WriteLine($"  {probe.Path} ({probe.Origin}): {probe.Failure ?? "loaded"}");
            if (search.Failure is null)
                return true;
            Console.Out.WriteLine($"  {search.Failure.Split('\n')[search.Probes.Count == 0 ? 0 : ^1]}");
        }
        catch (Exception e)
        {
            Console.Out.WriteLine($"  the search itself failed: {e.Message}");
        }
        return false;
    }

    private static void OpenCl()
    {
        Title("OpenCL: libraries, platforms, devices");
        Lines(Device.DescribeOpenCl());
    }

    private static bool Devices(DeviceOptions devices, ParseResult line)
    {
        Title("Device: found and chosen");
        try
        {
            using Device device = devices.Open(line);
            // OpenCL's own search was printed above.
            Lines(device.IsOpenCl ? device.Describe().Replace(Device.DescribeOpenCl(), "") : device.Describe());
            Console.Out.WriteLine(Invariant($"  memory: {device.MemoryBytes / (1024.0 * 1024 * 1024):F1} GiB"));

            Title($"Measured: {device.Configuration}");
            DeviceMeasurement measured = device.Measure(500);
            Console.Out.WriteLine(Invariant($"  peak: {measured.PeakGflops:F1} GFLOP/s (fused multiply-adds in registers)"));
            Console.Out.WriteLine(Invariant($"  copy: {measured.CopyGigabytesPerSecond:F1} GB/s (read and written)"));
            return true;
        }
        catch (Exception e)
        {
            Lines(e.Message);
            return false;
        }
    }

    private static void Line(string name, string value) => Console.Out.WriteLine($"{name,-21} {value}");

    private static void Lines(string text)
    {
        foreach (string line in text.TrimEnd().Split('\n'))
            Console.Out.WriteLine($"  {line}");
    }

    private static void Title(string text) => Console.Out.WriteLine($"\n{text}");
}
