package io.holdfast.client;

import io.holdfast.v1.CheckTokenResponse;
import java.util.Optional;

/**
 * How the grant with a fencing token stands.
 *
 * @param state whether it is live
 * @param claim the claim with that token, if live
 */
public record TokenView(State state, Optional<ClaimView> claim) {
  /** Whether a grant is live. */
  public enum State {
    /** The claim with it is live. */
    LIVE,
    /** No grant with it is live, and none will ever be. */
    ENDED,
    /** It is larger than any token so far: a forgery, or the store was restored from a backup. */
    NOT_ISSUED
  }

  static TokenView fromWire(CheckTokenResponse response) {
    State state = switch (response.getState()) {
      case TOKEN_STATE_LIVE -> State.LIVE;
      case TOKEN_STATE_NOT_ISSUED -> State.NOT_ISSUED;
      default -> State.ENDED;
    };
    Optional<ClaimView> claim =
        response.hasClaim() ? Optional.of(ClaimView.fromWire(response.getClaim())) : Optional.empty();
    return new TokenView(state, claim);
  }
}
