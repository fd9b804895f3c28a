// Yardstick.cs: what the machine can do at most, measured in this process: the peak of multiply-adds and the bandwidth of memory of
// every size, for each number of threads. Floors are made of it.

namespace HpcNet.Cli.Bench;

/// <summary>A level of the memory and how fast it is.</summary>
/// <param name="Name">L1, L2, L3 or DRAM.</param>
/// <param name="Bandwidth">With all threads of the device.</param>
internal sealed record MemoryLevel(string Name, MemoryBandwidth Bandwidth);

/// <summary>What a device can do at most.</summary>
/// <param name="Threads">Of its team.</param>
/// <param name="PeakGflops">Multiply-adds in registers.</param>
/// <param name="Levels">From the nearest memory to the farthest.</param>
internal sealed record Limits(int Threads, double PeakGflops, IReadOnlyList<MemoryLevel> Levels);

/// <summary>Devices that differ in the number of their threads alone, and their limits.</summary>
/// <param name="open">Makes the device of so many threads; 0 where threads mean nothing.</param>
internal sealed class Yardstick(Func<int, Device> open) : IDisposable
{
    private const int LevelMilliseconds = 80;
    private const long LeastFar = 64L << 20, MostFar = 256L << 20;

    private readonly Dictionary<int, Device> _devices = [];
    private readonly Dictionary<int, Limits> _limits = [];

    /// <summary>The device of so many threads.</summary>
    public Device Device(int threads)
    {
        if (!_devices.TryGetValue(threads, out Device? device))
            _devices.Add(threads, device = open(threads));
        return device;
    }

    /// <summary>The limits of the device of so many threads, measured when first asked for.</summary>
    public Limits Limits(int threads)
    {
        if (_limits.TryGetValue(threads, out Limits? known))
            return known;
        Device device = Device(threads);
        CacheSizes caches = device.Caches;
        double peak = device.MeasurePeak(LevelMilliseconds);
        var levels = new List<MemoryLevel>();
        long near = 0;
        foreach (var (name, capacity) in Capacities(device))
        {
            // Half of a cache, since something else is always in it; of a cache behind others more than those hold.
            long bytes = Math.Max(capacity / 2, Math.Min(2 * near, capacity * 3 / 4));
            levels.Add(new MemoryLevel(name, device.MeasureMemory(Math.Max(4096, bytes), LevelMilliseconds)));
            near = capacity;
        }
        long far = Math.Clamp(4 * Math.Max(caches.Level2, caches.Level3), LeastFar, Math.Max(LeastFar, Math.Min(MostFar, (long)(device.MemoryBytes / 16))));
        levels.Add(new MemoryLevel("DRAM", device.MeasureMemory(far, 3 * LevelMilliseconds)));
        return _limits[threads] = new Limits(device.Threads, peak, levels);
    }

    /// <summary>The name of the level that holds so many bytes.</summary>
    public string LevelOf(int threads, double bytes) => Capacities(Device(threads)).FirstOrDefault(c => bytes <= c.Bytes).Name ?? "DRAM";

    /// <summary>The bandwidth of the level that holds so many bytes.</summary>
    public MemoryBandwidth BandwidthOf(int threads, double bytes)
    {
        string name = LevelOf(threads, bytes);
        return Limits(threads).Levels.First(l => l.Name == name).Bandwidth;
    }

    /// <summary>Measures memory of exactly this size: near the edge of a level neither side's bandwidth is right.</summary>
    public MemoryBandwidth MeasureMemory(int threads, double bytes, int milliseconds) =>
        Device(threads).MeasureMemory((long)Math.Clamp(bytes, 4096, MostFar), milliseconds);

    /// <summary>The bandwidth that work of this traffic is compared with.</summary>
    public static double Of(in MemoryBandwidth bandwidth, Traffic traffic) => traffic switch
    {
        Traffic.Read => bandwidth.BestRead,
        Traffic.Update => bandwidth.Update,
        Traffic.Copy => bandwidth.Copy,
        _ => bandwidth.Best,
    };

    public void Dispose()
    {
        foreach (Device device in _devices.Values)
            device.Dispose();
    }

    // What the caches hold that a device's threads have together.
    private static IEnumerable<(string Name, long Bytes)> Capacities(Device device)
    {
        CacheSizes caches = device.Caches;
        int cores = device.IsOpenCl ? 1 : device.Threads;
        int shared = (cores + Math.Max(1, caches.Level3Threads) - 1) / Math.Max(1, caches.Level3Threads);
        if (caches.Level1 > 0)
            yield return ("L1", caches.Level1 * cores);
        if (caches.Level2 > 0)
            yield return ("L2", caches.Level2 * cores);
        if (caches.Level3 > caches.Level2 * cores)
            yield return ("L3", caches.Level3 * shared);
    }
}
