// Lbfgs.cs: the limited-memory quasi-Newton method for smooth functions and small networks on full batches. The search is managed
// control in double precision: the two-loop recursion and a line search for the strong Wolfe conditions (Nocedal and Wright 2006,
// algorithms 7.4, 3.5 and 3.6). What it asks for, value and gradient, is the caller's function or one native program.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A differentiable function.</summary>
/// <param name="x">Where.</param>
/// <param name="gradient">As long as <paramref name="x"/>; the function fills it.</param>
/// <returns>The value; infinity or NaN where the function has none.</returns>
public delegate double DifferentiableFunction(ReadOnlySpan<double> x, Span<double> gradient);

/// <summary>Why a minimization ended.</summary>
public enum LbfgsEnd
{
    /// <summary>The largest magnitude in the gradient is within the tolerance.</summary>
    Gradient,

    /// <summary>Steps or values change less than the tolerance.</summary>
    Change,

    /// <summary>As many iterations were done as are allowed.</summary>
    Iterations,

    /// <summary>No step along the direction makes the function smaller, steepest descent included: as good as its precision allows.</summary>
    LineSearch,
}

/// <summary>What a minimization did.</summary>
/// <param name="Value">The function's value at the end.</param>
/// <param name="Iterations">Directions searched along.</param>
/// <param name="Evaluations">How often value and gradient were asked for.</param>
/// <param name="End">Why it ended.</param>
public readonly record struct LbfgsResult(double Value, int Iterations, int Evaluations, LbfgsEnd End);

/// <summary>
/// L-BFGS (Liu and Nocedal 1989): minimizes a smooth function by its gradients, with an approximation of its curvature from the last few
/// steps. For problems whose whole data fit one batch and whose parameters number thousands rather than millions.
/// </summary>
public sealed record Lbfgs
{
    // Of the Wolfe conditions: sufficient decrease, and curvature.
    private const double Decrease = 1e-4;
    private const double Curvature = 0.9;

    /// <summary>Describes a minimization.</summary>
    /// <param name="maxIterations">Directions to search along at most, at least 1.</param>
    /// <param name="history">Steps that are remembered, at least 1.</param>
    /// <param name="gradientTolerance">Ends where no gradient is larger; finite, 0 or more.</param>
    /// <param name="changeTolerance">Ends where neither the step nor the value changes by more; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public Lbfgs(int maxIterations = 200, int history = 10, float gradientTolerance = 1e-7f, float changeTolerance = 1e-12f)
    {
        MaxIterations = Ensure.Positive(maxIterations, nameof(maxIterations));
        History = Ensure.Positive(history, nameof(history));
        GradientTolerance = Ensure.FiniteNotNegative(gradientTolerance, nameof(gradientTolerance));
        ChangeTolerance = Ensure.FiniteNotNegative(changeTolerance, nameof(changeTolerance));
    }

    /// <summary>Directions to search along at most.</summary>
    public int MaxIterations { get; }

    /// <summary>Steps that are remembered.</summary>
    public int History { get; }

    /// <summary>Ends where no gradient is larger.</summary>
    public float GradientTolerance { get; }

    /// <summary>Ends where neither the step nor the value changes by more.</summary>
    public float ChangeTolerance { get; }

    /// <summary>Minimizes a function.</summary>
    /// <param name="function">Value and gradient.</param>
    /// <param name="x">Where it begins; afterwards the best point found.</param>
    /// <param name="cancellationToken">Looked at between iterations; x is then the best point so far.</param>
    /// <exception cref="ArgumentNullException"><paramref name="function"/> is null.</exception>
    /// <exception cref="ArgumentException"><paramref name="x"/> is empty, or the function has no finite value or gradient there.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public LbfgsResult Minimize(DifferentiableFunction function, Span<double> x, CancellationToken cancellationToken = default)
    {
        Ensure.NotNull(function);
        if (x.IsEmpty)
            throw new ArgumentException("x is empty; a function has at least one argument.", nameof(x));
        return new Search(this, function, x.Length).Run(x, cancellationToken);
    }

