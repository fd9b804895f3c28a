// TrainerTests.cs: Fit from the outside: it learns, tells, stops, is cancelled, and leaves a sound network whatever happens.

namespace HpcNet.Tests;

public sealed class TrainerTests
{
    [SkippableTheory, Targets]
    public void Xor_is_learned(string target)
    {
        using var network = new Network(Targets.Open(target), 2, seed: 1, new Dense(8, Activation.Tanh), new Dense(2));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.05f));
        Dataset data = Samples.Xor();
        History history = trainer.Fit(data, epochs: 300, batchSize: 4);
        Evaluation evaluation = trainer.Evaluate(data);
        Assert.Equal(1.0, evaluation.Accuracy);
        Assert.True(evaluation.Loss < 0.05, $"loss {evaluation.Loss}");
        Assert.Equal(300, history.Epochs.Count);
        Assert.True(history.Epochs[^1].Loss < history.Epochs[0].Loss);
        Assert.Equal(1200, history.Samples);
        Assert.True(history.Seconds > 0 && history.Gflops > 0);
        Assert.Equal(4, evaluation.Confusion!.Correct);
    }

    [SkippableTheory, Targets]
    public void A_small_regression_is_learned(string target)
    {
        Dataset data = Samples.Waves(400, 3, 2, 5);
        using var network = new Network(Targets.Open(target), 3, seed: 1, new Dense(32, Activation.Tanh), new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam(0.01f));
        History history = trainer.Fit(data, epochs: 60, batchSize: 64, Samples.Waves(100, 3, 2, 6));
        Assert.True(history.Epochs[^1].ValidationLoss < 0.01, $"validation loss {history.Epochs[^1].ValidationLoss}");
        Assert.True(double.IsNaN(history.Epochs[^1].Accuracy));
        Assert.Null(trainer.Evaluate(data).Confusion);
        Assert.Equal(NetworkTask.Regression, network.Task);
    }

    [SkippableTheory, Targets]
    public void Fit_makes_the_steps_that_Step_makes(string target)
    {
        // One batch holds all rows, so the order inside it does not matter but to rounding.
        Dataset data = Samples.Blobs(40, 6, 3, 2);
        using var fitted = new Network(Targets.Open(target), 6, seed: 4, new Dense(9, Activation.Sigmoid), new Dense(3));
        using var stepped = new Network(Targets.Open(target), 6, seed: 4, new Dense(9, Activation.Sigmoid), new Dense(3));
        using var first = new Trainer(fitted, Loss.SoftmaxCrossEntropy, new Sgd(0.5f, 0.9f));
        using var second = new Trainer(stepped, Loss.SoftmaxCrossEntropy, new Sgd(0.5f, 0.9f));
        History history = first.Fit(data, epochs: 5, batchSize: 40);
        for (int i = 0; i < 5; i++)
            Assert.Equal(history.Epochs[i].Loss, second.Step(data.Features, data.Labels), 1e-4);
        Samples.Close(Samples.Parameters(stepped), Samples.Parameters(fitted), 1e-3);
        Assert.Equal(5, first.Steps);
    }

    [SkippableTheory, Targets]
    public void Enqueued_steps_are_the_steps_that_Step_makes(string target)
    {
        // A few numbers, and so many that uploads run beside the steps; batches of several sizes, each gone when the call is back.
        foreach (int inputs in (int[])[5, 700])
        {
            using var stepped = new Network(Targets.Open(target), inputs, seed: 4, new Dense(40, Activation.Tanh), new Dropout(0.2f), new Dense(3));
            using var enqueued = new Network(Targets.Open(target), inputs, seed: 4, new Dense(40, Activation.Tanh), new Dropout(0.2f), new Dense(3));
            stepped.Preprocessing = enqueued.Preprocessing = Standardizer.Fit(Samples.Blobs(50, inputs, 3, 1));
            using var first = new Trainer(stepped, Loss.SoftmaxCrossEntropy, new Adam(0.01f)) { Schedule = Schedule.CosineDecay(40) };
            using var second = new Trainer(enqueued, Loss.SoftmaxCrossEntropy, new Adam(0.01f)) { Schedule = Schedule.CosineDecay(40) };
            double sum = 0;
            int rowsInAll = 0;
            for (int i = 0; i < 30; i++)
            {
                int rows = i % 5 == 4 ? 17 : i < 20 ? 60 : 90;
                float[] x = Samples.Uniform(rows * inputs, (ulong)i);
                int[] labels = Samples.Labels(rows, 3, (ulong)i);
                sum += rows * (double)first.Step(x, labels);
                rowsInAll += rows;
                second.Enqueue(x, labels);
                Array.Fill(x, float.NaN);
                Array.Fill(labels, -1);
            }
            second.Enqueue([], Array.Empty<int>());
            Assert.Equal(30, second.Steps);
            Assert.Equal(sum / rowsInAll, second.FetchLoss(), 1e-5);
            Assert.Equal(0f, second.FetchLoss());
            Assert.Equal(Samples.Bits(Samples.Parameters(stepped)), Samples.Bits(Samples.Parameters(enqueued)));
            // A step that waits for its own loss tells that alone, and leaves the others' to be fetched.
            float[] y = Samples.Uniform(20 * inputs, 100);
            int[] classes = Samples.Labels(20, 3, 100);
            float before = first.Step(y, classes);
            second.Enqueue(y, classes);
            Assert.Equal(first.Step(y, classes), second.Step(y, classes));
            Assert.Equal(before, second.FetchLoss(), 1e-6);
        }
    }

    [SkippableTheory, Targets]
    public void An_enqueued_step_whose_loss_is_not_finite_holds_back_those_behind_it(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam());
        float[] x = Samples.Uniform(6, 1);
        trainer.Step(x, Samples.Uniform(4, 2));
        trainer.Enqueue(x, Samples.Uniform(4, 3));
        trainer.FetchLoss();
        int[] before = Samples.Bits(Samples.Parameters(network));
        foreach (Action waits in (Action[])[() => trainer.FetchLoss(), () => trainer.Step(x, Samples.Uniform(4, 2)), () => trainer.Describe(), () => trainer.Enqueue(Samples.Uniform(600, 1), new float[400])])
        {
            trainer.Enqueue(x, [1f, 2f, float.NaN, 4f]);
            trainer.Enqueue(x, Samples.Uniform(4, 4));
            trainer.Enqueue(x, Samples.Uniform(4, 5));
            var exception = Assert.Throws<NonFiniteLossException>(waits);
            Assert.Equal(3, exception.Step);
            Assert.Contains("2 steps enqueued behind it", exception.Message);
            Assert.Equal(2, trainer.Steps);
            Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
            Assert.Equal(0f, trainer.FetchLoss());
        }
        trainer.Enqueue(x, Samples.Uniform(4, 2));
        Assert.True(float.IsFinite(trainer.FetchLoss()));
        Assert.Equal(3, trainer.Steps);
    }

    [SkippableTheory, Targets]
    public void Batch_and_online_descent_are_batch_sizes(string target)
    {
        Dataset data = Samples.Waves(30, 3, 2, 5);
        foreach (var (batch, steps) in ((int, int)[])[(1, 90), (30, 3), (1000, 3), (8, 12)])
        {
            using var network = new Network(Targets.Open(target), 3, seed: 1, new Dense(8, Activation.Tanh), new Dense(2));
            using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.05f));
            History history = trainer.Fit(data, epochs: 3, batchSize: batch);
            Assert.Equal(steps, trainer.Steps);
            Assert.Equal(90, history.Samples);
            Assert.True(history.Epochs[^1].Loss < history.Epochs[0].Loss, $"batches of {batch}");
        }
    }

    [SkippableTheory, Targets]
    public void Ragged_batches_see_every_row_once(string target)
    {
        // With learning rate ~0 the mean training loss is the loss of the data set.
        Dataset data = Samples.Blobs(103, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-30f));
        History history = trainer.Fit(data, epochs: 2, batchSize: 10, data);
        foreach (EpochRecord epoch in history.Epochs)
        {
            Assert.Equal(epoch.ValidationLoss, epoch.Loss, 1e-5);
            Assert.Equal(epoch.ValidationAccuracy, epoch.Accuracy);
        }
        Assert.Equal(206, history.Samples);
        Assert.Equal(22, trainer.Steps);
    }

    [SkippableTheory, Targets]
    public void Early_stopping_keeps_and_restores_the_best(string target)
    {
        Dataset train = Samples.Blobs(60, 6, 3, 2);
        Dataset validation = Samples.Blobs(60, 6, 3, 4);
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        // A rate that grows until training breaks away from its best point.
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f))
        {
            EarlyStopping = new EarlyStopping(patience: 3),
            Schedule = Schedule.Custom(step => step < 40 ? 1f : 500f),
        };
        History history = trainer.Fit(train, epochs: 200, batchSize: 10, validation);
        Assert.True(history.StoppedEarly);
        EpochRecord best = history.Epochs.MinBy(e => e.ValidationLoss)!;
        Assert.Equal(best.Epoch, history.BestEpoch);
        Assert.Equal(history.BestEpoch + 3, history.Epochs.Count);
        Assert.Equal(best.ValidationLoss, trainer.Evaluate(validation).Loss, 1e-9);
    }

    [SkippableTheory, Targets]
    public void Cancellation_leaves_a_sound_network_and_a_usable_trainer(string target)
    {
        Dataset data = Samples.Blobs(100, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
        using var source = new CancellationTokenSource();
        var progress = new Each(p =>
        {
            if (p.Epoch == 3)
                source.Cancel();
        });
        var cancelled = Assert.Throws<OperationCanceledException>(
            () => { trainer.Fit(data, 100, 10, progress: progress, cancellationToken: source.Token); });
        Assert.Equal(source.Token, cancelled.CancellationToken);
        Assert.Equal(30, trainer.Steps);
        Assert.True(double.IsFinite(trainer.Evaluate(data).Loss));
        Assert.Single(trainer.Fit(data, 1, 10).Epochs);
        int[] before = Samples.Bits(Samples.Parameters(network));
        Assert.Throws<OperationCanceledException>(() => { trainer.Fit(data, 1, 10, cancellationToken: source.Token); });
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
    }

    [SkippableTheory, Targets]
    public void Cancellation_in_a_diverging_epoch_leaves_finite_parameters(string target)
    {
        // Step 15 breaks the parameters (its gradients are above 1); the cancellation comes before anybody has looked at a loss.
        Dataset data = Dataset.FromArrays(Samples.Uniform(600, 3).Select(v => 1000 * v).ToArray(), 6, Samples.Labels(100, 3, 3), 3);
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        using var source = new CancellationTokenSource();
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1f))
        {
            Schedule = Schedule.Custom(step =>
            {
                if (step >= 16)
                    source.Cancel();
                return step == 15 ? float.MaxValue : 1e-6f;
            }),
        };
        Assert.Throws<OperationCanceledException>(() => { trainer.Fit(data, 3, 10, cancellationToken: source.Token); });
        Assert.All(Samples.Parameters(network), p => Assert.True(float.IsFinite(p)));
        Assert.Single(trainer.Fit(data, 1, 100).Epochs);
    }

    [SkippableTheory, Targets]
    public void A_fit_that_finds_a_broken_network_leaves_it_as_it_was(string target)
    {
        Dataset data = Dataset.FromArrays(Samples.Uniform(600, 3).Select(v => 1000 * v).ToArray(), 6, Samples.Labels(100, 3, 3), 3);
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        using (var sound = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(float.MaxValue)))
            sound.Step(data.Features, data.Labels);
        int[] broken = Samples.Bits(Samples.Parameters(network));
        Assert.Contains(Samples.Parameters(network), p => !float.IsFinite(p));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-6f));
        Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(data, 2, 20); });
        Assert.Equal(broken, Samples.Bits(Samples.Parameters(network)));
    }

    [SkippableTheory, Targets]
    public void Cancellation_restores_the_best_where_early_stopping_keeps_it(string target)
    {
        Dataset data = Samples.Blobs(100, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f))
        {
            EarlyStopping = new EarlyStopping(patience: 50),
            Schedule = Schedule.Custom(step => step < 30 ? 1f : 1000f),
        };
        using var source = new CancellationTokenSource();
        double best = double.PositiveInfinity;
        var progress = new Each(p =>
        {
            best = Math.Min(best, p.ValidationLoss);
            if (p.Epoch == 6)
                source.Cancel();
        });
        Assert.Throws<OperationCanceledException>(() => { trainer.Fit(data, 100, 10, data, progress, source.Token); });
        Assert.Equal(best, trainer.Evaluate(data).Loss, 1e-9);
    }

    [SkippableTheory, Targets]
    public void A_loss_that_is_not_finite_names_its_step_and_leaves_finite_parameters(string target)
    {
        Dataset data = Samples.Waves(100, 3, 2, 5);
        using var network = new Network(Targets.Open(target), 3, new Dense(8), new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Sgd(0.01f))
        {
            Schedule = Schedule.Custom(step => step < 14 ? 1f : 1e18f),
        };
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(data, 10, 10); });
        Assert.InRange(exception.Step, 15, 20);
        Assert.Equal(HpcNetError.NonFinite, exception.Error);
        Assert.Equal(exception.Step - 1, trainer.Steps);
        Assert.Contains(FormattableString.Invariant($"step {exception.Step}"), exception.Message);
        Assert.All(Samples.Parameters(network), p => Assert.True(float.IsFinite(p)));
    }

    [SkippableTheory, Targets]
    public void A_step_with_a_loss_that_is_not_finite_changes_nothing(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(2));
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam());
        float[] x = Samples.Uniform(6, 1);
        trainer.Step(x, Samples.Uniform(4, 2));
        int[] before = Samples.Bits(Samples.Parameters(network));
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Step(x, [1f, 2f, float.NaN, 4f]); });
        Assert.Equal(2, exception.Step);
        Assert.Null(exception.Layer);
        Assert.Contains("targets", exception.Message);
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
        Assert.True(float.IsFinite(trainer.Step(x, Samples.Uniform(4, 2))));
        Assert.Equal(2, trainer.Steps);
    }

    [SkippableTheory, Targets]
    public void The_layer_where_a_loss_breaks_is_named(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(4), new Dropout(0.1f), new Dense(4) { Name = "culprit" }, new Dense(2));
        network.SetParameter("dense1.bias", [1e30f, 1e30f, 1e30f, 1e30f]);
        var huge = new float[16];
        Array.Fill(huge, 1e30f);
        network.SetParameter("culprit.weight", huge);
        using var trainer = new Trainer(network, Loss.MeanSquaredError, new Adam());
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Step(Samples.Uniform(6, 1), new float[4]); });
        Assert.Equal("culprit", exception.Layer);
        Assert.Contains("'culprit'", exception.Message);
        exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(Samples.Waves(20, 3, 2, 1), 1, 4); });
        Assert.Equal(("culprit", 1), (exception.Layer, exception.Step));
    }

    [SkippableTheory, Targets]
    public void An_exception_of_the_callers_own_leaves_a_usable_trainer(string target)
    {
        Dataset data = Samples.Blobs(100, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-30f))
        {
            Schedule = Schedule.Custom(step => step == 5 ? float.NaN : 1f),
        };
        Assert.Throws<InvalidOperationException>(() => { trainer.Fit(data, 1, 10); });
        Assert.Equal(5, trainer.Steps);
        using var other = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-30f));
        var progress = new Each(_ => throw new NotSupportedException());
        Assert.Throws<NotSupportedException>(() => { other.Fit(data, 1, 10, progress: progress); });
        // What the broken fits had counted is not in the next one's loss.
        Assert.Equal(network.Evaluate(data).Loss, other.Fit(data, 1, 10).Epochs[0].Loss, 1e-6);
    }

    [SkippableTheory, Targets]
    public void Two_calls_at_once_are_refused_and_say_so(string target)
    {
        Dataset data = Samples.Blobs(100, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        int refused = 0;
        var progress = new Each(report =>
        {
            // A slow epoch reports in between, too.
            if (!report.EpochFinished)
                return;
            string message = Assert.Throws<InvalidOperationException>(() => { trainer.Step(data.Row(0), [0]); }).Message;
            Assert.Contains("one thread at a time", message);
            Assert.Throws<InvalidOperationException>(() => { trainer.Fit(data, 1, 1); });
            Assert.Throws<InvalidOperationException>(trainer.Dispose);
            refused++;
        });
        trainer.Fit(data, 2, 50, progress: progress);
        Assert.Equal(2, refused);
        trainer.Step(data.Row(0), [0]);
    }

    [SkippableTheory, Targets]
    public void Progress_tells_where_the_fit_is(string target)
    {
        var reports = new List<TrainingProgress>();
        Dataset data = Samples.Blobs(100, 6, 3, 2);
        using var network = new Network(Targets.Open(target), 6, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        History history = trainer.Fit(data, 3, 30, data, new Each(reports.Add));
        TrainingProgress[] ends = [.. reports.Where(r => r.EpochFinished)];
        Assert.Equal([1, 2, 3], ends.Select(r => r.Epoch));
        Assert.All(ends, r => Assert.Equal((4, 4, 3), (r.Step, r.Steps, r.Epochs)));
        Assert.Equal(history.Epochs.Select(e => (e.Loss, e.ValidationLoss)), ends.Select(r => (r.Loss, r.ValidationLoss)));
    }

    [SkippableTheory, Targets]
    public void Preprocessing_is_applied_wherever_data_enter(string target)
    {
        // Raw features far from 0: without the scaling nothing would be learned in a few epochs.
        Dataset blobs = Samples.Blobs(200, 4, 3, 2);
        float[] raw = Array.ConvertAll(blobs.Features.ToArray(), v => 1000f + 50f * v);
        Dataset data = Dataset.FromArrays(raw, 4, blobs.Labels, 3);
        using var network = new Network(Targets.Open(target), 4, new Dense(16, Activation.ReLU), new Dense(3));
        network.Preprocessing = Standardizer.Fit(data);
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.02f));
        trainer.Fit(data, 30, 20, data);
        Assert.True(network.Evaluate(data).Accuracy > 0.95);
        using Predictor predictor = network.CreatePredictor();
        var classes = new int[200];
        predictor.Classify(raw, classes);
        Assert.Equal(network.Evaluate(data).Accuracy, classes.Where((c, i) => c == data.Labels[i]).Count() / 200.0, 1e-9);
        Assert.Equal(network.Evaluate(data).Loss, trainer.Step(raw, data.Labels), 1e-3);
    }

    [SkippableTheory, Targets]
    public void A_profile_leaves_everything_as_it_was(string target)
    {
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        using var twin = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU), new Dense(3));
        using var other = new Trainer(twin, Loss.SoftmaxCrossEntropy, new Adam());
        float[] x = Samples.Uniform(60, 1);
        int[] labels = Samples.Labels(10, 3, 1);
        trainer.Step(x, labels);
        other.Step(x, labels);
        Assert.NotEmpty(trainer.Profile(3));
        Assert.All(trainer.Profile(3), entry => Assert.True(entry.Nanoseconds >= 0 && entry.Name.Length > 0));
        Assert.Equal(other.Step(x, labels), trainer.Step(x, labels));
        Assert.Equal(Samples.Bits(Samples.Parameters(twin)), Samples.Bits(Samples.Parameters(network)));
    }

    [SkippableTheory, Targets]
    public void The_program_can_be_looked_at(string target)
    {
        using var network = new Network(Targets.Open(target), 6, new Dense(20, Activation.ReLU) { Name = "hidden" }, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        Assert.Contains("hidden.weight", trainer.Describe());
        Assert.Contains("hidden.weight", network.Describe());
        Assert.Contains("hidden", network.Summary());
        trainer.Fit(Samples.Blobs(100, 6, 3, 2), 1, 10);
        Assert.Contains("data.features", trainer.Describe());
    }

    private sealed class Each(Action<TrainingProgress> action) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value) => action(value);
    }

    [SkippableTheory, Targets]
    public void No_rows_are_no_step_and_no_prediction(string target)
    {
        using var network = new Network(Targets.Open(target), 3, new Dense(4, Activation.ReLU), new BatchNorm(), new Dense(2));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(1e-2f));
        trainer.Step(Samples.Uniform(4 * 3, 1), Samples.Labels(4, 2, 1));
        int[] before = Samples.Bits(Samples.Parameters(network));
        Assert.Equal(0f, trainer.Step([], ReadOnlySpan<int>.Empty));
        Assert.Equal(0f, trainer.Step([], ReadOnlySpan<float>.Empty));
        Assert.Equal(1, trainer.Steps);
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
        Predictor predictor = network.CreatePredictor();
        predictor.Predict([], []);
        predictor.PredictLogits([], []);
        predictor.Classify([], Span<int>.Empty);
        Assert.Throws<ArgumentException>(() => predictor.Classify([]));
        predictor.Dispose();
        trainer.Dispose();
        Assert.Throws<ObjectDisposedException>(() => predictor.Predict([], []));
        Assert.Throws<ObjectDisposedException>(() => trainer.Step([], ReadOnlySpan<int>.Empty));
    }
}
