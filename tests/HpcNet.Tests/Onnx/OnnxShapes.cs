// OnnxShapes.cs: operators that move numbers and compute none. They run on the host: what they test is the reading of the files, and
// they stand between operators that compute.

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxShapes : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        new("Identity", call => [call.Input(0)]),
        // Without a training mode, which OnnxNotYet.cs names as not comparable, nothing is dropped.
        new("Dropout", call => [call.Input(0), new(call.Input(0).Shape, Enumerable.Repeat(true, call.Input(0).Count).ToArray())]),
        new("Flatten", call => [call.Input(0).Flattened(call.Axis("axis", 1, call.Input(0).Rank))]),
        new("Transpose", call => [call.Input(0).Transposed(
            call.Node.Integers("perm") ?? [.. Enumerable.Range(0, call.Input(0).Rank).Reverse()])]),
        new("Constant", call => [call.Node.Tensor("value")]),
        new("Concat", call => [OnnxTensor.Concatenated(
            call.Axis("axis", 1, call.Input(0).Rank), [.. Enumerable.Range(0, call.Inputs).Select(call.Input)])]),
        new("Split", Split),
        new("Slice", Slice),
        new("Squeeze", Squeeze),
    ];

    private static OnnxTensor[] Split(OnnxCall call)
    {
        OnnxTensor x = call.Input(0);
        int axis = call.Axis("axis", 0, x.Rank), parts = call.Node.Outputs.Count, start = 0;
        int[] sizes = Integers(call, "split", 1) ?? [.. Enumerable.Range(0, parts).Select(i => Math.Min(
            (x.Shape[axis] + parts - 1) / parts, x.Shape[axis] - i * ((x.Shape[axis] + parts - 1) / parts)))];
        return Array.ConvertAll(sizes, size => x.Slice(axis, start, start += size));
    }

    private static OnnxTensor[] Slice(OnnxCall call)
    {
        OnnxTensor x = call.Input(0);
        int[] starts = Integers(call, "starts", 1)!, ends = Integers(call, "ends", 2)!;
        int[] axes = Integers(call, "axes", 3) ?? [.. Enumerable.Range(0, starts.Length)];
        if (call.Optional(4)?.Integers.Any(step => step != 1) == true)
            throw call.Unknown("a slice with steps");
        for (int i = 0; i < axes.Length; i++)
        {
            int axis = axes[i] < 0 ? axes[i] + x.Rank : axes[i], size = x.Shape[axis];
            x = x.Slice(axis, Within(starts[i]), Within(ends[i]));

            int Within(int index) => Math.Clamp(index < 0 ? index + size : index, 0, size);
        }
        return [x];
    }

    private static OnnxTensor[] Squeeze(OnnxCall call)
    {
        OnnxTensor x = call.Input(0);
        int[] axes = Integers(call, "axes", 1) ?? [.. Enumerable.Range(0, x.Rank).Where(a => x.Shape[a] == 1)];
        return [x.Reshaped([.. x.Shape.Where((_, axis) => !axes.Contains(axis) && !axes.Contains(axis - x.Rank))])];
    }

    // An attribute of older versions, an operand of newer ones; numbers beyond 32 bits only say "to the end".
    private static int[]? Integers(OnnxCall call, string attribute, int input) => call.Node.Has(attribute)
        ? call.Node.Integers(attribute)
        : call.Optional(input)?.Integers.Select(v => (int)Math.Clamp(v, int.MinValue / 2, int.MaxValue)).ToArray();
}
