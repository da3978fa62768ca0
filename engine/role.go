package engine

import (
	"errors"
	"fmt"
	"strings"
)

// Role is the part that a generation plays in its projection.
type Role string

// The roles.
const (
	RoleLive      Role = "live"      // it is read
	RoleCandidate Role = "candidate" // it is built to take over
	RolePrevious  Role = "previous"  // it was read before, and follows still, so that it can be gone back to
)

// ErrNoGeneration says that a projection has no generation of that role.
var ErrNoGeneration = errors.New("no such generation")

// CutRole takes a role off a name: NAME@candidate and NAME@previous name those
// generations of a projection, and NAME the one that is read.
func CutRole(name string) (projection string, r Role, err error) {
	projection, role, found := strings.Cut(name, "@")
	switch r = Role(role); {
	case !found:
		return name, RoleLive, nil
	case r == RoleLive, r == RoleCandidate, r == RolePrevious:
		return projection, r, nil
	}
	return "", "", fmt.Errorf("%w: %q; a name may end in @%s or @%s", ErrNoGeneration, name, RoleCandidate, RolePrevious)
}
