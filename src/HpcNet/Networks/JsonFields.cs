// JsonFields.cs: reads members of the JSON that a model file carries, strictly: a member that is missing, of another type or
// out of range is told by name.

using System.Text.Json;

namespace HpcNet;

internal static class JsonFields
{
    public static JsonElement Required(JsonElement json, string name, JsonValueKind kind) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out JsonElement value) && value.ValueKind == kind
            ? value
            : throw Bad(name, $"{(kind == JsonValueKind.Object ? "an" : "a")} {kind.ToString().ToLowerInvariant()}");

    public static JsonElement? Optional(JsonElement json, string name, JsonValueKind kind)
    {
        if (!json.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            return null;
        return value.ValueKind == kind ? value : throw Bad(name, $"a {kind.ToString().ToLowerInvariant()}");
    }

    public static int Int(JsonElement json, string name) =>
        Required(json, name, JsonValueKind.Number).TryGetInt32(out int value) ? value : throw Bad(name, "a whole number");

    public static float Float(JsonElement json, string name) =>
        Required(json, name, JsonValueKind.Number).TryGetSingle(out float value) && float.IsFinite(value)
            ? value
            : throw Bad(name, "a number that single precision holds");

    public static float Float(JsonElement json, string name, float absent) =>
        Optional(json, name, JsonValueKind.Number) is null ? absent : Float(json, name);

    public static bool Bool(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out JsonElement value)
        && value.ValueKind is JsonValueKind.True or JsonValueKind.False
            ? value.GetBoolean()
            : throw Bad(name, "true or false");

    public static string String(JsonElement json, string name) => Required(json, name, JsonValueKind.String).GetString()!;

    public static Activation Activation(JsonElement json, string name)
    {
        string text = String(json, name);
        return HpcNet.Activation.Find(text) ?? throw new DataFormatException(
            $"there is no activation {Excerpt.Of(text)}; this version has {string.Join(", ", HpcNet.Activation.All.Select(a => a.Name))}.");
    }

    public static Shape Shape(JsonElement json, string name)
    {
        JsonElement dimensions = Required(json, name, JsonValueKind.Array);
        return new Shape([.. dimensions.EnumerateArray().Select(d =>
            d.ValueKind == JsonValueKind.Number && d.TryGetInt32(out int value) ? value : throw Bad(name, "whole numbers"))]);
    }

    public static void Write(Utf8JsonWriter json, string name, Shape shape)
    {
        json.WriteStartArray(name);
        foreach (int dimension in shape.Dimensions)
            json.WriteNumberValue(dimension);
        json.WriteEndArray();
    }

    private static DataFormatException Bad(string name, string expected) =>
        new($"the member '{name}' of the structure is missing or wrong; expected {expected}.");
}
