// OpenClMemory.cs: memory that a caller has on an OpenCL device, for programs to read and write in place.

namespace HpcNet;

/// <summary>
/// A caller's <c>cl_mem</c> as float32 numbers of a device made over the same context
/// (<see cref="Device.OpenCl(nint, nint, OpenClOptions?)"/>). It is retained until this, and every program bound to it, is
/// disposed; the caller may release it at any time.
/// </summary>
public sealed class OpenClMemory : IDisposable
{
    /// <summary>Takes a share of the memory.</summary>
    /// <param name="device">An OpenCL device of the same context.</param>
    /// <param name="memory">The <c>cl_mem</c>, a buffer object.</param>
    /// <param name="elements">How many float32 numbers of it are meant, from its beginning; at least 1.</param>
    /// <exception cref="ArgumentException">
    /// <paramref name="device"/> is no OpenCL device; <paramref name="memory"/> is 0, of another context, or smaller.
    /// </exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="elements"/> is less than 1.</exception>
    /// <exception cref="ObjectDisposedException">The device was disposed.</exception>
    public OpenClMemory(Device device, nint memory, long elements)
    {
        ArgumentNullException.ThrowIfNull(device);
        device.ThrowIfDisposed();
        if (!device.IsOpenCl)
            throw new ArgumentException($"device is '{device}'; expected an OpenCL device.", nameof(device));
        if (memory == 0)
            throw new ArgumentException("memory is 0; expected a cl_mem.", nameof(memory));
        if (elements < 1 || elements > long.MaxValue / 4)
            throw new ArgumentOutOfRangeException(nameof(elements), elements, $"elements is {elements}; expected 1 or more.");
        Device = device;
        Buffer = DeviceBuffer.Adopt(device, memory, elements);
    }

    /// <summary>The device.</summary>
    public Device Device { get; }

    /// <summary>How many float32 numbers.</summary>
    public long Elements => Buffer.Elements;

    internal DeviceBuffer Buffer { get; }

    /// <summary>Gives the share back.</summary>
    public void Dispose() => Buffer.Dispose();
}
