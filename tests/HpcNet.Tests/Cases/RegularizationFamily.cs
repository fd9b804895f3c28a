// RegularizationFamily.cs: penalties and their gradients, the max-norm constraint, and dropout with a given mask.

using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed class RegularizationFamily : IFamily
{
    public string Name => "regularization";

    public void Run(ReferenceCase reference, Device device)
    {
        using var bench = new Bench(device, 1);
        if (reference.Parameters.TryGetProperty("max_norm", out _))
            MaxNorm(reference, bench);
        else if (reference.Has("mask"))
            Mask(reference, bench);
        else if (reference.Parameters.TryGetProperty("l1", out _) || reference.Parameters.TryGetProperty("l2", out _))
            Penalty(reference, bench);
        else
            throw new NotSupportedException($"nothing here knows the kind of {reference.Name}");
    }

    private static void Penalty(ReferenceCase reference, Bench bench)
    {
        double l1 = reference.Get("l1", 0.0), l2 = reference.Get("l2", 0.0);
        float[] data = reference.In("W");
        Value w = bench.Fixed(1, data.Length, data), gradient = bench.FixedOutput(1, data.Length);
        Value first = bench.FixedOutput(1, 1), second = bench.FixedOutput(1, 1);
        bench.Recorder.AddPenalty(w, gradient, (float)l1, (float)(2 * l2));
        bench.Recorder.Norm(w, first, 1f);
        bench.Recorder.Norm(w, second);
        bench.Run();
        reference.Check("d_W", bench.Read(gradient, data.Length));
        double magnitude = bench.Read(first, 1)[0], norm = bench.Read(second, 1)[0];
        reference.Check("penalty", l1 * magnitude + l2 * norm * norm);
    }

    // PyTorch's rows are the units, which are columns here.
    private static void MaxNorm(ReferenceCase reference, Bench bench)
    {
        int[] shape = reference.Shape("W");
        Value w = bench.Fixed(shape[1], shape[0], Matrix.Transposed(reference.In("W"), shape[0], shape[1]));
        bench.Recorder.LimitColumnNorms(w, (float)reference.Get("max_norm", 0.0));
        bench.Run();
        reference.Check("W", Matrix.Transposed(bench.Read(w, shape[0] * shape[1]), shape[1], shape[0]));
    }

    // What ReLU's backward does with its output is to apply the mask of what is above 0.
    private static void Mask(ReferenceCase reference, Bench bench)
    {
        float factor = (float)(1.0 / (1.0 - reference.Get("p", 0.0)));
        float[] data = reference.In("x");
        Value mask = bench.Fixed(1, data.Length, reference.In("mask")), x = bench.Fixed(1, data.Length, data);
        Value dy = bench.Fixed(1, data.Length, reference.In("dy"));
        Value y = bench.FixedOutput(1, data.Length), dx = bench.FixedOutput(1, data.Length);
        foreach (var (from, to) in ((Value, Value)[])[(x, y), (dy, dx)])
        {
            bench.Recorder.ActivationBackward((int)hpc_activation.HPC_ACTIVATION_RELU, mask, from, to, 0f, 0f);
            bench.Recorder.Scale(to, factor);
        }
        bench.Run();
        reference.Check("y", bench.Read(y, data.Length));
        reference.Check("dx", bench.Read(dx, data.Length));
    }
}
