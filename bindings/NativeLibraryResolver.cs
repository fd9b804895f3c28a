// Finds and loads the native core, once per process, and can say afterwards what was tried.
//
// Order: HPCNET_LIBRARY (a forced choice: nothing else is tried), the application's folder, runtimes/<rid>/native below it,
// this assembly's folder, the folders that the host names for native libraries (an application run from the package cache, a
// single file that unpacks itself), then the system's loader. A file that does not load, is something else, or speaks another
// version of the ABI is passed over with a note; if nothing is left, all the notes make one HpcNetLibraryException.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace HpcNet.Interop;

/// <summary>One place where the native core was looked for.</summary>
/// <param name="Path">The file, or the bare name that the system's loader was asked for.</param>
/// <param name="Origin">Why this place: <c>HPCNET_LIBRARY</c>, <c>application folder</c>, ...</param>
/// <param name="Failure">What was wrong with it; null for the one that was loaded.</param>
internal sealed record LibraryProbe(string Path, string Origin, string? Failure);

/// <summary>What the search for the native core found.</summary>
/// <param name="Handle">The loaded library; 0 if there is none.</param>
/// <param name="Path">What was loaded; null if nothing was.</param>
/// <param name="Probes">Every place tried, in order; the last one is the one loaded, if any was.</param>
/// <param name="Failure">The whole message, if nothing was loaded.</param>
internal sealed record LibrarySearch(nint Handle, string? Path, IReadOnlyList<LibraryProbe> Probes, string? Failure);

/// <summary>Loads the native core for the DllImports of <see cref="Native"/>.</summary>
internal static unsafe class NativeLibraryResolver
{
    /// <summary>The environment variable that forces a path.</summary>
    public const string Variable = "HPCNET_LIBRARY";

    /// <summary>The name in the DllImports.</summary>
    private const string ImportName = "hpcnet";

    // The search never throws: an exception in here would be kept and shown with another first line and stack each time.
    private static readonly Lazy<LibrarySearch> s_search = new(FindForThisProcess, LazyThreadSafetyMode.ExecutionAndPublication);

    /// <summary>What was tried and what was loaded. Searches on first use; never throws.</summary>
    public static LibrarySearch Search => s_search.Value;

    /// <summary>The file name of the native core on this operating system.</summary>
    public static string FileName => OperatingSystem.IsWindows() ? "hpcnet.dll" : "libhpcnet.so";

    /// <summary>Loads the native core if that has not been done.</summary>
    /// <exception cref="HpcNetLibraryException">It cannot be loaded. The same on every call.</exception>
    public static void EnsureLoaded() => Handle();

#pragma warning disable CA2255 // A module initializer in a library: it has to come before any P/Invoke and does nothing else.
    /// <summary>Puts the search behind every DllImport of this assembly. Looks for nothing yet, and cannot fail.</summary>
    [ModuleInitializer]
    internal static void Register() =>
        NativeLibrary.SetDllImportResolver(
            typeof(NativeLibraryResolver).Assembly,
            static (name, _, _) => name == ImportName ? Handle() : 0);
#pragma warning restore CA2255

    private static nint Handle()
    {
        LibrarySearch search = Search;
        if (search.Failure is not null)
            throw new HpcNetLibraryException(search.Failure, [.. search.Probes.Select(static probe => probe.Path)]);
        return search.Handle;
    }

    private static LibrarySearch FindForThisProcess()
    {
        string? forced = Environment.GetEnvironmentVariable(Variable);
        if (!string.IsNullOrEmpty(forced))
        {
            // A bare name that is no file here is left to the system's loader.
            bool isFile = forced.AsSpan().IndexOfAny('/', '\\') >= 0 || File.Exists(forced);
            return Find([(isFile ? Path.GetFullPath(forced) : forced, Variable)], $"{Variable} forces this path, so no other was tried.");
        }

        // Asked before any file is touched: the loader's words for a foreign file ("no such file") would mislead.
        if (UnsupportedPlatform() is { } platform)
        {
            return new LibrarySearch(0, null, [],
                $"HpcNet does not support this platform: {platform}. It runs on x64 Linux with glibc and on x64 Windows. "
                + $"(The path of a native core of your own build can be given in {Variable}.)");
        }

        return Find(Candidates(), $"Set {Variable} to the path of {FileName}, or put it beside the application.");
    }

