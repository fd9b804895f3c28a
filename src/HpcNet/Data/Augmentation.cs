// Augmentation.cs: random changes of examples that leave their meaning alone, so that a network sees other rows in each epoch. A row's
// random numbers depend on the seed, the epoch and the row alone, never on threads or the order of the rows.
// To add one: a static method with its checks and a private record that changes one row in place.

namespace HpcNet;

/// <summary>
/// A random change of a data set's rows: of images (<see cref="Dataset.ImageShape"/>) or of any features. Changes are chained by
/// <see cref="Then"/>: <c>Augmentation.Rotate(10).Then(Augmentation.Shift(1))</c>. <see cref="Trainer.Augmentation"/> makes all rows anew
/// in each epoch; <see cref="Apply"/> makes one changed copy.
/// </summary>
public abstract record Augmentation
{
    private protected Augmentation()
    {
    }

    /// <summary>Whether rows must be images.</summary>
    internal abstract bool NeedsImages { get; }

    /// <summary>Adds normally distributed noise to each number: x + deviation · n.</summary>
    /// <param name="deviation">The noise's standard deviation, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">Negative, infinite or NaN.</exception>
    public static Augmentation Noise(float deviation) => new NoiseAugmentation(Ensure.FiniteNotNegative(deviation, nameof(deviation)));

    /// <summary>Multiplies a row by one number from 1 − range to 1 + range.</summary>
    /// <param name="range">0 ≤ range &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation Scale(float range) => new ScaleAugmentation(Ensure.BelowOne(range, nameof(range)));

    /// <summary>Adds one number from −range to range to a whole row: the brightness of an image.</summary>
    /// <param name="range">Finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">Negative, infinite or NaN.</exception>
    public static Augmentation Brightness(float range) => new BrightnessAugmentation(Ensure.FiniteNotNegative(range, nameof(range)));

    /// <summary>Stretches a row about its mean m by one factor f from 1 − range to 1 + range: m + f · (x − m).</summary>
    /// <param name="range">0 ≤ range &lt; 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation Contrast(float range) => new ContrastAugmentation(Ensure.BelowOne(range, nameof(range)));

    /// <summary>Limits each number to a range; not random. It follows changes that would leave the range of pixels.</summary>
    /// <param name="low">The smallest number.</param>
    /// <param name="high">The largest number, above <paramref name="low"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="low"/> is not below <paramref name="high"/>.</exception>
    public static Augmentation Clamp(float low, float high)
    {
        AdversarialTraining.Range(low, high);
        return new ClampAugmentation(low, high);
    }

    /// <summary>Mirrors an image left to right.</summary>
    /// <param name="probability">How often, 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation FlipHorizontal(float probability = 0.5f) =>
        new FlipAugmentation(Ensure.UnitInterval(probability, nameof(probability)), Vertical: false);

    /// <summary>Turns an image upside down, as a mirror does.</summary>
    /// <param name="probability">How often, 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation FlipVertical(float probability = 0.5f) =>
        new FlipAugmentation(Ensure.UnitInterval(probability, nameof(probability)), Vertical: true);

    /// <summary>Moves an image by whole pixels, each way from −pixels to pixels; what comes in from outside is 0.</summary>
    /// <param name="pixels">0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">Negative.</exception>
    public static Augmentation Shift(int pixels) => new ShiftAugmentation(Ensure.NotNegative(pixels, nameof(pixels)));

