// Small grey images in rows, each with a caption: digits as they are and as something has changed them.

namespace HpcNet.Cli.Output.Plotting;

/// <summary>Rows of grey images; 0 is white, 1 black.</summary>
internal sealed class ImageGrid(int imageHeight, int imageWidth) : Picture
{
    private const double Cell = 84, Gap = 12, CaptionHeight = 18, Left = 128, Top = 52;

    private readonly List<(string Name, List<(float[] Pixels, string Caption)> Images)> _rows = [];

    /// <summary>Begins a row.</summary>
    public ImageGrid Row(string name)
    {
        _rows.Add((name, []));
        return this;
    }

    /// <summary>Adds an image to the last row.</summary>
    /// <param name="pixels">[height × width], row-major, 0 to 1.</param>
    /// <param name="caption">What stands below it.</param>
    public ImageGrid Image(ReadOnlySpan<float> pixels, string caption = "")
    {
        if (pixels.Length != imageHeight * imageWidth)
            throw new ArgumentException($"An image of {imageHeight} x {imageWidth} pixels was expected, got {pixels.Length} numbers.", nameof(pixels));
        _rows[^1].Images.Add((pixels.ToArray(), caption));
        return this;
    }

    public override string ToSvg()
    {
        int most = _rows.Max(r => r.Images.Count);
        var svg = new SvgText(Left + most * (Cell + Gap) + 12, Top + _rows.Count * (Cell + CaptionHeight + Gap));
        svg.Label(16, 30, Title, 17, "start", "#111", bold: true);
        for (int r = 0; r < _rows.Count; r++)
        {
            double top = Top + r * (Cell + CaptionHeight + Gap);
            svg.Label(16, top + Cell / 2 + 4, _rows[r].Name, 13, "start");
            for (int i = 0; i < _rows[r].Images.Count; i++)
            {
                var (pixels, caption) = _rows[r].Images[i];
                double left = Left + i * (Cell + Gap), height = Cell / imageHeight, width = Cell / imageWidth;
                for (int p = 0; p < pixels.Length; p++)
                {
                    int grey = 255 - (int)Math.Round(255 * Math.Clamp(pixels[p], 0f, 1f));
                    svg.Rectangle(
                        left + p % imageWidth * width, top + p / imageWidth * height, width + 0.3, height + 0.3, $"rgb({grey},{grey},{grey})");
                }
                svg.Rectangle(left, top, Cell, Cell, "none", "#bbb");
                svg.Label(left + Cell / 2, top + Cell + 14, caption, 12);
            }
        }
        return svg.ToString();
    }
}
