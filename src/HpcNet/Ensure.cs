// Ensure.cs: the checks that public methods begin with. Each throws one typed exception that names the argument, says what
// came and what was expected, before anything is changed. Checks return the value, so that they fit into initializers.

using System.Runtime.CompilerServices;

namespace HpcNet;

internal static class Ensure
{
    /// <summary>A count of at least 1.</summary>
    public static int Positive(int value, string name, string what = "a count of at least 1") =>
        value >= 1 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected {what}.");

    /// <summary>A number of at least 0.</summary>
    public static int NotNegative(int value, string name) =>
        value >= 0 ? value : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected 0 or more.");

    /// <summary>A finite number of at least 0.</summary>
    public static float FiniteNotNegative(float value, string name) =>
        value >= 0f && float.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected a finite number of 0 or more.");

    /// <summary>A finite number above 0.</summary>
    public static float FinitePositive(float value, string name) =>
        value > 0f && float.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected a finite number above 0.");

    /// <summary>A finite number.</summary>
    public static float Finite(float value, string name) =>
        float.IsFinite(value)
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected a finite number.");

    /// <summary>A number from 0 (inclusive) to 1 (exclusive).</summary>
    public static float BelowOne(float value, string name) =>
        value >= 0f && value < 1f
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected 0 or more and less than 1.");

    /// <summary>A number from 0 to 1.</summary>
    public static float UnitInterval(float value, string name) =>
        value >= 0f && value <= 1f
            ? value
            : throw new ArgumentOutOfRangeException(name, value, $"{name} is {value}; expected 0 to 1.");

    /// <summary>A reference that is there.</summary>
    public static T NotNull<T>(T? value, [CallerArgumentExpression(nameof(value))] string name = "") where T : class =>
        value ?? throw new ArgumentNullException(name);

    /// <summary>How many rows of <paramref name="columns"/> numbers a span holds: a whole number of at least one.</summary>
    public static int WholeRows(int length, int columns, string name, string reader)
    {
        if (length == 0)
            throw new ArgumentException($"{name} is empty; {reader} expects rows of {columns} numbers.", name);
        if (length % columns != 0)
        {
            throw new ArgumentException(
                length < columns
                    ? $"{reader} expects {columns} inputs, got {length}."
                    : $"{reader} expects rows of {columns} numbers, got {length} numbers, which is not a multiple of {columns}.",
                name);
        }
        return length / columns;
    }

    /// <summary>A span of exactly <paramref name="expected"/> elements.</summary>
    public static void Length(int length, long expected, string name, string what)
    {
        if (length != expected)
            throw new ArgumentException($"{name} holds {length} elements; expected {expected} ({what}).", name);
    }

    /// <summary>A span of exactly rows × columns elements; the message is made only when it is needed.</summary>
    public static void Matrix(int length, int rows, int columns, string name)
    {
        if (length != (long)rows * columns)
        {
            throw new ArgumentException(
                $"{name} holds {length} elements; expected {(long)rows * columns} ({rows} x {columns} outputs).", name);
        }
    }

    /// <summary>A product of extents that fits what the library addresses (2^31 - 1 elements of one flat buffer).</summary>
    public static int Elements(long rows, long columns, string name, string what)
    {
        long limit = int.MaxValue - 64;
        if (rows > 0 && columns > limit / rows)
        {
            throw new ArgumentOutOfRangeException(
                name, columns, $"{what} would have {rows} x {columns} elements; at most {limit} are supported.");
        }
        return (int)(rows * columns);
    }

    /// <summary>A number for each of several things, or null: not empty, each finite and at least 0; copied.</summary>
    public static float[]? Weights(IReadOnlyList<float>? values, string name)
    {
        if (values is null)
            return null;
        if (values.Count == 0)
            throw new ArgumentException($"{name} is empty; expected a number for each, or null.", name);
        float[] copy = [.. values];
        for (int i = 0; i < copy.Length; i++)
        {
            if (!(copy[i] >= 0f && float.IsFinite(copy[i])))
                throw new ArgumentOutOfRangeException(name, copy[i], $"{name}[{i}] is {copy[i]}; expected a finite number of 0 or more.");
        }
        return copy;
    }

    /// <summary>Class indices in 0 to classes - 1, or the one that is ignored.</summary>
    public static void Labels(ReadOnlySpan<int> labels, int classes, string name, int? ignored = null)
    {
        for (int i = 0; i < labels.Length; i++)
        {
            if ((uint)labels[i] >= (uint)classes && labels[i] != ignored)
            {
                throw new ArgumentOutOfRangeException(
                    name, labels[i], $"{name}[{i}] is {labels[i]}; expected a class from 0 to {classes - 1}.");
            }
        }
    }
}
