// Package ingress takes the platform's webhooks in: it checks the signature,
// splits a request into events, makes them durable on the input of their
// threads' partitions, and only then answers 200.
//
// The rule of the package: an answer of 200 means that every event of the
// request is durable. Anything else makes the platform send the request again;
// what had been stored by then is absorbed as a duplicate later.
//
// Events are committed in groups without waiting for company: each partition
// has at most one publish in flight, and what arrives meanwhile fills the next
// message. All memory between the socket and NATS comes out of one budget; when
// it is spent, requests are refused with 503.
package ingress
