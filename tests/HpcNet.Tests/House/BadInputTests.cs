// BadInputTests.cs: bad input gets one clear, typed exception that names argument, expectation and what came. A row per fault.

namespace HpcNet.Tests;

public sealed class BadInputTests
{
    private static readonly Dictionary<string, (Type Type, string[] Words, Action Action)> Rows = new()
    {
        // Configuration.
        ["dense without units"] = Row<ArgumentOutOfRangeException>(() => new Dense(0), "units is 0"),
        ["dense with negative units"] = Row<ArgumentOutOfRangeException>(() => new Dense(-1), "units is -1"),
        ["dropout of one"] = Row<ArgumentOutOfRangeException>(() => new Dropout(1f), "rate is 1"),
        ["dropout of NaN"] = Row<ArgumentOutOfRangeException>(() => new Dropout(float.NaN), "rate is NaN"),
        ["NaN learning rate"] = Row<ArgumentOutOfRangeException>(() => new Adam(float.NaN), "learningRate is NaN"),
        ["learning rate 0"] = Row<ArgumentOutOfRangeException>(() => new Sgd(0f), "learningRate is 0"),
        ["NaN learning rate, with"] = Row<ArgumentOutOfRangeException>(() => _ = new Sgd(1f) with { LearningRate = float.NaN }, "NaN"),
        ["momentum of 1"] = Row<ArgumentOutOfRangeException>(() => new Sgd(1f, 1f), "momentum is 1"),
        ["Nesterov without momentum"] = Row<ArgumentException>(() => new Sgd(1f, nesterov: true), "nesterov"),
        ["beta of 1"] = Row<ArgumentOutOfRangeException>(() => new Adam(beta2: 1f), "beta2 is 1"),
        ["epsilon of 0"] = Row<ArgumentOutOfRangeException>(() => new Adam(epsilon: 0f), "epsilon is 0"),
        ["clip at 0"] = Row<ArgumentOutOfRangeException>(() => new Adam().ClipByNorm(0f), "maxNorm is 0"),
        ["clip at NaN"] = Row<ArgumentOutOfRangeException>(() => new Adam().ClipByNorm(float.NaN), "maxNorm is NaN"),
        ["negative decay"] = Row<ArgumentOutOfRangeException>(() => new Adam().WeightDecay(-1f), "l2 is -1"),
        ["infinite decay"] = Row<ArgumentOutOfRangeException>(() => new Adam().DecoupledWeightDecay(float.PositiveInfinity), "rate"),
        ["patience 0"] = Row<ArgumentOutOfRangeException>(() => new EarlyStopping(0), "patience is 0"),
        ["NaN delta"] = Row<ArgumentOutOfRangeException>(() => new EarlyStopping(1, float.NaN), "minDelta is NaN"),
        ["schedule of no steps"] = Row<ArgumentOutOfRangeException>(() => Schedule.CosineDecay(0), "steps is 0"),
        ["warm-up as long as the curve"] = Row<ArgumentOutOfRangeException>(() => Schedule.CosineDecay(5, 0, 5), "warmup is 5"),
        ["layer name with a dot"] = Row<ArgumentException>(() => new Dense(1) { Name = "a.b" }, "'a.b'"),
        ["NaN scale"] = Row<ArgumentOutOfRangeException>(() => new Dense(1) { LearningRateScale = float.NaN }, "NaN"),
        ["unknown activation"] = Row<ArgumentException>(() => Activation.Parse("swoosh"), "'swoosh'", "ReLU"),
        ["unknown loss"] = Row<ArgumentException>(() => Loss.Parse("grief"), "'grief'", "MeanSquaredError"),
        ["unknown reduction"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.MeanSquaredError with { Reduction = (Reduction)9 }, "9"),
        ["infinite constant"] = Row<ArgumentOutOfRangeException>(() => Initializer.Constant(float.NegativeInfinity), "value"),

        // Devices.
        ["no threads"] = Row<ArgumentOutOfRangeException>(() => new CpuOptions { Threads = 0 }, "Threads is 0"),
        ["too many threads"] = Row<ArgumentOutOfRangeException>(() => new CpuOptions { Threads = 5000 }, "1024"),
        ["unknown ISA"] = Row<ArgumentException>(() => new CpuOptions { Isa = "mmx" }, "'mmx'", "avx2"),
        ["empty BLAS"] = Row<ArgumentException>(() => new CpuOptions { Blas = " " }, "Blas"),
        ["BLAS that is not there"] = Row<HpcNetException>(() => Device.Cpu(new CpuOptions { Blas = "/nowhere/libblas.so" }), "/nowhere/libblas.so"),
        ["measuring for no time"] = Row<ArgumentOutOfRangeException>(() => Device.Default.Measure(0), "milliseconds is 0"),
        ["negative device number"] = Row<ArgumentOutOfRangeException>(() => Device.OpenCl(-1), "index is -1"),
        ["empty device name"] = Row<ArgumentException>(() => Device.OpenCl(" "), "name"),
        ["no context"] = Row<ArgumentException>(() => Device.OpenCl(0, 1), "context is 0"),
        ["no queue"] = Row<ArgumentException>(() => Device.OpenCl(1, 0), "queue is 0"),
        ["no cache folder"] = Row<ArgumentNullException>(() => new OpenClOptions { CacheDirectory = null! }, "CacheDirectory"),
        ["OpenCL memory of the CPU"] = Row<ArgumentException>(() => new OpenClMemory(Device.Default, 1, 1), "expected an OpenCL device"),
        ["OpenCL device that is not there"] = Row<HpcNetException>(() => Device.OpenCl(4711), "OpenCL device", "libOpenCL"),
        ["OpenCL name that is not there"] = Row<HpcNetException>(() => Device.OpenCl("no such card"), "OpenCL device", "libOpenCL"),
        ["disposed device"] = Row<ObjectDisposedException>(() =>
        {
            Device device = Device.Cpu(new CpuOptions { Threads = 1 });
            device.Dispose();
            _ = new Network(device, 2, new Dense(2));
        }, "Device"),

        // Networks.
        ["no device"] = Row<ArgumentNullException>(() => new Network(null!, 2, new Dense(2)), "device"),
        ["no inputs"] = Row<ArgumentOutOfRangeException>(() => new Network(Device.Default, 0, new Dense(2)), "inputs is 0"),
        ["no layers"] = Row<ArgumentException>(() => new Network(Device.Default, 2), "at least one layer"),
        ["null layer"] = Row<ArgumentNullException>(() => new Network(Device.Default, 2, new Dense(2), null!), "Layer 1"),
        ["no parameters"] = Row<ArgumentException>(() => new Network(Device.Default, 2, new Dropout(0.5f)), "No layer has parameters"),
        ["two layers of a name"] = Row<ArgumentException>(
            () => new Network(Device.Default, 2, new Dense(2) { Name = "a" }, new Dense(2) { Name = "a" }), "'a'"),
        ["overflowing size"] = Row<ArgumentOutOfRangeException>(
            () => new Network(Device.Default, int.MaxValue, new Dense(int.MaxValue)), "dense1", "2147483647 x 2147483647"),
        ["overflowing sum of sizes"] = Row<ArgumentOutOfRangeException>(
            () => new Network(Device.Default, 40_000, new Dense(40_000), new Dense(40_000)), "at most"),
        ["unknown parameter"] = OnNetwork<ArgumentException>(n => n.GetParameter("dense9.weight", new float[1]), "'dense9.weight'", "dense1.bias"),
        ["parameter of another length"] = OnNetwork<ArgumentException>(n => n.GetParameter("dense1.weight", new float[1]), "1 elements", "expected 192"),
        ["NaN parameter"] = OnNetwork<ArgumentException>(n => n.SetParameter("dense1.bias", [0, 0, float.NaN]), "values[2] is NaN"),
        ["unknown layer"] = OnNetwork<ArgumentException>(n => n.Freeze("dense9"), "'dense9'", "dense1"),
        ["negative rate scale"] = OnNetwork<ArgumentOutOfRangeException>(n => n.SetLearningRateScale("dense1", -1f), "scale is -1"),
        ["unknown task"] = OnNetwork<ArgumentOutOfRangeException>(n => n.Task = (NetworkTask)5, "5"),
        ["class names of another count"] = OnNetwork<ArgumentException>(n => n.ClassNames = ["a"], "expected 3"),
        ["preprocessing of another width"] = OnNetwork<ArgumentException>(n => n.Preprocessing = new Standardizer([0], [1]), "1 features", "64 inputs"),
        ["batch of 0"] = OnNetwork<ArgumentOutOfRangeException>(n => n.CreatePredictor(0), "batchSize is 0"),
        ["null data"] = OnNetwork<ArgumentNullException>(n => n.Evaluate(null!), "data"),
        ["data of another width"] = OnNetwork<ArgumentException>(n => n.Evaluate(Samples.Blobs(5, 32, 3, 1), Loss.SoftmaxCrossEntropy), "expects 64 inputs, got 32"),
        ["more classes than outputs"] = OnNetwork<ArgumentException>(n => n.Evaluate(Samples.Blobs(5, 64, 4, 1), Loss.SoftmaxCrossEntropy), "4 classes", "3 outputs"),
        ["labels for a regression"] = OnNetwork<ArgumentException>(n => n.Evaluate(Samples.Blobs(5, 64, 3, 1), Loss.MeanSquaredError), "MeanSquaredError"),
        ["saving nowhere"] = OnNetwork<ArgumentException>(n => n.Save(""), "path"),

        // A disposed network.
        ["disposed: parameters"] = OnDisposed(n => n.GetParameter("dense1.bias", new float[3])),
        ["disposed: predictor"] = OnDisposed(n => n.CreatePredictor()),
        ["disposed: evaluation"] = OnDisposed(n => n.Evaluate(Samples.Blobs(5, 64, 3, 1))),
        ["disposed: trainer"] = OnDisposed(n => _ = new Trainer(n, Loss.SoftmaxCrossEntropy, new Adam())),
        ["disposed: description"] = OnDisposed(n => n.Describe()),

        // Steps.
        ["wrong width"] = OnTrainer<ArgumentException>(t => t.Step(new float[32], new[] { 0 }), "Dense 'dense1' expects 64 inputs, got 32"),
        ["ragged width"] = OnTrainer<ArgumentException>(t => t.Step(new float[100], new[] { 0 }), "not a multiple of 64"),
        ["empty rows"] = OnTrainer<ArgumentException>(t => t.Step([], new[] { 0 }), "x is empty"),
        ["null rows"] = OnTrainer<ArgumentException>(t => t.Step(null, new[] { 0 }), "x is empty"),
        ["null labels"] = OnTrainer<ArgumentException>(t => t.Step(new float[64], (int[])null!), "labels holds 0 elements; expected 1"),
        ["too many labels"] = OnTrainer<ArgumentException>(t => t.Step(new float[64], new[] { 0, 1 }), "labels holds 2 elements; expected 1"),
        ["label too large"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Step(new float[128], new[] { 0, 3 }), "labels[1] is 3", "0 to 2"),
        ["negative label"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Step(new float[64], new[] { -1 }), "labels[0] is -1"),
        ["targets of another width"] = OnTrainer<ArgumentException>(t => t.Step(new float[64], new float[2]), "expected 3"),
        ["no epochs"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Fit(Samples.Blobs(5, 64, 3, 1), 0, 1), "epochs is 0"),
        ["negative batch"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Fit(Samples.Blobs(5, 64, 3, 1), 1, -4), "batchSize is -4"),
        ["null training data"] = OnTrainer<ArgumentNullException>(t => t.Fit(null!, 1, 1), "train"),
        ["training data of another width"] = OnTrainer<ArgumentException>(t => t.Fit(Samples.Blobs(5, 32, 3, 1), 1, 1), "expects 64 inputs, got 32"),
        ["validation data of another width"] = OnTrainer<ArgumentException>(
            t => t.Fit(Samples.Blobs(5, 64, 3, 1), 1, 1, Samples.Blobs(5, 32, 3, 1)), "expects 64 inputs, got 32", "validation"),
        ["profile of no repetitions"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Profile(0), "repetitions is 0"),
        ["nothing to train"] = OnTrainer<InvalidOperationException>(t =>
        {
            t.Network.Freeze("dense1");
            t.Step(new float[64], new[] { 0 });
        }, "frozen"),
        ["disposed trainer"] = OnTrainer<ObjectDisposedException>(t =>
        {
            t.Dispose();
            t.Step(new float[64], new[] { 0 });
        }, "Trainer"),
        ["trainer of a disposed network"] = OnTrainer<ObjectDisposedException>(t =>
        {
            t.Network.Dispose();
            t.Step(new float[64], new[] { 0 });
        }, "Network"),
        ["custom schedule gone wrong"] = Row<InvalidOperationException>(() => Schedule.Custom(_ => float.NaN).FactorAt(3), "NaN", "step 3"),

        // Graphs.
        ["graph without inputs"] = OnGraph<ArgumentException>(x => ([], [x.Then(new Dense(2))]), "inputs is empty"),
        ["graph without outputs"] = OnGraph<ArgumentException>(x => ([x], []), "outputs is empty"),
        ["graph whose output is its input"] = OnGraph<ArgumentException>(x => ([x], [x]), "outputs holds an input"),
        ["graph with a null output"] = OnGraph<ArgumentNullException>(x => ([x], [null!]), "outputs"),
        ["graph with an output twice"] = OnGraph<ArgumentException>(x => { NetworkNode y = x.Then(new Dense(2)); return ([x], [y, y]); }, "outputs[1]", "twice"),
        ["graph with a layer as input"] = OnGraph<ArgumentException>(
            x => ([x, x.Then(new Dense(1))], [x.Then(new Dense(2))]), "NetworkNode.Input"),
        ["graph with an unused input"] = OnGraph<ArgumentException>(
            x => ([x, NetworkNode.Input(2, "age")], [x.Then(new Dense(2))]), "inputs[1] 'age' is not used"),
        ["graph with a missing input"] = OnGraph<ArgumentException>(
            x => ([x], [x.Add(NetworkNode.Input(4, "age")).Then(new Dense(2))]), "'age'", "inputs does not hold"),
        ["graph with two layers of one name"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Dense(2) { Name = "a" }, new Dense(2) { Name = "a" })]), "named 'a'"),
        ["sum of branches of two widths"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Dense(2)).Add(x)]), "Add 'add1' got branches of 2 and 4"),
        ["product of branches of two widths"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Dense(2)).Multiply(x)]), "Multiply 'multiply1' got branches of 2 and 4"),
        ["concatenation along no axis"] = OnGraph<ArgumentOutOfRangeException>(
            x => ([x], [x.Then(new Dense(2)).Concatenate(1, x)]), "axis is 1", "-1 to 0"),
        ["concatenation of two ranks"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Reshape(new Shape(2, 2))).Concatenate(x)]), "[2, 2] and 4"),
        ["graph without parameters"] = OnGraph<ArgumentException>(x => ([x], [x.Add(x)]), "No layer has parameters"),
        ["sum with nothing"] = Row<ArgumentException>(() => NetworkNode.Input(2).Add(), "others is empty"),
        ["node without layers"] = Row<ArgumentException>(() => NetworkNode.Input(2).Then(), "layers is empty"),
        ["reshape to another size"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Reshape(new Shape(3, 2)), new Dense(1))]), "Reshape 'reshape1' makes [3, 2] of 4", "expected 4 elements, got 6"),
        ["alpha dropout of everything"] = Row<ArgumentOutOfRangeException>(() => new AlphaDropout(1f), "rate is 1"),
        ["noise of a negative deviation"] = Row<ArgumentOutOfRangeException>(() => new GaussianNoise(-1f), "deviation is -1"),
        ["loss for no outputs"] = Row<ArgumentException>(() => Loss.PerOutput(), "parts is empty"),
        ["loss of weight 0"] = Row<ArgumentOutOfRangeException>(() => Loss.PerOutput((Loss.MeanSquaredError, 1, 0f)), "weight is 0"),
        ["loss for other columns"] = OnNetwork<ArgumentException>(
            n => new Trainer(n, Loss.PerOutput((Loss.MeanSquaredError, 2, 1f)), new Adam()), "for 2 columns", "3 outputs"),

        // Predictions.
        ["prediction of another width"] = OnPredictor<ArgumentException>(p => p.Predict(new float[32], new float[3]), "Dense 'dense1' expects 64 inputs, got 32"),
        ["prediction of nothing"] = OnPredictor<ArgumentException>(p => p.Predict([], new float[3]), "x is empty"),
        ["no room for answers"] = OnPredictor<ArgumentException>(p => p.Predict(new float[128], new float[3]), "y holds 3 elements; expected 6"),
        ["no room for classes"] = OnPredictor<ArgumentException>(p => p.Classify(new float[128], new int[3]), "classes holds 3 elements; expected 2"),
        ["one class of two rows"] = OnPredictor<ArgumentException>(p => p.Classify(new float[128]), "2 rows"),
        ["disposed predictor"] = OnPredictor<ObjectDisposedException>(p =>
        {
            p.Dispose();
            p.Classify(new float[64]);
        }, "Predictor"),

        // Gradient checks.
        ["gradient check without a network"] = Row<ArgumentNullException>(() => GradientCheck.Run(null!, Loss.MeanSquaredError, [1f], [1f]), "network"),
        ["gradient check on a label out of range"] = OnNetwork<ArgumentOutOfRangeException>(
            n => GradientCheck.Run(n, Loss.SoftmaxCrossEntropy, new float[64], [7]), "labels[0] is 7"),
    };

    public static TheoryData<string> Names() => [.. Rows.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Bad_input_gets_one_clear_exception(string name)
    {
        var (type, words, action) = Rows[name];
        Exception? exception = Record.Exception(action);
        Assert.NotNull(exception);
        Assert.Equal(type, exception.GetType());
        Assert.All(words, word => Assert.Contains(word, exception.Message, StringComparison.Ordinal));
    }

    [Fact]
    public void Refused_calls_change_nothing()
    {
        using var network = new Network(Device.Default, 64, new Dense(3));
        using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
        trainer.Step(Samples.Uniform(64, 1), new[] { 1 });
        int[] before = Samples.Bits(Samples.Parameters(network));
        Assert.ThrowsAny<ArgumentException>(() => { trainer.Step(new float[128], new[] { 0, 3 }); });
        Assert.ThrowsAny<ArgumentException>(() => { trainer.Fit(Samples.Blobs(5, 64, 3, 1), 1, 1, Samples.Blobs(5, 32, 3, 1)); });
        Assert.Equal(before, Samples.Bits(Samples.Parameters(network)));
        Assert.Equal(1, trainer.Steps);
    }

    private static (Type, string[], Action) Row<T>(Action action, params string[] words) where T : Exception => (typeof(T), words, action);

    private static (Type, string[], Action) OnNetwork<T>(Action<Network> action, params string[] words) where T : Exception =>
        Row<T>(
            () =>
            {
                using var network = new Network(Device.Default, 64, new Dense(3));
                action(network);
            },
            words);

    private static (Type, string[], Action) OnGraph<T>(Func<NetworkNode, (NetworkNode[], NetworkNode[])> make, params string[] words)
        where T : Exception =>
        Row<T>(
            () =>
            {
                var (inputs, outputs) = make(NetworkNode.Input(4));
                new Network(Device.Default, inputs, outputs).Dispose();
            },
            words);

    private static (Type, string[], Action) OnDisposed(Action<Network> action) =>
        Row<ObjectDisposedException>(
            () =>
            {
                var network = new Network(Device.Default, 64, new Dense(3));
                network.Dispose();
                action(network);
            },
            "Network");

    private static (Type, string[], Action) OnTrainer<T>(Action<Trainer> action, params string[] words) where T : Exception =>
        OnNetwork<T>(
            network =>
            {
                using var trainer = new Trainer(network, Loss.SoftmaxCrossEntropy, new Adam());
                action(trainer);
            },
            words);

    private static (Type, string[], Action) OnPredictor<T>(Action<Predictor> action, params string[] words) where T : Exception =>
        OnNetwork<T>(
            network =>
            {
                using Predictor predictor = network.CreatePredictor();
                action(predictor);
            },
            words);
}
