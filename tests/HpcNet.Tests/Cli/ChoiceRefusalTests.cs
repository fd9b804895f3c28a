// Choices of the command line that do not go together, or do not fit the data: one line that names them, exit code 2, and no model.
using HpcNet.Cli.Choices;

namespace HpcNet.Tests.Cli;

public sealed class ChoiceRefusalTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    /// <summary>An optimizer and an option that it does not take.</summary>
    public static TheoryData<string, string> Misplaced
    {
        get
        {
            var rows = new TheoryData<string, string>();
            foreach (OptimizerChoice optimizer in OptimizerChoice.All)
            {
                if (optimizer.Momentum is null)
                    rows.Add(optimizer.Name, "--momentum 0.5");
                if (optimizer.WeightDecay is null)
                    rows.Add(optimizer.Name, "--weight-decay 0.01");
                if (!optimizer.IsScheduled)
                {
                    rows.Add(optimizer.Name, "--schedule step");
                    rows.Add(optimizer.Name, "--warmup 1");
                }
                if (optimizer.IsLbfgs || optimizer.Averages)
                    rows.Add(optimizer.Name, "--early-stopping 3");
                if (optimizer.NeedsMomentum)
                    rows.Add(optimizer.Name, "--momentum 0");
            }
            string[] others =
            [
                "--learning-rate 0.1", "--batch 8", "--dropout 0.1", "--batch-norm", "--l1 0.1", "--l2 0.1", "--max-norm 1", "--clip-norm 1",
                "--clip-value 1", "--lr-dropout 0.1",
            ];
            foreach (string option in others)
                rows.Add("lbfgs", option);
            return rows;
        }
    }

    [Theory]
    [MemberData(nameof(Misplaced))]
    public void AnOptionThatTheOptimizerDoesNotTakeIsRefused(string optimizer, string option) =>
        Refused($"--optimizer {optimizer} {option}", option.Split(' ')[0], optimizer);

    [Theory]
    [InlineData("--optimizer adamant", "--optimizer", "'adamant'", "adamw", "rprop or lbfgs")]
    [InlineData("--schedule slow", "--schedule", "'slow'", "one-cycle")]
    [InlineData("--initializer ones", "--initializer", "'ones'", "he-normal")]
    [InlineData("--initializer zeros", "--initializer", "--hidden none")]
    [InlineData("--loss mse", "--loss", "mse", "classification", "cross-entropy or hinge")]
    [InlineData("--loss wrong", "--loss", "'wrong'", "cross-entropy")]
    [InlineData("--loss hinge --label-smoothing 0.1", "--label-smoothing", "hinge")]
    [InlineData("--delta 2", "--delta", "cross-entropy")]
    [InlineData("--delta 0", "--delta", "'0'", "above 0")]
    [InlineData("--label-smoothing 1", "--label-smoothing", "'1'", "below 1")]
    [InlineData("--class-weights 1,2", "--class-weights", "2 weights", "10 classes")]
    [InlineData("--class-weights 1,-2", "--class-weights", "'1,-2'", "balanced")]
    [InlineData("--class-weights 0,0", "--class-weights", "'0,0'", "above 0")]
    [InlineData("--momentum 1 --optimizer momentum", "--momentum", "'1'")]
    [InlineData("--weight-decay -1", "--weight-decay", "'-1'", "0 or more")]
    [InlineData("--warmup 0", "--warmup", "'0'")]
    [InlineData("--warmup 40", "--warmup", "40", "epochs")]
    [InlineData("--schedule one-cycle --warmup 2", "--warmup", "one-cycle")]
    [InlineData("--schedule cyclic --warmup 2", "--warmup", "cyclic")]
    [InlineData("--l1 inf", "--l1", "'inf'")]
    [InlineData("--l2 x", "--l2", "'x'")]
    [InlineData("--max-norm 0", "--max-norm", "'0'")]
    [InlineData("--clip-norm -1", "--clip-norm", "'-1'")]
    [InlineData("--clip-value nan", "--clip-value", "'nan'")]
    [InlineData("--lr-dropout 1", "--lr-dropout", "'1'")]
    [InlineData("--early-stopping 0", "--early-stopping", "'0'")]
    [InlineData("--batch-norm --batch 1", "--batch-norm", "--batch 1")]
    [InlineData("--batch-norm --batch 479", "--batch-norm", "1,438")]
    [InlineData("--batch-norm 3", "'3'")]
    [InlineData("--hidden nothing", "--hidden", "'nothing'", "none")]
    [InlineData("--hidden none --activation tanh", "--activation", "--hidden none")]
    [InlineData("--hidden none --batch-norm", "--batch-norm", "--hidden none")]
    [InlineData("--hidden none --dropout 0.1", "--dropout", "--hidden none")]
    [InlineData("--task multilabel", "multilabel", "CSV")]
    public void WhatDoesNotFitIsRefused(string options, params string[] words) => Refused(options, words);

    [Theory]
    [InlineData(2, "--target kind --target high --task classification", "multilabel")]
    [InlineData(2, "--target kind --target kind", "--target", "'kind'", "twice")]
    [InlineData(1, "--target count --target high --task multilabel", "0 or 1", "'count'")]
    [InlineData(1, "--target count --target nothing", "nothing")]
    [InlineData(2, "--target count --task regression --loss cross-entropy", "regression", "mse, mae")]
    [InlineData(2, "--target size --task regression --loss poisson", "poisson", "counts")]
    [InlineData(2, "--target high --target far --class-weights balanced", "--class-weights", "multilabel")]
    public void TargetsThatDoNotFitAreRefused(int exitCode, string options, params string[] words)
    {
        string csv = _folder.Write("table.csv", Samples.MixedCsv());
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, ["train", "--dataset", csv, .. options.Split(' ')]);
        Assert.Equal(exitCode, outcome.ExitCode);
        OneLine(outcome, words);
    }

    public void Dispose() => _folder.Dispose();

    private void Refused(string options, params string[] words)
    {
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, ["train", "--dataset", "digits", .. options.Split(' ')]);
        Assert.Equal(2, outcome.ExitCode);
        OneLine(outcome, words);
    }

    private void OneLine(CliProcess.Outcome outcome, string[] words)
    {
        Assert.Equal("", outcome.Output);
        Assert.StartsWith("hpcnet: ", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(1, outcome.Error.Count(c => c == '\n'));
        Assert.All(words, word => Assert.Contains(word, outcome.Error, StringComparison.Ordinal));
        Assert.Empty(Directory.GetFiles(_folder.Path, "*.safetensors"));
    }
}
