// `hpcnet train`: reads data, trains, judges by the examples held back, writes the model. Whatever can be wrong is found before
// the training begins; a training that is interrupted still writes its model.

using System.CommandLine;
using HpcNet.Cli.Data;
using HpcNet.Cli.Output;
using HpcNet.Cli.Text;
using static System.FormattableString;

namespace HpcNet.Cli.Commands;

internal static class TrainCommand
{
    public static Command Create(Option<bool> verbose, CancellationToken interrupted)
    {
        var data = new DataOptions();
        var training = new TrainingOptions();
        var devices = new DeviceOptions();
        Option<string?> task = Options.OneOf(
            "--task", "What the target of a CSV file is (default: texts and whole numbers are classes, other numbers values).",
            "classification", "regression");
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
            "hpcnet train --dataset houses.csv --target price --task regression --activation tanh");
        data.AddTo(command);
        command.Add(task);
        command.Add(output);
        command.Add(json);
        training.AddTo(command);
        devices.AddTo(command);

        command.SetAction(line =>
        {
            DataSource source = data.Source(line);
            TargetKind kind = line.GetValue(task) switch
            {
                "classification" => TargetKind.Classification,
                "regression" => TargetKind.Regression,
                _ => TargetKind.Auto,
            };
            string model = line.GetValue(output) ?? source.DefaultOutput;
            string? facts = line.GetValue(json);
            OutputFile.Check("--output", model);
            if (facts is not null)
                OutputFile.Check("--json", facts);

            DataParts parts = source.Read(kind);
            interrupted.ThrowIfCancellationRequested();
            TrainingSettings settings = training.Settings(
                line, parts.Train.IsClassification ? DefaultsFor(source) : TrainingSettings.ForNumbers);
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
        Dataset train = parts.Train, heldBack = parts.HeldBack;
        bool classes = train.IsClassification;
        int outputs = classes ? train.ClassCount : train.TargetCount;
        using var network = new Network(device, train.FeatureCount, settings.Seed, settings.Layers(outputs));
        if (classes)
            network.ClassNames = train.ClassNames ?? [.. Enumerable.Range(0, outputs).Select(i => Invariant($"{i}"))];

        // Images have one scale for all pixels; columns of a table come in any units.
        if (train.ImageShape is null)
            network.Preprocessing = Standardizer.Fit(train);
        TargetScaling? targets = classes ? null : TargetScaling.Fit(train);

        string answers = classes ? "classes" : outputs == 1 ? "target" : "targets";
        Console.Out.WriteLine(
            $"{source.Name}: {Printable.Count(train.Count)} {source.Examples} to train, {Printable.Count(heldBack.Count)} held back; "
            + $"{train.FeatureCount} features, {outputs} {answers}");
        Console.Out.WriteLine($"network: {network}: {Printable.Count(network.ParameterCount)} parameters");
        Console.Out.WriteLine($"device: {device}");
        if (verbose)
            Console.Out.WriteLine($"{network.Summary()}\n{device.Describe().TrimEnd()}");

        int stepsPerEpoch = (train.Count + settings.Batch - 1) / settings.Batch;
        Loss loss = classes ? Loss.SoftmaxCrossEntropy : Loss.MeanSquaredError;
        using var trainer = new Trainer(network, loss, new Adam(settings.LearningRate))
        {
            Seed = settings.Seed,
            Schedule = Schedule.CosineDecay((int)Math.Min(int.MaxValue, (long)stepsPerEpoch * settings.Epochs)),
        };

        History history;
        try
        {
            Dataset examples = targets?.Apply(train) ?? train, validation = targets?.Apply(heldBack) ?? heldBack;
            history = TrainingDisplay.Run(
                progress => trainer.Fit(examples, settings.Epochs, settings.Batch, validation, progress, interrupted));
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
        EvaluationText.Write(network, heldBack, evaluation, $"{Printable.Count(heldBack.Count)} held-back {source.Examples}");
        Console.Out.WriteLine();
        Console.Out.WriteLine(Invariant(
            $"Training: {history.Seconds:F2} s, {Printable.Count(history.SamplesPerSecond)} samples/s, {history.Gflops:F1} GFLOP/s"));
        Console.Out.WriteLine(Invariant(
            $"          {100 * history.Gflops / peak:F1} % of the measured peak of {peak:F0} GFLOP/s ({device.Configuration})"));
        Console.Out.WriteLine($"Model:    {destination.Model}");

        if (destination.Facts is not null)
        {
            new TrainingReport(
                source.Name, settings.Seed, history.Epochs.Count, history.Seconds, classes ? evaluation.Accuracy : null,
                history.SamplesPerSecond, history.Gflops, peak, device.IsOpenCl ? $"opencl:{device.Name}" : "cpu",
                device.IsOpenCl ? null : device.Isa, device.IsOpenCl ? null : device.Blas, device.Threads)
                .Write(destination.Facts);
        }
        return ExitCode.Done;
    }

    /// <summary>The files that a training writes.</summary>
    private sealed record Destination(string Model, string? Facts);
}
