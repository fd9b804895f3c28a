// The element types of safetensors files that the library reads, by their names in the format, and their sizes. To add
// one: a member here, a row in Size and Parse, and its conversion in SafetensorsTensor.

using System.Text.Json;

namespace HpcNet;

/// <summary>Element type of a tensor in a safetensors file; the members are named as the format names them.</summary>
public enum SafetensorsDType
{
    /// <summary>Double precision, 8 bytes.</summary>
    F64,

    /// <summary>Single precision, 4 bytes.</summary>
    F32,

    /// <summary>IEEE half precision, 2 bytes.</summary>
    F16,

    /// <summary>bfloat16: the upper half of a single, 2 bytes.</summary>
    BF16,

    /// <summary>Signed integer, 8 bytes.</summary>
    I64,

    /// <summary>Signed integer, 4 bytes.</summary>
    I32,

    /// <summary>Signed integer, 2 bytes.</summary>
    I16,

    /// <summary>Signed integer, 1 byte.</summary>
    I8,

    /// <summary>Unsigned integer, 8 bytes.</summary>
    U64,

    /// <summary>Unsigned integer, 4 bytes.</summary>
    U32,

    /// <summary>Unsigned integer, 2 bytes.</summary>
    U16,

    /// <summary>Unsigned integer, 1 byte.</summary>
    U8,

    /// <summary>Truth value, 1 byte, 0 or 1.</summary>
    BOOL,
}

internal static class SafetensorsDTypes
{
    public static int Size(SafetensorsDType type) => type switch
    {
        SafetensorsDType.F64 or SafetensorsDType.I64 or SafetensorsDType.U64 => 8,
        SafetensorsDType.F32 or SafetensorsDType.I32 or SafetensorsDType.U32 => 4,
        SafetensorsDType.F16 or SafetensorsDType.BF16 or SafetensorsDType.I16 or SafetensorsDType.U16 => 2,
        SafetensorsDType.I8 or SafetensorsDType.U8 or SafetensorsDType.BOOL => 1,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a safetensors element type"),
    };

    public static string Name(SafetensorsDType type) => type switch
    {
        SafetensorsDType.F64 => "F64",
        SafetensorsDType.F32 => "F32",
        SafetensorsDType.F16 => "F16",
        SafetensorsDType.BF16 => "BF16",
        SafetensorsDType.I64 => "I64",
        SafetensorsDType.I32 => "I32",
        SafetensorsDType.I16 => "I16",
        SafetensorsDType.I8 => "I8",
        SafetensorsDType.U64 => "U64",
        SafetensorsDType.U32 => "U32",
        SafetensorsDType.U16 => "U16",
        SafetensorsDType.U8 => "U8",
        SafetensorsDType.BOOL => "BOOL",
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "not a safetensors element type"),
    };

    /// <summary>The type a JSON string names; exact spelling.</summary>
    public static bool TryParse(ref readonly Utf8JsonReader reader, out SafetensorsDType type)
    {
        for (type = SafetensorsDType.F64; type <= SafetensorsDType.BOOL; type++)
            if (reader.ValueTextEquals(Name(type))) return true;
        return false;
    }

    /// <summary>Elements of a shape. False where the product of the dimensions other than 0, or its bytes, leave 63 bits: whether a
    /// shape is accepted then does not depend on where its zero stands.</summary>
    public static bool TryCount(ReadOnlySpan<long> shape, int elementSize, out long count)
    {
        count = 1;
        var empty = false;
        foreach (var dimension in shape)
        {
            if (dimension == 0) empty = true;
            else if (dimension < 0 || count > long.MaxValue / elementSize / dimension) return false;
            else count *= dimension;
        }
        if (empty) count = 0;
        return true;
    }
}
