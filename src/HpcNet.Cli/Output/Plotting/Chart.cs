// A chart: curves, points, bars or a surface over two axes, with grid, ticks, labels and a legend.

using System.Text;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>Curves, points, bars and surfaces over two axes. What is added first lies below.</summary>
internal sealed class Chart : Picture
{
    /// <summary>The size of the paper.</summary>
    public const double Width = 760, Height = 500;

    private const double Left = 76, Bottom = 58, Right = 24;
    private const int SurfaceCells = 160, SurfaceLevels = 20;

    private readonly List<Layer> _layers = [];
    private Surface? _surface;
    private string[]? _categories;

    private enum Mark
    {
        Curve,
        Dashed,
        Point,
        Bar,
        Boundary,
    }

    private sealed record Layer(string Name, Mark Mark, double[] X, double[] Y);

    private sealed record Surface(double[,] Values, (double Low, double High) X, (double Low, double High) Y, double Low, double High);

    /// <summary>What the horizontal axis is.</summary>
    public required string XLabel { get; init; }

    /// <summary>What the vertical axis is.</summary>
    public required string YLabel { get; init; }

    /// <summary>Whether equal heights are equal factors; numbers of 0 and less are not shown then.</summary>
    public bool LogarithmicY { get; init; }

    /// <summary>The same for the horizontal axis.</summary>
    public bool LogarithmicX { get; init; }

    /// <summary>The range of the vertical axis; null: that of the numbers.</summary>
    public (double Low, double High)? YRange { get; init; }

    /// <summary>Adds a curve; NaN interrupts it.</summary>
    public Chart Curve(string name, IEnumerable<double> x, IEnumerable<double> y, bool dashed = false) =>
        Add(name, dashed ? Mark.Dashed : Mark.Curve, x, y);

    /// <summary>Adds a curve over 1, 2, 3, ...</summary>
    public Chart Curve(string name, IReadOnlyList<double> y, bool dashed = false) =>
        Curve(name, Enumerable.Range(1, y.Count).Select(i => (double)i), y, dashed);

    /// <summary>Adds a function over a range.</summary>
    public Chart Function(string name, Func<double, double> f, double low, double high, bool dashed = false)
    {
        double[] x = [.. Enumerable.Range(0, 401).Select(i => low + (high - low) * i / 400)];
        return Curve(name, x, x.Select(f), dashed);
    }

    /// <summary>Adds points.</summary>
    public Chart Points(string name, IEnumerable<double> x, IEnumerable<double> y) => Add(name, Mark.Point, x, y);

    /// <summary>Adds bars, one for each category; several calls stand side by side.</summary>
    public Chart Bars(string name, IReadOnlyList<string> categories, IEnumerable<double> heights)
    {
        _categories = [.. categories];
        return Add(name, Mark.Bar, Enumerable.Range(0, categories.Count).Select(i => (double)i), heights);
    }

    /// <summary>Puts a function of two variables below everything, as bands of colour.</summary>
    public Chart Heights(Func<double, double, double> f, (double Low, double High) x, (double Low, double High) y)
    {
        var values = new double[SurfaceCells, SurfaceCells];
        double low = double.PositiveInfinity, high = double.NegativeInfinity;
        for (int row = 0; row < SurfaceCells; row++)
        {
            for (int column = 0; column < SurfaceCells; column++)
            {
                double value = f(
                    x.Low + (column + 0.5) / SurfaceCells * (x.High - x.Low), y.Low + (row + 0.5) / SurfaceCells * (y.High - y.Low));
                values[row, column] = value;
                (low, high) = (Math.Min(low, value), Math.Max(high, value));
            }
        }
        _surface = new Surface(values, x, y, low, high);
        return this;
    }

