// Every hostile or odd file of the manifest, one row each: loaded with the expected content, or refused with the one typed
// exception, in bounded time and memory, and the same way in every culture and every time.

using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace HpcNet.Tests.Data;

[Trait("Category", "Cases")]
public class MalformedCaseTests
{
    // One second is allowed; a loaded machine gets more before the test says that something hangs.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);

    public static TheoryData<string, string> Rows()
    {
        var rows = new TheoryData<string, string>();
        foreach (var (file, testCase) in CaseFolder.Cases)
            if (CaseFolder.KnownFormats.Contains(CaseFolder.Format(testCase))) rows.Add(file, testCase.GetProperty("expect").GetString()!);
        return rows;
    }

    [MalformedTheory]
    [MemberData(nameof(Rows))]
    public void LoadsOrRefuses(string file, string expect)
    {
        var testCase = CaseFolder.Cases[file];
        var path = Path.Combine(CaseFolder.Malformed, file);
        Load(testCase, path); // compiles everything once, so that the measured run shows the loader alone

        var clock = Stopwatch.StartNew();
        var before = GC.GetAllocatedBytesForCurrentThread();
        var (content, error) = Load(testCase, path);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(clock.Elapsed < Longest, $"took {clock.Elapsed}");
        Assert.True(allocated < 4 * new FileInfo(path).Length + (16 << 20), $"allocated {allocated} bytes");

        switch (expect)
        {
            case "must_load":
                Assert.Null(error);
                if (testCase.TryGetProperty("expected", out var expected)) Compare(testCase, expected, path);
                break;
            case "must_reject":
                Assert.True(error is not null, $"was loaded: {content}");
                break;
            default:
                Assert.Equal("either", expect);
                Assert.Equal((content, error?.Message), (Load(testCase, path).Content, Load(testCase, path).Error?.Message));
                break;
        }
        if (error is not null)
        {
            Assert.Contains(Path.GetFileName(path), error.Message);
            Assert.True(error.Message.Length < 600 + path.Length, error.Message);
            Assert.DoesNotContain(error.Message, char.IsControl);
        }
    }

    [MalformedTheory]
    [InlineData("de-DE", ",", ".")]
    [InlineData("tr-TR", ",", ".")]
    [InlineData("fr-FR", ",", "\u00A0")]
    [InlineData("sv-SE", ",", " ")]
    public void CultureChangesNothing(string name, string point, string group)
    {
        var inherited = CultureInfo.CurrentCulture;
        try
        {
            foreach (var (file, testCase) in CaseFolder.Cases.Where(c => CaseFolder.KnownFormats.Contains(CaseFolder.Format(c.Value))))
            {
                var path = Path.Combine(CaseFolder.Malformed, file);
                CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
                var expected = Load(testCase, path);
                CultureInfo.CurrentCulture = Cultures.Make(name, point, group);
                var (content, error) = Load(testCase, path);
                Assert.Equal((file, expected.Content, expected.Error?.Message), (file, content, error?.Message));
            }
        }
        finally
        {
            CultureInfo.CurrentCulture = inherited;
        }
    }

    [MalformedTheory]
    [InlineData("safetensors")]
    [InlineData("idx")]
    [InlineData("csv")]
    public void ValidFilesWithDamageLoadOrAreRefused(string format)
    {
        var random = new Random(20);
        var small = CaseFolder.Cases.Where(c => CaseFolder.Format(c.Value) == format && c.Key.Contains("/ok_"))
            .Where(c => new FileInfo(Path.Combine(CaseFolder.Malformed, c.Key)).Length < 1_000);
        foreach (var (file, testCase) in small)
        {
            var bytes = File.ReadAllBytes(Path.Combine(CaseFolder.Malformed, file));
            for (var i = 0; i < bytes.Length; i++)
            {
                foreach (var damage in new[] { 0, 1, 0x7F, 0xFF, '"', ',', '0', '\\', bytes[i] ^ 0x80, bytes[i] + 1, random.Next(256) })
                {
                    var damaged = (byte[])bytes.Clone();
                    damaged[i] = (byte)damage;
                    Load(testCase, new MemoryStream(damaged));
                }
                Load(testCase, new MemoryStream(bytes[..i]));
                Load(testCase, new MemoryStream([.. bytes[..i], .. bytes[(i + 1)..]]));
                Load(testCase, new MemoryStream([.. bytes[..i], .. bytes]));
            }
        }
    }

