// Real.cs: a number of a function that is differentiated. It is computed like a double and writes its derivative on the tape of the
// evaluation; a constant has no tape. To add a function: its value and its derivative in one line below.

using System.Globalization;

namespace HpcNet;

/// <summary>
/// A scalar in double precision that remembers how it was computed, so that <see cref="Gradient.Of(Func{Real, Real})"/> can
/// differentiate it. Operators and functions are those of <see cref="double"/>; doubles convert to constants by themselves. A value
/// belongs to the evaluation that it arose in.
/// </summary>
public readonly struct Real
{
    internal Real(double value, Tape? tape, int index)
    {
        Value = value;
        Tape = tape;
        Index = index;
        Generation = tape?.Generation ?? 0;
    }

    /// <summary>The number. Taking it out of the computation makes it a constant, whose derivative is 0.</summary>
    public double Value { get; }

    internal Tape? Tape { get; }

    internal int Index { get; }

    internal int Generation { get; }

    /// <summary>A constant.</summary>
    public static implicit operator Real(double value) => new(value, null, 0);

    /// <summary>a + b.</summary>
    public static Real operator +(Real a, Real b) => Make(a.Value + b.Value, a, 1, b, 1);

    /// <summary>a − b.</summary>
    public static Real operator -(Real a, Real b) => Make(a.Value - b.Value, a, 1, b, -1);

    /// <summary>a · b.</summary>
    public static Real operator *(Real a, Real b) => Make(a.Value * b.Value, a, b.Value, b, a.Value);

    /// <summary>a / b.</summary>
    public static Real operator /(Real a, Real b) => Make(a.Value / b.Value, a, 1 / b.Value, b, -a.Value / (b.Value * b.Value));

    /// <summary>−a.</summary>
    public static Real operator -(Real a) => Make(-a.Value, a, -1);

    /// <summary>Compares the numbers.</summary>
    public static bool operator <(Real a, Real b) => a.Value < b.Value;

    /// <summary>Compares the numbers.</summary>
    public static bool operator >(Real a, Real b) => a.Value > b.Value;

    /// <summary>Compares the numbers.</summary>
    public static bool operator <=(Real a, Real b) => a.Value <= b.Value;

    /// <summary>Compares the numbers.</summary>
    public static bool operator >=(Real a, Real b) => a.Value >= b.Value;

    /// <summary>e^x.</summary>
    public static Real Exp(Real x)
    {
        double value = Math.Exp(x.Value);
        return Make(value, x, value);
    }

    /// <summary>e^x − 1, exact for small x.</summary>
    public static Real ExpM1(Real x) => Make(double.ExpM1(x.Value), x, Math.Exp(x.Value));

    /// <summary>The natural logarithm.</summary>
    public static Real Log(Real x) => Make(Math.Log(x.Value), x, 1 / x.Value);

    /// <summary>ln(1 + x), exact for small x.</summary>
    public static Real LogP1(Real x) => Make(double.LogP1(x.Value), x, 1 / (1 + x.Value));

    /// <summary>The logarithm of base 2.</summary>
    public static Real Log2(Real x) => Make(Math.Log2(x.Value), x, 1 / (x.Value * Math.Log(2)));

    /// <summary>The logarithm of base 10.</summary>
    public static Real Log10(Real x) => Make(Math.Log10(x.Value), x, 1 / (x.Value * Math.Log(10)));

    /// <summary>√x; the derivative at 0 is infinite.</summary>
    public static Real Sqrt(Real x)
    {
        double value = Math.Sqrt(x.Value);
        return Make(value, x, 0.5 / value);
    }

    /// <summary>The cube root.</summary>
    public static Real Cbrt(Real x)
    {
        double value = Math.Cbrt(x.Value);
        return Make(value, x, 1 / (3 * value * value));
    }

    /// <summary>√(x² + y²); the derivative at (0, 0), where there is none, is 0.</summary>
    public static Real Hypot(Real x, Real y)
    {
        double value = double.Hypot(x.Value, y.Value);
        return Make(value, x, value == 0 ? 0 : x.Value / value, y, value == 0 ? 0 : y.Value / value);
    }

    /// <summary>x to a whole power.</summary>
    public static Real Pow(Real x, int exponent) =>
        Make(Math.Pow(x.Value, exponent), x, exponent == 0 ? 0 : exponent * Math.Pow(x.Value, exponent - 1.0));

    /// <summary>x^y. The derivative by y is x^y ln x, and 0 for x = 0 and y above 0.</summary>
    public static Real Pow(Real x, Real y)
    {
        double value = Math.Pow(x.Value, y.Value);
        double byX = y.Value == 0 ? 0 : y.Value * Math.Pow(x.Value, y.Value - 1);
        double byY = y.Tape is null || (x.Value == 0 && y.Value > 0) ? 0 : value * Math.Log(x.Value);
        return Make(value, x, byX, y, byY);
    }

    /// <summary>The sine of an angle in radians.</summary>
    public static Real Sin(Real x) => Make(Math.Sin(x.Value), x, Math.Cos(x.Value));

    /// <summary>The cosine of an angle in radians.</summary>
    public static Real Cos(Real x) => Make(Math.Cos(x.Value), x, -Math.Sin(x.Value));

    /// <summary>The tangent of an angle in radians.</summary>
    public static Real Tan(Real x)
    {
        double value = Math.Tan(x.Value);
        return Make(value, x, 1 + value * value);
    }

    /// <summary>The angle, in radians, whose sine is x.</summary>
    public static Real Asin(Real x) => Make(Math.Asin(x.Value), x, 1 / Math.Sqrt((1 - x.Value) * (1 + x.Value)));

    /// <summary>The angle, in radians, whose cosine is x.</summary>
    public static Real Acos(Real x) => Make(Math.Acos(x.Value), x, -1 / Math.Sqrt((1 - x.Value) * (1 + x.Value)));

    /// <summary>The angle, in radians, whose tangent is x.</summary>
    public static Real Atan(Real x) => Make(Math.Atan(x.Value), x, 1 / (1 + x.Value * x.Value));

    /// <summary>The angle, in radians, of the point (x, y).</summary>
    public static Real Atan2(Real y, Real x)
    {
        double square = x.Value * x.Value + y.Value * y.Value;
        return Make(Math.Atan2(y.Value, x.Value), y, x.Value / square, x, -y.Value / square);
    }

    /// <summary>The hyperbolic sine.</summary>
    public static Real Sinh(Real x) => Make(Math.Sinh(x.Value), x, Math.Cosh(x.Value));

    /// <summary>The hyperbolic cosine.</summary>
    public static Real Cosh(Real x) => Make(Math.Cosh(x.Value), x, Math.Sinh(x.Value));

    /// <summary>The hyperbolic tangent.</summary>
    public static Real Tanh(Real x)
    {
        double value = Math.Tanh(x.Value);
        return Make(value, x, (1 - value) * (1 + value));
    }

    /// <summary>1 / (1 + e^−x).</summary>
    public static Real Sigmoid(Real x)
    {
        double small = Math.Exp(-Math.Abs(x.Value));
        double value = (x.Value >= 0 ? 1 : small) / (1 + small);
        return Make(value, x, small / ((1 + small) * (1 + small)));
    }

    /// <summary>|x|; the derivative at 0, where there is none, is 0.</summary>
    public static Real Abs(Real x) => Make(Math.Abs(x.Value), x, double.IsNaN(x.Value) ? double.NaN : Math.Sign(x.Value));

    /// <summary>The larger of two; of equal ones, the first.</summary>
    public static Real Max(Real a, Real b) => double.IsNaN(a.Value) || a.Value >= b.Value ? a : b;

    /// <summary>The smaller of two; of equal ones, the first.</summary>
    public static Real Min(Real a, Real b) => double.IsNaN(a.Value) || a.Value <= b.Value ? a : b;

    /// <summary>The number as text, independent of the culture.</summary>
    public override string ToString() => Value.ToString(CultureInfo.InvariantCulture);

    private static Real Make(double value, Real a, double partial) => a.Tape?.Node(value, a, partial) ?? value;

    private static Real Make(double value, Real a, double byA, Real b, double byB)
    {
        if ((a.Tape ?? b.Tape) is not { } tape)
            return value;
        tape.Edge(a, byA);
        tape.Edge(b, byB);
        return tape.Close(value);
    }
}
