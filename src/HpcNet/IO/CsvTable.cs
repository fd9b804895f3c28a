// A CSV file of numbers, with at most one column of labels. Strict: every fault is an error with line and column, and
// nothing is guessed (missing values, decimal commas, thousands separators, words for NaN). Line ends are counted first, so
// that the table is allocated once and stays within four times the file.

using System.Text;

namespace HpcNet;

/// <summary>The content of a CSV file: a table of doubles [rows x columns], row-major, and labels where a column holds them.
/// Immutable.</summary>
/// <remarks>
/// UTF-8 with or without a byte order mark; line ends LF, CRLF or CR; fields in quotes where they hold the delimiter, line ends or
/// (doubled)
/// quotes; blanks around unquoted fields are dropped. Empty lines at the end are ignored; elsewhere they are an error, as are missing
/// values, values beyond double's range, repeated column names, more than 100,000 columns and fields of more than 1 MiB.
/// </remarks>
public sealed class CsvTable
{
    internal const int MostClasses = 65_536;
    private const int MostColumns = 100_000;

    private readonly double[] _values;
    private readonly int[] _labels;

    private CsvTable(
        string fileName, int rowCount, string[]? columnNames, int columnCount, double[] values, int[] labels, string? labelName,
            int classCount,
        IReadOnlyList<string>? classNames)
    {
        FileName = fileName;
        RowCount = rowCount;
        ColumnNames = columnNames;
        ColumnCount = columnCount;
        _values = values;
        _labels = labels;
        LabelName = labelName;
        ClassCount = classCount;
        ClassNames = classNames;
    }

    /// <summary>The path, or the name given to the stream.</summary>
    public string FileName { get; }

    /// <summary>Number of rows, the header not counted; may be 0.</summary>
    public int RowCount { get; }

    /// <summary>Number of numeric columns; the label column is not counted.</summary>
    public int ColumnCount { get; }

    /// <summary>Names of the numeric columns; null for a file without header.</summary>
    public IReadOnlyList<string>? ColumnNames { get; }

    /// <summary>The numbers [<see cref="RowCount"/> x <see cref="ColumnCount"/>], row-major, all finite.</summary>
    public ReadOnlySpan<double> Values => _values.AsSpan(0, RowCount * ColumnCount);

    /// <summary>Whether a label column was read.</summary>
    public bool HasLabels => ClassCount >= 0;

    /// <summary>The class of each row [<see cref="RowCount"/>], from 0; empty without a label column.</summary>
    public ReadOnlySpan<int> Labels => HasLabels ? _labels.AsSpan(0, RowCount) : default;

    /// <summary>Name of the label column; null without one, or without header.</summary>
    public string? LabelName { get; }

    /// <summary>Number of classes; -1 without a label column.</summary>
    public int ClassCount { get; }

    /// <summary>Names of the classes; null where labels are indices.</summary>
    public IReadOnlyList<string>? ClassNames { get; }

    /// <summary>One row of numbers [<see cref="ColumnCount"/>].</summary>
    /// <param name="index">0 to <see cref="RowCount"/> - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such row.</exception>
    public ReadOnlySpan<double> Row(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, RowCount);
        return _values.AsSpan(index * ColumnCount, ColumnCount);
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="options">How to read it; null: with a header, commas and no labels.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The content is not such a table; line and column are named.</exception>
    /// <exception cref="ArgumentException">The options contradict each other.</exception>
    public static CsvTable Read(string path, CsvOptions? options = null)
    {
        options ??= new CsvOptions();
        options.Check();
        using var source = ByteSource.Open(path);
        return Read(source, options);
    }

    /// <summary>Reads the rest of a stream (2 GB at most); see <see cref="Read(string, CsvOptions?)"/>. The stream stays open.</summary>
    /// <param name="stream">A readable stream, at the start of the content.</param>
    /// <param name="options">How to read it; null: with a header, commas and no labels.</param>
    /// <param name="name">A name for messages.</param>
    /// <exception cref="DataFormatException">The content is not such a table; line and column are named.</exception>
    /// <exception cref="ArgumentException">The options contradict each other.</exception>
    public static CsvTable Read(Stream stream, CsvOptions? options = null, string? name = null)
    {
        options ??= new CsvOptions();
        options.Check();
        using var source = ByteSource.From(stream, name);
        return Read(source, options);
    }

    internal static CsvTable Read(ByteSource source, CsvOptions options)
    {
        var layout = CsvLayout.Read(source, options, MostColumns);
        var width = layout.Width;
        var label = layout.LabelColumn;
        var numbers = label >= 0 ? width - 1 : width;

        // A field needs two bytes at least, with its delimiter: no file claims more than it can fill.
        var mostRows = Math.Min(CountLineEnds(source) + 1, (source.Length + 1) / (2 * width) + 1);
        var values = new double[ArrayLength(source, mostRows * numbers)];
        var labels = label >= 0 ? new int[ArrayLength(source, mostRows)] : [];
        var classes = label >= 0 && options.LabelKind == CsvLabelKind.ClassName ? new ClassTable(options.ClassNames) : null;

        var scanner = new CsvScanner(source, options);
        if (options.HasHeader) SkipRecord(scanner);
        var rows = 0;
        var filled = 0;
        var largest = -1;
        while (scanner.NextRecord())
        {
            do
            {
                scanner.NextField();
                if (scanner.Column > width) throw TooMany(scanner, width);
                if (scanner.Column - 1 == label)
                {
                    labels[rows] = classes is not null ? classes.Find(scanner) : ReadIndex(scanner, options.ClassCount);
                    largest = Math.Max(largest, labels[rows]);
                }
                else
                {
                    values[filled++] = ReadNumber(scanner, layout);
                }
            }
            while (!scanner.EndOfRecord);
            if (scanner.Column < width) throw TooFew(scanner, width);
            rows++;
        }

        IReadOnlyList<string>? classNames = null;
        var classCount = label < 0 ? -1 : options.ClassCount ?? largest + 1;
        if (classes is not null)
        {
            classNames = classes.Number(labels.AsSpan(0, rows));
            classCount = classNames.Count;
        }
        return new CsvTable(
            source.Name, rows, layout.NumberNames(), numbers, values, labels, label >= 0 ? layout.Names?[label] : null, classCount,
            classNames);
    }

