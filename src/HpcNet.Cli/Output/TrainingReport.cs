// The facts of a training as JSON: the fields below and no others. Numbers are plain, accuracy is 0 to 1 (null for regression).

using System.Text.Encodings.Web;
using System.Text.Json;

namespace HpcNet.Cli.Output;

/// <summary>What `train --json` writes. Isa and Blas are null on OpenCL, which has neither; Schedule is where there is none.</summary>
internal sealed record TrainingReport(
    string Dataset,
    ulong Seed,
    int Epochs,
    double Seconds,
    double? Accuracy,
    double SamplesPerSecond,
    double Gflops,
    double PeakGflops,
    string Device,
    string? Isa,
    string? Blas,
    int Threads,
    string Network,
    string Task,
    string Loss,
    string Optimizer,
    string? Schedule,
    int Batch,
    int BestEpoch,
    bool StoppedEarly)
{
    public void Write(string path) => OutputFile.Write(path, stream =>
    {
        // A file, no page: arrows need no escapes.
        using var json = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        json.WriteString("dataset", Dataset);
        json.WriteNumber("seed", Seed);
        json.WriteNumber("epochs", Epochs);
        json.WriteNumber("seconds", Seconds);
        if (Accuracy is { } accuracy)
            json.WriteNumber("accuracy", accuracy);
        else
            json.WriteNull("accuracy");
        json.WriteNumber("samplesPerSecond", SamplesPerSecond);
        json.WriteNumber("gflops", Gflops);
        json.WriteNumber("peakGflops", PeakGflops);
        json.WriteString("device", Device);
        json.WriteString("isa", Isa);
        json.WriteString("blas", Blas);
        json.WriteNumber("threads", Threads);
        json.WriteString("network", Network);
        json.WriteString("task", Task);
        json.WriteString("loss", Loss);
        json.WriteString("optimizer", Optimizer);
        json.WriteString("schedule", Schedule);
        json.WriteNumber("batch", Batch);
        json.WriteNumber("bestEpoch", BestEpoch);
        json.WriteBoolean("stoppedEarly", StoppedEarly);
        json.WriteEndObject();
    });
}
