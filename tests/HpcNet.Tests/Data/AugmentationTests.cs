// AugmentationTests.cs: each change does what it says to an image whose outcome is known, keeps its ranges over many draws, and depends
// on seed, epoch and row alone; in Fit it makes other rows in each epoch and no garbage per step.

namespace HpcNet.Tests;

public sealed class AugmentationTests
{
    private const int Height = 4, Width = 5;

    public static TheoryData<string> Names() => [.. All().Select(a => a.ToString())];

    [Theory]
    [MemberData(nameof(Names))]
    public void Copies_depend_on_the_seed_alone(string name)
    {
        Augmentation change = All().Single(a => a.ToString() == name);
        Dataset data = Images(200);
        Dataset first = change.Apply(data, 5), again = change.Apply(data, 5), other = change.Apply(data, 6);
        Assert.Equal(first.Features.ToArray(), again.Features.ToArray());
        Assert.Equal(data.Labels.ToArray(), first.Labels.ToArray());
        Assert.Equal(data.ImageShape, first.ImageShape);
        if (!name.Contains("Clamp", StringComparison.Ordinal))
        {
            Assert.NotEqual(first.Features.ToArray(), other.Features.ToArray());
            Assert.NotEqual(data.Features.ToArray(), first.Features.ToArray());
        }
        // A row's numbers do not depend on how many rows there are.
        Dataset few = change.Apply(data.Subset([0, 1, 2]), 5);
        Assert.Equal(first.Features[..(3 * Height * Width)].ToArray(), few.Features.ToArray());
    }

    [Fact]
    public void Shifts_move_whole_pixels_and_bring_in_zeros()
    {
        var seen = new HashSet<(int, int)>();
        EachRow(Augmentation.Shift(1), (before, after) =>
        {
            (int, int)? found = null;
            for (int down = -1; down <= 1; down++)
            {
                for (int right = -1; right <= 1; right++)
                {
                    bool fits = true;
                    for (int y = 0; y < Height; y++)
                    {
                        for (int x = 0; x < Width; x++)
                        {
                            bool inside = y - down is >= 0 and < Height && x - right is >= 0 and < Width;
                            fits &= after[y * Width + x] == (inside ? before[(y - down) * Width + x - right] : 0f);
                        }
                    }
                    if (fits)
                        found = (down, right);
                }
            }
            Assert.NotNull(found);
            seen.Add(found.Value);
        });
        Assert.Equal(9, seen.Count);
    }

