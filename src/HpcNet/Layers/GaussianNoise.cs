// GaussianNoise.cs: y = x + deviation * n while training, n standard normal from the counter-based generator; the gradient passes.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>Adds normally distributed noise of mean 0 while training; in evaluation and prediction it does nothing.</summary>
public sealed record GaussianNoise : StochasticLayer
{
    /// <summary>Describes a noise layer.</summary>
    /// <param name="deviation">The standard deviation of the noise; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="deviation"/> is negative, infinite or NaN.</exception>
    public GaussianNoise(float deviation) => Deviation = Ensure.FiniteNotNegative(deviation, nameof(deviation));

    /// <summary>The standard deviation of the noise.</summary>
    public float Deviation { get; }

    internal override string Kind => "gaussiannoise";

    private protected override float Strength => Deviation;

    private protected override void RecordNoise(NodeRecording node, Value x, Value y)
    {
        node.Recorder.GaussianNoise(x, y, node.Seed, node.RandomStream, Deviation);
    }

    private protected override Value RecordGradient(NodeRecording node, Value dy) => dy;

    internal override void Write(Utf8JsonWriter json) => json.WriteNumber("deviation", Deviation);

    internal static GaussianNoise Read(JsonElement json) => new(JsonFields.Float(json, "deviation"));

    internal override string Summary() => string.Create(CultureInfo.InvariantCulture, $"GaussianNoise({Deviation})");
}
