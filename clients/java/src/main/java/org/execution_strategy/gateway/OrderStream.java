package org.execution_strategy.gateway;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.ExecutionStrategyServiceGrpc;
import org.execution_strategy.v1.StrategyAdaptation;
import org.execution_strategy.v1.StrategyAdaptationRequest;

/**
 * One Adapt stream that outlives its connection: orders go on from the last acknowledged sequence after a cut. The
 * listener is called on gRPC's thread, with the stream's lock held, and must not block.
 */
public final class OrderStream implements AutoCloseable {
  private static final long FIRST_BACKOFF_MS = 50;
  private static final long MOST_BACKOFF_MS = 1000;
  /** Another connection would end the same way. */
  private static final Set<Status.Code> FINAL =
      EnumSet.of(
          Status.Code.UNIMPLEMENTED, Status.Code.UNAUTHENTICATED, Status.Code.PERMISSION_DENIED,
          Status.Code.INVALID_ARGUMENT);

  /** What happened to an update. */
  public enum Fate { ACKNOWLEDGED, REFUSED, TIMED_OUT, LOST }

  /** What the gateway wants to hear. */
  public interface Listener {
    void answered(StrategyAdaptation answer);

    /** The connection was lost with this status, or could not be made; it is tried again. */
    default void cut(Status status) {}

    default void resumed(int orders) {}
  }

  private static final class Order {
    final ExecutionStrategyRequest request;
    final Ledger ledger; // after `acknowledged`
    final Deque<StrategyAdaptationRequest> waiting = new ArrayDeque<>(); // sent and not acknowledged
    long sent;
    long acknowledged;
    long epoch;
    long refused; // the newest number that was refused

    Order(ExecutionStrategyRequest request) {
      this.request = request;
      this.ledger = new Ledger(request.getQuantity());
    }
  }