    /// <summary>
    /// Trains a network on all of a data set at once. Frozen layers stay. Random layers keep one mask throughout, so that the loss is a
    /// function of the parameters alone.
    /// </summary>
    /// <param name="network">What is trained.</param>
    /// <param name="loss">What becomes small.</param>
    /// <param name="data">The data, as they come (<see cref="Network.Preprocessing"/> is applied).</param>
    /// <param name="cancellationToken">Looked at between iterations; the network then has the best parameters so far.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The data do not fit the network or the loss, or the loss is not finite where it begins.</exception>
    /// <exception cref="InvalidOperationException">Every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public LbfgsResult Fit(Network network, Loss loss, Dataset data, CancellationToken cancellationToken = default)
    {
        Ensure.NotNull(network);
        Ensure.NotNull(loss);
        network.ThrowIfDisposed();
        DataChecks.Fits(network, loss, Ensure.NotNull(data), nameof(data));
        if (!network.Graph.Segments.Any(s => network.Trains(s.Node)))
            throw new InvalidOperationException("Every layer with parameters is frozen: there is nothing to train.");
        network.Task = loss.Task;
        using var program = new FullBatchProgram(network, loss, data);
        var x = new double[network.Graph.Elements];
        program.ReadParameters(x);
        try
        {
            return Minimize(program.Evaluate, x, cancellationToken);
        }
        finally
        {
            program.WriteParameters(x);
        }
    }

    /// <summary>One minimization: all its memory is taken here.</summary>
    private sealed class Search(Lbfgs settings, DifferentiableFunction function, int length)
    {
        private readonly double[] _x = new double[length];
        private readonly double[] _gradient = new double[length];
        private readonly double[] _next = new double[length];
        private readonly double[] _nextGradient = new double[length];
        private readonly double[] _direction = new double[length];
        private readonly double[][] _steps = Rows(settings.History, length);
        private readonly double[][] _changes = Rows(settings.History, length);
        private readonly double[] _products = new double[settings.History];
        private readonly double[] _weights = new double[settings.History];
        private double _value;
        private int _kept;
        private int _newest = -1;
        private int _evaluations;

        public LbfgsResult Run(Span<double> x, CancellationToken cancellation)
        {
            x.CopyTo(_x);
            _value = Evaluate(_x, _gradient);
            if (!double.IsFinite(_value) || Array.Exists(_gradient, g => !double.IsFinite(g)))
                throw new ArgumentException($"The function is {_value} where it begins, or its gradient is not finite.", nameof(x));
            for (int iteration = 0; ; iteration++)
            {
                if (Largest(_gradient) <= settings.GradientTolerance)
                    return new(_value, iteration, _evaluations, LbfgsEnd.Gradient);
                if (iteration == settings.MaxIterations)
                    return new(_value, iteration, _evaluations, LbfgsEnd.Iterations);
                cancellation.ThrowIfCancellationRequested();

                Direction();
                double slope = Dot(_gradient, _direction);
                double before = _value;
                double step = slope < 0 ? Line(slope, _kept == 0 ? Math.Min(1.0, 1.0 / Norm1(_gradient)) : 1.0) : 0.0;
                if (step == 0.0)
                {
                    // Curvature that misleads is forgotten; along the gradient itself there is nothing left to forget.
                    if (_kept == 0)
                        return new(_value, iteration, _evaluations, LbfgsEnd.LineSearch);
                    _kept = 0;
                    continue;
                }
                Remember();
                _x.CopyTo(x);
                if (step * Largest(_direction) <= settings.ChangeTolerance || Math.Abs(before - _value) <= settings.ChangeTolerance * Math.Abs(before))
                    return new(_value, iteration + 1, _evaluations, LbfgsEnd.Change);
            }
        }

        // -H g by the two-loop recursion, H scaled by the newest step.
        private void Direction()
        {
            for (int i = 0; i < length; i++)
                _direction[i] = -_gradient[i];
            for (int age = 0; age < _kept; age++)
            {
                int i = Index(age);
                _weights[i] = Dot(_steps[i], _direction) / _products[i];
                Add(_direction, _changes[i], -_weights[i]);
            }
            if (_kept > 0)
            {
                double scale = _products[_newest] / Dot(_changes[_newest], _changes[_newest]);
                for (int i = 0; i < length; i++)
                    _direction[i] *= scale;
            }
            for (int age = _kept - 1; age >= 0; age--)
            {
                int i = Index(age);
                double weight = Dot(_changes[i], _direction) / _products[i];
                Add(_direction, _steps[i], _weights[i] - weight);
            }
        }

