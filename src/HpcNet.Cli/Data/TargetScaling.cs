// Real-valued targets in standard units while training, so that one learning rate serves prices and probabilities alike.
// Afterwards the scaling goes into the last layer: y = s (x W + b) + m = x (s W) + (s b + m). The model then gives the targets' own
// units, and needs nothing beside its parameters.

namespace HpcNet.Cli.Data;

internal sealed class TargetScaling
{
    private readonly Standardizer _standardizer;

    private TargetScaling(Standardizer standardizer) => _standardizer = standardizer;

    /// <summary>Fits to the targets of the data for training.</summary>
    public static TargetScaling Fit(Dataset train) => new(Standardizer.Fit(train.Targets, train.TargetCount));

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
}
