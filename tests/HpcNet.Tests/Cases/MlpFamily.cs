// MlpFamily.cs: two hidden layers with any activation and any loss: forward, loss and backward, with the activation as a layer of its
// own and inside the Dense layers.

using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed class MlpActivationsFamily() : MlpFamily("mlp_activations");

internal sealed class MlpLossesFamily() : MlpFamily("mlp_losses");

internal abstract unsafe class MlpFamily(string name) : IFamily
{
    public string Name => name;

    public void Run(ReferenceCase reference, Device device)
    {
        int[] sizes = reference.Get<int[]>("sizes", []);
        Layer activation = CaseActivations.Layer(
            reference.Get("activation", ""), reference.Parameters.GetProperty("activation_params"));
        if (activation is PRelu && reference.Shape("alpha1") is [1] && sizes[1] > 1)
            activation = new PRelu(shared: true);
        Dense Linear(int layer) => new(sizes[layer]) { Name = $"dense{layer}" };
        Layer[] layers = [Linear(1), activation with { Name = "act1" }, Linear(2), activation with { Name = "act2" }, Linear(3)];
        using (var network = new Network(device, sizes[0], layers))
            Run(reference, network, ["z1", "a1", "z2", "a2", "y"]);
        if (activation is ActivationLayer { Activation: var function })
        {
            Dense Fused(int layer) => new(sizes[layer], function) { Name = $"dense{layer}" };
            using var network = new Network(device, sizes[0], Fused(1), Fused(2), Linear(3));
            Run(reference, network, ["a1", "a2", "y"]);
        }
    }

    private static void Run(ReferenceCase reference, Network network, string[] results)
    {
        for (int i = 1; i <= 3; i++)
        {
            int[] shape = reference.Shape($"W{i}");
            network.SetParameter($"dense{i}.weight", Matrix.Transposed(reference.In($"W{i}"), shape[0], shape[1]));
            network.SetParameter($"dense{i}.bias", reference.In($"b{i}"));
            if (reference.Has($"alpha{i}"))
                network.SetParameter($"act{i}.slope", reference.In($"alpha{i}"));
        }
        CaseLoss loss = CaseLosses.Of(reference.Get("loss", ""), reference.Parameters.GetProperty("loss_params"));
        bool labels = loss.Labels(reference);
        float[] x = reference.In("x");
        int rows = x.Length / network.Inputs;
        using var gradients = new DeviceBuffer(network.Device, network.Graph.Elements);
        using var recorder = new Recorder(network.Device, rows);
        var graph = new GraphRecorder(
            network.Graph, recorder, network.Parameters, gradients,
            new RecordingPurpose
            {
                State = network.State,
                Training = true,
                Backward = true,
                InputGradient = true,
                ReadableOutputs = true,
                Trains = static _ => true,
                RandomStream = static node => RandomStreams.Dropout(node),
            },
            hpc_value_kind.HPC_VALUE_OUTPUT);
        Value input = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
        Value target = labels
            ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32)
            : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets");
        var outputs = new Value[network.Graph.Nodes.Length];
        Value output = graph.Forward(input, outputs);
        Value outputGradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, network.Outputs, "d_y");
        loss.Record(
            recorder, output, target, outputGradient,
            () => recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "head"));
        Value gradient = graph.Backward(outputGradient);
        Value inputGradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, network.Inputs, "d_x");
        recorder.Fill(inputGradient, 0f);
        recorder.AddScaled(gradient, inputGradient, 1f);
        using NativeProgram program = recorder.Finish();

        // The target's bits: labels are integers.
        float[] targets = labels ? Array.ConvertAll(reference.InIntegers("target"), BitConverter.Int32BitsToSingle) : reference.In("target");
        var read = new List<(string Name, Value Value, float[] Data)> { ("d_y", outputGradient, new float[rows * network.Outputs]), ("d_x", inputGradient, new float[x.Length]) };
        for (int i = 0; i < results.Length; i++)
            read.Add((results[i], outputs[i], new float[rows * outputs[i].Columns]));
        hpc_metrics metrics = default;
        foreach (var (name, value, data) in read)
        {
            fixed (float* from = x)
            fixed (float* wanted = targets)
            fixed (float* to = data)
            {
                Span<hpc_transfer> transfers =
                [
                    NativeProgram.Transfer(input, from, x.Length),
                    NativeProgram.Transfer(target, wanted, targets.Length),
                    NativeProgram.Transfer(value, to, data.Length),
                ];
                program.RunWith(rows, [], transfers, &metrics);
            }
            reference.Check(name, data);
        }
        reference.Check("loss", loss.Reduced(metrics));
        var all = new float[network.Graph.Elements];
        gradients.Read<float>(all);
        foreach (ParameterSegment segment in network.Graph.Segments)
        {
            float[] values = all[segment.Offset..(segment.Offset + segment.Length)];
            char layer = segment.Name[segment.Name.IndexOf('.') - 1];
            if (segment.LocalName == "weight")
                reference.Check($"d_W{layer}", Matrix.Transposed(values, segment.Rows, segment.Columns));
            else
                reference.Check(segment.LocalName == "bias" ? $"d_b{layer}" : $"d_alpha{layer}", values);
        }
    }
}
