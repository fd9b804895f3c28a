// CustomLayerTests.cs: a layer of the user's own computes what the library's would, trains, is checked by differences, goes into
// files and back; and what it throws comes out where it was called, with nothing changed.

using System.Text.Json;
using HpcNet.Tests.Data;

namespace HpcNet.Tests;

public sealed class CustomLayerTests
{
    /// <summary>y = scale x + shift by column, and factor times that: two parameters and a setting.</summary>
    private sealed record Affine(float Factor = 1f) : CustomLayer
    {
        /// <summary>Runs in front of both passes.</summary>
        public Action<string, bool>? Before { get; init; }

        public override string TypeName => "test-affine";

        protected override Shape GetOutputShape(Shape input) => input;

        protected override IReadOnlyList<LayerParameter> GetParameters(Shape input) =>
        [
            new("scale", 1, input.Elements, Initializer.Uniform(0.5f, 1.5f)),
            new("shift", 1, input.Elements, Initializer.Uniform(-0.5f, 0.5f), Decays: false),
        ];

        protected override void Forward(LayerForward pass)
        {
            Before?.Invoke("forward", pass.Training);
            ReadOnlySpan<float> x = pass.Input, scale = pass.Parameter(0), shift = pass.Parameter(1);
            Span<float> y = pass.Output;
            for (int i = 0; i < y.Length; i++)
                y[i] = Factor * (scale[i % scale.Length] * x[i] + shift[i % shift.Length]);
        }

        protected override void Backward(LayerBackward pass)
        {
            Before?.Invoke("backward", true);
            ReadOnlySpan<float> x = pass.Input, dy = pass.OutputGradient, scale = pass.Parameter(0);
            Span<float> dx = pass.InputGradient, dscale = pass.ParameterGradient(0), dshift = pass.ParameterGradient(1);
            for (int i = 0; i < dx.Length; i++)
                dx[i] = Factor * scale[i % scale.Length] * dy[i];
            dscale.Clear();
            dshift.Clear();
            for (int i = 0; i < x.Length && !dscale.IsEmpty; i++)
            {
                dscale[i % scale.Length] += Factor * x[i] * dy[i];
                dshift[i % scale.Length] += Factor * dy[i];
            }
        }

        protected override void WriteSettings(Utf8JsonWriter json) => json.WriteNumber("factor", Factor);

        public static void Register() => Register("test-affine", json => new Affine(json.GetProperty("factor").GetSingle()));
    }

    /// <summary>Without parameters: from [n] to [2 n], x and its square.</summary>
    private sealed record WithSquares : CustomLayer
    {
        public override string TypeName => "test-squares";

        protected override Shape GetOutputShape(Shape input) => 2 * input.Elements;

        protected override void Forward(LayerForward pass)
        {
            int n = pass.InputShape.Elements;
            for (int row = 0; row < pass.Rows; row++)
            {
                for (int i = 0; i < n; i++)
                {
                    float x = pass.Input[row * n + i];
                    (pass.Output[row * 2 * n + i], pass.Output[row * 2 * n + n + i]) = (x, x * x);
                }
            }
        }

        protected override void Backward(LayerBackward pass)
        {
            int n = pass.InputShape.Elements;
            Span<float> dx = pass.InputGradient;
            for (int i = 0; i < dx.Length; i++)
            {
                int at = i / n * 2 * n + i % n;
                dx[i] = pass.OutputGradient[at] + 2 * pass.Input[i] * pass.OutputGradient[at + n];
            }
        }
    }

    private static readonly Dictionary<string, Layer[]> Networks = new()
    {
        ["first"] = [new Affine(0.5f), new Dense(5, Activation.Tanh), new Dense(3)],
        ["in the middle"] = [new Dense(5, Activation.Tanh), new Affine(), new Dense(3)],
        ["last"] = [new Dense(3, Activation.GELU), new Affine(2f)],
        ["alone"] = [new Dense(3) { Frozen = true }, new Affine()],
        ["several"] = [new WithSquares(), new Affine(), new Affine(-1f), new Dense(4, Activation.Sigmoid), new WithSquares(), new Dense(3)],
        ["without parameters first"] = [new WithSquares(), new Dense(3)],
        ["frozen"] = [new Dense(5, Activation.Tanh), new Affine { Frozen = true }, new Dense(3)],
    };

