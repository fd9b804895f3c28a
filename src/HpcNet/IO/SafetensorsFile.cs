// Safetensors files: 8 bytes length of the header (little-endian), a JSON header, the tensors' bytes without gaps.
// Opening checks the whole header against the file's length before anything is allocated for it (SafetensorsHeader);
// values are read when asked for. Writing is deterministic: the same tensors and metadata give the same bytes.

using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// A safetensors file, checked and open for reading, and the writer of such files. Reading is safe for files from anywhere
/// and from several threads at once.
/// </summary>
public sealed class SafetensorsFile : IDisposable
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ByteSource _source;
    private readonly SafetensorsTensor[] _tensors;
    private readonly Dictionary<string, string> _metadata;
    private Dictionary<string, SafetensorsTensor>? _byName;

    private SafetensorsFile(ByteSource source)
    {
        _source = source;
        try
        {
            _tensors = SafetensorsHeader.Read(source, out _metadata);
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>The path, or the name given to the stream.</summary>
    public string FileName => _source.Name;

    /// <summary>The texts under <c>__metadata__</c>; empty where the file has none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <summary>The tensors, in the order of their data.</summary>
    public IReadOnlyList<SafetensorsTensor> Tensors => _tensors;

    /// <summary>The tensor of a name.</summary>
    /// <param name="name">The exact name.</param>
    /// <exception cref="DataFormatException">The file has no such tensor.</exception>
    public SafetensorsTensor this[string name] => TryGetTensor(name, out var tensor)
        ? tensor
        : throw new DataFormatException($"the file has no tensor {Excerpt.Of(name)} among its {_tensors.Length}.", FileName);

    /// <summary>Opens and checks a file; the file stays open until this object is disposed.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The file breaks a rule of the format.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public static SafetensorsFile Open(string path) => new(ByteSource.Open(path));

    /// <summary>Reads the rest of a stream into memory (2 GB at most) and checks it. The stream stays open.</summary>
    /// <param name="stream">A readable stream, at the start of the content.</param>
    /// <param name="name">A name for messages.</param>
    /// <exception cref="DataFormatException">The content breaks a rule of the format.</exception>
    public static SafetensorsFile Read(Stream stream, string? name = null) => new(ByteSource.From(stream, name));

    /// <summary>Looks a tensor up by its exact name.</summary>
    /// <param name="name">The name.</param>
    /// <param name="tensor">The tensor, or null.</param>
    /// <returns>Whether there is one.</returns>
    public bool TryGetTensor(string name, [NotNullWhen(true)] out SafetensorsTensor? tensor)
    {
        ArgumentNullException.ThrowIfNull(name);

        // Made when first needed, and only then seen by others: two threads may both make it, to the same effect.
        var byName = _byName;
        if (byName is null)
        {
            byName = new Dictionary<string, SafetensorsTensor>(_tensors.Length, StringComparer.Ordinal);
            foreach (var each in _tensors) byName.Add(each.Name, each);
            Volatile.Write(ref _byName, byName);
        }
        return byName.TryGetValue(name, out tensor);
    }

    /// <summary>Closes the file. Tensors cannot be read afterwards.</summary>
    public void Dispose() => _source.Dispose();

    /// <summary>
    /// Writes a file: beside the target first, flushed to the disk, then renamed over it. When anything fails, an old
    /// file of that name stays as it was. Tensors are ordered by element size (largest first) and name.
    /// </summary>
    /// <param name="path">The file to create or replace; its folder must exist.</param>
    /// <param name="tensors">The tensors; names must differ.</param>
    /// <param name="metadata">Texts to store under <c>__metadata__</c>, or null.</param>
    /// <exception cref="ArgumentException">A name comes twice, or a text is not valid Unicode.</exception>
    /// <exception cref="DirectoryNotFoundException">The folder does not exist.</exception>
    /// <exception cref="IOException">The disk is full, or failed.</exception>
    /// <exception cref="UnauthorizedAccessException">The file is read-only or may not be written.</exception>
    public static void Write(string path, IEnumerable<SafetensorsData> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        var ordered = Order(tensors);
        var header = Header(ordered, metadata);
        AtomicFile.Write(path, stream => Write(stream, header, ordered));
    }

    /// <summary>Writes to a stream, in the same form as to a file.</summary>
    /// <param name="stream">A writable stream; it stays open.</param>
    /// <param name="tensors">The tensors; names must differ.</param>
    /// <param name="metadata">Texts to store under <c>__metadata__</c>, or null.</param>
    /// <exception cref="ArgumentException">A name comes twice, or a text is not valid Unicode.</exception>
    public static void Write(Stream stream, IEnumerable<SafetensorsData> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        ArgumentNullException.ThrowIfNull(stream);
        var ordered = Order(tensors);
        Write(stream, Header(ordered, metadata), ordered);
    }

    /// <summary>Refuses text with half a surrogate pair: it has no UTF-8 form and could not be read back.</summary>
    internal static void CheckText(string text, string parameter)
    {
        ArgumentNullException.ThrowIfNull(text, parameter);
        try
        {
            StrictUtf8.GetByteCount(text);
        }
        catch (EncoderFallbackException e)
        {
            throw new ArgumentException($"{Excerpt.Of(text)} is not valid Unicode.", parameter, e);
        }
    }

    // Largest elements first keeps every tensor aligned to its element size, since the header is padded to 8 bytes.
    private static SafetensorsData[] Order(IEnumerable<SafetensorsData> tensors)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        var ordered = tensors.ToArray();
        Array.Sort(ordered, static (a, b) =>
        {
            var order = SafetensorsDTypes.Size(b.DType).CompareTo(SafetensorsDTypes.Size(a.DType));
            return order != 0 ? order : string.CompareOrdinal(a.Name, b.Name);
        });
        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (var tensor in ordered)
            if (!names.Add(tensor.Name)) throw new ArgumentException($"Two tensors are named {Excerpt.Of(tensor.Name)}.", nameof(tensors));
        return ordered;
    }

    private static ReadOnlyMemory<byte> Header(SafetensorsData[] tensors, IReadOnlyDictionary<string, string>? metadata)
    {
        var buffer = new ArrayBufferWriter<byte>();
        buffer.Write(stackalloc byte[8]);
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartObject();
            if (metadata is { Count: > 0 })
            {
                json.WriteStartObject(SafetensorsHeader.MetadataKey);
                foreach (var (key, text) in metadata.OrderBy(static pair => pair.Key, StringComparer.Ordinal))
                {
                    CheckText(key, nameof(metadata));
                    CheckText(text, nameof(metadata));
                    json.WriteString(key, text);
                }
                json.WriteEndObject();
            }
            var offset = 0L;
            foreach (var tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", SafetensorsDTypes.Name(tensor.DType));
                json.WriteStartArray("shape");
                foreach (var dimension in tensor.Shape) json.WriteNumberValue(dimension);
                json.WriteEndArray();
                json.WriteStartArray("data_offsets");
                json.WriteNumberValue(offset);
                json.WriteNumberValue(offset += tensor.ByteLength);
                json.WriteEndArray();
                json.WriteEndObject();
            }
            json.WriteEndObject();
        }

        while (buffer.WrittenCount % 8 != 0) buffer.Write(" "u8);
        var length = buffer.WrittenCount - 8;
        if (length > SafetensorsHeader.LongestHeader)
            throw new ArgumentException(
                $"The header would have {length} bytes, {SafetensorsHeader.LongestHeader} are allowed.", nameof(tensors));
        var bytes = buffer.WrittenMemory.ToArray();
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, (ulong)length);
        return bytes;
    }

    private static void Write(Stream stream, ReadOnlyMemory<byte> header, SafetensorsData[] tensors)
    {
        stream.Write(header.Span);
        foreach (var tensor in tensors)
        {
            // In pieces: the bytes of a long array of values can be more than one span holds.
            const int piece = 1 << 20;
            for (var rest = tensor.Singles; !rest.IsEmpty; rest = rest[Math.Min(piece, rest.Length)..])
                stream.Write(MemoryMarshal.AsBytes(rest.Span[..Math.Min(piece, rest.Length)]));
            stream.Write(tensor.Bytes.Span);
        }
    }
}
