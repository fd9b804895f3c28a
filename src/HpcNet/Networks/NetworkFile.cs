// NetworkFile.cs: the model file. A safetensors file with one F32 tensor per parameter (weights transposed to [units, inputs],
// as PyTorch has them; tables and vectors as they are), one per state (running statistics), and, under the metadata key "hpcnet", JSON:
//   {"version":1,"inputs":64,"task":"classification",
//    "layers":[{"kind":"dense","name":"dense1","units":128,"activation":"ReLU","bias":true,"frozen":false,"learningRateScale":1}],
//    "preprocessing":{"means":[...],"scales":[...]},"classNames":["0",...]}
// Version 2 says more: "inputShape":[12,64] where a row has several dimensions, and "from":[-1,2] in a layer that does not take
// the one before it: the numbers of the layers that feed it, -1 for the input. What version 1 can say is written as version 1.
// Reading checks structure, names, shapes and types before it allocates anything; all that can be wrong becomes one
// DataFormatException with the file's name.

using System.Buffers.Binary;
using System.Text.Json;

namespace HpcNet;

internal static class NetworkFile
{
    private const string Key = "hpcnet";
    private const int Version = 2;

    public static void Save(Network network, string path)
    {
        var parameters = new float[network.Graph.Elements];
        var state = new float[network.Graph.StateElements];
        string structure;
        lock (network.Gate)
        {
            network.ThrowIfDisposed();
            network.Parameters.Read<float>(parameters);
            network.State?.Read<float>(state);
            structure = Structure(network);
        }

        var tensors = new List<SafetensorsData>();
        foreach (ParameterSegment segment in network.Graph.Segments)
        {
            ReadOnlySpan<float> values = parameters.AsSpan(segment.Offset, segment.Length);
            tensors.Add(segment.Stored is { } shape
                ? new SafetensorsData(segment.Name, Dimensions(shape), values.ToArray())
                : segment.IsTransposedInFiles
                ? new SafetensorsData(segment.Name, [segment.Columns, segment.Rows], Transpose(values, segment.Rows, segment.Columns))
                : new SafetensorsData(segment.Name, [segment.Length], values.ToArray()));
        }
        foreach (StateSegment segment in network.Graph.States)
        {
            ReadOnlySpan<float> values = state.AsSpan(segment.Offset, segment.Length);
            tensors.Add(segment.Counts
                ? new SafetensorsData(segment.Name, SafetensorsDType.I64, [], CountBytes(values[0]))
                : new SafetensorsData(segment.Name, [segment.Length], values.ToArray()));
        }
        SafetensorsFile.Write(path, tensors, new Dictionary<string, string> { [Key] = structure });
    }

    public static Network Load(string path, Device? device)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        device?.ThrowIfDisposed();
        using var file = SafetensorsFile.Open(path);
        var model = Checked(file, path);

        var parameters = new float[model.Graph.Elements];
        foreach (ParameterSegment segment in model.Graph.Segments)
        {
            Span<float> place = parameters.AsSpan(segment.Offset, segment.Length);
            float[] values = file[segment.Name].ReadSingles();
            if (Numbers.FirstNotFinite(values) is >= 0 and var bad)
                throw new DataFormatException($"tensor {Excerpt.Of(segment.Name)} holds {values[bad]} at element {bad}; expected finite numbers.", path);
            (segment.IsTransposedInFiles && segment.Stored is null ? Transpose(values, segment.Columns, segment.Rows) : values).CopyTo(place);
        }