        private int Index(int age) => (_newest - age + settings.History) % settings.History;

        // The step from _x to _next and what it did to the gradient; then _next becomes _x.
        private void Remember()
        {
            int place = (_newest + 1) % settings.History;
            double[] step = _steps[place], change = _changes[place];
            for (int i = 0; i < length; i++)
            {
                step[i] = _next[i] - _x[i];
                change[i] = _nextGradient[i] - _gradient[i];
            }
            double product = Dot(step, change);
            // Without positive curvature the approximation would lose its own.
            if (product > 1e-10 * Dot(change, change))
            {
                _products[place] = product;
                _newest = place;
                _kept = Math.Min(_kept + 1, settings.History);
            }
            _next.CopyTo(_x, 0);
            _nextGradient.CopyTo(_gradient, 0);
        }

        // A step that satisfies the strong Wolfe conditions, at _next with its value and gradient; 0: none makes the value smaller.
        private double Line(double slope, double first)
        {
            double start = _value, best = 0.0, bestValue = start;
            (double At, double Value, double Slope) low = (0.0, start, slope), high = default;
            bool bracketed = false;
            double step = first;
            for (int tries = 0; tries < 30; tries++)
            {
                var (value, here) = Try(step);
                if (value < bestValue)
                    (best, bestValue) = (step, value);
                bool tooHigh = !double.IsFinite(value) || value > start + Decrease * step * slope || (tries > 0 && value >= low.Value);
                if (!tooHigh && Math.Abs(here) <= -Curvature * slope)
                {
                    _value = value;
                    return step;
                }
                if (!bracketed)
                {
                    if (tooHigh)
                    {
                        (high, bracketed) = ((step, value, here), true);
                    }
                    else if (here >= 0.0)
                    {
                        (high, low, bracketed) = (low, (step, value, here), true);
                    }
                    else
                    {
                        // Still falling: on, at most tenfold.
                        double next = Cubic(low, (step, value, here));
                        double farther = Math.Clamp(double.IsFinite(next) ? next : 2.0 * step, 1.5 * step, 10.0 * step);
                        low = (step, value, here);
                        step = farther;
                        continue;
                    }
                }
                else if (tooHigh)
                {
                    high = (step, value, here);
                }
                else
                {
                    if (here * (high.At - low.At) >= 0.0)
                        high = low;
                    low = (step, value, here);
                }
                double width = high.At - low.At;
                if (Math.Abs(width) <= 1e-16 * Math.Max(1.0, Math.Abs(low.At)))
                    break;
                double inner = double.IsFinite(high.Value) ? Cubic(low, high) : double.NaN;
                double near = low.At + 0.1 * width, far = high.At - 0.1 * width;
                step = inner >= Math.Min(near, far) && inner <= Math.Max(near, far) ? inner : low.At + 0.5 * width;
            }
            if (best == 0.0)
                return 0.0;
            // Not a Wolfe point, but a lower one.
            _value = Try(best).Value;
            return best;
        }

        // The minimum of the cubic through two values and slopes (Nocedal and Wright, 3.59); NaN where there is none.
        private static double Cubic((double At, double Value, double Slope) a, (double At, double Value, double Slope) b)
        {
            double d1 = a.Slope + b.Slope - 3.0 * (a.Value - b.Value) / (a.At - b.At);
            double square = d1 * d1 - a.Slope * b.Slope;
            if (!(square >= 0.0))
                return double.NaN;
            double d2 = Math.CopySign(Math.Sqrt(square), b.At - a.At);
            return b.At - (b.At - a.At) * (b.Slope + d2 - d1) / (b.Slope - a.Slope + 2.0 * d2);
        }

        private (double Value, double Slope) Try(double step)
        {
            for (int i = 0; i < length; i++)
                _next[i] = _x[i] + step * _direction[i];
            double value = Evaluate(_next, _nextGradient), slope = Dot(_nextGradient, _direction);
            return (double.IsFinite(slope) ? value : double.PositiveInfinity, slope);
        }

