// Gradient.cs: derivatives of functions in double precision: exact ones by reverse-mode differentiation, and differences.

namespace HpcNet;

/// <summary>How differences are taken.</summary>
public enum DifferenceMethod
{
    /// <summary>
    /// (f(x + h) − f(x − h)) / 2h. The error is h² f‴/6 from the formula and about ε |f| / h from rounding; with the default step
    /// h = ε^⅓ max(1, |x|) both are about 1e-10 of a function of size 1.
    /// </summary>
    Central,

    /// <summary>
    /// Central differences of shrinking steps, extrapolated to step 0 (Ridders 1982); the column with the smallest error estimate
    /// counts. About 1e-13 where the function is smooth, for up to 20 evaluations.
    /// </summary>
    Richardson,
}

/// <summary>
/// Derivatives of functions written in C#: <c>Gradient.Of(x => 5 * Real.Pow(x, 3) - 3 * x)</c> is the function's derivative.
/// Networks do not need this; their gradients are instructions of the native core.
/// </summary>
public static class Gradient
{
    private const double Shrink = 1.4;
    private const int Columns = 10;

    /// <summary>The derivative of a function of one variable, by reverse-mode differentiation: exact up to rounding.</summary>
    /// <param name="function">From x to f(x), written with <see cref="Real"/>'s operators and functions.</param>
    /// <returns>f′. It may be called from any thread if <paramref name="function"/> may.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    public static Func<double, double> Of(Func<Real, Real> function)
    {
        Ensure.NotNull(function);
        return x => At(function, x).Derivative;
    }

    /// <summary>The gradient of a function of several variables, by reverse-mode differentiation: exact up to rounding.</summary>
    /// <param name="function">From a vector to a number, written with <see cref="RealVector"/> and <see cref="Real"/>.</param>
    /// <returns>From a point [n] to the gradient [n] there. It may be called from any thread if <paramref name="function"/> may.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    public static Func<double[], double[]> Of(Func<RealVector, Real> function)
    {
        Ensure.NotNull(function);
        return x =>
        {
            var gradient = new double[Ensure.NotNull(x).Length];
            At(function, x, gradient);
            return gradient;
        };
    }

    /// <summary>Value and derivative of a function of one variable at once.</summary>
    /// <param name="function">From x to f(x).</param>
    /// <param name="x">Where.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="InvalidOperationException">The function used a <see cref="Real"/> of another evaluation.</exception>
    public static (double Value, double Derivative) At(Func<Real, Real> function, double x)
    {
        Ensure.NotNull(function);
        Tape tape = Tape.Rent();
        try
        {
            Real result = function(tape.Variable(x));
            double derivative = 0;
            tape.Differentiate(result, new Span<double>(ref derivative));
            return (result.Value, derivative);
        }
        finally
        {
            Tape.Return(tape);
        }
    }

    /// <summary>Value and gradient of a function of several variables at once.</summary>
    /// <param name="function">From a vector to a number.</param>
    /// <param name="x">Where, [n]; at least one number.</param>
    /// <param name="gradient">Receives the gradient, [n].</param>
    /// <returns>The value.</returns>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentException">There are no variables, or the spans differ in length.</exception>
    /// <exception cref="InvalidOperationException">The function used a <see cref="Real"/> of another evaluation.</exception>
    public static double At(Func<RealVector, Real> function, ReadOnlySpan<double> x, Span<double> gradient)
    {
        Ensure.NotNull(function);
        if (x.IsEmpty)
            throw new ArgumentException("x is empty; expected at least one variable.", nameof(x));
        Ensure.Length(gradient.Length, x.Length, nameof(gradient), "one for each variable");
        Tape tape = Tape.Rent();
        try
        {
            var variables = new Real[x.Length];
            for (int i = 0; i < variables.Length; i++)
                variables[i] = tape.Variable(x[i]);
            Real result = function(new RealVector(variables));
            tape.Differentiate(result, gradient);
            return result.Value;
        }
        finally
        {
            Tape.Return(tape);
        }
    }

    /// <summary>The derivative of a function of one variable by differences.</summary>
    /// <param name="function">From x to f(x).</param>
    /// <param name="x">Where, finite.</param>
    /// <param name="method">How; see <see cref="DifferenceMethod"/> for the errors.</param>
    /// <param name="step">
    /// The (first) step, finite and above 0; null: chosen by the size of x. Give one where the function changes on a scale far from
    /// max(1, |x|).
    /// </param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range, or there is no such method.</exception>
    public static double Numerical(
        Func<double, double> function, double x, DifferenceMethod method = DifferenceMethod.Richardson, double? step = null) =>
        Numerical(function, x, out _, method, step);

