// DistillationTests.cs: the step of a student against Hinton's formula in double precision; Fit against Step; what is refused.

namespace HpcNet.Tests;

public sealed class DistillationTests
{
    private const float Temperature = 3f;
    private const float Alpha = 0.7f;

    public static TheoryData<string, Reduction> Reductions()
    {
        var rows = new TheoryData<string, Reduction>();
        foreach (string target in Targets.All)
        {
            foreach (Reduction reduction in Enum.GetValues<Reduction>())
                rows.Add(target, reduction);
        }
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Reductions))]
    public void A_step_is_the_one_of_the_formula(string target, Reduction reduction)
    {
        const int Rows = 6, Inputs = 4, Classes = 3;
        float[] x = Samples.Uniform(Rows * Inputs, 1);
        int[] labels = Samples.Labels(Rows, Classes, 2);
        using Network teacherNetwork = new(Targets.Open(target), Inputs, seed: 9, new Dense(8, Activation.Tanh), new Dense(Classes));
        teacherNetwork.Preprocessing = new Standardizer([0.1, 0, 0, -0.3], [0.5, 1, 2, 1]);
        using Predictor teacher = teacherNetwork.CreatePredictor();
        using Network student = new(Targets.Open(target), Inputs, seed: 3, new Dense(Classes));
        float[] weight = Samples.Parameter(student, "dense1.weight");
        int divisor = reduction == Reduction.Sum ? 1 : Rows;
        using var trainer = new Trainer(student, Loss.SoftmaxCrossEntropy with { Reduction = reduction }, new Sgd(1f))
        {
            Distillation = new Distillation(teacher, Temperature, Alpha),
        };

        var answers = new float[Rows * Classes];
        teacher.PredictLogits(x, answers);
        double hard = 0;
        var gradient = new double[Inputs * Classes];
        for (int row = 0; row < Rows; row++)
        {
            double[] z = [.. Enumerable.Range(0, Classes).Select(j => Enumerable.Range(0, Inputs).Sum(
                i => (double)x[row * Inputs + i] * weight[i * Classes + j]))];
            double[] t = [.. answers.Skip(row * Classes).Take(Classes).Select(v => (double)v)];
            double[] p = Softmax(z, 1), soft = Softmax(z, Temperature), wanted = Softmax(t, Temperature);
            hard -= Math.Log(p[labels[row]]) / divisor;
            for (int j = 0; j < Classes; j++)
            {
                // d (alpha T^2 CE(softmax(z / T), wanted)) / dz = alpha T^2 (softmax(z / T) - wanted) / T
                double dz = ((1 - Alpha) * (p[j] - (labels[row] == j ? 1 : 0))
                    + Alpha * Temperature * Temperature * (soft[j] - wanted[j]) / Temperature) / divisor;
                for (int i = 0; i < Inputs; i++)
                    gradient[i * Classes + j] += x[row * Inputs + i] * dz;
            }
        }
        Assert.Equal(hard, trainer.Step(x, labels), 1e-5);
        float[] after = Samples.Parameter(student, "dense1.weight");
        for (int i = 0; i < after.Length; i++)
            Assert.Equal(weight[i] - gradient[i], after[i], 2e-6);
    }

    // At a temperature of 1 the gradient is that of the cross-entropy with (1 - alpha) label + alpha softmax(teacher) as its target.
    [SkippableTheory]
    [MemberData(nameof(GraphTests.Names), MemberType = typeof(GraphTests))]
    public void Graphs_learn_from_graphs(string target, string name)
    {
        using Network teacherNetwork = GraphTests.Make(target, "two inputs, two outputs", seed: 9);
        using Predictor teacher = teacherNetwork.CreatePredictor();
        using Network student = GraphTests.Make(target, name), twin = GraphTests.Make(target, name);
        float[] x = Samples.Uniform(8 * 6, 1);
        int[] labels = Samples.Labels(8, 3, 2);
        float[] mixed = Distillation.SoftTargets(teacher, Dataset.FromArrays(x, 6, labels, 3), 1f).Targets.ToArray();
        for (int i = 0; i < mixed.Length; i++)
            mixed[i] = (1 - Alpha) * (labels[i / 3] == i % 3 ? 1f : 0f) + Alpha * mixed[i];
        using var distilling = new Trainer(student, Loss.SoftmaxCrossEntropy, new Sgd(0.2f)) { Distillation = new Distillation(teacher, 1f, Alpha) };
        using var ordinary = new Trainer(twin, Loss.SoftmaxCrossEntropy, new Sgd(0.2f));
        for (int step = 0; step < 3; step++)
        {
            distilling.Step(x, labels);
            ordinary.Step(x, mixed);
        }
        Samples.Close(Samples.Parameters(twin), Samples.Parameters(student), 1e-3);
    }

    [SkippableTheory, Targets]
    public void Fit_makes_the_steps_that_Step_makes(string target)
    {
        Dataset data = Samples.Blobs(40, 6, 3, 2);
        using Network teacherNetwork = new(Targets.Open(target), 6, seed: 9, new Dense(3));
        using Predictor teacher = teacherNetwork.CreatePredictor();
        using Network fitted = new(Targets.Open(target), 6, seed: 4, new Dense(9, Activation.Sigmoid), new Dense(3));
        using Network stepped = new(Targets.Open(target), 6, seed: 4, new Dense(9, Activation.Sigmoid), new Dense(3));
        using var first = new Trainer(fitted, Loss.SoftmaxCrossEntropy, new Sgd(0.5f)) { Distillation = new Distillation(teacher) };
        using var second = new Trainer(stepped, Loss.SoftmaxCrossEntropy, new Sgd(0.5f)) { Distillation = new Distillation(teacher) };
        History history = first.Fit(data, epochs: 5, batchSize: 40);
        for (int i = 0; i < 5; i++)
            Assert.Equal(history.Epochs[i].Loss, second.Step(data.Features, data.Labels), 1e-4);
        Samples.Close(Samples.Parameters(stepped), Samples.Parameters(fitted), 1e-3);
        // Metrics count the labels' loss alone, so that an accuracy stays one.
        Assert.InRange(history.Epochs[^1].Accuracy, 0, 1);

        float[] x = Samples.Uniform(8 * 6, 1);
        int[] labels = Samples.Labels(8, 3, 1);
        Assert.Equal(0, Allocated(() => second.Step(x, labels)));
    }

    [SkippableTheory, Targets]
    public void An_answer_that_is_not_finite_is_refused_before_anything_changes(string target)
    {
        Dataset data = Samples.Blobs(40, 6, 3, 2);
        using Network teacherNetwork = new(Targets.Open(target), 6, seed: 9, new Dense(3) { Name = "out" });
        var huge = new float[18];
        Array.Fill(huge, 3e38f);
        teacherNetwork.SetParameter("out.weight", huge);
        using Predictor teacher = teacherNetwork.CreatePredictor();
        using Network student = new(Targets.Open(target), 6, seed: 4, new Dense(3));
        float[] before = Samples.Parameters(student);
        using var trainer = new Trainer(student, Loss.SoftmaxCrossEntropy, new Sgd(0.5f)) { Distillation = new Distillation(teacher) };
        string message = Assert.Throws<InvalidOperationException>(() => { trainer.Fit(data, 1, 40); }).Message;
        Assert.StartsWith("The teacher's answer to row ", message);
        Assert.Throws<InvalidOperationException>(() => { trainer.Step(data.Features, data.Labels); });
        Assert.Throws<InvalidOperationException>(() => { Distillation.SoftTargets(teacher, data, 2f); });
        Assert.Equal(before, Samples.Parameters(student));
        Assert.Equal(0, trainer.Steps);
    }

    [SkippableTheory, Targets]
    public void A_loss_that_is_not_finite_is_told_as_ever(string target)
    {
        Dataset data = Samples.Blobs(60, 6, 3, 2);
        using Network teacherNetwork = new(Targets.Open(target), 6, seed: 9, new Dense(3));
        using Predictor teacher = teacherNetwork.CreatePredictor();
        using Network student = new(Targets.Open(target), 6, seed: 4, new Dense(5, Activation.ReLU), new Dense(3));
        using var trainer = new Trainer(student, Loss.SoftmaxCrossEntropy, new Sgd(0.1f))
        {
            Distillation = new Distillation(teacher),
            Schedule = Schedule.Custom(step => step < 14 ? 1f : 1e30f),
        };
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(data, 10, 10); });
        Assert.InRange(exception.Step, 15, 20);
        Assert.NotNull(exception.Layer);
        Assert.All(Samples.Parameters(student), p => Assert.True(float.IsFinite(p)));
    }

    [Fact]
    public void Soft_targets_are_the_teachers_probabilities()
    {
        Dataset data = Samples.Blobs(20, 4, 3, 2);
        using Network network = new(Device.Default, 4, seed: 9, new Dense(3));
        network.Task = NetworkTask.Classification;
        network.ClassNames = ["a", "b", "c"];
        using Predictor teacher = network.CreatePredictor();
        Dataset soft = Distillation.SoftTargets(teacher, data, 1f), flat = Distillation.SoftTargets(teacher, data, 1e6f);
        var expected = new float[60];
        teacher.Predict(data.Features, expected);
        Samples.Close(expected, soft.Targets, 1e-5);
        Assert.All(flat.Targets.ToArray(), v => Assert.Equal(1f / 3, v, 1e-4));
        Assert.Equal(data.Features.ToArray(), soft.Features.ToArray());
        Assert.Equal(teacher.ClassNames, soft.TargetNames);
    }

    private static double[] Softmax(double[] z, double temperature)
    {
        double[] e = [.. z.Select(v => Math.Exp(v / temperature))];
        return [.. e.Select(v => v / e.Sum())];
    }

    private static long Allocated(Action action)
    {
        for (int i = 0; i < 3; i++)
            action();
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 50; i++)
            action();
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }
}
