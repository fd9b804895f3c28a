// The help of a command with many options: the usual form, the options in groups, wrapped to the width of the terminal.

using System.CommandLine;
using System.Text;

namespace HpcNet.Cli.Text;

internal static class HelpText
{
    /// <summary>The width where there is no terminal.</summary>
    public const int Width = 120;

    private const int LeastWidth = 60;
    private const int MostLeft = 34;

    /// <summary>Description, usage and options.</summary>
    public static string Format(string name, Command command, IReadOnlyList<OptionGroup> groups, int width)
    {
        var text = new StringBuilder("Description:\n");
        width = Math.Max(width - 1, LeastWidth);
        foreach (string line in Wrap(command.Description ?? "", width - 2))
            text.Append("  ").Append(line).Append('\n');
        text.Append("\nUsage:\n  ").Append(name).Append(" [options]\n\n");
        int left = Math.Min(MostLeft, groups.SelectMany(g => g.Options).Max(o => Name(o).Length)) + 2;
        foreach (OptionGroup group in groups)
        {
            text.Append(group.Title).Append(":\n");
            foreach (Option option in group.Options)
            {
                string called = Name(option);
                text.Append("  ").Append(called.PadRight(left));

                // A name that is too long has its line to itself.
                bool below = called.Length > left - 2;
                string[] lines = [.. Wrap(option.Description ?? "", width - 2 - left)];
                for (int i = 0; i < lines.Length; i++)
                    text.Append(i > 0 || below ? $"\n{new string(' ', left + 2)}" : "").Append(lines[i]);
                text.Append('\n');
            }
            text.Append('\n');
        }
        return text.ToString();
    }

    private static string Name(Option option)
    {
        string names = string.Join(", ", option.Aliases.Append(option.Name).Where(n => n[0] == '-').OrderBy(n => n.Length));
        return $"{names}{(option.HelpName is { } value ? $" <{value}>" : "")}{(option.Required ? " (REQUIRED)" : "")}";
    }

    private static IEnumerable<string> Wrap(string text, int width)
    {
        var line = new StringBuilder();
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.Length > 0 && line.Length + 1 + word.Length > width)
            {
                yield return line.ToString();
                line.Clear();
            }
            line.Append(line.Length > 0 ? " " : "").Append(word);
        }
        yield return line.ToString();
    }
}
