// Package proc starts the processes of a measurement, talks to them, and reads
// what they have used from /proc.
package proc
