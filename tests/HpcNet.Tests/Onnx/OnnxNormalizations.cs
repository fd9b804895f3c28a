// OnnxNormalizations.cs: batch, instance and layer normalization. ONNX's [N × C × d1 × d2 ...] are rows of [channels × length].

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxNormalizations : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        new("BatchNormalization", BatchNormalization),
        new("InstanceNormalization", InstanceNormalization),
        new("LayerNormalization", LayerNormalization),
    ];

    private static OnnxTensor[] BatchNormalization(OnnxCall call)
    {
        OnnxTensor x = call.Input(0).Flattened(1);
        int rows = x.Shape[0], columns = x.Shape[1], channels = call.Input(1).Count;
        float epsilon = call.Node.Float("epsilon", 1e-5f), momentum = call.Node.Float("momentum", 0.9f);
        // What says so changed twice.
        bool training = call.Node.Version switch
        {
            < 7 => call.Node.Integer("is_test", 0) == 0,
            < 14 => call.Node.Outputs.Count > 1,
            _ => call.Node.Integer("training_mode", 0) != 0,
        };
        if (call.Node.Version < 14 && Enumerable.Range(1, 4).Any(call.Node.HasOutput))
            throw call.Unknown("the running statistics of a version before 14, which leaves open what variance they hold");

        using var bench = new Bench(call.Device, rows);
        Value y = bench.Output(columns), statistics = bench.FixedOutput(4, channels);
        Value mean = Running(3), variance = Running(4);
        bench.Recorder.BatchNormForward(
            OnnxOperators.Data(bench, x), bench.Fixed(1, channels, call.Input(1).Floats), bench.Fixed(1, channels, call.Input(2).Floats),
            training ? Value.None : mean, training ? Value.None : variance, y, statistics, epsilon);
        if (training)
        {
            // running = momentum running + (1 - momentum) batch; the core's momentum is the batch's share. ONNX's variance of the batch
            // is the biased one, (m - 1) / m of the core's with m values a channel: running = scale ((1 - share) running + share batch).
            double m = (double)rows * columns / channels, biased = (1.0 - momentum) * (m - 1) / m, scale = momentum + biased;
            Value none = Running(3), batches = bench.Fixed(1, 1, [0], hpc_value_kind.HPC_VALUE_PERSISTENT);
            bench.Recorder.BatchNormUpdate(statistics, mean, none, batches, 1f - momentum);
            bench.Recorder.BatchNormUpdate(statistics, none, variance, batches, (float)(biased / scale));
            bench.Recorder.Scale(variance, (float)scale);
        }
        bench.Run();
        OnnxTensor result = new(call.Input(0).Shape, bench.Read(y, rows * columns));
        return training
            ? [result, new([channels], bench.Read(mean, channels)), new([channels], bench.Read(variance, channels))]
            : [result];

        Value Running(int input) => bench.Fixed(1, channels, call.Input(input).Floats, hpc_value_kind.HPC_VALUE_PERSISTENT);
    }

    // Every channel of every sample by itself: batch normalization of one row that has the channels of all samples.
    private static OnnxTensor[] InstanceNormalization(OnnxCall call)
    {
        OnnxTensor x = call.Input(0);
        int samples = x.Shape[0], channels = samples * x.Shape[1];
        using var bench = new Bench(call.Device, 1);
        Value y = bench.Output(x.Count);
        bench.Recorder.BatchNormForward(
            OnnxOperators.Data(bench, x.Reshaped(1, x.Count)), Repeated(1), Repeated(2), Value.None, Value.None, y,
            bench.FixedOutput(4, channels), call.Node.Float("epsilon", 1e-5f));
        bench.Run();
        return [new OnnxTensor(x.Shape, bench.Read(y, x.Count))];

        Value Repeated(int input) => bench.Fixed(1, channels, call.Input(input).Broadcast(samples, x.Shape[1]).Floats);
    }

    // The axes from `axis` on are normalized together; weight and bias are broadcast to them.
    private static OnnxTensor[] LayerNormalization(OnnxCall call)
    {
        OnnxTensor x = call.Input(0);
        int axis = call.Axis("axis", -1, x.Rank);
        OnnxTensor matrix = x.Flattened(axis);
        int rows = matrix.Shape[0], size = matrix.Shape[1];
        using var bench = new Bench(call.Device, rows);
        Value y = bench.Output(size), statistics = bench.Output(3);
        bench.Recorder.LayerNormForward(
            OnnxOperators.Data(bench, matrix), Whole(1), call.Node.HasInput(2) ? Whole(2) : Value.None, y, statistics, size,
            call.Node.Float("epsilon", 1e-5f));
        bench.Run();
        OnnxTensor kept = new([rows, 3], bench.Read(statistics, rows * 3));
        int[] shape = [.. x.Shape[..axis], .. Enumerable.Repeat(1, x.Rank - axis)];
        // The mean and 1 / sqrt(variance + epsilon); between them stands what rounding took from the mean.
        return [new(x.Shape, bench.Read(y, x.Count)), kept.Slice(1, 0, 1).Reshaped(shape), kept.Slice(1, 2, 3).Reshaped(shape)];

        Value Whole(int input) => bench.Fixed(1, size, call.Input(input).Broadcast(x.Shape[axis..]).Floats);
    }
}
