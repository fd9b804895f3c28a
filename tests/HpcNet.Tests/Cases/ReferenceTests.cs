// ReferenceTests.cs: every case that is found in the folder is a row on the CPU and a row on OpenCL. A family, or a kind inside
// it, that nothing here knows fails. To add a family: a class that implements IFamily; it is found by itself.

using System.Collections.Concurrent;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace HpcNet.Tests.Cases;

/// <summary>Runs the cases of one family.</summary>
internal interface IFamily
{
    /// <summary>The name in the family's JSON.</summary>
    string Name { get; }

    /// <summary>Computes a case and checks every result that it has.</summary>
    void Run(ReferenceCase reference, Device device);
}

/// <summary>Counts what ran and says so when all of it is done.</summary>
public sealed class CaseCounter(IMessageSink messages) : IDisposable
{
    private readonly ConcurrentDictionary<(string Family, string Target), int> _ran = new();

    public void Count(string family, string target) => _ran.AddOrUpdate((family, target), 1, (_, count) => count + 1);

    public void Dispose()
    {
        IEnumerable<string> parts = _ran.GroupBy(c => c.Key.Family).OrderBy(g => g.Key, StringComparer.Ordinal)
            .Select(g => $"{g.Key} {string.Join(" + ", g.OrderBy(c => c.Key.Target, StringComparer.Ordinal).Select(c => $"{c.Value} {c.Key.Target}"))}");
        messages.OnMessage(new DiagnosticMessage($"Reference cases: {string.Join("; ", parts)}"));
    }
}

[Trait("Category", "Cases")]
public sealed class ReferenceTests(CaseCounter counter) : IClassFixture<CaseCounter>
{
    private static readonly Dictionary<string, IFamily> Known = typeof(IFamily).Assembly.GetTypes()
        .Where(t => t.IsClass && !t.IsAbstract && t.IsAssignableTo(typeof(IFamily)))
        .Select(t => (IFamily)Activator.CreateInstance(t)!).ToDictionary(f => f.Name);

    public static TheoryData<string, string, string> Rows()
    {
        var rows = new TheoryData<string, string, string>();
        foreach (string target in Targets.All)
        {
            foreach (ReferenceCase reference in ReferenceCase.Families.Values.SelectMany(f => f))
                rows.Add(target, reference.Family, reference.Name);
        }
        // A folder without cases is a row that says so.
        if (rows.Count == 0)
            rows.Add(Targets.Cpu, "", "");
        return rows;
    }

    [SkippableTheory]
    [MemberData(nameof(Rows))]
    public void Agrees_with_the_truth(string target, string family, string name)
    {
        Skip.If(family.Length == 0, "there is no folder 'reference' among the cases");
        Assert.True(Known.ContainsKey(family), $"nothing here knows the family '{family}'");
        Device device = Targets.Open(target);
        counter.Count(family, target);
        Known[family].Run(ReferenceCase.Families[family].Single(c => c.Name == name), device);
    }
}
