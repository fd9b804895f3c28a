// What can be said about a model file before it is opened.

namespace HpcNet.Cli.Data;

internal static class ModelFile
{
    public static void Check(string path)
    {
        if (Directory.Exists(path))
            throw CliException.Failed($"--model '{path}' is a folder; expected a model file.");
        if (!File.Exists(path))
            throw CliException.Failed($"--model: there is no file '{path}'.");
    }
}
