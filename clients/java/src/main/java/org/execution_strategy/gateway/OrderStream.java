package org.execution_strategy.gateway;

import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.ExecutionStrategyServiceGrpc;
import org.execution_strategy.v1.RefusedNumber;
import org.execution_strategy.v1.ResumeUpdate;
import org.execution_strategy.v1.StrategyAdaptation;
import org.execution_strategy.v1.StrategyAdaptationRequest;
import org.execution_strategy.v1.UpdateRefusal;
import org.execution_strategy.v1.WorkingUpdate;

/**
 * One Adapt stream that outlives its connection: orders go on from the last acknowledged sequence after a cut. The
 * listener is called on gRPC's thread, with the stream's lock held, and must not block.
 */
public final class OrderStream implements AutoCloseable {
  private static final long FIRST_BACKOFF_MS = 50;
  private static final long MOST_BACKOFF_MS = 1000;
  /** So many updates of an order wait at the service for one before them. */
  private static final int MOST_HELD = 256;
  private static final int MOST_REFUSED = 1000;
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

  /** Sent and not acknowledged. */
  private static final class Waiting {
    StrategyAdaptationRequest update;
    boolean isRefused; // its number is to be used by what changes nothing
    boolean isAhead; // to be sent again when the order has come nearer

    Waiting(StrategyAdaptationRequest update) {
      this.update = update;
    }
  }

  private static final class Order {
    final ExecutionStrategyRequest request;
    final Ledger ledger; // after `acknowledged`
    final Deque<Waiting> waiting = new ArrayDeque<>();
    long sent;
    long acknowledged;
    long epoch;
    long given; // the number under which this connection brought what changes nothing
    final TreeSet<Long> refused = new TreeSet<>(); // the newest of them
    final boolean isKept; // from what was kept of it: resumed even on the first connection

    Order(ExecutionStrategyRequest request) {
      this.request = request;
      this.ledger = new Ledger();
      this.isKept = false;
    }

