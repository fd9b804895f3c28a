// How well a network does on data, for people: accuracy and confusion matrix, or the errors of a regression.

using System.Globalization;
using HpcNet.Cli.Text;

namespace HpcNet.Cli.Output;

internal static class EvaluationText
{
    /// <summary>Writes to standard output.</summary>
    /// <param name="network">The network.</param>
    /// <param name="data">What it was evaluated on.</param>
    /// <param name="evaluation">The result.</param>
    /// <param name="examples">What the data are called, with their number.</param>
    public static void Write(Network network, Dataset data, Evaluation evaluation, string examples)
    {
        if (evaluation.Confusion is { } confusion)
        {
            Console.Out.WriteLine($"Accuracy on {examples}: {Printable.Percent(evaluation.Accuracy)} ({confusion.Correct} correct, "
                + $"{confusion.Total - confusion.Correct} wrong)");
            Console.Out.WriteLine();
            Console.Out.WriteLine(ConfusionTable.Format(confusion));
            return;
        }
        Console.Out.WriteLine($"Errors on {examples}:");
        foreach (TargetError error in TargetError.Of(network, data))
        {
            string r2 = double.IsNaN(error.R2) ? "-" : error.R2.ToString("F4", CultureInfo.InvariantCulture);
            Console.Out.WriteLine($"  {error.Name}: RMSE {Printable.Short(error.Rmse)}, R2 {r2}");
        }
    }
}

/// <summary>The errors of one target.</summary>
/// <param name="Name">The target.</param>
/// <param name="Rmse">Root of the mean squared error, in the target's unit.</param>
/// <param name="R2">1 minus the squared error's share of the variance; NaN where the target does not vary.</param>
internal sealed record TargetError(string Name, double Rmse, double R2)
{
    /// <summary>The errors of each target of a data set.</summary>
    public static TargetError[] Of(Network network, Dataset data)
    {
        var predictions = new float[data.Targets.Length];
        using (Predictor predictor = network.CreatePredictor())
            predictor.Predict(data.Features, predictions);

        var errors = new TargetError[data.TargetCount];
        for (int t = 0; t < errors.Length; t++)
        {
            double mean = 0;
            for (int i = t; i < predictions.Length; i += errors.Length)
                mean += data.Targets[i] / data.Count;
            double squares = 0, variance = 0;
            for (int i = t; i < predictions.Length; i += errors.Length)
            {
                squares += Math.Pow((double)predictions[i] - data.Targets[i], 2);
                variance += Math.Pow(data.Targets[i] - mean, 2);
            }
            string name = data.TargetNames is { } names ? Printable.Cut(names[t], 40) : $"target {t + 1}";
            errors[t] = new TargetError(name, Math.Sqrt(squares / data.Count), variance > 0 ? 1 - squares / variance : double.NaN);
        }
        return errors;
    }
}