    /// <summary>The derivative of a function of one variable by differences, with an estimate of its error.</summary>
    /// <param name="function">From x to f(x).</param>
    /// <param name="x">Where, finite.</param>
    /// <param name="error">Receives an estimate of the absolute error.</param>
    /// <param name="method">How; see <see cref="DifferenceMethod"/> for the errors.</param>
    /// <param name="step">The (first) step, finite and above 0; null: chosen by the size of x.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range, or there is no such method.</exception>
    public static double Numerical(
        Func<double, double> function, double x, out double error, DifferenceMethod method = DifferenceMethod.Richardson,
        double? step = null)
    {
        Ensure.NotNull(function);
        Ensure.Finite(x, nameof(x));
        if (step is { } given)
            Ensure.FinitePositive(given, nameof(step));
        double scale = Math.Max(1, Math.Abs(x));
        switch (method)
        {
            case DifferenceMethod.Central:
                double h = step ?? Math.Cbrt(double.BitIncrement(1) - 1) * scale;
                double wide = Central(function, x, 2 * h);
                double narrow = Central(function, x, h);
                // The error of the formula falls by 4 from 2h to h; below that is rounding.
                error = Math.Abs(wide - narrow) / 3 + (double.BitIncrement(1) - 1) * Math.Abs(function(x)) / h;
                return narrow;
            case DifferenceMethod.Richardson:
                return Richardson(function, x, step ?? 0.1 * scale, out error);
            default:
                throw new ArgumentOutOfRangeException(nameof(method), method, $"There is no method {(int)method}; expected Central or Richardson.");
        }
    }

    /// <summary>The gradient of a function of several variables by differences, one variable after the other.</summary>
    /// <param name="function">From a point [n] to a number; it must not keep or change the array.</param>
    /// <param name="x">Where, [n], finite; at least one number.</param>
    /// <param name="method">How; see <see cref="DifferenceMethod"/> for the errors.</param>
    /// <param name="step">The (first) step, finite and above 0; null: chosen for each variable by its size.</param>
    /// <returns>The gradient [n].</returns>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentException">There are no variables.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range, or there is no such method.</exception>
    public static double[] Numerical(
        Func<double[], double> function, ReadOnlySpan<double> x, DifferenceMethod method = DifferenceMethod.Richardson, double? step = null)
    {
        Ensure.NotNull(function);
        if (x.IsEmpty)
            throw new ArgumentException("x is empty; expected at least one variable.", nameof(x));
        double[] point = x.ToArray();
        var gradient = new double[point.Length];
        for (int i = 0; i < gradient.Length; i++)
        {
            double middle = point[i];
            gradient[i] = Numerical(
                value =>
                {
                    point[i] = value;
                    return function(point);
                },
                middle, method, step);
            point[i] = middle;
        }
        return gradient;
    }

    // The points that double precision really has: their distance is exact, where 2h is not.
    private static double Central(Func<double, double> function, double x, double h)
    {
        double above = x + h;
        double below = x - h;
        return (function(above) - function(below)) / (above - below);
    }

    // Row by row of Neville's table for steps h, h / 1.4, ...; it stops where the extrapolation gets worse.
    private static double Richardson(Func<double, double> function, double x, double h, out double error)
    {
        Span<double> row = stackalloc double[Columns];
        Span<double> before = stackalloc double[Columns];
        double best = row[0] = Central(function, x, h);
        error = double.PositiveInfinity;
        for (int i = 1; i < Columns; i++)
        {
            row.CopyTo(before);
            h /= Shrink;
            row[0] = Central(function, x, h);
            double factor = Shrink * Shrink;
            for (int j = 1; j <= i; j++)
            {
                row[j] = (row[j - 1] * factor - before[j - 1]) / (factor - 1);
                factor *= Shrink * Shrink;
                double estimate = Math.Max(Math.Abs(row[j] - row[j - 1]), Math.Abs(row[j] - before[j - 1]));
                if (estimate <= error)
                    (error, best) = (estimate, row[j]);
            }
            if (Math.Abs(row[i] - before[i - 1]) >= 2 * error)
                break;
        }
        return best;
    }
}
