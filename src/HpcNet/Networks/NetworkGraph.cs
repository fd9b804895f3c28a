// NetworkGraph.cs: what a network is before it has memory: nodes in topological order with the nodes that feed them, and the
// table of parameters in the one flat buffer. Building it checks everything that can be checked, so that a wrong network or
// file is refused before anything is allocated.

namespace HpcNet;

/// <summary>A layer in its place.</summary>
/// <param name="Index">Its place in the topological order.</param>
/// <param name="Name">Its name, unique.</param>
/// <param name="Layer">The configuration.</param>
/// <param name="Inputs">The nodes that feed it; <see cref="NetworkGraph.NetworkInput"/> is the network's own input.</param>
/// <param name="InputShapes">One row of each of them.</param>
/// <param name="OutputShape">One row of what goes out.</param>
internal sealed record Node(int Index, string Name, Layer Layer, int[] Inputs, Shape[] InputShapes, Shape OutputShape)
{
    public Shape InputShape => InputShapes[0];

    public int InputColumns => InputShape.Elements;

    public int OutputColumns => OutputShape.Elements;
}

/// <summary>A parameter's place in the flat buffer.</summary>
/// <param name="Name"><c>layer.weight</c> or <c>layer.bias</c>.</param>
/// <param name="Node">The layer.</param>
/// <param name="LocalName"><c>weight</c> or <c>bias</c>.</param>
/// <param name="Offset">First element in the flat buffer.</param>
/// <param name="Rows">Rows in memory (inputs of a weight, 1 for a bias).</param>
/// <param name="Columns">Columns in memory (units).</param>
/// <param name="Decays">Whether weight decay applies.</param>
/// <param name="Initializer">How it begins.</param>
/// <param name="Stored">Its shape in files, in the order of the memory; null: a weight is [columns, rows] there, anything else [length].</param>
internal sealed record ParameterSegment(
    string Name, int Node, string LocalName, int Offset, int Rows, int Columns, bool Decays, Initializer Initializer, Shape? Stored)
{
    public int Length => Rows * Columns;

    /// <summary>Whether files have it as [columns, rows], as PyTorch has a weight.</summary>
    public bool IsTransposedInFiles => LocalName == "weight" || LocalName.StartsWith("weight_", StringComparison.Ordinal);
}

/// <summary>A place in the flat buffer of the state: what training changes by itself, without gradient or optimizer.</summary>
/// <param name="Name"><c>layer.running_mean</c> and so on, as PyTorch names it.</param>
/// <param name="Node">The layer.</param>
/// <param name="LocalName">The name in its layer.</param>
/// <param name="Offset">First element in the flat buffer.</param>
/// <param name="Length">Elements.</param>
/// <param name="Initial">What it begins with.</param>
/// <param name="Counts">Whether it is one 32-bit integer, not floats.</param>
internal sealed record StateSegment(string Name, int Node, string LocalName, int Offset, int Length, float Initial, bool Counts);

/// <summary>Where a layer declares its parameters.</summary>
internal sealed class ParameterDeclarations
{
    public List<(string Name, int Rows, int Columns, Initializer Initializer, bool Decays, Shape? Stored)> Items { get; } = [];

    public List<(string Name, int Length, float Initial, bool Counts)> States { get; } = [];

    public void Add(string name, int rows, int columns, Initializer initializer, bool decays, Shape? stored = null) =>
        Items.Add((name, rows, columns, initializer, decays, stored));

    /// <summary>State that is no parameter; <paramref name="counts"/>: one 32-bit integer.</summary>
    public void AddState(string name, int length, float initial, bool counts = false) => States.Add((name, length, initial, counts));
}

internal sealed class NetworkGraph
{
    /// <summary>Stands for the network's input in <see cref="Node.Inputs"/>.</summary>
    public const int NetworkInput = -1;

    // Segments begin on cache lines, so that kernels load whole vectors of every parameter.
    private const int Alignment = 16;
    private const int MostNodes = ushort.MaxValue;

    private readonly Dictionary<string, ParameterSegment> _byName = new(StringComparer.Ordinal);

    private NetworkGraph(
        Shape inputs, Node[] nodes, ParameterSegment[] segments, int elements, StateSegment[] states, int stateElements)
    {
        States = states;
        StateElements = stateElements;
        InputShape = inputs;
        Nodes = nodes;
        Segments = segments;
        Elements = elements;
        foreach (ParameterSegment segment in segments)
            _byName.Add(segment.Name, segment);
    }

    /// <summary>One row of what comes in; several inputs are its columns, side by side.</summary>
    public Shape InputShape { get; }

    public int Inputs => InputShape.Elements;

    /// <summary>Whether each node takes the one before it.</summary>
    public bool IsChain => Nodes.All(n => n.Inputs is [var from] && from == n.Index - 1);

    public int Outputs => Nodes[^1].OutputColumns;

    public Node[] Nodes { get; }

    /// <summary>All parameters, in the order of the layers.</summary>
    public ParameterSegment[] Segments { get; }

