// Recorder.cs: the C# side of recording a program: values, slots, and one mechanical method per instruction
// (hpc_record_dense_forward -> Native.hpc_record_dense_forward -> Recorder.DenseForward). It knows no layer. To add an
// instruction: one more such method, named like its export.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A value of the program being recorded: [rows × Columns], or [count × Columns] where the count is fixed.</summary>
internal readonly record struct Value(uint Id, int Columns)
{
    public static Value None => default;

    public bool IsNone => Id == 0;
}

/// <summary>A cell that each run passes. Slots are numbered from 1 in the order of declaration.</summary>
internal readonly record struct Slot(uint Id)
{
    /// <summary>Where the cell stands in the array that a run takes.</summary>
    public int Index => (int)Id - 1;
}

/// <summary>A floating-point hyperparameter: a constant or a slot.</summary>
internal readonly record struct Scalar(float Constant, Slot Slot)
{
    public static implicit operator Scalar(float constant) => new(constant, default);

    public static implicit operator Scalar(Slot slot) => new(0f, slot);

    internal hpc_scalar Native => new() { constant = Constant, slot = Slot.Id };
}

/// <summary>A 64-bit counter, seed or offset: a constant or a slot.</summary>
internal readonly record struct Counter(ulong Constant, Slot Slot)
{
    public static implicit operator Counter(ulong constant) => new(constant, default);

    public static implicit operator Counter(Slot slot) => new(0, slot);

    internal hpc_counter Native => new() { constant = Constant, slot = Slot.Id };
}

/// <summary>What an elementwise loss is: a row of the native table, its constants, and what its columns have of their own.</summary>
internal readonly record struct LossTerms(int Loss, float Alpha = 0f, float Beta = 0f, Value Weights = default, Value Alphas = default);

/// <summary>What a class loss is, with its settings.</summary>
internal readonly record struct ClassLossTerms(
    hpc_class_loss_kind Kind, float Alpha = 0f, float Beta = 0f, Value ClassWeights = default, int? Ignored = null);

/// <summary>Records one program; <see cref="Finish"/> hands it out.</summary>
internal sealed unsafe class Recorder : IDisposable
{
    private readonly ProgramHandle _program;
    private readonly Device _device;
    private readonly Dictionary<float[], Value> _constants = [];
    private readonly int _rows;
    private readonly List<CustomCall> _calls = [];
    private uint _slots;
    private bool _finished;

    /// <summary>An empty program for up to <paramref name="rows"/> rows.</summary>
    public Recorder(Device device, int rows, bool plain = false)
    {
        _device = device;
        _rows = rows;
        _program = ProgramHandle.Create(device.Handle, new hpc_program_options
        {
            rows = (ulong)rows,
            steps = 1,
            flags = (uint)(plain ? hpc_program_flags.HPC_PROGRAM_PLAIN : device.ProgramFlags),
        });
    }

    /// <summary>Checks, fuses and plans what was recorded.</summary>
    public NativeProgram Finish()
    {
        using (var lease = _program.Lease())
            Status.Check(Native.hpc_program_finish(lease.Pointer));
        _finished = true;
        return new NativeProgram(_program, _rows, (int)_slots, [.. _calls]);
    }

    /// <summary>Destroys a program that was not finished.</summary>
    public void Dispose()
    {
        if (!_finished)
            _program.Dispose();
    }

    /// <summary>A value with as many rows as the run; without a buffer the program owns its memory.</summary>
    public Value RowsValue(
        hpc_value_kind kind, int columns, string name, hpc_dtype type = hpc_dtype.HPC_FLOAT32, DeviceBuffer? buffer = null) =>
        Declare(kind, type, hpc_lead.HPC_LEAD_ROWS, 0, columns, buffer, 0, name);

    /// <summary>A value of a fixed number of rows in a buffer, from an offset in elements.</summary>
    public Value FixedValue(
        hpc_value_kind kind, long rows, int columns, DeviceBuffer? buffer, long offset, string name, hpc_dtype type = hpc_dtype.HPC_FLOAT32) =>
        Declare(kind, type, hpc_lead.HPC_LEAD_FIXED, rows, columns, buffer, offset, name);

