// TrainingProgram.cs: one training step as a native program: gather the mini-batch from the resident data (or take it from
// the caller), forward, loss, backward, the optimizer's chain, update. Everything that changes from step to step is a slot,
// so that neither schedules nor ragged last batches record anything anew.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A data set on the device.</summary>
internal sealed class ResidentData : IDisposable
{
    public ResidentData(Device device, Dataset data, Standardizer? preprocessing)
    {
        Rows = data.Count;
        Labels = data.IsClassification;
        Features = new DeviceBuffer(device, (long)data.Count * data.FeatureCount);
        Targets = new DeviceBuffer(device, Labels ? data.Count : (long)data.Count * data.TargetCount);
        Indices = new DeviceBuffer(device, data.Count);
        if (preprocessing is null)
        {
            Features.Write(data.Features);
        }
        else
        {
            var prepared = new float[data.Features.Length];
            preprocessing.Apply(data.Features, prepared);
            Features.Write<float>(prepared);
        }
        if (Labels)
            Targets.Write(data.Labels);
        else
            Targets.Write(data.Targets);
    }

    public int Rows { get; }

    public bool Labels { get; }

    /// <summary>[rows × outputs]: a teacher's logits; null: nobody distills.</summary>
    public DeviceBuffer? TeacherLogits { get; private set; }

    /// <summary>Asks a teacher about every row.</summary>
    public void Ask(Distillation distillation, Device device, Dataset data)
    {
        var logits = new float[Ensure.Elements(data.Count, distillation.Teacher.Outputs, nameof(data), "the teacher's answers")];
        distillation.Answer(data.Features, logits);
        TeacherLogits = new DeviceBuffer(device, logits.Length);
        TeacherLogits.Write<float>(logits);
    }

    /// <summary>[rows × inputs], preprocessed.</summary>
    public DeviceBuffer Features { get; }

    /// <summary>int32 [rows × 1], or float [rows × outputs].</summary>
    public DeviceBuffer Targets { get; }

    /// <summary>int32 [rows × 1]: the order of the epoch.</summary>
    public DeviceBuffer Indices { get; }

    /// <summary>Elements of 4 bytes in all.</summary>
    public long Elements => Features.Elements + Targets.Elements + Indices.Elements + (TeacherLogits?.Elements ?? 0);

    public void Dispose()
    {
        Features.Dispose();
        Targets.Dispose();
        Indices.Dispose();
        TeacherLogits?.Dispose();
    }
}

/// <summary>What the optimizer keeps on the device: gradients and moments, laid out like the parameters.</summary>
internal sealed unsafe class OptimizerState : IDisposable
{
    public OptimizerState(Network network, Optimizer optimizer)
    {
        Gradients = new DeviceBuffer(network.Device, network.Graph.Elements);
        Moments = new DeviceBuffer[MomentsOf(optimizer)];
        for (int i = 0; i < Moments.Length; i++)
            Moments[i] = new DeviceBuffer(network.Device, network.Graph.Elements);
    }

    public DeviceBuffer Gradients { get; }

    public DeviceBuffer[] Moments { get; }

    /// <summary>How many moments an optimizer keeps of each parameter.</summary>
    public static int MomentsOf(Optimizer optimizer)
    {
        hpc_rule_info info;
        Status.Check(Native.hpc_get_rule_info((int)optimizer.Rule, &info));
        return info.state_count;
    }

    public void Clear()
    {
        Gradients.Clear();
        foreach (DeviceBuffer moment in Moments)
            moment.Clear();
    }

    public void Dispose()
    {
        Gradients.Dispose();
        foreach (DeviceBuffer moment in Moments)
            moment.Dispose();
    }
}

internal sealed unsafe class TrainingProgram : IDisposable
{
    // Where the value of each slot comes from.
    private enum SlotSource
    {
        BatchStart,
        Step,
        LearningRate,
        DecayFactor,
        RandomStream,
        Momentum,
    }

