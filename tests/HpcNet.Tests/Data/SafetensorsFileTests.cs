// Safetensors: what is written is read back bit for bit; a failed save changes nothing; faults beyond the case files.

using System.Buffers.Binary;
using System.Text;

namespace HpcNet.Tests.Data;

public sealed class SafetensorsFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void RoundTripKeepsBitsNamesAndMetadata()
    {
        var path = _folder["round.safetensors"];
        float[] values = [1.5f, -0f, float.PositiveInfinity, BitConverter.UInt32BitsToSingle(0x7fc00001), float.Epsilon, float.MinValue];
        var metadata = new Dictionary<string, string> { ["z"] = "ä\"\\\n\0", ["a"] = "", ["hpcnet"] = "{\"version\":1}" };
        SafetensorsFile.Write(path,
        [
            new SafetensorsData("layer.weight", [2, 3], values),
            new SafetensorsData("重み\0\u0001\"", [], new float[] { 7 }),
            new SafetensorsData("", SafetensorsDType.I64, [1], new byte[] { 255, 255, 255, 255, 255, 255, 255, 255 }),
            new SafetensorsData("empty", [0, 5], ReadOnlyMemory<float>.Empty),
            new SafetensorsData("flag", SafetensorsDType.BOOL, [3], new byte[] { 1, 0, 1 }),
        ], metadata);

        using var file = SafetensorsFile.Open(path);
        Assert.Equal(metadata, file.Metadata);
        Assert.Equal(["", "empty", "layer.weight", "重み\0\u0001\"", "flag"], file.Tensors.Select(t => t.Name));
        Assert.Equal(
            values.Select(BitConverter.SingleToUInt32Bits), file["layer.weight"].ReadSingles().Select(BitConverter.SingleToUInt32Bits));
        Assert.Equal([2L, 3L], file["layer.weight"].Shape.ToArray());
        Assert.Equal([7f], file["重み\0\u0001\""].ReadSingles());
        Assert.Equal(1, file["重み\0\u0001\""].Count);
        Assert.Empty(file["empty"].ReadSingles());
        var integers = new long[1];
        file[""].ReadIntegers(integers);
        Assert.Equal([-1L], integers);
        Assert.All(file.Tensors, t => Assert.Equal(0, t.Start % SafetensorsDTypes.Size(t.DType)));
        Assert.False(file.TryGetTensor("layer", out _));
        Assert.Throws<DataFormatException>(() => file["layer"]);
    }

    [Fact]
    public void SameContentGivesSameBytesWhateverTheOrder()
    {
        SafetensorsData[] tensors = [new("b", [2], new float[] { 1, 2 }), new("a", [1], new float[] { 3 }), new("c", SafetensorsDType.U8,
            [1], new byte[1])];
        using var first = new MemoryStream();
        using var second = new MemoryStream();
        SafetensorsFile.Write(first, tensors, new Dictionary<string, string> { ["x"] = "1", ["y"] = "2" });
        SafetensorsFile.Write(second, tensors.Reverse(), new Dictionary<string, string> { ["y"] = "2", ["x"] = "1" });
        Assert.Equal(first.ToArray(), second.ToArray());
        Assert.Equal(0ul, BinaryPrimitives.ReadUInt64LittleEndian(first.ToArray()) % 8);
    }

    [Fact]
    public void ConvertsEveryFloatingType()
    {
        var bytes = new MemoryStream();
        var f64 = new byte[16];
        BinaryPrimitives.WriteDoubleLittleEndian(f64, 0.1);
        BinaryPrimitives.WriteDoubleLittleEndian(f64.AsSpan(8), 1e300);
        SafetensorsFile.Write(bytes,
        [
            new SafetensorsData("f64", SafetensorsDType.F64, [2], f64),
            new SafetensorsData("f16", SafetensorsDType.F16, [3], new byte[] { 0x00, 0x3E, 0x01, 0x00, 0x00, 0xFC }),
            new SafetensorsData("bf16", SafetensorsDType.BF16, [2], new byte[] { 0xC0, 0x3F, 0x80, 0xFF }),
        ]);
        bytes.Position = 0;
        using var file = SafetensorsFile.Read(bytes);
        Assert.Equal([0.1f, float.PositiveInfinity], file["f64"].ReadSingles());
        Assert.Equal([1.5f, MathF.Pow(2, -24), float.NegativeInfinity], file["f16"].ReadSingles());
        Assert.Equal([1.5f, float.NegativeInfinity], file["bf16"].ReadSingles());
        var doubles = new double[2];
        file["f64"].ReadDoubles(doubles);
        Assert.Equal([0.1, 1e300], doubles);
        Assert.Throws<DataFormatException>(() => file["f64"].ReadIntegers(new long[2]));
        Assert.Throws<ArgumentException>(() => file["f64"].ReadSingles(new float[3]));
    }

    [Fact]
    public void LongTensorsConvertAcrossBuffers()
    {
        var halves = new byte[2 * 100_001];
        for (var i = 0; i < 100_001; i++) BinaryPrimitives.WriteHalfLittleEndian(halves.AsSpan(2 * i), (Half)(i % 2048));
        var stream = new MemoryStream();
        SafetensorsFile.Write(stream, [new SafetensorsData("h", SafetensorsDType.F16, [100_001], halves)]);
        using var file = SafetensorsFile.Read(new MemoryStream(stream.ToArray()));
        Assert.Equal(Enumerable.Range(0, 100_001).Select(i => (float)(i % 2048)), file["h"].ReadSingles());
    }

    [Fact]
    public void IntegersThatDoNotFitAreRefused()
    {
        var stream = new MemoryStream();
        SafetensorsFile.Write(stream,
        [
            new SafetensorsData("u64", SafetensorsDType.U64, [1], new byte[] { 0, 0, 0, 0, 0, 0, 0, 128 }),
            new SafetensorsData("bool", SafetensorsDType.BOOL, [1], new byte[] { 2 }),
            new SafetensorsData("i8", SafetensorsDType.I8, [1], new byte[] { 255 }),
            new SafetensorsData("f32", [1], new float[1]),
        ]);
        stream.Position = 0;
        using var file = SafetensorsFile.Read(stream, "model");
        Assert.Contains("model", Assert.Throws<DataFormatException>(() => file["u64"].ReadIntegers(new long[1])).Message);
        Assert.Throws<DataFormatException>(() => file["bool"].ReadIntegers(new long[1]));
        Assert.Throws<DataFormatException>(() => file["i8"].ReadSingles());
        var one = new long[1];
        file["i8"].ReadIntegers(one);
        Assert.Equal(-1, one[0]);
    }

    [Theory]
    [InlineData(" {}")]
    [InlineData("{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"__metadata__\":{\"a\":\"\\udc00\"}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[1e0],\"data_offsets\":[0,1]}}x")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807,9223372036854775807],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808,0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"w\":{\"dtype\":\"u8\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"\\u0064type\":\"U8\"}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,0]}}")]
    [InlineData("{\"w\":[]}")]
    [InlineData("{\"__metadata__\":[]}")]
    [InlineData("{\"__metadata__\":{},\"__meta\\u0064ata__\":{}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,0]}}")]
    [InlineData("{\"w\":{\"dtype\":\"U8\",\"shape\":[00],\"data_offsets\":[0,0]}}")]
    [InlineData("{\"w\":{\"dtype\":[\"U8\"],\"shape\":[0],\"data_offsets\":[0,0]}}")]
    [InlineData("{}\0")]
    [InlineData("{\"a\nb\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}")]
    public void RefusesHeaders(string header)
    {
        var json = Encoding.UTF8.GetBytes(header);
        var bytes = new byte[8 + json.Length];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, json.Length);
        json.CopyTo(bytes, 8);
        var error = Assert.Throws<DataFormatException>(() => SafetensorsFile.Read(new MemoryStream(bytes), "x.safetensors"));
        Assert.StartsWith("x.safetensors: ", error.Message);
    }

    [Fact]
    public void ManySmallEntriesStayInProportion()
    {
        var text = new StringBuilder("{");
        for (var i = 0; i < 60_000; i++) text.Append(
            i == 0 ? "" : ",").Append($"\"t{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}");
        AssertProportion(text.Append('}').ToString(), loads: true);
    }

    [Fact]
    public void ManyMetadataEntriesAreRefusedWithinTheBudget()
    {
        var text = new StringBuilder("{\"__metadata__\":{");
        for (var i = 0; i < 1_000_000; i++) text.Append(i == 0 ? "" : ",").Append($"\"{i}\":\"\"");
        AssertProportion(text.Append("}}").ToString(), loads: false);
    }

    [Fact]
    public void ShapesOfMillionsOfDimensionsStayInTheBudget()
    {
        var text = "{\"w\":{\"dtype\":\"U8\",\"shape\":[1" + string.Concat(Enumerable.Repeat(",1",
            3_000_000)) + ",0],\"data_offsets\":[0,0]}}";
        AssertProportion(text, loads: false);
    }

    [Fact]
    public void MissingFileAndFolderAreNamed()
    {
        var path = _folder["none.safetensors"];
        Assert.Contains(path, Assert.Throws<FileNotFoundException>(() => SafetensorsFile.Open(path)).Message);
        path = Path.Combine(_folder["no"], "none.safetensors");
        Assert.Contains(path, Assert.Throws<FileNotFoundException>(() => SafetensorsFile.Open(path)).Message);
        Assert.Contains("folder", Assert.Throws<FileNotFoundException>(() => SafetensorsFile.Open(_folder.Path)).Message);
    }

    [Fact]
    public void StreamsThatCannotSeekAreRead()
    {
        var stream = new MemoryStream();
        var values = Enumerable.Range(0, 50_000).Select(i => (float)i).ToArray();
        SafetensorsFile.Write(stream, [new SafetensorsData("w", [50_000], values)]);
        using var file = SafetensorsFile.Read(new OneWayStream(stream.ToArray()));
        Assert.Equal(values, file["w"].ReadSingles());
    }

    [Fact]
    public void UnwritableContentIsRefusedBeforeAnythingIsTouched()
    {
        Assert.Throws<ArgumentException>(() => new SafetensorsData("__metadata__", [1], new float[1]));
        Assert.Throws<ArgumentException>(() => new SafetensorsData("\ud800", [1], new float[1]));
        Assert.Throws<ArgumentException>(() => new SafetensorsData("w", [2], new float[1]));
        Assert.Throws<ArgumentException>(() => new SafetensorsData("w", [-1], new float[1]));
        Assert.Throws<ArgumentException>(() => new SafetensorsData("w", [long.MaxValue, 4], new float[1]));
        var path = _folder["old"];
        File.WriteAllText(path, "old");
        SafetensorsData[] twice = [new("w", [1], new float[1]), new("w", [1], new float[1])];
        Assert.Throws<ArgumentException>(() => SafetensorsFile.Write(path, twice));
        Assert.Throws<ArgumentException>(() => SafetensorsFile.Write(path, [], new Dictionary<string, string> { ["a"] = "\udc00" }));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void FailedSaveLeavesTheOldFileAndNothingElse()
    {
        var path = _folder["model"];
        File.WriteAllText(path, "old");
        var error = Assert.Throws<IOException>(() => AtomicFile.Write(path, stream =>
        {
            stream.Write(new byte[100_000]);
            throw new IOException("disk full");
        }));
        Assert.Equal("disk full", error.Message);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void SaveNeedsTheFolderAndAWritableTarget()
    {
        Assert.Throws<DirectoryNotFoundException>(() => SafetensorsFile.Write(Path.Combine(_folder["no"], "x"), []));
        Assert.Throws<UnauthorizedAccessException>(() => SafetensorsFile.Write(_folder.Path, []));
        var path = _folder["locked"];
        File.WriteAllText(path, "old");
        File.SetAttributes(path, FileAttributes.ReadOnly);
        Assert.Throws<UnauthorizedAccessException>(() => SafetensorsFile.Write(path, []));
        File.SetAttributes(path, FileAttributes.Normal);
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Equal([path], Directory.GetFiles(_folder.Path));
    }

    [Fact]
    public void SaveReplacesWhileTheOldFileIsOpen()
    {
        var path = _folder["model"];
        SafetensorsFile.Write(path, [new SafetensorsData("w", [1], new float[] { 1 })]);
        using var old = SafetensorsFile.Open(path);
        SafetensorsFile.Write(path, [new SafetensorsData("w", [1], new float[] { 2 })]);
        using var replaced = SafetensorsFile.Open(path);
        Assert.Equal([1f], old["w"].ReadSingles());
        Assert.Equal([2f], replaced["w"].ReadSingles());
    }

    [Fact]
    public void SaveKeepsLinksAndPermissions()
    {
        if (OperatingSystem.IsWindows()) return; // links need a privilege there, and permissions are inherited
        var target = _folder["target"];
        var link = _folder["link"];
        File.WriteAllText(target, "old");
        const UnixFileMode mode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        File.SetUnixFileMode(target, mode);
        File.CreateSymbolicLink(link, "target");
        SafetensorsFile.Write(link, []);
        Assert.NotNull(new FileInfo(link).LinkTarget);
        Assert.Equal(mode, File.GetUnixFileMode(target));
        using var file = SafetensorsFile.Open(target);
        Assert.Empty(file.Tensors);
    }

    [Fact]
    public void ManyThreadsReadOneFile()
    {
        var path = _folder["shared"];
        var values = Enumerable.Range(0, 200_000).Select(i => i * 0.5f).ToArray();
        SafetensorsFile.Write(path, [new SafetensorsData("a", [200_000], values), new SafetensorsData("b", [1], new float[] { 9 })]);
        using var file = SafetensorsFile.Open(path);
        Parallel.For(0, 16, i =>
        {
            if (i % 2 == 0) Assert.Equal(values, file["a"].ReadSingles());
            else Assert.Equal([9f], file["b"].ReadSingles());
        });
    }

    private void AssertProportion(string header, bool loads)
    {
        var path = _folder["header"];
        using (var stream = File.Create(path))
        {
            var json = Encoding.UTF8.GetBytes(header);
            stream.Write(BitConverter.GetBytes((long)json.Length));
            stream.Write(json);
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        Exception? error = null;
        try
        {
            using var file = SafetensorsFile.Open(path);
        }
        catch (DataFormatException e)
        {
            error = e;
        }
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(loads, error is null);
        Assert.True(allocated < 4 * new FileInfo(path).Length + (16 << 20), $"allocated {allocated} bytes for {new FileInfo(path).Length}");
    }
}
