// Saving without ever leaving half a file: written beside the target under a name of its own, flushed to the disk, then
// renamed over the target. Whatever fails, the old file stays as it was and nothing is left beside it.

namespace HpcNet;

internal static class AtomicFile
{
    /// <summary>Writes a file. The path keeps its old content until <paramref name="write"/> has returned and all is on disk.</summary>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="UnauthorizedAccessException">The file is read-only, is a folder, or may not be written.</exception>
    public static void Write(string path, Action<Stream> write)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(write);
        var target = Path.GetFullPath(path);
        if (Directory.Exists(target)) throw new UnauthorizedAccessException($"'{path}' is a folder and cannot be replaced by a file.");

        // A rename would replace a link, not what it points to.
        if (new FileInfo(target) is { LinkTarget: not null } link && link.ResolveLinkTarget(returnFinalTarget: true) is { } final)
            target = final.FullName;
        var folder = Path.GetDirectoryName(target);
        if (string.IsNullOrEmpty(folder) || !Directory.Exists(folder))
            throw new DirectoryNotFoundException($"'{path}' cannot be written: there is no folder '{folder}'.");

        // A rename would also replace a read-only file where the folder may be written.
        var replaces = File.Exists(target);
        if (replaces && (File.GetAttributes(target) & FileAttributes.ReadOnly) != 0)
            throw new UnauthorizedAccessException($"'{path}' is read-only.");

        var temporary = Path.Combine(folder, $".{Guid.NewGuid():N}.tmp");
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            if (replaces && !OperatingSystem.IsWindows()) File.SetUnixFileMode(temporary, File.GetUnixFileMode(target));
            File.Move(temporary, target, overwrite: true);
        }
        catch
        {
            Remove(temporary);
            throw;
        }
    }

    // What went wrong first is what the caller has to hear, not that the clean-up failed as well.
    private static void Remove(string temporary)
    {
        try
        {
            File.Delete(temporary);
        }
        catch (IOException)
        {
        }
        catch (UnauthorizedAccessException)
        {
        }
    }
}
