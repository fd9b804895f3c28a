// Layer.cs: what a layer is. A layer is configuration (public) and a small compiler front end (internal): it says what
// parameters it has and records its forward and backward instructions. It owns no memory and knows no kernel.
// To add one: a record like Dense, and a row in Layer.Readers so that files can bring it back.

using System.Text.Json;

namespace HpcNet;

/// <summary>
/// One layer's configuration: an immutable description that a <see cref="Network"/> is built from. The same record may be
/// used in several networks; the parameters belong to the network.
/// </summary>
public abstract record Layer
{
    private protected Layer()
    {
    }

    /// <summary>
    /// The name, unique in its network; null: the kind and its ordinal, for example <c>dense1</c>. Parameters are named
    /// <c>name.weight</c> and <c>name.bias</c>.
    /// </summary>
    /// <exception cref="ArgumentException">Empty, or holding a dot, blank or control character.</exception>
    public string? Name
    {
        get;
        init
        {
            if (value is not null && (value.Length == 0 || value.Any(c => c == '.' || char.IsWhiteSpace(c) || char.IsControl(c))))
                throw new ArgumentException($"'{value}' is no name for a layer; expected text without dots and blanks.", nameof(Name));
            field = value;
        }
    }

    /// <summary>True: training leaves the parameters of this layer as they are. <see cref="Network.Freeze"/> changes it later.</summary>
    public bool Frozen { get; init; }

    /// <summary>Factor on the learning rate for this layer's parameters; finite, 0 or more; 1 by default.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Negative, infinite or NaN.</exception>
    public float LearningRateScale { get; init => field = Ensure.FiniteNotNegative(value, nameof(LearningRateScale)); } = 1f;

    /// <summary>The kind's name in files and default layer names.</summary>
    internal abstract string Kind { get; }

    /// <summary>Checks what comes in and says what goes out, for one row.</summary>
    internal abstract Shape OutputShape(Shape input, string name);

    /// <summary>Declares the parameters for what comes in.</summary>
    internal virtual void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
    }

    /// <summary>The fewest rows that a run can have: more than one where a batch's variance is needed.</summary>
    internal virtual int LeastRows(Shape input, bool training) => 1;

    /// <summary>Where the input is indices: how many there are, each a whole number from 0 on; else 0.</summary>
    internal virtual int IndexCount => 0;

    /// <summary>Whether the layer records nothing and hands on its input.</summary>
    internal virtual bool IsIdentity(bool training) => false;

    /// <summary>Records y from the node's input.</summary>
    internal abstract Value RecordForward(NodeRecording node, Value x);

    /// <summary>
    /// Records the gradients of the parameters (where the node trains) and, if the node needs it, returns that of the input;
    /// else none.
    /// </summary>
    internal abstract Value RecordBackward(NodeRecording node, Value dy);

    /// <summary>Records, behind the loss of a training step, what the step does to the layer's state (running statistics).</summary>
    internal virtual void RecordStateUpdate(NodeRecording node)
    {
    }

    /// <summary>Writes the members that <see cref="Read"/> needs.</summary>
    internal abstract void Write(Utf8JsonWriter json);

    /// <summary>One line for summaries: kind and settings without the name.</summary>
    internal abstract string Summary();

    // How a file's layer object becomes a layer, by kind.
    private static readonly Dictionary<string, Func<JsonElement, Layer>> Readers = new(StringComparer.Ordinal)
    {
        ["dense"] = Dense.Read,
        ["dropout"] = Dropout.Read,
        ["activation"] = ActivationLayer.Read,
        ["prelu"] = PRelu.Read,
        ["rnn"] = SimpleRnn.Read,
        ["lstm"] = Lstm.Read,
        ["gru"] = Gru.Read,
        ["batchnorm"] = BatchNorm.Read,
        ["layernorm"] = LayerNorm.Read,
        ["embedding"] = Embedding.Read,
        ["flatten"] = static _ => new Flatten(),
        ["reshape"] = Reshape.Read,
        ["alphadropout"] = AlphaDropout.Read,
        ["gaussiannoise"] = GaussianNoise.Read,
        ["columns"] = InputColumns.Read,
        ["add"] = static _ => new AddLayer(),
        ["multiply"] = static _ => new MultiplyLayer(),
        ["concatenate"] = ConcatenateLayer.Read,
        ["outputs"] = static _ => new OutputColumns(),
    };

    /// <summary>The kinds of the library's own layers.</summary>
    private protected static IReadOnlyCollection<string> Kinds => Readers.Keys;

    /// <summary>The layer that a file's object describes, the library's or a registered one; null: no such kind.</summary>
    internal static Layer? Read(string kind, JsonElement json) =>
        Readers.TryGetValue(kind, out Func<JsonElement, Layer>? read) ? read(json) : CustomLayer.Find(kind, json);
}
