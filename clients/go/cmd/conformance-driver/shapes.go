//go:build unix

package main

import (
	"errors"
	"strconv"

	"golang.org/x/sys/unix"

	holdfast "github.com/holdfast-lock/holdfast/clients/go"
)

// nowNs is the time of the clock that all processes of a machine share.
func nowNs() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic(err)
	}
	return strconv.FormatInt(now.Nano(), 10)
}

func decimal(number uint64) string { return strconv.FormatUint(number, 10) }

func errorJSON(err error) answer {
	failed := (*holdfast.Error)(nil)
	if !errors.As(err, &failed) {
		lost := (*holdfast.LostError)(nil)
		errors.As(err, &lost)
		failed = &holdfast.Error{Reason: lost.Reason, Message: lost.Message, Lock: lost.Lock}
	}
	shape := answer{
		"reason": failed.Reason, "message": failed.Message,
		"holders": claimsJSON(failed.Holders), "holderCount": failed.HolderCount,
	}
	if failed.Lock != "" {
		shape["lock"] = failed.Lock
	}
	return shape
}

func grantJSON(lock *holdfast.Lock) answer {
	tokens := []string{}
	for _, each := range lock.Locks() {
		tokens = append(tokens, decimal(each.Token))
	}
	shape := answer{"token": decimal(lock.Token()), "tokens": tokens, "atNs": nowNs()}
	if previous := lock.Previous(); previous != nil {
		shape["previous"] = answer{"token": decimal(previous.Token), "end": previous.End}
	}
	return shape
}

func claimsJSON(claims []holdfast.Claim) []answer {
	shapes := []answer{}
	for _, claim := range claims {
		shape := answer{
			"session": claim.SessionID, "token": decimal(claim.Token), "held": claim.Held, "mode": claim.Mode.String(),
			"permits": claim.Permits, "lockCount": claim.LockCount, "purpose": claim.Purpose, "value": string(claim.Value),
		}
		if claim.Client != nil {
			shape["client"] = claim.Client.Name
		}
		shapes = append(shapes, shape)
	}
	return shapes
}

func lockJSON(info holdfast.LockInfo) answer {
	shape := answer{
		"name": info.Name, "state": info.State.String(), "limit": info.Limit, "permitsHeld": info.PermitsHeld,
		"holderCount": info.HolderCount, "waiterCount": info.WaiterCount,
		"holders": claimsJSON(info.Holders), "waiters": claimsJSON(info.Waiters),
	}
	if info.State != holdfast.Free {
		shape["mode"] = info.Mode.String()
	}
	return shape
}

func locksJSON(all []holdfast.LockInfo) []answer {
	shapes := []answer{}
	for _, info := range all {
		shapes = append(shapes, lockJSON(info))
	}
	return shapes
}

func leaderJSON(leader *holdfast.Leader) any {
	if leader == nil {
		return nil
	}
	return answer{"token": decimal(leader.Token), "value": string(leader.Value), "session": leader.SessionID}
}
