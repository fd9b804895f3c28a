// The main job through the command line: train, evaluate and predict with the file that was written, and an interrupted training.
using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace HpcNet.Tests.Cli;

public sealed class TrainingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public void DigitsAreTrainedEvaluatedAndPredicted()
    {
        CliProcess.Outcome trained = CliProcess.Run(
            _folder.Path, "train", "--dataset", "digits", "--seed", "3", "--json", _folder["facts of it.json"]);
        Assert.Equal("", trained.Error);
        Assert.Equal(0, trained.ExitCode);
        string[] words = ["epoch 1/", "359 held-back images", "predicted", "samples/s", "GFLOP/s", "peak", "digits.safetensors"];
        foreach (string word in words)
            Assert.Contains(word, trained.Output, StringComparison.Ordinal);
        Assert.All(trained.Output.Split('\n'), line => Assert.InRange(line.Length, 0, 160));

        double accuracy = CheckFacts(_folder["facts of it.json"], "digits", seed: 3);
        Assert.InRange(accuracy, 0.97, 1.0);

        // The part that is held back is the same again.
        CliProcess.Outcome evaluated = CliProcess.Run(_folder.Path, "evaluate", "--model", "digits.safetensors", "--dataset", "digits");
        Assert.Equal(0, evaluated.ExitCode);
        string percent = (100 * accuracy).ToString("F2", CultureInfo.InvariantCulture) + " %";
        Assert.Contains(percent, trained.Output, StringComparison.Ordinal);
        Assert.Contains(percent, evaluated.Output, StringComparison.Ordinal);
        foreach (string word in (string[])["precision", "recall", "F1", "weighted mean", "among the first 5", "Cross-entropy"])
            Assert.Contains(word, evaluated.Output, StringComparison.Ordinal);

        Dataset digits = Dataset.Digits();
        var rows = new StringBuilder();
        for (int i = 0; i < 50; i++)
            rows.AppendJoin(',', digits.Row(i).ToArray().Select(v => v.ToString(CultureInfo.InvariantCulture))).Append('\n');
        string input = _folder.Write("some pixels.csv", rows.ToString());
        CliProcess.Outcome predicted = CliProcess.Run(_folder.Path, "predict", "--model", "digits.safetensors", "--input", input);
        Assert.Equal("", predicted.Error);
        string[] lines = predicted.Output.TrimEnd().Split('\n');
        Assert.Equal("class,probability", lines[0]);
        Assert.Equal(51, lines.Length);
        int right = 0;
        for (int i = 0; i < 50; i++)
        {
            string[] fields = lines[i + 1].Split(',');
            Assert.InRange(double.Parse(fields[1], CultureInfo.InvariantCulture), 0.1, 1.0);
            right += fields[0] == digits.Labels[i].ToString(CultureInfo.InvariantCulture) ? 1 : 0;
        }
        Assert.InRange(right, 47, 50);
    }

    [SkippableFact]
    public void OpenClTrainsAndSaysSo()
    {
        Targets.NeedOpenCl();
        CliProcess.Outcome trained = CliProcess.Run(
            _folder.Path, "train", "--dataset", "digits", "--device", "opencl", "--json", _folder["facts.json"]);
        Assert.Equal("", trained.Error);
        Assert.Contains("compute unit", trained.Output, StringComparison.Ordinal);
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllText(_folder["facts.json"]));
        Assert.StartsWith("opencl:", facts.RootElement.GetProperty("device").GetString(), StringComparison.Ordinal);
        Assert.Equal(JsonValueKind.Null, facts.RootElement.GetProperty("isa").ValueKind);
        Assert.Equal(JsonValueKind.Null, facts.RootElement.GetProperty("blas").ValueKind);
        Assert.InRange(facts.RootElement.GetProperty("accuracy").GetDouble(), 0.97, 1.0);

        // Either device reads what the other wrote.
        foreach (string device in Targets.All)
        {
            CliProcess.Outcome evaluated = CliProcess.Run(
                _folder.Path, "evaluate", "--model", "digits.safetensors", "--dataset", "digits", "--device", device);
            Assert.Equal(0, evaluated.ExitCode);
        }
        CliProcess.Outcome refused = CliProcess.Run(_folder.Path, "train", "--dataset", "digits", "--device", "opencl", "--isa", "avx2");
        Assert.Equal(2, refused.ExitCode);
        Assert.Contains("--isa is a choice for the CPU", refused.Error, StringComparison.Ordinal);
    }

    [SkippableFact]
    public void TheDoctorSaysWhatBecameOfAPrecision()
    {
        Targets.NeedOpenCl();
        CliProcess.Outcome doctor = CliProcess.Run(_folder.Path, "doctor", "--device", "opencl", "--precision", "tf32");
        Assert.Equal(0, doctor.ExitCode);
        Assert.Matches("products: (tf32 on tensor cores, |float32; tf32 was asked for, but )", doctor.Output);
        Assert.Contains("Measured: OpenCL, ", doctor.Output, StringComparison.Ordinal);
        Assert.Contains(", products in ", doctor.Output, StringComparison.Ordinal);
    }

    [Fact]
    public void TheSameSeedGivesTheSameModel()
    {
        foreach (string name in (string[])["a", "b"])
        {
            string threads = name == "a" ? "1" : "2";
            CliProcess.Outcome trained = CliProcess.Run(
                _folder.Path,
                "train", "--dataset", "digits", "--epochs", "2", "--seed", "5", "--threads", threads, "--output", _folder[name]);
            Assert.Equal(0, trained.ExitCode);
        }
        Assert.Equal(File.ReadAllBytes(_folder["a"]), File.ReadAllBytes(_folder["b"]));
    }

    [Fact]
    public void TextClassesOfACsvComeBack()
    {
        // Two columns in very different units, three clusters.
        var random = new Random(1);
        var text = new StringBuilder("length,weight,kind\n");
        string[] kinds = ["a dog", "cat", "cow, brown"];
        for (int i = 0; i < 300; i++)
        {
            int kind = i % 3;
            double length = 0.001 * (kind + 0.2 * random.NextDouble()), weight = 1e5 * (kind * kind + 0.2 * random.NextDouble());
            text.Append(CultureInfo.InvariantCulture, $"{length},{weight},\"{kinds[kind]}\"\n");
        }
        string csv = _folder.Write("animals.csv", text.ToString());
        CliProcess.Outcome trained = CliProcess.Run(
            _folder.Path, "train", "--dataset", csv, "--target", "kind", "--epochs", "30", "--json", _folder["facts.json"]);
        Assert.Equal("", trained.Error);
        Assert.Equal(0, trained.ExitCode);
        Assert.InRange(CheckFacts(_folder["facts.json"], csv, seed: 1), 0.99, 1.0);

        CliProcess.Outcome evaluated = CliProcess.Run(
            _folder.Path, "evaluate", "--model", "animals.safetensors", "--dataset", csv, "--target", "kind");
        Assert.Equal("", evaluated.Error);
        Assert.Contains("300 examples", evaluated.Output, StringComparison.Ordinal);
        Assert.Contains("100.00 %", evaluated.Output, StringComparison.Ordinal);

        CliProcess.Outcome predicted = CliProcess.Run(
            _folder.Path, "predict", "--model", "animals.safetensors", "--input", csv, "--target", "kind", "--output", "answers.csv");
        Assert.Equal("", predicted.Error);
        Assert.Equal("", predicted.Output);
        string[] answers = File.ReadAllLines(_folder["answers.csv"]);
        Assert.Equal(301, answers.Length);
        Assert.StartsWith("a dog,", answers[1], StringComparison.Ordinal);
        Assert.StartsWith("cat,", answers[2], StringComparison.Ordinal);
        Assert.StartsWith("\"cow, brown\",", answers[3], StringComparison.Ordinal);

        CliProcess.Outcome wrong = CliProcess.Run(_folder.Path, "evaluate", "--model", "animals.safetensors", "--dataset", "digits");
        Assert.Equal(1, wrong.ExitCode);
        Assert.Contains("expects 2 features", wrong.Error, StringComparison.Ordinal);
    }

    [Fact]
    public void ARegressionGivesValuesInTheirOwnUnits()
    {
        var random = new Random(2);
        var text = new StringBuilder("area,rooms,price\n");
        for (int i = 0; i < 400; i++)
        {
            double area = 30 + 170 * random.NextDouble();
            int rooms = random.Next(1, 7);
            text.Append(CultureInfo.InvariantCulture, $"{area},{rooms},{50_000 + 3000 * area + 10_000 * rooms + 0.5}\n");
        }
        string csv = _folder.Write("houses.csv", text.ToString());
        CliProcess.Outcome trained = CliProcess.Run(
            _folder.Path, "train", "--dataset", csv, "--target", "price", "--task", "regression", "--json", _folder["facts.json"]);
        Assert.Equal("", trained.Error);
        Assert.InRange(R2(trained), 0.99, 1.0);
        using (JsonDocument facts = JsonDocument.Parse(File.ReadAllText(_folder["facts.json"])))
            Assert.Equal(JsonValueKind.Null, facts.RootElement.GetProperty("accuracy").ValueKind);

        CliProcess.Outcome evaluated = CliProcess.Run(
            _folder.Path, "evaluate", "--model", "houses.safetensors", "--dataset", csv, "--target", "price");
        Match errors = Regex.Match(evaluated.Output, @"target +R2 +MAE +RMSE\nprice +([0-9.]+) +([0-9.E+]+) +([0-9.E+]+)\n");
        Assert.True(errors.Success, evaluated.Output);
        double[] figures = [.. errors.Groups.Values.Skip(1).Select(g => double.Parse(g.ValueSpan, CultureInfo.InvariantCulture))];
        Assert.InRange(figures[0], 0.99, 1.0);
        Assert.InRange(figures[1], 1.0, figures[2]);

        string input = _folder.Write("new.csv", "area,rooms\n100,3\n");
        CliProcess.Outcome predicted = CliProcess.Run(_folder.Path, "predict", "--model", "houses.safetensors", "--input", input);
        string[] lines = predicted.Output.TrimEnd().Split('\n');
        Assert.Equal("value", lines[0]);
        Assert.InRange(double.Parse(lines[1], CultureInfo.InvariantCulture), 360_000, 400_000);
    }

    [Fact]
    public async Task AnInterruptedTrainingSavesItsModel()
    {
        if (OperatingSystem.IsWindows())
            return;
        using Process process = CliProcess.Start(_folder.Path, "train", "--dataset", "digits", "--epochs", "100000");
        string? line;
        do
            line = await process.StandardOutput.ReadLineAsync();
        while (line?.StartsWith("epoch ", StringComparison.Ordinal) == false);

        using (Process kill = Process.Start("kill", [$"-{Interrupt(process.Id)}", process.Id.ToString(CultureInfo.InvariantCulture)]))
            await kill.WaitForExitAsync();
        CliProcess.Outcome outcome = CliProcess.Wait(process);
        Assert.Equal(130, outcome.ExitCode);
        Assert.Contains("Interrupted", outcome.Error, StringComparison.Ordinal);
        Assert.Contains("digits.safetensors", outcome.Error, StringComparison.Ordinal);
        using Network network = Network.Load(_folder["digits.safetensors"]);
        Assert.Equal(64, network.Inputs);
        Assert.Equal(10, network.ClassNames!.Count);
    }

    public void Dispose() => _folder.Dispose();

    // A shell that starts the tests in the background makes their children ignore SIGINT; SIGTERM is served in the same way.
    private static string Interrupt(int process)
    {
        const int sigint = 2;
        string? ignored = File.Exists($"/proc/{process}/status")
            ? File.ReadLines($"/proc/{process}/status").FirstOrDefault(l => l.StartsWith("SigIgn:", StringComparison.Ordinal))
            : null;
        string mask = ignored?["SigIgn:".Length..] ?? "0";
        ulong signals = ulong.Parse(mask.Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
        return (signals >> (sigint - 1) & 1) != 0 ? "TERM" : "INT";
    }

    private static double R2(CliProcess.Outcome outcome)
    {
        Match match = Regex.Match(outcome.Output, @"price: RMSE [0-9.E+]+, R2 ([0-9.]+)");
        Assert.True(match.Success, outcome.Output);
        return double.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
    }

    private static double CheckFacts(string path, string dataset, int seed)
    {
        using JsonDocument facts = JsonDocument.Parse(File.ReadAllText(path));
        JsonElement root = facts.RootElement;
        string[] fields =
        [
            "dataset", "seed", "epochs", "seconds", "accuracy", "samplesPerSecond", "gflops", "peakGflops",
            "device", "isa", "blas", "threads", "network", "task", "loss", "optimizer", "schedule", "batch", "bestEpoch", "stoppedEarly",
        ];
        Assert.Equal(fields, root.EnumerateObject().Select(p => p.Name));
        Assert.Equal(dataset, root.GetProperty("dataset").GetString());
        Assert.Equal(seed, root.GetProperty("seed").GetInt32());
        Assert.InRange(root.GetProperty("epochs").GetInt32(), 1, 1000);
        Assert.InRange(root.GetProperty("seconds").GetDouble(), 1e-6, 60);
        Assert.True(root.GetProperty("samplesPerSecond").GetDouble() > 0);
        Assert.True(root.GetProperty("gflops").GetDouble() > 0);
        Assert.True(root.GetProperty("peakGflops").GetDouble() > root.GetProperty("gflops").GetDouble());
        Assert.Equal("cpu", root.GetProperty("device").GetString());
        Assert.Contains(root.GetProperty("isa").GetString(), new[] { "avx512", "avx2", "scalar" });
        Assert.Contains(root.GetProperty("blas").GetString(), new[] { "builtin", "mkl", "openblas", "onednn", "blis" });
        Assert.InRange(root.GetProperty("threads").GetInt32(), 1, 1024);
        return root.GetProperty("accuracy").GetDouble();
    }
}
