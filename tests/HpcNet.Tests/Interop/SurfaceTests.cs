// What the bindings may show: nothing but the exceptions. And who may import: nobody but the bindings.
using System.Reflection;
using HpcNet.Interop;

namespace HpcNet.Tests.Interop;

public class SurfaceTests
{
    [Fact]
    public void OnlyTheExceptionsArePublic()
    {
        IEnumerable<string?> names = typeof(Native).Assembly.GetExportedTypes().Select(type => type.FullName);

        Assert.Equal(
            ["HpcNet.HpcNetError", "HpcNet.HpcNetException", "HpcNet.HpcNetLibraryException"],
            names.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void OnlyTheBindingsImport()
    {
        Assembly library = Assembly.Load("HpcNet");
        const BindingFlags all = BindingFlags.Static | BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

        Assert.Empty(library.GetTypes().SelectMany(type => type.GetMethods(all))
            .Where(method => method.Attributes.HasFlag(MethodAttributes.PinvokeImpl)).Select(method => method.Name));
    }
}
