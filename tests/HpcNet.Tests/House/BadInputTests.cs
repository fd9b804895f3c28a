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
        ["negative slope"] = Row<ArgumentOutOfRangeException>(() => Activation.CreateLeakyReLU(-0.1f), "negativeSlope is -0.1"),
        ["alpha of CELU"] = Row<ArgumentOutOfRangeException>(() => Activation.CreateCELU(0f), "alpha is 0"),
        ["alpha of ELU"] = Row<ArgumentOutOfRangeException>(() => Activation.CreateELU(float.NaN), "alpha is NaN"),
        ["beta of softplus"] = Row<ArgumentOutOfRangeException>(() => Activation.CreateSoftplus(-1f), "beta is -1"),
        ["bounds of hard tanh"] = Row<ArgumentOutOfRangeException>(() => Activation.CreateHardTanh(1f, 1f), "maximum is 1", "minimum, 1"),
        ["slope of PReLU"] = Row<ArgumentOutOfRangeException>(() => _ = new PRelu(float.PositiveInfinity), "initialSlope"),
        ["unknown activation"] = Row<ArgumentException>(() => Activation.Parse("swoosh"), "'swoosh'", "ReLU"),
        ["unknown loss"] = Row<ArgumentException>(() => Loss.Parse("grief"), "'grief'", "MeanSquaredError"),
        ["unknown reduction"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.MeanSquaredError with { Reduction = (Reduction)9 }, "9"),
        ["order 0 of a norm"] = Row<ArgumentOutOfRangeException>(() => new Adam().ClipByNorm(1f, 0f), "order is 0"),
        ["clip by value at -1"] = Row<ArgumentOutOfRangeException>(() => new Adam().ClipByValue(-1f), "limit is -1"),
        ["negative L1"] = Row<ArgumentOutOfRangeException>(() => new Adam().L1(-1f), "l1 is -1"),
        ["NaN L2"] = Row<ArgumentOutOfRangeException>(() => new Adam().L2(float.NaN), "l2 is NaN"),
        ["negative elastic net"] = Row<ArgumentOutOfRangeException>(() => new Adam().ElasticNet(0f, -2f), "l2 is -2"),
        ["max-norm of 0"] = Row<ArgumentOutOfRangeException>(() => new Adam().MaxNorm(0f), "maxNorm is 0"),
        ["rate dropout of 1"] = Row<ArgumentOutOfRangeException>(() => new Adam().LearningRateDropout(1f), "rate is 1"),
        ["two rate dropouts"] = Row<InvalidOperationException>(() => new Adam().LearningRateDropout(0.5f).LearningRateDropout(0.5f), "LearningRateDropout"),
        ["negative AdamW decay"] = Row<ArgumentOutOfRangeException>(() => new AdamW(weightDecay: -1f), "weightDecay is -1"),
        ["Adagrad's accumulator"] = Row<ArgumentOutOfRangeException>(() => new Adagrad(initialAccumulator: -1f), "initialAccumulator is -1"),
        ["Adagrad's decay"] = Row<ArgumentOutOfRangeException>(() => new Adagrad(learningRateDecay: -1f), "learningRateDecay is -1"),
        ["RMSprop's alpha"] = Row<ArgumentOutOfRangeException>(() => new RmsProp(alpha: 1f), "alpha is 1"),
        ["RMSprop's momentum"] = Row<ArgumentOutOfRangeException>(() => new RmsProp(momentum: -0.5f), "momentum is -0.5"),
        ["Adadelta's rho"] = Row<ArgumentOutOfRangeException>(() => new Adadelta(rho: float.NaN), "rho is NaN"),
        ["Adamax' beta"] = Row<ArgumentOutOfRangeException>(() => new Adamax(beta1: 1f), "beta1 is 1"),
        ["NAdam's momentum decay"] = Row<ArgumentOutOfRangeException>(() => new NAdam(momentumDecay: -1f), "momentumDecay is -1"),
        ["RAdam's epsilon"] = Row<ArgumentOutOfRangeException>(() => new RAdam(epsilon: 0f), "epsilon is 0"),
        ["Rprop's eta-"] = Row<ArgumentOutOfRangeException>(() => new Rprop(etaMinus: 1f), "etaMinus is 1"),
        ["Rprop's eta+"] = Row<ArgumentOutOfRangeException>(() => new Rprop(etaPlus: 1f), "etaPlus is 1"),
        ["Rprop's steps"] = Row<ArgumentOutOfRangeException>(() => new Rprop(smallestStep: 2f, largestStep: 1f), "largestStep is 1"),
        ["averaging's power"] = Row<ArgumentOutOfRangeException>(() => new AveragedSgd(alpha: -1f), "alpha is -1"),
        ["L-BFGS without history"] = Row<ArgumentOutOfRangeException>(() => new Lbfgs(history: 0), "history is 0"),
        ["L-BFGS without iterations"] = Row<ArgumentOutOfRangeException>(() => new Lbfgs(maxIterations: 0), "maxIterations is 0"),
        ["L-BFGS of nothing"] = Row<ArgumentException>(() => new Lbfgs().Minimize((_, _) => 0, []), "x is empty"),
        ["negative milestone"] = Row<ArgumentOutOfRangeException>(() => Schedule.MultiStepDecay(0.5f, 3, -1), "milestones is -1"),
        ["negative factor"] = Row<ArgumentOutOfRangeException>(() => Schedule.ExponentialDecay(-1f), "factor is -1"),
        ["polynomial's power"] = Row<ArgumentOutOfRangeException>(() => Schedule.PolynomialDecay(3, 0f), "power is 0"),
        ["line of no steps"] = Row<ArgumentOutOfRangeException>(() => Schedule.LinearWarmup(0), "steps is 0"),
        ["swing below 0"] = Row<ArgumentOutOfRangeException>(() => Schedule.CosineAnnealing(3, -1f), "floor is -1"),
        ["restarts that shrink"] = Row<ArgumentOutOfRangeException>(() => Schedule.CosineRestarts(3, 0), "growth is 0"),
        ["cycle of one step"] = Row<ArgumentOutOfRangeException>(() => Schedule.OneCycle(1), "steps is 1"),
        ["cycle that only rises"] = Row<ArgumentOutOfRangeException>(() => Schedule.OneCycle(9, rising: 1f), "rising is 1"),
        ["cycle of a momentum of 1"] = Row<ArgumentOutOfRangeException>(() => Schedule.OneCycle(9, momentum: (0.5f, 1f)), "momentum is 1"),
        ["cycle of a momentum upside down"] = Row<ArgumentOutOfRangeException>(() => Schedule.Cyclic(9, 2f, momentum: (0.9f, 0.5f)), "0.9 to 0.5"),
        ["peak below the foot"] = Row<ArgumentOutOfRangeException>(() => Schedule.Cyclic(9, 0.5f), "peak is 0.5"),
        ["gamma above 1"] = Row<ArgumentOutOfRangeException>(() => Schedule.Cyclic(9, 2f, gamma: 2f), "gamma is 2"),
        ["unknown cycle"] = Row<ArgumentOutOfRangeException>(() => Schedule.Cyclic(9, 2f, mode: (CyclicMode)7), "mode is 7"),
        ["plateau that grows"] = Row<ArgumentOutOfRangeException>(() => Schedule.ReduceOnPlateau(1f), "factor is 1"),
        ["negative patience"] = Row<ArgumentOutOfRangeException>(() => Schedule.ReduceOnPlateau(patience: -1), "patience is -1"),
        ["then nothing"] = Row<ArgumentNullException>(() => Schedule.Constant.Then(3, null!), "next"),
        ["uniform upside down"] = Row<ArgumentOutOfRangeException>(() => Initializer.Uniform(1f, 0f), "high is 0"),
        ["negative deviation"] = Row<ArgumentOutOfRangeException>(() => Initializer.Normal(0f, -1f), "deviation is -1"),
        ["empty truncation"] = Row<ArgumentOutOfRangeException>(() => Initializer.TruncatedNormal(0f, 1f, 2f, 2f), "high is 2"),
        ["truncation far away"] = Row<ArgumentOutOfRangeException>(() => Initializer.TruncatedNormal(0f, 1f, 50f, 60f), "eight deviations"),
        ["gain of 0"] = Row<ArgumentOutOfRangeException>(() => Initializer.Glorot(InitializerDistribution.Normal, 0.0), "gain is 0"),
        ["unknown fan"] = Row<ArgumentOutOfRangeException>(() => Initializer.He(InitializerDistribution.Normal, (FanMode)9), "fan is 9"),
        ["infinite slope"] = Row<ArgumentOutOfRangeException>(
            () => Initializer.He(InitializerDistribution.Normal, negativeSlope: double.PositiveInfinity), "negativeSlope"),
        ["infinite orthogonal gain"] = Row<ArgumentOutOfRangeException>(() => Initializer.Orthogonal(float.NaN), "gain is NaN"),
        ["batch norm with negative momentum"] = Row<ArgumentOutOfRangeException>(() => new BatchNorm(-0.1f), "momentum is -0.1"),
        ["batch norm with momentum above 1"] = Row<ArgumentOutOfRangeException>(() => new BatchNorm(1.5f), "momentum is 1.5"),
        ["batch norm with NaN momentum"] = Row<ArgumentOutOfRangeException>(() => new BatchNorm(float.NaN), "momentum is NaN"),
        ["batch norm with epsilon 0"] = Row<ArgumentOutOfRangeException>(() => new BatchNorm(epsilon: 0f), "epsilon is 0"),
        ["batch norm of no features"] = Row<ArgumentOutOfRangeException>(() => new BatchNorm(features: 0), "features is 0"),
        ["batch norm of other features"] = Row<ArgumentException>(
            () => new Network(Device.Default, 4, new BatchNorm(features: 5), new Dense(2)), "'batchnorm1'", "expects 5 features, got 4"),
        ["layer norm with negative epsilon"] = Row<ArgumentOutOfRangeException>(() => new LayerNorm(epsilon: -1f), "epsilon is -1"),
        ["layer norm of no dimensions"] = Row<ArgumentOutOfRangeException>(() => new LayerNorm(0), "dimensions is 0"),
        ["layer norm of more dimensions than there are"] = Row<ArgumentException>(
            () => new Network(Device.Default, 4, new LayerNorm(2), new Dense(2)), "'layernorm1'", "2 dimensions"),
        ["embedding of nothing"] = Row<ArgumentOutOfRangeException>(() => new Embedding(0, 2), "count is 0"),
        ["embedding beyond exact floats"] = Row<ArgumentOutOfRangeException>(() => new Embedding((1 << 24) + 1, 1), "16777217"),
        ["embedding without a dimension"] = Row<ArgumentOutOfRangeException>(() => new Embedding(2, 0), "dimension is 0"),
        ["embedding with a padding that is no row"] = Row<ArgumentOutOfRangeException>(() => new Embedding(2, 2, paddingIndex: 2), "paddingIndex is 2"),
        ["unknown state"] = OnNetwork<ArgumentException>(n => n.GetState("bn.running_mean", new float[1]), "'bn.running_mean'", "none"),
        ["negative variance"] = Row<ArgumentException>(
            () =>
            {
                using var network = new Network(Device.Default, 2, new BatchNorm(), new Dense(1));
                network.SetState("batchnorm1.running_var", [1f, -1f]);
            },
            "values[1] is -1", "0 or more"),
        ["huber of 0"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.Huber with { Delta = 0f }, "Delta is 0"),
        ["huber of NaN"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.Huber with { Delta = float.NaN }, "Delta is NaN"),
        ["negative beta"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.SmoothL1 with { Beta = -1f }, "Beta is -1"),
        ["smoothing of 1"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.SoftmaxCrossEntropy with { LabelSmoothing = 1f }, "LabelSmoothing is 1"),
        ["negative class weight"] = Row<ArgumentOutOfRangeException>(
            () => _ = Loss.SoftmaxCrossEntropy with { ClassWeights = [1f, -2f] }, "ClassWeights[1] is -2"),
        ["infinite weight"] = Row<ArgumentOutOfRangeException>(
            () => _ = Loss.MeanSquaredError with { Weights = [float.PositiveInfinity] }, "Weights[0]"),
        ["no positive weights"] = Row<ArgumentException>(() => _ = Loss.SigmoidCrossEntropy with { PositiveWeights = [] }, "PositiveWeights is empty"),
        ["epsilon of 0 for Poisson"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.Poisson with { Epsilon = 0f }, "Epsilon is 0"),
        ["NaN margin"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.Hinge with { Margin = float.NaN }, "Margin is NaN"),
        ["power of 3"] = Row<ArgumentOutOfRangeException>(() => _ = Loss.MultiMargin with { Power = 3 }, "Power is 3"),
        ["weights for other outputs"] = OnNetwork<ArgumentException>(
            n => _ = new Trainer(n, Loss.MeanSquaredError with { Weights = [1f, 2f] }, new Adam()), "MeanSquaredError has 2 Weights", "3 outputs"),
        ["class weights for other outputs"] = OnNetwork<ArgumentException>(
            n => n.Evaluate(Samples.Blobs(5, 64, 3, 1), Loss.SoftmaxCrossEntropy with { ClassWeights = [1f] }), "1 ClassWeights"),
        ["positive weights for other outputs"] = OnNetwork<ArgumentException>(
            n => GradientCheck.Run(n, Loss.SigmoidCrossEntropy with { PositiveWeights = [1f] }, new float[64], new float[3]), "1 PositiveWeights"),
        ["targets for a loss of labels"] = OnNetwork<ArgumentException>(
            n =>
            {
                using var trainer = new Trainer(n, Loss.NegativeLogLikelihood, new Adam());
                trainer.Step(new float[64], new float[3]);
            }, "NegativeLogLikelihood expects a class label"),
        ["regression data for a loss of labels"] = OnNetwork<ArgumentException>(
            n => n.Evaluate(Samples.Waves(5, 64, 3, 1), Loss.MultiMargin), "MultiMargin expects a class label"),
        ["label that another loss ignores"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Step(new float[64], new[] { -100 }), "labels[0] is -100"),

        // Metrics.
        ["accuracy of nothing"] = Row<ArgumentException>(() => Metrics.Accuracy([], []), "predicted is empty"),
        ["accuracy of other lengths"] = Row<ArgumentException>(() => Metrics.Accuracy([1], [1, 2]), "actual holds 2 elements; expected 1"),
        ["top 0"] = Row<ArgumentOutOfRangeException>(() => Metrics.TopKAccuracy([1f, 2f], [0], 0), "k is 0"),
        ["top 3 of 2"] = Row<ArgumentOutOfRangeException>(() => Metrics.TopKAccuracy([1f, 2f], [0], 3), "expected 1 to 2"),
        ["scores of no whole rows"] = Row<ArgumentException>(() => Metrics.TopKAccuracy([1f, 2f, 3f], [0, 1], 1), "3 scores for 2 labels"),
        ["label beyond the scores"] = Row<ArgumentOutOfRangeException>(() => Metrics.Perplexity([0.5f, 0.5f], [2]), "labels[0] is 2"),
        ["AUC of three classes"] = Row<ArgumentOutOfRangeException>(() => Metrics.RocAuc([1f, 2f], [0, 2]), "labels[1] is 2"),
        ["AUC of NaN"] = Row<ArgumentException>(() => Metrics.RocAuc([1f, float.NaN], [0, 1]), "scores[1] is NaN"),
        ["R2 of no columns"] = Row<ArgumentOutOfRangeException>(() => Metrics.RSquared([1f], [1f], 0), "columns is 0"),
        ["R2 of no whole rows"] = Row<ArgumentException>(() => Metrics.RSquared([1f, 2f, 3f], [1f, 2f, 3f], 2), "whole rows of 2"),
        ["confusion of no classes"] = Row<ArgumentOutOfRangeException>(() => Metrics.Confusion([0], [0], 0), "classes is 0"),
        ["confusion out of range"] = Row<ArgumentOutOfRangeException>(() => Metrics.Confusion([2], [0], 2), "predicted[0] is 2"),
        ["unknown averaging"] = Row<ArgumentOutOfRangeException>(() => Metrics.Confusion([0], [0], 2).F1((Averaging)7), "7"),
        ["infinite constant"] = Row<ArgumentOutOfRangeException>(() => Initializer.Constant(float.NegativeInfinity), "value"),

        // Devices.
        ["no threads"] = Row<ArgumentOutOfRangeException>(() => new CpuOptions { Threads = 0 }, "Threads is 0"),
        ["too many threads"] = Row<ArgumentOutOfRangeException>(() => new CpuOptions { Threads = 5000 }, "1024"),
        ["unknown ISA"] = Row<ArgumentException>(() => new CpuOptions { Isa = "mmx" }, "'mmx'", "avx2"),
        ["empty BLAS"] = Row<ArgumentException>(() => new CpuOptions { Blas = " " }, "Blas"),
        ["BLAS that is not there"] = Row<HpcNetException>(() => Device.Cpu(new CpuOptions { Blas = "/nowhere/libblas.so" }), "/nowhere/libblas.so"),
        ["measuring for no time"] = Row<ArgumentOutOfRangeException>(() => Device.Default.Measure(0), "milliseconds is 0"),
        ["measuring the peak for ever"] = Row<ArgumentOutOfRangeException>(() => Device.Default.MeasurePeak(10_001), "milliseconds is 10001"),
        ["measuring memory for no time"] = Row<ArgumentOutOfRangeException>(() => Device.Default.MeasureMemory(1 << 20, 0), "milliseconds is 0"),
        ["measuring hardly any memory"] = Row<ArgumentOutOfRangeException>(() => Device.Default.MeasureMemory(4095), "bytes is 4095"),
        ["negative device number"] = Row<ArgumentOutOfRangeException>(() => Device.OpenCl(-1), "index is -1"),
        ["empty device name"] = Row<ArgumentException>(() => Device.OpenCl(" "), "name"),
        ["no context"] = Row<ArgumentException>(() => Device.OpenCl(0, 1), "context is 0"),
        ["no queue"] = Row<ArgumentException>(() => Device.OpenCl(1, 0), "queue is 0"),
        ["no cache folder"] = Row<ArgumentNullException>(() => new OpenClOptions { CacheDirectory = null! }, "CacheDirectory"),
        ["unknown precision"] = Row<ArgumentOutOfRangeException>(() => new OpenClOptions { Precision = (Precision)3 }, "Precision is 3", "BFloat16"),
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
        ["recurrent layer without units"] = Row<ArgumentOutOfRangeException>(() => new Lstm(0), "units is 0"),
        ["recurrent layers, none"] = Row<ArgumentOutOfRangeException>(() => new Gru(1, layers: 0), "layers is 0"),
        ["recurrent dropout of one"] = Row<ArgumentOutOfRangeException>(() => new Lstm(1, dropout: 1f), "dropout is 1"),
        ["recurrent activation"] = Row<ArgumentException>(() => new SimpleRnn(1, Activation.Sigmoid), "activation is Sigmoid", "Tanh or ReLU"),
        ["recurrent layer on features"] = Row<ArgumentException>(
            () => new Network(Device.Default, 6, new Lstm(2)), "Lstm 'lstm1' expects sequences", "got 6"),
        ["recurrent layer too large"] = Row<ArgumentOutOfRangeException>(
            () => new Network(Device.Default, new Shape(2, 2), new Lstm(40_000)), "lstm1", "at most"),
        ["no input shape"] = Row<ArgumentNullException>(() => new Network(Device.Default, (Shape)null!, new Dense(2)), "input"),
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
        ["enqueued: wrong width"] = OnTrainer<ArgumentException>(t => t.Enqueue(new float[32], new[] { 0 }), "Dense 'dense1' expects 64 inputs, got 32"),
        ["enqueued: too many labels"] = OnTrainer<ArgumentException>(t => t.Enqueue(new float[64], new[] { 0, 1 }), "labels holds 2 elements; expected 1"),
        ["enqueued: label too large"] = OnTrainer<ArgumentOutOfRangeException>(t => t.Enqueue(new float[64], new[] { 3 }), "labels[0] is 3", "0 to 2"),
        ["enqueued: targets of another width"] = OnTrainer<ArgumentException>(t => t.Enqueue(new float[64], new float[2]), "expected 3"),
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
        ["concatenation along an axis before the first"] = OnGraph<ArgumentOutOfRangeException>(
            x => ([x], [x.Then(new Reshape(new Shape(2, 2))).Concatenate(-3, x)]), "axis is -3", "-2 to 1"),
        ["concatenation of two lengths"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Reshape(new Shape(2, 2))).Concatenate(1, x.Then(new Reshape(new Shape(1, 4))))]),
            "Concatenate 'concatenate1' got branches of [2, 2] and [1, 4]", "differ along axis 1 only"),
        ["sum of two arrangements"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Reshape(new Shape(2, 2))).Add(x.Then(new Dense(4)))]), "branches of [2, 2] and 4", "expected one shape"),
        ["graph without parameters"] = OnGraph<ArgumentException>(x => ([x], [x.Add(x)]), "No layer has parameters"),
        ["sum with nothing"] = Row<ArgumentException>(() => NetworkNode.Input(2).Add(), "others is empty"),
        ["node without layers"] = Row<ArgumentException>(() => NetworkNode.Input(2).Then(), "layers is empty"),
        ["reshape to another size"] = OnGraph<ArgumentException>(
            x => ([x], [x.Then(new Reshape(new Shape(3, 2)), new Dense(1))]), "Reshape 'reshape1' makes [3, 2] of 4", "expected 4 elements, got 6"),
        ["alpha dropout of everything"] = Row<ArgumentOutOfRangeException>(() => new AlphaDropout(1f), "rate is 1"),
        ["noise of a negative deviation"] = Row<ArgumentOutOfRangeException>(() => new GaussianNoise(-1f), "deviation is -1"),
        ["loss for no outputs"] = Row<ArgumentException>(() => Loss.PerOutput(), "parts is empty"),
        ["loss of weight 0"] = Row<ArgumentOutOfRangeException>(() => Loss.PerOutput((Loss.MeanSquaredError, 1, 0f)), "weight is 0"),
        ["loss of labels among outputs"] = Row<ArgumentException>(
            () => Loss.PerOutput((Loss.MeanSquaredError, 1, 1f), (Loss.NegativeLogLikelihood, 3, 1f)), "NegativeLogLikelihood", "float targets"),
        ["losses of two reductions"] = Row<ArgumentException>(
            () => Loss.PerOutput((Loss.MeanSquaredError, 1, 1f), (Loss.SumOfSquares, 3, 1f)), "Mean and Sum"),
        ["loss of no columns"] = Row<ArgumentOutOfRangeException>(() => Loss.PerOutput((Loss.MeanSquaredError, 0, 1f)), "columns is 0"),
        ["loss with weights for another output"] = Row<ArgumentException>(
            () => Loss.PerOutput((Loss.MeanSquaredError, 2, 1f), (Loss.Huber with { Weights = [1f, 2f] }, 3, 1f)),
            "Huber has 2 Weights", "3 columns"),
        ["loss for other columns"] = OnNetwork<ArgumentException>(
            n => new Trainer(n, Loss.PerOutput((Loss.MeanSquaredError, 2, 1f)), new Adam()), "for 2 columns", "3 outputs"),

        // Predictions.
        ["prediction of another width"] = OnPredictor<ArgumentException>(p => p.Predict(new float[32], new float[3]), "Dense 'dense1' expects 64 inputs, got 32"),
        ["prediction of nothing"] = OnPredictor<ArgumentException>(p => p.Predict([], new float[3]), "x is empty"),
        ["no room for answers"] = OnPredictor<ArgumentException>(p => p.Predict(new float[128], new float[3]), "y holds 3 elements; expected 6"),
        ["no room for classes"] = OnPredictor<ArgumentException>(p => p.Classify(new float[128], new int[3]), "classes holds 3 elements; expected 2"),
        ["prepared for no caller"] = OnPredictor<ArgumentOutOfRangeException>(p => p.Prepare(0), "callers is 0"),
        ["prepared for too many callers"] = OnPredictor<ArgumentOutOfRangeException>(p => p.Prepare(65), "callers is 65", "1 to 64"),
        ["prepared for no rows"] = OnPredictor<ArgumentOutOfRangeException>(p => p.Prepare(1, 0), "rows is 0"),
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

        // Gradients of functions, and descent on them.
        ["gradient of nothing"] = Row<ArgumentNullException>(() => Gradient.Of((Func<Real, Real>)null!), "function"),
        ["gradient at no point"] = Row<ArgumentException>(() => Gradient.At(v => v.Sum(), [], []), "x is empty"),
        ["gradient of another length"] = Row<ArgumentException>(() => Gradient.At(v => v.Sum(), [1, 2], new double[1]), "gradient holds 1 elements; expected 2"),
        ["vectors of two lengths"] = Row<ArgumentException>(() => Gradient.Of(v => v.Dot(new double[] { 1, 2, 3 }))([1, 2]), "2 elements met one of 3"),
        ["vector without elements"] = Row<ArgumentException>(() => _ = new RealVector(), "at least one element"),
        ["element that is not there"] = Row<ArgumentOutOfRangeException>(() => Gradient.Of(v => v[2])([1, 2]), "index is 2", "0 to 1"),
        ["slice outside"] = Row<ArgumentOutOfRangeException>(() => Gradient.Of(v => v.Slice(1, 2).Sum())([1, 2]), "from 1 on"),
        ["differences at NaN"] = Row<ArgumentOutOfRangeException>(() => Gradient.Numerical(Math.Sin, double.NaN), "x is NaN"),
        ["differences of step 0"] = Row<ArgumentOutOfRangeException>(() => Gradient.Numerical(Math.Sin, 1, step: 0), "step is 0"),
        ["differences of no method"] = Row<ArgumentOutOfRangeException>(() => Gradient.Numerical(Math.Sin, 1, (DifferenceMethod)7), "no method 7"),
        ["descent of rate 0"] = Row<ArgumentOutOfRangeException>(() => new GradientDescent(0), "learningRate is 0"),
        ["descent of no steps"] = Row<ArgumentOutOfRangeException>(() => new GradientDescent(1, 0), "steps is 0"),
        ["descent of momentum 1"] = Row<ArgumentOutOfRangeException>(() => new GradientDescent(1, 1, 1), "momentum is 1"),
        ["descent of negative tolerance"] = Row<ArgumentOutOfRangeException>(() => new GradientDescent(1, 1, 0, -1), "tolerance is -1"),
        ["descent from nowhere"] = Row<ArgumentException>(() => new GradientDescent(1).Minimize(v => v.Sum(), []), "start is empty"),
        ["descent from NaN"] = Row<ArgumentOutOfRangeException>(() => new GradientDescent(1).Minimize(x => x, double.NaN), "start is NaN"),
        ["parameters of no epochs"] = Row<ArgumentOutOfRangeException>(() => new ParameterFit(1, 0), "epochs is 0"),
        ["parameters of no samples"] = Row<ArgumentException>(() => new ParameterFit(1, 1).Fit((p, x) => p[0] * x, [], [], [0.0]), "inputs is empty"),
        ["parameters of uneven samples"] = Row<ArgumentException>(
            () => new ParameterFit(1, 1).Fit((p, x) => p[0] * x, [1.0], [1.0, 2], [0.0]), "targets holds 2 elements; expected 1"),
        ["no parameters to fit"] = Row<ArgumentException>(() => new ParameterFit(1, 1).Fit((p, x) => p[0] * x, [1.0], [1.0], []), "start is empty"),

        // Gradients of the input, adversarial training, distillation, augmentation.
        ["input gradient without a loss"] = OnNetwork<InvalidOperationException>(n => n.CreateInputGradient().OfLoss(new float[64], new[] { 0 }, new float[64]), "without a loss"),
        ["input gradient of another width"] = OnNetwork<ArgumentException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy).OfLoss(new float[32], new[] { 0 }, new float[32]), "expects 64 inputs, got 32"),
        ["no room for a gradient"] = OnNetwork<ArgumentException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy).OfLoss(new float[64], new[] { 0 }, new float[1]), "gradient holds 1 elements; expected 64"),
        ["input gradient of no class"] = OnNetwork<ArgumentOutOfRangeException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy).OfLoss(new float[64], new[] { 3 }, new float[64]), "labels[0] is 3"),
        ["gradient of no output"] = OnNetwork<ArgumentOutOfRangeException>(n => n.CreateInputGradient().OfOutput(new float[64], 3, new float[64]), "output is 3", "0 to 2"),
        ["input gradient of a loss for other outputs"] = OnNetwork<ArgumentException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy with { ClassWeights = [1f, 2f] }), "2 ClassWeights", "3 outputs"),
        ["input gradient of labels that the loss does not take"] = OnNetwork<ArgumentException>(
            n => n.CreateInputGradient(Loss.MeanSquaredError).OfLoss(new float[64], new[] { 0 }, new float[64]), "labels holds class labels"),
        ["input gradient of targets that the loss does not take"] = OnNetwork<ArgumentException>(
            n => n.CreateInputGradient(Loss.MultiMargin).OfLoss(new float[64], new float[3], new float[64]), "targets holds float targets"),
        ["input gradient of indices"] = OnIndices<InvalidOperationException>(n => n.CreateInputGradient(), "Embedding 'embedding1'", "no gradient"),
        ["input gradient of one row to normalize"] = Row<ArgumentException>(
            () =>
            {
                using var network = new Network(Device.Default, 4, new Dense(3), new BatchNorm(trackRunningStatistics: false));
                network.CreateInputGradient().OfOutput(new float[4], 0, new float[4]);
            }, "more than 1 value", "x has 1 row"),
        ["disposed input gradient"] = OnNetwork<ObjectDisposedException>(
            n =>
            {
                InputGradient gradient = n.CreateInputGradient();
                gradient.Dispose();
                gradient.OfOutput(new float[64], 0, new float[64]);
            }, "InputGradient"),
        ["disposed: input gradient"] = OnDisposed(n => n.CreateInputGradient()),
        ["attack of negative epsilon"] = OnNetwork<ArgumentOutOfRangeException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy).FastGradientSign(Samples.Blobs(5, 64, 3, 1), -1f), "epsilon is -1"),
        ["attack of no range"] = OnNetwork<ArgumentOutOfRangeException>(
            n => n.CreateInputGradient(Loss.SoftmaxCrossEntropy).FastGradientSign(Samples.Blobs(5, 64, 3, 1), 1f, 1f, 0f), "low is 1 and high 0"),
        ["adversarial training of epsilon 0"] = Row<ArgumentOutOfRangeException>(() => new AdversarialTraining(0f), "epsilon is 0"),
        ["adversarial training of nobody"] = Row<ArgumentOutOfRangeException>(() => new AdversarialTraining(1f, 0f), "share is 0"),
        ["adversarial training of NaN"] = Row<ArgumentOutOfRangeException>(() => new AdversarialTraining(1f, 1f, float.NaN), "low is NaN"),
        ["adversarial training on indices"] = OnIndices<ArgumentException>(
            n => new Trainer(n, Loss.SoftmaxCrossEntropy, new Adam()) { AdversarialTraining = new AdversarialTraining(1f) }, "looks up indices"),
        ["augmentation of indices"] = OnIndices<ArgumentException>(
            n => new Trainer(n, Loss.SoftmaxCrossEntropy, new Adam()) { Augmentation = Augmentation.Noise(1f) }, "looks up indices"),
        ["input gradient of indices beside indices"] = Row<InvalidOperationException>(
            () =>
            {
                NetworkNode a = NetworkNode.Input(1), b = NetworkNode.Input(2);
                NetworkNode words = a.Then(new Embedding(5, 2), new Flatten()).Concatenate(b.Then(new Embedding(7, 2), new Flatten()));
                using var network = new Network(Device.Default, [a, b], [words.Then(new Dense(3))]);
                network.CreateInputGradient();
            }, "Embedding 'embedding1'", "no gradient"),
        ["augmentation of indices beside numbers"] = OnWords<ArgumentException>(
            n => new Trainer(n, Loss.SoftmaxCrossEntropy, new Adam()) { Augmentation = Augmentation.Noise(1f) },
            "Augmentation changes the numbers of the input", "Embedding 'embedding1' looks up indices"),
        ["input gradient of a loss for other columns"] = OnWords<ArgumentException>(
            n => n.CreateInputGradient(Loss.PerOutput((Loss.MeanSquaredError, 3, 1f))), "for 3 columns", "2 outputs"),
        ["input gradient of labels for several losses"] = OnWords<ArgumentException>(
            n => n.CreateInputGradient(Loss.PerOutput((Loss.MeanSquaredError, 2, 1f))).OfLoss(new float[3], new[] { 0 }, new float[3]),
            "labels holds class labels", "PerOutput"),
        ["teacher of several losses"] = OnPredictor<ArgumentException>(
            p =>
            {
                using var student = new Network(Device.Default, 64, new Dense(3));
                Loss loss = Loss.PerOutput((Loss.SoftmaxCrossEntropy, 2, 1f), (Loss.MeanSquaredError, 1, 1f));
                _ = new Trainer(student, loss, new Adam()) { Distillation = new Distillation(p) };
            }, "logits of classes", "PerOutput has none"),
        ["no teacher"] = Row<ArgumentNullException>(() => new Distillation(null!), "teacher"),
        ["temperature 0"] = OnPredictor<ArgumentOutOfRangeException>(p => new Distillation(p, 0f), "temperature is 0"),
        ["more than the soft targets"] = OnPredictor<ArgumentOutOfRangeException>(p => new Distillation(p, 1f, 1.5f), "alpha is 1.5"),
        ["teacher of another width"] = OnPredictor<ArgumentException>(
            p =>
            {
                using var student = new Network(Device.Default, 5, new Dense(3));
                _ = new Trainer(student, Loss.SoftmaxCrossEntropy, new Adam()) { Distillation = new Distillation(p) };
            }, "teacher has 64 inputs", "network has 5"),
        ["teacher of a regression"] = OnPredictor<ArgumentException>(
            p =>
            {
                using var student = new Network(Device.Default, 64, new Dense(3));
                _ = new Trainer(student, Loss.MeanSquaredError, new Adam()) { Distillation = new Distillation(p) };
            }, "MeanSquaredError"),
        ["soft targets of another width"] = OnPredictor<ArgumentException>(p => Distillation.SoftTargets(p, Samples.Blobs(2, 32, 3, 1), 1f), "expects 64 inputs, got 32"),
        ["negative noise"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Noise(-1f), "deviation is -1"),
        ["scaling to nothing"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Scale(1f), "range is 1"),
        ["endless brightness"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Brightness(float.PositiveInfinity), "range"),
        ["no contrast at all"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Contrast(1f), "range is 1"),
        ["clamp of no range"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Clamp(1f, 1f), "low is 1 and high 1"),
        ["flip more often than always"] = Row<ArgumentOutOfRangeException>(() => Augmentation.FlipHorizontal(1.5f), "probability is 1.5"),
        ["negative shift"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Shift(-1), "pixels is -1"),
        ["more than half a turn"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Rotate(181f), "degrees is 181"),
        ["crop of nothing"] = Row<ArgumentOutOfRangeException>(() => Augmentation.Crop(0f), "smallest is 0"),
        ["null after an augmentation"] = Row<ArgumentNullException>(() => Augmentation.Shift(1).Then(null!), "next"),
        ["shift of what is no image"] = Row<ArgumentException>(() => Augmentation.Shift(1).Apply(Samples.Blobs(5, 64, 3, 1), 0), "data has no ImageShape"),
        ["training on shifts of what is no image"] = OnNetwork<ArgumentException>(
            n =>
            {
                using var trainer = new Trainer(n, Loss.SoftmaxCrossEntropy, new Adam()) { Augmentation = Augmentation.Noise(1f).Then(Augmentation.Shift(1)) };
                trainer.Fit(Samples.Blobs(5, 64, 3, 1), 1, 5);
            }, "train has no ImageShape"),

        // Models.
        ["perceptron without inputs"] = Row<ArgumentOutOfRangeException>(() => new Perceptron(0), "inputs is 0"),
        ["perceptron of another width"] = Row<ArgumentException>(() => new Perceptron(3).Classify([1f, 2f]), "x holds 2 elements; expected 3"),
        ["perceptron of three classes"] = Row<ArgumentException>(() => new Perceptron(4).Fit(Samples.Blobs(5, 4, 3, 1), 1), "3 classes"),
        ["perceptron of no epochs"] = Row<ArgumentOutOfRangeException>(() => new Perceptron(2).Fit(Samples.Xor(), 0), "epochs is 0"),
        ["polynomial of degree 0"] = Row<ArgumentOutOfRangeException>(() => new PolynomialFeatures(1, 0), "degree is 0"),
        ["polynomial of too many terms"] = Row<ArgumentOutOfRangeException>(() => new PolynomialFeatures(500, 3), "more than 1000000"),
        ["polynomial of another width"] = Row<ArgumentException>(() => new PolynomialFeatures(3, 2).Apply(Samples.Xor()), "3 inputs", "2 features"),
        ["no room for terms"] = Row<ArgumentException>(() => new PolynomialFeatures(2, 2).Apply([1f, 2f], new float[4]), "terms holds 4 elements; expected 5"),
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

    private static (Type, string[], Action) OnIndices<T>(Action<Network> action, params string[] words) where T : Exception =>
        Row<T>(
            () =>
            {
                using var network = new Network(Device.Default, 2, new Embedding(5, 3), new Flatten(), new Dense(3));
                action(network);
            },
            words);

    private static (Type, string[], Action) OnWords<T>(Action<Network> action, params string[] words) where T : Exception =>
        Row<T>(
            () =>
            {
                using Network network = GraphTests.WordsBesideNumbers(Targets.Cpu);
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
