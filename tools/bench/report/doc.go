// Package report holds what a run has measured: figures with a value per round,
// ratios of figures of the same round, and what they must reach. It prints them
// as a table and writes them as JSON.
package report
