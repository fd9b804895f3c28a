// Dense.cs: the fully connected layer, Y = f(X W + b).
// Shapes (row-major): X [rows x in], W [in x out], b [1 x out], Y [rows x out].
// Sequences [steps, in] take the same layer at every step: their rows are those of a matrix [rows * steps x in], so nothing is
// copied and all steps are one product.
// Backward: dZ = dY f'(Z); dW = X^T dZ, db = column sums of dZ, dX = dZ W^T.

using System.Globalization;
using System.Text.Json;

namespace HpcNet;

/// <summary>
/// A fully connected layer: Y = f(X W + b) with X [rows × inputs], W [inputs × units], b [units], Y [rows × units]. It works along the
/// last dimension of its input, as PyTorch's does: of a sequence [steps, inputs] it makes [steps, units].
/// </summary>
public sealed record Dense : Layer
{
    /// <summary>Describes a fully connected layer.</summary>
    /// <param name="units">Columns of the output, at least 1.</param>
    /// <param name="activation">The function applied to each output, or to each row of them (softmax); null: <see cref="Activation.Linear"/>.</param>
    /// <param name="weightInitializer">
    /// How the weights begin; null: <see cref="Initializer.HeNormal"/> before a ReLU (He et al. 2015), else
    /// <see cref="Initializer.GlorotUniform"/> (Glorot and Bengio 2010). Biases begin at 0.
    /// </param>
    /// <param name="bias">False: no b.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="units"/> is less than 1.</exception>
    public Dense(int units, Activation? activation = null, Initializer? weightInitializer = null, bool bias = true)
    {
        Units = Ensure.Positive(units, nameof(units));
        Activation = activation ?? Activation.Linear;
        WeightInitializer = weightInitializer ?? (Activation.Name == Activation.ReLU.Name ? Initializer.HeNormal : Initializer.GlorotUniform);
        Bias = bias;
    }

    /// <summary>Columns of the output.</summary>
    public int Units { get; }

    /// <summary>The function applied to each output.</summary>
    public Activation Activation { get; }

    /// <summary>How the weights begin.</summary>
    public Initializer WeightInitializer { get; }

    /// <summary>Whether b is there.</summary>
    public bool Bias { get; }

    internal override string Kind => "dense";

    internal override Shape OutputShape(Shape input, string name)
    {
        Ensure.Elements(input[^1], Units, nameof(Units), $"Dense '{name}'");
        int lines = input.Elements / input[^1];
        Ensure.Elements(lines, Units, nameof(Units), $"The output of Dense '{name}'");
        if (input.Rank == 1)
            return Units;
        int[] dimensions = input.Dimensions.ToArray();
        dimensions[^1] = Units;
        return new Shape(dimensions);
    }

    internal override void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
        parameters.Add("weight", input[^1], Units, WeightInitializer, decays: true);
        if (Bias)
            parameters.Add("bias", 1, Units, Initializer.Zeros, decays: false);
    }

    internal override Value RecordForward(NodeRecording node, Value x)
    {
        Recorder recorder = node.Recorder;
        Value bias = Bias ? node.Parameter("bias") : Value.None;
        int columns = node.OutputShape.Elements;
        Value z = Activation.IsLinear ? node.Output(columns) : node.Temporary(columns, "z");
        recorder.DenseForward(x, node.Parameter("weight"), bias, z);
        node.Keep("x", x);
        return node.RecordActivation(Activation, z);
    }

    internal override Value RecordBackward(NodeRecording node, Value dy)
    {
        Recorder recorder = node.Recorder;
        Value dz = node.RecordActivationBackward(Activation, dy, "dz");
        if (node.Trains)
        {
            recorder.DenseBackwardWeight(node.Kept("x"), dz, node.Gradient("weight"));
            if (Bias)
                recorder.ColumnSums(dz, node.Gradient("bias"));
        }
        if (!node.NeedsInputGradient)
            return Value.None;
        Value dx = node.Temporary(node.InputColumns, "dx");
        recorder.DenseBackwardInput(dz, node.Parameter("weight"), dx);
        return dx;
    }

    internal override void Write(Utf8JsonWriter json)
    {
        json.WriteNumber("units", Units);
        Activation.Write(json);
        json.WriteBoolean("bias", Bias);
    }

    internal static Dense Read(JsonElement json) => new(
        JsonFields.Int(json, "units"), Activation.Read(json), bias: JsonFields.Bool(json, "bias"));

    internal override string Summary() =>
        string.Create(CultureInfo.InvariantCulture, $"Dense({Units}, {Activation}{(Bias ? "" : ", no bias")})");
}
