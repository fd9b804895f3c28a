// The core's three kinds of object as safe handles. Each has one owner in C#, which disposes of it; a forgotten one is
// destroyed by its finalizer.
//
// Order of destruction is the core's affair: a buffer or program there keeps its device, and a program its buffers, so a
// managed parent may be disposed of or finalized first. What C# has to see to is that nothing is destroyed while a call uses
// it, and that is what a lease is for:
//
//     using var lease = program.Lease();
//     Status.Check(Native.hpc_program_run(lease.Pointer, ...));
using System.Runtime.InteropServices;

namespace HpcNet.Interop;

/// <summary>A pointer to an object of the core, owned.</summary>
/// <typeparam name="T">The opaque struct of the header.</typeparam>
internal abstract unsafe class CoreHandle<T> : SafeHandle
    where T : unmanaged
{
    /// <summary>Takes over <paramref name="pointer"/>.</summary>
    protected CoreHandle(T* pointer)
        : base(0, ownsHandle: true) => SetHandle((nint)pointer);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Keeps the object alive for the length of one or several calls. Allocates nothing.</summary>
    /// <exception cref="ObjectDisposedException">The handle was disposed of.</exception>
    public Lease<T> Lease() => new(this);
}

/// <summary>A pointer that stays valid until the lease is disposed of, whatever other threads dispose of meanwhile.</summary>
internal readonly unsafe ref struct Lease<T>
    where T : unmanaged
{
    private readonly CoreHandle<T> _owner;

    /// <summary>Counts one more user of <paramref name="owner"/>.</summary>
    public Lease(CoreHandle<T> owner)
    {
        bool counted = false;
        owner.DangerousAddRef(ref counted);
        _owner = owner;
        Pointer = (T*)owner.DangerousGetHandle();
    }

    /// <summary>What to pass to the core.</summary>
    public T* Pointer { get; }

    /// <summary>Counts one user less; the last one of a disposed handle destroys the object.</summary>
    public void Dispose() => _owner.DangerousRelease();
}

/// <summary>A device: memory and a team or queue that executes programs.</summary>
internal sealed unsafe class DeviceHandle : CoreHandle<hpc_device>
{
    private DeviceHandle(hpc_device* pointer)
        : base(pointer)
    {
    }

    /// <summary>Makes a device.</summary>
    /// <exception cref="HpcNetLibraryException">The native core cannot be loaded.</exception>
    /// <exception cref="HpcNetException">A choice made in <paramref name="options"/> is not available here.</exception>
    public static DeviceHandle Create(in hpc_device_options options)
    {
        NativeLibraryResolver.EnsureLoaded();
        hpc_device* pointer;
        fixed (hpc_device_options* given = &options)
            Status.Check(Native.hpc_device_create(given, &pointer));
        return new DeviceHandle(pointer);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Native.hpc_device_destroy((hpc_device*)handle) == hpc_status.HPC_OK;
}

/// <summary>Memory of a device.</summary>
internal sealed unsafe class BufferHandle : CoreHandle<hpc_buffer>
{
    private BufferHandle(hpc_buffer* pointer)
        : base(pointer)
    {
    }

    /// <summary>Makes a zero-filled buffer of <paramref name="bytes"/> bytes.</summary>
    /// <exception cref="OutOfMemoryException">The device has not that much memory left.</exception>
    public static BufferHandle Create(DeviceHandle device, ulong bytes)
    {
        using var lease = device.Lease();
        hpc_buffer* pointer;
        Status.Check(Native.hpc_buffer_create(lease.Pointer, bytes, &pointer));
        return new BufferHandle(pointer);
    }

    /// <summary>Takes a share of a caller's cl_mem.</summary>
    public static BufferHandle Adopt(DeviceHandle device, nint memory, ulong bytes)
    {
        using var lease = device.Lease();
        hpc_buffer* pointer;
        Status.Check(Native.hpc_buffer_adopt(lease.Pointer, (void*)memory, bytes, &pointer));
        return new BufferHandle(pointer);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Native.hpc_buffer_destroy((hpc_buffer*)handle) == hpc_status.HPC_OK;
}

/// <summary>A program: recorded once, finished once, run many times.</summary>
internal sealed unsafe class ProgramHandle : CoreHandle<hpc_program>
{
    private readonly List<GCHandle> _kept = [];

    private ProgramHandle(hpc_program* pointer)
        : base(pointer)
    {
    }

    /// <summary>Makes an empty program to record into.</summary>
    public static ProgramHandle Create(DeviceHandle device, in hpc_program_options options)
    {
        using var lease = device.Lease();
        hpc_program* pointer;
        fixed (hpc_program_options* given = &options)
            Status.Check(Native.hpc_program_create(lease.Pointer, given, &pointer));
        return new ProgramHandle(pointer);
    }

    /// <summary>A context for a function that the program calls, good for as long as the program is.</summary>
    public nint Keep(object context)
    {
        _kept.Add(GCHandle.Alloc(context));
        return GCHandle.ToIntPtr(_kept[^1]);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        bool destroyed = Native.hpc_program_destroy((hpc_program*)handle) == hpc_status.HPC_OK;
        foreach (GCHandle context in _kept)
            context.Free();
        return destroyed;
    }
}
