package io.holdfast.client;

import io.holdfast.v1.GrantedLock;
import io.holdfast.v1.SessionCommand;
import io.holdfast.v1.Waiting;
import java.util.List;

/**
 * What the session machine wants done, or has to tell. Called in order from inside the machine's inputs; must not
 * throw, nor call the machine. Claim ids are the machine's own and never used again.
 */
interface SessionEffects {
  /** Connect to an address; answer with {@code connected} or {@code broken} of that stream number. */
  void dial(int streamNo, String address);

  /** Send commands, in this order; in one frame if they fit. */
  void send(int streamNo, List<SessionCommand> commands);

  /** Nothing more is taken from a stream. What was sent on it still goes out, then it is half-closed. */
  void abandon(int streamNo);

  /** There is a session now, new or resumed. */
  void opened();

  /** No session could be had for those who asked for no more than that. */
  void notOpened(Failure why);

  /** The claim is in the queue. */
  void waiting(long claimId, Waiting place);

  /** The claim is held, in the machine's present session. */
  void granted(long claimId, List<GrantedLock> locks);

  /** Refused, timed out, or given up for want of a session: gone, and never granted later. */
  void denied(long claimId, Denial denial);

  /** A held claim is not held any more, or may not be believed to be. */
  void lost(long claimId, Failure why);

  /** A claim that was given up is known to be gone, or ended with its session. */
  void released(long claimId);

  /** The first {@code count} unanswered updates of a claim are answered. {@code why} null: the value was replaced. */
  void updated(long claimId, int count, Failure why);

  /** The machine was closed, and is done. */
  void closed();
}
