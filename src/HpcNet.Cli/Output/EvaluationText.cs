// How well a network does on data, for people: in short after a training (accuracy and confusion matrix, or the errors of a
// regression), and at length where that is the question.

using System.Globalization;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Output;

internal static class EvaluationText
{
    private static readonly int[] Tops = [2, 3, 5];

    /// <summary>Writes what matters most to standard output.</summary>
    /// <param name="network">The network.</param>
    /// <param name="data">What it was evaluated on.</param>
    /// <param name="evaluation">The result.</param>
    /// <param name="examples">What the data are called, with their number.</param>
    public static void WriteShort(Network network, Dataset data, Evaluation evaluation, string examples)
    {
        if (evaluation.Confusion is { } confusion)
        {
            Console.Out.WriteLine($"Accuracy on {examples}: {Printable.Percent(evaluation.Accuracy)} ({confusion.Correct} correct, "
                + $"{confusion.Total - confusion.Correct} wrong)");
            Console.Out.WriteLine();
            Console.Out.WriteLine(ConfusionTable.Format(confusion));
            return;
        }
        if (network.Task == NetworkTask.MultiLabel)
        {
            WriteLabels(data, Outputs(network, data), evaluation, examples);
            return;
        }
        Console.Out.WriteLine($"Errors on {examples}:");
        foreach (TargetError error in TargetError.Of(data, Outputs(network, data)))
            Console.Out.WriteLine($"  {error.Name}: RMSE {Printable.Short(error.Rmse)}, R2 {Share(error.R2)}");
    }

    /// <summary>Writes all there is to say to standard output.</summary>
    /// <inheritdoc cref="WriteShort"/>
    public static void WriteLong(Network network, Dataset data, Evaluation evaluation, string examples)
    {
        if (evaluation.Confusion is not { } confusion)
        {
            float[] outputs = Outputs(network, data);
            if (network.Task == NetworkTask.MultiLabel)
                WriteLabels(data, outputs, evaluation, examples);
            else
                WriteErrors(data, outputs, examples);
            return;
        }
        WriteShort(network, data, evaluation, examples);
        WriteClasses(network, data, evaluation, confusion);
    }

    private static void WriteClasses(Network network, Dataset data, Evaluation evaluation, ConfusionMatrix confusion)
    {
        var table = new TextTable("class", "precision", "recall", "F1", "examples");
        for (int i = 0; i < confusion.Classes; i++)
        {
            long rows = 0;
            for (int predicted = 0; predicted < confusion.Classes; predicted++)
                rows += confusion[i, predicted];
            string name = confusion.ClassNames?[i] ?? i.ToString(CultureInfo.InvariantCulture);
            table.Add(name, Share(confusion.Precision(i)), Share(confusion.Recall(i)), Share(confusion.F1(i)), Printable.Count(rows));
        }
        foreach ((string name, Averaging averaging) in (ReadOnlySpan<(string, Averaging)>)
            [("mean", Averaging.Macro), ("weighted mean", Averaging.Weighted)])
        {
            table.Add(
                name, Share(confusion.Precision(averaging)), Share(confusion.Recall(averaging)), Share(confusion.F1(averaging)),
                Printable.Count(confusion.Total));
        }
        Console.Out.WriteLine();
        Console.Out.Write(table.Format(apart: 2));

        float[] probabilities = Outputs(network, data);
        var facts = new TextTable("", "");
        foreach (int k in Tops.Where(k => k < confusion.Classes))
            facts.Add($"Right class among the first {k}", Printable.Percent(Metrics.TopKAccuracy(probabilities, data.Labels, k)));
        if (confusion.Classes == 2)
            facts.Add("Area under the ROC curve", Share(Metrics.RocAuc(Column(probabilities, 1, 2), data.Labels)));
        facts.Add("Cross-entropy", evaluation.Loss.ToString("F4", CultureInfo.InvariantCulture));
        facts.Add("Perplexity", evaluation.Perplexity.ToString("F4", CultureInfo.InvariantCulture));
        Console.Out.WriteLine();
        Console.Out.Write(facts.Format(header: false));
    }

