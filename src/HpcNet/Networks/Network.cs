// Network.cs: a network on a device: the graph of layers and one flat buffer with all parameters (NetworkGraph holds the
// table). Weights are [in × out] in memory; files have them as [out, in] (NetworkFile.cs).
//
// Threads: whatever reads or writes the parameters holds Gate for that long. A training step takes it for one run, so that
// saving, predictors and parameter access from other threads see the state before a step or after it.

using System.Globalization;
using System.Text;

namespace HpcNet;

/// <summary>One parameter of a network.</summary>
/// <param name="Name"><c>layer.weight</c> or <c>layer.bias</c>.</param>
/// <param name="Layer">The layer's name.</param>
/// <param name="Rows">Rows in memory: the inputs of a weight, 1 for a bias.</param>
/// <param name="Columns">Columns in memory: the units.</param>
public sealed record ParameterInfo(string Name, string Layer, int Rows, int Columns)
{
    /// <summary>Number of elements.</summary>
    public int Count => Rows * Columns;
}

/// <summary>State of a network that training changes by itself, without gradient: running statistics.</summary>
/// <param name="Name"><c>layer.running_mean</c>, <c>layer.running_var</c> or <c>layer.num_batches_tracked</c>.</param>
/// <param name="Layer">The layer's name.</param>
/// <param name="Count">Number of elements.</param>
public sealed record StateInfo(string Name, string Layer, int Count);

/// <summary>
/// A neural network: a chain of layers, or a directed acyclic graph of them, with their parameters, on a device. Members may be
/// called from any thread; while a <see cref="Trainer"/> works on it they see the state between two steps.
/// </summary>
public sealed class Network : IDisposable
{
    private readonly bool[] _frozen;
    private readonly float[] _learningRateScales;
    private bool _disposed;

    /// <summary>Makes a network with parameters initialized from the seed 0.</summary>
    /// <param name="device">Where it lives and runs.</param>
    /// <param name="inputs">Columns of the input, at least 1.</param>
    /// <param name="layers">The layers from input to output; at least one with parameters. Names must be unique.</param>
    /// <exception cref="ArgumentNullException">An argument or a layer is null.</exception>
    /// <exception cref="ArgumentException">No layers, or two of one name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An extent is less than 1, or a parameter would be too large.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public Network(Device device, int inputs, params Layer[] layers)
        : this(device, inputs, seed: 0, layers)
    {
    }

    /// <summary>Makes a network with parameters initialized from a seed: the same seed gives the same bits everywhere.</summary>
    /// <param name="device">Where it lives and runs.</param>
    /// <param name="inputs">Columns of the input, at least 1.</param>
    /// <param name="seed">Any number.</param>
    /// <param name="layers">The layers from input to output; at least one with parameters. Names must be unique.</param>
    /// <exception cref="ArgumentNullException">An argument or a layer is null.</exception>
    /// <exception cref="ArgumentException">No layers, or two of one name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An extent is less than 1, or a parameter would be too large.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public Network(Device device, int inputs, ulong seed, params Layer[] layers)
        : this(Usable(device), NetworkGraph.Chain(inputs, Ensure.NotNull(layers)), seed)
    {
    }

    /// <summary>Makes a network whose input has a shape, such as sequences, with parameters initialized from the seed 0.</summary>
    /// <param name="device">Where it lives and runs.</param>
    /// <param name="input">One row of the input, for example <c>new Shape(steps, features)</c>.</param>
    /// <param name="layers">The layers from input to output; at least one with parameters. Names must be unique.</param>
    /// <exception cref="ArgumentNullException">An argument or a layer is null.</exception>
    /// <exception cref="ArgumentException">No layers, two of one name, or one that does not take what comes in.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A parameter would be too large.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public Network(Device device, Shape input, params Layer[] layers)
        : this(device, input, seed: 0, layers)
    {
    }

