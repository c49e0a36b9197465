// Package control is the core of Baton: the pure rules that say which app has
// control of a thread.
//
// Three functions carry it, after Chassaing's "Functional Event Sourcing
// Decider":
//
//	Decide(State, Env, Command) ([]Event, Refusal)
//	Evolve(State, Event) State
//	Replay(events...) State
//
// Decide says what happens when a command meets a thread; Evolve says what a
// thread looks like after an event; Replay folds Evolve from the zero State,
// which is an idle thread that nobody has written to.
//
// The rule of the package: standard library only, no clock, no randomness, no
// I/O, no context, no logging, no goroutine, no map iteration whose order
// shows. Time and the page's rules come in through Env. Only Evolve must stay
// stable across versions: the log holds events that were decided, so Decide may
// change freely.
//
// Sources cited as "protocol N" are the sections of the protocol reference,
// "row N" its conformance table.
package control
