// CpuOptions.cs: what can be chosen about the CPU device, and the environment variables behind it. The native core reads no
// environment; this and DeviceChoice.cs do.

using System.Globalization;

namespace HpcNet;

/// <summary>
/// Choices for <see cref="Device.Cpu"/>. What is null here comes from the environment (<c>HPCNET_THREADS</c>,
/// <c>HPCNET_ISA</c>, <c>HPCNET_BLAS</c>) and, where that is unset, from the machine. A forced choice that is not available is
/// an error, never a silent fallback.
/// </summary>
public sealed record CpuOptions
{
    private const int MostThreads = 1024;
    private static readonly string[] InstructionSets = ["avx512", "avx2", "scalar"];

    /// <summary>Threads of the team, 1 to 1024; null: as many as there are physical cores that this process may use.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1 or more than 1024.</exception>
    public int? Threads
    {
        get;
        init => field = value is null or (>= 1 and <= MostThreads)
            ? value
            : throw new ArgumentOutOfRangeException(nameof(Threads), value, $"Threads is {value}; expected 1 to {MostThreads}.");
    }

    /// <summary>Instruction set of the kernels: <c>avx512</c>, <c>avx2</c> or <c>scalar</c>; null: the best there is.</summary>
    /// <exception cref="ArgumentException">Another text.</exception>
    public string? Isa
    {
        get;
        init => field = value is null || InstructionSets.Contains(value)
            ? value
            : throw new ArgumentException($"Isa is '{value}'; expected {string.Join(", ", InstructionSets)}.", nameof(Isa));
    }

    /// <summary>
    /// What serves matrix products: <c>builtin</c>, <c>mkl</c>, <c>openblas</c>, <c>onednn</c>, <c>blis</c>, or the path of a
    /// library with the CBLAS interface; null: MKL where it is found, else the built-in kernels.
    /// </summary>
    /// <exception cref="ArgumentException">Empty text.</exception>
    public string? Blas
    {
        get;
        init => field = value is null || value.Trim().Length > 0
            ? value
            : throw new ArgumentException("Blas is empty; expected the name of a provider or the path of a library.", nameof(Blas));
    }

    /// <summary>These options, with the environment's choices where they are null.</summary>
    /// <param name="read">Gives a variable's text, or null.</param>
    /// <exception cref="HpcNetException">A variable that is read holds a text without meaning.</exception>
    internal CpuOptions WithEnvironment(Func<string, string?> read)
    {
        int? threads = Threads;
        if (threads is null && Variable("HPCNET_THREADS") is { } count)
        {
            if (!int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out int parsed) || parsed is < 1 or > MostThreads)
                throw Bad("HPCNET_THREADS", count, $"a whole number from 1 to {MostThreads}");
            threads = parsed;
        }

        string? isa = Isa;
        if (isa is null && Variable("HPCNET_ISA") is { } set)
            isa = InstructionSets.Contains(set) ? set : throw Bad("HPCNET_ISA", set, string.Join(", ", InstructionSets));

        return new CpuOptions { Threads = threads, Isa = isa, Blas = Blas ?? Variable("HPCNET_BLAS") };

        // An empty variable counts as unset: that is how shells and containers clear one.
        string? Variable(string name) => read(name)?.Trim() is { Length: > 0 } value ? value : null;
    }

    internal static HpcNetException Bad(string name, string value, string expected) =>
        new(HpcNetError.NotAvailable, $"The environment variable {name} is '{value}'; expected {expected}.");
}
