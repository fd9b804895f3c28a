// RecurrentLayer.cs: what SimpleRnn, Lstm and Gru share: everything but the cell (native/formulas/cells.h).
// Shapes: X [rows × steps × in], a whole sequence to a row; one direction of one layer makes gates [rows × steps × G units].
// The input's part of all steps is one product; what is recurrent is one instruction for each layer and direction, and the
// weights' gradients are one product over all steps again.
// To add a cell: its row in cells.h and a record like Gru.

using System.Globalization;
using System.Text;
using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// A recurrent layer, with PyTorch's conventions. It takes sequences [steps, features] and gives the output of the last step
/// [units], or with <see cref="WholeSequence"/> those of all steps [steps, units]. A bidirectional layer walks the sequence both
/// ways and puts both outputs side by side; its last steps are the last ones that each direction walks. The first step begins
/// with zeros. Parameters are named as PyTorch names them: <c>weight_ih_l0</c>, <c>weight_hh_l0</c>, <c>bias_ih_l0</c>,
/// <c>bias_hh_l0</c>, with the number of the stacked layer and <c>_reverse</c> for the other direction; they begin uniform in
/// ±1/√units.
/// </summary>
public abstract record RecurrentLayer : Layer
{
    private protected RecurrentLayer(int units, int layers, bool bidirectional, bool wholeSequence, bool bias, float dropout)
    {
        Units = Ensure.Positive(units, nameof(units));
        Layers = Ensure.Positive(layers, nameof(layers));
        Bidirectional = bidirectional;
        WholeSequence = wholeSequence;
        Bias = bias;
        Dropout = Ensure.BelowOne(dropout, nameof(dropout));
    }

    /// <summary>Outputs of each direction.</summary>
    public int Units { get; }

    /// <summary>How many layers are stacked, each on the sequence of the one below.</summary>
    public int Layers { get; }

    /// <summary>Whether the sequence is walked both ways.</summary>
    public bool Bidirectional { get; }

    /// <summary>Whether the outputs of all steps are handed on instead of the last one's.</summary>
    public bool WholeSequence { get; }

    /// <summary>Whether both biases are there.</summary>
    public bool Bias { get; }

    /// <summary>The share of elements that are dropped between stacked layers while training.</summary>
    public float Dropout { get; }

    private protected abstract hpc_cell Cell { get; }

    private int Directions => Bidirectional ? 2 : 1;

