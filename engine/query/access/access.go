// Package access says who may do what over HTTP: bearer tokens (RFC 6750) in files, each
// file with a role, and the files of TLS. All of them are read anew when they change
// (crypto/subtle, crypto/tls).
package access

import (
	"path"
	"slices"
	"strings"
)

// Role is what the tokens of a file are for.
type Role string

// The roles. They do not contain each other, but for Admin, which contains both others: a
// token that is in two files may do what either allows.
const (
	Read   Role = "read"   // reads projections
	Append Role = "append" // appends events to streams
	Admin  Role = "admin"  // reads and changes projections, and appends
)

// Grant is what the tokens of a file may do. Names are globs: * stands for any characters,
// ? for one, [a-z] for one of some.
type Grant struct {
	File string
	Role Role
	// Projections are those that Read and Admin are about; none: all.
	Projections []string
	// Streams are those that Append and Admin may append to; none: all, but for an Admin of
	// some projections, who may append to none.
	Streams []string
}

// whole reports whether a grant is about everything that there is.
func (g Grant) whole() bool { return len(g.Projections) == 0 && len(g.Streams) == 0 }

// Everything reports whether a grant allows all that there is.
func (g Grant) Everything() bool { return g.Role == Admin && g.whole() }

// Rights are what a client may do: the sum of its grants. The zero value may do nothing.
type Rights struct{ grants []Grant }

// Everything are the rights of an engine that asks for no token.
func Everything() Rights { return Rights{[]Grant{{Role: Admin}}} }

// May reports whether a client has a role about a projection, or about all of them when
// the name is empty. A name may end in the role of a generation: orders@candidate.
func (r Rights) May(role Role, projection string) bool {
	name, _, _ := strings.Cut(projection, "@")
	return slices.ContainsFunc(r.grants, func(g Grant) bool {
		is := g.Role == Admin || g.Role == role
		return is && g.Role != Append && matches(g.Projections, name)
	})
}

// MayEverything reports whether a client may change the engine as a whole.
func (r Rights) MayEverything() bool {
	return slices.ContainsFunc(r.grants, Grant.Everything)
}

// MayAppend reports whether a client may append to a stream.
func (r Rights) MayAppend(stream string) bool {
	return slices.ContainsFunc(r.grants, func(g Grant) bool {
		switch {
		case g.Role == Read, g.Role == Admin && len(g.Streams) == 0 && !g.whole():
			return false
		}
		return matches(g.Streams, stream)
	})
}

// matches reports whether one of some globs matches a name; none match all of them. The
// name of all is empty, and matched by those that match everything.
func matches(globs []string, name string) bool {
	return len(globs) == 0 || slices.ContainsFunc(globs, func(glob string) bool {
		if name == "" {
			return glob == "*"
		}
		ok, err := path.Match(glob, name)
		return ok && err == nil
	})
}
