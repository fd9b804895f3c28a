// Device.cs: a device is memory and something that executes programs: the CPU with its thread team, or an OpenCL device with
// its queue. Networks, trainers and predictors are made on a device, and the native core keeps it alive for as long as one of
// them needs it.

using HpcNet.Interop;

namespace HpcNet;

/// <summary>What a device can do at most, measured.</summary>
/// <param name="PeakGflops">Billions of floating-point operations per second of fused multiply-adds in registers, on the whole device.</param>
/// <param name="CopyGigabytesPerSecond">Memory copy, bytes read and written, on the whole device.</param>
public readonly record struct DeviceMeasurement(double PeakGflops, double CopyGigabytesPerSecond);

/// <summary>How fast memory comes and goes on the whole device, in 10⁹ bytes per second; reads and writes count alike.</summary>
/// <param name="Read">Four streams read.</param>
/// <param name="Copy">Two streams copied to two others, with or without going past the caches, whichever is faster.</param>
/// <param name="Update">Four streams read and three of them written back, as an optimizer with two moments does.</param>
/// <param name="Bytes">The memory that was gone over.</param>
public readonly record struct MemoryBandwidth(double Read, double Copy, double Update, long Bytes)
{
    /// <summary>The largest of the three: one stream alone shows half of what several get.</summary>
    public double Best => Math.Max(Read, Math.Max(Copy, Update));

    /// <summary>The fastest that bytes came in: those of <see cref="Read"/>, or the part of the others that was read.</summary>
    public double BestRead => Math.Max(Read, Math.Max(Copy / 2, Update * 4 / 7));
}

/// <summary>A device's data caches in bytes; 0: there is none, or it is not known.</summary>
/// <param name="Level1">Of one core.</param>
/// <param name="Level2">Of one core; of an OpenCL device the cache of its global memory.</param>
/// <param name="Level3">Of several cores.</param>
/// <param name="Level3Threads">Hardware threads that share one of level 3.</param>
/// <param name="Guessed">Whether the processor did not say: these are usual sizes.</param>
public readonly record struct CacheSizes(long Level1, long Level2, long Level3, int Level3Threads, bool Guessed);

