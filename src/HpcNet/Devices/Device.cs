// Device.cs: a device is memory and something that executes programs; here the CPU with its thread team. Networks, trainers
// and predictors are made on a device, and the native core keeps it alive for as long as one of them needs it.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>What a device can do at most, measured.</summary>
/// <param name="PeakGflops">Billions of floating-point operations per second of fused multiply-adds in registers, all threads together.</param>
/// <param name="CopyGigabytesPerSecond">Memory copy, bytes read and written, all threads together.</param>
public readonly record struct DeviceMeasurement(double PeakGflops, double CopyGigabytesPerSecond);

/// <summary>
/// Where networks live and run. A device may be used from any thread and by any number of networks at once; disposing it
/// while they live is allowed (they keep what they need).
/// </summary>
public sealed unsafe class Device : IDisposable
{
    private static readonly Lazy<Device> Shared = new(() => Open(new CpuOptions(), shared: true));

    private readonly bool _shared;
    private readonly hpc_device_info _info;

    private Device(DeviceHandle handle, bool shared)
    {
        Handle = handle;
        _shared = shared;
        _info = Info();
        Name = NativeText.FromFixed(_info.name);
        Isa = NativeText.FromFixed(_info.isa);
        Blas = NativeText.FromFixed(_info.blas);
        BlasPath = NativeText.FromFixed(_info.blas_path);
    }

    /// <summary>
    /// The process-wide device, made when first asked for: the CPU with what <c>HPCNET_DEVICE</c>, <c>HPCNET_THREADS</c>,
    /// <c>HPCNET_ISA</c> and <c>HPCNET_BLAS</c> choose. Disposing it does nothing.
    /// </summary>
    /// <exception cref="HpcNetException">A choice made in the environment has no meaning or is not available.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device Default => Shared.Value;

    /// <summary>The kind: <c>cpu</c>.</summary>
    public string Kind => "cpu";

    /// <summary>The processor's name.</summary>
    public string Name { get; }

    /// <summary>Instruction set of the kernels that run: <c>avx512</c>, <c>avx2</c> or <c>scalar</c>.</summary>
    public string Isa { get; }

    /// <summary>What serves matrix products: <c>builtin</c>, <c>mkl</c>, <c>openblas</c>, <c>onednn</c>, <c>blis</c> or <c>custom</c>.</summary>
    public string Blas { get; }

    /// <summary>The file that <see cref="Blas"/> was loaded from; empty for <c>builtin</c>.</summary>
    public string BlasPath { get; }

    /// <summary>Threads of the team.</summary>
    public int Threads => _info.threads;

    /// <summary>Memory of the machine in bytes.</summary>
    public ulong MemoryBytes => _info.memory_bytes;

    /// <summary>Bytes that buffers and programs of this device hold now.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public ulong AllocatedBytes => Info().allocated_bytes;

    internal DeviceHandle Handle { get; }

    /// <summary>Makes a CPU device with a thread team of its own.</summary>
    /// <param name="options">Choices; null, or null members: the environment's, then the machine's.</param>
    /// <exception cref="HpcNetException">A choice has no meaning in the environment, or is not available on this machine.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device Cpu(CpuOptions? options = null) => Open(options ?? new CpuOptions(), shared: false);

    /// <summary>What was tried, found and chosen when the device was made, a line each.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public string Describe() => NativeText.Read((text, capacity, needed) =>
    {
        using var lease = Handle.Lease();
        return Native.hpc_device_describe(lease.Pointer, text, capacity, needed);
    });

    /// <summary>Measures the peak of floating-point operations and of memory copies, with the whole team.</summary>
    /// <param name="milliseconds">How long to measure in all, 1 to 10,000.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="milliseconds"/> is outside its range.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public DeviceMeasurement Measure(int milliseconds = 200)
    {
        if (milliseconds is < 1 or > 10_000)
        {
            throw new ArgumentOutOfRangeException(
                nameof(milliseconds), milliseconds, $"milliseconds is {milliseconds}; expected 1 to 10000.");
        }
        hpc_measurement measurement;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_measure(lease.Pointer, milliseconds, &measurement));
        return new DeviceMeasurement(measurement.peak_gflops, measurement.copy_gigabytes_per_second);
    }

    /// <summary>Gives the device back; what lives on it keeps what it needs. Does nothing on <see cref="Default"/>.</summary>
    public void Dispose()
    {
        if (!_shared)
            Handle.Dispose();
    }

    /// <summary>One line: name, instruction set, provider, threads.</summary>
    public override string ToString() => $"{Name}: {Isa}, {Blas}, {Threads} thread{(Threads == 1 ? "" : "s")}";

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(Handle.IsClosed, this);

    private static Device Open(CpuOptions options, bool shared)
    {
        CpuOptions chosen = options.WithEnvironment(Environment.GetEnvironmentVariable);
        using var isa = new Utf8(chosen.Isa);
        using var blas = new Utf8(chosen.Blas);
        using var folders = new Utf8(AppContext.BaseDirectory); // the core looks into runtimes/<rid>/native below it as well
        var native = new hpc_device_options
        {
            kind = (int)hpc_device_kind.HPC_DEVICE_CPU,
            threads = chosen.Threads ?? 0,
            isa = isa.Pointer,
            blas = blas.Pointer,
            library_directories = folders.Pointer,
        };
        return new Device(DeviceHandle.Create(native), shared);
    }

    private hpc_device_info Info()
    {
        hpc_device_info info;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_get_info(lease.Pointer, &info));
        return info;
    }
}
