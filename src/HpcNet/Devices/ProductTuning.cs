// ProductTuning.cs: which tiles an OpenCL device multiplies matrices by. The core has the tiles and measures them; what is tried and
// what wins is the caller's (`hpcnet tune`).

using HpcNet.Interop;

namespace HpcNet;

/// <summary>A tile of the core's table.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Name">Rows x columns x depth of a block, and rows x columns of a work-item.</param>
/// <param name="Runs">Whether it is within the device's limits.</param>
internal sealed record ProductTile(int Number, string Name, bool Runs);

/// <summary>Which operand of a product is stored transposed: neither, the second, the first.</summary>
internal enum ProductForm
{
    /// <summary>C = A B: a dense layer forward.</summary>
    NN = hpc_product_form.HPC_FORM_NN,

    /// <summary>C = A Bᵀ: the gradient of its input.</summary>
    NT = hpc_product_form.HPC_FORM_NT,

    /// <summary>C = Aᵀ B: the gradient of its weights.</summary>
    TN = hpc_product_form.HPC_FORM_TN,
}

/// <summary>C's size class, by which tiles are chosen.</summary>
internal enum ProductSize
{
    Small = hpc_size_class.HPC_SIZE_SMALL,
    Tall = hpc_size_class.HPC_SIZE_TALL,
    Wide = hpc_size_class.HPC_SIZE_WIDE,
    Medium = hpc_size_class.HPC_SIZE_MEDIUM,
    Large = hpc_size_class.HPC_SIZE_LARGE,
    Huge = hpc_size_class.HPC_SIZE_HUGE,
}

/// <summary>C[m x n] with the depth k.</summary>
internal readonly record struct ProductShape(int M, int N, int K)
{
    public override string ToString() => $"{M}x{N}x{K}";
}

/// <summary>What was measured.</summary>
/// <param name="Nanoseconds">On the device, the shortest of several times.</param>
/// <param name="Error">The largest error of an element as a share of what rounding may do; right up to 1.</param>
/// <param name="Size">The class of the shape on this device.</param>
/// <param name="Tile">The tile that was taken; -1: none, few rows are multiplied as vectors.</param>
/// <param name="Parts">Parts that the depth of tiles was cut into.</param>
internal readonly record struct ProductTime(double Nanoseconds, double Error, ProductSize Size, int Tile, int Parts)
{
    public bool IsRight => Error <= 1.0;
}

/// <summary>What is to be kept.</summary>
internal readonly record struct ProductChoice(ProductForm Form, ProductSize Size, int Tile);

internal static unsafe class ProductTuning
{
    public const int LargestExtent = 1 << 20;

    /// <summary>The tiles of the table.</summary>
    /// <exception cref="HpcNetException">The device is not an OpenCL device.</exception>
    public static IReadOnlyList<ProductTile> Tiles(Device device)
    {
        using var lease = device.Handle.Lease();
        var tiles = new List<ProductTile>();
        hpc_tile_info info;
        do
        {
            Status.Check(Native.hpc_device_get_tile(lease.Pointer, tiles.Count, &info));
            tiles.Add(new ProductTile(tiles.Count, NativeText.FromFixed(info.name), info.runs != 0));
        }
        while (tiles.Count < info.count);
        return tiles;
    }

    /// <summary>Checks and measures one product.</summary>
    /// <param name="device">An OpenCL device.</param>
    /// <param name="form">The form.</param>
    /// <param name="shape">Extents of 1 to 2²⁰.</param>
    /// <param name="tile">A tile's number; null: as the device would choose.</param>
    /// <param name="milliseconds">How long to measure beside checking, 1 to 10,000.</param>
    public static ProductTime Measure(Device device, ProductForm form, ProductShape shape, int? tile, int milliseconds)
    {
        var product = new hpc_product_case { form = (int)form, tile = tile ?? -1, m = (ulong)shape.M, n = (ulong)shape.N, k = (ulong)shape.K };
        hpc_product_measurement found;
        using var lease = device.Handle.Lease();
        Status.Check(Native.hpc_device_measure_product(lease.Pointer, &product, milliseconds, &found));
        return new ProductTime(found.nanoseconds, found.error, (ProductSize)found.size_class, found.tile, found.parts);
    }

    /// <summary>Writes choices, on top of what the device has, for devices that are made afterwards.</summary>
    /// <param name="device">An OpenCL device.</param>
    /// <param name="choices">The choices.</param>
    /// <param name="path">The file; null: where a device like this one looks.</param>
    public static void Keep(Device device, IReadOnlyList<ProductChoice> choices, string? path = null)
    {
        hpc_product_choice[] native =
            [.. choices.Select(c => new hpc_product_choice { form = (int)c.Form, size_class = (int)c.Size, tile = c.Tile })];
        using var name = new Utf8(path);
        using var lease = device.Handle.Lease();
        fixed (hpc_product_choice* first = native)
            Status.Check(Native.hpc_device_keep_tuning(lease.Pointer, first, native.Length, name.Pointer));
    }

    /// <summary>The file where a device like this one looks; empty without a cache folder.</summary>
    public static string Path(Device device)
    {
        using var lease = device.Handle.Lease();
        hpc_device* pointer = lease.Pointer;
        return NativeText.Read((text, capacity, needed) => Native.hpc_device_tuning_path(pointer, text, capacity, needed));
    }
}
