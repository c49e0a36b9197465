// Package conformance x.
package conformance
