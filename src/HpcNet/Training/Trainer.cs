// Trainer.cs: trains a network. Fit keeps the data on the device, shuffles per epoch and makes each step one P/Invoke
// (hpc_program_run); Step takes one batch from spans, also in one (hpc_program_run_with). Neither allocates anything per step
// after the first ones. Metrics stay on the device and are fetched at the end of an epoch and for progress reports.

using System.Diagnostics;
using System.Numerics;
using HpcNet.Interop;

namespace HpcNet;

/// <summary>
/// Trains a <see cref="Network"/> with a loss and an optimizer. One thread at a time may train with a trainer; a second one gets
/// an <see cref="InvalidOperationException"/>. The optimizer's state lives as long as the trainer: several fits continue.
/// </summary>
public sealed unsafe class Trainer : IDisposable
{
    private static readonly long ReportTicks = Stopwatch.Frequency / 10;

    private readonly OptimizerState _state;
    private readonly ScheduleState? _scheduleState;
    private readonly float _ownMomentum;
    private TrainingProgram? _stepProgram;
    private FitSession? _fit;
    private float[] _prepared = [];
    private float[] _teacher = [];
    private NetworkSnapshot? _snapshot;
    private float[] _piece = [];
    private long _steps;
    private long _ruleSteps;
    private long _randomSteps;
    private long _epochs;
    private int _enqueued;
    private double _enqueuedLoss;
    private double _enqueuedWeight;
    private int _busy;
    private bool _disposed;

    /// <summary>Makes a trainer. The network learns from the loss what its output means (<see cref="Network.Task"/>).</summary>
    /// <param name="network">What is trained; it stays the caller's.</param>
    /// <param name="loss">What training makes small.</param>
    /// <param name="optimizer">How gradients change parameters.</param>
    /// <exception cref="ArgumentNullException">An argument is null.</exception>
    /// <exception cref="ArgumentException">The loss has weights for another number of outputs.</exception>
    /// <exception cref="ObjectDisposedException">The network was disposed.</exception>
    public Trainer(Network network, Loss loss, Optimizer optimizer)
    {
        Network = Ensure.NotNull(network);
        Loss = Ensure.NotNull(loss);
        Optimizer = Ensure.NotNull(optimizer);
        network.ThrowIfDisposed();
        loss.CheckOutputs(network.Outputs, nameof(loss));
        _state = new OptimizerState(network, optimizer);
        network.Task = loss.Task;
    }

    /// <summary>What is trained.</summary>
    public Network Network { get; }

    /// <summary>What training makes small.</summary>
    public Loss Loss { get; }

    /// <summary>How gradients change parameters.</summary>
    public Optimizer Optimizer { get; }

    /// <summary>
    /// How the learning rate (and for some schedules the momentum) moves over the trainer's steps; null: it does not.
    /// <see cref="Fit"/> tells a schedule that waits for a plateau the validation loss of each epoch, without validation data the
    /// training loss; with <c>Step</c>, <see cref="ReportMetric"/> does.
    /// </summary>
    /// <exception cref="ArgumentException">The schedule moves a momentum that the optimizer does not have.</exception>
    public Schedule? Schedule
    {
        get;
        init
        {
            if (value is { MovesMomentum: true } && Optimizer.MomentumIndex < 0)
            {
                throw new ArgumentException(
                    $"Schedule is {value}, which moves the momentum; {Optimizer} has none. Give it one, or leave the momentum alone.",
                    nameof(Schedule));
            }
            field = value;
            _scheduleState = value?.Begin();
            _ownMomentum = value is { MovesMomentum: true } ? Optimizer.Hyperparameters()[Optimizer.MomentumIndex] : 0f;
        }
    }

    /// <summary>When a fit stops early; null: never, and the last parameters stay.</summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>The seed of shuffling, dropout and augmentation.</summary>
    public ulong Seed { get; init; }

    /// <summary>
    /// How <see cref="Fit"/> changes the training rows, anew in each epoch; null: not at all. Validation data stay as they are.
    /// </summary>
    /// <exception cref="ArgumentException">A layer of the network looks up indices.</exception>
    public Augmentation? Augmentation
    {
        get;
        init
        {
            if (value is not null)
                DataChecks.Continuous(Network, nameof(Augmentation), nameof(Augmentation));
            field = value;
        }
    }

    /// <summary>Whether steps are made on adversarial examples; null: they are not. Indices that layers look up stay as they are.</summary>
    /// <exception cref="ArgumentException">Every column of the input is an index that a layer looks up.</exception>
    public AdversarialTraining? AdversarialTraining
    {
        get;
        init
        {
            if (value is not null && DataChecks.OnlyIndices(Network) is { } layer)
                throw new ArgumentException($"AdversarialTraining moves the input along its gradient; {layer} looks up indices, which have none.", nameof(AdversarialTraining));
            field = value;
        }
    }

