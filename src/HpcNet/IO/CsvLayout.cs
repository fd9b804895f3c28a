// What the first record of a CSV file says: how many fields a row has, their names, and which one holds the labels. And a
// look at one column to find out what it holds.

namespace HpcNet;

/// <summary>What all values of a column are.</summary>
internal enum CsvColumnContent
{
    WholeNumbers,
    Numbers,
    Text,
}

internal sealed class CsvLayout
{
    private CsvLayout(int width, string[]? names, int labelColumn)
    {
        Width = width;
        Names = names;
        LabelColumn = labelColumn;
    }

    public int Width { get; }

    /// <summary>Names of all columns; null without header.</summary>
    public string[]? Names { get; }

    /// <summary>Position of the label column, -1 without one.</summary>
    public int LabelColumn { get; }

    public static CsvLayout Read(ByteSource source, CsvOptions options, int mostColumns)
    {
        var scanner = new CsvScanner(source, options);
        if (!scanner.NextRecord()) throw new DataFormatException("the file is empty.", source.Name);
        var names = options.HasHeader ? new List<string>() : null;
        do
        {
            scanner.NextField();
            if (scanner.Column > mostColumns) throw scanner.Bad($"more than {mostColumns} columns.");
            names?.Add(scanner.Text());
        }
        while (!scanner.EndOfRecord);

        if (names is not null)
        {
            var seen = new HashSet<string>(names.Count, StringComparer.Ordinal);
            for (var i = 0; i < names.Count; i++)
                if (!seen.Add(names[i]))
                    throw new DataFormatException($"two columns are named {Excerpt.Of(names[i])}.", source.Name, line: 1, column: i + 1);
        }
        return new CsvLayout(scanner.Column, names?.ToArray(), Find(source, options, names, scanner.Column));
    }

    /// <summary>Names of the columns without the label column.</summary>
    public string[]? NumberNames() => LabelColumn < 0 ? Names : Names?.Where((_, i) => i != LabelColumn).ToArray();

    /// <summary>Looks at the label column of every row.</summary>
    public CsvColumnContent Look(ByteSource source, CsvOptions options)
    {
        var content = CsvColumnContent.WholeNumbers;
        var scanner = new CsvScanner(source, options);
        if (options.HasHeader) CsvTable.SkipRecord(scanner);
        while (scanner.NextRecord())
        {
            do
            {
                scanner.NextField();
                if (scanner.Column - 1 != LabelColumn) continue;
                if (!scanner.TryNumber(out var value)) return CsvColumnContent.Text;
                if (value != Math.Floor(value) || Math.Abs(value) > int.MaxValue) content = CsvColumnContent.Numbers;
            }
            while (!scanner.EndOfRecord);
        }
        return content;
    }

    private static int Find(ByteSource source, CsvOptions options, List<string>? names, int width)
    {
        if (options.LabelColumn is { } name)
        {
            var found = names!.IndexOf(name);
            return found >= 0 ? found : throw new DataFormatException(
                $"there is no column {Excerpt.Of(name)} among the {width}.", source.Name, line: 1);
        }
        if (options.LabelIndex is not { } index) return -1;
        var position = index.GetOffset(width);
        return position >= 0 && position < width
            ? position
            : throw new DataFormatException($"there is no column {index} among the {width}.", source.Name, line: 1);
    }
}
