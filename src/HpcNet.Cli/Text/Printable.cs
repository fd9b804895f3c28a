// Text from files and messages as it may reach a terminal: on one line, without control characters, as wide as wanted.

using System.Globalization;
using System.Text;

namespace HpcNet.Cli.Text;

internal static class Printable
{
    /// <summary>The text on one line: line ends and tabs become blanks, other control characters question marks.</summary>
    public static string OneLine(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (Rune.IsWhiteSpace(rune))
            {
                if (result.Length > 0 && result[^1] != ' ')
                    result.Append(' ');
            }
            else if (Rune.IsControl(rune) || Rune.GetUnicodeCategory(rune) is UnicodeCategory.Format)
            {
                result.Append('?');
            }
            else
            {
                result.Append(rune.ToString());
            }
        }
        return result.ToString().TrimEnd();
    }

    /// <summary>The text on one line, cut to a width.</summary>
    public static string Cut(string text, int width)
    {
        string line = OneLine(text);
        if (line.Length <= width)
            return line;
        int end = char.IsHighSurrogate(line[width - 2]) ? width - 2 : width - 1;
        return line[..end] + "~";
    }

    /// <summary>A text behind its name, on several lines where it is long: each further one begins with a separator, below the text.</summary>
    public static string Wrapped(string name, string text, string separator)
    {
        const int most = 140;
        var result = new StringBuilder(name);
        int used = name.Length;
        string[] parts = text.Split(separator);
        for (int i = 0; i < parts.Length; i++)
        {
            string part = i == 0 ? parts[i] : separator + parts[i];
            if (i > 0 && used + part.Length > most)
            {
                result.Append('\n').Append(' ', name.Length);
                part = part.TrimStart();
                used = name.Length;
            }
            result.Append(part);
            used += part.Length;
        }
        return result.ToString();
    }

    /// <summary>A whole number with thousands separated.</summary>
    public static string Count(double value) => value.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>A share as a percentage with two decimals.</summary>
    public static string Percent(double share) => (100 * share).ToString("F2", CultureInfo.InvariantCulture) + " %";

    /// <summary>A number with about four significant digits.</summary>
    public static string Short(double value) => Math.Abs(value) is >= 1e-3 and < 1e5
        ? value.ToString("0.####", CultureInfo.InvariantCulture)
        : value.ToString("G4", CultureInfo.InvariantCulture);
}