    [EveryFormatFact]
    public void EveryFormatHasALoader() => Assert.All(
        CaseFolder.Cases.Values, c => Assert.Contains(CaseFolder.Format(c), CaseFolder.KnownFormats));

    [MalformedTheory]
    [InlineData("safetensors")]
    [InlineData("idx")]
    [InlineData("csv")]
    public void EveryFileIsInTheManifest(string format)
    {
        var folder = Path.Combine(CaseFolder.Malformed, format);
        var files = Directory.Exists(folder) ? Directory.GetFiles(folder).Select(file => $"{format}/{Path.GetFileName(file)}") : [];
        Assert.Equal(
            CaseFolder.Cases.Where(c => CaseFolder.Format(c.Value) == format).Select(c => c.Key).Order(StringComparer.Ordinal),
            files.Order(StringComparer.Ordinal));
    }

    // Reads everything a file offers; a text of the content, or the error. Any other exception fails the test.
    private static (string? Content, DataFormatException? Error) Load(JsonElement testCase, string path) => Load(testCase, path, null);

    private static (string? Content, DataFormatException? Error) Load(JsonElement testCase, Stream stream) =>
        Load(testCase, "damaged", stream);

    private static (string? Content, DataFormatException? Error) Load(JsonElement testCase, string path, Stream? stream)
    {
        try
        {
            switch (CaseFolder.Format(testCase))
            {
                case "safetensors":
                    using (var file = stream is null ? SafetensorsFile.Open(path) : SafetensorsFile.Read(stream, path))
                    {
                        foreach (var tensor in file.Tensors) _ = tensor.ReadBytes();
                        return ($"{file.Tensors.Count} tensors, {file.Metadata.Count} texts", null);
                    }
                case "idx":
                    return ((stream is null ? IdxFile.Read(path) : IdxFile.Read(stream, path)).ToString(), null);
                default:
                    var options = Options(testCase);
                    var table = stream is null ? CsvTable.Read(path, options) : CsvTable.Read(stream, options, path);
                    var first = table.Values.IsEmpty ? 0 : BitConverter.DoubleToUInt64Bits(table.Values[0]);
                    return ($"{table.RowCount} rows, {table.ColumnCount} columns, labels: {table.HasLabels}, first value {first:x}", null);
            }
        }
        catch (DataFormatException e)
        {
            return (null, e);
        }
    }

    private static CsvOptions Options(JsonElement testCase)
    {
        var result = new CsvOptions();
        if (!testCase.TryGetProperty("options", out var options)) return result;
        foreach (var option in options.EnumerateObject())
        {
            result = option.Name switch
            {
                "header" => result with { HasHeader = option.Value.GetBoolean() },
                "label" => result with { LabelColumn = option.Value.GetString() },
                "classes" => result with { ClassCount = option.Value.GetInt32() },
                "label_kind" => result with
                {
                    LabelKind = option.Value.GetString() switch
                    {
                        "class_index" => CsvLabelKind.ClassIndex,
                        "class_name" => CsvLabelKind.ClassName,
                        var other => throw new NotSupportedException($"label_kind {other}"),
                    },
                },
                "decimal" => result with { DecimalSeparator = option.Value.GetString()!.Single() },
                "delimiter" => result with { Delimiter = option.Value.GetString()!.Single() },
                _ => throw new NotSupportedException($"option {option.Name}"),
            };
        }
        return result;
    }

    private static void Compare(JsonElement testCase, JsonElement expected, string path)
    {
        switch (CaseFolder.Format(testCase))
        {
            case "safetensors":
                using (var file = SafetensorsFile.Open(path)) CompareTensors(expected, file);
                break;
            case "idx":
                CompareIdx(expected, IdxFile.Read(path));
                break;
            default:
                CompareTable(expected, CsvTable.Read(path, Options(testCase)));
                break;
        }
    }

