// Schedule.cs: how the learning rate (and with some the momentum) moves over the steps. Plain managed functions; the results go to
// the device in slots. A schedule is a list of pieces, each of which begins at a step; Then appends pieces. What a schedule
// remembers (a plateau) is in ScheduleState, one for each trainer.

namespace HpcNet;

/// <summary>How the height of a cyclic schedule changes over the cycles.</summary>
public enum CyclicMode
{
    /// <summary>It does not.</summary>
    Triangular,

    /// <summary>It halves from cycle to cycle.</summary>
    Triangular2,

    /// <summary>It is multiplied by gamma at each step.</summary>
    ExponentialRange,
}

/// <summary>
/// A factor on the optimizer's learning rate as a function of the step (0 for the first one). One object may serve several
/// trainers at once.
/// </summary>
public sealed class Schedule
{
    private readonly SchedulePiece[] _pieces;
    private readonly string _text;

    private Schedule(SchedulePiece[] pieces, string text)
    {
        _pieces = pieces;
        _text = text;
    }

    /// <summary>Always 1.</summary>
    public static Schedule Constant { get; } = Of(static _ => 1.0, "Constant");

    /// <summary>Whether the schedule moves the momentum, too.</summary>
    public bool MovesMomentum => Array.Exists(_pieces, p => p.Momentum is not null);

    /// <summary>One factor for a number of steps, and 1 afterwards.</summary>
    /// <param name="factor">The factor, finite, 0 or more.</param>
    /// <param name="steps">Steps with the factor, at least 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule ConstantFor(float factor, int steps)
    {
        Ensure.FiniteNotNegative(factor, nameof(factor));
        Ensure.Positive(steps, nameof(steps));
        return Of(step => step < steps ? factor : 1.0, FormattableString.Invariant($"ConstantFor({factor}, {steps})"));
    }

    /// <summary>Multiplies by <paramref name="factor"/> each <paramref name="every"/> steps: factor^⌊step / every⌋.</summary>
    /// <param name="every">Steps between two changes, at least 1.</param>
    /// <param name="factor">The factor, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule StepDecay(int every, float factor)
    {
        Ensure.Positive(every, nameof(every));
        Ensure.FinitePositive(factor, nameof(factor));
        return Of(step => Math.Pow(factor, step / every), FormattableString.Invariant($"StepDecay({every}, {factor})"));
    }

    /// <summary>Multiplies by <paramref name="factor"/> at each milestone.</summary>
    /// <param name="factor">The factor, finite and above 0.</param>
    /// <param name="milestones">The steps at which it does; 0 or more, in any order; one that stands twice counts twice.</param>
    /// <exception cref="ArgumentNullException"><paramref name="milestones"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule MultiStepDecay(float factor, params int[] milestones)
    {
        Ensure.FinitePositive(factor, nameof(factor));
        int[] sorted = [.. Ensure.NotNull(milestones).Order()];
        if (sorted.Length > 0)
            Ensure.NotNegative(sorted[0], nameof(milestones));
        return Of(
            step =>
            {
                int passed = 0;
                while (passed < sorted.Length && sorted[passed] <= step)
                    passed++;
                return Math.Pow(factor, passed);
            },
            FormattableString.Invariant($"MultiStepDecay({factor}, {string.Join(", ", sorted)})"));
    }

    /// <summary>Multiplies by <paramref name="factor"/> at each step: factor^step.</summary>
    /// <param name="factor">The factor, finite and above 0.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="factor"/> is 0, negative, infinite or NaN.</exception>
    public static Schedule ExponentialDecay(float factor)
    {
        Ensure.FinitePositive(factor, nameof(factor));
        return Of(step => Math.Pow(factor, step), FormattableString.Invariant($"ExponentialDecay({factor})"));
    }

