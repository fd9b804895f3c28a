// The one place that turns a status of the core into an exception. Every call into Native goes through Check.
using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace HpcNet.Interop;

/// <summary>Turns what an export returned into an exception with the core's own message.</summary>
internal static unsafe class Status
{
    /// <summary>Returns if <paramref name="status"/> is <see cref="hpc_status.HPC_OK"/>, throws otherwise.</summary>
    /// <remarks>Must run on the thread that made the call: the core's message belongs to it.</remarks>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(hpc_status status)
    {
        if (status != hpc_status.HPC_OK)
            Throw(status);
    }

    [DoesNotReturn]
    private static void Throw(hpc_status status)
    {
        string message = NativeText.FromUtf8(Native.hpc_last_error());
        if (message.Length == 0)
            message = $"The native core reported {status} and gave no message.";

        throw status switch
        {
            hpc_status.HPC_INVALID_ARGUMENT => new ArgumentException(message),
            hpc_status.HPC_INVALID_STATE or hpc_status.HPC_BUSY => new InvalidOperationException(message),
            // The kind of OutOfMemoryException that is thrown ahead of an allocation: the process itself is sound.
            hpc_status.HPC_OUT_OF_MEMORY => new InsufficientMemoryException(message),
            hpc_status.HPC_NOT_AVAILABLE => new HpcNetException(HpcNetError.NotAvailable, message),
            hpc_status.HPC_NOT_SUPPORTED => new HpcNetException(HpcNetError.NotSupported, message),
            hpc_status.HPC_DEVICE_ERROR => new HpcNetException(HpcNetError.Device, message),
            _ => new HpcNetException(HpcNetError.Internal, message),
        };
    }
}
