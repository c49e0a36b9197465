// Package graphapi is Baton's Graph-compatible face: what apps call instead of
// the platform.
//
// A call is decoded, its token tells who calls for which asset, the holder of
// the thread's partition decides, and the answer is put into the platform's
// form. Only sends do more: once accepted they are forwarded to the platform,
// and their outcome is logged before the client hears of it (see send.go).
//
// The rule of the package: it decides nothing. Every right is checked by the
// holder, or by pkg/control where a page's rules alone are asked; every refusal
// becomes a Graph error in one place, [Refusal].
package graphapi