    /// <summary>[1 × length] of fixed numbers. The same array is the same value, and the program keeps the memory; null is none.</summary>
    public Value Constant(float[]? data, string name)
    {
        if (data is null)
            return Value.None;
        if (!_constants.TryGetValue(data, out Value value))
        {
            using var buffer = new DeviceBuffer(_device, data.Length);
            buffer.Write<float>(data);
            value = FixedValue(hpc_value_kind.HPC_VALUE_PERSISTENT, 1, data.Length, buffer, 0, name);
            _constants.Add(data, value);
        }
        return value;
    }

    public Slot FloatSlot(string name) => DeclareSlot(hpc_slot_type.HPC_SLOT_FLOAT, name);

    public Slot CounterSlot(string name) => DeclareSlot(hpc_slot_type.HPC_SLOT_UINT64, name);

    public void GatherRows(Value source, Value indices, Value destination, Counter offset)
    {
        var arguments = new hpc_gather_rows
        {
            source = source.Id,
            indices = indices.Id,
            destination = destination.Id,
            offset = offset.Native,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_gather_rows(lease.Pointer, &arguments));
    }

    public void DenseForward(Value x, Value w, Value b, Value y)
    {
        var arguments = new hpc_dense_forward { x = x.Id, w = w.Id, b = b.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_dense_forward(lease.Pointer, &arguments));
    }

    public void DenseBackwardInput(Value dy, Value w, Value dx)
    {
        var arguments = new hpc_dense_backward_input { dy = dy.Id, w = w.Id, dx = dx.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_dense_backward_input(lease.Pointer, &arguments));
    }

    public void DenseBackwardWeight(Value x, Value dy, Value dw)
    {
        var arguments = new hpc_dense_backward_weight { x = x.Id, dy = dy.Id, dw = dw.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_dense_backward_weight(lease.Pointer, &arguments));
    }

    public void ColumnSums(Value x, Value y)
    {
        var arguments = new hpc_column_sums { x = x.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_column_sums(lease.Pointer, &arguments));
    }

    public void ActivationForward(int activation, Value x, Value y, Value derivative, float alpha, float beta)
    {
        var arguments = new hpc_activation_forward
        {
            activation = activation,
            x = x.Id,
            y = y.Id,
            derivative = derivative.Id,
            alpha = alpha,
            beta = beta,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_activation_forward(lease.Pointer, &arguments));
    }

    public void ActivationBackward(int activation, Value kept, Value dy, Value dx, float alpha, float beta)
    {
        var arguments = new hpc_activation_backward
        {
            activation = activation,
            kept = kept.Id,
            dy = dy.Id,
            dx = dx.Id,
            alpha = alpha,
            beta = beta,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_activation_backward(lease.Pointer, &arguments));
    }

    public void LossForward(in LossTerms terms, Reduction reduction, Value prediction, Value target, Scalar weight)
    {
        var arguments = new hpc_loss_forward
        {
            loss = terms.Loss,
            reduction = (int)reduction,
            prediction = prediction.Id,
            target = target.Id,
            alpha = terms.Alpha,
            beta = terms.Beta,
            weight = weight.Native,
            weights = terms.Weights.Id,
            alphas = terms.Alphas.Id,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_loss_forward(lease.Pointer, &arguments));
    }

    public void LossBackward(in LossTerms terms, Reduction reduction, Value prediction, Value target, Value gradient, Scalar weight)
    {
        var arguments = new hpc_loss_backward
        {
            loss = terms.Loss,
            reduction = (int)reduction,
            prediction = prediction.Id,
            target = target.Id,
            gradient = gradient.Id,
            alpha = terms.Alpha,
            beta = terms.Beta,
            weight = weight.Native,
            weights = terms.Weights.Id,
            alphas = terms.Alphas.Id,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_loss_backward(lease.Pointer, &arguments));
    }

    public void ClassLossForward(in ClassLossTerms terms, Reduction reduction, Value scores, Value target, Scalar weight)
    {
        var arguments = new hpc_class_loss_forward
        {
            loss = (int)terms.Kind,
            reduction = (int)reduction,
            scores = scores.Id,
            target = target.Id,
            weight = weight.Native,
            class_weights = terms.ClassWeights.Id,
            ignores = terms.Ignored is null ? 0u : 1u,
            ignored = terms.Ignored ?? 0,
            alpha = terms.Alpha,
            beta = terms.Beta,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_class_loss_forward(lease.Pointer, &arguments));
    }

