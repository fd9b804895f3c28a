// `hpcnet train`: reads data, trains, judges by the examples held back, writes the model. Whatever can be wrong is found before
// the training begins; a training that is interrupted still writes its model.

using System.CommandLine;
using System.Diagnostics;
using HpcNet.Cli.Choices;
using HpcNet.Cli.Data;
using HpcNet.Cli.Output;
using HpcNet.Cli.Text;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

internal static class TrainCommand
{
    // Of the examples for training, where something is to be decided by others than those that judge; the same for every seed.
    private const double WatchFraction = 0.9;
    private const ulong WatchSeed = 2;

    public static Command Create(Option<bool> verbose, CancellationToken interrupted)
    {
        var data = new DataOptions();
        var training = new TrainingOptions();
        var devices = new DeviceOptions();
        Option<string?> task = Options.OneOf(
            "--task", "What the target of a CSV file is (default: texts and whole numbers are classes, other numbers values; several "
            + "columns of 0 and 1 labels).",
            "classification", "regression", "multilabel");
        Option<string?> output = Options.Text(
            "--output", "FILE", "Where the model goes (default: digits.safetensors, or the data set's name).");
        Option<string?> json = Options.Text("--json", "FILE", "Write the facts of the training there as one JSON object.");

        var command = new CommandWithExamples(
            "train",
            "Trains a network of dense layers, judges it by examples that are held back (a fifth; MNIST's own test images) and writes "
            + "the model.",
            "hpcnet train --dataset digits",
            "hpcnet train --dataset mnist --data ~/mnist --hidden 512,256 --epochs 5 --output mnist.safetensors",
            "hpcnet train --dataset iris.csv --target species --seed 7 --json facts.json",
            "hpcnet train --dataset houses.csv --target price --task regression --loss huber --activation tanh",
            "hpcnet train --dataset digits --optimizer nesterov --schedule one-cycle --label-smoothing 0.1 --early-stopping 8",
            "hpcnet train --dataset songs.csv --target happy --target loud --target old")
        {
            Groups =
            [
                new("Data", [.. data.All, task]), .. training.Groups, new("Output", [output, json]), new("Device", devices.All),
            ],
        };
        foreach (Option option in command.Groups.SelectMany(g => g.Options))
            command.Add(option);

        command.SetAction(line =>
        {
            DataSource source = data.Source(line);
            training.Check(line);
            NetworkTask? asked = line.GetValue(task) is { } name ? Enum.Parse<NetworkTask>(name, ignoreCase: true) : null;
            string model = line.GetValue(output) ?? source.DefaultOutput;
            string? facts = line.GetValue(json);
            OutputFile.Check("--output", model);
            if (facts is not null)
                OutputFile.Check("--json", facts);

            DataParts parts = source.Read(asked);
            interrupted.ThrowIfCancellationRequested();
            TrainingSettings settings = training.Settings(
                line, parts.Task == NetworkTask.Classification ? DefaultsFor(source) : TrainingSettings.ForNumbers, parts.Task);
            using Device device = devices.Open(line);
            return Train(source, parts, settings, device, new Destination(model, facts), line.GetValue(verbose), interrupted);
        });
        return command;
    }

    private static TrainingSettings DefaultsFor(DataSource source) => source.Name switch
    {
        "digits" => TrainingSettings.ForDigits,
        "mnist" => TrainingSettings.ForMnist,
        _ => TrainingSettings.ForClasses,
    };

