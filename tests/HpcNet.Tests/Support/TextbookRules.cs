// TextbookRules.cs: the optimizers' rules as papers and PyTorch's documentation have them, in double precision.

namespace HpcNet.Tests;

internal static class TextbookRules
{
    /// <summary>One step of one parameter: First, Second and Third are the rule's state.</summary>
    public static void Step(Optimizer optimizer, ReferenceBlock b, int i, double rate, double g, int step)
    {
        switch (optimizer)
        {
            case Adam adam:
                b.First[i] = adam.Beta1 * b.First[i] + (1 - adam.Beta1) * g;
                b.Second[i] = adam.Beta2 * b.Second[i] + (1 - adam.Beta2) * g * g;
                b.Third[i] = adam.AmsGrad ? Math.Max(b.Third[i], b.Second[i]) : b.Second[i];
                b.Values[i] -= rate * b.First[i] / (1 - Math.Pow(adam.Beta1, step))
                    / (Math.Sqrt(b.Third[i] / (1 - Math.Pow(adam.Beta2, step))) + adam.Epsilon);
                break;
            case Adagrad adagrad:
                if (step == 1)
                    b.First[i] = adagrad.InitialAccumulator;
                b.First[i] += g * g;
                b.Values[i] -= rate / (1 + (step - 1) * (double)adagrad.LearningRateDecay) * g / (Math.Sqrt(b.First[i]) + adagrad.Epsilon);
                break;
            case RmsProp rms:
                b.First[i] = rms.Alpha * b.First[i] + (1 - rms.Alpha) * g * g;
                b.Second[i] = rms.Centered ? rms.Alpha * b.Second[i] + (1 - rms.Alpha) * g : 0;
                b.Third[i] = rms.Momentum * b.Third[i] + g / (Math.Sqrt(b.First[i] - b.Second[i] * b.Second[i]) + rms.Epsilon);
                b.Values[i] -= rate * b.Third[i];
                break;
            case Adadelta adadelta:
                b.First[i] = adadelta.Rho * b.First[i] + (1 - adadelta.Rho) * g * g;
                double delta = Math.Sqrt(b.Second[i] + adadelta.Epsilon) / Math.Sqrt(b.First[i] + adadelta.Epsilon) * g;
                b.Second[i] = adadelta.Rho * b.Second[i] + (1 - adadelta.Rho) * delta * delta;
                b.Values[i] -= rate * delta;
                break;
            case Adamax adamax:
                b.First[i] = adamax.Beta1 * b.First[i] + (1 - adamax.Beta1) * g;
                b.Second[i] = Math.Max(adamax.Beta2 * b.Second[i], Math.Abs(g) + adamax.Epsilon);
                b.Values[i] -= rate / (1 - Math.Pow(adamax.Beta1, step)) * b.First[i] / b.Second[i];
                break;
            case NAdam nadam:
                double Mu(int t) => nadam.Beta1 * (1 - 0.5 * Math.Pow(0.96, t * (double)nadam.MomentumDecay));
                double product = Enumerable.Range(1, step).Aggregate(1.0, (p, t) => p * Mu(t));
                b.First[i] = nadam.Beta1 * b.First[i] + (1 - nadam.Beta1) * g;
                b.Second[i] = nadam.Beta2 * b.Second[i] + (1 - nadam.Beta2) * g * g;
                double root = Math.Sqrt(b.Second[i] / (1 - Math.Pow(nadam.Beta2, step))) + nadam.Epsilon;
                b.Values[i] -= rate * ((1 - Mu(step)) / (1 - product) * g + Mu(step + 1) / (1 - product * Mu(step + 1)) * b.First[i]) / root;
                break;
            case RAdam radam:
                b.First[i] = radam.Beta1 * b.First[i] + (1 - radam.Beta1) * g;
                b.Second[i] = radam.Beta2 * b.Second[i] + (1 - radam.Beta2) * g * g;
                double power = Math.Pow(radam.Beta2, step), most = 2 / (1 - (double)radam.Beta2) - 1, rho = most - 2 * step * power / (1 - power);
                double length = rate * b.First[i] / (1 - Math.Pow(radam.Beta1, step));
                if (rho > 5)
                {
                    length *= Math.Sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
                        * Math.Sqrt(1 - power) / (Math.Sqrt(b.Second[i]) + radam.Epsilon);
                }
                b.Values[i] -= length;
                break;
            case Rprop rprop:
                if (step == 1)
                    b.Second[i] = rate;
                double agreement = g * b.First[i];
                double factor = agreement > 0 ? rprop.EtaPlus : agreement < 0 ? rprop.EtaMinus : 1;
                b.Second[i] = Math.Clamp(b.Second[i] * factor, rprop.SmallestStep, rprop.LargestStep);
                b.First[i] = agreement < 0 ? 0 : g;
                b.Values[i] -= Math.Sign(b.First[i]) * b.Second[i];
                break;
            case AveragedSgd averaged:
                double eta = rate / Math.Pow(1 + averaged.Lambda * rate * (step - 1), averaged.Alpha);
                b.Values[i] = b.Values[i] * (1 - averaged.Lambda * eta) - eta * g;
                b.First[i] += (b.Values[i] - b.First[i]) / Math.Max(1, step - 1 - averaged.Start);
                break;
            default:
                throw new NotSupportedException(optimizer.ToString());
        }
    }
}
