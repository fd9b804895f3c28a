// Column-wise standardization: (x - mean) / scale, with mean and scale in double precision. It belongs to a trained model as much as
// the weights do, and is stored with it as JSON: {"means":[...],"scales":[...]}.

using System.Text.Json;

namespace HpcNet;

/// <summary>
/// Shifts and scales each feature: y = (x - mean) / scale, usually to mean 0 and standard deviation 1. Immutable.
/// </summary>
public sealed class Standardizer
{
    private readonly double[] _means;
    private readonly double[] _scales;

    /// <summary>A standardizer with given means and scales, which are copied.</summary>
    /// <param name="means">[featureCount], finite; one or more.</param>
    /// <param name="scales">[featureCount], finite and positive.</param>
    /// <exception cref="ArgumentException">The lengths differ or are 0, or a value is out of its range.</exception>
    public Standardizer(ReadOnlySpan<double> means, ReadOnlySpan<double> scales)
    {
        if (means.IsEmpty || means.Length != scales.Length)
            throw new ArgumentException(
                $"As many scales as means were expected, one or more; got {means.Length} means and {scales.Length} scales.",
                nameof(scales));
        for (var i = 0; i < means.Length; i++)
        {
            if (!double.IsFinite(means[i])) throw new ArgumentException($"The mean of column {i} is not finite.", nameof(means));
            if (!double.IsFinite(scales[i]) || scales[i] <= 0)
                throw new ArgumentException($"The scale of column {i} is not finite and positive.", nameof(scales));
        }
        _means = means.ToArray();
        _scales = scales.ToArray();
    }

    /// <summary>Number of features.</summary>
    public int FeatureCount => _means.Length;

    /// <summary>What is subtracted [<see cref="FeatureCount"/>].</summary>
    public ReadOnlySpan<double> Means => _means;

    /// <summary>What is divided by [<see cref="FeatureCount"/>], positive.</summary>
    public ReadOnlySpan<double> Scales => _scales;

    /// <summary>Fits to the features of a data set; see <see cref="Fit(ReadOnlySpan{float}, int)"/>.</summary>
    /// <param name="data">The data, normally those for training alone.</param>
    public static Standardizer Fit(Dataset data)
    {
        ArgumentNullException.ThrowIfNull(data);
        return Fit(data.Features, data.FeatureCount);
    }

    /// <summary>
    /// Fits mean and standard deviation (of the population: divided by the number of rows) of each column. A column whose values are all
    /// equal gets the scale 1, and becomes 0. Two passes in double precision with a correction: large offsets do no harm.
    /// </summary>
    /// <param name="features">[rows x <paramref name="featureCount"/>], row-major, finite; one or more rows.</param>
    /// <param name="featureCount">Columns, 1 or more.</param>
    /// <exception cref="ArgumentException">There are no whole rows, or a value is not finite.</exception>
    public static Standardizer Fit(ReadOnlySpan<float> features, int featureCount)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(featureCount, 1);
        if (features.IsEmpty || features.Length % featureCount != 0)
            throw new ArgumentException(
                $"One or more rows of {featureCount} features were expected, got {features.Length} values.", nameof(features));
        var rows = features.Length / featureCount;
        var means = new double[featureCount];
        var scales = new double[featureCount];
        var constant = new bool[featureCount];
        Array.Fill(constant, true);
        for (var i = 0; i < features.Length; i++)
        {
            var column = i % featureCount;
            if (!float.IsFinite(features[i]))
                throw new ArgumentException($"The feature in row {i / featureCount}, column {column} is not finite.", nameof(features));
            means[column] += features[i];
            constant[column] &= features[i] == features[column];
        }
        for (var column = 0; column < featureCount; column++) means[column] = constant[column] ? features[column] : means[column] / rows;

