// Holds sizeof and offsetof of every struct, as the core's compiler laid it out, against what the runtime made of the C#
// struct. Both lists are found by themselves, so that a new struct is covered without a line here.
using System.Globalization;
using System.Reflection;
using System.Reflection.Emit;
using System.Runtime.CompilerServices;
using HpcNet.Interop;

namespace HpcNet.Tests.Interop;

public unsafe class LayoutTests
{
    private const BindingFlags Fields = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    private static readonly MethodInfo s_sizeOf = typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!;

    [Fact]
    public void StructsAreTheSameOnBothSides()
    {
        SortedDictionary<string, string> native = NativeLayouts();
        SortedDictionary<string, string> managed = ManagedLayouts();

        Assert.Empty(managed.Keys.Except(native.Keys).Select(name => $"{name} is not in hpc_struct_layouts"));
        Assert.Empty(native.Keys.Except(managed.Keys).Select(name => $"{name} is not in the bindings"));
        Assert.Equal(native.Values, managed.Values);
    }

    [Fact]
    public void ReflectionSeesOffsetsAndSizes()
    {
        // The measuring itself, on a struct whose layout is known: were it wrong on both sides, the test above would pass.
        Assert.Equal("hpc_counter 16 constant:0 slot:8 reserved:12", Layout(typeof(hpc_counter)));
        Assert.Equal(Native.HPC_NAME_LENGTH, SizeOf(typeof(hpc_device_info).GetField("name")!.FieldType));
    }

    private static SortedDictionary<string, string> NativeLayouts()
    {
        var layouts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        foreach (string line in NativeText.Read(Native.hpc_struct_layouts).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            IEnumerable<(string Name, int Offset)> fields = words[2..].Select(word => word.Split(':'))
                .Select(pair => (pair[0], int.Parse(pair[1], CultureInfo.InvariantCulture)));
            layouts.Add(words[0], Format(words[0], int.Parse(words[1], CultureInfo.InvariantCulture), fields));
        }

        return layouts;
    }

    private static SortedDictionary<string, string> ManagedLayouts()
    {
        var layouts = new SortedDictionary<string, string>(StringComparer.Ordinal);
        IEnumerable<Type> structs = typeof(Native).Assembly.GetTypes().Where(type =>
            type is { IsValueType: true, IsEnum: false, IsNested: false } && type.Name.StartsWith("hpc_", StringComparison.Ordinal));
        // Opaque structs have no fields here and no layout there.
        foreach (Type type in structs.Where(type => type.GetFields(Fields).Length > 0))
            layouts.Add(type.Name, Layout(type));
        return layouts;
    }

    private static string Layout(Type type) =>
        Format(type.Name, SizeOf(type), type.GetFields(Fields).Select(field => (field.Name, OffsetOf(field))));

    private static string Format(string name, int size, IEnumerable<(string Name, int Offset)> fields) =>
        $"{name} {size} {string.Join(' ', fields.OrderBy(field => field.Offset).Select(field => $"{field.Name}:{field.Offset}"))}";

    // The managed size and offsets, not those of Marshal: runtime marshalling is off, so these are what the core gets.
    private static int SizeOf(Type type) => (int)s_sizeOf.MakeGenericMethod(type).Invoke(null, null)!;

    private static int OffsetOf(FieldInfo field)
    {
        // nint offset(nint start) => (nint)&((T*)start)->field - start
        var method = new DynamicMethod("offset", typeof(nint), [typeof(nint)], typeof(LayoutTests).Module, skipVisibility: true);
        ILGenerator il = method.GetILGenerator();
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Ldflda, field);
        il.Emit(OpCodes.Conv_I);
        il.Emit(OpCodes.Ldarg_0);
        il.Emit(OpCodes.Sub);
        il.Emit(OpCodes.Ret);
        byte* memory = stackalloc byte[8];
        return (int)method.CreateDelegate<Func<nint, nint>>()((nint)memory);
    }
}
