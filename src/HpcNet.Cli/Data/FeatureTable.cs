// The rows that `predict` answers: numbers only, with or without a header.

using System.Globalization;

namespace HpcNet.Cli.Data;

/// <summary>Rows of features in single precision.</summary>
/// <param name="Values">[rows x columns], row-major.</param>
/// <param name="Rows">Number of rows, 1 or more.</param>
/// <param name="Columns">Number of columns.</param>
internal sealed record FeatureTable(float[] Values, int Rows, int Columns)
{
    /// <summary>Reads a CSV file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="leftOut">Columns that are no features.</param>
    public static FeatureTable Read(string path, string[] leftOut)
    {
        if (Directory.Exists(path))
            throw CliException.Failed($"--input '{path}' is a folder; expected a CSV file.");
        if (!File.Exists(path))
            throw CliException.Failed($"--input: there is no file '{path}'.");
        if (leftOut.Length > 1)
        {
            Dataset numbers = Dataset.FromCsv(path, leftOut);
            return new FeatureTable(numbers.Features.ToArray(), numbers.Count, numbers.FeatureCount);
        }
        // One column may hold texts.
        bool header = leftOut.Length > 0 || HasHeader(path);
        CsvTable table = CsvTable.Read(path, new CsvOptions { HasHeader = header, LabelColumn = leftOut.FirstOrDefault() });
        if (table.RowCount == 0)
            throw CliException.Failed($"'{path}' has no rows.");

        var values = new float[table.Values.Length];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)table.Values[i];
            if (!float.IsFinite(values[i]))
            {
                var (row, column) = (i / table.ColumnCount + 1, i % table.ColumnCount + 1);
                throw CliException.Failed(FormattableString.Invariant(
                    $"'{path}' has {table.Values[i]} in row {row}, column {column}: beyond single precision."));
            }
        }
        return new FeatureTable(values, table.RowCount, table.ColumnCount);
    }

    // A first line of numbers alone is data. What is wrong with a line in other ways, the reader of the table says.
    private static bool HasHeader(string path)
    {
        using var reader = new StreamReader(path);
        var start = new char[4096];
        int length = reader.ReadBlock(start);
        string first = new string(start, 0, length).Split('\n', '\r')[0];
        return first.Split(',').Any(field =>
            !double.TryParse(field.Trim().Trim('"'), NumberStyles.Float, CultureInfo.InvariantCulture, out double value)
            || !double.IsFinite(value));
    }
}
