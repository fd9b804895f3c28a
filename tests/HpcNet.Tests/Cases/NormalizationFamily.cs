// NormalizationFamily.cs: batch normalization over three training batches and an evaluation, every result of each; layer normalization.

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed class NormalizationFamily : IFamily
{
    public string Name => "normalization";

    public void Run(ReferenceCase reference, Device device)
    {
        string layer = reference.Get("layer", "");
        if (layer == "BatchNorm1d")
            RunBatchNorm(reference, device);
        else if (layer == "LayerNorm")
            RunLayerNorm(reference, device);
        else
            Assert.Fail($"nothing here knows the layer '{layer}'");
    }

    private static void RunBatchNorm(ReferenceCase reference, Device device)
    {
        // A momentum of null is the plain average; without one PyTorch takes 0.1.
        float? momentum = reference.Parameters.TryGetProperty("momentum", out JsonElement value)
            ? value.ValueKind == JsonValueKind.Null ? null : value.GetSingle()
            : 0.1f;
        bool tracks = reference.Get("track_running_stats", true);
        int channels = reference.Shape("x0")[1];
        float[] mean = new float[channels], variance = Enumerable.Repeat(1f, channels).ToArray();
        int batches = 0;
        foreach (string batch in (string[])["0", "1", "2", "e"])
        {
            bool evaluation = batch == "e";
            int[] shape = reference.Shape("x" + batch);
            int rows = shape[0], columns = shape.Skip(1).Aggregate(1, (a, b) => a * b);
            using var bench = new Bench(device, rows);
            Value x = bench.Input(columns, reference.In("x" + batch)), dy = bench.Input(columns, reference.In("dy"));
            Value weight = reference.Has("weight") ? bench.Fixed(1, channels, reference.In("weight")) : Value.None;
            Value bias = reference.Has("bias") ? bench.Fixed(1, channels, reference.In("bias")) : Value.None;
            Value runningMean = bench.Fixed(1, channels, mean, hpc_value_kind.HPC_VALUE_PERSISTENT);
            Value runningVariance = bench.Fixed(1, channels, variance, hpc_value_kind.HPC_VALUE_PERSISTENT);
            Value count = bench.Fixed(1, 1, [batches], hpc_value_kind.HPC_VALUE_PERSISTENT);
            Value statistics = bench.FixedOutput(4, channels), y = bench.Output(columns), dx = bench.Output(columns);
            Value dweight = bench.FixedOutput(1, channels), dbias = bench.FixedOutput(1, channels);
            bool constant = evaluation && tracks;
            bench.Recorder.BatchNormForward(
                x, weight, bias, constant ? runningMean : Value.None, constant ? runningVariance : Value.None, y, statistics,
                reference.Get("eps", 1e-5f));
            bench.Recorder.BatchNormBackward(x, dy, weight, statistics, dx, dweight, dbias, constant);
            if (tracks && !evaluation)
                bench.Recorder.BatchNormUpdate(statistics, runningMean, runningVariance, count, momentum);
            bench.Run();
            mean = bench.Read(runningMean, channels);
            variance = bench.Read(runningVariance, channels);
            batches += tracks && !evaluation ? 1 : 0;
            Assert.Equal(batches, BitConverter.SingleToInt32Bits(bench.Read(count, 1)[0]));

            Check("y", bench.Read(y, rows * columns));
            Check("d_x", bench.Read(dx, rows * columns));
            Check("d_weight", bench.Read(dweight, channels));
            Check("d_bias", bench.Read(dbias, channels));
            Check("running_mean", mean);
            Check("running_var", variance);

            void Check(string name, float[] actual)
            {
                if (reference.HasTruth(name + batch))
                    reference.Check(name + batch, actual);
            }
        }
    }

    private static void RunLayerNorm(ReferenceCase reference, Device device)
    {
        int[] shape = reference.Shape("x");
        int rows = shape[0], columns = shape.Skip(1).Aggregate(1, (a, b) => a * b);
        int size = reference.Get("normalized_shape", Array.Empty<int>()).Aggregate(1, (a, b) => a * b);
        using var bench = new Bench(device, rows);
        Value x = bench.Input(columns, reference.In("x")), dy = bench.Input(columns, reference.In("dy"));
        Value weight = reference.Has("weight") ? bench.Fixed(1, size, reference.In("weight")) : Value.None;
        Value bias = reference.Has("bias") ? bench.Fixed(1, size, reference.In("bias")) : Value.None;
        Value y = bench.Output(columns), dx = bench.Output(columns), statistics = bench.Output(3 * (columns / size));
        Value dweight = bench.FixedOutput(1, size), dbias = bench.FixedOutput(1, size);
        bench.Recorder.LayerNormForward(x, weight, bias, y, statistics, size, reference.Get("eps", 1e-5f));
        bench.Recorder.LayerNormBackward(x, dy, weight, statistics, dx, dweight, dbias, size);
        bench.Run();
        reference.Check("y", bench.Read(y, rows * columns));
        reference.Check("d_x", bench.Read(dx, rows * columns));
        if (reference.HasTruth("d_weight"))
            reference.Check("d_weight", bench.Read(dweight, size));
        if (reference.HasTruth("d_bias"))
            reference.Check("d_bias", bench.Read(dbias, size));
    }
}
