package org.execution_strategy.gateway;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.EnumDescriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.util.JsonFormat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.StreamSupport;

/** The contract's messages as JSON: field names as in the .proto, enum values with or without their prefix ("BUY"). */
final class ContractJson {
  private static final JsonFormat.Printer PRINTER =
      JsonFormat.printer().preservingProtoFieldNames().omittingInsignificantWhitespace();

  private ContractJson() {}

  static JsonElement read(String text) {
    try {
      return JsonParser.parseString(text);
    } catch (JsonParseException error) {
      throw new IllegalArgumentException(error.getMessage(), error);
    }
  }

  /** The elements of a list, or the value itself. */
  static List<JsonElement> oneOrMany(JsonElement json) {
    return json.isJsonArray()
        ? StreamSupport.stream(json.getAsJsonArray().spliterator(), false).toList()
        : List.of(json);
  }

  /** Throws IllegalArgumentException with what is wrong. */
  static <B extends Message.Builder> B merge(JsonElement json, B builder) {
    try {
      JsonFormat.parser().merge(inFull(json, builder.getDescriptorForType()).toString(), builder);
      return builder;
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalArgumentException(error.getMessage(), error);
    }
  }

  static String write(MessageOrBuilder message) {
    try {
      return PRINTER.print(message);
    } catch (InvalidProtocolBufferException error) {
      throw new IllegalStateException(error);
    }
  }

  static String quoted(String text) {
    return new JsonPrimitive(text).toString();
  }

  /** A whole file; - is standard input. */
  static String readText(String path) throws IOException {
    return path.equals("-")
        ? new String(System.in.readAllBytes(), StandardCharsets.UTF_8)
        : Files.readString(Path.of(path));
  }

  private static JsonElement inFull(JsonElement json, Descriptor kind) {
    if (!json.isJsonObject()) {
      return json;
    }
    JsonObject full = new JsonObject();
    for (Map.Entry<String, JsonElement> entry : json.getAsJsonObject().entrySet()) {
      FieldDescriptor field = field(kind, entry.getKey());
      full.add(entry.getKey(), field == null ? entry.getValue() : inFull(entry.getValue(), field));
    }
    return full;
  }

  private static JsonElement inFull(JsonElement json, FieldDescriptor field) {
    if (json.isJsonArray()) {
      JsonArray full = new JsonArray();
      json.getAsJsonArray().forEach(element -> full.add(inFull(element, field)));
      return full;
    }
    if (field.getJavaType() == FieldDescriptor.JavaType.ENUM && json.isJsonPrimitive()) {
      String name = prefix(field.getEnumType()) + json.getAsString();
      return field.getEnumType().findValueByName(name) == null ? json : new JsonPrimitive(name);
    }
    boolean isMessage = field.getJavaType() == FieldDescriptor.JavaType.MESSAGE && !field.isMapField();
    return isMessage ? inFull(json, field.getMessageType()) : json;
  }

  private static FieldDescriptor field(Descriptor kind, String name) {
    return kind.getFields().stream()
        .filter(field -> field.getName().equals(name) || field.getJsonName().equals(name))
        .findFirst()
        .orElse(null);
  }

  /** ORDER_SIDE_ for OrderSide: what the contract's enum values begin with. */
  private static String prefix(EnumDescriptor kind) {
    return kind.getName().replaceAll("(?<!^)(?=[A-Z])", "_").toUpperCase(java.util.Locale.ROOT) + "_";
  }
}
