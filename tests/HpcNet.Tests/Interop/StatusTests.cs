// The one place that turns a status into an exception: every status of the header has its type, and carries a message.
using HpcNet.Interop;

namespace HpcNet.Tests.Interop;

public unsafe class StatusTests
{
    [Fact]
    public void OkIsSilent() => Status.Check(hpc_status.HPC_OK);

    [Theory]
    [InlineData((int)hpc_status.HPC_INVALID_ARGUMENT, typeof(ArgumentException))]
    [InlineData((int)hpc_status.HPC_INVALID_STATE, typeof(InvalidOperationException))]
    [InlineData((int)hpc_status.HPC_OUT_OF_MEMORY, typeof(OutOfMemoryException))]
    [InlineData((int)hpc_status.HPC_BUSY, typeof(InvalidOperationException))]
    [InlineData((int)hpc_status.HPC_NOT_AVAILABLE, typeof(HpcNetException), HpcNetError.NotAvailable)]
    [InlineData((int)hpc_status.HPC_NOT_SUPPORTED, typeof(HpcNetException), HpcNetError.NotSupported)]
    [InlineData((int)hpc_status.HPC_DEVICE_ERROR, typeof(HpcNetException), HpcNetError.Device)]
    [InlineData((int)hpc_status.HPC_INTERNAL, typeof(HpcNetException), HpcNetError.Internal)]
    [InlineData(12345, typeof(HpcNetException), HpcNetError.Internal)]
    public void FailureHasItsException(int status, Type expected, HpcNetError? error = null)
    {
        Exception? exception = Record.Exception(() => Status.Check((hpc_status)status));

        Assert.NotNull(exception);
        Assert.IsAssignableFrom(expected, exception);
        Assert.NotEmpty(exception.Message);
        Assert.Equal(error, (exception as HpcNetException)?.Error);
    }

    [Fact]
    public void EveryStatusOfTheHeaderIsCovered()
    {
        IEnumerable<int> covered = typeof(StatusTests).GetMethod(nameof(FailureHasItsException))!
            .GetCustomAttributes(typeof(InlineDataAttribute), false).Cast<InlineDataAttribute>()
            .Select(row => (int)row.GetData(null!).Single()[0]);

        Assert.Empty(Enum.GetValues<hpc_status>().Select(status => (int)status).Except(covered).Except([(int)hpc_status.HPC_OK]));
    }

    [Fact]
    public void MessageIsTheCoresOwn()
    {
        string? core = null;
        var exception = Assert.ThrowsAny<ArgumentException>(() =>
        {
            hpc_device* device = null;
            hpc_status status = Native.hpc_device_create(null, &device);
            core = NativeText.FromUtf8(Native.hpc_last_error());
            Status.Check(status == hpc_status.HPC_OK ? throw new InvalidOperationException("null options were taken") : status);
        });

        Assert.NotEqual("", core);
        Assert.Equal(core, exception.Message);
    }
}
