// IDX files, the format of the MNIST database: two zero bytes, the element type, the number of dimensions, each dimension as
// four bytes, then the values; everything big-endian. Plain or packed with gzip, which the content tells, not the name.
// The claims of the header are compared with what is there before memory is taken for them.

using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace HpcNet;

/// <summary>Element type of an IDX file; the values are the format's own codes.</summary>
public enum IdxElementType : byte
{
    /// <summary>Unsigned byte.</summary>
    UInt8 = 0x08,

    /// <summary>Signed byte.</summary>
    Int8 = 0x09,

    /// <summary>Signed integer of 2 bytes.</summary>
    Int16 = 0x0B,

    /// <summary>Signed integer of 4 bytes.</summary>
    Int32 = 0x0C,

    /// <summary>Single precision.</summary>
    Float32 = 0x0D,

    /// <summary>Double precision.</summary>
    Float64 = 0x0E,
}

/// <summary>The content of an IDX file, in memory and in the machine's byte order. Immutable.</summary>
public sealed class IdxFile
{
    private readonly byte[] _data;
    private readonly int[] _shape;

    private IdxFile(string fileName, IdxElementType elementType, int[] shape, byte[] data)
    {
        FileName = fileName;
        ElementType = elementType;
        _shape = shape;
        _data = data;
    }

    /// <summary>The path, or the name given to the stream.</summary>
    public string FileName { get; }

    /// <summary>The type of the values.</summary>
    public IdxElementType ElementType { get; }

    /// <summary>The dimensions (1 to 255 of them), outermost first: for images [count, height, width], for labels [count].</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Number of values: the product of the shape.</summary>
    public int Count => _data.Length / Size(ElementType);

    /// <summary>Reads a file, plain or gzip (a single member).</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The file breaks a rule of the format, ends early, goes on after the last value, is
    /// damaged, or has more than 2 GB of values. A packed file may hold 12 MB plus four times its own size; unpack a denser
    /// one.</exception>
    public static IdxFile Read(string path)
    {
        using var source = ByteSource.Open(path);
        return Read(source);
    }

    /// <summary>Reads the rest of a stream, plain or gzip; see <see cref="Read(string)"/>. The stream stays open.</summary>
    /// <param name="stream">A readable stream, at the start of the content.</param>
    /// <param name="name">A name for messages.</param>
    /// <exception cref="DataFormatException">The content breaks a rule of the format.</exception>
    public static IdxFile Read(Stream stream, string? name = null)
    {
        using var source = ByteSource.From(stream, name);
        return Read(source);
    }

    /// <summary>Reads a file of items and the file of their labels, and checks that they belong together.</summary>
    /// <param name="itemsPath">Two or more dimensions, the first being the number of items.</param>
    /// <param name="labelsPath">One dimension: an integer for each item.</param>
    /// <exception cref="FileNotFoundException">One of the files does not exist.</exception>
    /// <exception cref="DataFormatException">A file breaks the format, or the two do not have the same number of items.</exception>
    public static (IdxFile Items, IdxFile Labels) ReadPair(string itemsPath, string labelsPath)
    {
        var labels = Read(labelsPath);
        if (labels._shape.Length != 1 || labels.ElementType is IdxElementType.Float32 or IdxElementType.Float64)
            throw new DataFormatException($"labels have one dimension of integers, this file has {labels}.", labelsPath);
        var items = Read(itemsPath);
        if (items._shape.Length < 2)
            throw new DataFormatException($"items have two or more dimensions, this file has {items}.", itemsPath);
        if (items._shape[0] != labels._shape[0])
            throw new DataFormatException(
                $"{items._shape[0]} items do not fit the {labels._shape[0]} labels of '{labelsPath}'.", itemsPath);
        return (items, labels);
    }

    /// <summary>The values, row-major (the last dimension runs fastest), without a copy.</summary>
    /// <typeparam name="T">The .NET type of <see cref="ElementType"/>: byte, sbyte, short, int, float or double.</typeparam>
    /// <exception cref="InvalidOperationException">The file holds values of another type.</exception>
    public ReadOnlySpan<T> Values<T>()
        where T : unmanaged
    {
        var fits = ElementType switch
        {
            IdxElementType.UInt8 => typeof(T) == typeof(byte),
            IdxElementType.Int8 => typeof(T) == typeof(sbyte),
            IdxElementType.Int16 => typeof(T) == typeof(short),
            IdxElementType.Int32 => typeof(T) == typeof(int),
            IdxElementType.Float32 => typeof(T) == typeof(float),
            _ => typeof(T) == typeof(double),
        };
        if (!fits) throw new InvalidOperationException($"'{FileName}' holds {ElementType}, not {typeof(T).Name}.");
        return MemoryMarshal.Cast<byte, T>(_data);
    }

    /// <summary>Converts all values to double precision, which is exact for every type.</summary>
    /// <param name="destination">[<see cref="Count"/>] values, row-major.</param>
    /// <exception cref="ArgumentException">The span has another length than <see cref="Count"/>.</exception>
    public void CopyTo(Span<double> destination)
    {
        if (destination.Length != Count)
            throw new ArgumentException($"'{FileName}' has {Count} values, the span {destination.Length}.", nameof(destination));
        for (var i = 0; i < destination.Length; i++)
        {
            destination[i] = ElementType switch
            {
                IdxElementType.UInt8 => _data[i],
                IdxElementType.Int8 => (sbyte)_data[i],
                IdxElementType.Int16 => MemoryMarshal.Cast<byte, short>(_data)[i],
                IdxElementType.Int32 => MemoryMarshal.Cast<byte, int>(_data)[i],
                IdxElementType.Float32 => MemoryMarshal.Cast<byte, float>(_data)[i],
                _ => MemoryMarshal.Cast<byte, double>(_data)[i],
            };
        }
    }

