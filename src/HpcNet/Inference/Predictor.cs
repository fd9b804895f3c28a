// Predictor.cs: inference. A predictor is a snapshot of the parameters and two pools of programs over it, one for single rows
// and one for batches. Each concurrent caller rents a program of its own, so callers never wait for each other, and training
// the network meanwhile does not touch the snapshot.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Answers for a network as it was when this was made. Any number of threads may call it at once; after the first calls
/// nothing is allocated. The network's <see cref="Network.Preprocessing"/> is applied to what comes in. On the CPU a predictor keeps
/// the weights of dense layers twice: as they are, and in the order in which the built-in kernels stream them.
/// </summary>
public sealed class Predictor : IDisposable
{
    private readonly Network _network;
    private readonly NetworkSnapshot _snapshot;
    private readonly Standardizer? _preprocessing;
    private readonly string _reader;
    private readonly int _batchSize;
    private readonly ProgramPool _single;
    private readonly ProgramPool _batch;
    private int _disposed;

    internal Predictor(Network network, int batchSize)
    {
        _network = network;
        _batchSize = batchSize;
        _reader = DataChecks.Reader(network);
        _snapshot = new NetworkSnapshot(network);
        lock (network.Gate)
        {
            network.ThrowIfDisposed();
            _snapshot.Take(network);
            _preprocessing = network.Preprocessing;
            Task = network.Task;
            ClassNames = network.ClassNames;
        }
        _single = new ProgramPool(() => new PredictorProgram(_network, _snapshot, 1, Task));
        _batch = new ProgramPool(() => new PredictorProgram(_network, _snapshot, _batchSize, Task));
    }

    /// <summary>Columns of the input.</summary>
    public int Inputs => _network.Inputs;

    /// <summary>Columns of the output.</summary>
    public int Outputs => _network.Outputs;

    /// <summary>What the output means.</summary>
    public NetworkTask Task { get; }

    /// <summary>Names of the classes, one per output; null: none.</summary>
    public IReadOnlyList<string>? ClassNames { get; }

    /// <summary>
    /// Makes ready for concurrent callers what each of them needs of its own. Without it the first calls that coincide do so themselves:
    /// slower, and with some garbage.
    /// </summary>
    /// <param name="callers">How many calls will run at once, 1 to 64; more may, and make their own.</param>
    /// <param name="rows">Rows of such a call: 1, or any number for batches.</param>
    /// <exception cref="ArgumentOutOfRangeException">An argument is out of its range.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public void Prepare(int callers, int rows = 1)
    {
        if (callers is < 1 or > ProgramPool.MoreThanProcessors)
            throw new ArgumentOutOfRangeException(nameof(callers), callers, $"callers is {callers}; expected 1 to {ProgramPool.MoreThanProcessors}.");
        Ensure.Positive(rows, nameof(rows));
        ThrowIfDisposed();
        (rows == 1 ? _single : _batch).Fill(callers);
    }

    /// <summary>
    /// Answers for one row or many: probabilities for a classification (softmax of the logits) and for a multi-label one (sigmoid of
    /// each logit), the outputs themselves for a regression.
    /// </summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens.</param>
    /// <param name="y">Receives [rows × outputs].</param>
    /// <exception cref="ArgumentException">A span has another length; the message tells what was expected.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public void Predict(ReadOnlySpan<float> x, Span<float> y) => Run(x, y, logits: false);

    /// <summary>The outputs of the last layer as they are: the logits of a classification, multi-label or not.</summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens.</param>
    /// <param name="y">Receives [rows × outputs].</param>
    /// <exception cref="ArgumentException">A span has another length; the message tells what was expected.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public void PredictLogits(ReadOnlySpan<float> x, Span<float> y) => Run(x, y, logits: true);

