// CaseOptimizers.cs: PyTorch's optimizers by name and settings, as optimizers of the library. Absent settings are PyTorch's
// defaults; a name or a setting that is not known fails. PyTorch decays everything, biases too.

using System.Text.Json;

namespace HpcNet.Tests.Cases;

internal static class CaseOptimizers
{
    /// <summary>The optimizer of a case.</summary>
    /// <param name="name">PyTorch's class.</param>
    /// <param name="hyper">Its arguments, <c>lr</c> among them.</param>
    public static Optimizer Of(string name, JsonElement hyper)
    {
        var settings = new Settings(hyper);
        float decay = settings.Number("weight_decay", name == "AdamW" ? 0.01f : 0f);
        bool maximize = settings.Flag("maximize");
        Optimizer optimizer = name switch
        {
            "SGD" => Sgd(settings),
            "Adam" => new Adam(
                settings.Number("lr", 1e-3f), settings.First("betas", 0.9f), settings.Second("betas", 0.999f), settings.Number("eps", 1e-8f),
                settings.Flag("amsgrad")),
            "AdamW" => new AdamW(
                settings.Number("lr", 1e-3f), settings.First("betas", 0.9f), settings.Second("betas", 0.999f), settings.Number("eps", 1e-8f),
                decay, settings.Flag("amsgrad"), biases: true),
            "Adagrad" => new Adagrad(
                settings.Number("lr", 1e-2f), settings.Number("lr_decay", 0f), settings.Number("initial_accumulator_value", 0f),
                settings.Number("eps", 1e-10f)),
            "RMSprop" => new RmsProp(
                settings.Number("lr", 1e-2f), settings.Number("alpha", 0.99f), settings.Number("eps", 1e-8f), settings.Number("momentum", 0f),
                settings.Flag("centered")),
            "Adadelta" => new Adadelta(settings.Number("lr", 1f), settings.Number("rho", 0.9f), settings.Number("eps", 1e-6f)),
            "Adamax" => new Adamax(
                settings.Number("lr", 2e-3f), settings.First("betas", 0.9f), settings.Second("betas", 0.999f), settings.Number("eps", 1e-8f)),
            "NAdam" => new NAdam(
                settings.Number("lr", 2e-3f), settings.First("betas", 0.9f), settings.Second("betas", 0.999f), settings.Number("eps", 1e-8f),
                settings.Number("momentum_decay", 4e-3f)),
            "RAdam" => new RAdam(
                settings.Number("lr", 1e-3f), settings.First("betas", 0.9f), settings.Second("betas", 0.999f), settings.Number("eps", 1e-8f)),
            "Rprop" => new Rprop(
                settings.Number("lr", 1e-2f), settings.First("etas", 0.5f), settings.Second("etas", 1.2f), settings.First("step_sizes", 1e-6f),
                settings.Second("step_sizes", 50f)),
            "ASGD" => new AveragedSgd(
                settings.Number("lr", 1e-2f), settings.Number("lambd", 1e-4f), settings.Number("alpha", 0.75f), settings.Number("t0", 1e6f)),
            _ => throw new NotSupportedException($"nothing here knows the optimizer '{name}'"),
        };
        if (decay != 0f && optimizer is not AdamW)
            optimizer = optimizer.WeightDecay(decay, biases: true);
        settings.CheckAllUsed(name);
        return optimizer with { Maximize = maximize };
    }

    private static Sgd Sgd(Settings settings)
    {
        float momentum = settings.Number("momentum", 0f), dampening = settings.Number("dampening", 0f);
        // PyTorch ignores dampening without momentum.
        return new Sgd(settings.Number("lr", 1e-3f), momentum, momentum == 0f ? 0f : dampening, settings.Flag("nesterov"));
    }

    // Remembers what was asked for, so that nothing is passed over.
    private sealed class Settings(JsonElement hyper)
    {
        // How PyTorch computes, not what.
        private readonly HashSet<string> _used = ["foreach", "capturable", "differentiable", "fused"];

        public float Number(string name, float absent) => (float)Get(name, (double)absent);

        public bool Flag(string name) => Get(name, false);

        public float First(string name, float absent) => (float)(Get<double[]?>(name, null)?[0] ?? absent);

        public float Second(string name, float absent) => (float)(Get<double[]?>(name, null)?[1] ?? absent);

        public void CheckAllUsed(string optimizer)
        {
            foreach (JsonProperty property in hyper.EnumerateObject())
                Assert.True(_used.Contains(property.Name), $"nothing here knows {optimizer}'s '{property.Name}'");
        }

        private T Get<T>(string name, T absent)
        {
            _used.Add(name);
            return ReferenceCase.Get(hyper, name, absent);
        }
    }
}