    /// <summary>Floats of the flat buffer, with the gaps between segments.</summary>
    public int Elements { get; }

    /// <summary>All state, in the order of the layers.</summary>
    public StateSegment[] States { get; }

    /// <summary>Elements of the state's flat buffer, with the gaps between segments; 0: there is none.</summary>
    public int StateElements { get; }

    public long ParameterCount => Segments.Sum(s => (long)s.Length);

    public static NetworkGraph Chain(int inputs, IReadOnlyList<Layer> layers) =>
        Chain(new Shape(Ensure.Positive(inputs, nameof(inputs))), layers);

    public static NetworkGraph Chain(Shape input, IReadOnlyList<Layer> layers) =>
        Of(Ensure.NotNull(input), layers, [.. Enumerable.Range(0, Ensure.NotNull(layers).Count).Select(i => (int[])[i - 1])]);

    /// <summary>A graph from the inputs and outputs of its nodes; several inputs become columns of one, outputs likewise.</summary>
    public static NetworkGraph FromNodes(IReadOnlyList<NetworkNode> inputs, IReadOnlyList<NetworkNode> outputs)
    {
        Unique(inputs, nameof(inputs));
        Unique(outputs, nameof(outputs));
        var places = new Dictionary<NetworkNode, int>();
        var layers = new List<Layer>();
        var from = new List<int[]>();
        long columns = 0;
        foreach (NetworkNode input in inputs)
        {
            if (input.InputShape is not { } shape)
                throw new ArgumentException("inputs holds a node that is a layer; expected nodes made by NetworkNode.Input.", nameof(inputs));
            if (inputs.Count > 1)
            {
                layers.Add(new InputColumns((int)columns, shape) { Name = input.Name });
                from.Add([NetworkInput]);
            }
            places.Add(input, inputs.Count > 1 ? layers.Count - 1 : NetworkInput);
            columns = Ensure.Elements(1, columns + shape.Elements, nameof(inputs), "The inputs");
        }

        // Depth first, without recursion: a graph may be deep.
        NetworkNode end = outputs.Count == 1 ? outputs[0] : NetworkNode.Outputs([.. outputs]);
        if (end.Layer is null)
            throw new ArgumentException("outputs holds an input; a network has at least one layer.", nameof(outputs));
        var used = new HashSet<NetworkNode>();
        var path = new Stack<(NetworkNode Node, int Next)>([(end, 0)]);
        while (path.TryPop(out var top))
        {
            var (node, next) = top;
            used.Add(node);
            if (places.ContainsKey(node))
                continue;
            if (node.Layer is null)
            {
                throw new ArgumentException(
                    $"The outputs depend on the input {(node.Name is null ? $"of {node.InputShape}" : $"'{node.Name}'")}, which inputs does not hold.",
                    nameof(inputs));
            }
            if (next < node.From.Length)
            {
                path.Push((node, next + 1));
                path.Push((node.From[next], 0));
                continue;
            }
            layers.Add(node.Layer);
            from.Add(Array.ConvertAll(node.From, n => places[n]));
            places.Add(node, layers.Count - 1);
        }
        for (int i = 0; i < inputs.Count; i++)
        {
            if (!used.Contains(inputs[i]))
                throw new ArgumentException($"inputs[{i}]{(inputs[i].Name is null ? "" : $" '{inputs[i].Name}'")} is not used by any output.", nameof(inputs));
        }
        return Of(inputs.Count == 1 ? inputs[0].InputShape! : (int)columns, layers, from);

        static void Unique(IReadOnlyList<NetworkNode> nodes, string name)
        {
            if (Ensure.NotNull(nodes, name).Count == 0)
                throw new ArgumentException($"{name} is empty; expected at least one node.", name);
            var seen = new HashSet<NetworkNode>();
            for (int i = 0; i < nodes.Count; i++)
            {
                if (!seen.Add(Ensure.NotNull(nodes[i], name)))
                    throw new ArgumentException($"{name}[{i}] stands in {name} twice.", name);
            }
        }
    }

