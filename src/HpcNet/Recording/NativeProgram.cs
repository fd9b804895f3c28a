// NativeProgram.cs: a finished program. Running it is one P/Invoke and allocates nothing. It is not re-entrant: whoever owns
// one sees to it that one thread runs it at a time.

using System.Numerics;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>How long one piece of a program took.</summary>
/// <param name="Name">The fused instruction.</param>
/// <param name="Nanoseconds">The fastest of the repetitions.</param>
/// <param name="Flops">Floating-point operations of one run of it.</param>
/// <param name="Bytes">Bytes that it reads and writes.</param>
public readonly record struct ProfileEntry(string Name, double Nanoseconds, ulong Flops, ulong Bytes);

/// <summary>What one run costs a device that has a queue; zeros on the CPU.</summary>
/// <param name="Launches">Kernels that it enqueues.</param>
/// <param name="BusyNs">Nanoseconds of them added up, by the device's clock.</param>
/// <param name="SpanNs">From the beginning of the first to the end of the last.</param>
internal readonly record struct RunCosts(double Launches, double BusyNs, double SpanNs)
{
    /// <summary>What so many runs cost, or a part of one.</summary>
    public RunCosts Times(double factor) => new(Launches * factor, BusyNs * factor, SpanNs * factor);
}

internal sealed unsafe class NativeProgram : IDisposable
{
    private readonly ProgramHandle _handle;
    private readonly CustomCall[] _calls;

    public NativeProgram(ProgramHandle handle, int capacity, int slots, CustomCall[] calls)
    {
        _handle = handle;
        _calls = calls;
        Capacity = capacity;
        Slots = slots;
    }

    /// <summary>The capacity of a new program for so many rows: the first batch is most often the size of all; afterwards room grows by doubling.</summary>
    /// <param name="before">The program that is too small, or null.</param>
    /// <param name="rows">At least 1.</param>
    public static int CapacityFor(NativeProgram? before, int rows) => before is null
        ? rows
        : Math.Max(before.Capacity, (int)Math.Min(BitOperations.RoundUpToPowerOf2((uint)rows), int.MaxValue));

    /// <summary>The most rows that a run can have.</summary>
    public int Capacity { get; }

    /// <summary>How many cells a run takes.</summary>
    public int Slots { get; }

    /// <summary>One run on data that is on the device already.</summary>
    public void Run(int rows, ReadOnlySpan<ulong> slots, hpc_metrics* metrics)
    {
        using var lease = _handle.Lease();
        fixed (ulong* cells = slots)
        {
            Status.Check(Native.hpc_program_run(lease.Pointer, (ulong)rows, 1, cells, (uint)slots.Length, metrics));
            ThrowFailure(lease.Pointer, cells, slots.Length);
        }
    }

    /// <summary>One run of a program without slots, on data that is on the device already.</summary>
    public void Run(int rows) => Run(rows, [], null);

    /// <summary>The same; fetches the loss, divided by its weight.</summary>
    public double RunForLoss(int rows)
    {
        hpc_metrics metrics;
        Run(rows, [], &metrics);
        return metrics.loss / metrics.weight;
    }

    /// <summary>One run with data brought in and out; the caller has pinned it.</summary>
    public void RunWith(int rows, ReadOnlySpan<ulong> slots, ReadOnlySpan<hpc_transfer> transfers, hpc_metrics* metrics)
    {
        using var lease = _handle.Lease();
        fixed (ulong* cells = slots)
        fixed (hpc_transfer* data = transfers)
        {
            Status.Check(Native.hpc_program_run_with(
                lease.Pointer, (ulong)rows, 1, cells, (uint)slots.Length, data, (uint)transfers.Length, metrics));
            ThrowFailure(lease.Pointer, cells, slots.Length);
        }
    }

    public hpc_program_info Info()
    {
        hpc_program_info info;
        using var lease = _handle.Lease();
        Status.Check(Native.hpc_program_get_info(lease.Pointer, &info));
        return info;
    }

    public string Describe() => NativeText.Read((text, capacity, needed) =>
    {
        using var lease = _handle.Lease();
        return Native.hpc_program_describe(lease.Pointer, text, capacity, needed);
    });

    public ProfileEntry[] Profile(int rows, ReadOnlySpan<ulong> slots, int repetitions)
    {
        var entries = new hpc_profile_entry[(int)Info().fused_instructions + 1];
        uint count;
        using (var lease = _handle.Lease())
        {
            fixed (ulong* cells = slots)
            fixed (hpc_profile_entry* start = entries)
            {
                Status.Check(Native.hpc_program_profile(
                    lease.Pointer, (ulong)rows, 1, cells, (uint)slots.Length, (uint)repetitions, start, (uint)entries.Length, &count));
                ThrowFailure(lease.Pointer, cells, slots.Length);
            }
        }
        var result = new ProfileEntry[Math.Min(count, (uint)entries.Length)];
        for (int i = 0; i < result.Length; i++)
            result[i] = new ProfileEntry(NativeText.FromFixed(entries[i].name), entries[i].nanoseconds, entries[i].flops, entries[i].bytes);
        return result;
    }

    /// <summary>The cheapest of some runs, on data that is on the device already; they do what any run does.</summary>
    public RunCosts Measure(int rows, ReadOnlySpan<ulong> slots, int repetitions)
    {
        hpc_run_costs costs;
        using var lease = _handle.Lease();
        fixed (ulong* cells = slots)
        {
            Status.Check(Native.hpc_program_measure(lease.Pointer, (ulong)rows, 1, cells, (uint)slots.Length, (uint)repetitions, &costs));
            ThrowFailure(lease.Pointer, cells, slots.Length);
        }
        return new RunCosts(costs.launches, costs.busy_nanoseconds, costs.span_nanoseconds);
    }

    public void Dispose() => _handle.Dispose();

    // What a custom layer threw in the run before. Its flag, which held all updates back, goes with the metrics.
    private void ThrowFailure(hpc_program* program, ulong* cells, int slots)
    {
        foreach (CustomCall call in _calls)
        {
            if (call.TakeFailure() is not { } failure)
                continue;
            hpc_metrics ignored;
            Status.Check(Native.hpc_program_run(program, 0, 1, cells, (uint)slots, &ignored));
            failure.Throw();
        }
    }

    /// <summary>A transfer of a pinned span, for one run: the next one brings its own.</summary>
    public static hpc_transfer Transfer(Value value, void* host, long elements) =>
        new() { value = value.Id, flags = (uint)hpc_transfer_flags.HPC_TRANSFER_ONCE, host = host, bytes = (ulong)elements * 4 };
}
