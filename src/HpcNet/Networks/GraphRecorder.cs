// GraphRecorder.cs: records a network's forward and backward instructions into a program. It walks the nodes in topological
// order and back; each layer records its own part through a NodeRecording. Trainers, predictors, evaluation and gradient
// checks all record through it.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>What a recording is for.</summary>
internal sealed record RecordingPurpose
{
    /// <summary>Whether layers behave as in training (dropout drops).</summary>
    public bool Training { get; init; }

    /// <summary>Whether backward instructions follow.</summary>
    public bool Backward { get; init; }

    /// <summary>Whether the gradient of the network's input is wanted.</summary>
    public bool InputGradient { get; init; }

    /// <summary>Whether every layer's output can be read after a run.</summary>
    public bool ReadableOutputs { get; init; }

    /// <summary>Where the network's output goes; null: into memory of the program.</summary>
    public DeviceBuffer? Output { get; init; }

    /// <summary>Whether nobody will change the parameters as long as this recording lives: they may be kept packed.</summary>
    public bool ConstantParameters { get; init; }

    /// <summary>Which layers' parameters get gradients, by node.</summary>
    public required Func<int, bool> Trains { get; init; }

    /// <summary>The state that goes with the parameters; null: the network has none.</summary>
    public required DeviceBuffer? State { get; init; }

    /// <summary>The key of random layers.</summary>
    public ulong Seed { get; init; }

    /// <summary>The stream of a random layer, by node; asked for once per node.</summary>
    public required Func<int, Counter> RandomStream { get; init; }

    /// <summary>The gradient of the input, of a network that behaves as in prediction; nothing trains.</summary>
    public static RecordingPurpose ToInput(DeviceBuffer? state) => new()
    {
        Backward = true,
        InputGradient = true,
        Trains = static _ => false,
        State = state,
        RandomStream = static _ => 0UL,
    };
}

/// <summary>Records one network into one program.</summary>
internal sealed class GraphRecorder
{
    private readonly NetworkGraph _graph;
    private readonly NodeRecording[] _nodes;

    /// <param name="graph">The network.</param>
    /// <param name="recorder">Where to record.</param>
    /// <param name="parameters">The flat parameters.</param>
    /// <param name="gradients">The flat gradients; null: nothing trains.</param>
    /// <param name="purpose">What it is for.</param>
    /// <param name="outputKind">The kind of the network's output value.</param>
    public GraphRecorder(
        NetworkGraph graph, Recorder recorder, DeviceBuffer parameters, DeviceBuffer? gradients, RecordingPurpose purpose,
        hpc_value_kind outputKind)
    {
        _graph = graph;
        Recorder = recorder;

        // A layer at the end that does nothing here (dropout outside training) hands on its input: the output is then the
        // last value that is really made.
        int last = graph.Nodes.Length - 1;
        while (last >= 0 && graph.Nodes[last].Layer.IsIdentity(purpose.Training))
            last = graph.Nodes[last].Inputs[0];

        _nodes = new NodeRecording[graph.Nodes.Length];
        var reaches = new bool[graph.Nodes.Length];
        foreach (Node node in graph.Nodes)
        {
            bool trains = purpose.Backward && purpose.Trains(node.Index);
            bool[] below = Array.ConvertAll(
                node.Inputs, i => purpose.Backward && (i == NetworkGraph.NetworkInput ? purpose.InputGradient : reaches[i]));
            reaches[node.Index] = trains || below.Contains(true);
            _nodes[node.Index] = new NodeRecording(
                node, recorder, purpose, trains, below, purpose.ReadableOutputs || node.Index == last ? outputKind : hpc_value_kind.HPC_VALUE_TEMPORARY,
                node.Index == last ? purpose.Output : null);
        }
        foreach (ParameterSegment segment in graph.Segments)
            _nodes[segment.Node].AddParameter(segment, parameters, gradients);
        foreach (StateSegment segment in graph.States)
            _nodes[segment.Node].AddState(segment, purpose.State!);
    }

    public Recorder Recorder { get; }

    /// <summary>Records forward; returns the network's output.</summary>
    public Value Forward(Value input) => Forward(input, new Value[_nodes.Length]);

