package broker

import (
	"fmt"
	"testing"
	"time"
)

// A permission that goes on to be missing is in the log once a minute, whatever the names that are made for each request;
// any other one at once, and so much is kept of it that clients who ask for ever other subjects take no memory.
func TestRefusalsAreToldSeldom(t *testing.T) {
	var r refusals
	now := time.Now()
	for _, tt := range []struct {
		after         time.Duration
		verb, missing string
		want          bool
	}{
		{0, "publish", "$JS.API.CONSUMER.CREATE.EVENTS.>", true},
		{time.Second, "publish", "$JS.API.CONSUMER.CREATE.EVENTS.>", false},
		{time.Second, "publish", "$JS.API.CONSUMER.CREATE.OTHERS.>", true},
		{time.Second, "subscribe", "$JS.API.CONSUMER.CREATE.EVENTS.>", true},
		{tellEvery - time.Nanosecond, "publish", "$JS.API.CONSUMER.CREATE.EVENTS.>", false},
		{tellEvery, "publish", "$JS.API.CONSUMER.CREATE.EVENTS.>", true},
		{tellEvery + time.Second, "publish", "$JS.API.CONSUMER.CREATE.EVENTS.>", false},
	} {
		if got := r.news(&PermissionError{Verb: tt.verb, Missing: tt.missing}, now.Add(tt.after)); got != tt.want {
			t.Errorf("after %s, %s %s: %t", tt.after, tt.verb, tt.missing, got)
		}
	}
	for i := range 10 * mostTold {
		if !r.news(&PermissionError{Verb: "publish", Missing: fmt.Sprint("events.", i)}, now) || len(r.told) > mostTold {
			t.Fatalf("%d are kept after %d", len(r.told), i)
		}
	}
}
