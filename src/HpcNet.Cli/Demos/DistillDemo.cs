// Knowledge distillation: a large teacher has seen many digits. Small students see a few of them: with the labels alone, or with the
// teacher's opinion of each, softened by a temperature: that this 3 looks a little like an 8 is knowledge, too.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class DistillDemo
{
    private const int Seeds = 5;

    public static DemoResult Run(Device device)
    {
        var (train, test) = Dataset.Digits().Split(0.5, seed: 1);
        Dataset few = train.Subset([.. Enumerable.Range(0, 200)]);
        using var network = new Network(device, inputs: 64, seed: 1, new Dense(256, Activation.ReLU), new Dropout(0.3f), new Dense(10));
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(2e-3f)))
            trainer.Fit(train, epochs: 40, batchSize: 64);
        using Predictor teacher = network.CreatePredictor();
        double best = network.Evaluate(test).Accuracy;

        double Student(float temperature, float alpha) => Digits.Mean(Seeds, seed =>
        {
            using var student = new Network(device, inputs: 64, seed, new Dense(12, Activation.ReLU), new Dense(10));
            using var trainer = new Trainer(student, Loss.SoftmaxCrossEntropy, new Adam(5e-3f))
            {
                Seed = seed,
                Distillation = alpha > 0 ? new Distillation(teacher, temperature, alpha) : null,
            };
            trainer.Fit(few, epochs: 150, batchSize: 32);
            return student.Evaluate(test).Accuracy;
        });

        double alone = Student(1, 0);
        (string Name, double Accuracy)[] rows =
        [
            ($"teacher, {network.ParameterCount:N0} parameters, {train.Count} digits", best),
            ("student, 910 parameters, 200 digits, labels alone", alone),
            ("the same with a teacher, T = 1", Student(1, 0.9f)),
            ("the same with a teacher, T = 4", Student(4, 0.9f)),
            ("the same with a teacher, T = 10", Student(10, 0.9f)),
        ];
        var result = new DemoResult("network", "accuracy") { ["teacher"] = best, ["alone"] = alone, ["distilled"] = rows[3].Accuracy };
        foreach (var (name, accuracy) in rows)
            result.Row(name, accuracy);
        result.Picture = new Chart { Title = $"A small student with and without a teacher (mean of {Seeds})", XLabel = "", YLabel = "unseen digits taken for others, per cent" }
            .Bars("", ["teacher", "labels alone", "T = 1", "T = 4", "T = 10"], rows.Select(r => 100 * (1 - r.Accuracy)));
        result.Conclusion = FormattableString.Invariant(
            $"The student gains {100 * (rows[3].Accuracy - alone):F1} points of accuracy from the teacher's soft answers at T = 4.");
        return result;
    }
}
