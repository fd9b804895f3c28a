// RecurrentLayerTests.cs: every kind of recurrent layer, both directions, stacked or not, last step or whole sequence, on both
// executors: outputs against a float64 recurrence, gradients against differences, files, threads, allocations; and that they learn.

using HpcNet.Tests.Data;

namespace HpcNet.Tests;

public sealed class RecurrentLayerTests : IDisposable
{
    private const int Steps = 4;
    private const int Features = 3;
    private readonly string _folder = Directory.CreateTempSubdirectory("hpcnet").FullName;

    private static readonly string[] Kinds = ["rnn tanh", "rnn relu", "lstm", "gru"];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    public static TheoryData<string, string, int, bool, bool> Rows()
    {
        var rows = new TheoryData<string, string, int, bool, bool>();
        foreach (string target in Targets.All)
        {
            foreach (string kind in Kinds)
            {
                foreach (int layers in (ReadOnlySpan<int>)[1, 2])
                {
                    foreach (bool bidirectional in (ReadOnlySpan<bool>)[false, true])
                    {
                        rows.Add(target, kind, layers, bidirectional, false);
                        rows.Add(target, kind, layers, bidirectional, true);
                    }
                }
            }
        }
        return rows;
    }

    public static TheoryData<string, string> KindRows()
    {
        var rows = new TheoryData<string, string>();
        foreach (string target in Targets.All)
        {
            foreach (string kind in Kinds)
                rows.Add(target, kind);
        }
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Rows))]
    public void Outputs_are_those_of_the_definition(string target, string kind, int layers, bool bidirectional, bool whole)
    {
        const int Units = 5, Count = 3;
        using var network = new Network(
            Targets.Open(target), new Shape(Steps, Features), seed: 7, Make(kind, Units, layers, bidirectional, whole) with { Name = "r" });
        int width = bidirectional ? 2 * Units : Units;
        Assert.Equal(whole ? new Shape(Steps, width) : new Shape(width), network.OutputShape);
        float[] x = Samples.Uniform(Count * Steps * Features, 4);
        var y = new float[Count * network.Outputs];
        using Predictor predictor = network.CreatePredictor();
        predictor.Predict(x, y);
        double[] expected = Definition(network, kind, x, Count, Units, layers, bidirectional, whole);
        for (int i = 0; i < y.Length; i++)
            Assert.Equal(expected[i], y[i], 2e-6);
    }

    [SkippableTheory]
    [MemberData(nameof(Rows))]
    public void Gradients_agree_with_differences(string target, string kind, int layers, bool bidirectional, bool whole)
    {
        using var network = new Network(
            Targets.Open(target), new Shape(Steps, Features), seed: 11, new Dense(2, Activation.Tanh),
            Make(kind, 2, layers, bidirectional, whole, dropout: 0.3f), new Dense(2));
        foreach (bool plain in (ReadOnlySpan<bool>)(target == Targets.Cpu ? [false, true] : [false]))
        {
            GradientCheckReport report = GradientCheck.Run(
                network, Loss.MeanSquaredError, Samples.Uniform(3 * Steps * Features, 5), Samples.Uniform(3 * network.Outputs, 6), seed: 5, plain,
                mutate: null);
            Assert.True(report.Passes(), report.ToString());
        }
    }

    [SkippableTheory]
    [MemberData(nameof(KindRows))]
    public void Fused_and_plain_programs_agree(string target, string kind)
    {
        float[] fused = Train(plain: false), plain = Train(plain: true);
        Samples.Close(plain, fused, 1e-3);

        float[] Train(bool plain)
        {
            using var network = new Network(
                Targets.Open(target), new Shape(6, 5), seed: 3, Make(kind, 18, 2, true, true, dropout: 0.2f), new Dense(7, Activation.Tanh),
                Make(kind, 9, 1, false, false), new Dense(3));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f, epsilon: 1e-3f)) { Plain = plain, Seed = 3 };
            for (int step = 0; step < 4; step++)
            {
                int rows = 1 + step * 13 % 37;
                trainer.Step(Samples.Uniform(rows * 30, (ulong)step), Samples.Labels(rows, 3, (ulong)step));
            }
            return Samples.Parameters(network);
        }
    }

    [Theory]
    [InlineData("rnn tanh")]
    [InlineData("lstm")]
    [InlineData("gru")]
    public void The_same_seed_gives_the_same_bits_for_any_number_of_threads(string kind)
    {
        int[] one = Train(1);
        Assert.Equal(one, Train(2));
        Assert.Equal(one, Train(4));

        int[] Train(int threads)
        {
            using Device device = Device.Cpu(new CpuOptions { Threads = threads });
            using var network = new Network(device, new Shape(7, 10), seed: 1, Make(kind, 70, 2, true, false, dropout: 0.1f), new Dense(4));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f).ClipByNorm(1f)) { Seed = 1 };
            for (int step = 0; step < 3; step++)
                trainer.Step(Samples.Uniform(130 * 70, (ulong)step), Samples.Labels(130, 4, (ulong)step));
            return Samples.Bits(Samples.Parameters(network));
        }
    }

    [SkippableTheory]
    [MemberData(nameof(KindRows))]
    public void A_step_and_a_prediction_allocate_nothing(string target, string kind)
    {
        using var network = new Network(
            Targets.Open(target), new Shape(Steps, Features), Make(kind, 8, 2, true, false, dropout: 0.1f), new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        using Predictor predictor = network.CreatePredictor();
        float[] x = Samples.Uniform(16 * Steps * Features, 1), y = new float[16 * 3];
        int[] labels = Samples.Labels(16, 3, 1);
        void Both()
        {
            trainer.Step(x, labels);
            predictor.Predict(x, y);
        }
        for (int i = 0; i < 20; i++)
            Both();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 30; i++)
            Both();
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
    }

    [SkippableTheory]
    [MemberData(nameof(KindRows))]
    public void A_model_survives_the_file_in_PyTorchs_layout(string target, string kind)
    {
        string path = Path.Combine(_folder, "model.safetensors"), again = Path.Combine(_folder, "again.safetensors");
        using var network = new Network(
            Targets.Open(target), new Shape(Steps, Features), seed: 2,
            Make(kind, 5, 2, true, true, dropout: 0.25f) with { Name = "first", Frozen = true, LearningRateScale = 0.5f },
            Make(kind, 4, 1, false, false, bias: false) with { Name = "second" }, new Dense(2));
        network.Save(path);
        using Network loaded = Network.Load(path, Targets.Open(target));
        Assert.Equal(network.Layers, loaded.Layers.Select((layer, i) => network.Layers[i].Name is null ? layer with { Name = null } : layer));
        Assert.Equal(network.Summary(), loaded.Summary());
        Assert.Equal(network.InputShape, loaded.InputShape);
        Assert.Equal(Samples.Bits(Samples.Parameters(network)), Samples.Bits(Samples.Parameters(loaded)));
        loaded.Save(again);
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(again));

        int gates = Gates(kind);
        using var file = SafetensorsFile.Open(path);
        Assert.Equal([gates * 5, Features], file["first.weight_ih_l0"].Shape.ToArray());
        Assert.Equal([gates * 5, 5], file["first.weight_hh_l0_reverse"].Shape.ToArray());
        Assert.Equal([gates * 5, 10], file["first.weight_ih_l1"].Shape.ToArray());
        Assert.Equal([gates * 5], file["first.bias_hh_l1_reverse"].Shape.ToArray());
        Assert.Equal([gates * 4, 10], file["second.weight_ih_l0"].Shape.ToArray());
        Assert.False(file.TryGetTensor("second.bias_ih_l0", out _));
        float[] memory = Samples.Parameter(network, "first.weight_ih_l0"), stored = file["first.weight_ih_l0"].ReadSingles();
        Assert.Equal(memory[1 * gates * 5 + 2], stored[2 * Features + 1]);
    }

    [SkippableTheory]
    [MemberData(nameof(KindRows))]
    public void A_frozen_layer_stays_and_hands_its_gradient_down(string target, string kind)
    {
        using var network = new Network(
            Targets.Open(target), new Shape(Steps, Features), seed: 2, new Dense(4), Make(kind, 5, 2, true, false) with { Frozen = true }, new Dense(3));
        string[] frozen = [.. network.ParameterInfos.Select(p => p.Name).Where(n => n.Contains("_l", StringComparison.Ordinal))];
        Assert.Equal(16, frozen.Length);
        int[][] before = Array.ConvertAll(frozen, n => Samples.Bits(Samples.Parameter(network, n)));
        int[] below = Samples.Bits(Samples.Parameter(network, "dense1.weight"));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        for (int i = 0; i < 3; i++)
            trainer.Step(Samples.Uniform(9 * Steps * Features, 3), Samples.Labels(9, 3, 3));
        Assert.Equal(before, Array.ConvertAll(frozen, n => Samples.Bits(Samples.Parameter(network, n))));
        Assert.NotEqual(below, Samples.Bits(Samples.Parameter(network, "dense1.weight")));
    }

    [Fact]
    public void Parameters_begin_uniform_within_one_over_the_root_of_units()
    {
        using var network = new Network(Device.Default, new Shape(2, 30), new Lstm(64));
        foreach (ParameterInfo parameter in network.ParameterInfos)
        {
            float[] values = Samples.Parameter(network, parameter.Name);
            Assert.InRange(values.Max(Math.Abs), 0.95f / 8, 1f / 8);
            Assert.InRange(values.Average(), -0.02f, 0.02f);
        }
        Assert.Equal(["lstm1.weight_ih_l0", "lstm1.weight_hh_l0", "lstm1.bias_ih_l0", "lstm1.bias_hh_l0"], network.ParameterInfos.Select(p => p.Name));
    }

    [SkippableTheory, Targets]
    public void Programs_and_summaries_name_what_runs(string target)
    {
        using var network = new Network(
            Targets.Open(target), new Shape(5, 3), new SimpleRnn(4, Activation.ReLU, bidirectional: true, wholeSequence: true), new Gru(3, layers: 2, dropout: 0.5f));
        string text = network.Describe(2);
        Assert.Contains("recurrent_forward rnn_relu reverse", text);
        Assert.Contains("recurrent_forward gru", text);
        text = network.Summary();
        Assert.Contains("SimpleRnn(4, ReLU, bidirectional, whole sequence)", text);
        Assert.Contains("[5, 8]", text);
        Assert.Contains("Gru(3, 2 layers, dropout 0.5)", text);
    }

    // The label is the first of eight symbols; all others are noise. OpenCL, a launch a step, gets the shorter task.
    [SkippableTheory]
    [InlineData(Targets.Cpu, "lstm")]
    [InlineData(Targets.Cpu, "gru")]
    [InlineData(Targets.Cpu, "rnn tanh")]
    [InlineData(Targets.OpenCl, "gru")]
    public void The_first_symbol_is_remembered(string target, string kind)
    {
        const int Symbols = 4;
        int length = target == Targets.Cpu ? 8 : 4;
        using var network = new Network(
            Targets.Open(target), new Shape(length, Symbols), seed: 1, Make(kind, 24, 1, false, false), new Dense(Symbols));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f).ClipByNorm(1f)) { Seed = 1 };
        trainer.Fit(Sequences(1000, 1), epochs: target == Targets.Cpu ? 40 : 8, batchSize: 50);
        Evaluation evaluation = network.Evaluate(Sequences(500, 2));
        Assert.True(evaluation.Accuracy > 0.98, $"accuracy {evaluation.Accuracy}");

        Dataset Sequences(int count, ulong seed)
        {
            int[] symbols = Samples.Labels(count * length, Symbols, seed);
            var x = new float[count * length * Symbols];
            for (int i = 0; i < symbols.Length; i++)
                x[i * Symbols + symbols[i]] = 1f;
            int[] labels = [.. Enumerable.Range(0, count).Select(i => symbols[i * length])];
            return Dataset.FromArrays(x, length * Symbols, labels, Symbols);
        }
    }

    private static int Gates(string kind) => kind switch { "lstm" => 4, "gru" => 3, _ => 1 };

    private static RecurrentLayer Make(string kind, int units, int layers, bool bidirectional, bool whole, float dropout = 0f, bool bias = true) => kind switch
    {
        "rnn tanh" => new SimpleRnn(units, Activation.Tanh, layers, bidirectional, whole, bias, dropout),
        "rnn relu" => new SimpleRnn(units, Activation.ReLU, layers, bidirectional, whole, bias, dropout),
        "lstm" => new Lstm(units, layers, bidirectional, whole, bias, dropout),
        _ => new Gru(units, layers, bidirectional, whole, bias, dropout),
    };

    // PyTorch's documentation of RNN, LSTM and GRU, in float64, for the layer named r.
    private static double[] Definition(Network network, string kind, float[] x, int rows, int units, int layers, bool bidirectional, bool whole)
    {
        int directions = bidirectional ? 2 : 1, gates = Gates(kind), width = gates * units, features = Features;
        double[] input = Array.ConvertAll(x, v => (double)v), result = [];
        for (int layer = 0; layer < layers; layer++)
        {
            var output = new double[rows * Steps * directions * units];
            var last = new double[rows * directions * units];
            for (int direction = 0; direction < directions; direction++)
            {
                string suffix = $"_l{layer}{(direction == 0 ? "" : "_reverse")}";
                float[] wi = Samples.Parameter(network, "r.weight_ih" + suffix), wh = Samples.Parameter(network, "r.weight_hh" + suffix);
                float[] bi = Samples.Parameter(network, "r.bias_ih" + suffix), bh = Samples.Parameter(network, "r.bias_hh" + suffix);
                for (int row = 0; row < rows; row++)
                {
                    double[] h = new double[units], c = new double[units];
                    for (int step = 0; step < Steps; step++)
                    {
                        int t = direction == 0 ? step : Steps - 1 - step;
                        var next = new double[units];
                        for (int j = 0; j < units; j++)
                        {
                            double A(int gate) => bi[gate * units + j] + Enumerable.Range(0, features).Sum(
                                k => input[(row * Steps + t) * features + k] * wi[k * width + gate * units + j]);
                            double U(int gate) => bh[gate * units + j] + Enumerable.Range(0, units).Sum(k => h[k] * wh[k * width + gate * units + j]);
                            switch (kind)
                            {
                                case "rnn tanh":
                                    next[j] = Math.Tanh(A(0) + U(0));
                                    break;
                                case "rnn relu":
                                    next[j] = Math.Max(0, A(0) + U(0));
                                    break;
                                case "lstm":
                                    c[j] = Sigmoid(A(1) + U(1)) * c[j] + Sigmoid(A(0) + U(0)) * Math.Tanh(A(2) + U(2));
                                    next[j] = Sigmoid(A(3) + U(3)) * Math.Tanh(c[j]);
                                    break;
                                default:
                                    double z = Sigmoid(A(1) + U(1)), n = Math.Tanh(A(2) + Sigmoid(A(0) + U(0)) * U(2));
                                    next[j] = (1 - z) * n + z * h[j];
                                    break;
                            }
                        }
                        h = next;
                        h.CopyTo(output, ((row * Steps + t) * directions + direction) * units);
                    }
                    h.CopyTo(last, (row * directions + direction) * units);
                }
            }
            input = output;
            features = directions * units;
            result = whole ? output : last;
        }
        return result;
    }

    private static double Sigmoid(double x) => 1 / (1 + Math.Exp(-x));
}