    /// <summary>Draws the line where the surface that was added before has a height: between two classes, for example.</summary>
    public Chart Boundary(string name, double level)
    {
        (double[,] values, var rangeX, var rangeY, _, _) = _surface ?? throw new InvalidOperationException("A boundary needs a surface: call Heights first.");
        var x = new List<double>();
        var y = new List<double>();
        // In each square of four neighbours the line runs straight between the sides that it crosses (marching squares).
        for (int row = 0; row + 1 < SurfaceCells; row++)
        {
            for (int column = 0; column + 1 < SurfaceCells; column++)
            {
                var crossings = new List<(double X, double Y)>(4);
                Cross(column, row, column + 1, row);
                Cross(column + 1, row, column + 1, row + 1);
                Cross(column + 1, row + 1, column, row + 1);
                Cross(column, row + 1, column, row);
                for (int i = 0; i + 1 < crossings.Count; i += 2)
                {
                    x.AddRange(crossings[i].X, crossings[i + 1].X, double.NaN);
                    y.AddRange(crossings[i].Y, crossings[i + 1].Y, double.NaN);
                }

                void Cross(int fromColumn, int fromRow, int toColumn, int toRow)
                {
                    double from = values[fromRow, fromColumn] - level, to = values[toRow, toColumn] - level;
                    if (from < 0 == to < 0)
                        return;
                    double share = from / (from - to);
                    crossings.Add((
                        rangeX.Low + (fromColumn + share * (toColumn - fromColumn) + 0.5) / SurfaceCells * (rangeX.High - rangeX.Low),
                        rangeY.Low + (fromRow + share * (toRow - fromRow) + 0.5) / SurfaceCells * (rangeY.High - rangeY.Low)));
                }
            }
        }
        return Add(name, Mark.Boundary, x, y);
    }

    public override string ToSvg() => new SvgText(Width, Height).Raw(Body("")).ToString();

    /// <summary>The elements alone.</summary>
    /// <param name="prefix">Put before the names of what other elements refer to.</param>
    public string Body(string prefix)
    {
        var svg = new SvgText(Width, Height);
        double right = _surface is null ? Right : 92;
        svg.Label(Left, 28, Title, 17, "start", "#111", bold: true);
        double top = 44 + Legend(svg, 48, Width - Left - Right) + 10;
        Axis x = XAxis(Width - right), y = YAxis(top);
        double plotWidth = Width - right - Left, plotHeight = Height - Bottom - top;

        svg.BeginClip(prefix + "plot", Left, top, plotWidth, plotHeight);
        if (_surface is not null)
            Draw(svg, _surface, x, y);
        svg.End();
        Grid(svg, x, y, top, Width - right);
        svg.BeginClip(prefix + "marks", Left - 6, top - 6, plotWidth + 12, plotHeight + 12);
        for (int i = 0; i < _layers.Count; i++)
            Draw(svg, i, x, y);
        svg.End();

        svg.Label(Left + plotWidth / 2, Height - 14, XLabel, 13);
        svg.Label(20, top + plotHeight / 2, YLabel, 13, turned: -90);
        if (_surface is not null)
            Key(svg, _surface, top, plotHeight);
        return svg.Body();
    }

    private Chart Add(string name, Mark mark, IEnumerable<double> x, IEnumerable<double> y)
    {
        double[] xs = [.. x], ys = [.. y];
        if (xs.Length != ys.Length)
            throw new ArgumentException($"'{name}' has {xs.Length} places and {ys.Length} heights.", nameof(y));
        _layers.Add(new Layer(name, mark, xs, ys));
        return this;
    }

    private Axis XAxis(double right)
    {
        if (_categories is not null)
            return new Axis(-0.5, _categories.Length - 0.5, Left, right);
        if (_surface is not null)
            return new Axis(_surface.X.Low, _surface.X.High, Left, right);
        double[] all = [.. _layers.SelectMany(l => l.X).Where(v => double.IsFinite(v) && (!LogarithmicX || v > 0))];
        return all.Length == 0
            ? new Axis(LogarithmicX ? 0.1 : 0, 1, Left, right, LogarithmicX)
            : new Axis(all.Min(), all.Max(), Left, right, LogarithmicX);
    }

