// Cultures made by hand: the process runs with invariant globalization, where the named ones have the invariant's formats.

using System.Globalization;

namespace HpcNet.Tests.Data;

internal static class Cultures
{
    public static CultureInfo Make(string name, string point, string group)
    {
        CultureInfo culture;
        try
        {
            culture = new CultureInfo(name);
        }
        catch (CultureNotFoundException)
        {
            culture = (CultureInfo)CultureInfo.InvariantCulture.Clone();
        }
        culture.NumberFormat = new NumberFormatInfo
        {
            NumberDecimalSeparator = point,
            NumberGroupSeparator = group,
            CurrencyDecimalSeparator = point,
            CurrencyGroupSeparator = group,
            NegativeSign = name == "sv-SE" ? "\u2212" : "-",
        };
        return culture;
    }
}
