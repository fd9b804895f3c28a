// The attribute with which the generated code keeps each C type's own spelling beside its C# one.
using System.Diagnostics;

namespace HpcNet.Interop;

/// <summary>The type or macro as <c>hpcnet.h</c> writes it. For readers of the generated code; nothing looks at it.</summary>
[AttributeUsage(AttributeTargets.All, AllowMultiple = false, Inherited = true)]
[Conditional("DEBUG")]
internal sealed class NativeTypeNameAttribute(string name) : Attribute
{
    /// <summary>The C spelling.</summary>
    public string Name { get; } = name;
}
