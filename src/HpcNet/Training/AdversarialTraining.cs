// AdversarialTraining.cs: training on examples that the fast gradient sign method makes from each batch, with the parameters of that
// step. TrainingProgram records it: forward and backward to the input, the move, then the ordinary step on what came out.

namespace HpcNet;

/// <summary>
/// Adversarial training (Goodfellow et al. 2015): in each step the first share of the (shuffled) batch's rows becomes
/// x + ε · sign(∂loss/∂x) before the step is made. In expectation this trains on (1 − share) · loss(x) + share · loss(x adversarial),
/// and it is that mixture's loss and accuracy that the step reports. It costs about another forward and half a backward pass. Columns
/// of indices that layers look up are not moved.
/// </summary>
public sealed record AdversarialTraining
{
    /// <summary>Describes adversarial training.</summary>
    /// <param name="epsilon">
    /// How far each number of a row may move, in the units that the first layer sees (after <see cref="Network.Preprocessing"/>);
    /// finite and above 0.
    /// </param>
    /// <param name="share">The share of the rows that become adversarial, above 0 and at most 1.</param>
    /// <param name="low">Numbers below this become it; −∞ by default, 0 for pixels.</param>
    /// <param name="high">Numbers above this become it; ∞ by default, 1 for pixels.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public AdversarialTraining(
        float epsilon, float share = 0.5f, float low = float.NegativeInfinity, float high = float.PositiveInfinity)
    {
        Epsilon = Ensure.FinitePositive(epsilon, nameof(epsilon));
        Share = share > 0f && share <= 1f
            ? share
            : throw new ArgumentOutOfRangeException(nameof(share), share, $"share is {share}; expected above 0 and at most 1.");
        Range(low, high);
        Low = low;
        High = high;
    }

    /// <summary>How far each number of a row may move.</summary>
    public float Epsilon { get; }

    /// <summary>The share of the rows that become adversarial.</summary>
    public float Share { get; }

    /// <summary>The smallest number of an adversarial row.</summary>
    public float Low { get; }

    /// <summary>The largest number of an adversarial row.</summary>
    public float High { get; }

    internal static void Range(float low, float high)
    {
        if (!(low < high))
            throw new ArgumentOutOfRangeException(nameof(low), low, $"low is {low} and high {high}; expected low below high.");
    }
}
