// DeterminismTests.cs: the same seed gives the same bits for any number of threads, and while the team serves somebody else.

namespace HpcNet.Tests;

public sealed class DeterminismTests
{
    [Fact]
    public void The_same_seed_gives_the_same_bits_for_any_number_of_threads()
    {
        int[] one = Train(1);
        Assert.Equal(one, Train(1));
        Assert.Equal(one, Train(2));
        Assert.Equal(one, Train(4));
    }

    [Fact]
    public void The_same_seed_gives_the_same_bits_while_the_team_is_busy()
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 2 });
        int[] quiet = Train(device, seed: 1);
        using var stop = new CancellationTokenSource();
        var other = new Thread(() =>
        {
            for (ulong i = 0; !stop.IsCancellationRequested; i++)
                Train(device, seed: 100 + i);
        });
        other.Start();
        try
        {
            for (int i = 0; i < 5; i++)
                Assert.Equal(quiet, Train(device, seed: 1));
        }
        finally
        {
            stop.Cancel();
            other.Join();
        }
    }

    [Fact]
    public void Another_seed_gives_other_bits()
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        Assert.NotEqual(Train(device, seed: 1), Train(device, seed: 2));
    }

    private static int[] Train(int threads)
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = threads });
        Assert.Equal(threads, device.Threads);
        return Train(device, seed: 1);
    }

    private static int[] Train(Device device, ulong seed)
    {
        Dataset data = Samples.Blobs(300, 33, 5, 3);
        using var network = new Network(
            device, 33, seed, new Dense(130, Activation.ReLU), new Dropout(0.2f), new Dense(70, Activation.Tanh), new Dense(5));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f).ClipByNorm(1f)) { Seed = seed };
        trainer.Fit(data, epochs: 2, batchSize: 128);
        return Samples.Bits(Samples.Parameters(network));
    }
}
