// A table for a terminal: the first column to the left, the others to the right, two blanks between them.

using System.Text;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Output;

internal sealed class TextTable(params string[] header)
{
    private const int LongestName = 40;

    private readonly List<string[]> _rows = [];

    /// <summary>Adds a row; names come from files, so that they are made printable.</summary>
    public void Add(params string[] cells) => _rows.Add([Printable.Cut(cells[0], LongestName), .. cells[1..]]);

    /// <summary>The table, each line with its end.</summary>
    /// <param name="header">Whether the names of the columns stand above it.</param>
    /// <param name="apart">How many of the last rows are about all the others, and stand apart.</param>
    public string Format(bool header = true, int apart = 0)
    {
        string[][] rows = header ? [Header, .. _rows] : [.. _rows];
        int[] widths = [.. Header.Select((_, column) => rows.Max(r => r[column].Length))];
        var text = new StringBuilder();
        for (int row = 0; row < rows.Length; row++)
        {
            if (apart > 0 && row == rows.Length - apart)
                text.Append('\n');
            text.Append(rows[row][0].PadRight(widths[0]));
            for (int column = 1; column < widths.Length; column++)
                text.Append("  ").Append(rows[row][column].PadLeft(widths[column]));
            text.Append('\n');
        }
        return text.ToString();
    }

    private string[] Header => header;
}
