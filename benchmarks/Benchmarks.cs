// The comparison as BenchmarkDotNet runs it: a class for each kind of operation, so that --filter chooses between them. Operations and
// contestants come from their tables; results are compared before anything is timed.

using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Filters;
using BenchmarkDotNet.Order;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace HpcNet.Benchmarks;

/// <summary>Matrix products.</summary>
public class Products() : OperationBenchmark(Names<Product>());

/// <summary>A dense layer, forward and backward.</summary>
public class DenseLayers() : OperationBenchmark([.. Names<DenseForward>(), .. Names<DenseBackward>()]);

/// <summary>Softmax cross-entropy and its gradient.</summary>
public class Losses() : OperationBenchmark(Names<SoftmaxCrossEntropy>());

/// <summary>Activations and their derivatives.</summary>
public class Activations() : OperationBenchmark([.. Names<Activate>(), .. Names<ActivateBackward>()]);

/// <summary>Updates.</summary>
public class Updates() : OperationBenchmark(Names<AdamUpdate>());

/// <summary>Whole training steps.</summary>
public class TrainingSteps() : OperationBenchmark(Names<TrainingStep>());

/// <summary>Some operations, by every contestant that has them.</summary>
[MemoryDiagnoser]
[Config(typeof(Settings))]
public abstract class OperationBenchmark
{
    private Entry? _entry;

    private protected OperationBenchmark(IReadOnlyList<string> operations) => Operations = operations;

    /// <summary>Names of the operations.</summary>
    public IReadOnlyList<string> Operations { get; }

    /// <summary>Names of the contestants.</summary>
    public static IEnumerable<string> Contestants => Benchmarks.Contestant.All.Select(c => c.Name);

    /// <summary>One, and all there are.</summary>
    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    /// <summary>What is done.</summary>
    [ParamsSource(nameof(Operations), Priority = 1)]
    public string Operation { get; set; } = "";

    /// <summary>Threads that a contestant may use.</summary>
    [ParamsSource(nameof(ThreadCounts), Priority = 2)]
    public int Threads { get; set; }

    /// <summary>Who does it.</summary>
    [ParamsSource(nameof(Contestants), Priority = 3)]
    public string Contestant { get; set; } = "";

    /// <summary>Compares the results of all; keeps the one that is timed.</summary>
    [GlobalSetup]
    public void Setup()
    {
        foreach ((Contestant contestant, Entry entry) in Check.Compare(Benchmarks.Operation.Find(Operation), Threads))
        {
            if (contestant.Name == Contestant)
                _entry = entry;
            else
                entry.Dispose();
        }
    }

    /// <summary>Frees it.</summary>
    [GlobalCleanup]
    public void Cleanup() => _entry?.Dispose();

    /// <summary>The operation, once.</summary>
    [Benchmark]
    public void Once() => _entry!.Step();

    private protected static string[] Names<T>() where T : Operation => [.. Benchmarks.Operation.All.OfType<T>().Select(o => o.Name)];

    private sealed class Settings : ManualConfig
    {
        public Settings()
        {
            AddFilter(new SimpleFilter(static c => Benchmarks.Contestant.Find((string)c.Parameters[nameof(Contestant)]).Has(
                Benchmarks.Operation.Find((string)c.Parameters[nameof(Operation)]))));
            AddColumn(new TimesFirst());
            HideColumns("Method");
            SummaryStyle = SummaryStyle.Default.WithMaxParameterColumnWidth(40);
            // The native core may have to be built first.
            BuildTimeout = TimeSpan.FromMinutes(15);
            Orderer = new DefaultOrderer(SummaryOrderPolicy.Declared);
        }
    }

    /// <summary>The mean over that of the first contestant.</summary>
    private sealed class TimesFirst : IColumn
    {
        public string Id => nameof(TimesFirst);

        public string ColumnName => $"over {Benchmarks.Contestant.All[0].Name}";

        public bool AlwaysShow => true;

        public ColumnCategory Category => ColumnCategory.Custom;

        public int PriorityInCategory => 0;

        public bool IsNumeric => true;

        public UnitType UnitType => UnitType.Dimensionless;

        public string Legend => $"Mean over the mean of {Benchmarks.Contestant.All[0].Name}";

        public bool IsAvailable(Summary summary) => true;

        public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, SummaryStyle.Default);

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
        {
            BenchmarkCase? first = summary.BenchmarksCases.FirstOrDefault(
                c => Is(c, nameof(Contestant), Benchmarks.Contestant.All[0].Name)
                    && Is(c, nameof(Operation), benchmarkCase.Parameters[nameof(Operation)]) && Is(c, nameof(Threads), benchmarkCase.Parameters[nameof(Threads)]));
            double? mean = summary[benchmarkCase]?.ResultStatistics?.Mean, reference = first is null ? null : summary[first]?.ResultStatistics?.Mean;
            return mean is { } m && reference is { } r ? (m / r).ToString("F2", style.CultureInfo) : "?";
        }

        private static bool Is(BenchmarkCase benchmarkCase, string parameter, object value) => benchmarkCase.Parameters[parameter].Equals(value);
    }
}
