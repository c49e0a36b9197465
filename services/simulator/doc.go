// Package simulator is a stand-in for the platform: the side that reaches
// people. It offers the Graph edges that Baton calls, pushes signed webhooks to
// Baton's ingress, plays the people who write and the human in the inbox, keeps
// its own clock, and shows on demand the faults that a platform shows.
//
// To the platform Baton is one app. So the simulator knows two sides of a
// thread only: Baton's app and the inbox. Which of Baton's apps has control it
// cannot see.
//
// The rule of the package: what one person or one call does happens in one
// turn, under one lock, or not at all; webhooks of a thread leave in the order
// of the turns, each when the one before it was accepted, unless a switch says
// otherwise.
//
// What it shares with Baton is the offset of its clock (Service.Offset) and
// nothing else.
package simulator
