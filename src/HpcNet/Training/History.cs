// History.cs: what a fit tells: while it runs (TrainingProgress) and afterwards (History, one record per epoch).

namespace HpcNet;

/// <summary>Where a fit is. Reported about ten times a second and at the end of each epoch; a value, so that it costs no garbage.</summary>
/// <param name="Epoch">The running epoch, from 1.</param>
/// <param name="Epochs">Epochs asked for.</param>
/// <param name="Step">Steps done in this epoch.</param>
/// <param name="Steps">Steps of an epoch.</param>
/// <param name="Loss">Mean training loss of the epoch so far.</param>
/// <param name="Accuracy">Share of training rows classified correctly in the epoch so far, 0 to 1; NaN where the loss knows no classes.</param>
/// <param name="ValidationLoss">Validation loss: of this epoch when it is finished, else of the last one; NaN: none yet.</param>
/// <param name="ValidationAccuracy">Share of validation rows classified correctly, likewise.</param>
/// <param name="SamplesPerSecond">Training rows per second of training since the fit began.</param>
/// <param name="Elapsed">Time since the fit began.</param>
public readonly record struct TrainingProgress(
    int Epoch,
    int Epochs,
    int Step,
    int Steps,
    double Loss,
    double Accuracy,
    double ValidationLoss,
    double ValidationAccuracy,
    double SamplesPerSecond,
    TimeSpan Elapsed)
{
    /// <summary>True for the report at the end of an epoch, after its validation.</summary>
    public bool EpochFinished { get; init; }
}

/// <summary>One epoch of a fit.</summary>
/// <param name="Epoch">The epoch, from 1.</param>
/// <param name="Loss">Mean training loss per row (for <see cref="Reduction.Sum"/>: the sum over the epoch).</param>
/// <param name="Accuracy">Share of training rows classified correctly, 0 to 1, measured while training; NaN where the loss knows no classes.</param>
/// <param name="ValidationLoss">Loss on the validation data after the epoch; NaN: none given.</param>
/// <param name="ValidationAccuracy">Accuracy on the validation data after the epoch, 0 to 1; NaN: none given, or no classes.</param>
/// <param name="LearningRate">The learning rate of the epoch's last step.</param>
/// <param name="Seconds">Seconds of training alone, without validation and reports.</param>
public sealed record EpochRecord(
    int Epoch, double Loss, double Accuracy, double ValidationLoss, double ValidationAccuracy, float LearningRate, double Seconds);

/// <summary>What a fit did.</summary>
public sealed record History
{
    /// <summary>One record per epoch done.</summary>
    public required IReadOnlyList<EpochRecord> Epochs { get; init; }

    /// <summary>Seconds of training alone, without validation, reports and moving the data to the device.</summary>
    public required double Seconds { get; init; }

    /// <summary>Rows trained on, over all epochs.</summary>
    public required long Samples { get; init; }

    /// <summary>Floating-point operations of a training step for each row (multiplies and adds counted singly).</summary>
    public required double FlopsPerSample { get; init; }

    /// <summary>The epoch whose parameters the network now has: the best where early stopping kept it, else the last.</summary>
    public required int BestEpoch { get; init; }

    /// <summary>Whether early stopping ended the fit.</summary>
    public required bool StoppedEarly { get; init; }

    /// <summary>Rows trained on per second of training.</summary>
    public double SamplesPerSecond => Seconds > 0 ? Samples / Seconds : 0;

    /// <summary>Billions of floating-point operations per second of training.</summary>
    public double Gflops => SamplesPerSecond * FlopsPerSample * 1e-9;
}
