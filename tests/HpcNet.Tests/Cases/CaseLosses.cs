// CaseLosses.cs: the losses of the cases, by their names and parameters (PyTorch's), as losses of the library. A name, a parameter or
// a value that is not known here fails.

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

/// <summary>What a case does to the outputs y before the loss sees them.</summary>
internal enum CaseHead
{
    None,
    Sigmoid,
    LogSoftmax,
}

/// <summary>A loss of the cases: what comes before it, and its instructions.</summary>
internal sealed record CaseLoss(Loss Loss, CaseHead Head)
{
    /// <summary>Whether the case's target is a class of each row.</summary>
    public bool Labels(ReferenceCase reference) => Loss.TakesLabels && reference.Shape("target").Length == 1;

    /// <summary>Records head and loss of y, and the gradient of y.</summary>
    /// <param name="recorder">Where.</param>
    /// <param name="y">The network's output.</param>
    /// <param name="target">The target.</param>
    /// <param name="dy">Receives the gradient.</param>
    /// <param name="temporary">Makes a value like y.</param>
    public void Record(Recorder recorder, Value y, Value target, Value dy, Func<Value> temporary)
    {
        if (Head == CaseHead.None)
        {
            Loss.RecordForward(recorder, y, target);
            Loss.RecordBackward(recorder, y, target, dy);
            return;
        }
        const int sigmoid = (int)hpc_activation.HPC_ACTIVATION_SIGMOID;
        Value p = temporary(), dp = temporary();
        if (Head == CaseHead.Sigmoid)
            recorder.ActivationForward(sigmoid, y, p, Value.None, 0f, 0f);
        else
            recorder.LogSoftmax(y, p);
        Loss.RecordForward(recorder, p, target);
        Loss.RecordBackward(recorder, p, target, dp);
        if (Head == CaseHead.Sigmoid)
            recorder.ActivationBackward(sigmoid, p, dp, dy, 0f, 0f);
        else
            recorder.LogSoftmaxBackward(p, dp, dy);
    }

    /// <summary>The loss that the metrics of one run tell.</summary>
    public double Reduced(in hpc_metrics metrics) => Loss.Reduced(metrics.loss, metrics.weight);

    /// <summary>Loss and its gradient by y [rows × columns], against the case's target.</summary>
    public (double Value, float[] Gradient) Of(ReferenceCase reference, Device device, float[] y, int rows, int columns)
    {
        using var bench = new Bench(device, rows);
        Value output = bench.Input(columns, y), gradient = bench.Output(columns);
        Value target = Labels(reference)
            ? bench.Input(1, reference.InIntegers("target"), hpc_value_kind.HPC_VALUE_TARGET)
            : bench.Input(columns, reference.In("target"), hpc_value_kind.HPC_VALUE_TARGET);
        Record(bench.Recorder, output, target, gradient, () => bench.Output(columns));
        bench.Run();
        Assert.Equal(0u, bench.Metrics.flags);
        return (Reduced(bench.Metrics), bench.Read(gradient, rows * columns));
    }
}

internal static class CaseLosses
{
    // Names are a family, then what makes a case of it ("huber_d2_sum"); the longest family that fits counts.
    private static readonly (string Family, string[] Parameters, Func<JsonElement, CaseLoss> Make)[] Known =
    [
        ("mse", [], _ => Plain(Loss.MeanSquaredError)),
        ("l1", [], _ => Plain(Loss.MeanAbsoluteError)),
        ("huber", ["delta"], p => Plain(Loss.Huber with { Delta = Single(p, "delta", 1f) })),
        ("smooth_l1", ["beta"], p => Plain(Loss.SmoothL1 with { Beta = Single(p, "beta", 1f) })),
        ("bce_logits", ["pos_weight", "weight", "targets"], p => Plain(
            Loss.SigmoidCrossEntropy with { PositiveWeights = Singles(p, "pos_weight"), Weights = Singles(p, "weight") })),
        ("bce_prob", ["weight", "targets"], p => new CaseLoss(Loss.BinaryCrossEntropy with { Weights = Singles(p, "weight") }, CaseHead.Sigmoid)),
        ("ce", ["weight", "label_smoothing", "ignore_index", "targets"], p => Plain(Loss.SoftmaxCrossEntropy with
        {
            ClassWeights = Singles(p, "weight"),
            LabelSmoothing = Single(p, "label_smoothing", 0f),
            IgnoredLabel = ReferenceCase.Get(p, "ignore_index", -100),
        })),
        ("nll", ["weight", "ignore_index"], p => new CaseLoss(
            Loss.NegativeLogLikelihood with { ClassWeights = Singles(p, "weight"), IgnoredLabel = ReferenceCase.Get(p, "ignore_index", -100) },
            CaseHead.LogSoftmax)),
        ("kl", ["log_target"], p => new CaseLoss(Loss.KlDivergence with { LogTarget = ReferenceCase.Get(p, "log_target", false) }, CaseHead.LogSoftmax)),
        ("poisson", ["log_input", "full", "eps"], p => Plain(Loss.Poisson with
        {
            LogInput = ReferenceCase.Get(p, "log_input", true),
            Full = ReferenceCase.Get(p, "full", false),
            Epsilon = Single(p, "eps", 1e-8f),
        })),
        ("soft_margin", ["targets"], _ => Plain(Loss.SoftMargin)),
        ("hinge", ["margin", "targets"], p => Plain(Loss.Hinge with { Margin = Single(p, "margin", 1f) })),
        ("multi_margin", ["p", "margin", "weight"], p => Plain(Loss.MultiMargin with
        {
            Power = ReferenceCase.Get(p, "p", 1),
            Margin = Single(p, "margin", 1f),
            ClassWeights = Singles(p, "weight"),
        })),
    ];

    /// <summary>The loss of a case.</summary>
    /// <param name="name">For example <c>ce_int_smooth0.1</c>.</param>
    /// <param name="parameters">The case's <c>loss_params</c>.</param>
    public static CaseLoss Of(string name, JsonElement parameters)
    {
        var found = Known.Where(k => name == k.Family || name.StartsWith(k.Family + "_", StringComparison.Ordinal))
            .OrderByDescending(k => k.Family.Length).FirstOrDefault();
        Assert.True(found.Make is not null, $"nothing here knows the loss '{name}'");
        foreach (JsonProperty parameter in parameters.EnumerateObject())
        {
            Assert.True(
                parameter.Name is "reduction" or "note" || found.Parameters.Contains(parameter.Name),
                $"nothing here knows the parameter '{parameter.Name}' of the loss '{name}'");
        }
        CaseLoss loss = found.Make(parameters);
        return loss with { Loss = loss.Loss with { Reduction = ReductionOf(ReferenceCase.Get(parameters, "reduction", "mean")) } };
    }

    // The first word; an explanation may follow in brackets.
    private static Reduction ReductionOf(string text) => text.Split(' ')[0] switch
    {
        "mean" => Reduction.Mean,
        "sum" => Reduction.Sum,
        "batchmean" => Reduction.BatchMean,
        _ => throw new NotSupportedException($"nothing here knows the reduction '{text}'"),
    };

    private static CaseLoss Plain(Loss loss) => new(loss, CaseHead.None);

    private static float Single(JsonElement parameters, string name, float absent) => (float)ReferenceCase.Get(parameters, name, (double)absent);

    private static float[]? Singles(JsonElement parameters, string name) => ReferenceCase.Get<float[]?>(parameters, name, null);
}
