// Lstm.cs: long short-term memory. Gates i, f, g, o (in this order in weights and biases): i, f, o = sigmoid, g = tanh of
// Wi x + bi + Wh h + bh; c = f c + i g; h = o tanh(c).

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Long short-term memory (Hochreiter and Schmidhuber 1997, forget gate of Gers et al. 2000), as PyTorch's LSTM: gates i, f, g, o of
/// x Wi + bi + h Wh + bh; cₜ = f cₜ₋₁ + i g; hₜ = o tanh(cₜ).
/// </summary>
public sealed record Lstm : RecurrentLayer
{
    /// <summary>Describes an LSTM layer.</summary>
    /// <param name="units">Outputs of each direction, at least 1.</param>
    /// <param name="layers">How many layers are stacked, at least 1.</param>
    /// <param name="bidirectional">Whether the sequence is walked both ways.</param>
    /// <param name="wholeSequence">True: the outputs of all steps [steps, units]; false: the last one's [units].</param>
    /// <param name="bias">False: neither of the two biases.</param>
    /// <param name="dropout">The share of elements that are dropped between stacked layers, 0 ≤ dropout &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A count is less than 1, or <paramref name="dropout"/> out of its range.</exception>
    public Lstm(
        int units, int layers = 1, bool bidirectional = false, bool wholeSequence = false, bool bias = true, float dropout = 0f)
        : base(units, layers, bidirectional, wholeSequence, bias, dropout)
    {
    }

    internal override string Kind => "lstm";

    private protected override hpc_cell Cell => hpc_cell.HPC_CELL_LSTM;

    internal static Lstm Read(JsonElement json) => Read(json, (units, layers, bidirectional, wholeSequence, bias, dropout) =>
        new Lstm(units, layers, bidirectional, wholeSequence, bias, dropout));
}
