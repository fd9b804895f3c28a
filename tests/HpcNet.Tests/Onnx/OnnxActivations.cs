// OnnxActivations.cs: operators that are an activation of the core, elementwise or over an axis.

using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxActivations : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        Elementwise("Relu", _ => Activation.ReLU),
        Elementwise("Sigmoid", _ => Activation.Sigmoid),
        Elementwise("Tanh", _ => Activation.Tanh),
        Elementwise("Clip", n => Activation.CreateHardTanh(n.Float("min", 0f), n.Float("max", 0f))),
        Elementwise("Elu", n => Activation.CreateELU(n.Float("alpha", 1f))),
        Elementwise("Gelu", n => n.Text("approximate", "none") == "tanh" ? Activation.GELUTanh : Activation.GELU),
        Elementwise("LeakyRelu", n => Activation.CreateLeakyReLU(n.Float("alpha", 0.01f))),
        Elementwise("Mish", _ => Activation.Mish),
        Elementwise("Selu", _ => Activation.SELU),
        Elementwise("Softplus", _ => Activation.CreateSoftplus(1f, float.MaxValue)),
        Elementwise("Softsign", _ => Activation.Softsign),
        Elementwise("Swish", _ => Activation.SiLU),
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

    /// <summary>A row of the table of activations; the operator's attributes say with which parameters.</summary>
    private static OnnxOperator Elementwise(string name, Func<OnnxNode, Activation> activation) => new(name, call =>
    {
        Activation f = activation(call.Node);
        return
        [
            OnnxOperators.Elementwise(call, call.Input(0), (bench, x) =>
            {
                Value y = bench.Output(x.Columns);
                bench.Recorder.ActivationForward(f.NativeId, x, y, Value.None, f.Alpha, f.Beta);
                return y;
            }),
        ];
    });

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
}