    public void ClassLossBackward(in ClassLossTerms terms, Reduction reduction, Value scores, Value target, Value gradient, Scalar weight)
    {
        var arguments = new hpc_class_loss_backward
        {
            loss = (int)terms.Kind,
            reduction = (int)reduction,
            scores = scores.Id,
            target = target.Id,
            gradient = gradient.Id,
            weight = weight.Native,
            class_weights = terms.ClassWeights.Id,
            ignores = terms.Ignored is null ? 0u : 1u,
            ignored = terms.Ignored ?? 0,
            alpha = terms.Alpha,
            beta = terms.Beta,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_class_loss_backward(lease.Pointer, &arguments));
    }

    public void Softmax(Value x, Value y)
    {
        var arguments = new hpc_softmax { x = x.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_softmax(lease.Pointer, &arguments));
    }

    public void SoftmaxBackward(Value y, Value dy, Value dx)
    {
        var arguments = new hpc_softmax_backward { y = y.Id, dy = dy.Id, dx = dx.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_softmax_backward(lease.Pointer, &arguments));
    }

    public void LogSoftmax(Value x, Value y)
    {
        var arguments = new hpc_log_softmax { x = x.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_log_softmax(lease.Pointer, &arguments));
    }

    public void LogSoftmaxBackward(Value y, Value dy, Value dx)
    {
        var arguments = new hpc_log_softmax_backward { y = y.Id, dy = dy.Id, dx = dx.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_log_softmax_backward(lease.Pointer, &arguments));
    }

    public void PreluForward(Value x, Value slope, Value y)
    {
        var arguments = new hpc_prelu_forward { x = x.Id, slope = slope.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_prelu_forward(lease.Pointer, &arguments));
    }

    public void PreluBackward(Value x, Value slope, Value dy, Value dx, Value slopeGradient)
    {
        var arguments = new hpc_prelu_backward { x = x.Id, slope = slope.Id, dy = dy.Id, dx = dx.Id, dslope = slopeGradient.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_prelu_backward(lease.Pointer, &arguments));
    }

