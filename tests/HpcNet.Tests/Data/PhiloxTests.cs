// The random numbers of the library in C#: known answers, and what a shuffle has to be.

namespace HpcNet.Tests.Data;

public class PhiloxTests
{
    [Theory]
    [InlineData(0ul, 0ul, 0ul, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [InlineData(ulong.MaxValue, ulong.MaxValue, ulong.MaxValue, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [InlineData(0x85a308d3243f6a88ul, 0x0370734413198a2eul, 0x299f31d0a4093822ul, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void KnownAnswers(ulong counter, ulong stream, ulong seed, uint a, uint b, uint c, uint d) =>
        Assert.Equal((a, b, c, d), Philox.Block(counter, stream, seed));

    [Fact]
    public void SequenceAndElementsAgree()
    {
        var sequence = new Philox(seed: 7, stream: 3);
        for (var i = 0ul; i < 100; i++)
        {
            var value = sequence.NextUniform();
            Assert.Equal(Philox.Uniform(7, 3, i), value);
            Assert.InRange(value, 0f, 1f - (1f / (1 << 24)));
        }
    }

    [Fact]
    public void BoundedNumbersAreEvenlySpread()
    {
        var sequence = new Philox(seed: 1, stream: 0);
        var counts = new int[7];
        for (var i = 0; i < 70_000; i++) counts[sequence.NextBelow(7)]++;
        Assert.All(counts, count => Assert.InRange(count, 9_600, 10_400));
    }

    [Fact]
    public void BoundsOfThreeQuartersOfTheRangeStillCoverIt()
    {
        var sequence = new Philox(seed: 2, stream: 0);
        const uint bound = 3u << 30;
        var low = 0;
        for (var i = 0; i < 30_000; i++)
        {
            var value = sequence.NextBelow(bound);
            Assert.True(value < bound);
            if (value < 1u << 30) low++;
        }
        Assert.InRange(low, 9_600, 10_400);
    }

    [Fact]
    public void ShuffleKeepsEveryElementAndReachesEveryOrder()
    {
        var orders = new Dictionary<string, int>();
        for (var seed = 0ul; seed < 6_000; seed++)
        {
            int[] values = [0, 1, 2];
            new Philox(seed, stream: 0).Shuffle(values);
            orders[string.Concat(values)] = orders.GetValueOrDefault(string.Concat(values)) + 1;
        }
        Assert.Equal(6, orders.Count);
        Assert.All(orders.Values, count => Assert.InRange(count, 850, 1_150));
    }
}
