package io.holdfast.client;

import io.holdfast.v1.Waiting;
import java.util.List;

/** Who is told what becomes of a claim, on the session's thread. After denied, lost and released nothing more. */
interface ClaimOwner {
  void waiting(Waiting place);

  /** Held, as long as {@code validity} says so. */
  void granted(List<io.holdfast.v1.GrantedLock> locks, Validity validity);

  void denied(Denial denial);

  void lost(Failure why);

  void released();

  /** The first {@code count} unanswered updates are answered. {@code why} null: the value was replaced. */
  void updated(int count, Failure why);
}