    private static void CompareTensors(JsonElement expected, SafetensorsFile file)
    {
        if (expected.TryGetProperty("count", out var count) && count.ValueKind == JsonValueKind.Number)
        {
            Assert.Equal(count.GetInt32(), file.Tensors.Count);
            return;
        }
        Assert.Equal(
            expected.EnumerateObject().Select(t => t.Name).Order(StringComparer.Ordinal),
            file.Tensors.Select(t => t.Name).Order(StringComparer.Ordinal));
        foreach (var entry in expected.EnumerateObject())
        {
            var tensor = file[entry.Name];
            Assert.Equal(entry.Value.GetProperty("dtype").GetString(), tensor.DType.ToString());
            Assert.Equal(entry.Value.GetProperty("shape").EnumerateArray().Select(d => d.GetInt64()), tensor.Shape.ToArray());
            if (entry.Value.TryGetProperty("bits", out var bits))
                Assert.Equal(
                    bits.EnumerateArray().Select(b => b.GetString()),
                    tensor.ReadSingles().Select(v => $"{BitConverter.SingleToUInt32Bits(v):x8}"));
            if (!entry.Value.TryGetProperty("values", out var values)) continue;
            if (tensor.DType is SafetensorsDType.F64 or SafetensorsDType.F32 or SafetensorsDType.F16 or SafetensorsDType.BF16)
            {
                var doubles = new double[tensor.Count];
                tensor.ReadDoubles(doubles);
                Assert.Equal(values.EnumerateArray().Select(v => v.GetDouble()), doubles);
            }
            else
            {
                var integers = new long[tensor.Count];
                tensor.ReadIntegers(integers);
                Assert.Equal(
                    values.EnumerateArray().Select(v => v.ValueKind == JsonValueKind.Number ? v.GetInt64() : v.GetBoolean() ? 1 : 0),
                    integers);
            }
        }
    }

    private static void CompareIdx(JsonElement expected, IdxFile file)
    {
        var name = file.ElementType switch
        {
            IdxElementType.UInt8 => "u8",
            IdxElementType.Int8 => "i8",
            IdxElementType.Int16 => "i16",
            IdxElementType.Int32 => "i32",
            IdxElementType.Float32 => "f32",
            _ => "f64",
        };
        Assert.Equal(expected.GetProperty("dtype").GetString(), name);
        Assert.Equal(expected.GetProperty("shape").EnumerateArray().Select(d => d.GetInt32()), file.Shape.ToArray());
        if (!expected.TryGetProperty("values", out var values)) return;
        var doubles = new double[file.Count];
        file.CopyTo(doubles);
        Assert.Equal(values.EnumerateArray().Select(v => v.GetDouble()), doubles);
    }

    private static void CompareTable(JsonElement expected, CsvTable table)
    {
        if (expected.TryGetProperty("shape", out var shape))
            Assert.Equal(shape.EnumerateArray().Select(d => d.GetInt32()), [table.RowCount, table.ColumnCount]);
        if (expected.TryGetProperty("header", out var header))
            Assert.Equal(
                header.ValueKind == JsonValueKind.Null ? null : header.EnumerateArray().Select(n => n.GetString()!), table.ColumnNames);
        if (expected.TryGetProperty("rows", out var rows))
        {
            Assert.Equal(rows.GetArrayLength(), table.RowCount);
            for (var i = 0; i < table.RowCount; i++)
            {
                Assert.Equal(
                    rows[i].EnumerateArray().Select(v => BitConverter.DoubleToInt64Bits(v.GetDouble())),
                    table.Row(i).ToArray().Select(BitConverter.DoubleToInt64Bits));
            }
        }

        // In the manifest the classes stand in the order of the rows that have them.
        if (expected.TryGetProperty("classes", out var classes))
        {
            Assert.Equal(
                classes.EnumerateArray().Select(c => c.GetString()!),
                table.Labels.ToArray().Distinct().Select(label => table.ClassNames![label]));
            Assert.Equal(table.ClassNames!.Order(StringComparer.Ordinal), table.ClassNames);
        }
    }
}
