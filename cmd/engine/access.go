package main

import (
	"log/slog"
	"os"

	"gnomon/engine/config"
	"gnomon/engine/query"
	"gnomon/engine/query/access"
)

// grantsOf are those that a configuration declares.
func grantsOf(h config.HTTP) (grants []access.Grant) {
	if h.TokenFile != "" {
		grants = append(grants, access.Grant{File: h.TokenFile, Role: access.Admin})
	}
	for _, t := range h.Tokens {
		grants = append(grants, access.Grant{File: t.File, Role: access.Role(t.Role), Projections: t.Projections, Streams: t.Streams})
	}
	return grants
}

// openAccess reads the tokens that a configuration declares; nil: everybody may do
// everything.
func openAccess(h config.HTTP, log *slog.Logger) (query.Access, error) {
	if !h.Guarded() {
		return nil, nil
	}
	return access.OpenTokens(grantsOf(h), log)
}

// ownToken is the token with which a command asks the engine that runs on the same
// configuration: the first one that may do everything, or else GNOMON_TOKEN.
func ownToken(h config.HTTP) (string, error) {
	other := os.Getenv("GNOMON_TOKEN")
	for _, g := range grantsOf(h) {
		if !g.Everything() {
			continue
		}
		token, err := access.FirstToken(g.File)
		if err != nil && other != "" {
			return other, nil // the file is another user's
		}
		return token, err
	}
	return other, nil
}
