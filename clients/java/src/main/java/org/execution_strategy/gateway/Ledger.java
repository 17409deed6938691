package org.execution_strategy.gateway;

import java.util.HashSet;
import java.util.Set;
import org.execution_strategy.v1.ResumeUpdate;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/**
 * Where an order's quantity is, as the gateway counts it: what a resume tells the service. The same rules as the
 * service's (docs/order-life.md): a fill takes from what works, then from what is unscheduled, then from what was
 * thought cancelled. Quantities in shares.
 */
final class Ledger {
  private double parent;
  private double filled;
  private double notional;
  private double working;
  private double cancelled;
  private double arrivalMid;
  private boolean ended;
  private final Set<String> executions = new HashSet<>();

  Ledger(double parentQuantity) {
    parent = parentQuantity;
  }

  boolean ended() {
    return ended;
  }

  double working() {
    return working;
  }

  /** An update that the service acknowledged. */
  void apply(StrategyAdaptationRequest update) {
    switch (update.getUpdateCase()) {
      case FILL -> fill(update.getFill().getExecutionId(), update.getFill().getQuantity(), update.getFill().getPrice());
      case CANCEL -> cancel(update.getCancel().getQuantity(), update.getCancel().getFinal());
      case WORKING -> working = Math.min(update.getWorking().getQuantity(), working + unscheduled());
      case AMEND -> {
        if (update.getAmend().hasQuantity()) {
          amend(update.getAmend().getQuantity());
        }
      }
      case MARKET_CONTEXT -> {
        if (arrivalMid == 0 && update.getMarketContext().hasMidPrice()) {
          arrivalMid = update.getMarketContext().getMidPrice();
        }
      }
      case TERMINAL -> ended = true;
      default -> { }
    }
  }

  ResumeUpdate.Builder resume() {
    return ResumeUpdate.newBuilder()
        .setFilledQuantity(filled)
        .setAveragePrice(filled > 0 ? notional / filled : 0)
        .setWorkingQuantity(working)
        .setCancelledQuantity(cancelled)
        .setArrivalMidPrice(arrivalMid);
  }

  private double unscheduled() {
    return Math.max(0, parent - filled - working - cancelled);
  }

  private void fill(String executionId, double quantity, double price) {
    if (!executions.add(executionId)) {
      return;
    }
    double fromWorking = Math.min(working, quantity);
    double fromUnscheduled = Math.min(unscheduled(), quantity - fromWorking);
    working -= fromWorking;
    cancelled -= Math.min(cancelled, quantity - fromWorking - fromUnscheduled);
    filled += quantity;
    notional += quantity * price;
  }

  private void cancel(double asked, boolean isFinal) {
    double quantity = Math.min(asked, isFinal ? working + unscheduled() : working);
    working -= Math.min(working, quantity);
    if (isFinal) {
      cancelled += quantity;
    }
  }

  /** What is above the new quantity leaves the market, then what was cancelled; filled shares stay filled. */
  private void amend(double quantity) {
    parent = quantity;
    working = Math.max(0, Math.min(working, parent - filled - cancelled));
    cancelled = Math.max(0, Math.min(cancelled, parent - filled - working));
  }
}
