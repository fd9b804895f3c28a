// EmbeddingFamily.cs: y = W[idx] and the gradient of the table, with int32 indices and with the whole numbers in floats that a network's
// inputs are.

using System.Text.Json;

namespace HpcNet.Tests.Cases;

internal sealed class EmbeddingFamily : IFamily
{
    public string Name => "embedding";

    public void Run(ReferenceCase reference, Device device)
    {
        foreach (JsonProperty parameter in reference.Parameters.EnumerateObject())
            Assert.True(parameter.Name is "padding_idx" or "num_embeddings" or "embedding_dim", $"nothing here knows the parameter '{parameter.Name}'");
        int[] shape = reference.Shape("W"), places = reference.Shape("idx"), indices = reference.InIntegers("idx");
        int padding = reference.Get("padding_idx", -1);
        // As in PyTorch, -1 is the last row.
        padding = reference.Parameters.TryGetProperty("padding_idx", out JsonElement given) && given.ValueKind == JsonValueKind.Number && padding < 0
            ? padding + shape[0]
            : padding;
        int rows = places.Length == 0 ? 1 : places[0], columns = places.Skip(1).Aggregate(1, (a, b) => a * b), dimension = shape[1];
        foreach (bool whole in (bool[])[true, false])
        {
            using var bench = new Bench(device, rows);
            Value table = bench.Fixed(shape[0], dimension, reference.In("W"));
            Value index = whole ? bench.Input(columns, indices) : bench.Input(columns, Array.ConvertAll(indices, i => (float)i));
            Value y = bench.Output(columns * dimension), dy = bench.Input(columns * dimension, reference.In("dy"));
            Value dtable = bench.FixedOutput(shape[0], dimension);
            bench.Recorder.EmbeddingForward(table, index, y);
            bench.Recorder.EmbeddingBackward(index, dy, dtable, padding);
            bench.Run();
            Assert.Equal(0u, bench.Metrics.flags);
            reference.Check("y", bench.Read(y, rows * columns * dimension));
            reference.Check("d_W", bench.Read(dtable, shape[0] * dimension));
        }
    }
}
