// `hpcnet tune`: which tiles win is the device's business. What is held here: every tile that runs gives the right product in every form,
// the command keeps what it measured, devices made afterwards take it, and a file that is damaged or another's is left alone.

namespace HpcNet.Tests.Cli;

public sealed class TuneTests : IClassFixture<TemporaryFolder>
{
    private readonly TemporaryFolder _folder;

    public TuneTests(TemporaryFolder folder) => _folder = folder;

    [SkippableFact]
    public void ItKeepsWhatWonAndDevicesTakeIt()
    {
        Targets.NeedOpenCl();
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, "tune", "--shapes", "40x40x40", "--seconds", "2", "--file", "winners.tuning");
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.ExitCode);
        Assert.Contains("40x40x40", outcome.Output);
        Assert.Contains("Kept: winners.tuning", outcome.Output);
        Assert.DoesNotContain("not right", outcome.Output);

        using Device before = Device.OpenCl(new OpenClOptions { CacheDirectory = _folder["cache"] });
        Assert.Contains("tuning: none", before.Describe());
        string path = ProductTuning.Path(before);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.Copy(_folder["winners.tuning"], path, overwrite: true);
        using Device after = Device.OpenCl(new OpenClOptions { CacheDirectory = _folder["cache"] });
        Assert.Contains($"tuning: {path}\n", after.Describe());
    }

    [SkippableFact]
    public void WhatIsKeptIsTakenAndWhatIsDamagedIsNot()
    {
        Targets.NeedOpenCl();
        var options = new OpenClOptions { CacheDirectory = _folder["kept"] };
        using Device device = Device.OpenCl(options);
        IReadOnlyList<ProductTile> tiles = ProductTuning.Tiles(device);
        ProductTile other = tiles.Last(t => t.Runs && t.Number != Tile(device));
        ProductTuning.Keep(device, [new ProductChoice(ProductForm.NN, Size(device), other.Number)]);
        Assert.NotEqual(other.Number, Tile(device));
        using (Device tuned = Device.OpenCl(options))
            Assert.Equal(other.Number, Tile(tuned));

        string path = ProductTuning.Path(device), good = File.ReadAllText(path);
        Assert.Contains($"NN {Size(device).ToString().ToLowerInvariant()} {other.Name}\n", good);
        string[] lines = good.Split('\n');
        (string Damage, string Says)[] rows =
        [
            ("", "not a tuning file"),
            ("something else\n", "not a tuning file"),
            (good.Replace(lines[1], "device of another name"), "another device"),
            (good[..^5], "ends too early"),
            (good.Replace($"{other.Name}\n", "512x512x512-1x1\n"), "says nothing here"),
            (good.Replace("NN ", "ZZ "), "says nothing here"),
            (good.Replace("end\n", "NN small\nend\n"), "says nothing here"),
        ];
        foreach ((string damage, string says) in rows)
        {
            File.WriteAllText(path, damage);
            using Device left = Device.OpenCl(options);
            Assert.Contains("tuning: none", left.Describe());
            Assert.Contains(says, left.Describe());
            Assert.NotEqual(other.Number, Tile(left));
        }
    }

    [SkippableFact]
    public void WrongChoicesAreRefused()
    {
        Targets.NeedOpenCl();
        using Device device = Device.OpenCl(new OpenClOptions { CacheDirectory = "" });
        int tiles = ProductTuning.Tiles(device).Count;
        var shape = new ProductShape(8, 8, 8);
        Assert.Equal("", ProductTuning.Path(device));
        Refused("tile is", () => ProductTuning.Measure(device, ProductForm.NN, shape, tiles, 1));
        Refused("form is 3", () => ProductTuning.Measure(device, (ProductForm)3, shape, null, 1));
        Refused("k is 0", () => ProductTuning.Measure(device, ProductForm.NN, shape with { K = 0 }, null, 1));
        Refused("milliseconds is 0", () => ProductTuning.Measure(device, ProductForm.NN, shape, null, 0));
        Refused("size_class is 6", () => ProductTuning.Keep(device, [new ProductChoice(ProductForm.NN, (ProductSize)6, 0)], _folder["no"]));
        Refused("cache_directory", () => ProductTuning.Keep(device, []));
        Refused("cannot write", () => ProductTuning.Keep(device, [], _folder.Path));
        using Device cpu = Device.Cpu(new CpuOptions { Threads = 1 });
        Refused("not an OpenCL device", () => ProductTuning.Tiles(cpu));
        Assert.False(File.Exists(_folder["no"]));

        static void Refused(string word, Action action) => Assert.Contains(word, Assert.ThrowsAny<Exception>(action).Message);
    }

    // A few rows, so that no tile has to be built.
    [SkippableFact]
    public void ProductsByVectorsHaveNoTile()
    {
        Targets.NeedOpenCl();
        ProductTime measured = ProductTuning.Measure(Targets.Open(Targets.OpenCl), ProductForm.NT, new ProductShape(3, 40, 70), null, 1);
        Assert.True(measured is { Tile: -1, IsRight: true, Nanoseconds: > 0, Parts: 1 }, measured.ToString());
    }

    private static ProductTime Small(Device device) => ProductTuning.Measure(device, ProductForm.NN, new ProductShape(40, 40, 40), null, 1);

    private static int Tile(Device device) => Small(device).Tile;

    private static ProductSize Size(Device device) => Small(device).Size;
}
