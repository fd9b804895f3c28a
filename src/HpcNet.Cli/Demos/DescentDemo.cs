// Gradient descent: the same function and the same start as in the ascent, against the derivative.

namespace HpcNet.Cli.Demos;

internal static class DescentDemo
{
    public static DemoResult Run(Device device)
    {
        DescentResult way = new GradientDescent(learningRate: 0.05).Minimize(Cubic.Of, start: 0);
        DemoResult result = AscentDemo.Show(way, "minimum");
        result.Picture = AscentDemo.Draw(way, "Gradient descent on 5x³ + 2x² − 3x");
        return result;
    }
}
