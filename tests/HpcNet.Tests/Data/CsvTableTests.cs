// CSV: labels, places in messages, long inputs that cross the scanner's buffer, memory, and faults beyond the case files.

using System.Globalization;
using System.Text;

namespace HpcNet.Tests.Data;

public sealed class CsvTableTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("a,b,c\n1,two,3\n", 2, 2, "'two'")]
    [InlineData("a,b\n1,2\n\n3,4\n", 3, null, "empty")]
    [InlineData("a,b\n1,2\n3\n", 3, 1, "1 fields")]
    [InlineData("a,b\n1,2\n3,4,5\n", 3, 3, "more than the 2")]
    [InlineData("\"a\nb\",c\n1,2\n3,x\n", 4, 2, "'x'")]
    [InlineData("a,b\r\n1,2\r\n3,\r\n", 3, 2, "empty")]
    [InlineData("a,b\n1,\"2\n", 2, 2, "never closed")]
    [InlineData("a,b\n1, \"2\"\n", 2, 2, "quote")]
    [InlineData("a\n1e999\n", 2, 1, "finite")]
    [InlineData("a\nNaN\n", 2, 1, "'NaN'")]
    [InlineData("a\n\u001b[31m\n", 2, 1, "\\u001b")]
    [InlineData("a,a\n1,2\n", 1, 2, "two columns")]
    public void FaultsNameTheirPlace(string text, int line, int? column, string part)
    {
        var path = _folder.Write("table.csv", text);
        var error = Assert.Throws<DataFormatException>(() => CsvTable.Read(path));
        Assert.Equal((path, line, column), (error.FileName, error.Line, error.Column));
        Assert.StartsWith($"{path}: line {line}", error.Message);
        Assert.Contains(part, error.Message);
    }

    [Theory]
    [InlineData("1\t")]
    [InlineData("١")]
    [InlineData("1\u00a0")]
    [InlineData("1\u2009000")]
    [InlineData("Infinity")]
    [InlineData("-∞")]
    [InlineData("1e")]
    [InlineData("1e+")]
    [InlineData(".")]
    [InlineData("+.e1")]
    [InlineData("1 2")]
    [InlineData("+-1")]
    [InlineData("1d")]
    [InlineData("1f")]
    [InlineData("0b1")]
    [InlineData("1'000")]
    [InlineData("NULL")]
    [InlineData("#N/A")]
    [InlineData("=1+1")]
    [InlineData("1/2")]
    [InlineData("１")]
    public void OnlyPlainNumbersAreNumbers(string text)
    {
        var loads = text.Trim('\t') == "1";
        var read = () => CsvTable.Read(new MemoryStream(Encoding.UTF8.GetBytes($"a\n{text}\n")));
        if (loads) Assert.Equal([1.0], read().Values.ToArray());
        else Assert.Throws<DataFormatException>(read);
    }

    [Fact]
    public void NumbersAreTheNearestDoublesInEveryForm()
    {
        var random = new Random(1);
        var text = new StringBuilder("x\n");
        var expected = new List<double>();
        for (var i = 0; i < 5_000; i++)
        {
            var value = BitConverter.Int64BitsToDouble(random.NextInt64());
            if (!double.IsFinite(value)) continue;
            foreach (var form in new[] { "R", "E17" })
            {
                expected.Add(value);
                text.Append(value.ToString(form, CultureInfo.InvariantCulture)).Append('\n');
            }
        }
        foreach (var whole in new[] { 0L, 7, 999_999_999_999_999, 9_007_199_254_740_993, long.MaxValue })
        {
            expected.Add(double.Parse(whole.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture));
            text.Append(whole.ToString(CultureInfo.InvariantCulture)).Append('\n');
        }
        var table = Read(text.ToString());
        Assert.Equal(expected.Select(BitConverter.DoubleToInt64Bits), table.Values.ToArray().Select(BitConverter.DoubleToInt64Bits));
    }

    [Fact]
    public void FieldsAndLineEndsCrossTheBuffer()
    {
        // Every offset of the buffer's end meets a quote, a line end or the middle of a number sooner or later.
        foreach (var end in new[] { "\n", "\r\n", "\r" })
        {
            for (var shift = 0; shift < 24; shift++)
            {
                var text = new StringBuilder($"a,label{end}");
                var rows = 0;
                while (text.Length < (1 << 16) + 200)
                {
                    text.Append(rows++).Append(",\"").Append('é', rows == 1 ? shift : 1).Append("\"\"").Append(end).Append('"');
                    text.Append(end);
                }
                var table = Read(text.ToString(), new CsvOptions { LabelColumn = "label" });
                Assert.Equal(Enumerable.Range(0, rows).Select(i => (double)i), table.Values.ToArray());
                Assert.Equal($"é\"{end}", table.ClassNames![table.Labels[rows - 1]]);
            }
        }
    }

    [Fact]
    public void LabelsAreNumberedOrdinallyOrAsGiven()
    {
        const string text = "y,x\nb,1\nB,2\na,3\nä,4\nb,5\n";
        var table = Read(text, new CsvOptions { LabelColumn = "y" });
        Assert.Equal(["B", "a", "b", "ä"], table.ClassNames);
        Assert.Equal([2, 0, 1, 3, 2], table.Labels.ToArray());
        Assert.Equal(["x"], table.ColumnNames);
        Assert.Equal("y", table.LabelName);

        table = Read(text, new CsvOptions { LabelIndex = 0, ClassNames = ["ä", "b", "a", "B", "never"] });
        Assert.Equal([1, 3, 2, 0, 1], table.Labels.ToArray());
        Assert.Equal(5, table.ClassCount);
        var error = Assert.Throws<DataFormatException>(() => Read(text, new CsvOptions { LabelIndex = ^2, ClassNames = ["b", "B"] }));
        Assert.Equal((4L, 1L), (error.Line, error.Column));
    }

    [Fact]
    public void IndicesAreWholeNumbersInRange()
    {
        var options = new CsvOptions { LabelIndex = ^1, LabelKind = CsvLabelKind.ClassIndex };
        var table = Read("x,y\n1,0\n1,2.0\n1, 1\n", options);
        Assert.Equal((3, null), (table.ClassCount, table.ClassNames));
        Assert.Equal([0, 2, 1], table.Labels.ToArray());
        foreach (var bad in new[] { "1.5", "-1", "3", "1e10", "x", "", "NaN", "4294967296" })
            Assert.Throws<DataFormatException>(() => Read($"x,y\n1,{bad}\n", options with { ClassCount = 3 }));
    }

    [Fact]
    public void ManyClassesAreNumberedRight()
    {
        var text = new StringBuilder("y,x\n");
        for (var i = 0; i < 40_000; i++) text.Append(CultureInfo.InvariantCulture, $"c{i * 7919 % 20_000:d5},1\n");
        var table = Read(text.ToString(), new CsvOptions { LabelColumn = "y" });
        Assert.Equal(20_000, table.ClassCount);
        for (var i = 0; i < 40_000; i++) Assert.Equal($"c{i * 7919 % 20_000:d5}", table.ClassNames![table.Labels[i]]);
    }

    [Fact]
    public void ColumnOfTooManyLabelsIsRefused()
    {
        var text = new StringBuilder("y,x\n");
        for (var i = 0; i < 70_000; i++) text.Append(i).Append(",1\n");
        Assert.Contains(
            "65536", Assert.Throws<DataFormatException>(() => Read(text.ToString(), new CsvOptions { LabelColumn = "y" })).Message);
    }

    [Theory]
    [InlineData("0,", 1)]
    [InlineData("1", 0)]
    public void DenseTablesStayWithinFourTimesTheFile(string cell, int cut)
    {
        var line = string.Concat(Enumerable.Repeat(cell, cut == 0 ? 1 : 2_000));
        line = line[..^cut] + "\n";
        var text = string.Concat(Enumerable.Repeat(line, 4_000_000 / line.Length));
        var path = _folder.Write("dense.csv", text);
        CsvTable.Read(_folder.Write("warm.csv", "1\n"), new CsvOptions { HasHeader = false });
        var before = GC.GetAllocatedBytesForCurrentThread();
        var table = CsvTable.Read(path, new CsvOptions { HasHeader = false });
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(4_000_000 / line.Length, table.RowCount);
        Assert.True(allocated < 4L * text.Length + 1_000_000, $"allocated {allocated} bytes for {text.Length}");
    }

    [Fact]
    public void EmptyAndHeaderOnlyFiles()
    {
        Assert.Throws<DataFormatException>(() => Read(""));
        Assert.Throws<DataFormatException>(() => Read("\n\n"));
        Assert.Throws<DataFormatException>(() => Read("\uFEFF"));
        var table = Read("a,b\n\n\n");
        Assert.Equal((0, 2), (table.RowCount, table.ColumnCount));
        Assert.True(table.Values.IsEmpty);
    }

    [Fact]
    public void OtherDelimiters()
    {
        Assert.Equal([1.5, 2], Read("a;b\n1.5;2\n", new CsvOptions { Delimiter = ';' }).Values.ToArray());
        Assert.Equal([1.5, 2], Read("a\tb\n1.5\t2\n", new CsvOptions { Delimiter = '\t' }).Values.ToArray());
        foreach (var bad in new[] { '"', '\n', '.', '-', '1', 'e', '\0', 'é' })
            Assert.Throws<ArgumentException>(() => Read("a\n1\n", new CsvOptions { Delimiter = bad }));
    }

    [Fact]
    public void DecimalCommaOnlyWhenAskedFor()
    {
        const string text = "a;b\n1,5;-2\n,25;1e3\n";
        var options = new CsvOptions { Delimiter = ';', DecimalSeparator = ',' };
        Assert.Equal([1.5, -2, 0.25, 1000], Read(text, options).Values.ToArray());
        Assert.Throws<DataFormatException>(() => Read(text, new CsvOptions { Delimiter = ';' }));
        foreach (var bad in new[] { "1.5", "1.000,5", "1,5,5" }) Assert.Throws<DataFormatException>(() => Read($"a\n{bad}\n", options));
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { DecimalSeparator = ',' }));
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { DecimalSeparator = '\'' }));
    }

    [Fact]
    public void OptionsThatContradictAreRefused()
    {
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { LabelColumn = "a", LabelIndex = 0 }));
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { LabelColumn = "a", HasHeader = false }));
        Assert.Throws<ArgumentOutOfRangeException>(() => Read("a\n", new CsvOptions { LabelIndex = 0, ClassCount = 0 }));
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { LabelIndex = 0, ClassNames = ["x", "x"] }));
        Assert.Throws<ArgumentException>(() => Read("a\n", new CsvOptions { LabelIndex = 0, ClassCount = 2 }));
        var indices = new CsvOptions { LabelIndex = 0, LabelKind = CsvLabelKind.ClassIndex, ClassNames = ["x"] };
        Assert.Throws<ArgumentException>(() => Read("a\n", indices));
        Assert.Throws<DataFormatException>(() => Read("a\n", new CsvOptions { LabelColumn = "A" }));
        Assert.Throws<DataFormatException>(() => Read("a\n", new CsvOptions { LabelIndex = 1 }));
        Assert.Throws<DataFormatException>(() => Read("a\n", new CsvOptions { LabelIndex = ^2 }));
    }

    private static CsvTable Read(string text, CsvOptions? options = null) =>
        CsvTable.Read(new OneWayStream(Encoding.UTF8.GetBytes(text)), options, "table.csv");
}