    public void Update(
        int rule, Value parameters, Value gradients, ReadOnlySpan<Value> states, ReadOnlySpan<Scalar> hyperparameters, Counter step,
        Scalar dropRate = default, Counter seed = default, Counter stream = default)
    {
        var arguments = new hpc_update
        {
            rule = rule,
            parameters = parameters.Id,
            gradients = gradients.Id,
            step = step.Native,
            drop_rate = dropRate.Native,
            seed = seed.Native,
            stream = stream.Native,
        };
        for (int i = 0; i < states.Length; i++)
            arguments.states[i] = states[i].Id;
        for (int i = 0; i < hyperparameters.Length; i++)
            arguments.hyperparameters[i] = hyperparameters[i].Native;
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_update(lease.Pointer, &arguments));
    }

    public void Norm(Value x, Value norm, float order = 2f)
    {
        var arguments = new hpc_norm { x = x.Id, norm = norm.Id, order = order };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_norm(lease.Pointer, &arguments));
    }

    public void ClipByNorm(Value x, Value norm, Scalar maxNorm)
    {
        var arguments = new hpc_clip_by_norm { x = x.Id, norm = norm.Id, max_norm = maxNorm.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_clip_by_norm(lease.Pointer, &arguments));
    }

    public void ClipByValue(Value x, Scalar limit)
    {
        var arguments = new hpc_clip_by_value { x = x.Id, limit = limit.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_clip_by_value(lease.Pointer, &arguments));
    }

    public void AddPenalty(Value x, Value y, Scalar l1, Scalar l2)
    {
        var arguments = new hpc_add_penalty { x = x.Id, y = y.Id, l1 = l1.Native, l2 = l2.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_add_penalty(lease.Pointer, &arguments));
    }

    public void LimitColumnNorms(Value x, Scalar maxNorm)
    {
        var arguments = new hpc_limit_column_norms { x = x.Id, max_norm = maxNorm.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_limit_column_norms(lease.Pointer, &arguments));
    }

    public void Scale(Value x, Scalar factor)
    {
        var arguments = new hpc_scale { x = x.Id, factor = factor.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_scale(lease.Pointer, &arguments));
    }

    public void AddScaled(Value x, Value y, Scalar factor)
    {
        var arguments = new hpc_add_scaled { x = x.Id, y = y.Id, factor = factor.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_add_scaled(lease.Pointer, &arguments));
    }

    public void Fill(Value x, Scalar value)
    {
        var arguments = new hpc_fill { x = x.Id, value = value.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_fill(lease.Pointer, &arguments));
    }

    public void PhiloxUniform(Value x, Counter seed, Counter stream, float low, float high)
    {
        var arguments = new hpc_philox_uniform { x = x.Id, seed = seed.Native, stream = stream.Native, low = low, high = high };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_philox_uniform(lease.Pointer, &arguments));
    }

    public void Dropout(Value x, Value y, Counter seed, Counter stream, Scalar rate)
    {
        var arguments = new hpc_dropout { x = x.Id, y = y.Id, seed = seed.Native, stream = stream.Native, rate = rate.Native };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_dropout(lease.Pointer, &arguments));
    }

    public void FastGradientSign(Value x, Value gradient, Value y, Scalar epsilon, float share, float low, float high)
    {
        var arguments = new hpc_fast_gradient_sign
        {
            x = x.Id,
            gradient = gradient.Id,
            y = y.Id,
            share = share,
            low = low,
            high = high,
            epsilon = epsilon.Native,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_fast_gradient_sign(lease.Pointer, &arguments));
    }

    public void Multiply(Value x, Value y, Value z)
    {
        var arguments = new hpc_multiply { x = x.Id, y = y.Id, z = z.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_multiply(lease.Pointer, &arguments));
    }

    /// <summary>Of each of <paramref name="pieces"/> equal pieces of a row, a block of columns.</summary>
    public void CopyColumns(Value x, int xColumn, Value y, int yColumn, int columns, int pieces = 1)
    {
        var arguments = new hpc_copy_columns
        {
            x = x.Id,
            y = y.Id,
            pieces = (ulong)pieces,
            x_column = (ulong)xColumn,
            y_column = (ulong)yColumn,
            columns = (ulong)columns,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_copy_columns(lease.Pointer, &arguments));
    }

    public void AffineDropout(Value x, Value y, Counter seed, Counter stream, float rate, float scale, float shift, float dropped)
    {
        var arguments = new hpc_affine_dropout
        {
            x = x.Id,
            y = y.Id,
            seed = seed.Native,
            stream = stream.Native,
            rate = rate,
            scale = scale,
            shift = shift,
            dropped = dropped,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_affine_dropout(lease.Pointer, &arguments));
    }

    public void GaussianNoise(Value x, Value y, Counter seed, Counter stream, Scalar deviation)
    {
        var arguments = new hpc_gaussian_noise
        {
            x = x.Id,
            y = y.Id,
            seed = seed.Native,
            stream = stream.Native,
            deviation = deviation.Native,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_gaussian_noise(lease.Pointer, &arguments));
    }

    /// <summary>Code of the user's own; the operands are the values read, then those written, none as null.</summary>
    public void Call(CustomCall call, string name, ReadOnlySpan<Value> reads, ReadOnlySpan<Value> writes)
    {
        Span<uint> ids = stackalloc uint[reads.Length + writes.Length];
        for (int i = 0; i < ids.Length; i++)
            ids[i] = (i < reads.Length ? reads[i] : writes[i - reads.Length]).Id;
        using var text = new Utf8(name);
        using var lease = _program.Lease();
        fixed (uint* operands = ids)
        {
            var arguments = new hpc_call
            {
                function = CustomCall.Function,
                context = (void*)_program.Keep(call),
                name = text.Pointer,
                reads = operands,
                writes = operands + reads.Length,
                read_count = (uint)reads.Length,
                write_count = (uint)writes.Length,
            };
            Status.Check(Native.hpc_record_call(lease.Pointer, &arguments));
        }
        _calls.Add(call);
    }

    public void RecurrentForward(in hpc_recurrent_forward arguments)
    {
        hpc_recurrent_forward copy = arguments;
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_recurrent_forward(lease.Pointer, &copy));
    }

    public void RecurrentBackward(in hpc_recurrent_backward arguments)
    {
        hpc_recurrent_backward copy = arguments;
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_recurrent_backward(lease.Pointer, &copy));
    }

    public void BatchNormForward(
        Value x, Value weight, Value bias, Value runningMean, Value runningVariance, Value y, Value statistics, float epsilon)
    {
        var arguments = new hpc_batch_norm_forward
        {
            x = x.Id,
            weight = weight.Id,
            bias = bias.Id,
            running_mean = runningMean.Id,
            running_variance = runningVariance.Id,
            y = y.Id,
            statistics = statistics.Id,
            epsilon = epsilon,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_batch_norm_forward(lease.Pointer, &arguments));
    }

    public void BatchNormBackward(
        Value x, Value dy, Value weight, Value statistics, Value dx, Value dweight, Value dbias, bool constantStatistics)
    {
        var arguments = new hpc_batch_norm_backward
        {
            x = x.Id,
            dy = dy.Id,
            weight = weight.Id,
            statistics = statistics.Id,
            dx = dx.Id,
            dweight = dweight.Id,
            dbias = dbias.Id,
            constant_statistics = constantStatistics ? 1 : 0,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_batch_norm_backward(lease.Pointer, &arguments));
    }

    /// <summary>Without a momentum: the plain average over all batches.</summary>
    public void BatchNormUpdate(Value statistics, Value runningMean, Value runningVariance, Value batches, float? momentum)
    {
        var arguments = new hpc_batch_norm_update
        {
            statistics = statistics.Id,
            running_mean = runningMean.Id,
            running_variance = runningVariance.Id,
            batches = batches.Id,
            cumulative = momentum is null ? 1 : 0,
            momentum = ((Scalar)(momentum ?? 0f)).Native,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_batch_norm_update(lease.Pointer, &arguments));
    }

    public void LayerNormForward(Value x, Value weight, Value bias, Value y, Value statistics, int size, float epsilon)
    {
        var arguments = new hpc_layer_norm_forward
        {
            x = x.Id,
            weight = weight.Id,
            bias = bias.Id,
            y = y.Id,
            statistics = statistics.Id,
            size = (uint)size,
            epsilon = epsilon,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_layer_norm_forward(lease.Pointer, &arguments));
    }

    public void LayerNormBackward(Value x, Value dy, Value weight, Value statistics, Value dx, Value dweight, Value dbias, int size)
    {
        var arguments = new hpc_layer_norm_backward
        {
            x = x.Id,
            dy = dy.Id,
            weight = weight.Id,
            statistics = statistics.Id,
            dx = dx.Id,
            dweight = dweight.Id,
            dbias = dbias.Id,
            size = (uint)size,
        };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_layer_norm_backward(lease.Pointer, &arguments));
    }

    public void EmbeddingForward(Value table, Value indices, Value y)
    {
        var arguments = new hpc_embedding_forward { table = table.Id, indices = indices.Id, y = y.Id };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_embedding_forward(lease.Pointer, &arguments));
    }

    /// <summary>The row <paramref name="padding"/> gets no gradient; −1: all do.</summary>
    public void EmbeddingBackward(Value indices, Value dy, Value dtable, int padding)
    {
        var arguments = new hpc_embedding_backward { indices = indices.Id, dy = dy.Id, dtable = dtable.Id, padding = padding };
        using var lease = _program.Lease();
        Status.Check(Native.hpc_record_embedding_backward(lease.Pointer, &arguments));
    }

    private Value Declare(
        hpc_value_kind kind, hpc_dtype type, hpc_lead lead, long count, int columns, DeviceBuffer? buffer, long offset, string name)
    {
        using var text = new Utf8(name);
        using var lease = _program.Lease();
        var desc = new hpc_value_desc
        {
            kind = (int)kind,
            dtype = (int)type,
            lead = (int)lead,
            count = (ulong)count,
            columns = (ulong)columns,
            offset = (ulong)offset * 4,
            name = text.Pointer,
        };
        uint id;
        if (buffer is null)
        {
            Status.Check(Native.hpc_program_value(lease.Pointer, &desc, &id));
        }
        else
        {
            using var memory = buffer.Handle.Lease();
            desc.buffer = memory.Pointer;
            Status.Check(Native.hpc_program_value(lease.Pointer, &desc, &id));
        }
        return new Value(id, columns);
    }

    private Slot DeclareSlot(hpc_slot_type type, string name)
    {
        using var text = new Utf8(name);
        using var lease = _program.Lease();
        uint id;
        Status.Check(Native.hpc_program_slot(lease.Pointer, (int)type, text.Pointer, &id));
        _slots = id;
        return new Slot(id);
    }
}
