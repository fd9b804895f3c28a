// OnnxTensor.cs: a tensor on the host, as ONNX has them: row-major, any rank, with the moves of data that operators ask for around the
// native arithmetic. Only numbers move here; nothing is computed.

using System.Buffers.Binary;
using Google.Protobuf;
using HpcNet.Tests.Onnx.Format;
using DataType = HpcNet.Tests.Onnx.Format.TensorProto.Types.DataType;

namespace HpcNet.Tests.Onnx;

/// <summary>
/// Sizes and elements: float32 (float64 is rounded to it), or integers (32 and 64 bits) as <see cref="long"/>, or booleans.
/// </summary>
internal sealed class OnnxTensor
{
    private readonly Array _data;

    private OnnxTensor(int[] shape, Array data)
    {
        int count = shape.Aggregate(1, (product, size) => checked(product * size));
        if (count != data.Length)
            throw new InvalidDataException($"a tensor of {Text(shape)} has {data.Length} elements");
        Shape = shape;
        _data = data;
    }

    public OnnxTensor(int[] shape, float[] data) : this(shape, (Array)data)
    {
    }

    public OnnxTensor(int[] shape, long[] data) : this(shape, (Array)data)
    {
    }

    public OnnxTensor(int[] shape, bool[] data) : this(shape, (Array)data)
    {
    }

    /// <summary>The sizes; none for a scalar.</summary>
    public int[] Shape { get; }

    public int Rank => Shape.Length;

    public int Count => _data.Length;

    /// <summary>The elements of a float32 tensor; for others an exception.</summary>
    public float[] Floats => Elements<float>();

    /// <summary>The elements of an integer tensor; for others an exception.</summary>
    public long[] Integers => Elements<long>();

    /// <summary>The elements of a boolean tensor; for others an exception.</summary>
    public bool[] Booleans => Elements<bool>();

    /// <summary>What the elements are.</summary>
    public Type ElementType => _data.GetType().GetElementType()!;

    /// <summary>A tensor of a file.</summary>
    /// <exception cref="InvalidDataException">The sizes do not fit the data, or the element type is not one of those above.</exception>
    public static OnnxTensor From(TensorProto tensor)
    {
        if (tensor.DataLocation != 0)
            throw new InvalidDataException($"the data of tensor '{tensor.Name}' is in another file");
        int[] shape = tensor.Dims.Select(d => d is >= 0 and <= int.MaxValue
            ? (int)d
            : throw new InvalidDataException($"tensor '{tensor.Name}' has a size of {d}")).ToArray();
        return (DataType)tensor.DataType switch
        {
            DataType.Float => new(shape, Read(tensor, 4, tensor.FloatData, BinaryPrimitives.ReadSingleLittleEndian)),
            // The core computes in float32: numbers of more digits are rounded to it, inputs and expected results alike.
            DataType.Double => new(shape, Read(
                tensor, 8, tensor.DoubleData.Select(v => (float)v), b => (float)BinaryPrimitives.ReadDoubleLittleEndian(b))),
            DataType.Int64 => new(shape, Read(tensor, 8, tensor.Int64Data, BinaryPrimitives.ReadInt64LittleEndian)),
            DataType.Int32 => new(shape, Read(
                tensor, 4, tensor.Int32Data.Select(v => (long)v), b => (long)BinaryPrimitives.ReadInt32LittleEndian(b))),
            DataType.Bool => new(shape, Read(tensor, 1, tensor.Int32Data.Select(v => v != 0), b => b[0] != 0)),
            var type => throw new InvalidDataException(
                $"tensor '{tensor.Name}' has elements of type {type}: expected float32, float64, int32, int64 or bool"),
        };
    }

    /// <summary>The tensor in a .pb file of a case.</summary>
    public static OnnxTensor Read(string file) => From(TensorProto.Parser.ParseFrom(File.ReadAllBytes(file)));

    /// <summary>The same elements with other sizes.</summary>
    public OnnxTensor Reshaped(params int[] shape) => new(shape, _data);

    /// <summary>[product of the sizes before <paramref name="axis"/> × product of those from it on].</summary>
    public OnnxTensor Flattened(int axis) => Reshaped(Product(Shape[..axis]), Product(Shape[axis..]));

    /// <summary>Axis i of the result is axis order[i] of this tensor.</summary>
    public OnnxTensor Transposed(params int[] order)
    {
        int[] shape = Array.ConvertAll(order, axis => Shape[axis]);
        int[] steps = Steps(Shape);
        return Gathered(shape, Array.ConvertAll(order, axis => steps[axis]), 0);
    }

