// CustomLayer.cs: a layer whose mathematics is the user's own C# code over spans. It is an instruction like any other: the core
// executes what stands before it, calls back on the thread that runs the program, and goes on with what stands behind. On a
// device with memory of its own the operands are copied to host memory and back.
// An exception of the user's code does not cross the core: it is kept here, no update of that run takes place, and whoever ran
// the program throws it.

using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace HpcNet;

/// <summary>A parameter that a <see cref="CustomLayer"/> has.</summary>
/// <param name="Name">The name in its layer, as in <c>scale1.weight</c>.</param>
/// <param name="Rows">At least 1.</param>
/// <param name="Columns">At least 1.</param>
/// <param name="Initializer">How it begins.</param>
/// <param name="Decays">Whether weight decay and penalties apply to it.</param>
public sealed record LayerParameter(string Name, int Rows, int Columns, Initializer Initializer, bool Decays = true);

/// <summary>What <see cref="CustomLayer.Forward"/> computes with.</summary>
public readonly unsafe ref struct LayerForward
{
    private readonly CustomCall _call;
    private readonly float** _operands;

    internal LayerForward(CustomCall call, int rows, float** operands)
    {
        _call = call;
        _operands = operands;
        Rows = rows;
    }

    /// <summary>Rows of this run.</summary>
    public int Rows { get; }

    /// <summary>One row of the input.</summary>
    public Shape InputShape => _call.Input;

    /// <summary>One row of the output.</summary>
    public Shape OutputShape => _call.Output;

    /// <summary>Whether this is a training step, and not a prediction.</summary>
    public bool Training => _call.Training;

    /// <summary>x [rows × input elements], row-major.</summary>
    public ReadOnlySpan<float> Input => new(_operands[0], checked(Rows * _call.Input.Elements));

    /// <summary>y [rows × output elements], to be written as a whole. It holds anything before.</summary>
    public Span<float> Output => new(_operands[_call.ParameterLengths.Length + 1], checked(Rows * _call.Output.Elements));

    /// <summary>A parameter [rows × columns], row-major.</summary>
    /// <param name="index">Its place in <see cref="CustomLayer.GetParameters"/>.</param>
    public ReadOnlySpan<float> Parameter(int index) => new(_operands[1 + index], _call.ParameterLengths[index]);
}

/// <summary>What <see cref="CustomLayer.Backward"/> computes with.</summary>
public readonly unsafe ref struct LayerBackward
{
    private readonly CustomCall _call;
    private readonly float** _operands;

    internal LayerBackward(CustomCall call, int rows, float** operands)
    {
        _call = call;
        _operands = operands;
        Rows = rows;
    }

    /// <summary>Rows of this run.</summary>
    public int Rows { get; }

    /// <summary>One row of the input.</summary>
    public Shape InputShape => _call.Input;

    /// <summary>One row of the output.</summary>
    public Shape OutputShape => _call.Output;

    /// <summary>x [rows × input elements], as it was in <see cref="CustomLayer.Forward"/>.</summary>
    public ReadOnlySpan<float> Input => new(_operands[0], checked(Rows * _call.Input.Elements));

    /// <summary>y [rows × output elements], as <see cref="CustomLayer.Forward"/> left it.</summary>
    public ReadOnlySpan<float> Output => new(_operands[1], checked(Rows * _call.Output.Elements));

    /// <summary>dLoss/dy [rows × output elements].</summary>
    public ReadOnlySpan<float> OutputGradient => new(_operands[2], checked(Rows * _call.Output.Elements));

    /// <summary>dLoss/dx [rows × input elements], to be written as a whole; empty where nobody needs it.</summary>
    public Span<float> InputGradient => Written(0, checked(Rows * _call.Input.Elements));

    /// <summary>A parameter [rows × columns], row-major.</summary>
    /// <param name="index">Its place in <see cref="CustomLayer.GetParameters"/>.</param>
    public ReadOnlySpan<float> Parameter(int index) => new(_operands[3 + index], _call.ParameterLengths[index]);

    /// <summary>
    /// The gradient of a parameter [rows × columns], summed over the rows of the run and to be written as a whole; empty where
    /// the layer is frozen.
    /// </summary>
    /// <param name="index">Its place in <see cref="CustomLayer.GetParameters"/>.</param>
    public Span<float> ParameterGradient(int index) => Written(1 + index, _call.ParameterLengths[index]);

    private Span<float> Written(int place, int length)
    {
        float* start = _operands[3 + _call.ParameterLengths.Length + place];
        return start is null ? default : new Span<float>(start, length);
    }
}

