// Options that check what they are given while the line is parsed, so that every wrong value is one line and exit code 2.

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using HpcNet.Cli.Choices;

namespace HpcNet.Cli;

internal static class Options
{
    // More words than these stand in the description only.
    private const int MostShown = 4;

    /// <summary>A whole number of a range.</summary>
    public static Option<int?> Whole(string name, string description, int least, int most = int.MaxValue) =>
        Checked<int?>(name, "N", description, text =>
            int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value)
            && value >= least && value <= most
                ? value
                : throw new FormatException(
                    most == int.MaxValue ? $"a whole number of {least} or more" : $"a whole number from {least} to {most}"));

    /// <summary>A seed.</summary>
    public static Option<ulong?> Seed(string name, string description) =>
        Checked<ulong?>(name, "N", description, text =>
            ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value)
                ? value
                : throw new FormatException("a whole number of 0 or more"));

    /// <summary>A finite number of a range.</summary>
    public static Option<float?> Real(string name, string helpName, string description, Func<float, bool> accepted, string expected) =>
        Checked<float?>(name, helpName, description, text =>
            float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float value)
            && float.IsFinite(value) && accepted(value)
                ? value
                : throw new FormatException(expected));

    /// <summary>A finite number of 0 or more.</summary>
    public static Option<float?> NotNegative(string name, string description) =>
        Real(name, "X", description, value => value >= 0f, "a finite number of 0 or more");

    /// <summary>A finite number above 0.</summary>
    public static Option<float?> Positive(string name, string description) =>
        Real(name, "X", description, value => value > 0f, "a finite number above 0");

    /// <summary>A share that is less than all.</summary>
    public static Option<float?> Share(string name, string description) =>
        Real(name, "P", description, value => value is >= 0f and < 1f, "a number from 0 to below 1");

    /// <summary>One word of several, without regard to case and hyphens; the value is the word as it is listed.</summary>
    public static Option<string?> OneOf(string name, string description, params string[] words) =>
        Checked<string?>(name, words.Length > MostShown ? "NAME" : string.Join('|', words), description, text =>
            Array.Find(words, word => Choice.Same(word, text)) ?? throw new FormatException(Choice.List(words)));

    /// <summary>A row of a table, by its name.</summary>
    public static Option<T?> Row<T>(string name, string description, IReadOnlyList<T> table) where T : Choice =>
        Checked<T?>(name, "NAME", $"{description} {Choice.List(table.Select(c => c.Meaning is null ? c.Name : $"{c.Name} ({c.Meaning})"))}.", text =>
            table.FirstOrDefault(c => Choice.Same(c.Name, text)) ?? throw new FormatException(Choice.List(table.Select(c => c.Name))));

    /// <summary>Something that is on or off.</summary>
    public static Option<bool> Switch(string name, string description) => new(name) { Description = description, Arity = ArgumentArity.Zero };

    /// <summary>A device.</summary>
    public static Option<string?> Device(string name, string description) =>
        Checked<string?>(name, "cpu|opencl[:N|:NAME]", description, text =>
            DeviceChoice.TryParse(text, out _) ? text : throw new FormatException(DeviceChoice.Expected));

    /// <summary>Whole numbers of at least 1, separated by commas; none of them for "none".</summary>
    public static Option<int[]?> Widths(string name, string description) =>
        Checked<int[]?>(name, "N,N,...|none", description, text =>
        {
            if (text.Equals("none", StringComparison.OrdinalIgnoreCase))
                return [];
            string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
            var widths = new int[parts.Length];
            for (int i = 0; i < parts.Length; i++)
            {
                if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out widths[i]) || widths[i] < 1)
                    throw new FormatException("whole numbers of 1 or more, separated by commas, or none");
            }
            return widths;
        });

    /// <summary>Finite numbers of 0 or more, separated by commas; none of them for "balanced".</summary>
    public static Option<float[]?> Weights(string name, string description) =>
        Checked<float[]?>(name, "W,W,...|balanced", description, text =>
        {
            if (text.Equals("balanced", StringComparison.OrdinalIgnoreCase))
                return [];
            string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
            var weights = new float[parts.Length];
            for (int i = 0; i < parts.Length; i++)
            {
                if (!float.TryParse(parts[i], NumberStyles.Float, CultureInfo.InvariantCulture, out weights[i])
                    || !float.IsFinite(weights[i]) || weights[i] < 0f)
                    throw new FormatException("finite numbers of 0 or more, separated by commas, or balanced");
            }
            return weights.AsSpan().ContainsAnyExcept(0f) ? weights : throw new FormatException("one number above 0 at least");
        });

    /// <summary>Texts that are not empty and differ; the option may come several times.</summary>
    public static Option<string[]?> Texts(string name, string helpName, string description) => new(name)
    {
        Description = description,
        HelpName = helpName,
        Arity = ArgumentArity.OneOrMore,
        CustomParser = result =>
        {
            string[] texts = [.. result.Tokens.Select(t => t.Value)];
            if (Array.Exists(texts, string.IsNullOrWhiteSpace))
                result.AddError($"{name} is '{texts.First(string.IsNullOrWhiteSpace)}'; expected a text that is not empty.");
            else if (texts.GroupBy(t => t, StringComparer.Ordinal).FirstOrDefault(g => g.Count() > 1) is { } twice)
                result.AddError($"{name} is '{twice.Key}' twice; expected different ones.");
            return texts;
        },
    };

    /// <summary>Values of which each word gives one or more; several words may follow, and the option may come several times.</summary>
    public static Option<T[]?> Several<T>(string name, string helpName, string description, Func<string, IReadOnlyList<T>> parse) => new(name)
    {
        Description = description,
        HelpName = $"{helpName} ...",
        Arity = ArgumentArity.OneOrMore,
        AllowMultipleArgumentsPerToken = true,
        CustomParser = result =>
        {
            var values = new List<T>();
            foreach (Token token in result.Tokens)
            {
                try
                {
                    // The same one twice is the same one.
                    values.AddRange(parse(token.Value).Where(v => !values.Contains(v)));
                }
                catch (FormatException e)
                {
                    result.AddError($"{name} is '{token.Value}'; expected {e.Message}.");
                    return null;
                }
            }
            return [.. values];
        },
    };

    /// <summary>Whole numbers of a range; several may follow, and the option may come several times.</summary>
    public static Option<int[]?> Wholes(string name, string description, int least, int most) => Several(name, "N", description, text =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) && value >= least && value <= most
            ? (IReadOnlyList<int>)[value]
            : throw new FormatException($"a whole number from {least} to {most}"));

    /// <summary>Whether an option is on the line.</summary>
    public static bool Has(this ParseResult line, Option option) => line.GetResult(option) is { Implicit: false };

    /// <summary>A text that is not empty, such as a path.</summary>
    public static Option<string?> Text(string name, string helpName, string description, bool required = false)
    {
        Option<string?> option = Checked<string?>(name, helpName, description, text =>
            text.Trim().Length > 0 ? text : throw new FormatException("a text that is not empty"));
        option.Required = required;
        return option;
    }

    // The function throws a FormatException whose message is what would have been right.
    private static Option<T> Checked<T>(string name, string helpName, string description, Func<string, T> parse) => new(name)
    {
        Description = description,
        HelpName = helpName,
        Arity = ArgumentArity.ExactlyOne,
        CustomParser = (ArgumentResult result) =>
        {
            string text = result.Tokens[0].Value;
            try
            {
                return parse(text);
            }
            catch (FormatException e)
            {
                result.AddError($"{name} is '{text}'; expected {e.Message}.");
                return default!;
            }
        },
    };
}
