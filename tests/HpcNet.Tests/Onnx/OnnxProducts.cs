// OnnxProducts.cs: matrix products. A transposed operand is the core's own product with a transposed operand, not a copy.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxProducts : IOnnxFamily
{
    public IEnumerable<OnnxOperator> Operators =>
    [
        new("Gemm", Gemm),
        new("MatMul", MatMul),
    ];

    /// <summary>y = alpha A B + beta C, A and B transposed where transA and transB say so, C broadcast.</summary>
    private static OnnxTensor[] Gemm(OnnxCall call)
    {
        OnnxTensor a = call.Input(0), b = call.Input(1);
        OnnxTensor? c = call.Optional(2);
        float alpha = call.Node.Float("alpha", 1f), beta = call.Node.Float("beta", 1f);
        bool transA = call.Node.Integer("transA", 0) != 0, transB = call.Node.Integer("transB", 0) != 0;
        // Two transposed operands: (A of the file)ᵀ is made here, the other one by the instruction.
        if (transA && transB)
            (a, transA) = (a.Transposed(1, 0), false);

        // A row that is added to every row is the bias of the dense layer.
        int columns = b.Shape[transB ? 0 : 1];
        bool isBias = c is not null && !transA && !transB && alpha == 1f && beta == 1f && c.Count == columns && c.Shape[^1] == columns;
        using var bench = new Bench(call.Device, a.Shape[0]);
        Value product = transA ? WithTransposedA(bench, a, b) : transB ? WithTransposedB(bench, a, b)
            : Plain(bench, a, b, isBias ? bench.Fixed(1, columns, c!.Floats) : Value.None);
        int rows = a.Shape[transA ? 1 : 0];
        if (alpha != 1f)
            bench.Recorder.Scale(product, alpha);
        if (c is not null && !isBias && beta != 0f)
        {
            float[] addend = c.Broadcast(rows, columns).Floats;
            bench.Recorder.AddScaled(transA ? bench.Fixed(rows, columns, addend) : bench.Input(columns, addend), product, beta);
        }
        bench.Run();
        return [new OnnxTensor([rows, columns], bench.Read(product, rows * columns))];
    }

    // NumPy's rule: the last two axes are matrices, those before them are broadcast; a vector is a row on the left, a column on the right.
    private static OnnxTensor[] MatMul(OnnxCall call)
    {
        OnnxTensor a = call.Input(0), b = call.Input(1);
        OnnxTensor left = a.Rank == 1 ? a.Reshaped(1, a.Count) : a, right = b.Rank == 1 ? b.Reshaped(b.Count, 1) : b;
        int rows = left.Shape[^2], inner = left.Shape[^1], columns = right.Shape[^1];
        int[] stack = OnnxTensor.BroadcastShape(left.Shape[..^2], right.Shape[..^2]);
        int count = OnnxTensor.Product(stack);
        OnnxTensor lefts = left.Broadcast([.. stack, rows, inner]).Reshaped(count, rows, inner);
        OnnxTensor rights = right.Broadcast([.. stack, inner, columns]).Reshaped(count, inner, columns);
        var products = new List<float>();
        for (int i = 0; i < count; i++)
        {
            using var bench = new Bench(call.Device, rows);
            Value y = Plain(
                bench, lefts.Slice(0, i, i + 1).Reshaped(rows, inner), rights.Slice(0, i, i + 1).Reshaped(inner, columns), Value.None);
            bench.Run();
            products.AddRange(bench.Read(y, rows * columns));
        }
        int[] shape = [.. stack, .. a.Rank == 1 ? Array.Empty<int>() : [rows], .. b.Rank == 1 ? Array.Empty<int>() : [columns]];
        return [new OnnxTensor(shape, products.ToArray())];
    }

    private static Value Plain(Bench bench, OnnxTensor a, OnnxTensor b, Value bias)
    {
        Value y = bench.Output(b.Shape[1]);
        bench.Recorder.DenseForward(bench.Input(a.Shape[1], a.Floats), bench.Fixed(b.Shape[0], b.Shape[1], b.Floats), bias, y);
        return y;
    }

    private static Value WithTransposedA(Bench bench, OnnxTensor a, OnnxTensor b)
    {
        Value y = bench.FixedOutput(a.Shape[1], b.Shape[1]);
        bench.Recorder.DenseBackwardWeight(bench.Input(a.Shape[1], a.Floats), bench.Input(b.Shape[1], b.Floats), y);
        return y;
    }

    private static Value WithTransposedB(Bench bench, OnnxTensor a, OnnxTensor b)
    {
        Value y = bench.Output(b.Shape[0]);
        bench.Recorder.DenseBackwardInput(bench.Input(a.Shape[1], a.Floats), bench.Fixed(b.Shape[0], b.Shape[1], b.Floats), y);
        return y;
    }
}
