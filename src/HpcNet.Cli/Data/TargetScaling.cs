// Real-valued targets in standard units while training, so that one learning rate serves prices and probabilities alike.
// Afterwards the scaling goes into the last layer: y = s (x W + b) + m = x (s W) + (s b + m). The model then gives the targets' own
// units, and needs nothing beside its parameters. Counts are divided by their mean only: then m is 0, and the last layer, which stands
// behind the softplus that makes rates of outputs, needs no bias.

using HpcNet.Cli.Choices;

namespace HpcNet.Cli.Data;

internal sealed class TargetScaling
{
    private readonly Standardizer _standardizer;

    private TargetScaling(Standardizer standardizer) => _standardizer = standardizer;

    /// <summary>Fits to the targets of the data for training; null where there is nothing to scale.</summary>
    public static TargetScaling? Fit(Dataset train, TargetForm form) => form switch
    {
        TargetForm.Standardized => new(Standardizer.Fit(train.Targets, train.TargetCount)),
        TargetForm.Scaled => new(new Standardizer(new double[train.TargetCount], Means(train))),
        // -1 and 1 of 0 and 1; the network's answers are signs, so that nothing is folded.
        TargetForm.Signed => new(new Standardizer(Of(train, 0.5), Of(train, 0.5))) { Folds = false },
        _ => null,
    };

    /// <summary>Whether the network's outputs are in the same form as the targets.</summary>
    private bool Folds { get; init; } = true;

    /// <summary>Makes a square layer give what it gets: where the scaling goes afterwards.</summary>
    public static void Begin(Network network, string layer)
    {
        var values = new float[network.Outputs * network.Outputs];
        for (int i = 0; i < network.Outputs; i++)
            values[i * network.Outputs + i] = 1f;
        network.SetParameter($"{layer}.weight", values);
    }

    /// <summary>The same data with targets in standard units.</summary>
    public Dataset Apply(Dataset data)
    {
        var targets = new float[data.Targets.Length];
        _standardizer.Apply(data.Targets, targets);
        return Dataset.FromArrays(data.Features, data.FeatureCount, targets, data.TargetCount, data.TargetNames, data.FeatureNames);
    }

    /// <summary>Changes the last layer, which is linear, to give the targets' own units.</summary>
    public void FoldInto(Network network)
    {
        if (!Folds)
            return;
        string layer = network.LayerNames[^1];
        ReadOnlySpan<double> means = _standardizer.Means, scales = _standardizer.Scales;
        foreach (ParameterInfo parameter in network.ParameterInfos.Where(p => p.Layer == layer))
        {
            var values = new float[parameter.Count];
            network.GetParameter(parameter.Name, values);
            double shift = parameter.Rows == 1 && parameter.Name.EndsWith(".bias", StringComparison.Ordinal) ? 1 : 0;
            for (int i = 0; i < values.Length; i++)
            {
                int column = i % parameter.Columns;
                values[i] = (float)(values[i] * scales[column] + shift * means[column]);
            }
            network.SetParameter(parameter.Name, values);
        }
    }

    private static double[] Means(Dataset data)
    {
        var means = new double[data.TargetCount];
        for (int i = 0; i < data.Targets.Length; i++)
            means[i % means.Length] += (double)data.Targets[i] / data.Count;
        return Array.ConvertAll(means, m => m > 0 ? m : 1);
    }

    private static double[] Of(Dataset data, double value)
    {
        var values = new double[data.TargetCount];
        Array.Fill(values, value);
        return values;
    }
}
