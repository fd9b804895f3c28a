// OnnxLosses.cs: losses. ONNX has the classes on axis 1, [N × C × d1 × d2 ...]; the core has them last: they are moved on the host.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxLosses : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        new("NegativeLogLikelihoodLoss", call => [Loss(call, hpc_class_loss_kind.HPC_CLASS_LOSS_NEGATIVE_LOG_LIKELIHOOD)]),
        new("SoftmaxCrossEntropyLoss", call =>
        [
            Loss(call, hpc_class_loss_kind.HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY),
            .. call.Node.HasOutput(1) ? new[] { LogProbabilities(call) } : [],
        ]),
    ];

    // Operands: scores, labels and, if the classes have them, weights.
    private static OnnxTensor Loss(OnnxCall call, hpc_class_loss_kind kind)
    {
        OnnxTensor scores = call.Input(0).WithAxisLast(1).Flattened(call.Input(0).Rank - 1), target = call.Input(1);
        int[] labels = Array.ConvertAll(target.Integers, label => checked((int)label));
        string reduction = call.Node.Text("reduction", "mean");
        return reduction switch
        {
            "mean" => new OnnxTensor([], [Loss(call, kind, scores, labels, Reduction.Mean)]),
            "sum" => new OnnxTensor([], [Loss(call, kind, scores, labels, Reduction.Sum)]),
            // The core reduces always; a loss of one row is that row's loss.
            "none" => new OnnxTensor(target.Shape, Array.ConvertAll(
                Enumerable.Range(0, labels.Length).ToArray(), i => Loss(call, kind, scores.Slice(0, i, i + 1), [labels[i]], Reduction.Sum))),
            _ => throw call.Unknown($"the reduction '{reduction}'"),
        };
    }

    private static float Loss(OnnxCall call, hpc_class_loss_kind kind, OnnxTensor scores, int[] labels, Reduction reduction)
    {
        using var bench = new Bench(call.Device, labels.Length);
        Value target = bench.Input(1, labels, hpc_value_kind.HPC_VALUE_TARGET);
        Value weights = call.Optional(2) is { } given ? bench.Fixed(1, given.Count, given.Floats) : Value.None;
        int? ignored = call.Node.Has("ignore_index") ? checked((int)call.Node.Integer("ignore_index", 0)) : null;
        bench.Recorder.ClassLossForward(
            new ClassLossTerms(kind, ClassWeights: weights, Ignored: ignored), reduction, OnnxOperators.Data(bench, scores), target, 1f);
        bench.Run();
        Assert.Equal(0u, bench.Metrics.flags);
        // The metrics hold a mean times what it was divided by.
        return (float)(reduction == Reduction.Mean ? bench.Metrics.loss / bench.Metrics.weight : bench.Metrics.loss);
    }

    private static OnnxTensor LogProbabilities(OnnxCall call)
    {
        OnnxTensor turned = call.Input(0).WithAxisLast(1);
        return OnnxOperators.Rowwise(call, turned.Flattened(turned.Rank - 1), (bench, x) =>
        {
            bench.Recorder.LogSoftmax(x, x);
            return x;
        }).Reshaped(turned.Shape).WithLastAxisAt(1);
    }
}
