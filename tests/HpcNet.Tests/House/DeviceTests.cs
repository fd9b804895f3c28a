// DeviceTests.cs: devices say what they are, and options beat the environment, which is read in one place.

namespace HpcNet.Tests;

public sealed class DeviceTests
{
    [Fact]
    public void A_device_says_what_it_is()
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 2 });
        Assert.Equal("cpu", device.Kind);
        Assert.Equal(2, device.Threads);
        Assert.Contains(device.Isa, (string[])["avx512", "avx2", "scalar"]);
        Assert.NotEmpty(device.Name);
        Assert.NotEmpty(device.Blas);
        Assert.True(device.MemoryBytes > 1 << 28);
        Assert.Contains(device.Isa, device.Describe());
        DeviceMeasurement measured = device.Measure(50);
        Assert.True(measured.PeakGflops > 0.1 && measured.CopyGigabytesPerSecond > 0.1, measured.ToString());
        Assert.True(device.MeasurePeak(20) > 0.1);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_device_says_how_fast_its_memory_is(int threads)
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = threads });
        CacheSizes caches = device.Caches;
        Assert.True(caches.Level1 >= 4096 && caches.Level2 > caches.Level1, caches.ToString());
        MemoryBandwidth near = device.MeasureMemory(8192, 40), far = device.MeasureMemory(64L << 20, 40);
        foreach (MemoryBandwidth each in (MemoryBandwidth[])[near, far])
        {
            Assert.True(each.Read > 0.1 && each.Copy > 0.1 && each.Update > 0.1, each.ToString());
            Assert.Equal(Math.Max(each.Read, Math.Max(each.Copy, each.Update)), each.Best);
            Assert.InRange(each.BestRead, each.Read, each.Best);
        }
        Assert.InRange(near.Bytes, 8192, 8192 + threads * 512);
        // No cache of a core holds 64 MiB; the first level holds 8 KiB.
        Assert.True(near.Best > far.Best, $"{near}, {far}");
    }

    [Theory]
    [InlineData("scalar")]
    [InlineData("avx2")]
    [InlineData("avx512")]
    public void A_forced_instruction_set_runs_or_is_refused(string isa)
    {
        try
        {
            using Device device = Device.Cpu(new CpuOptions { Isa = isa, Blas = "builtin", Threads = 1 });
            Assert.Equal((isa, "builtin", ""), (device.Isa, device.Blas, device.BlasPath));
            using var network = new Network(device, 6, new Dense(12, Activation.ReLU), new Dense(3));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.05f));
            trainer.Fit(Samples.Blobs(60, 6, 3, 1), 30, 20);
            Assert.True(network.Evaluate(Samples.Blobs(60, 6, 3, 1)).Accuracy > 0.8);
        }
        catch (HpcNetException refused)
        {
            Assert.Equal(HpcNetError.NotAvailable, refused.Error);
            Assert.NotEqual("scalar", isa);
        }
    }

    [Fact]
    public void What_lives_on_a_device_outlives_its_disposal()
    {
        Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        using var network = new Network(device, 6, new Dense(3));
        using Predictor predictor = network.CreatePredictor();
        var y = new float[3];
        predictor.Predict(Samples.Uniform(6, 1), y);
        device.Dispose();
        predictor.Predict(Samples.Uniform(6, 1), y);
        Assert.Throws<ObjectDisposedException>(() => device.Describe());
    }

    [Fact]
    public void The_shared_device_cannot_be_disposed()
    {
        Device.Default.Dispose();
        Assert.NotEmpty(Device.Default.Describe());
    }

    [Fact]
    public void Memory_is_given_back()
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        ulong before = device.AllocatedBytes;
        using (var network = new Network(device, 6, new Dense(12), new Dense(3)))
        using (var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam().ClipByNorm(1f)) { EarlyStopping = new(3) })
        {
            trainer.Fit(Samples.Blobs(60, 6, 3, 1), 3, 20, Samples.Blobs(60, 6, 3, 2));
            trainer.Step(Samples.Uniform(6, 1), new[] { 0 });
            using Predictor predictor = network.CreatePredictor();
            predictor.Classify(Samples.Uniform(6, 1));
            Assert.True(device.AllocatedBytes > before);
        }
        Assert.Equal(before, device.AllocatedBytes);
    }

    [Fact]
    public void Options_beat_the_environment_and_the_environment_fills_gaps()
    {
        Dictionary<string, string?> environment = new()
        {
            ["HPCNET_THREADS"] = "3",
            ["HPCNET_ISA"] = "scalar",
            ["HPCNET_BLAS"] = "openblas",
        };
        string? Read(string name) => environment.GetValueOrDefault(name);
        Assert.Equal(
            new CpuOptions { Threads = 3, Isa = "scalar", Blas = "openblas" }, new CpuOptions().WithEnvironment(Read));
        Assert.Equal(
            new CpuOptions { Threads = 1, Isa = "avx2", Blas = "builtin" },
            new CpuOptions { Threads = 1, Isa = "avx2", Blas = "builtin" }.WithEnvironment(Read));
        Assert.Equal(new CpuOptions(), new CpuOptions().WithEnvironment(_ => ""));
    }

    [Theory]
    [InlineData(null, "on", true)]
    [InlineData(null, " off ", false)]
    [InlineData(null, "", null)]
    [InlineData(null, null, null)]
    [InlineData(false, "on", false)]
    [InlineData(true, "nonsense", true)]
    public void Whether_small_networks_are_one_launch_comes_from_the_option_then_the_environment(bool? option, string? text, bool? expected) =>
        Assert.Equal(
            expected,
            new OpenClOptions { SmallNetworks = option }.WithEnvironment(name => name == "HPCNET_SMALL_NETWORKS" ? text : null).SmallNetworks);

    [Fact]
    public void A_choice_of_small_networks_without_meaning_is_named()
    {
        var exception = Assert.Throws<HpcNetException>(() => new OpenClOptions().WithEnvironment(_ => "maybe"));
        Assert.Contains("HPCNET_SMALL_NETWORKS is 'maybe'; expected on or off", exception.Message);
    }

    [Theory]
    [InlineData("HPCNET_THREADS", "many")]
    [InlineData("HPCNET_THREADS", "0")]
    [InlineData("HPCNET_THREADS", "-1")]
    [InlineData("HPCNET_THREADS", "4000")]
    [InlineData("HPCNET_ISA", "sse9")]
    public void A_variable_without_meaning_is_named(string name, string value)
    {
        var exception = Assert.Throws<HpcNetException>(() => new CpuOptions().WithEnvironment(n => n == name ? value : null));
        Assert.Contains($"{name} is '{value}'; expected", exception.Message);
    }

    [Theory]
    [InlineData(null, false, -1, null)]
    [InlineData("  ", false, -1, null)]
    [InlineData("cpu", false, -1, null)]
    [InlineData("CPU", false, -1, null)]
    [InlineData("opencl", true, -1, null)]
    [InlineData(" OpenCL ", true, -1, null)]
    [InlineData("opencl:0", true, 0, null)]
    [InlineData("opencl:12", true, 12, null)]
    [InlineData("opencl:NVIDIA H200", true, -1, "NVIDIA H200")]
    [InlineData("opencl:-1", true, -1, "-1")]
    public void HPCNET_DEVICE_chooses(string? text, bool openCl, int index, string? name) => Assert.Equal(
        openCl ? new DeviceChoice(true, index, name) : default,
        DeviceChoice.FromEnvironment(variable => variable == "HPCNET_DEVICE" ? text : "nothing"));

    [Theory]
    [InlineData("abacus")]
    [InlineData("opencl:")]
    [InlineData("opencl: ")]
    [InlineData("cpu:0")]
    public void A_device_without_meaning_is_named(string text)
    {
        var exception = Assert.Throws<HpcNetException>(() => DeviceChoice.FromEnvironment(_ => text));
        Assert.Contains($"HPCNET_DEVICE is '{text.Trim()}'; expected cpu, opencl", exception.Message);
        Assert.Contains($"device is '{text}'; expected cpu, opencl", Assert.Throws<ArgumentException>(() => Device.Open(text)).Message);
    }
}