    /// <summary>Any graph: <paramref name="from"/> tells for each layer which earlier ones feed it.</summary>
    public static NetworkGraph Of(Shape input, IReadOnlyList<Layer> layers, IReadOnlyList<int[]> from)
    {
        if (layers.Count == 0)
            throw new ArgumentException("layers is empty; a network has at least one layer.", nameof(layers));
        if (layers.Count > MostNodes)
            throw new ArgumentException($"layers holds {layers.Count} layers; at most {MostNodes} are supported.", nameof(layers));

        var nodes = new Node[layers.Count];
        var ordinals = new Dictionary<string, int>();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < nodes.Length; i++)
        {
            Layer layer = layers[i] ?? throw new ArgumentNullException(nameof(layers), $"Layer {i} is null.");
            int ordinal = ordinals[layer.Kind] = ordinals.GetValueOrDefault(layer.Kind) + 1;
            string name = layer.Name ?? FormattableString.Invariant($"{layer.Kind}{ordinal}");
            if (!names.Add(name))
                throw new ArgumentException($"Two layers are named '{name}'; names must be unique in a network.", nameof(layers));
            foreach (int source in from[i])
            {
                if (source < NetworkInput || source >= i)
                {
                    throw new ArgumentException(
                        $"Layer '{name}', number {i}, is fed by number {source}; expected {NetworkInput} (the input) to {i - 1}: a graph has no cycles.",
                        nameof(from));
                }
            }
            if (layer is MergeLayer ? from[i].Length < 2 : from[i].Length != 1)
            {
                throw new ArgumentException(
                    $"Layer '{name}' is fed by {from[i].Length} nodes; expected {(layer is MergeLayer ? "two or more" : "one")}.", nameof(from));
            }
            Shape[] shapes = Array.ConvertAll(from[i], source => source == NetworkInput ? input : nodes[source].OutputShape);
            Shape output = layer is MergeLayer merge ? merge.OutputShape(shapes, name) : layer.OutputShape(shapes[0], name);
            nodes[i] = new Node(i, name, layer, from[i], shapes, output);
        }
        HashSet<int> feeding = [.. from.SelectMany(sources => sources)];
        for (int i = 0; i < nodes.Length - 1; i++)
        {
            if (!feeding.Contains(i))
                throw new ArgumentException($"Layer '{nodes[i].Name}' feeds nothing and is not the last one.", nameof(from));
        }

        ParameterSegment[] segments = LayOut(nodes, out int elements);
        if (segments.Length == 0)
            throw new ArgumentException("No layer has parameters; a network has at least one Dense layer.", nameof(layers));
        StateSegment[] states = LayOutStates(nodes, out int stateElements);
        return new NetworkGraph(input, nodes, segments, elements, states, stateElements);
    }

    /// <summary>The columns of the network's input that are indices into a layer's table, with that layer.</summary>
    public IEnumerable<(Node Layer, int First, int Columns)> IndexColumns()
    {
        foreach (Node node in Nodes)
        {
            if (node.Layer.IndexCount == 0)
                continue;
            // Back to the input, as long as the numbers are its own.
            int first = 0, source = node.Inputs[0];
            while (source != NetworkInput && (Nodes[source].Layer is InputColumns || Nodes[source].Layer.IsIdentity(training: true)))
            {
                first += (Nodes[source].Layer as InputColumns)?.First ?? 0;
                source = Nodes[source].Inputs[0];
            }
            if (source == NetworkInput)
                yield return (node, first, node.InputColumns);
        }
    }

    /// <summary>The fewest rows that a run can have, and the layer that asks for them.</summary>
    public int LeastRows(bool training, out Node layer)
    {
        layer = Nodes.MaxBy(n => n.Layer.LeastRows(n.InputShape, training))!;
        return layer.Layer.LeastRows(layer.InputShape, training);
    }

    public StateSegment? FindState(string name) => Array.Find(States, s => s.Name == name);

    public ParameterSegment? Find(string name) => _byName.GetValueOrDefault(name);

    public Node? FindNode(string name) => Array.Find(Nodes, n => n.Name == name);

    // What decays stands in front of what does not: with weight decay, the whole network is then updated in two runs over
    // memory instead of two per layer.
    private static ParameterSegment[] LayOut(Node[] nodes, out int elements)
    {
        var segments = new List<ParameterSegment>();
        foreach (Node node in nodes)
        {
            var declared = new ParameterDeclarations();
            node.Layer.DeclareParameters(node.InputShape, declared);
            foreach (var (name, rows, columns, initializer, decays, stored) in declared.Items)
                segments.Add(new ParameterSegment($"{node.Name}.{name}", node.Index, name, 0, rows, columns, decays, initializer, stored));
        }
        long offset = 0;
        foreach (bool decays in (ReadOnlySpan<bool>)[true, false])
        {
            for (int i = 0; i < segments.Count; i++)
            {
                if (segments[i].Decays != decays)
                    continue;
                Ensure.Elements(1, offset + segments[i].Length, "layers", "The parameters");
                segments[i] = segments[i] with { Offset = (int)offset };
                offset += (segments[i].Length + Alignment - 1L) / Alignment * Alignment;
            }
        }
        elements = Ensure.Elements(1, offset, "layers", "The parameters");
        return [.. segments];
    }

    private static StateSegment[] LayOutStates(Node[] nodes, out int elements)
    {
        var segments = new List<StateSegment>();
        long offset = 0;
        foreach (Node node in nodes)
        {
            var declared = new ParameterDeclarations();
            node.Layer.DeclareParameters(node.InputShape, declared);
            foreach (var (name, length, initial, counts) in declared.States)
            {
                Ensure.Elements(1, offset + length, "layers", "The state");
                segments.Add(new StateSegment($"{node.Name}.{name}", node.Index, name, (int)offset, length, initial, counts));
                offset += (length + Alignment - 1L) / Alignment * Alignment;
            }
        }
        elements = Ensure.Elements(1, offset, "layers", "The state");
        return [.. segments];
    }
}
