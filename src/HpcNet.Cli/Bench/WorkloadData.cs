// The examples of a workload: the same numbers on every machine and in every library that is compared.

namespace HpcNet.Cli.Bench;

/// <summary>Examples in memory.</summary>
/// <param name="Features">[rows × inputs], row-major.</param>
/// <param name="Inputs">Columns of the features.</param>
/// <param name="Labels">[rows], the class of each; empty where there are targets.</param>
/// <param name="Targets">[rows × outputs]; empty where there are labels.</param>
/// <param name="Outputs">Classes, or columns of the targets.</param>
internal sealed record WorkloadData(float[] Features, int Inputs, int[] Labels, float[] Targets, int Outputs)
{
    // How far apart the classes are, in standard deviations of the noise: they overlap, so that there is always something left to learn.
    private const float Distance = 2f;

    /// <summary>Examples.</summary>
    public int Rows => Features.Length / Inputs;

    /// <summary>Noisy copies of one prototype per class, in random order of the classes. Numbers are about standard normal.</summary>
    public static WorkloadData Prototypes(int rows, int inputs, int classes)
    {
        var random = new Philox(1, 0);
        var prototypes = new float[classes * inputs];
        float scale = Distance / MathF.Sqrt(inputs);
        for (int i = 0; i < prototypes.Length; i++)
            prototypes[i] = scale * Normal(ref random);
        var labels = new int[rows];
        var features = new float[rows * inputs];
        for (int row = 0; row < rows; row++)
        {
            labels[row] = (int)random.NextBelow((uint)classes);
            for (int i = 0; i < inputs; i++)
                features[row * inputs + i] = prototypes[labels[row] * inputs + i] + Normal(ref random);
        }
        return new WorkloadData(features, inputs, labels, [], classes);
    }

    /// <summary>Numbers without meaning as inputs and as targets.</summary>
    public static WorkloadData Noise(int rows, int inputs, int outputs) => new(Normal(rows * inputs, 1), inputs, [], Normal(rows * outputs, 2), outputs);

    /// <summary>The table of the exclusive or.</summary>
    public static WorkloadData Xor() => new([0, 0, 0, 1, 1, 0, 1, 1], 2, [], [0, 1, 1, 0], 1);

    /// <summary>Numbers that are about standard normal.</summary>
    public static float[] Normal(int count, ulong stream)
    {
        var random = new Philox(1, stream);
        var values = new float[count];
        for (int i = 0; i < count; i++)
            values[i] = Normal(ref random);
        return values;
    }

    // The sum of four uniforms has the variance 1/3.
    private static float Normal(ref Philox random) =>
        (random.NextUniform() + random.NextUniform() + random.NextUniform() + random.NextUniform() - 2f) * 1.7320508f;
}
