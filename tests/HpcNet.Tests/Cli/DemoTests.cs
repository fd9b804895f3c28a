// DemoTests.cs: every demo of the table has a row here that holds what it promises; its picture is an SVG document that XML readers
// take; and the command lists, prints and draws them.

using System.Xml.Linq;
using HpcNet.Cli.Demos;
using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Tests.Cli;

public sealed class DemoTests
{
    private static readonly Dictionary<string, Action<DemoResult>> Rows = new()
    {
        ["ascent"] = r =>
        {
            Assert.Equal(-0.6, r["x"], 1e-8);
            Assert.Equal(1.44, r["f"], 1e-12);
        },
        ["descent"] = r =>
        {
            Assert.Equal(1 / 3.0, r["x"], 1e-8);
            Assert.Equal(-0.5926, r["f"], 5e-5);
        },
        ["parameters"] = r =>
        {
            Assert.Equal(174, r["epochs"]);
            Assert.Equal(5, r["a"], 1e-4);
            Assert.Equal(2, r["b"], 1e-4);
            Assert.Equal(-3, r["c"], 1e-4);
        },
        ["linear"] = r =>
        {
            // The normal equations of the 201 samples: the slope is 5 S4 / S2 - 3, the intercept twice the mean of x squared.
            double s2 = Enumerable.Range(-100, 201).Sum(i => Math.Pow(i / 100.0, 2)), s4 = Enumerable.Range(-100, 201).Sum(i => Math.Pow(i / 100.0, 4));
            Assert.Equal(5 * s4 / s2 - 3, r["slope"], 1e-4);
            Assert.Equal(2 * s2 / 201, r["intercept"], 1e-4);
            Assert.InRange(r["error"], 0.9, 1.0);
            Assert.InRange(r["r2"], 0, 0.01);
        },
        ["polynomial"] = r =>
        {
            Assert.Equal(-3, r["x1"], 1e-3);
            Assert.Equal(2, r["x2"], 1e-3);
            Assert.Equal(5, r["x3"], 1e-3);
            Assert.True(r["error3"] < 1e-8 && r["error2"] > 0.5 && r["error1"] > 0.9);
        },
        ["surface"] = r =>
        {
            Assert.Equal(8, r["a"], 1e-8);
            Assert.Equal(2, r["b"], 1e-8);
            Assert.Equal(8, r["momentum a"], 1e-8);
            Assert.Equal(2, r["momentum b"], 1e-8);
        },
        ["xor"] = r =>
        {
            double[] wanted = [0, 1, 1, 0];
            for (int i = 0; i < 4; i++)
            {
                Assert.Equal(0.5, r[$"linear{i}"], 1e-4);
                Assert.Equal(wanted[i], r[$"given{i}"]);
                Assert.Equal(wanted[i], r[$"trained{i}"], 0.05);
            }
        },
        ["boxcar"] = r =>
        {
            Assert.Equal(1, r["inside"], 1e-6);
            Assert.Equal(0, r["left"], 1e-6);
            Assert.Equal(0, r["right"], 1e-6);
            Assert.Equal(0.5, r["edge"], 1e-6);
            Assert.True(r["error80"] < r["error40"] && r["error40"] < r["error20"] && r["error20"] < r["error10"]);
            Assert.True(r["error80"] < 0.05);
        },
        ["vanishing"] = r =>
        {
            Assert.True(r["Sigmoid"] < 1e-4);
            Assert.InRange(r["ReLU"], 0.1, 10);
            Assert.InRange(r["SELU"], 0.1, 10);
        },
        ["descents"] = r => Assert.True(r["online loss"] < r["mini-batch loss"] && r["mini-batch loss"] < r["batch loss"]),
        ["adversarial"] = r =>
        {
            Assert.True(r["ordinary clean"] > 0.95 && r["hardened clean"] > 0.93);
            Assert.True(r["ordinary attacked"] < 0.35, "the attack is weak");
            // Much of what was lost comes back.
            Assert.True(r["hardened attacked"] - r["ordinary attacked"] > 0.4 * (r["ordinary clean"] - r["ordinary attacked"]));
        },
        ["distill"] = r => Assert.True(r["distilled"] > r["alone"] + 0.01 && r["teacher"] > r["distilled"]),
        ["dropout"] = r => Assert.True(r["loss with"] < r["loss without"] && r["accuracy with"] > r["accuracy without"]),
        ["earlystopping"] = r =>
        {
            Assert.True(r["epochs"] < 150);
            Assert.Equal(r["best epoch"] + 10, r["epochs"]);
            Assert.Equal(r["lowest"], r["at best"]);
            Assert.True(r["loss with"] < r["loss without"]);
        },
        ["lrdropout"] = r =>
        {
            Assert.True(r["accuracy with"] > r["accuracy without"] + 0.015 && r["loss with"] < r["loss without"]);
            Assert.True(r["accuracy with much"] > r["accuracy with"]);
            // What the demo's conclusion says: no more than smaller steps do.
            Assert.Equal(r["accuracy half"], r["accuracy with"], 0.015);
        },
        ["sequence"] = r =>
        {
            foreach (string layer in new[] { "SimpleRnn", "LSTM", "GRU" })
            {
                Assert.True(r[$"{layer} short"] > 0.95, layer);
                Assert.True(r[$"{layer} next"] < 0.9 * r["last year"] && r[$"{layer} ahead"] < 0.9 * r["last known year"], layer);
                Assert.True(r[$"{layer} ahead"] > 0.08, $"{layer} forecasts noise");
            }
            Assert.True(r["LSTM long"] > 0.9 && r["GRU long"] > 0.9);
            Assert.True(r["SimpleRnn long"] < 0.65);
        },
        ["augment"] = r => Assert.True(r["augmented"] > r["plain"] && r["augmented, turned"] > r["plain, turned"] + 0.02),
    };

