package org.execution_strategy.gateway;

import io.grpc.CallOptions;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.execution_strategy.v1.ExecutionStrategyRequest;
import org.execution_strategy.v1.ExecutionStrategyResponse;
import org.execution_strategy.v1.ExecutionStrategyServiceGrpc;
import org.execution_strategy.v1.StatusRequest;
import org.execution_strategy.v1.StrategyExecutionStatus;

/**
 * A few channels to the service, its calls, and streams that outlive their connections. Thread-safe; calls go over the
 * channels in turn. A refused call throws io.grpc.StatusRuntimeException; {@link Refusal} reads what it says.
 */
public final class Gateway implements AutoCloseable {
  private static final String SERVICE = "execution_strategy.v1.ExecutionStrategyService";
  private static final long CLOSE_SECONDS = 5;

  private final GatewayOptions options;
  private final List<ManagedChannel> channels = new ArrayList<>();
  private final AtomicInteger turn = new AtomicInteger();

  /** Throws IOException where a PEM file can't be read. */
  public Gateway(GatewayOptions options) throws IOException {
    this.options = options;
    for (int index = 0; index < Math.max(1, options.channels()); index++) {
      channels.add(Channels.open(options));
    }
  }

  /**
   * Connects every channel ahead of the first call, whose deadline would pay for it otherwise. False where one could
   * not connect within the limit; calls may be made all the same.
   */
  public boolean connect(Duration limit) throws InterruptedException {
    CountDownLatch ready = new CountDownLatch(channels.size());
    channels.forEach(channel -> countWhenReady(channel, ready));
    return ready.await(limit.toMillis(), TimeUnit.MILLISECONDS);
  }

  private static void countWhenReady(ManagedChannel channel, CountDownLatch ready) {
    ConnectivityState state = channel.getState(true);
    if (state == ConnectivityState.READY) {
      ready.countDown();
    } else if (state != ConnectivityState.SHUTDOWN) {
      channel.notifyWhenStateChanged(state, () -> countWhenReady(channel, ready));
    }
  }

  public ExecutionStrategyResponse recommend(ExecutionStrategyRequest order) {
    return stub().recommend(order);
  }

  public StrategyExecutionStatus status(String orderId) {
    return stub().status(StatusRequest.newBuilder().setOrderId(orderId).build());
  }

  /** Any unary call of the service by its name, bytes to bytes. */
  public byte[] call(String method, byte[] request) {
    MethodDescriptor<byte[], byte[]> descriptor =
        MethodDescriptor.<byte[], byte[]>newBuilder()
            .setType(MethodDescriptor.MethodType.UNARY)
            .setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, method))
            .setRequestMarshaller(BYTES)
            .setResponseMarshaller(BYTES)
            .build();
    CallOptions limits = CallOptions.DEFAULT.withDeadlineAfter(options.deadline().toMillis(), TimeUnit.MILLISECONDS);
    return ClientCalls.blockingUnaryCall(next(), descriptor, limits, request);
  }

  /** A stream over one channel after the other; the gateway must outlive it. */
  public OrderStream adapt(OrderStream.Listener listener) {
    List<ManagedChannel> order = new ArrayList<>(channels);
    Collections.rotate(order, -Math.floorMod(turn.getAndIncrement(), order.size()));
    return new OrderStream(order, listener, options.giveUpAfter());
  }

  @Override
  public void close() {
    channels.forEach(ManagedChannel::shutdown);
    try {
      for (ManagedChannel channel : channels) {
        if (!channel.awaitTermination(CLOSE_SECONDS, TimeUnit.SECONDS)) {
          channel.shutdownNow();
        }
      }
    } catch (InterruptedException error) {
      channels.forEach(ManagedChannel::shutdownNow);
      Thread.currentThread().interrupt();
    }
  }

  private ManagedChannel next() {
    return channels.get(Math.floorMod(turn.getAndIncrement(), channels.size()));
  }

  private ExecutionStrategyServiceGrpc.ExecutionStrategyServiceBlockingStub stub() {
    return ExecutionStrategyServiceGrpc.newBlockingStub(next())
        .withDeadlineAfter(options.deadline().toMillis(), TimeUnit.MILLISECONDS);
  }

  private static final MethodDescriptor.Marshaller<byte[]> BYTES =
      new MethodDescriptor.Marshaller<>() {
        @Override
        public InputStream stream(byte[] value) {
          return new ByteArrayInputStream(value);
        }

        @Override
        public byte[] parse(InputStream stream) {
          try {
            return stream.readAllBytes();
          } catch (IOException error) {
            throw new UncheckedIOException(error);
          }
        }
      };
}
