//go:build !wasip1

package query

import "gnomon/sdk/go/internal/boundary"

func init() { boundary.Guest.Query = query }