  private final List<ManagedChannel> channels;
  private final Listener listener;
  private final Duration giveUpAfter;
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "order-stream");
            thread.setDaemon(true);
            return thread;
          });
  private final Map<String, Order> orders = new HashMap<>();
  private StreamObserver<StrategyAdaptationRequest> connection; // null while there is none
  private int connections;
  private long backoffMs = FIRST_BACKOFF_MS;
  private long lastAnswerNs = System.nanoTime();
  private boolean finishing;
  private Status end; // null until the stream is over

  OrderStream(List<ManagedChannel> channels, Listener listener, Duration giveUpAfter) {
    this.channels = channels;
    this.listener = listener;
    this.giveUpAfter = giveUpAfter;
    connect();
  }

  /** Begins with an order that was recommended; its updates count from 1. */
  public synchronized void follow(ExecutionStrategyRequest order) {
    orders.put(order.getOrderId(), new Order(order));
  }

  /** Numbers the update and sends it, or keeps it for when the stream is back. Its number. */
  public synchronized long send(StrategyAdaptationRequest update) {
    Order order = orders.get(update.getOrderId());
    StrategyAdaptationRequest numbered = update.toBuilder().setSequence(++order.sent).build();
    // A number that a refused update gave back has another fate now.
    order.refused = Math.min(order.refused, order.sent - 1);
    order.waiting.add(numbered);
    if (connection != null) {
      connection.onNext(numbered);
    }
    return numbered.getSequence();
  }

  /** Waits until the update is acknowledged or refused. */
  public synchronized Fate await(String orderId, long sequence, Duration limit) throws InterruptedException {
    Order order = orders.get(orderId);
    long deadlineNs = System.nanoTime() + limit.toNanos();
    while (end == null && order.acknowledged < sequence && order.refused < sequence) {
      long leftMs = TimeUnit.NANOSECONDS.toMillis(deadlineNs - System.nanoTime());
      if (leftMs <= 0) {
        return Fate.TIMED_OUT;
      }
      wait(leftMs);
    }
    if (order.refused >= sequence) {
      return Fate.REFUSED;
    }
    return order.acknowledged >= sequence ? Fate.ACKNOWLEDGED : Fate.LOST;
  }

  /** Says that no more comes, and waits for the stream's end. What must be safe is awaited before. */
  public synchronized Status finish() throws InterruptedException {
    finishing = true;
    if (connection != null) {
      connection.onCompleted();
      connection = null;
    }
    while (end == null) {
      wait();
    }
    return end;
  }

  @Override
  public synchronized void close() {
    finishing = true;
    if (connection != null) {
      connection.onError(Status.CANCELLED.asRuntimeException());
      connection = null;
    }
    timer.shutdownNow();
  }

  private synchronized void connect() {
    if (finishing && connections > 0) {
      over(Status.OK);
      return;
    }
    ManagedChannel channel = channels.get(connections % channels.size());
    boolean isReturn = connections++ > 0;
    connection = ExecutionStrategyServiceGrpc.newStub(channel).adapt(new Answers());
    int resumed = 0;
    for (Order order : orders.values()) {
      // Acknowledged to the end: nothing is left to say.
      if (order.ledger.ended() && order.waiting.isEmpty()) {
        continue;
      }
      if (isReturn && order.sent > 0) {
        connection.onNext(resume(order));
        resumed++;
      }
      order.waiting.forEach(connection::onNext);
    }
    if (resumed > 0) {
      listener.resumed(resumed);
    }
  }

  private static StrategyAdaptationRequest resume(Order order) {
    return StrategyAdaptationRequest.newBuilder()
        .setOrderId(order.request.getOrderId())
        .setResume(
            order.ledger.resume()
                .setAcknowledgedSequence(order.acknowledged)
                .setEpoch(order.epoch)
                .setRequest(order.request))
        .build();
  }

  private synchronized void take(StrategyAdaptation answer) {
    listener.answered(answer);
    lastAnswerNs = System.nanoTime();
    backoffMs = FIRST_BACKOFF_MS;
    Order order = orders.get(answer.getOrderId());
    if (order == null) {
      return;
    }
    order.epoch = Math.max(order.epoch, answer.getEpoch());
    boolean again = isWorthRepeating(answer.getError());
    if (!answer.getError().isEmpty() && !again && !order.waiting.isEmpty()) {
      // With one update in flight it is this one. Refused in its turn it used its number up; malformed, it didn't.
      order.refused = order.waiting.removeLast().getSequence();
      if (answer.getAcknowledgedSequence() < order.refused) {
        order.sent = order.refused - 1;
      }
    }
    while (!order.waiting.isEmpty() && order.waiting.peekFirst().getSequence() <= answer.getAcknowledgedSequence()) {
      order.ledger.apply(order.waiting.removeFirst());
    }
    order.acknowledged = Math.max(order.acknowledged, answer.getAcknowledgedSequence());
    if (again && !order.waiting.isEmpty() && connection != null) {
      // The next connection sends again what waits.
      StreamObserver<StrategyAdaptationRequest> given = connection;
      connection = null;
      given.onError(Status.CANCELLED.withDescription("the update was not recorded").asRuntimeException());
    }
    notifyAll();
  }

  /**
   * The service could not record an update, whatever it was: it is not known to have been lost, so its number is not
   * given to another.
   */
  private static boolean isWorthRepeating(String error) {
    return error.toLowerCase(Locale.ROOT).contains("send it again");
  }

  private synchronized void ended(Status status) {
    connection = null;
    boolean isLate = System.nanoTime() - lastAnswerNs > giveUpAfter.toNanos();
    if (finishing || isLate || FINAL.contains(status.getCode())) {
      over(status);
      return;
    }
    listener.cut(status);
    timer.schedule(this::connect, backoffMs, TimeUnit.MILLISECONDS);
    backoffMs = Math.min(2 * backoffMs, MOST_BACKOFF_MS);
  }

  private void over(Status status) {
    end = status;
    timer.shutdown();
    notifyAll();
  }

  private final class Answers implements StreamObserver<StrategyAdaptation> {
    @Override
    public void onNext(StrategyAdaptation answer) {
      take(answer);
    }

    @Override
    public void onError(Throwable error) {
      ended(Status.fromThrowable(error));
    }

    @Override
    public void onCompleted() {
      ended(Status.OK);
    }
  }
}
