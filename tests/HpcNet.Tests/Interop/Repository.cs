// Where tests find the sources they check themselves against.
using System.Reflection;

namespace HpcNet.Tests.Interop;

/// <summary>Paths in the checkout that the tests were built from.</summary>
internal static class Repository
{
    /// <summary>The root: as it was at build, or, if the tests were moved, the first folder above them that looks like it.</summary>
    public static string Root { get; } = Find();

    /// <summary>A file below the root, by its path with forward slashes.</summary>
    public static string File(string path) => Path.Combine(Root, path);

    private static string Find()
    {
        string? built = typeof(Repository).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
            .FirstOrDefault(attribute => attribute.Key == "RepositoryRoot")?.Value;
        if (built is not null && IsRoot(built))
            return built;
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (IsRoot(folder.FullName))
                return folder.FullName;
        }

        throw new DirectoryNotFoundException($"no checkout of HpcNet at {built} nor above {AppContext.BaseDirectory}");
    }

    private static bool IsRoot(string folder) =>
        System.IO.File.Exists(Path.Combine(folder, "native", "include", "hpcnet.h"));
}
