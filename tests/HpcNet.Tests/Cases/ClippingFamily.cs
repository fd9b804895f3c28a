// ClippingFamily.cs: clipping of several gradients together, by a norm or by value. They lie one behind the other, as a
// network's gradients do.

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed class ClippingFamily : IFamily
{
    public string Name => "clipping";

    public void Run(ReferenceCase reference, Device device)
    {
        float limit = (float)reference.Get("limit", 0.0);
        string[] names = [.. Enumerable.Range(0, 100).Select(i => $"g{i}").TakeWhile(reference.Has)];
        Assert.NotEmpty(names);
        float[] all = [.. names.SelectMany(reference.In)];
        using var bench = new Bench(device, 1);
        Value gradients = bench.Fixed(1, all.Length, all, hpc_value_kind.HPC_VALUE_GRADIENT), norm = bench.FixedOutput(1, 1);
        switch (reference.Get("kind", ""))
        {
            case "norm":
                bench.Recorder.Norm(gradients, norm, Order(reference));
                bench.Recorder.ClipByNorm(gradients, norm, limit);
                break;
            case "value":
                bench.Recorder.ClipByValue(gradients, limit);
                break;
            default:
                throw new NotSupportedException($"nothing here knows the kind of {reference.Name}");
        }
        bench.Run();

        float[] clipped = bench.Read(gradients, all.Length);
        int at = 0;
        foreach (string name in names)
        {
            int length = reference.In(name).Length;
            reference.Check(name, clipped.AsSpan(at, length));
            at += length;
        }
        if (reference.HasTruth("total_norm"))
            reference.Check("total_norm", bench.Read(norm, 1));
    }

    private static float Order(ReferenceCase reference)
    {
        JsonElement order = reference.Parameters.GetProperty("norm_type");
        return order.ValueKind == JsonValueKind.String
            ? order.GetString() is "inf" ? float.PositiveInfinity : throw new NotSupportedException($"nothing here knows the norm {order}")
            : (float)order.GetDouble();
    }
}
