// OnnxArithmetic.cs: sums, differences, reductions and rows of a table. Operands are broadcast on the host.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxArithmetic : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        AddScaled("Add", 1f),
        AddScaled("Sub", -1f),
        new("Sum", call => [Enumerable.Range(1, call.Inputs - 1).Aggregate(
            call.Input(0), (sum, i) => AddScaled(call, sum, call.Input(i), 1f))]),
        new("Neg", call => [OnnxOperators.Elementwise(call, call.Input(0), (bench, x) =>
        {
            bench.Recorder.Scale(x, -1f);
            return x;
        })]),
        Reduction("ReduceSum", _ => 1f),
        Reduction("ReduceMean", count => 1f / count),
        new("Gather", Gather),
    ];

    private static OnnxOperator AddScaled(string name, float factor) =>
        new(name, call => [AddScaled(call, call.Input(0), Second(call), factor)]);

    private static OnnxTensor AddScaled(OnnxCall call, OnnxTensor a, OnnxTensor b, float factor)
    {
        int[] shape = OnnxTensor.BroadcastShape(a.Shape, b.Shape);
        float[] addend = b.Broadcast(shape).Floats;
        return OnnxOperators.Elementwise(call, a.Broadcast(shape), (bench, sum) =>
        {
            bench.Recorder.AddScaled(bench.Input(sum.Columns, addend), sum, factor);
            return sum;
        });
    }

    // Before version 7 the second operand's axes are those of the first one from `axis` on (or the last ones).
    private static OnnxTensor Second(OnnxCall call)
    {
        OnnxTensor a = call.Input(0), b = call.Input(1);
        if (call.Node.Version >= 7 || !call.Node.Has("axis"))
            return b;
        int axis = call.Axis("axis", 0, a.Rank);
        return b.Reshaped([.. b.Shape, .. Enumerable.Repeat(1, a.Rank - axis - b.Rank)]);
    }

    // The axes that are summed become the rows of a matrix, whose columns the core adds up.
    private static OnnxOperator Reduction(string name, Func<int, float> factor) => new(name, call =>
    {
        OnnxTensor x = call.Input(0);
        int[] axes = call.Node.Integers("axes") ?? call.Optional(1)?.Integers.Select(a => (int)a).ToArray() ?? [];
        axes = Array.ConvertAll(axes, a => a < 0 ? a + x.Rank : a);
        if (axes.Length == 0)
        {
            if (call.Node.Integer("noop_with_empty_axes", 0) != 0)
                return [x];
            axes = [.. Enumerable.Range(0, x.Rank)];
        }
        int[] others = [.. Enumerable.Range(0, x.Rank).Except(axes)];
        OnnxTensor matrix = x.Transposed([.. axes, .. others]).Flattened(axes.Length);
        int rows = matrix.Shape[0], columns = matrix.Shape[1];
        using var bench = new Bench(call.Device, rows);
        Value sums = bench.FixedOutput(1, columns);
        bench.Recorder.ColumnSums(OnnxOperators.Data(bench, matrix), sums);
        if (factor(rows) != 1f)
            bench.Recorder.Scale(sums, factor(rows));
        bench.Run();
        bool keeps = call.Node.Integer("keepdims", 1) != 0;
        int[] shape = keeps
            ? [.. Enumerable.Range(0, x.Rank).Select(axis => axes.Contains(axis) ? 1 : x.Shape[axis])]
            : Array.ConvertAll(others, axis => x.Shape[axis]);
        return [new OnnxTensor(shape, bench.Read(sums, columns))];
    });

    private static OnnxTensor[] Gather(OnnxCall call)
    {
        OnnxTensor table = call.Input(0), indices = call.Input(1);
        if (call.Axis("axis", 0, table.Rank) != 0)
            throw call.Unknown("a gather along another axis than the first");
        OnnxTensor rows = table.Flattened(1);
        int count = rows.Shape[0], columns = rows.Shape[1];
        int[] numbers = Array.ConvertAll(indices.Integers, i => checked((int)(i < 0 ? i + count : i)));
        using var bench = new Bench(call.Device, numbers.Length);
        Value result = bench.Output(columns);
        bench.Recorder.GatherRows(
            bench.Fixed(count, columns, rows.Floats), bench.Fixed(numbers.Length, 1, numbers, hpc_value_kind.HPC_VALUE_INDEX), result, 0UL);
        bench.Run();
        return [new OnnxTensor([.. indices.Shape, .. table.Shape[1..]], bench.Read(result, numbers.Length * columns))];
    }
}
