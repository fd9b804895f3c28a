// OpenClTests.cs: what OpenCL adds: choosing a device, the same answers as the CPU, many users at once, and working over
// handles of a caller's own, which come from the OpenCL library itself and not from HpcNet.

using System.Runtime.InteropServices;

namespace HpcNet.Tests;

public sealed class OpenClTests
{
    [SkippableFact]
    public void A_device_says_what_it_is()
    {
        Targets.NeedOpenCl();
        Assert.True(Device.OpenClDeviceCount >= 1);
        using Device best = Device.OpenCl(new OpenClOptions { CacheDirectory = "" });
        Assert.Equal("opencl", best.Kind);
        Assert.True(best.IsOpenCl);
        Assert.NotEmpty(best.Name);
        Assert.True(best.Threads >= 1);
        Assert.True(best.MemoryBytes > 1 << 20);
        Assert.Equal(("", ""), (best.Isa, best.Blas));
        Assert.Contains(best.Name, Device.DescribeOpenCl());
        Assert.Contains($"device: {best.Name}", best.Describe());

        using Device named = Device.OpenCl(best.Name[..3].ToUpperInvariant());
        Assert.Equal("opencl", named.Kind);
        using Device opened = Device.Open("opencl:" + best.Name);
        Assert.Equal(best.Name, opened.Name);
        DeviceMeasurement measured = opened.Measure(50);
        Assert.True(measured.PeakGflops > 0.01 && measured.CopyGigabytesPerSecond > 0.01, measured.ToString());
        MemoryBandwidth memory = opened.MeasureMemory(1 << 20, 20);
        Assert.True(opened.MeasurePeak(10) > 0.01 && memory.Best > 0.01, memory.ToString());
        Assert.False(opened.Caches.Guessed);
    }

