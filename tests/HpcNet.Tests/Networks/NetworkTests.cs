// NetworkTests.cs: shapes, names, parameters and initial values.

namespace HpcNet.Tests;

public sealed class NetworkTests
{
    [SkippableTheory, Targets]
    public void Parameters_have_names_shapes_and_places(string target)
    {
        using var network = new Network(
            Targets.Open(target), 64, new Dense(128, Activation.ReLU), new Dropout(0.2f), new Dense(10) { Name = "out" });
        Assert.Equal(
            [("dense1.weight", 64, 128), ("dense1.bias", 1, 128), ("out.weight", 128, 10), ("out.bias", 1, 10)],
            network.ParameterInfos.Select(p => (p.Name, p.Rows, p.Columns)));
        Assert.Equal(64 * 128 + 128 + 1280 + 10, network.ParameterCount);
        Assert.Equal(["dense1", "dropout1", "out"], network.LayerNames);
        Assert.Equal((64, 10), (network.Inputs, network.Outputs));
        float[] values = Samples.Uniform(1280, 3);
        float[] neighbour = Samples.Parameter(network, "dense1.weight");
        network.SetParameter("out.weight", values);
        Assert.Equal(values, Samples.Parameter(network, "out.weight"));
        Assert.Equal(neighbour, Samples.Parameter(network, "dense1.weight"));
        Assert.All(Samples.Parameter(network, "out.bias"), b => Assert.Equal(0f, b));
    }

    [SkippableTheory, Targets]
    public void Initial_values_depend_on_the_seed_alone(string target)
    {
        Layer[] layers = [new Dense(30, Activation.ReLU), new Dense(7)];
        using var first = new Network(Targets.Open(target), 20, seed: 5, layers);
        using var second = new Network(Targets.Open(target), 20, seed: 5, layers);
        using var third = new Network(Targets.Open(target), 20, seed: 6, layers);
        Assert.Equal(Samples.Bits(Samples.Parameters(first)), Samples.Bits(Samples.Parameters(second)));
        Assert.NotEqual(Samples.Bits(Samples.Parameters(first)), Samples.Bits(Samples.Parameters(third)));
    }

    public static TheoryData<string, double, bool> Initializers() => new()
    {
        { nameof(Initializer.GlorotUniform), 2.0 / 500, true },
        { nameof(Initializer.GlorotNormal), 2.0 / 500, false },
        { nameof(Initializer.HeUniform), 2.0 / 200, true },
        { nameof(Initializer.HeNormal), 2.0 / 200, false },
    };

    [Theory]
    [MemberData(nameof(Initializers))]
    public void Initial_values_have_the_variance_they_should(string name, double variance, bool bounded)
    {
        Initializer initializer = name switch
        {
            nameof(Initializer.GlorotUniform) => Initializer.GlorotUniform,
            nameof(Initializer.GlorotNormal) => Initializer.GlorotNormal,
            nameof(Initializer.HeUniform) => Initializer.HeUniform,
            _ => Initializer.HeNormal,
        };
        using var network = new Network(Targets.Open(Targets.Cpu), 200, new Dense(300, weightInitializer: initializer));
        float[] values = Samples.Parameter(network, "dense1.weight");
        double mean = values.Average();
        Assert.Equal(0, mean, 4 * Math.Sqrt(variance / values.Length));
        Assert.Equal(1, values.Average(v => (v - mean) * (v - mean)) / variance, 0.03);
        double limit = Math.Sqrt(3 * variance);
        Assert.Equal(bounded, values.All(v => Math.Abs(v) <= limit));
    }

    [SkippableTheory, Targets]
    public void Constants_are_constant(string target)
    {
        using var network = new Network(Targets.Open(target), 2, new Dense(3, weightInitializer: Initializer.Constant(0.5f)));
        Assert.All(Samples.Parameter(network, "dense1.weight"), v => Assert.Equal(0.5f, v));
        Assert.Equal(Initializer.HeNormal, new Dense(1, Activation.ReLU).WeightInitializer);
        Assert.Equal(Initializer.GlorotUniform, new Dense(1, Activation.Tanh).WeightInitializer);
    }

    [SkippableTheory, Targets]
    public void Evaluation_counts_what_it_saw(string target)
    {
        using var network = new Network(Targets.Open(target), 2, new Dense(2, weightInitializer: Initializer.Zeros));
        network.SetParameter("dense1.weight", [1, 0, 0, 1]);
        network.Task = NetworkTask.Classification;
        Dataset data = Dataset.FromArrays([1, 0, 0, 1, 1, 0], 2, new[] { 0, 1, 1 }, 2, ["a", "b"]);
        Evaluation evaluation = network.Evaluate(data);
        Assert.Equal(2.0 / 3, evaluation.Accuracy, 1e-12);
        ConfusionMatrix confusion = evaluation.Confusion!;
        Assert.Equal((1, 0, 1, 1), (confusion[0, 0], confusion[0, 1], confusion[1, 0], confusion[1, 1]));
        Assert.Equal((3, 2), (confusion.Total, confusion.Correct));
        Assert.Equal((1.0, 0.5, 0.5, 1.0), (confusion.Recall(0), confusion.Recall(1), confusion.Precision(0), confusion.Precision(1)));
        double loss = (2 * Math.Log(1 + Math.Exp(-1)) + Math.Log(1 + Math.Exp(1))) / 3;
        Assert.Equal(loss, evaluation.Loss, 1e-6);
        Assert.Contains("a", confusion.ToString());
    }
}
