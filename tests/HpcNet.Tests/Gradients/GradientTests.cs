// GradientTests.cs: reverse-mode derivatives against known ones and against differences, in double precision.

namespace HpcNet.Tests;

public sealed class GradientTests
{
    /// <summary>Functions with their derivatives and places where they are smooth.</summary>
    private static readonly Dictionary<string, (Func<Real, Real> F, Func<double, double> Derivative, double[] Places)> Rows = new()
    {
        ["x + 3"] = (x => x + 3, _ => 1, [-2, 0, 5]),
        ["3 - x"] = (x => 3 - x, _ => -1, [-2, 0, 5]),
        ["x x"] = (x => x * x, x => 2 * x, [-2, 0, 5]),
        ["1 / x"] = (x => 1 / x, x => -1 / (x * x), [-2, 0.1, 5]),
        ["x / (x + 2)"] = (x => x / (x + 2), x => 2 / ((x + 2) * (x + 2)), [-1, 0, 5]),
        ["-x"] = (x => -x, _ => -1, [1]),
        ["Exp"] = (Real.Exp, Math.Exp, [-3, 0, 2]),
        ["ExpM1"] = (Real.ExpM1, Math.Exp, [-3, 1e-9, 2]),
        ["Log"] = (Real.Log, x => 1 / x, [0.1, 1, 7]),
        ["LogP1"] = (Real.LogP1, x => 1 / (1 + x), [-0.5, 1e-9, 7]),
        ["Log2"] = (Real.Log2, x => 1 / (x * Math.Log(2)), [0.1, 8]),
        ["Log10"] = (Real.Log10, x => 1 / (x * Math.Log(10)), [0.1, 1000]),
        ["Sqrt"] = (Real.Sqrt, x => 0.5 / Math.Sqrt(x), [0.01, 4]),
        ["Cbrt"] = (Real.Cbrt, x => 1 / (3 * Math.Pow(Math.Cbrt(x), 2)), [-8, 0.1, 27]),
        ["Hypot"] = (x => Real.Hypot(x, 3), x => x / double.Hypot(x, 3), [-4, 0, 4]),
        ["Pow 3"] = (x => Real.Pow(x, 3), x => 3 * x * x, [-2, 0, 2]),
        ["Pow -2"] = (x => Real.Pow(x, -2), x => -2 / (x * x * x), [-2, 3]),
        ["Pow 0"] = (x => Real.Pow(x, 0), _ => 0, [0, 3]),
        ["Pow 2.5"] = (x => Real.Pow(x, 2.5), x => 2.5 * Math.Pow(x, 1.5), [0, 2]),
        ["2^x"] = (x => Real.Pow(2, x), x => Math.Pow(2, x) * Math.Log(2), [-1, 3]),
        ["x^x"] = (x => Real.Pow(x, x), x => Math.Pow(x, x) * (Math.Log(x) + 1), [0.5, 2]),
        ["Sin"] = (Real.Sin, Math.Cos, [-1, 0, 2]),
        ["Cos"] = (Real.Cos, x => -Math.Sin(x), [-1, 0, 2]),
        ["Tan"] = (Real.Tan, x => 1 / Math.Pow(Math.Cos(x), 2), [-1, 0, 1.2]),
        ["Asin"] = (Real.Asin, x => 1 / Math.Sqrt(1 - x * x), [-0.9, 0, 0.5]),
        ["Acos"] = (Real.Acos, x => -1 / Math.Sqrt(1 - x * x), [-0.9, 0, 0.5]),
        ["Atan"] = (Real.Atan, x => 1 / (1 + x * x), [-9, 0, 0.5]),
        ["Atan2"] = (x => Real.Atan2(x, 2), x => 2 / (x * x + 4), [-9, 0, 0.5]),
        ["Sinh"] = (Real.Sinh, Math.Cosh, [-2, 0, 1]),
        ["Cosh"] = (Real.Cosh, Math.Sinh, [-2, 0, 1]),
        ["Tanh"] = (Real.Tanh, x => 1 / Math.Pow(Math.Cosh(x), 2), [-2, 0, 1]),
        ["Sigmoid"] = (Real.Sigmoid, x => 1 / (Math.Exp(x) + 2 + Math.Exp(-x)), [-30, 0, 2]),
        ["Abs"] = (Real.Abs, x => Math.Sign(x), [-2, 3]),
        ["Max"] = (x => Real.Max(x, 1), x => x > 1 ? 1 : 0, [0, 2]),
        ["Min"] = (x => Real.Min(2 * x, 1), x => 2 * x < 1 ? 2 : 0, [0, 2]),
        ["chain"] = (x => Real.Sin(Real.Exp(-(x * x)) / (1 + x * x)), Chain, [-1, 0.3, 2]),
    };

