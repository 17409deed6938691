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
import org.execution_strategy.v1.StrategyAdaptationRequest;

/** As many.cc. */
public final class Many {
  public static void main(String[] arguments) throws Exception {
    var order = ExecutionStrategyRequest.parseFrom(Files.readAllBytes(Path.of(arguments[1])));
    try (Gateway gateway = new Gateway(GatewayOptions.of(arguments[0]))) {
      gateway.connect(Duration.ofSeconds(10));
      gateway.recommend(order);
      OrderStream stream = gateway.adapt(answer -> {});
      stream.follow(order);
      List<Long> sent = new ArrayList<>();
      BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        String[] words = line.split(" ");
        if (words[0].equals("wait")) {
          for (long number : sent) {
            var fate = stream.await(order.getOrderId(), number, Duration.ofSeconds(20));
            System.out.println(number + " " + fate);
          }
          sent.clear();
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
