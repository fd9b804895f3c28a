// `hpcnet predict`: a row of features in, a class with its probability or the values out, as CSV.

using System.CommandLine;
using System.Globalization;
using System.Text;
using HpcNet.Cli.Data;
using HpcNet.Cli.Output;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Commands;

internal static class PredictCommand
{
    public static Command Create(CancellationToken interrupted)
    {
        Option<string?> model = Options.Text("--model", "FILE", "The model, as `train` wrote it.", required: true);
        Option<string?> input = Options.Text(
            "--input", "FILE.csv", "A row of features per line, in the order of training and as they come (the model knows their scaling); "
            + "a header is allowed.", required: true);
        Option<string[]?> target = Options.Texts(
            "--target", "COLUMN", "A column of the input that is no feature, and is left out; several times: several.");
        Option<string?> output = Options.Text("--output", "FILE", "Where the answers go (default: standard output).");
        var devices = new DeviceOptions();
        var command = new CommandWithExamples(
            "predict",
            "Answers for each row of a CSV file: `class,probability`, the values of a regression, or the probability of each label, one line "
            + "per row below a header.",
            "hpcnet predict --model digits.safetensors --input pixels.csv",
            "hpcnet predict --model iris.safetensors --input iris.csv --target species --output answers.csv");
        command.Add(model);
        command.Add(input);
        command.Add(target);
        command.Add(output);
        devices.AddTo(command);

        command.SetAction(line =>
        {
            string file = line.GetValue(model)!;
            ModelFile.Check(file);
            string? destination = line.GetValue(output);
            if (destination is not null)
                OutputFile.Check("--output", destination);
            FeatureTable features = FeatureTable.Read(line.GetValue(input)!, line.GetValue(target) ?? []);

            using Device device = devices.Open(line);
            using Network network = Network.Load(file, device);
            if (features.Columns != network.Inputs)
            {
                throw CliException.Failed(
                    $"'{file}' expects {network.Inputs} features, '{line.GetValue(input)}' has {features.Columns} columns"
                    + (features.Columns == network.Inputs + 1 ? " (--target COLUMN leaves one out)." : "."));
            }
            interrupted.ThrowIfCancellationRequested();
            string answers = Answers(network, features);
            if (destination is null)
                Console.Out.Write(answers);
            else
                OutputFile.Write(destination, stream => stream.Write(Encoding.UTF8.GetBytes(answers)));
            return ExitCode.Done;
        });
        return command;
    }

    private static string Answers(Network network, FeatureTable features)
    {
        using Predictor predictor = network.CreatePredictor();
        var outputs = new float[features.Rows * network.Outputs];
        predictor.Predict(features.Values, outputs);

        var text = new StringBuilder();
        if (network.Task == NetworkTask.Classification)
        {
            text.Append("class,probability\n");
            IEnumerable<string> classes = network.ClassNames
                ?? Enumerable.Range(0, network.Outputs).Select(i => i.ToString(CultureInfo.InvariantCulture));
            string[] names = [.. classes.Select(Csv)];
            for (int row = 0; row < features.Rows; row++)
            {
                ReadOnlySpan<float> probabilities = outputs.AsSpan(row * network.Outputs, network.Outputs);
                int best = 0;
                for (int i = 1; i < probabilities.Length; i++)
                    best = probabilities[i] > probabilities[best] ? i : best;
                text.Append(CultureInfo.InvariantCulture, $"{names[best]},{probabilities[best]:0.######}\n");
            }
            return text.ToString();
        }

        IEnumerable<string> columns = network is { Task: NetworkTask.MultiLabel, ClassNames: { } labels }
            ? labels.Select(Csv)
            : Enumerable.Range(1, network.Outputs).Select(i => network.Outputs == 1 ? "value" : $"value{i}");
        text.AppendJoin(',', columns).Append('\n');
        for (int i = 0; i < outputs.Length; i++)
            text.Append(outputs[i].ToString(CultureInfo.InvariantCulture)).Append((i + 1) % network.Outputs == 0 ? '\n' : ',');
        return text.ToString();
    }

    // Names come from a file: what a terminal would obey is taken out, and what CSV would misread is quoted.
    private static string Csv(string name)
    {
        string line = Printable.OneLine(name);
        return line.AsSpan().ContainsAny(',', '"') ? $"\"{line.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : line;
    }
}
