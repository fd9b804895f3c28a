// What holds for the whole interop assembly.
using System.Runtime.CompilerServices;

// Every signature of the ABI is blittable, so no marshalling stub is wanted anywhere: what the struct says is what the core
// gets, with or without a just-in-time compiler.
[assembly: DisableRuntimeMarshalling]
