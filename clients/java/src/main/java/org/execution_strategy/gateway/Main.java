package org.execution_strategy.gateway;

import com.google.gson.JsonElement;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.StrategyAdaptation;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/** A small gateway: asks for decisions, follows orders, prints what it got. */
public final class Main {
  private static final int REFUSED = 1;
  private static final int MISUSED = 2;
  private static final Duration CONNECT_LIMIT = Duration.ofSeconds(5);
  private static final Duration UPDATE_LIMIT = Duration.ofSeconds(60);

  private record Command(int takes, Action action) {}

  private interface Action {
    int run(Gateway gateway, Printer printer, Arguments arguments) throws IOException, InterruptedException;
  }

  private static final Map<String, Command> COMMANDS =
      Map.of(
          "recommend", new Command(1, Main::recommend),
          "status", new Command(1, Main::status),
          "adapt", new Command(2, Main::adapt),
          "violations", new Command(1, Main::violations));

  private Main() {}

  public static void main(String[] words) throws InterruptedException {
    System.exit(run(words));
  }

  private static int run(String[] words) throws InterruptedException {
    if (words.length == 1 && words[0].equals("--help")) {
      System.out.print(Arguments.USAGE);
      return 0;
    }
    try {
      Arguments arguments = Arguments.read(words);
      Command command = COMMANDS.get(arguments.command());
      if (command == null || arguments.rest().size() != command.takes()) {
        System.err.print(Arguments.USAGE);
        return MISUSED;
      }
      try (Gateway gateway = new Gateway(arguments.gateway())) {
        // A channel that cannot connect is told by the call that needs it.
        gateway.connect(CONNECT_LIMIT);
        return command.action().run(gateway, new Printer(arguments.json()), arguments);
      }
    } catch (IllegalArgumentException | IOException error) {
      System.err.println("ess-gateway: " + error.getMessage());
      return MISUSED;
    }
  }

  private static int recommend(Gateway gateway, Printer printer, Arguments arguments) throws IOException {
    int code = 0;
    for (JsonElement json : ContractJson.oneOrMany(ContractJson.read(ContractJson.readText(arguments.rest().get(0))))) {
      var order = ContractJson.merge(json, ExecutionStrategyRequest.newBuilder());
      code = Math.max(code, decide(gateway, printer, order.build()));
    }
    return code;
  }

  private static int decide(Gateway gateway, Printer printer, ExecutionStrategyRequest order) {
    try {
      printer.decision(gateway.recommend(order));
      return 0;
    } catch (StatusRuntimeException error) {
      printer.refused(order.getOrderId(), Refusal.of(error));
      return REFUSED;
    }
  }

  private static int status(Gateway gateway, Printer printer, Arguments arguments) {
    try {
      printer.standing(gateway.status(arguments.rest().get(0)));
      return 0;
    } catch (StatusRuntimeException error) {
      printer.refused(arguments.rest().get(0), Refusal.of(error));
      return REFUSED;
    }
  }

  private static int adapt(Gateway gateway, Printer printer, Arguments arguments)
      throws IOException, InterruptedException {
    JsonElement json = ContractJson.read(ContractJson.readText(arguments.rest().get(0)));
    ExecutionStrategyRequest order = ContractJson.merge(json, ExecutionStrategyRequest.newBuilder()).build();
    String path = arguments.rest().get(1);
    try (BufferedReader lines =
            path.equals("-")
                ? new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))
                : Files.newBufferedReader(Path.of(path))) {
      int decided = decide(gateway, printer, order);
      if (decided != 0) {
        return decided;
      }
      try (OrderStream stream = gateway.adapt(listener(printer))) {
        stream.follow(order);
        int code = sendUpdates(stream, printer, order.getOrderId(), lines);
        Status end = stream.finish();
        if (!end.isOk()) {
          printer.refused(order.getOrderId(), Refusal.of(end, new Metadata()));
          return REFUSED;
        }
        return code;
      }
    }
  }

  /** Sends the updates one after the other, each when the one before it is safe. */
  private static int sendUpdates(OrderStream stream, Printer printer, String orderId, BufferedReader lines)
      throws IOException, InterruptedException {
    int code = 0;
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      if (line.isBlank()) {
        continue;
      }
      var update = ContractJson.merge(ContractJson.read(line), StrategyAdaptationRequest.newBuilder());
      long sequence = stream.send(update.setOrderId(orderId).build());
      switch (stream.await(orderId, sequence, UPDATE_LIMIT)) {
        case ACKNOWLEDGED -> { }
        case REFUSED -> code = REFUSED;
        case TIMED_OUT, LOST -> {
          printer.event("lost", "update " + sequence + " was not acknowledged");
          return REFUSED;
        }
      }
    }
    return code;
  }

  private static OrderStream.Listener listener(Printer printer) {
    return new OrderStream.Listener() {
      @Override
      public void answered(StrategyAdaptation answer) {
        printer.adaptation(answer);
      }

      @Override
      public void cut(Status status) {
        printer.event("cut", status.getDescription() == null ? status.getCode().name() : status.getDescription());
      }

      @Override
      public void resumed(int orders) {
        printer.event("resumed", String.valueOf(orders));
      }
    };
  }

  private static int violations(Gateway gateway, Printer printer, Arguments arguments) throws IOException {
    Corpus.printVerdicts(gateway, ContractJson.readText(arguments.rest().get(0)));
    return 0;
  }
}
