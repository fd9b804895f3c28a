// A data set in memory: features [count x featureCount] row-major in single precision, and for each row a class or real-valued
// targets. Everything is checked when it enters, so that nothing later has to. Where data come from is in Dataset.Sources.cs.

namespace HpcNet;

/// <summary>
/// Examples with their classes (classification) or real-valued targets (regression). Immutable: what enters is copied and checked
/// (all numbers finite, all labels in range), and may be used by any number of threads.
/// </summary>
public sealed partial class Dataset
{
    private readonly float[] _features;
    private readonly int[] _labels;
    private readonly float[] _targets;

    // The arrays become the data set's own and have been checked.
    private Dataset(float[] features, int featureCount, int[] labels, int classCount, float[] targets, int targetCount)
    {
        _features = features;
        _labels = labels;
        _targets = targets;
        FeatureCount = featureCount;
        ClassCount = classCount;
        TargetCount = targetCount;
        Count = features.Length / featureCount;
    }

    // The same kind of data with other rows.
    private Dataset(Dataset like, float[] features, int[] labels, float[] targets)
        : this(features, like.FeatureCount, labels, like.ClassCount, targets, like.TargetCount)
    {
        ClassNames = like.ClassNames;
        FeatureNames = like.FeatureNames;
        TargetNames = like.TargetNames;
        ImageShape = like.ImageShape;
    }

    /// <summary>Number of examples (rows), 1 or more.</summary>
    public int Count { get; }

    /// <summary>Number of features of an example (columns), 1 or more.</summary>
    public int FeatureCount { get; }

    /// <summary>All features [<see cref="Count"/> x <see cref="FeatureCount"/>], row-major, finite.</summary>
    public ReadOnlySpan<float> Features => _features;

    /// <summary>Whether examples have a class; if not, they have real-valued targets.</summary>
    public bool IsClassification => ClassCount > 0;

    /// <summary>The class of each example [<see cref="Count"/>], 0 to <see cref="ClassCount"/> - 1; empty for regression.</summary>
    public ReadOnlySpan<int> Labels => _labels;

    /// <summary>Number of classes; 0 for regression.</summary>
    public int ClassCount { get; }

    /// <summary>The targets [<see cref="Count"/> x <see cref="TargetCount"/>], row-major, finite; empty for classification.</summary>
    public ReadOnlySpan<float> Targets => _targets;

    /// <summary>Number of real-valued targets of an example; 0 for classification.</summary>
    public int TargetCount { get; }

    /// <summary>Names of the classes [<see cref="ClassCount"/>], or null.</summary>
    public IReadOnlyList<string>? ClassNames { get; private init; }

    /// <summary>Names of the features [<see cref="FeatureCount"/>], or null.</summary>
    public IReadOnlyList<string>? FeatureNames { get; private init; }

    /// <summary>Names of the targets [<see cref="TargetCount"/>], or null.</summary>
    public IReadOnlyList<string>? TargetNames { get; private init; }

    /// <summary>Height and width in pixels where an example is an image (rows of pixels from the top), or null.</summary>
    public (int Height, int Width)? ImageShape { get; private init; }

    /// <summary>The array behind <see cref="Features"/>, to be pinned; never written.</summary>
    internal float[] FeatureArray => _features;

    /// <summary>The array behind <see cref="Labels"/>, to be pinned; never written.</summary>
    internal int[] LabelArray => _labels;

    /// <summary>The array behind <see cref="Targets"/>, to be pinned; never written.</summary>
    internal float[] TargetArray => _targets;

    /// <summary>A data set for classification from values in memory, which are copied.</summary>
    /// <param name="features">[count x <paramref name="featureCount"/>], row-major, finite.</param>
    /// <param name="featureCount">Features of one example, 1 or more.</param>
    /// <param name="labels">[count], each 0 to <paramref name="classCount"/> - 1.</param>
    /// <param name="classCount">Number of classes, 1 or more.</param>
    /// <param name="classNames">Names of the classes, or null.</param>
    /// <param name="featureNames">Names of the features, or null.</param>
    /// <param name="imageShape">Height and width, whose product is <paramref name="featureCount"/>, or null.</param>
    /// <exception cref="ArgumentException">There are no examples, the sizes do not fit, a feature is NaN or infinite, or a label is out
    /// of range; row and column are named.</exception>
    public static Dataset FromArrays(
        ReadOnlySpan<float> features, int featureCount, ReadOnlySpan<int> labels, int classCount, IReadOnlyList<string>? classNames = null,
        IReadOnlyList<string>? featureNames = null, (int Height, int Width)? imageShape = null)
    {
        var count = CheckFeatures(features, featureCount, featureNames, imageShape);
        ArgumentOutOfRangeException.ThrowIfLessThan(classCount, 1);
        if (labels.Length != count)
            throw new ArgumentException($"{count} examples need {count} labels, got {labels.Length}.", nameof(labels));
        for (var row = 0; row < count; row++)
        {
            if ((uint)labels[row] >= (uint)classCount)
                throw new ArgumentException(
                    $"The label of row {row} is {labels[row]}; 0 to {classCount - 1} was expected.", nameof(labels));
        }
        CheckNames(classNames, classCount, nameof(classNames));
        return new Dataset(features.ToArray(), featureCount, labels.ToArray(), classCount, [], 0)
        {
            ClassNames = classNames?.ToArray(),
            FeatureNames = featureNames?.ToArray(),
            ImageShape = imageShape,
        };
    }

