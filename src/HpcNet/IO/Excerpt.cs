// Content of files as it may appear in messages: short, on one line, without control characters. A file can hold a
// megabyte where a number should be, or escape sequences meant for somebody's terminal.

using System.Globalization;
using System.Text;

namespace HpcNet;

internal static class Excerpt
{
    private const int Longest = 40;

    /// <summary>The text in quotes, cut after 40 characters.</summary>
    public static string Of(string text)
    {
        var cut = text.Length > Longest;
        var result = new StringBuilder("'");
        foreach (var rune in (cut ? text.AsSpan(0, Longest) : text).EnumerateRunes())
        {
            if (Rune.IsControl(rune) || Rune.GetUnicodeCategory(rune) is UnicodeCategory.Format or UnicodeCategory.LineSeparator
                or UnicodeCategory.ParagraphSeparator)
                result.Append(CultureInfo.InvariantCulture, $"\\u{rune.Value:x4}");
            else
                result.Append(rune.ToString());
        }
        result.Append('\'');
        if (cut) result.Append(CultureInfo.InvariantCulture, $"... ({text.Length} characters)");
        return result.ToString();
    }

    /// <summary>Bytes meant as UTF-8, in quotes, cut after about 40 characters.</summary>
    public static string Of(ReadOnlySpan<byte> utf8)
    {
        const int longestBytes = Longest * 4;
        if (utf8.Length <= longestBytes) return Of(Encoding.UTF8.GetString(utf8));
        var text = Encoding.UTF8.GetString(utf8[..longestBytes]);
        text = Of(text.Length > Longest ? text[..Longest] : text);
        return string.Create(CultureInfo.InvariantCulture, $"{text}... ({utf8.Length} bytes)");
    }
}
