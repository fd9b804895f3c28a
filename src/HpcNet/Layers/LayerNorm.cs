// LayerNorm.cs: layer normalization (Ba, Kiros and Hinton 2016) over the last dimensions of a row.
// Shapes (row-major): X, Y [rows x groups * size]; weight, bias [1 x size], size being the product of the last dimensions.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// Layer normalization (Ba, Kiros and Hinton 2016): y = (x − mean) / √(variance + ε) · weight + bias with mean and biased variance over
/// the last dimensions of each row, the same in training and evaluation. weight and bias have the shape of those dimensions.
/// </summary>
public sealed record LayerNorm : Layer
{
    /// <summary>Describes a layer normalization.</summary>
    /// <param name="dimensions">How many of the last dimensions are normalized together, at least 1.</param>
    /// <param name="epsilon">ε, above 0.</param>
    /// <param name="affine">False: no weight and bias.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public LayerNorm(int dimensions = 1, float epsilon = 1e-5f, bool affine = true)
    {
        NormalizedDimensions = Ensure.Positive(dimensions, nameof(dimensions));
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
        Affine = affine;
    }

    /// <summary>How many of the last dimensions are normalized together.</summary>
    public int NormalizedDimensions { get; }

    /// <summary>ε.</summary>
    public float Epsilon { get; }

    /// <summary>Whether there are weight and bias.</summary>
    public bool Affine { get; }

    internal override string Kind => "layernorm";

    internal override Shape OutputShape(Shape input, string name) => NormalizedDimensions <= input.Rank
        ? input
        : throw new ArgumentException(
            $"LayerNorm '{name}' normalizes {NormalizedDimensions} dimensions, its input {input} has {input.Rank}.", nameof(NormalizedDimensions));

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
        if (!Affine)
            return;
        Shape shape = Normalized(input);
        parameters.Add("weight", 1, shape.Elements, Initializer.Constant(1f), decays: false, shape);
        parameters.Add("bias", 1, shape.Elements, Initializer.Zeros, decays: false, shape);
    }

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        int size = Normalized(node.InputShape).Elements;
        Value statistics = node.Temporary(3 * (node.InputColumns / size), "statistics");
        Value y = node.Output(node.InputColumns);
        node.Recorder.LayerNormForward(
            x, Affine ? node.Parameter("weight") : Value.None, Affine ? node.Parameter("bias") : Value.None, y, statistics, size, Epsilon);
        node.Keep("x", x);
        node.Keep("statistics", statistics);
        return y;
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        bool learns = node.Trains && Affine;
        if (!learns && !node.NeedsInputGradient)
            return Value.None;
        Value dx = node.NeedsInputGradient ? node.Temporary(node.InputColumns, "dx") : Value.None;
        node.Recorder.LayerNormBackward(
            node.Kept("x"), dy, Affine ? node.Parameter("weight") : Value.None, node.Kept("statistics"), dx,
            learns ? node.Gradient("weight") : Value.None, learns ? node.Gradient("bias") : Value.None, Normalized(node.InputShape).Elements);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("dimensions", NormalizedDimensions);
        json.WriteNumber("epsilon", Epsilon);
        json.WriteBoolean("affine", Affine);
    }

    internal static LayerNorm Read(JsonElement json) => new(
        JsonFields.Int(json, "dimensions"), JsonFields.Float(json, "epsilon"), JsonFields.Bool(json, "affine"));

    internal override string Summary() => string.Create(
        CultureInfo.InvariantCulture,
        $"LayerNorm({NormalizedDimensions}{(NormalizedDimensions == 1 ? " dimension" : " dimensions")}{(Affine ? "" : ", not affine")})");

    private Shape Normalized(Shape input) => new(input.Dimensions[^NormalizedDimensions..]);
}