    /// <summary>Falls from 1 to <paramref name="floor"/> as (1 − step / steps)^power, and stays there.</summary>
    /// <param name="steps">Steps until the floor, at least 1.</param>
    /// <param name="power">The power, finite and above 0; 1 is a line.</param>
    /// <param name="floor">The last factor, 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule PolynomialDecay(int steps, float power = 1f, float floor = 0f)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.FinitePositive(power, nameof(power));
        Ensure.UnitInterval(floor, nameof(floor));
        return Of(
            step => floor + (1.0 - floor) * Math.Pow(1.0 - (double)Math.Min(step, steps) / steps, power),
            FormattableString.Invariant($"PolynomialDecay({steps}, {power}, floor {floor})"));
    }

    /// <summary>Goes along a line from one factor to another, and stays there.</summary>
    /// <param name="steps">Steps of the line, at least 1.</param>
    /// <param name="start">The first factor, finite, 0 or more.</param>
    /// <param name="end">The last factor, finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule Linear(int steps, float start, float end)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.FiniteNotNegative(start, nameof(start));
        Ensure.FiniteNotNegative(end, nameof(end));
        return Of(
            step => start + ((double)end - start) * Math.Min(step, steps) / steps,
            FormattableString.Invariant($"Linear({steps}, {start}, {end})"));
    }

    /// <summary>Rises along a line from <paramref name="start"/> to 1, which it has at step <paramref name="steps"/>, and stays there.</summary>
    /// <param name="steps">Steps of rising, at least 1.</param>
    /// <param name="start">The first factor, finite, above 0 or there will be no first step.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule LinearWarmup(int steps, float start = 0.1f) => Linear(steps, start, 1f);

    /// <summary>
    /// Falls along half a cosine from 1 to <paramref name="floor"/> over <paramref name="steps"/> steps and stays there, after
    /// rising from 0 along a line over <paramref name="warmup"/> steps (Loshchilov and Hutter 2017, without restarts).
    /// </summary>
    /// <param name="steps">Steps of the whole curve with the warm-up, at least 1.</param>
    /// <param name="floor">The last factor, 0 to 1.</param>
    /// <param name="warmup">Steps of rising at the front, 0 or more and fewer than <paramref name="steps"/>.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule CosineDecay(int steps, float floor = 0f, int warmup = 0)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.UnitInterval(floor, nameof(floor));
        Ensure.NotNegative(warmup, nameof(warmup));
        if (warmup >= steps)
            throw new ArgumentOutOfRangeException(nameof(warmup), warmup, $"warmup is {warmup}; expected fewer than the {steps} steps.");
        return Of(
            step => step < warmup
                ? (step + 1.0) / (warmup + 1.0)
                : HalfCosine(floor, Math.Min(1.0, (double)(step - warmup) / (steps - warmup))),
            FormattableString.Invariant($"CosineDecay({steps}, floor {floor}, warmup {warmup})"));
    }

    /// <summary>
    /// Swings along a cosine: from 1 to <paramref name="floor"/> in <paramref name="steps"/> steps, back to 1 in as many, and so on. For a
    /// curve that stays down: <see cref="CosineDecay"/>; for one that jumps up: <see cref="CosineRestarts"/>.
    /// </summary>
    /// <param name="steps">Steps of half a swing, at least 1.</param>
    /// <param name="floor">The lowest factor, 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule CosineAnnealing(int steps, float floor = 0f)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.UnitInterval(floor, nameof(floor));
        return Of(
            step => HalfCosine(floor, (double)(step % (2L * steps)) / steps),
            FormattableString.Invariant($"CosineAnnealing({steps}, floor {floor})"));
    }

    /// <summary>Falls along half a cosine, then begins again at 1 (Loshchilov and Hutter 2017).</summary>
    /// <param name="first">Steps of the first fall, at least 1.</param>
    /// <param name="growth">Each fall lasts this many times as long as the one before, at least 1.</param>
    /// <param name="floor">The lowest factor, 0 to 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule CosineRestarts(int first, int growth = 1, float floor = 0f)
    {
        Ensure.Positive(first, nameof(first));
        Ensure.Positive(growth, nameof(growth));
        Ensure.UnitInterval(floor, nameof(floor));
        return Of(
            step =>
            {
                long length = first, since = step;
                if (growth == 1)
                {
                    since %= length;
                }
                else
                {
                    while (since >= length)
                    {
                        since -= length;
                        length *= growth;
                    }
                }
                return HalfCosine(floor, (double)since / length);
            },
            FormattableString.Invariant($"CosineRestarts({first}, growth {growth}, floor {floor})"));
    }

    /// <summary>
    /// One cycle (Smith and Topin 2018): from 1 / divisor up to 1, the optimizer's learning rate being the peak, and down to
    /// 1 / (divisor · finalDivisor); the momentum goes the other way. In three phases it falls as it rose, and then to the end.
    /// </summary>
    /// <param name="steps">Steps of the cycle, at least 2; the last factor stays.</param>
    /// <param name="rising">The share of the steps in which the rate rises, above 0 and below 1, in three phases at most ½.</param>
    /// <param name="linear">Whether it goes along lines instead of half cosines.</param>
    /// <param name="divisor">The peak over the beginning, finite and above 0.</param>
    /// <param name="finalDivisor">The beginning over the end, finite and above 0.</param>
    /// <param name="threePhases">Whether the way down is as long as the way up.</param>
    /// <param name="momentum">The momentum at the peak and at the ends, each 0 ≤ m &lt; 1, for example (0.85f, 0.95f); null leaves it alone.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule OneCycle(
        int steps, float rising = 0.3f, bool linear = false, float divisor = 25f, float finalDivisor = 1e4f, bool threePhases = false,
        (float Low, float High)? momentum = null)
    {
        if (steps < 2)
            throw new ArgumentOutOfRangeException(nameof(steps), steps, $"steps is {steps}; expected at least 2.");
        if (!(rising > 0f && (threePhases ? rising <= 0.5f : rising < 1f)))
        {
            throw new ArgumentOutOfRangeException(
                nameof(rising), rising, $"rising is {rising}; expected more than 0 and {(threePhases ? "at most a half" : "less than 1")}.");
        }
        Ensure.FinitePositive(divisor, nameof(divisor));
        Ensure.FinitePositive(finalDivisor, nameof(finalDivisor));
        CheckMomentum(momentum);

        // The end of each phase, and the height of rate (0 the beginning, 1 the peak, -1 the end) and momentum there.
        double written = Written(rising);
        double up = written * steps - 1.0;
        (double End, double Rate)[] phases = threePhases
            ? [(up, 1.0), (2.0 * written * steps - 2.0, 1.0 / divisor), (steps - 1.0, 1.0 / divisor / finalDivisor)]
            : [(up, 1.0), (steps - 1.0, 1.0 / divisor / finalDivisor)];
        double At(long step, double first, Func<int, double> last)
        {
            double begin = 0.0, from = first;
            for (int i = 0; i < phases.Length; i++)
            {
                double to = last(i);
                if (step <= phases[i].End || i == phases.Length - 1)
                {
                    double length = phases[i].End - begin;
                    double done = length > 0.0 ? Math.Min(1.0, (step - begin) / length) : 1.0;
                    return linear ? from + (to - from) * done : to + (from - to) * 0.5 * (1.0 + Math.Cos(Math.PI * done));
                }
                (begin, from) = (phases[i].End, to);
            }
            return from;
        }
        Func<int, double> rate = phase => phases[phase].Rate;
        Func<int, double> low = phase => phase == 0 ? momentum!.Value.Low : momentum!.Value.High;
        return Of(
            step => At(step, 1.0 / divisor, rate),
            FormattableString.Invariant($"OneCycle({steps}, rising {rising}{(linear ? ", linear" : "")}{(threePhases ? ", three phases" : "")})"),
            momentum is { } range ? step => At(step, range.High, low) : null);
    }

    /// <summary>
    /// Goes up and down along lines between 1 and <paramref name="peak"/> (Smith 2017); the momentum goes the other way.
    /// </summary>
    /// <param name="stepsUp">Steps of rising, at least 1.</param>
    /// <param name="peak">The highest factor, finite, 1 or more: the optimizer's learning rate is the lowest.</param>
    /// <param name="stepsDown">Steps of falling, at least 1; null: as many as of rising.</param>
    /// <param name="mode">How the height changes over the cycles.</param>
    /// <param name="gamma">The factor of <see cref="CyclicMode.ExponentialRange"/>, above 0 and at most 1.</param>
    /// <param name="momentum">The momentum at the peak and at the foot, each 0 ≤ m &lt; 1, for example (0.8f, 0.9f); null leaves it alone.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule Cyclic(
        int stepsUp, float peak, int? stepsDown = null, CyclicMode mode = CyclicMode.Triangular, float gamma = 1f,
        (float Low, float High)? momentum = null)
    {
        Ensure.Positive(stepsUp, nameof(stepsUp));
        int down = Ensure.Positive(stepsDown ?? stepsUp, nameof(stepsDown));
        if (!(peak >= 1f && float.IsFinite(peak)))
            throw new ArgumentOutOfRangeException(nameof(peak), peak, $"peak is {peak}; expected a finite number of 1 or more.");
        if (!(gamma > 0f && gamma <= 1f))
            throw new ArgumentOutOfRangeException(nameof(gamma), gamma, $"gamma is {gamma}; expected more than 0 and at most 1.");
        if (!Enum.IsDefined(mode))
            throw new ArgumentOutOfRangeException(nameof(mode), mode, $"mode is {(int)mode}; there is no such mode.");
        CheckMomentum(momentum);
        double written = Written(gamma);
        double Height(long step)
        {
            long length = (long)stepsUp + down, cycle = step / length, since = step % length;
            double height = since <= stepsUp ? (double)since / stepsUp : (double)(length - since) / down;
            return mode switch
            {
                CyclicMode.Triangular => height,
                CyclicMode.Triangular2 => height * Math.Pow(0.5, cycle),
                _ => height * Math.Pow(written, step),
            };
        }
        return Of(
            step => 1.0 + (peak - 1.0) * Height(step),
            FormattableString.Invariant($"Cyclic({stepsUp}, peak {peak}, down {down}, {mode})"),
            momentum is { } range ? step => range.High - ((double)range.High - range.Low) * Height(step) : null);
    }

    /// <summary>
    /// Multiplies the rate by <paramref name="factor"/> when the watched number (<see cref="Trainer.ReportMetric"/>; in a fit the
    /// validation loss of the epoch) has not become better for more than <paramref name="patience"/> reports.
    /// </summary>
    /// <param name="factor">Above 0 and below 1.</param>
    /// <param name="patience">Reports without improvement that are borne, 0 or more.</param>
    /// <param name="threshold">How much better a number must be to count as better; finite, 0 or more.</param>
    /// <param name="absoluteThreshold">Whether the threshold is a difference instead of a share of the best number.</param>
    /// <param name="cooldown">Reports after a reduction that do not count, 0 or more.</param>
    /// <param name="floor">The lowest factor, 0 to 1.</param>
    /// <param name="largerIsBetter">Whether the number is to grow, as an accuracy is.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public static Schedule ReduceOnPlateau(
        float factor = 0.1f, int patience = 10, float threshold = 1e-4f, bool absoluteThreshold = false, int cooldown = 0, float floor = 0f,
        bool largerIsBetter = false)
    {
        if (!(factor > 0f && factor < 1f))
            throw new ArgumentOutOfRangeException(nameof(factor), factor, $"factor is {factor}; expected more than 0 and less than 1.");
        Ensure.NotNegative(patience, nameof(patience));
        Ensure.FiniteNotNegative(threshold, nameof(threshold));
        Ensure.NotNegative(cooldown, nameof(cooldown));
        Ensure.UnitInterval(floor, nameof(floor));
        var plateau = new PlateauRule(
            Written(factor), patience, Written(threshold), absoluteThreshold, cooldown, floor, largerIsBetter);
        return new(
            [new SchedulePiece(0, static _ => 1.0, null, plateau)],
            FormattableString.Invariant($"ReduceOnPlateau({factor}, patience {patience})"));
    }

    /// <summary>Any function of the step.</summary>
    /// <param name="factor">From the step (0 for the first) to a factor, finite and 0 or more.</param>
    /// <exception cref="ArgumentNullException"><paramref name="factor"/> is null.</exception>
    public static Schedule Custom(Func<long, float> factor)
    {
        Ensure.NotNull(factor);
        return Of(step => factor(step), "Custom");
    }

    /// <summary>This schedule for a number of steps, then another one from its beginning: a warm-up, then a decay.</summary>
    /// <param name="steps">Steps of this schedule, at least 1.</param>
    /// <param name="next">What follows; it counts its steps from 0.</param>
    /// <exception cref="ArgumentNullException"><paramref name="next"/> is null.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="steps"/> is less than 1.</exception>
    public Schedule Then(int steps, Schedule next)
    {
        Ensure.Positive(steps, nameof(steps));
        Ensure.NotNull(next);
        return new(
            [.. _pieces.Where(p => p.Start < steps), .. next._pieces.Select(p => p with { Start = p.Start + steps })],
            FormattableString.Invariant($"{_text} for {steps}, then {next._text}"));
    }

    /// <summary>The factor at a step, without what a plateau took away.</summary>
    /// <param name="step">The step, 0 for the first.</param>
    /// <exception cref="InvalidOperationException">A custom function gave a negative or non-finite factor.</exception>
    public float FactorAt(long step) => (float)Factor(step);

    /// <summary>The momentum at a step; null where the schedule leaves it alone.</summary>
    /// <param name="step">The step, 0 for the first.</param>
    public float? MomentumAt(long step)
    {
        SchedulePiece piece = _pieces[PieceAt(step)];
        return piece.Momentum is null ? null : (float)piece.Momentum(step - piece.Start);
    }

    /// <summary>The schedule as it would be written.</summary>
    public override string ToString() => _text;

    /// <summary>What one trainer remembers of it.</summary>
    internal ScheduleState Begin() => new(this, Array.ConvertAll(_pieces, p => p.Plateau is null ? null : new PlateauState(p.Plateau)));

    internal int PieceAt(long step)
    {
        int piece = _pieces.Length - 1;
        while (piece > 0 && _pieces[piece].Start > step)
            piece--;
        return piece;
    }

    internal double Factor(long step)
    {
        SchedulePiece piece = _pieces[PieceAt(step)];
        double factor = piece.Factor(step - piece.Start);
        return factor >= 0.0 && float.IsFinite((float)factor)
            ? factor
            : throw new InvalidOperationException($"The schedule gave the factor {factor} at step {step}; expected a finite number of 0 or more.");
    }

    private static Schedule Of(Func<long, double> factor, string text, Func<long, double>? momentum = null) =>
        new([new SchedulePiece(0, factor, momentum, null)], text);

    // From 1 at done = 0 to the floor at done = 1.
    private static double HalfCosine(double floor, double done) => floor + (1.0 - floor) * 0.5 * (1.0 + Math.Cos(Math.PI * done));

    // 0.3f is meant to be 0.3: a phase that ends at 0.3 of 50 steps ends at 15, not a millionth behind it.
    private static double Written(float value) => (double)(decimal)value;

    private static void CheckMomentum((float Low, float High)? momentum)
    {
        if (momentum is not { } range)
            return;
        Ensure.BelowOne(range.Low, nameof(momentum));
        Ensure.BelowOne(range.High, nameof(momentum));
        if (range.Low > range.High)
        {
            throw new ArgumentOutOfRangeException(
                nameof(momentum), range, $"momentum is {range.Low} to {range.High}; expected the lower one first.");
        }
    }
}