    internal static double ReadNumber(CsvScanner scanner, CsvLayout layout)
    {
        if (scanner.TryNumber(out var value)) return value;
        var name = layout.Names is { } names ? $" (column {Excerpt.Of(names[scanner.Column - 1])})" : "";
        throw scanner.Bad(scanner.Field.IsEmpty
            ? $"a number was expected, the field is empty{name}."
            : $"a finite number was expected, got {Excerpt.Of(scanner.Field)}{name}.");
    }

    internal static DataFormatException TooMany(CsvScanner scanner, int width) =>
        scanner.Bad($"the row has more than the {width} fields of the first line.");

    internal static DataFormatException TooFew(CsvScanner scanner, int width) =>
        scanner.Bad($"the row has {scanner.Column} fields, the first line {width}.");

    internal static void SkipRecord(CsvScanner scanner)
    {
        if (!scanner.NextRecord()) return;
        do scanner.NextField();
        while (!scanner.EndOfRecord);
    }

    private static int ReadIndex(CsvScanner scanner, int? classCount)
    {
        var most = (classCount ?? MostClasses) - 1;
        if (!scanner.TryNumber(out var value) || value < 0 || value > most || value != Math.Floor(value))
            throw scanner.Bad($"a class index from 0 to {most} was expected, got {Excerpt.Of(scanner.Field)}.");
        return (int)value;
    }

    // CRLF counts once; line ends inside quotes count too, which only makes the bound a little larger.
    private static long CountLineEnds(ByteSource source)
    {
        var buffer = new byte[1 << 16];
        var count = 0L;
        var afterReturn = false;
        for (var offset = 0L; ;)
        {
            var read = source.Read(offset, buffer);
            if (read == 0) return count;
            offset += read;
            for (var rest = buffer.AsSpan(0, read); ;)
            {
                var end = rest.IndexOfAny((byte)'\n', (byte)'\r');
                if (end < 0)
                {
                    afterReturn &= rest.IsEmpty;
                    break;
                }
                if (rest[end] == (byte)'\r' || end > 0 || !afterReturn) count++;
                afterReturn = rest[end] == (byte)'\r';
                rest = rest[(end + 1)..];
            }
        }
    }

    private static int ArrayLength(ByteSource source, long length) => length <= Array.MaxLength
        ? (int)length
        : throw new DataFormatException($"the table has {length} values, an array holds {Array.MaxLength}.", source.Name);

    // The different labels in the order they appear. Keyed by bytes: a string for every row would outweigh the file.
    private sealed class ClassTable
    {
        private readonly List<byte[]> _texts = [];
        private readonly List<int> _next = [];
        private readonly IReadOnlyList<string>? _given;
        private int[] _buckets = new int[256];

        public ClassTable(IReadOnlyList<string>? given)
        {
            _given = given;
            if (given is null) return;
            foreach (var name in given) Add(Encoding.UTF8.GetBytes(name));
        }

        public int Find(CsvScanner scanner)
        {
            var text = scanner.Field;
            if (text.IsEmpty) throw scanner.Bad("a label was expected, the field is empty.");
            for (var i = Bucket(text); i != 0; i = _next[i - 1])
                if (text.SequenceEqual(_texts[i - 1])) return i - 1;

            // Only a new label is looked at more closely: the others are equal to one that was.
            _ = scanner.Text();
            if (_given is not null) throw scanner.Bad($"{Excerpt.Of(text)} is none of the {_given.Count} classes.");
            if (_texts.Count == MostClasses)
                throw scanner.Bad($"more than {MostClasses} different labels: this does not look like a column of classes.");
            return Add(text.ToArray());
        }

        /// <summary>Turns numbers by appearance into numbers by name; gives the names.</summary>
        public IReadOnlyList<string> Number(Span<int> labels)
        {
            if (_given is not null) return _given.ToArray();
            var names = _texts.Select(Encoding.UTF8.GetString).ToArray();
            var order = Enumerable.Range(0, names.Length).ToArray();
            Array.Sort(order, (a, b) => string.CompareOrdinal(names[a], names[b]));
            var rank = new int[names.Length];
            for (var i = 0; i < order.Length; i++) rank[order[i]] = i;
            foreach (ref var label in labels) label = rank[label];
            return order.Select(i => names[i]).ToArray();
        }

        private ref int Bucket(ReadOnlySpan<byte> text)
        {
            var hash = new HashCode(); // differs from process to process, so that no file can be made to collide
            hash.AddBytes(text);
            return ref _buckets[hash.ToHashCode() & (_buckets.Length - 1)];
        }

        private int Add(byte[] text)
        {
            if (_texts.Count == _buckets.Length)
            {
                _buckets = new int[4 * _buckets.Length];
                for (var i = 0; i < _texts.Count; i++)
                {
                    ref var old = ref Bucket(_texts[i]);
                    _next[i] = old;
                    old = i + 1;
                }
            }
            ref var bucket = ref Bucket(text);
            _texts.Add(text);
            _next.Add(bucket);
            bucket = _texts.Count;
            return bucket - 1;
        }
    }
}
