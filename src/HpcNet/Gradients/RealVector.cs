// RealVector.cs: a vector of numbers of a function that is differentiated. Elementwise operations are those of the elements; a sum
// or an inner product is one node of the tape with an edge per element.

namespace HpcNet;

/// <summary>
/// A vector in double precision that remembers how it was computed: the argument of functions of several variables that
/// <see cref="Gradient.Of(Func{RealVector, Real})"/> differentiates. Immutable. Operators work element by element.
/// </summary>
public sealed class RealVector
{
    private readonly Real[] _elements;

    private RealVector(Real[] elements) => _elements = elements;

    /// <summary>A vector of elements, which are copied.</summary>
    /// <param name="elements">One or more.</param>
    /// <exception cref="ArgumentException">There are no elements.</exception>
    public RealVector(params ReadOnlySpan<Real> elements)
        : this(elements.ToArray())
    {
        if (elements.IsEmpty)
            throw new ArgumentException("A vector has at least one element; none were given.", nameof(elements));
    }

    /// <summary>Number of elements.</summary>
    public int Length => _elements.Length;

    /// <summary>An element.</summary>
    /// <param name="index">0 to <see cref="Length"/> − 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such element.</exception>
    public Real this[int index] => (uint)index < (uint)_elements.Length
        ? _elements[index]
        : throw new ArgumentOutOfRangeException(nameof(index), index, $"index is {index}; expected 0 to {_elements.Length - 1}.");

    /// <summary>A vector of constants.</summary>
    /// <exception cref="ArgumentNullException">The array is null.</exception>
    /// <exception cref="ArgumentException">The array is empty.</exception>
    public static implicit operator RealVector(double[] values) => Constant(Ensure.NotNull(values));

    /// <summary>A vector of constants.</summary>
    /// <param name="values">One or more.</param>
    /// <exception cref="ArgumentException">There are no values.</exception>
    public static RealVector Constant(ReadOnlySpan<double> values)
    {
        if (values.IsEmpty)
            throw new ArgumentException("A vector has at least one element; none were given.", nameof(values));
        var elements = new Real[values.Length];
        for (int i = 0; i < elements.Length; i++)
            elements[i] = values[i];
        return new RealVector(elements);
    }

    /// <summary>a + b, element by element.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static RealVector operator +(RealVector a, RealVector b) => Zip(a, b, static (x, y) => x + y);

    /// <summary>a − b, element by element.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static RealVector operator -(RealVector a, RealVector b) => Zip(a, b, static (x, y) => x - y);

    /// <summary>a · b, element by element; <see cref="Dot"/> is the inner product.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static RealVector operator *(RealVector a, RealVector b) => Zip(a, b, static (x, y) => x * y);

    /// <summary>a / b, element by element.</summary>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public static RealVector operator /(RealVector a, RealVector b) => Zip(a, b, static (x, y) => x / y);

    /// <summary>a plus b in every element.</summary>
    public static RealVector operator +(RealVector a, Real b) => Ensure.NotNull(a).Map(x => x + b);

    /// <summary>a minus b in every element.</summary>
    public static RealVector operator -(RealVector a, Real b) => Ensure.NotNull(a).Map(x => x - b);

    /// <summary>Every element times b.</summary>
    public static RealVector operator *(RealVector a, Real b) => Ensure.NotNull(a).Map(x => x * b);

    /// <summary>Every element times a.</summary>
    public static RealVector operator *(Real a, RealVector b) => Ensure.NotNull(b).Map(x => a * x);

    /// <summary>Every element divided by b.</summary>
    public static RealVector operator /(RealVector a, Real b) => Ensure.NotNull(a).Map(x => x / b);

    /// <summary>The negative of every element.</summary>
    public static RealVector operator -(RealVector a) => Ensure.NotNull(a).Map(static x => -x);

    /// <summary>A function of every element, for example <c>v.Map(Real.Tanh)</c>.</summary>
    /// <param name="function">From an element to an element.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    public RealVector Map(Func<Real, Real> function)
    {
        Ensure.NotNull(function);
        return new RealVector(Array.ConvertAll(_elements, x => function(x)));
    }

    /// <summary>The elements from <paramref name="start"/> on.</summary>
    /// <param name="start">The first.</param>
    /// <param name="length">How many, 1 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">The range does not lie in the vector.</exception>
    public RealVector Slice(int start, int length)
    {
        if (start < 0 || length < 1 || start > _elements.Length - length)
        {
            throw new ArgumentOutOfRangeException(
                nameof(start), start, $"{length} elements from {start} on do not lie in a vector of {_elements.Length}.");
        }
        return new RealVector(_elements.AsSpan(start, length).ToArray());
    }

    /// <summary>The sum of the elements.</summary>
    public Real Sum()
    {
        double sum = 0;
        Tape? tape = null;
        foreach (Real x in _elements)
        {
            sum += x.Value;
            tape ??= x.Tape;
        }
        if (tape is null)
            return sum;
        foreach (Real x in _elements)
            tape.Edge(x, 1);
        return tape.Close(sum);
    }

    /// <summary>The mean of the elements.</summary>
    public Real Mean() => Sum() / Length;

    /// <summary>The inner product Σ aᵢ bᵢ.</summary>
    /// <param name="other">A vector of the same length.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public Real Dot(RealVector other)
    {
        Real[] others = SameLength(this, Ensure.NotNull(other))._elements;
        double sum = 0;
        Tape? tape = null;
        for (int i = 0; i < _elements.Length; i++)
        {
            sum += _elements[i].Value * others[i].Value;
            tape ??= _elements[i].Tape ?? others[i].Tape;
        }
        if (tape is null)
            return sum;
        for (int i = 0; i < _elements.Length; i++)
        {
            tape.Edge(_elements[i], others[i].Value);
            tape.Edge(others[i], _elements[i].Value);
        }
        return tape.Close(sum);
    }

    /// <summary>The Euclidean length √Σ aᵢ²; its derivative at 0, where there is none, is 0.</summary>
    public Real Norm()
    {
        double scale = 0;
        Tape? tape = null;
        foreach (Real x in _elements)
        {
            scale = Math.Max(scale, Math.Abs(x.Value));
            tape ??= x.Tape;
        }
        // Scaled by the largest element, so that squares neither overflow nor vanish.
        double squares = 0;
        foreach (Real x in _elements)
            squares += scale > 0 ? x.Value / scale * (x.Value / scale) : 0;
        double norm = scale * Math.Sqrt(squares);
        if (tape is null)
            return norm;
        foreach (Real x in _elements)
            tape.Edge(x, norm == 0 ? 0 : x.Value / norm);
        return tape.Close(norm);
    }

    /// <summary>The numbers, as a new array.</summary>
    public double[] ToArray() => Array.ConvertAll(_elements, x => x.Value);

    /// <summary>The numbers in brackets.</summary>
    public override string ToString() => $"[{string.Join(", ", _elements.Select(x => x.ToString()))}]";

    private static RealVector Zip(RealVector a, RealVector b, Func<Real, Real, Real> function)
    {
        SameLength(Ensure.NotNull(a), Ensure.NotNull(b));
        var result = new Real[a.Length];
        for (int i = 0; i < result.Length; i++)
            result[i] = function(a._elements[i], b._elements[i]);
        return new RealVector(result);
    }

    private static RealVector SameLength(RealVector a, RealVector b) => a.Length == b.Length
        ? b
        : throw new ArgumentException($"A vector of {a.Length} elements met one of {b.Length}; expected the same length.", nameof(b));
}