        // The sum of the deviations would be 0 but for the mean's rounding; taking its part out corrects for that.
        var sums = new double[featureCount];
        for (var i = 0; i < features.Length; i++)
        {
            var column = i % featureCount;
            var deviation = features[i] - means[column];
            sums[column] += deviation;
            scales[column] += deviation * deviation;
        }
        for (var column = 0; column < featureCount; column++)
            scales[column] = constant[column] ? 1 : Math.Sqrt((scales[column] - sums[column] * sums[column] / rows) / rows);
        return new Standardizer(means, scales);
    }

    /// <summary>Standardizes one or more rows in place.</summary>
    /// <param name="features">[rows x <see cref="FeatureCount"/>], row-major.</param>
    /// <exception cref="ArgumentException">The length is not a multiple of <see cref="FeatureCount"/>.</exception>
    public void Apply(Span<float> features) => Apply(features, features);

    /// <summary>Standardizes one or more rows.</summary>
    /// <param name="features">[rows x <see cref="FeatureCount"/>], row-major.</param>
    /// <param name="destination">As many values; may be the same memory.</param>
    /// <exception cref="ArgumentException">The lengths differ, or are not a multiple of <see cref="FeatureCount"/>.</exception>
    public void Apply(ReadOnlySpan<float> features, Span<float> destination)
    {
        if (features.Length % FeatureCount != 0 || features.Length != destination.Length)
        {
            throw new ArgumentException(
                $"Rows of {FeatureCount} features and room for them were expected, got {features.Length} and {destination.Length} values.",
                nameof(features));
        }
        for (var row = 0; row < features.Length; row += FeatureCount)
            for (var i = 0; i < _means.Length; i++) destination[row + i] = (float)((features[row + i] - _means[i]) / _scales[i]);
    }

    /// <summary>A data set with standardized features; everything else is the same.</summary>
    /// <param name="data">A data set with <see cref="FeatureCount"/> features.</param>
    /// <exception cref="ArgumentException">The data set has another number of features, or a result leaves single precision.</exception>
    public Dataset Apply(Dataset data)
    {
        ArgumentNullException.ThrowIfNull(data);
        if (data.FeatureCount != FeatureCount)
            throw new ArgumentException($"The standardizer has {FeatureCount} features, the data set {data.FeatureCount}.", nameof(data));
        var features = new float[data.Features.Length];
        Apply(data.Features, features);
        return data.WithFeatures(features);
    }

    /// <summary>Writes the object <c>{"means":[...],"scales":[...]}</c>; every bit of the numbers survives.</summary>
    /// <param name="writer">A writer that expects a value.</param>
    public void WriteTo(Utf8JsonWriter writer)
    {
        ArgumentNullException.ThrowIfNull(writer);
        writer.WriteStartObject();
        Write(writer, "means", _means);
        Write(writer, "scales", _scales);
        writer.WriteEndObject();
    }

    /// <summary>Reads the object that <see cref="WriteTo"/> writes.</summary>
    /// <param name="reader">A reader on the object's start, or before it; afterwards on its end.</param>
    /// <exception cref="JsonException">The JSON is not such an object.</exception>
    public static Standardizer ReadFrom(ref Utf8JsonReader reader)
    {
        if (reader.TokenType is JsonTokenType.None or JsonTokenType.PropertyName) reader.Read();
        if (reader.TokenType != JsonTokenType.StartObject)
            throw new JsonException("A standardizer is a JSON object with means and scales.");
        double[]? means = null;
        double[]? scales = null;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            if (means is null && reader.ValueTextEquals("means")) means = ReadNumbers(ref reader);
            else if (scales is null && reader.ValueTextEquals("scales")) scales = ReadNumbers(ref reader);
            else throw new JsonException("A standardizer has the fields means and scales, each once.");
        }
        if (means is null || scales is null) throw new JsonException("A standardizer has the fields means and scales, each once.");
        try
        {
            return new Standardizer(means, scales);
        }
        catch (ArgumentException e)
        {
            throw new JsonException(e.Message, e);
        }
    }

    private static void Write(Utf8JsonWriter writer, string name, double[] values)
    {
        writer.WriteStartArray(name);
        foreach (var value in values) writer.WriteNumberValue(value);
        writer.WriteEndArray();
    }

    private static double[] ReadNumbers(ref Utf8JsonReader reader)
    {
        var values = new List<double>();
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray) throw new JsonException("An array of numbers was expected.");
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            if (reader.TokenType != JsonTokenType.Number || !reader.TryGetDouble(out var value))
                throw new JsonException("An array of numbers was expected.");
            values.Add(value);
        }
        return values.ToArray();
    }
}
