// StochasticLayer.cs: what Dropout, AlphaDropout and GaussianNoise share: outside training, or with a strength of 0, they hand on their
// input and record nothing; random numbers come from the counter-based generator, so that backward makes the same ones again.

namespace HpcNet;

/// <summary>A layer that changes its input at random while training; in evaluation and prediction it does nothing.</summary>
public abstract record StochasticLayer : Layer
{
    private protected StochasticLayer()
    {
    }

    /// <summary>The rate or deviation; 0: the layer does nothing.</summary>
    private protected abstract float Strength { get; }

    /// <summary>Records y from x.</summary>
    private protected abstract void RecordNoise(NodeRecording node, Value x, Value y);

    /// <summary>Records the gradient of the input and returns it.</summary>
    private protected abstract Value RecordGradient(NodeRecording node, Value dy);

    internal sealed override Shape OutputShape(Shape input, string name) => input;

    internal sealed override bool IsIdentity(bool training) => !training || Strength == 0f;

    internal sealed override Value RecordForward(NodeRecording node, Value x)
    {
        if (IsIdentity(node.Training))
            return x;
        Value y = node.Output(node.InputColumns);
        RecordNoise(node, x, y);
        return y;
    }

    internal sealed override Value RecordBackward(NodeRecording node, Value dy)
    {
        if (!node.NeedsInputGradient)
            return Value.None;
        return IsIdentity(node.Training) ? dy : RecordGradient(node, dy);
    }
}