    /// <summary>
    /// Whether the network learns from a teacher as well; null: it does not. In <see cref="Fit"/> the teacher is asked once about the
    /// rows of the data set as they are, without augmentation. A training step is an <see cref="InvalidOperationException"/> where one of
    /// its answers is not finite.
    /// </summary>
    /// <exception cref="ArgumentException">The teacher has other inputs or outputs than the network, or the loss knows no classes.</exception>
    public Distillation? Distillation
    {
        get;
        init
        {
            if (value is { Teacher: { } teacher })
            {
                if (teacher.Inputs != Network.Inputs || teacher.Outputs != Network.Outputs)
                {
                    throw new ArgumentException(
                        $"The teacher has {teacher.Inputs} inputs and {teacher.Outputs} outputs; the network has {Network.Inputs} and {Network.Outputs}.",
                        nameof(Distillation));
                }
                if (Loss.Task != NetworkTask.Classification)
                    throw new ArgumentException($"Distillation works on logits of classes; {Loss.Name} has none.", nameof(Distillation));
            }
            field = value;
        }
    }

    /// <summary>Steps done by this trainer.</summary>
    public long Steps => _steps;

    /// <summary>The learning rate of the next step.</summary>
    /// <exception cref="InvalidOperationException">A custom schedule gave no meaningful factor.</exception>
    public float LearningRate => _scheduleState is null ? Optimizer.LearningRate : (float)(Optimizer.LearningRate * _scheduleState.Factor(_steps));

    /// <summary>The momentum (β₁ of Adam and its kin) of the next step; null where the rule has none.</summary>
    public float? Momentum => Optimizer.MomentumIndex < 0 ? null
        : MovesMomentum ? MomentumOfStep : Optimizer.Hyperparameters()[Optimizer.MomentumIndex];

    private bool MovesMomentum => Schedule is { MovesMomentum: true };

    // Where a schedule moves it at some steps only, it is the optimizer's own at the others.
    private float MomentumOfStep => MovesMomentum ? _scheduleState!.Momentum(_steps) ?? _ownMomentum : 0f;

    /// <summary>
    /// Tells a schedule that waits for a plateau how training goes: once per epoch, or whatever its patience is counted in. Other
    /// schedules do not care. <see cref="Fit"/> does this by itself.
    /// </summary>
    /// <param name="value">The watched number, most often the validation loss.</param>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public void ReportMetric(double value)
    {
        Enter();
        _scheduleState?.Report(value, _steps);
        Leave();
    }

