// What the tables of the command line share: each row is a choice with a name, and names are compared without regard to case and
// hyphens, so that one-cycle, onecycle and OneCycle are one.

namespace HpcNet.Cli.Choices;

/// <summary>A row of a table.</summary>
/// <param name="Name">As help lists it.</param>
/// <param name="Meaning">What help says of it; null: the name says all.</param>
internal abstract record Choice(string Name, string? Meaning = null)
{
    /// <summary>Whether a text means this name.</summary>
    public static bool Same(string name, string text) =>
        string.Equals(Plain(name), Plain(text), StringComparison.OrdinalIgnoreCase);

    /// <summary>The words as they are listed in a sentence.</summary>
    public static string List(IEnumerable<string> words, string last = "or")
    {
        string[] all = [.. words];
        return all.Length == 1 ? all[0] : $"{string.Join(", ", all[..^1])} {last} {all[^1]}";
    }

    private static string Plain(string text) => text.Replace("-", "", StringComparison.Ordinal);
}
