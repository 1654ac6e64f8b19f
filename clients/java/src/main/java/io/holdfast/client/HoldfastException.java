package io.holdfast.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.ErrorInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import io.holdfast.v1.Denied;
import io.holdfast.v1.Lost;
import java.util.List;

/**
 * Whatever goes wrong with Holdfast. {@link #reason} is for programs: busy, timeout, unreachable and so on never mean
 * each other. The message is for people.
 *
 * <p>{@link LockDeniedException}, {@link LockLostException} and {@link HoldfastUnavailableException} are the kinds that a
 * program treats differently; what is left is a mistake in a call, or a fault.
 */
public class HoldfastException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Reason reason;
  private final String lock;

  HoldfastException(Reason reason, String message, String lock, Throwable cause) {
    super(message, cause);
    this.reason = reason;
    this.lock = lock;
  }

  /** Why, from a closed list. */
  public Reason reason() {
    return reason;
  }

  /** The lock it is about; {@code null} if it is not about one. */
  public String lock() {
    return lock;
  }

  /** Who holds the lock that could not be had, oldest grant first, at most 10, as far as a server told. */
  public List<ClaimView> holders() {
    return List.of();
  }

  /** How many hold it; 0 if nobody told. */
  public int holderCount() {
    return 0;
  }

  /**
   * What the error of any gRPC call to Holdfast says, made with whatever stubs: its reason, and if a claim was refused
   * the lock it is about and who holds it. The original is the cause.
   *
   * <p>An error without Holdfast's details is read by its status code: UNAVAILABLE and DEADLINE_EXCEEDED mean {@link
   * Reason#UNREACHABLE}, CANCELLED {@link Reason#ABORTED}, PERMISSION_DENIED and UNAUTHENTICATED {@link
   * Reason#NOT_PERMITTED}, any other {@link Reason#UNKNOWN}.
   */
  public static HoldfastException from(Throwable error) {
    if (error instanceof HoldfastException known) return known;
    Status status = Status.fromThrowable(error);
    String message = status.getDescription() == null ? status.getCode().toString() : status.getDescription();
    ErrorInfo info = null;
    Denied denied = null;
    Lost lost = null;
    com.google.rpc.Status packed = StatusProto.fromThrowable(error);
    try {
      for (Any detail : packed == null ? List.<Any>of() : packed.getDetailsList()) {
        if (detail.is(ErrorInfo.class)) info = detail.unpack(ErrorInfo.class);
        else if (detail.is(Denied.class)) denied = detail.unpack(Denied.class);
        else if (detail.is(Lost.class)) lost = detail.unpack(Lost.class);
      }
    } catch (InvalidProtocolBufferException garbage) {
      // A proxy's, perhaps: the code still says something.
      info = null;
    }
    if (info == null || !info.getDomain().equals("holdfast.v1"))
      return of(reasonOf(status), message + causes(status), null, error);
    Reason reason = Reason.fromProtoName(info.getReason());
    String about = info.getMetadataMap().get("lock");
    if (lost != null) return new LockLostException(reason, orElse(lost.getMessage(), message), about, error);
    if (denied == null) return of(reason, message, about, error);
    Failure why = new Failure(reason, orElse(denied.getMessage(), message));
    String lock = denied.getLock().isEmpty() ? about : denied.getLock();
    return new LockDeniedException(
        new Denial(why, lock, denied.getHoldersList(), denied.getHolderCount()), error);
  }

  /** What went wrong below gRPC, such as a connection that was refused. */
  private static String causes(Status status) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = status.getCause(); cause != null; cause = cause.getCause())
      if (cause.getMessage() != null) text.append(": ").append(cause.getMessage());
    return text.toString();
  }

  private static String orElse(String text, String instead) {
    return text.isEmpty() ? instead : text;
  }

  /** The exception of the kind that goes with a reason. */
  static HoldfastException of(Reason reason, String message, String lock, Throwable cause) {
    return switch (reason) {
      case UNREACHABLE, CONNECTION_LOST, DRAINING, STORE_UNAVAILABLE -> new HoldfastUnavailableException(
          reason, message, lock, cause);
      default -> new HoldfastException(reason, message, lock, cause);
    };
  }

  static HoldfastException invalid(String message) {
    return new HoldfastException(Reason.INVALID, message, null, null);
  }

  private static Reason reasonOf(Status status) {
    return switch (status.getCode()) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> Reason.UNREACHABLE;
      case CANCELLED -> Reason.ABORTED;
      case PERMISSION_DENIED, UNAUTHENTICATED -> Reason.NOT_PERMITTED;
      default -> Reason.UNKNOWN;
    };
  }
}
