// The demos in one table. To add one: its file with a Run method, and its line below; the command, its help and the tests find it.

using System.Globalization;
using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

/// <summary>A worked example.</summary>
/// <param name="Name">What it is called on the command line.</param>
/// <param name="Summary">What it shows, in one line.</param>
/// <param name="Run">Does it, on a device.</param>
internal sealed record Demo(string Name, string Summary, Func<Device, DemoResult> Run)
{
    /// <summary>All demos, in the order in which a course has them.</summary>
    public static readonly Demo[] All =
    [
        new("ascent", "gradient ascent to a maximum of 5x^3 + 2x^2 - 3x", AscentDemo.Run),
        new("descent", "gradient descent to a minimum of the same function", DescentDemo.Run),
        new("parameters", "the coefficients of a cubic, learned online from its samples", ParametersDemo.Run),
        new("linear", "a line cannot fit a cubic: its residual says so", LinearDemo.Run),
        new("polynomial", "powers as features: a linear layer fits the cubic", PolynomialDemo.Run),
        new("surface", "the way down a surface of two variables", SurfaceDemo.Run),
        new("xor", "what no linear model can do, and two ReLU units can", XorDemo.Run),
        new("boxcar", "two sigmoid units make a box, many make any function", BoxcarDemo.Run),
        new("vanishing", "how gradients fade through ten layers of sigmoids, and do not with ReLU or SELU", VanishingDemo.Run),
        new("descents", "batch, mini-batch and online descent on one problem", DescentsDemo.Run),
        new("adversarial", "digits changed a little fool a network; adversarial training helps", AdversarialDemo.Run),
        new("distill", "a small student with and without a teacher", DistillDemo.Run),
        new("dropout", "dropout on a small slice of the digits", DropoutDemo.Run),
        new("lrdropout", "learning-rate dropout on a small slice of the digits, beside plainly smaller steps", LearningRateDropoutDemo.Run),
        new("earlystopping", "stopping where the validation loss is least", EarlyStoppingDemo.Run),
        new("augment", "shifted and turned copies in place of more data", AugmentDemo.Run),
        new("sequence", "a simple recurrent layer, an LSTM and a GRU remember a symbol and forecast a season", SequenceDemo.Run),
    ];
}

/// <summary>What a demo found: a table, facts that its test holds, and a picture.</summary>
internal sealed class DemoResult(params string[] columns)
{
    private readonly Dictionary<string, double> _facts = [];

    /// <summary>The heads of the columns.</summary>
    public string[] Columns { get; } = columns;

    /// <summary>The rows of the table.</summary>
    public List<string[]> Rows { get; } = [];

    /// <summary>What is to be learned from it.</summary>
    public string Conclusion { get; set; } = "";

    /// <summary>What <c>--plot</c> writes.</summary>
    public Picture? Picture { get; set; }

    /// <summary>A number that the test holds.</summary>
    public double this[string fact]
    {
        get => _facts[fact];
        set => _facts[fact] = value;
    }

    /// <summary>Adds a row: texts as they are, numbers with four decimals at most.</summary>
    public void Row(params object[] cells)
    {
        Rows.Add(Array.ConvertAll(cells, cell => cell switch
        {
            double number => Number(number),
            float number => Number(number),
            IFormattable other => other.ToString(null, CultureInfo.InvariantCulture),
            _ => cell.ToString()!,
        }));
    }

    /// <summary>The table as text, numbers to the right.</summary>
    public string Table()
    {
        string[][] lines = [Columns, .. Rows];
        int[] widths = [.. Enumerable.Range(0, Columns.Length).Select(i => lines.Max(l => l[i].Length))];
        return string.Join('\n', lines.Select(line => string.Join("  ", line.Select((cell, i) =>
            i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))).TrimEnd()));
    }

    private static string Number(double number)
    {
        double size = Math.Abs(number);
        // A rounding error of a double is a zero to a reader.
        return size < 1e-12 ? "0"
            : size is >= 1e-3 and < 1e6 ? number.ToString("0.0000", CultureInfo.InvariantCulture)
            : number.ToString("0.00e0", CultureInfo.InvariantCulture);
    }
}
