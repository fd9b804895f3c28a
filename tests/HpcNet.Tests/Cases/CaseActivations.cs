// CaseActivations.cs: PyTorch's names of activations, with its parameters, as layers. A name or parameter that is not known fails.

using System.Text.Json;

namespace HpcNet.Tests.Cases;

internal static class CaseActivations
{
    /// <summary>The layer to be put behind a linear one. Names may carry a suffix (<c>elu_a0.5</c>): the parameters say what it means.</summary>
    public static Layer Layer(string activation, JsonElement parameters) => activation switch
    {
        "prelu" => new PRelu(Number(parameters, "init", 0.25f), ReferenceCase.Get(parameters, "num_parameters", 0) == 1),
        _ => new ActivationLayer(Function(activation, parameters)),
    };

    private static Activation Function(string activation, JsonElement parameters)
    {
        float Number(string name, float absent) => CaseActivations.Number(parameters, name, absent);
        return Kind(activation) switch
        {
            "linear" or "identity" => Activation.Linear,
            "step" => Activation.Step,
            "sigmoid" => Activation.Sigmoid,
            "tanh" => Activation.Tanh,
            "relu" => Activation.ReLU,
            "relu6" => Activation.ReLU6,
            "leaky_relu" => Activation.CreateLeakyReLU(Number("negative_slope", 0.01f)),
            "elu" => Activation.CreateELU(Number("alpha", 1f)),
            "celu" => Activation.CreateCELU(Number("alpha", 1f)),
            "selu" => Activation.SELU,
            "softplus" => Activation.CreateSoftplus(Number("beta", 1f), Number("threshold", 20f)),
            "softsign" => Activation.Softsign,
            "gelu" => ReferenceCase.Get(parameters, "approximate", "none") == "tanh" ? Activation.GELUTanh : Activation.GELU,
            "gelu_tanh" => Activation.GELUTanh,
            "silu" or "swish" => Activation.SiLU,
            "mish" => Activation.Mish,
            "hardsigmoid" => Activation.HardSigmoid,
            "hardswish" => Activation.HardSwish,
            "hardtanh" => Activation.CreateHardTanh(
                Number("min", Number("min_val", -1f)), Number("max", Number("max_val", 1f))),
            "logsigmoid" => Activation.LogSigmoid,
            "tanhshrink" => Activation.Tanhshrink,
            "softmax" => Activation.Softmax,
            "log_softmax" => Activation.LogSoftmax,
            _ => throw new ArgumentException($"nothing here knows the activation '{activation}'"),
        };
    }

    // "elu_a0.5" is "elu", "softplus_b2_t10" is "softplus": the suffixes are a letter and a number.
    private static string Kind(string activation) =>
        System.Text.RegularExpressions.Regex.Replace(activation, @"(_[a-z]+-?[0-9.]+)+$", "");

    private static float Number(JsonElement parameters, string name, float absent) => (float)ReferenceCase.Get(parameters, name, (double)absent);
}
