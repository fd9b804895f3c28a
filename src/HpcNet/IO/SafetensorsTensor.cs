// One tensor of an open safetensors file: its description, and its values read on demand, converted on the way through a
// small buffer. The file is little-endian, as is every machine the library runs on.

using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace HpcNet;

/// <summary>A tensor of a <see cref="SafetensorsFile"/>. Values are read when asked for, row-major (the last dimension runs
/// fastest).</summary>
public sealed class SafetensorsTensor
{
    private const int BufferBytes = 8192;
    private readonly ByteSource _source;
    private readonly long[] _shape;

    internal SafetensorsTensor(ByteSource source, string name, SafetensorsDType dtype, long[] shape, long count, long start)
    {
        _source = source;
        _shape = shape;
        Name = name;
        DType = dtype;
        Count = count;
        Start = start;
    }

    /// <summary>The tensor's name: any text, unique in its file; never a path.</summary>
    public string Name { get; }

    /// <summary>The element type in the file.</summary>
    public SafetensorsDType DType { get; }

    /// <summary>The dimensions, outermost first; empty for a scalar. Every dimension is 0 or more.</summary>
    public ReadOnlySpan<long> Shape => _shape;

    /// <summary>Number of elements: the product of the shape, 1 for a scalar.</summary>
    public long Count { get; }

    /// <summary>Bytes in the file.</summary>
    public long ByteLength => Count * SafetensorsDTypes.Size(DType);

    /// <summary>Where the data starts, in bytes from the start of the file.</summary>
    internal long Start { get; }

    /// <summary>
    /// Reads all values as single precision. F32 keeps every bit (NaN payloads, -0); F16 and BF16 convert exactly; F64 is
    /// rounded to nearest, and to infinity beyond single precision's range.
    /// </summary>
    /// <param name="destination">[<see cref="Count"/>] values, row-major.</param>
    /// <exception cref="ArgumentException">The span has another length than <see cref="Count"/>.</exception>
    /// <exception cref="DataFormatException">The tensor holds integers, or the file has become shorter.</exception>
    /// <exception cref="ObjectDisposedException">The file was disposed.</exception>
    public void ReadSingles(Span<float> destination)
    {
        CheckLength(destination.Length);
        switch (DType)
        {
            case SafetensorsDType.F32:
                ReadInPlace(destination);
                return;
            case SafetensorsDType.F16 or SafetensorsDType.BF16 or SafetensorsDType.F64:
                break;
            default:
                throw new DataFormatException(
                    $"tensor {Excerpt.Of(Name)} holds {DType}; F32, F16, BF16 or F64 was expected.", _source.Name, byteOffset: Start);
        }

        var size = SafetensorsDTypes.Size(DType);
        Span<byte> buffer = stackalloc byte[BufferBytes];
        for (var done = 0; done < destination.Length;)
        {
            var part = destination.Slice(done, Math.Min(destination.Length - done, BufferBytes / size));
            var bytes = buffer[..(part.Length * size)];
            _source.ReadExactly(Start + (long)done * size, bytes);
            for (var i = 0; i < part.Length; i++)
            {
                part[i] = DType switch
                {
                    SafetensorsDType.F16 => (float)BinaryPrimitives.ReadHalfLittleEndian(bytes[(2 * i)..]),
                    SafetensorsDType.BF16 => BitConverter.Int32BitsToSingle(BinaryPrimitives.ReadInt16LittleEndian(bytes[(2 * i)..]) << 16),
                    _ => (float)BinaryPrimitives.ReadDoubleLittleEndian(bytes[(8 * i)..]),
                };
            }
            done += part.Length;
        }
    }

    /// <summary>Reads all values as single precision into a new array; see <see cref="ReadSingles(Span{float})"/>.</summary>
    /// <returns>[<see cref="Count"/>] values, row-major.</returns>
    /// <exception cref="DataFormatException">The tensor holds integers, or more values than an array can.</exception>
    public float[] ReadSingles()
    {
        var values = new float[ArrayLength(Count)];
        ReadSingles(values);
        return values;
    }

    /// <summary>
    /// Reads all values as double precision: F64 keeps every bit, the other floating-point types convert exactly.
    /// </summary>
    /// <param name="destination">[<see cref="Count"/>] values, row-major.</param>
    /// <exception cref="ArgumentException">The span has another length than <see cref="Count"/>.</exception>
    /// <exception cref="DataFormatException">The tensor holds integers, or the file has become shorter.</exception>
    public void ReadDoubles(Span<double> destination)
    {
        CheckLength(destination.Length);
        if (DType == SafetensorsDType.F64)
        {
            ReadInPlace(destination);
            return;
        }
        var singles = ReadSingles();
        for (var i = 0; i < singles.Length; i++) destination[i] = singles[i];
    }

