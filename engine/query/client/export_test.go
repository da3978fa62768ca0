package client

// Directly is Direct with other bounds.
var Directly = directly
