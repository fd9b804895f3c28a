// Numbers.cs: small loops over spans that several files need.

namespace HpcNet;

internal static class Numbers
{
    /// <summary>The place of the first NaN or infinity; -1: there is none.</summary>
    public static int FirstNotFinite(ReadOnlySpan<float> values)
    {
        // The sum of x * 0 is 0 exactly where all x are finite: no branch per element.
        float sum = 0f;
        foreach (float value in values)
            sum += value * 0f;
        if (sum == 0f)
            return -1;
        for (int i = 0; i < values.Length; i++)
        {
            if (!float.IsFinite(values[i]))
                return i;
        }
        return -1;
    }

    /// <summary>The place of the largest value; of equal ones, the first.</summary>
    public static int ArgMax(ReadOnlySpan<float> values)
    {
        int best = 0;
        for (int i = 1; i < values.Length; i++)
        {
            if (values[i] > values[best])
                best = i;
        }
        return best;
    }
}
