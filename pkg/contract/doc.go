// Package contract tests an app's webhook endpoint: it sends every kind of event
// as Baton would, and what a stranger would, and says what the endpoint does
// with each.
//
// The rule of the package: it needs nothing but the endpoint's address and its
// secrets, and it judges by the answer alone.
package contract
