// The options that choose the device, the same for every command that computes.

using System.CommandLine;

namespace HpcNet.Cli;

internal sealed class DeviceOptions
{
    private readonly Option<string?> _device = Options.OneOf(
        "--device", "Where to compute; cpu is the only kind (else HPCNET_DEVICE, else cpu).", "cpu");

    private readonly Option<string?> _isa = Options.OneOf(
        "--isa", "Instruction set of the kernels (else HPCNET_ISA, else the best of this processor).", "avx512", "avx2", "scalar");

    private readonly Option<string?> _blas = Options.Text(
        "--blas", "NAME", "Who multiplies matrices: builtin, mkl, openblas, onednn, blis or the path of a CBLAS library "
        + "(else HPCNET_BLAS, else mkl where it is found, else builtin).");

    private readonly Option<int?> _threads = Options.Whole(
        "--threads", "Threads (else HPCNET_THREADS, else the physical cores that this process may use).", 1, 1024);

    public void AddTo(Command command)
    {
        command.Add(_device);
        command.Add(_isa);
        command.Add(_blas);
        command.Add(_threads);
    }

    /// <summary>Makes the device.</summary>
    public Device Open(ParseResult line) => Device.Cpu(new CpuOptions
    {
        Isa = line.GetValue(_isa),
        Blas = line.GetValue(_blas),
        Threads = line.GetValue(_threads),
    });
}
