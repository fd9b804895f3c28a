// OnnxActivations.cs: operators that are an activation of the core, elementwise or over an axis. Where ONNX leaves a parameter open that
// the activation has not, scaling and shifting around it do the same.

using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxActivations : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        Elementwise("Relu", _ => Activation.ReLU),
        Elementwise("Sigmoid", _ => Activation.Sigmoid),
        Elementwise("Tanh", _ => Activation.Tanh),
        Elementwise("Celu", n => Activation.CreateCELU(n.Float("alpha", 1f))),
        new("Clip", Clip),
        Elementwise("Elu", n => Activation.CreateELU(n.Float("alpha", 1f))),
        Elementwise("Gelu", n => n.Text("approximate", "none") == "tanh" ? Activation.GELUTanh : Activation.GELU),
        // min(max(alpha x + beta, 0), 1), where the core has 1/6 and 1/2.
        Elementwise("HardSigmoid", _ => Activation.HardSigmoid, n => new(6f * n.Float("alpha", 0.2f), 6f * (n.Float("beta", 0.5f) - 0.5f))),
        Elementwise("HardSwish", _ => Activation.HardSwish),
        Elementwise("LeakyRelu", n => Activation.CreateLeakyReLU(n.Float("alpha", 0.01f))),
        Elementwise("Mish", _ => Activation.Mish),
        new("PRelu", PRelu),
        // gamma (x > 0 ? x : alpha (e^x - 1)): with other constants than SELU's it is a multiple of ELU.
        Elementwise(
            "Selu", n => HasConstants(n) ? Activation.CreateELU(n.Float("alpha", 1.6732632f)) : Activation.SELU,
            n => new(Factor: HasConstants(n) ? n.Float("gamma", 1.050701f) : 1f)),
        Elementwise("Softplus", _ => Activation.CreateSoftplus(1f, float.MaxValue)),
        Elementwise("Softsign", _ => Activation.Softsign),
        // x sigmoid(alpha x)
        Elementwise("Swish", _ => Activation.SiLU, n => new(Scale: n.Float("alpha", 1f), Factor: 1f / n.Float("alpha", 1f))),
        AlongAxis("LogSoftmax", (bench, x) =>
        {
            bench.Recorder.LogSoftmax(x, x);
            return x;
        }),
        AlongAxis("Softmax", (bench, x) =>
        {
            bench.Recorder.Softmax(x, x);
            return x;
        }),
    ];

    private static bool HasConstants(OnnxNode node) => node.Has("alpha") || node.Has("gamma");

    /// <summary>
    /// A row of the table of activations; the operator's attributes say with which parameters, and what stands <paramref name="around"/> it.
    /// </summary>
    private static OnnxOperator Elementwise(string name, Func<OnnxNode, Activation> activation, Func<OnnxNode, Around>? around = null) =>
        new(name, call => [Elementwise(call, call.Input(0), activation(call.Node), around?.Invoke(call.Node) ?? new Around())]);

    private static OnnxTensor Elementwise(OnnxCall call, OnnxTensor x, Activation f, Around around) =>
        OnnxOperators.Elementwise(call, x, (bench, x) =>
        {
            Value y = bench.Output(x.Columns);
            if (around.Scale != 1f)
                bench.Recorder.Scale(x, around.Scale);
            if (around.Shift != 0f)
            {
                Value shift = bench.Output(x.Columns);
                bench.Recorder.Fill(shift, around.Shift);
                bench.Recorder.AddScaled(shift, x, 1f);
            }
            bench.Recorder.ActivationForward(f.NativeId, x, y, Value.None, f.Alpha, f.Beta);
            if (around.Factor != 1f)
                bench.Recorder.Scale(y, around.Factor);
            return y;
        });

    // min(max(x, low), high). Bounds are operands from version 11 on, attributes before, and may be missing.
    private static OnnxTensor[] Clip(OnnxCall call)
    {
        float low = call.Optional(1)?.Floats[0] ?? call.Node.Float("min", float.MinValue);
        float high = call.Optional(2)?.Floats[0] ?? call.Node.Float("max", float.MaxValue);
        if (low < high)
            return [Elementwise(call, call.Input(0), Activation.CreateHardTanh(low, high), new Around())];
        // The core has no empty interval: the lower bound first, then the upper one, which wins.
        OnnxTensor above = Elementwise(call, call.Input(0), Activation.CreateHardTanh(low, float.MaxValue), new Around());
        return [Elementwise(call, above, Activation.CreateHardTanh(float.MinValue, high), new Around())];
    }

    // The slopes are broadcast to the operand; before version 7 several slopes are those of axis 1. The axes in front, over which they
    // are the same, are the rows.
    private static OnnxTensor[] PRelu(OnnxCall call)
    {
        OnnxTensor x = call.Input(0), slope = call.Input(1);
        if (call.Node.Version < 7 && slope.Count > 1)
            slope = slope.Reshaped([slope.Count, .. Enumerable.Repeat(1, x.Rank - 2)]);
        int same = x.Rank - slope.Shape.SkipWhile(size => size == 1).Count();
        if (slope.Count > 1)
            slope = slope.Reshaped(slope.Shape[^(x.Rank - same)..]).Broadcast(x.Shape[same..]);
        return
        [
            OnnxOperators.Rowwise(call, x.Flattened(slope.Count > 1 ? same : 1), (bench, x) =>
            {
                Value y = bench.Output(x.Columns);
                bench.Recorder.PreluForward(x, bench.Fixed(1, slope.Count, slope.Floats), y);
                return y;
            }).Reshaped(x.Shape),
        ];
    }

    /// <summary>
    /// Over the vectors along an axis. Before version 13 the axis is where the tensor is cut into a matrix whose rows are the vectors.
    /// </summary>
    private static OnnxOperator AlongAxis(string name, Func<Bench, Value, Value> record) => new(name, call =>
    {
        OnnxTensor x = call.Input(0);
        if (call.Node.Version < 13)
            return [OnnxOperators.Rowwise(call, x.Flattened(call.Axis("axis", 1, x.Rank)), record).Reshaped(x.Shape)];
        int axis = call.Axis("axis", -1, x.Rank);
        OnnxTensor turned = x.WithAxisLast(axis);
        return [OnnxOperators.Rowwise(call, turned.Flattened(x.Rank - 1), record).Reshaped(turned.Shape).WithLastAxisAt(axis)];
    });

    /// <summary>Factor · f(Scale · x + Shift).</summary>
    private sealed record Around(float Scale = 1f, float Shift = 0f, float Factor = 1f);
}
