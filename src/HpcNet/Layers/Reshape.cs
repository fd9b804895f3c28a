// Reshape.cs: another arrangement of the same numbers. Rows are contiguous on the device, so nothing is recorded.

using System.Text.Json;

namespace HpcNet;

/// <summary>Gives each row another shape of as many elements, in the same order.</summary>
public sealed record Reshape : Layer
{
    /// <summary>Describes a reshaping.</summary>
    /// <param name="shape">One row of what goes out.</param>
    /// <exception cref="ArgumentNullException"><paramref name="shape"/> is null.</exception>
    public Reshape(Shape shape) => Shape = Ensure.NotNull(shape);

    /// <summary>One row of what goes out.</summary>
    public Shape Shape { get; }

    internal override string Kind => "reshape";

    internal override Shape OutputShape(Shape input, string name) => input.Elements == Shape.Elements
        ? Shape
        : throw new ArgumentException(
            $"Reshape '{name}' makes {Shape} of {input}; expected {input.Elements} elements, got {Shape.Elements}.", "layers");

    internal override bool IsIdentity(bool training) => true;

    internal override Value RecordForward(NodeRecording node, Value x) => x;

    internal override Value RecordBackward(NodeRecording node, Value dy) => node.NeedsInputGradient ? dy : Value.None;

    internal override void Write(Utf8JsonWriter json) => JsonFields.Write(json, "shape", Shape);

    internal static Reshape Read(JsonElement json) => new(JsonFields.Shape(json, "shape"));

    internal override string Summary() => $"Reshape({Shape})";
}

/// <summary>Makes one dimension of all.</summary>
public sealed record Flatten : Layer
{
    internal override string Kind => "flatten";

    internal override Shape OutputShape(Shape input, string name) => input.Elements;

    internal override bool IsIdentity(bool training) => true;

    internal override Value RecordForward(NodeRecording node, Value x) => x;

    internal override Value RecordBackward(NodeRecording node, Value dy) => node.NeedsInputGradient ? dy : Value.None;

    internal override void Write(Utf8JsonWriter json)
    {
    }

    internal override string Summary() => "Flatten";
}
