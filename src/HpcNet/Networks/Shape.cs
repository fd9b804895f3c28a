// Shape.cs: what one row of a value means: how many numbers, and how they are arranged. On the device every value is a matrix
// [rows × elements]; the arrangement only matters to layers that work along one of its dimensions.

namespace HpcNet;

/// <summary>
/// The arrangement of one row: <c>[features]</c>, <c>[steps, features]</c> for a sequence, <c>[channels, length]</c> and so on, the
/// last dimension varying fastest. The batch is not part of it.
/// </summary>
public sealed class Shape : IEquatable<Shape>
{
    private readonly int[] _dimensions;

    /// <summary>Makes a shape.</summary>
    /// <param name="dimensions">At least one, each at least 1, their product at most <see cref="int.MaxValue"/>.</param>
    /// <exception cref="ArgumentException">There is no dimension.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A dimension is less than 1, or the product is too large.</exception>
    public Shape(params ReadOnlySpan<int> dimensions)
    {
        if (dimensions.IsEmpty)
            throw new ArgumentException("dimensions is empty; expected at least one.", nameof(dimensions));
        long elements = 1;
        foreach (int dimension in dimensions)
        {
            Ensure.Positive(dimension, nameof(dimensions));
            elements *= dimension;
            if (elements > int.MaxValue)
            {
                throw new ArgumentOutOfRangeException(
                    nameof(dimensions), $"The shape [{string.Join(", ", dimensions.ToArray())}] has more than {int.MaxValue} elements.");
            }
        }
        _dimensions = dimensions.ToArray();
        Elements = (int)elements;
    }

    /// <summary>Numbers in a row: the product of the dimensions.</summary>
    public int Elements { get; }

    /// <summary>How many dimensions.</summary>
    public int Rank => _dimensions.Length;

    /// <summary>One dimension, counted from the front; <c>[^1]</c> is the last.</summary>
    /// <param name="index">0 ≤ index &lt; <see cref="Rank"/>, or from the end.</param>
    public int this[Index index] => _dimensions[index];

    /// <summary>All dimensions.</summary>
    public ReadOnlySpan<int> Dimensions => _dimensions;

    /// <summary>A row of so many numbers, without further arrangement.</summary>
    public static implicit operator Shape(int features) => new(features);

    /// <inheritdoc/>
    public bool Equals(Shape? other) => other is not null && _dimensions.AsSpan().SequenceEqual(other._dimensions);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Shape);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        foreach (int dimension in _dimensions)
            hash.Add(dimension);
        return hash.ToHashCode();
    }

    /// <summary>For example <c>64</c>, or <c>[12, 64]</c>.</summary>
    public override string ToString() => Rank == 1 ? $"{Elements}" : $"[{string.Join(", ", _dimensions)}]";
}
