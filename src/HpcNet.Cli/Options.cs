// Options that check what they are given while the line is parsed, so that every wrong value is one line and exit code 2.

using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;

namespace HpcNet.Cli;

internal static class Options
{
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

    /// <summary>One word of several, without regard to case; the value is the word as it is listed.</summary>
    public static Option<string?> OneOf(string name, string description, params string[] words) =>
        Checked<string?>(name, string.Join('|', words), description, text =>
            Array.Find(words, word => string.Equals(word, text, StringComparison.OrdinalIgnoreCase))
            ?? throw new FormatException(words.Length == 1 ? words[0] : $"{string.Join(", ", words[..^1])} or {words[^1]}"));

    /// <summary>A device.</summary>
    public static Option<string?> Device(string name, string description) =>
        Checked<string?>(name, "cpu|opencl[:N|:NAME]", description, text =>
            DeviceChoice.TryParse(text, out _) ? text : throw new FormatException(DeviceChoice.Expected));

    /// <summary>Whole numbers of at least 1, separated by commas.</summary>
    public static Option<int[]?> Widths(string name, string description) =>
        Checked<int[]?>(name, "N,N,...", description, text =>
        {
            string[] parts = text.Split(',', StringSplitOptions.TrimEntries);
            var widths = new int[parts.Length];
            for (int i = 0; i < parts.Length; i++)
            {
                if (!int.TryParse(parts[i], NumberStyles.None, CultureInfo.InvariantCulture, out widths[i]) || widths[i] < 1)
                    throw new FormatException("whole numbers of 1 or more, separated by commas");
            }
            return widths;
        });

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
