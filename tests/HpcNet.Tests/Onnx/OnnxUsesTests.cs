// OnnxUsesTests.cs: uses of operators that ONNX's own cases leave out, held against the operators' definitions in float64. They need no
// files, so that the families are held where the cases are not present, too.

using Google.Protobuf;
using HpcNet.Tests.Onnx.Format;
using AttributeType = HpcNet.Tests.Onnx.Format.AttributeProto.Types.AttributeType;

namespace HpcNet.Tests.Onnx;

[Trait("Category", "Cases")]
public sealed class OnnxUsesTests
{
    private const int Steps = 4, Samples = 3, Features = 2, Units = 5;

    // x is [2 × 3 × 4].
    private static readonly Use[] Elementwise =
    [
        new("alpha", "Celu", 12, [new("alpha", F: 0.7f)], [], (_, x) => x > 0.0 ? x : 0.7 * (Math.Exp(x / 0.7) - 1.0)),
        new("between operands", "Clip", 13, [], [Scalar(-0.5f), Scalar(1.25f)], (_, x) => Math.Clamp(x, -0.5, 1.25)),
        new("from below", "Clip", 13, [], [Scalar(-0.5f)], (_, x) => Math.Max(x, -0.5)),
        new("from above", "Clip", 13, [], [null, Scalar(0.25f)], (_, x) => Math.Min(x, 0.25)),
        new("crossed bounds", "Clip", 13, [], [Scalar(2f), Scalar(1f)], (_, _) => 1.0),
        new("at an attribute of 0", "Clip", 6, [new("min", F: 0f)], [], (_, x) => Math.Max(x, 0.0)),
        new("slope and shift", "HardSigmoid", 6, [new("alpha", F: 0.7f), new("beta", F: 0.1f)], [], (_, x) => Math.Clamp(0.7 * x + 0.1, 0.0, 1.0)),
        new("without parameters", "HardSwish", 14, [], [], (_, x) => x * Math.Clamp(x / 6.0 + 0.5, 0.0, 1.0)),
        new("by axis 1", "PRelu", 9, [], [new OnnxTensor([3, 1], [-0.3f, -0.2f, -0.1f])], (i, x) => x > 0.0 ? x : x * (0.1 * (i / 4 % 3) - 0.3)),
        new("one constant", "Selu", 6, [new("gamma", F: 2f)], [], (_, x) => 2.0 * (x > 0.0 ? x : 1.6732632 * (Math.Exp(x) - 1.0))),
        new("a factor below 0", "Swish", 24, [new("alpha", F: -2f)], [], (_, x) => x / (1.0 + Math.Exp(2.0 * x))),
    ];

    private sealed record Attribute(string Name, float? F = null, long? I = null, string? S = null, string[]? Texts = null);

    /// <summary>A use of an elementwise operator.</summary>
    /// <param name="What">What is said about it.</param>
    /// <param name="Operator">Its name.</param>
    /// <param name="Version">Its version.</param>
    /// <param name="Attributes">Its attributes.</param>
    /// <param name="Others">Its operands behind x; null: not given.</param>
    /// <param name="Value">What becomes of number i, which is x.</param>
    private sealed record Use(
        string What, string Operator, int Version, Attribute[] Attributes, OnnxTensor?[] Others, Func<int, double, double> Value);

    public static TheoryData<string, string, string, int, bool> Sequences()
    {
        var rows = new TheoryData<string, string, string, int, bool>();
        foreach (string target in Targets.All)
        {
            foreach (string kind in (string[])["RNN", "RNN Relu", "LSTM", "GRU", "GRU that resets in front"])
            {
                foreach (string direction in (string[])["forward", "reverse", "bidirectional"])
                {
                    rows.Add(target, kind, direction, 0, false);
                    rows.Add(target, kind, direction, 1, false);
                    rows.Add(target, kind, direction, 0, true);
                    rows.Add(target, kind, direction, 1, true);
                }
            }
        }
        return rows;
    }