        float[] state = ReadState(file, model.Graph, path);
        var network = new Network(device ?? Device.Default, model.Graph)
        {
            Task = model.Task,
            Preprocessing = model.Preprocessing,
            ClassNames = model.ClassNames,
        };
        network.Parameters.Write<float>(parameters);
        network.State?.Write<float>(state);
        return network;
    }

    private static float[] ReadState(SafetensorsFile file, NetworkGraph graph, string path)
    {
        var state = new float[graph.StateElements];
        foreach (StateSegment segment in graph.States)
        {
            if (segment.Counts)
            {
                Span<long> count = [0];
                file[segment.Name].ReadIntegers(count);
                if (count[0] is < 0 or > int.MaxValue)
                    throw new DataFormatException($"tensor {Excerpt.Of(segment.Name)} holds {count[0]}; expected a count from 0 to {int.MaxValue}.", path);
                state[segment.Offset] = BitConverter.Int32BitsToSingle((int)count[0]);
                continue;
            }
            float[] values = file[segment.Name].ReadSingles();
            for (int i = 0; i < values.Length; i++)
            {
                if (!float.IsFinite(values[i]) || (segment.LocalName == "running_var" && values[i] < 0))
                    throw new DataFormatException($"tensor {Excerpt.Of(segment.Name)} holds {values[i]} at element {i}; expected finite numbers{(segment.LocalName == "running_var" ? " of 0 or more" : "")}.", path);
            }
            values.CopyTo(state, segment.Offset);
        }
        return state;
    }

    private static long[] Dimensions(Shape shape) => Array.ConvertAll(shape.Dimensions.ToArray(), d => (long)d);

    // A state's count lies in the bits of a float; files have it as PyTorch does, an int64 without dimensions.
    private static byte[] CountBytes(float cell)
    {
        var bytes = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, BitConverter.SingleToInt32Bits(cell));
        return bytes;
    }

    private static (NetworkGraph Graph, NetworkTask Task, Standardizer? Preprocessing, string[]? ClassNames) Checked(
        SafetensorsFile file, string path)
    {
        if (!file.Metadata.TryGetValue(Key, out string? text))
            throw new DataFormatException($"the metadata have no '{Key}': a safetensors file, but no model of HpcNet.", path);
        try
        {
            using var document = JsonDocument.Parse(text, new JsonDocumentOptions { MaxDepth = 16 });
            JsonElement root = document.RootElement;
            int version = JsonFields.Int(root, "version");
            if (version is < 1 or > Version)
                throw new DataFormatException($"the structure has version {version}; this version of HpcNet reads versions 1 to {Version}.");

            int inputs = JsonFields.Int(root, "inputs");
            NetworkTask task = JsonFields.String(root, "task") switch
            {
                "regression" => NetworkTask.Regression,
                "classification" => NetworkTask.Classification,
                "multilabel" => NetworkTask.MultiLabel,
                var other => throw new DataFormatException($"there is no task {Excerpt.Of(other)}; expected regression, classification or multilabel."),
            };
            List<Layer> layers = Layers(root, out List<int[]> from);
            NetworkGraph graph = NetworkGraph.Of(InputShape(root, inputs), layers, from);
            CheckTensors(file, graph);
            return (graph, task, Preprocessing(root, inputs), ClassNames(root, graph.Outputs));
        }
        catch (Exception e) when (e is JsonException or ArgumentException or DataFormatException or InvalidOperationException)
        {
            throw new DataFormatException(
                e is JsonException ? $"the structure under '{Key}' is no sound JSON: {e.Message}" : FirstLine(e.Message), path, innerException: e);
        }
    }

    private static Shape InputShape(JsonElement root, int inputs)
    {
        if (JsonFields.Optional(root, "inputShape", JsonValueKind.Array) is null)
            return inputs;
        Shape shape = JsonFields.Shape(root, "inputShape");
        return shape.Elements == inputs
            ? shape
            : throw new DataFormatException($"'inputShape' {shape} has {shape.Elements} elements; 'inputs' says {inputs}.");
    }

    private static List<Layer> Layers(JsonElement root, out List<int[]> from)
    {
        var layers = new List<Layer>();
        from = [];
        foreach (JsonElement json in JsonFields.Required(root, "layers", JsonValueKind.Array).EnumerateArray())
        {
            string kind = JsonFields.String(json, "kind");
            Layer layer = Layer.Read(kind, json)
                ?? throw new DataFormatException($"layer {layers.Count} is of the unknown kind {Excerpt.Of(kind)}.");
            from.Add(JsonFields.Optional(json, "from", JsonValueKind.Array) is { } sources
                ? [.. sources.EnumerateArray().Select(s => s.ValueKind == JsonValueKind.Number && s.TryGetInt32(out int index)
                    ? index
                    : throw new DataFormatException("the member 'from' of a layer holds something else than whole numbers."))]
                : [layers.Count - 1]);
            layers.Add(layer with
            {
                Name = JsonFields.String(json, "name"),
                Frozen = JsonFields.Bool(json, "frozen"),
                LearningRateScale = JsonFields.Float(json, "learningRateScale"),
            });
        }
        return layers;
    }

    // A shape is compared before anything of that size exists, so that a small file cannot ask for much memory.
    private static void CheckTensors(SafetensorsFile file, NetworkGraph graph)
    {
        foreach (ParameterSegment segment in graph.Segments)
        {
            if (!file.TryGetTensor(segment.Name, out SafetensorsTensor? tensor))
                throw new DataFormatException($"the structure needs a tensor {Excerpt.Of(segment.Name)}, the file has none.");
            if (tensor.DType is not (SafetensorsDType.F32 or SafetensorsDType.F16 or SafetensorsDType.BF16 or SafetensorsDType.F64))
                throw new DataFormatException($"tensor {Excerpt.Of(segment.Name)} holds {tensor.DType}; expected floating-point numbers.");
            ReadOnlySpan<long> expected = segment.Stored is { } stored ? Dimensions(stored) : segment.IsTransposedInFiles ? [segment.Columns, segment.Rows] : [segment.Length];
            if (!tensor.Shape.SequenceEqual(expected))
            {
                throw new DataFormatException(
                    $"tensor {Excerpt.Of(segment.Name)} has the shape [{string.Join(", ", tensor.Shape.ToArray())}]; "
                    + $"the structure says [{string.Join(", ", expected.ToArray())}].");
            }
        }
        foreach (StateSegment segment in graph.States)
        {
            if (!file.TryGetTensor(segment.Name, out SafetensorsTensor? tensor))
                throw new DataFormatException($"the structure needs a tensor {Excerpt.Of(segment.Name)}, the file has none.");
            bool fits = segment.Counts
                ? tensor.DType is SafetensorsDType.I64 or SafetensorsDType.I32 && tensor.Count == 1
                : tensor.DType is SafetensorsDType.F32 or SafetensorsDType.F16 or SafetensorsDType.BF16 or SafetensorsDType.F64
                    && tensor.Shape.SequenceEqual([segment.Length]);
            if (!fits)
            {
                throw new DataFormatException(
                    $"tensor {Excerpt.Of(segment.Name)} is {tensor.DType} [{string.Join(", ", tensor.Shape.ToArray())}]; "
                    + $"expected {(segment.Counts ? "one whole number" : $"floating-point numbers [{segment.Length}]")}.");
            }
        }
        if (file.Tensors.Count != graph.Segments.Length + graph.States.Length)
        {
            SafetensorsTensor extra = file.Tensors.First(t => graph.Find(t.Name) is null && graph.FindState(t.Name) is null);
            throw new DataFormatException($"the structure does not know the tensor {Excerpt.Of(extra.Name)}.");
        }
    }

    private static Standardizer? Preprocessing(JsonElement root, int inputs)
    {
        if (JsonFields.Optional(root, "preprocessing", JsonValueKind.Object) is not { } json)
            return null;
        var reader = new Utf8JsonReader(System.Text.Encoding.UTF8.GetBytes(json.GetRawText()));
        Standardizer standardizer = Standardizer.ReadFrom(ref reader);
        return standardizer.FeatureCount == inputs
            ? standardizer
            : throw new DataFormatException($"the preprocessing has {standardizer.FeatureCount} features, the network {inputs} inputs.");
    }

    private static string[]? ClassNames(JsonElement root, int outputs)
    {
        if (JsonFields.Optional(root, "classNames", JsonValueKind.Array) is not { } json)
            return null;
        string[] names = [.. json.EnumerateArray().Select(n => n.ValueKind == JsonValueKind.String
            ? n.GetString()!
            : throw new DataFormatException("the class names are not all strings."))];
        return names.Length == outputs
            ? names
            : throw new DataFormatException($"there are {names.Length} class names for {outputs} outputs.");
    }

    private static string Structure(Network network)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            json.WriteStartObject();
            bool plain = network.Graph.IsChain && network.InputShape.Rank == 1;
            json.WriteNumber("version", plain ? 1 : Version);
            json.WriteNumber("inputs", network.Inputs);
            if (network.InputShape.Rank > 1)
                JsonFields.Write(json, "inputShape", network.InputShape);
            json.WriteString("task", network.Task.ToString().ToLowerInvariant());
            json.WriteStartArray("layers");
            foreach (Node node in network.Graph.Nodes)
            {
                json.WriteStartObject();
                json.WriteString("kind", node.Layer.Kind);
                json.WriteString("name", node.Name);
                node.Layer.Write(json);
                if (node.Inputs is not [var source] || source != node.Index - 1)
                {
                    json.WriteStartArray("from");
                    foreach (int input in node.Inputs)
                        json.WriteNumberValue(input);
                    json.WriteEndArray();
                }
                json.WriteBoolean("frozen", !network.Trains(node.Index));
                json.WriteNumber("learningRateScale", network.LearningRateScale(node.Index));
                json.WriteEndObject();
            }
            json.WriteEndArray();
            if (network.Preprocessing is { } preprocessing)
            {
                json.WritePropertyName("preprocessing");
                preprocessing.WriteTo(json);
            }
            if (network.ClassNames is { } names)
            {
                json.WriteStartArray("classNames");
                foreach (string name in names)
                    json.WriteStringValue(name);
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        return System.Text.Encoding.UTF8.GetString(stream.ToArray());
    }

    private static float[] Transpose(ReadOnlySpan<float> values, int rows, int columns)
    {
        var result = new float[values.Length];
        for (int i = 0; i < rows; i++)
        {
            for (int j = 0; j < columns; j++)
                result[j * rows + i] = values[i * columns + j];
        }
        return result;
    }

    // ArgumentException appends its parameter on a line of its own; a file has no parameters.
    private static string FirstLine(string message)
    {
        int end = message.IndexOf(" (Parameter", StringComparison.Ordinal);
        return end < 0 ? message : message[..end];
    }
}
