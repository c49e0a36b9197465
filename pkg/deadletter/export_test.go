package deadletter

// Spare makes a list keep fewer letters in reserve.
func (k *Keeper) Spare(n int) { k.spare = n }