    /// <summary>The class of one row: the place of the largest output.</summary>
    /// <param name="x">[inputs].</param>
    /// <exception cref="ArgumentException">The span has another length.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public int Classify(ReadOnlySpan<float> x)
    {
        int rows = Ensure.WholeRows(x.Length, Inputs, nameof(x), _reader);
        if (rows != 1)
            throw new ArgumentException($"x holds {rows} rows; expected one row of {Inputs} numbers.", nameof(x));
        int answer = 0;
        Classify(x, new Span<int>(ref answer));
        return answer;
    }

    /// <summary>The classes of many rows.</summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens.</param>
    /// <param name="classes">Receives [rows].</param>
    /// <exception cref="ArgumentException">A span has another length.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public void Classify(ReadOnlySpan<float> x, Span<int> classes)
    {
        if (x.IsEmpty && classes.IsEmpty)
        {
            ThrowIfDisposed();
            return;
        }
        int rows = Ensure.WholeRows(x.Length, Inputs, nameof(x), _reader);
        Ensure.Length(classes.Length, rows, nameof(classes), "one for each row");
        ThrowIfDisposed();
        CheckRows(x, rows);
        ProgramPool pool = rows == 1 ? _single : _batch;
        PredictorProgram program = pool.Rent();
        try
        {
            for (int start = 0; start < rows; start += program.Native.Capacity)
            {
                int count = Math.Min(program.Native.Capacity, rows - start);
                Span<float> logits = program.Answers(count);
                program.Run(_preprocessing, x.Slice(start * Inputs, count * Inputs), logits, logits: true);
                for (int i = 0; i < count; i++)
                    classes[start + i] = Numbers.ArgMax(logits.Slice(i * Outputs, Outputs));
            }
        }
        finally
        {
            pool.Return(program);
        }
    }

    /// <summary>
    /// Answers from OpenCL memory into OpenCL memory, without the host: the caller's <c>cl_mem</c> objects become the program's
    /// input and output.
    /// </summary>
    /// <param name="x">[capacity × inputs]; its size says how many rows fit.</param>
    /// <param name="y">[capacity × outputs], at least as many rows as <paramref name="x"/>.</param>
    /// <param name="logits">True: the outputs of the last layer as they are; false: probabilities for a classification.</param>
    /// <exception cref="ArgumentException">A memory is of another device, holds no whole rows, or is too small.</exception>
    /// <exception cref="InvalidOperationException">The network scales its input, which happens on the host, or computes nothing.</exception>
    /// <exception cref="ObjectDisposedException">The predictor was disposed.</exception>
    public BoundPredictor Bind(OpenClMemory x, OpenClMemory y, bool logits = false)
    {
        ArgumentNullException.ThrowIfNull(x);
        ArgumentNullException.ThrowIfNull(y);
        ThrowIfDisposed();
        if (_preprocessing is not null)
        {
            throw new InvalidOperationException(
                "The network's Preprocessing works on the host; memory of a device is taken as it is. Scale it yourself and set Preprocessing to null before the predictor is made.");
        }
        if (!ReferenceEquals(x.Device, _network.Device))
            throw new ArgumentException("x is memory of another device than the network's.", nameof(x));
        if (!ReferenceEquals(y.Device, _network.Device))
            throw new ArgumentException("y is memory of another device than the network's.", nameof(y));
        if (x.Elements % Inputs != 0 || x.Elements / Inputs > int.MaxValue)
            throw new ArgumentException($"x holds {x.Elements} numbers; expected whole rows of {Inputs}.", nameof(x));
        int capacity = (int)(x.Elements / Inputs);
        if (y.Elements < (long)capacity * Outputs)
        {
            throw new ArgumentException(
                $"y holds {y.Elements} numbers; expected at least {capacity} rows of {Outputs}, as many as x has.", nameof(y));
        }
        return new BoundPredictor(new PredictorProgram(
            _network, _snapshot, capacity, logits ? NetworkTask.Regression : Task, x.Buffer, y.Buffer));
    }

