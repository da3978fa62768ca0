//go:build !wasip1

package gnomon

import "gnomon/sdk/go/internal/boundary"

func init() {
	boundary.Guest.Init = initialize
	boundary.Guest.Apply = apply
}
