// The options that choose the device, the same for every command that computes.

using System.CommandLine;

namespace HpcNet.Cli;

/// <param name="severalThreads">Whether the command does its work with several numbers of threads, one after the other.</param>
internal sealed class DeviceOptions(bool severalThreads = false)
{
    private const int MostThreads = 1024;

    private readonly Option<string?> _device = Options.Device(
        "--device", "Where to compute: the CPU, the best OpenCL device, or the one with this number or with this text in its name; "
        + "`hpcnet doctor` lists them (else HPCNET_DEVICE, else cpu).");

    private readonly Option<string?> _isa = Options.OneOf(
        "--isa", "Instruction set of the kernels (else HPCNET_ISA, else the best of this processor).", "avx512", "avx2", "scalar");

    private readonly Option<string?> _blas = Options.Text(
        "--blas", "NAME", "Who multiplies matrices: builtin, mkl, openblas, onednn, blis or the path of a CBLAS library "
        + "(else HPCNET_BLAS, else mkl where it is found, else builtin).");

    private readonly Option<int?> _threads = Options.Whole(
        "--threads", "Threads (else HPCNET_THREADS, else the physical cores that this process may use).", 1, MostThreads);

    private readonly Option<int[]?> _threadCounts = Options.Wholes(
        "--threads", "Numbers of threads, each of which is measured (else HPCNET_THREADS, else 1 and the physical cores that this process "
        + "may use).", 1, MostThreads);

    private readonly Option<string?> _precision = Options.OneOf(
        "--precision", "What an OpenCL device rounds numbers to in matrix products, on tensor cores that are tried out first; float32 runs where "
        + "they are not to be had, and `hpcnet doctor` says why (else float32).", "float32", "tf32", "bfloat16");

    public Option[] All => [_device, .. ForTheCpu, _precision];

    private Option[] ForTheCpu => [_isa, _blas, severalThreads ? _threadCounts : _threads];

    public void AddTo(Command command)
    {
        foreach (Option option in All)
            command.Add(option);
    }

    /// <summary>Makes the device.</summary>
    /// <exception cref="CliException">An option that has a meaning for one kind of device only came with another.</exception>
    public Device Open(ParseResult line) => Open(line, line.GetValue(_threads) ?? 0);

    /// <summary>Makes the device with so many threads; 0: as many as is usual.</summary>
    /// <exception cref="CliException">An option that has a meaning for one kind of device only came with another.</exception>
    public Device Open(ParseResult line, int threads)
    {
        Device device = Device.Open(line.GetValue(_device), new CpuOptions
        {
            Isa = line.GetValue(_isa),
            Blas = line.GetValue(_blas),
            Threads = threads == 0 ? null : threads,
        }, new OpenClOptions
        {
            Precision = line.GetValue(_precision) is { } precision ? Enum.Parse<Precision>(precision, ignoreCase: true) : Precision.Float32,
        });
        if (device.IsOpenCl && ForTheCpu.FirstOrDefault(line.Has) is { } option)
        {
            string name = device.Name;
            device.Dispose();
            throw new CliException(ExitCode.Usage, $"{option.Name} is a choice for the CPU; the device is opencl ({name}).");
        }
        if (!device.IsOpenCl && line.Has(_precision))
        {
            device.Dispose();
            throw new CliException(
                ExitCode.Usage, $"{_precision.Name} is a choice for OpenCL devices (--device opencl); the device is cpu, which multiplies in float32.");
        }
        return device;
    }

    /// <summary>The numbers of threads that a command goes through, in rising order.</summary>
    /// <param name="line">The command line.</param>
    /// <param name="open">Makes the device of so many threads, or of as many as is usual for 0.</param>
    public int[] Threads(ParseResult line, Func<int, Device> open)
    {
        if (line.GetValue(_threadCounts) is { Length: > 0 } chosen)
        {
            Array.Sort(chosen);
            open(chosen[0]);
            return chosen;
        }
        Device usual = open(0);
        if (usual.IsOpenCl)
            return [0];
        return Environment.GetEnvironmentVariable("HPCNET_THREADS") is { Length: > 0 } || usual.Threads == 1 ? [usual.Threads] : [1, usual.Threads];
    }
}