    private readonly record struct SlotRule(SlotSource Source, float Factor = 0f, ulong Base = 0);

    private readonly record struct Run(int Offset, int Length, float LearningRateScale, bool Decays)
    {
        public bool Takes(bool biases) => Decays || biases;
    }

    private readonly SlotRule[] _rules;

    public TrainingProgram(
        Network network, Loss loss, Optimizer optimizer, OptimizerState state, int capacity, bool labels, ResidentData? data, ulong seed,
        bool plain = false, bool movesMomentum = false, AdversarialTraining? adversarial = null, Distillation? distillation = null)
    {
        SettingsVersion = network.SettingsVersion;
        Labels = labels;
        var rules = new List<SlotRule>();
        using var recorder = new Recorder(network.Device, capacity, plain);

        Slot step = DeclareSlot(recorder, rules, new SlotRule(SlotSource.Step), "step");
        var purpose = new RecordingPurpose
        {
            Training = true,
            Backward = true,
            Trains = network.Trains,
            State = network.State,
            Seed = seed,
            RandomStream = node => DeclareSlot(
                recorder, rules, new SlotRule(SlotSource.RandomStream, Base: RandomStreams.Dropout(node)),
                $"{network.Graph.Nodes[node].Name}.stream"),
        };
        var graph = new GraphRecorder(
            network.Graph, recorder, network.Parameters, state.Gradients, purpose, hpc_value_kind.HPC_VALUE_TEMPORARY);

        (X, Target) = data is null ? RecordInputs(recorder, network, labels) : RecordGather(recorder, rules, network, data);
        if (distillation is not null)
            TeacherLogits = RecordTeacher(recorder, rules, network, data);
        Value x = adversarial is null ? X : RecordAttack(recorder, network, loss, adversarial);
        Value output = graph.Forward(x);
        Value gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "loss.gradient");
        loss.RecordForward(recorder, output, Target);
        loss.RecordBackward(recorder, output, Target, gradient);
        if (distillation is not null)
            RecordDistillation(recorder, network, loss.Reduction, distillation, output, gradient);
        graph.Backward(gradient);
        graph.UpdateState();
        RecordUpdate(recorder, rules, network, optimizer, state, step, seed, movesMomentum);