    /// <summary>A data set for regression from values in memory, which are copied.</summary>
    /// <param name="features">[count x <paramref name="featureCount"/>], row-major, finite.</param>
    /// <param name="featureCount">Features of one example, 1 or more.</param>
    /// <param name="targets">[count x <paramref name="targetCount"/>], row-major, finite.</param>
    /// <param name="targetCount">Targets of one example, 1 or more.</param>
    /// <param name="targetNames">Names of the targets, or null.</param>
    /// <param name="featureNames">Names of the features, or null.</param>
    /// <param name="imageShape">Height and width, whose product is <paramref name="featureCount"/>, or null.</param>
    /// <exception cref="ArgumentException">There are no examples, the sizes do not fit, or a number is NaN or infinite; row and column
    /// are named.</exception>
    public static Dataset FromArrays(
        ReadOnlySpan<float> features, int featureCount, ReadOnlySpan<float> targets, int targetCount = 1,
            IReadOnlyList<string>? targetNames = null,
        IReadOnlyList<string>? featureNames = null, (int Height, int Width)? imageShape = null)
    {
        var count = CheckFeatures(features, featureCount, featureNames, imageShape);
        ArgumentOutOfRangeException.ThrowIfLessThan(targetCount, 1);
        if (targets.Length != (long)count * targetCount)
        {
            throw new ArgumentException(
                $"{count} examples with {targetCount} targets each need {(long)count * targetCount} values, got {targets.Length}.",
                    nameof(targets));
        }
        CheckFinite(targets, targetCount, "target", nameof(targets));
        CheckNames(targetNames, targetCount, nameof(targetNames));
        return new Dataset(features.ToArray(), featureCount, [], 0, targets.ToArray(), targetCount)
        {
            TargetNames = targetNames?.ToArray(),
            FeatureNames = featureNames?.ToArray(),
            ImageShape = imageShape,
        };
    }

    /// <summary>The features of one example [<see cref="FeatureCount"/>].</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    public ReadOnlySpan<float> Row(int index) => _features.AsSpan(CheckIndex(index) * FeatureCount, FeatureCount);

    /// <summary>The targets of one example [<see cref="TargetCount"/>]; empty for classification.</summary>
    /// <param name="index">0 to <see cref="Count"/> - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">There is no such example.</exception>
    public ReadOnlySpan<float> Target(int index) => _targets.AsSpan(CheckIndex(index) * TargetCount, TargetCount);

    /// <summary>The examples of the given numbers, in their order; a number may come more than once.</summary>
    /// <param name="indices">Each 0 to <see cref="Count"/> - 1; one or more.</param>
    /// <exception cref="ArgumentException">There are no indices.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An index names no example.</exception>
    public Dataset Subset(ReadOnlySpan<int> indices)
    {
        if (indices.IsEmpty) throw new ArgumentException("A data set has at least one example; no indices were given.", nameof(indices));
        foreach (var index in indices) CheckIndex(index);
        if ((long)indices.Length * Math.Max(FeatureCount, TargetCount) > Array.MaxLength)
            throw new ArgumentException($"{indices.Length} examples are more than an array holds.", nameof(indices));
        var features = new float[indices.Length * FeatureCount];
        var labels = new int[IsClassification ? indices.Length : 0];
        var targets = new float[indices.Length * TargetCount];
        for (var i = 0; i < indices.Length; i++)
        {
            Row(indices[i]).CopyTo(features.AsSpan(i * FeatureCount));
            Target(indices[i]).CopyTo(targets.AsSpan(i * TargetCount));
            if (IsClassification) labels[i] = _labels[indices[i]];
        }
        return new Dataset(this, features, labels, targets);
    }