    /// <summary>Why there can be no native core here; null where there can.</summary>
    private static string? UnsupportedPlatform()
    {
        // Of the process, not of the machine: an x64 runtime under emulation is served.
        Architecture architecture = RuntimeInformation.ProcessArchitecture;
        string cpu = architecture.ToString().ToLowerInvariant();
        if (OperatingSystem.IsLinux() && IsMusl())
            return $"Linux with musl on {cpu} (runtime identifier {RuntimeInformation.RuntimeIdentifier})";
        string system = OperatingSystem.IsLinux() ? "Linux"
            : OperatingSystem.IsWindows() ? "Windows"
            : OperatingSystem.IsMacOS() ? "macOS"
            : RuntimeInformation.OSDescription;
        bool supported = architecture == Architecture.X64 && (OperatingSystem.IsLinux() || OperatingSystem.IsWindows());
        return supported ? null : $"{system} on {cpu}";
    }

    // The runtime itself was built for one C library, and its identifier says for which.
    private static bool IsMusl() =>
        RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal)
        || RuntimeInformation.RuntimeIdentifier.StartsWith("alpine", StringComparison.Ordinal);

    [UnconditionalSuppressMessage("SingleFile", "IL3000",
        Justification = "The location is empty in a single file; the folder is then left out.")]
    private static List<(string Path, string Origin)> Candidates()
    {
        string rid = OperatingSystem.IsWindows() ? "win-x64" : "linux-x64";
        var candidates = new List<(string Path, string Origin)>();

        void Add(string? folder, string origin)
        {
            if (string.IsNullOrEmpty(folder))
                return;
            string path = Path.GetFullPath(Path.Combine(folder, FileName));
            if (!candidates.Exists(candidate => candidate.Path == path))
                candidates.Add((path, origin));
        }

        Add(AppContext.BaseDirectory, "application folder");
        Add(Path.Combine(AppContext.BaseDirectory, "runtimes", rid, "native"), "application's runtimes folder");
        string? assembly = Path.GetDirectoryName(typeof(NativeLibraryResolver).Assembly.Location);
        Add(assembly, "assembly folder");
        if (!string.IsNullOrEmpty(assembly))
            Add(Path.Combine(assembly, "runtimes", rid, "native"), "assembly's runtimes folder");
        foreach (string folder in (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "").Split(Path.PathSeparator))
            Add(folder, "host's native folders");
        candidates.Add((FileName, "system loader"));
        return candidates;
    }

    internal static LibrarySearch Find(List<(string Path, string Origin)> candidates, string advice)
    {
        var probes = new List<LibraryProbe>();
        foreach ((string path, string origin) in candidates)
        {
            string? failure = TryLoad(path, origin, out nint handle);
            probes.Add(new LibraryProbe(path, origin, failure));
            if (failure is null)
                return new LibrarySearch(handle, path, probes, null);
        }

        var message = new StringBuilder("HpcNet's native core could not be loaded. Tried:");
        foreach (LibraryProbe probe in probes)
            message.Append("\n  ").Append(probe.Path).Append(" (").Append(probe.Origin).Append("): ").Append(probe.Failure);
        message.Append('\n').Append(advice);
        return new LibrarySearch(0, null, probes, message.ToString());
    }

    /// <summary>Loads one candidate and makes sure of what it is.</summary>
    /// <returns>Null if it is loaded, else what was wrong.</returns>
    private static string? TryLoad(string path, string origin, out nint handle)
    {
        handle = 0;
        try
        {
            // Not asked of a bare name, nor of a forced path: there the loader has its own words for a file that is not there.
            if (Path.IsPathRooted(path) && origin != Variable && !File.Exists(path))
                return "no such file";
            handle = NativeLibrary.Load(path);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            return LoadersWords(exception.Message);
        }

        string? failure = CheckVersion(handle);
        if (failure is not null)
        {
            NativeLibrary.Free(handle);
            handle = 0;
        }

        return failure;
    }

    private static string? CheckVersion(nint handle)
    {
        if (!NativeLibrary.TryGetExport(handle, nameof(Native.hpc_abi_version), out nint export))
            return $"it loads, but is not HpcNet's native core: it does not export {nameof(Native.hpc_abi_version)}";
        uint found = ((delegate* unmanaged[Cdecl]<uint>)export)();
        return found == Native.HPC_ABI_VERSION
            ? null
            : $"it speaks version {found} of the ABI and this assembly version {Native.HPC_ABI_VERSION}; "
                + "take both from the same release";
    }

    /// <summary>Without the runtime's preface on how to trace loading, if there is one: its later lines are the loader's.</summary>
    private static string LoadersWords(string message)
    {
        string[] lines = message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return string.Join("; ", lines.Length > 1 ? lines[1..] : lines);
    }
}
