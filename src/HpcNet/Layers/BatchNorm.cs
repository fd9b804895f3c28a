// BatchNorm.cs: batch normalization (Ioffe and Szegedy 2015), with PyTorch's meaning of every setting.
// Shapes (row-major): X, Y [rows x channels] or [rows x channels * length]; weight, bias [1 x channels].
// Running statistics are state of the network, no parameters: an instruction behind the loss moves them, so that a step whose loss is not
// finite leaves them alone.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// Batch normalization (Ioffe and Szegedy 2015): y = (x − mean) / √(variance + ε) · weight + bias, by channel. Of a row
/// <c>[features]</c> every feature is a channel; of <c>[channels, length]</c> a channel has length numbers in each row. While training,
/// mean and (biased) variance are those of the batch, and running statistics follow them, running = (1 − momentum) · running + momentum · batch
/// with the unbiased variance; in evaluation and prediction the running statistics serve. A frozen layer keeps its weight and
/// bias only: its statistics are used and moved as before, as those of a PyTorch module in training mode whose parameters need no gradient.
/// </summary>
public sealed record BatchNorm : Layer
{
    /// <summary>Describes a batch normalization.</summary>
    /// <param name="momentum">The share of a new batch in the running statistics, 0 to 1; null: the plain average over all batches.</param>
    /// <param name="epsilon">ε, above 0.</param>
    /// <param name="affine">False: no weight and bias.</param>
    /// <param name="trackRunningStatistics">
    /// False: there are no running statistics, and evaluation and prediction use those of their own rows, too (of 256 rows at a time, or
    /// of the predictor's batch).
    /// </param>
    /// <param name="features">The channels that are expected, at least 1; null: as many as come.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public BatchNorm(
        float? momentum = 0.1f, float epsilon = 1e-5f, bool affine = true, bool trackRunningStatistics = true, int? features = null)
    {
        Momentum = momentum is { } share ? Ensure.UnitInterval(share, nameof(momentum)) : null;
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
        Affine = affine;
        TrackRunningStatistics = trackRunningStatistics;
        Features = features is { } count ? Ensure.Positive(count, nameof(features)) : null;
    }

    /// <summary>The share of a new batch in the running statistics; null: the plain average over all batches.</summary>
    public float? Momentum { get; }

    /// <summary>ε.</summary>
    public float Epsilon { get; }

    /// <summary>Whether there are weight and bias.</summary>
    public bool Affine { get; }

    /// <summary>Whether there are running statistics.</summary>
    public bool TrackRunningStatistics { get; }

    /// <summary>The channels that are expected; null: as many as come.</summary>
    public int? Features { get; }

    internal override string Kind => "batchnorm";

    internal override Shape OutputShape(Shape input, string name) => Features is null || Features == input[0]
        ? input
        : throw new ArgumentException($"BatchNorm '{name}' expects {Features} features, got {input[0]}.", nameof(Features));

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
        if (Affine)
        {
            parameters.Add("weight", 1, input[0], Initializer.Constant(1f), decays: false, new Shape(input[0]));
            parameters.Add("bias", 1, input[0], Initializer.Zeros, decays: false);
        }
        if (TrackRunningStatistics)
        {
            parameters.AddState("running_mean", input[0], 0f);
            parameters.AddState("running_var", input[0], 1f);
            parameters.AddState("num_batches_tracked", 1, 0f, counts: true);
        }
    }

    // Of a single value the variance says nothing.
    internal override int LeastRows(Shape input, bool training) => (training || !TrackRunningStatistics) && input.Elements == input[0] ? 2 : 1;

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        Value statistics = node.FixedTemporary(4, node.InputShape[0], "statistics");
        Value y = node.Output(node.InputColumns);
        bool running = TrackRunningStatistics && !node.Training;
        node.Recorder.BatchNormForward(
            x, Affine ? node.Parameter("weight") : Value.None, Affine ? node.Parameter("bias") : Value.None,
            running ? node.State("running_mean") : Value.None, running ? node.State("running_var") : Value.None, y, statistics, Epsilon);
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
        node.Recorder.BatchNormBackward(
            node.Kept("x"), dy, Affine ? node.Parameter("weight") : Value.None, node.Kept("statistics"), dx,
            learns ? node.Gradient("weight") : Value.None, learns ? node.Gradient("bias") : Value.None,
            constantStatistics: TrackRunningStatistics && !node.Training);
        return dx;
    }

    internal override void RecordStateUpdate(NodeRecording node)
    {
        if (TrackRunningStatistics)
        {
            node.Recorder.BatchNormUpdate(
                node.Kept("statistics"), node.State("running_mean"), node.State("running_var"), node.State("num_batches_tracked"), Momentum);
        }
    }

    internal override void Write(Utf8JsonWriter json)
    {
        if (Momentum is { } momentum)
            json.WriteNumber("momentum", momentum);
        else
            json.WriteNull("momentum");
        json.WriteNumber("epsilon", Epsilon);
        json.WriteBoolean("affine", Affine);
        json.WriteBoolean("trackRunningStatistics", TrackRunningStatistics);
        if (Features is { } features)
            json.WriteNumber("features", features);
    }

    internal static BatchNorm Read(JsonElement json) => new(
        JsonFields.Optional(json, "momentum", JsonValueKind.Number) is null ? null : JsonFields.Float(json, "momentum"),
        JsonFields.Float(json, "epsilon"), JsonFields.Bool(json, "affine"), JsonFields.Bool(json, "trackRunningStatistics"),
        JsonFields.Optional(json, "features", JsonValueKind.Number) is null ? null : JsonFields.Int(json, "features"));

    internal override string Summary() => string.Create(
        CultureInfo.InvariantCulture,
        $"BatchNorm({(Momentum is null ? "average" : $"{Momentum}")}{(Affine ? "" : ", not affine")}{(TrackRunningStatistics ? "" : ", no running statistics")})");
}