    /// <summary>
    /// Splits into two data sets, in an order shuffled by the seed. With classes, each class is split in the same proportion as far as
    /// whole examples allow. The same data, fraction and seed give the same split on every machine.
    /// </summary>
    /// <param name="fraction">Part of the examples that goes into the first data set, between 0 and 1 (both excluded), rounded to whole
    /// examples.</param>
    /// <param name="seed">Any number.</param>
    /// <returns>The data for training and the rest.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The fraction does not lie between 0 and 1.</exception>
    /// <exception cref="ArgumentException">One of the two would have no example.</exception>
    public (Dataset Train, Dataset Test) Split(double fraction, ulong seed)
    {
        if (!(fraction > 0 && fraction < 1))
            throw new ArgumentOutOfRangeException(nameof(fraction), fraction, "A fraction between 0 and 1 (both excluded) was expected.");
        var firstCount = (int)Math.Round(Count * fraction);
        if (firstCount == 0 || firstCount == Count)
            throw new ArgumentException($"{fraction} of {Count} examples leaves one side without an example.", nameof(fraction));

        var order = new int[Count];
        for (var i = 0; i < order.Length; i++) order[i] = i;
        new Philox(seed, stream: 0).Shuffle(order);
        if (!IsClassification) return (Subset(order.AsSpan(0, firstCount)), Subset(order.AsSpan(firstCount)));

        var quota = Quotas(firstCount, fraction);
        var first = new List<int>(firstCount);
        var second = new List<int>(Count - firstCount);
        foreach (var index in order)
        {
            if (quota[_labels[index]]-- > 0) first.Add(index);
            else second.Add(index);
        }
        return (Subset(first.ToArray()), Subset(second.ToArray()));
    }

    /// <summary>The same data set with other features; the array becomes the data set's own.</summary>
    internal Dataset WithFeatures(float[] features)
    {
        CheckFinite(features, FeatureCount, "feature", nameof(features));
        return new Dataset(this, features, _labels, _targets);
    }

    // The largest remainders are rounded up until the sum is right; of equal ones, the lower class first.
    private int[] Quotas(int total, double fraction)
    {
        var sizes = new int[ClassCount];
        foreach (var label in _labels) sizes[label]++;
        var quota = new int[ClassCount];
        var remainder = new double[ClassCount];
        var order = new int[ClassCount];
        for (var c = 0; c < ClassCount; c++)
        {
            quota[c] = (int)(sizes[c] * fraction);
            remainder[c] = sizes[c] * fraction - quota[c];
            order[c] = c;
            total -= quota[c];
        }
        Array.Sort(order, (a, b) => remainder[a] != remainder[b] ? remainder[b].CompareTo(remainder[a]) : a.CompareTo(b));
        for (var i = 0; total > 0; i = (i + 1) % order.Length)
        {
            if (quota[order[i]] == sizes[order[i]]) continue;
            quota[order[i]]++;
            total--;
        }
        return quota;
    }

    private int CheckIndex(int index) => (uint)index < (uint)Count
        ? index
        : throw new ArgumentOutOfRangeException(nameof(index), index, $"The data set has the examples 0 to {Count - 1}.");

    private static int CheckFeatures(
        ReadOnlySpan<float> features, int featureCount, IReadOnlyList<string>? featureNames, (int Height, int Width)? imageShape)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(featureCount, 1);
        if (features.IsEmpty || features.Length % featureCount != 0)
        {
            throw new ArgumentException(
                $"One or more rows of {featureCount} features were expected, got {features.Length} values.", nameof(features));
        }
        CheckFinite(features, featureCount, "feature", nameof(features));
        CheckNames(featureNames, featureCount, nameof(featureNames));
        if (imageShape is { } image && (image.Height < 1 || image.Width < 1 || (long)image.Height * image.Width != featureCount))
        {
            throw new ArgumentException(
                $"Images of {image.Height} x {image.Width} pixels do not have {featureCount} features.", nameof(imageShape));
        }
        return features.Length / featureCount;
    }

    private static void CheckFinite(ReadOnlySpan<float> values, int columns, string what, string parameter)
    {
        for (var i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
            {
                throw new ArgumentException(
                    FormattableString.Invariant($"The {what} in row {i / columns}, column {i % columns} is {values[i]}, not finite."),
                    parameter);
            }
        }
    }

    private static void CheckNames(IReadOnlyList<string>? names, int count, string parameter)
    {
        if (names is not null && names.Count != count)
            throw new ArgumentException($"{count} names were expected, got {names.Count}.", parameter);
    }
}
