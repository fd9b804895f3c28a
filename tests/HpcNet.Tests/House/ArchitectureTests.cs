// ArchitectureTests.cs: the rules of the house that a test can hold: the ABI is the only door, no public member shows what is
// behind it, and every row of a native table has its C# member.

using System.Reflection;
using HpcNet.Interop;

namespace HpcNet.Tests;

public sealed unsafe class ArchitectureTests
{
    private static readonly string Root = typeof(ArchitectureTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>()
        .Single(a => a.Key == "RepositoryRoot").Value!;

    [Fact]
    public void No_public_member_shows_a_pointer_or_an_interop_type()
    {
        var faults = new List<string>();
        foreach (Type type in typeof(Network).Assembly.GetExportedTypes())
        {
            if (type.Namespace != "HpcNet")
                faults.Add($"{type} is public outside the namespace HpcNet");
            foreach (MemberInfo member in type.GetMembers(
                BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            {
                // A caller's OpenCL handles are raw nint, as every .NET OpenCL binding gives them: these two doors and no others.
                bool takesHandles = member is MethodInfo { Name: nameof(Device.OpenCl), DeclaringType.Name: nameof(Device) }
                    or ConstructorInfo { DeclaringType.Name: nameof(OpenClMemory) };
                // The runtime's own constructor of a delegate.
                if (type.IsAssignableTo(typeof(Delegate)) && member is ConstructorInfo)
                    continue;
                foreach (Type used in Signature(member))
                {
                    if (takesHandles && used == typeof(nint))
                        continue;
                    if (used.IsPointer || used.IsFunctionPointer || used == typeof(nint) || used == typeof(nuint)
                        || used.Namespace == "HpcNet.Interop" || typeof(System.Runtime.InteropServices.SafeHandle).IsAssignableFrom(used))
                        faults.Add($"{type.Name}.{member.Name} shows {used}");
                }
            }
        }
        Assert.Empty(faults);
    }

    [Fact]
    public void Extern_is_in_the_bindings_only()
    {
        foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.cs", SearchOption.AllDirectories))
        {
            if (file.Contains("/obj/") || file.Contains("/bin/"))
                continue;
            string text = File.ReadAllText(file);
            Assert.False(text.Contains(" extern ") || text.Contains("DllImport") || text.Contains("LibraryImport"), file);
        }
    }

    [Fact]
    public void Every_native_activation_has_its_member()
    {
        hpc_activation[] native = Enum.GetValues<hpc_activation>();
        Assert.Equal(native.Select(a => (int)a), Activation.All.Where(a => !a.IsRowWise).Select(a => a.NativeId));
        foreach (Activation activation in Activation.All)
        {
            if (!activation.IsRowWise)
            {
                hpc_activation_info info;
                Status.Check(Native.hpc_get_activation_info(activation.NativeId, &info));
                Assert.Equal(NativeText.FromUtf8(info.name).Replace("_", ""), activation.Name, ignoreCase: true);
            }
            Assert.Same(activation, Activation.Parse(activation.Name.ToUpperInvariant()));
            Assert.Same(activation, typeof(Activation).GetProperty(activation.Name)!.GetValue(null));
        }
        hpc_activation_info none;
        Assert.NotEqual(hpc_status.HPC_OK, Native.hpc_get_activation_info(native.Length, &none));
    }

    [Fact]
    public void Every_native_loss_has_its_member()
    {
        hpc_loss[] native = Enum.GetValues<hpc_loss>();
        IEnumerable<ElementwiseLoss> elementwise =
            [.. Loss.All.OfType<ElementwiseLoss>(), Loss.KlDivergence with { LogTarget = true }, Loss.Poisson with { LogInput = false }];
        Assert.Equal(native, elementwise.Select(l => l.NativeId).Distinct().Order());
        Assert.Equal(Enum.GetValues<hpc_class_loss_kind>(), Loss.All.OfType<ClassLoss>().Select(l => l.Kind).Order());
        foreach (Loss loss in Loss.All)
        {
            Assert.Same(loss, Loss.Parse(loss.Name.ToLowerInvariant()));
            Assert.Same(loss, typeof(Loss).GetProperty(loss.Name)!.GetValue(null));
        }
        Assert.Equal(Enum.GetValues<hpc_reduction>().Select(r => (int)r), Enum.GetValues<Reduction>().Select(r => (int)r));
    }

    [Fact]
    public void Every_native_rule_has_its_optimizer_with_its_hyperparameters()
    {
        Optimizer[] optimizers =
        [
            new Sgd(0.1f), new Sgd(0.1f, 0.9f), new Adam(), new Adagrad(), new RmsProp(), new RmsProp(momentum: 0.9f), new RmsProp(centered: true),
            new RmsProp(momentum: 0.9f, centered: true), new Adadelta(), new Adam(amsGrad: true), new Adamax(), new NAdam(), new RAdam(), new Rprop(),
            new AveragedSgd(),
        ];
        Assert.Equal(Enum.GetValues<hpc_rule>(), optimizers.Select(o => o.Rule));
        foreach (Optimizer optimizer in optimizers)
        {
            hpc_rule_info info;
            Status.Check(Native.hpc_get_rule_info((int)optimizer.Rule, &info));
            Assert.Equal(info.hyperparameter_count, 1 + optimizer.Hyperparameters().Length);
            // In the native order, by the names of the C# members: learning_rate, beta1, ...
            foreach (string name in NativeText.FromUtf8(info.hyperparameters).Split(','))
            {
                string member = name.Replace("_", "");
                Assert.Contains(optimizer.GetType().GetProperties(), p => string.Equals(p.Name, member, StringComparison.OrdinalIgnoreCase));
            }
        }
        Assert.All(
            typeof(Optimizer).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(Optimizer)) && !t.IsAbstract),
            t => Assert.Contains(optimizers, o => t.IsAssignableTo(o.GetType())));
    }

    [Fact]
    public void Every_instruction_has_its_method_and_says_its_name()
    {
        string[] exports = [.. typeof(Native).GetMethods(BindingFlags.Static | BindingFlags.Public)
            .Select(m => m.Name).Where(n => n.StartsWith("hpc_record_", StringComparison.Ordinal))];
        Assert.NotEmpty(exports);
        foreach (string export in exports)
        {
            string name = string.Concat(export["hpc_record_".Length..].Split('_').Select(word => char.ToUpperInvariant(word[0]) + word[1..]));
            Assert.NotNull(typeof(Recorder).GetMethod(name));
        }
    }

    private static IEnumerable<Type> Signature(MemberInfo member)
    {
        IEnumerable<Type> types = member switch
        {
            MethodBase { IsPublic: true } or MethodBase { IsFamily: true } =>
                ((MethodBase)member).GetParameters().Select(p => p.ParameterType).Append((member as MethodInfo)?.ReturnType ?? typeof(void)),
            FieldInfo { IsPublic: true } field => [field.FieldType],
            _ => [],
        };
        return types.SelectMany(Parts);
    }

    private static IEnumerable<Type> Parts(Type type)
    {
        yield return type;
        if (type.HasElementType)
        {
            foreach (Type part in Parts(type.GetElementType()!))
                yield return part;
        }
        foreach (Type argument in type.GetGenericArguments())
        {
            foreach (Type part in Parts(argument))
                yield return part;
        }
    }
}
