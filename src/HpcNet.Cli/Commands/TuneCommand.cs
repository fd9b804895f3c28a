// `hpcnet tune`: which tiles multiply matrices fastest on the OpenCL device at hand. Every tile of the core's table is tried on a shape of
// each size class and form; one whose product is not right cannot win. The winners are kept in a file beside the built kernels, where
// devices like this one find them.

using System.CommandLine;
using System.Globalization;
using HpcNet.Cli.Output;
using Spectre.Console;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

internal static class TuneCommand
{
    private const int UsualSeconds = 120;
    private const int MostMilliseconds = 200;

    // A tile that wins by less has won by chance.
    private const double Margin = 1.02;

    private static readonly ProductForm[] Forms = Enum.GetValues<ProductForm>();

    public static Command Create(CancellationToken interrupted)
    {
        Option<string?> device = Options.Device("--device", "The OpenCL device (else HPCNET_DEVICE, else the best one); `hpcnet doctor` lists them.");
        Option<ProductShape[]?> shapes = Options.Several(
            "--shapes", "MxNxK", "Products to try, rows x columns x depth, one or more (default: one of each size class, by the size of the device). "
            + "Each stands for its size class.", Shape);
        Option<int?> seconds = Options.Whole(
            "--seconds", $"Stop trying tiles after so long (default {UsualSeconds}); what was not tried stays as it was.", 1, 3600);
        Option<string?> file = Options.Text("--file", "FILE", "Write the winners there instead of where this device looks for them.");
        var command = new CommandWithExamples(
            "tune",
            "Finds out which tiles multiply matrices fastest on an OpenCL device, checks each one's result, and keeps the winners for programs that "
            + "are made afterwards.",
            "hpcnet tune",
            "hpcnet tune --device opencl:1 --seconds 600",
            "hpcnet tune --shapes 4096x4096x4096 8192x512x784 --file winners.tuning");
        foreach (Option option in (Option[])[device, shapes, seconds, file])
            command.Add(option);
        command.SetAction(line =>
        {
            string? path = line.GetValue(file);
            if (path is not null)
                OutputFile.Check("--file", path);
            string name = line.GetValue(device) ?? (Environment.GetEnvironmentVariable("HPCNET_DEVICE") is { Length: > 0 } set ? set : "opencl");
            using Device chosen = Device.Open(name, new CpuOptions());
            if (!chosen.IsOpenCl)
                throw CliException.Usage("tune is about OpenCL devices; the device is cpu.");
            Console.Out.WriteLine(chosen);
            var session = new Session(chosen, TimeSpan.FromSeconds(line.GetValue(seconds) ?? UsualSeconds), interrupted);
            Tune(session, line.GetValue(shapes) is { Length: > 0 } given ? given : Usual(chosen.Threads), path);
            return ExitCode.Done;
        });
        return command;
    }

