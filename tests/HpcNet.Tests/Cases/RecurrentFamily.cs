// RecurrentFamily.cs: recurrent networks of every kind with initial states, and the gradients of
// sum(out d_out) + sum(h_n d_hn) + sum(c_n d_cn) by everything, recorded instruction by instruction as layers do.

using HpcNet.Interop;

namespace HpcNet.Tests.Cases;

internal sealed unsafe class RecurrentFamily : IFamily
{
    public string Name => "recurrent";

    public void Run(ReferenceCase reference, Device device)
    {
        string kind = reference.Get("kind", ""), nonlinearity = reference.Get("nonlinearity", "tanh");
        hpc_cell cell = (kind, nonlinearity) switch
        {
            ("rnn", "tanh") => hpc_cell.HPC_CELL_RNN_TANH,
            ("rnn", "relu") => hpc_cell.HPC_CELL_RNN_RELU,
            ("lstm", "tanh") => hpc_cell.HPC_CELL_LSTM,
            ("gru", "tanh") => hpc_cell.HPC_CELL_GRU,
            _ => throw new NotSupportedException($"nothing here knows the recurrent kind '{kind}' with '{nonlinearity}'"),
        };
        bool bidirectional = reference.Get("bidirectional", false), batchFirst = reference.Get("batch_first", false), bias = reference.Get("bias", true);
        int layers = reference.Get("num_layers", 1), directions = bidirectional ? 2 : 1, units = reference.Shape("weight_hh_l0")[1];
        Assert.True(reference.Get("dropout", 0.0) == 0.0 && reference.Get("proj_size", 0) == 0, "dropout and projections have no reference here");
        int[] shape = reference.Shape("x");
        int steps = shape[batchFirst ? 1 : 0], rows = shape[batchFirst ? 0 : 1], features = shape[2];
        hpc_cell_info info;
        Status.Check(Native.hpc_get_cell_info((int)cell, &info));
        int width = info.gates * units;

        using var bench = new Bench(device, rows);
        Recorder recorder = bench.Recorder;
        float[] data = Rows(reference.In("x"), features);
        Value x = bench.Input(steps * features, data);
        Value dy = bench.Input(steps * directions * units, Rows(reference.In("d_out"), directions * units));
        var forward = new List<(Direction Direction, hpc_recurrent_forward Arguments)>();
        Value output = x;
        for (int layer = 0; layer < layers; layer++)
        {
            Value below = output;
            output = bench.Output(steps * directions * units);
            for (int direction = 0; direction < directions; direction++)
            {
                string suffix = $"_l{layer}{(direction == 0 ? "" : "_reverse")}";
                var d = new Direction(layer, direction, suffix, below, below.Columns / steps)
                {
                    Gates = bench.Output(steps * width),
                    Kept = info.kept != 0 ? bench.Output(steps * units) : Value.None,
                    Previous = bench.Output(steps * units),
                    Input = Weight("weight_ih" + suffix, below.Columns / steps),
                    Recurrent = Weight("weight_hh" + suffix, units),
                    H0 = State("h0", layer, direction),
                    C0 = State("c0", layer, direction),
                    Hn = bench.Output(units),
                    Cn = info.state != 0 ? bench.Output(units) : Value.None,
                };
                Value Bias(string name) => bias ? bench.Fixed(1, width, reference.In(name + suffix)) : Value.None;
                recorder.DenseForward(below, d.Input, Bias("bias_ih"), d.Gates);
                var arguments = new hpc_recurrent_forward
                {
                    cell = (int)cell,
                    reverse = direction,
                    gates = d.Gates.Id,
                    w = d.Recurrent.Id,
                    b = Bias("bias_hh").Id,
                    h0 = d.H0.Id,
                    c0 = d.C0.Id,
                    y = output.Id,
                    y_offset = (uint)(direction * units),
                    hn = d.Hn.Id,
                    cn = d.Cn.Id,
                    kept = d.Kept.Id,
                    previous = d.Previous.Id,
                };
                recorder.RecurrentForward(arguments);
                forward.Add((d, arguments));
            }
        }
        for (int layer = layers - 1; layer >= 0; layer--)
        {
            Value sum = Value.None;
            foreach (Direction d in forward.Select(f => f.Direction).Where(d => d.Layer == layer))
            {
                d.Hidden = info.direct != 0 ? bench.Output(steps * width) : Value.None;
                d.Dh0 = bench.Output(units);
                d.Dc0 = info.state != 0 ? bench.Output(units) : Value.None;
                recorder.RecurrentBackward(new hpc_recurrent_backward
                {
                    cell = (int)cell,
                    reverse = d.Number,
                    gates = d.Gates.Id,
                    w = d.Recurrent.Id,
                    c0 = d.C0.Id,
                    kept = d.Kept.Id,
                    previous = d.Previous.Id,
                    dy = dy.Id,
                    dy_offset = (uint)(d.Number * units),
                    dhn = State("d_hn", layer, d.Number).Id,
                    dcn = State("d_cn", layer, d.Number).Id,
                    dh0 = d.Dh0.Id,
                    dc0 = d.Dc0.Id,
                    hidden = d.Hidden.Id,
                });
                Value side = d.Hidden.IsNone ? d.Gates : d.Hidden;
                d.DInput = bench.FixedOutput(d.Features, width);
                d.DRecurrent = bench.FixedOutput(units, width);
                d.DBiasInput = bench.FixedOutput(1, width);
                d.DBiasRecurrent = bench.FixedOutput(1, width);
                recorder.DenseBackwardWeight(d.X, d.Gates, d.DInput);
                recorder.DenseBackwardWeight(d.Previous, side, d.DRecurrent);
                recorder.ColumnSums(d.Gates, d.DBiasInput);
                recorder.ColumnSums(side, d.DBiasRecurrent);
                Value dx = bench.Output(d.X.Columns);
                recorder.DenseBackwardInput(d.Gates, d.Input, dx);
                if (sum.IsNone)
                    sum = dx;
                else
                    recorder.AddScaled(dx, sum, 1f);
            }
            dy = sum;
        }
        bench.Run();
        if (rows == 0)
            return;

        float[] result = bench.Read(output, rows * output.Columns);
        reference.Check("out", Columns(result, directions * units));
        reference.Check("d_x", Columns(bench.Read(dy, rows * dy.Columns), features));
        reference.Check("h_n", States(d => d.Hn));
        reference.Check("d_h0", States(d => d.Dh0));
        double loss = Dot(Columns(result, directions * units), reference.In("d_out")) + Dot(States(d => d.Hn), reference.In("d_hn"));
        if (info.state != 0)
        {
            reference.Check("c_n", States(d => d.Cn));
            reference.Check("d_c0", States(d => d.Dc0));
            loss += Dot(States(d => d.Cn), reference.In("d_cn"));
        }
        reference.Check("loss", loss);
        foreach (Direction d in forward.Select(f => f.Direction))
        {
            reference.Check("d_weight_ih" + d.Suffix, Matrix.Transposed(bench.Read(d.DInput, d.Features * width), d.Features, width));
            reference.Check("d_weight_hh" + d.Suffix, Matrix.Transposed(bench.Read(d.DRecurrent, units * width), units, width));
            if (!bias)
                continue;
            reference.Check("d_bias_ih" + d.Suffix, bench.Read(d.DBiasInput, width));
            reference.Check("d_bias_hh" + d.Suffix, bench.Read(d.DBiasRecurrent, width));
        }

        // [steps, rows, columns] of the files, or [rows, steps, columns], to rows of whole sequences, and back.
        float[] Rows(float[] values, int columns) => batchFirst ? values : Exchanged(values, steps, rows, columns);

        float[] Columns(float[] values, int columns) => batchFirst ? values : Exchanged(values, rows, steps, columns);

        Value Weight(string name, int inputs) => bench.Fixed(inputs, width, Matrix.Transposed(reference.In(name), width, inputs));

        // [layers * directions, rows, units]
        Value State(string name, int layer, int direction) => reference.Has(name)
            ? bench.Input(units, reference.In(name).AsSpan((layer * directions + direction) * rows * units, rows * units).ToArray())
            : Value.None;

        float[] States(Func<Direction, Value> of) => [.. forward.SelectMany(f => bench.Read(of(f.Direction), rows * units))];
    }

    private static float[] Exchanged(float[] values, int outer, int inner, int columns)
    {
        var result = new float[values.Length];
        for (int i = 0; i < outer; i++)
        {
            for (int j = 0; j < inner; j++)
                values.AsSpan((i * inner + j) * columns, columns).CopyTo(result.AsSpan((j * outer + i) * columns));
        }
        return result;
    }

    private static double Dot(float[] a, float[] b) => a.Zip(b, (p, q) => (double)p * q).Sum();

    private sealed record Direction(int Layer, int Number, string Suffix, Value X, int Features)
    {
        public Value Gates { get; init; }

        public Value Kept { get; init; }

        public Value Previous { get; init; }

        public Value Input { get; init; }

        public Value Recurrent { get; init; }

        public Value H0 { get; init; }

        public Value C0 { get; init; }

        public Value Hn { get; init; }

        public Value Cn { get; init; }

        public Value Hidden { get; set; }

        public Value Dh0 { get; set; }

        public Value Dc0 { get; set; }

        public Value DInput { get; set; }

        public Value DRecurrent { get; set; }

        public Value DBiasInput { get; set; }

        public Value DBiasRecurrent { get; set; }
    }
}
