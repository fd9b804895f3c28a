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
    /// <see cref="Device.Describe"/> say why. Networks that run as one launch (<see cref="SmallNetworks"/>) stay in float32.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">No member of the enumeration.</exception>
    public Precision Precision
    {
        get;
        init => field = Enum.IsDefined(value)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Precision), value, $"Precision is {value}; expected Float32, Tf32 or BFloat16.");
    }

    /// <summary>
    /// Whether a chain of dense layers whose weights fit into a work-group's local memory (some thousand numbers) runs as one launch,
    /// with its loss, its gradients and the update. Each such network is a kernel of its own, built when first met. null: what
    /// <c>HPCNET_SMALL_NETWORKS</c> says (<c>on</c>, <c>off</c>), else on everything but a processor.
    /// </summary>
    public bool? SmallNetworks { get; init; }

    /// <summary>These options, with the environment's choices where they are null.</summary>
    /// <param name="read">Gives a variable's text, or null.</param>
    /// <exception cref="HpcNetException">The variable that is read holds a text without meaning.</exception>
    internal OpenClOptions WithEnvironment(Func<string, string?> read) => SmallNetworks is not null
        ? this
        : read("HPCNET_SMALL_NETWORKS")?.Trim() switch
        {
            null or "" => this,
            "on" => this with { SmallNetworks = true },
            "off" => this with { SmallNetworks = false },
            string text => throw CpuOptions.Bad("HPCNET_SMALL_NETWORKS", text, "on or off"),
        };

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