    public static TheoryData<string> Names() => [.. Demo.All.Select(d => d.Name)];

    [Theory]
    [MemberData(nameof(Names))]
    public void Results_are_as_promised(string name)
    {
        Demo demo = Demo.All.Single(d => d.Name == name);
        DemoResult result = demo.Run(Targets.Open(Targets.Cpu));
        Assert.True(Rows.TryGetValue(name, out Action<DemoResult>? check), $"no row holds the result of '{name}'");
        check(result);
        Assert.NotEmpty(result.Conclusion);
        Assert.NotEmpty(result.Rows);
        Assert.All(result.Rows, row => Assert.Equal(result.Columns.Length, row.Length));
        Assert.All(result.Table().Split('\n'), line => Assert.InRange(line.Length, 1, 130));

        XElement svg = XDocument.Parse(result.Picture!.ToSvg()).Root!;
        Assert.Equal("{http://www.w3.org/2000/svg}svg", svg.Name.ToString());
        Assert.True(svg.Descendants().Count() > 20);
        Assert.DoesNotContain("NaN", svg.ToString());
        Assert.DoesNotContain("∞", svg.ToString());
    }

    [Fact]
    public void Demos_repeat_themselves_bit_by_bit()
    {
        foreach (string name in new[] { "xor", "earlystopping" })
        {
            Demo demo = Demo.All.Single(d => d.Name == name);
            Assert.Equal(demo.Run(Targets.Open(Targets.Cpu)).Table(), demo.Run(Targets.Open(Targets.Cpu)).Table());
        }
    }

    [SkippableFact]
    public void Demos_run_on_OpenCl()
    {
        Device device = Targets.Open(Targets.OpenCl);
        foreach (string name in new[] { "linear", "xor", "adversarial" })
            Rows[name](Demo.All.Single(d => d.Name == name).Run(device));
    }

