// NetworkNode.cs: how a network that is no chain is written down: nodes are made of nodes, so that a cycle cannot be expressed.
//   NetworkNode image = NetworkNode.Input(64, "image"), age = NetworkNode.Input(1, "age");
//   NetworkNode h = image.Then(new Dense(32, Activation.ReLU));
//   NetworkNode y = h.Then(new Dense(32, Activation.ReLU)).Add(h).Concatenate(age).Then(new Dense(3));
//   using var network = new Network(device, [image, age], [y]);

namespace HpcNet;

/// <summary>
/// A place in a network that is a directed acyclic graph: an input, a layer over a node, or what several nodes make together.
/// Immutable; a node may feed any number of others, which then share it. <see cref="Network"/> takes the inputs and outputs.
/// </summary>
public sealed class NetworkNode
{
    private NetworkNode(Layer? layer, Shape? shape, string? name, NetworkNode[] from)
    {
        Layer = layer;
        InputShape = shape;
        Name = name;
        From = from;
    }

    internal Layer? Layer { get; }

    /// <summary>Of an input.</summary>
    internal Shape? InputShape { get; }

    /// <summary>Of an input.</summary>
    internal string? Name { get; }

    internal NetworkNode[] From { get; }

    /// <summary>An input of a network.</summary>
    /// <param name="shape">One row of it; a number converts.</param>
    /// <param name="name">Its name, unique in the network; null: <c>columns1</c> and so on where there are several.</param>
    /// <exception cref="ArgumentNullException"><paramref name="shape"/> is null.</exception>
    public static NetworkNode Input(Shape shape, string? name = null) => new(null, Ensure.NotNull(shape), name, []);

    /// <summary>A chain of layers over this node.</summary>
    /// <param name="layers">From this node on; at least one.</param>
    /// <exception cref="ArgumentNullException">A layer is null.</exception>
    /// <exception cref="ArgumentException">There are no layers.</exception>
    public NetworkNode Then(params Layer[] layers)
    {
        Ensure.NotNull(layers);
        if (layers.Length == 0)
            throw new ArgumentException("layers is empty; expected at least one.", nameof(layers));
        NetworkNode node = this;
        foreach (Layer layer in layers)
            node = new NetworkNode(Ensure.NotNull(layer, nameof(layers)), null, null, [node]);
        return node;
    }

    /// <summary>The elementwise sum of this node and others of its shape (a residual connection).</summary>
    /// <param name="others">At least one; their shapes are checked when the network is made.</param>
    /// <exception cref="ArgumentNullException">A node is null.</exception>
    /// <exception cref="ArgumentException">There are no others.</exception>
    public NetworkNode Add(params NetworkNode[] others) => Merge(new AddLayer(), others);

    /// <summary>The elementwise product of this node and others of its shape (a gate).</summary>
    /// <param name="others">At least one; their shapes are checked when the network is made.</param>
    /// <exception cref="ArgumentNullException">A node is null.</exception>
    /// <exception cref="ArgumentException">There are no others.</exception>
    public NetworkNode Multiply(params NetworkNode[] others) => Merge(new MultiplyLayer(), others);

    /// <summary>This node and others side by side along the last dimension.</summary>
    /// <param name="others">At least one; their shapes are checked when the network is made.</param>
    /// <exception cref="ArgumentNullException">A node is null.</exception>
    /// <exception cref="ArgumentException">There are no others.</exception>
    public NetworkNode Concatenate(params NetworkNode[] others) => Concatenate(-1, others);

    /// <summary>This node and others side by side along a dimension.</summary>
    /// <param name="axis">The dimension, from the front if 0 or more, else from the end; all others are equal.</param>
    /// <param name="others">At least one; their shapes and the axis are checked when the network is made.</param>
    /// <exception cref="ArgumentNullException">A node is null.</exception>
    /// <exception cref="ArgumentException">There are no others.</exception>
    public NetworkNode Concatenate(int axis, params NetworkNode[] others) => Merge(new ConcatenateLayer(axis), others);

    internal static NetworkNode Outputs(NetworkNode[] outputs) => new(new OutputColumns(), null, null, outputs);

    private NetworkNode Merge(MergeLayer layer, NetworkNode[] others)
    {
        Ensure.NotNull(others);
        if (others.Length == 0)
            throw new ArgumentException("others is empty; expected at least one node.", nameof(others));
        foreach (NetworkNode other in others)
            Ensure.NotNull(other, nameof(others));
        return new NetworkNode(layer, null, null, [this, .. others]);
    }
}
