// IDX: element types, gzip in all its parts, pairs, and faults beyond the case files.

using System.Buffers.Binary;
using System.IO.Compression;

namespace HpcNet.Tests.Data;

public sealed class IdxFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void TypedAccessIsChecked()
    {
        var file = IdxFile.Read(new MemoryStream(Idx(0x0D, [2], [0x3F, 0xC0, 0, 0, 0xFF, 0x80, 0, 0])));
        Assert.Equal(IdxElementType.Float32, file.ElementType);
        Assert.Equal([1.5f, float.NegativeInfinity], file.Values<float>().ToArray());
        Assert.Throws<InvalidOperationException>(() => file.Values<int>().Length);
        Assert.Throws<ArgumentException>(() => file.CopyTo(new double[1]));
    }

    [Fact]
    public void GzipIsKnownByContentWhateverTheName()
    {
        var plain = Idx(0x08, [3], [1, 2, 3]);
        Assert.Equal([1, 2, 3], IdxFile.Read(_folder.Write("a.gz", plain)).Values<byte>().ToArray());
        Assert.Equal([1, 2, 3], IdxFile.Read(_folder.Write("a", Gzip(plain))).Values<byte>().ToArray());
        Assert.Equal([1, 2, 3], IdxFile.Read(new OneWayStream(Gzip(plain))).Values<byte>().ToArray());
    }

    [Fact]
    public void GzipHeadersWithAllFieldsAreSkipped()
    {
        var packed = Gzip(Idx(0x08, [3], [1, 2, 3]));
        byte[] fields = [.. BitConverter.GetBytes((ushort)2), 9, 9, .. "name\0"u8, .. "a comment\0"u8, 0, 0];
        byte[] full = [.. packed[..3], 0x1E, .. packed[4..10], .. fields, .. packed[10..]];
        Assert.Equal([1, 2, 3], IdxFile.Read(new MemoryStream(full)).Values<byte>().ToArray());
    }

    [Fact]
    public void EveryCutAndEveryChangedByteOfAGzipFileIsRefusedOrHarmless()
    {
        var plain = Idx(0x08, [2, 3], [10, 20, 30, 40, 50, 60]);
        var packed = Gzip(plain);
        for (var length = 0; length < packed.Length; length++)
            Assert.Throws<DataFormatException>(() => IdxFile.Read(new MemoryStream(packed[..length])));
        for (var i = 0; i < packed.Length; i++)
        {
            for (var bit = 0; bit < 8; bit++)
            {
                var changed = (byte[])packed.Clone();
                changed[i] ^= (byte)(1 << bit);
                try
                {
                    // Only time stamp, extra flags, system and the flag for text may differ without effect.
                    Assert.Equal([10, 20, 30, 40, 50, 60], IdxFile.Read(new MemoryStream(changed)).Values<byte>().ToArray());
                }
                catch (DataFormatException)
                {
                }
            }
        }
    }

    [Fact]
    public void NothingMayFollowAGzipMember()
    {
        var packed = Gzip(Idx(0x08, [3], [1, 2, 3]));
        foreach (byte[] tail in new byte[][] { [0], [0, 0, 0, 0, 0, 0, 0, 0], [1, 2, 3], packed })
            Assert.Throws<DataFormatException>(() => IdxFile.Read(new MemoryStream([.. packed, .. tail])));
    }

    [Fact]
    public void DenseGzipIsRefusedByItsClaim()
    {
        var packed = Gzip(Idx(0x08, [200, 1000, 1000], new byte[200_000_000]));
        var before = GC.GetAllocatedBytesForCurrentThread();
        var error = Assert.Throws<DataFormatException>(() => IdxFile.Read(_folder.Write("bomb", packed)));
        Assert.Contains("unpack", error.Message);
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 4 * packed.Length + (16 << 20));
    }

    [Theory]
    [InlineData(0x08, new[] { 0, 28, 28 })]
    [InlineData(0x0E, new[] { 5, 0 })]
    [InlineData(0x0C, new[] { 0 })]
    public void EmptyFilesAreRead(byte type, int[] shape)
    {
        var file = IdxFile.Read(new MemoryStream(Idx(type, shape, [])));
        Assert.Equal(0, file.Count);
        Assert.Equal(shape, file.Shape.ToArray());
    }

    [Theory]
    [InlineData(0x08, new int[0], 1)]
    [InlineData(0x08, new[] { int.MaxValue, int.MaxValue, int.MaxValue, int.MaxValue, 0 }, 0)]
    [InlineData(0x08, new[] { 0, int.MaxValue, int.MaxValue, int.MaxValue, int.MaxValue }, 0)]
    [InlineData(0x0B, new[] { 3 }, 5)]
    [InlineData(0x0B, new[] { 3 }, 7)]
    [InlineData(0x08, new[] { -1 }, 0)]
    [InlineData(0x00, new[] { 1 }, 1)]
    public void RefusesHeaders(byte type, int[] shape, int dataLength) =>
        Assert.Throws<DataFormatException>(() => IdxFile.Read(new MemoryStream(Idx(type, shape, new byte[dataLength]))));

    [Fact]
    public void PairsMustAgree()
    {
        var images = _folder.Write("images", Idx(0x08, [5, 2, 2], new byte[20]));
        var four = _folder.Write("labels4", Idx(0x08, [4], new byte[4]));
        var five = _folder.Write("labels5", Idx(0x08, [5], new byte[5]));
        Assert.Equal(5, IdxFile.ReadPair(images, five).Labels.Count);
        var error = Assert.Throws<DataFormatException>(() => IdxFile.ReadPair(images, four));
        Assert.Contains("5 items do not fit the 4 labels", error.Message);
        Assert.Throws<DataFormatException>(() => IdxFile.ReadPair(five, five));
        Assert.Throws<DataFormatException>(() => IdxFile.ReadPair(images, images));
        Assert.Throws<DataFormatException>(() => IdxFile.ReadPair(images, _folder.Write("f", Idx(0x0D, [5], new byte[20]))));
        Assert.Contains("none", Assert.Throws<FileNotFoundException>(() => IdxFile.ReadPair(images, _folder["none"])).Message);
    }

    internal static byte[] Idx(byte type, int[] shape, byte[] data)
    {
        var bytes = new byte[4 + 4 * shape.Length + data.Length];
        bytes[2] = type;
        bytes[3] = (byte)shape.Length;
        for (var i = 0; i < shape.Length; i++) BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 + 4 * i), shape[i]);
        data.CopyTo(bytes, 4 + 4 * shape.Length);
        return bytes;
    }

    internal static byte[] Gzip(byte[] plain)
    {
        var packed = new MemoryStream();
        using (var stream = new GZipStream(packed, CompressionLevel.Optimal)) stream.Write(plain);
        return packed.ToArray();
    }
}
