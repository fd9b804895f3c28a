// TrainingFamily.cs: whole trainings without chance, through Trainer: the loss of each step and the parameters at the end.

using System.Text.Json;

namespace HpcNet.Tests.Cases;

internal sealed class TrainingFamily : IFamily
{
    // Trainings drift apart once roundings add up: so many first losses are held closely, the rest by the general rule.
    private const int First = 10;
    private const double Close = 1e-5;

    public string Name => "training";

    public void Run(ReferenceCase reference, Device device)
    {
        CaseLoss loss = CaseLosses.Of(reference.Get("loss", ""), reference.Parameters.GetProperty("loss_params"));
        JsonElement none = JsonDocument.Parse("{}").RootElement;
        Layer activation = CaseActivations.Layer(
            reference.Get("activation", ""), reference.Parameters.TryGetProperty("activation_params", out JsonElement given) ? given : none);
        int[] widths = [.. Enumerable.Range(1, 3).Select(i => reference.Shape($"W{i}")[0])];
        List<Layer> layers =
        [
            new Dense(widths[0]) { Name = "dense1" }, activation with { Name = "act1" }, new Dense(widths[1]) { Name = "dense2" },
            activation with { Name = "act2" }, new Dense(widths[2]) { Name = "dense3" },
        ];
        if (loss.Head != CaseHead.None)
            layers.Add(new ActivationLayer(loss.Head == CaseHead.Sigmoid ? Activation.Sigmoid : Activation.LogSoftmax));
        using var network = new Network(device, reference.Shape("W1")[1], [.. layers]);
        for (int i = 1; i <= 3; i++)
        {
            int[] shape = reference.Shape($"W{i}");
            network.SetParameter($"dense{i}.weight", Matrix.Transposed(reference.In($"W{i}"), shape[0], shape[1]));
            network.SetParameter($"dense{i}.bias", reference.In($"b{i}"));
        }

        Optimizer optimizer = CaseOptimizers.Of(reference.Get("optimizer", ""), reference.Parameters.GetProperty("hyper"));
        if (reference.Get<double?>("clip_norm", null) is { } norm)
            optimizer = optimizer.ClipByNorm((float)norm);
        Schedule? schedule = reference.Get<int?>("cosine_T", null) is { } period ? Schedule.CosineAnnealing(period) : null;
        using var trainer = new Trainer(network, loss.Loss, optimizer) { Schedule = schedule };
        float[] losses = Losses(reference, trainer, loss.Labels(reference));

        double[] truth = reference.Truth("loss");
        for (int step = 0; step < First; step++)
        {
            double allowed = Close * Math.Max(1, Math.Abs(truth[step]));
            Assert.True(
                Math.Abs(losses[step] - truth[step]) <= allowed, $"{reference.Name}: the loss of step {step} is {losses[step]:R}; expected {truth[step]:R}");
        }
        reference.Check("loss", losses);
        for (int i = 1; i <= 3; i++)
        {
            int[] shape = reference.Shape($"W{i}");
            var weight = new float[shape[0] * shape[1]];
            var bias = new float[shape[0]];
            network.GetParameter($"dense{i}.weight", weight);
            network.GetParameter($"dense{i}.bias", bias);
            reference.Check($"W{i}", Matrix.Transposed(weight, shape[1], shape[0]));
            reference.Check($"b{i}", bias);
        }
    }

    // Batches in order, round and round.
    private static float[] Losses(ReferenceCase reference, Trainer trainer, bool labels)
    {
        int steps = reference.Get("steps", 0), batch = reference.Get("batch", 0), samples = reference.Get("samples", 0);
        int inputs = trainer.Network.Inputs, outputs = trainer.Network.Outputs;
        float[] x = reference.In("x");
        int[] classes = labels ? reference.InIntegers("target") : [];
        float[] targets = labels ? [] : reference.In("target");
        var losses = new float[steps];
        for (int step = 0, row = 0; step < steps; step++)
        {
            ReadOnlySpan<float> rows = x.AsSpan(row * inputs, batch * inputs);
            losses[step] = labels
                ? trainer.Step(rows, classes.AsSpan(row, batch))
                : trainer.Step(rows, targets.AsSpan(row * outputs, batch * outputs));
            row = row + 2 * batch <= samples ? row + batch : 0;
        }
        return losses;
    }
}
