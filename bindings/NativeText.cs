// Strings across the ABI, which are UTF-8 and zero-terminated: results of unknown length, fixed arrays in structs, and
// arguments.
using System.Runtime.InteropServices;
using System.Text;

namespace HpcNet.Interop;

/// <summary>A call that follows the header's rule for text results.</summary>
internal unsafe delegate hpc_status TextCall(sbyte* text, nuint capacity, nuint* needed);

/// <summary>Reads the core's strings.</summary>
internal static unsafe class NativeText
{
    /// <summary>Asks for the size, then for the text.</summary>
    /// <remarks>For descriptions, not for hot paths: it allocates.</remarks>
    public static string Read(TextCall call)
    {
        nuint needed;
        Status.Check(call(null, 0, &needed));
        // A description can grow between two calls (it counts runs, say), hence the loop.
        while (true)
        {
            byte[] text = new byte[checked((int)needed)];
            nuint capacity = needed;
            fixed (byte* start = text)
                Status.Check(call((sbyte*)start, capacity, &needed));
            if (needed <= capacity)
                return Terminated(text);
        }
    }

    /// <summary>A string that the core owns; empty for null.</summary>
    public static string FromUtf8(sbyte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    /// <summary>A <c>char[N]</c> field of a struct: up to its first zero.</summary>
    public static string FromFixed(ReadOnlySpan<sbyte> text) => Terminated(MemoryMarshal.AsBytes(text));

    private static string Terminated(ReadOnlySpan<byte> text)
    {
        int length = text.IndexOf((byte)0);
        return Encoding.UTF8.GetString(length < 0 ? text : text[..length]);
    }
}

/// <summary>A string argument, alive until disposed: <c>using var name = new Utf8(text);</c></summary>
internal readonly unsafe ref struct Utf8
{
    /// <summary>Copies <paramref name="text"/>; null stays a null pointer.</summary>
    public Utf8(string? text)
    {
        // C reads up to the first zero: the rest would be lost without a word.
        if (text is not null && text.Contains('\0'))
            throw new ArgumentException("The text holds a zero character, which the native core cannot be given.", nameof(text));
        Pointer = (sbyte*)Marshal.StringToCoTaskMemUTF8(text);
    }

    /// <summary>The zero-terminated copy.</summary>
    public sbyte* Pointer { get; }

    /// <summary>Frees the copy.</summary>
    public void Dispose() => Marshal.FreeCoTaskMem((nint)Pointer);
}
