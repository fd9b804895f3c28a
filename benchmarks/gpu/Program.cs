// What runs on a machine with a GPU, in one program:
//
//   hpcnet ARGUMENTS...       the tool
//   cases [TARGET]            the reference cases on that target (cpu, opencl), or on both; exit code 1 where one fails
//   export, serve             HpcNet's side of comparisons (PeersHost.cs)

using System.Reflection;
using HpcNet;
using HpcNet.Benchmarks;
using HpcNet.Cli;
using HpcNet.Tests;
using HpcNet.Tests.Cases;

switch (args)
{
    case ["hpcnet", .. var rest]:
        return Application.Run(rest);
    case ["cases", .. var targets] when targets.Length <= 1:
        return Cases(targets.FirstOrDefault());
    default:
        try
        {
            if (PeersHost.TryRun(args) is { } exitCode)
                return exitCode;
        }
        catch (Exception e) when (e is ArgumentException or CliException or HpcNetException)
        {
            // One line for whoever started this as a contestant.
            Console.Error.WriteLine(e.Message.ReplaceLineEndings(" "));
            return 1;
        }
        Console.Error.WriteLine("usage: hpcnet ARGUMENTS... | cases [cpu|opencl] | export WORKLOAD --directory D | serve WORKLOAD [--device D]");
        return 2;
}

static int Cases(string? only)
{
    var tests = new ReferenceTests(new CaseCounter(new NoMessages()));
    int passed = 0, failed = 0, skipped = 0;
    foreach (object[] row in ReferenceTests.Rows())
    {
        (string target, string family, string name) = ((string)row[0], (string)row[1], (string)row[2]);
        if (only is not null && target != only)
            continue;
        try
        {
            tests.Agrees_with_the_truth(target, family, name);
            passed++;
        }
        catch (SkipException e)
        {
            skipped++;
            Console.WriteLine($"skipped {family} {name} on {target}: {e.Message}");
        }
        catch (Exception e)
        {
            failed++;
            Console.WriteLine($"FAILED {family} {name} on {target}: {(e is TargetInvocationException { InnerException: { } inner } ? inner : e).Message}");
        }
    }
    Console.WriteLine($"cases: {passed} passed, {failed} failed, {skipped} skipped");
    return failed == 0 && passed > 0 ? 0 : 1;
}

// Nobody listens.
internal sealed class NoMessages : Xunit.Abstractions.IMessageSink
{
    public bool OnMessage(Xunit.Abstractions.IMessageSinkMessage message) => true;
}