    Order(ResumeUpdate kept) {
      this.request = kept.getRequest();
      this.ledger = new Ledger(kept);
      this.isKept = true;
      this.sent = this.acknowledged = kept.getAcknowledgedSequence();
      this.epoch = kept.getEpoch();
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
  private Long readySinceNs; // null while the connection does not stand
  private Long lostSinceNs; // since when none answers, or stood for long
  private boolean finishing;
  private Status end; // null until the stream is over

  OrderStream(List<ManagedChannel> channels, Listener listener, Duration giveUpAfter) {
    this.channels = channels;
    this.listener = listener;
    this.giveUpAfter = giveUpAfter;
    connect();
  }

  /** Begins with an order that was recommended; its updates count from 1. Following an order again changes nothing. */
  public synchronized void follow(ExecutionStrategyRequest order) {
    orders.putIfAbsent(order.getOrderId(), new Order(order));
  }

  /** Goes on with an order of before, of another process, say, from what was kept of it. */
  public synchronized void follow(ResumeUpdate kept) {
    Order order = new Order(kept);
    if (orders.putIfAbsent(order.request.getOrderId(), order) == null && connection != null) {
      connection.onNext(resume(order));
    }
  }

  /** The order as of its last acknowledged update, with its request: what to keep so that another process can go on. */
  public synchronized ResumeUpdate keep(String orderId) {
    return kept(followed(orderId));
  }

  /** Of an order that has ended: nothing more is known of it. */
  public synchronized void forget(String orderId) {
    orders.remove(orderId);
    notifyAll();
  }

  private Order followed(String orderId) {
    Order order = orders.get(orderId);
    if (order == null) {
      throw new IllegalArgumentException("the order is not followed: " + orderId);
    }
    return order;
  }

  /**
   * Numbers the update and sends it, or keeps it for when the stream is back. Its number. Throws
   * IllegalArgumentException for an order that is not followed; so do {@link #keep} and {@link #await}.
   */
  public synchronized long send(StrategyAdaptationRequest update) {
    Order order = followed(update.getOrderId());
    StrategyAdaptationRequest numbered = update.toBuilder().setSequence(++order.sent).build();
    // A number that a refused update gave back has another fate now.
    order.refused.remove(order.sent);
    order.waiting.add(new Waiting(numbered));
    if (connection != null) {
      connection.onNext(numbered);
    }
    return numbered.getSequence();
  }

  /**
   * Waits until the update is acknowledged or refused. The number of a refused one is given back where the service did
   * not use it up and nothing was sent behind it; where something was, it is given to a `working` that changes nothing.
   */
  public synchronized Fate await(String orderId, long sequence, Duration limit) throws InterruptedException {
    Order order = followed(orderId);
    long deadlineNs = System.nanoTime() + limit.toNanos();
    while (end == null
        && orders.get(orderId) == order // else it was forgotten meanwhile
        && order.acknowledged < sequence
        && !order.refused.contains(sequence)) {
      long leftMs = TimeUnit.NANOSECONDS.toMillis(deadlineNs - System.nanoTime());
      if (leftMs <= 0) {
        return Fate.TIMED_OUT;
      }
      wait(leftMs);
    }
    if (order.refused.contains(sequence)) {
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
    if (end == null) {
      over(Status.CANCELLED.withDescription("the stream was closed"));
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
    readySinceNs = null;
    connection = ExecutionStrategyServiceGrpc.newStub(channel).adapt(new Answers());
    int resumed = 0;
    for (Order order : orders.values()) {
      // Acknowledged to the end: nothing is left to say.
      if (order.ledger.ended() && order.waiting.isEmpty()) {
        continue;
      }
      if (order.isKept || (isReturn && order.sent > 0)) {
        connection.onNext(resume(order));
        resumed++;
      }
      order.given = 0;
      putNothing(order);
      for (Waiting one : order.waiting) {
        one.isAhead = false;
        if (!one.isRefused) {
          connection.onNext(one.update);
        }
      }
    }
    if (resumed > 0) {
      listener.resumed(resumed);
    }
  }

  private static StrategyAdaptationRequest resume(Order order) {
    return StrategyAdaptationRequest.newBuilder()
        .setOrderId(order.request.getOrderId())
        .setResume(kept(order))
        .build();
  }

  private static ResumeUpdate kept(Order order) {
    return order.ledger.resume()
        .setAcknowledgedSequence(order.acknowledged)
        .setEpoch(order.epoch)
        .setRequest(order.request)
        .build();
  }

  private synchronized void take(StrategyAdaptation answer) {
    listener.answered(answer);
    lostSinceNs = null;
    backoffMs = FIRST_BACKOFF_MS;
    Order order = orders.get(answer.getOrderId());
    if (order == null) {
      return;
    }
    order.epoch = Math.max(order.epoch, answer.getEpoch());
    boolean uncertain = refuse(order, answer);
    acknowledge(order, answer.getAcknowledgedSequence());
    order.acknowledged = Math.max(order.acknowledged, answer.getAcknowledgedSequence());
    // Where another session brought the order farther our next update comes behind it.
    order.sent = Math.max(order.sent, order.acknowledged);
    // As of exactly that number. After a fence too: a resume with older figures would take the other's fills away.
    if (answer.hasProgress() && answer.getAcknowledgedSequence() == order.acknowledged) {
      order.ledger.take(answer.getProgress());
    }
    if (connection != null) {
      goOn(order);
    }
    if (uncertain && !order.waiting.isEmpty() && connection != null) {
      // The next connection sends again what waits.
      StreamObserver<StrategyAdaptationRequest> given = connection;
      connection = null;
      given.onError(Status.CANCELLED.withDescription("the update was not recorded").asRuntimeException());
    }
    notifyAll();
  }

  private static void acknowledge(Order order, long last) {
    while (!order.waiting.isEmpty() && order.waiting.peekFirst().update.getSequence() <= last) {
      Waiting first = order.waiting.removeFirst();
      if (!first.isRefused) {
        order.ledger.apply(first.update);
      }
    }
  }

  /** Whether something could not be recorded, and is not known to have been lost. */
  private static boolean refuse(Order order, StrategyAdaptation answer) {
    boolean uncertain = false;
    for (UpdateRefusal refusal : answer.getRefusalsList()) {
      if (refusal.getNumber() == RefusedNumber.REFUSED_NUMBER_FENCED) {
        // What was acknowledged before it is ours. Whoever goes on with the order goes on from there: the numbers behind
        // are free again.
        acknowledge(order, Math.min(refusal.getSequence() - 1, answer.getAcknowledgedSequence()));
        order.waiting.forEach(one -> remember(order, one.update.getSequence()));
        order.waiting.clear();
        order.acknowledged = Math.max(order.acknowledged, answer.getAcknowledgedSequence());
        order.sent = order.acknowledged;
        return false;
      }
      uncertain |= refusal.getNumber() == RefusedNumber.REFUSED_NUMBER_UNCERTAIN;
      refuseOne(order, refusal);
    }
    return uncertain;
  }

  private static void refuseOne(Order order, UpdateRefusal refusal) {
    Iterator<Waiting> all = order.waiting.iterator();
    while (all.hasNext()) {
      Waiting one = all.next();
      if (one.update.getSequence() != refusal.getSequence()
          || refusal.getNumber() == RefusedNumber.REFUSED_NUMBER_UNCERTAIN) {
        continue;
      }
      if (refusal.getNumber() == RefusedNumber.REFUSED_NUMBER_AHEAD) {
        one.isAhead = true;
        return;
      }
      remember(order, refusal.getSequence());
      if (refusal.getNumber() == RefusedNumber.REFUSED_NUMBER_USED) {
        all.remove();
      } else if (refusal.getSequence() == order.sent) {
        all.remove();
        order.sent--;
      } else {
        one.isRefused = true;
      }
      return;
    }
  }

  private static void remember(Order order, long refused) {
    order.refused.add(refused);
    if (order.refused.size() > MOST_REFUSED) {
      order.refused.pollFirst();
    }
  }

  /** Sends what lets the others go on where the number before them is free, and what came too far ahead before. */
  private void goOn(Order order) {
    putNothing(order);
    for (Waiting one : order.waiting) {
      if (one.isAhead && one.update.getSequence() <= order.acknowledged + MOST_HELD) {
        one.isAhead = false;
        if (!one.isRefused) {
          connection.onNext(one.update);
        }
      }
    }
  }

  /**
   * Sends an update that changes nothing, where the next number is free: by then the working quantity is certain. Once
   * a connection, since where that is refused too nothing is taken of this order.
   */
  private void putNothing(Order order) {
    Waiting first = order.waiting.peekFirst();
    if (first == null || !first.isRefused || first.update.getSequence() == order.given) {
      return;
    }
    order.given = first.update.getSequence();
    first.update =
        StrategyAdaptationRequest.newBuilder()
            .setOrderId(first.update.getOrderId())
            .setSequence(order.given)
            .setWorking(WorkingUpdate.newBuilder().setQuantity(order.ledger.working()))
            .build();
    connection.onNext(first.update);
  }

  private synchronized void ended(Status status) {
    if (end != null) {
      return;
    }
    connection = null;
    long nowNs = System.nanoTime();
    // One that stood for long had nothing to answer.
    boolean hasStood = readySinceNs != null && nowNs - readySinceNs >= giveUpAfter.toNanos();
    if (lostSinceNs == null || hasStood) {
      lostSinceNs = nowNs;
    }
    boolean isLate = nowNs - lostSinceNs > giveUpAfter.toNanos();
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

  private synchronized void stands(ClientCallStreamObserver<StrategyAdaptationRequest> ready) {
    if (ready == connection && readySinceNs == null) {
      readySinceNs = System.nanoTime();
    }
  }

  private final class Answers implements ClientResponseObserver<StrategyAdaptationRequest, StrategyAdaptation> {
    @Override
    public void beforeStart(ClientCallStreamObserver<StrategyAdaptationRequest> call) {
      call.setOnReadyHandler(() -> stands(call));
    }

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
