// GradientDescent.cs: walks on functions: input optimization (where is f smallest or largest) and parameter optimization (which
// parameters make a model of one's own fit its samples). Networks are trained by Trainer instead.

namespace HpcNet;

/// <summary>
/// Gradient descent and ascent on a function of one's own, x ← x ∓ rate · ∇f(x), with momentum where that is not 0
/// (v ← momentum · v + ∇f, x ← x ∓ rate · v). The function is given as an expression (<see cref="Real"/>,
/// <see cref="RealVector"/>) or as a <see cref="DifferentiableFunction"/>.
/// </summary>
public sealed record GradientDescent
{
    /// <summary>Describes a descent.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="steps">The most steps, at least 1.</param>
    /// <param name="momentum">0 ≤ momentum &lt; 1.</param>
    /// <param name="tolerance">It ends when the gradient's norm is at most this; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public GradientDescent(double learningRate, int steps = 1000, double momentum = 0, double tolerance = 1e-9)
    {
        LearningRate = Ensure.FinitePositive(learningRate, nameof(learningRate));
        Steps = Ensure.Positive(steps, nameof(steps));
        Momentum = momentum is >= 0 and < 1
            ? momentum
            : throw new ArgumentOutOfRangeException(nameof(momentum), momentum, $"momentum is {momentum}; expected 0 or more and less than 1.");
        Tolerance = tolerance >= 0 && double.IsFinite(tolerance)
            ? tolerance
            : throw new ArgumentOutOfRangeException(nameof(tolerance), tolerance, $"tolerance is {tolerance}; expected a finite number of 0 or more.");
    }

    /// <summary>The learning rate.</summary>
    public double LearningRate { get; }

    /// <summary>The most steps.</summary>
    public int Steps { get; }

    /// <summary>The share of the last velocity that is kept.</summary>
    public double Momentum { get; }

    /// <summary>The gradient's norm at which it ends.</summary>
    public double Tolerance { get; }

    /// <summary>Walks down to a minimum of a function of one variable.</summary>
    /// <param name="function">The function.</param>
    /// <param name="start">Where to begin, finite.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="start"/> is not finite.</exception>
    /// <exception cref="ArithmeticException">Value or gradient became NaN or infinite; the message tells where.</exception>
    public DescentResult Minimize(Func<Real, Real> function, double start) => Walk(OneVariable(function), [start], -1);

    /// <summary>Walks down to a minimum of a function of several variables.</summary>
    /// <param name="function">The function.</param>
    /// <param name="start">Where to begin, [n], finite; at least one number.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="start"/> is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="start"/> is not finite.</exception>
    /// <exception cref="ArithmeticException">Value or gradient became NaN or infinite; the message tells where.</exception>
    public DescentResult Minimize(Func<RealVector, Real> function, ReadOnlySpan<double> start) => Walk(SeveralVariables(function), start, -1);

    /// <summary>Walks down to a minimum of anything that tells its gradient.</summary>
    /// <param name="function">The function.</param>
    /// <param name="start">Where to begin, [n], finite; at least one number.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="start"/> is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="start"/> is not finite.</exception>
    /// <exception cref="ArithmeticException">Value or gradient became NaN or infinite; the message tells where.</exception>
    public DescentResult Minimize(DifferentiableFunction function, ReadOnlySpan<double> start) => Walk(Ensure.NotNull(function), start, -1);

    /// <summary>Walks up to a maximum of a function of one variable; as <see cref="Minimize(Func{Real, Real}, double)"/>.</summary>
    public DescentResult Maximize(Func<Real, Real> function, double start) => Walk(OneVariable(function), [start], 1);

    /// <summary>
    /// Walks up to a maximum of a function of several variables; as <see cref="Minimize(Func{RealVector, Real}, ReadOnlySpan{double})"/>.
    /// </summary>
    public DescentResult Maximize(Func<RealVector, Real> function, ReadOnlySpan<double> start) => Walk(SeveralVariables(function), start, 1);

