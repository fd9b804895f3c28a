// LinearShapesFamily.cs: y = x W^T + b and its gradients over shapes around tile and vector sizes, zero rows included.

namespace HpcNet.Tests.Cases;

internal sealed class LinearShapesFamily : IFamily
{
    public string Name => "linear_shapes";

    public void Run(ReferenceCase reference, Device device)
    {
        int[] shape = reference.Shape("W"), xShape = reference.Shape("x");
        int rows = xShape[0], inputs = shape[1], outputs = shape[0];
        float[] w = Matrix.Transposed(reference.In("W"), outputs, inputs);
        float[] data = reference.In("x");
        using var bench = new Bench(device, rows);
        Value x = bench.Input(inputs, data), weight = bench.Fixed(inputs, outputs, w), bias = bench.Fixed(1, outputs, reference.In("b"));
        Value dy = bench.Input(outputs, reference.In("dy")), y = bench.Output(outputs), dx = bench.Output(inputs);
        Value dw = bench.FixedOutput(inputs, outputs), db = bench.FixedOutput(1, outputs);
        bench.Recorder.DenseForward(x, weight, bias, y);
        bench.Recorder.DenseBackwardInput(dy, weight, dx);
        bench.Recorder.DenseBackwardWeight(x, dy, dw);
        bench.Recorder.ColumnSums(dy, db);
        bench.Run();

        float[] result = bench.Read(y, rows * outputs);
        if (reference.Name == "linear_cancellation")
            CheckCancellation(reference, data, w, result, inputs, outputs);
        else
            reference.Check("y", result);
        if (rows == 0)
        {
            // A run without rows is no step: it changes nothing, gradients included.
            Assert.All(bench.Read(dw, inputs * outputs), v => Assert.Equal(0f, v));
            return;
        }
        Check("d_x", bench.Read(dx, rows * inputs));
        Check("d_W", Matrix.Transposed(bench.Read(dw, inputs * outputs), inputs, outputs));
        Check("d_b", bench.Read(db, outputs));

        void Check(string name, float[] actual)
        {
            if (reference.HasTruth(name))
                reference.Check(name, actual);
        }
    }

    // Where the terms cancel, the bound is gamma_K times the sum of their sizes (Higham 2002, 3.5).
    private static void CheckCancellation(ReferenceCase reference, float[] x, float[] w, float[] y, int inputs, int outputs)
    {
        double[] truth = reference.Truth("y");
        float[] b = reference.In("b");
        double unit = Math.Pow(2, -24), gamma = (inputs + 1) * unit / (1 - (inputs + 1) * unit);
        for (int i = 0; i < y.Length; i++)
        {
            int row = i / outputs, column = i % outputs;
            double sizes = Math.Abs(b[column]);
            for (int k = 0; k < inputs; k++)
                sizes += Math.Abs((double)x[row * inputs + k] * w[k * outputs + column]);
            Assert.True(Math.Abs(truth[i] - y[i]) <= gamma * sizes, $"y[{i}]: expected {truth[i]}, got {y[i]}, allowed {gamma * sizes}");
        }
    }
}