    /// <summary>Frees the snapshot. Calls that are under way on other threads finish.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;
        _single.Dispose();
        _batch.Dispose();
        _snapshot.Dispose();
    }

    private void Run(ReadOnlySpan<float> x, Span<float> y, bool logits)
    {
        if (x.IsEmpty && y.IsEmpty)
        {
            ThrowIfDisposed();
            return;
        }
        int rows = Ensure.WholeRows(x.Length, Inputs, nameof(x), _reader);
        Ensure.Matrix(y.Length, rows, Outputs, nameof(y));
        ThrowIfDisposed();
        CheckRows(x, rows);
        ProgramPool pool = rows == 1 ? _single : _batch;
        PredictorProgram program = pool.Rent();
        try
        {
            for (int start = 0; start < rows; start += program.Native.Capacity)
            {
                int count = Math.Min(program.Native.Capacity, rows - start);
                program.Run(_preprocessing, x.Slice(start * Inputs, count * Inputs), y.Slice(start * Outputs, count * Outputs), logits);
            }
        }
        finally
        {
            pool.Return(program);
        }
    }

    /// <summary>What a run over so many rows costs a device that has a queue; at most as many as a batch.</summary>
    internal RunCosts MeasureRun(int rows, int repetitions)
    {
        ThrowIfDisposed();
        ProgramPool pool = rows == 1 ? _single : _batch;
        PredictorProgram program = pool.Rent();
        try
        {
            return program.Native.Measure(rows, [], repetitions);
        }
        finally
        {
            pool.Return(program);
        }
    }

    private void CheckRows(ReadOnlySpan<float> x, int rows)
    {
        DataChecks.EnoughRows(_network, rows, _batchSize, training: false, nameof(x));
        if (_preprocessing is null)
            DataChecks.Indices(_network, x, nameof(x));
    }

    private void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(Volatile.Read(ref _disposed) != 0, this);
}

/// <summary>Forward on rows brought in, answers copied out.</summary>
internal sealed unsafe class PredictorProgram : IDisposable
{
    private readonly int _inputs;
    private readonly int _outputs;
    private readonly Value _x;
    private readonly Value _logits;
    private readonly Value _answer;
    private float[] _prepared = [];
    private float[] _answers = [];

    /// <param name="network">The network.</param>
    /// <param name="snapshot">What it had learned.</param>
    /// <param name="capacity">The most rows of a run.</param>
    /// <param name="task">Whether the answer is a probability.</param>
    /// <param name="input">Where the rows are; null: they are brought in.</param>
    /// <param name="output">Where the answer goes; null: it is copied out.</param>
    public PredictorProgram(
        Network network, NetworkSnapshot snapshot, int capacity, NetworkTask task, DeviceBuffer? input = null, DeviceBuffer? output = null)
    {
        bool probabilities = task != NetworkTask.Regression;
        _inputs = network.Inputs;
        _outputs = network.Outputs;
        using var recorder = new Recorder(network.Device, capacity);
        var graph = new GraphRecorder(
            network.Graph, recorder, snapshot.Parameters, null,
            new RecordingPurpose
            {
                Trains = static _ => false,
                ConstantParameters = true,
                State = snapshot.State,
                RandomStream = static _ => 0UL,
                Output = probabilities ? null : output,
            },
            hpc_value_kind.HPC_VALUE_OUTPUT);
        _x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, _inputs, "x", buffer: input);
        _logits = graph.Forward(_x);
        if (output is not null && !probabilities && _logits == _x)
            throw new InvalidOperationException("The network hands on its input as it is: it has nothing to write into y.");
        _answer = _logits;
        if (probabilities)
        {
            _answer = recorder.RowsValue(hpc_value_kind.HPC_VALUE_OUTPUT, _outputs, "probabilities", buffer: output);
            if (task == NetworkTask.Classification)
                recorder.Softmax(_logits, _answer);
            else
                recorder.ActivationForward((int)hpc_activation.HPC_ACTIVATION_SIGMOID, _logits, _answer, Value.None, 0f, 0f);
        }
        Native = recorder.Finish();
    }

    public NativeProgram Native { get; }

    /// <summary>Room for answers that the caller does not want to see.</summary>
    public Span<float> Answers(int rows)
    {
        if (_answers.Length == 0)
            _answers = new float[Native.Capacity * _outputs];
        return _answers.AsSpan(0, rows * _outputs);
    }

    public void Run(Standardizer? preprocessing, ReadOnlySpan<float> x, Span<float> y, bool logits)
    {
        if (preprocessing is not null)
            x = DataChecks.Prepare(preprocessing, x, ref _prepared);
        fixed (float* input = x)
        fixed (float* output = y)
        {
            Span<hpc_transfer> transfers =
            [
                NativeProgram.Transfer(_x, input, x.Length),
                NativeProgram.Transfer(logits ? _logits : _answer, output, y.Length),
            ];
            Native.RunWith(x.Length / _inputs, [], transfers, null);
        }
    }

    public void Dispose() => Native.Dispose();
}

