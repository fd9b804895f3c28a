// Targets.cs: where a row runs. Tests marked [SkippableTheory, Targets] run once on the CPU and once on OpenCL, as the same rows.

using System.Reflection;
using Xunit.Sdk;

namespace HpcNet.Tests;

/// <summary>Gives a test its target as the argument.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class TargetsAttribute : DataAttribute
{
    public override IEnumerable<object[]> GetData(MethodInfo testMethod) => Targets.All.Select(target => new object[] { target });
}

internal static class Targets
{
    public const string Cpu = "cpu";

    public const string OpenCl = "opencl";

    public static readonly string[] All = [Cpu, OpenCl];

    /// <summary>Where the tests keep built kernels, from one run to the next.</summary>
    public static readonly string Kernels = Path.Combine(Path.GetTempPath(), "hpcnet-tests-kernels");

    private static readonly Lazy<Device> CpuDevice = new(() => Device.Cpu());

    private static readonly Lazy<Device> OpenClDevice = new(() => Device.OpenCl(new OpenClOptions { CacheDirectory = Kernels }));

    /// <summary>
    /// The device that all rows of a target share. Without an OpenCL device the row is a reported skip, but a failure where
    /// HPCNET_REQUIRE_OPENCL is 1.
    /// </summary>
    public static Device Open(string target)
    {
        if (target == Cpu)
            return CpuDevice.Value;
        NeedOpenCl();
        return OpenClDevice.Value;
    }

    public static void NeedOpenCl() => Skip.If(
        Environment.GetEnvironmentVariable("HPCNET_REQUIRE_OPENCL") != "1" && Device.OpenClDeviceCount == 0, "no OpenCL device is here");
}