/// <summary>A part of a schedule; its functions count steps from its start.</summary>
internal sealed record SchedulePiece(long Start, Func<long, double> Factor, Func<long, double>? Momentum, PlateauRule? Plateau);

/// <summary>When a plateau is one, and what is done then.</summary>
internal sealed record PlateauRule(
    double Factor, int Patience, double Threshold, bool Absolute, int Cooldown, double Floor, bool LargerIsBetter)
{
    public bool Better(double value, double best)
    {
        if (LargerIsBetter)
            return value > (Absolute ? best + Threshold : best * (1.0 + Threshold));
        return value < (Absolute ? best - Threshold : best * (1.0 - Threshold));
    }
}

/// <summary>What was seen of a plateau.</summary>
internal sealed class PlateauState(PlateauRule rule)
{
    private double _best = rule.LargerIsBetter ? double.NegativeInfinity : double.PositiveInfinity;
    private int _bad;
    private int _cooling;

    public double Factor { get; private set; } = 1.0;

    public void Report(double value)
    {
        if (rule.Better(value, _best))
            (_best, _bad) = (value, 0);
        else
            _bad++;
        if (_cooling > 0)
        {
            _cooling--;
            _bad = 0;
        }
        if (_bad <= rule.Patience)
            return;
        Factor = Math.Max(Factor * rule.Factor, Math.Min(Factor, rule.Floor));
        _cooling = rule.Cooldown;
        _bad = 0;
    }
}