    public static TheoryData<string> Names() => [.. Rows.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Derivatives_are_exact_and_agree_with_differences(string name)
    {
        var (f, derivative, places) = Rows[name];
        Func<double, double> gradient = Gradient.Of(f);
        foreach (double x in places)
        {
            Near(derivative(x), gradient(x), 1e-13);
            Assert.Equal(gradient(x), Gradient.At(f, x).Derivative);
            Assert.Equal(f(x).Value, Gradient.At(f, x).Value);
            if (name == "Pow 2.5" && x == 0)
                continue;
            Near(derivative(x), Gradient.Numerical(v => f(v).Value, x, DifferenceMethod.Central, 1e-5), 1e-6);
        }
    }

    [Fact]
    public void Vectors_have_gradients()
    {
        double[] a = [0.3, -1.2, 2.5], b = [1, 2, -0.5];
        (Func<RealVector, Real> F, double[] Expected)[] rows =
        [
            (v => v.Sum(), [1, 1, 1]),
            (v => v.Mean(), [1 / 3.0, 1 / 3.0, 1 / 3.0]),
            (v => v.Dot(b), b),
            (v => v.Dot(v), [.. a.Select(x => 2 * x)]),
            (v => v.Norm(), [.. a.Select(x => x / Math.Sqrt(a.Sum(y => y * y)))]),
            (v => (v * v - v / b).Sum(), [.. a.Select((x, i) => 2 * x - 1 / b[i])]),
            (v => ((v + b) * 3 - 2 * v).Sum(), [1, 1, 1]),
            (v => (-v / 2 + 1 - 0.5).Sum(), [-0.5, -0.5, -0.5]),
            (v => v.Map(Real.Tanh).Sum(), [.. a.Select(x => 1 / Math.Pow(Math.Cosh(x), 2))]),
            (v => v[2] * v[0], [a[2], 0, a[0]]),
            (v => v.Slice(1, 2).Sum(), [0, 1, 1]),
            (v => new RealVector(v[1], 4, v[0]).Dot(b), [b[2], b[0], 0]),
            (v => v[0], [1, 0, 0]),
            (_ => 7, [0, 0, 0]),
        ];
        foreach (var (f, expected) in rows)
        {
            double[] gradient = Gradient.Of(f)(a);
            double[] numerical = Gradient.Numerical(x => f(x).Value, a);
            for (int i = 0; i < a.Length; i++)
            {
                Near(expected[i], gradient[i], 1e-13);
                Near(expected[i], numerical[i], 1e-9);
            }
        }
    }

    [Fact]
    public void Norms_survive_what_their_squares_do_not()
    {
        Assert.Equal(5e200, new RealVector(3e200, 4e200).Norm().Value, 1e188);
        Assert.Equal([0.6, 0.8], Gradient.Of(v => v.Norm())([3e-200, 4e-200]), (x, y) => Math.Abs(x - y) < 1e-12);
        Assert.Equal([0, 0], Gradient.Of(v => v.Norm())([0, 0]));
    }

    [Fact]
    public void What_does_not_reach_the_result_does_not_matter()
    {
        // The root's derivative at 0 is infinite, but nothing comes of it.
        Assert.Equal(1, Gradient.Of(x =>
        {
            _ = Real.Sqrt(x);
            return x;
        })(0));
        Assert.Equal(0, Gradient.Of(x => 0 * Real.Exp(x) + 2)(1));
        Assert.Equal(double.PositiveInfinity, Gradient.Of(Real.Sqrt)(0));
        Assert.True(double.IsNaN(Gradient.Of(Real.Log)(double.NaN)));
    }

    [Fact]
    public void Functions_may_differentiate_other_functions()
    {
        // The inner one is differentiated at a number: for the outer one it is a constant.
        Func<double, double> slope = Gradient.Of(x => x * Gradient.Of(y => Real.Sin(y))(1));
        Assert.Equal(Math.Cos(1), slope(5), 1e-15);
    }

    [Fact]
    public void Numbers_of_other_evaluations_are_refused()
    {
        Real kept = 0;
        Gradient.Of(x => kept = x * x)(2);
        Assert.Contains("another evaluation", Assert.Throws<InvalidOperationException>(() => Gradient.Of(x => x * kept)(1)).Message);
        Assert.Contains("another evaluation", Assert.Throws<InvalidOperationException>(() => Gradient.Of((Real _) => kept)(1)).Message);
        // What went wrong leaves nothing behind.
        Assert.Equal(4, Gradient.Of(x => x * x)(2));
    }

    [Fact]
    public void Threads_do_not_meet()
    {
        Func<double[], double[]> gradient = Gradient.Of(v => (v * v * v).Sum());
        Parallel.For(0, 200, i => Assert.Equal(3.0 * i * i, gradient([i, 1])[0]));
    }

    [Theory]
    [InlineData(DifferenceMethod.Central, 2e-10)]
    [InlineData(DifferenceMethod.Richardson, 5e-13)]
    public void Differences_are_as_good_as_they_say(DifferenceMethod method, double relative)
    {
        (Func<double, double> F, Func<double, double> Derivative)[] rows =
        [
            (Math.Sin, Math.Cos), (Math.Exp, Math.Exp), (x => x * x * x, x => 3 * x * x), (Math.Atan, x => 1 / (1 + x * x)),
        ];
        foreach (var (f, derivative) in rows)
        {
            foreach (double x in new[] { -2.0, -0.1, 0.5, 1, 3 })
            {
                double found = Gradient.Numerical(f, x, out double error, method);
                double wrong = Math.Abs(found - derivative(x));
                Assert.True(wrong <= relative * Math.Max(1, Math.Abs(f(x)) + Math.Abs(derivative(x))), $"{method} at {x}: {wrong:E2}");
                Assert.True(wrong <= 20 * error + 1e-14, $"{method} at {x}: wrong by {wrong:E2}, said {error:E2}");
            }
        }
        // Large arguments need large steps, and get them.
        Assert.Equal(2e8, Gradient.Numerical(x => x * x, 1e8, method), 1);
    }

    [Fact]
    public void Descent_and_ascent_find_the_ends_of_a_cubic()
    {
        static Real F(Real x) => 5 * Real.Pow(x, 3) + 2 * Real.Pow(x, 2) - 3 * x;
        DescentResult top = new GradientDescent(0.05).Maximize(F, 0), bottom = new GradientDescent(0.05, momentum: 0.5).Minimize(F, 0);
        Assert.Equal(-0.6, top.Point[0], 1e-9);
        Assert.Equal(1.44, top.Value, 1e-12);
        Assert.Equal(1 / 3.0, bottom.Point[0], 1e-9);
        Assert.True(top.Converged && bottom.Converged);
        Assert.Equal(top.Steps + 1, top.Path.Count);
        Assert.Equal([0.0], top.Path[0]);
        DescentResult short_ = new GradientDescent(0.05, steps: 2).Minimize(F, 0);
        Assert.False(short_.Converged);
        Assert.Equal(2, short_.Steps);
        DescentResult own = new GradientDescent(0.1).Minimize(
            (x, gradient) =>
            {
                gradient[0] = 2 * (x[0] - 4);
                return (x[0] - 4) * (x[0] - 4);
            },
            [0.0]);
        Assert.Equal(4, own.Point[0], 1e-8);
    }

    [Fact]
    public void Divergence_is_told()
    {
        Exception thrown = Assert.Throws<ArithmeticException>(() => new GradientDescent(10).Minimize(x => x * x, 1));
        Assert.Contains("smaller learning rate", thrown.Message);
        Assert.Throws<ArithmeticException>(
            () => new ParameterFit(100, 400).Fit((p, x) => p[0] * x, [1.0, 2], [1.0, 2], [0.0]));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(int.MaxValue)]
    public void Parameters_are_found_online_and_in_batches(int batch)
    {
        double[] x = [.. Enumerable.Range(-20, 41).Select(i => i / 10.0)];
        double[] y = [.. x.Select(v => 3 * v - 1)];
        ParameterFitResult fit = new ParameterFit(0.1, 200, batch) { Seed = 3 }.Fit((p, v) => p[0] * v + p[1], x, y, [0, 0]);
        Assert.Equal(3, fit.Parameters[0], 1e-6);
        Assert.Equal(-1, fit.Parameters[1], 1e-6);
        Assert.Equal(200, fit.Losses.Count);
        Assert.True(fit.Losses[^1] < 1e-12);
        ParameterFitResult bySample = new ParameterFit(0.1, 200, batch) { Seed = 3 }.Fit((p, i) => p[0] * x[i] + p[1], y, [0, 0]);
        Assert.Equal(fit.Parameters, bySample.Parameters);
    }

    private static double Chain(double x)
    {
        double e = Math.Exp(-(x * x)), q = 1 + x * x;
        return Math.Cos(e / q) * (-2 * x * e / q - e * 2 * x / (q * q));
    }

    private static void Near(double expected, double actual, double tolerance) => Assert.True(
        Math.Abs(expected - actual) <= tolerance * Math.Max(1, Math.Abs(expected)), $"expected {expected:R}, got {actual:R}");
}
