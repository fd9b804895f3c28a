// Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, 2011), as the native core has it: the key is
// the seed, the counter's 64-bit halves are index / 4 and the stream. A number depends on these alone, so that shuffles and
// initial values are the same on every machine, and parts of a sequence can be made independently.

using System.Diagnostics;

namespace HpcNet;

/// <summary>A sequence of random words of one seed and stream.</summary>
internal struct Philox
{
    private readonly ulong _seed;
    private readonly ulong _stream;
    private ulong _index;
    private (uint, uint, uint, uint) _block;

    public Philox(ulong seed, ulong stream)
    {
        _seed = seed;
        _stream = stream;
        _index = 0;
        _block = default;
    }

    /// <summary>The four words of one counter.</summary>
    public static (uint, uint, uint, uint) Block(ulong counter, ulong stream, ulong seed)
    {
        var (c0, c1, c2, c3) = ((uint)counter, (uint)(counter >> 32), (uint)stream, (uint)(stream >> 32));
        var (k0, k1) = ((uint)seed, (uint)(seed >> 32));
        for (var round = 0; round < 10; round++)
        {
            var p0 = 0xD2511F53UL * c0;
            var p1 = 0xCD9E8D57UL * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }
        return (c0, c1, c2, c3);
    }

    /// <summary>The element of a stream in [0, 1): the upper 24 bits of its word, as the core's uniforms have it.</summary>
    public static float Uniform(ulong seed, ulong stream, ulong index) => ToUniform(Word(Block(index / 4, stream, seed), index));

    /// <summary>The next word.</summary>
    public uint NextWord()
    {
        if (_index % 4 == 0) _block = Block(_index / 4, _stream, _seed);
        return Word(_block, _index++);
    }

    /// <summary>The next word as a number in [0, 1), a multiple of 2^-24.</summary>
    public float NextUniform() => ToUniform(NextWord());

    /// <summary>A whole number from 0 to <paramref name="bound"/> - 1, every one equally likely (Lemire's rejection).</summary>
    public uint NextBelow(uint bound)
    {
        Debug.Assert(bound > 0, "an empty range has no number");
        var product = (ulong)NextWord() * bound;
        if ((uint)product < bound)
        {
            var threshold = (0u - bound) % bound;
            while ((uint)product < threshold) product = (ulong)NextWord() * bound;
        }
        return (uint)(product >> 32);
    }

    /// <summary>Shuffles in place (Fisher-Yates): every order is equally likely.</summary>
    public void Shuffle(Span<int> values)
    {
        for (var last = values.Length - 1; last > 0; last--)
        {
            var other = (int)NextBelow((uint)last + 1);
            (values[last], values[other]) = (values[other], values[last]);
        }
    }

    private static float ToUniform(uint word) => (word >> 8) * (1f / (1 << 24));

    private static uint Word((uint, uint, uint, uint) block, ulong index) => (index % 4) switch
    {
        0 => block.Item1,
        1 => block.Item2,
        2 => block.Item3,
        _ => block.Item4,
    };
}
