// OnnxNotYet.cs: what ONNX's cases ask for and the tables cannot compute, each with the reason. A case that meets a row is a reported
// skip. When the instruction arrives, the row goes and the operator's line in its family comes: then its cases run.

namespace HpcNet.Tests.Onnx;

/// <summary>An operator, or some uses of it, that cannot be compared.</summary>
/// <param name="Operator">Its name, as in the table of operators.</param>
/// <param name="Reason">Why.</param>
/// <param name="Use">Which uses; null: all of them.</param>
internal sealed record OnnxException(string Operator, string Reason, Func<OnnxNode, bool>? Use = null)
{
    public bool Meets(OnnxNode node) => node.Operator == Operator && Use?.Invoke(node) != false;
}

internal static class OnnxNotYet
{
    /// <summary>No instruction of the core computes these yet.</summary>
    public static readonly OnnxException[] NotYet =
    [
        // OnnxArithmetic.cs
        new("Abs", "no absolute value of a tensor"),
        new("Div", "no quotient of two tensors"),
        new("Exp", "no exponential of a tensor"),
        new("Max", "no maximum of two tensors"),
        new("Min", "no minimum of two tensors"),
        new("Mul", "no product of two tensors"),
        new("Pow", "no power of a tensor"),
        new("Sqrt", "no square root of a tensor"),

        // OnnxRecurrent.cs
        new("GRU", "no GRU with the reset gate in front of the recurrent product, other than a first step from zeros",
            node => !OnnxRecurrent.ResetsBehind(node, node.Size(0, node.Integer("layout", 0) == 0 ? 0 : 1))),
        new("LSTM", "no LSTM whose gates see the cell's state (peepholes)", node => node.HasInput(7)),
    ];

    /// <summary>These have no result that could be held against the core's, whatever it computes.</summary>
    public static readonly OnnxException[] NotComparable =
    [
        // An input that says so, or until version 6 an attribute.
        new("Dropout", "a training mode depends on another library's random numbers",
            node => node.HasInput(2) || (node.Version < 7 && node.Integer("is_test", 0) == 0)),
        new("Add", "whole numbers: the core computes in float32", node => node.TakesIntegers(0)),
        new("Clip", "whole numbers: the core computes in float32", node => node.TakesIntegers(0)),
        new("Mul", "whole numbers: the core computes in float32", node => node.TakesIntegers(0)),
    ];
}
