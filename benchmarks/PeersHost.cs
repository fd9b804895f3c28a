// HpcNet's side of the comparison with other libraries (peers/compare.py): writes a workload's first weights and data for them, and
// serves the workload over standard input and output, so that all contestants can take turns.
//
//   export WORKLOAD --directory D     D/workload.safetensors: parameters as they lie in memory ([in x out]), data, what is to be done
//   serve WORKLOAD [--threads N] [--device D] ...   the device is chosen as by `hpcnet`'s commands; answers lines; every contestant speaks
//                                     the same protocol (peers/README.md):
//       begin            goes back to the first weights: "begin"
//       losses N         begins anew, makes N steps: "losses L1 ... LN"
//       run W G S        goes on: W steps that do not count, then G groups of S steps: "run T1 ... TG", nanoseconds per step
//       quit

using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using HpcNet.Cli;
using HpcNet.Cli.Bench;

namespace HpcNet.Benchmarks;

/// <summary>The two verbs.</summary>
internal static class PeersHost
{
    // Orders of this many epochs are written; peers that train for longer begin with the first again.
    private const int Epochs = 40;

    /// <summary>Serves if the arguments ask for it.</summary>
    /// <param name="args">The program's arguments.</param>
    /// <returns>The exit code; null: the arguments are not for this.</returns>
    public static int? TryRun(string[] args)
    {
        switch (args)
        {
            case ["export", string name, "--directory", string directory]:
                Export(Workload.Find(name) ?? throw Unknown(name), directory);
                return 0;
            case ["serve", string name, .. string[] where]:
                using (Device device = Open(where))
                    Serve(Workload.Find(name) ?? throw Unknown(name), device);
                return 0;
            default:
                return null;
        }
    }

    private static Device Open(string[] where)
    {
        var options = new DeviceOptions();
        var command = new Command("serve");
        options.AddTo(command);
        ParseResult line = command.Parse(where);
        return line.Errors.Count == 0 ? options.Open(line) : throw new ArgumentException(line.Errors[0].Message);
    }

    private static ArgumentException Unknown(string name) => new($"There is no workload '{name}'.");

    private static void Serve(Workload workload, Device device)
    {
        using var contestant = new Contestant(workload, device);
        Print($"ready HpcNet {typeof(Network).Assembly.GetName().Version?.ToString(3)}: {device}; peak {device.MeasurePeak():F0} GFLOP/s");
        while (Console.In.ReadLine() is { } line)
        {
            switch (line.Split(' '))
            {
                case ["begin"]:
                    contestant.Begin();
                    Print($"begin");
                    break;
                case ["losses", string steps]:
                    Print($"losses {string.Join(' ', contestant.Losses(Number(steps)).Select(l => Text(l)))}");
                    break;
                case ["run", string warm, string groups, string steps]:
                    double[] times = contestant.Times(Number(warm), Number(groups), Number(steps));
                    Print($"run {string.Join(' ', times.Select(t => t.ToString("F1", CultureInfo.InvariantCulture)))}");
                    break;
                case ["quit"]:
                    return;
                default:
                    throw new ArgumentException($"'{line}' is no command.");
            }
        }
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private static void Print(FormattableString text) => Console.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    private static void Export(Workload workload, string directory)
    {
        using Device device = Device.Cpu(new CpuOptions { Threads = 1 });
        var metadata = new Dictionary<string, string>
        {
            ["workload"] = workload.Name,
            ["rows"] = Text(workload.Rows),
            ["flops"] = Text(workload.Flops),
        };
        var tensors = new List<SafetensorsData>();
        (Network network, WorkloadData data) = workload switch
        {
            TrainingWorkload w => (w.CreateNetwork(device), w.CreateData()),
            EpochWorkload w => (w.CreateNetwork(device), w.CreateData()),
            InferenceWorkload w => (w.CreateNetwork(device), w.CreateData()),
            RecurrentWorkload w => (w.CreateNetwork(device), w.CreateData()),
            _ => throw new ArgumentException($"'{workload.Name}' is not compared with other libraries."),
        };
        metadata["kind"] = workload switch
        {
            TrainingWorkload => "training",
            EpochWorkload => "epochs",
            InferenceWorkload => "inference",
            _ => "recurrent",
        };
        if (workload is NetworkWorkload chain)
        {
            metadata["widths"] = string.Join(' ', chain.Widths);
            metadata["hidden"] = chain.Hidden.Name;
            metadata["output"] = chain.Output.Name;
        }
        if (workload is RecurrentWorkload recurrent)
        {
            metadata["inputs"] = Text(recurrent.Inputs);
            metadata["units"] = Text(recurrent.Units);
            metadata["steps"] = Text(recurrent.Steps);
        }
        Optimizer? optimizer = workload switch { TrainingWorkload w => w.Optimizer, EpochWorkload w => w.Optimizer, _ => null };
        if (optimizer is not null)
        {
            metadata["optimizer"] = optimizer.GetType().Name;
            metadata["learningRate"] = optimizer.LearningRate.ToString("R", CultureInfo.InvariantCulture);
            metadata["clipByNorm"] = string.Join(' ', optimizer.Links().OfType<ClipByNormLink>().Select(l => Text(l.MaxNorm)));
        }
        if (workload is EpochWorkload epochs)
        {
            metadata["batch"] = Text(epochs.BatchRows);
            tensors.Add(Whole("data.order", [Epochs, data.Rows], Orders(data.Rows)));
        }

        using (network)
        {
            foreach (ParameterInfo parameter in network.ParameterInfos)
            {
                var values = new float[parameter.Count];
                network.GetParameter(parameter.Name, values);
                tensors.Add(new SafetensorsData(parameter.Name, [parameter.Rows, parameter.Columns], values));
            }
        }
        tensors.Add(new SafetensorsData("data.features", [data.Rows, data.Inputs], data.Features));
        if (data.Labels.Length > 0)
            tensors.Add(Whole("data.labels", [data.Rows], data.Labels));
        else
            tensors.Add(new SafetensorsData("data.targets", [data.Rows, data.Outputs], data.Targets));
        Directory.CreateDirectory(directory);
        SafetensorsFile.Write(Path.Combine(directory, "workload.safetensors"), tensors, metadata);
    }

    private static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);