    internal override Shape OutputShape(Shape input, string name)
    {
        if (input.Rank != 2)
        {
            throw new ArgumentException(
                $"{GetType().Name} '{name}' expects sequences of the shape [steps, features], got {input}.", nameof(input));
        }
        int width = Ensure.Elements(Info().gates, Units, nameof(Units), $"{GetType().Name} '{name}'");
        Ensure.Elements(Math.Max(input[1], Units * (long)Directions), width, nameof(Units), $"{GetType().Name} '{name}'");
        Ensure.Elements(input[0], Math.Max(width, Units * (long)Directions), nameof(Units), $"A sequence of {GetType().Name} '{name}'");
        return WholeSequence ? new Shape(input[0], Directions * Units) : new Shape(Directions * Units);
    }

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
        int width = Info().gates * Units;
        var initializer = new SymmetricInitializer(1.0 / Math.Sqrt(Units));
        for (int layer = 0; layer < Layers; layer++)
        {
            for (int direction = 0; direction < Directions; direction++)
            {
                string suffix = Suffix(layer, direction);
                parameters.Add("weight_ih" + suffix, layer == 0 ? input[1] : Directions * Units, width, initializer, decays: true);
                parameters.Add("weight_hh" + suffix, Units, width, initializer, decays: true);
                if (Bias)
                {
                    parameters.Add("bias_ih" + suffix, 1, width, initializer, decays: false);
                    parameters.Add("bias_hh" + suffix, 1, width, initializer, decays: false);
                }
            }
        }
    }

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        hpc_cell_info info = Info();
        int steps = node.InputShape[0];
        bool keeps = node.HasBackward;
        for (int layer = 0; layer < Layers; layer++)
        {
            bool top = layer == Layers - 1, last = top && !WholeSequence;
            int columns = (last ? 1 : steps) * Directions * Units;
            Value y = top ? node.Output(columns) : node.Temporary(columns, FormattableString.Invariant($"y{layer}"));
            node.Keep(FormattableString.Invariant($"x{layer}"), x);
            for (int direction = 0; direction < Directions; direction++)
            {
                string suffix = Suffix(layer, direction);
                Value gates = node.Temporary(steps * info.gates * Units, "gates" + suffix);
                Value kept = keeps && info.kept != 0 ? node.Temporary(steps * Units, "kept" + suffix) : Value.None;
                Value previous = keeps ? node.Temporary(steps * Units, "previous" + suffix) : Value.None;
                node.Recorder.DenseForward(
                    x, node.Parameter("weight_ih" + suffix), Bias ? node.Parameter("bias_ih" + suffix) : Value.None, gates);
                node.Recorder.RecurrentForward(new hpc_recurrent_forward
                {
                    cell = (int)Cell,
                    reverse = direction,
                    last = last ? 1 : 0,
                    gates = gates.Id,
                    w = node.Parameter("weight_hh" + suffix).Id,
                    b = Bias ? node.Parameter("bias_hh" + suffix).Id : 0,
                    y = y.Id,
                    y_offset = (uint)(direction * Units),
                    kept = kept.Id,
                    previous = previous.Id,
                });
                node.Keep("gates" + suffix, gates);
                node.Keep("kept" + suffix, kept);
                node.Keep("previous" + suffix, previous);
            }
            x = y;
            if (!top && Drops(node))
            {
                x = node.Temporary(columns, FormattableString.Invariant($"dropped{layer}"));
                node.Recorder.Dropout(y, x, Seed(node, layer), node.RandomStream, Dropout);
            }
        }
        return x;
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        hpc_cell_info info = Info();
        Recorder recorder = node.Recorder;
        int steps = node.InputShape[0];
        for (int layer = Layers - 1; layer >= 0; layer--)
        {
            bool needed = layer > 0 || node.NeedsInputGradient;
            Value x = node.Kept(FormattableString.Invariant($"x{layer}")), dx = Value.None;
            for (int direction = 0; direction < Directions; direction++)
            {
                string suffix = Suffix(layer, direction);
                Value gates = node.Kept("gates" + suffix), previous = node.Kept("previous" + suffix), w = node.Parameter("weight_ih" + suffix);
                Value hidden = info.direct != 0 ? node.Temporary(steps * info.gates * Units, "hidden" + suffix) : Value.None;
                recorder.RecurrentBackward(new hpc_recurrent_backward
                {
                    cell = (int)Cell,
                    reverse = direction,
                    last = layer == Layers - 1 && !WholeSequence ? 1 : 0,
                    gates = gates.Id,
                    w = node.Parameter("weight_hh" + suffix).Id,
                    kept = node.Kept("kept" + suffix).Id,
                    previous = previous.Id,
                    dy = dy.Id,
                    dy_offset = (uint)(direction * Units),
                    hidden = hidden.Id,
                });
                if (node.Trains)
                    RecordParameterGradients(node, suffix, x, gates, previous, hidden);
                if (!needed)
                    continue;
                Value part = node.Temporary(x.Columns, FormattableString.Invariant($"dx{layer}_{direction}"));
                recorder.DenseBackwardInput(gates, w, part);
                if (dx.IsNone)
                    dx = part;
                else
                    recorder.AddScaled(part, dx, 1f);
            }
            dy = dx;
            if (layer > 0 && Drops(node))
            {
                dy = node.Temporary(dx.Columns, FormattableString.Invariant($"dy{layer - 1}"));
                recorder.Dropout(dx, dy, Seed(node, layer - 1), node.RandomStream, Dropout);
            }
        }
        return dy;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("units", Units);
        json.WriteNumber("layers", Layers);
        json.WriteBoolean("bidirectional", Bidirectional);
        json.WriteBoolean("wholeSequence", WholeSequence);
        json.WriteBoolean("bias", Bias);
        json.WriteNumber("dropout", Dropout);
    }

    internal override string Summary()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{GetType().Name}({Units}");
        foreach (string setting in Settings())
            text.Append(", ").Append(setting);
        if (Layers > 1)
            text.Append(CultureInfo.InvariantCulture, $", {Layers} layers");
        if (Bidirectional)
            text.Append(", bidirectional");
        if (WholeSequence)
            text.Append(", whole sequence");
        if (!Bias)
            text.Append(", no bias");
        if (Dropout > 0f)
            text.Append(CultureInfo.InvariantCulture, $", dropout {Dropout}");
        return text.Append(')').ToString();
    }

    /// <summary>What a summary says of the cell's own settings.</summary>
    private protected virtual IEnumerable<string> Settings() => [];

    /// <summary>Reads the settings that all kinds have and makes the layer.</summary>
    private protected static T Read<T>(JsonElement json, Func<int, int, bool, bool, bool, float, T> make) => make(
        JsonFields.Int(json, "units"), JsonFields.Int(json, "layers"), JsonFields.Bool(json, "bidirectional"),
        JsonFields.Bool(json, "wholeSequence"), JsonFields.Bool(json, "bias"), JsonFields.Float(json, "dropout"));

    // The second bias of a gate has the first one's gradient, except where the cell tells the two sides apart.
    private void RecordParameterGradients(NodeRecording node, string suffix, Value x, Value gates, Value previous, Value hidden)
    {
        Recorder recorder = node.Recorder;
        recorder.DenseBackwardWeight(x, gates, node.Gradient("weight_ih" + suffix));
        recorder.DenseBackwardWeight(previous, hidden.IsNone ? gates : hidden, node.Gradient("weight_hh" + suffix));
        if (!Bias)
            return;
        Value first = node.Gradient("bias_ih" + suffix), second = node.Gradient("bias_hh" + suffix);
        recorder.ColumnSums(gates, first);
        if (hidden.IsNone)
        {
            recorder.Fill(second, 0f);
            recorder.AddScaled(first, second, 1f);
        }
        else
        {
            recorder.ColumnSums(hidden, second);
        }
    }

    private bool Drops(NodeRecording node) => node.Training && Dropout > 0f;

    // A key of its own for each of the masks, which share the node's stream.
    private static ulong Seed(NodeRecording node, int layer) => node.Seed + (ulong)(layer + 1) * 0x9E3779B97F4A7C15UL;

    private static string Suffix(int layer, int direction) =>
        FormattableString.Invariant($"_l{layer}{(direction == 0 ? "" : "_reverse")}");

    private unsafe hpc_cell_info Info()
    {
        hpc_cell_info info;
        Status.Check(Native.hpc_get_cell_info((int)Cell, &info));
        return info;
    }
}

/// <summary>Uniform in ±limit.</summary>
internal sealed record SymmetricInitializer(double Limit) : Initializer
{
    internal override void Fill(Span<float> values, int fanIn, int fanOut, Philox random)
    {
        for (int i = 0; i < values.Length; i++)
            values[i] = (float)(Limit * (2.0 * random.NextUniform() - 1.0));
    }
}