/// <summary>
/// A layer of the user's own: forward and backward in C#, over spans of float32. It stands in a <see cref="Network"/> like the
/// library's layers and runs on every device; its methods are called by the thread that trains or predicts, and by several
/// threads at once where several do, so they keep nothing in fields. An exception that they throw comes out of the call that
/// trained or predicted; that step has then changed nothing.
/// </summary>
public abstract record CustomLayer : Layer
{
    private static readonly ConcurrentDictionary<string, Func<JsonElement, CustomLayer>> Readers = new(StringComparer.Ordinal);

    /// <summary>
    /// The kind's name in files and default layer names: letters, digits, hyphens and underscores, and no name of the library's
    /// own layers.
    /// </summary>
    public abstract string TypeName { get; }

    /// <summary>Lets model files bring back layers of a kind. A later registration of the same name replaces it.</summary>
    /// <param name="typeName">The <see cref="TypeName"/>.</param>
    /// <param name="read">Makes the layer from what <see cref="WriteSettings"/> wrote.</param>
    /// <exception cref="ArgumentException">The name is none, or a layer of the library has it.</exception>
    public static void Register(string typeName, Func<JsonElement, CustomLayer> read)
    {
        CheckTypeName(typeName, nameof(typeName));
        Readers[typeName] = Ensure.NotNull(read);
    }

    /// <summary>What goes out, for one row of what comes in.</summary>
    /// <param name="input">One row of what comes in.</param>
    /// <exception cref="ArgumentException">The layer cannot stand behind that.</exception>
    protected abstract Shape GetOutputShape(Shape input);

    /// <summary>The parameters, for one row of what comes in; none by default. Always the same for the same input.</summary>
    /// <param name="input">One row of what comes in.</param>
    protected virtual IReadOnlyList<LayerParameter> GetParameters(Shape input) => [];

    /// <summary>Writes y from x and the parameters.</summary>
    protected abstract void Forward(LayerForward pass);

    /// <summary>Writes the gradients of x and of the parameters from that of y.</summary>
    protected abstract void Backward(LayerBackward pass);

    /// <summary>Writes the settings that the registered reader needs, as members of the open object; none by default.</summary>
    /// <param name="json">Inside an object; the members <c>kind</c> and <c>name</c> are there already.</param>
    protected virtual void WriteSettings(Utf8JsonWriter json)
    {
    }

    internal sealed override string Kind => TypeName;

    internal void Run(LayerForward pass) => Forward(pass);

    internal void Run(LayerBackward pass) => Backward(pass);

    internal int[] ParameterLengths(Shape input) => [.. GetParameters(input).Select(p => p.Rows * p.Columns)];

    internal static CustomLayer? Find(string kind, JsonElement json) =>
        Readers.TryGetValue(kind, out Func<JsonElement, CustomLayer>? read) ? read(json) : null;

    internal sealed override Shape OutputShape(Shape input, string name)
    {
        CheckTypeName(TypeName, nameof(TypeName));
        return GetOutputShape(input) ?? throw new ArgumentException($"{TypeName} '{name}' has no output shape.", nameof(GetOutputShape));
    }

