// OpenClOptions.cs: what can be chosen about an OpenCL device beyond which one it is.

namespace HpcNet;

/// <summary>Choices for <see cref="Device.OpenCl(OpenClOptions?)"/>.</summary>
public sealed record OpenClOptions
{
    /// <summary>
    /// The folder where built kernels are kept from one process to the next; it is made if need be, and what is damaged or foreign
    /// in it is built anew. Empty: kernels are built by every process. By default <c>hpcnet/kernels</c> in the user's cache folder
    /// (<c>XDG_CACHE_HOME</c> or <c>~/.cache</c>; on Windows the local application data).
    /// </summary>
    /// <exception cref="ArgumentNullException">null.</exception>
    public string CacheDirectory
    {
        get => field ??= DefaultCacheDirectory();
        init => field = value ?? throw new ArgumentNullException(nameof(CacheDirectory));
    }

    /// <summary>
    /// What matrix products are multiplied in; <see cref="HpcNet.Precision.Float32"/> by default. Anything else is tried out when the device
    /// is made: tiny products whose every bit is known. Where that fails, float32 runs, and <see cref="Device.PrecisionNote"/> and
    /// <see cref="Device.Describe"/> say why.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">No member of the enumeration.</exception>
    public Precision Precision
    {
        get;
        init => field = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Precision), value, $"Precision is {value}; expected Float32, Tf32 or BFloat16.");
    }

    private static string DefaultCacheDirectory()
    {
        string root = OperatingSystem.IsWindows()
            ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
            : Environment.GetEnvironmentVariable("XDG_CACHE_HOME") is { Length: > 0 } cache && Path.IsPathRooted(cache)
                ? cache
                : Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) is { Length: > 0 } home
                    ? Path.Combine(home, ".cache")
                    : "";
        return root.Length == 0 ? "" : Path.Combine(root, "hpcnet", "kernels");
    }
}
