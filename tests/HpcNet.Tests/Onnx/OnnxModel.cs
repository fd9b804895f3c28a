// OnnxModel.cs: reads an ONNX file into nodes and constants. It knows the format and no operator; what operators mean is in
// OnnxOperators.cs and its families.

using HpcNet.Tests.Onnx.Format;
using DataType = HpcNet.Tests.Onnx.Format.TensorProto.Types.DataType;

namespace HpcNet.Tests.Onnx;

/// <summary>A graph: nodes in an order in which they can run, over values with names.</summary>
internal sealed class OnnxModel
{
    private OnnxModel(ModelProto model)
    {
        GraphProto graph = model.Graph ?? throw new InvalidDataException("the model has no graph");
        Constants = graph.Initializer.ToDictionary(t => t.Name, OnnxTensor.From);
        // Up to IR version 3 initializers stand among the inputs, too.
        Inputs = [.. graph.Input.Select(i => i.Name).Where(name => !Constants.ContainsKey(name))];
        Outputs = [.. graph.Output.Select(o => o.Name)];

        var types = graph.Input.ToDictionary(i => i.Name, i => i.Type?.TensorType ?? new());
        var versions = model.OpsetImport.ToDictionary(o => OnnxNode.Domain(o.Domain), o => (int)o.Version);
        Nodes = [.. graph.Node.Select(node => new OnnxNode(node, versions, types))];
    }

    /// <summary>What a run is given, in order.</summary>
    public IReadOnlyList<string> Inputs { get; }

    /// <summary>What a run brings, in order.</summary>
    public IReadOnlyList<string> Outputs { get; }

    public IReadOnlyDictionary<string, OnnxTensor> Constants { get; }

    public IReadOnlyList<OnnxNode> Nodes { get; }

    public static OnnxModel Read(byte[] file) => new(ModelProto.Parser.ParseFrom(file));
}

/// <summary>One use of an operator: its operands' names and its attributes.</summary>
internal sealed class OnnxNode
{
    private readonly Dictionary<string, AttributeProto> _attributes;
    private readonly IReadOnlyDictionary<string, TypeProto.Types.Tensor> _types;

    public OnnxNode(
        NodeProto node, IReadOnlyDictionary<string, int> versions, IReadOnlyDictionary<string, TypeProto.Types.Tensor> types)
    {
        string domain = Domain(node.Domain);
        // The standard domain goes without a name, here and in the tables.
        Operator = domain.Length == 0 ? node.OpType : $"{domain}.{node.OpType}";
        Version = versions.TryGetValue(domain, out int version)
            ? version
            : throw new InvalidDataException($"node '{Operator}' is of a domain that the model does not import");
        Inputs = [.. node.Input];
        Outputs = [.. node.Output];
        _attributes = node.Attribute.ToDictionary(a => a.Name);
        _types = types;
    }

    /// <summary>Its name as the tables have it: <c>Relu</c>, <c>ai.onnx.preview.training.Adam</c>.</summary>
    public string Operator { get; }

    /// <summary>The version of its domain's operator set that the model was written for.</summary>
    public int Version { get; }

    public IReadOnlyList<string> Inputs { get; }

    public IReadOnlyList<string> Outputs { get; }

    /// <summary>True: the operand is given. Optional ones may have an empty name, or be missing at the end.</summary>
    public bool HasInput(int index) => index < Inputs.Count && Inputs[index].Length != 0;

    /// <summary>True: somebody wants that result.</summary>
    public bool HasOutput(int index) => index < Outputs.Count && Outputs[index].Length != 0;

    public bool Has(string attribute) => _attributes.ContainsKey(attribute);

    public float Float(string attribute, float absent) => _attributes.TryGetValue(attribute, out AttributeProto? a) ? a.F : absent;

    public long Integer(string attribute, long absent) => _attributes.TryGetValue(attribute, out AttributeProto? a) ? a.I : absent;

    public string Text(string attribute, string absent) =>
        _attributes.TryGetValue(attribute, out AttributeProto? a) ? a.S.ToStringUtf8() : absent;

    public float[]? Floats(string attribute) => _attributes.TryGetValue(attribute, out AttributeProto? a) ? [.. a.Floats] : null;

    public int[]? Integers(string attribute) =>
        _attributes.TryGetValue(attribute, out AttributeProto? a) ? [.. a.Ints.Select(v => checked((int)v))] : null;

    public string[]? Texts(string attribute) =>
        _attributes.TryGetValue(attribute, out AttributeProto? a) ? [.. a.Strings.Select(s => s.ToStringUtf8())] : null;

    public OnnxTensor Tensor(string attribute) => _attributes.TryGetValue(attribute, out AttributeProto? a) && a.T is not null
        ? OnnxTensor.From(a.T)
        : throw new InvalidDataException($"{Operator} has no tensor '{attribute}'");

    /// <summary>True: the operand is an input of the graph with whole numbers in it.</summary>
    public bool TakesIntegers(int index) => (DataType)(Type(index)?.ElemType ?? 0) is DataType.Int8 or DataType.Int16 or DataType.Int32
        or DataType.Int64 or DataType.Uint8 or DataType.Uint16 or DataType.Uint32 or DataType.Uint64;

    /// <summary>The size of an operand that is an input of the graph along an axis; null: the model does not say.</summary>
    public int? Size(int index, int axis) =>
        Type(index)?.Shape?.Dim.ElementAtOrDefault(axis) is { ValueCase: TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue } size
            ? checked((int)size.DimValue)
            : null;

    private TypeProto.Types.Tensor? Type(int index) =>
        HasInput(index) && _types.TryGetValue(Inputs[index], out TypeProto.Types.Tensor? type) ? type : null;

    /// <summary>"ai.onnx" is the same domain as "".</summary>
    internal static string Domain(string domain) => domain == "ai.onnx" ? "" : domain;
}