    internal sealed override void DeclareParameters(Shape input, ParameterDeclarations parameters)
    {
        foreach (LayerParameter parameter in GetParameters(input))
        {
            Ensure.Positive(parameter.Rows, nameof(parameter.Rows));
            Ensure.Positive(parameter.Columns, nameof(parameter.Columns));
            if (string.IsNullOrEmpty(parameter.Name) || !parameter.Name.All(IsNamePart) || parameters.Items.Any(p => p.Name == parameter.Name))
                throw new ArgumentException($"{TypeName} has a parameter '{parameter.Name}'; expected names of letters and digits, each once.", nameof(GetParameters));
            parameters.Add(
                parameter.Name, parameter.Rows, parameter.Columns, Ensure.NotNull(parameter.Initializer), parameter.Decays,
                new Shape(parameter.Rows, parameter.Columns));
        }
        if (parameters.Items.Count > MostParameters)
            throw new ArgumentException($"{TypeName} has {parameters.Items.Count} parameters; expected at most {MostParameters}.", nameof(GetParameters));
    }

    // x, y, dy, each parameter and its gradient, dx.
    private const int MostParameters = (Interop.Native.HPC_CALL_OPERANDS - 4) / 2;

    internal sealed override Value RecordForward(NodeRecording node, Value x)
    {
        Value y = node.Output(node.OutputShape.Elements);
        node.Recorder.Call(new CustomCall(this, node, backward: false), $"{node.Name}.forward", [x, .. Parameters(node)], [y]);
        node.Keep("x", x);
        node.Keep("y", y);
        return y;
    }

    internal sealed override Value RecordBackward(NodeRecording node, Value dy)
    {
        Value dx = node.NeedsInputGradient ? node.Temporary(node.InputColumns, "dx") : Value.None;
        Value[] written = [dx, .. GetParameters(node.InputShape).Select(p => node.Trains ? node.Gradient(p.Name) : Value.None)];
        if (written.All(v => v.IsNone))
            return dx;
        node.Recorder.Call(
            new CustomCall(this, node, backward: true), $"{node.Name}.backward", [node.Kept("x"), node.Kept("y"), dy, .. Parameters(node)], written);
        return dx;
    }

    internal sealed override void Write(Utf8JsonWriter json) => WriteSettings(json);

    internal override string Summary() => TypeName;

    private Value[] Parameters(NodeRecording node) => [.. GetParameters(node.InputShape).Select(p => node.Parameter(p.Name))];

    private static bool IsNamePart(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_';

    private static void CheckTypeName(string typeName, string argument)
    {
        if (string.IsNullOrEmpty(typeName) || !typeName.All(IsNamePart))
            throw new ArgumentException($"'{typeName}' is no name for a kind of layer; expected letters, digits, hyphens and underscores.", argument);
        if (Kinds.Contains(typeName))
            throw new ArgumentException($"'{typeName}' is a layer of the library; expected another name.", argument);
    }
}

/// <summary>One recorded call of a custom layer, and the exception that the last one ended with.</summary>
internal sealed unsafe class CustomCall(CustomLayer layer, NodeRecording node, bool backward)
{
    private ExceptionDispatchInfo? _failure;

    public Shape Input { get; } = node.InputShape;

    public Shape Output { get; } = node.OutputShape;

    public bool Training { get; } = node.Training;

    public int[] ParameterLengths { get; } = layer.ParameterLengths(node.InputShape);

    /// <summary>What the core calls; the context is a handle of a <see cref="CustomCall"/>.</summary>
    public static delegate* unmanaged[Cdecl]<void*, ulong, ulong, float**, int> Function => &Invoke;

    /// <summary>The exception of a call that failed, once.</summary>
    public ExceptionDispatchInfo? TakeFailure() => Interlocked.Exchange(ref _failure, null);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static int Invoke(void* context, ulong rows, ulong steps, float** operands)
    {
        var call = (CustomCall)GCHandle.FromIntPtr((nint)context).Target!;
        try
        {
            call.Run(checked((int)(rows * steps)), operands);
            return 0;
        }
        catch (Exception failure)
        {
            call._failure = ExceptionDispatchInfo.Capture(failure);
            return 1;
        }
    }

    private void Run(int rows, float** operands)
    {
        if (backward)
            layer.Run(new LayerBackward(this, rows, operands));
        else
            layer.Run(new LayerForward(this, rows, operands));
    }
}
