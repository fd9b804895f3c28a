// Reads the JSON header of a safetensors file and checks all of it. Stricter than the format's reference reader where
// that one is silent: repeated keys and unknown fields of an entry are refused, since two readers could understand such a
// file differently. The header is walked once to check the JSON and to count, and once more to fill arrays of exactly that size.

using System.Buffers.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace HpcNet;

internal static class SafetensorsHeader
{
    /// <summary>The reference reader's own limit.</summary>
    public const int LongestHeader = 100_000_000;

    public const string MetadataKey = "__metadata__";

    // Small entries cost more in memory than in the file; these bounds keep what is allocated in proportion to the file.
    private const int MostMetadata = 100_000;
    private const int FreeDimensions = 1_000_000;

    /// <summary>Reads and checks; fills the tensors in the order of their data.</summary>
    public static SafetensorsTensor[] Read(ByteSource source, out Dictionary<string, string> metadata)
    {
        if (source.Length < 8)
            throw new DataFormatException(
                $"a safetensors file starts with the 8-byte length of its header, this one has {source.Length} bytes.", source.Name);
        Span<byte> start = stackalloc byte[8];
        source.ReadExactly(0, start);
        var length = System.Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(start);
        if (length > (ulong)(source.Length - 8))
            throw new DataFormatException(
                $"the header is said to have {length} bytes, {source.Length - 8} follow: not a safetensors file, or cut.", source.Name,
                byteOffset: 0);
        if (length > LongestHeader)
            throw new DataFormatException(
                $"the header is said to have {length} bytes, {LongestHeader} are allowed.", source.Name, byteOffset: 0);

        var json = new byte[length];
        source.ReadExactly(8, json);
        if (json.Length == 0 || json[0] != (byte)'{')
            throw new DataFormatException("the header must be a JSON object and begin with '{'.", source.Name, byteOffset: 8);
        if (!Utf8.IsValid(json)) throw new DataFormatException("the header is not valid UTF-8.", source.Name, byteOffset: 8);

        var reader = new Utf8JsonReader(json, new JsonReaderOptions { MaxDepth = 8 });
        try
        {
            var (tensorCount, metadataCount, dimensions) = Count(reader);
            if (metadataCount > MostMetadata)
                throw new DataFormatException($"{metadataCount} metadata entries, {MostMetadata} are allowed.", source.Name);
            if (dimensions > FreeDimensions + source.Length / 8)
                throw new DataFormatException(
                    $"the shapes have {dimensions} dimensions together, which is out of proportion to the file.", source.Name);

            var dataStart = 8 + (long)length;
            metadata = new Dictionary<string, string>(metadataCount, StringComparer.Ordinal);
            var names = new HashSet<string>(tensorCount, StringComparer.Ordinal);
            var tensors = new SafetensorsTensor[tensorCount];
            var filled = 0;
            var metadataSeen = false;
            reader.Read();
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.ValueTextEquals(MetadataKey))
                {
                    if (metadataSeen) throw Bad(source, reader, $"the key {MetadataKey} comes twice.");
                    metadataSeen = true;
                    ReadMetadata(source, ref reader, metadata);
                    continue;
                }

                var name = reader.GetString()!;
                if (!names.Add(name)) throw Bad(source, reader, $"the tensor name {Excerpt.Of(name)} comes twice.");
                tensors[filled++] = ReadEntry(source, ref reader, name, dataStart);
            }

