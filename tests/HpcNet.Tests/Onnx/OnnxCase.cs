// OnnxCase.cs: the ONNX project's backend cases, where they are present: the folder that HPCNET_ONNX_CASES names, else
// ../shared/cases/onnx beside the repository. They are no part of the repository. A case is a folder with model.onnx and
// test_data_set_*/input_*.pb, output_*.pb.

using HpcNet.Tests.Interop;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxCase
{
    private static readonly Lazy<SortedDictionary<string, OnnxCase>> Found = new(Find);

    private readonly string _folder;
    private readonly Lazy<OnnxModel> _model;

    private OnnxCase(string folder)
    {
        _folder = folder;
        _model = new(() => OnnxModel.Read(File.ReadAllBytes(Path.Combine(folder, "model.onnx"))));
    }

    public static string Root { get; } = Environment.GetEnvironmentVariable("HPCNET_ONNX_CASES") is { Length: > 0 } named
        ? named
        : Path.GetFullPath(Path.Combine(Repository.Root, "..", "shared", "cases", "onnx"));

    /// <summary>By the folder's path below the root; none where the root is missing.</summary>
    public static IReadOnlyDictionary<string, OnnxCase> All => Found.Value;

    public OnnxModel Model => _model.Value;

    /// <summary>Inputs and expected outputs of each data set.</summary>
    public IEnumerable<(string Name, OnnxTensor[] Inputs, OnnxTensor[] Outputs)> DataSets =>
        Directory.EnumerateDirectories(_folder, "test_data_set_*").Order(StringComparer.Ordinal)
            .Select(set => (Path.GetFileName(set), Tensors(set, "input"), Tensors(set, "output")));

    private static OnnxTensor[] Tensors(string folder, string role) =>
        [.. Enumerable.Range(0, Directory.EnumerateFiles(folder, $"{role}_*.pb").Count())
            .Select(i => OnnxTensor.Read(Path.Combine(folder, $"{role}_{i}.pb")))];

    private static SortedDictionary<string, OnnxCase> Find()
    {
        var cases = new SortedDictionary<string, OnnxCase>(StringComparer.Ordinal);
        if (!Directory.Exists(Root))
            return cases;
        foreach (string file in Directory.EnumerateFiles(Root, "model.onnx", SearchOption.AllDirectories))
        {
            string folder = Path.GetDirectoryName(file)!;
            cases.Add(Path.GetRelativePath(Root, folder).Replace('\\', '/'), new OnnxCase(folder));
        }
        return cases;
    }
}
