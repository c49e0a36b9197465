// Package webhook reads and writes the platform's webhooks: it splits a signed
// body into events, extracts what the rules need, and renders the bodies that
// Baton sends to apps.
//
// The rule of the package: pure functions over bytes, standard library and
// control only. Ids never pass through a float. What Baton does not know it
// keeps: an element travels as the bytes in which it came.
//
// JSON is read by a scanner of its own, because decoding every event into
// structs costs several times more than finding the few fields that matter. A
// body is first checked as a whole against RFC 8259 (UTF-8 included) and a
// depth limit; after that the fields are found without further errors of
// syntax.
//
// Duplicate keys: in an object the last one wins, wholly, as in JavaScript and
// encoding/json; nothing is merged. The arrays that carry events (entry,
// messaging, standby, changes) are the exception: twice in one object is an
// error, because either choice would lose events. A null counts as absent.
package webhook