    private static SafetensorsData Whole(string name, long[] shape, int[] numbers) =>
        new(name, SafetensorsDType.I32, shape, MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray());

    // The orders in which a trainer of seed 0 goes through the rows in its epochs.
    private static int[] Orders(int rows)
    {
        var orders = new int[Epochs * rows];
        for (int epoch = 0; epoch < Epochs; epoch++)
        {
            Span<int> order = orders.AsSpan(epoch * rows, rows);
            for (int i = 0; i < rows; i++)
                order[i] = i;
            new Philox(0, RandomStreams.Shuffle(epoch)).Shuffle(order);
        }
        return orders;
    }

    /// <summary>A workload that can begin anew.</summary>
    private sealed class Contestant(Workload workload, Device device) : IDisposable
    {
        // Data are made once: making them takes longer than a short measurement.
        private readonly WorkloadData? _data = workload switch
        {
            TrainingWorkload w => w.CreateData(),
            EpochWorkload w => w.CreateData(),
            InferenceWorkload w => w.CreateData(),
            _ => null,
        };

        private WorkloadRun? _run;

        public float[] Losses(int steps)
        {
            WorkloadRun run = Begin();
            var losses = new float[steps];
            for (int i = 0; i < steps; i++)
            {
                float loss = run.Step();
                losses[i] = run is InferenceRun inference ? CrossEntropy(inference.Answer) : loss;
            }
            return losses;
        }

        public double[] Times(int warm, int groups, int steps)
        {
            WorkloadRun run = _run ?? Begin();
            if (warm > 0)
                run.Measure(warm, out _);
            var times = new double[groups];
            for (int i = 0; i < groups; i++)
                times[i] = run.Measure(steps, out _) * 1e9 / Stopwatch.Frequency / ((double)steps * run.StepsPerCall);
            return times;
        }

        public WorkloadRun Begin()
        {
            // What does not learn is as it was.
            if (_run is not null && workload is (InferenceWorkload or RecurrentWorkload))
                return _run;
            _run?.Dispose();
            _run = null;
            return _run = workload switch
            {
                TrainingWorkload w => new TrainingRun(w, device, _data!),
                EpochWorkload w => new EpochRun(w, device, _data!),
                _ => workload.Start(device),
            };
        }

        public void Dispose() => _run?.Dispose();

        // The mean cross-entropy of logits: predictions have no loss, and this tells whether they are the same.
        private float CrossEntropy(ReadOnlySpan<float> logits)
        {
            int classes = _data!.Outputs;
            double sum = 0;
            for (int row = 0; row < _data.Labels.Length; row++)
            {
                ReadOnlySpan<float> scores = logits.Slice(row * classes, classes);
                double total = 0;
                foreach (float score in scores)
                    total += Math.Exp(score);
                sum += Math.Log(total) - scores[_data.Labels[row]];
            }
            return (float)(sum / _data.Labels.Length);
        }
    }
}