    private static void WriteLabels(Dataset data, float[] probabilities, Evaluation evaluation, string examples)
    {
        int labels = data.TargetCount, whole = 0;
        for (int row = 0; row < data.Count; row++)
        {
            int right = 0;
            for (int i = row * labels; i < (row + 1) * labels; i++)
                right += probabilities[i] > 0.5f == data.Targets[i] > 0.5f ? 1 : 0;
            whole += right == labels ? 1 : 0;
        }
        Console.Out.WriteLine($"Labels right on {examples}: {Printable.Percent(evaluation.Accuracy)}"
            + (labels > 1 ? $"; all {labels} of an example: {Printable.Percent((double)whole / data.Count)}" : ""));
        Console.Out.WriteLine();
        var table = new TextTable("label", "precision", "recall", "F1", "ROC-AUC", "examples");
        for (int label = 0; label < labels; label++)
        {
            float[] scores = Column(probabilities, label, labels);
            int[] actual = Array.ConvertAll(Column(data.Targets, label, labels), t => t > 0.5f ? 1 : 0);
            ConfusionMatrix matrix = Metrics.Confusion(Array.ConvertAll(scores, s => s > 0.5f ? 1 : 0), actual, 2);
            table.Add(
                TargetError.NameOf(data, label), Share(matrix.Precision(1)), Share(matrix.Recall(1)), Share(matrix.F1(1)),
                Share(Metrics.RocAuc(scores, actual)), Printable.Count(actual.Sum()));
        }
        Console.Out.Write(table.Format());
    }

    private static void WriteErrors(Dataset data, float[] predictions, string examples)
    {
        Console.Out.WriteLine($"Errors on {examples}:");
        Console.Out.WriteLine();
        var table = new TextTable("target", "R2", "MAE", "RMSE");
        foreach (TargetError error in TargetError.Of(data, predictions))
            table.Add(error.Name, Share(error.R2), Printable.Short(error.Mae), Printable.Short(error.Rmse));
        Console.Out.Write(table.Format());
    }

    private static float[] Outputs(Network network, Dataset data)
    {
        var outputs = new float[data.Count * network.Outputs];
        using Predictor predictor = network.CreatePredictor();
        predictor.Predict(data.Features, outputs);
        return outputs;
    }

    private static float[] Column(ReadOnlySpan<float> values, int column, int columns)
    {
        var result = new float[values.Length / columns];
        for (int i = 0; i < result.Length; i++)
            result[i] = values[i * columns + column];
        return result;
    }

    private static string Share(double value) => double.IsNaN(value) ? "-" : value.ToString("F4", CultureInfo.InvariantCulture);
}

/// <summary>The errors of one target.</summary>
/// <param name="Name">The target.</param>
/// <param name="Rmse">Root of the mean squared error, in the target's unit.</param>
/// <param name="Mae">Mean of the errors' magnitudes, in the target's unit.</param>
/// <param name="R2">1 minus the squared error's share of the variance; NaN where the target does not vary.</param>
internal sealed record TargetError(string Name, double Rmse, double Mae, double R2)
{
    /// <summary>The errors of each target of a data set.</summary>
    public static TargetError[] Of(Dataset data, float[] predictions)
    {
        var errors = new TargetError[data.TargetCount];
        for (int t = 0; t < errors.Length; t++)
        {
            double mean = 0;
            for (int i = t; i < predictions.Length; i += errors.Length)
                mean += data.Targets[i] / data.Count;
            double squares = 0, magnitudes = 0, variance = 0;
            for (int i = t; i < predictions.Length; i += errors.Length)
            {
                double error = (double)predictions[i] - data.Targets[i];
                squares += error * error;
                magnitudes += Math.Abs(error);
                variance += Math.Pow(data.Targets[i] - mean, 2);
            }
            errors[t] = new TargetError(
                NameOf(data, t), Math.Sqrt(squares / data.Count), magnitudes / data.Count, variance > 0 ? 1 - squares / variance : double.NaN);
        }
        return errors;
    }

    /// <summary>What a target is called.</summary>
    public static string NameOf(Dataset data, int target) =>
        data.TargetNames is { } names ? Printable.Cut(names[target], 40) : $"target {target + 1}";
}
