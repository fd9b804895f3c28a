// Standardizer: what it fits, also where columns are constant or far from 0, and its JSON form.

using System.Text;
using System.Text.Json;

namespace HpcNet.Tests.Data;

public class StandardizerTests
{
    [Fact]
    public void FitsMeanAndDeviation()
    {
        var fitted = Standardizer.Fit([1, 10, 5, 3, 10, 5, 5, 10, -1], 3);
        Assert.Equal([3.0, 10, 3], fitted.Means.ToArray());
        Assert.Equal(Math.Sqrt(8.0 / 3), fitted.Scales[0], 1e-15);
        Assert.Equal(1, fitted.Scales[1]);
        float[] row = [3, 11, 3];
        fitted.Apply(row);
        Assert.Equal([0f, 1f, 0f], row);
    }

    [Fact]
    public void LargeOffsetsDoNoHarm()
    {
        var features = new float[20_000];
        for (var i = 0; i < features.Length; i += 2)
        {
            features[i] = 16_000_000 + (i / 2 % 2);
            features[i + 1] = 0.1f;
        }
        var fitted = Standardizer.Fit(features, 2);
        Assert.Equal(0.5, fitted.Scales[0], 1e-12);
        Assert.Equal((0.1f, 1.0), (fitted.Means[1], fitted.Scales[1]));
        var wide = Standardizer.Fit([float.MaxValue, float.MinValue], 1);
        Assert.Equal(float.MaxValue, wide.Scales[0], 1e25);
    }

    [Fact]
    public void StandardizesADataset()
    {
        var digits = Dataset.Digits();
        var fitted = Standardizer.Fit(digits);
        var standardized = fitted.Apply(digits);
        var again = Standardizer.Fit(standardized);
        for (var i = 0; i < 64; i++)
        {
            Assert.Equal(0, again.Means[i], 1e-6);
            Assert.Equal(1, again.Scales[i], 1e-5);
        }
        Assert.Equal(digits.Labels.ToArray(), standardized.Labels.ToArray());
        Assert.Equal(digits.ImageShape, standardized.ImageShape);
        Assert.Throws<ArgumentException>(() => Standardizer.Fit([1], 1).Apply(digits));
    }

    [Fact]
    public void JsonKeepsEveryBit()
    {
        var fitted = Standardizer.Fit(Dataset.Digits());
        using var stream = new MemoryStream();
        using (var writer = new Utf8JsonWriter(stream)) fitted.WriteTo(writer);
        var reader = new Utf8JsonReader(stream.ToArray());
        var read = Standardizer.ReadFrom(ref reader);
        Assert.Equal(JsonTokenType.EndObject, reader.TokenType);
        Assert.Equal(fitted.Means.ToArray(), read.Means.ToArray());
        Assert.Equal(fitted.Scales.ToArray(), read.Scales.ToArray());
    }

    [Theory]
    [InlineData("[]")]
    [InlineData("{}")]
    [InlineData("{\"means\":[1]}")]
    [InlineData("{\"means\":[1],\"scales\":[0]}")]
    [InlineData("{\"means\":[1],\"scales\":[-1]}")]
    [InlineData("{\"means\":[1],\"scales\":[1,2]}")]
    [InlineData("{\"means\":[],\"scales\":[]}")]
    [InlineData("{\"means\":[\"1\"],\"scales\":[1]}")]
    [InlineData("{\"means\":[1],\"means\":[1],\"scales\":[1]}")]
    [InlineData("{\"means\":[1],\"scales\":[1],\"x\":0}")]
    [InlineData("{\"means\":[1e999],\"scales\":[1]}")]
    [InlineData("{\"means\":[1],\"scales\":[1]")]
    public void BadJsonIsRefused(string json) => Assert.ThrowsAny<JsonException>(() =>
    {
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(json));
        Standardizer.ReadFrom(ref reader);
    });

    [Fact]
    public void ArgumentsAreChecked()
    {
        Assert.Throws<ArgumentException>(() => Standardizer.Fit([], 1));
        Assert.Throws<ArgumentException>(() => Standardizer.Fit([1, 2, 3], 2));
        Assert.Throws<ArgumentException>(() => Standardizer.Fit([1, float.NaN], 1));
        Assert.Throws<ArgumentException>(() => new Standardizer([1], [0]));
        Assert.Throws<ArgumentException>(() => new Standardizer([double.NaN], [1]));
        Assert.Throws<ArgumentException>(() => Standardizer.Fit([1, 2], 1).Apply(new float[2], new float[3]));
    }
}
