// The comparison as BenchmarkDotNet runs it. The losses are compared before anything is timed.

using BenchmarkDotNet.Attributes;

namespace HpcNet.Benchmarks;

/// <summary>A training step of 784-512-256-10, batch 128, Adam: the native core against managed code.</summary>
[MemoryDiagnoser]
public class TrainingStepBenchmark
{
    private TrainingStepCase? _case;

    /// <summary>Threads that each contestant may use.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>One, and all there are.</summary>
    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    [GlobalSetup]
    public void Setup()
    {
        _case = new TrainingStepCase(Threads);
        _case.CheckLosses(steps: 5);
    }

    [GlobalCleanup]
    public void Cleanup() => _case?.Dispose();

    /// <summary>Trainer.Step.</summary>
    [Benchmark(Baseline = true)]
    public float HpcNet() => _case!.StepNative();

    /// <summary>Managed, with blocked and vectorized matrix products.</summary>
    [Benchmark]
    public float ManagedBlocked() => _case!.StepBlocked();

    /// <summary>Managed, with three loops.</summary>
    [Benchmark]
    public float ManagedPlain() => _case!.StepPlain();
}