    private static ProductShape[] Shape(string text)
    {
        string[] parts = text.Split('x');
        var extents = new int[3];
        for (int i = 0; i < 3; i++)
        {
            if (parts.Length != 3 || !int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out extents[i])
                || extents[i] is < 1 or > ProductTuning.LargestExtent)
                throw new FormatException($"three whole numbers from 1 to {ProductTuning.LargestExtent} with x between them, such as 512x256x784");
        }
        return [new ProductShape(extents[0], extents[1], extents[2])];
    }

    /// <summary>One shape of each size class on a device with so many compute units; kernels.h has the classes.</summary>
    private static ProductShape[] Usual(int units)
    {
        int Side(double perUnit, int multiple) => Math.Max(1, (int)Math.Round(Math.Sqrt(perUnit * units * 128 * 128) / multiple)) * multiple;
        int huge = Side(7, 256), large = Side(2, 128), medium = Side(0.3, 64), few = Side(0.03, 32);
        return
        [
            new(few, few, 512), new(64 * units, 16, 512), new(16, 32 * units, 512), new(medium, medium, 1024), new(large, large, large),
            new(huge, huge, huge),
        ];
    }

    private static void Tune(Session session, ProductShape[] shapes, string? path)
    {
        var found = new List<Cell>();
        try
        {
            if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Ansi)
            {
                session.Run(shapes, found, (_, _) => { });
            }
            else
            {
                AnsiConsole.Progress().AutoClear(true).Columns(new TaskDescriptionColumn(), new ProgressBarColumn { Width = 16 }).Start(context =>
                {
                    ProgressTask task = context.AddTask("trying tiles");
                    session.Run(shapes, found, (text, share) =>
                    {
                        task.Description = text;
                        task.Value = 100 * share;
                    });
                });
            }
        }
        finally
        {
            // Interrupted, or failed: what was measured is good.
            if (found.Count > 0)
                Report(session, found, path);
        }
    }

    private static void Report(Session session, List<Cell> found, string? path)
    {
        var table = new TextTable("form", "size", "shape", "tiles tried", "before", "after", "tile", "GFLOP/s", "error");
        foreach (Cell cell in found)
        {
            table.Add(
                cell.Form.ToString(), cell.Before.Size.ToString().ToLowerInvariant(), cell.Shape.ToString(), Invariant($"{cell.Right.Count}"),
                Time(cell.Before.Nanoseconds), Time(cell.Best.Nanoseconds), session.Name(cell.Best.Tile),
                Invariant($"{2.0 * cell.Shape.M * cell.Shape.N * cell.Shape.K / cell.Best.Nanoseconds:F1}"), Invariant($"{cell.Best.Error:F2}"));
        }
        Console.Out.Write($"\n{table.Format()}");
        foreach (string refused in session.Refused)
            Console.Out.WriteLine(refused);
        if (session.OutOfTime)
            Console.Out.WriteLine("The time was over before every tile was tried.");

        // Of several shapes of a class, the tile that costs least beside the best one of each.
        ProductChoice[] choices =
        [
            .. found.Where(c => c.Best.Tile >= 0).GroupBy(c => (c.Form, c.Before.Size)).Select(cells => new ProductChoice(
                cells.Key.Form, cells.Key.Size,
                cells.SelectMany(c => c.Right.Keys).Distinct().Where(tile => cells.All(c => c.Right.ContainsKey(tile)))
                    .OrderBy(tile => cells.Sum(c => Math.Log(c.Right[tile].Nanoseconds / (tile == c.Before.Tile ? Margin : 1.0)))).First())),
        ];
        if (choices.Length == 0)
        {
            Console.Out.WriteLine("Nothing was kept: no product of these shapes is computed by tiles.");
            return;
        }
        ProductTuning.Keep(session.Device, choices, path is null ? null : Path.GetFullPath(path));
        Console.Out.WriteLine($"Kept: {path ?? ProductTuning.Path(session.Device)}");
    }

    private static string Time(double nanoseconds) => nanoseconds switch
    {
        < 1e5 => Invariant($"{nanoseconds / 1e3:F1} us"),
        < 1e8 => Invariant($"{nanoseconds / 1e6:F2} ms"),
        _ => Invariant($"{nanoseconds / 1e9:F2} s"),
    };

    /// <summary>A form and a shape: what the device would take, and every tile that was right.</summary>
    private sealed record Cell(ProductForm Form, ProductShape Shape, ProductTime Before)
    {
        public Dictionary<int, ProductTime> Right { get; } = [];

        public ProductTime Best => Right.Count == 0 ? Before : Right.Values.MinBy(t => t.Tile == Before.Tile ? t.Nanoseconds / Margin : t.Nanoseconds);
    }

    /// <summary>The trying, within its time.</summary>
    private sealed class Session(Device device, TimeSpan time, CancellationToken interrupted)
    {
        private readonly IReadOnlyList<ProductTile> _tiles = ProductTuning.Tiles(device);
        private readonly long _end = Environment.TickCount64 + (long)time.TotalMilliseconds;

        public Device Device => device;

        public List<string> Refused { get; } = [];

        public bool OutOfTime { get; private set; }

        public string Name(int tile) => tile < 0 ? "(vectors)" : _tiles[tile].Name;

        public void Run(ProductShape[] shapes, List<Cell> found, Action<string, double> progress)
        {
            int[] candidates = [.. _tiles.Where(t => t.Runs).Select(t => t.Number)];
            int all = shapes.Length * Forms.Length * (candidates.Length + 1), done = 0;
            int milliseconds = (int)Math.Clamp(time.TotalMilliseconds / (2 * all), 1, MostMilliseconds);
            // Building a kernel costs more than measuring it, and every shape of a form needs the same ones: time that runs out leaves
            // whole forms as they were, instead of all sizes but the smallest.
            foreach (ProductForm form in Forms)
            {
                foreach (ProductShape shape in shapes)
                {
                    progress($"{form} {shape}", (double)done / all);
                    interrupted.ThrowIfCancellationRequested();
                    if (Over())
                        return;
                    var cell = new Cell(form, shape, ProductTuning.Measure(device, form, shape, null, milliseconds));
                    if (!cell.Before.IsRight)
                        Refused.Add(Wrong(form, shape, cell.Before));
                    found.Add(cell);
                    done += candidates.Length + 1;
                    if (cell.Before.Tile < 0)
                        continue;
                    if (cell.Before.IsRight)
                        cell.Right[cell.Before.Tile] = cell.Before;
                    foreach (int tile in candidates.Where(t => t != cell.Before.Tile))
                    {
                        interrupted.ThrowIfCancellationRequested();
                        if (Over())
                            break;
                        Try(cell, tile, milliseconds);
                        progress($"{form} {shape} {Name(tile)}", (double)done / all);
                    }
                }
            }
        }

        private void Try(Cell cell, int tile, int milliseconds)
        {
            ProductTime measured;
            try
            {
                measured = ProductTuning.Measure(device, cell.Form, cell.Shape, tile, milliseconds);
            }
            catch (HpcNetException e)
            {
                // A driver may refuse what its limits allow.
                Refused.Add($"{cell.Form} {cell.Shape} {Name(tile)}: {e.Message.Split('\n')[0]}");
                return;
            }
            if (measured.IsRight)
                cell.Right[tile] = measured;
            else
                Refused.Add(Wrong(cell.Form, cell.Shape, measured));
        }

        private string Wrong(ProductForm form, ProductShape shape, ProductTime measured) => Invariant(
            $"{form} {shape} {Name(measured.Tile)}: not right, an error of {measured.Error:G3} times what rounding does; left out.");

        private bool Over() => OutOfTime |= Environment.TickCount64 > _end;
    }
}
