// What is seen while a network trains: one live line on a terminal, a line for every epoch (of long trainings: for some) where
// the output goes to a file or a pipe.

using System.Globalization;
using HpcNet.Cli.Text;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace HpcNet.Cli.Output;

internal static class TrainingDisplay
{
    /// <summary>Runs a fit with a display of its progress.</summary>
    /// <param name="fit">The fit.</param>
    /// <param name="unseen">What the examples are called that it is judged by.</param>
    public static History Run(Func<IProgress<TrainingProgress>, History> fit, string unseen)
    {
        if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Ansi)
            return fit(new Lines(unseen));

        var last = new Last();
        return AnsiConsole.Progress()
            .AutoClear(false)
            .HideCompleted(false)
            .Columns(
                new TextColumn(() => Where(last.Value)),
                new ProgressBarColumn { Width = 16 },
                new TextColumn(() => HowWell(last.Value, unseen)))
            .Start(context =>
            {
                ProgressTask task = context.AddTask("training");
                History history = fit(new Live(last, task));
                context.Refresh();
                return history;
            });
    }

    private static string Where(TrainingProgress? at) => at is { } p
        ? string.Create(CultureInfo.InvariantCulture, $"epoch {p.Epoch}/{p.Epochs}")
        : "starting";

    private static string HowWell(TrainingProgress? at, string unseen)
    {
        if (at is not { } p)
            return "";
        string quality = !double.IsNaN(p.ValidationAccuracy) ? $"  {unseen} {Printable.Percent(p.ValidationAccuracy)}"
            : !double.IsNaN(p.ValidationLoss) ? string.Create(CultureInfo.InvariantCulture, $"  {unseen} {p.ValidationLoss:F4}")
            : "";
        return string.Create(CultureInfo.InvariantCulture, $"loss {p.Loss:F4}{quality}  {Printable.Count(p.SamplesPerSecond)} samples/s");
    }

    /// <summary>The last report; read by the thread that draws.</summary>
    private sealed class Last
    {
        private readonly Lock _lock = new();
        private TrainingProgress? _value;

        public TrainingProgress? Value
        {
            get
            {
                lock (_lock)
                    return _value;
            }
            set
            {
                lock (_lock)
                    _value = value;
            }
        }
    }

    private sealed class Live(Last last, ProgressTask task) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            last.Value = value;
            task.MaxValue = (double)value.Epochs * value.Steps;
            task.Value = (value.Epoch - 1.0) * value.Steps + value.Step;
        }
    }

    private sealed class Lines(string unseen) : IProgress<TrainingProgress>
    {
        private const int MostLines = 20;

        public void Report(TrainingProgress value)
        {
            int every = (value.Epochs + MostLines - 1) / MostLines;
            if (!value.EpochFinished || (value.Epoch % every != 0 && value.Epoch != 1 && value.Epoch != value.Epochs))
                return;
            Console.Out.WriteLine($"{Where(value)}  {HowWell(value, unseen)}");
        }
    }

    private sealed class TextColumn(Func<string> text) : ProgressColumn
    {
        protected override bool NoWrap => true;

        public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) =>
            new Spectre.Console.Text(text());
    }
}
