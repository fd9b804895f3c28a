// SimpleRnn.cs: h = f(Wi x + bi + Wh h + bh) with f tanh or ReLU (Elman 1990).

using System.Text.Json;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// The simple recurrent layer of Elman (1990): hₜ = f(xₜ Wi + bi + hₜ₋₁ Wh + bh) with f tanh or ReLU, as PyTorch's RNN.
/// </summary>
public sealed record SimpleRnn : RecurrentLayer
{
    /// <summary>Describes a simple recurrent layer.</summary>
    /// <param name="units">Outputs of each direction, at least 1.</param>
    /// <param name="activation"><see cref="HpcNet.Activation.Tanh"/> or <see cref="HpcNet.Activation.ReLU"/>; null: tanh.</param>
    /// <param name="layers">How many layers are stacked, at least 1.</param>
    /// <param name="bidirectional">Whether the sequence is walked both ways.</param>
    /// <param name="wholeSequence">True: the outputs of all steps [steps, units]; false: the last one's [units].</param>
    /// <param name="bias">False: neither of the two biases.</param>
    /// <param name="dropout">The share of elements that are dropped between stacked layers, 0 ≤ dropout &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A count is less than 1, or <paramref name="dropout"/> out of its range.</exception>
    /// <exception cref="ArgumentException"><paramref name="activation"/> is another function.</exception>
    public SimpleRnn(
        int units, Activation? activation = null, int layers = 1, bool bidirectional = false, bool wholeSequence = false, bool bias = true,
        float dropout = 0f)
        : base(units, layers, bidirectional, wholeSequence, bias, dropout)
    {
        Activation = activation ?? Activation.Tanh;
        if (Activation.Name != Activation.Tanh.Name && Activation.Name != Activation.ReLU.Name)
            throw new ArgumentException($"activation is {Activation}; expected {Activation.Tanh} or {Activation.ReLU}.", nameof(activation));
    }

    /// <summary>The function f.</summary>
    public Activation Activation { get; }

    internal override string Kind => "rnn";

    private protected override hpc_cell Cell =>
        Activation.Name == Activation.ReLU.Name ? hpc_cell.HPC_CELL_RNN_RELU : hpc_cell.HPC_CELL_RNN_TANH;

    internal override void Write(Utf8JsonWriter json)
    {
        base.Write(json);
        json.WriteString("activation", Activation.Name);
    }

    internal static SimpleRnn Read(JsonElement json)
    {
        Activation activation = JsonFields.Activation(json, "activation");
        return Read(json, (units, layers, bidirectional, wholeSequence, bias, dropout) =>
            new SimpleRnn(units, activation, layers, bidirectional, wholeSequence, bias, dropout));
    }

    private protected override IEnumerable<string> Settings() => [Activation.Name];
}