    public static TheoryData<string, string> Cases()
    {
        var cases = new TheoryData<string, string>();
        foreach (string target in Targets.All)
        {
            foreach (string name in Networks.Keys)
                cases.Add(target, name);
        }
        return cases;
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void Gradients_agree_with_differences(string target, string name)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 5, Networks[name]);
        foreach (bool plain in new[] { false, true })
        {
            GradientCheckReport report = GradientCheck.Run(
                network, Loss.MeanSquaredError, Samples.Uniform(6 * 4, 11), Samples.Uniform(6 * 3, 12), 0, plain, mutate: null);
            Assert.True(report.Passes(), report.ToString());
        }
    }

    [SkippableTheory]
    [MemberData(nameof(Cases))]
    public void It_trains_without_garbage_and_comes_back_from_a_file(string target, string name)
    {
        using var network = new Network(Targets.Open(target), 4, seed: 5, Networks[name]);
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(1e-2f));
        float[] x = Samples.Uniform(32 * 4, 1), targets = Samples.Uniform(32 * 3, 2);
        float first = trainer.Step(x, targets), last = first;
        for (int i = 0; i < 50; i++)
            last = trainer.Step(x, targets);
        Assert.True(last < first, $"{first} -> {last}");
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 20; i++)
            trainer.Step(x, targets);
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());

        Affine.Register();
        CustomLayer.Register("test-squares", _ => new WithSquares());
        using var folder = new TemporaryFolder();
        string file = folder["custom layer.safetensors"];
        network.Save(file);
        using Network again = Network.Load(file, Targets.Open(target));
        Assert.Equal(Predicted(network, x), Predicted(again, x));
        Assert.Contains("test-", network.Summary(), StringComparison.Ordinal);
        Assert.Contains("call ", trainer.Describe(), StringComparison.Ordinal);
        Assert.Contains(trainer.Profile(2), entry => entry.Name.StartsWith("call ", StringComparison.Ordinal));
    }

    // The library's own: scale and shift are a dense layer whose weight is diagonal.
    [SkippableTheory, Targets]
    public void It_computes_what_the_same_layer_of_the_library_does(string target)
    {
        Device device = Targets.Open(target);
        using var custom = new Network(device, 3, new Affine { Name = "affine" });
        using var dense = new Network(device, 3, new Dense(3) { Name = "dense" });
        float[] scale = [0.5f, 2f, -1f], shift = [0.25f, 0f, -4f];
        custom.SetParameter("affine.scale", scale);
        custom.SetParameter("affine.shift", shift);
        dense.SetParameter("dense.weight", [scale[0], 0f, 0f, 0f, scale[1], 0f, 0f, 0f, scale[2]]);
        dense.SetParameter("dense.bias", shift);
        // Quarters, so that nothing is rounded.
        float[] x = Array.ConvertAll(Samples.Uniform(7 * 3, 1), v => MathF.Round(4 * v) / 4);
        Assert.Equal(Predicted(dense, x), Predicted(custom, x));
    }

    [SkippableTheory, Targets]
    public void What_it_throws_comes_out_and_nothing_has_changed(string target)
    {
        foreach (string pass in new[] { "forward", "backward" })
        {
            bool broken = false;
            var layer = new Affine
            {
                Before = (where, _) =>
                {
                    if (broken && where == pass)
                        throw new InvalidTimeZoneException("as it should");
                },
            };
            using var network = new Network(
                Targets.Open(target), 4, seed: 5, new Dense(6), new BatchNorm(), new Affine(), layer, new Dense(3, Activation.Tanh));
            using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(1e-2f));
            float[] x = Samples.Uniform(8 * 4, 1), targets = Samples.Uniform(8 * 3, 2);
            trainer.Step(x, targets);
            int[] before = Samples.Bits(Samples.Parameters(network));
            float[] output = Predicted(network, x);
            broken = true;
            for (int i = 0; i < 3; i++)
            {
                InvalidTimeZoneException thrown = Assert.Throws<InvalidTimeZoneException>(() => trainer.Step(x, targets));
                Assert.Contains(nameof(CustomLayerTests), thrown.StackTrace, StringComparison.Ordinal);
            }
            broken = false;
            Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
            Assert.Equal(output, Predicted(network, x));
            Assert.Equal(1, trainer.Steps);
            trainer.Step(x, targets);
            Assert.NotEqual(before, Samples.Bits(Samples.Parameters(network)));
            Assert.Equal(2, trainer.Steps);
        }
    }

    [SkippableTheory, Targets]
    public void It_may_use_the_device_and_runs_on_the_callers_thread(string target)
    {
        Device device = Targets.Open(target);
        using var inner = new Network(device, 4, seed: 1, new Dense(64, Activation.ReLU), new Dense(2));
        using Predictor predictor = inner.CreatePredictor(64);
        var threads = new HashSet<int>();
        float[] rows = Samples.Uniform(64 * 4, 3);
        var layer = new Affine
        {
            Before = (_, _) =>
            {
                threads.Add(Environment.CurrentManagedThreadId);
                predictor.Predict(rows, new float[64 * 2]);
                // In the caller's floating-point state: denormals are numbers here.
                float small = BitConverter.Int32BitsToSingle(4);
                Assert.NotEqual(0f, small * 0.5f);
            },
        };
        using var network = new Network(device, 64, seed: 5, new Dense(256, Activation.ReLU), layer, new Dense(3));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(1e-2f));
        float[] x = Samples.Uniform(256 * 64, 1), targets = Samples.Uniform(256 * 3, 2);
        for (int i = 0; i < 5; i++)
            trainer.Step(x, targets);
        Assert.Equal([Environment.CurrentManagedThreadId], threads);
    }

    [Fact]
    public void Kinds_are_told_apart()
    {
        Assert.Contains("'dense'", Assert.Throws<ArgumentException>(() => CustomLayer.Register("dense", _ => new WithSquares())).Message);
        Assert.Contains("'a b'", Assert.Throws<ArgumentException>(() => CustomLayer.Register("a b", _ => new WithSquares())).Message);
        Assert.Throws<ArgumentNullException>(() => CustomLayer.Register("a", null!));
        Assert.Contains("dropout", Assert.Throws<ArgumentException>(() => new Network(Device.Default, 2, new Named("dropout"))).Message);
        Assert.Contains("twice", Assert.Throws<ArgumentException>(() => new Network(Device.Default, 2, new Named("named", "twice", "twice"))).Message);
        Assert.Contains("'a.b'", Assert.Throws<ArgumentException>(() => new Network(Device.Default, 2, new Named("named", "a.b"))).Message);
        using var network = new Network(Device.Default, 2, new Named("named", "fine"));
        using var folder = new TemporaryFolder();
        network.Save(folder["x.safetensors"]);
        Assert.Contains("'named'", Assert.Throws<DataFormatException>(() => Network.Load(folder["x.safetensors"])).Message);
    }

    private sealed record Named(string Type, params string[] Parameters) : CustomLayer
    {
        public override string TypeName => Type;

        protected override Shape GetOutputShape(Shape input) => input;

        protected override IReadOnlyList<LayerParameter> GetParameters(Shape input) =>
            [.. Parameters.Select(name => new LayerParameter(name, 1, 1, Initializer.Zeros))];

        protected override void Forward(LayerForward pass) => pass.Input.CopyTo(pass.Output);

        protected override void Backward(LayerBackward pass) => pass.OutputGradient.CopyTo(pass.InputGradient);
    }

    private static float[] Predicted(Network network, float[] x)
    {
        var y = new float[x.Length / network.Inputs * network.Outputs];
        using Predictor predictor = network.CreatePredictor(x.Length / network.Inputs);
        predictor.Predict(x, y);
        return y;
    }
}
