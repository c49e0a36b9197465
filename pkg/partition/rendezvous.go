package partition

// Rendezvous returns which of the nodes should hold a partition: the one whose
// name scores highest together with the partition's number. A node that comes
// or goes moves only the partitions that it gets or had; the order of nodes
// does not matter. It is empty when there are no nodes.
func Rendezvous(p int, nodes []string) string {
	wanted, highest := "", uint64(0)
	for _, node := range nodes {
		if s := score(p, node); wanted == "" || s > highest || s == highest && node < wanted {
			wanted, highest = node, s
		}
	}
	return wanted
}

const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

// score is FNV-1a 64 over the name and the number, finished as SplitMix64 does,
// because the high bits of FNV hardly depend on the last bytes.
func score(p int, node string) uint64 {
	h := uint64(offset64)
	for i := range len(node) {
		h = (h ^ uint64(node[i])) * prime64
	}
	h = (h ^ uint64(p)) * prime64
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
