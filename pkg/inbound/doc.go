// Package inbound is the format of BATON_IN: the webhook events of a partition
// that were made durable together, as baton.inbound.v1 describes them.
//
// Every event passes here twice, written by ingress and read by the holder and
// by fan-out, so both are done by hand. What is written equals what the generated
// code writes; what is not as it is written here is left to the generated code,
// which decides whether it is a batch.
package inbound