    /// <summary>Makes a network whose input has a shape, with parameters initialized from a seed.</summary>
    /// <param name="device">Where it lives and runs.</param>
    /// <param name="input">One row of the input, for example <c>new Shape(steps, features)</c>.</param>
    /// <param name="seed">Any number.</param>
    /// <param name="layers">The layers from input to output; at least one with parameters. Names must be unique.</param>
    /// <exception cref="ArgumentNullException">An argument or a layer is null.</exception>
    /// <exception cref="ArgumentException">No layers, two of one name, or one that does not take what comes in.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A parameter would be too large.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public Network(Device device, Shape input, ulong seed, params Layer[] layers)
        : this(Usable(device), NetworkGraph.Chain(Ensure.NotNull(input), Ensure.NotNull(layers)), seed)
    {
    }

    /// <summary>
    /// Makes a network that is a directed acyclic graph. Several inputs are the columns of one row, side by side in the order given:
    /// data sets, steps and predictions bring them so; several outputs likewise (see <see cref="Loss.PerOutput"/>).
    /// </summary>
    /// <param name="device">Where it lives and runs.</param>
    /// <param name="inputs">Nodes made by <see cref="NetworkNode.Input"/>; each one is used.</param>
    /// <param name="outputs">The nodes that are answers; at least one.</param>
    /// <param name="seed">Any number: the same seed gives the same bits everywhere.</param>
    /// <exception cref="ArgumentNullException">An argument or a node is null.</exception>
    /// <exception cref="ArgumentException">No inputs or outputs, one of them twice, an input that nothing uses or that is missing, two
    /// layers of one name, branches whose shapes do not fit, or no layer with parameters.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An axis is out of range, or a parameter would be too large.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public Network(Device device, IReadOnlyList<NetworkNode> inputs, IReadOnlyList<NetworkNode> outputs, ulong seed = 0)
        : this(Usable(device), NetworkGraph.FromNodes(inputs, outputs), seed)
    {
    }

    private Network(Device device, NetworkGraph graph, ulong seed)
        : this(device, graph)
    {
        var host = new float[Graph.Segments.Max(s => s.Length)];
        for (int i = 0; i < Graph.Segments.Length; i++)
        {
            ParameterSegment segment = Graph.Segments[i];
            Span<float> values = host.AsSpan(0, segment.Length);
            segment.Initializer.Fill(values, segment.Rows, segment.Columns, new Philox(seed, RandomStreams.Initialization(i)));
            Parameters.Write<float>(values, segment.Offset);
        }
    }

    /// <summary>A network with all parameters 0.</summary>
    internal Network(Device device, NetworkGraph graph)
    {
        Device = device;
        Graph = graph;
        Layers = Array.AsReadOnly(Array.ConvertAll(graph.Nodes, n => n.Layer));
        ParameterInfos = Array.AsReadOnly(Array.ConvertAll(
            graph.Segments, s => new ParameterInfo(s.Name, graph.Nodes[s.Node].Name, s.Rows, s.Columns)));
        _frozen = Array.ConvertAll(graph.Nodes, n => n.Layer.Frozen);
        _learningRateScales = Array.ConvertAll(graph.Nodes, n => n.Layer.LearningRateScale);
        Parameters = new DeviceBuffer(device, graph.Elements);
        LeastTrainingRows = graph.LeastRows(training: true, out _);
        LeastEvaluationRows = graph.LeastRows(training: false, out _);
        IndexColumns = [.. graph.IndexColumns()];
        StateInfos = Array.AsReadOnly(Array.ConvertAll(graph.States, s => new StateInfo(s.Name, graph.Nodes[s.Node].Name, s.Length)));
        if (graph.StateElements > 0)
        {
            State = new DeviceBuffer(device, graph.StateElements);
            var initial = new float[graph.StateElements];
            // A count begins at 0, whose bits are those of 0f.
            foreach (StateSegment segment in graph.States)
                initial.AsSpan(segment.Offset, segment.Length).Fill(segment.Initial);
            State.Write<float>(initial);
        }
    }

    /// <summary>Where the network lives.</summary>
    public Device Device { get; }

    /// <summary>Columns of the input.</summary>
    public int Inputs => Graph.Inputs;

    /// <summary>How a row of the input is arranged; several inputs are its columns, side by side.</summary>
    public Shape InputShape => Graph.InputShape;

