// Distillation.cs: a student learns from a teacher's answers as well as from the labels. The teacher's logits of the whole data set
// are asked for once and stay on the device; TrainingProgram records what is made of them.

namespace HpcNet;

/// <summary>
/// Knowledge distillation (Hinton, Vinyals and Dean 2015): the student is trained on
/// (1 − α) · loss(z, labels) + α · T² · cross-entropy(softmax(z / T), softmax(teacher's z / T)), z being its logits. The factor T² keeps
/// the size of the soft targets' gradients as T grows. The loss and the accuracy that a training reports are those on the labels, so
/// that they compare with a validation's.
/// </summary>
public sealed record Distillation
{
    /// <summary>Describes distillation.</summary>
    /// <param name="teacher">A predictor of a trained classification with the student's inputs and outputs; it stays the caller's.</param>
    /// <param name="temperature">T, finite and above 0; higher ones show more of what the teacher thinks of the wrong classes.</param>
    /// <param name="alpha">The share of the soft targets, 0 to 1.</param>
    /// <exception cref="ArgumentNullException"><paramref name="teacher"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Distillation(Predictor teacher, float temperature = 4f, float alpha = 0.9f)
    {
        Teacher = Ensure.NotNull(teacher);
        Temperature = Ensure.FinitePositive(temperature, nameof(temperature));
        Alpha = Ensure.UnitInterval(alpha, nameof(alpha));
    }

    /// <summary>Who answers.</summary>
    public Predictor Teacher { get; }

    /// <summary>What logits are divided by.</summary>
    public float Temperature { get; }

    /// <summary>The share of the soft targets.</summary>
    public float Alpha { get; }

    /// <summary>
    /// The teacher's logits. The student's loss does not tell of one that is not finite, but its gradient would be ruined.
    /// </summary>
    internal void Answer(ReadOnlySpan<float> x, Span<float> logits)
    {
        Teacher.PredictLogits(x, logits);
        int bad = Numbers.FirstNotFinite(logits);
        if (bad >= 0)
            throw new InvalidOperationException($"The teacher's answer to row {bad / Teacher.Outputs} is {logits[bad]}: nothing can be learned from it.");
    }

    /// <summary>
    /// A data set whose targets are a teacher's probabilities softmax(z / T), to be learned with
    /// <see cref="Loss.SoftmaxCrossEntropy"/> by itself: distillation without labels.
    /// </summary>
    /// <param name="teacher">The teacher.</param>
    /// <param name="data">The examples; their labels or targets are not used.</param>
    /// <param name="temperature">T, finite and above 0.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The data have another number of features than the teacher.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="temperature"/> is outside its range or NaN.</exception>
    /// <exception cref="InvalidOperationException">An answer of the teacher is not finite.</exception>
    /// <exception cref="ObjectDisposedException">The teacher was disposed.</exception>
    public static Dataset SoftTargets(Predictor teacher, Dataset data, float temperature)
    {
        Ensure.NotNull(teacher);
        Ensure.NotNull(data);
        Ensure.FinitePositive(temperature, nameof(temperature));
        if (data.FeatureCount != teacher.Inputs)
            throw new ArgumentException($"The teacher expects {teacher.Inputs} inputs, got {data.FeatureCount}.", nameof(data));
        int classes = teacher.Outputs;
        var targets = new float[Ensure.Elements(data.Count, classes, nameof(data), "the targets")];
        new Distillation(teacher, temperature).Answer(data.Features, targets);
        for (int row = 0; row < data.Count; row++)
        {
            Span<float> z = targets.AsSpan(row * classes, classes);
            float top = z[Numbers.ArgMax(z)];
            double sum = 0;
            foreach (float value in z)
                sum += Math.Exp(((double)value - top) / temperature);
            foreach (ref float value in z)
                value = (float)(Math.Exp(((double)value - top) / temperature) / sum);
        }
        return Dataset.FromArrays(
            data.Features, data.FeatureCount, targets, classes, teacher.ClassNames, data.FeatureNames, data.ImageShape);
    }
}
