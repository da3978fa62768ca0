package query

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"net/http"
)

// openAPI describes everything that a server answers (OpenAPI 3.1.0, JSON Schema 2020-12).
// Tests hold it against routes, methods, parameters, codes and every answer.
//
//go:embed openapi.json
var openAPI []byte

// openAPIHandler serves the description, with the engine's version.
func openAPIHandler(version string) http.HandlerFunc {
	quoted, _ := json.Marshal(version) // any string can be
	document := bytes.Replace(openAPI, []byte(`"VERSION"`), quoted, 1)
	return func(w http.ResponseWriter, r *http.Request) {
		if _, ok := parameters(w, r); !ok {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document) // the client is gone
	}
}
