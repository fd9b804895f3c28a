// Numbers in CSV files: an optional sign, digits with an optional point, an optional exponent, in ASCII and nothing else.
// The framework's parser alone would also take trailing NULs, words such as "Infinity", and what the culture adds.

using System.Globalization;

namespace HpcNet;

internal static class CsvNumber
{
    private const int ExactDigits = 15;
    private static readonly NumberFormatInfo CommaFormat = new() { NumberDecimalSeparator = ",", NumberGroupSeparator = "." };

    /// <summary>The nearest double; false for any other form, and where the value leaves double's range.</summary>
    public static bool TryParse(ReadOnlySpan<byte> text, byte decimalSeparator, out double value)
    {
        value = 0;
        var i = 0;
        if (i < text.Length && text[i] is (byte)'+' or (byte)'-') i++;
        var first = i;
        while (i < text.Length && IsDigit(text[i])) i++;
        var digits = i - first;
        if (i == text.Length && first == 0 && digits is > 0 and <= ExactDigits)
        {
            // Most fields of real files are short whole numbers, which need no rounding.
            var whole = 0L;
            foreach (var digit in text) whole = whole * 10 + (digit - '0');
            value = whole;
            return true;
        }
        if (i < text.Length && text[i] == decimalSeparator)
        {
            var point = i++;
            while (i < text.Length && IsDigit(text[i])) i++;
            digits += i - point - 1;
        }
        if (digits == 0) return false;
        if (i < text.Length && (text[i] | 0x20) == 'e')
        {
            i++;
            if (i < text.Length && text[i] is (byte)'+' or (byte)'-') i++;
            var exponent = i;
            while (i < text.Length && IsDigit(text[i])) i++;
            if (i == exponent) return false;
        }
        const NumberStyles style = NumberStyles.AllowLeadingSign | NumberStyles.AllowDecimalPoint | NumberStyles.AllowExponent;
        var format = decimalSeparator == (byte)',' ? CommaFormat : NumberFormatInfo.InvariantInfo;
        return i == text.Length && double.TryParse(text, style, format, out value) && double.IsFinite(value);
    }

    private static bool IsDigit(byte b) => b is >= (byte)'0' and <= (byte)'9';
}
