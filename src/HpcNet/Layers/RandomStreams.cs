// RandomStreams.cs: which stream of the counter-based generator serves what, so that no two uses of one seed ever share
// numbers. The upper 8 bits tell the use.

namespace HpcNet;

internal static class RandomStreams
{
    private const ulong InitializationUse = 1UL << 56;
    private const ulong ShuffleUse = 2UL << 56;
    private const ulong DropoutUse = 3UL << 56;

    private const ulong LearningRateDropoutUse = 32UL << 56;

    /// <summary>Learning-rate dropout of the run of parameters that begins at an element; the step number is added to it, up to 2^28, since
    /// runs begin at multiples of 16.</summary>
    public static ulong LearningRateDropout(int offset) => LearningRateDropoutUse | ((ulong)(uint)offset << 24);

    /// <summary>The initial values of a parameter.</summary>
    public static ulong Initialization(int parameter) => InitializationUse | (uint)parameter;

    /// <summary>The order of an epoch.</summary>
    public static ulong Shuffle(long epoch) => ShuffleUse | (ulong)epoch;

    /// <summary>A dropout layer's masks; the step number is added to it, up to 2^40.</summary>
    public static ulong Dropout(int node) => DropoutUse | ((ulong)(ushort)node << 40);
}
