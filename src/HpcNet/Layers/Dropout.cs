// Dropout.cs: inverted dropout (Srivastava et al. 2014). In training y = u < rate ? 0 : x / (1 - rate) with u from the
// counter-based generator, so that backward makes the same mask again instead of keeping it; otherwise y = x and nothing is
// recorded.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// Inverted dropout (Srivastava et al. 2014): while training each element is set to 0 with probability <see cref="Rate"/> and
/// otherwise divided by 1 − rate; in evaluation and prediction it does nothing.
/// </summary>
public sealed record Dropout : StochasticLayer
{
    /// <summary>Describes a dropout layer.</summary>
    /// <param name="rate">The share of elements that are dropped, 0 ≤ rate &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rate"/> is negative, 1 or more, or NaN.</exception>
    public Dropout(float rate) => Rate = Ensure.BelowOne(rate, nameof(rate));

    /// <summary>The share of elements that are dropped.</summary>
    public float Rate { get; }

    internal override string Kind => "dropout";

    private protected override float Strength => Rate;

    private protected override void RecordNoise(NodeRecording node, Value x, Value y)
    {
        node.Recorder.Dropout(x, y, node.Seed, node.RandomStream, Rate);
    }

    private protected override Value RecordGradient(NodeRecording node, Value dy)
    {
        Value dx = node.Temporary(node.InputColumns, "dx");
        node.Recorder.Dropout(dy, dx, node.Seed, node.RandomStream, Rate);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json) => json.WriteNumber("rate", Rate);

    internal static Dropout Read(JsonElement json) => new(JsonFields.Float(json, "rate"));

    internal override string Summary() => string.Create(CultureInfo.InvariantCulture, $"Dropout({Rate})");
}
