// `hpcnet evaluate`: a model file against data with known answers. Scaling and classes are the model's.

using System.CommandLine;
using HpcNet.Cli.Data;
using HpcNet.Cli.Output;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Commands;

internal static class EvaluateCommand
{
    public static Command Create(CancellationToken interrupted)
    {
        Option<string?> model = Options.Text("--model", "FILE", "The model, as `train` wrote it.", required: true);
        var data = new DataOptions();
        var devices = new DeviceOptions();
        var command = new CommandWithExamples(
            "evaluate",
            "Judges a model by data with known answers: digits (the fifth that `train` holds back), mnist (the test images) or all "
            + "rows of a CSV file. Classes: accuracy, confusion matrix, precision, recall, F1, top-k, cross-entropy, for two classes the area "
            + "under the ROC curve; labels: the same for each; values: R2, mean absolute and root mean squared error.",
            "hpcnet evaluate --model digits.safetensors --dataset digits",
            "hpcnet evaluate --model iris.safetensors --dataset more-iris.csv --target species");
        command.Add(model);
        data.AddTo(command);
        devices.AddTo(command);

        command.SetAction(line =>
        {
            DataSource source = data.Source(line);
            string file = line.GetValue(model)!;
            ModelFile.Check(file);
            using Device device = devices.Open(line);
            using Network network = Network.Load(file, device);
            Dataset examples = source.ReadForEvaluation(network);
            if (examples.FeatureCount != network.Inputs)
                throw CliException.Failed($"'{file}' expects {network.Inputs} features, {source.Name} has {examples.FeatureCount}.");
            if (examples.IsClassification != (network.Task == NetworkTask.Classification))
            {
                string task = network.Task.ToString().ToLowerInvariant();
                throw CliException.Failed($"'{file}' is a model for {task}, {source.Name} has other targets.");
            }
            int answers = examples.IsClassification ? examples.ClassCount : examples.TargetCount;
            if (answers != network.Outputs)
                throw CliException.Failed($"'{file}' has {network.Outputs} outputs, {source.Name} needs {answers}.");
            interrupted.ThrowIfCancellationRequested();
            string what = $"{Printable.Count(examples.Count)} {source.Examples} of {source.Name}";
            EvaluationText.WriteLong(network, examples, network.Evaluate(examples), what);
            return ExitCode.Done;
        });
        return command;
    }
}