    [Fact]
    public void Flips_mirror()
    {
        Dataset data = Images(1);
        float[] before = data.Features.ToArray();
        float[] sideways = Augmentation.FlipHorizontal(1f).Apply(data, 1).Features.ToArray();
        float[] upsideDown = Augmentation.FlipVertical(1f).Apply(data, 1).Features.ToArray();
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                Assert.Equal(before[y * Width + Width - 1 - x], sideways[y * Width + x]);
                Assert.Equal(before[(Height - 1 - y) * Width + x], upsideDown[y * Width + x]);
            }
        }
        Assert.Equal(before, Augmentation.FlipHorizontal(0f).Apply(data, 1).Features.ToArray());
        int flipped = 0;
        EachRow(Augmentation.FlipHorizontal(0.25f), (b, a) => flipped += b.SequenceEqual(a) ? 0 : 1);
        Assert.InRange(flipped, 60, 140);
    }

    [Fact]
    public void Turns_turn_about_the_middle()
    {
        // A ramp along x, of which bilinear interpolation loses nothing: turned by t it rises by cos t along x and by sin t along y.
        var ramp = new float[25];
        for (int i = 0; i < ramp.Length; i++)
            ramp[i] = i % 5;
        Dataset data = Dataset.FromArrays(ramp, 25, new[] { 0 }, 1, imageShape: (5, 5));
        double largest = 0;
        for (ulong seed = 0; seed < 200; seed++)
        {
            float[] turned = Augmentation.Rotate(30).Apply(data, seed).Features.ToArray();
            float alongX = turned[13] - turned[12], alongY = turned[17] - turned[12];
            Assert.Equal(2f, turned[12], 1e-5f);
            Assert.Equal(1f, alongX * alongX + alongY * alongY, 1e-4f);
            for (int y = 1; y <= 3; y++)
            {
                for (int x = 1; x <= 3; x++)
                    Assert.Equal(2f + alongX * (x - 2) + alongY * (y - 2), turned[5 * y + x], 1e-4f);
            }
            largest = Math.Max(largest, Math.Abs(Math.Atan2(alongY, alongX)) * 180 / Math.PI);
        }
        Assert.InRange(largest, 27, 30.001);
        Assert.Equal(ramp, Augmentation.Rotate(0).Apply(data, 1).Features.ToArray());
    }

    [Fact]
    public void Crops_stay_inside_and_of_a_ramp_they_are_ramps()
    {
        var ramp = new float[Height * Width];
        for (int i = 0; i < ramp.Length; i++)
            ramp[i] = i % Width;
        Dataset data = Dataset.FromArrays(ramp, ramp.Length, new[] { 0 }, 1, imageShape: (Height, Width));
        for (ulong seed = 0; seed < 50; seed++)
        {
            float[] crop = Augmentation.Crop(0.5f).Apply(data, seed).Features.ToArray();
            float step = crop[1] - crop[0];
            Assert.InRange(step, 0.5f - 1e-5f, 1f);
            Assert.InRange(crop[0], 0f, (Width - 1) * (1 - step) + 1e-4f);
            for (int i = 0; i < crop.Length; i++)
                Assert.Equal(crop[0] + step * (i % Width), crop[i], 1e-4f);
        }
        Assert.Equal(ramp, Augmentation.Crop(1f).Apply(data, 3).Features.ToArray());
    }

    [Fact]
    public void Scale_brightness_and_contrast_take_one_number_a_row()
    {
        EachRow(Augmentation.Scale(0.5f), (before, after) =>
        {
            float factor = after[0] / before[0];
            Assert.InRange(factor, 0.4999f, 1.5001f);
            Assert.All(after.Zip(before), p => Assert.Equal(factor * p.Second, p.First, 1e-5f));
        });
        EachRow(Augmentation.Brightness(0.5f), (before, after) =>
        {
            Assert.InRange(after[0] - before[0], -0.5001f, 0.5001f);
            Assert.All(after.Zip(before), p => Assert.Equal(after[0] - before[0], p.First - p.Second, 1e-5f));
        });
        EachRow(Augmentation.Contrast(0.5f), (before, after) =>
        {
            Assert.Equal(before.Average(), after.Average(), 1e-5f);
            float factor = (after[0] - after.Average()) / (before[0] - before.Average());
            Assert.All(after.Zip(before), p => Assert.Equal(factor * (p.Second - before.Average()), p.First - before.Average(), 1e-3f));
        });
        EachRow(Augmentation.Noise(10f).Then(Augmentation.Clamp(0.25f, 0.5f)), (_, after) => Assert.All(after, v => Assert.InRange(v, 0.25f, 0.5f)));
    }

    [Fact]
    public void Noise_is_normal()
    {
        Dataset data = Dataset.FromArrays(new float[3 * 100_001], 3, new int[100_001], 1);
        float[] noise = Augmentation.Noise(2f).Apply(data, 7).Features.ToArray();
        double mean = noise.Average(v => (double)v), variance = noise.Average(v => v * (double)v);
        Assert.Equal(0, mean, 0.015);
        Assert.Equal(4, variance, 0.05);
        Assert.Equal(0.3173, noise.Count(v => Math.Abs(v) > 2) / (double)noise.Length, 0.005);
    }

    [SkippableTheory, Targets]
    public void Fit_trains_on_fresh_rows_in_each_epoch(string target)
    {
        // One batch an epoch: its loss is that of the rows as that epoch has them.
        Dataset data = Images(30);
        Augmentation change = Augmentation.Noise(0.5f);
        using Network network = TwoInputs(target);
        network.Preprocessing = Standardizer.Fit(data);
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(1e-30f)) { Seed = 11, Augmentation = change };
        History history = trainer.Fit(data, epochs: 3, batchSize: 30, data);
        var rows = new float[data.Features.Length];
        for (int epoch = 0; epoch < 3; epoch++)
        {
            change.Fill(data, rows, 11, epoch);
            double expected = network.Evaluate(Dataset.FromArrays(rows, Height * Width, data.Labels, 3)).Loss;
            Assert.Equal(expected, history.Epochs[epoch].Loss, 1e-5);
            Assert.Equal(network.Evaluate(data).Loss, history.Epochs[epoch].ValidationLoss, 1e-9);
        }
        // A second fit goes on where the first one ended.
        change.Fill(data, rows, 11, 3);
        Assert.Equal(
            network.Evaluate(Dataset.FromArrays(rows, Height * Width, data.Labels, 3)).Loss, trainer.Fit(data, 1, 30).Epochs[0].Loss, 1e-5);
    }

    private static Network TwoInputs(string target)
    {
        // A row's columns belong to both; it is changed as a whole.
        NetworkNode upper = NetworkNode.Input(Height * Width / 2), lower = NetworkNode.Input(Height * Width - Height * Width / 2);
        NetworkNode sum = upper.Then(new Dense(3)).Add(lower.Then(new Dense(3)));
        return new Network(Targets.Open(target), [upper, lower], [sum], seed: 2);
    }

    [SkippableTheory, Targets]
    public void A_loss_that_breaks_on_changed_rows_is_told_as_ever(string target)
    {
        Dataset data = Images(30);
        using var network = new Network(Targets.Open(target), Height * Width, seed: 2, new Dense(6, Activation.ReLU), new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f))
        {
            Augmentation = Augmentation.Shift(1),
            Schedule = Schedule.Custom(step => step < 7 ? 1f : 1e30f),
        };
        var exception = Assert.Throws<NonFiniteLossException>(() => { trainer.Fit(data, 10, 10); });
        Assert.InRange(exception.Step, 8, 12);
        Assert.NotNull(exception.Layer);
        Assert.All(Samples.Parameters(network), p => Assert.True(float.IsFinite(p)));
    }

    private static Augmentation[] All() =>
    [
        Augmentation.Noise(0.1f), Augmentation.Scale(0.2f), Augmentation.Brightness(0.3f), Augmentation.Contrast(0.4f),
        Augmentation.Clamp(0.2f, 0.8f), Augmentation.FlipHorizontal(), Augmentation.FlipVertical(), Augmentation.Shift(1),
        Augmentation.Rotate(20), Augmentation.Crop(0.7f), Augmentation.Rotate(20).Then(Augmentation.Shift(1)).Then(Augmentation.Noise(0.1f)),
    ];

    private static Dataset Images(int count) => Dataset.FromArrays(
        Array.ConvertAll(Samples.Uniform(count * Height * Width, 8), v => 0.5f + 0.45f * v), Height * Width, Samples.Labels(count, 3, 8), 3,
        imageShape: (Height, Width));

    private static void EachRow(Augmentation change, Action<float[], float[]> check)
    {
        Dataset data = Images(400), changed = change.Apply(data, 3);
        for (int row = 0; row < data.Count; row++)
            check(data.Row(row).ToArray(), changed.Row(row).ToArray());
    }
}
