// One axis: its range, its ticks at round numbers, and where a number lies on the paper.

using System.Globalization;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>An axis from one place of the paper to another, linear or logarithmic.</summary>
internal sealed class Axis
{
    private readonly double _from;
    private readonly double _to;
    private readonly double _low;
    private readonly double _high;
    private readonly bool _logarithmic;

    /// <param name="low">The smallest number shown.</param>
    /// <param name="high">The largest one; equal ones make room around the number.</param>
    /// <param name="from">Where the smallest lies.</param>
    /// <param name="to">Where the largest lies.</param>
    /// <param name="logarithmic">Whether equal distances are equal factors; both numbers are then above 0.</param>
    public Axis(double low, double high, double from, double to, bool logarithmic = false)
    {
        (_from, _to, _logarithmic) = (from, to, logarithmic);
        (_low, _high) = logarithmic ? (Math.Log10(low), Math.Log10(high)) : (low, high);
        if (!(_high > _low))
        {
            double room = logarithmic ? 1 : Math.Max(Math.Abs(_low) / 2, 0.5);
            (_low, _high) = (_low - room, _high + room);
        }
    }

    /// <summary>Where a number lies on the paper.</summary>
    public double Place(double value) =>
        _from + ((_logarithmic ? Math.Log10(Math.Max(value, double.Epsilon)) : value) - _low) / (_high - _low) * (_to - _from);

    /// <summary>Round numbers for ticks with their texts, about <paramref name="wanted"/> of them.</summary>
    public List<(double Value, string Text)> Ticks(int wanted)
    {
        var ticks = new List<(double, string)>();
        if (_logarithmic)
        {
            int every = Math.Max(1, (int)Math.Ceiling((_high - _low) / wanted));
            for (int power = (int)Math.Ceiling(_low - 1e-9); power <= _high + 1e-9; power += every)
                ticks.Add((Math.Pow(10, power), Text(Math.Pow(10, power), 0)));
            if (ticks.Count >= 2)
                return ticks;
            ticks.Clear();
        }
        double low = _logarithmic ? Math.Pow(10, _low) : _low, high = _logarithmic ? Math.Pow(10, _high) : _high;
        double rough = (high - low) / wanted;
        double power10 = Math.Pow(10, Math.Floor(Math.Log10(rough)));
        double step = power10 * ((rough / power10) switch { < 1.5 => 1, < 3.5 => 2, < 7.5 => 5, _ => 10 });
        for (double k = Math.Ceiling(low / step - 1e-9); k * step <= high + 1e-9 * step; k++)
            ticks.Add((k * step, Text(k * step, step)));
        return ticks;
    }

    // As many decimals as the step has, and powers of ten where that would be a long row of zeros.
    private static string Text(double value, double step)
    {
        double size = Math.Max(Math.Abs(value), step);
        if (size >= 1e5 || (size < 1e-3 && size > 0))
            return value == 0 ? "0" : value.ToString("0.##E0", CultureInfo.InvariantCulture).Replace("E", "e", StringComparison.Ordinal);
        int decimals = step > 0 ? Math.Max(0, -(int)Math.Floor(Math.Log10(step) + 1e-9)) : 4;
        // The sum has no negative zero.
        return (Math.Round(value, decimals) + 0.0).ToString(step > 0 ? $"F{decimals}" : "0.####", CultureInfo.InvariantCulture);
    }
}