            CheckRanges(source, tensors, dataStart);
            return tensors;
        }
        catch (JsonException e)
        {
            throw new DataFormatException(
                $"the header is not valid JSON: {e.Message}", source.Name, byteOffset: 8 + reader.BytesConsumed, innerException: e);
        }
        catch (InvalidOperationException e)
        {
            // An escape that names half of a surrogate pair: valid for the tokenizer, but no text.
            throw new DataFormatException(
                "a name or text in the header is not valid Unicode.", source.Name, byteOffset: 8 + reader.TokenStartIndex,
                innerException: e);
        }
    }

    // By value: the caller's reader stays at the start.
    private static (int Tensors, int Metadata, long Dimensions) Count(Utf8JsonReader reader)
    {
        var (tensors, metadata, dimensions) = (0, 0, 0L);
        var inMetadata = false;
        while (reader.Read())
        {
            if (reader.TokenType == JsonTokenType.PropertyName)
            {
                if (reader.CurrentDepth == 1)
                {
                    inMetadata = reader.ValueTextEquals(MetadataKey);
                    if (!inMetadata) tensors++;
                }
                else if (inMetadata && reader.CurrentDepth == 2)
                {
                    metadata++;
                }
            }
            else if (reader.TokenType == JsonTokenType.Number)
            {
                dimensions++;
            }
        }
        return (tensors, metadata, dimensions);
    }

    private static void ReadMetadata(ByteSource source, ref Utf8JsonReader reader, Dictionary<string, string> metadata)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Bad(source, reader, $"{MetadataKey} must be an object of texts, not {Kind(reader)}.");
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var key = reader.GetString()!;
            reader.Read();
            if (reader.TokenType != JsonTokenType.String)
                throw Bad(source, reader, $"the metadata {Excerpt.Of(key)} must be a text, not {Kind(reader)}.");
            if (!metadata.TryAdd(key, reader.GetString()!)) throw Bad(source, reader, $"the metadata key {Excerpt.Of(key)} comes twice.");
        }
    }

    private static SafetensorsTensor ReadEntry(ByteSource source, ref Utf8JsonReader reader, string name, long dataStart)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw Bad(source, reader, $"the entry of tensor {Excerpt.Of(name)} must be an object, not {Kind(reader)}.");
        SafetensorsDType? type = null;
        long[]? shape = null;
        var hasOffsets = false;
        Span<long> offsets = stackalloc long[2];
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (reader.ValueTextEquals("dtype"))
            {
                if (type is not null) throw Twice(source, reader, name, "dtype");
                reader.Read();
                if (reader.TokenType != JsonTokenType.String)
                    throw Bad(source, reader, $"the dtype of tensor {Excerpt.Of(name)} must be a text, not {Kind(reader)}.");
                if (!SafetensorsDTypes.TryParse(in reader, out var known))
                {
                    throw Bad(source, reader, $"tensor {Excerpt.Of(name)} has the dtype {Excerpt.Of(reader.ValueSpan)}; known are "
                        + "F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8 and BOOL.");
                }
                type = known;
            }
            else if (reader.ValueTextEquals("shape"))
            {
                if (shape is not null) throw Twice(source, reader, name, "shape");
                shape = ReadShape(source, ref reader, name);
            }
            else if (reader.ValueTextEquals("data_offsets"))
            {
                if (hasOffsets) throw Twice(source, reader, name, "data_offsets");
                hasOffsets = true;
                var count = StartArray(source, ref reader, name, "data_offsets");
                if (count != 2) throw Bad(source, reader, $"data_offsets of tensor {Excerpt.Of(name)} must be two whole numbers.");
                ReadIntegers(source, ref reader, name, "data_offsets", offsets);
            }
            else
            {
                throw Bad(source, reader, $"the entry of tensor {Excerpt.Of(name)} has an unknown field {Excerpt.Of(reader.ValueSpan)}.");
            }
        }

        if (type is null || shape is null || !hasOffsets)
        {
            var missing = type is null ? "dtype" : shape is null ? "shape" : "data_offsets";
            throw Bad(source, reader, $"the entry of tensor {Excerpt.Of(name)} has no {missing}.");
        }
        var dataLength = source.Length - dataStart;
        if (offsets[0] > offsets[1] || offsets[1] > dataLength)
        {
            throw Bad(source, reader,
                $"data_offsets of tensor {Excerpt.Of(name)} are [{offsets[0]}, {offsets[1]}], outside the {dataLength} bytes of data.");
        }
        var size = SafetensorsDTypes.Size(type.Value);
        if (!SafetensorsDTypes.TryCount(shape, size, out var elements))
            throw Bad(source, reader, $"the shape of tensor {Excerpt.Of(name)} has more elements than any file can hold.");
        if (elements * size != offsets[1] - offsets[0])
        {
            throw Bad(source, reader,
                $"tensor {Excerpt.Of(name)} needs {elements * size} bytes by its shape, data_offsets give {offsets[1] - offsets[0]}.");
        }
        return new SafetensorsTensor(source, name, type.Value, shape, elements, dataStart + offsets[0]);
    }

    private static long[] ReadShape(ByteSource source, ref Utf8JsonReader reader, string name)
    {
        var count = StartArray(source, ref reader, name, "shape");
        var shape = count == 0 ? [] : new long[count];
        ReadIntegers(source, ref reader, name, "shape", shape);
        return shape;
    }

    // Enters an array; says how many numbers follow before its end or before anything else.
    private static int StartArray(ByteSource source, ref Utf8JsonReader reader, string name, string field)
    {
        reader.Read();
        if (reader.TokenType != JsonTokenType.StartArray)
            throw Bad(source, reader, $"{field} of tensor {Excerpt.Of(name)} must be an array, not {Kind(reader)}.");
        var ahead = reader;
        var count = 0;
        while (ahead.Read() && ahead.TokenType == JsonTokenType.Number) count++;
        return count;
    }

    private static void ReadIntegers(ByteSource source, ref Utf8JsonReader reader, string name, string field, scoped Span<long> into)
    {
        for (var i = 0; reader.Read() && reader.TokenType != JsonTokenType.EndArray; i++)
        {
            // Digits and nothing else: no sign, fraction or exponent, though JSON would call some of these whole numbers.
            if (reader.TokenType != JsonTokenType.Number || reader.ValueSpan.ContainsAnyExceptInRange((byte)'0', (byte)'9')
                || !Utf8Parser.TryParse(reader.ValueSpan, out long value, out var used) || used != reader.ValueSpan.Length)
            {
                var came = reader.TokenType == JsonTokenType.Number ? Excerpt.Of(reader.ValueSpan) : Kind(reader);
                throw Bad(source, reader, $"{field} of tensor {Excerpt.Of(name)} must hold whole numbers from 0 to 2^63-1, not {came}.");
            }
            into[i] = value;
        }
    }

    // The data must be covered exactly once: a hole could hide content, shared bytes multiply a small file into a large model.
    private static void CheckRanges(ByteSource source, SafetensorsTensor[] tensors, long dataStart)
    {
        Array.Sort(tensors, static (a, b) =>
        {
            var order = a.Start.CompareTo(b.Start);
            if (order == 0) order = a.ByteLength.CompareTo(b.ByteLength);
            return order != 0 ? order : string.CompareOrdinal(a.Name, b.Name);
        });
        var end = dataStart;
        foreach (var tensor in tensors)
        {
            if (tensor.Start != end)
            {
                var what = tensor.Start > end ? $"{tensor.Start - end} bytes before it belong to none" : "it shares bytes with another";
                throw new DataFormatException(
                    $"tensor {Excerpt.Of(tensor.Name)} starts here, but {what}.", source.Name, byteOffset: tensor.Start);
            }
            end += tensor.ByteLength;
        }
        if (end != source.Length)
            throw new DataFormatException(
                $"{source.Length - end} bytes after the last tensor belong to none.", source.Name, byteOffset: end);
    }

    private static string Kind(in Utf8JsonReader reader) => reader.TokenType switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a text",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "a truth value",
        JsonTokenType.Null => "null",
        _ => "nothing",
    };

    private static DataFormatException Twice(ByteSource source, in Utf8JsonReader reader, string name, string field) =>
        Bad(source, reader, $"the entry of tensor {Excerpt.Of(name)} has {field} twice.");

    private static DataFormatException Bad(ByteSource source, in Utf8JsonReader reader, string message) =>
        new(message, source.Name, byteOffset: 8 + reader.TokenStartIndex);
}
