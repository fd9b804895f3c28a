// PerOutputLoss.cs: the losses of a network with several outputs. Predictions and targets are columns side by side; each part is
// cut out, given to its loss, and its gradient put back in its place.

using HpcNet.Interop;

namespace HpcNet;

internal sealed record PerOutputLoss : Loss
{
    private readonly (Loss Loss, int Columns, float Weight)[] _parts;

    public PerOutputLoss((Loss Loss, int Columns, float Weight)[] parts)
        : base("PerOutput")
    {
        if (parts.Length == 0)
            throw new ArgumentException("parts is empty; expected a loss for each output.", nameof(parts));
        foreach (var (loss, columns, weight) in parts)
        {
            Ensure.NotNull(loss, nameof(parts));
            Ensure.Positive(columns, nameof(columns));
            Ensure.FinitePositive(weight, nameof(weight));
            if (loss.Reduction != parts[0].Loss.Reduction)
                throw new ArgumentException($"parts holds losses with the reductions {parts[0].Loss.Reduction} and {loss.Reduction}; expected one.", nameof(parts));
            if (!loss.TakesTargets)
                throw new ArgumentException($"parts holds {loss.Name}, which expects class labels; expected losses of float targets.", nameof(parts));
            foreach ((string name, float[]? values) in loss.OutputSettings)
            {
                if (values is not null && values.Length != columns)
                    throw new ArgumentException($"{loss.Name} has {values.Length} {name}; its output has {columns} columns.", nameof(parts));
            }
        }
        _parts = parts.ToArray();
        // Steps ask for the number: it is added up once.
        Parts = parts.Sum(p => p.Loss.Parts);
        Columns = Ensure.Elements(1, parts.Sum(p => (long)p.Columns), nameof(parts), "The outputs");
        Reduction = parts[0].Loss.Reduction;
    }

    public override NetworkTask Task => NetworkTask.Regression;

    // Each part's settings are checked above.
    internal override IEnumerable<(string Name, float[]? Values)> OutputSettings => [];

    internal override int Parts { get; }

    internal override int Columns { get; }

    internal override void RecordForward(Recorder recorder, Value prediction, Value target) =>
        Each(recorder, prediction, target, (loss, _, p, t) => loss.RecordForward(recorder, p, t));

    internal override void RecordBackward(Recorder recorder, Value prediction, Value target, Value gradient) =>
        Each(recorder, prediction, target, (loss, first, p, t) =>
        {
            Value part = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, p.Columns, "output.gradient");
            loss.RecordBackward(recorder, p, t, part);
            recorder.CopyColumns(part, 0, gradient, first, p.Columns);
        });

    private void Each(Recorder recorder, Value prediction, Value target, Action<Loss, int, Value, Value> record)
    {
        int first = 0;
        foreach (var (loss, columns, weight) in _parts)
        {
            Value Cut(Value whole, string name)
            {
                Value part = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, columns, name);
                recorder.CopyColumns(whole, first, part, 0, columns);
                return part;
            }
            record(loss with { Reduction = Reduction, Weight = Weight * weight }, first, Cut(prediction, "output"), Cut(target, "output.target"));
            first += columns;
        }
    }
}