    /// <summary>Records forward, telling every node's output; returns the network's.</summary>
    public Value Forward(Value input, Value[] outputs)
    {
        foreach (Node node in _graph.Nodes)
        {
            Value[] values = Array.ConvertAll(node.Inputs, from => from == NetworkGraph.NetworkInput ? input : outputs[from]);
            outputs[node.Index] = node.Layer is MergeLayer merge
                ? merge.RecordForward(_nodes[node.Index], values)
                : node.Layer.RecordForward(_nodes[node.Index], values[0]);
        }
        return outputs[^1];
    }

    /// <summary>Records, behind the loss, what a training step does to the state.</summary>
    public void UpdateState()
    {
        foreach (Node node in _graph.Nodes)
            node.Layer.RecordStateUpdate(_nodes[node.Index]);
    }

    /// <summary>
    /// Records backward from the gradient of the output; returns the gradient of the input, or none where nobody asked for it.
    /// </summary>
    public Value Backward(Value outputGradient)
    {
        // What was handed to each node so far; the network's input stands at the end.
        var sums = new Value[_nodes.Length + 1];
        sums[_nodes.Length - 1] = outputGradient;
        for (int i = _nodes.Length - 1; i >= 0; i--)
        {
            NodeRecording node = _nodes[i];
            if (!node.HasBackward)
                continue;
            Node place = _graph.Nodes[i];
            var gradients = new Value[place.Inputs.Length];
            if (place.Layer is MergeLayer merge)
                merge.RecordBackward(node, sums[i], gradients);
            else
                gradients[0] = place.Layer.RecordBackward(node, sums[i]);
            for (int k = 0; k < gradients.Length; k++)
            {
                if (node.NeedsGradientOf(k))
                    Accumulate(sums, i, place.Inputs[k] == NetworkGraph.NetworkInput ? _nodes.Length : place.Inputs[k], gradients[k]);
            }
        }
        Value inputGradient = sums[^1];
        return inputGradient;
    }

    // A node that feeds several others gets the sum of their gradients. Layers hand on a gradient as it is where they can (sums,
    // reshaping): the sum then needs memory of its own, since other nodes have yet to read that value.
    private void Accumulate(Value[] sums, int current, int target, Value gradient)
    {
        Value sum = sums[target];
        if (sum.IsNone)
        {
            sums[target] = gradient;
            return;
        }
        bool shared = false;
        for (int i = 0; i < sums.Length && !shared; i++)
            shared = i != target && (i <= current || i == sums.Length - 1) && sums[i] == sum;
        if (shared)
        {
            sums[target] = Recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, sum.Columns, "gradient.sum");
            Recorder.CopyColumns(sum, 0, sums[target], 0, sum.Columns);
        }
        Recorder.AddScaled(gradient, sums[target], 1f);
    }
}

/// <summary>One layer's part of a recording: what it may ask and where it keeps what backward needs.</summary>
internal sealed class NodeRecording
{
    private readonly Node _node;
    private readonly RecordingPurpose _purpose;
    private readonly hpc_value_kind _outputKind;
    private readonly DeviceBuffer? _output;
    private readonly Dictionary<string, Value> _parameters = [];
    private readonly Dictionary<string, Value> _gradients = [];
    private readonly Dictionary<string, Value> _kept = [];
    private readonly Dictionary<string, Value> _states = [];
    private readonly bool[] _needsGradients;
    private Counter? _stream;

    public NodeRecording(
        Node node, Recorder recorder, RecordingPurpose purpose, bool trains, bool[] needsGradients, hpc_value_kind outputKind,
        DeviceBuffer? output)
    {
        _needsGradients = needsGradients;
        _node = node;
        _output = output;
        _purpose = purpose;
        _outputKind = outputKind;
        Recorder = recorder;
        Trains = trains;
        NeedsInputGradient = needsGradients.Contains(true);
    }

    public Recorder Recorder { get; }

    public bool Training => _purpose.Training;

    /// <summary>Whether this layer's parameters get gradients.</summary>
    public bool Trains { get; }

    /// <summary>Whether an earlier layer (or somebody outside) needs the gradient of the input.</summary>
    public bool NeedsInputGradient { get; }

    /// <summary>The same for one input of several.</summary>
    public bool NeedsGradientOf(int input) => _needsGradients[input];

