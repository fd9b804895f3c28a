// Random access to the bytes of a file or of a stream, with the length known before anything is read. All loaders read
// through it: they compare every claim of a header with the length first and allocate afterwards. Reads take an offset
// and share no position, so that threads may read at once.

using Microsoft.Win32.SafeHandles;

namespace HpcNet;

internal sealed class ByteSource : IDisposable
{
    private readonly SafeFileHandle? _handle;
    private readonly byte[] _bytes = [];

    private ByteSource(string name, SafeFileHandle handle, long length)
    {
        Name = name;
        Length = length;
        _handle = handle;
    }

    private ByteSource(string name, byte[] bytes)
    {
        Name = name;
        Length = bytes.Length;
        _bytes = bytes;
    }

    public string Name { get; }

    public long Length { get; }

    /// <summary>Opens a file. A missing file or folder, and a folder in place of a file, are a FileNotFoundException.</summary>
    public static ByteSource Open(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (Directory.Exists(path)) throw new FileNotFoundException($"'{path}' is a folder; a file is wanted.", path);
        SafeFileHandle handle;
        try
        {
            // Deleting is shared so that a save may replace the file while it is open, on Windows as well.
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new FileNotFoundException($"There is no file '{path}'.", path, e);
        }

        try
        {
            return new ByteSource(path, handle, RandomAccess.GetLength(handle));
        }
        catch (NotSupportedException)
        {
            // A pipe has no length.
            using var stream = new FileStream(handle, FileAccess.Read, bufferSize: 1);
            return new ByteSource(path, ReadToEnd(stream, path));
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    /// <summary>Takes the rest of a stream into memory; the stream stays open and is not needed afterwards.</summary>
    public static ByteSource From(Stream stream, string? name)
    {
        ArgumentNullException.ThrowIfNull(stream);
        name ??= "(stream)";
        return new ByteSource(name, ReadToEnd(stream, name));
    }

    /// <summary>Reads up to the span's length; 0 at the end.</summary>
    public int Read(long offset, Span<byte> into)
    {
        if (_handle is not null) return into.IsEmpty ? 0 : RandomAccess.Read(_handle, into, offset);
        if (offset >= _bytes.Length) return 0;
        var some = _bytes.AsSpan((int)offset);
        if (some.Length > into.Length) some = some[..into.Length];
        some.CopyTo(into);
        return some.Length;
    }

    /// <summary>Fills the span, or says that the file ends too early.</summary>
    public void ReadExactly(long offset, Span<byte> into)
    {
        while (!into.IsEmpty)
        {
            var read = Read(offset, into);
            if (read == 0)
                throw new DataFormatException($"{into.Length} more bytes were expected here, the file ends.", Name, byteOffset: offset);
            offset += read;
            into = into[read..];
        }
    }

    public void Dispose() => _handle?.Dispose();

    // Pieces and one copy: twice the content at most, whatever a stream claims to hold.
    private static byte[] ReadToEnd(Stream stream, string name)
    {
        if (stream.CanSeek)
        {
            var length = stream.Length - stream.Position;
            if (length > Array.MaxLength) throw TooLong(name);
            var bytes = new byte[Math.Max(0, length)];
            stream.ReadExactly(bytes);
            return bytes;
        }

        const int pieceLength = 1 << 16;
        var pieces = new List<byte[]>();
        var total = 0L;
        while (true)
        {
            var piece = new byte[pieceLength];
            var read = stream.ReadAtLeast(piece, pieceLength, throwOnEndOfStream: false);
            pieces.Add(piece);
            total += read;
            if (total > Array.MaxLength) throw TooLong(name);
            if (read < pieceLength) break;
        }

        var all = new byte[total];
        for (var i = 0; i < pieces.Count; i++)
        {
            var at = i * (long)pieceLength;
            pieces[i].AsSpan(0, (int)Math.Min(pieceLength, total - at)).CopyTo(all.AsSpan((int)at));
        }
        return all;
    }

    private static DataFormatException TooLong(string name) =>
        new($"streams of up to {Array.MaxLength} bytes are read; open a longer file by its path.", name);
}