    /// <summary>With one axis last, the others in their order. <see cref="WithLastAxisAt"/> undoes it.</summary>
    public OnnxTensor WithAxisLast(int axis) => Transposed([.. Enumerable.Range(0, Rank).Where(a => a != axis), axis]);

    /// <summary>With the last axis moved to a place.</summary>
    public OnnxTensor WithLastAxisAt(int axis) =>
        Transposed([.. Enumerable.Range(0, axis), Rank - 1, .. Enumerable.Range(axis, Rank - 1 - axis)]);

    /// <summary>Repeated to larger sizes by NumPy's rule: sizes are compared from the last one; missing ones and 1 are repeated.</summary>
    public OnnxTensor Broadcast(params int[] shape)
    {
        int missing = shape.Length - Rank;
        int[] own = Steps(Shape), steps = new int[shape.Length];
        for (int i = 0; i < Rank; i++)
        {
            if (missing < 0 || (Shape[i] != 1 && Shape[i] != shape[i + missing]))
                throw new InvalidDataException($"{Text(Shape)} is not broadcast to {Text(shape)}");
            steps[i + missing] = Shape[i] == 1 ? 0 : own[i];
        }
        return Gathered(shape, steps, 0);
    }

    /// <summary>Indices start to end - 1 of an axis.</summary>
    public OnnxTensor Slice(int axis, int start, int end)
    {
        int[] shape = [.. Shape], steps = Steps(Shape);
        shape[axis] = end - start;
        return Gathered(shape, steps, start * steps[axis]);
    }

    /// <summary>Several tensors one behind the other along an axis.</summary>
    public static OnnxTensor Concatenated(int axis, IReadOnlyList<OnnxTensor> parts)
    {
        // With the axis first the parts lie one behind the other in memory.
        OnnxTensor[] first = [.. parts.Select(p => p.Transposed([axis, .. Enumerable.Range(0, p.Rank).Where(a => a != axis)]))];
        int[] shape = [first.Sum(p => p.Shape[0]), .. first[0].Shape[1..]];
        var joined = new OnnxTensor(shape, first.SelectMany(p => p.Floats).ToArray());
        return joined.Transposed([.. Enumerable.Range(1, axis), 0, .. Enumerable.Range(axis + 1, joined.Rank - axis - 1)]);
    }

    public override string ToString() => $"{ElementType.Name}{Text(Shape)}";

    /// <summary>The larger sizes that two tensors are broadcast to.</summary>
    public static int[] BroadcastShape(int[] a, int[] b)
    {
        var shape = new int[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= shape.Length; i++)
        {
            int ofA = i <= a.Length ? a[^i] : 1, ofB = i <= b.Length ? b[^i] : 1;
            shape[^i] = ofA == 1 ? ofB : ofA;
        }
        return shape;
    }

    public static int Product(ReadOnlySpan<int> sizes)
    {
        int product = 1;
        foreach (int size in sizes)
            product = checked(product * size);
        return product;
    }

    private static string Text(int[] shape) => $"[{string.Join(", ", shape)}]";

    // How far the elements of each axis are apart.
    private static int[] Steps(int[] shape)
    {
        var steps = new int[shape.Length];
        for (int axis = shape.Length - 1, step = 1; axis >= 0; step *= shape[axis--])
            steps[axis] = step;
        return steps;
    }

    private static T[] Read<T>(TensorProto tensor, int size, IEnumerable<T> typed, RawReader<T> read)
    {
        ByteString raw = tensor.RawData;
        if (raw.IsEmpty)
            return [.. typed];
        if (raw.Length % size != 0)
            throw new InvalidDataException($"tensor '{tensor.Name}' has {raw.Length} bytes of elements of {size}");
        var data = new T[raw.Length / size];
        for (int i = 0; i < data.Length; i++)
            data[i] = read(raw.Span[(i * size)..]);
        return data;
    }

    private T[] Elements<T>() => _data as T[] ?? throw new InvalidDataException($"{this} was expected to hold {typeof(T).Name}");

    // The element at (i, j, ...) of the result is the one at start + i steps[0] + j steps[1] + ...
    private OnnxTensor Gathered(int[] shape, int[] steps, int start)
    {
        Array data = Array.CreateInstance(ElementType, Product(shape));
        var index = new int[shape.Length];
        for (int i = 0, from = start; i < data.Length; i++)
        {
            Array.Copy(_data, from, data, i, 1);
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                from += steps[axis];
                if (++index[axis] < shape[axis])
                    break;
                from -= steps[axis] * shape[axis];
                index[axis] = 0;
            }
        }
        return new OnnxTensor(shape, data);
    }

    private delegate T RawReader<T>(ReadOnlySpan<byte> bytes);
}
