// OnnxOptimizers.cs: one update of parameters. Operands are R (learning rate), T (updates before this one), then all X, all G
// (gradients) and the states; results are all new X and the new states. G gets norm_coefficient X added first; X is shrunk by
// norm_coefficient_post last.

using HpcNet.Interop;
using HpcNet.Tests.Cases;

namespace HpcNet.Tests.Onnx;

internal sealed class OnnxOptimizers : IOnnxFamily
{
    private const string Domain = "ai.onnx.preview.training.";

    public IEnumerable<OnnxOperator> Operators =>
    [
        Rule("Momentum", hpc_rule.HPC_RULE_MOMENTUM, states: 1, Momentum),
        Rule("Adam", hpc_rule.HPC_RULE_ADAM, states: 2, Adam),
        // The core counts from 1 what ONNX counts from 0.
        Rule("Adagrad", hpc_rule.HPC_RULE_ADAGRAD, states: 1, (node, rate, count) =>
            ([rate, node.Float("decay_factor", 0f), 0f, node.Float("epsilon", 1e-6f)], (ulong)count + 1)),
    ];

    // V' = alpha V + beta G with beta = 1 in the first update. The core's first step would put the gradient in the velocity's place,
    // whatever V is; from the second step on both mean the same.
    private static (Scalar[] Hyperparameters, ulong Step) Momentum(OnnxNode node, float rate, long count)
    {
        float alpha = node.Float("alpha", 0f), beta = count > 0 ? node.Float("beta", 0f) : 1f;
        string mode = node.Text("mode", "");
        Assert.Contains(mode, new[] { "standard", "nesterov" });
        return ([rate, alpha, 1f - beta, mode == "nesterov" ? 1f : 0f], 2);
    }

    // X' = X - R' V' / (sqrt(H') + epsilon) with R' = R sqrt(1 - beta^T) / (1 - alpha^T), and R' = R while T = 0. The core divides by
    // sqrt(H') / s + e with s = sqrt(1 - beta^t) instead, so that its epsilon is ONNX's over s; where T = 0 the rate undoes the
    // corrections of its first step.
    private static (Scalar[] Hyperparameters, ulong Step) Adam(OnnxNode node, float rate, long count)
    {
        float alpha = node.Float("alpha", 0.9f), beta = node.Float("beta", 0.999f);
        long step = Math.Max(1, count);
        double root = Math.Sqrt(1 - Math.Pow(beta, step));
        double learningRate = count > 0 ? rate : rate * (1.0 - alpha) / root;
        return ([(float)learningRate, alpha, beta, (float)(node.Float("epsilon", 1e-6f) / root)], (ulong)step);
    }

    private static OnnxOperator Rule(
        string name, hpc_rule rule, int states, Func<OnnxNode, float, long, (Scalar[] Hyperparameters, ulong Step)> hyperparameters) =>
        new(Domain + name, call =>
        {
            var (values, step) = hyperparameters(call.Node, call.Input(0).Floats[0], call.Input(1).Integers[0]);
            float decay = call.Node.Float("norm_coefficient", 0f), shrink = call.Node.Float("norm_coefficient_post", 0f);
            int count = (call.Inputs - 2) / (2 + states);
            var results = new OnnxTensor[count * (1 + states)];
            for (int i = 0; i < count; i++)
            {
                OnnxTensor x = call.Input(2 + i);
                using var bench = new Bench(call.Device, 1);
                Value parameters = bench.Fixed(1, x.Count, x.Floats);
                Value gradients = bench.Fixed(1, x.Count, call.Input(2 + count + i).Floats, hpc_value_kind.HPC_VALUE_GRADIENT);
                Value[] kept = [.. Enumerable.Range(2, states).Select(s => bench.Fixed(
                    1, x.Count, call.Input(2 + s * count + i).Floats, hpc_value_kind.HPC_VALUE_OPTIMIZER_STATE))];
                if (decay != 0f)
                    bench.Recorder.AddScaled(parameters, gradients, decay);
                bench.Recorder.Update((int)rule, parameters, gradients, kept, values, step);
                if (shrink != 0f)
                    bench.Recorder.Scale(parameters, 1f - shrink);
                bench.Run();
                results[i] = new OnnxTensor(x.Shape, bench.Read(parameters, x.Count));
                for (int s = 0; s < states; s++)
                    results[(1 + s) * count + i] = new OnnxTensor(x.Shape, bench.Read(kept[s], x.Count));
            }
            return results;
        });
}
