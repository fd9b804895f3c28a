// LossExtremeFamily.cs: losses of logits and targets of any size; loss and gradient are finite wherever the truth is.

namespace HpcNet.Tests.Cases;

internal sealed class LossExtremeFamily : IFamily
{
    public string Name => "loss_extreme";

    public void Run(ReferenceCase reference, Device device)
    {
        int[] shape = reference.Shape("y");
        CaseLoss loss = CaseLosses.Of(reference.Get("loss", ""), reference.Parameters.GetProperty("loss_params"));
        (double value, float[] gradient) = loss.Of(reference, device, reference.In("y"), shape[0], shape[1]);
        reference.Check("loss", value);
        reference.Check("d_y", gradient);
    }
}
