//go:build !wasip1

package migrate

import "gnomon/sdk/go/internal/boundary"

func init() { boundary.Guest.Migrate = migrate }
