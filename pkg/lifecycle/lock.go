package lifecycle

// Lock is a mutex that is held over calls on the network. It is a channel, so
// that testing/synctest knows a goroutine that waits for it to be blocked. NewLock
// makes one.
type Lock chan struct{}

// NewLock returns a lock that is free.
func NewLock() Lock { return make(Lock, 1) }

// Lock implements sync.Locker; it blocks until the lock is free.
func (l Lock) Lock() { l <- struct{}{} }

// TryLock takes the lock if it is free, and reports whether it was. It does not
// block.
func (l Lock) TryLock() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

// Unlock implements sync.Locker.
func (l Lock) Unlock() { <-l }
