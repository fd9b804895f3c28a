// PolynomialFeatures.cs: powers and products of features, with which a linear network becomes polynomial regression. The order of the
// terms is by degree, then as in a dictionary: a, b, a², ab, b², a³, a²b, ...

using System.Globalization;

namespace HpcNet;

/// <summary>
/// All products of features up to a degree, without the constant (a layer's bias is that). For features a and b and degree 2: a, b, a²,
/// a·b, b². A <see cref="Dense"/> layer on top of them is polynomial regression.
/// </summary>
public sealed class PolynomialFeatures
{
    // Each term is a term before it (-1: none) times a feature.
    private readonly (int Before, int Feature)[] _terms;

    /// <summary>The terms of a number of features.</summary>
    /// <param name="inputs">Features, at least 1.</param>
    /// <param name="degree">The highest sum of exponents, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is less than 1, or there would be more than a million terms.</exception>
    public PolynomialFeatures(int inputs, int degree)
    {
        Inputs = Ensure.Positive(inputs, nameof(inputs));
        Degree = Ensure.Positive(degree, nameof(degree));
        const int Most = 1_000_000;
        var terms = new List<(int Before, int Feature)>();
        int from = -1, to = 0;
        for (int d = 1; d <= degree; d++)
        {
            int end = terms.Count;
            // Only features from the last one on, so that each product comes once.
            for (int before = from; before < to; before++)
            {
                for (int feature = before < 0 ? 0 : terms[before].Feature; feature < inputs; feature++)
                {
                    if (terms.Count == Most)
                    {
                        throw new ArgumentOutOfRangeException(
                            nameof(degree), degree, $"{inputs} features have more than {Most} products up to degree {degree}.");
                    }
                    terms.Add((before, feature));
                }
            }
            (from, to) = (end, terms.Count);
        }
        _terms = [.. terms];
    }

    /// <summary>Features that come in.</summary>
    public int Inputs { get; }

    /// <summary>The highest sum of exponents.</summary>
    public int Degree { get; }

    /// <summary>Features that come out.</summary>
    public int Outputs => _terms.Length;

    /// <summary>The terms of rows.</summary>
    /// <param name="x">[rows × <see cref="Inputs"/>], row-major; at least one row.</param>
    /// <param name="terms">Receives [rows × <see cref="Outputs"/>].</param>
    /// <exception cref="ArgumentException">A span has another length.</exception>
    public void Apply(ReadOnlySpan<float> x, Span<float> terms)
    {
        int rows = Ensure.WholeRows(x.Length, Inputs, nameof(x), nameof(PolynomialFeatures));
        Ensure.Length(terms.Length, (long)rows * Outputs, nameof(terms), $"{rows} x {Outputs}");
        for (int row = 0; row < rows; row++)
        {
            ReadOnlySpan<float> from = x.Slice(row * Inputs, Inputs);
            Span<float> to = terms.Slice(row * Outputs, Outputs);
            for (int i = 0; i < to.Length; i++)
            {
                var (before, feature) = _terms[i];
                to[i] = before < 0 ? from[feature] : to[before] * from[feature];
            }
        }
    }

    /// <summary>A data set with the terms as features, named like <c>a^2 b</c>; everything else is the same.</summary>
    /// <param name="data">A data set with <see cref="Inputs"/> features.</param>
    /// <exception cref="ArgumentNullException"><paramref name="data"/> is null.</exception>
    /// <exception cref="ArgumentException">The data have another number of features, or a term left single precision.</exception>
    public Dataset Apply(Dataset data)
    {
        if (Ensure.NotNull(data).FeatureCount != Inputs)
            throw new ArgumentException($"The polynomial has {Inputs} inputs, data {data.FeatureCount} features.", nameof(data));
        var terms = new float[Ensure.Elements(data.Count, Outputs, nameof(data), "the terms")];
        Apply(data.Features, terms);
        string[] names = Names(data.FeatureNames);
        return data.IsClassification
            ? Dataset.FromArrays(terms, Outputs, data.Labels, data.ClassCount, data.ClassNames, names)
            : Dataset.FromArrays(terms, Outputs, data.Targets, data.TargetCount, data.TargetNames, names);
    }

    /// <summary>The terms' names.</summary>
    /// <param name="features">The features' names, [<see cref="Inputs"/>]; null: x1, x2, ...</param>
    /// <exception cref="ArgumentException">Another number of names.</exception>
    public string[] Names(IReadOnlyList<string>? features = null)
    {
        if (features is not null)
            Ensure.Length(features.Count, Inputs, nameof(features), "one name for each input");
        var names = new string[Outputs];
        for (int i = 0; i < names.Length; i++)
        {
            var exponents = new SortedDictionary<int, int>();
            for (int term = i; term >= 0; term = _terms[term].Before)
                exponents[_terms[term].Feature] = exponents.GetValueOrDefault(_terms[term].Feature) + 1;
            names[i] = string.Join(' ', exponents.Select(e => string.Create(
                CultureInfo.InvariantCulture, $"{features?[e.Key] ?? $"x{e.Key + 1}"}{(e.Value == 1 ? "" : $"^{e.Value}")}")));
        }
        return names;
    }
}
