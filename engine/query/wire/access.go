package wire

// Access is what the client of a request may do.
type Access struct {
	Everything  bool               `json:"everything"` // also change the engine as a whole
	Projections []ProjectionAccess `json:"projections"`
	Streams     []StreamAccess     `json:"streams"`
}

// ProjectionAccess is what a client may do about a projection.
type ProjectionAccess struct {
	Projection string `json:"projection"`
	Read       bool   `json:"read"`
	Admin      bool   `json:"admin"` // change it
}

// StreamAccess is what a client may do about a stream.
type StreamAccess struct {
	Stream string `json:"stream"`
	Append bool   `json:"append"`
}
