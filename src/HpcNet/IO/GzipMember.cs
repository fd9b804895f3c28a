// A gzip file of one member (RFC 1952), unpacked as far as it is read and no further. The framework's GZipStream takes a
// cut file for a short one on some versions and is silent about bytes after the end, so that the frame (header, CRC-32,
// length) is checked here and the framework only unpacks what lies between.

using System.Buffers.Binary;
using System.IO.Compression;

namespace HpcNet;

internal sealed class GzipMember : IDisposable
{
    private const int TrailerLength = 8;
    private static readonly uint[] CrcTable = MakeCrcTable();

    private readonly ByteSource _source;
    private readonly Packed _packed;
    private readonly DeflateStream _inflate;
    private uint _crc = 0xFFFFFFFF;
    private uint _length;

    public GzipMember(ByteSource source)
    {
        _source = source;
        _packed = new Packed(source, HeaderLength(source), source.Length - TrailerLength);
        _inflate = new DeflateStream(_packed, CompressionMode.Decompress);
    }

    public static bool IsGzip(ByteSource source)
    {
        Span<byte> start = stackalloc byte[2];
        return source.Length >= 2 && source.Read(0, start) == 2 && start[0] == 0x1F && start[1] == 0x8B;
    }

    /// <summary>Unpacks up to the span's length; 0 at the end.</summary>
    public int Read(Span<byte> into)
    {
        int read;
        try
        {
            read = _inflate.Read(into);
        }
        catch (InvalidDataException e)
        {
            throw new DataFormatException("the packed data are damaged or cut.", _source.Name, innerException: e);
        }
        var crc = _crc;
        foreach (var b in into[..read]) crc = CrcTable[(byte)(crc ^ b)] ^ (crc >> 8);
        _crc = crc;
        _length += (uint)read;
        return read;
    }

    /// <summary>Called when all that is wanted was read: nothing may follow, and the checksum and length must be right.</summary>
    public void CheckEnd()
    {
        Span<byte> one = stackalloc byte[1];
        if (Read(one) != 0) throw new DataFormatException("the packed data go on after the last value.", _source.Name);
        if (!_packed.AtEnd)
            throw new DataFormatException("the packed data end before the file does: something else follows them.", _source.Name);
        Span<byte> trailer = stackalloc byte[TrailerLength];
        _source.ReadExactly(_source.Length - TrailerLength, trailer);
        if (BinaryPrimitives.ReadUInt32LittleEndian(trailer) != ~_crc || BinaryPrimitives.ReadUInt32LittleEndian(trailer[4..]) != _length)
        {
            throw new DataFormatException(
                "checksum and length at the end of the file are not those of the data: damaged or cut.", _source.Name,
                byteOffset: _source.Length - TrailerLength);
        }
    }

    public void Dispose() => _inflate.Dispose();

    private static long HeaderLength(ByteSource source)
    {
        const byte headerChecksum = 2, extraField = 4, fileName = 8, comment = 16;
        Span<byte> header = stackalloc byte[10];
        if (source.Length < header.Length + TrailerLength)
            throw new DataFormatException($"a gzip file has at least 18 bytes, this one has {source.Length}.", source.Name);
        source.ReadExactly(0, header);
        var flags = header[3];
        if (header[2] != 8 || (flags & 0xE0) != 0)
            throw new DataFormatException("the gzip header names a method or flags that do not exist.", source.Name, byteOffset: 2);
        var position = 10L;
        if ((flags & extraField) != 0)
        {
            source.ReadExactly(position, header[..2]);
            position += 2 + BinaryPrimitives.ReadUInt16LittleEndian(header);
        }
        if ((flags & fileName) != 0) position = AfterText(source, position);
        if ((flags & comment) != 0) position = AfterText(source, position);
        if ((flags & headerChecksum) != 0) position += 2;
        if (position > source.Length - TrailerLength)
            throw new DataFormatException("the gzip header does not end.", source.Name, byteOffset: position);
        return position;
    }

    private static long AfterText(ByteSource source, long position)
    {
        Span<byte> part = stackalloc byte[256];
        while (true)
        {
            var read = source.Read(position, part);
            if (read == 0) throw new DataFormatException("the gzip header does not end.", source.Name, byteOffset: position);
            var end = part[..read].IndexOf((byte)0);
            if (end >= 0) return position + end + 1;
            position += read;
        }
    }

    private static uint[] MakeCrcTable()
    {
        var table = new uint[256];
        for (var i = 0u; i < 256; i++)
        {
            var value = i;
            for (var bit = 0; bit < 8; bit++) value = (value & 1) != 0 ? 0xEDB88320 ^ (value >> 1) : value >> 1;
            table[i] = value;
        }
        return table;
    }

    // The bytes between header and trailer. The last ones are handed out one by one: the framework takes what it is given and does
    // not tell how much of it was part of the data, so that only in this way the place where they end is known.
    private sealed class Packed(ByteSource source, long from, long to) : Stream
    {
        private const int OneByOne = 256;
        private long _position = from;

        public bool AtEnd => _position == to;

        public override bool CanRead => true;

        public override bool CanSeek => false;

        public override bool CanWrite => false;

        public override long Length => throw new NotSupportedException();

        public override long Position
        {
            get => throw new NotSupportedException();
            set => throw new NotSupportedException();
        }

        public override int Read(Span<byte> buffer)
        {
            var rest = to - _position;
            var count = rest > OneByOne ? (int)Math.Min(buffer.Length, rest - OneByOne) : (int)Math.Min(1, Math.Min(buffer.Length, rest));
            var read = source.Read(_position, buffer[..count]);
            _position += read;
            return read;
        }

        public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();
    }
}
