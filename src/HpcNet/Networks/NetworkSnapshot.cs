// NetworkSnapshot.cs: a copy of what a network has learned, on its device: parameters and state.

namespace HpcNet;

/// <summary>
/// Parameters and state of a network, apart from it. Who takes one or puts it back holds the network's <see cref="Network.Gate"/>.
/// </summary>
internal sealed class NetworkSnapshot : IDisposable
{
    public NetworkSnapshot(Network network)
    {
        Parameters = new DeviceBuffer(network.Device, network.Graph.Elements);
        State = network.State is null ? null : new DeviceBuffer(network.Device, network.Graph.StateElements);
    }

    /// <summary>As <see cref="Network.Parameters"/>.</summary>
    public DeviceBuffer Parameters { get; }

    /// <summary>As <see cref="Network.State"/>; null: the network has none.</summary>
    public DeviceBuffer? State { get; }

    /// <summary>Copies what the network has now.</summary>
    public void Take(Network network)
    {
        network.Parameters.CopyTo(Parameters);
        network.State?.CopyTo(State!);
    }

    /// <summary>Gives the network what was taken.</summary>
    public void PutBack(Network network)
    {
        Parameters.CopyTo(network.Parameters);
        State?.CopyTo(network.State!);
    }

    public void Dispose()
    {
        Parameters.Dispose();
        State?.Dispose();
    }
}
