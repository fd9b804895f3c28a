// The tables of the command line: every row trains, every row is listed by help, and nothing of the library is missing. The rows come
// from the tables themselves.
using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using HpcNet.Cli.Choices;

namespace HpcNet.Tests.Cli;

public sealed class ChoiceTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Optimizers => Names(OptimizerChoice.All);

    public static TheoryData<string> Schedules => Names(ScheduleChoice.All);

    public static TheoryData<string> Initializers => Names(InitializerChoice.All);

    public static TheoryData<string> Activations => Names(ActivationChoice.All);

    public static TheoryData<NetworkTask, string> Losses
    {
        get
        {
            var rows = new TheoryData<NetworkTask, string>();
            foreach (LossChoice loss in LossChoice.All)
                rows.Add(loss.Task, loss.Name);
            return rows;
        }
    }

    [Fact]
    public void EveryOptimizerOfTheLibraryIsThere()
    {
        var settings = new OptimizerSettings(0.01f, 0.9f, 0.01f, 100);
        var made = OptimizerChoice.All.Where(o => !o.IsLbfgs).Select(o => o.Create!(settings).GetType()).ToHashSet();
        made.Add(typeof(Lbfgs));
        Type[] wanted = [.. typeof(Optimizer).Assembly.GetExportedTypes().Where(t => t.IsSubclassOf(typeof(Optimizer)) && !t.IsAbstract), typeof(Lbfgs)];
        Assert.Empty(wanted.Except(made).Select(t => t.Name));
    }

    [Fact]
    public void EveryLossOfTheLibraryIsThereOrLeftOutForAReason()
    {
        string[] leftOut =
        [
            Loss.SumOfSquares.Name, Loss.BinaryCrossEntropy.Name, Loss.NegativeLogLikelihood.Name, Loss.KlDivergence.Name,
        ];
        string[] made = [.. LossChoice.All.Select(l => l.Create(new LossSettings(0f, null, 1f)).Name)];
        Assert.Equal(Loss.All.Select(l => l.Name).Order(), made.Concat(leftOut).Distinct().Order());
        Assert.All(LossChoice.All, l => Assert.Equal(l.Task, l.Create(new LossSettings(0f, null, 1f)).Task));
    }

    [Fact]
    public void EveryActivationOfTheLibraryIsThere() =>
        Assert.Equal(Activation.All, ActivationChoice.All.Select(a => a.Function).OfType<Activation>());

    [Fact]
    public void NamesAreUniqueAndHelpListsThem()
    {
        string help = Regex.Replace(CliProcess.Run(null, "train", "--help").Output, @"\s+", " ");
        IEnumerable<string>[] tables =
        [
            OptimizerChoice.All.Select(c => c.Name), ScheduleChoice.All.Select(c => c.Name), InitializerChoice.All.Select(c => c.Name),
            ActivationChoice.All.Select(c => c.Name), LossChoice.Names,
        ];
        foreach (IEnumerable<string> names in tables)
        {
            Assert.Equal(names.Count(), names.Select(n => n.Replace("-", "", StringComparison.Ordinal)).Distinct().Count());
            Assert.All(names, name => Assert.Matches($@"\b{Regex.Escape(name)}\b", help));
        }
        Assert.All(
            CliProcess.Run(null, "train", "--help").Output.Split('\n').TakeWhile(l => l != "Examples:"), line => Assert.InRange(line.Length, 0, 120));
    }

    [Theory]
    [MemberData(nameof(Optimizers))]
    public void AnOptimizerLowersTheLoss(string name) => Lowers("--optimizer", name);

    [Theory]
    [MemberData(nameof(Schedules))]
    public void AScheduleLowersTheLoss(string name) => Lowers("--schedule", name);

    [Theory]
    [MemberData(nameof(Initializers))]
    public void AnInitializerLowersTheLoss(string name) =>
        Lowers("--initializer", name, "--hidden", InitializerChoice.All.Single(i => i.Name == name).OnlyWithoutHidden ? "none" : "64,32");

    [Theory]
    [MemberData(nameof(Activations))]
    public void AnActivationLowersTheLoss(string name) => Lowers("--activation", name);

    [Theory]
    [InlineData("--batch-norm")]
    [InlineData("--batch-norm --activation prelu")]
    [InlineData("--hidden none")]
    [InlineData("--l1 1e-5 --l2 1e-5")]
    [InlineData("--l1 1e-5")]
    [InlineData("--l2 1e-5")]
    [InlineData("--max-norm 3 --clip-norm 1 --clip-value 0.5 --lr-dropout 0.2 --weight-decay 1e-4")]
    [InlineData("--early-stopping 1")]
    [InlineData("--optimizer RMSprop --momentum 0.9")]
    [InlineData("--optimizer adamw --weight-decay 0")]
    [InlineData("--optimizer momentum --momentum 0 --schedule OneCycle")]
    [InlineData("--schedule linear --warmup 0.5")]
    [InlineData("--schedule warmup --warmup 1.5")]
    [InlineData("--warmup 0.25")]
    [InlineData("--label-smoothing 0.1 --class-weights balanced")]
    [InlineData("--loss Hinge --class-weights 1,1,1,2,1,1,1,1,1,0.5")]
    public void OptionsLowerTheLoss(string options) => Lowers(options.Split(' '));

    [Theory]
    [MemberData(nameof(Losses))]
    public void ALossFitsItsTask(NetworkTask task, string name)
    {
        string csv = _folder.Write("table.csv", Samples.MixedCsv());
        string[] target = task switch
        {
            NetworkTask.Classification => ["--target", "kind"],
            NetworkTask.MultiLabel => ["--target", "high", "--target", "far"],
            _ => ["--target", "count"],
        };
        string[] arguments = ["--dataset", csv, "--task", task.ToString().ToLowerInvariant(), .. target, "--loss", name, "--epochs", "30"];
        CliProcess.Outcome trained = CliProcess.Run(_folder.Path, ["train", .. arguments]);
        Assert.Equal("", trained.Error);
        (double first, double last) = FirstAndLast(trained.Output);
        Assert.True(last < first, trained.Output);
        Assert.Contains($"\nloss: {name}", trained.Output, StringComparison.Ordinal);

        CliProcess.Outcome evaluated = CliProcess.Run(_folder.Path, ["evaluate", "--model", "table.safetensors", "--dataset", csv, .. target]);
        Assert.Equal("", evaluated.Error);
        double quality = task switch
        {
            NetworkTask.Regression => Number(evaluated.Output, @"\ncount +(-?[0-9.]+)"),
            NetworkTask.MultiLabel => Number(evaluated.Output, @"\nfar +[0-9.]+ +[0-9.]+ +([0-9.]+)"),
            _ => Number(evaluated.Output, @"\nmean +[0-9.]+ +[0-9.]+ +([0-9.]+)"),
        };
        Assert.InRange(quality, 0.9, 1.0);
    }

    [Fact]
    public void WhatWasUsedIsNamed()
    {
        CliProcess.Outcome trained = CliProcess.Run(
            _folder.Path, "train", "--dataset", "digits", "--epochs", "60", "--optimizer", "nesterov", "--learning-rate", "0.05", "--schedule",
            "constant", "--early-stopping", "2", "--clip-norm", "1", "--label-smoothing", "0.1", "--seed", "4", "--json", _folder["facts.json"]);
        Assert.Equal("", trained.Error);
        string[] lines =
        [
            "1,294 images to train, 144 to watch, 359 held back", "optimizer: Sgd(0.05, 0.9, Nesterov).ClipByNorm(1); batches of 32",
            "schedule: Constant", "loss: cross-entropy (label smoothing 0.1)", "stopped after epoch", "watched",
        ];
        Assert.All(lines, line => Assert.Contains(line, trained.Output, StringComparison.Ordinal));
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllText(_folder["facts.json"]));
        JsonElement root = facts.RootElement;
        Assert.Equal("Sgd(0.05, 0.9, Nesterov).ClipByNorm(1)", root.GetProperty("optimizer").GetString());
        Assert.Equal("cross-entropy (label smoothing 0.1)", root.GetProperty("loss").GetString());
        Assert.True(root.GetProperty("stoppedEarly").GetBoolean());
        Assert.Equal(root.GetProperty("epochs").GetInt32() - 2, root.GetProperty("bestEpoch").GetInt32());

        // The plain command says nothing of what nobody asked for.
        CliProcess.Outcome plain = CliProcess.Run(_folder.Path, "train", "--dataset", "digits", "--epochs", "1");
        Assert.All((string[])["optimizer:", "schedule:", "loss:"], word => Assert.DoesNotContain("\n" + word, plain.Output, StringComparison.Ordinal));
        Assert.Contains("held back", plain.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void LabelsArePredictedByTheirNames()
    {
        string csv = _folder.Write("table.csv", Samples.MixedCsv());
        string[] targets = ["--target", "high", "--target", "far"];
        Assert.Equal(0, CliProcess.Run(_folder.Path, ["train", "--dataset", csv, .. targets]).ExitCode);
        CliProcess.Outcome predicted = CliProcess.Run(_folder.Path, ["predict", "--model", "table.safetensors", "--input", csv, .. targets]);
        Assert.Equal("", predicted.Error);
        string[] lines = predicted.Output.TrimEnd().Split('\n');
        Assert.Equal("high,far", lines[0]);
        Assert.Equal(401, lines.Length);
        // The model knows its labels; in another order they would be other answers.
        CliProcess.Outcome evaluated = CliProcess.Run(_folder.Path, "evaluate", "--model", "table.safetensors", "--dataset", csv);
        Assert.Equal("", evaluated.Error);
        Assert.Contains("Labels right on 400 examples", evaluated.Output, StringComparison.Ordinal);
        CliProcess.Outcome swapped = CliProcess.Run(
            _folder.Path, "evaluate", "--model", "table.safetensors", "--dataset", csv, "--target", "far", "--target", "high");
        Assert.Equal(1, swapped.ExitCode);
        Assert.Contains("'high' and 'far', in this order", swapped.Error, StringComparison.Ordinal);
        Assert.All(lines[1..], line => Assert.All(line.Split(','), p => Assert.InRange(double.Parse(p, CultureInfo.InvariantCulture), 0.0, 1.0)));
    }

    [Fact]
    public void TwoClassesHaveAnAreaUnderTheCurve()
    {
        string csv = _folder.Write("two.csv", "a,b\n" + string.Concat(Enumerable.Range(0, 60).Select(i => $"{i % 30},{(i % 30 < 12 ? "no" : "yes")}\n")));
        Assert.Equal(0, CliProcess.Run(_folder.Path, "train", "--dataset", csv, "--optimizer", "lbfgs", "--hidden", "none").ExitCode);
        CliProcess.Outcome evaluated = CliProcess.Run(_folder.Path, "evaluate", "--model", "two.safetensors", "--dataset", csv);
        Assert.Equal("", evaluated.Error);
        Assert.Equal(1.0, Number(evaluated.Output, "ROC curve +([0-9.]+)"));
        Assert.DoesNotContain("among the first", evaluated.Output, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private static TheoryData<string> Names(IEnumerable<Choice> table)
    {
        var rows = new TheoryData<string>();
        foreach (Choice choice in table)
            rows.Add(choice.Name);
        return rows;
    }

    private void Lowers(params string[] options)
    {
        CliProcess.Outcome trained = CliProcess.Run(_folder.Path, ["train", "--dataset", "digits", "--epochs", "2", "--threads", "1", .. options]);
        Assert.Equal("", trained.Error);
        Assert.Equal(0, trained.ExitCode);
        (double first, double last) = FirstAndLast(trained.Output);
        Assert.True(last < first, trained.Output);
        Assert.True(File.Exists(_folder["digits.safetensors"]));
        Assert.All(trained.Output.Split('\n'), line => Assert.InRange(line.Length, 0, 180));
    }

    // Of the first and the last epoch; of L-BFGS before and after.
    private static (double First, double Last) FirstAndLast(string output)
    {
        MatchCollection losses = Regex.Matches(output, @"(?:loss|->) ([0-9.]+)(?= )");
        Assert.True(losses.Count >= 2, output);
        return (Parse(losses[0]), Parse(losses[^1]));
    }

    private static double Number(string output, string pattern)
    {
        Match match = Regex.Match(output, pattern);
        Assert.True(match.Success, output);
        return Parse(match);
    }

    private static double Parse(Match match) => double.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
}
