//go:build !wasip1

package upcast

import "gnomon/sdk/go/internal/boundary"

func init() { boundary.Guest.Upcast = upcast }