    private Axis YAxis(double top)
    {
        double from = Height - Bottom;
        if (_surface is not null)
            return new Axis(_surface.Y.Low, _surface.Y.High, from, top);
        if (YRange is var (low, high))
            return new Axis(low, high, from, top, LogarithmicY);
        double[] all = [.. _layers.SelectMany(l => l.Y).Where(v => double.IsFinite(v) && (!LogarithmicY || v > 0))];
        if (all.Length == 0)
            return new Axis(LogarithmicY ? 0.1 : 0, 1, from, top, LogarithmicY);
        (low, high) = (all.Min(), all.Max());
        if (LogarithmicY)
            return new Axis(low / 1.3, high * 1.3, from, top, true);
        bool bars = _layers.Any(l => l.Mark == Mark.Bar);
        if (bars)
            (low, high) = (Math.Min(low, 0), Math.Max(high, 0));
        double room = 0.04 * (high - low);
        return new Axis(bars && low == 0 ? 0 : low - room, high + room, from, top);
    }

    private void Grid(SvgText svg, Axis x, Axis y, double top, double right)
    {
        double bottom = Height - Bottom;
        string line = _surface is null ? "#e4e4e4" : "#ffffff40";
        foreach (var (value, text) in y.Ticks(7))
        {
            double place = y.Place(value);
            svg.Line(Left, place, right, place, line);
            svg.Label(Left - 8, place + 4, text, 12, "end");
        }
        if (_categories is null)
        {
            foreach (var (value, text) in x.Ticks(9))
            {
                double place = x.Place(value);
                svg.Line(place, top, place, bottom, line);
                svg.Label(place, bottom + 18, text, 12);
            }
        }
        else
        {
            for (int i = 0; i < _categories.Length; i++)
                svg.Label(x.Place(i), bottom + 18, _categories[i], 12);
        }
        svg.Line(Left, bottom, right, bottom, "#777").Line(Left, top, Left, bottom, "#777");
    }

    // Returns how high it is; a single series needs none if the axis says what it is.
    private double Legend(SvgText svg, double top, double width)
    {
        if (_layers.Count == 0 || (_layers.Count == 1 && _layers[0].Name.Length == 0))
            return 0;
        double x = 0, y = top;
        for (int i = 0; i < _layers.Count; i++)
        {
            if (_layers[i].Name.Length == 0)
                continue;
            double needs = 46 + 6.3 * _layers[i].Name.Length;
            if (x > 0 && x + needs > width)
                (x, y) = (0, y + 19);
            switch (_layers[i].Mark)
            {
                case Mark.Bar:
                    svg.Rectangle(Left + x, y - 5, 16, 11, SeriesColor(i));
                    break;
                case Mark.Point:
                    Dot(svg, Left + x + 8, y, i);
                    break;
                default:
                    Path(svg, $"M{SvgText.Number(Left + x)} {SvgText.Number(y)}h18", i, _layers[i].Mark);
                    break;
            }
            svg.Label(Left + x + 24, y + 4, _layers[i].Name, 12.5, "start");
            x += needs;
        }
        return y - top + 16;
    }

    private void Draw(SvgText svg, int index, Axis x, Axis y)
    {
        Layer layer = _layers[index];
        switch (layer.Mark)
        {
            case Mark.Bar:
                int[] bars = [.. Enumerable.Range(0, _layers.Count).Where(i => _layers[i].Mark == Mark.Bar)];
                double room = (x.Place(1) - x.Place(0)) * 0.78, width = room / bars.Length;
                double zero = Math.Min(y.Place(LogarithmicY ? 1e-300 : 0), Height - Bottom);
                for (int i = 0; i < layer.X.Length; i++)
                {
                    if (!double.IsFinite(layer.Y[i]) || (LogarithmicY && layer.Y[i] <= 0))
                        continue;
                    double left = x.Place(layer.X[i]) - room / 2 + Array.IndexOf(bars, index) * width;
                    double height = y.Place(layer.Y[i]);
                    svg.Rectangle(left + 1, Math.Min(height, zero), width - 2, Math.Abs(zero - height), SeriesColor(index));
                }
                break;
            case Mark.Point:
                for (int i = 0; i < layer.X.Length; i++)
                {
                    if (double.IsFinite(layer.Y[i]))
                        Dot(svg, x.Place(layer.X[i]), y.Place(layer.Y[i]), index);
                }
                break;
            default:
                var path = new StringBuilder();
                bool pen = false;
                for (int i = 0; i < layer.X.Length; i++)
                {
                    bool visible = double.IsFinite(layer.X[i]) && double.IsFinite(layer.Y[i]) && (!LogarithmicY || layer.Y[i] > 0)
                        && (!LogarithmicX || layer.X[i] > 0);
                    if (visible)
                        path.Append(pen ? 'L' : 'M').Append(SvgText.Number(x.Place(layer.X[i]))).Append(' ').Append(SvgText.Number(y.Place(layer.Y[i])));
                    pen = visible;
                }
                if (path.Length > 0)
                    Path(svg, path.ToString(), index, layer.Mark);
                break;
        }
    }

