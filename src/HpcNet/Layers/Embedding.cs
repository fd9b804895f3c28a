// Embedding.cs: rows of a learned table by index.
// Shapes (row-major): X [rows x columns] of whole numbers, weight [count x dimension], Y [rows x columns * dimension].
// Backward: dW[i] = the sum of dY over all places whose index is i, in the order of the places; X has no gradient.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// A table of learned vectors: every number of a row is an index, and becomes that row of the table. A network's inputs are single-precision
/// columns, so an index is a whole number in such a column (exact up to 2^24 = 16,777,216, the largest table). A row of several columns becomes
/// <c>[columns, dimension]</c>, a single column <c>[dimension]</c>.
/// </summary>
public sealed record Embedding : Layer
{
    private const int Most = 1 << 24;

    /// <summary>Describes an embedding.</summary>
    /// <param name="count">Rows of the table: indices are 0 to count − 1. 1 to 16,777,216.</param>
    /// <param name="dimension">Numbers of a vector, at least 1.</param>
    /// <param name="weightInitializer">How the table begins; null: normal with mean 0 and variance 1.</param>
    /// <param name="paddingIndex">An index that stands for nothing: its vector begins as 0 and does not learn; null: none.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public Embedding(int count, int dimension, Initializer? weightInitializer = null, int? paddingIndex = null)
    {
        Count = Ensure.Positive(count, nameof(count)) <= Most
            ? count
            : throw new ArgumentOutOfRangeException(nameof(count), count, $"count is {count}; expected at most {Most}.");
        Dimension = Ensure.Positive(dimension, nameof(dimension));
        Ensure.Elements(count, dimension, nameof(dimension), "The table");
        if (paddingIndex is { } padding && (padding < 0 || padding >= count))
        {
            throw new ArgumentOutOfRangeException(
                nameof(paddingIndex), padding, $"paddingIndex is {padding}; expected 0 to {count - 1}, a row of the table.");
        }
        PaddingIndex = paddingIndex;
        WeightInitializer = weightInitializer ?? Initializer.Normal(0f, 1f);
    }

    /// <summary>Rows of the table.</summary>
    public int Count { get; }

    /// <summary>Numbers of a vector.</summary>
    public int Dimension { get; }

    /// <summary>How the table begins, but for the padding's row.</summary>
    public Initializer WeightInitializer { get; }

    /// <summary>The index whose vector does not learn; null: none.</summary>
    public int? PaddingIndex { get; }

    internal override string Kind => "embedding";

    internal override int IndexCount => Count;

    internal override Shape OutputShape(Shape input, string name)
    {
        Ensure.Elements(input.Elements, Dimension, nameof(Dimension), $"Embedding '{name}'");
        return input.Elements == 1 ? Dimension : new Shape(input.Elements, Dimension);
    }

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters) => parameters.Add(
        "weight", Count, Dimension, PaddingIndex is { } padding ? new PaddedInitializer(WeightInitializer, padding) : WeightInitializer,
        decays: true, new Shape(Count, Dimension));

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        Value y = node.Output(x.Columns * Dimension);
        node.Recorder.EmbeddingForward(node.Parameter("weight"), x, y);
        node.Keep("x", x);
        return y;
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        if (node.Trains)
            node.Recorder.EmbeddingBackward(node.Kept("x"), dy, node.Gradient("weight"), PaddingIndex ?? -1);
        if (!node.NeedsInputGradient)
            return Value.None;
        Value dx = node.Temporary(node.InputColumns, "dx");
        node.Recorder.Fill(dx, 0f);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("count", Count);
        json.WriteNumber("dimension", Dimension);
        if (PaddingIndex is { } padding)
            json.WriteNumber("paddingIndex", padding);
    }

    internal static Embedding Read(JsonElement json) => new(
        JsonFields.Int(json, "count"), JsonFields.Int(json, "dimension"),
        paddingIndex: JsonFields.Optional(json, "paddingIndex", JsonValueKind.Number) is null ? null : JsonFields.Int(json, "paddingIndex"));

    internal override string Summary() => string.Create(
        CultureInfo.InvariantCulture, $"Embedding({Count} x {Dimension}{(PaddingIndex is null ? "" : $", padding {PaddingIndex}")})");

    private sealed record PaddedInitializer(Initializer Inner, int Padding) : Initializer
    {
        internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
        {
            Inner.Fill(values, fanIn, fanOut, random);
            values.Slice(Padding * fanOut, fanOut).Clear();
        }

        public override string ToString() => $"{Inner}, row {Padding} zero";
    }
}
