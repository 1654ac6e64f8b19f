package io.holdfast.client;

import io.holdfast.v1.Waiting;
import java.util.List;

/**
 * What is known of a queue while waiting in it.
 *
 * @param lock the lock it is about: of several, the one with the most claims before this one
 * @param position the place among those who wait: 1 is next
 * @param holders who holds the lock, oldest grant first, at most 10. Empty: only waiters are before this claim
 * @param holderCount how many hold it
 */
public record QueuePlace(String lock, int position, List<ClaimView> holders, int holderCount) {
  static QueuePlace fromWire(Waiting event) {
    return new QueuePlace(
        event.getLock(),
        event.getPosition(),
        event.getHoldersList().stream().map(ClaimView::fromWire).toList(),
        event.getHolderCount());
  }
}