    public bool HasBackward => Trains || NeedsInputGradient;

    public string Name => _node.Name;

    public int InputColumns => _node.InputColumns;

    public Shape InputShape => _node.InputShape;

    public Shape[] InputShapes => _node.InputShapes;

    public Shape OutputShape => _node.OutputShape;

    public ulong Seed => _purpose.Seed;

    public Counter RandomStream => _stream ??= _purpose.RandomStream(_node.Index);

    public Value Parameter(string name) => _parameters[name];

    public Value Gradient(string name) => _gradients[name];

    public Value State(string name) => _states[name];

    public void Keep(string name, Value value) => _kept[name] = value;

    public Value Kept(string name) => _kept[name];

    /// <summary>A temporary with the run's rows.</summary>
    public Value Temporary(int columns, string name) =>
        Recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, columns, $"{_node.Name}.{name}");

    /// <summary>A temporary of a fixed number of rows.</summary>
    public Value FixedTemporary(int rows, int columns, string name) =>
        Recorder.FixedValue(hpc_value_kind.HPC_VALUE_TEMPORARY, rows, columns, null, 0, $"{_node.Name}.{name}");

    /// <summary>The value that this layer hands on.</summary>
    public Value Output(int columns) => Recorder.RowsValue(_outputKind, columns, $"{_node.Name}.y", buffer: _output);

    /// <summary>Records y = f(x) and keeps what backward needs. Linear records nothing.</summary>
    public Value RecordActivation(Activation activation, Value x)
    {
        if (activation.IsLinear)
            return x;
        if (activation.IsRowWise)
        {
            Value rows = Output(x.Columns);
            if (activation == Activation.Softmax)
                Recorder.Softmax(x, rows);
            else
                Recorder.LogSoftmax(x, rows);
            Keep("activation", rows);
            return rows;
        }
        hpc_keeps keeps = HasBackward ? activation.Keeps() : hpc_keeps.HPC_KEEPS_NOTHING;
        Value y = Output(x.Columns);
        Value derivative = keeps == hpc_keeps.HPC_KEEPS_DERIVATIVE ? Temporary(x.Columns, "derivative") : Value.None;
        Recorder.ActivationForward(activation.NativeId, x, y, derivative, activation.Alpha, activation.Beta);
        Keep("activation", keeps switch
        {
            hpc_keeps.HPC_KEEPS_OUTPUT => y,
            hpc_keeps.HPC_KEEPS_DERIVATIVE => derivative,
            _ => Value.None,
        });
        return y;
    }

    /// <summary>Records dx = f' dy with what <see cref="RecordActivation"/> kept.</summary>
    public Value RecordActivationBackward(Activation activation, Value dy, string name)
    {
        if (activation.IsLinear)
            return dy;
        Value dx = Temporary(dy.Columns, name);
        if (activation == Activation.Softmax)
            Recorder.SoftmaxBackward(Kept("activation"), dy, dx);
        else if (activation == Activation.LogSoftmax)
            Recorder.LogSoftmaxBackward(Kept("activation"), dy, dx);
        else
            Recorder.ActivationBackward(activation.NativeId, Kept("activation"), dy, dx, activation.Alpha, activation.Beta);
        return dx;
    }

    internal void AddState(StateSegment segment, DeviceBuffer state) =>
        _states.Add(segment.LocalName, Recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_PERSISTENT, 1, segment.Length, state, segment.Offset, segment.Name,
            segment.Counts ? hpc_dtype.HPC_INT32 : hpc_dtype.HPC_FLOAT32));

    internal void AddParameter(ParameterSegment segment, DeviceBuffer parameters, DeviceBuffer? gradients)
    {
        _parameters.Add(segment.LocalName, Recorder.FixedValue(
            _purpose.ConstantParameters ? hpc_value_kind.HPC_VALUE_CONSTANT : hpc_value_kind.HPC_VALUE_PARAMETER,
            segment.Rows, segment.Columns, parameters, segment.Offset, segment.Name));
        if (Trains && gradients is not null)
        {
            _gradients.Add(segment.LocalName, Recorder.FixedValue(
                hpc_value_kind.HPC_VALUE_GRADIENT, segment.Rows, segment.Columns, gradients, segment.Offset, segment.Name + ".gradient"));
        }
    }
}
