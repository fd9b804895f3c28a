// `--check`: compares the results of all contestants and times each briefly, in turns, so that what disturbs the machine disturbs all.
// One table, in Markdown.

using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics;
using System.Text;

namespace HpcNet.Benchmarks;

/// <summary>The quick look.</summary>
internal static class Check
{
    private const int Rounds = 12;

    // So long is a contestant's turn, if a step is shorter; before it the threads of the contestant before fall asleep. The last is for
    // the compiler.
    private static readonly TimeSpan Turn = TimeSpan.FromMilliseconds(5), Pause = TimeSpan.FromMilliseconds(2), WarmUp = TimeSpan.FromMilliseconds(120);

    // After so much time an operation gets no further round.
    private static readonly TimeSpan Enough = TimeSpan.FromSeconds(1.5);

    /// <summary>Compares and times.</summary>
    /// <param name="filter">A part of an operation's name; null: all.</param>
    /// <param name="threads">Numbers of threads.</param>
    /// <param name="output">Gets the table, row by row.</param>
    public static void Run(string? filter, IEnumerable<int> threads, TextWriter output)
    {
        Operation[] operations = [.. Operation.All.Where(o => filter is null || o.Name.Contains(filter, StringComparison.OrdinalIgnoreCase))];
        if (operations.Length == 0)
            throw new ArgumentException($"No operation's name contains '{filter}'. There are: {string.Join(", ", Operation.All.Select(o => o.Name))}.");

        using (Device device = Device.Cpu())
            output.WriteLine($"{device}; .NET {Environment.Version}, Vector512 {(Vector512.IsHardwareAccelerated ? "as one register" : "as two vectors")}\n");
        output.WriteLine($"| operation | threads | {string.Join(" | ", Contestant.All.Select(c => c.Name))} |");
        output.WriteLine($"|---|---|{string.Concat(Contestant.All.Select(_ => "--:|"))}");
        foreach (int count in threads)
        {
            foreach (Operation operation in operations)
                output.WriteLine($"| {operation.Name} | {count} | {string.Join(" | ", Row(operation, count))} |");
        }
    }

    /// <summary>Makes entries for all contestants that have the operation, and throws unless their results agree.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="threads">Threads of each.</param>
    public static (Contestant Contestant, Entry Entry)[] Compare(Operation operation, int threads)
    {
        (Contestant Contestant, Entry Entry)[] entries = [.. Contestant.All.Where(c => c.Has(operation)).Select(c => (c, c.Enter(operation, threads)))];
        float[] expected = entries[0].Entry.Prove();
        float largest = expected.Max(MathF.Abs);
        foreach ((Contestant contestant, Entry entry) in entries.Skip(1))
        {
            float[] actual = entry.Prove();
            if (actual.Length != expected.Length)
                throw new InvalidOperationException($"{operation.Name}: {contestant.Name} has {actual.Length} results, {entries[0].Contestant.Name} {expected.Length}.");
            for (int i = 0; i < actual.Length; i++)
            {
                if (!(MathF.Abs(actual[i] - expected[i]) <= operation.Tolerance * largest))
                {
                    throw new InvalidOperationException(FormattableString.Invariant(
                        $"{operation.Name}, result {i}: {actual[i]} ({contestant.Name}) and {expected[i]} ({entries[0].Contestant.Name}) differ by more than {operation.Tolerance} of the largest, {largest}."));
                }
            }
        }
        return entries;
    }

    private static string[] Row(Operation operation, int threads)
    {
        var cells = Contestant.All.ToDictionary(c => c, _ => "");
        var clock = Stopwatch.StartNew();
        (Contestant Contestant, Entry Entry)[] entries = Compare(operation, threads);
        try
        {
            Timing[] timings = [.. entries.Select(e => new Timing(e.Entry))];
            foreach (Timing timing in timings)
                timing.WarmUp(WarmUp);
            clock.Restart();
            for (int round = 0; round < Rounds && (round < 1 || clock.Elapsed < Enough); round++)
            {
                foreach (Timing timing in timings)
                    timing.Measure(Turn);
            }
            double first = timings[0].Fastest;
            for (int i = 0; i < entries.Length; i++)
                cells[entries[i].Contestant] = Cell(timings[i], i == 0 ? null : timings[i].Fastest / first);
        }
        finally
        {
            foreach ((_, Entry entry) in entries)
                entry.Dispose();
        }
        return [.. Contestant.All.Select(c => cells[c])];
    }

    private static string Cell(Timing timing, double? ratio)
    {
        var text = new StringBuilder();
        double microseconds = timing.Fastest;
        text.Append(microseconds < 1000 ? Text(microseconds, "µs") : Text(microseconds / 1000, "ms"));
        if (ratio is { } r)
            text.Append(CultureInfo.InvariantCulture, $" ({r.ToString(r < 9.95 ? "F1" : "F0", CultureInfo.InvariantCulture)}×)");
        if (timing.AllocatedPerStep > 0)
            text.Append(CultureInfo.InvariantCulture, $", {timing.AllocatedPerStep} B");
        return text.ToString();
    }

    // Three digits, or all that stand before the point.
    private static string Text(double value, string unit) =>
        $"{value.ToString(value < 10 ? "F2" : value < 100 ? "F1" : "F0", CultureInfo.InvariantCulture)} {unit}";

    /// <summary>The times of one contestant.</summary>
    private sealed class Timing(Entry entry)
    {
        private int _steps = 1;
        private long _allocated;
        private long _counted;

        /// <summary>Microseconds of a step in the fastest round: neighbours on the machine can only slow it down.</summary>
        public double Fastest { get; private set; } = double.PositiveInfinity;

        public long AllocatedPerStep => _allocated / _counted;

        public void WarmUp(TimeSpan time)
        {
            var clock = Stopwatch.StartNew();
            int steps = 0;
            do
            {
                entry.Step();
                steps++;
            }
            while (clock.Elapsed < time);
            _steps = Math.Max(1, (int)(steps * (Turn / clock.Elapsed)));
        }

        public void Measure(TimeSpan time)
        {
            Thread.Sleep(Pause);
            entry.Step();
            // Of the whole process: other threads allocate, too.
            long before = GC.GetTotalAllocatedBytes(precise: true);
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < _steps; i++)
                entry.Step();
            TimeSpan elapsed = Stopwatch.GetElapsedTime(start);
            _allocated += GC.GetTotalAllocatedBytes(precise: true) - before;
            _counted += _steps;
            Fastest = Math.Min(Fastest, elapsed.TotalMicroseconds / _steps);
            _steps = Math.Max(1, (int)Math.Min(_steps * 2.0, _steps * (time / elapsed)));
        }
    }
}