        Native = recorder.Finish();
        _rules = [.. rules];
    }

    /// <summary>The update alone, with gradients that somebody else has written to the state.</summary>
    public TrainingProgram(Network network, Optimizer optimizer, OptimizerState state, ulong seed = 0, bool movesMomentum = false)
    {
        SettingsVersion = network.SettingsVersion;
        var rules = new List<SlotRule>();
        using var recorder = new Recorder(network.Device, 1);
        Slot step = DeclareSlot(recorder, rules, new SlotRule(SlotSource.Step), "step");
        RecordUpdate(recorder, rules, network, optimizer, state, step, seed, movesMomentum);
        Native = recorder.Finish();
        _rules = [.. rules];
    }

    public NativeProgram Native { get; }

    /// <summary>The input, where the caller brings it.</summary>
    public Value X { get; }

    /// <summary>The target, where the caller brings it.</summary>
    public Value Target { get; }

    /// <summary>A teacher's logits, where the caller brings them.</summary>
    public Value TeacherLogits { get; }

    /// <summary>Whether the target holds class indices.</summary>
    public bool Labels { get; }

    /// <summary>The network's settings that were recorded.</summary>
    public int SettingsVersion { get; }

    public int SlotCount => _rules.Length;

    public double FlopsPerSample => (double)Native.Info().flops / Native.Capacity;

    /// <summary>Fills the cells of one run.</summary>
    /// <param name="cells">[<see cref="SlotCount"/>].</param>
    /// <param name="start">First row of the batch in the epoch's order.</param>
    /// <param name="learningRate">The rate of this step.</param>
    /// <param name="ruleStep">Steps since the optimizer's state began, from 1.</param>
    /// <param name="randomStep">Counts all steps ever tried, so that no two share random numbers.</param>
    /// <param name="momentum">The momentum of this step, where a schedule moves it.</param>
    public void FillSlots(Span<ulong> cells, ulong start, float learningRate, ulong ruleStep, ulong randomStep, float momentum)
    {
        for (int i = 0; i < _rules.Length; i++)
        {
            ref readonly SlotRule rule = ref _rules[i];
            cells[i] = rule.Source switch
            {
                SlotSource.BatchStart => start,
                SlotSource.Step => ruleStep,
                SlotSource.LearningRate => BitConverter.SingleToUInt32Bits(learningRate * rule.Factor),
                SlotSource.DecayFactor => BitConverter.SingleToUInt32Bits(1f - learningRate * rule.Factor),
                SlotSource.Momentum => BitConverter.SingleToUInt32Bits(momentum),
                _ => rule.Base + randomStep,
            };
        }
    }

    public void Dispose() => Native.Dispose();

    private static (Value X, Value Target) RecordInputs(Recorder recorder, Network network, bool labels) =>
        (recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Inputs, "x"),
         labels
            ? recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, 1, "labels", hpc_dtype.HPC_INT32)
            : recorder.RowsValue(hpc_value_kind.HPC_VALUE_TARGET, network.Outputs, "targets"));

    private static (Value X, Value Target) RecordGather(Recorder recorder, List<SlotRule> rules, Network network, ResidentData data)
    {
        hpc_dtype type = data.Labels ? hpc_dtype.HPC_INT32 : hpc_dtype.HPC_FLOAT32;
        int targetColumns = data.Labels ? 1 : network.Outputs;
        Slot start = DeclareSlot(recorder, rules, new SlotRule(SlotSource.BatchStart), "batch.start");
        Value indices = recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_INDEX, data.Rows, 1, data.Indices, 0, "data.order", hpc_dtype.HPC_INT32);
        Value features = recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_PERSISTENT, data.Rows, network.Inputs, data.Features, 0, "data.features");
        Value targets = recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_PERSISTENT, data.Rows, targetColumns, data.Targets, 0, "data.targets", type);
        Value x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Inputs, "x");
        Value target = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, targetColumns, "target", type);
        recorder.GatherRows(features, indices, x, start);
        recorder.GatherRows(targets, indices, target, start);
        return (x, target);
    }

    // The rows that the step is made on: the first ones moved by the sign of the loss's gradient, with the parameters of now. Layers
    // behave as in prediction here, since it is the network without dropout that is to be fooled; metrics count the step alone.
    private Value RecordAttack(Recorder recorder, Network network, Loss loss, AdversarialTraining adversarial)
    {
        var graph = new GraphRecorder(
            network.Graph, recorder, network.Parameters, null,
            RecordingPurpose.ToInput(network.State), hpc_value_kind.HPC_VALUE_TEMPORARY);
        Value output = graph.Forward(X);
        Value gradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "attack.loss.gradient");
        loss.RecordBackward(recorder, output, Target, gradient);
        Value x = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Inputs, "x.adversarial");
        recorder.FastGradientSign(
            X, graph.Backward(gradient), x, adversarial.Epsilon, adversarial.Share, adversarial.Low, adversarial.High);
        // Indices have the gradient 0, but the range is not theirs.
        foreach (var (_, first, columns) in network.IndexColumns)
            recorder.CopyColumns(X, first, x, first, columns);
        return x;
    }

    private static Value RecordTeacher(Recorder recorder, List<SlotRule> rules, Network network, ResidentData? data)
    {
        if (data is null)
            return recorder.RowsValue(hpc_value_kind.HPC_VALUE_INPUT, network.Outputs, "teacher.logits");
        Slot start = DeclareSlot(recorder, rules, new SlotRule(SlotSource.BatchStart), "batch.start.teacher");
        Value indices = recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_INDEX, data.Rows, 1, data.Indices, 0, "data.order", hpc_dtype.HPC_INT32);
        Value all = recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_PERSISTENT, data.Rows, network.Outputs, data.TeacherLogits!, 0, "data.teacher");
        Value logits = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "teacher.logits");
        recorder.GatherRows(all, indices, logits, start);
        return logits;
    }

    // gradient = (1 - alpha) gradient + alpha T^2 d cross-entropy(softmax(z / T), softmax(teacher / T)) / dz; the derivative of z / T
    // takes one T away.
    private void RecordDistillation(
        Recorder recorder, Network network, Reduction reduction, Distillation distillation, Value z, Value gradient)
    {
        Value soft = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "teacher.soft");
        Value student = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "student.soft");
        Value softGradient = recorder.RowsValue(hpc_value_kind.HPC_VALUE_TEMPORARY, network.Outputs, "soft.gradient");
        float coolness = 1f / distillation.Temperature;
        recorder.Fill(soft, 0f);
        recorder.AddScaled(TeacherLogits, soft, coolness);
        recorder.Softmax(soft, soft);
        recorder.Fill(student, 0f);
        recorder.AddScaled(z, student, coolness);
        recorder.ClassLossBackward(
            new ClassLossTerms(hpc_class_loss_kind.HPC_CLASS_LOSS_SOFTMAX_CROSS_ENTROPY), reduction, student, soft, softGradient,
            distillation.Alpha * distillation.Temperature);
        recorder.Scale(gradient, 1f - distillation.Alpha);
        recorder.AddScaled(softGradient, gradient, 1f);
    }

    // Links work on as much memory at once as they can: norm and clip on the whole flat gradient (what is frozen has gradient 0),
    // penalties, decay and the rule on each maximal run of segments with equal settings.
    private static void RecordUpdate(
        Recorder recorder, List<SlotRule> rules, Network network, Optimizer optimizer, OptimizerState state, Slot step, ulong seed,
        bool movesMomentum)
    {
        OptimizerLink[] links = optimizer.Links();
        List<Run> runs = Runs(network, links.Any(l => l is PenaltyLink { Biases: false } or DecoupledWeightDecayLink { Biases: false }));
        if (runs.Count == 0)
            return;

        // Climbing is a negative learning rate, which every rule answers to as to gradients of the other sign. What links add to a
        // gradient is to draw parameters to 0 all the same.
        float direction = optimizer.Maximize ? -1f : 1f;
        foreach (OptimizerLink link in links)
        {
            switch (link)
            {
                case ClipByNormLink clip:
                    Value norm = recorder.FixedValue(hpc_value_kind.HPC_VALUE_TEMPORARY, 1, 1, null, 0, "gradient.norm");
                    Value gradients = AllGradients();
                    recorder.Norm(gradients, norm, clip.Order);
                    recorder.ClipByNorm(gradients, norm, clip.MaxNorm);
                    break;
                case ClipByValueLink clip:
                    recorder.ClipByValue(AllGradients(), clip.Limit);
                    break;
                case PenaltyLink penalty:
                    foreach (Run run in runs.Where(r => r.Takes(penalty.Biases)))
                    {
                        if (penalty.L1 == 0f)
                            recorder.AddScaled(Parameters(run), Gradients(run), direction * penalty.L2);
                        else
                            recorder.AddPenalty(Parameters(run), Gradients(run), direction * penalty.L1, direction * penalty.L2);
                    }
                    break;
            }
        }
        foreach (DecoupledWeightDecayLink decay in links.OfType<DecoupledWeightDecayLink>())
        {
            foreach (Run run in runs.Where(r => r.Takes(decay.Biases)))
            {
                Slot factor = DeclareSlot(
                    recorder, rules, new SlotRule(SlotSource.DecayFactor, run.LearningRateScale * decay.Rate), "decay.factor");
                recorder.Scale(Parameters(run), factor);
            }
        }

        var rates = new Dictionary<float, Slot>();
        float[] constants = optimizer.Hyperparameters();
        var hyperparameters = new Scalar[1 + constants.Length];
        for (int i = 0; i < constants.Length; i++)
            hyperparameters[i + 1] = constants[i];
        if (movesMomentum)
            hyperparameters[1 + optimizer.MomentumIndex] = DeclareSlot(recorder, rules, new SlotRule(SlotSource.Momentum), "momentum");
        float dropRate = links.OfType<LearningRateDropoutLink>().SingleOrDefault()?.Rate ?? 0f;
        foreach (Run run in runs)
        {
            if (!rates.TryGetValue(run.LearningRateScale, out Slot rate))
            {
                rate = DeclareSlot(
                    recorder, rules, new SlotRule(SlotSource.LearningRate, direction * run.LearningRateScale), "learning.rate");
                rates.Add(run.LearningRateScale, rate);
            }
            hyperparameters[0] = rate;
            Value[] moments = [.. state.Moments.Select((moment, i) => recorder.FixedValue(
                hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE, 1, run.Length, moment, run.Offset, FormattableString.Invariant($"state{i + 1}")))];
            Counter stream = 0;
            if (dropRate != 0f)
            {
                stream = DeclareSlot(
                    recorder, rules, new SlotRule(SlotSource.RandomStream, Base: RandomStreams.LearningRateDropout(run.Offset)),
                    "learning.rate.stream");
            }
            recorder.Update(
                (int)optimizer.Rule, Parameters(run), Gradients(run), moments, hyperparameters, step, dropRate, seed, stream);
        }

        foreach (MaxNormLink limit in links.OfType<MaxNormLink>())
        {
            foreach (ParameterSegment weight in network.Graph.Segments.Where(s => s.Decays && network.Trains(s.Node)))
            {
                recorder.LimitColumnNorms(
                    recorder.FixedValue(
                        hpc_value_kind.HPC_VALUE_PARAMETER, weight.Rows, weight.Columns, network.Parameters, weight.Offset, weight.Name),
                    limit.MaxNorm);
            }
        }

        Value AllGradients() => recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_GRADIENT, 1, network.Graph.Elements, state.Gradients, 0, "gradients");

        Value Parameters(Run run) => recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_PARAMETER, 1, run.Length, network.Parameters, run.Offset, "parameters");

        Value Gradients(Run run) => recorder.FixedValue(
            hpc_value_kind.HPC_VALUE_GRADIENT, 1, run.Length, state.Gradients, run.Offset, "gradients");
    }

    private static List<Run> Runs(Network network, bool decay)
    {
        var runs = new List<Run>();
        bool open = false;
        foreach (ParameterSegment segment in network.Graph.Segments.OrderBy(s => s.Offset))
        {
            if (!network.Trains(segment.Node))
            {
                open = false;
                continue;
            }
            var next = new Run(segment.Offset, segment.Length, network.LearningRateScale(segment.Node), decay && segment.Decays);
            if (open && runs[^1] with { Offset = next.Offset, Length = next.Length } == next)
                // The gap before an aligned segment goes along: parameters and gradients are 0 there and stay so.
                runs[^1] = runs[^1] with { Length = segment.Offset + segment.Length - runs[^1].Offset };
            else
                runs.Add(next);
            open = true;
        }
        return runs;
    }

    private static Slot DeclareSlot(Recorder recorder, List<SlotRule> rules, SlotRule rule, string name)
    {
        rules.Add(rule);
        return rule.Source is SlotSource.LearningRate or SlotSource.DecayFactor or SlotSource.Momentum ? recorder.FloatSlot(name) : recorder.CounterSlot(name);
    }
}

/// <summary>What training holds on the device, in bytes.</summary>
/// <param name="Parameters">The network's parameters.</param>
/// <param name="Gradient">Their gradients.</param>
/// <param name="Moments">What the optimizer keeps of them.</param>
/// <param name="Workspace">Temporaries and scratch of the program.</param>
/// <param name="Data">Data sets, and inputs and targets of the program.</param>
internal readonly record struct TrainingMemory(long Parameters, long Gradient, long Moments, long Workspace, long Data);