    // Without tensor cores, as on the processor, float32 runs with the bits of float32; with them the loss is near. Either way the device says
    // what was asked for, what runs and why.
    [SkippableTheory]
    [InlineData(Precision.Tf32, "tf32")]
    [InlineData(Precision.BFloat16, "bfloat16")]
    public void A_precision_that_is_not_to_be_had_is_float32_and_says_why(Precision precision, string name)
    {
        Targets.NeedOpenCl();
        using Device device = Device.OpenCl(new OpenClOptions { CacheDirectory = Targets.Kernels, Precision = precision });
        Assert.Equal(precision, device.AskedPrecision);
        float[] plain = Train(Targets.Open(Targets.OpenCl)), asked = Train(device);
        if (device.Precision == Precision.Float32)
        {
            Assert.NotEmpty(device.PrecisionNote);
            Assert.Contains($"products: float32; {name} was asked for, but {device.PrecisionNote}", device.Describe());
            Assert.EndsWith($"products in float32 ({name} is not to be had)", device.Configuration);
            Assert.Equal(Samples.Bits(plain), Samples.Bits(asked));
        }
        else
        {
            Assert.Equal((precision, ""), (device.Precision, device.PrecisionNote));
            Assert.Contains($"products: {name} on tensor cores", device.Describe());
            Assert.EndsWith($"products in {name}", device.Configuration);
            Samples.Close(plain, asked, precision == Precision.Tf32 ? 1e-2 : 1e-1);
        }
        Device usual = Targets.Open(Targets.OpenCl);
        Assert.Equal((Precision.Float32, Precision.Float32, ""), (usual.Precision, usual.AskedPrecision, usual.PrecisionNote));
        Assert.Contains("products: float32\n", usual.Describe());
        Assert.DoesNotContain("products", usual.Configuration);
        Assert.Equal(Precision.Float32, Targets.Open(Targets.Cpu).Precision);

        static float[] Train(Device device)
        {
            using var network = new Network(device, 6, seed: 3, new Dense(20, Activation.Tanh), new Dense(3));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.1f));
            trainer.Fit(Samples.Blobs(90, 6, 3, 1), 3, 16);
            return Samples.Parameters(network);
        }
    }

    // The rows of a sum are added in another order, nothing else differs: 1e-5 of the largest parameter.
    [SkippableTheory]
    [InlineData(1, 3, 2)]
    [InlineData(33, 64, 10)]
    [InlineData(128, 257, 7)]
    public void A_training_step_agrees_with_the_cpu(int rows, int inputs, int outputs)
    {
        float[] x = Samples.Uniform(rows * inputs, 1);
        int[] labels = Samples.Labels(rows, outputs, 2);
        float[] cpu = Step(Targets.Cpu), openCl = Step(Targets.OpenCl);
        float largest = Math.Max(1f, cpu.Max(Math.Abs));
        for (int i = 0; i < cpu.Length; i++)
            Assert.True(Math.Abs(cpu[i] - openCl[i]) <= 1e-5f * largest, $"parameter {i}: {cpu[i]} and {openCl[i]}");

        float[] Step(string target)
        {
            using var network = new Network(
                Targets.Open(target), inputs, seed: 5, new Dense(50, Activation.ReLU), new Dropout(0.3f), new Dense(31, Activation.Tanh), new Dense(outputs));
            using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Sgd(0.5f).ClipByNorm(1f)) { Seed = 8 };
            trainer.Step(x, labels);
            return Samples.Parameters(network);
        }
    }

    [SkippableFact]
    public void Special_values_pass_through_as_on_the_cpu()
    {
        float[] x = [0f, -0f, 1e-42f, 3e38f, -3e38f, float.PositiveInfinity, float.NegativeInfinity, float.NaN, 88.8f, -104f];
        foreach (Activation activation in Activation.All)
        {
            float[] cpu = Answers(Targets.Cpu), openCl = Answers(Targets.OpenCl);
            for (int i = 0; i < x.Length; i++)
            {
                // Where a product flushes a denormal, the two sides of a jump are both right.
                bool same = (activation == Activation.Step && Math.Abs(x[i]) is > 0f and < 1e-38f) || cpu[i].Equals(openCl[i]) || (Math.Sign(cpu[i]) == 0 && openCl[i] == 0)
                    || Math.Abs((double)cpu[i] - openCl[i]) <= 1e-6 * Math.Max(1, Math.Abs(cpu[i]));
                Assert.True(same, $"{activation.Name}({x[i]}) is {cpu[i]} on the CPU and {openCl[i]} on OpenCL");
            }

            float[] Answers(string target)
            {
                using var network = new Network(Targets.Open(target), 1, new Dense(1, activation, Initializer.Constant(1f), bias: false));
                using Predictor predictor = network.CreatePredictor();
                var y = new float[x.Length];
                predictor.Predict(x, y);
                return y;
            }
        }
    }

    [SkippableFact]
    public void Several_devices_and_networks_work_at_once()
    {
        Targets.NeedOpenCl();
        using Device first = Device.OpenCl(new OpenClOptions { CacheDirectory = Targets.Kernels });
        using Device second = Device.OpenCl(new OpenClOptions { CacheDirectory = Targets.Kernels });
        var results = new int[4][];
        var threads = new Thread[results.Length];
        for (int i = 0; i < threads.Length; i++)
        {
            int number = i;
            threads[i] = new Thread(() =>
            {
                using var network = new Network(number % 2 == 0 ? first : second, 6, seed: 3, new Dense(20, Activation.ReLU), new Dense(3));
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam(0.01f));
                trainer.Fit(Samples.Blobs(90, 6, 3, 1), 5, 16);
                results[number] = Samples.Bits(Samples.Parameters(network));
            });
            threads[i].Start();
        }
        Assert.All(threads, thread => thread.Join());
        Assert.All(results, bits => Assert.Equal(results[0], bits));
    }

    [SkippableFact]
    public void Predictions_run_on_a_callers_queue_over_a_callers_memory()
    {
        Targets.NeedOpenCl();
        using var own = new OwnHandles();
        const int rows = 7, inputs = 5, outputs = 3;
        float[] x = Samples.Uniform(rows * inputs, 1);
        var expected = new float[rows * outputs];
        var probabilities = new float[rows * outputs];
        nint input = own.CreateBuffer(x.Length), output = own.CreateBuffer(probabilities.Length);
        uint contextBefore = own.ContextReferences(), inputBefore = own.References(input);
        using (Device device = Device.OpenCl(own.Context, own.Queue, new OpenClOptions { CacheDirectory = Targets.Kernels }))
        {
            Assert.True(own.ContextReferences() > contextBefore);
            using var network = new Network(device, inputs, new Dense(8, Activation.Tanh), new Dense(outputs));
            network.Task = NetworkTask.Classification;
            using Predictor predictor = network.CreatePredictor();
            predictor.Predict(x, expected);

            using var from = new OpenClMemory(device, input, x.Length);
            using var to = new OpenClMemory(device, output, probabilities.Length);
            Assert.True(own.References(input) > inputBefore);
            using BoundPredictor bound = predictor.Bind(from, to);
            Assert.Equal(rows, bound.Capacity);
            own.Write(input, x);
            bound.Run(rows);
            own.Read(output, probabilities);
            // A program for another batch may tile, and so add, differently.
            Samples.Close(expected, probabilities, 1e-5);
            expected = [.. probabilities];

            // Fewer rows leave the others alone.
            own.Write(output, new float[probabilities.Length]);
            bound.Run(2);
            own.Read(output, probabilities);
            Samples.Close(expected.AsSpan(0, 2 * outputs), probabilities.AsSpan(0, 2 * outputs), 1e-5);
            Assert.All(probabilities.Skip(2 * outputs), v => Assert.Equal(0f, v));

            using BoundPredictor logits = predictor.Bind(from, to, logits: true);
            logits.Run(rows);
            own.Read(output, probabilities);
            predictor.PredictLogits(x, expected);
            Samples.Close(expected, probabilities, 1e-5);

            Assert.Contains("rows is 8", Assert.Throws<ArgumentOutOfRangeException>(() => bound.Run(8)).Message);
            Assert.Contains("whole rows", Assert.Throws<ArgumentException>(() => predictor.Bind(to, from)).Message);
            using var half = new OpenClMemory(device, output, outputs);
            Assert.Contains("at least 7 rows", Assert.Throws<ArgumentException>(() => predictor.Bind(from, half)).Message);
            Assert.Throws<ArgumentException>(() => new OpenClMemory(device, input, x.Length + 1));
            Assert.Throws<ArgumentException>(() => new OpenClMemory(Targets.Open(Targets.OpenCl), input, x.Length));
            network.Preprocessing = Standardizer.Fit(Samples.Blobs(20, inputs, outputs, 1));
            using Predictor scaling = network.CreatePredictor();
            Assert.Contains("Preprocessing", Assert.Throws<InvalidOperationException>(() => scaling.Bind(from, to)).Message);
        }
        own.Finish();
        Assert.Equal(inputBefore, own.References(input));
        Assert.Equal(contextBefore, own.ContextReferences());
    }

    /// <summary>A context, a queue and buffers made by calling the OpenCL library directly.</summary>
    private sealed unsafe class OwnHandles : IDisposable
    {
        private const ulong AllDevices = 0xFFFFFFFF;
        private const uint ContextReferenceCount = 0x1080;
        private const uint MemoryReferenceCount = 0x1105;
        private readonly nint _library;
        private readonly List<nint> _buffers = [];

        public OwnHandles()
        {
            string[] names = OperatingSystem.IsWindows() ? ["OpenCL.dll"] : ["libOpenCL.so.1", "libOpenCL.so", "libpocl.so.2"];
            _library = names.Select(name => NativeLibrary.TryLoad(name, out nint library) ? library : 0).First(library => library != 0);
            nint platform, device;
            int code;
            Check(((delegate* unmanaged<uint, nint*, uint*, int>)Export("clGetPlatformIDs"))(1, &platform, null));
            Check(((delegate* unmanaged<nint, ulong, uint, nint*, uint*, int>)Export("clGetDeviceIDs"))(platform, AllDevices, 1, &device, null));
            Context = ((delegate* unmanaged<nint*, uint, nint*, void*, void*, int*, nint>)Export("clCreateContext"))(null, 1, &device, null, null, &code);
            Check(code);
            Queue = ((delegate* unmanaged<nint, nint, ulong, int*, nint>)Export("clCreateCommandQueue"))(Context, device, 0, &code);
            Check(code);
        }

        public nint Context { get; }

        public nint Queue { get; }

        public nint CreateBuffer(int elements)
        {
            int code;
            nint buffer = ((delegate* unmanaged<nint, ulong, nuint, void*, int*, nint>)Export("clCreateBuffer"))(
                Context, 1, (nuint)elements * 4, null, &code);
            Check(code);
            _buffers.Add(buffer);
            return buffer;
        }

        public void Write(nint buffer, float[] values)
        {
            fixed (float* source = values)
            {
                Check(((delegate* unmanaged<nint, nint, uint, nuint, nuint, void*, uint, nint*, nint*, int>)Export("clEnqueueWriteBuffer"))(
                    Queue, buffer, 1, 0, (nuint)values.Length * 4, source, 0, null, null));
            }
        }

        public void Read(nint buffer, float[] values)
        {
            fixed (float* destination = values)
            {
                Check(((delegate* unmanaged<nint, nint, uint, nuint, nuint, void*, uint, nint*, nint*, int>)Export("clEnqueueReadBuffer"))(
                    Queue, buffer, 1, 0, (nuint)values.Length * 4, destination, 0, null, null));
            }
        }

        public uint ContextReferences() => Info("clGetContextInfo", Context, ContextReferenceCount);

        public uint References(nint buffer) => Info("clGetMemObjectInfo", buffer, MemoryReferenceCount);

        public void Finish() => Check(((delegate* unmanaged<nint, int>)Export("clFinish"))(Queue));

        public void Dispose()
        {
            foreach (nint buffer in _buffers)
                Release("clReleaseMemObject", buffer);
            Release("clReleaseCommandQueue", Queue);
            Release("clReleaseContext", Context);
        }

        private uint Info(string function, nint handle, uint what)
        {
            uint value;
            Check(((delegate* unmanaged<nint, uint, nuint, void*, nuint*, int>)Export(function))(handle, what, sizeof(uint), &value, null));
            return value;
        }

        private void Release(string function, nint handle) => Check(((delegate* unmanaged<nint, int>)Export(function))(handle));

        private nint Export(string name) => NativeLibrary.GetExport(_library, name);

        private static void Check(int code) => Assert.Equal(0, code);
    }
}