    /// <summary>
    /// Walks up to a maximum of anything that tells its gradient; as <see cref="Minimize(DifferentiableFunction, ReadOnlySpan{double})"/>.
    /// </summary>
    public DescentResult Maximize(DifferentiableFunction function, ReadOnlySpan<double> start) => Walk(Ensure.NotNull(function), start, 1);

    private static DifferentiableFunction OneVariable(Func<Real, Real> function)
    {
        Ensure.NotNull(function);
        return (x, gradient) =>
        {
            (double value, gradient[0]) = Gradient.At(function, x[0]);
            return value;
        };
    }

    private static DifferentiableFunction SeveralVariables(Func<RealVector, Real> function)
    {
        Ensure.NotNull(function);
        return (x, gradient) => Gradient.At(function, x, gradient);
    }

    private DescentResult Walk(DifferentiableFunction function, ReadOnlySpan<double> start, int direction)
    {
        if (start.IsEmpty)
            throw new ArgumentException("start is empty; expected at least one variable.", nameof(start));
        foreach (double coordinate in start)
            Ensure.Finite(coordinate, nameof(start));
        double[] x = start.ToArray();
        var gradient = new double[x.Length];
        var velocity = new double[x.Length];
        var path = new List<double[]>();
        for (int step = 0; ; step++)
        {
            double value = function(x, gradient);
            double norm = 0;
            foreach (double slope in gradient)
                norm = double.Hypot(norm, slope);
            if (!double.IsFinite(value) || !double.IsFinite(norm))
            {
                throw new ArithmeticException(FormattableString.Invariant(
                    $"After {step} steps, at [{string.Join(", ", x.Select(c => FormattableString.Invariant($"{c:G6}")))}], the function is {value} and its gradient's norm {norm}; a smaller learning rate may help."));
            }
            path.Add([.. x]);
            if (norm <= Tolerance || step == Steps)
                return new DescentResult(x, value, norm, step, norm <= Tolerance, path);
            for (int i = 0; i < x.Length; i++)
            {
                velocity[i] = Momentum * velocity[i] + gradient[i];
                x[i] += direction * LearningRate * velocity[i];
            }
        }
    }
}

/// <summary>Where a descent (or ascent) ended.</summary>
/// <param name="Point">The last point, [n].</param>
/// <param name="Value">The function's value there.</param>
/// <param name="GradientNorm">The gradient's norm there.</param>
/// <param name="Steps">Steps done.</param>
/// <param name="Converged">Whether the gradient's norm reached the tolerance.</param>
/// <param name="Path">Every point from the start to the last one.</param>
public sealed record DescentResult(
    IReadOnlyList<double> Point, double Value, double GradientNorm, int Steps, bool Converged, IReadOnlyList<IReadOnlyList<double>> Path);

/// <summary>
/// Fits the parameters of a model that is a function of one's own, by gradient descent on the squared error of its samples: online
/// (batch 1), in mini-batches, or in full batches.
/// </summary>
public sealed record ParameterFit
{
    /// <summary>Describes a fit.</summary>
    /// <param name="learningRate">Finite and above 0.</param>
    /// <param name="epochs">Passes over the samples, at least 1.</param>
    /// <param name="batchSize">Samples whose mean gradient makes a step, at least 1 (online); more than there are: all.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public ParameterFit(double learningRate, int epochs, int batchSize = 1)
    {
        LearningRate = Ensure.FinitePositive(learningRate, nameof(learningRate));
        Epochs = Ensure.Positive(epochs, nameof(epochs));
        BatchSize = Ensure.Positive(batchSize, nameof(batchSize));
    }

    /// <summary>The learning rate.</summary>
    public double LearningRate { get; }

    /// <summary>Passes over the samples.</summary>
    public int Epochs { get; }

    /// <summary>Samples of a step.</summary>
    public int BatchSize { get; }

    /// <summary>The seed of each epoch's order; null: the samples as they come, in every epoch.</summary>
    public ulong? Seed { get; init; }

