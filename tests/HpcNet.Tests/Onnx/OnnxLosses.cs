// OnnxLosses.cs: losses. ONNX has the classes on axis 1, [N × C × d1 × d2 ...]; the core has them last: they are moved on the host.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxLosses : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        new("SoftmaxCrossEntropyLoss", SoftmaxCrossEntropy),
    ];

    private static OnnxTensor[] SoftmaxCrossEntropy(OnnxCall call)
    {
        OnnxTensor logits = call.Input(0).WithAxisLast(1).Flattened(call.Input(0).Rank - 1), target = call.Input(1);
        int[] labels = Array.ConvertAll(target.Integers, label => checked((int)label));
        string reduction = call.Node.Text("reduction", "mean");
        return reduction switch
        {
            "mean" => [new OnnxTensor([], [Loss(call, logits, labels, Reduction.Mean)])],
            "sum" => [new OnnxTensor([], [Loss(call, logits, labels, Reduction.Sum)])],
            // The core reduces always; a loss of one row is that row's loss.
            "none" => [new OnnxTensor(target.Shape, Array.ConvertAll(
                Enumerable.Range(0, labels.Length).ToArray(), i => Loss(call, logits.Slice(0, i, i + 1), [labels[i]], Reduction.Sum)))],
            _ => throw call.Unknown($"the reduction '{reduction}'"),
        };
    }

    private static float Loss(OnnxCall call, OnnxTensor logits, int[] labels, Reduction reduction)
    {
        using var bench = new Bench(call.Device, labels.Length);
        Value target = bench.Input(1, labels, hpc_value_kind.HPC_VALUE_TARGET);
        bench.Recorder.ClassLossForward(
            new ClassLossTerms(hpc_class_loss_kind.HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY), reduction, OnnxOperators.Data(bench, logits), target, 1f);
        bench.Run();
        Assert.Equal(0u, bench.Metrics.flags);
        // The metrics hold a mean times its rows.
        return (float)(reduction == Reduction.Mean ? bench.Metrics.loss / labels.Length : bench.Metrics.loss);
    }
}
