// Contestant.cs: a run that is measured: made warm, then sampled over and over.

using System.Diagnostics;

namespace HpcNet.Cli.Bench;

/// <summary>One run with its samples.</summary>
/// <param name="run">What is measured; freed with this.</param>
/// <param name="milliseconds">How long to measure it in all.</param>
internal sealed class Contestant(WorkloadRun run, int milliseconds) : IDisposable
{
    private readonly List<double> _samples = new(4096);
    private int _calls = 1;
    private long _allocated;
    private long _calledInAll;

    public WorkloadRun Run => run;

    /// <summary>Milliseconds that were measured.</summary>
    public double Spent { get; private set; }

    public double Best => _samples.Min();

    public double Median
    {
        get
        {
            double[] sorted = [.. _samples.Order()];
            return sorted[sorted.Length / 2];
        }
    }

    /// <summary>Managed bytes of an update; what is less than one for each was made once.</summary>
    public long AllocatedPerUpdate => _allocated / (_calledInAll * run.UpdatesPerCall);

    /// <summary>Runs until programs are made, caches are warm and the runtime has compiled what it will; finds the length of a sample.</summary>
    public void Warm(double warmMilliseconds, CancellationToken interrupted)
    {
        double spent = Milliseconds(run.Measure(1, out _));
        do
        {
            interrupted.ThrowIfCancellationRequested();
            double sample = Milliseconds(run.Measure(_calls, out _));
            spent += sample;
            if (sample < run.LeastSample && _calls < 1 << 24)
                _calls *= 2;
        }
        while (spent < warmMilliseconds);
        // The first ones were slower.
        while (_calls > 1 && Milliseconds(run.Measure(_calls, out _)) > 2 * run.LeastSample)
            _calls /= 2;
        while (Milliseconds(run.Measure(_calls, out _)) < run.LeastSample && _calls < 1 << 24)
            _calls *= 2;
    }

    /// <summary>Takes samples for so long, one at the least.</summary>
    public void Sample(double length, CancellationToken interrupted)
    {
        double end = Spent + length;
        do
        {
            interrupted.ThrowIfCancellationRequested();
            long ticks = run.Measure(_calls, out long allocated);
            _allocated += allocated;
            _calledInAll += _calls;
            Spent += Milliseconds(ticks);
            _samples.Add(Milliseconds(ticks) * 1e6 / ((double)_calls * run.StepsPerCall));
        }
        while (Spent < end && Spent < milliseconds);
    }

    public void Dispose() => run.Dispose();

    private static double Milliseconds(long ticks) => 1e3 * ticks / Stopwatch.Frequency;
}
