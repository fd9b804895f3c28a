// Diagnosis.cs: where a loss that is not finite comes from. Runs the batch of the failed step once more, unfused, with every
// layer's output readable, and names the first that is not finite. Only for failures: it records, allocates and takes its time.

using HpcNet.Interop;

namespace HpcNet;

internal static unsafe class Diagnosis
{
    /// <summary>A clause for a message, and the layer if one is to blame.</summary>
    /// <param name="network">With the parameters that the failed step used.</param>
    /// <param name="x">The batch, preprocessed.</param>
    /// <param name="seed">The trainer's seed.</param>
    /// <param name="randomStep">The counter of the step's random numbers.</param>
    public static (string Clause, string? Layer) Of(Network network, ReadOnlySpan<float> x, ulong seed, ulong randomStep)
    {
        NetworkGraph graph = network.Graph;
        int bad = Numbers.FirstNotFinite(x);
        if (bad >= 0)
            return ($"the inputs already hold {x[bad]}, in row {bad / network.Inputs}", null);

        var parameters = new float[graph.Elements];
        network.Parameters.Read<float>(parameters);
        foreach (ParameterSegment segment in graph.Segments)
        {
            if (Numbers.FirstNotFinite(parameters.AsSpan(segment.Offset, segment.Length)) >= 0)
                return ($"the parameter '{segment.Name}' is not finite", graph.Nodes[segment.Node].Name);
        }

        int rows = x.Length / network.Inputs;
        using var recorder = new Recorder(network.Device, rows, plain: true);
        var recorded = new GraphRecorder(
            graph, recorder, network.Parameters, null,
            new RecordingPurpose
            {
                Training = true,
                ReadableOutputs = true,
                Trains = static _ => false,
                State = network.State,
                Seed = seed,
                RandomStream = node => RandomStreams.Dropout(node) + randomStep,
            },
            hpc_value_kind.HPC_VALUE_OUTPUT);
        Value input = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
        var outputs = new Value[graph.Nodes.Length];
        recorded.Forward(input, outputs);
        using NativeProgram program = recorder.Finish();

        foreach (Node node in graph.Nodes)
        {
            if (node.Layer.IsIdentity(training: true))
                continue;
            var values = new float[rows * node.OutputColumns];
            fixed (float* from = x)
            fixed (float* to = values)
            {
                Span<hpc_transfer> transfers =
                    [NativeProgram.Transfer(input, from, x.Length), NativeProgram.Transfer(outputs[node.Index], to, values.Length)];
                program.RunWith(rows, [], transfers, null);
            }
            if (Numbers.FirstNotFinite(values) >= 0)
                return ($"the first values that are not finite are the outputs of layer '{node.Name}'", node.Name);
        }
        return ("all layers' outputs are finite, so it arises in the loss itself: look at the targets and at the size of the outputs", null);
    }
}
