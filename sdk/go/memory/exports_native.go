//go:build !wasip1

package memory

import "gnomon/sdk/go/internal/boundary"

func init() {
	boundary.Guest.Snapshot = snapshot
	boundary.Guest.Restore = restore
}
