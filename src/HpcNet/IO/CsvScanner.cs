// Splits a CSV file into records and fields (RFC 4180, and the line ends LF, CRLF and CR). Our own and not a package's:
// it must tell line and column of every fault, refuse what lenient parsers repair (text after a closing quote, a quote inside
// a field, NUL, UTF-16), and work on bytes without a string for each field, so that memory stays in proportion to the file.

using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace HpcNet;

internal sealed class CsvScanner
{
    /// <summary>No sensible field is longer; a file without line ends or with a lost quote would be one huge field.</summary>
    public const int LongestField = 1 << 20;

    private readonly ByteSource _source;
    private readonly byte _delimiter;
    private readonly byte _decimalSeparator;
    private readonly SearchValues<byte> _stops;
    private readonly SearchValues<byte> _quotedStops = SearchValues.Create("\"\n\r\0"u8);
    private readonly byte[] _buffer = new byte[1 << 16];
    private byte[] _field = new byte[256];
    private int _fieldLength;
    private int _start;
    private int _end;
    private long _offset;

    public CsvScanner(ByteSource source, CsvOptions options)
    {
        _source = source;
        _delimiter = (byte)options.Delimiter;
        _decimalSeparator = (byte)options.DecimalSeparator;
        _stops = SearchValues.Create([_delimiter, (byte)'"', (byte)'\n', (byte)'\r', 0]);
        Span<byte> mark = stackalloc byte[3];
        var read = source.Read(0, mark);
        if (read >= 2 && ((mark[0] == 0xFF && mark[1] == 0xFE) || (mark[0] == 0xFE && mark[1] == 0xFF)))
            throw new DataFormatException("the file is UTF-16; save it as UTF-8.", source.Name, line: 1);
        if (read >= 2 && mark[0] == 0x1F && mark[1] == 0x8B)
            throw new DataFormatException("the file is packed with gzip; unpack it first.", source.Name, line: 1);
        if (read == 3 && mark.SequenceEqual("\uFEFF"u8)) _offset = 3;
    }

    /// <summary>The line the scanner stands on, from 1.</summary>
    public long Line { get; private set; } = 1;

    /// <summary>The line the last field started on.</summary>
    public long FieldLine { get; private set; }

    /// <summary>The number of the last field in its record, from 1; 0 before the first.</summary>
    public int Column { get; private set; }

    /// <summary>Whether the last field ended its record.</summary>
    public bool EndOfRecord { get; private set; } = true;

    /// <summary>Whether the last field was in quotes.</summary>
    public bool Quoted { get; private set; }

    /// <summary>The last field: unquoted, or without the blanks around it.</summary>
    public ReadOnlySpan<byte> Field => Quoted ? _field.AsSpan(0, _fieldLength) : Trim(_field.AsSpan(0, _fieldLength));

    /// <summary>Goes to the next record; false at the end of the file. Empty lines may stand at the end and nowhere else.</summary>
    public bool NextRecord()
    {
        Column = 0;
        var blank = 0L;
        while (TryPeek(out var next))
        {
            if (next is not ((byte)'\n' or (byte)'\r'))
            {
                if (blank != 0) throw new DataFormatException("the line is empty.", _source.Name, line: blank);
                return true;
            }
            if (blank == 0) blank = Line;
            TakeLineEnd();
        }
        return false;
    }

    /// <summary>Reads the next field of the record.</summary>
    public void NextField()
    {
        Column++;
        FieldLine = Line;
        _fieldLength = 0;
        Quoted = TryPeek(out var first) && first == (byte)'"';
        if (Quoted)
        {
            _start++;
            ReadQuoted();
        }
        else
        {
            ReadUnquoted();
        }
    }

    /// <summary>The last field as text.</summary>
    public string Text()
    {
        var field = Field;
        if (!Utf8.IsValid(field)) throw Bad($"{Excerpt.Of(field)} is not valid UTF-8.");
        return Encoding.UTF8.GetString(field);
    }

    /// <summary>The last field as a number; blanks around it do not matter, also inside quotes.</summary>
    public bool TryNumber(out double value) => CsvNumber.TryParse(Trim(_field.AsSpan(0, _fieldLength)), _decimalSeparator, out value);

    public DataFormatException Bad(string message) => new(message, _source.Name, FieldLine, Column);

    private static ReadOnlySpan<byte> Trim(ReadOnlySpan<byte> text) => text.Trim(" \t"u8);

    private void ReadUnquoted()
    {
        while (TryPeek(out _))
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var stop = rest.IndexOfAny(_stops);
            Append(stop < 0 ? rest : rest[..stop]);
            if (stop < 0)
            {
                _start = _end;
                continue;
            }
            _start += stop;
            var b = rest[stop];
            if (b == 0) throw Bad("a NUL byte does not belong into a CSV file.");
            if (b == (byte)'"') throw Bad("a quote stands inside a field that is not quoted.");
            Finish();
            return;
        }
        EndOfRecord = true;
    }

    private void ReadQuoted()
    {
        while (TryPeek(out _))
        {
            var rest = _buffer.AsSpan(_start, _end - _start);
            var stop = rest.IndexOfAny(_quotedStops);
            Append(stop < 0 ? rest : rest[..stop]);
            if (stop < 0)
            {
                _start = _end;
                continue;
            }
            _start += stop;
            switch (rest[stop])
            {
                case 0:
                    throw Bad("a NUL byte does not belong into a CSV file.");
                case (byte)'"':
                    _start++;
                    if (!TryPeek(out var next))
                    {
                        EndOfRecord = true;
                        return;
                    }
                    if (next == (byte)'"')
                    {
                        Append("\""u8);
                        _start++;
                        break;
                    }
                    if (next != _delimiter && next is not ((byte)'\n' or (byte)'\r')) throw Bad("text follows the closing quote.");
                    Finish();
                    return;
                case (byte)'\r':
                    TakeLineEnd();
                    Append("\r"u8);
                    if (_buffer[_start - 1] == (byte)'\n') Append("\n"u8);
                    break;
                default:
                    TakeLineEnd();
                    Append("\n"u8);
                    break;
            }
        }
        throw Bad("the quote that opens this field is never closed.");
    }

    private void Finish()
    {
        EndOfRecord = _buffer[_start] != _delimiter;
        if (EndOfRecord) TakeLineEnd();
        else _start++;
    }

    // After this, the byte before _start is the last one of the line end, also where the buffer was refilled in between.
    private void TakeLineEnd()
    {
        var first = _buffer[_start++];
        if (first == (byte)'\r' && TryPeek(out var next) && next == (byte)'\n') _start++;
        Line++;
    }

    private bool TryPeek(out byte next)
    {
        if (_start == _end)
        {
            // The first byte of the buffer stays free for the one before, which ReadQuoted looks at.
            _buffer[0] = _start > 0 ? _buffer[_start - 1] : (byte)0;
            _start = 1;
            _end = 1;
            var read = _source.Read(_offset, _buffer.AsSpan(1));
            _end += read;
            _offset += read;
        }
        next = _start < _end ? _buffer[_start] : (byte)0;
        return _start < _end;
    }

    private void Append(ReadOnlySpan<byte> some)
    {
        if (_fieldLength + some.Length > LongestField)
            throw Bad(string.Create(CultureInfo.InvariantCulture, $"the field is longer than {LongestField} bytes."));
        if (_fieldLength + some.Length > _field.Length) Array.Resize(ref _field, Math.Max(_fieldLength + some.Length, 2 * _field.Length));
        some.CopyTo(_field.AsSpan(_fieldLength));
        _fieldLength += some.Length;
    }
}
