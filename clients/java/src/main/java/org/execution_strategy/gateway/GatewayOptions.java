package org.execution_strategy.gateway;

import java.time.Duration;

/**
 * How a gateway reaches the service.
 *
 * @param target host:port
 * @param channels connections: behind one port there may be several workers, and each connection meets one of them
 * @param deadline of a unary call, all its attempts together
 * @param attempts the first included; retries are safe, for the same order_id with the same content has the same answer
 * @param keepaliveTime between pings; the service allows one every 10 s
 * @param keepaliveTimeout after which a connection that answers no ping is dead
 * @param giveUpAfter how long an Adapt stream tries to come back after a cut
 * @param tls PEM files; without any, the channel is plaintext
 */
public record GatewayOptions(
    String target,
    int channels,
    Duration deadline,
    int attempts,
    Duration keepaliveTime,
    Duration keepaliveTimeout,
    Duration giveUpAfter,
    Tls tls) {

  /**
   * PEM files; empty where there is none. With {@code ca} the server is verified; with {@code certificate} and
   * {@code key} (PKCS 8) too, the gateway shows who it is. {@code serverName}: the name that the server's certificate
   * must have, where it is not the target's host.
   */
  public record Tls(String ca, String certificate, String key, String serverName) {
    public static final Tls NONE = new Tls("", "", "", "");

    public boolean given() {
      return !ca.isEmpty() || !certificate.isEmpty() || !key.isEmpty();
    }
  }

  /** For a service on this host. */
  public static GatewayOptions of(String target) {
    return new GatewayOptions(
        target, 2, Duration.ofSeconds(1), 4, Duration.ofSeconds(30), Duration.ofSeconds(10), Duration.ofSeconds(60),
        Tls.NONE);
  }
}
