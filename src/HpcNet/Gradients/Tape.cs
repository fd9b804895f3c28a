// Tape.cs: what happened while a function was evaluated, so that it can be gone through backwards. A node is one intermediate
// result; its edges tell the nodes that it was computed from and the partial derivatives there. Nodes are numbered in the order of
// evaluation, so that the reverse order visits every node after all that use it (Griewank and Walther 2008).

namespace HpcNet;

internal sealed class Tape
{
    [ThreadStatic]
    private static Tape? t_free;

    // The edges of node i are those from _ends[i - 1] to _ends[i].
    private int[] _ends = new int[64];
    private int[] _sources = new int[128];
    private double[] _partials = new double[128];
    private double[] _adjoints = new double[64];
    private int _nodes;
    private int _edges;

    /// <summary>Counts evaluations: a result that outlives its own is told by its old number.</summary>
    public int Generation { get; private set; } = 1;

    /// <summary>An empty tape; functions that differentiate inside another function get one of their own.</summary>
    public static Tape Rent()
    {
        Tape tape = t_free ?? new Tape();
        t_free = null;
        return tape;
    }

    public static void Return(Tape tape)
    {
        tape._nodes = 0;
        tape._edges = 0;
        tape.Generation++;
        t_free = tape;
    }

    /// <summary>A node without edges: something to differentiate by.</summary>
    public Real Variable(double value) => Close(value);

    /// <summary>A node of one source.</summary>
    public Real Node(double value, Real a, double partial)
    {
        Edge(a, partial);
        return Close(value);
    }

    /// <summary>Adds an edge to the node that the next <see cref="Close"/> makes. Constants have no node and need no edge.</summary>
    public void Edge(Real source, double partial)
    {
        if (source.Tape is null)
            return;
        if (!ReferenceEquals(source.Tape, this) || source.Generation != Generation)
        {
            throw new InvalidOperationException(
                "A Real of another evaluation was used: a function that is differentiated may use its own argument and constants only.");
        }
        if (_edges == _sources.Length)
        {
            Array.Resize(ref _sources, 2 * _edges);
            Array.Resize(ref _partials, 2 * _edges);
        }
        _sources[_edges] = source.Index;
        _partials[_edges++] = partial;
    }

    /// <summary>Makes the node that has the edges added since the last one.</summary>
    public Real Close(double value)
    {
        if (_nodes == _ends.Length)
            Array.Resize(ref _ends, 2 * _nodes);
        _ends[_nodes] = _edges;
        return new Real(value, this, _nodes++);
    }

    /// <summary>The derivatives of a result by the first nodes, which are the variables.</summary>
    public void Differentiate(Real result, Span<double> gradient)
    {
        gradient.Clear();
        if (result.Tape is null)
            return;
        if (!ReferenceEquals(result.Tape, this) || result.Generation != Generation)
            throw new InvalidOperationException("The function returned a Real of another evaluation.");
        if (_adjoints.Length < _nodes)
            _adjoints = new double[_ends.Length];
        Span<double> adjoints = _adjoints.AsSpan(0, result.Index + 1);
        adjoints.Clear();
        adjoints[result.Index] = 1;
        for (int i = result.Index; i >= gradient.Length; i--)
        {
            double adjoint = adjoints[i];
            // What the result does not depend on stays 0, even where the partial derivative is infinite.
            if (adjoint == 0)
                continue;
            for (int edge = _ends[i - 1]; edge < _ends[i]; edge++)
                adjoints[_sources[edge]] += adjoint * _partials[edge];
        }
        adjoints[..Math.Min(adjoints.Length, gradient.Length)].CopyTo(gradient);
    }
}
