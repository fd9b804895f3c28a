// The public exceptions for what is neither a caller's mistake nor a lack of memory. They live here, below the library,
// because the status check and the search for the native core throw them.
namespace HpcNet;

/// <summary>What kind of failure an <see cref="HpcNetException"/> reports.</summary>
public enum HpcNetError
{
    /// <summary>A defect of HpcNet itself.</summary>
    Internal = 0,

    /// <summary>A forced choice (instruction set, BLAS provider, device) is not to be had on this machine.</summary>
    NotAvailable = 1,

    /// <summary>The device's backend does not execute what was asked of it.</summary>
    NotSupported = 2,

    /// <summary>A device driver failed.</summary>
    Device = 3,

    /// <summary>The native core could not be loaded, or is of another version than this assembly.</summary>
    Library = 4,

    /// <summary>Training met a loss that is not a finite number.</summary>
    NonFinite = 5,
}

/// <summary>
/// A failure of HpcNet that is not the caller's argument (<see cref="ArgumentException"/>), order of calls
/// (<see cref="InvalidOperationException"/>) or lack of memory (<see cref="OutOfMemoryException"/>).
/// </summary>
public class HpcNetException : Exception
{
    /// <summary>Makes an exception of the kind <see cref="HpcNetError.Internal"/>.</summary>
    public HpcNetException()
    {
    }

    /// <summary>Makes an exception of the kind <see cref="HpcNetError.Internal"/>.</summary>
    /// <param name="message">What happened, in one sentence.</param>
    public HpcNetException(string message)
        : base(message)
    {
    }

    /// <summary>Makes an exception of the kind <see cref="HpcNetError.Internal"/>.</summary>
    /// <param name="message">What happened, in one sentence.</param>
    /// <param name="innerException">What caused it.</param>
    public HpcNetException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>Makes an exception.</summary>
    /// <param name="error">The kind of failure.</param>
    /// <param name="message">What happened, in one sentence.</param>
    /// <param name="innerException">What caused it, if another exception did.</param>
    public HpcNetException(HpcNetError error, string message, Exception? innerException = null)
        : base(message, innerException) => Error = error;

    /// <summary>The kind of failure.</summary>
    public HpcNetError Error { get; }
}

/// <summary>
/// The native core (<c>libhpcnet.so</c>, <c>hpcnet.dll</c>) could not be loaded. The message lists every path that was tried
/// with the system loader's words for each.
/// </summary>
public sealed class HpcNetLibraryException : HpcNetException
{
    /// <summary>Makes an exception of the kind <see cref="HpcNetError.Library"/>.</summary>
    /// <param name="message">What was tried and why each attempt failed.</param>
    /// <param name="probedPaths">The paths that were tried, in order.</param>
    public HpcNetLibraryException(string message, IReadOnlyList<string> probedPaths)
        : base(HpcNetError.Library, message) => ProbedPaths = probedPaths;

    /// <summary>The paths that were tried, in order; empty where the platform itself is not supported.</summary>
    public IReadOnlyList<string> ProbedPaths { get; }
}
