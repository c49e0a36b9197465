//go:build fixedruntime

package sim

import _ "unsafe" // for go:linkname

// repeatable says that the runtime leaves nothing open: runs of a seed are the
// same.
const repeatable = true

// seedRuntime decides what the runtime draws from now on. It is planted, see
// runtimePlants.
//
//go:linkname seedRuntime runtime.simSeed
func seedRuntime(seed uint64)
