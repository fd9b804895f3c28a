// Perceptron.cs: Rosenblatt's threshold unit and its learning rule. It is no gradient descent (a step has the derivative 0), so no
// program of the native core: one sample after the other, a sum and at most one addition each.

namespace HpcNet;

/// <summary>
/// The perceptron (Rosenblatt 1958): a threshold unit, y = 1 where w · x + b &gt; 0, else 0, with the rule
/// w ← w + rate · (t − y) · x, b ← b + rate · (t − y) for each sample. Where a hyperplane separates the classes, the rule finds one in
/// finitely many steps (Novikoff 1962); where none does, it never rests.
/// </summary>
public sealed class Perceptron
{
    private readonly double[] _weights;

    /// <summary>A unit with all weights 0.</summary>
    /// <param name="inputs">Numbers of a row, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="inputs"/> is less than 1.</exception>
    public Perceptron(int inputs) => _weights = new double[Ensure.Positive(inputs, nameof(inputs))];

    /// <summary>Numbers of a row.</summary>
    public int Inputs => _weights.Length;

    /// <summary>The weights, [<see cref="Inputs"/>].</summary>
    public ReadOnlySpan<double> Weights => _weights;

    /// <summary>The bias.</summary>
    public double Bias { get; private set; }

    /// <summary>The class of a row: 0 or 1.</summary>
    /// <param name="x">[<see cref="Inputs"/>].</param>
    /// <exception cref="ArgumentException">The span has another length.</exception>
    public int Classify(ReadOnlySpan<float> x)
    {
        Ensure.Length(x.Length, Inputs, nameof(x), "the unit's inputs");
        double sum = Bias;
        for (int i = 0; i < x.Length; i++)
            sum += _weights[i] * x[i];
        return sum > 0 ? 1 : 0;
    }

    /// <summary>Learns until an epoch has no mistake, or for a number of epochs.</summary>
    /// <param name="data">A classification with two classes, in the order in which the rows shall come.</param>
    /// <param name="epochs">The most passes over the data, at least 1.</param>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <returns>The mistakes of each epoch done; the last is 0 where the classes were separated.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="data"/> is null.</exception>
    /// <exception cref="ArgumentException">The data have another number of features, or not two classes.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public IReadOnlyList<int> Fit(Dataset data, int epochs, double learningRate = 1)
    {
        Ensure.NotNull(data);
        if (data.FeatureCount != Inputs)
            throw new ArgumentException($"The perceptron expects {Inputs} inputs, got {data.FeatureCount}.", nameof(data));
        if (data.ClassCount != 2)
            throw new ArgumentException($"data has {data.ClassCount} classes; a perceptron tells 2 apart.", nameof(data));
        Ensure.Positive(epochs, nameof(epochs));
        Ensure.FinitePositive(learningRate, nameof(learningRate));
        var mistakes = new List<int>();
        do
        {
            int wrong = 0;
            for (int row = 0; row < data.Count; row++)
            {
                ReadOnlySpan<float> x = data.Row(row);
                int error = data.Labels[row] - Classify(x);
                if (error == 0)
                    continue;
                wrong++;
                for (int i = 0; i < x.Length; i++)
                    _weights[i] += learningRate * error * x[i];
                Bias += learningRate * error;
            }
            mistakes.Add(wrong);
        }
        while (mistakes[^1] > 0 && mistakes.Count < epochs);
        return mistakes;
    }
}
