// Package session decides what a client of Holdfast does: one session at a time, a fresh one when that is lost, and
// all its claims. It is pure and synchronous. Each input takes the time and returns what is to be done, in order;
// there is no clock, timer, goroutine, lock or stream in it, and nothing of gRPC but its messages.
//
// The rules are those of docs/DESIGN.md, sections 3 and 4.7 to 4.9.
package session
