package org.execution_strategy.gateway;

import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** Channels with everything that matters set aloud. */
final class Channels {
  private static final String SERVICE = "execution_strategy.v1.ExecutionStrategyService";
  /**
   * What can be tried again without harm. Adapt is not among them: after a cut it resumes, see {@link OrderStream}. Nor
   * is AdaptOnce: without a number of its own an update that came twice would count twice.
   */
  private static final List<String> RETRIED =
      List.of("Recommend", "Status", "ReportOutcome", "Performance", "Replay");
  private static final int MOST_ANSWER_BYTES = 16 << 20;

  private Channels() {}

  /** A channel with a connection of its own. Throws IOException where a PEM file can't be read. */
  static ManagedChannel open(GatewayOptions options) throws IOException {
    ManagedChannelBuilder<?> builder =
        Grpc.newChannelBuilder(options.target(), credentials(options.tls()))
            .keepAliveTime(options.keepaliveTime().toMillis(), TimeUnit.MILLISECONDS)
            .keepAliveTimeout(options.keepaliveTimeout().toMillis(), TimeUnit.MILLISECONDS)
            .keepAliveWithoutCalls(true)
            .maxInboundMessageSize(MOST_ANSWER_BYTES)
            // Retries are the gateway's own affair, not a DNS record's.
            .disableServiceConfigLookUp()
            .defaultServiceConfig(serviceConfig(options));
    if (options.attempts() > 1) {
      builder.enableRetry();
    } else {
      builder.disableRetry();
    }
    if (!options.tls().serverName().isEmpty()) {
      builder.overrideAuthority(options.tls().serverName());
    }
    return builder.build();
  }

  private static ChannelCredentials credentials(GatewayOptions.Tls tls) throws IOException {
    if (!tls.given()) {
      return InsecureChannelCredentials.create();
    }
    if (tls.certificate().isEmpty() != tls.key().isEmpty()) {
      throw new IllegalArgumentException("a client certificate and its key come together: --cert and --key");
    }
    TlsChannelCredentials.Builder builder = TlsChannelCredentials.newBuilder();
    if (!tls.ca().isEmpty()) {
      builder.trustManager(new File(tls.ca()));
    }
    if (!tls.certificate().isEmpty()) {
      builder.keyManager(new File(tls.certificate()), new File(tls.key()));
    }
    return builder.build();
  }

  /** UNAVAILABLE is tried again, and CANCELLED, as which a service that stops ends calls that it never took up; with
   * back-off, and less and less where most calls fail. What this side cancels is not tried again. */
  private static Map<String, Object> serviceConfig(GatewayOptions options) {
    Map<String, Object> methods = new HashMap<>();
    methods.put("name", RETRIED.stream().map(name -> Map.of("service", SERVICE, "method", name)).toList());
    if (options.attempts() > 1) {
      methods.put(
          "retryPolicy",
          Map.of(
              "maxAttempts", (double) options.attempts(),
              "initialBackoff", "0.02s",
              "maxBackoff", "0.5s",
              "backoffMultiplier", 2.0,
              "retryableStatusCodes", List.of("UNAVAILABLE", "CANCELLED")));
    }
    return Map.of(
        "methodConfig", List.of(methods), "retryThrottling", Map.of("maxTokens", 100.0, "tokenRatio", 0.1));
  }
}
