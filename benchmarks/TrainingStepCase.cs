// One training step of 784-512-256-10, batch 128, Adam: the same data and the same initial weights for every contestant.

using HpcNet.Benchmarks.Managed;

namespace HpcNet.Benchmarks;

/// <summary>The data and the contestants of the comparison.</summary>
internal sealed class TrainingStepCase : IDisposable
{
    public const int Rows = 128;
    public const float LearningRate = 1e-3f;

    public static readonly int[] Widths = [784, 512, 256, 10];

    private readonly Device _device;
    private readonly Network _network;
    private readonly Trainer _trainer;
    private readonly float[] _x = new float[Rows * Widths[0]];
    private readonly int[] _labels = new int[Rows];

    /// <summary>Makes data and contestants.</summary>
    /// <param name="threads">Threads that each may use.</param>
    public TrainingStepCase(int threads)
    {
        // Noisy copies of one picture per class: something to learn, so that losses fall smoothly and rounding does not grow.
        var random = new Random(1);
        var pictures = new float[Widths[^1] * Widths[0]];
        for (int i = 0; i < pictures.Length; i++)
            pictures[i] = random.NextSingle() < 0.2f ? random.NextSingle() : 0f;
        for (int row = 0; row < Rows; row++)
        {
            _labels[row] = row % Widths[^1];
            for (int i = 0; i < Widths[0]; i++)
                _x[row * Widths[0] + i] = 0.5f * (pictures[_labels[row] * Widths[0] + i] + random.NextSingle());
        }

        _device = Device.Cpu(new CpuOptions { Threads = threads });
        Layer[] layers = [.. Widths[1..^1].Select(width => new Dense(width, Activation.ReLU)), new Dense(Widths[^1])];
        _network = new Network(_device, Widths[0], seed: 1, layers);
        _trainer = new Trainer(_network, Loss.SoftmaxCrossEntropy, new Adam(LearningRate));

        float[][] weights = [.. _network.LayerNames.Select(name => Parameter($"{name}.weight"))];
        float[][] biases = [.. _network.LayerNames.Select(name => Parameter($"{name}.bias"))];
        ManagedPlain = new ManagedTrainer(new PlainProduct(), Widths, weights, biases, Rows, LearningRate, threads);
        ManagedBlocked = new ManagedTrainer(new BlockedProduct(), Widths, weights, biases, Rows, LearningRate, threads);
    }

    public ManagedTrainer ManagedPlain { get; }

    public ManagedTrainer ManagedBlocked { get; }

    /// <summary>The device of the native contestant.</summary>
    public Device Device => _device;

    /// <summary>Operations of the step's matrix products: 2 per weight and row, three times; the input needs no gradient.</summary>
    public static double Flops
    {
        get
        {
            double products = 0;
            for (int i = 1; i < Widths.Length; i++)
                products += (i == 1 ? 2 : 3) * (double)Widths[i - 1] * Widths[i];
            return 2 * Rows * products;
        }
    }

    public float StepNative() => _trainer.Step(_x, _labels);

    public float StepPlain() => ManagedPlain.Step(_x, _labels);

    public float StepBlocked() => ManagedBlocked.Step(_x, _labels);

    /// <summary>Runs all contestants side by side; fails unless they go through the same losses.</summary>
    /// <param name="steps">Steps of each.</param>
    /// <returns>The losses of the native one.</returns>
    public float[] CheckLosses(int steps)
    {
        const float tolerance = 1e-3f;
        var losses = new float[steps];
        for (int step = 0; step < steps; step++)
        {
            float native = StepNative(), plain = StepPlain(), blocked = StepBlocked();
            losses[step] = native;
            if (!(Math.Abs(native - plain) <= tolerance && Math.Abs(native - blocked) <= tolerance))
            {
                throw new InvalidOperationException(FormattableString.Invariant(
                    $"Step {step + 1}: losses {native} (HpcNet), {plain} (plain), {blocked} (blocked) differ by more than {tolerance}."));
            }
        }
        return losses;
    }

    public void Dispose()
    {
        _trainer.Dispose();
        _network.Dispose();
        _device.Dispose();
    }

    private float[] Parameter(string name)
    {
        var values = new float[_network.ParameterInfos.Single(p => p.Name == name).Count];
        _network.GetParameter(name, values);
        return values;
    }
}
