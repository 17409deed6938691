package org.execution_strategy.gateway;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The command line: options of the channel, the command and what it takes. */
record Arguments(GatewayOptions gateway, boolean json, String command, List<String> rest) {
  static final String USAGE = """
      usage: ess-gateway [options] command ...

        recommend FILE          decides the orders of a JSON file (one, or a list); - reads standard input
        status ORDER_ID         where an order stands
        adapt ORDER UPDATES     decides the order, then sends the updates (a JSON object a line; - reads standard input)
                                over one stream that survives cuts, and prints what comes back
        violations CORPUS       sends every case of a corpus and prints its verdict, a JSON object a line

        --target HOST:PORT      default 127.0.0.1:50051
        --json                  JSON objects instead of text
        --channels N            connections, default 2
        --deadline-ms N         of a call, all its attempts together, default 1000
        --attempts N            the first included, default 4; 1 never tries again
        --keepalive-s N         default 30
        --give-up-s N           how long a stream tries to come back after a cut, default 60
        --ca FILE --cert FILE --key FILE --server-name NAME
                                PEM files of TLS; with --cert and --key the gateway shows who it is (mTLS)
      """;
  private static final Set<String> OPTIONS =
      Set.of("--target", "--channels", "--deadline-ms", "--attempts", "--keepalive-s", "--give-up-s", "--ca", "--cert",
          "--key", "--server-name");

  /** Throws IllegalArgumentException with what is wrong. */
  static Arguments read(String[] words) {
    Map<String, String> given = new HashMap<>();
    List<String> rest = new ArrayList<>();
    boolean json = false;
    for (int index = 0; index < words.length; index++) {
      String word = words[index];
      if (word.equals("--json")) {
        json = true;
      } else if (OPTIONS.contains(word)) {
        if (++index == words.length) {
          throw new IllegalArgumentException(word + " takes a value");
        }
        given.put(word, words[index]);
      } else if (word.startsWith("--")) {
        throw new IllegalArgumentException("unknown option " + word);
      } else {
        rest.add(word);
      }
    }
    String command = rest.isEmpty() ? "" : rest.remove(0);
    return new Arguments(options(given), json, command, List.copyOf(rest));
  }

  private static GatewayOptions options(Map<String, String> given) {
    return new GatewayOptions(
        given.getOrDefault("--target", "127.0.0.1:50051"),
        number(given, "--channels", 2),
        Duration.ofMillis(number(given, "--deadline-ms", 1000)),
        number(given, "--attempts", 4),
        Duration.ofSeconds(number(given, "--keepalive-s", 30)),
        Duration.ofSeconds(10),
        Duration.ofSeconds(number(given, "--give-up-s", 60)),
        new GatewayOptions.Tls(
            given.getOrDefault("--ca", ""), given.getOrDefault("--cert", ""), given.getOrDefault("--key", ""),
            given.getOrDefault("--server-name", "")));
  }

  private static int number(Map<String, String> given, String name, int otherwise) {
    if (!given.containsKey(name)) {
      return otherwise;
    }
    try {
      int number = Integer.parseInt(given.get(name));
      if (number >= 1) {
        return number;
      }
    } catch (NumberFormatException error) {
      // told below, with what was given
    }
    throw new IllegalArgumentException(name + " takes a whole number above 0, not " + given.get(name));
  }
}