    public static TheoryData<string, string> Activations()
    {
        var rows = new TheoryData<string, string>();
        foreach (string target in Targets.All)
        {
            foreach (Use use in Elementwise)
                rows.Add(target, $"{use.Operator}: {use.What}");
        }
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Sequences))]
    public void Sequences_are_walked_as_defined(string target, string kind, string direction, int layout, bool ofManyLengths)
    {
        string name = kind.Split(' ')[0];
        bool inFront = kind.EndsWith("front", StringComparison.Ordinal), lstm = name == "LSTM";
        // Only a first step from zeros is the core's GRU.
        int steps = inFront ? 1 : Steps, gates = name switch { "RNN" => 1, "LSTM" => 4, _ => 3 };
        int directions = direction == "bidirectional" ? 2 : 1, width = gates * Units;
        OnnxTensor x = Numbers(0, steps, Samples, Features), w = Numbers(1, directions, width, Features), r = Numbers(2, directions, width, Units);
        OnnxTensor b = Numbers(3, directions, 2 * width);
        OnnxTensor? h = inFront ? null : Numbers(4, directions, Samples, Units), c = lstm ? Numbers(5, directions, Samples, Units) : null;
        long[] lengths = [.. Enumerable.Range(0, Samples).Select(n => ofManyLengths ? Math.Max(1L, steps - n) : steps)];
        var y = new float[steps * directions * Samples * Units];
        float[] lastH = new float[directions * Samples * Units], lastC = new float[lastH.Length];
        for (int d = 0; d < directions; d++)
        {
            for (int n = 0; n < Samples; n++)
                Walk(d, n);
        }

        Attribute[] attributes =
        [
            new("direction", S: direction), new("layout", I: layout), new("hidden_size", I: Units),
            .. name == "GRU" ? new[] { new Attribute("linear_before_reset", I: inFront ? 0 : 1) } : [],
            .. kind == "RNN Relu" ? new[] { new Attribute("activations", Texts: [.. Enumerable.Repeat("Relu", directions)]) } : [],
        ];
        OnnxTensor[] results = Run(
            target, name, 22, attributes, lstm ? 3 : 2, Turned(x), w, r, b, new OnnxTensor([Samples], lengths), Turned(h), Turned(c));

        OnnxTensor expected = new([steps, directions, Samples, Units], y);
        OnnxTests.Check("Y", layout == 0 ? expected : expected.Transposed(2, 0, 1, 3), results[0]);
        OnnxTests.Check("Y_h", Turned(new OnnxTensor([directions, Samples, Units], lastH))!, results[1]);
        if (lstm)
            OnnxTests.Check("Y_c", Turned(new OnnxTensor([directions, Samples, Units], lastC))!, results[2]);

        // A layout of 1 has the samples first.
        OnnxTensor? Turned(OnnxTensor? t) => layout == 0 ? t : t?.Transposed(1, 0, 2);

        void Walk(int d, int n)
        {
            double[] hidden = State(h, d, n), cell = State(c, d, n);
            for (int k = 0; k < lengths[n]; k++)
            {
                int t = d == 1 || direction == "reverse" ? (int)lengths[n] - 1 - k : k;
                double[] before = [.. hidden];
                for (int u = 0; u < Units; u++)
                {
                    // The input's and the state's part of a gate, in ONNX's order of gates: iofc and zrh.
                    double Input(int g) => Sum(w, d, g * Units + u, i => x.Floats[(t * Samples + n) * Features + i], Features)
                        + b.Floats[d * 2 * width + g * Units + u];
                    double Hidden(int g, Func<int, double>? state = null) => Sum(r, d, g * Units + u, state ?? (j => before[j]), Units)
                        + b.Floats[(d * 2 + 1) * width + g * Units + u];
                    double Gate(int g) => Sigmoid(Input(g) + Hidden(g));

                    if (name == "RNN")
                    {
                        hidden[u] = kind == "RNN" ? Math.Tanh(Input(0) + Hidden(0)) : Math.Max(0.0, Input(0) + Hidden(0));
                    }
                    else if (lstm)
                    {
                        cell[u] = Gate(2) * cell[u] + Gate(0) * Math.Tanh(Input(3) + Hidden(3));
                        hidden[u] = Gate(1) * Math.Tanh(cell[u]);
                    }
                    else
                    {
                        // In front: the reset gates of all units times the state, of which there is none.
                        double candidate = Math.Tanh(Input(2) + (inFront ? Hidden(2, _ => 0.0) : Gate(1) * Hidden(2)));
                        hidden[u] = (1.0 - Gate(0)) * candidate + Gate(0) * before[u];
                    }
                    y[((t * directions + d) * Samples + n) * Units + u] = (float)hidden[u];
                }
            }
            for (int u = 0; u < Units; u++)
            {
                lastH[(d * Samples + n) * Units + u] = (float)hidden[u];
                lastC[(d * Samples + n) * Units + u] = (float)cell[u];
            }
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Activations))]
    public void Activations_take_their_parameters(string target, string name)
    {
        Use use = Elementwise.Single(u => name == $"{u.Operator}: {u.What}");
        OnnxTensor x = Numbers(6, 2, 3, 4);

        OnnxTensor result = Assert.Single(Run(target, use.Operator, use.Version, use.Attributes, 1, [x, .. use.Others]));

        OnnxTests.Check(name, new OnnxTensor(x.Shape, [.. x.Floats.Select((v, i) => (float)use.Value(i, v))]), result);
    }

    // PyTorch's inputs [N × C × d]: axis 1 has the classes; two labels are ignored.
    [SkippableTheory, Targets]
    public void A_loss_of_log_probabilities_has_weights_and_ignores_labels(string target)
    {
        OnnxTensor logs = Numbers(7, 2, 3, 2), weights = new([3], [0.5f, 2f, 1.5f]);
        long[] labels = [2, -1, 0, -1];
        double[] losses = new double[4], shares = new double[4];
        for (int i = 0; i < 4; i++)
        {
            if (labels[i] < 0)
                continue;
            shares[i] = weights.Floats[labels[i]];
            losses[i] = -shares[i] * logs.Floats[(i / 2 * 3 + (int)labels[i]) * 2 + i % 2];
        }

        OnnxTests.Check("mean", new OnnxTensor([], [(float)(losses.Sum() / shares.Sum())]), Loss("mean"));
        OnnxTests.Check("sum", new OnnxTensor([], [(float)losses.Sum()]), Loss("sum"));
        OnnxTests.Check("none", new OnnxTensor([2, 2], Array.ConvertAll(losses, v => (float)v)), Loss("none"));

        OnnxTensor Loss(string reduction) => Assert.Single(Run(
            target, "NegativeLogLikelihoodLoss", 13, [new("reduction", S: reduction), new("ignore_index", I: -1)], 1,
            logs, new OnnxTensor([2, 2], labels), weights));
    }

    // One bias for the whole of what is normalized: two axes in the middle and at the end.
    [SkippableTheory, Targets]
    public void A_layer_normalization_takes_several_axes(string target)
    {
        OnnxTensor x = Numbers(8, 2, 3, 4), weight = Numbers(9, 3, 1);
        float[] y = new float[24], means = new float[2], inverses = new float[2];
        for (int n = 0; n < 2; n++)
        {
            double[] own = [.. x.Floats.Skip(12 * n).Take(12).Select(v => (double)v)];
            double mean = own.Average(), inverse = 1.0 / Math.Sqrt(own.Average(v => (v - mean) * (v - mean)) + 1e-3);
            for (int i = 0; i < 12; i++)
                y[12 * n + i] = (float)((own[i] - mean) * inverse * weight.Floats[i / 4] + 0.25);
            (means[n], inverses[n]) = ((float)mean, (float)inverse);
        }

        OnnxTensor[] results = Run(target, "LayerNormalization", 17, [new("axis", I: 1), new("epsilon", F: 1e-3f)], 3, x, weight, Scalar(0.25f));

        OnnxTests.Check("Y", new OnnxTensor([2, 3, 4], y), results[0]);
        OnnxTests.Check("Mean", new OnnxTensor([2, 1, 1], means), results[1]);
        OnnxTests.Check("InvStdDev", new OnnxTensor([2, 1, 1], inverses), results[2]);
    }

    // A model of one node, whose operands are inputs.
    private static OnnxTensor[] Run(string target, string name, int version, Attribute[] attributes, int outputs, params OnnxTensor?[] inputs)
    {
        var node = new NodeProto { OpType = name };
        var graph = new GraphProto { Node = { node } };
        foreach (Attribute a in attributes)
        {
            var attribute = new AttributeProto
            {
                Name = a.Name,
                F = a.F ?? 0f,
                I = a.I ?? 0,
                Type = a.F is not null ? AttributeType.Float : a.I is not null ? AttributeType.Int
                    : a.S is not null ? AttributeType.String : AttributeType.Strings,
                S = ByteString.CopyFromUtf8(a.S ?? ""),
            };
            attribute.Strings.AddRange((a.Texts ?? []).Select(ByteString.CopyFromUtf8));
            node.Attribute.Add(attribute);
        }
        for (int i = 0; i < inputs.Length; i++)
        {
            node.Input.Add(inputs[i] is null ? "" : $"x{i}");
            if (inputs[i] is not null)
                graph.Input.Add(new ValueInfoProto { Name = $"x{i}" });
        }
        for (int i = 0; i < outputs; i++)
        {
            node.Output.Add($"y{i}");
            graph.Output.Add(new ValueInfoProto { Name = $"y{i}" });
        }
        var model = new ModelProto { Graph = graph, OpsetImport = { new OperatorSetIdProto { Version = version } } };
        return OnnxOperators.Run(OnnxModel.Read(model.ToByteArray()), [.. inputs.OfType<OnnxTensor>()], Targets.Open(target));
    }

    private static OnnxTensor Scalar(float value) => new([], [value]);

    private static OnnxTensor Numbers(int seed, params int[] shape) =>
        new(shape, [.. Enumerable.Range(1, OnnxTensor.Product(shape)).Select(i => (float)(1.5 * Math.Sin(1.7 * i + seed)))]);

    private static double Sigmoid(double x) => 1.0 / (1.0 + Math.Exp(-x));

    private static double[] State(OnnxTensor? given, int direction, int sample) =>
        [.. Enumerable.Range(0, Units).Select(u => given is null ? 0.0 : given.Floats[(direction * Samples + sample) * Units + u])];

    // Row `row` of a direction's weights times a vector.
    private static double Sum(OnnxTensor weights, int direction, int row, Func<int, double> vector, int count) => Enumerable.Range(0, count)
        .Sum(i => weights.Floats[(direction * weights.Shape[1] + row) * count + i] * vector(i));
}
