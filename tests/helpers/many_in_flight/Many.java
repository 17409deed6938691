import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.execution_strategy.gateway.Gateway;
import org.execution_strategy.gateway.GatewayOptions;
import org.execution_strategy.gateway.OrderStream;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.ResumeUpdate;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/** As many.cc. */
public final class Many {
  public static void main(String[] arguments) throws Exception {
    var order = ExecutionStrategyRequest.parseFrom(Files.readAllBytes(Path.of(arguments[1])));
    // Its first call loads classes, on a machine that may be busy.
    var options =
        new GatewayOptions(
            arguments[0], 2, Duration.ofSeconds(20), 4, Duration.ofSeconds(30), Duration.ofSeconds(10),
            Duration.ofSeconds(60), GatewayOptions.Tls.NONE);
    try (Gateway gateway = new Gateway(options)) {
      gateway.connect(Duration.ofSeconds(10));
      OrderStream stream = gateway.adapt(answer -> {});
      if (arguments.length > 2) {
        stream.follow(ResumeUpdate.parseFrom(Files.readAllBytes(Path.of(arguments[2]))));
      } else {
        gateway.recommend(order);
        stream.follow(order);
        stream.follow(order); // changes nothing
      }
      List<Long> sent = new ArrayList<>();
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String[] words = line.split(" ");
        if (words[0].equals("wait")) {
          Duration limit = words.length > 1 ? Duration.ofMillis(Long.parseLong(words[1])) : Duration.ofSeconds(20);
          for (long number : sent) {
            var fate = stream.await(order.getOrderId(), number, limit);
            System.out.println(number + " " + fate);
          }
          sent.clear();
          continue;
        }
        if (words[0].equals("keep")) {
          Files.write(Path.of(words[1]), stream.keep(order.getOrderId()).toByteArray());
          continue;
        }
        double quantity = Double.parseDouble(words[words.length - 1]);
        var update = StrategyAdaptationRequest.newBuilder().setOrderId(order.getOrderId());
        switch (words[0]) {
          case "fill" -> update.getFillBuilder().setExecutionId(words[1]).setQuantity(quantity).setPrice(78);
          case "cancel" -> update.getCancelBuilder().setQuantity(quantity);
          default -> update.getWorkingBuilder().setQuantity(quantity);
        }
        sent.add(stream.send(update.build()));
      }
      System.exit(stream.finish().isOk() ? 0 : 1);
    }
  }
}
