// The entry point of `hpcnet`. Commands are in their own files; what they share at the edges (parsing, help, errors, exit codes)
// is in Application.cs.

using HpcNet.Cli;

return Application.Run(args);
