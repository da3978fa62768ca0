package gnomon

import (
	"bytes"
	"encoding/json"

	"gnomon/sdk/go/internal/boundary"
)

// Settings decodes the projection's settings table, [projection.settings] in the
// configuration. A setting that v does not have is an error, so that a misspelt
// name is noticed. What v already holds are the defaults. Call it from OnInit:
// then a bad setting is reported before the first event.
func Settings(v any) error {
	buf, n := boundary.Fill(nil, boundary.ConfigRead)
	if n < 0 {
		return boundary.Wrap("read settings", boundary.CodeError(n))
	}
	d := json.NewDecoder(bytes.NewReader(buf[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return boundary.Wrap("settings", err)
	}
	return nil
}
