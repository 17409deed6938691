package org.execution_strategy.gateway;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.PreconditionFailure;
import io.grpc.Metadata;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.List;

/**
 * What a call ended with, in the words of the contract.
 *
 * @param violations every violation of a google.rpc.BadRequest or PreconditionFailure
 */
public record Refusal(String code, String text, List<Violation> violations) {
  private static final Metadata.Key<byte[]> DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  public record Violation(String field, String description) {}

  /** Reads the details that came in the trailers. */
  public static Refusal of(Status status, Metadata trailers) {
    List<Violation> found = new ArrayList<>();
    byte[] details = trailers == null ? null : trailers.get(DETAILS);
    if (details != null) {
      try {
        for (Any detail : com.google.rpc.Status.parseFrom(details).getDetailsList()) {
          read(detail, found);
        }
      } catch (InvalidProtocolBufferException error) {
        found.clear(); // of another kind than the contract's: the code and the text are what there is
      }
    }
    String text = status.getDescription() == null ? "" : status.getDescription();
    return new Refusal(status.getCode().name(), text, List.copyOf(found));
  }

  public static Refusal of(Throwable error) {
    return of(Status.fromThrowable(error), Status.trailersFromThrowable(error));
  }

  private static void read(Any detail, List<Violation> found) throws InvalidProtocolBufferException {
    if (detail.is(BadRequest.class)) {
      for (var one : detail.unpack(BadRequest.class).getFieldViolationsList()) {
        found.add(new Violation(one.getField(), one.getDescription()));
      }
    } else if (detail.is(PreconditionFailure.class)) {
      for (var one : detail.unpack(PreconditionFailure.class).getViolationsList()) {
        found.add(new Violation(one.getSubject(), one.getDescription()));
      }
    }
  }

  /** Each field once, sorted. */
  public List<String> fields() {
    return violations.stream().map(Violation::field).distinct().sorted().toList();
  }
}
