// AlphaDropout.cs: dropout for self-normalizing networks (Klambauer et al. 2017, with the numbers of PyTorch): what is dropped
// becomes -alpha', and an affine map afterwards restores mean 0 and variance 1.
//   a = 1 / sqrt((alpha'^2 rate + 1) (1 - rate));  y = u < rate ? alpha' a (rate - 1) : a x + alpha' a rate;  dx = u < rate ? 0 : a dy

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// Alpha dropout (Klambauer et al. 2017), for networks of SELUs: while training each element is replaced by the SELU's negative
/// limit −1.758 with probability <see cref="Rate"/>, and all are scaled and shifted so that mean 0 and variance 1 stay; in
/// evaluation and prediction it does nothing.
/// </summary>
public sealed record AlphaDropout : StochasticLayer
{
    // lambda alpha of the SELU.
    private const double Limit = 1.0507009873554805 * 1.6732632423543772;

    /// <summary>Describes an alpha dropout layer.</summary>
    /// <param name="rate">The share of elements that are dropped, 0 ≤ rate &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rate"/> is negative, 1 or more, or NaN.</exception>
    public AlphaDropout(float rate) => Rate = Ensure.BelowOne(rate, nameof(rate));

    /// <summary>The share of elements that are dropped.</summary>
    public float Rate { get; }

    internal override string Kind => "alphadropout";

    private double Scale => 1 / Math.Sqrt((Limit * Limit * Rate + 1) * (1 - (double)Rate));

    private protected override float Strength => Rate;

    private protected override void RecordNoise(NodeRecording node, Value x, Value y)
    {
        double scale = Scale;
        node.Recorder.AffineDropout(
            x, y, node.Seed, node.RandomStream, Rate, (float)scale, (float)(Limit * scale * Rate), (float)(Limit * scale * (Rate - 1.0)));
    }

    private protected override Value RecordGradient(NodeRecording node, Value dy)
    {
        Value dx = node.Temporary(node.InputColumns, "dx");
        node.Recorder.AffineDropout(dy, dx, node.Seed, node.RandomStream, Rate, (float)Scale, 0f, 0f);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json) => json.WriteNumber("rate", Rate);

    internal static AlphaDropout Read(JsonElement json) => new(JsonFields.Float(json, "rate"));

    internal override string Summary() => string.Create(CultureInfo.InvariantCulture, $"AlphaDropout({Rate})");
}