        private double Evaluate(double[] x, double[] gradient)
        {
            _evaluations++;
            return function(x, gradient);
        }

        private static double[][] Rows(int count, int length)
        {
            var rows = new double[count][];
            for (int i = 0; i < count; i++)
                rows[i] = new double[length];
            return rows;
        }

        private static double Dot(double[] a, double[] b)
        {
            double sum = 0.0;
            for (int i = 0; i < a.Length; i++)
                sum += a[i] * b[i];
            return sum;
        }

        private static void Add(double[] a, double[] b, double factor)
        {
            for (int i = 0; i < a.Length; i++)
                a[i] += factor * b[i];
        }

        private static double Largest(double[] a)
        {
            double largest = 0.0;
            foreach (double v in a)
                largest = Math.Max(largest, Math.Abs(v));
            return largest;
        }

        private static double Norm1(double[] a)
        {
            double sum = 0.0;
            foreach (double v in a)
                sum += Math.Abs(v);
            return sum;
        }
    }

    /// <summary>Loss and gradient of a network over a whole data set, as a function of its flat parameters.</summary>
    private sealed unsafe class FullBatchProgram : IDisposable
    {
        private readonly Network _network;
        private readonly Loss _loss;
        private readonly ResidentData _data;
        private readonly DeviceBuffer _gradients;
        private readonly NativeProgram _program;
        private readonly float[] _host;

        public FullBatchProgram(Network network, Loss loss, Dataset data)
        {
            _network = network;
            _loss = loss;
            _host = new float[network.Graph.Elements];
            _gradients = new DeviceBuffer(network.Device, network.Graph.Elements);
            _data = new ResidentData(network.Device, data, network.Preprocessing);
            using var recorder = new Recorder(network.Device, data.Count);
            var graph = new GraphRecorder(
                network.Graph, recorder, network.Parameters, _gradients,
                new RecordingPurpose
                {
                    Training = true,
                    Backward = true,
                    Trains = network.Trains,
                    State = network.State,
                    RandomStream = static node => RandomStreams.Dropout(node),
                },
                hpc_value_kind.HPC_VALUE_TEMPORARY);
            Value x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x", hpc_dtype.HPC_FLOAT32, _data.Features);
            Value target = _data.Labels
                ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32, _data.Targets)
                : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets", hpc_dtype.HPC_FLOAT32, _data.Targets);
            Value output = graph.Forward(x);
            Value gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "loss.gradient");
            loss.RecordForward(recorder, output, target);
            loss.RecordBackward(recorder, output, target, gradient);
            graph.Backward(gradient);
            _program = recorder.Finish();
        }

        public void ReadParameters(double[] x)
        {
            lock (_network.Gate)
            {
                _network.ThrowIfDisposed();
                _network.Parameters.Read<float>(_host);
            }
            for (int i = 0; i < x.Length; i++)
                x[i] = _host[i];
        }

        public void WriteParameters(ReadOnlySpan<double> x)
        {
            for (int i = 0; i < x.Length; i++)
                _host[i] = (float)x[i];
            lock (_network.Gate)
            {
                if (!_network.IsDisposed)
                    _network.Parameters.Write<float>(_host);
            }
        }

        public double Evaluate(ReadOnlySpan<double> x, Span<double> gradient)
        {
            for (int i = 0; i < x.Length; i++)
                _host[i] = (float)x[i];
            hpc_metrics metrics;
            lock (_network.Gate)
            {
                _network.ThrowIfDisposed();
                _network.Parameters.Write<float>(_host);
                _program.Run(_data.Rows, [], &metrics);
                _gradients.Read<float>(_host);
            }
            for (int i = 0; i < gradient.Length; i++)
                gradient[i] = _host[i];
            if (metrics.flags != 0)
                return double.PositiveInfinity;
            return _loss.Reduction == Reduction.Sum ? metrics.loss : metrics.loss / _data.Rows;
        }

        public void Dispose()
        {
            _program.Dispose();
            _data.Dispose();
            _gradients.Dispose();
        }
    }
}
