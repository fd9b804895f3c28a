// NativeTables.cs: rows of the core's tables, for those who go over all of them.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A row of a native table: its name, and how many numbers go with it.</summary>
/// <param name="Name">In the words of the core, with underscores.</param>
/// <param name="Parameters">Constants of a loss, hyperparameters of a rule.</param>
/// <param name="States">Moments that a rule keeps.</param>
internal readonly record struct NativeRow(string Name, int Parameters, int States = 0);

internal static unsafe class NativeTables
{
    /// <summary>The elementwise losses, by their number.</summary>
    public static NativeRow[] Losses { get; } = [.. Enum.GetValues<hpc_loss>().Select(Loss)];

    /// <summary>The optimizer rules, by their number.</summary>
    public static NativeRow[] Rules { get; } = [.. Enum.GetValues<hpc_rule>().Select(Rule)];

    private static NativeRow Loss(hpc_loss loss)
    {
        hpc_loss_info info;
        Status.Check(Native.hpc_get_loss_info((int)loss, &info));
        return new NativeRow(NativeText.FromUtf8(info.name), info.parameters);
    }

    private static NativeRow Rule(hpc_rule rule)
    {
        hpc_rule_info info;
        Status.Check(Native.hpc_get_rule_info((int)rule, &info));
        return new NativeRow(NativeText.FromUtf8(info.name), info.hyperparameter_count, info.state_count);
    }
}
