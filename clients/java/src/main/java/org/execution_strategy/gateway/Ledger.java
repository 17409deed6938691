package org.execution_strategy.gateway;

import java.util.HashSet;
import java.util.Set;
import org.execution_strategy.v1.FillUpdate;
import org.execution_strategy.v1.OrderProgress;
import org.execution_strategy.v1.ResumeUpdate;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/**
 * Where an order's quantity is and what its fills cost: what a resume tells the service. Quantities are the service's
 * own, of its newest answer: they are of exactly the number that is acknowledged there. Sums of our own would differ
 * from them by what a double cannot hold. The price is of the fills acknowledged here.
 */
final class Ledger {
  private OrderProgress progress = OrderProgress.getDefaultInstance();
  private double quantity;
  private double notional;
  private boolean ended;
  private final Set<String> executions = new HashSet<>();

  Ledger() {}

  /** Goes on from what {@link #resume} gave. */
  Ledger(ResumeUpdate kept) {
    quantity = kept.getFilledQuantity();
    notional = kept.getFilledQuantity() * kept.getAveragePrice();
    progress =
        OrderProgress.newBuilder()
            .setFilledQuantity(kept.getFilledQuantity())
            .setWorkingQuantity(kept.getWorkingQuantity())
            .setCancelledQuantity(kept.getCancelledQuantity())
            .build();
  }

  boolean ended() {
    return ended;
  }

  double working() {
    return progress.getWorkingQuantity();
  }

  /** An update that the service acknowledged. */
  void apply(StrategyAdaptationRequest update) {
    if (update.hasFill() && executions.add(update.getFill().getExecutionId())) {
      FillUpdate fill = update.getFill();
      quantity += fill.getQuantity();
      notional += fill.getQuantity() * fill.getPrice();
    } else if (update.hasTerminal()) {
      ended = true;
    }
  }

  /** The order after it. */
  void take(OrderProgress newer) {
    progress = newer;
  }

  ResumeUpdate.Builder resume() {
    boolean isPriced = progress.getFilledQuantity() > 0 && quantity > 0;
    return ResumeUpdate.newBuilder()
        .setFilledQuantity(progress.getFilledQuantity())
        .setAveragePrice(isPriced ? notional / quantity : 0)
        .setWorkingQuantity(progress.getWorkingQuantity())
        .setCancelledQuantity(progress.getCancelledQuantity());
  }
}
