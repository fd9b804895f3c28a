// Precision.cs: the formats that a device may multiply in.

namespace HpcNet;

/// <summary>
/// What numbers are rounded to before a device multiplies them in a matrix product (the products of <see cref="Dense"/> and of the
/// layers that are made of such products, forward and backward). Products are added up in float32, and numbers in memory, biases,
/// activations, losses and updates are float32 whatever is chosen; so are forward passes and input gradients of four rows or fewer, and
/// what a recurrent layer does step by step. All formats have the 8 exponent bits of float32, so nothing overflows that did not before.
/// </summary>
/// <remarks>
/// The coarse formats run on the tensor cores of NVIDIA cards of compute capability 8.0 or later (Ampere), which are asked for them
/// by an option (<see cref="OpenClOptions.Precision"/>) and tried out when the device is made. The rounding and the fragments of matrices are
/// those of NVIDIA's PTX ISA (cvt, mma).
/// </remarks>
public enum Precision
{
    /// <summary>Nothing is rounded: 23 explicit fraction bits, a relative step of 2⁻²³ (1.2e-7). The default.</summary>
    Float32 = 0,

    /// <summary>TF32: 10 explicit fraction bits, a relative step of 2⁻¹⁰ (9.8e-4); to the nearest, ties away from zero.</summary>
    Tf32 = 1,

    /// <summary>bfloat16: 7 explicit fraction bits, a relative step of 2⁻⁷ (7.8e-3); to the nearest, ties to even.</summary>
    BFloat16 = 2,
}
