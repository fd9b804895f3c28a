// NonFiniteLossException.cs: training met a loss that is NaN or infinite.

namespace HpcNet;

/// <summary>
/// A training step gave a loss that is not a finite number. The network has the last finite parameters (or the best ones where
/// early stopping keeps them).
/// </summary>
public sealed class NonFiniteLossException : HpcNetException
{
    /// <summary>Makes an exception.</summary>
    /// <param name="step">The step, from 1.</param>
    /// <param name="layer">The layer where it began; null: not in a layer.</param>
    /// <param name="message">What happened.</param>
    public NonFiniteLossException(long step, string? layer, string message)
        : base(HpcNetError.NonFinite, message)
    {
        Step = step;
        Layer = layer;
    }

    /// <summary>The step of the trainer whose loss was not finite, from 1.</summary>
    public long Step { get; }

    /// <summary>The layer whose parameters or outputs were the first not to be finite; null: the inputs or the loss itself.</summary>
    public string? Layer { get; }
}
