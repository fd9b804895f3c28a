// One tensor to be written to a safetensors file: a description and memory that stays the caller's.

namespace HpcNet;

/// <summary>A tensor for <see cref="SafetensorsFile.Write(string, IEnumerable{SafetensorsData}, IReadOnlyDictionary{string,
/// string}?)"/>.</summary>
public sealed class SafetensorsData
{
    private readonly long[] _shape;

    /// <summary>A tensor of single-precision values (F32).</summary>
    /// <param name="name">Any text that is valid Unicode, unique in the file, other than <c>__metadata__</c>.</param>
    /// <param name="shape">The dimensions, outermost first; empty for a scalar. Copied.</param>
    /// <param name="values">As many values as the shape has, row-major. Not copied: leave them alone until they are written.</param>
    /// <exception cref="ArgumentException">The name cannot be written, or shape and values do not fit.</exception>
    public SafetensorsData(string name, ReadOnlySpan<long> shape, ReadOnlyMemory<float> values)
        : this(name, SafetensorsDType.F32, shape, values.Length * 4L)
    {
        Singles = values;
    }

    /// <summary>A tensor of any element type, as little-endian bytes.</summary>
    /// <param name="name">Any text that is valid Unicode, unique in the file, other than <c>__metadata__</c>.</param>
    /// <param name="dtype">The element type.</param>
    /// <param name="shape">The dimensions, outermost first; empty for a scalar. Copied.</param>
    /// <param name="bytes">As many bytes as shape and type need, row-major. Not copied: leave them alone until they are written.</param>
    /// <exception cref="ArgumentException">The name cannot be written, or shape, type and bytes do not fit.</exception>
    public SafetensorsData(string name, SafetensorsDType dtype, ReadOnlySpan<long> shape, ReadOnlyMemory<byte> bytes)
        : this(name, dtype, shape, bytes.Length)
    {
        Bytes = bytes;
    }

    private SafetensorsData(string name, SafetensorsDType dtype, ReadOnlySpan<long> shape, long byteLength)
    {
        SafetensorsFile.CheckText(name, nameof(name));
        if (name == SafetensorsHeader.MetadataKey)
            throw new ArgumentException($"A tensor cannot be named {SafetensorsHeader.MetadataKey}.", nameof(name));
        var size = SafetensorsDTypes.Size(dtype);
        if (!SafetensorsDTypes.TryCount(shape, size, out var count) || count * size != byteLength)
        {
            throw new ArgumentException(
                $"Tensor {Excerpt.Of(name)}: {byteLength} bytes do not fit the shape [{string.Join(", ", shape.ToArray())}] of {dtype}.",
                    nameof(shape));
        }
        Name = name;
        DType = dtype;
        _shape = shape.ToArray();
        ByteLength = byteLength;
    }

    /// <summary>The tensor's name.</summary>
    public string Name { get; }

    /// <summary>The element type.</summary>
    public SafetensorsDType DType { get; }

    /// <summary>The dimensions, outermost first.</summary>
    public ReadOnlySpan<long> Shape => _shape;

    internal long ByteLength { get; }

    internal ReadOnlyMemory<float> Singles { get; }

    internal ReadOnlyMemory<byte> Bytes { get; }
}
