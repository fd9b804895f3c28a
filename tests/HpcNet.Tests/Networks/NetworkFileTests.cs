// NetworkFileTests.cs: a model survives the file to the bit, in the layout that others read; a bad file is refused in one
// sentence with its name, and a failed save leaves the old file.

using System.Text.Json.Nodes;
using HpcNet.Tests.Data;

namespace HpcNet.Tests;

public sealed class NetworkFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("hpcnet").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [SkippableTheory, Targets]
    public void A_model_survives_to_the_bit(string target)
    {
        string path = Path.Combine(_folder, "model.safetensors");
        using Network network = Trained(target);
        network.Save(path);
        using Network loaded = Network.Load(path, Targets.Open(target));
        Assert.Equal(Samples.Bits(Samples.Parameters(network)), Samples.Bits(Samples.Parameters(loaded)));
        Assert.Equal(network.LayerNames, loaded.LayerNames);
        Assert.Equal(network.Summary(), loaded.Summary());
        Assert.Equal(NetworkTask.Classification, loaded.Task);
        Assert.Equal(["red", "green", "blue"], loaded.ClassNames!);
        Assert.Equal(network.Preprocessing!.Means.ToArray(), loaded.Preprocessing!.Means.ToArray());
        Assert.Equal(network.Preprocessing.Scales.ToArray(), loaded.Preprocessing.Scales.ToArray());
        Assert.True(loaded.IsFrozen("front"));
        Assert.Equal(0.5f, loaded.GetLearningRateScale("dense2"));
        Dataset data = Samples.Blobs(50, 4, 3, 9);
        Assert.Equal(network.Evaluate(data).Loss, loaded.Evaluate(data).Loss);

        string again = Path.Combine(_folder, "again.safetensors");
        loaded.Save(again);
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(again));
    }

    [SkippableTheory, Targets]
    public void Weights_are_stored_with_a_row_per_unit(string target)
    {
        string path = Path.Combine(_folder, "model.safetensors");
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        network.SetParameter("dense1.weight", [1, 2, 3, 4, 5, 6]);
        network.SetParameter("dense1.bias", [7, 8]);
        network.Save(path);
        using var file = SafetensorsFile.Open(path);
        Assert.Equal([2, 3], file["dense1.weight"].Shape.ToArray());
        Assert.Equal([1f, 3, 5, 2, 4, 6], file["dense1.weight"].ReadSingles());
        Assert.Equal([2], file["dense1.bias"].Shape.ToArray());
        Assert.Equal([7f, 8], file["dense1.bias"].ReadSingles());
    }

    public static TheoryData<string, string> BadFiles() => new()
    {
        { "no metadata", "no model of HpcNet" },
        { "broken json", "JSON" },
        { "version", "version 7" },
        { "kind", "unknown kind 'transformer'" },
        { "activation", "no activation 'gelu2'" },
        { "units", "dense1.weight" },
        { "negative units", "units is -3" },
        { "huge units", "at most" },
        { "missing tensor", "dense1.bias" },
        { "extra tensor", "'stranger'" },
        { "integers", "I32" },
        { "NaN", "finite" },
        { "names", "class names" },
        { "preprocessing", "preprocessing" },
        { "task", "no task" },
        { "no layers", "layers" },
        { "two of one name", "dense1" },
        { "cycle", "'add1', number 1, is fed by number 1; expected -1 (the input) to 0" },
        { "fed from nowhere", "fed by number -2" },
        { "fed by text", "'from'" },
        { "sum of one", "fed by 1 nodes; expected two or more" },
        { "sum of two widths", "Add 'add1' got branches of 3 and 2" },
        { "dense layer of two", "fed by 2 nodes; expected one" },
        { "layer that feeds nothing", "'dense1' feeds nothing" },
        { "columns that are not there", "takes columns 1 to 2 of 2" },
        { "shape of another size", "'inputShape'" },
    };

    [Theory]
    [MemberData(nameof(BadFiles))]
    public void A_bad_file_is_refused_with_its_name_and_the_reason(string fault, string expected)
    {
        string path = Path.Combine(_folder, "bad.safetensors");
        var structure = (JsonObject)JsonNode.Parse(
            """
            {"version":1,"inputs":2,"task":"regression","layers":[{"kind":"dense","name":"dense1","units":3,"activation":"Tanh",
            "bias":true,"frozen":false,"learningRateScale":1}]}
            """)!;
        JsonNode layer = structure["layers"]![0]!;
        float[] weight = [1, 2, 3, 4, 5, 6];
        var tensors = new List<SafetensorsData> { new("dense1.bias", [3], new float[3]) };
        switch (fault)
        {
            case "version": structure["version"] = 7; break;
            case "kind": layer["kind"] = "transformer"; break;
            case "activation": layer["activation"] = "gelu2"; break;
            case "units": layer["units"] = 4; break;
            case "negative units": layer["units"] = -3; break;
            case "huge units": layer["units"] = int.MaxValue; break;
            case "missing tensor": tensors.Clear(); break;
            case "extra tensor": tensors.Add(new SafetensorsData("stranger", [1], new float[1])); break;
            case "NaN": weight[4] = float.NaN; break;
            case "names": structure["classNames"] = new JsonArray("one", "two"); break;
            case "preprocessing": structure["preprocessing"] = JsonNode.Parse("""{"means":[1],"scales":[1]}"""); break;
            case "task": structure["task"] = "dreaming"; break;
            case "no layers": structure["layers"] = new JsonArray(); break;
            case "cycle": Add("add", [0, 1]); break;
            case "fed from nowhere": Add("add", [0, -2]); break;
            case "fed by text": Add("add", [0, "dense1"]); break;
            case "sum of one": Add("add", [0]); break;
            case "sum of two widths": Add("add", [0, -1]); break;
            case "dense layer of two": layer["from"] = new JsonArray(-1, -1); break;
            case "layer that feeds nothing": Add("flatten", [-1]); break;
            case "columns that are not there":
                Add("columns", [-1]);
                (structure["layers"]![1]!["first"], structure["layers"]![1]!["shape"]) = (1, new JsonArray(2));
                break;
            case "shape of another size": structure["inputShape"] = new JsonArray(3, 1); break;
            case "two of one name": ((JsonArray)structure["layers"]!).Add(layer.DeepClone()); break;
        }
        tensors.Add(fault == "integers"
            ? new SafetensorsData("dense1.weight", SafetensorsDType.I32, [3, 2], new byte[24])
            : new SafetensorsData("dense1.weight", [3, 2], weight));
        string json = fault == "broken json" ? "{\"version\":1," : structure.ToJsonString();
        SafetensorsFile.Write(path, tensors, fault == "no metadata" ? null : new Dictionary<string, string> { ["hpcnet"] = json });

        // A device of its own: other tests allocate on the shared one meanwhile.
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        ulong before = device.AllocatedBytes;
        var exception = Assert.Throws<DataFormatException>(() => { Network.Load(path, device); });
        Assert.StartsWith(path, exception.Message);
        Assert.Contains(expected, exception.Message);
        Assert.Equal(before, device.AllocatedBytes);

        void Add(string kind, JsonArray from) => ((JsonArray)structure["layers"]!).Add(new JsonObject
        {
            ["kind"] = kind,
            ["name"] = kind + "1",
            ["from"] = from,
            ["frozen"] = false,
            ["learningRateScale"] = 1,
        });
    }

    [SkippableTheory, Targets]
    public void Only_what_needs_it_is_written_as_version_2(string target)
    {
        NetworkNode x = NetworkNode.Input(4), h = x.Then(new Dense(4));
        (Network Network, int Version)[] rows =
        [
            (new Network(Targets.Open(target), 4, new Dense(2)), 1),
            (new Network(Targets.Open(target), new Shape(2, 2), new Flatten(), new Dense(2)), 2),
            (new Network(Targets.Open(target), [x], [h.Add(x)]), 2),
        ];
        foreach (var (network, version) in rows)
        {
            using (network)
            {
                string path = Path.Combine(_folder, "version.safetensors");
                network.Save(path);
                using SafetensorsFile file = SafetensorsFile.Open(path);
                Assert.Equal(version, (int)JsonNode.Parse(file.Metadata["hpcnet"])!["version"]!);
            }
        }
    }

    [SkippableTheory, Targets]
    public void No_malformed_case_loads_as_a_model(string target)
    {
        if (!CaseFolder.HasMalformed)
            return;
        foreach (string path in Directory.EnumerateFiles(Path.Combine(CaseFolder.Malformed, "safetensors")))
        {
            var exception = Record.Exception(() => Network.Load(path, Targets.Open(target)).Dispose());
            Assert.True(exception is DataFormatException, $"{path}: {exception}");
            Assert.Contains(path, exception.Message);
        }
    }

    [SkippableTheory, Targets]
    public void A_model_with_any_byte_changed_or_cut_off_loads_or_is_refused(string target)
    {
        string path = Path.Combine(_folder, "model.safetensors");
        using (Network network = Trained(target))
            network.Save(path);
        byte[] sound = File.ReadAllBytes(path);
        var random = new Philox(1, 1);
        for (int i = 0; i < 600; i++)
        {
            byte[] bytes = sound.AsSpan(0, i % 3 == 0 ? (int)random.NextBelow((uint)sound.Length) : sound.Length).ToArray();
            for (int change = 0; i % 3 != 0 && change < 1 + i % 4; change++)
                bytes[random.NextBelow((uint)Math.Min(bytes.Length, 1500))] = (byte)random.NextWord();
            File.WriteAllBytes(path, bytes);
            var exception = Record.Exception(() => Network.Load(path, Targets.Open(target)).Dispose());
            Assert.True(exception is null or DataFormatException, $"mutation {i}: {exception}");
        }
    }

    [Fact]
    public void The_sound_form_of_those_files_loads()
    {
        string path = Path.Combine(_folder, "good.safetensors");
        SafetensorsFile.Write(
            path,
            [new SafetensorsData("dense1.weight", [3, 2], new float[6]), new SafetensorsData("dense1.bias", [3], new float[3])],
            new Dictionary<string, string>
            {
                ["hpcnet"] = """{"version":1,"inputs":2,"task":"regression","layers":[{"kind":"dense","name":"dense1","units":3,"activation":"Tanh","bias":true,"frozen":false,"learningRateScale":1}]}""",
            });
        using Network network = Network.Load(path);
        Assert.Equal(3, network.Outputs);
    }

    [Fact]
    public void A_missing_file_is_named()
    {
        string path = Path.Combine(_folder, "nothing.safetensors");
        Assert.Contains(path, Assert.Throws<FileNotFoundException>(() => { Network.Load(path); }).Message);
    }

    [SkippableTheory, Targets]
    public void A_failed_save_leaves_the_old_file(string target)
    {
        string path = Path.Combine(_folder, "model.safetensors");
        File.WriteAllText(path, "old");
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        network.Dispose();
        Assert.Throws<ObjectDisposedException>(() => network.Save(path));
        Assert.Equal("old", File.ReadAllText(path));
        Assert.Single(Directory.GetFiles(_folder));
        using var other = new Network(Targets.Open(target), 3, new Dense(2));
        Assert.Throws<DirectoryNotFoundException>(() => other.Save(Path.Combine(_folder, "none", "model.safetensors")));
    }

    [SkippableTheory, Targets]
    public void Activations_keep_their_parameters(string target)
    {
        Layer[] layers =
        [
            new Dense(3, Activation.CreateELU(0.5f)), new PRelu(0.1f), new ActivationLayer(Activation.CreateSoftplus(2f, 11f)),
            new Dense(4, Activation.CreateHardTanh(-0.25f, 0.75f)), new PRelu(-0.2f, shared: true), new Dense(2, Activation.CreateCELU(1.5f)),
            new ActivationLayer(Activation.CreateLeakyReLU(0.2f)), new ActivationLayer(Activation.LogSoftmax), new Dense(2, Activation.Softmax),
        ];
        string path = Path.Combine(_folder, "activations.safetensors");
        using var network = new Network(Targets.Open(target), 2, layers);
        network.Save(path);
        using Network loaded = Network.Load(path, Targets.Open(target));
        Assert.Equal(Samples.Bits(Samples.Parameters(network)), Samples.Bits(Samples.Parameters(loaded)));
        for (int i = 0; i < layers.Length; i++)
        {
            Assert.Equal(layers[i].Summary(), loaded.Layers[i].Summary());
            Assert.Equal((layers[i] as Dense)?.Activation, (loaded.Layers[i] as Dense)?.Activation);
            Assert.Equal((layers[i] as ActivationLayer)?.Activation, (loaded.Layers[i] as ActivationLayer)?.Activation);
        }
        Assert.Equal("ELU(0.5)", Activation.CreateELU(0.5f).ToString());
        Assert.Equal("Softplus(2, 11)", Activation.CreateSoftplus(2f, 11f).ToString());
    }

    private static Network Trained(string target)
    {
        var network = new Network(
            Targets.Open(target), 4, seed: 2, new Dense(6, Activation.Sigmoid) { Name = "front", Frozen = true }, new Dropout(0.1f),
            new Dense(5, Activation.ReLU, bias: false) { LearningRateScale = 0.5f }, new ActivationLayer(Activation.Tanh), new Dense(3))
        {
            ClassNames = ["red", "green", "blue"],
            Preprocessing = new Standardizer([0.1, 1.0 / 3, 2, 3], [1, 2, 0.7, 1e-3]),
        };
        // The second Dense is named by its ordinal.
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        trainer.Fit(Samples.Blobs(50, 4, 3, 1), 2, 16);
        return network;
    }
}
