package org.execution_strategy.gateway;

import java.util.Locale;
import java.util.stream.Collectors;
import org.execution_strategy.v1.ExecutionStrategyResponse;
import org.execution_strategy.v1.StrategyAdaptation;
import org.execution_strategy.v1.StrategyExecutionStatus;

/** Answers for people, or a JSON object a line. */
record Printer(boolean json) {
  void decision(ExecutionStrategyResponse answer) {
    if (json) {
      line("{\"decision\": " + ContractJson.write(answer) + "}");
      return;
    }
    var strategy = answer.getRecommendedStrategy();
    var expected = answer.getExpectedOutcomes();
    line(answer.getOrderId() + ": " + strategy.getStrategyName() + " (" + strategy.getAlgorithm() + ")");
    line("  expected %.2f bps over %d min, completion %.0f%%, confidence %.2f",
        expected.getEstimatedCost() * 1e4, expected.getEstimatedTimeMinutes(),
        expected.getCompletionProbability() * 100, answer.getConfidence());
    line("  venues " + strategy.getVenueAllocationMap().entrySet().stream()
        .map(share -> String.format(Locale.ROOT, "%s %.0f%%", share.getKey(), share.getValue() * 100))
        .collect(Collectors.joining(" ")));
    line("  " + answer.getStrategyRationale());
    answer.getAlternativeStrategiesList().forEach(other -> line("  also: " + other.getStrategyName()));
    answer.getWarningsList().forEach(warning -> line("  warning: " + warning));
  }

  void standing(StrategyExecutionStatus answer) {
    if (json) {
      line("{\"status\": " + ContractJson.write(answer) + "}");
      return;
    }
    var progress = answer.getProgress();
    line(answer.getOrderId() + ": " + shortName(answer.getState().name(), "EXECUTION_STATE_")
        + String.format(Locale.ROOT, ", filled %s of %s, working %s, cancelled %s; cost so far %.2f bps",
            shares(progress.getFilledQuantity()), shares(progress.getParentQuantity()),
            shares(progress.getWorkingQuantity()), shares(progress.getCancelledQuantity()),
            answer.getCostSoFar().getTotalBps()));
  }

  void adaptation(StrategyAdaptation answer) {
    if (json) {
      line("{\"adaptation\": " + ContractJson.write(answer) + "}");
      return;
    }
    var progress = answer.getProgress();
    line(answer.getOrderId() + ": acknowledged " + answer.getAcknowledgedSequence() + " (epoch " + answer.getEpoch()
        + "), filled " + shares(progress.getFilledQuantity()) + ", working " + shares(progress.getWorkingQuantity())
        + ", unscheduled " + shares(progress.getUnscheduledQuantity()));
    answer.getRefusalsList().forEach(one -> line("  refused update " + one.getSequence() + ": " + one.getError()));
    if (answer.getAdviceNumber() > 0) {
      line("  advice " + answer.getAdviceNumber() + ": "
          + shortName(answer.getAction().name(), "ADAPTATION_ACTION_") + " after "
          + shortName(answer.getTrigger().name(), "ADAPTATION_TRIGGER_") + "; " + answer.getRationale());
    }
  }

  void refused(String orderId, Refusal refusal) {
    if (json) {
      String violations = refusal.violations().stream()
          .map(one -> "{\"field\": " + ContractJson.quoted(one.field()) + ", \"description\": "
              + ContractJson.quoted(one.description()) + "}")
          .collect(Collectors.joining(", "));
      line("{\"refused\": {\"order_id\": " + ContractJson.quoted(orderId) + ", \"code\": \"" + refusal.code()
          + "\", \"text\": " + ContractJson.quoted(refusal.text()) + ", \"violations\": [" + violations + "]}}");
      return;
    }
    line(orderId + ": " + refusal.code() + ": " + refusal.text());
    refusal.violations().forEach(one -> line("  " + one.field() + ": " + one.description()));
  }

  /** What happened to the stream itself. */
  void event(String name, String text) {
    line(json ? "{" + ContractJson.quoted(name) + ": " + ContractJson.quoted(text) + "}" : name + ": " + text);
  }

  private static String shortName(String name, String prefix) {
    return name.startsWith(prefix) ? name.substring(prefix.length()) : name;
  }

  private static String shares(double quantity) {
    return quantity == Math.rint(quantity) ? String.valueOf((long) quantity) : String.valueOf(quantity);
  }

  private static void line(String format, Object... values) {
    line(String.format(Locale.ROOT, format, values));
  }

  private static synchronized void line(String text) {
    System.out.println(text);
  }
}
