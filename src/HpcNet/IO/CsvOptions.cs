// How a CSV file is to be read.

namespace HpcNet;

/// <summary>What the values of a label column mean.</summary>
public enum CsvLabelKind
{
    /// <summary>Each different text is a class; classes are numbered in the ordinal order of their texts.</summary>
    ClassName,

    /// <summary>The values are class indices: whole numbers from 0.</summary>
    ClassIndex,
}

/// <summary>How a CSV file is to be read. The file is UTF-8. The culture of the process plays no part.</summary>
public sealed record CsvOptions
{
    /// <summary>Whether the first record holds the names of the columns. Default: true.</summary>
    public bool HasHeader { get; init; } = true;

    /// <summary>What separates fields; an ASCII character other than the quote, line ends and characters of numbers. Default: the
    /// comma.</summary>
    public char Delimiter { get; init; } = ',';

    /// <summary>What separates the whole part of a number from its fraction: the point (default) or the comma.</summary>
    public char DecimalSeparator { get; init; } = '.';

    /// <summary>Name of the column that holds labels, or null.</summary>
    public string? LabelColumn { get; init; }

    /// <summary>Position of the column that holds labels (<c>^1</c>: the last), or null. Not together with <see
    /// cref="LabelColumn"/>.</summary>
    public Index? LabelIndex { get; init; }

    /// <summary>What the labels mean. Default: <see cref="CsvLabelKind.ClassName"/>.</summary>
    public CsvLabelKind LabelKind { get; init; }

    /// <summary>Number of classes for <see cref="CsvLabelKind.ClassIndex"/>: labels are 0 to this minus 1. Null: the largest label plus
    /// 1.</summary>
    public int? ClassCount { get; init; }

    /// <summary>
    /// The classes for <see cref="CsvLabelKind.ClassName"/>, in the order of their numbers; any other label is an error. Null: those
    /// that occur. Give them when training and test data lie in different files.
    /// </summary>
    public IReadOnlyList<string>? ClassNames { get; init; }

    internal void Check()
    {
        if (Delimiter is < (char)9 or > (char)126 or '"' or '\n' or '\r' or '.' or '+' or '-' || char.IsAsciiLetterOrDigit(Delimiter))
            throw new ArgumentException($"{Excerpt.Of(Delimiter.ToString())} cannot separate fields.", nameof(Delimiter));
        if (DecimalSeparator is not ('.' or ',') || DecimalSeparator == Delimiter)
        {
            throw new ArgumentException(
                $"{Excerpt.Of(DecimalSeparator.ToString())} cannot be the decimal separator: no point or comma, or it separates fields.",
                nameof(DecimalSeparator));
        }
        if (LabelColumn is not null && LabelIndex is not null)
            throw new ArgumentException("The label column is given by its name or by its position, not by both.", nameof(LabelIndex));
        if (LabelColumn is not null && !HasHeader)
            throw new ArgumentException("A label column can only be named where the file has a header.", nameof(LabelColumn));
        if (ClassCount is < 1 or > CsvTable.MostClasses)
            throw new ArgumentOutOfRangeException(
                nameof(ClassCount), ClassCount, $"The number of classes lies from 1 to {CsvTable.MostClasses}.");
        if (ClassCount is not null && LabelKind != CsvLabelKind.ClassIndex)
            throw new ArgumentException("A number of classes belongs to labels that are class indices.", nameof(ClassCount));
        if (ClassNames is not null && LabelKind != CsvLabelKind.ClassName)
            throw new ArgumentException("Class names belong to labels that are class names.", nameof(ClassNames));
        if (ClassNames is not null && (ClassNames.Count == 0 || ClassNames.Distinct(StringComparer.Ordinal).Count() != ClassNames.Count))
            throw new ArgumentException("Class names must be given at least once and must differ.", nameof(ClassNames));
    }
}
