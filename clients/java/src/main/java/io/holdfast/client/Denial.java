package io.holdfast.client;

import io.holdfast.v1.Claim;
import java.util.List;

/** Why a claim was refused, and who holds the lock that it failed at, as far as a server told. */
record Denial(Failure why, String lock, List<Claim> holders, int holderCount) {}
