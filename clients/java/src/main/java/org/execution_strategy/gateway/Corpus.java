package org.execution_strategy.gateway;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.protobuf.Message;
import io.grpc.StatusRuntimeException;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.PerformanceRequest;
import org.execution_strategy.v1.ReportOutcomeRequest;
import org.execution_strategy.v1.StatusRequest;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/** A corpus of requests: what the service says to each. Gateways of every language read the same file. */
final class Corpus {
  private static final Map<String, Supplier<Message.Builder>> REQUESTS =
      Map.of(
          "Recommend", ExecutionStrategyRequest::newBuilder,
          "AdaptOnce", StrategyAdaptationRequest::newBuilder,
          "Status", StatusRequest::newBuilder,
          "ReportOutcome", ReportOutcomeRequest::newBuilder,
          "Performance", PerformanceRequest::newBuilder);

  private Corpus() {}

  /** Prints {"name": ..., "code": ..., "fields": [...]} a line and case. */
  static void printVerdicts(Gateway gateway, String corpus) {
    for (JsonElement element : ContractJson.oneOrMany(ContractJson.read(corpus))) {
      JsonObject one = element.getAsJsonObject();
      String method = one.has("method") ? one.get("method").getAsString() : "Recommend";
      Refusal verdict = verdict(gateway, method, requestBytes(one, method));
      String fields = verdict.fields().stream().map(ContractJson::quoted).collect(Collectors.joining(", "));
      System.out.println(
          "{\"name\": " + ContractJson.quoted(one.get("name").getAsString())
              + ", \"code\": \"" + verdict.code() + "\", \"fields\": [" + fields + "]}");
    }
  }

  private static byte[] requestBytes(JsonObject one, String method) {
    if (one.has("request_hex")) {
      return HexFormat.of().parseHex(one.get("request_hex").getAsString());
    }
    if (!REQUESTS.containsKey(method)) {
      throw new IllegalArgumentException("no call is named " + method);
    }
    return ContractJson.merge(one.get("request"), REQUESTS.get(method).get()).build().toByteArray();
  }

  private static Refusal verdict(Gateway gateway, String method, byte[] request) {
    try {
      gateway.call(method, request);
      return new Refusal("OK", "", List.of());
    } catch (StatusRuntimeException error) {
      return Refusal.of(error);
    }
  }
}