    [Fact]
    public void The_command_lists_prints_and_draws()
    {
        string folder = Path.Combine(Path.GetTempPath(), $"hpcnet-demos-{Guid.NewGuid():N}");
        Directory.CreateDirectory(folder);
        try
        {
            CliProcess.Outcome list = CliProcess.Run(folder, "demo");
            Assert.Equal(0, list.ExitCode);
            Assert.All(Demo.All, d => Assert.Contains(d.Summary, list.Output));
            CliProcess.Outcome one = CliProcess.Run(folder, "demo", "ascent", "--plot", "way.svg");
            Assert.Equal("", one.Error);
            Assert.Contains("f(-0.6000) = 1.4400", one.Output);
            XDocument.Load(Path.Combine(folder, "way.svg"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void An_unknown_demo_is_one_error_with_the_list()
    {
        CliProcess.Outcome outcome = CliProcess.Run(Path.GetTempPath(), "demo", "asent");
        Assert.Equal(2, outcome.ExitCode);
        Assert.Equal("", outcome.Output);
        Assert.Single(outcome.Error.TrimEnd().Split('\n'));
        Assert.StartsWith("hpcnet: There is no demo 'asent'", outcome.Error);
        Assert.All(Demo.All, d => Assert.Contains(d.Name, outcome.Error));
    }

    [Fact]
    public void Boundaries_follow_the_level()
    {
        // The circle of radius 2 around (1, 0), drawn in pieces.
        string svg = new Chart { Title = "t", XLabel = "x", YLabel = "y" }
            .Heights((x, y) => (x - 1) * (x - 1) + y * y, (-3, 5), (-4, 4)).Boundary("radius 2", 4).ToSvg();
        Assert.Contains(">radius 2</text>", svg);
        XElement[] paths = [.. XDocument.Parse(svg).Descendants().Where(e => e.Name.LocalName == "path" && e.Attribute("d")!.Value.Contains('L'))];
        string[] places = Assert.Single(paths).Attribute("d")!.Value.Split(['M', 'L'], StringSplitOptions.RemoveEmptyEntries);
        Assert.True(places.Length > 100);
        double[][] points = [.. places.Select(p => p.Split(' ').Select(n => double.Parse(n, System.Globalization.CultureInfo.InvariantCulture)).ToArray())];
        double middleX = (points.Min(p => p[0]) + points.Max(p => p[0])) / 2, middleY = (points.Min(p => p[1]) + points.Max(p => p[1])) / 2;
        double radiusX = points.Max(p => p[0]) - middleX, radiusY = points.Max(p => p[1]) - middleY;
        Assert.All(points, p => Assert.Equal(1, double.Hypot((p[0] - middleX) / radiusX, (p[1] - middleY) / radiusY), 0.01));
        Assert.Throws<InvalidOperationException>(() => new Chart { Title = "t", XLabel = "x", YLabel = "y" }.Boundary("none", 0));
    }

    [Fact]
    public void Panels_keep_their_names_apart()
    {
        Chart New() => new Chart { Title = "t", XLabel = "x", YLabel = "y", LogarithmicX = true }.Curve("c", [0.0, 1, 10, 1000], [1.0, 1, 2, 3]);
        XElement svg = XDocument.Parse(new Panels(New(), New()) { Title = "both" }.ToSvg()).Root!;
        string[] names = [.. svg.Descendants().Attributes("id").Select(a => a.Value)];
        Assert.Equal(4, names.Length);
        Assert.Equal(names.Length, names.Distinct().Count());
        Assert.All(svg.Descendants().Attributes("clip-path"), a => Assert.Contains(a.Value[5..^1], names));
        Assert.DoesNotContain("NaN", svg.ToString());
    }

    [Fact]
    public void Charts_take_what_they_are_given()
    {
        Chart New(bool log = false) => new() { Title = "a < b & \"c\" \u0001", XLabel = "x", YLabel = "y", LogarithmicY = log };
        Chart[] charts =
        [
            New(),
            New().Curve("one point", [1.0], [1.0]),
            New().Curve("flat", [1.0, 2], [3.0, 3]),
            New().Curve("holes", [1.0, 2, 3, 4], [1, double.NaN, double.PositiveInfinity, 2]),
            New(log: true).Curve("nothing to show", [1.0, 2], [0.0, -1]),
            New(log: true).Curve("decades", [1.0, 2, 3], [1e-30, 1, 1e30]),
            New(log: true).Bars("bars", ["a", "b"], [0, 1e-3]),
            New().Bars("up", ["a", "b"], [1, -2]).Bars("down", ["a", "b"], [double.NaN, 0]),
            New().Curve("huge", [-1e300, 1e300], [-1e300, 1e300]),
            New().Heights((_, _) => 1, (0, 1), (0, 1)),
            Enumerable.Range(0, 30).Aggregate(New(), (c, i) => c.Curve($"series number {i}", [0.0, 1], [i, i + 1])),
        ];
        foreach (Chart chart in charts)
        {
            XElement svg = XDocument.Parse(chart.ToSvg()).Root!;
            foreach (XAttribute attribute in svg.Descendants().Attributes())
            {
                Assert.DoesNotContain("NaN", attribute.Value);
                Assert.DoesNotContain("Infinity", attribute.Value);
            }
            Assert.Contains(svg.Descendants(), e => e.Value == "a < b & \"c\" ?");
        }
        Assert.Throws<ArgumentException>(() => New().Curve("uneven", [1.0], [1.0, 2]));
    }
}
