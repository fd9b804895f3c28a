// Bench.cs: a small program for a test: values with data, instructions recorded by the test, one run, results read back.

using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

/// <summary>Declares values, lets a test record instructions over them, runs once and reads.</summary>
internal sealed unsafe class Bench : IDisposable
{
    private readonly Device _device;
    private readonly Dictionary<Value, DeviceBuffer> _buffers = [];
    private NativeProgram? _program;

    /// <param name="device">Where.</param>
    /// <param name="rows">Rows of the run; 0 is one, too.</param>
    /// <param name="plain">True: nothing is fused.</param>
    public Bench(Device device, int rows, bool plain = false)
    {
        _device = device;
        Rows = rows;
        Recorder = new Recorder(device, Math.Max(1, rows), plain);
    }

    public int Rows { get; }

    public Recorder Recorder { get; }

    public hpc_metrics Metrics { get; private set; }

    /// <summary>[rows of the run × columns] with data.</summary>
    public Value Input<T>(int columns, T[] data, hpc_value_kind kind = hpc_value_kind.HPC_VALUE_INPUT) where T : unmanaged =>
        Remember(data, buffer => Recorder.RowsValue(
            kind, columns, "input", typeof(T) == typeof(int) ? hpc_dtype.HPC_INT32 : hpc_dtype.HPC_FLOAT32, buffer), Math.Max(1, Rows) * columns);

    /// <summary>[rows × columns] of fixed size with data: parameters, tables.</summary>
    public Value Fixed<T>(int rows, int columns, T[] data, hpc_value_kind kind = hpc_value_kind.HPC_VALUE_PARAMETER) where T : unmanaged =>
        Remember(data, buffer => Recorder.FixedValue(
            kind, rows, columns, buffer, 0, "fixed", typeof(T) == typeof(int) ? hpc_dtype.HPC_INT32 : hpc_dtype.HPC_FLOAT32), rows * columns);

    /// <summary>[rows of the run × columns] to be read afterwards.</summary>
    public Value Output(int columns) => Input(columns, Array.Empty<float>(), hpc_value_kind.HPC_VALUE_OUTPUT);

    /// <summary>[rows × columns] of fixed size to be read afterwards: gradients, sums.</summary>
    public Value FixedOutput(int rows, int columns) => Fixed(rows, columns, Array.Empty<float>(), hpc_value_kind.HPC_VALUE_GRADIENT);

    /// <summary>Finishes and runs what was recorded.</summary>
    public void Run()
    {
        _program ??= Recorder.Finish();
        hpc_metrics metrics;
        _program.Run(Rows, [], &metrics);
        Metrics = metrics;
    }

    /// <summary>Everything of a fixed value, or the run's rows.</summary>
    public float[] Read(Value value, int elements)
    {
        var data = new float[elements];
        _buffers[value].Read<float>(data);
        return data;
    }

    public void Dispose()
    {
        _program?.Dispose();
        Recorder.Dispose();
        foreach (DeviceBuffer buffer in _buffers.Values)
            buffer.Dispose();
    }

    private Value Remember<T>(T[] data, Func<DeviceBuffer, Value> declare, int elements) where T : unmanaged
    {
        var buffer = new DeviceBuffer(_device, elements);
        buffer.Write<T>(data);
        Value value = declare(buffer);
        _buffers.Add(value, buffer);
        return value;
    }
}