    /// <summary>Reads the average of a parameter, which <see cref="AveragedSgd"/> keeps.</summary>
    /// <param name="name">For example <c>dense1.weight</c>.</param>
    /// <param name="values">As many elements as the parameter has, in the order of <see cref="Network.GetParameter"/>.</param>
    /// <exception cref="ArgumentException">There is no such parameter, or the span has another length.</exception>
    /// <exception cref="InvalidOperationException">The optimizer keeps no averages, no step was done yet, the parameter's layer is frozen,
    /// or the trainer is working on another thread.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public void ReadAverage(string name, Span<float> values)
    {
        ParameterSegment segment = Network.Segment(name, values.Length, nameof(values));
        Enter();
        try
        {
            CheckAverages();
            if (!Network.Trains(segment.Node))
                throw new InvalidOperationException($"The layer of '{segment.Name}' is frozen: it has no average.");
            _state.Moments[0].Read(values, segment.Offset);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>
    /// Gives the network the averages of its parameters, which <see cref="AveragedSgd"/> keeps, in exchange for the parameters: a second
    /// call gives those back. Frozen layers stay as they are.
    /// </summary>
    /// <exception cref="InvalidOperationException">The optimizer keeps no averages, no step was done yet, or the trainer is working on
    /// another thread.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public void AdoptAverages()
    {
        Enter();
        try
        {
            CheckAverages();
            lock (Network.Gate)
            {
                Network.ThrowIfDisposed();
                foreach (ParameterSegment segment in Network.Graph.Segments.Where(s => Network.Trains(s.Node)))
                {
                    var parameters = new float[segment.Length];
                    var averages = new float[segment.Length];
                    Network.Parameters.Read<float>(parameters, segment.Offset);
                    _state.Moments[0].Read<float>(averages, segment.Offset);
                    // A layer that was thawed after the last step has none yet.
                    if (!averages.AsSpan().ContainsAnyExcept(0f))
                        continue;
                    Network.Parameters.Write<float>(averages, segment.Offset);
                    _state.Moments[0].Write<float>(parameters, segment.Offset);
                }
            }
        }
        finally
        {
            Leave();
        }
    }

    private void CheckAverages()
    {
        if (Optimizer is not AveragedSgd)
            throw new InvalidOperationException($"{Optimizer} keeps no averages; AveragedSgd does.");
        if (_ruleSteps == 0)
            throw new InvalidOperationException("No step was done yet: there are no averages.");
    }

    /// <summary>Records plain programs, which fuse nothing: for tests of the fused ones.</summary>
    internal bool Plain { get; init; }

    /// <summary>Trains for a number of epochs.</summary>
    /// <param name="train">The training data, as they come (<see cref="Network.Preprocessing"/> is applied).</param>
    /// <param name="epochs">Passes over the data, at least 1.</param>
    /// <param name="batchSize">Rows of a step: 1 is online gradient descent, <c>train.Count</c> (or more) batch gradient descent, anything
    /// between mini-batches. The last batch of an epoch may be smaller.</param>
    /// <param name="validation">Data to evaluate on after each epoch; null: none.</param>
    /// <param name="progress">Gets reports about ten times a second and at the end of each epoch; called on the training thread
    /// unless it is a <see cref="Progress{T}"/>.</param>
    /// <param name="cancellationToken">Looked at between batches.</param>
    /// <returns>What was done.</returns>
    /// <exception cref="ArgumentException">The data do not fit the network or the loss.</exception>
    /// <exception cref="ArgumentOutOfRangeException">An extent is less than 1.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="OperationCanceledException">Cancelled; the network has the last parameters, or the best ones where early
    /// stopping keeps them.</exception>
    /// <exception cref="NonFiniteLossException">A loss was NaN or infinite; the network has the last finite parameters.</exception>
    public History Fit(
        Dataset train, int epochs, int batchSize, Dataset? validation = null, IProgress<TrainingProgress>? progress = null,
        CancellationToken cancellationToken = default)
    {
        DataChecks.Fits(Network, Loss, Ensure.NotNull(train), nameof(train));
        Ensure.Positive(epochs, nameof(epochs));
        Ensure.Positive(batchSize, nameof(batchSize));
        if (validation is not null)
            DataChecks.Fits(Network, Loss, validation, nameof(validation));
        Augmentation?.Check(train, nameof(train));
        DataChecks.EnoughRows(Network, train.Count, Math.Min(batchSize, train.Count), training: true, nameof(train));
        if (validation is not null)
            DataChecks.EnoughRows(Network, validation.Count, EvaluationProgram.MostRows, training: false, nameof(validation));
        Enter();
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            return FitEntered(train, epochs, Math.Min(batchSize, train.Count), validation, progress, cancellationToken);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>One training step on class labels.</summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens and the loss is 0.</param>
    /// <param name="labels">[rows], each from 0 to outputs − 1, or the one that the loss ignores.</param>
    /// <returns>The loss before the step, reduced as <see cref="Loss.Reduction"/> says.</returns>
    /// <exception cref="ArgumentException">A span has another length, or the loss does not take labels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="NonFiniteLossException">The loss was NaN or infinite; the parameters are as before the step.</exception>
    public float Step(ReadOnlySpan<float> x, ReadOnlySpan<int> labels)
    {
        if (x.IsEmpty && labels.IsEmpty)
            return StepOfNothing();
        int rows = Rows(x, labels);
        fixed (int* target = labels)
            return StepChecked(x, rows, target, rows, labels: true);
    }

    /// <summary>One training step on targets: values for a regression, probabilities for a classification.</summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens and the loss is 0.</param>
    /// <param name="targets">[rows × outputs], row-major.</param>
    /// <returns>The loss before the step, reduced as <see cref="Loss.Reduction"/> says.</returns>
    /// <exception cref="ArgumentException">A span has another length, or the loss takes labels only.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="NonFiniteLossException">The loss was NaN or infinite; the parameters are as before the step.</exception>
    public float Step(ReadOnlySpan<float> x, ReadOnlySpan<float> targets)
    {
        if (x.IsEmpty && targets.IsEmpty)
            return StepOfNothing();
        int rows = Rows(x, targets);
        fixed (float* target = targets)
            return StepChecked(x, rows, target, targets.Length, labels: false);
    }

    /// <summary>
    /// One training step on class labels whose loss is not waited for. On OpenCL this returns as soon as the data are copied and the step
    /// is in the device's queue, so that the next batch is uploaded while this one is computed; on the CPU the step is done then. The
    /// trainer's next call that is no <c>Enqueue</c> waits for the steps; <see cref="FetchLoss"/> does nothing else.
    /// </summary>
    /// <remarks>
    /// A loss that is not finite is found out by the call that waits: it throws <see cref="NonFiniteLossException"/>, the parameters are as
    /// before that step, and the steps that were enqueued behind it were not made.
    /// </remarks>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens. May change when this has returned.</param>
    /// <param name="labels">[rows], each from 0 to outputs − 1, or the one that the loss ignores. May change when this has returned.</param>
    /// <exception cref="ArgumentException">A span has another length, or the loss does not take labels.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A label is no class.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="NonFiniteLossException">A step that was enqueued before had such a loss, and this one needs another program: for more
    /// rows, or after a change of the network's settings.</exception>
    public void Enqueue(ReadOnlySpan<float> x, ReadOnlySpan<int> labels)
    {
        if (x.IsEmpty && labels.IsEmpty)
        {
            EnqueueNothing();
            return;
        }
        int rows = Rows(x, labels);
        fixed (int* target = labels)
            EnqueueChecked(x, rows, target, rows, labels: true);
    }

    /// <summary>
    /// One training step on targets (values for a regression, probabilities for a classification) whose loss is not waited for; see
    /// <see cref="Enqueue(ReadOnlySpan{float}, ReadOnlySpan{int})"/>.
    /// </summary>
    /// <param name="x">[rows × inputs], row-major; without rows nothing happens. May change when this has returned.</param>
    /// <param name="targets">[rows × outputs], row-major. May change when this has returned.</param>
    /// <exception cref="ArgumentException">A span has another length, or the loss takes labels only.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="NonFiniteLossException">A step that was enqueued before had such a loss, and this one needs another program.</exception>
    public void Enqueue(ReadOnlySpan<float> x, ReadOnlySpan<float> targets)
    {
        if (x.IsEmpty && targets.IsEmpty)
        {
            EnqueueNothing();
            return;
        }
        int rows = Rows(x, targets);
        fixed (float* target = targets)
            EnqueueChecked(x, rows, target, targets.Length, labels: false);
    }

    /// <summary>Waits for the steps that <c>Enqueue</c> has begun since this was called last.</summary>
    /// <returns>Their losses before each step, reduced over all their rows as <see cref="Loss.Reduction"/> says; 0 if there were none.</returns>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    /// <exception cref="NonFiniteLossException">A loss was NaN or infinite; the parameters are as before that step.</exception>
    public float FetchLoss()
    {
        Enter();
        float loss = (float)Loss.Reduced(_enqueuedLoss, _enqueuedWeight);
        (_enqueuedLoss, _enqueuedWeight) = (0, 0);
        Leave();
        return loss;
    }

    /// <summary>Loss, accuracy and confusion matrix on a data set, with this trainer's loss and without dropout.</summary>
    /// <param name="data">The data, as they come (<see cref="Network.Preprocessing"/> is applied).</param>
    /// <exception cref="ArgumentException">The data do not fit the network or the loss.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public Evaluation Evaluate(Dataset data)
    {
        ThrowIfDisposed();
        return Network.Evaluate(data, Loss);
    }

    /// <summary>
    /// The native program of a training step: what was recorded, what it was fused into, with shapes, FLOPs, bytes and
    /// workspace. It is that of the last <see cref="Fit"/>, else that of the last step, else one for 128 rows made for this.
    /// </summary>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public string Describe()
    {
        Enter();
        try
        {
            return Current().Native.Describe();
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>
    /// Times the pieces of the training step that <see cref="Describe"/> shows, at its full batch. Parameters and the optimizer's
    /// state are afterwards as they were.
    /// </summary>
    /// <param name="repetitions">How often each piece runs, at least 1; the fastest counts.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="repetitions"/> is less than 1.</exception>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread, or every layer is frozen.</exception>
    /// <exception cref="ObjectDisposedException">The trainer or the network was disposed.</exception>
    public IReadOnlyList<ProfileEntry> Profile(int repetitions = 20)
    {
        Ensure.Positive(repetitions, nameof(repetitions));
        return Tried((program, cells) => program.Profile(program.Capacity, cells, repetitions));
    }

    /// <summary>What the step that <see cref="Profile"/> takes apart costs a device that has a queue.</summary>
    internal RunCosts MeasureRun(int repetitions) => Tried((program, cells) => program.Measure(program.Capacity, cells, repetitions));

    // Runs of the training step that leave nothing behind.
    private T Tried<T>(Func<NativeProgram, ulong[], T> runs)
    {
        Enter();
        try
        {
            TrainingProgram program = Current();
            var cells = new ulong[program.SlotCount];
            program.FillSlots(cells, 0, Optimizer.LearningRate, (ulong)_ruleSteps + 1, (ulong)_randomSteps, MomentumOfStep);
            DeviceBuffer[] buffers = [Network.Parameters, _state.Gradients, .. _state.Moments];
            if (Network.State is { } running)
                buffers = [.. buffers, running];
            lock (Network.Gate)
            {
                Network.ThrowIfDisposed();
                float[][] saved = Array.ConvertAll(buffers, Contents);
                try
                {
                    return runs(program.Native, cells);
                }
                finally
                {
                    for (int i = 0; i < buffers.Length; i++)
                        buffers[i].Write<float>(saved[i]);
                    // What the repetitions added to the metrics is nobody's.
                    hpc_metrics metrics;
                    program.Native.Run(0, cells, &metrics);
                }
            }
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>What training holds on the device, by the program of the last fit or step.</summary>
    internal TrainingMemory Memory()
    {
        Enter();
        try
        {
            hpc_program_info info = Current().Native.Info();
            return new TrainingMemory(
                4 * Network.Parameters.Elements, 4 * _state.Gradients.Elements, 4 * _state.Moments.Sum(m => m.Elements),
                (long)info.workspace_bytes, (long)info.owned_bytes + 4 * (_fit?.Data.Elements ?? 0));
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Frees programs, the optimizer's state and the data on the device. The network stays.</summary>
    /// <exception cref="InvalidOperationException">The trainer is working on another thread.</exception>
    public void Dispose()
    {
        if (_disposed)
            return;
        Occupy();
        _disposed = true;
        _stepProgram?.Dispose();
        _fit?.Dispose();
        _snapshot?.Dispose();
        _state.Dispose();
        Leave();
    }

    private History FitEntered(
        Dataset train, int epochs, int batchSize, Dataset? validation, IProgress<TrainingProgress>? progress, CancellationToken cancellation)
    {
        if (train.IsClassification)
            Network.ClassNames ??= train.ClassNames?.Count == Network.Outputs ? train.ClassNames : null;
        FitSession session = Session(train, batchSize);
        using EvaluationProgram? evaluation = validation is null
            ? null
            : EvaluationProgram.For(Network, Loss, validation, nameof(validation));
        _snapshot ??= new NetworkSnapshot(Network);
        return new FitRun(this, session, train, epochs, validation, evaluation, progress, _snapshot).Execute(cancellation);
    }

    private float StepChecked(ReadOnlySpan<float> x, int rows, void* target, long targetElements, bool labels)
    {
        Enter();
        try
        {
            hpc_metrics metrics;
            ReadOnlySpan<float> prepared = RunStep(x, rows, target, targetElements, labels, &metrics);
            if (metrics.flags != 0)
                throw Flagged(metrics, prepared, _steps + 1, _randomSteps - 1, "the parameters are as before the step");
            _steps++;
            _ruleSteps++;
            return (float)Loss.Reduced(metrics.loss, metrics.weight);
        }
        finally
        {
            Leave();
        }
    }

    private float StepOfNothing()
    {
        Enter();
        Leave();
        return 0f;
    }

    private void EnqueueChecked(ReadOnlySpan<float> x, int rows, void* target, long targetElements, bool labels)
    {
        EnterUnsettled();
        try
        {
            RunStep(x, rows, target, targetElements, labels, null);
            _steps++;
            _ruleSteps++;
            _enqueued++;
        }
        finally
        {
            Leave();
        }
    }

    private void EnqueueNothing()
    {
        EnterUnsettled();
        Leave();
    }

    // What it returns are the rows as the network gets them.
    private ReadOnlySpan<float> RunStep(ReadOnlySpan<float> x, int rows, void* target, long targetElements, bool labels, hpc_metrics* metrics)
    {
        TrainingProgram program = StepProgram(rows, labels);
        ReadOnlySpan<float> answers = Distillation is null ? default : Answers(x, rows);
        if (Network.Preprocessing is { } preprocessing)
            x = DataChecks.Prepare(preprocessing, x, ref _prepared);
        float rate = LearningRate;
        Span<ulong> cells = stackalloc ulong[program.SlotCount];
        program.FillSlots(cells, 0, rate, (ulong)_ruleSteps + 1, (ulong)_randomSteps++, MomentumOfStep);
        fixed (float* features = x)
        fixed (float* teacher = answers)
        {
            Span<hpc_transfer> transfers =
            [
                NativeProgram.Transfer(program.X, features, x.Length),
                NativeProgram.Transfer(program.Target, target, targetElements),
                NativeProgram.Transfer(program.TeacherLogits, teacher, answers.Length),
            ];
            lock (Network.Gate)
            {
                Network.ThrowIfDisposed();
                program.Native.RunWith(rows, cells, Distillation is null ? transfers[..2] : transfers, metrics);
            }
        }
        return x;
    }

    // Waits for the steps that were enqueued. The rows of one that went wrong are gone: nobody can tell any more where it began.
    private void Settle()
    {
        if (_enqueued == 0)
            return;
        TrainingProgram program = _stepProgram!;
        Span<ulong> cells = stackalloc ulong[program.SlotCount];
        cells.Clear();
        hpc_metrics metrics;
        lock (Network.Gate)
        {
            Network.ThrowIfDisposed();
            program.Native.Run(0, cells, &metrics);
        }
        int enqueued = _enqueued;
        _enqueued = 0;
        if (metrics.flags == 0)
        {
            _enqueuedLoss += metrics.loss;
            _enqueuedWeight += metrics.weight;
            return;
        }
        (_enqueuedLoss, _enqueuedWeight) = (0, 0);
        int undone = enqueued - (int)Math.Max(metrics.first_flagged_run, 1UL) + 1;
        _steps -= undone;
        _ruleSteps -= undone;
        long step = _steps + 1;
        throw (metrics.flags & (uint)hpc_flag.HPC_FLAG_NONFINITE) == 0
            ? new HpcNetException($"The core reported the flags {metrics.flags} at step {step}: a label or index was out of range.")
            : new NonFiniteLossException(
                step, null,
                $"The loss of step {step} is not a finite number. Afterwards the parameters are as before that step; {undone - 1} steps enqueued behind it were not made. Step tells more about it than Enqueue.");
    }

    // x is the batch of the flagged step, preprocessed; the parameters are still those that it used.
    private HpcNetException Flagged(in hpc_metrics metrics, ReadOnlySpan<float> x, long step, long randomStep, string consequence)
    {
        if ((metrics.flags & (uint)hpc_flag.HPC_FLAG_NONFINITE) == 0)
            return new HpcNetException($"The core reported the flags {metrics.flags} at step {step}: a label or index was out of range.");
        lock (Network.Gate)
        {
            Network.ThrowIfDisposed();
            (string clause, string? layer) = Diagnosis.Of(Network, x, Seed, (ulong)randomStep);
            return new NonFiniteLossException(
                step, layer, $"The loss of step {step} is not a finite number: {clause}. Afterwards {consequence}.");
        }
    }

    // The teacher has a preprocessing of its own and gets the rows as they come.
    private ReadOnlySpan<float> Answers(ReadOnlySpan<float> x, int rows)
    {
        int elements = Ensure.Elements(rows, Network.Outputs, nameof(x), "the teacher's answers");
        if (_teacher.Length < elements)
            _teacher = new float[elements];
        Distillation!.Answer(x, _teacher.AsSpan(0, elements));
        return _teacher.AsSpan(0, elements);
    }

    private int Rows(ReadOnlySpan<float> x)
    {
        int inputs = Network.Inputs;
        int rows = x.Length > 0 && x.Length % inputs == 0
            ? x.Length / inputs
            : Ensure.WholeRows(x.Length, inputs, nameof(x), DataChecks.Reader(Network));
        DataChecks.EnoughRows(Network, rows, rows, training: true, nameof(x));
        if (Network.Preprocessing is null)
            DataChecks.Indices(Network, x, nameof(x));
        return rows;
    }

    private int Rows(ReadOnlySpan<float> x, ReadOnlySpan<int> labels)
    {
        int rows = Rows(x);
        DataChecks.TakesLabels(Loss, nameof(labels));
        Ensure.Length(labels.Length, rows, nameof(labels), "one for each row");
        Ensure.Labels(labels, Network.Outputs, nameof(labels), Loss.Ignored);
        return rows;
    }

    private int Rows(ReadOnlySpan<float> x, ReadOnlySpan<float> targets)
    {
        int rows = Rows(x);
        DataChecks.TakesTargets(Loss, nameof(targets));
        Ensure.Matrix(targets.Length, rows, Network.Outputs, nameof(targets));
        return rows;
    }

    private TrainingProgram StepProgram(int rows, bool labels)
    {
        TrainingProgram? program = _stepProgram;
        if (program is not null && rows <= program.Native.Capacity && labels == program.Labels
            && program.SettingsVersion == Network.SettingsVersion)
            return program;
        // The program that goes has the losses of its steps.
        Settle();
        int capacity = NativeProgram.CapacityFor(program?.Native, rows);
        _stepProgram = null;
        program?.Dispose();
        return _stepProgram = Record(capacity, labels, null);
    }

    private FitSession Session(Dataset train, int batchSize)
    {
        if (_fit is not null && _fit.Serves(train, batchSize, Network))
            return _fit;
        _fit?.Dispose();
        _fit = null;
        var data = new ResidentData(Network.Device, train, Network.Preprocessing);
        try
        {
            if (Distillation is not null)
                data.Ask(Distillation, Network.Device, train);
            return _fit = new FitSession(
                train, Network.Preprocessing, data, Record(batchSize, train.IsClassification, data));
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    private TrainingProgram Record(int capacity, bool labels, ResidentData? data)
    {
        if (!Network.Graph.Segments.Any(s => Network.Trains(s.Node)))
            throw new InvalidOperationException("Every layer with parameters is frozen: there is nothing to train.");
        lock (Network.Gate)
        {
            Network.ThrowIfDisposed();
            // A layer that is frozen now may have left a gradient behind, and norms go over all of them.
            _state.Gradients.Clear();
            return new TrainingProgram(
                Network, Loss, Optimizer, _state, capacity, labels, data, Seed, Plain, MovesMomentum, AdversarialTraining, Distillation);
        }
    }

    private TrainingProgram Current() =>
        _fit?.Program ?? _stepProgram ?? (_stepProgram = Record(128, Loss.TakesLabels, null));

    // In pieces: a copy of all of it would be as large as the network.
    private bool IsFinite(DeviceBuffer buffer)
    {
        const int Most = 1 << 18;
        if (_piece.Length < Math.Min(buffer.Elements, Most))
            _piece = new float[Math.Min(buffer.Elements, Most)];
        for (long at = 0; at < buffer.Elements; at += Most)
        {
            Span<float> piece = _piece.AsSpan(0, (int)Math.Min(Most, buffer.Elements - at));
            buffer.Read(piece, at);
            if (Numbers.FirstNotFinite(piece) >= 0)
                return false;
        }
        return true;
    }

    private static float[] Contents(DeviceBuffer buffer)
    {
        var values = new float[buffer.Elements];
        buffer.Read<float>(values);
        return values;
    }

    private void Enter()
    {
        EnterUnsettled();
        try
        {
            Settle();
        }
        catch
        {
            Leave();
            throw;
        }
    }

    // Steps that were enqueued may be under way still.
    private void EnterUnsettled()
    {
        Occupy();
        if (_disposed || Network.IsDisposed)
        {
            Leave();
            ThrowIfDisposed();
        }
    }

    private void Occupy()
    {
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new InvalidOperationException(
                "This Trainer is working in another call; one thread at a time may use a Trainer. Make a second Trainer, or wait.");
        }
    }

    private void Leave() => Volatile.Write(ref _busy, 0);

    private void ThrowIfDisposed()
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        Network.ThrowIfDisposed();
    }

    /// <summary>A program with its data on the device; kept, so that the next fit on the same data need not move them again.</summary>
    private sealed class FitSession(Dataset train, Standardizer? preprocessing, ResidentData data, TrainingProgram program) : IDisposable
    {
        public ResidentData Data => data;

        public TrainingProgram Program => program;

        public int[] Order { get; } = new int[data.Rows];

        /// <summary>The rows of the running epoch as they are on the device, where they are augmented; else empty.</summary>
        public float[] Augmented { get; private set; } = [];

        public void Augment(Augmentation augmentation, ulong seed, long epoch)
        {
            if (Augmented.Length == 0)
                Augmented = new float[train.Features.Length];
            augmentation.Fill(train, Augmented, seed, epoch);
            preprocessing?.Apply(Augmented);
            data.Features.Write<float>(Augmented);
        }

        public bool Serves(Dataset dataset, int batchSize, Network network) =>
            ReferenceEquals(dataset, train) && ReferenceEquals(network.Preprocessing, preprocessing)
            && batchSize == program.Native.Capacity && network.SettingsVersion == program.SettingsVersion;

        public void Dispose()
        {
            program.Dispose();
            data.Dispose();
        }
    }

    /// <summary>
    /// One call of Fit. Its snapshot holds what the network gets back where training breaks it: the last finite parameters that an epoch
    /// began or ended with, or the best ones of all epochs where early stopping looks for those.
    /// </summary>
    private sealed class FitRun(
        Trainer trainer, FitSession session, Dataset train, int epochs, Dataset? validation, EvaluationProgram? evaluation,
        IProgress<TrainingProgress>? progress, NetworkSnapshot snapshot)
    {
        private readonly Network _network = trainer.Network;
        private readonly List<EpochRecord> _records = [];
        private readonly int _batch = session.Program.Native.Capacity;
        private readonly long _began = Stopwatch.GetTimestamp();
        private long _trainingTicks;
        private long _samples;
        private long _lastReport = Stopwatch.GetTimestamp();
        private MetricTotals _totals;
        private double _validationLoss = double.NaN;
        private double _validationAccuracy = double.NaN;
        private double _bestLoss = double.PositiveInfinity;
        private int _bestEpoch;

        private int StepsPerEpoch => (int)(((long)train.Count + _batch - 1) / _batch);

        public History Execute(CancellationToken cancellation)
        {
            try
            {
                return TrainEpochs(cancellation);
            }
            catch
            {
                // Cancelled, not finite, or thrown by somebody's schedule or progress: the same holds for all.
                Abandon();
                RestoreFinite();
                RestoreBest();
                throw;
            }
        }

        private History TrainEpochs(CancellationToken cancellation)
        {
            bool stopped = false;
            // Broken or not: nothing older may come back in its place.
            Keep();
            for (int epoch = 1; epoch <= epochs && !stopped; epoch++)
            {
                long ticksBefore = _trainingTicks;
                float rate = TrainEpoch(epoch, cancellation);
                bool finite = IsFinite();
                if (finite && trainer.EarlyStopping is null)
                    Keep();
                if (evaluation is not null)
                {
                    Evaluation result = evaluation.Evaluate(validation!, details: false);
                    (_validationLoss, _validationAccuracy) = (result.Loss, result.Accuracy);
                }
                _records.Add(new EpochRecord(
                    epoch, _totals.Loss(trainer.Loss), _totals.Accuracy(trainer.Loss), _validationLoss, _validationAccuracy, rate,
                    Seconds(_trainingTicks - ticksBefore)));
                trainer._scheduleState?.Report(evaluation is null ? _records[^1].Loss : _validationLoss, trainer._steps);
                stopped = StopsAfter(epoch, finite);
                Report(epoch, StepsPerEpoch, finished: true);
            }
            RestoreBest();
            return new History
            {
                Epochs = _records.AsReadOnly(),
                Seconds = Seconds(_trainingTicks),
                Samples = _samples,
                FlopsPerSample = session.Program.FlopsPerSample,
                BestEpoch = trainer.EarlyStopping is null ? _records.Count : _bestEpoch,
                StoppedEarly = stopped && _records.Count < epochs,
            };
        }

        private float TrainEpoch(int epoch, CancellationToken cancellation)
        {
            TrainingProgram program = session.Program;
            Span<ulong> cells = stackalloc ulong[program.SlotCount];
            int steps = StepsPerEpoch;
            int unfetched = 0;
            float rate = 0f;
            hpc_metrics metrics = default;
            _totals = default;

            long resumed = Stopwatch.GetTimestamp();
            Shuffle();
            for (int step = 0; step < steps; step++)
            {
                cancellation.ThrowIfCancellationRequested();
                int start = step * _batch;
                int rows = Math.Min(_batch, train.Count - start);
                rate = trainer.LearningRate;
                program.FillSlots(
                    cells, (ulong)start, rate, (ulong)trainer._ruleSteps + 1, (ulong)trainer._randomSteps++, trainer.MomentumOfStep);
                bool last = step == steps - 1;
                bool report = progress is not null && !last && Stopwatch.GetTimestamp() - _lastReport >= ReportTicks;
                bool fetch = last || report;
                lock (_network.Gate)
                {
                    _network.ThrowIfDisposed();
                    program.Native.Run(rows, cells, fetch ? &metrics : null);
                }
                trainer._steps++;
                trainer._ruleSteps++;
                _samples += rows;
                unfetched++;
                if (!fetch)
                    continue;

                if (metrics.flags != 0)
                    throw Failed(metrics, step, unfetched);
                _totals.Add(metrics);
                unfetched = 0;
                if (report)
                {
                    _trainingTicks += Stopwatch.GetTimestamp() - resumed;
                    Report(epoch, step + 1, finished: false);
                    resumed = Stopwatch.GetTimestamp();
                }
            }
            _trainingTicks += Stopwatch.GetTimestamp() - resumed;
            return rate;
        }

        // The order depends on the trainer's seed and how many epochs it has begun, nothing else.
        private void Shuffle()
        {
            int[] order = session.Order;
            for (int i = 0; i < order.Length; i++)
                order[i] = i;
            if (trainer.Augmentation is { } augmentation)
                session.Augment(augmentation, trainer.Seed, trainer._epochs);
            new Philox(trainer.Seed, RandomStreams.Shuffle(trainer._epochs++)).Shuffle(order);
            session.Data.Indices.Write<int>(order);
        }

        // Updates stop at the flagged run, so the parameters are those before its step. They may be broken already, where the
        // step before it made them so: then those of the epoch's beginning come back, and the optimizer begins anew.
        private HpcNetException Failed(in hpc_metrics metrics, int lastStep, int unfetched)
        {
            int after = unfetched - (int)Math.Max(metrics.first_flagged_run, 1UL);
            trainer._steps -= after + 1;
            trainer._ruleSteps -= after + 1;
            long step = trainer._steps + 1;
            float[] x = Batch(lastStep - after);
            long randomStep = trainer._randomSteps - 1 - after;
            if (_bestEpoch > 0)
                return trainer.Flagged(metrics, x, step, randomStep, $"the parameters are the best ones, of epoch {_bestEpoch}");
            string parameters = IsFinite() ? "those before that step" : "those at the beginning of the epoch";
            return trainer.Flagged(metrics, x, step, randomStep, $"the parameters are {parameters}");
        }

        private bool IsFinite()
        {
            lock (_network.Gate)
            {
                _network.ThrowIfDisposed();
                return trainer.IsFinite(_network.Parameters) && (_network.State is null || trainer.IsFinite(_network.State));
            }
        }

        // However an epoch ends before its time, a broken network is not left behind.
        private void RestoreFinite()
        {
            if (_network.IsDisposed || IsFinite())
                return;
            PutBack();
            trainer._state.Clear();
            trainer._ruleSteps = 0;
        }

        /// <summary>The rows of a step of this epoch, preprocessed.</summary>
        private float[] Batch(int step)
        {
            int columns = train.FeatureCount;
            ReadOnlySpan<int> order = session.Order.AsSpan(step * _batch, Math.Min(_batch, train.Count - step * _batch));
            var x = new float[order.Length * columns];
            bool augmented = session.Augmented.Length > 0;
            for (int i = 0; i < order.Length; i++)
            {
                ReadOnlySpan<float> row = augmented ? session.Augmented.AsSpan(order[i] * columns, columns) : train.Row(order[i]);
                row.CopyTo(x.AsSpan(i * columns));
            }
            if (!augmented)
                _network.Preprocessing?.Apply(x);
            return x;
        }

        // An epoch that was left in the middle leaves metrics behind that the next fit must not find.
        private void Abandon()
        {
            hpc_metrics metrics;
            var cells = new ulong[session.Program.SlotCount];
            lock (_network.Gate)
            {
                if (!_network.IsDisposed)
                    session.Program.Native.Run(0, cells, &metrics);
            }
        }

        private void Keep()
        {
            lock (_network.Gate)
            {
                _network.ThrowIfDisposed();
                snapshot.Take(_network);
            }
        }

        private void PutBack()
        {
            lock (_network.Gate)
            {
                if (!_network.IsDisposed)
                    snapshot.PutBack(_network);
            }
        }

        private bool StopsAfter(int epoch, bool finite)
        {
            if (trainer.EarlyStopping is not { } stopping)
                return false;
            double watched = evaluation is null ? _records[^1].Loss : _validationLoss;
            if (finite && (watched < _bestLoss - stopping.MinDelta || _bestEpoch == 0))
            {
                _bestLoss = watched;
                _bestEpoch = epoch;
                Keep();
            }
            return epoch - _bestEpoch >= stopping.Patience;
        }

        private void RestoreBest()
        {
            if (_bestEpoch > 0)
                PutBack();
        }

        private void Report(int epoch, int step, bool finished)
        {
            if (progress is null)
                return;
            _lastReport = Stopwatch.GetTimestamp();
            double seconds = Seconds(_trainingTicks);
            progress.Report(new TrainingProgress(
                epoch, epochs, step, StepsPerEpoch, _totals.Loss(trainer.Loss), _totals.Accuracy(trainer.Loss), _validationLoss,
                _validationAccuracy, seconds > 0 ? _samples / seconds : 0, Stopwatch.GetElapsedTime(_began))
            {
                EpochFinished = finished,
            });
        }

        private static double Seconds(long ticks) => (double)ticks / Stopwatch.Frequency;
    }
}
