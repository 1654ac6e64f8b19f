package io.holdfast.client;

import java.util.List;

/**
 * What there is to know about locks at once.
 *
 * @param locks the locks that exist, or that changed since, each whole and as it now is; free if it is gone
 * @param isCaughtUp true once: every lock that existed when the watch began has been shown; what was not shown is gone
 */
public record LockChanges(List<LockView> locks, boolean isCaughtUp) {}