    /// <summary>How a row of the output is arranged; several outputs are its columns, side by side.</summary>
    public Shape OutputShape => Graph.Nodes[^1].OutputShape;

    /// <summary>Columns of the output.</summary>
    public int Outputs => Graph.Outputs;

    /// <summary>The layers from input to output, as they were configured.</summary>
    public IReadOnlyList<Layer> Layers { get; }

    /// <summary>The names of the layers, in the same order.</summary>
    public IReadOnlyList<string> LayerNames => Array.ConvertAll(Graph.Nodes, n => n.Name);

    /// <summary>The parameters, in the order of the layers.</summary>
    public IReadOnlyList<ParameterInfo> ParameterInfos { get; }

    /// <summary>The state that is no parameter (running statistics), in the order of the layers.</summary>
    public IReadOnlyList<StateInfo> StateInfos { get; }

    /// <summary>Number of parameters, all layers together.</summary>
    public long ParameterCount => Graph.ParameterCount;

    /// <summary>
    /// What the output means. A <see cref="Trainer"/> sets it from its loss; predictors of a classification and of a
    /// multi-label one give probabilities.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is no member of the enumeration.</exception>
    public NetworkTask Task
    {
        get;
        set => field = value is NetworkTask.Regression or NetworkTask.Classification or NetworkTask.MultiLabel
            ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, $"There is no task {(int)value}.");
    }

    /// <summary>
    /// What is done to each row of features before the first layer; null: nothing. It is applied wherever data enter
    /// (<see cref="Trainer.Fit"/>, <see cref="Trainer.Step(ReadOnlySpan{float}, ReadOnlySpan{int})"/>, <see cref="Evaluate"/>,
    /// <see cref="Predictor"/>) and saved with the model, so that data are always given as they come, never scaled by hand.
    /// </summary>
    /// <exception cref="ArgumentException">It has another number of features than the network has inputs.</exception>
    public Standardizer? Preprocessing
    {
        get;
        set
        {
            if (value is not null && value.FeatureCount != Inputs)
            {
                throw new ArgumentException(
                    $"The standardizer has {value.FeatureCount} features; the network expects {Inputs} inputs.", nameof(value));
            }
            field = value;
        }
    }

    /// <summary>Names of the classes, one per output; null: none. <see cref="Trainer.Fit"/> takes them from its data where none are set.</summary>
    /// <exception cref="ArgumentException">The number of names is not that of the outputs, or one is null.</exception>
    public IReadOnlyList<string>? ClassNames
    {
        get;
        set
        {
            if (value is not null && (value.Count != Outputs || value.Contains(null!)))
                throw new ArgumentException($"{value.Count} class names came; expected {Outputs}, one for each output.", nameof(value));
            field = value is null ? null : Array.AsReadOnly(value.ToArray());
        }
    }

    internal NetworkGraph Graph { get; }

    internal DeviceBuffer Parameters { get; }

    /// <summary>The flat buffer of the state; null: there is none.</summary>
    internal DeviceBuffer? State { get; }

    /// <summary>The fewest rows of a training step.</summary>
    internal int LeastTrainingRows { get; }

    /// <summary>The fewest rows of a run in evaluation or prediction.</summary>
    internal int LeastEvaluationRows { get; }

    /// <summary><see cref="NetworkGraph.IndexColumns"/>.</summary>
    internal (Node Layer, int First, int Columns)[] IndexColumns { get; }

    /// <summary>Held by whoever reads or writes the parameters.</summary>
    internal object Gate { get; } = new();

    /// <summary>Counts changes of what trains and how: recorded programs compare it.</summary>
    internal int SettingsVersion { get; private set; }

    /// <summary>Reads a model file.</summary>
    /// <param name="path">A safetensors file that <see cref="Save"/> wrote.</param>
    /// <param name="device">Where the network shall live; null: <see cref="Device.Default"/>.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The file is no model, or not a sound one; the message names file and reason.</exception>
    public static Network Load(string path, Device? device = null) => NetworkFile.Load(path, device);

    /// <summary>
    /// Writes the model: parameters, structure, preprocessing and class names, as one safetensors file. Weights are stored as
    /// [units, inputs] under <c>layer.weight</c>. The file is written beside the old one and renamed over it at the end.
    /// </summary>
    /// <param name="path">The file to write.</param>
    /// <exception cref="IOException">Writing failed; an old file of that name is as it was.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void Save(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ThrowIfDisposed();
        NetworkFile.Save(this, path);
    }

    /// <summary>Copies a parameter out.</summary>
    /// <param name="name">The name, for example <c>dense1.weight</c>.</param>
    /// <param name="values">[rows × columns], row-major; a weight is [inputs × units].</param>
    /// <exception cref="ArgumentException">There is no such parameter, or the span has another length.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void GetParameter(string name, Span<float> values)
    {
        ParameterSegment segment = Segment(name, values.Length, nameof(values));
        lock (Gate)
        {
            ThrowIfDisposed();
            Parameters.Read(values, segment.Offset);
        }
    }

    /// <summary>Replaces a parameter.</summary>
    /// <param name="name">The name, for example <c>dense1.weight</c>.</param>
    /// <param name="values">[rows × columns], row-major, finite; a weight is [inputs × units].</param>
    /// <exception cref="ArgumentException">There is no such parameter, the span has another length, or a value is not finite.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void SetParameter(string name, ReadOnlySpan<float> values)
    {
        ParameterSegment segment = Segment(name, values.Length, nameof(values));
        int bad = Numbers.FirstNotFinite(values);
        if (bad >= 0)
            throw new ArgumentException($"values[{bad}] is {values[bad]}; expected finite numbers.", nameof(values));
        lock (Gate)
        {
            ThrowIfDisposed();
            Parameters.Write(values, segment.Offset);
        }
    }

    /// <summary>Copies state out.</summary>
    /// <param name="name">The name, for example <c>batchnorm1.running_mean</c>.</param>
    /// <param name="values">As many as <see cref="StateInfos"/> says. A count of batches is exact up to 2^24.</param>
    /// <exception cref="ArgumentException">There is no such state, or the span has another length.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void GetState(string name, Span<float> values)
    {
        StateSegment segment = StateSegment(name, values.Length, nameof(values));
        lock (Gate)
        {
            ThrowIfDisposed();
            State!.Read(values, segment.Offset);
        }
        if (segment.Counts)
            values[0] = BitConverter.SingleToInt32Bits(values[0]);
    }

    /// <summary>Replaces state.</summary>
    /// <param name="name">The name, for example <c>batchnorm1.running_mean</c>.</param>
    /// <param name="values">As many as <see cref="StateInfos"/> says, finite; variances 0 or more, a count a whole number of 0 or more.</param>
    /// <exception cref="ArgumentException">There is no such state, the span has another length, or a value has no meaning.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public void SetState(string name, ReadOnlySpan<float> values)
    {
        StateSegment segment = StateSegment(name, values.Length, nameof(values));
        for (int i = 0; i < values.Length; i++)
        {
            bool least = segment.LocalName != "running_mean";
            if (!float.IsFinite(values[i]) || (least && values[i] < 0) || (segment.Counts && (values[i] != MathF.Floor(values[i]) || values[i] >= 1 << 30)))
            {
                throw new ArgumentException(
                    $"values[{i}] is {values[i]}; expected {(segment.Counts ? "a whole number of" : least ? "a finite number of" : "a finite number")}{(least ? " 0 or more" : "")}.", nameof(values));
            }
        }
        lock (Gate)
        {
            ThrowIfDisposed();
            if (segment.Counts)
                State!.Write<int>([(int)values[0]], segment.Offset);
            else
                State!.Write(values, segment.Offset);
        }
    }

    /// <summary>Keeps a layer's parameters as they are in training, from the next call of Fit or Step on.</summary>
    /// <param name="layer">The layer's name.</param>
    /// <exception cref="ArgumentException">There is no such layer.</exception>
    public void Freeze(string layer) => SetFrozen(layer, true);

    /// <summary>Lets training change a layer's parameters again, from the next call of Fit or Step on.</summary>
    /// <param name="layer">The layer's name.</param>
    /// <exception cref="ArgumentException">There is no such layer.</exception>
    public void Unfreeze(string layer) => SetFrozen(layer, false);

    /// <summary>Whether training leaves a layer's parameters alone.</summary>
    /// <param name="layer">The layer's name.</param>
    /// <exception cref="ArgumentException">There is no such layer.</exception>
    public bool IsFrozen(string layer) => _frozen[NodeOf(layer).Index];

    /// <summary>The factor on the learning rate for a layer's parameters.</summary>
    /// <param name="layer">The layer's name.</param>
    /// <exception cref="ArgumentException">There is no such layer.</exception>
    public float GetLearningRateScale(string layer) => _learningRateScales[NodeOf(layer).Index];

    /// <summary>Sets the factor on the learning rate for a layer's parameters, from the next call of Fit or Step on.</summary>
    /// <param name="layer">The layer's name.</param>
    /// <param name="scale">The factor, finite, 0 or more.</param>
    /// <exception cref="ArgumentException">There is no such layer.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="scale"/> is negative, infinite or NaN.</exception>
    public void SetLearningRateScale(string layer, float scale)
    {
        int index = NodeOf(layer).Index;
        Ensure.FiniteNotNegative(scale, nameof(scale));
        lock (Gate)
        {
            _learningRateScales[index] = scale;
            SettingsVersion++;
        }
    }

    /// <summary>
    /// Makes a predictor: a snapshot of the parameters as they are now, which later training does not disturb.
    /// </summary>
    /// <param name="batchSize">Rows that one run takes at most; longer inputs are cut into runs. At least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="batchSize"/> is less than 1.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public Predictor CreatePredictor(int batchSize = 256)
    {
        Ensure.Positive(batchSize, nameof(batchSize));
        ThrowIfDisposed();
        return new Predictor(this, batchSize);
    }

    /// <summary>
    /// Makes something that tells gradients with respect to the input: of a loss (also adversarial examples), or of one output.
    /// </summary>
    /// <param name="loss">The loss; null: for gradients of outputs alone.</param>
    /// <exception cref="ArgumentException">The loss has weights for another number of outputs.</exception>
    /// <exception cref="InvalidOperationException">Every column of the input is an index that a layer looks up, which has no gradient.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public InputGradient CreateInputGradient(Loss? loss = null)
    {
        ThrowIfDisposed();
        loss?.CheckOutputs(Outputs, nameof(loss));
        if (DataChecks.OnlyIndices(this) is { } layer)
            throw new InvalidOperationException($"{layer} looks up indices, which have no gradient.");
        return new InputGradient(this, loss);
    }

    /// <summary>Loss, accuracy and what else the task tells on a data set, with <see cref="Preprocessing"/> applied and without dropout.</summary>
    /// <param name="data">The data, as they come.</param>
    /// <param name="loss">The loss; null: softmax cross-entropy for a classification, sigmoid cross-entropy for a multi-label one, else the
    /// mean squared error.</param>
    /// <exception cref="ArgumentException">The data do not fit the network or the loss.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public Evaluation Evaluate(Dataset data, Loss? loss = null)
    {
        Ensure.NotNull(data);
        ThrowIfDisposed();
        loss ??= Task switch
        {
            NetworkTask.Classification => Loss.SoftmaxCrossEntropy,
            NetworkTask.MultiLabel => Loss.SigmoidCrossEntropy,
            _ => Loss.MeanSquaredError,
        };
        using var program = EvaluationProgram.For(this, loss, data, nameof(data));
        return program.Evaluate(data, details: true);
    }

    /// <summary>A table of the layers with their shapes and parameters.</summary>
    public string Summary()
    {
        var text = new StringBuilder();
        string[][] rows =
        [
            ["layer", "kind", "output", "parameters", ""],
            .. Graph.Nodes.Select(node => (string[])
            [
                node.Name,
                node.Layer.Summary(),
                node.OutputShape.ToString(),
                Graph.Segments.Where(s => s.Node == node.Index).Sum(s => (long)s.Length).ToString("N0", CultureInfo.InvariantCulture),
                (_frozen[node.Index] ? "frozen " : "")
                    + (_learningRateScales[node.Index] == 1f
                        ? ""
                        : string.Create(CultureInfo.InvariantCulture, $"learning rate x {_learningRateScales[node.Index]} "))
                    + (Graph.IsChain ? "" : $"from {string.Join(", ", node.Inputs.Select(i => i < 0 ? "input" : Graph.Nodes[i].Name))}"),
            ]),
        ];
        int[] widths = [.. Enumerable.Range(0, 5).Select(i => rows.Max(r => r[i].Length))];
        foreach (string[] row in rows)
        {
            string line = $"{row[0].PadRight(widths[0])}  {row[1].PadRight(widths[1])}  {row[2].PadLeft(widths[2])}  {row[3].PadLeft(widths[3])}  {row[4]}";
            text.AppendLine(line.TrimEnd());
        }
        text.Append(CultureInfo.InvariantCulture, $"{Inputs} inputs, {Outputs} outputs, {ParameterCount:N0} parameters");
        return text.ToString();
    }

    /// <summary>The native program of a prediction: what is recorded, what it is fused into, with shapes, FLOPs and bytes.</summary>
    /// <param name="rows">The batch it is made for, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rows"/> is less than 1.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public string Describe(int rows = 1)
    {
        Ensure.Positive(rows, nameof(rows));
        ThrowIfDisposed();
        // The parameters themselves would become constants.
        using var snapshot = new NetworkSnapshot(this);
        using var program = new PredictorProgram(this, snapshot, rows, Task);
        return program.Native.Describe();
    }

    /// <summary>Frees the parameters. Trainers of this network can no longer be used; predictors have their own copy and can.</summary>
    public void Dispose()
    {
        lock (Gate)
        {
            _disposed = true;
            Parameters.Dispose();
            State?.Dispose();
        }
    }

    /// <summary>The network in one line.</summary>
    public override string ToString() =>
        Graph.IsChain
            ? string.Create(CultureInfo.InvariantCulture, $"{InputShape} -> {string.Join(" -> ", Layers.Select(l => l.Summary()))}")
            : string.Create(CultureInfo.InvariantCulture, $"graph of {Layers.Count} layers, {Inputs} inputs, {Outputs} outputs");

    internal bool IsDisposed => _disposed;

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(_disposed, this);

    internal bool Trains(int node) => !_frozen[node];

    internal float LearningRateScale(int node) => _learningRateScales[node];

    private static Device Usable(Device device)
    {
        Ensure.NotNull(device).ThrowIfDisposed();
        return device;
    }

    private void SetFrozen(string layer, bool frozen)
    {
        int index = NodeOf(layer).Index;
        lock (Gate)
        {
            _frozen[index] = frozen;
            SettingsVersion++;
        }
    }

    private Node NodeOf(string layer) => Graph.FindNode(Ensure.NotNull(layer)) ?? throw new ArgumentException(
        $"There is no layer '{layer}'; there are {string.Join(", ", Graph.Nodes.Select(n => n.Name))}.", nameof(layer));

    private StateSegment StateSegment(string name, int length, string argument)
    {
        StateSegment segment = Graph.FindState(Ensure.NotNull(name)) ?? throw new ArgumentException(
            $"There is no state '{name}'; there is {(Graph.States.Length == 0 ? "none" : string.Join(", ", Graph.States.Select(s => s.Name)))}.", nameof(name));
        Ensure.Length(length, segment.Length, argument, $"{name} has {segment.Length}");
        return segment;
    }

    internal ParameterSegment Segment(string name, int length, string argument)
    {
        ParameterSegment segment = Graph.Find(Ensure.NotNull(name)) ?? throw new ArgumentException(
            $"There is no parameter '{name}'; there are {string.Join(", ", Graph.Segments.Select(s => s.Name))}.", nameof(name));
        Ensure.Length(length, segment.Length, argument, $"{name} is {segment.Rows} x {segment.Columns}");
        return segment;
    }
}
