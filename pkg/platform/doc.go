// Package platform is the way to the side that reaches people: the real Graph
// API, or the simulator, which answers the same calls.
//
// The rule of the package: every call ends in one of three ways that the caller
// can tell apart. It was answered; it was refused ([RefusedError]: the platform
// did nothing); or its outcome is unknown ([ErrUnknown]). A call that never left
// ([ErrNotSent]) did nothing either and may be made again. The package repeats
// nothing by itself, follows no redirect, and its errors never show a token.
package platform
