// DeviceBuffer.cs: memory of a device, read and written with spans of 4-byte elements. Offsets and lengths are in elements.

using HpcNet.Interop;

namespace HpcNet;

internal sealed unsafe class DeviceBuffer : IDisposable
{
    /// <summary>Zero-filled memory for <paramref name="elements"/> floats or 32-bit integers.</summary>
    public DeviceBuffer(Device device, long elements)
    {
        Elements = elements;
        Handle = BufferHandle.Create(device.Handle, checked((ulong)elements * 4));
    }

    private DeviceBuffer(BufferHandle handle, long elements)
    {
        Handle = handle;
        Elements = elements;
    }

    /// <summary>A caller's cl_mem, retained until this is disposed.</summary>
    public static DeviceBuffer Adopt(Device device, nint memory, long elements) =>
        new(BufferHandle.Adopt(device.Handle, memory, checked((ulong)elements * 4)), elements);

    public BufferHandle Handle { get; }

    public long Elements { get; }

    public void Write<T>(ReadOnlySpan<T> source, long offset = 0) where T : unmanaged
    {
        if (source.IsEmpty)
            return;
        using var lease = Handle.Lease();
        fixed (T* start = source)
            Status.Check(Native.hpc_buffer_write(lease.Pointer, (ulong)offset * 4, start, (ulong)source.Length * 4));
    }

    public void Read<T>(Span<T> destination, long offset = 0) where T : unmanaged
    {
        if (destination.IsEmpty)
            return;
        using var lease = Handle.Lease();
        fixed (T* start = destination)
            Status.Check(Native.hpc_buffer_read(lease.Pointer, (ulong)offset * 4, start, (ulong)destination.Length * 4));
    }

    /// <summary>Copies everything to a buffer of the same size on the same device.</summary>
    public void CopyTo(DeviceBuffer destination)
    {
        using var from = Handle.Lease();
        using var to = destination.Handle.Lease();
        Status.Check(Native.hpc_buffer_copy(from.Pointer, 0, to.Pointer, 0, (ulong)Elements * 4));
    }

    public void Clear()
    {
        using var lease = Handle.Lease();
        Status.Check(Native.hpc_buffer_fill(lease.Pointer, 0, 0, (ulong)Elements * 4));
    }

    public void Dispose() => Handle.Dispose();
}
