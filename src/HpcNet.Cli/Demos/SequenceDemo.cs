// Recurrent layers on two tasks. Memory: a row of symbols comes in, one of them marked; after the last one the network is asked which it
// was. Forecasting: a noisy series with a yearly season; the network sees two years and says the next month.
//
// A simple recurrent layer writes its whole state anew at each step, and what it should keep is soon gone. The gates of an LSTM and a
// GRU decide what is written and what stays. For a season, of which every month tells again, all three are good enough.

using HpcNet.Cli.Output.Plotting;

namespace HpcNet.Cli.Demos;

internal static class SequenceDemo
{
    private const int Seeds = 2, Symbols = 4, Short = 6, Long = 16, Epochs = 20;
    private const int Window = 24, Year = 12, Known = 420, Ahead = 60, MemoryUnits = 16, SeasonUnits = 8;
    private const float Noise = 0.1f;

    public static DemoResult Run(Device device)
    {
        (string Name, Func<int, Layer> Layer)[] kinds =
        [
            ("SimpleRnn", units => new SimpleRnn(units)),
            ("LSTM", units => new Lstm(units)),
            ("GRU", units => new Gru(units)),
        ];
        double[] series = Series();
        int[] shown = [.. Enumerable.Range(Known - Window, Window + Ahead)];
        var memory = new Chart { Title = $"Which of {Long} symbols was marked?", XLabel = "epoch", YLabel = "accuracy on unseen rows", YRange = (0, 1.02) };
        var season = new Chart { Title = "Five years ahead, each month from those before", XLabel = "month", YLabel = "value" };

        var result = new DemoResult("layer", $"symbol of {Short}", $"symbol of {Long}", "error, next month", $"error, {Ahead} months ahead");
        foreach (var (name, layer) in kinds)
        {
            double near = Remember(device, layer, Short)[^1];
            double[] far = Remember(device, layer, Long);
            double next = 0, ahead = 0;
            for (ulong seed = 1; seed <= Seeds; seed++)
            {
                double[] forecast = Forecast(device, layer, series, seed, out double error);
                next += error / Seeds;
                ahead += Error(forecast, series) / Seeds;
                // The three nearly coincide: dashes let the one below be seen.
                if (seed == 1)
                    season.Curve(name, Enumerable.Range(Known, Ahead).Select(t => (double)t), forecast, dashed: name == kinds[^1].Name);
            }
            memory.Curve(name, far);
            result.Row(name, near, far[^1], next, ahead);
            (result[$"{name} short"], result[$"{name} long"]) = (near, far[^1]);
            (result[$"{name} next"], result[$"{name} ahead"]) = (next, ahead);
        }
        season.Points("series", shown.Select(t => (double)t), shown.Select(t => series[t]));
        double lastYear = Error([.. Enumerable.Range(Known, Ahead).Select(t => series[t - Year])], series);
        double lastKnown = Error([.. Enumerable.Range(0, Ahead).Select(i => series[Known - Year + i % Year])], series);
        result.Row("by chance; as a year before", 1.0 / Symbols, 1.0 / Symbols, lastYear, lastKnown);
        (result["last year"], result["last known year"]) = (lastYear, lastKnown);
        result.Picture = new Panels(memory, season) { Title = "What recurrent layers remember" };
        result.Conclusion = FormattableString.Invariant(
            $"Over {Long} steps the gated layers still know the symbol, the simple one does not. All three forecast better than the last known year does;\n")
            + FormattableString.Invariant($"with noise of {Noise} no forecast can be much better than that.");
        return result;
    }

    /// <summary>The accuracy after each epoch, mean over seeds.</summary>
    private static double[] Remember(Device device, Func<int, Layer> layer, int steps)
    {
        Dataset train = Marked(1000, steps, seed: 1), test = Marked(300, steps, seed: 2);
        var accuracy = new double[Epochs];
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var network = new Network(device, new Shape(steps, Symbols + 1), seed, layer(MemoryUnits), new Dense(Symbols));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f).ClipByNorm(1f)) { Seed = seed };
            History history = trainer.Fit(train, Epochs, batchSize: 50, validation: test);
            for (int i = 0; i < Epochs; i++)
                accuracy[i] += history.Epochs[i].ValidationAccuracy / Seeds;
        }
        return accuracy;
    }

    /// <summary>Rows of symbols, one-hot, and a mark beside one of the first half of them.</summary>
    private static Dataset Marked(int rows, int steps, int seed)
    {
        const int Features = Symbols + 1;
        var random = new Random(seed);
        var x = new float[rows * steps * Features];
        var labels = new int[rows];
        for (int row = 0; row < rows; row++)
        {
            int marked = random.Next(steps / 2);
            for (int step = 0; step < steps; step++)
            {
                int symbol = random.Next(Symbols), at = (row * steps + step) * Features;
                x[at + symbol] = 1;
                if (step != marked)
                    continue;
                x[at + Symbols] = 1;
                labels[row] = symbol;
            }
        }
        return Dataset.FromArrays(x, steps * Features, labels, Symbols);
    }

    /// <summary>A season of two waves, and noise.</summary>
    private static double[] Series()
    {
        var random = new Random(3);
        return [.. Enumerable.Range(0, Known + Ahead).Select(t =>
            Math.Sin(2 * Math.PI * t / Year) + 0.5 * Math.Sin(4 * Math.PI * t / Year + 1) + Noise * Normal())];

        // Box and Muller 1958.
        double Normal() => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
    }

    /// <summary>Trains on the known months, then forecasts the others, each from the forecasts before it.</summary>
    /// <param name="device">Where.</param>
    /// <param name="layer">The recurrent layer.</param>
    /// <param name="series">All months; those from <see cref="Known"/> on only to judge by.</param>
    /// <param name="seed">The network's and the trainer's.</param>
    /// <param name="next">The error of forecasting one month at a time, the months before it being known.</param>
    private static double[] Forecast(Device device, Func<int, Layer> layer, double[] series, ulong seed, out double next)
    {
        const int Count = Known - Window, Batch = 32, Passes = 100;
        var x = new float[Count * Window];
        var y = new float[Count];
        for (int i = 0; i < Count; i++)
        {
            for (int step = 0; step < Window; step++)
                x[i * Window + step] = (float)series[i + step];
            y[i] = (float)series[i + Window];
        }
        using var network = new Network(device, new Shape(Window, 1), seed, layer(SeasonUnits), new Dense(1));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(0.02f).ClipByNorm(1f))
        {
            Seed = seed,
            Schedule = Schedule.CosineDecay(Passes * ((Count + Batch - 1) / Batch)),
        };
        trainer.Fit(Dataset.FromArrays(x, Window, y), Passes, Batch);

        using Predictor predictor = network.CreatePredictor();
        next = Error(Walk(predictor, series, free: false), series);
        return Walk(predictor, series, free: true);
    }

    private static double[] Walk(Predictor predictor, double[] series, bool free)
    {
        double[] known = [.. series];
        var forecast = new double[Ahead];
        var x = new float[Window];
        var y = new float[1];
        for (int i = 0; i < Ahead; i++)
        {
            for (int step = 0; step < Window; step++)
                x[step] = (float)known[Known + i - Window + step];
            predictor.Predict(x, y);
            forecast[i] = y[0];
            if (free)
                known[Known + i] = y[0];
        }
        return forecast;
    }

    private static double Error(double[] forecast, double[] series) =>
        Math.Sqrt(forecast.Select((value, i) => Math.Pow(value - series[Known + i], 2)).Average());
}
