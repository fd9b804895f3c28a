// Gru.cs: the gated recurrent unit. Gates r, z, n (in this order in weights and biases): r, z = sigmoid(Wi x + bi + Wh h + bh),
// n = tanh(Wi x + bi + r (Wh h + bh)); h = (1 - z) n + z h.

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// The gated recurrent unit (Cho et al. 2014), as PyTorch's GRU: gates r, z of x Wi + bi + h Wh + bh; n = tanh(x Wi + bi + r (h Wh + bh));
/// hₜ = (1 − z) n + z hₜ₋₁. (ONNX calls this linear_before_reset = 1.)
/// </summary>
public sealed record Gru : RecurrentLayer
{
    /// <summary>Describes a GRU layer.</summary>
    /// <param name="units">Outputs of each direction, at least 1.</param>
    /// <param name="layers">How many layers are stacked, at least 1.</param>
    /// <param name="bidirectional">Whether the sequence is walked both ways.</param>
    /// <param name="wholeSequence">True: the outputs of all steps [steps, units]; false: the last one's [units].</param>
    /// <param name="bias">False: neither of the two biases.</param>
    /// <param name="dropout">The share of elements that are dropped between stacked layers, 0 ≤ dropout &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A count is less than 1, or <paramref name="dropout"/> out of its range.</exception>
    public Gru(
        int units, int layers = 1, bool bidirectional = false, bool wholeSequence = false, bool bias = true, float dropout = 0f)
        : base(units, layers, bidirectional, wholeSequence, bias, dropout)
    {
    }

    internal override string Kind => "gru";

    private protected override hpc_cell Cell => hpc_cell.HPC_CELL_GRU;

    internal static Gru Read(JsonElement json) => Read(json, (units, layers, bidirectional, wholeSequence, bias, dropout) =>
        new Gru(units, layers, bidirectional, wholeSequence, bias, dropout));
}
