// Helpers of the file tests: a folder that vanishes with its test, and a stream as a pipe or socket gives it.

namespace HpcNet.Tests.Data;

internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("hpcnet-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public string Write(string name, string text)
    {
        File.WriteAllText(this[name], text);
        return this[name];
    }

    public string Write(string name, byte[] bytes)
    {
        File.WriteAllBytes(this[name], bytes);
        return this[name];
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}

/// <summary>Cannot seek, and gives its bytes in uneven portions.</summary>
internal sealed class OneWayStream(byte[] bytes) : MemoryStream(bytes)
{
    private int _calls;

    public override bool CanSeek => false;

    public override int Read(byte[] buffer, int offset, int count) => base.Read(
        buffer, offset, Math.Min(count, 1 + (_calls++ * 977 % 5000)));

    public override int Read(Span<byte> buffer) => base.Read(buffer[..Math.Min(buffer.Length, 1 + (_calls++ * 977 % 5000))]);
}
