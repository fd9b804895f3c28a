// MergeLayer.cs: layers with several inputs: sum, product, concatenation, the outputs of a network; and the columns of a network's
// row that belong to one of several inputs. Users get them through NetworkNode; files know them by their kinds.

using System.Text.Json;

namespace HpcNet;

/// <summary>A layer that makes one value of several.</summary>
internal abstract record MergeLayer : Layer
{
    /// <summary>Checks what comes in, two values or more, and says what goes out.</summary>
    internal abstract Shape OutputShape(Shape[] inputs, string name);

    internal abstract Value RecordForward(NodeRecording node, Value[] inputs);

    /// <summary>Records the gradient of each input that needs one (<see cref="NodeRecording.NeedsGradientOf"/>).</summary>
    internal abstract void RecordBackward(NodeRecording node, Value dy, Value[] gradients);

    internal sealed override Shape OutputShape(Shape input, string name) => OutputShape([input], name);

    internal sealed override Value RecordForward(NodeRecording node, Value x) => RecordForward(node, [x]);

    internal sealed override Value RecordBackward(NodeRecording node, Value dy) => throw new NotSupportedException(Kind);

    internal override void Write(Utf8JsonWriter json)
    {
    }

    /// <summary>The shape that all inputs have.</summary>
    private protected Shape Same(Shape[] inputs, string name)
    {
        foreach (Shape shape in inputs)
        {
            if (!shape.Equals(inputs[0]))
            {
                throw new ArgumentException(
                    $"{Summary()} '{name}' got branches of {string.Join(" and ", inputs.Select(s => s.ToString()))}; expected one shape.", "layers");
            }
        }
        return inputs[0];
    }
}

/// <summary>y = x1 + x2 + ...</summary>
internal sealed record AddLayer : MergeLayer
{
    internal override string Kind => "add";

    internal override Shape OutputShape(Shape[] inputs, string name) => Same(inputs, name);

    internal override Value RecordForward(NodeRecording node, Value[] inputs)
    {
        Value y = node.Output(node.InputColumns);
        node.Recorder.CopyColumns(inputs[0], 0, y, 0, node.InputColumns);
        foreach (Value x in inputs.AsSpan(1))
            node.Recorder.AddScaled(x, y, 1f);
        return y;
    }

    internal override void RecordBackward(NodeRecording node, Value dy, Value[] gradients) => Array.Fill(gradients, dy);

    internal override string Summary() => "Add";
}

/// <summary>y = x1 x2 ..., elementwise.</summary>
internal sealed record MultiplyLayer : MergeLayer
{
    internal override string Kind => "multiply";

    internal override Shape OutputShape(Shape[] inputs, string name) => Same(inputs, name);

    internal override Value RecordForward(NodeRecording node, Value[] inputs)
    {
        for (int i = 0; i < inputs.Length; i++)
            node.Keep(Key(i), inputs[i]);
        return Product(node, inputs, node.Output(node.InputColumns));
    }

    // The product of all others, without a division.
    internal override void RecordBackward(NodeRecording node, Value dy, Value[] gradients)
    {
        for (int i = 0; i < gradients.Length; i++)
        {
            if (!node.NeedsGradientOf(i))
                continue;
            gradients[i] = node.Temporary(node.InputColumns, "dx");
            Product(node, [dy, .. Enumerable.Range(0, gradients.Length).Where(j => j != i).Select(j => node.Kept(Key(j)))], gradients[i]);
        }
    }

    internal override string Summary() => "Multiply";

    private static string Key(int input) => FormattableString.Invariant($"x{input}");

    private static Value Product(NodeRecording node, Value[] factors, Value product)
    {
        Value first = factors[0];
        foreach (Value factor in factors.AsSpan(1))
        {
            node.Recorder.Multiply(first, factor, product);
            first = product;
        }
        return product;
    }
}

/// <summary>All inputs side by side along one axis.</summary>
internal abstract record JoinLayer : MergeLayer
{
    /// <summary>Of how many pieces a row is made, each of which has a part of every input.</summary>
    private protected abstract int Pieces(NodeRecording node);

    internal override Value RecordForward(NodeRecording node, Value[] inputs)
    {
        Value y = node.Output(node.OutputShape.Elements);
        int at = 0;
        for (int i = 0; i < inputs.Length; i++)
        {
            int columns = node.InputShapes[i].Elements / Pieces(node);
            node.Recorder.CopyColumns(inputs[i], 0, y, at, columns, Pieces(node));
            at += columns;
        }
        return y;
    }