/// <summary>
/// A predictor over OpenCL memory of the caller's, made by <see cref="Predictor.Bind"/>. One thread at a time may use it. It
/// outlives the predictor, whose snapshot it shares.
/// </summary>
public sealed unsafe class BoundPredictor : IDisposable
{
    private readonly PredictorProgram _program;

    internal BoundPredictor(PredictorProgram program) => _program = program;

    /// <summary>The most rows of a run.</summary>
    public int Capacity => _program.Native.Capacity;

    /// <summary>
    /// Enqueues the answer for the first rows and returns without waiting for it. On a device over a queue of the caller's it runs
    /// after what was enqueued there before, and before what is enqueued there later.
    /// </summary>
    /// <param name="rows">1 to <see cref="Capacity"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="rows"/> is outside its range.</exception>
    /// <exception cref="InvalidOperationException">Another thread is in this method.</exception>
    /// <exception cref="ObjectDisposedException">This was disposed.</exception>
    /// <exception cref="HpcNetException">The device failed.</exception>
    public void Run(int rows)
    {
        if (rows < 1 || rows > Capacity)
            throw new ArgumentOutOfRangeException(nameof(rows), rows, $"rows is {rows}; expected 1 to {Capacity}, the rows that the memory holds.");
        _program.Native.Run(rows, [], null);
    }

    /// <summary>Frees the program and its share of the memory.</summary>
    public void Dispose() => _program.Dispose();
}

/// <summary>Programs to be rented by one caller at a time. A fixed array of cells, exchanged atomically: no lock, no garbage.</summary>
internal sealed class ProgramPool(Func<PredictorProgram> make) : IDisposable
{
    // A server's threads are more than its processors, and one that is interrupted keeps its program meanwhile. What does not fit would
    // be made anew at each call.
    public const int MoreThanProcessors = 64;

    private readonly PredictorProgram?[] _cells = new PredictorProgram?[2 * Environment.ProcessorCount + MoreThanProcessors];
    private volatile bool _disposed;

    public void Fill(int count)
    {
        var programs = new PredictorProgram[count];
        for (int i = 0; i < count; i++)
            programs[i] = Rent();
        foreach (PredictorProgram program in programs)
            Return(program);
    }

    public PredictorProgram Rent()
    {
        for (int i = 0; i < _cells.Length; i++)
        {
            if (Volatile.Read(ref _cells[i]) is not null && Interlocked.Exchange(ref _cells[i], null) is { } program)
                return program;
        }
        return make();
    }

    public void Return(PredictorProgram program)
    {
        for (int i = 0; !_disposed && i < _cells.Length; i++)
        {
            if (Interlocked.CompareExchange(ref _cells[i], program, null) is not null)
                continue;
            // Dispose may have passed this cell already.
            if (_disposed)
                Interlocked.Exchange(ref _cells[i], null)?.Dispose();
            return;
        }
        program.Dispose();
    }

    public void Dispose()
    {
        _disposed = true;
        for (int i = 0; i < _cells.Length; i++)
            Interlocked.Exchange(ref _cells[i], null)?.Dispose();
    }
}
