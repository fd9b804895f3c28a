// MlpFamily.cs: z1 = x W1ᵀ + b1, a1 = f(z1), z2 = a1 W2ᵀ + b2, a2 = f(z2), y = a2 W3ᵀ + b3, loss(y, target) and all gradients, of
// networks that the library builds, runs and differentiates.

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed unsafe class MlpFamily : IFamily
{
    public string Name => "mlp_losses";

    public void Run(ReferenceCase reference, Device device)
    {
        int[] sizes = reference.Get<int[]>("sizes", []);
        int rows = reference.Get("batch", 0);
        JsonElement activationParameters = reference.Parameters.GetProperty("activation_params");
        Layer Activation() => ActivationOf(reference.Get("activation", ""), activationParameters);
        using var network = new Network(
            device, sizes[0], new Dense(sizes[1]), Activation(), new Dense(sizes[2]), Activation(), new Dense(sizes[3]));
        string[] dense = [.. network.LayerNames.Where((_, i) => network.Layers[i] is Dense)];
        for (int i = 0; i < 3; i++)
        {
            network.SetParameter($"{dense[i]}.weight", Matrix.Transposed(reference.In($"W{i + 1}"), sizes[i + 1], sizes[i]));
            network.SetParameter($"{dense[i]}.bias", reference.In($"b{i + 1}"));
        }

        float[] x = reference.In("x");
        using var forward = new Pass(network, rows, backward: false);
        float[][] outputs = forward.Run(x, null, out _, out _);
        string[] names = ["z1", "a1", "z2", "a2", "y"];
        for (int i = 0; i < names.Length; i++)
            reference.Check(names[i], outputs[i]);

        CaseLoss loss = CaseLosses.Of(reference.Get("loss", ""), reference.Parameters.GetProperty("loss_params"));
        (double value, float[] dy) = loss.Of(reference, device, outputs[^1], rows, sizes[3]);
        reference.Check("loss", value);
        reference.Check("d_y", dy);

        using var backward = new Pass(network, rows, backward: true);
        backward.Run(x, dy, out float[] gradients, out float[] dx);
        reference.Check("d_x", dx);
        for (int i = 0; i < 3; i++)
        {
            reference.Check($"d_W{i + 1}", Matrix.Transposed(Gradient($"{dense[i]}.weight"), sizes[i], sizes[i + 1]));
            reference.Check($"d_b{i + 1}", Gradient($"{dense[i]}.bias"));
        }

        float[] Gradient(string name)
        {
            ParameterSegment segment = network.Graph.Segments.Single(s => s.Name == name);
            return gradients.AsSpan(segment.Offset, segment.Length).ToArray();
        }
    }

    // The one place to be told of more activations.
    private static Layer ActivationOf(string name, JsonElement parameters) => name switch
    {
        "tanh" => new ActivationLayer(Activation.Tanh),
        "relu" => new ActivationLayer(Activation.ReLU),
        _ => throw new NotSupportedException($"nothing here knows the activation '{name}' {parameters}"),
    };

    /// <summary>Forward with every layer's output readable, and backward from a given gradient of the network's output.</summary>
    private sealed class Pass : IDisposable
    {
        private readonly Network _network;
        private readonly int _rows;
        private readonly DeviceBuffer _gradients;
        private readonly NativeProgram _program;
        private readonly Value _x;
        private readonly Value[] _outputs;
        private readonly Value _dy;
        private readonly Value _dx;

        public Pass(Network network, int rows, bool backward)
        {
            _network = network;
            _rows = rows;
            _gradients = new DeviceBuffer(network.Device, network.Graph.Elements);
            using var recorder = new Recorder(network.Device, rows);
            var graph = new GraphRecorder(
                network.Graph, recorder, network.Parameters, _gradients,
                new RecordingPurpose
                {
                    Training = true,
                    Backward = backward,
                    InputGradient = backward,
                    ReadableOutputs = !backward,
                    Trains = static _ => true,
                    RandomStream = static _ => 0UL,
                },
                backward ? hpc_value_kind.HPC_VALUE_TEMPORARY : hpc_value_kind.HPC_VALUE_OUTPUT);
            _x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x");
            _outputs = new Value[network.Graph.Nodes.Length];
            graph.Forward(_x, _outputs);
            if (backward)
            {
                _dy = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Outputs, "dy");
                Value dx = graph.Backward(_dy);
                _dx = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, network.Inputs, "dx");
                recorder.Fill(_dx, 0f);
                recorder.AddScaled(dx, _dx, 1f);
            }
            _program = recorder.Finish();
        }

        /// <summary>Without a gradient: the layers' outputs; with one: the flat gradients and that of the input.</summary>
        public float[][] Run(float[] x, float[]? dy, out float[] gradients, out float[] dx)
        {
            float[][] outputs = dy is null ? Array.ConvertAll(_outputs, o => new float[_rows * o.Columns]) : [];
            gradients = new float[_network.Graph.Elements];
            dx = new float[x.Length];
            var pins = new List<System.Runtime.InteropServices.GCHandle>();
            var transfers = new List<hpc_transfer>();
            void Add(Value value, float[] data)
            {
                pins.Add(System.Runtime.InteropServices.GCHandle.Alloc(data, System.Runtime.InteropServices.GCHandleType.Pinned));
                transfers.Add(NativeProgram.Transfer(value, (void*)pins[^1].AddrOfPinnedObject(), data.Length));
            }
            try
            {
                Add(_x, x);
                for (int i = 0; i < outputs.Length; i++)
                    Add(_outputs[i], outputs[i]);
                if (dy is not null)
                {
                    Add(_dy, dy);
                    Add(_dx, dx);
                }
                hpc_metrics metrics;
                _program.RunWith(_rows, [], [.. transfers], &metrics);
            }
            finally
            {
                pins.ForEach(p => p.Free());
            }
            _gradients.Read<float>(gradients);
            return outputs;
        }

        public void Dispose()
        {
            _program.Dispose();
            _gradients.Dispose();
        }
    }
}
