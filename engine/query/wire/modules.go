package wire

// Deployed is the answer to a module that was deployed.
type Deployed struct {
	Bucket  string   `json:"bucket"`
	Created bool     `json:"created"` // the bucket, which was not there
	Same    bool     `json:"same"`    // nothing was done: the same deployment was there
	SHA256  string   `json:"sha256"`  // of the module, in hex
	Files   []string `json:"files"`   // that it consists of
}
