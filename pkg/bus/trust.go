package bus

import "time"

// TrustFor is how long after a read or an acknowledgement over the same connection
// a stream may be taken to have still what it had then. Servers that have lost it
// must have been down, and elect a leader in no less than three seconds.
const TrustFor = 2 * time.Second
