// ActivationGridFamily.cs: each activation and its gradient by itself, over zeros, denormals, kinks, limits of exp, 3e38, infinities
// and NaN.

namespace HpcNet.Tests.Cases;

internal sealed class ActivationGridFamily : IFamily
{
    public string Name => "activation_grid";

    public void Run(ReferenceCase reference, Device device)
    {
        Layer layer = CaseActivations.Layer(reference.Name, reference.Parameters);
        bool rowWise = layer is ActivationLayer { Activation.IsRowWise: true };
        int[] shape = reference.Shape("x");
        float[] x = reference.In("x");
        // A slope for each element makes each a column; rows of a softmax are rows; anything else may lie as it likes.
        float[] slope = reference.Has("alpha") ? reference.In("alpha") : [];
        int columns = shape.Length > 1 ? shape[^1] : slope.Length > 1 ? slope.Length : 1;
        int rows = x.Length / columns;
        float[] dy = reference.Has("dy") ? reference.In("dy") : [.. Enumerable.Repeat(1f, x.Length)];

        using var bench = new Bench(device, rows);
        Value input = bench.Input(columns, x), from = bench.Input(columns, dy), y = bench.Output(columns), dx = bench.Output(columns);
        if (layer is PRelu)
        {
            Value parameter = bench.Fixed(1, slope.Length, slope);
            Value slopeGradient = bench.FixedOutput(1, slope.Length);
            bench.Recorder.PreluForward(input, parameter, y);
            bench.Recorder.PreluBackward(input, parameter, from, dx, slopeGradient);
        }
        else
        {
            Record(bench, ((ActivationLayer)layer).Activation, input, from, y, dx);
        }
        bench.Run();
        Check(reference, "y", x, bench.Read(y, x.Length), rowWise, staysNaN: true);
        Check(reference, "dx", x, bench.Read(dx, x.Length), rowWise, staysNaN: false);
    }

    private static void Record(Bench bench, Activation activation, Value x, Value dy, Value y, Value dx)
    {
        Recorder recorder = bench.Recorder;
        if (activation == Activation.Softmax)
        {
            recorder.Softmax(x, y);
            recorder.SoftmaxBackward(y, dy, dx);
        }
        else if (activation == Activation.LogSoftmax)
        {
            recorder.LogSoftmax(x, y);
            recorder.LogSoftmaxBackward(y, dy, dx);
        }
        else
        {
            HpcNet.Interop.hpc_keeps keeps = activation.Keeps();
            Value derivative = keeps == HpcNet.Interop.hpc_keeps.HPC_KEEPS_DERIVATIVE ? bench.Output(x.Columns) : Value.None;
            recorder.ActivationForward(activation.NativeId, x, y, derivative, activation.Alpha, activation.Beta);
            Value kept = keeps == HpcNet.Interop.hpc_keeps.HPC_KEEPS_OUTPUT ? y : derivative;
            recorder.ActivationBackward(activation.NativeId, kept, dy, dx, activation.Alpha, activation.Beta);
        }
    }

    // The family's own rule: each element within 4 units in the last place or 1e-6 max(1, |truth|). A NaN stays one, and nothing
    // else becomes one: where the reference itself has NaN at an infinity, the limit is right.
    private static void Check(ReferenceCase reference, string result, float[] x, float[] actual, bool rowWise, bool staysNaN)
    {
        float[] truth = Array.ConvertAll(reference.Truth(result), v => (float)v);
        Assert.Equal(truth.Length, actual.Length);
        for (int i = 0; i < truth.Length; i++)
        {
            string what = $"{reference.Name}/{result} at {x[i]:R}: expected {truth[i]:R}, got {actual[i]:R}";
            if (float.IsNaN(truth[i]))
            {
                bool inherited = rowWise || float.IsNaN(x[i]);
                Assert.True(float.IsNaN(actual[i]) == inherited, what);
            }
            else if (!float.IsFinite(truth[i]))
            {
                Assert.True(actual[i] == truth[i], what);
            }
            else
            {
                double allowed = Math.Max(4.0 * (MathF.BitIncrement(Math.Abs(truth[i])) - Math.Abs(truth[i])), 1e-6 * Math.Max(1.0, Math.Abs(truth[i])));
                Assert.True(Math.Abs((double)actual[i] - truth[i]) <= allowed, what);
            }
            if (staysNaN && float.IsNaN(x[i]))
                Assert.True(float.IsNaN(actual[i]), what);
        }
    }
}
