// OptimizersFamily.cs: the parameters after each of a number of steps with given gradients, for every rule.

namespace HpcNet.Tests.Cases;

internal sealed class OptimizersFamily : IFamily
{
    public string Name => "optimizers";

    public unsafe void Run(ReferenceCase reference, Device device)
    {
        int[] shape = reference.Shape("W0");
        int outputs = shape[0], inputs = shape[1];
        Optimizer optimizer = CaseOptimizers.Of(reference.Get("optimizer", ""), reference.Parameters.GetProperty("hyper"));
        using var network = new Network(device, inputs, new Dense(outputs) { Name = "layer" });
        network.SetParameter("layer.weight", Matrix.Transposed(reference.In("W0"), outputs, inputs));
        network.SetParameter("layer.bias", reference.In("b0"));
        using var state = new OptimizerState(network, optimizer);
        using var program = new TrainingProgram(network, optimizer, state);
        int weightAt = network.Graph.Find("layer.weight")!.Offset, biasAt = network.Graph.Find("layer.bias")!.Offset;
        int steps = reference.Get("steps", 0), size = inputs * outputs;
        float[] weightGradients = reference.In("gW"), biasGradients = reference.In("gb");
        var weights = new float[steps * size];
        var biases = new float[steps * outputs];
        var weight = new float[size];
        var cells = new ulong[program.SlotCount];
        for (int step = 0; step < steps; step++)
        {
            float[] gradient = Matrix.Transposed(weightGradients[(step * size)..((step + 1) * size)], outputs, inputs);
            state.Gradients.Write<float>(gradient, weightAt);
            state.Gradients.Write<float>(biasGradients.AsSpan(step * outputs, outputs), biasAt);
            program.FillSlots(cells, 0, optimizer.LearningRate, (ulong)step + 1, (ulong)step, 0f);
            program.Native.Run(1, cells, null);
            network.GetParameter("layer.weight", weight);
            Matrix.Transposed(weight, inputs, outputs).CopyTo(weights, step * size);
            network.GetParameter("layer.bias", biases.AsSpan(step * outputs, outputs));
        }
        reference.Check("W", weights);
        reference.Check("b", biases);
    }
}
