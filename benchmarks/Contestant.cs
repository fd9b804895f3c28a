// Who takes part: HpcNet and four ways of doing the same in managed code. To add one: its kernels in Managed/, and a row here.

using HpcNet.Benchmarks.Managed;

namespace HpcNet.Benchmarks;

/// <summary>A row of the table of contestants.</summary>
/// <param name="Name">As tables show it.</param>
/// <param name="Meaning">What it is.</param>
/// <param name="CreateKernels">What computes with so many threads; null: the native core.</param>
internal sealed record Contestant(string Name, string Meaning, Func<int, ManagedKernels>? CreateKernels)
{
    /// <summary>All of them. The first is what the others are compared with.</summary>
    public static IReadOnlyList<Contestant> All { get; } =
    [
        new("HpcNet", "the native core", null),
        new("Vector512", "managed: blocked and packed products, loops over Vector512", static threads => new VectorKernels(threads)),
        new("plain", "managed: three loops, MathF", static threads => new PlainKernels(new PlainProduct(), threads)),
        new("Tensors", "managed: System.Numerics.Tensors, TensorPrimitives", static threads => new TensorKernels(threads)),
        new("MathNet", "managed: MathNet.Numerics, managed provider", static threads => new MathNetKernels(threads)),
    ];

    /// <summary>The one of a name.</summary>
    public static Contestant Find(string name) => All.Single(c => c.Name == name);

    /// <summary>Whether it has the operation.</summary>
    public bool Has(Operation operation) => CreateKernels is not { } create || operation.IsIn(create(1));

    /// <summary>Makes an entry for an operation that the contestant has.</summary>
    /// <param name="operation">What is to be done.</param>
    /// <param name="threads">Threads that it may use.</param>
    public Entry Enter(Operation operation, int threads)
    {
        if (CreateKernels is { } create)
            return operation.Enter(create(threads));
        Device device = Device.Cpu(new CpuOptions { Threads = threads });
        return operation.Enter(device);
    }
}

/// <summary>A contestant made ready for one operation.</summary>
/// <param name="step">Does it once.</param>
/// <param name="prove">Does it, from the start, and hands out the numbers that all contestants must agree on. Called once, before any step.</param>
/// <param name="owned">What it holds.</param>
internal sealed class Entry(Action step, Func<float[]> prove, params IDisposable[] owned) : IDisposable
{
    public void Step() => step();

    public float[] Prove() => prove();

    public void Dispose()
    {
        foreach (IDisposable thing in owned)
            thing.Dispose();
    }
}