    /// <summary>Type and shape, for messages.</summary>
    public override string ToString() => $"{ElementType} [{string.Join(", ", _shape)}]";

    private static IdxFile Read(ByteSource source)
    {
        using var reader = Reader.Over(source);
        Span<byte> word = stackalloc byte[4];
        reader.Fill(word, "the magic number");
        if (word[0] != 0 || word[1] != 0)
            throw new DataFormatException(
                $"an IDX file starts with two zero bytes, this one with {word[0]:x2} {word[1]:x2}.", source.Name, byteOffset: 0);
        var type = (IdxElementType)word[2];
        var size = Size(type);
        if (size == 0)
            throw new DataFormatException(
                $"the element type 0x{word[2]:x2} is none of 08, 09, 0b, 0c, 0d, 0e.", source.Name, byteOffset: 2);
        if (word[3] == 0)
            throw new DataFormatException("an IDX file has 1 to 255 dimensions, this one claims 0.", source.Name, byteOffset: 3);

        var shape = new int[word[3]];
        var bytes = (long)size;
        for (var i = 0; i < shape.Length; i++)
        {
            reader.Fill(word, "a dimension");
            shape[i] = BinaryPrimitives.ReadInt32BigEndian(word);
            if (shape[i] < 0)
                throw new DataFormatException($"dimension {i} is {(uint)shape[i]}, beyond 2^31-1.", source.Name, byteOffset: 4 + 4L * i);
        }
        foreach (var dimension in shape)
        {
            // Dimensions of 0 are left out here, so that no order of dimensions can hide a product that does not fit.
            if (dimension == 0) continue;
            if (bytes > long.MaxValue / dimension)
                throw new DataFormatException("the dimensions claim more values than any file can hold.", source.Name);
            bytes *= dimension;
        }
        if (Array.IndexOf(shape, 0) >= 0) bytes = 0;

        reader.CheckClaim(bytes);
        var data = new byte[bytes];
        reader.Fill(data, "the values");
        reader.CheckEnd();
        ToMachineOrder(data, size);
        return new IdxFile(source.Name, type, shape, data);
    }

    private static int Size(IdxElementType type) => type switch
    {
        IdxElementType.UInt8 or IdxElementType.Int8 => 1,
        IdxElementType.Int16 => 2,
        IdxElementType.Int32 or IdxElementType.Float32 => 4,
        IdxElementType.Float64 => 8,
        _ => 0,
    };

    private static void ToMachineOrder(byte[] data, int size)
    {
        switch (size)
        {
            case 2:
                var words = MemoryMarshal.Cast<byte, short>(data.AsSpan());
                BinaryPrimitives.ReverseEndianness(words, words);
                break;
            case 4:
                var doubleWords = MemoryMarshal.Cast<byte, int>(data.AsSpan());
                BinaryPrimitives.ReverseEndianness(doubleWords, doubleWords);
                break;
            case 8:
                var quadWords = MemoryMarshal.Cast<byte, long>(data.AsSpan());
                BinaryPrimitives.ReverseEndianness(quadWords, quadWords);
                break;
        }
    }

    // The bytes of the IDX content, whether they lie in the file or come out of a gzip member.
    private sealed class Reader : IDisposable
    {
        private readonly ByteSource _source;
        private readonly GzipMember? _gzip;
        private long _position;

        private Reader(ByteSource source, GzipMember? gzip)
        {
            _source = source;
            _gzip = gzip;
        }

        public static Reader Over(ByteSource source) => new(source, GzipMember.IsGzip(source) ? new GzipMember(source) : null);

        public void Fill(Span<byte> into, string what)
        {
            var total = 0;
            while (total < into.Length)
            {
                var read = _gzip is not null ? _gzip.Read(into[total..]) : _source.Read(_position + total, into[total..]);
                if (read == 0)
                {
                    throw new DataFormatException($"the file ends after {total} of the {into.Length} bytes of {what}.", _source.Name,
                        byteOffset: _position + total);
                }
                total += read;
            }
            _position += total;
        }

        // How much a gzip member holds is only known after unpacking it, so that memory goes by the size of the packed file.
        // Real data sets pack to a fifth at best; what packs to a thousandth is a bomb.
        public void CheckClaim(long bytes)
        {
            if (_gzip is null && bytes != _source.Length - _position)
            {
                throw new DataFormatException(
                    $"the dimensions claim {bytes} bytes of values, {_source.Length - _position} follow.", _source.Name,
                        byteOffset: _position);
            }
            if (_gzip is not null && bytes > (4 * _source.Length) + (12 << 20))
            {
                throw new DataFormatException(
                    $"the dimensions claim {bytes} bytes of values in a packed file of {_source.Length}; unpack it first if that is right.",
                    _source.Name);
            }
            if (bytes > Array.MaxLength)
                throw new DataFormatException($"{bytes} bytes of values, at most {Array.MaxLength} can be read.", _source.Name);
        }

        public void CheckEnd() => _gzip?.CheckEnd();

        public void Dispose() => _gzip?.Dispose();
    }
}
