// Two or more charts in one document: what belongs together but has axes of its own.

using System.Globalization;
using System.Text;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>Charts side by side, from left to right, and from top to bottom where they are more than the columns.</summary>
internal sealed class Panels(params Chart[] charts) : Picture
{
    private const double Heading = 44;

    /// <summary>How many stand side by side.</summary>
    public int Columns { get; init; } = charts.Length;

    public override string ToSvg()
    {
        int rows = (charts.Length + Columns - 1) / Columns;
        double width = Columns * Chart.Width, height = Heading + rows * Chart.Height;
        var text = new StringBuilder();
        for (int i = 0; i < charts.Length; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate({SvgText.Number(i % Columns * Chart.Width)} {SvgText.Number(Heading + i / Columns * Chart.Height)})\">\n");
            // Names in a document are unique: each chart's own ones carry its number.
            text.Append(charts[i].Body($"panel{i + 1}-")).Append("</g>\n");
        }
        return new SvgText(width, height).Label(16, 30, Title, 19, "start", "#111", bold: true).Raw(text.ToString()).ToString();
    }
}
