// What can be shown: a picture writes itself as an SVG document. Colours that stay apart for all kinds of sight are here.

using System.Text;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>Something that can be written as SVG.</summary>
internal abstract class Picture
{
    // Okabe and Ito's colours (2008), the yellow left out for white paper.
    private static readonly string[] Series = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#555555"];

    // Points of a scale from dark blue over green to yellow that grows lighter evenly, as viridis does.
    private static readonly (double R, double G, double B)[] Scale =
        [(68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129), (92, 200, 99), (170, 220, 50), (253, 231, 37)];

    /// <summary>The heading.</summary>
    public required string Title { get; init; }

    /// <summary>The document.</summary>
    public abstract string ToSvg();

    /// <summary>Writes the document to a file.</summary>
    public void Save(string path) => OutputFile.Write(path, stream => stream.Write(Encoding.UTF8.GetBytes(ToSvg())));

    /// <summary>The colour of the i-th series.</summary>
    protected static string SeriesColor(int index) => Series[index % Series.Length];

    /// <summary>The colour of a share from 0 to 1.</summary>
    protected static string ScaleColor(double share)
    {
        double place = Math.Clamp(share, 0, 1) * (Scale.Length - 1);
        int low = Math.Min((int)place, Scale.Length - 2);
        double rest = place - low;
        return $"#{Part(c => c.R)}{Part(c => c.G)}{Part(c => c.B)}";

        string Part(Func<(double R, double G, double B), double> of) =>
            ((int)Math.Round((1 - rest) * of(Scale[low]) + rest * of(Scale[low + 1]))).ToString("x2", System.Globalization.CultureInfo.InvariantCulture);
    }
}
