// DeviceChoice.cs: which device a text means: cpu, opencl, opencl:1, opencl:name. The same texts serve HPCNET_DEVICE,
// Device.Open and the tool's --device.

using System.Globalization;

namespace HpcNet;

/// <summary>Which device a text means; <see cref="Device.Open"/> makes it.</summary>
/// <param name="OpenCl">Whether it is an OpenCL device; else the CPU.</param>
/// <param name="Index">The device's number; -1: by name, else the best.</param>
/// <param name="Name">A fragment of its name; null: none.</param>
public readonly record struct DeviceChoice(bool OpenCl, int Index = -1, string? Name = null)
{
    /// <summary>The texts that have a meaning, for messages.</summary>
    public const string Expected = "cpu, opencl, opencl:N or opencl:name";

    private const string Prefix = "opencl:";

    /// <summary>Reads <c>cpu</c>, <c>opencl</c>, <c>opencl:N</c> or <c>opencl:name</c>, in any case of letters.</summary>
    /// <param name="text">The text.</param>
    /// <param name="choice">What it means.</param>
    /// <returns>Whether it has a meaning.</returns>
    public static bool TryParse(string text, out DeviceChoice choice)
    {
        text = text.Trim();
        choice = default;
        if (text.Equals("cpu", StringComparison.OrdinalIgnoreCase))
            return true;
        choice = new DeviceChoice(OpenCl: true);
        if (text.Equals("opencl", StringComparison.OrdinalIgnoreCase))
            return true;
        if (!text.StartsWith(Prefix, StringComparison.OrdinalIgnoreCase) || text.AsSpan(Prefix.Length).Trim().IsEmpty)
            return false;
        string which = text[Prefix.Length..].Trim();
        choice = int.TryParse(which, NumberStyles.None, CultureInfo.InvariantCulture, out int index)
            ? choice with { Index = index }
            : choice with { Name = which };
        return true;
    }

    /// <summary>The choice of the environment; the CPU where it is silent.</summary>
    /// <param name="read">Gives a variable's text, or null.</param>
    /// <exception cref="HpcNetException">HPCNET_DEVICE holds a text without meaning.</exception>
    internal static DeviceChoice FromEnvironment(Func<string, string?> read)
    {
        // An empty variable counts as unset, as it does for the others.
        if (read("HPCNET_DEVICE")?.Trim() is not { Length: > 0 } text)
            return default;
        return TryParse(text, out DeviceChoice choice) ? choice : throw CpuOptions.Bad("HPCNET_DEVICE", text, Expected);
    }
}