/// <summary>A schedule in use by one trainer.</summary>
internal sealed class ScheduleState(Schedule schedule, PlateauState?[] plateaus)
{
    public double Factor(long step) => schedule.Factor(step) * (plateaus[schedule.PieceAt(step)]?.Factor ?? 1.0);

    public float? Momentum(long step) => schedule.MomentumAt(step);

    public void Report(double value, long step) => plateaus[schedule.PieceAt(step)]?.Report(value);
}

/// <summary>
/// Stops a fit when the watched loss (the validation loss; without validation data the training loss) has not become smaller
/// for <see cref="Patience"/> epochs. The best parameters are kept on the device and restored when the fit ends.
/// </summary>
public sealed record EarlyStopping
{
    /// <summary>Describes early stopping.</summary>
    /// <param name="patience">Epochs without improvement before the fit stops, at least 1.</param>
    /// <param name="minDelta">How much smaller a loss must be to count as an improvement; finite, 0 or more.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range or NaN.</exception>
    public EarlyStopping(int patience, float minDelta = 0f)
    {
        Patience = Ensure.Positive(patience, nameof(patience));
        MinDelta = Ensure.FiniteNotNegative(minDelta, nameof(minDelta));
    }

    /// <summary>Epochs without improvement before the fit stops.</summary>
    public int Patience { get; }

    /// <summary>How much smaller a loss must be to count as an improvement.</summary>
    public float MinDelta { get; }
}
