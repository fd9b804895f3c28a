// Files that a command will write at its end. Whether they can be written is found out before the work, not after it, and a
// file is replaced as a whole or not at all.

namespace HpcNet.Cli.Output;

internal static class OutputFile
{
    /// <summary>Fails if the file could not be written now: a file beside it is made and removed again.</summary>
    /// <param name="option">The option that names it.</param>
    /// <param name="path">The file.</param>
    public static void Check(string option, string path)
    {
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full) || Path.EndsInDirectorySeparator(full))
            throw CliException.Failed($"{option} '{path}' is a folder; expected a file.");
        string folder = Path.GetDirectoryName(full)!;
        if (!Directory.Exists(folder))
            throw CliException.Failed($"{option} '{path}' cannot be written: there is no folder '{folder}'.");
        if (File.Exists(full) && (File.GetAttributes(full) & FileAttributes.ReadOnly) != 0)
            throw CliException.Failed($"{option} '{path}' cannot be written: the file is read-only.");
        string probe = Temporary(full);
        try
        {
            using var stream = new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw CliException.Failed($"{option} '{path}' cannot be written: no file can be made in '{folder}'.", e);
        }
    }

    /// <summary>Writes a file beside the target and renames it over the target when it is complete.</summary>
    public static void Write(string path, Action<Stream> write)
    {
        string full = Path.GetFullPath(path);
        string temporary = Temporary(full);
        try
        {
            using (var stream = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }
            File.Move(temporary, full, overwrite: true);
        }
        catch
        {
            if (File.Exists(temporary))
                File.Delete(temporary);
            throw;
        }
    }

    private static string Temporary(string full) => Path.Combine(Path.GetDirectoryName(full)!, $".{Guid.NewGuid():N}.tmp");
}
