// Learning-rate dropout (Lin et al. 2019): at each step half of the parameters stay where they are. 300 digits to learn from, of which
// every fifth has a wrong label: the longer a network learns, the more of them it knows by heart.
//
// A method that makes steps smaller must be held against smaller steps: so the last row is ordinary training at half the rate. Every
// seed has another slice, another network and another order.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class LearningRateDropoutDemo
{
    private const int Seeds = 5, Epochs = 40;
    private const float Rate = 3e-3f;

    public static DemoResult Run(Device device)
    {
        var result = new DemoResult("training", "loss on the 300", "unseen digits: loss", "unseen digits: accuracy", "its spread over seeds");
        var chart = new Chart { Title = $"Accuracy on unseen digits, a fifth of 300 mislabelled (mean of {Seeds})", XLabel = "epoch", YLabel = "accuracy" };
        foreach (var (fact, name, optimizer, dashed) in new (string, string, Optimizer, bool)[]
        {
            ("without", "without", new Adam(Rate), false),
            ("with", "learning-rate dropout 0.5", new Adam(Rate).LearningRateDropout(0.5f), false),
            ("with much", "learning-rate dropout 0.8", new Adam(Rate).LearningRateDropout(0.8f), false),
            ("half", "without, half the rate", new Adam(Rate / 2), true),
        })
        {
            double training = 0, loss = 0;
            var accuracies = new double[Seeds];
            var curve = new double[Epochs];
            for (int i = 0; i < Seeds; i++)
            {
                ulong seed = (ulong)i + 1;
                var (slice, test) = Digits.Mislabelled(300, seed);
                using var network = new Network(device, inputs: 64, seed, new Dense(128, Activation.ReLU), new Dense(10));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, optimizer) { Seed = seed };
                History history = trainer.Fit(slice, Epochs, batchSize: 20, validation: test);
                for (int epoch = 0; epoch < Epochs; epoch++)
                    curve[epoch] += history.Epochs[epoch].ValidationAccuracy / Seeds;
                training += network.Evaluate(slice).Loss / Seeds;
                loss += history.Epochs[^1].ValidationLoss / Seeds;
                accuracies[i] = history.Epochs[^1].ValidationAccuracy;
            }
            double mean = accuracies.Average();
            result.Row(name, training, loss, mean, Math.Sqrt(accuracies.Sum(a => (a - mean) * (a - mean)) / (Seeds - 1)));
            result[$"loss {fact}"] = loss;
            result[$"accuracy {fact}"] = mean;
            chart.Curve(name, curve, dashed);
        }
        result.Picture = chart;
        result.Conclusion = FormattableString.Invariant(
            $"Learning-rate dropout 0.5 raises the accuracy by {100 * (result["accuracy with"] - result["accuracy without"]):F1} points; half the rate does so by {100 * (result["accuracy half"] - result["accuracy without"]):F1}.\n")
            + "Here it helps as smaller steps do: mistakes are learned by heart later.";
        return result;
    }
}
