// OnnxRecurrent.cs: RNN, LSTM and GRU. Operands are X [steps × N × in], W [directions × G H × in] and R [directions × G H × H], which are
// the core's matrices transposed, with the gates in another order; B [directions × 2 G H], sequence_lens [N], initial_h and initial_c
// [directions × N × H]. Results are Y [steps × directions × N × H], Y_h and Y_c [directions × N × H]. With layout = 1 N comes first
// everywhere, as the core has it: a row is a whole sequence.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxRecurrent : IOnnxFamily
{
    // The numbers say where each gate of the core stands in ONNX's order: iofc and zrh.
    public IEnumerable<OnnxOperator> Operators =>
    [
        Cell("RNN", node => node.Texts("activations")?.FirstOrDefault() == "Relu" ? hpc_cell.HPC_CELL_RNN_RELU : hpc_cell.HPC_CELL_RNN_TANH, 0),
        Cell("LSTM", _ => hpc_cell.HPC_CELL_LSTM, 0, 2, 3, 1),
        Cell("GRU", _ => hpc_cell.HPC_CELL_GRU, 1, 0, 2),
    ];

    /// <summary>
    /// True: the cell is the core's GRU. It applies the reset gate behind the recurrent product, linear_before_reset = 1; in front of it
    /// comes to the same only where there is nothing to reset, in a first step that begins with zeros.
    /// </summary>
    public static bool ResetsBehind(OnnxNode node, int? steps) =>
        node.Integer("linear_before_reset", 0) != 0 || (steps == 1 && !node.HasInput(5));

    private static OnnxOperator Cell(string name, Func<OnnxNode, hpc_cell> cell, params int[] order) => new(name, call =>
    {
        OnnxNode node = call.Node;
        bool batchFirst = node.Integer("layout", 0) != 0;
        OnnxTensor x = RowsFirst(call.Input(0));
        int rows = x.Shape[0], steps = x.Shape[1], directions = call.Input(1).Shape[0], units = call.Input(2).Shape[2];
        string direction = node.Text("direction", "forward");
        if (directions != (direction == "bidirectional" ? 2 : 1) || direction is not ("forward" or "reverse" or "bidirectional"))
            throw call.Unknown($"the direction '{direction}' with {directions} weights");
        string[] functions = node.Texts("activations") ?? [];
        string[] expected = name switch
        {
            "RNN" => [functions.FirstOrDefault() == "Relu" ? "Relu" : "Tanh"],
            "LSTM" => ["Sigmoid", "Tanh", "Tanh"],
            _ => ["Sigmoid", "Tanh"],
        };
        if (functions.Length != 0 && !functions.SequenceEqual(Enumerable.Repeat(expected, directions).SelectMany(f => f)))
            throw call.Unknown($"the activations {string.Join(", ", functions)}");
        if (node.Has("clip") || node.Integer("input_forget", 0) != 0 || node.HasInput(7))
            throw call.Unknown("clipped, coupled or peeping gates");
        if (name == "GRU" && !ResetsBehind(node, steps))
            throw call.Unknown("a reset gate in front of the recurrent product");

        // Rows of one length run together; what is behind a sequence's end is 0.
        long[] lengths = call.Optional(4)?.Integers ?? [.. Enumerable.Repeat((long)steps, rows)];
        int together = lengths.Distinct().Count() == 1 ? rows : 1;
        var results = new List<OnnxTensor[]>();
        for (int row = 0; row < rows; row += together)
        {
            int length = checked((int)lengths[row]);
            OnnxTensor[] part = Rows(row, length);
            OnnxTensor rest = new([together, steps - length, directions, units], new float[together * (steps - length) * directions * units]);
            part[0] = OnnxTensor.Concatenated(1, [part[0], rest]);
            results.Add(part);
        }
        OnnxTensor y = OnnxTensor.Concatenated(0, [.. results.Select(r => r[0])]);
        return
        [
            batchFirst ? y : y.Transposed(1, 2, 0, 3),
            .. Enumerable.Range(1, name == "LSTM" ? 2 : 1).Select(i => RowsSecond(OnnxTensor.Concatenated(0, [.. results.Select(r => r[i])]))),
        ];

        // Some rows with the first steps of their sequences: outputs [rows × steps × directions × H], last states [rows × directions × H].
        OnnxTensor[] Rows(int start, int length)
        {
            int width = order.Length * units;
            using var bench = new Bench(call.Device, together);
            OnnxTensor sequences = x.Slice(0, start, start + together).Slice(1, 0, length);
            Value input = bench.Input(length * x.Shape[2], sequences.Floats), output = bench.Output(length * directions * units);
            var hidden = new Value[directions];
            var states = new Value[directions];
            for (int d = 0; d < directions; d++)
            {
                OnnxTensor? bias = call.Optional(3)?.Slice(0, d, d + 1).Reshaped(2, width);
                OnnxTensor? inputBias = bias is null ? null : Ordered(bias.Slice(0, 0, 1));
                OnnxTensor? recurrentBias = bias is null ? null : Ordered(bias.Slice(0, 1, 2));
                Value gates = bench.Output(length * width);
                bench.Recorder.DenseForward(
                    input, Weight(call.Input(1), d), inputBias is null ? Value.None : bench.Fixed(1, width, inputBias.Floats), gates);
                // The reset gate is for the state alone: the second bias of the candidate stands outside, with the first one.
                if (name == "GRU" && node.Integer("linear_before_reset", 0) == 0 && recurrentBias is not null)
                {
                    bench.Recorder.AddScaled(bench.Input(width, recurrentBias.Reshaped(1, width).Broadcast(together, width).Floats), gates, 1f);
                    recurrentBias = null;
                }
                hidden[d] = bench.Output(units);
                states[d] = name == "LSTM" ? bench.Output(units) : Value.None;
                bench.Recorder.RecurrentForward(new hpc_recurrent_forward
                {
                    cell = (int)cell(node),
                    reverse = d == 1 || direction == "reverse" ? 1 : 0,
                    gates = gates.Id,
                    w = Weight(call.Input(2), d).Id,
                    b = recurrentBias is null ? 0 : bench.Fixed(1, width, recurrentBias.Floats).Id,
                    h0 = Initial(5, d).Id,
                    c0 = Initial(6, d).Id,
                    y = output.Id,
                    y_offset = (uint)(d * units),
                    hn = hidden[d].Id,
                    cn = states[d].Id,
                });
            }
            bench.Run();
            return
            [
                new([together, length, directions, units], bench.Read(output, together * output.Columns)),
                Last(hidden),
                .. name == "LSTM" ? new[] { Last(states) } : [],
            ];

            OnnxTensor Last(Value[] values) => OnnxTensor.Concatenated(
                1, [.. values.Select(v => new OnnxTensor([together, 1, units], bench.Read(v, together * units)))]);

            Value Weight(OnnxTensor weights, int d)
            {
                OnnxTensor ordered = Ordered(weights.Slice(0, d, d + 1)).Transposed(1, 0);
                return bench.Fixed(ordered.Shape[0], width, ordered.Floats);
            }

            Value Initial(int operand, int d) => call.Optional(operand) is { } given
                ? bench.Input(units, RowsFirst(given).Slice(0, start, start + together).Slice(1, d, d + 1).Floats)
                : Value.None;
        }

        // [1 × G H ...] of the file, with the core's order of the gates, as a matrix of G H rows.
        OnnxTensor Ordered(OnnxTensor given)
        {
            OnnxTensor gates = given.Reshaped(order.Length, given.Count / order.Length);
            return OnnxTensor.Concatenated(0, [.. order.Select(g => gates.Slice(0, g, g + 1))])
                .Reshaped(order.Length * units, given.Count / (order.Length * units));
        }

        OnnxTensor RowsFirst(OnnxTensor given) => batchFirst ? given : given.Transposed(1, 0, 2);

        OnnxTensor RowsSecond(OnnxTensor ours) => batchFirst ? ours : ours.Transposed(1, 0, 2);
    });
}