    private static int Train(
        DataSource source, DataParts parts, TrainingSettings settings, Device device, Destination destination, bool verbose,
        CancellationToken interrupted)
    {
        Dataset train = parts.Train, heldBack = parts.HeldBack, watched = heldBack;
        if (settings.Watches)
            (train, watched) = train.Split(WatchFraction, WatchSeed);
        bool classes = train.IsClassification;
        int outputs = classes ? train.ClassCount : train.TargetCount;
        int batch = Math.Min(settings.Batch ?? train.Count, train.Count);
        CheckData(settings, train, batch);
        Loss loss = settings.CreateLoss(train);
        int stepsPerEpoch = (train.Count + batch - 1) / batch;
        Schedule schedule = settings.CreateSchedule(stepsPerEpoch);
        Optimizer? optimizer = settings.Optimizer.IsLbfgs
            ? null
            : settings.CreateOptimizer((int)Math.Min(int.MaxValue, (long)stepsPerEpoch * settings.Epochs));

        using var network = new Network(device, train.FeatureCount, settings.Seed, settings.Layers(outputs));
        network.Task = parts.Task;
        if (classes)
            network.ClassNames = train.ClassNames ?? [.. Enumerable.Range(0, outputs).Select(i => Invariant($"{i}"))];
        else if (parts.Task == NetworkTask.MultiLabel)
            network.ClassNames = train.TargetNames;

        // Images have one scale for all pixels; columns of a table come in any units.
        if (train.ImageShape is null)
            network.Preprocessing = Standardizer.Fit(train);
        TargetScaling? targets = TargetScaling.Fit(train, settings.Loss.Targets);
        if (network.LayerNames.Contains(TrainingSettings.Units))
            TargetScaling.Begin(network, TrainingSettings.Units);

        string answers = classes ? "classes"
            : parts.Task == NetworkTask.MultiLabel ? (outputs == 1 ? "label" : "labels")
            : outputs == 1 ? "target" : "targets";
        string watching = settings.Watches ? $"{Printable.Count(watched.Count)} to watch, " : "";
        Console.Out.WriteLine(
            $"{source.Name}: {Printable.Count(train.Count)} {source.Examples} to train, {watching}{Printable.Count(heldBack.Count)} held back; "
            + $"{train.FeatureCount} features, {outputs} {answers}");
        Console.Out.WriteLine(Printable.Wrapped("network: ", $"{network}: {Printable.Count(network.ParameterCount)} parameters", " -> "));
        Console.Out.WriteLine($"device: {device}");
        string rule = optimizer?.ToString() ?? Invariant($"L-BFGS({settings.Epochs} iterations)");
        if (settings.IsChosen)
        {
            Console.Out.WriteLine($"optimizer: {rule}; {Batches(batch, train.Count)}");
            if (settings.Optimizer.IsScheduled)
                Console.Out.WriteLine($"schedule: {schedule}");
            Console.Out.WriteLine($"loss: {settings.LossText()}");
        }
        if (verbose)
            Console.Out.WriteLine($"{network.Summary()}\n{device.Describe().TrimEnd()}");

        Fitted fitted;
        try
        {
            Dataset examples = targets?.Apply(train) ?? train;
            fitted = optimizer is null
                ? Lbfgs(network, loss, examples, settings.Epochs, interrupted)
                : Fit(network, loss, optimizer, schedule, settings, examples, batch, targets?.Apply(watched) ?? watched, interrupted);
        }
        catch (OperationCanceledException)
        {
            targets?.FoldInto(network);
            network.Save(destination.Model);
            throw new CliException(ExitCode.Interrupted, $"Interrupted; the network as it was then is in '{destination.Model}'.");
        }
        targets?.FoldInto(network);
        network.Save(destination.Model);

        Evaluation evaluation = network.Evaluate(heldBack);
        double peak = device.Measure().PeakGflops;
        Console.Out.WriteLine();
        EvaluationText.WriteShort(network, heldBack, evaluation, $"{Printable.Count(heldBack.Count)} held-back {source.Examples}");
        Console.Out.WriteLine();
        Console.Out.WriteLine(Invariant(
            $"Training: {fitted.Seconds:F2} s, {Printable.Count(fitted.SamplesPerSecond)} samples/s, {fitted.Gflops:F1} GFLOP/s"));
        Console.Out.WriteLine(Invariant(
            $"          {100 * fitted.Gflops / peak:F1} % of the measured peak of {peak:F0} GFLOP/s ({device.Configuration})"));
        Console.Out.WriteLine($"Model:    {destination.Model}");

        if (destination.Facts is not null)
        {
            new TrainingReport(
                source.Name, settings.Seed, fitted.Epochs, fitted.Seconds, classes ? evaluation.Accuracy : null,
                fitted.SamplesPerSecond, fitted.Gflops, peak, device.IsOpenCl ? $"opencl:{device.Name}" : "cpu",
                device.IsOpenCl ? null : device.Isa, device.IsOpenCl ? null : device.Blas, device.Threads,
                network.ToString(), parts.Task.ToString().ToLowerInvariant(), settings.LossText(), rule,
                settings.Optimizer.IsScheduled ? schedule.ToString() : null, batch, fitted.BestEpoch, fitted.StoppedEarly)
                .Write(destination.Facts);
        }
        return ExitCode.Done;
    }

