// OnnxOperators.cs: the table of ONNX operators that can be computed with the core's instructions, put together from its families
// (OnnxActivations.cs, OnnxLosses.cs, ...), and what a model needs to run node by node.
//
// To add an operator: a line in the family's list, and its row in OnnxNotYet.cs goes. To add a family: a class that implements
// IOnnxFamily; it is found by itself. Tensors may be moved and repeated on the host; arithmetic is the instructions' alone.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

/// <summary>Computes the results of one node, in the order of its outputs.</summary>
internal delegate OnnxTensor[] OnnxKernel(OnnxCall call);

/// <summary>A row of the table: the operator's name (outside of the standard domain: <c>domain.name</c>) and how it is computed.</summary>
internal sealed record OnnxOperator(string Name, OnnxKernel Compute);

/// <summary>Operators of one kind.</summary>
internal interface IOnnxFamily
{
    IEnumerable<OnnxOperator> Operators { get; }
}

/// <summary>A node with its operands, on a device.</summary>
internal sealed class OnnxCall(OnnxNode node, IReadOnlyList<OnnxTensor?> inputs, Device device)
{
    public OnnxNode Node => node;

    public Device Device => device;

    public int Inputs => inputs.Count;

    public OnnxTensor Input(int index) =>
        Optional(index) ?? throw new InvalidDataException($"{node.Operator} was not given its input {index}");

    public OnnxTensor? Optional(int index) => index < inputs.Count ? inputs[index] : null;

    /// <summary>The attribute as an axis of a tensor of that rank; negative ones count from the end.</summary>
    public int Axis(string attribute, int absent, int rank)
    {
        long axis = node.Integer(attribute, absent);
        axis = axis < 0 ? axis + rank : axis;
        return axis >= 0 && axis <= rank
            ? (int)axis
            : throw new InvalidDataException($"{node.Operator} names an axis outside of its input");
    }

    /// <summary>An exception for what the operator's definition allows and nothing here computes.</summary>
    public NotSupportedException Unknown(string what) => new($"{node.Operator}: nothing here computes {what}");
}

internal static class OnnxOperators
{
    private static readonly Dictionary<string, OnnxOperator> Known = typeof(IOnnxFamily).Assembly.GetTypes()
        .Where(t => t.IsClass && !t.IsAbstract && t.IsAssignableTo(typeof(IOnnxFamily)))
        .SelectMany(t => ((IOnnxFamily)Activator.CreateInstance(t)!).Operators).ToDictionary(o => o.Name);

    public static IReadOnlyCollection<string> Names => Known.Keys;

    public static bool Knows(string name) => Known.ContainsKey(name);

    /// <summary>Runs a model's nodes one after the other.</summary>
    public static OnnxTensor[] Run(OnnxModel model, IReadOnlyList<OnnxTensor> inputs, Device device)
    {
        if (inputs.Count != model.Inputs.Count)
            throw new InvalidDataException($"the model has {model.Inputs.Count} inputs and was given {inputs.Count}");
        var values = new Dictionary<string, OnnxTensor>(model.Constants);
        for (int i = 0; i < inputs.Count; i++)
            values.Add(model.Inputs[i], inputs[i]);
        foreach (OnnxNode node in model.Nodes)
        {
            OnnxTensor?[] operands = [.. node.Inputs.Select(name => name.Length == 0 ? null : values[name])];
            OnnxTensor[] results = Known[node.Operator].Compute(new OnnxCall(node, operands, device));
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                if (node.HasOutput(i))
                    values.Add(node.Outputs[i], results[i]);
            }
        }
        return [.. model.Outputs.Select(name => values[name])];
    }

    /// <summary>
    /// One program over every element of a tensor: <paramref name="record"/> gets x, which can be written, and returns the result.
    /// </summary>
    public static OnnxTensor Elementwise(OnnxCall call, OnnxTensor x, Func<Bench, Value, Value> record) =>
        Rowwise(call, x.Reshaped(1, x.Count), record).Reshaped(x.Shape);

    /// <summary>One program over the rows of a matrix; the result has as many rows.</summary>
    public static OnnxTensor Rowwise(OnnxCall call, OnnxTensor x, Func<Bench, Value, Value> record)
    {
        int rows = x.Shape[0];
        using var bench = new Bench(call.Device, rows);
        Value result = record(bench, Data(bench, x));
        bench.Run();
        return new OnnxTensor([rows, result.Columns], bench.Read(result, rows * result.Columns));
    }

    /// <summary>A matrix with as many rows as the run, which instructions may read and write.</summary>
    public static Value Data(Bench bench, OnnxTensor matrix) =>
        bench.Input(matrix.Shape[1], matrix.Floats, hpc_value_kind.HPC_VALUE_OUTPUT);
}
