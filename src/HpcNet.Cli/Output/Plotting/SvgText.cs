// SVG as text: elements with escaped attributes and numbers of two decimals, independent of the culture. What a picture shows is in
// Chart.cs and ImageGrid.cs.

using System.Globalization;
using System.Text;

namespace HpcNet.Cli.Output.Plotting;

/// <summary>An SVG document being written.</summary>
internal sealed class SvgText
{
    private readonly StringBuilder _text = new();
    private readonly double _width;
    private readonly double _height;

    public SvgText(double width, double height) => (_width, _height) = (width, height);

    /// <summary>A number as it stands in an attribute.</summary>
    public static string Number(double value)
    {
        string text = Math.Round(value, 2).ToString("0.##", CultureInfo.InvariantCulture);
        return text == "-0" ? "0" : text;
    }

    /// <summary>An element without content.</summary>
    /// <param name="name">The element.</param>
    /// <param name="attributes">Names and values; a value is a text or a number.</param>
    public SvgText Element(string name, params ReadOnlySpan<(string Name, object Value)> attributes)
    {
        Open(name, attributes);
        _text.Append("/>\n");
        return this;
    }

    /// <summary>A text. <paramref name="anchor"/> is start, middle or end.</summary>
    public SvgText Label(double x, double y, string text, double size, string anchor = "middle", string fill = "#333", double turned = 0, bool bold = false)
    {
        Open(
            "text",
            [
                ("x", x), ("y", y), ("font-size", size), ("text-anchor", anchor), ("fill", fill), ("font-weight", bold ? "600" : "400"),
                ("transform", turned == 0 ? "" : $"rotate({Number(turned)} {Number(x)} {Number(y)})"),
            ]);
        _text.Append('>').Append(Escape(text)).Append("</text>\n");
        return this;
    }

    /// <summary>A straight line.</summary>
    public SvgText Line(double x1, double y1, double x2, double y2, string stroke, double width = 1) =>
        Element("line", ("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2), ("stroke", stroke), ("stroke-width", width));

    /// <summary>A filled rectangle.</summary>
    public SvgText Rectangle(double x, double y, double width, double height, string fill, string stroke = "none") =>
        Element("rect", ("x", x), ("y", y), ("width", Math.Max(0, width)), ("height", Math.Max(0, height)), ("fill", fill), ("stroke", stroke));

    /// <summary>Begins a group that shows nothing outside a rectangle.</summary>
    public SvgText BeginClip(string id, double x, double y, double width, double height)
    {
        _text.Append(CultureInfo.InvariantCulture, $"<clipPath id=\"{Escape(id)}\">");
        Rectangle(x, y, width, height, "none");
        _text.Append(CultureInfo.InvariantCulture, $"</clipPath>\n<g clip-path=\"url(#{Escape(id)})\">\n");
        return this;
    }

    /// <summary>Ends a group.</summary>
    public SvgText End()
    {
        _text.Append("</g>\n");
        return this;
    }

    /// <summary>Elements that are written already.</summary>
    public SvgText Raw(string elements)
    {
        _text.Append(elements);
        return this;
    }

    /// <summary>What was written, without the document around it.</summary>
    public string Body() => _text.ToString();

    /// <summary>The whole document.</summary>
    public override string ToString() =>
        $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Number(_width)}\" height=\"{Number(_height)}\" "
        + $"viewBox=\"0 0 {Number(_width)} {Number(_height)}\" font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\">\n"
        + $"<rect x=\"0\" y=\"0\" width=\"{Number(_width)}\" height=\"{Number(_height)}\" fill=\"#fff\"/>\n{_text}</svg>\n";

    private void Open(string name, ReadOnlySpan<(string Name, object Value)> attributes)
    {
        _text.Append('<').Append(name);
        foreach (var (attribute, value) in attributes)
        {
            string text = value is string given ? given : Number(Convert.ToDouble(value, CultureInfo.InvariantCulture));
            if (text.Length > 0)
                _text.Append(' ').Append(attribute).Append("=\"").Append(Escape(text)).Append('"');
        }
    }

    // Control characters have no place in XML at all.
    private static string Escape(string text)
    {
        var result = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            _ = rune.Value switch
            {
                '&' => result.Append("&amp;"),
                '<' => result.Append("&lt;"),
                '>' => result.Append("&gt;"),
                '"' => result.Append("&quot;"),
                < ' ' or 0xFFFE or 0xFFFF => result.Append('?'),
                _ => result.Append(rune.ToString()),
            };
        }
        return result.ToString();
    }
}
