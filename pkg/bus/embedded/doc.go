// Package embedded runs a NATS server with JetStream inside this process, in
// the data directory.
//
// The rule of the package: nobody else imports nats-server. A server holds the
// lock of its data directory, so this process is the only possible writer; and
// whoever comes in over the network can read the control-change topic and
// nothing else.
package embedded