    internal override void RecordBackward(NodeRecording node, Value dy, Value[] gradients)
    {
        int at = 0;
        for (int i = 0; i < gradients.Length; i++)
        {
            int columns = node.InputShapes[i].Elements / Pieces(node);
            if (node.NeedsGradientOf(i))
            {
                gradients[i] = node.Temporary(node.InputShapes[i].Elements, "dx");
                node.Recorder.CopyColumns(dy, at, gradients[i], 0, columns, Pieces(node));
            }
            at += columns;
        }
    }
}

/// <summary>The answers of a network with several outputs, of any shapes: their rows one behind the other.</summary>
internal sealed record OutputColumns : JoinLayer
{
    internal override string Kind => "outputs";

    internal override Shape OutputShape(Shape[] inputs, string name) =>
        Ensure.Elements(1, inputs.Sum(s => (long)s.Elements), "layers", "The outputs");

    internal override string Summary() => "Outputs";

    private protected override int Pieces(NodeRecording node) => 1;
}

/// <summary>Concatenation along one axis; the other dimensions are equal.</summary>
internal sealed record ConcatenateLayer : JoinLayer
{
    /// <param name="axis">A dimension, counted from the front if 0 or more, else from the end.</param>
    public ConcatenateLayer(int axis) => Axis = axis;

    public int Axis { get; }

    internal override string Kind => "concatenate";

    internal override Shape OutputShape(Shape[] inputs, string name)
    {
        int rank = inputs[0].Rank;
        if (Axis < -rank || Axis >= rank)
            throw new ArgumentOutOfRangeException("axis", Axis, $"axis is {Axis}; expected {-rank} to {rank - 1} for {inputs[0]} in Concatenate '{name}'.");
        int[] dimensions = inputs[0].Dimensions.ToArray();
        int axis = Index(rank);
        long sum = 0;
        foreach (Shape shape in inputs)
        {
            bool fits = shape.Rank == rank;
            for (int i = 0; fits && i < rank; i++)
                fits = i == axis || shape[i] == dimensions[i];
            if (!fits)
            {
                throw new ArgumentException(
                    $"Concatenate '{name}' got branches of {string.Join(" and ", inputs.Select(s => s.ToString()))}; expected shapes that differ along axis {Axis} only.",
                    "layers");
            }
            sum += shape[axis];
        }
        dimensions[axis] = Ensure.Elements(1, sum, "layers", $"Concatenate '{name}'");
        return new Shape(dimensions);
    }

    internal override void Write(Utf8JsonWriter json) => json.WriteNumber("axis", Axis);

    internal static ConcatenateLayer Read(JsonElement json) => new(JsonFields.Int(json, "axis"));

    internal override string Summary() => Axis == -1 ? "Concatenate" : FormattableString.Invariant($"Concatenate(axis {Axis})");

    private int Index(int rank) => Axis < 0 ? rank + Axis : Axis;

    // Everything in front of the axis repeats: each repetition is a piece of the row.
    private protected override int Pieces(NodeRecording node)
    {
        int pieces = 1;
        for (int i = Index(node.OutputShape.Rank) - 1; i >= 0; i--)
            pieces *= node.OutputShape[i];
        return pieces;
    }
}

/// <summary>One of several inputs: a range of the columns of the network's row.</summary>
internal sealed record InputColumns : Layer
{
    public InputColumns(int first, Shape shape)
    {
        First = Ensure.NotNegative(first, nameof(first));
        Shape = shape;
    }

    public int First { get; }

    public Shape Shape { get; }

    internal override string Kind => "columns";

    internal override Shape OutputShape(Shape input, string name) => (long)First + Shape.Elements <= input.Elements
        ? Shape
        : throw new ArgumentException($"Input '{name}' takes columns {First} to {First + (long)Shape.Elements - 1} of {input.Elements}.", "layers");

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        Value y = node.Output(Shape.Elements);
        node.Recorder.CopyColumns(x, First, y, 0, Shape.Elements);
        return y;
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        if (!node.NeedsInputGradient)
            return Value.None;
        Value dx = node.Temporary(node.InputColumns, "dx");
        node.Recorder.Fill(dx, 0f);
        node.Recorder.CopyColumns(dy, 0, dx, First, Shape.Elements);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("first", First);
        JsonFields.Write(json, "shape", Shape);
    }

    internal static InputColumns Read(JsonElement json) => new(JsonFields.Int(json, "first"), JsonFields.Shape(json, "shape"));

    internal override string Summary() => $"Input({Shape})";
}