    // Neighbours of one colour in a row are one rectangle.
    private static void Draw(SvgText svg, Surface surface, Axis x, Axis y)
    {
        double cellX = (surface.X.High - surface.X.Low) / SurfaceCells, cellY = (surface.Y.High - surface.Y.Low) / SurfaceCells;
        for (int row = 0; row < SurfaceCells; row++)
        {
            double upper = y.Place(surface.Y.Low + (row + 1) * cellY), lower = y.Place(surface.Y.Low + row * cellY);
            for (int from = 0, to; from < SurfaceCells; from = to)
            {
                double share = Share(surface, surface.Values[row, from]);
                for (to = from + 1; to < SurfaceCells && Share(surface, surface.Values[row, to]) == share;)
                    to++;
                double left = x.Place(surface.X.Low + from * cellX), right = x.Place(surface.X.Low + to * cellX);
                // A little wider and higher than the cell: no seams.
                svg.Rectangle(left, upper, right - left + 0.4, lower - upper + 0.4, ScaleColor(share));
            }
        }
    }

    private static double Share(Surface surface, double value)
    {
        if (!(surface.High > surface.Low) || !double.IsFinite(value))
            return 0.5;
        int level = (int)((value - surface.Low) / (surface.High - surface.Low) * SurfaceLevels);
        return Math.Min(level, SurfaceLevels - 1) / (SurfaceLevels - 1.0);
    }

    private static void Key(SvgText svg, Surface surface, double top, double height)
    {
        double step = height / SurfaceLevels;
        for (int i = 0; i < SurfaceLevels; i++)
            svg.Rectangle(Width - 76, top + height - (i + 1) * step, 14, step + 0.4, ScaleColor(i / (SurfaceLevels - 1.0)));
        var axis = new Axis(surface.Low, surface.High, top + height, top);
        foreach (var (value, text) in axis.Ticks(6))
            svg.Label(Width - 56, axis.Place(value) + 4, text, 11, "start");
    }

    private void Dot(SvgText svg, double x, double y, int index) => svg.Element(
        "circle", ("cx", x), ("cy", y), ("r", 4), ("fill", SeriesColor(index)), ("stroke", "#fff"), ("stroke-width", 1.2));

    // Over a surface a curve has a white seam, so that it is seen on every colour; a boundary is made of many pieces and has none.
    private void Path(SvgText svg, string data, int index, Mark mark)
    {
        if (_surface is not null && mark != Mark.Boundary)
            svg.Element("path", ("d", data), ("fill", "none"), ("stroke", "#fff"), ("stroke-width", 4.5), ("stroke-linejoin", "round"));
        svg.Element(
            "path", ("d", data), ("fill", "none"), ("stroke", mark == Mark.Boundary ? "#111" : SeriesColor(index)), ("stroke-width", 2.2),
            ("stroke-linejoin", "round"), ("stroke-linecap", mark == Mark.Boundary ? "round" : ""),
            ("stroke-dasharray", mark == Mark.Dashed ? "7 5" : ""));
    }
}
