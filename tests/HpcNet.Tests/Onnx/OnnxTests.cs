// OnnxTests.cs: each of ONNX's backend cases is a row on the CPU and a row on OpenCL. A case that meets a row of OnnxNotYet.cs is a
// reported skip; one with an operator that stands in no table fails.

using Google.Protobuf;
using HpcNet.Tests.Onnx.Format;
using Xunit.Abstractions;
using Xunit.Sdk;
using DataType = HpcNet.Tests.Onnx.Format.TensorProto.Types.DataType;

namespace HpcNet.Tests.Onnx;

[Trait("Category", "Cases")]
public sealed class OnnxTests(ITestOutputHelper output)
{
    // Of max(1, the largest expected number). ONNX's own 1e-3 of each number lets float32 lose four digits; its expected numbers are
    // float32 results of NumPy and PyTorch, a few units of 6e-8 off the truth, after sums of at most some hundred terms.
    private const double Tolerance = 1e-5;

    public static TheoryData<string, string> Rows()
    {
        var rows = new TheoryData<string, string>();
        foreach (string target in Targets.All)
        {
            foreach (string name in OnnxCase.All.Keys)
                rows.Add(target, name);
        }
        // A machine without the cases is a row that says so.
        if (rows.Count == 0)
            rows.Add(Targets.Cpu, "");
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Rows))]
    public void Agrees_with_the_case(string target, string name)
    {
        SkipWithoutCases();
        OnnxCase testCase = OnnxCase.All[name];
        Assert.True(Unknown(testCase).Length == 0, $"no table has {string.Join(", ", Unknown(testCase))}");
        string[] reasons = [.. Reasons(testCase, OnnxNotYet.NotComparable), .. Reasons(testCase, OnnxNotYet.NotYet)];
        Skip.If(reasons.Length != 0, string.Join("; ", reasons));
        Device device = Targets.Open(target);
        int sets = 0;
        foreach (var (set, inputs, outputs) in testCase.DataSets)
        {
            OnnxTensor[] results = OnnxOperators.Run(testCase.Model, inputs, device);
            Assert.Equal(outputs.Length, results.Length);
            for (int i = 0; i < outputs.Length; i++)
                Check($"{name}/{set}, output {i}", outputs[i], results[i]);
            sets++;
        }
        Assert.NotEqual(0, sets);
    }

    [SkippableFact]
    public void Cases_are_counted()
    {
        SkipWithoutCases();
        var groups = OnnxCase.All.Values.GroupBy(c => Unknown(c).Length != 0 ? "of operators that no table has"
            : Reasons(c, OnnxNotYet.NotComparable).Length != 0 ? "not comparable"
            : Reasons(c, OnnxNotYet.NotYet).Length != 0 ? "not yet" : "compared");
        output.WriteLine($"{OnnxCase.All.Count} cases in {OnnxCase.Root}, on each of {string.Join(", ", Targets.All)}");
        foreach (var group in groups.OrderBy(g => g.Key, StringComparer.Ordinal))
            output.WriteLine($"{group.Key}: {group.Count()}");
        // A case that meets several rows is counted in each.
        foreach (OnnxException row in OnnxNotYet.NotComparable.Concat(OnnxNotYet.NotYet))
            output.WriteLine($"  {row.Operator} ({row.Reason}): {OnnxCase.All.Values.Count(c => c.Model.Nodes.Any(row.Meets))} cases");
        foreach (string name in OnnxCase.All.Keys.Where(name => Unknown(OnnxCase.All[name]).Length != 0))
            output.WriteLine($"  {name}: no table has {string.Join(", ", Unknown(OnnxCase.All[name]))}");
    }

    [Fact]
    public void An_operator_is_either_computed_or_not_yet()
    {
        // Whoever adds an operator takes the row away that says there is none.
        Assert.DoesNotContain(OnnxNotYet.NotYet, row => row.Use is null && OnnxOperators.Knows(row.Operator));
        // Some uses of an operator that nobody computes are not worth a row of their own.
        Assert.DoesNotContain(OnnxNotYet.NotYet, row => row.Use is not null && !OnnxOperators.Knows(row.Operator));
    }

    // Holds reader, tables and comparison where the cases are not present.
    [SkippableTheory, Targets]
    public void A_model_that_is_written_here_is_read_and_computed(string target)
    {
        Device device = Targets.Open(target);
        var graph = new GraphProto
        {
            Initializer =
            {
                // One tensor as packed bytes, one as typed numbers.
                new TensorProto
                {
                    Name = "w",
                    DataType = (int)DataType.Float,
                    Dims = { 2, 3 },
                    RawData = ByteString.CopyFrom(new[] { 1f, 2f, 3f, -4f, -5f, -6f }.SelectMany(BitConverter.GetBytes).ToArray()),
                },
                new TensorProto { Name = "b", DataType = (int)DataType.Float, Dims = { 3 }, FloatData = { 10f, 20f, 30f } },
                new TensorProto { Name = "c", DataType = (int)DataType.Double, Dims = { 2 }, DoubleData = { 100.0, 200.0 } },
            },
            // As IR version 3 has it: constants may be inputs, too.
            Input = { new ValueInfoProto { Name = "x" }, new ValueInfoProto { Name = "w" }, new ValueInfoProto { Name = "b" } },
            Output = { new ValueInfoProto { Name = "y" } },
            Node =
            {
                new NodeProto
                {
                    OpType = "Gemm",
                    Input = { "x", "w", "b" },
                    Output = { "z" },
                    Attribute = { new AttributeProto { Name = "beta", F = 0.5f, Type = AttributeProto.Types.AttributeType.Float } },
                },
                new NodeProto { OpType = "Relu", Domain = "ai.onnx", Input = { "z" }, Output = { "r" } },
                // Before version 7 an attribute says which axis of the first operand is the second one's first.
                new NodeProto
                {
                    OpType = "Add",
                    Input = { "r", "c" },
                    Output = { "y" },
                    Attribute = { new AttributeProto { Name = "axis", I = 0, Type = AttributeProto.Types.AttributeType.Int } },
                },
            },
        };
        var model = new ModelProto { Graph = graph, OpsetImport = { new OperatorSetIdProto { Version = 6 } } };

        OnnxTensor[] results = OnnxOperators.Run(
            OnnxModel.Read(model.ToByteArray()), [new OnnxTensor([2, 2], [1f, 2f, 3f, 4f])], device);

        // z = [-7 -8 -9; -13 -14 -15] + [5 10 15]
        Check("y", new OnnxTensor([2, 3], [100f, 102f, 106f, 200f, 200f, 200f]), Assert.Single(results));
    }

    [Fact]
    public void What_differs_is_seen()
    {
        var expected = new OnnxTensor([2], [0.5f, 100f]);
        Check("y", expected, new OnnxTensor([2], [0.5005f, 100f]));
        Assert.ThrowsAny<XunitException>(() => Check("y", expected, new OnnxTensor([2], [0.502f, 100f])));
        Assert.ThrowsAny<XunitException>(() => Check("y", expected, new OnnxTensor([2], [float.NaN, 100f])));
        Assert.ThrowsAny<XunitException>(() => Check("y", expected, new OnnxTensor([2, 1], [0.5f, 100f])));
        Assert.ThrowsAny<XunitException>(() => Check("y", new OnnxTensor([1], [true]), new OnnxTensor([1], [false])));
        Assert.ThrowsAny<XunitException>(() => Check("y", new OnnxTensor([1], [1L]), new OnnxTensor([1], [1f])));
    }

    private static void SkipWithoutCases() => Skip.If(
        OnnxCase.All.Count == 0, $"no ONNX cases in {OnnxCase.Root}; HPCNET_ONNX_CASES names the folder that has them");

    private static string[] Unknown(OnnxCase testCase) => [.. testCase.Model.Nodes.Select(n => n.Operator).Distinct().Where(name =>
        !OnnxOperators.Knows(name) && !OnnxNotYet.NotYet.Concat(OnnxNotYet.NotComparable).Any(row => row.Operator == name))];

    private static string[] Reasons(OnnxCase testCase, OnnxException[] rows) => [.. rows
        .Where(row => testCase.Model.Nodes.Any(row.Meets)).Select(row => $"{row.Operator}: {row.Reason}")];

    internal static void Check(string what, OnnxTensor expected, OnnxTensor actual)
    {
        Assert.True(
            expected.ElementType == actual.ElementType && expected.Shape.SequenceEqual(actual.Shape),
            $"{what}: expected {expected}, got {actual}");
        if (expected.ElementType == typeof(long))
            Assert.Equal(expected.Integers, actual.Integers);
        else if (expected.ElementType == typeof(bool))
            Assert.Equal(expected.Booleans, actual.Booleans);
        else
            CheckFloats(what, expected.Floats, actual.Floats);
    }

    private static void CheckFloats(string what, float[] expected, float[] actual)
    {
        double allowed = Tolerance * expected.Where(float.IsFinite).Aggregate(1.0, (largest, v) => Math.Max(largest, Math.Abs((double)v)));
        for (int i = 0; i < expected.Length; i++)
        {
            // NaN and infinities are where they are expected, and nowhere else.
            bool agrees = float.IsFinite(expected[i])
                ? Math.Abs((double)expected[i] - actual[i]) <= allowed
                : expected[i].Equals(actual[i]);
            Assert.True(agrees, $"{what}[{i}]: expected {expected[i]:R}, got {actual[i]:R}, allowed {allowed:E2}");
        }
    }
}
