// ActivationLayer.cs: an activation by itself, for where it does not follow a Dense (behind a dropout, at the front).

using System.Text.Json;

namespace HpcNet;

/// <summary>An activation function as a layer of its own: y = f(x).</summary>
public sealed record ActivationLayer : Layer
{
    /// <summary>Describes an activation layer.</summary>
    /// <param name="activation">The function.</param>
    /// <exception cref="ArgumentNullException"><paramref name="activation"/> is null.</exception>
    public ActivationLayer(Activation activation) => Activation = Ensure.NotNull(activation);

    /// <summary>The function.</summary>
    public Activation Activation { get; }

    internal override string Kind => "activation";

    internal override Shape OutputShape(Shape input, string name) => input;

    internal override bool IsIdentity(bool training) => Activation.IsLinear;

    internal override Value RecordForward(NodeRecording node, Value x) => node.RecordActivation(Activation, x);

    internal override Value RecordBackward(NodeRecording node, Value dy) =>
        node.NeedsInputGradient ? node.RecordActivationBackward(Activation, dy, "dx") : Value.None;

    internal override void Write(Utf8JsonWriter json) => Activation.Write(json);

    internal static ActivationLayer Read(JsonElement json) => new(Activation.Read(json));

    internal override string Summary() => $"Activation({Activation})";
}