    /// <summary>Turns an image about its middle by an angle from −degrees to degrees, bilinearly; what comes in from outside is 0.</summary>
    /// <param name="degrees">0 to 180.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation Rotate(float degrees) => new RotateAugmentation(degrees is >= 0f and <= 180f
        ? degrees
        : throw new ArgumentOutOfRangeException(nameof(degrees), degrees, $"degrees is {degrees}; expected 0 to 180."));

    /// <summary>Cuts a part out of an image and stretches it bilinearly to the whole size.</summary>
    /// <param name="smallest">The smallest share of height and width that stays, above 0 and at most 1; the same for both.</param>
    /// <exception cref="ArgumentOutOfRangeException">Outside its range or NaN.</exception>
    public static Augmentation Crop(float smallest) => new CropAugmentation(smallest is > 0f and <= 1f
        ? smallest
        : throw new ArgumentOutOfRangeException(nameof(smallest), smallest, $"smallest is {smallest}; expected above 0 and at most 1."));

    /// <summary>This change, and then another.</summary>
    /// <param name="next">What comes after.</param>
    /// <exception cref="ArgumentNullException"><paramref name="next"/> is null.</exception>
    public Augmentation Then(Augmentation next) => new SequenceAugmentation(this, Ensure.NotNull(next));

    /// <summary>A changed copy of a data set; classes, targets and names are the same.</summary>
    /// <param name="data">The data.</param>
    /// <param name="seed">Any number; the same one gives the same copy everywhere.</param>
    /// <exception cref="ArgumentNullException"><paramref name="data"/> is null.</exception>
    /// <exception cref="ArgumentException">A change of images meets rows that are none, or a number left single precision.</exception>
    public Dataset Apply(Dataset data, ulong seed)
    {
        Check(Ensure.NotNull(data), nameof(data));
        var features = new float[data.Features.Length];
        Fill(data, features, seed, epoch: 0);
        return data.WithFeatures(features);
    }

    internal void Check(Dataset data, string argument)
    {
        if (NeedsImages && data.ImageShape is null)
            throw new ArgumentException($"{argument} has no ImageShape; {this} changes images.", argument);
    }

    /// <summary>The rows of an epoch, [count × features].</summary>
    internal void Fill(Dataset data, float[] destination, ulong seed, long epoch)
    {
        int columns = data.FeatureCount;
        var (height, width) = data.ImageShape ?? (1, columns);
        data.Features.CopyTo(destination);
        // A few hundred numbers are a matter of microseconds; enough of them for a thread are taken at once.
        int rowsAtOnce = Math.Max(1, 1 << 15 >> (int)Math.Log2(columns));
        int parts = (data.Count + rowsAtOnce - 1) / rowsAtOnce;
        Parallel.For(0, parts, () => new float[columns], (part, _, scratch) =>
        {
            for (int row = part * rowsAtOnce; row < Math.Min(data.Count, (part + 1) * rowsAtOnce); row++)
            {
                var random = new Philox(seed, RandomStreams.Augmentation(epoch, row));
                Change(new ImageRow(destination.AsSpan(row * columns, columns), scratch, height, width), ref random);
            }
            return scratch;
        }, static _ => { });
    }

    /// <summary>Changes a row in place.</summary>
    internal abstract void Change(ImageRow row, ref Philox random);

    private protected static float Between(float low, float high, ref Philox random) => low + (high - low) * random.NextUniform();

    private sealed record SequenceAugmentation(Augmentation First, Augmentation Second) : Augmentation
    {
        internal override bool NeedsImages => First.NeedsImages || Second.NeedsImages;

        internal override void Change(ImageRow row, ref Philox random)
        {
            First.Change(row, ref random);
            Second.Change(row, ref random);
        }
    }

    private sealed record NoiseAugmentation(float Deviation) : Augmentation
    {
        internal override bool NeedsImages => false;

        // Box and Muller's transform; 1 - u lies in (0, 1], so that the logarithm is finite.
        internal override void Change(ImageRow row, ref Philox random)
        {
            Span<float> values = row.Values;
            for (int i = 0; i < values.Length; i += 2)
            {
                float radius = Deviation * MathF.Sqrt(-2f * MathF.Log(1f - random.NextUniform()));
                (float sine, float cosine) = MathF.SinCos(2f * MathF.PI * random.NextUniform());
                values[i] += radius * cosine;
                if (i + 1 < values.Length)
                    values[i + 1] += radius * sine;
            }
        }
    }

    private sealed record ScaleAugmentation(float Width) : Augmentation
    {
        internal override bool NeedsImages => false;

        internal override void Change(ImageRow row, ref Philox random)
        {
            float factor = Between(1f - Width, 1f + Width, ref random);
            foreach (ref float value in row.Values)
                value *= factor;
        }
    }

    private sealed record BrightnessAugmentation(float Width) : Augmentation
    {
        internal override bool NeedsImages => false;

        internal override void Change(ImageRow row, ref Philox random)
        {
            float more = Between(-Width, Width, ref random);
            foreach (ref float value in row.Values)
                value += more;
        }
    }

    private sealed record ContrastAugmentation(float Width) : Augmentation
    {
        internal override bool NeedsImages => false;

        internal override void Change(ImageRow row, ref Philox random)
        {
            float factor = Between(1f - Width, 1f + Width, ref random);
            double sum = 0;
            foreach (float value in row.Values)
                sum += value;
            float mean = (float)(sum / row.Values.Length);
            foreach (ref float value in row.Values)
                value = mean + factor * (value - mean);
        }
    }

    private sealed record ClampAugmentation(float Low, float High) : Augmentation
    {
        internal override bool NeedsImages => false;

        internal override void Change(ImageRow row, ref Philox random)
        {
            foreach (ref float value in row.Values)
                value = Math.Min(Math.Max(value, Low), High);
        }
    }

    private sealed record FlipAugmentation(float Probability, bool Vertical) : Augmentation
    {
        internal override bool NeedsImages => true;

        internal override void Change(ImageRow row, ref Philox random)
        {
            if (random.NextUniform() >= Probability)
                return;
            if (Vertical)
            {
                row.Keep();
                for (int y = 0; y < row.Height; y++)
                    row.Before.Slice((row.Height - 1 - y) * row.Width, row.Width).CopyTo(row.Values.Slice(y * row.Width, row.Width));
            }
            else
            {
                for (int y = 0; y < row.Height; y++)
                    row.Values.Slice(y * row.Width, row.Width).Reverse();
            }
        }
    }

    private sealed record ShiftAugmentation(int Pixels) : Augmentation
    {
        internal override bool NeedsImages => true;

        internal override void Change(ImageRow row, ref Philox random)
        {
            uint places = 2 * (uint)Pixels + 1;
            long down = (long)random.NextBelow(places) - Pixels;
            long right = (long)random.NextBelow(places) - Pixels;
            row.Keep();
            for (int y = 0; y < row.Height; y++)
            {
                for (int x = 0; x < row.Width; x++)
                {
                    long fromY = y - down, fromX = x - right;
                    bool inside = fromY >= 0 && fromY < row.Height && fromX >= 0 && fromX < row.Width;
                    row.Values[y * row.Width + x] = inside ? row.Before[(int)(fromY * row.Width + fromX)] : 0f;
                }
            }
        }
    }

    private sealed record RotateAugmentation(float Degrees) : Augmentation
    {
        internal override bool NeedsImages => true;

        internal override void Change(ImageRow row, ref Philox random)
        {
            (float sine, float cosine) = MathF.SinCos(Between(-Degrees, Degrees, ref random) * (MathF.PI / 180f));
            float middleY = (row.Height - 1) / 2f, middleX = (row.Width - 1) / 2f;
            row.Keep();
            for (int y = 0; y < row.Height; y++)
            {
                for (int x = 0; x < row.Width; x++)
                {
                    float fromX = middleX + cosine * (x - middleX) + sine * (y - middleY);
                    float fromY = middleY - sine * (x - middleX) + cosine * (y - middleY);
                    row.Values[y * row.Width + x] = row.Sample(fromY, fromX);
                }
            }
        }
    }

    private sealed record CropAugmentation(float Smallest) : Augmentation
    {
        internal override bool NeedsImages => true;

        internal override void Change(ImageRow row, ref Philox random)
        {
            float share = Between(Smallest, 1f, ref random);
            float top = (1f - share) * (row.Height - 1) * random.NextUniform();
            float left = (1f - share) * (row.Width - 1) * random.NextUniform();
            row.Keep();
            for (int y = 0; y < row.Height; y++)
            {
                for (int x = 0; x < row.Width; x++)
                    row.Values[y * row.Width + x] = row.Sample(top + share * y, left + share * x);
            }
        }
    }
}

/// <summary>One row as an image, with room for how it was before.</summary>
internal readonly ref struct ImageRow(Span<float> values, Span<float> before, int height, int width)
{
    public Span<float> Values { get; } = values;

    public Span<float> Before { get; } = before;

    public int Height { get; } = height;

    public int Width { get; } = width;

    /// <summary>Copies the row to <see cref="Before"/>.</summary>
    public void Keep() => Values.CopyTo(Before);

    /// <summary>The kept image between its pixels, bilinearly; 0 outside.</summary>
    public float Sample(float y, float x)
    {
        int top = (int)MathF.Floor(y), left = (int)MathF.Floor(x);
        float down = y - top, right = x - left;
        float upper = (1f - right) * Pixel(top, left) + right * Pixel(top, left + 1);
        float lower = (1f - right) * Pixel(top + 1, left) + right * Pixel(top + 1, left + 1);
        return (1f - down) * upper + down * lower;
    }

    private float Pixel(int y, int x) => (uint)y < (uint)Height && (uint)x < (uint)Width ? Before[y * Width + x] : 0f;
}