/// <summary>
/// Where networks live and run. A device may be used from any thread and by any number of networks at once; disposing it
/// while they live is allowed (they keep what they need).
/// </summary>
public sealed unsafe class Device : IDisposable
{
    private static readonly Lazy<Device> Shared = new(
        () => Make(DeviceChoice.FromEnvironment(Environment.GetEnvironmentVariable), new CpuOptions(), new OpenClOptions(), shared: true));

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
        PrecisionNote = NativeText.FromFixed(_info.precision_note);
    }

    /// <summary>
    /// The process-wide device, made when first asked for: what <c>HPCNET_DEVICE</c> names (<c>cpu</c>, <c>opencl</c>,
    /// <c>opencl:N</c>, <c>opencl:name</c>), else the CPU with what <c>HPCNET_THREADS</c>, <c>HPCNET_ISA</c> and
    /// <c>HPCNET_BLAS</c> choose. Disposing it does nothing.
    /// </summary>
    /// <exception cref="HpcNetException">A choice made in the environment has no meaning or is not available.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device Default => Shared.Value;

    /// <summary>The kind: <c>cpu</c> or <c>opencl</c>.</summary>
    public string Kind => IsOpenCl ? "opencl" : "cpu";

    /// <summary>Whether this is an OpenCL device.</summary>
    public bool IsOpenCl => _info.kind == (int)hpc_device_kind.HPC_DEVICE_OPENCL;

    /// <summary>The processor's or card's name.</summary>
    public string Name { get; }

    /// <summary>Instruction set of the kernels that run: <c>avx512</c>, <c>avx2</c> or <c>scalar</c>; empty for OpenCL.</summary>
    public string Isa { get; }

    /// <summary>
    /// What serves matrix products: <c>builtin</c>, <c>mkl</c>, <c>openblas</c>, <c>onednn</c>, <c>blis</c> or <c>custom</c>; empty
    /// for OpenCL, which has kernels of its own.
    /// </summary>
    public string Blas { get; }

    /// <summary>The file that <see cref="Blas"/> was loaded from; empty for <c>builtin</c>.</summary>
    public string BlasPath { get; }

    /// <summary>What matrix products are multiplied in.</summary>
    public Precision Precision => (Precision)_info.precision;

    /// <summary>What <see cref="OpenClOptions.Precision"/> asked for.</summary>
    public Precision AskedPrecision => (Precision)_info.asked_precision;

    /// <summary>
    /// Why <see cref="Precision"/> is not <see cref="AskedPrecision"/>, or the beginning of it (<see cref="Describe"/> has it whole); empty
    /// where they are the same.
    /// </summary>
    public string PrecisionNote { get; }

    /// <summary>Threads of the team; of an OpenCL device its compute units.</summary>
    public int Threads => _info.threads;

    /// <summary>Memory of the machine, or of the card, in bytes.</summary>
    public ulong MemoryBytes => _info.memory_bytes;

    /// <summary>Bytes that buffers and programs of this device hold now.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public ulong AllocatedBytes => Info().allocated_bytes;

    internal DeviceHandle Handle { get; }

    /// <summary>What programs of this device are made with.</summary>
    internal hpc_program_flags ProgramFlags { get; private init; }

    /// <summary>Makes a CPU device with a thread team of its own.</summary>
    /// <param name="options">Choices; null, or null members: the environment's, then the machine's.</param>
    /// <exception cref="HpcNetException">A choice has no meaning in the environment, or is not available on this machine.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device Cpu(CpuOptions? options = null) => Make(default, options ?? new CpuOptions(), new OpenClOptions(), shared: false);

    /// <summary>Makes a device on the best OpenCL device: a GPU before others, then the one with most compute units times clock.</summary>
    /// <param name="options">Further choices; null: the default ones.</param>
    /// <exception cref="HpcNetException">No loader, no platform, no device, or none that has what is needed; the message says what was looked for and found.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device OpenCl(OpenClOptions? options = null) =>
        Make(new DeviceChoice(OpenCl: true), new CpuOptions(), options ?? new OpenClOptions(), shared: false);

    /// <summary>Makes a device on the OpenCL device of this number.</summary>
    /// <param name="index">The number in <see cref="DescribeOpenCl"/>, from 0.</param>
    /// <param name="options">Further choices; null: the default ones.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is negative.</exception>
    /// <exception cref="HpcNetException">There is no such device, or it lacks what is needed; the message says what was looked for and found.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device OpenCl(int index, OpenClOptions? options = null)
    {
        if (index < 0)
            throw new ArgumentOutOfRangeException(nameof(index), index, $"index is {index}; expected the number of an OpenCL device, from 0.");
        return Make(new DeviceChoice(OpenCl: true, index), new CpuOptions(), options ?? new OpenClOptions(), shared: false);
    }

    /// <summary>Makes a device on the best OpenCL device whose own or platform's name holds this text.</summary>
    /// <param name="name">A fragment of the name, in any case of letters; not empty.</param>
    /// <param name="options">Further choices; null: the default ones.</param>
    /// <exception cref="ArgumentException"><paramref name="name"/> is empty.</exception>
    /// <exception cref="HpcNetException">There is no such device, or it lacks what is needed; the message says what was looked for and found.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device OpenCl(string name, OpenClOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        return Make(new DeviceChoice(OpenCl: true, Name: name.Trim()), new CpuOptions(), options ?? new OpenClOptions(), shared: false);
    }

    /// <summary>
    /// Makes a device over a context and a queue of the caller's: what is run here is enqueued there, in order with the caller's
    /// own commands. Both are retained until the device and all that lives on it are gone.
    /// </summary>
    /// <param name="context">A <c>cl_context</c>.</param>
    /// <param name="queue">An in-order <c>cl_command_queue</c> of that context.</param>
    /// <param name="options">Further choices; null: the default ones.</param>
    /// <exception cref="ArgumentException">One is 0, they do not belong together, or the queue runs out of order.</exception>
    /// <exception cref="HpcNetException">The device lacks what is needed.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device OpenCl(nint context, nint queue, OpenClOptions? options = null)
    {
        if (context == 0)
            throw new ArgumentException("context is 0; expected a cl_context.", nameof(context));
        if (queue == 0)
            throw new ArgumentException("queue is 0; expected a cl_command_queue of the context.", nameof(queue));
        return MakeOpenCl(new DeviceChoice(OpenCl: true), context, queue, options ?? new OpenClOptions(), shared: false);
    }

    /// <summary>Makes the device that a text names, as <c>HPCNET_DEVICE</c> and the tool's <c>--device</c> do.</summary>
    /// <param name="device"><c>cpu</c>, <c>opencl</c>, <c>opencl:N</c> or <c>opencl:name</c>; null: what <c>HPCNET_DEVICE</c> says, else the CPU.</param>
    /// <param name="cpu">Choices for the CPU; null, or null members: the environment's, then the machine's.</param>
    /// <param name="openCl">Choices for OpenCL; null: the default ones.</param>
    /// <exception cref="ArgumentException"><paramref name="device"/> has no meaning.</exception>
    /// <exception cref="HpcNetException">The choice is not available on this machine; the message says what was looked for and found.</exception>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static Device Open(string? device = null, CpuOptions? cpu = null, OpenClOptions? openCl = null)
    {
        DeviceChoice choice;
        if (device is null)
            choice = DeviceChoice.FromEnvironment(Environment.GetEnvironmentVariable);
        else if (!DeviceChoice.TryParse(device, out choice))
            throw new ArgumentException($"device is '{device}'; expected {DeviceChoice.Expected}.", nameof(device));
        return Make(choice, cpu ?? new CpuOptions(), openCl ?? new OpenClOptions(), shared: false);
    }

    /// <summary>
    /// OpenCL as this process finds it: the libraries that were looked for, platforms, devices with their numbers, drivers, memory
    /// and limits. That nothing was found is an answer, too.
    /// </summary>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static string DescribeOpenCl()
    {
        NativeLibraryResolver.EnsureLoaded();
        return NativeText.Read(Native.hpc_opencl_describe);
    }

    /// <summary>How many devices <see cref="DescribeOpenCl"/> numbers.</summary>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded; the message lists what was tried.</exception>
    public static int OpenClDeviceCount
    {
        get
        {
            NativeLibraryResolver.EnsureLoaded();
            int count;
            Status.Check(Native.hpc_opencl_device_count(&count));
            return count;
        }
    }

    /// <summary>What was tried, found and chosen when the device was made, a line each.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public string Describe() => NativeText.Read((text, capacity, needed) =>
    {
        using var lease = Handle.Lease();
        return Native.hpc_device_describe(lease.Pointer, text, capacity, needed);
    });

    /// <summary>Measures the peak of floating-point operations and of memory copies, with the whole device.</summary>
    /// <param name="milliseconds">How long to measure in all, 1 to 10,000.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="milliseconds"/> is outside its range.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public DeviceMeasurement Measure(int milliseconds = 200)
    {
        CheckMilliseconds(milliseconds);
        hpc_measurement measurement;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_measure(lease.Pointer, milliseconds, &measurement));
        return new DeviceMeasurement(measurement.peak_gflops, measurement.copy_gigabytes_per_second);
    }

    /// <summary>Measures the peak of floating-point operations alone, in 10⁹ per second, with the whole device.</summary>
    /// <param name="milliseconds">How long to measure, 1 to 10,000.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="milliseconds"/> is outside its range.</exception>
    /// <exception cref="HpcNetException">Programs ran on the device for as long.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public double MeasurePeak(int milliseconds = 100)
    {
        CheckMilliseconds(milliseconds);
        double peak;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_measure_peak(lease.Pointer, milliseconds, &peak));
        return peak;
    }

    /// <summary>
    /// Measures how fast memory comes and goes when the whole device goes over so many bytes again and again: what fits into a
    /// cache (<see cref="Caches"/>) shows the bandwidth of that cache.
    /// </summary>
    /// <param name="bytes">4,096 to 2³⁶, shared out evenly to the threads; each goes over its own.</param>
    /// <param name="milliseconds">How long to measure in all, 1 to 10,000.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    /// <exception cref="HpcNetException">The memory is not to be had, or programs ran on the device for as long.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public MemoryBandwidth MeasureMemory(long bytes, int milliseconds = 100)
    {
        if (bytes is < 4096 or > 1L << 36)
            throw new ArgumentOutOfRangeException(nameof(bytes), bytes, $"bytes is {bytes}; expected 4096 to 2^36.");
        CheckMilliseconds(milliseconds);
        hpc_memory_bandwidth bandwidth;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_measure_memory(lease.Pointer, (ulong)bytes, milliseconds, &bandwidth));
        return new MemoryBandwidth(bandwidth.read, bandwidth.copy, bandwidth.update, (long)bandwidth.bytes);
    }

    /// <summary>The device's caches.</summary>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public CacheSizes Caches
    {
        get
        {
            hpc_cache_info info;
            using var lease = Handle.Lease();
            Status.Check(Native.hpc_device_get_caches(lease.Pointer, &info));
            return new CacheSizes(
                (long)info.level1_bytes, (long)info.level2_bytes, (long)info.level3_bytes, info.level3_threads, info.guessed != 0);
        }
    }

    /// <summary>Gives the device back; what lives on it keeps what it needs. Does nothing on <see cref="Default"/>.</summary>
    public void Dispose()
    {
        if (!_shared)
            Handle.Dispose();
    }

    /// <summary>One line: name, instruction set, provider, threads; or name and compute units.</summary>
    public override string ToString() => $"{Name}: {Configuration}";

    /// <summary>
    /// What computes, without the name: instruction set, provider and threads, or compute units and, where another precision than float32
    /// was asked for, what runs.
    /// </summary>
    public string Configuration => IsOpenCl
        ? $"OpenCL, {Threads} compute unit{(Threads == 1 ? "" : "s")}{Products}"
        : $"{Isa}, {Blas}, {Threads} thread{(Threads == 1 ? "" : "s")}";

    private string Products => AskedPrecision == Precision.Float32 ? ""
        : AskedPrecision == Precision ? $", products in {Precision.ToString().ToLowerInvariant()}"
        : $", products in float32 ({AskedPrecision.ToString().ToLowerInvariant()} is not to be had)";

    internal void ThrowIfDisposed() => ObjectDisposedException.ThrowIf(Handle.IsClosed, this);

    private static Device Make(DeviceChoice choice, CpuOptions cpu, OpenClOptions openCl, bool shared) =>
        choice.OpenCl ? MakeOpenCl(choice, 0, 0, openCl, shared) : MakeCpu(cpu, shared);

    private static Device MakeCpu(CpuOptions options, bool shared)
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

    private static Device MakeOpenCl(DeviceChoice choice, nint context, nint queue, OpenClOptions options, bool shared)
    {
        options = options.WithEnvironment(Environment.GetEnvironmentVariable);
        using var name = new Utf8(choice.Name);
        using var cache = new Utf8(options.CacheDirectory);
        var native = new hpc_device_options
        {
            kind = (int)hpc_device_kind.HPC_DEVICE_OPENCL,
            index = choice.Index,
            name = name.Pointer,
            context = (void*)context,
            queue = (void*)queue,
            cache_directory = cache.Pointer,
            precision = (int)options.Precision,
        };
        return new Device(DeviceHandle.Create(native), shared)
        {
            ProgramFlags = options.SmallNetworks switch
            {
                true => hpc_program_flags.HPC_PROGRAM_SMALL_NETWORKS,
                false => hpc_program_flags.HPC_PROGRAM_NO_SMALL_NETWORKS,
                null => hpc_program_flags.HPC_PROGRAM_DEFAULT,
            },
        };
    }

    private static void CheckMilliseconds(int milliseconds)
    {
        if (milliseconds is < 1 or > 10_000)
        {
            throw new ArgumentOutOfRangeException(
                nameof(milliseconds), milliseconds, $"milliseconds is {milliseconds}; expected 1 to 10000.");
        }
    }

    private hpc_device_info Info()
    {
        hpc_device_info info;
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_device_get_info(lease.Pointer, &info));
        return info;
    }
}