    /// <summary>Fits a model of one input.</summary>
    /// <param name="model">From the parameters and an input to the prediction.</param>
    /// <param name="inputs">The samples' inputs, [count], finite; at least one.</param>
    /// <param name="targets">What the model should say, [count], finite.</param>
    /// <param name="start">The parameters to begin with, [n], finite; at least one.</param>
    /// <exception cref="ArgumentNullException"><paramref name="model"/> is null.</exception>
    /// <exception cref="ArgumentException">A span is empty, or the numbers of inputs and targets differ.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is not finite.</exception>
    /// <exception cref="ArithmeticException">The loss became NaN or infinite; the message tells in which epoch.</exception>
    public ParameterFitResult Fit(
        Func<RealVector, double, Real> model, ReadOnlySpan<double> inputs, ReadOnlySpan<double> targets, ReadOnlySpan<double> start)
    {
        Ensure.NotNull(model);
        if (inputs.IsEmpty)
            throw new ArgumentException("inputs is empty; expected at least one sample.", nameof(inputs));
        Ensure.Length(targets.Length, inputs.Length, nameof(targets), "one for each input");
        foreach (double input in inputs)
            Ensure.Finite(input, nameof(inputs));
        double[] x = inputs.ToArray();
        return Fit((parameters, sample) => model(parameters, x[sample]), targets, start);
    }

    /// <summary>Fits a model of anything: the model is told which sample it shall predict.</summary>
    /// <param name="model">From the parameters and a sample's number to the prediction.</param>
    /// <param name="targets">What the model should say, [count], finite; at least one.</param>
    /// <param name="start">The parameters to begin with, [n], finite; at least one.</param>
    /// <exception cref="ArgumentNullException"><paramref name="model"/> is null.</exception>
    /// <exception cref="ArgumentException">A span is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is not finite.</exception>
    /// <exception cref="ArithmeticException">The loss became NaN or infinite; the message tells in which epoch.</exception>
    public ParameterFitResult Fit(Func<RealVector, int, Real> model, ReadOnlySpan<double> targets, ReadOnlySpan<double> start)
    {
        Ensure.NotNull(model);
        if (targets.IsEmpty)
            throw new ArgumentException("targets is empty; expected at least one sample.", nameof(targets));
        if (start.IsEmpty)
            throw new ArgumentException("start is empty; expected at least one parameter.", nameof(start));
        foreach (double target in targets)
            Ensure.Finite(target, nameof(targets));
        foreach (double parameter in start)
            Ensure.Finite(parameter, nameof(start));

        double[] wanted = targets.ToArray();
        double[] parameters = start.ToArray();
        var gradient = new double[parameters.Length];
        var losses = new double[Epochs];
        var order = new int[wanted.Length];
        int from = 0, to = 0;
        Func<RealVector, Real> loss = p =>
        {
            Real sum = 0;
            for (int i = from; i < to; i++)
            {
                Real error = model(p, order[i]) - wanted[order[i]];
                sum += error * error;
            }
            return sum / (to - from);
        };
        for (int epoch = 0; epoch < Epochs; epoch++)
        {
            for (int i = 0; i < order.Length; i++)
                order[i] = i;
            if (Seed is { } seed)
                new Philox(seed, RandomStreams.Shuffle(epoch)).Shuffle(order);
            for (from = 0; from < order.Length; from = to)
            {
                to = (int)Math.Min((long)from + BatchSize, order.Length);
                double value = Gradient.At(loss, parameters, gradient);
                if (!double.IsFinite(value))
                {
                    throw new ArithmeticException(FormattableString.Invariant(
                        $"In epoch {epoch + 1} the loss is {value}; a smaller learning rate may help."));
                }
                losses[epoch] += value * (to - from) / order.Length;
                for (int i = 0; i < parameters.Length; i++)
                    parameters[i] -= LearningRate * gradient[i];
            }
        }
        return new ParameterFitResult(parameters, losses);
    }
}

/// <summary>What a <see cref="ParameterFit"/> found.</summary>
/// <param name="Parameters">The parameters, [n].</param>
/// <param name="Losses">The mean squared error of each epoch, taken while its steps were made.</param>
public sealed record ParameterFitResult(IReadOnlyList<double> Parameters, IReadOnlyList<double> Losses);
