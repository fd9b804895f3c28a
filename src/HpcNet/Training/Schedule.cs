// Schedule.cs: how the learning rate moves over the steps. Plain managed functions; the result goes to the device in a slot.

namespace HpcNet;

/// <summary>
/// A factor on the optimizer's learning rate as a function of the step (0 for the first one). One object may serve several
/// trainers at once.
/// </summary>
public sealed class Schedule
{
    private readonly Func<long, float> _factor;
    private readonly string _text;

    private Schedule(Func<long, float> factor, string text)
    {
        _factor = factor;
        _text = text;
    }

    /// <summary>Always 1.</summary>
    public static Schedule Constant { get; } = new(static _ => 1f, "Constant");

    /// <summary>Multiplies by <paramref name="factor"/> each <paramref name="every"/> steps: factor^⌊step / every⌋.</summary>
    /// <param name="every">Steps between two changes, at least 1.</param>
    /// <param name="factor">The factor, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule StepDecay(int every, float factor)
    {
        Ensure.Positive(every, nameof(every));
        Ensure.FinitePositive(factor, nameof(factor));
        return new(step => (float)Math.Pow(factor, step / every), FormattableString.Invariant($"StepDecay({every}, {factor})"));
    }

    /// <summary>
    /// Falls along half a cosine from 1 to <paramref name="floor"/> over <paramref name="steps"/> steps and stays there, after
    /// rising from 0 along a line over <paramref name="warmup"/> steps (Loshchilov and Hutter 2017, without restarts).
    /// </summary>
    /// <param name="steps">Steps of the whole curve with the warm-up, at least 1.</param>
    /// <param name="floor">The last factor, 0 to 1.</param>
    /// <param name="warmup">Steps of rising at the front, 0 or more and fewer than <paramref name="steps"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule CosineDecay(int steps, float floor = 0f, int warmup = 0)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.UnitInterval(floor, nameof(floor));
        Ensure.NotNegative(warmup, nameof(warmup));
        if (warmup >= steps)
            throw new ArgumentOutOfRangeException(nameof(warmup), warmup, $"warmup is {warmup}; expected fewer than the {steps} steps.");
        return new(
            step =>
            {
                if (step < warmup)
                    return (step + 1f) / (warmup + 1f);
                double done = Math.Min(1.0, (double)(step - warmup) / (steps - warmup));
                return (float)(floor + (1.0 - floor) * 0.5 * (1.0 + Math.Cos(Math.PI * done)));
            },
            FormattableString.Invariant($"CosineDecay({steps}, floor {floor}, warmup {warmup})"));
    }

    /// <summary>Any function of the step.</summary>
    /// <param name="factor">From the step (0 for the first) to a factor, finite and 0 or more.</param>
    /// <exception cref="ArgumentNullException"><paramref name="factor"/> is null.</exception>
    public static Schedule Custom(Func<long, float> factor) => new(Ensure.NotNull(factor), "Custom");

    /// <summary>The factor at a step.</summary>
    /// <param name="step">The step, 0 for the first.</param>
    /// <exception cref="InvalidOperationException">A custom function gave a negative or non-finite factor.</exception>
    public float FactorAt(long step)
    {
        float factor = _factor(step);
        return factor >= 0f && float.IsFinite(factor)
            ? factor
            : throw new InvalidOperationException($"The schedule gave the factor {factor} at step {step}; expected a finite number of 0 or more.");
    }

    /// <summary>The schedule as it would be written.</summary>
    public override string ToString() => _text;
}

/// <summary>
/// Stops a fit when the watched loss (the validation loss; without validation data the training loss) has not become smaller
/// for <see cref="Patience"/> epochs. The best parameters are kept on the device and restored when the fit ends.
/// </summary>
public sealed record EarlyStopping
{
    /// <summary>Describes early stopping.</summary>
    /// <param name="patience">Epochs without improvement before the fit stops, at least 1.</param>
    /// <param name="minDelta">How much smaller a loss must be to count as an improvement; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public EarlyStopping(int patience, float minDelta = 0f)
    {
        Patience = Ensure.Positive(patience, nameof(patience));
        MinDelta = Ensure.FiniteNotNegative(minDelta, nameof(minDelta));
    }

    /// <summary>Epochs without improvement before the fit stops.</summary>
    public int Patience { get; }

    /// <summary>How much smaller a loss must be to count as an improvement.</summary>
    public float MinDelta { get; }
}
