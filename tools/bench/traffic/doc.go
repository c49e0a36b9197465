// Package traffic is what surrounds a router under measurement: a platform that
// posts webhooks, apps that receive them and check every one, and apps that
// change control. Each runs in a process of its own, so that what the router
// takes of the machine can be told apart.
//
// Every event says in its message id which thread it belongs to, its number in
// that thread and when it was sent. A receiver expects the numbers of a thread
// one after the other: so nothing can be lost, doubled or overtaken unseen,
// whoever is in between.
package traffic
