// Package egress is the way out to addresses that customers configure: HTTP
// transports that cannot be talked into reaching the inside of the network.
//
// The rule of the package: an address is judged when it is dialled, after its
// name was resolved, and the address that was judged is the one that is dialled.
// So a name that resolves differently a second time gains nothing.
package egress
