// The one exception for a file whose content is not what its format demands. Every loader of the library throws it and
// nothing else for bad content; a file that is not there stays a FileNotFoundException.

using System.Globalization;
using System.Text;

namespace HpcNet;

/// <summary>
/// A file exists and can be read, but its content breaks the rules of its format, or is not what the caller asked for.
/// The message names the file, the place, what was expected and what came; long content is shortened.
/// </summary>
public sealed class DataFormatException : IOException
{
    /// <summary>Creates the exception; the message is put together from the place and the text.</summary>
    /// <param name="message">What was expected and what came instead.</param>
    /// <param name="fileName">The file, or a name for the stream; null where nothing is known.</param>
    /// <param name="line">The line, counted from 1, for text files.</param>
    /// <param name="column">The column (field), counted from 1, for tables.</param>
    /// <param name="byteOffset">The byte, counted from 0, for binary files.</param>
    /// <param name="innerException">What caused it.</param>
    public DataFormatException(
        string message, string? fileName = null, long? line = null, long? column = null, long? byteOffset = null,
        Exception? innerException = null)
        : base(Compose(message, fileName, line, column, byteOffset), innerException)
    {
        FileName = fileName;
        Line = line;
        Column = column;
        ByteOffset = byteOffset;
    }

    /// <summary>The file, or the name given to the stream; null where nothing is known.</summary>
    public string? FileName { get; }

    /// <summary>The line, counted from 1; null for binary files.</summary>
    public long? Line { get; }

    /// <summary>The column (field), counted from 1; null where the fault is not in one field.</summary>
    public long? Column { get; }

    /// <summary>The byte, counted from 0; null for text files.</summary>
    public long? ByteOffset { get; }

    private static string Compose(string message, string? fileName, long? line, long? column, long? byteOffset)
    {
        var text = new StringBuilder();
        if (fileName is not null) text.Append(fileName).Append(": ");
        if (line is not null) text.Append(CultureInfo.InvariantCulture, $"line {line}");
        if (column is not null) text.Append(line is null ? "" : ", ").Append(CultureInfo.InvariantCulture, $"column {column}");
        if (byteOffset is not null)
            text.Append(line is null && column is null ? "" : ", ").Append(CultureInfo.InvariantCulture, $"byte {byteOffset}");
        if (line is not null || column is not null || byteOffset is not null) text.Append(": ");
        return text.Append(message).ToString();
    }
}