    /// <summary>Reads all values of an integer or BOOL tensor (as 0 and 1).</summary>
    /// <param name="destination">[<see cref="Count"/>] values, row-major.</param>
    /// <exception cref="ArgumentException">The span has another length than <see cref="Count"/>.</exception>
    /// <exception cref="DataFormatException">The tensor holds floating-point values, a BOOL other than 0 and 1, or a U64 beyond
    /// 2^63-1.</exception>
    public void ReadIntegers(Span<long> destination)
    {
        CheckLength(destination.Length);
        if (DType <= SafetensorsDType.BF16)
            throw new DataFormatException(
                $"tensor {Excerpt.Of(Name)} holds {DType}; an integer type was expected.", _source.Name, byteOffset: Start);
        var size = SafetensorsDTypes.Size(DType);
        Span<byte> buffer = stackalloc byte[BufferBytes];
        for (var done = 0; done < destination.Length;)
        {
            var part = destination.Slice(done, Math.Min(destination.Length - done, BufferBytes / size));
            var bytes = buffer[..(part.Length * size)];
            _source.ReadExactly(Start + (long)done * size, bytes);
            for (var i = 0; i < part.Length; i++)
            {
                var at = bytes[(size * i)..];
                part[i] = DType switch
                {
                    SafetensorsDType.I64 or SafetensorsDType.U64 => BinaryPrimitives.ReadInt64LittleEndian(at),
                    SafetensorsDType.I32 => BinaryPrimitives.ReadInt32LittleEndian(at),
                    SafetensorsDType.U32 => BinaryPrimitives.ReadUInt32LittleEndian(at),
                    SafetensorsDType.I16 => BinaryPrimitives.ReadInt16LittleEndian(at),
                    SafetensorsDType.U16 => BinaryPrimitives.ReadUInt16LittleEndian(at),
                    SafetensorsDType.I8 => (sbyte)at[0],
                    _ => at[0],
                };
                if ((DType == SafetensorsDType.U64 && part[i] < 0) || (DType == SafetensorsDType.BOOL && part[i] > 1))
                {
                    throw new DataFormatException($"tensor {Excerpt.Of(Name)} holds a {DType} value that cannot be read: {(ulong)part[i]}.",
                        _source.Name, byteOffset: Start + (long)(done + i) * size);
                }
            }
            done += part.Length;
        }
    }

    /// <summary>Reads the bytes as the file has them (little-endian).</summary>
    /// <param name="destination">[<see cref="ByteLength"/>] bytes.</param>
    /// <exception cref="ArgumentException">The span has another length than <see cref="ByteLength"/>.</exception>
    public void ReadBytes(Span<byte> destination)
    {
        if (destination.Length != ByteLength)
            throw new ArgumentException(
                $"Tensor {Excerpt.Of(Name)} has {ByteLength} bytes, the span {destination.Length}.", nameof(destination));
        _source.ReadExactly(Start, destination);
    }

    /// <summary>Reads the bytes as the file has them (little-endian) into a new array.</summary>
    /// <returns>[<see cref="ByteLength"/>] bytes.</returns>
    /// <exception cref="DataFormatException">There are more bytes than an array can hold.</exception>
    public byte[] ReadBytes()
    {
        var bytes = new byte[ArrayLength(ByteLength)];
        ReadBytes(bytes);
        return bytes;
    }

    /// <summary>Name, element type and shape, for messages.</summary>
    public override string ToString() => $"{Excerpt.Of(Name)} {DType} [{string.Join(", ", _shape)}]";

    // In pieces: a span of values can be longer, in bytes, than a span of bytes.
    private void ReadInPlace<T>(Span<T> destination)
        where T : unmanaged
    {
        const int piece = 1 << 24;
        for (var done = 0; done < destination.Length; done += piece)
        {
            var part = MemoryMarshal.AsBytes(destination.Slice(done, Math.Min(piece, destination.Length - done)));
            _source.ReadExactly(Start + (long)done * System.Runtime.CompilerServices.Unsafe.SizeOf<T>(), part);
        }
    }

    private void CheckLength(int length)
    {
        if (length != Count)
            throw new ArgumentException($"Tensor {Excerpt.Of(Name)} has {Count} values, the span {length}.", "destination");
    }

    private int ArrayLength(long length) => length <= Array.MaxLength
        ? (int)length
        : throw new DataFormatException(
            $"tensor {Excerpt.Of(Name)} has {length} elements, an array holds {Array.MaxLength}.", _source.Name, byteOffset: Start);
}
