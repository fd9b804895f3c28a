// The options that choose the device, the same for every command that computes.

using System.CommandLine;

namespace HpcNet.Cli;

internal sealed class DeviceOptions
{
    private readonly Option<string?> _device = Options.Device(
        "--device", "Where to compute: the CPU, the best OpenCL device, or the one with this number or with this text in its name; "
        + "`hpcnet doctor` lists them (else HPCNET_DEVICE, else cpu).");

    private readonly Option<string?> _isa = Options.OneOf(
        "--isa", "Instruction set of the kernels (else HPCNET_ISA, else the best of this processor).", "avx512", "avx2", "scalar");

    private readonly Option<string?> _blas = Options.Text(
        "--blas", "NAME", "Who multiplies matrices: builtin, mkl, openblas, onednn, blis or the path of a CBLAS library "
        + "(else HPCNET_BLAS, else mkl where it is found, else builtin).");

    private readonly Option<int?> _threads = Options.Whole(
        "--threads", "Threads (else HPCNET_THREADS, else the physical cores that this process may use).", 1, 1024);

    public Option[] All => [_device, _isa, _blas, _threads];

    public void AddTo(Command command)
    {
        foreach (Option option in All)
            command.Add(option);
    }

    /// <summary>Makes the device.</summary>
    /// <exception cref="CliException">An option that has a meaning for the CPU only came with another device.</exception>
    public Device Open(ParseResult line)
    {
        Device device = Device.Open(line.GetValue(_device), new CpuOptions
        {
            Isa = line.GetValue(_isa),
            Blas = line.GetValue(_blas),
            Threads = line.GetValue(_threads),
        });
        if (device.IsOpenCl && ((Option[])[_isa, _blas, _threads]).FirstOrDefault(line.Has) is { } option)
        {
            string name = device.Name;
            device.Dispose();
            throw new CliException(ExitCode.Usage, $"{option.Name} is a choice for the CPU; the device is opencl ({name}).");
        }
        return device;
    }
}
