// PRelu.cs: the parametric ReLU (He et al. 2015), an activation whose slope below 0 is learned, and so a layer.
// Shapes: x and y [rows x n]; slope [1 x n], one for each column, or [1 x 1], one for all.
// Backward: dx = x > 0 ? dy : slope dy; dslope = sum over the rows of x > 0 ? 0 : x dy.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// The parametric ReLU (He et al. 2015): y = x for x &gt; 0, else slope · x with a learned slope for each column or one for all.
/// The slope is a parameter named <c>slope</c>; weight decay does not apply to it.
/// </summary>
public sealed record PRelu : Layer
{
    /// <summary>Describes a parametric ReLU.</summary>
    /// <param name="initialSlope">How the slopes begin, finite; 0.25 by default (He et al. 2015).</param>
    /// <param name="shared">True: one slope for all columns; false: one for each.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="initialSlope"/> is infinite or NaN.</exception>
    public PRelu(float initialSlope = 0.25f, bool shared = false)
    {
        InitialSlope = Ensure.Finite(initialSlope, nameof(initialSlope));
        Shared = shared;
    }

    /// <summary>How the slopes begin.</summary>
    public float InitialSlope { get; }

    /// <summary>Whether all columns share one slope.</summary>
    public bool Shared { get; }

    internal override string Kind => "prelu";

    internal override Shape OutputShape(Shape input, string name) => input;

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters) =>
        parameters.Add("slope", 1, Shared ? 1 : input.Elements, Initializer.Constant(InitialSlope), decays: false);

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        Value y = node.Output(x.Columns);
        node.Recorder.PreluForward(x, node.Parameter("slope"), y);
        node.Keep("x", x);
        return y;
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        Value dx = node.NeedsInputGradient ? node.Temporary(dy.Columns, "dx") : Value.None;
        Value slopeGradient = node.Trains ? node.Gradient("slope") : Value.None;
        node.Recorder.PreluBackward(node.Kept("x"), node.Parameter("slope"), dy, dx, slopeGradient);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("initialSlope", InitialSlope);
        json.WriteBoolean("shared", Shared);
    }

    internal static PRelu Read(JsonElement json) => new(JsonFields.Float(json, "initialSlope"), JsonFields.Bool(json, "shared"));

    internal override string Summary() =>
        string.Create(CultureInfo.InvariantCulture, $"PRelu({InitialSlope}{(Shared ? ", shared" : "")})");
}
