// Two or more charts side by side in one document: what belongs together but has axes of its own.

using System.Globalization;
using System.Text;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>Charts side by side, from left to right.</summary>
internal sealed class Panels(params Chart[] charts) : Picture
{
    private const double Heading = 44;

    public override string ToSvg()
    {
        double width = charts.Length * Chart.Width, height = Heading + Chart.Height;
        var text = new StringBuilder();
        for (int i = 0; i < charts.Length; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"<g transform=\"translate({SvgText.Number(i * Chart.Width)} {SvgText.Number(Heading)})\">\n");
            // Names in a document are unique: each chart's own ones carry its number.
            text.Append(charts[i].Body($"panel{i + 1}-")).Append("</g>\n");
        }
        return new SvgText(width, height).Label(16, 30, Title, 19, "start", "#111", bold: true).Raw(text.ToString()).ToString();
    }
}
