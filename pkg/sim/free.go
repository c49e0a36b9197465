//go:build !fixedruntime

package sim

const repeatable = false

func seedRuntime(uint64) {}