    // What only the data can tell.
    private static void CheckData(TrainingSettings settings, Dataset train, int batch)
    {
        if (settings.BatchNorm && settings.Hidden.Length > 0 && (train.Count % batch == 1 || batch == 1))
        {
            throw CliException.Usage(
                $"--batch-norm needs 2 examples in each step; with --batch {batch} the last step of the {Printable.Count(train.Count)} examples has 1.");
        }
        int negative = settings.Loss.Targets == TargetForm.Scaled ? train.Targets.IndexOfAnyInRange(float.NegativeInfinity, -float.Epsilon) : -1;
        if (negative >= 0)
        {
            throw CliException.Usage(Invariant(
                $"--loss {settings.Loss.Name} expects counts or rates; there is the target {train.Targets[negative]}."));
        }
    }

    private static string Batches(int batch, int count) =>
        batch == count ? $"batches of all {Printable.Count(count)}" : $"batches of {Printable.Count(batch)}";

    private static Fitted Fit(
        Network network, Loss loss, Optimizer optimizer, Schedule schedule, TrainingSettings settings, Dataset examples, int batch,
        Dataset watched, CancellationToken interrupted)
    {
        using var trainer = new Trainer(network, loss, optimizer)
        {
            Seed = settings.Seed,
            Schedule = schedule,
            EarlyStopping = settings.EarlyStopping is { } patience ? new EarlyStopping(patience) : null,
        };
        History history = TrainingDisplay.Run(
            progress => trainer.Fit(examples, settings.Epochs, batch, watched, progress, interrupted),
            settings.Watches ? "watched" : "held back");
        if (settings.Optimizer.Averages)
            trainer.AdoptAverages();
        if (settings.EarlyStopping is not null)
        {
            Console.Out.WriteLine(history.StoppedEarly
                ? $"stopped after epoch {history.Epochs.Count}; the network is that of epoch {history.BestEpoch}, the best"
                : $"the network is that of epoch {history.BestEpoch}, the best");
        }
        return new Fitted(
            history.Epochs.Count, history.BestEpoch, history.StoppedEarly, history.Seconds, history.SamplesPerSecond, history.Gflops);
    }

    private static Fitted Lbfgs(Network network, Loss loss, Dataset examples, int iterations, CancellationToken interrupted)
    {
        double before = network.Evaluate(examples, loss).Loss;
        long began = Stopwatch.GetTimestamp();
        LbfgsResult result = new Lbfgs(iterations).Fit(network, loss, examples, interrupted);
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        string end = result.End switch
        {
            LbfgsEnd.Gradient => "the gradient is 0",
            LbfgsEnd.Change => "nothing changes any more",
            LbfgsEnd.LineSearch => "as good as single precision allows",
            _ => "as many as were asked for",
        };
        Console.Out.WriteLine(Invariant(
            $"iteration {result.Iterations}/{iterations}  loss {before:F4} -> {result.Value:F4}  {result.Evaluations} evaluations; {end}"));

        // The products of dense layers: forward, for the weights and, except in the first layer, for the inputs; two operations each.
        int[] weights = [.. network.ParameterInfos.Where(p => p.Name.EndsWith(".weight", StringComparison.Ordinal)).Select(p => p.Count)];
        double samples = (double)result.Evaluations * examples.Count, operations = 6.0 * weights.Sum() - 2.0 * weights[0];
        return new Fitted(
            result.Iterations, result.Iterations, false, seconds, samples / seconds, samples / seconds * operations * 1e-9);
    }

    /// <summary>What a training did.</summary>
    private sealed record Fitted(int Epochs, int BestEpoch, bool StoppedEarly, double Seconds, double SamplesPerSecond, double Gflops);

    /// <summary>The files that a training writes.</summary>
    private sealed record Destination(string Model, string? Facts);
}
