package state

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// Bookmark is a position that a watcher was told, by which it can go on later: the
// generation that it watched, a version of it, and what the state amounted to there. One
// of a sequence alone trusts that the history before it is the one that was seen. The zero
// Bookmark is none.
type Bookmark struct {
	Version    Version
	Generation string // empty: of a sequence alone
	Digest     string // the first 16 hex digits of the state's
}

// ErrBookmark says that a text is no bookmark.
var ErrBookmark = errors.New("is no position of a watch")

var bookmarkForm = regexp.MustCompile(`^([0-9]{1,15})(?:\.([0-9]{1,5})-([0-9a-f]{16})-([0-9a-f]{1,64}))?$`)

// BookmarkOf is the bookmark of a checkpoint of a generation.
func BookmarkOf(c Checkpoint, generation string) Bookmark {
	return Bookmark{Version: c.Version, Generation: generation, Digest: c.Digest.String()[:16]}
}

// String returns SEQUENCE.COUNT-DIGEST-GENERATION, or SEQUENCE; ParseBookmark reads both.
func (b Bookmark) String() string {
	if b.Generation == "" {
		return strconv.FormatUint(b.Version.Sequence(), 10)
	}
	return fmt.Sprintf("%d.%d-%s-%s", b.Version.Sequence(), b.Version&0xffff, b.Digest, b.Generation)
}

// ParseBookmark reads a bookmark, or a sequence. An empty text is the zero Bookmark. It
// fails with ErrBookmark.
func ParseBookmark(text string) (b Bookmark, err error) {
	if text == "" {
		return b, nil
	}
	m := bookmarkForm.FindStringSubmatch(text)
	if m == nil {
		return b, badBookmark(text)
	}
	sequence, err := strconv.ParseUint(m[1], 10, 48)
	if err != nil {
		return b, badBookmark(text)
	}
	b.Version = VersionAt(sequence)
	if m[4] == "" {
		return b, nil
	}
	count, err := strconv.ParseUint(m[2], 10, 16)
	if err != nil {
		return Bookmark{}, badBookmark(text)
	}
	return Bookmark{Version: b.Version + Version(count), Generation: m[4], Digest: m[3]}, nil
}

func badBookmark(text string) error {
	return fmt.Errorf("%.200q %w: give the id of a position event, or a sequence", text, ErrBookmark)
}
